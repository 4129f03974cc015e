/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_IOTLB_H
#define MOAT_IOTLB_H

/**
 * @file
 * The shadow IOTLB: what a device would reach at an IOVA, as a virtual address, in a few cycles.
 *
 * A hardware IOTLB is a cache because the unit is far from memory. The processor is not, so the
 * shadow is a direct index over the page table itself (struct moat_pt_granule, one for 2 MiB). The
 * permission checked is the one that the unit would find *now*, an unmap needs no broadcast to
 * per-lcore copies, and a look-up reads two cache lines. A request that needs a walk of the radix
 * tree from the root, as an IOVA beyond the index does, is a *miss*.
 *
 * The one invariant keeps a translation valid after the look-up: the caller's lcore must be a
 * registered reader of the domain, and an unmap's ticket is done only when every reader has passed
 * a quiescent state since. So translate, use, and only then report quiescence.
 */

#include "moat_assert.h"
#include "moat_counter.h"
#include "moat_pt.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** One lcore's view of one domain's table, and its counters. Not shared between threads. */
struct moat_iotlb {
	const struct moat_pt *pt;
	const struct moat_pt_granule *granules; /* pt's window, as last loaded */
	uint64_t nr_granules;
	uint64_t hits;   /* requests translated without a walk from the root */
	uint64_t misses; /* requests translated with such a walk */
	uint64_t faults; /* requests refused: see moat_iotlb_translate() */
	bool offline;    /* the view's lane is not a reader now; false after moat_iotlb_init() */
};

/**
 * Start a view of a table, with counters at 0.
 *
 * @param tlb the view; belongs to one thread at a time
 * @param pt the table; must outlive the view
 *
 * Control path.
 */
void moat_iotlb_init(struct moat_iotlb *tlb, const struct moat_pt *pt);

/**
 * Look up one IOVA in the index alone, without counting.
 *
 * @param tlb the calling thread's view
 * @param iova any IOVA
 * @param prot what the device wants to do
 * @param va receives the virtual address; valid until the thread's next quiescent state
 * @return true: translated; false: the index has no answer, but the table may map the IOVA
 *
 * The caller must be a registered reader of the domain. Data path.
 */
static inline bool moat_iotlb_index(const struct moat_iotlb *tlb, uint64_t iova,
	enum moat_prot prot, void **va)
{
	const struct moat_pt_granule *granule = &tlb->granules[iova >> MOAT_2M_SHIFT];
	uint64_t want = (uint64_t)prot | MOAT_PT_LIN; /* both formats have the same bits */
	uintptr_t table, delta;
	const uint64_t *e;

	if (unlikely(iova >> MOAT_2M_SHIFT >= tlb->nr_granules))
		return false;
	/* Each acquire keeps the next load behind it: table, delta, entry, delta again. The comment
	 * on struct moat_pt_granule says why these then belong together. */
	table = atomic_load_explicit(&granule->table, memory_order_acquire);
	if (unlikely(table == 0))
		return false;
	delta = atomic_load_explicit(&granule->delta, memory_order_acquire);
	e = (const uint64_t *)(table & MOAT_PT_TABLE) + ((iova >> (table & MOAT_PT_SHIFT)) & 511);
	if (unlikely((__atomic_load_n(e, __ATOMIC_ACQUIRE) & want) != want ||
		    /* relaxed: the acquire keeps this load behind the entry's */
		    atomic_load_explicit(&granule->delta, memory_order_relaxed) != delta))
		return false;
	*va = (void *)(iova + delta);
	return true;
}

/**
 * Prefetch where a map, an unmap or a look-up of an IOVA begins: the table's head and the granule.
 *
 * @param tlb the calling thread's view; it is only read
 * @param iova any IOVA
 *
 * Thread safety: as moat_iotlb_translate(). Data path.
 */
