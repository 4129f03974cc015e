/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A lane's state: see moat_domain.h. */

#include "lane_impl.h"

uint32_t moat_lane_gathered(const struct moat_lane *lane)
{
	const struct batch *gathering = lane_own(lane)->gathering;

	return gathering != NULL ? gathering->gather.pages : 0;
}

moat_ticket_t moat_lane_next_ticket(const struct moat_lane *lane)
{
	return lane_own(lane)->flushed + 1;
}

moat_ticket_t moat_lane_last_ticket(const struct moat_lane *lane)
{
	return lane_own(lane)->flushed;
}

moat_ticket_t moat_lane_last_done(const struct moat_lane *lane)
{
	/* acquire: D2, as in moat_lane_done() */
	return atomic_load_explicit(&lane_of(lane)->done, memory_order_acquire);
}

unsigned int moat_lane_room(const struct moat_lane *pub)
{
	const struct lane *lane = lane_own(pub);

	return MOAT_LANE_BATCHES - (unsigned int)(lane->flushed - lane_done(lane));
}

unsigned int moat_lane_runs(const struct moat_lane *lane)
{
	const struct batch *gathering = lane_own(lane)->gathering;

	return gathering != NULL ? gathering->gather.n : 0;
}

struct moat_range moat_lane_run(const struct moat_lane *lane, unsigned int i)
{
	return lane_own(lane)->gathering->gather.run[i];
}

unsigned int moat_lane_run_room(const struct moat_lane *lane)
{
	const struct batch *gathering = lane_own(lane)->gathering;

	return gathering != NULL
		? MOAT_GATHER_RUNS - RTE_MAX(gathering->gather.n, gathering->nr_iovas)
		: MOAT_GATHER_RUNS;
}

void moat_lane_hand_on_early(struct moat_lane *lane, bool early)
{
	lane_own(lane)->early = early;
}

void moat_lane_take_back(struct moat_lane *lane, bool back)
{
	lane_own(lane)->back = back;
}

void moat_lane_expose(struct moat_lane *pub, uint32_t pages, uint64_t since)
{
	struct lane *lane = lane_own(pub);

	if (lane->gathering == NULL)
		lane->gathering = lane_stock_get();
	if (unlikely(lane->gathering == NULL))
		return; /* the next unmap reports that memory ran out */
	lane->gathering->exposed += pages;
	if (lane->gathering->exposed_since == 0)
		lane->gathering->exposed_since = since;
}

struct moat_iova_cache *moat_lane_iovas(struct moat_lane *lane)
{
	return lane_own(lane)->iovas;
}

struct moat_domain *moat_lane_domain(const struct moat_lane *lane)
{
	return lane_of(lane)->domain;
}

const struct moat_lane_stats *moat_lane_stats(const struct moat_lane *lane)
{
	return &lane_of(lane)->stats;
}
