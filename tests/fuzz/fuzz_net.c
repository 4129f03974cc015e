/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Both halves of net_moat, with anything in the descriptor rings at any time: for the device half
 * what a compromised driver posts, and for the driver half what a lying device completes.
 *
 * Addresses are those of posted buffers, of the rings, or outside of the tenant's memory. In every
 * case received packets are well formed, and every buffer comes back.
 *
 * The input is a series of operations: a byte that selects one, and its operands.
 */

#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "fuzz_input.h"
#include "moat_soft_unit.h"
#include "moat_tenant.h"
#include "net_port.h"

#define SIZE    64 /* descriptors */
#define BUFFERS 512
#define BASE    UINT64_C(0x10000000)
#define MOST    16 /* packets in a burst */

static struct moat_unit *unit;
static struct moat_tenant *tenant;
static struct rte_mempool *pool, *frames;
static struct rte_ring *in_wire, *out_wire;
static uint16_t port;

/* --------------------------------------------------------------------------------------- set up */

static void make_port(void)
{
	static const struct rte_eth_conf conf = {
		.rxmode = { .mtu = 9000, .offloads = RTE_ETH_RX_OFFLOAD_SCATTER },
		.txmode = { .offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS },
	};
	int socket = moat_tenant_socket(tenant);
	moat_sid_t sid;

	in_wire = rte_ring_create("in", 256, SOCKET_ID_ANY, 0);
	out_wire = rte_ring_create("out", 256, SOCKET_ID_ANY, 0);
	fuzz_check(rte_eth_from_rings("w", &in_wire, 1, &out_wire, 1, 0) >= 0);
	fuzz_check(rte_vdev_init("net_moat0", "port=net_ring_w,unit=soft0") == 0);
	fuzz_check(rte_eth_dev_get_port_by_name("net_moat0", &port) == 0);
	fuzz_check(moat_net_queue_sid(port, 0, &sid) == 0 && moat_tenant_attach(tenant, sid) == 0);
	fuzz_check(rte_eth_dev_configure(port, 1, 1, &conf) == 0);
	fuzz_check(rte_eth_rx_queue_setup(port, 0, SIZE, socket, NULL, pool) == 0);
	fuzz_check(rte_eth_tx_queue_setup(port, 0, SIZE, socket, NULL) == 0);
	fuzz_check(rte_eth_dev_start(port) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char *args[] = { (char *)"fuzz", (char *)"--no-huge", (char *)"--no-shconf",
		(char *)"--no-pci", (char *)"-m", (char *)"128", (char *)"--no-telemetry",
		(char *)"--log-level=5" };
	struct moat_tenant_conf conf = {
		.name = "red",
		.mode = MOAT_STATIC,
		.memory = 8 << 20,
		.iova_base = BASE,
		.numa = SOCKET_ID_ANY,
	};

	fuzz_check(rte_eal_init(RTE_DIM(args), args) >= 0);
	fuzz_check(moat_soft_unit_create("soft0", "shards=1,iotlb=64,oracle=0,adversary=0",
			   &unit) == 0);
	conf.unit = unit;
	fuzz_check(moat_tenant_create(&conf, &tenant) == 0);
	fuzz_check(moat_tenant_pool(tenant, "red", BUFFERS, RTE_MBUF_DEFAULT_BUF_SIZE, &pool) == 0);
	frames = rte_pktmbuf_pool_create("frames", 255, 0, 0, 10240, SOCKET_ID_ANY);
	fuzz_check(frames != NULL);
	make_port();
	return 0;
}

static struct net_rxq *rx_queue(void)
{
	return rte_eth_devices[port].data->rx_queues[0];
}

static struct net_txq *tx_queue(void)
{
	return rte_eth_devices[port].data->tx_queues[0];
}

/* --------------------------------------------------------------------------------- descriptors */

static uint64_t take_address(struct fuzz_input *in)
{
	uint8_t where = fuzz_take8(in);
	uint16_t offset = fuzz_take16(in);

	switch (where & 3) {
	case 0: /* a posted buffer */
		return rx_queue()->mbufs[where >> 2]->buf_iova + offset % RTE_MBUF_DEFAULT_BUF_SIZE;
	case 1:
		return rx_queue()->zone->iova + offset % (SIZE * sizeof(struct moat_net_desc));
	case 2:
		return tx_queue()->zone->iova + offset % (SIZE * sizeof(struct moat_net_desc));
	default: /* beyond the tenant's memory */
		return UINT64_C(1) << (33 + where / 16) | offset;
	}
}

static void put_descriptor(struct fuzz_input *in, struct moat_net_desc *ring)
{
	struct moat_net_desc *desc = &ring[fuzz_take8(in) % SIZE];
	uint8_t what = fuzz_take8(in);

	if (what & 1)
		desc->addr = take_address(in);
	if (what & 2)
		desc->len = fuzz_take16(in);
	if (what & 4)
		desc->flags = fuzz_take8(in) & 7;
	if (what & 8)
		desc->flags = fuzz_take16(in);
	if (what & 0x10)
		desc->reserved = fuzz_take32(in);
}

/* -------------------------------------------------------------------------------------- packets */

static void put_frame(struct fuzz_input *in)
{
	uint16_t len = fuzz_take16(in) % 10000;
	struct rte_mbuf *frame = rte_pktmbuf_alloc(frames);

	if (frame == NULL)
		return;
	memset(rte_pktmbuf_append(frame, len), len, len);
	if (rte_ring_enqueue(in_wire, frame) != 0)
		rte_pktmbuf_free(frame);
}

static void receive(uint16_t most)
{
	struct rte_mbuf *packets[MOST];
	uint16_t n = rte_eth_rx_burst(port, 0, packets, RTE_MIN(most, MOST));
	const char *why;

	for (uint16_t i = 0; i < n; i++) {
		fuzz_check(rte_mbuf_check(packets[i], 1, &why) == 0);
		fuzz_check(packets[i]->nb_segs <= MOAT_NET_SEGS_MAX && packets[i]->pool == pool);
		for (const struct rte_mbuf *seg = packets[i]; seg != NULL; seg = seg->next)
			fuzz_check(seg->data_len <= seg->buf_len - seg->data_off);
	}
	rte_pktmbuf_free_bulk(packets, n);
}

static struct rte_mbuf *take_packet(struct fuzz_input *in)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(pool), *more;

	if (packet == NULL)
		return NULL;
	rte_pktmbuf_append(packet, 1 + fuzz_take16(in) % 2000);
	for (unsigned int n = fuzz_take8(in) % 4; n > 0; n--) {
		more = rte_pktmbuf_alloc(pool);
		if (more == NULL)
			break;
		rte_pktmbuf_append(more, fuzz_take8(in));
		if (rte_pktmbuf_chain(packet, more) != 0)
			rte_pktmbuf_free(more);
	}
	return packet;
}

