/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * How costs grow: with the pages mapped in a domain, and with the domains on a unit. Flat curves
 * are the aim; what bends them is the processor's caches alone, so each curve stands twice where
 * that matters: with its data warm, and with all of it touched in turn. bench/growth draws them.
 *
 *     growth/map/PAGES, unmap      PAGES pages mapped, then unmapped, one call each
 *     growth/translate/PAGES       random pages of PAGES, single look-ups
 *     growth/burst32/PAGES         the whole path of a burst (bench/path.c) beside PAGES pages
 *     growth/domains/DOMAINS       the same burst in one of DOMAINS domains, always the same one
 *     growth/domains_in_turn/DOMAINS   in each of them in turn: their data come from memory
 *     growth/domains_in_turn_39bit/DOMAINS   the same with domains of 39 bits of IOVA: the index of
 *                                  such a domain (struct moat_pt_granule) takes 4 MiB, not 2 GiB
 */
#include <stdlib.h>

#include <urcu-qsbr.h>

#include "unit.h"

#define BURST 32u

struct growth {
	struct bench_unit *unit;
	struct moat_lane **lane;
	uint64_t lanes, next;
};

static int make(struct moat_bench_run *run, uint64_t lanes, uint64_t pages, uint8_t width)
{
	struct growth *g = calloc(1, sizeof(*g));

	run->ctx = g;
	if (g == NULL || (g->unit = bench_unit_create(BENCH_AT_ONCE)) == NULL)
		return moat_bench_skip("no memory");
	g->lanes = lanes;
	g->lane = calloc(lanes, sizeof(*g->lane));
	for (uint64_t i = 0; i < lanes; i++) {
		g->lane[i] = bench_lane_create_width(g->unit, pages, width);
		if (g->lane[i] == NULL)
			return moat_bench_skip("%s", moat_error_text());
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
	return make(run, 1, (uint64_t)run->arg, 0);
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
		/* a multiplicative generator and a product instead of a division: 3 cycles */
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

/* The buffers stand behind the pages, in a table of their own. */
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

static int make_domains(struct moat_bench_run *run)
{
	return make(run, (uint64_t)run->arg, 64, 0);
}

static int make_narrow_domains(struct moat_bench_run *run)
{
	return make(run, (uint64_t)run->arg, 64, 39);
}

static void one_domain(struct moat_bench_run *run, uint64_t n)
{
	struct growth *g = run->ctx;

	for (uint64_t k = 0; k < n; k++)
		burst(g->lane[g->lanes / 2],
			BENCH_UNIT_BASE + (64 + k % 8 * BURST) * MOAT_PAGE_SIZE);
}

static void in_turn(struct moat_bench_run *run, uint64_t n)
{
	struct growth *g = run->ctx;

	for (uint64_t k = 0; k < n; k++) {
		burst(g->lane[g->next], BENCH_UNIT_BASE + (64 + k % 8 * BURST) * MOAT_PAGE_SIZE);
		g->next = g->next + 1 == g->lanes ? 0 : g->next + 1;
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
MOAT_BENCH(growth_in_turn_narrow) = { .name = "growth/domains_in_turn_39bit",
	.setup = make_narrow_domains,
	.body = in_turn,
	.teardown = drop,
	.args = DOMAINS,
	.items = BURST };
