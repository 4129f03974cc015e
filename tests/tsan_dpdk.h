/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * In front of every source in a build for ThreadSanitizer (tests/suites/tsan.sh): DPDK's rings,
 * locks and reference counts as it can see them. It sees no fences, so the rings are those of
 * RTE_USE_C11_MEM_MODEL, whose orders are in loads and stores. One is missing there: a producer
 * waits with a relaxed load until the one before it has moved the tail, and then moves it itself; a
 * consumer that acquires the later tail takes what both have written. x86, where loads and stores
 * are never reordered so, gives that order; for ThreadSanitizer it is said here.
 *
 * A reference to a buffer is counted down with acquire and release. Whether one reference is left
 * is read relaxed, and its owner writes the mbuf then: no machine lets a store pass the branch on
 * the load before it, but C's memory model does. What is read behind such a look needs a fence: the
 * pool's put has it (B3 in lib/tenant), and buffer_free(); an application that wants to know
 * whether a packet is its alone must have it. The looks of rte_mbuf.h, all its loads, acquire here.
 */
#define RTE_USE_C11_MEM_MODEL
/* A source that defines it does so behind the headers that are included here. */
#ifndef ALLOW_EXPERIMENTAL_API
#define ALLOW_EXPERIMENTAL_API
#endif
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
#include <rte_mbuf_core.h>
#include <rte_mempool.h>
#define __atomic_load_n(at, order) __atomic_load_n(at, __ATOMIC_ACQUIRE)
#include <rte_mbuf.h>
#undef __atomic_load_n
/* As DPDK's, which is in a library, where ThreadSanitizer sees no reference being counted down. */
static inline void tsan_pktmbuf_free_bulk(struct rte_mbuf **pkts, unsigned int n)
{
	struct rte_mbuf *back[64], *m, *next;
	unsigned int k = 0;

	for (unsigned int i = 0; i < n; i++) {
		for (m = pkts[i]; m != NULL; m = next) {
			next = m->next;
			m = rte_pktmbuf_prefree_seg(m);
			if (m == NULL)
				continue;
			if (k == RTE_DIM(back) || (k != 0 && back[0]->pool != m->pool)) {
				rte_mempool_put_bulk(back[0]->pool, (void **)back, k);
				k = 0;
			}
			back[k++] = m;
		}
	}
	if (k != 0)
		rte_mempool_put_bulk(back[0]->pool, (void **)back, k);
}
#define rte_pktmbuf_free_bulk tsan_pktmbuf_free_bulk
#endif
#endif
