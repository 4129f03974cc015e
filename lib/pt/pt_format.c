/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include "pt_format.h"

/* First stage: no page is write-only, because R/W without P maps nothing. U/S is set because a
 * request without a PASID, or one that does not ask for privilege, is a user request. Accessed and
 * Dirty are set in advance, so that the unit never has to write to a table. */
#define FS_READ  (MOAT_FS_P | MOAT_FS_US | MOAT_FS_A)
#define FS_WRITE (FS_READ | MOAT_FS_RW | MOAT_FS_D)

const struct pt_format pt_formats[2] = {
	[MOAT_PT_SECOND_STAGE] = {
		.name = "second stage",
		.leaf = {
			[MOAT_R] = MOAT_SS_R,
			[MOAT_W] = MOAT_SS_W,
			[MOAT_RW] = MOAT_SS_R | MOAT_SS_W,
		},
		.link = MOAT_SS_R | MOAT_SS_W,
		.snoop = MOAT_SS_SNP,
		.superpage = MOAT_SS_PS,
		.min_levels = 3,
		.max_levels = 5,
	},
	[MOAT_PT_FIRST_STAGE] = {
		.name = "first stage",
		.leaf = {
			[MOAT_R] = FS_READ,
			[MOAT_W] = FS_WRITE,
			[MOAT_RW] = FS_WRITE,
		},
		.link = FS_READ | MOAT_FS_RW,
		.superpage = MOAT_FS_PS,
		.min_levels = 4,
		.max_levels = 5,
		.unused_bits = 1,
	},
};
