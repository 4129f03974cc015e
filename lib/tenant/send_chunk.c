/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Sending a burst that is not plain (send.c), and each burst in mode copy. For each packet, the
 * driver is offered the packet itself, mbufs of moat's own if its buffers have other references
 * (sent.h), a copy, or nothing.
 */

#define ALLOW_EXPERIMENTAL_API /* rte_eth_dev_conf_get() */

#include <errno.h>

#include <rte_ethdev.h>
#include <rte_log.h>

#include "copy.h"
#include "send_impl.h"
#include "sent.h"

/* A burst, or a piece of one. Bit i of the bitmaps is the caller's packet i. */
struct chunk {
	uint64_t dropped; /* freed without being sent */
	uint64_t copied;  /* a copy is sent in its place */
	uint64_t shared;  /* mbufs of moat's own are sent in its place */
	struct tenant_queue *queue;
	struct rte_mbuf *out[TENANT_CHUNK]; /* what the driver is offered ... */
	uint8_t from[TENANT_CHUNK];         /* ... and the caller's packet for which it is */
	uint16_t n;                         /* entries of out[] */
};

static void chunk_offer(struct chunk *c, uint16_t i, struct rte_mbuf *m)
{
	c->from[c->n] = (uint8_t)i;
	c->out[c->n++] = m;
}

/* --------------------------------------------------------------------------------------- copies */

/* Copy a packet into buffers of a pool. @return 0; 1: it is too long to be copied; -ENOBUFS: too
 * few buffers are free now */
static int pool_copy(struct moat_pool *pool, const struct rte_mbuf *pkt, struct rte_mbuf **copy)
{
	if (!tenant_copy_fits(pool->mp, pkt))
		return 1;
	*copy = tenant_copy(pool->mp, pool->tenant->mode->protects ? pool : NULL, pkt);
	return likely(*copy != NULL) ? 0 : -ENOBUFS;
}

/* Copy a packet into buffers of the first pool that has enough. @return as pool_copy() */
static int pools_copy(struct moat_tenant *t, const struct rte_mbuf *pkt, struct rte_mbuf **copy)
{
	int rc = 1;

	for (unsigned int i = 0; i < t->nr_pools; i++) {
		int now = pool_copy(t->pools[i], pkt, copy);

		if (likely(now == 0))
			return 0;
		rc = RTE_MIN(rc, now);
	}
	return rc;
}

/* By port: how often the port was found started. After each start it may have other offloads. */
static uint32_t starts[RTE_MAX_ETHPORTS];

void tenant_chunk_restart(uint16_t port)
{
	__atomic_fetch_add(&starts[port], 1, __ATOMIC_RELAXED);
}

/* Does the driver free all packets of the queue into one pool (MBUF_FAST_FREE)? DPDK is asked once
 * after each start. */
static bool frees_fast(struct tenant_queue *q)
{
	uint32_t now = __atomic_load_n(&starts[q->port], __ATOMIC_RELAXED);
	struct rte_eth_txq_info info = { 0 };
	struct rte_eth_conf conf;
	uint64_t offloads = 0;

	if (likely(q->starts == now))
		return q->fast_free;
	/* DPDK removes the port's offloads from the queue's. */
	if (rte_eth_dev_conf_get(q->port, &conf) == 0)
		offloads |= conf.txmode.offloads;
	if (rte_eth_tx_queue_info_get(q->port, q->queue, &info) == 0)
		offloads |= info.conf.offloads;
	q->fast_free = offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	q->starts = now;
	return q->fast_free;
}

/* Choose the pool with the largest buffers; of several, the one with most buffers. A queue's choice
 * never changes, because its ring may hold copies. NULL: the tenant has no pool */
static struct moat_pool *copies_choose(struct tenant_queue *q)
{
	const struct moat_tenant *t = q->tenant;
	struct moat_pool *best = NULL;

