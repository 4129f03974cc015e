/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "iova_impl.h"

struct moat_iova {
	/* An adaptive mutex: on the data path it is taken rarely and held briefly, so a short
	 * spin is enough; a waiter must sleep if the holder was preempted. */
	pthread_mutex_t lock;
	struct iova_tree tree;
	struct iova_chunks chunks;
	uint64_t base, limit; /* bytes */
	uint64_t bad_frees;
};

/* -------------------------------------------------------------------------------- the space */

int moat_iova_create(uint64_t base, uint64_t limit, struct moat_iova **out)
{
	struct moat_iova *space;
	pthread_mutexattr_t attr;

	if (base < MOAT_PAGE_SIZE || (base & MOAT_PAGE_MASK) != 0)
		return moat_error(-EINVAL,
			"an IOVA space cannot begin at 0x%" PRIx64 "; it must begin at a page "
			"other than 0, so that a null descriptor faults",
			base);
	if (limit <= base || (limit & MOAT_PAGE_MASK) != 0 || limit > UINT64_C(1) << 57)
		return moat_error(-EINVAL,
			"an IOVA space from 0x%" PRIx64 " cannot end at 0x%" PRIx64 "; it must "
			"end at a page after its beginning, within 57 bits",
			base, limit);
	space = calloc(1, sizeof(*space));
	if (space == NULL)
		return moat_error(-ENOMEM, "no memory for the IOVA allocator");
	if (iova_tree_init(&space->tree, base >> MOAT_PAGE_SHIFT,
		    (limit - base) >> MOAT_PAGE_SHIFT)) {
		free(space);
		return -ENOMEM;
	}
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&space->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	space->base = base;
	space->limit = limit;
	*out = space;
	return 0;
}

void moat_iova_destroy(struct moat_iova *space)
{
	if (space == NULL)
		return;
	iova_chunks_fini(&space->chunks);
	iova_tree_fini(&space->tree);
	pthread_mutex_destroy(&space->lock);
	free(space);
}

static void space_stats(struct moat_iova *space, struct moat_iova_stats *stats)
{
	uint64_t runs, longest;

	iova_chunks_runs(&space->chunks, &runs, &longest);
	longest = RTE_MAX(longest, space->tree.root->max_free);
	stats->free_bytes = (space->tree.free_pages + space->chunks.free_pages) << MOAT_PAGE_SHIFT;
	stats->largest_run = longest << MOAT_PAGE_SHIFT;
	stats->runs = space->tree.free_runs + runs;
	stats->bad_frees = space->bad_frees;
}

/* Take a run: a small one from a chunk if possible, otherwise from the tree. */
static int take(struct moat_iova *space, uint64_t pages, uint64_t align, int order, uint64_t *page)
{
	struct iova_node *node = NULL;
	int rc = -ENOSPC;

	if (order >= 0)
		rc = iova_chunk_alloc(&space->chunks, &space->tree, (unsigned int)order, page);
	if (rc != -ENOSPC)
		return rc;
	rc = iova_tree_alloc(&space->tree, pages, align, false, &node);
	if (rc == 0)
		*page = node->start;
	return rc;
}

/* Allocate from the space. The lock is held. `order` is that of a small run, or -1. */
static int space_alloc(struct moat_iova *space, uint64_t len, uint64_t align, int order,
	uint64_t *iova)
{
	uint64_t pages = len >> MOAT_PAGE_SHIFT, page = 0;
	struct moat_iova_stats stats;
	int rc;

	rc = take(space, pages, align >> MOAT_PAGE_SHIFT, order, &page);
	if (rc == -ENOSPC && iova_chunks_dissolve(&space->chunks, &space->tree) > 0)
		rc = take(space, pages, align >> MOAT_PAGE_SHIFT, -1, &page);
	if (rc == 0) {
		*iova = page << MOAT_PAGE_SHIFT;
		return 0;
	}
	if (rc != -ENOSPC)
		return rc;
	space_stats(space, &stats);
	return moat_error(-ENOSPC,
		"no run of 0x%" PRIx64 " bytes aligned to 0x%" PRIx64
		" in the IOVA space 0x%" PRIx64 " to 0x%" PRIx64 ": 0x%" PRIx64
		" bytes are free in %" PRIu64 " runs, the largest of "
		"0x%" PRIx64,
		len, align, space->base, space->limit, stats.free_bytes, stats.runs,
		stats.largest_run);
}

