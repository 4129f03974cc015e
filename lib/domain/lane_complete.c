/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* How a lane's tickets become done: the two conditions, what is reclaimed then, and waiting. */

#include <errno.h>

#include <rte_cycles.h>
#include <urcu-qsbr.h>

#include "lane_impl.h"
#include "moat_counter.h"
#include "moat_probe.h"

static void batch_reset(struct batch *batch)
{
	moat_gather_reset(&batch->gather);
	batch->nr_iovas = 0;
	batch->exposed = 0;
	batch->exposed_since = 0;
	batch->seq = 0;
	batch->token = 0;
}

/* Count the exposure of pages that were handed on early. It ends now. */
static void account_exposure(struct lane *lane, const struct batch *batch)
{
	uint64_t open = rte_rdtsc() - batch->exposed_since;
	unsigned int log2 = 63 - (unsigned int)__builtin_clzll(open | 1);

	moat_counter_add(&lane->stats.exposed_pages, batch->exposed);
	moat_counter_add(&lane->stats.exposed_page_cycles, batch->exposed * open);
	moat_counter_max(&lane->stats.exposed_max, open);
	moat_counter_add(&lane->stats.exposed_windows[RTE_MIN(log2, MOAT_LANE_WINDOWS - 1u)],
		batch->exposed);
}

/* The ticket is done: release what waited for it. */
static void batch_reclaim(struct lane *lane, struct batch *batch)
{
	struct moat_domain *domain = lane->domain;
	struct moat_witness *witness = domain->unit->witness;

	if (unlikely(witness != NULL)) /* also of pages for which released_early() was called */
		for (uint32_t i = 0; i < batch->gather.n; i++)
			witness->released(witness, domain->did, batch->gather.run[i].iova,
				batch->gather.run[i].len, lane_cause(lane, lane_done(lane) + 1));
	for (uint32_t i = 0; i < batch->nr_iovas; i++)
		moat_iova_free(domain->iova, lane->iovas, batch->iovas[i].iova,
			batch->iovas[i].len);
	if (unlikely(batch->exposed != 0))
		account_exposure(lane, batch);
	if (batch->freed.n != 0)
		moat_pt_pool_retire(domain_impl(domain)->pool, &batch->freed);
	batch_reset(batch);
}

/* Check the domain's other units. @return 1: all have completed; 0: not yet; < 0: one has
 * refused */
static __rte_noinline int others_done(const struct domain_impl *impl, const struct batch *batch)
{
	for (unsigned int i = 1; i < DOMAIN_UNITS; i++) {
		const struct domain_unit *u = &impl->units[i];
		int64_t seq = batch->others[i - 1];
		int rc = seq > 0 ? u->done(u->unit, seq) : seq < 0 ? -EAGAIN : 1;

		if (rc != 1)
			return rc;
	}
	return 1;
}

/* Check condition (a). A batch that a unit has refused is submitted again, wider, until it is
 * complete. */
static bool units_done(struct lane *lane, struct batch *batch)
{
	const struct domain_impl *impl = domain_impl(lane->domain);
	int rc = -EAGAIN;

	if (batch->seq == 0)
		return true;
	if (likely(batch->seq > 0)) {
		/* Batches of one submission share its seq: only the first asks the unit. */
		rc = batch->seq == lane->completed
			? 1
			: impl->units[0].done(impl->units[0].unit, batch->seq);
		if (likely(rc == 1)) {
			lane->completed = batch->seq;
			/* relaxed: `others` was written by this thread */
			if (likely(atomic_load_explicit(&impl->nr_units, memory_order_relaxed) ==
				    1))
				return true;
			rc = others_done(impl, batch);
		}
		if (rc >= 0)
			return rc;
		moat_counter_add(&lane->stats.retried, 1);
	}
	batch_submit_wide(lane, batch);
	return false;
}

/* Check condition (b). */
static bool readers_done(struct lane *lane, struct batch *batch)
{
	return batch->token == 0 ||
		rte_rcu_qsbr_check(lane->domain->readers, batch->token, false) == 1;
}

bool lane_awaits_readers(struct lane *lane)
{
	return lane_done(lane) != lane->sent && units_done(lane, lane->oldest);
}

void moat_lane_ask(struct moat_lane *pub)
{
	/* relaxed: only a request; D1 and D2 order the ticket */
	atomic_store_explicit(&lane_of(pub)->asked, true, memory_order_relaxed);
}

/* Close and submit what is gathered, because another thread waits for it. */
static __rte_noinline void lane_answer(struct lane *lane)
{
	atomic_store_explicit(&lane->asked, false, memory_order_relaxed);
	if (lane_is_full(lane) || lane_flush(lane) != 0)
		moat_lane_ask(&lane->pub); /* a later poll tries again */
	lane_send(lane);
}

