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
 *  - a DPDK heap for rings (give moat_tenant_socket() to the queue set-up calls). Its memzones are
 *    mapped for good when a queue is added, its bookkeeping never is;
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
 * In use: create, attach the requesters, create a pool, set up the port's queues with the pool and
 * the socket, add the queues, start the port; on each polling lcore: enter, poll in every turn of the loop,
 * leave.
 */

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "moat_cost.h"
#include "moat_domain.h"

#ifdef __cplusplus
extern "C" {
#endif

enum moat_mode {
	MOAT_STATIC, /* mapped once; the device can touch all of the tenant's memory, nothing else */
	MOAT_STRICT,    /* handed on when the ticket is done; the lcore waits */
	MOAT_PIPELINED, /* handed on when the ticket is done; the lcore keeps polling meanwhile */
	MOAT_DEFERRED,  /* handed on at once, flushed by count or time: a bounded window */
	MOAT_COPY,      /* copied to and from buffers mapped for good */
	MOAT_MODES,
};

/** "static", "strict", ... */
const char *moat_mode_name(enum moat_mode mode);
/** @return 0, -EINVAL; moat_error_text() lists the modes. */
int moat_mode_parse(const char *text, enum moat_mode *mode);

struct moat_tenant_conf {
	const char *name;
	struct moat_unit *unit;
	enum moat_mode mode;
	uint64_t memory;     /* bytes, for rings and buffers; rounded up to 2 MiB */
	uint64_t iova_base;  /* where the memory begins, a multiple of 2 MiB; 0: 2 MiB, or behind
			      * regions that the unit does not translate */
	uint8_t width;       /* bits of IOVA; 0: what the unit has */
	uint64_t leaf_sizes; /* see struct moat_domain_conf; UINT64_MAX: all */
	int numa;            /* node of the memory, or SOCKET_ID_ANY */
	bool verify; /* look every received buffer up in the shadow IOTLB: a device (or a ring)
			      * that returns memory which it may not write is caught and counted */
	uint32_t deferred_pages; /* mode deferred: flush at so many pages (0: 256) ... */
	uint32_t deferred_us;    /* ... or after so many microseconds (0: 10,000) */
};

struct moat_tenant;

/**
 * Create the domain, get and map the memory, make the heap.
 * Memory: hugepages; where there are none, plain pages, if the unit can live with those (the
 * software unit can, a real one cannot know their physical addresses).
 * @return 0 or a negative errno, moat_error_text() has the sentence. Control path; after EAL init.
 */
int moat_tenant_create(const struct moat_tenant_conf *conf, struct moat_tenant **tenant);
/**
 * Every queue removed, every lcore left, every pool's buffers back. Detaches the requesters.
 * @return 0; -EBUSY (says what is still in use); -ETIMEDOUT, -EIO: the unit does not answer.
 */
int moat_tenant_destroy(struct moat_tenant *tenant);

const char *moat_tenant_name(const struct moat_tenant *tenant);
enum moat_mode moat_tenant_mode(const struct moat_tenant *tenant);
struct moat_domain *moat_tenant_domain(struct moat_tenant *tenant);
/** Plain pages or hugepages: the page size of the tenant's memory in bytes. */
uint64_t moat_tenant_page_size(const struct moat_tenant *tenant);

/** Put a requester (a port's or queue's source-id) into the tenant's domain, or take it out: as
 * moat_domain_attach() and moat_domain_detach(). Control path. */
int moat_tenant_attach(struct moat_tenant *tenant, moat_sid_t sid);
int moat_tenant_detach(struct moat_tenant *tenant, moat_sid_t sid);

/** The socket id of the tenant's heap, for rte_eth_rx_queue_setup() and rte_eth_tx_queue_setup(). */
int moat_tenant_socket(const struct moat_tenant *tenant);

/**
 * A pool of `n` packet buffers with `data_room` bytes each (headroom included; rounded up to whole
 * pages). Freed by moat_tenant_destroy().
 * @return 0; -ENOMEM: too little tenant memory (says how much would do); -EEXIST.
 */
int moat_tenant_pool(struct moat_tenant *tenant, const char *name, unsigned int n,
	uint16_t data_room, struct rte_mempool **pool);

/**
 * Put the mode's callbacks on a port's queue (its rx and its tx side), and map the rings that the
 * tenant's heap holds by now. After the queues' set-up, before the port is started.
 * @return 0; -EEXIST: it has the queue; -ENOMEM; what rte_eth_add_rx_callback() says, or mapping the rings.
 * Control path, one thread at a time for a tenant.
 */
int moat_tenant_queue_add(struct moat_tenant *tenant, uint16_t port, uint16_t queue);
/**
 * Take them off, and free what mode pipelined still holds (moat_tenant_held() gets it first). The
 * queue's lcore has left.
 * @return 0; -ENOENT: it has no such queue; what unmapping rings that are gone says. Control path.
 */
int moat_tenant_queue_remove(struct moat_tenant *tenant, uint16_t port, uint16_t queue);

/**
 * The calling lcore begins / ends polling this tenant's queues. Leaving waits for the lcore's tickets and
 * gives its ready buffers to the others. An lcore that has entered polls, or other lcores' tickets wait.
 * @return 0; -EINVAL: no EAL lcore, or it had not entered; -ENOMEM; leaving: -ETIMEDOUT, -EIO: the unit does
 *   not answer (it has left all the same). Control path, each lcore for itself.
 */
int moat_tenant_lcore_enter(struct moat_tenant *tenant);
int moat_tenant_lcore_leave(struct moat_tenant *tenant);

/**
 * In every turn of the polling loop, also when no packet came: completes tickets, releases
 * quarantined buffers, flushes what a quiet queue left behind. Between two polls the lcore may use
 * translations; across one it may not, nor across rte_eth_rx_burst() in the modes that unmap. Data
 * path, never waits.
 */
void moat_tenant_poll(struct moat_tenant *tenant);

/**
 * Packets that mode pipelined still holds back on a queue, without asking the device for more: waits
 * for their tickets, and hands out up to `max`. An lcore that stops polling a queue for good calls
 * this until it returns 0, and no packet is lost. In the other modes, and where the unit does not
 * answer any more, 0. The calling lcore has entered and polls this queue.
 */
uint16_t moat_tenant_held(struct moat_tenant *tenant, uint16_t port, uint16_t queue,
	struct rte_mbuf *pkts[], uint16_t max);

/** The calling lcore's lane, or NULL before it entered. For applications that map on their own. */
struct moat_lane *moat_tenant_lane(struct moat_tenant *tenant);

struct moat_tenant_stats {
	struct moat_cost cost;       /* sum over lcores */
	struct moat_lane_stats lane; /* sum over lcores */
	uint64_t iotlb_hits, iotlb_misses, iotlb_faults;
	uint64_t verify_failed; /* received buffers the device had no right to write; dropped */
	uint64_t
		waits; /* times an lcore waited for a ticket: mode strict; else the lane was full */
	uint64_t quarantined; /* buffers waiting for their ticket now */
	uint64_t held;        /* packets held back now, mode pipelined */
	uint64_t starved;     /* allocations refused while buffers were quarantined */
	uint64_t map_failed;  /* packets not sent because their buffer could not be mapped */
	uint64_t overrun;     /* packets dropped: too many held back, or none free to copy into */
	uint64_t lost;        /* packets never handed on because the unit did not answer */
	uint64_t copied;      /* bytes, mode copy */
	uint64_t delay_max;   /* TSC cycles a packet was held back at most, mode pipelined */
};
/** Any thread; counters of running lcores are read as they are. */
void moat_tenant_stats(struct moat_tenant *tenant, struct moat_tenant_stats *stats);

/**
 * How a stage's cycles were spread over bursts, summed over lcores; MOAT_STAGES_MAPPING: all mapping
 * stages together. Bursts are counted while the lcore's stopwatch is on. Counters of running lcores are
 * read as they are. Control path.
 */
void moat_tenant_bursts(struct moat_tenant *tenant, enum moat_stage stage, struct moat_hist *hist);

/** The lcore's stopwatch: applications charge their own time to MOAT_STAGE_APPLICATION. */
struct moat_cost *moat_tenant_cost(struct moat_tenant *tenant);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_TENANT_H */
