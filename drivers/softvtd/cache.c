/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * The caches of a shard, and which entries each invalidation drops: no more than the specification
 * demands ("Invalidation of Translation Caches").
 */
#include <errno.h>
#include <stdlib.h>

#include "moat_qi.h"
#include "scalable.h"

/* --------------------------------------------------------------------- sets of ways */

static int cache_create(struct sv_cache *cache, uint32_t entries, uint32_t ways)
{
	if (entries == 0)
		return 0;
	cache->ways = RTE_MIN(ways, entries);
	cache->sets = entries / cache->ways;
	cache->entries = calloc(entries, sizeof(*cache->entries));
	cache->used = calloc((cache->sets + 63) / 64, sizeof(*cache->used));
	return cache->entries != NULL && cache->used != NULL ? 0 : -ENOMEM;
}

static void cache_destroy(struct sv_cache *cache)
{
	free(cache->entries);
	free(cache->used);
}

int sv_walk_caches_create(const struct moat_softvtd_conf *conf, struct sv_cache *iotlb,
	struct sv_cache psc[])
{
	int err = cache_create(iotlb, conf->iotlb_entries, conf->iotlb_ways);

	for (unsigned int level = 0; level < MOAT_SOFTVTD_PSCS && err == 0; level++)
		err = cache_create(&psc[level], conf->psc_entries[level], 4);
	return err;
}

void sv_walk_caches_destroy(struct sv_cache *iotlb, struct sv_cache psc[])
{
	cache_destroy(iotlb);
	for (unsigned int level = 0; level < MOAT_SOFTVTD_PSCS; level++)
		cache_destroy(&psc[level]);
}

static void entry_drop(struct sv_cache *cache, struct sv_entry *entry)
{
	cache->filled[entry->tag & 3]--;
	entry->tag = 0;
}

void sv_cache_fill(struct sv_cache *cache, uint64_t tag, uint64_t data)
{
	if (cache->sets == 0)
		return;
	uint32_t index = sv_cache_set(cache, tag);
	struct sv_entry *set = &cache->entries[(size_t)index * cache->ways];
	struct sv_entry *entry = NULL;

	for (uint32_t way = 0; way < cache->ways; way++) {
		if (set[way].tag == tag || (entry == NULL && set[way].tag == 0))
			entry = &set[way];
		if (set[way].tag == tag)
			break;
	}
	if (entry == NULL)
		entry = &set[cache->victim++ & (cache->ways - 1)];
	if (entry->tag != 0)
		entry_drop(cache, entry);
	entry->tag = tag;
	entry->data = data;
	cache->filled[tag & 3]++;
	cache->used[index / 64] |= UINT64_C(1) << index % 64;
}

static bool matches(const struct sv_match *m, uint64_t tag, unsigned int pages_shift)
{
	uint64_t first, last;

	if (tag == 0 || (tag & m->mask) != m->value)
		return false;
	if (!m->range)
		return true;
	first = tag >> 18 << pages_shift;
	last = first + ((UINT64_C(1) << pages_shift) - 1);
	return first <= m->last && last >= m->first;
}

static void set_drop(struct sv_cache *cache, uint32_t index, const struct sv_match *m,
	unsigned int fixed_shift)
{
	struct sv_entry *set = &cache->entries[(size_t)index * cache->ways];
	bool left = false;

	for (uint32_t way = 0; way < cache->ways; way++) {
		unsigned int shift = fixed_shift != 0 ? fixed_shift : ((set[way].tag & 3) - 1) * 9;

		if (matches(m, set[way].tag, shift))
			entry_drop(cache, &set[way]);
		left |= set[way].tag != 0;
	}
	if (!left)
		cache->used[index / 64] &= ~(UINT64_C(1) << index % 64);
}

