/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_check.h"
#include "doctor_read.h"

#define CAP_IPC_LOCK  14
#define DEFAULT_LIMIT 65535 /* Linux, vfio_iommu_type1.c: dma_entry_limit */

static bool loaded(const struct doctor_host *h, const char *module)
{
	return doctor_read_access(h->root, F_OK, "sys/module/%s", module) == 0;
}

static int lists(const struct doctor_host *h, const char *file, const char *name)
{
	char *text;
	int found = -1;

	if (doctor_text(h->root, &text, "lib/modules/%s/%s", h->release, file) == 0)
		found = strstr(text, name) != NULL;
	free(text);
	return found;
}

/** Would modprobe find the module? @return 1, 0, or -1: cannot be seen here */
static int available(const struct doctor_host *h, const char *module)
{
	char *name = doctor_format("/%s.ko", module);
	int found = lists(h, "modules.dep", name), builtin;

	if (found <= 0) {
		builtin = lists(h, "modules.builtin", name);
		found = builtin >= 0 ? builtin : found;
	}
	free(name);
	return found;
}

/** Make the finding of a missing module; the remedy depends on whether it can be loaded. */
static void load(const struct doctor_host *h, const char *module, const char *option,
	struct doctor_finding *f)
{
	int there = available(h, module);

	if (there == 0) {
		doctor_find(f, DOCTOR_FAIL, "the kernel has no %s", module);
		doctor_say(&f->evidence, "not among the modules of /lib/modules/%s", h->release);
		doctor_say(&f->remedy, "boot a kernel with %s", option);
		return;
	}
	doctor_find(f, DOCTOR_WARN, "%s is not loaded", module);
	doctor_say(&f->remedy,
		"load it%s; a line in /etc/modules-load.d/moat.conf loads it at every boot",
		h->container != NULL ? " on the host" : "");
	doctor_say(&f->commands, "modprobe %s", module);
}

/* -------------------------------------------------------------------------------------- vfio */

/** Does an earlier function that is ready have the same group? */
static bool said_before(const struct doctor_case *c, unsigned int i)
{
	for (unsigned int j = 0; j < i; j++)
		if (c->tenants.at[j].ready &&
			c->tenants.at[j].fn->group == c->tenants.at[i].fn->group)
			return true;
	return false;
}

/** Check whether this user may open the device files. */
static void judge_files(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	int ret = doctor_read_access(h->root, R_OK | W_OK, "dev/vfio/vfio");

	if (ret != 0) {
		doctor_find(f, h->container != NULL ? DOCTOR_FAIL : DOCTOR_WARN,
			"/dev/vfio/vfio cannot be opened: %s", strerror(-ret));
		doctor_say(&f->remedy,
			h->container != NULL
				? "hand the device files into the container (see privileges)"
				: "run as root; or chmod 0666 /dev/vfio/vfio, and give the groups' "
				  "files in /dev/vfio to the user");
		return;
	}
	doctor_find(f, DOCTOR_OK, "vfio-pci and type1 are loaded");
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];

		if (!t->ready || said_before(c, i) ||
			doctor_read_access(h->root, R_OK | W_OK, "dev/vfio/%d", t->fn->group) == 0)
			continue;
		doctor_find(f, DOCTOR_WARN, "/dev/vfio/%d cannot be opened by this user",
			t->fn->group);
		doctor_say(&f->evidence, "/dev/vfio/%d is the group of %s", t->fn->group,
			t->fn->address);
		if (f->remedy.n == 0)
			doctor_say(&f->remedy, "give the group's file to the user");
		doctor_say(&f->commands, "chown USER /dev/vfio/%d", t->fn->group);
	}
}

void doctor_check_vfio(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	bool pci = loaded(h, "vfio_pci") ||
		doctor_read_access(h->root, F_OK, "sys/bus/pci/drivers/vfio-pci") == 0;
	bool type1 = loaded(h, "vfio_iommu_type1"), vfio = loaded(h, "vfio");

	doctor_say(&f->evidence, "loaded:%s%s%s%s", vfio ? " vfio" : "",
		type1 ? " vfio_iommu_type1" : "", pci ? " vfio_pci" : "",
		vfio || type1 || pci ? "" : " none of vfio, vfio_iommu_type1, vfio_pci");
	if (pci && type1) {
		judge_files(c, f);
	} else if (pci) {
		load(h, "vfio_iommu_type1", "CONFIG_VFIO_IOMMU_TYPE1", f);
	} else {
		load(h, "vfio-pci", "CONFIG_VFIO_PCI", f);
		if (!type1 && f->state == DOCTOR_WARN)
			doctor_say(&f->commands, "modprobe vfio_iommu_type1");
	}
}

/* --------------------------------------------------------------------------------------- uio */

void doctor_check_uio(const struct doctor_case *c, struct doctor_finding *f)
{
	if (loaded(c->host, "uio_pci_generic") ||
		doctor_read_access(c->host->root, F_OK, "sys/bus/pci/drivers/uio_pci_generic") == 0)
		doctor_find(f, DOCTOR_OK, "uio_pci_generic is loaded");
	else
		load(c->host, "uio_pci_generic", "CONFIG_UIO_PCI_GENERIC", f);
}

