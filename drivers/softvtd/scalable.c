/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Scalable mode: from a request to its PASID entry, and to the stages that the entry asks for
 * ("Scalable Mode Address Translation", "Translation Structure Formats", "Fault Reason Encodings").
 *
 * The PASID cache is looked up before the context entry, and an invalidated context entry still
 * gives RID_PASID: to detach a function, software must invalidate the context cache, the PASID
 * cache and the IOTLB.
 */
#include "scalable.h"

/* Does a pointer lead beyond the host address width? */
static bool beyond(const struct moat_softvtd *sv, uint64_t pointer)
{
	return (pointer & ~sv->haw_mask) != 0;
}

/* Hardware reads an entry atomically: repeat until the first word, which has P, has not changed. */
static void words_read(struct sv_shard *shard, uint64_t hpa, uint64_t words[], unsigned int n)
{
	do {
		for (unsigned int i = 0; i < n; i++)
			words[i] = sv_word_read(shard, hpa + i * sizeof(words[0]));
	} while (words[0] != sv_word_read(shard, hpa));
	SV_COUNT(shard->stats.memory_reads, 1);
}

/* ------------------------------------------------------------------------ context entries */

static uint8_t root_read(struct moat_softvtd *sv, struct sv_shard *shard, moat_sid_t sid,
	uint64_t *hpa)
{
	/* acquire: the tables were written before SRTP; pairs with publish() */
	uint64_t root = atomic_load_explicit(&sv->root, memory_order_acquire);
	uint64_t at = (root & VTD_RTADDR_RTA) + (sid >> 8) * sizeof(struct vtd_entry);
	uint64_t half;

	if (!sv_reachable(sv, at))
		return VTD_FR_SM_ROOT_ACCESS;
	half = sv_word_read(shard, at + (sid & 0x80 ? 8 : 0));
	SV_COUNT(shard->stats.memory_reads, 1);
	if (!(half & VTD_ROOT_P))
		return VTD_FR_SM_ROOT_P;
	if ((half & VTD_ROOT_RSVD_LO) || beyond(sv, half & VTD_ROOT_CTP))
		return VTD_FR_SM_ROOT_RSVD;
	*hpa = (half & VTD_ROOT_CTP) + (sid & 0x7f) * sizeof(struct vtd_sm_context);
	return sv_reachable(sv, *hpa) ? 0 : VTD_FR_SM_CONTEXT_ACCESS;
}

static uint8_t context_decode(struct moat_softvtd *sv, const uint64_t word[4],
	struct sv_sm_context *c)
{
	uint64_t reserved = VTD_SMC_RSVD | VTD_SMC_PRE;

	if (!sv->conf.dt)
		reserved |= VTD_SMC_DTE;
	if (sv->conf.pasid_bits == 0)
		reserved |= VTD_SMC_PASIDE;
	if ((word[0] & reserved) || (word[1] & (VTD_SMC_RSVD_HI | VTD_SMC_RID_PRIV)) ||
		word[2] != 0 || word[3] != 0 || beyond(sv, word[0] & VTD_SMC_PASIDDIR))
		return VTD_FR_SM_CONTEXT_RSVD;
	c->dir = word[0] & VTD_SMC_PASIDDIR;
	c->pdts = VTD_FIELD(word[0], VTD_SMC_PDTS);
	c->dte = word[0] & VTD_SMC_DTE;
	c->paside = word[0] & VTD_SMC_PASIDE;
	c->rid_pasid = word[1] & VTD_SMC_RID_PASID;
	return 0;
}

static void context_fetch(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_sm_context *c)
{
	struct vtd_sm_context entry;
	uint64_t hpa;

	c->reason = root_read(sv, shard, c->sid, &hpa);
	if (c->reason != 0)
		return;
	words_read(shard, hpa, entry.word, RTE_DIM(entry.word));
	c->fpd = entry.word[0] & VTD_SMC_FPD;
	c->reason =
		entry.word[0] & VTD_SMC_P ? context_decode(sv, entry.word, c) : VTD_FR_SM_CONTEXT_P;
}

/* With CM, an absent or invalid entry is cached, but not the failure to fetch one. */
static bool cached_when_wrong(const struct moat_softvtd *sv, uint8_t reason)
{
	return sv->conf.cm && reason != VTD_FR_SM_ROOT_ACCESS &&
		reason != VTD_FR_SM_CONTEXT_ACCESS && reason != VTD_FR_PASID_DIR_ACCESS &&
		reason != VTD_FR_PASID_ACCESS;
}

