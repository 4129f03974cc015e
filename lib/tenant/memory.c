/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A tenant's memory: where it comes from, and how a part of it is mapped. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "tenant_impl.h"

/* Hugepages of 2 MiB: aligned as they come, physically contiguous inside. */
static int get_hugepages(struct moat_tenant *t)
{
	void *p = mmap(NULL, t->len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE | (21 << MAP_HUGE_SHIFT),
		-1, 0);

	if (p == MAP_FAILED)
		return -errno;
	t->map = p;
	t->map_len = t->len;
	t->va = p;
	t->page_size = MOAT_2M_SIZE;
	return 0;
}

/* Plain pages, aligned as if they were hugepages so that IOVAs and leaves come out the same. */
static int get_plain_pages(struct moat_tenant *t)
{
	size_t len = t->len + MOAT_2M_SIZE;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	t->map = p;
	t->map_len = len;
	t->va = RTE_PTR_ALIGN(p, MOAT_2M_SIZE);
	t->page_size = MOAT_PAGE_SIZE;
	madvise(t->va, t->len, MADV_HUGEPAGE); /* a wish; without it everything works, slower */
	return 0;
}

/* The physical address of each 2 MiB. A unit that owns its tables asks nobody: any number does. */
static int find_hpas(struct moat_tenant *t)
{
	struct moat_unit *unit = t->conf.unit;
	uint64_t n = t->len >> MOAT_2M_SHIFT;

	t->hpa = calloc(n, sizeof(*t->hpa));
	if (t->hpa == NULL)
		return -ENOMEM;
	t->hpa_linear = true;
	for (uint64_t i = 0; i < n; i++) {
		uint8_t *va = t->va + (i << MOAT_2M_SHIFT);
		int rc = 0;

		if (unit->ops->hpa == NULL)
			t->hpa[i] = (uintptr_t)va;
		else
			rc = unit->ops->hpa(unit, va, MOAT_2M_SIZE, &t->hpa[i]);
		if (rc != 0)
			return rc;
		t->hpa_linear &= t->hpa[i] == t->hpa[0] + (i << MOAT_2M_SHIFT);
	}
	return 0;
}

static void put_pages(struct moat_tenant *t)
{
	free(t->hpa);
	t->hpa = NULL;
	if (t->map != NULL)
		munmap(t->map, t->map_len);
	t->map = NULL;
}

static int get_pages(struct moat_tenant *t)
{
	int huge = get_hugepages(t);
	int rc = huge == 0 ? find_hpas(t) : -EFAULT;

	if (rc == 0)
		return 0;
	put_pages(t);
	rc = get_plain_pages(t);
	if (rc == 0)
		rc = find_hpas(t);
	if (rc == 0)
		return 0;
	put_pages(t);
	return moat_error(rc,
		"tenant '%s': unit %s needs %" PRIu64
		" hugepages of 2 MiB and there are not so many "
		"free (%s); raise /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages or lower "
		"'memory'",
		t->name, t->conf.unit->name, t->len >> MOAT_2M_SHIFT, strerror(-huge));
}

/* DPDK's heap over the first part of the memory, at the tenant's IOVAs. */
static int make_heap(struct moat_tenant *t)
{
	unsigned int n = t->heap_len / t->page_size;
	rte_iova_t *iovas = calloc(n, sizeof(*iovas));
	int rc = 0;

	if (iovas == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++)
		iovas[i] = t->iova + i * t->page_size;
	if (rte_malloc_heap_create(t->name) != 0)
		rc = -rte_errno;
	else
		t->heap = true;
	if (rc == 0 &&
		rte_malloc_heap_memory_add(t->name, t->va, t->heap_len, iovas, n, t->page_size) !=
			0)
		rc = -rte_errno;
	free(iovas);
	if (rc != 0)
		return moat_error(rc, "tenant '%s': DPDK refuses a heap of %" PRIu64 " bytes: %s",
			t->name, t->heap_len, rte_strerror(-rc));
	t->socket = rte_malloc_heap_get_socket(t->name);
	return 0;
}

int tenant_memory_create(struct moat_tenant *t)
{
	int rc;

	t->len = RTE_ALIGN_CEIL(t->conf.memory, MOAT_2M_SIZE);
	t->iova = t->conf.iova_base != 0 ? t->conf.iova_base : MOAT_2M_SIZE;
	t->heap_len = RTE_ALIGN_CEIL(RTE_MAX(t->len / 8, MOAT_2M_SIZE), MOAT_2M_SIZE);
	if (t->len < t->heap_len + MOAT_2M_SIZE)
		return moat_error(-EINVAL,
			"tenant '%s': memory of %" PRIu64 " bytes is too little; "
			"4 MiB is the least (2 for rings, 2 for buffers)",
			t->name, t->conf.memory);
	if (t->iova % MOAT_2M_SIZE != 0)
		return moat_error(-EINVAL,
			"tenant '%s': iova_base 0x%" PRIx64 " is not a multiple of 2 MiB", t->name,
			t->iova);
	rc = moat_iova_reserve(t->domain->iova, t->iova, t->len);
	if (rc != 0)
		return moat_error(rc,
			"tenant '%s': memory of 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64
			" does not fit into %u bits; lower 'memory' or 'iova_base', or widen 'width'",
			t->name, t->len, t->iova, t->domain->width);
	rc = get_pages(t);
	if (rc != 0)
		return rc;
	t->page_prot = calloc(t->len >> MOAT_PAGE_SHIFT, 1);
	if (t->page_prot == NULL)
		return moat_error(-ENOMEM, "tenant '%s': out of memory", t->name);
	t->used = t->heap_len;
	return make_heap(t);
}

void tenant_memory_destroy(struct moat_tenant *t)
{
	if (t->heap) {
		rte_malloc_heap_memory_remove(t->name, t->va, t->heap_len);
		rte_malloc_heap_destroy(t->name);
		t->heap = false;
	}
	free(t->page_prot);
	t->page_prot = NULL;
	put_pages(t);
}

int tenant_map(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len,
	enum moat_prot prot)
{
	uint64_t off = (const uint8_t *)va - t->va;

	while (len != 0) {
		uint64_t in_2m = off & (MOAT_2M_SIZE - 1);
		uint64_t run = t->hpa_linear ? len : RTE_MIN(len, MOAT_2M_SIZE - in_2m);
		int rc = moat_lane_map(lane, t->iova + off, t->hpa[off >> MOAT_2M_SHIFT] + in_2m,
			t->va + off, run, prot);

		if (unlikely(rc != 0))
			return rc;
		off += run;
		len -= run;
	}
	return 0;
}

int tenant_unmap(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len)
{
	return moat_lane_unmap(lane, t->iova + ((const uint8_t *)va - t->va), len);
}
