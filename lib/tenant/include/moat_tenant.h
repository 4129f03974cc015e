/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_H
#define MOAT_TENANT_H

/**
 * @file
 * A tenant: a domain, memory, pools of packet buffers, queues, and a mode.
 *
 * A tenant's memory is contiguous in virtual memory and in IOVA. IOVAs are the tenant's own, not
 * the process's addresses, so two tenants may use the same IOVAs. The memory has two parts:
 *  - a DPDK heap for rings (pass moat_tenant_socket() to the queue set-up calls). Each ring has
 *    whole pages to itself. The device reaches these from the queue's moat_tenant_queue_add() until
 *    the ring is freed (see moat_device.h);
 *  - buffers, one or more whole pages each, which pools hand out. In modes static and copy the
 *    device's buffers stay mapped; in the others a buffer is mapped only while the device owns it.
 *
 * The mode says when a packet is handed to the application, relative to the ticket of its unmap.
 * A ticket is done when the unit has completed an invalidation and no lcore uses an old translation
 * any more. Then no device reaches the memory. Three hooks implement the mode, without changes to
 * PMD or application: the mempool's ops, and the Rx and the Tx callback of each queue.
 *
 *   refill: mempool dequeue  -> mapped        Rx callback: unmapped, handed on as the mode says
 *   Tx callback: mapped      -> device reads  PMD frees: mempool enqueue -> unmapped, quarantined
 *                                             until its ticket is done
 *
 * The calls, in the order of a program. Calls marked control may come from any thread, one at a
 * time for a tenant. Calls marked lcore must come from the lcore concerned. doc/examples.md has
 * programs.
 *
 *   Set-up
 *   control  rte_eal_init(), a unit (moat_soft_unit_create(), ...)
 *   control  moat_tenant_create(), moat_tenant_attach() each requester, moat_tenant_pool() with
 *            moat_tenant_pool_size() buffers (moat_tenant_size.h)
 *   control  rte_eth_dev_configure(); rte_eth_rx_queue_setup() with the pool and the socket,
 *            rte_eth_tx_queue_setup() with the socket; moat_tenant_queue_add(); rte_eth_dev_start()
 *
 *   Polling, on each lcore that polls the receive or the transmit side of a tenant's queue
 *   lcore    moat_tenant_lcore_enter(), each tenant that it serves
 *   lcore      in each turn of its loop: rte_eth_rx_burst(), rte_eth_tx_burst(), ..., and
 *              moat_tenant_poll() of each tenant, also when no packet came
 *   lcore      before it sleeps, blocks or waits for an Rx interrupt: moat_tenant_offline() of each
 *            tenant that it has entered; after: moat_tenant_online() of each
 *   lcore    to give a queue to another tenant: moat_tenant_queue_move() (moat_tenant_move.h)
 *   control  meanwhile: moat_tenant_faults() (moat_tenant_measure.h), then moat_tenant_stats(),
 *            whose `faults` counts only what moat_tenant_faults() has read
 *
 *   The end
 *   control  tell the lcores to end (a signal handler may do only this)
 *   lcore    moat_tenant_held() of each queue until it returns 0, so that mode pipelined keeps no
 *            packet; send or free what it returns
 *   lcore    moat_tenant_lcore_leave(), each tenant, before its function returns
 *   control  wait for the lcores (rte_eal_mp_wait_lcore()), then rte_eth_dev_stop(),
 *            moat_tenant_queue_remove() each queue, rte_eth_dev_close() or
 *            rte_eal_hotplug_remove(), moat_tenant_destroy(), and the unit's ops->destroy()
 *
 * Duties of an lcore, from enter to leave:
 *  - It must poll or be offline. A tenant's tickets wait until each lcore that has entered the
 *    tenant and is online has finished its turn. In mode strict received packets wait as well.
 *  - moat_tenant_offline() applies to all of the tenant's queues and pools on this lcore. While the
 *    tenant is offline, the lcore must not call rte_eth_rx_burst() or rte_eth_tx_burst() on its
 *    queues, nor use translations. It may free and allocate buffers. Buffers that it freed before
 *    are ready for the other lcores as soon as their tickets are done; buffers that it frees while
 *    it is offline stay quarantined until it is online again.
 *
 * A control thread that is not an lcore may call everything marked control, allocate and free
 * buffers, and read statistics. It cannot enter, and no ticket waits for it.
 *
 * Polling lcores are EAL lcores, service lcores, or threads after rte_thread_register(); other
 * threads cannot enter. **Rx and Tx of a queue, and queues of a tenant, may be on different
 * lcores.** Each of these lcores must enter and poll. This costs time: a ticket waits for a turn of
 * each lcore; a buffer that one lcore received is freed on another, so the first must take ready
 * buffers from the other's part of the pool; and the lcores contend for the unit's invalidation
 * queue. One lcore for both sides of a queue is the fastest.
 *
 * If a program ends in another order, the calls succeed, or return an error within a second that
 * names what is missing. A port may be closed or unplugged before its queues are removed: its
 * callbacks go with it, and its number is free for another device. While an lcore has entered and
 * does not poll, tickets do not become done. Then leaving, removing a queue and freeing a ring
 * return -ETIMEDOUT and name the lcores that have entered. Buffers that come back, for example from
 * a port that is stopped, stay quarantined; the first time, a line is logged that names the lcore.
 * Until that lcore has polled or left, only the first of these buffers, queues and rings in each
 * thread waits for a second.
 *
 * While something is in use, moat_tenant_destroy() returns -EBUSY, says what is in use, and can be
 * called again. A unit's ops->destroy() returns nothing. While tenants or other domains are on the
 * unit, it logs their names and changes nothing, and can be called again.
 *
 * A tenant belongs to the primary process. In a secondary process moat_tenant_create() fails.
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
	/* mapped once: the device can always read and write all of the tenant's buffers */
	MOAT_STATIC,
	MOAT_STRICT,    /* handed on when the ticket is done; the lcore waits */
	MOAT_PIPELINED, /* handed on when the ticket is done; the lcore keeps polling meanwhile */
	/* handed on at once; invalidated by count or time, and reached by the device until then */
	MOAT_DEFERRED,
	MOAT_COPY, /* copied to and from buffers that stay mapped */
	MOAT_MODES,
};

