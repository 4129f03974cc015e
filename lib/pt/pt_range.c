/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Ranges of any shape, level by level from the root: look (nothing is written), prepare (tables are
 * linked, nothing is mapped), write (cannot fail). Each function takes a table, its level and the
 * part of the range that lies in it.
 */
#include <errno.h>
#include <inttypes.h>

#include "pt_internal.h"

/* -------------------------------------------------------------------------- link and unlink */

/* Link a zeroed table into slot `i` of `parent`, for the unit, for walkers and for readers. The
 * order of the stores is such that a thread that sees a link sees everything behind it. @return the
 * child; NULL: no memory */
static uint64_t *link_table(const struct pt_map_req *req, uint64_t *parent, unsigned int i,
	unsigned int level, uint64_t iova)
{
	struct pt_impl *impl = req->impl;
	uint64_t *child = NULL;
	uint64_t g = iova >> MOAT_2M_SHIFT;

	if (level == 2)
		pt_window_reach(impl, g);
	moat_spin_lock(&impl->link);
	if (pt_load(&parent[i]) != 0) { /* another writer has linked one */
		child = pt_child(parent, i);
	} else if ((child = pt_pool_take(impl->pool, level - 1)) != NULL) {
		struct moat_pt_page *page = pt_page_of(child);

		page->slot = &parent[i];
		/* relaxed: the link below releases it */
		__atomic_store_n(&page->delta, req->va_off, __ATOMIC_RELAXED);
		pt_flush(impl, child, MOAT_PAGE_SIZE);
		pt_store(&parent[PT_ENTRIES + i], (uintptr_t)child | PT_LINK);
		pt_store(&parent[i], pt_hpa_of(child) | impl->format.link);
		pt_flush(impl, &parent[i], sizeof(parent[i]));
		if (level == 2)
			pt_granule_set(impl, g, (uintptr_t)child | MOAT_PAGE_SHIFT, req->va_off);
	}
	moat_spin_unlock(&impl->link);
	return child;
}

/* Give a leaf table its array of virtual addresses, for pages that are not linear. False: no
 * memory. */
static bool add_vas(struct pt_impl *impl, uint64_t *table)
{
	struct moat_pt_page *page = pt_page_of(table);
	bool ok = true;

	moat_spin_lock(&impl->link);
	/* relaxed: `vas` changes only under this lock */
	if (__atomic_load_n(&page->vas, __ATOMIC_RELAXED) == NULL) {
		uint64_t *vas = pt_pool_take(impl->pool, 0);

		ok = vas != NULL;
		/* release: the array was zeroed before a reader sees it */
		__atomic_store_n(&page->vas, vas, __ATOMIC_RELEASE);
	}
	moat_spin_unlock(&impl->link);
	return ok;
}

/* Unlink the table of slot `i`. The caller's range covers all of the slot, so no other writer is
 * inside, and no lock is needed. */
static void unlink_table(struct pt_impl *impl, uint64_t *parent, unsigned int i,
	struct moat_pt_freed *freed)
{
	struct moat_pt_page *page = pt_page_of(pt_child(parent, i));
	uint64_t *vas = page->vas;

	pt_store(&parent[i], 0);
	pt_store(&parent[PT_ENTRIES + i], 0);
	pt_flush(impl, &parent[i], sizeof(parent[i]));
	if (page->pages == 2)
		page->dirty = true; /* the companion may have words of leaves beyond the window */
	if (vas != NULL) {
		struct moat_pt_page *array = pt_page_of(vas);

		array->dirty = true;
		pt_freed_add(freed, array);
	}
	pt_freed_add(freed, page);
}

void pt_unlink_leaf(struct pt_impl *impl, uint64_t iova, uint64_t *table,
	struct moat_pt_freed *freed)
{
	uint64_t *slot = pt_page_of(table)->slot;
	unsigned int i = pt_index(iova, 2);

	pt_granules_clear(impl, iova >> MOAT_2M_SHIFT, 1);
	unlink_table(impl, slot - i, i, freed);
}

