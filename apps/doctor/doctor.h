/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_H
#define DOCTOR_H

/**
 * @file
 * moat-doctor answers one question: can this host run moat, and if not, what do I do?
 *
 * It first reads what the host shows of itself (doctor_host.h: facts, no judgement), from /sys,
 * /proc, /dev and the firmware's tables, nothing of which it changes. Then each check of a list
 * (doctor_check.h) looks at the facts and makes a *finding*: a state, a sentence, the evidence, and
 * a remedy in words and in commands. Which functions could be tenants is decided one by one
 * (doctor_tenant.h). The verdict follows from the findings, and all of it is told as text or JSON
 * (doctor_print.h).
 *
 * A host can run moat in three *ways*, named as the kinds of units are: "vfio" (the kernel owns the
 * IOMMU), "vtd" (moat owns the VT-d unit) and "soft" (a unit in software, which runs anywhere and
 * isolates what goes through net_moat). The first two make demands that contradict each other, so
 * the checks judge for one of them: the one that the host is set up for, or the user's choice.
 *
 * One fault has one finding: a check that has nothing to look at because another one failed says
 * that it is *moot* and claims nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <rte_common.h>

/** From best to worst. The exit status follows monitoring plugins: 0, 1, 2; 3 for unknown. */
enum doctor_state {
	DOCTOR_OK,
	DOCTOR_WARN,    /* it runs, but look at this */
	DOCTOR_UNKNOWN, /* cannot be seen from here */
	DOCTOR_FAIL,    /* stands in the way */
	DOCTOR_STATES,
};

extern const char *const doctor_state_names[DOCTOR_STATES];

enum doctor_way {
	DOCTOR_VFIO,
	DOCTOR_VTD,
	DOCTOR_SOFT, /* what is left where neither can be */
	DOCTOR_WAYS,
};

extern const char *const doctor_way_names[DOCTOR_WAYS];

/** Lines of text, or names; grows. */
struct doctor_lines {
	unsigned int n;
	char **at;
};

void doctor_say(struct doctor_lines *lines, const char *fmt, ...) __rte_format_printf(2, 3);
void doctor_lines_free(struct doctor_lines *lines);
/** asprintf() that ends the program when there is no memory. */
char *doctor_format(const char *fmt, ...) __rte_format_printf(1, 2);
/** calloc() that ends the program when there is no memory. */
void *doctor_alloc(size_t n, size_t size);

struct doctor_finding {
	const char *name;
	enum doctor_state state;
	bool moot;     /* nothing to look at; state is DOCTOR_UNKNOWN */
	char *summary; /* a sentence without its full stop */
	struct doctor_lines evidence;
	struct doctor_lines remedy;   /* in words */
	struct doctor_lines commands; /* for root's shell */
};

/** Set state and summary; the last call counts. */
void doctor_find(struct doctor_finding *f, enum doctor_state state, const char *fmt, ...)
	__rte_format_printf(3, 4);

#define DOCTOR_CHECKS_MAX 24

struct doctor_host;

struct doctor_report {
	enum doctor_way way; /* that was judged: vfio or vtd */
	enum doctor_way run; /* that this host can run now */
	enum doctor_state state;
	unsigned int nr_findings;
	struct doctor_finding finding[DOCTOR_CHECKS_MAX];
	unsigned int count[DOCTOR_STATES]; /* findings that are not moot */
	char *verdict;
	struct doctor_lines next; /* what to do, in order */
};

void doctor_report_free(struct doctor_report *report);
/** 0 ok, 1 warn, 2 fail, 3 unknown. */
int doctor_exit_status(enum doctor_state state);

#endif /* DOCTOR_H */
