/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_QI_H
#define MOAT_QI_H

/**
 * @file
 * The queued-invalidation interface: from unmapped pages to an invalidation that the unit has
 * completed.
 *
 * An lcore *gathers* the runs that it unmaps, the gather is *encoded* into a few descriptors that
 * cover those runs, and the batch is *submitted* with a wait descriptor behind it. The unit
 * processes the queue in order and, at the wait descriptor, writes the batch's sequence number to
 * memory (VT-d specification 6.5.2, "Queued Invalidation Interface"). Completion is polled by that
 * number alone: a batch is complete when the number is at or beyond its own.
 *
 * Any number of lcores submit at once, and none waits for another: an lcore reserves space, fills
 * the space and publishes it; a thread that finds published descriptors of which the unit was not
 * told rings the doorbell for all of them. A submitter that is preempted before it publishes is
 * stepped over after a bounded time, and submits again when it resumes. If the queue is full, a
 * submission does not wait but returns -EAGAIN. The top of moat_qi.c explains the protocol and
 * argues that it is correct.
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
	MOAT_QI_PAGE = VTD_QI_PAGE,     /* IOTLB: page-selective-within-domain */
};

/** PASID-cache granularity (bits 5:4). */
enum moat_qi_pasid_gran {
	MOAT_QI_PASID_DOMAIN = 0,
	MOAT_QI_PASID_ONE = 1,
	MOAT_QI_PASID_GLOBAL = 3,
};

/*
 * The encoders. Each returns one descriptor, has no other effect, is thread-safe, and may be called
 * on the data path.
 *
 * moat_qi_iotlb_*() ask the unit to drain reads and writes (DR, DW): without that a DMA translated
 * before the invalidation may reach memory after it. A unit without CAP.DRD or CAP.DWD ignores the
 * bits.
 */

/**
 * Invalidate the whole context cache.
 *
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_context_global(void);

/**
 * Invalidate the entries of one domain-id in the context cache.
 *
 * @param did domain-id
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_context_domain(uint16_t did);

/**
 * Invalidate the entries of one source-id, or of several functions of one device, in the context
 * cache.
 *
 * @param did domain-id that the entries had
 * @param sid source-id
 * @param fm function mask, 0 to 3: that many upper bits of the 3-bit function number are ignored
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_context_device(uint16_t did, moat_sid_t sid, uint8_t fm);

/**
 * Invalidate the whole IOTLB.
 *
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_iotlb_global(void);

/**
 * Invalidate all translations of one domain-id in the IOTLB.
 *
 * @param did domain-id
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_iotlb_domain(uint16_t did);

/**
 * Invalidate the translations of some pages of one domain-id in the IOTLB.
 *
 * @param did domain-id
 * @param iova first page, aligned to 2^am pages
 * @param am address mask: 2^am pages; at most CAP.MAMV
 * @param ih invalidation hint: only leaf entries changed
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_iotlb_page(uint16_t did, uint64_t iova, uint8_t am, bool ih);

/**
 * Invalidate a range of pages in a device TLB (ATS).
 *
 * @param sid source-id of the device
 * @param max_pending invalidations the device takes at once (MIP; the ATS capability's queue depth)
 * @param iova first page; with `size` its low bits encode the number of pages
 * @param size false: one page; true: the lowest clear bit of `iova` from 12 up encodes how many, as
 *   in ATS: bit 12 two pages, bit 13 four, and so on
 * @param pfsid source-id of the physical function that `sid` belongs to
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_device_tlb(moat_sid_t sid, uint8_t max_pending, uint64_t iova,
	bool size, uint16_t pfsid);

/**
 * Invalidate the interrupt-entry cache.
 *
 * @param global true: all entries; the other parameters are ignored
 * @param index first interrupt-remapping entry, aligned to 2^im
 * @param im index mask: 2^im entries
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_int_entry(bool global, uint16_t index, uint8_t im);

/**
 * Invalidate the PASID cache.
 *
 * @param gran all entries, those of a domain-id, or one PASID's
 * @param did domain-id
 * @param pasid PASID, with MOAT_QI_PASID_ONE
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_pasid_cache(enum moat_qi_pasid_gran gran, uint16_t did, uint32_t pasid);

/**
 * Invalidate first-stage and nested translations in the PASID-based IOTLB.
 *
 * @param did domain-id
 * @param pasid PASID
 * @param all true: all of the PASID's translations; the parameters below are ignored
 * @param iova first page, aligned to 2^am pages
 * @param am address mask: 2^am pages
 * @param ih invalidation hint: only leaf entries changed
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_pasid_iotlb(uint16_t did, uint32_t pasid, bool all, uint64_t iova,
	uint8_t am, bool ih);

/**
 * Invalidate a range of pages in a device TLB, by PASID.
 *
 * @param sid source-id of the device
 * @param pasid PASID
 * @param global true: the translations of all PASIDs; the device ignores `pasid`
 * @param max_pending as in moat_qi_device_tlb()
 * @param iova as in moat_qi_device_tlb()
 * @param size as in moat_qi_device_tlb()
 * @param pfsid as in moat_qi_device_tlb()
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_pasid_device_tlb(moat_sid_t sid, uint32_t pasid, bool global,
	uint8_t max_pending, uint64_t iova, bool size, uint16_t pfsid);

/**
 * Wait for all descriptors before this one, then write a status word.
 *
 * @param status_hpa where to write, 4-byte aligned
 * @param data what to write
 * @param fence the specification's FN: the unit starts descriptors behind the wait only after it
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_wait_status(uint64_t status_hpa, uint32_t data, bool fence);

/**
 * A descriptor without effect on anything that moat uses: it invalidates domain-id 0, which no
 * domain has, in the IOTLB, without draining. (A wait that neither writes nor interrupts would do,
 * but QEMU's unit stops at it.)
 *
 * @return the descriptor. Thread-safe. Data path.
 */
