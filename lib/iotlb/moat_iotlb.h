/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_IOTLB_H
#define MOAT_IOTLB_H

/**
 * @file
 * The shadow IOTLB: what a device would reach at an IOVA, as a virtual address, in a few cycles.
 *
 * A hardware IOTLB is a cache because its walker is far from memory. The processor's is not: the
 * shadow is a direct index over the page table itself (struct moat_pt_granule, one for 2 MiB), so
 * the permission checked is the one the unit would find *now*, an unmap needs no broadcast to
 * per-lcore copies, and a look-up costs two loads. Only what the index cannot say (IOVAs beyond
 * its window) is a *miss* and walks the radix tree.
 *
 * What keeps a translation valid after the look-up is the one invariant: the caller's lcore is a
 * registered reader of the domain, and an unmap's ticket is done only when every reader has passed
 * a quiescent state since. So: translate, use, and only then report quiescence.
 */

#include "moat_pt.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One lcore's view of one domain's table, and its counters. Not shared between threads. */
struct moat_iotlb {
	const struct moat_pt *pt;
	uint64_t hits;   /* answered by the index */
	uint64_t misses; /* answered by a walk */
	uint64_t faults; /* not mapped, or permission missing: what the unit would have blocked */
};

void moat_iotlb_init(struct moat_iotlb *tlb, const struct moat_pt *pt);

/** The slow path: ranges that cross pages, mixed granules, beyond the
 * window, faults. */
void *moat_iotlb_translate_slow(struct moat_iotlb *tlb, uint64_t iova, uint32_t len,
	enum moat_prot prot);

/**
 * The virtual address of [iova, iova + len) if a device could do `prot` on all of it and it is
 * contiguous in virtual memory; NULL otherwise.
 * Valid until the calling lcore's next quiescent state. Data path.
 */
static inline void *moat_iotlb_translate(struct moat_iotlb *tlb, uint64_t iova, uint32_t len,
	enum moat_prot prot);

/**
 * Translate `n` (at most 64) requests of `len` bytes each. va[i] is NULL where refused.
 * @return bit i set: request i was translated.
 * The widest instruction set of the machine is used; the answers are the same with each. Data path.
 */
uint64_t moat_iotlb_translate_bulk(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[]);

static inline void *moat_iotlb_translate(struct moat_iotlb *tlb, uint64_t iova, uint32_t len,
	enum moat_prot prot)
{
	const struct moat_pt *pt = tlb->pt;
	uint64_t g = iova >> MOAT_2M_SHIFT;

	if (likely(g < pt->nr_granules && (iova & MOAT_PAGE_MASK) + len <= MOAT_PAGE_SIZE)) {
		const struct moat_pt_granule *granule = &pt->granules[g];
		/* Each acquire keeps the next load behind it: words, entry, words again (see
		 * struct moat_pt_granule for why equality then proves that they belong together). */
		uintptr_t entries = atomic_load_explicit(&granule->entries, memory_order_acquire);
		uintptr_t delta = atomic_load_explicit(&granule->delta, memory_order_acquire);
		uint64_t i = (iova >> MOAT_PAGE_SHIFT) & 511 & ((entries & MOAT_PT_SUPER) - 1);

		if (likely(entries != 0 && !(delta & MOAT_PT_MIXED))) {
			const uint64_t *e = (const uint64_t *)(entries & ~MOAT_PT_SUPER) + i;
			uint64_t pte = __atomic_load_n(e, __ATOMIC_ACQUIRE);

			if (likely((pte & prot) == (uint64_t)prot &&
				    atomic_load_explicit(&granule->entries, memory_order_acquire) ==
					    entries &&
				    atomic_load_explicit(&granule->delta, memory_order_relaxed) ==
					    delta)) {
				tlb->hits++;
				return (void *)(iova + delta);
			}
		}
	}
	return moat_iotlb_translate_slow(tlb, iova, len, prot);
}

#ifdef __cplusplus
}
#endif

#endif /* MOAT_IOTLB_H */
