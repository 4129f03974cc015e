/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>

#include "vtd_impl.h"

/* ------------------------------------------------------------------- commands, one at a time */

/** A wait ends when its time is over and the unit has been polled LOOKS times, because on a busy
 * machine the thread may not run for most of the time. */
#define LOOKS 64

struct wait {
	uint64_t end; /* ms */
	unsigned int looks;
};

static struct wait deadline(const struct vtd *v)
{
	return (struct wait){ .end = vtd_now_ms() + v->conf.deadline_ms };
}

/** Give the unit time to work. @return false: the wait has ended */
static bool patience(const struct vtd *v, struct wait *wait)
{
	if (wait->looks++ >= LOOKS && vtd_now_ms() >= wait->end)
		return false;
	if (v->w.run != NULL)
		v->w.run(v->w.ctx);
	sched_yield(); /* control path: a software unit may need this processor */
	return true;
}

static int no_answer(const struct vtd *v, const char *what)
{
	return moat_error(-ETIMEDOUT,
		"unit %s: %s: not complete after %u ms (GSTS 0x%" PRIx32 ", FSTS 0x%" PRIx32
		"); the unit does not answer: is another driver using it?",
		v->unit.name, what, v->conf.deadline_ms, vtd_read32(&v->w, VTD_GSTS),
		vtd_read32(&v->w, VTD_FSTS));
}

bool vtd_gsts_becomes(const struct vtd *v, uint32_t bit, bool set, uint32_t ms)
{
	struct wait wait = { .end = vtd_now_ms() + ms };

	while (!!(vtd_read32(&v->w, VTD_GSTS) & bit) != set)
		if (!patience(v, &wait))
			return false;
	return true;
}

static int await_gsts(const struct vtd *v, uint32_t bit, bool set, const char *what)
{
	return vtd_gsts_becomes(v, bit, set, v->conf.deadline_ms) ? 0 : no_answer(v, what);
}

/**
 * Set or clear one bit of GCMD. All other bits keep their status: GSTS without the one-shot bits
 * (Global Command Register: software changes one bit and waits for its status).
 */
int vtd_command(const struct vtd *v, uint32_t bit, bool set, const char *what)
{
	uint32_t keep = vtd_read32(&v->w, VTD_GSTS) & VTD_GSTS_KEEP & ~bit;

	vtd_write32(&v->w, VTD_GCMD, set ? keep | bit : keep);
	return await_gsts(v, bit, set, what);
}

/* Flush the write buffer once, under `gcmd`. The thread reports quiescent states while it waits. */
static int write_buffer_flush(struct vtd *v)
{
	uint64_t nr = atomic_fetch_add(&v->wbf_begun, 1) + 1;
	struct wait wait = deadline(v);

	vtd_write32(&v->w, VTD_GCMD, (vtd_read32(&v->w, VTD_GSTS) & VTD_GSTS_KEEP) | VTD_GCMD_WBF);
	while (vtd_read32(&v->w, VTD_GSTS) & VTD_GSTS_WBFS) {
		if (!patience(v, &wait))
			return no_answer(v, "write-buffer flush (WBF)");
		moat_lanes_quiescent();
	}
	/* W2: release, pairs with W1 */
	atomic_store_explicit(&v->wbf_done, nr, memory_order_release);
	return 0;
}

/*
 * GCMD takes one command at a time, and only GSTS tells that a command is complete, so this is the
 * driver's only wait under a lock. Only old units need it. A thread that waits for the lock reports
 * quiescent states. If another thread begins and completes a flush meanwhile, that flush covers the
 * waiting thread's stores.
 */
int vtd_flush_write_buffer(struct moat_unit *unit)
{
	struct vtd *v = vtd_of(unit);
	uint64_t covers;
	int ret;

	if (!v->caps.rwbf)
		return 0;
	/* W0: the caller's stores are visible before `wbf_begun` is read, so the next flush covers
	 *   them. */
	atomic_thread_fence(memory_order_seq_cst);
	covers = atomic_load(&v->wbf_begun) + 1;
	while (pthread_mutex_trylock(&v->gcmd) != 0) {
		moat_lanes_quiescent();
		sched_yield();
		/* W1: acquire, pairs with W2 */
		if (atomic_load_explicit(&v->wbf_done, memory_order_acquire) >= covers)
			return 0;
	}
	ret = write_buffer_flush(v);
	pthread_mutex_unlock(&v->gcmd);
	return ret;
}

/* ------------------------------------------------- invalidation before the queue is switched on */

static int await_clear64(const struct vtd *v, uint32_t reg, uint64_t bit, const char *what)
{
	struct wait wait = deadline(v);

	while (vtd_read64(&v->w, reg) & bit)
		if (!patience(v, &wait))
			return no_answer(v, what);
	return 0;
}

