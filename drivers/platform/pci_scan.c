/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "moat_vtd_pci.h"

/* Configuration space (PCI Local Bus Specification, "Configuration Space Organization"). */
#define CFG_VENDOR      0x00
#define CFG_DEVICE      0x02
#define CFG_STATUS      0x06
#define CFG_STATUS_CAPS 0x10
#define CFG_HEADER      0x0e
#define CFG_SECONDARY   0x19
#define CFG_SUBORDINATE 0x1a
#define CFG_CAPS        0x34
#define CFG_HEADER_SIZE 64
#define CFG_SIZE        256
#define CAP_EXPRESS     0x10
#define CFG_EXTENDED    0x100 /* extended capabilities: 16 bits id, 4 version, 12 next */
#define EXT_ACS         0x0d
#define ACS_CAP         4 /* offsets in the capability */
#define ACS_CTRL        6
#define ACS_CTRL_WIDE   8
#define INTEL           0x8086

/** Get the PCI Express capability's device/port type. Only root can read beyond 64 bytes. */
static int8_t port_type(const uint8_t *cfg, size_t len)
{
	uint8_t at;

	if (!(cfg[CFG_STATUS] & CFG_STATUS_CAPS))
		return MOAT_PCI_CONVENTIONAL;
	at = cfg[CFG_CAPS] & 0xfc;
	for (unsigned int hops = 0; at >= 64 && hops < 48 && at + 4u <= len; hops++) {
		if (cfg[at] == CAP_EXPRESS)
			return cfg[at + 2] >> 4;
		at = cfg[at + 1] & 0xfc;
	}
	return MOAT_PCI_CONVENTIONAL;
}

bool moat_pci_acs_is_wide(const struct moat_pci_fn *fn)
{
	static const struct {
		uint16_t first, last;
	} ports[] = {
		{ 0x9d10, 0x9d1b },                     /* 100- and 200-series, mobile */
		{ 0xa110, 0xa11f }, { 0xa167, 0xa16a }, /* 100-series */
		{ 0xa290, 0xa29f }, { 0xa2e7, 0xa2ee }, /* 200-series */
	};

	if (fn->vendor != INTEL || fn->port != MOAT_PCI_ROOT_PORT)
		return false;
	for (unsigned int i = 0; i < RTE_DIM(ports); i++)
		if (fn->device >= ports[i].first && fn->device <= ports[i].last)
			return true;
	return false;
}

/** Read the ACS capability, if the function has one and the process may read beyond the first 256
 * bytes. */
static void read_acs(moat_pci_read_t read, void *ctx, struct moat_pci_fn *fn)
{
	uint32_t header;
	uint16_t at = CFG_EXTENDED, ctrl = moat_pci_acs_is_wide(fn) ? ACS_CTRL_WIDE : ACS_CTRL;

	/* A capability has at least 4 bytes, so 960 of them fit; a longer list is a circle. */
	for (unsigned int hops = 0; at >= CFG_EXTENDED && hops < 960; hops++) {
		if (read(ctx, &header, sizeof(header), at) != sizeof(header) || header == 0 ||
			header == UINT32_MAX)
			return;
		if ((header & 0xffff) == EXT_ACS && read(ctx, &fn->acs_cap, 2, at + ACS_CAP) == 2 &&
			read(ctx, &fn->acs_ctrl, 2, at + ctrl) == 2) {
			fn->acs = at;
			return;
		}
		at = header >> 20 & 0xffc;
	}
}

bool moat_pci_decode(struct moat_pci_fn *fn, moat_pci_read_t read, void *ctx)
{
	uint8_t cfg[CFG_SIZE];
	ssize_t len = read(ctx, cfg, sizeof(cfg), 0);

	if (len < CFG_HEADER_SIZE)
		return false;
	fn->vendor = cfg[CFG_VENDOR] | cfg[CFG_VENDOR + 1] << 8;
	fn->device = cfg[CFG_DEVICE] | cfg[CFG_DEVICE + 1] << 8;
	fn->port = port_type(cfg, len);
	if (fn->port != MOAT_PCI_CONVENTIONAL)
		read_acs(read, ctx, fn);
	fn->bridge = (cfg[CFG_HEADER] & 0x7f) == 1;
	if (fn->bridge) {
		fn->secondary = cfg[CFG_SECONDARY];
		fn->subordinate = cfg[CFG_SUBORDINATE];
	}
	return true;
}

