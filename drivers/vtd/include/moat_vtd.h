/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_H
#define MOAT_VTD_H

/**
 * @file
 * The VT-d driver: a `struct moat_unit` over a window of registers.
 *
 * In legacy mode the driver has a root table of 256 buses and a context table of 256 functions for
 * each bus, all linked before translation is enabled, so that only context entries change later. In
 * scalable mode the tables below the root grow, and functions have PASIDs (doc/scalable.md). An
 * absent entry blocks its source: from moat_vtd_create() on, **a device that is neither attached to
 * a domain nor passed through reaches nothing**. Name the devices that stay with the kernel in
 * `pass_through`, or they stop working.
 *
 * Bring-up follows the specification: read the capabilities, switch off what is on, set the root
 * table, invalidate context cache and IOTLB through registers (in legacy mode, before version 6),
 * switch the invalidation queue on and prove it with first batches, set the interrupt table and
 * enable interrupt remapping as `interrupts` says (moat_vtd_intr.h), enable translation, disable
 * protected memory regions. The driver sets one command bit at a time, and awaits each with a
 * deadline and a diagnosis. Take-down goes the reverse way and restores the registers as found.
 *
 * A unit that is found enabled has an owner: the kernel (boot with intel_iommu=off), or a moat
 * process that was killed. `take_over` says that the caller owns the unit from now on.
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
 * Which functions are behind the unit. Each member may be NULL: then every function is behind the
 * unit, requests carry the function's own source-id only, and no two functions exchange requests
 * without the unit.
 */
struct moat_vtd_scope {
	/** May a function be attached? 0: yes; -ENODEV: it is not behind this unit; -EPERM: an RMRR
	 * names it; -EBUSY: a driver of the kernel's has it. Calls moat_error(). */
	int (*admit)(void *ctx, moat_sid_t sid);
	/** Get the source-ids that requests of `sid` may carry, `sid` first. Called at attach and
	 * when an interrupt is given, not at detach, which undoes what attach wrote. Writes at most
	 * MOAT_VTD_ALIASES.
	 * @return how many there are, at least 1; more than MOAT_VTD_ALIASES: attach is refused */
	unsigned int (*aliases)(void *ctx, moat_sid_t sid, moat_sid_t alias[MOAT_VTD_ALIASES]);
	void *ctx; /* of all three functions */
	/** Do all requests between two functions pass through the unit, so that they may be in
	 * different domains? 0: yes; -EPERM: no, moat_error_text() has the reason (ACS). Must not
	 * call the unit. */
	int (*isolated)(void *ctx, moat_sid_t sid, moat_sid_t other);
};

/** The form of the tables. */
enum moat_vtd_mode {
	MOAT_VTD_LEGACY = 0,
	MOAT_VTD_SCALABLE, /* refused where ECAP.SMTS is clear */
};

/** The format of domains' tables, a choice in scalable mode only. */
enum moat_vtd_stage {
	MOAT_VTD_STAGE_ANY = 0, /* second stage if ECAP.SSTS is set, else first stage */
	MOAT_VTD_STAGE_SECOND,
	MOAT_VTD_STAGE_FIRST,  /* writable pages are readable, too */
	MOAT_VTD_STAGE_NESTED, /* second stage, with first stage over it in domains with a parent */
};

struct moat_vtd_conf {
	const char *name;              /* for messages, such as "soft0", "dmar0" */
	const char *kind;              /* of struct moat_unit; NULL: "vtd" */
	struct moat_vtd_window window; /* copied */
	/** Memory for all tables and the invalidation queue. NULL: anonymous memory of this
	 * process, with hpa = va, for the software unit. Must outlive the unit. */
	const struct moat_pt_mem *mem;
	/** As moat_unit_ops.hpa. NULL: hpa = va */
	int (*hpa)(void *ctx, const void *va, uint64_t len, uint64_t *hpa);
	/** As in struct moat_unit_ops. NULL: the unit has no memory for tenants */
	int (*memory_alloc)(void *ctx, uint64_t len, void **va);
	void (*memory_free)(void *ctx, void *va, uint64_t len);
	struct moat_vtd_scope scope;
	const moat_sid_t *pass_through; /* sources that pass untranslated from the start */
	unsigned int nr_pass_through;
	uint8_t qi_order; /* the queue has 2^qi_order pages; 0: MOAT_VTD_QI_ORDER */
	enum moat_vtd_mode mode;
	enum moat_vtd_stage stage; /* ANY or SECOND in legacy mode */
	uint32_t deadline_ms;      /* for each answer of the unit; 0: MOAT_VTD_DEADLINE_MS */
	bool take_over;            /* own a unit that is found enabled */
	bool take_over_ir;         /* ... even if it remaps interrupts, and stop the remapping */
	enum moat_vtd_interrupts interrupts;
	/* true: if the unit proves unable to block, leave interrupts alone; false: refuse the unit,
	 * if `interrupts` is BLOCK */
	bool interrupts_optional;
	/** Give interrupts even to a function whose PASIDs are in several domains
	 * (moat_vtd_intr.h): each of these domains can raise the interrupts of the others. */
	bool share_interrupts;
	const char *interrupts_why; /* for moat_vtd_interrupts_why(), copied; may be NULL */
	struct moat_vtd_intr_watch intr_watch; /* members may be NULL */
	/** Called once, after it is known that the unit may be owned and all memory is allocated,
	 * and before the first register is written. An error ends moat_vtd_create() with the unit
	 * untouched. May be NULL. */
	int (*before_writing)(void *ctx);
	/** Called last when the unit is destroyed. Not called if moat_vtd_create() fails, or if the
	 * unit cannot be switched off: then all memory that it may still read is kept. May be
	 * NULL. */
	void (*release)(void *ctx);
	void *ctx; /* of `hpa`, `memory_...`, `before_writing` and `release` */
};