struct moat_qi_desc moat_qi_no_op(void);

/**
 * Describe a descriptor: "IOTLB page-selective, domain-id 5, iova 0x7000, 2^3 pages, hint".
 *
 * @param desc the descriptor
 * @param text receives the description
 * @param size bytes of `text`
 * @return as snprintf()
 *
 * Thread-safe. Control path.
 */
int moat_qi_describe(const struct moat_qi_desc *desc, char *text, size_t size);

/* ------------------------------------------------------------------------------- gathering */

#define MOAT_GATHER_RUNS 64

/** The unit's capabilities that encoding depends on. */
struct moat_qi_caps {
	bool psi;     /* CAP.PSI: page-selective invalidation */
	uint8_t mamv; /* CAP.MAMV: largest address mask */
	bool drd;     /* CAP.DRD: the unit drains reads; information only, encoders always set DR */
	bool dwd;     /* CAP.DWD: the unit drains writes; likewise */
};

/** Runs of unmapped pages of one domain, not yet submitted. One lcore owns it. */
struct moat_gather {
	uint32_t n;     /* runs */
	uint32_t pages; /* in all runs */
	bool tables;    /* a table page was unlinked: the hint (IH) must be clear */
	bool whole;     /* there were too many runs: domain-selective */
	struct moat_range run[MOAT_GATHER_RUNS];
};

/**
 * Whether a gather holds nothing that must be invalidated.
 *
 * @param g a gather of the calling lcore
 * @return true: it is empty
 *
 * Data path.
 */
static inline bool moat_gather_empty(const struct moat_gather *g)
{
	return g->n == 0 && !g->whole && !g->tables;
}

/**
 * Add a run, or merge it into the last run if the two are adjacent. A run beyond MOAT_GATHER_RUNS
 * makes the gather domain-selective (`whole`).
 *
 * @param g a gather of the calling lcore
 * @param iova first IOVA, page-aligned
 * @param len bytes, a multiple of MOAT_PAGE_SIZE
 *
 * Data path.
 */
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

/**
 * Make a gather empty.
 *
 * @param g a gather of the calling lcore
 *
 * Data path.
 */
static inline void moat_gather_reset(struct moat_gather *g)
{
	g->n = 0;
	g->pages = 0;
	g->tables = false;
	g->whole = false;
}

/**
 * Sort the runs and merge adjacent ones, for a unit that needs one call for each run.
 *
 * @param g a gather of the calling lcore
 *
 * Data path.
 */
void moat_gather_merge(struct moat_gather *g);

/**
 * Encode the descriptors for a gather. Each run is covered by aligned blocks of 2^k pages, with k
 * up to MAMV: exactly, if one or two blocks can do that; otherwise the blocks at the run's two ends
 * are rounded up, so that two cover any run of up to 2^MAMV pages. The blocks cover less than twice
 * the run; what they cover beyond it costs walks, never correctness. A unit without PSI, or a
 * gather that needs more than `max` descriptors, gets one domain-selective descriptor. The hint
 * (IH) is set unless table pages were unlinked.
 *
 * @param g the gather
 * @param caps the unit's capabilities
 * @param did domain-id
 * @param desc receives the descriptors
 * @param max room in `desc`, at least 1
 * @return the number of descriptors written, 1 to `max`
 * @return 0: the gather is empty
 *
 * Thread-safe for different gathers. Data path.
 */
