/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_pause.h>
#include <rte_string_fns.h>

#include "domain_impl.h"

/* One lock for all units' domain-ids: taken twice in a domain's life. */
static pthread_mutex_t did_lock = PTHREAD_MUTEX_INITIALIZER;

/* Domain-id 0 stays unused: with CAP.CM the unit tags absent entries with it. */
static int did_alloc(struct moat_unit *unit, uint16_t *did)
{
	uint32_t nd = unit->caps.nd;

	pthread_mutex_lock(&did_lock);
	for (uint32_t i = 1; i < nd; i++) {
		if (unit->dids[i / 64] == UINT64_MAX) {
			i |= 63;
			continue;
		}
		if (unit->dids[i / 64] & (UINT64_C(1) << (i % 64)))
			continue;
		unit->dids[i / 64] |= UINT64_C(1) << (i % 64);
		pthread_mutex_unlock(&did_lock);
		*did = (uint16_t)i;
		return 0;
	}
	pthread_mutex_unlock(&did_lock);
	return moat_error(-ENOSPC,
		"unit %s has no domain-id left (CAP.ND allows %" PRIu32 "); "
		"use fewer tenants on this unit",
		unit->name, nd);
}

static void did_free(struct moat_unit *unit, uint16_t did)
{
	pthread_mutex_lock(&did_lock);
	unit->dids[did / 64] &= ~(UINT64_C(1) << (did % 64));
	pthread_mutex_unlock(&did_lock);
}

/* The shallowest tables that the unit walks and that hold `width` bits. */
static int choose_levels(const struct moat_unit *unit, uint8_t width, uint8_t *levels)
{
	uint8_t widest;

	if (unit->caps.owns_tables && width <= unit->caps.mgaw) { /* ours alone, for the shadow */
		*levels = width <= 39 ? 3 : width <= 48 ? 4 : 5;
		return 0;
	}
	widest = unit->caps.owns_tables ? unit->caps.mgaw : 0;
	for (uint8_t l = 3; l <= 5 && !unit->caps.owns_tables; l++) {
		if (!(unit->caps.sagaw & (1u << (l - 2))))
			continue;
		widest = RTE_MIN(12 + 9 * l, unit->caps.mgaw);
		if (width <= 12 + 9 * l && width <= unit->caps.mgaw) {
			*levels = l;
			return 0;
		}
	}
	return moat_error(-EINVAL,
		"an IOVA width of %u bits is more than unit %s has (%u); ask for %u or fewer",
		width, unit->name, widest, widest);
}

static uint8_t unit_width(const struct moat_unit *unit)
{
	uint8_t widest = 0;

	if (unit->caps.owns_tables)
		return unit->caps.mgaw;
	for (uint8_t l = 3; l <= 5; l++)
		if (unit->caps.sagaw & (1u << (l - 2)))
			widest = 12 + 9 * l;
	return RTE_MIN(widest, unit->caps.mgaw);
}

static struct rte_rcu_qsbr *readers_create(void)
{
	size_t size = rte_rcu_qsbr_get_memsize(MOAT_DOMAIN_LANES);
	struct rte_rcu_qsbr *readers = aligned_alloc(RTE_CACHE_LINE_SIZE, size);

	if (readers != NULL && rte_rcu_qsbr_init(readers, MOAT_DOMAIN_LANES) != 0) {
		free(readers);
		readers = NULL;
	}
	return readers;
}

static void domain_free(struct moat_domain *domain)
{
	if (domain->priv != NULL)
		domain->unit->ops->close(domain->unit, domain->priv);
	if (domain->iova != NULL)
		moat_iova_destroy(domain->iova);
	if (domain->pt != NULL)
		moat_pt_destroy(domain->pt);
	if (domain->did != 0)
		did_free(domain->unit, domain->did);
	free(domain->readers);
	pthread_mutex_destroy(&domain_impl(domain)->lock);
	free(domain);
}

