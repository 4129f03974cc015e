/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Two tenants on one port, with a queue each, and each queue a requester of its own. What happens
 * if one of them writes addresses into its descriptors that are not its own?
 */

#include <inttypes.h>
#include <stdlib.h>

#include <rte_malloc.h>
#include <urcu-qsbr.h>

#include "harness.h"
#include "moat_soft_unit.h"
#include "moat_tenant.h"
#include "net_device_impl.h"
#include "net_port.h"

#define RED_BASE  UINT64_C(0x10000000)
#define BLUE_BASE UINT64_C(0x50000000)
#define MEMORY    (16 * UINT64_C(1048576))
#define READ_ONLY UINT64_C(0x80000000)
#define UNMAPPED  UINT64_C(0x90000000)

enum { RED, BLUE };

struct fixture {
	struct moat_unit *unit;
	struct moat_softvtd *sv;
	struct moat_tenant *tenant[2];
	struct rte_mempool *pool[2];
	struct moat_lane *lane; /* of red */
	uint8_t *read_only;     /* a page of red's, mapped for reading only */
	struct wire wire;
	uint16_t port;
};

static void make_tenant(struct fixture *f, int who, const char *name, uint64_t base)
{
	struct moat_tenant_conf conf = {
		.name = name,
		.unit = f->unit,
		.mode = MOAT_STATIC,
		.memory = MEMORY,
		.iova_base = base,
		.numa = SOCKET_ID_ANY,
	};

	if (moat_tenant_create(&conf, &f->tenant[who]) != 0 ||
		moat_tenant_pool(f->tenant[who], name, 1024, RTE_MBUF_DEFAULT_BUF_SIZE,
			&f->pool[who]) != 0)
		fail_msg("%s", moat_error_text());
}

static void map_read_only(struct fixture *f)
{
	f->read_only = aligned_alloc(MOAT_PAGE_SIZE, MOAT_PAGE_SIZE);
	memset(f->read_only, 0x55, MOAT_PAGE_SIZE);
	f->lane = moat_lane_open(moat_tenant_domain(f->tenant[RED]));
	assert_non_null(f->lane);
	assert_int_equal(moat_lane_map(f->lane, READ_ONLY, (uintptr_t)f->read_only, f->read_only,
				 MOAT_PAGE_SIZE, MOAT_R),
		0);
}

static void set_up_queues(struct fixture *f, const struct rte_eth_conf *conf, uint16_t descs)
{
	assert_int_equal(rte_eth_dev_configure(f->port, 2, 2, conf), 0);
	for (uint16_t q = 0; q < 2; q++) {
		int socket = moat_tenant_socket(f->tenant[q]);

		assert_int_equal(
			rte_eth_rx_queue_setup(f->port, q, descs, socket, NULL, f->pool[q]), 0);
		assert_int_equal(rte_eth_tx_queue_setup(f->port, q, descs, socket, NULL), 0);
	}
}

static void start_port(struct fixture *f)
{
	struct rte_eth_conf conf = { 0 };

	set_up_queues(f, &conf, 64);
	for (uint16_t q = 0; q < 2; q++)
		assert_int_equal(moat_tenant_queue_add(f->tenant[q], f->port, q), 0);
	assert_int_equal(rte_eth_dev_start(f->port), 0);
}

static void attach(struct fixture *f)
{
	for (uint16_t q = 0; q < 2; q++) {
		moat_sid_t sid;

		assert_int_equal(moat_net_queue_sid(f->port, q, &sid), 0);
		assert_int_equal(sid, MOAT_SID(3, 0, 6 + q));
		assert_int_equal(moat_tenant_attach(f->tenant[q], sid), 0);
	}
}

static int make(void **state, bool attached)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (moat_soft_unit_create("soft0", "oracle=1,prefetch=30,linger=1,reorder=1", &f->unit) !=
		0)
		fail_msg("%s", moat_error_text());
	f->sv = moat_soft_unit_find("soft0");
	make_tenant(f, RED, "red", RED_BASE);
	make_tenant(f, BLUE, "blue", BLUE_BASE);
	map_read_only(f);
	wire_create(&f->wire, "w", 1, 1024);
	f->port = nic_create("net_moat0",
		"port=net_ring_w,queues=2,requesters=queue,unit=soft0,"
		"sid=03:00.6,steer=" MAC_A "/0,steer=" MAC_B "/1");
	if (attached)
		attach(f);
	start_port(f);
	*state = f;
	return 0;
}

