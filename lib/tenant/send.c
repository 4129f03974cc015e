/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See send.h. A plain burst, of packets of TENANT_KIND_OWN, is mapped as a whole and given to the
 * driver here. send_chunk.c sends any other burst. */

#include <string.h>

#include <rte_ethdev.h>
#include <rte_per_lcore.h>

#include "send.h"
#include "send_impl.h"

/* ------------------------------------------------------------------------------- a plain burst */

/* As tenant_run_join(), but only packets of TENANT_KIND_OWN join. `like` is the packet before, of
 * this kind. @return how many packets from the front have joined the run */
static inline uint16_t own_join_neighbours(const struct moat_tenant *t, struct tenant_run *run,
	const struct rte_mbuf *like, struct rte_mbuf *const pkts[], uint16_t n)
{
	const uint8_t *next = tenant_run_end(t, run);
	uint32_t page = run->page + run->n, pages = tenant_buffer_pages(like);
	uint16_t i = 0;

	n = tenant_run_room(t, run, pages, n);
	for (; i < n; i++, page += pages, next += (uint64_t)pages << MOAT_PAGE_SHIFT) {
		const struct rte_mbuf *m = pkts[i];

		if (unlikely(!tenant_run_is_next(m, next, like) || m->pool != like->pool ||
			    !tenant_has_one_reference(t, m, page)))
			break;
	}
	run->n += i * pages;
	return i;
}

/* Map the burst, if all packets are of TENANT_KIND_OWN; in mode static, check that none is foreign.
 * @return false: another kind of packet, or a map failed; some may be mapped */
static bool burst_is_plain(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *const pkts[], uint16_t n)
{
	struct tenant_run run = { .max = t->whole_maps ? 0 : TENANT_RUN_PAGES };

	if (t->mode->copies)
		return false;
	for (uint16_t i = 0; i < n; i++) {
		enum tenant_kind kind;

		if (likely(run.n != 0)) {
			i += own_join_neighbours(t, &run, pkts[i - 1], &pkts[i], n - i);
			if (likely(i == n))
				break;
		}
		kind = tenant_packet_kind(t, pkts[i]);
		if (!t->mode->protects) {
			if (unlikely(kind == TENANT_KIND_FOREIGN))
				return false;
			continue;
		}
		if (unlikely(kind != TENANT_KIND_OWN) ||
			unlikely(tenant_own_map(t, lc, &run, pkts[i]) != 0))
			return false;
	}
	return !t->mode->protects || likely(tenant_run_map(t, lc, &run, TENANT_TX) == 0);
}

/* Unmap buffers that the device can still write, because the pool handed them to the application
 * mapped. Unmapped together, they make the burst wait for one ticket, not for one per packet.
 * @return were there any? */
static __rte_noinline bool burst_take_away(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *const pkts[], uint16_t n)
{
	bool any = false;

	for (uint16_t i = 0; i < n && t->mode->protects; i++) {
		if (tenant_packet_kind(t, pkts[i]) != TENANT_KIND_OWN)
			continue;
		for (const struct rte_mbuf *m = pkts[i]; m != NULL; m = m->next) {
			struct tenant_run run = { .page = tenant_page(t, m->buf_addr),
				.n = tenant_buffer_pages(m) };

			if (t->state[run.page] != TENANT_RX)
				continue;
			tenant_run_unmap(t, lc, &run, TENANT_TICKET);
			any = true;
		}
	}
	return any;
}

static bool burst_prepare(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *const pkts[], uint16_t n)
{
	if (likely(burst_is_plain(t, lc, pkts, n)))
		return true;
	return burst_take_away(t, lc, pkts, n) && burst_is_plain(t, lc, pkts, n);
}

static uint16_t plain_send(struct moat_tenant *t, struct tenant_lcore *lc, eth_tx_burst_t driver,
	void *txq, struct rte_mbuf *pkts[], uint16_t n)
{
	uint16_t sent;

	moat_cost_mark(lc->watch, &lc->cost, tenant_send_stage(t));
	tenant_lcore_unuse(t, lc);
	sent = driver(txq, pkts, n);
	if (unlikely(sent < n)) {
		lc = tenant_lcore_use(t);
		moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
		tenant_own_take_back(t, lc, &pkts[sent], n - sent);
		moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
		tenant_lcore_unuse(t, lc);
	}
	return sent;
}

/* ------------------------------------------------------------------ between DPDK and the driver */

/* By port: the driver's function that driver_stand_in() has replaced in rte_eth_fp_ops. */
static eth_tx_burst_t drivers[RTE_MAX_ETHPORTS];

