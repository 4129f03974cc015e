/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_H
#define MOAT_TENANT_H

/**
 * @file
 * A tenant: a domain, memory, pools of packet buffers, queues, and a mode.
 *
 * All of a tenant's memory is one run of virtual memory at one run of IOVAs of its own, never the
 * process's addresses: two tenants may well use the same IOVAs. It has two parts:
 *  - a DPDK heap for rings (give moat_tenant_socket() to the queue set-up calls). The device
 *    reaches whole pages that hold nothing but a ring, from the queue's moat_tenant_queue_add()
 *    until the ring is freed; moat_device.h says how;
 *  - buffers, one or more whole pages each, that pools hand out. In mode static they are mapped for
 *    good; in the other modes a buffer is mapped only while the device owns it.
 *
 * The mode is a rule about when a packet is handed on, relative to the ticket of its unmap. It is
 * carried out in three places that no PMD and no application need know of: the mempool's ops
 * (buffers given to the PMD, buffers coming back), the Rx callback and the Tx callback of a queue.
 *
 *   refill: mempool dequeue  -> mapped        Rx callback: unmapped, handed on by the rule
 *   Tx callback: mapped      -> device reads  PMD frees: mempool enqueue -> unmapped, quarantined
 *                                             until its ticket is done
 *
 * In use: the whole life, in this order. Calls marked main come from any thread, one at a time for
 * a tenant; those marked lcore must come from the lcore that they are about. doc/examples.md has
 * programs.
 *
 *   Set-up
 *   main     rte_eal_init(), a unit (moat_soft_unit_create(), ...)
 *   main     moat_tenant_create(), moat_tenant_attach() each requester, moat_tenant_pool() with
 *            moat_tenant_pool_size() buffers (moat_tenant_size.h)
 *   main     rte_eth_dev_configure(); rte_eth_rx_queue_setup() with the pool and the socket,
 *            rte_eth_tx_queue_setup() with the socket; moat_tenant_queue_add(); rte_eth_dev_start()
 *
 *   Polling, on each lcore that polls a queue of the tenant, its receive or its transmit side
 *   lcore    moat_tenant_lcore_enter(), each tenant that it serves
 *   lcore      in each turn of its loop: rte_eth_rx_burst(), rte_eth_tx_burst(), ..., and
 *              moat_tenant_poll() of each tenant, also when no packet came
 *   lcore      before it sleeps, blocks or waits for an Rx interrupt: moat_tenant_offline() of each
 *            tenant that it has entered; after: moat_tenant_online() of each
 *   lcore    a queue goes to another tenant: moat_tenant_queue_move() (moat_tenant_move.h)
 *   main     meanwhile: moat_tenant_stats(), moat_tenant_faults() (moat_tenant_measure.h)
 *
 *   The end
 *   main     tell the lcores to end; a signal's handler does no more than that
 *   lcore    moat_tenant_held() of each queue until it returns 0, so that mode pipelined keeps no
 *            packet
 *   lcore    moat_tenant_lcore_leave(), each tenant, before its function returns
 *   main     wait for the lcores (rte_eal_mp_wait_lcore()), then rte_eth_dev_stop(),
 *            moat_tenant_queue_remove() each queue, rte_eth_dev_close() or
 *            rte_eal_hotplug_remove(), moat_tenant_destroy(), and the unit's ops->destroy()
 *
 * Duties of an lcore, from enter to leave:
 *  - it must poll or be offline. A ticket waits for every lcore that has entered and is online: the
 *    slowest turn of any of them delays the tickets of all, in strict the packets, too;
 *  - a tenant goes offline and online as a whole on an lcore: with all its queues and pools. While
 *    it is offline the lcore must not call rte_eth_rx_burst() or rte_eth_tx_burst() on them, nor
 *    use translations. Freeing and allocating buffers is allowed. What waits for tickets then,
 *    waits until it is online again;
 *  - a control thread that is no lcore may call everything marked main, allocate and free buffers,
 *    and read statistics; it has nothing to enter, and no ticket waits for it.
 *
 * Polling lcores are EAL lcores, service lcores, or threads after rte_thread_register(); other
 * threads cannot enter. **Rx and Tx of a queue, and queues of a tenant, may be on different
 * lcores.** Each of them must enter and poll. It costs: a ticket waits for the turns of all of
 * them; buffers are received on one lcore and freed on the other, so the receiving one takes ready
 * buffers back from the other's part of the pool; and their submissions contend for the unit's
 * queue. One lcore for both sides is the fast way.
 *
 * Other orders of the end work as well, or say within a second what they wait for. A port may be
 * closed or unplugged before its queues are removed: its callbacks go with it, and its number is
 * free for another device. While an lcore has entered and does not poll, tickets do not become
 * done: leaving, removing a queue and freeing a ring then return -ETIMEDOUT and name the lcores
 * that have entered.
 * moat_tenant_destroy() refuses what is still in use with -EBUSY, says what it is, and can be
 * called again. A unit's ops->destroy() returns nothing: while a tenant or another domain is on the
 * unit, it logs their names, leaves the unit as it is, and can be called again.
 *
 * A tenant is one process's: a secondary process is refused.
 */

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "moat_cost.h"
#include "moat_domain.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum moat_mode {
	/* mapped once; the device can touch all of the tenant's memory, nothing else */
	MOAT_STATIC,
	MOAT_STRICT,    /* handed on when the ticket is done; the lcore waits */
	MOAT_PIPELINED, /* handed on when the ticket is done; the lcore keeps polling meanwhile */
	MOAT_DEFERRED,  /* handed on at once, flushed by count or time: a bounded window */
	MOAT_COPY,      /* copied to and from buffers mapped for good */
	MOAT_MODES,
};