/**
 * A mode's name, as in configurations.
 *
 * @param mode one of enum moat_mode
 * @return "static", "strict", ..., a static string; "unknown" if `mode` is not a mode
 *
 * Thread-safe. Control path.
 */
const char *moat_mode_name(enum moat_mode mode);

/**
 * The mode that has a name.
 *
 * @param text a name, such as "pipelined"
 * @param mode set on success
 * @return 0
 * @return -EINVAL: there is no such mode, or `text` is NULL; moat_error_text() lists the modes
 *
 * Thread-safe. Control path.
 */
int moat_mode_parse(const char *text, enum moat_mode *mode);

#define MOAT_VERIFY_OFF (-1) /* a value of moat_tenant_conf.verify */

/** The configuration of a tenant. Name, unit, mode and memory must be set (mode 0 is static). For
 * other members 0 or false stands for the default, which is the safe choice. (A `numa` of 0 is node
 * 0.) */
struct moat_tenant_conf {
	const char *name; /* 1 to 31 bytes; unique among the tenants of the process */
	struct moat_unit *unit;
	enum moat_mode mode;
	uint64_t memory;     /* bytes, for rings and buffers; rounded up to 2 MiB */
	uint64_t iova_base;  /* first IOVA of the memory, a multiple of 2 MiB; 0: 2 MiB, or above
			      * the regions that the unit does not translate */
	uint8_t width;       /* bits of IOVA; 0: as many as the unit has */
	uint64_t leaf_sizes; /* superpage sizes to use, of those that the unit has; 0: all of them;
			      * MOAT_LEAF_4K_ONLY: none */
	/* NUMA node of the pool that mode copy copies into; 0: node 0, SOCKET_ID_ANY: any node.
	 * The tenant's own memory is not bound to a node. */
	int numa;
	/* 0: look each received buffer up in the shadow IOTLB, and drop and count the packet if the
	 * device had no right to write there; MOAT_VERIFY_OFF: skip this check */
	int8_t verify;
	uint32_t deferred_pages; /* mode deferred: invalidate after this many pages (0: 256) ... */
	uint32_t deferred_us;    /* ... or this many microseconds (0: 10,000) */
	/* What to do with a packet to send that is not in the tenant's memory (another tenant's, or
	 * the process's). true: copy it; false: drop and count it. Mode copy always copies. */
	bool copy_foreign;
};

