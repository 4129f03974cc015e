/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "vtd_impl.h"

/*
 * A function's requests may carry several source-ids: its own, and those that bridges substitute.
 * Attach asks for them and stores them; detach undoes what was stored. The bus may have changed in
 * between, and a bridge that is gone must not leave an entry behind.
 */

/* ------------------------------------------------------------------- may a function be attached */

/** Get the source-ids that requests of `sid` may carry. Each gets an entry, so all must fit. */
int vtd_aliases_ask(const struct vtd *v, moat_sid_t sid, struct vtd_function *f)
{
	unsigned int n = 1;

	f->alias[0] = sid;
	if (v->conf.scope.aliases != NULL)
		n = v->conf.scope.aliases(v->conf.scope.ctx, sid, f->alias);
	if (n < 1 || n > MOAT_VTD_ALIASES)
		return moat_error(-ENOSPC,
			"unit %s: requests of " MOAT_SID_FMT
			" may carry %u source-ids, of which %d can be held; put the device below "
			"fewer PCI bridges",
			v->unit.name, MOAT_SID_ARGS(sid), n, MOAT_VTD_ALIASES);
	f->nr_alias = n;
	return 0;
}

int vtd_may_attach(const struct vtd *v, const struct moat_domain *d, moat_sid_t sid)
{
	bool child = d->nesting == MOAT_NEST_CHILD;
	uint8_t sagaw = child ? v->unit.caps.nested.sagaw : v->unit.caps.sagaw;

	if (d->pt == NULL || !(sagaw & 1u << (d->pt->levels - 2)))
		return moat_error(-EINVAL, "unit %s cannot walk tables of %u levels (SAGAW 0x%x)",
			v->unit.name, d->pt != NULL ? d->pt->levels : 0, sagaw);
	if (d->pt->format != (child ? MOAT_PT_FIRST_STAGE : v->unit.caps.format))
		return moat_error(-EINVAL,
			"unit %s walks %s-stage tables, but domain %s has others", v->unit.name,
			child || v->sm.first ? "first" : "second", d->name);
	if (moat_domain_did(d, &v->unit) >= v->caps.nd)
		return moat_error(-EINVAL,
			"unit %s has domain-ids up to %" PRIu32 ", domain %s has %u", v->unit.name,
			v->caps.nd - 1, d->name, moat_domain_did(d, &v->unit));
	if (v->conf.scope.admit != NULL)
		return v->conf.scope.admit(v->conf.scope.ctx, sid);
	return 0;
}

/** Under the lock: 0 unless a PASID of `sid` is in a domain. */
static int pasids_check(const struct vtd *v, moat_sid_t sid)
{
	for (const struct vtd_pasid *p = v->sm.pasids; p != NULL; p = p->next)
		if (p->sid == sid)
			return moat_error(-EBUSY,
				"unit %s: PASID %" PRIu32 " of " MOAT_SID_FMT
				" is in a domain, so its function cannot pass through",
				v->unit.name, p->pasid, MOAT_SID_ARGS(sid));
	return 0;
}

/** Under the lock: 0 if `alias`, a source-id of `sid`, can be attached with domain-id `did` now. */
static int source_check(const struct vtd *v, moat_sid_t sid, moat_sid_t alias, uint16_t did)
{
	const struct vtd_source *s = &v->source[alias];
	bool own = alias == sid && v->function[sid].state != VTD_FUNCTION_NONE;

	switch (s->state) {
	case VTD_SOURCE_FREE:
		return did == VTD_DID_PASS ? pasids_check(v, alias) : 0;
	case VTD_SOURCE_LIVE:
		/* Functions behind a bridge share its source-id, so they share a domain. */
		if (s->did == did && !own)
			return 0;
		if (own)
			return moat_error(-EBUSY,
				"unit %s: source " MOAT_SID_FMT
				" is in domain '%s' already (domain-id %u); detach it there first",
				v->unit.name, MOAT_SID_ARGS(alias),
				vtd_domain_name(v->function[sid].domain), s->did);
		return moat_error(-EBUSY,
			"unit %s: source " MOAT_SID_FMT
			" is in domain-id %u already; functions behind one PCI bridge cannot be "
			"told apart, so put them in one domain",
			v->unit.name, MOAT_SID_ARGS(alias), s->did);
	case VTD_SOURCE_PASS:
		return moat_error(-EBUSY,
			"unit %s: source " MOAT_SID_FMT " passes through untranslated, "
			"because it belongs to the kernel; first unbind it from its driver, and "
			"end its pass-through with moat_vtd_block()",
			v->unit.name, MOAT_SID_ARGS(alias));
	default:
		return moat_error(-EBUSY,
			"unit %s: source " MOAT_SID_FMT " is being detached; if an "
			"earlier detach failed, detach it again: the unit has not confirmed that",
			v->unit.name, MOAT_SID_ARGS(alias));
	}
}

