/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * The device's side: guards, translation of bursts, reads and writes.
 */
#include <sys/mman.h>

#include "moat_softvtd_intr.h"
#include "softvtd.h"

/* Neighbouring functions and queues get different shards. */
static struct sv_shard *shard_of(struct moat_softvtd *sv, moat_sid_t sid, unsigned int agent)
{
	return &sv->shards[(sid + (sid >> 8) + agent * 5) & (sv->conf.shards - 1u)];
}

void moat_softvtd_dma_begin_pasid(struct moat_softvtd *sv, moat_sid_t sid, uint32_t pasid,
	unsigned int agent, enum moat_prot prot, struct moat_softvtd_guard *guard)
{
	*guard = (struct moat_softvtd_guard){
		.sv = sv,
		.shard = shard_of(sv, sid, agent),
		.sid = sid,
		.pasid = pasid,
		.prot = prot,
	};
	if (!sv->conf.threaded)
		moat_softvtd_poll(sv);
}

void moat_softvtd_dma_begin(struct moat_softvtd *sv, moat_sid_t sid, unsigned int agent,
	enum moat_prot prot, struct moat_softvtd_guard *guard)
{
	moat_softvtd_dma_begin_pasid(sv, sid, MOAT_PASID_NONE, agent, prot, guard);
}

/* Under the shard's lock, before a translation is handed out: from here on drains wait for the
 * guard. */
void sv_guard_join(struct moat_softvtd_guard *guard, unsigned int directions)
{
	struct sv_shard *shard = guard->shard;

	for (unsigned int d = 0; d < 2; d++) {
		struct sv_drain *drain = &shard->drain[d];

		if ((directions & ~guard->active) >> d & 1) {
			guard->phase[d] = drain->phase;
			/* relaxed: the lock orders this before any drain that must wait for it */
			atomic_fetch_add_explicit(&drain->active[drain->phase], 1,
				memory_order_relaxed);
		}
	}
	guard->active |= directions;
}

void moat_softvtd_dma_end(struct moat_softvtd_guard *guard)
{
	struct sv_shard *shard = guard->shard;

	for (unsigned int d = 0; d < 2; d++) {
		/* release: the accesses under the guard come before a drain finds 0 (struct
		 * sv_drain) */
		if (guard->active >> d & 1)
			atomic_fetch_sub_explicit(&shard->drain[d].active[guard->phase[d]], 1,
				memory_order_release);
	}
	guard->active = 0;
}

/* ------------------------------------------------------------------------------ translating */

/* Is there memory at an address that was not translated? If not, the request ends in a master
 * abort. This makes a system call: where speed matters, devices are translated. */
static bool answers(uint64_t hpa)
{
	unsigned char resident;

	return mincore((void *)(uintptr_t)(hpa & ~MOAT_PAGE_MASK), MOAT_PAGE_SIZE, &resident) == 0;
}

/* Translate one request, with the shard locked. */
static uint8_t request(struct moat_softvtd_guard *guard, struct sv_request *rq)
{
	struct moat_softvtd *sv = guard->sv;
	uint8_t reason;

	sv_guard_join(guard, guard->prot | rq->prot);
	reason = sv_translate(sv, guard->shard, rq);
	if (reason == 0 && rq->watched)
		sv_oracle_check(sv->oracle, rq);
	if (reason == 0 &&
		(unlikely(!sv_reachable(sv, rq->hpa)) ||
			(unlikely(rq->passed) && !answers(rq->hpa))))
		return MOAT_SOFTVTD_NO_MEMORY;
	return reason;
}

/* Translate as many contiguous bytes as there are. @return the fault reason that ended the run, or
 * 0 */
static uint8_t translate_run(struct moat_softvtd_guard *guard, struct moat_softvtd_dma *dma,
	struct sv_request *rq)
{
	uint64_t end = dma->iova + dma->len;
	uint64_t iova = dma->iova;
	uint64_t hpa = 0;

	do {
		rq->iova = iova;
		rq->zero_length = dma->len == 0;
		uint8_t reason = request(guard, rq);

		if (reason != 0)
			return reason;
		if (dma->va == NULL)
			dma->va = (void *)(uintptr_t)rq->hpa;
		else if (rq->hpa != hpa)
			return 0;
		/* page by page even in a superpage, because the oracle watches pages */
		iova = RTE_MIN((iova | MOAT_PAGE_MASK) + 1, end);
		hpa = rq->hpa + (iova - rq->iova);
		dma->run = iova - dma->iova;
	} while (iova < end);
	return 0;
}

