/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_check.h"
#include "doctor_ids.h"
#include "doctor_read.h"

/* ------------------------------------------------------------------------------------ SR-IOV */

/** Could virtual functions of the function be tenants', once they are made? */
static bool could_have_vfs(const struct doctor_tenant *t)
{
	return t->fn->vfs_total != 0 && t->fn->vfs == 0 && !t->no_driver && !t->denied &&
		moat_pci_owner(t->fn->driver) == MOAT_PCI_OWNER_KERNEL;
}

/** Does the host need `a` less than `b`? The order is: functions that nothing uses, those with an
 * interface that is up, those that carry the host's own traffic. */
static bool needed_less(const struct doctor_fn *a, const struct doctor_fn *b)
{
	unsigned int of_a = a->use * 2u + !doctor_is_spare(a);
	unsigned int of_b = b->use * 2u + !doctor_is_spare(b);

	return of_a < of_b;
}

/** Find a function to make virtual functions of; the uplink only if there is no other. */
static const struct doctor_fn *vfs_from(const struct doctor_case *c)
{
	const struct doctor_fn *found = NULL;

	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];

		if (could_have_vfs(t) && (found == NULL || needed_less(t->fn, found)))
			found = t->fn;
	}
	return found;
}

static void how_to_make(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_fn *fn = vfs_from(c);

	doctor_say(&f->remedy,
		"make one for each tenant; without virtual functions a tenant takes a whole port");
	if (fn == NULL) {
		doctor_say(&f->remedy, "the port must have its kernel driver for that");
		return;
	}
	if (!doctor_is_spare(fn))
		doctor_say(&f->remedy,
			"%s is in use, and some drivers reset the port when they make virtual "
			"functions: do it where a short loss of the link does no harm",
			fn->net[0] != '\0' ? fn->net : fn->address);
	doctor_say(&f->commands, "echo 0 > /sys/bus/pci/devices/%s/sriov_drivers_autoprobe",
		fn->address);
	doctor_say(&f->commands, "echo %" PRIu64 " > /sys/bus/pci/devices/%s/sriov_numvfs",
		RTE_MIN(fn->vfs_total, UINT64_C(2)), fn->address);
}

void doctor_check_sriov(const struct doctor_case *c, struct doctor_finding *f)
{
	uint64_t total = 0, enabled = 0;

	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];
		char *name;

		if (t->fn->vfs_total == 0)
			continue;
		name = doctor_fn_name(t->fn);
		doctor_say(&f->evidence, "%s: %" PRIu64 " of %" PRIu64 " VFs", name, t->fn->vfs,
			t->fn->vfs_total);
		free(name);
		if (t->no_driver || t->denied)
			continue;
		total += t->fn->vfs_total;
		enabled += t->fn->vfs;
	}
	if (total == 0) {
		doctor_find(f, DOCTOR_OK, "none: a tenant takes a whole port");
	} else if (enabled != 0) {
		doctor_find(f, DOCTOR_OK, "%" PRIu64 " of %" PRIu64 " virtual functions are there",
			enabled, total);
	} else {
		doctor_find(f, DOCTOR_WARN, "none of %" PRIu64 " virtual functions is there",
			total);
		how_to_make(c, f);
	}
}

/* ------------------------------------------------------------------------------------ errata */

void doctor_check_errata(const struct doctor_case *c, struct doctor_finding *f)
{
	unsigned int denied = 0, there = 0;

	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];
		const char *name = doctor_vfio_erratum(t->fn);

		if (name == NULL)
			continue;
		doctor_say(&f->evidence, "%s: %s", t->fn->address, name);
		there++;
		denied += t->denied;
	}
	if (there == 0) {
		doctor_find(f, DOCTOR_OK, "no function is on vfio-pci's list of errata");
		return;
	}
	if (denied != 0)
		doctor_find(f, DOCTOR_WARN, "vfio-pci refuses %u function%s by its list of errata",
			denied, denied == 1 ? "" : "s");
	else
		doctor_find(f, DOCTOR_WARN, "%u function%s whose errata let a tenant harm the host",
			there, there == 1 ? "" : "s");
	doctor_say(&f->remedy,
		"binding fails unless vfio-pci is loaded with disable_denylist=1, which is for trusted "
		"tenants only: through the device's errata a tenant can hang or crash the host, or "
		"reach memory that is not its own");
}

/* ----------------------------------------------------------------------------------- drivers */

static bool can_be(const struct doctor_tenant *t)
{
	return t->place == DOCTOR_OWN || t->place == DOCTOR_SHARED;
}

/** Should the function be offered for binding? `vfs`: only if it is a virtual function. */
static bool offer(const struct doctor_tenant *t, bool vfs)
{
	return doctor_may_bind(t) && (!vfs || t->fn->pci->virtfn);
}

static bool holds(const struct doctor_lines *lines, const char *text)
{
	for (unsigned int i = 0; i < lines->n; i++)
		if (strcmp(lines->at[i], text) == 0)
			return true;
	return false;
}