static int set_up(void **state)
{
	return make(state, true);
}

static int set_up_unattached(void **state)
{
	return make(state, false);
}

static void detach(struct fixture *f)
{
	for (uint16_t q = 0; q < 2; q++)
		moat_tenant_detach(f->tenant[q], MOAT_SID(3, 0, 6 + q));
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct moat_softvtd_stats stats;

	wire_drain(&f->wire);
	assert_int_equal(rte_eth_dev_stop(f->port), 0);
	for (uint16_t q = 0; q < 2; q++)
		assert_int_equal(moat_tenant_queue_remove(f->tenant[q], f->port, q), 0);
	assert_pool_full(f->pool[RED]);
	assert_pool_full(f->pool[BLUE]);
	nic_destroy("net_moat0");
	wire_destroy(&f->wire);
	moat_softvtd_stats(f->sv, &stats);
	assert_int_equal(stats.stale_dma, 0);
	detach(f);
	assert_int_equal(moat_lane_unmap(f->lane, READ_ONLY, MOAT_PAGE_SIZE), 0);
	assert_int_equal(moat_lane_close(f->lane), 0);
	for (int who = RED; who <= BLUE; who++)
		if (moat_tenant_destroy(f->tenant[who]) != 0)
			fail_msg("%s", moat_error_text());
	f->unit->ops->destroy(f->unit);
	free(f->read_only);
	free(f);
	return 0;
}

/* ------------------------------------------------------------------------------------- helpers */

static void put(struct fixture *f, int who, uint32_t n)
{
	uint8_t frame[100];

	wire_put(&f->wire, 0, frame,
		frame_make(frame, who == RED ? MAC_A : MAC_B, -1, sizeof(frame), n));
}

static unsigned int take(struct fixture *f, int who, uint32_t first)
{
	struct rte_mbuf *packets[BURST];
	unsigned int got = rte_eth_rx_burst(f->port, who, packets, BURST);

	for (unsigned int i = 0; i < got; i++)
		assert_true(packet_is(packets[i], -1, 100, first + i));
	rte_pktmbuf_free_bulk(packets, got);
	return got;
}

static void transmit(struct fixture *f, int who, uint32_t n)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(f->pool[who]);
	uint8_t frame[100];

	frame_make(rte_pktmbuf_mtod(packet, uint8_t *), MAC_ALL, -1, 100, n);
	rte_pktmbuf_append(packet, 100);
	assert_int_equal(rte_eth_tx_burst(f->port, who, &packet, 1), 1);
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 100);
	assert_true(frame_is(frame, -1, 100, n));
}

/* Assert that both tenants still receive and send. */
static void both_go_on(struct fixture *f)
{
	put(f, RED, 70);
	put(f, BLUE, 80);
	put(f, RED, 71);
	assert_int_equal(take(f, RED, 70), 2);
	assert_int_equal(take(f, BLUE, 80), 1);
	transmit(f, RED, 90);
	transmit(f, BLUE, 91);
}

static void expect_fault(struct fixture *f, int who, uint64_t iova, uint8_t reason, bool write)
{
	struct moat_fault fault;

	assert_int_equal(f->unit->ops->faults(f->unit, &fault, 1), 1);
	assert_int_equal(fault.sid, MOAT_SID(3, 0, 6 + who));
	assert_int_equal(fault.iova, iova & ~MOAT_PAGE_MASK);
	assert_int_equal(fault.reason, reason);
	assert_int_equal(fault.write, write);
	assert_non_null(fault.reason_text);
	assert_int_equal(f->unit->ops->faults(f->unit, &fault, 1), 0);
}

static struct net_port *inside(struct fixture *f)
{
	return rte_eth_devices[f->port].data->dev_private;
}

static bool inside_memory(uint64_t base, uint64_t iova)
{
	return iova >= base && iova < base + MEMORY;
}

/* --------------------------------------------------------------------------------------- tests */

