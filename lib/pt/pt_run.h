/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef PT_RUN_H
#define PT_RUN_H

/**
 * @file
 * Searches and stores over a run of entries, one implementation for each instruction set. All give
 * the same answers.
 *
 * Vector accesses and tearing: an entry is 8 bytes, aligned, and never crosses a 16-byte boundary.
 * A processor with AVX performs an aligned 16-byte access atomically (Intel SDM volume 3,
 * "Guaranteed Atomic Operations"; AMD APM volume 2); a 32-byte store that is aligned to 32 is at
 * worst two of those. So vector stores are aligned to their size, and no reader ever sees a part of
 * an entry.
 */

#include "moat_pt.h"

/** One implementation. */
struct pt_run_ops {
	const char *name;
	bool (*supported)(void);
	/** Index of the first entry that is not 0; `n` if all are 0. */
	unsigned int (*find_nonzero)(const uint64_t *e, unsigned int n);
	/** Index of the first entry that is 0; `n` if none is. */
	unsigned int (*find_zero)(const uint64_t *e, unsigned int n);
	/** Index of the first entry without the superpage bit; `n` if all have it. */
	unsigned int (*find_no_leaf)(const uint64_t *e, unsigned int n);
	/** e[k] = first + k * stride; `stride` is a page's size, or 0: less than 2^32 */
	void (*fill)(uint64_t *e, unsigned int n, uint64_t first, uint64_t stride);
	void (*zero)(uint64_t *e, unsigned int n);
	/** Store `table` and `delta` in `n` granules; one that already has both is not written.
	 * @return true: a granule had `table` and another delta (see `moves` of struct moat_pt) */
	bool (*granules)(struct moat_pt_granule *g, unsigned int n, uintptr_t table,
		uintptr_t delta);
};
/* ThreadSanitizer sees a vector access as a plain one that races with the walkers' loads. Its
 * builds use the scalar variant, whose accesses are atomic for the compiler too. */
#if defined(__SANITIZE_THREAD__)
#define PT_RUN_VECTOR 0
#else
#define PT_RUN_VECTOR 1
extern const struct pt_run_ops pt_run_avx512; /* pt_run_avx512.c; the others are in pt_run.c */
#endif
extern const struct pt_run_ops pt_run_scalar;
extern const struct pt_run_ops *const pt_run_variants[]; /* best first, NULL at the end */
extern const struct pt_run_ops *pt_run;                  /* the best that this machine has */

/** Number of entries, at most `n`, to store one by one before `e` is aligned to `align` bytes for
 * vector stores. always_inline: GCC rarely inlines into functions with another target by itself. */
static inline __attribute__((always_inline)) unsigned int pt_run_head(const void *e, unsigned int n,
	unsigned int align)
{
	unsigned int k = (-(uintptr_t)e & (align - 1)) / sizeof(uint64_t);

	return k < n ? k : n;
}

#endif /* PT_RUN_H */
