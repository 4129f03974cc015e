/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Runs the cases one after the other: opens the unit, runs the test on the lcores, collects
 * counts. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "moat_soft_unit.h"
#include "perf_work.h"

/* Seconds that an lcore may take to go through its working set once. */
#define WARM_S 20

/* ------------------------------------------------------------------------------- on the lcore */

/* Independent sums and stores, as runs of table entries have them, so that a neighbour on the same
 * core slows down both alike. */
uint64_t perf_reference(void)
{
	static __thread volatile uint64_t page[512];
	uint64_t begin = rte_rdtsc(), a = 1, b = 2, c = 3, d = 4;

	for (unsigned int i = 0; i < 512; i += 4) {
		a = a * 5 + page[i];
		b = b * 5 + page[i + 1];
		c = c * 5 + page[i + 2];
		d = d * 5 + page[i + 3];
		page[i] = a ^ b;
		page[i + 2] = c ^ d;
	}
	return rte_rdtsc() - begin;
}

bool perf_work_phase(struct perf_work *w, int phase)
{
	const struct perf_ops *ops = w->c->test == PERF_MAP ? &perf_map_ops : &perf_packets_ops;

	w->seen = phase;
	if (phase == PERF_STOP) {
		w->end = rte_rdtsc();
		ops->mark(w, false);
		return false;
	}
	memset(&w->cost, 0, sizeof(w->cost));
	memset(&w->round, 0, sizeof(w->round));
	w->nr_rounds = 0;
	memset(w->runs, 0, sizeof(w->runs));
	memset(&w->map, 0, sizeof(w->map));
	memset(&w->unmap, 0, sizeof(w->unmap));
	memset(&w->both, 0, sizeof(w->both));
	w->operations = w->waits = w->starved = 0;
	ops->mark(w, true);
	w->begin = rte_rdtsc();
	return true;
}

void perf_work_sample(struct perf_work *w, const struct moat_cost *before,
	const struct moat_cost *now, unsigned int n)
{
	uint64_t map = 0, unmap = 0;

	for (unsigned int i = 0; i < MOAT_STAGES; i++) {
		uint64_t cycles = now->cycles[i] - before->cycles[i];

		w->round.cycles[i] += cycles;
		if (i >= MOAT_STAGES_MAPPING)
			continue;
		if (i == MOAT_STAGE_MAP || i == MOAT_STAGE_COPY || i == MOAT_STAGE_TRANSLATE)
			map += cycles;
		else
			unmap += cycles;
	}
	moat_hist_add(&w->map, map * PERF_HIST_SCALE / n);
	moat_hist_add(&w->unmap, unmap * PERF_HIST_SCALE / n);
	moat_hist_add(&w->both, (map + unmap) * PERF_HIST_SCALE / n);
	w->operations += n;
	w->round.operations += n;
	if (++w->round.batches == PERF_ROUND_BATCHES) {
		w->round.reference = perf_reference();
		moat_cost_start(&RTE_PER_LCORE(moat_cost_watch)); /* charge that to no stage */
		w->rounds[w->nr_rounds++ % PERF_ROUNDS] = w->round;
		memset(&w->round, 0, sizeof(w->round));
	}
}

void perf_lane_difference(struct moat_lane_stats *after, const struct moat_lane_stats *before)
{
	after->pages_mapped -= before->pages_mapped;
	after->pages_unmapped -= before->pages_unmapped;
	after->descriptors -= before->descriptors;
	after->flushes -= before->flushes;
	after->full -= before->full;
	after->retried -= before->retried;
	after->exposed_pages -= before->exposed_pages;
	after->exposed_page_cycles -= before->exposed_page_cycles;
	for (unsigned int i = 0; i < MOAT_LANE_WINDOWS; i++)
		after->exposed_windows[i] -= before->exposed_windows[i];
	/* exposed_max stays the longest since the lane was opened */
}

