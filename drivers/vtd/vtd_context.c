/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>

#include "moat_mutant.h"
#include "vtd_impl.h"

/* ------------------------------------------------------------------------------ the tables */

/** The context entry of a source. Its table never moves, and the root entry above never changes. */
static struct vtd_entry *context_entry(const struct vtd *v, moat_sid_t sid)
{
	return (struct vtd_entry *)(v->mem_va + VTD_MEM_CONTEXT) + sid;
}

void vtd_tables_init(struct vtd *v)
{
	struct vtd_entry *root = (struct vtd_entry *)(v->mem_va + VTD_MEM_ROOT);

	/* The unit does not look before SRTP, so these are ordinary stores. */
	for (unsigned int bus = 0; bus < VTD_BUSES; bus++)
		root[bus].lo = (v->mem_hpa + VTD_MEM_CONTEXT + bus * MOAT_PAGE_SIZE) | VTD_ROOT_P;
	vtd_flush_lines(v, root, MOAT_PAGE_SIZE);
	vtd_flush_lines(v, context_entry(v, 0), VTD_BUSES * MOAT_PAGE_SIZE);
}

/**
 * An absent entry becomes present. The unit may fetch it at any moment, so the half with P comes
 * last, and behind the other (release: against the unit's fetch).
 */
static void entry_set(struct vtd *v, moat_sid_t sid, uint64_t lo, uint64_t hi)
{
	struct vtd_entry *e = context_entry(v, sid);

	__atomic_store_n(&e->hi, hi, __ATOMIC_RELAXED);
	__atomic_store_n(&e->lo, lo | VTD_CTX_P, __ATOMIC_RELEASE);
	vtd_flush_lines(v, e, sizeof(*e));
}

/**
 * A present entry becomes absent; nothing else may change while caches may be filled from it. The
 * upper half keeps what it is until the next entry_set(): with P clear the unit ignores it.
 */
static void entry_clear(struct vtd *v, moat_sid_t sid)
{
	struct vtd_entry *e = context_entry(v, sid);

	/* relaxed: what must come behind is the invalidation, and moat_qi_submit() releases */
	__atomic_store_n(&e->lo, 0, __ATOMIC_RELAXED);
	vtd_flush_lines(v, e, sizeof(*e));
}

static void entry_set_domain(struct vtd *v, moat_sid_t sid, const struct moat_domain *d)
{
	entry_set(v, sid, d->pt->root_hpa | VTD_TT_SECOND_STAGE << VTD_CTX_TT_SHIFT,
		(uint64_t)(d->pt->levels - 2) << VTD_CTX_AW_SHIFT |
			(uint64_t)d->did << VTD_CTX_DID_SHIFT);
}

/** AW of a pass-through entry: the largest that the unit supports. */
static void entry_set_pass(struct vtd *v, moat_sid_t sid)
{
	uint64_t aw = v->caps.sagaw & 8 ? 3 : v->caps.sagaw & 4 ? 2 : 1;

	entry_set(v, sid, VTD_TT_PASS_THROUGH << VTD_CTX_TT_SHIFT,
		aw << VTD_CTX_AW_SHIFT | (uint64_t)VTD_DID_PASS << VTD_CTX_DID_SHIFT);
}

/* ------------------------------------------------------------------------- the unit's caches */

/**
 * Sources have become present ("Guidance to Software for Invalidations": not present → present).
 * A unit without caching mode has remembered nothing. With it, absence may be cached under
 * domain-id 0, for the context entry and for what was translated through it.
 */
static int tell_present(struct vtd *v, const moat_sid_t sid[], unsigned int n, uint16_t did)
{
	struct moat_qi_desc desc[MOAT_VTD_ALIASES];
	const struct moat_qi_desc iotlb[] = {
		moat_qi_iotlb_domain(VTD_DID_ABSENT),
		moat_qi_iotlb_domain(did),
	};
	int ret;

	if (!v->caps.cm)
		return vtd_flush_write_buffer(&v->unit);
	for (unsigned int i = 0; i < n; i++)
		desc[i] = moat_qi_context_device(VTD_DID_ABSENT, sid[i], 0);
	ret = vtd_queue_sync(v, desc, n);
	return ret != 0 ? ret : vtd_queue_sync(v, iotlb, RTE_DIM(iotlb));
}

/**
 * Sources have become absent (present → not present): forget their context entries, and when that
 * is done, so that no request refills by them, everything translated under their domain-id. One
 * synchronisation for each: a queue's descriptors may be worked on side by side.
 */
