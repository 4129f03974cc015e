/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Queues of a running port move from tenant to tenant under traffic. After each move the device
 * tries the old tenant's memory. MOAT_MOVES sets how often queues move in each test.
 * tries the old tenant's memory. MOAT_MOVES sets how often queues move in each test.
 */

#include <stdatomic.h>

#include "move.h"

static const enum moat_mode mixed[TENANTS] = { MOAT_STRICT, MOAT_PIPELINED, MOAT_DEFERRED,
	MOAT_COPY };

/* The device tries again what the queue reached before the move. */
static void try_old_memory(struct fixture *f, uint16_t q, unsigned int old)
{
	uint8_t byte = 0x5a;
	moat_sid_t sid;
	uint32_t pasid;

	requester_of(f, q, &sid, &pasid);
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t iova = f->base[old] + rte_rand_max(10 << 20);

		assert_int_not_equal(
			moat_softvtd_dma_write_pasid(f->hw, sid, pasid, iova, &byte, 1), 0);
		assert_int_not_equal(moat_softvtd_dma_read_pasid(f->hw, sid, pasid, iova, &byte, 1),
			0);
	}
}

static void forget_faults(const struct fixture *f)
{
	struct moat_fault fault[32];

	while (f->unit->ops->faults(f->unit, fault, RTE_DIM(fault)) != 0)
		;
}

static void move_one(struct fixture *f)
{
	uint16_t q = (uint16_t)rte_rand_max(QUEUES);
	unsigned int old = f->owner[q], to = (unsigned int)rte_rand_max(f->nr_tenants - 1);

	to += to >= old;
	for (unsigned int i = (unsigned int)rte_rand_max(40); i != 0; i--) {
		uint16_t other = (uint16_t)rte_rand_max(QUEUES);

		put(f, other, f->owner[other]);
		put(f, q, old);
		if (i % 16 == 0)
			poll_all(f);
	}
	sort_wire(f); /* frames that belong to the old tenant are first in the queue */
	no_faults(f);
	must(try_move(f, q, to, true, NULL));
	no_faults(f);
	if (f->apart)
		try_old_memory(f, q, old);
	forget_faults(f);
	poll_all(f);
	f->sent -= wire_drain(&f->wire);
}

static unsigned int moves_wanted(void)
{
	const char *text = getenv("MOAT_MOVES");

	return text != NULL ? (unsigned int)strtoul(text, NULL, 10) : 100;
}

static void move_under_traffic(struct fixture *f)
{
	unsigned int moves = moves_wanted();

	for (unsigned int i = 0; i < moves; i++)
		move_one(f);
	settle(f);
	assert_int_not_equal(f->in_pieces, 0);
	assert_int_not_equal(f->cloned, 0);
	assert_int_not_equal(f->chained, 0);
	assert_nothing_lost(f);
	say_gaps(f);
}

static void two_of(enum moat_mode mode, const char *unit, enum requesters by, bool apart)
{
	const enum moat_mode modes[] = { mode, mode };
	struct fixture *f = open_rig(unit, by, modes, 2, apart);

	move_under_traffic(f);
	assert_none_stale(f);
	close_rig(f);
}

static void queues_of_two_static_tenants_move(void **state)
{
	two_of(MOAT_STATIC, SCALABLE("second"), BY_PASID, true);
	two_of(MOAT_STATIC, SCALABLE("first"), BY_PASID, false);
}

static void queues_of_two_strict_tenants_move(void **state)
{
	two_of(MOAT_STRICT, SCALABLE("second"), BY_PASID, true);
	two_of(MOAT_STRICT, SCALABLE("first"), BY_PASID, false);
}

static void queues_of_two_pipelined_tenants_move(void **state)
{
	two_of(MOAT_PIPELINED, SCALABLE("second"), BY_PASID, true);
	two_of(MOAT_PIPELINED, SCALABLE("first"), BY_PASID, false);
}

static void queues_of_two_deferred_tenants_move(void **state)
{
	two_of(MOAT_DEFERRED, SCALABLE("second"), BY_PASID, true);
	two_of(MOAT_DEFERRED, SCALABLE("first"), BY_PASID, false);
}

static void queues_of_two_copying_tenants_move(void **state)
{
	two_of(MOAT_COPY, SCALABLE("second"), BY_PASID, true);
	two_of(MOAT_COPY, SCALABLE("first"), BY_PASID, false);
}

