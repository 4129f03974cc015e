/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * A thread that waits keeps its duties: it reports a quiescent state to liburcu, and for each lane
 * that it has online in any domain. A thread that is offline, or has ended, delays nothing.
 */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <rte_pause.h>
#include <urcu-qsbr.h>

#include "moat_domain.h"
#include "moat_patience.h"
#include "moat_soft_unit.h"
#include "must.h"
#include "unit_args.h"

#define IOVA   UINT64_C(0x40000000)
#define SID    MOAT_SID(0, 16, 0)
#define ROUNDS 300

static struct moat_unit *unit;
static struct moat_domain *domain[2];
static uint8_t *mem;

static int set_up(void **state)
{
	struct moat_domain_conf conf = { .name = "wait" };

	must(moat_soft_unit_create("soft0", UNIT_ADVERSARY, &unit));
	must(moat_domain_create(unit, &conf, &domain[0]));
	must(moat_domain_create(unit, &conf, &domain[1]));
	mem = aligned_alloc(MOAT_2M_SIZE, MOAT_2M_SIZE);
	assert_non_null(mem);
	return 0;
}

static int tear_down(void **state)
{
	must(moat_domain_destroy(domain[0]));
	must(moat_domain_destroy(domain[1]));
	unit->ops->destroy(unit);
	free(mem);
	return 0;
}

/* Check that the thread ends within 10 s. */
static void join(pthread_t thread, const char *what)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 10;
	if (pthread_timedjoin_np(thread, NULL, &end) != 0)
		fail_msg("%s", what);
}

/* ------------------------------------------------------------- two threads, the same domains */

struct worker {
	unsigned int nr;
	uint64_t page;
	pthread_barrier_t *both;
	int rc;
	uint64_t longest; /* us that a drain took */
};

/* Is online in both domains, waits in one of them at a time, and does not poll the other
 * meanwhile. */
static void *wait_in_turn(void *arg)
{
	struct worker *w = arg;
	struct moat_lane *lane[2] = { moat_lane_open(domain[0]), moat_lane_open(domain[1]) };

	moat_lane_online(lane[0]);
	moat_lane_online(lane[1]);
	pthread_barrier_wait(w->both);
	for (unsigned int i = 0; i < ROUNDS && w->rc == 0; i++) {
		struct moat_lane *in = lane[(i + w->nr) % 2];
		uint64_t iova = IOVA + w->page * MOAT_PAGE_SIZE, begin;

		w->rc = moat_lane_map(in, iova, (uintptr_t)mem, mem, MOAT_PAGE_SIZE, MOAT_RW);
		if (w->rc == 0)
			w->rc = moat_lane_unmap(in, iova, MOAT_PAGE_SIZE);
		begin = moat_now_us();
		if (w->rc == 0)
			w->rc = moat_lane_drain(in);
		w->longest = RTE_MAX(w->longest, moat_now_us() - begin);
	}
	moat_lane_offline(lane[0]);
	moat_lane_offline(lane[1]);
	pthread_barrier_wait(w->both);
	for (unsigned int i = 0; i < 2; i++)
		w->rc |= moat_lane_close(lane[i]);
	return NULL;
}

static void two_threads_that_wait_in_different_domains_do_not_wait_for_each_other(void **state)
{
	pthread_barrier_t both;
	struct worker w[2] = { { .nr = 0, .page = 0, .both = &both },
		{ .nr = 1, .page = 1, .both = &both } };
	pthread_t thread[2];

	pthread_barrier_init(&both, NULL, 2);
	for (unsigned int i = 0; i < 2; i++)
		must(pthread_create(&thread[i], NULL, wait_in_turn, &w[i]));
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&both);
	assert_int_equal(w[0].rc, 0);
	assert_int_equal(w[1].rc, 0);
	/* a thread that waited for the other one would wait until the deadline, a second */
	assert_in_range(RTE_MAX(w[0].longest, w[1].longest), 0, 900000);
}

/* Has a lane online, attaches and detaches, and never polls. */
static void *attach_only(void *arg)
{
	_Atomic int *stage = arg;
	struct moat_lane *lane = moat_lane_open(domain[0]);

	moat_lane_online(lane);
	*stage = 1;
	while (*stage == 1) {
		must(moat_domain_attach(domain[1], SID));
		must(moat_domain_detach(domain[1], SID));
	}
	must(moat_lane_close(lane));
	return NULL;
}

