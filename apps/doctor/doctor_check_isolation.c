/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "doctor_check.h"

/* ------------------------------------------------------------------------------------ groups */

/** "0000:03:00.0 (ixgbe, eth2)" */
static void name_fn(const struct doctor_fn *fn, char *text, size_t len)
{
	if (fn->driver[0] != '\0' && fn->net[0] != '\0')
		snprintf(text, len, "%s (%s, %s)", fn->address, fn->driver, fn->net);
	else if (fn->driver[0] != '\0')
		snprintf(text, len, "%s (%s)", fn->address, fn->driver);
	else
		snprintf(text, len, "%s", fn->address);
}

static bool has_candidate(const struct doctor_host *h, const struct doctor_group *g)
{
	for (unsigned int i = 0; i < g->n; i++)
		if (doctor_candidate(&h->fn[g->fn[i]]))
			return true;
	return false;
}

static void describe_group(const struct doctor_host *h, const struct doctor_group *g,
	struct doctor_finding *f)
{
	char line[1024] = "", one[128];
	size_t len = 0;

	for (unsigned int i = 0; i < g->n && len < sizeof(line); i++) {
		name_fn(&h->fn[g->fn[i]], one, sizeof(one));
		len += snprintf(line + len, sizeof(line) - len, "%s%s", i != 0 ? ", " : "", one);
	}
	doctor_say(&f->evidence, "group %d: %s", g->id, line);
}

static void describe_sharers(const struct doctor_case *c, struct doctor_finding *f)
{
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];

		if (t->with.n != 0)
			doctor_say(&f->evidence, "%s has a source-id in common with %s%s",
				t->fn->address, t->with.at[0], t->with.n > 1 ? " and others" : "");
	}
}

void doctor_check_groups(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	unsigned int alone = 0, share = 0;

	for (unsigned int i = 0; i < c->tenants.n; i++) {
		share += c->tenants.at[i].with.n != 0;
		alone += c->tenants.at[i].with.n == 0;
	}
	if (c->way == DOCTOR_VFIO && h->nr_groups == 0) {
		doctor_find(f, DOCTOR_FAIL, "the kernel made no IOMMU groups");
		doctor_say(&f->remedy, "a driven unit makes some: is /sys complete here?");
		return;
	}
	if (c->way == DOCTOR_VFIO) {
		doctor_say(&f->evidence, "%u group%s in all", h->nr_groups,
			h->nr_groups == 1 ? "" : "s");
		for (unsigned int i = 0; i < h->nr_groups; i++)
			if (has_candidate(h, &h->group[i]))
				describe_group(h, &h->group[i], f);
	} else {
		describe_sharers(c, f);
	}
	if (share == 0) {
		doctor_find(f, DOCTOR_OK, "%u function%s, each alone in its %s", alone,
			alone == 1 ? "" : "s", c->way == DOCTOR_VFIO ? "group" : "source-ids");
		return;
	}
	doctor_find(f, DOCTOR_WARN, "%u of %u functions share with others", share, share + alone);
	doctor_say(&f->remedy,
		"those of one group are one tenant, in one container, and all of them must be "
		"given up by the kernel; to part them see acs, or use another slot");
}

/* --------------------------------------------------------------------------------------- ACS */

/* What the kernel asks for (PCI Express Base Specification, "ACS Capability Register"). */
#define ACS_SV   0x01 /* source validation */
#define ACS_RR   0x04 /* peer-to-peer request redirect */
#define ACS_CR   0x08 /* completion redirect */
#define ACS_UF   0x10 /* upstream forwarding */
#define ACS_NEED (ACS_SV | ACS_RR | ACS_CR | ACS_UF)

/** What an ACS capability could do of it and is not told to. */
static uint16_t missing(const struct doctor_acs *acs)
{
	return ACS_NEED & acs->cap & ~acs->ctrl;
}

static bool isolates(const struct doctor_acs *acs)
{
	return acs->there && missing(acs) == 0;
}

/** One reason a time, however many functions it concerns. */
static void because(struct doctor_finding *f, const char *text)
{
	for (unsigned int i = 0; i < f->evidence.n; i++)
		if (strcmp(f->evidence.at[i], text) == 0)
			return;
	doctor_say(&f->evidence, "%s", text);
}

static void port_reason(const struct doctor_fn *port, struct doctor_finding *f)
{
	const char *what = port->pci->port == MOAT_PCI_ROOT_PORT ? "root port" : "switch port";
	uint16_t off = missing(&port->acs);
	char text[256];

	if (!port->acs.there)
		snprintf(text, sizeof(text),
			"%s %s has no ACS: what is below it can reach its "
			"peers directly",
			what, port->address);
	else
		snprintf(text, sizeof(text), "%s %s has ACS, but not on:%s%s%s%s", what,
			port->address, off & ACS_SV ? " SV" : "", off & ACS_RR ? " RR" : "",
			off & ACS_CR ? " CR" : "", off & ACS_UF ? " UF" : "");
	because(f, text);
}

/** Functions of one device, with no ACS to keep them from each other. */
static bool siblings(const struct doctor_fn *a, const struct doctor_fn *b)
{
	return a != b && a->pci->segment == b->pci->segment && !a->pci->virtfn && !b->pci->virtfn &&
		a->pci->sid >> 3 == b->pci->sid >> 3 && !(isolates(&a->acs) && isolates(&b->acs));
}

/** The bridges above a function: which do not isolate? @return whether one was hidden */
static bool above(const struct doctor_host *h, const struct doctor_fn *fn, bool ports,
	struct doctor_finding *f)
{
	const struct moat_pci_fn *b =
		moat_pci_bridge_to(h->pci, fn->pci->segment, fn->pci->sid >> 8);
	char text[256];

