/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* --json: the summary for programs. Its fields are an interface, listed in doc/configuration.md. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fwd.h"

void fwd_unit_total(const struct fwd_run *run, unsigned int unit, struct fwd_unit_total *total)
{
	app_unit_stats(run->conf->units[unit].unit, &total->stats);
	for (unsigned int i = 0; i < run->conf->nr_tenants && !total->stats.has_pages; i++) {
		struct fwd_snapshot s;

		if (run->tenants[i].conf->unit != &run->conf->units[unit])
			continue;
		fwd_snapshot(&run->tenants[i],
			&s); /* the lanes' requests, as the unit counts no pages */
		total->stats.pages += s.stats.lane.pages_unmapped;
		if (run->conf->units[unit].unit->qi == NULL) /* counted: calls to unmap */
			total->stats.descriptors += s.stats.lane.descriptors;
	}
	total->faults = run->unit_faults[unit];
}

/* Write one object: the sum over all units. */
static void write_unit(FILE *f, const struct fwd_run *run)
{
	struct fwd_unit_total sum = { 0 };

	for (unsigned int i = 0; i < run->conf->nr_units; i++) {
		struct fwd_unit_total one;

		fwd_unit_total(run, i, &one);
		sum.stats.descriptors += one.stats.descriptors;
		sum.stats.waits += one.stats.waits;
		sum.stats.pages += one.stats.pages;
		sum.stats.stale_dma += one.stats.stale_dma;
		sum.stats.stale_interrupts += one.stats.stale_interrupts;
		sum.stats.doorbells += one.stats.doorbells;
		sum.stats.tables_allocated += one.stats.tables_allocated;
		sum.stats.tables_freed += one.stats.tables_freed;
		sum.faults += one.faults;
	}
	fprintf(f,
		"  \"unit\": {\"kind\": \"%s\", \"descriptors\": %ju, \"waits\": %ju, \"pages\": %ju, "
		"\"stale_dma\": %ju, \"stale_interrupts\": %ju, \"faults\": %ju, \"doorbells\": %ju, "
		"\"tables_allocated\": %ju, \"tables_freed\": %ju},\n",
		run->conf->units[0].unit->kind, (uintmax_t)sum.stats.descriptors,
		(uintmax_t)sum.stats.waits, (uintmax_t)sum.stats.pages,
		(uintmax_t)sum.stats.stale_dma, (uintmax_t)sum.stats.stale_interrupts,
		(uintmax_t)sum.faults, (uintmax_t)sum.stats.doorbells,
		(uintmax_t)sum.stats.tables_allocated, (uintmax_t)sum.stats.tables_freed);
}

static double per(uint64_t value, uint64_t packets)
{
	return packets != 0 ? (double)value / (double)packets : 0;
}

static void write_counts(FILE *f, const struct moat_tenant_stats *s, uint64_t n)
{
	fprintf(f,
		"     \"per_packet\": {\"pages_mapped\": %.4f, \"pages_unmapped\": %.4f, "
		"\"descriptors\": %.4f, \"waits\": %.4f, \"iotlb_hits\": %.4f, "
		"\"iotlb_misses\": %.4f},\n",
		per(s->lane.pages_mapped, n), per(s->lane.pages_unmapped, n),
		per(s->lane.descriptors, n), per(s->lane.flushes, n), per(s->iotlb_hits, n),
		per(s->iotlb_misses, n));
}

/* Write the cycles of a burst by stage, for the stages that bursts had. */
static void write_bursts(FILE *f, const struct fwd_run_tenant *t)
{
	static struct moat_hist hist; /* 20 KiB; one thread reports */
	const char *comma = "";

	fputs("     \"bursts\": {", f);
	for (enum moat_stage i = 0; i <= MOAT_STAGES_MAPPING; i++) {
		moat_tenant_bursts(t->tenant, i, &hist);
		if (hist.n == 0)
			continue;
		fprintf(f, "%s\"%s\": {\"n\": %ju, \"p50\": %.0f, \"p99\": %.0f, \"max\": %ju}",
			comma, i == MOAT_STAGES_MAPPING ? "total" : moat_stage_name(i),
			(uintmax_t)hist.n, moat_hist_quantile(&hist, 0.5),
			moat_hist_quantile(&hist, 0.99), (uintmax_t)hist.max);
		comma = ", ";
	}
	fputs("},\n", f);
}

