/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <string.h>

#include "doctor_host.h"
#include "doctor_read.h"
#include "moat_vtd_host.h"

/* ------------------------------------------------------------------ units the kernel drives */

/** Version, capabilities and address as the kernel shows them; anybody may read those. */
static void read_intel(const struct doctor_host *h, struct doctor_unit *u)
{
	uint64_t cap = 0, ecap = 0;
	unsigned int major = 0, minor = 0;
	char version[32];
	int ret;

	u->kind = DOCTOR_INTEL;
	doctor_read_number(h->root, 16, &u->base, "sys/class/iommu/%s/intel-iommu/address",
		u->name);
	doctor_read_number(h->root, 10, &u->domains,
		"sys/class/iommu/%s/intel-iommu/domains_supported", u->name);
	doctor_read_number(h->root, 10, &u->domains_used,
		"sys/class/iommu/%s/intel-iommu/domains_used", u->name);
	doctor_read(h->root, version, sizeof(version), "sys/class/iommu/%s/intel-iommu/version",
		u->name);
	ret = doctor_read_number(h->root, 16, &cap, "sys/class/iommu/%s/intel-iommu/cap", u->name);
	if (ret == 0)
		ret = doctor_read_number(h->root, 16, &ecap, "sys/class/iommu/%s/intel-iommu/ecap",
			u->name);
	if (ret != 0) {
		snprintf(u->why, sizeof(u->why), "CAP and ECAP in sysfs: %s", strerror(-ret));
		return;
	}
	if (sscanf(version, "%u:%u", &major, &minor) != 2)
		major = minor = 0;
	moat_vtd_caps_decode((major & 0xf) << 4 | (minor & 0xf), cap, ecap, &u->caps);
	u->from = "sysfs";
}

static void read_driven(struct doctor_host *h)
{
	struct doctor_lines names = { 0 };

	doctor_read_folder(h->root, &names, "sys/class/iommu");
	for (unsigned int i = 0; i < names.n && h->nr_units < DOCTOR_UNITS_MAX; i++) {
		struct doctor_unit *u = &h->unit[h->nr_units++];

		snprintf(u->name, sizeof(u->name), "%s", names.at[i]);
		u->driven = true;
		u->drhd = -1;
		u->kind = DOCTOR_OTHER;
		if (doctor_read_access(h->root, 0, "sys/class/iommu/%s/intel-iommu", u->name) == 0)
			read_intel(h, u);
		else if (doctor_read_access(h->root, 0, "sys/class/iommu/%s/amd-iommu", u->name) ==
			0)
			u->kind = DOCTOR_AMD;
	}
	doctor_lines_free(&names);
}

/* ------------------------------------------------------------------- units the table names */

/** A unit that the kernel keeps off: its registers can be read where they can be mapped. */
static void read_window(struct doctor_host *h, struct doctor_unit *u)
{
	const struct moat_dmar_unit *drhd = &h->dmar->unit[u->drhd];
	struct moat_vtd_window window;
	int ret = moat_vtd_host_map(h->root, drhd, &window);

	if (ret == 0) {
		ret = moat_vtd_caps_read(&window, &u->caps);
		moat_vtd_host_unmap(drhd, &window);
	}
	if (ret == 0)
		u->from = "registers";
	else
		doctor_without_root(h->root, moat_error_text(), u->why, sizeof(u->why));
}

static struct doctor_unit *unit_at(struct doctor_host *h, uint64_t base)
{
	for (unsigned int i = 0; i < h->nr_units; i++)
		if (h->unit[i].base == base)
			return &h->unit[i];
	return NULL;
}

static void read_named(struct doctor_host *h)
{
	for (unsigned int i = 0; i < h->dmar->nr_units; i++) {
		struct doctor_unit *u = unit_at(h, h->dmar->unit[i].base);

		if (u == NULL && h->nr_units < DOCTOR_UNITS_MAX) {
			u = &h->unit[h->nr_units++];
			snprintf(u->name, sizeof(u->name), "dmar%u", i);
			u->kind = DOCTOR_INTEL;
			u->base = h->dmar->unit[i].base;
			u->drhd = i;
			read_window(h, u);
		} else if (u != NULL) {
			u->drhd = i;
		}
	}
}

void doctor_units_read(struct doctor_host *h)
{
	h->dmar_error = moat_dmar_load(h->root, &h->dmar);
	if (h->dmar_error != 0) {
		h->dmar = NULL;
		doctor_without_root(h->root, moat_error_text(), h->dmar_text, sizeof(h->dmar_text));
	}
	h->sysfs = doctor_read_access(h->root, 0, "sys/bus") == 0;
	h->tables_visible = doctor_read_access(h->root, 0, "sys/firmware/acpi/tables") == 0;
	h->ivrs = doctor_read_access(h->root, 0, "sys/firmware/acpi/tables/IVRS") == 0;
	read_driven(h);
	if (h->dmar != NULL)
		read_named(h);
}
