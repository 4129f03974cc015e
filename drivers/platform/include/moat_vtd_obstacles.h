/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_OBSTACLES_H
#define MOAT_VTD_OBSTACLES_H

/**
 * @file
 * Obstacles: the devices that keep a unit from blocking compatibility-format interrupts.
 *
 * A unit lets the compatibility-format interrupts of all devices behind it pass, or of none. On a
 * host whose kernel does not remap interrupts (intremap=off), the kernel's devices use only this
 * format. So use `block` only if no device behind the unit interrupts the kernel: no function there
 * has MSI, MSI-X or a legacy line in use, and there is no I/O APIC and no HPET. Root ports count,
 * too: the kernel's pcieport driver uses their MSI for hot plug and errors.
 */

#include "moat_vtd_dmar.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum moat_vtd_obstacle_kind {
	MOAT_VTD_OBSTACLE_MSI,
	MOAT_VTD_OBSTACLE_MSIX,
	MOAT_VTD_OBSTACLE_INTX, /* a legacy line */
	MOAT_VTD_OBSTACLE_IOAPIC,
	MOAT_VTD_OBSTACLE_HPET,
};

struct moat_vtd_obstacle {
	uint8_t kind;        /* enum moat_vtd_obstacle_kind */
	uint8_t enumeration; /* number of the I/O APIC or HPET in the table */
	uint16_t segment;
	moat_sid_t sid;
	unsigned int vectors; /* MSI, MSI-X: number of vectors in use; INTX: the line's number */
	char driver[32];      /* the function's driver; "": none */
};

/**
 * Find devices behind a unit that raise interrupts and do not belong to a tenant.
 *
 * @param root prefix of /sys and /proc; NULL or "": this machine
 * @param dmar the table
 * @param pci a snapshot
 * @param unit index in `dmar->unit`
 * @param tenant functions of the unit's segment that belong to tenants
 * @param n number of functions in `tenant`
 * @param list receives the first `max`: functions by source-id, then I/O APICs and HPETs
 * @param max room in `list`
 * @return how many there are, which may be more than `max`
 *
 * Thread-safe. Control path.
 */
unsigned int moat_vtd_obstacles(const char *root, const struct moat_dmar *dmar,
	const struct moat_pci *pci, unsigned int unit, const moat_sid_t tenant[], unsigned int n,
	struct moat_vtd_obstacle list[], unsigned int max);

/**
 * Describe an obstacle, such as "0000:00:02.0 (e1000e) has 3 MSI-X vectors in use".
 *
 * @param obstacle from moat_vtd_obstacles()
 * @param text receives the words
 * @param len of `text`, bytes
 * @return as snprintf()
 *
 * Thread-safe. Control path.
 */
int moat_vtd_obstacle_text(const struct moat_vtd_obstacle *obstacle, char *text, size_t len);

/**
 * Say how to remove an obstacle, without a full stop, such as "unbind it from e1000e".
 *
 * @param obstacle from moat_vtd_obstacles()
 * @param text receives the words
 * @param len of `text`, bytes
 * @return as snprintf()
 *
 * Thread-safe. Control path.
 */
int moat_vtd_obstacle_remedy(const struct moat_vtd_obstacle *obstacle, char *text, size_t len);

/**
 * Whether the kernel remaps interrupts: /proc/interrupts then names an IR- chip.
 *
 * @param root as in moat_vtd_obstacles()
 * @return 1: yes
 * @return 0: no
 * @return -ENOENT, -EACCES, ...: /proc/interrupts cannot be read
 *
 * Thread-safe. Control path.
 */
int moat_vtd_kernel_remaps(const char *root);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_OBSTACLES_H */
