/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* What the mempool ops do with a pool. See moat_pool.h; pool_make.c makes one. */

#include <errno.h>
#include <string.h>

#include <rte_log.h>

#include "buffer.h"
#include "mode.h"
#include "pool_impl.h"

/* An lcore that takes buffers of others takes so many more than it needs: the more an lcore chooses
 * from, the more neighbours it finds. */
#define STEAL 512u

/* ------------------------------------------------------------------------------ runs of buffers */

static inline uint32_t buffer_number(const struct moat_pool *pool, const void *obj)
{
	const struct rte_mbuf *m = obj;
	uint32_t page =
		(uint32_t)((uint64_t)((uint8_t *)m->buf_addr - pool->va) >> MOAT_PAGE_SHIFT);

	return likely(pool->pages == 1) ? page : page / pool->pages;
}

/* How many of `objs` from the front are the pool's headers in their order, from buffer `first` on.
 * Mostly all are. 0: objs[0] is not the header of the pool's buffer `first`, which need not be
 * there. */
static inline unsigned int buffers_neighbours(const struct moat_pool *pool, uint32_t first,
	void *const objs[], unsigned int n)
{
	unsigned int i = 0;

	if (likely(n <= pool->n && first <= pool->n - n) &&
		likely(memcmp(objs, &pool->obj[first], n * sizeof(objs[0])) == 0))
		return n;
	while (i < n && i < pool->n && first < pool->n - i && objs[i] == pool->obj[first + i])
		i++;
	return i;
}

/* In pieces that a run may have. @return how many from the front are mapped */
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

/* ------------------------------------------------------------------------ ready and quarantined */

static void part_add_ready(struct moat_pool *pool, struct tenant_part *part, uint32_t first,
	uint32_t n)
{
	tenant_pages_set(pool->tenant, tenant_buffer_page(pool, first), n * pool->pages,
		TENANT_FREE);
	tenant_stock_add(&part->stock, first, n);
}

static void part_quarantine(struct tenant_part *part, uint32_t first, uint32_t n, uint64_t ticket)
{
	part->quarantine[part->head++ & part->mask] =
		(struct tenant_quarantined){ first, n, ticket };
	__atomic_store_n(&part->quarantined, part->quarantined + n, __ATOMIC_RELAXED);
}

/* A run that could not be unmapped when it came back. @return whether it is now */
static bool part_retry(struct moat_pool *pool, struct tenant_lcore *lc,
	struct tenant_quarantined *q)
{
	struct tenant_run run = {
		.page = tenant_buffer_page(pool, q->first),
		.n = q->n * pool->pages,
	};

	if (tenant_run_unmap(pool->tenant, lc, &run, TENANT_QUARANTINED) != 0)
		return false;
	q->ticket = tenant_ticket(lc, tenant_flush(lc->lane));
	return true;
}

static void part_release(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc)
{
	while (part->tail != part->head) {
		struct tenant_quarantined *q = &part->quarantine[part->tail & part->mask];

		if (unlikely(q->ticket == TENANT_NOT_UNMAPPED) && !part_retry(pool, lc, q)) {
			lc->others_wait = true;
			break;
		}
		if (!tenant_ticket_find(pool->tenant, lc, q->ticket)) {
			lc->others_wait |= q->ticket >> TENANT_TICKET_BITS != lc->slot;
			break;
		}
		part_add_ready(pool, part, q->first, q->n);
		__atomic_store_n(&part->quarantined, part->quarantined - q->n, __ATOMIC_RELAXED);
		part->tail++;
	}
}

void tenant_pools_release(struct moat_tenant *t, struct tenant_lcore *lc)
{
	lc->others_wait = false;
	for (unsigned int i = 0; i < t->nr_pools; i++) {
		struct tenant_part *part = t->pools[i]->part[lc->slot];

		if (part != NULL)
			part_release(t->pools[i], part, lc);
	}
}

/* ------------------------------------------------------------------------------------------ put */

static void put_twice(struct moat_pool *pool, uint32_t first, uint32_t n)
{
	TENANT_ASSERT(!"a buffer is freed twice");
	if (!__atomic_exchange_n(&pool->tenant->said_twice, true, __ATOMIC_RELAXED))
		TENANT_LOG(ERR,
			"tenant '%s': buffer %u of pool '%s' (and %u behind it) was freed while it "
			"was free; the second free is ignored",
			pool->tenant->name, first, pool->mp->name, n - 1);
}

