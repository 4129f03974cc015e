/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * The invalidation queue ("Queued Invalidation Interface").
 *
 * A descriptor is *fetched* (IQH moves on, errors in the descriptor are found), stays in the window
 * until it is due, and is *executed*. A wait descriptor completes when all before it are executed
 * and the DMA that they drain has ended. The order is what "Queued Invalidation Ordering
 * Considerations" demands, and no more: an IOTLB descriptor follows the context- and PASID-cache
 * descriptors before it, nothing passes a wait descriptor with a fence, and a wait descriptor
 * passes nothing.
 *
 * Errors: IQE stops fetching with IQH at the descriptor; ITE stops fetching and aborts the wait
 * descriptors in the window. Both last until software clears them. ICE stops nothing.
 */
#include <errno.h>

#include "moat_qi.h"
#include "softvtd.h"

/* IQERCD.IQEI: the reason for IQE */
enum { IQEI_TAIL = 1, IQEI_FETCH = 2, IQEI_TYPE = 3, IQEI_RESERVED = 4, IQEI_WIDTH = 5 };

#define SLOT(q, i) (&(q)->window[(i) % SV_WINDOW])

/* Reserved bits of lo and hi, by type. */
#define CONTEXT_RSVD_LO UINT64_C(0xfffc00000000ffc0)
#define IOTLB_RSVD_LO   UINT64_C(0xffffffff0000ff00)
#define IOTLB_RSVD_HI   UINT64_C(0x0000000000000f80)
#define DEVTLB_RSVD_LO  UINT64_C(0x000f0000ffe00ff0)
#define DEVTLB_RSVD_HI  UINT64_C(0x0000000000000ffe)
#define DEVTLB_PFSID    UINT64_C(0xfff000000000f000) /* reserved without ECAP.DIT */
#define PASID_RSVD_LO   UINT64_C(0xfff000000000f1c0) /* PASID cache, PASID-based IOTLB */
#define PDEVTLB_RSVD_HI UINT64_C(0x00000000000007fe)
#define IEC_RSVD_LO     UINT64_C(0xffff000007ffffe0)
#define WAIT_RSVD_LO    UINT64_C(0x00000000ffffff80)
#define WAIT_RSVD_HI    UINT64_C(0x0000000000000003)

static unsigned int type_of(uint64_t lo)
{
	return (lo & 0xf) | (lo >> 9 & 7) << 4;
}

static unsigned int gran_of(uint64_t lo)
{
	return lo >> 4 & 3;
}

/* Bytes of a descriptor. */
static uint32_t width_of(const struct sv_queue *q)
{
	return q->wide ? 32 : 16;
}

static uint32_t queue_bytes(const struct sv_queue *q)
{
	return (uint32_t)MOAT_PAGE_SIZE << (q->iqa & VTD_IQA_QS);
}

bool sv_queue_idle(const struct moat_softvtd *sv)
{
	const struct sv_queue *q = &sv->queue;

	return q->first == q->last && (!q->enabled || q->head == q->tail);
}

/* ------------------------------------------------------------------------------ injections */

int moat_softvtd_inject(struct moat_softvtd *sv, enum moat_softvtd_inject what, uint32_t index)
{
	struct sv_queue *q = &sv->queue;
	int err = 0;

	moat_spin_lock(&sv->engine);
	if (q->nr_injections == SV_INJECTIONS)
		err = moat_error(-ENOSPC, "%u errors are waiting to be injected; let the queue run",
			q->nr_injections);
	else
		q->injections[q->nr_injections++] = (struct sv_injection){ index, what };
	moat_spin_unlock(&sv->engine);
	return err;
}

/* Is this error injected here? If so, it is used up. */
static bool struck(struct sv_queue *q, enum moat_softvtd_inject what, uint32_t index)
{
	for (unsigned int i = 0; i < q->nr_injections; i++) {
		if (q->injections[i].index == index && q->injections[i].what == (int)what) {
			q->injections[i] = q->injections[--q->nr_injections];
			return true;
		}
	}
	return false;
}

/* ------------------------------------------------------------------------------- executing */

/* Does the mutation break this invalidation? It breaks one in `mutate_every`. */
static bool mutated(struct moat_softvtd *sv, uint32_t mutation)
{
	if (likely(!(sv->mutations & mutation)))
		return false;
	return sv->mutate_count++ % RTE_MAX(sv->mutate_every, 1u) == 0;
}

