/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The stopwatch charges every cycle to one stage, charges nothing while it is off, and measures its
 * own overhead. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "moat_cost.h"

static uint64_t all(const struct moat_cost *cost)
{
	return moat_cost_busy(cost) + cost->cycles[MOAT_STAGE_IDLE];
}

static void every_cycle_lands_in_one_stage(void **state)
{
	struct moat_cost_watch watch = { .on = true };
	struct moat_cost red = { 0 }, blue = { 0 };
	uint64_t begin, device;

	moat_cost_start(&watch);
	begin = watch.last;
	device = RTE_PER_LCORE(moat_cost_device_cycles);
	for (unsigned int i = 0; i < 1000; i++) {
		struct moat_cost_device d = moat_cost_device_enter();

		moat_cost_device_leave(d);
		moat_cost_mark(&watch, i % 3 == 0 ? &red : &blue,
			(enum moat_stage)(i % MOAT_STAGES));
	}
	assert_int_equal(all(&red) + all(&blue), watch.last - begin);
	device = RTE_PER_LCORE(moat_cost_device_cycles) - device;
	assert_true(red.cycles[MOAT_STAGE_DEVICE] + blue.cycles[MOAT_STAGE_DEVICE] >= device);
	assert_int_equal(red.marks + blue.marks, 1000);
}

static void off_it_counts_nothing(void **state)
{
	struct moat_cost_watch watch = { .on = false };
	struct moat_cost cost = { 0 }, zero = { 0 };

	moat_cost_start(&watch);
	moat_cost_mark(&watch, &cost, MOAT_STAGE_MAP);
	assert_memory_equal(&cost, &zero, sizeof(cost));
	assert_true(moat_cost_overhead(&cost, 30) == 0);
}

static void its_own_share_is_its_marks(void **state)
{
	struct moat_cost cost = { .marks = 10 };
	double per_mark = moat_cost_per_mark();

	cost.cycles[MOAT_STAGE_MAP] = 5000;
	cost.cycles[MOAT_STAGE_APPLICATION] = 10000;
	cost.cycles[MOAT_STAGE_IDLE] = 1000000; /* belongs to no packet */
	assert_true(moat_cost_overhead(&cost, 30) == 300 / 15000.0);
	/* A reading of the TSC and some additions take some cycles, on a slow machine more. */
	assert_true(per_mark > 1 && per_mark < 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cycle_lands_in_one_stage),
		cmocka_unit_test(off_it_counts_nothing),
		cmocka_unit_test(its_own_share_is_its_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
