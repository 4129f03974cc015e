/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Mode deferred: a packet is handed on at once, and invalidated later, by count or by time. In
 * between the device can still reach the packet. This window is bounded, and measured
 * (moat_lane_expose()). Buffers that the PMD frees are quarantined until their ticket is done, as
 * in strict and pipelined. The application gets a packet before its ticket is done. So the ticket
 * is noted for each buffer, which may be freed or sent on another lcore than the one that unmapped
 * it.
 */

#include "moat_policy.h"
#include "receive.h"

static moat_ticket_t deferred_flush_at(struct moat_tenant *t, struct tenant_lcore *lc, uint64_t now)
{
	uint32_t gathered = moat_lane_gathered(lc->lane);
	moat_ticket_t ticket;

	if (gathered == 0) {
		/* the batch may have been flushed because another thread called moat_lane_ask() */
		moat_deferred_submitted(&lc->deferred);
		return moat_lane_last_ticket(lc->lane);
	}
	if (!moat_deferred_due(&lc->deferred, gathered, now))
		return moat_lane_next_ticket(lc->lane);
	ticket = tenant_flush(lc->lane);
	if (ticket == moat_lane_last_ticket(lc->lane))
		moat_deferred_submitted(&lc->deferred);
	return ticket;
}

static moat_ticket_t deferred_flush(struct moat_tenant *t, struct tenant_lcore *lc)
{
	return deferred_flush_at(t, lc, rte_rdtsc());
}

/* A put does not read the clock: while the window is open and not full, the next poll or burst
 * checks its deadline. */
static moat_ticket_t deferred_flush_put(struct moat_tenant *t, struct tenant_lcore *lc)
{
	uint32_t gathered = moat_lane_gathered(lc->lane);

	if (likely(lc->deferred.deadline != 0 && gathered != 0 && gathered < lc->deferred.pages))
		return moat_lane_next_ticket(lc->lane);
	return deferred_flush(t, lc);
}

static uint16_t deferred_rx(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc;
	int rc;

	if (n == 0 || unlikely(t == NULL)) /* NULL: the port is gone */
		return n;
	lc = tenant_lcore_use(t);
	n = tenant_receive(t, lc, pkts, n);
	lc->early_since = rte_rdtsc();
	rc = tenant_receive_unmap(t, lc, pkts, n, TENANT_EARLY);
	if (unlikely(rc != 0)) {
		tenant_receive_give_up(t, lc, pkts, n);
		n = 0;
	}
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
	deferred_flush_at(t, lc, lc->early_since);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_SUBMIT);
	tenant_lcore_unuse(t, lc);
	return n;
}

const struct tenant_mode tenant_mode_deferred = {
	.name = "deferred",
	.protects = true,
	/* Both read and write: a translation that is still cached must also serve the next map. */
	.rx_prot = MOAT_RW,
	.tx_prot = MOAT_RW,
	.rx = deferred_rx,
	.flush = deferred_flush,
	.flush_put = deferred_flush_put,
};
