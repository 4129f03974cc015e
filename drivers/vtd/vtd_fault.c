/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include "vtd_impl.h"

static const char *const fault_text[] = {
	[VTD_FR_ROOT_P] = "no root entry for the bus",
	[VTD_FR_CONTEXT_P] = "the source is attached to no domain",
	[VTD_FR_CONTEXT_INV] = "context entry programmed wrongly",
	[VTD_FR_BEYOND_AW] = "address beyond the domain's width",
	[VTD_FR_WRITE] = "write to a page without write permission, or not mapped",
	[VTD_FR_READ] = "read of a page without read permission, or not mapped",
	[VTD_FR_PAGING_ACCESS] = "page table out of the unit's reach",
	[VTD_FR_ROOT_ACCESS] = "root table out of the unit's reach",
	[VTD_FR_CONTEXT_ACCESS] = "context table out of the unit's reach",
	[VTD_FR_ROOT_RSVD] = "reserved bit set in a root entry",
	[VTD_FR_CONTEXT_RSVD] = "reserved bit set in a context entry",
	[VTD_FR_PAGING_RSVD] = "reserved bit set in a paging entry",
	[VTD_FR_TT_BLOCKED] = "translated request from a source that may not make any",
	[VTD_FR_OUTPUT_INTERRUPT] = "translation into the interrupt range",
	[VTD_FR_IR_RSVD] = "interrupt request with reserved bits set",
	[VTD_FR_IR_INDEX] = "interrupt index beyond the remapping table",
	[VTD_FR_IR_P] = "interrupt-remapping entry not present",
	[VTD_FR_IR_ACCESS] = "interrupt-remapping table out of the unit's reach",
	[VTD_FR_IR_IRTE_RSVD] = "reserved bit set in an interrupt-remapping entry",
	[VTD_FR_IR_COMPAT] = "compatibility-format interrupt blocked",
	[VTD_FR_IR_SID] = "interrupt-remapping entry belongs to another source",
	[VTD_FR_PI_ACCESS] = "posted-interrupt descriptor out of the unit's reach",
	[VTD_FR_PI_RSVD] = "reserved bit set in a posted-interrupt descriptor",
	[VTD_FR_TTM_RSVD] = "translation table mode (RTADDR.TTM) that the unit does not have",
	[VTD_FR_TTM_PASID] = "request with a PASID while the unit is in legacy mode",
	[VTD_FR_SM_ROOT_ACCESS] = "root table out of the unit's reach",
	[VTD_FR_SM_ROOT_P] = "no root entry for the bus",
	[VTD_FR_SM_ROOT_RSVD] = "reserved bit set in a root entry",
	[VTD_FR_SM_CONTEXT_ACCESS] = "context table out of the unit's reach",
	[VTD_FR_SM_CONTEXT_P] = "the source is attached to no domain",
	[VTD_FR_SM_CONTEXT_RSVD] = "reserved bit set in a context entry",
	[VTD_FR_SM_CONTEXT_INV] = "context entry programmed wrongly",
	[VTD_FR_SM_DTE] = "translated request from a source that may not make any",
	[VTD_FR_SM_PASIDE] = "request with a PASID from a source that may not use any",
	[VTD_FR_SM_PASID_RANGE] = "PASID beyond the source's PASID directory",
	[VTD_FR_SM_PRE] = "page request from a source that may not make any",
	[VTD_FR_SM_RID_PASID] = "RID_PASID beyond the source's PASID directory",
	[VTD_FR_PASID_DIR_ACCESS] = "PASID directory out of the unit's reach",
	[VTD_FR_PASID_DIR_P] = "the PASID is attached to no domain",
	[VTD_FR_PASID_DIR_RSVD] = "reserved bit set in a PASID directory entry",
	[VTD_FR_PASID_ACCESS] = "PASID table out of the unit's reach",
	[VTD_FR_PASID_P] = "the PASID is attached to no domain",
	[VTD_FR_PASID_RSVD] = "reserved bit set in a PASID entry",
	[VTD_FR_PASID_INV] = "PASID entry programmed wrongly",
	[VTD_FR_PASID_ERE] = "request to execute, which the PASID entry does not permit",
	[VTD_FR_PASID_SRE] = "request with privilege, which the PASID entry does not permit",
	[VTD_FR_FS_ACCESS] = "first-stage table out of the unit's reach",
	[VTD_FR_FS_P] = "page not mapped in first stage",
	[VTD_FR_FS_RSVD] = "reserved bit set in a first-stage entry",
	[VTD_FR_FS_ROOT_ACCESS] = "first-stage root table out of the unit's reach",
	[VTD_FR_NEST_BEYOND] = "first-stage address beyond the width of second stage",
	[VTD_FR_NEST_ROOT_READ] = "second stage permits no read of the first-stage root table",
	[VTD_FR_NEST_READ] = "second stage permits no read of a first-stage table",
	[VTD_FR_NEST_WRITE] = "second stage permits no write of a first-stage table",
	[VTD_FR_SS_ACCESS] = "second-stage table out of the unit's reach",
	[VTD_FR_SS_P] = "page not mapped in second stage",
	[VTD_FR_SS_RSVD] = "reserved bit set in a second-stage entry",
	[VTD_FR_SS_ROOT_ACCESS] = "second-stage root table out of the unit's reach",
	[VTD_FR_SS_AD] = "second-stage accessed or dirty flag cannot be set without snooping",
	[VTD_FR_SM_CANONICAL] = "address not canonical",
	[VTD_FR_SM_USER] = "page not accessible to requests without privilege",
	[VTD_FR_SM_EXECUTE] = "request to execute without permission",
	[VTD_FR_SM_BEYOND_HAW] = "address beyond the host's width",
	[VTD_FR_SM_BEYOND_AW] = "address beyond the domain's width",
	[VTD_FR_SM_WRITE] = "write to a page without write permission",
	[VTD_FR_SM_READ] = "read of a page without read permission",
	[VTD_FR_SM_INTERRUPT] = "translation into the interrupt range",
	[VTD_FR_FS_AD] = "first-stage accessed or dirty flag cannot be set without snooping",
};

