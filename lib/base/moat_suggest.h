/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_SUGGEST_H
#define MOAT_SUGGEST_H

/**
 * @file
 * "Did you mean": which of the known words a misspelt one is near to.
 */

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * The word that `text` was probably meant to be.
 *
 * @param text what was written
 * @param words the known words, NULL-terminated
 * @return one of `words`, or NULL where none is near: at most a third of the letters differ, a
 *   swapped pair counting once
 *
 * Thread-safe. Control path.
 */
const char *moat_suggest(const char *text, const char *const words[]);

/**
 * As moat_suggest(), among the names of a table's rows.
 *
 * @param text what was written
 * @param first the member of the first row that points to its name
 * @param row bytes from a row to the next
 * @param n rows; a row whose name is NULL ends the table earlier, so UINT_MAX may stand for "until
 *   there"
 * @return one of the names, or NULL where none is near
 *
 * Thread-safe. Control path.
 */
const char *moat_suggest_row(const char *text, const char *const *first, size_t row,
	unsigned int n);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_SUGGEST_H */
