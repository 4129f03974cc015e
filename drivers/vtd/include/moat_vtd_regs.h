/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_REGS_H
#define MOAT_VTD_REGS_H

/**
 * @file
 * The VT-d specification is, here and in every other file, the "Intel Virtualization Technology for
 * Directed I/O Architecture Specification", revision 4.1 (March 2023). Section numbers and titles
 * are that edition's, and so are the names of fields (second stage, SSPTPTR, SSLPS), which older
 * editions name differently.
 *
 * A DMA-remapping unit as that specification defines it: registers ("Register Descriptions"),
 * table entries ("Translation Structure Formats"), fault reasons ("Fault Reason Encodings"). Names
 * are the specification's; this header only has definitions.
 *
 * VTD_<REG> is the offset of a register in the unit's 4 KiB page. VTD_<REG>_<FIELD> is a bit or,
 * for fields, a shifted mask with VTD_<REG>_<FIELD>_SHIFT beside it; VTD_FIELD() reads one.
 */

#include <stdint.h>

#include "moat_qi_format.h" /* VTD_QI_*: descriptors of the invalidation queue */

/** Get a field of a register's value: VTD_FIELD(cap, VTD_CAP_MAMV). */
#define VTD_FIELD(value, field) (((value) & (field)) >> field##_SHIFT)

/* -------------------------------------------------------------------------------- registers */

#define VTD_VER      0x00 /* 32: version */
#define VTD_CAP      0x08 /* 64: capabilities */
#define VTD_ECAP     0x10 /* 64: extended capabilities */
#define VTD_GCMD     0x18 /* 32, wo: global command */
#define VTD_GSTS     0x1c /* 32, ro: global status */
#define VTD_RTADDR   0x20 /* 64: root-table address */
#define VTD_CCMD     0x28 /* 64: context command */
#define VTD_FSTS     0x34 /* 32: fault status */
#define VTD_FECTL    0x38 /* 32: fault event control */
#define VTD_FEDATA   0x3c /* 32 */
#define VTD_FEADDR   0x40 /* 32 */
#define VTD_FEUADDR  0x44 /* 32 */
#define VTD_PMEN     0x64 /* 32: protected memory enable */
#define VTD_PLMBASE  0x68 /* 32 */
#define VTD_PLMLIMIT 0x6c /* 32 */
#define VTD_PHMBASE  0x70 /* 64 */
#define VTD_PHMLIMIT 0x78 /* 64 */
#define VTD_IQH      0x80 /* 64, ro: invalidation queue head */
#define VTD_IQT      0x88 /* 64: invalidation queue tail */
#define VTD_IQA      0x90 /* 64: invalidation queue address */
#define VTD_ICS      0x9c /* 32: invalidation completion status */
#define VTD_IECTL    0xa0 /* 32: invalidation event control */
#define VTD_IEDATA   0xa4 /* 32 */
#define VTD_IEADDR   0xa8 /* 32 */
#define VTD_IEUADDR  0xac /* 32 */
#define VTD_IQERCD   0xb0 /* 64, ro: invalidation queue error record */
#define VTD_IRTA     0xb8 /* 64: interrupt-remapping table address */

/* Two blocks of registers whose offsets the capability registers give. */
#define VTD_IVA       0x00 /* 64, from ECAP.IRO * 16: invalidate address */
#define VTD_IOTLB     0x08 /* 64, from ECAP.IRO * 16: IOTLB invalidate */
#define VTD_FRCD_SIZE 16   /* bytes of a fault recording register; the first is at CAP.FRO * 16 */

#define VTD_WINDOW_SIZE 0x1000

