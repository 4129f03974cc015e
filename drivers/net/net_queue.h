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
/* Least size of a receive buffer, in bytes behind the headroom. */
#define NET_ROOM_MIN       256
#define NET_RX_FREE_THRESH 32
#define NET_TX_FREE_THRESH 32

enum net_direction { NET_RX, NET_TX };

/** Log moat_error_text() if `rc` is negative. @return rc */
int net_say(int rc);

/** @return 0, -EINVAL: `nb_desc` is not a valid ring size; moat_error_text() */
int net_ring_check(const struct rte_eth_dev *dev, const char *side, uint16_t queue,
	uint16_t nb_desc);
/** Reserve a ring's memory on `socket`, and map it if it lies in a tenant's heap. Its IOVA is the
 * memzone's. @return NULL: moat_error_text() */
const struct rte_memzone *net_ring_reserve(struct rte_eth_dev *dev, const char *side,
	uint16_t queue, uint16_t nb_desc, unsigned int socket);
/** Find the name for a queue's second ring. @return `one` or `other`: the one that is not the name
 * of `zone`, its first */
const char *net_ring_other(const struct rte_memzone *zone, const char *one, const char *other);
void net_ring_free(struct rte_eth_dev *dev, const char *side, uint16_t queue,
	const struct rte_memzone *zone);
/** Set the unit and the requester of a queue's DMA. */
void net_engine_set(const struct net_port *port, struct net_engine *engine, uint16_t queue,
	enum net_direction direction);

#endif /* NET_QUEUE_H */
