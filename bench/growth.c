/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * How costs grow with the pages mapped in a domain, and with the domains on a unit. The curves
 * should be flat; only the processor's caches bend them. Where caches matter there are two curves:
 * with warm data, and with all data touched in turn. bench/growth draws the curves.
 *
 *     growth/map/PAGES, unmap      PAGES pages mapped, then unmapped, one call each
 *     growth/translate/PAGES       random pages of PAGES, single look-ups
 *     growth/burst32/PAGES         the whole path of a burst (bench/path.c) beside PAGES pages
 *     growth/domains/DOMAINS       the same burst in one of DOMAINS domains, always the same one
 *     growth/domains_in_turn/DOMAINS   the burst in each domain in turn: data come from memory
 *     growth/domains_in_turn_4g/DOMAINS    the same at 4 GiB of IOVA, beyond the first window of
 *                                  granules, which ends at 1 GiB; the others are at 2 MiB
 *     growth/domains_in_turn_ahead/DOMAINS as domains_in_turn, with moat_lane_prefetch()
 *     growth/lines_in_turn/DOMAINS     the lower bound of domains_in_turn: writes as many lines,
 *                                  found by as many dependent loads, and does nothing else
 *     growth/lines_in_turn_ahead/DOMAINS   the lower bound of domains_in_turn_ahead
 */
#include <stdlib.h>
#include <sys/mman.h>

#include <rte_prefetch.h>
#include <urcu-qsbr.h>

#include "unit.h"

#define BURST 32u

struct growth {
	struct bench_unit *unit;
	struct moat_lane **lane;
	uint64_t lanes, next;
	uint64_t base; /* IOVA */
};

static int make(struct moat_bench_run *run, uint64_t lanes, uint64_t pages, uint64_t base)
{
	struct growth *g = calloc(1, sizeof(*g));

	run->ctx = g;
	if (g == NULL || (g->unit = bench_unit_create(BENCH_AT_ONCE)) == NULL)
		return moat_bench_skip("no memory");
	g->lanes = lanes;
	g->base = base;
	g->lane = calloc(lanes, sizeof(*g->lane));
	for (uint64_t i = 0; i < lanes; i++) {
		g->lane[i] = bench_lane_create(g->unit, 0);
		if (g->lane[i] == NULL)
			return moat_bench_skip("%s", moat_error_text());
		for (uint64_t k = 0; k < pages; k++)
			bench_map(g->lane[i], base + k * MOAT_PAGE_SIZE, MOAT_PAGE_SIZE);
	}
	return 0;
}

static void drop(struct moat_bench_run *run)
{
	struct growth *g = run->ctx;

	for (uint64_t i = 0; i < g->lanes; i++)
		bench_lane_destroy(g->lane[i]);
	bench_unit_destroy(g->unit);
	free(g->lane);
	free(g);
}

/* -------------------------------------------------------------------------------- with pages */

static int make_pages(struct moat_bench_run *run)
{
	return make(run, 1, (uint64_t)run->arg, BENCH_UNIT_BASE);
}

static void map_or_unmap(struct moat_bench_run *run, uint64_t n, bool time_map)
{
	struct growth *g = run->ctx;
	struct moat_pt *pt = moat_lane_domain(g->lane[0])->pt;
	struct moat_pt_freed freed = { 0 };
	uint64_t end = BENCH_UNIT_BASE + (uint64_t)run->arg * MOAT_PAGE_SIZE;

	for (uint64_t k = 0; k < n; k++) {
		if (!time_map)
			moat_bench_start(run);
		for (uint64_t iova = BENCH_UNIT_BASE; iova < end; iova += MOAT_PAGE_SIZE)
			if (moat_pt_unmap(pt, iova, MOAT_PAGE_SIZE, &freed, NULL) != 0)
				abort();
		if (time_map)
			moat_bench_start(run);
		else
			moat_bench_stop(run);
		for (uint64_t iova = BENCH_UNIT_BASE; iova < end; iova += MOAT_PAGE_SIZE)
			bench_map(g->lane[0], iova, MOAT_PAGE_SIZE);
		if (time_map)
			moat_bench_stop(run);
	}
}

static void map(struct moat_bench_run *run, uint64_t n)
{
	map_or_unmap(run, n, true);
}

static void unmap(struct moat_bench_run *run, uint64_t n)
{
	map_or_unmap(run, n, false);
}

