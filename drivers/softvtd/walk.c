/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * From a request to an address or a fault reason: context entry, IOTLB, second-stage walk
 * ("Legacy Mode Address Translation", "Second-Stage Translation", "Fault Reason Encodings").
 *
 * Checks come in the order of the walk: whether an entry is present, then its reserved fields, then
 * what it leads to. Permission is the AND over all entries, so it is checked at the end of the
 * walk.
 */
#include "softvtd.h"

/* Second-stage entries. Ignored: 10:2 except PS (no SSADS, no EMT here), 61:52, 63. */
#define SS_R   (UINT64_C(1) << 0)
#define SS_W   (UINT64_C(1) << 1)
#define SS_SNP (UINT64_C(1) << 11) /* leaves, with ECAP.SC */
#define SS_B62 (UINT64_C(1) << 62) /* reserved; early editions had TM here */

/* ------------------------------------------------------------------------- reading tables */

/* Read a line as the chipset shows it: with RWBF, as it was when first read since the last
 * flush. */
static const struct sv_line *line_read(struct sv_shard *shard, uint64_t hpa)
{
	uint64_t base = hpa & ~UINT64_C(63);
	struct sv_line *line = &shard->lines[(base >> 6 ^ base >> 16) % SV_LINES];

	if (line->hpa != base) {
		line->hpa = base;
		for (unsigned int i = 0; i < 8; i++)
			line->word[i] =
				__atomic_load_n((uint64_t *)(uintptr_t)base + i, __ATOMIC_RELAXED);
	}
	return line;
}

/*
 * acquire: the processor that linked a table stored its contents first (release); what the walk
 * then reads from the table must not be older. In hardware the address dependency ensures this.
 */
uint64_t sv_word_read(struct sv_shard *shard, uint64_t hpa)
{
	if (shard->lines != NULL)
		return line_read(shard, hpa)->word[hpa >> 3 & 7];
	return __atomic_load_n((uint64_t *)(uintptr_t)hpa, __ATOMIC_ACQUIRE);
}

/* Hardware reads the 16 bytes atomically: repeat until the first word has not changed. */
struct vtd_entry sv_entry_read(struct sv_shard *shard, uint64_t hpa)
{
	struct vtd_entry entry;
	uint64_t lo;

	do {
		entry.lo = sv_word_read(shard, hpa);
		entry.hi = sv_word_read(shard, hpa + 8);
		lo = sv_word_read(shard, hpa);
	} while (lo != entry.lo);
	return entry;
}

/* ------------------------------------------------------------------------- context entries */

/* Decode a present context entry. @return 0 or the fault reason */
static uint8_t context_decode(struct moat_softvtd *sv, struct vtd_entry entry, struct sv_context *c)
{
	unsigned int aw = entry.hi & VTD_CTX_AW;

	c->tt = VTD_FIELD(entry.lo, VTD_CTX_TT);
	c->ssptptr = entry.lo & VTD_CTX_SSPTPTR;
	c->levels = aw + 2;
	c->width = RTE_MIN(sv->conf.mgaw, 12 + 9 * c->levels);
	c->did = VTD_FIELD(entry.hi, VTD_CTX_DID);
	/* Bits of the domain-id beyond what CAP.ND supports are reserved. */
	if (c->did & ~sv->did_mask)
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_DID);
	if ((entry.lo & VTD_CTX_RSVD_LO) || (entry.hi & VTD_CTX_RSVD_HI) ||
		(c->did & ~sv->did_mask) ||
		(c->tt != VTD_TT_PASS_THROUGH && (c->ssptptr & ~sv->haw_mask)))
		return VTD_FR_CONTEXT_RSVD;
	if (c->tt == 3 || (c->tt == VTD_TT_DEVICE_TLB && !sv->conf.dt) ||
		(c->tt == VTD_TT_PASS_THROUGH && !sv->conf.pt))
		return VTD_FR_CONTEXT_INV;
	if (aw > 4 || (sv->conf.sagaw >> aw & 1) == 0)
		return VTD_FR_CONTEXT_INV;
	/* Pass-through: AW must be the largest width supported. */
	if (c->tt == VTD_TT_PASS_THROUGH && sv->conf.sagaw >> (aw + 1) != 0)
		return VTD_FR_CONTEXT_INV;
	return 0;
}

