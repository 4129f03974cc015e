/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef APP_UNIT_H
#define APP_UNIT_H

/**
 * @file
 * Opening units of any kind, and what reports show of a unit. A kind is a row of the table in
 * app_unit.c.
 */

#include "moat_unit.h"

enum app_unit_kind {
	APP_UNIT_SOFT, /* drivers/softvtd driven by drivers/vtd: all in this process */
	APP_UNIT_VTD,  /* the machine's unit, driven by drivers/vtd */
	APP_UNIT_VFIO, /* the machine's unit, driven by the kernel: drivers/vfio */
	APP_UNIT_KINDS,
};

/** The kinds' names: "soft", ..., NULL. */
extern const char *const app_unit_kinds[APP_UNIT_KINDS + 1];

/** Whether the unit is only memory of this process, so that opening it configures no hardware. */
bool app_unit_in_process(enum app_unit_kind kind);

/** What the unit does with interrupts of tenants' devices. */
enum app_interrupts {
	APP_INTERRUPTS_DEFAULT, /* block if possible, otherwise compatible */
	APP_INTERRUPTS_BLOCK,
	APP_INTERRUPTS_COMPATIBLE,
};

struct app_unit_conf {
	const char *name;
	/* the kind's arguments, "key=value,..."; NULL or "": defaults. `interrupts=`, which all
	 * kinds take, and `share_interrupts=` override the members of the same names. */
	const char *args;
	/** PCI functions that tenants will have, and their segment: for kinds of hardware. */
	uint16_t segment;
	const moat_sid_t *tenants;
	unsigned int nr_tenants;
	bool take_over; /* own the unit even if it is enabled already */
	int interrupts; /* enum app_interrupts */
	/* give interrupts to tenants that share a function by PASID, though each can then raise the
	 * others'; not with kind vfio */
	bool share_interrupts;
};

/** Check `args` and open nothing. @return 0, or -EINVAL: moat_error_text() */
int app_unit_check(enum app_unit_kind kind, const struct app_unit_conf *conf);

/**
 * Open a unit. Needs no EAL if app_unit_in_process().
 *
 * @return 0 or a negative errno; moat_error_text() has the sentence. Control path.
 */
int app_unit_open(enum app_unit_kind kind, const struct app_unit_conf *conf,
	struct moat_unit **unit);
void app_unit_close(struct moat_unit *unit);

/** Write what tenants' devices can do to the host's interrupts, and why, as one sentence without a
 * full stop.
 * @return true: they can raise more than the interrupts that they were given */
bool app_unit_interrupts(const struct moat_unit *unit, char *text, size_t len);

/** Whether tenants that share a function by PASID are given interrupts that each can raise. */
bool app_unit_shares_interrupts(const struct moat_unit *unit);

/** A unit's counters. */
struct app_unit_stats {
	uint64_t descriptors; /* without wait descriptors */
	uint64_t waits;
	uint64_t pages;            /* invalidated; soft only */
	bool has_pages;            /* `pages` was counted */
	uint64_t stale_dma;        /* reached a page after its ticket was done; soft only */
	uint64_t stale_interrupts; /* by entries taken back, or another device's; soft only */
	bool has_oracle;           /* an oracle counted stale DMA and interrupts */
	uint64_t iotlb_hits, iotlb_misses; /* of the unit's IOTLB; soft only */
	uint64_t doorbells;
	uint64_t tables_allocated, tables_freed; /* pages of page tables */
};
void app_unit_stats(struct moat_unit *unit, struct app_unit_stats *stats);

/** Get the TSC cycles that the unit takes to answer, if its arguments give them (`latency=`, soft).
 * @param unit NULL: not open
 * @return the cycles; 0: not given. Control path. */
uint32_t app_unit_latency(const struct moat_unit *unit);

#endif /* APP_UNIT_H */
