/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_SIZE_H
#define MOAT_TENANT_SIZE_H

/**
 * @file
 * How many buffers a tenant's pool needs, and how much memory.
 *
 * A buffer that is in a ring, in a burst that the program works on, or waiting for its ticket is
 * not in the pool. moat_tenant_pool_size() adds these up; doc/sizing.md has the formula with its
 * reasons:
 *
 *     rings    = rx_descriptors + tx_descriptors
 *     bursts   = lcores * 2 * burst
 *     tickets  = lcores * (turn + latency / cycles + the mode's batches), twice in mode pipelined
 *     buffers  = rings + bursts + tickets + kept
 *
 * Too small a pool loses no packet that was received: the device finds no buffer to receive into,
 * and drops. The port counts that in rx_nombuf, the tenant in `starved` of struct
 * moat_tenant_stats, and the first time the tenant logs how many of the pool's buffers waited for
 * their tickets.
 */

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** What a pool has to serve. A member that is 0 has the value in brackets. */
struct moat_tenant_size {
	enum moat_mode mode;
	uint32_t
		rx_descriptors; /* of all receive queues that take buffers from the pool together */
	uint32_t tx_descriptors; /* of all transmit queues that its packets go to together */
	uint32_t queues;         /* receive queues (1) */
	uint32_t lcores;         /* that enter the tenant (1) */
	uint32_t burst;          /* packets of a call of rte_eth_rx_burst() (32) */
	uint32_t data_room; /* bytes of a buffer, as moat_tenant_pool() takes them (one page) */
	uint32_t
		latency; /* TSC cycles from a submission to the unit's answer (2,100: hardware's) */
	uint32_t cycles; /* TSC cycles that a packet takes an lcore at the least (100) */
	uint32_t deferred_pages; /* as in struct moat_tenant_conf (256) */
	uint32_t kept;           /* packets that the program keeps beyond its turn (none) */
	bool contended;          /* lcores of other tenants submit to the same unit */
};

/**
 * Buffers with which a pool does not run dry.
 *
 * @param size what the pool has to serve
 * @return buffers, for moat_tenant_pool()
 * @return 0: `size` is NULL or its mode is not one (moat_error_text())
 *
 * Thread-safe. Control path.
 */
unsigned int moat_tenant_pool_size(const struct moat_tenant_size *size);

/**
 * Memory for a pool and for the rings of its queues, whatever driver they are of.
 *
 * @param size what the pool has to serve
 * @param buffers of the pool; 0: moat_tenant_pool_size()
 * @return bytes, a multiple of 2 MiB, for `memory` of struct moat_tenant_conf; add up those of
 *   several pools
 * @return 0: as moat_tenant_pool_size()
 *
 * Thread-safe. Control path.
 */
uint64_t moat_tenant_memory_size(const struct moat_tenant_size *size, unsigned int buffers);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_TENANT_SIZE_H */
