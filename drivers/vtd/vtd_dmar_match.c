/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>

#include "moat_vtd_dmar.h"
#include "vtd_text.h"

/* ------------------------------------------------------------------ which structure names whom */

/** Is the function the scope's end, or below it where that is a bridge's scope? */
static bool in_scope(const struct moat_dmar_scope *s, const struct moat_pci *pci, uint16_t segment,
	moat_sid_t sid)
{
	const struct moat_pci_fn *end;
	uint8_t bus = sid >> 8;

	if (s->type == MOAT_DMAR_ENDPOINT && s->nr_path == 1)
		return sid ==
			MOAT_SID(s->bus, s->path[0], s->path[1]); /* needs no bridge, no scan */
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

/** The table names physical functions only. */
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

int moat_dmar_acpi_source(const struct moat_dmar *dmar, const struct moat_pci *pci, uint16_t segment,
	const struct moat_dmar_scope *scope, moat_sid_t *sid)
{
	unsigned int last = scope->nr_path - 1; /* the parser refuses an empty path */
	const uint8_t *end = scope->path + 2 * (size_t)last;
	uint8_t bus = scope->bus;

	/* The device is not a PCI function, so only the bridges before it can be looked up. */
	if (last != 0) {
		const struct moat_pci_fn *b =
			moat_pci_follow(pci, segment, bus, scope->path, last);

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

/* ------------------------------------------------------------------------------------ as text */

static void say_scopes(struct vtd_text *t, const struct moat_dmar_scopes *scopes)
{
	static const char *const names[] = { "?", "endpoint", "bridge", "IOAPIC", "HPET", "ACPI" };

	for (unsigned int i = 0; i < scopes->n; i++) {
		const struct moat_dmar_scope *s = &scopes->scope[i];

		vtd_say(t, "  %s", names[s->type < RTE_DIM(names) ? s->type : 0]);
		if (s->type >= MOAT_DMAR_IOAPIC)
			vtd_say(t, " %u", s->enumeration);
		vtd_say(t, " %02x:", s->bus);
		for (unsigned int p = 0; p < s->nr_path; p++)
			vtd_say(t, "%s%02x.%x", p != 0 ? "/" : "", s->path[2 * p],
				s->path[2 * p + 1]);
		vtd_say(t, "\n");
	}
}

static void say_ats(struct vtd_text *t, const char *name, const char *flag, unsigned int n,
	const struct moat_dmar_ats ats[])
{
	for (unsigned int i = 0; i < n; i++) {
		vtd_say(t, "%s segment %04x%s%s\n", name, ats[i].segment, ats[i].flag ? " " : "",
			ats[i].flag ? flag : "");
		say_scopes(t, &ats[i].scopes);
	}
}

int moat_dmar_text(const struct moat_dmar *d, char *text, size_t len)
{
	struct vtd_text t = vtd_text_begin(text, len);

	vtd_say(&t, "host addresses of %u bits%s%s%s\n", d->haw,
		d->intr_remap ? ", interrupt remapping" : "",
		d->x2apic_opt_out ? ", x2APIC opted out" : "",
		d->dma_opt_in ? ", firmware asks for DMA protection" : "");
	for (unsigned int i = 0; i < d->nr_units; i++) {
		const struct moat_dmar_unit *u = &d->unit[i];

		vtd_say(&t, "DRHD dmar%u segment %04x at 0x%" PRIx64 "%s", i, u->segment, u->base,
			u->include_pci_all ? " INCLUDE_PCI_ALL" : "");
		if (u->proximity != UINT32_MAX)
			vtd_say(&t, " NUMA domain %" PRIu32, u->proximity);
		vtd_say(&t, "\n");
		say_scopes(&t, &u->scopes);
	}
	for (unsigned int i = 0; i < d->nr_rmrrs; i++) {
		vtd_say(&t, "RMRR segment %04x 0x%" PRIx64 " to 0x%" PRIx64 "\n",
			d->rmrr[i].segment, d->rmrr[i].base, d->rmrr[i].limit);
		say_scopes(&t, &d->rmrr[i].scopes);
	}
	say_ats(&t, "ATSR", "ALL_PORTS", d->nr_atsrs, d->atsr);
	say_ats(&t, "SATC", "ATC_REQUIRED", d->nr_satcs, d->satc);
	say_ats(&t, "SIDP", "", d->nr_sidps, d->sidp);
	for (unsigned int i = 0; i < d->nr_andds; i++)
		vtd_say(&t, "ANDD %u %s\n", d->andd[i].number, d->andd[i].name);
	if (d->nr_unknown != 0)
		vtd_say(&t, "%u structures of unknown type skipped\n", d->nr_unknown);
	for (unsigned int i = 0; i < d->nr_faults; i++)
		vtd_say(&t, "fault at offset 0x%zx: %s\n", d->fault[i].offset, d->fault[i].text);
	return t.len;
}
