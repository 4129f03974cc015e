/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Where the software unit and QEMU's may differ: the specification leaves a point open, or QEMU
 * departs from it. A driver must work with both. Sections are those of the VT-d specification,
 * revision 4.1, by their titles.
 */

#include <inttypes.h>
#include <stdio.h>

#include "differential.h"
#include "moat_qi.h"
#include "moat_softvtd.h"
#include "moat_vtd_regs.h"
#include "reference.h"

static struct {
	enum quirk quirk;
	const char *what;
	uint64_t times;
} quirks[] = {
	{ QUIRK_LEGACY_REASONS,
		"QEMU keeps legacy mode's reasons in scalable mode, except in PASID tables and first stage "
		"(\"Fault Reason Encodings\")",
		0 },
	{ QUIRK_PASID_RESERVED,
		"QEMU judges no reserved bits of PASID directory and PASID entries "
		"(\"Fault Reason Encodings\": 52h, 5Ah)",
		0 },
	{ QUIRK_PASID_FPD,
		"QEMU records that a PASID directory entry or PASID entry is absent or wrong in spite of "
		"its FPD (\"Scalable-Mode PASID Directory Entry\", \"... PASID Table Entry\": FPD)",
		0 },
	{ QUIRK_PASID_TYPE_FIRST,
		"QEMU judges PGTT and AW of an absent PASID entry (\"Fault Reason Encodings\": 59h, 5Bh)",
		0 },
	{ QUIRK_CONTEXT_BITS,
		"QEMU accepts DTE, PASIDE and PRE without ECAP.DT, PASID and PRS "
		"(\"Scalable-Mode Context Entry\")",
		0 },
	{ QUIRK_SNP,
		"QEMU accepts SNP in scalable mode without ECAP.SC (\"Second-Stage Paging Entries\")",
		0 },
	{ QUIRK_FIRST_STAGE_AW,
		"QEMU judges by AW of a PASID entry whether an address of first stage is canonical "
		"(\"Scalable-Mode PASID Table Entry\": AW is second stage's)",
		0 },
	{ QUIRK_XD, "QEMU takes XD without NXE (\"First-Stage Paging Entries\")", 0 },
	{ QUIRK_BOTH_HALVES,
		"open: reserved bits in the half of a root entry that the source does not use "
		"(\"Scalable-Mode Root Entry\"; QEMU judges both halves)",
		0 },
	{ QUIRK_FPD_RESERVED,
		"QEMU records a fault in spite of FPD if the context entry has reserved bits set "
		"(\"Context Entry\": FPD)",
		0 },
	{ QUIRK_PASS_DROPPED,
		"QEMU drops a pass-through request beyond the host's width without a record "
		"(\"Pass-Through\", \"Fault Reason Encodings\": 4)",
		0 },
	{ QUIRK_PASS_SSPTPTR,
		"QEMU judges SSPTPTR of a pass-through entry (\"Context Entry\": ignored with TT 10b)",
		0 },
	{ QUIRK_PASS_WIDTH,
		"open: a pass-through entry whose AW is supported, but not the largest "
		"(\"Context Entry\": AW; the software unit takes it for wrong)",
		0 },
	{ QUIRK_CACHED_DENIAL,
		"QEMU records no fault if its IOTLB has the page without the permission "
		"(\"Translation Faults\")",
		0 },
	{ QUIRK_FIRST_DENIAL,
		"open: permission denied above an entry that is faulty itself, or denies, too; which one "
		"is recorded (\"Second-Stage Translation\", \"First-Stage Translation\"; QEMU stops at "
		"the first denial)",
		0 },
};

/* @return whether QEMU's answer is the reference walker's with these quirks */
static bool is_with(const struct shape *shape, const struct outcome *o, unsigned int set)
{
	struct answer a = reference_walk(shape, set, o->sid, o->iova, o->write);

	if (((set & QUIRK_CACHED_DENIAL) && !o->cached) || o->qemu.overflow ||
		o->qemu.pending != o->qemu.there)
		return false;
	if (a.silent)
		return !o->qemu.there && (o->hpa == 0 || o->reached);
	return o->qemu.there && o->qemu.reason == a.reason && o->qemu.sid == o->sid &&
		o->qemu.read == !o->write && o->qemu.page == (o->iova & ~UINT64_C(4095));
}

/* Count the quirks of the set. @return the text of one of them */
static const char *explain(unsigned int set)
{
	const char *what = NULL;

	for (unsigned int i = 0; i < RTE_DIM(quirks); i++) {
		if (!(set & quirks[i].quirk))
			continue;
		quirks[i].times++;
		what = what == NULL || quirks[i].quirk != QUIRK_LEGACY_REASONS ? quirks[i].what
									       : what;
	}
	return what;
}

/* @return the smallest set of quirks, up to three, that gives QEMU's answer */
const char *explained(const struct shape *shape, const struct outcome *o)
{
	for (int size = 1; size <= 3; size++)
		for (unsigned int set = 1; set < 1u << RTE_DIM(quirks); set++)
			if (__builtin_popcount(set) == size && is_with(shape, o, set))
				return explain(set);
	return NULL;
}

