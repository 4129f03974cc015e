/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_DOMAIN_H
#define MOAT_DOMAIN_H

/**
 * @file
 * A DMA protection domain, and the one invariant.
 *
 * A domain is a page table, an IOVA space, the requesters attached to it, and the lcores that use
 * it. Each such lcore holds a *lane*: the batch of unmaps it is gathering, the batches in flight,
 * and its shadow IOTLB. All calls on a lane come from one thread at a time.
 *
 * Unmapping is three steps: moat_lane_unmap() clears the entries and gathers the run;
 * moat_lane_flush() closes the batch, submits it at once or with the next few, and returns its
 * *ticket*; moat_lane_poll() finds tickets done. **When the ticket is done, no device and no lcore
 * can reach the old mapping**: (a) the units have completed every invalidation of the batch, and
 * (b) every online lane of the domain has polled since. Only then are the batch's IOVAs and table
 * pages reused, and only then may the caller hand on or reuse the buffer.
 *
 * (b) costs nothing while one lane of a domain is online: a lane holds no translation when it
 * polls. With more, (b) is checked in a DPDK quiescent-state variable, without waiting.
 *
 * A *nested* domain lies over a parent: it maps IOVAs to addresses of the parent (guest-physical
 * ones, for example), and the parent maps these to host physical addresses. Requests of the child's
 * devices are translated by both: first stage is the child's, second stage the parent's. A look-up
 * in software is a single one: the child's shadow IOTLB holds the composed answer, which
 * moat_lane_map() finds in the parent. So the parent must map an address, with at least the same
 * permissions, before the child maps to it. When the parent unmaps the address, the child's entries
 * lose their permissions at once. When the parent's ticket is done, no device and no lcore reaches
 * the memory through the child: the ticket covers the children's invalidations and waits for their
 * lanes. The child's entries stay mapped, without permissions, until the child unmaps them, even if
 * the parent maps the address again.
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
	/** Leaf sizes to use, if the unit has them: MOAT_2M_SIZE | MOAT_1G_SIZE; 0 or UINT64_MAX:
	 * all; MOAT_LEAF_4K_ONLY */
	uint64_t leaf_sizes;
	/** The domain can have children. The last GiB of its IOVAs (an eighth of them, with less
	 * than 33 bits) holds the children's tables, which the unit finds through the parent: the
	 * allocator does not hand these IOVAs out, and lanes refuse them. An unmap searches the
	 * tables of all children, so it is for the control path only. */
	bool nest_parent;
	/** NULL, or the parent: a domain of the same unit, created with `nest_parent`, which must
	 * outlive this domain. */
	struct moat_domain *parent;
};

/** A value of `leaf_sizes`: no leaf is larger than 4 KiB. */
#define MOAT_LEAF_4K_ONLY MOAT_PAGE_SIZE

#define MOAT_DOMAIN_LANES 128 /* lanes of a domain, with those of its children, at most */
#define MOAT_DOMAIN_UNITS 8   /* units that a domain can span, at most */

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
	struct moat_unit *unit; /* its own; it may span others, too: see moat_attach.h */
	struct moat_pt *pt;
	struct moat_iova *iova;
	void *priv;                       /* the unit's, with MOAT_TABLES_UNITS */
	struct moat_domain *parent;       /* of a child, else NULL */
	struct rte_rcu_qsbr *readers;     /* quiescence of lanes; see file comment */
	MOAT_ATOMIC(uint32_t) nr_readers; /* lanes that translate, with those of children */

	/* private members follow: struct domain_impl */
};

/**
 * Create a domain on a unit: an empty table, an IOVA space, a domain-id.
 *
 * @param unit the domain's own unit; the domain may span others later
 * @param conf copied
 * @param[out] domain unchanged on an error
 * @return 0
 * @return -EINVAL: an argument or the name is NULL; the unit lacks the width, or `iova_base` is not
 *   in it; the parent is on another unit or was not created with `nest_parent`; a child is to be a
 *   parent, too
 * @return -EOPNOTSUPP: the unit does not nest
 * @return -ENOSPC: no domain-id is left, or the parent can have no more children
 * @return -ETIMEDOUT, -EIO: the unit did not complete an invalidation (caching mode, RWBF)
 * @return -ENOMEM
 * @return the error of a unit that keeps the tables
 *
 * moat_error_text() has the sentence. Thread-safe. Control path.
 */
int moat_domain_create(struct moat_unit *unit, const struct moat_domain_conf *conf,
	struct moat_domain **domain);

