/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Commands by registers: global commands (GCMD, GSTS) and invalidations without the queue (CCMD,
 * IOTLB). All functions are called under the engine's lock.
 *
 * "Global Command Register": software changes one field at a time, and waits until GSTS shows it. A
 * command takes effect some reads of GSTS later. If it changes how DMA is translated, GSTS shows it
 * only when all DMA that began before has drained.
 */
#include "moat_qi.h"
#include "softvtd.h"

#define ONE_SHOT (VTD_GCMD_SRTP | VTD_GCMD_SFL | VTD_GCMD_WBF | VTD_GCMD_SIRTP)
#define COMMANDS \
	(VTD_GCMD_TE | VTD_GCMD_EAFL | VTD_GCMD_QIE | VTD_GCMD_IRE | VTD_GCMD_CFI | ONE_SHOT)

static uint32_t supported(const struct moat_softvtd *sv)
{
	return VTD_GCMD_TE | VTD_GCMD_SRTP | (sv->conf.qi ? VTD_GCMD_QIE : 0) |
		(sv->conf.rwbf ? VTD_GCMD_WBF : 0) |
		(sv->conf.ir ? VTD_GCMD_IRE | VTD_GCMD_SIRTP | VTD_GCMD_CFI : 0);
}

/* Publish the root table to DMA, then drain the DMA that may have read the old one. */
static void publish(struct moat_softvtd *sv)
{
	/* release: pairs with root_read(); the tables were written before the command */
	atomic_store_explicit(&sv->root, sv->rtaddr, memory_order_release);
	sv_drain_start(sv, MOAT_RW);
}

static void set_root(struct moat_softvtd *sv)
{
	publish(sv);
	if (sv->conf.esrtps) { /* the command also invalidates */
		sv_invalidate_context(sv, MOAT_QI_GLOBAL, 0, 0, 0);
		sv_invalidate_pasid_cache(sv, MOAT_QI_PASID_GLOBAL, 0, 0);
		sv_invalidate_iotlb(sv, MOAT_QI_GLOBAL, 0, 0, 0, false, MOAT_RW);
	}
}

static void set_translation(struct moat_softvtd *sv, bool on)
{
	if (on && !(sv->gsts & VTD_GSTS_RTPS))
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_TE_NO_ROOT);
	/* release: root comes before it; pairs with slow() of walk.c */
	atomic_store_explicit(&sv->translating, on, memory_order_release);
	sv_drain_start(sv, MOAT_RW);
}

static void take_effect(struct moat_softvtd *sv)
{
	switch (sv->command) {
	case VTD_GCMD_TE:
		set_translation(sv, sv->command_on);
		break;
	case VTD_GCMD_SRTP:
		set_root(sv);
		break;
	case VTD_GCMD_SIRTP:
		sv_intr_set_table(sv, sv->irta);
		break;
	case VTD_GCMD_WBF:
		sv_flush_lines(sv);
		break;
	case VTD_GCMD_QIE:
		sv_queue_enable(sv, sv->command_on);
		break;
	case VTD_GCMD_IRE:
		if (sv->command_on && !(sv->gsts & VTD_GSTS_IRTPS))
			sv_misuse(sv, MOAT_SOFTVTD_MISUSE_IRE_NO_TABLE);
		sv_intr_set(sv, sv->command_on, sv->gsts & VTD_GSTS_CFIS);
		break;
	case VTD_GCMD_CFI:
		sv_intr_set(sv, sv->gsts & VTD_GSTS_IRES, sv->command_on);
		break;
	default:
		break;
	}
	sv->command_started = true;
}

void sv_command_advance(struct moat_softvtd *sv)
{
	bool on = sv->command_on;

	if (sv->command == 0 || (sv->command_late > 0 && --sv->command_late > 0))
		return;
	if (!sv->command_started)
		take_effect(sv);
	if (!sv_drained(sv))
		return;
	if (sv->command == VTD_GCMD_WBF)
		on = false; /* WBFS is set while the flush is under way */
	sv->gsts = (sv->gsts & ~sv->command) | (on ? sv->command : 0);
	sv->command = 0;
}

void sv_command_write(struct moat_softvtd *sv, uint32_t gcmd)
{
	uint32_t change = ((gcmd ^ sv->gsts) & COMMANDS & ~ONE_SHOT) | (gcmd & ONE_SHOT);

	if (gcmd & ~COMMANDS)
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_RESERVED);
	if (change == 0)
		return;
	if (sv->command != 0) {
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_COMMAND_BUSY);
		return;
	}
	if (change & (change - 1)) {
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_TWO_COMMANDS);
		return;
	}
	if (change & ~supported(sv)) {
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_UNSUPPORTED);
		return;
	}
	sv->command = change;
	sv->command_on = gcmd & change;
	sv->command_started = false;
	sv->command_late =
		1 + (sv->conf.gsts_late > 1 ? sv_random(&sv->random) % sv->conf.gsts_late : 0);
	if (change & (VTD_GCMD_SRTP | VTD_GCMD_SIRTP))
		sv->gsts &= ~change; /* hardware clears the status when software sets the command */
	if (change == VTD_GCMD_WBF)
		sv->gsts |= VTD_GSTS_WBFS;
}

/* ------------------------------------------------------- register-based invalidation */

/* Reserved bits: they read as 0 whatever is written. */
#define CCMD_RSVD  UINT64_C(0x07fffffc00000000)
#define IOTLB_RSVD UINT64_C(0x49fc0000ffffffff)

