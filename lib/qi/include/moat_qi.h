/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_QI_H
#define MOAT_QI_H

/**
 * @file
 * The queued-invalidation interface: from pages that were unmapped to "the unit is through".
 *
 * An lcore *gathers* the runs that it unmaps, the gather is *encoded* into the fewest descriptors
 * that cover exactly those runs, and the batch is *submitted* with a wait descriptor behind it. The
 * unit processes the queue in order and, at the wait descriptor, writes its sequence number to
 * memory (VT-d specification 6.5.2, "Queued Invalidation Interface"). That number is all anybody
 * ever polls: a batch is complete when the number is at or beyond its own.
 *
 * Any number of lcores submit at once, and none waits for another: space is reserved, filled,
 * published; whoever finds published descriptors in front of the doorbell rings it for all of
 * them. A submitter that was preempted before it published is stepped over after a bounded time,
 * and submits again when it comes back. A full queue is an answer (-EAGAIN), not a wait. How and
 * why this is right stands at the top of moat_qi.c.
 */

#include "moat_base.h"
#include "moat_qi_format.h"
#include "moat_tag.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* ------------------------------------------------------------- descriptors (128 bit) */

struct moat_qi_desc {
	uint64_t lo;
	uint64_t hi;
};

/** Types, bits 3:0 (and 11:9, here always 0) of `lo`; VT-d specification 6.5.2.1 to 6.5.2.11. */
enum moat_qi_type {
	MOAT_QI_CONTEXT = VTD_QI_CONTEXT,
	MOAT_QI_IOTLB = VTD_QI_IOTLB,
	MOAT_QI_DEVICE_TLB = VTD_QI_DEVICE_TLB,
	MOAT_QI_INT_ENTRY = VTD_QI_INT_ENTRY,
	MOAT_QI_WAIT = VTD_QI_WAIT,
	MOAT_QI_PASID_IOTLB = VTD_QI_PASID_IOTLB,
	MOAT_QI_PASID_CACHE = VTD_QI_PASID_CACHE,
	MOAT_QI_PASID_DEVICE_TLB = VTD_QI_PASID_DEVICE_TLB,
};

/** Granularity of context-cache and IOTLB invalidations (bits 5:4). */
enum moat_qi_gran {
	MOAT_QI_GLOBAL = VTD_QI_GLOBAL,
	MOAT_QI_DOMAIN = VTD_QI_DOMAIN,
	MOAT_QI_DEVICE = VTD_QI_DEVICE, /* context cache: device-selective */
	MOAT_QI_PAGE = VTD_QI_PAGE,   /* IOTLB: page-selective-within-domain */
};

/** PASID-cache granularity (bits 5:4). */
enum moat_qi_pasid_gran {
	MOAT_QI_PASID_DOMAIN = 0,
	MOAT_QI_PASID_ONE = 1,
	MOAT_QI_PASID_GLOBAL = 3,
};

/* In IOTLB descriptors the encoders always ask to drain reads and writes (DR, DW): without that a
 * DMA translated before the invalidation may land after it. A unit that cannot ignores the bits. */
struct moat_qi_desc moat_qi_context_global(void);
struct moat_qi_desc moat_qi_context_domain(uint16_t did);
/**
 * @param did the domain-id
 * @param sid the source-id
 * @param fm function mask, 0 to 3: that many low function-number bits are ignored
 */
struct moat_qi_desc moat_qi_context_device(uint16_t did, moat_sid_t sid, uint8_t fm);
struct moat_qi_desc moat_qi_iotlb_global(void);
struct moat_qi_desc moat_qi_iotlb_domain(uint16_t did);
/**
 * 2^am pages at `iova`, which is aligned to them.
 * @param did the domain-id
 * @param iova the first page
 * @param am log2 of the pages
 * @param ih hint: only leaf entries changed
 */
