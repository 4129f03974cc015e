/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cpuid.h>
#include <immintrin.h>

#include "pt_internal.h"

/* ------------------------------------------------------------------------------ flush lines */

void (*pt_flush_hook)(const void *line);

__attribute__((target("clflushopt"))) static void flush_opt(const char *p, const char *end)
{
	for (; p < end; p += RTE_CACHE_LINE_SIZE)
		_mm_clflushopt((void *)(uintptr_t)p);
}

static void flush_plain(const char *p, const char *end)
{
	for (; p < end; p += RTE_CACHE_LINE_SIZE)
		_mm_clflush(p);
}

static bool has_clflushopt(void)
{
	unsigned int a, b = 0, c, d;

	/* leaf 7, EBX bit 23 */
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 23));
}

void pt_flush_slow(struct pt_impl *impl, const void *p, size_t len)
{
	static int opt = -1; /* every thread finds the same answer: no order needed */
	const char *line = (const char *)((uintptr_t)p & ~(uintptr_t)(RTE_CACHE_LINE_SIZE - 1));
	const char *end = (const char *)p + len;
	int have = __atomic_load_n(&opt, __ATOMIC_RELAXED);

	if (have < 0) {
		have = has_clflushopt();
		__atomic_store_n(&opt, have, __ATOMIC_RELAXED);
	}
	if (have)
		flush_opt(line, end);
	else
		flush_plain(line, end);
	/* clflushopt is ordered only by a fence; the unit may be told of these lines right after */
	_mm_sfence();
	/* relaxed: a counter */
	atomic_fetch_add_explicit(&impl->flushed_lines,
		(uint64_t)(end - line + RTE_CACHE_LINE_SIZE - 1) / RTE_CACHE_LINE_SIZE,
		memory_order_relaxed);
	if (pt_flush_hook != NULL)
		for (; line < end; line += RTE_CACHE_LINE_SIZE)
			pt_flush_hook(line);
}

/* ------------------------------------------------------------------------------- map, unmap */

/* What a map or unmap of any shape must satisfy. `limit` is a power of two. */
static int check_range(const struct moat_pt *pt, uint64_t iova, uint64_t len)
{
	if (len == 0 || (iova | len) & MOAT_PAGE_MASK)
		return moat_error(-EINVAL,
			"iova 0x%" PRIx64 ", length 0x%" PRIx64
			": both must be multiples of 4096, and the length not 0",
			iova, len);
	if (iova >= pt->limit || len > pt->limit - iova)
		return moat_error(-ERANGE,
			"iova 0x%" PRIx64 ", length 0x%" PRIx64 " ends beyond 0x%" PRIx64
			", the width of the table; take lower IOVAs or a wider unit",
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
		.prot = prot,
	};
	uint64_t unused;
	int ret = check_range(pt, iova, len);

	if (ret != 0)
		return ret;
	if ((hpa & ~MOAT_SS_ADDR) != 0 || ((hpa + len - 1) & ~MOAT_SS_ADDR) > MOAT_PAGE_MASK)
		return moat_error(-EINVAL,
			"host physical address 0x%" PRIx64 ", length 0x%" PRIx64
			": must be a multiple of 4096 and below 2^52",
			hpa, len);
	if ((uintptr_t)va & MOAT_PAGE_MASK)
		return moat_error(-EINVAL, "virtual address %p: must be a multiple of 4096", va);
	if (prot != MOAT_R && prot != MOAT_W && prot != MOAT_RW)
		return moat_error(-EINVAL, "permission %d: must be MOAT_R, MOAT_W or MOAT_RW",
			(int)prot);
	return pt_range_map(&req, bad != NULL ? bad : &unused);
}

/* 2 MiB leaves in one PD that held such leaves before: their granules still point at it. False:
 * not so simple. The PD cannot go meanwhile: only an unmap of this range could empty it. */
static bool map_2m(struct moat_pt *pt, uint64_t iova, uint64_t hpa, uintptr_t va, uint64_t len,
	uint64_t prot, uintptr_t table)
{
	uint64_t i = pt_index(iova, 2), n = len >> MOAT_2M_SHIFT;
	uint64_t *e = pt_granule_entry(table, iova);

	if (((iova | hpa | len) & (MOAT_2M_SIZE - 1)) != 0 || n - 1 >= PT_ENTRIES - i ||
		!(pt_impl(pt)->leaf_sizes & MOAT_2M_SIZE) || pt_run->find_nonzero(e, n) != n)
		return false;
	pt_point_granules(pt, iova >> MOAT_2M_SHIFT, n, table, va - iova);
	pt_run->fill(e, n, hpa | prot | pt->leaf | MOAT_SS_PS, MOAT_2M_SIZE);
	pt_flush(pt_impl(pt), e, n * sizeof(*e));
	return true;
}

