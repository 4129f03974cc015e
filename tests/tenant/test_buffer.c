/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The life of a buffer in the difficult cases: clones and references, chains, sends that the driver
 * does not take, foreign memory, lcores that free what others received, threads that are not
 * lcores, units that do not answer, and faults at every call. See rig.h; doc/buffer.md has the
 * model.
 */

#include <pthread.h>

#include <rte_lcore.h>

#include "moat_patience.h"
#include "rig.h"

#define BURST   32
#define BUFFERS 512

#define UNIT_SLOW UNIT_ADVERSARY ",latency=200000"
static struct rig *open_mode(enum moat_mode mode, const char *unit_args)
{
	struct moat_tenant_conf conf = rig_conf("red", mode);

	return rig_open(&conf, unit_args, BUFFERS);
}

static void settle(struct rig *r)
{
	must(moat_lane_drain(moat_tenant_lane(r->tenant)));
	moat_tenant_poll(r->tenant);
}

static void no_device_reaches(struct rig *r, const struct rte_mbuf *m)
{
	settle(r);
	assert_false(rig_reads(r, rte_mbuf_data_iova(m)));
	assert_false(rig_writes(r, rte_mbuf_data_iova(m)));
}

/* Receive `n` packets, which then belong to the application. */
static void receive(struct rig *r, struct rte_mbuf *m[], unsigned int n)
{
	unsigned int got = 0;

	rig_refill(r, m, n);
	rig_arrive(r, 0, m, n);
	while (got < n) {
		got += rte_eth_rx_burst(r->port, 0, m + got, (uint16_t)(n - got));
		moat_tenant_poll(r->tenant);
	}
}

static void close_clean(struct rig *r)
{
	struct moat_softvtd_stats stats = rig_unit_stats(r);

	assert_int_equal(stats.stale_dma + stats.early_reuse + stats.witness_errors, 0);
	rig_close(r);
}

/* Fill the driver's queue, like that of a slow NIC. */
static void wire_fill(struct rig *r)
{
	static char nothing;
	void *p = &nothing;

	while (rte_ring_enqueue(r->wire[0], p) == 0)
		;
}

/* ------------------------------------------------------------------------ references and chains */

static void the_last_reference_leaves_no_chain_behind(void **state)
{
	struct rte_mempool *clones = rte_pktmbuf_pool_create("clones", 63, 0, 0, 0, SOCKET_ID_ANY);

	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode, UNIT_ADVERSARY);
		struct rte_mbuf *m[BUFFERS], *clone;

		assert_int_equal(rte_pktmbuf_priv_size(r->pool), 0);
		assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, m, 2), 0);
		rte_pktmbuf_append(m[0], 100);
		rte_pktmbuf_append(m[1], 100);
		assert_int_equal(rte_pktmbuf_chain(m[0], m[1]), 0);
		clone = rte_pktmbuf_clone(m[0], clones);
		rte_mbuf_refcnt_update(m[1], 1); /* and take a reference to one segment */
		rte_pktmbuf_free(m[0]);
		rte_pktmbuf_free_seg(m[1]);
		rte_pktmbuf_free(clone);
		settle(r);
		for (unsigned int i = 0; i < BUFFERS; i++) {
			m[i] = rte_mbuf_raw_alloc(r->pool); /* like a PMD's refill */
			assert_non_null(m[i]);
			assert_null(m[i]->next);
			assert_int_equal(m[i]->nb_segs, 1);
			assert_int_equal(rte_mbuf_refcnt_read(m[i]), 1);
			assert_int_equal(m[i]->ol_flags, RTE_MBUF_F_EXTERNAL);
		}
		for (unsigned int i = 0; i < BUFFERS; i++)
			rte_mbuf_raw_free(m[i]);
		settle(r);
		close_clean(r);
	}
	rte_mempool_free(clones);
}

/* Packets of one burst, neighbours in the pool. The application keeps a reference to one of them,
 * by the header or by a clone. */
static void a_reference_among_neighbours_is_not_sent_as_one_of_them(void **state)
{
	struct rte_mempool *clones = rte_pktmbuf_pool_create("clones", 63, 0, 0, 0, SOCKET_ID_ANY);

	for (unsigned int by = 0; by < 2; by++) {
		struct rig *r = open_mode(MOAT_PIPELINED, UNIT_ADVERSARY);
		struct rte_mbuf *m[4], *kept;

		receive(r, m, 4);
		kept = m[2];
		if (by == 0)
			rte_mbuf_refcnt_update(kept, 1);
		else
			kept = rte_pktmbuf_clone(m[2], clones);
		assert_non_null(kept);
		assert_int_equal(rte_eth_tx_burst(r->port, 0, m, 4), 4);
		assert_int_equal(rig_sent(r, 0), 4);
		no_device_reaches(r, kept);
		rte_pktmbuf_free(kept);
		close_clean(r);
	}
	rte_mempool_free(clones);
}

/* Packets of one buffer and of two, all neighbours in the pool. */
static void a_chain_among_neighbours_is_taken_away_whole(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT, UNIT_ADVERSARY);
	struct rte_mbuf *m[8], *pkts[7];

	rig_refill(r, m, 8);
	for (unsigned int i = 0, n = 0; i < 8; i++) {
		m[i]->data_len = 64;
		m[i]->pkt_len = 64;
		if (i != 4)
			pkts[n++] = m[i];
	}
	m[3]->next = m[4];
	m[3]->nb_segs = 2;
	m[3]->pkt_len = 128;
	rig_arrive(r, 0, pkts, 7);
	assert_int_equal(rte_eth_rx_burst(r->port, 0, pkts, 7), 7);
	for (unsigned int i = 0; i < 8; i++)
		no_device_reaches(r, m[i]);
	rte_pktmbuf_free_bulk(pkts, 7);
	close_clean(r);
}

