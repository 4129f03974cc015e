/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A worker's loop: poll its groups, forward, poll every tenant. */

#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_launch.h>
#include <rte_mbuf.h>

#include "fwd.h"
#include "moat_counter.h"
#include "moat_tenant_measure.h"

#define NAP_NS 20000 /* idle = sleep: how long an idle lcore sleeps */

/* Send, and drop what the queue does not take, as testpmd does: waiting would stall other ports. */
static inline void transmit(struct fwd_group *g, unsigned int to, struct rte_mbuf *pkts[],
	uint16_t n)
{
	uint16_t sent;

	if (n == 0)
		return;
	sent = rte_eth_tx_burst(g->at[to].port, g->at[to].queue, pkts, n);
	moat_counter_add(&g->count.tx_packets, sent);
	if (unlikely(sent < n)) {
		moat_counter_add(&g->count.drops, n - sent);
		rte_pktmbuf_free_bulk(&pkts[sent], n - sent);
	}
}

/* Find the port to forward to. Ports are paired: 0 and 1, 2 and 3, ...; a last port without partner
 * gets its own packets back. */
static inline unsigned int partner(const struct fwd_group *g, unsigned int from)
{
	return (from ^ 1) < g->nr_ports ? from ^ 1 : from;
}

static inline void swap_addresses(struct rte_mbuf *pkts[], uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkts[i], struct rte_ether_hdr *);
		struct rte_ether_addr addr = eth->dst_addr;

		eth->dst_addr = eth->src_addr;
		eth->src_addr = addr;
	}
}

/* Send a packet to every port but the one that it came from: copies, because a buffer has one
 * owner. */
static void flood(struct fwd_group *g, unsigned int from, struct rte_mbuf *pkt,
	struct rte_mbuf *out[][FWD_BURST], uint16_t nr_out[])
{
	struct rte_mbuf *left = pkt;

	for (unsigned int to = g->nr_ports; to-- != 0;) {
		struct rte_mbuf *m;

		if (to == from)
			continue;
		/* The last one gets the packet itself. */
		if (to == 0 || (to == 1 && from == 0)) {
			m = left;
			left = NULL;
		} else {
			m = rte_pktmbuf_copy(pkt, g->tenant->pool, 0, UINT32_MAX);
			moat_counter_add(&g->count.flooded, m != NULL);
			moat_counter_add(&g->count.drops, m == NULL);
		}
		if (m != NULL)
			out[to][nr_out[to]++] = m;
	}
	if (left != NULL) { /* one port: nowhere to go */
		moat_counter_add(&g->count.drops, 1);
		rte_pktmbuf_free(left);
	}
}

/* A learning bridge between the tenant's ports. */
static void bridge(struct fwd_group *g, unsigned int from, struct rte_mbuf *pkts[], uint16_t n)
{
	struct rte_mbuf *out[FWD_PORTS][FWD_BURST];
	uint16_t nr_out[FWD_PORTS] = { 0 };

	for (uint16_t i = 0; i < n; i++) {
		const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkts[i], struct rte_ether_hdr *);
		int to;

		fwd_l2_learn(g->tenant->table, &eth->src_addr, (uint8_t)from);
		to = fwd_l2_find(g->tenant->table, &eth->dst_addr);
		if (likely(to >= 0 && to != (int)from)) {
			out[to][nr_out[to]++] = pkts[i];
		} else if (to < 0) {
			flood(g, from, pkts[i], out, nr_out);
		} else { /* the destination is on the port that the packet came from */
			moat_counter_add(&g->count.drops, 1);
			rte_pktmbuf_free(pkts[i]);
		}
	}
	for (unsigned int to = 0; to < g->nr_ports; to++)
		transmit(g, to, out[to], nr_out[to]);
}

/* Forward a burst from the group's port `from`, by the tenant's rule. */
static void pass_on(struct fwd_group *g, unsigned int from, struct rte_mbuf *pkts[], uint16_t n)
{
	moat_counter_add(&g->count.rx_packets, n);
	switch (g->tenant->conf->forward) {
	case FWD_L2:
		bridge(g, from, pkts, n);
		break;
	case FWD_MACSWAP:
		swap_addresses(pkts, n);
		/* fallthrough */
	default:
		transmit(g, partner(g, from), pkts, n);
	}
}

void fwd_loop_pass_on(struct fwd_group *g, unsigned int from, struct rte_mbuf *pkts[], uint16_t n)
{
	pass_on(g, from, pkts, n);
}

/* Before the end, forward the packets that mode pipelined still holds. */
static void finish(struct fwd_group *g)
{
	struct rte_mbuf *pkts[FWD_BURST];
	uint16_t n;

	for (unsigned int from = 0; from < g->nr_ports; from++)
		while ((n = moat_tenant_held(g->tenant->tenant, g->at[from].port, g->at[from].queue,
				pkts, FWD_BURST)) != 0)
			pass_on(g, from, pkts, n);
}

