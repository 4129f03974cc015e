/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * When a lane submits its tickets: a single ticket at once; tickets that come while the unit is at
 * work together, and not too late. The unit runs only when it is told to, so the test sees every
 * descriptor.
 */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <urcu-qsbr.h>

#include "lane_impl.h"
#include "moat_domain.h"
#include "must.h"
#include "qi/sim_unit.h"

#define IOVA  UINT64_C(0x40000000)
#define PAGES 4096u

struct fixture {
	struct sim_unit sim;
	struct moat_unit unit;
	struct moat_domain *domain;
	struct moat_lane *lane;
	bool covered[PAGES]; /* invalidated since it was unmapped */
	unsigned int page_selective, domain_selective;
	bool runs; /* runs by itself, whenever it is polled */
};

/* The unit's work for an invalidation: mark the pages as invalidated. */
static void execute(struct sim_unit *sim, struct moat_qi_desc d)
{
	struct fixture *f = sim->ctx;
	uint64_t first, n;

	if ((d.lo & 0xf) != MOAT_QI_IOTLB || (d.lo >> 16 & 0xffff) != f->domain->did)
		return;
	if ((d.lo >> 4 & 3) == MOAT_QI_DOMAIN) {
		f->domain_selective++;
		memset(f->covered, true, sizeof(f->covered));
		return;
	}
	f->page_selective++;
	n = UINT64_C(1) << (d.hi & 0x3f);
	first = (d.hi & ~MOAT_PAGE_MASK) - IOVA;
	for (uint64_t i = first >> MOAT_PAGE_SHIFT; n-- != 0; i++)
		if (i < PAGES)
			f->covered[i] = true;
}

static int poll_unit(void *ctx)
{
	struct sim_unit *sim = ctx;

	if (((struct fixture *)sim->ctx)->runs)
		sim_run(sim);
	return 0;
}

static int nothing(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	return 0;
}

static int set_up(void **state)
{
	static const struct moat_unit_ops ops = { .attach = nothing, .detach = nothing };
	struct moat_domain_conf conf = { .name = "test", .leaf_sizes = UINT64_MAX };
	struct fixture *f = calloc(1, sizeof(*f));

	rcu_register_thread();
	f->sim.execute = execute;
	f->sim.ctx = f;
	f->unit = (struct moat_unit){ .ops = &ops, .name = "sim", .kind = "sim" };
	f->unit.caps = (struct moat_unit_caps){ .sagaw = 1 << 2,
		.mgaw = 48,
		.leaf_sizes = MOAT_2M_SIZE,
		.nd = MOAT_UNIT_DIDS,
		.qi = { .psi = true, .mamv = 18 },
		.coherent = true };
	f->unit.qi = sim_open(&f->sim, 0, poll_unit);
	must(moat_pt_pool_create(NULL, &f->unit.pool));
	must(moat_domain_create(&f->unit, &conf, &f->domain));
	f->lane = moat_lane_open(f->domain);
	assert_non_null(f->lane);
	moat_lane_online(f->lane);
	for (uint64_t off = 0; off < PAGES * MOAT_PAGE_SIZE; off += MOAT_PAGE_SIZE)
		must(moat_lane_map(f->lane, IOVA + off, off, (void *)(uintptr_t)(IOVA + off),
			MOAT_PAGE_SIZE, MOAT_RW));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	f->runs = true;
	must(moat_lane_close(f->lane));
	must(moat_domain_destroy(f->domain));
	moat_pt_pool_destroy(f->unit.pool);
	sim_close(&f->sim, f->unit.qi);
	free(f);
	rcu_unregister_thread();
	return 0;
}

/* Unmap `n` pages from page `at` on and close the batch. */
static moat_ticket_t burst(struct fixture *f, unsigned int at, unsigned int n)
{
	memset(&f->covered[at], false, n);
	must(moat_lane_unmap(f->lane, IOVA + at * MOAT_PAGE_SIZE, n * MOAT_PAGE_SIZE));
	return moat_lane_flush(f->lane);
}

static uint64_t waits(const struct fixture *f)
{
	struct moat_qi_stats stats;

	moat_qi_stats(f->unit.qi, &stats);
	return stats.waits;
}

static bool all_covered(const struct fixture *f, unsigned int at, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (!f->covered[at + i])
			return false;
	return true;
}

