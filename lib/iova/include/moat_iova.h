/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_IOVA_H
#define MOAT_IOVA_H

/**
 * @file
 * The IOVA space of one domain: contiguous ranges, freed exactly as they were allocated, within the
 * width of the unit and of the narrowest device.
 *
 * Ranges make protection cheap: one descriptor invalidates a run of neighbouring IOVAs. So the
 * allocator hands out contiguous runs, aligned to their own size up to 2 MiB (a whole run can then
 * be one page-selective invalidation, and 2 MiB leaves can be used). Small runs (powers of two up
 * to 64 pages) come from a per-lcore stock in O(1), as neighbours after each fill. All others come
 * from a tree under a lock, on the control path.
 *
 * Fragmentation is bounded: small runs share 2 MiB chunks, which lie at the top of the space and
 * whose largest free blocks are used last; everything else is placed first-fit from the bottom. If
 * no run is long enough, chunks give up their free pages before an allocation fails.
 *
 * A range must be freed only after the ticket of its unmap is done; lib/domain takes care of that.
 */

#include <rte_branch_prediction.h>

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct moat_iova;

#define MOAT_IOVA_ORDERS 7  /* of small runs: 2^order pages, 1 to 64 */
#define MOAT_IOVA_STOCK  64 /* runs of one order in a stock, at most */

/** One lcore's stock of small runs: a stack of addresses for each order. Its members are private;
 * they are declared here for the inline functions. */
struct moat_iova_cache {
	uint32_t n[MOAT_IOVA_ORDERS];
	uint32_t max[MOAT_IOVA_ORDERS];
	struct moat_iova *space;
	uint64_t iova[MOAT_IOVA_ORDERS][MOAT_IOVA_STOCK];
} __rte_cache_aligned;

/**
 * Create a space.
 *
 * @param base first IOVA to hand out; at least MOAT_PAGE_SIZE (0 stays unmapped, so that a null
 *   descriptor faults)
 * @param limit first IOVA beyond the space, at most 1 << width
 * @param space receives the space
 * @return 0
 * @return -EINVAL: base or limit; moat_error_text() says why
 * @return -ENOMEM
 *
 * Thread-safe. Control path.
 */
int moat_iova_create(uint64_t base, uint64_t limit, struct moat_iova **space);

/**
 * Destroy a space. Ranges that are still allocated are dropped.
 *
 * @param space every stock of it must have been destroyed; NULL: nothing happens
 *
 * Thread safety: no other thread may use the space. Control path.
 */
void moat_iova_destroy(struct moat_iova *space);

/**
 * Create a stock for one lcore. It is empty.
 *
 * @param space the space from which the stock is filled
 * @return the stock; NULL: out of memory
 *
 * Thread-safe; the stock itself belongs to one thread at a time. Control path.
 */
struct moat_iova_cache *moat_iova_cache_create(struct moat_iova *space);

/**
 * Return a stock's runs to the space and destroy it.
 *
 * @param cache the stock; NULL: nothing happens
 *
 * Thread safety: no other thread may use the stock. Control path.
 */
void moat_iova_cache_destroy(struct moat_iova_cache *cache);

/**
 * The slow path of moat_iova_alloc(), which a program calls instead: fill the stock from the space,
 * or take the run from the space itself.
 *
 * @param space as in moat_iova_alloc()
 * @param cache as in moat_iova_alloc()
 * @param len as in moat_iova_alloc()
 * @param align as in moat_iova_alloc()
 * @param iova as in moat_iova_alloc()
 * @return as in moat_iova_alloc()
 *
 * Thread-safe with one stock per thread (takes the space's lock). Control path, and the data path
 * once in many calls.
 */
int moat_iova_alloc_slow(struct moat_iova *space, struct moat_iova_cache *cache, uint64_t len,
	uint64_t align, uint64_t *iova);

/**
 * The slow path of moat_iova_free(), which is what programs call. Returns to the space a part of a
 * full stock, or a run that the stock may not hold.
 *
 * @param space as in moat_iova_free()
 * @param cache as in moat_iova_free()
 * @param iova as in moat_iova_free()
 * @param len as in moat_iova_free()
 * @return as in moat_iova_free()
 *
 * Thread-safe with one stock per thread (takes the space's lock). Control path, and the data path
 * once in many calls.
 */
