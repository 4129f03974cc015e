/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_COPY_H
#define MOAT_TENANT_COPY_H

/* Copies of packets, from one pool's buffers to another's. */

#include <rte_mbuf.h>

#define TENANT_COPY_SEGS 16u /* a copy has at most this many segments */

/* Copy a packet's metadata: all that PMD and application set, except data and lengths. */
void tenant_copy_about(struct rte_mbuf *to, const struct rte_mbuf *from);

struct moat_pool;

/* Copy a packet into a chain of mbufs from `mp`. `unmapped`: the tenant's pool of `mp`, to get
 * buffers that are not mapped; NULL: get buffers from `mp` as usual.
 * @return NULL: too few buffers, or more than TENANT_COPY_SEGS needed */
struct rte_mbuf *tenant_copy(struct rte_mempool *mp, struct moat_pool *unmapped,
	const struct rte_mbuf *from);

/* Could tenant_copy() copy the packet if `pool` had enough buffers? */
static inline bool tenant_copy_fits(struct rte_mempool *pool, const struct rte_mbuf *from)
{
	uint32_t room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;

	return from->pkt_len <= (uint64_t)room * TENANT_COPY_SEGS;
}

#endif /* MOAT_TENANT_COPY_H */
