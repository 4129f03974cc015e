/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_PCI_H
#define MOAT_VTD_PCI_H

/**
 * @file
 * The PCI functions of a machine, as configuration space and sysfs show them: bridges with the
 * buses below them, virtual functions with their physical functions. This tells where a DMAR scope
 * ends, and under which source-ids a function's requests arrive at a unit.
 *
 * The functions are a snapshot: scan again after hot plug or after creating virtual functions.
 */

#include <sys/types.h>

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** PCI Express capability: device/port type. */
enum moat_pci_port {
	MOAT_PCI_CONVENTIONAL = -1, /* no such capability, or hidden from this user */
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
	int8_t port;         /* enum moat_pci_port, or another type that the specification has */
	bool bridge;         /* header type 1 */
	uint8_t secondary;   /* bridge: the bus below it ... */
	uint8_t subordinate; /* ... and the highest bus number below it */
	bool virtfn;
	moat_sid_t physfn; /* of a virtual function: its physical function; else `sid` */
	uint16_t vendor, device;
	char driver[32]; /* the kernel's driver that it is bound to; "": none */
	uint16_t acs;    /* offset of the ACS capability; 0: none, or hidden from this user */
	uint16_t acs_cap, acs_ctrl; /* the ACS capability and control registers */
};

struct moat_pci {
	unsigned int n;
	struct moat_pci_fn *fn; /* sorted by segment and source-id */
};

/**
 * Scan `root`/sys/bus/pci/devices. Functions whose configuration space cannot be read are left out.
 *
 * @param root NULL or "": this machine
 * @param pci set on success; free it with moat_pci_free()
 * @return 0
 * @return -ENOENT: the folder does not exist
 * @return another negative errno: the folder cannot be opened
 * @return -ENOMEM
 *
 * Thread-safe. Control path.
 */
int moat_pci_scan(const char *root, struct moat_pci **pci);

/**
 * Free a snapshot.
 *
 * @param pci no other thread may use it; NULL: nothing happens
 *
 * Control path.
 */
void moat_pci_free(struct moat_pci *pci);

/** Reads `len` bytes of configuration space. @return how many could be read, as pread() */
typedef ssize_t (*moat_pci_read_t)(void *ctx, void *to, size_t len, size_t offset);

/**
 * Decode configuration space. Sets vendor, device, port, ACS and a bridge's members. Reads the
 * first 256 bytes and then only what the list of extended capabilities leads to, because some
 * devices fail when other bytes are read.
 *
 * @param fn must be all 0
 * @param read reads configuration space
 * @param ctx for `read`
 * @return true: decoded
 * @return false: fewer than 64 bytes could be read, the part that every process may read
 *
 * Thread-safe. Control path.
 */
bool moat_pci_decode(struct moat_pci_fn *fn, moat_pci_read_t read, void *ctx);

/**
 * Find a function.
 *
 * @param pci the machine's functions
 * @param segment PCI segment
 * @param sid source-id of the function
 * @return the function; NULL: it is not in the snapshot
 *
 * Thread-safe. Control path.
 */
const struct moat_pci_fn *moat_pci_find(const struct moat_pci *pci, uint16_t segment,
	moat_sid_t sid);

/**
 * Find the bridge that leads to a bus; of several, the lowest.
 *
 * @param pci the machine's functions
 * @param segment PCI segment
 * @param bus the bus
 * @return the bridge; NULL: `bus` is a root bus
 *
 * Thread-safe. Control path.
 */
const struct moat_pci_fn *moat_pci_bridge_to(const struct moat_pci *pci, uint16_t segment,
	uint8_t bus);

/** The user to which a driver leaves its functions. */
enum moat_pci_owner {
	MOAT_PCI_OWNER_NONE,   /* there is no driver */
	MOAT_PCI_OWNER_VFIO,   /* vfio-pci and its variants (*_vfio_pci): a process, through VFIO */
	MOAT_PCI_OWNER_UIO,    /* uio_pci_generic, igb_uio: a process, without VFIO */
	MOAT_PCI_OWNER_STUB,   /* pci-stub: no user; the stub keeps other drivers away */
	MOAT_PCI_OWNER_KERNEL, /* any other driver */
};

/**
 * The user to which a driver leaves its functions: the kernel, a process, or none.
 *
 * @param driver the driver's name in sysfs; "": none
 * @return the owner
 *
 * Thread-safe. Control path.
 */
enum moat_pci_owner moat_pci_owner(const char *driver);

/**
 * Whether a function leaves its IOMMU group *viable*: the kernel gives a process a group only if
 * every member does. The kernel's rule: the function has no driver, a VFIO driver or pci-stub, or
 * it is a bridge, which starts no DMA of its own. Linux, drivers/vfio/ (until 5.18) and
 * iommu_group_claim_dma_owner() (since).
 *
 * @param driver the function's driver; "": none
 * @param bridge the function's header is that of a PCI bridge, as a root port's is and an ISA
 *   bridge's is not
 * @return true: it does
 *
 * Thread-safe. Control path.
 */
bool moat_pci_lets_group_go(const char *driver, bool bridge);

/**
 * Whether a class code is that of a bridge to another bus, whose header is a bridge's.
 *
 * @param class_code 24 bits
 * @return true: it is
 *
 * Thread-safe. Control path.
 */
bool moat_pci_class_is_bus(uint32_t class_code);

