/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Getting buffers from a pool: an lcore takes ready buffers from its part, and, if these are too
 * few, from other lcores' parts. Buffers for a device are mapped.
 */

#include <errno.h>
#include <string.h>

#include "pool_impl.h"

/* An lcore that takes buffers of another part takes up to this many more than it needs: among more
 * buffers it finds more neighbours. */
#define STEAL 512u

/* ------------------------------------------------------------------------- find ready buffers */

/* Move ready buffers of other parts into `part`, until it has `n` and some more. */
static void part_steal(struct moat_pool *pool, struct tenant_part *part, uint32_t n)
{
	unsigned int nr = __atomic_load_n(&pool->nr_parts, __ATOMIC_ACQUIRE);

	for (unsigned int i = 0; i < nr && tenant_stock_ready(&part->stock) < n; i++) {
		struct tenant_part *from = pool->part[pool->parts[i]];
		uint32_t want, has = tenant_stock_ready(&from->stock);

		if (from == part || has == 0)
			continue;
		want = n + RTE_MIN(STEAL, has / 2);
		for (uint32_t w = 0;
			w < from->stock.words && tenant_stock_ready(&part->stock) < want; w++) {
			uint64_t bits = tenant_stock_steal(&from->stock, w);

			if (bits != 0)
				tenant_stock_join(&part->stock, w, bits);
		}
	}
}

/* Count, and the first time log, that fewer buffers are ready than were asked for. */
static void part_starved(struct moat_pool *pool, struct tenant_lcore *lc)
{
	moat_counter_add(&lc->starved, 1);
	if (!__atomic_load_n(&pool->said_starved, __ATOMIC_RELAXED)) /* logged once */
		tenant_say_starved(pool);
}

/* Make `n` buffers of the part ready, if all parts together have as many. @return whether they are
 * ready */
static bool part_gather(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	uint32_t n)
{
	if (likely(tenant_stock_ready(&part->stock) >= n))
		return true;
	tenant_part_release(pool, part, lc);
	if (tenant_stock_ready(&part->stock) < n)
		part_steal(pool, part, n);
	if (tenant_stock_ready(&part->stock) < n) {
		/* Flush now, without waiting for the count or time of mode deferred. */
		tenant_flush(lc->lane);
		tenant_shared_poll(pool->tenant);
		part_steal(pool, part, n);
	}
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_RECLAIM);
	if (likely(tenant_stock_ready(&part->stock) >= n))
		return true;
	part_starved(pool, lc);
	return false;
}

/* -------------------------------------------------------------------------------- take, and map */

/* Map `n` buffers from `first` on, in runs of at most run_max buffers. @return how many from the
 * front are mapped */
static uint32_t buffers_map(struct moat_pool *pool, struct tenant_lcore *lc, uint32_t first,
	uint32_t n)
{
	uint32_t done = 0;

	while (done < n) {
		uint32_t k = RTE_MIN(n - done, pool->run_max);
		struct tenant_run run = {
			.page = tenant_buffer_page(pool, first + done),
			.n = k * pool->pages,
		};

		if (unlikely(tenant_run_map(pool->tenant, lc, &run, TENANT_RX) != 0))
			break;
		done += k;
	}
	return done;
}

/* Undo a get that failed after `have` buffers were taken: the first `mapped` are unmapped and
 * quarantined, the others are ready again. */
static void get_undo(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	void *const objs[], unsigned int mapped, unsigned int have, unsigned int n)
{
	tenant_part_put(pool, part, lc, objs, mapped);
	for (unsigned int i = mapped; i < have; i++)
		tenant_part_add_ready(pool, part, tenant_buffer_number(pool, objs[i]), 1);
}

/* Take `n` ready buffers and map them. @return false: it failed, and nothing was taken */
static bool part_get(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	void *objs[], unsigned int n)
{
	unsigned int have = 0, mapped = 0;
	uint32_t run = 0, in_run = 0; /* first and number of buffers taken, not yet mapped */

	while (have < n) {
		uint32_t k, first = tenant_stock_take(&part->stock, n - have, &k);

		if (unlikely(k == 0)) { /* another lcore was faster */
			part_starved(pool, lc);
			break;
		}
		memcpy(&objs[have], &pool->obj[first], k * sizeof(objs[0]));
		have += k;
		if (in_run != 0 && run + in_run != first) {
			uint32_t done = buffers_map(pool, lc, run, in_run);

			mapped += done;
			if (unlikely(done != in_run))
				break;
			in_run = 0;
		}
		if (in_run == 0)
			run = first;
		in_run += k;
	}
	if (likely(have == n && mapped + in_run == n)) {
		mapped += buffers_map(pool, lc, run, in_run);
		if (likely(mapped == n))
			return true;
	}
	get_undo(pool, part, lc, objs, mapped, have, n);
	return false;
}