/* Of `n` buffers from `page` on, how many from the front have the first one's ticket. */
static inline uint32_t tickets_alike(const struct moat_pool *pool, uint32_t page, uint32_t n)
{
	const uint64_t *ticket = &pool->tenant->ticket[page];
	uint32_t k = 1;

	/* mostly all: each has the next one's */
	if (likely(pool->pages == 1) &&
		likely(memcmp(ticket, ticket + 1, (n - 1) * sizeof(*ticket)) == 0))
		return n;
	while (k < n && ticket[k * pool->pages] == ticket[0])
		k++;
	return k;
}

/* Buffers have come back, and lie in quarantine until they can be unmapped. Said once. */
static __rte_noinline void say_kept(struct moat_pool *pool, int rc)
{
	struct moat_tenant *t = pool->tenant;

	if (rc != -ETIMEDOUT || __atomic_exchange_n(&t->said_kept, true, __ATOMIC_RELAXED))
		return;
	TENANT_LOG(ERR, "tenant '%s': buffers of pool '%s' that come back cannot be used again: %s",
		t->name, pool->name, tenant_who_holds(t, moat_error_text()));
}

/* Buffers that have the same state. What is unmapped here has ticket 0, which the caller fills
 * in. */
static void put_alike(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	uint32_t first, uint32_t n)
{
	struct moat_tenant *t = pool->tenant;
	uint32_t page = tenant_buffer_page(pool, first), k;
	struct tenant_run run = { .page = page, .n = n * pool->pages };
	int rc;

	switch (t->state[page]) {
	case TENANT_RX:
	case TENANT_TX:
		rc = tenant_run_unmap(t, lc, &run, TENANT_QUARANTINED);
		part_quarantine(part, first, n, likely(rc == 0) ? 0 : TENANT_NOT_UNMAPPED);
		if (unlikely(rc != 0))
			say_kept(pool, rc);
		lc->others_wait |= t->state[page] != TENANT_QUARANTINED;
		break;
	case TENANT_TAKEN:
	case TENANT_APP: /* its ticket was done before the application had it */
		part_add_ready(pool, part, first, n);
		break;
	case TENANT_TICKET:
	case TENANT_EARLY:
		tenant_pages_set(t, page, run.n, TENANT_QUARANTINED);
		lc->others_wait = true;
		for (; n != 0; first += k, n -= k, page += k * pool->pages) {
			k = tickets_alike(pool, page, n);
			part_quarantine(part, first, k, t->ticket[page]);
		}
		break;
	default:
		put_twice(pool, first, n);
	}
}

/* Neighbours. */
static void put_run(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	uint32_t first, uint32_t n)
{
	while (n != 0) {
		uint32_t pages = n * pool->pages;
		uint32_t k = tenant_run_alike(pool->tenant, tenant_buffer_page(pool, first), pages);

		TENANT_ASSERT(k >= pool->pages);
		k = likely(k == pages) ? n : RTE_MAX(k / pool->pages, 1u);
		put_alike(pool, part, lc, first, k);
		first += k;
		n -= k;
	}
}

/* What was quarantined from `from` on has its ticket: all that was gathered up to here is in this
 * one or an earlier one. */
static inline void part_flush(struct moat_pool *pool, struct tenant_part *part,
	struct tenant_lcore *lc, uint32_t from)
{
	uint64_t ticket;

	if (from == part->head)
		return;
	ticket = tenant_ticket(lc, pool->tenant->mode->flush_put(pool->tenant, lc));
	for (; from != part->head; from++)
		if (part->quarantine[from & part->mask].ticket == 0)
			part->quarantine[from & part->mask].ticket = ticket;
}

/* --------------------------------------------------- put of what is not the pool's header */

/* The tenant's pool, and the buffer of it, whose header the mbuf is. NULL: none */
static struct moat_pool *header_find(const struct moat_tenant *t, const void *obj, uint32_t *number)
{
	for (unsigned int i = 0; i < t->nr_pools; i++)
		for (*number = 0; *number < t->pools[i]->n; ++*number)
			if (t->pools[i]->obj[*number] == obj)
				return t->pools[i];
	return NULL;
}

/* One buffer, into the pool that it is of. */
static void put_home(struct moat_pool *home, struct tenant_lcore *lc, uint32_t number)
{
	struct tenant_part *part = home->part[lc->slot];
	uint32_t from = part->head;

	put_run(home, part, lc, number, 1);
	part_flush(home, part, lc, from);
}

