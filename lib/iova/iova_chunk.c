/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "iova_impl.h"

/*
 * A chunk is 512 pages. A block of 2^order pages is aligned, so it lies within one word of the
 * bitmaps. Chunks are kept in lists by the order of their largest free block; a block is taken from
 * the list of the smallest order that suffices, which leaves large blocks whole.
 */

/* Bit i of the result is set if the 2^order pages at i are free and i is a multiple of 2^order. */
static uint64_t blocks(uint64_t free, unsigned int order)
{
	static const uint64_t aligned[CHUNK_ORDERS] = {
		UINT64_C(0xffffffffffffffff),
		UINT64_C(0x5555555555555555),
		UINT64_C(0x1111111111111111),
		UINT64_C(0x0101010101010101),
		UINT64_C(0x0001000100010001),
		UINT64_C(0x0000000100000001),
		UINT64_C(0x0000000000000001),
	};

	for (unsigned int i = 0; i < order; i++)
		free &= free >> (1u << i);
	return free & aligned[order];
}

/* The order of the largest free block, which is `order` at most; -1: the chunk is full. */
static int largest_order(const struct iova_chunk *c, int order)
{
	for (; order >= 0; order--)
		for (unsigned int w = 0; w < CHUNK_WORDS; w++)
			if (blocks(c->free[w], (unsigned int)order) != 0)
				return order;
	return order;
}

/* The order of the largest free block, which was `order` before pages of word `w` became free. */
static int larger_order(const struct iova_chunk *c, int order, unsigned int w)
{
	while (order < CHUNK_ORDERS - 1 && blocks(c->free[w], (unsigned int)order + 1) != 0)
		order++;
	return order;
}

static inline uint64_t block_mask(unsigned int bit, uint64_t len)
{
	return (len == 64 ? UINT64_MAX : (UINT64_C(1) << len) - 1) << bit;
}

static void unlist(struct iova_chunks *chunks, struct iova_chunk *c)
{
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		chunks->by_order[c->order + 1] = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
}

static void enlist(struct iova_chunks *chunks, struct iova_chunk *c)
{
	struct iova_chunk **list = &chunks->by_order[c->order + 1];

	c->prev = NULL;
	c->next = *list;
	if (*list != NULL)
		(*list)->prev = c;
	*list = c;
}

/* Move a chunk to the list of its largest free block's new order. */
static void relist(struct iova_chunks *chunks, struct iova_chunk *c, int order)
{
	if (order == c->order)
		return;
	unlist(chunks, c);
	c->order = (int8_t)order;
	enlist(chunks, c);
}

/* Take an empty chunk, the kept one or a new one, and enter it into its list. */
static int add_chunk(struct iova_chunks *chunks, struct iova_tree *tree)
{
	struct iova_chunk *c = chunks->empty;
	int rc;

	if (c == NULL) {
		c = calloc(1, sizeof(*c));
		if (c == NULL)
			return moat_error(-ENOMEM, "no memory for the IOVA allocator");
		/* from the top, as large runs and reserved layouts begin at the bottom */
		rc = iova_tree_alloc(tree, CHUNK_PAGES, CHUNK_PAGES, true, &c->node);
		if (rc != 0) {
			free(c);
			return rc;
		}
		c->node->chunk = c;
		c->free_pages = CHUNK_PAGES;
		c->order = CHUNK_ORDERS - 1;
		memset(c->free, 0xff, sizeof(c->free));
		chunks->free_pages += CHUNK_PAGES;
	}
	chunks->empty = NULL;
	enlist(chunks, c);
	return 0;
}

int iova_chunk_alloc(struct iova_chunks *chunks, struct iova_tree *tree, unsigned int order,
	uint64_t *page)
{
	struct iova_chunk *c = NULL;
	uint64_t fit = 0;
	unsigned int w = 0, bit;

	for (unsigned int o = order; o < CHUNK_ORDERS && c == NULL; o++)
		c = chunks->by_order[o + 1];
	if (c == NULL) {
		int rc = add_chunk(chunks, tree);

		if (rc != 0)
			return rc;
		c = chunks->by_order[CHUNK_ORDERS];
	}
	while ((fit = blocks(c->free[w], order)) == 0)
		w++;
	bit = (unsigned int)__builtin_ctzll(fit);
	c->free[w] &= ~block_mask(bit, UINT64_C(1) << order);
	c->first[w] |= UINT64_C(1) << bit;
	c->free_pages -= 1u << order;
	chunks->free_pages -= UINT64_C(1) << order;
	relist(chunks, c, largest_order(c, c->order));
	*page = c->node->start + w * 64 + bit;
	return 0;
}

/* Is [i, i + len) exactly one block that was handed out? */
static bool is_block(const struct iova_chunk *c, unsigned int i, uint64_t len)
{
	unsigned int w = i / 64, bit = i % 64, end = i + (unsigned int)len;
	uint64_t mask;

	if (len == 0 || len > 64 || (len & (len - 1)) != 0 || (i & (len - 1)) != 0)
		return false;
	mask = block_mask(bit, len);
	if ((c->free[w] & mask) != 0 || (c->first[w] & mask) != UINT64_C(1) << bit)
		return false;
	return end == CHUNK_PAGES ||
		((c->free[end / 64] | c->first[end / 64]) >> end % 64 & 1) != 0;
}