int moat_iova_free_slow(struct moat_iova *space, struct moat_iova_cache *cache, uint64_t iova,
	uint64_t len);

/**
 * The order of a small run.
 *
 * @param len bytes
 * @return log2 of its pages; -1: not a small run
 *
 * Thread-safe. Data path.
 */
static inline int moat_iova_order(uint64_t len)
{
	uint64_t pages = len >> MOAT_PAGE_SHIFT;

	if (unlikely((len & (len - 1)) != 0 || pages - 1 >= UINT64_C(1) << (MOAT_IOVA_ORDERS - 1)))
		return -1;
	return __builtin_ctzll(pages);
}

/**
 * Allocate a run.
 *
 * @param space the space
 * @param cache the calling lcore's stock; NULL: directly from the space
 * @param len bytes, a multiple of the page size
 * @param align a power of two, a page at least; 0: the length rounded up to one, at most 2 MiB
 * @param iova receives the first IOVA
 * @return 0
 * @return -ENOSPC: no such run; moat_error_text() says how much is free and how long the largest
 *   run is. Runs in other lcores' stocks are not found (at most 64 of each order, fewer where these
 *   would exceed a thousandth of the space).
 * @return -EINVAL: length or alignment
 * @return -ENOMEM
 *
 * Thread-safe with one stock per thread. Data path if the stock has such runs.
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

/**
 * Allocate exactly the range [iova, iova + len), for example of a guest-physical layout.
 *
 * @param space the space
 * @param iova first IOVA
 * @param len bytes
 * @return 0
 * @return -EBUSY: a part is allocated, or is in an lcore's stock
 * @return -EINVAL: not whole pages, or not within the space
 * @return -ENOMEM
 *
 * moat_error_text() has the sentence. Thread-safe. Control path.
 */
int moat_iova_reserve(struct moat_iova *space, uint64_t iova, uint64_t len);

/**
 * Free exactly one range that moat_iova_alloc() or moat_iova_reserve() gave.
 *
 * @param space the space
 * @param cache the calling lcore's stock, or NULL
 * @param iova first IOVA
 * @param len bytes
 * @return 0
 * @return -EINVAL: not such a range. A small run that goes to a stock is not checked: a wrong one
 *   may be allocated again, or is counted (moat_iova_stats.bad_frees) and dropped when the stock
 *   returns it to the space. A build with MOAT_IOVA_CHECK checks at once.
 *
 * Thread-safe with one stock per thread. Data path with a stock.
 */
static inline int moat_iova_free(struct moat_iova *space, struct moat_iova_cache *cache,
	uint64_t iova, uint64_t len)
{
#ifndef MOAT_IOVA_CHECK
	int order = moat_iova_order(len);

	/* Reserved runs may be unaligned; the stock holds only what alloc may hand out. */
	if (likely(cache != NULL && order >= 0 && (iova & (len - 1)) == 0 &&
		    cache->n[order] < cache->max[order])) {
		cache->iova[order][cache->n[order]++] = iova;
		return 0;
	}
#endif
	return moat_iova_free_slow(space, cache, iova, len);
}

/**
 * Is [iova, iova + len) exactly one range that was handed out and not freed? A range in an lcore's
 * stock counts as handed out.
 *
 * @param space the space
 * @param iova first IOVA
 * @param len bytes
 * @return 0
 * @return -EINVAL: it is not; moat_error_text() has the sentence
 *
 * Thread-safe (takes the space's lock). Control path.
 */
int moat_iova_check(struct moat_iova *space, uint64_t iova, uint64_t len);

/** State of a space. */
struct moat_iova_stats {
	uint64_t free_bytes;  /* runs in stocks are not counted */
	uint64_t largest_run; /* bytes */
	uint64_t runs;        /* number of free runs: shows fragmentation */
	uint64_t bad_frees;   /* frees of ranges that were not allocated: errors of the caller */
};

/**
 * Read a space's state.
 *
 * @param space the space
 * @param stats receives the state
 *
 * Thread-safe (takes the space's lock). Control path.
 */
void moat_iova_stats(struct moat_iova *space, struct moat_iova_stats *stats);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_IOVA_H */
