/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Under ThreadSanitizer: it sees nothing of what DPDK's shared libraries do, and so no order
 * between the thread that puts an mbuf into a ring there and the one that takes it out. The two
 * users of such rings here, DPDK's mempool ops and net_ring, get functions that do the same and
 * are compiled with the program.
 */

#include "stress.h"

#ifdef __SANITIZE_THREAD__

#include <string.h>

#include <ethdev_driver.h>

static int pool_put(struct rte_mempool *mp, void *const objs[], unsigned int n)
{
	return rte_ring_mp_enqueue_bulk(mp->pool_data, objs, n, NULL) == 0 ? -ENOBUFS : 0;
}

static int pool_get(struct rte_mempool *mp, void **objs, unsigned int n)
{
	return rte_ring_mc_dequeue_bulk(mp->pool_data, objs, n, NULL) == 0 ? -ENOBUFS : 0;
}

void visible_pools(void)
{
	for (unsigned int i = 0; i < rte_mempool_ops_table.num_ops; i++) {
		struct rte_mempool_ops *ops = &rte_mempool_ops_table.ops[i];

		if (strcmp(ops->name, "ring_mp_mc") != 0)
			continue;
		ops->enqueue = pool_put;
		ops->dequeue = pool_get;
	}
}

/* net_ring's queue begins with the ring. */
static uint16_t wire_receive(void *queue, struct rte_mbuf **m, uint16_t n)
{
	return (uint16_t)rte_ring_dequeue_burst(*(struct rte_ring **)queue, (void **)m, n, NULL);
}

static uint16_t wire_send(void *queue, struct rte_mbuf **m, uint16_t n)
{
	return (uint16_t)rte_ring_enqueue_burst(*(struct rte_ring **)queue, (void **)m, n, NULL);
}

void visible_wire(uint16_t port)
{
	rte_eth_devices[port].rx_pkt_burst = wire_receive;
	rte_eth_devices[port].tx_pkt_burst = wire_send;
}

#else

void visible_pools(void)
{
}

void visible_wire(uint16_t port)
{
}

#endif
