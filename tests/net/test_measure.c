/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* What a program measures and sizes: the stopwatch by stages, refused DMA by tenant, and pools that
 * do not run out of buffers. The NIC always has packets (net_null). */

#include <rte_bus_vdev.h>

#include "harness.h"
#include "moat_soft_unit.h"
#include "moat_tenant_measure.h"
#include "moat_tenant_size.h"

#define SID      MOAT_SID(0, 0x10, 0)
#define STRANGER MOAT_SID(0, 0x11, 0)
#define RING     256
#define SLOW     20000u /* TSC cycles */
/* later than any pool runs out of buffers, on any machine and with a sanitizer */
#define LATE     500000000u

struct fixture {
	uint16_t port;
	struct moat_unit *unit;
	struct moat_tenant *red;
	struct rte_mempool *pool;
};

static void must_be(int rc)
{
	if (rc != 0)
		fail_msg("%d: %s", rc, moat_error_text());
}

static void open_sized(struct fixture *f, const char *unit_args, enum moat_mode mode,
	unsigned int buffers, uint64_t memory, uint16_t ring)
{
	struct moat_tenant_conf conf = { .name = "red", .mode = mode, .memory = memory };
	struct rte_eth_conf eth = { 0 };

	must_be(moat_soft_unit_create("soft0", unit_args, &conf.unit));
	f->unit = conf.unit;
	assert_int_equal(rte_vdev_init("net_null0", NULL), 0);
	f->port = nic_create("net_moat0", "port=net_null0,unit=soft0,sid=00:10.0");
	must_be(moat_tenant_create(&conf, &f->red));
	must_be(moat_tenant_attach(f->red, SID));
	must_be(moat_tenant_pool(f->red, "red", buffers, 2048, &f->pool));
	assert_int_equal(rte_eth_dev_configure(f->port, 1, 1, &eth), 0);
	assert_int_equal(
		rte_eth_rx_queue_setup(f->port, 0, ring, moat_tenant_socket(f->red), NULL, f->pool),
		0);
	assert_int_equal(rte_eth_tx_queue_setup(f->port, 0, ring, moat_tenant_socket(f->red), NULL),
		0);
	must_be(moat_tenant_queue_add(f->red, f->port, 0));
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	assert_int_equal(rte_eth_promiscuous_enable(f->port), 0);
	must_be(moat_tenant_lcore_enter(f->red));
}

static void open_with(struct fixture *f, const char *unit_args, enum moat_mode mode,
	unsigned int buffers)
{
	open_sized(f, unit_args, mode, buffers,
		((uint64_t)buffers * MOAT_PAGE_SIZE + MOAT_2M_SIZE) * 5 / 4 + MOAT_2M_SIZE, RING);
}

static void close_all(struct fixture *f)
{
	struct rte_mbuf *m[BURST];
	uint16_t n;

	while ((n = moat_tenant_held(f->red, f->port, 0, m, BURST)) != 0)
		rte_pktmbuf_free_bulk(m, n);
	assert_int_equal(rte_eth_dev_stop(f->port), 0);
	must_be(moat_tenant_lcore_leave(f->red));
	must_be(moat_tenant_queue_remove(f->red, f->port, 0));
	nic_destroy("net_moat0");
	rte_vdev_uninit("net_null0");
	must_be(moat_tenant_destroy(f->red));
	f->unit->ops->destroy(f->unit);
}

/* Send what was received. @return packets */
static uint64_t forward(struct fixture *f, unsigned int turns)
{
	struct rte_mbuf *m[BURST];
	uint64_t packets = 0;

	for (unsigned int i = 0; i < turns; i++) {
		uint16_t n = rte_eth_rx_burst(f->port, 0, m, BURST);
		uint16_t sent = rte_eth_tx_burst(f->port, 0, m, n);

		rte_pktmbuf_free_bulk(&m[sent], n - sent);
		packets += n;
		moat_tenant_charge(f->red, n);
		moat_tenant_poll(f->red);
		moat_tenant_charge(f->red, n);
	}
	return packets;
}

