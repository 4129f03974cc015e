/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Interrupt requests of devices ("Interrupt Remapping", "Interrupt Posting", "Interrupt Entry
 * Cache"): from a write in the interrupt range to a vector, a bit in a posted-interrupt descriptor,
 * or a fault reason.
 *
 * Entries that were read stay in the shard's interrupt-entry cache until an invalidation covers
 * them. An interrupt under way counts as a write under way, so that the invalidation's completion
 * waits for it ("Interrupt Draining").
 */
#include <errno.h>
#include <stdlib.h>

#include "moat_softvtd_intr.h"
#include "moat_vtd_irte.h"
#include "softvtd.h"

#define ENTRIES    65536
#define STALE_KEPT 64

/** A shard's interrupt-entry cache: it has room for every entry, so only invalidations drop one. */
struct iec {
	struct vtd_entry *entry; /* ENTRIES of them, set if `valid`; NULL: ECAP.IR is clear */
	uint64_t valid[ENTRIES / 64];
	uint32_t filled;
	uint64_t requests, remapped, compatible, unremapped, posted, blocked, hits, misses,
		invalidated;
};

enum { NEVER, GIVEN, REVOKED, RELEASED };

/** What the driver side promised for an entry. */
struct promise {
	_Atomic uint64_t word; /* TSC << 2 | state */
	_Atomic uint64_t cause;
	_Atomic uint32_t sid;
};

struct sv_intr {
	/* Written by the engine, which then drains, like root and translating of struct
	 * moat_softvtd. */
	_Atomic uint64_t table;  /* IRTA, latched by SIRTP */
	_Atomic bool remapping;  /* IRES */
	_Atomic bool compatible; /* CFIS */
	struct iec *iec;         /* one per shard */
	struct promise *promise; /* NULL: no oracle */
	_Atomic bool watched;    /* the oracle has been told of an entry */
	void (*sink)(void *ctx, const struct moat_softvtd_interrupt *interrupt);
	void *sink_ctx;
	_Atomic uint64_t notified, unreleased;
	_Atomic uint64_t stale[MOAT_SOFTVTD_INTR_WHYS];
	struct moat_spin lock; /* of the list */
	struct moat_softvtd_stale_interrupt list[STALE_KEPT];
	uint64_t listed;
};

/** An interrupt request in progress. */
struct intr {
	moat_sid_t sid;
	uint64_t address;
	uint32_t data;
	uint16_t index;
	bool remapped, cached, fpd;
	struct vtd_entry irte;
};

/* Relaxed: only counters. */
static void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---------------------------------------------------------------------------- the oracle */

/* @return the promise of an entry; NULL: no oracle */
static struct promise *promise_of(struct moat_softvtd *sv, uint16_t index)
{
	return sv->intr->promise != NULL ? &sv->intr->promise[index] : NULL;
}

static void promise_set(struct promise *p, unsigned int state, uint64_t cause)
{
	atomic_store_explicit(&p->cause, cause, memory_order_relaxed);
	/* P1, release: with the state come cause and source-id (P2) */
	atomic_store_explicit(&p->word, rte_rdtsc() << 2 | state, memory_order_release);
}

void moat_softvtd_irte_given(struct moat_softvtd *sv, uint16_t index, moat_sid_t sid)
{
	struct promise *p = promise_of(sv, index);

	if (p == NULL)
		return;
	atomic_store_explicit(&p->sid, sid, memory_order_relaxed);
	/* the cause stays: if the old entry serves the new owner's interrupt, that revocation is to
	 * blame */
	promise_set(p, GIVEN, atomic_load_explicit(&p->cause, memory_order_relaxed));
	/* relaxed: a device interrupts by the entry only after it was told the index */
	atomic_store_explicit(&sv->intr->watched, true, memory_order_relaxed);
}

void moat_softvtd_irte_revoked(struct moat_softvtd *sv, uint16_t index, uint64_t cause)
{
	struct promise *p = promise_of(sv, index);

	if (p != NULL)
		promise_set(p, REVOKED, cause);
}

void moat_softvtd_irte_released(struct moat_softvtd *sv, uint16_t index, uint64_t cause)
{
	struct promise *p = promise_of(sv, index);

	if (p != NULL)
		promise_set(p, RELEASED, cause);
}

static void stale_add(struct sv_intr *intr, const struct intr *rq, enum moat_softvtd_intr_why why,
	uint64_t cause, uint64_t since)
{
	uint64_t now = rte_rdtsc();

	count(&intr->stale[why]);
	moat_spin_lock(&intr->lock);
	intr->list[intr->listed++ % STALE_KEPT] = (struct moat_softvtd_stale_interrupt){
		.cause = cause,
		.age = since != 0 && now > since ? now - since : 0,
		.tsc = now,
		.index = rq->index,
		.sid = rq->sid,
		.why = why,
		.cached = rq->cached,
	};
	moat_spin_unlock(&intr->lock);
}

/* Check an interrupt that is about to be delivered by an entry. Shard locked. */
static void check(struct sv_intr *intr, const struct intr *rq)
{
	struct promise *p = &intr->promise[rq->index];
	/* P2, acquire: pairs with P1 */
	uint64_t word = atomic_load_explicit(&p->word, memory_order_acquire);
	uint64_t cause = atomic_load_explicit(&p->cause, memory_order_relaxed);

	switch (word & 3) {
	case GIVEN:
		if (atomic_load_explicit(&p->sid, memory_order_relaxed) != rq->sid)
			stale_add(intr, rq, MOAT_SOFTVTD_INTR_FOREIGN, cause, 0);
		break;
	case REVOKED:
		count(&intr->unreleased);
		break;
	case RELEASED:
		stale_add(intr, rq, MOAT_SOFTVTD_INTR_RELEASED, cause, word >> 2);
		break;
	default:
		stale_add(intr, rq, MOAT_SOFTVTD_INTR_WILD, 0, 0);
		break;
	}
}

unsigned int moat_softvtd_stale_interrupts(struct moat_softvtd *sv,
	struct moat_softvtd_stale_interrupt list[], unsigned int n)
{
	struct sv_intr *intr = sv->intr;

	moat_spin_lock(&intr->lock);
	n = RTE_MIN(n, (unsigned int)STALE_KEPT);
	if (n > intr->listed)
		n = intr->listed;
	for (unsigned int i = 0; i < n; i++)
		list[i] = intr->list[(intr->listed - 1 - i) % STALE_KEPT];
	moat_spin_unlock(&intr->lock);
	return n;
}

const char *moat_softvtd_intr_why_name(enum moat_softvtd_intr_why why)
{
	static const char *const names[MOAT_SOFTVTD_INTR_WHYS] = {
		[MOAT_SOFTVTD_INTR_RELEASED] = "released entry",
		[MOAT_SOFTVTD_INTR_WILD] = "entry never given",
		[MOAT_SOFTVTD_INTR_FOREIGN] = "another source's entry",
	};

	return why < MOAT_SOFTVTD_INTR_WHYS ? names[why] : "unknown";
}

/* ------------------------------------------------------------------- interrupt-entry cache */

static bool cache_has(const struct iec *iec, uint32_t index)
{
	return iec->valid[index / 64] >> index % 64 & 1;
}

static void cache_fill(struct iec *iec, uint32_t index, struct vtd_entry irte)
{
	iec->filled += !cache_has(iec, index);
	iec->valid[index / 64] |= UINT64_C(1) << index % 64;
	iec->entry[index] = irte;
}

static void cache_drop(struct iec *iec, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n && iec->filled != 0; i++) {
		if (iec->valid[i / 64] == 0) {
			i |= 63;
		} else if (cache_has(iec, i)) {
			iec->valid[i / 64] &= ~(UINT64_C(1) << i % 64);
			iec->filled--;
			SV_COUNT(iec->invalidated, 1);
		}
	}
}

