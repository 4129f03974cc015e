/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The table every second, and the summary. doc/cost.md says how to read them. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fwd.h"
#include "moat_counter.h"

static struct {
	uint64_t begin; /* TSC */
	struct fwd_snapshot last[FWD_TENANTS];
	bool terminal;
	unsigned int lines; /* on the terminal, which the next table overwrites */
	unsigned int tables;
} report;

void fwd_snapshot(const struct fwd_run_tenant *t, struct fwd_snapshot *s)
{
	*s = (struct fwd_snapshot){ .tsc = rte_rdtsc() };
	moat_tenant_stats(t->tenant, &s->stats);
	s->buffers = t->pool->size;
	s->missing = s->buffers - RTE_MIN(s->buffers, rte_mempool_avail_count(t->pool));
	for (unsigned int i = 0; i < t->nr_groups; i++) {
		const struct fwd_counters *c = &t->groups[i].count;

		s->count.rx_packets += moat_counter_get(&c->rx_packets);
		s->count.tx_packets += moat_counter_get(&c->tx_packets);
		s->count.drops += moat_counter_get(&c->drops);
		s->count.flooded += moat_counter_get(&c->flooded);
	}
	/* Lost packets were received, but never reached the loop that counts. */
	s->count.rx_packets += s->stats.lost;
	/* rte_eth_tx_burst() reports foreign packets as sent. The loop may not have counted the
	 * last of them yet. */
	s->count.tx_packets -= RTE_MIN(s->stats.foreign, s->count.tx_packets);
	s->count.drops += s->stats.lost + s->stats.foreign;
}

double fwd_report_seconds(void)
{
	return (double)(rte_rdtsc() - report.begin) / (double)rte_get_tsc_hz();
}

void fwd_report_begin(struct fwd_run *run)
{
	memset(&report, 0, sizeof(report));
	report.begin = rte_rdtsc();
	report.terminal = isatty(STDOUT_FILENO);
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++)
		fwd_snapshot(&run->tenants[i], &report.last[i]);
}

static const char *port_name(const struct fwd_run *run, uint16_t id)
{
	for (unsigned int i = 0; i < run->conf->nr_ports; i++)
		if (run->ports[i].id == id)
			return run->ports[i].conf->name;
	return "?";
}

void fwd_report_lcores(const struct fwd_run *run)
{
	for (unsigned int i = 0; i < run->nr_workers; i++) {
		const struct fwd_worker *w = &run->workers[i];

		printf("lcore %u polls", w->lcore);
		for (unsigned int k = 0; k < w->nr_groups; k++) {
			const struct fwd_group *g = w->groups[k];

			for (unsigned int p = 0; p < g->nr_ports; p++)
				printf(" %s:%u", port_name(run, g->at[p].port), g->at[p].queue);
			if (k + 1 == w->nr_groups || w->groups[k + 1]->tenant != g->tenant)
				printf(" (%s)", g->tenant->conf->name);
		}
		putchar('\n');
	}
	fflush(stdout);
}

/* ------------------------------------------------------------------------------------ table */

/* "1.23 M", right-aligned by the caller */
static const char *human(double value, char *buf, size_t size)
{
	static const char units[] = " kMG";
	unsigned int i = 0;

	while (value >= 10000 && i < 3) {
		value /= 1000;
		i++;
	}
	if (i == 0)
		snprintf(buf, size, "%.0f", value);
	else
		snprintf(buf, size, "%.1f %c", value, units[i]);
	return buf;
}

/* Write a number per packet, or a dash if there was no packet. */
static const char *per_packet(uint64_t value, uint64_t packets, int digits, char *buf, size_t size)
{
	if (packets == 0)
		snprintf(buf, size, "-");
	else
		snprintf(buf, size, "%.*f", digits, (double)value / (double)packets);
	return buf;
}

#define PER(value, packets, digits) per_packet(value, packets, digits, (char[24]){ 0 }, 24)

static const char *percent(uint64_t part, uint64_t whole, char *buf, size_t size)
{
	if (whole == 0)
		snprintf(buf, size, "-");
	else
		snprintf(buf, size, "%.1f%%", 100.0 * (double)part / (double)whole);
	return buf;
}

static void line_end(void)
{
	fputs(report.terminal ? "\x1b[K\n" : "\n", stdout);
	report.lines++;
}

static void print_header(void)
{
	if (report.terminal)
		fputs("\x1b[1m", stdout);
	printf("%7s  %-15s %-9s %10s │ %6s %6s %6s %6s %6s %6s %6s %7s │ %6s %7s │ %6s %6s %6s │ %6s",
		"seconds", "tenant", "mode", "packets/s", "map", "transl", "unmap", "submit",
		"wait", "reclm", "copy", "mapping", "app", "device", "iotlb", "desc", "waits",
		"faults");
	if (report.terminal)
		fputs("\x1b[0m", stdout);
	line_end();
}

