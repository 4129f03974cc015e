/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Pools of packet buffers: making them, and what the mempool ops do. See moat_pool.h. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>

#include "moat_mutant.h"
#include "run.h"
#include "stock.h"

/* One lcore's buffers: ready ones, and quarantined runs in the order of their tickets. */
struct moat_pool_lcore {
	struct tenant_stock stock;
	uint32_t head, tail; /* free-running; a ring of quarantine_mask + 1 */
	uint32_t quarantine_mask;
	uint32_t quarantined; /* buffers; read by others as it is */
	struct moat_quarantined *quarantine;
} __rte_cache_aligned;

/* Beyond so many ready ones an lcore gives half to the others. */
#define STOCK 1024u

/* ------------------------------------------------------------------------------ runs of buffers */

static inline uint32_t number(const struct moat_pool *pool, const void *obj)
{
	return (uint32_t)((uint64_t)((uint8_t *)((const struct rte_mbuf *)obj)->buf_addr -
				  pool->va) /
		pool->stride);
}

/* How many of `objs` from the front are neighbours, each behind the one before. */
static inline unsigned int neighbours(const struct moat_pool *pool, void *const objs[],
	unsigned int n)
{
	const uint8_t *next = ((const struct rte_mbuf *)objs[0])->buf_addr;
	unsigned int i = 0;

	do
		next += pool->stride;
	while (++i < n && ((const struct rte_mbuf *)objs[i])->buf_addr == next);
	return i;
}

static struct tenant_run run_of(const struct moat_pool *pool, uint32_t first, uint32_t n)
{
	return (struct tenant_run){ pool->va + (uint64_t)first * pool->stride,
		(uint64_t)n * pool->stride };
}

/* In pieces that a run may have. */
static int map_run(struct moat_pool *pool, struct tenant_lcore *lc, uint32_t first, uint32_t n)
{
	enum moat_prot prot = tenant_rx_prot(pool->tenant);
	int rc = 0;

	while (n != 0 && rc == 0) {
		uint32_t k = RTE_MIN(n, pool->run_max);
		struct tenant_run run = run_of(pool, first, k);

		rc = tenant_run_map(pool->tenant, lc, &run, prot);
		first += k;
		n -= k;
	}
	return rc;
}

static int unmap_run(struct moat_pool *pool, struct tenant_lcore *lc, uint32_t first, uint32_t n)
{
	struct tenant_run run = run_of(pool, first, n);

	return tenant_run_unmap(pool->tenant, lc, &run);
}

/* Objects of anywhere in the pool. */
static int each_run(struct moat_pool *pool, struct tenant_lcore *lc, void *const objs[],
	unsigned int n,
	int (*change)(struct moat_pool *, struct tenant_lcore *, uint32_t, uint32_t))
{
	int rc = 0;

	for (unsigned int i = 0, k; i < n && rc == 0; i += k) {
		k = neighbours(pool, &objs[i], n - i);
		rc = change(pool, lc, number(pool, objs[i]), k);
	}
	return rc;
}

/* ---------------------------------------------------------------------------------------- stock */

static struct moat_pool_lcore *pool_lcore(const struct moat_pool *pool, unsigned int slot)
{
	const struct tenant_lcore *lc;

	if (unlikely(slot == RTE_MAX_LCORE))
		return NULL;
	lc = pool->tenant->lcores[slot];
	return likely(lc != NULL && lc->entered) ? pool->lcores[slot] : NULL;
}

/* Ready buffers to the stock that all lcores share; it holds every buffer of the pool. */
static void share(struct moat_pool *pool, struct moat_pool_lcore *pl, uint32_t keep)
{
	while (pl->stock.ready > keep) {
		uint32_t k, first = tenant_stock_take(&pl->stock, pl->stock.ready - keep, &k);

		rte_ring_enqueue_bulk(pool->stock, &pool->obj[first], k, NULL);
	}
}

/* Get enough ready ones from the others' for `n`; and many more where there are many: the more an lcore
 * chooses from, the more neighbours it finds. */
