/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Page tables: the cost of a map and of an unmap, per page.
 *
 * The peer is Linux's generic_pt, which cannot be linked here: bench/targets prints its
 * figures, measured on this class of machine. A second peer, `peer/pt_*`, is in this file: a walk
 * from the root and one store for each page.
 */
#include <stdlib.h>
#include <string.h>

#include <urcu-qsbr.h>

#include "moat_bench.h"
#include "moat_pt.h"
#include "pt_hooks.h"

#define BASE   (UINT64_C(4) << 30)
#define VA_OFF UINT64_C(0x100000000000)

struct table {
	struct moat_pt_pool *pool;
	struct moat_pt *pt;
	struct moat_pt_freed freed;
	uint64_t size;    /* of a page */
	uint64_t *random; /* scattered IOVAs; NULL: contiguous */
};

/* What a bench does, in its `param`. */
struct what {
	uint64_t size; /* 4 KiB or 2 MiB */
	bool unmap;    /* time the unmap, not the map */
	bool keep;     /* another page stays mapped and keeps the leaf table linked */
	bool rcu;      /* retire tables through a grace period, as lib/domain does */
	bool first;    /* first stage's format instead of second stage's */
};

static int make(struct moat_bench_run *run)
{
	const struct what *what = run->param;
	struct table *t = calloc(1, sizeof(*t));
	/* no larger leaves where 4 KiB pages are measured */
	struct moat_pt_conf conf = { .levels = 4,
		.coherent = true,
		.leaf_sizes = what->size == MOAT_2M_SIZE ? MOAT_2M_SIZE : 0,
		.format = what->first ? MOAT_PT_FIRST_STAGE : MOAT_PT_SECOND_STAGE };

	if (t == NULL || moat_pt_pool_create(NULL, &t->pool) != 0)
		return moat_bench_skip("no memory");
	urcu_qsbr_register_thread();
	conf.pool = t->pool;
	t->size = what->size;
	if (moat_pt_create(&conf, &t->pt) != 0)
		return moat_bench_skip("%s", moat_error_text());
	/* The page that keeps the tables linked: the last of the first 2 MiB (or 1 GiB). */
	if (what->keep)
		moat_pt_map(t->pt, BASE + 511 * t->size, BASE,
			(void *)(BASE + 511 * t->size + VA_OFF), t->size, MOAT_RW, NULL);
	run->ctx = t;
	return 0;
}

static void drop(struct moat_bench_run *run)
{
	struct table *t = run->ctx;

	moat_pt_destroy(t->pt);
	moat_pt_pool_destroy(t->pool);
	urcu_qsbr_unregister_thread();
	free(t->random);
	free(t);
}

static inline void map(struct table *t, uint64_t iova, uint64_t len)
{
	if (moat_pt_map(t->pt, iova, iova, (void *)(iova + VA_OFF), len, MOAT_RW, NULL) != 0)
		abort();
}

static inline void unmap(struct table *t, uint64_t iova, uint64_t len)
{
	if (moat_pt_unmap(t->pt, iova, len, &t->freed, NULL) != 0)
		abort();
}

static inline void give_back(struct table *t, bool rcu)
{
	if (t->freed.n == 0)
		return;
	if (rcu)
		moat_pt_pool_retire(t->pool, &t->freed);
	else
		pt_pool_recycle(t->pool, &t->freed);
}

/* ------------------------------------------------------------------- a range in one call */

static void range(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	struct table *t = run->ctx;
	uint64_t len = (uint64_t)run->arg * t->size;

	for (uint64_t k = 0; k < n; k++) {
		if (what->unmap) {
			map(t, BASE, len);
			moat_bench_start(run);
			unmap(t, BASE, len);
			give_back(t, what->rcu);
			moat_bench_stop(run);
		} else {
			moat_bench_start(run);
			map(t, BASE, len);
			moat_bench_stop(run);
			unmap(t, BASE, len);
			give_back(t, what->rcu);
		}
		if (what->rcu)
			urcu_qsbr_quiescent_state();
	}
}

/* ------------------------------------------------------- single pages, many calls in a row */

#define SINGLES 256u

