/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Preloaded into moat-fwd (tests/apps/forward.py): drops invalidations of single interrupt entries,
 * so that an entry that was taken back stays in the unit's cache and still delivers. */

#include <dlfcn.h>

#include "moat_qi.h"

#define TYPE(desc) ((desc).lo & 0xf)

int64_t moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n)
{
	static __typeof__(moat_qi_submit) *submit;
	const struct moat_qi_desc one = moat_qi_int_entry(false, 0, 0);

	if (submit == NULL)
		submit = (__typeof__(submit))dlsym(RTLD_NEXT, "moat_qi_submit");
	return submit(qi, desc, n == 1 && TYPE(desc[0]) == TYPE(one) ? 0 : n);
}
