/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_SIZE_H
#define MOAT_TENANT_SIZE_H

/**
 * @file
 * How many buffers a tenant's pool needs, and how much memory.
 *
 * A buffer of a pool is ready in the pool, in a ring, in the program's hands, waiting for its
 * ticket, or, in static and copy, in another lcore's DPDK cache. moat_tenant_pool_size() adds up
 * all but the first. For strict and pipelined (doc/sizing.md explains the terms, and has the
 * formulas of other modes):
 *
 *     rings    = rx_descriptors + tx_descriptors
 *     bursts   = lcores * 2 * burst
 *     tickets  = lcores * (turn + latency / cycles + coalesced), doubled in pipelined
 *     buffers  = rings + bursts + tickets + kept
 *
 * If a pool is too small, the device has no buffer to receive into. A NIC then drops packets that
 * arrive (imissed). net_moat leaves them in its backing port, where they wait or are dropped.
 * Packets that were received already are not lost. The port counts failed allocations in rx_nombuf
 * (net_moat counts the buffers that it asked for). The tenant counts them in `starved` of struct
 * moat_tenant_stats. Neither is a number of packets. At the first failure, the tenant logs how many
 * of the pool's buffers wait for their tickets.
 */

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** The load that a pool has to serve. A member that is 0 has the default in brackets. */
struct moat_tenant_size {
	enum moat_mode mode;
	/* sum over all receive queues that take buffers from the pool */
	uint32_t rx_descriptors;
	/* sum over all transmit queues to which packets of the pool are sent */
	uint32_t tx_descriptors;
	uint32_t queues;    /* receive queues (1) */
	uint32_t lcores;    /* lcores that enter the tenant (1) */
	uint32_t burst;     /* largest burst of one call of rte_eth_rx_burst(), packets (32) */
	uint32_t data_room; /* bytes of a buffer, as in moat_tenant_pool() (one page) */
	/* How long the unit takes for an invalidation: TSC cycles from its submission until the
	 * unit reports it complete (2,100, typical for hardware). For a software unit pass its
	 * argument `latency=`. For hardware measure it: `moat-perf --mode strict --batch 1 --json
	 * FILE` writes it as `wait` among `stages`. */
	uint32_t latency;
	uint32_t cycles;         /* fewest TSC cycles that an lcore spends on a packet (100) */
	uint32_t deferred_pages; /* as in struct moat_tenant_conf (256) */
	uint32_t kept;           /* packets that the program keeps for longer than a turn (0) */
	/* lcores of other tenants submit to the same unit (false); lcores > 1 implies it */
	bool contended;
};

/**
 * The number of buffers that a pool needs.
 *
 * @param size the load that the pool has to serve
 * @return number of buffers, for moat_tenant_pool()
 * @return 0: `size` is NULL, or its mode does not exist (moat_error_text())
 *
 * Thread-safe. Control path.
 */
unsigned int moat_tenant_pool_size(const struct moat_tenant_size *size);

/**
 * The memory that a pool and the rings of its queues need, with any driver.
 *
 * @param size the load that the pool has to serve
 * @param buffers number of buffers of the pool; 0: moat_tenant_pool_size()
 * @return bytes, a multiple of 2 MiB, for `memory` of struct moat_tenant_conf. If the tenant has
 *   several pools, add their results.
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
