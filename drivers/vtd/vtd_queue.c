/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>

#include <rte_cycles.h>

#include "vtd_impl.h"

/** Cycles between two reads of FSTS by pollers: a register read costs about a thousand. */
#define LOOK_INTERVAL 20000

/* ----------------------------------------------------------------------------- IQT and IQH */

/*
 * lib/qi rings for one queue from one lcore at a time, but recovery has to write IQT, too: it
 * repeats the last tail, to wake units that sleep until then. Were it to repeat a tail that has
 * just been replaced, the unit would see IQT go backwards and take the whole ring for new work.
 * Hence the lock, which only recovery ever contends.
 */
static void tail_lock(struct vtd *v)
{
	/* acquire: sees the other's `tail` and comes behind its IQT write */
	while (atomic_flag_test_and_set_explicit(&v->tail_lock, memory_order_acquire))
		rte_pause();
}

static void tail_unlock(struct vtd *v)
{
	/* release: pairs with tail_lock() */
	atomic_flag_clear_explicit(&v->tail_lock, memory_order_release);
}

static void doorbell(void *ctx, uint64_t tail)
{
	struct vtd *v = ctx;

	tail_lock(v);
	v->tail = tail;
	vtd_write64(&v->w, VTD_IQT, tail);
	tail_unlock(v);
}

void vtd_queue_wake(struct vtd *v)
{
	tail_lock(v);
	vtd_write64(&v->w, VTD_IQT, v->tail);
	tail_unlock(v);
}

static uint64_t head(void *ctx)
{
	struct vtd *v = ctx;

	return vtd_read64(&v->w, VTD_IQH) & VTD_IQH_QH;
}

/* ------------------------------------------------------------------------------------ errors */

/** Errors are looked at and mended by one lcore; others go on polling. */
static int look(struct vtd *v)
{
	uint32_t fsts = vtd_read32(&v->w, VTD_FSTS);

	if (!(fsts & (VTD_FSTS_IQE | VTD_FSTS_ICE | VTD_FSTS_ITE)))
		return 0;
	return vtd_recover(v, fsts);
}

static int poll(void *ctx)
{
	struct vtd *v = ctx;
	uint64_t now, due;
	int ret = 0;

	if (v->w.run != NULL)
		v->w.run(v->w.ctx);
	/* acquire: the epitaph was written before; see give_up() */
	if (unlikely(atomic_load_explicit(&v->dead, memory_order_acquire)))
		return moat_error(-EIO, "%s", v->epitaph);
	now = rte_rdtsc();
	/* relaxed: only a clock that keeps pollers from reading FSTS all the time */
	due = atomic_load_explicit(&v->next_look, memory_order_relaxed);
	if (now < due ||
		!atomic_compare_exchange_strong_explicit(&v->next_look, &due, now + LOOK_INTERVAL,
			memory_order_relaxed, memory_order_relaxed))
		return 0;
	if (pthread_mutex_trylock(&v->recovery) != 0)
		return 0;
	ret = look(v);
	pthread_mutex_unlock(&v->recovery);
	return ret;
}

/* --------------------------------------------------------------------------- create and sync */

int vtd_queue_create(struct vtd *v)
{
	struct moat_qi_conf conf = {
		.order = v->conf.qi_order,
		.ring = (struct moat_qi_desc *)(v->mem_va + VTD_MEM_QUEUE),
		.status = (_Atomic uint32_t *)(v->mem_va + VTD_MEM_STATUS),
		.status_hpa = v->mem_hpa + VTD_MEM_STATUS,
		.doorbell = doorbell,
		.poll = poll,
		.head = head,
		.ctx = v,
	};

	return moat_qi_create(&conf, &v->unit.qi);
}

int vtd_queue_sync(struct vtd *v, const struct moat_qi_desc desc[], unsigned int n)
{
	uint64_t end = vtd_now_ms() + v->conf.deadline_ms;
	int64_t seq;
	int ret;

	while ((seq = moat_qi_submit(v->unit.qi, desc, n)) == -EAGAIN) {
		if (poll(v) != 0)
			return -EIO;
		if (vtd_now_ms() >= end)
			return moat_error(-ETIMEDOUT,
				"unit %s: no room in the invalidation queue for "
				"%u ms (head 0x%" PRIx64 ", tail 0x%" PRIx64
				"): the unit does not process it",
				v->unit.name, v->conf.deadline_ms, head(v),
				vtd_read64(&v->w, VTD_IQT));
		moat_lanes_quiescent();
		sched_yield();
	}
	ret = seq < 0 ? (int)seq
		      : moat_qi_wait_turns(v->unit.qi, seq, (uint64_t)v->conf.deadline_ms * 1000,
				moat_lanes_quiescent);
	if (ret == -EIO) { /* poll() says why, if the unit does */
		int why = poll(v);

		return why != 0 ? why : ret;
	}
	if (ret == 0 && moat_qi_failed(v->unit.qi, seq))
		return moat_error(-EIO, "unit %s refused an invalidation", v->unit.name);
	return ret;
}
