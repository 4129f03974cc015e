/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include "moat_hist.h"

void moat_hist_merge(struct moat_hist *sum, const struct moat_hist *h)
{
	uint64_t n = moat_counter_get(&h->n), min = moat_counter_get(&h->min);

	if (n == 0)
		return;
	if (sum->n == 0 || min < sum->min)
		sum->min = min;
	sum->max = RTE_MAX(sum->max, moat_counter_get(&h->max));
	sum->n += n;
	sum->sum += moat_counter_get(&h->sum);
	for (unsigned int i = 0; i < MOAT_HIST_BUCKETS; i++)
		sum->count[i] += moat_counter_get(&h->count[i]);
}

/* The middle of a bucket's values. */
static double bucket_middle(unsigned int bucket)
{
	unsigned int shift = bucket < 2 * MOAT_HIST_SUB ? 0 : bucket / MOAT_HIST_SUB - 1;
	uint64_t low =
		shift == 0 ? bucket : (uint64_t)(bucket % MOAT_HIST_SUB + MOAT_HIST_SUB) << shift;

	return (double)low + (double)((UINT64_C(1) << shift) - 1) / 2;
}

static double clamp_to_extremes(const struct moat_hist *h, double value)
{
	if (value < (double)h->min)
		return (double)h->min;
	return value > (double)h->max ? (double)h->max : value;
}

double moat_hist_quantile(const struct moat_hist *h, double q)
{
	uint64_t rank = (uint64_t)(q * (double)h->n), seen = 0;

	if (h->n == 0)
		return 0;
	if ((double)rank < q * (double)h->n || rank == 0)
		rank++; /* round up: at least q of all values are at or below the result */
	if (rank >= h->n)
		return (double)h->max;
	if (rank == 1)
		return (double)h->min;
	for (unsigned int i = 0; i < MOAT_HIST_BUCKETS; i++) {
		seen += h->count[i];
		if (seen >= rank)
			return clamp_to_extremes(h, bucket_middle(i));
	}
	return (double)h->max;
}