static bool fetch(struct moat_pool *pool, struct moat_pool_lcore *pl, uint32_t n)
{
	uint32_t want = n + RTE_MIN(STOCK / 2, rte_ring_count(pool->stock) / 2);

	while (pl->stock.ready < want) {
		void *objs[64];
		unsigned int got = rte_ring_dequeue_burst(pool->stock, objs, RTE_DIM(objs), NULL);

		if (got == 0)
			break;
		for (unsigned int i = 0, k; i < got; i += k) {
			k = neighbours(pool, &objs[i], got - i);
			tenant_stock_add(&pl->stock, number(pool, objs[i]), k);
		}
	}
	return pl->stock.ready >= n;
}

static void release(struct moat_pool *pool, struct moat_pool_lcore *pl, moat_ticket_t done)
{
	while (pl->tail != pl->head) {
		const struct moat_quarantined *q = &pl->quarantine[pl->tail & pl->quarantine_mask];

		if (q->ticket > done && !MOAT_MUTANT(BUFFER_EARLY_REUSE))
			break;
		tenant_stock_add(&pl->stock, q->first, q->n);
		pl->quarantined -= q->n;
		pl->tail++;
	}
	if (unlikely(pl->stock.ready > STOCK))
		share(pool, pl, STOCK / 2);
}

void moat_pool_release(struct moat_pool *pool, moat_ticket_t done)
{
	struct moat_pool_lcore *pl = pool_lcore(pool, tenant_slot());

	if (pl != NULL)
		release(pool, pl, done);
}

/* ------------------------------------------------------------------------------------------ put */

/* From a thread that does not poll: wait for the ticket here, then straight to the shared stock. */
static int put_and_wait(struct moat_pool *pool, void *const objs[], unsigned int n)
{
	struct moat_tenant *t = pool->tenant;
	struct tenant_lcore *lc;
	int rc;

	pthread_mutex_lock(&t->lock);
	lc = tenant_lcore(t);
	rc = lc == NULL ? -ENOMEM : each_run(pool, lc, objs, n, unmap_run);
	if (rc == 0)
		rc = moat_lane_drain(lc->lane);
	pthread_mutex_unlock(&t->lock);
	if (rc == 0)
		rte_ring_enqueue_bulk(pool->stock, objs, n, NULL);
	return rc;
}

/* Unmap runs of neighbours and note them in the quarantine, their ticket to follow. */
static void quarantine(struct moat_pool *pool, struct moat_pool_lcore *pl, struct tenant_lcore *lc,
	void *const objs[], unsigned int n)
{
	for (unsigned int i = 0, k; i < n; i += k) {
		uint32_t first = number(pool, objs[i]);

		k = neighbours(pool, &objs[i], n - i);
		if (unlikely(unmap_run(pool, lc, first, k) != 0)) {
			lc->lost += k; /* still reachable, so never handed out again */
			continue;
		}
		pl->quarantine[pl->head++ & pl->quarantine_mask] =
			(struct moat_quarantined){ first, k, 0 };
		pl->quarantined += k;
	}
}

int moat_pool_put(struct moat_pool *pool, void *const objs[], unsigned int n)
{
	unsigned int slot = tenant_slot();
	struct moat_pool_lcore *pl = pool_lcore(pool, slot);
	struct moat_tenant *t = pool->tenant;
	struct tenant_lcore *lc;
	moat_ticket_t ticket;
	uint32_t from;

	if (!pool->ready) /* being filled: no buffers yet */
		return rte_ring_enqueue_bulk(pool->stock, objs, n, NULL) == n ? 0 : -ENOBUFS;
	if (pl == NULL)
		return put_and_wait(pool, objs, n);
	lc = t->lcores[slot];
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
	from = pl->head;
	quarantine(pool, pl, lc, objs, n);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
	/* Everything gathered up to here is in this ticket or an earlier one. */
	if (t->conf.mode == MOAT_DEFERRED)
		ticket = tenant_deferred_flush(t, lc, rte_rdtsc());
	else
		ticket = tenant_flush(lc->lane);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_SUBMIT);
	for (; from != pl->head; from++)
		pl->quarantine[from & pl->quarantine_mask].ticket = ticket;
	return 0;
}

