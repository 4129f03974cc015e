/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FAKE_KERNEL_H
#define FAKE_KERNEL_H

/**
 * @file
 * Emulates VFIO, as linux/vfio.h and the kernel's type 1 driver define it, and DPDK's containers,
 * by a few tables: groups, containers, maps. It refuses what the kernel refuses, and can inject
 * failures. A folder stands for /, with the functions, groups and drivers that a test makes in
 * sysfs.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/vfio.h>

#include "moat_vfio.h"

#define FAKE_CONTAINERS 64
#define FAKE_MAPS       4096
#define FAKE_GROUP_FD   1000 /* + group number; containers are 2000 + number */
#define FAKE_CONTAINER  2000
#define FAKE_RANGES     4

struct fake_map {
	uint64_t iova, vaddr, size;
	uint32_t flags;
};

struct fake_container {
	bool used, typed;
	unsigned int groups;
	unsigned int n;
	struct fake_map map[FAKE_MAPS]; /* in any order */
};

struct fake_group {
	bool bound, viable;
	int container;    /* -1: none */
	bool device_open; /* a PMD has opened the device */
};

static struct fake_kernel {
	char root[64];
	struct fake_container container[FAKE_CONTAINERS];
	struct fake_group group[32];
	uint64_t range[FAKE_RANGES][2];
	unsigned int nr_ranges;
	uint64_t limit; /* most maps in a container */
	uint64_t page_sizes;
	unsigned int maps, unmaps; /* numbers of ioctls */
	/* Failures to inject: */
	unsigned long fail_request; /* this ioctl ... */
	int fail_with;              /* ... fails with this errno ... */
	unsigned int fail_after;    /* ... after so many that succeed */
	bool fail_container;
	uint64_t short_by; /* bytes that an unmap leaves mapped and does not count */
} fake;

/* --------------------------------------------------------------------------------- sysfs */

static inline void fake_run(const char *fmt, ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	assert_int_equal(system(command), 0);
}

/** Bind the function to this driver; "": to none. */
static inline void fake_bind(const char *address, const char *driver)
{
	fake_run("cd %s/sys/bus/pci/devices/%s && rm -f driver", fake.root, address);
	if (*driver != '\0')
		fake_run("cd %s/sys/bus/pci && mkdir -p drivers/%s && "
			 "ln -s ../../drivers/%s devices/%s/driver",
			fake.root, driver, driver, address);
}

static inline void fake_function(const char *address, int group, const char *driver,
	const char *class)
{
	fake_run(
		"mkdir -p %s/sys && cd %s/sys && mkdir -p bus/pci/devices/%s kernel/iommu_groups/%d/devices && "
		"echo %s >bus/pci/devices/%s/class && "
		"ln -s ../../../../kernel/iommu_groups/%d bus/pci/devices/%s/iommu_group && "
		"ln -s ../../../../bus/pci/devices/%s kernel/iommu_groups/%d/devices/%s && "
		"mkdir -p ../dev/vfio && touch ../dev/vfio/%d",
		fake.root, fake.root, address, group, class, address, group, address, address,
		group, address, group);
	fake_bind(address, driver);
}

#define FAKE_NIC    "0x020000"
#define FAKE_BRIDGE "0x060400"

/* ------------------------------------------------------------------------------ the kernel */

static inline struct fake_container *fake_container(int fd)
{
	assert_in_range(fd, FAKE_CONTAINER, FAKE_CONTAINER + FAKE_CONTAINERS - 1);
	assert_true(fake.container[fd - FAKE_CONTAINER].used);
	return &fake.container[fd - FAKE_CONTAINER];
}

static inline int fake_container_create(void *ctx)
{
	for (int i = 1; i < FAKE_CONTAINERS && !fake.fail_container; i++) { /* 0 is DPDK's */
		if (fake.container[i].used)
			continue;
		fake.container[i] = (struct fake_container){ .used = true };
		return FAKE_CONTAINER + i;
	}
	return -ENODEV;
}

static inline void fake_container_destroy(void *ctx, int fd)
{
	struct fake_container *c = fake_container(fd);

	assert_int_equal(c->groups, 0);
	assert_int_equal(c->n, 0);
	c->used = false;
}

static inline int fake_group_bind(void *ctx, int container, int group)
{
	fake_container(container);
	if (fake.group[group].bound)
		return -EBUSY;
	fake.group[group].bound = true;
	return FAKE_GROUP_FD + group;
}

