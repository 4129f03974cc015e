/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_UNIT_H
#define MOAT_UNIT_H

/**
 * @file
 * A unit, as a domain sees it: what it can do, and a table of operations.
 *
 * Units differ in where the tables are kept (`caps.tables`). A VT-d unit that moat drives
 * (drivers/vtd, on hardware or on drivers/softvtd) reads tables that lib/pt writes, and takes
 * invalidations. A submission covers the runs of a gather, for a domain's cache tags. It has a
 * sequence number, and the unit completes it later. A unit that the kernel drives (drivers/vfio)
 * takes map and unmap calls. Either way a domain keeps its lib/pt table, because the shadow IOTLB
 * is an index over it.
 *
 * A driver embeds `struct moat_unit` first in its own structure.
 */

#include "moat_pt.h"
#include "moat_qi.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct moat_unit;
struct moat_domain;
struct domain_unit; /* private to lib/domain */

/** The addresses of interrupt messages, 0xfee00000 to 0xfeefffff: a device's write to them is an
 * interrupt request, whatever the tables say (VT-d specification 3.14, "Handling Requests to
 * Interrupt Address Range"). */
#define MOAT_MSI_BASE UINT64_C(0xfee00000)
#define MOAT_MSI_SIZE UINT64_C(0x100000)

/** Which side keeps the tables that translate devices' requests. */
enum moat_tables {
	/** lib/pt writes them; the unit walks them, and is told to invalidate. */
	MOAT_TABLES_OURS = 0,
	/** The unit keeps them: see map() and unmap() of struct moat_unit_ops. */
	MOAT_TABLES_UNITS,
};

/** Which parts of its maps an unmap may remove. */
enum moat_cut {
	MOAT_CUT_LEAVES = 0, /* any whole leaves */
	MOAT_CUT_MAPS,       /* only whole maps: all that one or more calls of map() mapped */
};

/** The first-stage tables that a unit walks over a second stage (nested translation). */
struct moat_nested_caps {
	uint8_t sagaw;       /* as in struct moat_unit_caps; 0: the unit does not nest */
	uint8_t mgaw;        /* bits of IOVA: 47, or 56 with 5 levels */
	uint64_t leaf_sizes; /* other than 4 KiB */
};

struct moat_unit_caps {
	/* bit l-2 set: l-level tables (CAP.SAGAW: bit 1 = 3, bit 2 = 4, bit 3 = 5) */
	uint8_t sagaw;
	uint8_t mgaw;        /* bits of IOVA (CAP.MGAW + 1) */
	uint64_t leaf_sizes; /* other than 4 KiB: MOAT_2M_SIZE | MOAT_1G_SIZE (CAP.SSLPS) */
	/** Format of the tables that the unit walks for domains. It caches first stage by domain-id
	 * and PASID (requests without a PASID have `rid_pasid`), and second stage by domain-id
	 * alone. */
	enum moat_pt_format format;
	uint32_t rid_pasid;
	/** For nested domains; `format` is then second stage, as for the parent. Nested
	 * translations are cached by domain-id and PASID. */
	struct moat_nested_caps nested;
	uint32_t nd; /* domain-ids: 0 to nd - 1 (CAP.ND) */
	struct moat_qi_caps qi;
	bool coherent;      /* ECAP.C: page walks are snooped */
	bool caching_mode;  /* CAP.CM: absent entries may be cached, so mapping invalidates too */
	bool rwbf;          /* CAP.RWBF: updates take effect after a write-buffer flush */
	bool snoop_control; /* ECAP.SC: leaves have SNP, which makes no-snoop requests snoop */
	bool no_zlr; /* CAP.ZLR is clear: zero-length reads need R, so writable pages get R, too */
	enum moat_tables tables;
	enum moat_cut cut;
	/** IOVAs that no domain may use (the MSI window, firmware's regions): whole pages,
	 * ascending. The unit owns the array. */
	const struct moat_range *reserved;
	unsigned int nr_reserved;
};

/** A DMA that the unit refused. */
struct moat_fault {
	moat_sid_t sid;
	uint64_t iova;           /* address of the page */
	uint8_t reason;          /* the specification's fault reason code */
	const char *reason_text; /* in words; static */
	bool write;
	uint32_t pasid; /* of the request; MOAT_PASID_NONE if it has none */
};

