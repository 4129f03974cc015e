/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <rte_malloc.h>

#include "moat_device.h"
#include "moat_pool.h"
#include "net_port.h"
#include "net_queue.h"

/* ------------------------------------------------------------------------------------- refill */

/* Post up to free_thresh buffers at once, straight from the pool. */
static inline bool refill_run(struct net_rxq *rxq)
{
	uint32_t slot = rxq->tail & rxq->mask; /* runs are aligned: thresholds divide the size */
	struct rte_mbuf **mbufs = &rxq->mbufs[slot];
	struct moat_net_desc *ring = &rxq->ring[slot];
	uint16_t n = rxq->free_thresh;

	if (unlikely(moat_pool_refill(rxq->pool, (void **)mbufs, n) != 0)) {
		moat_counter_add(&rxq->no_mbuf, n);
		return false;
	}
	for (uint16_t i = 0; i < n; i++) {
		/* Plain stores: the device does not read them before the doorbell. */
		ring[i].addr = rte_mbuf_data_iova_default(mbufs[i]);
		ring[i].len = rxq->room;
		ring[i].flags = 0;
		ring[i].reserved = 0;
	}
	rxq->tail += n;
	return true;
}

static inline void refill(struct net_rxq *rxq)
{
	uint32_t size = rxq->mask + 1;
	bool posted = false;

	while (rxq->next + size - rxq->tail >= rxq->free_thresh && refill_run(rxq))
		posted = true;
	if (posted)
		net_device_doorbell(&rxq->hw->ring, rxq->tail);
}

/* ------------------------------------------------------------------------------------ receive */

/* moat_net_post_rx(): replace the address in the descriptor that the device fills next. */
static void misbehave(struct net_rxq *rxq)
{
	struct net_ring *ring = &rxq->hw->ring;

	if (ring->head == ring->tail)
		return; /* no descriptor is posted: try again in the next burst */
	rxq->ring[ring->head & ring->mask].addr = rxq->post_iova;
	/* Release: post_iova has been read before the next request may overwrite it. */
	__atomic_store_n(&rxq->post, false, __ATOMIC_RELEASE);
}

/* Set up the mbuf of a buffer that the pool gave, with `len` bytes of a packet in it. */
static inline void arm(const struct net_rxq *rxq, struct rte_mbuf *mbuf, uint16_t len)
{
	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	rte_mbuf_refcnt_set(mbuf, 1);
	mbuf->nb_segs = 1;
	mbuf->port = rxq->port_id;
	mbuf->ol_flags &= RTE_MBUF_F_EXTERNAL; /* pinned external buffers keep this flag */
	mbuf->packet_type = RTE_PTYPE_L2_ETHER;
	mbuf->pkt_len = len;
	mbuf->data_len = len;
	mbuf->vlan_tci = 0;
	mbuf->vlan_tci_outer = 0;
	mbuf->next = NULL;
}

/* Drop the packet that `rxq->first` begins, if any: refused, invalid, or cut off by a stop. */
static inline void drop_packet(struct net_rxq *rxq)
{
	rte_pktmbuf_free(rxq->first);
	rxq->first = NULL;
	rxq->last = NULL;
}

/* Take one completed buffer. @return the packet, if this was its last buffer and it has no error */
static inline struct rte_mbuf *take(struct net_rxq *rxq, struct rte_mbuf *mbuf, uint64_t done)
{
	uint16_t len = (uint16_t)done;
	uint16_t flags = (uint16_t)(done >> 16);

	arm(rxq, mbuf, len);
	if (likely(rxq->first == NULL)) {
		rxq->first = mbuf;
	} else {
		rxq->last->next = mbuf;
		rxq->first->nb_segs++;
		rxq->first->pkt_len += len;
	}
	rxq->last = mbuf;
	/* The ring is memory that the tenant's device can write: lengths are checked like input. */
	if (unlikely(len > rxq->room || rxq->first->nb_segs > MOAT_NET_SEGS_MAX)) {
		mbuf->data_len = 0;
		flags |= MOAT_NET_DESC_ERR | MOAT_NET_DESC_EOP;
	}
	if (unlikely(!(flags & MOAT_NET_DESC_EOP)))
		return NULL;
	mbuf = rxq->first;
	if (unlikely(flags & MOAT_NET_DESC_ERR)) {
		moat_counter_add(&rxq->errors, 1);
		drop_packet(rxq);
		return NULL;
	}
	rxq->first = NULL;
	rxq->last = NULL;
	return mbuf;
}

