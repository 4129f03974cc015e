/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The lanes that a thread has online.
 *
 * Tickets of other lanes may wait for any of these lanes. So a thread that waits, for whatever
 * reason, must report a quiescent state for all of its lanes, not only for the lane that it waits
 * on: two threads with lanes in the same two domains would otherwise wait for each other. And only
 * a lane's own thread finds the lane's tickets done, so a thread that waits goes on polling its
 * lanes: two threads that wait for tickets of each other's lanes would otherwise wait for ever. (If
 * a thread has left a lane with tickets that are not done, threads that wait for these poll the
 * lane: lane_impl.h.) The same holds for liburcu: while a registered thread is online there, no
 * grace period ends without its report. A thread takes part in liburcu's grace periods from its
 * first online lane to its last.
 *
 * Each thread has a ring of its online lanes. Two locks guard it:
 *  - `threads`, one for all threads, is held while a lane enters or leaves a ring. No thread ends
 *    meanwhile, so a lane's `thread` is valid under the lock. A thread that closes another thread's
 *    lane, or sets it offline, waits for that thread's own lock meanwhile.
 *  - A thread's own lock is held while its ring changes, and while the thread polls the lanes of
 *    the ring, LANES_A_TURN at most. Only the thread itself takes it, and a thread that closes one
 *    of its lanes or sets it offline.
 */

#include <urcu-qsbr.h>
#include <urcu/static/urcu-qsbr.h>

#include "lane_impl.h"

/* How long, in us, moat_lane_offline() waits for a unit that completes nothing. */
#define SETTLE_US 10000

/* Lanes that one call of moat_lanes_quiescent() polls. If a thread has more, its wait polls the
 * unit in between. */
#define LANES_A_TURN 64

