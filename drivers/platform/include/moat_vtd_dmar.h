/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_DMAR_H
#define MOAT_VTD_DMAR_H

/**
 * @file
 * Which units a machine has, and which devices are behind each: the ACPI DMAR table (VT-d
 * specification, "BIOS Considerations").
 *
 * The table is a sequence of structures. A DRHD is a unit: the base of its registers and the scopes
 * of the devices behind it. One DRHD in each segment may have the flag INCLUDE_PCI_ALL: behind it
 * are all devices that no other DRHD names. An RMRR is memory that firmware lets a device use at
 * any time, so the device cannot be a tenant's. A scope is a path of device and function numbers
 * from a bus down through bridges; PCI configuration space tells where the path ends
 * (moat_vtd_pci.h).
 *
 * A table comes from firmware and may be wrong. A fault that leaves the rest readable is noted with
 * its offset (struct moat_dmar_fault), and the rest is used, as Linux does. A table whose
 * structures cannot be told apart, that names no unit, or that names a unit at address 0, is
 * refused. Structures of unknown type are skipped by their length.
 */

#include "moat_base.h"
#include "moat_vtd_pci.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum moat_dmar_scope_type {
	MOAT_DMAR_ENDPOINT = 1,
	MOAT_DMAR_BRIDGE = 2, /* a bridge and everything below it */
	MOAT_DMAR_IOAPIC = 3,
	MOAT_DMAR_HPET = 4,
	MOAT_DMAR_ACPI = 5, /* a device that only an ANDD names */
};

struct moat_dmar_scope {
	uint8_t type;        /* enum moat_dmar_scope_type, or a type of a later revision */
	uint8_t enumeration; /* number of the I/O APIC, HPET or ACPI device */
	uint8_t bus;         /* where the path starts */
	uint8_t nr_path;     /* pairs in `path` */
	const uint8_t *path; /* device, function, device, function, ... */
};

struct moat_dmar_scopes {
	unsigned int n;
	struct moat_dmar_scope *scope;
};

/** DRHD: a unit. */
struct moat_dmar_unit {
	uint16_t segment;
	bool include_pci_all;
	uint64_t base;      /* HPA of the registers */
	uint32_t size;      /* bytes of registers */
	uint32_t proximity; /* the NUMA domain, from an RHSA; UINT32_MAX: unknown */
	struct moat_dmar_scopes scopes;
};

/** RMRR: memory that devices may use at any time. */
struct moat_dmar_rmrr {
	uint16_t segment;
	uint64_t base, limit; /* limit is the last byte */
	struct moat_dmar_scopes scopes;
};

/** ATSR: root ports that support ATS. SATC: integrated devices with address translation caches.
 * SIDP: properties of integrated devices. */
struct moat_dmar_ats {
	uint16_t segment;
	bool flag; /* ATSR: ALL_PORTS; SATC: ATC_REQUIRED; SIDP: none */
	struct moat_dmar_scopes scopes;
};

/** ANDD: the name of a device outside PCI. */
struct moat_dmar_andd {
	uint8_t number;
	const char *name;
};

/** A defect of a table that can still be used. */
struct moat_dmar_fault {
	size_t offset; /* bytes from the table's start */
	char *text;    /* a sentence without its full stop */
};

struct moat_dmar {
	uint8_t haw;     /* bits of host addresses */
	bool intr_remap; /* the platform supports interrupt remapping */
	bool x2apic_opt_out;
	bool dma_opt_in; /* firmware asks for DMA protection */
	unsigned int nr_units, nr_rmrrs, nr_atsrs, nr_satcs, nr_andds, nr_unknown;
	struct moat_dmar_unit *unit;
	struct moat_dmar_rmrr *rmrr;
	struct moat_dmar_ats *atsr;
	struct moat_dmar_ats *satc;
	struct moat_dmar_andd *andd;
	unsigned int nr_sidps, nr_faults;
	struct moat_dmar_ats *sidp;
	struct moat_dmar_fault *fault; /* `nr_faults`, sorted by offset */
	/* private to dmar.c: a copy of the table, into which paths and names point; all scopes */
	void *table;
	struct moat_dmar_scope *scopes;
};

