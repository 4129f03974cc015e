/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include "moat_softvtd.h"
#include "moat_vtd_regs.h"
#include "reference.h"

#define ADDRESS UINT64_C(0x000ffffffffff000)
#define PS      (UINT64_C(1) << 7)
#define SNP     (UINT64_C(1) << 11)
#define BIT_62  (UINT64_C(1) << 62)
#define XD      (UINT64_C(1) << 63)

/* A request, and the state of its walk. */
struct question {
	const struct shape *shape;
	unsigned int quirks;
	uint16_t sid;
	uint64_t iova;
	bool write;
};

/* The contents of the entries that lead to the paging entries. */
struct way {
	bool first, pass_through, fpd, nxe, silent;
	bool outside; /* a table is not in the memory that both units have */
	unsigned int levels;
	unsigned int aw; /* bits of address by AW, in either stage */
	uint64_t table;
};

static bool is_memory(uint64_t hpa)
{
	return hpa >= QTEST_RAM && hpa < QTEST_END;
}

static bool beyond(const struct shape *shape, uint64_t hpa)
{
	return hpa >> shape->haw != 0;
}

static unsigned int shift_of(unsigned int level)
{
	return 12 + 9 * (level - 1);
}

static uint64_t low(unsigned int bits)
{
	return (UINT64_C(1) << bits) - 1;
}

/* --------------------------------------------------------------- "Context Entry", "Root Entry" */

static unsigned int legacy_entries(const struct question *q, struct way *way)
{
	const struct shape *shape = q->shape;
	const uint64_t *root = at(ROOT), *context;
	unsigned int tt, aw;

	if (!(root[0] & VTD_ROOT_P))
		return VTD_FR_ROOT_P;
	if ((root[0] & 0xffe) || root[1] != 0 || beyond(shape, root[0] & ~low(12)))
		return VTD_FR_ROOT_RSVD;
	if (!is_memory(root[0] & ADDRESS))
		return VTD_FR_CONTEXT_ACCESS;
	context = at((root[0] & ADDRESS) + (q->sid & 0xff) * UINT64_C(16));
	way->fpd = context[0] & VTD_CTX_FPD;
	if (!(context[0] & VTD_CTX_P))
		return VTD_FR_CONTEXT_P;
	tt = context[0] >> 2 & 3;
	aw = context[1] & 7;
	way->pass_through = tt == VTD_TT_PASS_THROUGH;
	way->table = context[0] & ~low(12);
	way->levels = aw + 2;
	if ((context[0] & 0xff0) || (context[1] & ~UINT64_C(0xffff7f)) ||
		(beyond(shape, way->table) &&
			(!way->pass_through || (q->quirks & QUIRK_PASS_SSPTPTR)))) {
		way->fpd = way->fpd && !(q->quirks & QUIRK_FPD_RESERVED);
		return VTD_FR_CONTEXT_RSVD;
	}
	if (tt == 3 || (tt == VTD_TT_DEVICE_TLB && !shape->dt) || aw > 4 ||
		!(shape->sagaw >> aw & 1))
		return VTD_FR_CONTEXT_INV;
	if (way->pass_through && shape->sagaw >> (aw + 1) != 0 && !(q->quirks & QUIRK_PASS_WIDTH))
		return VTD_FR_CONTEXT_INV; /* AW must be the largest that SAGAW offers */
	return 0;
}

/* ------- "Scalable-Mode Context Entry", "... PASID Directory Entry", "... PASID Table Entry" */

static bool pasid_reserved(const struct shape *shape, const uint64_t *entry)
{
	uint64_t rest = 0;

	for (unsigned int i = 3; i < 8; i++)
		rest |= entry[i];
	return (entry[0] & 0xe20) || (entry[1] & 0x7f0000) ||
		(!shape->sc && (entry[1] & 1 << 24)) || (entry[2] & 0xfc3) || rest != 0;
}

