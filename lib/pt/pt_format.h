/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef PT_FORMAT_H
#define PT_FORMAT_H

/**
 * @file
 * The bits of an entry, as data: one description for each of the specification's two formats.
 *
 * Both formats have the same bits for the address, for an upper entry that is a leaf (7), for
 * permission to read (0: R, or P) and for permission to write (1: W, or R/W). So a reader tests
 * these bits without knowing the format of a table; the assertions below check that they are the
 * same. A writer takes the other bits from the description, which is copied into the table (struct
 * pt_impl).
 */

#include "moat_pt.h"

struct pt_format {
	const char *name;
	/** Bits of a leaf, by enum moat_prot. [0] is not used. */
	uint64_t leaf[4];
	/** Bits of an entry that points to a table: all permissions, because the leaf decides. */
	uint64_t link;
	/** The bit of a leaf that makes its requests snoop; 0: the format has none. */
	uint64_t snoop;
	/** The bit that makes an entry above the lowest level a leaf. */
	uint64_t superpage;
	uint8_t min_levels, max_levels;
	/** Bits of IOVA that the levels translate but DMA cannot use: in first stage the uppermost,
	 * because the unit blocks addresses that are not canonical. */
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