static void say_stray(struct moat_pool *pool, const struct rte_mbuf *m,
	const struct moat_pool *home)
{
	const char *name = home != NULL ? home->mp->name
		: m->pool != NULL       ? m->pool->name
					: "(none)";

	if (__atomic_exchange_n(&pool->tenant->said_elsewhere, true, __ATOMIC_RELAXED))
		return;
	TENANT_LOG(ERR,
		"tenant '%s': an mbuf of pool '%s' was freed into pool '%s'; it is %s. With "
		"MBUF_FAST_FREE all packets of a queue must be of one pool, with one reference each",
		pool->tenant->name, name, pool->mp->name,
		home != NULL ? "put where it belongs"
			     : "not a buffer of the tenant's, and is lost to its pool");
}

/*
 * An mbuf that is not the header of the pool's buffer that it leads to. It is
 * - the header of another pool's buffer, which a driver or the program has put here;
 * - a clone that was made from a tenant's pool, and whose original went before it. DPDK leaves the
 *   original to the clone: both headers are free, and each is over its own buffer again;
 * - none of the tenant's.
 */
static __rte_noinline void put_stray(struct moat_pool *pool, struct tenant_lcore *lc, void *obj)
{
	const struct moat_tenant *t = pool->tenant;
	uint32_t number, data_number;
	struct moat_pool *data =
		tenant_buffer_pool(t, ((const struct rte_mbuf *)obj)->buf_addr, &data_number);
	struct moat_pool *home = data;

	number = data_number;
	if (data == NULL || data->obj[number] != obj)
		home = header_find(t, obj, &number);
	if (home != pool)
		say_stray(pool, obj, home);
	if (home == NULL)
		return;
	if (data != NULL && (data != home || data_number != number) &&
		rte_mbuf_ext_refcnt_update(&t->shinfo[tenant_buffer_page(data, data_number)], -1) ==
			0) {
		tenant_header_init(data, data_number);
		put_home(data, lc, data_number);
	}
	tenant_header_init(home, number);
	put_home(home, lc, number);
}

/* ------------------------------------------------------------------------------------- put, all */

static void part_put(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	void *const objs[], unsigned int n)
{
	uint32_t from = part->head;
	bool bare = false;

	/* Only looked at: some may be of other pools. */
	for (unsigned int i = 0; i < n; i++)
		bare |= tenant_is_bare(objs[i]);
	for (unsigned int i = 0, k; i < n; i += k) {
		uint32_t first = buffer_number(pool, objs[i]);

		k = buffers_neighbours(pool, first, &objs[i], n - i);
		if (unlikely(k == 0)) {
			put_stray(pool, lc, objs[i]);
			k = 1;
			continue;
		}
		for (unsigned int j = i; unlikely(bare) && j < i + k; j++)
			tenant_pin(objs[j]);
		put_run(pool, part, lc, first, k);
	}
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
	part_flush(pool, part, lc, from);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_SUBMIT);
}

/* From a thread that does not poll: into the quarantine that all such threads share. */
static int put_shared(struct moat_pool *pool, void *const objs[], unsigned int n)
{
	struct moat_tenant *t = pool->tenant;
	struct tenant_part *part = pool->part[TENANT_PART_SHARED];
	struct tenant_lcore *lc = tenant_shared_lock(t);

	if (lc == NULL)
		return -ENOMEM;
	part_put(pool, part, lc, objs, n);
	moat_lane_poll(lc->lane);
	tenant_pools_release(t, lc);
	tenant_shared_unlock(t);
	return 0;
}