/**
 * A mode's name, as configurations have it.
 *
 * @param mode one of enum moat_mode
 * @return "static", "strict", ...; static. "unknown": it is not a mode
 *
 * Thread-safe. Control path.
 */
const char *moat_mode_name(enum moat_mode mode);

/**
 * The mode of a name.
 *
 * @param text a name, such as "pipelined"
 * @param mode set on success
 * @return 0
 * @return -EINVAL: there is no such mode, or `text` is NULL; moat_error_text() lists the modes
 *
 * Thread-safe. Control path.
 */
int moat_mode_parse(const char *text, enum moat_mode *mode);

#define MOAT_VERIFY_OFF (-1) /* of moat_tenant_conf.verify */

/** What a tenant is to be. Zeroed members mean the safe choice; name, unit and memory must be
 * given. */
struct moat_tenant_conf {
	const char *name; /* of at most 31 bytes; no two tenants have the same */
	struct moat_unit *unit;
	enum moat_mode mode;
	uint64_t memory;     /* bytes, for rings and buffers; rounded up to 2 MiB */
	uint64_t iova_base;  /* where the memory begins, a multiple of 2 MiB; 0: 2 MiB, or behind
			      * regions that the unit does not translate */
	uint8_t width;       /* bits of IOVA; 0: what the unit has */
	uint64_t leaf_sizes; /* of superpages, ANDed with the unit's; 0: all that the unit has;
			      * MOAT_LEAF_4K_ONLY: none */
	int numa;            /* node of the memory, or SOCKET_ID_ANY */
	/* look every received buffer up in the shadow IOTLB: a device (or a ring) that returns
	 * memory which it may not write is caught and counted. On, except with MOAT_VERIFY_OFF */
	int8_t verify;
	uint32_t deferred_pages; /* mode deferred: flush at so many pages (0: 256) ... */
	uint32_t deferred_us;    /* ... or after so many microseconds (0: 10,000) */
	/* a packet to send that is not in the tenant's memory (another tenant's, or the process's)
	 * is copied into it; false: it is dropped and counted. Mode copy copies every packet. */
	bool copy_foreign;
};

struct moat_tenant;

/**
 * Create the domain, get and map the memory, make the heap.
 *
 * The memory is hugepages; where there are none, plain pages, if the unit can live with those (the
 * software unit can, a real one cannot know their physical addresses).
 *
 * @param conf copied
 * @param tenant set on success
 * @return 0
 * @return -EINVAL: a NULL, no name, no unit, a mode that does not exist, memory or addresses that
 *   cannot be
 * @return -EEXIST: a tenant has this name
 * @return -ENOTSUP: this is a secondary process
 * @return -EBUSY: the memory lies over what the unit does not translate
 * @return -ENOSPC: no domain-id is left
 * @return -ENOMEM
 * @return the error of moat_memory_get(), of DPDK's heap, or the unit's
 *
 * moat_error_text() has the sentence. Thread-safe, after rte_eal_init(). Control path.
 */
int moat_tenant_create(const struct moat_tenant_conf *conf, struct moat_tenant **tenant);

