/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Map and unmap: make the ioctls, and keep the record. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include <linux/vfio.h>

#include "vfio_impl.h"

static uint64_t memlock_limit(void)
{
	struct rlimit limit = { .rlim_cur = 0 };

	getrlimit(RLIMIT_MEMLOCK, &limit);
	return limit.rlim_cur;
}

static int too_many(const struct vfio_container *c)
{
	return moat_error(-ENOSPC,
		"domain '%s' has %" PRIu64 " maps and the kernel takes no more in a container; "
		"map longer runs or fewer buffers, or raise vfio_iommu_type1's dma_entry_limit",
		c->name, c->record.maps);
}

static int map_error(const struct vfio_container *c, uint64_t iova, uint64_t len, int rc)
{
	switch (rc) {
	case -ENOSPC:
		return too_many(c);
	case -ENOMEM:
		return moat_error(rc,
			"domain '%s': mapping 0x%" PRIx64
			" bytes would lock more memory than the process "
			"may (%" PRIu64 " KiB): raise the limit with 'ulimit -l', or memlock in "
			"/etc/security/limits.conf",
			c->name, len, memlock_limit() / 1024);
	case -EINVAL:
		return moat_error(rc,
			"domain '%s': IOVA 0x%" PRIx64 " and 0x%" PRIx64
			" bytes from there are not all usable for its devices (reserved, or beyond the "
			"width)",
			c->name, iova, len);
	default:
		return moat_error(rc,
			"domain '%s': VFIO_IOMMU_MAP_DMA of 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64
			": %s",
			c->name, len, iova, strerror(-rc));
	}
}

static int kernel_map(struct vfio_container *c, uint64_t iova, void *va, uint64_t len,
	enum moat_prot prot)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.vaddr = (uintptr_t)va,
		.iova = iova,
		.size = len,
	};
	int rc;

	if (prot & MOAT_R)
		map.flags |= VFIO_DMA_MAP_FLAG_READ;
	if (prot & MOAT_W)
		map.flags |= VFIO_DMA_MAP_FLAG_WRITE;
	rc = c->v->kernel.ioctl(c->v->kernel.ctx, c->fd, VFIO_IOMMU_MAP_DMA, &map);
	c->map_calls++;
	return rc != 0 ? map_error(c, iova, len, rc) : 0;
}

static int replay_one(void *ctx, uint64_t iova, void *va, uint64_t len, enum moat_prot prot)
{
	return kernel_map(ctx, iova, va, len, prot);
}

/* The container has its first group, and hence tables: map all that is in the record. */
int vfio_replay(struct vfio_container *c)
{
	if (c->record.maps > c->dma_limit)
		return too_many(c);
	return vfio_record_each(&c->record, replay_one, c);
}

/* Enter a map in the record. */
static int record_map(struct vfio_container *c, uint64_t iova, const void *va, uint64_t len,
	enum moat_prot prot)
{
	int rc = vfio_record_add(&c->record, iova, va, len, prot);

	if (rc == 0)
		return 0;
	return moat_error(rc, "domain '%s': 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64 ": %s", c->name,
		len, iova,
		rc == -EEXIST ? "a part is mapped already; unmap it first"
			      : "no memory to record the map");
}

int vfio_map(struct moat_unit *unit, void *priv, uint64_t iova, void *va, uint64_t len,
	enum moat_prot prot)
{
	struct vfio_container *c = priv;
	int rc;

	pthread_mutex_lock(&c->lock);
	rc = c->record.maps < c->dma_limit ? record_map(c, iova, va, len, prot) : too_many(c);
	if (rc == 0 && c->nr_groups != 0) {
		rc = kernel_map(c, iova, va, len, prot);
		if (rc != 0)
			vfio_record_remove(&c->record, iova, len);
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}

/* Unmap exactly these bytes. Less is an error, as the device still reaches what stays mapped. */
static int kernel_unmap(struct vfio_container *c, uint64_t iova, uint64_t len)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = len,
	};
	int rc = c->v->kernel.ioctl(c->v->kernel.ctx, c->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	c->unmap_calls++;
	if (rc != 0)
		return moat_error(rc,
			"domain '%s': VFIO_IOMMU_UNMAP_DMA of 0x%" PRIx64
			" bytes at IOVA 0x%" PRIx64
			": %s; the device may still reach them, so they are not used again",
			c->name, len, iova, strerror(-rc));
	if (unmap.size != len)
		return moat_error(-EIO,
			"domain '%s': of 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64
			" the kernel unmapped 0x%" PRIx64
			"; the device may still reach the rest, so none of it is used again",
			c->name, len, iova, (uint64_t)unmap.size);
	return 0;
}

int vfio_unmap(struct moat_unit *unit, void *priv, uint64_t iova, uint64_t len)
{
	struct vfio_container *c = priv;
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	if (!vfio_record_whole(&c->record, iova, len))
		rc = moat_error(-EINVAL,
			"domain '%s': 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64
			" are not whole maps; VFIO unmaps only what one call mapped, as a whole",
			c->name, len, iova);
	else if (c->nr_groups != 0)
		rc = kernel_unmap(c, iova, len);
	if (rc == 0)
		vfio_record_remove(&c->record, iova, len);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

int vfio_whole(struct moat_unit *unit, void *priv, uint64_t iova, uint64_t len)
{
	struct vfio_container *c = priv;
	bool whole;

	pthread_mutex_lock(&c->lock);
	whole = vfio_record_whole(&c->record, iova, len);
	pthread_mutex_unlock(&c->lock);
	if (whole)
		return 0;
	return moat_error(-EINVAL,
		"domain '%s': 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64
		" are not whole maps; VFIO unmaps only what one call mapped, as a whole, so map each "
		"piece that must be unmapped alone with a call of its own",
		c->name, len, iova);
}