static struct moat_tenant_stats stats_of(const struct fixture *f)
{
	struct moat_tenant_stats stats;

	moat_tenant_stats(f->red, &stats);
	return stats;
}

static uint64_t no_mbuf(uint16_t port)
{
	struct rte_eth_stats stats;

	assert_int_equal(rte_eth_stats_get(port, &stats), 0);
	return stats.rx_nombuf;
}

/* ------------------------------------------------------------------------------------ measuring */

static void a_stopwatch_that_is_off_charges_nothing(void **state)
{
	struct moat_tenant_price price;
	struct fixture f;

	open_with(&f, "adversary=0", MOAT_STRICT, 1024);
	assert_false(moat_tenant_stopwatch_on());
	assert_true(forward(&f, 100) > 0);
	moat_tenant_price(f.red, NULL, &price);
	assert_true(price.packets > 0);
	for (unsigned int i = 0; i < MOAT_STAGES; i++)
		assert_true(price.stage[i] == 0);
	assert_true(price.mapping == 0 && price.overhead == 0);
	close_all(&f);
}

/* Check the price against the tenant's counters between two readings. */
static void price_is_of(const struct moat_tenant_price *price, const struct moat_cost *before,
	const struct moat_cost *after)
{
	struct moat_cost d = { .packets = after->packets - before->packets,
		.marks = after->marks - before->marks };
	double mapping = 0, overhead;

	assert_int_equal(price->bursts, after->bursts - before->bursts);
	for (unsigned int i = 0; i < MOAT_STAGES; i++) {
		d.cycles[i] = after->cycles[i] - before->cycles[i];
		assert_true(price->stage[i] == (double)d.cycles[i] / (double)d.packets);
	}
	for (unsigned int i = 0; i < MOAT_STAGES_MAPPING; i++)
		mapping += price->stage[i];
	assert_true(price->mapping > 0.999 * mapping && price->mapping < 1.001 * mapping);
	/* The cost of a mark is measured again each time; there are 40 times as many marks
	 * before. */
	overhead = moat_cost_overhead(&d, moat_cost_per_mark());
	assert_true(price->overhead < 8 * overhead && price->overhead > overhead / 8);
}

static void what_a_packet_costs_is_told_by_stage_and_since_a_snapshot(void **state)
{
	struct moat_cost since = { 0 }, before;
	struct moat_tenant_price price;
	struct fixture f;
	uint64_t packets;

	open_with(&f, "adversary=0", MOAT_STRICT, 1024);
	moat_tenant_stopwatch(true);
	assert_true(moat_tenant_stopwatch_on());
	packets = forward(&f, 400);
	moat_tenant_price(f.red, &since, &price);
	assert_int_equal(price.packets, packets);
	assert_true(price.stage[MOAT_STAGE_MAP] > 0 && price.stage[MOAT_STAGE_UNMAP] > 0);
	assert_true(price.stage[MOAT_STAGE_APPLICATION] > 0);
	assert_true(price.stage[MOAT_STAGE_DEVICE] > 0);
	assert_true(price.stage[MOAT_STAGE_COPY] == 0);
	assert_true(price.mapping >= price.stage[MOAT_STAGE_MAP] + price.stage[MOAT_STAGE_UNMAP]);
	assert_true(price.overhead > 0 && price.overhead < 1);
	moat_tenant_price(f.red, &since, &price); /* nothing has happened since */
	assert_int_equal(price.packets, 0);
	assert_true(price.mapping == 0);
	for (unsigned int i = 0; i < MOAT_STAGES; i++)
		assert_true(price.stage[i] == 0);
	before = since;
	packets = forward(&f, 10);
	moat_tenant_price(f.red, &since, &price);
	assert_int_equal(price.packets, packets);
	price_is_of(&price, &before, &since);
	moat_tenant_stopwatch(false);
	assert_false(moat_tenant_stopwatch_on());
	close_all(&f);
}