int moat_pt_map(struct moat_pt *pt, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot, uint64_t *bad)
{
	uint64_t g = iova >> MOAT_2M_SHIFT, i = pt_index(iova, 1), n = len >> MOAT_PAGE_SHIFT;
	uint64_t unaligned = (iova | hpa | (uintptr_t)va | len) & MOAT_PAGE_MASK;
	uintptr_t table;
	uint64_t *e;

	if (unlikely((unaligned | (hpa + len - 1) >> 52) != 0 || g >= pt->nr_granules ||
		    (unsigned int)prot - 1 > 2 || va == NULL))
		return map_any(pt, iova, hpa, va, len, prot, bad);
	/* acquire: pairs with the store of the lcore that linked the table */
	table = atomic_load_explicit(&pt->granules[g].table, memory_order_acquire);
	e = (uint64_t *)(table - MOAT_PAGE_SHIFT) + i;
	/* The usual case: pages of one linked leaf table, at the table's own delta. */
	if (unlikely((table & MOAT_PT_SHIFT) != MOAT_PAGE_SHIFT || n - 1 >= PT_ENTRIES - i ||
		    /* relaxed: `table` was loaded after it was stored, and it stays while linked */
		    (uintptr_t)va - iova !=
			    atomic_load_explicit(&pt->granules[g].delta, memory_order_relaxed))) {
		if ((table & MOAT_PT_SHIFT) == MOAT_2M_SHIFT &&
			map_2m(pt, iova, hpa, (uintptr_t)va, len, prot, table))
			return 0;
		return map_any(pt, iova, hpa, va, len, prot, bad);
	}
	if (likely(n == 1)) {
		if (unlikely(pt_load(e) != 0))
			return map_any(pt, iova, hpa, va, len, prot, bad);
		pt_store(e, hpa | (uint64_t)prot | pt->leaf);
	} else {
		if (unlikely(pt_run->find_nonzero(e, n) != n))
			return map_any(pt, iova, hpa, va, len, prot, bad);
		pt_run->fill(e, n, hpa | (uint64_t)prot | pt->leaf, MOAT_PAGE_SIZE);
	}
	pt_flush(pt_impl(pt), e, n * sizeof(*e));
	return 0;
}

static __rte_noinline int unmap_any(struct moat_pt *pt, uint64_t iova, uint64_t len,
	struct moat_pt_freed *freed, uint64_t *bad)
{
	uint64_t unused;
	int ret = check_range(pt, iova, len);

	if (ret != 0)
		return ret;
	return pt_range_unmap(pt_impl(pt), iova, iova + len - 1, freed,
		bad != NULL ? bad : &unused);
}

/* 2 MiB leaves in one PD, but not all that it could hold: the PD stays. */
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
	uint64_t g = iova >> MOAT_2M_SHIFT, i = pt_index(iova, 1), n = len >> MOAT_PAGE_SHIFT;
	uintptr_t table;
	uint64_t *e;

	if (unlikely(((iova | len) & MOAT_PAGE_MASK) != 0 || g >= pt->nr_granules))
		return unmap_any(pt, iova, len, freed, bad);
	/* acquire: pairs with the store of the lcore that linked the table */
	table = atomic_load_explicit(&pt->granules[g].table, memory_order_acquire);
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
	/* All of the table's 2 MiB: the table goes too. Tables above it cover more than this range. */
	if (n == PT_ENTRIES)
		pt_unlink_leaf(pt_impl(pt), iova, e, freed);
	return 0;
}

void moat_pt_prune(struct moat_pt *pt, uint64_t iova, uint64_t len, struct moat_pt_freed *freed)
{
	uint64_t last;

	if (len == 0 || iova >= pt->limit)
		return;
	last = len > pt->limit - iova ? pt->limit - 1 : iova + len - 1;
	pt_range_prune(pt_impl(pt), iova, last, freed);
}

/* ------------------------------------------------------------------------------------ usage */

static void count(const uint64_t *table, unsigned int level, uint64_t *mapped, uint64_t *pages)
{
	if (level == 1) {
		/* acquire: as in page_va; here only the pointer counts */
		*pages += 1 + (__atomic_load_n(&pt_page_of(table)->vas, __ATOMIC_ACQUIRE) != NULL);
	} else {
		*pages += 2;
	}
	for (unsigned int i = 0; i < PT_ENTRIES; i++) {
		uint64_t entry = pt_load(&table[i]);
		const uint64_t *child;

		if (entry == 0 || entry == MOAT_PT_POISON)
			continue;
		if (!pt_is_link(entry, level))
			*mapped += UINT64_C(1) << (pt_shift(level) - MOAT_PAGE_SHIFT);
		else if ((child = pt_child(table, i)) != NULL)
			count(child, level - 1, mapped, pages);
	}
}

