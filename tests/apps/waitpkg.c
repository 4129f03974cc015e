/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Preloaded into moat-fwd (tests/apps/forward.py): imitates a processor that has WAITPKG, or, with
 * WAITPKG=pause, only tpause. The instructions are not run: a wait is a short pause, and is
 * counted. At the end a line on standard error has the counts. */

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cpuflags.h>
#include <rte_cycles.h>
#include <rte_pause.h>
#include <rte_power_intrinsics.h>

#include "moat_unit.h"

static _Atomic uint64_t monitors, pauses, longest, asleep;

static bool only_pauses(void)
{
	const char *what = getenv("WAITPKG");

	return what != NULL && strcmp(what, "pause") == 0;
}

void rte_cpu_get_intrinsics_support(struct rte_cpu_intrinsics *intrinsics)
{
	*intrinsics =
		(struct rte_cpu_intrinsics){ .power_monitor = !only_pauses(), .power_pause = 1 };
}

static void look_at(uint64_t end)
{
	uint64_t now = rte_rdtsc(), bound = end > now ? end - now : 0;

	if (bound > longest)
		longest = bound;
	for (unsigned int i = 0; i < 100; i++)
		rte_pause();
}

/* Check that a bit of any word that is set before the line is monitored keeps the lcore awake. Only
 * this thread runs the devices, so none of them sets a bit meanwhile. */
static void try_words(const struct rte_power_monitor_cond *pmc)
{
	uint64_t *word = (uint64_t *)(uintptr_t)pmc->addr;

	for (unsigned int i = 0; i < 4; i++) {
		__atomic_or_fetch(&word[i], UINT64_C(1) << 63, __ATOMIC_RELAXED);
		asleep += pmc->fn(word[0], pmc->opaque) == 0;
		__atomic_and_fetch(&word[i], ~(UINT64_C(1) << 63), __ATOMIC_RELAXED);
	}
}

int rte_power_monitor(const struct rte_power_monitor_cond *pmc, const uint64_t end)
{
	if (monitors++ == 0)
		try_words(pmc);
	if (pmc->fn(*(volatile uint64_t *)pmc->addr, pmc->opaque) == 0)
		look_at(end);
	return 0;
}

int rte_power_pause(const uint64_t end)
{
	pauses++;
	look_at(end);
	return 0;
}

__attribute__((destructor)) static void say(void)
{
	fprintf(stderr,
		"waits: %" PRIu64 " monitored, %" PRIu64
		" paused, %.1f us at most, asleep with %" PRIu64 " words written\n",
		monitors, pauses, longest * 1e6 / rte_get_tsc_hz(), asleep);
}
