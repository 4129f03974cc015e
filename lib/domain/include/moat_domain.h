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
 * moat_lane_flush() closes the batch, submits it at once or with the next few, and returns its
 * *ticket*; moat_lane_poll() finds tickets done. **When the ticket is done, no device and no lcore
 * can reach the old mapping**: (a) the units have completed every invalidation of the batch, and
 * (b) every lane of the domain that reads has polled since. Only then are the batch's IOVAs and
 * table pages reused, and only then may the caller hand on or reuse the buffer.
 *
 * (b) costs nothing while one lane reads a domain: polling is itself the point at which a lane
 * holds no translation. With more, it is a DPDK quiescent-state variable, polled, never waited for.
 *
 * A *nested* domain lies over a parent: it maps IOVAs to addresses of the parent's (guest-physical
 * ones, say), and the parent maps those to the host's. Devices of the child go through both: first
 * stage is the child's, second stage the parent's. A look-up goes through neither twice: the
 * child's shadow IOTLB holds the composed answer, which moat_lane_map() finds in the parent. So
 * what the child maps must be mapped in the parent by then, with at least the same permissions.
 * When the parent unmaps it, the child's entries lose their permissions at once and devices and
 * lcores reach it no more when the parent's ticket is done: that ticket covers the invalidations of
 * the children, and waits for their lanes. The child's entries stay mapped, permitting nothing,
 * until the child unmaps them; mapping the address in the parent again does not revive them.
 */

#include <rte_rcu_qsbr.h>

#include "moat_attach.h"
#include "moat_iotlb.h"
#include "moat_iova.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct moat_domain_conf {
	const char *name;
	/** Bits of IOVA, 0: the unit's; 32 for a 32-bit device. Where one lcore polls thousands of
	 * domains, IOVAs below 1 GiB are the fastest, and those below 64 GiB come next: their
	 * indices (struct moat_pt) take little address space. */
	uint8_t width;
	uint64_t iova_base; /* first IOVA that the allocator hands out, 0: MOAT_2M_SIZE */
	/** Sizes of leaves to use, of those the unit has: MOAT_2M_SIZE | MOAT_1G_SIZE; 0 or
	 * UINT64_MAX: all; MOAT_LEAF_4K_ONLY */
	uint64_t leaf_sizes;
	/** It can have children. The last GiB of its IOVAs (an eighth, with less than 33 bits)
	 * holds the children's tables, which the unit finds through the parent: the allocator gives
	 * nothing of it out, and lanes refuse it. Unmapping looks through all that the children map
	 * and so is for the control path. */
	bool nest_parent;
	/** NULL, or the domain below: a `nest_parent` of the same unit, which must outlive this
	 * one. */
	struct moat_domain *parent;
};

/** No leaf is larger than a page of 4 KiB. */
#define MOAT_LEAF_4K_ONLY MOAT_PAGE_SIZE

#define MOAT_DOMAIN_LANES 128
#define MOAT_DOMAIN_UNITS 8 /* that a domain can span */

/** Which part a domain has in nested translation. */
enum moat_nesting {
	MOAT_NEST_NONE = 0,
	MOAT_NEST_PARENT, /* second stage: its IOVAs are what children map to */
	MOAT_NEST_CHILD,  /* first stage over a parent */
};

struct moat_domain {
	char name[32];
	uint16_t did; /* on its own unit; see moat_domain_did() */
	uint8_t width;
	uint8_t nesting;        /* enum moat_nesting */
	struct moat_unit *unit; /* its own: more may follow, see moat_attach.h */
	struct moat_pt *pt;
	struct moat_iova *iova;
	void *priv;                   /* the unit's, with MOAT_TABLES_UNITS */
	struct moat_domain *parent;   /* of a child */
	struct rte_rcu_qsbr *readers; /* quiescence of lanes; see file comment */
	MOAT_ATOMIC(uint32_t) nr_readers;
	/* private members follow: struct domain_impl */
};

/**
 * Create a domain on a unit: an empty table, an IOVA space, a domain-id.
 *
 * @param unit its own; the domain may span others later
 * @param conf copied
 * @param[out] domain unchanged on an error
 * @return 0
 * @return -EINVAL: a NULL, no name, a width that the unit lacks; a parent that is on another
 *   unit or was not created as `nest_parent`, or a child that is to be one
 * @return -EOPNOTSUPP: the unit does not nest
 * @return -ENOSPC: no domain-id is left, or the parent has as many children as it can
 * @return -ETIMEDOUT, -EIO: the unit did not complete an invalidation (caching mode, RWBF)
 * @return -ENOMEM
 * @return the error of a unit that keeps the tables
 *
 * moat_error_text() has the sentence. Thread-safe. Control path.
 */
