/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_PT_HOOKS_H
#define MOAT_PT_HOOKS_H

/* Hooks for tests and benches, which link the objects statically. The library does not call
 * these functions. */

#include "moat_pt.h"

/**
 * Fill table pages with MOAT_PT_POISON from the moment they are given back until they are handed
 * out again. A unit that still walks such a page meets entries with reserved bits set; a reader
 * finds nothing mapped.
 *
 * @param pool the pool
 * @param on true: fill; a new pool does not
 *
 * No other thread may use the pool meanwhile. Control path, before the first map.
 */
void pt_pool_poison(struct moat_pt_pool *pool, bool on);

/**
 * Give back pages that neither the unit nor any reader can reach: they are ready at once, still
 * warm in the cache. The library always waits for a grace period instead (moat_pt_pool_retire()).
 *
 * @param pool the pool
 * @param freed the pages; the unit must have dropped them, and every reader must have passed a
 *   quiescent state since they were unlinked. The list is emptied
 *
 * Thread-safe. Data path.
 */
void pt_pool_recycle(struct moat_pt_pool *pool, struct moat_pt_freed *freed);

#endif /* MOAT_PT_HOOKS_H */
