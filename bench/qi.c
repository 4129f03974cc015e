/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The invalidation queue: what a batch costs the lcore that submits it, from the pages unmapped to
 * the doorbell rung. The unit is not in the figure: its doorbell is a store to memory, and it
 * completes between the timed stretches (qi/submit), at once (qi/shared), or after the time that
 * hardware takes (qi/late).
 *
 * The peer is the usual way (Linux, before it gathered): a descriptor for each page and a wait,
 * queued under a spinlock that is held until the unit is through.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_pause.h>
#include <rte_spinlock.h>

#include "moat_bench.h"
#include "moat_qi.h"

#define ORDER   2 /* 1,024 descriptors, 16 KiB: what drivers/vtd uses */
#define SLOTS   (256u << ORDER)
#define DID     7
#define BASE    (UINT64_C(1) << 32)
#define LATENCY 2100 /* cycles of one synchronous invalidation on hardware; shared/PEERS: rIOMMU */
#define PACE    200  /* and between one and the next in its pipeline */

struct unit {
	struct moat_qi *qi;
	struct moat_qi_desc *ring;
	_Atomic uint32_t status;
	volatile uint64_t tail; /* the register */
	_Atomic uint64_t pos;   /* the tail, counted on */
	rte_spinlock_t lock;    /* the peer's */
	uint64_t free;          /* the peer's next position */
	/* qi/late: when which position will be done */
	_Atomic uint64_t ready_tsc[SLOTS], ready_pos[SLOTS];
	_Atomic uint64_t rung, read;
	struct moat_gather gather;
};

static const struct moat_qi_caps caps = { .psi = true, .mamv = 18 };

/* What a bench does, in its `param`. */
struct what {
	bool scattered; /* every second page, not one run */
	bool by_page;   /* gathered page by page, though they are one run */
	bool at_once;   /* the unit completes in its doorbell */
	bool late;      /* the unit completes after LATENCY */
};

/* ---------------------------------------------------------------------------------- the unit */

static void ring_only(void *ctx, uint64_t tail)
{
	struct unit *u = ctx;

	u->tail = tail;
}

static uint64_t counted_on(struct unit *u, uint64_t tail)
{
	uint64_t pos = u->pos, index = tail / sizeof(struct moat_qi_desc);

	u->tail = tail;
	pos += (index - pos) & (SLOTS - 1);
	atomic_store_explicit(&u->pos, pos, memory_order_relaxed);
	return pos;
}

static void ring_at_once(void *ctx, uint64_t tail)
{
	struct unit *u = ctx;

	atomic_store_explicit(&u->status, (uint32_t)counted_on(u, tail), memory_order_release);
}

static void ring_late(void *ctx, uint64_t tail)
{
	struct unit *u = ctx;
	uint64_t pos = counted_on(u, tail), i = u->rung, now = rte_rdtsc() + LATENCY;

	if (i != 0)
		now = RTE_MAX(now, u->ready_tsc[(i - 1) % SLOTS] + PACE);
	atomic_store_explicit(&u->ready_tsc[i % SLOTS], now, memory_order_relaxed);
	atomic_store_explicit(&u->ready_pos[i % SLOTS], pos, memory_order_relaxed);
	atomic_store_explicit(&u->rung, i + 1, memory_order_release);
}

/* Status writes that are due by now. Several may come here; the status only grows. */
static int poll_late(void *ctx)
{
	struct unit *u = ctx;
	uint64_t i = atomic_load_explicit(&u->read, memory_order_acquire), now = rte_rdtsc();

	while (i < atomic_load_explicit(&u->rung, memory_order_acquire) &&
		atomic_load_explicit(&u->ready_tsc[i % SLOTS], memory_order_relaxed) <= now) {
		uint32_t pos = (uint32_t)u->ready_pos[i % SLOTS];

		if (!atomic_compare_exchange_strong(&u->read, &i, i + 1))
			continue;
		if ((int32_t)(pos - atomic_load(&u->status)) > 0)
			atomic_store_explicit(&u->status, pos, memory_order_release);
		i++;
	}
	return 0;
}

static int make(struct moat_bench_run *run)
{
	const struct what *what = run->param;
	struct unit *u = aligned_alloc(64, RTE_ALIGN(sizeof(*u), 64));
	struct moat_qi_conf conf = { .order = ORDER, .ctx = u };

	if (u == NULL)
		return moat_bench_skip("no memory");
	memset(u, 0, sizeof(*u));
	u->ring = aligned_alloc(4096, SLOTS * sizeof(*u->ring));
	memset(u->ring, 0, SLOTS * sizeof(*u->ring));
	rte_spinlock_init(&u->lock);
	conf.ring = u->ring;
	conf.status = &u->status;
	conf.status_hpa = 0x1000;
	conf.doorbell = what->late ? ring_late : what->at_once ? ring_at_once : ring_only;
	conf.poll = what->late ? poll_late : NULL;
	if (moat_qi_create(&conf, &u->qi) != 0)
		return moat_bench_skip("%s", moat_error_text());
	run->ctx = u;
	return 0;
}