/* What the unit cannot translate is never handed out. */
static int reserve(struct moat_domain *domain, uint64_t base)
{
	const struct moat_unit_caps *caps = &domain->unit->caps;
	uint64_t limit = UINT64_C(1) << domain->width;
	int rc = 0;

	for (unsigned int i = 0; i < caps->nr_reserved && rc == 0; i++) {
		uint64_t first = RTE_MAX(caps->reserved[i].iova, base);
		uint64_t end = RTE_MIN(caps->reserved[i].iova + caps->reserved[i].len, limit);

		if (first < end)
			rc = moat_iova_reserve(domain->iova, first, end - first);
	}
	return rc;
}

static int domain_init(struct moat_domain *domain, const struct moat_domain_conf *conf)
{
	struct moat_unit *unit = domain->unit;
	struct moat_pt_conf pt = {
		.pool = unit->pool,
		.width = domain->width,
		.leaf_sizes = (conf->leaf_sizes != 0 ? conf->leaf_sizes : UINT64_MAX) &
			unit->caps.leaf_sizes,
		.coherent = unit->caps.coherent || unit->caps.owns_tables,
		.snoop = unit->caps.snoop_control,
	};
	uint64_t base = conf->iova_base != 0 ? conf->iova_base : MOAT_2M_SIZE;
	int rc;

	rc = choose_levels(unit, domain->width, &pt.levels);
	if (rc == 0)
		rc = did_alloc(unit, &domain->did);
	if (rc == 0)
		rc = moat_pt_create(&pt, &domain->pt);
	if (rc == 0)
		rc = moat_iova_create(base, UINT64_C(1) << domain->width, &domain->iova);
	if (rc == 0)
		rc = reserve(domain, base);
	if (rc == 0 && unit->caps.owns_tables)
		rc = unit->ops->open(unit, domain, &domain->priv);
	return rc;
}

int moat_domain_create(struct moat_unit *unit, const struct moat_domain_conf *conf,
	struct moat_domain **out)
{
	struct domain_impl *impl;
	struct moat_domain *domain;
	int rc;

	if (unit == NULL || conf == NULL || conf->name == NULL)
		return moat_error(-EINVAL, "a domain needs %s",
			unit == NULL ? "a unit; create one first" : "a configuration with a name");
	impl = calloc(1, sizeof(*impl));
	domain = &impl->pub;
	if (impl == NULL)
		return moat_error(-ENOMEM, "no memory for domain '%s'", conf->name);
	pthread_mutex_init(&impl->lock, NULL);
	rte_strscpy(domain->name, conf->name, sizeof(domain->name));
	domain->unit = unit;
	domain->width = conf->width != 0 ? conf->width : unit_width(unit);
	domain->readers = readers_create();
	rc = domain->readers != NULL ? domain_init(domain, conf)
				     : moat_error(-ENOMEM, "no memory for domain '%s'", conf->name);
	if (rc != 0) {
		domain_free(domain);
		return rc;
	}
	*out = domain;
	return 0;
}

int domain_invalidate_sync(struct moat_domain *domain, const struct moat_qi_desc desc[],
	unsigned int n)
{
	struct moat_qi *qi = domain->unit->qi;
	uint64_t deadline = moat_now_us() + DOMAIN_PATIENCE_US;
	int64_t seq;

	for (unsigned int tries = 0; tries < 2; tries++) {
		while ((seq = moat_qi_submit(qi, desc, n)) == -EAGAIN) {
			if (moat_now_us() > deadline)
				return moat_error(-ETIMEDOUT,
					"the invalidation queue of unit %s has been full for 1 s; "
					"the unit does not process it",
					domain->unit->name);
			moat_qi_done(qi, INT64_MAX); /* lets the unit run */
			moat_lanes_quiescent();
			rte_pause();
		}
		int rc = seq < 0 ? (int)seq
				 : moat_qi_wait_turns(qi, seq, 0, moat_lanes_quiescent);
		if (rc != 0)
			return rc;
		if (!moat_qi_failed(qi, seq))
			return 0;
	}
	return moat_error(-EIO, "unit %s refuses to invalidate domain '%s' (domain-id %u)",
		domain->unit->name, domain->name, domain->did);
}

