/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_pause.h>
#include <rte_string_fns.h>

#include "domain_nest.h"
#include "moat_counter.h"
#include "moat_patience.h"
#include "moat_slab.h"

/* The tables that a domain can have on its unit. */
struct stage {
	enum moat_pt_format format;
	uint8_t sagaw, mgaw;
	uint64_t leaf_sizes;
};

static struct stage stage_of(const struct moat_domain *domain)
{
	const struct moat_unit_caps *caps = &domain->unit->caps;
	const struct moat_nested_caps *nested = &caps->nested;

	if (domain->nesting == MOAT_NEST_CHILD)
		return (struct stage){ MOAT_PT_FIRST_STAGE, nested->sagaw, nested->mgaw,
			nested->leaf_sizes };
	return (struct stage){ caps->format, caps->sagaw, caps->mgaw, caps->leaf_sizes };
}

/* Bits of IOVA that tables of `levels` levels translate: in first stage one bit less, because
 * addresses must be canonical. */
static uint8_t levels_width(const struct stage *stage, uint8_t levels)
{
	uint8_t bits = 12 + 9 * levels - (stage->format == MOAT_PT_FIRST_STAGE);

	return RTE_MIN(bits, stage->mgaw);
}

/* Choose the lowest number of levels that the unit walks and that translates `width` bits. */
static int choose_levels(const struct moat_unit *unit, const struct stage *stage, uint8_t width,
	uint8_t *levels)
{
	bool ours = unit->caps.tables == MOAT_TABLES_OURS;
	uint8_t widest;

	if (!ours && width <= unit->caps.mgaw) { /* only the shadow IOTLB reads them */
		*levels = width <= 39 ? 3 : width <= 48 ? 4 : 5;
		return 0;
	}
	widest = ours ? 0 : unit->caps.mgaw;
	for (uint8_t l = 3; l <= 5 && ours; l++) {
		if (!(stage->sagaw & (1u << (l - 2))))
			continue;
		widest = levels_width(stage, l);
		if (width <= widest) {
			*levels = l;
			return 0;
		}
	}
	return moat_error(-EINVAL,
		"an IOVA width of %u bits is more than unit %s has (%u); ask for %u or fewer",
		width, unit->name, widest, widest);
}

static uint8_t unit_width(const struct moat_unit *unit, const struct stage *stage)
{
	uint8_t widest = 0;

	if (unit->caps.tables == MOAT_TABLES_UNITS)
		return unit->caps.mgaw;
	for (uint8_t l = 3; l <= 5; l++)
		if (stage->sagaw & (1u << (l - 2)))
			widest = levels_width(stage, l);
	return widest;
}

static struct moat_slab domains = MOAT_SLAB(struct domain_impl);
static struct moat_slab all_readers;

__attribute__((constructor)) static void readers_size(void)
{
	all_readers.size = rte_rcu_qsbr_get_memsize(MOAT_DOMAIN_LANES);
}

static struct rte_rcu_qsbr *readers_create(void)
{
	struct rte_rcu_qsbr *readers = moat_slab_alloc(&all_readers);

	if (readers != NULL && rte_rcu_qsbr_init(readers, MOAT_DOMAIN_LANES) != 0) {
		moat_slab_free(&all_readers, readers);
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
	nest_child_leave(domain);
	if (domain->pt != NULL)
		moat_pt_destroy(domain->pt);
	nest_parent_end(domain);
	domain_leave_units(domain);
	moat_slab_free(&all_readers, domain->readers);
	pthread_mutex_destroy(&domain_impl(domain)->lock);
	free(domain_impl(domain)->attachments);
	moat_slab_free(&domains, domain_impl(domain));
}

static int domain_init(struct moat_domain *domain, const struct moat_domain_conf *conf)
{
	const struct stage stage = stage_of(domain);
	struct moat_unit *unit = domain->unit;
	struct moat_pt_conf pt = {
		.pool = domain->nesting == MOAT_NEST_CHILD
			? domain_impl(domain->parent)->child_tables
			: unit->pool,
		.leaf_sizes =
			(conf->leaf_sizes != 0 ? conf->leaf_sizes : UINT64_MAX) & stage.leaf_sizes,
		.coherent = unit->caps.coherent || unit->caps.tables == MOAT_TABLES_UNITS,
		.snoop = unit->caps.snoop_control,
		.format = stage.format,
	};
	struct domain_impl *impl = domain_impl(domain);
	int rc;

	impl->iova_base = conf->iova_base != 0 ? conf->iova_base : MOAT_2M_SIZE;
	impl->leaf_sizes = pt.leaf_sizes;
	impl->pool = pt.pool;
	domain->width = conf->width != 0 ? conf->width : unit_width(unit, &stage);
	pt.width = domain->width;
	rc = choose_levels(unit, &stage, domain->width, &pt.levels);
	if (rc == 0)
		rc = moat_pt_create(&pt, &domain->pt);
	if (rc == 0)
		rc = moat_iova_create(impl->iova_base, UINT64_C(1) << domain->width, &domain->iova);
	if (rc == 0)
		rc = nest_parent_init(domain);
	if (rc == 0)
		rc = domain_join(domain, unit);
	if (rc != 0)
		return rc;
	domain->did = impl->units[0].did;
	if (unit->caps.tables == MOAT_TABLES_UNITS)
		rc = unit->ops->open(unit, domain, &domain->priv);
	return rc == 0 ? nest_child_enter(domain) : rc;
}

int moat_domain_create(struct moat_unit *unit, const struct moat_domain_conf *conf,
	struct moat_domain **out)
{
	struct domain_impl *impl;
	struct moat_domain *domain;
	int rc;

