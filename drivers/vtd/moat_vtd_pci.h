/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_PCI_H
#define MOAT_VTD_PCI_H

/**
 * @file
 * The PCI functions of a machine, as configuration space and sysfs show them: bridges with the
 * buses below them, virtual functions with their physical ones. Enough to say where a DMAR scope
 * ends and under which source-ids a function's requests arrive at a unit.
 *
 * A snapshot: scan again after hot plug or after creating virtual functions.
 */

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** PCI Express capability: device/port type. */
enum moat_pci_port {
	MOAT_PCI_CONVENTIONAL = -1, /* no such capability */
	MOAT_PCI_ENDPOINT = 0x0,
	MOAT_PCI_ROOT_PORT = 0x4,
	MOAT_PCI_UPSTREAM = 0x5,
	MOAT_PCI_DOWNSTREAM = 0x6,
	MOAT_PCI_TO_PCI = 0x7,   /* PCI Express to PCI bridge */
	MOAT_PCI_FROM_PCI = 0x8, /* PCI to PCI Express bridge */
};

struct moat_pci_fn {
	uint16_t segment;
	moat_sid_t sid;
	int8_t port;         /* enum moat_pci_port, or another type of the specification */
	bool bridge;         /* header type 1 */
	uint8_t secondary;   /* bridge: the bus below it ... */
	uint8_t subordinate; /* ... and the last one below that */
	bool virtfn;
	moat_sid_t physfn; /* virtual function: its physical one; else itself */
	uint16_t vendor, device;
	char driver[32]; /* of the kernel, that it is bound to; "": none */
};

struct moat_pci {
	unsigned int n;
	struct moat_pci_fn *fn; /* sorted by segment and source-id */
};

/**
 * Scan <root>/sys/bus/pci/devices.
 * @param root NULL or "": this machine
 * @return 0; -ENOENT: no such folder; -ENOMEM. Functions whose configuration space cannot be read
 *   are left out. Control path.
 */
int moat_pci_scan(const char *root, struct moat_pci **pci);
void moat_pci_free(struct moat_pci *pci);

/** NULL: no such function. */
const struct moat_pci_fn *moat_pci_find(const struct moat_pci *pci, uint16_t segment,
	moat_sid_t sid);

/** The bridge that leads to `bus`, the lowest one where several do; NULL: a root bus. */
const struct moat_pci_fn *moat_pci_bridge_to(const struct moat_pci *pci, uint16_t segment,
	uint8_t bus);

/** To whom a function's driver leaves the function. */
enum moat_pci_owner {
	MOAT_PCI_OWNER_NONE,   /* it has no driver */
	MOAT_PCI_OWNER_VFIO,   /* vfio-pci and its variants (*_vfio_pci): a process, through VFIO */
	MOAT_PCI_OWNER_UIO,    /* uio_pci_generic, igb_uio: a process, without VFIO */
	MOAT_PCI_OWNER_STUB,   /* pci-stub: nobody; it keeps other drivers away */
	MOAT_PCI_OWNER_KERNEL, /* any other driver */
};

/**
 * @param driver its name in sysfs; "": none
 * Thread-safe, control path.
 */
enum moat_pci_owner moat_pci_owner(const char *driver);

/**
 * Would the kernel hand out an IOMMU group with such a member, as far as the member is concerned (a
 * group is *viable* if that is true of all)? The kernel's rule: no driver, a VFIO driver or pci-stub;
 * and bridges, which start no DMA of their own.
 * Linux, drivers/vfio/ (until 5.18) and iommu_group_claim_dma_owner() (since).
 * @param bridge a function whose header is a bridge's, such as a root port; not an ISA bridge
 */
bool moat_pci_lets_group_go(const char *driver, bool bridge);

/** Whether the class code (24 bits) is that of a bridge to another bus, whose header is a bridge's. */
bool moat_pci_class_is_bus(uint32_t class_code);

/** Whether a function is bound to a driver that leaves it to a process (uio, vfio). */
bool moat_pci_is_users(const struct moat_pci_fn *fn);

/**
 * Let a function start no more DMA (Bus Master Enable off), until whoever drives it next lets it.
 * @return 0, -EACCES; moat_error_text(). Control path, root.
 */
int moat_pci_quiet(const char *root, const struct moat_pci_fn *fn);

/**
 * The source-ids that requests of a function may carry: its own, and what conventional bridges on
 * the way up put in its place (PCI Express to PCI Bridge Specification, "Transaction ID
 * ownership"): a PCI Express to PCI bridge its secondary bus and device 0, any other its own.
 * @return how many, 1 to `max`; with more, the rest is left out. Control path.
 */
unsigned int moat_pci_aliases(const struct moat_pci *pci, uint16_t segment, moat_sid_t sid,
	moat_sid_t alias[], unsigned int max);

/**
 * Follow a path of (device, function) pairs from `bus` down through bridges.
 * @return the function it ends at; NULL: it leads nowhere (a bridge or the function is missing).
 */
const struct moat_pci_fn *moat_pci_follow(const struct moat_pci *pci, uint16_t segment, uint8_t bus,
	const uint8_t *path, unsigned int nr_path);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_PCI_H */
