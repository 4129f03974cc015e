/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef IOTLB_BULK_H
#define IOTLB_BULK_H

/**
 * @file Look-ups in bulk, one implementation for each instruction set. All give the same answers
 * and count alike.
 *
 * The vector variants differ from single look-ups in two ways. A request is *plain* if it lies in
 * the granules' window and in one 4 KiB page; vector operations test several requests at once for
 * that. And instead of loading each delta a second time, they compare `moves` once for all requests
 * (struct moat_pt_granule).
 */

#include "moat_iotlb.h"

typedef uint64_t iotlb_bulk_fn(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[]);

struct iotlb_bulk {
	const char *name;
	bool (*supported)(void);
	iotlb_bulk_fn *fn;
};
extern const struct iotlb_bulk iotlb_bulk_avx512, iotlb_bulk_avx2, iotlb_bulk_sse42,
	iotlb_bulk_scalar;
extern const struct iotlb_bulk *const iotlb_bulk_variants[]; /* best first, NULL at the end */
extern const struct iotlb_bulk *iotlb_bulk;                  /* the best that this machine has */

/** Always inlined: GCC by itself rarely inlines into a function with another target attribute. */
#define IOTLB_INLINE static inline __attribute__((always_inline))

/** A mask of the lowest `n` bits, which stand for all requests. */
IOTLB_INLINE uint64_t iotlb_bulk_all(unsigned int n)
{
	return n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

/** Take the slow path for the requests in `left`, which the index could not answer. All `n` have
 * been counted as hits before. @return as moat_iotlb_translate_bulk(), for all `n` */
uint64_t iotlb_bulk_rest(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[], uint64_t left);

#endif /* IOTLB_BULK_H */
