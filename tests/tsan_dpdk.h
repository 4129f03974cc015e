/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * In front of every source in a build for ThreadSanitizer (tests/suites/tsan.sh): DPDK's rings and
 * locks as it can see them. It sees no fences, so the rings are those of RTE_USE_C11_MEM_MODEL,
 * whose orders are in loads and stores. One is missing there: a producer waits with a relaxed load
 * until the one before it has moved the tail, and then moves it itself; a consumer that acquires
 * the later tail takes what both have written. x86, where loads and stores are never reordered so,
 * gives that order; for ThreadSanitizer it is said here.
 */
#define RTE_USE_C11_MEM_MODEL
/* Spinlocks and the like by the compiler's atomics, not in assembly. */
#define RTE_FORCE_INTRINSICS 1
/* gcc says of each fence that ThreadSanitizer does not see it: tests/tsan.supp has what is ordered
 * by one alone. */
#pragma GCC diagnostic ignored "-Wtsan"
/* Not there while meson asks the compiler what it can do. */
#if defined(__has_include)
#if __has_include(<rte_pause.h>)
#include <rte_pause.h>
#define rte_wait_until_equal_32(at, expected, order) \
	rte_wait_until_equal_32(at, expected, __ATOMIC_ACQUIRE)
#endif
#endif
