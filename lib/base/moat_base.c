/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "moat_assert.h"
#include "moat_base.h"
#include "moat_patience.h"

static __thread char error_text[512];

int moat_error(int err, const char *fmt, ...)
{
	char text[sizeof(error_text)]; /* an argument may be the old text */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(error_text, text, sizeof(error_text));
	return err;
}

const char *moat_error_text(void)
{
	return error_text;
}

uint64_t moat_patience_us = 1000000;

uint64_t moat_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void moat_assert_failed(const char *where, const char *condition, const char *what)
{
	fprintf(stderr, "%s: %s (%s is false)\n", where, what, condition);
	abort();
}