/* b - a, stage by stage */
static uint64_t stage(const struct fwd_snapshot *a, const struct fwd_snapshot *b, enum moat_stage i)
{
	return b->stats.cost.cycles[i] - a->stats.cost.cycles[i];
}

static uint64_t mapping(const struct fwd_snapshot *a, const struct fwd_snapshot *b)
{
	return moat_cost_mapping(&b->stats.cost) - moat_cost_mapping(&a->stats.cost);
}

static void print_tenant(const struct fwd_run_tenant *t, const struct fwd_snapshot *a,
	const struct fwd_snapshot *b)
{
	double seconds = (double)(b->tsc - a->tsc) / (double)rte_get_tsc_hz();
	uint64_t packets = b->count.rx_packets - a->count.rx_packets;
	uint64_t hits = b->stats.iotlb_hits - a->stats.iotlb_hits;
	uint64_t misses = b->stats.iotlb_misses - a->stats.iotlb_misses;
	char rate[24], hit[24];

	printf("%7.1f  %-15s %-9s %10s │", fwd_report_seconds(), t->conf->name,
		moat_mode_name(t->conf->mode),
		human((double)packets / seconds, rate, sizeof(rate)));
	for (enum moat_stage i = 0; i < MOAT_STAGES_MAPPING; i++)
		printf(" %6s", PER(stage(a, b, i), packets, 0));
	printf(" %7s │ %6s %7s │ %6s %6s %6s │ %6ju", PER(mapping(a, b), packets, 0),
		PER(stage(a, b, MOAT_STAGE_APPLICATION), packets, 0),
		PER(stage(a, b, MOAT_STAGE_DEVICE), packets, 0),
		percent(hits, hits + misses, hit, sizeof(hit)),
		PER(b->stats.lane.descriptors - a->stats.lane.descriptors, packets, 2),
		PER(b->stats.waits - a->stats.waits, packets, 2),
		(uintmax_t)(b->stats.faults - a->stats.faults));
	line_end();
}

void fwd_report_table(struct fwd_run *run)
{
	if (report.terminal && report.lines != 0)
		printf("\x1b[%uA", report.lines); /* up, over the last table */
	report.lines = 0;
	if (report.terminal || report.tables % 20 == 0)
		print_header();
	report.tables++;
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		struct fwd_snapshot now;

		fwd_snapshot(&run->tenants[i], &now);
		print_tenant(&run->tenants[i], &report.last[i], &now);
		report.last[i] = now;
	}
	fflush(stdout);
}

void fwd_report_line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	fputs(report.terminal ? "\x1b[K\n" : "\n", stdout);
	report.lines = 0; /* the next table is printed below this line */
	fflush(stdout);
}

/* ---------------------------------------------------------------------------------- summary */

double fwd_window(const struct moat_lane_stats *lane, double q)
{
	uint64_t seen = 0;

	for (unsigned int i = 0; i < MOAT_LANE_WINDOWS; i++) {
		seen += lane->exposed_windows[i];
		if (seen != 0 && (double)seen >= q * (double)lane->exposed_pages)
			return RTE_MIN((double)(UINT64_C(2) << i), (double)lane->exposed_max);
	}
	return (double)lane->exposed_max;
}

/* Print the numbers that a mode is chosen by. */
static void summarise_mode(const struct moat_tenant_stats *s, enum moat_mode mode)
{
	double us = 1e6 / (double)rte_get_tsc_hz();

	if (mode == MOAT_PIPELINED)
		printf("  a packet was held back for %.1f us at most\n", (double)s->delay_max * us);
	else if (mode == MOAT_DEFERRED)
		printf("  after a page was handed on, its device could reach it for %.1f us at most (half "
		       "of the pages: %.1f us or less)\n",
			(double)s->lane.exposed_max * us, fwd_window(&s->lane, 0.5) * us);
	else if (mode == MOAT_COPY)
		printf("  %ju bytes copied\n", (uintmax_t)s->copied);
}

/* Print the cycles of a burst, all mapping stages together. */
static void summarise_bursts(const struct fwd_run_tenant *t)
{
	static struct moat_hist hist; /* 20 KiB; one thread reports */

	moat_tenant_bursts(t->tenant, MOAT_STAGES_MAPPING, &hist);
	if (hist.n != 0)
		printf("  cycles per burst, together: median %.0f, p99 %.0f, max %ju\n",
			moat_hist_quantile(&hist, 0.5), moat_hist_quantile(&hist, 0.99),
			(uintmax_t)hist.max);
}

/* Does the tenant have fewer buffers than moat_tenant_pool_size() computes? */
static bool has_too_few(const struct fwd_tenant *t)
{
	struct fwd_tenant computed = *t;

	computed.buffers = 0;
	return fwd_tenant_buffers(t) < fwd_tenant_buffers(&computed);
}