bool sv_mutation_drops(struct moat_softvtd *sv, uint32_t mutation)
{
	bool drops = mutated(sv, mutation);

	if (unlikely(drops))
		SV_COUNT(sv->stats.dropped, 1);
	return drops;
}

static void execute_context(struct moat_softvtd *sv, const struct sv_slot *slot)
{
	unsigned int gran = gran_of(slot->lo);

	SV_COUNT(sv->stats.granularity[0][gran], 1);
	if (sv_mutation_drops(sv, MOAT_SOFTVTD_DROP_CONTEXT))
		return;
	sv_flush_lines(sv);
	sv_invalidate_context(sv, gran, slot->lo >> 16 & sv->did_mask, slot->lo >> 32,
		slot->lo >> 48 & 3);
}

void sv_execute_iotlb(struct moat_softvtd *sv, unsigned int gran, uint16_t did, uint64_t hi,
	unsigned int drain)
{
	static const uint32_t drops[4] = { 0, MOAT_SOFTVTD_DROP_GLOBAL, MOAT_SOFTVTD_DROP_DOMAIN,
		MOAT_SOFTVTD_DROP_PAGE };
	unsigned int am = hi & 0x3f;
	unsigned int offered = (sv->conf.drd ? MOAT_R : 0) | (sv->conf.dwd ? MOAT_W : 0);
	bool ih = hi & VTD_IVA_IH;

	if (drain != offered)
		SV_COUNT(sv->stats.undrained, 1);
	if (sv->conf.ver >= 0x20)
		drain = MOAT_RW; /* DR and DW are ignored: hardware always drains */
	if (gran == MOAT_QI_PAGE)
		SV_COUNT(sv->stats.pages, UINT64_C(1) << am);
	if (sv_mutation_drops(sv, drops[gran]))
		return;
	if (gran == MOAT_QI_PAGE && mutated(sv, MOAT_SOFTVTD_SHORT_MASK) && am > 0)
		am--;
	if (mutated(sv, MOAT_SOFTVTD_HINT_ALWAYS))
		ih = true;
	sv_flush_lines(sv);
	sv_invalidate_iotlb(sv, gran, did & sv->did_mask, hi & ~MOAT_PAGE_MASK, am, ih, drain);
}

static void execute_iotlb(struct moat_softvtd *sv, const struct sv_slot *slot)
{
	unsigned int drain = (slot->lo & VTD_QI_IOTLB_DR ? MOAT_R : 0) |
		(slot->lo & VTD_QI_IOTLB_DW ? MOAT_W : 0);

	SV_COUNT(sv->stats.granularity[1][gran_of(slot->lo)], 1);
	sv_execute_iotlb(sv, gran_of(slot->lo), slot->lo >> 16, slot->hi, drain);
}

static void execute_int_entry(struct moat_softvtd *sv, const struct sv_slot *slot)
{
	if (sv_mutation_drops(sv, MOAT_SOFTVTD_DROP_INT_ENTRY))
		return;
	sv_flush_lines(sv);
	sv_intr_invalidate(sv, !(slot->lo & VTD_QI_IEC_G), slot->lo >> 32, slot->lo >> 27 & 0x1f);
}

static void execute_pasid_cache(struct moat_softvtd *sv, const struct sv_slot *slot)
{
	if (sv_mutation_drops(sv, MOAT_SOFTVTD_DROP_PASID_CACHE))
		return;
	sv_flush_lines(sv);
	sv_invalidate_pasid_cache(sv, gran_of(slot->lo), slot->lo >> 16 & sv->did_mask,
		slot->lo >> 32 & 0xfffff);
}

static void execute_pasid_iotlb(struct moat_softvtd *sv, const struct sv_slot *slot)
{
	unsigned int gran = gran_of(slot->lo), am = slot->hi & 0x3f;

	if (gran == MOAT_QI_PAGE)
		SV_COUNT(sv->stats.pages, UINT64_C(1) << am);
	if (sv_mutation_drops(sv, MOAT_SOFTVTD_DROP_PASID_IOTLB))
		return;
	sv_flush_lines(sv);
	sv_invalidate_pasid_iotlb(sv, gran, slot->lo >> 16 & sv->did_mask, slot->lo >> 32 & 0xfffff,
		slot->hi & ~MOAT_PAGE_MASK, am, slot->hi & VTD_IVA_IH);
}

