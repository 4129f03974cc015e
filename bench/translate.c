/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Look-ups of random IOVAs in a domain with PAGES pages mapped, with warm caches. The argument is
 * PAGES. The peers are in bench/peers.c.
 */
#include <pthread.h>
#include <stdlib.h>

#include <urcu-qsbr.h>

#include "../lib/iotlb/iotlb_bulk.h"
#include "moat_bench.h"
#include "translate.h"

/* ------------------------------------------------------------------------------ the domain */

struct domain {
	struct moat_pt_pool *pool;
	struct moat_pt *pt;
	struct moat_iotlb tlb;
	uint64_t iova[BENCH_KEYS] __attribute__((aligned(64)));
	/* for translate/under_unmap and translate/beside */
	struct moat_pt *others; /* the table in which the other core unmaps */
	pthread_t other;
	_Atomic bool stop;
};

struct what {
	uint64_t size;
	enum { QUIET, SAME_DOMAIN, OTHER_DOMAIN } unmaps; /* where another core unmaps meanwhile */
	const struct iotlb_bulk *variant; /* NULL: as moat_iotlb_translate_bulk() chooses */
};

static int make(struct moat_bench_run *run)
{
	const struct what *what = run->param;
	struct moat_pt_conf conf = { .levels = 4, .leaf_sizes = MOAT_2M_SIZE, .coherent = true };
	uint64_t pages = (uint64_t)run->arg;
	struct domain *d;

	if (what->variant != NULL && !what->variant->supported())
		return moat_bench_skip("this processor lacks %s", what->variant->name);
	d = aligned_alloc(64, (sizeof(*d) + 63) / 64 * 64);
	if (d == NULL || moat_pt_pool_create(NULL, &d->pool) != 0)
		return moat_bench_skip("no memory");
	urcu_qsbr_register_thread();
	conf.pool = d->pool;
	if (moat_pt_create(&conf, &d->pt) != 0)
		return moat_bench_skip("%s", moat_error_text());
	for (uint64_t i = 0; i < pages; i++) { /* page by page: never a larger leaf */
		uint64_t iova = BENCH_BASE + i * what->size;

		if (moat_pt_map(d->pt, iova, iova, (void *)(iova + BENCH_VA_OFF), what->size,
			    MOAT_RW, NULL) != 0)
			return moat_bench_skip("%s", moat_error_text());
	}
	moat_iotlb_init(&d->tlb, d->pt);
	bench_keys(d->iova, pages, what->size);
	run->ctx = d;
	return 0;
}

static void drop(struct moat_bench_run *run)
{
	struct domain *d = run->ctx;

	moat_pt_destroy(d->pt);
	moat_pt_pool_destroy(d->pool);
	urcu_qsbr_unregister_thread();
	free(d);
}

/* Each iteration of the bodies below looks up every key once. */

static void single(struct moat_bench_run *run, uint64_t n)
{
	struct domain *d = run->ctx;
	uint64_t sum = 0;

	for (uint64_t k = 0; k < n; k++)
		for (unsigned int i = 0; i < BENCH_KEYS; i++)
			sum += (uintptr_t)moat_iotlb_translate(&d->tlb, d->iova[i], 64, MOAT_W);
	moat_bench_use(sum);
	if (d->tlb.faults != 0)
		abort();
}

static void bulk(struct moat_bench_run *run, uint64_t n)
{
	struct domain *d = run->ctx;
	void *va[32];

	for (uint64_t k = 0; k < n; k++) {
		for (unsigned int i = 0; i < BENCH_KEYS; i += 32) {
			if (moat_iotlb_translate_bulk(&d->tlb, &d->iova[i], 64, 32, MOAT_W, va) !=
				UINT32_MAX)
				abort();
			moat_bench_use((uintptr_t)va);
		}
	}
}

/* The same with the instruction set that the bench names. */
static void bulk_variant(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	struct domain *d = run->ctx;
	void *va[32];

	for (uint64_t k = 0; k < n; k++) {
		for (unsigned int i = 0; i < BENCH_KEYS; i += 32) {
			if (what->variant->fn(&d->tlb, &d->iova[i], 64, 32, MOAT_W, va) !=
				UINT32_MAX)
				abort();
			moat_bench_use((uintptr_t)va);
		}
	}
}

/* The cost of a miss: a walk from the root, the permission check and the virtual address. */
static void miss(struct moat_bench_run *run, uint64_t n)
{
	struct domain *d = run->ctx;
	uint64_t sum = 0;

	for (uint64_t k = 0; k < n; k++) {
		for (unsigned int i = 0; i < BENCH_KEYS; i++) {
			struct moat_pt_leaf leaf;
			void *va;

			if (moat_pt_walk_va(d->pt, d->iova[i], &leaf, &va) != 0 ||
				!(leaf.entry & MOAT_W))
				abort();
			sum += (uintptr_t)va;
		}
	}
	moat_bench_use(sum);
}

/* The walk alone, from IOVA to HPA, like Linux's iova_to_phys. */
static void walk(struct moat_bench_run *run, uint64_t n)
{
	struct domain *d = run->ctx;
	uint64_t sum = 0;

	for (uint64_t k = 0; k < n; k++) {
		for (unsigned int i = 0; i < BENCH_KEYS; i++) {
			struct moat_pt_leaf leaf;

			if (moat_pt_walk(d->pt, d->iova[i], &leaf) != 0)
				abort();
			sum += leaf.hpa;
		}
	}
	moat_bench_use(sum);
}

