/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_MOVE_H
#define MOAT_TENANT_MOVE_H

/**
 * @file
 * Moving a live queue from one tenant to another. The port runs on, and so do its other queues.
 *
 * The call separates old frames from new ones. Frames that the port has taken for the queue before
 * that moment belong to the old tenant: they are received into the old tenant's buffers and handed
 * to `deliver`, in order. Later frames belong to the new tenant. They wait in the port, or in front
 * of it, until the queue has the new tenant's rings. That time is the gap.
 *
 *	before    the new tenant's rings are mapped, the receive ring is filled from its pool
 *	the gap   old frames, and packets that mode pipelined holds back, go to `deliver`; packets
 *	          in the transmit ring are sent, and their buffers come back
 *	          the device stops on this queue; the new tenant's callbacks are put on
 *	          the requester (source-id, or source-id and PASID) leaves the old domain, and the
 *	          unit completes the invalidation of every cache that may hold entries for it
 *	          the requester enters the new domain; the rings are exchanged; the device goes on
 *	after     the old tenant's callbacks are removed; its unused receive buffers are quarantined
 *	          in their pool; its rings are unmapped and freed
 *
 * The move succeeds as a whole or not at all: after an error the old tenant still has the queue,
 * which goes on with the frames that waited. There is one exception. If the unit does not answer
 * while the requester changes domains, the queue may be cut off: the old tenant has it, but the
 * unit refuses its DMA. moat_error_text() then tells that the queue cannot reach its memory.
 *
 * The call does not change:
 *  - the port's steering. If rules (rte_flow) are to change with the queue, the program must change
 *    those for the old tenant's frames before the call, and those for the new tenant's after it;
 *  - the port's counters of the queue;
 *  - packets that the application has, clones included. They still belong to the old tenant. Its
 *    other queues can send them; on this queue they are foreign after the call. So send them before
 *    the call, or in `deliver`;
 *  - faults that the unit has recorded and moat_tenant_faults() has not read: these will be counted
 *    for the new tenant.
 *
 * If the queue has an interrupt, the program must end it first (moat_tenant_interrupt_end()).
 *
 * Queues of these ports can be moved: net_moat with `requesters=pasid` or `requesters=queue`, and
 * others whose driver has called moat_device_moves().
 */

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct moat_queue_move {
	/* pool of the new tenant, into which the queue receives after the move */
	struct rte_mempool *pool;
	/* Called on the calling lcore with the old tenant's last packets, at most 32 in one call.
	 * The function may send them on the same queue. It must not receive from the queue. */
	void (*deliver)(struct rte_mbuf *pkts[], uint16_t n, void *arg);
	void *arg;          /* given to `deliver` */
	uint64_t gap;       /* set by the move: TSC cycles during which new frames waited */
	uint32_t delivered; /* set by the move: number of packets that `deliver` got */
};

/**
 * Move a queue, its receive and its transmit side.
 *
 * @param from the tenant that has the queue
 * @param to the tenant that gets the queue, on the same unit
 * @param port as ethdev numbers it; the port must be started
 * @param queue the port's queue
 * @param move `pool` and `deliver` must be set; `gap` and `delivered` are set by the call, also
 *   when it fails
 * @return 0
 * @return -EINVAL: a NULL, `from` and `to` are the same tenant, the pool is not `to`'s, the queue
 *   is not started, or the calling lcore has not entered both tenants
 * @return -EPERM: another lcore polls the queue's receive or transmit side
 * @return -ENOENT: `from` has no such queue, or the queue's requester is not attached to `from`
 * @return -EEXIST: `to` has the queue already
 * @return -EXDEV: the queue is behind a unit on which `to` is not
 * @return -ENOTSUP: another queue has the same requester, or the port's driver cannot move queues
 * @return -EBUSY: the queue has an interrupt; or `from` has interrupts of the queue's function,
 *   which the queue's device could raise after the move (moat_interrupt.h)
 * @return -ENOSPC: `to` has as many queues as it can
 * @return -ENOMEM: no room for rings or buffers in `to`
 * @return -ETIMEDOUT: the unit does not answer, `from` has no free buffer for frames that wait in
 *   the port, or the packets in the transmit ring cannot be sent
 * @return another error of the unit's
 *
 * moat_error_text() has the sentence. Only the lcore that polls the queue's receive and transmit
 * side may call this. It must have entered both tenants, and be online in both. It must hold no
 * translation of any domain in which it has a lane, because it reports quiescent states for all of
 * them while it waits. Several lcores may move queues of the same tenants at once. Control path: it
 * waits.
 */
int moat_tenant_queue_move(struct moat_tenant *from, struct moat_tenant *to, uint16_t port,
	uint16_t queue, struct moat_queue_move *move);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_TENANT_MOVE_H */