static int lcore_main(void *arg)
{
	struct perf_work *w = arg;
	const struct perf_ops *ops = w->c->test == PERF_MAP ? &perf_map_ops : &perf_packets_ops;

	w->rc = ops->loop(w);
	if (w->rc != 0)
		snprintf(w->error, sizeof(w->error), "%s",
			moat_error_text()[0] != '\0' ? moat_error_text() : strerror(-w->rc));
	return w->rc;
}

/* ------------------------------------------------------------------------------ the main thread */

/* A unit's counters, for predictions and doorbells. */
struct counted {
	struct moat_softvtd_stats soft;
	struct moat_qi_stats qi;
};

static void count(struct moat_unit *unit, struct counted *counted)
{
	struct moat_softvtd *sv = moat_soft_unit_find(unit->name);

	memset(counted, 0, sizeof(*counted));
	if (sv != NULL)
		moat_softvtd_stats(sv, &counted->soft);
	if (unit->qi != NULL)
		moat_qi_stats(unit->qi, &counted->qi);
}

static void nap(void)
{
	const struct timespec t = { .tv_nsec = 1000000 };

	nanosleep(&t, NULL);
}

/* Has every lcore been through its working set, or has one ended with an error? */
static bool all_warm(const struct perf_work works[], unsigned int n)
{
	bool warm = true;

	for (unsigned int i = 0; i < n; i++) {
		if (rte_eal_get_lcore_state(works[i].lcore) != RUNNING)
			return true;
		warm &= atomic_load_explicit(&works[i].warm, memory_order_relaxed);
	}
	return warm;
}

static bool all_run(const struct perf_work works[], unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (rte_eal_get_lcore_state(works[i].lcore) != RUNNING)
			return false;
	return true;
}

/* Lead the lcores through the phases. */
static void lead(const struct perf_case *c, struct perf_work works[], _Atomic int *phase,
	struct counted at[2], const volatile int *stop)
{
	uint64_t hz = rte_get_tsc_hz(), begin = rte_rdtsc();
	uint64_t least = begin + (uint64_t)((double)hz * c->seconds / 10), end;

	while (!*stop && rte_rdtsc() - begin < WARM_S * hz &&
		(rte_rdtsc() < least || !all_warm(works, c->lcores)))
		nap();
	count(works[0].unit, &at[0]);
	atomic_store_explicit(phase, PERF_MEASURE, memory_order_relaxed);
	end = rte_rdtsc() + (uint64_t)((double)hz * c->seconds);
	while (!*stop && rte_rdtsc() < end && all_run(works, c->lcores))
		nap();
	count(works[0].unit, &at[1]);
	atomic_store_explicit(phase, PERF_STOP, memory_order_relaxed);
}

/* -------------------------------------------------------------------------------- the result */

static void spread(struct perf_spread *s, const struct moat_hist *h)
{
	double scale = PERF_HIST_SCALE;

	*s = (struct perf_spread){
		.min = h->n != 0 ? (double)h->min / scale : 0,
		.median = moat_hist_quantile(h, 0.5) / scale,
		.p99 = moat_hist_quantile(h, 0.99) / scale,
		.max = (double)h->max / scale,
		.mean = h->n != 0 ? (double)h->sum / (double)h->n / scale : 0,
	};
}

static void sum_lcores(struct perf_result *r, struct perf_work works[], unsigned int n,
	struct moat_lane_stats *lane, uint64_t *waited)
{
	double hz = (double)rte_get_tsc_hz();

