/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_CHECK_H
#define DOCTOR_CHECK_H

/**
 * @file
 * The checks: each looks at the facts and makes one finding. doc/doctor.md lists what they can say.
 */

#include "doctor_tenant.h"

/** What is judged. */
struct doctor_case {
	const struct doctor_host *host;
	enum doctor_way way;
	struct doctor_tenants tenants;
};

/** Run the checks that concern the case's way, and make the verdict. */
void doctor_judge(const struct doctor_case *c, struct doctor_report *report);
/**
 * Why a function cannot be given to a tenant now: the sentence that moat-doctor has for it, in the
 * table of tenants or as a finding that stands in the way of all. What cannot be seen refuses
 * nothing.
 * @param help what to do about it, a command if there is one, to free; NULL: nothing is known
 * @return the caller's to free; NULL: it can be
 */
char *doctor_refusal(const struct doctor_case *c, const struct doctor_report *report,
	uint16_t segment, moat_sid_t sid, char **help);
/** The way that the host is set up for. */
enum doctor_way doctor_way_of(const struct doctor_host *host);

/* doctor_check_platform.c: the user's rights, and what processor, firmware and kernel say of the
 * IOMMU */
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

/* doctor_check_interrupts.c: what stands in the way of blocking interrupts at a unit of our own */
void doctor_check_interrupts(const struct doctor_case *c, struct doctor_finding *f);

/* doctor_check_isolation.c: what cannot be kept apart */
void doctor_check_groups(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_acs(const struct doctor_case *c, struct doctor_finding *f);
void doctor_check_rmrr(const struct doctor_case *c, struct doctor_finding *f);

/* doctor_check_devices.c: what is there to give to tenants */
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