bool iova_chunk_has(const struct iova_chunk *c, uint64_t page, uint64_t len)
{
	return is_block(c, (unsigned int)(page - c->node->start), len);
}

static void delete_chunk(struct iova_chunks *chunks, struct iova_chunk *c)
{
	chunks->free_pages -= c->free_pages;
	free(c);
}

int iova_chunk_free(struct iova_chunks *chunks, struct iova_tree *tree, struct iova_chunk *c,
	uint64_t page, uint64_t len)
{
	unsigned int i = (unsigned int)(page - c->node->start);

	if (!is_block(c, i, len))
		return -EINVAL;
	c->free[i / 64] |= block_mask(i % 64, len);
	c->first[i / 64] &= ~(UINT64_C(1) << i % 64);
	c->free_pages += (uint16_t)len;
	chunks->free_pages += len;
	if (c->free_pages < CHUNK_PAGES) {
		relist(chunks, c, larger_order(c, c->order, i / 64));
		return 0;
	}
	unlist(chunks, c);
	if (chunks->empty == NULL) { /* keep one, to avoid freeing and creating chunks in turn */
		c->order = CHUNK_ORDERS - 1;
		chunks->empty = c;
	} else {
		iova_tree_free(tree, c->node);
		delete_chunk(chunks, c);
	}
	return 0;
}

/* The page at which the block or free run at page i ends. */
static unsigned int run_end(const struct iova_chunk *c, unsigned int i)
{
	bool free = c->free[i / 64] >> i % 64 & 1;

	for (i++; i < CHUNK_PAGES; i++)
		if ((c->free[i / 64] >> i % 64 & 1) != free || (c->first[i / 64] >> i % 64 & 1))
			break;
	return i;
}

int iova_chunk_dissolve(struct iova_chunks *chunks, struct iova_tree *tree, struct iova_chunk *c)
{
	bool kept = c == chunks->empty;

	/* Make all nodes first, so that nothing changes if memory runs out. */
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there is a chunk to dissolve */
	struct iova_node *nodes[CHUNK_PAGES], *n = c->node;
	unsigned int count = 0, end;

	for (unsigned int i = 0; i < CHUNK_PAGES; i = end) {
		end = run_end(c, i);
		nodes[count++] = n;
		if (end == CHUNK_PAGES)
			break;
		if (iova_tree_split(tree, n, end - i, &n) != 0)
			goto undo;
	}
	if (!kept)
		unlist(chunks, c);
	else
		chunks->empty = NULL;
	c->node->chunk = NULL;
	for (unsigned int k = 0, i = 0; k < count; k++, i = end) {
		end = run_end(c, i);
		if (c->free[i / 64] >> i % 64 & 1)
			iova_tree_free(tree, nodes[k]);
	}
	delete_chunk(chunks, c);
	return 0;
undo:
	while (count-- > 1)
		iova_tree_join(tree, nodes[count - 1], nodes[count]);
	return -ENOMEM;
}

int iova_chunks_dissolve(struct iova_chunks *chunks, struct iova_tree *tree)
{
	int n = 0;

	while (chunks->empty != NULL) {
		if (iova_chunk_dissolve(chunks, tree, chunks->empty) != 0)
			return -ENOMEM;
		n++;
	}
	for (unsigned int o = 1; o <= CHUNK_ORDERS; o++) { /* 0 has the full ones */
		while (chunks->by_order[o] != NULL) {
			/* NOLINTNEXTLINE(clang-analyzer-*): a dissolved chunk left the list */
			if (iova_chunk_dissolve(chunks, tree, chunks->by_order[o]) != 0)
				return -ENOMEM;
			n++;
		}
	}
	return n;
}

void iova_chunks_fini(struct iova_chunks *chunks)
{
	free(chunks->empty);
	for (unsigned int o = 0; o <= CHUNK_ORDERS; o++) {
		while (chunks->by_order[o] != NULL) {
			struct iova_chunk *c = chunks->by_order[o];

			chunks->by_order[o] = c->next;
			free(c);
		}
	}
}

static void chunk_runs(const struct iova_chunk *c, uint64_t *runs, uint64_t *longest)
{
	unsigned int end;

	for (unsigned int i = 0; i < CHUNK_PAGES; i = end) {
		end = run_end(c, i);
		if (c->free[i / 64] >> i % 64 & 1) {
			*runs += 1;
			*longest = RTE_MAX(*longest, (uint64_t)(end - i));
		}
	}
}

void iova_chunks_runs(const struct iova_chunks *chunks, uint64_t *runs, uint64_t *longest)
{
	*runs = 0;
	*longest = 0;
	if (chunks->empty != NULL)
		chunk_runs(chunks->empty, runs, longest);
	for (unsigned int o = 1; o <= CHUNK_ORDERS; o++)
		for (const struct iova_chunk *c = chunks->by_order[o]; c != NULL; c = c->next)
			chunk_runs(c, runs, longest);
}
