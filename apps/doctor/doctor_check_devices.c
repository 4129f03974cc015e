/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>
#include <string.h>

#include "doctor_check.h"

/* ------------------------------------------------------------------------------------ SR-IOV */

void doctor_check_sriov(const struct doctor_case *c, struct doctor_finding *f)
{
	uint64_t total = 0, enabled = 0;
	const struct doctor_fn *first = NULL;

	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_fn *fn = c->tenants.at[i].fn;

		if (fn->vfs_total == 0)
			continue;
		total += fn->vfs_total;
		enabled += fn->vfs;
		doctor_say(&f->evidence, "%s%s%s%s%s: %" PRIu64 " of %" PRIu64 " VFs", fn->address,
			fn->driver[0] != '\0' ? " " : "", fn->driver, fn->net[0] != '\0' ? " " : "",
			fn->net, fn->vfs, fn->vfs_total);
		/* A driver for user space makes no VFs. */
		if (first == NULL && fn->driver[0] != '\0' && !doctor_vfio_bound(fn))
			first = fn;
	}
	if (total == 0) {
		doctor_find(f, DOCTOR_OK, "none: a tenant takes a whole port");
	} else if (enabled != 0) {
		doctor_find(f, DOCTOR_OK, "%" PRIu64 " of %" PRIu64 " virtual functions are there",
			enabled, total);
	} else {
		doctor_find(f, DOCTOR_WARN, "none of %" PRIu64 " virtual functions is there",
			total);
		doctor_say(&f->remedy,
			"make as many as there are to be tenants; without, a tenant "
			"takes a whole port");
		if (first != NULL) {
			doctor_say(&f->commands,
				"echo 0 > /sys/bus/pci/devices/%s/sriov_drivers_autoprobe",
				first->address);
			doctor_say(&f->commands,
				"echo %" PRIu64 " > /sys/bus/pci/devices/%s/sriov_numvfs",
				RTE_MIN(first->vfs_total, UINT64_C(2)), first->address);
		} else {
			doctor_say(&f->remedy, "the port must be with its kernel driver for that");
		}
	}
}

/* ----------------------------------------------------------------------------------- drivers */

/** Offer what nobody would miss: virtual functions if there are any, else ports that are down. */
static bool offer(const struct doctor_tenant *t, bool vfs)
{
	return (t->place == DOCTOR_OWN || t->place == DOCTOR_SHARED) && !t->ready && !t->costly &&
		(vfs ? t->fn->pci->virtfn : !t->fn->up);
}

static void how_to_bind(const struct doctor_case *c, struct doctor_finding *f)
{
	const char *driver = c->way == DOCTOR_VFIO ? "vfio-pci" : "uio_pci_generic";
	bool vfs = false;
	char line[2048];
	size_t len;

	for (unsigned int i = 0; i < c->tenants.n; i++)
		vfs |= offer(&c->tenants.at[i], true);
	len = snprintf(line, sizeof(line), "dpdk-devbind.py -b %s", driver);
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];

		if (!offer(t, vfs))
			continue;
		if (len < sizeof(line) && strstr(line, t->fn->address) == NULL)
			len += snprintf(line + len, sizeof(line) - len, " %s", t->fn->address);
		for (unsigned int j = 0; j < t->with.n; j++)
			if (len < sizeof(line) && strstr(line, t->with.at[j]) == NULL)
				len += snprintf(line + len, sizeof(line) - len, " %s",
					t->with.at[j]);
	}
	doctor_say(&f->remedy, "give functions that you can spare to %s", driver);
	if (strstr(line, "0000:") != NULL || strchr(line, ':') != NULL)
		doctor_say(&f->commands, "%s", line);
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
	} else if (can == 0 && t->count[DOCTOR_KERNELS] != 0) {
		doctor_find(f, DOCTOR_WARN, "all functions are the kernel's to keep");
		doctor_say(&f->remedy, "make virtual functions (see sriov), or add a NIC");
	} else if (can == 0) {
		doctor_find(f, DOCTOR_FAIL, "no function can be a tenant's");
		doctor_say(&f->remedy, "the reason stands with each below");
	} else if (t->ready == 0) {
		doctor_find(f, DOCTOR_WARN,
			"none of %u function%s that can be a tenant's is bound "
			"to %s",
			can, can == 1 ? "" : "s",
			c->way == DOCTOR_VFIO ? "vfio-pci" : "a uio driver");
		how_to_bind(c, f);
	} else {
		doctor_find(f, DOCTOR_OK, "%u of %u functions that can be tenants' are ready",
			t->ready, can);
	}
}