uint16_t net_rx_burst(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct net_rxq *rxq = queue;
	uint64_t bytes = 0;
	uint16_t got = 0;

	if (unlikely(!rxq->hw->ring.on))
		return 0; /* stopped */
	/* Relaxed: net_move.c only asks whether this is its own lcore. */
	__atomic_store_n(&rxq->lcore, rte_lcore_id(), __ATOMIC_RELAXED);
	/* Acquire: pairs with the release in moat_net_post_rx(), which stores post_iova first. */
	if (unlikely(__atomic_load_n(&rxq->post, __ATOMIC_ACQUIRE)))
		misbehave(rxq);
	net_device_rx_run(rxq->dev, rxq->hw, n);
	while (got < n && rxq->next != rxq->tail) {
		uint32_t slot = rxq->next & rxq->mask;
		/* Acquire: the packet's bytes are read after its done bit. */
		uint64_t done =
			__atomic_load_n((uint64_t *)(void *)&rxq->ring[slot].len, __ATOMIC_ACQUIRE);
		struct rte_mbuf *packet;

		if (!(done >> 16 & MOAT_NET_DESC_DD))
			break;
		packet = take(rxq, rxq->mbufs[slot], done);
		rxq->next++;
		if (likely(packet != NULL)) {
			bytes += packet->pkt_len;
			pkts[got++] = packet;
		}
	}
	if (got != 0) {
		moat_counter_add(&rxq->packets, got);
		moat_counter_add(&rxq->bytes, bytes);
	}
	refill(rxq);
	return got;
}

/* --------------------------------------------------------------------------------- control path */

static int check_room(const struct rte_eth_dev *dev, uint16_t queue, struct rte_mempool *pool,
	uint64_t offloads)
{
	uint32_t frame = dev->data->mtu + NET_OVERHEAD;
	uint32_t room = rte_pktmbuf_data_room_size(pool);

	if (room < RTE_PKTMBUF_HEADROOM + NET_ROOM_MIN)
		return moat_error(-EINVAL,
			"%s: rx queue %u: pool '%s' has buffers of %u bytes; "
			"%u are needed at least (headroom %u)",
			dev->data->name, queue, pool->name, room,
			RTE_PKTMBUF_HEADROOM + NET_ROOM_MIN, RTE_PKTMBUF_HEADROOM);
	if (frame + RTE_PKTMBUF_HEADROOM > room && !(offloads & RTE_ETH_RX_OFFLOAD_SCATTER))
		return moat_error(-EINVAL,
			"%s: rx queue %u: frames of MTU %u take buffers of %u bytes (%u of header, "
			"CRC and VLAN tags, %u of headroom), and those of pool '%s' have %u; use larger "
			"buffers, a smaller MTU, or RTE_ETH_RX_OFFLOAD_SCATTER",
			dev->data->name, queue, dev->data->mtu, frame + RTE_PKTMBUF_HEADROOM,
			(unsigned int)NET_OVERHEAD, RTE_PKTMBUF_HEADROOM, pool->name, room);
	return 0;
}

/* Choose how many buffers a refill posts. The number divides the ring, so that no run wraps. */
static int choose_thresh(const struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc,
	uint16_t asked, uint16_t *thresh)
{
	*thresh = asked != 0 ? asked : NET_RX_FREE_THRESH;
	if (!rte_is_power_of_2(*thresh) || *thresh > nb_desc)
		return moat_error(-EINVAL,
			"%s: rx queue %u: rx_free_thresh=%u; it must be a power of "
			"two up to the ring's %u descriptors",
			dev->data->name, queue, asked, nb_desc);
	return 0;
}

static void rxq_free(struct rte_eth_dev *dev, struct net_rxq *rxq)
{
	if (rxq == NULL)
		return;
	net_ring_free(dev, "rx", rxq->queue, rxq->zone);
	rte_free(rxq->mbufs);
	rte_free(rxq);
}