struct moat_tenant;

/**
 * Create a tenant: its domain, its memory and the heap for rings.
 *
 * The memory is the tenant's own, not part of EAL's (-m). It comes from hugepages. If too few are
 * free, it comes from plain pages, but only for a software unit: a hardware unit needs physical
 * addresses, which are not known for plain pages.
 *
 * @param conf the configuration; copied
 * @param tenant set on success
 * @return 0
 * @return -EINVAL: a NULL, no name or a name that is too long, no unit, or a mode, NUMA node,
 *   memory size or address that is not valid
 * @return -EEXIST: a tenant has this name
 * @return -ENOTSUP: this is a secondary process
 * @return -EBUSY: the IOVAs overlap a region that the unit does not translate
 * @return -ENOSPC: no domain-id is left, or DPDK has no heap left: each tenant and each NUMA node
 *   takes one of RTE_MAX_HEAPS (32), so a process has 31 tenants on a machine of one node
 * @return -ENOMEM
 * @return the error of moat_memory_get(), of DPDK's heap, or the unit's
 *
 * moat_error_text() has the sentence. Thread-safe, after rte_eal_init(). Control path.
 */
int moat_tenant_create(const struct moat_tenant_conf *conf, struct moat_tenant **tenant);

/**
 * Detach the requesters, remove all mappings, free the memory. Before the call every queue must be
 * removed (or its port closed), every lcore must have left, every buffer must be back in its pool,
 * and every ring must be freed.
 *
 * @param tenant the tenant; freed on success
 * @return 0
 * @return -EBUSY: something is still in use (moat_error_text() says what); call this again later
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
 * @param tenant the tenant; not NULL. The same holds for all calls below that do not return
 *   -EINVAL.
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
 * Attach a requester (a port's or queue's source-id) to the tenant's domain.
 *
 * A NIC's source-id is its PCI address: MOAT_SID(0x03, 0, 1) for 03:00.1. A net_moat port's
 * source-id is its `sid=`, plus the queue's number with `requesters=queue`; moat_net_queue_sid()
 * returns it. Where tenants share a port, attach each queue's source-id to the queue's tenant, and
 * set the queue up with that tenant's pool and socket.
 *
 * @param tenant the tenant
 * @param sid MOAT_SID() of the requester
 * @return as moat_domain_attach(); -EINVAL: NULL
 *
 * Thread-safe. Control path; waits for the unit.
 */
int moat_tenant_attach(struct moat_tenant *tenant, moat_sid_t sid);

/**
 * Detach a requester from the tenant's domain. On return the requester reaches nothing.
 *
 * @param tenant the tenant
 * @param sid MOAT_SID() of the requester
 * @return as moat_domain_detach(); -EINVAL: NULL
 *
 * Thread-safe. Control path; waits for the unit.
 */
int moat_tenant_detach(struct moat_tenant *tenant, moat_sid_t sid);

/**
 * As moat_tenant_attach(), for one PASID of a requester. Only a unit in scalable mode distinguishes
 * PASIDs.
 *
 * @param tenant the tenant
 * @param sid MOAT_SID() of the requester
 * @param pasid 1 to 2^20 - 1 (fewer bits if the unit supports fewer), or MOAT_PASID_NONE: as
 *   moat_tenant_attach()
 * @return as moat_domain_attach_at()
 *
 * Thread-safe. Control path; waits for the unit.
 */
int moat_tenant_attach_pasid(struct moat_tenant *tenant, moat_sid_t sid, uint32_t pasid);

