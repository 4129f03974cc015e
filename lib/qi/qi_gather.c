/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <rte_branch_prediction.h>

#include "qi_impl.h"

/*
 * How a run of pages [a, b) is covered by aligned blocks, each a power of two of pages.
 *
 * Let K be the smallest order with 2^K >= b - a, at most MAMV, and c, d the first and the last
 * multiple of 2^K in [a, b]. If there is none, the run lies inside one block of 2^K, which covers
 * it. Otherwise [c, d) is made of whole blocks of 2^K. The smallest block that ends at c covers
 * [a, c), and the smallest that begins at d covers [d, b). Both are aligned, because they are at
 * most 2^K and c and d are multiples of 2^K, and each is less than twice the piece that it covers.
 * So all blocks are less than twice the run, and two of them suffice if 2^MAMV >= b - a; every
 * further block is a whole 2^MAMV.
 */

/* Smallest k with 2^k >= n; n > 0. */
static inline unsigned int log2_up(uint64_t n)
{
	return n <= 1 ? 0 : 64 - (unsigned int)__builtin_clzll(n - 1);
}

struct cover {
	struct moat_qi_desc *desc;
	unsigned int n, max;
	struct moat_qi_desc zero; /* page-selective, one page at IOVA 0; with domain-id and hint */
};

/* Add the descriptor of one block. False: no room. */
static inline bool cover_block(struct cover *c, uint64_t page, unsigned int order)
{
	if (unlikely(c->n == c->max))
		return false;
	c->desc[c->n++] =
		(struct moat_qi_desc){ c->zero.lo, c->zero.hi | page << MOAT_PAGE_SHIFT | order };
	return true;
}

/* Cover a run that is exactly one block, as that of a burst of neighbouring buffers mostly is.
 * False: the run is not one block, or there is no room. */
static inline bool cover_aligned(struct cover *c, uint64_t a, uint64_t b, unsigned int mamv)
{
	uint64_t pages = b - a;
	unsigned int order = (unsigned int)__builtin_ctzll(pages);

	return ((pages | a) & (pages - 1)) == 0 && order <= mamv && cover_block(c, a, order);
}

/* Cover a run by exactly one or two blocks: the largest at its beginning, and the rest. False: that
 * is not possible, or there is no room. */
static bool cover_exact(struct cover *c, uint64_t a, uint64_t b, unsigned int mamv)
{
	uint64_t pages = b - a;
	unsigned int first = 63 - (unsigned int)__builtin_clzll(pages);
	unsigned int rest;

	if (a != 0)
		first = RTE_MIN(first, (unsigned int)__builtin_ctzll(a));
	first = RTE_MIN(first, mamv);
	pages -= UINT64_C(1) << first;
	if (pages == 0)
		return cover_block(c, a, first);
	a += UINT64_C(1) << first;
	rest = (unsigned int)__builtin_ctzll(pages);
	if (pages >> rest != 1 || rest > mamv || (a & (pages - 1)) != 0 || c->max - c->n < 2)
		return false;
	return cover_block(c, a - (UINT64_C(1) << first), first) && cover_block(c, a, rest);
}

static __rte_noinline bool cover_run(struct cover *c, uint64_t a, uint64_t b, unsigned int mamv)
{
	unsigned int k = RTE_MIN(log2_up(b - a), mamv);
	uint64_t block = UINT64_C(1) << k;
	uint64_t lower = (a + block - 1) >> k << k, upper = b >> k << k;

	if (cover_exact(c, a, b, mamv))
		return true;
	if (lower > upper)
		return cover_block(c, upper, k);
	if (a < lower) {
		unsigned int order = log2_up(lower - a);

		if (!cover_block(c, lower - (UINT64_C(1) << order), order))
			return false;
	}
	if ((upper - lower) >> k > c->max - c->n)
		return false;
	for (; lower < upper; lower += block)
		cover_block(c, lower, k);
	return b == upper || cover_block(c, upper, log2_up(b - upper));
}

/* Encode page-selective descriptors. @return their number; -1: there is no room for them, or `g`
 * has no runs or is domain-selective, or the unit has no PSI */
static inline int gather_cover(const struct moat_gather *g, const struct moat_qi_caps *caps,
	struct moat_qi_desc page, struct moat_qi_desc desc[], unsigned int max)
{
	struct cover c = { .desc = desc, .max = max, .zero = page };

	if (unlikely(g->whole || g->n == 0 || !caps->psi))
		return -1;
	for (uint32_t i = 0; i < g->n; i++) {
		uint64_t a, b;

		if (g->run[i].len == MOAT_PAGE_SIZE) { /* most runs, if there are many */
			if (unlikely(c.n == max))
				return -1;
			desc[c.n++] =
				(struct moat_qi_desc){ c.zero.lo, c.zero.hi | g->run[i].iova };
			continue;
		}
		a = g->run[i].iova >> MOAT_PAGE_SHIFT;
		b = a + (g->run[i].len >> MOAT_PAGE_SHIFT);
		if (likely(cover_aligned(&c, a, b, caps->mamv)))
			continue;
		if (unlikely(!cover_run(&c, a, b, caps->mamv)))
			return -1;
	}
	return (int)c.n;
}

unsigned int qi_gather_encode(const struct moat_gather *g, const struct moat_qi_caps *caps,
	struct moat_qi_desc page, struct moat_qi_desc whole, struct moat_qi_desc desc[],
	unsigned int max)
{
	int n = moat_gather_empty(g) ? 0 : gather_cover(g, caps, page, desc, max);

	if (likely(n >= 0))
		return (unsigned int)n;
	desc[0] = whole;
	return 1;
}

unsigned int moat_gather_encode(const struct moat_gather *g, const struct moat_qi_caps *caps,
	uint16_t did, struct moat_qi_desc desc[], unsigned int max)
{
	int n = 0;

	if (likely(!moat_gather_empty(g)))
		n = gather_cover(g, caps, moat_qi_iotlb_page(did, 0, 0, !g->tables), desc, max);
	if (likely(n >= 0))
		return (unsigned int)n;
	desc[0] = moat_qi_iotlb_domain(did);
	return 1;
}

void moat_gather_merge(struct moat_gather *g)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < g->n; i++) { /* insertion sort: nearly sorted already */
		struct moat_range r = g->run[i];
		uint32_t at = i;

		for (; at != 0 && g->run[at - 1].iova > r.iova; at--)
			g->run[at] = g->run[at - 1];
		g->run[at] = r;
	}
	for (uint32_t i = 0; i < g->n; i++) {
		if (n != 0 && g->run[n - 1].iova + g->run[n - 1].len == g->run[i].iova)
			g->run[n - 1].len += g->run[i].len;
		else
			g->run[n++] = g->run[i];
	}
	g->n = n;
}
