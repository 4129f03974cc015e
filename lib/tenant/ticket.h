/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_TICKET_H
#define MOAT_TENANT_TICKET_H

/* Tickets as a tenant keeps them: with the lane that gave them. And how a thread waits. */

#include "tenant_impl.h"

/* The ticket and the slot of the lane's lcore, in one word. 0: none. */
#define TENANT_TICKET_BITS 48

static inline uint64_t tenant_ticket(const struct tenant_lcore *lc, moat_ticket_t ticket)
{
	return (uint64_t)lc->slot << TENANT_TICKET_BITS | ticket;
}

/* Any thread: the lane's owner finds tickets done, and moat_lane_done() orders what follows. */
static inline bool tenant_ticket_done(const struct moat_tenant *t, uint64_t ticket)
{
	const struct tenant_lcore *lc = t->lcores[ticket >> TENANT_TICKET_BITS];

	return likely(lc != NULL) &&
		moat_lane_done(lc->lane, ticket & ((UINT64_C(1) << TENANT_TICKET_BITS) - 1));
}

/* As tenant_ticket_done(). Where no lcore polls the lane that gave the ticket, because it has left
 * or because threads that are not lcores share it, the calling thread does: `lc` waits for it. */
bool tenant_ticket_seek(struct moat_tenant *t, const struct tenant_lcore *lc, uint64_t ticket);
static inline bool tenant_ticket_find(struct moat_tenant *t, const struct tenant_lcore *lc,
	uint64_t ticket)
{
	/* Mostly the lane is the caller's own. Another one's ticket is greater than any of its. */
	if (likely((ticket ^ tenant_ticket(lc, 0)) <= moat_lane_last_done(lc->lane)))
		return true;
	return tenant_ticket_seek(t, lc, ticket);
}

/* The ticket that covers all that was unmapped up to here. */
static inline moat_ticket_t tenant_gathering(const struct moat_lane *lane)
{
	return likely(moat_lane_gathered(lane) != 0) ? moat_lane_next_ticket(lane)
						     : moat_lane_last_ticket(lane);
}

/*
 * Submit what is gathered. @return the ticket of all of it, submitted or still to be: the queue may
 * be full, and while the unit is so far behind that the lane almost is, what comes gathers on in
 * one batch instead of filling the last one, so that no call waits for room. A later poll comes
 * here again.
 */
static inline moat_ticket_t tenant_flush(struct moat_lane *lane)
{
	moat_ticket_t ticket = 0;

	if (likely(moat_lane_room(lane) > 1) || moat_lane_gathered(lane) == 0)
		ticket = moat_lane_flush(lane);
	return likely(ticket != 0) ? ticket : moat_lane_next_ticket(lane);
}

/* One turn of a loop that waits for another thread. The calling thread's own lanes go on. */
static inline void tenant_wait_turn(void)
{
	moat_lanes_quiescent();
	rte_pause();
}

/* Wait until the ticket of another lane is done, and ask that lane to flush. @return 0,
 * -ETIMEDOUT */
int tenant_ticket_wait(struct moat_tenant *t, struct tenant_lcore *lc, uint64_t ticket);

/*
 * As moat_lane_drain() of the caller's lane, where what waits can wait on: a buffer in quarantine,
 * a ring that cannot be freed yet. A ticket that one call has waited for in vain is looked at by
 * the next calls, and not waited for again, until it is done: an lcore that does not poll costs a
 * port that is stopped or closed one wait, not one for each buffer and ring.
 * @return as moat_lane_drain(). 0: every ticket of the lane is done
 */
int tenant_drain_once(const struct moat_tenant *t, struct tenant_lcore *lc);

/*
 * The slot that threads share which are not lcores, or have not entered: its lane, and its part of
 * each pool, belong to the thread that has the tenant's lock. The lock may be taken again by its
 * holder. A thread that waits for it reports quiescent states.
 * @return the slot's lcore; NULL (unlocked): out of memory or lanes
 */
struct tenant_lcore *tenant_shared_lock(struct moat_tenant *t);
void tenant_shared_unlock(struct moat_tenant *t);
/* While anything waits in that slot, its lane's tickets or buffers for any lane's, find what is
 * done. Any thread; does nothing where another thread has the lock, whose unlocking says what
 * waits. */
void tenant_shared_poll(struct moat_tenant *t);

/* The calling thread's lcore, or, where there is no memory or no lane for one, the shared slot;
 * locked where it is that. Not NULL: the shared slot is there from the tenant's creation on. */
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
