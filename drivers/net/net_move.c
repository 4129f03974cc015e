/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Give a queue of a running port other memory: net_moat's part of moat_tenant_queue_move(), see
 * moat_device.h. The queue's numbers, thresholds and counters stay in place, so that other threads
 * may read them meanwhile; its rings, their buffers and its pool are exchanged.
 */

#include <rte_malloc.h>

#include "moat_device.h"
#include "net_port.h"
#include "net_queue.h"

/* The memory that a moving queue does not use: before the exchange the new, then the old. */
struct spare {
	struct net_rxq *rx;
	struct net_txq *tx;
};

static struct rte_eth_dev *dev_of(uint16_t port)
{
	return &rte_eth_devices[port];
}

static struct net_rxq *rxq_of(uint16_t port, uint16_t queue)
{
	return dev_of(port)->data->rx_queues[queue];
}

static struct net_txq *txq_of(uint16_t port, uint16_t queue)
{
	return dev_of(port)->data->tx_queues[queue];
}

static int requester(uint16_t id, uint16_t queue, moat_sid_t *sid, uint32_t *pasid)
{
	const struct net_port *port = net_port(dev_of(id));

	if (port->args.queues > 1 && !port->args.requester_per_queue && !port->args.pasid_per_queue)
		return moat_error(-ENOTSUP,
			"port %u (%s): its queues are one requester, so they can only belong to one tenant; "
			"give the port requesters=pasid or requesters=queue",
			id, port->data->name);
	*sid = port->device.rx[queue].engine.sid;
	*pasid = port->device.rx[queue].engine.pasid;
	return 0;
}

static bool is_started(const struct rte_eth_dev_data *data, uint16_t queue)
{
	return data->dev_started && data->rx_queue_state[queue] == RTE_ETH_QUEUE_STATE_STARTED &&
		data->tx_queue_state[queue] == RTE_ETH_QUEUE_STATE_STARTED;
}

static int prepare(uint16_t id, uint16_t queue, int socket, struct rte_mempool *pool, void **memory)
{
	struct rte_eth_dev *dev = dev_of(id);
	struct spare *spare;
	int rc;

	if (!is_started(dev->data, queue))
		return moat_error(-EINVAL,
			"%s: queue %u is not started; to move a stopped queue, call "
			"moat_tenant_queue_remove(), set it up again and call moat_tenant_queue_add()",
			dev->data->name, queue);
	spare = rte_zmalloc("net_moat", sizeof(*spare), 0);
	if (spare == NULL)
		return moat_error(-ENOMEM, "%s: queue %u: out of memory", dev->data->name, queue);
	rc = net_rxq_spare(dev, queue, (unsigned int)socket, pool, &spare->rx);
	if (rc == 0) {
		rc = net_txq_spare(dev, queue, (unsigned int)socket, &spare->tx);
		if (rc == 0) {
			*memory = spare;
			return 0;
		}
		net_rxq_spare_free(dev, spare->rx);
	}
	rte_free(spare);
	return rc;
}

static int check_lcore(const struct net_port *port, uint16_t queue, const char *polls,
	const unsigned int *polled_by)
{
	/* Relaxed: the lcore that polls the queue reads its own store; any other gets the error. */
	unsigned int lcore = __atomic_load_n(polled_by, __ATOMIC_RELAXED);

	if (lcore == LCORE_ID_ANY || lcore == rte_lcore_id())
		return 0;
	return moat_error(-EPERM,
		"%s: lcore %u %s queue %u; the lcore that moves a queue must be the one that polls its "
		"receive and its transmit side",
		port->data->name, lcore, polls, queue);
}

static int hold(uint16_t id, uint16_t queue)
{
	struct net_port *port = net_port(dev_of(id));
	int rc = check_lcore(port, queue, "receives from", &rxq_of(id, queue)->lcore);

	if (rc == 0)
		rc = check_lcore(port, queue, "sends on", &txq_of(id, queue)->lcore);
	if (rc != 0)
		return rc;
	/* Relaxed: the program orders its calls of moat_net_msi() and this one. */
	if (__atomic_load_n(&port->device.rx[queue].msi_address, __ATOMIC_RELAXED) != 0)
		return moat_error(-EBUSY,
			"%s: queue %u has an interrupt, which would go on to its old tenant; take it back "
			"first: moat_net_msi() with address 0, then moat_tenant_interrupt_end()",
			port->data->name, queue);
	net_device_rx_hold(&port->device, queue);
	return 0;
}

static uint32_t left(uint16_t id, uint16_t queue)
{
	const struct net_rxq *rxq = rxq_of(id, queue);

	return rxq->hw->line + rxq->hw->nr_held +
		(uint32_t)net_rx_queue_count((void *)(uintptr_t)rxq);
}

static int stop(uint16_t id, uint16_t queue)
{
	struct net_txq *txq = txq_of(id, queue);

	if (!net_txq_drain(txq))
		return -EAGAIN;
	txq->hw->ring.on = false;
	/* Relaxed: hand_over() ignores it while `hold` is set. */
	__atomic_store_n(&rxq_of(id, queue)->hw->ring.on, false, __ATOMIC_RELAXED);
	return 0;
}

static void exchange(uint16_t id, uint16_t queue, void *memory)
{
	struct spare *spare = memory;

	net_rxq_exchange(rxq_of(id, queue), spare->rx);
	net_txq_exchange(txq_of(id, queue), spare->tx);
}

static void resume(uint16_t id, uint16_t queue)
{
	struct net_rxq *rxq = rxq_of(id, queue);

	txq_of(id, queue)->hw->ring.on = true;
	/* Relaxed: net_device_rx_unhold() takes the locks of all wires after it. */
	__atomic_store_n(&rxq->hw->ring.on, true, __ATOMIC_RELAXED);
	net_device_rx_unhold(rxq->dev, queue);
}

static void discard(uint16_t id, uint16_t queue, void *memory)
{
	struct spare *spare = memory;

	net_rxq_spare_free(dev_of(id), spare->rx);
	net_txq_spare_free(dev_of(id), spare->tx);
	rte_free(spare);
}

static const struct moat_move_ops ops = {
	.requester = requester,
	.prepare = prepare,
	.hold = hold,
	.left = left,
	.stop = stop,
	.exchange = exchange,
	.resume = resume,
	.discard = discard,
};

void net_move_offer(uint16_t port, bool offer)
{
	moat_device_moves(port, offer ? &ops : NULL);
}