/** An interrupt that a unit gave to a device: the address and data for the device's MSI or MSI-X
 * registers, and the index of the unit's table entry (IRTE). */
struct moat_interrupt {
	uint64_t address;
	uint32_t data;
	uint16_t index;
};

/**
 * A posted-interrupt descriptor: a cache line in which a unit sets a bit for each interrupt,
 * instead of interrupting a processor. An lcore that polls the line sees which of up to 256 queues
 * have interrupted. VT-d specification, "Posted-interrupt Descriptor".
 */
struct moat_posted {
	uint64_t vector[4]; /* bits; the unit sets, moat_posted_take() clears */
	uint64_t control;   /* ON, SN and the notification */
	uint64_t reserved[3];
} __attribute__((aligned(64)));

#define MOAT_POSTED_SN (UINT64_C(1) << 1) /* no notification: the line is polled */

/**
 * Initialise a line: no bit is set, and it is polled.
 *
 * @param line the line; it must not have been given to a unit yet
 *
 * Thread safety: no other thread may use the line. Control path.
 */
static inline void moat_posted_init(struct moat_posted *line)
{
	*line = (struct moat_posted){ .control = MOAT_POSTED_SN };
}

/**
 * Fetch and clear the bits of 64 vectors. If none is set, the call is a plain load.
 *
 * @param line the line
 * @param word 0 to 3: vectors 64 * word to 64 * word + 63
 * @return the bits that were set and are clear now; the caller sees what the devices wrote before
 *   they interrupted
 *
 * Thread safety: one thread for each word. Data path.
 */
static inline uint64_t moat_posted_take(struct moat_posted *line, unsigned int word)
{
	if (__atomic_load_n(&line->vector[word], __ATOMIC_RELAXED) == 0)
		return 0;
	/* acquire: pairs with the unit's release, so that the DMA that the bit announces is
	 * visible */
	return __atomic_exchange_n(&line->vector[word], 0, __ATOMIC_ACQUIRE);
}

/** What a submission of invalidations tells the submitter. */
struct moat_inval_report {
	unsigned int commands; /* given to the unit, without those that report completion */
	bool contended;        /* other threads had submitted since this thread's last submission */
};

#define MOAT_TAKEN_BACK 4 /* for moat_witness.mapped(), beside enum moat_prot's bits */

/**
 * The calls by which lib/domain tells an oracle (drivers/softvtd) what is mapped, unmapped and
 * released, so that the oracle finds stale DMA. Each call comes from the thread that acts. In
 * production a unit's `witness` is NULL.
 */
struct moat_witness {
	/** The pages are about to be mapped. `prot` has MOAT_TAKEN_BACK, too, if the lane takes
	 * back an unmap: the pages were not handed on, and are mapped again to the same memory. */
	void (*mapped)(struct moat_witness *w, uint16_t did, uint64_t iova, uint64_t len,
		enum moat_prot prot);
	/** The entries are cleared; devices may still reach the pages. `cause` names the unmap. */
	void (*unmapped)(struct moat_witness *w, uint16_t did, uint64_t iova, uint64_t len,
		uint64_t cause);
	/** The pages have been handed on: from now on no device may reach them by the old
	 * mapping. */
	void (*released)(struct moat_witness *w, uint16_t did, uint64_t iova, uint64_t len,
		uint64_t cause);
	/** As released(), but before the ticket is done (mode deferred). released() follows when it
	 * is, perhaps after another lane has mapped, unmapped and released the pages again. */
	void (*released_early)(struct moat_witness *w, uint16_t did, uint64_t iova, uint64_t len,
		uint64_t cause);
	/** A parent domain has unmapped all or a part of [address, address + len), to which a leaf
	 * at [iova, iova + len) of its child `did` leads. Once the parent has released a page, no
	 * device may reach it through the child either. The child's own unmapped() still follows.
	 * NULL: not watched. */
	void (*parent_unmapped)(struct moat_witness *w, uint16_t did, uint64_t iova, uint64_t len,
		uint16_t parent, uint64_t address);
};

