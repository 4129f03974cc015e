/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_BENCH_HARNESS_H
#define MOAT_BENCH_HARNESS_H

/**
 * @file
 * What the halves of the harness (main.cc, harness.c, counters.c) know of each other. Benches
 * include moat_bench.h only.
 */

#include "moat_bench.h"

#ifdef __cplusplus
extern "C" {
#endif

extern uint64_t moat_bench_overhead; /* cycles between two time stamps with nothing between */
extern char moat_bench_reason[256];  /* moat_bench_skip()'s sentence */

void moat_bench_calibrate(void);

/** The instruction set that look-ups in bulk take on this machine. */
const char *moat_bench_bulk(void);

/** Hardware counters of the calling thread; none where the machine or the kernel refuses them. */
struct moat_bench_counters {
	int fd[3];
};
#define MOAT_BENCH_COUNTERS 3
extern const char *const moat_bench_counter_names[MOAT_BENCH_COUNTERS];
/** 0, or the errno that says why counters are absent. */
int moat_bench_counters_open(struct moat_bench_counters *c);
void moat_bench_counters_read(const struct moat_bench_counters *c, uint64_t v[]);
void moat_bench_counters_close(struct moat_bench_counters *c);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_BENCH_HARNESS_H */
