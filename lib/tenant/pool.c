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

/* ------------------------------------------------------------------------------- put and get */

static int unmap_buffers(struct moat_tenant *t, struct tenant_lcore *lc, void *const objs[],
	unsigned int n)
{
	struct tenant_run run = { 0 };
	int rc = 0;

	for (unsigned int i = 0; i < n && rc == 0; i++)
		rc = tenant_run_add_unmap(t, lc, &run, objs[i]);
	return rc == 0 ? tenant_run_unmap(t, lc, &run) : rc;
}

static int map_buffers(struct moat_tenant *t, struct tenant_lcore *lc, void *const objs[],
	unsigned int n)
{
	enum moat_prot prot = tenant_rx_prot(t);
	struct tenant_run run = { 0 };
	int rc = 0;

	for (unsigned int i = 0; i < n && rc == 0; i++)
		rc = tenant_run_add_map(t, lc, &run, objs[i], prot);
	return rc == 0 ? tenant_run_map(t, lc, &run, prot) : rc;
}

static struct moat_pool_lcore *pool_lcore(struct moat_pool *pool)
{
	unsigned int slot = tenant_slot();
	struct tenant_lcore *lc;

	if (slot == RTE_MAX_LCORE)
		return NULL;
	lc = pool->tenant->lcores[slot];
	return lc != NULL && lc->entered ? pool->lcores[slot] : NULL;
}

static void stock_put(struct moat_pool *pool, struct moat_pool_lcore *pl, void *obj)
{
	if (pl->stock_head - pl->stock_tail == MOAT_POOL_STOCK) {
		void *spill[MOAT_POOL_STOCK / 2];

		for (unsigned int i = 0; i < RTE_DIM(spill); i++)
			spill[i] = pl->stock[pl->stock_tail++ % MOAT_POOL_STOCK];
		rte_ring_enqueue_bulk(pool->stock, spill, RTE_DIM(spill), NULL); /* holds all */
	}
	pl->stock[pl->stock_head++ % MOAT_POOL_STOCK] = obj;
}

void moat_pool_release(struct moat_pool *pool, moat_ticket_t done)
{
	struct moat_pool_lcore *pl = pool_lcore(pool);

	if (pl == NULL)
		return;
	while (pl->tail != pl->head) {
		struct moat_quarantined *q = &pl->quarantine[pl->tail & pl->quarantine_mask];

		if (q->ticket > done && !MOAT_MUTANT(BUFFER_EARLY_REUSE))
			break;
		stock_put(pool, pl, q->obj);
		pl->tail++;
	}
}

/* From a thread that does not poll: wait for the ticket here, then straight to the shared stock. */
static int put_and_wait(struct moat_pool *pool, void *const objs[], unsigned int n)
{
	struct moat_tenant *t = pool->tenant;
	struct tenant_lcore *lc;
	int rc;

	rte_spinlock_lock(&t->lock);
	lc = tenant_lcore(t);
	rc = lc == NULL ? -ENOMEM : unmap_buffers(t, lc, objs, n);
	if (rc == 0)
		rc = moat_lane_drain(lc->lane);
	rte_spinlock_unlock(&t->lock);
	if (rc == 0)
		rte_ring_enqueue_bulk(pool->stock, objs, n, NULL);
	return rc;
}

int moat_pool_put(struct moat_pool *pool, void *const objs[], unsigned int n)
{
	struct moat_pool_lcore *pl = pool_lcore(pool);
	struct moat_tenant *t = pool->tenant;
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);
	struct tenant_lcore *lc;
	moat_ticket_t ticket;
	int rc;

	if (!pool->ready) /* being filled: no buffers yet */
		return rte_ring_enqueue_bulk(pool->stock, objs, n, NULL) == n ? 0 : -ENOBUFS;
	if (pl == NULL)
		return put_and_wait(pool, objs, n);
	lc = t->lcores[tenant_slot()];
	moat_cost_mark(watch, &lc->cost, MOAT_STAGE_APPLICATION);
	rc = unmap_buffers(t, lc, objs, n);
	moat_cost_mark(watch, &lc->cost, MOAT_STAGE_UNMAP);
	if (unlikely(rc != 0)) {
		lc->lost += n; /* still reachable, so never handed out again */
		return 0;
	}
	/* Everything gathered up to here is in this ticket or an earlier one. */
	if (t->conf.mode == MOAT_DEFERRED)
		ticket = tenant_deferred_flush(t, lc, rte_rdtsc());
	else
		ticket = tenant_flush(lc->lane);
	moat_cost_mark(watch, &lc->cost, MOAT_STAGE_SUBMIT);
	for (unsigned int i = 0; i < n; i++)
		pl->quarantine[pl->head++ & pl->quarantine_mask] =
			(struct moat_quarantined){ objs[i], ticket };
	moat_cost_mark(watch, &lc->cost, MOAT_STAGE_RECLAIM);
	return 0;
}

