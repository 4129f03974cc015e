/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef IOTLB_PLAIN_H
#define IOTLB_PLAIN_H

/**
 * @file Plain requests (iotlb_bulk.h) answered by scalar loads. The variants for SSE4.2 and AVX2
 * use this once their vector tests have shown that all requests are plain; it is compiled into each
 * with that variant's instruction set.
 */

#include "iotlb_bulk.h"

/* (iova >> 21) * sizeof(struct moat_pt_granule) is (iova >> 17) & ~15 */
#define IOTLB_GRANULE_SHIFT 17u

/** Is one request plain? `len` must be 1 to MOAT_PAGE_SIZE. */
IOTLB_INLINE bool iotlb_is_plain(const struct moat_iotlb *tlb, uint64_t iova, uint32_t len)
{
	return iova >> MOAT_2M_SHIFT < tlb->nr_granules &&
		(iova & MOAT_PAGE_MASK) + len <= MOAT_PAGE_SIZE;
}

/** Translate one request by the index. False: the index has no answer. `shift` is
 * IOTLB_GRANULE_SHIFT and `low` is MOAT_PAGE_MASK, passed so that the caller can keep them in
 * registers. */
IOTLB_INLINE bool iotlb_plain_one(const struct moat_pt_granule *granules, uint64_t iova,
	uint64_t shift, uint64_t low, uint64_t want, void **va)
{
	const struct moat_pt_granule *granule =
		(const struct moat_pt_granule *)((uintptr_t)granules +
			((iova >> shift) & ~UINT64_C(15)));
	/* acquire: `table` before `delta`, as in moat_iotlb_index() */
	uintptr_t table = atomic_load_explicit(&granule->table, memory_order_acquire);
	uint64_t i = (iova >> (table & MOAT_PT_SHIFT)) & 511;

	/* iova += granule->delta, in one instruction, which compilers do not emit for an atomic
	 * load. The "memory" clobber keeps the compiler from reordering it with the loads around
	 * it; x86 does not reorder loads. */
	__asm__ volatile("addq %1, %0" : "+r"(iova) : "m"(granule->delta) : "memory", "cc");
	*va = (void *)iova;
	if (unlikely(table == 0))
		return false;
	return likely(
		(want & ~__atomic_load_n((const uint64_t *)(table & ~low) + i, __ATOMIC_ACQUIRE)) ==
		0);
}

/** Translate up to four requests by the index. @return a bit for each that it does not answer */
static __rte_noinline uint64_t iotlb_plain_some(const struct moat_pt_granule *granules,
	const uint64_t iova[], uint64_t want, void *va[], unsigned int n)
{
	uint64_t left = 0;

	for (unsigned int i = 0; i < n; i++)
		left |= (uint64_t)!iotlb_plain_one(granules, iova[i], IOTLB_GRANULE_SHIFT,
				MOAT_PAGE_MASK, want, &va[i])
			<< i;
	return left;
}

/** Translate all requests by the index. @return a bit for each that it does not answer */
IOTLB_INLINE uint64_t iotlb_plain_all(const struct moat_pt_granule *granules, const uint64_t iova[],
	uint64_t shift, uint64_t low, uint64_t want, void *va[], unsigned int n)
{
	uint64_t left = 0;
	unsigned int i = 0;

	for (; i + 4 <= n; i += 4) {
		const uint64_t *from = &iova[i];
		void **to = &va[i];

		if (unlikely(!(iotlb_plain_one(granules, from[0], shift, low, want, &to[0]) &&
			    iotlb_plain_one(granules, from[1], shift, low, want, &to[1]) &&
			    iotlb_plain_one(granules, from[2], shift, low, want, &to[2]) &&
			    iotlb_plain_one(granules, from[3], shift, low, want, &to[3]))))
			left |= iotlb_plain_some(granules, from, want, to, 4) << i;
	}
	if (i < n)
		left |= iotlb_plain_some(granules, &iova[i], want, &va[i], n - i) << i;
	return left;
}

/** A whole bulk look-up, whose requests are all plain. */
IOTLB_INLINE uint64_t iotlb_plain(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	uint64_t shift, uint64_t low, unsigned int n, enum moat_prot prot, void *va[])
{
	/* acquire: deltas loaded below are no older than this count */
	uint64_t moves = atomic_load_explicit(&tlb->pt->moves, memory_order_acquire);
	uint64_t left = iotlb_plain_all(tlb->granules, iova, shift, low,
		(uint64_t)prot | MOAT_PT_LIN, va, n);

	/* relaxed: the acquires of the entries keep it behind them */
	if (unlikely(atomic_load_explicit(&tlb->pt->moves, memory_order_relaxed) != moves))
		return iotlb_bulk_scalar.fn(tlb, iova, len, n, prot, va);
	moat_counter_add(&tlb->hits, n);
	if (likely(left == 0))
		return iotlb_bulk_all(n);
	return iotlb_bulk_rest(tlb, iova, len, n, prot, va, left);
}

#endif /* IOTLB_PLAIN_H */
