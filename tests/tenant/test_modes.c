/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * What each mode guarantees beyond strict (test_tenant.c): order, limit and tail of pipelined;
 * count, time and window of deferred; separation in copy. In every mode, whatever is started and
 * stopped, the last buffer comes back. See rig.h. No test depends on speed: where the unit is slow,
 * a loop runs until the slowness has shown.
 */

#include "moat_tenant_measure.h"
#include "rig.h"

#define BURST    32
#define PATIENCE 20000000 /* turns of a loop that waits for something that must happen */

/* So slow that hardly any ticket is done at the end of the call that got it. */
#define UNIT_SLOW   UNIT_ADVERSARY ",latency=200000"
/* So slow that it stalls for a tenth of a second. */
#define UNIT_ABSENT UNIT_ADVERSARY ",latency=300000000"

static struct rig *open_mode(enum moat_mode mode, const char *unit_args, unsigned int buffers)
{
	struct moat_tenant_conf conf = rig_conf("red", mode);

	return rig_open(&conf, unit_args, buffers);
}

static void no_stale(struct rig *r)
{
	struct moat_softvtd_stats stats = rig_unit_stats(r);

	assert_int_equal(stats.stale_dma, 0);
	assert_int_equal(stats.early_reuse, 0);
	assert_int_equal(stats.witness_errors, 0);
}

/* `n` packets, numbered from `first` on, arrive. */
static void arrive_numbered(struct rig *r, uint16_t queue, uint64_t first, unsigned int n)
{
	struct rte_mbuf *m[BURST];

	rig_refill(r, m, n);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t number = first + i;

		assert_int_equal(moat_softvtd_dma_write(r->hw, SID, rte_mbuf_data_iova(m[i]),
					 &number, sizeof(number)),
			0);
	}
	rig_arrive(r, queue, m, n);
}

static uint64_t number_of(const struct rte_mbuf *m)
{
	return *rte_pktmbuf_mtod(m, const uint64_t *);
}

/* ----------------------------------------------------------------------------------- pipelined */

static void pipelined_holds_a_packet_until_no_device_reaches_it(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_SLOW, 512);
	struct rte_mbuf *m[BURST];
	unsigned int held = 0;

	for (unsigned int turn = 0; turn < 200 || held == 0; turn++) {
		uint16_t n, got = 0;

		arrive_numbered(r, 0, 0, BURST);
		do {
			n = rte_eth_rx_burst(r->port, 0, m, BURST);
			held += n == 0;
			for (uint16_t i = 0; i < n; i++) {
				assert_false(rig_writes(r, rte_mbuf_data_iova(m[i])));
				assert_false(rig_reads(r, rte_mbuf_data_iova(m[i])));
			}
			rte_pktmbuf_free_bulk(m, n);
			got += n;
			moat_tenant_poll(r->tenant);
			assert_in_range(held, 0, PATIENCE);
		} while (got < BURST);
	}
	/* The lcore never waited but went on polling. */
	assert_int_equal(rig_stats(r).waits, 0);
	no_stale(r);
	rig_close(r);
}

/* A burst is one run, so it needs one descriptor, one wait and one doorbell; fewer if the unit is
 * slow, or if the test lost its processor. (tests/domain/together counts them exactly.) */
static void a_burst_costs_the_queue(const char *unit_args, unsigned int bursts, uint64_t least)
{
	struct rig *r = open_mode(MOAT_PIPELINED, unit_args, 1024);
	struct moat_softvtd_stats before = rig_unit_stats(r), after;
	struct rte_mbuf *m[BURST];
	uint64_t got = 0;

	for (unsigned int i = 0; i < bursts || got != (uint64_t)bursts * BURST; i++) {
		uint16_t n;

		if (i < bursts)
			arrive_numbered(r, 0, 0, BURST);
		n = rte_eth_rx_burst(r->port, 0, m, BURST);
		got += n;
		rte_pktmbuf_free_bulk(m, n);
		moat_tenant_poll(r->tenant);
		assert_in_range(i, 0, PATIENCE);
	}
	after = rig_unit_stats(r);
	assert_in_range(after.descriptors[MOAT_QI_IOTLB] - before.descriptors[MOAT_QI_IOTLB], least,
		bursts);
	assert_in_range(after.waits - before.waits, least, bursts);
	assert_in_range(after.doorbells - before.doorbells, least, bursts);
	no_stale(r);
	rig_close(r);
}