static void descriptors_hold_the_tenants_iovas(void **state)
{
	static const uint64_t base[2] = { RED_BASE, BLUE_BASE };
	struct fixture *f = *state;

	for (uint16_t q = 0; q < 2; q++) {
		const struct net_rxq *rxq = inside(f)->data->rx_queues[q];
		const struct net_txq *txq = inside(f)->data->tx_queues[q];

		for (uint32_t i = 0; i < 64; i++) {
			assert_true(inside_memory(base[q], rxq->ring[i].addr));
			assert_int_equal(rxq->ring[i].addr,
				rxq->mbufs[i]->buf_iova + RTE_PKTMBUF_HEADROOM);
		}
		assert_true(inside_memory(base[q], rxq->hw->ring.iova));
		assert_true(inside_memory(base[q], txq->hw->ring.iova));
		transmit(f, q, 5);
		assert_true(inside_memory(base[q], txq->ring[0].addr));
	}
}

static void each_tenant_has_its_frames(void **state)
{
	struct fixture *f = *state;

	for (uint32_t n = 0; n < 300; n++)
		both_go_on(f);
}

static void a_write_to_anothers_memory_is_refused(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *victim = rte_pktmbuf_alloc(f->pool[BLUE]);
	uint64_t iova = rte_mbuf_data_iova(victim);
	struct rte_eth_stats stats;
	uint8_t before[200];

	memset(rte_pktmbuf_mtod(victim, void *), 0xb1, sizeof(before));
	memset(before, 0xb1, sizeof(before));
	assert_int_equal(moat_net_post_rx(f->port, RED, iova), 0);
	assert_int_equal(moat_net_post_rx(f->port, RED, iova), -EAGAIN);
	put(f, RED, 1);
	put(f, RED, 2);
	assert_int_equal(take(f, RED, 2), 1); /* the first packet is lost */
	expect_fault(f, RED, iova, 5, true);
	assert_memory_equal(rte_pktmbuf_mtod(victim, void *), before, sizeof(before));
	rte_eth_stats_get(f->port, &stats);
	assert_int_equal(stats.ierrors, 1);
	assert_int_equal(stats.ipackets, 1);
	assert_int_equal(nic_xstat(f->port, "rx_dma_faults"), 1);
	assert_int_equal(nic_xstat(f->port, "rx_q0_dma_faults"), 1);
	assert_int_equal(nic_xstat(f->port, "rx_q1_dma_faults"), 0);
	rte_pktmbuf_free(victim);
	both_go_on(f);
}

static void a_read_of_anothers_memory_is_refused(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *victim = rte_pktmbuf_alloc(f->pool[BLUE]);
	uint64_t iova = rte_mbuf_data_iova(victim);
	uint8_t frame[256];

	assert_int_equal(moat_net_post_tx(f->port, RED, iova, 200), 0);
	assert_int_equal(rte_eth_tx_burst(f->port, RED, NULL, 0), 0);
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 0);
	expect_fault(f, RED, iova, 6, false);
	assert_int_equal(nic_xstat(f->port, "tx_dma_faults"), 1);
	/* Blue's own queue may do the same DMA. */
	assert_int_equal(moat_net_post_tx(f->port, BLUE, iova, 200), 0);
	assert_int_equal(rte_eth_tx_burst(f->port, BLUE, NULL, 0), 0);
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 200);
	rte_pktmbuf_free(victim);
	both_go_on(f);
}

static void unmapped_memory_is_refused_both_ways(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(moat_net_post_rx(f->port, RED, UNMAPPED), 0);
	put(f, RED, 1);
	assert_int_equal(take(f, RED, 0), 0);
	expect_fault(f, RED, UNMAPPED, 5, true);
	assert_int_equal(moat_net_post_tx(f->port, RED, UNMAPPED + 5, 60), 0);
	assert_int_equal(rte_eth_tx_burst(f->port, RED, NULL, 0), 0);
	expect_fault(f, RED, UNMAPPED, 6, false);
	both_go_on(f);
}

static void read_only_memory_can_be_sent_and_not_received_into(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[256];

	assert_int_equal(moat_net_post_tx(f->port, RED, READ_ONLY, 99), 0);
	assert_int_equal(rte_eth_tx_burst(f->port, RED, NULL, 0), 0);
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 99);
	assert_int_equal(frame[98], 0x55);
	assert_int_equal(moat_net_post_rx(f->port, RED, READ_ONLY), 0);
	put(f, RED, 1);
	assert_int_equal(take(f, RED, 0), 0);
	expect_fault(f, RED, READ_ONLY, 5, true);
	for (unsigned int i = 0; i < MOAT_PAGE_SIZE; i++)
		assert_int_equal(f->read_only[i], 0x55);
	both_go_on(f);
}

