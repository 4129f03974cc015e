/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_IOVA_IMPL_H
#define MOAT_IOVA_IMPL_H

/*
 * Three layers, each in its file:
 *
 *  - iova_tree.c: the whole space as adjacent ranges, each free or taken, in a tree by address. Any
 *    range can be found in it, and freeing needs no memory.
 *  - iova_chunk.c: chunks of 2 MiB, taken from the tree and handed out in powers of two up to 64
 *    pages. Two bitmaps describe a chunk, so a page costs two bits instead of a node of the tree.
 *  - moat_iova.c: the interface, and each lcore's stock of such small ranges.
 *
 * The unit is the page: an address or a length is a number of pages, unless it is called `iova`.
 */

#include "moat_iova.h"

/* ------------------------------------------------------------------------------------- tree */

struct iova_chunk;

struct iova_node {
	uint64_t start, len; /* pages */
	uint64_t max_free;   /* the longest free range in this node's subtree */
	struct iova_node *left, *right;
	struct iova_chunk *chunk; /* the chunk that has taken the range; NULL: none */
	uint32_t priority;
	bool free;
};

struct iova_tree {
	struct iova_node *root;
	struct iova_node *spare; /* unused nodes, linked by `left` */
	uint64_t free_pages, free_runs;
	uint32_t seed;
};

/** Create a tree in which [start, start + len) is free. @return 0, -ENOMEM */
int iova_tree_init(struct iova_tree *tree, uint64_t start, uint64_t len);
void iova_tree_fini(struct iova_tree *tree);
/** Find the range that covers `page`. @return NULL: the page is outside the space */
struct iova_node *iova_tree_find(const struct iova_tree *tree, uint64_t page);
/** Take a free run of `len` at a multiple of `align`: the lowest (with `from_top` the highest) that
 * a bounded search finds, otherwise any. @return 0; -ENOSPC: there is none; -ENOMEM */
int iova_tree_alloc(struct iova_tree *tree, uint64_t len, uint64_t align, bool from_top,
	struct iova_node **node);
/** Take [start, start + len) out of a free range. @return 0; -EBUSY: not all free; -ENOMEM */
int iova_tree_take(struct iova_tree *tree, uint64_t start, uint64_t len, struct iova_node **node);
/** Free a taken range, and merge it with free neighbours. */
void iova_tree_free(struct iova_tree *tree, struct iova_node *node);
/** Split a taken range in two, the first `len` long. @return 0, -ENOMEM (nothing has changed) */
int iova_tree_split(struct iova_tree *tree, struct iova_node *node, uint64_t len,
	struct iova_node **second);
/** Join two neighbouring taken ranges. */
void iova_tree_join(struct iova_tree *tree, struct iova_node *node, struct iova_node *second);

/* ----------------------------------------------------------------------------------- chunks */

#define CHUNK_PAGES  512
#define CHUNK_WORDS  (CHUNK_PAGES / 64)
#define CHUNK_ORDERS MOAT_IOVA_ORDERS

struct iova_chunk {
	struct iova_chunk *prev, *next; /* in the list of chunks with the same `order` */
	struct iova_node *node;
	uint16_t free_pages;
	int8_t order;                /* of its largest free block; -1: full */
	uint64_t free[CHUNK_WORDS];  /* bit set: the page is free */
	uint64_t first[CHUNK_WORDS]; /* bit set: the first page of a block handed out */
};

struct iova_chunks {
	struct iova_chunk *by_order[CHUNK_ORDERS + 1]; /* index: order + 1 */
	struct iova_chunk *empty;                      /* spare, all free, in no list; NULL: none */
	uint64_t free_pages;
};

/** Take 2^order pages, aligned. @return 0, -ENOSPC (no chunk can be added), -ENOMEM */
int iova_chunk_alloc(struct iova_chunks *chunks, struct iova_tree *tree, unsigned int order,
	uint64_t *page);
/** Free a block. @return 0; -EINVAL: it is not a block that was handed out */
int iova_chunk_free(struct iova_chunks *chunks, struct iova_tree *tree, struct iova_chunk *chunk,
	uint64_t page, uint64_t len);
/** Is [page, page + len) exactly one block that was handed out? */
bool iova_chunk_has(const struct iova_chunk *chunk, uint64_t page, uint64_t len);
/** Turn the blocks handed out, and the free pages between them, into ranges of the tree. @return 0,
 * -ENOMEM */
int iova_chunk_dissolve(struct iova_chunks *chunks, struct iova_tree *tree,
	struct iova_chunk *chunk);
/** Dissolve every chunk that has a free page. @return how many; -ENOMEM */
int iova_chunks_dissolve(struct iova_chunks *chunks, struct iova_tree *tree);
void iova_chunks_fini(struct iova_chunks *chunks);
/** Count the free runs within chunks, and find the longest. */
void iova_chunks_runs(const struct iova_chunks *chunks, uint64_t *runs, uint64_t *longest);

#endif /* MOAT_IOVA_IMPL_H */