static int tell_absent(struct vtd *v, const moat_sid_t sid[], unsigned int n, uint16_t did)
{
	struct moat_qi_desc desc[MOAT_VTD_ALIASES];
	const struct moat_qi_desc iotlb = moat_qi_iotlb_domain(did);
	int ret = vtd_flush_write_buffer(&v->unit);

	if (ret != 0)
		return ret;
	for (unsigned int i = 0; i < n; i++)
		desc[i] = moat_qi_context_device(did, sid[i], 0);
	if (!MOAT_MUTANT(SKIP_CONTEXT_FLUSH)) /* the context cache goes on knowing the source */
		ret = vtd_queue_sync(v, desc, n);
	if (ret == 0 && !MOAT_MUTANT(SKIP_DETACH_IOTLB)) /* the IOTLB its translations */
		ret = vtd_queue_sync(v, &iotlb, 1);
	return ret;
}

/* ------------------------------------------------------------------------- attach and detach */

static unsigned int aliases(const struct vtd *v, moat_sid_t sid, moat_sid_t alias[])
{
	if (v->conf.scope.aliases != NULL)
		return v->conf.scope.aliases(v->conf.scope.ctx, sid, alias);
	alias[0] = sid;
	return 1;
}

static int may_attach(const struct vtd *v, const struct moat_domain *d, moat_sid_t sid)
{
	if (d->pt == NULL || !(v->caps.sagaw & 1u << (d->pt->levels - 2)))
		return moat_error(-EINVAL, "unit %s cannot walk tables of %u levels (SAGAW 0x%x)",
			v->unit.name, d->pt != NULL ? d->pt->levels : 0, v->caps.sagaw);
	if (d->did >= v->caps.nd)
		return moat_error(-EINVAL,
			"unit %s has domain-ids up to %" PRIu32 ", domain %s has %u", v->unit.name,
			v->caps.nd - 1, d->name, d->did);
	if (v->conf.scope.admit != NULL)
		return v->conf.scope.admit(v->conf.scope.ctx, sid);
	return 0;
}

/** Why a source cannot be attached now; 0 if it can. */
static int source_free(const struct vtd *v, moat_sid_t sid, moat_sid_t alias, uint16_t did)
{
	const struct vtd_source *s = &v->source[alias];

	switch (s->state) {
	case VTD_SOURCE_FREE:
		return 0;
	case VTD_SOURCE_LIVE:
		/* Functions behind one bridge share its source-id, and so a domain. */
		if (s->did == did && (alias != sid || !s->own))
			return 0;
		return moat_error(-EBUSY,
			"unit %s: source " MOAT_SID_FMT " is in domain-id %u already%s",
			v->unit.name, MOAT_SID_ARGS(alias), s->did,
			alias == sid && s->own
				? ""
				: "; functions behind one PCI bridge cannot be told apart, put them in one domain");
	case VTD_SOURCE_PASS:
		return moat_error(-EBUSY,
			"unit %s: source " MOAT_SID_FMT " passes through untranslated, "
			"it belongs to the kernel; unbind it from its driver first",
			v->unit.name, MOAT_SID_ARGS(alias));
	default:
		return moat_error(-EBUSY,
			"unit %s: source " MOAT_SID_FMT " is being detached; if that "
			"was refused before, the unit still remembers it",
			v->unit.name, MOAT_SID_ARGS(alias));
	}
}

/** Under the lock: take all aliases or none. `fresh` gets those whose entries were written. */
static int take_sources(struct vtd *v, struct moat_domain *d, moat_sid_t sid,
	const moat_sid_t alias[], unsigned int n, moat_sid_t fresh[], unsigned int *nr_fresh)
{
	int ret;

	for (unsigned int i = 0; i < n; i++) {
		ret = source_free(v, sid, alias[i], d->did);
		if (ret != 0)
			return ret;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct vtd_source *s = &v->source[alias[i]];

		if (s->state == VTD_SOURCE_FREE) {
			*s = (struct vtd_source){ .state = VTD_SOURCE_LIVE, .did = d->did };
			entry_set_domain(v, alias[i], d);
			fresh[(*nr_fresh)++] = alias[i];
		}
		s->users++;
		s->own |= alias[i] == sid;
	}
	return 0;
}

/** Under the lock: `gone` gets the aliases that no other function uses; their entries are absent. */
static unsigned int drop_sources(struct vtd *v, moat_sid_t sid, const moat_sid_t alias[],
	unsigned int n, moat_sid_t gone[])
{
	unsigned int nr_gone = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct vtd_source *s = &v->source[alias[i]];

		if (alias[i] == sid)
			s->own = false;
		if (--s->users != 0)
			continue;
		s->state = VTD_SOURCE_LEAVING;
		entry_clear(v, alias[i]);
		gone[nr_gone++] = alias[i];
	}
	return nr_gone;
}

/** The unit has forgotten them. */
static void free_sources(struct vtd *v, const moat_sid_t gone[], unsigned int n)
{
	pthread_mutex_lock(&v->lock);
	for (unsigned int i = 0; i < n; i++)
		v->source[gone[i]] = (struct vtd_source){ .state = VTD_SOURCE_FREE };
	pthread_mutex_unlock(&v->lock);
}

