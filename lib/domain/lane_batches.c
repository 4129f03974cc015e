/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A lane's batches: when they go to the unit, when their tickets are done, what that releases. */

#include <errno.h>
#include <string.h>

#include <rte_cycles.h>
#include <urcu-qsbr.h>

#include "domain_impl.h"
#include "moat_mutant.h"
#include "moat_probe.h"

static void batch_reset(struct moat_batch *batch)
{
	moat_gather_reset(&batch->gather);
	batch->nr_iovas = 0;
	batch->exposed = 0;
	batch->exposed_since = 0;
	batch->seq = 0;
	batch->token = 0;
}

/* ------------------------------------------------------------------------------- submitting */

/* One unit's part of a gather (NULL: everything). @return its sequence number, or why not */
static inline int64_t unit_submit(struct moat_lane *lane, unsigned int nr, const moat_tag_t tags[],
	unsigned int n, const struct moat_gather *gather)
{
	const struct domain_unit *u = &domain_impl(lane->domain)->units[nr];
	struct moat_inval_report report = { 0 };
	int64_t seq = u->submit(u->unit, tags, n, gather, &report);

	if (likely(seq > 0)) {
		lane->stats.descriptors += report.commands;
		lane->crowded = report.contended;
	} else {
		lane->stats.full++;
	}
	return seq;
}

/* A domain with more tags than its own unit's: each unit, in turn. What a unit had no room for is
 * submitted by a later poll (a sequence number < 0 says so). */
static __rte_noinline int64_t submit_tags(struct moat_lane *lane, const struct moat_gather *gather,
	int64_t others[])
{
	const struct domain_impl *impl = domain_impl(lane->domain);
	moat_tag_t tags[DOMAIN_TAGS];
	unsigned int n = domain_tags(impl, 0, tags);
	int64_t seq = unit_submit(lane, 0, tags, n, gather);

	if (seq <= 0)
		return seq;
	/* acquire: pairs with the release in domain_join() */
	for (uint32_t i = atomic_load_explicit(&impl->nr_units, memory_order_acquire); i-- > 1;) {
		n = domain_tags(impl, i, tags);
		others[i - 1] = n != 0 ? unit_submit(lane, i, tags, n, gather) : 0;
	}
	return seq;
}

/*
 * Submit the invalidations of a gather. @param others receives the other units' sequence numbers
 * @return the own unit's, > 0; or why nothing was submitted; -ESTALE: tags have come meanwhile, so
 *   that what was submitted is not all
 */
static inline int64_t submit_gather(struct moat_lane *lane, const struct moat_gather *gather,
	int64_t others[])
{
	const struct domain_impl *impl = domain_impl(lane->domain);
	/* T2, see domain_attach.c. acquire: the tags read below are as new as this. Then, after the
	 * submission, a full barrier, sequentially consistent. */
	uint32_t version = atomic_load_explicit(&impl->tag_version, memory_order_acquire);
	int64_t seq;

	if (likely(atomic_load_explicit(&impl->nr_tags, memory_order_relaxed) == 1)) {
		moat_tag_t own = atomic_load_explicit(&impl->tags[0], memory_order_relaxed);

		seq = unit_submit(lane, 0, &own, 1, gather);
	} else {
		seq = submit_tags(lane, gather, others);
	}
	if (unlikely(seq > 0 && atomic_load(&impl->tag_version) != version))
		return -ESTALE;
	return seq;
}

/* The unit has refused a batch, or was not told of all: everything of the domain then, on all of its
 * units. Until that succeeds, `seq` is negative, and a later poll comes here again. */
static void batch_submit_wide(struct moat_lane *lane, struct moat_batch *batch)
{
	memset(batch->others, 0, sizeof(batch->others));
	batch->seq = submit_gather(lane, NULL, batch->others);
}

