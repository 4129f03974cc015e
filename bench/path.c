/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The whole path of a burst of 32 buffers on a lane: map, unmap, submit, find the ticket done,
 * reclaim. The lane is a reader, so its quiescent states are in the figure. The buffers are pages
 * of a pool that keep their IOVAs, so that neighbours in the pool are neighbours in IOVA:
 *
 *     path/burst32            the burst is one run, mapped and unmapped in one call each
 *     path/burst32_by_page    one run, but a call for each page
 *     path/burst32_scattered  32 runs: no two buffers are neighbours
 *     path/late/burst32       one run, on a unit as slow as hardware: up to 32 bursts in flight
 *
 * With threads:2 there are two lcores, each with a domain of its own, on one unit. The peer does
 * the same with the same tables, but waits for the unit while it holds its queue's lock. peer/alu
 * runs additions that share nothing, and so shows how much two processors of this machine gain.
 */
#include <stdlib.h>

#include <rte_pause.h>
#include <urcu-qsbr.h>

#include "unit.h"

#define BURST  32u
#define POOL   992u /* pages in use, in two leaf tables; further pages keep the last one linked */
#define FLIGHT 32u
#define LANES  2u

struct path {
	struct bench_unit *unit;
	struct moat_lane *lane[LANES];
	uint16_t order[POOL]; /* scattered: the pages in an order without neighbours */
};

struct what {
	enum { RUN, BY_PAGE, SCATTERED } shape;
	bool late;
};

static int make(struct moat_bench_run *run)
{
	const struct what *what = run->param;
	struct path *p = calloc(1, sizeof(*p));

	run->ctx = p;
	if (p == NULL ||
		(p->unit = bench_unit_create(what->late ? BENCH_LATE : BENCH_AT_ONCE)) == NULL)
		return moat_bench_skip("no memory");
	for (unsigned int i = 0; i < run->threads; i++) {
		p->lane[i] = bench_lane_create(p->unit, 1024);
		if (p->lane[i] == NULL)
			return moat_bench_skip("%s", moat_error_text());
		bench_unmap(p->lane[i], BENCH_UNIT_BASE, POOL * MOAT_PAGE_SIZE);
		bench_complete(p->lane[i]);
	}
	/* a step of 7, modulo POOL: no buffer is the neighbour of the one before or after it */
	for (unsigned int i = 0; i < POOL; i++)
		p->order[i] = (uint16_t)(i * 7 % POOL);
	return 0;
}

static void drop(struct moat_bench_run *run)
{
	struct path *p = run->ctx;

	for (unsigned int i = 0; i < run->threads; i++)
		bench_lane_destroy(p->lane[i]);
	bench_unit_destroy(p->unit);
	free(p);
}

static inline uint64_t page(const struct path *p, const struct what *what, uint64_t i)
{
	i = i % POOL;
	return BENCH_UNIT_BASE + (what->shape == SCATTERED ? p->order[i] : i) * MOAT_PAGE_SIZE;
}

static inline void map_burst(const struct path *p, const struct what *what, struct moat_lane *lane,
	uint64_t first)
{
	if (what->shape == RUN)
		bench_map(lane, page(p, what, first), BURST * MOAT_PAGE_SIZE);
	else
		for (uint64_t i = 0; i < BURST; i++)
			bench_map(lane, page(p, what, first + i), MOAT_PAGE_SIZE);
}

static inline void unmap_burst(const struct path *p, const struct what *what,
	struct moat_lane *lane, uint64_t first)
{
	if (what->shape == RUN)
		bench_unmap(lane, page(p, what, first), BURST * MOAT_PAGE_SIZE);
	else
		for (uint64_t i = 0; i < BURST; i++)
			bench_unmap(lane, page(p, what, first + i), MOAT_PAGE_SIZE);
}

/* With BENCH_AT_ONCE the unit completes each burst within the doorbell, before the next begins. */
static void burst(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	struct path *p = run->ctx;
	struct moat_lane *lane = p->lane[run->thread];

	if (run->thread != 0)
		urcu_qsbr_register_thread();
	moat_lane_online(lane);
	moat_bench_start(run);
	for (uint64_t k = 0; k < n; k++) {
		map_burst(p, what, lane, k * BURST);
		unmap_burst(p, what, lane, k * BURST);
		bench_complete(lane);
	}
	moat_bench_stop(run);
	moat_lane_offline(lane);
	if (run->thread != 0)
		urcu_qsbr_unregister_thread();
}

