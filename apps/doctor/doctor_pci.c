/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_host.h"
#include "doctor_read.h"

/* PCI Express extended capabilities (PCI Express Base Specification, "Extended Capabilities"). */
#define CFG_EXTENDED 0x100
#define CFG_SIZE     4096
#define EXT_ACS      0x0d
#define EXT_ATS      0x0f
#define EXT_PASID    0x1b
#define ACS_CAP      4
#define ACS_CTRL     6

static uint16_t get16(const uint8_t *p)
{
	return p[0] | p[1] << 8;
}

static void read_extended(const struct doctor_host *h, struct doctor_fn *fn)
{
	static const unsigned int most = (CFG_SIZE - CFG_EXTENDED) / 8;
	uint8_t cfg[CFG_SIZE];
	int len = doctor_read_bytes(h->root, cfg, sizeof(cfg), "sys/bus/pci/devices/%s/config",
		fn->address);
	unsigned int at = CFG_EXTENDED;

	fn->extended = len > 64; /* of which others than root see no more */
	for (unsigned int hops = 0; hops < most && at >= CFG_EXTENDED && (int)at + 8 <= len;
		hops++) {
		uint16_t id = get16(cfg + at);

		if (id == EXT_ACS)
			fn->acs = (struct doctor_acs){ true, get16(cfg + at + ACS_CAP),
				get16(cfg + at + ACS_CTRL) };
		fn->ats |= id == EXT_ATS;
		fn->pasid |= id == EXT_PASID;
		at = get16(cfg + at + 2) >> 4;
	}
}

/* --------------------------------------------------------------------------------- functions */

static bool carries_default_route(const struct doctor_host *h, const char *net)
{
	char text[16384], name[32];
	unsigned long destination;

	if (doctor_read(h->root, text, sizeof(text), "proc/net/route") != 0)
		return false;
	for (const char *line = strchr(text, '\n'); line != NULL; line = strchr(line + 1, '\n'))
		if (sscanf(line, " %31s %lx", name, &destination) == 2 && destination == 0 &&
			strcmp(name, net) == 0)
			return true;
	return false;
}

/** The function's first interface, and the folder it is in: net, or virtioN/net. */
static void find_net(const struct doctor_host *h, struct doctor_fn *fn, char *folder, size_t len)
{
	struct doctor_lines names = { 0 };

	snprintf(folder, len, "sys/bus/pci/devices/%s/net", fn->address);
	if (doctor_read_folder(h->root, &names, "%s", folder) != 0) {
		doctor_read_folder(h->root, &names, "sys/bus/pci/devices/%s", fn->address);
		for (unsigned int i = 0; i < names.n; i++)
			if (strncmp(names.at[i], "virtio", 6) == 0)
				snprintf(folder, len, "sys/bus/pci/devices/%s/%s/net", fn->address,
					names.at[i]);
		doctor_lines_free(&names);
		doctor_read_folder(h->root, &names, "%s", folder);
	}
	if (names.n != 0)
		snprintf(fn->net, sizeof(fn->net), "%s", names.at[0]);
	doctor_lines_free(&names);
}

static void read_net(const struct doctor_host *h, struct doctor_fn *fn)
{
	struct doctor_lines names = { 0 };
	char folder[64], state[32];

	find_net(h, fn, folder, sizeof(folder));
	if (fn->net[0] == '\0')
		return;
	doctor_read_folder(h->root, &names, "%s/%s/queues", folder, fn->net);
	for (unsigned int i = 0; i < names.n; i++) {
		fn->rx_queues += strncmp(names.at[i], "rx-", 3) == 0;
		fn->tx_queues += strncmp(names.at[i], "tx-", 3) == 0;
	}
	doctor_lines_free(&names);
	doctor_read(h->root, state, sizeof(state), "%s/%s/operstate", folder, fn->net);
	fn->up = strcmp(state, "up") == 0;
	fn->default_route = carries_default_route(h, fn->net);
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
	read_extended(h, fn);
	read_net(h, fn);
	if (h->dmar != NULL)
		fn->rmrr = moat_dmar_rmrr_of(h->dmar, h->pci, pci->segment, pci->sid);
}

/* ------------------------------------------------------------------------------------ groups */

/** Lines "0x... 0x... type". */
static void read_reserved(const struct doctor_host *h, struct doctor_group *g)
{
	char text[8192];

	doctor_read(h->root, text, sizeof(text), "sys/kernel/iommu_groups/%d/reserved_regions",
		g->id);
	for (char *save, *line = strtok_r(text, "\n", &save); line != NULL;
		line = strtok_r(NULL, "\n", &save)) {
		char type[32];

		if (sscanf(line, "%*s %*s %31s", type) != 1)
			continue;
		g->direct |= strcmp(type, "direct") == 0;
		g->relaxable |= strcmp(type, "direct-relaxable") == 0;
		g->msi |= strcmp(type, "msi") == 0;
	}
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
	h->pci_error = moat_pci_scan(h->root, &h->pci);
	if (h->pci_error != 0)
		h->pci = doctor_alloc(1, sizeof(*h->pci)); /* no functions */
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

bool doctor_vfio_bound(const struct doctor_fn *fn)
{
	return strstr(fn->driver, "vfio") != NULL;
}

bool doctor_candidate(const struct doctor_fn *fn)
{
	unsigned int base = fn->class >> 16;

	if (fn->pci->bridge)
		return false;
	return base == 0x02 /* network */ || base == 0x10 /* encryption */ ||
		base == 0x12 /* accelerators */ || fn->class >> 8 == 0x0b40 /* co-processor */ ||
		doctor_vfio_bound(fn) || strstr(fn->driver, "uio") != NULL;
}