/* "PASID Granular Translation Type" and what depends on it. */
static unsigned int pasid_type(const struct question *q, const uint64_t *entry, struct way *way)
{
	const struct shape *shape = q->shape;
	unsigned int pgtt = entry[0] >> 6 & 7, aw = entry[0] >> 2 & 7, fspm = entry[2] >> 2 & 3;

	way->pass_through = pgtt == VTD_PGTT_PASS_THROUGH;
	way->first = pgtt == VTD_PGTT_FIRST_STAGE;
	if (way->pass_through)
		return 0;
	if (pgtt != (shape->first ? VTD_PGTT_FIRST_STAGE : VTD_PGTT_SECOND_STAGE))
		return VTD_FR_PASID_INV;
	if (way->first ? fspm != 0 : aw > 4 || !(shape->sagaw >> aw & 1))
		return VTD_FR_PASID_INV;
	way->levels = way->first ? 4 : aw + 2;
	way->aw = 30 + 9 * aw;
	way->nxe = entry[2] >> 5 & 1;
	way->table = entry[way->first ? 2 : 0] & ~low(12);
	return 0;
}

static unsigned int pasid_entry(const struct question *q, const uint64_t *entry, struct way *way)
{
	bool lenient = q->quirks & QUIRK_PASID_RESERVED, fpd = way->fpd;
	unsigned int reason = pasid_type(q, entry, way);

	if (!(q->quirks & QUIRK_PASID_FPD))
		way->fpd |= (entry[0] & 2) != 0;
	if (reason != 0 && (q->quirks & QUIRK_PASID_TYPE_FIRST))
		return reason;
	if (!(entry[0] & 1))
		return VTD_FR_PASID_P;
	if (pasid_reserved(q->shape, entry) && !lenient)
		return VTD_FR_PASID_RSVD;
	if (reason != 0)
		return reason;
	way->fpd = fpd || (entry[0] & 2) != 0;
	if (!way->pass_through && beyond(q->shape, way->table) && !lenient)
		return VTD_FR_PASID_RSVD;
	return 0;
}

static uint64_t context_reserved(const struct question *q)
{
	if (q->quirks & QUIRK_CONTEXT_BITS)
		return 0x1e0;
	return 0x1e0 | (q->shape->dt ? 0 : VTD_SMC_DTE) | (q->shape->pasid ? 0 : VTD_SMC_PASIDE) |
		(q->shape->prs ? 0 : VTD_SMC_PRE);
}

static bool root_reserved(const struct shape *shape, uint64_t half)
{
	return (half & 0xffe) || beyond(shape, half & ~low(12));
}

static unsigned int scalable_entries(const struct question *q, struct way *way)
{
	const struct shape *shape = q->shape;
	uint64_t root = *(uint64_t *)at(ROOT), other = *(uint64_t *)at(ROOT + 8), dir;
	bool lenient = q->quirks & QUIRK_PASID_RESERVED, fpd;
	const uint64_t *context;

	if (!(root & VTD_ROOT_P))
		return VTD_FR_SM_ROOT_P;
	if (root_reserved(shape, root) ||
		((q->quirks & QUIRK_BOTH_HALVES) && root_reserved(shape, other)))
		return VTD_FR_SM_ROOT_RSVD;
	if (!is_memory(root & ADDRESS))
		return VTD_FR_SM_CONTEXT_ACCESS;
	context = at((root & ADDRESS) + (q->sid & 0x7f) * UINT64_C(32));
	way->fpd = context[0] & VTD_SMC_FPD;
	if (!(context[0] & VTD_SMC_P))
		return VTD_FR_SM_CONTEXT_P;
	if ((context[0] & context_reserved(q)) || beyond(shape, context[0] & ~low(12)) ||
		context[1] >> 20 != 0 || context[2] != 0 || context[3] != 0)
		return VTD_FR_SM_CONTEXT_RSVD;
	if (!is_memory(context[0] & ADDRESS))
		return VTD_FR_PASID_DIR_ACCESS;
	dir = *(uint64_t *)at(context[0] & ADDRESS);
	fpd = way->fpd;
	way->fpd |= (dir & VTD_PDE_FPD) != 0 && !(q->quirks & QUIRK_PASID_FPD);
	if (!(dir & VTD_PDE_P))
		return VTD_FR_PASID_DIR_P;
	if (((dir & 0xffc) || beyond(shape, dir & ~low(12))) && !lenient)
		return VTD_FR_PASID_DIR_RSVD;
	if (!is_memory(dir & ADDRESS))
		return VTD_FR_PASID_ACCESS;
	way->fpd = fpd || (dir & VTD_PDE_FPD) != 0;
	return pasid_entry(q, at(dir & ADDRESS), way);
}

