/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_pause.h>
#include <urcu-qsbr.h>

#include "unit.h"

#define SLOTS BENCH_QUEUE_SLOTS

/* --------------------------------------------------------------------------------- the queue */

static void ring(void *ctx, uint64_t tail)
{
	struct bench_queue *q = ctx;
	uint64_t pos = q->pos, i = q->rung, due;

	q->tail = tail;
	if (q->pace == BENCH_NEVER)
		return;
	pos += (tail / sizeof(struct moat_qi_desc) - pos) & (SLOTS - 1);
	q->pos = pos;
	if (q->pace == BENCH_AT_ONCE) {
		/* release: pairs with the acquire of the threads that read the status */
		atomic_store_explicit(&q->word.status, (uint32_t)pos, memory_order_release);
		return;
	}
	due = RTE_MAX(rte_rdtsc() + BENCH_LATENCY, q->last_due + BENCH_STEP);
	q->last_due = due;
	q->ready[i % SLOTS].tsc = due;
	q->ready[i % SLOTS].pos = pos;
	/* release: pairs with the acquire in poll_late() */
	atomic_store_explicit(&q->rung, i + 1, memory_order_release);
}

/* Do the status writes that are due by now. One thread at a time does them, and sets the time of
 * the next check; until then a poll reads only the cache line of the status. */
static int poll_late(void *ctx)
{
	struct bench_queue *q = ctx;
	uint64_t now = rte_rdtsc(), i, rung;

	/* relaxed: only a time; the status word orders the data */
	if (now < atomic_load_explicit(&q->word.next_look, memory_order_relaxed) ||
		atomic_flag_test_and_set_explicit(&q->busy, memory_order_acquire))
		return 0;
	rung = atomic_load_explicit(&q->rung, memory_order_acquire);
	for (i = q->read; i < rung && q->ready[i % SLOTS].tsc <= now; i++)
		;
	if (i != q->read)
		atomic_store_explicit(&q->word.status, (uint32_t)q->ready[(i - 1) % SLOTS].pos,
			memory_order_release);
	q->read = i;
	/* If nothing is pending, no later submission is due before BENCH_STEP cycles have
	 * passed. */
	atomic_store_explicit(&q->word.next_look,
		i < rung ? q->ready[i % SLOTS].tsc : now + BENCH_STEP, memory_order_relaxed);
	atomic_flag_clear_explicit(&q->busy, memory_order_release);
	return 0;
}

bool bench_queue_open(struct bench_queue *q, enum bench_pace pace)
{
	memset(q, 0, sizeof(*q));
	rte_spinlock_init(&q->lock);
	q->pace = pace;
	q->ring = aligned_alloc(MOAT_PAGE_SIZE, SLOTS * sizeof(*q->ring));
	if (q->ring != NULL)
		memset(q->ring, 0, SLOTS * sizeof(*q->ring));
	return q->ring != NULL;
}

void bench_queue_close(struct bench_queue *q)
{
	free(q->ring);
}

int bench_queue_qi(struct bench_queue *q, struct moat_qi **qi)
{
	struct moat_qi_conf conf = { .order = BENCH_QUEUE_ORDER,
		.ring = q->ring,
		.status = &q->word.status,
		.status_hpa = 0x1000,
		.doorbell = ring,
		.poll = q->pace == BENCH_LATE ? poll_late : NULL,
		.ctx = q };

	return moat_qi_create(&conf, qi);
}

void bench_queue_locked(struct bench_queue *q, const struct moat_qi_desc desc[], unsigned int n)
{
	uint64_t pos;

	rte_spinlock_lock(&q->lock);
	pos = q->pos;
	for (unsigned int i = 0; i < n; i++)
		q->ring[(pos + i) % SLOTS] = desc[i];
	pos += n + 1;
	q->ring[(pos - 1) % SLOTS] = moat_qi_wait_status(0x1000, (uint32_t)pos, false);
	ring(q, pos % SLOTS * sizeof(*desc));
	/* acquire: pairs with the unit's status write */
	while ((int32_t)(atomic_load_explicit(&q->word.status, memory_order_acquire) -
		       (uint32_t)pos) < 0) {
		if (q->pace == BENCH_LATE)
			poll_late(q);
		rte_pause();
	}
	rte_spinlock_unlock(&q->lock);
}

/* ---------------------------------------------------------------------------------- the unit */

static int nothing(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	return 0;
}

static const struct moat_unit_ops ops = { .attach = nothing, .detach = nothing };

struct bench_unit *bench_unit_create(enum bench_pace pace)
{
	struct bench_unit *u = aligned_alloc(64, RTE_ALIGN(sizeof(*u), 64));

	if (u == NULL || !bench_queue_open(&u->queue, pace) || !bench_queue_open(&u->locked, pace))
		return NULL;
	u->pub = (struct moat_unit){ .ops = &ops, .name = "bench", .kind = "bench" };
	u->pub.caps = (struct moat_unit_caps){ .sagaw = 1 << 2,
		.mgaw = 48,
		.leaf_sizes = MOAT_2M_SIZE,
		.nd = MOAT_UNIT_DIDS,
		.qi = { .psi = true, .mamv = 18 },
		.coherent = true };
	if (bench_queue_qi(&u->queue, &u->pub.qi) != 0 ||
		moat_pt_pool_create(NULL, &u->pub.pool) != 0)
		return NULL;
	urcu_qsbr_register_thread();
	return u;
}

void bench_unit_destroy(struct bench_unit *u)
{
	moat_pt_pool_destroy(u->pub.pool);
	moat_qi_destroy(u->pub.qi);
	urcu_qsbr_unregister_thread();
	bench_queue_close(&u->queue);
	bench_queue_close(&u->locked);
	free(u);
}

struct moat_lane *bench_lane_create(struct bench_unit *unit, uint64_t pages)
{
	struct moat_domain_conf conf = { .name = "bench",
		.iova_base = UINT64_C(1) << 38, /* above the pages */
		.leaf_sizes = MOAT_LEAF_4K_ONLY };
	struct moat_domain *domain;
	struct moat_lane *lane;

	if (moat_domain_create(&unit->pub, &conf, &domain) != 0)
		return NULL;
	lane = moat_lane_open(domain);
	for (uint64_t i = 0; lane != NULL && i < pages; i++)
		bench_map(lane, BENCH_UNIT_BASE + i * MOAT_PAGE_SIZE, MOAT_PAGE_SIZE);
	return lane;
}

void bench_lane_destroy(struct moat_lane *lane)
{
	struct moat_domain *domain = moat_lane_domain(lane);

	if (moat_lane_close(lane) != 0 || moat_domain_destroy(domain) != 0)
		abort();
}