/* Unlink the child of slot `i` of `table`. The caller's range covers all of the slot. */
static void unlink_slot(struct pt_impl *impl, uint64_t *table, unsigned int i, unsigned int level,
	uint64_t iova, struct moat_pt_freed *freed)
{
	if (level == 2) {
		pt_unlink_leaf(impl, iova, pt_child(table, i), freed);
		return;
	}
	if (level == 3) /* granules of 2 MiB leaves still point into the PD table */
		pt_granules_clear(impl, iova >> MOAT_2M_SHIFT, PT_ENTRIES);
	unlink_table(impl, table, i, freed);
}

/* -------------------------------------------------------------------------------------- map */

/* How many slots from `i` on (before `end`, the end of the range in this table) are to be leaves?
 * They must be empty and covered whole; the unit must have leaves of their size, and the HPA must
 * be aligned to it. */
static unsigned int leaves_from(const struct pt_map_req *req, const uint64_t *table,
	unsigned int level, unsigned int i, unsigned int end, uint64_t iova, uint64_t last)
{
	uint64_t size = UINT64_C(1) << pt_shift(level);

	if (level > 3 || !(req->impl->leaf_sizes & size) || (req->hpa_off & (size - 1)) != 0)
		return 0;
	if (iova > pt_slot_iova(iova, i, level))
		return 0; /* the range begins inside the first slot */
	if (last < pt_slot_iova(iova, end - 1, level) + size - 1)
		end--; /* the range ends inside the last slot */
	return pt_run->find_nonzero(&table[i], end - i);
}

/* Find the first page of [iova, last] that is mapped; `*bad` receives its IOVA. False: none is. */
static bool find_mapped(const uint64_t *table, unsigned int level, uint64_t iova, uint64_t last,
	uint64_t *bad)
{
	struct pt_span s = pt_span(iova, last, level);
	uint64_t slot_size = UINT64_C(1) << pt_shift(level);

	for (unsigned int i = s.i; i < s.end; i++) {
		uint64_t slot, from, to;

		i += pt_run->find_nonzero(&table[i], s.end - i);
		if (i == s.end)
			break;
		slot = pt_slot_iova(iova, i, level);
		from = RTE_MAX(slot, iova);
		to = RTE_MIN(slot + slot_size - 1, last);
		if (!pt_is_link(pt_load(&table[i]), level)) {
			*bad = from;
			return true;
		}
		if (find_mapped(pt_child(table, i), level - 1, from, to, bad))
			return true;
	}
	return false;
}

/* Link every table that the range needs and that is missing. False: no memory. */
static bool prepare(const struct pt_map_req *req, uint64_t *table, unsigned int level,
	uint64_t iova, uint64_t last)
{
	struct pt_span s = pt_span(iova, last, level);
	uint64_t slot_size = UINT64_C(1) << pt_shift(level);

	if (level == 1)
		return req->va_off == PT_DELTA_NONE || req->va_off == pt_delta(table) ||
			add_vas(req->impl, table);
	for (unsigned int i = s.i; i < s.end; i++) {
		uint64_t slot = pt_slot_iova(iova, i, level);
		uint64_t *child = pt_child(table, i);

		if (child == NULL) {
			unsigned int n = leaves_from(req, table, level, i, s.end, iova, last);

			if (n > 0) {
				i += n - 1;
				continue;
			}
			child = link_table(req, table, i, level, slot);
		}
		if (child == NULL ||
			!prepare(req, child, level - 1, RTE_MAX(slot, iova),
				RTE_MIN(slot + slot_size - 1, last)))
			return false;
	}
	return true;
}

static void write_pages(const struct pt_map_req *req, uint64_t *table, struct pt_span s,
	uint64_t iova)
{
	struct moat_pt_page *page = pt_page_of(table);
	unsigned int n = s.end - s.i;
	uint64_t entry = (iova + req->hpa_off) | req->leaf;

	if (req->va_off != PT_DELTA_NONE && req->va_off == pt_delta(table)) {
		entry |= MOAT_PT_LIN;
	} else {
		/* acquire: pairs with add_vas() of another writer in this table */
		uint64_t *vas = __atomic_load_n(&page->vas, __ATOMIC_ACQUIRE);

		if (req->va_off != PT_DELTA_NONE)
			pt_run->fill(&vas[s.i], n, iova + req->va_off, MOAT_PAGE_SIZE);
		else if (vas != NULL)
			pt_run->zero(&vas[s.i], n);
	}
	pt_run->fill(&table[s.i], n, entry, MOAT_PAGE_SIZE);
	pt_flush(req->impl, &table[s.i], n * sizeof(table[0]));
}