static struct sv_sm_context context_get(struct moat_softvtd *sv, struct sv_shard *shard,
	struct sv_request *rq)
{
	const struct sv_sm_context *cached = sv_sm_context_find(shard->sm, rq->sid);
	struct sv_sm_context c = { .sid = rq->sid, .state = SV_CONTEXT_VALID };

	if (cached != NULL && cached->state == SV_CONTEXT_VALID) {
		SV_COUNT(shard->stats.context_hits, 1);
		rq->context_cached = true;
		return *cached;
	}
	SV_COUNT(shard->stats.context_misses, 1);
	context_fetch(sv, shard, &c);
	if (c.reason == 0 || cached_when_wrong(sv, c.reason))
		sv_sm_context_fill(shard->sm, &c);
	return c;
}

/* -------------------------------------------------------------------------- PASID entries */

/* Are bits set that are reserved whatever PGTT is? */
static bool pasid_reserved(struct moat_softvtd *sv, const uint64_t word[8])
{
	uint64_t hi = VTD_PE_RSVD_HI | (sv->conf.sc ? 0 : VTD_PE_PGSNP) |
		(sv->conf.coherent ? 0 : VTD_PE_PWSNP);
	uint64_t rest = word[3] | word[4] | word[5] | word[6] | word[7];

	return (word[0] & (VTD_PE_RSVD | VTD_PE_SSADE)) || (word[1] & hi) ||
		(word[2] & (VTD_PE_RSVD_FS | VTD_PE_SRE | VTD_PE_EAFE)) || rest != 0;
}

static uint8_t first_stage_decode(const struct moat_softvtd *sv, const uint64_t word[8],
	struct sv_pasid *p)
{
	unsigned int fspm = VTD_FIELD(word[2], VTD_PE_FSPM);

	if (fspm > 1 || (fspm == 1 && !sv->conf.fs5lp))
		return VTD_FR_PASID_INV;
	p->levels = 4 + fspm;
	p->nxe = word[2] & VTD_PE_NXE;
	p->fsptptr = word[2] & VTD_PE_FSPTPTR;
	/* under a second stage it is a guest address */
	return p->pgtt == VTD_PGTT_FIRST_STAGE && beyond(sv, p->fsptptr) ? VTD_FR_PASID_RSVD : 0;
}

static uint8_t second_stage_decode(const struct moat_softvtd *sv, const uint64_t word[8],
	struct sv_pasid *p)
{
	unsigned int aw = VTD_FIELD(word[0], VTD_PE_AW);

	if (aw > 4 || (sv->conf.sagaw >> aw & 1) == 0)
		return VTD_FR_PASID_INV;
	p->ss.ssptptr = word[0] & VTD_PE_SSPTPTR;
	p->ss.levels = aw + 2;
	p->ss.width = RTE_MIN(sv->conf.mgaw, 12 + 9 * p->ss.levels);
	return beyond(sv, p->ss.ssptptr) ? VTD_FR_PASID_RSVD : 0;
}

static uint8_t pasid_decode(struct moat_softvtd *sv, const uint64_t word[8], struct sv_pasid *p)
{
	const struct moat_softvtd_conf *conf = &sv->conf;
	bool known[8] = {
		[VTD_PGTT_FIRST_STAGE] = conf->fsts,
		[VTD_PGTT_SECOND_STAGE] = conf->ssts,
		[VTD_PGTT_NESTED] = conf->nest,
		[VTD_PGTT_PASS_THROUGH] = conf->pt,
	};
	uint16_t did = word[1] & VTD_PE_DID;
	uint8_t reason = 0;

	if (did & ~sv->did_mask)
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_DID);
	if (pasid_reserved(sv, word) || (did & ~sv->did_mask))
		return VTD_FR_PASID_RSVD;
	p->pgtt = VTD_FIELD(word[0], VTD_PE_PGTT);
	p->pgsnp = word[1] & VTD_PE_PGSNP;
	if (!known[p->pgtt])
		return VTD_FR_PASID_INV;
	if (p->pgtt == VTD_PGTT_FIRST_STAGE || p->pgtt == VTD_PGTT_NESTED)
		reason = first_stage_decode(sv, word, p);
	if (reason == 0 && (p->pgtt == VTD_PGTT_SECOND_STAGE || p->pgtt == VTD_PGTT_NESTED))
		reason = second_stage_decode(sv, word, p);
	if (reason == 0)
		p->ss.did = did;
	return reason;
}