void sv_intr_invalidate(struct moat_softvtd *sv, bool global, uint16_t index, unsigned int mask)
{
	uint32_t n = global ? ENTRIES : 1u << mask;
	uint32_t first = global ? 0 : index & ~(n - 1);

	for (unsigned int i = 0; i < sv->conf.shards; i++) {
		struct sv_shard *shard = &sv->shards[i];

		moat_spin_lock(&shard->lock);
		cache_drop(&sv->intr->iec[i], first, n);
		sv_drain_shard(sv, shard, MOAT_W);
		moat_spin_unlock(&shard->lock);
	}
}

/* ------------------------------------------------------------------------------ commands */

void sv_intr_set_table(struct moat_softvtd *sv, uint64_t irta)
{
	if (!sv->conf.eim)
		irta &= ~VTD_IRTA_EIME;
	/* release: the table was written before the command; pairs with I1 */
	atomic_store_explicit(&sv->intr->table, irta, memory_order_release);
	sv_drain_start(sv, MOAT_W);
}

void sv_intr_set(struct moat_softvtd *sv, bool remapping, bool compatible)
{
	atomic_store_explicit(&sv->intr->compatible, compatible, memory_order_relaxed);
	/* release: table and `compatible` come before it; pairs with I1 */
	atomic_store_explicit(&sv->intr->remapping, remapping, memory_order_release);
	sv_drain_start(sv, MOAT_W);
}