void sv_cache_drop(struct sv_cache *cache, const struct sv_match *m, unsigned int fixed_shift)
{
	if (cache->filled[1] + cache->filled[2] + cache->filled[3] == 0)
		return;
	for (uint32_t word = 0; word < (cache->sets + 63) / 64; word++) {
		for (uint64_t bits = cache->used[word]; bits != 0; bits &= bits - 1)
			set_drop(cache, word * 64 + __builtin_ctzll(bits), m, fixed_shift);
	}
}

void sv_pscs_drop(struct sv_cache psc[], const struct sv_match *m)
{
	for (unsigned int level = 0; level < MOAT_SOFTVTD_PSCS; level++)
		sv_cache_drop(&psc[level], m, 9 * (level + 1));
}

void sv_cache_drop_pages(struct sv_cache *cache, const struct sv_match *m, uint16_t did)
{
	for (unsigned int size = SV_4K; size <= SV_1G; size++) {
		unsigned int shift = (size - 1) * 9;

		if (cache->filled[size] == 0)
			continue;
		for (uint64_t page = m->first >> shift; page <= m->last >> shift; page++) {
			struct sv_entry *e = sv_cache_find(cache, page << 18 | did << 2 | size);

			if (e != NULL)
				entry_drop(cache, e);
		}
	}
}

/* --------------------------------------------------------------------- the context cache */

struct sv_context *sv_context_find(struct sv_shard *shard, moat_sid_t sid)
{
	if (shard->context_sets == 0)
		return NULL;
	struct sv_context *set =
		&shard->contexts[(sid & (shard->context_sets - 1)) * SV_CONTEXT_WAYS];

	for (unsigned int way = 0; way < SV_CONTEXT_WAYS; way++) {
		if (set[way].state != SV_CONTEXT_NONE && set[way].sid == sid)
			return &set[way];
	}
	return NULL;
}

void sv_context_fill(struct sv_shard *shard, const struct sv_context *context)
{
	struct sv_context *entry = sv_context_find(shard, context->sid);

	if (shard->context_sets == 0)
		return;
	struct sv_context *set =
		&shard->contexts[(context->sid & (shard->context_sets - 1)) * SV_CONTEXT_WAYS];

	for (unsigned int way = 0; way < SV_CONTEXT_WAYS && entry == NULL; way++) {
		if (set[way].state == SV_CONTEXT_NONE)
			entry = &set[way];
	}
	if (entry == NULL)
		entry = &set[shard->context_victim++ % SV_CONTEXT_WAYS];
	*entry = *context;
}

/* A lingering entry no longer serves as a context entry, but still leads to the IOTLB entries it
 * tagged. */
static void context_drop(const struct moat_softvtd *sv, struct sv_context *context)
{
	bool linger = sv->conf.linger && context->state == SV_CONTEXT_VALID &&
		context->reason == 0 && context->tt != VTD_TT_PASS_THROUGH;

	if (context->state == SV_CONTEXT_VALID)
		context->state = linger ? SV_CONTEXT_LINGERING : SV_CONTEXT_NONE;
}

static void shard_drop_contexts(const struct moat_softvtd *sv, struct sv_shard *shard,
	unsigned int gran, uint16_t did, moat_sid_t sid, unsigned int fm)
{
	for (uint32_t i = 0; i < shard->context_sets * SV_CONTEXT_WAYS; i++) {
		struct sv_context *c = &shard->contexts[i];

		if (gran == MOAT_QI_GLOBAL ||
			(c->did == did &&
				(gran == MOAT_QI_DOMAIN || sv_same_function(c->sid, sid, fm))))
			context_drop(sv, c);
	}
}

void sv_invalidate_context(struct moat_softvtd *sv, unsigned int gran, uint16_t did, moat_sid_t sid,
	unsigned int fm)
{
	for (unsigned int i = 0; i < sv->conf.shards; i++) {
		struct sv_shard *shard = &sv->shards[i];

		moat_spin_lock(&shard->lock);
		shard_drop_contexts(sv, shard, gran, did, sid, fm);
		sv_scalable_drop_contexts(sv, shard, gran, sid, fm);
		moat_spin_unlock(&shard->lock);
	}
}

/* ------------------------------------------------ the IOTLB and the paging-structure caches */