	if (unit == NULL || conf == NULL || conf->name == NULL || out == NULL)
		return moat_error(-EINVAL, "a domain needs %s",
			unit == NULL          ? "a unit; create one first"
				: out == NULL ? "a pointer to store it in"
					      : "a configuration with a name");
	rc = nest_check(unit, conf);
	if (rc != 0)
		return rc;
	impl = moat_slab_alloc(&domains);
	if (impl == NULL)
		return moat_error(-ENOMEM, "no memory for domain '%s'", conf->name);
	domain = &impl->pub;
	pthread_mutex_init(&impl->lock, NULL);
	rte_strscpy(domain->name, conf->name, sizeof(domain->name));
	domain->unit = unit;
	domain->parent = conf->parent;
	domain->nesting = conf->parent != NULL ? MOAT_NEST_CHILD
		: conf->nest_parent            ? MOAT_NEST_PARENT
					       : MOAT_NEST_NONE;
	domain->readers = readers_create();
	impl->attachments = calloc(DOMAIN_ATTACHMENTS, sizeof(*impl->attachments));
	rc = domain->readers != NULL && impl->attachments != NULL
		? domain_init(domain, conf)
		: moat_error(-ENOMEM, "no memory for domain '%s'", conf->name);
	if (rc != 0) {
		domain_free(domain);
		return rc;
	}
	*out = domain;
	return 0;
}

/* Invalidate on one unit: submit and wait. @return 0, -ETIMEDOUT, -EIO; 1: the unit refused it */
static int unit_invalidate_sync(const struct moat_domain *domain, unsigned int nr,
	const struct moat_gather *gather, uint64_t *commands)
{
	const struct domain_unit *u = &domain_impl(domain)->units[nr];
	uint64_t deadline = moat_now_us() + moat_patience_us;
	struct moat_inval_report report = { 0 };
	moat_tag_t tags[DOMAIN_TAGS];
	unsigned int n = domain_tags(domain_impl(domain), nr, tags);
	int64_t seq;
	int rc;

	while ((seq = u->submit(u->unit, tags, n, gather, &report)) == -EAGAIN) {
		if (moat_now_us() > deadline)
			return moat_error(-ETIMEDOUT,
				"the invalidation queue of unit %s has been full for 1 s; "
				"the unit does not process it",
				u->unit->name);
		u->done(u->unit, INT64_MAX); /* polls the unit, so that one in software runs */
		moat_lanes_quiescent();
		rte_pause();
	}
	if (seq < 0)
		return (int)seq;
	moat_counter_add(commands, report.commands);
	rc = u->wait(u->unit, seq, moat_patience_us, moat_lanes_quiescent);
	return rc != 0 ? domain_unit_silent(u->unit, rc) : u->done(u->unit, seq) < 0;
}

int domain_invalidate_sync(struct moat_domain *domain, const struct moat_gather *gather,
	uint64_t *commands)
{
	struct domain_impl *impl = domain_impl(domain);
	/* acquire: pairs with the release in domain_join() */
	uint32_t n = atomic_load_explicit(&impl->nr_units, memory_order_acquire);

	for (uint32_t i = 0; i < n; i++) {
		int rc = unit_invalidate_sync(domain, i, gather, commands);

		if (rc == 1)
			rc = unit_invalidate_sync(domain, i, NULL, commands);
		if (rc == 1)
			return moat_error(-EIO,
				"unit %s refuses to invalidate domain '%s' (domain-id %u)",
				impl->units[i].unit->name, domain->name, impl->units[i].did);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int domain_flush_writes(struct moat_domain *domain)
{
	struct domain_impl *impl = domain_impl(domain);
	int rc = 0;

	/* acquire: pairs with the release in domain_join() */
	for (uint32_t i = atomic_load_explicit(&impl->nr_units, memory_order_acquire);
		i-- != 0 && rc == 0;) {
		struct moat_unit *unit = impl->units[i].unit;

		if (unit->caps.rwbf && unit->ops->flush_write_buffer != NULL)
			rc = unit->ops->flush_write_buffer(unit);
	}
	return rc;
}

int moat_domain_destroy(struct moat_domain *domain)
{
	struct domain_impl *impl = domain_impl(domain);
	uint64_t commands = 0;
	int rc = 0;

	if (domain == NULL)
		return moat_error(-EINVAL, "moat_domain_destroy(): the domain is NULL");
	if (nest_children(domain) != 0)
		return moat_error(-EBUSY,
			"domain '%s' still has %" PRIu32
			" nested domains over it; destroy them first",
			domain->name, nest_children(domain));
	if (impl->nr_lanes != 0)
		return moat_error(-EBUSY,
			"domain '%s' still has %" PRIu32 " open lanes; close them first",
			domain->name, impl->nr_lanes);
	while (impl->nr_attachments != 0 && rc == 0) {
		struct moat_attachment a = impl->attachments[0].pub;

		rc = moat_domain_detach_at(domain, a.unit, a.sid, a.pasid);
	}
	if (rc == 0 && domain_tables_ours(domain))
		rc = domain_invalidate_sync(domain, NULL, &commands);
	if (rc == 0)
		domain_free(domain);
	return rc;
}