/* ------------------------------------------------------------------------------ remapping */

static bool source_allowed(uint64_t hi, moat_sid_t sid)
{
	uint16_t want = hi & VTD_IRTE_SID;

	switch (VTD_FIELD(hi, VTD_IRTE_SVT)) {
	case VTD_SVT_NONE:
		return true;
	case VTD_SVT_SID:
		return sv_same_function(want, sid, VTD_FIELD(hi, VTD_IRTE_SQ));
	default: /* VTD_SVT_BUS; irte_wrong() has rejected 3 */
		return sid >> 8 >= want >> 8 && sid >> 8 <= (want & 0xff);
	}
}

/* Does a present entry have reserved bits or values, in the mode that IRTA selects? */
static bool irte_wrong(const struct moat_softvtd *sv, struct vtd_entry e, bool eime)
{
	unsigned int dlm = VTD_FIELD(e.lo, VTD_IRTE_DLM);

	if (VTD_FIELD(e.hi, VTD_IRTE_SVT) == 3)
		return true;
	if (e.lo & VTD_IRTE_IM)
		return !sv->conf.pi || (e.lo & VTD_IRTE_POST_RSVD_LO) ||
			(e.hi & VTD_IRTE_POST_RSVD_HI);
	if ((e.lo & VTD_IRTE_RSVD_LO) || (e.hi & VTD_IRTE_RSVD_HI) || dlm == 3 || dlm == 6)
		return true;
	return !eime && (e.lo & VTD_IRTE_DST & ~VTD_IRTE_DST_XAPIC);
}

/* If the adversary prefetches this time, cache the other entries of the cache line. */
static void prefetch(struct moat_softvtd *sv, struct sv_shard *shard, struct iec *iec,
	uint64_t table, uint32_t index)
{
	if (!sv_prefetches(sv, shard))
		return;
	for (uint32_t i = index & ~3u; i < (index & ~3u) + 4; i++) {
		struct vtd_entry e;

		if (cache_has(iec, i) || !sv_reachable(sv, table + i * sizeof(e)))
			continue;
		e = sv_entry_read(shard, table + i * sizeof(e));
		if ((e.lo & VTD_IRTE_P) || sv->conf.cm)
			cache_fill(iec, i, e);
	}
}