/* The packet was sent and came back: it is the application's alone, and no device reads it. */
static void what_has_other_references_is_the_applications_when_the_send_is_over(void **state)
{
	struct rte_mempool *clones = rte_pktmbuf_pool_create("clones", 63, 0, 0, 0, SOCKET_ID_ANY);
	const enum moat_mode modes[] = { MOAT_STRICT, MOAT_PIPELINED, MOAT_DEFERRED };

	for (unsigned int i = 0; i < RTE_DIM(modes); i++) {
		struct rig *r = open_mode(modes[i], UNIT_ADVERSARY);
		struct rte_mbuf *m[4], *clone;
		uint64_t iova;

		receive(r, m, 4);
		/* A clone; the packet is sent twice, on two queues. */
		iova = rte_mbuf_data_iova(m[0]);
		for (uint16_t q = 0; q < 2; q++) {
			clone = rte_pktmbuf_clone(m[0], clones);
			assert_int_equal(rte_eth_tx_burst(r->port, q, &clone, 1), 1);
		}
		assert_true(rig_reads(r, iova));
		assert_int_equal(rig_sent(r, 0), 1);
		settle(r);
		assert_true(rig_reads(r, iova)); /* queue 1 still has it */
		assert_int_equal(rig_sent(r, 1), 1);
		no_device_reaches(r, m[0]);
		assert_int_equal(rte_mbuf_ext_refcnt_read(m[0]->shinfo), 1);
		/* One more reference. */
		rte_mbuf_refcnt_update(m[1], 1);
		assert_int_equal(rte_eth_tx_burst(r->port, 0, &m[1], 1), 1);
		assert_true(rig_reads(r, rte_mbuf_data_iova(m[1])));
		assert_int_equal(rig_sent(r, 0), 1);
		assert_int_equal(rte_mbuf_refcnt_read(m[1]), 1);
		no_device_reaches(r, m[1]);
		/* The original is sent, its clone kept. */
		clone = rte_pktmbuf_clone(m[2], clones);
		assert_int_equal(rte_eth_tx_burst(r->port, 0, &m[2], 1), 1);
		assert_int_equal(rig_sent(r, 0), 1);
		no_device_reaches(r, clone);
		rte_pktmbuf_free(clone);
		/* The clone is sent, and the original is freed before the clone is back. */
		clone = rte_pktmbuf_clone(m[3], clones);
		iova = rte_mbuf_data_iova(m[3]);
		assert_int_equal(rte_eth_tx_burst(r->port, 0, &clone, 1), 1);
		rte_pktmbuf_free(m[3]);
		settle(r);
		assert_true(rig_reads(r, iova));
		assert_int_equal(rig_sent(r, 0), 1);
		/* The packets can be sent again. */
		assert_int_equal(rte_eth_tx_burst(r->port, 0, m, 2), 2);
		assert_int_equal(rig_sent(r, 0), 2);
		settle(r);
		assert_int_equal(rte_mempool_avail_count(clones), 63);
		close_clean(r);
	}
	rte_mempool_free(clones);
}

static void what_a_pmd_or_a_copy_forgets_of_a_buffer_is_set_again(void **state)
{
	struct rte_mempool *clones = rte_pktmbuf_pool_create("clones", 63, 0, 0, 0, SOCKET_ID_ANY);

	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct moat_tenant_conf conf = rig_conf("red", mode);
		struct rte_mbuf *m[BUFFERS], *clone;
		struct rig *r;

		/* Mode static without verification has a callback that checks received packets,
		 * too. */
		conf.verify = mode == MOAT_STATIC ? MOAT_VERIFY_OFF : 1;
		r = rig_open(&conf, UNIT_ADVERSARY, BUFFERS);
		rig_refill(r, m, 2);
		assert_int_equal(rte_pktmbuf_chain(m[0], m[1]), 0);
		/* Most PMDs overwrite the flags of packets that they receive. */
		m[0]->ol_flags = RTE_MBUF_F_RX_RSS_HASH;
		m[1]->ol_flags = 0;
		rig_arrive(r, 0, m, 1);
		while (rte_eth_rx_burst(r->port, 0, m, 1) == 0)
			moat_tenant_poll(r->tenant);
		assert_true(m[0]->ol_flags & RTE_MBUF_F_RX_RSS_HASH);
		for (const struct rte_mbuf *s = m[0]; s != NULL && mode != MOAT_COPY; s = s->next)
			assert_true(s->ol_flags & RTE_MBUF_F_EXTERNAL);
		clone = rte_pktmbuf_clone(m[0], clones);
		rte_pktmbuf_free(m[0]);
		rte_pktmbuf_free(clone); /* without the flag DPDK would corrupt memory here */
		/* rte_pktmbuf_copy() of DPDK 22.11 clears the flag of its copy. */
		rig_refill(r, m, 2);
		m[0]->ol_flags = 0;
		m[1]->ol_flags = 0;
		assert_int_equal(rte_eth_tx_burst(r->port, 0, &m[0], 1), 1);
		assert_int_equal(rig_sent(r, 0), 1);
		if (conf.mode != MOAT_STATIC && conf.mode != MOAT_COPY) {
			rte_pktmbuf_free(m[1]); /* not sent */
			settle(r);
			assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, m, BUFFERS), 0);
			for (unsigned int i = 0; i < BUFFERS; i++)
				assert_int_equal(m[i]->ol_flags, RTE_MBUF_F_EXTERNAL);
			rte_pktmbuf_free_bulk(m, BUFFERS);
		} else {
			rte_pktmbuf_free(m[1]);
		}
		settle(r);
		assert_int_equal(rte_mempool_avail_count(clones), 63);
		close_clean(r);
	}
	rte_mempool_free(clones);
}

/* ------------------------------------------------------------------------------- sends in sends */

/* A callback of the program's, after moat's, that sends on queue 1 and on queue 0 itself. */
struct mirror {
	struct rig *r;
	struct rte_mbuf *m[2];
	bool within;
};

static uint16_t mirror_send(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	void *arg)
{
	struct mirror *mirror = arg;

	if (mirror->within)
		return n;
	mirror->within = true;
	for (uint16_t q = 0; q < 2; q++)
		assert_int_equal(rte_eth_tx_burst(port, q, &mirror->m[q], 1), 1);
	mirror->within = false;
	return n;
}

static void a_callback_may_send_on_other_queues(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode, UNIT_ADVERSARY);
		struct mirror mirror = { .r = r };
		const struct rte_eth_rxtx_callback *callback =
			rte_eth_add_tx_callback(r->port, 0, mirror_send, &mirror);
		struct rte_mbuf *m[3];

		receive(r, m, 3);
		memcpy(mirror.m, m + 1, sizeof(mirror.m));
		assert_int_equal(rte_eth_tx_burst(r->port, 0, m, 1), 1);
		for (unsigned int q = 0; q < 2; q++) {
			void *sent[2];
			unsigned int n = rte_ring_dequeue_burst(r->wire[q], sent, 2, NULL);

			assert_int_equal(n, q == 0 ? 2 : 1);
			for (unsigned int i = 0; i < n; i++)
				assert_true(rig_reads(r, rte_mbuf_data_iova(sent[i])));
			rte_pktmbuf_free_bulk((struct rte_mbuf **)sent, n);
		}
		assert_int_equal(rte_eth_remove_tx_callback(r->port, 0, callback), 0);
		settle(r);
		close_clean(r);
		rte_free((void *)(uintptr_t)callback);
	}
}

/* A callback of the program's, after moat's: the driver never gets the burst. */
static uint16_t stop_port(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	void *arg)
{
	must(rte_eth_dev_stop(port));
	return n;
}