/* Get the address of a bus's context table from its root entry. */
static uint8_t root_read(struct moat_softvtd *sv, struct sv_shard *shard, moat_sid_t sid,
	uint64_t *ctp)
{
	/* acquire: the tables were written before SRTP; pairs with publish() */
	uint64_t root = atomic_load_explicit(&sv->root, memory_order_acquire);
	uint64_t hpa = (root & VTD_RTADDR_RTA) + (sid >> 8) * sizeof(struct vtd_entry);
	struct vtd_entry entry;

	if (VTD_FIELD(root, VTD_RTADDR_TTM) != VTD_TTM_LEGACY)
		return VTD_FR_TTM_RSVD;
	if (!sv_reachable(sv, hpa))
		return VTD_FR_ROOT_ACCESS;
	entry = sv_entry_read(shard, hpa);
	SV_COUNT(shard->stats.memory_reads, 1);
	if (!(entry.lo & VTD_ROOT_P))
		return VTD_FR_ROOT_P;
	if ((entry.lo & VTD_ROOT_RSVD_LO) || entry.hi != 0 ||
		(entry.lo & VTD_ROOT_CTP & ~sv->haw_mask))
		return VTD_FR_ROOT_RSVD;
	*ctp = entry.lo & VTD_ROOT_CTP;
	return 0;
}

/* Cache the entries of functions in the same cache line, for which there was no request. */
static void context_prefetch(struct moat_softvtd *sv, struct sv_shard *shard, uint64_t ctp,
	moat_sid_t sid)
{
	for (moat_sid_t near = sid & ~3; near <= (sid | 3); near++) {
		struct sv_context c = { .sid = near, .state = SV_CONTEXT_VALID };
		struct vtd_entry entry = sv_entry_read(shard, ctp + (near & 0xff) * sizeof(entry));

		if (sv_context_find(shard, near) != NULL || !(entry.lo & VTD_CTX_P) ||
			context_decode(sv, entry, &c) != 0)
			continue;
		c.fpd = entry.lo & VTD_CTX_FPD;
		sv_context_fill(shard, &c);
		SV_COUNT(shard->stats.prefetched, 1);
	}
}

static void context_fetch(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_context *c)
{
	uint64_t ctp;
	struct vtd_entry entry;

	c->reason = root_read(sv, shard, c->sid, &ctp);
	if (c->reason != 0)
		return;
	if (!sv_reachable(sv, ctp)) {
		c->reason = VTD_FR_CONTEXT_ACCESS;
		return;
	}
	entry = sv_entry_read(shard, ctp + (c->sid & 0xff) * sizeof(entry));
	SV_COUNT(shard->stats.memory_reads, 1);
	c->fpd = entry.lo & VTD_CTX_FPD; /* FPD counts even if P is clear */
	c->reason = entry.lo & VTD_CTX_P ? context_decode(sv, entry, c) : VTD_FR_CONTEXT_P;
	if (sv_prefetches(sv, shard))
		context_prefetch(sv, shard, ctp, c->sid);
}

/* Get the context entry of a request, from the cache or from memory (then in *fetched). */
static const struct sv_context *context_get(struct moat_softvtd *sv, struct sv_shard *shard,
	struct sv_request *rq, struct sv_context *fetched)
{
	const struct sv_context *cached = sv_context_find(shard, rq->sid);

	if (cached != NULL && cached->state == SV_CONTEXT_VALID) {
		SV_COUNT(shard->stats.context_hits, 1);
		rq->context_cached = true;
		return cached;
	}
	SV_COUNT(shard->stats.context_misses, 1);
	*fetched = (struct sv_context){ .sid = rq->sid, .state = SV_CONTEXT_VALID };
	context_fetch(sv, shard, fetched);
	if (fetched->reason == 0) {
		sv_context_fill(shard, fetched);
	} else if (sv->conf.cm && fetched->reason != VTD_FR_TTM_RSVD &&
		fetched->reason != VTD_FR_ROOT_ACCESS && fetched->reason != VTD_FR_CONTEXT_ACCESS) {
		fetched->did = 0; /* CM: an absent or invalid entry is cached under domain-id 0 */
		sv_context_fill(shard, fetched);
	}
	return fetched;
}

/* --------------------------------------------------------------------------------- the walk */

/* Bits that must be 0 in a present entry of a table of this level. */
static uint64_t reserved(const struct moat_softvtd *sv, unsigned int level, uint64_t entry)
{
	uint64_t bits = (SV_ADDR & ~sv->haw_mask) | SS_B62;
	bool leaf = sv_is_leaf(level, entry), superpage = leaf && (level == 2 || level == 3);

	if (!leaf || !sv->conf.sc)
		bits |= SS_SNP;
	if (level >= 4 || (superpage && (sv->conf.sllps >> (level - 2) & 1) == 0))
		bits |= SV_PS;
	if (superpage)
		bits |= (UINT64_C(1) << sv_level_shift(level)) - MOAT_PAGE_SIZE;
	return bits;
}

