/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_ASSERT_H
#define MOAT_ASSERT_H

/**
 * @file
 * Assertions about a caller's duties whose check costs too much for the data path.
 *
 * A build with MOAT_DEBUG (meson -Dchecks=true, or the macro defined by a program before it
 * includes moat's headers) checks them, prints what was wrong, and aborts. In other builds the
 * assertions generate no code.
 */

#include <rte_branch_prediction.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Print the failed condition and what it means, and abort. Does not return.
 *
 * @param where "file:line"
 * @param condition the condition's text
 * @param what a sentence for the programmer: what was wrong and what to do
 *
 * Thread-safe. Data path, of builds with MOAT_DEBUG.
 */
void moat_assert_failed(const char *where, const char *condition, const char *what)
	__attribute__((noreturn, cold));

#define MOAT_ASSERT_TEXT_(x) #x
#define MOAT_ASSERT_LINE_(x) MOAT_ASSERT_TEXT_(x)
#ifdef MOAT_DEBUG
#define MOAT_ASSERT(condition, what)                                                             \
	do {                                                                                     \
		if (unlikely(!(condition)))                                                      \
			moat_assert_failed(__FILE__ ":" MOAT_ASSERT_LINE_(__LINE__), #condition, \
				what);                                                           \
	} while (0)
#else
#define MOAT_ASSERT(condition, what) ((void)0)
#endif

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_ASSERT_H */
