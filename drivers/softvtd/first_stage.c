/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * First stage, alone or over a second stage ("First-Stage Translation", "Nested Translation").
 *
 * An absent entry or a missing permission is never cached, even with CAP.CM: only a walk in memory
 * refuses a request. The unit sets Accessed in each entry that it walks through, and Dirty in the
 * leaf of a write. A leaf is therefore cached without permission to write until it is dirty: the
 * first write walks again.
 *
 * Under a second stage, the address of each table and of the page is translated by that stage. The
 * cached entry then leads from the IOVA to the host physical address.
 */
#include "scalable.h"

#define FS_P  (UINT64_C(1) << 0)
#define FS_RW (UINT64_C(1) << 1)
#define FS_US (UINT64_C(1) << 2)
#define FS_A  (UINT64_C(1) << 5)
#define FS_D  (UINT64_C(1) << 6)
#define FS_XD (UINT64_C(1) << 63)

/* Do all bits above those that `levels` translate equal the highest of these? */
static bool is_canonical(uint64_t iova, unsigned int levels)
{
	unsigned int unused = 64 - (12 + 9 * levels);

	return (uint64_t)((int64_t)(iova << unused) >> unused) == iova;
}

/* Get the IOVA as tags have it: without the repeated bits. */
static uint64_t tagged(uint64_t iova, unsigned int levels)
{
	return iova & ((UINT64_C(1) << (12 + 9 * levels)) - 1);
}

/* Bits that must be 0 in a present entry of a table of this level. */
static uint64_t reserved(const struct moat_softvtd *sv, const struct sv_pasid *p,
	unsigned int level, uint64_t entry)
{
	/* nested: the width is checked by the second stage, see second_stage() */
	uint64_t bits = p->pgtt == VTD_PGTT_NESTED ? 0 : SV_ADDR & ~sv->haw_mask;

	if (!p->nxe)
		bits |= FS_XD;
	if (level >= 4 || (level == 3 && !sv->conf.fs1gp))
		bits |= SV_PS;
	if (level > 1 && sv_is_leaf(level, entry)) /* bit 12 is PAT */
		bits |= (UINT64_C(1) << sv_level_shift(level)) - 2 * MOAT_PAGE_SIZE;
	return bits;
}

/* ------------------------------------------------------------------------ under a second stage */

/* Translate `gpa` for reading or writing. @return 0, with inner->hpa and inner->shift set, or the
 * second stage's fault reason */
static uint8_t second_stage(struct moat_softvtd *sv, struct sv_shard *shard,
	const struct sv_request *rq, const struct sv_pasid *p, uint64_t gpa, uint8_t prot,
	struct sv_request *inner)
{
	uint64_t offset;
	uint8_t reason;

	*inner = (struct sv_request){ .iova = gpa,
		.sid = rq->sid,
		.pasid = rq->pasid,
		.prot = prot,
		.inner = true };
	if (gpa >> p->ss.width != 0)
		return VTD_FR_NEST_BEYOND;
	reason = sv_second_stage(sv, shard, inner, &p->ss);
	if (reason != 0)
		return sv_scalable_reason(inner, reason);
	offset = (UINT64_C(1) << inner->shift) - 1;
	inner->hpa = (inner->data & SV_ADDR & ~offset) | (gpa & offset);
	return 0;
}

/* Get the fault reason if the second stage does not permit the walk's own access to a table. */
static uint8_t table_reason(uint8_t reason, bool root, uint8_t prot)
{
	if (reason != VTD_FR_SS_P && reason != VTD_FR_SM_READ && reason != VTD_FR_SM_WRITE)
		return reason;
	if (prot == MOAT_W)
		return VTD_FR_NEST_WRITE;
	return root ? VTD_FR_NEST_ROOT_READ : VTD_FR_NEST_READ;
}

/* ------------------------------------------------------------------------------- the walk */

struct walk {
	const struct sv_pasid *pasid;
	uint16_t space;
	unsigned int level; /* of the table at `table` */
	uint64_t table;     /* as in the entry above: a guest address under a second stage */
	uint64_t host;      /* its host physical address, set by entry_place() */
	uint64_t prot;      /* AND of the entries so far, | SV_FREED */
};

static void walk_begin(struct sv_shard *shard, struct sv_request *rq, const struct sv_pasid *p,
	bool use_cache, struct walk *w)
{
	struct sv_scalable *sm = shard->sm;

	*w = (struct walk){ .pasid = p,
		.space = sv_space_of(sm, p),
		.level = p->levels,
		.table = p->fsptptr,
		.prot = SV_PROT };
	rq->server = MOAT_SOFTVTD_BY_WALK;
	for (unsigned int level = 2; level <= p->levels && use_cache; level++) {
		struct sv_entry *e = sv_cache_find(&sm->psc[level - 2],
			sv_tag(tagged(rq->iova, p->levels), sv_level_shift(level), w->space, 1));

		if (e == NULL)
			continue;
		w->level = level - 1;
		w->table = e->data & SV_ADDR;
		w->prot = e->data & (SV_PROT | SV_FREED);
		rq->server = MOAT_SOFTVTD_BY_PDE + level - 2;
		SV_COUNT(shard->stats.psc_hits[level - 2], 1);
		return;
	}
	SV_COUNT(shard->stats.psc_misses, 1);
}

