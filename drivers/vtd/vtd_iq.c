/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include "vtd_impl.h"

/*
 * lib/qi rings for one queue from one thread at a time, but recovery has to write IQT, too: it
 * repeats the last tail, to wake units that sleep until then. Were it to repeat a tail that has
 * just been replaced, the unit would see IQT go backwards and take the whole ring for new work.
 * Hence the lock, which only recovery ever contends.
 */
static void tail_lock(struct vtd *v)
{
	/* T1, acquire: pairs with T2; sees the other thread's `tail` and comes after its write of
	 * IQT */
	while (atomic_flag_test_and_set_explicit(&v->tail_lock, memory_order_acquire))
		rte_pause();
}

static void tail_unlock(struct vtd *v)
{
	/* T2, release: pairs with T1 */
	atomic_flag_clear_explicit(&v->tail_lock, memory_order_release);
}

void vtd_iq_ring(struct vtd *v, uint64_t tail)
{
	tail_lock(v);
	v->tail = tail;
	vtd_write64(&v->w, VTD_IQT, tail);
	tail_unlock(v);
}

void vtd_iq_wake(struct vtd *v)
{
	tail_lock(v);
	vtd_write64(&v->w, VTD_IQT, v->tail);
	tail_unlock(v);
}

uint64_t vtd_iq_head(const struct vtd *v)
{
	return vtd_read64(&v->w, VTD_IQH) & VTD_IQH_QH;
}