/* What says that the other readers of now have been quiescent; 0: there are none. Sequentially
 * consistent, after the cleared entries: the submission's atomic is between. With moat_lane_online(): a
 * reader not counted here cannot have seen the old entries. */
static uint64_t start_readers(const struct moat_lane *lane)
{
	struct moat_domain *domain = lane->domain;

	if (atomic_load(&domain->nr_readers) > (MOAT_MUTANT(FORGET_READER) || lane->online))
		return rte_rcu_qsbr_start(domain->readers);
	return 0;
}

/* As many of the closed batches as one gather holds. @return the ticket of the last of them */
static __rte_noinline moat_ticket_t join(const struct moat_lane *lane, struct moat_gather *joined)
{
	moat_ticket_t last = lane->sent;

	moat_gather_reset(joined);
	while (last != lane->flushed) {
		const struct moat_gather *g = &lane->batch[last % MOAT_LANE_BATCHES].gather;

		if (joined->n + g->n > MOAT_GATHER_RUNS)
			break;
		for (uint32_t i = 0; i < g->n; i++)
			moat_gather_add(joined, g->run[i].iova, g->run[i].len);
		joined->whole |= g->whole;
		joined->tables |= g->tables;
		last++;
	}
	return last;
}

/* Submit the oldest of the closed batches, and those behind it that fit. @return 0 or why not */
static int send(struct moat_lane *lane)
{
	const struct moat_gather *gather = &lane->batch[lane->sent % MOAT_LANE_BATCHES].gather;
	moat_ticket_t last = lane->sent + 1;
	int64_t seq, others[DOMAIN_UNITS - 1] = { 0 };
	struct moat_gather joined;
	bool has_others;
	uint64_t token;

	if (last != lane->flushed) {
		last = join(lane, &joined);
		gather = &joined;
	}
	seq = submit_gather(lane, gather, others);
	if (unlikely(seq < 0 && seq != -ESTALE)) /* then a poll submits again, wider */
		return (int)seq;
	token = start_readers(lane);
	has_others = domain_impl(lane->domain)->nr_units > 1;
	lane->stats.flushes++;
	MOAT_PROBE3(submit, lane->domain->did, last, gather->pages);
	for (; lane->sent != last; lane->sent++) {
		struct moat_batch *batch = &lane->batch[lane->sent % MOAT_LANE_BATCHES];

		batch->seq = seq;
		batch->token = token;
		if (unlikely(has_others))
			memcpy(batch->others, others, sizeof(others));
	}
	lane->kept_polls = 0;
	return 0;
}

/* Has what is closed waited enough for company? Where the queue is the lane's alone, when the unit is
 * through with what it has; in a crowded one not before some polls, so that more come along. */
static inline bool is_time(struct moat_lane *lane)
{
	uint64_t kept = lane->flushed - lane->sent;

	if (kept >= (lane->crowded ? MOAT_LANE_TOGETHER_CROWDED : MOAT_LANE_TOGETHER))
		return true;
	return lane->sent == lane_done(lane) &&
		(!lane->crowded || lane->kept_polls >= MOAT_LANE_TOGETHER_CROWDED);
}

void moat_lane_send(struct moat_lane *lane)
{
	while (lane->sent != lane->flushed && send(lane) == 0)
		;
}

/* A unit that keeps the tables: one call for each run of neighbours, in whatever order they came; on
 * return nothing reaches them. After an error the runs that are left wait for the next flush. */
static int batch_call(struct moat_lane *lane, struct moat_batch *batch)
{
	struct moat_domain *domain = lane->domain;

	moat_gather_merge(&batch->gather);
	while (batch->gather.n != 0) {
		const struct moat_range *run = &batch->gather.run[batch->gather.n - 1];
		int rc = domain->unit->ops->unmap(domain->unit, domain->priv, run->iova, run->len);

		if (rc != 0)
			return rc;
		lane->stats.descriptors++;
		batch->gather.n--;
	}
	return 0;
}

