/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef PT_TEST_H
#define PT_TEST_H

/**
 * @file
 * Shared by the tests of lib/pt and lib/iotlb. Virtual addresses are only numbers here and are
 * never dereferenced. A page's virtual address is its IOVA + VA_OFF unless a test says otherwise.
 */

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <urcu-qsbr.h>

#include "moat_pt.h"
#include "pt_hooks.h"

#define P      MOAT_PAGE_SIZE
#define VA_OFF UINT64_C(0x100000000000)

static struct moat_pt_pool *pool;

static inline struct moat_pt *table(unsigned int levels, unsigned int width, uint64_t leaf_sizes)
{
	struct moat_pt_conf conf = {
		.pool = pool,
		.levels = levels,
		.width = width,
		.leaf_sizes = leaf_sizes,
		.coherent = true,
	};
	struct moat_pt *pt;

	assert_int_equal(moat_pt_create(&conf, &pt), 0);
	return pt;
}

static inline int map(struct moat_pt *pt, uint64_t iova, uint64_t hpa, uint64_t len,
	unsigned int prot)
{
	uint64_t bad;

	return moat_pt_map(pt, iova, hpa, (void *)((iova & ~MOAT_PAGE_MASK) + VA_OFF), len,
		(enum moat_prot)prot, &bad);
}

/** Unmap, expect `pages` unlinked table pages, and recycle them. */
static inline int unmap(struct moat_pt *pt, uint64_t iova, uint64_t len, unsigned int pages)
{
	struct moat_pt_freed freed = { 0 };
	uint64_t bad;
	int ret = moat_pt_unmap(pt, iova, len, &freed, &bad);

	assert_int_equal(freed.n, pages);
	pt_pool_recycle(pool, &freed);
	assert_int_equal(freed.n, 0);
	assert_null(freed.head);
	return ret;
}

#define assert_leaf(pt, iova, hpa_, size_, prot)                           \
	do {                                                               \
		struct moat_pt_leaf l_;                                    \
		assert_int_equal(moat_pt_walk(pt, iova, &l_), 0);          \
		assert_int_equal(l_.hpa, hpa_);                            \
		assert_int_equal(l_.size, size_);                          \
		assert_int_equal(l_.entry &MOAT_RW, prot);                 \
		assert_int_equal(!!(l_.entry & MOAT_SS_PS), (size_) != P); \
	} while (0)

#define assert_unmapped(pt, iova)                                       \
	do {                                                            \
		struct moat_pt_leaf l_;                                 \
		assert_int_equal(moat_pt_walk(pt, iova, &l_), -ENOENT); \
	} while (0)

#define assert_usage(pt, mapped_, pages_)      \
	do {                                   \
		uint64_t m_, t_;               \
		moat_pt_usage(pt, &m_, &t_);   \
		assert_int_equal(m_, mapped_); \
		assert_int_equal(t_, pages_);  \
	} while (0)

/* ---------------------------------------------------------------------------- random numbers */

static uint64_t rnd_state;

/** splitmix64, for which any seed will do. */
static inline uint64_t rnd_next(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/** @return a number from 0 to n - 1 */
static inline uint64_t rnd(uint64_t n)
{
	return rnd_next(&rnd_state) % n;
}

/** Take the seed from MOAT_SEED or from the clock, and print it so that a failure can be
 * repeated. */
static inline void rnd_seed(void)
{
	const char *env = getenv("MOAT_SEED");

	rnd_state = env != NULL ? strtoull(env, NULL, 0) : (uint64_t)time(NULL);
	fprintf(stderr, "# MOAT_SEED=%" PRIu64 "\n", rnd_state);
}

#endif /* PT_TEST_H */