static void a_queue_that_was_removed_takes_no_burst_of_its_next_user(void **state)
{
	struct rte_mempool *plain = rte_pktmbuf_pool_create("plain", 63, 0, 0, 2176, SOCKET_ID_ANY);

	assert_non_null(plain);
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode, UNIT_ADVERSARY);
		const struct rte_eth_rxtx_callback *callback =
			rte_eth_add_tx_callback(r->port, 0, stop_port, NULL);
		struct rte_mbuf *m[2], *others = rte_pktmbuf_alloc(plain);
		void *sent;

		receive(r, m, 2);
		assert_int_equal(rte_eth_tx_burst(r->port, 0, m, 1), 0);
		assert_int_equal(rte_eth_remove_tx_callback(r->port, 0, callback), 0);
		rte_free((void *)(uintptr_t)callback);
		must(moat_tenant_queue_remove(r->tenant, r->port, 0));
		must(rte_eth_dev_start(r->port));
		/* The tenant's other queue puts moat's function in place of the driver's again. */
		assert_int_equal(rte_eth_tx_burst(r->port, 1, &m[1], 1), 1);
		assert_int_equal(rte_eth_tx_burst(r->port, 0, &others, 1), 1);
		assert_int_equal(rte_ring_dequeue(r->wire[0], &sent), 0);
		assert_ptr_equal(sent, others); /* the tenant would drop a foreign packet */
		rte_pktmbuf_free(others);
		rte_pktmbuf_free(m[0]);
		assert_int_equal(rig_sent(r, 1), 1);
		must(moat_tenant_queue_add(r->tenant, r->port, 0)); /* rig_close() removes it */
		settle(r);
		close_clean(r);
	}
	rte_mempool_free(plain);
}

/* ------------------------------------------------------------------------------------ not taken */

static void what_the_driver_does_not_take_is_its_callers_as_it_was(void **state)
{
	struct rte_mempool *clones = rte_pktmbuf_pool_create("clones", 63, 0, 0, 0, SOCKET_ID_ANY);

	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode, UNIT_ADVERSARY);
		struct rte_mbuf *m[8], *before[8], *original;
		void *p;

		receive(r, m, 7);
		original = m[6];
		m[6] = rte_pktmbuf_clone(original, clones);
		memcpy(before, m, sizeof(m));
		wire_fill(r);
		assert_int_equal(rte_ring_dequeue(r->wire[0], &p), 0);
		assert_int_equal(rte_ring_dequeue(r->wire[0], &p), 0);
		assert_int_equal(rte_eth_tx_burst(r->port, 0, m, 7), 2);
		assert_memory_equal(m, before, 7 * sizeof(m[0]));
		for (unsigned int i = 2; i < 7 && mode != MOAT_STATIC; i++)
			no_device_reaches(r, m[i]);
		/* Packets that were not sent are freed or tried again. */
		rte_pktmbuf_free_bulk(m + 2, 2);
		while (rte_ring_count(r->wire[0]) > 2)
			rte_ring_dequeue(r->wire[0], &p);
		assert_int_equal(rte_eth_tx_burst(r->port, 0, m + 4, 3), 3);
		assert_int_equal(rig_sent(r, 0), 5);
		rte_pktmbuf_free(original);
		settle(r);
		assert_int_equal(rte_mempool_avail_count(clones), 63);
		assert_int_equal(rte_mempool_avail_count(r->pool), BUFFERS);
		close_clean(r);
	}
	rte_mempool_free(clones);
}

/* Mode copy without buffers to copy into: packets that rte_eth_tx_burst() did not send must not be
 * freed. */
static void copy_sends_what_it_can_copy_and_leaves_the_rest(void **state)
{
	struct rig *r = open_mode(MOAT_COPY, UNIT_ADVERSARY);
	struct rte_mempool *own = rte_pktmbuf_pool_create("own", 63, 0, 0, 2048, SOCKET_ID_ANY);
	struct rte_mbuf *ring[BUFFERS], *m[16], *before[16];

	assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, ring, BUFFERS - 5), 0);
	assert_int_equal(rte_pktmbuf_alloc_bulk(own, m, 16), 0);
	for (unsigned int i = 0; i < 16; i++)
		rte_pktmbuf_append(m[i], 60);
	memcpy(before, m, sizeof(m));
	assert_int_equal(rte_eth_tx_burst(r->port, 0, m, 16), 5);
	assert_memory_equal(m, before, sizeof(m));
	assert_int_equal(rte_mempool_avail_count(own), 63 - 11);
	assert_int_equal(rte_eth_tx_burst(r->port, 0, m + 5, 11), 0);
	assert_int_equal(rig_sent(r, 0), 5);
	assert_int_equal(rte_eth_tx_burst(r->port, 0, m + 5, 11), 5);
	rte_pktmbuf_free_bulk(m + 10, 6);
	assert_int_equal(rig_sent(r, 0), 5);
	assert_int_equal(rte_mempool_avail_count(own), 63);
	assert_int_equal(rig_stats(r).overrun, 0);
	rte_pktmbuf_free_bulk(ring, BUFFERS - 5);
	rte_mempool_free(own);
	close_clean(r);
}

/* --------------------------------------------------------------------------------- whose memory */

/* Blue has the same IOVAs as red, so red's packet on blue's queue would send blue's memory. */
static void a_packet_of_another_tenant_never_sends_our_memory(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode, UNIT_ADVERSARY);
		struct moat_tenant_conf conf = rig_conf("blue", MOAT_STATIC);
		struct moat_tenant *blue;
		struct rte_mempool *pool;
		struct rte_mbuf *m[3], *own;

		conf.unit = r->unit;
		conf.memory = rig_memory(BUFFERS);
		must(moat_tenant_create(&conf, &blue));
		must(moat_tenant_pool(blue, "blue", BUFFERS, 2176, &pool));
		assert_int_equal(rte_pktmbuf_alloc_bulk(pool, m, 3), 0);
		for (unsigned int i = 0; i < 3; i++)
			rte_pktmbuf_append(m[i], 60);
		/* A chain of which only the second segment belongs to another tenant. */
		receive(r, &own, 1);
		assert_int_equal(rte_pktmbuf_chain(own, m[2]), 0);
		m[2] = own;
		assert_int_equal(rte_eth_tx_burst(r->port, 0, m, 3), 3);
		if (mode == MOAT_COPY) {
			assert_int_equal(rig_sent(r, 0), 3);
		} else {
			assert_int_equal(rte_ring_count(r->wire[0]), 0);
			assert_int_equal(rig_stats(r).foreign, 3);
		}
		assert_int_equal(rte_mempool_avail_count(pool), BUFFERS);
		must(moat_tenant_destroy(blue));
		settle(r);
		close_clean(r);
	}
}