static void a_lone_burst_goes_at_once(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 8; i++) {
		moat_ticket_t ticket = burst(f, i * 32, 32);

		assert_int_equal(waits(f), i + 1);
		assert_int_equal(f->sim.doorbells, i + 1);
		assert_true(moat_lane_poll(f->lane) < ticket);
		sim_run(&f->sim);
		assert_true(all_covered(f, i * 32, 32));
		assert_int_equal(moat_lane_poll(f->lane), ticket);
	}
	assert_int_equal(f->page_selective, 8); /* of 32 aligned pages */
}

static void what_comes_while_the_unit_is_at_work_goes_together_when_it_is_through(void **state)
{
	struct fixture *f = *state;
	moat_ticket_t first = burst(f, 0, 32), second = burst(f, 32, 32), third = burst(f, 64, 64);

	assert_int_equal(waits(f), 1);
	assert_true(moat_lane_poll(f->lane) < first);
	assert_int_equal(waits(f), 1);
	sim_run(&f->sim);
	assert_int_equal(moat_lane_poll(f->lane), first); /* and submits the others */
	assert_int_equal(waits(f), 2);
	assert_true(moat_lane_poll(f->lane) < second); /* not done by that submission */
	sim_run(&f->sim);
	assert_true(all_covered(f, 0, 128));
	assert_int_equal(moat_lane_poll(f->lane), third);
	assert_int_equal(f->sim.doorbells, 2);
	assert_int_equal(f->page_selective, 1 + 2); /* pages 32 to 127: one run, two blocks */
}

static void some_are_company_enough(void **state)
{
	struct fixture *f = *state;

	burst(f, 0, 1);
	for (unsigned int i = 1; i < MOAT_LANE_TOGETHER; i++)
		burst(f, 100 * i, 1); /* not neighbours */
	assert_int_equal(waits(f), 1);
	burst(f, 3000, 1);
	assert_int_equal(waits(f), 2);
	sim_run(&f->sim);
	assert_int_equal(f->page_selective, 1 + MOAT_LANE_TOGETHER);
	assert_int_equal(moat_lane_poll(f->lane), moat_lane_last_ticket(f->lane));
}

static void *submit_one(void *qi)
{
	struct moat_qi_desc d = moat_qi_no_op();

	return moat_qi_submit(qi, &d, 1) > 0 ? qi : NULL;
}

/* Another thread submits, too. The first submission after that detects contention. */
static void crowd(struct fixture *f, unsigned int at)
{
	pthread_t thread;
	void *done;

	burst(f, at - 1, 1);
	sim_run(&f->sim);
	assert_int_equal(moat_lane_poll(f->lane), moat_lane_last_ticket(f->lane));
	assert_false(lane_of(f->lane)->coalesce.contended);
	assert_int_equal(pthread_create(&thread, NULL, submit_one, f->unit.qi), 0);
	assert_int_equal(pthread_join(thread, &done), 0);
	assert_non_null(done);
	burst(f, at, 1);
	sim_run(&f->sim);
	assert_int_equal(moat_lane_poll(f->lane), moat_lane_last_ticket(f->lane));
	assert_true(lane_of(f->lane)->coalesce.contended);
}

static void in_a_crowded_queue_more_go_together(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	crowd(f, 4000);
	before = waits(f);
	for (unsigned int i = 0; i < MOAT_LANE_TOGETHER_CROWDED - 1; i++)
		burst(f, 32 * i, 32);
	assert_int_equal(waits(f), before);
	burst(f, 32 * (MOAT_LANE_TOGETHER_CROWDED - 1), 32);
	assert_int_equal(waits(f), before + 1);
	sim_run(&f->sim);
	assert_int_equal(f->page_selective, 2 + 1); /* 512 neighbours, aligned */
	assert_true(all_covered(f, 0, 32 * MOAT_LANE_TOGETHER_CROWDED));
	assert_int_equal(moat_lane_poll(f->lane), moat_lane_last_ticket(f->lane));
	assert_false(lane_of(f->lane)->coalesce.contended); /* no other thread has submitted */
}

static void and_a_lone_burst_waits_for_some_polls(void **state)
{
	struct fixture *f = *state;
	unsigned int polls = 0;
	uint64_t before;

	crowd(f, 4000);
	before = waits(f);
	burst(f, 0, 1);
	while (waits(f) == before) {
		assert_true(moat_lane_poll(f->lane) < moat_lane_last_ticket(f->lane));
		assert_in_range(++polls, 1, MOAT_LANE_TOGETHER_CROWDED);
	}
	assert_int_equal(polls, MOAT_LANE_TOGETHER_CROWDED);
	burst(f, 100, 1);
	moat_lane_send(f->lane); /* as an lcore with nothing else to do */
	assert_int_equal(waits(f), before + 2);
	sim_run(&f->sim);
	assert_int_equal(moat_lane_poll(f->lane), moat_lane_last_ticket(f->lane));
}

