/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vtd_impl.h"

/*
 * Scalable mode's tables, and the invalidations that follow when an entry changes.
 *
 * A root entry leads to two context tables of 128 functions each, a context entry to a PASID
 * directory, a directory entry to a table of 64 PASID entries, which name the domain-id and the
 * page tables. All tables but the root table are created when first needed, and stay; a directory
 * that is too small is replaced. A request without a PASID has VTD_RID_PASID, so to attach a
 * function is to attach that PASID. A context entry is present while one of its PASID entries is.
 */

#define TABLE_PASIDS (1u << VTD_PASID_DIR_SHIFT)
#define PDTS_PAGE    2 /* a directory of one page: 2^15 PASIDs */

/* ----------------------------------------------------------------- the choice of mode and stage */

static int choose_nested(struct vtd *v)
{
	const struct moat_vtd_caps *c = &v->caps;

	if (!c->nest || !c->slts || !c->flts)
		return moat_error(-EOPNOTSUPP,
			"unit %s has no nested translation (ECAP.%s is clear); set %s",
			v->unit.name,
			!c->nest           ? "NEST"
				: !c->slts ? "SSTS"
					   : "FSTS",
			c->slts           ? "stage=second"
				: c->flts ? "stage=first, or stage=second and mode=legacy"
					  : "stage=second and mode=legacy");
	v->sm.on = true;
	v->sm.nested = true;
	return 0;
}

int vtd_scalable_choose(struct vtd *v)
{
	const struct moat_vtd_caps *c = &v->caps;
	enum moat_vtd_stage stage = v->conf.stage;

	if (v->conf.mode == MOAT_VTD_LEGACY &&
		(stage == MOAT_VTD_STAGE_FIRST || stage == MOAT_VTD_STAGE_NESTED))
		return moat_error(-EINVAL,
			"unit %s: %s exists in scalable mode only; set mode=scalable", v->unit.name,
			stage == MOAT_VTD_STAGE_FIRST ? "first stage" : "nested translation");
	if (v->conf.mode == MOAT_VTD_LEGACY)
		return 0;
	if (!c->smts)
		return moat_error(-EOPNOTSUPP,
			"unit %s has no scalable mode (ECAP.SMTS is clear); set mode=legacy",
			v->unit.name);
	if (stage == MOAT_VTD_STAGE_NESTED)
		return choose_nested(v);
	if (stage == MOAT_VTD_STAGE_ANY)
		stage = c->slts ? MOAT_VTD_STAGE_SECOND : MOAT_VTD_STAGE_FIRST;
	if (!(stage == MOAT_VTD_STAGE_SECOND ? c->slts : c->flts))
		return moat_error(-EOPNOTSUPP,
			"unit %s has no %s stage in scalable mode (ECAP.%s is clear)%s",
			v->unit.name, stage == MOAT_VTD_STAGE_SECOND ? "second" : "first",
			stage == MOAT_VTD_STAGE_SECOND ? "SSTS" : "FSTS",
			c->slts           ? "; set stage=second"
				: c->flts ? "; set stage=first or mode=legacy"
					  : "; set mode=legacy and stage=second");
	v->sm.on = true;
	v->sm.first = stage == MOAT_VTD_STAGE_FIRST;
	return 0;
}

void vtd_scalable_caps(const struct vtd *v, struct moat_unit_caps *unit)
{
	struct moat_nested_caps first = { 0 };

	if (!v->sm.on)
		return;
	unit->coherent = v->caps.smpwcs;
	unit->rid_pasid = VTD_RID_PASID;
	/* First stage has 4 levels, and 5 if FS5LP is set; SAGAW, MGAW and SSLPS concern second
	 * stage only. */
	if (v->sm.first || v->sm.nested)
		first = (struct moat_nested_caps){
			.sagaw = 1 << 2 | (v->caps.fl5lp ? 1 << 3 : 0),
			.mgaw = v->caps.fl5lp ? 56 : 47,
			.leaf_sizes = MOAT_2M_SIZE | (v->caps.fl1gp ? MOAT_1G_SIZE : 0),
		};
	if (v->sm.nested)
		unit->nested = first;
	if (!v->sm.first)
		return;
	unit->format = MOAT_PT_FIRST_STAGE;
	unit->sagaw = first.sagaw;
	unit->mgaw = first.mgaw;
	unit->leaf_sizes = first.leaf_sizes;
	unit->no_zlr = true; /* writable pages are readable, as without CAP.ZLR */
}

/* ---------------------------------------------------------------------- tables that are created */

int vtd_scalable_create(struct vtd *v)
{
	v->sm.source = calloc((size_t)VTD_BUSES * VTD_FNS, sizeof(*v->sm.source));
	if (v->sm.source == NULL)
		return moat_error(-ENOMEM, "unit %s: out of memory", v->unit.name);
	return vtd_pages_take(v, 1, &v->root);
}