static void translate(struct moat_bench_run *run, uint64_t n)
{
	struct growth *g = run->ctx;
	struct moat_iotlb *tlb = &g->lane[0]->iotlb;
	uint64_t sum = 0, random = 1, pages = (uint64_t)run->arg;

	for (uint64_t k = 0; k < n; k++) {
		/* random numbers in 3 cycles: a linear congruential generator, and a product
		 * instead of a division */
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		sum += (uintptr_t)moat_iotlb_translate(tlb,
			BENCH_UNIT_BASE + ((random >> 32) * pages >> 32) * MOAT_PAGE_SIZE, 64,
			MOAT_W);
	}
	moat_bench_use(sum);
	if (tlb->faults != 0)
		abort();
}

static inline void burst(struct moat_lane *lane, uint64_t iova)
{
	bench_map(lane, iova, BURST * MOAT_PAGE_SIZE);
	bench_unmap(lane, iova, BURST * MOAT_PAGE_SIZE);
	bench_complete(lane);
}

/* The buffers lie after the pages, in page tables of their own. */
static void pages_burst(struct moat_bench_run *run, uint64_t n)
{
	struct growth *g = run->ctx;
	uint64_t base =
		BENCH_UNIT_BASE + RTE_ALIGN((uint64_t)run->arg * MOAT_PAGE_SIZE, MOAT_2M_SIZE);

	for (uint64_t k = 0; k < n; k++)
		burst(g->lane[0], base + k % 8 * (BURST * MOAT_PAGE_SIZE));
}

#define PAGES                                            \
	{                                                \
		1, 10, 100, 1000, 10000, 100000, 1000000 \
	}

MOAT_BENCH(growth_map) = { .name = "growth/map",
	.setup = make_pages,
	.body = map,
	.teardown = drop,
	.args = PAGES,
	.items_per_arg = true };
MOAT_BENCH(growth_unmap) = { .name = "growth/unmap",
	.setup = make_pages,
	.body = unmap,
	.teardown = drop,
	.args = PAGES,
	.items_per_arg = true };
MOAT_BENCH(growth_translate) = { .name = "growth/translate",
	.setup = make_pages,
	.body = translate,
	.teardown = drop,
	.args = PAGES };
MOAT_BENCH(growth_burst) = { .name = "growth/burst32",
	.setup = make_pages,
	.body = pages_burst,
	.teardown = drop,
	.args = PAGES,
	.items = BURST };

/* ------------------------------------------------------------------------------ with domains */

#define LOW MOAT_2M_SIZE /* where an allocator begins by default */

static int make_domains(struct moat_bench_run *run)
{
	return make(run, (uint64_t)run->arg, 64, LOW);
}

static int make_domains_4g(struct moat_bench_run *run)
{
	return make(run, (uint64_t)run->arg, 64, BENCH_UNIT_BASE);
}

/* @return the IOVA of burst `k`, after the 64 pages that stay mapped */
static inline uint64_t place(const struct growth *g, uint64_t k)
{
	return g->base + (64 + k % 8 * BURST) * MOAT_PAGE_SIZE;
}

static void one_domain(struct moat_bench_run *run, uint64_t n)
{
	struct growth *g = run->ctx;

	for (uint64_t k = 0; k < n; k++)
		burst(g->lane[g->lanes / 2], place(g, k));
}

static void in_turn(struct moat_bench_run *run, uint64_t n)
{
	struct growth *g = run->ctx;

	for (uint64_t k = 0; k < n; k++) {
		burst(g->lane[g->next], place(g, k));
		g->next = g->next + 1 == g->lanes ? 0 : g->next + 1;
	}
}

static inline uint64_t wrap(uint64_t at, uint64_t n)
{
	return likely(at < n) ? at : at % n;
}

static void in_turn_ahead(struct moat_bench_run *run, uint64_t n)
{
	struct growth *g = run->ctx;

	for (uint64_t k = 0; k < n; k++) {
		for (unsigned int turns = 3; turns != 0; turns--)
			moat_lane_prefetch(g->lane[wrap(g->next + turns, g->lanes)],
				place(g, k + turns), turns);
		burst(g->lane[g->next], place(g, k));
		g->next = wrap(g->next + 1, g->lanes);
	}
}

/*
 * The lower bound: the cache lines that a turn of one domain touches, linked as in a domain. The
 * lane (3 lines) points to the domain (3), to the table's head (1) and to a granule (1); the
 * granule points to the entries (4). Each group is an array of its own, and all ask for huge pages.
 */
struct lines {
	struct {
		uint64_t *target[2];
		uint64_t w[6];
	} line[4];
};
enum { LANE, DOMAIN, TABLE, ENTRIES, GROUPS };

struct records {
	struct lines *group[GROUPS];
	uint64_t n, next;
	size_t bytes;
};