int moat_domain_create(struct moat_unit *unit, const struct moat_domain_conf *conf,
	struct moat_domain **domain);

/**
 * Detach every source, invalidate all of the domain, wait for the units, free.
 *
 * @param domain the domain
 * @return 0
 * @return -EINVAL: NULL
 * @return -EBUSY: lanes are open, or children are there
 * @return -ETIMEDOUT, -EIO: a unit does not answer; the domain stays (leaked on purpose: what a
 *   unit might still reach is never freed)
 * @return another error of a unit's that does not let a source go; the domain stays
 *
 * Thread safety: no other thread may use the domain. Control path; waits for the units.
 */
int moat_domain_destroy(struct moat_domain *domain);

/**
 * May a unit be destroyed? A unit's `destroy` asks before it changes anything.
 *
 * @param unit the unit
 * @return 0: no domain is on it
 * @return -EBUSY: domains are; a line that names the unit and up to four of them is logged, and is
 *   moat_error_text()
 *
 * Thread-safe; no other thread may create a domain on a unit that is to be destroyed. Control path.
 */
int moat_domain_unit_unused(const struct moat_unit *unit);

/* ------------------------------------------------------------------------------------ lanes */

/** Number of a closed batch on its lane: 2, 3, ... 0 is not a ticket. See moat_lane_done(). */
typedef uint64_t moat_ticket_t;

#define MOAT_LANE_BATCHES          64 /* closed and not done, at most */
/* Number of closed batches that are submitted at once, in an uncontended and a contended queue */
#define MOAT_LANE_TOGETHER         4
#define MOAT_LANE_TOGETHER_CROWDED 16
#define MOAT_LANE_WINDOWS          40 /* classes of exposure, by the power of two of TSC cycles */

struct moat_lane_stats {
	uint64_t pages_mapped;
	uint64_t pages_unmapped;
	uint64_t descriptors; /* wait descriptors not counted */
	uint64_t flushes; /* submissions, each with a wait descriptor; of one ticket or of some */
	uint64_t full;    /* submissions refused by a full queue */
	uint64_t retried; /* batches that the unit failed, submitted again for the whole domain */
	/* Pages handed on before their ticket was done, and for how long devices could reach
	 * them. */
	uint64_t exposed_pages;
	uint64_t exposed_page_cycles; /* pages times TSC cycles */
	uint64_t exposed_max;         /* TSC cycles, the longest of any page */
	/* Distribution: exposed_windows[i] pages could be reached for 2^i to 2^(i+1) - 1 cycles. */
	uint64_t exposed_windows[MOAT_LANE_WINDOWS];
};

/** A lane; only its address is used. `&lane->iotlb` is its shadow IOTLB; what follows is
 * private. */
struct moat_lane {
	struct moat_iotlb iotlb;
};

/**
 * Open a lane, offline: it may map, unmap, flush and poll, but must not translate.
 *
 * @param domain the domain
 * @return the lane
 * @return NULL: no domain, too many lanes, or out of memory (moat_error_text()).
 * Thread safety: any thread. Control path.
 */
struct moat_lane *moat_lane_open(struct moat_domain *domain);

/**
 * Flush, wait for all tickets, go offline, free.
 *
 * @param lane the lane
 * @return 0
 * @return -EINVAL: NULL
 * @return -ETIMEDOUT, -EIO: as moat_lane_drain(); the lane stays open
 *
 * Thread safety: the lane's own thread, or another one if that uses the lane no more. Control path.
 */
int moat_lane_close(struct moat_lane *lane);

/**
 * Map memory at an IOVA of the caller's choice (one of the allocator's, or of a fixed layout).
 *
 * On units with caching mode or RWBF this also invalidates, and waits for the unit; never on
 * others. A unit that keeps the tables is called, after what is gathered of these pages.
 *
 * @param lane the calling thread's
 * @param iova first IOVA, whole pages
 * @param hpa host physical address of the first byte; of a nested domain the parent's IOVA
 * @param va the processor's, or NULL. Of a nested domain NULL, or what the parent says
 * @param len bytes, whole pages
 * @param prot what devices may do
 * @return 0
 * @return -EEXIST, -ERANGE, -EINVAL, -ENOMEM: as moat_pt_map()
 * @return -EINVAL: a part of it is where interrupts go (MOAT_MSI_BASE): no request is translated
 *   there
 * @return -ERANGE: of a parent: the range holds the children's tables
 * @return -EFAULT: of a nested domain: the parent does not map all of it, or unmaps it meanwhile
 * @return -EACCES: of a nested domain: the parent maps it without a permission that is asked for
 *   (MOAT_W is MOAT_RW in first stage)
 * @return -EINVAL: of a nested domain: `va` is not what the parent says
 * @return -EAGAIN: what is gathered could not be flushed
 * @return -ETIMEDOUT, -EIO: the unit did not complete the invalidation
 * @return the error of a unit that keeps the tables
 *
 * On every error nothing is mapped.
 *
 * Thread safety: the lane's own thread. Data path.
 */