static void a_foreign_packet_is_copied_where_the_tenant_says_so(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rte_mempool *other =
			rte_pktmbuf_pool_create("other", 63, 0, 0, 2048, SOCKET_ID_ANY);
		struct moat_tenant_conf conf = rig_conf("red", mode);
		struct rte_mbuf *m = rte_pktmbuf_alloc(other), *sent = NULL;
		uint64_t number = 77, read = 0;
		struct rig *r;

		conf.copy_foreign = true;
		r = rig_open(&conf, UNIT_ADVERSARY, BUFFERS);
		memcpy(rte_pktmbuf_append(m, 60), &number, sizeof(number));
		m->ol_flags |= RTE_MBUF_F_TX_VLAN;
		m->vlan_tci = 5;
		assert_int_equal(rte_eth_tx_burst(r->port, 0, &m, 1), 1);
		assert_int_equal(rte_mempool_avail_count(other), 63);
		assert_int_equal(rte_ring_dequeue(r->wire[0], (void **)&sent), 0);
		assert_int_equal(sent->pkt_len, 60);
		assert_int_equal(sent->vlan_tci, 5);
		assert_true(sent->ol_flags & RTE_MBUF_F_TX_VLAN);
		assert_int_equal(moat_softvtd_dma_read(r->hw, SID, rte_mbuf_data_iova(sent), &read,
					 sizeof(read)),
			0);
		assert_int_equal(read, number);
		if (mode != MOAT_STATIC && mode != MOAT_DEFERRED && mode != MOAT_COPY)
			assert_false(rig_writes(r, rte_mbuf_data_iova(sent)));
		assert_int_equal(rig_stats(r).foreign, 0);
		rte_pktmbuf_free(sent);
		settle(r);
		rte_mempool_free(other);
		close_clean(r);
	}
}

/* The buffer to copy into is allocated like any other. */
static void a_copy_without_a_buffer_to_copy_into_counts_as_starved(void **state)
{
	struct rte_mempool *other = rte_pktmbuf_pool_create("other", 63, 0, 0, 2048, SOCKET_ID_ANY);
	struct moat_tenant_conf conf = rig_conf("red", MOAT_STRICT);
	struct rte_mbuf *m = rte_pktmbuf_alloc(other), *all[BUFFERS];
	struct rig *r;

	conf.copy_foreign = true;
	r = rig_open(&conf, UNIT_ADVERSARY, BUFFERS);
	assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, all, BUFFERS), 0);
	rte_pktmbuf_append(m, 60);
	assert_int_equal(rig_stats(r).starved, 0);
	assert_int_equal(rte_eth_tx_burst(r->port, 0, &m, 1), 0);
	assert_int_equal(rig_stats(r).starved, 1);
	rte_pktmbuf_free(m);
	rte_pktmbuf_free_bulk(all, BUFFERS);
	settle(r);
	rte_mempool_free(other);
	close_clean(r);
}

/* Buffers that the application allocated are mapped: the device must lose them before they are
 * sent. */
static void a_burst_that_waits_for_one_ticket_counts_as_one_wait(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT, UNIT_ADVERSARY);
	struct rte_mbuf *m[BURST];

	rig_refill(r, m, BURST);
	assert_int_equal(rte_eth_tx_burst(r->port, 0, m, BURST), BURST);
	assert_int_equal(rig_stats(r).waits, 1);
	assert_int_equal(rig_sent(r, 0), BURST);
	settle(r);
	close_clean(r);
}

/* --------------------------------------------------------------------------------------- verify */

static void lies(struct rig *r, struct rte_mbuf *m[], unsigned int n)
{
	uint64_t failed = rig_stats(r).verify_failed;
	struct rte_mbuf *got[4];

	rig_arrive(r, 0, m, n);
	assert_int_equal(rte_eth_rx_burst(r->port, 0, got, 4), 0);
	assert_int_equal(rig_stats(r).verify_failed, failed + 1);
	settle(r);
}

static void verify_looks_at_all_that_a_packet_declares(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode, UNIT_ADVERSARY);
		struct rte_mbuf *m[4], *got[4];

		/* Longer than its buffer: the next buffer's bytes would be sent, because they are
		 * mapped, too. */
		rig_refill(r, m, 4);
		m[0]->data_len = 5000;
		m[0]->pkt_len = 5000;
		lies(r, m, 1);
		/* A segment that the device must not read. */
		m[1]->next = m[2];
		m[1]->nb_segs = 2;
		m[1]->pkt_len = 128;
		m[2]->data_off = UINT16_MAX - 64;
		lies(r, m + 1, 1);
		/* A packet whose length exceeds that of its segments. */
		m[3]->pkt_len = 1000;
		lies(r, m + 3, 1);
		/* And a valid one. */
		rig_refill(r, m, 2);
		m[0]->next = m[1];
		m[0]->nb_segs = 2;
		m[0]->pkt_len = 64 + 3000;
		m[1]->data_len = 3000;
		rig_arrive(r, 0, m, 1);
		while (rte_eth_rx_burst(r->port, 0, got, 4) == 0)
			;
		rte_pktmbuf_free(got[0]);
		rig_close(r);
	}
}

/* -------------------------------------------------------------------------- more than one lcore */

struct worker {
	struct rig *rig;
	void (*work)(struct worker *);
	struct rte_mbuf *m[BUFFERS];
	unsigned int n;
	bool registers, done;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	if (w->registers) {
		assert_int_equal(rte_thread_register(), 0);
		must(moat_tenant_lcore_enter(w->rig->tenant));
	}
	w->work(w);
	if (w->registers) {
		must(moat_tenant_lcore_leave(w->rig->tenant));
		rte_thread_unregister();
	}
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static pthread_t worker_start(struct worker *w)
{
	pthread_t thread;

	w->done = false;
	assert_int_equal(pthread_create(&thread, NULL, worker_main, w), 0);
	return thread;
}

/* The main lcore polls until the worker has finished. */
static void worker_join(struct worker *w, pthread_t thread)
{
	while (!__atomic_load_n(&w->done, __ATOMIC_ACQUIRE))
		moat_tenant_poll(w->rig->tenant);
	pthread_join(thread, NULL);
}

static void worker_run(struct worker *w)
{
	worker_join(w, worker_start(w));
}

static void free_all(struct worker *w)
{
	rte_pktmbuf_free_bulk(w->m, w->n);
}

/* An lcore frees all buffers and does not poll afterwards; another lcore gets them all. */
static void free_all_and_stay(struct worker *w)
{
	rte_pktmbuf_free_bulk(w->m, w->n);
	while (rig_stats(w->rig).quarantined != 0)
		moat_tenant_poll(w->rig->tenant);
	moat_lane_offline(moat_tenant_lane(w->rig->tenant));
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&w->done, __ATOMIC_ACQUIRE))
		;
	moat_lane_online(moat_tenant_lane(w->rig->tenant));
}

