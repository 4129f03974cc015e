/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Mode deferred: a packet is handed on at once, the invalidation comes later, by count or by time. In
 * between the device can still reach it: that window is bounded, and measured (moat_lane_expose()).
 * Buffers that the PMD frees are quarantined until their ticket as in every other mode: nobody is in
 * a hurry for those.
 */

#include <rte_cycles.h>

#include "moat_mutant.h"
#include "tenant_impl.h"

moat_ticket_t tenant_deferred_flush(struct moat_tenant *t, struct tenant_lcore *lc, uint64_t now)
{
	struct moat_lane *lane = lc->lane;
	uint32_t pages = moat_lane_gathered(lane);
	moat_ticket_t ticket;

	if (pages == 0)
		return moat_lane_last_ticket(lane);
	if (MOAT_MUTANT(DEFERRED_NO_TIMER) && pages < t->conf.deferred_pages)
		return moat_lane_next_ticket(lane);
	if (lc->deadline == 0)
		lc->deadline = now + t->conf.deferred_us * (rte_get_tsc_hz() / 1000000);
	if (pages < t->conf.deferred_pages && now < lc->deadline)
		return moat_lane_next_ticket(lane);
	ticket = tenant_flush(lane);
	if (ticket == moat_lane_last_ticket(lane))
		lc->deadline = 0;
	return ticket;
}

/* 4 KiB pages of a burst's buffers. */
static uint32_t count_pages(struct rte_mbuf *const pkts[], uint16_t n)
{
	uint32_t pages = 0;

	for (uint16_t i = 0; i < n; i++)
		for (const struct rte_mbuf *m = pkts[i]; m != NULL; m = m->next)
			pages += (m->buf_len + MOAT_PAGE_MASK) >> MOAT_PAGE_SHIFT;
	return pages;
}

uint16_t tenant_rx_deferred(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc;
	moat_ticket_t before;
	uint32_t pages;
	uint64_t now;
	int rc;

	if (n == 0)
		return 0;
	lc = tenant_lcore(t);
	n = tenant_receive(t, lc, pkts, n);
	now = rte_rdtsc();
	before = moat_lane_last_ticket(lc->lane);
	pages = count_pages(pkts, n);
	moat_lane_expose(lc->lane, pages, now);
	moat_lane_hand_on_early(lc->lane, true);
	rc = tenant_unmap_burst(t, lc, pkts, n);
	moat_lane_hand_on_early(lc->lane, false);
	if (unlikely(rc != 0)) {
		lc->lost += n;
		return 0;
	}
	if (unlikely(moat_lane_last_ticket(lc->lane) != before)) /* which of them went on into another batch is */
		moat_lane_expose(lc->lane, pages, now); /* not known: all did */
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
	tenant_deferred_flush(t, lc, now);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_SUBMIT);
	return n;
}
