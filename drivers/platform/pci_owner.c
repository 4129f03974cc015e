/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "moat_vtd_pci.h"

/* Command register (PCI Local Bus Specification, "Device Control"). */
#define CFG_COMMAND     0x04
#define CFG_COMMAND_BME 0x04

/* ---------------------------------------------------------- which driver a function is bound to */

/** Variants' names end in vfio_pci or vfio-pci: "mlx5_vfio_pci", "nvgrace_gpu_vfio_pci". */
static bool is_vfio(const char *driver)
{
	static const char end[] = "vfio-pci";
	size_t len = strlen(driver), at;

	if (len < strlen(end))
		return false;
	at = len - strlen(end);
	if (at != 0 && driver[at - 1] != '-' && driver[at - 1] != '_')
		return false;
	for (size_t i = 0; end[i] != '\0'; i++)
		if (driver[at + i] != end[i] && !(end[i] == '-' && driver[at + i] == '_'))
			return false;
	return true;
}

enum moat_pci_owner moat_pci_owner(const char *driver)
{
	if (driver[0] == '\0')
		return MOAT_PCI_OWNER_NONE;
	if (is_vfio(driver))
		return MOAT_PCI_OWNER_VFIO;
	if (strcmp(driver, "uio_pci_generic") == 0 || strcmp(driver, "igb_uio") == 0)
		return MOAT_PCI_OWNER_UIO;
	return strcmp(driver, "pci-stub") == 0 ? MOAT_PCI_OWNER_STUB : MOAT_PCI_OWNER_KERNEL;
}

bool moat_pci_lets_group_go(const char *driver, bool bridge)
{
	enum moat_pci_owner owner = moat_pci_owner(driver);

	return bridge || owner == MOAT_PCI_OWNER_NONE || owner == MOAT_PCI_OWNER_VFIO ||
		owner == MOAT_PCI_OWNER_STUB;
}

/* PCI Code and ID Assignment Specification, base class 06h. */
#define CLASS_PCI_TO_PCI       0x0604
#define CLASS_CARDBUS          0x0607
#define CLASS_SEMI_TRANSPARENT 0x0609

bool moat_pci_class_is_bus(uint32_t class_code)
{
	uint32_t class = class_code >> 8;

	return class == CLASS_PCI_TO_PCI || class == CLASS_CARDBUS ||
		class == CLASS_SEMI_TRANSPARENT;
}

bool moat_pci_is_users(const struct moat_pci_fn *fn)
{
	enum moat_pci_owner owner = moat_pci_owner(fn->driver);

	return owner == MOAT_PCI_OWNER_VFIO || owner == MOAT_PCI_OWNER_UIO;
}

/* ---------------------------------------------------------------------------- Bus Master Enable */

int moat_pci_bus_master(const char *root, const struct moat_pci_fn *fn, bool on)
{
	char path[PATH_MAX];
	uint16_t found = 0, command;
	bool done;
	int fd;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%04x:" MOAT_SID_FMT "/config",
		root != NULL ? root : "", fn->segment, MOAT_SID_ARGS(fn->sid));
	fd = open(path, O_RDWR | O_CLOEXEC);
	done = fd >= 0 && pread(fd, &found, sizeof(found), CFG_COMMAND) == sizeof(found);
	command = on ? found | CFG_COMMAND_BME : found & ~CFG_COMMAND_BME;
	if (done && command != found)
		done = pwrite(fd, &command, sizeof(command), CFG_COMMAND) == sizeof(command);
	if (fd >= 0)
		close(fd);
	return done
		? !!(found & CFG_COMMAND_BME)
		: moat_error(-EACCES,
			  "%s: %s; Bus Master Enable cannot be changed: run as root, on a kernel "
			  "that is not locked down",
			  path, strerror(errno));
}

int moat_pci_quiet(const char *root, const struct moat_pci_fn *fn)
{
	int ret = moat_pci_bus_master(root, fn, false);

	return ret < 0 ? ret : 0;
}
