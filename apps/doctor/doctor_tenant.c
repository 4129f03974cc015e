/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_ids.h"
#include "doctor_read.h"
#include "doctor_tenant.h"

const char *const doctor_place_names[] = { "own", "shared", "kernel", "never", "unknown" };

/** Set *text to a sentence, and free the one before. */
static void __rte_format_printf(2, 3) put(char **text, const char *fmt, ...)
{
	char *old = *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(text, fmt, ap) < 0)
		*text = doctor_format("out of memory");
	va_end(ap);
	free(old);
}

#define place(t, where, ...)                 \
	do {                                 \
		(t)->place = (where);        \
		put(&(t)->why, __VA_ARGS__); \
	} while (0)

const char *doctor_driver_for(enum doctor_way way)
{
	return way == DOCTOR_VFIO ? "vfio-pci" : "uio_pci_generic";
}

bool doctor_is_spare(const struct doctor_fn *fn)
{
	if (fn->nets.n != 0)
		return !fn->up && !fn->routed && fn->use == DOCTOR_USE_NONE;
	return fn->class >> 16 != 0x02 || fn->virtio != DOCTOR_VIRTIO_NOT ||
		moat_pci_owner(fn->driver) != MOAT_PCI_OWNER_KERNEL;
}

bool doctor_may_bind(const struct doctor_tenant *t)
{
	return (t->place == DOCTOR_OWN || t->place == DOCTOR_SHARED) && t->unbound && !t->costly &&
		doctor_is_spare(t->fn);
}

char *doctor_fn_name(const struct doctor_fn *fn)
{
	bool driver = fn->driver[0] != '\0', net = fn->net[0] != '\0';

	return doctor_format("%s%s%s%s%s%s", fn->address, driver || net ? " (" : "", fn->driver,
		driver && net ? ", " : "", fn->net, driver || net ? ")" : "");
}

static bool bound(const struct doctor_fn *fn, enum doctor_way way)
{
	return moat_pci_owner(fn->driver) ==
		(way == DOCTOR_VFIO ? MOAT_PCI_OWNER_VFIO : MOAT_PCI_OWNER_UIO);
}

/** Does this member's driver leave its group (or source-id) to a tenant? */
static bool lets_go(const struct doctor_fn *fn, enum doctor_way way)
{
	return moat_pci_lets_group_go(fn->driver, fn->pci->bridge) || bound(fn, way);
}

static const struct doctor_fn *physical(const struct doctor_host *h, const struct doctor_fn *fn)
{
	return fn->pci->virtfn ? doctor_fn_find(h, fn->pci->segment, fn->pci->physfn) : NULL;
}

/* --------------------------------------------------------------------- what shares its requests */

static void add_name(char **list, const struct doctor_fn *fn)
{
	char *name = doctor_fn_name(fn), *before = *list;

	*list = doctor_format("%s%s%s", before != NULL ? before : "", before != NULL ? ", " : "",
		name);
	free(before);
	free(name);
}

static void share(struct doctor_tenant *t, const struct doctor_fn *other, enum doctor_way way)
{
	doctor_say(&t->with, "%s", other->address);
	if (lets_go(other, way))
		return;
	add_name(&t->not_viable, other);
	t->costly |= !doctor_candidate(other) || !doctor_is_spare(other) || other->vfs != 0;
}

static void others_of_group(const struct doctor_host *h, struct doctor_tenant *t)
{
	const struct doctor_group *g = doctor_group_find(h, t->fn->group);

	for (unsigned int i = 0; i < g->n; i++)
		if (&h->fn[g->fn[i]] != t->fn)
			share(t, &h->fn[g->fn[i]], DOCTOR_VFIO);
}

