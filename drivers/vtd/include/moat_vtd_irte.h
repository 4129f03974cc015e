/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_IRTE_H
#define MOAT_VTD_IRTE_H

/**
 * @file
 * Interrupt remapping as the VT-d specification draws it ("Interrupt Remapping"): the request, the
 * interrupt-remapping table entry (IRTE), the posted-interrupt descriptor. Names as in
 * moat_vtd_regs.h; this header only has definitions.
 *
 * A write of four bytes to 0xFEEx_xxxx is an interrupt request, whatever the DMA tables say. In
 * *remappable format* the request carries an index into the interrupt-remapping table, and the
 * entry there says which vector of which processor is interrupted and which source-ids may use the
 * entry. In *compatibility format* the request itself carries vector and processor.
 */

#include <stdint.h>

#include "moat_unit.h"

/* IRTA: interrupt-remapping table address */
#define VTD_IRTA_S    UINT64_C(0xf)       /* the table has 2^(S+1) entries */
#define VTD_IRTA_EIME (UINT64_C(1) << 11) /* x2APIC: 32-bit destinations, no compatibility format */
#define VTD_IRTA_IRTA UINT64_C(0xfffffffffffff000)

/* Address of a request */
#define VTD_MSI_BASE              MOAT_MSI_BASE
#define VTD_MSI_REMAPPABLE        (UINT64_C(1) << 4) /* the format; clear: compatibility */
#define VTD_MSI_SHV               (UINT64_C(1) << 3) /* the data's bits 15:0 add to the handle */
#define VTD_MSI_HANDLE(i)         ((uint64_t)((i)&0x7fff) << 5 | (uint64_t)((i) >> 15 & 1) << 2)
#define VTD_MSI_INDEX(addr)       (((addr) >> 5 & 0x7fff) | ((addr) >> 2 & 1) << 15)
/* ... and of one in compatibility format */
#define VTD_MSI_COMPAT_DEST(addr) ((addr) >> 12 & 0xff)
#define VTD_MSI_COMPAT_RH         (UINT64_C(1) << 3)
#define VTD_MSI_COMPAT_DM         (UINT64_C(1) << 2)

/* IRTE, low half; both forms */
#define VTD_IRTE_P            (UINT64_C(1) << 0)
#define VTD_IRTE_FPD          (UINT64_C(1) << 1)  /* faults of the entry are not recorded */
#define VTD_IRTE_IM           (UINT64_C(1) << 15) /* posted form; needs CAP.PI */
#define VTD_IRTE_VECTOR_SHIFT 16
#define VTD_IRTE_VECTOR       (UINT64_C(0xff) << 16)
/* ... remapped form */
#define VTD_IRTE_DM           (UINT64_C(1) << 2) /* logical destination */
#define VTD_IRTE_RH           (UINT64_C(1) << 3) /* redirection hint */
#define VTD_IRTE_TM           (UINT64_C(1) << 4) /* level-triggered */
#define VTD_IRTE_DLM_SHIFT    5
#define VTD_IRTE_DLM          (UINT64_C(7) << 5)
#define VTD_IRTE_DST_SHIFT    32
#define VTD_IRTE_DST          (UINT64_C(0xffffffff) << 32)
#define VTD_IRTE_DST_XAPIC    (UINT64_C(0xff) << 40) /* EIME clear: the rest of DST is reserved */
#define VTD_IRTE_RSVD_LO      UINT64_C(0x00000000ff007000)
/* ... posted form */
#define VTD_IRTE_URG          (UINT64_C(1) << 14)
#define VTD_IRTE_PDAL         UINT64_C(0xffffffc000000000) /* descriptor's address, bits 31:6 */
#define VTD_IRTE_POST_RSVD_LO UINT64_C(0x0000003fff0030fc)
/* IRTE, high half */
#define VTD_IRTE_SID          UINT64_C(0xffff)
#define VTD_IRTE_SQ_SHIFT     16
#define VTD_IRTE_SQ           (UINT64_C(3) << 16) /* low bits of the function that are ignored */
#define VTD_IRTE_SVT_SHIFT    18
#define VTD_IRTE_SVT          (UINT64_C(3) << 18)
#define VTD_IRTE_RSVD_HI      UINT64_C(0xfffffffffff00000)
#define VTD_IRTE_POST_RSVD_HI UINT64_C(0x00000000fff00000)
#define VTD_IRTE_PDAH         UINT64_C(0xffffffff00000000) /* descriptor's address, bits 63:32 */

/** IRTE, SVT: how the source-id of a request is verified. */
enum vtd_svt {
	VTD_SVT_NONE = 0, /* any source may use the entry */
	VTD_SVT_SID = 1,  /* the source must be SID; bits that SQ names are ignored */
	VTD_SVT_BUS = 2,  /* the source's bus must be from SID 15:8 to SID 7:0 */
};

/** The posted-interrupt descriptor: 64 bytes, aligned to 64. */
struct vtd_pi_desc {
	uint64_t pir[4]; /* requested vectors, a bit each */
	uint64_t control;
	uint64_t reserved[3];
};
#define VTD_PI_ON         (UINT64_C(1) << 0) /* a notification is outstanding */
#define VTD_PI_SN         (UINT64_C(1) << 1) /* notifications are suppressed */
#define VTD_PI_NV_SHIFT   16                 /* vector of the notification ... */
#define VTD_PI_NV         (UINT64_C(0xff) << 16)
#define VTD_PI_NDST_SHIFT 32 /* ... and its destination */
#define VTD_PI_NDST       (UINT64_C(0xffffffff) << 32)
#define VTD_PI_RSVD       UINT64_C(0x00000000ff00fffc)

#endif /* MOAT_VTD_IRTE_H */