static void pipelined_takes_one_descriptor_wait_and_doorbell_a_burst(void **state)
{
	a_burst_costs_the_queue("oracle=1,prefetch=0,jitter=0,linger=0", 1000, 1000 / 2);
}

static void and_fewer_on_a_slow_unit(void **state)
{
	a_burst_costs_the_queue(UNIT_ADVERSARY, 1000, 1000 / MOAT_LANE_TOGETHER);
}

static void pipelined_keeps_the_order_of_each_queue(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_ADVERSARY, 2048);
	uint64_t sent[2] = { 0 }, seen[2] = { 0 };
	uint64_t random = 1, turns = 0;

	while (seen[0] < 20000 || seen[1] < 20000) {
		for (uint16_t q = 0; q < 2; q++) {
			struct rte_mbuf *m[BURST];
			/* bursts of all sizes, sometimes empty, requested in other sizes */
			unsigned int n = (random = random * 6364136223846793005 + 1) >> 60;
			uint16_t max = 1 + (random >> 40) % BURST;

			if (sent[q] - seen[q] < 512) {
				arrive_numbered(r, q, sent[q], n);
				sent[q] += n;
			}
			n = rte_eth_rx_burst(r->port, q, m, max);
			assert_in_range(n, 0, max);
			for (unsigned int i = 0; i < n; i++)
				assert_int_equal(number_of(m[i]), seen[q]++);
			rte_pktmbuf_free_bulk(m, n);
		}
		moat_tenant_poll(r->tenant);
		assert_in_range(++turns, 0, PATIENCE);
	}
	while (seen[0] != sent[0] || seen[1] != sent[1]) /* the rest, also in order */
		for (uint16_t q = 0; q < 2; q++) {
			struct rte_mbuf *m[BURST];
			uint16_t n = rte_eth_rx_burst(r->port, q, m, BURST);

			for (unsigned int i = 0; i < n; i++)
				assert_int_equal(number_of(m[i]), seen[q]++);
			rte_pktmbuf_free_bulk(m, n);
		}
	no_stale(r);
	rig_close(r);
}

static void pipelined_strands_no_packet_of_a_queue_gone_quiet(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_SLOW, 512);

	for (uint64_t i = 0; i < 100; i++) {
		struct rte_mbuf *m[BURST];
		unsigned int turns = 0;
		uint16_t n;

		arrive_numbered(r, 0, i, 1);
		/* Only poll the queue: no more packets arrive, and moat_tenant_poll() is not
		 * called. */
		while ((n = rte_eth_rx_burst(r->port, 0, m, BURST)) == 0 && ++turns < PATIENCE)
			;
		assert_int_equal(n, 1);
		assert_int_equal(number_of(m[0]), i);
		assert_int_equal(rig_stats(r).held, 0);
		rte_pktmbuf_free(m[0]);
	}
	rig_close(r);
}

static void pipelined_reports_the_longest_delay(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_SLOW, 512);
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);
	struct rte_mbuf *m[BURST];
	uint64_t begin, delay;

	watch->on = true;
	moat_cost_start(watch);
	begin = rte_rdtsc();
	arrive_numbered(r, 0, 0, 1);
	while (rte_eth_rx_burst(r->port, 0, m, BURST) == 0)
		;
	delay = rig_stats(r).delay_max;
	/* The unit takes 200,000 cycles; no delay can be longer than the test so far. */
	assert_in_range(delay, 200000, rte_rdtsc() - begin);
	watch->on = false;
	rte_pktmbuf_free(m[0]);
	rig_close(r);
}

static void pipelined_reports_no_delay_that_began_before_the_stopwatch(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_SLOW, 512);
	struct rte_mbuf *m[BURST];

	arrive_numbered(r, 0, 0, 1);
	assert_int_equal(rte_eth_rx_burst(r->port, 0, m, BURST), 0); /* it is held back */
	moat_tenant_stopwatch(true);
	while (rte_eth_rx_burst(r->port, 0, m, BURST) == 0)
		;
	moat_tenant_stopwatch(false);
	assert_int_equal(rig_stats(r).delay_max, 0);
	rte_pktmbuf_free(m[0]);
	rig_close(r);
}