/* Take `n` ready buffers that stay unmapped, and set their state to `to` (APP, TAKEN). @return
 * false: there were too few, and nothing was taken */
static bool part_get_unmapped(struct moat_pool *pool, struct tenant_part *part,
	struct tenant_lcore *lc, void *objs[], unsigned int n, enum tenant_state to)
{
	unsigned int have = 0;

	while (have < n) {
		uint32_t k, first = tenant_stock_take(&part->stock, n - have, &k);

		if (k == 0) {
			part_starved(pool, lc);
			get_undo(pool, part, lc, objs, 0, have, n);
			return false;
		}
		memcpy(&objs[have], &pool->obj[first], k * sizeof(objs[0]));
		memset(&pool->tenant->state[tenant_buffer_page(pool, first)], to, k * pool->pages);
		have += k;
	}
	return true;
}

/* ------------------------------------------------------------------------------------------ get */

/* Is the calling thread in moat_pool_refill()? */
static RTE_DEFINE_PER_LCORE(bool, refilling) __attribute__((tls_model("initial-exec")));

/* The state for buffers of this get. A driver that does not report its refills may be the caller of
 * any get, so then buffers are mapped. While the tenant has no queue, they are not mapped:
 * moat_tenant_queue_add() maps them when it adds a queue of such a driver. */
static enum tenant_state get_state(const struct moat_tenant *t)
{
	return likely(RTE_PER_LCORE(refilling)) ? TENANT_RX
						: __atomic_load_n(&t->get_state, __ATOMIC_RELAXED);
}

static bool part_take(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	void *objs[], unsigned int n)
{
	enum tenant_state state = get_state(pool->tenant);

	if (likely(state == TENANT_RX))
		return part_get(pool, part, lc, objs, n);
	return part_get_unmapped(pool, part, lc, objs, n, state);
}

int moat_pool_refill(struct rte_mempool *mp, void *objs[], unsigned int n)
{
	int rc;

	RTE_PER_LCORE(refilling) = true;
	rc = rte_mempool_get_bulk(mp, objs, n);
	RTE_PER_LCORE(refilling) = false;
	return rc;
}

/* A get by a thread that has not entered. */
static int get_shared(struct moat_pool *pool, void *objs[], unsigned int n)
{
	struct moat_tenant *t = pool->tenant;
	struct tenant_part *part = pool->part[TENANT_PART_SHARED];
	struct tenant_lcore *lc = tenant_shared_lock(t);
	bool ok;

	if (lc == NULL)
		return -ENOBUFS;
	moat_lane_poll(lc->lane);
	ok = part_gather(pool, part, lc, n) && part_take(pool, part, lc, objs, n);
	tenant_shared_unlock(t);
	return ok ? 0 : -ENOBUFS;
}

int moat_pool_get(struct moat_pool *pool, void *objs[], unsigned int n)
{
	unsigned int slot = tenant_slot();
	struct tenant_part *part = tenant_pool_part(pool, slot);
	struct tenant_lcore *lc;
	bool ok;

	if (unlikely(!pool->ready)) /* being freed: the domain and its lanes are gone already */
		return -ENOBUFS;
	if (unlikely(part == NULL))
		return get_shared(pool, objs, n);
	lc = pool->tenant->lcores[slot];
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
	if (unlikely(!part_gather(pool, part, lc, n)))
		return -ENOBUFS;
	ok = part_take(pool, part, lc, objs, n);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_MAP);
	return likely(ok) ? 0 : -ENOBUFS;
}

int tenant_pool_get_unmapped(struct moat_pool *pool, void *objs[], unsigned int n)
{
	struct moat_tenant *t = pool->tenant;
	struct tenant_part *part = tenant_pool_part(pool, tenant_slot());
	struct tenant_lcore *lc;
	bool shared = part == NULL, ok;

	lc = shared ? tenant_shared_lock(t) : t->lcores[tenant_slot()];
	if (lc == NULL)
		return -ENOBUFS;
	if (shared)
		part = pool->part[TENANT_PART_SHARED];
	ok = part_gather(pool, part, lc, n) &&
		part_get_unmapped(pool, part, lc, objs, n, TENANT_APP);
	if (shared)
		tenant_shared_unlock(t);
	return ok ? 0 : -ENOBUFS;
}