/* Forward one burst from every port of the group. @return packets received */
static unsigned int forward(struct fwd_group *g)
{
	struct rte_mbuf *pkts[FWD_BURST];
	unsigned int total = 0;

	for (unsigned int from = 0; from < g->nr_ports; from++) {
		uint16_t n = rte_eth_rx_burst(g->at[from].port, g->at[from].queue, pkts, FWD_BURST);

		if (n == 0)
			continue;
		total += n;
		pass_on(g, from, pkts, n);
	}
	return total;
}

/* One group's part of a turn. With idle = posted, a group is polled only after an interrupt of one
 * of its queues. @return packets received */
static unsigned int visit(struct fwd_worker *w, unsigned int i)
{
	unsigned int packets;

	if (likely(w->posted == NULL))
		return forward(w->groups[i]);
	if (!fwd_posted_hot(w->posted, i))
		return 0;
	packets = forward(w->groups[i]);
	fwd_posted_polled(w->posted, i, packets);
	return packets;
}

/* One turn over all groups. @return packets received */
static unsigned int turn(struct fwd_worker *w)
{
	unsigned int total = 0;

	if (unlikely(w->posted != NULL))
		fwd_posted_turn(w->posted);

	for (unsigned int i = 0; i < w->nr_groups;) {
		struct fwd_run_tenant *t = w->groups[i]->tenant;
		unsigned int packets = 0;

		do
			packets += visit(w, i++);
		while (i < w->nr_groups && w->groups[i]->tenant == t);
		moat_tenant_charge(t->tenant, packets);
		moat_tenant_poll(t->tenant);
		moat_tenant_charge(t->tenant, packets);
		total += packets;
	}
	return total;
}

/* Enter (or leave) every tenant of the worker. */
static int each_tenant(struct fwd_worker *w, int (*call)(struct moat_tenant *))
{
	int rc = 0, first = 0;

	for (unsigned int i = 0; i < w->nr_groups; i++) {
		if (i != 0 && w->groups[i]->tenant == w->groups[i - 1]->tenant)
			continue;
		rc = call(w->groups[i]->tenant->tenant);
		if (first == 0)
			first = rc;
	}
	return first;
}

static struct fwd_run *running; /* for work(), whose one argument is the worker */

/* No packet has come for a while: yield the CPU, sleep, or wait for an interrupt. */
static void rest(struct fwd_worker *w)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };

	if (w->posted != NULL) {
		/* lanes stay online: the wait is shorter than a burst may be */
		if (fwd_posted_rest(w->posted))
			moat_tenant_stopwatch(true);
		return;
	}
	each_tenant(w, moat_tenant_offline); /* the worker holds no translation here */
	if (running->conf->idle == FWD_IDLE_SLEEP)
		nanosleep(&nap, NULL);
	else
		sched_yield();
	each_tenant(w, moat_tenant_online);
	moat_tenant_stopwatch(true); /* the rest is charged to no stage */
}

static int work(void *arg)
{
	struct fwd_worker *w = arg;
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);
	unsigned int idle = 0;

	/* Keep naps short: by default the kernel may add 50 us to each. */
	prctl(PR_SET_TIMERSLACK, 1000UL);
	w->rc = each_tenant(w, moat_tenant_lcore_enter);
	if (w->rc != 0)
		return w->rc;
	if (running->args->perf)
		fwd_perf_open(&w->perf);
	moat_tenant_stopwatch(true);
	/* Relaxed: `stop` publishes nothing else; the main thread waits for the lcore's end. */
	while (!atomic_load_explicit(&running->stop, memory_order_relaxed)) {
		if (unlikely(running->args->perf))
			fwd_perf_turn(&w->perf, watch);
		idle = turn(w) != 0 ? 0 : idle + 1;
		/* Acquire: pairs with the release in ask() (fwd_move.c). */
		if (unlikely(atomic_load_explicit(&w->move, memory_order_acquire) != NULL))
			fwd_move_serve(w);
		if (running->conf->idle != FWD_IDLE_SPIN && idle >= FWD_PATIENCE) {
			rest(w);
			/* with a line: rest again in each turn until a packet comes */
			idle = w->posted != NULL ? FWD_PATIENCE : 0;
		}
	}
	for (unsigned int i = 0; i < w->nr_groups; i++)
		finish(w->groups[i]);
	moat_tenant_stopwatch(false);
	watch->counted = NULL;
	if (running->args->perf)
		fwd_perf_close(&w->perf);
	w->rc = each_tenant(w, moat_tenant_lcore_leave);
	return w->rc;
}

int fwd_loop_start(struct fwd_run *run)
{
	running = run;
	atomic_store_explicit(&run->stop, false, memory_order_relaxed); /* the launch orders it */
	for (unsigned int i = 0; i < run->nr_workers; i++) {
		int rc = rte_eal_remote_launch(work, &run->workers[i], run->workers[i].lcore);

		if (rc != 0)
			return moat_error(rc, "lcore %u cannot be started: %s",
				run->workers[i].lcore, rte_strerror(-rc));
	}
	return 0;
}

int fwd_loop_stop(struct fwd_run *run)
{
	int first = 0;

	atomic_store_explicit(&run->stop, true, memory_order_relaxed);
	for (unsigned int i = 0; i < run->nr_workers; i++) {
		rte_eal_wait_lcore(run->workers[i].lcore);
		if (first == 0)
			first = run->workers[i].rc;
	}
	return first;
}