static void transmit(struct fuzz_input *in)
{
	struct rte_mbuf *packets[MOST];
	uint16_t n = 0, sent;

	for (uint16_t want = fuzz_take8(in) % MOST; n < want; n++) {
		packets[n] = take_packet(in);
		if (packets[n] == NULL)
			break;
	}
	sent = rte_eth_tx_burst(port, 0, packets, n);
	fuzz_check(sent <= n);
	rte_pktmbuf_free_bulk(packets + sent, n - sent);
}

/* Check and free what the device has sent. */
static void drain(void)
{
	struct rte_mbuf *frame;

	while (rte_ring_dequeue(out_wire, (void **)&frame) == 0) {
		fuzz_check(frame->nb_segs == 1 && frame->pkt_len == frame->data_len);
		fuzz_check(frame->pkt_len <= MOAT_NET_FRAME_MAX && frame->pkt_len != 0);
		rte_pktmbuf_free(frame);
	}
}

/* --------------------------------------------------------------------------------------- orders */

static void order(struct fuzz_input *in)
{
	struct net_rxq *rxq = rx_queue();
	struct net_txq *txq = tx_queue();
	uint16_t offset;

	switch (fuzz_take8(in) % 10) {
	case 0:
	case 1:
		put_descriptor(in, rxq->ring);
		break;
	case 2:
	case 3:
		put_descriptor(in, txq->ring);
		break;
	case 4:
		put_frame(in);
		break;
	case 5:
		receive(fuzz_take8(in));
		break;
	case 6:
		transmit(in);
		break;
	case 7: /* the device sees a doorbell for descriptors that the driver did not post */
		net_device_doorbell(&txq->hw->ring,
			txq->hw->ring.head + fuzz_take8(in) % (SIZE + 1));
		net_device_tx_run(txq->dev, txq->hw);
		txq->hw->ring.head = txq->tail;
		net_device_doorbell(&txq->hw->ring, txq->tail);
		break;
	case 8:
		drain();
		net_device_rx_run(rxq->dev, rxq->hw, 1 + fuzz_take8(in) % NET_BURST);
		break;
	default:
		offset = fuzz_take16(in) % (SIZE + 2);
		rte_eth_rx_queue_count(port, 0);
		rte_eth_rx_descriptor_status(port, 0, offset);
		rte_eth_tx_descriptor_status(port, 0, offset);
		rte_eth_tx_done_cleanup(port, 0, offset & 7);
		break;
	}
}

/* Stop the queues, which frees the posted buffers: every buffer must then be back in its pool. */
static void settle(void)
{
	struct rte_mbuf *frame;

	fuzz_check(
		rte_eth_dev_rx_queue_stop(port, 0) == 0 && rte_eth_dev_tx_queue_stop(port, 0) == 0);
	drain();
	while (rte_ring_dequeue(in_wire, (void **)&frame) == 0)
		rte_pktmbuf_free(frame);
	fuzz_check(rte_mempool_full(pool));
	fuzz_check(rte_mempool_full(frames));
	fuzz_check(rte_eth_dev_rx_queue_start(port, 0) == 0 &&
		rte_eth_dev_tx_queue_start(port, 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };

	while (in.left != 0)
		order(&in);
	settle();
	return 0;
}