int moat_pool_put(struct moat_pool *pool, void *const objs[], unsigned int n)
{
	unsigned int slot = tenant_slot();
	struct tenant_part *part = tenant_pool_part(pool, slot);
	struct tenant_lcore *lc;

	if (unlikely(!pool->ready)) /* being filled or freed: pool_make.c knows where they are */
		return 0;
	/* B3: acquire. Who else had a reference to a buffer left its state and ticket (B2) and then
	 * counted its reference down, a release; DPDK has read the count relaxed before it called
	 * here. Behind the fence the state and the ticket are what the others left. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (unlikely(part == NULL))
		return put_shared(pool, objs, n);
	lc = pool->tenant->lcores[slot];
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
	part_put(pool, part, lc, objs, n);
	return 0;
}

/* ------------------------------------------------------------------------------------------ get */

/* Ready buffers of other parts, until there are `n` and some more. */
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

/* There were not as many buffers as were asked for. */
static void part_starved(struct moat_pool *pool, struct tenant_lcore *lc)
{
	moat_counter_add(&lc->starved, 1);
	if (!__atomic_load_n(&pool->said_starved, __ATOMIC_RELAXED)) /* said once */
		tenant_say_starved(pool);
}

/* Make sure that `n` are ready, as far as there are so many anywhere. */
static bool part_gather(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	uint32_t n)
{
	if (likely(tenant_stock_ready(&part->stock) >= n))
		return true;
	part_release(pool, part, lc);
	if (tenant_stock_ready(&part->stock) < n)
		part_steal(pool, part, n);
	if (tenant_stock_ready(&part->stock) < n) {
		/* What waits for a flush by count or time is wanted now. */
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

/* Nothing was taken: what is mapped of `have` buffers goes into the quarantine, the others are
 * ready again. */
static void get_undo(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	void *const objs[], unsigned int mapped, unsigned int have, unsigned int n)
{
	part_put(pool, part, lc, objs, mapped);
	for (unsigned int i = mapped; i < have; i++)
		part_add_ready(pool, part, buffer_number(pool, objs[i]), 1);
}

/* Take `n` and map them. @return whether all could be had */
static bool part_get(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	void *objs[], unsigned int n)
{
	unsigned int have = 0, mapped = 0;
	uint32_t run = 0, in_run = 0; /* taken, not yet mapped */

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

/* Take `n` that stay unmapped; their state is `to` (APP, TAKEN). @return whether all could be
 * had */
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

/* Whether the calling thread gets buffers for a device: in moat_pool_refill(). */
static RTE_DEFINE_PER_LCORE(bool, refilling) __attribute__((tls_model("initial-exec")));

/* A driver that does not say when it refills may be behind any get: then what is handed out is
 * mapped. While there is no queue it is not: where the get was such a driver's after all,
 * moat_tenant_queue_add() maps it. */
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

/* From a thread that does not poll. */
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

	if (unlikely(!pool->ready)) /* being freed: the domain is gone, and with it every lane */
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

/* ------------------------------------------------------------------------------------- counting */

/* Relaxed: a report's numbers; the lcores go on meanwhile. */
unsigned int moat_pool_quarantined(const struct moat_pool *pool)
{
	unsigned int nr = __atomic_load_n(&pool->nr_parts, __ATOMIC_ACQUIRE), n = 0;

	for (unsigned int i = 0; i < nr; i++)
		n += __atomic_load_n(&pool->part[pool->parts[i]]->quarantined, __ATOMIC_RELAXED);
	return n;
}

unsigned int moat_pool_count(const struct moat_pool *pool)
{
	unsigned int nr = __atomic_load_n(&pool->nr_parts, __ATOMIC_ACQUIRE);
	unsigned int n = moat_pool_quarantined(pool);

	for (unsigned int i = 0; i < nr; i++)
		n += tenant_stock_count(&pool->part[pool->parts[i]]->stock);
	return n;
}

/* ------------------------------------------------------------------------------ enter and leave */

int tenant_pools_enter(struct moat_tenant *t, unsigned int slot)
{
	int rc = 0;

	for (unsigned int i = 0; i < t->nr_pools && rc == 0; i++)
		rc = tenant_part_make(t->pools[i], slot);
	return rc;
}

/* The lcore's ready buffers can be had by others where they are. Runs that wait for another lane,
 * or for a unit that does not answer, go where any thread finds them done. */
void tenant_pools_leave(struct moat_tenant *t, struct tenant_lcore *lc)
{
	tenant_pools_release(t, lc);
	for (unsigned int i = 0; i < t->nr_pools; i++) {
		struct tenant_part *part = t->pools[i]->part[lc->slot], *to;

		if (part == NULL || part->head == part->tail || tenant_shared_lock(t) == NULL)
			continue;
		to = t->pools[i]->part[TENANT_PART_SHARED];
		for (; part->tail != part->head; part->tail++) {
			const struct tenant_quarantined *q =
				&part->quarantine[part->tail & part->mask];

			part_quarantine(to, q->first, q->n, q->ticket);
		}
		__atomic_store_n(&part->quarantined, 0, __ATOMIC_RELAXED);
		tenant_shared_unlock(t);
	}
}
