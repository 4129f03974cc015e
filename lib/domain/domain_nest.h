/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOMAIN_NEST_H
#define DOMAIN_NEST_H

/**
 * @file
 * Nested domains, for the files of lib/domain: a parent's window for the tables of its children,
 * and the duties of the two levels to each other.
 *
 * The unit translates the addresses of first-stage tables by second stage. So the children's tables
 * come from a pool of the parent's, whose chunks lie in the last part of its IOVAs, the *window*.
 * They are mapped there read-only: Accessed and Dirty are set in advance, so the unit never writes
 * to a table, and neither can a device that is attached to the parent. A chunk stays mapped until
 * the parent is destroyed.
 *
 * A child's unit caches what the parent maps under the child's domain-id. So each of the child's
 * domain-ids is an IOTLB tag of the parent's, from the child's creation to its end, and each device
 * TLB of the child's is one, too.
 */

#include "domain_impl.h"

struct moat_gather;

/** Can such a domain be created? @return 0, -EINVAL, -EOPNOTSUPP, -EBUSY */
int nest_check(const struct moat_unit *unit, const struct moat_domain_conf *conf);

/** Reserve the window of a parent, which has its table and its IOVAs, and create the pool for it.
 * @return 0 or a negative errno */
int nest_parent_init(struct moat_domain *domain);

/** Enter a complete child into its parent's list: from now on the parent's unmaps concern it.
 * @return 0, -ETIMEDOUT, -EIO */
int nest_child_enter(struct moat_domain *child);

/** Destroying a domain: nest_child_leave() before its table is destroyed, nest_parent_end() after.
 * Each does nothing for a domain that is not a child (a parent). */
void nest_child_leave(struct moat_domain *child);
void nest_parent_end(struct moat_domain *parent);

/** How many children there are. */
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

/** The parent has unmapped [address, address + len): see lane_nest.c. */
void nest_revoke(struct moat_domain *parent, uint64_t address, uint64_t len);

#endif /* DOMAIN_NEST_H */