/** @return all source-ids that a function's requests may carry; the caller's to free */
static moat_sid_t *aliases_of(const struct doctor_host *h, const struct doctor_fn *fn,
	unsigned int *n)
{
	moat_sid_t *alias = NULL;
	unsigned int room = 4;

	do {
		free(alias);
		alias = doctor_alloc(room *= 2, sizeof(*alias));
		*n = moat_pci_aliases(h->pci, fn->pci->segment, fn->pci->sid, alias, room);
	} while (*n >= room); /* there may be more */
	return alias;
}

static bool same_source_id(const struct doctor_host *h, const struct doctor_fn *a,
	const struct doctor_fn *b)
{
	unsigned int nx, ny;
	moat_sid_t *x, *y;
	bool same = false;

	if (a->pci->segment != b->pci->segment)
		return false;
	x = aliases_of(h, a, &nx);
	y = aliases_of(h, b, &ny);
	for (unsigned int i = 0; i < nx; i++)
		for (unsigned int j = 0; j < ny; j++)
			same |= x[i] == y[j];
	free(x);
	free(y);
	return same;
}

static void others_of_alias(const struct doctor_host *h, struct doctor_tenant *t)
{
	for (unsigned int i = 0; i < h->pci->n; i++) {
		const struct doctor_fn *other = &h->fn[i];

		if (other != t->fn && !other->pci->bridge && same_source_id(h, t->fn, other))
			share(t, other, DOCTOR_VTD);
	}
}

/* --------------------------------------------------------------------------- what rules it out */

/** In any way: DPDK has no driver for the function, or its DMA does not go through the unit. */
static void never_at_all(struct doctor_tenant *t)
{
	const struct doctor_fn *fn = t->fn;
	const char *name, *module;
	enum doctor_pmd pmd = doctor_pmd_of(fn, &name, &module);

	t->no_driver = pmd == DOCTOR_PMD_KERNEL || pmd == DOCTOR_PMD_NONE;
	if (pmd == DOCTOR_PMD_KERNEL)
		place(t, DOCTOR_NEVER,
			"DPDK works with it through the kernel's driver (%s), which must stay; such a "
			"function cannot be given to a tenant",
			module);
	else if (pmd == DOCTOR_PMD_NONE)
		place(t, DOCTOR_NEVER, "DPDK has no driver for it (%04x:%04x)", fn->vendor,
			fn->device);
	else if (fn->virtio == DOCTOR_VIRTIO_BYPASSES)
		place(t, DOCTOR_NEVER,
			"its DMA bypasses the unit: the virtio device does not offer "
			"VIRTIO_F_ACCESS_PLATFORM (QEMU: iommu_platform=on)");
}

/** vfio-pci's list rules the function out, unless the module's parameter disables the list. A
 * kernel older than the list may have a backport of it, which also has the parameter. */
static void never_by_erratum(const struct doctor_host *h, struct doctor_tenant *t)
{
	const char *name = doctor_vfio_erratum(t->fn);
	char ignored[8];

	if (name == NULL || moat_pci_owner(t->fn->driver) == MOAT_PCI_OWNER_VFIO)
		return;
	doctor_read(h->root, ignored, sizeof(ignored),
		"sys/module/vfio_pci/parameters/disable_denylist");
	if (ignored[0] == 'Y' || ignored[0] == '1' ||
		(ignored[0] == '\0' && !doctor_release_from(h, 5, 9)))
		return;
	t->denied = true;
	place(t, DOCTOR_NEVER, "vfio-pci refuses it by its list of errata (%s)", name);
}

static void never_vfio(const struct doctor_host *h, struct doctor_tenant *t)
{
	const struct doctor_group *g = doctor_group_find(h, t->fn->group);

	if (g == NULL) {
		place(t, DOCTOR_NEVER, "it is in no IOMMU group: no unit translates for it");
	} else if (strcmp(g->name, "vfio-noiommu") == 0) {
		place(t, DOCTOR_NEVER, "it is in no-IOMMU mode: nothing translates for it");
	} else if (g->direct || (!g->regions && t->fn->rmrr != NULL)) {
		t->rmrr = true;
		place(t, DOCTOR_NEVER, "firmware has reserved memory for its group (RMRR)");
	}
}

