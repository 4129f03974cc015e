/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Take permissions from leaves while other threads write the table.
 */
#include "pt_internal.h"
#include "pt_nest.h"

/* The bits of a leaf that let a unit or a reader use it. Without P, first stage ignores all other
 * bits: those that stay keep the slot occupied, as a leaf of its level (PS). */
#define PERMISSION (MOAT_FS_P | MOAT_FS_RW | MOAT_PT_LIN)

struct revocation {
	struct pt_impl *impl;
	uint64_t first, last; /* addresses, last included */
	pt_revoked fn;
	void *ctx;
};

/* Does the entry lead into the range? Poison and revoked leaves do not. */
static bool leads_there(const struct revocation *r, uint64_t entry, uint64_t size)
{
	uint64_t address = entry & MOAT_FS_ADDR & ~(size - 1);

	return (entry & MOAT_FS_P) != 0 && entry != MOAT_PT_POISON && address <= r->last &&
		address + size - 1 >= r->first;
}

static void leaf_revoke(const struct revocation *r, uint64_t *slot, uint64_t entry,
	unsigned int level, uint64_t iova)
{
	uint64_t size = UINT64_C(1) << pt_shift(level);

	while (leads_there(r, entry, size)) {
		/* The entry's writer may clear it at any moment, so replace only the value that was
		 * seen. Relaxed: the caller's barriers order this. */
		if (!__atomic_compare_exchange_n(slot, &entry, entry & ~PERMISSION, false,
			    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			continue;
		pt_flush(r->impl, slot, sizeof(*slot));
		if (r->fn != NULL)
			r->fn(r->ctx, iova, size, entry & MOAT_FS_ADDR & ~(size - 1));
		return;
	}
}

static void table_revoke(const struct revocation *r, uint64_t *table, unsigned int level,
	uint64_t iova)
{
	for (unsigned int i = 0; i < PT_ENTRIES; i++) {
		uint64_t entry = pt_load(&table[i]);
		uint64_t at = iova + ((uint64_t)i << pt_shift(level));
		uint64_t *child = level > 1 ? pt_child(table, i) : NULL;

		if (child != NULL)
			table_revoke(r, child, level - 1, at);
		else if (entry != 0 && !pt_is_link(entry, level))
			leaf_revoke(r, &table[i], entry, level, at);
	}
}

void pt_revoke(struct moat_pt *pt, uint64_t address, uint64_t len, pt_revoked fn, void *ctx)
{
	const struct revocation r = { .impl = pt_impl(pt),
		.first = address,
		.last = address + len - 1,
		.fn = fn,
		.ctx = ctx };

	table_revoke(&r, pt_impl(pt)->root, pt->levels, 0);
}

bool pt_is_revoked(const struct moat_pt *pt, uint64_t iova)
{
	const uint64_t *table = pt_impl(pt)->root, *child;
	unsigned int level = pt->levels;
	uint64_t entry;

	if (iova >= pt->limit)
		return false;
	while (level > 1 && (child = pt_child(table, pt_index(iova, level))) != NULL) {
		table = child;
		level--;
	}
	entry = pt_load(&table[pt_index(iova, level)]);
	return entry != 0 && !pt_is_link(entry, level) && (entry & MOAT_FS_P) == 0;
}