/* A unit that keeps the tables: what is flushed is unmapped; a ticket then waits for readers only. */
static int flush_call(struct moat_lane *lane, struct moat_batch *batch)
{
	int rc = batch_call(lane, batch);

	if (rc != 0)
		return rc;
	batch->token = start_readers(lane);
	lane->stats.flushes++;
	MOAT_PROBE3(submit, lane->domain->did, lane->flushed + 1, batch->gather.pages);
	lane->sent = ++lane->flushed;
	return 0;
}

/* @return 0, or why the batch could not be closed */
static int lane_flush(struct moat_lane *lane)
{
	struct moat_batch *batch = lane_gathering(lane);

	if (lane->flushed - lane_done(lane) >= MOAT_LANE_BATCHES || moat_gather_empty(&batch->gather))
		return 0;
	if (unlikely(!domain_tables_ours(lane->domain)))
		return flush_call(lane, batch);
	lane->flushed++;
	if (is_time(lane))
		send(lane);
	return 0;
}

moat_ticket_t moat_lane_flush(struct moat_lane *lane)
{
	return likely(lane_flush(lane) == 0) ? lane->flushed : 0;
}

/* ------------------------------------------------------------------------------- completing */

/* The window in which pages handed on early could still be reached ends now. */
static void account_exposure(struct moat_lane *lane, const struct moat_batch *batch)
{
	uint64_t open = rte_rdtsc() - batch->exposed_since;
	unsigned int log2 = 63 - (unsigned int)__builtin_clzll(open | 1);

	if (MOAT_MUTANT(WINDOW_UNDERSTATED))
		open /= 16;
	lane->stats.exposed_pages += batch->exposed;
	lane->stats.exposed_page_cycles += batch->exposed * open;
	lane->stats.exposed_max = RTE_MAX(lane->stats.exposed_max, open);
	lane->stats.exposed_windows[RTE_MIN(log2, MOAT_LANE_WINDOWS - 1u)] += batch->exposed;
}

/* The ticket is done: hand back what waited for it. */
static void batch_reclaim(struct moat_lane *lane, struct moat_batch *batch)
{
	struct moat_domain *domain = lane->domain;
	struct moat_witness *witness = domain->unit->witness;

	if (unlikely(witness != NULL)) /* what was handed on early it has released already */
		for (uint32_t i = 0; i < batch->gather.n; i++)
			witness->released(witness, domain->did, batch->gather.run[i].iova,
				batch->gather.run[i].len, lane_cause(lane, lane_done(lane) + 1));
	for (uint32_t i = 0; i < batch->nr_iovas; i++)
		moat_iova_free(domain->iova, lane->iovas, batch->iovas[i].iova,
			batch->iovas[i].len);
	if (unlikely(batch->exposed != 0))
		account_exposure(lane, batch);
	if (batch->freed.n != 0)
		moat_pt_pool_retire(domain->unit->pool, &batch->freed);
	batch_reset(batch);
}

/* The other units of the domain. @return 1: all have completed; 0: not yet; < 0: one has refused */
static __rte_noinline int others_done(const struct domain_impl *impl, const struct moat_batch *batch)
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

/* Condition (a). A batch that a unit has refused is submitted again, wider, until it is complete. */
static bool units_done(struct moat_lane *lane, struct moat_batch *batch)
{
	const struct domain_impl *impl = domain_impl(lane->domain);
	int rc = -EAGAIN;

	if (batch->seq == 0)
		return true;
	if (likely(batch->seq > 0)) {
		/* Of tickets that went in one submission, the first that is done asks. */
		rc = batch->seq == lane->through ||
				MOAT_MUTANT(TICKET_BEFORE_UNIT)
			? 1
			: impl->units[0].done(impl->units[0].unit, batch->seq);
		if (likely(rc == 1)) {
			lane->through = batch->seq;
			/* relaxed: `others` was written by this thread */
			if (likely(atomic_load_explicit(&impl->nr_units, memory_order_relaxed) ==
				    1))
				return true;
			rc = others_done(impl, batch);
		}
		if (rc >= 0)
			return rc;
		lane->stats.retried++;
	}
	batch_submit_wide(lane, batch);
	return false;
}