static void a_ready_buffer_can_be_had_on_every_lcore(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT, UNIT_ADVERSARY);
	struct worker w = { .rig = r, .work = free_all_and_stay, .n = BUFFERS, .registers = true };
	pthread_t thread;
	unsigned int got;

	assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, w.m, BUFFERS), 0);
	thread = worker_start(&w);
	while (!__atomic_load_n(&w.done, __ATOMIC_ACQUIRE))
		moat_tenant_poll(r->tenant);
	/* the other lcore has entered, and has all of them */
	for (got = 0; got < BUFFERS; got += BURST)
		if (rte_pktmbuf_alloc_bulk(r->pool, w.m + got, BURST) != 0)
			break;
	__atomic_store_n(&w.done, false, __ATOMIC_RELEASE);
	worker_join(&w, thread);
	assert_int_equal(got, BUFFERS);
	rte_pktmbuf_free_bulk(w.m, BUFFERS);
	settle(r);
	close_clean(r);
}

/* A thread that is not an lcore frees buffers and ends: none of them may be lost. */
static void a_thread_that_is_not_an_lcore_may_free(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_SLOW);
	struct worker w = { .rig = r, .work = free_all, .n = BUFFERS };
	unsigned int turns = 0;

	for (unsigned int i = 0; i < 3; i++) {
		while (rte_pktmbuf_alloc_bulk(r->pool, w.m, BUFFERS) != 0) {
			moat_tenant_poll(r->tenant);
			assert_in_range(turns++, 0, 100000000);
		}
		worker_run(&w);
		while (rig_stats(r).quarantined != 0) {
			moat_tenant_poll(r->tenant);
			assert_in_range(turns++, 0, 100000000);
		}
		assert_int_equal(rte_mempool_avail_count(r->pool), BUFFERS);
	}
	close_clean(r);
}

static void send_in_vain(struct worker *w)
{
	assert_int_equal(rte_eth_tx_burst(w->rig->port, 0, w->m, (uint16_t)w->n), 0);
}

/* If the driver does not take packets of such a thread, they wait for a ticket of these threads'
 * shared lane. No such thread calls again. */
static void what_a_thread_that_is_not_an_lcore_could_not_send_may_be_freed(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_ADVERSARY);
	struct worker w = { .rig = r, .work = send_in_vain, .n = BURST };
	void *stop;

	receive(r, w.m, BURST);
	while (rte_ring_enqueue(r->wire[0], r) == 0) /* there is no room for a packet */
		;
	worker_run(&w);
	while (rte_ring_dequeue(r->wire[0], &stop) == 0)
		assert_ptr_equal(stop, r);
	rte_pktmbuf_free_bulk(w.m, BURST);
	for (unsigned int i = 0; i < 100000 && rig_stats(r).quarantined != 0; i++)
		moat_tenant_poll(r->tenant);
	assert_int_equal(rig_stats(r).quarantined, 0);
	close_clean(r);
}

static void allocate_and_free(struct worker *w)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 4, worst = 0;
	struct rte_mbuf *m[8];

	while (rte_rdtsc() < end) {
		uint64_t begin = rte_rdtsc();

		if (rte_pktmbuf_alloc_bulk(w->rig->pool, m, 8) == 0)
			rte_pktmbuf_free_bulk(m, 8);
		if (w->registers)
			moat_tenant_poll(w->rig->tenant);
		worst = RTE_MAX(worst, rte_rdtsc() - begin);
	}
	/* Never as long as a thread's patience, however busy the machine is. */
	assert_in_range(worst, 0, rte_get_tsc_hz() * 9 / 10);
}

static void lcores_registered_later_and_other_threads_go_on_together(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_ADVERSARY);
	struct worker w[4];
	pthread_t threads[4];

	for (unsigned int i = 0; i < 4; i++) {
		w[i] = (struct worker){ .rig = r, .work = allocate_and_free, .registers = i % 2 };
		threads[i] = worker_start(&w[i]);
	}
	for (unsigned int i = 0; i < 4; i++)
		worker_join(&w[i], threads[i]);
	while (rig_stats(r).quarantined != 0)
		moat_tenant_poll(r->tenant);
	close_clean(r);
}

/* Pipelined: another lcore takes over the queue while the first lcore's packets are held. */
static void receive_until_one_comes(struct worker *w)
{
	struct rte_mbuf *m[BURST];
	uint16_t n;

	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(rte_eth_rx_burst(w->rig->port, 0, m, BURST), 0);
	__atomic_store_n(&w->n, 1, __ATOMIC_RELEASE); /* the first lcore may poll */
	while ((n = rte_eth_rx_burst(w->rig->port, 0, m, BURST)) == 0)
		moat_tenant_poll(w->rig->tenant);
	assert_int_equal(n, BURST);
	for (uint16_t i = 0; i < n; i++) {
		assert_false(rig_writes(w->rig, rte_mbuf_data_iova(m[i])));
		assert_false(rig_reads(w->rig, rte_mbuf_data_iova(m[i])));
	}
	rte_pktmbuf_free_bulk(m, n);
	while (rig_stats(w->rig).quarantined != 0)
		moat_tenant_poll(w->rig->tenant);
}

static void a_held_burst_waits_for_the_lane_that_unmapped_it(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_ADVERSARY ",latency=3000000");
	struct worker w = { .rig = r, .work = receive_until_one_comes, .registers = true };
	struct rte_mbuf *m[BURST];
	pthread_t thread;

	rig_refill(r, m, BURST);
	rig_arrive(r, 0, m, BURST);
	/* so that this lane's tickets have higher numbers than those that the other lane has
	 * done */
	assert_int_equal(rte_eth_rx_burst(r->port, 0, m, BURST), 0);
	thread = worker_start(&w);
	while (__atomic_load_n(&w.n, __ATOMIC_ACQUIRE) == 0)
		rte_pause(); /* must not poll the lane, which would find the ticket done */
	worker_join(&w, thread);
	close_clean(r);
}

/* Deferred: what another lcore received and has not flushed yet must not become free because this
 * lcore frees it. */
static void free_and_try(struct worker *w)
{
	struct rte_mbuf *m[BUFFERS];

	rte_pktmbuf_free_bulk(w->m, w->n);
	for (unsigned int i = 0; i < 1000; i++)
		moat_tenant_poll(w->rig->tenant);
	w->n = 0;
	while (w->n < BUFFERS && rte_pktmbuf_alloc_bulk(w->rig->pool, m + w->n, 1) == 0)
		w->n++;
	rte_pktmbuf_free_bulk(m, w->n);
}

static void a_buffer_waits_for_the_lane_that_unmapped_it(void **state)
{
	struct moat_tenant_conf conf = rig_conf("red", MOAT_DEFERRED);
	struct worker w = { .work = free_and_try, .n = BURST, .registers = true };
	pthread_t thread;
	struct rig *r;

	conf.deferred_pages = 1000000;
	conf.deferred_us = 100000000;
	r = rig_open(&conf, UNIT_ADVERSARY, BUFFERS);
	w.rig = r;
	receive(r, w.m, BURST);
	thread = worker_start(&w);
	while (!__atomic_load_n(&w.done, __ATOMIC_ACQUIRE)) /* this lane still gathers */
		moat_lanes_quiescent();
	worker_join(&w, thread);
	assert_int_equal(w.n, BUFFERS - BURST);
	settle(r);
	assert_int_equal(rig_unit_stats(r).early_reuse, 0);
	rig_close(r);
}