static void pipelined_drops_what_it_cannot_hold_and_leaks_none(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_ABSENT, 8192);
	struct rte_mbuf *m[64];
	uint64_t got = 0, in = 0;
	struct moat_tenant_stats stats;

	/* Bursts of 64: when a queue holds all that it can, there were as many bursts as a lane has
	 * batches. */
	do {
		uint16_t n;

		rig_refill(r, m, 64);
		rig_arrive(r, 0, m, 64);
		in += 64;
		n = rte_eth_rx_burst(r->port, 0, m, 64);
		rte_pktmbuf_free_bulk(m, n);
		got += n;
		stats = rig_stats(r);
		assert_int_equal(got + stats.held + stats.overrun, in);
		assert_in_range(stats.held, 0, 4096);
	} while (stats.overrun < 640);
	assert_int_equal(stats.waits, 0); /* no call waited for room */
	while (rig_stats(r).held != 0) {
		uint16_t n = rte_eth_rx_burst(r->port, 0, m, 64);

		rte_pktmbuf_free_bulk(m, n);
		got += n;
	}
	assert_int_equal(got + stats.overrun, in);
	no_stale(r);
	rig_close(r);
}

static void pipelined_gives_out_what_it_holds_before_a_queue_goes(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED, UNIT_SLOW, 512);
	struct rte_mbuf *m[BURST];
	uint16_t n, got = 0;

	arrive_numbered(r, 0, 0, BURST);
	got = rte_eth_rx_burst(r->port, 0, m, BURST);
	rte_pktmbuf_free_bulk(m, got);
	for (; (n = moat_tenant_held(r->tenant, r->port, 0, m, 5)) != 0; got += n) {
		assert_in_range(n, 1, 5);
		for (uint16_t i = 0; i < n; i++) {
			assert_int_equal(number_of(m[i]), got + i);
			assert_false(rig_writes(r, rte_mbuf_data_iova(m[i])));
		}
		rte_pktmbuf_free_bulk(m, n);
	}
	assert_int_equal(got, BURST);
	assert_int_equal(moat_tenant_held(r->tenant, r->port, 1, m, 5), 0);
	no_stale(r);
	rig_close(r);
}

/* ------------------------------------------------------------------------------------ deferred */

static struct rig *open_deferred(const char *unit_args, uint32_t pages, uint32_t us)
{
	struct moat_tenant_conf conf = rig_conf("red", MOAT_DEFERRED);

	conf.deferred_pages = pages;
	conf.deferred_us = us;
	return rig_open(&conf, unit_args, 1024);
}

static void receive_burst(struct rig *r, struct rte_mbuf *m[], uint16_t n)
{
	arrive_numbered(r, 0, 0, n);
	assert_int_equal(rte_eth_rx_burst(r->port, 0, m, n), n);
}

static void deferred_hands_on_at_once_and_flushes_by_count(void **state)
{
	struct rig *r = open_deferred(UNIT_ADVERSARY, 2 * BURST, 1000000000);
	struct rte_mbuf *m[2 * BURST];

	receive_burst(r, m, BURST);
	for (unsigned int i = 0; i < 1000; i++)
		moat_tenant_poll(r->tenant);
	assert_int_equal(rig_stats(r).lane.flushes, 0);
	receive_burst(r, m + BURST, BURST); /* now as many pages as configured are collected */
	assert_int_equal(rig_stats(r).lane.flushes, 1);
	rte_pktmbuf_free_bulk(m, 2 * BURST);
	rig_close(r);
}

static void deferred_flushes_by_time(void **state)
{
	struct rig *r = open_deferred(UNIT_ADVERSARY, 1000000, 50);
	struct rte_mbuf *m[BURST];
	unsigned int turns = 0;

	receive_burst(r, m, BURST);
	while (rig_stats(r).lane.flushes == 0 && ++turns < PATIENCE)
		moat_tenant_poll(r->tenant);
	assert_int_equal(rig_stats(r).lane.flushes, 1);
	rte_pktmbuf_free_bulk(m, BURST);
	rig_close(r);
}

/* All that the device does to a packet that was handed on must be within the reported exposure. The
 * oracle measures each access. */
