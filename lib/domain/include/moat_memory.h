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
	/* moat_memory.c's own */
	void *map; /* what munmap() gets: [map, map + map_len) */
	size_t map_len;
	struct moat_unit *unit; /* whose it is (memory_free()); NULL: munmap()'s */
	uint64_t *hpa;          /* of each 2 MiB */
	bool hpa_linear;        /* hpa[i] = hpa[0] + i * 2 MiB */
};

/**
 * @param m becomes the memory
 * @param unit that must reach it
 * @param len bytes, a multiple of 2 MiB
 * @return 0 or a negative errno, moat_error_text() has the sentence. Control path.
 */
int moat_memory_get(struct moat_memory *m, struct moat_unit *unit, uint64_t len);
/** Nothing of it is mapped any more. Also for one that is zeroed, or already put back. */
void moat_memory_put(struct moat_memory *m);

/**
 * Map [va + off, va + off + len), all of it inside, at `iova` and what follows; several calls of
 * moat_lane_map() where physical memory breaks between 2 MiB and the next.
 * @return as moat_lane_map(). On an error nothing of it is mapped: pieces that were mapped before
 *   have been unmapped, and their ticket is done (the caller has waited for the unit; -ETIMEDOUT or
 *   -EIO: the unit does not answer and may still reach them). Data path.
 */
int moat_memory_map(const struct moat_memory *m, struct moat_lane *lane, uint64_t off,
	uint64_t iova, uint64_t len, enum moat_prot prot);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_MEMORY_H */
