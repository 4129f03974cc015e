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
 * buffer decides what the device may do with it: drivers/mempool maps it when the pool hands it
 * out, and unmaps it when it comes back. A buffer that came back is quarantined until the ticket of
 * its unmap is done, whichever lcore unmapped it: only then can it be handed out again.
 * doc/buffer.md has the states.
 *
 * Buffers are handed out in the pool's order, whatever the order in which they came back: a burst
 * is neighbours as far as there are any, is freed as neighbours, and is unmapped by one descriptor.
 * Everything is kept and moved in runs of neighbours.
 *
 * Each lcore that has entered keeps the buffers that it freed, and gets them again. An lcore that
 * has too few takes ready ones of any other. Other threads share one such part.
 */

#include <rte_mbuf.h>

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** The name that drivers/mempool registers its ops under. */
#define MOAT_MEMPOOL_OPS "moat"

struct moat_pool;

/**
 * The enqueue side of the ops (see drivers/mempool): take what the device may still reach away from
 * it, and quarantine it. A buffer that is in the pool already is reported once and ignored.
 *
 * @param pool the pool that they are of
 * @param objs the mbufs of `n` buffers, each without another reference
 * @param n how many
 * @return 0
 *
 * Thread-safe. Data path.
 */
int moat_pool_put(struct moat_pool *pool, void *const objs[], unsigned int n);

/**
 * The dequeue side: take `n` ready buffers and map them for the device to write. Where every queue
 * of the tenant belongs to a driver that refills by moat_pool_refill(), what any other caller gets
 * is the application's, and stays unmapped until it is sent.
 *
 * @param pool the pool
 * @param objs receives the mbufs
 * @param n how many
 * @return 0
 * @return -ENOBUFS: fewer than `n` are ready, or one could not be mapped; nothing was taken
 *
 * Thread-safe. Data path.
 */
int moat_pool_get(struct moat_pool *pool, void *objs[], unsigned int n);

/**
 * rte_mempool_get_bulk() by a driver that gives the buffers to its device: from any pool, a
 * tenant's or not. A driver that always refills by this call says so for its ports with
 * moat_device_tells().
 *
 * @param mp the pool
 * @param objs receives the mbufs
 * @param n how many
 * @return as rte_mempool_get_bulk()
 *
 * Thread-safe. Data path.
 */
int moat_pool_refill(struct rte_mempool *mp, void *objs[], unsigned int n);

/**
 * Buffers in the pool: ready or quarantined.
 *
 * @param pool the pool
 * @return how many; a buffer that moves meanwhile is in or out
 *
 * Thread-safe. Control path.
 */
unsigned int moat_pool_count(const struct moat_pool *pool);

/**
 * Quarantined buffers only.
 *
 * @param pool the pool
 * @return how many; a buffer that moves meanwhile is in or out
 *
 * Thread-safe. Control path.
 */
unsigned int moat_pool_quarantined(const struct moat_pool *pool);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_POOL_H */