	if (likely(q->copies != NULL))
		return q->copies;
	for (unsigned int i = 0; i < t->nr_pools; i++) {
		struct moat_pool *pool = t->pools[i];

		if (best == NULL || pool->stride > best->stride ||
			(pool->stride == best->stride && pool->n > best->n))
			best = pool;
	}
	return q->copies = best;
}

/* Copy a packet into a pool that suits the queue. @return as pool_copy() */
static int queue_copy(struct tenant_queue *q, const struct rte_mbuf *pkt, struct rte_mbuf **copy)
{
	struct moat_pool *pool;

	if (likely(!frees_fast(q)))
		return pools_copy(q->tenant, pkt, copy);
	pool = copies_choose(q);
	return pool != NULL ? pool_copy(pool, pkt, copy) : 1;
}

/* ----------------------------------------------------------------------------------- one packet */

/* Map one packet of TENANT_KIND_OWN for the device to read, in the modes that unmap. */
static int packet_map(struct moat_tenant *t, struct tenant_lcore *lc, const struct rte_mbuf *pkt)
{
	struct tenant_run run = { .max = t->whole_maps ? 0 : TENANT_RUN_PAGES };
	int rc;

	if (!t->mode->protects)
		return 0;
	rc = tenant_own_map(t, lc, &run, pkt);
	return rc == 0 ? tenant_run_map(t, lc, &run, TENANT_TX) : rc;
}

/* Offer a copy. @return 0; 1: the packet can never be sent; -ENOBUFS: it cannot be sent now */
static int chunk_copy(struct chunk *c, uint16_t i, struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkt)
{
	struct rte_mbuf *copy;
	int rc = queue_copy(c->queue, pkt, &copy);

	if (rc != 0)
		return rc;
	if (packet_map(t, lc, copy) != 0) {
		rte_pktmbuf_free(copy);
		return -ENOBUFS;
	}
	c->copied |= UINT64_C(1) << i;
	chunk_offer(c, i, copy);
	return 0;
}

/* Offer the packet itself. @return 0; else it cannot be sent now */
static int chunk_own(struct chunk *c, uint16_t i, struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkt)
{
	int rc = packet_map(t, lc, pkt);

	if (rc == 0)
		chunk_offer(c, i, pkt);
	else
		tenant_own_take_back(t, lc, &pkt, 1);
	return rc;
}

/* Offer mbufs of moat's own, in the modes that unmap. @return 0; else it cannot be sent now */
static int chunk_shared(struct chunk *c, uint16_t i, struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkt)
{
	struct rte_mbuf *m;

	if (!t->mode->protects)
		return chunk_own(c, i, t, lc, pkt);
	m = tenant_sent_make(t, lc, pkt);
	if (m == NULL)
		return -ENOBUFS;
	c->shared |= UINT64_C(1) << i;
	chunk_offer(c, i, m);
	return 0;
}

/* Decide what the driver is offered for a packet. @return 0; else the packet cannot be sent now:
 * this packet and those behind it stay the caller's */
static int chunk_add(struct chunk *c, uint16_t i, struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkt)
{
	enum tenant_kind kind = tenant_packet_kind(t, pkt);
	int rc;

	if (!t->mode->copies && kind == TENANT_KIND_OWN)
		return chunk_own(c, i, t, lc, pkt);
	if (!t->mode->copies && kind == TENANT_KIND_SHARED)
		return chunk_shared(c, i, t, lc, pkt);
	rc = t->mode->copies || t->conf.copy_foreign ? chunk_copy(c, i, t, lc, pkt) : 1;
	if (rc > 0) {
		c->dropped |= UINT64_C(1) << i;
		rc = 0;
	}
	return rc;
}

/* ---------------------------------------------------------------------------------- all packets */

/* Take back out[k] and the entries behind it, which the driver did not take. */
static void chunk_take_back(struct chunk *c, uint16_t k, struct moat_tenant *t,
	struct tenant_lcore *lc)
{
	for (; k < c->n; k++) {
		uint64_t bit = UINT64_C(1) << c->from[k];

		if (c->copied & bit)
			rte_pktmbuf_free(c->out[k]);
		else if (c->shared & bit)
			tenant_sent_undo(t, lc, c->out[k]);
		else
			tenant_own_take_back(t, lc, &c->out[k], 1);
	}
}