/* Up to FLIGHT tickets are open; a buffer is mapped again only after its ticket is done. */
static void late_burst(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	struct path *p = run->ctx;
	struct moat_lane *lane = p->lane[run->thread];

	_Static_assert((FLIGHT - 1) * BURST <= POOL,
		"a buffer's ticket must be done before the buffer is mapped again");
	if (run->thread != 0)
		urcu_qsbr_register_thread();
	moat_lane_online(lane);
	moat_bench_start(run);
	for (uint64_t k = 0; k < n; k++) {
		while (moat_lane_last_ticket(lane) - moat_lane_poll(lane) >= FLIGHT - 1)
			rte_pause();
		map_burst(p, what, lane, k * BURST);
		unmap_burst(p, what, lane, k * BURST);
		if (moat_lane_flush(lane) == 0)
			abort();
	}
	moat_bench_stop(run);
	if (moat_lane_drain(lane) != 0)
		abort();
	moat_lane_offline(lane);
	if (run->thread != 0)
		urcu_qsbr_unregister_thread();
}

static const struct what one_run = { .shape = RUN };
static const struct what by_page = { .shape = BY_PAGE };
static const struct what scattered = { .shape = SCATTERED };
static const struct what late = { .shape = RUN, .late = true };

#define PATH(id, name_, what_, body_, threads_) \
	MOAT_BENCH(id) = { .name = name_,       \
		.param = &what_,                \
		.setup = make,                  \
		.body = body_,                  \
		.teardown = drop,               \
		.items = BURST,                 \
		.threads = threads_,            \
		.batch = threads_ != 0 ? 128 : 0 }

PATH(burst_alone, "path/burst32", one_run, burst, 0);
PATH(burst_1, "path/burst32", one_run, burst, 1);
PATH(burst_2, "path/burst32", one_run, burst, 2);
PATH(by_page_1, "path/burst32_by_page", by_page, burst, 0);
PATH(scattered_1, "path/burst32_scattered", scattered, burst, 1);
PATH(scattered_2, "path/burst32_scattered", scattered, burst, 2);
PATH(late_1, "path/late/burst32", late, late_burst, 1);
PATH(late_2, "path/late/burst32", late, late_burst, 2);

/* ----------------------------------------------------- peer: wait for the unit under a lock */

static void locked_burst(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	struct path *p = run->ctx;
	struct moat_domain *domain = moat_lane_domain(p->lane[run->thread]);
	struct moat_pt_freed freed = { 0 };

	for (uint64_t k = 0; k < n; k++) {
		uint64_t iova = page(p, what, k * BURST), len = BURST * MOAT_PAGE_SIZE;
		struct moat_qi_desc desc = moat_qi_iotlb_page(domain->did, iova, 5, true);

		if (moat_pt_map(domain->pt, iova, (uintptr_t)bench_va(iova), bench_va(iova), len,
			    MOAT_RW, NULL) != 0 ||
			moat_pt_unmap(domain->pt, iova, len, &freed, NULL) != 0)
			abort();
		bench_queue_locked(&p->unit->locked, &desc, 1);
	}
}

#define LOCKED(id, name_, what_, threads_) \
	MOAT_BENCH(id) = { .name = name_,  \
		.param = &what_,           \
		.setup = make,             \
		.body = locked_burst,      \
		.teardown = drop,          \
		.items = BURST,            \
		.threads = threads_,       \
		.batch = 128 }

LOCKED(locked_1, "peer/path_locked/burst32", one_run, 1);
LOCKED(locked_2, "peer/path_locked/burst32", one_run, 2);
LOCKED(locked_late_1, "peer/path_locked/late/burst32", late, 1);
LOCKED(locked_late_2, "peer/path_locked/late/burst32", late, 2);

/* ----------------------------------------------------------- the gain of two processors alone */

static void alu(struct moat_bench_run *run, uint64_t n)
{
	for (uint64_t k = 0; k < n; k++)
		__asm__ volatile(".rept 64\n\t"
				 "add $1, %%eax; add $1, %%edx; add $1, %%esi; add $1, %%edi\n\t"
				 ".endr"
				 :
				 :
				 : "eax", "edx", "esi", "edi", "cc");
}

MOAT_BENCH(alu_1) = { .name = "peer/alu", .body = alu, .items = 256, .threads = 1, .batch = 512 };
MOAT_BENCH(alu_2) = { .name = "peer/alu", .body = alu, .items = 256, .threads = 2, .batch = 512 };
