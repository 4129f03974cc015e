/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Can a function be given to a tenant? Its IOMMU group decides: the same tables translate all its
 * members, so no other member may have a driver that starts DMA (the group must be viable). */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "moat_vtd_pci.h"
#include "vfio_impl.h"

const char *vfio_address(const struct moat_vfio_conf *conf, moat_sid_t sid, char *text)
{
	snprintf(text, VFIO_ADDRESS, "%04x:" MOAT_SID_FMT, conf->segment, MOAT_SID_ARGS(sid));
	return text;
}

/* Get the last part of a symbolic link's target; "" if there is no link. */
static const char *link_name(const char *path, char *buf, size_t size)
{
	ssize_t len = readlink(path, buf, size - 1);
	char *slash;

	if (len < 0)
		return "";
	buf[len] = '\0';
	slash = strrchr(buf, '/');
	return slash != NULL ? slash + 1 : buf;
}

static const char *root_of(const struct moat_vfio_conf *conf)
{
	return conf->root != NULL ? conf->root : "";
}

/* Get the name of a function's driver, such as "igb"; "" if there is none. */
static const char *driver_of(const struct moat_vfio_conf *conf, const char *address, char *buf,
	size_t size)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/driver", root_of(conf), address);
	return link_name(path, buf, size);
}

/* Get a file's first line; "" if there is none. */
static const char *first_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "r");

	buf[0] = '\0';
	if (f == NULL)
		return buf;
	if (fgets(buf, (int)size, f) == NULL)
		buf[0] = '\0';
	fclose(f);
	return buf;
}

static bool is_bridge(const struct moat_vfio_conf *conf, const char *address)
{
	char path[PATH_MAX], buf[16];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/class", root_of(conf), address);
	return moat_pci_class_is_bus(strtoul(first_line(path, buf, sizeof(buf)), NULL, 0));
}

static int find_group(const struct moat_vfio_conf *conf, struct vfio_function *f)
{
	char path[PATH_MAX], buf[PATH_MAX], address[VFIO_ADDRESS];
	const char *name;

	vfio_address(conf, f->sid, address);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s", root_of(conf), address);
	if (access(path, F_OK) != 0)
		return moat_error(-ENODEV,
			"there is no PCI function %s; 'ls /sys/bus/pci/devices' lists all; to "
			"create virtual functions, write their number into sriov_numvfs of the "
			"physical function",
			address);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/iommu_group", root_of(conf),
		address);
	name = link_name(path, buf, sizeof(buf));
	if (*name == '\0')
		return moat_error(-ENODEV,
			"%s is in no IOMMU group: the kernel does not use the VT-d unit. Switch VT-d on in "
			"the firmware, boot with intel_iommu=on, and run moat-doctor",
			address);
	f->group = atoi(name);
	return 0;
}

static int check_driver(const struct moat_vfio_conf *conf, const struct vfio_function *f)
{
	char buf[PATH_MAX], address[VFIO_ADDRESS];
	const char *driver;

	vfio_address(conf, f->sid, address);
	driver = driver_of(conf, address, buf, sizeof(buf));
	if (moat_pci_owner(driver) == MOAT_PCI_OWNER_VFIO)
		return 0;
	return moat_error(-EBUSY,
		"%s is bound to %s, but a tenant's function must be bound to vfio-pci: modprobe "
		"vfio-pci; dpdk-devbind.py --bind=vfio-pci %s",
		address, *driver != '\0' ? driver : "no driver", address);
}

/* ------------------------------------------------------------------------------- companions */

#define COMPANIONS_SHOWN 5

struct companions {
	unsigned int n;
	char list[COMPANIONS_SHOWN * 36];                /* "0000:01:00.1 (igb), ..." */
	char addresses[COMPANIONS_SHOWN * VFIO_ADDRESS]; /* for the command */
};

static bool is_named(const struct moat_vfio_conf *conf, const char *address)
{
	char own[VFIO_ADDRESS];

	for (unsigned int i = 0; i < conf->nr_functions; i++)
		if (strcmp(vfio_address(conf, conf->functions[i], own), address) == 0)
			return true;
	return false;
}

static void look_at(const struct moat_vfio_conf *conf, const char *address, struct companions *c)
{
	char buf[PATH_MAX];
	const char *driver = driver_of(conf, address, buf, sizeof(buf));
	size_t list = strlen(c->list), addresses = strlen(c->addresses);

	/* The unit's functions are checked one by one elsewhere. */
	if (is_named(conf, address) || moat_pci_lets_group_go(driver, is_bridge(conf, address)))
		return;
	if (c->n++ >= COMPANIONS_SHOWN)
		return;
	snprintf(c->list + list, sizeof(c->list) - list, "%s%.12s (%.16s)", list != 0 ? ", " : "",
		address, driver);
	snprintf(c->addresses + addresses, sizeof(c->addresses) - addresses, " %.12s", address);
}

static int check_companions(const struct moat_vfio_conf *conf, const struct vfio_function *f)
{
	struct companions c = { .n = 0 };
	char path[PATH_MAX], address[VFIO_ADDRESS];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/%d/devices", root_of(conf),
		f->group);
	d = opendir(path);
	if (d == NULL)
		return moat_error(-ENODEV, "%s: %s", path, strerror(errno));
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			look_at(conf, e->d_name, &c);
	closedir(d);
	if (c.n == 0)
		return 0;
	return moat_error(-EBUSY,
		"%s shares IOMMU group %d, and with it all memory that it reaches, with %u other "
		"device%s: %s%s. Unbind these from their drivers (dpdk-devbind.py --unbind%s), "
		"give them to the same tenant, or use a slot or virtual functions with groups of "
		"their own",
		vfio_address(conf, f->sid, address), f->group, c.n, c.n > 1 ? "s" : "", c.list,
		c.n > COMPANIONS_SHOWN ? ", ..." : "", c.addresses);
}

/* ------------------------------------------------------------------------------ /dev/vfio */

static int check_node(const struct moat_vfio_conf *conf, const struct vfio_function *f)
{
	char path[PATH_MAX], buf[32], address[VFIO_ADDRESS];

	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/%d/name", root_of(conf), f->group);
	if (strncmp(first_line(path, buf, sizeof(buf)), "vfio-noiommu", strlen("vfio-noiommu")) ==
		0)
		return moat_error(-EOPNOTSUPP,
			"%s is in no-IOMMU mode: nothing translates its DMA, so it can reach all "
			"memory. Boot with intel_iommu=on instead",
			vfio_address(conf, f->sid, address));
	snprintf(path, sizeof(path), "%s/dev/vfio/%d", root_of(conf), f->group);
	if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) == 0)
		return 0;
	if (errno == EACCES)
		return moat_error(-EACCES,
			"%s: this process may not open it; as root: chown %u /dev/vfio/%d (a udev "
			"rule makes that permanent)",
			path, geteuid(), f->group);
	return moat_error(-ENODEV, "%s: %s; 'modprobe vfio-pci' creates it", path, strerror(errno));
}

int vfio_group_check(const struct moat_vfio_conf *conf, struct vfio_function *f)
{
	int rc = find_group(conf, f);

	if (rc == 0)
		rc = check_driver(conf, f);
	if (rc == 0)
		rc = check_companions(conf, f);
	return rc == 0 ? check_node(conf, f) : rc;
}