static void deferred_reports_a_window_and_every_stale_dma_lies_in_it(void **state)
{
	struct rig *r = open_deferred(UNIT_ADVERSARY, 256, 100);
	uint64_t exposed = 0, all = 0;
	struct moat_tenant_stats stats;
	struct moat_softvtd_stats unit;

	for (unsigned int turn = 0; turn < 3000; turn++) {
		struct rte_mbuf *m[BURST];

		receive_burst(r, m, BURST);
		all += BURST;
		for (unsigned int i = 0; i < BURST; i++)
			rig_writes(r, rte_mbuf_data_iova(m[i]));
		rte_pktmbuf_free_bulk(m, BURST);
		moat_tenant_poll(r->tenant);
	}
	must(moat_lane_drain(moat_tenant_lane(r->tenant)));
	stats = rig_stats(r);
	unit = rig_unit_stats(r);
	assert_in_range(unit.stale_dma, 1, UINT64_MAX);
	assert_int_equal(unit.stale_dma, unit.stale[MOAT_SOFTVTD_STALE_RELEASED]);
	assert_in_range(unit.stale_age_max, 1, stats.lane.exposed_max);
	assert_int_equal(unit.early_reuse, 0);
	assert_int_equal(unit.witness_errors, 0);
	/* Maximum and distribution include everything that was handed on early. */
	assert_in_range(stats.lane.exposed_pages, all, 2 * all);
	assert_in_range(stats.lane.exposed_page_cycles, stats.lane.exposed_max,
		stats.lane.exposed_max * stats.lane.exposed_pages);
	for (unsigned int i = 0; i < MOAT_LANE_WINDOWS; i++) {
		exposed += stats.lane.exposed_windows[i];
		if (stats.lane.exposed_max >> i == 0)
			assert_int_equal(stats.lane.exposed_windows[i], 0);
	}
	assert_int_equal(exposed, stats.lane.exposed_pages);
	rig_close(r);
}

/* As in every other mode, a buffer that the PMD has freed is not handed out until its ticket is
 * done. */
static void deferred_quarantines_what_is_freed(void **state)
{
	struct rig *r = open_deferred(UNIT_ADVERSARY, 1000000, 1000000000);
	struct rte_mbuf *m[BURST], *all[1024];

	rig_refill(r, m, BURST);
	rte_pktmbuf_free_bulk(m, BURST);
	assert_int_equal(rig_stats(r).quarantined, BURST);
	for (unsigned int i = 0; i < 1000; i++)
		moat_tenant_poll(r->tenant);
	assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, all, 1024), -ENOBUFS);
	assert_int_equal(rig_stats(r).starved, 1);
	no_stale(r);
	rig_close(r);
}

/* ---------------------------------------------------------------------------------------- copy */

static bool in_memory(struct rig *r, uint64_t iova)
{
	return iova >= BASE && iova < BASE + rig_memory(r->buffers);
}

static void copy_shows_the_application_no_page_that_a_device_reaches(void **state)
{
	struct rig *r = open_mode(MOAT_COPY, UNIT_ADVERSARY, 512);
	uint64_t number = 0;

	for (unsigned int turn = 0; turn < 100; turn++) {
		struct rte_mbuf *m[BURST], *sent[BURST];
		uint64_t iova[BURST];

		rig_refill(r, m, BURST);
		for (unsigned int i = 0; i < BURST; i++) {
			iova[i] = rte_mbuf_data_iova(m[i]);
			moat_softvtd_dma_write(r->hw, SID, iova[i], &(uint64_t){ number + i }, 8);
		}
		rig_arrive(r, 0, m, BURST);
		assert_int_equal(rte_eth_rx_burst(r->port, 0, m, BURST), BURST);
		for (unsigned int i = 0; i < BURST; i++) {
			assert_false(in_memory(r, rte_mbuf_data_iova(m[i])));
			assert_false(rig_writes(r, rte_mbuf_data_iova(m[i])));
			/* The device may change its shadow buffer without an effect on the
			 * application's copy. */
			moat_softvtd_dma_write(r->hw, SID, iova[i], &(uint64_t){ ~0 }, 8);
			assert_int_equal(number_of(m[i]), number + i);
		}
		assert_int_equal(rte_eth_tx_burst(r->port, 0, m, BURST), BURST);
		assert_int_equal(rte_ring_dequeue_bulk(r->wire[0], (void **)sent, BURST, NULL),
			BURST);
		for (unsigned int i = 0; i < BURST; i++) {
			uint64_t read = 0;

			assert_true(in_memory(r, rte_mbuf_data_iova(sent[i])));
			moat_softvtd_dma_read(r->hw, SID, rte_mbuf_data_iova(sent[i]), &read, 8);
			assert_int_equal(read, number + i);
		}
		rte_pktmbuf_free_bulk(sent, BURST);
		number += BURST;
	}
	assert_int_equal(rig_stats(r).copied, 2 * 64 * number);
	no_stale(r);
	rig_close(r);
}

