/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * The caches of scalable mode, and which entries each invalidation drops ("Invalidation of
 * Translation Caches"): no more than the specification demands.
 */
#include <errno.h>
#include <stdlib.h>

#include "moat_qi.h"
#include "scalable.h"

/* ------------------------------------------------------------------ context and PASID cache */

static struct sv_sm_context *context_set(struct sv_scalable *sm, moat_sid_t sid)
{
	return &sm->contexts[(sid & (sm->context_sets - 1)) * SV_CONTEXT_WAYS];
}

struct sv_sm_context *sv_sm_context_find(struct sv_scalable *sm, moat_sid_t sid)
{
	if (sm->context_sets == 0)
		return NULL;
	struct sv_sm_context *set = context_set(sm, sid);

	for (unsigned int way = 0; way < SV_CONTEXT_WAYS; way++) {
		if (set[way].state != SV_CONTEXT_NONE && set[way].sid == sid)
			return &set[way];
	}
	return NULL;
}

void sv_sm_context_fill(struct sv_scalable *sm, const struct sv_sm_context *context)
{
	struct sv_sm_context *entry = sv_sm_context_find(sm, context->sid);

	if (sm->context_sets == 0)
		return;
	for (unsigned int way = 0; way < SV_CONTEXT_WAYS && entry == NULL; way++) {
		if (context_set(sm, context->sid)[way].state == SV_CONTEXT_NONE)
			entry = &context_set(sm, context->sid)[way];
	}
	if (entry == NULL)
		entry = &context_set(sm, context->sid)[sm->victim++ % SV_CONTEXT_WAYS];
	*entry = *context;
}

static struct sv_pasid *pasid_set(struct sv_scalable *sm, moat_sid_t sid, uint32_t pasid)
{
	return &sm->pasids[((sid * 0x9e37u + pasid) & (sm->pasid_sets - 1)) * SV_PASID_WAYS];
}

struct sv_pasid *sv_pasid_find(struct sv_scalable *sm, moat_sid_t sid, uint32_t pasid)
{
	if (sm->pasid_sets == 0)
		return NULL;
	struct sv_pasid *set = pasid_set(sm, sid, pasid);

	for (unsigned int way = 0; way < SV_PASID_WAYS; way++) {
		if (set[way].state != SV_CONTEXT_NONE && set[way].sid == sid &&
			set[way].pasid == pasid)
			return &set[way];
	}
	return NULL;
}

void sv_pasid_fill(struct sv_scalable *sm, const struct sv_pasid *pasid)
{
	struct sv_pasid *entry = sv_pasid_find(sm, pasid->sid, pasid->pasid), *set;

	if (sm->pasid_sets == 0)
		return;
	set = pasid_set(sm, pasid->sid, pasid->pasid);
	for (unsigned int way = 0; way < SV_PASID_WAYS && entry == NULL; way++) {
		if (set[way].state == SV_CONTEXT_NONE)
			entry = &set[way];
	}
	if (entry == NULL)
		entry = &set[sm->victim++ % SV_PASID_WAYS];
	*entry = *pasid;
}

void sv_scalable_drop_contexts(const struct moat_softvtd *sv, struct sv_shard *shard,
	unsigned int gran, moat_sid_t sid, unsigned int fm)
{
	struct sv_scalable *sm = shard->sm;

	/* The entries have no domain-id: all go, unless only one function's are named. */
	for (uint32_t i = 0; sm != NULL && i < sm->context_sets * SV_CONTEXT_WAYS; i++) {
		struct sv_sm_context *c = &sm->contexts[i];

		if (c->state != SV_CONTEXT_VALID ||
			(gran == MOAT_QI_DEVICE && !sv_same_function(c->sid, sid, fm)))
			continue;
		c->state =
			sv->conf.linger && c->reason == 0 ? SV_CONTEXT_LINGERING : SV_CONTEXT_NONE;
	}
}

/* ------------------------------------------------------------------------------- spaces */

static struct sv_match of_space(uint16_t space)
{
	return (struct sv_match){ .mask = UINT64_C(0xffff) << 2, .value = (uint64_t)space << 2 };
}

static void drop(struct sv_scalable *sm, const struct sv_match *m)
{
	sv_cache_drop(&sm->iotlb, m, 0);
	sv_pscs_drop(sm->psc, m);
}

/* Find the slot of a space, or the free slot for it. Slots are only freed all at once, so a search
 * ends at the first free one. */
static struct sv_space *space_place(struct sv_scalable *sm, uint16_t did, uint32_t pasid,
	bool nested)
{
	for (uint32_t i = did * 31u + pasid * 7u + nested;; i++) {
		struct sv_space *s = &sm->space[i % SV_SPACES];

		if (!s->used || (s->did == did && s->pasid == pasid && s->nested == nested))
			return s;
	}
}

uint16_t sv_space_of(struct sv_scalable *sm, const struct sv_pasid *pasid)
{
	bool nested = pasid->pgtt == VTD_PGTT_NESTED;
	struct sv_space *s = space_place(sm, pasid->ss.did, pasid->pasid, nested);

	if (s->used)
		return s - sm->space;
	if (sm->spaces == SV_SPACES / 2) {
		drop(sm, &sv_everything);
		memset(sm->space, 0, sizeof(sm->space));
		sm->spaces = 0;
		s = space_place(sm, pasid->ss.did, pasid->pasid, nested);
	}
	*s = (struct sv_space){ .did = pasid->ss.did,
		.pasid = pasid->pasid,
		.nested = nested,
		.used = true };
	sm->spaces++;
	return s - sm->space;
}

/* ------------------------------------------------------------------------- invalidations */

static void lingering_end(struct sv_scalable *sm, bool all, uint16_t did, bool by_pasid,
	uint32_t pasid)
{
	for (uint32_t i = 0; i < sm->pasid_sets * SV_PASID_WAYS; i++) {
		struct sv_pasid *p = &sm->pasids[i];
		bool first = p->pgtt == VTD_PGTT_FIRST_STAGE || p->pgtt == VTD_PGTT_NESTED;

		if (p->state == SV_CONTEXT_LINGERING && (all || p->ss.did == did) &&
			(!by_pasid || (first && p->pasid == pasid)))
			p->state = SV_CONTEXT_NONE;
	}
}

/* "IOTLB Invalidate": if global or domain-selective, it concerns first stage, too. If
 * page-selective, it names second-stage pages: all nested entries go, as any may lead there, and
 * entries of first stage alone stay. */
void sv_scalable_drop_iotlb(struct sv_shard *shard, unsigned int gran, uint16_t did)
{
	struct sv_scalable *sm = shard->sm;

	if (sm == NULL)
		return;
	for (unsigned int i = 0; i < SV_SPACES && sm->spaces != 0; i++) {
		const struct sv_space *s = &sm->space[i];
		struct sv_match m = of_space(i);

		if (s->used && (gran == MOAT_QI_GLOBAL || s->did == did) &&
			(gran != MOAT_QI_PAGE || s->nested))
			drop(sm, &m);
	}
	if (gran != MOAT_QI_PAGE)
		lingering_end(sm, gran == MOAT_QI_GLOBAL, did, false, 0);
}

static void pasid_drop(const struct moat_softvtd *sv, struct sv_pasid *p)
{
	bool linger = sv->conf.linger && p->reason == 0 && p->pgtt != VTD_PGTT_PASS_THROUGH;

	if (p->state == SV_CONTEXT_VALID)
		p->state = linger ? SV_CONTEXT_LINGERING : SV_CONTEXT_NONE;
}

void sv_invalidate_pasid_cache(struct moat_softvtd *sv, unsigned int gran, uint16_t did,
	uint32_t pasid)
{
	for (unsigned int i = 0; i < sv->conf.shards; i++) {
		struct sv_shard *shard = &sv->shards[i];
		struct sv_scalable *sm = shard->sm;

		moat_spin_lock(&shard->lock);
		for (uint32_t j = 0; sm != NULL && j < sm->pasid_sets * SV_PASID_WAYS; j++) {
			struct sv_pasid *p = &sm->pasids[j];

			if (gran == MOAT_QI_PASID_GLOBAL ||
				(p->ss.did == did &&
					(gran == MOAT_QI_PASID_DOMAIN || p->pasid == pasid)))
				pasid_drop(sv, p);
		}
		moat_spin_unlock(&shard->lock);
	}
}

static void shard_drop_pasid_iotlb(struct sv_scalable *sm, const struct sv_match *range,
	unsigned int gran, uint16_t did, uint32_t pasid, bool ih)
{
	for (unsigned int nested = 0; nested < 2; nested++) {
		const struct sv_space *s = space_place(sm, did, pasid, nested);
		unsigned int i = s - sm->space;
		struct sv_match m = of_space(i);

		if (!s->used)
			continue;
		m.range = range->range;
		m.first = range->first;
		m.last = range->last;
		if (gran != MOAT_QI_PAGE || !ih)
			drop(sm, &m);
		else if (m.last - m.first < sm->iotlb.sets)
			sv_cache_drop_pages(&sm->iotlb, &m, i);
		else
			sv_cache_drop(&sm->iotlb, &m, 0);
	}
	if (gran != MOAT_QI_PAGE)
		lingering_end(sm, false, did, true, pasid);
}

void sv_invalidate_pasid_iotlb(struct moat_softvtd *sv, unsigned int gran, uint16_t did,
	uint32_t pasid, uint64_t iova, unsigned int am, bool ih)
{
	uint64_t pages = UINT64_C(1) << am;
	uint64_t first = iova >> MOAT_PAGE_SHIFT & ~(pages - 1);
	struct sv_match range = { .range = gran == MOAT_QI_PAGE,
		.first = first,
		.last = first + pages - 1 };

	for (unsigned int i = 0; i < sv->conf.shards; i++) {
		struct sv_shard *shard = &sv->shards[i];

		moat_spin_lock(&shard->lock);
		if (shard->sm != NULL)
			shard_drop_pasid_iotlb(shard->sm, &range, gran, did, pasid, ih);
		sv_drain_shard(sv, shard, MOAT_RW);
		moat_spin_unlock(&shard->lock);
	}
}

/* --------------------------------------------------------------------------------- life */

int sv_scalable_create(struct moat_softvtd *sv, struct sv_shard *shard)
{
	const struct moat_softvtd_conf *conf = &sv->conf;
	struct sv_scalable *sm = calloc(1, sizeof(*sm));
	int err;

	if (sm == NULL)
		return -ENOMEM;
	shard->sm = sm;
	err = sv_walk_caches_create(conf, &sm->iotlb, sm->psc);
	if (err == 0 && conf->context_entries != 0) {
		sm->context_sets = RTE_MAX(conf->context_entries / SV_CONTEXT_WAYS, 1u);
		sm->contexts =
			calloc((size_t)sm->context_sets * SV_CONTEXT_WAYS, sizeof(*sm->contexts));
		err = sm->contexts != NULL ? 0 : -ENOMEM;
	}
	if (err == 0 && conf->pasid_entries != 0) {
		sm->pasid_sets = RTE_MAX(conf->pasid_entries / SV_PASID_WAYS, 1u);
		sm->pasids = calloc((size_t)sm->pasid_sets * SV_PASID_WAYS, sizeof(*sm->pasids));
		err = sm->pasids != NULL ? 0 : -ENOMEM;
	}
	return err;
}

void sv_scalable_destroy(struct sv_shard *shard)
{
	struct sv_scalable *sm = shard->sm;

	if (sm == NULL)
		return;
	sv_walk_caches_destroy(&sm->iotlb, sm->psc);
	free(sm->contexts);
	free(sm->pasids);
	free(sm);
}