/**
 * Detach the requesters, take away all mappings, free the memory. Every queue must be removed (or
 * its port closed), every lcore have left, every pool's buffers and every ring be back.
 *
 * @param tenant gone on success
 * @return 0
 * @return -EBUSY: it is still in use, moat_error_text() says what: nothing has changed
 * @return -EINVAL: NULL
 * @return -ENOMEM
 * @return -ETIMEDOUT, -EIO: the unit does not answer; the tenant stays
 *
 * Thread safety: any thread; no other call on the tenant at the same time. Control path; waits for
 * the unit.
 */
int moat_tenant_destroy(struct moat_tenant *tenant);

/**
 * A tenant's name.
 *
 * @param tenant not NULL, as in all calls below
 * @return the name; valid while the tenant exists
 *
 * Thread-safe. Control path.
 */
const char *moat_tenant_name(const struct moat_tenant *tenant);

/**
 * A tenant's mode.
 *
 * @param tenant the tenant
 * @return the mode
 *
 * Thread-safe. Data path.
 */
enum moat_mode moat_tenant_mode(const struct moat_tenant *tenant);

/**
 * A tenant's domain, for lib/domain's calls.
 *
 * @param tenant the tenant
 * @return the domain; valid while the tenant exists
 *
 * Thread-safe. Data path.
 */
struct moat_domain *moat_tenant_domain(struct moat_tenant *tenant);

/**
 * The page size of a tenant's memory, plain pages or hugepages.
 *
 * @param tenant the tenant
 * @return bytes
 *
 * Thread-safe. Control path.
 */
uint64_t moat_tenant_page_size(const struct moat_tenant *tenant);

/**
 * Put a requester (a port's or queue's source-id) into the tenant's domain.
 *
 * A NIC's source-id is its PCI address: MOAT_SID(0x03, 0, 1) for 03:00.1. Of a net_moat port it is
 * its `sid=`, plus the queue's number with `requesters=queue`; moat_net_queue_sid() says which.
 * Where tenants share a port, each queue's source-id goes to its tenant, and each queue is set up
 * with that tenant's pool and socket.
 *
 * @param tenant the tenant
 * @param sid MOAT_SID() of the requester
 * @return as moat_domain_attach(); -EINVAL: NULL
 *
 * Thread-safe. Control path; waits for the unit.
 */
int moat_tenant_attach(struct moat_tenant *tenant, moat_sid_t sid);

/**
 * Take a requester out of the tenant's domain; on return it reaches nothing.
 *
 * @param tenant the tenant
 * @param sid MOAT_SID() of the requester
 * @return as moat_domain_detach(); -EINVAL: NULL
 *
 * Thread-safe. Control path; waits for the unit.
 */
int moat_tenant_detach(struct moat_tenant *tenant, moat_sid_t sid);

/**
 * As moat_tenant_attach(), for one PASID of a requester, which a unit in scalable mode tells from
 * its others.
 *
 * @param tenant the tenant
 * @param sid MOAT_SID() of the requester
 * @param pasid 1 to 2^20 - 1 (as many bits as the unit has), or MOAT_PASID_NONE: as
 *   moat_tenant_attach()
 * @return as moat_domain_attach_at()
 *
 * Thread-safe. Control path; waits for the unit.
 */
int moat_tenant_attach_pasid(struct moat_tenant *tenant, moat_sid_t sid, uint32_t pasid);

/**
 * As moat_tenant_detach(), of what moat_tenant_attach_pasid() has attached.
 *
 * @param tenant the tenant
 * @param sid MOAT_SID() of the requester
 * @param pasid as it was attached
 * @return as moat_domain_detach_at()
 *
 * Thread-safe. Control path; waits for the unit.
 */
int moat_tenant_detach_pasid(struct moat_tenant *tenant, moat_sid_t sid, uint32_t pasid);

/**
 * The socket id of the tenant's heap, for rte_eth_rx_queue_setup() and rte_eth_tx_queue_setup().
 *
 * @param tenant the tenant
 * @return the id, beyond those of NUMA nodes
 *
 * Thread-safe. Control path.
 */
int moat_tenant_socket(const struct moat_tenant *tenant);

/**
 * Create a pool of packet buffers. moat_tenant_destroy() frees it; the program must not.
 *
 * @param tenant whose memory it is of
 * @param name of the mempool
 * @param n buffers; moat_tenant_pool_size() says how many are needed
 * @param data_room bytes of a buffer, headroom included; rounded up to whole pages
 * @param pool set on success
 * @return 0
 * @return -ENOMEM: too little tenant memory (moat_error_text() says how much would do), or none for
 *   the pool's own records
 * @return -ENOSPC: the tenant has as many pools as it can
 * @return -EEXIST: a mempool has this name
 * @return -EINVAL: a NULL, no buffers, or buffers of 0 bytes
 * @return another error of DPDK's, or the unit's
 *
 * Thread safety: one thread at a time for a tenant. Control path.
 */