/**
 * Invalidate the whole context cache, then the whole IOTLB, through registers, which is permitted
 * only while QIE is clear. Scalable mode, and units of major version 6 and later, permit only the
 * queue ("Register-based Invalidation Interface"); prove_queue() then does it.
 */
static int invalidate_by_registers(const struct vtd *v)
{
	uint32_t iotlb = v->caps.iro + VTD_IOTLB;
	uint64_t drain = (v->caps.drd ? VTD_IOTLB_DR : 0) | (v->caps.dwd ? VTD_IOTLB_DW : 0);
	int ret;

	if (v->caps.ver_major >= 6 || v->sm.on)
		return 0;
	ret = await_clear64(v, VTD_CCMD, VTD_CCMD_ICC, "an earlier context invalidation");
	if (ret != 0)
		return ret;
	vtd_write64(&v->w, VTD_CCMD, VTD_CCMD_ICC | VTD_CCMD_CIRG_GLOBAL);
	ret = await_clear64(v, VTD_CCMD, VTD_CCMD_ICC, "global context-cache invalidation (CCMD)");
	if (ret != 0)
		return ret;
	ret = await_clear64(v, iotlb, VTD_IOTLB_IVT, "an earlier IOTLB invalidation");
	if (ret != 0)
		return ret;
	vtd_write64(&v->w, iotlb, VTD_IOTLB_IVT | VTD_IOTLB_IIRG_GLOBAL | drain);
	return await_clear64(v, iotlb, VTD_IOTLB_IVT, "global IOTLB invalidation (IOTLB_REG)");
}

/* ------------------------------------------------------------------------- what was found */

static void look_around(struct vtd *v)
{
	v->found = (struct vtd_found){
		.gsts = vtd_read32(&v->w, VTD_GSTS),
		.fectl = vtd_read32(&v->w, VTD_FECTL),
		.iectl = vtd_read32(&v->w, VTD_IECTL),
		.pmen = v->caps.plmr || v->caps.phmr ? vtd_read32(&v->w, VTD_PMEN) : 0,
		.rtaddr = vtd_read64(&v->w, VTD_RTADDR),
		.iqa = vtd_read64(&v->w, VTD_IQA),
		.irta = vtd_read64(&v->w, VTD_IRTA),
	};
}

int vtd_may_own(struct vtd *v)
{
	uint32_t gsts;

	look_around(v);
	gsts = v->found.gsts;
	if ((gsts & VTD_GSTS_IRES) && !v->conf.take_over_ir && !vtd_intr_is_moats(v))
		return moat_error(-EBUSY,
			"unit %s remaps interrupts for another owner (GSTS 0x%" PRIx32
			"); taking it over would stop them: boot with intremap=off",
			v->unit.name, gsts);
	if ((gsts & (VTD_GSTS_TES | VTD_GSTS_QIES)) && !v->conf.take_over)
		return moat_error(-EBUSY,
			"unit %s is in use (GSTS 0x%" PRIx32 ", root table 0x%" PRIx64
			"): if the kernel uses it, boot with intel_iommu=off; if a moat process "
			"that was killed has left it, take it over (--take-over)",
			v->unit.name, gsts, v->found.rtaddr);
	return 0;
}

/** Wait until the queue is empty, unless an error has stopped it; then switch the queue off. */
static int queue_off(const struct vtd *v)
{
	struct wait wait = deadline(v);

	if (!(vtd_read32(&v->w, VTD_GSTS) & VTD_GSTS_QIES))
		return 0;
	while (!(vtd_read32(&v->w, VTD_FSTS) & VTD_FSTS_IQE) &&
		vtd_read64(&v->w, VTD_IQH) != vtd_read64(&v->w, VTD_IQT))
		if (!patience(v, &wait))
			break; /* stuck without an error: switch it off all the same */
	return vtd_command(v, VTD_GCMD_QIE, false, "queued invalidation off (QIE)");
}

/** Switch advanced fault logging, if it was found on: it logs to memory, not to the records that
 * the driver reads. */
static int advanced_fault_log(const struct vtd *v, bool on)
{
	if (!(v->found.gsts & VTD_GSTS_AFLS))
		return 0;
	return vtd_command(v, VTD_GCMD_EAFL, on, "advanced fault logging (EAFL)");
}

/** Switch off translation, then interrupt remapping, then the queue that serves both. */
static int quiesce(const struct vtd *v)
{
	int ret = 0;

	if (vtd_read32(&v->w, VTD_GSTS) & VTD_GSTS_TES)
		ret = vtd_command(v, VTD_GCMD_TE, false, "translation off (TE)");
	if (ret == 0 && (vtd_read32(&v->w, VTD_GSTS) & VTD_GSTS_IRES))
		ret = vtd_command(v, VTD_GCMD_IRE, false, "interrupt remapping off (IRE)");
	if (ret == 0)
		ret = queue_off(v);
	return ret;
}