static void never_vtd(const struct doctor_host *h, struct doctor_tenant *t)
{
	if (moat_dmar_unit_of(h->dmar, h->pci, t->fn->pci->segment, t->fn->pci->sid) < 0) {
		place(t, DOCTOR_NEVER, "no unit of the DMAR table serves it");
	} else if (t->fn->rmrr != NULL) {
		t->rmrr = true;
		place(t, DOCTOR_NEVER, "firmware has reserved memory for it (RMRR)");
	}
}

/** The function's physical function shares its group and must keep the kernel's driver. */
static void never_with_physfn(const struct doctor_host *h, struct doctor_tenant *t)
{
	const struct doctor_fn *pf = physical(h, t->fn);

	if (pf == NULL || pf->group != t->fn->group || lets_go(pf, DOCTOR_VFIO))
		return;
	place(t, DOCTOR_NEVER,
		"the group is not viable: its physical function %s (%s) is in it and must keep its "
		"driver to serve it",
		pf->address, pf->driver);
}

/* ------------------------------------------------------------------ what the host needs it for */

static bool better_kept(struct doctor_tenant *t)
{
	const struct doctor_fn *fn = t->fn;
	const char *driver = fn->driver[0] != '\0' ? fn->driver : "its driver";

	if (fn->use == DOCTOR_USE_ROUTE && strcmp(fn->user, fn->net) == 0)
		place(t, DOCTOR_KERNELS, "it stays with %s: %s carries the default route", driver,
			fn->net);
	else if (fn->use == DOCTOR_USE_ROUTE)
		place(t, DOCTOR_KERNELS,
			"it stays with %s: %s, which is built on %s, carries the default route",
			driver, fn->user, fn->net);
	else if (fn->use == DOCTOR_USE_PART)
		place(t, DOCTOR_KERNELS, "it stays with %s: %s is built on %s", driver, fn->user,
			fn->net);
	else if (fn->vfs != 0)
		place(t, DOCTOR_KERNELS, "it stays with %s, which serves its %" PRIu64 " VF%s",
			driver, fn->vfs, fn->vfs == 1 ? "" : "s");
	return t->place == DOCTOR_KERNELS;
}

/** Does the host need another member of the function's group? */
static bool kept_by_company(const struct doctor_host *h, struct doctor_tenant *t)
{
	const struct doctor_group *g = doctor_group_find(h, t->fn->group);

	for (unsigned int i = 0; g != NULL && i < g->n; i++) {
		const struct doctor_fn *other = &h->fn[g->fn[i]];
		char *name;

		if (other == t->fn || other->use == DOCTOR_USE_NONE || lets_go(other, DOCTOR_VFIO))
			continue;
		name = doctor_fn_name(other);
		place(t, DOCTOR_KERNELS,
			"the group is not viable: %s is in it, and the host needs that", name);
		free(name);
		return true;
	}
	return false;
}

/* ------------------------------------------------------------------------------------ readiness */

static void find_obstacle(const struct doctor_host *h, enum doctor_way way, bool has_token,
	struct doctor_tenant *t)
{
	const struct doctor_fn *fn = t->fn, *pf = physical(h, fn);
	const char *driver = doctor_driver_for(way);

