/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_BENCH_H
#define MOAT_BENCH_H

/**
 * @file
 * Benches in C under Google Benchmark.
 *
 * A bench has a name, and a function that does its work `n` times. Write one file for each area,
 * list it in bench/meson.build, and register the benches in it:
 *
 *     static void one(struct moat_bench_run *run, uint64_t n) { ... n times ... }
 *     MOAT_BENCH(qi_one) = { .name = "qi/submit/contiguous", .setup = ..., .body = one,
 *                            .args = { 1, 64 }, .items_per_arg = true };
 *
 * This registers `qi/submit/contiguous/1` and `qi/submit/contiguous/64`.
 *
 * The figure is the counter `cycles`: TSC cycles per item, the median over many calls of the body
 * of some 20 microseconds each. A median leaves out the calls in which the kernel ran something
 * else; `cycles_mean` includes them. `cycles_alone` is the median of the calls during which this
 * process had the core alone, and `alone` their share of all calls; both are 0 if there were none.
 * On virtual machines, and with hyperthreads, a busy neighbour on the same core takes up to half of
 * it; a probe before and after each call detects that. (Google Benchmark's own times include all of
 * the body, also the parts outside moat_bench_start() and moat_bench_stop().)
 */

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOAT_BENCH_ARGS 12

/** One thread of one run of a bench, as its functions see it. */
struct moat_bench_run {
	int64_t arg;         /* the argument of this run; 0 for a bench without arguments */
	const void *param;   /* `param` of the bench */
	void *ctx;           /* set by setup(), shared by the threads */
	unsigned int thread; /* 0 to threads - 1 */
	unsigned int threads;
	uint64_t items; /* per iteration; setup() or body() may change it */
	/* private to the harness */
	uint64_t started;
	uint64_t timed;
	bool sections;
};

struct moat_bench {
	const char *name;
	const void *param; /* distinguishes this bench from others with the same functions */
	/** Called once a run, on thread 0, before any body. May be NULL. @return 0, or negative:
	 * the run is skipped, and moat_bench_skip()'s text is printed */
	int (*setup)(struct moat_bench_run *run);
	/** Do the work `n` times. Called by every thread, many times a run. */
	void (*body)(struct moat_bench_run *run, uint64_t n);
	/** Called once a run, on thread 0, after all bodies. May be NULL. */
	void (*teardown)(struct moat_bench_run *run);
	int64_t args[MOAT_BENCH_ARGS]; /* a run for each, up to the first 0; all 0: one run */
	bool items_per_arg;            /* items = arg; otherwise `items`, or 1 */
	uint64_t items;
	unsigned int threads;    /* 0: one, and no "/threads:1" in the name */
	uint64_t batch;          /* iterations of each call; 0: as many as take 20 us.
	                                * Must not be 0 if `threads` is not 0 */
	struct moat_bench *next; /* private to the harness */
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

/** Set the reason for which setup() fails: `return moat_bench_skip("no ...");`.
 * @return a negative number */
int moat_bench_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Start DPDK's EAL, for benches that need it, without hugepages and files. Later calls do
 * nothing. @return 0 or negative */
int moat_bench_eal(void);

/** Pin the calling thread to the i-th of the allowed processors, cyclically. The harness pins
 * thread `i` of a run so. Threads that setup() starts should use numbers from run->threads on. */
void moat_bench_pin(unsigned int i);

/** @return the TSC's frequency in Hz */
uint64_t moat_bench_tsc_hz(void);

/** @return the TSC. The measured work cannot move across the time stamp. */
static inline uint64_t moat_bench_tsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

/** Time only the code between start and stop, for a body that also prepares or repairs. */
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

/** Keep the compiler from dropping a result, or from computing it in advance. */
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
