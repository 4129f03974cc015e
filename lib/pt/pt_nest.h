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
 * own, which asks for the second stage's address of each chunk. The pool's tables have that address
 * wherever others have an HPA (moat_pt.root_hpa, the links).
 */

#include "moat_pt.h"

/** The source of chunks' addresses in the second stage. */
struct pt_place {
	/** Map [va, va + MOAT_2M_SIZE), at host physical address `hpa`, in the second stage. Called
	 * by any thread, under locks of the new pool: must not wait, nor use that pool.
	 * @param address receives the address, a multiple of MOAT_2M_SIZE
	 * @return 0 or a negative errno
	 */
	int (*enter)(void *ctx, void *va, uint64_t hpa, uint64_t *address);
	void *ctx;
};

/**
 * Create a pool with the memory source of `below`, whose chunks have addresses of a second stage.
 *
 * @param below the pool of the unit. Its watch, which must be set before this call if at all,
 *   learns of the new pool's pages, too, by host physical address
 * @param place copied; a chunk keeps its address until the pool is destroyed
 * @param pool receives the pool
 * @return 0; -ENOMEM. Thread-safe. Control path.
 */
int pt_pool_create_over(const struct moat_pt_pool *below, const struct pt_place *place,
	struct moat_pt_pool **pool);

/**
 * Destroy a pool without waiting, unlike moat_pt_pool_destroy(). Its memory is freed at once, or,
 * while retired pages wait for grace periods, by liburcu's thread after the last of these, but
 * before moat_pt_pool_destroy() of the unit's pool returns.
 *
 * @param pool the pool; all its page tables must have been destroyed. NULL: nothing happens
 *
 * Thread safety: no other thread may use the pool. Control path.
 */
void pt_pool_leave(struct moat_pt_pool *pool);

/** Called by pt_revoke() for each leaf that it has changed. */
typedef void (*pt_revoked)(void *ctx, uint64_t iova, uint64_t len, uint64_t address);

/**
 * Take all permissions from every leaf that maps to any part of [address, address + len). The leaf
 * stays mapped until it is unmapped, but neither a unit nor a reader can use it. A leaf that is
 * only partly inside the range loses its permissions as a whole.
 *
 * @param pt a first-stage table
 * @param address first address, as moat_pt_map() was given it in `hpa`
 * @param len bytes
 * @param fn called for each leaf, with its IOVA, length and address; may be NULL
 * @param ctx first argument of `fn`
 *
 * The caller must be registered with urcu-qsbr, and online. Thread-safe, also against the table's
 * writers: a leaf that is stored meanwhile may or may not lose its permissions. Control path: it
 * reads the whole table.
 */
void pt_revoke(struct moat_pt *pt, uint64_t address, uint64_t len, pt_revoked fn, void *ctx);

/** Is `iova` mapped by a leaf that has lost its permissions? The caller's duties are those of
 * moat_pt_walk(). Thread-safe. Control path. */
bool pt_is_revoked(const struct moat_pt *pt, uint64_t iova);

#endif /* PT_NEST_H */