unsigned int moat_gather_encode(const struct moat_gather *g, const struct moat_qi_caps *caps,
	uint16_t did, struct moat_qi_desc desc[], unsigned int max);

/**
 * Encode the descriptors that invalidate a gather in the caches of `n` tags, IOTLBs before device
 * TLBs.
 *
 * @param tags the tags; there must be room for one descriptor each
 * @param n number of tags, at most `max`
 * @param g the gather; NULL: invalidate all that is cached for the tags
 * @param caps the unit's capabilities
 * @param desc receives the descriptors
 * @param max room in `desc`
 * @return the number of descriptors written, at most `max`
 *
 * Thread-safe for different gathers. Data path.
 */
unsigned int moat_tags_encode(const moat_tag_t tags[], unsigned int n, const struct moat_gather *g,
	const struct moat_qi_caps *caps, struct moat_qi_desc desc[], unsigned int max);

/* ------------------------------------------------------------------------------- the queue */

struct moat_qi;

struct moat_qi_conf {
	/** The ring has 2^order pages of 4 KiB (IQA.QS). A page holds 256 descriptors, or 128 with
	 * `wide`. */
	uint8_t order;
	/** The unit fetches 256 bits for each descriptor (IQA.DW). The upper half of every kind of
	 * descriptor is reserved: it is zeroed once, at the start, and never written again. */
	bool wide;
	struct moat_qi_desc *ring; /* the ring's memory, 4 KiB aligned */
	MOAT_ATOMIC(uint32_t) *
		status; /* where wait descriptors write; only for this queue, 0 at first */
	/** Host physical address of `status`, 4-byte aligned. */
	uint64_t status_hpa;
	/** Tell the unit that descriptors up to byte offset `tail` are valid (IQT). The write must
	 * be ordered after earlier stores. Any lcore may call it, but never two at once for the
	 * same queue. It must not call back into the queue, and should be short: while an lcore is
	 * preempted in it, no new descriptor reaches the unit (no lcore waits, but no later batch
	 * completes). */
	void (*doorbell)(void *ctx, uint64_t tail);
	/** Let the unit run (software unit), look for errors (FSTS), recover. Called by threads
	 * that poll and find no completion; must be thread-safe. May be NULL. @return 0; -EIO: the
	 * unit is dead */
	int (*poll)(void *ctx);
	/** Read the unit's head (IQH, a byte offset), for a message. May be NULL. */
	uint64_t (*head)(void *ctx);
	void *ctx;
};

struct moat_qi_stats {
	uint64_t descriptors; /* that the unit was told of, without wait descriptors */
	uint64_t waits;       /* wait descriptors that the unit was told of */
	uint64_t doorbells;   /* times that the doorbell was rung */
	uint64_t full;        /* submissions refused because the queue was full */
	uint64_t helped;      /* times that a stalled submitter was stepped over */
};

/** Maximum descriptors of a batch, without its wait. The wait makes it half the smallest queue. */
#define MOAT_QI_BATCH_MAX 127

/**
 * Create a queue. The unit's queue must be empty, its tail 0, and `*conf->status` 0.
 *
 * @param conf copied
 * @param qi receives the queue
 * @return 0
 * @return -EINVAL: order above 7, or 0 with `wide`; ring or status not aligned; no doorbell
 * @return -ENOMEM: no memory for the queue's own records
 *
 * Thread-safe. Control path.
 */
int moat_qi_create(const struct moat_qi_conf *conf, struct moat_qi **qi);

/**
 * Destroy a queue. Nothing may be in flight, and no other thread may be in a call for it.
 *
 * @param qi the queue; NULL: nothing happens
 *
 * Control path.
 */
void moat_qi_destroy(struct moat_qi *qi);

/**
 * Queue `n` descriptors and a wait behind them.
 *
 * @param qi the queue
 * @param desc the descriptors, copied
 * @param n number of descriptors; 0: only the wait
 * @return the sequence number (> 0) for moat_qi_done()
 * @return -EAGAIN: no room now; nothing was queued; poll and call again
 * @return -E2BIG: more than MOAT_QI_BATCH_MAX
 * @return -EIO: the unit is dead
 *
 * Thread-safe. Data path. It never waits for another thread.
 */
