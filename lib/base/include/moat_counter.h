/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_COUNTER_H
#define MOAT_COUNTER_H

/**
 * @file
 * Counters that one thread at a time writes (an lcore's own, or those behind a lock) and any thread
 * reads. Adding is a plain load, addition and store, without a locked instruction; a reader may see
 * a slightly old value, but never a torn one.
 */

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Set a counter to `n`.
 *
 * @param counter one thread at a time writes it
 * @param n its new value
 *
 * Thread safety: only the counter's writer may call it. Data path.
 */
static inline void moat_counter_set(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, n, __ATOMIC_RELAXED); /* relaxed: as below */
}

/**
 * Add `n` to a counter.
 *
 * @param counter one thread at a time writes it
 * @param n the increment
 *
 * Thread safety: only the counter's writer may call it. Data path.
 */
static inline void moat_counter_add(uint64_t *counter, uint64_t n)
{
	/* relaxed: a number that orders nothing; the store is atomic so that it is never torn */
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/**
 * Raise a counter to `n` if its value is less.
 *
 * @param counter one thread at a time writes it
 * @param n its new value, unless the counter is larger already
 *
 * Thread safety: only the counter's writer may call it. Data path.
 */
static inline void moat_counter_max(uint64_t *counter, uint64_t n)
{
	if (n > *counter)
		moat_counter_set(counter, n);
}

/**
 * Read a counter.
 *
 * @param counter any
 * @return a value that it has had recently
 *
 * Thread-safe. Data path.
 */
static inline uint64_t moat_counter_get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED); /* relaxed: as above */
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_COUNTER_H */
