/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_PRINT_H
#define DOCTOR_PRINT_H

/**
 * @file
 * Telling it: as text for people, and as JSON for scripts. doc/doctor.md has the JSON's members.
 */

#include <stdio.h>

#include "doctor_check.h"

struct doctor_style {
	bool colour;
	bool verbose;       /* every capability, and the DMAR table */
	unsigned int width; /* columns */
};

/** As suits whatever `out` is: colour on a terminal only, and not against NO_COLOR. */
struct doctor_style doctor_style_of(FILE *out);

void doctor_print_text(FILE *out, const struct doctor_case *c, const struct doctor_report *report,
	const struct doctor_style *style);
/** @return 0 or a negative errno */
int doctor_print_json(FILE *out, const struct doctor_case *c, const struct doctor_report *report);

#endif /* DOCTOR_PRINT_H */
