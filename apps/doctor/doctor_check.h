/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_CHECK_H
#define DOCTOR_CHECK_H

/**
 * @file
 * The checks: each makes one finding from the facts. doc/doctor.md lists all findings.
 */

#include "doctor_tenant.h"

/** A host, the way that is judged, and the possible tenants. */
struct doctor_case {
	const struct doctor_host *host;
	enum doctor_way way;
	struct doctor_tenants tenants;
};

/** Run the checks that concern the case's way, and make the verdict. */
void doctor_judge(const struct doctor_case *c, struct doctor_report *report);
/**
 * Find why a function cannot be given to a tenant now: moat-doctor's sentence from the table of
 * tenants, or a finding that prevents all tenants. What cannot be seen is no reason.
 * @param help receives a command or, without one, words for a remedy, the caller's to free; NULL:
 *   none is known
 * @return the sentence, the caller's to free; NULL: no reason was found
 */
char *doctor_refusal(const struct doctor_case *c, const struct doctor_report *report,
	uint16_t segment, moat_sid_t sid, char **help);
/** @return the way that the host is set up for */
enum doctor_way doctor_way_of(const struct doctor_host *host);

/* doctor_check_platform.c: the user's rights; the IOMMU in processor, firmware and command line */
void doctor_check_privileges(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_processor(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_firmware(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_command_line(const struct doctor_case *c, struct doctor_finding *f);

/* doctor_check_units.c: the units, and how the kernel uses them */
void doctor_check_units(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_interrupt_remapping(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_iova_width(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_kernel_dma(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_pmu(const struct doctor_case *c, struct doctor_finding *f);

/* doctor_check_interrupts.c: what prevents blocking of interrupts, at a unit that moat owns */
void doctor_check_interrupts(const struct doctor_case *c, struct doctor_finding *f);

/* doctor_check_isolation.c: functions that cannot be isolated from each other or from firmware */
void doctor_check_groups(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_acs(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_rmrr(const struct doctor_case *c, struct doctor_finding *f);

/* doctor_check_devices.c: functions that can be given to tenants */
void doctor_check_errata(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_sriov(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_drivers(const struct doctor_case *c, struct doctor_finding *f);

/* doctor_check_vfio.c: the kernel's interface, and its limits */
void doctor_check_vfio(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_no_iommu(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_dma_entry_limit(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_memlock(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_uio(const struct doctor_case *c, struct doctor_finding *f);

/* doctor_check_memory.c */
void doctor_check_hugepages(const struct doctor_case *c, struct doctor_finding *f);

#endif /* DOCTOR_CHECK_H */
