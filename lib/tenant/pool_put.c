/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Putting buffers back into a pool. A buffer that a device may reach is unmapped. A buffer whose
 * ticket may not be done is quarantined in the lcore's part; any other is ready at once.
 */

#include <errno.h>
#include <string.h>

#include <rte_log.h>

#include "mode.h"
#include "pool_impl.h"

/* ---------------------------------------------------------------------------- put of neighbours */

static void put_twice(struct moat_pool *pool, uint32_t first, uint32_t n)
{
	TENANT_ASSERT(!"a buffer is freed twice");
	if (!__atomic_exchange_n(&pool->tenant->said_twice, true, __ATOMIC_RELAXED))
		TENANT_LOG(ERR,
			"tenant '%s': buffer %u of pool '%s' (and %u behind it) was freed while it "
			"was free; the second free is ignored",
			pool->tenant->name, first, pool->mp->name, n - 1);
}

/* How many of `n` buffers from `page` on, from the front, have the first buffer's ticket? */
static inline uint32_t tickets_alike(const struct moat_pool *pool, uint32_t page, uint32_t n)
{
	const uint64_t *ticket = &pool->tenant->ticket[page];
	uint32_t k = 1;

	/* Mostly all have: compare each with the next. */
	if (likely(pool->pages == 1) &&
		likely(memcmp(ticket, ticket + 1, (n - 1) * sizeof(*ticket)) == 0))
		return n;
	while (k < n && ticket[k * pool->pages] == ticket[0])
		k++;
	return k;
}

/* Log, once, that buffers which came back stay quarantined, because their unmap timed out. */
static __rte_noinline void say_kept(struct moat_pool *pool, int rc)
{
	struct moat_tenant *t = pool->tenant;

	if (rc != -ETIMEDOUT || __atomic_exchange_n(&t->said_kept, true, __ATOMIC_RELAXED))
		return;
	TENANT_LOG(ERR, "tenant '%s': freed buffers of pool '%s' cannot be used again yet: %s",
		t->name, pool->name, tenant_who_holds(t, moat_error_text()));
}

/* Put neighbouring buffers of one state. Runs that are unmapped here are quarantined with ticket 0,
 * which part_flush() replaces. */
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
		tenant_part_quarantine(part, first, n, likely(rc == 0) ? 0 : TENANT_NOT_UNMAPPED);
		if (unlikely(rc != 0))
			say_kept(pool, rc);
		lc->others_wait |= t->state[page] != TENANT_QUARANTINED;
		break;
	case TENANT_TAKEN:
	case TENANT_APP: /* its ticket was done before the application got it */
		tenant_part_add_ready(pool, part, first, n);
		break;
	case TENANT_TICKET:
	case TENANT_EARLY:
		tenant_pages_set(t, page, run.n, TENANT_QUARANTINED);
		lc->others_wait = true;
		for (; n != 0; first += k, n -= k, page += k * pool->pages) {
			k = tickets_alike(pool, page, n);
			tenant_part_quarantine(part, first, k, t->ticket[page]);
		}
		break;
	default:
		put_twice(pool, first, n);
	}
}

/* Put neighbouring buffers. */
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

/* Flush, and set the ticket of runs quarantined from index `from` on. All that was gathered up to
 * here belongs to this ticket or an earlier one. */
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

/* --------------------------------------------------------- put of what is not the pool's header */

/* Find the tenant's pool, and the number of the buffer, whose header the mbuf is. NULL: none */
static struct moat_pool *header_find(const struct moat_tenant *t, const void *obj, uint32_t *number)
{
	for (unsigned int i = 0; i < t->nr_pools; i++)
		for (*number = 0; *number < t->pools[i]->n; ++*number)
			if (t->pools[i]->obj[*number] == obj)
				return t->pools[i];
	return NULL;
}

/* Put one buffer into the pool to which it belongs. */
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
		home != NULL ? "put into its own pool"
			     : "not a buffer of the tenant's, and its own pool has lost it");
}

/*
 * Put an mbuf that is not the header of a buffer of `pool`, or points to another buffer. It is one
 * of these:
 * - the header of a buffer of another pool of the tenant's. It is put into that pool;
 * - a clone, made from a tenant's pool, whose original was freed before it. DPDK then leaves the
 *   original to the clone, so both are put, and each header points to its own buffer again;
 * - an mbuf that is not a header of the tenant's. It is logged and ignored.
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

/* How many of `objs`, from the front, are the headers of buffers `first`, `first` + 1, ... of the
 * pool? Mostly all are. 0: objs[0] is not the header of `first`, or there is no buffer `first`. */
static inline unsigned int headers_neighbours(const struct moat_pool *pool, uint32_t first,
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

/* As headers_neighbours(), but counts only headers that point to their own buffers: a clone points
 * to its original's. Sets RTE_MBUF_F_EXTERNAL again where it is missing. */
static inline unsigned int buffers_neighbours(const struct moat_pool *pool, uint32_t first,
	void *const objs[], unsigned int n)
{
	const uint8_t *const va = pool->va + (uint64_t)first * pool->stride, *own = va;
	uint64_t flags = RTE_MBUF_F_EXTERNAL;
	uintptr_t elsewhere = 0;
	unsigned int i;

	n = headers_neighbours(pool, first, objs, n);
	for (i = 0; i < n; i++, own += pool->stride) {
		const struct rte_mbuf *m = objs[i];

		elsewhere |= (uintptr_t)m->buf_addr ^ (uintptr_t)own;
		flags &= m->ol_flags;
	}
	for (i = 0; unlikely(flags == 0) && i < n; i++)
		tenant_pin(objs[i]);
	if (likely(elsewhere == 0))
		return n;
	for (i = 1, own = va + pool->stride; i < n; i++, own += pool->stride)
		if (((const struct rte_mbuf *)objs[i])->buf_addr != own)
			break;
	return i; /* at least 1: objs[0] points to buffer `first` */
}

void tenant_part_put(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	void *const objs[], unsigned int n)
{
	uint32_t from = part->head;

	for (unsigned int i = 0, k; i < n; i += k) {
		uint32_t first = tenant_buffer_number(pool, objs[i]);

		k = buffers_neighbours(pool, first, &objs[i], n - i);
		if (unlikely(k == 0)) {
			put_stray(pool, lc, objs[i]);
			k = 1;
			continue;
		}
		put_run(pool, part, lc, first, k);
	}
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
	part_flush(pool, part, lc, from);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_SUBMIT);
}

/* A put by a thread that has not entered: into the part that all such threads share. */
static int put_shared(struct moat_pool *pool, void *const objs[], unsigned int n)
{
	struct moat_tenant *t = pool->tenant;
	struct tenant_part *part = pool->part[TENANT_PART_SHARED];
	struct tenant_lcore *lc = tenant_shared_lock(t);

	/* moat_tenant_create() has made the slot's state. Only a moat_tenant_destroy() that failed
	 * after it closed the lanes has freed it; the pool then has all its buffers. */
	if (unlikely(lc == NULL))
		return -ENOMEM;
	tenant_part_put(pool, part, lc, objs, n);
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

	if (unlikely(!pool->ready)) /* being filled or freed: pool_make.c sees to the buffers */
		return 0;
	/* B3: acquire. Another thread that had a reference to a buffer stored the buffer's state
	 * and ticket (B2), and then decremented the count, a release. DPDK has read the count
	 * relaxed before this call. After the fence this thread sees that state and ticket. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (unlikely(part == NULL))
		return put_shared(pool, objs, n);
	lc = pool->tenant->lcores[slot];
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
	tenant_part_put(pool, part, lc, objs, n);
	return 0;
}