/* A device-TLB invalidation timed out: the wait descriptors in the window never complete. */
static void abort_waits(struct moat_softvtd *sv)
{
	struct sv_queue *q = &sv->queue;

	for (uint32_t i = q->first; i != q->last; i++) {
		struct sv_slot *slot = SLOT(q, i);

		if (type_of(slot->lo) == MOAT_QI_WAIT && !slot->done) {
			slot->done = true;
			SV_COUNT(sv->stats.aborted, 1);
		}
	}
}

static void execute_wait(struct moat_softvtd *sv, const struct sv_slot *slot)
{
	uint64_t hpa = slot->hi & ~UINT64_C(3);

	SV_COUNT(sv->stats.waits, 1);
	/* release: what the unit did for the descriptors before, and the end of the DMA that they
	 * drained, come before the status that software polls for (acquire there) */
	if ((slot->lo & VTD_QI_WAIT_SW) && sv_reachable(sv, hpa))
		__atomic_store_n((uint32_t *)(uintptr_t)hpa, slot->lo >> 32, __ATOMIC_RELEASE);
	if ((slot->lo & VTD_QI_WAIT_IF) && !sv->queue.wait_event) {
		sv->queue.wait_event = 1;
		sv_event_raise(sv, &sv->inv_event);
	}
}

static void execute(struct moat_softvtd *sv, struct sv_slot *slot)
{
	struct sv_queue *q = &sv->queue;

	slot->done = true;
	SV_COUNT(sv->stats.descriptors[type_of(slot->lo) & 0xf], 1);
	if (struck(q, MOAT_SOFTVTD_ICE, slot->index)) {
		SV_COUNT(sv->stats.ice, 1);
		sv_fault_status(sv, VTD_FSTS_ICE);
	}
	if (struck(q, MOAT_SOFTVTD_ITE, slot->index)) {
		SV_COUNT(sv->stats.ite, 1);
		q->stopped |= VTD_FSTS_ITE;
		abort_waits(sv);
		sv_fault_status(sv, VTD_FSTS_ITE);
		if (type_of(slot->lo) == MOAT_QI_WAIT)
			return;
	}
	switch (type_of(slot->lo)) {
	case MOAT_QI_CONTEXT:
		execute_context(sv, slot);
		break;
	case MOAT_QI_IOTLB:
		execute_iotlb(sv, slot);
		break;
	case MOAT_QI_PASID_CACHE:
		execute_pasid_cache(sv, slot);
		break;
	case MOAT_QI_PASID_IOTLB:
		execute_pasid_iotlb(sv, slot);
		break;
	case MOAT_QI_WAIT:
		execute_wait(sv, slot);
		break;
	case MOAT_QI_INT_ENTRY:
		execute_int_entry(sv, slot);
		break;
	default: /* device TLBs: the unit itself caches nothing for them */
		break;
	}
}

/* -------------------------------------------------------------------------------- fetching */

static unsigned int check_iotlb(const struct moat_softvtd *sv, uint64_t lo, uint64_t hi)
{
	unsigned int gran = gran_of(lo);

	if ((lo & IOTLB_RSVD_LO) || (hi & IOTLB_RSVD_HI) || gran == 0)
		return IQEI_RESERVED;
	if (gran == MOAT_QI_PAGE && (!sv->conf.psi || (hi & 0x3f) > sv->conf.mamv))
		return IQEI_RESERVED;
	return 0;
}

/* Check the PASID-based descriptors, which exist with ECAP.SMTS only. */
static unsigned int check_pasid(const struct moat_softvtd *sv, uint64_t lo, uint64_t hi)
{
	unsigned int gran = gran_of(lo);

	if (!sv->conf.scalable || (type_of(lo) == MOAT_QI_PASID_DEVICE_TLB && !sv->conf.dt))
		return IQEI_TYPE;
	switch (type_of(lo)) {
	case MOAT_QI_PASID_CACHE:
		return (lo & PASID_RSVD_LO) || hi != 0 || gran == 2 ? IQEI_RESERVED : 0;
	case MOAT_QI_PASID_IOTLB:
		if ((lo & PASID_RSVD_LO) || (hi & IOTLB_RSVD_HI) || gran < 2)
			return IQEI_RESERVED;
		return gran == MOAT_QI_PAGE && (!sv->conf.psi || (hi & 0x3f) > sv->conf.mamv)
			? IQEI_RESERVED
			: 0;
	default:
		return (lo & (sv->conf.dit ? 0 : DEVTLB_PFSID)) || (hi & PDEVTLB_RSVD_HI)
			? IQEI_RESERVED
			: 0;
	}
}

