/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Test packets. Each lcore is the application of its own tenant: it receives a burst, sends it back
 * to the port, and polls the tenant. lib/tenant does the rest, by the mode. */

#include <errno.h>
#include <stdlib.h>

#include <rte_ethdev.h>

#include "perf_work.h"

#define BURST_MAX 256

struct packets_work {
	struct perf_port port;
	struct moat_tenant_stats before;
};

/* Forward one burst. As in moat-fwd all of a turn without packets is charged as idle. */
static uint16_t forward(struct perf_work *w, struct packets_work *p, struct moat_cost *cost)
{
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);
	struct rte_mbuf *pkts[BURST_MAX];
	uint16_t n = rte_eth_rx_burst(p->port.id, 0, pkts, (uint16_t)w->c->burst);
	uint16_t sent = n != 0 ? rte_eth_tx_burst(p->port.id, 0, pkts, n) : 0;

	if (unlikely(sent < n))
		rte_pktmbuf_free_bulk(&pkts[sent], n - sent);
	if (n == 0)
		watch->device = RTE_PER_LCORE(moat_cost_device_cycles);
	moat_cost_mark(watch, cost, n != 0 ? MOAT_STAGE_APPLICATION : MOAT_STAGE_IDLE);
	moat_tenant_poll(p->port.tenant);
	return n;
}

static int turns(struct perf_work *w, struct packets_work *p)
{
	struct moat_cost *cost = moat_tenant_cost(p->port.tenant);
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);
	uint64_t packets = 0;

	watch->on = true;
	while (perf_work_goes_on(w)) {
		struct moat_cost before = *cost;
		uint16_t n;

		moat_cost_start(watch);
		n = forward(w, p, cost);
		if (n == 0)
			continue;
		perf_work_sample(w, &before, cost, n);
		packets += n;
		if (packets >= 4 * w->c->working_set / MOAT_PAGE_SIZE) /* every buffer was used */
			atomic_store_explicit(&w->warm, true, memory_order_relaxed);
	}
	watch->on = false;
	return 0;
}

static int loop(struct perf_work *w)
{
	struct packets_work *p = w->test;
	int rc = moat_tenant_lcore_enter(p->port.tenant), left;

	if (rc != 0)
		return rc;
	rc = turns(w, p);
	left = moat_tenant_lcore_leave(p->port.tenant);
	return rc != 0 ? rc : left;
}

static void mark(struct perf_work *w, bool begin)
{
	struct packets_work *p = w->test;
	struct moat_tenant_stats now;

	if (begin) {
		moat_tenant_stats(p->port.tenant, &p->before);
		return;
	}
	moat_tenant_stats(p->port.tenant, &now);
	w->waits = now.waits - p->before.waits;
	w->starved = now.starved - p->before.starved;
	w->lane = now.lane;
	perf_lane_difference(&w->lane, &p->before.lane);
}

static int create(struct perf_work works[], unsigned int n)
{
	int rc = 0;

	for (unsigned int i = 0; i < n && rc == 0; i++) {
		struct packets_work *p = calloc(1, sizeof(*p));

		works[i].test = p;
		rc = p != NULL ? perf_port_create(&p->port, &works[i])
			       : moat_error(-ENOMEM, "no memory for an lcore's work");
	}
	return rc;
}

static int destroy(struct perf_work works[], unsigned int n)
{
	int first = 0;

	while (n-- != 0) {
		struct packets_work *p = works[n].test;
		int rc = p != NULL ? perf_port_destroy(&p->port) : 0;

		free(p);
		works[n].test = NULL;
		first = first != 0 ? first : rc;
	}
	return first;
}

const struct perf_ops perf_packets_ops = { create, loop, destroy, mark };