/* Neighbours that are freed together keep the ticket with which each was unmapped. */
static void neighbours_freed_together_wait_each_for_its_own_ticket(void **state)
{
	struct moat_tenant_conf conf = rig_conf("red", MOAT_DEFERRED);
	struct rte_mbuf *m[2 * BURST];
	struct rig *r;

	conf.deferred_pages = 1000000;
	conf.deferred_us = 100000000;
	r = rig_open(&conf, UNIT_ADVERSARY, BUFFERS);
	rig_refill(r, m, 2 * BURST);
	for (unsigned int i = 1; i < 2 * BURST; i++)
		assert_int_equal(m[i]->buf_iova, m[i - 1]->buf_iova + MOAT_PAGE_SIZE);
	for (unsigned int i = 0; i < 2; i++) {
		settle(r); /* the first burst's ticket is done, the second's still gathers */
		rig_arrive(r, 0, m + i * BURST, BURST);
		assert_int_equal(rte_eth_rx_burst(r->port, 0, m + i * BURST, BURST), BURST);
	}
	rte_pktmbuf_free_bulk(m, 2 * BURST);
	moat_tenant_poll(r->tenant);
	assert_int_equal(rig_stats(r).quarantined, BURST);
	settle(r);
	assert_int_equal(rig_stats(r).quarantined, 0);
	assert_int_equal(rig_unit_stats(r).early_reuse, 0);
	rig_close(r);
}

/* Send one buffer many times on two lcores at once, so that sends complete on both. */
static void send_clones(struct worker *w)
{
	uint16_t queue = w->registers ? 1 : 0;

	for (unsigned int i = 0; i < 3000; i++) {
		struct rte_mbuf *m = w->m[i % 4];

		rte_mbuf_refcnt_update(m, 1);
		while (rte_eth_tx_burst(w->rig->port, queue, &m, 1) != 1)
			moat_tenant_poll(w->rig->tenant);
		if (i % 3 != 0)
			rig_sent(w->rig, queue);
		moat_tenant_poll(w->rig->tenant);
	}
	rig_sent(w->rig, queue);
}

static void one_buffer_may_be_sent_on_two_lcores_at_once(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT, UNIT_ADVERSARY);
	struct worker w = { .rig = r, .work = send_clones, .registers = true }, here;
	pthread_t thread;

	receive(r, w.m, 4);
	here = w;
	here.registers = false;
	thread = worker_start(&w);
	send_clones(&here);
	worker_join(&w, thread);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(rte_mbuf_refcnt_read(w.m[i]), 1);
		no_device_reaches(r, w.m[i]);
	}
	rte_pktmbuf_free_bulk(w.m, 4);
	settle(r);
	close_clean(r);
}

/* ------------------------------------------------------------------------------------ held back */

/* Bursts of one packet on a unit that stalls. So many are dropped that their entries would wrap
 * around the ring. */
static void a_burst_of_which_nothing_is_kept_leaves_no_trace(void **state)
{
	struct moat_tenant_conf conf = rig_conf("red", MOAT_PIPELINED);
	struct rig *r = rig_open(&conf, UNIT_ADVERSARY ",latency=700000000", 16384);
	struct moat_tenant_stats stats = { 0 };
	uint64_t in = 0, got = 0;
	struct rte_mbuf *m;

	for (; in < 6000; in++) {
		rig_refill(r, &m, 1);
		rig_arrive(r, 0, &m, 1);
		if (rte_eth_rx_burst(r->port, 0, &m, 1) != 0) {
			rte_pktmbuf_free(m);
			got++;
		}
	}
	for (;;) {
		stats = rig_stats(r);
		assert_int_equal(got + stats.held + stats.overrun, in);
		if (stats.held == 0)
			break;
		if (rte_eth_rx_burst(r->port, 0, &m, 1) != 0) {
			rte_pktmbuf_free(m);
			got++;
		}
	}
	assert_in_range(stats.overrun, 1, 4095); /* else the test tested nothing */
	close_clean(r);
}

/* ------------------------------------------------------------------------------ faults injected */

/* The linker redirects these calls to this file: -Wl,--wrap in tests/meson.build. */
static unsigned int fail_map, fail_unmap, fail_submit, fail_memory,
	fail_drain; /* the n-th call fails; 0: none */
static bool failed;
static bool no_submit; /* every submission fails */

static bool fails(unsigned int *at)
{
	if (likely(*at == 0) || --*at != 0)
		return false;
	failed = true;
	return true;
}

int __real_moat_lane_map(struct moat_lane *, uint64_t, uint64_t, void *, uint64_t, enum moat_prot);
int __wrap_moat_lane_map(struct moat_lane *, uint64_t, uint64_t, void *, uint64_t, enum moat_prot);
int __wrap_moat_lane_map(struct moat_lane *lane, uint64_t iova, uint64_t hpa, void *va,
	uint64_t len, enum moat_prot prot)
{
	return fails(&fail_map) ? -ENOMEM : __real_moat_lane_map(lane, iova, hpa, va, len, prot);
}

int __real_moat_lane_unmap(struct moat_lane *, uint64_t, uint64_t);
int __wrap_moat_lane_unmap(struct moat_lane *, uint64_t, uint64_t);
int __wrap_moat_lane_unmap(struct moat_lane *lane, uint64_t iova, uint64_t len)
{
	return fails(&fail_unmap) ? -EIO : __real_moat_lane_unmap(lane, iova, len);
}

int __real_moat_lane_unmap_early(struct moat_lane *, uint64_t, uint64_t);
int __wrap_moat_lane_unmap_early(struct moat_lane *, uint64_t, uint64_t);
int __wrap_moat_lane_unmap_early(struct moat_lane *lane, uint64_t iova, uint64_t len)
{
	return fails(&fail_unmap) ? -EIO : __real_moat_lane_unmap_early(lane, iova, len);
}

int64_t __real_moat_qi_submit(struct moat_qi *, const struct moat_qi_desc[], unsigned int);
int64_t __wrap_moat_qi_submit(struct moat_qi *, const struct moat_qi_desc[], unsigned int);
int64_t __wrap_moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n)
{
	return no_submit || fails(&fail_submit) ? -EAGAIN : __real_moat_qi_submit(qi, desc, n);
}

void *__real_calloc(size_t, size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_calloc(size_t n, size_t size)
{
	return fails(&fail_memory) ? NULL : __real_calloc(n, size);
}

void *__real_aligned_alloc(size_t, size_t);
void *__wrap_aligned_alloc(size_t, size_t);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return fails(&fail_memory) ? NULL : __real_aligned_alloc(alignment, size);
}

