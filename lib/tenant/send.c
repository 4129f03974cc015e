/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See send.h. */

#define ALLOW_EXPERIMENTAL_API /* rte_eth_dev_conf_get() */

#include <errno.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_per_lcore.h>

#include "buffer.h"
#include "copy.h"
#include "mode.h"
#include "pool_impl.h"
#include "send.h"
#include "sent.h"

#define CHUNK 64u

/* --------------------------------------------------------------------- whose memory a packet is */

enum kind {
	KIND_OWN,     /* each segment is a buffer of the tenant's, with one reference */
	KIND_SHARED,  /* all are the tenant's, and some have several */
	KIND_FOREIGN, /* not all are the tenant's */
};

/*
 * Flags that were assigned, so that RTE_MBUF_F_EXTERNAL is gone. A clone that was made then has
 * RTE_MBUF_F_INDIRECT: when it is freed, DPDK takes the bytes in front of the buffer, which a
 * device may write, for the mbuf that owns the buffer. It becomes a reference as other clones are.
 */
static void flags_mend(const struct moat_tenant *t, struct rte_mbuf *m)
{
	uint32_t number;
	const struct moat_pool *pool = tenant_buffer_pool(t, m->buf_addr, &number);

	if (pool == NULL)
		return;
	if (m == pool->obj[number]) {
		tenant_pin(m);
	} else if (m->ol_flags & RTE_MBUF_F_INDIRECT) {
		tenant_pin(pool->obj[number]);
		m->shinfo = &t->shinfo[tenant_buffer_page(pool, number)];
		rte_mbuf_ext_refcnt_update(m->shinfo, 1);
		m->ol_flags ^= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	}
}

static enum kind segment_kind(const struct moat_tenant *t, struct rte_mbuf *m)
{
	struct tenant_run buffer;

	if (unlikely(!(m->ol_flags & RTE_MBUF_F_EXTERNAL)) && tenant_owns(t, m->buf_addr))
		flags_mend(t, m);
	if (likely(tenant_is_sole(t, m)))
		return KIND_OWN;
	return tenant_buffer_find(t, m, &buffer) ? KIND_SHARED : KIND_FOREIGN;
}

static enum kind packet_kind(const struct moat_tenant *t, struct rte_mbuf *pkt)
{
	enum kind kind = segment_kind(t, pkt);
	struct rte_mbuf *m = pkt;

	/* A packet's `next` lies in its header's second line: looked at only if need be. */
	for (unsigned int k = pkt->nb_segs; unlikely(k > 1); k--) {
		m = m->next;
		kind = RTE_MAX(kind, segment_kind(t, m));
	}
	return kind;
}

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

/* Mode static maps nothing: it looks up whose memory a packet is. */
static inline enum moat_stage stage_of(const struct moat_tenant *t)
{
	return t->mode->protects ? MOAT_STAGE_MAP : MOAT_STAGE_TRANSLATE;
}

/* ------------------------------------------------------------------- a burst of nothing unusual */

static int own_join(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run,
	const struct rte_mbuf *m)
{
	uint32_t page = tenant_page(t, m->buf_addr), n = tenant_buffer_pages(m);
	int rc;

	if (likely(tenant_run_grow(run, page, n)))
		return 0;
	rc = tenant_run_map(t, lc, run, TENANT_TX);
	run->page = page;
	run->n = n;
	return rc;
}

/* As tenant_run_join(), of packets that are of KIND_OWN as `like` is, the last one of the run.
 * @return how many from the front on have joined the run */
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

/* Make a packet of KIND_OWN the device's to read. The last run is left to the caller. */
static int own_map(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run,
	const struct rte_mbuf *pkt)
{
	const struct rte_mbuf *m = pkt;
	int rc = own_join(t, lc, run, m);

	for (unsigned int k = pkt->nb_segs; unlikely(k > 1) && rc == 0; k--)
		rc = own_join(t, lc, run, m = m->next);
	return rc;
}