static inline void fake_group_unbind(void *ctx, int container, int group, int fd)
{
	assert_int_equal(fd, FAKE_GROUP_FD + group);
	assert_true(fake.group[group].bound);
	assert_int_equal(fake.group[group].container, -1);
	fake.group[group].bound = false;
}

static inline int fake_set_container(int fd, const int *container)
{
	struct fake_group *g = &fake.group[fd - FAKE_GROUP_FD];

	if (!g->viable)
		return -EPERM;
	if (g->container >= 0)
		return -EINVAL;
	g->container = *container;
	fake_container(*container)->groups++;
	return 0;
}

static inline int fake_unset_container(int fd)
{
	struct fake_group *g = &fake.group[fd - FAKE_GROUP_FD];
	struct fake_container *c;

	if (g->container < 0)
		return -EINVAL;
	if (g->device_open)
		return -EBUSY;
	c = fake_container(g->container);
	g->container = -1;
	if (--c->groups == 0) /* with the last group the IOMMU and the maps go */
		c->typed = false, c->n = 0;
	return 0;
}

static inline int fake_info(struct fake_container *c, struct vfio_iommu_type1_info *info)
{
	struct {
		struct vfio_iommu_type1_info info;
		struct vfio_iommu_type1_info_dma_avail avail;
		struct { /* vfio_iommu_type1_info_cap_iova_range, with room */
			struct vfio_info_cap_header header;
			uint32_t nr_iovas;
			uint32_t reserved;
			struct vfio_iova_range iova_ranges[FAKE_RANGES];
		} ranges;
	} all = { .info = { .argsz = sizeof(all),
			  .flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
			  .iova_pgsizes = fake.page_sizes } };
	uint32_t room = info->argsz;

	all.info.cap_offset = offsetof(typeof(all), avail);
	all.avail.header.id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL;
	all.avail.header.next = offsetof(typeof(all), ranges);
	all.avail.avail = fake.limit - c->n;
	all.ranges.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
	all.ranges.nr_iovas = fake.nr_ranges;
	for (unsigned int i = 0; i < fake.nr_ranges; i++)
		all.ranges.iova_ranges[i] =
			(struct vfio_iova_range){ fake.range[i][0], fake.range[i][1] };
	if (!c->typed)
		return -ENODEV;
	if (room < sizeof(all))
		all.info.cap_offset = 0;
	memcpy(info, &all, room < sizeof(all) ? sizeof(all.info) : sizeof(all));
	return 0;
}

static inline bool fake_in_range(uint64_t iova, uint64_t size)
{
	for (unsigned int i = 0; i < fake.nr_ranges; i++)
		if (iova >= fake.range[i][0] && iova + size - 1 <= fake.range[i][1])
			return true;
	return false;
}

static inline int fake_dma_map(struct fake_container *c, const struct vfio_iommu_type1_dma_map *m)
{
	fake.maps++;
	if (!c->typed)
		return -ENODEV;
	if (m->size == 0 || (m->size | m->iova | m->vaddr) & 4095 || m->flags == 0)
		return -EINVAL;
	for (unsigned int i = 0; i < c->n; i++)
		if (m->iova < c->map[i].iova + c->map[i].size && c->map[i].iova < m->iova + m->size)
			return -EEXIST;
	if (c->n == fake.limit || c->n == FAKE_MAPS)
		return -ENOSPC;
	if (!fake_in_range(m->iova, m->size))
		return -EINVAL;
	c->map[c->n++] = (struct fake_map){ m->iova, m->vaddr, m->size, m->flags };
	return 0;
}

static inline int fake_dma_unmap(struct fake_container *c, struct vfio_iommu_type1_dma_unmap *u)
{
	uint64_t end = u->iova + u->size, gone = 0;

	fake.unmaps++;
	if (!c->typed)
		return -ENODEV;
	for (unsigned int i = 0; i < c->n; i++) /* version 2: never unmap a part of a map */
		if (c->map[i].iova < end && u->iova < c->map[i].iova + c->map[i].size &&
			(c->map[i].iova < u->iova || c->map[i].iova + c->map[i].size > end))
			return -EINVAL;
	for (unsigned int i = 0; i < c->n;) {
		if (c->map[i].iova < u->iova || c->map[i].iova >= end ||
			(fake.short_by != 0 && c->map[i].iova + fake.short_by >= end)) {
			i++;
			continue;
		}
		gone += c->map[i].size;
		c->map[i] = c->map[--c->n];
	}
	u->size = gone;
	return 0;
}