/* CAP: capability register */
#define VTD_CAP_ND_SHIFT    0
#define VTD_CAP_ND          (UINT64_C(0x7) << 0) /* domain-id bits: 4 + 2 * ND */
#define VTD_CAP_AFL         (UINT64_C(1) << 3)
#define VTD_CAP_RWBF        (UINT64_C(1) << 4)
#define VTD_CAP_PLMR        (UINT64_C(1) << 5)
#define VTD_CAP_PHMR        (UINT64_C(1) << 6)
#define VTD_CAP_CM          (UINT64_C(1) << 7)
#define VTD_CAP_SAGAW_SHIFT 8
#define VTD_CAP_SAGAW       (UINT64_C(0x1f) << 8)
#define VTD_CAP_MGAW_SHIFT  16
#define VTD_CAP_MGAW        (UINT64_C(0x3f) << 16)
#define VTD_CAP_ZLR         (UINT64_C(1) << 22)
#define VTD_CAP_FRO_SHIFT   24
#define VTD_CAP_FRO         (UINT64_C(0x3ff) << 24)
#define VTD_CAP_SSLPS_SHIFT 34 /* bit 34: 2 MiB, bit 35: 1 GiB */
#define VTD_CAP_SSLPS       (UINT64_C(0xf) << 34)
#define VTD_CAP_PSI         (UINT64_C(1) << 39)
#define VTD_CAP_NFR_SHIFT   40
#define VTD_CAP_NFR         (UINT64_C(0xff) << 40) /* fault recording registers: NFR + 1 */
#define VTD_CAP_MAMV_SHIFT  48
#define VTD_CAP_MAMV        (UINT64_C(0x3f) << 48)
#define VTD_CAP_DWD         (UINT64_C(1) << 54)
#define VTD_CAP_DRD         (UINT64_C(1) << 55)
#define VTD_CAP_FS1GP       (UINT64_C(1) << 56)
#define VTD_CAP_PI          (UINT64_C(1) << 59)
#define VTD_CAP_FS5LP       (UINT64_C(1) << 60)
#define VTD_CAP_ESIRTPS     (UINT64_C(1) << 62)
#define VTD_CAP_ESRTPS      (UINT64_C(1) << 63)

/* ECAP: extended capability register */
#define VTD_ECAP_C          (UINT64_C(1) << 0) /* page walks snoop the processor's caches */
#define VTD_ECAP_QI         (UINT64_C(1) << 1)
#define VTD_ECAP_DT         (UINT64_C(1) << 2)
#define VTD_ECAP_IR         (UINT64_C(1) << 3)
#define VTD_ECAP_EIM        (UINT64_C(1) << 4)
#define VTD_ECAP_PT         (UINT64_C(1) << 6)
#define VTD_ECAP_SC         (UINT64_C(1) << 7)
#define VTD_ECAP_IRO_SHIFT  8
#define VTD_ECAP_IRO        (UINT64_C(0x3ff) << 8)
#define VTD_ECAP_MHMV_SHIFT 20
#define VTD_ECAP_MHMV       (UINT64_C(0xf) << 20)
#define VTD_ECAP_MTS        (UINT64_C(1) << 25)
#define VTD_ECAP_NEST       (UINT64_C(1) << 26)
#define VTD_ECAP_PRS        (UINT64_C(1) << 29)
#define VTD_ECAP_ERS        (UINT64_C(1) << 30)
#define VTD_ECAP_SRS        (UINT64_C(1) << 31)
#define VTD_ECAP_NWFS       (UINT64_C(1) << 33)
#define VTD_ECAP_EAFS       (UINT64_C(1) << 34)
#define VTD_ECAP_PSS_SHIFT  35
#define VTD_ECAP_PSS        (UINT64_C(0x1f) << 35)
#define VTD_ECAP_PASID      (UINT64_C(1) << 40)
#define VTD_ECAP_DIT        (UINT64_C(1) << 41)
#define VTD_ECAP_PDS        (UINT64_C(1) << 42)
#define VTD_ECAP_SMTS       (UINT64_C(1) << 43)
#define VTD_ECAP_VCS        (UINT64_C(1) << 44)
#define VTD_ECAP_SSADS      (UINT64_C(1) << 45)
#define VTD_ECAP_SSTS       (UINT64_C(1) << 46)
#define VTD_ECAP_FSTS       (UINT64_C(1) << 47)
#define VTD_ECAP_SMPWCS     (UINT64_C(1) << 48)
#define VTD_ECAP_RPS        (UINT64_C(1) << 49)
#define VTD_ECAP_PMS        (UINT64_C(1) << 51) /* performance monitoring */