/**
 * Detach one PASID of a requester that moat_tenant_attach_pasid() has attached.
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
 * Two rules for the pool's mbufs:
 * - Clones need a pool of their own, of mbufs without room for data: rte_pktmbuf_clone(m, clones).
 *   A clone from a tenant's pool occupies a buffer, too. If the clone is freed before its original,
 *   DPDK does not give the clone's mbuf back: its mbuf and buffer are lost.
 * - Change ol_flags with |= and &=, and keep RTE_MBUF_F_EXTERNAL. An assignment clears the flag.
 *   Then rte_pktmbuf_clone() takes the bytes in front of the buffer, which a device may write, for
 *   an mbuf, and freeing the clone follows a pointer in these bytes.
 *
 * @param tenant the tenant whose memory holds the buffers
 * @param name name of the mempool
 * @param n number of buffers; moat_tenant_pool_size() computes how many are needed
 * @param data_room bytes of a buffer, headroom included; rounded up to whole pages
 * @param pool set on success
 * @return 0
 * @return -ENOMEM: too little of the tenant's memory is left (moat_error_text() says how much is
 *   needed), or no memory for the pool's own records
 * @return -ENOSPC: the tenant has as many pools as it can
 * @return -EEXIST: a mempool has this name
 * @return -EINVAL: a NULL, no buffers, or buffers of 0 bytes
 * @return another error of DPDK's
 *
 * Thread safety: one thread at a time for a tenant. Control path.
 */
int moat_tenant_pool(struct moat_tenant *tenant, const char *name, unsigned int n,
	uint16_t data_room, struct rte_mempool **pool);

/**
 * Give a port's queue (its receive and its transmit side) to the tenant: install the mode's
 * callbacks, and map the queue's rings for the device.
 *
 * Call this after rte_eth_dev_configure() and the queue's set-up (moat checks the queue's pool and
 * rings), and before the port is started. Each queue must be added: the rings of a queue that was
 * not added are not mapped, so the queue receives and sends nothing.
 *
 * moat's Rx callback runs before the callbacks that the program adds, earlier or later, with
 * rte_eth_add_rx_callback(): these get packets as the program gets them. A callback that the
 * program adds later with rte_eth_add_first_rx_callback() runs before moat's. The device can still
 * write the packets that this callback gets. It must not replace the packets: moat drops the
 * replacements and counts them as `verify_failed`.
 *
 * A driver that does not declare moat_device_tells() may have filled its ring in
 * rte_eth_rx_queue_setup(). So with such a driver the call maps, for the device to write, all
 * buffers that were taken from the tenant's pools while the tenant had no queue. If another lcore
 * has entered, these buffers stay unmapped.
 *
 * @param tenant the tenant that gets the queue
 * @param port as ethdev numbers it
 * @param queue the port's queue
 * @return 0
 * @return -EEXIST: the tenant has the queue already
 * @return -EBUSY: another tenant has the queue
 * @return -ENODEV: the port does not exist
 * @return -EINVAL: NULL, the port has no such queue, the queue's rings or pool are not in the
 *   tenant's memory, or a ring shares a page with other memory
 * @return -EXDEV: the port is behind another unit than the tenant's, as its driver declared
 * @return -ENOSPC: the tenant has as many queues as it can
 * @return -ENOMEM
 * @return the error of rte_eth_dev_info_get() or rte_eth_add_first_rx_callback(), or the unit's
 *
 * moat_error_text() has the sentence. Thread safety: one thread at a time for a tenant. Control
 * path.
 */
int moat_tenant_queue_add(struct moat_tenant *tenant, uint16_t port, uint16_t queue);

/**
 * Remove a queue, and its callbacks, from the tenant. The rings stay mapped until they are freed.
 *
 * Before the call all lcores must have stopped polling the queue, both its receive and its transmit
 * side. moat cannot detect an lcore that still polls: the packets that this lcore receives are not
 * unmapped, and once the rings are freed each request of the device is a fault.
 *
 * Packets that mode pipelined still holds back are freed. To keep them, call moat_tenant_held()
 * first. The port may have been closed before.
 *
 * @param tenant the tenant that has the queue
 * @param port as ethdev numbers it
 * @param queue the port's queue
 * @return 0
 * @return -EINVAL: `tenant` is NULL
 * @return -ENOENT: the tenant has no such queue
 * @return -ETIMEDOUT: an lcore that has entered does not poll (moat_error_text() names it), or the
 *   unit does not answer
 * @return the unit's error: freed rings could not be unmapped
 *
 * After -EINVAL and -ENOENT nothing has changed. After any other error the queue is removed, but
 * the device may still reach freed rings, until the lcore has left and the unit has answered.
 *
 * Thread safety: one thread at a time for a tenant. Control path; waits for the unit.
 */
