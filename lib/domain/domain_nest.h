/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOMAIN_NEST_H
#define DOMAIN_NEST_H

/**
 * @file
 * Nested domains, for the files of lib/domain: a parent's window for the tables of its children,
 * and what parent and child must do for each other.
 *
 * The unit translates the addresses of first-stage tables by second stage. So the children's tables
 * come from a pool whose chunks are mapped in the last part of the parent's IOVAs, the *window*.
 * The chunks are mapped read-only: Accessed and Dirty are set in advance, so the unit never writes
 * to a table, and neither can a device that is attached to the parent. A chunk stays mapped until
 * the parent is destroyed.
 *
 * A unit caches translations of a child, and so of its parent's maps, under the child's domain-id.
 * So each domain-id of the child is an IOTLB tag of the parent, from the child's creation to its
 * end, and each device TLB of the child is a tag of the parent, too.
 */

#include "domain_impl.h"

struct moat_gather;

/** Check the nesting of a domain that is to be created. @return 0, -EINVAL, -EOPNOTSUPP */
int nest_check(const struct moat_unit *unit, const struct moat_domain_conf *conf);

/** Reserve the window of a parent, whose table and IOVA space exist, and create its pool.
 * @return 0 or a negative errno */
int nest_parent_init(struct moat_domain *domain);

/** Add a complete child to its parent's list: from now on the parent's unmaps revoke its entries.
 * @return 0, -ETIMEDOUT, -EIO */
int nest_child_enter(struct moat_domain *child);

/** When a domain is destroyed: nest_child_leave() must precede moat_pt_destroy(), and
 * nest_parent_end() must follow it. Each does nothing if the domain is not a child, or not a
 * parent. */
void nest_child_leave(struct moat_domain *child);
void nest_parent_end(struct moat_domain *parent);

/** The number of the parent's children. */
uint32_t nest_children(struct moat_domain *parent);

/** Does [iova, iova + len) touch the parent's window? */
static inline bool nest_is_window(const struct moat_domain *parent, uint64_t iova, uint64_t len)
{
	const struct moat_range *w = &domain_impl(parent)->window;

	return iova < w->iova + w->len && w->iova < iova + len;
}

/**
 * Make new chunks of the window visible to units that may have cached their absence, or that need
 * their write buffer flushed. Waits for these units.
 * @return 0, -ETIMEDOUT, -EIO
 */
int nest_window_settle(struct moat_domain *parent, uint64_t *commands);

/** Revoke the children's entries that lead to [address, address + len), which the parent has
 * unmapped: see lane_nest.c. */
void nest_revoke(struct moat_domain *parent, uint64_t address, uint64_t len);

#endif /* DOMAIN_NEST_H */
