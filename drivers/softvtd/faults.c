/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Primary fault logging and fault events ("Primary Fault Logging", "Fault Status Register", "Fault
 * Recording Registers", "Fault Event").
 *
 * The fault recording registers are a ring: a fault goes into the next register. If F is still set
 * there, the fault is lost and PFO is set; while PFO is set, no fault is recorded. With
 * conf.compress, a fault of a source-id that has one pending is not recorded; by default each is,
 * which overflows soonest.
 */
#include "softvtd.h"

#define FSTS_ERRORS (VTD_FSTS_PFO | VTD_FSTS_IQE | VTD_FSTS_ICE | VTD_FSTS_ITE)

/* ----------------------------------------------------------------------------------- events */

void sv_event_raise(struct moat_softvtd *sv, struct sv_event *event)
{
	if (event->mask) {
		event->pending = true;
	} else {
		event->send = true;
		/* relaxed: every thread checks the flag before it leaves the unit; the lock orders
		 * the rest */
		atomic_store_explicit(&sv->events, true, memory_order_relaxed);
	}
}

uint32_t sv_event_control_read(const struct sv_event *event)
{
	return (event->mask ? VTD_FECTL_IM : 0) | (event->pending ? VTD_FECTL_IP : 0);
}

void sv_event_control_write(struct moat_softvtd *sv, struct sv_event *event, uint32_t value)
{
	event->mask = value & VTD_FECTL_IM;
	if (!event->mask && event->pending) {
		event->pending = false;
		sv_event_raise(sv, event);
	}
}

static void event_deliver(struct moat_softvtd *sv, struct sv_event *event, struct moat_spin *lock)
{
	uint64_t address;
	uint32_t data;
	bool send;

	moat_spin_lock(lock);
	send = event->send;
	event->send = false;
	address = (uint64_t)event->upper << 32 | event->address;
	data = event->data;
	moat_spin_unlock(lock);
	if (send && sv->conf.interrupt != NULL)
		sv->conf.interrupt(sv->conf.ctx, address, data);
}

void sv_deliver(struct moat_softvtd *sv)
{
	/* relaxed: a hint; a thread sees what it raised itself in program order */
	if (likely(!atomic_load_explicit(&sv->events, memory_order_relaxed)))
		return;
	atomic_store_explicit(&sv->events, false, memory_order_relaxed);
	event_deliver(sv, &sv->faults.event, &sv->faults.lock);
	event_deliver(sv, &sv->inv_event, &sv->engine);
}

/* ----------------------------------------------------------------------------- fault status */

static bool any_pending(const struct moat_softvtd *sv)
{
	for (unsigned int i = 0; i < sv->conf.nfr; i++) {
		if (sv->faults.frcd[i].hi & VTD_FRCD_F)
			return true;
	}
	return false;
}

/* A new condition is an event only if no other was pending in FSTS. */
static void status_set(struct moat_softvtd *sv, uint32_t bit)
{
	struct sv_faults *f = &sv->faults;
	bool fresh = (f->fsts & FSTS_ERRORS) == 0 && !any_pending(sv);

	f->fsts |= bit;
	if (fresh)
		sv_event_raise(sv, &f->event);
}

/* Once software has cleared everything, there is nothing to send a message about. */
static void status_settle(struct moat_softvtd *sv)
{
	if ((sv->faults.fsts & FSTS_ERRORS) == 0 && !any_pending(sv))
		sv->faults.event.pending = false;
}

void sv_fault_status(struct moat_softvtd *sv, uint32_t fsts_bit)
{
	moat_spin_lock(&sv->faults.lock);
	status_set(sv, fsts_bit);
	moat_spin_unlock(&sv->faults.lock);
}

uint32_t sv_fsts_read(struct moat_softvtd *sv)
{
	uint32_t value;

	moat_spin_lock(&sv->faults.lock);
	value = sv->faults.fsts | (any_pending(sv) ? VTD_FSTS_PPF : 0);
	moat_spin_unlock(&sv->faults.lock);
	return value;
}

uint32_t sv_fsts_write(struct moat_softvtd *sv, uint32_t value)
{
	uint32_t cleared;

	moat_spin_lock(&sv->faults.lock);
	cleared = sv->faults.fsts & value & FSTS_ERRORS;
	sv->faults.fsts &= ~cleared;
	status_settle(sv);
	moat_spin_unlock(&sv->faults.lock);
	return cleared;
}

/* ------------------------------------------------------------------------- fault recording */

uint64_t sv_frcd_read(struct moat_softvtd *sv, uint32_t offset)
{
	const struct sv_frcd *frcd = &sv->faults.frcd[offset / VTD_FRCD_SIZE];
	uint64_t value;

	moat_spin_lock(&sv->faults.lock);
	value = offset & 8 ? frcd->hi : frcd->lo;
	moat_spin_unlock(&sv->faults.lock);
	return value;
}

void sv_frcd_write(struct moat_softvtd *sv, uint32_t offset, uint64_t value)
{
	moat_spin_lock(&sv->faults.lock);
	if ((offset & 8) && (value & VTD_FRCD_F))
		sv->faults.frcd[offset / VTD_FRCD_SIZE].hi &= ~VTD_FRCD_F;
	status_settle(sv);
	moat_spin_unlock(&sv->faults.lock);
}

static bool pending_from(const struct moat_softvtd *sv, moat_sid_t sid)
{
	for (unsigned int i = 0; i < sv->conf.nfr; i++) {
		const struct sv_frcd *frcd = &sv->faults.frcd[i];

		if ((frcd->hi & VTD_FRCD_F) && (frcd->hi & VTD_FRCD_SID) == sid)
			return true;
	}
	return false;
}

static void record(struct moat_softvtd *sv, const struct sv_request *rq, uint8_t reason)
{
	struct sv_faults *f = &sv->faults;
	struct sv_frcd *frcd = &f->frcd[f->next];

	if (f->fsts & VTD_FSTS_PFO) {
		SV_COUNT(f->overflowed, 1);
		return;
	}
	if (sv->conf.compress && pending_from(sv, rq->sid)) {
		SV_COUNT(f->compressed, 1);
		return;
	}
	if (frcd->hi & VTD_FRCD_F) {
		f->fsts |= VTD_FSTS_PFO;
		SV_COUNT(f->overflowed, 1);
		return;
	}
	if (!any_pending(sv)) {
		f->fsts = (f->fsts & ~VTD_FSTS_FRI) | f->next << VTD_FSTS_FRI_SHIFT;
		status_set(sv, 0);
	}
	frcd->lo = rq->iova & VTD_FRCD_FI;
	frcd->hi = VTD_FRCD_F | (rq->prot == MOAT_R ? VTD_FRCD_T1 : 0) |
		(uint64_t)rq->at << VTD_FRCD_AT_SHIFT | (uint64_t)reason << VTD_FRCD_FR_SHIFT |
		rq->sid;
	if (rq->pasid != MOAT_PASID_NONE)
		frcd->hi |= VTD_FRCD_PP | (uint64_t)rq->pasid << VTD_FRCD_PV_SHIFT;
	f->next = (f->next + 1) % sv->conf.nfr;
	SV_COUNT(f->recorded, 1);
}

void sv_fault_record(struct moat_softvtd *sv, const struct sv_request *rq, uint8_t reason)
{
	if (reason == MOAT_SOFTVTD_NO_MEMORY)
		return;
	moat_spin_lock(&sv->faults.lock);
	SV_COUNT(sv->faults.faults[reason], 1);
	if (rq->fpd)
		SV_COUNT(sv->faults.suppressed, 1);
	else
		record(sv, rq, reason);
	moat_spin_unlock(&sv->faults.lock);
}
