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
 * a second stage, is cached by domain-id and PASID. For that a *space* is a number for a
 * {domain-id, PASID, nested or not}; it replaces the domain-id in the tags of `iotlb` and `psc`
 * here. When no number is left, all entries of both are dropped, which a unit may do at any time.
 *
 * A PASID entry that was invalidated *lingers*, as context entries do: it no longer serves as a
 * PASID entry, but still leads to the IOTLB entries of its domain-id and PASID, until those are
 * invalidated, too.
 */

#include "softvtd.h"

struct sv_sm_context {
	uint64_t dir;       /* PASID directory */
	uint32_t rid_pasid; /* of requests without PASID */
	moat_sid_t sid;
	uint8_t state;  /* enum sv_context_state */
	uint8_t reason; /* the fault reason; 0: the entry is valid */
	uint8_t pdts;
	bool fpd, dte, paside;
};

struct sv_pasid {
	struct sv_context ss; /* second stage: tables, levels, width; also the domain-id */
	uint64_t fsptptr;     /* first stage */
	uint32_t pasid;
	moat_sid_t sid;
	uint8_t state;  /* enum sv_context_state */
	uint8_t reason; /* the fault reason; 0: the entry is valid */
	uint8_t pgtt;   /* enum vtd_pgtt */
	uint8_t levels; /* of first stage */
	bool fpd;
	bool nxe;   /* bit 63 of a first-stage entry is XD, not reserved */
	bool pgsnp; /* requests leave the unit with SNP */
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
	uint32_t spaces; /* in use */
	struct sv_space space[SV_SPACES];
	struct sv_cache iotlb;
	struct sv_cache psc[MOAT_SOFTVTD_PSCS];
};

/** Which entries to drop: those whose tag is `value` under `mask` and, with `range`, whose pages
 * meet [first, last]. */
struct sv_match {
	uint64_t mask, value;
	uint64_t first, last; /* pages of 4 KiB */
	bool range;
};

static const struct sv_match sv_everything = { .mask = 0 };

/* cache.c. The two kinds of caches that walks fill; `psc` has MOAT_SOFTVTD_PSCS elements. */
int sv_walk_caches_create(const struct moat_softvtd_conf *conf, struct sv_cache *iotlb,
	struct sv_cache psc[]);
void sv_walk_caches_destroy(struct sv_cache *iotlb, struct sv_cache psc[]);
/** @param fixed_shift log2 of the 4 KiB pages that an entry spans; 0: each entry's size gives it
 *   (IOTLB) */
void sv_cache_drop(struct sv_cache *cache, const struct sv_match *m, unsigned int fixed_shift);
void sv_pscs_drop(struct sv_cache psc[], const struct sv_match *m);
/** The same for a few pages of an IOTLB: look only where these pages can be. */
void sv_cache_drop_pages(struct sv_cache *cache, const struct sv_match *m, uint16_t did);

/* scalable_cache.c; under the shard's lock */
struct sv_sm_context *sv_sm_context_find(struct sv_scalable *sm, moat_sid_t sid);
void sv_sm_context_fill(struct sv_scalable *sm, const struct sv_sm_context *context);
struct sv_pasid *sv_pasid_find(struct sv_scalable *sm, moat_sid_t sid, uint32_t pasid);
void sv_pasid_fill(struct sv_scalable *sm, const struct sv_pasid *pasid);
/** Get the space of a PASID entry; make one if there is none. */
uint16_t sv_space_of(struct sv_scalable *sm, const struct sv_pasid *pasid);
/** Apply a context-cache invalidation; `fm` is as in the descriptor. */
void sv_scalable_drop_contexts(const struct moat_softvtd *sv, struct sv_shard *shard,
	unsigned int gran, moat_sid_t sid, unsigned int fm);
/** Drop what an IOTLB invalidation covers in these caches; `gran` is of enum moat_qi_gran. */
void sv_scalable_drop_iotlb(struct sv_shard *shard, unsigned int gran, uint16_t did);

/* first_stage.c; under the shard's lock. @return 0 and rq->data, rq->shift; or the fault reason */
uint8_t sv_first_stage(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct sv_pasid *pasid);
/** Look only into the caches. @return whether they have an entry that permits the request */
bool sv_first_stage_find(struct sv_shard *shard, struct sv_request *rq,
	const struct sv_pasid *pasid);

/* scalable.c: convert a second-stage fault reason from legacy mode's to scalable mode's */
uint8_t sv_scalable_reason(const struct sv_request *rq, uint8_t reason);

#endif /* SOFTVTD_SCALABLE_H */
