/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * The page of registers ("Register Descriptions"): what each access does. A 64-bit register is
 * handled as a whole; a 32-bit access concerns one half of its value.
 */
#include "moat_vtd_irte.h"
#include "softvtd.h"

/* ------------------------------------------------------------------------------- reading */

static bool in_frcd(const struct moat_softvtd *sv, uint32_t offset)
{
	return offset >= sv->conf.fro &&
		offset - sv->conf.fro < (uint32_t)sv->conf.nfr * VTD_FRCD_SIZE;
}

/* 32-bit registers */
static uint32_t get32(struct moat_softvtd *sv, uint32_t offset)
{
	switch (offset) {
	case VTD_VER:
		return sv->conf.ver;
	case VTD_GSTS:
		sv_command_advance(sv);
		return sv->gsts;
	case VTD_FSTS:
		return sv_fsts_read(sv);
	case VTD_ICS:
		return sv->queue.wait_event;
	case VTD_IECTL:
		return sv_event_control_read(&sv->inv_event);
	case VTD_IEDATA:
		return sv->inv_event.data;
	case VTD_IEADDR:
		return sv->inv_event.address;
	case VTD_IEUADDR:
		return sv->inv_event.upper;
	default: /* GCMD is write-only; PMEN and its regions: not offered; reserved: 0 */
		return 0;
	}
}

/* FECTL and its neighbours belong to the fault log. */
static uint32_t get_fault_event(struct moat_softvtd *sv, uint32_t offset)
{
	const struct sv_event *e = &sv->faults.event;
	uint32_t value;

	moat_spin_lock(&sv->faults.lock);
	value = offset == VTD_FECTL    ? sv_event_control_read(e)
		: offset == VTD_FEDATA ? e->data
		: offset == VTD_FEADDR ? e->address
				       : e->upper;
	moat_spin_unlock(&sv->faults.lock);
	return value;
}

/* Read a 64-bit register. @return false: there is none at this offset */
static bool get64(struct moat_softvtd *sv, uint32_t offset, uint64_t *value)
{
	if (in_frcd(sv, offset)) {
		*value = sv_frcd_read(sv, offset - sv->conf.fro);
		return true;
	}
	if ((offset & ~8u) == sv->conf.iro) {
		*value = offset & VTD_IOTLB ? sv->iotlb.value : 0; /* IVA is write-only */
		return true;
	}
	switch (offset) {
	case VTD_CAP:
		*value = sv->cap;
		return true;
	case VTD_ECAP:
		*value = sv->ecap;
		return true;
	case VTD_RTADDR:
		*value = sv->rtaddr;
		return true;
	case VTD_CCMD:
		*value = sv->ccmd.value;
		return true;
	case VTD_IQH:
		*value = sv->queue.head;
		return true;
	case VTD_IQT:
		*value = sv->queue.tail;
		return true;
	case VTD_IQA:
		*value = sv->queue.iqa;
		return true;
	case VTD_IQERCD:
		*value = sv->queue.ercd;
		return true;
	case VTD_IRTA:
		*value = sv->irta;
		return true;
	default:
		return false;
	}
}

static bool aligned(struct moat_softvtd *sv, uint32_t offset, uint32_t size)
{
	if (offset % size == 0 && offset + size <= VTD_WINDOW_SIZE)
		return true;
	sv_misuse(sv, MOAT_SOFTVTD_MISUSE_ACCESS);
	return false;
}

static uint64_t get(struct moat_softvtd *sv, uint32_t offset, uint32_t size)
{
	uint64_t value;

	if (!aligned(sv, offset, size))
		return 0;
	if (get64(sv, offset & ~7u, &value))
		return size == 8 ? value : (uint32_t)(value >> (offset & 4) * 8);
	if (offset >= VTD_FECTL && offset <= VTD_FEUADDR)
		value = get_fault_event(sv, offset);
	else
		value = get32(sv, offset);
	if (size == 8)
		value |= (uint64_t)get32(sv, offset + 4) << 32;
	return value;
}

/* ------------------------------------------------------------------------------- writing */

static void put_event(struct moat_softvtd *sv, struct sv_event *event, unsigned int field,
	uint32_t value)
{
	switch (field) {
	case 0:
		sv_event_control_write(sv, event, value);
		break;
	case 1:
		event->data = value;
		break;
	case 2:
		event->address = value & ~3u;
		break;
	default:
		event->upper = value;
		break;
	}
}

