/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Map and unmap. What most calls ask for is done here: pages of one leaf table that is linked
 * already, or 2 MiB leaves of one PD. Everything else goes to pt_range.c.
 */
#include <errno.h>
#include <inttypes.h>

#include "pt_internal.h"

/* Check the arguments of a map or unmap of any shape. */
static int range_check(const struct moat_pt *pt, uint64_t iova, uint64_t len)
{
	if (len == 0 || (iova | len) & MOAT_PAGE_MASK)
		return moat_error(-EINVAL,
			"iova 0x%" PRIx64 ", length 0x%" PRIx64
			": both must be multiples of 4096, and the length not 0",
			iova, len);
	if (iova >= pt->limit || len > pt->limit - iova)
		return moat_error(-ERANGE,
			"iova 0x%" PRIx64 ", length 0x%" PRIx64 ": ends beyond 0x%" PRIx64
			", the table's last IOVA; use lower IOVAs or a wider table",
			iova, len, pt->limit - 1);
	return 0;
}

static __rte_noinline int map_any(struct moat_pt *pt, uint64_t iova, uint64_t hpa, void *va,
	uint64_t len, enum moat_prot prot, uint64_t *bad)
{
	struct pt_map_req req = {
		.impl = pt_impl(pt),
		.iova = iova,
		.last = iova + len - 1,
		.hpa_off = hpa - iova,
		.va_off = va != NULL ? (uintptr_t)va - iova : PT_DELTA_NONE,
	};
	uint64_t unused;
	int ret = range_check(pt, iova, len);

	if (ret != 0)
		return ret;
	if ((hpa & ~MOAT_SS_ADDR) != 0 || ((hpa + len - 1) & ~MOAT_SS_ADDR) > MOAT_PAGE_MASK)
		return moat_error(-EINVAL,
			"host physical address 0x%" PRIx64 ", length 0x%" PRIx64
			": must be a multiple of 4096 and end below 2^52",
			hpa, len);
	if ((uintptr_t)va & MOAT_PAGE_MASK)
		return moat_error(-EINVAL, "virtual address %p: must be a multiple of 4096", va);
	if (prot != MOAT_R && prot != MOAT_W && prot != MOAT_RW)
		return moat_error(-EINVAL, "permission %d: must be MOAT_R, MOAT_W or MOAT_RW",
			(int)prot);
	req.leaf = req.impl->format.leaf[prot];
	return pt_range_map(&req, bad != NULL ? bad : &unused);
}

/* Map 2 MiB leaves in one PD that held such leaves before: their granules still point at the PD. It
 * stays linked meanwhile, because only an unmap that covers this range could unlink it. False: not
 * this case, nothing was done. */
static bool map_2m(struct moat_pt *pt, uint64_t iova, uint64_t hpa, uintptr_t va, uint64_t len,
	enum moat_prot prot, uintptr_t table)
{
	uint64_t i = pt_index(iova, 2), n = len >> MOAT_2M_SHIFT;
	uint64_t *e = pt_granule_entry(table, iova);

	if (((iova | hpa | len) & (MOAT_2M_SIZE - 1)) != 0 || n - 1 >= PT_ENTRIES - i ||
		!(pt_impl(pt)->leaf_sizes & MOAT_2M_SIZE) || pt_run->find_nonzero(e, n) != n)
		return false;
	pt_point_granules(pt, iova >> MOAT_2M_SHIFT, n, table, va - iova);
	pt_run->fill(e, n, hpa | pt_impl(pt)->linear[prot] | pt_impl(pt)->format.superpage,
		MOAT_2M_SIZE);
	pt_flush(pt_impl(pt), e, n * sizeof(*e));
	return true;
}