static void register_inv_begin(struct moat_softvtd *sv, struct sv_register_inv *inv, uint64_t value)
{
	inv->value = value;
	inv->executed = false;
	inv->due = rte_rdtsc() + sv->conf.latency;
	inv->due_turn = sv->turn + 1 +
		(sv->conf.jitter != 0 ? sv_random(&sv->random) % (sv->conf.jitter + 1u) : 0);
}

/* @return true: the invalidation begins */
static bool register_inv_write(struct moat_softvtd *sv, struct sv_register_inv *inv, uint64_t value,
	uint64_t go, uint64_t actual)
{
	if (inv->value & go) {
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_INV_BUSY);
		return false;
	}
	if (!(value & go)) {
		inv->value = value & ~actual;
		return false;
	}
	if (sv->gsts & VTD_GSTS_QIES) {
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_REGISTER_INV);
		inv->value = value & ~(go | actual);
		return false;
	}
	register_inv_begin(sv, inv, value & ~actual);
	return true;
}

void sv_ccmd_write(struct moat_softvtd *sv, uint64_t value)
{
	if (value & CCMD_RSVD)
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_RESERVED);
	register_inv_write(sv, &sv->ccmd, value & ~CCMD_RSVD, VTD_CCMD_ICC, VTD_CCMD_CAIG);
}

void sv_iotlb_write(struct moat_softvtd *sv, uint64_t value)
{
	if (value & IOTLB_RSVD)
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_RESERVED);
	register_inv_write(sv, &sv->iotlb, value & ~IOTLB_RSVD, VTD_IOTLB_IVT, VTD_IOTLB_IAIG);
}

static bool inv_due(const struct moat_softvtd *sv, const struct sv_register_inv *inv, uint64_t now)
{
	return inv->due <= now && inv->due_turn <= sv->turn;
}

static void ccmd_advance(struct moat_softvtd *sv, uint64_t now)
{
	struct sv_register_inv *inv = &sv->ccmd;
	unsigned int gran = inv->value >> 61 & 3;

	if (!(inv->value & VTD_CCMD_ICC) || !inv_due(sv, inv, now))
		return;
	SV_COUNT(sv->stats.granularity[2][gran], 1);
	inv->value &= ~(VTD_CCMD_ICC | VTD_CCMD_CAIG);
	if (gran == 0) {
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_INV_WRONG);
		return;
	}
	sv_flush_lines(sv);
	if (!sv_mutation_drops(sv, MOAT_SOFTVTD_DROP_CONTEXT))
		sv_invalidate_context(sv, gran, inv->value & sv->did_mask,
			inv->value >> VTD_CCMD_SID_SHIFT, inv->value >> VTD_CCMD_FM_SHIFT & 3);
	inv->value |= (uint64_t)gran << VTD_CCMD_CAIG_SHIFT;
}

static bool iotlb_wrong(const struct moat_softvtd *sv, unsigned int gran)
{
	return gran == 0 ||
		(gran == MOAT_QI_PAGE && (!sv->conf.psi || (sv->iva & 0x3f) > sv->conf.mamv));
}

static void iotlb_advance(struct moat_softvtd *sv, uint64_t now)
{
	struct sv_register_inv *inv = &sv->iotlb;
	unsigned int gran = inv->value >> 60 & 3;
	unsigned int drain =
		(inv->value & VTD_IOTLB_DR ? MOAT_R : 0) | (inv->value & VTD_IOTLB_DW ? MOAT_W : 0);

	if (!(inv->value & VTD_IOTLB_IVT) || !inv_due(sv, inv, now))
		return;
	if (iotlb_wrong(sv, gran)) {
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_INV_WRONG);
		inv->value &= ~(VTD_IOTLB_IVT | VTD_IOTLB_IAIG);
		return;
	}
	if (!inv->executed) {
		inv->executed = true;
		sv_execute_iotlb(sv, gran, inv->value >> VTD_IOTLB_DID_SHIFT, sv->iva, drain);
	}
	if (!sv_drained(sv))
		return;
	inv->value &= ~(VTD_IOTLB_IVT | VTD_IOTLB_IAIG);
	inv->value |= (uint64_t)gran << VTD_IOTLB_IAIG_SHIFT;
}

void sv_register_inv_advance(struct moat_softvtd *sv, uint64_t now)
{
	ccmd_advance(sv, now);
	iotlb_advance(sv, now);
}

/* --------------------------------------------------------------------------------- a turn */

/* A queue that an error has stopped has no work until software clears the error. Otherwise the
 * unit's thread (`threaded`) would take turn after turn, and keep software from the registers. */
static bool queue_has_work(const struct moat_softvtd *sv)
{
	const struct sv_queue *q = &sv->queue;

	return !sv_queue_idle(sv) && (q->first != q->last || q->stopped == 0);
}

bool sv_turn(struct moat_softvtd *sv)
{
	uint64_t now = rte_rdtsc();
	uint32_t head = sv->queue.head, first = sv->queue.first;
	bool busy;

	sv->turn++;
	sv_register_inv_advance(sv, now);
	sv_queue_fetch(sv, now);
	sv_queue_execute(sv, now);
	busy = queue_has_work(sv) || ((sv->ccmd.value | sv->iotlb.value) >> 63) != 0;
	/* relaxed: a hint, see struct moat_softvtd */
	atomic_store_explicit(&sv->work, busy, memory_order_relaxed);
	return sv->queue.head != head || sv->queue.first != first;
}
