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
#include "doctor_words.h"
#include "moat_vtd_caps.h"
#include "moat_vtd_dmar.h"

/** The maker of a unit. */
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
	bool all_ones; /* the registers read so: nothing answers there */
	char *why;
	uint64_t domains, domains_used; /* domain-ids; 0: not told */
};

/** A port's or function's Access Control Services. */
struct doctor_acs {
	bool there;
	uint32_t cap, ctrl;
};

/** What stands between an interface and what the host needs it for. */
enum doctor_use {
	DOCTOR_USE_NONE,
	DOCTOR_USE_PART,  /* something is built on it: a bridge, a bond, a team, a VLAN */
	DOCTOR_USE_ROUTE, /* the default route goes through it, or through what is built on it */
};

/** VIRTIO_F_ACCESS_PLATFORM (bit 33): does a virtio device's DMA go through the unit? */
enum doctor_virtio {
	DOCTOR_VIRTIO_NOT, /* no virtio device */
	DOCTOR_VIRTIO_UNKNOWN,
	DOCTOR_VIRTIO_BYPASSES,
	DOCTOR_VIRTIO_TRANSLATED,
};

/** A PCI function, beside what struct moat_pci_fn has of it. */
struct doctor_fn {
	const struct moat_pci_fn *pci;
	char address[16]; /* 0000:01:00.0 */
	uint32_t class;   /* 24 bits */
	uint8_t revision;
	/* As sysfs has them: the registers of a virtual function read as ones. */
	uint16_t vendor, device;
	uint16_t subvendor, subdevice;
	char driver[64]; /* "": none */
	char unit[64];   /* the kernel's name of its unit; "": none */
	struct doctor_lines nets;
	const char *net; /* the first interface; "": none */
	bool up;         /* one of them is not down */
	bool routed;     /* one of them, or what is built on it, has a route of any kind */
	enum doctor_use use;
	/* the interface that has the route, or what is built on it; NULL: DOCTOR_USE_NONE */
	char *user;
	enum doctor_virtio virtio;
	unsigned int rx_queues, tx_queues; /* of its interfaces */
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
	char name[64];    /* "vfio-noiommu" where there is no IOMMU behind it */
	char type[32];    /* DMA (strict), DMA-FQ (lazy), identity, ...; "": not told */
	bool regions;     /* the kernel tells reserved regions (since 4.11) */
	bool direct;      /* memory reserved for a device, which blocks assignment (RMRR) */
	bool relaxable;   /* ... that the kernel allows to be given up (graphics, USB) */
	bool msi;         /* the interrupt window is reserved */
	unsigned int n;   /* endpoints: functions that are no bridge */
	unsigned int *fn; /* their indices in struct doctor_host */
};

struct doctor_node {
	int id;                                        /* -1: a kernel without NUMA */
	uint64_t total_2m, free_2m, total_1g, free_1g; /* pages */
};

struct doctor_host {
	const char *root; /* "": this host */

	/* doctor_host.c */
	char release[128]; /* of the kernel; "": not known */
	char *cmdline;     /* "": not known */
	struct doctor_words words;
	char *config; /* how the kernel was built; "": not known */
	const char *config_from;
	char vendor[32]; /* of the processor: GenuineIntel, ... */
	char model[128];
	unsigned int phys_bits; /* of host addresses; 0: not told */
	bool hypervisor;        /* this is a virtual machine */
	bool xen, dom0;         /* under Xen; its control domain */
	bool vmx;
	uint64_t cap_eff; /* capabilities in effect */
	bool has_cap_eff;
	const char *container; /* what kind; NULL: none */
	uint64_t memlock;      /* bytes; UINT64_MAX: unlimited */
	bool has_memlock;
	char lockdown[32]; /* none, integrity, confidentiality; "": not told */
	bool interrupts_remapped, has_interrupts;
	unsigned int nr_nodes;
	struct doctor_node *node;

	/* doctor_units.c */
	struct moat_dmar *dmar; /* NULL: `dmar_error` and its text say why */
	int dmar_error;
	char *dmar_text;
	bool sysfs;          /* /sys/bus is there */
	bool tables_visible; /* /sys/firmware/acpi/tables is there */
	bool ivrs;           /* firmware has AMD-Vi's table */
	unsigned int nr_units;
	struct doctor_unit *unit;

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

/** Is the processor AMD's, or one that is made like it? */
bool doctor_is_amd(const struct doctor_host *host);
/** Units that the kernel drives, of one kind or of any (-1). */
unsigned int doctor_driven(const struct doctor_host *host, int kind);
/** Why there is no IOMMU that could be used, on or off; NULL: there may be one. */
const char *doctor_lacks_iommu(const struct doctor_host *host);
/** The first unit whose registers read as ones; NULL: none. */
const struct doctor_unit *doctor_dead_unit(const struct doctor_host *host);
/** Whether the kernel was built with an option ("CONFIG_IRQ_REMAP"): 1, 0, or -1: not known. */
int doctor_built_with(const struct doctor_host *host, const char *option);
/** The kernel's release is that or newer; one that cannot be read counts as new. */
bool doctor_release_from(const struct doctor_host *host, unsigned int major, unsigned int minor);
bool doctor_may(const struct doctor_host *host, unsigned int capability);

const struct doctor_fn *doctor_fn_find(const struct doctor_host *host, uint16_t segment,
	moat_sid_t sid);
const struct doctor_group *doctor_group_find(const struct doctor_host *host, int id);
/** Functions of a class that moat can give to a tenant (network, crypto, accelerators), and those
 * that are bound to a driver for user space. */
bool doctor_candidate(const struct doctor_fn *fn);
/** Interfaces, what is built on them, and routes. After the functions. */
void doctor_net_read(struct doctor_host *host, struct doctor_fn *fn);

#endif /* DOCTOR_HOST_H */
