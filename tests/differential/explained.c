/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Where the software unit and QEMU's may differ: the specification leaves it open, or QEMU does not
 * do what the specification says. A driver must live with both. Sections are those of the VT-d
 * specification, revision 4.1, by their titles.
 */

#include <inttypes.h>
#include <stdio.h>

#include "differential.h"
#include "moat_qi.h"
#include "moat_softvtd.h"
#include "moat_vtd_regs.h"

static bool is_permission(unsigned int reason)
{
	return reason == VTD_FR_WRITE || reason == VTD_FR_READ || reason == VTD_FR_SM_WRITE ||
		reason == VTD_FR_SM_READ || reason == VTD_FR_SS_P || reason == VTD_FR_SM_USER;
}

static bool fpd_ignored(const struct shape *shape, const struct outcome *o)
{
	return o->reason != 0 && !o->soft.there && o->qemu.there && o->qemu.reason == o->reason &&
		(tables_context(o->sid)[0] & VTD_CTX_FPD) && !shape->scalable;
}

static bool pass_through_dropped(const struct shape *shape, const struct outcome *o)
{
	return tables_stage(o->sid).pass_through &&
		(o->reason == VTD_FR_BEYOND_AW || o->reason == VTD_FR_SM_BEYOND_HAW) &&
		!o->qemu.there;
}

static bool ssptptr_judged(const struct shape *shape, const struct outcome *o)
{
	return tables_stage(o->sid).pass_through && o->qemu.there &&
		o->qemu.reason == VTD_FR_CONTEXT_RSVD &&
		tables_stage(o->sid).table >> shape->haw != 0;
}

static bool pass_through_width(const struct shape *shape, const struct outcome *o)
{
	unsigned int aw = tables_stage(o->sid).levels - 2;

	return tables_stage(o->sid).pass_through && o->reason == VTD_FR_CONTEXT_INV &&
		!o->qemu.there && (shape->sagaw >> aw & 1);
}

static bool cached_permission(const struct shape *shape, const struct outcome *o)
{
	return is_permission(o->reason) && o->soft.there && !o->qemu.there &&
		tables_deny(shape, o->sid, o->iova, o->write);
}

static bool order_of_checks(const struct shape *shape, const struct outcome *o)
{
	return o->soft.there && o->qemu.there && is_permission(o->qemu.reason) &&
		(o->reason == VTD_FR_PAGING_RSVD || o->reason == VTD_FR_PAGING_ACCESS ||
			o->reason == VTD_FR_SS_RSVD || o->reason == VTD_FR_SS_ACCESS ||
			o->reason == VTD_FR_FS_RSVD || o->reason == VTD_FR_FS_ACCESS ||
			o->reason == VTD_FR_FS_P || o->reason == VTD_FR_SM_USER) &&
		tables_deny(shape, o->sid, o->iova, o->write);
}

/* The reason of legacy mode for what has one of its own in scalable mode. */
static unsigned int legacy_of(const struct outcome *o, unsigned int reason)
{
	switch (reason) {
	case VTD_FR_SM_ROOT_P:
		return VTD_FR_ROOT_P;
	case VTD_FR_SM_ROOT_ACCESS:
		return VTD_FR_ROOT_ACCESS;
	case VTD_FR_SM_ROOT_RSVD:
		return VTD_FR_ROOT_RSVD;
	case VTD_FR_SM_CONTEXT_P:
		return VTD_FR_CONTEXT_P;
	case VTD_FR_SM_CONTEXT_ACCESS:
		return VTD_FR_CONTEXT_ACCESS;
	case VTD_FR_SM_CONTEXT_RSVD:
		return VTD_FR_CONTEXT_RSVD;
	case VTD_FR_SS_ACCESS:
		return VTD_FR_PAGING_ACCESS;
	case VTD_FR_SS_ROOT_ACCESS:
		return VTD_FR_CONTEXT_INV;
	case VTD_FR_SS_P:
		return o->write ? VTD_FR_WRITE : VTD_FR_READ;
	case VTD_FR_SS_RSVD:
		return VTD_FR_PAGING_RSVD;
	case VTD_FR_SM_BEYOND_AW:
		return VTD_FR_BEYOND_AW;
	case VTD_FR_SM_WRITE:
		return VTD_FR_WRITE;
	case VTD_FR_SM_READ:
		return VTD_FR_READ;
	default:
		return 0;
	}
}