/* The driver did not take these, or they were not offered to it. */
static void own_take_back(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *const pkts[], uint16_t n)
{
	struct tenant_run run = { .max = TENANT_RUN_PAGES };

	if (!t->mode->protects)
		return;
	for (uint16_t i = 0; i < n; i++) {
		for (const struct rte_mbuf *m = pkts[i]; m != NULL; m = m->next) {
			uint32_t page = tenant_page(t, m->buf_addr), k = tenant_buffer_pages(m);

			if (tenant_run_grow(&run, page, k))
				continue;
			tenant_run_unmap(t, lc, &run, TENANT_TICKET);
			run.page = page;
			run.n = k;
		}
	}
	tenant_run_unmap(t, lc, &run, TENANT_TICKET);
}

/* Are all packets of KIND_OWN, and are they mapped now? */
static bool burst_is_plain(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *const pkts[], uint16_t n)
{
	struct tenant_run run = { .max = t->whole_maps ? 0 : TENANT_RUN_PAGES };

	if (t->mode->copies)
		return false;
	for (uint16_t i = 0; i < n; i++) {
		enum kind kind;

		if (likely(run.n != 0)) {
			i += own_join_neighbours(t, &run, pkts[i - 1], &pkts[i], n - i);
			if (likely(i == n))
				break;
		}
		kind = packet_kind(t, pkts[i]);
		if (!t->mode->protects) {
			if (unlikely(kind == KIND_FOREIGN))
				return false;
			continue;
		}
		if (unlikely(kind != KIND_OWN) || unlikely(own_map(t, lc, &run, pkts[i]) != 0))
			return false;
	}
	return !t->mode->protects || likely(tenant_run_map(t, lc, &run, TENANT_TX) == 0);
}

/* Buffers that a device could still write, because the application had them from the pool mapped:
 * taken away together, so that the burst waits for one ticket, not for one with each packet.
 * @return were there any? */
