/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>
#include <stdio.h>

#include "moat_qi.h"

struct moat_qi_desc moat_qi_context_global(void)
{
	return (struct moat_qi_desc){ MOAT_QI_CONTEXT | VTD_QI_G(MOAT_QI_GLOBAL), 0 };
}

struct moat_qi_desc moat_qi_context_domain(uint16_t did)
{
	return (struct moat_qi_desc){ MOAT_QI_CONTEXT | VTD_QI_G(MOAT_QI_DOMAIN) | VTD_QI_DID(did),
		0 };
}

struct moat_qi_desc moat_qi_context_device(uint16_t did, moat_sid_t sid, uint8_t fm)
{
	return (struct moat_qi_desc){ MOAT_QI_CONTEXT | VTD_QI_G(MOAT_QI_DEVICE) | VTD_QI_DID(did) |
			VTD_QI_CC_SID(sid) | VTD_QI_CC_FM(fm),
		0 };
}

struct moat_qi_desc moat_qi_iotlb_global(void)
{
	return (struct moat_qi_desc){
		MOAT_QI_IOTLB | VTD_QI_G(MOAT_QI_GLOBAL) | VTD_QI_IOTLB_DR | VTD_QI_IOTLB_DW, 0
	};
}

struct moat_qi_desc moat_qi_iotlb_domain(uint16_t did)
{
	return (struct moat_qi_desc){ MOAT_QI_IOTLB | VTD_QI_G(MOAT_QI_DOMAIN) | VTD_QI_IOTLB_DR |
			VTD_QI_IOTLB_DW | VTD_QI_DID(did),
		0 };
}

struct moat_qi_desc moat_qi_iotlb_page(uint16_t did, uint64_t iova, uint8_t am, bool ih)
{
	return (struct moat_qi_desc){ MOAT_QI_IOTLB | VTD_QI_G(MOAT_QI_PAGE) | VTD_QI_IOTLB_DR |
			VTD_QI_IOTLB_DW | VTD_QI_DID(did),
		VTD_QI_ADDR(iova) | VTD_QI_AM(am) | VTD_QI_IH(ih) };
}

struct moat_qi_desc moat_qi_device_tlb(moat_sid_t sid, uint8_t max_pending, uint64_t iova,
	bool size, uint16_t pfsid)
{
	return (struct moat_qi_desc){ MOAT_QI_DEVICE_TLB | VTD_QI_PFSID(pfsid) |
			VTD_QI_DEV_MIP(max_pending) | VTD_QI_DEV_SID(sid),
		VTD_QI_ADDR(iova) | (size ? VTD_QI_DEV_S : 0) };
}

struct moat_qi_desc moat_qi_int_entry(bool global, uint16_t index, uint8_t im)
{
	if (global)
		return (struct moat_qi_desc){ MOAT_QI_INT_ENTRY, 0 };
	return (struct moat_qi_desc){
		MOAT_QI_INT_ENTRY | VTD_QI_IEC_G | VTD_QI_IEC_IM(im) | VTD_QI_IEC_IIDX(index), 0
	};
}

struct moat_qi_desc moat_qi_pasid_cache(enum moat_qi_pasid_gran gran, uint16_t did, uint32_t pasid)
{
	uint64_t lo = MOAT_QI_PASID_CACHE | VTD_QI_G(gran);

	if (gran != MOAT_QI_PASID_GLOBAL)
		lo |= VTD_QI_DID(did);
	if (gran == MOAT_QI_PASID_ONE)
		lo |= VTD_QI_PASID(pasid);
	return (struct moat_qi_desc){ lo, 0 };
}

struct moat_qi_desc moat_qi_pasid_iotlb(uint16_t did, uint32_t pasid, bool all, uint64_t iova,
	uint8_t am, bool ih)
{
	uint64_t lo = MOAT_QI_PASID_IOTLB | VTD_QI_DID(did) | VTD_QI_PASID(pasid);

	if (all)
		return (struct moat_qi_desc){ lo | VTD_QI_G(2), 0 };
	return (struct moat_qi_desc){ lo | VTD_QI_G(3),
		VTD_QI_ADDR(iova) | VTD_QI_AM(am) | VTD_QI_IH(ih) };
}

struct moat_qi_desc moat_qi_pasid_device_tlb(moat_sid_t sid, uint32_t pasid, bool global,
	uint8_t max_pending, uint64_t iova, bool size, uint16_t pfsid)
{
	return (struct moat_qi_desc){ MOAT_QI_PASID_DEVICE_TLB | VTD_QI_PDEV_MIP(max_pending) |
			VTD_QI_PFSID(pfsid) | VTD_QI_PDEV_SID(sid) | VTD_QI_PASID(pasid),
		VTD_QI_ADDR(iova) | (size ? VTD_QI_PDEV_S : 0) | (global ? VTD_QI_PDEV_G : 0) };
}

struct moat_qi_desc moat_qi_wait_status(uint64_t status_hpa, uint32_t data, bool fence)
{
	return (struct moat_qi_desc){ MOAT_QI_WAIT | VTD_QI_WAIT_SW | (fence ? VTD_QI_WAIT_FN : 0) |
			VTD_QI_WAIT_DATA(data),
		status_hpa & ~UINT64_C(3) };
}

struct moat_qi_desc moat_qi_no_op(void)
{
	return (struct moat_qi_desc){ MOAT_QI_IOTLB | VTD_QI_G(MOAT_QI_DOMAIN) | VTD_QI_DID(0), 0 };
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
		BITS(d->hi, 5, 0), d->hi & VTD_QI_IH(1) ? ", hint" : "");
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