void vtd_scalable_free(struct vtd *v)
{
	for (unsigned int sid = 0; v->sm.source != NULL && sid < VTD_BUSES * VTD_FNS; sid++)
		free(v->sm.source[sid].table);
	free(v->sm.source);
	while (v->sm.pasids != NULL) {
		struct vtd_pasid *p = v->sm.pasids;

		v->sm.pasids = p->next;
		free(p);
	}
}

static struct vtd_pages *context_table(struct vtd *v, moat_sid_t sid)
{
	return &v->sm.half[sid >> 7];
}

static struct vtd_sm_context *context_entry(struct vtd *v, moat_sid_t sid)
{
	return (struct vtd_sm_context *)context_table(v, sid)->va + (sid & 0x7f);
}

/* Store an entry that leads to a table. release: the unit finds the table initialized. */
static void link_store(struct vtd *v, uint64_t *at, uint64_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
	vtd_flush_lines(v, at, sizeof(*at));
}

static int context_table_reserve(struct vtd *v, moat_sid_t sid)
{
	struct vtd_pages *table = context_table(v, sid);
	uint64_t *root = (uint64_t *)v->root.va + (sid >> 7);
	int ret = table->va == NULL ? vtd_pages_take(v, 1, table) : 0;

	if (ret == 0 && *root == 0)
		link_store(v, root, table->hpa | VTD_ROOT_P);
	return ret;
}

static unsigned int directory_pages(unsigned int pdts)
{
	return 1u << (pdts - PDTS_PAGE);
}

/* Get the PDTS of the smallest directory, of whole pages, that holds the PASID. */
static uint8_t directory_size(uint32_t pasid)
{
	uint8_t pdts = PDTS_PAGE;

	while (pasid >> (pdts + 7 + VTD_PASID_DIR_SHIFT) != 0)
		pdts++;
	return pdts;
}

static uint64_t context_word(const struct vtd *v, const struct vtd_sm_source *s)
{
	return s->dir.hpa | (uint64_t)s->pdts << VTD_SMC_PDTS_SHIFT |
		(v->caps.pasid ? VTD_SMC_PASIDE : 0) | VTD_SMC_P;
}

/* See to a PASID directory that is large enough for `pasid`. If a larger one replaces the present
 * one, `old` gets the latter, because the unit's context cache may still lead to it. */
static int directory_reserve(struct vtd *v, moat_sid_t sid, uint32_t pasid, struct vtd_spare *old)
{
	struct vtd_sm_source *s = &v->sm.source[sid];
	uint8_t pdts = directory_size(pasid);
	size_t entries = (size_t)128 << pdts;
	struct vtd_pages dir;
	char **table;
	int ret;

	if (s->dir.va != NULL && pdts <= s->pdts)
		return 0;
	table = calloc(entries, sizeof(*table));
	if (table == NULL)
		return moat_error(-ENOMEM, "unit %s: out of memory", v->unit.name);
	ret = vtd_pages_take(v, directory_pages(pdts), &dir);
	if (ret != 0) {
		free(table);
		return ret;
	}
	if (s->dir.va != NULL) {
		memcpy(dir.va, s->dir.va, directory_pages(s->pdts) * MOAT_PAGE_SIZE);
		memcpy(table, s->table, ((size_t)128 << s->pdts) * sizeof(*table));
		*old = (struct vtd_spare){ s->dir, directory_pages(s->pdts) };
	}
	vtd_flush_lines(v, dir.va, directory_pages(pdts) * MOAT_PAGE_SIZE);
	free(s->table);
	s->table = table;
	s->dir = dir;
	s->pdts = pdts;
	/* Pointer and size are one word, so the unit sees the old directory or the new one. */
	if (s->entries != 0)
		link_store(v, &context_entry(v, sid)->word[0], context_word(v, s));
	return 0;
}

int vtd_scalable_reserve(struct vtd *v, moat_sid_t sid, uint32_t pasid, struct vtd_spare *old)
{
	struct vtd_sm_source *s = &v->sm.source[sid];
	uint32_t index = pasid >> VTD_PASID_DIR_SHIFT;
	struct vtd_pages page;
	int ret = context_table_reserve(v, sid);

	*old = (struct vtd_spare){ .n = 0 };
	if (ret == 0)
		ret = directory_reserve(v, sid, pasid, old);
	if (ret != 0 || s->table[index] != NULL)
		return ret;
	ret = vtd_pages_take(v, 1, &page);
	if (ret != 0)
		return ret;
	s->table[index] = page.va;
	link_store(v, (uint64_t *)s->dir.va + index, page.hpa | VTD_PDE_P);
	return 0;
}

