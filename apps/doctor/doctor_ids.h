/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_IDS_H
#define DOCTOR_IDS_H

/**
 * @file
 * What is known of hardware by its PCI ids and cannot be read from it.
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
 * @param name the PMD's name, NULL: none
 * @param module DOCTOR_PMD_KERNEL: the kernel modules that it works with
 */
enum doctor_pmd doctor_pmd_of(const struct doctor_fn *fn, const char **name, const char **module);

/** The name of a device that vfio-pci refuses by its list of errata; NULL: it is not on the list.
 * Linux, drivers/vfio/pci/vfio_pci.c, since 5.9 (QAT) and 6.9 (DSA, IAX). */
const char *doctor_vfio_erratum(const struct doctor_fn *fn);

/** The name of a chipset whose interrupt remapping is broken by an erratum, going by its host
 * bridge and revision; NULL: it is not one of them. Linux, arch/x86/kernel/early-quirks.c. */
const char *doctor_remap_erratum(const struct doctor_fn *fn);

/** Where a root port has its ACS registers. Linux, drivers/pci/quirks.c. */
enum doctor_acs_layout {
	DOCTOR_ACS_STANDARD, /* as the specification has them: 16 bits each */
	DOCTOR_ACS_WIDE,     /* 100- and 200-series PCH: 32 bits each */
	/* 5- to 9-series PCH: no ACS capability; the kernel isolates in chipset registers */
	DOCTOR_ACS_CHIPSET,
};
enum doctor_acs_layout doctor_acs_layout_of(const struct doctor_fn *fn);

/** Functions of one chip that do not reach each other although they have no ACS to say so. Linux,
 * drivers/pci/quirks.c: pci_quirk_mf_endpoint_acs(). */
bool doctor_parted_by_design(const struct doctor_fn *fn);

#endif /* DOCTOR_IDS_H */
