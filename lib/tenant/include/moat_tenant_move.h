/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_MOVE_H
#define MOAT_TENANT_MOVE_H

/**
 * @file
 * Moving a live queue from one tenant to another. The port runs on, and so do its other queues.
 *
 * The call draws a line through the queue's frames. What the port had taken for the queue before
 * the line is the old tenant's: it is received into the old tenant's buffers and handed to
 * `deliver`, in order. What the port takes after the line is the new tenant's. It waits in the
 * port, or in front of it, until the queue has the new tenant's rings. That time is the gap.
 *
 *	before    the new tenant's rings are mapped, the receive ring is filled from its pool
 *	the gap   the line: frames in front of it, and packets that mode pipelined holds back, go to
 *	          `deliver`; what is posted to be sent is sent, its buffers come back
 *	          the device stops on this queue; the new tenant's callbacks are put on
 *	          the requester (source-id, or source-id and PASID) leaves the old domain, and the
 *	          unit has completed the invalidation of every cache that knew it
 *	          the requester enters the new domain; the rings are exchanged; the device goes on
 *	after     the old tenant's callbacks go; the buffers that were posted are quarantined in
 *	          their pool; its rings are unmapped and freed
 *
 * It is all or nothing: after an error the queue is the old tenant's and goes on, with the frames
 * that waited. Only where the unit does not answer while the requester changes domains may the
 * queue be cut off: it is the old tenant's then, the unit refuses its DMA, and moat_error_text()
 * says so.
 *
 * What stays as it is:
 *  - the port's steering. Rules that are to change with the queue (rte_flow) are changed by the
 *    program: those for the old tenant's frames before the call, those for the new one's after it;
 *  - the port's counters of the queue;
 *  - packets that the application has, clones included. They are the old tenant's: its other queues
 *    send them, on this one they are foreign now, so send them before or in `deliver`;
 *  - faults that the unit recorded and moat_tenant_faults() has not fetched: they will count for
 *    the new tenant.
 * An interrupt of the queue must be ended first: the port's MSI, moat_tenant_interrupt_end().
 *
 * Ports: net_moat with `requesters=pasid` or `requesters=queue`, and others whose driver has
 * moat_device_moves().
 */

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct moat_queue_move {
	/* of the new tenant: where the queue receives into from then on */
	struct rte_mempool *pool;
	/* Gets the old tenant's last packets, at most 32 in one call, on the calling lcore. It may
	 * send them on the same queue. It must not receive from it. */
	void (*deliver)(struct rte_mbuf *pkts[], uint16_t n, void *arg);
	void *arg;
	uint64_t gap;       /* set: TSC cycles in which the queue took no frame */
	uint32_t delivered; /* set: packets that `deliver` got */
};

/**
 * Move a queue, its receive and its transmit side.
 *
 * @param from the tenant that has it
 * @param to the tenant that gets it, on the same unit
 * @param port as ethdev numbers it; the port runs
 * @param queue the port's
 * @param move what to do with packets; `gap` and `delivered` are set, after an error, too
 * @return 0
 * @return -EINVAL: a NULL, one tenant twice, a pool that is not `to`'s, a queue that is not
 *   started, or the calling lcore has not entered both tenants
 * @return -EPERM: another lcore polls the queue, to receive or to send
 * @return -ENOENT: `from` has no such queue, or its requester is not attached to it
 * @return -EEXIST: `to` has the queue already
 * @return -EXDEV: `to` is not on the unit that the queue is behind
 * @return -ENOTSUP: another queue has the same requester, or the port's driver cannot do it
 * @return -EBUSY: the queue has an interrupt; or `from` keeps interrupts of the queue's function,
 *   which `to` could raise by the queue (moat_interrupt.h)
 * @return -ENOSPC: `to` has as many queues as it can
 * @return -ENOMEM: no room for rings or buffers in `to`
 * @return -ETIMEDOUT: the unit does not answer, no buffer of `from`'s is free to receive what waits
 *   in the port, or the wire does not take what is posted
 * @return another error of the unit's
 *
 * moat_error_text() has the sentence. Of the lcore that polls the queue's receive and transmit
 * side, which has entered both tenants, is online in both, and holds no translation of these or of
 * any other domain whose lane it has: it reports quiescent states for all of them while it waits.
 * Several lcores may move queues of the same tenants at once. Control path: it waits.
 */
int moat_tenant_queue_move(struct moat_tenant *from, struct moat_tenant *to, uint16_t port,
	uint16_t queue, struct moat_queue_move *move);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_TENANT_MOVE_H */