static __rte_noinline bool burst_take_away(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *const pkts[], uint16_t n)
{
	bool any = false;

	for (uint16_t i = 0; i < n && t->mode->protects; i++) {
		if (packet_kind(t, pkts[i]) != KIND_OWN)
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

/* --------------------------------------------------------------- a burst with something unusual */

/* What becomes of the caller's packets: bit i is packet i of the chunk. */
struct chunk {
	uint64_t dropped; /* freed without being sent */
	uint64_t copied;  /* a copy is sent in its place */
	uint64_t shared;  /* mbufs of moat's own are */
	struct tenant_queue *queue;
	struct rte_mbuf *out[CHUNK]; /* what the driver is offered ... */
	uint8_t from[CHUNK];         /* ... and for which packet */
	uint16_t n;
};

static void chunk_offer(struct chunk *c, uint16_t i, struct rte_mbuf *m)
{
	c->from[c->n] = (uint8_t)i;
	c->out[c->n++] = m;
}

/* @return 0; 1: it does not fit; -ENOBUFS: not now */
static int pool_copy(struct moat_pool *pool, const struct rte_mbuf *pkt, struct rte_mbuf **copy)
{
	if (!tenant_copy_fits(pool->mp, pkt))
		return 1;
	*copy = tenant_copy(pool->mp, pool->tenant->mode->protects ? pool : NULL, pkt);
	return likely(*copy != NULL) ? 0 : -ENOBUFS;
}

/* Into buffers of the first pool that has some. @return as pool_copy() */
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

/* How often each port was found started; a start may come with other offloads. */
static uint32_t starts[RTE_MAX_ETHPORTS];

/* Does the driver free without a look at the pool of each packet? Asked once after each start. */
static bool frees_fast(struct tenant_queue *q)
{
	uint32_t now = __atomic_load_n(&starts[q->port], __ATOMIC_RELAXED);
	struct rte_eth_txq_info info = { 0 };
	struct rte_eth_conf conf;
	uint64_t offloads = 0;

	if (likely(q->starts == now))
		return q->fast_free;
	/* DPDK takes what is asked for the port out of what the queue has. */
	if (rte_eth_dev_conf_get(q->port, &conf) == 0)
		offloads |= conf.txmode.offloads;
	if (rte_eth_tx_queue_info_get(q->port, q->queue, &info) == 0)
		offloads |= info.conf.offloads;
	q->fast_free = offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	q->starts = now;
	return q->fast_free;
}

/* The pool of the largest buffers, and of those the one that has most. It never changes for a
 * queue: the ring may hold copies. NULL: the tenant has no pool */
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

/* @return as pool_copy() */
static int queue_copy(struct tenant_queue *q, const struct rte_mbuf *pkt, struct rte_mbuf **copy)
{
	struct moat_pool *pool;

	if (likely(!frees_fast(q)))
		return pools_copy(q->tenant, pkt, copy);
	pool = copies_choose(q);
	return pool != NULL ? pool_copy(pool, pkt, copy) : 1;
}

/* @return 0; 1: it can never be sent; -ENOBUFS: not now */
static int chunk_copy(struct chunk *c, uint16_t i, struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkt)
{
	struct tenant_run run = { .max = t->whole_maps ? 0 : TENANT_RUN_PAGES };
	struct rte_mbuf *copy;
	int rc = queue_copy(c->queue, pkt, &copy);

	if (rc != 0)
		return rc;
	if (t->mode->protects) {
		rc = own_map(t, lc, &run, copy);
		if (rc == 0)
			rc = tenant_run_map(t, lc, &run, TENANT_TX);
		if (rc != 0) {
			rte_pktmbuf_free(copy);
			return -ENOBUFS;
		}
	}
	c->copied |= UINT64_C(1) << i;
	chunk_offer(c, i, copy);
	return 0;
}

/* @return 0; else it cannot be sent now */
static int chunk_own(struct chunk *c, uint16_t i, struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkt)
{
	struct tenant_run run = { .max = t->whole_maps ? 0 : TENANT_RUN_PAGES };
	int rc = t->mode->protects ? own_map(t, lc, &run, pkt) : 0;

	if (rc == 0 && t->mode->protects)
		rc = tenant_run_map(t, lc, &run, TENANT_TX);
	if (rc == 0)
		chunk_offer(c, i, pkt);
	else
		own_take_back(t, lc, &pkt, 1);
	return rc;
}

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

/* @return 0; else it cannot be sent now: it and what follows stay the caller's */
static int chunk_add(struct chunk *c, uint16_t i, struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkt)
{
	enum kind kind = packet_kind(t, pkt);
	int rc;

	if (!t->mode->copies && kind == KIND_OWN)
		return chunk_own(c, i, t, lc, pkt);
	if (!t->mode->copies && kind == KIND_SHARED)
		return chunk_shared(c, i, t, lc, pkt);
	rc = t->mode->copies || t->conf.copy_foreign ? chunk_copy(c, i, t, lc, pkt) : 1;
	if (rc > 0) {
		c->dropped |= UINT64_C(1) << i;
		rc = 0;
	}
	return rc;
}

/* The driver did not take out[k] and what follows. */
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
			own_take_back(t, lc, &c->out[k], 1);
	}
}

/* The first `n` packets are no longer the caller's: what becomes of those that are not sent. */
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

/* The tenant is not locked: a packet's pool may be another tenant's. */
static void chunk_finish(const struct chunk *c, struct rte_mbuf *pkts[], uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		if ((c->copied | c->dropped) >> i & 1)
			rte_pktmbuf_free(pkts[i]);
}

/* Packets from `i` on, as far as they can be sent now. @return the first that cannot */
static uint16_t chunk_fill(struct chunk *c, uint16_t i, struct moat_tenant *t,
	struct tenant_lcore *lc, struct rte_mbuf *const pkts[], uint16_t n)
{
	while (i < n && chunk_add(c, i, t, lc, pkts[i]) == 0)
		i++;
	return i;
}

/*
 * At most CHUNK packets, of any kind. @return how many from the front are no longer the caller's
 *
 * What moat lacks for a packet, an mbuf of its own or a buffer to copy into, may all lie in the
 * queue's ring, sent already: a driver frees such when the ring becomes full, or when asked. With
 * nothing to offer, nobody would call it again.
 */