/* --------------------------------------------------------------------------------- entries */

static struct vtd_pasid_entry *pasid_entry(const struct vtd *v, moat_sid_t sid, uint32_t pasid)
{
	const struct vtd_sm_source *s = &v->sm.source[sid];

	return (struct vtd_pasid_entry *)s->table[pasid >> VTD_PASID_DIR_SHIFT] +
		pasid % TABLE_PASIDS;
}

/* Make the words of a PASID entry, without P. */
static struct vtd_pasid_entry pasid_words(const struct vtd *v, const struct moat_domain *d)
{
	struct vtd_pasid_entry e = { 0 };
	const struct moat_domain *second = d, *first = NULL; /* domains whose tables are walked */
	uint64_t pgtt = VTD_PGTT_SECOND_STAGE;

	if (d == NULL) {
		pgtt = VTD_PGTT_PASS_THROUGH;
	} else if (d->nesting == MOAT_NEST_CHILD) {
		pgtt = VTD_PGTT_NESTED;
		first = d;
		second = d->parent;
	} else if (v->sm.first) {
		pgtt = VTD_PGTT_FIRST_STAGE;
		first = d;
		second = NULL;
	}
	e.word[0] = pgtt << VTD_PE_PGTT_SHIFT;
	e.word[1] = (d == NULL ? VTD_DID_PASS : moat_domain_did(d, &v->unit)) |
		(v->caps.smpwcs ? VTD_PE_PWSNP : 0) | (v->caps.sc ? VTD_PE_PGSNP : 0);
	if (d == NULL)
		e.word[0] |= vtd_largest_aw(v) << VTD_PE_AW_SHIFT;
	if (second != NULL)
		e.word[0] |= second->pt->root_hpa |
			(uint64_t)(second->pt->levels - 2) << VTD_PE_AW_SHIFT;
	else if (first != NULL) /* AW is for second stage only, but QEMU's unit uses it for both */
		e.word[0] |= (uint64_t)(first->pt->levels - 2) << VTD_PE_AW_SHIFT;
	if (first != NULL) /* over a second stage `root_hpa` is an address in the parent */
		e.word[2] = first->pt->root_hpa |
			(uint64_t)(first->pt->levels - 4) << VTD_PE_FSPM_SHIFT;
	return e;
}

/**
 * Make an absent PASID entry present, and then its context entry, if that is absent. The unit may
 * fetch either at any moment, so the word with P is stored last (release: against the unit's
 * fetch).
 */
void vtd_pasid_entry_set(struct vtd *v, moat_sid_t sid, uint32_t pasid, const struct moat_domain *d)
{
	struct vtd_sm_source *s = &v->sm.source[sid];
	struct vtd_pasid_entry *e = pasid_entry(v, sid, pasid), words = pasid_words(v, d);

	for (unsigned int i = 1; i < RTE_DIM(words.word); i++)
		__atomic_store_n(&e->word[i], words.word[i], __ATOMIC_RELAXED);
	__atomic_store_n(&e->word[0], words.word[0] | VTD_PE_P, __ATOMIC_RELEASE);
	vtd_flush_lines(v, e, sizeof(*e));
	if (s->entries++ != 0)
		return;
	__atomic_store_n(&context_entry(v, sid)->word[1], VTD_RID_PASID, __ATOMIC_RELAXED);
	link_store(v, &context_entry(v, sid)->word[0], context_word(v, s));
}

/** Make a present PASID entry absent, and with the last one the context entry. */
void vtd_pasid_entry_clear(struct vtd *v, moat_sid_t sid, uint32_t pasid)
{
	struct vtd_sm_source *s = &v->sm.source[sid];
	struct vtd_pasid_entry *e = pasid_entry(v, sid, pasid);

	/* relaxed: only the invalidation must come after, and moat_qi_submit() releases */
	__atomic_store_n(&e->word[0], 0, __ATOMIC_RELAXED);
	vtd_flush_lines(v, e, sizeof(*e));
	if (--s->entries != 0)
		return;
	__atomic_store_n(&context_entry(v, sid)->word[0], 0, __ATOMIC_RELAXED);
	vtd_flush_lines(v, context_entry(v, sid), sizeof(struct vtd_sm_context));
}

/* -------------------------- "Guidance to Software for Invalidations", by the entry that changes */

/*
 * A wait separates the steps, because the unit may execute the descriptors between two waits in any
 * order, and while an upper cache still has the old entry, the unit may use it to fill a lower
 * cache.
 */

/** Context entries that became not present or were replaced: invalidate the context cache,
 * device-selective. In scalable mode the unit ignores the domain-id in the descriptor. */