int moat_pt_map(struct moat_pt *pt, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot, uint64_t *bad)
{
	uint64_t g = iova >> MOAT_2M_SHIFT, i = pt_index(iova, 1), n = len >> MOAT_PAGE_SHIFT;
	uint64_t unaligned = (iova | hpa | (uintptr_t)va | len) & MOAT_PAGE_MASK, nr;
	const struct moat_pt_granule *granule = moat_pt_window(pt, &nr) + g;
	uintptr_t table;
	uint64_t *e;

	if (unlikely((unaligned | (hpa + len - 1) >> 52) != 0 || g >= nr ||
		    (unsigned int)prot - 1 > 2 || va == NULL))
		return map_any(pt, iova, hpa, va, len, prot, bad);
	/* acquire: pairs with the store of the lcore that linked the table */
	table = atomic_load_explicit(&granule->table, memory_order_acquire);
	e = (uint64_t *)(table - MOAT_PAGE_SHIFT) + i;
	/* All but the usual case, which is pages of one linked leaf table, at that table's delta */
	if (unlikely((table & MOAT_PT_SHIFT) != MOAT_PAGE_SHIFT || n - 1 >= PT_ENTRIES - i ||
		    /* relaxed: stored before `table`, and fixed while the table is linked */
		    (uintptr_t)va - iova !=
			    atomic_load_explicit(&granule->delta, memory_order_relaxed))) {
		if ((table & MOAT_PT_SHIFT) == MOAT_2M_SHIFT &&
			map_2m(pt, iova, hpa, (uintptr_t)va, len, prot, table))
			return 0;
		return map_any(pt, iova, hpa, va, len, prot, bad);
	}
	if (likely(n == 1)) {
		if (unlikely(pt_load(e) != 0))
			return map_any(pt, iova, hpa, va, len, prot, bad);
		pt_store(e, hpa | pt_impl(pt)->linear[prot]);
	} else {
		if (unlikely(pt_run->find_nonzero(e, n) != n))
			return map_any(pt, iova, hpa, va, len, prot, bad);
		pt_run->fill(e, n, hpa | pt_impl(pt)->linear[prot], MOAT_PAGE_SIZE);
	}
	pt_flush(pt_impl(pt), e, n * sizeof(*e));
	return 0;
}

static __rte_noinline int unmap_any(struct moat_pt *pt, uint64_t iova, uint64_t len,
	struct moat_pt_freed *freed, uint64_t *bad)
{
	uint64_t unused;
	int ret = range_check(pt, iova, len);

	if (ret != 0)
		return ret;
	return pt_range_unmap(pt_impl(pt), iova, iova + len - 1, freed,
		bad != NULL ? bad : &unused);
}

/* Unmap 2 MiB leaves in one PD, but fewer than it can hold, so that the PD stays. False: not this
 * case, nothing was done. */
static bool unmap_2m(struct moat_pt *pt, uint64_t iova, uint64_t len, uintptr_t table)
{
	uint64_t i = pt_index(iova, 2), n = len >> MOAT_2M_SHIFT;
	uint64_t *e = pt_granule_entry(table, iova);

	if (((iova | len) & (MOAT_2M_SIZE - 1)) != 0 || n - 1 >= PT_ENTRIES - i ||
		n == PT_ENTRIES || pt_run->find_no_leaf(e, n) != n)
		return false;
	pt_run->zero(e, n);
	pt_flush(pt_impl(pt), e, n * sizeof(*e));
	return true;
}

int moat_pt_unmap(struct moat_pt *pt, uint64_t iova, uint64_t len, struct moat_pt_freed *freed,
	uint64_t *bad)
{
	uint64_t g = iova >> MOAT_2M_SHIFT, i = pt_index(iova, 1), n = len >> MOAT_PAGE_SHIFT, nr;
	const struct moat_pt_granule *granule = moat_pt_window(pt, &nr) + g;
	uintptr_t table;
	uint64_t *e;

	if (unlikely(((iova | len) & MOAT_PAGE_MASK) != 0 || g >= nr))
		return unmap_any(pt, iova, len, freed, bad);
	/* acquire: pairs with the store of the lcore that linked the table */
	table = atomic_load_explicit(&granule->table, memory_order_acquire);
	e = (uint64_t *)(table - MOAT_PAGE_SHIFT) + i;
	if (unlikely((table & MOAT_PT_SHIFT) != MOAT_PAGE_SHIFT || n - 1 >= PT_ENTRIES - i)) {
		if ((table & MOAT_PT_SHIFT) == MOAT_2M_SHIFT && unmap_2m(pt, iova, len, table))
			return 0;
		return unmap_any(pt, iova, len, freed, bad);
	}
	if (likely(n == 1)) {
		if (unlikely(pt_load(e) == 0))
			return unmap_any(pt, iova, len, freed, bad);
		pt_store(e, 0);
		pt_flush(pt_impl(pt), e, sizeof(*e));
		return 0;
	}
	if (unlikely(pt_run->find_zero(e, n) != n))
		return unmap_any(pt, iova, len, freed, bad);
	pt_run->zero(e, n);
	pt_flush(pt_impl(pt), e, n * sizeof(*e));
	/* If the range is all of the table's 2 MiB, unlink the table. Those above cover more. */
	if (n == PT_ENTRIES)
		pt_unlink_leaf(pt_impl(pt), iova, e, freed);
	return 0;
}
