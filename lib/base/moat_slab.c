/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_common.h>

#include "moat_slab.h"

#define CHUNK ((size_t)2 << 20)

/* The header at the beginning of a chunk; the objects follow. */
struct moat_slab_chunk {
	struct moat_slab_chunk *next, *prev; /* in the slab's list `room` */
	void *freed;                         /* objects given back, linked by their first word */
	unsigned int used;                   /* objects in use */
	unsigned int carved;                 /* objects handed out at least once */
} __rte_cache_aligned;

void *moat_slab_map(size_t len, bool huge)
{
	uintptr_t p, aligned;
	void *m =
		mmap(NULL, len + CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		return NULL;
	p = (uintptr_t)m;
	aligned = RTE_ALIGN_CEIL(p, CHUNK);
	if (aligned != p)
		munmap(m, aligned - p);
	if (aligned != p + CHUNK)
		munmap((void *)(aligned + len), p + CHUNK - aligned);
	if (huge)
		(void)madvise((void *)aligned, len, MADV_HUGEPAGE);
	return (void *)aligned;
}

/* gcc defines __SANITIZE_ADDRESS__; clang has __has_feature(address_sanitizer). */
#if defined(__SANITIZE_ADDRESS__)
#define SLAB_IS_HEAP
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_IS_HEAP
#endif
#endif

#ifdef SLAB_IS_HEAP

/* AddressSanitizer tracks heap allocations, so here each object is a heap allocation. */
void *moat_slab_alloc(struct moat_slab *slab)
{
	void *object = aligned_alloc(RTE_CACHE_LINE_SIZE, slab->size);

	return object != NULL ? memset(object, 0, slab->size) : NULL;
}

void moat_slab_free(struct moat_slab *slab, void *object)
{
	free(object);
}

#else

static unsigned int objects(const struct moat_slab *slab)
{
	return (CHUNK - sizeof(struct moat_slab_chunk)) / slab->size;
}

static bool is_full(const struct moat_slab *slab, const struct moat_slab_chunk *chunk)
{
	return chunk->used == objects(slab);
}

static void room_add(struct moat_slab *slab, struct moat_slab_chunk *chunk)
{
	chunk->prev = NULL;
	chunk->next = slab->room;
	if (chunk->next != NULL)
		chunk->next->prev = chunk;
	slab->room = chunk;
}

static void room_remove(struct moat_slab *slab, struct moat_slab_chunk *chunk)
{
	if (chunk->prev != NULL)
		chunk->prev->next = chunk->next;
	else
		slab->room = chunk->next;
	if (chunk->next != NULL)
		chunk->next->prev = chunk->prev;
}

static void *chunk_take(const struct moat_slab *slab, struct moat_slab_chunk *chunk)
{
	void *object = chunk->freed;

	chunk->used++;
	if (object == NULL) /* never used, so still zero */
		return (char *)(chunk + 1) + slab->size * chunk->carved++;
	memcpy(&chunk->freed, object, sizeof(chunk->freed));
	return memset(object, 0, slab->size);
}

/* The lock is held. */
static struct moat_slab_chunk *chunk_add(struct moat_slab *slab)
{
	struct moat_slab_chunk *chunk = moat_slab_map(CHUNK, slab->chunks != 0);

	if (chunk == NULL)
		return NULL;
	slab->chunks++;
	room_add(slab, chunk);
	return chunk;
}

void *moat_slab_alloc(struct moat_slab *slab)
{
	struct moat_slab_chunk *chunk;
	void *object = NULL;

	moat_spin_lock(&slab->lock);
	chunk = slab->room != NULL ? slab->room : chunk_add(slab);
	if (chunk != NULL) {
		object = chunk_take(slab, chunk);
		if (is_full(slab, chunk))
			room_remove(slab, chunk);
	}
	moat_spin_unlock(&slab->lock);
	return object;
}

void moat_slab_free(struct moat_slab *slab, void *object)
{
	struct moat_slab_chunk *chunk = (void *)((uintptr_t)object & ~(CHUNK - 1));

	if (object == NULL)
		return;
	moat_spin_lock(&slab->lock);
	if (is_full(slab, chunk))
		room_add(slab, chunk);
	memcpy(object, &chunk->freed, sizeof(chunk->freed));
	chunk->freed = object;
	chunk->used--;
	if (chunk->used == 0 && slab->chunks > 1) {
		room_remove(slab, chunk);
		slab->chunks--;
		munmap(chunk, CHUNK);
	}
	moat_spin_unlock(&slab->lock);
}

#endif
