/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdlib.h>

#include "moat_cost.h"
#include "moat_counter.h"

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
		sum->cycles[i] += moat_counter_get(&cost->cycles[i]);
	sum->packets += moat_counter_get(&cost->packets);
	sum->bursts += moat_counter_get(&cost->bursts);
	sum->marks += moat_counter_get(&cost->marks);
}

uint64_t moat_cost_mapping(const struct moat_cost *cost)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < MOAT_STAGES_MAPPING; i++)
		sum += moat_counter_get(&cost->cycles[i]);
	return sum;
}

uint64_t moat_cost_busy(const struct moat_cost *cost)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < MOAT_STAGES; i++)
		if (i != MOAT_STAGE_IDLE)
			sum += moat_counter_get(&cost->cycles[i]);
	return sum;
}

static int compare_values(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

double moat_cost_per_mark(void)
{
	enum { SERIES = 21, MARKS = 100 };
	struct moat_cost_watch watch = { .on = true };
	struct moat_cost cost = { .packets = 0 };
	uint64_t took[SERIES], median;

	for (unsigned int i = 0; i < SERIES; i++) {
		uint64_t begin = rte_rdtsc();

		for (unsigned int k = 0; k < MARKS; k++)
			moat_cost_mark(&watch, &cost, (enum moat_stage)(k % MOAT_STAGES_MAPPING));
		took[i] = rte_rdtsc() - begin;
	}
	qsort(took, SERIES, sizeof(took[0]), compare_values);
	median = took[SERIES / 2];
	return (double)median / MARKS;
}

double moat_cost_overhead(const struct moat_cost *cost, double per_mark)
{
	uint64_t busy = moat_cost_busy(cost);

	return busy == 0 ? 0 : (double)moat_counter_get(&cost->marks) * per_mark / (double)busy;
}
