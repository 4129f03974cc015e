/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The invalidation queue: the cost of a batch for the lcore that submits it, from the pages
 * unmapped to the doorbell. The figure leaves the unit out: the doorbell is a store to memory, and
 * the unit completes between the timed sections (qi/submit), at once (qi/shared), or after the time
 * that hardware takes (qi/late).
 *
 * The peer works as Linux did before it gathered: it queues a descriptor for each page and a wait
 * descriptor under a spinlock, and holds that until the unit has completed them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_pause.h>

#include "unit.h"

#define SLOTS BENCH_QUEUE_SLOTS
#define DID   7
#define BASE  (UINT64_C(1) << 32)

struct unit {
	struct moat_qi *qi;
	struct bench_queue queue;
	struct moat_gather gather;
};

static const struct moat_qi_caps caps = { .psi = true, .mamv = 18 };

/* What a bench does, in its `param`. */
struct what {
	bool scattered; /* every second page instead of one run */
	bool by_page;   /* one run, but gathered page by page */
	enum bench_pace pace;
};

static int make(struct moat_bench_run *run)
{
	const struct what *what = run->param;
	struct unit *u = aligned_alloc(64, RTE_ALIGN(sizeof(*u), 64));

	if (u == NULL || !bench_queue_open(&u->queue, what->pace))
		return moat_bench_skip("no memory");
	if (bench_queue_qi(&u->queue, &u->qi) != 0)
		return moat_bench_skip("%s", moat_error_text());
	run->ctx = u;
	return 0;
}

static void drop(struct moat_bench_run *run)
{
	struct unit *u = run->ctx;

	moat_qi_destroy(u->qi);
	bench_queue_close(&u->queue);
	free(u);
}

/* ----------------------------------------------------------------------------------- batches */

/* Gather the runs, as a lane does when it unmaps. */
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

/* Items are pages if scattered, else batches. The unit completes outside the timed sections. */
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
		u->queue.word.status = (uint32_t)seq;
		if (!moat_qi_done(u->qi, seq))
			abort();
	}
}

/* Several lcores share one queue; the unit completes at once. Items are batches. */
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

/* The unit is as slow as hardware; an lcore has up to 16 batches in flight. Items are batches. */
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

/* The cost of a poll that finds nothing new. */
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
static const struct what contiguous_at_once = { .pace = BENCH_AT_ONCE };
static const struct what contiguous_late = { .pace = BENCH_LATE };
static const struct what scattered_late = { .pace = BENCH_LATE, .scattered = true };

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
		bench_queue_locked(&u->queue, desc, (unsigned int)run->arg);
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
