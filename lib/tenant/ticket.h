/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_TICKET_H
#define MOAT_TENANT_TICKET_H

/* Tickets as a tenant keeps them: together with the slot of the lane that gave them. Waiting for
 * tickets, and the shared slot. */

#include "tenant_impl.h"

/* A ticket with the slot of its lane, in one word: the slot is above the lower 48 bits. */
#define TENANT_TICKET_BITS 48

static inline uint64_t tenant_ticket(const struct tenant_lcore *lc, moat_ticket_t ticket)
{
	return (uint64_t)lc->slot << TENANT_TICKET_BITS | ticket;
}

/* Is a ticket known to be done? Any thread. Only a poll of the ticket's lane finds tickets done;
 * after moat_lane_done() has returned true, the caller sees all that came before. */
static inline bool tenant_ticket_done(const struct moat_tenant *t, uint64_t ticket)
{
	const struct tenant_lcore *lc = t->lcores[ticket >> TENANT_TICKET_BITS];

	return likely(lc != NULL) &&
		moat_lane_done(lc->lane, ticket & ((UINT64_C(1) << TENANT_TICKET_BITS) - 1));
}

/* As tenant_ticket_done(). But if no lcore polls the ticket's lane, because its lcore has left or
 * because the lane is the shared slot's, the calling thread polls the lane first. `lc` is the
 * calling thread's state. */
bool tenant_ticket_seek(struct moat_tenant *t, const struct tenant_lcore *lc, uint64_t ticket);
static inline bool tenant_ticket_find(struct moat_tenant *t, const struct tenant_lcore *lc,
	uint64_t ticket)
{
	/* Mostly the lane is the caller's own. With another slot, the xor is above any ticket. */
	if (likely((ticket ^ tenant_ticket(lc, 0)) <= moat_lane_last_done(lc->lane)))
		return true;
	return tenant_ticket_seek(t, lc, ticket);
}

/* @return the ticket that covers all that the lane has unmapped up to here */
static inline moat_ticket_t tenant_gathering(const struct moat_lane *lane)
{
	return likely(moat_lane_gathered(lane) != 0) ? moat_lane_next_ticket(lane)
						     : moat_lane_last_ticket(lane);
}

/*
 * Flush the gathered unmaps. If the lane has room for at most one more batch, because the unit is
 * far behind, the batch stays open and gathers further unmaps, so that no call has to wait for
 * room; a later poll flushes it. @return the ticket that covers all gathered unmaps in either case
 */
static inline moat_ticket_t tenant_flush(struct moat_lane *lane)
{
	moat_ticket_t ticket = 0;

	if (likely(moat_lane_room(lane) > 1) || moat_lane_gathered(lane) == 0)
		ticket = moat_lane_flush(lane);
	return likely(ticket != 0) ? ticket : moat_lane_next_ticket(lane);
}

/* One turn of a loop that waits for another thread: polls the calling thread's online lanes. */
static inline void tenant_wait_turn(void)
{
	moat_lanes_quiescent();
	rte_pause();
}

/* Wait until a ticket of any lane is done; ask another lane to flush. @return 0; -ETIMEDOUT; or as
 * moat_lane_drain() */
int tenant_ticket_wait(struct moat_tenant *t, struct tenant_lcore *lc, uint64_t ticket);

/*
 * As moat_lane_drain() of the caller's lane, but once a call has timed out for a ticket, later
 * calls only check this ticket, without waiting, until it is done. So an lcore that does not poll
 * delays the stop or close of a port by one timeout, not by one for each buffer and ring. For
 * callers that can try again later: a quarantined buffer, a ring that cannot be freed yet.
 * @return as moat_lane_drain(). 0: every ticket of the lane is done
 */
int tenant_drain_once(const struct moat_tenant *t, struct tenant_lcore *lc);

/*
 * Lock the tenant, and get the state of the slot that is shared by threads which are not lcores, or
 * have not entered. The slot's lane, and its part of each pool, belong to the holder of the
 * tenant's lock. The holder may take the lock again. A thread that waits for the lock reports
 * quiescent states.
 * @return the slot's state; NULL (unlocked): out of memory or lanes
 */
struct tenant_lcore *tenant_shared_lock(struct moat_tenant *t);
void tenant_shared_unlock(struct moat_tenant *t);
/* Poll the shared slot's lane and release its quarantined buffers, if unmaps or buffers wait there.
 * Any thread. Does nothing if another thread has the lock: a later poll does it. */
void tenant_shared_poll(struct moat_tenant *t);

/* Get the calling lcore's state. For a thread that is not an lcore, or if there is no memory or no
 * lane, get the shared slot's, and lock the tenant. Never NULL: the shared slot is made when the
 * tenant is created. */
static inline struct tenant_lcore *tenant_lcore_use(struct moat_tenant *t)
{
	struct tenant_lcore *lc = NULL;

	if (likely(tenant_slot() != RTE_MAX_LCORE))
		lc = tenant_lcore(t);
	return likely(lc != NULL) ? lc : tenant_shared_lock(t);
}
static inline void tenant_lcore_unuse(struct moat_tenant *t, const struct tenant_lcore *lc)
{
	if (unlikely(lc->slot == RTE_MAX_LCORE))
		tenant_shared_unlock(t);
}

#endif /* MOAT_TENANT_TICKET_H */