/* Free a range of the space. The lock is held. */
static int space_free(struct moat_iova *space, uint64_t iova, uint64_t len)
{
	uint64_t page = iova >> MOAT_PAGE_SHIFT, pages = len >> MOAT_PAGE_SHIFT;
	struct iova_node *n = iova_tree_find(&space->tree, page);
	int rc = -EINVAL;

	if (((iova | len) & MOAT_PAGE_MASK) == 0 && n != NULL && !n->free) {
		if (n->chunk != NULL) {
			rc = iova_chunk_free(&space->chunks, &space->tree, n->chunk, page, pages);
		} else if (n->start == page && n->len == pages) {
			iova_tree_free(&space->tree, n);
			rc = 0;
		}
	}
	if (rc != 0) {
		space->bad_frees++;
		moat_error(rc,
			"0x%" PRIx64 " bytes at IOVA 0x%" PRIx64 " are not one allocated range; "
			"free each range once, as it was allocated",
			len, iova);
	}
	return rc;
}

/* -------------------------------------------------------------------------------- the stock */

struct moat_iova_cache *moat_iova_cache_create(struct moat_iova *space)
{
	struct moat_iova_cache *cache = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*cache));

	if (cache == NULL) {
		moat_error(-ENOMEM, "no memory for an lcore's stock of IOVAs");
		return NULL;
	}
	cache->space = space;
	for (unsigned int o = 0; o < MOAT_IOVA_ORDERS; o++) {
		/* a thousandth of the space: 16 runs of 64 pages in a 32-bit space */
		uint64_t share = (space->limit - space->base) >> MOAT_PAGE_SHIFT >> 10 >> o;

		cache->n[o] = 0;
		cache->max[o] = share < 2         ? 2
			: share > MOAT_IOVA_STOCK ? MOAT_IOVA_STOCK
						  : (uint32_t)share;
	}
	return cache;
}

/* Return the older part of the stock to the space; the newer part is warm in the caches. */
static uint32_t stock_drain(struct moat_iova_cache *cache, int order, uint32_t keep)
{
	uint64_t len = MOAT_PAGE_SIZE << order, *stock = cache->iova[order];
	uint32_t n = cache->n[order] - keep;

	if (n == 0)
		return 0;
	pthread_mutex_lock(&cache->space->lock);
	for (uint32_t i = 0; i < n; i++)
		space_free(cache->space, stock[i], len);
	pthread_mutex_unlock(&cache->space->lock);
	memmove(stock, stock + n, keep * sizeof(*stock));
	cache->n[order] = keep;
	return n;
}

/* Fill half the stock. Consecutive runs are handed out in ascending order, as neighbours. */
static int stock_fill(struct moat_iova_cache *cache, int order)
{
	struct moat_iova *space = cache->space;
	uint32_t want = cache->max[order] / 2, n = 0;
	uint64_t *stock = cache->iova[order];
	int rc = 0;

	pthread_mutex_lock(&space->lock);
	for (; n < want; n++) {
		uint64_t page;

		rc = iova_chunk_alloc(&space->chunks, &space->tree, (unsigned int)order, &page);
		if (rc != 0)
			break;
		stock[n] = page << MOAT_PAGE_SHIFT;
	}
	pthread_mutex_unlock(&space->lock);
	for (uint32_t i = 0; i < n / 2; i++) {
		uint64_t swap = stock[i];

		stock[i] = stock[n - 1 - i];
		stock[n - 1 - i] = swap;
	}
	cache->n[order] = n;
	return n != 0 ? 0 : rc;
}

static uint32_t cache_drain(struct moat_iova_cache *cache)
{
	uint32_t n = 0;

	for (int o = 0; o < MOAT_IOVA_ORDERS; o++)
		n += stock_drain(cache, o, 0);
	return n;
}

void moat_iova_cache_destroy(struct moat_iova_cache *cache)
{
	if (cache == NULL)
		return;
	cache_drain(cache);
	free(cache);
}

/* ------------------------------------------------------------------------------------ calls */

int moat_iova_alloc_slow(struct moat_iova *space, struct moat_iova_cache *cache, uint64_t len,
	uint64_t align, uint64_t *iova)
{
	int order = align <= len ? moat_iova_order(len) : -1; /* chunks align naturally only */
	int rc;

	if (len == 0 || (len & MOAT_PAGE_MASK) != 0 || (align & (align - 1)) != 0 ||
		(align != 0 && align < MOAT_PAGE_SIZE))
		return moat_error(-EINVAL,
			"0x%" PRIx64 " bytes of IOVA aligned to 0x%" PRIx64
			" cannot be allocated; the "
			"length must be whole pages, and the alignment 0, or a power of two and at "
			"least a page",
			len, align);
	if (align == 0)
		align = len >= MOAT_2M_SIZE ? MOAT_2M_SIZE
					    : UINT64_C(1) << (64 - __builtin_clzll(len - 1));
	if (cache != NULL && order >= 0) {
		if (cache->n[order] != 0 || stock_fill(cache, order) == 0) {
			*iova = cache->iova[order][--cache->n[order]];
			return 0;
		}
	}
	pthread_mutex_lock(&space->lock);
	rc = space_alloc(space, len, align, order, iova);
	pthread_mutex_unlock(&space->lock);
	if (rc != -ENOSPC || cache == NULL || cache_drain(cache) == 0)
		return rc;
	pthread_mutex_lock(&space->lock);
	rc = space_alloc(space, len, align, order, iova);
	pthread_mutex_unlock(&space->lock);
	return rc;
}