void net_rx_queue_release(struct rte_eth_dev *dev, uint16_t queue)
{
	rxq_free(dev, dev->data->rx_queues[queue]);
	dev->data->rx_queues[queue] = NULL;
}

/* Make a queue, or the spare of one that moves. `ring` names the ring's memory. */
static int make(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc, unsigned int socket,
	const struct rte_eth_rxconf *conf, struct rte_mempool *pool, const char *ring,
	struct net_rxq **out)
{
	uint64_t offloads = conf->offloads | dev->data->dev_conf.rxmode.offloads;
	struct net_port *port = net_port(dev);
	struct net_rxq *rxq;
	uint16_t thresh;
	int rc = net_ring_check(dev, "rx", queue, nb_desc);

	if (rc == 0)
		rc = check_room(dev, queue, pool, offloads);
	if (rc == 0)
		rc = choose_thresh(dev, queue, nb_desc, conf->rx_free_thresh, &thresh);
	if (rc != 0)
		return rc;
	/* The driver's own state must not be in memory that the tenant's devices can reach. */
	rxq = rte_zmalloc("net_moat", sizeof(*rxq), RTE_CACHE_LINE_SIZE);
	if (rxq == NULL)
		return moat_error(-ENOMEM, "%s: rx queue %u: out of memory", dev->data->name,
			queue);
	rxq->queue = queue;
	rxq->port_id = dev->data->port_id;
	rxq->lcore = LCORE_ID_ANY;
	rxq->dev = &port->device;
	rxq->hw = &port->device.rx[queue];
	rxq->mask = nb_desc - 1;
	rxq->size = nb_desc;
	rxq->free_thresh = thresh;
	rxq->pool = pool;
	rxq->room = RTE_MIN(rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM, UINT16_MAX);
	rxq->conf = *conf;
	rxq->conf.offloads = offloads;
	rxq->conf.rx_free_thresh = thresh;
	rxq->mbufs = rte_zmalloc("net_moat", nb_desc * sizeof(rxq->mbufs[0]), RTE_CACHE_LINE_SIZE);
	rxq->zone = net_ring_reserve(dev, ring, queue, nb_desc, socket);
	if (rxq->mbufs == NULL || rxq->zone == NULL) {
		rc = rxq->mbufs == NULL ? moat_error(-ENOMEM, "%s: rx queue %u: out of memory",
						  dev->data->name, queue)
					: -ENOMEM;
		rxq_free(dev, rxq);
		return rc;
	}
	rxq->ring = rxq->zone->addr;
	*out = rxq;
	return 0;
}

static int setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc, unsigned int socket,
	const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct net_rxq *rxq = NULL;
	int rc = make(dev, queue, nb_desc, socket, conf, pool, "rx", &rxq);

	if (rxq == NULL)
		return rc;
	rxq->hw->scatter = rxq->conf.offloads & RTE_ETH_RX_OFFLOAD_SCATTER;
	net_engine_set(net_port(dev), &rxq->hw->engine, queue, NET_RX);
	dev->data->rx_queues[queue] = rxq;
	return 0;
}

int net_rx_queue_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc,
	unsigned int socket, const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	return net_say(setup(dev, queue, nb_desc, socket, conf, pool));
}

/* Give back every buffer the queue holds. */
static void empty(struct net_rxq *rxq)
{
	drop_packet(rxq);
	for (; rxq->next != rxq->tail; rxq->next++)
		rte_mbuf_raw_free(rxq->mbufs[rxq->next & rxq->mask]);
}

/* Post a buffer in every descriptor, without the doorbell. */
static int fill(const struct rte_eth_dev *dev, struct net_rxq *rxq)
{
	int rc;

	memset(rxq->ring, 0, rxq->size * sizeof(rxq->ring[0]));
	rxq->next = 0;
	rxq->tail = 0;
	while (rxq->tail != rxq->size && refill_run(rxq))
		;
	if (rxq->tail == rxq->size)
		return 0;
	rc = moat_error(-ENOMEM,
		"%s: rx queue %u: pool '%s' has fewer than %u buffers left for "
		"the ring; make the pool larger or the ring smaller",
		dev->data->name, rxq->queue, rxq->pool->name, rxq->size);
	empty(rxq);
	return rc;
}

