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
 * Buffers are handed out in the pool's order, whatever the order in which they came back: a burst is
 * neighbours as far as there are any, is freed as neighbours, and is unmapped by one descriptor.
 * Everything is kept and moved in runs of neighbours.
 */

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** The name that drivers/mempool registers its ops under. */
#define MOAT_MEMPOOL_OPS "moat"

/** A run of neighbouring buffers that waits for its ticket. */
struct moat_quarantined {
	uint32_t first, n;
	moat_ticket_t ticket; /* of the lane of the lcore that holds it */
};

struct moat_pool_lcore;

struct moat_pool {
	struct moat_tenant *tenant;
	struct rte_mempool *mp;
	uint8_t *va;            /* of buffer 0 */
	uint64_t iova;          /* of buffer 0 */
	uint32_t stride;        /* bytes from one buffer to the next: whole pages */
	uint32_t n;             /* buffers */
	uint32_t run_max;       /* buffers that are mapped in one go at most */
	bool ready;             /* the mbufs are initialised: what is put back is a buffer */
	void **obj;             /* headers by number of the buffer */
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

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_POOL_H */
