/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_HOST_H
#define DOCTOR_HOST_H

/**
 * @file
 * What a host shows of itself, read once below a root: facts, no judgement. What could not be read
 * keeps the value that says so.
 */

#include "doctor.h"
#include "moat_vtd_caps.h"
#include "moat_vtd_dmar.h"

#define DOCTOR_UNITS_MAX 64
#define DOCTOR_NODES_MAX 64

/** Whose IOMMU a unit is. */
enum doctor_kind {
	DOCTOR_INTEL, /* VT-d */
	DOCTOR_AMD,   /* AMD-Vi */
	DOCTOR_OTHER,
};

/** A unit: one that the kernel drives (/sys/class/iommu), or one that only the DMAR table names. */
struct doctor_unit {
	char name[32];
	enum doctor_kind kind;
	bool driven;      /* by the kernel */
	int drhd;         /* index in the DMAR table; -1: not known there */
	uint64_t base;    /* HPA of the registers; 0: not known */
	const char *from; /* where the capabilities were read; NULL: nowhere, `why` says why */
	struct moat_vtd_caps caps;
	char why[512];
	uint64_t domains, domains_used; /* domain-ids; 0: not told */
};

/** A port's or function's Access Control Services. */
struct doctor_acs {
	bool there;
	uint16_t cap, ctrl;
};

/** A PCI function, beside what struct moat_pci_fn has of it. */
struct doctor_fn {
	const struct moat_pci_fn *pci;
	char address[16]; /* 0000:01:00.0 */
	uint32_t class;   /* 24 bits */
	char driver[32];  /* "": none */
	char unit[32];    /* the kernel's name of its unit; "": none */
	char net[32];     /* its interface; "": none */
	bool up, default_route;
	unsigned int rx_queues, tx_queues; /* of the interface */
	int group;                         /* -1: none */
	int numa;                          /* -1: not told */
	uint64_t vfs_total, vfs;           /* SR-IOV: capacity, enabled */
	bool extended; /* configuration space beyond 256 bytes could be read, or has none */
	struct doctor_acs acs;
	bool ats, pasid; /* it has the capability */
	const struct moat_dmar_rmrr *rmrr;
};

/** An IOMMU group: what the kernel hands out as one. */
struct doctor_group {
	int id;
	char name[32];    /* "vfio-noiommu" where there is no IOMMU behind it */
	char type[16];    /* DMA (strict), DMA-FQ (lazy), identity, ...; "": not told */
	bool direct;      /* memory reserved for a device, which blocks assignment (RMRR) */
	bool relaxable;   /* ... that the kernel allows to be given up (graphics, USB) */
	bool msi;         /* the interrupt window is reserved */
	unsigned int n;   /* endpoints: functions that are no bridge */
	unsigned int *fn; /* their indices in struct doctor_host */
};

struct doctor_node {
	unsigned int id;
	uint64_t total_2m, free_2m, total_1g, free_1g; /* pages */
};

struct doctor_host {
	const char *root; /* "": this host */

	/* doctor_host.c */
	char release[128];  /* of the kernel; "": not known */
	char cmdline[4096]; /* "": not known */
	char vendor[32];    /* of the processor: GenuineIntel, ... */
	char model[128];
	unsigned int phys_bits; /* of host addresses; 0: not told */
	bool hypervisor;        /* this is a virtual machine */
	bool vmx;
	uint64_t cap_eff; /* capabilities in effect */
	bool has_cap_eff;
	const char *container; /* what kind; NULL: none */
	uint64_t memlock;      /* bytes; UINT64_MAX: unlimited */
	bool has_memlock;
	char lockdown[32]; /* none, integrity, confidentiality; "": not told */
	bool interrupts_remapped, has_interrupts;
	unsigned int nr_nodes;
	struct doctor_node node[DOCTOR_NODES_MAX];

	/* doctor_units.c */
	struct moat_dmar *dmar; /* NULL: `dmar_error` and its text say why */
	int dmar_error;
	char dmar_text[512];
	bool sysfs;          /* /sys/bus is there */
	bool tables_visible; /* /sys/firmware/acpi/tables is there */
	bool ivrs;           /* firmware has AMD-Vi's table */
	unsigned int nr_units;
	struct doctor_unit unit[DOCTOR_UNITS_MAX];

	/* doctor_pci.c */
	int pci_error;
	struct moat_pci *pci;
	struct doctor_fn *fn; /* pci->n of them, in the same order */
	unsigned int nr_groups;
	struct doctor_group *group;
};

void doctor_host_read(const char *root, struct doctor_host *host);
void doctor_host_free(struct doctor_host *host);

void doctor_units_read(struct doctor_host *host);
/** After the units. */
void doctor_pci_read(struct doctor_host *host);

/**
 * A word of the kernel's command line: "intel_iommu" finds "intel_iommu=on,sm_on".
 * @param value the option's last value, "" without one; may be NULL
 */
bool doctor_option(const struct doctor_host *host, const char *name, char *value, size_t len);
/** Whether "off" is one of the values "on,sm_on" of any "intel_iommu=". The last of `a`, `b`
 * counts; NULL: neither is said. */
const char *doctor_option_last(const struct doctor_host *host, const char *name, const char *a,
	const char *b);

/** Units that the kernel drives, of one kind or of any (-1). */
unsigned int doctor_driven(const struct doctor_host *host, int kind);
/** Whether there is an IOMMU that could be used, on or off. */
bool doctor_has_iommu(const struct doctor_host *host);
bool doctor_may(const struct doctor_host *host, unsigned int capability);

const struct doctor_fn *doctor_fn_find(const struct doctor_host *host, uint16_t segment,
	moat_sid_t sid);
const struct doctor_group *doctor_group_find(const struct doctor_host *host, int id);
/** The functions of a device class that moat can give to a tenant: network, crypto, accelerators,
 * and whatever is bound to a driver for user space. */
bool doctor_candidate(const struct doctor_fn *fn);
/** vfio-pci and its variants. */
bool doctor_vfio_bound(const struct doctor_fn *fn);

#endif /* DOCTOR_HOST_H */