/* Store the virtual addresses of leaves of `level` in slots [i, i + n): in granules or, beyond the
 * window, in the companion's words. */
static void place_leaves(const struct pt_map_req *req, uint64_t *table, unsigned int level,
	unsigned int i, unsigned int n, uint64_t iova)
{
	struct moat_pt *pt = &req->impl->pub;
	uint64_t size = UINT64_C(1) << pt_shift(level);
	uint64_t g = iova >> MOAT_2M_SHIFT, each = size >> MOAT_2M_SHIFT;
	uint64_t nr = pt_window_reach(req->impl, g + n * each - 1);
	unsigned int in = g < nr ? RTE_MIN((uint64_t)n, (nr - g) / each) : 0;

	if (in != 0)
		pt_point_granules(pt, g, in * each, (uintptr_t)table | pt_shift(level),
			req->va_off);
	if (in != n)
		pt_run->fill(&table[PT_ENTRIES + i + in], n - in,
			(iova + in * size + req->va_off) | PT_VA, size);
}

/* Store leaves of `level` in slots [i, i + n): the granules first, then the entries. */
static void write_leaves(const struct pt_map_req *req, uint64_t *table, unsigned int level,
	unsigned int i, unsigned int n, uint64_t iova)
{
	uint64_t size = UINT64_C(1) << pt_shift(level);
	uint64_t entry = (iova + req->hpa_off) | req->leaf | req->impl->format.superpage;

	if (req->va_off != PT_DELTA_NONE) {
		entry |= MOAT_PT_LIN;
		place_leaves(req, table, level, i, n, iova);
	}
	pt_run->fill(&table[i], n, entry, size);
	pt_flush(req->impl, &table[i], n * sizeof(table[0]));
}

static void write_range(const struct pt_map_req *req, uint64_t *table, unsigned int level,
	uint64_t iova, uint64_t last)
{
	struct pt_span s = pt_span(iova, last, level);
	uint64_t slot_size = UINT64_C(1) << pt_shift(level);

	if (level == 1) {
		write_pages(req, table, s, iova);
		return;
	}
	for (unsigned int i = s.i; i < s.end;) {
		uint64_t slot = pt_slot_iova(iova, i, level);
		unsigned int n = pt_run->find_nonzero(&table[i], s.end - i);

		/* the slots that prepare() left empty are to be leaves */
		if (n > 0) {
			write_leaves(req, table, level, i, n, slot);
			i += n;
			continue;
		}
		write_range(req, pt_child(table, i), level - 1, RTE_MAX(slot, iova),
			RTE_MIN(slot + slot_size - 1, last));
		i++;
	}
}

int pt_range_map(const struct pt_map_req *req, uint64_t *bad)
{
	struct pt_impl *impl = req->impl;
	unsigned int levels = impl->pub.levels;

	if (find_mapped(impl->root, levels, req->iova, req->last, bad))
		return moat_error(-EEXIST, "iova 0x%" PRIx64 " is mapped already; unmap it first",
			*bad);
	if (!prepare(req, impl->root, levels, req->iova, req->last))
		return moat_error(-ENOMEM,
			"no memory for the page tables of iova 0x%" PRIx64 " to 0x%" PRIx64
			"; give the pool more memory, or map less",
			req->iova, req->last);
	if (!impl->pub.coherent) {
		/* Another writer may have linked a table of this range without having flushed the
		 * link yet: wait until that writer has released the lock. */
		moat_spin_lock(&impl->link);
		moat_spin_unlock(&impl->link);
	}
	write_range(req, impl->root, levels, req->iova, req->last);
	return 0;
}

/* ------------------------------------------------------------------------------------ unmap */

