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
 * then. With other PMDs moat_tenant_queue_add() maps a ring that has whole pages to itself, and
 * refuses a queue whose ring has not. A freed ring then stays mapped until the next
 * moat_tenant_queue_add() or _remove().
 */

#include <rte_memzone.h>

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Probe a device, as rte_dev_probe() does, whose requester is attached to the tenant.
 *
 * @param tenant the tenant
 * @param device the device's name on its bus, such as "0000:01:10.0"
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

/** The types of DPDK's rte_memzone_reserve_bounded() and rte_memzone_free(), which drivers/memzone
 * passes on. */
typedef const struct rte_memzone *(*moat_reserve_t)(const char *name, size_t len, int socket,
	unsigned int flags, unsigned int align, unsigned int bound);
typedef int (*moat_free_t)(const struct rte_memzone *zone);

/**
 * Reserve a memzone: from the tenant's heap if it is for a tenant's device, otherwise as DPDK does.
 * Replacements of rte_memzone_reserve*() call this.
 *
 * @param reserve DPDK's function
 * @param name as in rte_memzone_reserve_bounded()
 * @param len as in rte_memzone_reserve_bounded(), bytes
 * @param socket as in rte_memzone_reserve_bounded()
 * @param flags as in rte_memzone_reserve_bounded()
 * @param align as in rte_memzone_reserve_bounded(), bytes
 * @param bound as in rte_memzone_reserve_bounded(), bytes
 * @return the memzone
 * @return NULL: rte_errno says why; it is ENOMEM also if the memzone could not be mapped for the
 *   device
 *
 * Thread-safe. Control path.
 */
const struct rte_memzone *moat_device_reserve(moat_reserve_t reserve, const char *name, size_t len,
	int socket, unsigned int flags, unsigned int align, unsigned int bound);

/**
 * Declare that a port's driver gets its receive buffers by moat_pool_refill() only. If all queues
 * of a tenant belong to such ports, moat can tell a refill from an application's allocation, which
 * no device may reach. Such a driver must keep the flag RTE_MBUF_F_EXTERNAL of the buffers that it
 * receives into (with other drivers moat sets the flag again). The driver must call this before the
 * port's queues are added to a tenant, and again with `false` when the port is closed.
 *
 * @param port as ethdev numbers it
 * @param tells true: the driver refills by moat_pool_refill() only
 *
 * Thread-safe. Control path.
 */
void moat_device_tells(uint16_t port, bool tells);

/**
 * Functions of a driver for moat_tenant_queue_move() (moat_tenant_move.h). Together they give one
 * queue of a running port other memory, and lose no frame meanwhile. `queue` stands for the receive
 * and the transmit queue with this number. The lcore that polls both calls the functions, in this
 * order:
 *
 *	requester, prepare, hold, left..., stop..., exchange, resume, discard
 *
 * Between `hold` and `stop` the queue is polled as usual. After an error, and at any time before
 * `exchange`, moat can undo the move: it calls `resume` (if `hold` succeeded) and `discard`. Then
 * the queue must have its previous rings and buffers, and run.
 */
struct moat_move_ops {
	/** Get the queue's requester. @return 0; -ENOTSUP: other queues have the same requester
	 * (moat_error_text()) */
	int (*requester)(uint16_t port, uint16_t queue, moat_sid_t *sid, uint32_t *pasid);
	/** Make rings on `socket`, as long as the queue's present ones, and fill the receive ring
	 * with buffers of `pool`. The queue runs on. @return 0, with the rings in `memory`; or a
	 * negative errno with moat_error_text(): nothing was made */
	int (*prepare)(uint16_t port, uint16_t queue, int socket, struct rte_mempool *pool,
		void **memory);
	/** Separate old frames from new ones. The next polls receive the frames that the port has
	 * taken for the queue until now; later frames wait, in the port or in front of it.
	 * @return 0; -EPERM: another lcore polls the queue; -EBUSY: the queue has an interrupt */
	int (*hold)(uint16_t port, uint16_t queue);
	/** @return number of old frames that have not been received yet */
	uint32_t (*left)(uint16_t port, uint16_t queue);
	/** Stop the device on this queue. @return 0: no packet is left in the transmit ring;
	 * -EAGAIN: the device could not send all of them yet; call again */
	int (*stop)(uint16_t port, uint16_t queue);
	/** Exchange the queue's rings and buffers for those in `memory`. No received frame and no
	 * packet to send is left in the queue's rings. */
	void (*exchange)(uint16_t port, uint16_t queue, void *memory);
	/** Start the device again, with the rings that the queue has now. */
	void (*resume)(uint16_t port, uint16_t queue);
	/** Give the buffers in `memory` back to their pool, and free its rings. */
	void (*discard)(uint16_t port, uint16_t queue, void *memory);
};

/**
 * Declare that a port's queues can be moved. The driver must call this before the port's queues are
 * added to a tenant, and again with NULL when the port is closed.
 *
 * @param port as ethdev numbers it
 * @param ops the driver's functions, not copied; NULL: none any more
 *
 * Thread-safe. Control path.
 */
void moat_device_moves(uint16_t port, const struct moat_move_ops *ops);

/** The requester of a queue's DMA: the unit that translates the DMA, and the source-id and PASID
 * that moat_tenant_attach() and moat_tenant_attach_pasid() take. */
struct moat_device_requester {
	char unit[32];        /* the unit's name */
	const char *unit_key; /* the device argument that chooses the unit; never freed */
	moat_sid_t sid;
	uint32_t pasid; /* or MOAT_PASID_NONE */
};

/**
 * A driver's function that returns a queue's requester.
 *
 * @param port as ethdev numbers it
 * @param queue the port's queue
 * @param requester receives the answer
 * @return 0, or a negative errno: there is no such queue
 */
typedef int (
	*moat_requester_fn)(uint16_t port, uint16_t queue, struct moat_device_requester *requester);

/**
 * Declare the requesters of a port's queues. With them moat finds queues whose DMA cannot reach the
 * tenant's memory: moat_tenant_queue_add() refuses a queue behind a unit that the tenant is not on,
 * and moat_tenant_lcore_enter() logs a requester that is not attached. The driver must call this
 * before the port's queues are added to a tenant, and again with NULL when the port is closed. A
 * driver that cannot name its requesters does not call this.
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
 * @param zone the memzone; if it lies in a tenant's heap, it must be whole pages
 * @return 0: the memzone is mapped, or will be when its queue is added, or is in no tenant's heap
 * @return -EINVAL: the memzone is not whole pages
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
 * @param queue the port's queue
 * @return 0: rings and pool belong to the tenant, or no tenant has the queue
 * @return -EINVAL: one does not, so that the device could not reach it (moat_error_text())
 *
 * Thread-safe; must not be called from one of moat's callbacks. Control path.
 */
int moat_device_check(uint16_t port, uint16_t queue);

/**
 * Free a memzone. If a device reaches the memzone, first unmap it and wait for the ticket.
 *
 * @param dpdks DPDK's function
 * @param zone the memzone
 * @return what DPDK's function returns; -EINVAL: the memzone is not reserved, for example because
 *   another thread has freed it meanwhile. No device reaches its memory
 * @return -ETIMEDOUT: an lcore that has entered the tenant does not poll, or the unit does not
 *   answer
 * @return -EIO: the unit failed
 *
 * After -ETIMEDOUT and -EIO nothing has changed, and moat_tenant_destroy() frees the memzone.
 * Thread-safe. Control path.
 */
int moat_device_free(moat_free_t dpdks, const struct rte_memzone *zone);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_DEVICE_H */
