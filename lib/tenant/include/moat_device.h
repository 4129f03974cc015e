/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_DEVICE_H
#define MOAT_DEVICE_H

/**
 * @file
 * Memory other than packet buffers that a tenant's device reaches: rings, and memory that a PMD
 * reserves while it probes.
 *
 * A PMD reserves such memory as memzones. moat must see each memzone when it is reserved and when
 * it is freed, for two reasons. A ring needs whole pages to itself, because protection is per page
 * and DPDK's heap keeps its bookkeeping in front of each memzone. And a freed ring must be
 * unmapped, and the ticket of that unmap must be done, before the heap reuses the memory. So
 * drivers/memzone defines rte_memzone_reserve(), _aligned(), _bounded() and rte_memzone_free(),
 * which call DPDK's:
 *  - A memzone on a tenant's socket gets whole pages. They are mapped before the caller gets the
 *    memzone. A ring of an ethdev queue (rte_eth_dma_zone_reserve()) is mapped later, when the
 *    queue is added to the tenant. Mempools and rte_rings on a tenant's socket are never mapped.
 *  - While moat_tenant_probe() runs, memory with contiguous IOVAs comes from the tenant's heap,
 *    whatever socket the PMD asks for, because the devices of iavf, i40e, ice and ena do DMA while
 *    their PMD probes.
 *  - rte_memzone_free() first unmaps the memory and waits for the ticket. The call fails within a
 *    second, logs why and frees nothing if the unit does not answer or an lcore that has entered
 *    the tenant does not poll.
 *
 * These definitions must be in the program itself, because the dynamic linker looks there first for
 * calls that a library makes. `pkg-config --libs moat` links libmoat_memzone.a into the program as
 * a whole. A program that is linked with librte_mempool_moat.so before DPDK's libraries has them,
 * too. In any other program moat_tenant_create() logs a warning. Rings of net_moat are safe even
 * then. With other PMDs a ring that has whole pages to itself is mapped; moat_tenant_queue_add()
 * refuses any other; and a freed ring stays mapped until the next moat_tenant_queue_add() or
 * _remove().
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
 * @return a negative errno of rte_dev_probe(): no driver takes the device; moat_error_text() has
 *   the sentence
 *
 * Thread-safe; one thread at a time for a device. Control path.
 */
int moat_tenant_probe(struct moat_tenant *tenant, const char *device);

/**
 * Set a function that is called before a tenant is destroyed, while the tenant can still be used.
 * It is for code that lists tenants, such as lib/telemetry. A second call replaces the function.
 *
 * @param gone the function; NULL: none
 *
 * Thread-safe. Control path.
 */
void moat_tenant_at_destroy(void (*gone)(struct moat_tenant *tenant));

/** rte_memzone_reserve_bounded() and rte_memzone_free(), as drivers/memzone has them from DPDK. */
typedef const struct rte_memzone *(*moat_reserve_t)(const char *name, size_t len, int socket,
	unsigned int flags, unsigned int align, unsigned int bound);
typedef int (*moat_free_t)(const struct rte_memzone *zone);

/**
 * Reserve a memzone: for a tenant's device from the tenant's heap, otherwise as DPDK does. For
 * definitions of rte_memzone_reserve*().
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
 * A driver declares that it gets its receive buffers by moat_pool_refill() only. If all queues of a
 * tenant belong to such ports, moat can tell a refill from an application's allocation, which no
 * device may reach. Such a driver must keep the flag RTE_MBUF_F_EXTERNAL of the buffers that it
 * receives into (with other drivers moat sets the flag again). The driver must call this before the
 * port's queues are added to a tenant, and again with `false` when the port is closed.
 *
 * @param port as ethdev numbers it
 * @param tells true: its driver refills by moat_pool_refill() only
 *
 * Thread-safe. Control path.
 */
void moat_device_tells(uint16_t port, bool tells);

/**
 * Functions of a driver for moat_tenant_queue_move() (moat_tenant_move.h). Together they give one
 * queue of a running port other memory, and lose no frame meanwhile. Each is about the receive and
 * the transmit queue with one number. The lcore that polls these calls them, in this order:
 *
 *	requester, prepare, hold, left..., stop..., exchange, resume, discard
 *
 * Between `hold` and `stop` the queue is polled as usual. After an error, and at any time before
 * `exchange`, moat can undo: it calls `resume` (after `hold`) and `discard`, and then the queue
 * must be as it was.
 */
