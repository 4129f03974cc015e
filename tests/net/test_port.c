/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A port with a unit of its own, as an unmodified program uses it: frames, counters, buffers. */

#include <rte_bus_vdev.h>
#include <rte_malloc.h>

#include "harness.h"

struct fixture {
	struct wire wire;
	uint16_t port;
	struct rte_mempool *pool;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	wire_create(&f->wire, "w", 1, 1024);
	f->pool = make_pool("app", 1023, RTE_MBUF_DEFAULT_BUF_SIZE);
	f->port = nic_create("net_moat0", "port=net_ring_w");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	wire_drain(&f->wire);
	rte_eth_dev_stop(f->port);
	nic_destroy("net_moat0");
	assert_pool_full(f->pool);
	rte_mempool_free(f->pool);
	wire_destroy(&f->wire);
	free(f);
	return 0;
}

static void start(struct fixture *f)
{
	nic_start(f->port, 1, RING_SIZE, f->pool, SOCKET_ID_ANY, NULL);
	rte_eth_promiscuous_enable(f->port);
}

static void put_frames(struct fixture *f, uint32_t first, uint32_t n, uint32_t len)
{
	uint8_t frame[MOAT_NET_FRAME_MAX];

	for (uint32_t i = 0; i < n; i++)
		wire_put(&f->wire, 0, frame, frame_make(frame, MAC_A, -1, len, first + i));
}

/* Receive `n` packets of `len` bytes, numbered from `first` on. */
static void expect_packets(struct fixture *f, uint32_t first, uint32_t n, uint32_t len)
{
	struct rte_mbuf *packets[BURST];
	uint32_t got = 0;

	for (unsigned int turns = 0; got < n && turns < 1000; turns++) {
		uint16_t k = rte_eth_rx_burst(f->port, 0, packets, BURST);

		for (uint16_t i = 0; i < k; i++, got++) {
			assert_true(packet_is(packets[i], -1, len, first + got));
			assert_int_equal(packets[i]->port, f->port);
			assert_int_equal(packets[i]->packet_type, RTE_PTYPE_L2_ETHER);
			rte_mbuf_sanity_check(packets[i], 1);
			rte_pktmbuf_free(packets[i]);
		}
	}
	assert_int_equal(got, n);
}

static struct rte_mbuf *make_packet(struct rte_mempool *pool, uint32_t len, uint32_t n)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(pool);
	uint8_t frame[MOAT_NET_FRAME_MAX];

	frame_make(frame, MAC_B, -1, len, n);
	memcpy(rte_pktmbuf_append(packet, len), frame, len);
	return packet;
}

static void expect_frames(struct fixture *f, uint32_t first, uint32_t n, uint32_t len)
{
	uint8_t frame[MOAT_NET_FRAME_MAX];

	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), len);
		assert_true(frame_is(frame, -1, len, first + i));
	}
}

/* ------------------------------------------------------------------------------------- receive */

static void frames_arrive_whole_and_in_order(void **state)
{
	struct fixture *f = *state;
	uint32_t n = 0;

	start(f);
	for (uint32_t len = 15; len <= 1518; len += 97, n += 40) {
		put_frames(f, n, 40, len);
		expect_packets(f, n, 40, len);
	}
}

static void a_ring_goes_round_many_times(void **state)
{
	struct fixture *f = *state;

	start(f);
	for (uint32_t n = 0; n < 20 * RING_SIZE; n += BURST) {
		put_frames(f, n, BURST, 64);
		expect_packets(f, n, BURST, 64);
	}
}