static pthread_mutex_t threads = PTHREAD_MUTEX_INITIALIZER;
__thread struct lane_thread lane_thread
	__attribute__((tls_model("initial-exec"))) = { .lock = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t end_once = PTHREAD_ONCE_INIT;
static pthread_key_t end_key;

/* ------------------------------------------------------------------------------- liburcu */

/* The first lane goes online. A thread that has registered itself keeps its registration. */
static void rcu_enter(struct lane_thread *thread)
{
	if (!URCU_TLS(urcu_qsbr_reader).registered) {
		rcu_register_thread();
		thread->registered = true;
	} else if (!rcu_read_ongoing()) {
		rcu_thread_online();
	}
}

/* The last lane goes offline: no grace period may wait for this thread any more. */
static void rcu_leave(struct lane_thread *thread)
{
	if (thread->registered) {
		thread->registered = false;
		rcu_unregister_thread();
	} else if (URCU_TLS(urcu_qsbr_reader).registered) {
		rcu_thread_offline();
	}
}

enum lane_rcu lane_rcu_begin(void)
{
	if (!URCU_TLS(urcu_qsbr_reader).registered) {
		rcu_register_thread();
		return LANE_RCU_REGISTERED;
	}
	if (rcu_read_ongoing())
		return LANE_RCU_NOTHING;
	rcu_thread_online();
	return LANE_RCU_ONLINE;
}

void lane_rcu_end(enum lane_rcu was)
{
	if (was == LANE_RCU_REGISTERED)
		rcu_unregister_thread();
	else if (was == LANE_RCU_ONLINE)
		rcu_thread_offline();
}

/* --------------------------------------------------------------------------------- the ring */

/* Add a lane to a thread's ring. `threads` and the thread's lock are held. */
static void ring_add(struct lane_thread *thread, struct lane *lane)
{
	if (thread->turn == NULL) {
		lane->next = lane->prev = thread->turn = lane;
	} else {
		lane->next = thread->turn;
		lane->prev = thread->turn->prev;
		lane->prev->next = lane;
		lane->next->prev = lane;
	}
	lane->thread = thread;
	thread->online++;
}

static void ring_remove(struct lane_thread *thread, struct lane *lane)
{
	lane->prev->next = lane->next;
	lane->next->prev = lane->prev;
	if (thread->turn == lane)
		thread->turn = lane->next != lane ? lane->next : NULL;
	lane->thread = NULL;
	thread->online--;
}

void lane_parent_enter(const struct lane *lane)
{
	struct moat_domain *parent = lane->domain->parent;

	rte_rcu_qsbr_thread_online(parent->readers, lane->parent_reader);
	/* sequentially consistent, as in reader_enter() */
	atomic_fetch_add(&parent->nr_readers, 1);
}

void lane_parent_leave(const struct lane *lane)
{
	struct moat_domain *parent = lane->domain->parent;

	atomic_fetch_sub(&parent->nr_readers, 1);
	rte_rcu_qsbr_thread_offline(parent->readers, lane->parent_reader);
}

/* Make the lane a reader: from now on tickets of other lanes wait for it. */
static void reader_enter(struct lane *lane)
{
	lane->online = true;
	lane->pub.iotlb.offline = false;
	rte_rcu_qsbr_thread_online(lane->domain->readers, lane->reader);
	/* Sequentially consistent, with the load in readers_start(): either that flush sees this
	 * reader and asks for its quiescence, or this reader's translations come after the flush's
	 * cleared entries. */
	atomic_fetch_add(&lane->domain->nr_readers, 1);
	if (lane->domain->nesting == MOAT_NEST_CHILD)
		lane_parent_enter(lane);
}

static void reader_leave(struct lane *lane)
{
	lane->online = false;
	lane->pub.iotlb.offline = true;
	if (lane->domain->nesting == MOAT_NEST_CHILD)
		lane_parent_leave(lane);
	atomic_fetch_sub(&lane->domain->nr_readers, 1);
	rte_rcu_qsbr_thread_offline(lane->domain->readers, lane->reader);
}

/* A thread ends. It holds no translation any more, so its online lanes go offline, and it is
 * unregistered from liburcu, whose list of readers must not point to freed memory. */
static void thread_end(void *arg)
{
	struct lane_thread *thread = arg;

	pthread_mutex_lock(&threads);
	pthread_mutex_lock(&thread->lock);
	while (thread->turn != NULL) {
		struct lane *lane = thread->turn;

		reader_leave(lane);
		ring_remove(thread, lane);
		lane_leave(lane);
	}
	pthread_mutex_unlock(&thread->lock);
	pthread_mutex_unlock(&threads);
	if (thread->registered) {
		thread->registered = false;
		rcu_unregister_thread();
	}
	lane_stock_free(thread);
	thread->ends = false;
}

static void end_key_create(void)
{
	pthread_key_create(&end_key, thread_end);
}

void lane_thread_watch(void)
{
	if (likely(lane_thread.ends))
		return;
	lane_thread.ends = true;
	pthread_once(&end_once, end_key_create);
	pthread_setspecific(end_key, &lane_thread);
}

void moat_lane_online(struct moat_lane *pub)
{
	struct lane *lane = lane_own(pub);
	struct lane_thread *thread = &lane_thread;

	if (lane->online)
		return;
	lane_thread_watch();
	lane_stock_fill(); /* if memory runs out, a later unmap reports it */
	if (thread->online == 0)
		rcu_enter(thread);
	pthread_mutex_lock(&threads);
	pthread_mutex_lock(&thread->lock);
	ring_add(thread, lane);
	pthread_mutex_unlock(&thread->lock);
	pthread_mutex_unlock(&threads);
	reader_enter(lane);
}

/* Wait for the lane's tickets, because other threads may need them, and the lane's own thread finds
 * them done. For a unit the wait is short: a thread that needs the ticket reports a unit that does
 * not answer. For readers it is long: the kernel may have preempted a thread that polls. If a drain
 * has waited for the ticket in vain, there is no further wait.
 * @return false: not all tickets are done */
static bool lane_settle(struct lane *lane)
{
	uint64_t begin = moat_now_us(), us;

	do {
		lane_flush(lane);
		lane_send(lane);
		if (lane_poll(lane) == lane->flushed &&
			(lane->gathering == NULL || moat_gather_empty(&lane->gathering->gather)))
			return true;
		if (lane_done(lane) + 1 == lane->stuck)
			return false;
		lane_wait_turn(lane);
		us = moat_now_us() - begin;
	} while (us < SETTLE_US || (us < moat_patience_us && lane_awaits_readers(lane)));
	return false;
}

void lane_take_back(struct lane *lane)
{
	while (!lane_take(lane, LANE_KEPT)) { /* wait for the poll of another thread */
		rte_pause();
		lane_yield(&lane_thread);
	}
}

void lane_disown(struct lane *lane)
{
	struct lane_thread *thread;

	pthread_mutex_lock(&threads);
	thread = lane->thread;
	if (thread != NULL && thread != &lane_thread) {
		pthread_mutex_lock(&thread->lock);
		ring_remove(thread, lane);
		reader_leave(lane);
		pthread_mutex_unlock(&thread->lock);
	}
	pthread_mutex_unlock(&threads);
}

/* Set a lane of the calling thread offline. */
static void lane_go_offline(struct lane *lane)
{
	struct lane_thread *thread = &lane_thread;

	reader_leave(lane);
	pthread_mutex_lock(&threads);
	pthread_mutex_lock(&thread->lock);
	ring_remove(thread, lane);
	pthread_mutex_unlock(&thread->lock);
	pthread_mutex_unlock(&threads);
	if (thread->online == 0)
		rcu_leave(thread);
}

void moat_lane_offline(struct moat_lane *pub)
{
	struct lane *lane = lane_own(pub);
	bool settled;

	if (!lane->online)
		return;
	lane_disown(lane);
	settled = lane_settle(lane);
	/* If another thread had the lane online, lane_disown() has set it offline. That thread
	 * leaves liburcu with its next lane, or when it ends. */
	if (lane->online)
		lane_go_offline(lane);
	if (!settled)
		lane_leave(lane);
}

/* ------------------------------------------------------------------------------- waiting */

/* Poll up to LANES_A_TURN lanes of the calling thread's ring, beginning where the last call
 * stopped. */
static void ring_poll(struct lane_thread *thread)
{
	pthread_mutex_lock(&thread->lock);
	thread->polling = true;
	for (uint32_t i = RTE_MIN(thread->online, (uint32_t)LANES_A_TURN); i != 0; i--) {
		struct lane *lane = thread->turn;

		if (lane_done(lane) != lane->flushed || lane_is_asked(lane))
			moat_lane_poll(&lane->pub);
		else
			lane_quiescent(lane);
		thread->turn = lane->next;
	}
	thread->polling = false;
	pthread_mutex_unlock(&thread->lock);
}

void moat_lanes_quiescent(void)
{
	struct lane_thread *thread = &lane_thread;

	if (thread->online != 0 && !thread->polling)
		ring_poll(thread);
	if (URCU_TLS(urcu_qsbr_reader).registered && rcu_read_ongoing())
		rcu_quiescent_state();
	if (!thread->polling)
		lane_yield(thread);
}
