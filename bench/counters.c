/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Hardware counters by perf_event_open(2): three events that every x86 has by the kernel's own
 * names, so libpfm's tables are not needed to find them.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"

const char *const moat_bench_counter_names[MOAT_BENCH_COUNTERS] = {
	"instructions",
	"branch_misses",
	"cache_misses",
};

static const uint64_t events[MOAT_BENCH_COUNTERS] = {
	PERF_COUNT_HW_INSTRUCTIONS,
	PERF_COUNT_HW_BRANCH_MISSES,
	PERF_COUNT_HW_CACHE_MISSES,
};

int moat_bench_counters_open(struct moat_bench_counters *c)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	for (int i = 0; i < MOAT_BENCH_COUNTERS; i++) {
		attr.config = events[i];
		c->fd[i] = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
		if (c->fd[i] < 0) {
			int err = errno;

			while (i-- > 0)
				close(c->fd[i]);
			return err;
		}
	}
	return 0;
}

void moat_bench_counters_read(const struct moat_bench_counters *c, uint64_t v[])
{
	for (int i = 0; i < MOAT_BENCH_COUNTERS; i++)
		if (read(c->fd[i], &v[i], sizeof(v[i])) != sizeof(v[i]))
			v[i] = 0;
}

void moat_bench_counters_close(struct moat_bench_counters *c)
{
	for (int i = 0; i < MOAT_BENCH_COUNTERS; i++)
		close(c->fd[i]);
}
