/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A tenant's counters, summed over its lcores. */

#include <string.h>

#include "held.h"

void moat_tenant_bursts(struct moat_tenant *t, enum moat_stage stage, struct moat_hist *hist)
{
	memset(hist, 0, sizeof(*hist));
	for (unsigned int i = 0; i < TENANT_SLOTS; i++) {
		/* Acquire: as in moat_tenant_stats(). */
		const struct tenant_lcore *lc = __atomic_load_n(&t->lcores[i], __ATOMIC_ACQUIRE);

		if (lc != NULL)
			moat_hist_merge(hist, &lc->cost.per_burst->hist[stage]);
	}
}

void moat_tenant_stats(struct moat_tenant *t, struct moat_tenant_stats *stats)
{
	uint64_t longest = 0;

	memset(stats, 0, sizeof(*stats));
	tenant_lock(t); /* a queue or a pool may be added or removed by another thread */
	for (unsigned int i = 0; i < TENANT_SLOTS; i++) {
		/* Acquire: pairs with the release in tenant_lcore_make(). Counters are read while
		 * the lcore may change them; no read is torn. */
		struct tenant_lcore *lc = __atomic_load_n(&t->lcores[i], __ATOMIC_ACQUIRE);
		const uint64_t *lane;

		if (lc == NULL)
			continue;
		moat_cost_add(&stats->cost, &lc->cost);
		lane = (const uint64_t *)moat_lane_stats(lc->lane);
		for (unsigned int k = 0; k < sizeof(stats->lane) / sizeof(*lane); k++)
			((uint64_t *)&stats->lane)[k] += moat_counter_get(&lane[k]);
		longest =
			RTE_MAX(longest, moat_counter_get(&moat_lane_stats(lc->lane)->exposed_max));
		stats->iotlb_hits += moat_counter_get(&lc->lane->iotlb.hits);
		stats->iotlb_misses += moat_counter_get(&lc->lane->iotlb.misses);
		stats->iotlb_faults += moat_counter_get(&lc->lane->iotlb.faults);
		stats->verify_failed += moat_counter_get(&lc->verify_failed);
		stats->waits += moat_counter_get(&lc->waits);
		stats->starved += moat_counter_get(&lc->starved);
		stats->map_failed += moat_counter_get(&lc->map_failed);
		stats->overrun += moat_counter_get(&lc->overrun);
		stats->lost += moat_counter_get(&lc->lost);
		stats->foreign += moat_counter_get(&lc->foreign);
		stats->copied += moat_counter_get(&lc->copied);
		stats->delay_max = RTE_MAX(stats->delay_max, moat_counter_get(&lc->delay_max));
	}
	for (unsigned int i = 0; i < t->nr_queues; i++)
		stats->held += tenant_held_count(t->queues[i]->held);
	for (unsigned int i = 0; i < t->nr_pools; i++)
		stats->quarantined += moat_pool_quarantined(t->pools[i]);
	tenant_unlock(t);
	stats->lane.exposed_max = longest;
	stats->faults = __atomic_load_n(&t->faults, __ATOMIC_RELAXED);
}
