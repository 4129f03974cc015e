/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_H
#define MOAT_VTD_H

/**
 * @file
 * The VT-d driver: a `struct moat_unit` over a window of registers.
 *
 * In legacy mode the unit keeps a root table of 256 buses and a context table of 256 functions for
 * each, all linked before translation is switched on, so that only context entries ever change. In
 * scalable mode the tables below the root grow, and functions have PASIDs (doc/scalable.md). An
 * absent entry blocks its source: from moat_vtd_create() on, **a device that is neither attached to
 * a domain nor passed through reaches nothing**. Name the devices that stay with the kernel in
 * `pass_through`, or they stop.
 *
 * Bring-up follows the specification: capabilities, switch off what is on, set the root table,
 * invalidate context cache and IOTLB through registers (before version 6), switch the queue on and
 * prove it with first batches, set the interrupt table and enable interrupt remapping where
 * `interrupts` says so (moat_vtd_intr.h), enable translation, disable protected memory regions. One
 * command bit at a time, each awaited with a deadline and a diagnosis. Take-down goes the same way
 * back and restores the registers that were found.
 *
 * A unit that is found enabled has an owner: the kernel (boot with intel_iommu=off), or a moat that
 * was killed. `take_over` says that the caller owns it from now on.
 */

#include "moat_unit.h"
#include "moat_vtd_caps.h"
#include "moat_vtd_intr.h"
#include "moat_vtd_window.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define MOAT_VTD_ALIASES      4 /* source-ids that one function's requests may carry */
#define MOAT_VTD_DEADLINE_MS  1000
#define MOAT_VTD_QI_ORDER     2 /* 4 pages: 1024 descriptors */
#define MOAT_VTD_QI_ORDER_MAX 7 /* IQA.QS has three bits */

/**
 * Which functions are behind the unit. All optional: without them every function is, requests carry
 * its own source-id only, and no two functions exchange requests without the unit.
 */
struct moat_vtd_scope {
	/** 0; -ENODEV: not behind this unit; -EPERM: may not be assigned (RMRR). Calls
	 * moat_error(). */
	int (*admit)(void *ctx, moat_sid_t sid);
	/** The source-ids that requests of `sid` may carry, itself first. Asked at attach only:
	 * detach undoes what attach wrote. Writes at most MOAT_VTD_ALIASES.
	 * @return how many there are, at least 1; more than MOAT_VTD_ALIASES: attach is refused */
	unsigned int (*aliases)(void *ctx, moat_sid_t sid, moat_sid_t alias[MOAT_VTD_ALIASES]);
	void *ctx;
	/** May two functions be in different domains: do all requests of one to the other pass
	 * through the unit? 0: yes; -EPERM: no, moat_error_text() has the reason (ACS). Must not
	 * call the unit. */
	int (*isolated)(void *ctx, moat_sid_t sid, moat_sid_t other);
};

/** The form of the tables. */
enum moat_vtd_mode {
	MOAT_VTD_LEGACY = 0,
	MOAT_VTD_SCALABLE, /* refused where ECAP.SMTS is clear */
};

/** In scalable mode, the format of a domain's tables. */
enum moat_vtd_stage {
	MOAT_VTD_STAGE_ANY = 0, /* second where ECAP.SSTS has it, else first */
	MOAT_VTD_STAGE_SECOND,
	MOAT_VTD_STAGE_FIRST,  /* what can be written can be read, too */
	MOAT_VTD_STAGE_NESTED, /* second; and first over it for domains with a parent (ECAP.NEST) */
};

struct moat_vtd_conf {
	const char *name;              /* "soft0", "dmar0": for messages */
	const char *kind;              /* NULL: "vtd" */
	struct moat_vtd_window window; /* copied */
	/** Memory for root and context tables, queue and page tables. NULL: anonymous memory of
	 * this process, hpa = va, as the software unit has it. Must outlive the unit. */
	const struct moat_pt_mem *mem;
	/** hpa of [va, va + len); NULL: hpa = va */
	int (*hpa)(void *ctx, const void *va, uint64_t len, uint64_t *hpa);
	/** For tenants, as struct moat_unit_ops has it. NULL: the unit has no such memory */
	int (*memory_alloc)(void *ctx, uint64_t len, void **va);
	void (*memory_free)(void *ctx, void *va, uint64_t len);
	struct moat_vtd_scope scope;
	const moat_sid_t *pass_through; /* these pass untranslated from the first moment */
	unsigned int nr_pass_through;
	uint8_t qi_order; /* queue of 2^order pages, 0: MOAT_VTD_QI_ORDER */
	enum moat_vtd_mode mode;
	enum moat_vtd_stage stage; /* ANY or SECOND in legacy mode */
	uint32_t deadline_ms;      /* of any single answer of the unit, 0: the default */
	bool take_over;            /* own a unit that is found enabled */
	bool take_over_ir;         /* ... even if it remaps interrupts, which then stops */
	enum moat_vtd_interrupts interrupts;
	/* where the unit proves unable to block, leave interrupts alone */
	bool interrupts_optional;
	/** A function whose PASIDs are in several domains is given interrupts nevertheless
	 * (moat_vtd_intr.h): each of these domains can raise the others'. */
	bool share_interrupts;
	const char *interrupts_why; /* for moat_vtd_interrupts_why(), copied; may be NULL */
	struct moat_vtd_intr_watch intr_watch; /* members may be NULL */
	/** Called once, when the unit may be owned and all memory is there, before the first
	 * register is written. An error ends moat_vtd_create() with the unit untouched. May be
	 * NULL. */
	int (*before_writing)(void *ctx);
	/** Called last when the unit is destroyed. Never when moat_vtd_create() fails, nor when the
	 * unit cannot be switched off: then all that it may still read is kept. May be NULL. */
	void (*release)(void *ctx);
	void *ctx; /* of `hpa`, `memory_...`, `before_writing` and `release` */
};

