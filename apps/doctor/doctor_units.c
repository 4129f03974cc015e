/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_host.h"
#include "doctor_read.h"
#include "moat_vtd_host.h"
#include "moat_vtd_regs.h"
#include "moat_vtd_window.h"

/* ------------------------------------------------------------------ units the kernel drives */

/** Read version, capabilities and address from sysfs, which every user may read. */
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
		u->why = doctor_format("CAP and ECAP in sysfs: %s", strerror(-ret));
		return;
	}
	if (sscanf(version, "%u:%u", &major, &minor) != 2)
		major = minor = 0;
	moat_vtd_caps_decode((major & 0xf) << 4 | (minor & 0xf), cap, ecap, &u->caps);
	u->from = "sysfs";
}

static struct doctor_unit *unit_add(struct doctor_host *h)
{
	struct doctor_unit *more = doctor_alloc(h->nr_units + 1, sizeof(*more));

	if (h->nr_units != 0)
		memcpy(more, h->unit, h->nr_units * sizeof(*more));
	free(h->unit);
	h->unit = more;
	return &h->unit[h->nr_units++];
}

static void read_driven(struct doctor_host *h)
{
	struct doctor_lines names = { 0 };

	doctor_read_folder(h->root, &names, "sys/class/iommu");
	for (unsigned int i = 0; i < names.n; i++) {
		struct doctor_unit *u = unit_add(h);

		snprintf(u->name, sizeof(u->name), "%s", names.at[i]);
		u->driven = true;
		u->drhd = -1;
		u->kind = DOCTOR_OTHER;
		if (doctor_read_access(h->root, F_OK, "sys/class/iommu/%s/intel-iommu", u->name) ==
			0)
			read_intel(h, u);
		else if (doctor_read_access(h->root, F_OK, "sys/class/iommu/%s/amd-iommu",
				 u->name) == 0)
			u->kind = DOCTOR_AMD;
	}
	doctor_lines_free(&names);
}

/* ------------------------------------------------------------------- units the table names */

/** A file in an archive: the registers' values, or why they could not be read. */
#define REGISTERS "moat-registers/0x%" PRIx64

static void keep_registers(const struct doctor_unit *u)
{
	char *path = doctor_format(REGISTERS, u->base), *text;

	text = u->from != NULL
		? doctor_format("VER 0x%x CAP 0x%" PRIx64 " ECAP 0x%" PRIx64 "\n",
			  u->caps.ver_major << 4 | u->caps.ver_minor, u->caps.cap, u->caps.ecap)
		: u->all_ones ? doctor_format("ones\n")
			      : doctor_format("error %s\n", u->why);
	doctor_record_file(path, text);
	free(path);
	free(text);
}

/** Read the registers' values from an archive. @return false: this is not an archive with them */
static bool read_kept_registers(const struct doctor_host *h, struct doctor_unit *u)
{
	uint64_t cap, ecap;
	unsigned int ver;
	char *text;

	if (doctor_text(h->root, &text, REGISTERS, u->base) != 0) {
		free(text);
		return false;
	}
	if (sscanf(text, "VER %x CAP %" SCNx64 " ECAP %" SCNx64, &ver, &cap, &ecap) == 3) {
		moat_vtd_caps_decode(ver, cap, ecap, &u->caps);
		u->from = "registers";
	} else if (strcmp(text, "ones") == 0) {
		u->all_ones = true;
		u->why = doctor_format("the registers read as ones");
	} else {
		u->why = doctor_format("%s", strncmp(text, "error ", 6) == 0 ? text + 6 : text);
	}
	free(text);
	return true;
}

/** Read the registers of a unit that the kernel does not drive, if they can be mapped. */
static void read_window(struct doctor_host *h, struct doctor_unit *u)
{
	const struct moat_dmar_unit *drhd = &h->dmar->unit[u->drhd];
	struct moat_vtd_window window;
	int ret;

	if (read_kept_registers(h, u))
		return;
	ret = moat_vtd_host_map(h->root, drhd, &window);
	if (ret == 0) {
		u->all_ones = vtd_read64(&window, VTD_CAP) == UINT64_MAX &&
			vtd_read64(&window, VTD_ECAP) == UINT64_MAX;
		ret = moat_vtd_caps_read(&window, &u->caps);
		moat_vtd_host_unmap(drhd, &window);
	}
	if (u->all_ones)
		u->why = doctor_format("the registers read as ones");
	else if (ret == 0)
		u->from = "registers";
	else
		u->why = doctor_without_root(h->root, moat_error_text());
	keep_registers(u);
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

		if (u != NULL) {
			u->drhd = i;
			continue;
		}
		u = unit_add(h);
		snprintf(u->name, sizeof(u->name), "dmar%u", i);
		u->kind = DOCTOR_INTEL;
		u->base = h->dmar->unit[i].base;
		u->drhd = i;
		read_window(h, u);
	}
}

/** Read the DMAR table; if it cannot be used, set dmar_error and dmar_text. */
static void read_table(struct doctor_host *h)
{
	uint8_t *table;
	size_t len;

	h->dmar_error = doctor_bytes(h->root, &table, &len, "sys/firmware/acpi/tables/DMAR");
	if (h->dmar_error == 0) {
		h->dmar_error = moat_dmar_parse(table, len, &h->dmar);
		if (h->dmar_error != 0)
			h->dmar_text = doctor_format("%s", moat_error_text());
	} else {
		h->dmar_text = doctor_format("/sys/firmware/acpi/tables/DMAR: %s",
			strerror(-h->dmar_error));
	}
	if (h->dmar_error != 0)
		h->dmar = NULL;
	free(table);
}

void doctor_units_read(struct doctor_host *h)
{
	read_table(h);
	h->sysfs = doctor_read_access(h->root, F_OK, "sys/bus") == 0;
	h->tables_visible = doctor_read_access(h->root, F_OK, "sys/firmware/acpi/tables") == 0;
	h->ivrs = doctor_read_access(h->root, F_OK, "sys/firmware/acpi/tables/IVRS") == 0;
	read_driven(h);
	if (h->dmar != NULL)
		read_named(h);
}
