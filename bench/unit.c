/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_pause.h>
#include <urcu-qsbr.h>

#include "unit.h"

#define ORDER 2 /* 1,024 descriptors: what drivers/vtd uses */
#define SLOTS (256u << ORDER)

static int nothing(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	return 0;
}

static const struct moat_unit_ops ops = { .attach = nothing, .detach = nothing };

static void complete(struct bench_queue *q, uint64_t pos)
{
	/* release: whoever finds it done comes after it */
	atomic_store_explicit(&q->status, (uint32_t)pos, memory_order_release);
}

static void ring(void *ctx, uint64_t tail)
{
	struct bench_queue *q = ctx;

	q->tail = tail;
	q->pos += (tail / sizeof(struct moat_qi_desc) - q->pos) & (SLOTS - 1);
	if (!q->late) {
		complete(q, q->pos);
		return;
	}
	/* relaxed: a bench's clock. What is rung while something is due makes that later. */
	atomic_store_explicit(&q->due_tsc, rte_rdtsc() + BENCH_UNIT_LATENCY, memory_order_relaxed);
	atomic_store_explicit(&q->due_pos, q->pos, memory_order_release);
}

/* Whoever waits polls. The status only grows. */
static int poll_late(void *ctx)
{
	struct bench_queue *q = ctx;
	/* acquire: the time that belongs to it, or a later one */
	uint64_t pos = atomic_load_explicit(&q->due_pos, memory_order_acquire);
	uint32_t status = atomic_load(&q->status);

	if ((int32_t)((uint32_t)pos - status) > 0 &&
		rte_rdtsc() >= atomic_load_explicit(&q->due_tsc, memory_order_relaxed))
		atomic_compare_exchange_strong(&q->status, &status, (uint32_t)pos);
	return 0;
}

static bool open_queue(struct bench_queue *q, bool late)
{
	q->late = late;
	q->ring = aligned_alloc(4096, SLOTS * sizeof(*q->ring));
	if (q->ring != NULL)
		memset(q->ring, 0, SLOTS * sizeof(*q->ring));
	return q->ring != NULL;
}

struct bench_unit *bench_unit_create(bool late)
{
	struct bench_unit *u = aligned_alloc(64, RTE_ALIGN(sizeof(*u), 64));
	struct moat_qi_conf conf = { .order = ORDER, .status_hpa = 0x1000, .doorbell = ring };

	if (u == NULL)
		return NULL;
	memset(u, 0, sizeof(*u));
	if (!open_queue(&u->queue, late) || !open_queue(&u->locked, late))
		return NULL;
	rte_spinlock_init(&u->lock);
	conf.ring = u->queue.ring;
	conf.status = &u->queue.status;
	conf.poll = late ? poll_late : NULL;
	conf.ctx = &u->queue;
	u->pub = (struct moat_unit){ .ops = &ops, .name = "bench", .kind = "bench" };
	u->pub.caps = (struct moat_unit_caps){ .sagaw = 1 << 2,
		.mgaw = 48,
		.leaf_sizes = MOAT_2M_SIZE,
		.nd = MOAT_UNIT_DIDS,
		.qi = { .psi = true, .mamv = 18 },
		.coherent = true };
	if (moat_qi_create(&conf, &u->pub.qi) != 0 || moat_pt_pool_create(NULL, &u->pub.pool) != 0)
		return NULL;
	urcu_qsbr_register_thread();
	return u;
}

void bench_unit_destroy(struct bench_unit *u)
{
	moat_pt_pool_destroy(u->pub.pool);
	moat_qi_destroy(u->pub.qi);
	urcu_qsbr_unregister_thread();
	free(u->queue.ring);
	free(u->locked.ring);
	free(u);
}

void bench_unit_locked(struct bench_unit *u, const struct moat_qi_desc desc[], unsigned int n)
{
	struct bench_queue *q = &u->locked;
	uint64_t pos;

	rte_spinlock_lock(&u->lock);
	pos = q->pos;
	for (unsigned int i = 0; i < n; i++)
		q->ring[(pos + i) % SLOTS] = desc[i];
	pos += n + 1;
	q->ring[(pos - 1) % SLOTS] = moat_qi_wait_status(0x1000, (uint32_t)pos, false);
	ring(q, pos % SLOTS * sizeof(*desc));
	/* acquire: with the unit's status write */
	while (atomic_load_explicit(&q->status, memory_order_acquire) != (uint32_t)pos) {
		poll_late(q);
		rte_pause();
	}
	rte_spinlock_unlock(&u->lock);
}

struct moat_lane *bench_lane_create(struct bench_unit *unit, uint64_t pages)
{
	struct moat_domain_conf conf = { .name = "bench", .iova_base = UINT64_C(1) << 40 };
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
	struct moat_domain *domain = lane->domain;

	if (moat_lane_close(lane) != 0 || moat_domain_destroy(domain) != 0)
		abort();
}
