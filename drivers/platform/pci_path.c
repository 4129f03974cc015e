/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include "moat_vtd_pci.h"

/* The way of a function's requests up through bridges, and of a DMAR path down. */

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
		 * function's bus may be no bridge's secondary: then it belongs to the bridge above
		 * its physical one. */
		if (best == NULL || fn->secondary > best->secondary)
			best = fn;
	}
	return best;
}

unsigned int moat_pci_aliases(const struct moat_pci *pci, uint16_t segment, moat_sid_t sid,
	moat_sid_t alias[], unsigned int max)
{
	const struct moat_pci_fn *b = moat_pci_bridge_to(pci, segment, sid >> 8);
	unsigned int n = 0;

	alias[n++] = sid;
	/* Each step must lead to a lower bus number: what does not is not a tree, and ends here. */
	for (unsigned int bus = sid >> 8; b != NULL && b->sid >> 8 < (int)bus;
		bus = b->sid >> 8, b = moat_pci_bridge_to(pci, segment, bus)) {
		moat_sid_t as = b->port == MOAT_PCI_TO_PCI ? MOAT_SID(b->secondary, 0, 0) : b->sid;

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