static void without_buffers_frames_wait_and_are_counted_then_come(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packets[2 * RING_SIZE], *rest[1024];
	struct rte_eth_stats stats;
	unsigned int left, got = 0;

	start(f);
	left = rte_mempool_avail_count(f->pool);
	assert_int_equal(rte_mempool_get_bulk(f->pool, (void **)rest, left), 0);
	put_frames(f, 0, 2 * RING_SIZE, 64);
	for (unsigned int turns = 0; turns < 100; turns++)
		got += rte_eth_rx_burst(f->port, 0, packets + got, BURST);
	assert_int_equal(got, RING_SIZE); /* those posted; others wait on the wire */
	rte_eth_stats_get(f->port, &stats);
	assert_true(stats.rx_nombuf > 0);
	rte_pktmbuf_free_bulk(packets, got);
	rte_mempool_put_bulk(f->pool, (void **)rest, left);
	rte_eth_rx_burst(f->port, 0, packets, 0); /* refills */
	expect_packets(f, RING_SIZE, RING_SIZE, 64);
}

static void frames_too_long_are_dropped_and_counted(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packets[BURST];
	struct rte_eth_stats stats;

	start(f);
	put_frames(f, 0, 1, 1522);
	expect_packets(f, 0, 1, 1522); /* MTU 1500 with two VLAN tags */
	put_frames(f, 1, 3, 1523);
	put_frames(f, 4, 1, 64);
	assert_int_equal(rte_eth_rx_burst(f->port, 0, packets, BURST), 1);
	assert_true(packet_is(packets[0], -1, 64, 4));
	rte_pktmbuf_free(packets[0]);
	rte_eth_stats_get(f->port, &stats);
	assert_int_equal(stats.ierrors, 3);
	assert_int_equal(nic_xstat(f->port, "rx_bad_length"), 3);
}

static void jumbo_frames_come_in_as_many_buffers_as_they_need(void **state)
{
	struct fixture *f = *state;
	struct rte_eth_conf conf = { .rxmode = { .mtu = 9000,
					     .offloads = RTE_ETH_RX_OFFLOAD_SCATTER } };
	struct rte_mbuf *packets[BURST];

	nic_start(f->port, 1, RING_SIZE, f->pool, SOCKET_ID_ANY, &conf);
	rte_eth_promiscuous_enable(f->port);
	put_frames(f, 0, 40, 9000);
	for (uint32_t n = 0; n < 40;) {
		uint16_t k = rte_eth_rx_burst(f->port, 0, packets, 8);

		assert_true(k != 0);
		for (uint16_t i = 0; i < k; i++, n++) {
			assert_int_equal(packets[i]->nb_segs, 5); /* 4 * 2048 < 9000 */
			rte_mbuf_sanity_check(packets[i], 1);
			assert_true(packet_is(packets[i], -1, 9000, n));
			rte_pktmbuf_free(packets[i]);
		}
	}
}

static void jumbo_frames_want_scatter_or_large_buffers(void **state)
{
	struct fixture *f = *state;
	struct rte_eth_conf conf = { .rxmode = { .mtu = 9000 } };

	assert_int_equal(rte_eth_dev_configure(f->port, 1, 1, &conf), 0);
	log_begin();
	assert_int_equal(
		rte_eth_rx_queue_setup(f->port, 0, RING_SIZE, SOCKET_ID_ANY, NULL, f->pool),
		-EINVAL);
	assert_non_null(strstr(log_end(),
		"net_moat0: rx queue 0: frames of MTU 9000 take buffers of 9154 bytes (26 of header, CRC "
		"and VLAN tags, 128 of headroom), and those of pool 'app' have 2176; use larger "
		"buffers, a smaller MTU, or RTE_ETH_RX_OFFLOAD_SCATTER"));
}

/* ------------------------------------------------------------------------------------ transmit */

static void packets_go_out_whole_and_in_order(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packets[BURST];
	uint32_t n = 0;

	start(f);
	for (uint32_t len = 14; len <= 1518; len += 94, n += BURST) {
		for (uint32_t i = 0; i < BURST; i++)
			packets[i] = make_packet(f->pool, len, n + i);
		assert_int_equal(rte_eth_tx_burst(f->port, 0, packets, BURST), BURST);
		expect_frames(f, n, BURST, len);
	}
}

