/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef PT_FORMAT_H
#define PT_FORMAT_H

/**
 * @file
 * The bits of an entry, as data: one description for each of the specification's two formats.
 *
 * The formats agree on where an address is, on which bit makes an upper entry a leaf (7), on the
 * bit that a read needs (0: R, or P) and the one that a write needs (1: W, or R/W). So a reader
 * tests the same bits in both, without asking which format a table has; the assertions below hold
 * that. A writer takes the remaining bits from the description, which is copied into the table
 * (struct pt_impl).
 */

#include "moat_pt.h"

struct pt_format {
	const char *name;
	/** Bits of a leaf, by enum moat_prot. [0] is not used. */
	uint64_t leaf[4];
	/** Bits of an entry that points to a table: it permits everything, the leaf decides. */
	uint64_t link;
	/** What makes the unit snoop on behalf of a request; 0: no bit of an entry does. */
	uint64_t snoop;
	/** What makes an entry above the lowest level a leaf. */
	uint64_t superpage;
	uint8_t min_levels, max_levels;
	/** Bits of IOVA that the levels have but software cannot use. First stage blocks an address
	 * that is not canonical, so only the lower half is there for DMA. */
	uint8_t unused_bits;
};

/** By enum moat_pt_format. */
extern const struct pt_format pt_formats[2];

_Static_assert(MOAT_SS_R == MOAT_R && MOAT_FS_P == MOAT_R, "bit 0 permits reads");
_Static_assert(MOAT_SS_W == MOAT_W && MOAT_FS_RW == MOAT_W, "bit 1 permits writes");
/* NOLINTNEXTLINE(misc-redundant-expression): that they are the same is the assertion */
_Static_assert(MOAT_SS_PS == MOAT_FS_PS, "bit 7 of an upper entry makes it a leaf");
_Static_assert(!(MOAT_PT_POISON & (MOAT_PT_LIN | MOAT_SS_PS)), "poison maps nothing");

#endif /* PT_FORMAT_H */