/* The second segment is refused. No part of the packet may be sent. */
static void a_packet_refused_in_part_is_not_sent_at_all(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packet = rte_pktmbuf_alloc(f->pool[RED]);
	struct rte_mbuf *piece = rte_pktmbuf_alloc(f->pool[RED]);
	struct rte_mbuf *other = rte_pktmbuf_alloc(f->pool[BLUE]);
	uint64_t own = rte_mbuf_iova_get(piece), wrong = rte_mbuf_data_iova(other);
	struct rte_eth_stats stats;
	uint8_t frame[256];

	rte_pktmbuf_append(packet, 80);
	rte_pktmbuf_append(piece, 80);
	rte_pktmbuf_chain(packet, piece);
	rte_mbuf_iova_set(piece, rte_mbuf_iova_get(other)); /* the header has a wrong address */
	assert_int_equal(rte_eth_tx_burst(f->port, RED, &packet, 1), 1);
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 0);
	rte_eth_tx_done_cleanup(f->port, RED, 0);
	rte_eth_stats_get(f->port, &stats);
	assert_int_equal(stats.opackets, 0);
	assert_int_equal(stats.oerrors, 1);
	expect_fault(f, RED, wrong, 6, false);
	rte_mbuf_iova_set(piece, own);
	rte_pktmbuf_free(other);
	both_go_on(f);
}

/* An access that continues from a tenant's own page into a page that is not the tenant's is
 * refused. An access that continues into another of its own pages is done as a whole. */
static void accesses_are_checked_page_by_page(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[256];

	assert_int_equal(moat_net_post_tx(f->port, RED, READ_ONLY + 4096 - 50, 100), 0);
	assert_int_equal(rte_eth_tx_burst(f->port, RED, NULL, 0), 0);
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 0);
	expect_fault(f, RED, READ_ONLY + 4096, 6, false);
	assert_int_equal(moat_net_post_tx(f->port, RED, READ_ONLY + 4096 - 50, 50), 0);
	assert_int_equal(rte_eth_tx_burst(f->port, RED, NULL, 0), 0);
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 50);
	both_go_on(f);
}

static void many_refusals_leak_nothing(void **state)
{
	struct fixture *f = *state;

	for (uint32_t n = 0; n < 1000; n++) {
		assert_int_equal(moat_net_post_rx(f->port, RED, UNMAPPED), 0);
		put(f, RED, n);
		put(f, RED, n + 1);
		put(f, BLUE, n);
		assert_int_equal(take(f, RED, n + 1), 1);
		assert_int_equal(take(f, BLUE, n), 1);
		assert_int_equal(moat_net_post_tx(f->port, RED, UNMAPPED, 60), 0);
		transmit(f, RED, n);
	}
	assert_int_equal(nic_xstat(f->port, "rx_q0_dma_faults"), 1000);
	assert_int_equal(nic_xstat(f->port, "tx_q0_dma_faults"), 1000);
}

static void descriptors_that_make_no_sense_are_refused(void **state)
{
	struct fixture *f = *state;
	struct net_rxq *rxq = inside(f)->data->rx_queues[RED];
	uint8_t frame[256];

	rxq->ring[0].len = 0;
	put(f, RED, 1);
	put(f, RED, 2);
	assert_int_equal(take(f, RED, 2), 1);
	assert_int_equal(nic_xstat(f->port, "rx_bad_descriptors"), 1);
	assert_int_equal(moat_net_post_tx(f->port, RED, READ_ONLY, 0), -EINVAL);
	assert_int_equal(moat_net_post_tx(f->port, RED, READ_ONLY, MOAT_NET_FRAME_MAX + 1),
		-EINVAL);
	assert_int_equal(moat_net_post_tx(f->port, RED, READ_ONLY, MOAT_NET_FRAME_MAX), 0);
	assert_int_equal(rte_eth_tx_burst(f->port, RED, NULL, 0), 0); /* longer than the MTU */
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 0);
	assert_int_equal(nic_xstat(f->port, "tx_bad_descriptors"), 1);
	assert_int_equal(nic_xstat(f->port, "tx_dma_faults"), 0);
	both_go_on(f);
}