moat_ticket_t lane_poll(struct lane *lane)
{
	moat_ticket_t done = lane_done(lane);

	if (lane_is_asked(lane))
		lane_answer(lane);
	if (lane->online) {
		lane_quiescent(lane);
		rcu_quiescent_state();
	} else { /* any thread may poll the lane, and its stock gets the batches */
		lane_thread_watch();
	}
	while (done != lane->sent) {
		struct batch *batch = lane->oldest;

		if (!units_done(lane, batch) || !readers_done(lane, batch))
			break;
		batch_reclaim(lane, batch);
		lane->oldest = batch->next;
		lane_stock_put(batch);
		/* D1: release, pairs with D2 in moat_lane_done(): a thread that finds the ticket
		 * done also sees what made it so, the unit's status write (acquired in
		 * inval_done()) and the readers' quiescent states (acquired in
		 * rte_rcu_qsbr_check()). What it does to the buffer then comes after both. */
		atomic_store_explicit(&lane->done, ++done, memory_order_release);
		MOAT_PROBE2(ticket_done, lane->domain->did, done);
	}
	if (unlikely(lane->unsent != NULL)) {
		lane->coalesce.polls++;
		lane_submit_if_time(lane);
	}
	return done;
}

moat_ticket_t moat_lane_poll(struct moat_lane *pub)
{
	return lane_poll(lane_own(pub));
}

void moat_lane_help(struct moat_lane *pub)
{
	struct lane *lane = lane_of(pub);

	/* relaxed: L1 checks again */
	if (likely(atomic_load_explicit(&lane->left, memory_order_relaxed) != LANE_LEFT) ||
		!lane_take(lane, LANE_HELPED))
		return;
	lane_answer(lane);
	lane_poll(lane);
	lane_leave(lane);
}

bool moat_lane_done(const struct moat_lane *lane, moat_ticket_t ticket)
{
	/* D2: acquire, pairs with D1 in lane_poll() */
	return ticket <= atomic_load_explicit(&lane_of(lane)->done, memory_order_acquire);
}

/* No ticket became done for moat_patience_us: report what is missing. */
static int drain_stuck(struct lane *lane)
{
	const struct domain_impl *impl = domain_impl(lane->domain);
	moat_ticket_t ticket = lane_done(lane);

	lane->stuck = ticket + 1;
	for (uint32_t i = 0; i < impl->nr_units && domain_tables_ours(lane->domain); i++) {
		const struct domain_unit *u = &impl->units[i];
		const struct batch *batch = lane->oldest; /* each wait polls the lane */
		int64_t seq;

		if (batch == NULL || lane_done(lane) != ticket)
			break;
		seq = i == 0 ? batch->seq : batch->others[i - 1];
		if (seq > 0) {
			int rc = u->wait(u->unit, seq, 1000, moat_lanes_quiescent);

			if (rc != 0)
				return domain_unit_silent(u->unit, rc);
		}
	}
	return moat_error(-ETIMEDOUT,
		"domain '%s': another lcore of the domain has not polled for 1 s; "
		"each lane must be polled or set offline",
		lane->domain->name);
}

/* Is anything gathered or in flight? */
static inline bool lane_is_busy(const struct lane *lane)
{
	return lane_done(lane) != lane->flushed ||
		(lane->gathering != NULL && !moat_gather_empty(&lane->gathering->gather));
}

/* One turn of a drain: close, submit, poll.
 * @return 0, or the error of a unit that keeps the tables */
static inline int drain_turn(struct lane *lane)
{
	int rc = lane_flush(lane);

	lane_send(lane);
	/* A unit that keeps the tables has reported an error: another call would not help. */
	if (unlikely(rc != 0 && rc != -EAGAIN && !domain_tables_ours(lane->domain)))
		return rc;
	lane_poll(lane);
	return 0;
}

/* Wait with a deadline. A drain's first turn is not timed, because reading the clock takes longer
 * than a fast unit. */
static __rte_noinline int drain_wait(struct lane *lane)
{
	uint64_t deadline = moat_now_us() + moat_patience_us;
	moat_ticket_t before = lane_done(lane);

	do {
		int rc;

		lane_wait_turn(lane);
		rc = drain_turn(lane);
		if (unlikely(rc != 0))
			return rc;
		if (lane_done(lane) != before) {
			before = lane_done(lane);
			deadline = moat_now_us() + moat_patience_us;
		} else if (moat_now_us() > deadline) {
			rc = drain_stuck(lane);
			/* If this process did not run meanwhile, this poll is the first to find
			 * tickets done. */
			if (moat_lane_poll(&lane->pub) == before)
				return rc;
		}
	} while (lane_is_busy(lane));
	return 0;
}

int moat_lane_drain(struct moat_lane *pub)
{
	struct lane *lane = lane_own(pub);
	int rc = 0;

	if (lane_is_busy(lane))
		rc = drain_turn(lane);
	return likely(rc != 0 || !lane_is_busy(lane)) ? rc : drain_wait(lane);
}
