/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Millions of packets through each mode, with a device that misbehaves. The device remembers where
 * it was ever allowed to receive and to send, and tries those pages at all times: while the
 * application has the packet, while the buffer is quarantined, while another packet is in it. The
 * unit is an adversary that caches everything that it may and completes late. Two things must hold.
 * The unit's oracle must find no DMA that a promise excluded. And, independently of the oracle, the
 * application must find each packet as the device first delivered it, however long it keeps the
 * packet.
 *
 * MOAT_PACKETS=N: so many packets through strict, pipelined and copy together, in place of 10
 * million; the other modes get a share in addition.
 */

#include "rig.h"

#define BURST   32
#define MEMORY  4096 /* pages that the device remembers, a power of two */
#define KEPT    512  /* packets that the application keeps for a while, a power of two */
#define BUFFERS 4096
#define TRIES   8 /* tries on each burst, at pages that the device must not reach */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PACKETS 200000
#else
#define PACKETS 10000000
#endif

static uint64_t packets = PACKETS / 3; /* in each of strict, pipelined and copy */
static uint64_t seed;

struct world {
	struct rig *rig;
	uint64_t random;
	uint64_t number; /* of the next packet */
	uint64_t remembered[MEMORY];
	uint32_t nr_remembered;
	struct rte_mbuf *kept[KEPT];
	uint64_t kept_number[KEPT];
	uint32_t head, tail; /* of kept */
	uint64_t tried, got_through;
	bool trusting; /* modes in which the device may change a packet that was handed on */
};

static uint64_t draw(struct world *w)
{
	uint64_t z = (w->random += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	return z ^ (z >> 31);
}

/* The device fills a burst of buffers and returns them to the PMD. */
static void deliver(struct world *w, unsigned int n)
{
	struct rte_mbuf *m[BURST];

	if (rte_pktmbuf_alloc_bulk(w->rig->pool, m, n) != 0)
		return; /* all of the pool's buffers are quarantined; a NIC without buffers waits */
	for (unsigned int i = 0; i < n; i++) {
		uint64_t iova = rte_mbuf_data_iova(m[i]);

		m[i]->pkt_len = 64;
		m[i]->data_len = 64;
		assert_int_equal(moat_softvtd_dma_write(w->rig->hw, SID, iova, &w->number,
					 sizeof(w->number)),
			0);
		/* an older remembered page is forgotten */
		w->remembered[w->nr_remembered++ % MEMORY] = iova;
		w->number++;
	}
	rig_arrive(w->rig, 0, m, n);
}

/* The device tries pages that are no longer its own, or are its own again. Some accesses are
 * allowed: the buffer has been posted again, or has not been unmapped yet. */
static void misbehave(struct world *w)
{
	for (unsigned int i = 0; i < TRIES; i++) {
		uint64_t r = draw(w);
		uint64_t iova = w->remembered[r % RTE_MIN(w->nr_remembered, (uint32_t)MEMORY)];
		uint64_t junk = ~UINT64_C(0);

		w->tried++;
		if (r >> 63)
			w->got_through += moat_softvtd_dma_write(w->rig->hw, SID, iova, &junk,
						  sizeof(junk)) == 0;
		else
			w->got_through += moat_softvtd_dma_read(w->rig->hw, SID, iova, &junk,
						  sizeof(junk)) == 0;
	}
}

static void expect_number(const struct world *w, const struct rte_mbuf *m, uint64_t number)
{
	uint64_t found = *rte_pktmbuf_mtod(m, const uint64_t *);

	if (unlikely(found != number && !w->trusting))
		fail_msg("packet %" PRIu64 " has become %" PRIx64 " while the application had it",
			number, found);
}

/* The application sends or frees a packet that it has kept for a while. */
static void let_go(struct world *w)
{
	struct rte_mbuf *m = w->kept[w->tail % KEPT];

	expect_number(w, m, w->kept_number[w->tail++ % KEPT]);
	if (draw(w) >> 62 == 0) {
		rte_pktmbuf_free(m);
		return;
	}
	assert_int_equal(rte_eth_tx_burst(w->rig->port, 1, &m, 1), 1);
}

/* @return packets that the application received */
static uint16_t receive(struct world *w)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = rte_eth_rx_burst(w->rig->port, 0, m, BURST);

	for (uint16_t i = 0; i < n; i++) {
		if (w->head - w->tail == KEPT)
			let_go(w);
		w->kept_number[w->head % KEPT] = *rte_pktmbuf_mtod(m[i], uint64_t *);
		w->kept[w->head++ % KEPT] = m[i];
	}
	return n;
}

/* The NIC reads and sends what it was given; the PMD frees it some time later. */
static void transmit(struct world *w)
{
	struct rte_mbuf *m[BURST];
	unsigned int n = rte_ring_dequeue_burst(w->rig->wire[1], (void **)m, BURST, NULL);

	for (unsigned int i = 0; i < n; i++) {
		uint64_t iova = rte_mbuf_data_iova(m[i]), read;

		assert_int_equal(moat_softvtd_dma_read(w->rig->hw, SID, iova, &read, sizeof(read)),
			0);
		expect_number(w, m[i], read);
	}
	rte_pktmbuf_free_bulk(m, n);
}

static void run(struct world *w)
{
	uint64_t received = 0;

	while (received < packets) {
		uint64_t r = draw(w);

		deliver(w, 1 + r % BURST);
		if (r >> 60 != 0) /* a NIC may be faster than the application */
			misbehave(w);
		received += receive(w);
		misbehave(w);
		if (r >> 40 & 1)
			moat_tenant_poll(w->rig->tenant);
		transmit(w);
	}
	for (unsigned int i = 0; i < 1000; i++) /* the rest */
		receive(w);
	while (w->tail != w->head)
		let_go(w);
	while (rte_ring_count(w->rig->wire[1]) != 0)
		transmit(w);
}