int moat_tenant_queue_remove(struct moat_tenant *tenant, uint16_t port, uint16_t queue);

/**
 * Enter a tenant: the calling lcore begins to poll the tenant's queues. An lcore that has entered
 * must poll, or be offline: other lcores' tickets wait for it.
 *
 * @param tenant the tenant
 * @return 0
 * @return -EINVAL: NULL, or the thread is not an lcore (rte_thread_register())
 * @return -EALREADY: the lcore has entered already. (If an earlier thread with this lcore's number
 *   ended without leaving, the caller takes its place and gets no error.)
 * @return -ENOMEM: out of memory, or the domain has MOAT_DOMAIN_LANES lanes
 *
 * Each lcore for itself. Control path.
 */
int moat_tenant_lcore_enter(struct moat_tenant *tenant);

/**
 * Leave a tenant: the calling lcore ends polling. The call waits for the lcore's tickets, and lets
 * any thread release the lcore's buffers that are still quarantined.
 *
 * @param tenant the tenant
 * @return 0
 * @return -EINVAL: NULL, or the lcore has not entered
 * @return -ETIMEDOUT: another lcore that has entered did not poll for a second (moat_error_text()
 *   names it), or the unit does not answer
 * @return -EIO: the unit failed
 *
 * After -ETIMEDOUT and -EIO the lcore has left, too. Each lcore for itself. Control path.
 */
int moat_tenant_lcore_leave(struct moat_tenant *tenant);

/**
 * Go offline: the calling lcore stops polling for a while, to sleep or to block. While the lcore is
 * offline no ticket waits for it, and it must not poll the tenant's queues nor use translations.
 * Buffers that the lcore has freed are ready for the other lcores as soon as their tickets are
 * done. The call may wait, as moat_lane_offline() says.
 *
 * @param tenant the tenant
 * @return 0
 * @return -EINVAL: NULL, or the lcore has not entered
 *
 * Each lcore for itself. If nothing is in flight, the call is two atomic operations, fit for the
 * data path. Otherwise it may lock the tenant, and waits up to 10 ms for the unit and 1 s for
 * lcores that do not poll.
 */
int moat_tenant_offline(struct moat_tenant *tenant);

/**
 * Go online: the calling lcore polls again, after moat_tenant_offline().
 *
 * @param tenant the tenant
 * @return 0
 * @return -EINVAL: NULL, or the lcore has not entered
 *
 * Each lcore for itself. Data path: two atomic operations.
 */
int moat_tenant_online(struct moat_tenant *tenant);

/**
 * Find tickets that are done, release quarantined buffers, and submit unmaps that are due. The
 * lcore must call this in every turn of its polling loop, also when no packet came. The call never
 * waits.
 *
 * A translation is valid until the lcore's next moat_tenant_poll() or, in the modes that unmap, its
 * next rte_eth_rx_burst(), whichever comes first.
 *
 * @param tenant a tenant that the lcore has entered
 *
 * Each lcore for itself. Data path.
 */
void moat_tenant_poll(struct moat_tenant *tenant);

/**
 * Get packets that mode pipelined still holds back on a queue. The call receives nothing from the
 * device, and waits for the packets' tickets. An lcore that stops polling a queue for good must
 * call this until it returns 0; otherwise the packets are lost. The program's own Rx callbacks do
 * not see packets that this call returns.
 *
 * @param tenant a tenant that the calling lcore has entered
 * @param port as ethdev numbers it
 * @param queue a queue that the calling lcore polls
 * @param pkts receives the packets
 * @param max room in `pkts`, packets
 * @return number of packets; 0 also in the other modes, and if their tickets do not become done
 *
 * Each lcore for itself. Control path: it waits.
 */