/* --------------------------------------------------------------------------------- descriptors */

#define PAGE_GROUP_RESPONSE 9

static bool without_dt(const struct shape *shape)
{
	return !shape->dt;
}

static bool without_prs(const struct shape *shape)
{
	return !shape->prs;
}

static bool without_ir(const struct shape *shape)
{
	return !shape->ir;
}

/* Valid descriptors that one of the two units takes and the other refuses. They have no other bits
 * than these. */
static struct {
	const char *what;
	unsigned int type;
	bool soft_refuses;
	bool (*without)(const struct shape *shape); /* a capability that neither unit has */
	uint64_t bits[2];                           /* of the first two words; the rest is 0 */
	uint64_t must, must_not;                    /* bits of the first word */
	bool data;                                  /* the other words may have any content */
	uint64_t times;
} descriptors[] = {
	{ "QEMU takes device-TLB descriptors without ECAP.DT "
	  "(\"Device-TLB Invalidate Descriptor\")",
		MOAT_QI_DEVICE_TLB, true, without_dt,
		{ UINT64_C(0x0000ffff001f000f), UINT64_C(0xfffffffffffff001) }, 0, 0, false, 0 },
	{ "QEMU takes PASID-based device-TLB descriptors without ECAP.DT "
	  "(\"PASID-Based Device-TLB Invalidate Descriptor\")",
		MOAT_QI_PASID_DEVICE_TLB, true, without_dt,
		{ UINT64_C(0x000fffffffff01ff), UINT64_C(0xfffffffffffff801) }, 0, 0, false, 0 },
	{ "QEMU takes page-group responses without ECAP.PRS "
	  "(\"Page Group Response Descriptor\")",
		PAGE_GROUP_RESPONSE, true, without_prs,
		{ UINT64_C(0x000fffffffff001f), UINT64_C(0x0000000000000fff) }, 1 << 4, 0, true,
		0 },
	{ "QEMU takes interrupt-entry-cache descriptors without ECAP.IR "
	  "(\"Interrupt Entry Cache Invalidate Descriptor\")",
		MOAT_QI_INT_ENTRY, true, without_ir, { UINT64_C(0x0000fffff800001f), 0 }, 0, 0,
		false, 0 },
	{ "open: a wait with neither SW nor IF (\"Invalidation Wait Descriptor\"; QEMU refuses it)",
		MOAT_QI_WAIT, false, NULL,
		{ UINT64_C(0xffffffff0000007f), UINT64_C(0xfffffffffffffffc) }, 0, 3 << 4, false,
		0 },
};

static bool is_descriptor(unsigned int i, const struct shape *shape, const struct descriptor *d)
{
	unsigned int type = (d->word[0] & 0xf) | (d->word[0] >> 9 & 7) << 4;

	return type == descriptors[i].type &&
		(descriptors[i].without == NULL || descriptors[i].without(shape)) &&
		!(d->word[0] & ~descriptors[i].bits[0]) &&
		!(d->word[1] & ~descriptors[i].bits[1]) &&
		(!shape->scalable || descriptors[i].data || (d->word[2] | d->word[3]) == 0) &&
		(d->word[0] & descriptors[i].must) == descriptors[i].must &&
		!(d->word[0] & descriptors[i].must_not);
}

const char *explained_descriptor(const struct shape *shape, const struct descriptor *d,
	bool soft_refuses)
{
	for (unsigned int i = 0; i < RTE_DIM(descriptors); i++)
		if (descriptors[i].soft_refuses == soft_refuses && is_descriptor(i, shape, d)) {
			descriptors[i].times++;
			return descriptors[i].what;
		}
	return NULL;
}

/* ----------------------------------------------------------------------------------- registers */

static struct {
	uint32_t offset;
	uint64_t zero; /* bits that read as 0 in QEMU */
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
	{ VTD_IQA, ~(VTD_IQA_QS | VTD_IQA_DW),
		"QEMU's IQA reads DW as written, and the address of when the queue was switched on "
		"(\"Invalidation Queue Address Register\")",
		0 },
};

const char *explained_register(uint32_t offset, uint64_t soft, uint64_t qemu, uint64_t queue)
{
	for (unsigned int i = 0; i < RTE_DIM(registers); i++)
		if (registers[i].offset == offset &&
			qemu == ((soft & ~registers[i].zero) | (offset == VTD_IQA ? queue : 0))) {
			registers[i].times++;
			return registers[i].what;
		}
	return NULL;
}

void explained_print(void)
{
	for (unsigned int i = 0; i < RTE_DIM(quirks); i++)
		if (quirks[i].times != 0)
			printf("  %" PRIu64 " times: %s\n", quirks[i].times, quirks[i].what);
	for (unsigned int i = 0; i < RTE_DIM(descriptors); i++)
		if (descriptors[i].times != 0)
			printf("  %" PRIu64 " times: %s\n", descriptors[i].times,
				descriptors[i].what);
	for (unsigned int i = 0; i < RTE_DIM(registers); i++)
		if (registers[i].times != 0)
			printf("  %" PRIu64 " times: %s\n", registers[i].times, registers[i].what);
}
