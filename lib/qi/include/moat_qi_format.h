/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_QI_FORMAT_H
#define MOAT_QI_FORMAT_H

/**
 * @file
 * The 128-bit descriptors of the invalidation queue, as the VT-d specification, "Invalidation
 * Descriptors", lays them out. Bits that no layout names are reserved and 0. moat_vtd_regs.h
 * includes this file, which lies here because lib/qi encodes descriptors.
 *
 * A macro with an argument shifts a value into its field. Fields are in the low quadword unless the
 * comment says otherwise.
 */

#include <stdint.h>

/* Types: bits 3:0, and 11:9, which are 0 in all of these. */
#define VTD_QI_CONTEXT          0x1
#define VTD_QI_IOTLB            0x2
#define VTD_QI_DEVICE_TLB       0x3
#define VTD_QI_INT_ENTRY        0x4
#define VTD_QI_WAIT             0x5
#define VTD_QI_PASID_IOTLB      0x6
#define VTD_QI_PASID_CACHE      0x7
#define VTD_QI_PASID_DEVICE_TLB 0x8

/* Fields that several kinds share. */
#define VTD_QI_G(g)     ((uint64_t)(g) << 4) /* 5:4: granularity */
#define VTD_QI_GLOBAL   1                    /* its values, for context cache and IOTLB */
#define VTD_QI_DOMAIN   2
#define VTD_QI_DEVICE   3                                 /* context cache: device-selective */
#define VTD_QI_PAGE     3                                 /* IOTLB: page-selective-within-domain */
#define VTD_QI_DID(did) ((uint64_t)(uint16_t)(did) << 16) /* 31:16: domain-id */
#define VTD_QI_PASID(p) ((uint64_t)((p)&0xfffff) << 32)   /* 51:32 */

/* Fields of the IOTLB kinds, in the high quadword. */
#define VTD_QI_ADDR(iova) ((iova) & ~UINT64_C(0xfff)) /* 63:12 */
#define VTD_QI_AM(am)     ((uint64_t)(am)&0x3f)       /* 5:0: address mask */
#define VTD_QI_IH(ih)     ((uint64_t) !!(ih) << 6)    /* invalidation hint */

#define VTD_QI_CC_SID(sid)  ((uint64_t)(sid) << 32)       /* context cache, 47:32 */
#define VTD_QI_CC_FM(fm)    ((uint64_t)((fm)&3) << 48)    /* 49:48: function mask */
#define VTD_QI_IOTLB_DW     (UINT64_C(1) << 6)            /* drain writes */
#define VTD_QI_IOTLB_DR     (UINT64_C(1) << 7)            /* drain reads */
#define VTD_QI_IEC_G        (UINT64_C(1) << 4)            /* interrupt entry: index-selective */
#define VTD_QI_IEC_IM(im)   ((uint64_t)((im)&0x1f) << 27) /* 31:27: index mask */
#define VTD_QI_IEC_IIDX(i)  ((uint64_t)(i) << 32)         /* 47:32: interrupt index */
#define VTD_QI_WAIT_IF      (UINT64_C(1) << 4)            /* interrupt flag */
#define VTD_QI_WAIT_SW      (UINT64_C(1) << 5)            /* status write; the address is `hi` */
#define VTD_QI_WAIT_FN      (UINT64_C(1) << 6)            /* fence */
#define VTD_QI_WAIT_DATA(d) ((uint64_t)(d) << 32)         /* 63:32 */

/* Device-TLB kinds. PFSID is split: 15:12 and 63:52. */
#define VTD_QI_PFSID(id)     ((uint64_t)((id)&0xf) << 12 | (uint64_t)((id) >> 4) << 52)
#define VTD_QI_DEV_MIP(n)    ((uint64_t)((n)&0x1f) << 16) /* 20:16: max invalidations pending */
#define VTD_QI_DEV_SID(sid)  ((uint64_t)(sid) << 32)      /* 47:32 */
#define VTD_QI_DEV_S         (UINT64_C(1) << 0)           /* of `hi` */
#define VTD_QI_PDEV_MIP(n)   ((uint64_t)((n)&0x1f) << 4)  /* 8:4 */
#define VTD_QI_PDEV_SID(sid) ((uint64_t)(sid) << 16)      /* 31:16 */
#define VTD_QI_PDEV_G        (UINT64_C(1) << 0)           /* of `hi` */
#define VTD_QI_PDEV_S        (UINT64_C(1) << 11)          /* of `hi` */

#endif /* MOAT_QI_FORMAT_H */