	for (int bus = fn->pci->sid >> 8; b != NULL && b->sid >> 8 < bus;
		bus = b->sid >> 8, b = moat_pci_bridge_to(h->pci, fn->pci->segment, bus)) {
		const struct doctor_fn *port = doctor_fn_find(h, b->segment, b->sid);

		if (!port->extended)
			return true;
		if (b->port == MOAT_PCI_CONVENTIONAL || b->port == MOAT_PCI_TO_PCI) {
			snprintf(text, sizeof(text),
				"%s is a bridge to conventional PCI: all below "
				"it carry one source-id",
				port->address);
			because(f, text);
		} else if ((b->port == MOAT_PCI_DOWNSTREAM ||
				   (ports && b->port == MOAT_PCI_ROOT_PORT)) &&
			!isolates(&port->acs)) {
			port_reason(port, f);
		}
	}
	return false;
}

/** Why a function is not alone. @return whether something was hidden */
static bool reasons(const struct doctor_case *c, const struct doctor_tenant *t,
	struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	char text[256];

	for (unsigned int i = 0; i < h->pci->n; i++) {
		if (!siblings(t->fn, &h->fn[i]))
			continue;
		if (!t->fn->extended)
			return true;
		snprintf(text, sizeof(text),
			"%04x:%02x:%02x is one device of several functions, without ACS between them",
			t->fn->pci->segment, t->fn->pci->sid >> 8, t->fn->pci->sid >> 3 & 0x1f);
		because(f, text);
	}
	return above(h, t->fn, t->with.n != 0, f);
}

void doctor_check_acs(const struct doctor_case *c, struct doctor_finding *f)
{
	bool hidden = false, looked = false;
	unsigned int found;

	/* With vfio the kernel has judged, and says so by the groups: find out why. With vtd nobody has. */
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];

		if (c->way == DOCTOR_VFIO && t->with.n == 0)
			continue;
		looked = true;
		hidden |= reasons(c, t, f);
	}
	found = f->evidence.n;
	if (doctor_option(c->host, "pcie_acs_override", NULL, 0)) {
		doctor_find(f, DOCTOR_WARN,
			"pcie_acs_override: the groups promise what no hardware "
			"keeps");
		doctor_say(&f->remedy,
			"take it out of the kernel's command line and reboot: it parts "
			"groups on paper, while the devices reach each other");
	} else if (found != 0) {
		doctor_find(f, DOCTOR_WARN, "devices can reach each other without passing a unit");
		doctor_say(&f->remedy,
			"put the card into another slot (below a root port with ACS), "
			"or turn ACS on in the firmware's settings");
	} else if (hidden) {
		doctor_find(f, DOCTOR_UNKNOWN, "configuration space is hidden here");
		doctor_say(&f->remedy, "run moat-doctor as root");
	} else if (looked && c->way == DOCTOR_VFIO) {
		doctor_find(f, DOCTOR_WARN,
			"functions share a group, for no reason that is to be seen");
		doctor_say(&f->remedy,
			"the kernel knows of faults of this hardware, or hides a bridge; "
			"see its log");
	} else {
		doctor_find(f, DOCTOR_OK,
			c->way == DOCTOR_VFIO ? "no function has to share for want of it"
					      : "the ports above isolate what is below them");
	}
}

/* -------------------------------------------------------------------------------------- RMRR */

static void list_named(const struct doctor_host *h, struct doctor_finding *f)
{
	for (unsigned int i = 0; i < h->pci->n; i++)
		if (h->fn[i].rmrr != NULL && !h->fn[i].pci->bridge)
			doctor_say(&f->evidence, "%s: 0x%" PRIx64 " to 0x%" PRIx64,
				h->fn[i].address, h->fn[i].rmrr->base, h->fn[i].rmrr->limit);
	for (unsigned int i = 0; i < h->nr_groups; i++) {
		const struct doctor_group *g = &h->group[i];

		if (g->direct)
			doctor_say(&f->evidence,
				"group %d: reserved, the kernel refuses to assign it", g->id);
		else if (g->relaxable)
			doctor_say(&f->evidence,
				"group %d: reserved, but the kernel lets it go (direct-relaxable)",
				g->id);
	}
}

void doctor_check_rmrr(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	unsigned int hit = 0;

	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_fn *fn = c->tenants.at[i].fn;
		const struct doctor_group *g = doctor_group_find(h, fn->group);

		hit += c->way == DOCTOR_VFIO ? g != NULL && g->direct : fn->rmrr != NULL;
	}
	list_named(h, f);
	if (hit != 0) {
		doctor_find(f, DOCTOR_WARN, "firmware has reserved memory for %u function%s", hit,
			hit == 1 ? "" : "s");
		doctor_say(&f->remedy,
			"firmware may let such a device write there at any time, so it cannot be a "
			"tenant's: look for a setting that ends it (HPE: \"shared memory features\"; "
			"management of the NIC by the BMC), or use another NIC");
	} else if (h->dmar_error == -EBADMSG && h->nr_groups == 0) {
		f->moot = true;
		doctor_find(f, DOCTOR_UNKNOWN, "they are in the table (see firmware)");
	} else if (h->dmar == NULL && h->nr_groups == 0) {
		doctor_find(f, DOCTOR_UNKNOWN, "neither the DMAR table nor groups can be read");
		doctor_say(&f->remedy, "run moat-doctor as root");
	} else if (f->evidence.n != 0) {
		doctor_find(f, DOCTOR_OK, "none concerns a function that could be a tenant's");
	} else {
		doctor_find(f, DOCTOR_OK, "none");
	}
}