static void copy_keeps_segments_and_what_is_said_about_them(void **state)
{
	struct rig *r = open_mode(MOAT_COPY, UNIT_ADVERSARY, 512);
	struct rte_mbuf *m[3], *got[2];
	char text[3 * 2000];

	rig_refill(r, m, 3);
	for (unsigned int i = 0; i < 3; i++) {
		m[i]->data_len = 2000;
		memset(rte_pktmbuf_mtod(m[i], char *), 'a' + (int)i, 2000);
		memset(text + 2000 * i, 'a' + (int)i, 2000);
	}
	m[0]->next = m[1];
	m[1]->next = m[2];
	m[0]->nb_segs = 3;
	m[0]->pkt_len = 6000;
	m[0]->vlan_tci = 77;
	m[0]->ol_flags |= RTE_MBUF_F_RX_VLAN;
	m[0]->hash.rss = 0x1234;
	rig_arrive(r, 0, m, 1);
	assert_int_equal(rte_eth_rx_burst(r->port, 0, got, 2), 1);
	assert_int_equal(got[0]->pkt_len, 6000);
	assert_int_equal(got[0]->vlan_tci, 77);
	assert_int_equal(got[0]->hash.rss, 0x1234);
	assert_true(got[0]->ol_flags & RTE_MBUF_F_RX_VLAN);
	assert_int_equal(rte_mbuf_check(got[0], 1, (const char **)&m[0]), 0);
	for (unsigned int off = 0; off < 6000; off += 500) {
		char part[500];

		assert_memory_equal(rte_pktmbuf_read(got[0], off, 500, part), text + off, 500);
	}
	rte_pktmbuf_free(got[0]);
	rig_close(r);
}

static void copy_drops_what_finds_no_buffer_and_leaks_none(void **state)
{
	struct rig *r = open_mode(MOAT_COPY, UNIT_ADVERSARY, 64);
	struct rte_mbuf *kept[64], *m[BURST];
	uint16_t n = 0;

	/* The application keeps all buffers into which could be copied. */
	for (unsigned int i = 0; i < 4; i++) {
		rig_refill(r, m, BURST / 2);
		rig_arrive(r, 0, m, BURST / 2);
		n += rte_eth_rx_burst(r->port, 0, kept + n, BURST / 2);
	}
	assert_int_equal(n, 64);
	rig_refill(r, m, BURST);
	rig_arrive(r, 0, m, BURST);
	assert_int_equal(rte_eth_rx_burst(r->port, 0, m, BURST), 0);
	assert_int_equal(rig_stats(r).overrun, BURST);
	rte_pktmbuf_free_bulk(kept, 64);
	rig_close(r);
}

/* ------------------------------------------------------------------------------------ all modes */

static uint64_t mapping_cycles(struct rig *r, enum moat_stage stage)
{
	return rig_stats(r).cost.cycles[stage];
}

static void each_burst_is_in_the_distribution(struct rig *r, enum moat_stage stage, bool some)
{
	struct moat_tenant_stats stats = rig_stats(r);
	static struct moat_hist hist;
	uint64_t cycles = stage == MOAT_STAGES_MAPPING ? moat_cost_mapping(&stats.cost)
						       : stats.cost.cycles[stage];

	moat_tenant_bursts(r->tenant, stage, &hist);
	/* The last burst has not ended; before the first burst, buffers were mapped for it. */
	assert_in_range(hist.n, some ? 0 : stats.cost.bursts - 1, stats.cost.bursts);
	assert_in_range(hist.sum, some ? 0 : 1, cycles);
	if (hist.n != 0)
		assert_in_range((uint64_t)moat_hist_quantile(&hist, 0.5), hist.min, hist.max);
}