/* ------------------------------------------------------------------- bring-up and take-down */

static int set_root_table(const struct vtd *v)
{
	uint32_t keep = vtd_read32(&v->w, VTD_GSTS) & VTD_GSTS_KEEP;
	uint64_t ttm = v->sm.on ? VTD_TTM_SCALABLE : VTD_TTM_LEGACY;

	/* SRTP is one-shot: RTPS tells that the unit has taken the address. */
	vtd_write64(&v->w, VTD_RTADDR, v->root.hpa | ttm << VTD_RTADDR_TTM_SHIFT);
	vtd_write32(&v->w, VTD_GCMD, keep | VTD_GCMD_SRTP);
	return await_gsts(v, VTD_GSTS_RTPS, true, "setting the root table (SRTP)");
}

static int queue_on(const struct vtd *v)
{
	/* QIE makes the unit start at head 0, so the tail must be there, too. */
	vtd_write64(&v->w, VTD_IQT, 0);
	vtd_write64(&v->w, VTD_IQA, v->queue.hpa | v->conf.qi_order | (v->sm.on ? VTD_IQA_DW : 0));
	return vtd_command(v, VTD_GCMD_QIE, true, "queued invalidation on (QIE)");
}

/**
 * Submit the queue's first batches, before translation depends on it: the global invalidations that
 * a new root table needs ("Guidance to Software for Invalidations"): context cache, PASID cache,
 * IOTLB.
 */
static int prove_queue(struct vtd *v)
{
	const struct moat_qi_desc context = moat_qi_context_global(),
				  pasid = moat_qi_pasid_cache(MOAT_QI_PASID_GLOBAL, 0, 0),
				  iotlb = moat_qi_iotlb_global();
	int ret = vtd_queue_sync(v, &context, 1);

	if (ret == 0 && v->sm.on)
		ret = vtd_queue_sync(v, &pasid, 1);
	return ret != 0 ? ret : vtd_queue_sync(v, &iotlb, 1);
}

static int protected_memory(const struct vtd *v, bool on)
{
	struct wait wait = deadline(v);
	uint32_t pmen;

	if (!(v->found.pmen & VTD_PMEN_EPM))
		return 0;
	pmen = v->found.pmen & ~(VTD_PMEN_EPM | VTD_PMEN_PRS);
	vtd_write32(&v->w, VTD_PMEN, on ? pmen | VTD_PMEN_EPM : pmen);
	while (!!(vtd_read32(&v->w, VTD_PMEN) & VTD_PMEN_PRS) != on)
		if (!patience(v, &wait))
			return no_answer(v, "protected memory regions (PMEN)");
	return 0;
}

int vtd_bring_up(struct vtd *v)
{
	int ret = v->conf.before_writing != NULL ? v->conf.before_writing(v->conf.ctx) : 0;

	if (ret != 0)
		return ret;
	v->touched = true;
	ret = quiesce(v);
	if (ret == 0)
		ret = advanced_fault_log(v, false);
	if (ret != 0)
		return ret;
	/* Faults and completions are polled, so mask their interrupts. */
	vtd_write32(&v->w, VTD_FECTL, v->found.fectl | VTD_FECTL_IM);
	vtd_write32(&v->w, VTD_IECTL, v->found.iectl | VTD_IECTL_IM);
	vtd_faults_clear(v);
	ret = set_root_table(v);
	if (ret == 0)
		ret = invalidate_by_registers(v);
	if (ret == 0)
		ret = queue_on(v);
	if (ret == 0)
		ret = prove_queue(v);
	if (ret == 0)
		ret = vtd_flush_write_buffer(&v->unit);
	if (ret == 0)
		ret = vtd_intr_on(v);
	if (ret == 0)
		ret = vtd_command(v, VTD_GCMD_TE, true, "translation on (TE)");
	if (ret == 0)
		ret = protected_memory(v, false); /* the tables protect memory now */
	return ret;
}

int vtd_take_down(struct vtd *v)
{
	/* Translation is switched off even if PMEN does not answer. */
	int pmen = protected_memory(v, true), off = quiesce(v);

	/* A unit that was taken over stays off: the tables that it had may have been overwritten.
	 * IQA must not change while the queue is on. */
	if (off == 0) {
		vtd_intr_restore(v);
		vtd_write64(&v->w, VTD_RTADDR, v->found.rtaddr);
		vtd_write64(&v->w, VTD_IQA, v->found.iqa);
	}
	vtd_write32(&v->w, VTD_FECTL, v->found.fectl & ~VTD_FECTL_IP);
	vtd_write32(&v->w, VTD_IECTL, v->found.iectl);
	if (pmen == 0 && off == 0)
		advanced_fault_log(v, true);
	return off;
}
