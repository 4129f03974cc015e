/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_H
#define DOCTOR_H

/**
 * @file
 * moat-doctor answers one question: can this host run moat, and if not, what must be done?
 *
 * It first reads facts about the host, without judgement (doctor_host.h), from /sys, /proc, /dev
 * and the firmware's tables; it changes none of them. Then each check of a list (doctor_check.h)
 * makes a *finding* from the facts: a state, a sentence, the evidence, and a remedy in words and in
 * commands. Which functions could be tenants is decided one by one (doctor_tenant.h). The verdict
 * follows from the findings. All results are printed as text or JSON (doctor_print.h).
 *
 * A host can run moat in three *ways*, named as the kinds of units are: "vfio" (the kernel owns the
 * IOMMU), "vtd" (moat owns the VT-d unit) and "soft" (a unit in software, which runs anywhere and
 * isolates what goes through net_moat). The first two have contradictory requirements, so the
 * checks judge for one of them: the one that the host is set up for, or the user's choice.
 *
 * One fault has one finding: a check that another failure leaves without anything to check is
 * *moot*, and claims nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <rte_common.h>

/** From best to worst. The exit status follows monitoring plugins: 0, 1, 2; 3 for unknown. */
enum doctor_state {
	DOCTOR_OK,
	DOCTOR_WARN,    /* moat runs, but this needs attention */
	DOCTOR_UNKNOWN, /* cannot be seen by this process */
	DOCTOR_FAIL,    /* prevents hardware isolation */
	DOCTOR_STATES,
};

extern const char *const doctor_state_names[DOCTOR_STATES];

enum doctor_way {
	DOCTOR_VFIO,
	DOCTOR_VTD,
	DOCTOR_SOFT, /* if neither of the others is possible */
	DOCTOR_WAYS,
};

extern const char *const doctor_way_names[DOCTOR_WAYS];

/** A growing list of lines or names. */
struct doctor_lines {
	unsigned int n;
	char **at;
};

/** Append a line. */
void doctor_say(struct doctor_lines *lines, const char *fmt, ...) __rte_format_printf(2, 3);
void doctor_lines_free(struct doctor_lines *lines);
/** Call asprintf(), and end the program if there is no memory. */
char *doctor_format(const char *fmt, ...) __rte_format_printf(1, 2);
/** Call calloc(), and end the program if there is no memory. */
void *doctor_alloc(size_t n, size_t size);

struct doctor_finding {
	const char *name; /* the check's */
	enum doctor_state state;
	bool moot;     /* there was nothing to check; state is DOCTOR_UNKNOWN */
	char *summary; /* a sentence without its full stop */
	struct doctor_lines evidence;
	struct doctor_lines remedy;   /* in words */
	struct doctor_lines commands; /* for root's shell */
};

/** Set state and summary; a later call replaces them. */
void doctor_find(struct doctor_finding *f, enum doctor_state state, const char *fmt, ...)
	__rte_format_printf(3, 4);

#define DOCTOR_CHECKS_MAX 24

struct doctor_host;

struct doctor_report {
	enum doctor_way way; /* the one that was judged: vfio or vtd */
	enum doctor_way run; /* the one that this host can run now */
	enum doctor_state state;
	unsigned int nr_findings;
	struct doctor_finding finding[DOCTOR_CHECKS_MAX];
	unsigned int count[DOCTOR_STATES]; /* findings that are not moot */
	char *verdict;
	struct doctor_lines next; /* names of the checks with a remedy, the most urgent first */
};

void doctor_report_free(struct doctor_report *report);
/** @return 0 ok, 1 warn, 2 fail, 3 unknown */
int doctor_exit_status(enum doctor_state state);

#endif /* DOCTOR_H */
