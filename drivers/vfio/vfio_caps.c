/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include "vfio_impl.h"

/* Get the capability at offset `at` of `info`. Capabilities are linked by such offsets. @return
 * NULL: there are no more */
static const struct vfio_info_cap_header *next_cap(const void *info, uint32_t size, uint32_t at)
{
	if (at == 0 || at + sizeof(struct vfio_info_cap_header) > size)
		return NULL;
	return (const void *)((const char *)info + at);
}

static void read_ranges(const struct vfio_info_cap_header *cap, const void *end,
	struct vfio_info *info)
{
	const struct vfio_iommu_type1_info_cap_iova_range *ranges = (const void *)cap;

	for (uint32_t i = 0; i < ranges->nr_iovas && info->nr_ranges < VFIO_RANGES; i++) {
		if ((const void *)&ranges->iova_ranges[i + 1] > end)
			return;
		info->range[info->nr_ranges].first = ranges->iova_ranges[i].start;
		info->range[info->nr_ranges++].last = ranges->iova_ranges[i].end;
	}
}

static void read_caps(const struct vfio_iommu_type1_info *raw, struct vfio_info *info)
{
	const struct vfio_info_cap_header *cap = next_cap(raw, raw->argsz, raw->cap_offset);
	const void *end = (const char *)raw + raw->argsz;

	for (unsigned int i = 0; cap != NULL && i < 64; i++) {
		if (cap->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			read_ranges(cap, end, info);
		else if (cap->id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL &&
			(const char *)cap + sizeof(struct vfio_iommu_type1_info_dma_avail) <=
				(const char *)end)
			info->dma_avail =
				((const struct vfio_iommu_type1_info_dma_avail *)cap)->avail;
		cap = next_cap(raw, raw->argsz, cap->next);
	}
}

int vfio_info_get(const struct moat_vfio_kernel *kernel, int container, struct vfio_info *info)
{
	struct vfio_iommu_type1_info head = { .argsz = sizeof(head) }, *raw;
	int rc = kernel->ioctl(kernel->ctx, container, VFIO_IOMMU_GET_INFO, &head);

	*info = (struct vfio_info){ .dma_avail = UINT64_MAX };
	if (rc != 0)
		return moat_error(rc, "VFIO_IOMMU_GET_INFO: %s", strerror(-rc));
	raw = calloc(1, RTE_MAX(head.argsz, sizeof(*raw)));
	if (raw == NULL)
		return moat_error(-ENOMEM, "out of memory");
	raw->argsz = RTE_MAX(head.argsz, sizeof(*raw)); /* what the whole answer needs */
	rc = kernel->ioctl(kernel->ctx, container, VFIO_IOMMU_GET_INFO, raw);
	if (rc != 0)
		rc = moat_error(rc, "VFIO_IOMMU_GET_INFO: %s", strerror(-rc));
	info->page_sizes =
		raw->flags & VFIO_IOMMU_INFO_PGSIZES ? raw->iova_pgsizes : MOAT_PAGE_SIZE;
	if (rc == 0 && (raw->flags & VFIO_IOMMU_INFO_CAPS))
		read_caps(raw, info);
	free(raw);
	return rc;
}

void vfio_info_intersect(struct vfio_info *all, const struct vfio_info *one)
{
	struct vfio_info both = { .page_sizes = all->page_sizes & one->page_sizes,
		.dma_avail = RTE_MIN(all->dma_avail, one->dma_avail) };

	for (unsigned int i = 0; i < all->nr_ranges; i++) {
		for (unsigned int k = 0; k < one->nr_ranges && both.nr_ranges < VFIO_RANGES; k++) {
			uint64_t first = RTE_MAX(all->range[i].first, one->range[k].first);
			uint64_t last = RTE_MIN(all->range[i].last, one->range[k].last);

			if (first > last)
				continue;
			both.range[both.nr_ranges].first = first;
			both.range[both.nr_ranges++].last = last;
		}
	}
	*all = both;
}

#define WIDEST 57 /* bits of IOVA for which lib/pt has tables */

uint8_t vfio_info_width(const struct vfio_info *info)
{
	uint64_t last;

	if (info->nr_ranges == 0)
		return 39; /* a kernel before 5.4 reports no ranges: every unit has this */
	last = info->range[info->nr_ranges - 1].last;
	return RTE_MIN(last == 0 ? 0 : 64 - __builtin_clzll(last), WIDEST);
}

unsigned int vfio_info_reserved(const struct vfio_info *info, struct moat_range reserved[])
{
	uint64_t limit = UINT64_C(1) << vfio_info_width(info);
	uint64_t at = 0; /* IOVAs below are usable or in `reserved` */
	unsigned int n = 0;

	if (info->nr_ranges == 0) {
		reserved[0] = (struct moat_range){ MOAT_MSI_BASE, MOAT_MSI_SIZE };
		return 1;
	}
	for (unsigned int i = 0; i < info->nr_ranges && at < limit; i++) {
		uint64_t first = RTE_ALIGN_CEIL(info->range[i].first, MOAT_PAGE_SIZE);

		if (first > at)
			reserved[n++] = (struct moat_range){ at, RTE_MIN(first, limit) - at };
		at = info->range[i].last == UINT64_MAX
			? limit
			: (info->range[i].last + 1) & ~MOAT_PAGE_MASK;
	}
	if (at < limit)
		reserved[n++] = (struct moat_range){ at, limit - at };
	return n;
}