static int context_entry_changed(struct vtd *v, const moat_sid_t sid[], unsigned int n)
{
	struct moat_qi_desc desc[MOAT_VTD_ALIASES];

	for (unsigned int i = 0; i < n; i++)
		desc[i] = moat_qi_context_device(0, sid[i], 0);
	return vtd_queue_sync(v, desc, n);
}

/** Root or context entry, from not present to present: with caching mode, absence may be cached. */
static int context_entry_not_present_to_present(struct vtd *v)
{
	const struct moat_qi_desc desc = moat_qi_context_global();

	return v->caps.cm ? vtd_queue_sync(v, &desc, 1) : 0;
}

/** PASID directory or table entry, from not present to present: with caching mode, absence may be
 * cached under domain-id 0, or, if a unit tags it so, under the entry's own domain-id. */
static int pasid_entry_not_present_to_present(struct vtd *v, uint32_t pasid, uint16_t did)
{
	const struct moat_qi_desc cache[] = {
		moat_qi_pasid_cache(MOAT_QI_PASID_ONE, VTD_DID_ABSENT, pasid),
		moat_qi_pasid_cache(MOAT_QI_PASID_ONE, did, pasid),
	};
	const struct moat_qi_desc iotlb[] = {
		moat_qi_iotlb_domain(VTD_DID_ABSENT),
		moat_qi_iotlb_domain(did),
	};
	int ret;

	if (!v->caps.cm)
		return 0;
	ret = vtd_queue_sync(v, cache, RTE_DIM(cache));
	return ret != 0 ? ret : vtd_queue_sync(v, iotlb, RTE_DIM(iotlb));
}

/** PASID table entry, from present to not present: invalidate the PASID cache; then the PASID-based
 * IOTLB for first stage and pass-through, the domain's IOTLB for second stage and nested. */
static int pasid_entry_present_to_not_present(struct vtd *v, uint32_t pasid, uint16_t did)
{
	const struct moat_qi_desc cache = moat_qi_pasid_cache(MOAT_QI_PASID_ONE, did, pasid);
	const struct moat_qi_desc iotlb = v->sm.first || did == VTD_DID_PASS
		? moat_qi_pasid_iotlb(did, pasid, true, 0, 0, false)
		: moat_qi_iotlb_domain(did);
	int ret = vtd_queue_sync(v, &cache, 1);

	return ret != 0 ? ret : vtd_queue_sync(v, &iotlb, 1);
}

/** Context entry, from present to not present: invalidate the context cache, then the PASID cache
 * and the IOTLB of the domain that its last PASID entry named. Those of other domains have been
 * invalidated when their PASID entries became absent. */
static int context_entry_present_to_not_present(struct vtd *v, const moat_sid_t sid[],
	unsigned int n, uint16_t did)
{
	const struct moat_qi_desc cache = moat_qi_pasid_cache(MOAT_QI_PASID_DOMAIN, did, 0);
	const struct moat_qi_desc iotlb = moat_qi_iotlb_domain(did);
	int ret = context_entry_changed(v, sid, n);

	if (ret == 0)
		ret = vtd_queue_sync(v, &cache, 1);
	return ret != 0 ? ret : vtd_queue_sync(v, &iotlb, 1);
}

int vtd_scalable_tell_present(struct vtd *v, uint32_t pasid, uint16_t did)
{
	int ret = vtd_flush_write_buffer(&v->unit);

	if (ret == 0)
		ret = context_entry_not_present_to_present(v);
	return ret != 0 ? ret : pasid_entry_not_present_to_present(v, pasid, did);
}

int vtd_scalable_tell_absent(struct vtd *v, const moat_sid_t sid[], unsigned int n, uint32_t pasid,
	uint16_t did)
{
	int ret = vtd_flush_write_buffer(&v->unit);
	bool gone = false;

	if (ret != 0)
		return ret;
	pthread_mutex_lock(&v->lock);
	for (unsigned int i = 0; i < n; i++)
		gone |= v->sm.source[sid[i]].entries == 0;
	pthread_mutex_unlock(&v->lock);
	return gone ? context_entry_present_to_not_present(v, sid, n, did)
		    : pasid_entry_present_to_not_present(v, pasid, did);
}

int vtd_scalable_retire(struct vtd *v, moat_sid_t sid, const struct vtd_spare *old)
{
	int ret;

	if (old->n == 0)
		return 0;
	ret = vtd_flush_write_buffer(&v->unit);
	if (ret == 0)
		ret = context_entry_changed(v, &sid, 1);
	if (ret == 0) { /* else the unit may still read the pages: they are not used again */
		pthread_mutex_lock(&v->lock);
		vtd_pages_give(v, old->n, &old->pages);
		pthread_mutex_unlock(&v->lock);
	}
	return ret;
}