/**
 * Bring a unit up; translation is on when this returns. The caller must end it with
 * unit->ops->destroy(), once every domain is destroyed. With domains left, destroy() logs their
 * names and changes nothing.
 *
 * @param conf copied; what it points at must stay until the unit is destroyed, but for
 *   `pass_through`, which may go when this returns
 * @param unit set on success
 * @return 0
 * @return -EBUSY: it has another owner, and `take_over` (or `take_over_ir`) is not set
 * @return -ENODEV: the window reads as if no unit were there
 * @return -EPROTO: its capabilities contradict each other
 * @return -EOPNOTSUPP: it lacks queued invalidation, or pass-through or interrupt remapping that
 *   was asked for, or the mode or stage that `mode` and `stage` want
 * @return -ETIMEDOUT: a status bit or an invalidation did not come within `deadline_ms`
 * @return -EIO: it refuses invalidations
 * @return -EINVAL: a NULL, no name, no window, `qi_order`, a mode, stage or `interrupts` that does
 *   not exist, or a first stage in legacy mode
 * @return -ENOMEM
 * @return what `mem` and `before_writing` returned
 *
 * moat_error_text() has the sentence. After an error the unit is as it was found, or off if it was
 * taken over. Thread safety: one thread for each unit. Control path; waits for the unit.
 */
int moat_vtd_create(const struct moat_vtd_conf *conf, struct moat_unit **unit);

/**
 * The mode by its name in configurations: "legacy", "scalable".
 *
 * @param text the name
 * @param mode set on success
 * @return 0
 * @return -EINVAL: no such name; moat_error_text() says which there are
 *
 * Thread-safe. Control path.
 */
int moat_vtd_mode_parse(const char *text, enum moat_vtd_mode *mode);

/**
 * The stage by its name in configurations: "first", "second".
 *
 * @param text the name
 * @param stage set on success
 * @return 0
 * @return -EINVAL: no such name; moat_error_text() says which there are
 *
 * Thread-safe. Control path.
 */
int moat_vtd_stage_parse(const char *text, enum moat_vtd_stage *stage);

/**
 * A unit's capabilities.
 *
 * @param unit of this driver's
 * @return the capabilities, never NULL, valid as long as the unit
 *
 * Thread-safe. Control path.
 */
const struct moat_vtd_caps *moat_vtd_unit_caps(const struct moat_unit *unit);

/**
 * Let a source's requests pass untranslated (TT = 10b): a device that stays with the kernel, hot
 * plugged or created after the unit came up. Its memory accesses are then unrestricted.
 *
 * @param unit the unit
 * @param sid the source
 * @return 0
 * @return -EBUSY: it is in a domain, or passes through already
 * @return -EOPNOTSUPP: ECAP.PT is clear
 * @return -ETIMEDOUT, -EIO: the unit does not answer, and the source stays blocked
 * @return -ENOMEM: no memory for tables (scalable mode)
 * @return -EPERM: it could reach a tenant's device, or be reached, without the unit (`isolated`)
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; waits for the unit.
 */
int moat_vtd_pass_through(struct moat_unit *unit, moat_sid_t sid);

/**
 * Take pass-through back; on return the source reaches nothing.
 *
 * @param unit the unit
 * @param sid the source
 * @return 0
 * @return -ENOENT: the source does not pass through
 * @return -EBUSY: another thread changes it
 * @return -ETIMEDOUT, -EIO: the unit does not answer, the source may still reach what it did, and
 *   the call can be repeated
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; waits for the unit.
 */
int moat_vtd_block(struct moat_unit *unit, moat_sid_t sid);

/** Counters of what went wrong at the unit. */
struct moat_vtd_stats {
	uint64_t faults;          /* read from fault recording registers */
	uint64_t fault_overflows; /* FSTS.PFO seen: faults were lost */
	uint64_t iqe, ite, ice;   /* queue errors seen and recovered from */
	uint64_t attaches, detaches;
};

/**
 * Copy the counters. Each is torn-free; together they may be of different moments.
 *
 * @param unit the unit
 * @param stats receives the counters
 *
 * Thread-safe. Control path.
 */
void moat_vtd_stats(const struct moat_unit *unit, struct moat_vtd_stats *stats);

/**
 * A fault reason code in words.
 *
 * @param reason the code
 * @return a static text, never NULL
 *
 * Thread-safe. Control path.
 */
const char *moat_vtd_fault_text(uint8_t reason);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_H */
