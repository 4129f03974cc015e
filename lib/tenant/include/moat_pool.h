/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_POOL_H
#define MOAT_POOL_H

/**
 * @file
 * A pool of packet buffers that are mapped and unmapped as their owner changes.
 *
 * A buffer is one or more whole pages, at an IOVA that it keeps for life. Buffer i + 1 lies behind
 * buffer i, in virtual memory and in IOVA. Its mbuf header lies elsewhere, out of the device's
 * reach. drivers/mempool maps a buffer when the pool hands it out, and unmaps it when it comes
 * back. A buffer that came back is quarantined until the ticket of its unmap is done. Only then can
 * it be handed out again. doc/buffer.md has the states.
 *
 * The pool keeps and moves buffers in runs of neighbours. It hands them out in the order of their
 * IOVAs, not in the order in which they came back. So most buffers of a burst are neighbours, and
 * one descriptor unmaps them.
 *
 * Each lcore that has entered has a part of the pool: the buffers that it freed. The lcore's gets
 * are served from its part first. An lcore whose part has too few takes ready buffers from other
 * parts. Threads that are not lcores, or have not entered, share one part.
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
 * Put buffers back: the enqueue side of the ops (see drivers/mempool). Buffers that the device may
 * still reach are unmapped and quarantined. A buffer that is in the pool already is ignored; the
 * first time in a tenant this is logged.
 *
 * @param pool the pool to which the buffers belong
 * @param objs the mbufs of `n` buffers; there must be no other reference to any of the buffers
 * @param n number of buffers
 * @return 0
 * @return -ENOMEM: nothing was put, because there is no memory or lane for the state that threads
 *   share which have not entered. Only possible after a moat_tenant_destroy() that failed: else the
 *   state exists
 *
 * Thread-safe. Data path.
 */
int moat_pool_put(struct moat_pool *pool, void *const objs[], unsigned int n);

/**
 * Get buffers: the dequeue side of the ops. Takes `n` ready buffers and maps them for the device to
 * write, with two exceptions. If every queue of the tenant belongs to a driver that declared
 * moat_device_tells(), a call that is not a refill is the application's, and its buffers stay
 * unmapped until they are sent. If the tenant has no queue, the buffers stay unmapped until they
 * are sent, or until moat_tenant_queue_add() adds a queue of a driver without that declaration.
 *
 * @param pool the pool
 * @param objs receives the mbufs
 * @param n number of buffers
 * @return 0
 * @return -ENOBUFS: fewer than `n` are ready, or one could not be mapped; nothing was taken
 *
 * Thread-safe. Data path.
 */
int moat_pool_get(struct moat_pool *pool, void *objs[], unsigned int n);

/**
 * Get buffers for a driver's refill. A driver calls this in place of rte_mempool_get_bulk(), for
 * any pool, a tenant's or not. A driver that always refills by this call declares that with
 * moat_device_tells().
 *
 * @param mp the pool
 * @param objs receives the mbufs
 * @param n number of buffers
 * @return as rte_mempool_get_bulk()
 *
 * Thread-safe. Data path.
 */
int moat_pool_refill(struct rte_mempool *mp, void *objs[], unsigned int n);

/**
 * The number of buffers in the pool, ready or quarantined.
 *
 * @param pool the pool
 * @return the number; a buffer that is put or taken during the call may be counted or not
 *
 * Thread-safe. Control path.
 */
unsigned int moat_pool_count(const struct moat_pool *pool);

/**
 * The number of quarantined buffers.
 *
 * @param pool the pool
 * @return the number; a buffer that is put or released during the call may be counted or not
 *
 * Thread-safe. Control path.
 */
unsigned int moat_pool_quarantined(const struct moat_pool *pool);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_POOL_H */
