/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>

#include "net_device.h"

void net_device_ring_set(struct net_ring *ring, uint64_t iova, uint32_t size)
{
	ring->iova = iova;
	ring->mask = size - 1;
	ring->head = 0;
	ring->tail = 0;
	/* Relaxed: lcores of other queues only sort frames by it, and while a queue moves, its
	 * frames are kept for it, whether its ring is on or off. */
	__atomic_store_n(&ring->on, false, __ATOMIC_RELAXED);
}

void net_device_filter_lock(struct net_device *dev)
{
	for (uint16_t i = 0; i < MOAT_NET_QUEUES_MAX; i++)
		rte_spinlock_lock(&dev->wire[i].rx_lock);
}

void net_device_filter_unlock(struct net_device *dev)
{
	for (uint16_t i = 0; i < MOAT_NET_QUEUES_MAX; i++)
		rte_spinlock_unlock(&dev->wire[i].rx_lock);
}

void net_device_rx_hold(struct net_device *dev, uint16_t queue)
{
	struct net_device_rx *rx = &dev->rx[queue];

	net_device_filter_lock(dev);
	rx->line = rx->fifo != NULL ? rte_ring_count(rx->fifo) : 0;
	rx->hold = true;
	dev->holds++;
	net_device_filter_unlock(dev);
}

void net_device_rx_unhold(struct net_device *dev, uint16_t queue)
{
	net_device_filter_lock(dev);
	dev->rx[queue].hold = false;
	dev->holds--;
	net_device_filter_unlock(dev);
}

static int fifo_create(struct net_device *dev, const char *name, uint16_t queue)
{
	char fifo[RTE_RING_NAMESIZE];
	unsigned int flags = RING_F_SC_DEQ;

	/* With one wire its lock makes a single producer; with more, several lcores enqueue. */
	if (dev->nr_wires_rx == 1)
		flags |= RING_F_SP_ENQ;
	if (snprintf(fifo, sizeof(fifo), "%.20s_q%u", name, queue) >= (int)sizeof(fifo))
		return moat_error(-ENAMETOOLONG, "the port name '%s' is too long", name);
	dev->rx[queue].fifo = rte_ring_create(fifo, NET_FIFO_SIZE, SOCKET_ID_ANY, flags);
	if (dev->rx[queue].fifo == NULL)
		return moat_error(-ENOMEM, "%s: no memory for the receive FIFO of queue %u (%s)",
			name, queue, rte_strerror(rte_errno));
	return 0;
}

int net_device_up(struct net_device *dev, const char *name, uint16_t nr_rx, uint16_t nr_tx)
{
	dev->nr_rx = nr_rx;
	dev->nr_tx = nr_tx;
	for (uint16_t q = 0; q < nr_rx; q++) {
		dev->rx[q].queue = q;
		dev->rx[q].wire = q % dev->nr_wires_rx;
		if (nr_rx > 1) {
			int rc = fifo_create(dev, name, q);

			if (rc != 0) {
				net_device_down(dev);
				return rc;
			}
		}
	}
	for (uint16_t q = 0; q < nr_tx; q++)
		dev->tx[q].wire = q % dev->nr_wires_tx;
	return 0;
}

void net_device_down(struct net_device *dev)
{
	for (uint16_t q = 0; q < dev->nr_rx; q++) {
		net_device_rx_flush(dev, q);
		rte_ring_free(dev->rx[q].fifo);
		dev->rx[q].fifo = NULL;
	}
	for (uint16_t q = 0; q < dev->nr_tx; q++) {
		net_device_tx_flush(dev, q);
		rte_pktmbuf_free_bulk(dev->tx[q].spare, dev->tx[q].nr_spare);
		dev->tx[q].nr_spare = 0;
	}
	dev->nr_rx = 0;
	dev->nr_tx = 0;
}

void net_device_rx_flush(struct net_device *dev, uint16_t queue)
{
	struct net_device_rx *rx = &dev->rx[queue];
	struct rte_mbuf *frames[NET_BURST];
	unsigned int n = rx->nr_held;

	rte_pktmbuf_free_bulk(rx->held, n);
	__atomic_fetch_add(&rx->count.missed, n, __ATOMIC_RELAXED);
	rx->nr_held = 0;
	while (rx->fifo != NULL &&
		(n = rte_ring_dequeue_burst(rx->fifo, (void **)frames, NET_BURST, NULL)) != 0) {
		rte_pktmbuf_free_bulk(frames, n);
		__atomic_fetch_add(&rx->count.missed, n, __ATOMIC_RELAXED);
	}
}

void net_device_tx_flush(struct net_device *dev, uint16_t queue)
{
	struct net_device_tx *tx = &dev->tx[queue];
	struct net_wire *wire = &dev->wire[tx->wire];

	rte_spinlock_lock(&wire->tx_lock);
	if (tx->nr_ready != 0) {
		rte_pktmbuf_free_bulk(tx->ready, tx->nr_ready);
		tx->nr_ready = 0;
		__atomic_fetch_sub(&dev->tx_waiting, 1, __ATOMIC_RELAXED);
	}
	rte_spinlock_unlock(&wire->tx_lock);
}
