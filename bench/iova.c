/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The IOVA allocator, with ranges of PAGES pages. Ranges of 1 to 64 pages come from an lcore's
 * stock, those of 100 and 512 from the tree. The domain has 4,096 other ranges of 1 to 100 pages.
 *
 * The peer works as Linux's alloc_iova does: a red-black tree of ranges (glibc's tsearch) under a
 * spinlock is filled from the top down, and a hint keeps the place of the last allocation.
 */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include <rte_spinlock.h>

#include "moat_bench.h"
#include "moat_iova.h"

#define LIMIT  (UINT64_C(1) << 39)
#define OTHERS 4096
#define BURST  32

struct space {
	struct moat_iova *space;
	struct moat_iova_cache *cache;
	uint64_t iova[BURST];
	uint64_t len;
};

static int make(struct moat_bench_run *run)
{
	struct space *s = calloc(1, sizeof(*s));
	uint64_t seed = 1, iova[OTHERS];

	if (s == NULL || moat_iova_create(MOAT_2M_SIZE, LIMIT, &s->space) != 0)
		return moat_bench_skip("no memory");
	s->cache = moat_iova_cache_create(s->space);
	s->len = (uint64_t)run->arg * MOAT_PAGE_SIZE;
	for (unsigned int i = 0; i < OTHERS; i++)
		if (moat_iova_alloc(s->space, NULL,
			    (1 + moat_bench_random(&seed) % 100) * MOAT_PAGE_SIZE, 0,
			    &iova[i]) != 0)
			return moat_bench_skip("%s", moat_error_text());
	run->ctx = s;
	return 0;
}

static void drop(struct moat_bench_run *run)
{
	struct space *s = run->ctx;

	moat_iova_cache_destroy(s->cache);
	moat_iova_destroy(s->space);
	free(s);
}

static inline void alloc_burst(struct space *s)
{
	for (unsigned int i = 0; i < BURST; i++)
		if (moat_iova_alloc(s->space, s->cache, s->len, 0, &s->iova[i]) != 0)
			abort();
}

static inline void free_burst(struct space *s)
{
	for (unsigned int i = 0; i < BURST; i++)
		if (moat_iova_free(s->space, s->cache, s->iova[i], s->len) != 0)
			abort();
}

static void alloc_body(struct moat_bench_run *run, uint64_t n)
{
	for (uint64_t k = 0; k < n; k++) {
		moat_bench_start(run);
		alloc_burst(run->ctx);
		moat_bench_stop(run);
		free_burst(run->ctx);
	}
}

static void free_body(struct moat_bench_run *run, uint64_t n)
{
	for (uint64_t k = 0; k < n; k++) {
		alloc_burst(run->ctx);
		moat_bench_start(run);
		free_burst(run->ctx);
		moat_bench_stop(run);
	}
}

/* Allocate a burst, then free it. */
static void pair_body(struct moat_bench_run *run, uint64_t n)
{
	for (uint64_t k = 0; k < n; k++) {
		alloc_burst(run->ctx);
		free_burst(run->ctx);
	}
}

#define PAGES                      \
	{                          \
		1, 2, 64, 100, 512 \
	}

MOAT_BENCH(iova_alloc) = { .name = "iova/alloc",
	.setup = make,
	.body = alloc_body,
	.teardown = drop,
	.args = PAGES,
	.items = BURST };
MOAT_BENCH(iova_free) = { .name = "iova/free",
	.setup = make,
	.body = free_body,
	.teardown = drop,
	.args = PAGES,
	.items = BURST };
MOAT_BENCH(iova_pair) = { .name = "iova/alloc_free",
	.setup = make,
	.body = pair_body,
	.teardown = drop,
	.args = PAGES,
	.items = BURST };

/* Allocate and free 1,024 ranges, more than a stock holds, so that the figure includes the tree. */
static void churn_body(struct moat_bench_run *run, uint64_t n)
{
	struct space *s = run->ctx;
	static uint64_t iova[1024];

	for (uint64_t k = 0; k < n; k++) {
		for (unsigned int i = 0; i < RTE_DIM(iova); i++)
			if (moat_iova_alloc(s->space, s->cache, s->len, 0, &iova[i]) != 0)
				abort();
		for (unsigned int i = 0; i < RTE_DIM(iova); i++)
			moat_iova_free(s->space, s->cache, iova[i], s->len);
	}
}

MOAT_BENCH(iova_churn) = { .name = "iova/churn1024",
	.setup = make,
	.body = churn_body,
	.teardown = drop,
	.args = { 1, 64 },
	.items = 1024 };

/* ------------------------------------------------------- peer: a red-black tree under a lock */

struct range {
	uint64_t start, end; /* bytes */
};

struct rb_space {
	rte_spinlock_t lock;
	void *root;
	uint64_t hint; /* the next range ends here; counts down */
	struct range *got[BURST];
	uint64_t len;
};

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static struct range *rb_alloc(struct rb_space *s, uint64_t len)
{
	struct range *r = malloc(sizeof(*r));

	rte_spinlock_lock(&s->lock);
	r->end = s->hint & ~(len - 1);
	r->start = r->end - len;
	s->hint = r->start;
	if (tsearch(r, &s->root, by_start) == NULL)
		abort();
	rte_spinlock_unlock(&s->lock);
	return r;
}

static void rb_free(struct rb_space *s, uint64_t start)
{
	struct range key = { .start = start }, *r;

	rte_spinlock_lock(&s->lock);
	r = *(struct range **)tfind(&key, &s->root, by_start);
	tdelete(r, &s->root, by_start);
	s->hint = RTE_MAX(s->hint, r->end);
	rte_spinlock_unlock(&s->lock);
	free(r);
}

static int rb_make(struct moat_bench_run *run)
{
	struct rb_space *s = calloc(1, sizeof(*s));

	s->hint = LIMIT;
	s->len = (uint64_t)run->arg * MOAT_PAGE_SIZE;
	for (unsigned int i = 0; i < OTHERS; i++)
		rb_alloc(s, MOAT_PAGE_SIZE);
	run->ctx = s;
	return 0;
}

static void rb_drop(struct moat_bench_run *run)
{
	struct rb_space *s = run->ctx;

	tdestroy(s->root, free);
	free(s);
}

static void rb_body(struct moat_bench_run *run, uint64_t n)
{
	struct rb_space *s = run->ctx;

	for (uint64_t k = 0; k < n; k++) {
		for (unsigned int i = 0; i < BURST; i++)
			s->got[i] = rb_alloc(s, s->len);
		for (unsigned int i = BURST; i-- > 0;)
			rb_free(s, s->got[i]->start);
	}
}

MOAT_BENCH(rb_pair) = { .name = "peer/iova_rbtree/alloc_free",
	.setup = rb_make,
	.body = rb_body,
	.teardown = rb_drop,
	.args = { 1, 64 },
	.items = BURST };
