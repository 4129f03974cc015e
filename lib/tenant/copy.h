/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_COPY_H
#define MOAT_TENANT_COPY_H

/* Packets copied from one pool's buffers to another's. */

#include <rte_mbuf.h>

#define TENANT_COPY_SEGS 16u /* of a copy at most */

/* What the PMD and the application say about a packet, beside its bytes and lengths. */
void tenant_copy_about(struct rte_mbuf *to, const struct rte_mbuf *from);

struct moat_pool;

/* All of a packet's bytes into a chain from `mp`. `unmapped`: the tenant's pool that `mp` is, for
 * buffers that no device reaches; NULL: as the mempool hands them out.
 * @return NULL: no buffers, or more than TENANT_COPY_SEGS needed */
struct rte_mbuf *tenant_copy(struct rte_mempool *mp, struct moat_pool *unmapped,
	const struct rte_mbuf *from);

/* Could tenant_copy() ever copy it, had `pool` enough buffers? */
static inline bool tenant_copy_fits(struct rte_mempool *pool, const struct rte_mbuf *from)
{
	uint32_t room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;

	return from->pkt_len <= (uint64_t)room * TENANT_COPY_SEGS;
}

#endif /* MOAT_TENANT_COPY_H */
