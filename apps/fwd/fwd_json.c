/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* --json: the summary for programs. The fields are an interface: doc/moat-fwd.md lists them. */

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
			&s); /* what was asked for, if nothing counts what was done */
		total->stats.pages += s.stats.lane.pages_unmapped;
	}
	total->faults = run->unit_faults[unit];
}

/* One object, whatever the number of units: their sum. */
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
		sum.faults += one.faults;
	}
	fprintf(f,
		"  \"unit\": {\"kind\": \"%s\", \"descriptors\": %ju, \"waits\": %ju, \"pages\": %ju, "
		"\"stale_dma\": %ju, \"faults\": %ju},\n",
		run->conf->units[0].unit->kind, (uintmax_t)sum.stats.descriptors,
		(uintmax_t)sum.stats.waits, (uintmax_t)sum.stats.pages,
		(uintmax_t)sum.stats.stale_dma, (uintmax_t)sum.faults);
}

static double per(uint64_t value, uint64_t packets)
{
	return packets != 0 ? (double)value / (double)packets : 0;
}

/* Names have letters, digits, '-' and '_' only (fwd_conf.c): nothing to escape. */
static void write_tenant(FILE *f, const struct fwd_run_tenant *t)
{
	struct fwd_snapshot s;
	uint64_t n;

	fwd_snapshot(t, &s);
	n = s.count.rx_packets;
	fprintf(f,
		"    {\"name\": \"%s\", \"mode\": \"%s\", \"rx_packets\": %ju, \"tx_packets\": %ju, "
		"\"drops\": %ju, \"faults\": %ju,\n     \"cycles_per_packet\": {",
		t->conf->name, moat_mode_name(t->conf->mode), (uintmax_t)n,
		(uintmax_t)s.count.tx_packets, (uintmax_t)s.count.drops, (uintmax_t)s.faults);
	for (enum moat_stage i = 0; i < MOAT_STAGE_COPY; i++)
		fprintf(f, "\"%s\": %.3f, ", moat_stage_name(i), per(s.stats.cost.cycles[i], n));
	fprintf(f, "\"total\": %.3f, \"application\": %.3f},\n",
		per(moat_cost_mapping(&s.stats.cost), n),
		per(s.stats.cost.cycles[MOAT_STAGE_APPLICATION], n));
	fprintf(f, "     \"iotlb\": {\"hits\": %ju, \"misses\": %ju}}",
		(uintmax_t)s.stats.iotlb_hits, (uintmax_t)s.stats.iotlb_misses);
}

int fwd_json_write(const struct fwd_run *run, const char *path)
{
	FILE *f = fopen(path, "w");
	bool failed;

	if (f == NULL)
		return moat_error(-errno, "%s cannot be written: %s", path, strerror(errno));
	fputs("{\n", f);
	write_unit(f, run);
	fprintf(f, "  \"tsc_hz\": %ju,\n  \"seconds\": %.3f,\n  \"tenants\": [\n",
		(uintmax_t)rte_get_tsc_hz(), fwd_report_seconds());
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		write_tenant(f, &run->tenants[i]);
		fputs(i + 1 < run->conf->nr_tenants ? ",\n" : "\n", f);
	}
	fputs("  ]\n}\n", f);
	failed = ferror(f) != 0;
	if (fclose(f) != 0 || failed)
		return moat_error(-EIO, "%s was not written to its end: %s", path, strerror(errno));
	return 0;
}