static void who_only_waits_has_it_sent(void **state)
{
	struct fixture *f = *state;
	moat_ticket_t ticket;

	burst(f, 0, 1);
	ticket = burst(f, 9, 1);
	assert_int_equal(waits(f), 1);
	moat_lane_send(f->lane);
	assert_int_equal(waits(f), 2);
	moat_lane_send(f->lane);
	assert_int_equal(waits(f), 2);
	sim_run(&f->sim);
	assert_int_equal(moat_lane_poll(f->lane), ticket);
}

/* More runs than one gather holds need several submissions, and none of them may be too wide. */
static void many_runs_do_not_become_the_whole_domain(void **state)
{
	struct fixture *f = *state;

	burst(f, 0, 1);
	for (unsigned int i = 0; i < MOAT_LANE_TOGETHER; i++) {
		for (unsigned int k = 0; k < 40; k++)
			must(moat_lane_unmap(f->lane, IOVA + (1 + i * 400 + 2 * k) * MOAT_PAGE_SIZE,
				MOAT_PAGE_SIZE));
		moat_lane_flush(f->lane);
	}
	moat_lane_send(f->lane);
	assert_int_equal(waits(f), 1 + MOAT_LANE_TOGETHER);
	sim_run(&f->sim);
	assert_int_equal(f->domain_selective, 0);
	assert_int_equal(f->page_selective, 1 + 40 * MOAT_LANE_TOGETHER);
	assert_int_equal(moat_lane_poll(f->lane), moat_lane_last_ticket(f->lane));
}

/* A full queue takes nothing. The next poll that finds room submits what waits. */
static void a_full_queue_is_tried_again(void **state)
{
	struct fixture *f = *state;
	struct moat_qi_desc d = moat_qi_no_op();
	moat_ticket_t ticket;

	while (moat_qi_submit(f->unit.qi, &d, 1) > 0)
		;
	ticket = burst(f, 7, 1);
	assert_true(ticket != 0);
	assert_true(moat_lane_poll(f->lane) < ticket);
	assert_true(moat_lane_stats(f->lane)->full >= 2);
	sim_run(&f->sim);
	assert_false(f->covered[7]);
	assert_true(moat_lane_poll(f->lane) < ticket);
	sim_run(&f->sim);
	assert_true(f->covered[7]);
	assert_int_equal(moat_lane_poll(f->lane), ticket);
}

/* If the unit refuses a descriptor of a batch of several tickets, none of them is done before the
 * whole domain has been invalidated. */
static void when_a_batch_fails_every_ticket_of_it_has(void **state)
{
	struct fixture *f = *state;
	moat_ticket_t first = burst(f, 0, 1), second = burst(f, 100, 1), third = burst(f, 200, 1);
	uint32_t at;

	sim_run(&f->sim);
	assert_int_equal(moat_lane_poll(f->lane), first);
	at = atomic_load(&f->sim.head);
	f->sim.ring[at].lo = 0xf; /* a type that does not exist */
	sim_run(&f->sim);
	assert_true(atomic_load(&f->sim.stopped));
	must(moat_qi_fail_at(f->unit.qi, at, -EIO));
	atomic_store(&f->sim.stopped, false);
	sim_run(&f->sim);
	assert_false(f->covered[100]);
	assert_true(moat_lane_poll(f->lane) < second);
	assert_int_equal(f->domain_selective, 0);
	sim_run(&f->sim);
	/* the third batch is submitted by itself, with the same result */
	assert_true(moat_lane_poll(f->lane) < third);
	assert_true(f->covered[100] && f->covered[200]);
	sim_run(&f->sim);
	assert_int_equal(moat_lane_poll(f->lane), third);
	assert_int_equal(moat_lane_stats(f->lane)->retried, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_lone_burst_goes_at_once),
		T(what_comes_while_the_unit_is_at_work_goes_together_when_it_is_through),
		T(some_are_company_enough),
		T(in_a_crowded_queue_more_go_together),
		T(and_a_lone_burst_waits_for_some_polls),
		T(who_only_waits_has_it_sent),
		T(many_runs_do_not_become_the_whole_domain),
		T(a_full_queue_is_tried_again),
		T(when_a_batch_fails_every_ticket_of_it_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
