/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The C half of the harness: pinning to processors, EAL, the cost of the time stamps.
 */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <rte_eal.h>

#include "../lib/iotlb/iotlb_bulk.h"
#include "harness.h"

uint64_t moat_bench_overhead;
char moat_bench_reason[256];
static cpu_set_t allowed;
static uint64_t tsc_hz;

int moat_bench_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(moat_bench_reason, sizeof(moat_bench_reason), fmt, ap);
	va_end(ap);
	return -1;
}

void moat_bench_pin(unsigned int i)
{
	unsigned int k = i % (unsigned int)CPU_COUNT(&allowed);
	cpu_set_t one;
	int cpu = 0;

	for (;; cpu++)
		if (CPU_ISSET(cpu, &allowed) && k-- == 0)
			break;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

int moat_bench_eal(void)
{
	static char *argv[] = { "moat-bench", "--no-huge", "-m", "256", "--no-shconf", "--no-pci",
		"--no-telemetry", "--log-level=error", "--lcores=0", NULL };
	static int state = 1; /* 1: not tried */

	/* --in-memory would be refused: without hugepages the EAL uses its legacy memory. */
	if (state == 1)
		state = rte_eal_init(sizeof(argv) / sizeof(argv[0]) - 1, argv) >= 0 ? 0 : -1;
	return state == 0 ? 0 : moat_bench_skip("DPDK's EAL does not start on this machine");
}

uint64_t moat_bench_tsc_hz(void)
{
	return tsc_hz;
}

const char *moat_bench_bulk(void)
{
	return iotlb_bulk->name;
}

/* Compare the TSC with the clock over 20 ms, for an accuracy of 1 in 1,000. */
static uint64_t measure_tsc(void)
{
	struct timespec a, b;
	uint64_t t;
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	t = moat_bench_tsc();
	do {
		clock_gettime(CLOCK_MONOTONIC_RAW, &b);
		ns = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
	} while (ns < 20000000);
	return (moat_bench_tsc() - t) * 1000000000 / (uint64_t)ns;
}

void moat_bench_calibrate(void)
{
	uint64_t best = UINT64_MAX;

	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (unsigned int i = 0; i < 1000; i++) {
		uint64_t t = moat_bench_tsc();

		t = moat_bench_tsc() - t;
		best = t < best ? t : best;
	}
	moat_bench_overhead = best;
	tsc_hz = measure_tsc();
}
