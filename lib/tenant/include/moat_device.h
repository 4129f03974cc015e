/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_DEVICE_H
#define MOAT_DEVICE_H

/**
 * @file
 * Memory that a tenant's device uses by itself: rings, and what a PMD reserves while it probes.
 *
 * A PMD reserves such memory as memzones. moat must see each reservation and each end of one: a
 * ring needs pages of its own, because protection is per page and DPDK's heap keeps its bookkeeping
 * in front of each memzone; and a ring that is freed must be unmapped, its ticket done, before the
 * heap gives its memory to others. So drivers/memzone defines rte_memzone_reserve(), _aligned(),
 * _bounded() and rte_memzone_free(), and calls DPDK's behind them:
 *  - a memzone on a tenant's socket gets whole pages, which are mapped before the caller has it. A
 *    ring of an ethdev queue (rte_eth_dma_zone_reserve()) is mapped when the queue is added to the
 *    tenant. Mempools and rte_rings on a tenant's socket are never mapped;
 *  - while moat_tenant_probe() runs, memory with contiguous IOVAs comes from the tenant's heap,
 *    whatever socket the PMD asks for: iavf, i40e, ice and ena have the device do DMA while they
 *    probe;
 *  - rte_memzone_free() unmaps and waits for the ticket first. When the unit does not answer, or an
 *    lcore that has entered the tenant does not poll, it fails within a second, says so, and frees
 *    nothing.
 *
 * The program must carry these definitions, because a library's call goes to the program's first:
 * `pkg-config --libs moat` links libmoat_memzone.a into it, whole. A program that is linked with
 * librte_mempool_moat.so before DPDK's libraries has them, too. In any other, moat_tenant_create()
 * logs a warning. Then rings of net_moat are safe all the same; of other PMDs, a ring with a page
 * of its own is mapped, a ring without is refused by moat_tenant_queue_add(), and a ring that is
 * freed stays mapped until the next moat_tenant_queue_add() or _remove().
 */

#include <rte_memzone.h>

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * rte_dev_probe() of a device whose requester is attached to the tenant.
 *
 * @param tenant the tenant
 * @param device its name on its bus, such as "0000:01:10.0"
 * @return 0
 * @return -EINVAL: a NULL
 * @return a negative errno of rte_dev_probe()'s: no driver takes the device; moat_error_text() has
 *   the sentence
 *
 * Thread-safe; one thread at a time for a device. Control path.
 */
int moat_tenant_probe(struct moat_tenant *tenant, const char *device);

/**
 * Have `gone` called with each tenant that is about to be destroyed, while it still can be used.
 * For what shows tenants, such as lib/telemetry; there is one such function, the last one given.
 *
 * @param gone NULL: none
 *
 * Thread-safe. Control path.
 */
void moat_tenant_at_destroy(void (*gone)(struct moat_tenant *tenant));

/** rte_memzone_reserve_bounded() and rte_memzone_free(), as drivers/memzone has them from DPDK. */
typedef const struct rte_memzone *(*moat_reserve_t)(const char *name, size_t len, int socket,
	unsigned int flags, unsigned int align, unsigned int bound);
typedef int (*moat_free_t)(const struct rte_memzone *zone);

/**
 * Reserve a memzone: from DPDK, or, where it is a device's, from the heap of the device's tenant.
 * For definitions of rte_memzone_reserve*().
 *
 * @param reserve DPDK's function
 * @param name as rte_memzone_reserve_bounded() takes it
 * @param len as there
 * @param socket as there
 * @param flags as there
 * @param align as there
 * @param bound as there
 * @return the memzone
 * @return NULL: rte_errno says why; ENOMEM also where the memzone could not be mapped for the
 *   device
 *
 * Thread-safe. Control path.
 */
const struct rte_memzone *moat_device_reserve(moat_reserve_t reserve, const char *name, size_t len,
	int socket, unsigned int flags, unsigned int align, unsigned int bound);

/**
 * A driver says whether it gets its receive buffers by moat_pool_refill() only. Then a tenant whose
 * queues all belong to such ports can tell a refill from an application's allocation, which no
 * device may reach. Such a driver must keep RTE_MBUF_F_EXTERNAL of the buffers that it receives
 * into; with others moat sets it again. To be said before the port's queues are added to a
 * tenant, and taken back (`false`) when the port goes.
 *
 * @param port as ethdev numbers it
 * @param tells true: its driver refills by moat_pool_refill() only
 *
 * Thread-safe. Control path.
 */
void moat_device_tells(uint16_t port, bool tells);

/**
 * What a driver does for moat_tenant_queue_move() (moat_tenant_move.h): give one queue of a running
 * port other memory, and lose no frame meanwhile. Each function is about a receive and a transmit
 * queue of one number, and is called by the lcore that polls them, in this order:
 *
 *	requester, prepare, hold, left..., stop..., exchange, resume, discard
 *
 * Between `hold` and `stop` the queue is polled as ever. After any error, and at any time before
 * `exchange`: resume (if held), discard, and the queue is as it was.
 */
