/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Memory that a unit can reach. See moat_memory.h. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_string_fns.h>

#include "lane_impl.h"
#include "moat_assert.h"
#include "moat_memory.h"

/* Pages of 2 MiB fit the length. Pages of 1 GiB, which many DPDK hosts have instead, round it
 * up. */
static const struct {
	uint64_t size;
	unsigned int shift;
} hugepages[] = { { MOAT_2M_SIZE, MOAT_2M_SHIFT }, { MOAT_1G_SIZE, MOAT_1G_SHIFT } };

/* Get anonymous hugepages. They are MAP_SHARED, as DPDK's own are: after a fork() the first write
 * to a private page would give this process a new frame, while the device reaches the old one.
 * (With MADV_DONTFORK a program that becomes a daemon after rte_eal_init() would lose them.) */
static int map_hugepages(struct moat_memory *m)
{
	int rc = -ENOMEM;

	for (unsigned int i = 0; i < RTE_DIM(hugepages); i++) {
		size_t len = RTE_ALIGN_CEIL(m->len, hugepages[i].size);
		void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE |
				(int)(hugepages[i].shift << MAP_HUGE_SHIFT),
			-1, 0);

		if (p != MAP_FAILED) {
			m->map = p;
			m->map_len = len;
			m->page_size = hugepages[i].size;
			return 0;
		}
		rc = -errno;
	}
	return rc;
}

/* Get hugepages. Each is aligned and physically contiguous. */
static int get_hugepages(struct moat_memory *m, struct moat_unit *unit)
{
	int rc = -EOPNOTSUPP;

	if (unit->ops->memory_alloc != NULL)
		rc = unit->ops->memory_alloc(unit, m->len, &m->map);
	if (rc == 0) {
		m->unit = unit;
		m->map_len = m->len;
		m->page_size = MOAT_2M_SIZE;
	} else if (rc == -EOPNOTSUPP) {
		rc = map_hugepages(m);
	}
	if (rc != 0)
		m->map = NULL;
	m->va = m->map;
	return rc;
}

/* Get plain pages, aligned as hugepages are, so that IOVAs and leaves are the same. */
static int get_plain_pages(struct moat_memory *m)
{
	size_t len = m->len + MOAT_2M_SIZE;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	m->map = p;
	m->map_len = len;
	m->va = RTE_PTR_ALIGN(p, MOAT_2M_SIZE);
	m->page_size = MOAT_PAGE_SIZE;
	madvise(m->va, m->len, MADV_HUGEPAGE); /* a hint; without it everything works, but slower */
	return 0;
}

/* Find the physical address of each 2 MiB; if the unit keeps the tables and has no hpa(), use any
 * number. */
static int find_hpas(struct moat_memory *m, struct moat_unit *unit)
{
	uint64_t n = m->len >> MOAT_2M_SHIFT;

	m->hpa = calloc(n, sizeof(*m->hpa));
	if (m->hpa == NULL)
		return -ENOMEM;
	m->hpa_linear = true;
	for (uint64_t i = 0; i < n; i++) {
		uint8_t *va = m->va + (i << MOAT_2M_SHIFT);
		int rc = 0;

		if (unit->ops->hpa == NULL)
			m->hpa[i] = (uintptr_t)va;
		else
			rc = unit->ops->hpa(unit, va, MOAT_2M_SIZE, &m->hpa[i]);
		if (rc != 0)
			return rc;
		m->hpa_linear &= m->hpa[i] == m->hpa[0] + (i << MOAT_2M_SHIFT);
	}
	return 0;
}

void moat_memory_put(struct moat_memory *m)
{
	free(m->hpa);
	m->hpa = NULL;
	if (m->map != NULL && m->unit != NULL)
		m->unit->ops->memory_free(m->unit, m->map, m->map_len);
	else if (m->map != NULL)
		munmap(m->map, m->map_len);
	m->map = NULL;
	m->unit = NULL;
}

/* No memory for the unit. `huge`: why no hugepages, 0: there were some. @return rc */
static int no_memory(const struct moat_memory *m, const struct moat_unit *unit, int huge, int rc)
{
	char gigabytes[48] = "";

	if (huge == 0)
		return moat_error(rc,
			"unit %s: the physical addresses of 0x%" PRIx64
			" bytes of hugepages are not "
			"known (%s)",
			unit->name, m->len, strerror(-rc));
	if (unit->ops->memory_alloc == NULL)
		snprintf(gigabytes, sizeof(gigabytes), ", or %" PRIu64 " of 1 GiB",
			RTE_ALIGN_CEIL(m->len, MOAT_1G_SIZE) / MOAT_1G_SIZE);
	return moat_error(rc,
		"unit %s needs %" PRIu64 " hugepages of 2 MiB%s, but too few are free (%s); raise "
		"nr_hugepages in /sys/kernel/mm/hugepages/hugepages-2048kB, or lower 'memory'",
		unit->name, m->len >> MOAT_2M_SHIFT, gigabytes, strerror(-huge));
}

int moat_memory_get(struct moat_memory *m, struct moat_unit *unit, uint64_t len)
{
	int huge, rc;

	if (m == NULL || unit == NULL || len == 0 || len % MOAT_2M_SIZE != 0)
		return moat_error(-EINVAL,
			"moat_memory_get(): cannot get 0x%" PRIx64 " bytes%s; the length must be a "
			"multiple of 2 MiB, and not 0",
			len,
			unit == NULL        ? ": the unit is NULL"
				: m == NULL ? ": the memory is NULL"
					    : "");
	*m = (struct moat_memory){ .len = len };
	huge = get_hugepages(m, unit);
	rc = huge == 0 ? find_hpas(m, unit) : -EFAULT;
	if (rc == 0)
		return 0;
	moat_memory_put(m);
	rc = get_plain_pages(m);
	if (rc == 0)
		rc = find_hpas(m, unit);
	if (rc == 0)
		return 0;
	moat_memory_put(m);
	return no_memory(m, unit, huge, rc);
}

/* A later piece could not be mapped: unmap the first `len` bytes again. */
__rte_noinline int lane_undo_pieces(struct moat_lane *lane, uint64_t iova, uint64_t len, int err)
{
	char why[256];
	int rc;

	if (len == 0)
		return err;
	rte_strscpy(why, moat_error_text(), sizeof(why));
	rc = lane_undo_map(lane, iova, len);
	/* if the unit may still reach a part, report that rather than why the rest failed */
	return rc != 0 ? rc : moat_error(err, "%s", why);
}

int moat_memory_map(const struct moat_memory *m, struct moat_lane *lane, uint64_t off,
	uint64_t iova, uint64_t len, enum moat_prot prot)
{
	uint64_t first = iova;

	MOAT_ASSERT(off <= m->len && len <= m->len - off,
		"moat_memory_map(): the bytes reach beyond the memory");
	if (m->hpa_linear && likely(len != 0))
		return moat_lane_map(lane, iova, m->hpa[0] + off, m->va + off, len, prot);
	while (len != 0) {
		uint64_t in_2m = off & (MOAT_2M_SIZE - 1);
		uint64_t run = RTE_MIN(len, MOAT_2M_SIZE - in_2m);
		int rc = moat_lane_map(lane, iova, m->hpa[off >> MOAT_2M_SHIFT] + in_2m,
			m->va + off, run, prot);

		if (unlikely(rc != 0))
			return lane_undo_pieces(lane, first, iova - first, rc);
		off += run;
		iova += run;
		len -= run;
	}
	return 0;
}
