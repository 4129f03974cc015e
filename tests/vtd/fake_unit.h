/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FAKE_UNIT_H
#define FAKE_UNIT_H

/**
 * @file
 * A register window that records all writes in order.
 *
 * It answers like a unit that completes everything at once: status bits follow commands, and waits
 * of the queue are written within the write of the tail. It translates nothing. Tests use it to
 * check in which order a driver does things, what it does if a bit never shows, and what it leaves
 * behind.
 */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "moat_qi.h"
#include "moat_vtd.h"

#define FAKE_EVENTS 4096
#define FAKE_DESCS  1024

struct fake_event {
	uint32_t reg;
	uint64_t value;
	uint32_t desc; /* descriptors that the unit had processed before this write */
	uint64_t seen; /* the value at `watched` at this write */
};

struct fake_unit {
	uint64_t reg[VTD_WINDOW_SIZE / 8];
	struct fake_event event[FAKE_EVENTS]; /* writes only */
	unsigned int nr_events;
	struct moat_qi_desc desc[FAKE_DESCS]; /* in the order processed, waits included */
	unsigned int nr_descs;
	uint32_t deaf;            /* GCMD bits that never show in GSTS */
	bool stuck_ccmd;          /* ICC stays set */
	bool stuck_queue;         /* the unit fetches nothing */
	uint8_t bad_type;         /* descriptors of this type stop the queue with IQE; 0: none */
	bool stubborn;            /* every descriptor stops the queue */
	unsigned int next_record; /* the next record that fake_fault() writes */
	bool lazy; /* after IQE it goes on only at the next write of IQT (as QEMU does) */
	const uint64_t *watched; /* memory whose value each event records; NULL: none */
};

#define FAKE_FRO 0x220
#define FAKE_IRO 0xf0
#define FAKE_CAP                                                                        \
	(UINT64_C(6) << VTD_CAP_ND_SHIFT | UINT64_C(6) << VTD_CAP_SAGAW_SHIFT |         \
		UINT64_C(47) << VTD_CAP_MGAW_SHIFT |                                    \
		(uint64_t)(FAKE_FRO / 16) << VTD_CAP_FRO_SHIFT |                        \
		UINT64_C(3) << VTD_CAP_SSLPS_SHIFT | VTD_CAP_PSI |                      \
		UINT64_C(3) << VTD_CAP_NFR_SHIFT | UINT64_C(18) << VTD_CAP_MAMV_SHIFT | \
		VTD_CAP_DRD | VTD_CAP_DWD)
#define FAKE_ECAP \
	(VTD_ECAP_C | VTD_ECAP_QI | VTD_ECAP_PT | (uint64_t)(FAKE_IRO / 16) << VTD_ECAP_IRO_SHIFT)

static inline uint32_t *fake_reg32(struct fake_unit *f, uint32_t reg)
{
	return (uint32_t *)((char *)f->reg + reg);
}

static inline uint64_t *fake_reg64(struct fake_unit *f, uint32_t reg)
{
	return (uint64_t *)((char *)f->reg + reg);
}

static inline void fake_process(struct fake_unit *f)
{
	uint64_t iqa = *fake_reg64(f, VTD_IQA);
	uint64_t size = UINT64_C(4096) << (iqa & VTD_IQA_QS);
	uint64_t *head = fake_reg64(f, VTD_IQH), width = iqa & VTD_IQA_DW ? 32 : 16;

	if (!(*fake_reg32(f, VTD_GSTS) & VTD_GSTS_QIES) || f->stuck_queue)
		return;
	while (*head != *fake_reg64(f, VTD_IQT) && !(*fake_reg32(f, VTD_FSTS) & VTD_FSTS_IQE)) {
		struct moat_qi_desc d =
			*(struct moat_qi_desc *)(uintptr_t)((iqa & VTD_IQA_IQA) + *head);

		if (f->stubborn || (f->bad_type != 0 && (d.lo & 0xf) == f->bad_type)) {
			*fake_reg32(f, VTD_FSTS) |= VTD_FSTS_IQE;
			return;
		}
		f->desc[f->nr_descs++ % FAKE_DESCS] = d;
		*head = (*head + width) % size;
		if ((d.lo & 0xf) == MOAT_QI_WAIT && (d.lo & 1u << 5)) /* SW: status write */
			__atomic_store_n((uint32_t *)(uintptr_t)d.hi, d.lo >> 32, __ATOMIC_RELEASE);
	}
}

static inline void fake_gcmd(struct fake_unit *f, uint32_t value)
{
	uint32_t *gsts = fake_reg32(f, VTD_GSTS);
	uint32_t levels = VTD_GCMD_TE | VTD_GCMD_QIE | VTD_GCMD_IRE | VTD_GCMD_CFI | VTD_GCMD_EAFL;
	uint32_t hears = ~f->deaf;

	if ((value & VTD_GCMD_QIE & hears) && !(*gsts & VTD_GSTS_QIES))
		*fake_reg64(f, VTD_IQH) = 0;
	*gsts = (*gsts & ~(levels & hears)) | (value & levels & hears);
	if (value & VTD_GCMD_SRTP & hears)
		*gsts |= VTD_GSTS_RTPS;
	if (value & VTD_GCMD_SIRTP & hears)
		*gsts |= VTD_GSTS_IRTPS;
}