static void packets_in_pieces_go_out_in_one(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[1500];

	start(f);
	for (uint32_t n = 0; n < 3 * RING_SIZE; n++) {
		struct rte_mbuf *packet = rte_pktmbuf_alloc(f->pool), *last = packet;
		uint32_t at = 0, pieces = 1 + n % 7;

		frame_make(frame, MAC_B, -1, sizeof(frame), n);
		for (uint32_t i = 0; i < pieces; i++) {
			uint32_t len = i + 1 == pieces ? sizeof(frame) - at : 17 + n % 100;

			if (i != 0) {
				last->next = rte_pktmbuf_alloc(f->pool);
				last = last->next;
				packet->nb_segs++;
			}
			memcpy(rte_pktmbuf_mtod(last, void *), frame + at, len);
			last->data_len = len;
			at += len;
		}
		packet->pkt_len = sizeof(frame);
		assert_int_equal(rte_eth_tx_burst(f->port, 0, &packet, 1), 1);
		expect_frames(f, n, 1, sizeof(frame));
	}
}

/* Make a packet of `pieces` mbufs of 20 bytes each. */
static struct rte_mbuf *make_chain(struct rte_mempool *pool, unsigned int pieces)
{
	struct rte_mbuf *packet = NULL, *piece;

	while (pieces-- != 0) {
		piece = rte_pktmbuf_alloc(pool);
		assert_non_null(piece);
		memset(rte_pktmbuf_append(piece, 20), 0, 20);
		if (packet != NULL)
			assert_int_equal(rte_pktmbuf_chain(piece, packet), 0);
		packet = piece;
	}
	return packet;
}

static void send_chains(struct fixture *f, uint16_t descs, unsigned int pieces)
{
	struct rte_mempool *pool = make_pool("chains", 2047, 256);
	struct rte_mbuf *packets[BURST];

	nic_start(f->port, 1, descs, f->pool, SOCKET_ID_ANY, NULL);
	for (unsigned int turns = 0; turns < 50; turns++) {
		for (unsigned int i = 0; i < BURST; i++)
			packets[i] = make_chain(pool, pieces);
		assert_int_equal(rte_eth_tx_burst(f->port, 0, packets, BURST), BURST);
		assert_int_equal(wire_drain(&f->wire), BURST);
	}
	assert_int_equal(nic_xstat(f->port, "tx_ring_full"), 0);
	rte_eth_dev_stop(f->port);
	assert_pool_full(pool);
	rte_mempool_free(pool);
}

static void packets_in_pieces_are_all_taken_while_the_wire_takes_them(void **state)
{
	send_chains(*state, 512, 3);
	send_chains(*state, 128, 7);
	send_chains(*state, 64, 17); /* three chains fill the ring */
}

/* Also with MBUF_FAST_FREE, which promises mbufs of one pool that are not shared. */
static void packets_in_pieces_come_back_whole_from_a_queue_that_frees_fast(void **state)
{
	struct fixture *f = *state;
	struct rte_eth_conf conf = { .txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS |
			RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE };
	unsigned int before;

	nic_start(f->port, 1, RING_SIZE, f->pool, SOCKET_ID_ANY, &conf);
	before = rte_mempool_avail_count(f->pool);
	for (unsigned int i = 0; i < 2 * RING_SIZE; i++) {
		struct rte_mbuf *packet = make_chain(f->pool, 1 + i % 3);

		assert_int_equal(rte_eth_tx_burst(f->port, 0, &packet, 1), 1);
		wire_drain(&f->wire);
	}
	rte_eth_tx_done_cleanup(f->port, 0, 0);
	assert_int_equal(rte_mempool_avail_count(f->pool), before);
}