/* ------------------------------------------------------------------------------- paging entries */

static bool is_leaf(unsigned int level, uint64_t entry)
{
	return level == 1 || (level <= 3 && (entry & PS));
}

static uint64_t leads_to(unsigned int level, uint64_t entry, uint64_t iova)
{
	return (entry & ADDRESS & ~low(shift_of(level))) | (iova & low(shift_of(level)));
}

static unsigned int denied(const struct question *q)
{
	if (q->shape->scalable)
		return q->write ? VTD_FR_SM_WRITE : VTD_FR_SM_READ;
	return q->write ? VTD_FR_WRITE : VTD_FR_READ;
}

/* "Second-Stage Paging Entries" */
static uint64_t second_stage_reserved(const struct question *q, unsigned int level, uint64_t entry)
{
	const struct shape *shape = q->shape;
	uint64_t reserved = (ADDRESS & ~low(shape->haw)) | BIT_62;

	if (!is_leaf(level, entry) || !(shape->sc || (q->quirks & QUIRK_SNP)))
		reserved |= SNP;
	if (level > 3 || (level > 1 && !(shape->sslps >> (level - 2) & 1)))
		reserved |= PS;
	if (is_leaf(level, entry))
		reserved |= low(shift_of(level)) & ~low(12);
	return reserved;
}

static unsigned int second_stage(const struct question *q, struct way *way, uint64_t *hpa)
{
	uint64_t table = way->table, need = q->write ? 2 : 1, have = 3;
	bool sm = q->shape->scalable;

	for (unsigned int level = way->levels;; level--) {
		uint64_t entry;

		way->outside = table < QTEST_RAM;
		if (!is_memory(table) && level == way->levels)
			return sm ? VTD_FR_SS_ROOT_ACCESS : VTD_FR_CONTEXT_INV;
		if (!is_memory(table))
			return sm ? VTD_FR_SS_ACCESS : VTD_FR_PAGING_ACCESS;
		entry = ((uint64_t *)at(table))[q->iova >> shift_of(level) & 511];
		if (!(entry & 3))
			return sm ? VTD_FR_SS_P : denied(q);
		if ((q->quirks & QUIRK_FIRST_DENIAL) && !(entry & need))
			return denied(q);
		if (entry & second_stage_reserved(q, level, entry))
			return sm ? VTD_FR_SS_RSVD : VTD_FR_PAGING_RSVD;
		have &= entry;
		if (is_leaf(level, entry)) {
			*hpa = leads_to(level, entry, q->iova);
			return have & need ? 0 : denied(q);
		}
		table = entry & ADDRESS;
	}
}

/* "First-Stage Paging Entries" */
static uint64_t first_stage_reserved(const struct question *q, const struct way *way,
	unsigned int level, uint64_t entry)
{
	uint64_t reserved = ADDRESS & ~low(q->shape->haw);

	if (!way->nxe && !(q->quirks & QUIRK_XD))
		reserved |= XD;
	if (level > 3 || (level == 3 && !q->shape->fs1gp))
		reserved |= PS;
	if (is_leaf(level, entry))
		reserved |= low(shift_of(level)) & ~low(13); /* bit 12 of a superpage: PAT */
	return reserved;
}

static bool canonical(uint64_t iova, unsigned int bits)
{
	int64_t top = (int64_t)iova >> (bits - 1);

	return top == 0 || top == -1;
}