int net_rx_queue_start(struct rte_eth_dev *dev, uint16_t queue)
{
	struct net_rxq *rxq = dev->data->rx_queues[queue];
	int rc = moat_device_check(dev->data->port_id, queue);

	if (rc == 0)
		rc = fill(dev, rxq);
	net_device_ring_set(&rxq->hw->ring, rxq->zone->iova, rxq->size);
	if (rc != 0)
		return net_say(rc);
	net_device_doorbell(&rxq->hw->ring, rxq->tail);
	/* Relaxed: it does not matter from which moment on frames for the queue are kept. */
	__atomic_store_n(&rxq->hw->ring.on, true, __ATOMIC_RELAXED);
	dev->data->rx_queue_state[queue] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

int net_rx_queue_stop(struct rte_eth_dev *dev, uint16_t queue)
{
	struct net_rxq *rxq = dev->data->rx_queues[queue];

	/* Relaxed: as in net_rx_queue_start(). */
	__atomic_store_n(&rxq->hw->ring.on, false, __ATOMIC_RELAXED);
	net_device_rx_flush(rxq->dev, queue);
	empty(rxq);
	net_device_ring_set(&rxq->hw->ring, rxq->zone->iova, rxq->size);
	dev->data->rx_queue_state[queue] = RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}

/* --------------------------------------------------------------------------- for net_move.c */

int net_rxq_spare(struct rte_eth_dev *dev, uint16_t queue, unsigned int socket,
	struct rte_mempool *pool, struct net_rxq **spare)
{
	const struct net_rxq *rxq = dev->data->rx_queues[queue];
	int rc = make(dev, queue, rxq->size, socket, &rxq->conf, pool,
		net_ring_other(rxq->zone, "rx", "rx_moved"), spare);

	if (rc == 0) {
		rc = fill(dev, *spare);
		if (rc != 0)
			rxq_free(dev, *spare);
	}
	return rc;
}

void net_rxq_spare_free(struct rte_eth_dev *dev, struct net_rxq *spare)
{
	empty(spare);
	rxq_free(dev, spare);
}

void net_rxq_exchange(struct net_rxq *rxq, struct net_rxq *spare)
{
	drop_packet(rxq);
	RTE_SWAP(rxq->ring, spare->ring);
	RTE_SWAP(rxq->mbufs, spare->mbufs);
	RTE_SWAP(rxq->next, spare->next);
	RTE_SWAP(rxq->tail, spare->tail);
	RTE_SWAP(rxq->room, spare->room);
	RTE_SWAP(rxq->pool, spare->pool);
	RTE_SWAP(rxq->zone, spare->zone);
	net_device_ring_set(&rxq->hw->ring, rxq->zone->iova, rxq->size);
	net_device_doorbell(&rxq->hw->ring, rxq->tail);
}

void net_rxq_info(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_rxq_info *info)
{
	struct net_rxq *rxq = dev->data->rx_queues[queue];

	info->mp = rxq->pool;
	info->conf = rxq->conf;
	info->nb_desc = rxq->size;
	info->scattered_rx = rxq->hw->scatter;
	info->rx_buf_size = rxq->room;
}

/* Count completed descriptors that the program has not received. Few: the device runs in polls. */
net_queue_count_t net_rx_queue_count(void *queue)
{
	const struct net_rxq *rxq = queue;
	net_queue_count_t n = 0;

	while (rxq->next + n != rxq->tail &&
		rxq->ring[(rxq->next + n) & rxq->mask].flags & MOAT_NET_DESC_DD)
		n++;
	return n;
}

int net_rx_descriptor_status(void *queue, uint16_t offset)
{
	const struct net_rxq *rxq = queue;

	if (offset > rxq->mask)
		return -EINVAL;
	if (offset >= rxq->tail - rxq->next)
		return RTE_ETH_RX_DESC_UNAVAIL;
	if (rxq->ring[(rxq->next + offset) & rxq->mask].flags & MOAT_NET_DESC_DD)
		return RTE_ETH_RX_DESC_DONE;
	return RTE_ETH_RX_DESC_AVAIL;
}
