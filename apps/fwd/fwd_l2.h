/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FWD_L2_H
#define FWD_L2_H

/**
 * @file
 * A learning bridge's table: on which of a tenant's ports an Ethernet address was last seen.
 *
 * Each entry is one 64-bit word (address, port, age), so that the lcores of a tenant share a table
 * without a lock: a reader always sees a whole entry. Two lcores that learn at once may at worst
 * lose one of the addresses, whose packets are then flooded. A bucket is a cache line; in a full
 * bucket the oldest entry is replaced. Entries not refreshed for FWD_L2_AGES ticks are removed.
 */

#include <rte_ether.h>

#include "moat_base.h"

#define FWD_L2_BUCKETS 512 /* a power of two, of 8 entries */
#define FWD_L2_AGES    60  /* ticks that an address is remembered */
#define FWD_L2_TICK_S  5   /* about this many seconds between ticks */

struct fwd_l2 {
	_Atomic uint64_t entry[FWD_L2_BUCKETS][8];
	_Atomic uint8_t now; /* current tick */
} __rte_cache_aligned;

/** Empty the table. Control path. */
void fwd_l2_init(struct fwd_l2 *table);
/** Advance the time by a tick. Control path, one thread. */
void fwd_l2_tick(struct fwd_l2 *table);
/** Record that `addr` was seen on `port` (below 255). Data path, any lcore. */
void fwd_l2_learn(struct fwd_l2 *table, const struct rte_ether_addr *addr, uint8_t port);
/** @return the port of `addr`; -1: unknown, or a group address. Data path, any lcore. */
int fwd_l2_find(const struct fwd_l2 *table, const struct rte_ether_addr *addr);

#endif /* FWD_L2_H */
