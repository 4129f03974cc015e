/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>
#include <stdio.h>

#include "moat_qi.h"

/*
 * The 128-bit descriptors, as VT-d specification, "Invalidation Descriptors", lays them out. What
 * a layout does not name is reserved and 0.
 */

/* Fields that several kinds share, all of the low quadword. */
#define QI_G(g)     ((uint64_t)(g) << 4)              /* 5:4: granularity */
#define QI_DID(did) ((uint64_t)(uint16_t)(did) << 16) /* 31:16: domain-id */
#define QI_PASID(p) ((uint64_t)((p)&0xfffff) << 32)   /* 51:32 */

/* Of the high quadword of the IOTLB kinds. */
#define QI_ADDR(iova) ((iova) & ~MOAT_PAGE_MASK) /* 63:12 */
#define QI_AM(am)     ((uint64_t)(am)&0x3f)      /* 5:0: address mask */
#define QI_IH(ih)     ((uint64_t) !!(ih) << 6)   /* invalidation hint */

#define QI_CC_SID(sid)  ((uint64_t)(sid) << 32)       /* 47:32 */
#define QI_CC_FM(fm)    ((uint64_t)((fm)&3) << 48)    /* 49:48: function mask */
#define QI_IOTLB_DW     (UINT64_C(1) << 6)            /* drain writes */
#define QI_IOTLB_DR     (UINT64_C(1) << 7)            /* drain reads */
#define QI_IEC_G        (UINT64_C(1) << 4)            /* index-selective */
#define QI_IEC_IM(im)   ((uint64_t)((im)&0x1f) << 27) /* 31:27: index mask */
#define QI_IEC_IIDX(i)  ((uint64_t)(i) << 32)         /* 47:32: interrupt index */
#define QI_WAIT_IF      (UINT64_C(1) << 4)            /* interrupt flag */
#define QI_WAIT_SW      (UINT64_C(1) << 5)            /* status write */
#define QI_WAIT_FN      (UINT64_C(1) << 6)            /* fence */
#define QI_WAIT_DATA(d) ((uint64_t)(d) << 32)         /* 63:32 */

/* Device-TLB kinds. PFSID is split: 15:12 and 63:52. */
#define QI_PFSID(id)     ((uint64_t)((id)&0xf) << 12 | (uint64_t)((id) >> 4) << 52)
#define QI_DEV_MIP(n)    ((uint64_t)((n)&0x1f) << 16) /* 20:16: max invalidations pending */
#define QI_DEV_SID(sid)  ((uint64_t)(sid) << 32)      /* 47:32 */
#define QI_DEV_S         (UINT64_C(1) << 0)
#define QI_PDEV_MIP(n)   ((uint64_t)((n)&0x1f) << 4) /* 8:4 */
#define QI_PDEV_SID(sid) ((uint64_t)(sid) << 16)     /* 31:16 */
#define QI_PDEV_G        (UINT64_C(1) << 0)
#define QI_PDEV_S        (UINT64_C(1) << 11)

struct moat_qi_desc moat_qi_context_global(void)
{
	return (struct moat_qi_desc){ MOAT_QI_CONTEXT | QI_G(MOAT_QI_GLOBAL), 0 };
}

struct moat_qi_desc moat_qi_context_domain(uint16_t did)
{
	return (struct moat_qi_desc){ MOAT_QI_CONTEXT | QI_G(MOAT_QI_DOMAIN) | QI_DID(did), 0 };
}

struct moat_qi_desc moat_qi_context_device(uint16_t did, moat_sid_t sid, uint8_t fm)
{
	return (struct moat_qi_desc){ MOAT_QI_CONTEXT | QI_G(MOAT_QI_DEVICE) | QI_DID(did) |
			QI_CC_SID(sid) | QI_CC_FM(fm),
		0 };
}

struct moat_qi_desc moat_qi_iotlb_global(void)
{
	return (struct moat_qi_desc){
		MOAT_QI_IOTLB | QI_G(MOAT_QI_GLOBAL) | QI_IOTLB_DR | QI_IOTLB_DW, 0
	};
}

struct moat_qi_desc moat_qi_iotlb_domain(uint16_t did)
{
	return (struct moat_qi_desc){
		MOAT_QI_IOTLB | QI_G(MOAT_QI_DOMAIN) | QI_IOTLB_DR | QI_IOTLB_DW | QI_DID(did), 0
	};
}

struct moat_qi_desc moat_qi_iotlb_page(uint16_t did, uint64_t iova, uint8_t am, bool ih)
{
	return (struct moat_qi_desc){ MOAT_QI_IOTLB | QI_G(MOAT_QI_PAGE) | QI_IOTLB_DR |
			QI_IOTLB_DW | QI_DID(did),
		QI_ADDR(iova) | QI_AM(am) | QI_IH(ih) };
}

struct moat_qi_desc moat_qi_device_tlb(moat_sid_t sid, uint8_t max_pending, uint64_t iova,
	bool size, uint16_t pfsid)
{
	return (struct moat_qi_desc){ MOAT_QI_DEVICE_TLB | QI_PFSID(pfsid) |
			QI_DEV_MIP(max_pending) | QI_DEV_SID(sid),
		QI_ADDR(iova) | (size ? QI_DEV_S : 0) };
}

struct moat_qi_desc moat_qi_int_entry(bool global, uint16_t index, uint8_t im)
{
	if (global)
		return (struct moat_qi_desc){ MOAT_QI_INT_ENTRY, 0 };
	return (struct moat_qi_desc){
		MOAT_QI_INT_ENTRY | QI_IEC_G | QI_IEC_IM(im) | QI_IEC_IIDX(index), 0
	};
}

