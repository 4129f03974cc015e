/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_DOMAIN_H
#define MOAT_DOMAIN_H

/**
 * @file
 * A DMA protection domain, and the one invariant.
 *
 * A domain is a page table, an IOVA space, the sources attached to it, and the lcores that use it.
 * Each such lcore holds a *lane*: the batch of unmaps it is gathering, the batches in flight, and
 * its shadow IOTLB. All calls on a lane come from one thread at a time.
 *
 * Unmapping is three steps: moat_lane_unmap() clears the entries and gathers the run;
 * moat_lane_flush() submits the batch, at once or with the next few, and returns its *ticket*;
 * moat_lane_poll() finds tickets done. **When the ticket is done, no device and no lcore can reach the old mapping**: (a) the unit
 * has completed every invalidation of the batch, and (b) every lane of the domain that reads has
 * polled since. Only then are the batch's IOVAs and table pages reused, and only then may the
 * caller hand on or reuse the buffer.
 *
 * (b) costs nothing while one lane reads a domain: polling is itself the point at which a lane
 * holds no translation. With more, it is a DPDK quiescent-state variable, polled, never waited for.
 */

#include <rte_rcu_qsbr.h>

#include "moat_attach.h"
#include "moat_iotlb.h"
#include "moat_iova.h"

#ifdef __cplusplus
extern "C" {
#endif

struct moat_domain_conf {
	const char *name;
	uint8_t width;       /* bits of IOVA, 0: the unit's; 32 for a 32-bit device */
	uint64_t iova_base;  /* first IOVA that the allocator hands out, 0: MOAT_2M_SIZE */
	/** Sizes of leaves to use, of those the unit has: MOAT_2M_SIZE | MOAT_1G_SIZE; 0 or UINT64_MAX:
	 * all; MOAT_LEAF_4K_ONLY */
	uint64_t leaf_sizes;
};

/** No leaf is larger than a page of 4 KiB. */
#define MOAT_LEAF_4K_ONLY MOAT_PAGE_SIZE

#define MOAT_DOMAIN_LANES 128
#define MOAT_DOMAIN_UNITS 8 /* that a domain can span */

struct moat_domain {
	char name[32];
	uint16_t did; /* on its own unit; see moat_domain_did() */
	uint8_t width;
	struct moat_unit *unit; /* its own: more may follow, see moat_attach.h */
	struct moat_pt *pt;
	struct moat_iova *iova;
	void *priv;                   /* the unit's, with MOAT_TABLES_UNITS */
	struct rte_rcu_qsbr *readers; /* quiescence of lanes; see file comment */
	MOAT_ATOMIC(uint32_t) nr_readers;
	/* moat_domain.c's own follows in struct domain_impl */
};

/**
 * @return 0; -EINVAL: a width that the unit lacks, or no unit or name; -ENOSPC: no domain-id left; -ENOMEM.
 * moat_error_text() has the sentence. Control path.
 */
int moat_domain_create(struct moat_unit *unit, const struct moat_domain_conf *conf,
	struct moat_domain **domain);

/**
 * Detach every source, invalidate all of the domain, wait for the unit, free.
 * @return 0; -EBUSY: lanes are open; -ETIMEDOUT, -EIO: the unit does not answer: the domain stays
 *   (leaked on purpose: what a unit might still reach is never freed).
 */
int moat_domain_destroy(struct moat_domain *domain);

/* ------------------------------------------------------------------------------------ lanes */

/** Number of a flushed batch on its lane: 2, 3, ... It is done when <= lane->done; 0 is none. */
typedef uint64_t moat_ticket_t;

#define MOAT_LANE_BATCHES          64 /* in flight at most; a power of two */
/* Tickets that one submission serves at most; while other lcores use the queue, too, more */
#define MOAT_LANE_TOGETHER         4
#define MOAT_LANE_TOGETHER_CROWDED 16
#define MOAT_LANE_WINDOWS          40 /* classes of exposure, by the power of two of TSC cycles */

struct moat_lane_stats {
	uint64_t pages_mapped;
	uint64_t pages_unmapped;
	uint64_t descriptors; /* wait descriptors not counted */
	uint64_t flushes; /* submissions, each with a wait descriptor; of one ticket or of some */
	uint64_t full;    /* submissions refused by a full queue */
	uint64_t retried; /* batches that the unit failed and that were submitted again, wider */
	/* Pages handed on before their ticket was done, and for how long devices could reach them. */
	uint64_t exposed_pages;
	uint64_t exposed_page_cycles; /* pages times TSC cycles */
	uint64_t exposed_max;         /* TSC cycles, the longest of any page */
	/* Distribution: exposed_windows[i] pages could be reached for 2^i to 2^(i+1) - 1 cycles. */
	uint64_t exposed_windows[MOAT_LANE_WINDOWS];
};

/** A lane; only its address is used. `&lane->iotlb` is its shadow IOTLB; what follows is private. */
struct moat_lane {
	struct moat_iotlb iotlb;
};

/**
 * A lane opens offline: it may map, unmap, flush and poll, but not translate.
 * @return NULL: too many lanes, or out of memory (moat_error_text()). Control path.
 */
struct moat_lane *moat_lane_open(struct moat_domain *domain);
/** Flushes, waits for all tickets, leaves. @return 0, -ETIMEDOUT, -EIO (the lane stays). */
int moat_lane_close(struct moat_lane *lane);

/**
 * Map memory at an IOVA of the caller's choice (one of the allocator's, or of a fixed layout).
 * With caching mode or RWBF this also invalidates, and waits for the unit (never on a unit without).
 * A unit that keeps the tables is called, with what is gathered of these pages first.
 * @return as moat_pt_map(), or the unit's error; -EAGAIN: what is gathered could not be flushed.
 *   Nothing is mapped then. Data path.
 */
int moat_lane_map(struct moat_lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot);

/**
 * Clear the entries and gather the run. Nothing is invalidated before moat_lane_flush(); a batch
 * with no room for another run is flushed first.
 * @return as moat_pt_unmap(); -EAGAIN: queue or lane is full, nothing has changed: poll first;
 *   -EINVAL also where a unit that keeps the tables would have to cut a map in two.
 * Data path.
 */
int moat_lane_unmap(struct moat_lane *lane, uint64_t iova, uint64_t len);
/**
 * The same for pages that are handed on at once, before their ticket (mode deferred): the window is
 * the caller's to bound. See moat_lane_expose(). Data path.
 */
int moat_lane_unmap_early(struct moat_lane *lane, uint64_t iova, uint64_t len);
/**
 * The same, and the IOVA range goes back to the domain's allocator once the ticket is done.
 * @return also -EINVAL where [iova, iova + len) is not a range as moat_iova_alloc() gave it. Ranges of
 *   up to 64 pages are looked up only in a build with MOAT_DEBUG, as that takes a lock.
 */
int moat_lane_unmap_free(struct moat_lane *lane, uint64_t iova, uint64_t len);

/**
 * Close what is gathered, and submit it: at once when nothing of this lane is at the unit, else with
 * its neighbours. While the unit is at work, up to MOAT_LANE_TOGETHER tickets go as one batch, neighbours
 * in IOVA as one run, with one wait descriptor: what waits is submitted by the flush that makes it so
 * many, or by the poll that finds the unit through, whichever comes first. So a lone burst never waits
 * for company, and a stream of them costs the queue a fraction. Where other lcores use the same queue,
 * its lines have to come from their processors each time; then up to MOAT_LANE_TOGETHER_CROWDED go as one,
 * and a lone one goes with the poll of that number.
 * @return its ticket; the last ticket when nothing was gathered; 0 when the lane is full (or a unit
 *   that keeps the tables refuses): nothing is lost, poll and call again. A full queue is tried again by
 *   each poll. Data path.
 */
moat_ticket_t moat_lane_flush(struct moat_lane *lane);

/** Submit now what moat_lane_flush() keeps for company: for who will do nothing but wait. Data path. */
void moat_lane_send(struct moat_lane *lane);

/**
 * A quiescent state of this lane (it holds no translation and no pointer from one), and: find
 * tickets done, reclaim what they release. Never waits. @return lane->done. Data path.
 */
moat_ticket_t moat_lane_poll(struct moat_lane *lane);

/** `pages` of what is gathered were handed on at TSC `since`, before their ticket: mode deferred's
 * window, which ends when the ticket is done and is counted in the lane's stats. Data path. */
void moat_lane_expose(struct moat_lane *lane, uint32_t pages, uint64_t since);

/**
 * Is the ticket of this lane done? Then no device and no lcore reaches what it covers, as far as the
 * calling thread can see, too. The lane must be open. Any thread, data path.
 */
bool moat_lane_done(const struct moat_lane *lane, moat_ticket_t ticket);

/* What a lane shows of itself. Its own thread's, as all calls on a lane. Data path. */
/** 4 KiB pages gathered since the last flush. */
uint32_t moat_lane_gathered(const struct moat_lane *lane);
/** The ticket that the next flush will give to what is gathered now. */
moat_ticket_t moat_lane_next_ticket(const struct moat_lane *lane);
/** The last ticket given out. */
moat_ticket_t moat_lane_last_ticket(const struct moat_lane *lane);
/** The last ticket that is done; every one before it is, too. Any thread, as moat_lane_done(). */
moat_ticket_t moat_lane_last_done(const struct moat_lane *lane);
/** Tickets that can be given out before one must be done, 0 to MOAT_LANE_BATCHES. */
unsigned int moat_lane_room(const struct moat_lane *lane);
/** Runs gathered since the last flush, and the i-th of them. */
unsigned int moat_lane_runs(const struct moat_lane *lane);
struct moat_range moat_lane_run(const struct moat_lane *lane, unsigned int i);
/** From now on, what is unmapped is handed on at once, as by moat_lane_unmap_early(); or not. */
void moat_lane_hand_on_early(struct moat_lane *lane, bool early);
/** Runs that moat_lane_unmap_free() can still gather before the batch is flushed. */
unsigned int moat_lane_run_room(const struct moat_lane *lane);
/** The lane's stock of IOVAs, for moat_iova_alloc() and moat_iova_free(). */
struct moat_iova_cache *moat_lane_iovas(struct moat_lane *lane);
struct moat_domain *moat_lane_domain(const struct moat_lane *lane);
/** Counters; any thread may read them, each as it is. */
const struct moat_lane_stats *moat_lane_stats(const struct moat_lane *lane);

/** Flush and poll until all is done. @return 0, -ETIMEDOUT (with diagnosis), -EIO; with a unit that
 * keeps the tables its own error: what it did not unmap stays gathered, and is never done. */
int moat_lane_drain(struct moat_lane *lane);

/**
 * Become a reader: from here on the lane may translate, and must be polled, because other lanes'
 * tickets wait for it. Before the calling thread blocks or stops polling it must set the lane offline,
 * and hold no translation.
 *
 * liburcu's urcu-qsbr needs no care. The first online lane of a thread registers it and takes it
 * online there; the last one that goes offline undoes that, so that no grace period waits for the
 * thread. A thread that has registered itself stays registered: its last lane only takes it offline
 * (a thread that still reads RCU data of its own must then call rcu_thread_online()).
 *
 * A thread that waits in one of moat's calls reports quiescent states of all its lanes meanwhile: it
 * must hold no translation of any lane across moat_lane_drain(), moat_lane_close(),
 * moat_domain_attach(), moat_domain_detach(), moat_domain_destroy(), or moat_lane_map() on a unit
 * with caching mode or RWBF. A thread that ends sets its lanes offline.
 *
 * moat_lane_offline() may be called from another thread than the one that has the lane online, if
 * that one uses the lane no more. Control path.
 */
void moat_lane_online(struct moat_lane *lane);
void moat_lane_offline(struct moat_lane *lane);

/**
 * One turn of a loop that waits for anything but a lane: report a quiescent state for each lane that
 * the calling thread has online (for the next 64 of them where there are more), and to liburcu. The
 * thread must hold no translation. Every loop that waits while the thread has lanes online must call
 * it, and no thread may wait for a lock whose holder waits for readers. Any thread, data path.
 */
void moat_lanes_quiescent(void);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_DOMAIN_H */