/* ---------------------------------------------------------------------------------- no-IOMMU */

void doctor_check_no_iommu(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	char value[8];
	int ret = doctor_read(h->root, value, sizeof(value),
		"sys/module/vfio/parameters/enable_unsafe_noiommu_mode");

	for (unsigned int i = 0; i < h->nr_groups; i++)
		if (strcmp(h->group[i].name, "vfio-noiommu") == 0)
			doctor_say(&f->evidence, "group %d has no IOMMU behind it", h->group[i].id);
	if (ret == -ENOENT) {
		doctor_find(f, DOCTOR_OK,
			loaded(h, "vfio") ? "this kernel has no such mode" : "vfio is not loaded");
	} else if (ret != 0) {
		doctor_find(f, DOCTOR_UNKNOWN, "enable_unsafe_noiommu_mode: %s", strerror(-ret));
	} else if (value[0] == 'Y') {
		doctor_find(f, doctor_driven(h, -1) != 0 ? DOCTOR_WARN : DOCTOR_FAIL,
			"no-IOMMU mode is on: nothing stands between a device and all memory");
		doctor_say(&f->evidence, "enable_unsafe_noiommu_mode=Y");
		doctor_say(&f->remedy,
			"turn it off; no tenant is isolated in this mode, and moat "
			"refuses such groups");
		doctor_say(&f->commands,
			"echo N > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
	} else {
		doctor_find(f, DOCTOR_OK, "off");
	}
}

/* --------------------------------------------------------------------------- dma_entry_limit */

void doctor_check_dma_entry_limit(const struct doctor_case *c, struct doctor_finding *f)
{
	uint64_t limit = DEFAULT_LIMIT;
	int ret = doctor_read_number(c->host->root, 10, &limit,
		"sys/module/vfio_iommu_type1/parameters/dma_entry_limit");

	if (ret == -ENOENT)
		doctor_say(&f->evidence, "vfio_iommu_type1 is not loaded: its default is %d",
			DEFAULT_LIMIT);
	doctor_say(&f->evidence,
		"entries of one container: %" PRIu64 " GiB in pages of 2 MiB, %" PRIu64 " MiB in "
		"pages of 4 KiB one by one; moat maps runs, an entry each",
		limit * 2 >> 10, limit * 4 >> 10);
	if (ret != 0 && ret != -ENOENT) {
		doctor_find(f, DOCTOR_UNKNOWN, "dma_entry_limit: %s", strerror(-ret));
	} else if (limit < DEFAULT_LIMIT) {
		doctor_find(f, DOCTOR_WARN, "%" PRIu64 ", the kernel's default is %d", limit,
			DEFAULT_LIMIT);
		doctor_say(&f->remedy, "raise it; this applies to containers opened afterwards");
		doctor_say(&f->commands,
			"echo %d > /sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
			DEFAULT_LIMIT);
	} else {
		doctor_find(f, DOCTOR_OK, "%" PRIu64, limit);
	}
}

/* ----------------------------------------------------------------------------------- memlock */

/** @return bytes that tenants could pin: all hugepages, or without any what a small tenant takes */
static uint64_t wanted(const struct doctor_host *h)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < h->nr_nodes; i++)
		bytes += h->node[i].total_2m * MOAT_2M_SIZE + h->node[i].total_1g * MOAT_1G_SIZE;
	return bytes != 0 ? bytes : 64 << 20;
}

static void how_to_raise(const struct doctor_host *h, struct doctor_finding *f)
{
	if (h->container != NULL) {
		doctor_say(&f->remedy, "raise it where the container is started (see privileges)");
		return;
	}
	doctor_say(&f->remedy,
		"raise it, permanently in /etc/security/limits.conf (memlock) or, for a service, by "
		"LimitMEMLOCK=infinity");
	doctor_say(&f->commands, "prlimit --memlock=unlimited:unlimited --pid $$");
}

void doctor_check_memlock(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	uint64_t want = wanted(h);

	if (!h->has_memlock) {
		doctor_find(f, DOCTOR_UNKNOWN, "/proc/self/limits does not say");
	} else if (h->memlock == UINT64_MAX) {
		doctor_find(f, DOCTOR_OK, "unlimited");
	} else if (doctor_may(h, CAP_IPC_LOCK)) {
		doctor_find(f, DOCTOR_OK, "does not apply with CAP_IPC_LOCK");
	} else if (h->memlock < want) {
		doctor_find(f, DOCTOR_WARN,
			"%" PRIu64 " MiB: tenants' memory beyond that is refused (ENOMEM)",
			h->memlock >> 20);
		doctor_say(&f->evidence, "VFIO counts what it pins; %s %" PRIu64 " MiB",
			want == 64 << 20 ? "a small tenant takes" : "the hugepages here are",
			want >> 20);
		how_to_raise(h, f);
	} else {
		doctor_find(f, DOCTOR_OK, "%" PRIu64 " MiB", h->memlock >> 20);
	}
}
