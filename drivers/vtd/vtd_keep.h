/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef VTD_KEEP_H
#define VTD_KEEP_H

/* Memory that a unit may still read is never freed. It stays in a list, so that a debugger or a
 * leak checker can tell it from memory that was lost. */

#include <stdatomic.h>

struct vtd_kept {
	struct vtd_kept *next;
};

/* Thread-safe. Control path. relaxed, release: no thread of the process follows the list. */
static inline void vtd_keep(_Atomic(struct vtd_kept *) *list, struct vtd_kept *item)
{
	item->next = atomic_load_explicit(list, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(list, &item->next, item, memory_order_release,
		memory_order_relaxed))
		;
}

#endif /* VTD_KEEP_H */