static void drop(struct moat_bench_run *run)
{
	struct unit *u = run->ctx;

	moat_qi_destroy(u->qi);
	free(u->ring);
	free(u);
}

/* ----------------------------------------------------------------------------------- batches */

/* What a lane does to unmap: it gathers its runs. */
static inline void gather(struct moat_gather *g, const struct what *what, uint64_t pages,
	uint64_t salt)
{
	uint64_t base = BASE + (salt & 63) * (256 * MOAT_PAGE_SIZE);

	moat_gather_reset(g);
	if (what->scattered) {
		for (uint64_t i = 0; i < pages; i++)
			moat_gather_add(g, base + i * 2 * MOAT_PAGE_SIZE, MOAT_PAGE_SIZE);
	} else if (what->by_page) {
		for (uint64_t i = 0; i < pages; i++)
			moat_gather_add(g, base + i * MOAT_PAGE_SIZE, MOAT_PAGE_SIZE);
	} else {
		moat_gather_add(g, base, pages * MOAT_PAGE_SIZE);
	}
}

static inline int64_t submit(struct unit *u, struct moat_gather *g)
{
	struct moat_qi_desc desc[MOAT_QI_BATCH_MAX];
	unsigned int n = moat_gather_encode(g, &caps, DID, desc, MOAT_QI_BATCH_MAX);

	return moat_qi_submit(u->qi, desc, n);
}

/* Items are pages: cycles a page. The unit completes outside the timed stretches. */
static void submit_body(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	struct unit *u = run->ctx;
	uint64_t pages = (uint64_t)run->arg;
	uint64_t room = SLOTS / (what->scattered ? pages + 1 : 2) - 1;
	int64_t seq = 0;

	for (uint64_t k = 0; k < n;) {
		uint64_t stretch = RTE_MIN(n - k, room);

		moat_bench_start(run);
		for (uint64_t i = 0; i < stretch; i++) {
			gather(&u->gather, what, pages, i);
			seq = submit(u, &u->gather);
		}
		moat_bench_stop(run);
		k += stretch;
		if (seq < 0)
			abort();
		u->status = (uint32_t)seq;
		if (!moat_qi_done(u->qi, seq))
			abort();
	}
}

/* Several lcores on one queue; the unit keeps up. Items are batches: cycles a batch. */
static void shared_body(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	struct unit *u = run->ctx;
	struct moat_gather g;

	for (uint64_t k = 0; k < n; k++) {
		int64_t seq;

		gather(&g, what, (uint64_t)run->arg, k + run->thread * 7919);
		while ((seq = submit(u, &g)) == -EAGAIN)
			moat_qi_done(u->qi, INT64_MAX);
		if (seq < 0)
			abort();
	}
}

/* A unit that takes its time; an lcore has 16 batches in flight and goes on. Cycles a batch. */
static void late_body(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	struct unit *u = run->ctx;
	struct moat_gather g;
	int64_t flight[16];

	for (uint64_t k = 0; k < n; k++) {
		if (k >= RTE_DIM(flight))
			while (!moat_qi_done(u->qi, flight[k % RTE_DIM(flight)]))
				rte_pause();
		gather(&g, what, (uint64_t)run->arg, k + run->thread * 7919);
		while ((flight[k % RTE_DIM(flight)] = submit(u, &g)) == -EAGAIN)
			moat_qi_done(u->qi, INT64_MAX);
	}
	for (uint64_t k = 0; k < RTE_MIN(n, RTE_DIM(flight)); k++)
		while (!moat_qi_done(u->qi, flight[k]))
			rte_pause();
}

static void done_body(struct moat_bench_run *run, uint64_t n)
{
	struct unit *u = run->ctx;
	int64_t seq = moat_qi_submit(u->qi, NULL, 0);

	for (uint64_t k = 0; k < n; k++)
		if (!moat_qi_done(u->qi, seq))
			abort();
}

/* Nothing new: what a poll in vain costs. */
static void pending_body(struct moat_bench_run *run, uint64_t n)
{
	struct unit *u = run->ctx;

	for (uint64_t k = 0; k < n; k++)
		if (moat_qi_done(u->qi, INT64_MAX))
			abort();
}

#define SUBMIT_ARGS             \
	{                       \
		1, 2, 8, 32, 64 \
	}

static const struct what contiguous = { 0 };
static const struct what by_page = { .by_page = true };
static const struct what scattered = { .scattered = true };
static const struct what contiguous_at_once = { .at_once = true };
static const struct what contiguous_late = { .late = true };
static const struct what scattered_late = { .late = true, .scattered = true };