static bool legacy_reason(const struct shape *shape, const struct outcome *o)
{
	return shape->scalable && o->soft.there && o->qemu.there && o->soft.page == o->qemu.page &&
		o->soft.read == o->qemu.read && legacy_of(o, o->reason) == o->qemu.reason;
}

static bool pasid_reserved(const struct shape *shape, const struct outcome *o)
{
	return o->reason == VTD_FR_PASID_DIR_RSVD || o->reason == VTD_FR_PASID_RSVD;
}

static bool context_unsupported(const struct shape *shape, const struct outcome *o)
{
	return o->reason == VTD_FR_SM_CONTEXT_RSVD &&
		(tables_context(o->sid)[0] & (VTD_SMC_DTE | VTD_SMC_PASIDE | VTD_SMC_PRE));
}

static bool snoop_unsupported(const struct shape *shape, const struct outcome *o)
{
	return o->reason == VTD_FR_SS_RSVD && !shape->sc &&
		tables_have(o->sid, o->iova, UINT64_C(1) << 11);
}

static bool first_stage_width(const struct shape *shape, const struct outcome *o)
{
	return shape->first && VTD_FIELD(tables_entry(o->sid)[0], VTD_PE_AW) != 2 &&
		!tables_stage(o->sid).pass_through;
}

static bool execute_disable(const struct shape *shape, const struct outcome *o)
{
	return shape->first && o->reason == VTD_FR_FS_RSVD &&
		tables_have(o->sid, o->iova, UINT64_C(1) << 63);
}

static bool other_half(const struct shape *shape, const struct outcome *o)
{
	uint64_t half = ((const uint64_t *)at(ROOT))[1]; /* of devices 16 to 31 */

	return shape->scalable && half != 0 && o->qemu.there && o->qemu.reason == VTD_FR_ROOT_RSVD;
}

static struct {
	const char *what;
	bool (*is)(const struct shape *shape, const struct outcome *o);
	uint64_t times;
} differences[] = {
	{ "QEMU has legacy mode's reasons in scalable mode, but for PASID tables "
	  "(\"Fault Reason Encodings\")",
		legacy_reason, 0 },
	{ "QEMU judges no reserved bits of PASID directory and PASID entries "
	  "(\"Fault Reason Encodings\": 52h, 5Ah)",
		pasid_reserved, 0 },
	{ "QEMU takes DTE, PASIDE and PRE without ECAP.DT, PASID and PRS (\"Scalable-Mode Context Entry\")",
		context_unsupported, 0 },
	{ "QEMU takes SNP in scalable mode without ECAP.SC (\"Second-Stage Paging Entries\")",
		snoop_unsupported, 0 },
	{ "QEMU judges AW of a PASID entry for first stage (\"Scalable-Mode PASID Table Entry\": AW is "
	  "second stage's)",
		first_stage_width, 0 },
	{ "QEMU takes XD without NXE (\"First-Stage Paging Entries\")", execute_disable, 0 },
	{ "open: reserved bits in the half of a root entry that the source does not use "
	  "(\"Scalable-Mode Root Entry\"; QEMU judges both halves)",
		other_half, 0 },
	{ "QEMU records a fault in spite of FPD if the context entry has reserved bits set "
	  "(\"Context Entry\": FPD)",
		fpd_ignored, 0 },
	{ "QEMU drops a pass-through request beyond the host's width without a record "
	  "(\"Pass-Through\", \"Fault Reason Encodings\": 4)",
		pass_through_dropped, 0 },
	{ "QEMU judges SSPTPTR of a pass-through entry (\"Context Entry\": ignored with TT 10b)",
		ssptptr_judged, 0 },
	{ "open: a pass-through entry whose AW is supported, but not the largest "
	  "(\"Context Entry\": AW; the software unit takes it for wrong)",
		pass_through_width, 0 },
	{ "QEMU records no fault if its IOTLB has the page without the permission "
	  "(\"Translation Faults\")",
		cached_permission, 0 },
	{ "open: permission denied above an entry that is faulty itself, or denies, too; which one is recorded "
	  "(\"Second-Stage Translation\", \"First-Stage Translation\"; QEMU stops at the first denial)",
		order_of_checks, 0 },
};

