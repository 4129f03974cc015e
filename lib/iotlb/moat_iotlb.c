/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <string.h>

#include "iotlb_bulk.h"

void moat_iotlb_init(struct moat_iotlb *tlb, const struct moat_pt *pt)
{
	*tlb = (struct moat_iotlb){ .pt = pt };
	tlb->granules = moat_pt_window(pt, &tlb->nr_granules);
}

/* ------------------------------------------------------------------------------- slow path */

/* The virtual address at `iova`; NULL: refused. `*left` receives the number of bytes from `iova` on
 * for which the answer holds. `*walked` is set to true if a walk from the root was needed. */
static void *resolve(const struct moat_iotlb *tlb, uint64_t iova, enum moat_prot prot,
	uint64_t *left, bool *walked)
{
	struct moat_pt_leaf leaf;
	void *va;

	*left = MOAT_PAGE_SIZE - (iova & MOAT_PAGE_MASK);
	if (moat_iotlb_index(tlb, iova, prot, &va))
		return va;
	if (moat_pt_find(tlb->pt, iova, &leaf, &va, walked) != 0 ||
		(leaf.entry & prot) != (uint64_t)prot)
		return NULL;
	*left = leaf.size - (iova & (leaf.size - 1));
	return va;
}

void *moat_iotlb_translate_slow(struct moat_iotlb *tlb, uint64_t iova, uint32_t len,
	enum moat_prot prot)
{
	uint64_t left, done;
	bool walked = false;
	char *first;

	if (unlikely(iova >> MOAT_2M_SHIFT >= tlb->nr_granules)) /* the window may have grown */
		tlb->granules = moat_pt_window(tlb->pt, &tlb->nr_granules);
	first = resolve(tlb, iova, prot, &left, &walked);

	/* A request must not wrap around, and must be contiguous in virtual memory. */
	if (first == NULL || (len > 0 && iova + len - 1 < iova))
		goto fault;
	for (done = left; done < len; done += left)
		if (resolve(tlb, iova + done, prot, &left, &walked) != first + done)
			goto fault;
	if (walked)
		moat_counter_add(&tlb->misses, 1);
	else
		moat_counter_add(&tlb->hits, 1);
	return first;
fault:
	moat_counter_add(&tlb->faults, 1);
	return NULL;
}

/* ------------------------------------------------------------------------------------ bulk */

/* Translate requests one by one. The vector variants call it if `moves` changed while they read;
 * all but AVX-512 also call it for a burst that is not plain. */
static uint64_t bulk_scalar(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[])
{
	uint64_t translated = 0;

	for (unsigned int i = 0; i < n; i++) {
		va[i] = moat_iotlb_translate(tlb, iova[i], len, prot);
		translated |= (uint64_t)(va[i] != NULL) << i;
	}
	return translated;
}

static bool always(void)
{
	return true;
}

const struct iotlb_bulk iotlb_bulk_scalar = { "scalar", always, bulk_scalar };

uint64_t iotlb_bulk_rest(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[], uint64_t left)
{
	uint64_t translated = iotlb_bulk_all(n);

	moat_counter_add(&tlb->hits, -(uint64_t)(unsigned int)__builtin_popcountll(left));
	for (; left != 0; left &= left - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(left);

		va[i] = moat_iotlb_translate_slow(tlb, iova[i], len, prot);
		if (va[i] == NULL)
			translated &= ~(UINT64_C(1) << i);
	}
	return translated;
}

const struct iotlb_bulk *const iotlb_bulk_variants[] = {
#if !defined(__SANITIZE_THREAD__) /* ThreadSanitizer does not see gathers */
	&iotlb_bulk_avx512,
#endif
	&iotlb_bulk_avx2,
	&iotlb_bulk_sse42,
	&iotlb_bulk_scalar,
	NULL,
};
const struct iotlb_bulk *iotlb_bulk = &iotlb_bulk_scalar;

__attribute__((constructor)) static void choose(void)
{
	const struct iotlb_bulk *const *v = iotlb_bulk_variants;

	while (!(*v)->supported())
		v++;
	iotlb_bulk = *v;
}

const char *moat_iotlb_isa(void)
{
	return iotlb_bulk->name;
}

/* The returned word has bits for only 64 requests. */
static __rte_noinline uint64_t bulk_too_many(unsigned int n, void *va[])
{
	memset((void *)va, 0, n * sizeof(va[0]));
	moat_error(-EINVAL, "%u translations in one call: at most 64, split them", n);
	return 0;
}

uint64_t moat_iotlb_translate_bulk(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[])
{
	MOAT_ASSERT(!tlb->offline,
		"a lane that is offline must not translate; call moat_lane_online() first");
	if (unlikely(n > 64))
		return bulk_too_many(n, va);
	return iotlb_bulk->fn(tlb, iova, len, n, prot, va);
}
