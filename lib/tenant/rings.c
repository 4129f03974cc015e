/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Rings lie in the tenant's DPDK heap, and so does the heap's own bookkeeping, in front of each piece
 * it hands out. A device that could write that would own the process. So not the heap is mapped but
 * its memzones, which is what rte_eth_dma_zone_reserve() gives PMDs for their rings. A PMD that asks
 * for pages (alignment and length) shares none with the bookkeeping; the pages at the borders of a
 * smaller or unaligned ring are the device's as a whole.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_memzone.h>

#include "tenant_impl.h"

struct wanted {
	const struct moat_tenant *t;
	uint8_t *page; /* of the heap: does a memzone lie in it? */
};

static void mark_memzone(const struct rte_memzone *mz, void *arg)
{
	struct wanted *w = arg;
	uint64_t first = (const uint8_t *)mz->addr - w->t->va;

	if (first >= w->t->heap_len)
		return;
	for (uint64_t i = first >> MOAT_PAGE_SHIFT; i << MOAT_PAGE_SHIFT < first + mz->len; i++)
		w->page[i] = MOAT_RW;
}

/* Length in pages of the run from `i` on that has to change in the same way. */
static uint64_t run_from(const uint8_t *have, const uint8_t *want, uint64_t i, uint64_t n)
{
	uint64_t run = 0;

	while (i + run < n && have[i + run] == have[i] && want[i + run] == want[i])
		run++;
	return run;
}

/* Memzones go one by one, and a unit that owns its tables takes back only what was mapped by one
 * call: a page a call. */
static int map_run(struct moat_tenant *t, struct moat_lane *lane, uint8_t *va, uint64_t len)
{
	uint64_t step = t->conf.unit->caps.owns_tables ? MOAT_PAGE_SIZE : len;
	int rc = 0;

	for (uint64_t at = 0; at < len && rc == 0; at += step)
		rc = tenant_map(t, lane, va + at, step, MOAT_RW);
	return rc;
}

static int change(struct moat_tenant *t, struct moat_lane *lane, const uint8_t *want)
{
	uint64_t n = t->heap_len >> MOAT_PAGE_SHIFT;
	int rc = 0;

	for (uint64_t i = 0, run; i < n && rc == 0; i += run) {
		void *va = t->va + (i << MOAT_PAGE_SHIFT);

		run = run_from(t->page_prot, want, i, n);
		if (t->page_prot[i] == want[i])
			continue;
		if (want[i] != 0)
			rc = map_run(t, lane, va, run << MOAT_PAGE_SHIFT);
		else
			rc = tenant_unmap(t, lane, va, run << MOAT_PAGE_SHIFT);
		if (rc == 0)
			memset(&t->page_prot[i], want[i], run);
	}
	return rc != 0 ? rc : moat_lane_drain(lane);
}

int tenant_rings_sync(struct moat_tenant *t)
{
	struct wanted w = { .t = t, .page = calloc(t->heap_len >> MOAT_PAGE_SHIFT, 1) };
	struct tenant_lcore *lc = tenant_lcore(t);
	int rc;

	if (w.page == NULL || lc == NULL) {
		free(w.page);
		return moat_error(-ENOMEM, "tenant '%s': out of memory", t->name);
	}
	rte_memzone_walk(mark_memzone, &w);
	pthread_mutex_lock(&t->lock);
	rc = change(t, lc->lane, w.page);
	pthread_mutex_unlock(&t->lock);
	free(w.page);
	if (rc != 0)
		return moat_error(rc, "tenant '%s': mapping its rings failed: %s", t->name,
			strerror(-rc));
	return 0;
}
