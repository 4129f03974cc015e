/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfio_impl.h"

/* Get the index of the first chunk that does not lie before `base`. */
static unsigned int place(struct vfio_record *r, uint64_t base)
{
	unsigned int low = 0, high = r->n;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (r->chunk[middle]->base < base)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct vfio_chunk *find(struct vfio_record *r, uint64_t iova)
{
	uint64_t base = iova & ~(MOAT_2M_SIZE - 1);

	if (r->last >= r->n || r->chunk[r->last]->base != base)
		r->last = place(r, base);
	return r->last < r->n && r->chunk[r->last]->base == base ? r->chunk[r->last] : NULL;
}

static uint64_t *entry(struct vfio_chunk *chunk, uint64_t iova)
{
	return &chunk->page[(iova >> MOAT_PAGE_SHIFT) % VFIO_CHUNK_PAGES];
}

static uint64_t value(struct vfio_record *r, uint64_t iova)
{
	struct vfio_chunk *chunk = find(r, iova);

	return chunk != NULL ? *entry(chunk, iova) : 0;
}

static struct vfio_chunk *make(struct vfio_record *r, uint64_t iova)
{
	uint64_t base = iova & ~(MOAT_2M_SIZE - 1);
	unsigned int at = place(r, base);
	struct vfio_chunk *chunk;

	if (r->n == r->room) {
		unsigned int room = RTE_MAX(2 * r->room, 16u);
		struct vfio_chunk **more = realloc(r->chunk, room * sizeof(struct vfio_chunk *));

		if (more == NULL)
			return NULL;
		r->chunk = more;
		r->room = room;
	}
	chunk = calloc(1, sizeof(*chunk));
	if (chunk == NULL)
		return NULL;
	chunk->base = base;
	memmove(&r->chunk[at + 1], &r->chunk[at], (r->n - at) * sizeof(struct vfio_chunk *));
	r->chunk[at] = chunk;
	r->n++;
	return chunk;
}

int vfio_record_add(struct vfio_record *r, uint64_t iova, const void *va, uint64_t len,
	enum moat_prot prot)
{
	for (uint64_t at = 0; at < len; at += MOAT_PAGE_SIZE) {
		struct vfio_chunk *chunk = find(r, iova + at);

		if (chunk == NULL && make(r, iova + at) == NULL)
			return -ENOMEM;
		if (chunk != NULL && *entry(chunk, iova + at) != 0)
			return -EEXIST;
	}
	for (uint64_t at = 0; at < len; at += MOAT_PAGE_SIZE)
		*entry(find(r, iova + at), iova + at) =
			((uintptr_t)va + at) | prot | (at == 0 ? VFIO_FIRST : 0);
	r->maps++;
	r->pages += len >> MOAT_PAGE_SHIFT;
	return 0;
}

void vfio_record_remove(struct vfio_record *r, uint64_t iova, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += MOAT_PAGE_SIZE) {
		struct vfio_chunk *chunk = find(r, iova + at);
		uint64_t *page = chunk != NULL ? entry(chunk, iova + at) : NULL;

		if (page == NULL || *page == 0)
			continue;
		r->maps -= (*page & VFIO_FIRST) != 0;
		r->pages--;
		*page = 0;
	}
}

bool vfio_record_whole(struct vfio_record *r, uint64_t iova, uint64_t len)
{
	uint64_t behind = value(r, iova + len);

	if (!(value(r, iova) & VFIO_FIRST) || (behind != 0 && !(behind & VFIO_FIRST)))
		return false;
	for (uint64_t at = MOAT_PAGE_SIZE; at < len; at += MOAT_PAGE_SIZE)
		if (value(r, iova + at) == 0)
			return false;
	return true;
}

/* The map whose pages have been seen so far. */
struct walk {
	vfio_record_fn fn;
	void *ctx;
	uint64_t iova, len, first;
};

static int walk_end(struct walk *w)
{
	uint64_t len = w->len;

	w->len = 0;
	if (len == 0)
		return 0;
	return w->fn(w->ctx, w->iova, (void *)(uintptr_t)(w->first & ~MOAT_PAGE_MASK), len,
		w->first & MOAT_RW);
}

int vfio_record_each(struct vfio_record *r, vfio_record_fn fn, void *ctx)
{
	struct walk w = { .fn = fn, .ctx = ctx };
	int rc = 0;

	for (unsigned int i = 0; i < r->n; i++) {
		for (unsigned int k = 0; k < VFIO_CHUNK_PAGES && rc == 0; k++) {
			uint64_t page = r->chunk[i]->page[k];

			if (page == 0 || (page & VFIO_FIRST))
				rc = walk_end(&w);
			if (page & VFIO_FIRST) {
				w.iova = r->chunk[i]->base + k * MOAT_PAGE_SIZE;
				w.first = page;
			}
			w.len += page != 0 ? MOAT_PAGE_SIZE : 0;
		}
	}
	return rc != 0 ? rc : walk_end(&w);
}

void vfio_record_free(struct vfio_record *r)
{
	for (unsigned int i = 0; i < r->n; i++)
		free(r->chunk[i]);
	free(r->chunk);
	*r = (struct vfio_record){ .n = 0 };
}