static void a_ring_that_lies_about_lengths_is_not_believed(void **state)
{
	struct fixture *f = *state;
	struct net_rxq *rxq = inside(f)->data->rx_queues[RED];
	struct rte_mbuf *packets[BURST];

	/* As if red's device had written there. */
	rxq->ring[0].len = 60000;
	rxq->ring[0].flags = MOAT_NET_DESC_DD | MOAT_NET_DESC_EOP;
	assert_int_equal(rte_eth_rx_burst(f->port, RED, packets, BURST), 0);
	rxq->ring[1].len = 60;
	rxq->ring[1].flags = MOAT_NET_DESC_DD | MOAT_NET_DESC_EOP;
	assert_int_equal(rte_eth_rx_burst(f->port, RED, packets, BURST), 1);
	rte_pktmbuf_free(packets[0]);
}

/* No tenant has attached the requesters, so not even the rings are reached. */
static void without_a_domain_the_port_reaches_nothing(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packet = rte_pktmbuf_alloc(f->pool[RED]);
	struct moat_fault faults[8];
	struct rte_eth_stats stats;
	uint8_t frame[256];

	rte_pktmbuf_append(packet, 60);
	assert_int_equal(rte_eth_tx_burst(f->port, RED, &packet, 1), 1);
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 0);
	put(f, RED, 1);
	put(f, BLUE, 1);
	assert_int_equal(take(f, RED, 0), 0);
	assert_int_equal(take(f, BLUE, 0), 0);
	assert_true(nic_xstat(f->port, "tx_ring_faults") >= 1);
	assert_int_equal(nic_xstat(f->port, "rx_ring_faults"), 2);
	rte_eth_stats_get(f->port, &stats);
	assert_int_equal(stats.imissed, 2);
	assert_true(f->unit->ops->faults(f->unit, faults, 8) >= 1);
	assert_int_equal(faults[0].reason, 2); /* context entry not present */
	attach(f); /* from here on the port works, and the posted packets are sent */
	assert_int_equal(rte_eth_tx_burst(f->port, RED, NULL, 0), 0);
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 60);
	both_go_on(f);
}

/* After the detach nothing is reached: the device keeps no translation after a burst. */
static void a_detached_queue_reaches_nothing_and_leaks_nothing(void **state)
{
	struct fixture *f = *state;

	both_go_on(f);
	assert_int_equal(moat_tenant_detach(f->tenant[RED], MOAT_SID(3, 0, 6)), 0);
	put(f, RED, 1);
	assert_int_equal(take(f, RED, 0), 0);
	assert_int_equal(nic_xstat(f->port, "rx_ring_faults"), 1);
	put(f, BLUE, 3);
	assert_int_equal(take(f, BLUE, 3), 1);
	assert_int_equal(moat_tenant_attach(f->tenant[RED], MOAT_SID(3, 0, 6)), 0);
	both_go_on(f);
}

/* Map the second page of a ring of red's anew: for reading only, or as it was. */
static void ring_page_map(struct fixture *f, const struct rte_memzone *ring, enum moat_prot prot)
{
	uint8_t *va = (uint8_t *)ring->addr + MOAT_PAGE_SIZE;
	uint64_t iova = ring->iova + MOAT_PAGE_SIZE;

	assert_int_equal(moat_lane_unmap(f->lane, iova, MOAT_PAGE_SIZE), 0);
	assert_int_equal(moat_lane_drain(f->lane), 0);
	assert_int_equal(moat_lane_map(f->lane, iova, (uintptr_t)va, va, MOAT_PAGE_SIZE, prot), 0);
}

/* Assert that the unit has refused to let the device write the second page of a ring of red's. */
static void expect_ring_fault(struct fixture *f, const struct rte_memzone *ring, const char *count)
{
	struct moat_fault faults[8];

	assert_true(f->unit->ops->faults(f->unit, faults, RTE_DIM(faults)) >= 1);
	assert_int_equal(faults[0].iova, ring->iova + MOAT_PAGE_SIZE);
	assert_true(faults[0].write);
	assert_true(nic_xstat(f->port, count) >= 1);
}