static inline void moat_iotlb_prefetch(const struct moat_iotlb *tlb, uint64_t iova)
{
	__builtin_prefetch(tlb->pt);
	if (likely(iova >> MOAT_2M_SHIFT < tlb->nr_granules))
		__builtin_prefetch(&tlb->granules[iova >> MOAT_2M_SHIFT]);
}

/**
 * Find the address of the table's entry for an IOVA, for a prefetch. The entry must not be read
 * through it, because the table may be gone.
 *
 * @param tlb the calling thread's view; it is only read
 * @param iova any IOVA
 * @return the entry's address, meaningless if the granule has no table; NULL: beyond the index
 *
 * Thread safety: as moat_iotlb_translate(). Data path.
 */
static inline const void *moat_iotlb_entries(const struct moat_iotlb *tlb, uint64_t iova)
{
	uintptr_t table;

	if (unlikely(iova >> MOAT_2M_SHIFT >= tlb->nr_granules))
		return NULL;
	/* relaxed: an address to prefetch, not to read */
	table = atomic_load_explicit(&tlb->granules[iova >> MOAT_2M_SHIFT].table,
		memory_order_relaxed);
	return (const uint64_t *)(table & MOAT_PT_TABLE) +
		((iova >> (table & MOAT_PT_SHIFT)) & 511);
}

/**
 * The slow path of moat_iotlb_translate(), for ranges that cross pages, pages at unrelated virtual
 * addresses, IOVAs beyond the window, and faults. Gives the same answers, but callers should use
 * moat_iotlb_translate().
 *
 * @param tlb as in moat_iotlb_translate()
 * @param iova as in moat_iotlb_translate()
 * @param len as in moat_iotlb_translate()
 * @param prot as in moat_iotlb_translate()
 * @return as moat_iotlb_translate()
 *
 * The calling thread must be a registered reader of the domain. Data path.
 */
void *moat_iotlb_translate_slow(struct moat_iotlb *tlb, uint64_t iova, uint32_t len,
	enum moat_prot prot);

/**
 * Translate one request, as the unit would translate a device's.
 *
 * @param tlb the calling thread's view
 * @param iova first IOVA
 * @param len bytes
 * @param prot what the device wants to do
 * @return the virtual address, valid until the thread's next quiescent state; NULL: a device may
 *   not do that on all of [iova, iova + len), or the range is not contiguous in virtual memory, or
 *   was mapped without a virtual address
 *
 * The caller must be a registered reader of the domain. Data path.
 */
static inline void *moat_iotlb_translate(struct moat_iotlb *tlb, uint64_t iova, uint32_t len,
	enum moat_prot prot)
{
	void *va;

	MOAT_ASSERT(!tlb->offline,
		"a lane that is offline must not translate; call moat_lane_online() first");
	if (likely((iova & MOAT_PAGE_MASK) + len <= MOAT_PAGE_SIZE &&
		    moat_iotlb_index(tlb, iova, prot, &va))) {
		moat_counter_add(&tlb->hits, 1);
		return va;
	}
	return moat_iotlb_translate_slow(tlb, iova, len, prot);
}

/**
 * Translate several requests of the same length. Uses the processor's fastest instruction set; the
 * answers do not depend on it.
 *
 * @param tlb the calling thread's view
 * @param iova the first IOVA of each request
 * @param len bytes of each request
 * @param n requests, at most 64
 * @param prot what the device wants to do
 * @param va receives the virtual addresses; NULL for each request that was refused
 * @return a bit for each request: bit i is set if request i was translated. If there are more than
 *   64 requests: 0, every va[i] is NULL, and moat_error_text() says why.
 *
 * The caller must be a registered reader of the domain. Data path.
 */
uint64_t moat_iotlb_translate_bulk(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[]);

/**
 * The instruction set of moat_iotlb_translate_bulk(), the fastest on this processor.
 *
 * @return "scalar", "sse4.2", "avx2" or "avx512"; static. Any thread, control path.
 */
const char *moat_iotlb_isa(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_IOTLB_H */
