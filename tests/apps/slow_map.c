/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Preloaded into moat-perf (tests/apps/compare.py): mapping is slower, by about a fifth with
 * MOAT_SLOW_MAP=4, and nothing else is. Every MOAT_SLOW_MAP-th map waits for all instructions
 * before it, which takes about a map's time. */

#include <dlfcn.h>
#include <stdlib.h>

#include "moat_memory.h"

int moat_memory_map(const struct moat_memory *m, struct moat_lane *lane, uint64_t off,
	uint64_t iova, uint64_t len, enum moat_prot prot)
{
	static __typeof__(moat_memory_map) *map;
	static unsigned int period;
	static __thread unsigned int n;

	if (map == NULL) {
		const char *text = getenv("MOAT_SLOW_MAP");

		map = (__typeof__(map))dlsym(RTLD_NEXT, "moat_memory_map");
		period = text != NULL ? (unsigned int)atoi(text) : 0;
	}
	if (period != 0 && ++n >= period) {
		n = 0;
		__asm__ volatile("lfence" ::: "memory");
	}
	return map(m, lane, off, iova, len, prot);
}