void moat_pt_usage(const struct moat_pt *pt, uint64_t *mapped, uint64_t *table_pages)
{
	*mapped = 0;
	*table_pages = 0;
	count(pt_impl(pt)->root, pt->levels, mapped, table_pages);
}

/* -------------------------------------------------------------------------- create, destroy */

/* Address space for the granules of `width` bits; half of it where that is refused, and so on. */
static void reserve_granules(struct pt_impl *impl, unsigned int width)
{
	uint64_t n = UINT64_C(1) << (RTE_MIN(width, 48u) - MOAT_2M_SHIFT);

	for (; n >= PT_ENTRIES; n /= 2) { /* never part of a 1 GiB leaf */
		size_t bytes = n * sizeof(struct moat_pt_granule);
		void *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (m == MAP_FAILED)
			continue;
		/* One touched granule must not cost 2 MiB; and a core dump need not hold them. */
		(void)madvise(m, bytes, MADV_NOHUGEPAGE);
		(void)madvise(m, bytes, MADV_DONTDUMP);
		impl->reserved = bytes;
		impl->pub.granules = m;
		impl->pub.nr_granules = n;
		return;
	}
}

static int check_conf(const struct moat_pt_conf *conf)
{
	unsigned int max = MOAT_PAGE_SHIFT + 9 * conf->levels;

	if (conf->levels < 3 || conf->levels > 5)
		return moat_error(-EINVAL,
			"%u levels of page table: must be 3, 4 or 5 as the unit's SAGAW",
			conf->levels);
	if (conf->width != 0 && (conf->width < 30 || conf->width > max))
		return moat_error(-EINVAL,
			"width of %u bits: must be 30 to %u with %u levels of page table",
			conf->width, max, conf->levels);
	if (conf->leaf_sizes & ~(MOAT_2M_SIZE | MOAT_1G_SIZE))
		return moat_error(-EINVAL,
			"leaf sizes 0x%" PRIx64 ": only 2 MiB and 1 GiB exist beyond 4 KiB",
			conf->leaf_sizes);
	return 0;
}

int moat_pt_create(const struct moat_pt_conf *conf, struct moat_pt **pt)
{
	unsigned int width = conf->width != 0 ? conf->width : MOAT_PAGE_SHIFT + 9 * conf->levels;
	struct pt_impl *impl;
	int ret = check_conf(conf);

	if (ret != 0)
		return ret;
	impl = calloc(1, sizeof(*impl));
	if (impl == NULL)
		return moat_error(-ENOMEM, "no memory for a page table");
	impl->pool = conf->pool;
	impl->leaf_sizes = conf->leaf_sizes;
	impl->pub.levels = conf->levels;
	impl->pub.coherent = conf->coherent;
	impl->pub.leaf = MOAT_SS_LIN | (conf->snoop ? MOAT_SS_SNP : 0);
	impl->pub.limit = UINT64_C(1) << width;
	impl->root = pt_pool_take(conf->pool, 2);
	if (impl->root == NULL) {
		free(impl);
		return moat_error(-ENOMEM,
			"no memory for the root of a page table; give the pool more");
	}
	pt_page_of(impl->root)->level = conf->levels;
	impl->pub.root_hpa = pt_hpa_of(impl->root);
	pt_flush(impl, impl->root, MOAT_PAGE_SIZE);
	reserve_granules(impl, width);
	*pt = &impl->pub;
	return 0;
}

static void give_back(struct pt_impl *impl, uint64_t *table, unsigned int level)
{
	struct moat_pt_page *page = pt_page_of(table);

	for (unsigned int i = 0; level > 1 && i < PT_ENTRIES; i++)
		if (pt_is_link(table[i], level))
			give_back(impl, pt_child(table, i), level - 1);
	if (page->vas != NULL) {
		pt_page_of(page->vas)->dirty = true;
		pt_pool_put(impl->pool, pt_page_of(page->vas));
	}
	page->dirty = true;
	pt_pool_put(impl->pool, page);
}

void moat_pt_destroy(struct moat_pt *pt)
{
	struct pt_impl *impl = pt_impl(pt);

	if (pt == NULL)
		return;
	give_back(impl, impl->root, pt->levels);
	if (impl->reserved != 0)
		munmap(pt->granules, impl->reserved);
	free(impl);
}