/* GCMD and GSTS: a command bit and its status bit are the same bit. */
#define VTD_GCMD_TE    (UINT32_C(1) << 31)
#define VTD_GCMD_SRTP  (UINT32_C(1) << 30) /* one-shot */
#define VTD_GCMD_SFL   (UINT32_C(1) << 29) /* one-shot */
#define VTD_GCMD_EAFL  (UINT32_C(1) << 28)
#define VTD_GCMD_WBF   (UINT32_C(1) << 27) /* one-shot */
#define VTD_GCMD_QIE   (UINT32_C(1) << 26)
#define VTD_GCMD_IRE   (UINT32_C(1) << 25)
#define VTD_GCMD_SIRTP (UINT32_C(1) << 24) /* one-shot */
#define VTD_GCMD_CFI   (UINT32_C(1) << 23)
#define VTD_GSTS_TES   VTD_GCMD_TE
#define VTD_GSTS_RTPS  VTD_GCMD_SRTP
#define VTD_GSTS_FLS   VTD_GCMD_SFL
#define VTD_GSTS_AFLS  VTD_GCMD_EAFL
#define VTD_GSTS_WBFS  VTD_GCMD_WBF
#define VTD_GSTS_QIES  VTD_GCMD_QIE
#define VTD_GSTS_IRES  VTD_GCMD_IRE
#define VTD_GSTS_IRTPS VTD_GCMD_SIRTP
#define VTD_GSTS_CFIS  VTD_GCMD_CFI
/** The bits of GSTS that are written back to GCMD with the next command: all but the one-shot bits
 * (Global Command Register, "read the GSTS_REG, mask it with 96FFFFFFh, ..."). */
#define VTD_GSTS_KEEP  UINT32_C(0x96ffffff)

/* RTADDR */
#define VTD_RTADDR_TTM_SHIFT 10
#define VTD_RTADDR_TTM       (UINT64_C(3) << 10)
#define VTD_RTADDR_RTA       UINT64_C(0xfffffffffffff000)

/* CCMD */
#define VTD_CCMD_ICC         (UINT64_C(1) << 63) /* start; reads 1 until complete */
#define VTD_CCMD_CIRG_GLOBAL (UINT64_C(1) << 61)
#define VTD_CCMD_CIRG_DOMAIN (UINT64_C(2) << 61)
#define VTD_CCMD_CIRG_DEVICE (UINT64_C(3) << 61)
#define VTD_CCMD_CAIG_SHIFT  59
#define VTD_CCMD_CAIG        (UINT64_C(3) << 59) /* actual granularity; 0: refused */
#define VTD_CCMD_FM_SHIFT    32
#define VTD_CCMD_SID_SHIFT   16

/* IOTLB */
#define VTD_IOTLB_IVT         (UINT64_C(1) << 63) /* start; reads 1 until complete */
#define VTD_IOTLB_IIRG_GLOBAL (UINT64_C(1) << 60)
#define VTD_IOTLB_IIRG_DOMAIN (UINT64_C(2) << 60)
#define VTD_IOTLB_IIRG_PAGE   (UINT64_C(3) << 60)
#define VTD_IOTLB_IAIG_SHIFT  57
#define VTD_IOTLB_IAIG        (UINT64_C(3) << 57) /* actual granularity; 0: refused */
#define VTD_IOTLB_DR          (UINT64_C(1) << 49)
#define VTD_IOTLB_DW          (UINT64_C(1) << 48)
#define VTD_IOTLB_DID_SHIFT   32
#define VTD_IVA_IH            (UINT64_C(1) << 6)

