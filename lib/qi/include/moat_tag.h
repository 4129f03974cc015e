/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TAG_H
#define MOAT_TAG_H

/**
 * @file
 * A cache tag: one cache that may hold translations of a domain, by what an invalidation of it
 * names.
 *
 * Two attachments with the same tag share the cached translations, so one invalidation serves both.
 * There are two kinds:
 *  - an IOTLB tag is a domain-id on one unit, and a PASID where translations are cached by PASID
 *    (first-stage tables; second-stage ones are cached by domain-id alone);
 *  - a device-TLB tag is a device that caches translations itself (ATS), and a PASID or none. Of a
 *    nested domain's device the parent has one that is *whole*: the device knows what it caches by
 *    the child's IOVAs, so of the parent's addresses nothing less than all can be invalidated.
 *
 * A tag is one word: a thread that loads it has all of it, whatever another thread does to the
 * array that it lies in. 0 stands for none.
 */

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef uint64_t moat_tag_t;

/** What a device says about its TLB. */
struct moat_device_tlb {
	bool present;        /* ATS is on; the rest counts only then */
	uint8_t max_pending; /* invalidations that it takes at once, 0 to 31 (ATS queue depth) */
	uint16_t pfsid;      /* source-id of its physical function */
};

enum moat_tag_kind {
	MOAT_TAG_NONE = 0,
	MOAT_TAG_IOTLB = 1,
	MOAT_TAG_DEVICE_TLB = 2,
};

/* Bits of a tag. `unit` is the domain's number for the unit. */
#define MOAT_TAG_KIND(tag)        ((enum moat_tag_kind)((tag)&3))
#define MOAT_TAG_UNIT(tag)        ((unsigned int)((tag) >> 2 & 7))
#define MOAT_TAG_ID(tag)          ((uint16_t)((tag) >> 5 & 0xffff)) /* domain-id or source-id */
#define MOAT_TAG_HAS_PASID(tag)   (((tag) >> 41 & 1) != 0)
#define MOAT_TAG_PASID(tag)       ((uint32_t)((tag) >> 21 & 0xfffff))
#define MOAT_TAG_MAX_PENDING(tag) ((uint8_t)((tag) >> 42 & 0x1f))
#define MOAT_TAG_PFSID(tag)       ((uint16_t)((tag) >> 47 & 0xffff))
#define MOAT_TAG_WHOLE            (UINT64_C(1) << 63) /* of a device TLB: always invalidate all */

/**
 * The bits of a tag that hold a PASID.
 *
 * @param pasid 20 bits, or MOAT_PASID_NONE
 * @return the bits
 *
 * Thread-safe. Data path.
 */
static inline moat_tag_t moat_tag_pasid(uint32_t pasid)
{
	return pasid == MOAT_PASID_NONE ? 0 : UINT64_C(1) << 41 | (uint64_t)(pasid & 0xfffff) << 21;
}

/**
 * The tag of a domain-id in a unit's IOTLB.
 *
 * @param unit the domain's number for the unit, 0 to 7
 * @param did domain-id
 * @param pasid PASID, or MOAT_PASID_NONE
 * @return the tag
 *
 * Thread-safe. Data path.
 */
static inline moat_tag_t moat_tag_iotlb(unsigned int unit, uint16_t did, uint32_t pasid)
{
	return MOAT_TAG_IOTLB | (moat_tag_t)(unit & 7) << 2 | (moat_tag_t)did << 5 |
		moat_tag_pasid(pasid);
}

/**
 * The tag of a device's own TLB.
 *
 * @param unit the domain's number for the unit, 0 to 7
 * @param sid source-id of the device
 * @param pasid PASID, or MOAT_PASID_NONE
 * @param tlb what the device says about its TLB
 * @return the tag
 *
 * Thread-safe. Data path.
 */
static inline moat_tag_t moat_tag_device_tlb(unsigned int unit, moat_sid_t sid, uint32_t pasid,
	const struct moat_device_tlb *tlb)
{
	return MOAT_TAG_DEVICE_TLB | (moat_tag_t)(unit & 7) << 2 | (moat_tag_t)sid << 5 |
		moat_tag_pasid(pasid) | (moat_tag_t)(tlb->max_pending & 0x1f) << 42 |
		(moat_tag_t)tlb->pfsid << 47;
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_TAG_H */