struct moat_unit_ops {
	/** Put a requester into a domain, or take it out. On return the unit has completed every
	 * invalidation that this needs: after a detach the device reaches nothing. -EBUSY: the
	 * requester is in another domain; -ENODEV: it is not behind this unit; -EPERM: it must not
	 * be assigned (RMRR, ACS); other errors. Control path; waits with a deadline. */
	int (*attach)(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid);
	int (*detach)(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid);
	/** MOAT_TABLES_UNITS: create what the unit keeps for a domain, such as a VFIO container.
	 * The result is stored in `domain->priv`. */
	int (*open)(struct moat_unit *unit, struct moat_domain *domain, void **priv);
	void (*close)(struct moat_unit *unit, void *priv);
	/** MOAT_TABLES_UNITS: map. On return the domain's devices reach the range. Data path. */
	int (*map)(struct moat_unit *unit, void *priv, uint64_t iova, void *va, uint64_t len,
		enum moat_prot prot);
	/** MOAT_CUT_MAPS: check that [iova, iova + len) consists of whole maps, which unmap() can
	 * remove. It is called before anything changes. @return 0, -EINVAL. Data path. */
	int (*whole)(struct moat_unit *unit, void *priv, uint64_t iova, uint64_t len);
	/** MOAT_TABLES_UNITS: unmap. On return no device reaches the range. -EIO: a part could not
	 * be unmapped; -EAGAIN: nothing has changed, try again. Data path. */
	int (*unmap)(struct moat_unit *unit, void *priv, uint64_t iova, uint64_t len);
	/** Find the host physical address of `va`. -EFAULT: [va, va + len) is not physically
	 * contiguous. */
	int (*hpa)(struct moat_unit *unit, const void *va, uint64_t len, uint64_t *hpa);
	/** Allocate memory for a tenant: zeroed hugepages. If this process is killed, no other
	 * process gets these pages before the unit's next owner has cut off the devices that reach
	 * them. `len` is a multiple of 2 MiB. NULL, or -EOPNOTSUPP: this unit needs no such memory.
	 * Control path. */
	int (*memory_alloc)(struct moat_unit *unit, uint64_t len, void **va);
	void (*memory_free)(struct moat_unit *unit, void *va, uint64_t len);
	/** Units with CAP.RWBF: flush the write buffer. NULL: not needed. */
	int (*flush_write_buffer)(struct moat_unit *unit);
	/** Get up to `n` of the faults recorded since the last call. @return how many. Control
	 * path. */
	unsigned int (*faults)(struct moat_unit *unit, struct moat_fault faults[], unsigned int n);
	/** Free the unit, once every domain on it is destroyed: the function must first call
	 * moat_domain_unit_unused(). If that finds domains, it logs their names, and destroy()
	 * changes nothing. Control path. */
	void (*destroy)(struct moat_unit *unit);

	/** Put one PASID of a requester into a domain, or take it out; as attach and detach. NULL:
	 * the unit translates by source-id only. */
	int (*attach_pasid)(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
		uint32_t pasid);
	int (*detach_pasid)(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
		uint32_t pasid);
	/** Find whether the device has a device TLB. Called before attach. NULL: no device has
	 * one. */
	void (*device_tlb)(struct moat_unit *unit, moat_sid_t sid, struct moat_device_tlb *tlb);

	/**
	 * MOAT_TABLES_OURS: invalidate what a gather covers in the caches of the tags.
	 *
	 * A full barrier: the unit sees entries as cleared that were cleared before the call, and
	 * loads after the call are not satisfied before it. NULL in a unit with `qi`: lanes call
	 * moat_unit_qi_submit(), moat_unit_qi_done() and moat_unit_qi_wait().
	 *
	 * @param tags `n` cache tags, all of this unit
	 * @param gather NULL: all that is cached for the tags
	 * @param report set unless the unit is dead
	 * @return a sequence number (> 0) for inval_done()
	 * @return -EAGAIN: the queue has no room now, and nothing was submitted
	 * @return -EIO: the unit is dead
	 *
	 * Thread-safe. Data path; never waits for another thread.
	 */
	int64_t (*inval_submit)(struct moat_unit *unit, const moat_tag_t tags[], unsigned int n,
		const struct moat_gather *gather, struct moat_inval_report *report);
	/**
	 * Check whether the unit has completed the submission `seq`. If not, poll the unit once.
	 *
	 * @return 1: it has, and the calling thread sees what the unit did before
	 * @return 0: not yet
	 * @return -EIO: it refused the submission, and may still cache what that covers: invalidate
	 *   again, wider
	 *
	 * Thread-safe. Data path.
	 */
	int (*inval_done)(struct moat_unit *unit, int64_t seq);
	/**
	 * Poll until the submission is completed or refused.
	 *
	 * @param turn called between two polls
	 * @return 0
	 * @return -ETIMEDOUT: moat_error_text() has the queue's head, its tail and the descriptor
	 *   at the head
	 * @return -EIO: the unit is dead
	 *
	 * Thread-safe. Control path.
	 */
	int (*inval_wait)(struct moat_unit *unit, int64_t seq, uint64_t timeout_us,
		void (*turn)(void));