struct moat_move_ops {
	/** Get the queue's requester. @return 0; -ENOTSUP: other queues have the same requester
	 * (moat_error_text()) */
	int (*requester)(uint16_t port, uint16_t queue, moat_sid_t *sid, uint32_t *pasid);
	/** Make rings on `socket`, as long as the queue's own, and fill the receive ring with
	 * buffers of `pool`. The queue runs on. @return 0, or a negative errno with
	 * moat_error_text(): nothing was made */
	int (*prepare)(uint16_t port, uint16_t queue, int socket, struct rte_mempool *pool,
		void **memory);
	/** Separate old frames from new ones. The next polls receive frames that the port has taken
	 * for the queue until now; later frames wait, in the port or in front of it.
	 * @return 0; -EPERM: another lcore polls the queue; -EBUSY */
	int (*hold)(uint16_t port, uint16_t queue);
	/** @return number of old frames that have not been received yet */
	uint32_t (*left)(uint16_t port, uint16_t queue);
	/** Stop the device on this queue. @return 0: it has no descriptor left to send; -EAGAIN: it
	 * has sent what it could, and some are left; call again */
	int (*stop)(uint16_t port, uint16_t queue);
	/** Exchange the queue's rings and buffers for those in `memory`. The queue's rings are
	 * empty. */
	void (*exchange)(uint16_t port, uint16_t queue, void *memory);
	/** Start the device again, with the rings that the queue has now. */
	void (*resume)(uint16_t port, uint16_t queue);
	/** Give the buffers in `memory` back to their pool, and free its rings. */
	void (*discard)(uint16_t port, uint16_t queue, void *memory);
};

/**
 * A driver declares that its port's queues can be moved.
 * @param port the port; before its queues are added to a tenant
 * @param ops kept; NULL when the port is closed. Any thread; control path.
 */
void moat_device_moves(uint16_t port, const struct moat_move_ops *ops);

/** The requester of a queue's DMA: the unit that it goes through, and the source-id and PASID that
 * moat_tenant_attach() and moat_tenant_attach_pasid() take. */
struct moat_device_requester {
	char unit[32];        /* the unit's name */
	const char *unit_key; /* device argument that chooses the unit; a string never freed */
	moat_sid_t sid;
	uint32_t pasid; /* or MOAT_PASID_NONE */
};

/**
 * A driver's function that returns a queue's requester.
 *
 * @param port as ethdev numbers it
 * @param queue the port's
 * @param requester receives the answer
 * @return 0, or a negative errno: there is no such queue
 */
typedef int (
	*moat_requester_fn)(uint16_t port, uint16_t queue, struct moat_device_requester *requester);

/**
 * A driver declares the requesters of its port's queues. With them moat finds queues whose DMA
 * cannot reach the tenant's memory: moat_tenant_queue_add() refuses a queue behind a unit that the
 * tenant is not on, and moat_tenant_lcore_enter() logs a requester that is not attached. The driver
 * must call this before the port's queues are added to a tenant, and again with NULL when the port
 * is closed. A driver that does not know its requesters does not call this.
 *
 * @param port as ethdev numbers it
 * @param requester the driver's function; NULL: none any more
 *
 * Thread-safe. Control path.
 */
void moat_device_requesters(uint16_t port, moat_requester_fn requester);

/**
 * Map a memzone that holds a ring. For PMDs that must be safe in programs without moat's
 * rte_memzone_reserve*().
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
 * Check a queue that a driver is about to start: its rings, and the pool that it receives into,
 * must belong to the tenant that has the queue. moat_tenant_queue_add() has checked the queue once,
 * but the queue may have been set up again since.
 *
 * @param port as ethdev numbers it
 * @param queue the port's
 * @return 0: they do, or no tenant has the queue
 * @return -EINVAL: they do not, so the device would not reach them (moat_error_text())
 *
 * Thread-safe; must not be called from one of moat's callbacks. Control path.
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
