/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "vtd_impl.h"

/** The unit may refuse one place of the queue so often while no batch completes. */
#define PATIENCE 4 /* refusals */

/*
 * The caller holds v->recovery: one thread mends while the others go on submitting and polling.
 * The unit stands still from the moment it sets IQE or ITE until software clears it ("Invalidation
 * Queue Error", "Device-TLB Invalidation Time-out").
 */

static uint32_t head_index(const struct vtd *v)
{
	return vtd_iq_head(v) / (sizeof(struct moat_qi_desc) << v->sm.on);
}

/** The queue is dead. The reason, in moat_error_text(), is kept for every thread that polls. */
static int give_up(struct vtd *v)
{
	snprintf(v->epitaph, sizeof(v->epitaph), "%s", moat_error_text());
	/* release: pairs with the acquire in queue_poll(); a thread that sees `dead` reads the
	 * epitaph */
	atomic_store_explicit(&v->dead, true, memory_order_release);
	return -EIO;
}

/** Is this the same place again, and nothing has completed since? */
static bool is_stuck_at(struct vtd *v, uint32_t index)
{
	uint32_t done = __atomic_load_n((uint32_t *)v->status.va, __ATOMIC_RELAXED);

	if (index != v->bad_index || done != v->bad_done)
		v->bad_times = 0;
	v->bad_index = index;
	v->bad_done = done;
	return ++v->bad_times > PATIENCE;
}

/**
 * IQE: the unit stands at a descriptor that it does not understand or could not fetch. Its batch
 * fails, and is submitted again by its owner; a descriptor without effect takes its place; and the
 * unit goes on to the batches behind.
 */
static int invalidation_queue_error(struct vtd *v)
{
	uint32_t index = head_index(v);
	int ret = moat_qi_fail_at(v->unit.qi, index, -EIO);

	if (ret == -EAGAIN)
		return ret;
	atomic_fetch_add_explicit(&v->iqe, 1, memory_order_relaxed); /* counter */
	if (ret != 0)
		return give_up(v);
	if (is_stuck_at(v, index)) {
		moat_error(-EIO,
			"unit %s refuses every descriptor at index %" PRIu32 " of its "
			"invalidation queue",
			v->unit.name, index);
		return give_up(v);
	}
	vtd_write32(&v->w, VTD_FSTS, VTD_FSTS_IQE);
	return 0;
}

/**
 * ITE: a device did not answer; the unit has dropped every wait that was pending. All batches that
 * it had begun fail: which of them are complete cannot be told.
 */
static int invalidation_timeout(struct vtd *v)
{
	int ret = moat_qi_fail_before(v->unit.qi, head_index(v));

	if (ret < 0)
		return ret;
	atomic_fetch_add_explicit(&v->ite, 1, memory_order_relaxed); /* counter */
	vtd_write32(&v->w, VTD_FSTS, VTD_FSTS_ITE);
	return 0;
}

int vtd_recover(struct vtd *v, uint32_t fsts)
{
	int ret = 0;

	if (fsts & VTD_FSTS_ICE) {
		/* A device completed an invalidation that it was not sent: nothing waits for it. */
		atomic_fetch_add_explicit(&v->ice, 1, memory_order_relaxed); /* counter */
		vtd_write32(&v->w, VTD_FSTS, VTD_FSTS_ICE);
	}
	if (fsts & VTD_FSTS_ITE)
		ret = invalidation_timeout(v);
	if (ret == 0 && (fsts & VTD_FSTS_IQE))
		ret = invalidation_queue_error(v);
	if (ret == -EAGAIN)
		return 0; /* a thread is ringing; the error stays set and is looked at again */
	if (ret == 0 && (fsts & (VTD_FSTS_IQE | VTD_FSTS_ITE)))
		vtd_iq_wake(v); /* QEMU's unit goes on only then */
	return ret;
}
