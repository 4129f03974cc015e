/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef NET_PORT_H
#define NET_PORT_H

/**
 * @file
 * A net_moat port: the driver half, and its links to the device half, the unit and the backing
 * port. One per ethdev, in dev_private.
 */

#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_flow_driver.h>
#include <rte_version.h>

/* DPDK 25.11 took the queues' counters out of struct rte_eth_stats, and made rx_queue_count()
 * return a signed number. */
#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
#define NET_QUEUES_APART
typedef int net_queue_count_t;
#else
#define eth_queue_stats rte_eth_stats /* its members have the same names */
typedef uint32_t net_queue_count_t;
#endif

#include "net_args.h"
#include "net_device.h"
#include "net_unit.h"

extern int net_logtype;
#define NET_LOG(level, fmt, ...) \
	rte_log(RTE_LOG_##level, net_logtype, "net_moat: " fmt "\n", ##__VA_ARGS__)

/** A receive queue, driver half. Owned by the lcore that polls it. */
struct net_rxq {
	struct moat_net_desc *ring; /* at the driver's address */
	struct rte_mbuf **mbufs;    /* mbufs[i] is posted in ring[i] */
	struct net_device *dev;
	struct net_device_rx *hw;
	uint32_t next; /* index of the next descriptor to check for DD */
	uint32_t tail; /* index of the next descriptor to post */
	uint32_t mask;
	uint16_t free_thresh; /* buffers per refill */
	uint16_t room;        /* bytes of a buffer, behind the headroom */
	uint16_t port_id;
	uint16_t queue;
	struct rte_mempool *pool;
	struct rte_mbuf *first, *last; /* of a packet whose end has not come yet */
	uint64_t packets, bytes, errors, no_mbuf;
	unsigned int lcore; /* the lcore that polled last */
	uint64_t post_iova; /* of moat_net_post_rx() */
	bool post;
	uint16_t size, rx_drop;
	const struct rte_memzone *zone;
	struct rte_eth_rxconf conf;
} __rte_cache_aligned;

/** A transmit queue, driver half. */
struct net_txq {
	struct moat_net_desc *ring;
	struct rte_mbuf **mbufs; /* mbufs[i]: the packet that begins in ring[i]; NULL: none */
	struct net_device *dev;
	struct net_device_tx *hw;
	uint32_t next; /* index of the oldest descriptor whose packet is not freed */
	uint32_t tail; /* index of the next descriptor to post */
	uint32_t mask;
	uint16_t free_thresh; /* free completed packets if fewer descriptors than this are free */
	bool fast_free;       /* all mbufs are of one pool, not shared (MBUF_FAST_FREE) */
	uint64_t packets, bytes, errors;
	/* packets that rte_eth_tx_burst() did not take: no descriptors were free */
	uint64_t refused;
	unsigned int lcore; /* the lcore that sent last */
	uint64_t post_iova; /* of moat_net_post_tx() */
	uint16_t post_len;
	bool post;
	uint16_t port_id, queue, size;
	const struct rte_memzone *zone;
	struct rte_eth_txconf conf;
} __rte_cache_aligned;

/** A steering rule: one of rte_flow, whose handle this is, or one of the port's `steer=`. */
struct rte_flow {
	struct net_rule rule;
	TAILQ_ENTRY(rte_flow) next;
	bool from_args; /* of `steer=`: rte_flow_flush() does not destroy it */
};
TAILQ_HEAD(net_flows, rte_flow);

struct net_port {
	struct net_device device; /* first, because it must be aligned */
	struct rte_eth_dev_data *data;
	struct net_args args;
	struct net_unit *unit;
	uint64_t owner; /* id by which the port owns its backing port (struct rte_eth_dev_owner) */
	bool owns;
	uint32_t starts; /* makes the names of pools unique */
	struct net_flows flows;
	uint32_t nr_flows;
};

static inline struct net_port *net_port(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

/* net_rx.c, net_tx.c */
uint16_t net_rx_burst(void *queue, struct rte_mbuf **pkts, uint16_t n);
uint16_t net_tx_burst(void *queue, struct rte_mbuf **pkts, uint16_t n);
int net_rx_queue_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc,
	unsigned int socket, const struct rte_eth_rxconf *conf, struct rte_mempool *pool);
int net_tx_queue_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc,
	unsigned int socket, const struct rte_eth_txconf *conf);
