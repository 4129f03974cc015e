/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef NET_DMA_H
#define NET_DMA_H

/**
 * @file
 * The device half's only way to memory that is not its own: through the unit, under a requester's
 * source-id, and its PASID where queues have one.
 *
 * An *engine* is one queue's DMA in one direction. While its guard is open, memory that was
 * translated may be touched: the unit completes no invalidation that drains before the guard is
 * closed. A guard is opened for one burst and keeps no translation for the next one: what is
 * unmapped between two bursts must not be reached again.
 */

#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_memcpy.h>

#include "moat_net.h"
#include "moat_softvtd.h"

/** The unit and the requester of a queue's DMA. */
struct net_engine {
	struct moat_softvtd *unit;
	moat_sid_t sid;
	uint32_t pasid; /* or MOAT_PASID_NONE */
	uint16_t agent; /* number of the engine; see moat_softvtd_dma_begin() */
};

static inline void net_dma_begin(const struct net_engine *engine, struct moat_softvtd_guard *guard)
{
	moat_softvtd_dma_begin_pasid(engine->unit, engine->sid, engine->pasid, engine->agent,
		MOAT_RW, guard);
}

static inline void net_dma_end(struct moat_softvtd_guard *guard)
{
	moat_softvtd_dma_end(guard);
}

/** Translate the rest of an access whose first `run` bytes are done. @return false: refused. */
static inline bool net_dma_next(struct moat_softvtd_guard *guard, struct moat_softvtd_dma *dma)
{
	if (dma->reason != 0)
		return false;
	dma->iova += dma->run;
	dma->len -= dma->run;
	moat_softvtd_dma_burst(guard, dma, 1);
	return dma->va != NULL;
}

#endif /* NET_DMA_H */
