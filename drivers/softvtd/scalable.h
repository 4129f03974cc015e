/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef SOFTVTD_SCALABLE_H
#define SOFTVTD_SCALABLE_H

/**
 * @file
 * Scalable mode inside a shard: the caches that legacy mode does not have, and their look-ups.
 *
 * A request goes context entry -> PASID entry -> tables. Second stage alone is cached as in legacy
 * mode: in the shard's IOTLB and paging-structure caches, by domain-id. First stage, alone or over
 * a second stage, is cached by domain-id and PASID. For that the two are interned: a *space* is the
 * number of a {domain-id, PASID, nested or not}, and takes the place of the domain-id in the tags
 * of `iotlb` and `psc` here. When no number is left, all that they tag is dropped: a unit may
 * always drop.
 *
 * A PASID entry that was invalidated *lingers*, as context entries do: it is no PASID entry any
 * more, but still leads to the IOTLB entries of its domain-id and PASID, until those are
 * invalidated, too.
 */

#include "softvtd.h"

struct sv_sm_context {
	uint64_t dir;       /* PASID directory */
	uint32_t rid_pasid; /* of requests without PASID */
	moat_sid_t sid;
	uint8_t state;  /* enum sv_context_state */
	uint8_t reason; /* of an entry that blocks; 0: it leads on */
	uint8_t pdts;
	bool fpd, dte, paside;
};

struct sv_pasid {
	struct sv_context ss; /* second stage: tables, levels, width; and the domain-id */
	uint64_t fsptptr;     /* first stage */
	uint32_t pasid;
	moat_sid_t sid;
	uint8_t state;  /* enum sv_context_state */
	uint8_t reason; /* of an entry that blocks; 0: it translates */
	uint8_t pgtt;   /* enum vtd_pgtt */
	uint8_t levels; /* of first stage */
	bool fpd;
	bool nxe;   /* bit 63 of a first-stage entry means something */
	bool pgsnp; /* what leaves the unit snoops */
};

struct sv_space {
	uint32_t pasid;
	uint16_t did;
	bool used, nested;
};

#define SV_SPACES     256 /* a power of two */
#define SV_PASID_WAYS 4

struct sv_scalable {
	struct sv_sm_context *contexts; /* sets of SV_CONTEXT_WAYS */
	struct sv_pasid *pasids;        /* sets of SV_PASID_WAYS */
	uint32_t context_sets, pasid_sets;
	uint32_t victim;
	uint32_t spaces; /* used */
	struct sv_space space[SV_SPACES];
	struct sv_cache iotlb;
	struct sv_cache psc[MOAT_SOFTVTD_PSCS];
};

/** Which entries go: those whose tag equals `value` under `mask` and whose IOVAs meet a range. */
struct sv_match {
	uint64_t mask, value;
	uint64_t first, last; /* pages of 4 KiB */
	bool range;
};

static const struct sv_match sv_everything = { .mask = 0 };

/* cache.c. The two kinds of caches that walks fill; `psc` is MOAT_SOFTVTD_PSCS of them. */
int sv_walk_caches_create(const struct moat_softvtd_conf *conf, struct sv_cache *iotlb,
	struct sv_cache psc[]);
void sv_walk_caches_destroy(struct sv_cache *iotlb, struct sv_cache psc[]);
/** @param fixed_shift log2 of the 4 KiB pages that an entry spans; 0: its size says (IOTLB) */
void sv_cache_drop(struct sv_cache *cache, const struct sv_match *m, unsigned int fixed_shift);
void sv_pscs_drop(struct sv_cache psc[], const struct sv_match *m);
/** The same for few pages of an IOTLB: look where they would be instead of everywhere. */
void sv_cache_drop_pages(struct sv_cache *cache, const struct sv_match *m, uint16_t did);

/* scalable_cache.c; under the shard's lock */
struct sv_sm_context *sv_sm_context_find(struct sv_scalable *sm, moat_sid_t sid);
void sv_sm_context_fill(struct sv_scalable *sm, const struct sv_sm_context *context);
struct sv_pasid *sv_pasid_find(struct sv_scalable *sm, moat_sid_t sid, uint32_t pasid);
void sv_pasid_fill(struct sv_scalable *sm, const struct sv_pasid *pasid);
/** The number that stands for it in tags. */
uint16_t sv_space_of(struct sv_scalable *sm, const struct sv_pasid *pasid);
/** A context-cache invalidation; `fm` as the descriptor's. */
void sv_scalable_drop_contexts(const struct moat_softvtd *sv, struct sv_shard *shard,
	unsigned int gran, moat_sid_t sid, unsigned int fm);
/** What an IOTLB invalidation (enum moat_qi_gran) takes out of the caches here. */
void sv_scalable_drop_iotlb(struct sv_shard *shard, unsigned int gran, uint16_t did);

/* first_stage.c; under the shard's lock. @return 0 and rq->data, rq->shift; or the fault reason */
uint8_t sv_first_stage(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct sv_pasid *pasid);
/** Only what is cached. @return a hit that permits the request */
bool sv_first_stage_find(struct sv_shard *shard, struct sv_request *rq,
	const struct sv_pasid *pasid);

/* scalable.c: second stage's fault reasons, from legacy mode's */
uint8_t sv_scalable_reason(const struct sv_request *rq, uint8_t reason);

#endif /* SOFTVTD_SCALABLE_H */