int __real_moat_lane_drain(struct moat_lane *);
int __wrap_moat_lane_drain(struct moat_lane *);
int __wrap_moat_lane_drain(struct moat_lane *lane)
{
	return fails(&fail_drain) ? moat_error(-ETIMEDOUT, "unit soft0: no answer")
				  : __real_moat_lane_drain(lane);
}

/* --------------------------------------------------------------------- a unit that is not there */

static void packets_that_are_given_up_come_back_when_the_unit_does(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT, UNIT_SLOW);
	char text[1024] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");
	struct moat_tenant_stats stats;
	struct rte_mbuf *m[BURST];

	assert_non_null(f);
	rig_refill(r, m, BURST);
	rig_arrive(r, 0, m, BURST);
	fail_drain = 1;
	rte_log_set_global_level(RTE_LOG_WARNING);
	rte_openlog_stream(f);
	assert_int_equal(rte_eth_rx_burst(r->port, 0, m, BURST), 0);
	rte_openlog_stream(NULL);
	fclose(f);
	assert_string_equal(text,
		"moat: tenant 'red': 32 received packets are dropped (counted as 'lost'), because the unmap "
		"of their buffers is not done: unit soft0: no answer. Check whether the unit answers, and "
		"whether each lcore that has entered polls and has a processor of its own "
		"(doc/measuring.md)\n");
	stats = rig_stats(r);
	assert_int_equal(stats.lost, BURST);
	assert_int_equal(stats.quarantined, BURST);
	assert_int_equal(rte_mempool_avail_count(r->pool), BUFFERS);
	while (rig_stats(r).quarantined != 0)
		moat_tenant_poll(r->tenant);
	close_clean(r);
}

/* The buffer waits for a ticket of the lane that threads share which are not lcores. */
static void a_shared_ticket_that_is_not_done_is_said_to_be_no_lcores(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_ADVERSARY);
	struct worker w = { .rig = r, .work = send_in_vain, .n = 1 };
	uint64_t patience = moat_patience_us;
	void *stop;

	receive(r, w.m, 1);
	while (rte_ring_enqueue(r->wire[0], r) == 0) /* there is no room for a packet */
		;
	no_submit = true;
	worker_run(&w);
	moat_patience_us = 10000;
	assert_int_equal(rte_eth_tx_burst(r->port, 0, w.m, 1), 0);
	moat_patience_us = patience;
	no_submit = false;
	assert_string_equal(moat_error_text(),
		"tenant 'red': a buffer waits for a ticket of the threads that are not lcores or "
		"have not entered, which was not done within 1 s; check whether the unit answers, "
		"and whether each lcore that has entered calls moat_tenant_poll()");
	while (rte_ring_dequeue(r->wire[0], &stop) == 0)
		;
	rte_pktmbuf_free(w.m[0]);
	while (rig_stats(r).quarantined != 0)
		moat_tenant_poll(r->tenant);
	close_clean(r);
}

/* Do a little of everything, with buffers that are not neighbours. No failure may lose a buffer. */
static void round_of_everything(struct rig *r, struct rte_mempool *clones)
{
	struct rte_mbuf *m[BURST], *clone;
	unsigned int got = 0;
	uint16_t sent;

	if (rte_pktmbuf_alloc_bulk(r->pool, m, BURST) != 0)
		return;
	for (unsigned int i = 0; i < BURST; i++) {
		m[i]->pkt_len = 64;
		m[i]->data_len = 64;
	}
	for (unsigned int i = 0; i + 3 < BURST; i += 4)
		RTE_SWAP(m[i], m[i + 2]);
	rig_arrive(r, 0, m, BURST);
	for (unsigned int i = 0; i < 1000 && got < BURST; i++) {
		got += rte_eth_rx_burst(r->port, 0, m + got, (uint16_t)(BURST - got));
		moat_tenant_poll(r->tenant);
	}
	if (got >= 2) {
		clone = rte_pktmbuf_clone(m[1], clones);
		if (rte_eth_tx_burst(r->port, 1, &clone, 1) != 1)
			rte_pktmbuf_free(clone);
		rig_sent(r, 1);
	}
	sent = rte_eth_tx_burst(r->port, 0, m, (uint16_t)got);
	rte_pktmbuf_free_bulk(m + sent, got - sent);
	rig_sent(r, 0);
}

static void a_fault_at_any_call_leaves_every_buffer_where_it_was(void **state)
{
	const enum moat_mode modes[] = { MOAT_STRICT, MOAT_PIPELINED, MOAT_DEFERRED };
	const char *const names[] = { "map", "unmap", "submission" };
	unsigned int *const calls[] = { &fail_map, &fail_unmap, &fail_submit };
	struct rte_mempool *clones = rte_pktmbuf_pool_create("clones", 63, 0, 0, 0, SOCKET_ID_ANY);

	for (unsigned int i = 0; i < RTE_DIM(modes) * RTE_DIM(calls); i++) {
		struct moat_tenant_conf conf = rig_conf("red", modes[i / 3]);
		struct rig *r =
			rig_open((conf.deferred_pages = 16, &conf), UNIT_ADVERSARY, BUFFERS);
		unsigned int *at = calls[i % 3], faults = 0;

		for (unsigned int k = 1; k == 1 || failed; k++, faults++) {
			failed = false;
			*at = k;
			round_of_everything(r, clones);
			*at = 0;
			for (unsigned int n = 0; n < 5; n++)
				settle(r);
			assert_int_equal(rte_mempool_avail_count(r->pool), BUFFERS);
			assert_int_equal(rig_stats(r).quarantined, 0);
			assert_int_equal(rte_mempool_avail_count(clones), 63);
		}
		print_message("# %s: %u faults in %s\n", moat_mode_name(modes[i / 3]), faults - 1,
			names[i % 3]);
		assert_in_range(faults, 2, 1000);
		if (modes[i / 3] != MOAT_DEFERRED)
			close_clean(r);
		else
			rig_close(r);
	}
	rte_mempool_free(clones);
}

/* Each allocation in moat_tenant_pool() and moat_tenant_lcore_enter() fails in turn: the call must
 * return -ENOMEM, and a retry must succeed. */
static void a_fault_at_any_allocation_is_an_error_and_leaves_nothing(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct moat_tenant_conf conf = rig_conf("red", mode);
		struct moat_tenant *t;
		struct rte_mempool *pool;
		struct moat_unit *unit;
		unsigned int k = 1;

		must(moat_soft_unit_create("soft0", UNIT_ADVERSARY, &unit));
		conf.unit = unit;
		conf.memory = rig_memory(BUFFERS);
		must(moat_tenant_create(&conf, &t));
		for (failed = true; failed; k++) {
			int rc;

			failed = false;
			fail_memory = k;
			rc = moat_tenant_pool(t, "red", BUFFERS, 2176, &pool);
			fail_memory = 0;
			assert_int_equal(rc, failed ? -ENOMEM : 0);
		}
		assert_in_range(k, 4, 100);
		for (failed = true, k = 1; failed; k++) {
			int rc;

			failed = false;
			fail_memory = k;
			rc = moat_tenant_lcore_enter(t);
			fail_memory = 0;
			assert_int_equal(rc, failed ? -ENOMEM : 0);
		}
		must(moat_tenant_lcore_leave(t));
		must(moat_tenant_destroy(t));
		unit->ops->destroy(unit);
	}
}