/**
 * Detach every requester, invalidate all of the domain, wait for the units, and free the domain.
 *
 * @param domain the domain
 * @return 0
 * @return -EINVAL: `domain` is NULL
 * @return -EBUSY: the domain has open lanes, or children
 * @return -ETIMEDOUT, -EIO: a unit does not answer; the domain stays (leaked on purpose: what a
 *   unit might still reach is never freed)
 * @return another error of a unit that does not detach a requester; the domain stays
 *
 * Thread safety: no other thread may use the domain. Control path; waits for the units.
 */
int moat_domain_destroy(struct moat_domain *domain);

/**
 * Check that no domain is on a unit. A unit's `destroy` must call it before it changes anything.
 *
 * @param unit the unit
 * @return 0: no domain is on it
 * @return -EBUSY: there are domains; moat_error_text() names the unit and up to four domains, and
 *   is logged, too
 *
 * Thread-safe; no other thread may create a domain on a unit that is to be destroyed. Control path.
 */
int moat_domain_unit_unused(const struct moat_unit *unit);

/* ------------------------------------------------------------------------------------ lanes */

/** Number of a closed batch on its lane: 2, 3, ... Ticket 1 is done from the start; 0 is not a
 * ticket. See moat_lane_done(). */
typedef uint64_t moat_ticket_t;

#define MOAT_LANE_BATCHES          64 /* batches closed and not done, at most */
/* Number of batches that coalesce, in an uncontended queue and in a contended one */
#define MOAT_LANE_TOGETHER         4
#define MOAT_LANE_TOGETHER_CROWDED 16
#define MOAT_LANE_WINDOWS          40 /* classes of exposure, by the power of two of TSC cycles */

