/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>

#include "moat_vtd_dmar.h"

/** Does the scope end at the function or, if it is a bridge's scope, at a bridge above the
 * function? */
static bool in_scope(const struct moat_dmar_scope *s, const struct moat_pci *pci, uint16_t segment,
	moat_sid_t sid)
{
	const struct moat_pci_fn *end;
	uint8_t bus = sid >> 8;

	if (s->type == MOAT_DMAR_ENDPOINT && s->nr_path == 1)
		return sid == MOAT_SID(s->bus, s->path[0], s->path[1]); /* no bridge to look up */
	if (s->type != MOAT_DMAR_ENDPOINT && s->type != MOAT_DMAR_BRIDGE)
		return false;
	end = moat_pci_follow(pci, segment, s->bus, s->path, s->nr_path);
	if (end == NULL)
		return false;
	if (end->sid == sid)
		return true;
	return s->type == MOAT_DMAR_BRIDGE && end->bridge && bus >= end->secondary &&
		bus <= end->subordinate;
}

static bool in_scopes(const struct moat_dmar_scopes *scopes, const struct moat_pci *pci,
	uint16_t segment, moat_sid_t sid)
{
	for (unsigned int i = 0; i < scopes->n; i++)
		if (in_scope(&scopes->scope[i], pci, segment, sid))
			return true;
	return false;
}

/** Get the physical function of a virtual one: the table names no virtual functions. */
static moat_sid_t physical(const struct moat_pci *pci, uint16_t segment, moat_sid_t sid)
{
	const struct moat_pci_fn *fn = moat_pci_find(pci, segment, sid);

	return fn != NULL ? fn->physfn : sid;
}

int moat_dmar_unit_of(const struct moat_dmar *dmar, const struct moat_pci *pci, uint16_t segment,
	moat_sid_t sid)
{
	int all = -ENODEV;

	sid = physical(pci, segment, sid);
	for (unsigned int i = 0; i < dmar->nr_units; i++) {
		const struct moat_dmar_unit *u = &dmar->unit[i];

		if (u->segment != segment)
			continue;
		if (in_scopes(&u->scopes, pci, segment, sid))
			return i;
		if (u->include_pci_all)
			all = i;
	}
	if (all < 0)
		return moat_error(-ENODEV, "no unit of the DMAR table serves %04x:" MOAT_SID_FMT,
			segment, MOAT_SID_ARGS(sid));
	return all;
}

const struct moat_dmar_rmrr *moat_dmar_rmrr_of(const struct moat_dmar *dmar,
	const struct moat_pci *pci, uint16_t segment, moat_sid_t sid)
{
	for (unsigned int i = 0; i < dmar->nr_rmrrs; i++)
		if (dmar->rmrr[i].segment == segment &&
			in_scopes(&dmar->rmrr[i].scopes, pci, segment, sid))
			return &dmar->rmrr[i];
	return NULL;
}

/** Is one of the bridges above the function a root port that the ATSR names? */
static bool below_atsr(const struct moat_dmar_ats *atsr, const struct moat_pci *pci,
	uint16_t segment, moat_sid_t sid)
{
	const struct moat_pci_fn *b = moat_pci_bridge_to(pci, segment, sid >> 8);

	for (int bus = sid >> 8; b != NULL && b->sid >> 8 < bus;
		bus = b->sid >> 8, b = moat_pci_bridge_to(pci, segment, bus)) {
		if (b->port == MOAT_PCI_CONVENTIONAL || b->port == MOAT_PCI_TO_PCI)
			return false; /* ATS does not pass through these */
		if (b->port == MOAT_PCI_ROOT_PORT &&
			(atsr->flag || in_scopes(&atsr->scopes, pci, segment, b->sid)))
			return true;
	}
	return false;
}

bool moat_dmar_allows_ats(const struct moat_dmar *dmar, const struct moat_pci *pci,
	uint16_t segment, moat_sid_t sid)
{
	sid = physical(pci, segment, sid);
	for (unsigned int i = 0; i < dmar->nr_satcs; i++)
		if (dmar->satc[i].segment == segment &&
			in_scopes(&dmar->satc[i].scopes, pci, segment, sid))
			return true;
	for (unsigned int i = 0; i < dmar->nr_atsrs; i++)
		if (dmar->atsr[i].segment == segment &&
			below_atsr(&dmar->atsr[i], pci, segment, sid))
			return true;
	return false;
}

static const char *andd_name(const struct moat_dmar *dmar, uint8_t number)
{
	for (unsigned int i = 0; i < dmar->nr_andds; i++)
		if (dmar->andd[i].number == number)
			return dmar->andd[i].name;
	return "without a name";
}

int moat_dmar_acpi_source(const struct moat_dmar *dmar, const struct moat_pci *pci,
	uint16_t segment, const struct moat_dmar_scope *scope, moat_sid_t *sid)
{
	unsigned int last = scope->nr_path - 1; /* the parser has left out empty paths */
	const uint8_t *end = scope->path + 2 * (size_t)last;
	uint8_t bus = scope->bus;

	/* The device is not a PCI function, so only the bridges before it can be looked up. */
	if (last != 0) {
		const struct moat_pci_fn *b = moat_pci_follow(pci, segment, bus, scope->path, last);

		if (b == NULL || !b->bridge)
			return moat_error(-ENODEV,
				"ACPI device %u %s is behind a bridge that is not there: its DMA "
				"would be refused, so the unit cannot be used",
				scope->enumeration, andd_name(dmar, scope->enumeration));
		bus = b->secondary;
	}
	if (end[0] > 0x1f || end[1] > 7)
		return moat_error(-ENODEV,
			"ACPI device %u %s: device %u, function %u of its scope do not exist",
			scope->enumeration, andd_name(dmar, scope->enumeration), end[0], end[1]);
	*sid = MOAT_SID(bus, end[0], end[1]);
	return 0;
}