/**
 * Whether a function is bound to a driver that leaves it to a process (uio, vfio).
 *
 * @param fn the function
 * @return true: it is
 *
 * Thread-safe. Control path.
 */
bool moat_pci_is_users(const struct moat_pci_fn *fn);

/**
 * Set or clear Bus Master Enable, without which a function cannot start DMA.
 *
 * @param root as in moat_pci_scan()
 * @param fn the function
 * @param on true: set it
 * @return 1: it was set before
 * @return 0: it was clear before
 * @return -EACCES: configuration space cannot be read or written; moat_error_text() has the path
 *
 * Thread safety: no other thread or process may write the function's command register. Control
 * path, root.
 */
int moat_pci_bus_master(const char *root, const struct moat_pci_fn *fn, bool on);

/**
 * Clear Bus Master Enable: the function starts no DMA until its next driver sets it again.
 *
 * @param root as in moat_pci_scan()
 * @param fn the function
 * @return 0
 * @return -EACCES: as moat_pci_bus_master()
 *
 * Thread safety: no other thread or process may write the function's command register. Control
 * path, root.
 */
int moat_pci_quiet(const char *root, const struct moat_pci_fn *fn);

/**
 * Find the source-ids that requests of a function may carry: the function's own; that of another
 * function, which some devices are known to use; and those that conventional bridges on the way up
 * substitute. A PCI Express to PCI bridge sends its secondary bus and device 0, other bridges send
 * their own source-id (PCI Express to PCI Bridge Specification, "Transaction ID ownership").
 *
 * @param pci the machine's functions
 * @param segment PCI segment
 * @param sid source-id of the function
 * @param alias receives the first `max` source-ids, the function's own first
 * @param max room in `alias`, at least 1
 * @return how many there are, at least 1; more than `max`: some are missing in `alias`
 *
 * Thread-safe. Control path.
 */
unsigned int moat_pci_aliases(const struct moat_pci *pci, uint16_t segment, moat_sid_t sid,
	moat_sid_t alias[], unsigned int max);

/**
 * Whether all requests of two functions to each other pass through a unit.
 *
 * The requests do not if a bridge on the way up may redirect them (a port without Access Control
 * Services, or with ACS switched off; a conventional bridge), or if the functions belong to one
 * device that has no ACS (PCI Express Base Specification, "Access Control Services (ACS)"). Virtual
 * functions count as isolated from their physical function, root ports as isolated by the root
 * complex.
 *
 * @param pci the machine's functions
 * @param segment PCI segment
 * @param a source-id of one function
 * @param b source-id of the other
 * @return 0: they do, so the functions are isolated
 * @return -EPERM: they do not; moat_error_text() names the bridge or function that lets them meet
 *
 * Thread-safe. Control path.
 */
int moat_pci_isolated(const struct moat_pci *pci, uint16_t segment, moat_sid_t a, moat_sid_t b);

/**
 * Whether a function is a root port of a 100- or 200-series PCH, whose ACS capability and control
 * registers have 32 bits each, so that the control register is at offset 8 of the capability, not
 * at 6 as in the PCI Express Base Specification. `acs_cap` and `acs_ctrl` have been read
 * accordingly. Linux, drivers/pci/quirks.c: pci_quirk_intel_spt_pch_acs().
 *
 * @param fn the function
 * @return true: it is
 *
 * Thread-safe. Control path.
 */
bool moat_pci_acs_is_wide(const struct moat_pci_fn *fn);

/** What moat_pci_acs_enable() changed; for moat_pci_acs_restore(). */
struct moat_pci_acs_change {
	moat_sid_t sid;
	uint16_t acs;            /* offset of the capability */
	uint16_t found, written; /* the control register, before and after */
};

/**
 * Switch on the ACS controls that isolate a function from its peers (SV, RR, CR, UF), in the
 * function and in every bridge above it that has ACS. The kernel does this only while its own IOMMU
 * driver is on. A register that cannot be written stays as it is; scan again, then call
 * moat_pci_isolated().
 *
 * @param root as in moat_pci_scan()
 * @param pci the machine's functions
 * @param segment PCI segment
 * @param sid source-id of the function
 * @param change receives what was changed
 * @param max room in `change`; further registers are not changed
 * @return how many registers were changed
 *
 * Thread safety: no other thread or process may write these registers. Control path, root.
 */
unsigned int moat_pci_acs_enable(const char *root, const struct moat_pci *pci, uint16_t segment,
	moat_sid_t sid, struct moat_pci_acs_change change[], unsigned int max);

/**
 * Undo one change, unless the register has been changed again since.
 *
 * @param root as in moat_pci_scan()
 * @param segment PCI segment
 * @param change from moat_pci_acs_enable()
 *
 * Thread safety: no other thread or process may write the register. Control path, root.
 */
void moat_pci_acs_restore(const char *root, uint16_t segment,
	const struct moat_pci_acs_change *change);

/**
 * Follow a path of (device, function) pairs from a bus down through bridges.
 *
 * @param pci the machine's functions
 * @param segment PCI segment
 * @param bus where the path starts
 * @param path pairs of device and function
 * @param nr_path number of pairs
 * @return the function at which the path ends; NULL: a bridge or the function does not exist
 *
 * Thread-safe. Control path.
 */
const struct moat_pci_fn *moat_pci_follow(const struct moat_pci *pci, uint16_t segment, uint8_t bus,
	const uint8_t *path, unsigned int nr_path);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_PCI_H */