static void queues_move_between_tenants_of_different_modes(void **state)
{
	struct fixture *f = open_rig(SCALABLE("second"), BY_PASID, mixed, TENANTS, true);

	move_under_traffic(f);
	assert_none_stale(f);
	close_rig(f);
	f = open_rig(SCALABLE("first"), BY_PASID, mixed, TENANTS, true);
	move_under_traffic(f);
	assert_none_stale(f);
	close_rig(f);
}

static void queues_with_source_ids_of_their_own_move_in_legacy_mode(void **state)
{
	two_of(MOAT_STRICT, UNIT_ADVERSARY, BY_QUEUE, true);
	two_of(MOAT_PIPELINED, UNIT_ADVERSARY, BY_QUEUE, false);
	two_of(MOAT_STATIC, UNIT_CACHING, BY_QUEUE, true);
}

static void flood_in_the_gap(struct rte_mbuf *pkts[], uint16_t n, void *arg)
{
	struct crossing *c = arg;

	last_ones(pkts, n, arg);
	while (c->f->put[c->q] < 700)
		put(c->f, c->q, c->to);
	sort_wire(c->f);
	assert_true(rte_ring_count(c->f->wire.in[0]) > 100);
}

static void frames_that_the_port_cannot_keep_in_the_gap_wait_on_the_wire(void **state)
{
	static const enum moat_mode modes[] = { MOAT_STRICT, MOAT_STATIC };
	struct fixture *f = open_rig(SCALABLE("second"), BY_PASID, modes, 2, true);
	struct crossing c = { f, 0, 0, 1, false };
	struct moat_queue_move move = { .pool = f->pool[1],
		.deliver = flood_in_the_gap,
		.arg = &c };

	put(f, 0, 0);
	sort_wire(f);
	must(moat_tenant_queue_move(f->tenant[0], f->tenant[1], f->port, 0, &move));
	assert_int_equal(move.delivered, 1);
	f->owner[0] = 1;
	/* Other queues' polls would bring more frames than a FIFO holds, as they may at any
	 * time. */
	while (f->got[0] != f->put[0])
		poll_queue(f, 0);
	settle(f);
	assert_nothing_lost(f);
	close_rig(f);
}

/* ------------------------------------------------------------- while other lcores poll the port */

struct other {
	struct fixture *f;
	pthread_t thread;
	_Atomic bool ready, stop, ended;
	int rc;
};

/* Poll queue 1, which takes the frames of all queues from the wire, and put frames on the wire. */
static void *other_lcore(void *arg)
{
	struct other *o = arg;
	struct fixture *f = o->f;
	struct rte_mbuf *m[BURST];

	o->rc = rte_thread_register();
	if (o->rc == 0)
		o->rc = moat_tenant_lcore_enter(f->tenant[1]);
	o->ready = true;
	while (o->rc == 0 && (!o->stop || f->got[1] != f->put[1])) {
		uint16_t n;

		/* Fewer than a FIFO holds, in case one of the lcores does not run for a while. */
		if (!o->stop && f->put[1] - f->got[1] < 300 &&
			f->put[0] - __atomic_load_n(&f->got[0], __ATOMIC_RELAXED) < 300) {
			put(f, 0, 0);
			put(f, 1, 1);
		}
		n = rte_eth_rx_burst(f->port, 1, m, BURST);
		f->got[1] += n;
		rte_pktmbuf_free_bulk(m, n);
		moat_tenant_poll(f->tenant[1]);
	}
	if (o->rc == 0)
		o->rc = moat_tenant_lcore_leave(f->tenant[1]);
	rte_thread_unregister();
	o->ended = true;
	return NULL;
}

/* The pool shows the owner of each packet; no packet is missing, and they arrive in order. */
static void count(struct fixture *f, unsigned int tenant, struct rte_mbuf *pkts[], uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		uint32_t number;

		memcpy(&number, rte_pktmbuf_mtod_offset(pkts[i], uint8_t *, HEADER + 2), 4);
		assert_int_equal(number, f->got[0]);
		assert_ptr_equal(pkts[i]->pool, f->pool[tenant]);
		__atomic_store_n(&f->got[0], f->got[0] + 1, __ATOMIC_RELAXED);
	}
	rte_pktmbuf_free_bulk(pkts, n);
}

static void count_last(struct rte_mbuf *pkts[], uint16_t n, void *arg)
{
	struct crossing *c = arg;

	count(c->f, c->from, pkts, n);
}

static void poll_zero(struct fixture *f)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = rte_eth_rx_burst(f->port, 0, m, BURST);

	count(f, f->owner[0], m, n);
	for (unsigned int t = 0; t < f->nr_tenants; t++)
		moat_tenant_poll(f->tenant[t]);
}

