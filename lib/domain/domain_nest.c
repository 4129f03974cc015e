/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Nested domains: see domain_nest.h. */

#include <errno.h>
#include <inttypes.h>

#include "domain_nest.h"
#include "lane_impl.h"
#include "pt_nest.h"

int nest_check(const struct moat_unit *unit, const struct moat_domain_conf *conf)
{
	const struct moat_domain *parent = conf->parent;

	if (parent == NULL && !conf->nest_parent)
		return 0;
	if (parent != NULL && conf->nest_parent)
		return moat_error(-EINVAL,
			"domain '%s' cannot be a child and a parent: there are only two stages",
			conf->name);
	if (unit->caps.tables != MOAT_TABLES_OURS || unit->caps.nested.sagaw == 0)
		return moat_error(-EOPNOTSUPP,
			"domain '%s': unit %s does not nest; give it mode=scalable,stage=nested",
			conf->name, unit->name);
	if (parent != NULL && parent->unit != unit)
		return moat_error(-EINVAL, "domain '%s': its parent '%s' is on unit %s, not on %s",
			conf->name, parent->name, parent->unit->name, unit->name);
	if (parent != NULL && parent->nesting != MOAT_NEST_PARENT)
		return moat_error(-EINVAL,
			"domain '%s': '%s' cannot be its parent; create the parent with "
			"nest_parent",
			conf->name, parent->name);
	return 0;
}

/* --------------------------------------------------------------------------- the window */

/* Map a chunk in the window. The pool's lock is held, so there is one chunk at a time. */
static int window_enter(void *ctx, void *va, uint64_t hpa, uint64_t *address)
{
	struct domain_impl *impl = ctx;
	uint64_t at = impl->window.iova + impl->window_used;
	int rc;

	if (impl->window_used == impl->window.len)
		return -ENOSPC;
	/* no virtual address: no lane translates to a table */
	rc = moat_pt_map(impl->pub.pt, at, hpa, NULL, MOAT_2M_SIZE, MOAT_R, NULL);
	if (rc != 0)
		return rc;
	impl->window_used += MOAT_2M_SIZE;
	/* release: pairs with the acquire in nest_window_settle(), so that a thread that sees the
	 * new version sees the entry too. */
	atomic_fetch_add_explicit(&impl->window_version, 1, memory_order_release);
	*address = at;
	return 0;
}

int nest_window_settle(struct moat_domain *parent, uint64_t *commands)
{
	struct domain_impl *impl = domain_impl(parent);
	/* acquire: pairs with window_enter(). A thread that uses a table of a chunk got the table
	 * under the pool's lock or found it linked, so it sees the chunk's version. */
	uint32_t version = atomic_load_explicit(&impl->window_version, memory_order_acquire);
	int rc;

	if (!atomic_load_explicit(&impl->settles, memory_order_relaxed) ||
		atomic_load_explicit(&impl->window_settled, memory_order_relaxed) == version)
		return 0;
	rc = domain_flush_writes(parent);
	if (rc == 0)
		rc = domain_invalidate_sync(parent, NULL, commands);
	/* relaxed: a stale version only settles the window once more */
	if (rc == 0)
		atomic_store_explicit(&impl->window_settled, version, memory_order_relaxed);
	return rc;
}

int nest_parent_init(struct moat_domain *domain)
{
	struct domain_impl *impl = domain_impl(domain);
	const struct pt_place place = { window_enter, impl };
	uint64_t space = UINT64_C(1) << domain->width;

	if (domain->nesting != MOAT_NEST_PARENT)
		return 0;
	impl->window.len = RTE_MIN(MOAT_1G_SIZE, space / 8);
	impl->window.iova = space - impl->window.len;
	if (impl->iova_base > impl->window.iova)
		return moat_error(-EINVAL,
			"domain '%s': iova_base 0x%" PRIx64 " is beyond 0x%" PRIx64
			", where its children's tables begin; choose a lower one",
			domain->name, impl->iova_base, impl->window.iova);
	int rc = moat_iova_reserve(domain->iova, impl->window.iova, impl->window.len);

	if (rc == 0)
		rc = pt_pool_create_over(domain->unit->pool, &place, &impl->child_tables);
	return rc;
}

void nest_parent_end(struct moat_domain *parent)
{
	pt_pool_leave(domain_impl(parent)->child_tables);
}

/* ------------------------------------------------------------------------- the children */

int nest_child_enter(struct moat_domain *child)
{
	struct domain_impl *parent;
	uint64_t commands = 0;

	if (child->nesting != MOAT_NEST_CHILD)
		return 0;
	parent = domain_impl(child->parent);
	pthread_mutex_lock(&parent->lock);
	domain_impl(child)->sibling = parent->children;
	parent->children = domain_impl(child);
	parent->nr_children++;
	pthread_mutex_unlock(&parent->lock);
	return nest_window_settle(child->parent, &commands);
}

void nest_child_leave(struct moat_domain *child)
{
	struct domain_impl *parent, **at;

	if (child->nesting != MOAT_NEST_CHILD)
		return;
	parent = domain_impl(child->parent);
	pthread_mutex_lock(&parent->lock);
	for (at = &parent->children; *at != NULL && *at != domain_impl(child);)
		at = &(*at)->sibling;
	if (*at != NULL) { /* else the child's creation failed before it was added */
		*at = (*at)->sibling;
		parent->nr_children--;
	}
	pthread_mutex_unlock(&parent->lock);
}

uint32_t nest_children(struct moat_domain *parent)
{
	struct domain_impl *impl = domain_impl(parent);
	uint32_t n;

	pthread_mutex_lock(&impl->lock);
	n = impl->nr_children;
	pthread_mutex_unlock(&impl->lock);
	return n;
}

static void tell_revoked(void *ctx, uint64_t iova, uint64_t len, uint64_t address)
{
	const struct moat_domain *child = ctx;
	struct moat_witness *witness = child->unit->witness;

	witness->parent_unmapped(witness, child->did, iova, len, child->parent->did, address);
}

void nest_revoke(struct moat_domain *parent, uint64_t address, uint64_t len)
{
	struct domain_impl *impl = domain_impl(parent);
	const struct moat_witness *witness = parent->unit->witness;
	bool watched = witness != NULL && witness->parent_unmapped != NULL;
	enum lane_rcu was = lane_rcu_begin();

	/* N1: the parent's entries are cleared before the children's are read. Pairs with N2 in
	 * lane_nest.c. */
	atomic_thread_fence(memory_order_seq_cst);
	pthread_mutex_lock(&impl->lock);
	for (const struct domain_impl *c = impl->children; c != NULL; c = c->sibling)
		pt_revoke(c->pub.pt, address, len, watched ? tell_revoked : NULL,
			(void *)(uintptr_t)&c->pub);
	pthread_mutex_unlock(&impl->lock);
	lane_rcu_end(was);
}
