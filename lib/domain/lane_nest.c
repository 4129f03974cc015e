/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Mapping in a nested domain: the composed answer.
 *
 * A child's entry leads to an address of the parent, and has the virtual address that the parent
 * has there. Meanwhile the parent may unmap that address. An unmap clears the parent's entries and
 * then searches the children's tables for entries that lead there (N1, nest_revoke()). A map stores
 * the child's entries and then reads the parent's again (N2). Each has a full barrier between its
 * two steps, so either the search finds the child's entries, or the map finds the parent's cleared
 * and removes the child's again.
 *
 * Until then other lanes may translate by the child's entries. They do so no later than the
 * parent's ticket, because the mapping lane is a reader of the parent until N2.
 */

#include <errno.h>
#include <inttypes.h>

#include "domain_nest.h"
#include "lane_impl.h"

/* A part of a child's map whose memory is one run of virtual addresses in the parent. */
struct piece {
	uint64_t len;
	uint8_t *va; /* NULL: the parent has none */
};

static int no_piece(const struct moat_domain *child, uint64_t address)
{
	return moat_error(-EFAULT,
		"domain '%s': 0x%" PRIx64 " is not mapped in its parent '%s'; map it there first",
		child->name, address, child->parent->name);
}

/* Find the first piece of [address, address + len). */
static int find_piece(const struct moat_domain *child, uint64_t address, uint64_t len,
	enum moat_prot prot, struct piece *piece)
{
	const struct moat_pt *pt = child->parent->pt;
	struct moat_pt_leaf leaf;
	bool walked;
	void *va;

	*piece = (struct piece){ .len = 0 };
	while (piece->len < len) {
		uint64_t at = address + piece->len;

		if (moat_pt_find(pt, at, &leaf, &va, &walked) != 0)
			return piece->len != 0 ? 0 : no_piece(child, at);
		if ((leaf.entry & prot) != (uint64_t)prot)
			return piece->len != 0
				? 0
				: moat_error(-EACCES,
					  "domain '%s': its parent '%s' maps 0x%" PRIx64
					  " without permission to %s",
					  child->name, child->parent->name, at,
					  leaf.entry & MOAT_R ? "write" : "read");
		if (piece->len == 0)
			piece->va = va;
		else if (va != (piece->va != NULL ? piece->va + piece->len : NULL))
			return 0;
		piece->len += RTE_MIN(leaf.size - (at & (leaf.size - 1)), len - piece->len);
	}
	return 0;
}

int lane_nest_check(const struct lane *lane, uint64_t address, const void *va, uint64_t len,
	enum moat_prot prot)
{
	struct piece piece;
	int rc;

	/* N2: the child's entries are stored before the parent's are read again. Pairs with N1. */
	atomic_thread_fence(memory_order_seq_cst);
	rc = find_piece(lane->domain, address, len, prot, &piece);
	if (rc == 0 && (piece.len != len || piece.va != va))
		rc = no_piece(lane->domain, address + piece.len);
	return rc;
}

static int map_pieces(struct lane *lane, uint64_t iova, uint64_t address, const uint8_t *va,
	uint64_t len, enum moat_prot prot)
{
	uint64_t done = 0;
	int rc = 0;

	while (done < len && rc == 0) {
		struct piece piece;

		rc = find_piece(lane->domain, address + done, len - done, prot, &piece);
		if (rc == 0 && va != NULL && va + done != piece.va)
			rc = moat_error(-EINVAL,
				"domain '%s': its parent '%s' maps 0x%" PRIx64 " to %p, not to %p",
				lane->domain->name, lane->domain->parent->name, address + done,
				(void *)piece.va, (const void *)(va + done));
		if (rc == 0)
			rc = lane_map_run(lane, iova + done, address + done, piece.va, piece.len,
				prot);
		if (rc == 0)
			done += piece.len;
	}
	return rc == 0 ? 0 : lane_undo_pieces(&lane->pub, iova, done, rc);
}

static int window_error(const struct moat_domain *parent, int err)
{
	const struct moat_range *w = &domain_impl(parent)->window;

	return moat_error(err,
		"domain '%s': 0x%" PRIx64 " to 0x%" PRIx64
		" hold the tables of its children; use lower addresses",
		parent->name, w->iova, w->iova + w->len - 1);
}

int lane_nest_map(struct lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot)
{
	struct moat_domain *domain = lane->domain;
	enum lane_rcu was;
	int rc;

	if (domain->nesting == MOAT_NEST_PARENT)
		return nest_is_window(domain, iova, len)
			? window_error(domain, -ERANGE)
			: lane_map_run(lane, iova, hpa, va, len, prot);
	if (((iova | hpa | len | (uintptr_t)va) & MOAT_PAGE_MASK) != 0 || len == 0 ||
		hpa + len < hpa)
		return lane_map_run(lane, iova, hpa, va, len, prot); /* reports the error */
	if (nest_is_window(domain->parent, hpa, len))
		return window_error(domain->parent, -EFAULT);
	if (prot & MOAT_W)
		prot = MOAT_RW; /* first stage has no write-only pages */
	if (likely(lane->online))
		return map_pieces(lane, iova, hpa, va, len, prot);
	was = lane_rcu_begin();
	lane_parent_enter(lane);
	rc = map_pieces(lane, iova, hpa, va, len, prot);
	lane_parent_leave(lane);
	lane_rcu_end(was);
	return rc;
}

int lane_nest_unmap(const struct lane *lane, uint64_t iova, uint64_t len)
{
	const struct moat_domain *domain = lane->domain;

	return domain->nesting == MOAT_NEST_PARENT && nest_is_window(domain, iova, len)
		? window_error(domain, -ERANGE)
		: 0;
}