int moat_lane_map(struct moat_lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot);

/**
 * Clear the entries and gather the run. Nothing is invalidated before moat_lane_flush(); a batch
 * with no room for another run is flushed first.
 *
 * @param lane the calling thread's
 * @param iova first IOVA, whole pages
 * @param len bytes, whole pages
 * @return 0
 * @return -ENOENT: as moat_pt_unmap()
 * @return -ERANGE: of a parent: the range holds the children's tables
 * @return -EINVAL: as moat_pt_unmap(), or the unit would have to cut a map in two
 * @return -EAGAIN: MOAT_LANE_BATCHES are in flight: poll, and call again
 * @return -ENOMEM: no memory for a batch
 *
 * On every error nothing has changed.
 *
 * Thread safety: the lane's own thread. Data path.
 */
int moat_lane_unmap(struct moat_lane *lane, uint64_t iova, uint64_t len);

/**
 * As moat_lane_unmap(), of pages that are handed on at once, before their ticket (mode deferred).
 * The caller must bound the time in which devices still reach them; see moat_lane_expose().
 *
 * @param lane the calling thread's
 * @param iova first IOVA, whole pages
 * @param len bytes, whole pages
 * @return as moat_lane_unmap()
 *
 * Thread safety: the lane's own thread. Data path.
 */
int moat_lane_unmap_early(struct moat_lane *lane, uint64_t iova, uint64_t len);

/**
 * As moat_lane_unmap(), and the IOVA range goes back to the domain's allocator when the ticket is
 * done.
 *
 * @param lane the calling thread's
 * @param iova first IOVA of a range of the allocator's
 * @param len its bytes
 * @return as moat_lane_unmap(), and
 * @return -EINVAL: [iova, iova + len) is not a range as moat_iova_alloc() gave it. Ranges of up to
 *   64 pages are looked up only in a build with MOAT_DEBUG, because that takes a lock.
 *
 * Thread safety: the lane's own thread. Data path.
 */
int moat_lane_unmap_free(struct moat_lane *lane, uint64_t iova, uint64_t len);

/**
 * Close what is gathered and submit it, at once or with the next few batches.
 *
 * A batch that is closed while nothing of the lane is in flight is submitted at once. Otherwise up
 * to MOAT_LANE_TOGETHER batches coalesce into one submission, neighbours in IOVA into one run: they
 * are submitted by the flush that closes the last of them, or by the poll that finds nothing in
 * flight. In a contended queue they are submitted when MOAT_LANE_TOGETHER_CROWDED have been closed,
 * or after as many polls.
 *
 * @param lane the calling thread's
 * @return the batch's ticket; the last ticket if nothing was gathered
 * @return 0: a unit that keeps the tables refuses: nothing is lost, poll and call again. (A full
 *   queue is tried again by each poll.)
 *
 * Thread safety: the lane's own thread. Data path.
 */
moat_ticket_t moat_lane_flush(struct moat_lane *lane);

/**
 * Submit all closed batches now. Call it before busy-waiting for a ticket.
 *
 * @param lane the calling thread's
 *
 * Thread safety: the lane's own thread. Data path.
 */
void moat_lane_send(struct moat_lane *lane);

/**
 * Report a quiescent state of this lane (the caller must hold no translation of it), find tickets
 * done, and reclaim what they release. Never waits.
 *
 * @param lane the calling thread's
 * @return the last ticket that is done
 * Thread safety: the lane's own thread. Data path.
 */
moat_ticket_t moat_lane_poll(struct moat_lane *lane);

