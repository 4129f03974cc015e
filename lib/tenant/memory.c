/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A tenant's memory: its allocation, its heap, and maps of parts of it. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "ticket.h"

static int no_heap(const struct moat_tenant *t, int err)
{
	if (err != ENOSPC)
		return moat_error(-err, "tenant '%s': DPDK cannot create a heap of this name: %s",
			t->name, rte_strerror(err));
	return moat_error(-err,
		"tenant '%s': DPDK has no heap left: it has %u (RTE_MAX_HEAPS), one for each NUMA node "
		"and one for each tenant, so that a process can have %u tenants; destroy one first, or "
		"create some in another process",
		t->name, RTE_MAX_HEAPS, RTE_MAX_HEAPS - rte_socket_count());
}

/* Create DPDK's heap over the first part of the memory, at the tenant's IOVAs. */
static int make_heap(struct moat_tenant *t)
{
	/* The heap is a multiple of 2 MiB, and may be a part of a 1 GiB page. */
	uint64_t page = RTE_MIN(t->memory.page_size, MOAT_2M_SIZE);
	unsigned int n = t->heap_len / page;
	rte_iova_t *iovas;
	int rc = 0;

	if (rte_malloc_heap_create(t->name) != 0)
		return no_heap(t, rte_errno);
	t->heap = true;
	iovas = calloc(n, sizeof(*iovas));
	if (iovas == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++)
		iovas[i] = t->iova + i * page;
	if (rte_malloc_heap_memory_add(t->name, t->va, t->heap_len, iovas, n, page) != 0)
		rc = -rte_errno;
	free(iovas);
	if (rc != 0)
		return moat_error(rc, "tenant '%s': DPDK refuses a heap of %" PRIu64 " bytes: %s",
			t->name, t->heap_len, rte_strerror(-rc));
	t->socket = rte_malloc_heap_get_socket(t->name);
	return 0;
}

/* A region that the unit does not translate and the memory would overlap, or NULL. */
static const struct moat_range *in_the_way(const struct moat_tenant *t)
{
	const struct moat_unit_caps *caps = &t->conf.unit->caps;

	for (unsigned int i = 0; i < caps->nr_reserved; i++)
		if (t->iova < caps->reserved[i].iova + caps->reserved[i].len &&
			caps->reserved[i].iova < t->iova + t->len)
			return &caps->reserved[i];
	return NULL;
}

/* Choose the memory's IOVA, and reserve the range: the configured IOVA; or else 2 MiB, or the first
 * multiple of 2 MiB that is clear of regions which the unit does not translate. */
static int place(struct moat_tenant *t)
{
	const struct moat_range *r;
	uint64_t end;
	int rc;

	t->iova = t->conf.iova_base != 0 ? t->conf.iova_base : MOAT_2M_SIZE;
	while ((r = in_the_way(t)) != NULL) {
		end = RTE_ALIGN_CEIL(r->iova + r->len, MOAT_2M_SIZE);
		if (t->conf.iova_base != 0)
			return moat_error(-EBUSY,
				"tenant '%s': memory of 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64
				" overlaps 0x%" PRIx64 " to 0x%" PRIx64
				", which unit %s does not translate (interrupts, firmware); "
				"set 'iova_base' to 0x%" PRIx64 " or more",
				t->name, t->len, t->iova, r->iova, r->iova + r->len - 1,
				t->conf.unit->name, end);
		t->iova = end;
	}
	rc = moat_iova_reserve(t->domain->iova, t->iova, t->len);
	if (rc != 0)
		return moat_error(rc,
			"tenant '%s': memory of 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64
			" does not fit into %u bits; lower 'memory' or 'iova_base', or widen 'width'",
			t->name, t->len, t->iova, t->domain->width);
	return 0;
}

int tenant_memory_create(struct moat_tenant *t)
{
	char why[512];
	int rc;

	t->len = RTE_ALIGN_CEIL(t->conf.memory, MOAT_2M_SIZE);
	t->heap_len = tenant_heap_size(t->len);
	if (t->len < t->heap_len + MOAT_2M_SIZE)
		return moat_error(-EINVAL,
			"tenant '%s': memory of %" PRIu64 " bytes is too little; "
			"4 MiB is the least (2 for rings, 2 for buffers)",
			t->name, t->conf.memory);
	if (t->conf.iova_base % MOAT_2M_SIZE != 0)
		return moat_error(-EINVAL,
			"tenant '%s': iova_base 0x%" PRIx64 " is not a multiple of 2 MiB", t->name,
			t->conf.iova_base);
	rc = place(t);
	if (rc != 0)
		return rc;
	rc = moat_memory_get(&t->memory, t->conf.unit, t->len);
	if (rc != 0) {
		snprintf(why, sizeof(why), "%s", moat_error_text());
		return moat_error(rc, "tenant '%s': %s", t->name, why);
	}
	rc = tenant_guest_map(t);
	if (rc != 0)
		return rc;
	t->va = t->memory.va;
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
	moat_memory_put(&t->memory);
}

int tenant_map(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len,
	enum moat_prot prot)
{
	uint64_t off = (const uint8_t *)va - t->va;

	return moat_memory_map(&t->memory, lane, off, t->iova + off, len, prot);
}

int tenant_unmap(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len)
{
	return moat_lane_unmap(lane, t->iova + ((const uint8_t *)va - t->va), len);
}

int tenant_map_wait(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len,
	enum moat_prot prot)
{
	int rc;

	while ((rc = tenant_map(t, lane, va, len, prot)) == -EAGAIN)
		if ((rc = moat_lane_drain(lane)) != 0)
			break;
	return rc;
}

int tenant_unmap_wait(struct moat_tenant *t, struct tenant_lcore *lc, const void *va, uint64_t len)
{
	int rc;

	while ((rc = tenant_unmap(t, lc->lane, va, len)) == -EAGAIN)
		if ((rc = tenant_drain_once(t, lc)) != 0)
			break;
	return rc;
}
