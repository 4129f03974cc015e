/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdio.h>

#include "net_port.h"

/* Counters are written by running lcores: relaxed loads only forbid tearing. */
static inline uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* -------------------------------------------------------------------------- basic statistics */

static void add_rx(const struct net_port *port, uint16_t q, struct rte_eth_stats *stats,
	struct eth_queue_stats *queues)
{
	const struct net_rxq *rxq = port->data->rx_queues[q];
	const struct net_device_rx *hw = &port->device.rx[q];
	uint64_t packets, bytes;

	if (rxq == NULL)
		return;
	packets = get(&rxq->packets);
	bytes = get(&rxq->bytes);
	stats->ipackets += packets;
	stats->ibytes += bytes;
	stats->ierrors += get(&rxq->errors) + get(&hw->count.bad_length);
	stats->imissed += get(&hw->count.missed);
	stats->rx_nombuf += get(&rxq->no_mbuf);
	if (queues != NULL && q < RTE_ETHDEV_QUEUE_STAT_CNTRS) {
		queues->q_ipackets[q] = packets;
		queues->q_ibytes[q] = bytes;
		queues->q_errors[q] = get(&rxq->errors) + get(&hw->count.bad_length);
	}
}

static void add_tx(const struct net_port *port, uint16_t q, struct rte_eth_stats *stats,
	struct eth_queue_stats *queues)
{
	const struct net_txq *txq = port->data->tx_queues[q];
	uint64_t packets, bytes, errors;

	if (txq == NULL)
		return;
	errors = get(&txq->errors);
	packets = get(&txq->packets) - errors;
	bytes = get(&txq->bytes);
	stats->opackets += packets;
	stats->obytes += bytes;
	stats->oerrors += errors;
	if (queues != NULL && q < RTE_ETHDEV_QUEUE_STAT_CNTRS) {
		queues->q_opackets[q] = packets;
		queues->q_obytes[q] = bytes;
	}
}

static int sum_queues(struct rte_eth_dev *dev, struct rte_eth_stats *stats,
	struct eth_queue_stats *queues)
{
	const struct net_port *port = net_port(dev);

	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++)
		add_rx(port, q, stats, queues);
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++)
		add_tx(port, q, stats, queues);
	return 0;
}

#ifdef NET_QUEUES_APART
int net_stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats,
	struct eth_queue_stats *queues)
{
	return sum_queues(dev, stats, queues);
}
#else
int net_stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
	return sum_queues(dev, stats, stats);
}
#endif

int net_stats_reset(struct rte_eth_dev *dev)
{
	struct net_port *port = net_port(dev);

	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++) {
		struct net_rxq *rxq = dev->data->rx_queues[q];

		memset(&port->device.rx[q].count, 0, sizeof(port->device.rx[q].count));
		if (rxq != NULL)
			rxq->packets = rxq->bytes = rxq->errors = rxq->no_mbuf = 0;
	}
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++) {
		struct net_txq *txq = dev->data->tx_queues[q];

		memset(&port->device.tx[q].count, 0, sizeof(port->device.tx[q].count));
		if (txq != NULL)
			txq->packets = txq->bytes = txq->errors = txq->refused = 0;
	}
	for (uint16_t w = 0; w < MOAT_NET_QUEUES_MAX; w++)
		port->device.wire[w].filtered = 0;
	return 0;
}

/* ------------------------------------------------------------------------ extended statistics */

/* Counters of each queue, and of all queues together. The device or the driver half keeps them. */
static const struct {
	const char *name;
	enum { RX_DEVICE, TX_DEVICE, TX_DRIVER } by;
	size_t offset; /* in struct net_rx_counters, net_tx_counters or net_txq, by `by` */
} counters[] = {
	{ "rx_dma_faults", RX_DEVICE, offsetof(struct net_rx_counters, dma_faults) },
	{ "rx_ring_faults", RX_DEVICE, offsetof(struct net_rx_counters, ring_faults) },
	{ "rx_bad_length", RX_DEVICE, offsetof(struct net_rx_counters, bad_length) },
	{ "rx_bad_descriptors", RX_DEVICE, offsetof(struct net_rx_counters, bad_desc) },
	{ "rx_missed_frames", RX_DEVICE, offsetof(struct net_rx_counters, missed) },
	{ "tx_dma_faults", TX_DEVICE, offsetof(struct net_tx_counters, dma_faults) },
	{ "tx_ring_faults", TX_DEVICE, offsetof(struct net_tx_counters, ring_faults) },
	{ "tx_bad_descriptors", TX_DEVICE, offsetof(struct net_tx_counters, bad_desc) },
	{ "tx_no_memory", TX_DEVICE, offsetof(struct net_tx_counters, no_memory) },
	{ "tx_wire_busy", TX_DEVICE, offsetof(struct net_tx_counters, busy) },
	{ "tx_ring_full", TX_DRIVER, offsetof(struct net_txq, refused) },
};

static uint16_t queues(const struct rte_eth_dev *dev, unsigned int c)
{
	return counters[c].by != RX_DEVICE ? dev->data->nb_tx_queues : dev->data->nb_rx_queues;
}

static uint64_t of_queue(const struct net_port *port, unsigned int c, uint16_t q)
{
	const void *block = counters[c].by == RX_DEVICE ? (const void *)&port->device.rx[q].count
		: counters[c].by == TX_DEVICE           ? (const void *)&port->device.tx[q].count
							: port->data->tx_queues[q];

	return block != NULL ? get(RTE_PTR_ADD(block, counters[c].offset)) : 0;
}

static unsigned int count_xstats(const struct rte_eth_dev *dev)
{
	unsigned int n = 1 + RTE_DIM(counters);

	for (unsigned int c = 0; c < RTE_DIM(counters); c++)
		n += queues(dev, c);
	return n;
}

/* Names and values have one order: filtered, the sums, then each counter queue by queue. */
int net_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n)
{
	unsigned int want = count_xstats(dev), i = 0;

	if (names == NULL || n < want)
		return want;
	snprintf(names[i++].name, RTE_ETH_XSTATS_NAME_SIZE, "rx_filtered_frames");
	for (unsigned int c = 0; c < RTE_DIM(counters); c++)
		snprintf(names[i++].name, RTE_ETH_XSTATS_NAME_SIZE, "%s", counters[c].name);
	for (unsigned int c = 0; c < RTE_DIM(counters); c++)
		for (uint16_t q = 0; q < queues(dev, c); q++)
			snprintf(names[i++].name, RTE_ETH_XSTATS_NAME_SIZE, "%.2s_q%u_%s",
				counters[c].name, q, counters[c].name + 3);
	return want;
}

int net_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n)
{
	const struct net_port *port = net_port(dev);
	unsigned int want = count_xstats(dev), i = 1 + RTE_DIM(counters);

	if (xstats == NULL || n < want)
		return want;
	xstats[0].value = 0;
	for (uint16_t w = 0; w < MOAT_NET_QUEUES_MAX; w++)
		xstats[0].value += get(&port->device.wire[w].filtered);
	for (unsigned int c = 0; c < RTE_DIM(counters); c++) {
		uint64_t sum = 0;

		for (uint16_t q = 0; q < queues(dev, c); q++) {
			xstats[i].value = of_queue(port, c, q);
			sum += xstats[i++].value;
		}
		xstats[1 + c].value = sum;
	}
	for (i = 0; i < want; i++)
		xstats[i].id = i;
	return want;
}