/* ------------------------------------------------------------------------------- sources */

/* `lock` is held. NULL: not in the list. */
static struct domain_source *find_source(struct domain_impl *impl, moat_sid_t sid)
{
	for (uint32_t i = 0; i < impl->nr_sources; i++)
		if (impl->sources[i].sid == sid)
			return &impl->sources[i];
	return NULL;
}

/* The unit is told without the lock. Meanwhile the list may be compacted, so the entry is looked up
 * again; it is still there, because its state keeps other threads from taking it out. */
static void source_settle(struct domain_impl *impl, moat_sid_t sid, bool stays)
{
	struct domain_source *source;

	pthread_mutex_lock(&impl->lock);
	source = find_source(impl, sid);
	if (stays)
		source->state = DOMAIN_SOURCE_ATTACHED;
	else
		*source = impl->sources[--impl->nr_sources];
	pthread_mutex_unlock(&impl->lock);
}

int moat_domain_attach(struct moat_domain *domain, moat_sid_t sid)
{
	struct domain_impl *impl = domain_impl(domain);
	int rc = 0;

	pthread_mutex_lock(&impl->lock);
	if (find_source(impl, sid) != NULL)
		rc = -EBUSY;
	else if (impl->nr_sources == DOMAIN_SOURCES)
		rc = -ENOSPC;
	else
		impl->sources[impl->nr_sources++] =
			(struct domain_source){ sid, DOMAIN_SOURCE_ATTACHING };
	pthread_mutex_unlock(&impl->lock);
	if (rc == -EBUSY)
		return moat_error(rc, "source " MOAT_SID_FMT " is already in domain '%s'",
			MOAT_SID_ARGS(sid), domain->name);
	if (rc == -ENOSPC)
		return moat_error(rc, "domain '%s' has %u sources, no more fit", domain->name,
			DOMAIN_SOURCES);
	rc = domain->unit->ops->attach(domain->unit, domain, sid);
	source_settle(impl, sid, rc == 0);
	return rc;
}

int moat_domain_detach(struct moat_domain *domain, moat_sid_t sid)
{
	struct domain_impl *impl = domain_impl(domain);
	struct domain_source *source;
	bool mine;
	int rc;

	pthread_mutex_lock(&impl->lock);
	source = find_source(impl, sid);
	mine = source != NULL && source->state == DOMAIN_SOURCE_ATTACHED;
	if (mine)
		source->state = DOMAIN_SOURCE_DETACHING;
	pthread_mutex_unlock(&impl->lock);
	if (!mine)
		return moat_error(-ENOENT, "source " MOAT_SID_FMT " is not in domain '%s'",
			MOAT_SID_ARGS(sid), domain->name);
	rc = domain->unit->ops->detach(domain->unit, domain, sid);
	source_settle(impl, sid, rc != 0);
	return rc;
}

int moat_domain_destroy(struct moat_domain *domain)
{
	struct domain_impl *impl = domain_impl(domain);
	int rc = 0;

	if (impl->nr_lanes != 0)
		return moat_error(-EBUSY, "domain '%s' still has %" PRIu32 " lanes open",
			domain->name, impl->nr_lanes);
	while (impl->nr_sources != 0 && rc == 0)
		rc = moat_domain_detach(domain, impl->sources[0].sid);
	if (rc == 0 && domain_has_queue(domain)) {
		struct moat_qi_desc all = moat_qi_iotlb_domain(domain->did);

		rc = domain_invalidate_sync(domain, &all, 1);
	}
	if (rc == 0)
		domain_free(domain);
	return rc;
}
