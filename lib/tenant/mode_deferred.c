/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Mode deferred: a packet is handed on at once, the invalidation comes later, by count or by time.
 * In between the device can still reach it: that window is bounded, and measured
 * (moat_lane_expose()). Buffers that the PMD frees are quarantined until their ticket as in every
 * other mode. The application has its packets before their ticket is done, so each of their buffers
 * carries the ticket: it may be freed or sent on another lcore than the one that unmapped it.
 */

#include "moat_policy.h"
#include "receive.h"

static moat_ticket_t deferred_flush_at(struct moat_tenant *t, struct tenant_lcore *lc, uint64_t now)
{
	uint32_t gathered = moat_lane_gathered(lc->lane);
	moat_ticket_t ticket;

	if (gathered == 0) {
		moat_deferred_submitted(&lc->deferred); /* perhaps by moat_lane_ask() */
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

/* 4 KiB pages of a burst's buffers. */
static uint32_t count_pages(struct rte_mbuf *const pkts[], uint16_t n)
{
	uint32_t pages = 0;

	for (uint16_t i = 0; i < n; i++) {
		const struct rte_mbuf *m = pkts[i];

		pages += tenant_buffer_pages(m);
		for (unsigned int k = m->nb_segs; unlikely(k > 1); k--)
			pages += tenant_buffer_pages(m = m->next);
	}
	return pages;
}

static uint16_t deferred_rx(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc;
	moat_ticket_t before;
	uint32_t pages;
	uint64_t now;
	int rc;

	if (n == 0 || unlikely(t == NULL)) /* the port has gone */
		return n;
	lc = tenant_lcore_use(t);
	n = tenant_receive(t, lc, pkts, n);
	now = rte_rdtsc();
	before = moat_lane_last_ticket(lc->lane);
	pages = count_pages(pkts, n);
	moat_lane_expose(lc->lane, pages, now);
	rc = tenant_receive_unmap(t, lc, pkts, n, TENANT_EARLY);
	if (unlikely(rc != 0)) {
		tenant_receive_give_up(t, lc, pkts, n);
		n = 0;
	}
	/* The burst went on into a second batch. How many pages did is unknown, so both are charged
	 * with all of them. */
	if (unlikely(moat_lane_last_ticket(lc->lane) != before))
		moat_lane_expose(lc->lane, pages, now);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
	deferred_flush_at(t, lc, now);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_SUBMIT);
	tenant_lcore_unuse(t, lc);
	return n;
}

const struct tenant_mode tenant_mode_deferred = {
	.name = "deferred",
	.protects = true,
	/* Both ways: a translation that is still cached must serve the buffer's next turn. */
	.rx_prot = MOAT_RW,
	.tx_prot = MOAT_RW,
	.rx = deferred_rx,
	.flush = deferred_flush,
};
