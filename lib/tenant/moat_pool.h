/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_POOL_H
#define MOAT_POOL_H

/**
 * @file
 * A pool of packet buffers whose pages follow their owner.
 *
 * A buffer is whole pages at an IOVA that it keeps for life; buffer i + 1 lies behind buffer i, in
 * virtual memory and in IOVA. Its mbuf header lies elsewhere, out of the device's reach. Who owns a
 * buffer decides what the device may do with it: drivers/mempool maps it when the pool hands it out,
 * and unmaps it when it comes back. What came back is quarantined, in order, until the ticket of
 * its unmap is done: only then can it be handed out again.
 *
 * Buffers go round in the order in which they came, first in, first out: a burst that was allocated
 * as neighbours is freed as neighbours and unmapped by one descriptor.
 */

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The name that drivers/mempool registers its ops under. */
#define MOAT_MEMPOOL_OPS "moat"

struct moat_quarantined {
	void *obj;
	moat_ticket_t ticket; /* of the lane of the lcore that holds it */
};

/** One lcore's buffers: ready ones, and quarantined ones in the order of their tickets. */
struct moat_pool_lcore {
	uint32_t stock_head, stock_tail; /* free-running; a ring of MOAT_POOL_STOCK */
	uint32_t head, tail;             /* free-running; a ring of quarantine_mask + 1 */
	uint32_t quarantine_mask;
	struct moat_quarantined *quarantine;
	void *stock[];
} __rte_cache_aligned;

#define MOAT_POOL_STOCK 1024u

struct moat_pool {
	struct moat_tenant *tenant;
	struct rte_mempool *mp;
	uint8_t *va;            /* of buffer 0 */
	uint64_t iova;          /* of buffer 0 */
	uint32_t stride;        /* bytes from one buffer to the next: whole pages */
	uint32_t n;             /* buffers */
	bool ready;             /* the mbufs are initialised: what is put back is a buffer */
	struct rte_ring *stock; /* shared by the lcores */
	struct moat_pool_lcore *lcores[RTE_MAX_LCORE];
};

/**
 * The ops' two sides (see drivers/mempool). Enqueue: unmap what the device may still reach,
 * quarantine it. Dequeue: take `n` ready buffers and map them for the device.
 * @return 0, or -ENOBUFS: fewer than `n` are ready; nothing was taken. Data path.
 */
int moat_pool_put(struct moat_pool *pool, void *const objs[], unsigned int n);
int moat_pool_get(struct moat_pool *pool, void *objs[], unsigned int n);
/** Buffers in the pool: ready or quarantined. */
unsigned int moat_pool_count(const struct moat_pool *pool);
/** Quarantined buffers only. */
unsigned int moat_pool_quarantined(const struct moat_pool *pool);
/** Release the calling lcore's buffers whose tickets are done. Data path. */
void moat_pool_release(struct moat_pool *pool, moat_ticket_t done);
/** The calling lcore stops polling: its ready buffers go to the shared stock. */
void moat_pool_leave(struct moat_pool *pool);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_POOL_H */