/**
 * Prefetch what the next burst on a lane touches. With thousands of domains used in turn all of it
 * has left the processor's caches since the lane's last turn. A poll loop knows which lanes come
 * next; it makes three calls a turn, each for another lane:
 *
 *     moat_lane_prefetch(lane[i + 3], iova[i + 3], 3);   the lane itself
 *     moat_lane_prefetch(lane[i + 2], iova[i + 2], 2);   what the lane points at
 *     moat_lane_prefetch(lane[i + 1], iova[i + 1], 1);   the table's entries
 *
 * Each reads what the one before has fetched, so that none of them waits for memory. Not worth its
 * time with fewer domains than the caches hold, some hundreds.
 *
 * @param lane any open lane of the calling thread's
 * @param iova where the burst will map, unmap or translate
 * @param turns until then: 3, 2 or 1
 *
 * Has no effect but on caches. Thread safety: the lane's own thread. Data path.
 */
void moat_lane_prefetch(const struct moat_lane *lane, uint64_t iova, unsigned int turns);

/**
 * Note pages that were handed on before their ticket. Their exposure ends when the ticket is done,
 * and is counted in the lane's stats.
 *
 * @param lane the calling thread's
 * @param pages 4 KiB pages of what is gathered
 * @param since TSC at which they were handed on
 *
 * Thread safety: the lane's own thread. Data path.
 */
void moat_lane_expose(struct moat_lane *lane, uint32_t pages, uint64_t since);

/**
 * Whether a ticket of this lane is done. Then no device and no lcore reaches what it covers, and
 * the calling thread sees all that came before.
 *
 * @param lane any open lane
 * @param ticket of that lane
 * @return true: it is done
 *
 * Thread safety: any thread, while the lane is open. Data path.
 */
bool moat_lane_done(const struct moat_lane *lane, moat_ticket_t ticket);

/**
 * Ask the lane to close and submit what it has gathered: its next poll does, or the next turn of a
 * wait of its thread's. For a thread that waits for a ticket which the lane has not closed yet
 * (mode deferred).
 *
 * @param lane any open lane
 *
 * Thread safety: any thread, while the lane is open. Data path.
 */
void moat_lane_ask(struct moat_lane *lane);

/**
 * Poll a lane that its thread has left: one that went offline, or ended, before all of its tickets
 * were done. What it has gathered is closed and submitted. Does nothing to any other lane, nor
 * while another thread does the same. For a thread that waits for a ticket of the lane: call it in
 * the loop. Never waits.
 *
 * @param lane any open lane
 *
 * Thread safety: any thread, while the lane is open. Data path.
 */
void moat_lane_help(struct moat_lane *lane);

/**
 * Flush and poll until every ticket is done. It waits, and reports quiescent states of all of the
 * thread's lanes meanwhile.
 *
 * @param lane the calling thread's
 * @return 0
 * @return -ETIMEDOUT: nothing was done for 1 s; moat_error_text() says what is missing
 * @return -EIO: a unit is dead
 * @return the error of a unit that keeps the tables: what it did not unmap stays gathered
 *
 * Thread safety: the lane's own thread. Control path, and mode strict.
 */
int moat_lane_drain(struct moat_lane *lane);

/* -------------------------------------------------------------- what a lane shows of itself */

/**
 * The last ticket that is done. All before it are done, too.
 *
 * @param lane any open lane
 * @return the ticket
 *
 * Thread safety: any thread, as moat_lane_done(). Data path.
 */
moat_ticket_t moat_lane_last_done(const struct moat_lane *lane);

/**
 * What the next flush would submit.
 *
 * @param lane the calling thread's
 * @return 4 KiB pages gathered since the last flush
 *
 * Thread safety: the lane's own thread. Data path.
 */
uint32_t moat_lane_gathered(const struct moat_lane *lane);

/**
 * The ticket that the next flush gives to what is gathered.
 *
 * @param lane the calling thread's
 * @return the ticket
 *
 * Thread safety: the lane's own thread. Data path.
 */
moat_ticket_t moat_lane_next_ticket(const struct moat_lane *lane);

/**
 * The last ticket given out.
 *
 * @param lane the calling thread's
 * @return the ticket
 *
 * Thread safety: the lane's own thread. Data path.
 */
moat_ticket_t moat_lane_last_ticket(const struct moat_lane *lane);

/**
 * How many batches can be closed before one must be done.
 *
 * @param lane the calling thread's
 * @return 0 to MOAT_LANE_BATCHES
 *
 * Thread safety: the lane's own thread. Data path.
 */
unsigned int moat_lane_room(const struct moat_lane *lane);

/**
 * How many runs are gathered since the last flush.
 *
 * @param lane the calling thread's
 * @return the runs
 *
 * Thread safety: the lane's own thread. Data path.
 */