/* ------------------------------------------------------------------------------------------ get */

/* `n` ready buffers are in the stock: take and map them. @return how many could be mapped */
static unsigned int take(struct moat_pool *pool, struct moat_pool_lcore *pl,
	struct tenant_lcore *lc, void *objs[], unsigned int n)
{
	uint32_t run = 0, in_run = 0; /* taken, not yet mapped */
	unsigned int have = 0;

	while (have < n) {
		uint32_t k, first = tenant_stock_take(&pl->stock, n - have, &k);

		memcpy(&objs[have], &pool->obj[first], k * sizeof(objs[0]));
		if (in_run != 0 && run + in_run != first) {
			if (unlikely(map_run(pool, lc, run, in_run) != 0))
				return have - in_run;
			in_run = 0;
		}
		if (in_run == 0)
			run = first;
		in_run += k;
		have += k;
	}
	return likely(map_run(pool, lc, run, in_run) == 0) ? n : n - in_run;
}

/* From a thread that does not poll. */
static int get_shared(struct moat_pool *pool, void *objs[], unsigned int n)
{
	struct moat_tenant *t = pool->tenant;
	struct tenant_lcore *lc;
	int rc = -ENOBUFS;

	pthread_mutex_lock(&t->lock);
	lc = tenant_lcore(t);
	if (lc != NULL && rte_ring_dequeue_bulk(pool->stock, objs, n, NULL) == n)
		rc = each_run(pool, lc, objs, n, map_run) == 0 ? 0 : -EFAULT;
	pthread_mutex_unlock(&t->lock);
	if (rc == -EFAULT)
		put_and_wait(pool, objs, n);
	return rc == 0 ? 0 : -ENOBUFS;
}

int moat_pool_get(struct moat_pool *pool, void *objs[], unsigned int n)
{
	unsigned int slot = tenant_slot();
	struct moat_pool_lcore *pl = pool_lcore(pool, slot);
	struct tenant_lcore *lc;
	unsigned int mapped;

	if (!pool->ready) /* being freed: the domain is gone, and with it every lane */
		return -ENOBUFS;
	if (pl == NULL)
		return get_shared(pool, objs, n);
	lc = pool->tenant->lcores[slot];
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
	if (pl->stock.ready < n) {
		release(pool, pl, lc->lane->done);
		if (unlikely(pl->stock.ready < n && !fetch(pool, pl, n))) {
			lc->starved += pl->head != pl->tail;
			moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_RECLAIM);
			return -ENOBUFS;
		}
		moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_RECLAIM);
	}
	mapped = take(pool, pl, lc, objs, n);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_MAP);
	if (likely(mapped == n))
		return 0;
	moat_pool_put(pool, objs, n);
	return -ENOBUFS;
}

void moat_pool_leave(struct moat_pool *pool)
{
	struct moat_pool_lcore *pl = pool_lcore(pool, tenant_slot());

	if (pl != NULL)
		share(pool, pl, 0);
}

/* Relaxed: a report's numbers; the lcores go on meanwhile. */
unsigned int moat_pool_quarantined(const struct moat_pool *pool)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++)
		if (pool->lcores[i] != NULL)
			n += __atomic_load_n(&pool->lcores[i]->quarantined, __ATOMIC_RELAXED);
	return n;
}

unsigned int moat_pool_count(const struct moat_pool *pool)
{
	unsigned int n = rte_ring_count(pool->stock) + moat_pool_quarantined(pool);

	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++)
		if (pool->lcores[i] != NULL)
			n += __atomic_load_n(&pool->lcores[i]->stock.ready, __ATOMIC_RELAXED);
	return n;
}

/* ---------------------------------------------------------------------------------- making */

/* The last reference to a buffer through a clone went: the header is a plain one again. */
static void buffer_free(void *addr __rte_unused, void *opaque)
{
	struct rte_mbuf *m = opaque;

	rte_mbuf_ext_refcnt_set(m->shinfo, 1);
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	rte_mbuf_raw_free(m);
}