/** Parse a function's name, such as "0000:03:00.1". */
static bool parse_name(const char *name, uint16_t *segment, moat_sid_t *sid)
{
	unsigned int seg, bus, dev, fn;
	int end = 0;

	if (sscanf(name, "%x:%x:%x.%x%n", &seg, &bus, &dev, &fn, &end) != 4 || name[end] != '\0')
		return false;
	if (seg > UINT16_MAX || bus > 0xff || dev > 0x1f || fn > 7)
		return false;
	*segment = seg;
	*sid = MOAT_SID(bus, dev, fn);
	return true;
}

/** Get the last component of the target of <folder>/<link>; "": there is no such link. */
static const char *link_name(const char *folder, const char *link, char target[PATH_MAX])
{
	char path[PATH_MAX];
	const char *name;
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s", folder, link);
	len = readlink(path, target, PATH_MAX - 1);
	target[len < 0 ? 0 : len] = '\0';
	name = strrchr(target, '/');
	return name != NULL ? name + 1 : target;
}

static void read_links(const char *folder, struct moat_pci_fn *fn)
{
	char target[PATH_MAX];
	uint16_t segment;

	fn->physfn = fn->sid;
	fn->virtfn = parse_name(link_name(folder, "physfn", target), &segment, &fn->physfn);
	snprintf(fn->driver, sizeof(fn->driver), "%.31s", link_name(folder, "driver", target));
}

static ssize_t read_file(void *ctx, void *to, size_t len, size_t offset)
{
	return pread(*(int *)ctx, to, len, offset);
}

static bool read_fn(const char *devices, const char *name, struct moat_pci_fn *fn)
{
	char folder[PATH_MAX / 2], path[PATH_MAX];
	bool good;
	int fd;

	memset(fn, 0, sizeof(*fn));
	if (!parse_name(name, &fn->segment, &fn->sid))
		return false;
	snprintf(folder, sizeof(folder), "%s/%s", devices, name);
	snprintf(path, sizeof(path), "%s/config", folder);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	good = moat_pci_decode(fn, read_file, &fd);
	close(fd);
	if (!good)
		return false;
	read_links(folder, fn);
	return true;
}

static int by_segment_and_sid(const void *a, const void *b)
{
	const struct moat_pci_fn *x = a, *y = b;
	uint32_t kx = (uint32_t)x->segment << 16 | x->sid, ky = (uint32_t)y->segment << 16 | y->sid;

	return kx < ky ? -1 : kx > ky;
}

static int add(struct moat_pci *pci, const struct moat_pci_fn *fn)
{
	struct moat_pci_fn *more = pci->fn;

	if ((pci->n & (pci->n - 1)) == 0) /* full at every power of two */
		more = realloc(pci->fn, RTE_MAX(1u, 2 * pci->n) * sizeof(*more));
	if (more == NULL)
		return moat_error(-ENOMEM, "no memory for %u PCI functions", pci->n);
	pci->fn = more;
	pci->fn[pci->n++] = *fn;
	return 0;
}

int moat_pci_scan(const char *root, struct moat_pci **out)
{
	struct moat_pci *pci = calloc(1, sizeof(*pci));
	char devices[PATH_MAX / 4];
	struct moat_pci_fn fn;
	struct dirent *e;
	int ret = 0;
	DIR *d;

	if (pci == NULL)
		return moat_error(-ENOMEM, "no memory for the PCI functions");
	snprintf(devices, sizeof(devices), "%s/sys/bus/pci/devices", root != NULL ? root : "");
	d = opendir(devices);
	if (d == NULL) {
		free(pci);
		return moat_error(-errno, "%s: %s; is sysfs mounted?", devices, strerror(errno));
	}
	while (ret == 0 && (e = readdir(d)) != NULL)
		if (read_fn(devices, e->d_name, &fn))
			ret = add(pci, &fn);
	closedir(d);
	if (ret != 0) {
		moat_pci_free(pci);
		return ret;
	}
	if (pci->n != 0)
		qsort(pci->fn, pci->n, sizeof(*pci->fn), by_segment_and_sid);
	*out = pci;
	return 0;
}

void moat_pci_free(struct moat_pci *pci)
{
	if (pci != NULL)
		free(pci->fn);
	free(pci);
}

const struct moat_pci_fn *moat_pci_find(const struct moat_pci *pci, uint16_t segment,
	moat_sid_t sid)
{
	const struct moat_pci_fn key = { .segment = segment, .sid = sid };

	if (pci->n == 0)
		return NULL;
	return bsearch(&key, pci->fn, pci->n, sizeof(*pci->fn), by_segment_and_sid);
}