/* Write FSTS. If this clears errors of the queue, fetching goes on where it stopped. */
static void put_fsts(struct moat_softvtd *sv, uint32_t value)
{
	uint32_t cleared = sv_fsts_write(sv, value);

	if (cleared & VTD_FSTS_IQE)
		sv->queue.ercd &= ~UINT64_C(0xf);
	sv->queue.stopped &= ~cleared;
	if (cleared & (VTD_FSTS_IQE | VTD_FSTS_ITE)) {
		sv->queue.next_fetch = RTE_MAX(sv->queue.next_fetch, rte_rdtsc());
		/* relaxed: a hint, see struct moat_softvtd */
		atomic_store_explicit(&sv->work, true, memory_order_relaxed);
	}
}

static void put32(struct moat_softvtd *sv, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VTD_GCMD:
		sv_command_write(sv, value);
		break;
	case VTD_FSTS:
		put_fsts(sv, value);
		break;
	case VTD_ICS:
		if (value & 1) {
			sv->queue.wait_event = 0;
			sv->inv_event.pending = false;
		}
		break;
	case VTD_FECTL:
	case VTD_FEDATA:
	case VTD_FEADDR:
	case VTD_FEUADDR:
		moat_spin_lock(&sv->faults.lock);
		put_event(sv, &sv->faults.event, (offset - VTD_FECTL) / 4, value);
		moat_spin_unlock(&sv->faults.lock);
		break;
	case VTD_IECTL:
	case VTD_IEDATA:
	case VTD_IEADDR:
	case VTD_IEUADDR:
		put_event(sv, &sv->inv_event, (offset - VTD_IECTL) / 4, value);
		break;
	case VTD_VER:
	case VTD_GSTS:
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_READ_ONLY);
		break;
	default:
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_ACCESS);
		break;
	}
}

static void put_iqa(struct moat_softvtd *sv, uint64_t value)
{
	if (sv->gsts & VTD_GSTS_QIES) {
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_IQA_ENABLED);
		return;
	}
	uint64_t known = VTD_IQA_IQA | VTD_IQA_QS | (sv->conf.scalable ? VTD_IQA_DW : 0);

	if (value & ~known) /* DW is reserved without scalable mode */
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_RESERVED);
	sv->queue.iqa = value & known;
	sv->queue.wide = sv->queue.iqa & VTD_IQA_DW;
}

static void put_rtaddr(struct moat_softvtd *sv, uint64_t value)
{
	uint64_t ttm = sv->conf.scalable ? (uint64_t)VTD_TTM_SCALABLE << VTD_RTADDR_TTM_SHIFT : 0;

	if (value & ~(VTD_RTADDR_RTA | ttm)) /* an unsupported TTM stays: every DMA then faults */
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_RESERVED);
	sv->rtaddr = value & (VTD_RTADDR_RTA | VTD_RTADDR_TTM);
}

static void put_irta(struct moat_softvtd *sv, uint64_t value)
{
	uint64_t known = VTD_IRTA_IRTA | VTD_IRTA_S | (sv->conf.eim ? VTD_IRTA_EIME : 0);

	if (value & ~known) /* EIME is reserved without ECAP.EIM */
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_RESERVED);
	sv->irta = value & known;
}

/* Write a 64-bit register. @return false: there is none at this offset */
static bool put64(struct moat_softvtd *sv, uint32_t offset, uint64_t value)
{
	if (in_frcd(sv, offset)) {
		sv_frcd_write(sv, offset - sv->conf.fro, value);
	} else if (offset == sv->conf.iro + VTD_IVA) {
		if (value & 0xf80)
			sv_misuse(sv, MOAT_SOFTVTD_MISUSE_RESERVED);
		sv->iva = value;
	} else if (offset == (uint32_t)sv->conf.iro + VTD_IOTLB) {
		sv_iotlb_write(sv, value);
	} else if (offset == VTD_RTADDR) {
		put_rtaddr(sv, value);
	} else if (offset == VTD_CCMD) {
		sv_ccmd_write(sv, value);
	} else if (offset == VTD_IQT) {
		sv_queue_tail(sv, value);
	} else if (offset == VTD_IQA) {
		put_iqa(sv, value);
	} else if (offset == VTD_IRTA) {
		put_irta(sv, value);
	} else if (offset == VTD_CAP || offset == VTD_ECAP || offset == VTD_IQH ||
		offset == VTD_IQERCD) {
		sv_misuse(sv, MOAT_SOFTVTD_MISUSE_READ_ONLY);
	} else {
		return false;
	}
	return true;
}

