/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * An interrupt carries no PASID, and the unit verifies only its source-id. So an interrupt that a
 * function was given in one domain can be raised by every domain that has a PASID of the function.
 * Therefore a function in several domains is given no interrupts (vtd_intr_may_give()), and a
 * function with interrupts enters no second domain (vtd_intr_enter()), unless the configuration
 * allows both.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "vtd_impl.h"

/* Under v->lock: find another domain that the function, or a PASID of it, is attached to. @param
 * pasid set to that PASID, or MOAT_PASID_NONE @return NULL: there is none */
static const struct moat_domain *shared_with(const struct vtd *v, const struct moat_domain *domain,
	moat_sid_t sid, uint32_t *pasid)
{
	const struct vtd_function *f = &v->function[sid];

	*pasid = MOAT_PASID_NONE;
	if (f->domain != NULL && f->domain != domain)
		return f->domain;
	for (const struct vtd_pasid *p = v->sm.pasids; p != NULL; p = p->next) {
		*pasid = p->pasid;
		if (p->sid == sid && p->domain != NULL && p->domain != domain)
			return p->domain;
	}
	return NULL;
}

/* Write "PASID 2 of 10:00.0" or "10:00.0". */
static const char *requester_text(moat_sid_t sid, uint32_t pasid, char text[], size_t len)
{
	size_t at = 0;

	if (pasid != MOAT_PASID_NONE)
		at = snprintf(text, len, "PASID %" PRIu32 " of ", pasid);
	snprintf(text + at, len - at, MOAT_SID_FMT, MOAT_SID_ARGS(sid));
	return text;
}

int vtd_intr_may_give(const struct vtd *v, const struct moat_domain *domain, moat_sid_t sid)
{
	const struct moat_domain *other;
	uint32_t pasid;
	char who[32];

	if (v->conf.share_interrupts || domain == NULL)
		return 0;
	other = shared_with(v, domain, sid, &pasid);
	if (other == NULL)
		return 0;
	return moat_error(-EPERM,
		"unit %s: '%s' gets no interrupt of " MOAT_SID_FMT
		": '%s' has %s, and an interrupt carries no PASID, so each domain could raise the "
		"other's; use a function for each domain (a VF, or requesters = queue), or accept "
		"that with share_interrupts",
		v->unit.name, domain->name, MOAT_SID_ARGS(sid), other->name,
		requester_text(sid, pasid, who, sizeof(who)));
}

int vtd_intr_enter(struct vtd *v, const struct moat_domain *domain, moat_sid_t sid, uint32_t pasid)
{
	const struct moat_domain *other;
	char who[32];

	if (v->conf.share_interrupts || domain == NULL)
		return 0;
	other = vtd_intr_other(v, domain, sid);
	if (other == NULL)
		return 0;
	return moat_error(-EBUSY,
		"unit %s: %s cannot be in '%s' while '%s' has interrupts of that function: an "
		"interrupt carries no PASID, so '%s' could raise them; take them back first, use a "
		"function for each domain (a VF, or requesters = queue), or accept that with "
		"share_interrupts",
		v->unit.name, requester_text(sid, pasid, who, sizeof(who)), domain->name,
		other->name, domain->name);
}