/* The packet's second descriptor is on a page of the ring that the device may not write. */
static void a_packet_whose_descriptors_are_refused_in_part_stays_the_devices(void **state)
{
	struct rte_eth_conf conf = { 0 };
	struct fixture *f = *state;
	struct rte_mbuf *packet, *piece;
	uint8_t frame[256];
	const struct net_txq *txq;

	assert_int_equal(rte_eth_dev_stop(f->port), 0);
	set_up_queues(f, &conf, 2 * NET_DESCS_PER_PAGE);
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	txq = inside(f)->data->tx_queues[RED];
	for (uint32_t n = 0; n < NET_DESCS_PER_PAGE - 1; n++)
		transmit(f, RED, n);
	rte_eth_tx_done_cleanup(f->port, RED, 0);
	packet = rte_pktmbuf_alloc(f->pool[RED]);
	piece = rte_pktmbuf_alloc(f->pool[RED]);
	frame_make(rte_pktmbuf_mtod(packet, uint8_t *), MAC_ALL, -1, 100, 7);
	rte_memcpy(rte_pktmbuf_mtod(piece, uint8_t *),
		rte_pktmbuf_mtod_offset(packet, uint8_t *, 60), 40);
	rte_pktmbuf_append(packet, 60);
	rte_pktmbuf_append(piece, 40);
	rte_pktmbuf_chain(packet, piece);
	ring_page_map(f, txq->zone, MOAT_R);
	assert_int_equal(rte_eth_tx_burst(f->port, RED, &packet, 1), 1);
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 0);
	expect_ring_fault(f, txq->zone, "tx_q0_ring_faults");
	assert_int_equal(txq->ring[NET_DESCS_PER_PAGE - 1].flags, 0);
	assert_int_equal(rte_eth_tx_done_cleanup(f->port, RED, 0), 0);
	ring_page_map(f, txq->zone, MOAT_RW);
	assert_int_equal(rte_eth_tx_burst(f->port, RED, NULL, 0), 0);
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 100);
	assert_true(frame_is(frame, -1, 100, 7));
	assert_int_equal(rte_eth_tx_done_cleanup(f->port, RED, 0), 1);
	both_go_on(f);
}

/* The same on reception: no part of the frame may be taken for received. */
static void a_frame_whose_descriptors_are_refused_in_part_is_dropped_whole(void **state)
{
	struct rte_eth_conf conf = { .rxmode = { .mtu = 5000,
					     .offloads = RTE_ETH_RX_OFFLOAD_SCATTER } };
	struct fixture *f = *state;
	const struct net_rxq *rxq;
	uint8_t frame[5000]; /* two buffers */

	assert_int_equal(rte_eth_dev_stop(f->port), 0);
	set_up_queues(f, &conf, 2 * NET_DESCS_PER_PAGE);
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	rxq = inside(f)->data->rx_queues[RED];
	for (uint32_t n = 0; n < NET_DESCS_PER_PAGE - 1; n++) {
		put(f, RED, n);
		assert_int_equal(take(f, RED, n), 1);
	}
	ring_page_map(f, rxq->zone, MOAT_R);
	wire_put(&f->wire, 0, frame, frame_make(frame, MAC_A, -1, sizeof(frame), 7));
	assert_int_equal(take(f, RED, 0), 0);
	expect_ring_fault(f, rxq->zone, "rx_q0_ring_faults");
	assert_null(rxq->first);
	ring_page_map(f, rxq->zone, MOAT_RW);
	both_go_on(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(descriptors_hold_the_tenants_iovas),
		TEST(each_tenant_has_its_frames),
		TEST(a_write_to_anothers_memory_is_refused),
		TEST(a_read_of_anothers_memory_is_refused),
		TEST(unmapped_memory_is_refused_both_ways),
		TEST(read_only_memory_can_be_sent_and_not_received_into),
		TEST(a_packet_refused_in_part_is_not_sent_at_all),
		TEST(a_packet_whose_descriptors_are_refused_in_part_stays_the_devices),
		TEST(a_frame_whose_descriptors_are_refused_in_part_is_dropped_whole),
		TEST(accesses_are_checked_page_by_page),
		TEST(many_refusals_leak_nothing),
		TEST(descriptors_that_make_no_sense_are_refused),
		TEST(a_ring_that_lies_about_lengths_is_not_believed),
		TEST(a_detached_queue_reaches_nothing_and_leaks_nothing),
		cmocka_unit_test_setup_teardown(without_a_domain_the_port_reaches_nothing,
			set_up_unattached, tear_down),
	};
	int failed;

	if (start_eal("test_net_fault") != 0)
		return 1;
	urcu_qsbr_register_thread();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	urcu_qsbr_unregister_thread();
	return failed;
}
