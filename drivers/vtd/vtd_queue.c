/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>

#include <rte_cycles.h>

#include "vtd_impl.h"

/** Cycles between two reads of FSTS by pollers. A register read costs about 1,000 cycles. */
#define LOOK_INTERVAL 20000

/* ------------------------------------------------------------------------------------ errors */

/** Under v->recovery: one thread handles errors while the others go on polling. */
static int errors_look(struct vtd *v)
{
	uint32_t fsts = vtd_read32(&v->w, VTD_FSTS);

	if (!(fsts & (VTD_FSTS_IQE | VTD_FSTS_ICE | VTD_FSTS_ITE)))
		return 0;
	return vtd_recover(v, fsts);
}

static int queue_poll(void *ctx)
{
	struct vtd *v = ctx;
	uint64_t now, due;
	int ret = 0;

	if (v->w.run != NULL)
		v->w.run(v->w.ctx);
	/* acquire: pairs with the release in give_up(), so that the epitaph is complete */
	if (unlikely(atomic_load_explicit(&v->dead, memory_order_acquire)))
		return moat_error(-EIO, "%s", v->epitaph);
	now = rte_rdtsc();
	/* relaxed: the time only keeps pollers from reading FSTS in each poll */
	due = atomic_load_explicit(&v->next_look, memory_order_relaxed);
	if (now < due ||
		!atomic_compare_exchange_strong_explicit(&v->next_look, &due, now + LOOK_INTERVAL,
			memory_order_relaxed, memory_order_relaxed))
		return 0;
	if (pthread_mutex_trylock(&v->recovery) != 0)
		return 0;
	ret = errors_look(v);
	pthread_mutex_unlock(&v->recovery);
	return ret;
}

/* --------------------------------------------------------------------------- create and sync */

/* For struct moat_qi_conf. */
static void queue_doorbell(void *ctx, uint64_t tail)
{
	vtd_iq_ring(ctx, tail);
}

static uint64_t queue_head(void *ctx)
{
	return vtd_iq_head(ctx);
}

int vtd_queue_create(struct vtd *v)
{
	struct moat_qi_conf conf = {
		.order = v->conf.qi_order,
		.wide = v->sm.on,
		.doorbell = queue_doorbell,
		.poll = queue_poll,
		.head = queue_head,
		.ctx = v,
	};
	int ret = vtd_pages_take(v, 1, &v->status);

	if (ret == 0)
		ret = vtd_pages_take(v, 1u << v->conf.qi_order, &v->queue);
	if (ret != 0)
		return ret;
	conf.ring = (struct moat_qi_desc *)v->queue.va;
	conf.status = (_Atomic uint32_t *)v->status.va;
	conf.status_hpa = v->status.hpa;
	return moat_qi_create(&conf, &v->unit.qi);
}

int vtd_queue_room(struct vtd *v, uint64_t end)
{
	if (queue_poll(v) != 0)
		return -EIO;
	if (vtd_now_ms() >= end)
		return moat_error(-ETIMEDOUT,
			"unit %s: no room in the invalidation queue for "
			"%u ms (head 0x%" PRIx64 ", tail 0x%" PRIx64
			"): the unit does not process the queue",
			v->unit.name, v->conf.deadline_ms, vtd_iq_head(v),
			vtd_read64(&v->w, VTD_IQT));
	moat_lanes_quiescent();
	sched_yield();
	return 0;
}

int vtd_queue_wait(struct vtd *v, int64_t seq)
{
	uint64_t timeout_us = (uint64_t)v->conf.deadline_ms * 1000;
	int ret = seq < 0 ? (int)seq
			  : moat_qi_wait_turns(v->unit.qi, seq, timeout_us, moat_lanes_quiescent);
	int why = ret == -EIO ? queue_poll(v) : 0; /* sets the text if the unit is dead */

	if (ret == -ETIMEDOUT)
		return moat_error(ret, "unit %s: no answer for %u ms: %s", v->unit.name,
			v->conf.deadline_ms, moat_error_text());
	return why != 0 ? why : ret;
}

int vtd_queue_sync(struct vtd *v, const struct moat_qi_desc desc[], unsigned int n)
{
	uint64_t end = vtd_now_ms() + v->conf.deadline_ms;
	int64_t seq;
	int ret;

	while ((seq = moat_qi_submit(v->unit.qi, desc, n)) == -EAGAIN) {
		ret = vtd_queue_room(v, end);
		if (ret != 0)
			return ret;
	}
	ret = vtd_queue_wait(v, seq);
	if (ret == 0 && moat_qi_failed(v->unit.qi, seq))
		return moat_error(-EIO, "unit %s refused an invalidation", v->unit.name);
	return ret;
}