/* Get the entry of a request from the cache or the table. @return 0 or the fault reason */
static uint8_t irte_get(struct moat_softvtd *sv, struct sv_shard *shard, struct iec *iec,
	uint64_t irta, struct intr *rq)
{
	uint64_t table = irta & VTD_IRTA_IRTA, at = table + rq->index * sizeof(rq->irte);
	bool eime = irta & VTD_IRTA_EIME;

	rq->cached = cache_has(iec, rq->index);
	if (rq->cached) {
		SV_COUNT(iec->hits, 1);
		rq->irte = iec->entry[rq->index];
	} else {
		if (!sv_reachable(sv, at))
			return VTD_FR_IR_ACCESS;
		SV_COUNT(iec->misses, 1);
		rq->irte = sv_entry_read(shard, at);
	}
	rq->fpd = rq->irte.lo & VTD_IRTE_FPD;
	if (!(rq->irte.lo & VTD_IRTE_P) || irte_wrong(sv, rq->irte, eime)) {
		if (sv->conf.cm)
			cache_fill(iec, rq->index, rq->irte);
		return rq->irte.lo & VTD_IRTE_P ? VTD_FR_IR_IRTE_RSVD : VTD_FR_IR_P;
	}
	if (!rq->cached) {
		cache_fill(iec, rq->index, rq->irte);
		prefetch(sv, shard, iec, table, rq->index);
	}
	return source_allowed(rq->irte.hi, rq->sid) ? 0 : VTD_FR_IR_SID;
}

/* Look up a request in remappable format. @return 0 or the fault reason; shard locked */
static uint8_t remap(struct moat_softvtd *sv, struct sv_shard *shard, struct iec *iec,
	uint64_t irta, struct intr *rq)
{
	uint32_t index = VTD_MSI_INDEX(rq->address);
	uint8_t reason;

	if (rq->address & VTD_MSI_SHV) {
		if (rq->data >> 16 != 0)
			return VTD_FR_IR_RSVD;
		index += rq->data & 0xffff;
	}
	rq->index = index;
	if (index >= UINT32_C(2) << (irta & VTD_IRTA_S))
		return VTD_FR_IR_INDEX;
	reason = irte_get(sv, shard, iec, irta, rq);
	if (reason != 0)
		return reason;
	rq->remapped = true;
	/* relaxed: see moat_softvtd_irte_given() */
	if (sv->intr->promise != NULL &&
		atomic_load_explicit(&sv->intr->watched, memory_order_relaxed))
		check(sv->intr, rq);
	return 0;
}

/* Decide what becomes of a request. @return 0 or the fault reason; shard locked */
static uint8_t judge(struct moat_softvtd *sv, struct sv_shard *shard, struct iec *iec,
	struct intr *rq)
{
	struct sv_intr *intr = sv->intr;
	/* I1, acquire: what was set before remapping was switched on is seen with it */
	bool on = atomic_load_explicit(&intr->remapping, memory_order_acquire);
	uint64_t irta = atomic_load_explicit(&intr->table, memory_order_acquire);

	if (!on) {
		SV_COUNT(iec->unremapped, 1);
		return 0;
	}
	if (rq->address & VTD_MSI_REMAPPABLE)
		return remap(sv, shard, iec, irta, rq);
	if ((irta & VTD_IRTA_EIME) ||
		!atomic_load_explicit(&intr->compatible, memory_order_relaxed))
		return VTD_FR_IR_COMPAT;
	SV_COUNT(iec->compatible, 1);
	return 0;
}

/* ------------------------------------------------------------------------------- delivery */

static void deliver(struct sv_intr *intr, const struct moat_softvtd_interrupt *interrupt)
{
	if (intr->sink != NULL)
		intr->sink(intr->sink_ctx, interrupt);
}

static void deliver_as_is(struct sv_intr *intr, const struct intr *rq)
{
	const struct moat_softvtd_interrupt interrupt = {
		.sid = rq->sid,
		.vector = rq->data,
		.delivery = rq->data >> 8 & 7,
		.level = rq->data >> 15 & 1,
		.logical = rq->address & VTD_MSI_COMPAT_DM,
		.destination = VTD_MSI_COMPAT_DEST(rq->address),
	};

	deliver(intr, &interrupt);
}

static void deliver_remapped(struct sv_intr *intr, const struct intr *rq, bool eime)
{
	uint64_t lo = rq->irte.lo;
	uint32_t dst = lo >> VTD_IRTE_DST_SHIFT;
	const struct moat_softvtd_interrupt interrupt = {
		.sid = rq->sid,
		.index = rq->index,
		.remapped = true,
		.vector = VTD_FIELD(lo, VTD_IRTE_VECTOR),
		.delivery = VTD_FIELD(lo, VTD_IRTE_DLM),
		.logical = lo & VTD_IRTE_DM,
		.level = lo & VTD_IRTE_TM,
		.destination = eime ? dst : dst >> 8,
	};

	deliver(intr, &interrupt);
}

