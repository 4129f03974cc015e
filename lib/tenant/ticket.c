/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See ticket.h. */

#include <errno.h>

#include "mode.h"
#include "moat_patience.h"
#include "pool_impl.h"
#include "ticket.h"

bool tenant_ticket_seek(struct moat_tenant *t, const struct tenant_lcore *lc, uint64_t ticket)
{
	unsigned int slot = ticket >> TENANT_TICKET_BITS;

	if (likely(tenant_ticket_done(t, ticket)))
		return true;
	if (likely(slot == lc->slot) || t->lcores[slot] == NULL)
		return false;
	if (slot == RTE_MAX_LCORE)
		tenant_shared_poll(t);
	else
		moat_lane_help(t->lcores[slot]->lane);
	return tenant_ticket_done(t, ticket);
}

int tenant_ticket_wait(struct moat_tenant *t, struct tenant_lcore *lc, uint64_t ticket)
{
	unsigned int slot = ticket >> TENANT_TICKET_BITS;
	uint64_t deadline;

	if (tenant_ticket_done(t, ticket))
		return 0;
	deadline = moat_now_us() + moat_patience_us;
	moat_counter_add(&lc->waits, 1);
	if (slot == lc->slot)
		return moat_lane_drain(lc->lane);
	if (t->lcores[slot] != NULL) /* once is enough: the lane stays asked until it flushes */
		moat_lane_ask(t->lcores[slot]->lane);
	while (!tenant_ticket_find(t, lc, ticket)) {
		/* The other lcore may wait for a ticket of this lane in the same way. */
		t->mode->flush(t, lc);
		moat_lane_poll(lc->lane);
		tenant_wait_turn();
		if (moat_now_us() <= deadline)
			continue;
		if (slot == RTE_MAX_LCORE)
			return moat_error(-ETIMEDOUT,
				"tenant '%s': a buffer waits for a ticket of the threads that are "
				"not lcores or have not entered, which was not done within 1 s; "
				"check whether the unit answers, and whether each lcore that has "
				"entered calls moat_tenant_poll()",
				t->name);
		return moat_error(-ETIMEDOUT,
			"tenant '%s': a buffer waits for a ticket of lcore %u, which was not done "
			"within 1 s; each lcore that has entered must call moat_tenant_poll()",
			t->name, slot);
	}
	return 0;
}

int tenant_drain_once(const struct moat_tenant *t, struct tenant_lcore *lc)
{
	int rc;

	/* Only the thread that uses the lane accesses `stuck`: the lcore, or, for the shared slot,
	 * the holder of the tenant's lock. Done tickets only grow, so a stuck ticket that is done
	 * never matches again. */
	if (unlikely(moat_lane_last_done(lc->lane) + 1 == lc->stuck)) {
		moat_lane_flush(lc->lane);
		moat_lane_send(lc->lane);
		if (moat_lane_poll(lc->lane) + 1 == lc->stuck)
			return moat_error(-ETIMEDOUT,
				"tenant '%s': a ticket for which an earlier call timed out is still not done",
				t->name);
	}
	rc = moat_lane_drain(lc->lane);
	if (rc == -ETIMEDOUT)
		lc->stuck = moat_lane_last_done(lc->lane) + 1;
	return rc;
}

struct tenant_lcore *tenant_shared_lock(struct moat_tenant *t)
{
	struct tenant_lcore *lc;

	tenant_lock(t);
	lc = t->lcores[RTE_MAX_LCORE];
	if (lc == NULL)
		lc = tenant_lcore_make(t, RTE_MAX_LCORE);
	if (lc == NULL)
		tenant_unlock(t);
	return lc;
}

void tenant_shared_unlock(struct moat_tenant *t)
{
	tenant_unlock(t);
}

/* Do unmaps or buffers wait in the shared slot? The tenant is locked. */
static bool shared_waits(const struct moat_tenant *t, const struct tenant_lcore *lc)
{
	bool waits = moat_lane_gathered(lc->lane) != 0 ||
		!moat_lane_done(lc->lane, moat_lane_last_ticket(lc->lane));

	for (unsigned int i = 0; i < t->nr_pools && !waits; i++) {
		const struct tenant_part *part = t->pools[i]->part[TENANT_PART_SHARED];

		waits = part != NULL && part->head != part->tail;
	}
	return waits;
}

void tenant_unlock(struct moat_tenant *t)
{
	const struct tenant_lcore *lc = t->lcores[RTE_MAX_LCORE];

	/* Relaxed: if a poll sees the old value, a later poll sees the new one. The lock orders
	 * everything else. */
	if (lc != NULL)
		__atomic_store_n(&t->shared_waits, shared_waits(t, lc), __ATOMIC_RELAXED);
	pthread_mutex_unlock(&t->lock);
}

void tenant_shared_poll(struct moat_tenant *t)
{
	struct tenant_lcore *lc;

	if (likely(!__atomic_load_n(&t->shared_waits, __ATOMIC_RELAXED)) ||
		pthread_mutex_trylock(&t->lock) != 0)
		return;
	lc = t->lcores[RTE_MAX_LCORE];
	tenant_flush(lc->lane);
	moat_lane_poll(lc->lane);
	tenant_pools_release(t, lc);
	tenant_unlock(t);
}