static inline int fake_set_iommu(struct fake_container *c, uintptr_t type)
{
	if (c->groups == 0 || c->typed)
		return -EINVAL;
	assert_int_equal(type, VFIO_TYPE1v2_IOMMU);
	c->typed = true;
	return 0;
}

static inline int fake_status(int fd, struct vfio_group_status *s)
{
	const struct fake_group *g = &fake.group[fd - FAKE_GROUP_FD];

	s->flags = (g->viable ? VFIO_GROUP_FLAGS_VIABLE : 0) |
		(g->container >= 0 ? VFIO_GROUP_FLAGS_CONTAINER_SET : 0);
	return 0;
}

static inline int fake_ioctl(void *ctx, int fd, unsigned long request, void *arg)
{
	if (request == fake.fail_request && fake.fail_after-- == 0) {
		fake.fail_request = 0;
		fake.fail_after = 0;
		return fake.fail_with;
	}
	switch (request) {
	case VFIO_CHECK_EXTENSION:
		return (uintptr_t)arg == VFIO_TYPE1v2_IOMMU;
	case VFIO_GROUP_GET_STATUS:
		return fake_status(fd, arg);
	case VFIO_GROUP_SET_CONTAINER:
		return fake_set_container(fd, arg);
	case VFIO_GROUP_UNSET_CONTAINER:
		return fake_unset_container(fd);
	case VFIO_SET_IOMMU:
		return fake_set_iommu(fake_container(fd), (uintptr_t)arg);
	case VFIO_IOMMU_GET_INFO:
		return fake_info(fake_container(fd), arg);
	case VFIO_IOMMU_MAP_DMA:
		return fake_dma_map(fake_container(fd), arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return fake_dma_unmap(fake_container(fd), arg);
	default:
		return -ENOTTY;
	}
}

static const struct moat_vfio_kernel fake_calls = {
	.container_create = fake_container_create,
	.container_destroy = fake_container_destroy,
	.group_bind = fake_group_bind,
	.group_unbind = fake_group_unbind,
	.ioctl = fake_ioctl,
};

/* ------------------------------------------------------------------------------ the machine */

#define FAKE_RED  MOAT_SID(1, 0x10, 0)
#define FAKE_BLUE MOAT_SID(1, 0x10, 2)

/** Reset: 39 bits of IOVA without the MSI range, two virtual functions in groups 1 and 2. */
static inline void fake_up(void)
{
	memset(&fake, 0, sizeof(fake));
	snprintf(fake.root, sizeof(fake.root), "/tmp/moat-vfio.XXXXXX");
	assert_non_null(mkdtemp(fake.root));
	assert_int_equal(chmod(fake.root, 0755), 0); /* for a test that does not run as root */
	fake.range[0][1] = UINT64_C(0xfedfffff);
	fake.range[1][0] = UINT64_C(0xfef00000);
	fake.range[1][1] = UINT64_C(0x7fffffffff);
	fake.nr_ranges = 2;
	fake.limit = 4000;
	fake.page_sizes = UINT64_C(0x40201000);
	for (unsigned int i = 0; i < 32; i++)
		fake.group[i] = (struct fake_group){ .viable = true, .container = -1 };
	fake_function("0000:01:10.0", 1, "vfio-pci", FAKE_NIC);
	fake_function("0000:01:10.2", 2, "vfio-pci", FAKE_NIC);
}

/** Assert that nothing is left behind. */
static inline void fake_down(void)
{
	for (unsigned int i = 0; i < FAKE_CONTAINERS; i++)
		assert_false(fake.container[i].used);
	for (unsigned int i = 0; i < 32; i++)
		assert_false(fake.group[i].bound);
	fake_run("rm -rf %s", fake.root);
}

static inline int fake_unit(struct moat_unit **unit)
{
	static const moat_sid_t functions[] = { FAKE_RED, FAKE_BLUE };
	const struct moat_vfio_conf conf = {
		.name = "vfio0",
		.root = fake.root,
		.functions = functions,
		.nr_functions = 2,
		.kernel = &fake_calls,
	};

	return moat_vfio_create(&conf, unit);
}

#endif /* FAKE_KERNEL_H */
