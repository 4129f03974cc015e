/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The walk from the root to a leaf, as the unit does it, while writers link and unlink tables.
 */
#include "pt_internal.h"

/* The companion word of `iova` in `table`, of `level`. Computed as an offset in bytes, because an
 * index would take one more operation. */
static inline const uint64_t *link_at(const uint64_t *table, unsigned int level, uint64_t iova)
{
	uint64_t at = (iova >> (pt_shift(level) - 3)) & ((PT_ENTRIES - 1) * sizeof(*table));

	return (const uint64_t *)((uintptr_t)(table + PT_ENTRIES) + at);
}

/* Walk down from `table`, of `level`, until no link leads further. @return the level there.
 * Unrolled: a shift by a constant is one operation, and each level has its own branch. */
static inline unsigned int descend(const uint64_t **table, unsigned int level, uint64_t iova)
{
	const uint64_t *t = *table;
	uint64_t child;

#define DOWN(l)                               \
	child = pt_load(link_at(t, l, iova)); \
	if (unlikely(!(child & PT_LINK))) {   \
		*table = t;                   \
		return l;                     \
	}                                     \
	t = (const uint64_t *)(uintptr_t)(child - PT_LINK)

	if (unlikely(level == 5)) {
		DOWN(5);
	}
	if (likely(level >= 4)) {
		DOWN(4);
	}
	DOWN(3);
	DOWN(2);
#undef DOWN
	*table = t;
	return 1;
}

static inline void fill_leaf(struct moat_pt_leaf *leaf, uint64_t entry, uint64_t iova,
	uint64_t size)
{
	leaf->entry = entry;
	leaf->size = size;
	leaf->hpa = (entry & MOAT_SS_ADDR & ~(size - 1)) | (iova & (size - 1));
}

/* Read the leaf at `iova` in `table`, where the walk ended. */
static inline int read_leaf(const uint64_t *table, unsigned int level, uint64_t iova,
	struct moat_pt_leaf *leaf)
{
	uint64_t entry = pt_load(&table[pt_index(iova, level)]);

	/* A poisoned page was given back during the walk and maps nothing any more. Nor does a link
	 * here, which was made after its companion word was loaded. */
	if (unlikely((entry & MOAT_RW) == 0 || entry == MOAT_PT_POISON || pt_is_link(entry, level)))
		return -ENOENT;
	fill_leaf(leaf, entry, iova, UINT64_C(1) << pt_shift(level));
	return 0;
}

/* read_leaf(), not inlined, so that its caller's fast path needs no registers for it. */
static __rte_noinline int read_any(const uint64_t *table, unsigned int level, uint64_t iova,
	struct moat_pt_leaf *leaf)
{
	return read_leaf(table, level, iova, leaf);
}

/* Walk from the root to what most walks find: a 4 KiB page at its table's delta. False: the walk
 * ended elsewhere, in `*table` of `*level`. Only leaves have MOAT_PT_LIN; poison does not. */
static inline bool find_usual(const struct moat_pt *pt, uint64_t iova, struct moat_pt_leaf *leaf,
	const uint64_t **table, unsigned int *level)
{
	uint64_t entry;

	*table = pt_impl(pt)->root;
	*level = descend(table, pt->levels, iova);
	if (unlikely(*level != 1))
		return false;
	entry = pt_load(&(*table)[pt_index(iova, 1)]);
	if (unlikely(!(entry & MOAT_PT_LIN)))
		return false;
	fill_leaf(leaf, entry, iova, MOAT_PAGE_SIZE);
	return true;
}

int moat_pt_walk(const struct moat_pt *pt, uint64_t iova, struct moat_pt_leaf *leaf)
{
	const uint64_t *table;
	unsigned int level;

	if (unlikely(iova >= pt->limit))
		return -ERANGE;
	if (likely(find_usual(pt, iova, leaf, &table, &level)))
		return 0;
	return read_any(table, level, iova, leaf);
}

