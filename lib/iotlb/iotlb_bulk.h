/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef IOTLB_BULK_H
#define IOTLB_BULK_H

/**
 * @file
 * Look-ups in bulk, one implementation for each instruction set. All give the same answers and count
 * the same.
 */

#include "moat_iotlb.h"

typedef uint64_t iotlb_bulk_fn(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[]);

struct iotlb_bulk {
	const char *name;
	bool (*supported)(void);
	iotlb_bulk_fn *fn;
};
extern const struct iotlb_bulk iotlb_bulk_variants[]; /* best first; a NULL name ends them */

/** What the index could not answer, the bits in `left`; the others are counted as hits, and so are
 * these until here. @return the bits translated, of all `n`. */
uint64_t iotlb_bulk_rest(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[], uint64_t left);

#endif /* IOTLB_BULK_H */