	t->unbound = !bound(fn, way);
	t->token = way == DOCTOR_VFIO && pf != NULL &&
		moat_pci_owner(pf->driver) == MOAT_PCI_OWNER_VFIO;
	if (t->unbound && t->costly && way == DOCTOR_VFIO)
		put(&t->blocked,
			"its group would not be viable even if it were bound to %s: these members have "
			"drivers of the kernel: %s",
			driver, t->not_viable);
	else if (t->unbound)
		put(&t->blocked, "it is bound to %s, and must be bound to %s",
			fn->driver[0] != '\0' ? fn->driver : "no driver", driver);
	else if (way == DOCTOR_VFIO && strcmp(fn->driver, driver) != 0)
		put(&t->blocked,
			"it is bound to %s, a VFIO driver, but DPDK takes functions of vfio-pci only",
			fn->driver);
	else if (t->not_viable != NULL && way == DOCTOR_VFIO)
		put(&t->blocked,
			"the group is not viable: these members have drivers of the kernel: %s",
			t->not_viable);
	else if (t->not_viable != NULL)
		put(&t->blocked, "the kernel's drivers use functions of the same source-id: %s",
			t->not_viable);
	else if (t->token && !has_token)
		put(&t->blocked,
			"it opens only with the token that the user of its physical function %s (%s) "
			"has set: --vfio-vf-token",
			pf->address, pf->driver);
	t->ready = t->blocked == NULL;
}

static void decide(const struct doctor_host *h, enum doctor_way way, bool has_token,
	struct doctor_tenant *t)
{
	bool known = way == DOCTOR_VFIO ? h->nr_groups != 0 : h->dmar != NULL;

	if (way == DOCTOR_VFIO)
		never_by_erratum(h, t);
	if (t->place != DOCTOR_NEVER)
		never_at_all(t);
	if (t->place == DOCTOR_NEVER)
		return;
	if (doctor_lacks_iommu(h) != NULL) {
		place(t, DOCTOR_LATER, "no unit translates for it: %s", doctor_lacks_iommu(h));
		return;
	}
	if (!known) {
		place(t, DOCTOR_LATER,
			way == DOCTOR_VFIO && doctor_driven(h, -1) != 0
				? "not known: the IOMMU groups are hidden here"
				: "not known before an IOMMU is on");
		return;
	}
	if (way == DOCTOR_VFIO)
		never_vfio(h, t);
	else
		never_vtd(h, t);
	if (t->place != DOCTOR_NEVER && way == DOCTOR_VFIO)
		never_with_physfn(h, t);
	if (t->place == DOCTOR_NEVER)
		return;
	if (way == DOCTOR_VFIO)
		others_of_group(h, t);
	else
		others_of_alias(h, t);
	if (better_kept(t) || (way == DOCTOR_VFIO && kept_by_company(h, t)))
		return;
	if (t->fn->virtio == DOCTOR_VIRTIO_UNKNOWN) {
		place(t, DOCTOR_LATER,
			"a virtio device whose DMA may bypass the unit: VIRTIO_F_ACCESS_PLATFORM cannot "
			"be seen while %s has it",
			t->fn->driver[0] != '\0' ? t->fn->driver : "no driver");
		return;
	}
	if (t->with.n == 0)
		place(t, DOCTOR_OWN, "a tenant of its own");
	else
		place(t, DOCTOR_SHARED, "one tenant together with");
	find_obstacle(h, way, has_token, t);
}

void doctor_tenants_find(const struct doctor_host *h, enum doctor_way way, bool has_token,
	struct doctor_tenants *tenants)
{
	*tenants = (struct doctor_tenants){
		.at = doctor_alloc(h->pci->n, sizeof(*tenants->at)),
		.has_token = has_token,
	};
	for (unsigned int i = 0; i < h->pci->n; i++) {
		struct doctor_tenant *t = &tenants->at[tenants->n];

		if (!doctor_candidate(&h->fn[i]))
			continue;
		t->fn = &h->fn[i];
		decide(h, way, has_token, t);
		tenants->count[t->place]++;
		tenants->ready += t->ready;
		tenants->n++;
	}
}

void doctor_tenants_free(struct doctor_tenants *tenants)
{
	for (unsigned int i = 0; i < tenants->n; i++) {
		free(tenants->at[i].why);
		free(tenants->at[i].blocked);
		free(tenants->at[i].not_viable);
		doctor_lines_free(&tenants->at[i].with);
	}
	free(tenants->at);
}
