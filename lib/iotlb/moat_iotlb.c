/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include "moat_iotlb.h"

void moat_iotlb_init(struct moat_iotlb *tlb, const struct moat_pt *pt)
{
	*tlb = (struct moat_iotlb){ .pt = pt };
}

/* The virtual address at `iova`, and in `*left` how many bytes from there on the answer holds.
 * `*walked` is set where the index had none. */
static void *resolve(const struct moat_pt *pt, uint64_t iova, enum moat_prot prot, uint64_t *left,
	bool *walked)
{
	struct moat_pt_leaf leaf;
	void *va = moat_iotlb_index(pt, iova, prot);

	*left = MOAT_PAGE_SIZE - (iova & MOAT_PAGE_MASK);
	if (va != NULL)
		return va;
	*walked = true;
	if (moat_pt_walk_va(pt, iova, &leaf, &va) != 0 || (leaf.entry & prot) != (uint64_t)prot)
		return NULL;
	*left = leaf.size - (iova & (leaf.size - 1));
	return va;
}

void *moat_iotlb_translate_slow(struct moat_iotlb *tlb, uint64_t iova, uint32_t len,
	enum moat_prot prot)
{
	uint64_t left, done;
	bool walked = false;
	char *first = resolve(tlb->pt, iova, prot, &left, &walked);

	/* A request ends where the address space does, and is contiguous in virtual memory. */
	if (first == NULL || (len > 0 && iova + len - 1 < iova))
		goto fault;
	for (done = left; done < len; done += left)
		if (resolve(tlb->pt, iova + done, prot, &left, &walked) != first + done)
			goto fault;
	if (walked)
		tlb->misses++;
	else
		tlb->hits++;
	return first;
fault:
	tlb->faults++;
	return NULL;
}

uint64_t moat_iotlb_translate_bulk(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[])
{
	uint64_t translated = 0;

	for (unsigned int i = 0; i < n; i++) {
		va[i] = moat_iotlb_translate(tlb, iova[i], len, prot);
		translated |= (uint64_t)(va[i] != NULL) << i;
	}
	return translated;
}