static unsigned int first_stage(const struct question *q, struct way *way, uint64_t *hpa)
{
	uint64_t table = way->table, have = 2;
	unsigned int bits = 12 + 9 * way->levels;

	if (q->quirks & QUIRK_FIRST_STAGE_AW)
		bits = RTE_MIN(q->shape->haw, way->aw);
	if (!canonical(q->iova, bits))
		return VTD_FR_SM_CANONICAL;
	for (unsigned int level = way->levels;; level--) {
		uint64_t entry;

		way->outside = table < QTEST_RAM;
		if (!is_memory(table))
			return level == way->levels ? VTD_FR_FS_ROOT_ACCESS : VTD_FR_FS_ACCESS;
		entry = ((uint64_t *)at(table))[q->iova >> shift_of(level) & 511];
		if (!(entry & 1))
			return VTD_FR_FS_P;
		if ((q->quirks & QUIRK_FIRST_DENIAL) && !(entry & 4))
			return VTD_FR_SM_USER;
		if ((q->quirks & QUIRK_FIRST_DENIAL) && q->write && !(entry & 2))
			return VTD_FR_SM_WRITE;
		if (entry & first_stage_reserved(q, way, level, entry))
			return VTD_FR_FS_RSVD;
		if (!(entry & 4))
			return VTD_FR_SM_USER;
		have &= entry;
		if (is_leaf(level, entry)) {
			*hpa = leads_to(level, entry, q->iova);
			return q->write && !have ? VTD_FR_SM_WRITE : 0;
		}
		table = entry & ADDRESS;
	}
}

/* ------------------------------------------------------------------------------------ requests */

static unsigned int translate(const struct question *q, struct way *way, uint64_t *hpa)
{
	const struct shape *shape = q->shape;

	*hpa = q->iova;
	if (way->pass_through && !beyond(shape, q->iova))
		return 0;
	if (way->pass_through) {
		way->silent = q->quirks & QUIRK_PASS_DROPPED;
		return shape->scalable ? VTD_FR_SM_BEYOND_HAW : VTD_FR_BEYOND_AW;
	}
	if (way->first)
		return first_stage(q, way, hpa);
	if (q->iova >> RTE_MIN(shape->haw, 12 + 9 * way->levels) != 0) /* MGAW equals HAW here */
		return shape->scalable ? VTD_FR_SM_BEYOND_AW : VTD_FR_BEYOND_AW;
	return second_stage(q, way, hpa);
}

static bool is_denial(unsigned int reason)
{
	return reason == VTD_FR_WRITE || reason == VTD_FR_READ || reason == VTD_FR_SM_WRITE ||
		reason == VTD_FR_SM_READ || reason == VTD_FR_SS_P || reason == VTD_FR_SM_USER;
}

/* @return legacy mode's reason for a fault that has another reason in scalable mode */
static unsigned int legacy_of(unsigned int reason, bool write)
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
		return write ? VTD_FR_WRITE : VTD_FR_READ;
	case VTD_FR_SS_RSVD:
		return VTD_FR_PAGING_RSVD;
	case VTD_FR_SM_BEYOND_AW:
		return VTD_FR_BEYOND_AW;
	case VTD_FR_SM_WRITE:
		return VTD_FR_WRITE;
	case VTD_FR_SM_READ:
		return VTD_FR_READ;
	default:
		return reason;
	}
}

struct answer reference_walk(const struct shape *shape, unsigned int quirks, uint16_t sid,
	uint64_t iova, bool write)
{
	struct question q = { shape, quirks, sid, iova, write };
	struct way way = { 0 };
	struct answer a = { 0 };

	if (iova >> 20 == 0xfee) /* never translated, and no memory */
		return (struct answer){ .reason = MOAT_SOFTVTD_NO_MEMORY, .silent = true };
	a.reason = shape->scalable ? scalable_entries(&q, &way) : legacy_entries(&q, &way);
	if (a.reason == 0)
		a.reason = translate(&q, &way, &a.hpa);
	if (a.reason == 0 && !is_memory(a.hpa))
		a.reason = MOAT_SOFTVTD_NO_MEMORY;
	a.silent = way.fpd || way.silent || a.reason == 0 || a.reason == MOAT_SOFTVTD_NO_MEMORY ||
		((quirks & QUIRK_CACHED_DENIAL) && is_denial(a.reason));
	if (quirks & QUIRK_LEGACY_REASONS)
		a.reason = legacy_of(a.reason, write);
	if (a.reason != 0)
		a.hpa = 0;
	a.outside = way.outside;
	return a;
}