/* Log the first foreign packet. */
static void foreign_say(struct moat_tenant *t, const struct rte_mbuf *pkt)
{
	if (__atomic_exchange_n(&t->said_foreign, true, __ATOMIC_RELAXED))
		return;
	TENANT_LOG(WARNING,
		"tenant '%s': a packet from pool '%s' is not in the tenant's memory, so its devices "
		"cannot read it; such packets are dropped (counted as 'foreign'). Copy them into a pool "
		"of the tenant's, or set copy_foreign",
		t->name, pkt->pool != NULL ? pkt->pool->name : "(none)");
}

/* Count copies and drops among the first `n` packets, which are no longer the caller's. */
static void chunk_count(const struct chunk *c, struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *const pkts[], uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		uint64_t bit = UINT64_C(1) << i;

		if (c->copied & bit) {
			moat_counter_add(&lc->copied, pkts[i]->pkt_len);
		} else if (!(c->dropped & bit)) {
			continue;
		} else if (t->mode->copies || t->conf.copy_foreign) {
			moat_counter_add(&lc->overrun, 1); /* longer than any copy can be */
		} else {
			moat_counter_add(&lc->foreign, 1);
			foreign_say(t, pkts[i]);
		}
	}
}

/* Free the originals of copies, and dropped packets, among the first `n`. The tenant must not be
 * locked: a packet's pool may be another tenant's. */
static void chunk_finish(const struct chunk *c, struct rte_mbuf *pkts[], uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		if ((c->copied | c->dropped) >> i & 1)
			rte_pktmbuf_free(pkts[i]);
}

/* Add packets from `i` on, as far as they can be sent now. @return the first that cannot */
static uint16_t chunk_fill(struct chunk *c, uint16_t i, struct moat_tenant *t,
	struct tenant_lcore *lc, struct rte_mbuf *const pkts[], uint16_t n)
{
	while (i < n && chunk_add(c, i, t, lc, pkts[i]) == 0)
		i++;
	return i;
}

/* If moat has no free mbuf of its own, or no free buffer to copy into, all may lie in the queue's
 * ring, sent already. A driver frees sent ones when the ring becomes full, or when asked by
 * rte_eth_tx_done_cleanup(). moat must ask here: with no packet to send, it does not call the
 * driver. */
uint16_t tenant_chunk_send(struct tenant_queue *q, struct tenant_lcore *lc, eth_tx_burst_t driver,
	void *txq, struct rte_mbuf *pkts[], uint16_t n)
{
	struct moat_tenant *t = q->tenant;
	struct chunk c = { .queue = q, .n = 0 };
	uint16_t i = chunk_fill(&c, 0, t, lc, pkts, n), sent;

	if (unlikely(i != n)) {
		int back;

		tenant_lcore_unuse(t, lc);
		back = rte_eth_tx_done_cleanup(q->port, q->queue, 0); /* may be -ENOTSUP */
		lc = tenant_lcore_use(t);
		if (back > 0)
			i = chunk_fill(&c, i, t, lc, pkts, n);
	}
	moat_counter_add(&lc->map_failed, i != n);
	moat_cost_mark(lc->watch, &lc->cost,
		t->mode->copies ? MOAT_STAGE_COPY : tenant_send_stage(t));
	tenant_lcore_unuse(t, lc);
	sent = c.n != 0 ? driver(txq, c.out, c.n) : 0;
	lc = tenant_lcore_use(t);
	if (sent < c.n) {
		i = c.from[sent];
		chunk_take_back(&c, sent, t, lc);
	}
	chunk_count(&c, t, lc, pkts, i);
	tenant_lcore_unuse(t, lc);
	chunk_finish(&c, pkts, i);
	return i;
}