static void waiting_for_the_unit_to_attach_is_a_quiescent_state(void **state)
{
	struct moat_lane *lane = moat_lane_open(domain[0]);
	_Atomic int stage = 0;
	pthread_t thread;
	int rc = 0;

	must(pthread_create(&thread, NULL, attach_only, &stage));
	while (stage == 0)
		rte_pause();
	for (unsigned int i = 0; i < 20 && rc == 0; i++) {
		must(moat_lane_map(lane, IOVA, (uintptr_t)mem, mem, MOAT_PAGE_SIZE, MOAT_RW));
		must(moat_lane_unmap(lane, IOVA, MOAT_PAGE_SIZE));
		rc = moat_lane_drain(lane);
	}
	stage = 2;
	pthread_join(thread, NULL);
	must(moat_lane_close(lane));
	assert_int_equal(rc, 0);
}

/* ------------------------------------------------------------------ liburcu's grace periods */

struct sleeper {
	bool registers_itself, leaves_a_lane_online, two;
	_Atomic int stage;
	struct moat_lane *lane;
};

static void *go_offline_and_sleep(void *arg)
{
	struct sleeper *s = arg;
	struct moat_lane *other = moat_lane_open(domain[1]);

	if (s->registers_itself)
		rcu_register_thread();
	moat_lane_online(s->lane);
	moat_lane_online(other);
	moat_lane_poll(s->lane);
	moat_lane_offline(other);
	assert_true(rcu_read_ongoing()); /* a lane is still online */
	moat_lane_offline(s->lane);
	s->stage = 1;
	while (s->stage == 1) /* reports no quiescent state */
		rte_pause();
	must(moat_lane_close(other));
	if (s->registers_itself)
		rcu_unregister_thread();
	return NULL;
}

static void *wait_for_a_grace_period(void *arg)
{
	urcu_qsbr_synchronize_rcu();
	return NULL;
}

static void no_grace_period_waits(struct sleeper *s)
{
	pthread_t sleeper, waiter;

	s->lane = moat_lane_open(domain[0]);
	must(pthread_create(&sleeper, NULL, go_offline_and_sleep, s));
	while (s->stage == 0)
		rte_pause();
	must(pthread_create(&waiter, NULL, wait_for_a_grace_period, NULL));
	join(waiter, "a grace period waits for a thread whose lanes are offline");
	s->stage = 2;
	pthread_join(sleeper, NULL);
	must(moat_lane_close(s->lane));
}

static void no_grace_period_waits_for_a_thread_whose_lanes_are_offline(void **state)
{
	no_grace_period_waits(&(struct sleeper){ .registers_itself = false });
}

static void nor_for_one_that_has_registered_itself(void **state)
{
	no_grace_period_waits(&(struct sleeper){ .registers_itself = true });
}

static void *end_online(void *arg)
{
	moat_lane_online(arg);
	moat_lane_poll(arg);
	return NULL;
}

static void a_thread_that_ends_holds_nothing_up(void **state)
{
	struct moat_lane *lane = moat_lane_open(domain[0]), *ended = moat_lane_open(domain[0]);
	pthread_t thread, waiter;

	must(pthread_create(&thread, NULL, end_online, ended));
	pthread_join(thread, NULL);
	must(moat_lane_map(lane, IOVA, (uintptr_t)mem, mem, MOAT_PAGE_SIZE, MOAT_RW));
	must(moat_lane_unmap(lane, IOVA, MOAT_PAGE_SIZE));
	must(moat_lane_drain(lane));
	must(pthread_create(&waiter, NULL, wait_for_a_grace_period, NULL));
	join(waiter, "a grace period waits for a thread that has ended");
	must(moat_lane_close(ended));
	must(moat_lane_close(lane));
}

/* More lanes than are reported in one turn; another thread closes them in the end. */
#define MANY 100

static void *drain_with_many(void *arg)
{
	struct moat_lane **lane = arg;

	for (unsigned int i = 0; i < MANY; i++)
		moat_lane_online(lane[i]);
	for (unsigned int turn = 0; turn < 2; turn++)
		moat_lanes_quiescent();
	for (unsigned int i = 0; i < MANY; i += 2)
		moat_lane_offline(lane[i]);
	moat_lanes_quiescent();
	return NULL;
}