/** 0 if `sid` may be in `d` (NULL: may pass through) while `other` is in the domain `theirs`
 * (NULL: in none). */
static int isolated_from(const struct vtd *v, const struct moat_domain *d, moat_sid_t sid,
	const struct moat_domain *theirs, moat_sid_t other)
{
	char why[256];

	if (theirs == NULL || theirs == d ||
		v->conf.scope.isolated(v->conf.scope.ctx, sid, other) == 0)
		return 0;
	snprintf(why, sizeof(why), "%s", moat_error_text());
	if (d == NULL)
		return moat_error(-EPERM,
			"unit %s: " MOAT_SID_FMT " cannot pass through while " MOAT_SID_FMT
			" is in domain '%s': %s",
			v->unit.name, MOAT_SID_ARGS(sid), MOAT_SID_ARGS(other), theirs->name, why);
	return moat_error(-EPERM,
		"unit %s: " MOAT_SID_FMT " cannot be in domain '%s' while " MOAT_SID_FMT
		" is in domain '%s': %s; put both in one domain",
		v->unit.name, MOAT_SID_ARGS(sid), d->name, MOAT_SID_ARGS(other), theirs->name, why);
}

/**
 * Under the lock: 0 if no function of another domain exchanges requests with `sid` without the
 * unit. Such requests never reach the unit, so no page table separates the two functions.
 */
int vtd_isolation_check(const struct vtd *v, const struct moat_domain *d, moat_sid_t sid)
{
	int ret = 0;

	if (v->conf.scope.isolated == NULL)
		return 0;
	for (unsigned int other = 0; ret == 0 && other < VTD_BUSES * VTD_FNS; other++) {
		const struct vtd_function *f = &v->function[other];

		if (f->state != VTD_FUNCTION_NONE)
			ret = isolated_from(v, d, sid, f->domain, other);
	}
	for (const struct vtd_pasid *p = v->sm.pasids; ret == 0 && p != NULL; p = p->next)
		if (p->sid != sid)
			ret = isolated_from(v, d, sid, p->domain, p->sid);
	return ret;
}

bool vtd_is_attached(const struct vtd *v, const struct moat_domain *domain, moat_sid_t sid)
{
	const struct vtd_function *f = &v->function[sid];
	bool is = f->state == VTD_FUNCTION_ATTACHED && f->domain == domain;

	for (const struct vtd_pasid *p = v->sm.pasids; !is && p != NULL; p = p->next)
		is = p->state == VTD_FUNCTION_ATTACHED && p->sid == sid && p->domain == domain;
	return is;
}

/* --------------------------------------------------------------- entries of one function */

/** Under the lock: write present entries for all source-ids of the function, or for none. */
static int function_enter(struct vtd *v, moat_sid_t sid, const struct vtd_function *f)
{
	int ret = vtd_isolation_check(v, f->domain, sid);

	for (unsigned int i = 0; ret == 0 && i < f->nr_alias; i++)
		ret = source_check(v, sid, f->alias[i], f->did);
	if (ret == 0)
		ret = vtd_intr_enter(v, f->domain, sid, MOAT_PASID_NONE);
	for (unsigned int i = 0; ret == 0 && i < f->nr_alias; i++)
		ret = vtd_entry_reserve(v, f->alias[i]);
	if (ret != 0)
		return ret;
	for (unsigned int i = 0; i < f->nr_alias; i++) {
		struct vtd_source *s = &v->source[f->alias[i]];

		if (s->state == VTD_SOURCE_FREE) {
			s->state = f->did == VTD_DID_PASS ? VTD_SOURCE_PASS : VTD_SOURCE_LIVE;
			s->did = f->did;
			vtd_entry_set(v, f->alias[i], f->domain);
		}
		s->users++;
	}
	v->function[sid] = *f;
	v->function[sid].state = VTD_FUNCTION_CHANGING;
	return 0;
}

