/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_SUGGEST_H
#define MOAT_SUGGEST_H

/**
 * @file
 * "Did you mean": find the known word that is nearest to a misspelt one.
 */

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Find the word that `text` was probably meant to be.
 *
 * @param text what was written
 * @param words the known words, NULL-terminated
 * @return the nearest of `words`; NULL: in each, more than a third of the letters differ (a swapped
 *   pair counts once)
 *
 * Thread-safe. Control path.
 */
const char *moat_suggest(const char *text, const char *const words[]);

/**
 * As moat_suggest(), but the words are names in the rows of a table.
 *
 * @param text what was written
 * @param first the member of the first row that points to its name
 * @param row size of a row, in bytes
 * @param n maximum number of rows; a row whose name is NULL ends the table, so UINT_MAX means no
 *   maximum
 * @return as moat_suggest()
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