/* The cost of a mode is charged to that mode's stages, and to no others. */
static void each_modes_cost_is_in_its_stages(void **state)
{
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);

	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode, UNIT_ADVERSARY, 512);
		bool protects = mode != MOAT_STATIC && mode != MOAT_COPY;

		watch->on = true;
		moat_cost_start(watch);
		for (unsigned int i = 0; i < 200; i++) {
			struct rte_mbuf *m[BURST];
			uint16_t n;

			rig_refill(r, m, BURST);
			rig_arrive(r, 0, m, BURST);
			while ((n = rte_eth_rx_burst(r->port, 0, m, BURST)) == 0)
				;
			assert_int_equal(rte_eth_tx_burst(r->port, 0, m, n), n);
			rig_sent(r, 0);
			moat_tenant_poll(r->tenant);
		}
		watch->on = false;
		assert_int_equal(mapping_cycles(r, MOAT_STAGE_MAP) != 0, protects);
		assert_int_equal(mapping_cycles(r, MOAT_STAGE_UNMAP) != 0, protects);
		assert_int_equal(mapping_cycles(r, MOAT_STAGE_SUBMIT) != 0, protects);
		assert_int_equal(mapping_cycles(r, MOAT_STAGE_WAIT) != 0, mode == MOAT_STRICT);
		assert_int_equal(mapping_cycles(r, MOAT_STAGE_COPY) != 0, mode == MOAT_COPY);
		assert_int_equal(rig_stats(r).lane.flushes != 0, protects);
		each_burst_is_in_the_distribution(r, MOAT_STAGES_MAPPING, mode == MOAT_STATIC);
		for (enum moat_stage s = 0; s < MOAT_STAGES_MAPPING; s++)
			each_burst_is_in_the_distribution(r, s, true);
		if (mode != MOAT_DEFERRED)
			no_stale(r);
		rig_close(r);
	}
}

/* The packets of a burst are freed, sent, or kept until the end. */
static unsigned int dispose(struct rig *r, struct rte_mbuf *m[], uint16_t n, uint64_t random)
{
	uint16_t sent;

	if (random % 3 == 0) {
		rte_pktmbuf_free_bulk(m, n);
		return n;
	}
	sent = rte_eth_tx_burst(r->port, 0, m, n);
	assert_int_equal(sent, n);
	assert_int_equal(rig_sent(r, 0), n);
	return n;
}

/* Idle, stop, restart, change the number of descriptors: every packet that arrived is handed on
 * exactly once, and at the end every buffer is back (rig_close()). */
static void stop_restart_and_reconfigure_lose_no_packet_and_leak_no_buffer(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode, UNIT_SLOW, 1024);
		uint64_t in = 0, out = 0, random = mode;

		for (unsigned int round = 0; round < 40; round++) {
			struct rte_mbuf *m[BURST];
			uint16_t n;

			for (unsigned int i = 0; i < 10; i++) {
				unsigned int k = (random = random * 6364136223846793005 + 1) >> 59;

				arrive_numbered(r, 0, in, k);
				in += k;
				n = rte_eth_rx_burst(r->port, 0, m, BURST);
				out += dispose(r, m, n, random >> 33);
				moat_tenant_poll(r->tenant);
			}
			/* sometimes idle for a while */
			for (unsigned int i = 0; round % 4 == 0 && i < 100; i++) {
				n = rte_eth_rx_burst(r->port, 0, m, BURST);
				out += dispose(r, m, n, 0);
				moat_tenant_poll(r->tenant);
			}
			/* Stop: first the wire, then the packets that are held back. */
			while ((n = rte_eth_rx_burst(r->port, 0, m, BURST)) != 0)
				out += dispose(r, m, n, 1);
			while ((n = moat_tenant_held(r->tenant, r->port, 0, m, BURST)) != 0)
				out += dispose(r, m, n, 1);
			assert_int_equal(in, out);
			assert_int_equal(rte_eth_dev_stop(r->port), 0);
			must(moat_tenant_lcore_leave(r->tenant));
			assert_int_equal(rte_mempool_avail_count(r->pool), 1024);
			if (round % 2 == 0) { /* reconfigure */
				must(moat_tenant_queue_remove(r->tenant, r->port, 0));
				must(moat_tenant_queue_remove(r->tenant, r->port, 1));
				rig_start_port(r);
			} else {
				assert_int_equal(rte_eth_dev_start(r->port), 0);
			}
			must(moat_tenant_lcore_enter(r->tenant));
		}
		if (mode != MOAT_DEFERRED)
			no_stale(r);
		rig_close(r);
	}
}

