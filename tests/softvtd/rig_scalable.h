/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef SOFTVTD_RIG_SCALABLE_H
#define SOFTVTD_RIG_SCALABLE_H

/**
 * @file
 * The rig in scalable mode: tables bit by bit, from the specification, and a queue of 256-bit
 * descriptors.
 */

#include "rig.h"

enum { RIG_FIRST = 1, RIG_SECOND = 2, RIG_NESTED = 3, RIG_PASS = 4 }; /* PGTT */

#define RIG_PC_DOMAIN(did)          (7 | 0 << 4 | (uint64_t)(did) << 16)
#define RIG_PC_ONE(did, pasid)      (7 | 1 << 4 | (uint64_t)(did) << 16 | (uint64_t)(pasid) << 32)
#define RIG_PC_GLOBAL               (7 | 3 << 4)
#define RIG_PIOTLB_ALL(did, pasid)  (6 | 2 << 4 | (uint64_t)(did) << 16 | (uint64_t)(pasid) << 32)
#define RIG_PIOTLB_PAGE(did, pasid) (6 | 3 << 4 | (uint64_t)(did) << 16 | (uint64_t)(pasid) << 32)

#define RIG_FS_LINK UINT64_C(0x27) /* P, R/W, U/S, A */
#define RIG_FS_LEAF UINT64_C(0x67) /* ..., D */

static inline void rig_scalable_conf(struct moat_softvtd_conf *conf)
{
	rig_plain(conf);
	conf->scalable = true;
	conf->sagaw = 0xe;
	conf->mgaw = 57;
	conf->fs5lp = true;
}

static inline void rig_scalable_up(struct rig *r, const struct moat_softvtd_conf *conf)
{
	struct moat_softvtd_conf own;

	if (conf == NULL)
		rig_scalable_conf(&own);
	rig_make(r, conf != NULL ? conf : &own);
	r->wide = true;
	r->slots = 128;
	moat_softvtd_write64(r->sv, 0x20, rig_hpa(r->root) | 1 << 10);
	rig_command(r, 1u << 30, true);
	moat_softvtd_write64(r->sv, 0x88, 0);
	moat_softvtd_write64(r->sv, 0x90, rig_hpa(r->ring) | 1 << 11);
	rig_command(r, 1u << 26, true);
	rig_do(r, RIG_CTX_GLOBAL, 0);
	rig_do(r, RIG_PC_GLOBAL, 0);
	rig_do(r, RIG_IOTLB_GLOBAL, 0);
	rig_command(r, 1u << 31, true);
}

/** @return the place of a function's context entry; the context table is made if there is none */
static inline uint64_t *rig_sm_context(struct rig *r, uint16_t sid)
{
	uint64_t *half = &r->root[2 * (sid >> 8) + (sid >> 7 & 1)];

	if (*half == 0)
		rig_store(half, rig_hpa(rig_page(r)) | 1);
	return (uint64_t *)(uintptr_t)(*half & ~UINT64_C(0xfff)) + 4 * (sid & 0x7f);
}

/** @return the place of a PASID entry; missing context entry, directory (one page, PDTS 2) and
 * table are made */
static inline uint64_t *rig_pasid(struct rig *r, uint16_t sid, uint32_t pasid)
{
	uint64_t *context = rig_sm_context(r, sid), *dir;

	if (context[0] == 0)
		rig_store(&context[0], rig_hpa(rig_page(r)) | 2 << 9 | 1 << 3 | 1);
	dir = (uint64_t *)(uintptr_t)(context[0] & ~UINT64_C(0xfff)) + (pasid >> 6);
	if (*dir == 0)
		rig_store(dir, rig_hpa(rig_page(r)) | 1);
	return (uint64_t *)(uintptr_t)(*dir & ~UINT64_C(0xfff)) + 8 * (pasid & 63);
}

/** Make a PASID entry present. `second`, `first`: the roots of 4-level tables that PGTT needs. */
static inline uint64_t *rig_pasid_set(struct rig *r, uint16_t sid, uint32_t pasid,
	unsigned int pgtt, uint16_t did, const void *second, uint64_t first)
{
	uint64_t *entry = rig_pasid(r, sid, pasid);

	entry[1] = did;
	entry[2] = first;
	rig_store(&entry[0], rig_hpa(second) | 2 << 2 | pgtt << 6 | 1);
	return entry;
}

/** @return the first-stage entry for an IOVA in the table of level `to`; missing tables above it
 * are made */
static inline uint64_t *rig_fs_entry(struct rig *r, uint64_t *table, unsigned int levels,
	uint64_t iova, unsigned int to)
{
	for (unsigned int level = levels;; level--) {
		uint64_t *entry = &table[iova >> (12 + 9 * (level - 1)) & 511];

		if (level == to)
			return entry;
		if (*entry == 0)
			rig_store(entry, rig_hpa(rig_page(r)) | RIG_FS_LINK);
		table = (uint64_t *)(uintptr_t)(*entry & UINT64_C(0x000ffffffffff000));
	}
}

static inline int rig_read_pasid(struct rig *r, uint16_t sid, uint32_t pasid, uint64_t iova)
{
	uint64_t word;

	return moat_softvtd_dma_read_pasid(r->sv, sid, pasid, iova, &word, sizeof(word));
}

static inline int rig_write_pasid(struct rig *r, uint16_t sid, uint32_t pasid, uint64_t iova)
{
	uint64_t word = 1;

	return moat_softvtd_dma_write_pasid(r->sv, sid, pasid, iova, &word, sizeof(word));
}

#endif /* SOFTVTD_RIG_SCALABLE_H */