int moat_tenant_pool(struct moat_tenant *tenant, const char *name, unsigned int n,
	uint16_t data_room, struct rte_mempool **pool);

/**
 * Put the mode's callbacks on a port's queue (its rx and its tx side), and let the device reach the
 * queue's rings.
 *
 * To be called after rte_eth_dev_configure() and, so that the queue's pool and rings can be
 * checked, after the queues' set-up; before the port is started. Each queue is added by itself: the
 * rings of one that is not are not mapped, and it receives and sends nothing.
 *
 * @param tenant whose queue it becomes
 * @param port as ethdev numbers it
 * @param queue the port's
 * @return 0
 * @return -EEXIST: the tenant has the queue
 * @return -EBUSY: another tenant has it
 * @return -ENODEV: the port does not exist
 * @return -EINVAL: NULL, the port has no such queue, or its rings or its pool are not in the
 *   tenant's memory
 * @return -EXDEV: the port is behind another unit than the tenant, as its driver says
 * @return -ENOSPC: the tenant has as many queues as it can
 * @return -ENOMEM
 * @return what rte_eth_dev_info_get() or rte_eth_add_rx_callback() says, or the unit's error
 *
 * moat_error_text() has the sentence. Thread safety: one thread at a time for a tenant. Control
 * path.
 */
int moat_tenant_queue_add(struct moat_tenant *tenant, uint16_t port, uint16_t queue);

/**
 * Take a queue away from the tenant.
 *
 * No lcore may poll the queue any more when this is called, on its receive or its transmit side:
 * nothing can tell that one still does. What it receives then was never unmapped, and when the
 * rings are gone each request of the device is a fault.
 *
 * Takes the callbacks off, and frees what mode pipelined still holds (moat_tenant_held() gets it
 * first). The port may have been closed before.
 *
 * @param tenant whose queue it is
 * @param port as ethdev numbers it
 * @param queue the port's
 * @return 0
 * @return -EINVAL: `tenant` is NULL
 * @return -ENOENT: it has no such queue
 * @return -ETIMEDOUT: an lcore that has entered does not poll (moat_error_text() names it), or the
 *   unit does not answer
 * @return the unit's error from unmapping what is gone
 *
 * After any error but -EINVAL and -ENOENT the queue is removed all the same; what was unmapped is
 * out of the device's reach when the lcore has left and the unit has answered. Thread safety: one
 * thread at a time for a tenant. Control path; waits for the unit.
 */
int moat_tenant_queue_remove(struct moat_tenant *tenant, uint16_t port, uint16_t queue);

/**
 * The calling lcore begins polling this tenant's queues. An lcore that has entered must poll, or be
 * offline: other lcores' tickets wait for it.
 *
 * @param tenant the tenant
 * @return 0
 * @return -EINVAL: NULL, or the thread is not an lcore (rte_thread_register())
 * @return -EALREADY: it has entered. (If a thread that was this lcore before has ended without
 *   leaving, the caller takes its place.)
 * @return -ENOMEM
 *
 * Each lcore for itself. Control path.
 */
int moat_tenant_lcore_enter(struct moat_tenant *tenant);

/**
 * The calling lcore ends polling. Waits for its tickets and gives its ready buffers to the others.
 *
 * @param tenant the tenant
 * @return 0
 * @return -EINVAL: it had not entered
 * @return -ETIMEDOUT: another lcore that has entered did not poll for a second (moat_error_text()
 *   names it), or the unit does not answer
 * @return -EIO: the unit failed
 *
 * After -ETIMEDOUT and -EIO it has left all the same. Each lcore for itself. Control path.
 */
int moat_tenant_lcore_leave(struct moat_tenant *tenant);

/**
 * The calling lcore stops polling for a while, to sleep or to block. While it is offline no ticket
 * waits for it; it must not poll the tenant's queues nor use translations. See moat_lane_offline()
 * for what it waits for.
 *
 * @param tenant the tenant
 * @return 0
 * @return -EINVAL: it has not entered
 *
 * Each lcore for itself. Data path: two atomic operations where nothing is in flight.
 */
int moat_tenant_offline(struct moat_tenant *tenant);