/* Write the fields that only one mode has. */
static void write_mode(FILE *f, const struct fwd_run_tenant *t, const struct moat_tenant_stats *s)
{
	double us = 1e6 / (double)rte_get_tsc_hz();

	switch (moat_tenant_mode(t->tenant)) {
	case MOAT_PIPELINED:
		fprintf(f, "     \"delay_us\": {\"max\": %.3f},\n", (double)s->delay_max * us);
		break;
	case MOAT_DEFERRED:
		fprintf(f,
			"     \"window_us\": {\"pages\": %ju, \"mean\": %.3f, \"p50\": %.3f, "
			"\"p99\": %.3f, \"max\": %.3f},\n",
			(uintmax_t)s->lane.exposed_pages,
			per(s->lane.exposed_page_cycles, s->lane.exposed_pages) * us,
			fwd_window(&s->lane, 0.5) * us, fwd_window(&s->lane, 0.99) * us,
			(double)s->lane.exposed_max * us);
		break;
	case MOAT_COPY:
		fprintf(f, "     \"copied\": %ju,\n", (uintmax_t)s->copied);
		break;
	default:
		break;
	}
}

/* Write a tenant's object. Names need no escapes: see good_name() in fwd_conf.c. */
static void write_tenant(FILE *f, const struct fwd_run_tenant *t, double per_mark)
{
	struct fwd_snapshot s;
	uint64_t n;

	fwd_snapshot(t, &s);
	n = s.count.rx_packets;
	fprintf(f,
		"    {\"name\": \"%s\", \"mode\": \"%s\", \"rx_packets\": %ju, \"tx_packets\": %ju, "
		"\"drops\": %ju, \"faults\": %ju,\n     \"cycles_per_packet\": {",
		t->conf->name, moat_mode_name(t->conf->mode), (uintmax_t)n,
		(uintmax_t)s.count.tx_packets, (uintmax_t)s.count.drops, (uintmax_t)s.stats.faults);
	for (enum moat_stage i = 0; i < MOAT_STAGES_MAPPING; i++)
		fprintf(f, "\"%s\": %.3f, ", moat_stage_name(i), per(s.stats.cost.cycles[i], n));
	fprintf(f, "\"total\": %.3f, \"application\": %.3f, \"device\": %.3f},\n",
		per(moat_cost_mapping(&s.stats.cost), n),
		per(s.stats.cost.cycles[MOAT_STAGE_APPLICATION], n),
		per(s.stats.cost.cycles[MOAT_STAGE_DEVICE], n));
	fprintf(f,
		"     \"stopwatch\": {\"marks\": %.3f, \"cycles_per_mark\": %.1f, "
		"\"share\": %.5f},\n",
		per(s.stats.cost.marks, n), per_mark, moat_cost_overhead(&s.stats.cost, per_mark));
	write_counts(f, &s.stats, n);
	write_bursts(f, t);
	write_mode(f, t, &s.stats);
	fprintf(f,
		"     \"buffers\": {\"all\": %u, \"missing\": %u},\n"
		"     \"discarded\": {\"verify_failed\": %ju, \"map_failed\": %ju, "
		"\"overrun\": %ju, \"lost\": %ju, \"foreign\": %ju, \"starved\": %ju},\n",
		s.buffers, s.missing, (uintmax_t)s.stats.verify_failed,
		(uintmax_t)s.stats.map_failed, (uintmax_t)s.stats.overrun, (uintmax_t)s.stats.lost,
		(uintmax_t)s.stats.foreign, (uintmax_t)s.stats.starved);
	fprintf(f, "     \"iotlb\": {\"hits\": %ju, \"misses\": %ju}}",
		(uintmax_t)s.stats.iotlb_hits, (uintmax_t)s.stats.iotlb_misses);
}

int fwd_json_write(const struct fwd_run *run, const char *path)
{
	double per_mark = moat_cost_per_mark(); /* measured once, so that tenants compare */
	FILE *f = fopen(path, "w");
	bool failed;

	if (f == NULL)
		return moat_error(-errno, "%s cannot be written: %s", path, strerror(errno));
	fputs("{\n", f);
	write_unit(f, run);
	fprintf(f, "  \"tsc_hz\": %ju,\n  \"seconds\": %.3f,\n  \"tenants\": [\n",
		(uintmax_t)rte_get_tsc_hz(), fwd_report_seconds());
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		write_tenant(f, &run->tenants[i], per_mark);
		fputs(i + 1 < run->conf->nr_tenants ? ",\n" : "\n", f);
	}
	fputs("  ]\n}\n", f);
	failed = ferror(f) != 0;
	if (fclose(f) != 0 || failed)
		return moat_error(-EIO, "%s was not written to its end: %s", path, strerror(errno));
	return 0;
}