/* A header over its buffer; the buffer stays pinned to it, as rte_pktmbuf_pool_create_extbuf()
 * does. Here because that call takes no ops of one's own. */
static void init_mbuf(struct rte_mempool *mp, void *opaque, void *obj, unsigned int i)
{
	struct moat_pool *pool = opaque;
	struct rte_mbuf *m = obj;
	struct rte_mbuf_ext_shared_info *shinfo = RTE_PTR_ADD(m, sizeof(*m));

	pool->obj[i] = m;
	memset(m, 0, sizeof(*m) + sizeof(*shinfo));
	m->priv_size = sizeof(*shinfo);
	m->buf_addr = pool->va + (uint64_t)i * pool->stride;
	rte_mbuf_iova_set(m, pool->iova + (uint64_t)i * pool->stride);
	m->buf_len = (uint16_t)RTE_MIN(pool->stride, (uint32_t)UINT16_MAX);
	m->data_off = RTE_MIN(RTE_PKTMBUF_HEADROOM, m->buf_len);
	m->pool = mp;
	m->nb_segs = 1;
	m->port = RTE_MBUF_PORT_INVALID;
	rte_mbuf_refcnt_set(m, 1);
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	m->shinfo = shinfo;
	shinfo->free_cb = buffer_free;
	shinfo->fcb_opaque = m;
	rte_mbuf_ext_refcnt_set(shinfo, 1);
}

static int fill_mempool(struct moat_pool *pool, const char *ops)
{
	struct rte_pktmbuf_pool_private priv = {
		.mbuf_data_room_size = (uint16_t)RTE_MIN(pool->stride, (uint32_t)UINT16_MAX),
		.mbuf_priv_size = sizeof(struct rte_mbuf_ext_shared_info),
		.flags = RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF,
	};
	int rc = rte_mempool_set_ops_byname(pool->mp, ops, pool);

	if (rc != 0)
		return moat_error(rc,
			"mempool ops '%s' are not there; load the plugin librte_mempool_moat.so with -d",
			ops);
	rte_pktmbuf_pool_init(pool->mp, &priv);
	rc = rte_mempool_populate_default(pool->mp);
	if (rc < 0)
		return moat_error(rc, "no memory for the %u mbuf headers of pool '%s'", pool->n,
			pool->mp->name);
	rte_mempool_obj_iter(pool->mp, init_mbuf, pool);
	pool->ready = true;
	return 0;
}

static int make_lcore(struct moat_pool *pool, struct moat_pool_lcore **out)
{
	struct moat_pool_lcore *pl = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*pl));
	uint32_t room = rte_align32pow2(pool->n + 1); /* if each run is of one buffer */

	if (pl == NULL)
		return -ENOMEM;
	memset(pl, 0, sizeof(*pl));
	*out = pl;
	pl->quarantine_mask = room - 1;
	pl->quarantine = calloc(room, sizeof(*pl->quarantine));
	pl->stock.words = (pool->n + 63) / 64;
	pl->stock.bits = calloc(pl->stock.words, sizeof(*pl->stock.bits));
	return pl->quarantine != NULL && pl->stock.bits != NULL ? 0 : -ENOMEM;
}

static int make_lcores(struct moat_pool *pool)
{
	int rc = 0;

	pool->obj = calloc(pool->n, sizeof(*pool->obj));
	if (pool->obj == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < RTE_MAX_LCORE && rc == 0; i++)
		if (rte_lcore_is_enabled(i))
			rc = make_lcore(pool, &pool->lcores[i]);
	return rc;
}

void tenant_pool_destroy(struct moat_pool *pool)
{
	pool->ready = false;
	rte_mempool_free(pool->mp);
	rte_ring_free(pool->stock);
	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++) {
		if (pool->lcores[i] == NULL)
			continue;
		free(pool->lcores[i]->quarantine);
		free(pool->lcores[i]->stock.bits);
		free(pool->lcores[i]);
	}
	free(pool->obj);
	free(pool);
}

