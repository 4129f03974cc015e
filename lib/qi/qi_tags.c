/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Encode a gather for a list of tags. IOTLBs come first: a device that has dropped a translation
 * may request it again at once, and must not get it from the unit's IOTLB (VT-d specification
 * 6.5.2, device-TLB invalidation: the IOTLB is invalidated before).
 */

#include <rte_branch_prediction.h>

#include "moat_qi.h"
#include "qi_impl.h"

/* The order that invalidates a whole device TLB: 2^52 pages. */
#define DEVICE_TLB_ALL 52u

/* The descriptor for the block of 2^order pages that holds `page`. ATS encodes the size in S and in
 * the lowest clear bit of the address from 12 up. */
static struct moat_qi_desc device_tlb(moat_tag_t tag, uint64_t page, unsigned int order)
{
	uint64_t iova = page >> order << order << MOAT_PAGE_SHIFT;

	if (order != 0)
		iova |= (UINT64_C(1) << (order - 1 + MOAT_PAGE_SHIFT)) - MOAT_PAGE_SIZE;
	if (MOAT_TAG_HAS_PASID(tag))
		return moat_qi_pasid_device_tlb(MOAT_TAG_ID(tag), MOAT_TAG_PASID(tag), false,
			MOAT_TAG_MAX_PENDING(tag), iova, order != 0, MOAT_TAG_PFSID(tag));
	return moat_qi_device_tlb(MOAT_TAG_ID(tag), MOAT_TAG_MAX_PENDING(tag), iova, order != 0,
		MOAT_TAG_PFSID(tag));
}

/* Order of the smallest aligned block that holds pages `a` to `b`, both included. */
static unsigned int block_order(uint64_t a, uint64_t b)
{
	return a == b ? 0 : 64 - (unsigned int)__builtin_clzll(a ^ b);
}

static unsigned int device_tlb_encode(moat_tag_t tag, const struct moat_gather *g,
	struct moat_qi_desc desc[], unsigned int max)
{
	if (g == NULL || g->whole || g->n == 0 || g->n > max || (tag & MOAT_TAG_WHOLE) != 0) {
		desc[0] = device_tlb(tag, 0, DEVICE_TLB_ALL);
		return 1;
	}
	for (uint32_t i = 0; i < g->n; i++) {
		uint64_t a = g->run[i].iova >> MOAT_PAGE_SHIFT;
		uint64_t b = a + (g->run[i].len >> MOAT_PAGE_SHIFT) - 1;

		desc[i] = device_tlb(tag, a, block_order(a, b));
	}
	return g->n;
}

static unsigned int iotlb_encode(moat_tag_t tag, const struct moat_gather *g,
	const struct moat_qi_caps *caps, struct moat_qi_desc desc[], unsigned int max)
{
	uint16_t did = MOAT_TAG_ID(tag);
	uint32_t pasid = MOAT_TAG_PASID(tag);

	if (likely(g != NULL && !MOAT_TAG_HAS_PASID(tag)))
		return moat_gather_encode(g, caps, did, desc, max);
	if (g != NULL)
		return qi_gather_encode(g, caps,
			moat_qi_pasid_iotlb(did, pasid, false, 0, 0, !g->tables),
			moat_qi_pasid_iotlb(did, pasid, true, 0, 0, false), desc, max);
	if (MOAT_TAG_HAS_PASID(tag))
		desc[0] = moat_qi_pasid_iotlb(did, pasid, true, 0, 0, false);
	else
		desc[0] = moat_qi_iotlb_domain(did);
	return 1;
}

/* Any number of tags, of any kind. */
static __rte_noinline unsigned int tags_encode(const moat_tag_t tags[], unsigned int n,
	const struct moat_gather *g, const struct moat_qi_caps *caps, struct moat_qi_desc desc[],
	unsigned int max)
{
	unsigned int used = 0, left = n; /* tags still to come: keep room for one descriptor each */

	for (enum moat_tag_kind kind = MOAT_TAG_IOTLB; kind <= MOAT_TAG_DEVICE_TLB; kind++) {
		for (unsigned int i = 0; i < n; i++) {
			unsigned int room = max - used - (left - 1);

			if (MOAT_TAG_KIND(tags[i]) != kind)
				continue;
			if (kind == MOAT_TAG_IOTLB)
				used += iotlb_encode(tags[i], g, caps, desc + used, room);
			else
				used += device_tlb_encode(tags[i], g, desc + used, room);
			left--;
		}
	}
	return used;
}

unsigned int moat_tags_encode(const moat_tag_t tags[], unsigned int n, const struct moat_gather *g,
	const struct moat_qi_caps *caps, struct moat_qi_desc desc[], unsigned int max)
{
	/* The usual domain: one tag, an IOTLB's, without a PASID. */
	if (likely(n == 1 && MOAT_TAG_KIND(tags[0]) == MOAT_TAG_IOTLB &&
		    !MOAT_TAG_HAS_PASID(tags[0]) && g != NULL))
		return moat_gather_encode(g, caps, MOAT_TAG_ID(tags[0]), desc, max);
	return tags_encode(tags, n, g, caps, desc, max);
}
