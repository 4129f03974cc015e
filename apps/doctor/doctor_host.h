/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_HOST_H
#define DOCTOR_HOST_H

/**
 * @file
 * Facts about a host, read once below a root, without judgement. A fact that could not be read has
 * the value that its comment names.
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
	const char *from; /* source of the capabilities; NULL: not read, `why` says why */
	struct moat_vtd_caps caps;
	bool all_ones; /* the registers read as ones: nothing answers there */
	char *why;
	uint64_t domains, domains_used; /* domain-ids; 0: not known */
};

/** A port's or function's Access Control Services. */
struct doctor_acs {
	bool there;
	uint32_t cap, ctrl;
};

/** What the host uses an interface for. */
enum doctor_use {
	DOCTOR_USE_NONE,
	DOCTOR_USE_PART,  /* another interface is built on it: a bridge, bond, team or VLAN */
	DOCTOR_USE_ROUTE, /* the default route goes through it, or through one built on it */
};

/** VIRTIO_F_ACCESS_PLATFORM (bit 33): does a virtio device's DMA go through the unit? */
enum doctor_virtio {
	DOCTOR_VIRTIO_NOT, /* not a virtio device */
	DOCTOR_VIRTIO_UNKNOWN,
	DOCTOR_VIRTIO_BYPASSES,
	DOCTOR_VIRTIO_TRANSLATED,
};

/** Facts about a PCI function that struct moat_pci_fn does not have. */
struct doctor_fn {
	const struct moat_pci_fn *pci;
	char address[16]; /* 0000:01:00.0 */
	uint32_t class;   /* 24 bits */
	uint8_t revision;
	/* From sysfs, because these registers of a virtual function read as ones. */
	uint16_t vendor, device;
	uint16_t subvendor, subdevice;
	char driver[64]; /* "": none */
	char unit[64];   /* the kernel's name of its unit; "": none */
	struct doctor_lines nets;
	const char *net; /* the first interface; "": none */
	bool up;         /* an interface is not down */
	bool routed;     /* an interface, or one built on it, has a route of any kind */
	enum doctor_use use;
	/* the interface with the default route, or one that is built on it; NULL:
	 * DOCTOR_USE_NONE */
	char *user;
	enum doctor_virtio virtio;
	unsigned int rx_queues, tx_queues; /* of its interfaces */
	int group;                         /* -1: none */
	int numa;                          /* -1: not known */
	uint64_t vfs_total, vfs;           /* SR-IOV: capacity, enabled */
	bool extended; /* more than the first 64 bytes of configuration space could be read */
	struct doctor_acs acs;
	bool ats, pasid; /* it has this capability */
	const struct moat_dmar_rmrr *rmrr;
};

/** An IOMMU group: functions that the kernel hands out together. */
struct doctor_group {
	int id;
	char name[64];    /* "vfio-noiommu": it has no IOMMU */
	char type[32];    /* DMA (strict), DMA-FQ (lazy), identity, ...; "": not known */
	bool regions;     /* the kernel lists reserved regions (since 4.11) */
	bool direct;      /* memory is reserved for a device, which blocks assignment (RMRR) */
	bool relaxable;   /* memory is reserved, but does not block assignment (graphics, USB) */
	bool msi;         /* the interrupt window is reserved */
	unsigned int n;   /* endpoints: functions that are not bridges */
	unsigned int *fn; /* their indices in struct doctor_host */
};

struct doctor_node {
	int id;                                        /* -1: a kernel without NUMA */
	uint64_t total_2m, free_2m, total_1g, free_1g; /* pages */
};

struct doctor_host {
	const char *root; /* "": this host */

	/* doctor_host.c */
	char release[128]; /* the kernel's; "": not known */
	char *cmdline;     /* the kernel's; "": not known */
	struct doctor_words words;
	char *config; /* the kernel's build configuration; "": not known */
	const char *config_from;
	char vendor[32]; /* the processor's: GenuineIntel, ... */
	char model[128];
	unsigned int phys_bits; /* width of host addresses; 0: not known */
	bool hypervisor;        /* this is a virtual machine */
	bool xen, dom0;         /* under Xen; in Xen's control domain */
	bool vmx;
	uint64_t cap_eff; /* the process's effective capabilities */
	bool has_cap_eff;
	const char *container; /* "a Docker container", ...; NULL: none */
	uint64_t memlock;      /* bytes; UINT64_MAX: unlimited */
	bool has_memlock;
	char lockdown[32]; /* none, integrity, confidentiality; "": not known */
	bool interrupts_remapped, has_interrupts;
	unsigned int nr_nodes;
	struct doctor_node *node;

	/* doctor_units.c */
	struct moat_dmar *dmar; /* NULL: dmar_error and dmar_text say why */
	int dmar_error;
	char *dmar_text;
	bool sysfs;          /* /sys/bus exists */
	bool tables_visible; /* /sys/firmware/acpi/tables exists */
	bool ivrs;           /* firmware has AMD-Vi's table */
	unsigned int nr_units;
	struct doctor_unit *unit;

	/* doctor_pci.c */
	int pci_error;
	struct moat_pci *pci;
	struct doctor_fn *fn; /* pci->n functions, in the order of pci->fn */
	unsigned int nr_groups;
	struct doctor_group *group;
};

void doctor_host_read(const char *root, struct doctor_host *host);
void doctor_host_free(struct doctor_host *host);

void doctor_units_read(struct doctor_host *host);
/** Must be called after doctor_units_read(). */
void doctor_pci_read(struct doctor_host *host);

/** Is the processor AMD's or Hygon's? */
bool doctor_is_amd(const struct doctor_host *host);
/** @return how many units of a kind, or of any (-1), the kernel drives */
unsigned int doctor_driven(const struct doctor_host *host, int kind);
/** @return why no IOMMU could be used, whether on or off; NULL: there may be one */
const char *doctor_lacks_iommu(const struct doctor_host *host);
/** @return the first unit whose registers read as ones; NULL: none */
const struct doctor_unit *doctor_dead_unit(const struct doctor_host *host);
/** Was the kernel built with an option ("CONFIG_IRQ_REMAP")? @return 1, 0, or -1: not known */
int doctor_built_with(const struct doctor_host *host, const char *option);
/** Is the kernel's release this one or newer? A release that cannot be read counts as newer. */
bool doctor_release_from(const struct doctor_host *host, unsigned int major, unsigned int minor);
/** Does the process have a capability (CAP_*)? */
bool doctor_may(const struct doctor_host *host, unsigned int capability);

const struct doctor_fn *doctor_fn_find(const struct doctor_host *host, uint16_t segment,
	moat_sid_t sid);
const struct doctor_group *doctor_group_find(const struct doctor_host *host, int id);
/** Could moat give the function to a tenant, by its class (network, crypto, accelerators) or
 * because it is bound to a driver for user space? */
bool doctor_candidate(const struct doctor_fn *fn);
/** Read a function's interfaces, the interfaces built on them, and their routes. */
void doctor_net_read(struct doctor_host *host, struct doctor_fn *fn);

#endif /* DOCTOR_HOST_H */