/* Set `flags`, Accessed and Dirty, in an entry. @return 0 or the fault reason */
static uint8_t entry_mark(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct walk *w, uint64_t hpa, uint64_t *entry, uint64_t flags)
{
	struct sv_request inner;
	uint8_t reason = 0;

	if ((*entry & flags) == flags)
		return 0;
	if (w->pasid->pgtt == VTD_PGTT_NESTED)
		reason = second_stage(sv, shard, rq, w->pasid, w->table + (hpa & MOAT_PAGE_MASK),
			MOAT_W, &inner);
	if (reason != 0)
		return table_reason(reason, false, MOAT_W);
	/* relaxed: software that clears flags invalidates before it looks at them */
	__atomic_fetch_or((uint64_t *)(uintptr_t)hpa, flags, __ATOMIC_RELAXED);
	*entry |= flags;
	return 0;
}

/* Find the host physical address of the entry to read. @return 0 or the fault reason */
static uint8_t entry_place(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	struct walk *w, uint64_t *hpa)
{
	uint64_t index = rq->iova >> sv_level_shift(w->level) & 511;
	struct sv_request inner;
	uint8_t reason;

	w->host = w->table;
	if (w->pasid->pgtt == VTD_PGTT_NESTED) {
		reason = second_stage(sv, shard, rq, w->pasid, w->table, MOAT_R, &inner);
		if (reason != 0)
			return table_reason(reason, w->level == w->pasid->levels, MOAT_R);
		w->host = inner.hpa;
	}
	*hpa = w->host + index * 8;
	if (sv_reachable(sv, *hpa))
		return 0;
	return w->level == w->pasid->levels ? VTD_FR_FS_ROOT_ACCESS : VTD_FR_FS_ACCESS;
}

/* Read one table entry. @return a fault reason, or 0 and *entry */
static uint8_t walk_read(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	struct walk *w, uint64_t *entry)
{
	uint64_t hpa = 0;
	uint8_t reason = entry_place(sv, shard, rq, w, &hpa);

	if (reason != 0)
		return reason;
	*entry = sv_word_read(shard, hpa);
	SV_COUNT(shard->stats.memory_reads, 1);
	if (sv->oracle != NULL && sv_oracle_table_freed(sv->oracle, w->host))
		w->prot |= SV_FREED;
	if (!(*entry & FS_P))
		return VTD_FR_FS_P;
	if (*entry & reserved(sv, w->pasid, w->level, *entry))
		return VTD_FR_FS_RSVD;
	if (!(*entry & FS_US)) /* no request here asks for privilege */
		return VTD_FR_SM_USER;
	w->prot = (w->prot & ~(uint64_t)(MOAT_R | MOAT_W)) |
		(w->prot & (MOAT_R | (*entry & FS_RW ? MOAT_W : 0)));
	if (sv_is_leaf(w->level, *entry) && rq->prot == MOAT_W && !(w->prot & MOAT_W))
		return VTD_FR_SM_WRITE;
	return entry_mark(sv, shard, rq, w, hpa, entry,
		FS_A | (sv_is_leaf(w->level, *entry) && rq->prot == MOAT_W ? FS_D : 0));
}

/* Set rq->data and rq->shift for the leaf's page, which a second stage may translate. */
static uint8_t leaf_answer(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct walk *w, uint64_t entry)
{
	uint64_t offset = (UINT64_C(1) << sv_level_shift(w->level)) - 1;
	uint64_t prot = w->prot & (entry & FS_D ? ~UINT64_C(0) : ~(uint64_t)MOAT_W);
	struct sv_request inner;
	uint8_t reason;

	rq->shift = sv_level_shift(w->level);
	rq->data = (entry & SV_ADDR & ~offset) | prot;
	if (w->pasid->pgtt != VTD_PGTT_NESTED)
		return 0;
	reason = second_stage(sv, shard, rq, w->pasid,
		(entry & SV_ADDR & ~offset) | (rq->iova & offset), rq->prot, &inner);
	if (reason != 0)
		return reason;
	rq->shift = RTE_MIN(rq->shift, inner.shift);
	offset = (UINT64_C(1) << rq->shift) - 1;
	rq->data = (inner.hpa & SV_ADDR & ~offset) | (prot & (inner.data | ~SV_PROT)) |
		(inner.data & (SV_SNP | SV_FREED));
	return 0;
}

static unsigned int size_of(unsigned int shift)
{
	return (shift - MOAT_PAGE_SHIFT) / 9 + 1;
}

