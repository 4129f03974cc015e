/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef REFERENCE_H
#define REFERENCE_H

/**
 * @file
 * A plain walker of the tables of tables.h, as the specification describes it, without caches.
 *
 * In every case the software unit must give this walker's answer. If QEMU's unit answers
 * differently, its answer must be this walker's with one or a few of QEMU's quirks, which
 * explained.c lists.
 */

#include "tables.h"

/** The right result of a request. */
struct answer {
	unsigned int reason; /* as moat_softvtd_request(); may be MOAT_SOFTVTD_NO_MEMORY */
	uint64_t hpa;        /* where it leads, if reason is 0 */
	bool silent;         /* the fault is not recorded */
	/* The walk leads to a table in memory that only QEMU's machine has, because a random entry
	 * made a table of data that a device wrote. */
	bool outside;
};

/** How QEMU's unit differs (explained.c). */
enum quirk {
	QUIRK_LEGACY_REASONS = 1 << 0,
	QUIRK_FIRST_DENIAL = 1 << 1,
	QUIRK_PASID_RESERVED = 1 << 2,
	QUIRK_CONTEXT_BITS = 1 << 3,
	QUIRK_SNP = 1 << 4,
	QUIRK_FIRST_STAGE_AW = 1 << 5,
	QUIRK_XD = 1 << 6,
	QUIRK_BOTH_HALVES = 1 << 7,
	QUIRK_FPD_RESERVED = 1 << 8,
	QUIRK_PASS_DROPPED = 1 << 9,
	QUIRK_PASS_SSPTPTR = 1 << 10,
	QUIRK_PASS_WIDTH = 1 << 11,
	QUIRK_CACHED_DENIAL = 1 << 12,
	QUIRK_PASID_FPD = 1 << 13,
	QUIRK_PASID_TYPE_FIRST = 1 << 14,
};

/** @param quirks 0: as the specification says */
struct answer reference_walk(const struct shape *shape, unsigned int quirks, uint16_t sid,
	uint64_t iova, bool write);

#endif /* REFERENCE_H */
