/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_HOST_H
#define MOAT_VTD_HOST_H

/**
 * @file
 * A machine's own unit: found in the DMAR table, its registers mapped, its tables in hugepages.
 *
 * This is an appliance's way: the kernel keeps off the unit (intel_iommu=off intremap=off), and
 * lets the registers be mapped (iomem=relaxed). Every function behind the unit that is not named as
 * a tenant's passes through untranslated, so the kernel's own devices work on, and so do devices
 * that only ACPI names (ANDD).
 *
 * Functions that can reach each other without the unit (no ACS on the way) cannot be in two domains.
 * The driver switches ACS on where a tenant's function and the bridges above it have it, and
 * restores it when the unit is destroyed.
 *
 * What the unit reads, and what it lets devices reach, lies in hugepages, whose physical addresses
 * do not change. Where a hugetlbfs is mounted they are files of it, `moat-<unit>-<pid>-<n>`: a
 * process that is killed leaves the unit walking its tables and devices writing to its tenants'
 * memory, and files keep their pages until the next start has taken the unit over and removes them.
 * Without one they are anonymous, and a killed process leaves both in memory that others may get.
 */

#include "moat_vtd.h"
#include "moat_vtd_dmar.h"
#include "moat_vtd_hugepages.h"

#ifdef __cplusplus
extern "C" {
#endif

struct moat_vtd_host_conf {
	const char *root; /* prefix of /sys, /dev/mem and /proc; NULL: this machine */
	int unit;         /* which DRHD of the table; -1: the one that serves tenant[0] */
	uint16_t segment; /* of the tenants' functions */
	const moat_sid_t
		*tenant; /* functions that do not pass through, to be attached to domains */
	unsigned int nr_tenants;
	uint8_t qi_order; /* as struct moat_vtd_conf has them */
	uint32_t deadline_ms;
	/** Own a unit that is found enabled. Once it is known that it may be owned, the devices behind
	 * it that a process has, or had before it was killed (uio, vfio), are told to start no more DMA
	 * (Bus Master Enable is cleared); DPDK sets it again at probe. `_ir`: even if the unit remaps
	 * interrupts, which then stops. */
	bool take_over, take_over_ir;
};

/**
 * Own a unit of this machine; it is named "dmar<index>".
 * @return as moat_vtd_create(); also -ENODEV: no such unit, or a tenant is behind another one;
 *   -EPERM: firmware has reserved memory for a tenant's function (RMRR); -EBUSY: a tenant's function
 *   has a driver of the kernel's, or the unit is in use; -EACCES: /dev/mem cannot be
 *   mapped; -ENOMEM: no hugepages. moat_error_text() has the sentence. Control path, root.
 */
int moat_vtd_host_create(const struct moat_vtd_host_conf *conf, struct moat_unit **unit);

/**
 * Map a unit's registers. For tests and moat-doctor; nothing is written.
 * @param root as in struct moat_vtd_host_conf
 * @return 0; -EACCES, -EPERM: the kernel does not let them be mapped; moat_error_text(). Control path.
 */
int moat_vtd_host_map(const char *root, const struct moat_dmar_unit *unit,
	struct moat_vtd_window *window);
/** Back again; nobody uses the window any more. */
void moat_vtd_host_unmap(const struct moat_dmar_unit *unit, struct moat_vtd_window *window);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_HOST_H */