int moat_iova_check(struct moat_iova *space, uint64_t iova, uint64_t len)
{
	uint64_t page = iova >> MOAT_PAGE_SHIFT;
	const struct iova_node *n;
	bool taken;

	pthread_mutex_lock(&space->lock);
	n = iova_tree_find(&space->tree, page);
	taken = ((iova | len) & MOAT_PAGE_MASK) == 0 && n != NULL && !n->free &&
		(n->chunk != NULL ? iova_chunk_has(n->chunk, page, len >> MOAT_PAGE_SHIFT)
				  : n->start == page && n->len == len >> MOAT_PAGE_SHIFT);
	pthread_mutex_unlock(&space->lock);
	return taken
		? 0
		: moat_error(-EINVAL,
			  "0x%" PRIx64 " bytes at IOVA 0x%" PRIx64 " are not one allocated range; "
			  "free each range once, as it was allocated",
			  len, iova);
}

#ifdef MOAT_IOVA_CHECK
/* Check that the range is handed out and not in this stock. */
static int check_free(struct moat_iova_cache *cache, int order, uint64_t iova, uint64_t len)
{
	for (uint32_t i = 0; i < cache->n[order]; i++)
		if (cache->iova[order][i] == iova)
			return moat_error(-EINVAL, "IOVA 0x%" PRIx64 " is freed twice", iova);
	return moat_iova_check(cache->space, iova, len);
}
#endif

int moat_iova_free_slow(struct moat_iova *space, struct moat_iova_cache *cache, uint64_t iova,
	uint64_t len)
{
	int order = moat_iova_order(len), rc;

	if (cache == NULL || order < 0 || (iova & (len - 1)) != 0) {
		pthread_mutex_lock(&space->lock);
		rc = space_free(space, iova, len);
		pthread_mutex_unlock(&space->lock);
		return rc;
	}
#ifdef MOAT_IOVA_CHECK
	rc = check_free(cache, order, iova, len);
	if (rc != 0)
		return rc;
#endif
	if (cache->n[order] == cache->max[order])
		stock_drain(cache, order, cache->max[order] / 2);
	cache->iova[order][cache->n[order]++] = iova;
	return 0;
}

/* Turn the chunks that overlap [page, page + pages) into ranges of the tree. The lock is held. */
static int clear_chunks(struct moat_iova *space, uint64_t page, uint64_t pages)
{
	uint64_t end = page + pages;

	while (page < end) {
		struct iova_node *n = iova_tree_find(&space->tree, page);

		if (n == NULL)
			return 0;
		if (n->chunk == NULL) {
			page = n->start + n->len;
			continue;
		}
		int rc = iova_chunk_dissolve(&space->chunks, &space->tree, n->chunk);

		if (rc != 0)
			return rc;
	}
	return 0;
}

int moat_iova_reserve(struct moat_iova *space, uint64_t iova, uint64_t len)
{
	uint64_t page = iova >> MOAT_PAGE_SHIFT, pages = len >> MOAT_PAGE_SHIFT;
	struct iova_node *node;
	int rc;

	if (len == 0 || ((iova | len) & MOAT_PAGE_MASK) != 0 || iova < space->base ||
		iova >= space->limit || len > space->limit - iova)
		return moat_error(-EINVAL,
			"0x%" PRIx64 " bytes at IOVA 0x%" PRIx64 " are not whole pages "
			"within the space 0x%" PRIx64 " to 0x%" PRIx64,
			len, iova, space->base, space->limit);
	pthread_mutex_lock(&space->lock);
	rc = clear_chunks(space, page, pages);
	if (rc == 0)
		rc = iova_tree_take(&space->tree, page, pages, &node);
	pthread_mutex_unlock(&space->lock);
	if (rc == -EBUSY)
		moat_error(rc,
			"some of the 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64 " are allocated", len,
			iova);
	return rc;
}

void moat_iova_stats(struct moat_iova *space, struct moat_iova_stats *stats)
{
	pthread_mutex_lock(&space->lock);
	space_stats(space, stats);
	pthread_mutex_unlock(&space->lock);
}
