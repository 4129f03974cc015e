/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_LANE_COALESCE_H
#define MOAT_LANE_COALESCE_H

/*
 * When are closed batches submitted?
 *
 * A submission costs a wait descriptor, a doorbell and, in a queue that other threads use, too,
 * cache lines that come from other processors. So closed batches coalesce: one submission covers
 * several tickets.
 *  - An uncontended queue: a batch that is closed while nothing of the lane is in flight is
 *    submitted at once. Otherwise batches wait until MOAT_LANE_TOGETHER are closed, or until a poll
 *    finds nothing in flight.
 *  - A contended queue: batches wait until MOAT_LANE_TOGETHER_CROWDED are closed, or for as many
 *    polls.
 *
 * The lane's last submission has reported whether the queue is contended.
 */

#include "moat_domain.h"

struct lane_coalesce {
	bool contended;
	uint32_t polls; /* that found batches waiting, since the last submission */
};

/*
 * @param closed batches that are closed and not submitted
 * @param in_flight a submitted batch of the lane is not done
 */
static inline bool lane_coalesce_is_time(const struct lane_coalesce *c, uint64_t closed,
	bool in_flight)
{
	if (closed >= (c->contended ? MOAT_LANE_TOGETHER_CROWDED : MOAT_LANE_TOGETHER))
		return true;
	return !in_flight && (!c->contended || c->polls >= MOAT_LANE_TOGETHER_CROWDED);
}

static inline void lane_coalesce_submitted(struct lane_coalesce *c)
{
	c->polls = 0;
}

#endif /* MOAT_LANE_COALESCE_H */
