/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <rte_malloc.h>

#include "moat_device.h"
#include "net_port.h"
#include "net_queue.h"

/* ----------------------------------------------------------------------- completed descriptors */

/* Count the descriptors from `next` on that the device has completed: those of whole packets, as it
 * completes a packet's descriptors together. */
static inline uint32_t count_done(const struct net_txq *txq)
{
	uint32_t n = 0;

	while (txq->next + n != txq->tail) {
		const struct moat_net_desc *desc = &txq->ring[(txq->next + n) & txq->mask];

		/* Acquire: the device has read the buffer before it set the bit. */
		if (!(__atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE) & MOAT_NET_DESC_DD))
			break;
		n++;
	}
	return n;
}

static inline void give_back(const struct net_txq *txq, struct rte_mbuf **packets, unsigned int n)
{
	/* With MBUF_FAST_FREE all buffers are of one pool, not shared, and here of one segment. */
	if (!txq->fast_free)
		rte_pktmbuf_free_bulk(packets, n);
	else if (n != 0)
		rte_mempool_put_bulk(packets[0]->pool, (void **)packets, n);
}

/* Does the packet whose first descriptor is `next` have more descriptors? This is read from
 * mbufs[], because the tenant's device can write the ring. */
static inline bool is_in_pieces(const struct net_txq *txq)
{
	uint32_t second = txq->next + 1;

	return second != txq->tail && txq->mbufs[second & txq->mask] == NULL;
}

/* Free the packets of `n` completed descriptors. @return how many packets. */
static uint32_t free_done(struct net_txq *txq, uint32_t n)
{
	struct rte_mbuf *packets[NET_BURST];
	uint32_t k = 0, sum = 0, errors = 0;

	for (uint32_t i = 0; i < n; i++, txq->next++) {
		uint32_t slot = txq->next & txq->mask;
		struct rte_mbuf *packet;

		if (txq->mbufs[slot] == NULL) /* not a packet's first piece */
			continue;
		if (unlikely(txq->ring[slot].flags & MOAT_NET_DESC_ERR))
			errors++;
		packet = txq->mbufs[slot];
		txq->mbufs[slot] = NULL;
		if (unlikely(txq->fast_free) && is_in_pieces(txq)) {
			rte_pktmbuf_free(packet); /* which frees each piece */
			sum++;
			continue;
		}
		packets[k++] = packet;
		if (k == NET_BURST) {
			give_back(txq, packets, k);
			sum += k;
			k = 0;
		}
	}
	give_back(txq, packets, k);
	sum += k;
	if (unlikely(errors != 0))
		moat_counter_add(&txq->errors, errors);
	return sum;
}

static inline uint32_t room(const struct net_txq *txq)
{
	return txq->next + txq->mask + 1 - txq->tail;
}

/* ----------------------------------------------------------------------------------- transmit */

static inline void put(struct net_txq *txq, uint64_t iova, uint16_t len, uint16_t flags,
	struct rte_mbuf *packet)
{
	uint32_t slot = txq->tail & txq->mask;
	struct moat_net_desc *desc = &txq->ring[slot];

	desc->addr = iova;
	desc->len = len;
	desc->flags = flags;
	desc->reserved = 0;
	txq->mbufs[slot] = packet;
	txq->tail++;
}

/* moat_net_post_tx(): post a descriptor that belongs to no packet of the program. */
static void misbehave(struct net_txq *txq)
{
	if (room(txq) == 0)
		return; /* try again in the next burst */
	put(txq, txq->post_iova, txq->post_len, MOAT_NET_DESC_EOP, NULL);
	/* Release: the request has been read before the next one may overwrite it. */
	__atomic_store_n(&txq->post, false, __ATOMIC_RELEASE);
}

/* Post a descriptor for each piece of the packet. */
static inline void put_packet(struct net_txq *txq, struct rte_mbuf *packet)
{
	struct rte_mbuf *seg = packet;

	if (likely(packet->nb_segs == 1)) {
		put(txq, rte_mbuf_data_iova(packet), packet->data_len, MOAT_NET_DESC_EOP, packet);
		return;
	}
	do {
		put(txq, rte_mbuf_data_iova(seg), seg->data_len,
			seg->next == NULL ? MOAT_NET_DESC_EOP : 0, seg == packet ? packet : NULL);
		seg = seg->next;
	} while (seg != NULL);
}

/* Make room for `descs` descriptors: free what the device has completed, and if that is not enough,
 * let it send what is posted. @return false: there is still not enough room */
