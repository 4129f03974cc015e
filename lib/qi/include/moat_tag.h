/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TAG_H
#define MOAT_TAG_H

/**
 * @file
 * A cache tag names one cache that may hold translations of a domain, as an invalidation names it.
 *
 * Two attachments with the same tag share the cached translations, so one invalidation serves both.
 * There are two kinds:
 *  - an IOTLB tag is a domain-id on one unit, and a PASID where translations are cached by PASID
 *    (first-stage tables; second-stage ones are cached by domain-id alone);
 *  - a device-TLB tag is a device that caches translations itself (ATS), and a PASID or none. For a
 *    device of a nested domain, the parent has such a tag that is *whole*: the device caches by the
 *    child's IOVAs, so an unmap of the parent's addresses must invalidate the whole device TLB.
 *
 * A tag is one word, so that a thread can load it in one piece while another thread changes the
 * array of tags. 0: no tag.
 */

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef uint64_t moat_tag_t;

/** What a device says about its TLB. */
struct moat_device_tlb {
	bool present;        /* ATS is on; otherwise the other members are not used */
	uint8_t max_pending; /* invalidations it takes at once (ATS queue depth, 0 to 31) */
	uint16_t pfsid;      /* source-id of the device's physical function */
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
