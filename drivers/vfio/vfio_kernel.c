/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_vfio.h>

#include "vfio_impl.h"

/* DPDK's containers, and ioctl(2). */

static int real_container_create(void *ctx)
{
	int fd = rte_vfio_container_create();

	return fd >= 0 ? fd : -ENODEV;
}

static void real_container_destroy(void *ctx, int container)
{
	rte_vfio_container_destroy(container);
}

/* DPDK closes its descriptor when it releases the group's last device, and the kernel may then give
 * the number to another file. moat has a second descriptor of the same open group, which keeps the
 * group in its container. `theirs` has DPDK's number for each group. */
#define GROUPS 4096
static int theirs[GROUPS];

static int real_group_bind(void *ctx, int container, int group)
{
	int fd, ours;

	if (group < 0 || group >= GROUPS)
		return -ERANGE;
	fd = rte_vfio_container_group_bind(container, group);
	if (fd < 0)
		return errno == EACCES ? -EACCES : errno == EBUSY ? -EBUSY : -EIO;
	ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (ours < 0) {
		ours = -errno;
		rte_vfio_container_group_unbind(container, group);
		return ours;
	}
	theirs[group] = fd;
	return ours;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
		x.st_ino == y.st_ino && x.st_rdev == y.st_rdev;
}

static void real_group_unbind(void *ctx, int container, int group, int fd)
{
	bool still = same_file(fd, theirs[group]);

	close(fd);
	if (still)
		rte_vfio_container_group_unbind(container, group);
}

static int real_ioctl(void *ctx, int fd, unsigned long request, void *arg)
{
	int rc = ioctl(fd, request, arg);

	return rc < 0 ? -errno : rc;
}

const struct moat_vfio_kernel vfio_kernel = {
	.container_create = real_container_create,
	.container_destroy = real_container_destroy,
	.group_bind = real_group_bind,
	.group_unbind = real_group_unbind,
	.ioctl = real_ioctl,
};