/**
 * The calling lcore polls again, after moat_tenant_offline().
 *
 * @param tenant the tenant
 * @return 0
 * @return -EINVAL: it has not entered
 *
 * Each lcore for itself. Data path: two atomic operations.
 */
int moat_tenant_online(struct moat_tenant *tenant);

/**
 * Complete tickets, release quarantined buffers, flush what a quiet queue left behind. To be called
 * in every turn of the polling loop, also when no packet came; never waits.
 *
 * Between two polls the lcore may use translations; across one it may not, nor across
 * rte_eth_rx_burst() in the modes that unmap.
 *
 * @param tenant the lcore must have entered it
 *
 * Each lcore for itself. Data path.
 */
void moat_tenant_poll(struct moat_tenant *tenant);

/**
 * Packets that mode pipelined still holds back on a queue, without asking the device for more:
 * waits for their tickets, and hands out up to `max`. An lcore that stops polling a queue for good
 * calls this until it returns 0, and no packet is lost.
 *
 * @param tenant the calling lcore has entered it
 * @param port as ethdev numbers it
 * @param queue that the calling lcore polls
 * @param pkts receives the packets
 * @param max room in `pkts`
 * @return packets; 0 also in the other modes, and where the unit does not answer any more
 *
 * Each lcore for itself. Control path: it waits.
 */
uint16_t moat_tenant_held(struct moat_tenant *tenant, uint16_t port, uint16_t queue,
	struct rte_mbuf *pkts[], uint16_t max);

/**
 * The calling lcore's lane, for applications that map on their own.
 *
 * @param tenant the tenant
 * @return the lane; NULL before the lcore has entered
 *
 * Each lcore for itself. Data path.
 */
struct moat_lane *moat_tenant_lane(struct moat_tenant *tenant);

struct moat_tenant_stats {
	struct moat_cost cost;       /* sum over lcores */
	struct moat_lane_stats lane; /* sum over lcores */
	uint64_t iotlb_hits, iotlb_misses, iotlb_faults;
	uint64_t verify_failed; /* received buffers the device had no right to write; dropped */
	/* times an lcore waited for a ticket: mode strict; else the lane was full */
	uint64_t waits;
	uint64_t quarantined; /* buffers waiting for their ticket now */
	uint64_t held;        /* packets held back now, mode pipelined */
	uint64_t starved;     /* allocations refused because no buffer was ready, in the modes that
			       * unmap; in the others the port's rx_nombuf tells */
	/* bursts of which a packet could not be sent at once: its buffer could not be mapped, or
	 * there was none to copy into; it stays its caller's */
	uint64_t map_failed;
	uint64_t overrun; /* packets dropped: too many held back, or none free to copy into */
	uint64_t lost;    /* received packets dropped because their unmap was not done in time: the
			       * unit did not answer, or an lcore did not poll (the first time is
			       * logged); their buffers come back when it is done */
	uint64_t copied;  /* bytes, mode copy */
	uint64_t delay_max; /* TSC cycles a packet was held back at most, mode pipelined */
	uint64_t foreign;   /* packets to send that were dropped: not in the tenant's memory */
	uint64_t faults;    /* DMA refused to its requesters, as moat_tenant_faults() found them */
};

/**
 * What the tenant counted. Counters of running lcores are read as they are.
 *
 * @param tenant the tenant
 * @param stats receives the counters
 *
 * Thread-safe, also while queues come and go; not while the tenant is destroyed. Control path.
 */
void moat_tenant_stats(struct moat_tenant *tenant, struct moat_tenant_stats *stats);

/**
 * How a stage's cycles were spread over bursts, summed over lcores. Bursts are counted while the
 * lcore's stopwatch is on. Counters of running lcores are read as they are.
 *
 * @param tenant the tenant
 * @param stage a stage before MOAT_STAGES_MAPPING; MOAT_STAGES_MAPPING: all of these together
 * @param hist receives the distribution
 *
 * Thread-safe, but not while the tenant is destroyed. Control path.
 */
void moat_tenant_bursts(struct moat_tenant *tenant, enum moat_stage stage, struct moat_hist *hist);

/**
 * The calling lcore's cost of the tenant, for applications that charge their own time to
 * MOAT_STAGE_APPLICATION.
 *
 * @param tenant the tenant
 * @return the cost, valid while the tenant exists; NULL: out of memory
 *
 * Each lcore for itself. Data path.
 */
struct moat_cost *moat_tenant_cost(struct moat_tenant *tenant);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_TENANT_H */