static void what_the_ring_has_no_room_for_is_counted(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packet;
	uint64_t refused = 0;
	struct rte_eth_stats stats;

	nic_start(f->port, 1, 64, f->pool, SOCKET_ID_ANY, NULL);
	/* A packet with more segments than the ring has descriptors can never be sent. It must be
	 * dropped, not refused for ever. */
	packet = make_chain(f->pool, 65);
	assert_int_equal(rte_eth_tx_burst(f->port, 0, &packet, 1), 1);
	assert_int_equal(rte_eth_stats_get(f->port, &stats), 0);
	assert_int_equal(stats.oerrors, 1);
	for (unsigned int i = 0; i < 1500 && refused < 3; i++) { /* the wire has 1023 places */
		packet = make_chain(f->pool, 2);
		if (rte_eth_tx_burst(f->port, 0, &packet, 1) == 1)
			continue;
		rte_pktmbuf_free(packet);
		refused++;
	}
	assert_int_equal(refused, 3);
	assert_int_equal(nic_xstat(f->port, "tx_ring_full"), 3);
}

static uint32_t take_numbered(struct fixture *f, uint32_t n)
{
	uint8_t frame[100];

	while (wire_take(&f->wire, 0, frame, sizeof(frame)) != 0)
		assert_true(frame_is(frame, -1, 100, n++));
	return n;
}

static void a_full_wire_holds_packets_back_and_loses_none(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packets[BURST];
	uint32_t sent = 0, taken = 0;
	uint16_t k;

	start(f);
	do { /* the wire has 1023 places */
		for (uint32_t i = 0; i < BURST; i++)
			packets[i] = make_packet(f->pool, 100, sent + i);
		k = rte_eth_tx_burst(f->port, 0, packets, BURST);
		rte_pktmbuf_free_bulk(packets + k, BURST - k);
		sent += k;
	} while (k == BURST);
	assert_in_range(sent, 1023 + RING_SIZE, 1023 + RING_SIZE + 64);
	assert_true(nic_xstat(f->port, "tx_wire_busy") > 0);
	/* The program stops transmitting. Packets in the device are sent when the program polls
	 * ... */
	for (unsigned int turns = 0; turns < 100; turns++) {
		taken = take_numbered(f, taken);
		assert_int_equal(rte_eth_rx_burst(f->port, 0, packets, BURST), 0);
	}
	assert_in_range(taken, 1024, 1023 + 64);
	/* ... and packets in the ring with the next call that transmits. */
	for (unsigned int turns = 0; turns < 100; turns++) {
		assert_int_equal(rte_eth_tx_burst(f->port, 0, packets, 0), 0);
		taken = take_numbered(f, taken);
	}
	assert_int_equal(taken, sent);
}

static void completed_packets_are_freed_at_the_threshold_or_when_asked(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packets[BURST];
	unsigned int before;

	start(f);
	before = rte_mempool_avail_count(f->pool);
	for (uint32_t i = 0; i < 20; i++)
		packets[i] = make_packet(f->pool, 64, i);
	assert_int_equal(rte_eth_tx_burst(f->port, 0, packets, 20), 20);
	assert_int_equal(rte_mempool_avail_count(f->pool), before - 20);
	assert_int_equal(rte_eth_tx_done_cleanup(f->port, 0, 5), 5);
	assert_int_equal(rte_mempool_avail_count(f->pool), before - 15);
	assert_int_equal(rte_eth_tx_done_cleanup(f->port, 0, 0), 15);
	assert_int_equal(rte_mempool_avail_count(f->pool), before);
	for (uint32_t n = 0; n < 4 * RING_SIZE; n++) {
		packets[0] = make_packet(f->pool, 64, n);
		assert_int_equal(rte_eth_tx_burst(f->port, 0, packets, 1), 1);
		assert_true(before - rte_mempool_avail_count(f->pool) <= RING_SIZE - 31);
		wire_drain(&f->wire);
	}
}

/* ------------------------------------------------------------------------- counters and control */

