/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_POLICY_H
#define MOAT_POLICY_H

/**
 * @file
 * When modes strict and deferred submit and wait. The functions work on any lane, whether it maps a
 * tenant's buffers or a program's own memory (moat-perf). The calling thread must own the lane.
 * Data path.
 */

#include <rte_cycles.h>

#include "moat_domain.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Mode deferred's defaults: 4 KiB pages, microseconds. */
#define MOAT_DEFERRED_PAGES 256
#define MOAT_DEFERRED_US    10000

/** Mode deferred's limits: gathered pages are submitted by count or by time. */
struct moat_deferred {
	uint32_t pages;    /* submit when this many 4 KiB pages are gathered ... */
	uint64_t cycles;   /* ... or after this many TSC cycles */
	uint64_t deadline; /* TSC; 0: no gathered page was seen since the last submission */
};

/**
 * Should the gathered pages be submitted now? The time counts from the first call that finds pages
 * gathered.
 *
 * @param d the calling thread's limits
 * @param gathered number of gathered 4 KiB pages: moat_lane_gathered()
 * @param now TSC
 * @return true: submit the gathered pages
 *
 * Thread safety: one thread for each `d`. Data path.
 */
static inline bool moat_deferred_due(struct moat_deferred *d, uint32_t gathered, uint64_t now)
{
	if (gathered == 0)
		return false;
	if (d->deadline == 0)
		d->deadline = now + d->cycles;
	return gathered >= d->pages || now >= d->deadline;
}

/**
 * Note that the gathered pages were submitted. The time starts again with the next gathered page.
 *
 * @param d the calling thread's limits
 *
 * Thread safety: one thread for each `d`. Data path.
 */
static inline void moat_deferred_submitted(struct moat_deferred *d)
{
	d->deadline = 0;
}

/**
 * Mode strict: submit the gathered pages, and wait until all of the lane's tickets are done.
 *
 * @param lane the calling thread's lane
 * @return as moat_lane_drain()
 *
 * Thread safety: the lane's own thread. Data path; waits for the unit, as the mode must.
 */
static inline int moat_strict_wait(struct moat_lane *lane)
{
	moat_lane_flush(lane);
	moat_lane_send(lane);
	return moat_lane_drain(lane);
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_POLICY_H */