const char *explained(const struct shape *shape, const struct outcome *o)
{
	for (unsigned int i = 0; i < RTE_DIM(differences); i++)
		if (differences[i].is(shape, o)) {
			differences[i].times++;
			return differences[i].what;
		}
	return NULL;
}

/* --------------------------------------------------------------------------------- descriptors */

static unsigned int type_of(struct vtd_entry d)
{
	return (d.lo & 0xf) | (d.lo >> 9 & 7) << 4;
}

static bool device_tlb(const struct shape *shape, struct vtd_entry d, bool soft_refuses)
{
	return soft_refuses && !shape->dt && type_of(d) == MOAT_QI_DEVICE_TLB;
}

static bool interrupt_entries(const struct shape *shape, struct vtd_entry d, bool soft_refuses)
{
	return soft_refuses && type_of(d) == MOAT_QI_INT_ENTRY;
}

static bool wait_for_nothing(const struct shape *shape, struct vtd_entry d, bool soft_refuses)
{
	return !soft_refuses && type_of(d) == MOAT_QI_WAIT && !(d.lo & 3 << 4);
}

static struct {
	const char *what;
	bool (*is)(const struct shape *shape, struct vtd_entry d, bool soft_refuses);
	uint64_t times;
} descriptors[] = {
	{ "QEMU takes device-TLB descriptors without ECAP.DT "
	  "(\"Device-TLB Invalidate Descriptor\")",
		device_tlb, 0 },
	{ "QEMU takes interrupt-entry-cache descriptors without ECAP.IR, and reserved bits in them "
	  "(\"Interrupt Entry Cache Invalidate Descriptor\")",
		interrupt_entries, 0 },
	{ "open: a wait with neither SW nor IF (\"Invalidation Wait Descriptor\"; QEMU refuses it)",
		wait_for_nothing, 0 },
};

const char *explained_descriptor(const struct shape *shape, struct vtd_entry d, bool soft_refuses)
{
	for (unsigned int i = 0; i < RTE_DIM(descriptors); i++)
		if (descriptors[i].is(shape, d, soft_refuses)) {
			descriptors[i].times++;
			return descriptors[i].what;
		}
	return NULL;
}

/* ----------------------------------------------------------------------------------- registers */

static struct {
	uint32_t offset;
	uint64_t mask; /* the bits that may differ */
	const char *what;
	uint64_t times;
} registers[] = {
	{ VTD_FEUADDR, UINT32_MAX,
		"open: FEUADDR without ECAP.EIM (\"Fault Event Upper Address Register\": may be reserved)",
		0 },
	{ VTD_IEUADDR, UINT32_MAX,
		"open: IEUADDR without ECAP.EIM (\"Invalidation Event Upper Address Register\": may be "
		"reserved)",
		0 },
	{ VTD_FEDATA, UINT32_C(0xffff0000),
		"open: FEDATA, upper half (\"Fault Event Data Register\": EIMD may be reserved)",
		0 },
	{ VTD_CCMD, UINT64_C(0x3ffff0000),
		"open: what FM and SID of CCMD read (\"Context Command Register\": they are write-only)",
		0 },
	{ VTD_IQA, ~UINT64_C(7),
		"QEMU's IQA reads DW as written, and the address of when the queue was switched on "
		"(\"Invalidation Queue Address Register\")",
		0 },
};

const char *explained_register(uint32_t offset, uint64_t soft, uint64_t qemu)
{
	for (unsigned int i = 0; i < RTE_DIM(registers); i++)
		if (registers[i].offset == offset && ((soft ^ qemu) & ~registers[i].mask) == 0) {
			registers[i].times++;
			return registers[i].what;
		}
	return NULL;
}

void explained_print(void)
{
	for (unsigned int i = 0; i < RTE_DIM(differences); i++)
		if (differences[i].times != 0)
			printf("  %" PRIu64 " times: %s\n", differences[i].times,
				differences[i].what);
	for (unsigned int i = 0; i < RTE_DIM(descriptors); i++)
		if (descriptors[i].times != 0)
			printf("  %" PRIu64 " times: %s\n", descriptors[i].times,
				descriptors[i].what);
	for (unsigned int i = 0; i < RTE_DIM(registers); i++)
		if (registers[i].times != 0)
			printf("  %" PRIu64 " times: %s\n", registers[i].times, registers[i].what);
}
