/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_IOVA_H
#define MOAT_IOVA_H

/**
 * @file
 * The IOVA space of one domain: contiguous ranges, exact free, within the width of the unit and of
 * the narrowest device.
 *
 * Ranges are what make protection cheap: a run of neighbouring IOVAs is unmapped by one descriptor.
 * So the allocator hands out contiguous runs, aligned to their own size up to 2 MiB (which lets a
 * whole run be one page-selective invalidation, and 2 MiB leaves be used), and takes them back
 * exactly as they were given. Small runs (powers of two up to 64 pages) come from per-lcore stock
 * in O(1), and consecutive ones are neighbours; the rest comes from a tree under a lock, on the
 * control path.
 *
 * Fragmentation is bounded: small runs share 2 MiB chunks, whose largest free blocks are taken
 * last, and lie at the top of the space; everything else is placed first-fit from the bottom. When
 * no run is long enough, chunks give up what they have free before anybody is refused.
 *
 * A range is freed here only after the ticket of its unmap is done: lib/domain sees to that.
 */

#include <rte_branch_prediction.h>

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct moat_iova;

#define MOAT_IOVA_ORDERS 7 /* of small runs: 1 to 64 pages */
#define MOAT_IOVA_STOCK  64

/** One lcore's stock of small runs: a stack of addresses for each order. The allocator's own; it
 * stands here for the inlines. */
struct moat_iova_cache {
	uint32_t n[MOAT_IOVA_ORDERS];
	uint32_t max[MOAT_IOVA_ORDERS];
	struct moat_iova *space;
	uint64_t iova[MOAT_IOVA_ORDERS][MOAT_IOVA_STOCK];
} __rte_cache_aligned;

/**
 * @param base first IOVA to hand out; at least MOAT_PAGE_SIZE (0 stays unmapped, so that a null
 *   descriptor faults)
 * @param limit first IOVA beyond, at most 1 << width
 * @return 0, -EINVAL (moat_error_text() says why), -ENOMEM. Control path.
 */
int moat_iova_create(uint64_t base, uint64_t limit, struct moat_iova **space);
/** Every stock of it is destroyed; what is still allocated is forgotten. NULL: nothing. Control path. */
void moat_iova_destroy(struct moat_iova *space);

/** Stock for one lcore, empty; NULL when out of memory. Not shared between threads. Control path. */
struct moat_iova_cache *moat_iova_cache_create(struct moat_iova *space);
/** Its stock goes back to the space. Control path. */
void moat_iova_cache_destroy(struct moat_iova_cache *cache);

/* What the inlines call when stock does not serve. Not for users. */
int moat_iova_alloc_slow(struct moat_iova *space, struct moat_iova_cache *cache, uint64_t len,
	uint64_t align, uint64_t *iova);
int moat_iova_free_slow(struct moat_iova *space, struct moat_iova_cache *cache, uint64_t iova,
	uint64_t len);

/** The order of a small run of `len` bytes; -1 when it is none. */
static inline int moat_iova_order(uint64_t len)
{
	uint64_t pages = len >> MOAT_PAGE_SHIFT;

	if (unlikely((len & (len - 1)) != 0 || pages - 1 >= UINT64_C(1) << (MOAT_IOVA_ORDERS - 1)))
		return -1;
	return __builtin_ctzll(pages);
}

/**
 * A free run of `len` bytes (multiple of the page size), aligned to `align` (a power of two; 0:
 * natural, the length rounded up to a power of two, at most 2 MiB).
 * @param cache this lcore's stock, or NULL: straight from the space
 * @return 0, -ENOSPC (moat_error_text() says how much is free and the largest run), -EINVAL,
 *   -ENOMEM.
 * Thread-safe with one cache per thread. Data path for what the cache serves. What other lcores
 * have in stock (64 runs of each order at most, less where that would be more than a thousandth
 * of the space) is not found.
 */
static inline int moat_iova_alloc(struct moat_iova *space, struct moat_iova_cache *cache,
	uint64_t len, uint64_t align, uint64_t *iova)
{
	int order = moat_iova_order(len);

	if (likely(cache != NULL && order >= 0 && align == 0 && cache->n[order] != 0)) {
		*iova = cache->iova[order][--cache->n[order]];
		return 0;
	}
	return moat_iova_alloc_slow(space, cache, len, align, iova);
}

/** Exactly this range, e.g. a guest-physical layout. @return 0; -EBUSY when any of it is taken, another
 * lcore's stock included; -EINVAL: no whole pages, or not within the space; -ENOMEM. moat_error_text()
 * says which. Thread-safe, control path. */
int moat_iova_reserve(struct moat_iova *space, uint64_t iova, uint64_t len);
/**
 * Give back exactly what alloc or reserve gave. @return 0, -EINVAL when it is not such a range.
 * With a cache, a small run goes into stock unchecked: a wrong one is found, counted and left out
 * when stock goes back to the space (moat_iova_stats.bad_frees); a build with
 * MOAT_IOVA_CHECK checks at once. Data path with a cache.
 */
static inline int moat_iova_free(struct moat_iova *space, struct moat_iova_cache *cache,
	uint64_t iova, uint64_t len)
{
#ifndef MOAT_IOVA_CHECK
	int order = moat_iova_order(len);

	/* Unaligned runs exist, by reserve; stock holds what alloc may hand out. */
	if (likely(cache != NULL && order >= 0 && (iova & (len - 1)) == 0 &&
		    cache->n[order] < cache->max[order])) {
		cache->iova[order][cache->n[order]++] = iova;
		return 0;
	}
#endif
	return moat_iova_free_slow(space, cache, iova, len);
}

/**
 * Is [iova, iova + len) exactly one range that was handed out and not given back? What lies in an
 * lcore's stock counts as handed out.
 * @return 0; -EINVAL. Thread-safe, takes the space's lock, control path.
 */
int moat_iova_check(struct moat_iova *space, uint64_t iova, uint64_t len);

struct moat_iova_stats {
	uint64_t free_bytes;  /* stocks not counted */
	uint64_t largest_run; /* bytes */
	uint64_t runs;        /* free runs: the fragmentation */
	uint64_t bad_frees;   /* ranges given back that were nobody's: an error of the caller */
};
/** Thread-safe (takes the space's lock), control path. */
void moat_iova_stats(struct moat_iova *space, struct moat_iova_stats *stats);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_IOVA_H */
