/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "vtd_impl.h"

/*
 * PASIDs of functions in domains. Each PASID is attached on its own: the queues of a function may
 * belong to different tenants, and its requests without a PASID (vtd_attach.c) to a third tenant or
 * to none.
 */

#define WHO_FMT     "PASID %" PRIu32 " of " MOAT_SID_FMT
#define WHO_ARGS(p) (p)->pasid, MOAT_SID_ARGS((p)->sid)

/** Under the lock: find the link to a PASID; the link is NULL if the PASID is not in the list. */
static struct vtd_pasid **find(struct vtd *v, moat_sid_t sid, uint32_t pasid)
{
	struct vtd_pasid **at = &v->sm.pasids;

	while (*at != NULL && ((*at)->sid != sid || (*at)->pasid != pasid))
		at = &(*at)->next;
	return at;
}

static int may_attach(struct vtd *v, const struct moat_domain *d, moat_sid_t sid, uint32_t pasid)
{
	struct vtd_function f;
	int ret;

	if (!v->sm.on)
		return moat_error(-EOPNOTSUPP,
			"unit %s is in legacy mode, which has no PASIDs; set mode=scalable",
			v->unit.name);
	if (!v->caps.pasid)
		return moat_error(-EOPNOTSUPP, "unit %s has no PASIDs (ECAP.PASID is clear)",
			v->unit.name);
	if (pasid >> v->caps.pss != 0)
		return moat_error(-EINVAL,
			"unit %s has %u bits of PASID (ECAP.PSS): PASID %" PRIu32 " is too large",
			v->unit.name, v->caps.pss, pasid);
	if (pasid == VTD_RID_PASID)
		return moat_error(-EINVAL,
			"unit %s: PASID %u stands for requests without one; use another",
			v->unit.name, VTD_RID_PASID);
	ret = vtd_may_attach(v, d, sid);
	if (ret == 0)
		ret = vtd_aliases_ask(v, sid, &f);
	if (ret == 0 && f.nr_alias != 1)
		return moat_error(-EOPNOTSUPP,
			"unit %s: requests of " MOAT_SID_FMT
			" may carry several source-ids, as behind a PCI bridge, so its PASIDs "
			"cannot be attached",
			v->unit.name, MOAT_SID_ARGS(sid));
	return ret;
}

/** The caller has made the PASID CHANGING and its entry absent, as for function_forget(). */
static int pasid_forget(struct vtd *v, struct vtd_pasid *p)
{
	int ret = vtd_intr_leave(v, p->domain, p->sid);
	struct vtd_pasid **at;

	if (ret == 0)
		ret = vtd_scalable_tell_absent(v, &p->sid, 1, p->pasid, p->did);
	pthread_mutex_lock(&v->lock);
	if (ret == 0) {
		at = find(v, p->sid, p->pasid);
		*at = p->next;
	} else {
		p->state = VTD_FUNCTION_LEAVING;
	}
	pthread_mutex_unlock(&v->lock);
	if (ret == 0)
		free(p);
	return ret;
}

/** Try again to undo an earlier attach that failed, as function_settle() does. */
static void pasid_settle(struct vtd *v, moat_sid_t sid, uint32_t pasid)
{
	struct vtd_pasid *p;

	pthread_mutex_lock(&v->lock);
	p = *find(v, sid, pasid);
	if (p != NULL && p->state == VTD_FUNCTION_LEAVING && p->domain == NULL)
		p->state = VTD_FUNCTION_CHANGING;
	else
		p = NULL;
	pthread_mutex_unlock(&v->lock);
	if (p != NULL)
		pasid_forget(v, p);
}

/** Under the lock: make the entry present. On an error no entry has changed, but the directory may
 * have been replaced (`old`). */