/* Time SINGLES calls in one section, because a call is shorter than a time stamp. */
static void singles(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	struct table *t = run->ctx;

	for (uint64_t k = 0; k < n; k++) {
		if (!what->unmap)
			moat_bench_start(run);
		for (unsigned int i = 0; i < SINGLES; i++)
			map(t, t->random != NULL ? t->random[i] : BASE + i * t->size, t->size);
		if (!what->unmap)
			moat_bench_stop(run);
		else
			moat_bench_start(run);
		for (unsigned int i = 0; i < SINGLES; i++)
			unmap(t, t->random != NULL ? t->random[i] : BASE + i * t->size, t->size);
		if (what->unmap)
			moat_bench_stop(run);
	}
}

/* SINGLES different pages, scattered over 4 GiB. Their tables stay linked. */
static int make_scattered(struct moat_bench_run *run)
{
	struct table *t;
	uint64_t seed = 1;
	int ret = make(run);

	if (ret != 0)
		return ret;
	t = run->ctx;
	t->random = calloc(SINGLES, sizeof(*t->random));
	for (unsigned int i = 0; i < SINGLES; i++) {
		uint64_t table = (i * 2654435761u) % 2048; /* odd factor: each table once at most */

		t->random[i] = BASE + table * MOAT_2M_SIZE +
			moat_bench_random(&seed) % 511 * MOAT_PAGE_SIZE;
		map(t, t->random[i], MOAT_PAGE_SIZE);
	}
	for (unsigned int i = 0; i < SINGLES; i++)
		unmap(t, t->random[i], MOAT_PAGE_SIZE);
	return 0;
}

static const struct what map4k = { .size = MOAT_PAGE_SIZE, .keep = true };
static const struct what unmap4k = { .size = MOAT_PAGE_SIZE, .unmap = true, .keep = true };
static const struct what map4k_table = { .size = MOAT_PAGE_SIZE };
static const struct what unmap4k_table = { .size = MOAT_PAGE_SIZE, .unmap = true };
static const struct what map4k_rcu = { .size = MOAT_PAGE_SIZE, .rcu = true };
static const struct what unmap4k_rcu = { .size = MOAT_PAGE_SIZE, .unmap = true, .rcu = true };
static const struct what map2m = { .size = MOAT_2M_SIZE, .keep = true };
static const struct what unmap2m = { .size = MOAT_2M_SIZE, .unmap = true, .keep = true };

static const struct what map_first = { .size = MOAT_PAGE_SIZE, .keep = true, .first = true };
static const struct what unmap_first = {
	.size = MOAT_PAGE_SIZE, .unmap = true, .keep = true, .first = true
};

#define RANGE(id, name_, what_, ...)      \
	MOAT_BENCH(id) = { .name = name_, \
		.param = &what_,          \
		.setup = make,            \
		.body = range,            \
		.teardown = drop,         \
		.args = { __VA_ARGS__ },  \
		.items_per_arg = true }
#define SINGLE(id, name_, what_, make_)   \
	MOAT_BENCH(id) = { .name = name_, \
		.param = &what_,          \
		.setup = make_,           \
		.body = singles,          \
		.teardown = drop,         \
		.items = SINGLES }

SINGLE(map_4k_1, "pt/map/4k/1", map4k, make);
SINGLE(unmap_4k_1, "pt/unmap/4k/1", unmap4k, make);
SINGLE(map_4k_scattered, "pt/map/4k_scattered/1", map4k, make_scattered);
SINGLE(unmap_4k_scattered, "pt/unmap/4k_scattered/1", unmap4k, make_scattered);
RANGE(map_4k, "pt/map/4k", map4k, 8, 32, 256);
RANGE(unmap_4k, "pt/unmap/4k", unmap4k, 8, 32, 256);
/* The leaf table is allocated and unlinked with its pages. */
RANGE(map_4k_table, "pt/map/4k", map4k_table, 512);
RANGE(unmap_4k_table, "pt/unmap/4k", unmap4k_table, 512);
RANGE(map_4k_rcu, "pt/map/4k_rcu", map4k_rcu, 512);
RANGE(unmap_4k_rcu, "pt/unmap/4k_rcu", unmap4k_rcu, 512);
SINGLE(map_2m_1, "pt/map/2m/1", map2m, make);
SINGLE(unmap_2m_1, "pt/unmap/2m/1", unmap2m, make);
RANGE(map_2m, "pt/map/2m", map2m, 256);
RANGE(unmap_2m, "pt/unmap/2m", unmap2m, 256);