static __rte_noinline bool make_room(struct net_txq *txq, uint16_t descs)
{
	free_done(txq, count_done(txq));
	if (descs <= room(txq))
		return true;
	net_device_doorbell(&txq->hw->ring, txq->tail);
	net_device_tx_run(txq->dev, txq->hw);
	free_done(txq, count_done(txq));
	return descs <= room(txq);
}

/* Drop a packet of more pieces than the ring has descriptors, which can never be sent, and count an
 * error. */
static void drop_long(struct net_txq *txq, struct rte_mbuf *packet)
{
	moat_counter_add(&txq->errors, 1);
	rte_pktmbuf_free(packet);
}

uint16_t net_tx_burst(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct net_txq *txq = queue;
	uint64_t bytes = 0;
	uint16_t sent;

	if (unlikely(!txq->hw->ring.on))
		return 0; /* stopped */
	/* Relaxed: net_move.c only asks whether this is its own lcore. */
	__atomic_store_n(&txq->lcore, rte_lcore_id(), __ATOMIC_RELAXED);
	if (room(txq) < (uint32_t)RTE_MAX(txq->free_thresh, n))
		free_done(txq, count_done(txq));
	/* Acquire: pairs with the release in moat_net_post_tx(), which stores the request first. */
	if (unlikely(__atomic_load_n(&txq->post, __ATOMIC_ACQUIRE)))
		misbehave(txq);
	for (sent = 0; sent < n; sent++) {
		uint16_t descs = pkts[sent]->nb_segs;

		if (unlikely(descs > room(txq)) && !make_room(txq, descs)) {
			if (descs <= txq->size)
				break;
			drop_long(txq, pkts[sent]);
			continue;
		}
		bytes += pkts[sent]->pkt_len;
		put_packet(txq, pkts[sent]);
	}
	if (unlikely(sent != n))
		moat_counter_add(&txq->refused, n - sent);
	if (sent != 0) {
		moat_counter_add(&txq->packets, sent);
		moat_counter_add(&txq->bytes, bytes);
	}
	net_device_doorbell(&txq->hw->ring, txq->tail);
	net_device_tx_run(txq->dev, txq->hw);
	return sent;
}

int net_tx_done_cleanup(void *queue, uint32_t n)
{
	struct net_txq *txq = queue;
	uint32_t done = count_done(txq), want = 0, packets = 0;

	/* Up to `n` packets (0: all): count their descriptors first. */
	for (; want < done; want++) {
		packets += txq->mbufs[(txq->next + want) & txq->mask] != NULL;
		if (n != 0 && packets > n)
			break;
	}
	return (int)free_done(txq, want);
}

/* --------------------------------------------------------------------------------- control path */

static void txq_free(struct rte_eth_dev *dev, struct net_txq *txq)
{
	if (txq == NULL)
		return;
	net_ring_free(dev, "tx", txq->queue, txq->zone);
	rte_free(txq->mbufs);
	rte_free(txq);
}

void net_tx_queue_release(struct rte_eth_dev *dev, uint16_t queue)
{
	txq_free(dev, dev->data->tx_queues[queue]);
	dev->data->tx_queues[queue] = NULL;
}

/* As make() in net_rx.c. */
static int make(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc, unsigned int socket,
	const struct rte_eth_txconf *conf, const char *ring, struct net_txq **out)
{
	uint64_t offloads = conf->offloads | dev->data->dev_conf.txmode.offloads;
	uint16_t thresh = conf->tx_free_thresh != 0 ? conf->tx_free_thresh : NET_TX_FREE_THRESH;
	struct net_port *port = net_port(dev);
	struct net_txq *txq;
	int rc = net_ring_check(dev, "tx", queue, nb_desc);

	if (rc == 0 && thresh >= nb_desc)
		rc = moat_error(-EINVAL,
			"%s: tx queue %u: tx_free_thresh=%u; it must be less than the "
			"ring's %u descriptors",
			dev->data->name, queue, thresh, nb_desc);
	if (rc != 0)
		return rc;
	txq = rte_zmalloc("net_moat", sizeof(*txq), RTE_CACHE_LINE_SIZE); /* as in net_rx.c */
	if (txq == NULL)
		return moat_error(-ENOMEM, "%s: tx queue %u: out of memory", dev->data->name,
			queue);
	txq->queue = queue;
	txq->port_id = dev->data->port_id;
	txq->lcore = LCORE_ID_ANY;
	txq->dev = &port->device;
	txq->hw = &port->device.tx[queue];
	txq->mask = nb_desc - 1;
	txq->size = nb_desc;
	txq->free_thresh = thresh;
	txq->fast_free = offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	txq->conf = *conf;
	txq->conf.offloads = offloads;
	txq->conf.tx_free_thresh = thresh;
	txq->mbufs = rte_zmalloc("net_moat", nb_desc * sizeof(txq->mbufs[0]), RTE_CACHE_LINE_SIZE);
	txq->zone = net_ring_reserve(dev, ring, queue, nb_desc, socket);
	if (txq->mbufs == NULL || txq->zone == NULL) {
		rc = txq->mbufs == NULL ? moat_error(-ENOMEM, "%s: tx queue %u: out of memory",
						  dev->data->name, queue)
					: -ENOMEM;
		txq_free(dev, txq);
		return rc;
	}
	txq->ring = txq->zone->addr;
	*out = txq;
	return 0;
}

