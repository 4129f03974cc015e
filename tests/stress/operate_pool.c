/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Buffers from a pool and back to it, by mbuf calls and mempool calls, and from actor to actor. */

#include <string.h>

#include "stress.h"

#define BULK 64u

/* Inject faults into one call of 16. For operations that may fail. */
static void inject_some(struct actor *a)
{
	static const enum injection what[] = { INJECT_MAP, INJECT_UNMAP, INJECT_SUBMIT };

	if (dice_one_in(&a->dice, 16))
		inject(what[dice_below(&a->dice, RTE_DIM(what))], dice_below(&a->dice, 4),
			1 + dice_below(&a->dice, 3));
}

/* ------------------------------------------------------------------------------------ starving */

#define STARVED_US   1000000u
#define STARVED_GETS 64u

static void starve(struct tenant *t, uint64_t now)
{
	atomic_store(&t->starved_gets, 0);
	atomic_store(&t->starved, now);
}

/*
 * A get failed. That is right while other actors have the buffers, or their tickets are not done.
 * It is a fault of the pool after a second and STARVED_GETS calls with buffers ready.
 */
static void starved(struct actor *a, struct tenant *t, unsigned int n)
{
	struct moat_tenant_stats stats;
	uint64_t since = atomic_load(&t->starved), now = rte_rdtsc();

	if (a->in[t->index].entered)
		moat_tenant_poll(t->tenant);
	moat_tenant_stats(t->tenant, &stats);
	if (rte_mempool_avail_count(t->pool) < stats.quarantined + 4 * BULK + n)
		atomic_store(&t->starved, 0);
	else if (since == 0)
		starve(t, now);
	else if (atomic_fetch_add(&t->starved_gets, 1) >= STARVED_GETS &&
		now - since > rte_get_tsc_hz() / 1000000 * STARVED_US)
		fault(a,
			"tenant %s: no %u buffers are to be had for a second, although %u of %u are "
			"in the pool (%lu of them quarantined)",
			t->name, n, rte_mempool_avail_count(t->pool), t->pool->size,
			stats.quarantined);
}

static void fed(struct tenant *t)
{
	if (atomic_load_explicit(&t->starved, memory_order_relaxed) != 0)
		atomic_store(&t->starved, 0);
}

/* ----------------------------------------------------------------------------------- as packets */

/* Mostly short lengths, sometimes the longest that a frame may have. */
static uint32_t length_draw(struct actor *a, const struct tenant *t)
{
	uint32_t kind = dice_below(&a->dice, 32);

	if (kind < 28)
		return PACKET_MIN + dice_below(&a->dice, 200);
	if (kind == 31 && t->jumbo)
		return 3000 + dice_below(&a->dice, 500);
	return PACKET_MIN + dice_below(&a->dice, 1400);
}

static void packet_make(struct actor *a, struct tenant *t, struct rte_mbuf *m)
{
	uint32_t len = length_draw(a, t);

	if (m->next != NULL || m->nb_segs != 1 || rte_mbuf_refcnt_read(m) != 1 ||
		m->pool != t->pool || (m->ol_flags & ~RTE_MBUF_F_EXTERNAL) != 0)
		fault(a,
			"tenant %s: a buffer from the pool has next %p, nb_segs %u, refcnt %u, flags "
			"%lx",
			t->name, (void *)m->next, m->nb_segs, rte_mbuf_refcnt_read(m), m->ol_flags);
	canary_forget(m);
	if (rte_pktmbuf_append(m, len) == NULL) {
		fault(a, "tenant %s: a fresh buffer has no room for %u bytes", t->name, len);
		return;
	}
	packet_write(a->world, m, len);
	pocket_put(a, t, m);
}

/* Get buffers into an array that has pointers of buffers in use, as a PMD's ring has. A call that
 * fails must not change them. Faults are injected only if there are such pointers, so that a judge
 * finds a change and the program does not crash. */
static void array_fill(struct actor *a, struct tenant *t, struct rte_mbuf *m[BULK])
{
	memset(m, 0xa5, BULK * sizeof(m[0]));
	if (a->in[t->index].n == 0)
		return;
	for (unsigned int i = 0; i < BULK; i++)
		m[i] = pocket_see(a, t);
	inject_some(a);
}