/* However long traffic has mixed the buffers, a burst consists of neighbours again: few runs, few
 * descriptors. */
static void buffers_that_come_back_in_any_order_go_out_in_the_pools(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT, UNIT_ADVERSARY, 2048);
	struct rte_mbuf *kept[64], *m[BURST];
	uint64_t random = 3, packets = 0;
	struct moat_lane_stats before = { 0 }, after;

	memset(kept, 0, sizeof(kept));
	for (unsigned int turn = 0; turn < 4000; turn++) {
		if (turn == 3000) {
			before = rig_stats(r).lane;
			packets = 0;
		}
		rig_refill(r, m, BURST);
		rig_arrive(r, 0, m, BURST);
		assert_int_equal(rte_eth_rx_burst(r->port, 0, m, BURST), BURST);
		packets += BURST;
		/* Each packet is kept for a different time, as with TCP. */
		for (unsigned int i = 0; i < BURST; i++) {
			unsigned int at = (random = random * 6364136223846793005 + 1) >> 58;

			rte_pktmbuf_free(kept[at]);
			kept[at] = m[i];
		}
		moat_tenant_poll(r->tenant);
	}
	after = rig_stats(r).lane;
	/* in the order in which they came back, each would need a descriptor */
	assert_in_range((after.descriptors - before.descriptors) * 4, packets / 8, packets);
	for (unsigned int i = 0; i < RTE_DIM(kept); i++)
		rte_pktmbuf_free(kept[i]);
	no_stale(r);
	rig_close(r);
}

/* Many tenants are created and destroyed on one unit, in all modes: the unit runs out of
 * nothing. */
static void tenants_come_and_go(void **state)
{
	for (unsigned int i = 0; i < 300; i++) {
		struct rig *r = open_mode(i % MOAT_MODES, UNIT_NARROW, 64);
		struct rte_mbuf *m[BURST];

		rig_refill(r, m, BURST);
		rte_pktmbuf_free_bulk(m, BURST);
		rig_close(r);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pipelined_holds_a_packet_until_no_device_reaches_it),
		cmocka_unit_test(pipelined_takes_one_descriptor_wait_and_doorbell_a_burst),
		cmocka_unit_test(and_fewer_on_a_slow_unit),
		cmocka_unit_test(pipelined_keeps_the_order_of_each_queue),
		cmocka_unit_test(pipelined_strands_no_packet_of_a_queue_gone_quiet),
		cmocka_unit_test(pipelined_reports_the_longest_delay),
		cmocka_unit_test(pipelined_reports_no_delay_that_began_before_the_stopwatch),
		cmocka_unit_test(pipelined_drops_what_it_cannot_hold_and_leaks_none),
		cmocka_unit_test(pipelined_gives_out_what_it_holds_before_a_queue_goes),
		cmocka_unit_test(deferred_hands_on_at_once_and_flushes_by_count),
		cmocka_unit_test(deferred_flushes_by_time),
		cmocka_unit_test(deferred_reports_a_window_and_every_stale_dma_lies_in_it),
		cmocka_unit_test(deferred_quarantines_what_is_freed),
		cmocka_unit_test(copy_shows_the_application_no_page_that_a_device_reaches),
		cmocka_unit_test(copy_keeps_segments_and_what_is_said_about_them),
		cmocka_unit_test(copy_drops_what_finds_no_buffer_and_leaks_none),
		cmocka_unit_test(each_modes_cost_is_in_its_stages),
		cmocka_unit_test(stop_restart_and_reconfigure_lose_no_packet_and_leak_no_buffer),
		cmocka_unit_test(buffers_that_come_back_in_any_order_go_out_in_the_pools),
		cmocka_unit_test(tenants_come_and_go),
	};

	if (rig_eal(argv[0]) < 0)
		return 1;
	return cmocka_run_group_tests_name("modes", tests, rig_make_port, NULL);
}