static int pasid_enter(struct vtd *v, struct vtd_pasid *p, struct vtd_spare *old)
{
	const struct vtd_pasid *there = *find(v, p->sid, p->pasid);
	int ret = vtd_isolation_check(v, p->domain, p->sid);

	if (ret == 0 && there != NULL)
		ret = moat_error(-EBUSY,
			"unit %s: " WHO_FMT " is in domain '%s' already; detach it there first",
			v->unit.name, WHO_ARGS(p), vtd_domain_name(there->domain));
	if (ret == 0)
		ret = vtd_intr_enter(v, p->domain, p->sid, p->pasid);
	if (ret == 0 && v->source[p->sid].state == VTD_SOURCE_PASS)
		ret = moat_error(-EBUSY,
			"unit %s: source " MOAT_SID_FMT
			" passes through untranslated, because it belongs to the kernel; first "
			"unbind it from its driver, and end its pass-through with moat_vtd_block()",
			v->unit.name, MOAT_SID_ARGS(p->sid));
	if (ret == 0)
		ret = vtd_scalable_reserve(v, p->sid, p->pasid, old);
	if (ret != 0)
		return ret;
	vtd_pasid_entry_set(v, p->sid, p->pasid, p->domain);
	p->next = v->sm.pasids;
	v->sm.pasids = p;
	return 0;
}

/** The unit did not confirm that the entry is present: make it absent. Keeps the error text. */
static int pasid_undo(struct vtd *v, struct vtd_pasid *p, int ret)
{
	char why[512];

	snprintf(why, sizeof(why), "%s", moat_error_text());
	pthread_mutex_lock(&v->lock);
	p->domain = NULL;
	vtd_pasid_entry_clear(v, p->sid, p->pasid);
	pthread_mutex_unlock(&v->lock);
	pasid_forget(v, p);
	return moat_error(ret, "%s", why);
}

int vtd_attach_pasid(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
	uint32_t pasid)
{
	struct vtd *v = vtd_of(unit);
	struct vtd_spare old = { .n = 0 };
	struct vtd_pasid *p;
	int ret = may_attach(v, domain, sid, pasid);

	if (ret != 0)
		return ret;
	p = malloc(sizeof(*p));
	if (p == NULL)
		return moat_error(-ENOMEM, "unit %s: out of memory", v->unit.name);
	*p = (struct vtd_pasid){ .sid = sid,
		.pasid = pasid,
		.did = moat_domain_did(domain, unit),
		.state = VTD_FUNCTION_CHANGING,
		.domain = domain };
	pasid_settle(v, sid, pasid);
	pthread_mutex_lock(&v->lock);
	ret = pasid_enter(v, p, &old);
	pthread_mutex_unlock(&v->lock);
	if (ret != 0) {
		char why[512]; /* the directory may have been replaced all the same */

		free(p);
		snprintf(why, sizeof(why), "%s", moat_error_text());
		vtd_scalable_retire(v, sid, &old);
		return moat_error(ret, "%s", why);
	}
	ret = vtd_scalable_retire(v, sid, &old);
	if (ret == 0)
		ret = vtd_scalable_tell_present(v, pasid, p->did);
	if (ret != 0)
		return pasid_undo(v, p, ret);
	pthread_mutex_lock(&v->lock);
	p->state = VTD_FUNCTION_ATTACHED;
	pthread_mutex_unlock(&v->lock);
	atomic_fetch_add_explicit(&v->attaches, 1, memory_order_relaxed); /* counter */
	return 0;
}

int vtd_detach_pasid(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
	uint32_t pasid)
{
	struct vtd *v = vtd_of(unit);
	struct vtd_pasid *p;
	int ret = 0;

	pthread_mutex_lock(&v->lock);
	p = *find(v, sid, pasid);
	if (p == NULL || p->domain != domain)
		ret = -ENOENT;
	else if (p->state == VTD_FUNCTION_CHANGING)
		ret = -EBUSY;
	else if (p->state == VTD_FUNCTION_ATTACHED)
		vtd_pasid_entry_clear(v, sid, pasid);
	if (ret == 0)
		p->state = VTD_FUNCTION_CHANGING;
	pthread_mutex_unlock(&v->lock);
	if (ret == -ENOENT)
		return moat_error(ret,
			"unit %s: PASID %" PRIu32 " of " MOAT_SID_FMT " is not in domain %s",
			v->unit.name, pasid, MOAT_SID_ARGS(sid), domain->name);
	if (ret == -EBUSY)
		return moat_error(ret,
			"unit %s: another thread attaches or detaches PASID %" PRIu32
			" of " MOAT_SID_FMT,
			v->unit.name, pasid, MOAT_SID_ARGS(sid));
	ret = pasid_forget(v, p);
	if (ret == 0)
		atomic_fetch_add_explicit(&v->detaches, 1, memory_order_relaxed); /* counter */
	return ret;
}
