/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_BENCH_H
#define MOAT_BENCH_H

/**
 * @file
 * Benches in C under Google Benchmark.
 *
 * A bench is a function that does its work `n` times, and a name. Write one file an area, list it
 * in bench/meson.build, and register there:
 *
 *     static void one(struct moat_bench_run *run, uint64_t n) { ... n times ... }
 *     MOAT_BENCH(qi_one) = { .name = "qi/submit/contiguous", .setup = ..., .body = one,
 *                            .args = { 1, 64 }, .items_per_arg = true };
 *
 * gives `qi/submit/contiguous/1` and `qi/submit/contiguous/64`.
 *
 * The figure is the counter `cycles`: TSC cycles per item, the median over many calls of the body
 * of some 20 microseconds each, so that a call in which the kernel ran something else does not
 * count; `cycles_mean` is what it would be with those. `cycles_alone` is the median of the calls
 * during which the core was this process's alone, the part `alone` of all: on virtual machines, and
 * where hyperthreads are on, a busy neighbour on the same core takes up to half of it, which a
 * probe before and after each call notices. 0 where there were none. (Google Benchmark's own times
 * hold all of the body, also what stands outside moat_bench_start and moat_bench_stop.)
 */

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOAT_BENCH_ARGS 12

/** One thread of one run of a bench, as its functions see it. */
struct moat_bench_run {
	int64_t arg;         /* of this run; 0 for a bench without */
	const void *param;   /* the bench's own */
	void *ctx;           /* setup's, shared by the threads */
	unsigned int thread; /* 0 to threads - 1 */
	unsigned int threads;
	uint64_t items; /* per iteration; setup or body may change it */
	/* The harness's own. */
	uint64_t started;
	uint64_t timed;
	bool sections;
};

struct moat_bench {
	const char *name;
	const void *param; /* distinguishes this bench from others with the same functions */
	/** Called once a run, on thread 0, before any body. May be NULL. @return 0, or negative:
	 * the run is skipped, and moat_bench_skip()'s sentence is printed */
	int (*setup)(struct moat_bench_run *run);
	/** Do the work `n` times. Called by every thread, many times a run. */
	void (*body)(struct moat_bench_run *run, uint64_t n);
	/** Called once a run, on thread 0, after all bodies. May be NULL. */
	void (*teardown)(struct moat_bench_run *run);
	int64_t args[MOAT_BENCH_ARGS]; /* a run for each, up to the first 0; all 0: one run */
	bool items_per_arg;            /* items = arg; otherwise `items`, or 1 */
	uint64_t items;
	unsigned int threads;    /* 0: one, and the name stays as it is */
	uint64_t batch;          /* iterations of each call; 0: as many as take 20 us.
	                                * With threads: never 0 */
	struct moat_bench *next; /* the harness's own */
};

/** Register a bench that lives as long as the program. */
void moat_bench_register(struct moat_bench *bench);

#define MOAT_BENCH(id)                                               \
	static struct moat_bench id;                                 \
	__attribute__((constructor)) static void register_##id(void) \
	{                                                            \
		moat_bench_register(&id);                            \
	}                                                            \
	static struct moat_bench id

/** Say why setup fails: `return moat_bench_skip("no ...");`. @return a negative number */
int moat_bench_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Start DPDK's EAL, for peers that need it, in memory and without hugepages. Later calls do
 * nothing. @return 0 or negative */
int moat_bench_eal(void);

/** @return the processor that thread `i` of a run is pinned to: the i-th of those allowed,
 * cyclically. Threads that a setup starts pin themselves beyond run->threads. */
void moat_bench_pin(unsigned int i);

/** @return the TSC's frequency */
uint64_t moat_bench_tsc_hz(void);

/* Serialised: nothing of the work moves across the time stamps. */
static inline uint64_t moat_bench_tsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

/** A body that prepares or repairs in between times only what stands between start and stop. */
static inline void moat_bench_start(struct moat_bench_run *run)
{
	run->sections = true;
	run->started = moat_bench_tsc();
}

static inline void moat_bench_stop(struct moat_bench_run *run)
{
	extern uint64_t moat_bench_overhead;
	uint64_t t = moat_bench_tsc() - run->started;

	run->timed += t > moat_bench_overhead ? t - moat_bench_overhead : 0;
}

/** Keep the compiler from dropping a result, or from knowing it. */
static inline void moat_bench_use(uint64_t v)
{
	__asm__ volatile("" : : "r"(v) : "memory");
}

/** The same pseudo-random numbers in every run (splitmix64). */
static inline uint64_t moat_bench_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

#ifdef __cplusplus
}
#endif

#endif /* MOAT_BENCH_H */