/* Cache the other entries of the line that are present, valid and accessed. Not called under a
 * second stage, where each would need a walk of its own. Entries cached already stay as they
 * are. */
static void prefetch(struct moat_softvtd *sv, struct sv_shard *shard, const struct sv_request *rq,
	const struct walk *w, uint64_t above)
{
	struct sv_scalable *sm = shard->sm;
	unsigned int shift = sv_level_shift(w->level);
	uint64_t first = tagged(rq->iova, w->pasid->levels) >> shift & ~UINT64_C(7);

	for (uint64_t page = first; page < first + 8; page++) {
		uint64_t entry = sv_word_read(shard, w->host + (page & 511) * 8);
		bool leaf = sv_is_leaf(w->level, entry);
		struct sv_cache *cache = leaf ? &sm->iotlb : &sm->psc[w->level - 2];
		uint64_t tag = sv_tag(page << shift, shift, w->space, leaf ? w->level : 1);
		uint64_t prot = above & (MOAT_R | (entry & FS_RW ? MOAT_W : 0));

		if ((entry & (FS_P | FS_US | FS_A)) != (FS_P | FS_US | FS_A) ||
			(entry & reserved(sv, w->pasid, w->level, entry)) ||
			sv_cache_find(cache, tag) != NULL)
			continue;
		if (leaf && !(entry & FS_D))
			prot &= ~(uint64_t)MOAT_W;
		sv_cache_fill(cache, tag, (entry & SV_ADDR) | prot | (w->prot & SV_FREED));
		SV_COUNT(shard->stats.prefetched, 1);
	}
}

static uint8_t walk(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct sv_pasid *p, bool use_cache)
{
	struct sv_scalable *sm = shard->sm;
	uint64_t iova = tagged(rq->iova, p->levels), entry = 0;
	struct walk w;
	uint8_t reason;

	for (walk_begin(shard, rq, p, use_cache, &w);; w.level--, w.table = entry & SV_ADDR) {
		uint64_t above = w.prot;

		reason = walk_read(sv, shard, rq, &w, &entry);
		if (reason != 0)
			break;
		if (p->pgtt == VTD_PGTT_FIRST_STAGE && sv_prefetches(sv, shard))
			prefetch(sv, shard, rq, &w, above);
		if (!sv_is_leaf(w.level, entry)) {
			sv_cache_fill(&sm->psc[w.level - 2],
				sv_tag(iova, sv_level_shift(w.level), w.space, 1),
				(entry & SV_ADDR) | w.prot);
			continue;
		}
		reason = leaf_answer(sv, shard, rq, &w, entry);
		if (reason != 0)
			break;
		sv_cache_fill(&sm->iotlb, sv_tag(iova, rq->shift, w.space, size_of(rq->shift)),
			rq->data);
		return 0;
	}
	/* A freed table must not be walked, even if its entry is absent now. */
	if (unlikely(w.prot & SV_FREED))
		sv_oracle_walked_freed(sv->oracle, rq);
	return reason;
}

/* --------------------------------------------------------------------------- the caches */

bool sv_first_stage_find(struct sv_shard *shard, struct sv_request *rq, const struct sv_pasid *p)
{
	struct sv_scalable *sm = shard->sm;
	uint16_t space = sv_space_of(sm, p);

	if (!is_canonical(rq->iova, p->levels))
		return false;
	for (unsigned int size = SV_4K; size <= SV_1G; size++) {
		struct sv_entry *e = sv_cache_find(&sm->iotlb,
			sv_tag(tagged(rq->iova, p->levels), sv_level_shift(size), space, size));

		if (e == NULL || !(e->data & rq->prot))
			continue; /* only a walk in memory can refuse */
		rq->data = e->data;
		rq->shift = sv_level_shift(size);
		rq->server = MOAT_SOFTVTD_BY_IOTLB;
		SV_COUNT(shard->stats.iotlb_hits, 1);
		return true;
	}
	return false;
}

/* A walk that began at a cached link may refuse because of the link's permission when it was
 * cached; a walk from the root does not. */
static bool is_by_memory(const struct sv_request *rq, uint8_t reason)
{
	return rq->server == MOAT_SOFTVTD_BY_WALK || reason != VTD_FR_SM_WRITE;
}

uint8_t sv_first_stage(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct sv_pasid *p)
{
	uint8_t reason;

	if (!is_canonical(rq->iova, p->levels))
		return VTD_FR_SM_CANONICAL;
	if (sv_first_stage_find(shard, rq, p))
		return 0;
	SV_COUNT(shard->stats.iotlb_misses, 1);
	reason = walk(sv, shard, rq, p, true);
	if (is_by_memory(rq, reason))
		return reason;
	/* Walk from the root: the link may permit more now than when it was cached. */
	return walk(sv, shard, rq, p, false);
}