const char *moat_vtd_fault_text(uint8_t reason)
{
	if (reason < RTE_DIM(fault_text) && fault_text[reason] != NULL)
		return fault_text[reason];
	return reason >= 0x30 ? "scalable-mode fault" : "reserved fault reason";
}

/** Get the next record's index: the records are a ring. */
static unsigned int record_after(const struct vtd *v, unsigned int i)
{
	return i + 1 < v->caps.nfr ? i + 1 : 0;
}

static bool record_has_fault(const struct vtd *v, unsigned int i)
{
	return vtd_read64(&v->w, v->caps.fro + i * VTD_FRCD_SIZE + 8) & VTD_FRCD_F;
}

/** Read fault recording register `i` if it holds a fault, then clear F for the next one. */
static bool record_take(const struct vtd *v, unsigned int i, struct moat_fault *fault)
{
	uint32_t reg = v->caps.fro + i * VTD_FRCD_SIZE;
	uint64_t hi = vtd_read64(&v->w, reg + 8);

	if (!(hi & VTD_FRCD_F))
		return false;
	*fault = (struct moat_fault){
		.sid = hi & VTD_FRCD_SID,
		.iova = vtd_read64(&v->w, reg) & VTD_FRCD_FI,
		.reason = VTD_FIELD(hi, VTD_FRCD_FR),
		.pasid = hi & VTD_FRCD_PP ? (uint32_t)VTD_FIELD(hi, VTD_FRCD_PV) : MOAT_PASID_NONE,
		/* T1 T2: 00 write, 11 atomic: both change memory */
		.write = !(hi & VTD_FRCD_T1) || (hi & VTD_FRCD_T2),
	};
	fault->reason_text = moat_vtd_fault_text(fault->reason);
	vtd_write32(&v->w, reg + 12, VTD_FRCD_F >> 32);
	return true;
}

/**
 * Find the oldest record that has not been read. FSTS.FRI names it only until the first read: the
 * unit sets FRI when PPF goes from 0 to 1, and PPF stays set while any record is left. After that,
 * `fault_next` names it. If neither leads to a fault, search all records: PPF says that there is
 * one.
 */
static unsigned int record_oldest(const struct vtd *v, uint32_t fsts)
{
	unsigned int first = v->fault_left ? v->fault_next : VTD_FIELD(fsts, VTD_FSTS_FRI);
	unsigned int i = first < v->caps.nfr ? first : 0;

	for (unsigned int k = 0; k < v->caps.nfr && !record_has_fault(v, i); k++)
		i = record_after(v, i);
	return i;
}

/**
 * The unit records in a ring and, when the next record is in use, sets PFO and stops recording. PFO
 * may be cleared only when F is clear in every record ("Primary Fault Logging"). So if the array is
 * too short for all records, the overflow lasts until a later call has read the last record.
 */
static unsigned int records_drain(struct vtd *v, uint32_t fsts, struct moat_fault faults[],
	unsigned int n)
{
	unsigned int i = record_oldest(v, fsts), taken = 0;

	while (taken < n && record_take(v, i, &faults[taken])) {
		taken++;
		i = record_after(v, i);
	}
	v->fault_next = i;
	v->fault_left = record_has_fault(v, i);
	if (!v->fault_left && (fsts & VTD_FSTS_PFO)) {
		vtd_write32(&v->w, VTD_FSTS, VTD_FSTS_PFO);
		atomic_fetch_add_explicit(&v->fault_overflows, 1,
			memory_order_relaxed); /* counter */
	}
	atomic_fetch_add_explicit(&v->faults, taken, memory_order_relaxed); /* counter */
	return taken;
}

unsigned int vtd_faults(struct moat_unit *unit, struct moat_fault faults[], unsigned int n)
{
	struct vtd *v = vtd_of(unit);
	unsigned int taken = 0;
	uint32_t fsts;

	pthread_mutex_lock(&v->fault_lock);
	fsts = vtd_read32(&v->w, VTD_FSTS);
	if (n != 0 && (fsts & (VTD_FSTS_PPF | VTD_FSTS_PFO)))
		taken = records_drain(v, fsts, faults, n);
	pthread_mutex_unlock(&v->fault_lock);
	return taken;
}

void vtd_faults_clear(struct vtd *v)
{
	for (unsigned int i = 0; i < v->caps.nfr; i++)
		vtd_write32(&v->w, v->caps.fro + i * VTD_FRCD_SIZE + 12, VTD_FRCD_F >> 32);
	vtd_write32(&v->w, VTD_FSTS, VTD_FSTS_PFO | VTD_FSTS_IQE | VTD_FSTS_ICE | VTD_FSTS_ITE);
}