static void a_turn_without_a_packet_is_idle_device_time_included(void **state)
{
	struct moat_tenant_stats before, after;
	struct fixture f;

	open_with(&f, "adversary=0", MOAT_STATIC, 1024);
	moat_tenant_stopwatch(true);
	before = stats_of(&f);
	RTE_PER_LCORE(moat_cost_device_cycles) += 1000;
	moat_tenant_charge(f.red, 0);
	after = stats_of(&f);
	assert_true(after.cost.cycles[MOAT_STAGE_IDLE] > before.cost.cycles[MOAT_STAGE_IDLE]);
	assert_int_equal(after.cost.cycles[MOAT_STAGE_APPLICATION],
		before.cost.cycles[MOAT_STAGE_APPLICATION]);
	assert_int_equal(after.cost.cycles[MOAT_STAGE_DEVICE],
		before.cost.cycles[MOAT_STAGE_DEVICE]);
	moat_tenant_stopwatch(false);
	close_all(&f);
}

static void what_was_before_the_stopwatch_is_charged_to_no_stage(void **state)
{
	struct moat_tenant_stats before, after;
	struct fixture f;

	open_with(&f, "adversary=0", MOAT_STATIC, 1024);
	before = stats_of(&f);
	RTE_PER_LCORE(moat_cost_device_cycles) += 1000;
	moat_tenant_stopwatch(true);
	moat_tenant_charge(f.red, 1);
	after = stats_of(&f);
	assert_int_equal(after.cost.marks, before.cost.marks + 1);
	assert_int_equal(after.cost.cycles[MOAT_STAGE_DEVICE],
		before.cost.cycles[MOAT_STAGE_DEVICE]);
	/* nor the work of an lcore that has left */
	must_be(moat_tenant_lcore_leave(f.red));
	moat_tenant_charge(f.red, 1);
	assert_int_equal(stats_of(&f).cost.marks, after.cost.marks);
	must_be(moat_tenant_lcore_enter(f.red));
	moat_tenant_stopwatch(false);
	close_all(&f);
}

static void a_refused_dma_is_told_with_the_tenant_whose_requester_made_it(void **state)
{
	struct moat_tenant_fault faults[8];
	struct moat_softvtd *hw;
	struct fixture f;
	uint8_t byte = 0;

	open_with(&f, "adversary=0", MOAT_STRICT, 1024);
	hw = moat_soft_unit_find("soft0");
	assert_int_equal(moat_tenant_faults(f.unit, faults, RTE_DIM(faults)), 0);
	assert_int_not_equal(moat_softvtd_dma_read(hw, SID, UINT64_C(0x7000000000), &byte, 1), 0);
	assert_int_not_equal(moat_softvtd_dma_write(hw, STRANGER, 0x5000, &byte, 1), 0);
	assert_int_equal(moat_tenant_faults(f.unit, faults, RTE_DIM(faults)), 2);
	assert_ptr_equal(faults[0].tenant, f.red);
	assert_int_equal(faults[0].fault.iova, UINT64_C(0x7000000000));
	assert_false(faults[0].fault.write);
	assert_null(faults[1].tenant);
	assert_int_equal(faults[1].fault.sid, STRANGER);
	assert_int_equal(stats_of(&f).faults, 1);
	/* Each fault is reported once. */
	assert_int_equal(moat_tenant_faults(f.unit, faults, RTE_DIM(faults)), 0);
	assert_int_equal(stats_of(&f).faults, 1);
	close_all(&f);
}

static void a_source_id_is_a_tenants_behind_its_own_unit(void **state)
{
	struct moat_tenant_conf conf = { .name = "blue",
		.mode = MOAT_STRICT,
		.memory = 4 * MOAT_2M_SIZE };
	struct moat_tenant_fault faults[2];
	struct moat_tenant *blue;
	struct fixture f;
	uint8_t byte = 0;

	open_with(&f, "adversary=0", MOAT_STRICT, 1024);
	must_be(moat_soft_unit_create("soft1", "adversary=0", &conf.unit));
	must_be(moat_tenant_create(&conf, &blue));
	must_be(moat_tenant_attach(blue, SID)); /* the same source-id as red has behind soft0 */
	assert_int_not_equal(
		moat_softvtd_dma_read(moat_soft_unit_find("soft0"), SID, 0x5000, &byte, 1), 0);
	assert_int_not_equal(
		moat_softvtd_dma_read(moat_soft_unit_find("soft1"), SID, 0x5000, &byte, 1), 0);
	assert_int_equal(moat_tenant_faults(f.unit, faults, RTE_DIM(faults)), 1);
	assert_ptr_equal(faults[0].tenant, f.red);
	assert_int_equal(moat_tenant_faults(conf.unit, faults, RTE_DIM(faults)), 1);
	assert_ptr_equal(faults[0].tenant, blue);
	must_be(moat_tenant_destroy(blue));
	conf.unit->ops->destroy(conf.unit);
	close_all(&f);
}