struct moat_qi_desc moat_qi_iotlb_page(uint16_t did, uint64_t iova, uint8_t am, bool ih);
/**
 * @param sid the device
 * @param max_pending invalidations the device takes at once (MIP; the ATS capability's queue depth)
 * @param iova the first page
 * @param size `iova` carries the size as ATS encodes it: the lowest clear bit from 12 up tells
 * @param pfsid source-id of the physical function that `sid` belongs to
 */
struct moat_qi_desc moat_qi_device_tlb(moat_sid_t sid, uint8_t max_pending, uint64_t iova,
	bool size, uint16_t pfsid);
/** 2^im interrupt-remapping entries at `index`, or all of them where `global`. */
struct moat_qi_desc moat_qi_int_entry(bool global, uint16_t index, uint8_t im);
struct moat_qi_desc moat_qi_pasid_cache(enum moat_qi_pasid_gran gran, uint16_t did, uint32_t pasid);
/** PASID-based IOTLB: 2^am pages at `iova`, or all of the PASID where `all`. */
struct moat_qi_desc moat_qi_pasid_iotlb(uint16_t did, uint32_t pasid, bool all, uint64_t iova,
	uint8_t am, bool ih);
/** As moat_qi_device_tlb(), of one PASID, or of all where `global`. */
struct moat_qi_desc moat_qi_pasid_device_tlb(moat_sid_t sid, uint32_t pasid, bool global,
	uint8_t max_pending, uint64_t iova, bool size, uint16_t pfsid);
/** Status write of `data` to the 4-byte aligned `status_hpa`; fence as the specification's FN. */
struct moat_qi_desc moat_qi_wait_status(uint64_t status_hpa, uint32_t data, bool fence);
/** A descriptor without effect on anything that moat uses: IOTLB, domain-id 0, which no domain has.
 * (A wait that neither writes nor interrupts would do, but QEMU's unit stops at it.) */
struct moat_qi_desc moat_qi_no_op(void);

/** A descriptor in words: "IOTLB page-selective, domain-id 5, iova 0x7000, 2^3 pages, hint".
 * @return as snprintf(). Control path. */
int moat_qi_describe(const struct moat_qi_desc *desc, char *text, size_t size);

/* ------------------------------------------------------------------------------- gathering */

#define MOAT_GATHER_RUNS 64

/** What the unit can do, as far as encoding is concerned. */
struct moat_qi_caps {
	bool psi;     /* CAP.PSI: page-selective invalidation */
	uint8_t mamv; /* CAP.MAMV: largest address mask */
	bool drd,
		dwd; /* CAP.DRD, CAP.DWD: drain reads, writes; for reports (see IOTLB descriptors) */
};

/** Runs of unmapped pages of one domain, not yet submitted. One lcore's. */
struct moat_gather {
	uint32_t n;     /* runs */
	uint32_t pages; /* in all of them */
	bool tables;    /* a table page was unlinked: hint clear, whole paging-structure caches */
	bool whole;     /* too many runs: domain-selective */
	struct moat_range run[MOAT_GATHER_RUNS];
};

static inline bool moat_gather_empty(const struct moat_gather *g)
{
	return g->n == 0 && !g->whole && !g->tables;
}

/** Add a run; it melts into the last one when it follows or precedes it. Data path. */
static inline void moat_gather_add(struct moat_gather *g, uint64_t iova, uint64_t len)
{
	struct moat_range *last = &g->run[g->n - (g->n != 0)];

	g->pages += len >> MOAT_PAGE_SHIFT;
	if (g->n != 0 && last->iova + last->len == iova) {
		last->len += len;
	} else if (g->n != 0 && iova + len == last->iova) {
		last->iova = iova;
		last->len += len;
	} else if (g->n < MOAT_GATHER_RUNS) {
		g->run[g->n++] = (struct moat_range){ iova, len };
	} else {
		g->whole = true;
	}
}

