/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include "doctor_ids.h"

#define INTEL     0x8086
#define MELLANOX  0x15b3
#define MICROSOFT 0x1414
#define ANY       0xffff

/* ------------------------------------------------------------------------------- DPDK's drivers */

static const struct pmd {
	uint16_t vendor, device, subvendor, subdevice;
	const char *name, *kernel; /* kernel: modules that the PMD works through; "": none */
} pmds[] = {
#include "doctor_pmds.h"
};

static bool is(uint16_t wanted, uint16_t has)
{
	return wanted == ANY || wanted == has;
}

/** Does the PMD take the function? Subsystem 0 was not read, or does not exist: it matches any. */
static bool takes(const struct pmd *p, const struct doctor_fn *fn)
{
	return p->vendor == fn->vendor && is(p->device, fn->device) &&
		(fn->subvendor == 0 ||
			(is(p->subvendor, fn->subvendor) && is(p->subdevice, fn->subdevice)));
}

/** @return the kernel driver of a device that is newer than DPDK's list, but all of whose maker's
 * PMDs work through that driver; NULL: none */
static const char *kernel_by_vendor(const struct doctor_fn *fn)
{
	bool network = fn->class >> 16 == 0x02;

	if (network && fn->vendor == MELLANOX)
		return "mlx5_core";
	return network && fn->vendor == MICROSOFT ? "mana" : NULL;
}

enum doctor_pmd doctor_pmd_of(const struct doctor_fn *fn, const char **name, const char **module)
{
	const struct pmd *found = NULL;

	*name = *module = NULL;
	for (unsigned int i = 0; pmds[i].vendor != ANY; i++) {
		if (!takes(&pmds[i], fn))
			continue;
		found = &pmds[i];
		if (found->kernel[0] == '\0')
			break; /* a PMD that takes the function from the kernel is preferred */
	}
	if (found != NULL) {
		*name = found->name;
		*module = found->kernel;
		return found->kernel[0] != '\0' ? DOCTOR_PMD_KERNEL : DOCTOR_PMD_OWN;
	}
	*module = kernel_by_vendor(fn);
	if (*module != NULL)
		return DOCTOR_PMD_KERNEL;
	return RTE_DIM(pmds) == 1 ? DOCTOR_PMD_UNKNOWN : DOCTOR_PMD_NONE;
}

/* -------------------------------------------------------------------------------------- errata */

const char *doctor_vfio_erratum(const struct doctor_fn *fn)
{
	static const struct {
		uint16_t device;
		const char *name;
	} list[] = {
		{ 0x0435, "QAT DH895xCC" },
		{ 0x0443, "QAT DH895xCC VF" },
		{ 0x19e2, "QAT C3xxx" },
		{ 0x19e3, "QAT C3xxx VF" },
		{ 0x37c8, "QAT C62x" },
		{ 0x37c9, "QAT C62x VF" },
		{ 0x0b25, "DSA of the first generation" },
		{ 0x0cfe, "IAX of the first generation" },
	};

	for (unsigned int i = 0; fn->vendor == INTEL && i < RTE_DIM(list); i++)
		if (list[i].device == fn->device)
			return list[i].name;
	return NULL;
}

const char *doctor_remap_erratum(const struct doctor_fn *fn)
{
	static const struct {
		uint16_t device;
		const char *name;
	} list[] = {
		{ 0x3403, "Intel 5500" },
		{ 0x3405, "Intel X58 or 5520" },
		{ 0x3406, "Intel 5520" },
	};

	if (fn->vendor != INTEL)
		return NULL;
	for (unsigned int i = 0; i < RTE_DIM(list); i++)
		if (list[i].device == fn->device &&
			(fn->revision <= 0x13 || (fn->device == 0x3405 && fn->revision == 0x22)))
			return list[i].name;
	return NULL;
}

/* ----------------------------------------------------------------------------------------- ACS */

struct range {
	uint16_t first, last;
};

static bool in(const struct doctor_fn *fn, const struct range ranges[], unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (fn->device >= ranges[i].first && fn->device <= ranges[i].last)
			return true;
	return false;
}

enum doctor_acs_layout doctor_acs_layout_of(const struct doctor_fn *fn)
{
	static const struct range chipset[] = {
		{ 0x3b42, 0x3b51 },                     /* 5-series */
		{ 0x1c10, 0x1c1f }, { 0x1d10, 0x1d1f }, /* 6-series, C600 */
		{ 0x1e10, 0x1e1f },                     /* 7-series */
		{ 0x8c10, 0x8c1f }, { 0x9c10, 0x9c1b }, /* 8-series */
		{ 0x8d10, 0x8d1f },                     /* C610 */
		{ 0x8c90, 0x8c9f }, { 0x9c90, 0x9c9b }, /* 9-series */
	};

	if (fn->vendor != INTEL || fn->pci->port != MOAT_PCI_ROOT_PORT)
		return DOCTOR_ACS_STANDARD;
	if (moat_pci_acs_is_wide(fn->pci))
		return DOCTOR_ACS_WIDE;
	return in(fn, chipset, RTE_DIM(chipset)) ? DOCTOR_ACS_CHIPSET : DOCTOR_ACS_STANDARD;
}

bool doctor_parted_by_design(const struct doctor_fn *fn)
{
	static const struct range chips[] = {
		{ 0x105e, 0x1060 }, { 0x1096, 0x1099 },                     /* 82571, 80003ES2LAN */
		{ 0x10a7, 0x10a7 }, { 0x10a9, 0x10a9 }, { 0x10d6, 0x10d6 }, /* 82575 */
		{ 0x10c6, 0x10c8 }, { 0x10db, 0x10db }, { 0x10dd, 0x10dd }, { 0x10e1, 0x10e1 },
		{ 0x10ec, 0x10ec }, { 0x10f1, 0x10f1 }, { 0x10f4, 0x10f4 }, /* 82598 */
		{ 0x10c9, 0x10c9 }, { 0x10e6, 0x10e8 }, { 0x150a, 0x150a }, { 0x150d, 0x150d },
		{ 0x1518, 0x1518 }, { 0x1526, 0x1526 }, /* 82576 */
		{ 0x10f7, 0x10f9 }, { 0x10fb, 0x10fc }, { 0x1507, 0x1507 }, { 0x1514, 0x1514 },
		{ 0x151c, 0x151c }, { 0x1528, 0x152a }, { 0x154a, 0x154a }, { 0x154d, 0x154d },
		{ 0x154f, 0x154f }, { 0x1551, 0x1551 }, { 0x1558, 0x1558 }, /* 82599, X540 */
		{ 0x1521, 0x1524 },                                         /* I350 */
	};

	return fn->vendor == INTEL && fn->class >> 16 == 0x02 && in(fn, chips, RTE_DIM(chips));
}
