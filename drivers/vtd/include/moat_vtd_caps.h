/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_CAPS_H
#define MOAT_VTD_CAPS_H

/**
 * @file
 * A unit's capability registers (VER, CAP, ECAP), decoded once. Members have the specification's
 * names in lower case; counts are decoded to numbers, offsets are in bytes.
 */

#include "moat_unit.h"
#include "moat_vtd_window.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Members have the names of the registers' fields (moat_vtd_regs.h). A few have the name of
 * earlier editions of the specification: sllps is SSLPS, fl1gp FS1GP, fl5lp FS5LP, slts SSTS, flts
 * FSTS, slads SSADS. */
struct moat_vtd_caps {
	uint64_t cap, ecap; /* as read */
	uint8_t ver_major, ver_minor;

	/* CAP */
	uint32_t nd;          /* domain-ids: 2^(4 + 2 * CAP.ND) */
	bool rwbf;            /* write-buffer flush needed */
	bool plmr, phmr;      /* protected low, high memory region */
	bool cm;              /* caching mode */
	uint8_t sagaw;        /* widths of IOVA: bit 1: 39, bit 2: 48, bit 3: 57 bits */
	uint8_t mgaw;         /* bits of IOVA: CAP.MGAW + 1 */
	bool zlr;             /* zero-length reads of write-only pages pass */
	uint16_t fro;         /* byte offset of the first fault recording register */
	uint8_t sllps;        /* bit 0: 2 MiB, bit 1: 1 GiB leaves */
	bool psi;             /* page-selective IOTLB invalidation */
	uint16_t nfr;         /* fault recording registers: CAP.NFR + 1 */
	uint8_t mamv;         /* largest address mask */
	bool dwd, drd;        /* invalidations drain writes, reads */
	bool fl1gp, fl5lp;    /* first stage: 1 GiB leaves, five levels */
	bool pi;              /* posted interrupts */
	bool esrtps, esirtps; /* setting the root, interrupt table invalidates caches */

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
	bool smts, slts, flts, slads; /* scalable mode; its second, first stage; A/D bits */
	bool smpwcs;                  /* in scalable mode, walks snoop if the PASID entry says so */
	bool pms;                     /* performance monitoring (perf's dmar*) */
};

/**
 * Decode the capability registers, without access to any unit.
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
 * Derive the capabilities that the layers above use, without access to any unit.
 *
 * @param caps the capabilities
 * @param unit receives what the layers above use
 *
 * Thread-safe. Control path.
 */
void moat_vtd_caps_unit(const struct moat_vtd_caps *caps, struct moat_unit_caps *unit);

/**
 * Write the capabilities as lines of name, value and explanation, for moat-doctor. Names are the
 * specification's.
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
