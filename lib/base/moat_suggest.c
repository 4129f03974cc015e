/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <limits.h>
#include <string.h>

#include <rte_common.h>

#include "moat_suggest.h"

#define WORD_MAX 32

/* Count the insertions, deletions, substitutions and swaps of neighbours that turn a into b (the
 * restricted Damerau-Levenshtein distance). */
static unsigned int distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned int d[WORD_MAX + 1][WORD_MAX + 1];

	if (la > WORD_MAX || lb > WORD_MAX)
		return UINT32_MAX;
	for (size_t i = 0; i <= la; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		for (size_t j = 1; j <= lb; j++) {
			unsigned int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			best = RTE_MIN(best, d[i - 1][j] + 1);
			best = RTE_MIN(best, d[i][j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = RTE_MIN(best, d[i - 2][j - 2] + 1);
			d[i][j] = best;
		}
	}
	return d[la][lb];
}

const char *moat_suggest_row(const char *text, const char *const *first, size_t row, unsigned int n)
{
	const char *found = NULL;
	unsigned int best = UINT32_MAX;

	for (unsigned int i = 0; i < n; i++) {
		const char *word;
		unsigned int d;

		memcpy(&word, (const char *)first + i * row, sizeof(word));
		if (word == NULL)
			break;
		d = distance(text, word);
		if (d <= strlen(word) / 3 && d < best) {
			best = d;
			found = word;
		}
	}
	return found;
}

const char *moat_suggest(const char *text, const char *const words[])
{
	return moat_suggest_row(text, words, sizeof(*words), UINT_MAX);
}
