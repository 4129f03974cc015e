/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "doctor.h"

const char *const doctor_state_names[] = { "ok", "warn", "unknown", "fail" };
const char *const doctor_way_names[] = { "vfio", "vtd", "soft" };

static void need_memory(const void *memory)
{
	if (memory != NULL)
		return;
	fputs("moat-doctor: out of memory\n", stderr);
	exit(3);
}

static char *format(const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	need_memory(text);
	return text;
}

void *doctor_alloc(size_t n, size_t size)
{
	void *memory = calloc(RTE_MAX(n, (size_t)1), size);

	need_memory(memory);
	return memory;
}

char *doctor_format(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = format(fmt, ap);
	va_end(ap);
	return text;
}

void doctor_say(struct doctor_lines *lines, const char *fmt, ...)
{
	char **more = lines->at;
	va_list ap;

	if ((lines->n & (lines->n - 1)) == 0) /* the array is full at every power of two */
		more = realloc(lines->at, RTE_MAX(1u, 2 * lines->n) * sizeof(*more));
	need_memory(more);
	lines->at = more;
	va_start(ap, fmt);
	lines->at[lines->n++] = format(fmt, ap);
	va_end(ap);
}

void doctor_lines_free(struct doctor_lines *lines)
{
	for (unsigned int i = 0; i < lines->n; i++)
		free(lines->at[i]);
	free(lines->at);
	*lines = (struct doctor_lines){ 0 };
}

void doctor_find(struct doctor_finding *f, enum doctor_state state, const char *fmt, ...)
{
	va_list ap;

	free(f->summary);
	f->state = state;
	va_start(ap, fmt);
	f->summary = format(fmt, ap);
	va_end(ap);
}

void doctor_report_free(struct doctor_report *report)
{
	for (unsigned int i = 0; i < report->nr_findings; i++) {
		struct doctor_finding *f = &report->finding[i];

		free(f->summary);
		doctor_lines_free(&f->evidence);
		doctor_lines_free(&f->remedy);
		doctor_lines_free(&f->commands);
	}
	free(report->verdict);
	doctor_lines_free(&report->next);
}

int doctor_exit_status(enum doctor_state state)
{
	static const int status[] = {
		[DOCTOR_OK] = 0,
		[DOCTOR_WARN] = 1,
		[DOCTOR_FAIL] = 2,
		[DOCTOR_UNKNOWN] = 3,
	};

	return status[state];
}
