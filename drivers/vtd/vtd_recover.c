/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "vtd_impl.h"

/** Refusals of one index of the queue that are tolerated while no batch completes. */
#define PATIENCE 4

/*
 * The caller holds v->recovery: one thread recovers while the others go on submitting and polling.
 * The unit stops when it sets IQE or ITE, until software clears the bit ("Invalidation Queue
 * Error", "Device-TLB Invalidation Time-out").
 */

static uint32_t head_index(const struct vtd *v)
{
	return vtd_iq_head(v) / (sizeof(struct moat_qi_desc) << v->sm.on);
}

/** Declare the queue dead, and store moat_error_text(), the reason, for all threads that poll. */
static int give_up(struct vtd *v)
{
	snprintf(v->epitaph, sizeof(v->epitaph), "%s", moat_error_text());
	/* release: pairs with the acquire in queue_poll(); a thread that sees `dead` reads the
	 * epitaph */
	atomic_store_explicit(&v->dead, true, memory_order_release);
	return -EIO;
}

/** Count a refusal at `index`. @return true: too many in a row, and nothing has completed since */
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
 * IQE: the unit has stopped at a descriptor that it does not understand or could not fetch. Fail
 * the descriptor's batch, which its owner submits again, replace the descriptor by one without
 * effect, and let the unit go on.
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
 * ITE: a device did not answer, and the unit has dropped every pending wait descriptor. Fail all
 * batches that the unit had begun, because it is unknown which of them are complete.
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
		/* A device completed an invalidation that was not sent: nothing waits for that. */
		atomic_fetch_add_explicit(&v->ice, 1, memory_order_relaxed); /* counter */
		vtd_write32(&v->w, VTD_FSTS, VTD_FSTS_ICE);
	}
	if (fsts & VTD_FSTS_ITE)
		ret = invalidation_timeout(v);
	if (ret == 0 && (fsts & VTD_FSTS_IQE))
		ret = invalidation_queue_error(v);
	if (ret == -EAGAIN)
		return 0; /* a thread is ringing; the error stays set for a later poll */
	if (ret == 0 && (fsts & (VTD_FSTS_IQE | VTD_FSTS_ITE)))
		vtd_iq_wake(v); /* without this QEMU's unit does not go on */
	return ret;
}
