/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_tenant.h"

#define ALIASES 8u

const char *const doctor_place_names[] = { "own", "shared", "kernel", "never", "unknown" };

static void __rte_format_printf(3, 4)
	place(struct doctor_tenant *t, enum doctor_place where, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	free(t->why);
	t->place = where;
	t->why = doctor_format("%s", text);
}

static bool bound(const struct doctor_fn *fn, enum doctor_way way)
{
	return way == DOCTOR_VFIO ? doctor_vfio_bound(fn) : strstr(fn->driver, "uio") != NULL;
}

/** Whether the kernel would hand out a group with this member: nobody else drives it. */
static bool out_of_the_way(const struct doctor_fn *fn, enum doctor_way way)
{
	return bound(fn, way) || fn->driver[0] == '\0' || strcmp(fn->driver, "pci-stub") == 0;
}

/* --------------------------------------------------------------------------- who shares with it */

static void share(struct doctor_tenant *t, const struct doctor_fn *other, enum doctor_way way)
{
	doctor_say(&t->with, "%s", other->address);
	t->ready &= out_of_the_way(other, way);
	t->costly |= (!doctor_candidate(other) || other->up) && !out_of_the_way(other, way);
}

static void others_of_group(const struct doctor_host *h, struct doctor_tenant *t)
{
	const struct doctor_group *g = doctor_group_find(h, t->fn->group);

	for (unsigned int i = 0; i < g->n; i++) {
		const struct doctor_fn *other = &h->fn[g->fn[i]];

		if (other == t->fn)
			continue;
		share(t, other, DOCTOR_VFIO);
	}
}

static bool same_source_id(const struct doctor_host *h, const struct doctor_fn *a,
	const struct doctor_fn *b)
{
	moat_sid_t x[ALIASES], y[ALIASES];
	unsigned int nx, ny;

	if (a->pci->segment != b->pci->segment)
		return false;
	nx = RTE_MIN(ALIASES,
		moat_pci_aliases(h->pci, a->pci->segment, a->pci->sid, x, ALIASES));
	ny = RTE_MIN(ALIASES,
		moat_pci_aliases(h->pci, b->pci->segment, b->pci->sid, y, ALIASES));
	for (unsigned int i = 0; i < nx; i++)
		for (unsigned int j = 0; j < ny; j++)
			if (x[i] == y[j])
				return true;
	return false;
}

static void others_of_alias(const struct doctor_host *h, struct doctor_tenant *t)
{
	for (unsigned int i = 0; i < h->pci->n; i++) {
		const struct doctor_fn *other = &h->fn[i];

		if (other == t->fn || other->pci->bridge || !same_source_id(h, t->fn, other))
			continue;
		share(t, other, DOCTOR_VTD);
	}
}

/* --------------------------------------------------------------------------------- where it goes */

/** What rules it out. @return whether something does */
static bool never_vfio(const struct doctor_host *h, struct doctor_tenant *t)
{
	const struct doctor_group *g = doctor_group_find(h, t->fn->group);

	if (g == NULL)
		place(t, DOCTOR_NEVER, "in no IOMMU group: no unit translates for it");
	else if (strcmp(g->name, "vfio-noiommu") == 0)
		place(t, DOCTOR_NEVER, "no-IOMMU mode: nothing translates for it");
	else if (g->direct)
		place(t, DOCTOR_NEVER, "firmware has reserved memory for its group (RMRR)");
	return t->place == DOCTOR_NEVER;
}

static bool never_vtd(const struct doctor_host *h, struct doctor_tenant *t)
{
	if (moat_dmar_unit_of(h->dmar, h->pci, t->fn->pci->segment, t->fn->pci->sid) < 0)
		place(t, DOCTOR_NEVER, "no unit of the DMAR table serves it");
	else if (t->fn->rmrr != NULL)
		place(t, DOCTOR_NEVER, "firmware has reserved memory for it (RMRR)");
	return t->place == DOCTOR_NEVER;
}

static bool better_kept(struct doctor_tenant *t)
{
	if (t->fn->default_route)
		place(t, DOCTOR_KERNELS, "stays with %s: %s carries the default route",
			t->fn->driver, t->fn->net);
	else if (t->fn->vfs != 0)
		place(t, DOCTOR_KERNELS, "stays with %s, which serves its %" PRIu64 " VF%s",
			t->fn->driver[0] != '\0' ? t->fn->driver : "its driver", t->fn->vfs,
			t->fn->vfs == 1 ? "" : "s");
	return t->place == DOCTOR_KERNELS;
}

static void decide(const struct doctor_host *h, enum doctor_way way, struct doctor_tenant *t)
{
	bool known = way == DOCTOR_VFIO ? h->nr_groups != 0 : h->dmar != NULL;

	if (!known) {
		place(t, DOCTOR_LATER, "not known before an IOMMU is on");
		return;
	}
	if (way == DOCTOR_VFIO ? never_vfio(h, t) : never_vtd(h, t))
		return;
	t->ready = bound(t->fn, way);
	if (way == DOCTOR_VFIO)
		others_of_group(h, t);
	else
		others_of_alias(h, t);
	if (better_kept(t))
		t->ready = false;
	else if (t->with.n == 0)
		place(t, DOCTOR_OWN, "a tenant of its own");
	else
		place(t, DOCTOR_SHARED, "one tenant together with");
}

void doctor_tenants_find(const struct doctor_host *h, enum doctor_way way,
	struct doctor_tenants *tenants)
{
	*tenants = (struct doctor_tenants){ .at = doctor_alloc(h->pci->n, sizeof(*tenants->at)) };
	for (unsigned int i = 0; i < h->pci->n; i++) {
		struct doctor_tenant *t = &tenants->at[tenants->n];

		if (!doctor_candidate(&h->fn[i]))
			continue;
		t->fn = &h->fn[i];
		decide(h, way, t);
		tenants->count[t->place]++;
		tenants->ready += t->ready;
		tenants->n++;
	}
}

void doctor_tenants_free(struct doctor_tenants *tenants)
{
	for (unsigned int i = 0; i < tenants->n; i++) {
		free(tenants->at[i].why);
		doctor_lines_free(&tenants->at[i].with);
	}
	free(tenants->at);
}
