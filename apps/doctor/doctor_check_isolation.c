/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_check.h"
#include "doctor_ids.h"

/* ------------------------------------------------------------------------------------ groups */

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
	char *line = doctor_format("group %d:", g->id);

	for (unsigned int i = 0; i < g->n; i++) {
		char *one = doctor_fn_name(&h->fn[g->fn[i]]);
		char *more = doctor_format("%s%s %s", line, i != 0 ? "," : "", one);

		free(one);
		free(line);
		line = more;
	}
	doctor_say(&f->evidence, "%s", line);
	free(line);
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

/** Find the first function that a process already has, but whose group is not viable; or else the
 * first whose group could become viable only without a function that the host needs. */
static const struct doctor_tenant *not_viable(const struct doctor_case *c)
{
	const struct doctor_tenant *in_vain = NULL;

	for (unsigned int i = 0; c->way == DOCTOR_VFIO && i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];

		if (t->not_viable != NULL && !t->unbound)
			return t;
		if (t->not_viable != NULL && t->costly && in_vain == NULL &&
			(t->place == DOCTOR_OWN || t->place == DOCTOR_SHARED))
			in_vain = t;
	}
	return in_vain;
}

void doctor_check_groups(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	const struct doctor_tenant *t = not_viable(c);
	unsigned int alone = 0, share = 0;

	for (unsigned int i = 0; i < c->tenants.n; i++) {
		share += c->tenants.at[i].with.n != 0;
		alone += c->tenants.at[i].with.n == 0;
	}
	if (c->way == DOCTOR_VFIO && h->nr_groups == 0 && h->container != NULL) {
		doctor_find(f, DOCTOR_UNKNOWN, "the IOMMU groups are hidden here");
		doctor_say(&f->remedy, "run moat-doctor on the host, outside of %s", h->container);
		return;
	}
	if (c->way == DOCTOR_VFIO && h->nr_groups == 0) {
		doctor_find(f, DOCTOR_FAIL, "the kernel made no IOMMU groups");
		doctor_say(&f->remedy,
			"the kernel makes groups for units that it drives: is /sys complete here?");
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
	if (t != NULL) {
		doctor_find(f, DOCTOR_WARN,
			"group %d is not viable: these members have drivers of the kernel: %s",
			t->fn->group, t->not_viable);
		doctor_say(&f->remedy,
			"VFIO hands out a group only if no member has a driver of the kernel: %s",
			t->costly
				? "the host needs some of these; use another device, or a device's "
				  "virtual functions"
				: "bind them to vfio-pci, too, or to no driver");
	} else if (share == 0) {
		doctor_find(f, DOCTOR_OK, "%u function%s, %s", alone, alone == 1 ? "" : "s",
			c->way == DOCTOR_VFIO ? "each alone in its group"
					      : "no two with the same source-id");
	} else {
		doctor_find(f, DOCTOR_WARN, "%u of %u functions share with others", share,
			share + alone);
		doctor_say(&f->remedy,
			"functions of one group belong to one tenant, in one container, and the kernel "
			"must give up all of them; acs says whether they can be separated");
	}
}

/* --------------------------------------------------------------------------------------- ACS */

/* What the kernel requires (PCI Express Base Specification, "ACS Capability Register"). */
#define ACS_SV   0x01 /* source validation */
#define ACS_RR   0x04 /* peer-to-peer request redirect */
#define ACS_CR   0x08 /* completion redirect */
#define ACS_UF   0x10 /* upstream forwarding */
#define ACS_NEED (ACS_SV | ACS_RR | ACS_CR | ACS_UF)

/** @return the required bits that an ACS capability has, but that are not enabled */
static uint32_t missing(const struct doctor_acs *acs)
{
	return ACS_NEED & acs->cap & ~acs->ctrl;
}

/** Does the function isolate its peers? With "vtd" the kernel has not enabled the isolation that
 * some chipsets control outside of configuration space. */
static bool isolates(const struct doctor_case *c, const struct doctor_fn *fn)
{
	if (c->way == DOCTOR_VTD && doctor_acs_layout_of(fn) == DOCTOR_ACS_CHIPSET)
		return false;
	return fn->acs.there && missing(&fn->acs) == 0;
}

/** The kinds of reasons that were found; each has a remedy. */
struct acs_reasons {
	bool hidden; /* configuration space cannot be read */
	bool port;   /* a port above does not isolate: another slot may have a better one */
	bool chip;   /* functions of one chip, which no slot isolates from each other */
	bool bridge; /* a bridge to conventional PCI */
};

/** Add a reason to the evidence, once for all functions. Frees `text`. */
static void because(struct doctor_finding *f, char *text)
{
	bool known = false;

	for (unsigned int i = 0; i < f->evidence.n; i++)
		known |= strcmp(f->evidence.at[i], text) == 0;
	if (!known)
		doctor_say(&f->evidence, "%s", text);
	free(text);
}

static void port_reason(const struct doctor_fn *port, struct doctor_finding *f)
{
	const char *what = port->pci->port == MOAT_PCI_ROOT_PORT ? "root port" : "switch port";
	uint32_t off = missing(&port->acs);

	if (!port->acs.there || off == 0)
		because(f,
			doctor_format(
				"%s %s has no ACS: what is below it can reach its peers directly",
				what, port->address));
	else
		because(f,
			doctor_format("%s %s has ACS, but not on:%s%s%s%s", what, port->address,
				off & ACS_SV ? " SV" : "", off & ACS_RR ? " RR" : "",
				off & ACS_CR ? " CR" : "", off & ACS_UF ? " UF" : ""));
}

/** Are these functions of one device that nothing isolates from each other? */
static bool siblings(const struct doctor_case *c, const struct doctor_fn *a,
	const struct doctor_fn *b)
{
	return a != b && a->pci->segment == b->pci->segment && !a->pci->virtfn && !b->pci->virtfn &&
		a->pci->sid >> 3 == b->pci->sid >> 3 && !doctor_parted_by_design(a) &&
		!(isolates(c, a) && isolates(c, b));
}

/** Find the bridges above a function that do not isolate it. */
static void above(const struct doctor_case *c, const struct doctor_fn *fn, bool ports,
	struct acs_reasons *r, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	const struct moat_pci_fn *b =
		moat_pci_bridge_to(h->pci, fn->pci->segment, fn->pci->sid >> 8);

	for (int bus = fn->pci->sid >> 8; b != NULL && b->sid >> 8 < bus;
		bus = b->sid >> 8, b = moat_pci_bridge_to(h->pci, fn->pci->segment, bus)) {
		const struct doctor_fn *port = doctor_fn_find(h, b->segment, b->sid);

		if (!port->extended) {
			r->hidden = true;
			return;
		}
		if (b->port == MOAT_PCI_CONVENTIONAL || b->port == MOAT_PCI_TO_PCI) {
			r->bridge = true;
			because(f,
				doctor_format(
					"%s is a bridge to conventional PCI: all below it carry "
					"one source-id",
					port->address));
		} else if ((b->port == MOAT_PCI_DOWNSTREAM ||
				   (ports && b->port == MOAT_PCI_ROOT_PORT)) &&
			!isolates(c, port)) {
			r->port = true;
			port_reason(port, f);
		}
	}
}

/** Find why a function is not isolated. */
static void find_reasons(const struct doctor_case *c, const struct doctor_tenant *t,
	struct acs_reasons *r, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;

	for (unsigned int i = 0; i < h->pci->n; i++) {
		if (!siblings(c, t->fn, &h->fn[i]))
			continue;
		if (!t->fn->extended) {
			r->hidden = true;
			return;
		}
		r->chip = true;
		because(f,
			doctor_format(
				"%04x:%02x:%02x is one device of several functions, without ACS "
				"between them",
				t->fn->pci->segment, t->fn->pci->sid >> 8,
				t->fn->pci->sid >> 3 & 0x1f));
	}
	above(c, t->fn, t->with.n != 0, r, f);
}

static void part_them(const struct acs_reasons *r, struct doctor_finding *f)
{
	doctor_find(f, DOCTOR_WARN, "devices can reach each other without passing a unit");
	if (r->port || r->bridge)
		doctor_say(&f->remedy,
			"a card: put it into another slot (below a root port with ACS); or turn ACS on "
			"in the firmware's settings");
	if (r->chip)
		doctor_say(&f->remedy,
			"functions of one chip: no slot and no setting isolates them; give them to one "
			"tenant, or use virtual functions with groups of their own");
}

void doctor_check_acs(const struct doctor_case *c, struct doctor_finding *f)
{
	struct acs_reasons r = { 0 };
	bool looked = false;

	/* With vfio the kernel has made the groups: find the reasons for those with several
	 * members. With vtd moat must find what is not isolated. */
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];

		if (c->way == DOCTOR_VFIO && t->with.n == 0)
			continue;
		looked = true;
		find_reasons(c, t, &r, f);
	}
	if (c->host->words.acs_override) {
		doctor_find(f, DOCTOR_WARN,
			"pcie_acs_override: the groups promise isolation that no hardware "
			"gives");
		doctor_say(&f->remedy,
			"take it out of the kernel's command line and reboot: it splits "
			"groups, but the devices still reach each other");
	} else if (f->evidence.n != 0) {
		part_them(&r, f);
	} else if (r.hidden) {
		doctor_find(f, DOCTOR_UNKNOWN, "configuration space is hidden here");
		doctor_say(&f->remedy, "run moat-doctor as root");
	} else if (looked && c->way == DOCTOR_VFIO) {
		doctor_find(f, DOCTOR_WARN,
			"functions share a group, and no reason for it can be seen");
		doctor_say(&f->remedy,
			"the kernel knows of faults of this hardware, or hides a bridge; "
			"see its log");
	} else {
		doctor_find(f, DOCTOR_OK,
			c->way == DOCTOR_VFIO ? "no function must share for lack of ACS"
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

/** Does an RMRR rule out a virtual function of `pf`? */
static bool virtual_named(const struct doctor_case *c, const struct doctor_fn *pf)
{
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];

		if (t->rmrr && t->fn->pci->virtfn && t->fn->pci->segment == pf->pci->segment &&
			t->fn->pci->physfn == pf->pci->sid)
			return true;
	}
	return false;
}

/** Find a function that an RMRR rules out, but not its virtual functions, made or not. */
static const struct doctor_fn *with_virtual(const struct doctor_case *c)
{
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];

		if (t->rmrr && t->fn->vfs_total != 0 && !virtual_named(c, t->fn))
			return t->fn;
	}
	return NULL;
}

void doctor_check_rmrr(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	const struct doctor_fn *pf = with_virtual(c);
	unsigned int hit = 0;

	for (unsigned int i = 0; i < c->tenants.n; i++)
		hit += c->tenants.at[i].rmrr;
	list_named(h, f);
	if (hit != 0) {
		doctor_find(f, DOCTOR_WARN, "firmware has reserved memory for %u function%s", hit,
			hit == 1 ? "" : "s");
		if (pf != NULL)
			doctor_say(&f->remedy,
				"the virtual functions of %s can be tenants': the RMRR names the "
				"physical one, and their requests carry other source-ids",
				pf->address);
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