static void receive_without_memory(struct worker *w)
{
	struct rte_mbuf *m[BURST];

	assert_int_equal(rte_thread_register(), 0);
	fail_memory = 1; /* the allocation of a lane for the thread */
	while (w->n != BURST)
		w->n += rte_eth_rx_burst(w->rig->port, 0, m + w->n, (uint16_t)(BURST - w->n));
	fail_memory = 0;
	for (unsigned int i = 0; i < BURST; i++)
		assert_false(rig_writes(w->rig, rte_mbuf_data_iova(m[i])));
	rte_pktmbuf_free_bulk(m, BURST);
	rte_thread_unregister();
}

/* An lcore polls without having entered: its packets are unmapped by the lane that such threads
 * share. */
static void an_lcore_without_memory_for_a_lane_receives_by_the_shared_one(void **state)
{
	const enum moat_mode modes[] = { MOAT_STRICT, MOAT_PIPELINED };

	for (unsigned int i = 0; i < RTE_DIM(modes); i++) {
		struct moat_tenant_conf conf = rig_conf("red", modes[i]);
		struct worker w = { .work = receive_without_memory };
		struct rte_mbuf *m[BURST];

		conf.verify = MOAT_VERIFY_OFF; /* only an lcore that has entered may translate */
		w.rig = rig_open(&conf, UNIT_ADVERSARY, BUFFERS);
		rig_refill(w.rig, m, BURST);
		rig_arrive(w.rig, 0, m, BURST);
		failed = false;
		worker_run(&w);
		assert_true(failed);
		settle(w.rig);
		close_clean(w.rig);
	}
}

/* Adding a queue fails and leaves nothing behind, so it can be tried again. */
static void a_fault_at_any_allocation_of_a_queue_is_an_error_and_leaves_nothing(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode, UNIT_ADVERSARY);

		must(moat_tenant_queue_remove(r->tenant, r->port, 1));
		failed = true;
		for (unsigned int k = 1; failed; k++) {
			int rc;

			failed = false;
			rte_errno = 0;
			fail_memory = k;
			rc = moat_tenant_queue_add(r->tenant, r->port, 1);
			fail_memory = 0;
			assert_int_equal(rc, failed ? -ENOMEM : 0);
		}
		rig_close(r);
	}
}

/* A get from the pool into an array that still has pointers of buffers in use, as a PMD's ring
 * has. */
static void a_get_that_fails_puts_back_only_what_it_took(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT, UNIT_ADVERSARY);
	struct rte_mbuf *used[BUFFERS], *m[BUFFERS];
	void *objs[64];

	assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, used, BUFFERS), 0);
	for (unsigned int i = 0; i < 128; i += 2) { /* no two are neighbours */
		rte_pktmbuf_free(used[i]);
		m[i / 2] = used[i + 1];
	}
	settle(r);
	for (unsigned int k = 1; k < 64; k += 9) {
		for (unsigned int i = 0; i < 64; i++)
			objs[i] = m[i]; /* in use */
		fail_map = k;
		assert_int_equal(rte_mempool_get_bulk(r->pool, objs, 64), -ENOBUFS);
		fail_map = 0;
		settle(r);
		assert_int_equal(rte_mempool_avail_count(r->pool), 64);
		for (unsigned int i = 0; i < 64; i++)
			assert_true(rig_writes(r, rte_mbuf_data_iova(m[i])));
	}
	for (unsigned int i = 0; i < 64; i++)
		rte_pktmbuf_free(m[i]);
	rte_pktmbuf_free_bulk(used + 128, BUFFERS - 128);
	settle(r);
	close_clean(r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_reference_leaves_no_chain_behind),
		cmocka_unit_test(a_chain_among_neighbours_is_taken_away_whole),
		cmocka_unit_test(a_reference_among_neighbours_is_not_sent_as_one_of_them),
		cmocka_unit_test(
			what_has_other_references_is_the_applications_when_the_send_is_over),
		cmocka_unit_test(what_a_pmd_or_a_copy_forgets_of_a_buffer_is_set_again),
		cmocka_unit_test(a_callback_may_send_on_other_queues),
		cmocka_unit_test(a_queue_that_was_removed_takes_no_burst_of_its_next_user),
		cmocka_unit_test(what_the_driver_does_not_take_is_its_callers_as_it_was),
		cmocka_unit_test(copy_sends_what_it_can_copy_and_leaves_the_rest),
		cmocka_unit_test(a_packet_of_another_tenant_never_sends_our_memory),
		cmocka_unit_test(a_foreign_packet_is_copied_where_the_tenant_says_so),
		cmocka_unit_test(a_copy_without_a_buffer_to_copy_into_counts_as_starved),
		cmocka_unit_test(a_burst_that_waits_for_one_ticket_counts_as_one_wait),
		cmocka_unit_test(verify_looks_at_all_that_a_packet_declares),
		cmocka_unit_test(a_ready_buffer_can_be_had_on_every_lcore),
		cmocka_unit_test(a_thread_that_is_not_an_lcore_may_free),
		cmocka_unit_test(what_a_thread_that_is_not_an_lcore_could_not_send_may_be_freed),
		cmocka_unit_test(lcores_registered_later_and_other_threads_go_on_together),
		cmocka_unit_test(a_held_burst_waits_for_the_lane_that_unmapped_it),
		cmocka_unit_test(a_buffer_waits_for_the_lane_that_unmapped_it),
		cmocka_unit_test(neighbours_freed_together_wait_each_for_its_own_ticket),
		cmocka_unit_test(one_buffer_may_be_sent_on_two_lcores_at_once),
		cmocka_unit_test(a_burst_of_which_nothing_is_kept_leaves_no_trace),
		cmocka_unit_test(packets_that_are_given_up_come_back_when_the_unit_does),
		cmocka_unit_test(a_shared_ticket_that_is_not_done_is_said_to_be_no_lcores),
		cmocka_unit_test(a_fault_at_any_call_leaves_every_buffer_where_it_was),
		cmocka_unit_test(a_fault_at_any_allocation_is_an_error_and_leaves_nothing),
		cmocka_unit_test(a_get_that_fails_puts_back_only_what_it_took),
		cmocka_unit_test(an_lcore_without_memory_for_a_lane_receives_by_the_shared_one),
		cmocka_unit_test(
			a_fault_at_any_allocation_of_a_queue_is_an_error_and_leaves_nothing),
	};

	if (rig_eal(argv[0]) < 0)
		return 1;
	return cmocka_run_group_tests_name("buffers", tests, rig_make_port, NULL);
}