	for (unsigned int i = 0; i < n; i++) {
		struct perf_work *w = &works[i];
		double seconds = (double)(w->end - w->begin) / hz;

		r->seconds += seconds / n;
		r->operations += w->operations;
		r->rate += seconds > 0 ? (double)w->operations / seconds : 0;
		r->starved += w->starved;
		*waited += w->waits;
		lane->pages_unmapped += w->lane.pages_unmapped;
		lane->descriptors += w->lane.descriptors;
		lane->flushes += w->lane.flushes;
		lane->exposed_pages += w->lane.exposed_pages;
		lane->exposed_page_cycles += w->lane.exposed_page_cycles;
		lane->exposed_max = RTE_MAX(lane->exposed_max, w->lane.exposed_max);
		for (unsigned int k = 0; k < PERF_RUN_SIZES; k++)
			r->runs[k] += w->runs[k];
		for (unsigned int k = 0; k < MOAT_LANE_WINDOWS; k++)
			r->windows[k] += w->lane.exposed_windows[k];
		if (i != 0) {
			moat_hist_merge(&works[0].map, &w->map);
			moat_hist_merge(&works[0].unmap, &w->unmap);
			moat_hist_merge(&works[0].both, &w->both);
		}
	}
}

/* @return mapping cycles per operation of a round */
static double round_total(const struct perf_round *round)
{
	uint64_t sum = 0;

	for (unsigned int k = 0; k < MOAT_STAGES_MAPPING; k++)
		sum += round->cycles[k];
	return (double)sum / (double)round->operations;
}

static int by_total(const void *a, const void *b)
{
	double x = round_total(*(const struct perf_round *const *)a);
	double y = round_total(*(const struct perf_round *const *)b);

	return x < y ? -1 : x > y;
}

/* Compute cycles by stage: the mean of the middle half of the rounds. */
static void stages(struct perf_result *r, struct perf_work works[], unsigned int n)
{
	const struct perf_round **rounds =
		calloc((size_t)n * (PERF_ROUNDS + 1) + 1, sizeof(*rounds));
	uint64_t operations = 0, used = 0;
	size_t all = 0;

	for (unsigned int i = 0; i < n && rounds != NULL; i++) {
		for (unsigned int k = 0; k < RTE_MIN(works[i].nr_rounds, PERF_ROUNDS); k++)
			rounds[all++] = &works[i].rounds[k];
		if (works[i].nr_rounds == 0 && works[i].round.operations != 0)
			rounds[all++] = &works[i].round;
	}
	if (all != 0)
		qsort(rounds, all, sizeof(*rounds), by_total);
	for (size_t i = all / 4; i < all - all / 4; i++) {
		operations += rounds[i]->operations;
		used += rounds[i]->reference != 0;
		r->reference += (double)rounds[i]->reference;
		for (unsigned int k = 0; k < MOAT_STAGES; k++)
			r->cycles[k] += (double)rounds[i]->cycles[k];
	}
	for (unsigned int k = 0; k < MOAT_STAGES; k++) {
		r->cycles[k] = operations != 0 ? r->cycles[k] / (double)operations : 0;
		r->total += k < MOAT_STAGES_MAPPING ? r->cycles[k] : 0;
	}
	r->reference = used != 0 ? r->reference / (double)used : 0;
	free(rounds);
}

static double ratio(uint64_t a, uint64_t b)
{
	return b != 0 ? (double)a / (double)b : 0;
}

/* @return 4 KiB pages of an operation */
static uint64_t pages_of(const struct perf_case *c)
{
	return (c->test == PERF_MAP ? c->granule * c->page : perf_room(c)) / MOAT_PAGE_SIZE;
}

