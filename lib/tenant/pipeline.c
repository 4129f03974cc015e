/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Mode pipelined: strict's guarantee without strict's wait. A burst is unmapped and its ticket taken,
 * then it is held back while the lcore goes on polling; each poll hands out what is done by then. The
 * order of a queue's packets is kept. rte_eth_rx_burst() runs the callback for empty bursts too, so a
 * queue gone quiet gives out its last packets with the next polls.
 */

#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "moat_mutant.h"
#include "tenant_impl.h"

struct tenant_held *tenant_held_create(void)
{
	return calloc(1, sizeof(struct tenant_held));
}

uint32_t tenant_held_count(const struct tenant_held *held)
{
	/* Relaxed: a report's number; the lcore that polls goes on meanwhile. */
	return held == NULL ? 0
			    : __atomic_load_n(&held->head, __ATOMIC_RELAXED) -
			__atomic_load_n(&held->tail, __ATOMIC_RELAXED);
}

void tenant_held_destroy(struct tenant_held *held)
{
	if (held == NULL)
		return;
	for (; held->tail != held->head; held->tail++)
		rte_pktmbuf_free(held->pkts[held->tail % TENANT_HELD]);
	free(held);
}

/* `n` packets into or out of the ring, from free-running position `at` on. */
static inline void ring_copy(struct tenant_held *held, uint32_t at, struct rte_mbuf *pkts[],
	uint32_t n, bool in)
{
	uint32_t i = at % TENANT_HELD, first = RTE_MIN(n, TENANT_HELD - i);

	if (in) {
		memcpy(&held->pkts[i], pkts, first * sizeof(pkts[0]));
		memcpy(held->pkts, &pkts[first], (n - first) * sizeof(pkts[0]));
	} else {
		memcpy(pkts, &held->pkts[i], first * sizeof(pkts[0]));
		memcpy(&pkts[first], held->pkts, (n - first) * sizeof(pkts[0]));
	}
}

static void hold(struct tenant_held *held, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n, moat_ticket_t ticket, uint64_t tsc)
{
	uint32_t room = TENANT_HELD - (held->head - held->tail), b;

	if (unlikely(n > room)) {
		/* The unit is far behind. As a NIC does: what does not fit is dropped (and quarantined
		 * by the pool until its ticket is done). */
		rte_pktmbuf_free_bulk(&pkts[room], n - room);
		lc->overrun += n - room;
		n = (uint16_t)room;
	}
	ring_copy(held, held->head, pkts, n, true);
	held->head += n;
	b = held->burst_head++ % TENANT_HELD;
	held->bursts[b].ticket = ticket;
	held->bursts[b].end = held->head;
	held->bursts[b].tsc = tsc;
}

/* Hand out packets whose ticket is done, at most `max`. */
static uint16_t hand_on(struct tenant_held *held, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t max, uint64_t now)
{
	uint16_t n = 0;

	while (held->burst_tail != held->burst_head && n < max) {
		uint32_t b = held->burst_tail % TENANT_HELD, k;

		if (!moat_lane_done(lc->lane, held->bursts[b].ticket) &&
			!MOAT_MUTANT(PIPELINED_EARLY))
			break;
		k = RTE_MIN(held->bursts[b].end - held->tail, (uint32_t)max - n);
		ring_copy(held, held->tail, &pkts[n], k, false);
		held->tail += k;
		n += (uint16_t)k;
		if (held->tail != held->bursts[b].end)
			break;
		if (now != 0 && now - held->bursts[b].tsc > lc->delay_max)
			lc->delay_max = now - held->bursts[b].tsc;
		held->burst_tail++;
	}
	return n;
}

/* A burst has come: unmap it, take its ticket, hold it back. */
static void hold_back(struct tenant_queue *q, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n)
{
	n = tenant_receive(q->tenant, lc, pkts, n);
	if (n == 0)
		return; /* all were such as the device had no right to */
	if (unlikely(tenant_unmap_burst(q->tenant, lc, pkts, n) != 0)) {
		lc->lost += n; /* still reachable: nobody gets them */
		return;
	}
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
	hold(q->held, lc, pkts, n, tenant_flush(lc->lane), lc->watch->last);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_SUBMIT);
}

uint16_t tenant_rx_pipelined(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct tenant_queue *q = arg;
	struct tenant_held *held = q->held;
	struct tenant_lcore *lc;

	if (n == 0 && held->burst_head == held->burst_tail)
		return 0;
	lc = tenant_lcore(q->tenant);
	if (n != 0) {
		hold_back(q, lc, pkts, n);
	} else {
		moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
		if (MOAT_MUTANT(PIPELINED_STRANDS)) /* a quiet queue keeps its last packets */
			return 0;
		tenant_flush(lc->lane);
	}
	moat_lane_poll(lc->lane);
	/* Read behind the poll: a delay is never reported shorter than it was. */
	n = hand_on(held, lc, pkts, max, lc->watch->on ? rte_rdtsc() : 0);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_RECLAIM);
	return n;
}

uint16_t tenant_held_get(struct tenant_queue *q, struct rte_mbuf *pkts[], uint16_t max)
{
	struct tenant_lcore *lc = tenant_lcore(q->tenant);

	if (q->held == NULL || tenant_held_count(q->held) == 0 || moat_lane_drain(lc->lane) != 0)
		return 0;
	return hand_on(q->held, lc, pkts, max, 0);
}