/* Condition (b). */
static bool readers_done(struct moat_lane *lane, struct moat_batch *batch)
{
	return batch->token == 0 || MOAT_MUTANT(TICKET_BEFORE_READERS) ||
		rte_rcu_qsbr_check(lane->domain->readers, batch->token, false) == 1;
}

moat_ticket_t moat_lane_poll(struct moat_lane *lane)
{
	moat_ticket_t done = lane_done(lane);

	if (lane->online) {
		rte_rcu_qsbr_quiescent(lane->domain->readers, lane->reader);
		rcu_quiescent_state();
	}
	while (done != (MOAT_MUTANT(KEPT_IS_DONE) ? lane->flushed : lane->sent)) {
		struct moat_batch *batch = &lane->batch[done % MOAT_LANE_BATCHES];

		if (!units_done(lane, batch) || !readers_done(lane, batch))
			break;
		batch_reclaim(lane, batch);
		/* D1: release, pairs with D2 in moat_lane_done(): a thread that finds the ticket done
		 * also sees what made it so, the unit's status write (acquired in moat_qi_done()) and
		 * the readers' quiescent states (acquired in rte_rcu_qsbr_check()). What it does to
		 * the buffer then comes after both. */
		atomic_store_explicit(&lane->done, ++done, memory_order_release);
		MOAT_PROBE2(ticket_done, lane->domain->did, done);
	}
	if (unlikely(lane->sent != lane->flushed)) {
		lane->kept_polls++;
		if (is_time(lane) && !MOAT_MUTANT(KEPT_FOR_EVER))
			send(lane);
	}
	return done;
}

bool moat_lane_done(const struct moat_lane *lane, moat_ticket_t ticket)
{
	/* D2: acquire, pairs with D1 in moat_lane_poll() */
	return ticket <= atomic_load_explicit(&lane->done, memory_order_acquire);
}

/* Nothing has been done for a second: say what is missing. */
static int drain_stuck(struct moat_lane *lane)
{
	const struct moat_batch *batch = &lane->batch[lane_done(lane) % MOAT_LANE_BATCHES];
	const struct domain_impl *impl = domain_impl(lane->domain);

	for (uint32_t i = 0; i < impl->nr_units && domain_tables_ours(lane->domain); i++) {
		const struct domain_unit *u = &impl->units[i];
		int64_t seq = i == 0 ? batch->seq : batch->others[i - 1];
		int rc = seq > 0 ? u->wait(u->unit, seq, 1000, moat_lanes_quiescent) : 0;

		if (rc != 0)
			return rc;
	}
	return moat_error(-ETIMEDOUT,
		"domain '%s': another lcore that uses it has not polled for 1 s; "
		"each lane must be polled or set offline",
		lane->domain->name);
}

int moat_lane_drain(struct moat_lane *lane)
{
	uint64_t deadline = moat_now_us() + DOMAIN_PATIENCE_US;
	moat_ticket_t before = lane_done(lane);

	while (!moat_gather_empty(&lane_gathering(lane)->gather) || lane_done(lane) != lane->flushed) {
		int rc = lane_flush(lane);

		moat_lane_send(lane);
		/* A unit that keeps the tables has said what is wrong; asking again changes nothing. */
		if (unlikely(rc != 0 && rc != -EAGAIN && !domain_tables_ours(lane->domain)))
			return rc;
		if (moat_lane_poll(lane) != before) {
			before = lane_done(lane);
			deadline = moat_now_us() + DOMAIN_PATIENCE_US;
		} else if (moat_now_us() > deadline) {
			return drain_stuck(lane);
		}
		lane_wait_turn(lane);
	}
	return 0;
}