/**
 * Record a fault ("Primary Fault Logging") in the next register of the ring. If that register is in
 * use, PFO is set, and nothing is recorded until PFO and the register's F are clear.
 */
static inline void fake_fault(struct fake_unit *f, moat_sid_t sid, uint64_t iova, uint8_t reason,
	bool read)
{
	unsigned int nfr = VTD_FIELD(*fake_reg64(f, VTD_CAP), VTD_CAP_NFR) + 1;
	uint32_t *fsts = fake_reg32(f, VTD_FSTS);
	uint64_t *record = fake_reg64(f, FAKE_FRO + 16 * f->next_record);

	if (*fsts & VTD_FSTS_PFO)
		return;
	if (record[1] & VTD_FRCD_F) {
		*fsts |= VTD_FSTS_PFO;
		return;
	}
	record[0] = iova;
	record[1] =
		VTD_FRCD_F | (read ? VTD_FRCD_T1 : 0) | (uint64_t)reason << VTD_FRCD_FR_SHIFT | sid;
	if (!(*fsts & VTD_FSTS_PPF)) /* FRI: the first pending record */
		*fsts = (*fsts & ~VTD_FSTS_FRI) | VTD_FSTS_PPF |
			f->next_record << VTD_FSTS_FRI_SHIFT;
	f->next_record = (f->next_record + 1) % nfr;
}

/** PPF is set while any record has F set. */
static inline void fake_pending(struct fake_unit *f)
{
	unsigned int nfr = VTD_FIELD(*fake_reg64(f, VTD_CAP), VTD_CAP_NFR) + 1;

	for (unsigned int i = 0; i < nfr; i++)
		if (*fake_reg64(f, FAKE_FRO + 16 * i + 8) & VTD_FRCD_F)
			return;
	*fake_reg32(f, VTD_FSTS) &= ~VTD_FSTS_PPF;
}

static inline uint32_t fake_read32(void *ctx, uint32_t reg)
{
	return *fake_reg32(ctx, reg);
}

static inline uint64_t fake_read64(void *ctx, uint32_t reg)
{
	return *fake_reg64(ctx, reg);
}

static inline void fake_record(struct fake_unit *f, uint32_t reg, uint64_t value)
{
	f->event[f->nr_events++ % FAKE_EVENTS] = (struct fake_event){ reg, value, f->nr_descs,
		f->watched != NULL ? *f->watched : 0 };
}

static inline void fake_write32(void *ctx, uint32_t reg, uint32_t value)
{
	struct fake_unit *f = ctx;

	fake_record(f, reg, value);
	if (reg == VTD_GCMD) {
		fake_gcmd(f, value);
	} else if (reg == VTD_FSTS) {
		*fake_reg32(f, reg) &= ~value;
		if (!f->lazy)
			fake_process(f);
	} else if (reg >= FAKE_FRO && reg % 16 == 12) {
		*fake_reg32(f, reg) &= ~value;
		fake_pending(f);
	} else if (reg == VTD_PMEN) {
		*fake_reg32(f, reg) = value | (value & VTD_PMEN_EPM ? VTD_PMEN_PRS : 0);
	} else {
		*fake_reg32(f, reg) = value;
	}
}

static inline void fake_write64(void *ctx, uint32_t reg, uint64_t value)
{
	struct fake_unit *f = ctx;

	fake_record(f, reg, value);
	if (reg == VTD_CCMD && !f->stuck_ccmd)
		value &= ~VTD_CCMD_ICC;
	else if (reg == FAKE_IRO + VTD_IOTLB)
		value &= ~VTD_IOTLB_IVT;
	*fake_reg64(f, reg) = value;
	if (reg == VTD_IQT)
		fake_process(f);
}

static inline void fake_init(struct fake_unit *f)
{
	memset(f, 0, sizeof(*f));
	*fake_reg32(f, VTD_VER) = 0x10;
	*fake_reg64(f, VTD_CAP) = FAKE_CAP;
	*fake_reg64(f, VTD_ECAP) = FAKE_ECAP;
}

static inline struct moat_vtd_conf fake_conf(struct fake_unit *f)
{
	return (struct moat_vtd_conf){
		.name = "fake0",
		.window = { .read32 = fake_read32,
			.read64 = fake_read64,
			.write32 = fake_write32,
			.write64 = fake_write64,
			.ctx = f },
		.deadline_ms = 50,
	};
}

/** @return the index of the first write at or after `from` to `reg` with all of `bits` set; -1:
 * none */
static inline int fake_find(const struct fake_unit *f, int from, uint32_t reg, uint64_t bits)
{
	for (unsigned int i = from; i < f->nr_events; i++)
		if (f->event[i].reg == reg && (f->event[i].value & bits) == bits)
			return i;
	return -1;
}

#endif /* FAKE_UNIT_H */
