/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <rte_log.h>

#include "vtd_impl.h"

static struct moat_qi_desc *ring(const struct vtd *v)
{
	return (struct moat_qi_desc *)(v->mem_va + VTD_MEM_QUEUE);
}

static uint32_t ring_size(const struct vtd *v)
{
	return 256u << v->conf.qi_order;
}

static uint32_t head_index(const struct vtd *v)
{
	return (vtd_read64(&v->w, VTD_IQH) & VTD_IQH_QH) / sizeof(struct moat_qi_desc);
}

static int give_up(struct vtd *v, const char *what, uint32_t i)
{
	const struct moat_qi_desc *d = &ring(v)[i];

	atomic_store_explicit(&v->dead, true, memory_order_relaxed); /* see poll() */
	return moat_error(-EIO, "unit %s: %s at index %" PRIu32 " (0x%016" PRIx64 " 0x%016" PRIx64
		"): the invalidation queue is dead", v->unit.name, what, i, d->hi, d->lo);
}

/**
 * IQE: the unit stands at a descriptor that it does not understand, and fetches no more until IQE
 * is cleared ("Invalidation Queue Error"). The batch that holds it fails; a global IOTLB
 * invalidation takes its place, which every unit understands, so that the queue moves on and the
 * waits behind it complete.
 */
static int invalidation_queue_error(struct vtd *v)
{
	uint32_t i = head_index(v);
	struct moat_qi_desc *d = &ring(v)[i];
	const struct moat_qi_desc harmless = moat_qi_iotlb_global();
	int ret;

	atomic_fetch_add_explicit(&v->iqe, 1, memory_order_relaxed); /* counter */
	if (i >= ring_size(v) || (d->lo == harmless.lo && d->hi == harmless.hi))
		return give_up(v, "a sound descriptor was refused", i % ring_size(v));
	ret = moat_qi_fail_at(v->unit.qi, i, -EIO);
	if (ret != 0)
		return give_up(v, "a descriptor of no batch was refused", i);
	*d = harmless; /* nobody else writes it: its batch is in flight, and the unit stands still */
	vtd_write32(&v->w, VTD_FSTS, VTD_FSTS_IQE);
	vtd_queue_wake(v);
	return 0;
}

int vtd_recover(struct vtd *v, uint32_t fsts)
{
	int ret = 0;

	if (fsts & VTD_FSTS_ICE) {
		/* An answer of a device that nobody asked for: nothing waits for it. */
		atomic_fetch_add_explicit(&v->ice, 1, memory_order_relaxed); /* counter */
		vtd_write32(&v->w, VTD_FSTS, VTD_FSTS_ICE);
	}
	if (fsts & VTD_FSTS_IQE)
		ret = invalidation_queue_error(v);
	return ret;
}
