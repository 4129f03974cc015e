/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Included before every source in a build for ThreadSanitizer (tests/suites/tsan.sh): DPDK's rings,
 * locks and reference counts in a form that it understands. It does not see fences, so the rings
 * are those of RTE_USE_C11_MEM_MODEL, which have the orders in loads and stores. One order is
 * missing there: a producer waits with a relaxed load until the producer before it has moved the
 * tail, and then moves the tail itself; a consumer that acquires the later tail takes what both
 * have written. x86 gives that order, because it does not reorder these loads and stores; for
 * ThreadSanitizer the load is an acquire here.
 *
 * A reference to a buffer is counted down with acquire and release. But code reads relaxed whether
 * one reference is left, and then writes the mbuf. No machine lets a store pass the branch on the
 * load before it, but C's memory model does. Reads of the mbuf after such a check need a fence:
 * the pool's put (B3 in lib/tenant) and buffer_free() have one. An application that checks whether
 * it alone has a packet needs one, too. Here all loads in rte_mbuf.h are acquires.
 */
#define RTE_USE_C11_MEM_MODEL
/* A source's own definition comes later and is the same. */
#ifndef ALLOW_EXPERIMENTAL_API
#define ALLOW_EXPERIMENTAL_API
#endif
/* Spinlocks and other atomics by the compiler's builtins, not in assembly. */
#define RTE_FORCE_INTRINSICS 1
/* gcc warns about each fence that ThreadSanitizer does not see. tests/tsan.supp lists what only a
 * fence orders. */
#pragma GCC diagnostic ignored "-Wtsan"
/* The headers are not found while meson checks the compiler's features. */
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
/* As DPDK's function, which is in a library, where ThreadSanitizer does not see reference
 * counts. */
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