/* Check a descriptor. @return the IQEI of its error, or 0 */
static unsigned int check(const struct moat_softvtd *sv, uint64_t lo, uint64_t hi)
{
	switch (type_of(lo)) {
	case MOAT_QI_CONTEXT:
		return (lo & CONTEXT_RSVD_LO) || hi != 0 || gran_of(lo) == 0 ? IQEI_RESERVED : 0;
	case MOAT_QI_IOTLB:
		return check_iotlb(sv, lo, hi);
	case MOAT_QI_DEVICE_TLB:
		if (!sv->conf.dt)
			return IQEI_TYPE;
		return (lo & (DEVTLB_RSVD_LO | (sv->conf.dit ? 0 : DEVTLB_PFSID))) ||
				(hi & DEVTLB_RSVD_HI)
			? IQEI_RESERVED
			: 0;
	case MOAT_QI_INT_ENTRY:
		if (!sv->conf.ir)
			return IQEI_TYPE;
		return (lo & IEC_RSVD_LO) || hi != 0 || (lo >> 27 & 0x1f) > SV_MHMV ? IQEI_RESERVED
										    : 0;
	case MOAT_QI_WAIT:
		return (lo & WAIT_RSVD_LO) || (hi & WAIT_RSVD_HI) ? IQEI_RESERVED : 0;
	case MOAT_QI_PASID_CACHE:
	case MOAT_QI_PASID_IOTLB:
	case MOAT_QI_PASID_DEVICE_TLB:
		return check_pasid(sv, lo, hi);
	default: /* no such type */
		return IQEI_TYPE;
	}
}

static void queue_error(struct moat_softvtd *sv, unsigned int iqei)
{
	sv->queue.ercd = iqei;
	SV_COUNT(sv->stats.iqe, 1);
	sv->queue.stopped |= VTD_FSTS_IQE;
	sv_fault_status(sv, VTD_FSTS_IQE);
}

/* Scalable mode requires 256-bit descriptors; in all that the unit supports the upper half is
 * reserved. */
static unsigned int check_width(const struct moat_softvtd *sv, const uint64_t *desc)
{
	/* relaxed: a register's value */
	uint64_t root = atomic_load_explicit(&sv->root, memory_order_relaxed);

	if (!sv->queue.wide)
		return sv->conf.scalable && VTD_FIELD(root, VTD_RTADDR_TTM) == VTD_TTM_SCALABLE
			? IQEI_WIDTH
			: 0;
	/* relaxed: as the lower half */
	return __atomic_load_n(&desc[2], __ATOMIC_RELAXED) != 0 ||
			__atomic_load_n(&desc[3], __ATOMIC_RELAXED) != 0
		? IQEI_RESERVED
		: 0;
}

/* @return true: the descriptor is in the window; false: IQE, the head stays */
static bool fetch_one(struct moat_softvtd *sv)
{
	struct sv_queue *q = &sv->queue;
	struct sv_slot *slot = SLOT(q, q->last);
	uint64_t hpa = (q->iqa & VTD_IQA_IQA) + q->head;
	unsigned int iqei;

	if (!sv_reachable(sv, hpa) || struck(q, MOAT_SOFTVTD_IQE, q->head / width_of(q))) {
		queue_error(sv, IQEI_FETCH);
		return false;
	}
	/* relaxed: software wrote them before IQT, whose write took the engine's lock */
	slot->lo = __atomic_load_n((uint64_t *)(uintptr_t)hpa, __ATOMIC_RELAXED);
	slot->hi = __atomic_load_n((uint64_t *)(uintptr_t)hpa + 1, __ATOMIC_RELAXED);
	iqei = check_width(sv, (const uint64_t *)(uintptr_t)hpa);
	if (iqei == 0)
		iqei = check(sv, slot->lo, slot->hi);
	if (iqei != 0) {
		queue_error(sv, iqei);
		return false;
	}
	q->next_fetch += sv->conf.per_descriptor;
	slot->due = q->next_fetch + sv->conf.latency;
	slot->due_turn = sv->turn + 1 +
		(sv->conf.jitter != 0 ? sv_random(&sv->random) % (sv->conf.jitter + 1u) : 0);
	slot->index = q->head / width_of(q);
	slot->done = false;
	q->last++;
	q->head = (q->head + width_of(q)) & (queue_bytes(q) - 1);
	if (type_of(slot->lo) == MOAT_QI_WAIT && (sv->mutations & MOAT_SOFTVTD_EARLY_WAIT))
		execute(sv, slot);
	return true;
}

