/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef APP_UNIT_H
#define APP_UNIT_H

/**
 * @file
 * Opening a unit by the name of its kind, whatever the kind; and what reports need of it.
 * A kind is a line of the table in app_unit.c.
 */

#include "moat_unit.h"

enum app_unit_kind {
	APP_UNIT_SOFT, /* drivers/softvtd driven by drivers/vtd: all in this process */
	APP_UNIT_VTD,  /* the machine's own, driven by drivers/vtd */
	APP_UNIT_VFIO, /* the machine's own, driven by the kernel: drivers/vfio */
	APP_UNIT_KINDS,
};

/** The kinds' names: "soft", ..., NULL. */
extern const char *const app_unit_kinds[APP_UNIT_KINDS + 1];

/** Whether the unit is nothing but memory of this process: opening it configures nothing. */
bool app_unit_in_process(enum app_unit_kind kind);

/** What becomes of interrupts of tenants' devices. */
enum app_interrupts {
	APP_INTERRUPTS_DEFAULT, /* block where that is possible, else compatible */
	APP_INTERRUPTS_BLOCK,
	APP_INTERRUPTS_COMPATIBLE,
};

struct app_unit_conf {
	const char *name;
	/* arguments of the kind, "key=value,..."; NULL or "": its defaults. All kinds take
	 * `interrupts=`. It and `share_interrupts=` override the members of the same names. */
	const char *args;
	/** PCI functions that tenants will have; kinds of hardware must know them from the
	 * start. */
	uint16_t segment;
	const moat_sid_t *tenants;
	unsigned int nr_tenants;
	bool take_over; /* own the unit even if it is enabled already */
	int interrupts; /* enum app_interrupts */
	/* tenants that share a function by PASID are given interrupts, which each can raise; not of
	 * kind vfio */
	bool share_interrupts;
};

/** Check `args`; nothing is opened. @return 0, or -EINVAL; moat_error_text() */
int app_unit_check(enum app_unit_kind kind, const struct app_unit_conf *conf);

/**
 * Open a unit. Needs no EAL where app_unit_in_process().
 *
 * @return 0 or a negative errno; moat_error_text() has the sentence. Control path.
 */
int app_unit_open(enum app_unit_kind kind, const struct app_unit_conf *conf,
	struct moat_unit **unit);
void app_unit_close(struct moat_unit *unit);

/** What tenants' devices can do to the host's interrupts, as one sentence without a full stop, and
 * why.
 * @return false: no more than raise what they were given; the text says so, too */
bool app_unit_interrupts(const struct moat_unit *unit, char *text, size_t len);

/** Whether tenants that share a function by PASID are given interrupts that each can raise. */
bool app_unit_shares_interrupts(const struct moat_unit *unit);

/** What a unit counted. */
struct app_unit_stats {
	uint64_t descriptors; /* wait descriptors not counted */
	uint64_t waits;
	uint64_t pages;            /* invalidated; soft only */
	bool has_pages;            /* `pages` was counted */
	uint64_t stale_dma;        /* got through after the promise that none could; soft only */
	uint64_t stale_interrupts; /* by entries taken back, or another's; soft only */
	bool has_oracle;           /* both were watched for */
	uint64_t iotlb_hits, iotlb_misses; /* the unit's own; soft only */
	uint64_t doorbells;
	uint64_t tables_allocated, tables_freed; /* pages of page tables */
};
void app_unit_stats(struct moat_unit *unit, struct app_unit_stats *stats);

/** TSC cycles that the unit takes to answer, if its arguments give them: `latency=`, soft only.
 * @param unit NULL: not open
 * @return the cycles; 0: not given. Control path. */
uint32_t app_unit_latency(const struct moat_unit *unit);

#endif /* APP_UNIT_H */