uint16_t moat_tenant_held(struct moat_tenant *tenant, uint16_t port, uint16_t queue,
	struct rte_mbuf *pkts[], uint16_t max);

/**
 * The calling lcore's lane, for applications that map memory themselves.
 *
 * @param tenant a tenant that the lcore has entered
 * @return the lane, valid while the tenant exists
 *
 * Each lcore for itself. Data path.
 */
struct moat_lane *moat_tenant_lane(struct moat_tenant *tenant);

/** A tenant's counters, since it was created. doc/measuring.md says which of them are packets that
 * the program has lost. */
struct moat_tenant_stats {
	struct moat_cost cost;       /* sum over lcores */
	struct moat_lane_stats lane; /* sum over lcores */
	uint64_t iotlb_hits, iotlb_misses, iotlb_faults;
	/* received packets dropped: the device had no right to write their memory */
	uint64_t verify_failed;
	/* times a thread waited: for the ticket of a received burst (mode strict) or of a buffer
	 * to send, or because its lane was full */
	uint64_t waits;
	uint64_t quarantined; /* buffers that wait for their ticket now */
	uint64_t held;        /* packets that mode pipelined holds back now */
	/* allocations that failed because too few buffers were ready, in the modes that unmap; in
	 * the others see the port's rx_nombuf. Not a number of packets: one allocation may be for a
	 * whole burst, and each retry counts again. */
	uint64_t starved;
	/* bursts with a packet that could not be sent at once, because its buffer could not be
	 * mapped, or because there was no free mbuf or no free buffer to copy into. The caller
	 * keeps the packet; nothing is lost. */
	uint64_t map_failed;
	/* received packets dropped: too many held back, or no buffer free to copy into. Also
	 * packets to send that are too long to be copied; rte_eth_tx_burst() counts these as
	 * sent */
	uint64_t overrun;
	/* received packets dropped because the ticket of their unmap was not done in time: the unit
	 * did not answer, or an lcore did not poll (logged the first time). Their buffers are ready
	 * again when the ticket is done. */
	uint64_t lost;
	uint64_t copied;    /* bytes, in mode copy and with copy_foreign */
	uint64_t delay_max; /* most TSC cycles that mode pipelined held a packet back */
	/* packets to send that were dropped, because they are not in the tenant's memory;
	 * rte_eth_tx_burst() counts them as sent */
	uint64_t foreign;
	/* refused DMA of the tenant's requesters that moat_tenant_faults() has read; 0 if the
	 * program never calls that. Faults for which the unit had no free register are not
	 * counted. */
	uint64_t faults;
};

/**
 * Read a tenant's counters. Counters of running lcores are read without synchronization.
 *
 * @param tenant the tenant
 * @param stats receives the counters
 *
 * Thread-safe, also while queues are added or removed, but not while the tenant is destroyed.
 * Control path.
 */
void moat_tenant_stats(struct moat_tenant *tenant, struct moat_tenant_stats *stats);

/**
 * The distribution of a stage's cycles over bursts, summed over lcores. A burst is counted if the
 * lcore's stopwatch is on. Counters of running lcores are read without synchronization.
 *
 * @param tenant the tenant
 * @param stage a stage before MOAT_STAGES_MAPPING; MOAT_STAGES_MAPPING: all of these together
 * @param hist receives the distribution
 *
 * Thread-safe, but not while the tenant is destroyed. Control path.
 */
void moat_tenant_bursts(struct moat_tenant *tenant, enum moat_stage stage, struct moat_hist *hist);

/**
 * The calling lcore's record of the tenant's cost, for applications that charge their own time to
 * MOAT_STAGE_APPLICATION.
 *
 * @param tenant the tenant
 * @return the record, valid while the tenant exists
 * @return NULL: out of memory, or the domain has MOAT_DOMAIN_LANES lanes
 *
 * Each lcore for itself. Data path.
 */
struct moat_cost *moat_tenant_cost(struct moat_tenant *tenant);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_TENANT_H */
