/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_MEMORY_H
#define MOAT_MEMORY_H

/**
 * @file
 * Memory that a unit can reach: a range of virtual addresses, and the physical address of each
 * 2 MiB of it.
 *
 * The memory is hugepages of 2 MiB if enough are free, otherwise of 1 GiB (not for a unit that
 * allocates memory itself, as a host's VT-d unit does). If there are too few, it is plain pages,
 * provided that the unit accepts these (the software unit does; for hardware their physical
 * addresses are not known).
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
 * @param m receives the memory; its previous content is overwritten
 * @param unit the unit that must reach the memory
 * @param len bytes, a multiple of 2 MiB
 * @return 0
 * @return -EINVAL: `m` or `unit` is NULL, or `len` is not valid
 * @return -EFAULT: too few hugepages are free, and the unit cannot use plain pages
 * @return -ENOMEM
 * @return another error of the unit
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
 * Map [va + off, va + off + len), which must lie in the memory, from `iova` on. If the memory is
 * not physically contiguous, this takes several calls of moat_lane_map().
 *
 * @param m the memory
 * @param lane the calling thread's
 * @param off first byte, from the memory's start; whole pages
 * @param iova first IOVA, whole pages
 * @param len bytes, whole pages
 * @param prot what devices may do
 * @return 0
 * @return an error as of moat_lane_map(): nothing is mapped. Pieces that had been mapped are
 *   unmapped again, and their ticket is done (the call has waited for it)
 * @return -ETIMEDOUT, -EIO: also if the unit does not complete that unmap, and may still reach the
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
