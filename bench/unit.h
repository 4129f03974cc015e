/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef BENCH_UNIT_H
#define BENCH_UNIT_H

/**
 * @file
 * A unit for benches of the driver's side. It takes descriptors and completes them, without the
 * work that hardware would do for them. Its doorbell is a store to memory.
 */

#include <stdlib.h>

#include <rte_pause.h>
#include <rte_spinlock.h>

#include "moat_bench.h"
#include "moat_domain.h"

#define BENCH_QUEUE_ORDER 2 /* 1,024 descriptors, 16 KiB: what drivers/vtd uses */
#define BENCH_QUEUE_SLOTS (256u << BENCH_QUEUE_ORDER)

/** When the unit completes descriptors: when the bench writes `status`, within the doorbell, or
 * after the time that hardware takes. */
enum bench_pace { BENCH_NEVER, BENCH_AT_ONCE, BENCH_LATE };
#define BENCH_LATENCY 2100 /* TSC cycles of one synchronous invalidation on hardware (rIOMMU) ... */
#define BENCH_STEP    200  /* ... and from one completion to the next in its pipeline */

/** A ring of descriptors and the state of the unit that reads it. */
struct bench_queue {
	enum bench_pace pace;
	struct moat_qi_desc *ring;
	struct {
		_Atomic uint32_t status;
		_Atomic uint64_t next_look; /* late: TSC before which nothing is due */
	} word __rte_cache_aligned;
	/* The unit's state: written by the thread that rings the doorbell (one at a time) ... */
	volatile uint64_t tail __rte_cache_aligned; /* the register */
	uint64_t pos;                               /* the tail, without wrap-around */
	uint64_t last_due;                          /* TSC of the last completion */
	_Atomic uint64_t rung;                      /* late: entries written to `ready` */
	struct {
		uint64_t tsc, pos; /* the TSC at which a position is done */
	} ready[BENCH_QUEUE_SLOTS];
	/* ... and by the thread that runs the unit, in poll_late() */
	uint64_t read __rte_cache_aligned; /* entries taken from `ready` */
	atomic_flag busy;
	rte_spinlock_t lock; /* held by bench_queue_locked() */
};

/** @return false: no memory. */
bool bench_queue_open(struct bench_queue *queue, enum bench_pace pace);
void bench_queue_close(struct bench_queue *queue);
/** Create moat's queue on this ring. @return as moat_qi_create() */
int bench_queue_qi(struct bench_queue *queue, struct moat_qi **qi);
/** The peer: queue `n` descriptors and a wait descriptor, and hold a lock until they are done. */
void bench_queue_locked(struct bench_queue *queue, const struct moat_qi_desc desc[],
	unsigned int n);

struct bench_unit {
	struct moat_unit pub;
	struct bench_queue queue;  /* used by moat */
	struct bench_queue locked; /* used by the peer */
};

/** @return NULL: no memory. Registers the calling thread with urcu-qsbr. */
struct bench_unit *bench_unit_create(enum bench_pace pace);
void bench_unit_destroy(struct bench_unit *unit);

/** Create a domain with a lane, and map `pages` pages of 4 KiB one by one from BENCH_UNIT_BASE on.
 * Page i is at virtual and host physical address BENCH_UNIT_VA + i * 4096.
 * @return the lane; NULL: moat_error_text() */
struct moat_lane *bench_lane_create(struct bench_unit *unit, uint64_t pages);
void bench_lane_destroy(struct moat_lane *lane);

#define BENCH_UNIT_BASE (UINT64_C(4) << 30)
#define BENCH_UNIT_VA   UINT64_C(0x100000000000)

static inline void *bench_va(uint64_t iova)
{
	return (void *)(uintptr_t)(iova - BENCH_UNIT_BASE + BENCH_UNIT_VA);
}

/** Map and unmap `len` bytes. A failure aborts the program. */
static inline void bench_map(struct moat_lane *lane, uint64_t iova, uint64_t len)
{
	if (moat_lane_map(lane, iova, (uintptr_t)bench_va(iova), bench_va(iova), len, MOAT_RW) != 0)
		abort();
}

static inline void bench_unmap(struct moat_lane *lane, uint64_t iova, uint64_t len)
{
	if (moat_lane_unmap(lane, iova, len) != 0)
		abort();
}

/** Submit what the lane gathered, and poll until the ticket is done and reclaimed. */
static inline void bench_complete(struct moat_lane *lane)
{
	moat_ticket_t ticket = moat_lane_flush(lane);

	if (ticket == 0)
		abort();
	moat_lane_send(lane);
	while (moat_lane_poll(lane) < ticket)
		rte_pause();
}

#endif /* BENCH_UNIT_H */