static int setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc, unsigned int socket,
	const struct rte_eth_txconf *conf)
{
	struct net_txq *txq = NULL;
	int rc = make(dev, queue, nb_desc, socket, conf, "tx", &txq);

	if (txq == NULL)
		return rc;
	net_engine_set(net_port(dev), &txq->hw->engine, queue, NET_TX);
	dev->data->tx_queues[queue] = txq;
	return 0;
}

int net_tx_queue_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc,
	unsigned int socket, const struct rte_eth_txconf *conf)
{
	return net_say(setup(dev, queue, nb_desc, socket, conf));
}

int net_tx_queue_start(struct rte_eth_dev *dev, uint16_t queue)
{
	struct net_txq *txq = dev->data->tx_queues[queue];
	int rc = moat_device_check(dev->data->port_id, queue);

	if (rc != 0)
		return net_say(rc);
	memset(txq->ring, 0, txq->size * sizeof(txq->ring[0]));
	txq->next = 0;
	txq->tail = 0;
	net_device_ring_set(&txq->hw->ring, txq->zone->iova, txq->size);
	txq->hw->ring.on = true;
	dev->data->tx_queue_state[queue] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

int net_tx_queue_stop(struct rte_eth_dev *dev, uint16_t queue)
{
	struct net_txq *txq = dev->data->tx_queues[queue];

	net_device_tx_run(txq->dev, txq->hw); /* try once more to send what is posted */
	txq->hw->ring.on = false;
	net_device_tx_flush(txq->dev, queue);
	free_done(txq, count_done(txq));
	/* The rest is not sent: the device no longer reads the ring. */
	moat_counter_add(&txq->errors, free_done(txq, txq->tail - txq->next));
	net_device_ring_set(&txq->hw->ring, txq->zone->iova, txq->size);
	dev->data->tx_queue_state[queue] = RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}

/* --------------------------------------------------------------------------- for net_move.c */

int net_txq_spare(struct rte_eth_dev *dev, uint16_t queue, unsigned int socket,
	struct net_txq **spare)
{
	const struct net_txq *txq = dev->data->tx_queues[queue];
	int rc = make(dev, queue, txq->size, socket, &txq->conf,
		net_ring_other(txq->zone, "tx", "tx_moved"), spare);

	if (rc == 0)
		memset((*spare)->ring, 0, txq->size * sizeof(txq->ring[0]));
	return rc;
}

void net_txq_spare_free(struct rte_eth_dev *dev, struct net_txq *spare)
{
	txq_free(dev, spare);
}

bool net_txq_drain(struct net_txq *txq)
{
	if (txq->next != txq->tail)
		net_device_tx_run(txq->dev, txq->hw);
	free_done(txq, count_done(txq));
	return txq->next == txq->tail;
}

void net_txq_exchange(struct net_txq *txq, struct net_txq *spare)
{
	RTE_SWAP(txq->ring, spare->ring);
	RTE_SWAP(txq->mbufs, spare->mbufs);
	RTE_SWAP(txq->zone, spare->zone);
	txq->next = 0;
	txq->tail = 0;
	net_device_ring_set(&txq->hw->ring, txq->zone->iova, txq->size);
}

void net_txq_info(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_txq_info *info)
{
	struct net_txq *txq = dev->data->tx_queues[queue];

	info->conf = txq->conf;
	info->nb_desc = txq->size;
}

int net_tx_descriptor_status(void *queue, uint16_t offset)
{
	const struct net_txq *txq = queue;
	uint32_t i = txq->tail + offset; /* `offset` counts from the next descriptor to post */

	if (offset > txq->mask)
		return -EINVAL;
	if (i - txq->next > txq->mask)
		i -= txq->mask + 1; /* past the free descriptors the oldest posted ones follow */
	if (i - txq->next >= txq->tail - txq->next)
		return RTE_ETH_TX_DESC_DONE;
	return txq->ring[i & txq->mask].flags & MOAT_NET_DESC_DD ? RTE_ETH_TX_DESC_DONE
								 : RTE_ETH_TX_DESC_FULL;
}