unsigned int moat_lane_runs(const struct moat_lane *lane);

/**
 * One of the gathered runs.
 *
 * @param lane the calling thread's
 * @param i less than moat_lane_runs()
 * @return the run
 *
 * Thread safety: the lane's own thread. Data path.
 */
struct moat_range moat_lane_run(const struct moat_lane *lane, unsigned int i);

/**
 * How many more runs can be gathered before the batch is full.
 *
 * @param lane the calling thread's
 * @return the runs
 *
 * Thread safety: the lane's own thread. Data path.
 */
unsigned int moat_lane_run_room(const struct moat_lane *lane);

/**
 * Let moat_lane_unmap() do what moat_lane_unmap_early() does, from now on.
 *
 * @param lane the calling thread's
 * @param early false: as usual again
 *
 * Thread safety: the lane's own thread. Data path.
 */
void moat_lane_hand_on_early(struct moat_lane *lane, bool early);

/**
 * Let maps take back unmaps of this lane whose tickets are not done, from now on: for pages that
 * were not handed on after all, and are mapped again for what they were mapped before. Nothing but
 * the unit's witness (moat_unit.h) tells such a map from another.
 *
 * @param lane the calling thread's
 * @param back false: as usual again
 *
 * Thread safety: the lane's own thread. Control path.
 */
void moat_lane_take_back(struct moat_lane *lane, bool back);

/**
 * The lane's stock of IOVAs, for moat_iova_alloc() and moat_iova_free().
 *
 * @param lane the calling thread's
 * @return the stock, valid while the lane is open
 *
 * Thread safety: the lane's own thread. Data path.
 */
struct moat_iova_cache *moat_lane_iovas(struct moat_lane *lane);

/**
 * The domain of a lane.
 *
 * @param lane any open lane
 * @return its domain
 *
 * Thread safety: any thread. Data path.
 */
struct moat_domain *moat_lane_domain(const struct moat_lane *lane);

/**
 * A lane's counters, each as it is now.
 *
 * @param lane any open lane
 * @return the counters, valid while the lane is open
 *
 * Thread safety: any thread. Control path.
 */
const struct moat_lane_stats *moat_lane_stats(const struct moat_lane *lane);

/* ------------------------------------------------------------------------------- readers */

/**
 * Become a reader: from here on the lane may translate, and must be polled, because other lanes'
 * tickets wait for it. Before the calling thread blocks or stops polling it must set the lane
 * offline, and hold no translation.
 *
 * liburcu's urcu-qsbr needs no care. The first online lane of a thread registers it and takes it
 * online there; the last one that goes offline undoes that, so that no grace period waits for the
 * thread. A thread that has registered itself stays registered: its last lane only takes it offline
 * (a thread that still reads RCU data of its own must then call rcu_thread_online()).
 *
 * A thread that waits in one of moat's calls reports quiescent states of all its lanes meanwhile:
 * it must hold no translation of any lane across moat_lane_drain(), moat_lane_close(),
 * moat_domain_attach(), moat_domain_detach(), moat_domain_destroy(), or moat_lane_map() on a unit
 * with caching mode or RWBF. A thread must set its lanes offline before it ends.
 *
 * @param lane the calling thread's
 *
 * Thread safety: the lane's own thread. Control path.
 */
void moat_lane_online(struct moat_lane *lane);

/**
 * Stop being a reader. The thread must hold no translation of the lane, and may block afterwards
 * (see moat_lane_online()). Closes and submits what is gathered and waits for the lane's tickets:
 * other threads may need them, and only this thread finds them done. It waits 10 ms at most for a
 * unit that completes nothing, and 1 s for readers that do not poll. With nothing in flight it
 * waits for nothing. A ticket that is not done by then is completed by the lane's thread when it
 * uses the lane again, or by any thread that waits for it and calls moat_lane_help().
 *
 * @param lane the lane
 *
 * Thread safety: the lane's own thread, or another one if that uses the lane no more. Control path.
 */
void moat_lane_offline(struct moat_lane *lane);

/**
 * One turn of a loop that waits for anything but a lane: report a quiescent state for each lane
 * that the calling thread has online (for the next 64 of them where there are more), and to
 * liburcu; find tickets of these lanes done, because other threads may wait for them. The thread
 * must hold no translation. Every loop that waits while the thread has lanes online must call it,
 * and no thread may wait for a lock whose holder waits for readers.
 *
 * Thread safety: any thread. Data path.
 */
void moat_lanes_quiescent(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_DOMAIN_H */