static void counters_add_up_and_reset(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packets[BURST];
	struct rte_eth_stats stats;

	start(f);
	put_frames(f, 0, 10, 100);
	expect_packets(f, 0, 10, 100);
	for (uint32_t i = 0; i < 7; i++)
		packets[i] = make_packet(f->pool, 200, i);
	assert_int_equal(rte_eth_tx_burst(f->port, 0, packets, 7), 7);
	assert_int_equal(rte_eth_stats_get(f->port, &stats), 0);
	assert_int_equal(stats.ipackets, 10);
	assert_int_equal(stats.ibytes, 1000);
	assert_int_equal(stats.opackets, 7);
	assert_int_equal(stats.obytes, 1400);
	assert_int_equal(stats.q_ipackets[0], 10);
	assert_int_equal(stats.q_obytes[0], 1400);
	assert_int_equal(stats.imissed + stats.ierrors + stats.oerrors + stats.rx_nombuf, 0);
	assert_int_equal(nic_xstat(f->port, "rx_good_packets"), 10);
	assert_int_equal(nic_xstat(f->port, "rx_q0_packets"), 10);
	assert_int_equal(nic_xstat(f->port, "rx_dma_faults"), 0);
	assert_int_equal(nic_xstat(f->port, "tx_q0_dma_faults"), 0);
	assert_int_equal(rte_eth_stats_reset(f->port), 0);
	assert_int_equal(rte_eth_stats_get(f->port, &stats), 0);
	assert_int_equal(stats.ipackets + stats.ibytes + stats.opackets + stats.obytes, 0);
	assert_int_equal(rte_eth_xstats_reset(f->port), 0);
}

static void stop_and_start_lose_no_buffer(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packets[BURST];

	start(f);
	for (uint32_t round = 0; round < 5; round++) {
		put_frames(f, 0, 10, 64);
		expect_packets(f, 0, 10, 64);
		for (uint32_t i = 0; i < 9; i++)
			packets[i] = make_packet(f->pool, 64, i);
		assert_int_equal(rte_eth_tx_burst(f->port, 0, packets, 9), 9);
		wire_drain(&f->wire);
		assert_int_equal(rte_eth_dev_stop(f->port), 0);
		assert_pool_full(f->pool);
		assert_int_equal(rte_eth_dev_start(f->port), 0);
	}
}

static void a_port_is_set_up_anew_with_other_rings(void **state)
{
	struct fixture *f = *state;

	for (uint16_t desc = MOAT_NET_RING_MIN; desc <= 512; desc *= 2) {
		nic_start(f->port, 1, desc, f->pool, SOCKET_ID_ANY, NULL);
		rte_eth_promiscuous_enable(f->port);
		put_frames(f, desc, BURST, 64);
		expect_packets(f, desc, BURST, 64);
		assert_int_equal(rte_eth_dev_stop(f->port), 0);
		assert_pool_full(f->pool);
	}
}

static void rings_of_other_sizes_are_refused(void **state)
{
	struct fixture *f = *state;
	struct rte_eth_conf conf = { 0 };

	assert_int_equal(rte_eth_dev_configure(f->port, 1, 1, &conf), 0);
	log_begin();
	assert_int_equal(rte_eth_rx_queue_setup(f->port, 0, 192, SOCKET_ID_ANY, NULL, f->pool),
		-EINVAL);
	assert_non_null(strstr(log_end(),
		"net_moat0: rx queue 0: 192 descriptors; a ring has a power "
		"of two, from 64 to 4096"));
	log_begin();
	assert_int_equal(rte_eth_tx_queue_setup(f->port, 0, 320, SOCKET_ID_ANY, NULL), -EINVAL);
	assert_non_null(strstr(log_end(), "net_moat0: tx queue 0: 320 descriptors;"));
}

