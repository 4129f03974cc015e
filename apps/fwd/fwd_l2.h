/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FWD_L2_H
#define FWD_L2_H

/**
 * @file
 * A learning bridge's table: which of a tenant's ports an Ethernet address was last seen on.
 *
 * Each entry is one 64-bit word (address, port, age), so that the lcores of a tenant share a table
 * without a lock: an entry is whole or it is another one, and the worst that two lcores learning at
 * once can do is to forget, which floods a packet. A bucket is a cache line; in a full one the
 * oldest entry gives way. Entries that were not seen for FWD_L2_AGES ticks are as good as absent.
 */

#include <rte_ether.h>

#include "moat_base.h"

#define FWD_L2_BUCKETS 512 /* a power of two, of 8 entries */
#define FWD_L2_AGES    60  /* ticks that an address is remembered */
#define FWD_L2_TICK_S  5   /* seconds between ticks, about */

struct fwd_l2 {
	_Atomic uint64_t entry[FWD_L2_BUCKETS][8];
	_Atomic uint8_t now; /* current tick */
} __rte_cache_aligned;

/** All forgotten. Control path. */
void fwd_l2_init(struct fwd_l2 *table);
/** Time goes by. Control path, one thread. */
void fwd_l2_tick(struct fwd_l2 *table);
/** `addr` was seen on `port` (below 255). Data path, any lcore. */
void fwd_l2_learn(struct fwd_l2 *table, const struct rte_ether_addr *addr, uint8_t port);
/** @return the port of `addr`, or -1: unknown, or a group address. Data path, any lcore. */
int fwd_l2_find(const struct fwd_l2 *table, const struct rte_ether_addr *addr);

#endif /* FWD_L2_H */