/* FSTS: fault status. PFO, IQE, ICE, ITE are cleared by writing 1. */
#define VTD_FSTS_PFO       (UINT32_C(1) << 0)
#define VTD_FSTS_PPF       (UINT32_C(1) << 1) /* ro: a fault recording register has F set */
#define VTD_FSTS_AFO       (UINT32_C(1) << 2)
#define VTD_FSTS_APF       (UINT32_C(1) << 3)
#define VTD_FSTS_IQE       (UINT32_C(1) << 4)
#define VTD_FSTS_ICE       (UINT32_C(1) << 5)
#define VTD_FSTS_ITE       (UINT32_C(1) << 6)
#define VTD_FSTS_FRI_SHIFT 8
#define VTD_FSTS_FRI       (UINT32_C(0xff) << 8)

/* FECTL and IECTL */
#define VTD_FECTL_IM (UINT32_C(1) << 31)
#define VTD_FECTL_IP (UINT32_C(1) << 30)
#define VTD_IECTL_IM (UINT32_C(1) << 31)

/* PMEN */
#define VTD_PMEN_EPM (UINT32_C(1) << 31)
#define VTD_PMEN_PRS (UINT32_C(1) << 0)

/* IQA, IQH, IQT */
#define VTD_IQA_QS  UINT64_C(0x7)
#define VTD_IQA_DW  (UINT64_C(1) << 11) /* 256-bit descriptors */
#define VTD_IQA_IQA UINT64_C(0xfffffffffffff000)
#define VTD_IQH_QH  UINT64_C(0x7fff0) /* byte offset of a 128-bit descriptor */

/* FRCD, high half (bits 127:64) */
#define VTD_FRCD_F           (UINT64_C(1) << 63) /* a fault is recorded; cleared by writing 1 */
#define VTD_FRCD_T1          (UINT64_C(1) << 62) /* T1 T2: 00 write, 01 page request, */
#define VTD_FRCD_T2          (UINT64_C(1) << 28) /*        10 read,  11 atomic        */
#define VTD_FRCD_AT_SHIFT    60 /* address type: 0 untranslated, 1 translation, 2 translated */
#define VTD_FRCD_AT          (UINT64_C(3) << 60)
#define VTD_FRCD_PV_SHIFT    40 /* PASID value, if ... */
#define VTD_FRCD_PV          (UINT64_C(0xfffff) << 40)
#define VTD_FRCD_PP          (UINT64_C(1) << 31) /* ... PASID present */
#define VTD_FRCD_FR_SHIFT    32
#define VTD_FRCD_FR          (UINT64_C(0xff) << 32)
#define VTD_FRCD_SID         UINT64_C(0xffff)
/* FRCD, low half */
#define VTD_FRCD_FI          UINT64_C(0xfffffffffffff000)
#define VTD_FRCD_INDEX_SHIFT 48 /* of an interrupt: its index, in place of FI */

/* ------------------------------------------------------------------ root and context entries */

/** A root entry (of a bus) or, in legacy mode, a context entry (of a function): 128 bits. */
struct vtd_entry {
	uint64_t lo;
	uint64_t hi;
};

#define VTD_ROOT_P       (UINT64_C(1) << 0)
#define VTD_ROOT_CTP     UINT64_C(0xfffffffffffff000)
#define VTD_ROOT_RSVD_LO UINT64_C(0xffe) /* all of `hi` is reserved, too */

#define VTD_CTX_P         (UINT64_C(1) << 0)
#define VTD_CTX_FPD       (UINT64_C(1) << 1)
#define VTD_CTX_TT_SHIFT  2
#define VTD_CTX_TT        (UINT64_C(3) << 2)
#define VTD_CTX_RSVD_LO   UINT64_C(0xff0)
#define VTD_CTX_SSPTPTR   UINT64_C(0xfffffffffffff000)
#define VTD_CTX_AW_SHIFT  0                  /* of `hi` */
#define VTD_CTX_AW        (UINT64_C(7) << 0) /* levels - 2 */
#define VTD_CTX_DID_SHIFT 8
#define VTD_CTX_DID       (UINT64_C(0xffff) << 8)
#define VTD_CTX_RSVD_HI   UINT64_C(0xffffffffff000080) /* bits 6:3 are ignored */

