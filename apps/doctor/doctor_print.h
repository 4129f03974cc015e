/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_PRINT_H
#define DOCTOR_PRINT_H

/**
 * @file
 * Printing a report: as text for people, or as JSON for scripts. doc/doctor.md lists the JSON's
 * members.
 */

#include <stdio.h>

#include "doctor_check.h"

struct doctor_style {
	bool colour;
	bool verbose;       /* also print every capability, and the DMAR table */
	unsigned int width; /* columns */
};

/** @return the style for `out`: colour only on a terminal, and only if NO_COLOR is not set */
struct doctor_style doctor_style_of(FILE *out);

void doctor_print_text(FILE *out, const struct doctor_case *c, const struct doctor_report *report,
	const struct doctor_style *style);
/** @return 0 or a negative errno */
int doctor_print_json(FILE *out, const struct doctor_case *c, const struct doctor_report *report);

#endif /* DOCTOR_PRINT_H */
