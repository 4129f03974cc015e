/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See ticket.h. */

#include <errno.h>

#include "mode.h"
#include "moat_patience.h"
#include "pool_impl.h"
#include "ticket.h"

int tenant_ticket_wait(struct moat_tenant *t, struct tenant_lcore *lc, uint64_t ticket)
{
	unsigned int slot = ticket >> TENANT_TICKET_BITS;
	uint64_t deadline = moat_now_us() + moat_patience_us;

	if (tenant_ticket_done(t, ticket))
		return 0;
	lc->waits++;
	if (slot == lc->slot)
		return moat_lane_drain(lc->lane);
	while (!tenant_ticket_done(t, ticket)) {
		if (t->lcores[slot] != NULL)
			moat_lane_ask(t->lcores[slot]->lane);
		if (slot == RTE_MAX_LCORE)
			tenant_shared_poll(t);
		/* The other lcore may wait for a ticket of this lane in the same way. */
		t->mode->flush(t, lc);
		moat_lane_poll(lc->lane);
		tenant_wait_turn();
		if (moat_now_us() > deadline)
			return moat_error(-ETIMEDOUT,
				"tenant '%s': lcore %u has not polled for 1 s, and a buffer waits for "
				"its ticket; an lcore that has entered must call moat_tenant_poll()",
				t->name, slot);
	}
	return 0;
}

struct tenant_lcore *tenant_shared_lock(struct moat_tenant *t)
{
	struct tenant_lcore *lc;

	tenant_lock(t);
	lc = t->lcores[RTE_MAX_LCORE];
	if (lc == NULL)
		lc = tenant_lcore_make(t, RTE_MAX_LCORE);
	if (lc == NULL)
		pthread_mutex_unlock(&t->lock);
	return lc;
}

void tenant_shared_unlock(struct moat_tenant *t)
{
	pthread_mutex_unlock(&t->lock);
}

void tenant_shared_poll(struct moat_tenant *t)
{
	struct tenant_lcore *lc = __atomic_load_n(&t->lcores[RTE_MAX_LCORE], __ATOMIC_ACQUIRE);
	uint32_t waiting = 0;

	for (unsigned int i = 0; lc != NULL && i < t->nr_pools; i++) {
		const struct tenant_part *part = t->pools[i]->part[TENANT_PART_SHARED];

		if (part != NULL)
			waiting += __atomic_load_n(&part->quarantined, __ATOMIC_RELAXED);
	}
	if (likely(waiting == 0) || pthread_mutex_trylock(&t->lock) != 0)
		return;
	tenant_flush(lc->lane);
	moat_lane_poll(lc->lane);
	tenant_pools_release(t, lc);
	tenant_shared_unlock(t);
}