/** Under the lock: make those entries of the function absent that no other function uses. */
static void function_leave(struct vtd *v, moat_sid_t sid)
{
	struct vtd_function *f = &v->function[sid];

	f->state = VTD_FUNCTION_CHANGING;
	for (unsigned int i = 0; i < f->nr_alias; i++) {
		struct vtd_source *s = &v->source[f->alias[i]];

		if (--s->users != 0)
			continue;
		s->state = VTD_SOURCE_LEAVING;
		vtd_entry_clear(v, f->alias[i]);
	}
}

static void function_set(struct vtd *v, moat_sid_t sid, enum vtd_function_state state)
{
	pthread_mutex_lock(&v->lock);
	v->function[sid].state = state;
	pthread_mutex_unlock(&v->lock);
}

/**
 * The caller has made the function CHANGING and its entries absent. When the unit has confirmed
 * that its interrupts are revoked and its entries invalidated, its source-ids are free. Until then
 * none of them can be attached again, and the call can be repeated.
 */
static int function_forget(struct vtd *v, moat_sid_t sid)
{
	struct vtd_function *f = &v->function[sid];
	moat_sid_t gone[MOAT_VTD_ALIASES];
	unsigned int n = 0;
	int ret = vtd_intr_leave(v, f->domain, sid);

	/* A LEAVING source-id has no other function, so no other thread changes its state. */
	pthread_mutex_lock(&v->lock);
	for (unsigned int i = 0; i < f->nr_alias; i++)
		if (v->source[f->alias[i]].state == VTD_SOURCE_LEAVING)
			gone[n++] = f->alias[i];
	pthread_mutex_unlock(&v->lock);
	if (ret == 0 && n != 0)
		ret = vtd_tell_absent(v, gone, n, f->did);
	pthread_mutex_lock(&v->lock);
	for (unsigned int i = 0; ret == 0 && i < n; i++)
		v->source[gone[i]] = (struct vtd_source){ .state = VTD_SOURCE_FREE };
	if (ret == 0)
		*f = (struct vtd_function){ .state = VTD_FUNCTION_NONE };
	else
		f->state = VTD_FUNCTION_LEAVING;
	pthread_mutex_unlock(&v->lock);
	return ret;
}

/** Try again to undo an earlier attach that failed: the unit may answer by now. A detach that was
 * not confirmed must be repeated by its domain, which still counts the function as attached. */
static void function_settle(struct vtd *v, moat_sid_t sid)
{
	bool again;

	pthread_mutex_lock(&v->lock);
	again = v->function[sid].state == VTD_FUNCTION_LEAVING && v->function[sid].domain == NULL;
	if (again)
		v->function[sid].state = VTD_FUNCTION_CHANGING;
	pthread_mutex_unlock(&v->lock);
	if (again)
		function_forget(v, sid);
}

/** Undo an attach that the unit did not confirm: make the entries absent. Keeps the error text. */
static int function_undo(struct vtd *v, moat_sid_t sid, int ret)
{
	char why[512];

	snprintf(why, sizeof(why), "%s", moat_error_text());
	pthread_mutex_lock(&v->lock);
	/* not attached: the domain may be destroyed before the function's source-ids are free */
	v->function[sid].domain = NULL;
	function_leave(v, sid);
	pthread_mutex_unlock(&v->lock);
	function_forget(v, sid);
	return moat_error(ret, "%s", why);
}

/** Write a function's entries, then invalidate the unit's caches. On an error all entries are
 * absent again. */
static int function_add(struct vtd *v, moat_sid_t sid, const struct vtd_function *f)
{
	int ret;

	function_settle(v, sid);
	pthread_mutex_lock(&v->lock);
	ret = function_enter(v, sid, f);
	pthread_mutex_unlock(&v->lock);
	if (ret != 0)
		return ret;
	/* All source-ids, even if another function wrote the entry: it may still be waiting. */
	ret = vtd_tell_present(v, f->alias, f->nr_alias, f->did);
	if (ret != 0)
		return function_undo(v, sid, ret);
	function_set(v, sid, VTD_FUNCTION_ATTACHED);
	return 0;
}