static void as_many_faults_are_told_as_there_is_room_for(void **state)
{
	struct moat_tenant_fault faults[50];
	struct moat_softvtd *hw;
	struct fixture f;
	uint8_t byte = 0;

	open_with(&f, "adversary=0,nfr=64", MOAT_STRICT, 1024);
	hw = moat_soft_unit_find("soft0");
	for (uint64_t i = 0; i < 60; i++)
		assert_int_not_equal(moat_softvtd_dma_read(hw, SID,
					     UINT64_C(0x7000000000) + i * MOAT_PAGE_SIZE, &byte, 1),
			0);
	assert_int_equal(moat_tenant_faults(f.unit, faults, 50), 50);
	for (uint64_t i = 0; i < 50; i++)
		assert_int_equal(faults[i].fault.iova, UINT64_C(0x7000000000) + i * MOAT_PAGE_SIZE);
	assert_int_equal(moat_tenant_faults(f.unit, faults, 50), 10);
	assert_int_equal(faults[9].fault.iova, UINT64_C(0x7000000000) + 59 * MOAT_PAGE_SIZE);
	assert_int_equal(stats_of(&f).faults, 60);
	close_all(&f);
}

/* --------------------------------------------------------------------------------------- sizing */

static struct moat_tenant_size size_of(enum moat_mode mode)
{
	return (struct moat_tenant_size){ .mode = mode,
		.rx_descriptors = RING,
		.tx_descriptors = RING,
		.latency = SLOW };
}

static void a_pool_of_that_size_does_not_run_dry(void **state)
{
	for (unsigned int mode = 0; mode < MOAT_MODES; mode++) {
		struct moat_tenant_size size = size_of((enum moat_mode)mode);
		char args[64];
		struct fixture f;

		snprintf(args, sizeof(args), "adversary=0,latency=%u", SLOW);
		open_with(&f, args, (enum moat_mode)mode, moat_tenant_pool_size(&size));
		assert_true(forward(&f, 20000) > 10000);
		if (stats_of(&f).starved != 0 || no_mbuf(f.port) != 0)
			fail_msg("mode %s: %ju times no buffer was ready, rx_nombuf %ju",
				moat_mode_name((enum moat_mode)mode),
				(uintmax_t)stats_of(&f).starved, (uintmax_t)no_mbuf(f.port));
		close_all(&f);
	}
}

static unsigned int occurrences(const char *text, const char *what)
{
	unsigned int n = 0;

	for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
		n++;
	return n;
}

static void a_pool_too_small_is_counted_and_said_once(void **state)
{
	const char *text;
	struct fixture f;

	open_with(&f, "adversary=0,latency=20000", MOAT_PIPELINED, RING + 2 * BURST);
	log_begin();
	forward(&f, 2000);
	text = log_end();
	assert_true(stats_of(&f).starved > 0);
	assert_true(no_mbuf(f.port) > 0);
	assert_int_equal(
		occurrences(text, "moat: tenant 'red': pool 'red' of 320 buffers has none ready: "),
		1);
	assert_int_equal(
		occurrences(text,
			" of them wait for their tickets, the others are in rings or in use; "
			"moat_tenant_pool_size() says how many a pool needs (moat-fwd: leave out "
			"'buffers')\n"),
		1);
	close_all(&f);
}