/* Does `prot` permit the access? @return 0 or the fault reason */
static uint8_t permission(const struct moat_softvtd *sv, const struct sv_request *rq, uint64_t prot)
{
	if (rq->prot == MOAT_W)
		return prot & SS_W ? 0 : VTD_FR_WRITE;
	if ((prot & SS_R) || (rq->zero_length && sv->conf.zlr && (prot & SS_W)))
		return 0;
	return VTD_FR_READ;
}

/* Where a walk is: the table to read next, and what led there. */
struct walk {
	unsigned int level; /* of the table at `table` */
	unsigned int top;   /* level of the root of the tables */
	uint64_t table;
	uint64_t prot; /* AND of the entries so far, | SV_FREED */
	bool cached;   /* began at a cached entry */
};

/* Begin at the deepest cached entry. */
static void walk_begin(struct sv_shard *shard, struct sv_request *rq, const struct sv_context *c,
	bool use_cache, struct walk *w)
{
	*w = (struct walk){ .level = c->levels,
		.top = c->levels,
		.table = c->ssptptr,
		.prot = SV_PROT };
	rq->server = MOAT_SOFTVTD_BY_WALK;
	for (unsigned int level = 2; level <= c->levels && use_cache; level++) {
		struct sv_entry *e = sv_cache_find(&shard->psc[level - 2],
			sv_tag(rq->iova, sv_level_shift(level), c->did, 1));

		if (e != NULL) {
			w->level = level - 1;
			w->table = e->data & SV_ADDR;
			w->prot = e->data & (SV_PROT | SV_FREED);
			w->cached = true;
			rq->server = MOAT_SOFTVTD_BY_PDE + level - 2;
			SV_COUNT(shard->stats.psc_hits[level - 2], 1);
			return;
		}
	}
	SV_COUNT(shard->stats.psc_misses, 1);
}

/* Cache a valid entry of a table: a leaf in the IOTLB, a link in the cache of its level. */
static void entry_cache(struct sv_shard *shard, const struct sv_request *rq, uint64_t iova,
	uint16_t did, unsigned int level, uint64_t entry, uint64_t prot)
{
	uint64_t data = (entry & (SV_ADDR | (sv_is_leaf(level, entry) ? SV_SNP : 0))) | prot;

	if (sv_is_leaf(level, entry) && rq->inner)
		return;
	if (sv_is_leaf(level, entry))
		sv_cache_fill(&shard->iotlb, sv_tag(iova, sv_level_shift(level), did, level), data);
	else
		sv_cache_fill(&shard->psc[level - 2], sv_tag(iova, sv_level_shift(level), did, 1),
			data);
}

/* Cache the other entries of the line that the walk read, if they are present and valid. Entries
 * cached already stay as they are: an adversary does not refresh what it was not told to drop. */
static void prefetch(struct moat_softvtd *sv, struct sv_shard *shard, const struct sv_request *rq,
	uint16_t did, const struct walk *w)
{
	unsigned int shift = sv_level_shift(w->level);
	uint64_t first = rq->iova >> shift & ~UINT64_C(7);

	for (uint64_t page = first; page < first + 8; page++) {
		uint64_t iova = page << shift;
		uint64_t entry = sv_word_read(shard, w->table + (page & 511) * 8);
		bool leaf = sv_is_leaf(w->level, entry);
		struct sv_cache *cache = leaf ? &shard->iotlb : &shard->psc[w->level - 2];
		uint64_t tag = sv_tag(iova, shift, did, leaf ? w->level : 1);

		if (page == rq->iova >> shift || !(entry & SV_PROT) ||
			(entry & reserved(sv, w->level, entry)) ||
			sv_cache_find(cache, tag) != NULL)
			continue;
		entry_cache(shard, rq, iova, did, w->level, entry,
			(entry & w->prot & SV_PROT) | (w->prot & SV_FREED));
		SV_COUNT(shard->stats.prefetched, 1);
	}
}

