/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* What the mempool ops do with a pool. See moat_pool.h; pool_make.c makes one. */

#include <errno.h>
#include <string.h>

#include "moat_mutant.h"
#include "run.h"
#include "stock.h"

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
		release(pool, pl, moat_lane_last_done(lc->lane));
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
