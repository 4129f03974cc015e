/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Mode pipelined: the guarantee of mode strict without its wait. A burst is unmapped, and held back
 * until its ticket is done, while the lcore goes on polling. Each rte_eth_rx_burst() returns the
 * packets whose tickets are done by then. The order of a queue's packets is kept.
 * rte_eth_rx_burst() runs the callback for empty bursts, too, so the last packets before a pause
 * are returned by the next calls.
 */

#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "held.h"
#include "receive.h"

/* Packets of one queue that wait for their tickets, in the order of arrival. Different lcores may
 * poll the queue in turn: each burst has the ticket of the lane that unmapped it. */
#define HELD 4096u
struct tenant_held {
	uint32_t head, tail;             /* free-running indices of pkts[] */
	uint32_t burst_head, burst_tail; /* free-running indices of bursts[] */
	struct {
		uint64_t ticket; /* see tenant_ticket() */
		uint32_t end;    /* value of `head` behind the burst's last packet */
		uint64_t tsc;    /* TSC after its unmap; 0: the stopwatch was off then */
	} bursts[HELD];          /* each has at least one packet */
	struct rte_mbuf *pkts[HELD];
};

struct tenant_held *tenant_held_create(void)
{
	return calloc(1, sizeof(struct tenant_held));
}

uint32_t tenant_held_count(const struct tenant_held *held)
{
	/* Relaxed: a counter for reports; the lcore that polls may change it meanwhile. */
	return held == NULL ? 0
			    : __atomic_load_n(&held->head, __ATOMIC_RELAXED) -
			__atomic_load_n(&held->tail, __ATOMIC_RELAXED);
}

void tenant_held_destroy(struct moat_tenant *t, struct tenant_held *held)
{
	if (held == NULL)
		return;
	for (; held->burst_tail != held->burst_head; held->burst_tail++) {
		uint32_t b = held->burst_tail % HELD;

		for (; held->tail != held->bursts[b].end; held->tail++) {
			struct rte_mbuf **pkt = &held->pkts[held->tail % HELD];

			tenant_burst_ticket(t, pkt, 1, held->bursts[b].ticket);
			rte_pktmbuf_free(*pkt);
		}
	}
	free(held);
}

/* Copy `n` packets into or out of the ring, from free-running index `at` on. */
static inline void ring_copy(struct tenant_held *held, uint32_t at, struct rte_mbuf *pkts[],
	uint32_t n, bool in)
{
	uint32_t i = at % HELD, first = RTE_MIN(n, HELD - i);

	if (in)
		memcpy(&held->pkts[i], pkts, first * sizeof(pkts[0]));
	else
		memcpy(pkts, &held->pkts[i], first * sizeof(pkts[0]));
	if (likely(first == n))
		return;
	if (in)
		memcpy(held->pkts, &pkts[first], (n - first) * sizeof(pkts[0]));
	else
		memcpy(&pkts[first], held->pkts, (n - first) * sizeof(pkts[0]));
}

/* Drop packets that do not fit into the ring, as a NIC does. @return number of packets that fit */
static uint16_t burst_drop(struct tenant_queue *q, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n, uint64_t ticket)
{
	struct tenant_held *held = q->held;
	uint32_t room = HELD - (held->head - held->tail);

	if (likely(n <= room))
		return n;
	tenant_burst_ticket(q->tenant, &pkts[room], (uint16_t)(n - room), ticket);
	rte_pktmbuf_free_bulk(&pkts[room], n - room);
	moat_counter_add(&lc->overrun, n - room);
	return (uint16_t)room;
}

static void burst_hold(struct tenant_queue *q, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n, uint64_t ticket, uint64_t tsc)
{
	struct tenant_held *held = q->held;
	uint32_t b;

	n = burst_drop(q, lc, pkts, n, ticket);
	if (unlikely(n == 0))
		return;
	ring_copy(held, held->head, pkts, n, true);
	/* relaxed: read by tenant_held_count(), for a report */
	__atomic_store_n(&held->head, held->head + n, __ATOMIC_RELAXED);
	b = held->burst_head++ % HELD;
	held->bursts[b].ticket = ticket;
	held->bursts[b].end = held->head;
	held->bursts[b].tsc = tsc;
}