static void a_queue_moves_while_other_lcores_take_frames_for_it(void **state)
{
	static const enum moat_mode modes[] = { MOAT_PIPELINED, MOAT_STRICT, MOAT_STATIC };
	struct fixture *f = open_rig(SCALABLE("first"), BY_PASID, modes, 3, true);
	unsigned int moves = moves_wanted();
	struct other o = { .f = f };

#ifdef __SANITIZE_THREAD__
	close_rig(f);
	print_message("skip: ThreadSanitizer does not see what DPDK's rings and locks order\n");
	skip();
#endif
	assert_int_equal(pthread_create(&o.thread, NULL, other_lcore, &o), 0);
	while (!o.ready)
		sched_yield();
	for (unsigned int i = 0; i < moves; i++) {
		unsigned int to = (f->owner[0] + 1 + i % 2) % 3;
		struct crossing c = { f, 0, f->owner[0], to, false };
		struct moat_queue_move move = { .pool = f->pool[to],
			.deliver = count_last,
			.arg = &c };

		/* Check that there was traffic. */
		for (uint32_t until = f->got[0] + 8; f->got[0] < until && o.rc == 0;)
			poll_zero(f);
		must(moat_tenant_queue_move(f->tenant[f->owner[0]], f->tenant[to], f->port, 0,
			&move));
		f->owner[0] = to;
		note_gap(f, move.gap);
	}
	o.stop = true;
	while (!o.ended)
		poll_zero(f);
	pthread_join(o.thread, NULL);
	must(o.rc);
	settle(f);
	assert_nothing_lost(f);
	assert_none_stale(f);
	say_gaps(f);
	close_rig(f);
}

/* --------------------------------------------------------------------- a callback of one's own */

struct onlooker {
	const struct fixture *f;
	unsigned int seen, writable;
};

/* @return whether a device could write the packet that the program's callback gets */
static uint16_t look_on(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct onlooker *on = arg;

	for (uint16_t i = 0; i < n; i++) {
		struct moat_tenant *t = on->f->tenant[pkts[i]->pool == on->f->pool[1]];
		uint64_t iova = rte_mbuf_data_iova(pkts[i]);

		on->seen++;
		if (moat_iotlb_translate(&moat_tenant_lane(t)->iotlb, iova, 8, MOAT_W) != NULL)
			on->writable++;
	}
	return n;
}

static void look_at_some(struct fixture *f, struct onlooker *on)
{
	on->seen = on->writable = 0;
	for (unsigned int i = 0; i < 40; i++)
		put(f, 0, f->owner[0]);
	settle(f);
	assert_true(on->seen >= 40);
	assert_int_equal(on->writable, 0);
}

/* As a program that filters in an Rx callback, which was added first or last. */
static void a_callback_of_the_program_gets_what_no_device_can_write(void **state)
{
	static const enum moat_mode modes[] = { MOAT_STRICT, MOAT_PIPELINED };
	struct fixture *f = open_rig(SCALABLE("second"), BY_PASID, modes, 2, true);
	const struct rte_eth_rxtx_callback *callback;
	struct onlooker on = { .f = f };

	callback = rte_eth_add_rx_callback(f->port, 0, look_on, &on);
	assert_non_null(callback);
	look_at_some(f, &on);
	for (unsigned int i = 0; i < 4; i++) {
		must(try_move(f, 0, !f->owner[0], false, NULL));
		look_at_some(f, &on);
	}
	assert_int_equal(rte_eth_dev_stop(f->port), 0);
	must(moat_tenant_queue_remove(f->tenant[f->owner[0]], f->port, 0));
	must(moat_tenant_queue_add(f->tenant[f->owner[0]], f->port, 0));
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	look_at_some(f, &on);
	assert_int_equal(rte_eth_remove_rx_callback(f->port, 0, callback), 0);
	close_rig(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queues_of_two_static_tenants_move),
		cmocka_unit_test(queues_of_two_strict_tenants_move),
		cmocka_unit_test(queues_of_two_pipelined_tenants_move),
		cmocka_unit_test(queues_of_two_deferred_tenants_move),
		cmocka_unit_test(queues_of_two_copying_tenants_move),
		cmocka_unit_test(queues_move_between_tenants_of_different_modes),
		cmocka_unit_test(queues_with_source_ids_of_their_own_move_in_legacy_mode),
		cmocka_unit_test(frames_that_the_port_cannot_keep_in_the_gap_wait_on_the_wire),
		cmocka_unit_test(a_queue_moves_while_other_lcores_take_frames_for_it),
		cmocka_unit_test(a_callback_of_the_program_gets_what_no_device_can_write),
	};

	if (start_eal("test_net_move") != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