	/** Give a requester of the domain an interrupt that calls `fn`, in whichever thread
	 * receives it. NULL: the unit gives no interrupts. -EOPNOTSUPP: this process cannot get a
	 * vector; -ENOENT: neither the requester nor a PASID of it is attached to the domain, or
	 * was detached meanwhile; -EPERM: another domain has a PASID of the requester, and could
	 * raise the interrupt; -ENOSPC: no table entry is free. Control path; may wait. */
	int (*interrupt_give)(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
		void (*fn)(void *ctx), void *ctx, struct moat_interrupt *interrupt);
	/** Give a requester of the domain an interrupt that sets bit `vector` of the line. NULL,
	 * -EOPNOTSUPP: the unit cannot post; otherwise as interrupt_give. */
	int (*interrupt_post)(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
		struct moat_posted *line, uint8_t vector, struct moat_interrupt *interrupt);
	/** Take back an interrupt of either kind. After the return `fn` is not called, and the line
	 * is not written. -ENOENT: the domain was not given this interrupt; -ETIMEDOUT, -EIO: the
	 * unit does not confirm. A detach that leaves the domain nothing of a requester, not even a
	 * PASID, takes back all interrupts that the requester was given there. */
	int (*interrupt_take)(struct moat_unit *unit, struct moat_domain *domain,
		const struct moat_interrupt *interrupt);
};

/**
 * Submit an invalidation to the unit's `qi`: implements moat_unit_ops.inval_submit.
 *
 * @param unit the unit
 * @param tags cache tags, all of this unit
 * @param n number of tags
 * @param gather NULL: all that is cached for the tags
 * @param report set unless the unit is dead
 * @return as moat_unit_ops.inval_submit
 *
 * Thread-safe. Data path.
 */
int64_t moat_unit_qi_submit(struct moat_unit *unit, const moat_tag_t tags[], unsigned int n,
	const struct moat_gather *gather, struct moat_inval_report *report);

/**
 * Ask the unit's `qi` about a submission: implements moat_unit_ops.inval_done.
 *
 * @param unit the unit
 * @param seq what moat_unit_qi_submit() returned
 * @return as moat_unit_ops.inval_done
 *
 * Thread-safe. Data path.
 */
int moat_unit_qi_done(struct moat_unit *unit, int64_t seq);

/**
 * Wait for a submission to the unit's `qi`: implements moat_unit_ops.inval_wait.
 *
 * @param unit the unit
 * @param seq what moat_unit_qi_submit() returned
 * @param timeout_us 0: 1 s
 * @param turn called between two polls
 * @return as moat_unit_ops.inval_wait
 *
 * Thread-safe. Control path.
 */
int moat_unit_qi_wait(struct moat_unit *unit, int64_t seq, uint64_t timeout_us, void (*turn)(void));
#define MOAT_UNIT_QI_OPS                                                      \
	.inval_submit = moat_unit_qi_submit, .inval_done = moat_unit_qi_done, \
	.inval_wait = moat_unit_qi_wait

#define MOAT_UNIT_DIDS 65536

struct moat_unit {
	const struct moat_unit_ops *ops;
	char name[32];
	const char *kind; /* "soft", "vtd", "vfio" */
	struct moat_unit_caps caps;
	struct moat_pt_pool *pool; /* table pages that the unit can address */
	struct moat_qi *qi;        /* NULL: the unit has no queue, as with MOAT_TABLES_UNITS */
	struct moat_witness *witness;
	/** Domain-ids in use, one bit each. lib/domain changes them, under its lock. Domain-id 0
	 * (reserved with CAP.CM) is never handed out. Before other threads can see the unit, its
	 * driver sets the bits of the domain-ids that it uses itself. */
	uint64_t dids[MOAT_UNIT_DIDS / 64];
	/** Domains that have a domain-id here. lib/domain changes the list, under the same lock. */
	struct domain_unit *domains;
};

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_UNIT_H */