/* ----------------------------------------------------- while the other core unmaps elsewhere */

#define OTHER_BASE  (BENCH_BASE + (UINT64_C(512) << 30))
#define OTHER_PAGES 64u

/* Make a million unmaps a second, of pages that were mapped one by one just before. The same work
 * in another domain loads the cores, caches and hyperthreads as much, but shares no memory with the
 * reader: the difference between the two is the cost of sharing a domain. */
static void *unmapper(void *arg)
{
	struct domain *d = arg;
	struct moat_pt_freed freed = { 0 };
	uint64_t start, cycles_each, n = 0;

	moat_bench_pin(1);
	cycles_each = moat_bench_tsc_hz() / 1000000;
	start = moat_bench_tsc();
	/* relaxed: the thread that sets `stop` joins this one, which orders the rest */
	while (!atomic_load_explicit(&d->stop, memory_order_relaxed)) {
		for (unsigned int i = 0; i < OTHER_PAGES; i++) {
			uint64_t iova = OTHER_BASE + i * MOAT_PAGE_SIZE;

			moat_pt_map(d->others, iova, iova, (void *)iova, MOAT_PAGE_SIZE, MOAT_R,
				NULL);
		}
		for (unsigned int i = 0; i < OTHER_PAGES; i++)
			moat_pt_unmap(d->others, OTHER_BASE + i * MOAT_PAGE_SIZE, MOAT_PAGE_SIZE,
				&freed, NULL);
		n += OTHER_PAGES;
		while (moat_bench_tsc() - start < n * cycles_each)
			__builtin_ia32_pause();
	}
	return NULL;
}

static int make_beside(struct moat_bench_run *run)
{
	const struct what *what = run->param;
	struct domain *d;
	int ret = make(run);

	if (ret != 0)
		return ret;
	d = run->ctx;
	d->others = d->pt;
	if (what->unmaps == OTHER_DOMAIN) {
		struct moat_pt_conf conf = { .pool = d->pool, .levels = 4, .coherent = true };

		if (moat_pt_create(&conf, &d->others) != 0)
			return moat_bench_skip("%s", moat_error_text());
	}
	atomic_init(&d->stop, false);
	if (what->unmaps != QUIET && pthread_create(&d->other, NULL, unmapper, d) != 0)
		return moat_bench_skip("no second thread");
	return 0;
}

static void drop_beside(struct moat_bench_run *run)
{
	const struct what *what = run->param;
	struct domain *d = run->ctx;

	atomic_store(&d->stop, true);
	if (what->unmaps != QUIET)
		pthread_join(d->other, NULL);
	if (what->unmaps == OTHER_DOMAIN)
		moat_pt_destroy(d->others);
	drop(run);
}

static const struct what p4k = { .size = MOAT_PAGE_SIZE }, p2m = { .size = MOAT_2M_SIZE };
static const struct what p4k_same = { .size = MOAT_PAGE_SIZE, .unmaps = SAME_DOMAIN };
static const struct what p4k_other = { .size = MOAT_PAGE_SIZE, .unmaps = OTHER_DOMAIN };

#define BENCH(id, name_, what_, body_, ...) \
	MOAT_BENCH(id) = { .name = name_,   \
		.param = &what_,            \
		.setup = make,              \
		.body = body_,              \
		.teardown = drop,           \
		.items = BENCH_KEYS,        \
		.args = { __VA_ARGS__ } }

BENCH(single_4k, "translate/single/4k", p4k, single, 1, 64, 512, 2048, 65536);
BENCH(single_2m, "translate/single/2m", p2m, single, 1, 64, 512, 2048, 65536);
BENCH(bulk_4k, "translate/bulk32/4k", p4k, bulk, 1, 64, 512, 2048, 65536);
BENCH(bulk_2m, "translate/bulk32/2m", p2m, bulk, 1, 64, 512, 2048, 65536);
#define VARIANT(id, name)                                                 \
	static const struct what variant_##id = { .size = MOAT_PAGE_SIZE, \
		.variant = &iotlb_bulk_##id };                            \
	BENCH(bulk_##id, "translate/bulk32_" name "/4k", variant_##id, bulk_variant, 512, 65536)
VARIANT(scalar, "scalar");
VARIANT(sse42, "sse4.2");
VARIANT(avx2, "avx2");
VARIANT(avx512, "avx512");

BENCH(miss_4k, "translate/miss", p4k, miss, 512, 65536);
BENCH(walk_4k, "peer/walk", p4k, walk, 512, 65536);

#define BESIDE(id, name_, what_)          \
	MOAT_BENCH(id) = { .name = name_, \
		.param = &what_,          \
		.setup = make_beside,     \
		.body = bulk,             \
		.teardown = drop_beside,  \
		.items = BENCH_KEYS,      \
		.args = { 512 } }
BESIDE(under_unmap, "translate/under_unmap", p4k_same);
BESIDE(beside_other, "translate/beside", p4k_other);
BESIDE(under_nothing, "translate/quiet", p4k);