static uint16_t chunk_send(struct tenant_queue *q, struct tenant_lcore *lc, eth_tx_burst_t driver,
	void *txq, struct rte_mbuf *pkts[], uint16_t n)
{
	struct moat_tenant *t = q->tenant;
	struct chunk c = { .queue = q, .n = 0 };
	uint16_t i = chunk_fill(&c, 0, t, lc, pkts, n), sent;

	if (unlikely(i != n)) {
		int back;

		tenant_lcore_unuse(t, lc);
		back = rte_eth_tx_done_cleanup(q->port, q->queue, 0); /* -ENOTSUP: not here */
		lc = tenant_lcore_use(t);
		if (back > 0)
			i = chunk_fill(&c, i, t, lc, pkts, n);
	}
	moat_counter_add(&lc->map_failed, i != n);
	moat_cost_mark(lc->watch, &lc->cost, t->mode->copies ? MOAT_STAGE_COPY : stage_of(t));
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

static uint16_t plain_send(struct moat_tenant *t, struct tenant_lcore *lc, eth_tx_burst_t driver,
	void *txq, struct rte_mbuf *pkts[], uint16_t n)
{
	uint16_t sent;

	moat_cost_mark(lc->watch, &lc->cost, stage_of(t));
	tenant_lcore_unuse(t, lc);
	sent = driver(txq, pkts, n);
	if (unlikely(sent < n)) {
		lc = tenant_lcore_use(t);
		moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
		own_take_back(t, lc, &pkts[sent], n - sent);
		moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
		tenant_lcore_unuse(t, lc);
	}
	return sent;
}

/* ------------------------------------------------------------------ between DPDK and the driver */

/* The driver's function, by port, while moat stands in its place. */
static eth_tx_burst_t drivers[RTE_MAX_ETHPORTS];

/*
 * The queues whose bursts are on their way from the callback to the driver, the innermost last: a
 * callback of the program's that runs behind moat's may send on other ports in turn. An offer whose
 * driver was never called (the port was stopped in between) is dropped by the next that matches
 * below it, or when there are too many; it is never looked into.
 */
#define OFFERS 16u
struct offers {
	unsigned int n;
	struct {
		struct tenant_queue *queue;
		const void *txq; /* the driver's, by which the call is known */
	} of[OFFERS];
};
static RTE_DEFINE_PER_LCORE(struct offers, offers);

static void offer_add(struct tenant_queue *q)
{
	struct offers *o = &RTE_PER_LCORE(offers);

	if (unlikely(o->n == OFFERS))
		memmove(&o->of[0], &o->of[1], --o->n * sizeof(o->of[0]));
	o->of[o->n].queue = q;
	o->of[o->n++].txq = rte_eth_fp_ops[q->port].txq.data[q->queue];
}

/* NULL: it is not a tenant's queue */
static struct tenant_queue *offer_take(const void *txq)
{
	struct offers *o = &RTE_PER_LCORE(offers);

	for (unsigned int n = o->n; n != 0; n--) {
		if (unlikely(o->of[n - 1].txq != txq))
			continue;
		o->n = n - 1;
		return o->of[n - 1].queue;
	}
	return NULL;
}

/* A queue that is not a tenant's, on a port where moat stands. */
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
		uint16_t k = RTE_MIN(n - done, (int)CHUNK), sent;

		if (unlikely(lc == NULL))
			break;
		moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
		if (likely(burst_prepare(t, lc, &pkts[done], k)))
			sent = plain_send(t, lc, driver, txq, &pkts[done], k);
		else
			sent = chunk_send(q, lc, driver, txq, &pkts[done], k);
		done += sent;
		if (unlikely(sent < k))
			break;
	}
	return done;
}

static __rte_noinline void driver_replace(uint16_t port, eth_tx_burst_t driver)
{
	__atomic_fetch_add(&starts[port], 1, __ATOMIC_RELAXED);
	/* D1: the driver's function before our own: a thread that calls ours finds it. Two threads
	 * that do this at once write the same. */
	__atomic_store_n(&drivers[port], driver, __ATOMIC_RELEASE);
	__atomic_store_n(&rte_eth_fp_ops[port].tx_pkt_burst, driver_stand_in, __ATOMIC_RELEASE);
}

uint16_t tenant_tx_offer(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	void *arg)
{
	eth_tx_burst_t now = __atomic_load_n(&rte_eth_fp_ops[port].tx_pkt_burst, __ATOMIC_ACQUIRE);

	if (unlikely(now != driver_stand_in))
		driver_replace(port, now);
	/* A queue whose port has gone has no tenant; the driver gets what it is given. */
	if (likely(((struct tenant_queue *)arg)->tenant != NULL))
		offer_add(arg);
	return n;
}