static void conclude(const struct perf_case *c, struct perf_work works[],
	const struct counted at[2], struct perf_result *r)
{
	const struct moat_softvtd_stats *b = &at[0].soft, *e = &at[1].soft;
	struct moat_lane_stats lane = { 0 };
	uint64_t waited = 0, dmas, reads, us = rte_get_tsc_hz() / 1000000;

	sum_lcores(r, works, c->lcores, &lane, &waited);
	stages(r, works, c->lcores);
	r->driver_rate = r->total > 0 ? (double)rte_get_tsc_hz() / r->total : 0;
	spread(&r->map, &works[0].map);
	spread(&r->unmap, &works[0].unmap);
	spread(&r->both, &works[0].both);
	r->pages = r->operations * pages_of(c);
	r->page_rate = r->rate * (double)pages_of(c);
	r->descriptors = ratio(lane.descriptors, lane.pages_unmapped);
	r->waits = ratio(lane.flushes, lane.pages_unmapped);
	r->doorbells = ratio(at[1].qi.doorbells - at[0].qi.doorbells, lane.pages_unmapped);
	r->waited = ratio(waited, r->operations);
	r->exposed_pages = lane.exposed_pages;
	r->exposed_mean_us = ratio(lane.exposed_page_cycles, lane.exposed_pages) / (double)us;
	r->exposed_max_us = (double)lane.exposed_max / (double)us;
	dmas = e->dma_reads + e->dma_writes - b->dma_reads - b->dma_writes;
	reads = e->memory_reads - b->memory_reads;
	/* a DMA in and one out per packet; memory reads for descriptors count as theirs */
	if (c->test == PERF_PACKETS)
		dmas = 2 * r->operations;
	perf_predict(&r->prediction, dmas, c->test == PERF_PACKETS ? c->frame : c->dma,
		e->iotlb_misses - b->iotlb_misses, e->psc_misses - b->psc_misses, reads);
}

/* ----------------------------------------------------------------------------------- a case */

static int measure(const struct perf_case *c, struct perf_work works[], struct perf_result *r,
	const volatile int *stop)
{
	const struct perf_ops *ops = c->test == PERF_MAP ? &perf_map_ops : &perf_packets_ops;
	struct counted at[2];
	_Atomic int phase = PERF_WARM;
	int rc = ops->create(works, c->lcores), destroyed;

	if (rc == 0) {
		for (unsigned int i = 0; i < c->lcores; i++) {
			works[i].phase = &phase;
			rte_eal_remote_launch(lcore_main, &works[i], works[i].lcore);
		}
		lead(c, works, &phase, at, stop);
		for (unsigned int i = 0; i < c->lcores; i++) {
			rte_eal_wait_lcore(works[i].lcore);
			if (rc == 0 && works[i].rc != 0)
				rc = moat_error(works[i].rc, "%s", works[i].error);
		}
		if (rc == 0)
			conclude(c, works, at, r);
		if (rc == 0 && r->operations == 0 && !*stop)
			rc = moat_error(-ETIMEDOUT, "not one operation in %g s", r->seconds);
	}
	if (rc != 0)
		snprintf(r->error, sizeof(r->error), "%s", moat_error_text());
	destroyed = ops->destroy(works, c->lcores);
	if (rc == 0 && destroyed != 0)
		snprintf(r->error, sizeof(r->error), "%s", moat_error_text());
	return rc != 0 ? rc : destroyed;
}

static int open_unit(const struct perf_case *c, struct moat_unit **unit)
{
	const moat_sid_t device = (moat_sid_t)c->device;
	struct app_unit_conf conf;
	char text[PERF_UNIT_TEXT];

	perf_unit_conf(c->unit, &conf, text);
	conf.tenants = &device;
	conf.nr_tenants = c->device >= 0;
	return app_unit_open(c->unit->kind, &conf, unit);
}

static void run_case(const struct perf_case *c, struct perf_result *r, const volatile int *stop)
{
	struct perf_work *works = aligned_alloc(RTE_CACHE_LINE_SIZE,
		RTE_CACHE_LINE_ROUNDUP(c->lcores * sizeof(*works)));
	unsigned int lcore = -1;
	struct moat_unit *unit;

	r->rc = works == NULL ? moat_error(-ENOMEM, "no memory for %u lcores", c->lcores)
			      : open_unit(c, &unit);
	if (works == NULL || r->rc != 0) {
		snprintf(r->error, sizeof(r->error), "%s", moat_error_text());
		free(works);
		return;
	}
	memset(works, 0, c->lcores * sizeof(*works));
	for (unsigned int i = 0; i < c->lcores; i++) {
		lcore = rte_get_next_lcore(lcore, 1, 0);
		works[i].c = c;
		works[i].unit = unit;
		works[i].index = i;
		works[i].lcore = lcore;
	}
	c->unit->stage = perf_unit_stage(unit);
	r->rc = measure(c, works, r, stop);
	free(works);
	app_unit_close(unit);
}