/* Ready buffers, from this lcore's stock first. All or nothing. */
static int take(struct moat_pool *pool, struct moat_pool_lcore *pl, void *objs[], unsigned int n)
{
	unsigned int have = 0;

	if (pl != NULL) {
		while (have < n && pl->stock_tail != pl->stock_head)
			objs[have++] = pl->stock[pl->stock_tail++ % MOAT_POOL_STOCK];
		if (likely(have == n))
			return 0;
	}
	if (rte_ring_dequeue_bulk(pool->stock, &objs[have], n - have, NULL) == n - have)
		return 0;
	while (have != 0)
		stock_put(pool, pl, objs[--have]);
	return -ENOBUFS;
}

int moat_pool_get(struct moat_pool *pool, void *objs[], unsigned int n)
{
	struct moat_pool_lcore *pl = pool_lcore(pool);
	struct moat_tenant *t = pool->tenant;
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);
	struct tenant_lcore *lc;
	int mapped = 0;
	int rc;

	if (!pool->ready) /* being freed: the domain is gone, and with it every lane */
		return -ENOBUFS;
	lc = tenant_lcore(t);
	if (lc == NULL)
		return -ENOBUFS;
	if (pl == NULL)
		rte_spinlock_lock(&t->lock);
	else
		moat_cost_mark(watch, &lc->cost, MOAT_STAGE_APPLICATION);
	if (pl != NULL && pl->stock_head - pl->stock_tail < n)
		moat_pool_release(pool, lc->lane->done);
	rc = take(pool, pl, objs, n);
	if (pl != NULL)
		moat_cost_mark(watch, &lc->cost, MOAT_STAGE_RECLAIM);
	if (likely(rc == 0))
		mapped = map_buffers(t, lc, objs, n);
	else if (pl != NULL && pl->head != pl->tail)
		lc->starved++;
	if (pl == NULL)
		rte_spinlock_unlock(&t->lock);
	else
		moat_cost_mark(watch, &lc->cost, MOAT_STAGE_MAP);
	if (unlikely(mapped != 0)) {
		put_and_wait(pool, objs, n);
		rc = -ENOBUFS;
	}
	return rc;
}

void moat_pool_leave(struct moat_pool *pool)
{
	struct moat_pool_lcore *pl = pool_lcore(pool);

	while (pl != NULL && pl->stock_tail != pl->stock_head)
		rte_ring_enqueue(pool->stock, pl->stock[pl->stock_tail++ % MOAT_POOL_STOCK]);
}

unsigned int moat_pool_quarantined(const struct moat_pool *pool)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++)
		if (pool->lcores[i] != NULL)
			n += pool->lcores[i]->head - pool->lcores[i]->tail;
	return n;
}

unsigned int moat_pool_count(const struct moat_pool *pool)
{
	unsigned int n = rte_ring_count(pool->stock) + moat_pool_quarantined(pool);

	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++)
		if (pool->lcores[i] != NULL)
			n += pool->lcores[i]->stock_head - pool->lcores[i]->stock_tail;
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

static int make_lcores(struct moat_pool *pool)
{
	uint32_t room = rte_align32pow2(pool->n + 1);

	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++) {
		struct moat_pool_lcore *pl;

		if (!rte_lcore_is_enabled(i))
			continue;
		pl = aligned_alloc(RTE_CACHE_LINE_SIZE,
			RTE_CACHE_LINE_ROUNDUP(sizeof(*pl) + MOAT_POOL_STOCK * sizeof(void *)));
		if (pl == NULL)
			return -ENOMEM;
		memset(pl, 0, sizeof(*pl));
		pl->quarantine_mask = room - 1;
		pl->quarantine = calloc(room, sizeof(*pl->quarantine));
		pool->lcores[i] = pl;
		if (pl->quarantine == NULL)
			return -ENOMEM;
	}
	return 0;
}

void tenant_pool_destroy(struct moat_pool *pool)
{
	pool->ready = false;
	rte_mempool_free(pool->mp);
	rte_ring_free(pool->stock);
	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++) {
		if (pool->lcores[i] != NULL)
			free(pool->lcores[i]->quarantine);
		free(pool->lcores[i]);
	}
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