static void each_of_many_lanes_is_reported(void **state)
{
	struct moat_lane *lane[MANY], *mine = moat_lane_open(domain[0]);
	pthread_t thread;

	for (unsigned int i = 0; i < MANY; i++)
		assert_non_null(lane[i] = moat_lane_open(domain[0]));
	for (unsigned int i = 0; i < MANY; i++)
		moat_lane_online(lane[i]);
	must(moat_lane_map(mine, IOVA, (uintptr_t)mem, mem, MOAT_PAGE_SIZE, MOAT_RW));
	must(moat_lane_unmap(mine, IOVA, MOAT_PAGE_SIZE));
	must(moat_lane_drain(mine)); /* waits for all of them; its own turns report them */
	for (unsigned int i = 0; i < MANY; i++)
		moat_lane_offline(lane[i]);
	must(pthread_create(&thread, NULL, drain_with_many, lane));
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < MANY; i++)
		must(moat_lane_close(lane[i]));
	must(moat_lane_close(mine));
}

/* --------------------------------------------------------------- a ticket, seen by others */

struct follower {
	struct moat_lane *lane;
	moat_ticket_t ticket;
	_Atomic bool go;
	unsigned int plain; /* written before the ticket is done, not atomic */
	unsigned int seen;
};

static void *follow(void *arg)
{
	struct follower *f = arg;

	while (!f->go)
		rte_pause();
	while (!moat_lane_done(f->lane, f->ticket))
		rte_pause();
	f->seen = f->plain;
	return NULL;
}

static void another_thread_sees_a_ticket_done_and_what_came_before_it(void **state)
{
	struct moat_lane *lane = moat_lane_open(domain[0]);

	for (unsigned int i = 1; i <= 20; i++) {
		struct follower f = { .lane = lane };
		pthread_t thread;

		must(pthread_create(&thread, NULL, follow, &f));
		must(moat_lane_map(lane, IOVA, (uintptr_t)mem, mem, MOAT_PAGE_SIZE, MOAT_RW));
		must(moat_lane_unmap(lane, IOVA, MOAT_PAGE_SIZE));
		f.ticket = moat_lane_next_ticket(lane);
		f.go = true;
		f.plain = i;
		assert_int_equal(moat_lane_flush(lane), f.ticket);
		must(moat_lane_drain(lane));
		pthread_join(thread, NULL);
		assert_int_equal(f.seen, i);
	}
	must(moat_lane_close(lane));
}

/* ----------------------------------------- a thread that waits for something else than its lane */

/* Let the lane unmap one page of `mem`. */
static void gather_one(struct moat_lane *lane)
{
	must(moat_lane_map(lane, IOVA, (uintptr_t)mem, mem, MOAT_PAGE_SIZE, MOAT_RW));
	must(moat_lane_unmap(lane, IOVA, MOAT_PAGE_SIZE));
}

static bool turns_finish(const struct moat_lane *lane, moat_ticket_t ticket)
{
	for (unsigned int i = 0; i < 100000 && !moat_lane_done(lane, ticket); i++)
		moat_lanes_quiescent();
	return moat_lane_done(lane, ticket);
}

/* Two threads that each wait for a ticket of the other's lane would otherwise wait for ever. */
static void a_waiting_thread_finds_its_lanes_tickets_done(void **state)
{
	struct moat_lane *lane[2] = { moat_lane_open(domain[0]), moat_lane_open(domain[1]) };

	for (unsigned int i = 0; i < 2; i++) {
		moat_lane_online(lane[i]);
		gather_one(lane[i]);
	}
	for (unsigned int i = 0; i < 2; i++)
		assert_true(turns_finish(lane[i], moat_lane_flush(lane[i])));
	for (unsigned int i = 0; i < 2; i++)
		must(moat_lane_close(lane[i]));
}

/* While no thread asks, neither the turns of a wait nor polls close what the lane has gathered. */
static void gathers_on(struct moat_lane *lane, moat_ticket_t ticket)
{
	for (unsigned int i = 0; i < 100; i++) {
		moat_lanes_quiescent();
		moat_lane_poll(lane);
	}
	assert_int_equal(moat_lane_next_ticket(lane), ticket);
}