static int make_lines(struct moat_bench_run *run)
{
	struct records *r = calloc(1, sizeof(*r));

	run->ctx = r;
	if (r == NULL)
		return moat_bench_skip("no memory");
	r->n = (uint64_t)run->arg;
	r->bytes = RTE_ALIGN(r->n * sizeof(struct lines), MOAT_2M_SIZE) + MOAT_2M_SIZE;
	for (unsigned int i = 0; i < GROUPS; i++) {
		r->group[i] = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (r->group[i] == MAP_FAILED)
			return moat_bench_skip("no memory");
		(void)madvise(r->group[i], r->bytes, MADV_HUGEPAGE);
	}
	for (uint64_t i = 0; i < r->n; i++) {
		/* in an order that the prefetcher does not predict: multiples of primes, which are
		 * coprime to n = 10^k */
		uint64_t k = i * 7919 % r->n, l = i * 6007 % r->n, m = i * 4937 % r->n;

		r->group[LANE][i].line[0].target[0] = (uint64_t *)&r->group[DOMAIN][k];
		r->group[LANE][i].line[0].target[1] = (uint64_t *)&r->group[TABLE][l];
		r->group[TABLE][l].line[0].target[0] = (uint64_t *)&r->group[ENTRIES][m];
	}
	return 0;
}

static void drop_lines(struct moat_bench_run *run)
{
	struct records *r = run->ctx;

	for (unsigned int i = 0; i < GROUPS; i++)
		munmap(r->group[i], r->bytes);
	free(r);
}

static inline void write_lines(struct lines *l, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		*(volatile uint64_t *)&l->line[i].w[0] += 1;
}

static inline void prefetch_lines(const struct lines *l, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		rte_prefetch0(&l->line[i]);
}

static inline struct lines *behind(const struct lines *l, unsigned int which)
{
	return (struct lines *)l->line[0].target[which];
}

static inline void touch(struct lines *lane)
{
	struct lines *table = behind(lane, 1);

	write_lines(lane, 3);
	write_lines(behind(lane, 0), 3);
	write_lines(table, 2);
	write_lines(behind(table, 0), 4);
}

static void lines_in_turn(struct moat_bench_run *run, uint64_t n)
{
	struct records *r = run->ctx;

	for (uint64_t k = 0; k < n; k++) {
		touch(&r->group[LANE][r->next]);
		/* like the submission of an invalidation: no turn begins before the last one
		 * ends */
		atomic_thread_fence(memory_order_seq_cst);
		r->next = r->next + 1 == r->n ? 0 : r->next + 1;
	}
}

static void lines_in_turn_ahead(struct moat_bench_run *run, uint64_t n)
{
	struct records *r = run->ctx;

	for (uint64_t k = 0; k < n; k++) {
		const struct lines *two = &r->group[LANE][wrap(r->next + 2, r->n)];
		const struct lines *one = &r->group[LANE][wrap(r->next + 1, r->n)];

		prefetch_lines(&r->group[LANE][wrap(r->next + 3, r->n)], 3);
		prefetch_lines(behind(two, 0), 3);
		prefetch_lines(behind(two, 1), 2);
		prefetch_lines(behind(behind(one, 1), 0), 4);
		touch(&r->group[LANE][r->next]);
		atomic_thread_fence(memory_order_seq_cst);
		r->next = r->next + 1 == r->n ? 0 : r->next + 1;
	}
}

#define DOMAINS                         \
	{                               \
		1, 10, 100, 1000, 10000 \
	}

MOAT_BENCH(growth_domains) = { .name = "growth/domains",
	.setup = make_domains,
	.body = one_domain,
	.teardown = drop,
	.args = DOMAINS,
	.items = BURST };
MOAT_BENCH(growth_in_turn) = { .name = "growth/domains_in_turn",
	.setup = make_domains,
	.body = in_turn,
	.teardown = drop,
	.args = DOMAINS,
	.items = BURST };
MOAT_BENCH(growth_in_turn_4g) = { .name = "growth/domains_in_turn_4g",
	.setup = make_domains_4g,
	.body = in_turn,
	.teardown = drop,
	.args = DOMAINS,
	.items = BURST };
MOAT_BENCH(growth_in_turn_ahead) = { .name = "growth/domains_in_turn_ahead",
	.setup = make_domains,
	.body = in_turn_ahead,
	.teardown = drop,
	.args = DOMAINS,
	.items = BURST };
MOAT_BENCH(growth_lines) = { .name = "growth/lines_in_turn",
	.setup = make_lines,
	.body = lines_in_turn,
	.teardown = drop_lines,
	.args = DOMAINS,
	.items = BURST };
MOAT_BENCH(growth_lines_ahead) = { .name = "growth/lines_in_turn_ahead",
	.setup = make_lines,
	.body = lines_in_turn_ahead,
	.teardown = drop_lines,
	.args = DOMAINS,
	.items = BURST };
