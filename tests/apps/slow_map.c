/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Preloaded into moat-perf (tests/apps/compare.py): makes mapping, and nothing else, slower by
 * MOAT_SLOW_MAP percent of the time that a map takes on this machine. The delay is added for
 * several maps at once, because reading the clock takes as long as a map. */

#include <dlfcn.h>
#include <stdlib.h>

#include <rte_cycles.h>

#include "moat_memory.h"

#define PIECE 20000u /* least delay, in hundredths of a TSC cycle */

static void pay(uint64_t cycles)
{
	uint64_t begin = rte_rdtsc();

	while (rte_rdtsc() - begin < cycles)
		;
}

int moat_memory_map(const struct moat_memory *m, struct moat_lane *lane, uint64_t off,
	uint64_t iova, uint64_t len, enum moat_prot prot)
{
	static __typeof__(moat_memory_map) *map;
	static unsigned int percent;
	static __thread uint64_t owed;
	uint64_t begin;
	int rc;

	if (map == NULL) {
		const char *text = getenv("MOAT_SLOW_MAP");

		map = (__typeof__(map))dlsym(RTLD_NEXT, "moat_memory_map");
		percent = text != NULL ? (unsigned int)atoi(text) : 0;
	}
	begin = rte_rdtsc();
	rc = map(m, lane, off, iova, len, prot);
	owed += (rte_rdtsc() - begin) * percent;
	if (owed >= PIECE) {
		pay(owed / 100);
		owed = 0;
	}
	return rc;
}
