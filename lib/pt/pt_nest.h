/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef PT_NEST_H
#define PT_NEST_H

/**
 * @file
 * First-stage tables over a second stage, for lib/domain.
 *
 * Under a second stage the addresses in first-stage entries, those of tables too, are not the
 * host's: the second stage translates them. So the pages of such tables come from a pool of their
 * own, which asks for each chunk where the unit meets it. Its `hpa` (moat_pt.root_hpa, the links)
 * is that address.
 */

#include "moat_pt.h"

/** Where the unit meets a chunk. */
struct pt_place {
	/** Let the unit reach [va, va + MOAT_2M_SIZE), at host address `hpa`. Called under locks of
	 * the new pool: it must not wait, nor use that pool. Any thread.
	 * @param address receives where; a multiple of MOAT_2M_SIZE @return 0 or a negative errno
	 */
	int (*enter)(void *ctx, void *va, uint64_t hpa, uint64_t *address);
	void *ctx;
};

/**
 * Create a pool whose chunks come from where those of `below` do, but are met at other addresses.
 *
 * @param below the pool of the unit; its watch must be set, and learns of pages by host address
 * @param place copied; a chunk stays in its place until the pool is destroyed
 * @param pool receives the pool
 * @return 0; -ENOMEM. Thread-safe. Control path.
 */
int pt_pool_create_over(const struct moat_pt_pool *below, const struct pt_place *place,
	struct moat_pt_pool **pool);

/**
 * Leave a pool: its memory goes when the grace periods of what it has retired are over, in
 * liburcu's thread, and at the latest when the pool of the unit is destroyed. Nothing waits, as
 * moat_pt_pool_destroy() does.
 *
 * @param pool every page table of it must have been destroyed; NULL: nothing happens
 *
 * Thread safety: no other thread may use the pool. Control path.
 */
void pt_pool_leave(struct moat_pt_pool *pool);

/** What pt_revoke() has done to one leaf. */
typedef void (*pt_revoked)(void *ctx, uint64_t iova, uint64_t len, uint64_t address);

/**
 * Take the permissions of every leaf that leads into [address, address + len). The leaf stays
 * mapped, but permits nothing, until it is unmapped: neither a unit nor a reader gets through. A
 * leaf that reaches into the range goes whole.
 *
 * @param pt a first-stage table
 * @param address of the entries, as moat_pt_map() was given it
 * @param len bytes
 * @param fn called for each leaf, with its IOVA, length and address; NULL
 * @param ctx its first argument
 *
 * The caller must be registered with urcu-qsbr, and online. Thread-safe, also against the table's
 * writers: of a leaf that is stored meanwhile it is unspecified whether it loses its permissions.
 * Control path: it looks at all of the table.
 */
void pt_revoke(struct moat_pt *pt, uint64_t address, uint64_t len, pt_revoked fn, void *ctx);

/** Is `iova` mapped by a leaf that has lost its permissions? As moat_pt_walk(). Control path. */
bool pt_is_revoked(const struct moat_pt *pt, uint64_t iova);

#endif /* PT_NEST_H */