/* Set the latency of later submissions. Only this thread runs the unit. */
static void unit_answers_after(uint32_t cycles)
{
	const struct moat_softvtd_conf *conf = moat_softvtd_conf(moat_soft_unit_find("soft0"));

	((struct moat_softvtd_conf *)(uintptr_t)conf)->latency = cycles;
}

/* Fill both rings, which then hold most of the pool. */
static void fill_rings(struct fixture *f, unsigned int ring)
{
	struct rte_mbuf *m[BURST];
	unsigned int sent = 0;
	uint16_t n;

	for (unsigned int i = 0; i < 100000 && sent < ring; i++) {
		n = rte_eth_rx_burst(f->port, 0, m, BURST);
		sent += rte_eth_tx_burst(f->port, 0, m, n);
		moat_tenant_poll(f->red);
		while ((n = moat_tenant_held(f->red, f->port, 0, m, BURST)) != 0)
			sent += rte_eth_tx_burst(f->port, 0, m, n);
	}
	assert_true(sent >= ring);
	assert_true(stats_of(f).starved == 0);
}

static void a_pool_of_the_computed_size_is_not_called_too_small(void **state)
{
	struct moat_tenant_size size = size_of(MOAT_PIPELINED);
	struct rte_mbuf *m[BURST];
	const char *text;
	struct fixture f;
	uint16_t n;

	size.latency = 0;
	size.rx_descriptors = size.tx_descriptors = 1024;
	open_sized(&f, "adversary=0", MOAT_PIPELINED, moat_tenant_pool_size(&size),
		moat_tenant_memory_size(&size, 0), 1024);
	fill_rings(&f, 1024);
	unit_answers_after(LATE); /* slower than the size was computed for */
	log_begin();
	for (unsigned int i = 0; i < 1000000 && stats_of(&f).starved == 0; i++) {
		n = rte_eth_rx_burst(f.port, 0, m, BURST);
		rte_pktmbuf_free_bulk(m, n);
		moat_tenant_poll(f.red);
	}
	text = log_end();
	assert_int_equal(occurrences(text, "has none ready: "), 1);
	if (occurrences(text,
		    " of them wait for their tickets: the unit is slow, or lcores share a "
		    "processor, where more buffers do not help (doc/sizing.md)\n") != 1)
		fail_msg("%s", text);
	unit_answers_after(0);
	close_all(&f);
}

/* Forward without moat_tenant_poll(). @return what was logged */
static const char *receive_until_starved(struct fixture *f)
{
	struct rte_mbuf *m[BURST];

	log_begin();
	for (unsigned int i = 0; i < 100000 && stats_of(f).starved == 0; i++)
		rte_pktmbuf_free_bulk(m, rte_eth_rx_burst(f->port, 0, m, BURST));
	return log_end();
}

static void an_lcore_that_does_not_call_poll_is_named(void **state)
{
	struct moat_tenant_size size = size_of(MOAT_PIPELINED);
	char line[128];
	const char *text;
	struct fixture f;

	open_with(&f, "adversary=0", MOAT_PIPELINED, moat_tenant_pool_size(&size));
	unit_answers_after(LATE);
	text = receive_until_starved(&f);
	snprintf(line, sizeof(line),
		"of them wait for their tickets: lcore %u does not call moat_tenant_poll(), which it "
		"must in each turn\n",
		rte_lcore_id());
	assert_int_equal(occurrences(text, line), 1);
	unit_answers_after(0);
	moat_tenant_poll(f.red);
	close_all(&f);
}

/* Another lcore, which enters and then does not poll, as if it served other tenants. */
struct other {
	struct moat_tenant *red;
	pthread_barrier_t barrier;
	pthread_t thread;
	unsigned int lcore;
	bool polls;   /* once, at the beginning */
	bool offline; /* goes offline, as an lcore that does not poll should */
};

static void *enter_and_stop(void *arg)
{
	struct other *o = arg;

	assert_int_equal(rte_thread_register(), 0);
	o->lcore = rte_lcore_id();
	must_be(moat_tenant_lcore_enter(o->red));
	if (o->polls)
		moat_tenant_poll(o->red);
	if (o->offline)
		must_be(moat_tenant_offline(o->red));
	pthread_barrier_wait(&o->barrier);
	pthread_barrier_wait(&o->barrier);
	must_be(moat_tenant_lcore_leave(o->red));
	rte_thread_unregister();
	return NULL;
}