static inline void moat_gather_reset(struct moat_gather *g)
{
	g->n = 0;
	g->pages = 0;
	g->tables = false;
	g->whole = false;
}

/** Sort the runs and melt neighbours: for a unit that takes a call for each run. Data path. */
void moat_gather_merge(struct moat_gather *g);

/**
 * The descriptors for a gather. Each run is covered by aligned powers of two within MAMV: exactly
 * where one or two of them do; otherwise the blocks at its two ends are rounded up, so that two
 * descriptors cover any run that MAMV allows. What is invalidated is less than twice the run
 * (beyond it, it costs a walk, never correctness). More than `max` descriptors, or no PSI: one
 * domain-selective descriptor. The hint (IH) is set unless table pages were unlinked.
 * @return the number of descriptors written, 1 to `max`; 0 for an empty gather. Data path.
 */
unsigned int moat_gather_encode(const struct moat_gather *g, const struct moat_qi_caps *caps,
	uint16_t did, struct moat_qi_desc desc[], unsigned int max);

/**
 * The descriptors that invalidate a gather in the caches of `n` tags, IOTLBs before device TLBs.
 *
 * @param tags `n` of them, at most `max`; each gets one descriptor at least
 * @param n how many
 * @param g NULL: all that is cached for the tags
 * @param caps the unit's
 * @param desc receives the descriptors
 * @param max room in `desc`
 * @return the number of descriptors written, at most `max`. Thread-safe, data path.
 */
unsigned int moat_tags_encode(const moat_tag_t tags[], unsigned int n, const struct moat_gather *g,
	const struct moat_qi_caps *caps, struct moat_qi_desc desc[], unsigned int max);

/* ------------------------------------------------------------------------------- the queue */

struct moat_qi;

struct moat_qi_conf {
	uint8_t order; /* the ring has 2^order 4 KiB pages of 256 descriptors, of 128 where `wide` (IQA.QS) */
	/** The unit fetches 256 bits for each descriptor (IQA.DW). The upper half of all kinds that there
	 * are is reserved: it is zeroed once, here, and never written again. */
	bool wide;
	struct moat_qi_desc *ring;      /* its memory, 4 KiB aligned */
	MOAT_ATOMIC(uint32_t) * status; /* where wait descriptors write; ours alone, 0 at first */
	uint64_t status_hpa;
	/** Tell the unit that descriptors up to byte offset `tail` are valid (IQT). Ordered after
	 * their stores. Called by any lcore, never by two at once for the same queue. Must not call
	 * back into the queue, and should be short: an lcore preempted in here holds up everybody's
	 * completion (nobody waits for it, but nothing new reaches the unit meanwhile). */
	void (*doorbell)(void *ctx, uint64_t tail);
	/** Give the unit a chance to run (software unit), look for errors (FSTS), recover. Called by
	 * whoever polls for completion and finds none, by several lcores at once. May be NULL.
	 * Returns 0 or -EIO: dead. */
	int (*poll)(void *ctx);
	/** The unit's head, byte offset (IQH), for a diagnosis. May be NULL. */
	uint64_t (*head)(void *ctx);
	void *ctx;
};

struct moat_qi_stats {
	uint64_t descriptors; /* submitted ones that reached the unit; no wait descriptors */
	uint64_t waits;
	uint64_t doorbells;
	uint64_t full;   /* submissions refused because the queue was full */
	uint64_t helped; /* times a stalled submitter was stepped over */
};

/** Descriptors of one batch at most, its wait not counted: with it, half of the smallest queue. */
#define MOAT_QI_BATCH_MAX 127

/**
 * The unit's queue must be empty, its tail 0, and `*conf->status` 0.
 * @return 0; -EINVAL: order above 7, or 0 where `wide`, ring or status not aligned, no doorbell; -ENOMEM.
 *   Control path.
 */
int moat_qi_create(const struct moat_qi_conf *conf, struct moat_qi **qi);
/** Nothing may be in flight, and nobody else in a call. Control path. */
void moat_qi_destroy(struct moat_qi *qi);

