/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include "moat_cost.h"

RTE_DEFINE_PER_LCORE(struct moat_cost_watch, moat_cost_watch);
RTE_DEFINE_PER_LCORE(uint64_t, moat_cost_device_cycles);

const char *moat_stage_name(enum moat_stage stage)
{
	static const char *const names[MOAT_STAGES] = {
		[MOAT_STAGE_MAP] = "map",
		[MOAT_STAGE_TRANSLATE] = "translate",
		[MOAT_STAGE_UNMAP] = "unmap",
		[MOAT_STAGE_SUBMIT] = "submit",
		[MOAT_STAGE_WAIT] = "wait",
		[MOAT_STAGE_RECLAIM] = "reclaim",
		[MOAT_STAGE_COPY] = "copy",
		[MOAT_STAGE_APPLICATION] = "application",
		[MOAT_STAGE_DEVICE] = "device",
		[MOAT_STAGE_IDLE] = "idle",
	};

	return stage < MOAT_STAGES ? names[stage] : "unknown";
}

/* One lcore writes, a report reads: relaxed loads only forbid tearing; nothing is ordered. */
static uint64_t read_counter(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void moat_cost_burst_end(struct moat_cost *cost)
{
	struct moat_cost_bursts *b = cost->per_burst;
	uint64_t all = 0;

	for (unsigned int i = 0; i < MOAT_STAGES_MAPPING; i++) {
		uint64_t cycles = cost->cycles[i] - b->at[i];

		if (cycles == 0)
			continue;
		b->at[i] = cost->cycles[i];
		moat_hist_add(&b->hist[i], cycles);
		all += cycles;
	}
	if (all != 0)
		moat_hist_add(&b->hist[MOAT_STAGES_MAPPING], all);
}

void moat_cost_add(struct moat_cost *sum, const struct moat_cost *cost)
{
	for (unsigned int i = 0; i < MOAT_STAGES; i++)
		sum->cycles[i] += read_counter(&cost->cycles[i]);
	sum->packets += read_counter(&cost->packets);
	sum->bursts += read_counter(&cost->bursts);
}

uint64_t moat_cost_mapping(const struct moat_cost *cost)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < MOAT_STAGES_MAPPING; i++)
		sum += read_counter(&cost->cycles[i]);
	return sum;
}
