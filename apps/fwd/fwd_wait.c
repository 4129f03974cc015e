/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * idle = posted: how an lcore waits while its line is quiet. If the processor can monitor a cache
 * line (x86: WAITPKG's umonitor and umwait), the lcore sleeps until the unit writes the line; if it
 * can only pause (tpause), the lcore pauses; otherwise the lcore polls on. A wait ends after
 * WAIT_US at the latest, because the lcore's lanes must report quiescent states, and net_moat's
 * devices work only in the lcore's turns.
 */

#include <rte_cpuflags.h>
#include <rte_cycles.h>
#include <rte_power_intrinsics.h>

#include "fwd.h"
#include "moat_interrupt.h"

#define WAIT_US 10

static enum { POLL, PAUSE, MONITOR } how;
static uint64_t wait_cycles;

void fwd_wait_choose(void)
{
	struct rte_cpu_intrinsics has = { 0 };

	rte_cpu_get_intrinsics_support(&has);
	how = has.power_monitor ? MONITOR : has.power_pause ? PAUSE : POLL;
	wait_cycles = rte_get_tsc_hz() * WAIT_US / 1000000;
}

const char *fwd_wait_text(void)
{
	switch (how) {
	case MONITOR:
		return "sleeps until it is written, for " RTE_STR(WAIT_US) " us at most (umwait)";
	case PAUSE:
		return "pauses for " RTE_STR(WAIT_US) " us at a time (tpause)";
	default:
		return "polls it without a pause: this processor has neither umwait nor tpause "
		       "(WAITPKG)";
	}
}

/* Called when the line is monitored already: a bit of any word that was set before would not wake
 * the lcore. @return -1: do not sleep */
static int line_is_written(const uint64_t value, const uint64_t opaque[RTE_POWER_MONITOR_OPAQUE_SZ])
{
	const struct moat_posted *line = (const struct moat_posted *)(uintptr_t)opaque[0];

	(void)value;
	for (unsigned int word = 0; word < RTE_DIM(line->vector); word++)
		if (__atomic_load_n(&line->vector[word], __ATOMIC_RELAXED) != 0)
			return -1;
	return 0;
}

void fwd_wait(struct moat_posted *line)
{
	const struct rte_power_monitor_cond written = {
		.addr = &line->vector[0],
		.size = sizeof(line->vector[0]),
		.fn = line_is_written,
		.opaque = { (uintptr_t)line },
	};
	uint64_t end = rte_rdtsc() + wait_cycles;

	/* The results do not matter: the line is polled next in any case. */
	if (how == MONITOR)
		rte_power_monitor(&written, end);
	else if (how == PAUSE)
		rte_power_pause(end);
}

bool fwd_wait_can(void)
{
	return how != POLL;
}
