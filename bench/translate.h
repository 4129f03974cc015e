/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef BENCH_TRANSLATE_H
#define BENCH_TRANSLATE_H

/**
 * @file
 * The IOVAs that translate.c and its peers (peers.c) look up.
 */

#include "moat_base.h"
#include "moat_bench.h"

#define BENCH_BASE   (UINT64_C(4) << 30)
#define BENCH_VA_OFF UINT64_C(0x100000000000)

/** Enough to touch most cache lines of 65,536 entries, few enough not to evict those lines. */
#define BENCH_KEYS 16384u

/** Choose random IOVAs in `pages` pages of `size` bytes from BENCH_BASE on. Their offsets leave
 * room for 64 bytes in a 4 KiB page. */
static inline void bench_keys(uint64_t iova[BENCH_KEYS], uint64_t pages, uint64_t size)
{
	uint64_t seed = 42, per_leaf = RTE_MAX(size / MOAT_PAGE_SIZE, UINT64_C(1));

	for (unsigned int i = 0; i < BENCH_KEYS; i++) {
		uint64_t offset = moat_bench_random(&seed) % per_leaf * MOAT_PAGE_SIZE +
			moat_bench_random(&seed) % (MOAT_PAGE_SIZE - 64);

		iova[i] = BENCH_BASE +
			moat_bench_random(&seed) % RTE_MAX(pages, UINT64_C(1)) * size + offset;
	}
}

#endif /* BENCH_TRANSLATE_H */