static void what_a_lane_has_gathered_is_closed_when_another_thread_asks(void **state)
{
	struct moat_lane *lane = moat_lane_open(domain[0]);
	moat_ticket_t ticket;

	moat_lane_online(lane);
	gather_one(lane);
	ticket = moat_lane_next_ticket(lane);
	gathers_on(lane, ticket);
	moat_lane_ask(lane);
	assert_true(turns_finish(lane, ticket));
	gather_one(lane);
	ticket = moat_lane_next_ticket(lane);
	gathers_on(lane, ticket); /* the lane closes once for each moat_lane_ask() */
	moat_lane_ask(lane);
	for (unsigned int i = 0; i < 100000 && !moat_lane_done(lane, ticket); i++)
		moat_lane_poll(lane);
	assert_true(moat_lane_done(lane, ticket));
	gather_one(lane);
	gathers_on(lane, moat_lane_next_ticket(lane));
	must(moat_lane_close(lane));
}

/* The thread that has the lanes online waits on, while this thread closes them with open
 * tickets. */
struct waiting {
	struct moat_lane *lane[2];
	_Atomic bool ready, end;
};

static void *wait_on(void *arg)
{
	struct waiting *w = arg;

	for (unsigned int i = 0; i < 2; i++) {
		moat_lane_online(w->lane[i]);
		gather_one(w->lane[i]);
		moat_lane_flush(w->lane[i]);
	}
	w->ready = true;
	while (!w->end)
		moat_lanes_quiescent();
	return NULL;
}

