/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_CAPS_H
#define MOAT_VTD_CAPS_H

/**
 * @file
 * What a unit says of itself (VER, CAP, ECAP), taken apart once. Members carry the specification's
 * names in lower case, in the units one computes with: counts are counts, offsets are bytes.
 */

#include "moat_unit.h"
#include "moat_vtd_window.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Members are named as the fields are (moat_vtd_regs.h); a few keep the name that earlier editions
 * of the specification have: sllps is SSLPS, fl1gp FS1GP, fl5lp FS5LP, slts SSTS, flts FSTS, slads
 * SSADS. */
struct moat_vtd_caps {
	uint64_t cap, ecap; /* as read */
	uint8_t ver_major, ver_minor;

	/* CAP */
	uint32_t nd;          /* domain-ids: 2^(4 + 2 * CAP.ND) */
	bool rwbf;            /* write-buffer flush needed */
	bool plmr, phmr;      /* protected low, high memory region */
	bool cm;              /* caching mode */
	uint8_t sagaw;        /* bit 1: 39, bit 2: 48, bit 3: 57 bits */
	uint8_t mgaw;         /* bits of IOVA: CAP.MGAW + 1 */
	bool zlr;             /* zero-length reads of write-only pages */
	uint16_t fro;         /* byte offset of the first fault recording register */
	uint8_t sllps;        /* bit 0: 2 MiB, bit 1: 1 GiB leaves */
	bool psi;             /* page-selective IOTLB invalidation */
	uint16_t nfr;         /* fault recording registers: CAP.NFR + 1 */
	uint8_t mamv;         /* largest address mask */
	bool dwd, drd;        /* drain writes, reads */
	bool fl1gp, fl5lp;    /* first stage: 1 GiB leaves, five levels */
	bool pi;              /* posted interrupts */
	bool esrtps, esirtps; /* setting a table pointer invalidates */

	/* ECAP */
	bool c;       /* walks snoop */
	bool qi;      /* queued invalidation */
	bool dt;      /* device TLB */
	bool ir, eim; /* interrupt remapping, x2APIC */
	bool pt;      /* pass-through */
	bool sc;      /* snoop control */
	uint16_t iro; /* byte offset of IVA and IOTLB */
	uint8_t mhmv; /* largest interrupt-index mask */
	bool nest, prs, ers, srs, nwfs, eafs;
	uint8_t pss; /* PASID bits: ECAP.PSS + 1; 0 without PASID */
	bool pasid, dit, pds;
	bool smts, slts, flts, slads; /* scalable mode; second, first stage in it; A/D bits */
	bool smpwcs; /* in scalable mode walks snoop where the PASID entry says so */
	bool pms;    /* counts events (perf's dmar*) */
};

/**
 * Take CAP and ECAP apart. No access to any unit.
 *
 * @param ver as VER reads
 * @param cap as CAP reads
 * @param ecap as ECAP reads
 * @param caps receives the capabilities
 *
 * Thread-safe. Control path.
 */
void moat_vtd_caps_decode(uint32_t ver, uint64_t cap, uint64_t ecap, struct moat_vtd_caps *caps);

/**
 * Read and decode a unit's capabilities.
 *
 * @param window the unit's registers
 * @param caps receives the capabilities
 * @return 0
 * @return -ENODEV: there is no unit behind the window (it reads all ones or zero)
 * @return -EPROTO: the registers contradict each other or reach beyond the page
 *
 * moat_error_text() has the value. Thread-safe: it only reads. Control path.
 */
int moat_vtd_caps_read(const struct moat_vtd_window *window, struct moat_vtd_caps *caps);

/**
 * What the layers above need of the capabilities. No access to any unit.
 *
 * @param caps the capabilities
 * @param unit receives it
 *
 * Thread-safe. Control path.
 */
void moat_vtd_caps_unit(const struct moat_vtd_caps *caps, struct moat_unit_caps *unit);

/**
 * The capabilities as lines "NAME value, in words", the specification's names; for moat-doctor.
 *
 * @param caps the capabilities
 * @param text receives the lines; what does not fit is cut, as snprintf() does
 * @param len of `text`, bytes
 * @return the length of the text without its NUL
 *
 * Thread-safe. Control path.
 */
int moat_vtd_caps_text(const struct moat_vtd_caps *caps, char *text, size_t len);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_CAPS_H */