static unsigned int burst(struct moat_softvtd_guard *guard, struct moat_softvtd_dma dma[],
	unsigned int n)
{
	struct sv_shard *shard = guard->shard;
	struct sv_request rq = { .sid = guard->sid, .pasid = guard->pasid };
	unsigned int whole = 0;

	moat_spin_lock(&shard->lock);
	for (unsigned int i = 0; i < n; i++) {
		dma[i].va = NULL;
		dma[i].run = 0;
		rq.prot = dma[i].prot;
		dma[i].reason = translate_run(guard, &dma[i], &rq);
		if (unlikely(dma[i].reason != 0)) {
			/* lock order: the fault log's lock comes after a shard's */
			sv_fault_record(guard->sv, &rq, dma[i].reason);
		}
		whole += dma[i].va != NULL && dma[i].run == dma[i].len;
	}
	moat_spin_unlock(&shard->lock);
	return whole;
}

unsigned int moat_softvtd_dma_burst(struct moat_softvtd_guard *guard, struct moat_softvtd_dma dma[],
	unsigned int n)
{
	struct moat_cost_device t = moat_cost_device_enter();
	unsigned int whole = burst(guard, dma, n);

	sv_deliver(guard->sv);
	moat_cost_device_leave(t);
	return whole;
}

void *moat_softvtd_dma_map(struct moat_softvtd_guard *guard, uint64_t iova, uint32_t len,
	enum moat_prot prot)
{
	struct moat_softvtd_dma dma = { .iova = iova, .len = len, .prot = prot };

	return moat_softvtd_dma_burst(guard, &dma, 1) == 1 ? dma.va : NULL;
}

int moat_softvtd_request(struct moat_softvtd_guard *guard, enum moat_softvtd_at at, uint64_t iova,
	enum moat_prot prot, bool zero_length, void **va)
{
	struct moat_cost_device t = moat_cost_device_enter();
	struct sv_shard *shard = guard->shard;
	struct sv_request rq = { .sid = guard->sid,
		.pasid = guard->pasid,
		.prot = prot,
		.at = at,
		.iova = iova,
		.zero_length = zero_length };
	uint8_t reason;

	moat_spin_lock(&shard->lock);
	reason = request(guard, &rq);
	moat_spin_unlock(&shard->lock);
	if (reason != 0)
		sv_fault_record(guard->sv, &rq, reason);
	else
		*va = (void *)(uintptr_t)rq.hpa;
	sv_deliver(guard->sv);
	moat_cost_device_leave(t);
	return reason;
}

/* ------------------------------------------------------------------------- reads and writes */

static int transfer(struct moat_softvtd *sv, moat_sid_t sid, uint32_t pasid, uint64_t iova,
	void *to, const void *from, size_t len, enum moat_prot prot)
{
	struct moat_softvtd_guard guard;
	struct moat_softvtd_dma dma = { .prot = prot };
	size_t done = 0;

	moat_softvtd_dma_begin_pasid(sv, sid, pasid, 0, prot, &guard);
	do {
		dma.iova = iova + done;
		dma.len = RTE_MIN(len - done, MOAT_PAGE_SIZE - (dma.iova & MOAT_PAGE_MASK));
		if (burst(&guard, &dma, 1) == 0)
			break;
		if (dma.len == 0)
			break; /* a zero-length read transfers nothing */
		if (prot == MOAT_W)
			memcpy(dma.va, (const char *)from + done, dma.len);
		else
			memcpy((char *)to + done, dma.va, dma.len);
		done += dma.len;
	} while (done < len);
	moat_softvtd_dma_end(&guard);
	return dma.reason;
}

int moat_softvtd_dma_read_pasid(struct moat_softvtd *sv, moat_sid_t sid, uint32_t pasid,
	uint64_t iova, void *buf, size_t len)
{
	struct moat_cost_device t = moat_cost_device_enter();
	int reason = transfer(sv, sid, pasid, iova, buf, NULL, len, MOAT_R);

	sv_deliver(sv);
	moat_cost_device_leave(t);
	return reason;
}

int moat_softvtd_dma_write_pasid(struct moat_softvtd *sv, moat_sid_t sid, uint32_t pasid,
	uint64_t iova, const void *buf, size_t len)
{
	struct moat_cost_device t = moat_cost_device_enter();
	int reason = transfer(sv, sid, pasid, iova, NULL, buf, len, MOAT_W);

	sv_deliver(sv);
	moat_cost_device_leave(t);
	return reason;
}

int moat_softvtd_dma_read(struct moat_softvtd *sv, moat_sid_t sid, uint64_t iova, void *buf,
	size_t len)
{
	return moat_softvtd_dma_read_pasid(sv, sid, MOAT_PASID_NONE, iova, buf, len);
}

int moat_softvtd_dma_write(struct moat_softvtd *sv, moat_sid_t sid, uint64_t iova, const void *buf,
	size_t len)
{
	if (len == 4 && iova % 4 == 0 && sv_interrupt_range(iova)) {
		uint32_t data;

		memcpy(&data, buf, sizeof(data));
		return moat_softvtd_interrupt(sv, sid, iova, data);
	}
	return moat_softvtd_dma_write_pasid(sv, sid, MOAT_PASID_NONE, iova, buf, len);
}
