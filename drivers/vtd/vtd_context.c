/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>

#include "vtd_impl.h"

/* ------------------------------------------------------------------------------ the tables */

/** Get a source's context entry. The context tables never move, and root entries never change. */
static struct vtd_entry *context_entry(const struct vtd *v, moat_sid_t sid)
{
	return (struct vtd_entry *)v->context.va + sid;
}

int vtd_tables_create(struct vtd *v)
{
	if (v->sm.on)
		return vtd_scalable_create(v);

	int ret = vtd_pages_take(v, 1, &v->root);
	struct vtd_entry *root = (struct vtd_entry *)v->root.va;

	if (ret == 0)
		ret = vtd_pages_take(v, VTD_BUSES, &v->context);
	if (ret != 0)
		return ret;
	/* The unit does not read the tables before SRTP, so these are ordinary stores. */
	for (unsigned int bus = 0; bus < VTD_BUSES; bus++)
		root[bus].lo = (v->context.hpa + bus * MOAT_PAGE_SIZE) | VTD_ROOT_P;
	vtd_flush_lines(v, root, MOAT_PAGE_SIZE);
	vtd_flush_lines(v, context_entry(v, 0), VTD_BUSES * MOAT_PAGE_SIZE);
	return 0;
}

/**
 * Make an absent entry present. The unit may fetch the entry at any moment, so the half with P is
 * stored last (release: against the unit's fetch).
 */
static void entry_set(struct vtd *v, moat_sid_t sid, uint64_t lo, uint64_t hi)
{
	struct vtd_entry *e = context_entry(v, sid);

	__atomic_store_n(&e->hi, hi, __ATOMIC_RELAXED);
	__atomic_store_n(&e->lo, lo | VTD_CTX_P, __ATOMIC_RELEASE);
	vtd_flush_lines(v, e, sizeof(*e));
}

/**
 * Make a present entry absent. Nothing else may change while caches may be filled from the entry,
 * so the upper half stays until the next entry_set(): with P clear the unit ignores it.
 */
void vtd_entry_clear(struct vtd *v, moat_sid_t sid)
{
	struct vtd_entry *e = context_entry(v, sid);

	if (v->sm.on) {
		vtd_pasid_entry_clear(v, sid, VTD_RID_PASID);
		return;
	}
	/* relaxed: only the invalidation must come after, and moat_qi_submit() releases */
	__atomic_store_n(&e->lo, 0, __ATOMIC_RELAXED);
	vtd_flush_lines(v, e, sizeof(*e));
}

uint64_t vtd_largest_aw(const struct vtd *v)
{
	return v->caps.sagaw & 8 ? 3 : v->caps.sagaw & 4 ? 2 : 1;
}

int vtd_entry_reserve(struct vtd *v, moat_sid_t sid)
{
	struct vtd_spare none; /* every directory has this PASID, so none is replaced */

	return v->sm.on ? vtd_scalable_reserve(v, sid, VTD_RID_PASID, &none) : 0;
}

void vtd_entry_set(struct vtd *v, moat_sid_t sid, const struct moat_domain *d)
{
	if (v->sm.on)
		vtd_pasid_entry_set(v, sid, VTD_RID_PASID, d);
	else if (d != NULL)
		entry_set(v, sid, d->pt->root_hpa | VTD_TT_SECOND_STAGE << VTD_CTX_TT_SHIFT,
			(uint64_t)(d->pt->levels - 2) << VTD_CTX_AW_SHIFT |
				(uint64_t)moat_domain_did(d, &v->unit) << VTD_CTX_DID_SHIFT);
	else
		entry_set(v, sid, VTD_TT_PASS_THROUGH << VTD_CTX_TT_SHIFT,
			vtd_largest_aw(v) << VTD_CTX_AW_SHIFT |
				(uint64_t)VTD_DID_PASS << VTD_CTX_DID_SHIFT);
}

/* ------------------------------------------------------------------------- the unit's caches */

/*
 * Not present to present ("Guidance to Software for Invalidations"). A unit without caching mode
 * caches no absence. A unit with caching mode may have cached, under domain-id 0, that the context
 * entry and pages behind it are absent. A write buffer (CAP.RWBF) is flushed in either case.
 */
int vtd_tell_present(struct vtd *v, const moat_sid_t sid[], unsigned int n, uint16_t did)
{
	struct moat_qi_desc desc[MOAT_VTD_ALIASES];
	const struct moat_qi_desc iotlb[] = {
		moat_qi_iotlb_domain(VTD_DID_ABSENT),
		moat_qi_iotlb_domain(did),
	};
	int ret;

	if (v->sm.on)
		return vtd_scalable_tell_present(v, VTD_RID_PASID, did);
	ret = vtd_flush_write_buffer(&v->unit);
	if (ret != 0 || !v->caps.cm)
		return ret;
	for (unsigned int i = 0; i < n; i++)
		desc[i] = moat_qi_context_device(VTD_DID_ABSENT, sid[i], 0);
	ret = vtd_queue_sync(v, desc, n);
	return ret != 0 ? ret : vtd_queue_sync(v, iotlb, RTE_DIM(iotlb));
}

/*
 * Present to not present: invalidate the context cache, and the domain's IOTLB only when that is
 * complete, so that no stale context entry can refill the IOTLB. This takes two waits, because the
 * unit may execute the descriptors between two waits in any order.
 */
int vtd_tell_absent(struct vtd *v, const moat_sid_t sid[], unsigned int n, uint16_t did)
{
	struct moat_qi_desc desc[MOAT_VTD_ALIASES];
	const struct moat_qi_desc iotlb = moat_qi_iotlb_domain(did);
	int ret;

	if (v->sm.on)
		return vtd_scalable_tell_absent(v, sid, n, VTD_RID_PASID, did);
	ret = vtd_flush_write_buffer(&v->unit);
	if (ret != 0)
		return ret;
	for (unsigned int i = 0; i < n; i++)
		desc[i] = moat_qi_context_device(did, sid[i], 0);
	ret = vtd_queue_sync(v, desc, n);
	if (ret == 0)
		ret = vtd_queue_sync(v, &iotlb, 1);
	return ret;
}
