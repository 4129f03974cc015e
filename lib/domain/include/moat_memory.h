/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_MEMORY_H
#define MOAT_MEMORY_H

/**
 * @file
 * Memory that a unit can reach: one run of virtual addresses, and the physical address of each
 * 2 MiB of it.
 *
 * Hugepages, of 2 MiB if enough are free, else of 1 GiB; where there are none, plain pages, if the
 * unit can live with those (the software unit can, a real one cannot know their physical
 * addresses).
 */

#include "moat_domain.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct moat_memory {
	uint8_t *va; /* aligned to 2 MiB */
	uint64_t len;
	uint64_t page_size; /* plain pages or hugepages: bytes */
	/* private to moat_memory.c */
	void *map; /* what munmap() gets: [map, map + map_len) */
	size_t map_len;
	struct moat_unit *unit; /* the unit that allocated the memory; NULL: mmap() did */
	uint64_t *hpa;          /* of each 2 MiB */
	bool hpa_linear;        /* hpa[i] = hpa[0] + i * 2 MiB */
};

/**
 * Get zeroed memory that a unit can reach.
 *
 * @param m becomes the memory; whatever it held before is forgotten
 * @param unit that must reach it
 * @param len bytes, a multiple of 2 MiB
 * @return 0
 * @return -EINVAL: a NULL, or `len`
 * @return -EFAULT: not so many hugepages are free, and the unit cannot know the addresses of plain
 *   pages
 * @return -ENOMEM
 * @return another error of the unit's
 *
 * moat_error_text() has the sentence. Thread-safe. Control path.
 */
int moat_memory_get(struct moat_memory *m, struct moat_unit *unit, uint64_t len);

/**
 * Give memory back. Does nothing if `m` is zeroed, or was given back already.
 *
 * @param m nothing of it may be mapped any more
 *
 * Thread safety: no other thread may use the memory. Control path.
 */
void moat_memory_put(struct moat_memory *m);

/**
 * Map [va + off, va + off + len), all of it inside, at `iova` and what follows; several calls of
 * moat_lane_map() where physical memory breaks between 2 MiB and the next.
 *
 * @param m the memory
 * @param lane the calling thread's
 * @param off first byte, from the memory's start; whole pages
 * @param iova first IOVA, whole pages
 * @param len bytes, whole pages
 * @param prot what devices may do
 * @return 0
 * @return an error as of moat_lane_map(): nothing is mapped. Pieces that were mapped before have
 *   been unmapped, and their ticket is done (the caller has waited for the unit)
 * @return -ETIMEDOUT, -EIO: also when the unit does not answer then, and may still reach such
 *   pieces
 *
 * Thread safety: the lane's own thread. Data path.
 */
int moat_memory_map(const struct moat_memory *m, struct moat_lane *lane, uint64_t off,
	uint64_t iova, uint64_t len, enum moat_prot prot);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_MEMORY_H */