/*
 * A stack of the queues whose bursts are between the Tx callback and the driver. A callback of the
 * program's that runs after moat's may itself send on other ports, and so add further offers. If
 * the driver is never called (the port was stopped in between), the offer is removed when an older
 * one is taken, or as the oldest when the stack is full. Until then the queue may be removed, and
 * a queue that is not a tenant's may have the same `txq`. So an offer is valid only while `life` of
 * its queue is the same.
 */
#define OFFERS 16u
struct offers {
	unsigned int n;
	struct {
		struct tenant_queue *queue;
		const void *txq; /* the driver's queue, which identifies the call */
		uint32_t life;   /* the queue's, when the offer was made */
	} of[OFFERS];
};
static RTE_DEFINE_PER_LCORE(struct offers, offers);

static void offer_add(struct tenant_queue *q)
{
	struct offers *o = &RTE_PER_LCORE(offers);

	if (unlikely(o->n == OFFERS))
		memmove(&o->of[0], &o->of[1], --o->n * sizeof(o->of[0]));
	o->of[o->n].queue = q;
	o->of[o->n].life = __atomic_load_n(&q->life, __ATOMIC_RELAXED); /* see `life` */
	o->of[o->n++].txq = rte_eth_fp_ops[q->port].txq.data[q->queue];
}

/* Take the newest offer for `txq`. NULL: it is not a tenant's queue */
static struct tenant_queue *offer_take(const void *txq)
{
	struct offers *o = &RTE_PER_LCORE(offers);

	for (unsigned int n = o->n; n != 0; n--) {
		struct tenant_queue *q = o->of[n - 1].queue;

		if (unlikely(o->of[n - 1].txq != txq))
			continue;
		if (unlikely(o->of[n - 1].life != __atomic_load_n(&q->life, __ATOMIC_RELAXED)))
			continue; /* the queue has ended */
		o->n = n - 1;
		return q;
	}
	return NULL;
}

/* Find the driver of a queue that is not a tenant's, on a port whose function was replaced. */
static eth_tx_burst_t driver_find(const void *txq)
{
	for (uint16_t port = 0; port < RTE_MAX_ETHPORTS; port++) {
		const struct rte_eth_fp_ops *ops = &rte_eth_fp_ops[port];
		struct rte_eth_dev_info info;

		if (__atomic_load_n(&drivers[port], __ATOMIC_ACQUIRE) == NULL ||
			rte_eth_dev_info_get(port, &info) != 0)
			continue;
		for (uint16_t q = 0; q < info.nb_tx_queues; q++)
			if (ops->txq.data[q] == txq)
				return drivers[port];
	}
	return NULL;
}

static uint16_t driver_stand_in(void *txq, struct rte_mbuf **pkts, uint16_t n)
{
	struct tenant_queue *q = offer_take(txq);
	eth_tx_burst_t driver;
	struct moat_tenant *t;
	uint16_t done = 0;

	if (unlikely(q == NULL)) {
		driver = driver_find(txq);
		return driver != NULL ? driver(txq, pkts, n) : 0;
	}
	driver = __atomic_load_n(&drivers[q->port], __ATOMIC_RELAXED);
	if (unlikely(n == 0))
		return driver(txq, pkts, 0);
	t = q->tenant;
	while (done < n) {
		struct tenant_lcore *lc = tenant_lcore_use(t);
		uint16_t k = RTE_MIN(n - done, (int)TENANT_CHUNK), sent;

		if (unlikely(lc == NULL))
			break;
		moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
		if (likely(burst_prepare(t, lc, &pkts[done], k)))
			sent = plain_send(t, lc, driver, txq, &pkts[done], k);
		else
			sent = tenant_chunk_send(q, lc, driver, txq, &pkts[done], k);
		done += sent;
		if (unlikely(sent < k))
			break;
	}
	return done;
}

static __rte_noinline void driver_replace(uint16_t port, eth_tx_burst_t driver)
{
	tenant_chunk_restart(port);
	/* The driver's function before moat's, so that a thread that calls moat's finds the
	 * driver's. Two threads that do this at once store the same values. */
	__atomic_store_n(&drivers[port], driver, __ATOMIC_RELEASE);
	__atomic_store_n(&rte_eth_fp_ops[port].tx_pkt_burst, driver_stand_in, __ATOMIC_RELEASE);
}

uint16_t tenant_tx_offer(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	void *arg)
{
	eth_tx_burst_t now = __atomic_load_n(&rte_eth_fp_ops[port].tx_pkt_burst, __ATOMIC_ACQUIRE);

	if (unlikely(now != driver_stand_in))
		driver_replace(port, now);
	/* If the queue's port is gone, there is no tenant: the next driver gets the burst as is. */
	if (likely(((struct tenant_queue *)arg)->tenant != NULL))
		offer_add(arg);
	return n;
}