/* ------------------------------------------------------------------- tables of scalable mode */

/** RTADDR.TTM: the form of the tables. */
enum vtd_ttm {
	VTD_TTM_LEGACY = 0,
	VTD_TTM_SCALABLE = 1,
};

/* The two halves of a root entry have the same fields (VTD_ROOT_P, VTD_ROOT_CTP, VTD_ROOT_RSVD_LO):
 * `lo` leads to the context table of devices 0 to 15 of the bus, `hi` to that of 16 to 31. */

/** A scalable-mode context entry: 256 bits. A table has 128 entries. */
struct vtd_sm_context {
	uint64_t word[4];
};
#define VTD_SMC_P          (UINT64_C(1) << 0) /* of word[0] */
#define VTD_SMC_FPD        (UINT64_C(1) << 1)
#define VTD_SMC_DTE        (UINT64_C(1) << 2) /* device-TLB enable */
#define VTD_SMC_PASIDE     (UINT64_C(1) << 3) /* requests with a PASID are served */
#define VTD_SMC_PRE        (UINT64_C(1) << 4) /* page requests are served */
#define VTD_SMC_RSVD       UINT64_C(0x1e0)
#define VTD_SMC_PDTS_SHIFT 9 /* the directory has 2^(PDTS + 7) entries */
#define VTD_SMC_PDTS       (UINT64_C(7) << 9)
#define VTD_SMC_PASIDDIR   UINT64_C(0xfffffffffffff000)
#define VTD_SMC_RID_PASID  UINT64_C(0xfffff) /* of word[1]: PASID of requests without one */
#define VTD_SMC_RID_PRIV   (UINT64_C(1) << 20)
#define VTD_SMC_RSVD_HI    UINT64_C(0xffffffffffe00000)

/* A PASID directory entry, 64 bits, leads to a table of 64 PASID entries. */
#define VTD_PDE_P           (UINT64_C(1) << 0)
#define VTD_PDE_FPD         (UINT64_C(1) << 1)
#define VTD_PDE_RSVD        UINT64_C(0xffc)
#define VTD_PDE_SMPTBLPTR   UINT64_C(0xfffffffffffff000)
#define VTD_PASID_DIR_SHIFT 6 /* a table has 2^6 PASIDs, a directory leads to 2^(PDTS + 13) */

/** A PASID table entry: 512 bits. */
struct vtd_pasid_entry {
	uint64_t word[8];
};
#define VTD_PE_P          (UINT64_C(1) << 0) /* of word[0] */
#define VTD_PE_FPD        (UINT64_C(1) << 1)
#define VTD_PE_AW_SHIFT   2
#define VTD_PE_AW         (UINT64_C(7) << 2) /* levels of second-stage tables, minus 2 */
#define VTD_PE_PGTT_SHIFT 6
#define VTD_PE_PGTT       (UINT64_C(7) << 6)
#define VTD_PE_SSADE      (UINT64_C(1) << 9)
#define VTD_PE_RSVD       UINT64_C(0xc20)
#define VTD_PE_SSPTPTR    UINT64_C(0xfffffffffffff000)
#define VTD_PE_DID        UINT64_C(0xffff)    /* of word[1] */
#define VTD_PE_PWSNP      (UINT64_C(1) << 23) /* table walks snoop (ECAP.SMPWCS) */
#define VTD_PE_PGSNP      (UINT64_C(1) << 24) /* requests snoop (ECAP.SC) */
#define VTD_PE_RSVD_HI    UINT64_C(0x7f0000)
#define VTD_PE_SRE        (UINT64_C(1) << 0) /* of word[2]: requests with privilege are served */
#define VTD_PE_FSPM_SHIFT 2
#define VTD_PE_FSPM       (UINT64_C(3) << 2) /* 0: 4 levels, 1: 5 */
#define VTD_PE_WPE        (UINT64_C(1) << 4)
#define VTD_PE_NXE        (UINT64_C(1) << 5)
#define VTD_PE_EAFE       (UINT64_C(1) << 7)
#define VTD_PE_RSVD_FS    UINT64_C(0xf42)
#define VTD_PE_FSPTPTR    UINT64_C(0xfffffffffffff000)

