/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The life of a table: create, count what it holds, destroy.
 */
#include <errno.h>
#include <inttypes.h>

#include "moat_slab.h"
#include "pt_internal.h"

/* ------------------------------------------------------------------------------------ usage */

static void table_count(const uint64_t *table, unsigned int level, uint64_t *mapped,
	uint64_t *pages)
{
	if (level == 1) {
		/* acquire: as in page_va(), though only the pointer is used here */
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
			table_count(child, level - 1, mapped, pages);
	}
}

void moat_pt_usage(const struct moat_pt *pt, uint64_t *mapped, uint64_t *table_pages)
{
	*mapped = 0;
	*table_pages = 0;
	table_count(pt_impl(pt)->root, pt->levels, mapped, table_pages);
}

/* -------------------------------------------------------------------------- create, destroy */

/* An odd number of cache lines, so that the same granule of many domains lies in many sets of the
 * caches. */
static struct moat_slab tables = { .size = (PT_OBJECT_LINES | 1) * RTE_CACHE_LINE_SIZE };

/* Check `conf`. @return 0, and `*width` receives the bits of IOVA that it asks for; -EINVAL */
static int conf_check(const struct moat_pt_conf *conf, unsigned int *width)
{
	const struct pt_format *format;
	unsigned int max;

	if ((unsigned int)conf->format >= RTE_DIM(pt_formats))
		return moat_error(-EINVAL,
			"page table format %u: must be MOAT_PT_SECOND_STAGE or MOAT_PT_FIRST_STAGE",
			(unsigned int)conf->format);
	format = &pt_formats[conf->format];
	max = MOAT_PAGE_SHIFT + 9 * conf->levels - format->unused_bits;
	if (conf->levels < format->min_levels || conf->levels > format->max_levels)
		return moat_error(-EINVAL,
			"%u levels of %s page table: must be %u to %u, "
			"and allowed by the unit's %s",
			conf->levels, format->name, format->min_levels, format->max_levels,
			conf->format == MOAT_PT_SECOND_STAGE ? "SAGAW" : "FSTS and FS5LP");
	if (conf->width != 0 && (conf->width < 30 || conf->width > max))
		return moat_error(-EINVAL,
			"width of %u bits: must be 30 to %u with %u levels of %s page table",
			conf->width, max, conf->levels, format->name);
	if (conf->leaf_sizes & ~(MOAT_2M_SIZE | MOAT_1G_SIZE))
		return moat_error(-EINVAL,
			"leaf sizes 0x%" PRIx64 ": must be 2 MiB, 1 GiB, both, or 0 (4 KiB only)",
			conf->leaf_sizes);
	*width = conf->width != 0 ? conf->width : max;
	return 0;
}

int moat_pt_create(const struct moat_pt_conf *conf, struct moat_pt **pt)
{
	struct pt_impl *impl;
	unsigned int width = 0;
	int ret = conf_check(conf, &width);

	if (ret != 0)
		return ret;
	impl = moat_slab_alloc(&tables);
	if (impl == NULL)
		return moat_error(-ENOMEM, "no memory for a page table");
	impl->format = pt_formats[conf->format];
	for (unsigned int prot = MOAT_R; prot <= MOAT_RW; prot++) {
		impl->format.leaf[prot] |= conf->snoop ? impl->format.snoop : 0;
		impl->linear[prot] = impl->format.leaf[prot] | MOAT_PT_LIN;
	}
	impl->pool = conf->pool;
	impl->leaf_sizes = conf->leaf_sizes;
	impl->pub.levels = conf->levels;
	impl->pub.coherent = conf->coherent;
	impl->pub.format = conf->format;
	impl->pub.limit = UINT64_C(1) << width;
	impl->root = pt_pool_take(conf->pool, conf->levels);
	if (impl->root == NULL) {
		moat_slab_free(&tables, impl);
		return moat_error(-ENOMEM,
			"no memory for the root of a page table; give the pool more memory");
	}
	impl->pub.root_hpa = pt_hpa_of(impl->root);
	pt_flush(impl, impl->root, MOAT_PAGE_SIZE);
	pt_window_open(impl, width);
	*pt = &impl->pub;
	return 0;
}

static void table_give_back(struct pt_impl *impl, uint64_t *table, unsigned int level)
{
	struct moat_pt_page *page = pt_page_of(table);

	for (unsigned int i = 0; level > 1 && i < PT_ENTRIES; i++)
		if (pt_is_link(table[i], level))
			table_give_back(impl, pt_child(table, i), level - 1);
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
	table_give_back(impl, impl->root, pt->levels);
	pt_window_close(impl);
	moat_slab_free(&tables, impl);
}