int64_t moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n);

/**
 * Whether the queue of the calling thread's last submission is contended: other threads have
 * submitted to it since the thread's submission before that. The queue's cache lines then come from
 * other processors each time, and fewer, larger batches are worth a delay.
 *
 * @return true: contended; false: not, or the last two submissions went to different queues
 *
 * Thread-safe. Data path.
 */
bool moat_qi_crowded(void);

/**
 * Whether the unit has completed all up to `seq`. If not, the call polls the unit once. Now and
 * then (every few calls of a thread) it also rings the doorbell for published descriptors, or steps
 * over a stalled submitter.
 *
 * @param qi the queue
 * @param seq what moat_qi_submit() returned
 * @return true: completed, and so at every later call; false: not yet
 *
 * Thread-safe. Data path.
 */
bool moat_qi_done(struct moat_qi *qi, int64_t seq);

/**
 * Whether the completed batch `seq` failed, because the unit refused a descriptor of it (IQE) or
 * dropped its wait (ITE). Devices may then still reach its pages: the caller must submit again,
 * with a wider invalidation.
 *
 * A failure is never missed, however late the call. A batch that did not fail is reported as failed
 * if a batch that ends at the same ring index, a lap or more later, has failed before the call.
 *
 * @param qi the queue
 * @param seq a completed batch
 * @return true: it failed
 *
 * Thread-safe. Data path.
 */
bool moat_qi_failed(struct moat_qi *qi, int64_t seq);

/**
 * Poll until `seq` is completed.
 *
 * @param qi the queue
 * @param seq what moat_qi_submit() returned
 * @param timeout_us 0: the default, 1 s
 * @return 0
 * @return -ETIMEDOUT: not completed; moat_error_text() names head, tail and the descriptor at the
 *   head
 * @return -EIO: the unit is dead
 *
 * Thread-safe. Control path, and mode strict.
 */
int moat_qi_wait(struct moat_qi *qi, int64_t seq, uint64_t timeout_us);

/**
 * As moat_qi_wait(), for a thread that has duties while it waits.
 *
 * @param qi the queue
 * @param seq what moat_qi_submit() returned
 * @param timeout_us 0: the default, 1 s
 * @param turn called between two polls, for example to report the thread's quiescent state; must
 *   not wait
 * @return as moat_qi_wait()
 *
 * Thread-safe. Control path, and mode strict.
 */
int moat_qi_wait_turns(struct moat_qi *qi, int64_t seq, uint64_t timeout_us, void (*turn)(void));

/**
 * Read a queue's counters, one after the other, so they may be of different moments.
 *
 * @param qi the queue
 * @param stats receives the counters
 *
 * Thread-safe. Control path.
 */
void moat_qi_stats(const struct moat_qi *qi, struct moat_qi_stats *stats);

/* ------------------------------------------ error recovery, for the unit's driver (drivers/vtd) */

/**
 * Fail the batch whose descriptor the unit refused (IQE): the unit has stopped at ring index
 * `index`, where IQH points. The descriptor there is replaced by one without effect; a wait is
 * stored again. The unit goes on from there when the driver clears the error. Batches before and
 * after are not touched, and other lcores may submit meanwhile.
 *
 * @param qi the queue
 * @param index ring index of the refused descriptor (IQH)
 * @param err a negative errno, for moat_error()
 * @return 0; moat_error_text() names the descriptor
 * @return -ENOENT: no descriptor in flight has this index; moat_error_text() names what is there
 * @return -EAGAIN: an lcore is ringing, and how far is not known yet: do not clear the error, and
 *   call again later
 *
 * One thread at a time may recover a queue. Control path.
 */
int moat_qi_fail_at(struct moat_qi *qi, uint32_t index, int err);

/**
 * Fail the batches whose waits the unit dropped because a device did not answer a device-TLB
 * invalidation (ITE): those in flight that begin before ring index `index` (IQH). This also writes
 * the status that the dropped waits would have written, so that their batches are completed (and
 * failed). The driver must call it while the unit is stopped, before it clears the error.
 *
 * @param qi the queue
 * @param index ring index of the unit's head (IQH)
 * @return the number of batches that were marked as failed
 * @return -EAGAIN: as moat_qi_fail_at()
 *
 * One thread at a time may recover a queue. Control path.
 */
int moat_qi_fail_before(struct moat_qi *qi, uint32_t index);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_QI_H */