static void shard_drop_iotlb(struct sv_shard *shard, unsigned int gran, const struct sv_match *m,
	uint16_t did, bool ih)
{
	bool few = m->range && m->last - m->first < shard->iotlb.sets;

	if (few)
		sv_cache_drop_pages(&shard->iotlb, m, did);
	else
		sv_cache_drop(&shard->iotlb, m, 0);
	if (gran != MOAT_QI_PAGE || !ih)
		sv_pscs_drop(shard->psc, m);
}

/* When a domain's IOTLB entries are dropped, lingering context entries no longer lead to any. */
static void shard_drop_lingering(struct sv_shard *shard, unsigned int gran, uint16_t did)
{
	for (uint32_t i = 0; i < shard->context_sets * SV_CONTEXT_WAYS; i++) {
		struct sv_context *c = &shard->contexts[i];

		if (c->state == SV_CONTEXT_LINGERING && (gran == MOAT_QI_GLOBAL || c->did == did))
			c->state = SV_CONTEXT_NONE;
	}
}

void sv_invalidate_iotlb(struct moat_softvtd *sv, unsigned int gran, uint16_t did, uint64_t iova,
	unsigned int am, bool ih, unsigned int drain)
{
	uint64_t pages = UINT64_C(1) << am;
	uint64_t first = iova >> MOAT_PAGE_SHIFT & ~(pages - 1);
	struct sv_match m = gran == MOAT_QI_GLOBAL ? sv_everything
						   : (struct sv_match){
							     .mask = UINT64_C(0xffff) << 2,
							     .value = (uint64_t)did << 2,
							     .range = gran == MOAT_QI_PAGE,
							     .first = first,
							     .last = first + pages - 1,
						     };

	for (unsigned int i = 0; i < sv->conf.shards; i++) {
		struct sv_shard *shard = &sv->shards[i];

		moat_spin_lock(&shard->lock);
		shard_drop_iotlb(shard, gran, &m, did, ih);
		if (gran != MOAT_QI_PAGE)
			shard_drop_lingering(shard, gran, did);
		sv_scalable_drop_iotlb(shard, gran, did);
		sv_drain_shard(sv, shard, drain);
		moat_spin_unlock(&shard->lock);
	}
}

/* Flush the chipset's write buffer: table lines are then seen as they are in memory. */
void sv_flush_lines(struct moat_softvtd *sv)
{
	if (!sv->conf.rwbf)
		return;
	for (unsigned int i = 0; i < sv->conf.shards; i++) {
		struct sv_shard *shard = &sv->shards[i];

		moat_spin_lock(&shard->lock);
		memset(shard->lines, 0, SV_LINES * sizeof(*shard->lines));
		moat_spin_unlock(&shard->lock);
	}
}

/* --------------------------------------------------------------------------------- life */

int sv_caches_create(struct moat_softvtd *sv, struct sv_shard *shard)
{
	const struct moat_softvtd_conf *conf = &sv->conf;
	int err = sv_walk_caches_create(conf, &shard->iotlb, shard->psc);

	if (err == 0 && conf->context_entries != 0) {
		shard->context_sets = RTE_MAX(conf->context_entries / SV_CONTEXT_WAYS, 1u);
		shard->contexts = calloc((size_t)shard->context_sets * SV_CONTEXT_WAYS,
			sizeof(*shard->contexts));
		err = shard->contexts != NULL ? 0 : -ENOMEM;
	}
	if (err == 0 && conf->scalable)
		err = sv_scalable_create(sv, shard);
	if (err == 0 && conf->rwbf) {
		shard->lines = calloc(SV_LINES, sizeof(*shard->lines));
		err = shard->lines != NULL ? 0 : -ENOMEM;
	}
	return err;
}

void sv_caches_destroy(struct sv_shard *shard)
{
	sv_scalable_destroy(shard);
	sv_walk_caches_destroy(&shard->iotlb, shard->psc);
	free(shard->contexts);
	free(shard->lines);
}