struct moat_move_ops {
	/** Whose DMA the queue's is. @return 0; -ENOTSUP: other queues have the same requester
	 * (moat_error_text()) */
	int (*requester)(uint16_t port, uint16_t queue, moat_sid_t *sid, uint32_t *pasid);
	/** Rings on `socket`, as long as the queue's own, and all of the receive ring filled with
	 * buffers of `pool`. The queue goes on. @return 0, or a negative errno with
	 * moat_error_text(): nothing was made */
	int (*prepare)(uint16_t port, uint16_t queue, int socket, struct rte_mempool *pool,
		void **memory);
	/** The line between old frames and new: those that the port has taken for the queue until
	 * now are received by the next polls, and later ones wait, in the port or in front of it.
	 * @return 0; -EPERM: another lcore polls the queue; -EBUSY */
	int (*hold)(uint16_t port, uint16_t queue);
	/** Frames in front of the line that have not been received. */
	uint32_t (*left)(uint16_t port, uint16_t queue);
	/** Have the device send and receive no more. @return 0: it has no descriptor to send;
	 * -EAGAIN: some are left, nothing has changed but those that were sent just now */
	int (*stop)(uint16_t port, uint16_t queue);
	/** The queue's memory becomes `memory`'s and the other way round. Both rings are empty. */
	void (*exchange)(uint16_t port, uint16_t queue, void *memory);
	/** The device goes on, with the memory that the queue has now. */
	void (*resume)(uint16_t port, uint16_t queue);
	/** Give the buffers to their pool, and free the rings. */
	void (*discard)(uint16_t port, uint16_t queue, void *memory);
};

/**
 * A driver says that its port's queues can be moved.
 * @param port the port; before its queues are added to a tenant
 * @param ops kept; NULL when the port goes. Any thread; control path.
 */
void moat_device_moves(uint16_t port, const struct moat_move_ops *ops);

/** Whose DMA a queue's is: the unit that sees it, and what moat_tenant_attach() gets. */
struct moat_device_requester {
	char unit[32];        /* the unit's name */
	const char *unit_key; /* the device's argument that chooses the unit; static */
	moat_sid_t sid;
	uint32_t pasid; /* or MOAT_PASID_NONE */
};

/**
 * A driver's answer to that question.
 *
 * @param port as ethdev numbers it
 * @param queue the port's
 * @param requester receives the answer
 * @return 0, or a negative errno: there is no such queue
 */
typedef int (
	*moat_requester_fn)(uint16_t port, uint16_t queue, struct moat_device_requester *requester);

/**
 * A driver says whose DMA its port's queues are, so that a queue whose DMA cannot reach the
 * tenant's memory is found: moat_tenant_queue_add() refuses one behind a unit that the tenant is
 * not on, and moat_tenant_lcore_enter() logs a requester that is not attached. To be said before
 * the port's queues are added to a tenant, and taken back (NULL) when the port goes. A driver that
 * does not know does not call this.
 *
 * @param port as ethdev numbers it
 * @param requester the answer; NULL: none any more
 *
 * Thread-safe. Control path.
 */
void moat_device_requesters(uint16_t port, moat_requester_fn requester);

/**
 * Tell moat of a memzone that holds a ring. For PMDs that must be safe in programs that do not call
 * moat's rte_memzone_reserve*().
 *
 * @param zone whole pages, if it lies in a tenant's heap
 * @return 0: it is mapped, or was known already, or lies in no tenant's heap
 * @return -EINVAL: it is not whole pages
 * @return -ENOMEM
 * @return the unit's error
 *
 * moat_error_text() has the sentence. Thread-safe. Control path.
 */
int moat_device_map(const struct rte_memzone *zone);

/**
 * A driver starts a queue: are its rings, and the pool that it receives into, of the tenant that
 * has the queue? moat_tenant_queue_add() looks at a queue once, and the queue may have been set up
 * anew since.
 *
 * @param port as ethdev numbers it
 * @param queue the port's
 * @return 0: they are, or no tenant has the queue
 * @return -EINVAL: they are not, and the device would not reach them (moat_error_text())
 *
 * Thread-safe; the caller must not be called by moat. Control path.
 */
int moat_device_check(uint16_t port, uint16_t queue);

/**
 * Free a memzone; if a device reaches it, first unmap it and wait for the ticket.
 *
 * @param dpdks DPDK's function
 * @param zone the memzone
 * @return what DPDK's function returns
 * @return -ETIMEDOUT: an lcore that has entered the tenant does not poll, or the unit does not
 *   answer
 * @return -EIO: the unit failed
 *
 * After an error nothing has changed, and moat_tenant_destroy() frees the memzone. Thread-safe.
 * Control path.
 */
int moat_device_free(moat_free_t dpdks, const struct rte_memzone *zone);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_DEVICE_H */
