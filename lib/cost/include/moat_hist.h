/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_HIST_H
#define MOAT_HIST_H

/**
 * @file
 * A distribution of cycles (or of any other number), in fixed memory.
 *
 * Each value below 64 has a bucket of its own; above, every power of two is divided into 64
 * buckets, so a quantile below 2^45 is off by less than 1 %. Minimum, maximum and sum are exact.
 * One thread writes a histogram; those of several threads can be merged meanwhile.
 */

#include "moat_base.h"
#include "moat_counter.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define MOAT_HIST_SUB     64 /* buckets for each power of two */
#define MOAT_HIST_BUCKETS (40 * MOAT_HIST_SUB)

/** A histogram. It is empty if all zero. */
struct moat_hist {
	uint64_t n, sum, max;
	uint64_t min; /* valid if n != 0 */
	uint64_t count[MOAT_HIST_BUCKETS];
};

/**
 * The bucket of a value.
 *
 * @param value any number
 * @return an index in moat_hist.count; values of 2^45 and more are in the last bucket
 *
 * Thread-safe. Data path.
 */
static inline unsigned int moat_hist_bucket(uint64_t value)
{
	unsigned int shift;

	if (value < MOAT_HIST_SUB)
		return (unsigned int)value;
	shift = 63 - (unsigned int)__builtin_clzll(value) - 6;
	return RTE_MIN((shift << 6) + (unsigned int)(value >> shift), MOAT_HIST_BUCKETS - 1u);
}

/**
 * Count a value.
 *
 * @param h written by the calling thread only
 * @param value what to count
 *
 * Data path.
 */
static inline void moat_hist_add(struct moat_hist *h, uint64_t value)
{
	moat_counter_add(&h->count[moat_hist_bucket(value)], 1);
	if (h->n == 0 || value < h->min)
		moat_counter_set(&h->min, value);
	moat_counter_max(&h->max, value);
	moat_counter_add(&h->n, 1);
	moat_counter_add(&h->sum, value);
}

/**
 * Add the values of `h` to `sum`.
 *
 * @param sum receives the counts
 * @param h may be written meanwhile: a value added then may be counted in some members only
 *
 * Thread safety: one thread for each `sum`. Control path.
 */
void moat_hist_merge(struct moat_hist *sum, const struct moat_hist *h);

/**
 * The q-quantile, accurate to 1 %.
 *
 * @param h must not change meanwhile
 * @param q 0 to 1; 0.5 is the median
 * @return the least v such that at least a share `q` of all values is v or less; 0 if `h` is empty
 *
 * Thread-safe. Control path.
 */
double moat_hist_quantile(const struct moat_hist *h, double q);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_HIST_H */
