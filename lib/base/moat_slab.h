/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_SLAB_H
#define MOAT_SLAB_H

/**
 * @file
 * Objects of one size, next to each other.
 *
 * A program that serves thousands of domains in turn finds none of their data in the processor's
 * caches. The cost of a turn then grows with the number of cache lines that it touches, and with
 * the number of pages, because their translations come from memory, too. Objects of the heap lie in
 * many pages, so what a lane and a domain touch in each turn comes from slabs. A slab's memory is
 * chunks of 2 MiB. The first chunk is of ordinary pages, so that a program with few objects takes
 * no more memory than these need. Later chunks ask for a huge page, so that all objects of a chunk
 * share one translation.
 *
 * A chunk whose last object is freed goes back to the system, unless it is the slab's only chunk.
 *
 * A slab begins as all zero, except for `size`. All functions are thread-safe. Control path.
 */

#include <stddef.h>

#include "moat_spin.h"

struct moat_slab_chunk;

struct moat_slab {
	size_t size; /* of an object: bytes, a multiple of a cache line */
	struct moat_spin lock;
	struct moat_slab_chunk *room; /* chunks with a free object, in a list */
	unsigned int chunks;          /* number of all chunks */
};

/** Initialise a slab for objects of `type`, each of which is aligned to a cache line. */
#define MOAT_SLAB(type)                                                           \
	{                                                                         \
		.size = RTE_ALIGN_CEIL(sizeof(type), (size_t)RTE_CACHE_LINE_SIZE) \
	}

/** Allocate an object, all zero. @return NULL: out of memory */
void *moat_slab_alloc(struct moat_slab *slab);
/** Free an object. @param object one of this slab, or NULL */
void moat_slab_free(struct moat_slab *slab, void *object);

/**
 * Map zeroed memory, aligned to 2 MiB.
 * @param len bytes, a multiple of 2 MiB
 * @param huge ask for huge pages
 * @return NULL: errno says why
 */
void *moat_slab_map(size_t len, bool huge);

#endif /* MOAT_SLAB_H */