/* Hand out packets whose ticket is done, at most `max`. */
static uint16_t bursts_hand_on(struct tenant_queue *q, struct tenant_lcore *lc,
	struct rte_mbuf *pkts[], uint16_t max, uint64_t now)
{
	struct tenant_held *held = q->held;
	uint16_t n = 0;

	while (held->burst_tail != held->burst_head && n < max) {
		uint32_t b = held->burst_tail % HELD, k;
		uint64_t ticket = held->bursts[b].ticket;

		if (!tenant_ticket_find(q->tenant, lc, ticket))
			break;
		k = RTE_MIN(held->bursts[b].end - held->tail, (uint32_t)max - n);
		ring_copy(held, held->tail, &pkts[n], k, false);
		__atomic_store_n(&held->tail, held->tail + k, __ATOMIC_RELAXED); /* as `head` */
		n += (uint16_t)k;
		if (held->tail != held->bursts[b].end)
			break;
		if (now != 0 && held->bursts[b].tsc != 0)
			moat_counter_max(&lc->delay_max, now - held->bursts[b].tsc);
		held->burst_tail++;
	}
	return n;
}

/* Unmap a burst that has arrived, take its ticket, and hold it back. */
static void burst_take(struct tenant_queue *q, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n)
{
	struct moat_tenant *t = q->tenant;

	n = tenant_receive(t, lc, pkts, n);
	if (n == 0)
		return; /* the device had no right to write any of them */
	if (unlikely(tenant_receive_unmap(t, lc, pkts, n, TENANT_APP) != 0)) {
		tenant_receive_give_up(t, lc, pkts, n);
		return;
	}
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
	burst_hold(q, lc, pkts, n, tenant_ticket(lc, tenant_flush(lc->lane)),
		lc->watch->on ? lc->watch->last : 0);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_SUBMIT);
}

static uint16_t pipelined_rx(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct tenant_queue *q = arg;
	struct tenant_held *held = q->held;
	struct tenant_lcore *lc;

	if (unlikely(q->tenant == NULL)) /* the port is gone */
		return n;
	if (n == 0 && held->burst_head == held->burst_tail)
		return 0;
	lc = tenant_lcore_use(q->tenant);
	if (n != 0) {
		burst_take(q, lc, pkts, n);
	} else {
		moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
		tenant_flush(lc->lane);
	}
	moat_lane_poll(lc->lane);
	/* Read the clock after the poll, so that no delay is reported too short. */
	n = bursts_hand_on(q, lc, pkts, max, lc->watch->on ? rte_rdtsc() : 0);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_RECLAIM);
	tenant_lcore_unuse(q->tenant, lc);
	return n;
}

uint16_t tenant_held_get(struct tenant_queue *q, struct rte_mbuf *pkts[], uint16_t max)
{
	struct moat_tenant *t = q->tenant;
	struct tenant_held *held = q->held;
	struct tenant_lcore *lc;
	uint16_t n = 0;

	if (held == NULL || tenant_held_count(held) == 0)
		return 0;
	lc = tenant_lcore_use(t);
	if (tenant_ticket_wait(t, lc, held->bursts[held->burst_tail % HELD].ticket) == 0)
		n = bursts_hand_on(q, lc, pkts, max, 0);
	tenant_lcore_unuse(t, lc);
	return n;
}

const struct tenant_mode tenant_mode_pipelined = {
	.name = "pipelined",
	.protects = true,
	.holds = true,
	.rx_prot = MOAT_W,
	.tx_prot = MOAT_R,
	.rx = pipelined_rx,
	.flush = tenant_mode_flush,
	.flush_put = tenant_mode_flush,
};