/* Read one table entry. @return a fault reason, or 0 and *entry */
static uint8_t walk_read(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	struct walk *w, uint64_t *entry)
{
	uint64_t hpa = w->table + (rq->iova >> sv_level_shift(w->level) & 511) * 8;

	if (!sv_reachable(sv, hpa))
		return w->level == w->top ? VTD_FR_CONTEXT_INV : VTD_FR_PAGING_ACCESS;
	*entry = sv_word_read(shard, hpa);
	SV_COUNT(shard->stats.memory_reads, 1);
	if (sv->oracle != NULL && sv_oracle_table_freed(sv->oracle, w->table))
		w->prot |= SV_FREED;
	rq->absent = !(*entry & SV_PROT);
	if (rq->absent)
		return rq->prot == MOAT_W ? VTD_FR_WRITE : VTD_FR_READ;
	if (*entry & reserved(sv, w->level, *entry))
		return VTD_FR_PAGING_RSVD;
	return 0;
}

/* @return 0 and rq->data, rq->shift; or the fault reason */
static uint8_t walk(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct sv_context *c, bool use_cache)
{
	struct walk w;
	uint64_t entry;
	uint8_t reason;

	for (walk_begin(shard, rq, c, use_cache, &w);; w.level--, w.table = entry & SV_ADDR) {
		reason = walk_read(sv, shard, rq, &w, &entry);
		if (reason != 0)
			break;
		uint64_t prot = (entry & w.prot & SV_PROT) | (w.prot & SV_FREED);

		entry_cache(shard, rq, rq->iova, c->did, w.level, entry, prot);
		if (sv_prefetches(sv, shard))
			prefetch(sv, shard, rq, c->did, &w);
		w.prot = prot;
		if (sv_is_leaf(w.level, entry)) {
			rq->data = (entry & (SV_ADDR | SV_SNP)) | prot;
			rq->shift = sv_level_shift(w.level);
			reason = permission(sv, rq, prot);
			/* Without CM no fault comes from a cache: a link that was cached with less
			 * permission than it has now is read again. */
			if (reason != 0 && w.cached && !sv->conf.cm)
				return walk(sv, shard, rq, c, false);
			return reason;
		}
	}
	/* A freed table must not be walked, even if its entry is absent now. */
	if (unlikely(w.prot & SV_FREED)) {
		rq->did = c->did;
		sv_oracle_walked_freed(sv->oracle, rq);
	}
	/* CM: an absent or invalid entry is cached, too, under the domain's own id. */
	if (sv->conf.cm && !rq->inner && reason != VTD_FR_PAGING_ACCESS &&
		reason != VTD_FR_CONTEXT_INV)
		sv_cache_fill(&shard->iotlb, sv_tag(rq->iova, MOAT_PAGE_SHIFT, c->did, SV_4K),
			reason == VTD_FR_PAGING_RSVD ? (uint64_t)reason << 2 : 0);
	return reason;
}

uint8_t sv_second_stage(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct sv_context *c)
{
	return walk(sv, shard, rq, c, true);
}

/* ---------------------------------------------------------------------------- the IOTLB */

/* See softvtd.h. */
bool sv_iotlb_find(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	uint16_t did, uint8_t *reason)
{
	for (unsigned int size = SV_4K; size <= SV_1G; size++) {
		struct sv_entry *e = sv_cache_find(&shard->iotlb,
			sv_tag(rq->iova, sv_level_shift(size), did, size));

		if (e == NULL)
			continue;
		*reason = SV_REASON(e->data);
		if (*reason == 0)
			*reason = permission(sv, rq, e->data);
		if (*reason != 0 && !sv->conf.cm)
			continue; /* only a walk in memory can refuse */
		rq->data = e->data;
		rq->shift = sv_level_shift(size);
		rq->server = MOAT_SOFTVTD_BY_IOTLB;
		rq->did = did;
		SV_COUNT(shard->stats.iotlb_hits, 1);
		return true;
	}
	return false;
}

uint8_t sv_finish(const struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq)
{
	uint64_t offset = (UINT64_C(1) << rq->shift) - 1;

	rq->hpa = (rq->data & SV_ADDR & ~offset) | (rq->iova & offset);
	rq->watched = sv->oracle != NULL;
	rq->passed = false;
	if (sv->conf.sc && !(rq->data & SV_SNP))
		SV_COUNT(shard->stats.unsnooped, 1);
	return sv_interrupt_range(rq->hpa) ? VTD_FR_OUTPUT_INTERRUPT : 0;
}

/* ------------------------------------------------------------------------------ a request */