/** PASID entry, PGTT: how requests with the PASID are translated. */
enum vtd_pgtt {
	VTD_PGTT_FIRST_STAGE = 1,
	VTD_PGTT_SECOND_STAGE = 2,
	VTD_PGTT_NESTED = 3,
	VTD_PGTT_PASS_THROUGH = 4,
};

/** Context entry, TT: how the requests of a source are treated. */
enum vtd_tt {
	VTD_TT_SECOND_STAGE = 0, /* untranslated requests are translated, others are blocked */
	VTD_TT_DEVICE_TLB = 1,   /* translation and translated requests (ATS) are served, too */
	VTD_TT_PASS_THROUGH = 2, /* untranslated requests pass as they are */
};

/* ------------------------------------------------------------------------------ fault reasons */

/** Fault reasons of DMA and of interrupt requests ("Fault Reason Encodings"). */
enum vtd_fault_reason {
	VTD_FR_ROOT_P = 0x1,         /* root entry not present */
	VTD_FR_CONTEXT_P = 0x2,      /* context entry not present */
	VTD_FR_CONTEXT_INV = 0x3,    /* context entry programmed wrongly (AW, TT) */
	VTD_FR_BEYOND_AW = 0x4,      /* address beyond MGAW or the context entry's AW */
	VTD_FR_WRITE = 0x5,          /* write, and W is clear on the walk */
	VTD_FR_READ = 0x6,           /* read, and R is clear on the walk */
	VTD_FR_PAGING_ACCESS = 0x7,  /* a paging entry cannot be fetched */
	VTD_FR_ROOT_ACCESS = 0x8,    /* the root table cannot be fetched */
	VTD_FR_CONTEXT_ACCESS = 0x9, /* the context table cannot be fetched */
	VTD_FR_ROOT_RSVD = 0xa,      /* reserved bit set in a root entry */
	VTD_FR_CONTEXT_RSVD = 0xb,   /* reserved bit set in a context entry */
	VTD_FR_PAGING_RSVD = 0xc,    /* reserved bit set in a paging entry */
	VTD_FR_TT_BLOCKED = 0xd,     /* translated or translation request where TT allows none */
	VTD_FR_OUTPUT_INTERRUPT =
		0xe,                /* the translation leads into the interrupt range, 0xfeexxxxx */
	VTD_FR_IR_RSVD = 0x20,      /* reserved bits in an interrupt request */
	VTD_FR_IR_INDEX = 0x21,     /* index beyond the interrupt-remapping table */
	VTD_FR_IR_P = 0x22,         /* IRTE not present */
	VTD_FR_IR_ACCESS = 0x23,    /* the interrupt-remapping table cannot be fetched */
	VTD_FR_IR_IRTE_RSVD = 0x24, /* reserved bit set in an IRTE */
	VTD_FR_IR_COMPAT = 0x25,    /* compatibility-format interrupt, and the format is blocked */
	VTD_FR_IR_SID = 0x26,       /* the source-id may not use the IRTE */
	VTD_FR_PI_ACCESS = 0x27,    /* the posted-interrupt descriptor cannot be fetched */
	VTD_FR_PI_RSVD = 0x28,      /* reserved bit set in a posted-interrupt descriptor */
	VTD_FR_TTM_RSVD = 0x30,     /* RTADDR.TTM has a reserved value, or one not supported */
	VTD_FR_TTM_PASID = 0x31,    /* request with a PASID, and the mode is legacy */
	/* Scalable mode. */
	VTD_FR_SM_ROOT_ACCESS = 0x38, /* the root table cannot be fetched */
	VTD_FR_SM_ROOT_P = 0x39,      /* root entry not present */
	VTD_FR_SM_ROOT_RSVD = 0x3a,   /* reserved bit set in a root entry */
	VTD_FR_SM_CONTEXT_ACCESS = 0x40,
	VTD_FR_SM_CONTEXT_P = 0x41,
	VTD_FR_SM_CONTEXT_RSVD = 0x42,
	VTD_FR_SM_CONTEXT_INV = 0x43,   /* context entry programmed wrongly */
	VTD_FR_SM_DTE = 0x44,           /* translated or translation request, and DTE is clear */
	VTD_FR_SM_PASIDE = 0x45,        /* request with a PASID, and PASIDE is clear */
	VTD_FR_SM_PASID_RANGE = 0x46,   /* PASID beyond the directory */
	VTD_FR_SM_PRE = 0x47,           /* page request, and PRE is clear */
	VTD_FR_SM_RID_PASID = 0x48,     /* RID_PASID beyond the directory */
	VTD_FR_PASID_DIR_ACCESS = 0x50, /* the PASID directory cannot be fetched */
	VTD_FR_PASID_DIR_P = 0x51,
	VTD_FR_PASID_DIR_RSVD = 0x52,
	VTD_FR_PASID_ACCESS = 0x58, /* the PASID table cannot be fetched */
	VTD_FR_PASID_P = 0x59,
	VTD_FR_PASID_RSVD = 0x5a,
	VTD_FR_PASID_INV = 0x5b,      /* PASID entry programmed wrongly (PGTT, AW, FSPM) */
	VTD_FR_PASID_ERE = 0x5c,      /* request to execute, and ERE is clear */
	VTD_FR_PASID_SRE = 0x5d,      /* request with privilege, and SRE is clear */
	VTD_FR_FS_ACCESS = 0x70,      /* a first-stage entry cannot be fetched */
	VTD_FR_FS_P = 0x71,           /* first-stage entry not present */
	VTD_FR_FS_RSVD = 0x72,        /* reserved bit set in a first-stage entry */
	VTD_FR_FS_ROOT_ACCESS = 0x73, /* the first-stage table at FSPTPTR cannot be fetched */
	VTD_FR_NEST_BEYOND = 0x74,    /* first stage leads beyond what second stage translates */
	VTD_FR_NEST_ROOT_READ = 0x75, /* second stage permits no read of the table at FSPTPTR, */
	VTD_FR_NEST_READ = 0x76,      /* ... of a table further down, */
	VTD_FR_NEST_WRITE = 0x77,     /* ... no write of Accessed or Dirty */
	VTD_FR_SS_ACCESS = 0x78,      /* a second-stage entry cannot be fetched */
	VTD_FR_SS_P = 0x79,           /* second-stage entry permits neither read nor write */
	VTD_FR_SS_RSVD = 0x7a,        /* reserved bit set in a second-stage entry */
	VTD_FR_SS_ROOT_ACCESS = 0x7b, /* the second-stage table at SSPTPTR cannot be fetched */
	VTD_FR_SS_AD = 0x7c,          /* second-stage A/D update while walks do not snoop */
	VTD_FR_SM_CANONICAL = 0x80,   /* address not canonical for first stage */
	VTD_FR_SM_USER = 0x81,        /* U/S is clear on the walk */
	VTD_FR_SM_EXECUTE = 0x82,     /* request to execute without permission */
	VTD_FR_SM_BEYOND_HAW = 0x83,  /* address beyond what the unit can put out */
	VTD_FR_SM_BEYOND_AW = 0x84,   /* address beyond MGAW or AW of second stage */
	VTD_FR_SM_WRITE = 0x85,       /* write, and no permission on the walk */
	VTD_FR_SM_READ = 0x86,        /* read, and no permission on the walk */
	VTD_FR_SM_INTERRUPT = 0x87,   /* the translation leads into the interrupt range */
	VTD_FR_FS_AD = 0x90,          /* first-stage A/D update while walks do not snoop */
};

#endif /* MOAT_VTD_REGS_H */
