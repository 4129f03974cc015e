/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* How a lane's batches reach the units: closing, coalescing, submitting. lane_complete.c has the
 * rest. */

#include <errno.h>
#include <string.h>

#include "lane_impl.h"
#include "moat_counter.h"
#include "moat_probe.h"

/* Submit one unit's part of a gather (NULL: everything). @return its sequence number, or a negative
 * errno */
static inline int64_t unit_submit(struct lane *lane, unsigned int nr, const moat_tag_t tags[],
	unsigned int n, const struct moat_gather *gather)
{
	const struct domain_unit *u = &domain_impl(lane->domain)->units[nr];
	struct moat_inval_report report = { 0 };
	int64_t seq = u->submit(u->unit, tags, n, gather, &report);

	if (likely(seq > 0)) {
		moat_counter_add(&lane->stats.descriptors, report.commands);
		lane->coalesce.contended = report.contended;
	} else {
		moat_counter_add(&lane->stats.full, 1);
	}
	return seq;
}

/* Submit to each unit in turn, for a domain with more tags than one of its own unit. If another
 * unit has no room, its number in `others` is < 0, and a later poll submits again. */
static __rte_noinline int64_t submit_tags(struct lane *lane, const struct moat_gather *gather,
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
 * @return the own unit's sequence number, > 0; or a negative errno: nothing was submitted; -ESTALE:
 *   tags were added meanwhile, so that the submission is incomplete
 */
static inline int64_t submit_gather(struct lane *lane, const struct moat_gather *gather,
	int64_t others[])
{
	const struct domain_impl *impl = domain_impl(lane->domain);
	/* T2, see domain_attach.c. acquire: the tags read below are at least as new as this
	 * version. The second load follows the submission, a full barrier, and is sequentially
	 * consistent. */
	uint32_t version = atomic_load_explicit(&impl->tag_version, memory_order_acquire);
	moat_tag_t own = 0;
	int64_t seq;

	if (likely(atomic_load_explicit(&impl->nr_tags, memory_order_relaxed) == 1))
		own = atomic_load_explicit(&impl->tags[0], memory_order_relaxed);
	if (likely(own != 0 && MOAT_TAG_UNIT(own) == 0))
		seq = unit_submit(lane, 0, &own, 1, gather);
	else
		seq = submit_tags(lane, gather, others);
	if (unlikely(seq > 0 && atomic_load(&impl->tag_version) != version))
		return -ESTALE;
	return seq;
}

void batch_submit_wide(struct lane *lane, struct batch *batch)
{
	memset(batch->others, 0, sizeof(batch->others));
	batch->seq = submit_gather(lane, NULL, batch->others);
}

/* Start a grace period for the present readers. @return its token; 0: no other lane is a reader.
 * The load of `nr_readers` is sequentially consistent, and the submission, a full barrier, lies
 * between it and the cleared entries. It pairs with reader_enter(): a reader that is not counted
 * here cannot have seen the old entries. */
static uint64_t readers_start(const struct lane *lane)
{
	struct moat_domain *domain = lane->domain;

	if (atomic_load(&domain->nr_readers) > (lane->online ? 1u : 0u))
		return rte_rcu_qsbr_start(domain->readers);
	return 0;
}

/* Join as many closed batches as one gather can hold. @return the ticket of the last of them */
static __rte_noinline moat_ticket_t batches_join(const struct lane *lane,
	struct moat_gather *joined)
{
	moat_ticket_t last = lane->sent;

	moat_gather_reset(joined);
	for (const struct batch *batch = lane->unsent; batch != NULL; batch = batch->next) {
		const struct moat_gather *g = &batch->gather;

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

/* Submit the oldest closed batch, with the next ones that fit. @return 0 or a negative errno */
static int batches_submit(struct lane *lane)
{
	const struct moat_gather *gather = &lane->unsent->gather;
	moat_ticket_t last = lane->sent + 1;
	int64_t seq, others[DOMAIN_UNITS - 1] = { 0 };
	struct moat_gather joined;
	bool has_others;
	uint64_t token;

	if (last != lane->flushed) {
		last = batches_join(lane, &joined);
		gather = &joined;
	}
	seq = submit_gather(lane, gather, others);
	if (unlikely(seq < 0 && seq != -ESTALE)) /* -ESTALE: a poll will submit again, wider */
		return (int)seq;
	token = readers_start(lane);
	/* relaxed: this thread has written `others` */
	has_others = atomic_load_explicit(&domain_impl(lane->domain)->nr_units,
			     memory_order_relaxed) > 1;
	moat_counter_add(&lane->stats.flushes, 1);
	MOAT_PROBE3(submit, lane->domain->did, last, gather->pages);
	for (; lane->sent != last; lane->sent++) {
		struct batch *batch = lane->unsent;

		batch->seq = seq;
		batch->token = token;
		if (unlikely(has_others))
			memcpy(batch->others, others, sizeof(others));
		lane->unsent = batch->next;
	}
	lane_coalesce_submitted(&lane->coalesce);
	return 0;
}

void lane_submit_if_time(struct lane *lane)
{
	if (lane_coalesce_is_time(&lane->coalesce, lane->flushed - lane->sent,
		    lane->sent != lane_done(lane)))
		batches_submit(lane);
}

void lane_send(struct lane *lane)
{
	while (lane->unsent != NULL && batches_submit(lane) == 0)
		;
}

void moat_lane_send(struct moat_lane *pub)
{
	lane_send(lane_own(pub));
}

/* Close the gathering batch, which gets the next ticket. */
static inline void batch_close(struct lane *lane)
{
	struct batch *batch = lane->gathering;

	batch->next = NULL;
	if (lane->oldest == NULL)
		lane->oldest = batch;
	else
		lane->newest->next = batch;
	lane->newest = batch;
	lane->gathering = NULL;
	lane->flushed++;
}

/* Unmap a batch in a unit that keeps the tables, with one call for each run; runs that are
 * neighbours are merged first. On return no device reaches the pages. After an error the remaining
 * runs wait for the next flush. */
static int batch_call(struct lane *lane, struct batch *batch)
{
	struct moat_domain *domain = lane->domain;

	moat_gather_merge(&batch->gather);
	while (batch->gather.n != 0) {
		const struct moat_range *run = &batch->gather.run[batch->gather.n - 1];
		int rc = domain->unit->ops->unmap(domain->unit, domain->priv, run->iova, run->len);

		if (rc != 0)
			return rc;
		moat_counter_add(&lane->stats.descriptors, 1);
		batch->gather.n--;
	}
	return 0;
}

/* Flush to a unit that keeps the tables: unmap the batch; its ticket then waits for readers
 * only. */
static int flush_call(struct lane *lane)
{
	struct batch *batch = lane->gathering;
	int rc = batch_call(lane, batch);

	if (rc != 0)
		return rc;
	batch->token = readers_start(lane);
	moat_counter_add(&lane->stats.flushes, 1);
	MOAT_PROBE3(submit, lane->domain->did, lane->flushed + 1, batch->gather.pages);
	batch_close(lane);
	lane->sent = lane->flushed;
	return 0;
}

int lane_flush(struct lane *lane)
{
	struct batch *batch = lane->gathering;

	if (batch == NULL || lane_is_full(lane) || moat_gather_empty(&batch->gather))
		return 0;
	if (unlikely(!domain_tables_ours(lane->domain)))
		return flush_call(lane);
	batch_close(lane);
	if (lane->unsent == NULL)
		lane->unsent = batch;
	lane_submit_if_time(lane);
	return 0;
}

moat_ticket_t moat_lane_flush(struct moat_lane *pub)
{
	struct lane *lane = lane_own(pub);

	return likely(lane_flush(lane) == 0) ? lane->flushed : 0;
}