/* @return what is logged while this lcore forwards for a second beside the other one */
static const char *forward_beside(struct fixture *f, struct other *o)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz();
	const char *text;

	o->red = f->red;
	pthread_barrier_init(&o->barrier, NULL, 2);
	assert_int_equal(pthread_create(&o->thread, NULL, enter_and_stop, o), 0);
	pthread_barrier_wait(&o->barrier);
	log_begin();
	while (rte_rdtsc() < end)
		forward(f, 1); /* some packets are lost, a burst each second */
	text = log_end();
	pthread_barrier_wait(&o->barrier);
	pthread_join(o->thread, NULL);
	pthread_barrier_destroy(&o->barrier);
	return text;
}

/* This holds for any size of the pool, and whether or not that lcore has polled before. */
static void the_lcore_that_does_not_poll_is_named_where_another_runs_dry(void **state)
{
	struct moat_tenant_size size = size_of(MOAT_PIPELINED);
	unsigned int buffers[2] = { RING + 2 * BURST, 3 * moat_tenant_pool_size(&size) };

	for (unsigned int i = 0; i < 4; i++) {
		struct other o = { .polls = i % 2 == 0 };
		char line[128];
		const char *text;
		struct fixture f;

		open_with(&f, "adversary=0", MOAT_PIPELINED, buffers[i / 2]);
		text = forward_beside(&f, &o);
		snprintf(line, sizeof(line),
			"of them wait for their tickets: lcore %u does not call moat_tenant_poll(), "
			"which it must in each turn\n",
			o.lcore);
		if (occurrences(text, "has none ready") != 1 || occurrences(text, line) != 1)
			fail_msg("%s", text);
		close_all(&f);
	}
}

static void an_lcore_that_is_offline_is_not_named(void **state)
{
	struct moat_tenant_size size = size_of(MOAT_PIPELINED);
	struct other o = { .offline = true };
	const char *text;
	struct fixture f;

	open_with(&f, "adversary=0", MOAT_PIPELINED, moat_tenant_pool_size(&size));
	unit_answers_after(LATE);
	text = forward_beside(&f, &o);
	unit_answers_after(0);
	assert_int_equal(occurrences(text, "has none ready"), 1);
	assert_int_equal(occurrences(text, "does not call"), 0);
	close_all(&f);
}

static void a_program_that_never_enters_is_told_so(void **state)
{
	struct moat_tenant_size size = size_of(MOAT_PIPELINED);
	const char *text;
	struct fixture f;

	open_with(&f, "adversary=0", MOAT_PIPELINED, moat_tenant_pool_size(&size));
	must_be(moat_tenant_lcore_leave(f.red));
	unit_answers_after(LATE);
	text = receive_until_starved(&f);
	if (occurrences(text,
		    "of them wait for their tickets: a thread that polls its queues has not entered; it "
		    "must call moat_tenant_lcore_enter() first, and moat_tenant_poll() in each turn\n") !=
		1)
		fail_msg("%s", text);
	unit_answers_after(0);
	must_be(moat_tenant_lcore_enter(f.red));
	moat_tenant_poll(f.red);
	close_all(&f);
}