static void in_mode(enum moat_mode mode, const char *unit_args)
{
	struct moat_tenant_conf conf = rig_conf("red", mode);
	struct world w = { .random = seed + mode, .trusting = mode == MOAT_DEFERRED };
	struct moat_softvtd_stats unit;
	struct moat_tenant_stats stats;

	conf.deferred_us = 1000;
	w.rig = rig_open(&conf, unit_args, BUFFERS);
	run(&w);
	unit = rig_unit_stats(w.rig);
	stats = rig_stats(w.rig);
	print_message("# %s: %" PRIu64 " packets, %" PRIu64
		      " DMAs of a device that misbehaves, %" PRIu64 " got through, %" PRIu64
		      " stale\n",
		moat_mode_name(mode), w.number, w.tried, w.got_through, unit.stale_dma);
	assert_in_range(w.number, packets, packets + 2 * BUFFERS);
	assert_int_equal(stats.verify_failed + stats.map_failed + stats.overrun + stats.lost, 0);
	assert_int_equal(unit.early_reuse, 0);
	assert_int_equal(unit.witness_errors, 0);
	if (mode == MOAT_DEFERRED) {
		assert_in_range(unit.stale_dma, 1, UINT64_MAX);
		assert_int_equal(unit.stale_dma, unit.stale[MOAT_SOFTVTD_STALE_RELEASED]);
		must(moat_lane_drain(moat_tenant_lane(w.rig->tenant)));
		assert_in_range(unit.stale_age_max, 1, rig_stats(w.rig).lane.exposed_max);
	} else {
		assert_int_equal(unit.stale_dma, 0);
	}
	rig_close(w.rig);
}

static void strict_leaves_no_stale_dma(void **state)
{
	in_mode(MOAT_STRICT, UNIT_ADVERSARY);
}

static void pipelined_leaves_no_stale_dma(void **state)
{
	in_mode(MOAT_PIPELINED, UNIT_ADVERSARY);
}

static void copy_leaves_no_stale_dma(void **state)
{
	in_mode(MOAT_COPY, UNIT_ADVERSARY);
}

static void deferred_leaves_stale_dma_only_inside_the_window_it_reports(void **state)
{
	uint64_t all = packets;

	packets /= 4;
	in_mode(MOAT_DEFERRED, UNIT_ADVERSARY);
	packets = all;
}

/* A unit with 4 KiB leaves, few masks and unsnooped tables; and one that caches absent entries. */
static void other_units_leave_none_either(void **state)
{
	uint64_t all = packets;

	packets /= 20;
	in_mode(MOAT_STRICT, UNIT_NARROW);
	in_mode(MOAT_PIPELINED, UNIT_NARROW);
	in_mode(MOAT_STRICT, UNIT_CACHING);
	in_mode(MOAT_PIPELINED, UNIT_CACHING);
	packets = all;
}

/* A device reaches all of its tenant's memory, and not one other page: not the heap's bookkeeping,
 * not the memory around it, not another tenant's memory at the same address. */
static void static_lets_no_dma_out_of_the_tenants_memory(void **state)
{
	struct moat_tenant_conf conf = rig_conf("red", MOAT_STATIC), other;
	struct rig *r = rig_open(&conf, UNIT_ADVERSARY, BUFFERS);
	uint64_t heap = RTE_ALIGN_CEIL(rig_memory(BUFFERS) / 8, MOAT_2M_SIZE);
	uint64_t memory = rig_memory(BUFFERS), inside = 0, outside = 0;
	struct world w = { .rig = r, .random = seed };
	struct moat_tenant *blue;

	other = rig_conf("blue", MOAT_STATIC);
	other.unit = r->unit;
	other.memory = 2 * memory; /* blue has pages where red has none */
	must(moat_tenant_create(&other, &blue));
	must(moat_tenant_attach(blue, SID + 8));
	for (uint64_t i = 0; i < packets / 2; i++) {
		uint64_t iova = BASE - memory + draw(&w) % (4 * memory);
		bool ours = iova >= BASE + heap && iova < BASE + memory;

		assert_int_equal(draw(&w) & 1 ? rig_writes(r, iova) : rig_reads(r, iova), ours);
		inside += ours;
		outside += !ours;
	}
	print_message("# static: %" PRIu64 " DMAs into the memory, %" PRIu64 " out of it refused\n",
		inside, outside);
	assert_int_equal(rig_unit_stats(r).stale_dma, 0);
	must(moat_tenant_destroy(blue));
	rig_close(r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strict_leaves_no_stale_dma),
		cmocka_unit_test(pipelined_leaves_no_stale_dma),
		cmocka_unit_test(copy_leaves_no_stale_dma),
		cmocka_unit_test(deferred_leaves_stale_dma_only_inside_the_window_it_reports),
		cmocka_unit_test(other_units_leave_none_either),
		cmocka_unit_test(static_lets_no_dma_out_of_the_tenants_memory),
	};

	if (getenv("MOAT_PACKETS") != NULL)
		packets = RTE_MAX(strtoull(getenv("MOAT_PACKETS"), NULL, 0) / 3, UINT64_C(1000));
	seed = getenv("MOAT_SEED") != NULL ? strtoull(getenv("MOAT_SEED"), NULL, 0) : rte_rdtsc();
	print_message("# MOAT_SEED=%" PRIu64 " MOAT_PACKETS=%" PRIu64 "\n", seed, 3 * packets);
	if (rig_eal(argv[0]) < 0)
		return 1;
	return cmocka_run_group_tests_name("safety", tests, rig_make_port, NULL);
}