void sv_queue_fetch(struct moat_softvtd *sv, uint64_t now)
{
	struct sv_queue *q = &sv->queue;

	if (!q->enabled || q->head == q->tail || q->stopped != 0)
		return;
	if (q->tail >= queue_bytes(q) || q->tail % width_of(q) != 0) {
		queue_error(sv, IQEI_TAIL);
		return;
	}
	while (q->head != q->tail && q->last - q->first < SV_WINDOW && q->next_fetch <= now) {
		if (!fetch_one(sv))
			return;
	}
}

/* ---------------------------------------------------------------------------------- in time */

static bool is_due(const struct moat_softvtd *sv, const struct sv_slot *slot, uint64_t now)
{
	return slot->due <= now && slot->due_turn <= sv->turn;
}

static bool is_iotlb(const struct sv_slot *slot)
{
	return type_of(slot->lo) == MOAT_QI_IOTLB || type_of(slot->lo) == MOAT_QI_PASID_IOTLB;
}

/* May a descriptor be executed before an earlier one that is not executed yet? */
static bool may_pass(const struct sv_slot *slot, const struct sv_slot *earlier)
{
	if (!is_iotlb(slot))
		return false;
	return is_iotlb(earlier) ||
		(type_of(earlier->lo) == MOAT_QI_WAIT && !(earlier->lo & VTD_QI_WAIT_FN));
}

/* Among the first 8, execute due descriptors that may pass all before them, at random. */
static void execute_ahead(struct moat_softvtd *sv, uint64_t now)
{
	struct sv_queue *q = &sv->queue;

	for (uint32_t i = q->first; i != q->last && i - q->first < 8; i++) {
		struct sv_slot *slot = SLOT(q, i);
		bool may = !slot->done && is_due(sv, slot, now);

		for (uint32_t j = q->first; j != i && may; j++)
			may = SLOT(q, j)->done || may_pass(slot, SLOT(q, j));
		if (may && i != q->first && (sv_random(&sv->random) & 1))
			execute(sv, slot);
	}
}

void sv_queue_execute(struct moat_softvtd *sv, uint64_t now)
{
	struct sv_queue *q = &sv->queue;

	if (sv->conf.reorder && q->last - q->first > 1)
		execute_ahead(sv, now);
	for (; q->first != q->last; q->first++) {
		struct sv_slot *slot = SLOT(q, q->first);
		bool wait = type_of(slot->lo) == MOAT_QI_WAIT;

		if (slot->done)
			continue;
		if (!is_due(sv, slot, now) || (wait && !sv_drained(sv)))
			break;
		execute(sv, slot);
	}
}

/* ------------------------------------------------------------------------- tail and enable */

void sv_queue_tail(struct moat_softvtd *sv, uint64_t tail)
{
	struct sv_queue *q = &sv->queue;
	uint64_t now = rte_rdtsc();

	if (tail & ~VTD_IQH_QH)
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_RESERVED);
	SV_COUNT(sv->stats.doorbells, 1);
	sv_queue_fetch(sv, now); /* descriptors queued before, whose time began earlier */
	q->next_fetch = RTE_MAX(q->next_fetch, now);
	q->tail = tail & VTD_IQH_QH;
	sv_queue_fetch(sv, now);
}

/* Set QIES to `on`. The head becomes 0, and pending descriptors are lost. */
void sv_queue_enable(struct moat_softvtd *sv, bool on)
{
	struct sv_queue *q = &sv->queue;

	if (!on && !sv_queue_idle(sv))
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_QIE_BUSY);
	q->enabled = on;
	q->head = 0;
	q->first = q->last;
	q->next_fetch = rte_rdtsc();
}