/**
 * Bring a unit up; translation is on when this returns. The caller must end it with
 * unit->ops->destroy(), once every domain is destroyed. With domains left, destroy() logs their
 * names and changes nothing.
 *
 * @param conf copied; what its members point at must stay until the unit is destroyed, except
 *   `pass_through`, which may be freed when this returns
 * @param unit set on success
 * @return 0
 * @return -EBUSY: the unit has another owner, and `take_over` (or `take_over_ir`) is not set
 * @return -ENODEV: the window reads as if no unit were there
 * @return -EPROTO: the unit's capabilities contradict each other
 * @return -EOPNOTSUPP: the unit lacks queued invalidation, or what `conf` asks for: pass-through,
 *   interrupt remapping or blocking, `mode` or `stage`
 * @return -ETIMEDOUT: a status bit or an invalidation did not come within `deadline_ms`
 * @return -EIO: the unit refuses invalidations
 * @return -EINVAL: a NULL, no name, no window, `qi_order` is too large, a mode, stage or
 *   `interrupts` that does not exist, or first stage or nested translation in legacy mode
 * @return -ENOMEM
 * @return what `mem` and `before_writing` returned
 *
 * moat_error_text() has the sentence. After an error the unit is as it was found, or off if it was
 * taken over; if it does not answer, it may still be on. Thread safety: one thread for each unit.
 * Control path; waits for the unit.
 */
int moat_vtd_create(const struct moat_vtd_conf *conf, struct moat_unit **unit);

/**
 * Find a mode by its name in configurations: "legacy", "scalable".
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
 * Find a stage by its name in configurations: "first", "second", "nested".
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
 * Get a unit's capabilities.
 *
 * @param unit a unit of this driver
 * @return the capabilities, never NULL, valid as long as the unit
 *
 * Thread-safe. Control path.
 */
const struct moat_vtd_caps *moat_vtd_unit_caps(const struct moat_unit *unit);

/**
 * Let a source's requests pass untranslated: a device that stays with the kernel and was hot
 * plugged or created after the unit came up. Its memory accesses are then unrestricted.
 *
 * @param unit the unit
 * @param sid the source
 * @return 0
 * @return -EBUSY: the source, or a PASID of it, is in a domain, or it passes through already
 * @return -EOPNOTSUPP: ECAP.PT is clear
 * @return -ETIMEDOUT, -EIO: the unit does not answer, and the source stays blocked
 * @return -ENOMEM: no memory for tables (scalable mode)
 * @return -EPERM: the source and a tenant's device could reach each other without the unit
 *   (`isolated`)
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; waits for the unit.
 */
int moat_vtd_pass_through(struct moat_unit *unit, moat_sid_t sid);

/**
 * End a source's pass-through; on return the source reaches nothing.
 *
 * @param unit the unit
 * @param sid the source
 * @return 0
 * @return -ENOENT: the source does not pass through
 * @return -EBUSY: another thread attaches or detaches the source
 * @return -ETIMEDOUT, -EIO: the unit does not answer, the source may still reach memory, and the
 *   call can be repeated
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
 * Copy the counters. Each value is consistent; different counters may be read at different times.
 *
 * @param unit the unit
 * @param stats receives the counters
 *
 * Thread-safe. Control path.
 */
void moat_vtd_stats(const struct moat_unit *unit, struct moat_vtd_stats *stats);

/**
 * Get the text of a fault reason code.
 *
 * @param reason the specification's code
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