/* The same in first stage's format (scalable mode), which must be as fast as second stage's. */
SINGLE(map_first_1, "pt/map/first_stage/1", map_first, make);
SINGLE(unmap_first_1, "pt/unmap/first_stage/1", unmap_first, make);
RANGE(map_first_n, "pt/map/first_stage", map_first, 8, 32, 256);
RANGE(unmap_first_n, "pt/unmap/first_stage", unmap_first, 8, 32, 256);

/* ---------------------------------------------------------------- peer: page by page, plainly */

/* A textbook page table: four levels of 512 words. */
struct plain {
	uint64_t *root;
};

static uint64_t *plain_slot(struct plain *p, uint64_t iova)
{
	uint64_t *table = p->root;

	for (unsigned int shift = 39; shift > 12; shift -= 9) {
		uint64_t *e = &table[iova >> shift & 511];

		if (*e == 0)
			*e = (uint64_t)(uintptr_t)aligned_alloc(4096, 4096) | 3;
		table = (uint64_t *)(uintptr_t)(*e & MOAT_SS_ADDR);
	}
	return &table[iova >> 12 & 511];
}

static int plain_make(struct moat_bench_run *run)
{
	struct plain *p = calloc(1, sizeof(*p));
	uint64_t *table;

	p->root = calloc(512, 8);
	run->ctx = p;
	table = p->root;
	for (unsigned int shift = 39; shift > 12; shift -= 9) {
		uint64_t *child = aligned_alloc(4096, 4096);

		memset(child, 0, 4096);
		table[BASE >> shift & 511] = (uint64_t)(uintptr_t)child | 3;
		table = child;
	}
	return 0;
}

static void plain_drop(struct moat_bench_run *run)
{
	struct plain *p = run->ctx;
	uint64_t *table = p->root;

	for (unsigned int shift = 39; shift > 12; shift -= 9) {
		uint64_t *child =
			(uint64_t *)(uintptr_t)(table[BASE >> shift & 511] & MOAT_SS_ADDR);

		free(table);
		table = child;
	}
	free(table);
	free(p);
}

static __attribute__((noinline)) int plain_map(struct plain *p, uint64_t iova, uint64_t len)
{
	for (uint64_t end = iova + len; iova < end; iova += 4096) {
		uint64_t *e = plain_slot(p, iova);

		if (*e != 0)
			return -1;
		__atomic_store_n(e, iova | 3, __ATOMIC_RELEASE);
	}
	return 0;
}

static __attribute__((noinline)) int plain_unmap(struct plain *p, uint64_t iova, uint64_t len)
{
	for (uint64_t end = iova + len; iova < end; iova += 4096) {
		uint64_t *e = plain_slot(p, iova);

		if (*e == 0)
			return -1;
		__atomic_store_n(e, 0, __ATOMIC_RELEASE);
	}
	return 0;
}

static void plain_range(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	uint64_t count = (uint64_t)run->arg, calls = count == 1 ? SINGLES : 1;
	uint64_t len = count * MOAT_PAGE_SIZE;

	run->items = count * calls;
	for (uint64_t k = 0; k < n; k++) {
		if (!what->unmap)
			moat_bench_start(run);
		for (uint64_t i = 0; i < calls; i++)
			if (plain_map(run->ctx, BASE + i * len, len) != 0)
				abort();
		if (!what->unmap)
			moat_bench_stop(run);
		else
			moat_bench_start(run);
		for (uint64_t i = 0; i < calls; i++)
			if (plain_unmap(run->ctx, BASE + i * len, len) != 0)
				abort();
		if (what->unmap)
			moat_bench_stop(run);
	}
}

MOAT_BENCH(peer_map) = { .name = "peer/pt_map/plain",
	.param = &map4k,
	.setup = plain_make,
	.body = plain_range,
	.teardown = plain_drop,
	.args = { 1, 256 } };
MOAT_BENCH(peer_unmap) = { .name = "peer/pt_unmap/plain",
	.param = &unmap4k,
	.setup = plain_make,
	.body = plain_range,
	.teardown = plain_drop,
	.args = { 1, 256 } };
