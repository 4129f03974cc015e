/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include "vtd_impl.h"

/*
 * lib/qi rings a queue's doorbell from one thread at a time, but recovery has to write IQT, too: it
 * repeats the last tail, to wake units that sleep until then. If recovery repeated a tail that
 * another thread has just replaced, the unit would see IQT go backwards and take the whole ring for
 * new work. The lock prevents that; only recovery contends for it.
 */
void vtd_iq_ring(struct vtd *v, uint64_t tail)
{
	moat_spin_lock(&v->tail_lock);
	v->tail = tail;
	vtd_write64(&v->w, VTD_IQT, tail);
	moat_spin_unlock(&v->tail_lock);
}

void vtd_iq_wake(struct vtd *v)
{
	moat_spin_lock(&v->tail_lock);
	vtd_write64(&v->w, VTD_IQT, v->tail);
	moat_spin_unlock(&v->tail_lock);
}

uint64_t vtd_iq_head(const struct vtd *v)
{
	return vtd_read64(&v->w, VTD_IQH) & VTD_IQH_QH;
}