/* ------------------------------------------------------------------------------------ progress */

double perf_remaining(const struct perf *perf, unsigned int done)
{
	unsigned int rounds = perf->repeat;
	double sum = 0, all = 0;

	for (; perf->nr_cases != 0 && done >= perf->nr_cases; done -= perf->nr_cases)
		rounds--;
	for (unsigned int i = 0; i < perf->nr_cases; i++) {
		double one = perf->cases[i].seconds * 1.1 + 0.1;

		all += one;
		if (i >= done)
			sum += one;
	}
	return sum + (rounds - 1) * all;
}

/* Draw a bar below the table, on a terminal only. */
static void progress(const struct perf *perf, unsigned int done, bool on)
{
	unsigned int all = perf->nr_cases * perf->repeat, width = 30;

	if (!isatty(STDERR_FILENO))
		return;
	fputs("\r\033[K", stderr);
	if (on && done < all) {
		fprintf(stderr, "[");
		for (unsigned int i = 0; i < width; i++)
			fputc(i < done * width / all ? '#' : '.', stderr);
		fprintf(stderr, "] %u of %u, %.0f s left", done, all, perf_remaining(perf, done));
	}
	fflush(stderr);
}

static int by_result_total(const void *a, const void *b)
{
	const struct perf_result *x = a, *y = b;

	if ((x->rc != 0) != (y->rc != 0))
		return x->rc != 0 ? 1 : -1;
	return x->total < y->total ? -1 : x->total > y->total;
}

/* Choose a case's result: the repeat whose total is the median, or one that failed. */
static void choose(struct perf *perf, unsigned int i, unsigned int n)
{
	struct perf_result *all = perf_repeat(perf, i, 0);
	struct perf_result *sorted = calloc(n, sizeof(*sorted));

	if (sorted == NULL) {
		perf->results[i] = all[0];
		return;
	}
	memcpy(sorted, all, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_result_total);
	perf->results[i] = sorted[n - 1].rc != 0 ? sorted[n - 1] : sorted[(n - 1) / 2];
	free(sorted);
}

/* Run all cases once; in every other round from the last to the first, so that no case always runs
 * after another. */
static bool run_round(struct perf *perf, unsigned int round, const volatile int *stop)
{
	for (unsigned int k = 0; k < perf->nr_cases; k++) {
		unsigned int i = round % 2 == 0 ? k : perf->nr_cases - 1 - k;

		progress(perf, round * perf->nr_cases + k, true);
		run_case(&perf->cases[i], perf_repeat(perf, i, round), stop);
		if (*stop)
			return false; /* the case was cut short: do not count it */
		progress(perf, round * perf->nr_cases + k, false);
		if (round == 0)
			perf->nr_done++;
		if (perf->repeat == 1) {
			choose(perf, i, 1);
			perf_text_row(perf, i);
		}
	}
	perf->nr_rounds++;
	return true;
}

int perf_run(struct perf *perf, const volatile int *stop)
{
	perf->results = calloc(perf->nr_cases, sizeof(*perf->results));
	perf->repeats = calloc((size_t)perf->nr_cases * perf->repeat, sizeof(*perf->repeats));
	if (perf->results == NULL || perf->repeats == NULL)
		return moat_error(-ENOMEM, "no memory for %u results",
			perf->nr_cases * perf->repeat);
	for (unsigned int round = 0; round < perf->repeat && run_round(perf, round, stop);)
		round++;
	/* A run that was stopped in its first round has one result of each case done so far. A run
	 * that was stopped later has all cases, with the results of the completed rounds. */
	for (unsigned int i = 0; i < perf->nr_done && perf->repeat > 1; i++) {
		choose(perf, i, RTE_MAX(perf->nr_rounds, 1u));
		perf_text_row(perf, i);
	}
	progress(perf, 0, false);
	return *stop ? -EINTR : 0;
}