void net_rx_queue_release(struct rte_eth_dev *dev, uint16_t queue);
void net_tx_queue_release(struct rte_eth_dev *dev, uint16_t queue);
int net_rx_queue_start(struct rte_eth_dev *dev, uint16_t queue);
int net_rx_queue_stop(struct rte_eth_dev *dev, uint16_t queue);
int net_tx_queue_start(struct rte_eth_dev *dev, uint16_t queue);
int net_tx_queue_stop(struct rte_eth_dev *dev, uint16_t queue);
void net_rxq_info(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_rxq_info *info);
void net_txq_info(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_txq_info *info);
net_queue_count_t net_rx_queue_count(void *queue);
int net_rx_descriptor_status(void *queue, uint16_t offset);
int net_tx_descriptor_status(void *queue, uint16_t offset);
int net_tx_done_cleanup(void *queue, uint32_t n);

/* net_rx.c, net_tx.c, for net_move.c: make a second set of rings for a queue, on `socket`, and fill
 * the receive ring. @return 0, or a negative errno (moat_error_text()) */
int net_rxq_spare(struct rte_eth_dev *dev, uint16_t queue, unsigned int socket,
	struct rte_mempool *pool, struct net_rxq **spare);
int net_txq_spare(struct rte_eth_dev *dev, uint16_t queue, unsigned int socket,
	struct net_txq **spare);
void net_rxq_spare_free(struct rte_eth_dev *dev, struct net_rxq *spare);
void net_txq_spare_free(struct rte_eth_dev *dev, struct net_txq *spare);
/* Exchange the memory of a queue and of its spare, and program the queue's new ring into the
 * device. The ring must be off, and nothing posted to be sent. A packet of which only a part is
 * received is dropped. */
void net_rxq_exchange(struct net_rxq *rxq, struct net_rxq *spare);
void net_txq_exchange(struct net_txq *txq, struct net_txq *spare);
/* Let the device send the posted packets, and free those sent. @return true: none is left */
bool net_txq_drain(struct net_txq *txq);

/* net_move.c */
void net_move_offer(uint16_t port, bool offer);

/* net_backing.c */
int net_backing_find(struct net_port *port);
void net_backing_release(struct net_port *port);
/* Stop using the port's backing port, if `removed` is that port. */
void net_backing_gone(struct net_port *port, uint16_t removed);
bool net_backing_ours(const struct net_port *port);
int net_backing_start(struct net_port *port);
void net_backing_stop(struct net_port *port);
int net_link_update(struct rte_eth_dev *dev, int wait);
int net_link_up(struct rte_eth_dev *dev);
int net_link_down(struct rte_eth_dev *dev);

/* net_address.c */
int net_address_init(struct net_port *port);
int net_promiscuous_on(struct rte_eth_dev *dev);
int net_promiscuous_off(struct rte_eth_dev *dev);
int net_allmulticast_on(struct rte_eth_dev *dev);
int net_allmulticast_off(struct rte_eth_dev *dev);
int net_mac_add(struct rte_eth_dev *dev, struct rte_ether_addr *addr, uint32_t i, uint32_t pool);
void net_mac_remove(struct rte_eth_dev *dev, uint32_t i);
int net_mac_set(struct rte_eth_dev *dev, struct rte_ether_addr *addr);
int net_groups_set(struct rte_eth_dev *dev, struct rte_ether_addr *addrs, uint32_t n);

/* net_flow.c */
int net_flow_ops(struct rte_eth_dev *dev, const struct rte_flow_ops **ops);
int net_flow_init(struct net_port *port);
void net_flow_free(struct net_port *port);

/* net_stats.c */
#ifdef NET_QUEUES_APART
int net_stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats,
	struct eth_queue_stats *queues);
#else
int net_stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats);
#endif
int net_stats_reset(struct rte_eth_dev *dev);
int net_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n);
int net_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n);

#endif /* NET_PORT_H */