/* Is all of [iova, last] mapped, in leaves that the range covers whole? @return 0: yes; -ENOENT: a
 * page is not mapped; -EINVAL: a leaf is covered in part; `*bad` receives the IOVA of either */
static int find_unmapped(const uint64_t *table, unsigned int level, uint64_t iova, uint64_t last,
	uint64_t *bad)
{
	struct pt_span s = pt_span(iova, last, level);
	uint64_t slot_size = UINT64_C(1) << pt_shift(level);
	int ret = 0;

	if (level == 1) {
		unsigned int n = pt_run->find_zero(&table[s.i], s.end - s.i);

		*bad = iova + n * MOAT_PAGE_SIZE;
		return s.i + n == s.end ? 0 : -ENOENT;
	}
	for (unsigned int i = s.i; i < s.end && ret == 0;) {
		uint64_t slot = pt_slot_iova(iova, i, level);
		uint64_t from = RTE_MAX(slot, iova), to = RTE_MIN(slot + slot_size - 1, last);
		uint64_t entry = pt_load(&table[i]);

		if (entry == 0) {
			*bad = from;
			return -ENOENT;
		}
		if (pt_is_link(entry, level)) {
			ret = find_unmapped(pt_child(table, i), level - 1, from, to, bad);
			i++;
		} else if (to - from != slot_size - 1) {
			*bad = slot;
			return -EINVAL;
		} else { /* a run of leaves, of which only the last can be covered in part */
			unsigned int whole = s.end - i;

			if (last < pt_slot_iova(iova, s.end - 1, level) + slot_size - 1)
				whole--;
			i += RTE_MAX(pt_run->find_no_leaf(&table[i], whole), 1u);
		}
	}
	return ret;
}

/* Clear the range's entries and unlink the tables that it covers whole. Cannot fail, because
 * find_unmapped() has checked the range. */
static void clear_range(struct pt_impl *impl, uint64_t *table, unsigned int level, uint64_t iova,
	uint64_t last, struct moat_pt_freed *freed)
{
	struct pt_span s = pt_span(iova, last, level);
	uint64_t slot_size = UINT64_C(1) << pt_shift(level);

	if (level == 1) {
		pt_run->zero(&table[s.i], s.end - s.i);
		pt_flush(impl, &table[s.i], (s.end - s.i) * sizeof(table[0]));
		return;
	}
	for (unsigned int i = s.i; i < s.end;) {
		uint64_t slot = pt_slot_iova(iova, i, level);
		uint64_t from = RTE_MAX(slot, iova), to = RTE_MIN(slot + slot_size - 1, last);
		unsigned int n = pt_run->find_no_leaf(&table[i], s.end - i);

		if (n > 0) {
			pt_run->zero(&table[i], n);
			pt_flush(impl, &table[i], n * sizeof(table[0]));
			/* Only for 1 GiB leaves: granules of 2 MiB leaves keep their `table` for
			 * the next leaf. */
			for (unsigned int k = 0; level == 3 && k < n; k++)
				pt_granules_clear(impl, (slot + k * slot_size) >> MOAT_2M_SHIFT,
					PT_ENTRIES);
			i += n;
			continue;
		}
		clear_range(impl, pt_child(table, i), level - 1, from, to, freed);
		if (to - from == slot_size - 1)
			unlink_slot(impl, table, i, level, slot, freed);
		i++;
	}
}

int pt_range_unmap(struct pt_impl *impl, uint64_t iova, uint64_t last, struct moat_pt_freed *freed,
	uint64_t *bad)
{
	unsigned int levels = impl->pub.levels;
	int ret = find_unmapped(impl->root, levels, iova, last, bad);

	if (ret == -ENOENT)
		return moat_error(ret,
			"iova 0x%" PRIx64 " is not mapped; unmap exactly what was mapped", *bad);
	if (ret != 0)
		return moat_error(ret,
			"the large page at iova 0x%" PRIx64 " is only partly in 0x%" PRIx64
			" to 0x%" PRIx64 "; unmap all of it",
			*bad, iova, last);
	clear_range(impl, impl->root, levels, iova, last, freed);
	return 0;
}
