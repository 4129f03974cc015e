/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_IDS_H
#define DOCTOR_IDS_H

/**
 * @file
 * Properties of hardware that follow from its PCI ids only.
 */

#include "doctor_host.h"

/** DPDK's driver for a function. */
enum doctor_pmd {
	DOCTOR_PMD_NONE,    /* DPDK has none */
	DOCTOR_PMD_OWN,     /* it takes the function from the kernel, by VFIO or uio */
	DOCTOR_PMD_KERNEL,  /* it works through the kernel's driver, which stays */
	DOCTOR_PMD_UNKNOWN, /* moat was built without a list of DPDK's drivers */
};

/**
 * Find DPDK's driver for a function.
 * @param name receives the PMD's name; NULL: none, or not known
 * @param module receives, with DOCTOR_PMD_KERNEL, the kernel modules that the PMD works with
 */
enum doctor_pmd doctor_pmd_of(const struct doctor_fn *fn, const char **name, const char **module);

/** Is a device on vfio-pci's list of errata, by which it is refused? Linux,
 * drivers/vfio/pci/vfio_pci.c, since 5.9 (QAT) and 6.9 (DSA, IAX). @return its name; NULL: no */
const char *doctor_vfio_erratum(const struct doctor_fn *fn);

/** Is a host bridge, by id and revision, of a chipset whose interrupt remapping is broken by an
 * erratum? Linux, arch/x86/kernel/early-quirks.c. @return the chipset's name; NULL: no */
const char *doctor_remap_erratum(const struct doctor_fn *fn);

/** Where a root port has its ACS registers. Linux, drivers/pci/quirks.c. */
enum doctor_acs_layout {
	DOCTOR_ACS_STANDARD, /* as in the specification: 16 bits each */
	DOCTOR_ACS_WIDE,     /* 100- and 200-series PCH: 32 bits each */
	/* 5- to 9-series PCH: no ACS capability; the kernel isolates in chipset registers */
	DOCTOR_ACS_CHIPSET,
};
enum doctor_acs_layout doctor_acs_layout_of(const struct doctor_fn *fn);

/** Is the function of a chip whose functions are isolated from each other although they have no
 * ACS? Linux, drivers/pci/quirks.c: pci_quirk_mf_endpoint_acs(). */
bool doctor_parted_by_design(const struct doctor_fn *fn);

#endif /* DOCTOR_IDS_H */