/**
 * Queue `n` descriptors and a wait behind them. n = 0 queues just the wait.
 * @return the sequence number (> 0) for moat_qi_done(); -EAGAIN: no room now, nothing queued,
 *   nothing lost: poll and call again; -E2BIG: more than MOAT_QI_BATCH_MAX; -EIO: the unit is dead.
 * Thread-safe, data path. Never waits for another thread.
 */
int64_t moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n);

/**
 * Had other threads submitted to the queue between the calling thread's last two submissions? Then its
 * lines have to be fetched from their processors each time, and fewer, larger batches are worth waiting
 * for. Where the last two went to different queues: no. Data path.
 */
bool moat_qi_crowded(void);

/**
 * Has the unit processed all up to `seq`? If not: polls the unit once, and now and then (every few
 * calls of a thread) rings the doorbell for what others left published, or steps over one who
 * stalled. Once true, always true.
 * Thread-safe, data path.
 */
bool moat_qi_done(struct moat_qi *qi, int64_t seq);

/**
 * Did the batch `seq` (done) fail, because the unit refused a descriptor of it (IQE, ITE)?
 * Its pages must then be taken as still reachable: submit again, wider.
 * A failure is never missed, however late the question; and a batch that did not fail may be taken
 * for failed if one that ends at the same place of the ring, a lap or more later, has failed
 * before the question. Thread-safe, data path.
 */
bool moat_qi_failed(struct moat_qi *qi, int64_t seq);

/**
 * Poll until done; for the control path and for mode strict.
 * @param qi the queue
 * @param seq of moat_qi_submit()
 * @param timeout_us 0: the default, 1 s
 * @return 0; -ETIMEDOUT with a diagnosis (head, tail, descriptor) in moat_error_text(); -EIO.
 */
int moat_qi_wait(struct moat_qi *qi, int64_t seq, uint64_t timeout_us);

/**
 * moat_qi_wait() for a thread that has duties while it waits.
 * @param qi the queue
 * @param seq of moat_qi_submit()
 * @param timeout_us 0: the default, 1 s
 * @param turn called between two polls: it reports the thread's quiescent states, say
 */
int moat_qi_wait_turns(struct moat_qi *qi, int64_t seq, uint64_t timeout_us, void (*turn)(void));

/** Any thread; counters, each as it is now, not a snapshot of all. */
void moat_qi_stats(const struct moat_qi *qi, struct moat_qi_stats *stats);

/* -------------------------------------------- error recovery, for the unit's driver (drivers/vtd) */

/**
 * The unit refused the descriptor at ring index `index` (IQE; it has stopped there, IQH points at
 * it): fail its batch, and put a descriptor without effect in its place. When the driver clears
 * the error, the unit goes on with what follows; batches before and after are not touched, and
 * other lcores may submit meanwhile. The caller sees to it that one lcore at a time recovers.
 * @param qi the queue
 * @param index in the ring, in descriptors
 * @param err a negative errno, for the text
 * @return 0; -ENOENT: no descriptor in flight has this index (moat_error_text() names the
 *   descriptor, in both cases); -EAGAIN: an lcore is just ringing, and nobody knows yet what for:
 *   leave the error as it is and come back.
 */
int moat_qi_fail_at(struct moat_qi *qi, uint32_t index, int err);

/**
 * A device did not answer a device-TLB invalidation (ITE): the unit has dropped the pending wait
 * descriptors in front of ring index `index` (IQH), so fail every batch in flight that begins
 * before it, and write the status that the dropped waits would have written: those batches are done
 * (and failed). Before the driver clears the error, while the unit stands still.
 * @return number of batches failed; -EAGAIN, as moat_qi_fail_at()
 */
int moat_qi_fail_before(struct moat_qi *qi, uint32_t index);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_QI_H */
