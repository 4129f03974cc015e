/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_HOST_H
#define MOAT_VTD_HOST_H

/**
 * @file
 * A machine's own unit: found in the DMAR table, its registers mapped, its tables in hugepages.
 *
 * This is for appliances: the kernel does not use the unit (intel_iommu=off intremap=off), and lets
 * the registers be mapped (iomem=relaxed). Every function behind the unit that is not named as a
 * tenant's passes through untranslated, so the kernel's own devices go on working, and so do
 * devices that only ACPI names (ANDD).
 *
 * Functions that can reach each other without the unit (no ACS on the way) cannot be in two
 * domains. The driver switches ACS on in a tenant's function and in the bridges above it, where
 * they have ACS, and restores it when the unit is destroyed.
 *
 * The tables that the unit reads, and tenants' memory, lie in hugepages (moat_vtd_hugepages.h).
 */

#include "moat_vtd.h"
#include "moat_vtd_dmar.h"
#include "moat_vtd_hugepages.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct moat_vtd_host_conf {
	const char *root; /* prefix of /sys, /dev/mem and /proc; NULL: this machine */
	int unit; /* index of the DRHD in the table; -1: the unit that tenant[0] is behind */
	uint16_t segment; /* of the tenants' functions */
	const moat_sid_t
		*tenant; /* functions that do not pass through, to be attached to domains */
	unsigned int nr_tenants;
	/** These four as in struct moat_vtd_conf. */
	uint8_t qi_order;
	uint32_t deadline_ms;
	enum moat_vtd_mode mode;
	enum moat_vtd_stage stage;
	/** Own a unit that is found enabled. Once it is known that the unit may be owned, Bus
	 * Master Enable is cleared in the tenants' functions and in all functions behind the unit
	 * that have a driver for processes (uio, vfio), so that they start no more DMA; DPDK sets
	 * the bit again at probe. `_ir`: even if the unit remaps interrupts, and stop the
	 * remapping. */
	bool take_over, take_over_ir;
	/** Usually MOAT_VTD_INTERRUPTS_DEFAULT. BLOCK is refused if the kernel gets interrupts from
	 * behind the unit (moat_vtd_obstacles.h). */
	enum moat_vtd_interrupts interrupts;
	bool share_interrupts; /* as struct moat_vtd_conf has it */
};

/**
 * Own a unit of this machine. The unit is named "dmar<index>".
 *
 * @param conf need not stay after the call
 * @param unit set on success
 * @return as moat_vtd_create(), and
 * @return -ENODEV: the DMAR table has no such unit, or a tenant's function is behind another one
 * @return -EPERM: firmware has reserved memory for a tenant's function (RMRR)
 * @return -EBUSY: a tenant's function has a driver of the kernel's, or `interrupts` is BLOCK and
 *   devices behind the unit prevent it: the text names each, with its remedy
 * @return -EACCES: /dev/mem cannot be mapped, or Bus Master Enable cannot be cleared
 * @return -ENOSPC: requests of a function that passes through may carry more than 32 source-ids
 * @return -ENOMEM: no hugepages
 * @return what moat_dmar_load() and moat_pci_scan() returned
 *
 * moat_error_text() has the sentence. Nothing is left behind, unless the unit cannot be switched
 * off. Thread safety: one thread for each unit. Control path, root.
 */
int moat_vtd_host_create(const struct moat_vtd_host_conf *conf, struct moat_unit **unit);

/**
 * Map a unit's registers, as a create does; nothing is written.
 *
 * @param root as in struct moat_vtd_host_conf
 * @param unit a unit of a table from moat_dmar_load()
 * @param window set on success; the caller must unmap it with moat_vtd_host_unmap()
 * @return 0
 * @return -EACCES: /dev/mem cannot be opened, or the kernel does not let the registers be mapped
 *
 * moat_error_text() has the sentence. Thread-safe. Control path.
 */
int moat_vtd_host_map(const char *root, const struct moat_dmar_unit *unit,
	struct moat_vtd_window *window);

/**
 * Unmap the registers.
 *
 * @param unit as in moat_vtd_host_map()
 * @param window no thread may use it any more
 *
 * Thread-safe for different windows. Control path.
 */
void moat_vtd_host_unmap(const struct moat_dmar_unit *unit, struct moat_vtd_window *window);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_HOST_H */