static void summarise_tenant(const struct fwd_run_tenant *t, double seconds, double per_mark)
{
	struct fwd_snapshot s;
	uint64_t n;
	char text[24];

	fwd_snapshot(t, &s);
	n = s.count.rx_packets;
	printf("tenant %s, %s: %ju packets in, %ju out, %ju dropped, %s packets/s; %ju faults\n",
		t->conf->name, moat_mode_name(t->conf->mode), (uintmax_t)n,
		(uintmax_t)s.count.tx_packets, (uintmax_t)s.count.drops,
		human((double)n / seconds, text, sizeof(text)), (uintmax_t)s.stats.faults);
	printf("  cycles per packet:");
	for (enum moat_stage i = 0; i < MOAT_STAGES_MAPPING; i++)
		printf(" %s %s,", moat_stage_name(i), PER(s.stats.cost.cycles[i], n, 1));
	printf(" together %s\n  besides: application %s, device %s\n",
		PER(moat_cost_mapping(&s.stats.cost), n, 1),
		PER(s.stats.cost.cycles[MOAT_STAGE_APPLICATION], n, 1),
		PER(s.stats.cost.cycles[MOAT_STAGE_DEVICE], n, 1));
	if (n != 0)
		printf("  the stopwatch's own share of these: %s cycles per packet, %.2f %%\n",
			PER((uint64_t)((double)s.stats.cost.marks * per_mark), n, 1),
			100 * moat_cost_overhead(&s.stats.cost, per_mark));
	printf("  shadow IOTLB: %s of %ju look-ups hit; %s invalidation descriptors and %s waits per "
	       "packet\n",
		percent(s.stats.iotlb_hits, s.stats.iotlb_hits + s.stats.iotlb_misses, text,
			sizeof(text)),
		(uintmax_t)(s.stats.iotlb_hits + s.stats.iotlb_misses),
		PER(s.stats.lane.descriptors, n, 3), PER(s.stats.waits, n, 3));
	summarise_bursts(t);
	summarise_mode(&s.stats, t->conf->mode);
	if (s.missing == 0)
		printf("  all %u buffers are back\n", s.buffers);
	else
		printf("  %u of %u buffers are MISSING\n", s.missing, s.buffers);
	if (s.stats.verify_failed + s.stats.starved + s.stats.map_failed + s.stats.overrun +
			s.stats.lost + s.stats.foreign !=
		0)
		printf("  problems: %ju packets where the device may not write, %ju sent from "
		       "memory that is not the tenant's, %ju bursts that could not be mapped at once, "
		       "%ju times no buffer was ready%s, %ju packets "
		       "dropped because too many waited or no buffer was free to copy into, %ju "
		       "lost because the unit did not answer\n",
			(uintmax_t)s.stats.verify_failed, (uintmax_t)s.stats.foreign,
			(uintmax_t)s.stats.map_failed, (uintmax_t)s.stats.starved,
			has_too_few(t->conf) ? " (leave out 'buffers')" : "",
			(uintmax_t)s.stats.overrun, (uintmax_t)s.stats.lost);
}

void fwd_report_summary(struct fwd_run *run)
{
	double per_mark = moat_cost_per_mark(); /* measured once, so that tenants compare */
	double seconds = fwd_report_seconds();

	printf("\nafter %.1f s\n", seconds);
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++)
		summarise_tenant(&run->tenants[i], seconds, per_mark);
	for (unsigned int i = 0; i < run->conf->nr_units; i++) {
		struct fwd_unit_total total;
		char text[1536];

		fwd_unit_total(run, i, &total);
		printf("unit %s (%s): %ju descriptors, %ju waits, %ju pages invalidated; %ju faults",
			run->conf->units[i].name, run->conf->units[i].unit->kind,
			(uintmax_t)total.stats.descriptors, (uintmax_t)total.stats.waits,
			(uintmax_t)total.stats.pages, (uintmax_t)total.faults);
		if (total.stats.has_oracle)
			printf("; %ju stale DMA, %ju stale interrupts",
				(uintmax_t)total.stats.stale_dma,
				(uintmax_t)total.stats.stale_interrupts);
		putchar('\n');
		if (app_unit_interrupts(run->conf->units[i].unit, text, sizeof(text)))
			printf("unit %s: interrupts: %s\n", run->conf->units[i].name, text);
	}
	for (unsigned int i = 0; i < run->conf->nr_ports; i++) {
		char text[1536];

		if (fwd_shared_text(run, &run->ports[i], text, sizeof(text))[0] != '\0')
			printf("port %s: interrupts: %s\n", run->ports[i].conf->name, text);
	}
	fflush(stdout);
}