/* Get the present value of a 64-bit register of which one half is written. */
static uint64_t held(struct moat_softvtd *sv, uint32_t offset)
{
	uint64_t value = 0;

	if (offset == sv->conf.iro + VTD_IVA)
		return sv->iva;
	/* F is write-1-to-clear: the half that is not written must clear nothing */
	if (!in_frcd(sv, offset))
		get64(sv, offset, &value);
	return value;
}

static void put(struct moat_softvtd *sv, uint32_t offset, uint64_t value, uint32_t size)
{
	uint64_t dummy;

	if (!aligned(sv, offset, size))
		return;
	if (get64(sv, offset & ~7u, &dummy)) {
		unsigned int shift = (offset & 4) * 8;

		if (size == 4)
			value = (held(sv, offset & ~7u) & ~(UINT64_C(0xffffffff) << shift)) |
				value << shift;
		/* The upper half of CCMD and IOTLB starts the invalidation; the lower half of IQT
		 * is the doorbell. */
		if (!(size == 4 && offset == VTD_IQT + 4))
			put64(sv, offset & ~7u, value);
		return;
	}
	put32(sv, offset, value);
	if (size == 8)
		put32(sv, offset + 4, value >> 32);
}

/* ---------------------------------------------------------------------------- entry points */

static uint64_t access_read(struct moat_softvtd *sv, uint32_t offset, uint32_t size)
{
	struct moat_cost_device t = moat_cost_device_enter();
	uint64_t value;

	moat_spin_lock(&sv->engine);
	if (!sv->conf.threaded)
		sv_turn(sv);
	value = get(sv, offset, size);
	moat_spin_unlock(&sv->engine);
	sv_deliver(sv);
	moat_cost_device_leave(t);
	return value;
}

static void access_write(struct moat_softvtd *sv, uint32_t offset, uint64_t value, uint32_t size)
{
	struct moat_cost_device t = moat_cost_device_enter();

	moat_spin_lock(&sv->engine);
	put(sv, offset, value, size);
	/* relaxed: a hint, see struct moat_softvtd */
	atomic_store_explicit(&sv->work, true, memory_order_relaxed);
	moat_spin_unlock(&sv->engine);
	sv_deliver(sv);
	moat_cost_device_leave(t);
}

uint32_t moat_softvtd_read32(struct moat_softvtd *sv, uint32_t offset)
{
	return access_read(sv, offset, 4);
}

uint64_t moat_softvtd_read64(struct moat_softvtd *sv, uint32_t offset)
{
	return access_read(sv, offset, 8);
}

void moat_softvtd_write32(struct moat_softvtd *sv, uint32_t offset, uint32_t value)
{
	access_write(sv, offset, value, 4);
}

void moat_softvtd_write64(struct moat_softvtd *sv, uint32_t offset, uint64_t value)
{
	access_write(sv, offset, value, 8);
}

void moat_softvtd_poll(struct moat_softvtd *sv)
{
	struct moat_cost_device t;
	bool worked;

	/* relaxed: a hint, see struct moat_softvtd */
	if (!atomic_load_explicit(&sv->work, memory_order_relaxed) || !moat_spin_try(&sv->engine))
		return;
	t = moat_cost_device_enter();
	worked = sv_turn(sv);
	moat_spin_unlock(&sv->engine);
	sv_deliver(sv);
	if (worked)
		moat_cost_device_leave(t);
}

static uint32_t window_read32(void *ctx, uint32_t offset)
{
	return moat_softvtd_read32(ctx, offset);
}

static uint64_t window_read64(void *ctx, uint32_t offset)
{
	return moat_softvtd_read64(ctx, offset);
}

static void window_write32(void *ctx, uint32_t offset, uint32_t value)
{
	moat_softvtd_write32(ctx, offset, value);
}

static void window_write64(void *ctx, uint32_t offset, uint64_t value)
{
	moat_softvtd_write64(ctx, offset, value);
}

static void window_run(void *ctx)
{
	moat_softvtd_poll(ctx);
}

void moat_softvtd_window(struct moat_softvtd *sv, struct moat_vtd_window *window)
{
	*window = (struct moat_vtd_window){
		.read32 = window_read32,
		.read64 = window_read64,
		.write32 = window_write32,
		.write64 = window_write64,
		.run = sv->conf.threaded ? NULL : window_run,
		.ctx = sv,
	};
}