static int make_pool(struct moat_pool *pool, const char *name)
{
	char ring[RTE_RING_NAMESIZE];
	bool protects = tenant_protects(pool->tenant);
	int rc = make_lcores(pool);

	if (rc != 0)
		return moat_error(rc, "no memory for pool '%s'", name);
	snprintf(ring, sizeof(ring), "%.20s_stock", name);
	pool->stock = rte_ring_create(ring, rte_align32pow2(pool->n + 1), SOCKET_ID_ANY, 0);
	if (pool->stock == NULL)
		return moat_error(-rte_errno, "no ring for pool '%s': %s", name,
			rte_strerror(rte_errno));
	/* DPDK's per-lcore cache would keep buffers mapped that nobody uses; ours does not. */
	pool->mp = rte_mempool_create_empty(name, pool->n,
		sizeof(struct rte_mbuf) + sizeof(struct rte_mbuf_ext_shared_info),
		protects ? 0 : RTE_MIN(pool->n / 4, 256u), sizeof(struct rte_pktmbuf_pool_private),
		SOCKET_ID_ANY, 0);
	if (pool->mp == NULL)
		return moat_error(-rte_errno, "no mempool '%s': %s", name, rte_strerror(rte_errno));
	return fill_mempool(pool, protects ? MOAT_MEMPOOL_OPS : RTE_MBUF_DEFAULT_MEMPOOL_OPS);
}

/* Mode copy: as many buffers again that no device reaches. */
static int make_private(struct moat_tenant *t, const char *name, unsigned int n, uint16_t data_room)
{
	char private[RTE_MEMPOOL_NAMESIZE];

	snprintf(private, sizeof(private), "%.16s_copy", name);
	t->private = rte_pktmbuf_pool_create(private, n, RTE_MIN(n / 4, 256u), 0, data_room,
		t->conf.numa);
	if (t->private == NULL)
		return moat_error(-rte_errno,
			"tenant '%s': no memory for %u buffers to copy into: %s", t->name, n,
			rte_strerror(rte_errno));
	return 0;
}

int moat_tenant_pool(struct moat_tenant *t, const char *name, unsigned int n, uint16_t data_room,
	struct rte_mempool **mp)
{
	uint64_t stride = RTE_ALIGN_CEIL((uint64_t)data_room, MOAT_PAGE_SIZE);
	uint64_t need = n * stride;
	struct moat_pool *pool;
	int rc;

	if (n == 0 || stride == 0)
		return moat_error(-EINVAL, "pool '%s': %u buffers of %u bytes make no pool", name,
			n, data_room);
	if (t->nr_pools == TENANT_POOLS)
		return moat_error(-ENOSPC, "tenant '%s' has %u pools, no more fit", t->name,
			TENANT_POOLS);
	if (need > t->len - t->used)
		return moat_error(-ENOMEM,
			"tenant '%s': pool '%s' needs %" PRIu64 " bytes for %u buffers and %" PRIu64
			" are left; a 'memory' of %" PRIu64 "M would do",
			t->name, name, need, n, t->len - t->used,
			(t->len + need - (t->len - t->used)) * 8 / 7 / 1048576 + 2);
	pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return moat_error(-ENOMEM, "no memory for pool '%s'", name);
	pool->tenant = t;
	pool->va = t->va + t->used;
	pool->iova = t->iova + t->used;
	pool->stride = (uint32_t)stride;
	/* A unit that owns its tables takes back only what was mapped by one call: a buffer a call. */
	pool->run_max = t->conf.unit->caps.owns_tables
		? 1
		: (uint32_t)RTE_MAX(TENANT_RUN_MAX / stride, UINT64_C(1));
	pool->n = n;
	rc = make_pool(pool, name);
	if (rc != 0) {
		tenant_pool_destroy(pool);
		return rc;
	}
	t->used += need;
	t->pools[t->nr_pools++] = pool;
	if (t->conf.mode == MOAT_COPY && t->private == NULL)
		rc = make_private(t, name, n, data_room);
	*mp = pool->mp;
	return rc;
}
