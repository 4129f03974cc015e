/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_BENCH_HARNESS_H
#define MOAT_BENCH_HARNESS_H

/**
 * @file
 * The interface between the parts of the harness (main.cc, harness.c, counters.c). Benches
 * include moat_bench.h only.
 */

#include "moat_bench.h"

#ifdef __cplusplus
extern "C" {
#endif

extern uint64_t moat_bench_overhead; /* cycles between two time stamps with nothing between */
extern char moat_bench_reason[256];  /* the text of the last moat_bench_skip() */

/** Measure the TSC's frequency and the cost of a time stamp. Must be called first. */
void moat_bench_calibrate(void);

/** @return the instruction set that bulk look-ups use on this machine */
const char *moat_bench_bulk(void);

/** Hardware counters of the calling thread. */
struct moat_bench_counters {
	int fd[3];
};
#define MOAT_BENCH_COUNTERS 3
extern const char *const moat_bench_counter_names[MOAT_BENCH_COUNTERS];
/** Open and start the counters. @return 0, or the errno if the machine or kernel refuses them */
int moat_bench_counters_open(struct moat_bench_counters *c);
void moat_bench_counters_read(const struct moat_bench_counters *c, uint64_t v[]);
void moat_bench_counters_close(struct moat_bench_counters *c);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_BENCH_HARNESS_H */