void op_alloc(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m;
	unsigned int failed;

	if (t == NULL)
		return;
	inject_some(a);
	m = rte_pktmbuf_alloc(t->pool);
	failed = inject_end();
	if (m != NULL) {
		fed(t);
		packet_make(a, t, m);
	} else if (failed == 0) {
		starved(a, t, 1);
	}
}

void op_alloc_bulk(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m[BULK];
	unsigned int n = 1 + dice_below(&a->dice, BULK / 2), failed;
	int rc;

	if (t == NULL)
		return;
	array_fill(a, t, m);
	rc = rte_pktmbuf_alloc_bulk(t->pool, m, n);
	failed = inject_end();
	if (rc == 0) {
		fed(t);
		for (unsigned int i = 0; i < n; i++)
			packet_make(a, t, m[i]);
	} else if (failed == 0) {
		starved(a, t, n);
	}
}

void op_free(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m = t == NULL ? NULL : pocket_take(a, t);

	if (m == NULL)
		return;
	inject_some(a);
	packet_free(a, m);
	inject_end();
}

void op_free_bulk(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m[BULK];
	unsigned int n = 0, most = 1 + dice_below(&a->dice, BULK);

	while (t != NULL && n < most && (m[n] = pocket_take(a, t)) != NULL)
		n++;
	inject_some(a);
	rte_pktmbuf_free_bulk(m, n);
	inject_end();
}

/* ----------------------------------------------------------------------------------- as objects */

/* Take and return buffers as a PMD does. */
void op_raw(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	unsigned int n = 1 + dice_below(&a->dice, BULK);
	struct rte_mbuf *m[BULK];

	if (t == NULL)
		return;
	array_fill(a, t, m);
	if (rte_mempool_get_bulk(t->pool, (void **)m, n) == 0) {
		for (unsigned int i = 0; i < n; i++)
			if (m[i]->next != NULL || m[i]->nb_segs != 1 ||
				rte_mbuf_refcnt_read(m[i]) != 1 || m[i]->pool != t->pool)
				fault(a, "tenant %s: an object of the pool is not a plain mbuf",
					t->name);
		if (dice_one_in(&a->dice, 2))
			rte_mempool_put_bulk(t->pool, (void **)m, n);
		else
			for (unsigned int i = 0; i < n; i++, actor_step(a))
				rte_mbuf_raw_free(m[i]);
	}
	inject_end();
}

/* Take all buffers that are ready, and put them back in another order. */
void op_drain_pool(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m[4096];
	unsigned int n = 0;

	if (t == NULL)
		return;
	while (n + 16 <= RTE_DIM(m) && rte_mempool_get_bulk(t->pool, (void **)&m[n], 16) == 0) {
		n += 16;
		actor_turn(a);
		actor_step(a);
	}
	for (unsigned int i = n; i > 1; i--) {
		unsigned int k = dice_below(&a->dice, i);
		struct rte_mbuf *last = m[i - 1];

		m[i - 1] = m[k];
		m[k] = last;
	}
	for (unsigned int i = 0; i < n; i += 16) {
		rte_mempool_put_bulk(t->pool, (void **)&m[i], 16);
		actor_turn(a);
		actor_step(a);
	}
}

void op_pool_look(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	unsigned int n;

	if (t == NULL)
		return;
	n = rte_mempool_avail_count(t->pool);
	/* The counters of running lcores are read one after the other, so a few buffers may be
	 * counted twice. */
	if (n > t->pool->size)
		n = rte_mempool_avail_count(t->pool);
	rte_mempool_in_use_count(t->pool);
}

/* ------------------------------------------------------------------------------ actor to actor */

void op_give(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	unsigned int n = 1 + dice_below(&a->dice, 8);
	struct rte_mbuf *m;

	while (t != NULL && n-- != 0 && (m = pocket_take(a, t)) != NULL)
		if (rte_ring_enqueue(t->ring, m) != 0)
			packet_free(a, m);
}

void op_receive_given(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	unsigned int n = 1 + dice_below(&a->dice, 8);
	struct rte_mbuf *m;

	while (t != NULL && n-- != 0 && rte_ring_dequeue(t->ring, (void **)&m) == 0)
		pocket_put(a, t, m);
}
