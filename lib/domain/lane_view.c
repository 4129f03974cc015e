/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* What a lane shows of itself: see moat_domain.h. */

#include "domain_impl.h"

/* With every batch in flight, none is gathering: the next one's place is the oldest one's. */
static inline const struct moat_gather *gathered(const struct moat_lane *lane)
{
	static const struct moat_gather nothing;

	if (unlikely(lane->flushed - lane_done(lane) >= MOAT_LANE_BATCHES))
		return &nothing;
	return &lane->batch[lane->flushed % MOAT_LANE_BATCHES].gather;
}

uint32_t moat_lane_gathered(const struct moat_lane *lane)
{
	return gathered(lane)->pages;
}

moat_ticket_t moat_lane_next_ticket(const struct moat_lane *lane)
{
	return lane->flushed + 1;
}

moat_ticket_t moat_lane_last_ticket(const struct moat_lane *lane)
{
	return lane->flushed;
}

unsigned int moat_lane_room(const struct moat_lane *lane)
{
	return MOAT_LANE_BATCHES - (unsigned int)(lane->flushed - lane_done(lane));
}

unsigned int moat_lane_runs(const struct moat_lane *lane)
{
	return gathered(lane)->n;
}

struct moat_range moat_lane_run(const struct moat_lane *lane, unsigned int i)
{
	return gathered(lane)->run[i];
}

struct moat_iova_cache *moat_lane_iovas(struct moat_lane *lane)
{
	return lane->iovas;
}

struct moat_domain *moat_lane_domain(const struct moat_lane *lane)
{
	return lane->domain;
}

const struct moat_lane_stats *moat_lane_stats(const struct moat_lane *lane)
{
	return &lane->stats;
}