/* Find the address of the PASID entry. @return 0 or the fault reason */
static uint8_t directory_read(struct moat_softvtd *sv, struct sv_shard *shard,
	const struct sv_sm_context *c, struct sv_pasid *p, uint64_t *hpa)
{
	uint64_t at = c->dir + (p->pasid >> VTD_PASID_DIR_SHIFT) * sizeof(uint64_t);
	uint64_t entry;

	if (!sv_reachable(sv, at))
		return VTD_FR_PASID_DIR_ACCESS;
	entry = sv_word_read(shard, at);
	SV_COUNT(shard->stats.memory_reads, 1);
	p->fpd |= (entry & VTD_PDE_FPD) != 0;
	if (!(entry & VTD_PDE_P))
		return VTD_FR_PASID_DIR_P;
	if ((entry & VTD_PDE_RSVD) || beyond(sv, entry & VTD_PDE_SMPTBLPTR))
		return VTD_FR_PASID_DIR_RSVD;
	*hpa = (entry & VTD_PDE_SMPTBLPTR) +
		(p->pasid & ((1u << VTD_PASID_DIR_SHIFT) - 1)) * sizeof(struct vtd_pasid_entry);
	return sv_reachable(sv, *hpa) ? 0 : VTD_FR_PASID_ACCESS;
}

static void pasid_fetch(struct moat_softvtd *sv, struct sv_shard *shard,
	const struct sv_sm_context *c, struct sv_pasid *p)
{
	struct vtd_pasid_entry entry;
	uint64_t hpa;

	p->fpd = c->fpd;
	p->reason = directory_read(sv, shard, c, p, &hpa);
	if (p->reason != 0)
		return;
	words_read(shard, hpa, entry.word, RTE_DIM(entry.word));
	p->fpd |= (entry.word[0] & VTD_PE_FPD) != 0;
	p->reason = entry.word[0] & VTD_PE_P ? pasid_decode(sv, entry.word, p) : VTD_FR_PASID_P;
}

/* Cache the neighbouring entry, for which there was no request. */
static void pasid_prefetch(struct moat_softvtd *sv, struct sv_shard *shard,
	const struct sv_sm_context *c, uint32_t pasid)
{
	struct sv_pasid p = { .sid = c->sid, .pasid = pasid ^ 1, .state = SV_CONTEXT_VALID };

	if (sv_pasid_find(shard->sm, p.sid, p.pasid) != NULL)
		return;
	pasid_fetch(sv, shard, c, &p);
	if (p.reason == 0) {
		sv_pasid_fill(shard->sm, &p);
		SV_COUNT(shard->stats.prefetched, 1);
	}
}

static struct sv_pasid pasid_get(struct moat_softvtd *sv, struct sv_shard *shard,
	const struct sv_sm_context *c, uint32_t pasid)
{
	struct sv_pasid p = { .sid = c->sid, .pasid = pasid, .state = SV_CONTEXT_VALID };

	SV_COUNT(shard->stats.pasid_misses, 1);
	pasid_fetch(sv, shard, c, &p);
	if (p.reason == 0 || cached_when_wrong(sv, p.reason))
		sv_pasid_fill(shard->sm, &p);
	if (sv_prefetches(sv, shard))
		pasid_prefetch(sv, shard, c, pasid);
	return p;
}

/* ------------------------------------------------------------------------ the translation */

uint8_t sv_scalable_reason(const struct sv_request *rq, uint8_t reason)
{
	switch (reason) {
	case VTD_FR_WRITE:
		return rq->absent ? VTD_FR_SS_P : VTD_FR_SM_WRITE;
	case VTD_FR_READ:
		return rq->absent ? VTD_FR_SS_P : VTD_FR_SM_READ;
	case VTD_FR_PAGING_ACCESS:
		return VTD_FR_SS_ACCESS;
	case VTD_FR_CONTEXT_INV:
		return VTD_FR_SS_ROOT_ACCESS;
	case VTD_FR_PAGING_RSVD:
		return VTD_FR_SS_RSVD;
	case VTD_FR_BEYOND_AW:
		return VTD_FR_SM_BEYOND_HAW;
	case VTD_FR_OUTPUT_INTERRUPT:
		return VTD_FR_SM_INTERRUPT;
	default:
		return reason;
	}
}

static uint8_t second_stage(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct sv_pasid *p)
{
	uint8_t reason;

	rq->absent = false;
	if (rq->iova >> p->ss.width != 0)
		return VTD_FR_SM_BEYOND_AW;
	if (sv_iotlb_find(sv, shard, rq, p->ss.did, &reason)) {
		rq->absent = rq->data == 0; /* CM: an absent entry is cached with data 0 */
	} else {
		SV_COUNT(shard->stats.iotlb_misses, 1);
		reason = sv_second_stage(sv, shard, rq, &p->ss);
	}
	return reason != 0 ? reason : sv_finish(sv, shard, rq);
}

