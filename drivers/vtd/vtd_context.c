/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>

#include "vtd_impl.h"

/* ------------------------------------------------------------------------------ the tables */

/** The context entry of a source. Its table never moves, and the root entry above never changes. */
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
	/* The unit does not look before SRTP, so these are ordinary stores. */
	for (unsigned int bus = 0; bus < VTD_BUSES; bus++)
		root[bus].lo = (v->context.hpa + bus * MOAT_PAGE_SIZE) | VTD_ROOT_P;
	vtd_flush_lines(v, root, MOAT_PAGE_SIZE);
	vtd_flush_lines(v, context_entry(v, 0), VTD_BUSES * MOAT_PAGE_SIZE);
	return 0;
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
void vtd_entry_clear(struct vtd *v, moat_sid_t sid)
{
	struct vtd_entry *e = context_entry(v, sid);

	if (v->sm.on) {
		vtd_pasid_entry_clear(v, sid, VTD_RID_PASID);
		return;
	}
	/* relaxed: what must come behind is the invalidation, and moat_qi_submit() releases */
	__atomic_store_n(&e->lo, 0, __ATOMIC_RELAXED);
	vtd_flush_lines(v, e, sizeof(*e));
}

/** AW of a pass-through entry: the largest that the unit supports. */
uint64_t vtd_largest_aw(const struct vtd *v)
{
	return v->caps.sagaw & 8 ? 3 : v->caps.sagaw & 4 ? 2 : 1;
}

int vtd_entry_reserve(struct vtd *v, moat_sid_t sid)
{
	struct vtd_spare none; /* the least directory has this PASID */

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
 * has cached nothing. With it, absence may be cached under domain-id 0, for the context entry and
 * for what was translated through it. A write buffer (CAP.RWBF) is flushed in either case.
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
 * Present to not present: the context cache first, and once that is complete, so that no stale
 * context entry can refill the IOTLB, the domain's IOTLB. Two waits: the unit may execute the
 * descriptors between two waits in any order.
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