static void lanes_close_while_their_thread_waits(void **state)
{
	for (unsigned int k = 0; k < 200; k++) {
		struct waiting w = { .lane = { moat_lane_open(domain[0]),
					     moat_lane_open(domain[1]) } };
		pthread_t thread;

		must(pthread_create(&thread, NULL, wait_on, &w));
		while (!w.ready)
			rte_pause();
		if (k % 2 == 0)
			moat_lane_offline(w.lane[0]);
		must(moat_lane_close(w.lane[0]));
		must(moat_lane_close(w.lane[1]));
		w.end = true;
		join(thread, "a thread that waits does not end");
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ----------------------------------------------------------------------- tickets of the offline */

/* Otherwise a thread that waits for such a ticket would wait as long as the lane's own thread
 * sleeps. */
static void a_lane_that_goes_offline_leaves_no_ticket_behind(void **state)
{
	struct moat_lane *lane = moat_lane_open(domain[0]);
	moat_ticket_t ticket = 0;

	moat_lane_online(lane);
	for (unsigned int i = 0; i < 3; i++) { /* the later tickets wait to be submitted together */
		uint64_t iova = IOVA + i * MOAT_PAGE_SIZE;

		must(moat_lane_map(lane, iova, (uintptr_t)mem, mem, MOAT_PAGE_SIZE, MOAT_RW));
		must(moat_lane_unmap(lane, iova, MOAT_PAGE_SIZE));
		if (i < 2)
			ticket = moat_lane_flush(lane);
	}
	assert_true(ticket != 0);
	moat_lane_offline(lane);
	assert_true(moat_lane_done(lane, ticket));
	assert_true(moat_lane_done(lane, ticket + 1)); /* the runs that were only gathered */
	must(moat_lane_close(lane));
}

/* Unmaps while the main thread, a reader, does not poll. Then the lane's thread sleeps or ends. */
struct leaver {
	struct moat_lane *lane;
	moat_ticket_t ticket;
	bool ends;
	_Atomic int stage;
};

static void *leave_unsettled(void *arg)
{
	struct leaver *l = arg;

	moat_lane_online(l->lane);
	gather_one(l->lane);
	l->ticket = moat_lane_next_ticket(l->lane);
	if (!l->ends)
		moat_lane_offline(l->lane);
	l->stage = 1;
	while (!l->ends && l->stage == 1)
		rte_pause();
	if (!l->ends) { /* use the lane again, online and offline */
		gather_one(l->lane);
		must(moat_lane_drain(l->lane));
		moat_lane_online(l->lane);
		gather_one(l->lane);
		moat_lane_offline(l->lane);
		assert_true(moat_lane_done(l->lane, moat_lane_last_ticket(l->lane)));
		assert_int_equal(moat_lane_last_ticket(l->lane), l->ticket + 2);
	}
	return NULL;
}

static void leave_and_be_helped(bool ends)
{
	struct moat_lane *reader = moat_lane_open(domain[0]);
	struct leaver l = { .lane = moat_lane_open(domain[0]), .ends = ends };
	uint64_t patience = moat_patience_us;
	pthread_t thread;

	moat_patience_us = 20000;
	moat_lane_online(reader);
	must(pthread_create(&thread, NULL, leave_unsettled, &l));
	while (l.stage == 0)
		rte_pause();
	if (ends)
		pthread_join(thread, NULL);
	moat_patience_us = patience;
	moat_lane_help(l.lane); /* the reader has not reported a quiescent state since */
	assert_false(moat_lane_done(l.lane, l.ticket));
	for (unsigned int i = 0; i < 1000000 && !moat_lane_done(l.lane, l.ticket); i++) {
		moat_lane_poll(reader);
		moat_lane_help(l.lane);
	}
	assert_true(moat_lane_done(l.lane, l.ticket));
	moat_lane_offline(reader);
	if (!ends) {
		l.stage = 2;
		pthread_join(thread, NULL);
	}
	must(moat_lane_close(l.lane));
	must(moat_lane_close(reader));
}

static void what_a_lane_leaves_unsettled_is_found_done_by_a_thread_that_waits(void **state)
{
	leave_and_be_helped(false);
}

static void what_a_thread_leaves_that_ends_is_found_done_by_one_that_waits(void **state)
{
	leave_and_be_helped(true);
}

static void a_lane_that_its_thread_uses_is_not_helped(void **state)
{
	struct moat_lane *lane = moat_lane_open(domain[0]);
	moat_ticket_t ticket;

	moat_lane_online(lane);
	gather_one(lane);
	ticket = moat_lane_flush(lane);
	for (unsigned int i = 0; i < 1000; i++)
		moat_lane_help(lane);
	assert_false(moat_lane_done(lane, ticket));
	must(moat_lane_close(lane));
}

/* ------------------------------------------------------------------ a process that did not run */

/* A process was stopped, or its machine: the time is up before it has polled the unit again. */
static void a_unit_that_is_done_when_time_is_up_is_not_reported_as_stuck(void **state)
{
	struct moat_domain_conf conf = { .name = "late" };
	uint64_t patience = moat_patience_us;
	struct moat_unit *late;
	struct moat_domain *d;
	struct moat_lane *lane;
	int rc = 0;

	must(moat_soft_unit_create("late", "oracle=1,latency=300000", &late));
	must(moat_domain_create(late, &conf, &d));
	lane = moat_lane_open(d);
	moat_patience_us = 0;
	for (unsigned int i = 0; i < 20 && rc == 0; i++) {
		gather_one(lane);
		rc = moat_lane_drain(lane);
	}
	moat_patience_us = patience;
	must(rc);
	must(moat_lane_close(lane));
	must(moat_domain_destroy(d));
	late->ops->destroy(late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(two_threads_that_wait_in_different_domains_do_not_wait_for_each_other),
		T(waiting_for_the_unit_to_attach_is_a_quiescent_state),
		T(no_grace_period_waits_for_a_thread_whose_lanes_are_offline),
		T(nor_for_one_that_has_registered_itself),
		T(a_thread_that_ends_holds_nothing_up),
		T(each_of_many_lanes_is_reported),
		T(a_waiting_thread_finds_its_lanes_tickets_done),
		T(what_a_lane_has_gathered_is_closed_when_another_thread_asks),
		T(lanes_close_while_their_thread_waits),
		T(another_thread_sees_a_ticket_done_and_what_came_before_it),
		T(a_lane_that_goes_offline_leaves_no_ticket_behind),
		T(what_a_lane_leaves_unsettled_is_found_done_by_a_thread_that_waits),
		T(what_a_thread_leaves_that_ends_is_found_done_by_one_that_waits),
		T(a_lane_that_its_thread_uses_is_not_helped),
		T(a_unit_that_is_done_when_time_is_up_is_not_reported_as_stuck),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