static uint8_t translate(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct sv_pasid *p)
{
	uint8_t reason;

	rq->did = p->ss.did;
	switch (p->pgtt) {
	case VTD_PGTT_PASS_THROUGH:
		return sv_scalable_reason(rq, sv_pass(sv, shard, rq));
	case VTD_PGTT_SECOND_STAGE:
		return sv_scalable_reason(rq, second_stage(sv, shard, rq, p));
	default:
		reason = sv_first_stage(sv, shard, rq, p);
		if (reason != 0)
			return reason;
		if (p->pgsnp)
			rq->data |= SV_SNP;
		return sv_scalable_reason(rq, sv_finish(sv, shard, rq));
	}
}

/* Does the IOTLB answer through a lingering PASID entry? */
static bool lingering_hit(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct sv_pasid *p)
{
	uint8_t reason;

	rq->context_cached = true;
	rq->did = p->ss.did;
	if (p->pgtt != VTD_PGTT_SECOND_STAGE)
		return sv_first_stage_find(shard, rq, p);
	return rq->iova >> p->ss.width == 0 && sv_iotlb_find(sv, shard, rq, p->ss.did, &reason) &&
		reason == 0;
}

/* @return true: the caches answer, whatever the tables say */
static bool cached_answer(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	uint8_t *reason)
{
	const struct sv_sm_context *c = sv_sm_context_find(shard->sm, rq->sid);
	uint32_t pasid = rq->pasid;
	const struct sv_pasid *p;

	/* ATS requests depend on DTE of the context entry. */
	if (rq->at != MOAT_SOFTVTD_UNTRANSLATED)
		return false;
	if (pasid == MOAT_PASID_NONE && (c == NULL || c->reason != 0))
		return false;
	if (pasid == MOAT_PASID_NONE)
		pasid = c->rid_pasid;
	p = sv_pasid_find(shard->sm, rq->sid, pasid);
	if (p == NULL)
		return false;
	if (p->state == SV_CONTEXT_LINGERING) {
		if (!lingering_hit(sv, shard, rq, p))
			return false;
		*reason = sv_scalable_reason(rq, sv_finish(sv, shard, rq));
		return true;
	}
	SV_COUNT(shard->stats.pasid_hits, 1);
	rq->context_cached = true;
	rq->fpd = p->fpd;
	*reason = p->reason != 0 ? p->reason : translate(sv, shard, rq, p);
	return true;
}

/* Check that the function may make such a request, and choose the PASID that translates it. */
static uint8_t pasid_choose(const struct moat_softvtd *sv, const struct sv_request *rq,
	const struct sv_sm_context *c, uint32_t *pasid)
{
	uint32_t end = 1u << (c->pdts + 7 + VTD_PASID_DIR_SHIFT);

	if (rq->at != MOAT_SOFTVTD_UNTRANSLATED && !c->dte)
		return VTD_FR_SM_DTE;
	if (rq->pasid == MOAT_PASID_NONE) {
		*pasid = c->rid_pasid;
		return c->rid_pasid >= end ? VTD_FR_SM_RID_PASID : 0;
	}
	*pasid = rq->pasid;
	if (!c->paside)
		return VTD_FR_SM_PASIDE;
	return rq->pasid >= end || rq->pasid >> sv->conf.pasid_bits != 0 ? VTD_FR_SM_PASID_RANGE
									 : 0;
}

uint8_t sv_scalable_translate(struct moat_softvtd *sv, struct sv_shard *shard,
	struct sv_request *rq)
{
	struct sv_sm_context c;
	struct sv_pasid p;
	uint32_t pasid;
	uint8_t reason;

	if (cached_answer(sv, shard, rq, &reason))
		return reason;
	c = context_get(sv, shard, rq);
	rq->fpd = c.fpd;
	if (c.reason != 0)
		return c.reason;
	reason = pasid_choose(sv, rq, &c, &pasid);
	if (reason != 0)
		return reason;
	if (rq->at == MOAT_SOFTVTD_TRANSLATED)
		return sv_scalable_reason(rq, sv_pass(sv, shard, rq));
	p = pasid_get(sv, shard, &c, pasid);
	rq->fpd = p.fpd;
	return p.reason != 0 ? p.reason : translate(sv, shard, rq, &p);
}