int vtd_attach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	struct vtd *v = vtd_of(unit);
	moat_sid_t alias[MOAT_VTD_ALIASES], fresh[MOAT_VTD_ALIASES], gone[MOAT_VTD_ALIASES];
	unsigned int n, nr_fresh = 0;
	int ret = may_attach(v, domain, sid);

	if (ret != 0)
		return ret;
	n = aliases(v, sid, alias);
	pthread_mutex_lock(&v->lock);
	ret = take_sources(v, domain, sid, alias, n, fresh, &nr_fresh);
	pthread_mutex_unlock(&v->lock);
	if (ret != 0 || nr_fresh == 0)
		return ret;
	ret = tell_present(v, fresh, nr_fresh, domain->did);
	if (ret != 0) {
		/* The unit does not answer: the entries go again, but what it remembers nobody knows, so
		 * the sources stay unusable. */
		pthread_mutex_lock(&v->lock);
		drop_sources(v, sid, alias, n, gone);
		pthread_mutex_unlock(&v->lock);
		return ret;
	}
	atomic_fetch_add_explicit(&v->attaches, 1, memory_order_relaxed); /* counter */
	return 0;
}

int vtd_detach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	struct vtd *v = vtd_of(unit);
	moat_sid_t alias[MOAT_VTD_ALIASES], gone[MOAT_VTD_ALIASES] = { 0 };
	unsigned int n = aliases(v, sid, alias), nr_gone = 0;
	int ret;

	pthread_mutex_lock(&v->lock);
	if (v->source[sid].state != VTD_SOURCE_LIVE || v->source[sid].did != domain->did ||
		!v->source[sid].own)
		n = 0;
	if (n != 0)
		nr_gone = drop_sources(v, sid, alias, n, gone);
	pthread_mutex_unlock(&v->lock);
	if (n == 0)
		return moat_error(-ENOENT, "unit %s: source " MOAT_SID_FMT " is not in domain %s",
			v->unit.name, MOAT_SID_ARGS(sid), domain->name);
	if (nr_gone != 0) {
		ret = tell_absent(v, gone, nr_gone, domain->did);
		if (ret != 0)
			return ret;
		free_sources(v, gone, nr_gone);
	}
	atomic_fetch_add_explicit(&v->detaches, 1, memory_order_relaxed); /* counter */
	return 0;
}

/* ------------------------------------------------------------------------------ pass-through */

static int can_pass(const struct vtd *v)
{
	if (!v->caps.pt)
		return moat_error(-EOPNOTSUPP,
			"unit %s has no pass-through (ECAP.PT is clear): devices "
			"that stay with the kernel cannot share it with tenants",
			v->unit.name);
	return 0;
}

int vtd_pass_through_first(struct vtd *v)
{
	int ret = v->conf.nr_pass_through != 0 ? can_pass(v) : 0;

	for (unsigned int i = 0; ret == 0 && i < v->conf.nr_pass_through; i++) {
		moat_sid_t sid = v->conf.pass_through[i];

		v->source[sid] = (struct vtd_source){ .state = VTD_SOURCE_PASS,
			.users = 1,
			.own = true,
			.did = VTD_DID_PASS };
		entry_set_pass(v, sid);
	}
	return ret;
}

int moat_vtd_pass_through(struct moat_unit *unit, moat_sid_t sid)
{
	struct vtd *v = vtd_of(unit);
	int ret = can_pass(v);

	if (ret != 0)
		return ret;
	pthread_mutex_lock(&v->lock);
	ret = source_free(v, sid, sid, VTD_DID_PASS);
	if (ret == 0) {
		v->source[sid] = (struct vtd_source){ .state = VTD_SOURCE_PASS,
			.users = 1,
			.own = true,
			.did = VTD_DID_PASS };
		entry_set_pass(v, sid);
	}
	pthread_mutex_unlock(&v->lock);
	return ret != 0 ? ret : tell_present(v, &sid, 1, VTD_DID_PASS);
}

int moat_vtd_block(struct moat_unit *unit, moat_sid_t sid)
{
	struct vtd *v = vtd_of(unit);
	moat_sid_t gone[1] = { sid };
	int ret;

	pthread_mutex_lock(&v->lock);
	ret = v->source[sid].state == VTD_SOURCE_PASS ? 0 : -ENOENT;
	if (ret == 0)
		drop_sources(v, sid, &sid, 1, gone);
	pthread_mutex_unlock(&v->lock);
	if (ret != 0)
		return moat_error(ret, "unit %s: source " MOAT_SID_FMT " does not pass through",
			v->unit.name, MOAT_SID_ARGS(sid));
	ret = tell_absent(v, gone, 1, VTD_DID_PASS);
	if (ret == 0)
		free_sources(v, gone, 1);
	return ret;
}