/**
 * Parse a table. The result does not refer to `table`.
 *
 * @param table the table
 * @param len bytes of the table
 * @param dmar set on success; free it with moat_dmar_free()
 * @return 0; `nr_faults` says how many faults were noted
 * @return -EBADMSG: the table cannot be used; moat_error_text() says where and why
 * @return -ENOMEM
 *
 * Thread-safe. Control path.
 */
int moat_dmar_parse(const void *table, size_t len, struct moat_dmar **dmar);

/**
 * Parse the machine's table.
 *
 * @param root prefix of /sys; NULL or "": this machine
 * @param dmar as in moat_dmar_parse()
 * @return as moat_dmar_parse(), and
 * @return -ENOENT: the machine has no table
 * @return -EACCES: only root can read it
 * @return another negative errno: it cannot be read
 *
 * Thread-safe. Control path.
 */
int moat_dmar_load(const char *root, struct moat_dmar **dmar);

/**
 * Free a parsed table.
 *
 * @param dmar no other thread may use it; NULL: nothing happens
 *
 * Control path.
 */
void moat_dmar_free(struct moat_dmar *dmar);

/**
 * Find the unit that a function is behind: the unit that names the function or a bridge above it,
 * else the segment's unit with INCLUDE_PCI_ALL. A virtual function is behind the same unit as its
 * physical function.
 *
 * @param dmar the table
 * @param pci the machine's functions
 * @param segment PCI segment
 * @param sid source-id of the function
 * @return the index in `dmar->unit`
 * @return -ENODEV: the function is behind no unit
 *
 * Thread-safe. Control path.
 */
int moat_dmar_unit_of(const struct moat_dmar *dmar, const struct moat_pci *pci, uint16_t segment,
	moat_sid_t sid);

/**
 * Find the first RMRR that names a function. An RMRR that names a physical function does not
 * concern its virtual functions: their requests carry other source-ids.
 *
 * @param dmar the table
 * @param pci the machine's functions
 * @param segment PCI segment
 * @param sid source-id of the function
 * @return the RMRR; NULL: none
 *
 * Thread-safe. Control path.
 */
const struct moat_dmar_rmrr *moat_dmar_rmrr_of(const struct moat_dmar *dmar,
	const struct moat_pci *pci, uint16_t segment, moat_sid_t sid);

/**
 * Whether the platform allows ATS for a function: an SATC names it, or it is below a root port that
 * an ATSR names. (The unit's ECAP.DT and the device's own capability must allow ATS, too.)
 *
 * @param dmar the table
 * @param pci the machine's functions
 * @param segment PCI segment
 * @param sid source-id of the function
 * @return true: allowed
 *
 * Thread-safe. Control path.
 */
bool moat_dmar_allows_ats(const struct moat_dmar *dmar, const struct moat_pci *pci,
	uint16_t segment, moat_sid_t sid);

/**
 * Get the source-id of a device that only ACPI names: where the path of its scope ends.
 *
 * @param dmar the table
 * @param pci the machine's functions
 * @param segment PCI segment
 * @param scope a scope of a unit, of type MOAT_DMAR_ACPI
 * @param sid receives the source-id
 * @return 0
 * @return -ENODEV: the path leads through a bridge that does not exist, or ends at a device or
 *   function number that cannot exist; moat_error_text() has the device's name
 *
 * Thread-safe. Control path.
 */
int moat_dmar_acpi_source(const struct moat_dmar *dmar, const struct moat_pci *pci,
	uint16_t segment, const struct moat_dmar_scope *scope, moat_sid_t *sid);

/**
 * Write the table as text, for moat-doctor.
 *
 * @param dmar the table
 * @param text receives the text; what does not fit is cut, as snprintf() does
 * @param len of `text`, bytes
 * @return the length without NUL
 *
 * Thread-safe. Control path.
 */
int moat_dmar_text(const struct moat_dmar *dmar, char *text, size_t len);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_DMAR_H */