/* The virtual address of a 4 KiB page, from its table's metadata; 0: it has none. */
static inline uint64_t page_va(const uint64_t *table, uint64_t iova, uint64_t entry)
{
	const uint64_t *vas;
	uint64_t va;

	if (likely(entry & MOAT_PT_LIN))
		return iova + pt_delta(table);
	/* acquire: the array was zeroed before it was linked; a word is stored before its entry */
	vas = __atomic_load_n(&pt_page_of(table)->vas, __ATOMIC_ACQUIRE);
	if (vas == NULL)
		return 0;
	va = pt_load(&vas[pt_index(iova, 1)]);
	return va != 0 ? va + (iova & MOAT_PAGE_MASK) : 0;
}

/* The virtual address of a superpage, from its granule or, beyond the window, its companion word.
 * `*sure` is false if these may belong to another leaf, because a writer is changing them. */
static uint64_t super_va(const struct moat_pt *pt, const uint64_t *table, unsigned int level,
	uint64_t iova, uint64_t entry, bool *sure)
{
	unsigned int i = pt_index(iova, level);
	uint64_t g = iova >> MOAT_2M_SHIFT, va, nr;
	/* loaded after the entry: the window that the entry's writer found, or a newer one */
	const struct moat_pt_granule *granules = moat_pt_window(pt, &nr);

	*sure = true;
	if (!(entry & MOAT_PT_LIN))
		return 0;
	/* acquire: loaded before the entry is loaded again. Writers store a leaf after its delta or
	 * its virtual address, so if the entry is the same, both belong together. */
	if (g < nr) {
		va = iova + atomic_load_explicit(&granules[g].delta, memory_order_acquire);
	} else {
		va = pt_load(&table[PT_ENTRIES + i]);
		*sure = va & PT_VA;
		va = (va & ~PT_VA) + (iova & ((UINT64_C(1) << pt_shift(level)) - 1));
	}
	*sure = *sure && pt_load(&table[i]) == entry;
	return va;
}

/* Find a leaf of any size, with any virtual address or none, at `iova` in `table`, of `level`. */
static __rte_noinline int find_any(const struct moat_pt *pt, const uint64_t *table,
	unsigned int level, uint64_t iova, struct moat_pt_leaf *leaf, void **va)
{
	for (;;) {
		bool sure;

		if (read_leaf(table, level, iova, leaf) != 0)
			return -ENOENT;
		if (level == 1) {
			*va = (void *)page_va(table, iova, leaf->entry);
			return 0;
		}
		*va = (void *)super_va(pt, table, level, iova, leaf->entry, &sure);
		if (likely(sure))
			return 0;
		table = pt_impl(pt)->root;
		level = descend(&table, pt->levels, iova);
	}
}

int moat_pt_walk_va(const struct moat_pt *pt, uint64_t iova, struct moat_pt_leaf *leaf, void **va)
{
	const uint64_t *table;
	unsigned int level;

	if (unlikely(iova >= pt->limit))
		return -ERANGE;
	if (unlikely(!find_usual(pt, iova, leaf, &table, &level)))
		return find_any(pt, table, level, iova, leaf, va);
	*va = (void *)(iova + pt_delta(table));
	return 0;
}

int moat_pt_find(const struct moat_pt *pt, uint64_t iova, struct moat_pt_leaf *leaf, void **va,
	bool *walked)
{
	uint64_t g = iova >> MOAT_2M_SHIFT, nr;
	const struct moat_pt_granule *granules = moat_pt_window(pt, &nr);

	if (likely(g < nr)) {
		/* acquire: pairs with the store of the lcore that linked the table */
		uintptr_t t = atomic_load_explicit(&granules[g].table, memory_order_acquire);
		const uint64_t *table = (const uint64_t *)(t - MOAT_PAGE_SHIFT);

		if (likely((t & MOAT_PT_SHIFT) == MOAT_PAGE_SHIFT &&
			    read_leaf(table, 1, iova, leaf) == 0)) {
			*va = (void *)page_va(table, iova, leaf->entry);
			return 0;
		}
	}
	*walked = true;
	return moat_pt_walk_va(pt, iova, leaf, va);
}