MOAT_BENCH(submit_contiguous) = { .name = "qi/submit/contiguous",
	.param = &contiguous,
	.setup = make,
	.body = submit_body,
	.teardown = drop,
	.args = SUBMIT_ARGS };
MOAT_BENCH(submit_by_page) = { .name = "qi/submit/contiguous_by_page",
	.param = &by_page,
	.setup = make,
	.body = submit_body,
	.teardown = drop,
	.args = SUBMIT_ARGS };
MOAT_BENCH(submit_scattered) = { .name = "qi/submit/scattered",
	.param = &scattered,
	.setup = make,
	.body = submit_body,
	.teardown = drop,
	.args = SUBMIT_ARGS,
	.items_per_arg = true };
MOAT_BENCH(shared_1) = { .name = "qi/shared/1_lcore",
	.param = &contiguous_at_once,
	.setup = make,
	.body = shared_body,
	.teardown = drop,
	.args = { 64 },
	.threads = 1,
	.batch = 256 };
MOAT_BENCH(shared_2) = { .name = "qi/shared/2_lcores",
	.param = &contiguous_at_once,
	.setup = make,
	.body = shared_body,
	.teardown = drop,
	.args = { 64 },
	.threads = 2,
	.batch = 256 };
MOAT_BENCH(shared_64) = { .name = "qi/shared/64_lcores",
	.param = &contiguous_at_once,
	.setup = make,
	.body = shared_body,
	.teardown = drop,
	.args = { 64 },
	.threads = 64,
	.batch = 256 };
MOAT_BENCH(late_1) = { .name = "qi/late/1_lcore",
	.param = &contiguous_late,
	.setup = make,
	.body = late_body,
	.teardown = drop,
	.args = { 64 },
	.threads = 1,
	.batch = 256 };
MOAT_BENCH(late_2) = { .name = "qi/late/2_lcores",
	.param = &contiguous_late,
	.setup = make,
	.body = late_body,
	.teardown = drop,
	.args = { 64 },
	.threads = 2,
	.batch = 256 };
MOAT_BENCH(done_bench) = { .name = "qi/done",
	.param = &contiguous_at_once,
	.setup = make,
	.body = done_body,
	.teardown = drop };
MOAT_BENCH(pending_bench) = { .name = "qi/pending",
	.param = &contiguous_at_once,
	.setup = make,
	.body = pending_body,
	.teardown = drop };

/* ---------------------------------------------------------- peer: wait under the queue's lock */

static void locked_sync(struct unit *u, const struct moat_qi_desc desc[], unsigned int n,
	const struct what *what)
{
	uint64_t pos;

	rte_spinlock_lock(&u->lock);
	pos = u->free;
	for (unsigned int i = 0; i < n; i++)
		u->ring[(pos + i) % SLOTS] = desc[i];
	pos += n + 1;
	u->ring[(pos - 1) % SLOTS] = moat_qi_wait_status(0x1000, (uint32_t)pos, false);
	u->free = pos;
	if (what->late)
		ring_late(u, pos % SLOTS * sizeof(*desc));
	else
		ring_at_once(u, pos % SLOTS * sizeof(*desc));
	while ((int32_t)(atomic_load_explicit(&u->status, memory_order_acquire) - (uint32_t)pos) <
		0) {
		if (what->late)
			poll_late(u);
		rte_pause();
	}
	rte_spinlock_unlock(&u->lock);
}

static void locked_body(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	struct unit *u = run->ctx;
	struct moat_qi_desc desc[64];
	uint64_t stride = what->scattered ? 2 : 1;

	for (uint64_t k = 0; k < n; k++) {
		for (unsigned int i = 0; i < (unsigned int)run->arg; i++)
			desc[i] = moat_qi_iotlb_page(DID, BASE + i * stride * MOAT_PAGE_SIZE, 0,
				true);
		locked_sync(u, desc, (unsigned int)run->arg, what);
	}
}

MOAT_BENCH(locked_contiguous) = { .name = "peer/qi_locked/contiguous",
	.param = &contiguous_at_once,
	.setup = make,
	.body = locked_body,
	.teardown = drop,
	.args = SUBMIT_ARGS };
MOAT_BENCH(locked_1) = { .name = "peer/qi_locked/late/1_lcore",
	.param = &scattered_late,
	.setup = make,
	.body = locked_body,
	.teardown = drop,
	.args = { 64 },
	.threads = 1,
	.batch = 256 };
MOAT_BENCH(locked_2) = { .name = "peer/qi_locked/late/2_lcores",
	.param = &scattered_late,
	.setup = make,
	.body = locked_body,
	.teardown = drop,
	.args = { 64 },
	.threads = 2,
	.batch = 256 };