struct moat_lane_stats {
	uint64_t pages_mapped;
	uint64_t pages_unmapped;
	uint64_t descriptors; /* wait descriptors not counted */
	uint64_t flushes;     /* submissions of 1 or more batches, with a wait descriptor each */
	uint64_t full;        /* submissions refused, usually by a full queue */
	uint64_t retried;     /* batches that a unit refused, resubmitted for the whole domain */
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
 * Open a lane. It is offline: it may map, unmap, flush and poll, but must not translate.
 *
 * @param domain the domain
 * @return the lane
 * @return NULL: `domain` is NULL, too many lanes, or out of memory (moat_error_text())
 *
 * Thread safety: any thread. Control path.
 */
struct moat_lane *moat_lane_open(struct moat_domain *domain);

/**
 * Flush, wait for all tickets, go offline, and free the lane.
 *
 * @param lane the lane
 * @return 0
 * @return -EINVAL: `lane` is NULL
 * @return an error as of moat_lane_drain(); the lane stays open
 *
 * Thread safety: the lane's own thread, or another thread once the lane's own no longer uses the
 * lane. Control path.
 */
int moat_lane_close(struct moat_lane *lane);

/**
 * Map memory at an IOVA of the caller's choice (from the allocator, or of a fixed layout).
 *
 * On a unit with caching mode or RWBF the call also invalidates, and waits for the unit; on others
 * it does not wait, unless a nested domain takes a failed map back. If a unit that keeps the tables
 * has to map gathered pages, the lane is flushed first.
 *
 * @param lane the calling thread's
 * @param iova first IOVA, whole pages
 * @param hpa host physical address of the first byte; in a nested domain the parent's IOVA
 * @param va virtual address of the first byte, or NULL. In a nested domain NULL, or the parent's
 * @param len bytes, whole pages
 * @param prot what devices may do
 * @return 0
 * @return -EEXIST, -ERANGE, -EINVAL, -ENOMEM: as moat_pt_map()
 * @return -EINVAL: a part is in the range of interrupt requests (MOAT_MSI_BASE), which is never
 *   translated
 * @return -ERANGE: in a parent: the range holds the children's tables
 * @return -EFAULT: in a nested domain: the parent does not map all of it, or unmaps it meanwhile
 * @return -EACCES: in a nested domain: the parent's map lacks a permission in `prot` (in first
 *   stage MOAT_W counts as MOAT_RW)
 * @return -EINVAL: in a nested domain: `va` is not the parent's
 * @return -EAGAIN: gathered pages could not be flushed
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
 * Clear the entries and gather the run. Nothing is invalidated before moat_lane_flush(). If the
 * batch has no room for another run, it is flushed first.
 *
 * @param lane the calling thread's
 * @param iova first IOVA, whole pages
 * @param len bytes, whole pages
 * @return 0
 * @return -ENOENT: as moat_pt_unmap()
 * @return -ERANGE: in a parent: the range holds the children's tables
 * @return -EINVAL: as moat_pt_unmap(), or the unit cannot unmap a part of a map
 * @return -EAGAIN: MOAT_LANE_BATCHES batches are in flight, or a full batch could not be flushed:
 *   poll, and call again
 * @return -ENOMEM: no memory for a batch
 *
 * On every error nothing has changed.
 *
 * Thread safety: the lane's own thread. Data path.
 */
int moat_lane_unmap(struct moat_lane *lane, uint64_t iova, uint64_t len);

/**
 * As moat_lane_unmap(), but the pages are handed on at once, before their ticket is done (mode
 * deferred). The caller must bound the time in which devices still reach them; see
 * moat_lane_expose().
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
 * @param iova first IOVA of a range that moat_iova_alloc() gave
 * @param len bytes of the range
 * @return as moat_lane_unmap(), and
 * @return -EINVAL: [iova, iova + len) is not a range as moat_iova_alloc() gave it. Small runs (a
 *   power of two of up to 64 pages) are checked only in a build with MOAT_DEBUG, because the check
 *   takes a lock.
 *
 * Thread safety: the lane's own thread. Data path.
 */
int moat_lane_unmap_free(struct moat_lane *lane, uint64_t iova, uint64_t len);

/**
 * Close what is gathered and submit it, at once or with the next few batches.
 *
 * In an uncontended queue, a batch that is closed while nothing of the lane is in flight is
 * submitted at once. Otherwise up to MOAT_LANE_TOGETHER batches coalesce into one submission, and
 * neighbouring IOVAs into one run: the batches are submitted by the flush that closes the last of
 * them, or by the poll that finds nothing in flight. In a contended queue they are submitted when
 * MOAT_LANE_TOGETHER_CROWDED have been closed, or after as many polls.
 *
 * @param lane the calling thread's
 * @return the batch's ticket; the last ticket if nothing was gathered
 * @return 0: a unit that keeps the tables has refused; what it did not unmap stays gathered: poll
 *   and call again. (A full queue is no error: each poll tries again.)
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
 *
 * Thread safety: the lane's own thread. Data path.
 */
moat_ticket_t moat_lane_poll(struct moat_lane *lane);

/**
 * Prefetch what the next burst on a lane touches. If thousands of domains are used in turn, the
 * processor's caches have lost it since the lane's last burst. Before each burst, a poll loop makes
 * three calls, for the next three lanes:
 *
 *     moat_lane_prefetch(lane[i + 3], iova[i + 3], 3);   the lane itself
 *     moat_lane_prefetch(lane[i + 2], iova[i + 2], 2);   what the lane points at
 *     moat_lane_prefetch(lane[i + 1], iova[i + 1], 1);   the table's entries
 *
 * A call reads only what the previous call for the same lane has fetched, so that it does not wait
 * for memory. The calls do not pay with fewer domains than the caches hold, some hundreds.
 *
 * @param lane any open lane of the calling thread's
 * @param iova where the burst will map, unmap or translate
 * @param turns 3, 2 or 1: the lane's burst is the third, the second or the next
 *
 * Has no effect but on caches. Thread safety: the lane's own thread. Data path.
 */
void moat_lane_prefetch(const struct moat_lane *lane, uint64_t iova, unsigned int turns);

/**
 * Record pages that were handed on before their ticket is done. Their exposure ends when the ticket
 * is done, and is counted in the lane's stats.
 *
 * @param lane the calling thread's
 * @param pages number of gathered 4 KiB pages that were handed on
 * @param since TSC at which they were handed on; in a batch the first call's value counts
 *
 * Thread safety: the lane's own thread. Data path.
 */
void moat_lane_expose(struct moat_lane *lane, uint32_t pages, uint64_t since);

/**
 * Check whether a ticket of a lane is done. If it is, no device and no lcore reaches the pages that
 * it covers, and the calling thread sees all that happened before.
 *
 * @param lane any open lane
 * @param ticket of that lane
 * @return true: it is done
 *
 * Thread safety: any thread, while the lane is open. Data path.
 */
bool moat_lane_done(const struct moat_lane *lane, moat_ticket_t ticket);

/**
 * Ask a lane to close and submit what it has gathered. The lane's next poll does so, or the next
 * turn of a wait of the lane's thread. For a thread that waits for a ticket whose batch is not
 * closed yet (mode deferred).
 *
 * @param lane any open lane
 *
 * Thread safety: any thread, while the lane is open. Data path.
 */
void moat_lane_ask(struct moat_lane *lane);

/**
 * Poll a lane whose thread went offline, or ended, before all tickets of the lane were done. What
 * the lane has gathered is closed and submitted. Has no effect on any other lane, or while another
 * thread makes the same call. A thread that waits for a ticket of the lane must call it in its
 * loop. Never waits.
 *
 * @param lane any open lane
 *
 * Thread safety: any thread, while the lane is open. Data path.
 */
void moat_lane_help(struct moat_lane *lane);

/**
 * Flush and poll until every ticket is done. While it waits, it reports quiescent states for all
 * lanes of the thread.
 *
 * @param lane the calling thread's
 * @return 0
 * @return -ETIMEDOUT: no ticket became done for 1 s; moat_error_text() says what is missing
 * @return -EIO: a unit is dead
 * @return the error of a unit that keeps the tables: what it did not unmap stays gathered
 *
 * Thread safety: the lane's own thread. Control path, and mode strict.
 */
int moat_lane_drain(struct moat_lane *lane);

/* ---------------------------------------------------------------------------- a lane's state */

/**
 * The last ticket that is done. All tickets before it are done, too.
 *
 * @param lane any open lane
 * @return the ticket
 *
 * Thread safety: any thread, as moat_lane_done(). Data path.
 */
moat_ticket_t moat_lane_last_done(const struct moat_lane *lane);

/**
 * The number of pages that the next flush closes.
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
 * The number of batches that can be closed before one must be done.
 *
 * @param lane the calling thread's
 * @return 0 to MOAT_LANE_BATCHES
 *
 * Thread safety: the lane's own thread. Data path.
 */
unsigned int moat_lane_room(const struct moat_lane *lane);

/**
 * The number of runs gathered since the last flush.
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
 * The number of runs that can still be gathered before the batch is full.
 *
 * @param lane the calling thread's
 * @return the runs
 *
 * Thread safety: the lane's own thread. Data path.
 */
unsigned int moat_lane_run_room(const struct moat_lane *lane);

/**
 * Let moat_lane_unmap() act as moat_lane_unmap_early() from now on.
 *
 * @param lane the calling thread's
 * @param early false: moat_lane_unmap() acts as itself again
 *
 * Thread safety: the lane's own thread. Data path.
 */
void moat_lane_hand_on_early(struct moat_lane *lane, bool early);

/**
 * From now on, a map of this lane may undo an unmap whose ticket is not done: the pages were not
 * handed on, and are mapped again to the same memory. Only the unit's witness (moat_unit.h)
 * distinguishes such maps.
 *
 * @param lane the calling thread's
 * @param back false: maps take nothing back again
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
 * A lane's counters, which the lane goes on updating.
 *
 * @param lane any open lane
 * @return the counters, valid while the lane is open
 *
 * Thread safety: any thread. Control path.
 */
const struct moat_lane_stats *moat_lane_stats(const struct moat_lane *lane);

/* ------------------------------------------------------------------------------- readers */

/**
 * Make the lane a reader: from now on it may translate, and must be polled, because other lanes'
 * tickets wait for it. Before the calling thread blocks or stops polling, it must hold no
 * translation and set the lane offline.
 *
 * The caller need not register with liburcu's urcu-qsbr. The first online lane of a thread
 * registers the thread and takes it online there; the last lane that goes offline undoes that, so
 * that no grace period waits for the thread. A thread that has registered itself stays registered:
 * its last lane only takes it offline (if the thread still reads RCU data of its own, it must then
 * call rcu_thread_online()).
 *
 * While a thread waits in one of moat's calls, it reports quiescent states for all its lanes. So it
 * must hold no translation of any lane across moat_lane_drain(), moat_lane_offline(),
 * moat_lane_close(), moat_domain_attach(), moat_domain_detach(), moat_domain_create(),
 * moat_domain_destroy(), or a moat_lane_map() that waits. A thread must set its lanes offline
 * before it ends.
 *
 * @param lane the calling thread's
 *
 * Thread safety: the lane's own thread. Control path.
 */
void moat_lane_online(struct moat_lane *lane);

/**
 * Stop being a reader. The thread must hold no translation of any of its lanes, and may block
 * afterwards (see moat_lane_online()). The call closes and submits what is gathered, and waits for
 * the lane's tickets, because other threads may need them: at most 10 ms for a unit that completes
 * nothing, and 1 s for readers that do not poll. With nothing in flight it does not wait. A ticket
 * that is not done by then becomes done when the lane's thread uses the lane again, or when a
 * thread that waits for the ticket calls moat_lane_help().
 *
 * @param lane the lane
 *
 * Thread safety: the lane's own thread, or another thread once the lane's own no longer uses the
 * lane. Control path.
 */
void moat_lane_offline(struct moat_lane *lane);

/**
 * One turn of a loop that waits for anything but a lane: report a quiescent state for each lane
 * that the calling thread has online (for the next 64 of them if there are more), and to liburcu,
 * and find tickets of these lanes done, because other threads may wait for them. The thread must
 * hold no translation. Every loop that waits while the thread has lanes online must call it, and no
 * thread may wait for a lock whose holder waits for readers.
 *
 * Thread safety: any thread. Data path.
 */
void moat_lanes_quiescent(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_DOMAIN_H */
