/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include "moat_vtd_pci.h"

/* The path of a function's requests up through bridges, and the path of a DMAR scope down. */

const struct moat_pci_fn *moat_pci_bridge_to(const struct moat_pci *pci, uint16_t segment,
	uint8_t bus)
{
	const struct moat_pci_fn *best = NULL;

	for (unsigned int i = 0; i < pci->n; i++) {
		const struct moat_pci_fn *fn = &pci->fn[i];

		if (!fn->bridge || fn->segment != segment || fn->secondary == 0 ||
			bus < fn->secondary || bus > fn->subordinate)
			continue;
		/* Ranges nest: the lowest bridge has the highest secondary bus. A virtual
		 * function's bus need not be a secondary bus; it is then in the range of the bridge
		 * above the physical function. */
		if (best == NULL || fn->secondary > best->secondary)
			best = fn;
	}
	return best;
}

/* Devices whose requests carry the number of another function, which need not exist. Known from
 * Linux, drivers/pci/quirks.c: quirk_dma_func0_alias(), quirk_dma_func1_alias(). */
static const struct {
	uint16_t vendor, device;
	uint8_t as; /* the function in the requests */
} borrowers[] = {
	{ 0x1180, 0xe476, 0 }, { 0x1180, 0xe832, 0 }, /* Ricoh's card readers */
	{ 0x1b4b, 0x9120, 1 }, { 0x1b4b, 0x9123, 1 }, { 0x1b4b, 0x9125, 1 }, /* Marvell's SATA */
	{ 0x1b4b, 0x9128, 1 }, { 0x1b4b, 0x9130, 1 }, { 0x1b4b, 0x9170, 1 }, { 0x1b4b, 0x9172, 1 },
	{ 0x1b4b, 0x917a, 1 }, { 0x1b4b, 0x9182, 1 }, { 0x1b4b, 0x9183, 1 }, { 0x1b4b, 0x91a0, 1 },
	{ 0x1b4b, 0x9215, 1 }, { 0x1b4b, 0x9220, 1 }, { 0x1b4b, 0x9230, 1 }, { 0x1b4b, 0x9235, 1 },
	{ 0x1103, 0x0642, 1 }, { 0x1103, 0x0645, 1 }, /* HighPoint, the same chips */
	{ 0x1c28, 0x0122, 1 }, { 0x197b, 0x2392, 1 }, /* Plextor, JMicron */
};

/** Get the other source-id that requests of the function carry; its own if there is none. */
static moat_sid_t borrowed(const struct moat_pci *pci, uint16_t segment, moat_sid_t sid)
{
	const struct moat_pci_fn *fn = moat_pci_find(pci, segment, sid);

	for (unsigned int i = 0; fn != NULL && i < RTE_DIM(borrowers); i++)
		if (fn->vendor == borrowers[i].vendor && fn->device == borrowers[i].device)
			return (moat_sid_t)((sid & ~7u) | borrowers[i].as);
	return sid;
}

/* PCI Express to PCI bridges that have no PCI Express capability. Known from Linux,
 * drivers/pci/quirks.c: quirk_use_pcie_bridge_dma_alias(). */
static const struct {
	uint16_t vendor, device;
} unsaid[] = { { 0x1b21, 0x1080 }, { 0x10e3, 0x8113 }, { 0x1283, 0x8892 }, { 0x1283, 0x8893 },
	{ 0x8086, 0x244e } };

static bool is_express_to_pci(const struct moat_pci_fn *b)
{
	bool is = b->port == MOAT_PCI_TO_PCI;

	for (unsigned int i = 0; b->port == MOAT_PCI_CONVENTIONAL && i < RTE_DIM(unsaid); i++)
		is |= b->vendor == unsaid[i].vendor && b->device == unsaid[i].device;
	return is;
}

unsigned int moat_pci_aliases(const struct moat_pci *pci, uint16_t segment, moat_sid_t sid,
	moat_sid_t alias[], unsigned int max)
{
	const struct moat_pci_fn *b = moat_pci_bridge_to(pci, segment, sid >> 8);
	moat_sid_t too = borrowed(pci, segment, sid);
	unsigned int n = 0;

	alias[n++] = sid;
	if (too != sid) {
		if (n < max)
			alias[n] = too;
		n++;
	}
	/* Each step must lead to a lower bus number. If one does not, the buses are not a tree, and
	 * the walk ends. */
	for (unsigned int bus = sid >> 8; b != NULL && b->sid >> 8 < (int)bus;
		bus = b->sid >> 8, b = moat_pci_bridge_to(pci, segment, bus)) {
		moat_sid_t as = is_express_to_pci(b) ? MOAT_SID(b->secondary, 0, 0) : b->sid;

		if (b->port != MOAT_PCI_TO_PCI && b->port != MOAT_PCI_CONVENTIONAL &&
			b->port != MOAT_PCI_FROM_PCI)
			continue;
		if (n < max)
			alias[n] = as;
		n++;
	}
	return n;
}

const struct moat_pci_fn *moat_pci_follow(const struct moat_pci *pci, uint16_t segment, uint8_t bus,
	const uint8_t *path, unsigned int nr_path)
{
	const struct moat_pci_fn *fn = NULL;

	for (unsigned int i = 0; i < nr_path; i++) {
		if (path[2 * i] > 0x1f || path[2 * i + 1] > 7)
			return NULL;
		if (i != 0) {
			if (!fn->bridge)
				return NULL;
			bus = fn->secondary;
		}
		fn = moat_pci_find(pci, segment, MOAT_SID(bus, path[2 * i], path[2 * i + 1]));
		if (fn == NULL)
			return NULL;
	}
	return fn;
}