struct moat_qi_desc moat_qi_pasid_cache(enum moat_qi_pasid_gran gran, uint16_t did, uint32_t pasid)
{
	uint64_t lo = MOAT_QI_PASID_CACHE | QI_G(gran);

	if (gran != MOAT_QI_PASID_GLOBAL)
		lo |= QI_DID(did);
	if (gran == MOAT_QI_PASID_ONE)
		lo |= QI_PASID(pasid);
	return (struct moat_qi_desc){ lo, 0 };
}

struct moat_qi_desc moat_qi_pasid_iotlb(uint16_t did, uint32_t pasid, bool all, uint64_t iova,
	uint8_t am, bool ih)
{
	uint64_t lo = MOAT_QI_PASID_IOTLB | QI_DID(did) | QI_PASID(pasid);

	if (all)
		return (struct moat_qi_desc){ lo | QI_G(2), 0 };
	return (struct moat_qi_desc){ lo | QI_G(3), QI_ADDR(iova) | QI_AM(am) | QI_IH(ih) };
}

struct moat_qi_desc moat_qi_pasid_device_tlb(moat_sid_t sid, uint32_t pasid, bool global,
	uint8_t max_pending, uint64_t iova, bool size, uint16_t pfsid)
{
	return (struct moat_qi_desc){ MOAT_QI_PASID_DEVICE_TLB | QI_PDEV_MIP(max_pending) |
			QI_PFSID(pfsid) | QI_PDEV_SID(sid) | QI_PASID(pasid),
		QI_ADDR(iova) | (size ? QI_PDEV_S : 0) | (global ? QI_PDEV_G : 0) };
}

struct moat_qi_desc moat_qi_wait_status(uint64_t status_hpa, uint32_t data, bool fence)
{
	return (struct moat_qi_desc){ MOAT_QI_WAIT | QI_WAIT_SW | (fence ? QI_WAIT_FN : 0) |
			QI_WAIT_DATA(data),
		status_hpa & ~UINT64_C(3) };
}

struct moat_qi_desc moat_qi_no_op(void)
{
	return (struct moat_qi_desc){ MOAT_QI_IOTLB | QI_G(MOAT_QI_DOMAIN) | QI_DID(0), 0 };
}

/* ------------------------------------------------------------------------------- in words */

#define BITS(v, hi, lo) (((v) >> (lo)) & ((UINT64_C(1) << ((hi) - (lo) + 1)) - 1))

static const char *granularity(uint64_t lo, const char *three)
{
	switch (BITS(lo, 5, 4)) {
	case 1:
		return "global";
	case 2:
		return "domain-selective";
	case 3:
		return three;
	}
	return "reserved granularity";
}

static int describe_iotlb(const struct moat_qi_desc *d, const char *kind, char *text, size_t size)
{
	return snprintf(text, size,
		"%s %s, domain-id %" PRIu64 ", iova 0x%" PRIx64 ", 2^%" PRIu64 " pages%s", kind,
		granularity(d->lo, "page-selective"), BITS(d->lo, 31, 16), d->hi & ~MOAT_PAGE_MASK,
		BITS(d->hi, 5, 0), d->hi & QI_IH(1) ? ", hint" : "");
}

int moat_qi_describe(const struct moat_qi_desc *d, char *text, size_t size)
{
	switch (BITS(d->lo, 11, 9) << 4 | BITS(d->lo, 3, 0)) {
	case MOAT_QI_CONTEXT:
		return snprintf(text, size,
			"context cache %s, domain-id %" PRIu64 ", source-id " MOAT_SID_FMT,
			granularity(d->lo, "device-selective"), BITS(d->lo, 31, 16),
			MOAT_SID_ARGS((unsigned int)BITS(d->lo, 47, 32)));
	case MOAT_QI_IOTLB:
		return describe_iotlb(d, "IOTLB", text, size);
	case MOAT_QI_PASID_IOTLB:
		return describe_iotlb(d, "PASID-based IOTLB", text, size);
	case MOAT_QI_DEVICE_TLB:
		return snprintf(text, size,
			"device TLB, source-id " MOAT_SID_FMT ", iova 0x%" PRIx64,
			MOAT_SID_ARGS((unsigned int)BITS(d->lo, 47, 32)), d->hi & ~MOAT_PAGE_MASK);
	case MOAT_QI_PASID_DEVICE_TLB:
		return snprintf(text, size,
			"PASID-based device TLB, source-id " MOAT_SID_FMT ", iova 0x%" PRIx64,
			MOAT_SID_ARGS((unsigned int)BITS(d->lo, 31, 16)), d->hi & ~MOAT_PAGE_MASK);
	case MOAT_QI_INT_ENTRY:
		return snprintf(text, size, "interrupt entry cache, index %" PRIu64,
			BITS(d->lo, 47, 32));
	case MOAT_QI_PASID_CACHE:
		return snprintf(text, size, "PASID cache, domain-id %" PRIu64 ", PASID %" PRIu64,
			BITS(d->lo, 31, 16), BITS(d->lo, 51, 32));
	case MOAT_QI_WAIT:
		return snprintf(text, size, "wait, writes %" PRIu64 " to 0x%" PRIx64,
			BITS(d->lo, 63, 32), d->hi);
	}
	return snprintf(text, size, "unknown type (0x%016" PRIx64 " 0x%016" PRIx64 ")", d->hi,
		d->lo);
}
