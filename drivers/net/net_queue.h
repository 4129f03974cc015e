/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef NET_QUEUE_H
#define NET_QUEUE_H

/* What receive and transmit queues of the driver half share. */

#include "moat_counter.h"
#include "net_port.h"

/* Header, CRC as DPDK counts it, and two VLAN tags: frame = MTU + NET_OVERHEAD. */
#define NET_OVERHEAD       (RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN + 2 * RTE_VLAN_HLEN)
/* Bytes behind the headroom that a receive buffer has at least. */
#define NET_ROOM_MIN       256
#define NET_RX_FREE_THRESH 32
#define NET_TX_FREE_THRESH 32

enum net_direction { NET_RX, NET_TX };

/** A negative errno: log moat_error_text(), hand the code through. */
int net_say(int rc);

/** @return 0, -EINVAL: no size of a ring, no such queue */
int net_ring_check(const struct rte_eth_dev *dev, const char *side, uint16_t queue,
	uint16_t nb_desc);
/** A ring's memory, where the queue's socket id says, at the IOVA that place gives it. NULL:
 * moat_error_text(). */
const struct rte_memzone *net_ring_reserve(struct rte_eth_dev *dev, const char *side,
	uint16_t queue, uint16_t nb_desc, unsigned int socket);
/** Two rings of a queue at once need two names. @return the one that `zone` has not */
const char *net_ring_other(const struct rte_memzone *zone, const char *one, const char *other);
void net_ring_free(struct rte_eth_dev *dev, const char *side, uint16_t queue,
	const struct rte_memzone *zone);
/** Whose DMA a queue's is. */
void net_engine_set(const struct net_port *port, struct net_engine *engine, uint16_t queue,
	enum net_direction direction);

#endif /* NET_QUEUE_H */
