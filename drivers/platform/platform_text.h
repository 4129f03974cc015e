/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef PLATFORM_TEXT_H
#define PLATFORM_TEXT_H

/**
 * @file
 * Text written piece by piece into a buffer that may be too small. As with snprintf(), what does
 * not fit is cut, and the length is that of the whole text.
 */

#include <stdarg.h>
#include <stdio.h>

#include <rte_common.h>

struct text {
	char *at;
	size_t room;
	int len; /* of the whole text, without NUL */
};

static inline struct text text_begin(char *text, size_t room)
{
	if (room != 0)
		text[0] = '\0';
	return (struct text){ .at = text, .room = room };
}

static inline void __rte_format_printf(2, 3) text_say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->at, t->room, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	t->len += n;
	n = RTE_MIN((size_t)n, t->room);
	if (n != 0)
		t->at += n;
	t->room -= n;
}

#endif /* PLATFORM_TEXT_H */