static void thresholds_that_do_not_fit_are_refused(void **state)
{
	struct fixture *f = *state;
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_rxconf rx = { .rx_free_thresh = 48 };
	struct rte_eth_txconf tx = { .tx_free_thresh = 64 };

	assert_int_equal(rte_eth_dev_configure(f->port, 1, 1, &conf), 0);
	log_begin();
	assert_int_equal(rte_eth_rx_queue_setup(f->port, 0, 64, SOCKET_ID_ANY, &rx, f->pool),
		-EINVAL);
	assert_non_null(strstr(log_end(),
		"rx_free_thresh=48; it must be a power of two up to the "
		"ring's 64 descriptors"));
	log_begin();
	assert_int_equal(rte_eth_tx_queue_setup(f->port, 0, 64, SOCKET_ID_ANY, &tx), -EINVAL);
	assert_non_null(strstr(log_end(),
		"tx_free_thresh=64; it must be less than the ring's 64 "
		"descriptors"));
}

static void a_pool_that_cannot_fill_the_ring_stops_the_start(void **state)
{
	struct fixture *f = *state;
	struct rte_mempool *small = make_pool("small", 127, RTE_MBUF_DEFAULT_BUF_SIZE);
	struct rte_eth_conf conf = { 0 };

	assert_int_equal(rte_eth_dev_configure(f->port, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(f->port, 0, 256, SOCKET_ID_ANY, NULL, small), 0);
	assert_int_equal(rte_eth_tx_queue_setup(f->port, 0, 256, SOCKET_ID_ANY, NULL), 0);
	log_begin();
	assert_int_equal(rte_eth_dev_start(f->port), -ENOMEM);
	assert_non_null(strstr(log_end(),
		"net_moat0: rx queue 0: pool 'small' has fewer than 256 buffers "
		"left for the ring; make the pool larger or the ring smaller"));
	assert_pool_full(small);
	start(f); /* with larger buffers it works */
	put_frames(f, 0, 5, 64);
	expect_packets(f, 0, 5, 64);
	rte_mempool_free(small);
}

static void a_stopped_queue_holds_no_buffer_and_takes_no_frame(void **state)
{
	struct fixture *f = *state;
	struct rte_eth_rxq_info info;
	struct rte_mbuf *packets[BURST];

	start(f);
	assert_int_equal(rte_eth_rx_queue_info_get(f->port, 0, &info), 0);
	assert_int_equal(info.nb_desc, RING_SIZE);
	assert_int_equal(info.rx_buf_size, RTE_MBUF_DEFAULT_DATAROOM);
	assert_int_equal(rte_eth_dev_rx_queue_stop(f->port, 0), 0);
	assert_int_equal(rte_eth_dev_tx_queue_stop(f->port, 0), 0);
	assert_pool_full(f->pool);
	put_frames(f, 0, 5, 64);
	assert_int_equal(rte_eth_rx_burst(f->port, 0, packets, BURST), 0);
	assert_pool_full(f->pool);
	packets[0] = make_packet(f->pool, 64, 1);
	assert_int_equal(rte_eth_tx_burst(f->port, 0, packets, 1), 0);
	rte_pktmbuf_free(packets[0]);
	assert_int_equal(rte_eth_dev_rx_queue_start(f->port, 0), 0);
	assert_int_equal(rte_eth_dev_tx_queue_start(f->port, 0), 0);
	expect_packets(f, 0, 5, 64);
}

static void the_backing_port_is_taken_and_given_back(void **state)
{
	struct fixture *f = *state;
	struct rte_eth_dev_owner owner;
	struct moat_net_info info;

	assert_int_equal(rte_eth_dev_owner_get(f->wire.port, &owner), 0);
	assert_string_equal(owner.name, "net_moat0");
	for (uint64_t id = 0;
		(id = rte_eth_find_next_owned_by(id, RTE_ETH_DEV_NO_OWNER)) < RTE_MAX_ETHPORTS;
		id++)
		assert_int_not_equal(id, f->wire.port);
	assert_int_equal(moat_net_info(f->port, &info), 0);
	assert_string_equal(info.unit, "net_moat0.unit");
	assert_true(info.private_unit);
	assert_int_equal(info.sid, MOAT_SID(0, 0x10, 0));
	assert_int_equal(info.backing_port, f->wire.port);
	assert_int_equal(moat_net_info(f->wire.port, &info), -ENODEV);
	nic_destroy("net_moat0");
	assert_int_equal(rte_eth_dev_owner_get(f->wire.port, &owner), 0);
	assert_int_equal(owner.id, RTE_ETH_DEV_NO_OWNER);
	f->port = nic_create("net_moat0", "port=net_ring_w");
	start(f);
	put_frames(f, 0, 5, 64);
	expect_packets(f, 0, 5, 64);
}

static void the_link_follows_the_backing_ports(void **state)
{
	struct fixture *f = *state;
	struct rte_eth_link link;

	assert_int_equal(rte_eth_link_get_nowait(f->port, &link), 0);
	assert_int_equal(link.link_status, RTE_ETH_LINK_DOWN);
	start(f);
	assert_int_equal(rte_eth_link_get_nowait(f->port, &link), 0);
	assert_int_equal(link.link_status, RTE_ETH_LINK_UP);
	assert_int_equal(rte_eth_dev_set_link_down(f->port), 0);
	assert_int_equal(rte_eth_link_get_nowait(f->port, &link), 0);
	assert_int_equal(link.link_status, RTE_ETH_LINK_DOWN);
	assert_int_equal(rte_eth_dev_set_link_up(f->port), 0);
	assert_int_equal(rte_eth_link_get_nowait(f->port, &link), 0);
	assert_int_equal(link.link_status, RTE_ETH_LINK_UP);
}

static void frames_the_wire_still_holds_keep_their_memory(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packet = NULL;
	uint8_t frame[64];

	start(f);
	packet = make_packet(f->pool, 64, 1);
	assert_int_equal(rte_eth_tx_burst(f->port, 0, &packet, 1), 1);
	log_begin();
	assert_int_equal(rte_eth_dev_stop(f->port), 0);
	assert_non_null(
		strstr(log_end(), "still holds 1 frame; the memory stays until it is back"));
	assert_int_equal(wire_take(&f->wire, 0, frame, sizeof(frame)), 64);
	assert_true(frame_is(frame, -1, 64, 1));
	/* the frame memory that was kept does not prevent a start */
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	packet = make_packet(f->pool, 64, 2);
	assert_int_equal(rte_eth_tx_burst(f->port, 0, &packet, 1), 1);
	expect_frames(f, 2, 1, 64);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_arrive_whole_and_in_order),
		TEST(a_ring_goes_round_many_times),
		TEST(without_buffers_frames_wait_and_are_counted_then_come),
		TEST(frames_too_long_are_dropped_and_counted),
		TEST(jumbo_frames_come_in_as_many_buffers_as_they_need),
		TEST(jumbo_frames_want_scatter_or_large_buffers),
		TEST(packets_go_out_whole_and_in_order),
		TEST(packets_in_pieces_go_out_in_one),
		TEST(packets_in_pieces_are_all_taken_while_the_wire_takes_them),
		TEST(packets_in_pieces_come_back_whole_from_a_queue_that_frees_fast),
		TEST(what_the_ring_has_no_room_for_is_counted),
		TEST(a_full_wire_holds_packets_back_and_loses_none),
		TEST(completed_packets_are_freed_at_the_threshold_or_when_asked),
		TEST(counters_add_up_and_reset),
		TEST(stop_and_start_lose_no_buffer),
		TEST(a_port_is_set_up_anew_with_other_rings),
		TEST(rings_of_other_sizes_are_refused),
		TEST(thresholds_that_do_not_fit_are_refused),
		TEST(a_pool_that_cannot_fill_the_ring_stops_the_start),
		TEST(a_stopped_queue_holds_no_buffer_and_takes_no_frame),
		TEST(the_backing_port_is_taken_and_given_back),
		TEST(the_link_follows_the_backing_ports),
		TEST(frames_the_wire_still_holds_keep_their_memory),
	};

	if (start_eal("test_net_port") != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