uint8_t sv_pass(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq)
{
	if (rq->iova & ~sv->haw_mask)
		return VTD_FR_BEYOND_AW;
	SV_COUNT(shard->stats.passed, 1);
	rq->hpa = rq->iova;
	rq->shift = MOAT_PAGE_SHIFT;
	rq->passed = true;
	rq->watched = false;
	return 0;
}

/* Does the IOTLB answer through a lingering context entry? */
static bool lingering_hit(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq)
{
	struct sv_context *c = sv_context_find(shard, rq->sid);
	uint8_t reason;

	if (c == NULL || c->state != SV_CONTEXT_LINGERING || rq->at != MOAT_SOFTVTD_UNTRANSLATED ||
		rq->iova >> c->width != 0)
		return false;
	rq->context_cached = true;
	return sv_iotlb_find(sv, shard, rq, c->did, &reason) && reason == 0;
}

/*
 * The usual case: the context entry is known from the request before, and the page is in the IOTLB.
 * (A 4 KiB page of the interrupt range never is: no request without PASID walks for it.)
 */
static inline bool fast(struct sv_shard *shard, struct sv_request *rq)
{
	const struct sv_context *c = rq->context;
	struct sv_entry *e;

	if (c == NULL || rq->iova >> c->width != 0)
		return false;
	e = sv_cache_find(&shard->iotlb, sv_tag(rq->iova, MOAT_PAGE_SHIFT, c->did, SV_4K));
	if (e == NULL || (e->data & rq->prot) == 0)
		return false;
	rq->data = e->data;
	rq->shift = MOAT_PAGE_SHIFT;
	rq->server = MOAT_SOFTVTD_BY_IOTLB;
	rq->did = c->did;
	SV_COUNT(shard->stats.context_hits, 1);
	SV_COUNT(shard->stats.iotlb_hits, 1);
	return true;
}

static uint8_t slow(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq)
{
	struct sv_context fetched;
	const struct sv_context *c;
	uint8_t reason;

	if (sv_interrupt_range(rq->iova) && rq->pasid == MOAT_PASID_NONE) {
		SV_COUNT(shard->stats.interrupts,
			rq->at == MOAT_SOFTVTD_UNTRANSLATED && rq->prot == MOAT_W);
		return MOAT_SOFTVTD_NO_MEMORY;
	}
	/* acquire: pairs with set_translation(), so that root is seen with it */
	if (!atomic_load_explicit(&sv->translating, memory_order_acquire)) {
		/* without remapping the unit records no fault: nothing answers at such an
		 * address */
		if (rq->iova & ~sv->haw_mask)
			return MOAT_SOFTVTD_NO_MEMORY;
		return sv_pass(sv, shard, rq);
	}
	/* acquire: as in root_read() */
	switch (VTD_FIELD(atomic_load_explicit(&sv->root, memory_order_acquire), VTD_RTADDR_TTM)) {
	case VTD_TTM_LEGACY:
		break;
	case VTD_TTM_SCALABLE:
		if (shard->sm != NULL)
			return sv_scalable_translate(sv, shard, rq);
		/* fallthrough */
	default:
		return VTD_FR_TTM_RSVD;
	}
	if (rq->pasid != MOAT_PASID_NONE)
		return VTD_FR_TTM_PASID;
	if (lingering_hit(sv, shard, rq))
		return sv_finish(sv, shard, rq);
	c = context_get(sv, shard, rq, &fetched);
	rq->fpd = c->fpd;
	if (c->reason != 0)
		return c->reason;
	if (rq->at != MOAT_SOFTVTD_UNTRANSLATED && c->tt != VTD_TT_DEVICE_TLB)
		return VTD_FR_TT_BLOCKED;
	if (rq->at == MOAT_SOFTVTD_TRANSLATED || c->tt == VTD_TT_PASS_THROUGH)
		return sv_pass(sv, shard, rq);
	if (rq->iova >> c->width != 0)
		return VTD_FR_BEYOND_AW;
	if (c != &fetched)
		rq->context = c;
	rq->did = c->did;
	if (sv_iotlb_find(sv, shard, rq, c->did, &reason))
		return reason != 0 ? reason : sv_finish(sv, shard, rq);
	SV_COUNT(shard->stats.iotlb_misses, 1);
	reason = walk(sv, shard, rq, c, true);
	return reason != 0 ? reason : sv_finish(sv, shard, rq);
}

uint8_t sv_translate(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq)
{
	SV_COUNT(shard->stats.dma[rq->prot == MOAT_W], 1);
	return likely(fast(shard, rq)) ? sv_finish(sv, shard, rq) : slow(sv, shard, rq);
}