/** Take a function out of `domain` (NULL: end its pass-through). */
static int function_remove(struct vtd *v, const struct moat_domain *domain, moat_sid_t sid)
{
	struct vtd_function *f = &v->function[sid];
	int ret = 0;

	pthread_mutex_lock(&v->lock);
	if (f->state == VTD_FUNCTION_NONE || f->domain != domain ||
		(domain == NULL && f->did != VTD_DID_PASS))
		ret = -ENOENT;
	else if (f->state == VTD_FUNCTION_CHANGING)
		ret = -EBUSY;
	else if (f->state == VTD_FUNCTION_ATTACHED)
		function_leave(v, sid);
	else
		f->state = VTD_FUNCTION_CHANGING; /* LEAVING: only the unit's answer is missing */
	pthread_mutex_unlock(&v->lock);
	if (ret == -EBUSY)
		return moat_error(ret, "unit %s: another thread attaches or detaches " MOAT_SID_FMT,
			v->unit.name, MOAT_SID_ARGS(sid));
	return ret != 0 ? ret : function_forget(v, sid);
}

/* ------------------------------------------------------------------------- attach and detach */

int vtd_attach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	struct vtd *v = vtd_of(unit);
	struct vtd_function f = { .domain = domain, .did = moat_domain_did(domain, unit) };
	int ret = vtd_may_attach(v, domain, sid);

	if (ret == 0)
		ret = vtd_aliases_ask(v, sid, &f);
	if (ret == 0)
		ret = function_add(v, sid, &f);
	if (ret == 0)
		atomic_fetch_add_explicit(&v->attaches, 1, memory_order_relaxed); /* counter */
	return ret;
}

int vtd_detach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	struct vtd *v = vtd_of(unit);
	int ret = function_remove(v, domain, sid);

	if (ret == -ENOENT)
		return moat_error(ret, "unit %s: source " MOAT_SID_FMT " is not in domain %s",
			v->unit.name, MOAT_SID_ARGS(sid), domain->name);
	if (ret == 0)
		atomic_fetch_add_explicit(&v->detaches, 1, memory_order_relaxed); /* counter */
	return ret;
}

/* ------------------------------------------------------------------------------ pass-through */

static int can_pass(const struct vtd *v)
{
	if (!v->caps.pt)
		return moat_error(-EOPNOTSUPP,
			"unit %s has no pass-through (ECAP.PT is clear): devices "
			"that stay with the kernel cannot share the unit with tenants",
			v->unit.name);
	return 0;
}

static struct vtd_function passing(moat_sid_t sid)
{
	return (struct vtd_function){ .did = VTD_DID_PASS, .nr_alias = 1, .alias = { sid } };
}

int vtd_pass_through_first(struct vtd *v)
{
	int ret = v->conf.nr_pass_through != 0 ? can_pass(v) : 0;

	for (unsigned int i = 0; ret == 0 && i < v->conf.nr_pass_through; i++) {
		moat_sid_t sid = v->conf.pass_through[i];
		struct vtd_function f = passing(sid);

		if (v->function[sid].state != VTD_FUNCTION_NONE)
			continue; /* named before, as an alias of another function */
		ret = function_enter(v, sid, &f);
		v->function[sid].state = VTD_FUNCTION_ATTACHED;
	}
	return ret;
}

int moat_vtd_pass_through(struct moat_unit *unit, moat_sid_t sid)
{
	struct vtd *v = vtd_of(unit);
	struct vtd_function f = passing(sid);
	int ret = can_pass(v);

	return ret != 0 ? ret : function_add(v, sid, &f);
}

int moat_vtd_block(struct moat_unit *unit, moat_sid_t sid)
{
	struct vtd *v = vtd_of(unit);
	int ret = function_remove(v, NULL, sid);

	if (ret == -ENOENT)
		return moat_error(ret, "unit %s: source " MOAT_SID_FMT " is not in pass-through",
			v->unit.name, MOAT_SID_ARGS(sid));
	return ret;
}
