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
 * caches. What a turn then costs is the number of lines that it touches, and the number of pages:
 * an object of the heap is in a page of its own, whose translation comes from memory, too. So what
 * a lane and a domain touch in each turn comes from slabs. A slab's memory is chunks of 2 MiB. The
 * first one is as any other memory, so that a program with few objects takes no more than these;
 * those that follow ask for a huge page, and all of their objects share one translation.
 *
 * A chunk whose last object is freed goes back to the system, but for one that is kept.
 *
 * Zero-initialise a slab but for `size`. All functions are thread-safe. Control path.
 */

#include <stddef.h>

#include "moat_spin.h"

struct moat_slab_chunk;

struct moat_slab {
	size_t size; /* of an object: bytes, a multiple of a cache line */
	struct moat_spin lock;
	struct moat_slab_chunk *room; /* chunks with a free object, in a list */
	unsigned int chunks;          /* all of them */
};

/** A slab's initialiser: for objects of `type`, each of which begins a cache line. */
#define MOAT_SLAB(type)                                                           \
	{                                                                         \
		.size = RTE_ALIGN_CEIL(sizeof(type), (size_t)RTE_CACHE_LINE_SIZE) \
	}

/** An object, all zero. @return NULL: no memory */
void *moat_slab_alloc(struct moat_slab *slab);
/** @param object of this slab, or NULL */
void moat_slab_free(struct moat_slab *slab, void *object);

/**
 * Memory of whole chunks, aligned to 2 MiB. @param huge ask for huge pages
 * @return NULL: errno says why
 */
void *moat_slab_map(size_t len, bool huge);

#endif /* MOAT_SLAB_H */