/* Deliver the notification of a descriptor whose ON was just set. */
static void notify(struct sv_intr *intr, const struct intr *rq, uint64_t control)
{
	const struct moat_softvtd_interrupt interrupt = {
		.sid = rq->sid,
		.index = rq->index,
		.remapped = true,
		.notification = true,
		.vector = VTD_FIELD(control, VTD_PI_NV),
		.destination = VTD_FIELD(control, VTD_PI_NDST),
	};

	count(&intr->notified);
	deliver(intr, &interrupt);
}

/*
 * "Interrupt Posting": set the vector's bit, then ON if a notification is due. Hardware changes the
 * line atomically; here the bit comes first, so that software that has cleared ON and then reads
 * the bits misses none. @return 0 or the fault reason
 */
static uint8_t post(struct moat_softvtd *sv, const struct intr *rq)
{
	uint64_t hpa = (rq->irte.hi & VTD_IRTE_PDAH) | (rq->irte.lo & VTD_IRTE_PDAL) >> 32;
	unsigned int vector = VTD_FIELD(rq->irte.lo, VTD_IRTE_VECTOR);
	struct vtd_pi_desc *pi = (struct vtd_pi_desc *)(uintptr_t)hpa;
	bool urgent = rq->irte.lo & VTD_IRTE_URG;
	uint64_t control;

	if (!sv_reachable(sv, hpa))
		return VTD_FR_PI_ACCESS;
	control = __atomic_load_n(&pi->control, __ATOMIC_RELAXED);
	if (control & VTD_PI_RSVD)
		return VTD_FR_PI_RSVD;
	/* V1, release: the DMA that the vector announces comes first; a reader of the bit
	 * acquires */
	__atomic_fetch_or(&pi->pir[vector / 64], UINT64_C(1) << vector % 64, __ATOMIC_RELEASE);
	do {
		if ((control & VTD_PI_ON) || (!urgent && (control & VTD_PI_SN)))
			return 0;
	} while (!__atomic_compare_exchange_n(&pi->control, &control, control | VTD_PI_ON, false,
		__ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	notify(sv->intr, rq, control);
	return 0;
}

/* Deliver or post a request. The guard is held, and no lock. @return 0 or the fault reason */
static uint8_t complete(struct moat_softvtd *sv, struct iec *iec, struct sv_shard *shard,
	const struct intr *rq)
{
	struct sv_intr *intr = sv->intr;
	bool posted = rq->remapped && (rq->irte.lo & VTD_IRTE_IM);
	uint8_t reason = 0;

	if (posted)
		reason = post(sv, rq);
	else if (rq->remapped)
		deliver_remapped(intr, rq,
			atomic_load_explicit(&intr->table, memory_order_relaxed) & VTD_IRTA_EIME);
	else
		deliver_as_is(intr, rq);
	if (!rq->remapped || reason != 0)
		return reason;
	moat_spin_lock(&shard->lock);
	SV_COUNT(*(posted ? &iec->posted : &iec->remapped), 1);
	moat_spin_unlock(&shard->lock);
	return 0;
}

static uint8_t request(struct moat_softvtd *sv, struct moat_softvtd_guard *guard, struct intr *rq)
{
	struct sv_shard *shard = guard->shard;
	struct iec *iec = &sv->intr->iec[shard - sv->shards];
	uint8_t reason;

	moat_spin_lock(&shard->lock);
	sv_guard_join(guard, MOAT_W);
	SV_COUNT(shard->stats.interrupts, 1);
	SV_COUNT(iec->requests, 1);
	reason = judge(sv, shard, iec, rq);
	moat_spin_unlock(&shard->lock);
	if (reason == 0)
		reason = complete(sv, iec, shard, rq);
	if (reason != 0) {
		const struct sv_request fault = {
			.pasid = MOAT_PASID_NONE,
			.sid = rq->sid,
			.prot = MOAT_W,
			.iova = (uint64_t)rq->index << VTD_FRCD_INDEX_SHIFT,
			.fpd = rq->fpd,
		};

		moat_spin_lock(&shard->lock);
		SV_COUNT(iec->blocked, 1);
		moat_spin_unlock(&shard->lock);
		sv_fault_record(sv, &fault, reason);
	}
	return reason;
}

int moat_softvtd_interrupt(struct moat_softvtd *sv, moat_sid_t sid, uint64_t address, uint32_t data)
{
	struct moat_cost_device t = moat_cost_device_enter();
	struct intr rq = { .sid = sid, .address = address, .data = data };
	struct moat_softvtd_guard guard;
	uint8_t reason;

	moat_softvtd_dma_begin(sv, sid, 0, MOAT_W, &guard);
	reason = request(sv, &guard, &rq);
	moat_softvtd_dma_end(&guard);
	sv_deliver(sv);
	moat_cost_device_leave(t);
	return reason;
}

void moat_softvtd_interrupt_sink(struct moat_softvtd *sv,
	void (*sink)(void *ctx, const struct moat_softvtd_interrupt *interrupt), void *ctx)
{
	sv->intr->sink_ctx = ctx;
	sv->intr->sink = sink;
}

/* --------------------------------------------------------------------------------- life */

int sv_intr_create(struct moat_softvtd *sv)
{
	struct sv_intr *intr = calloc(1, sizeof(*intr));
	int err = intr != NULL ? 0 : -ENOMEM;

	sv->intr = intr;
	if (err == 0) {
		intr->iec = calloc(sv->conf.shards, sizeof(*intr->iec));
		err = intr->iec != NULL ? 0 : -ENOMEM;
	}
	for (unsigned int i = 0; err == 0 && sv->conf.ir && i < sv->conf.shards; i++) {
		intr->iec[i].entry = malloc(ENTRIES * sizeof(struct vtd_entry));
		err = intr->iec[i].entry != NULL ? 0 : -ENOMEM;
	}
	if (err == 0 && sv->conf.ir && sv->conf.oracle) {
		intr->promise = calloc(ENTRIES, sizeof(*intr->promise));
		err = intr->promise != NULL ? 0 : -ENOMEM;
	}
	return err == 0 ? 0 : moat_error(err, "no memory for an interrupt-entry cache");
}

void sv_intr_destroy(struct moat_softvtd *sv)
{
	struct sv_intr *intr = sv->intr;

	if (intr == NULL)
		return;
	for (unsigned int i = 0; intr->iec != NULL && i < sv->conf.shards; i++)
		free(intr->iec[i].entry);
	free(intr->iec);
	free(intr->promise);
	free(intr);
}

/* Counters: no order among them is promised. */
#define LOAD(counter) atomic_load_explicit(&(counter), memory_order_relaxed)

void moat_softvtd_intr_stats(struct moat_softvtd *sv, struct moat_softvtd_intr_stats *s)
{
	struct sv_intr *intr = sv->intr;

	*s = (struct moat_softvtd_intr_stats){
		.notified = LOAD(intr->notified),
		.unreleased = LOAD(intr->unreleased),
	};
	for (unsigned int i = 0; i < MOAT_SOFTVTD_INTR_WHYS; i++) {
		s->stale[i] = LOAD(intr->stale[i]);
		s->stale_interrupts += s->stale[i];
	}
	for (unsigned int i = 0; intr->iec != NULL && i < sv->conf.shards; i++) {
		const struct iec *iec = &intr->iec[i];

		s->requests += SV_READ(iec->requests);
		s->remapped += SV_READ(iec->remapped);
		s->compatible += SV_READ(iec->compatible);
		s->unremapped += SV_READ(iec->unremapped);
		s->posted += SV_READ(iec->posted);
		s->blocked += SV_READ(iec->blocked);
		s->hits += SV_READ(iec->hits);
		s->misses += SV_READ(iec->misses);
		s->invalidated += SV_READ(iec->invalidated);
	}
}