static void the_size_follows_the_formula(void **state)
{
	struct moat_tenant_size size = size_of(MOAT_STRICT);

	/* 512 in rings, 2 bursts in use; then a turn, an answer of 200 packets, and 2 * 4 bursts
	 * that coalesce */
	assert_int_equal(moat_tenant_pool_size(&size), 512 + 64 + 32 + 200 + 256);
	size.mode = MOAT_PIPELINED;
	assert_int_equal(moat_tenant_pool_size(&size), 512 + 64 + 2 * (32 + 200 + 256));
	size.lcores = size.queues = 2; /* contended: 16 bursts coalesce */
	assert_int_equal(moat_tenant_pool_size(&size), 512 + 2 * (64 + 2 * (32 + 200 + 1024)));
	size.lcores = size.queues = 1;
	size.contended = true; /* with other tenants */
	assert_int_equal(moat_tenant_pool_size(&size), 512 + 64 + 2 * (32 + 200 + 1024));
	size = size_of(MOAT_DEFERRED);
	size.kept = 1000;
	assert_int_equal(moat_tenant_pool_size(&size), 512 + 1000 + 64 + 32 + 200 + 2 * (256 + 32));
	size.data_room = 9000; /* three pages: the granule window holds a third of the buffers */
	assert_int_equal(moat_tenant_pool_size(&size), 512 + 1000 + 64 + 32 + 200 + 2 * (85 + 32));
	size = size_of(MOAT_STATIC); /* DPDK's caches keep at most 3/8 */
	assert_int_equal(moat_tenant_pool_size(&size), 576 + 345);
	size.mode = MOAT_MODES;
	assert_int_equal(moat_tenant_pool_size(&size), 0);
	assert_string_equal(moat_error_text(),
		"moat_tenant_pool_size(): mode 5 does not exist; set 0 (static) to 4 (copy)");
	assert_int_equal(moat_tenant_pool_size(NULL), 0);
}

static void the_memory_of_that_size_holds_the_pool_and_the_rings(void **state)
{
	for (unsigned int mode = 0; mode < MOAT_MODES; mode++) {
		struct moat_tenant_size size = size_of((enum moat_mode)mode);
		struct fixture f;

		size.rx_descriptors = size.tx_descriptors = 4096; /* rings that take most */
		open_sized(&f, "adversary=0", (enum moat_mode)mode, moat_tenant_pool_size(&size),
			moat_tenant_memory_size(&size, 0), 4096);
		close_all(&f);
	}
}

static void and_no_more_than_2_mib_beyond_them(void **state)
{
	struct moat_tenant_size size = size_of(MOAT_STATIC);

	assert_int_equal(moat_tenant_memory_size(&size, 1), 2 * MOAT_2M_SIZE);
	assert_int_equal(moat_tenant_memory_size(&size, 512), 2 * MOAT_2M_SIZE);
	assert_int_equal(moat_tenant_memory_size(&size, 513), 3 * MOAT_2M_SIZE);
	size.data_room = 9000; /* three pages */
	assert_int_equal(moat_tenant_memory_size(&size, 513), 5 * MOAT_2M_SIZE);
	assert_int_equal(moat_tenant_memory_size(NULL, 1), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stopwatch_that_is_off_charges_nothing),
		cmocka_unit_test(what_a_packet_costs_is_told_by_stage_and_since_a_snapshot),
		cmocka_unit_test(a_turn_without_a_packet_is_idle_device_time_included),
		cmocka_unit_test(what_was_before_the_stopwatch_is_charged_to_no_stage),
		cmocka_unit_test(a_refused_dma_is_told_with_the_tenant_whose_requester_made_it),
		cmocka_unit_test(a_source_id_is_a_tenants_behind_its_own_unit),
		cmocka_unit_test(as_many_faults_are_told_as_there_is_room_for),
		cmocka_unit_test(a_pool_of_that_size_does_not_run_dry),
		cmocka_unit_test(a_pool_too_small_is_counted_and_said_once),
		cmocka_unit_test(a_pool_of_the_computed_size_is_not_called_too_small),
		cmocka_unit_test(an_lcore_that_does_not_call_poll_is_named),
		cmocka_unit_test(the_lcore_that_does_not_poll_is_named_where_another_runs_dry),
		cmocka_unit_test(an_lcore_that_is_offline_is_not_named),
		cmocka_unit_test(a_program_that_never_enters_is_told_so),
		cmocka_unit_test(the_size_follows_the_formula),
		cmocka_unit_test(the_memory_of_that_size_holds_the_pool_and_the_rings),
		cmocka_unit_test(and_no_more_than_2_mib_beyond_them),
	};
	int rc = start_eal(argv[0]);

	return rc != 0 ? rc : cmocka_run_group_tests_name("measure", tests, NULL, NULL);
}