static void how_to_bind(const struct doctor_case *c, struct doctor_finding *f)
{
	const char *driver = doctor_driver_for(c->way);
	struct doctor_lines addresses = { 0 };
	bool vfs = false;
	char *line;

	for (unsigned int i = 0; i < c->tenants.n; i++)
		vfs |= offer(&c->tenants.at[i], true);
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];

		if (!offer(t, vfs))
			continue;
		if (!holds(&addresses, t->fn->address))
			doctor_say(&addresses, "%s", t->fn->address);
		for (unsigned int j = 0; j < t->with.n; j++)
			if (!holds(&addresses, t->with.at[j]))
				doctor_say(&addresses, "%s", t->with.at[j]);
	}
	doctor_say(&f->remedy, "give functions that you can spare to %s%s", driver,
		addresses.n == 0 ? "; all of these are in use" : "");
	line = doctor_format("dpdk-devbind.py -b %s", driver);
	for (unsigned int i = 0; i < addresses.n; i++) {
		char *more = doctor_format("%s %s", line, addresses.at[i]);

		free(line);
		line = more;
	}
	if (addresses.n != 0)
		doctor_say(&f->commands, "%s", line);
	free(line);
	doctor_lines_free(&addresses);
}

static void how_to_open(struct doctor_finding *f)
{
	doctor_say(&f->remedy,
		"a virtual function whose physical one a process has through VFIO opens only with the "
		"token that this process has set (a UUID): --vfio-vf-token=UUID among the EAL's "
		"options, vfio_vf_token = UUID in [fwd] of moat-fwd's configuration");
}

/** Make the finding if functions can be tenants', but none of them is ready. */
static void none_ready(const struct doctor_case *c, unsigned int can, struct doctor_finding *f)
{
	const struct doctor_tenant *blocked = NULL; /* bound, but not ready */
	const struct doctor_tenant *costly = NULL;  /* the host needs a member of its group */
	unsigned int spare = 0, token = 0, in_vain = 0;

	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];

		if (!can_be(t))
			continue;
		spare += offer(t, false);
		token += t->token && !t->unbound;
		if (blocked == NULL && !t->unbound)
			blocked = t;
		in_vain += t->unbound && t->costly && c->way == DOCTOR_VFIO;
		if (costly == NULL && t->costly)
			costly = t;
	}
	if (token != 0) {
		doctor_find(f, DOCTOR_WARN,
			"none of %u function%s that can be tenants' opens without a token", can,
			can == 1 ? "" : "s");
		how_to_open(f);
	} else if (in_vain == can) {
		doctor_find(f, DOCTOR_FAIL, "no function is ready: %s: %s", costly->fn->address,
			costly->blocked);
		doctor_say(&f->remedy, "see groups; or use another NIC");
	} else if (blocked == NULL) {
		doctor_find(f, DOCTOR_WARN,
			"none of %u function%s that can be a tenant's is bound "
			"to %s",
			can, can == 1 ? "" : "s",
			c->way == DOCTOR_VFIO ? "vfio-pci" : "a uio driver");
		how_to_bind(c, f);
	} else {
		bool lost = blocked->not_viable != NULL && spare == 0;

		doctor_find(f, lost ? DOCTOR_FAIL : DOCTOR_WARN, "no function is ready: %s: %s",
			blocked->fn->address, blocked->blocked);
		if (spare != 0)
			how_to_bind(c, f);
		else if (lost)
			doctor_say(&f->remedy, "see groups; or use another NIC");
		else
			doctor_say(&f->remedy, "bind it to %s", doctor_driver_for(c->way));
	}
}

static void none_can(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_tenants *t = &c->tenants;

	if (t->count[DOCTOR_KERNELS] == t->n && vfs_from(c) != NULL) {
		doctor_find(f, DOCTOR_WARN, "all functions are needed by the host");
		doctor_say(&f->remedy, "make virtual functions (see sriov), or add a NIC");
	} else if (t->count[DOCTOR_LATER] != 0) {
		doctor_find(f, DOCTOR_UNKNOWN,
			"whether a function can be a tenant's cannot be seen");
		doctor_say(&f->remedy, "the reason stands with each below");
	} else if (vfs_from(c) != NULL) {
		doctor_find(f, DOCTOR_WARN, "no function that is there can be a tenant's");
		doctor_say(&f->remedy, "make virtual functions (see sriov), or add a NIC");
	} else if (t->count[DOCTOR_KERNELS] == t->n) {
		doctor_find(f, DOCTOR_FAIL, "all functions are needed by the host");
		doctor_say(&f->remedy, "add a NIC; the reason stands with each below");
	} else {
		doctor_find(f, DOCTOR_FAIL, "no function can be a tenant's");
		doctor_say(&f->remedy, "the reason stands with each below");
	}
}

void doctor_check_drivers(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_tenants *t = &c->tenants;
	unsigned int can = t->count[DOCTOR_OWN] + t->count[DOCTOR_SHARED];

	for (unsigned int i = 0; i < t->n; i++)
		doctor_say(&f->evidence, "%s: %s", t->at[i].fn->address,
			t->at[i].fn->driver[0] != '\0' ? t->at[i].fn->driver : "no driver");
	if (t->n == 0) {
		doctor_find(f, DOCTOR_FAIL, "no network function or accelerator on the PCI bus");
		doctor_say(&f->remedy, "add a NIC, or use the software unit");
	} else if (t->ready != 0) {
		doctor_find(f, DOCTOR_OK, "%u of %u functions that can be tenants' are ready",
			t->ready, can);
	} else if (can == 0) {
		none_can(c, f);
	} else {
		none_ready(c, can, f);
	}
}
