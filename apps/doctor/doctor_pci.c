/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_host.h"
#include "doctor_ids.h"
#include "doctor_read.h"

/* PCI Express extended capabilities (PCI Express Base Specification, "Extended Capabilities"). */
#define CFG_EXTENDED 0x100
#define CFG_SIZE     4096
#define EXT_ACS      0x0d
#define EXT_ATS      0x0f
#define EXT_PASID    0x1b
#define ACS_CAP      4
#define ACS_CTRL     6

#define CFG_REVISION    0x08
#define CFG_HEADER      0x0e
#define CFG_SUBVENDOR   0x2c
#define CFG_SUBDEVICE   0x2e
#define VIRTIO_VENDOR   0x1af4
#define VIRTIO_FIRST    0x1000
#define VIRTIO_LAST     0x107f
#define ACCESS_PLATFORM 33 /* VIRTIO_F_ACCESS_PLATFORM, a bit of the features */

static uint16_t get16(const uint8_t *p)
{
	return p[0] | p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

/** Read ACS capability and control, which have 32 bits each in a PCH of the 100- or 200-series. */
static struct doctor_acs acs_of(const struct doctor_fn *fn, const uint8_t *cap, size_t room)
{
	if (doctor_acs_layout_of(fn) != DOCTOR_ACS_WIDE)
		return (struct doctor_acs){ true, get16(cap + ACS_CAP), get16(cap + ACS_CTRL) };
	if (room < ACS_CAP + 8)
		return (struct doctor_acs){ .there = true };
	return (struct doctor_acs){ true, get32(cap + ACS_CAP), get32(cap + ACS_CAP + 4) };
}

static void read_extended(struct doctor_fn *fn, const uint8_t *cfg, size_t len)
{
	static const unsigned int most = (CFG_SIZE - CFG_EXTENDED) / 8;
	size_t at = CFG_EXTENDED;

	fn->extended = len > 64; /* users other than root can read 64 bytes */
	for (unsigned int hops = 0; hops < most && at >= CFG_EXTENDED && at + 8 <= len; hops++) {
		uint16_t id = get16(cfg + at);

		if (id == EXT_ACS)
			fn->acs = acs_of(fn, cfg + at, len - at);
		fn->ats |= id == EXT_ATS;
		fn->pasid |= id == EXT_PASID;
		at = get16(cfg + at + 2) >> 4;
	}
	if (doctor_acs_layout_of(fn) == DOCTOR_ACS_CHIPSET && !fn->acs.there)
		fn->acs = (struct doctor_acs){ true, 0, 0 };
}

static uint16_t read_id(const struct doctor_host *h, const struct doctor_fn *fn, const char *name,
	uint16_t otherwise)
{
	uint64_t id = otherwise;

	doctor_read_number(h->root, 16, &id, "sys/bus/pci/devices/%s/%s", fn->address, name);
	return id;
}

static void read_config(const struct doctor_host *h, struct doctor_fn *fn)
{
	uint8_t *cfg;
	size_t len;

	doctor_bytes(h->root, &cfg, &len, "sys/bus/pci/devices/%s/config", fn->address);
	if (len >= 64) {
		fn->revision = cfg[CFG_REVISION];
		if ((cfg[CFG_HEADER] & 0x7f) == 0) {
			fn->subvendor = get16(cfg + CFG_SUBVENDOR);
			fn->subdevice = get16(cfg + CFG_SUBDEVICE);
		}
	}
	fn->vendor = read_id(h, fn, "vendor", fn->pci->vendor);
	fn->device = read_id(h, fn, "device", fn->pci->device);
	fn->revision = read_id(h, fn, "revision", fn->revision);
	fn->subvendor = read_id(h, fn, "subsystem_vendor", fn->subvendor);
	fn->subdevice = read_id(h, fn, "subsystem_device", fn->subdevice);
	read_extended(fn, cfg, RTE_MIN(len, (size_t)CFG_SIZE));
	free(cfg);
}

/* --------------------------------------------------------------------------------- functions */

/** Read the features that driver and device agreed on, one digit per bit. Linux accepts bit 33 if
 * the device offers it. */
static void read_virtio(const struct doctor_host *h, struct doctor_fn *fn)
{
	struct doctor_lines names = { 0 };
	char *features;

	if (fn->vendor != VIRTIO_VENDOR || fn->device < VIRTIO_FIRST || fn->device > VIRTIO_LAST)
		return;
	fn->virtio = DOCTOR_VIRTIO_UNKNOWN;
	doctor_read_folder(h->root, &names, "sys/bus/pci/devices/%s", fn->address);
	for (unsigned int i = 0; i < names.n; i++) {
		if (strncmp(names.at[i], "virtio", 6) != 0)
			continue;
		doctor_text(h->root, &features, "sys/bus/pci/devices/%s/%s/features", fn->address,
			names.at[i]);
		if (strlen(features) > ACCESS_PLATFORM && strspn(features, "0") != strlen(features))
			fn->virtio = features[ACCESS_PLATFORM] == '1' ? DOCTOR_VIRTIO_TRANSLATED
								      : DOCTOR_VIRTIO_BYPASSES;
		free(features);
	}
	doctor_lines_free(&names);
}

static void read_fn(struct doctor_host *h, struct doctor_fn *fn, const struct moat_pci_fn *pci)
{
	uint64_t class = 0;
	char text[64];

	fn->pci = pci;
	snprintf(fn->address, sizeof(fn->address), "%04x:" MOAT_SID_FMT, pci->segment,
		MOAT_SID_ARGS(pci->sid));
	doctor_read_number(h->root, 16, &class, "sys/bus/pci/devices/%s/class", fn->address);
	fn->class = class;
	doctor_read_link(h->root, fn->driver, sizeof(fn->driver), "sys/bus/pci/devices/%s/driver",
		fn->address);
	doctor_read_link(h->root, fn->unit, sizeof(fn->unit), "sys/bus/pci/devices/%s/iommu",
		fn->address);
	/* moat_pci_scan() has followed the link; read it again to keep it for an archive. */
	doctor_read_link(h->root, text, sizeof(text), "sys/bus/pci/devices/%s/physfn", fn->address);
	fn->group = doctor_read_link(h->root, text, sizeof(text),
			    "sys/bus/pci/devices/%s/iommu_group", fn->address) == 0
		? atoi(text)
		: -1;
	doctor_read(h->root, text, sizeof(text), "sys/bus/pci/devices/%s/numa_node", fn->address);
	fn->numa = text[0] != '\0' ? atoi(text) : -1;
	doctor_read_number(h->root, 10, &fn->vfs_total, "sys/bus/pci/devices/%s/sriov_totalvfs",
		fn->address);
	doctor_read_number(h->root, 10, &fn->vfs, "sys/bus/pci/devices/%s/sriov_numvfs",
		fn->address);
	read_config(h, fn);
	read_virtio(h, fn);
	doctor_net_read(h, fn);
	if (h->dmar != NULL)
		fn->rmrr = moat_dmar_rmrr_of(h->dmar, h->pci, pci->segment, pci->sid);
}

/* ------------------------------------------------------------------------------------ groups */

/** Read the group's reserved regions: lines "0x... 0x... type". */
static void read_reserved(const struct doctor_host *h, struct doctor_group *g)
{
	char *text, *save;

	g->regions = doctor_text(h->root, &text, "sys/kernel/iommu_groups/%d/reserved_regions",
			     g->id) != -ENOENT;
	for (char *line = strtok_r(text, "\n", &save); line != NULL;
		line = strtok_r(NULL, "\n", &save)) {
		char type[32];

		if (sscanf(line, "%*s %*s %31s", type) != 1)
			continue;
		g->direct |= strcmp(type, "direct") == 0;
		g->relaxable |= strcmp(type, "direct-relaxable") == 0;
		g->msi |= strcmp(type, "msi") == 0;
	}
	free(text);
}

static void read_group(const struct doctor_host *h, struct doctor_group *g, const char *name)
{
	g->id = atoi(name);
	doctor_read(h->root, g->name, sizeof(g->name), "sys/kernel/iommu_groups/%s/name", name);
	doctor_read(h->root, g->type, sizeof(g->type), "sys/kernel/iommu_groups/%s/type", name);
	read_reserved(h, g);
	g->fn = doctor_alloc(h->pci->n, sizeof(*g->fn));
	for (unsigned int i = 0; i < h->pci->n; i++)
		if (h->fn[i].group == g->id && !h->pci->fn[i].bridge)
			g->fn[g->n++] = i;
}

static void read_groups(struct doctor_host *h)
{
	struct doctor_lines names = { 0 };

	doctor_read_folder(h->root, &names, "sys/kernel/iommu_groups");
	h->group = doctor_alloc(names.n, sizeof(*h->group));
	for (unsigned int i = 0; i < names.n; i++)
		read_group(h, &h->group[h->nr_groups++], names.at[i]);
	doctor_lines_free(&names);
}

void doctor_pci_read(struct doctor_host *h)
{
	struct doctor_lines names = { 0 };

	/* moat_pci_scan() lists this folder; read it here to keep it for an archive. */
	doctor_read_folder(h->root, &names, "sys/bus/pci/devices");
	doctor_lines_free(&names);
	h->pci_error = moat_pci_scan(h->root, &h->pci);
	if (h->pci_error != 0)
		h->pci = doctor_alloc(1, sizeof(*h->pci)); /* without functions */
	h->fn = doctor_alloc(h->pci->n, sizeof(*h->fn));
	for (unsigned int i = 0; i < h->pci->n; i++)
		read_fn(h, &h->fn[i], &h->pci->fn[i]);
	read_groups(h);
}

/* --------------------------------------------------------------------------------- looking up */

const struct doctor_fn *doctor_fn_find(const struct doctor_host *h, uint16_t segment,
	moat_sid_t sid)
{
	const struct moat_pci_fn *fn = moat_pci_find(h->pci, segment, sid);

	return fn != NULL ? &h->fn[fn - h->pci->fn] : NULL;
}

const struct doctor_group *doctor_group_find(const struct doctor_host *h, int id)
{
	for (unsigned int i = 0; i < h->nr_groups; i++)
		if (h->group[i].id == id)
			return &h->group[i];
	return NULL;
}

bool doctor_candidate(const struct doctor_fn *fn)
{
	unsigned int base = fn->class >> 16;

	if (fn->pci->bridge)
		return false;
	return base == 0x02 /* network */ || base == 0x10 /* encryption */ ||
		base == 0x12 /* accelerators */ || fn->class >> 8 == 0x0b40 /* co-processor */ ||
		doctor_vfio_erratum(fn) != NULL ||
		moat_pci_owner(fn->driver) == MOAT_PCI_OWNER_VFIO ||
		moat_pci_owner(fn->driver) == MOAT_PCI_OWNER_UIO;
}
