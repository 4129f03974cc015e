/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <string.h>

#include "run.h"

/* Pages from the front of `prot` on that are like the first one. */
static inline uint64_t alike(const uint8_t *prot, uint64_t n)
{
	uint64_t eight = prot[0] * UINT64_C(0x0101010101010101), word, i = 0;

	for (; i + 8 <= n; i += 8) {
		memcpy(&word, &prot[i], 8);
		if (word != eight)
			break;
	}
	while (i < n && prot[i] == prot[0])
		i++;
	return i;
}

/* The pages are the device's; take them away. */
static int unmap_pages(struct moat_tenant *t, struct tenant_lcore *lc, uint64_t page, uint64_t n)
{
	const uint8_t *va = t->va + (page << MOAT_PAGE_SHIFT);
	int rc;

	while (unlikely((rc = tenant_unmap(t, lc->lane, va, n << MOAT_PAGE_SHIFT)) == -EAGAIN)) {
		/* Every batch of the lane is in flight: completions make room. The deadline is
		 * moat_lane_drain()'s. */
		lc->waits++;
		rc = moat_lane_drain(lc->lane);
		if (rc != 0)
			return rc;
	}
	if (likely(rc == 0))
		memset(&t->page_prot[page], 0, n);
	return rc;
}

int tenant_run_unmap(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run)
{
	uint64_t page = (uint64_t)(run->va - t->va) >> MOAT_PAGE_SHIFT;
	uint64_t left = run->len >> MOAT_PAGE_SHIFT, n;
	int rc = 0;

	for (; left != 0 && rc == 0; page += n, left -= n) {
		n = alike(&t->page_prot[page], left);
		if (t->page_prot[page] != 0)
			rc = unmap_pages(t, lc, page, n);
	}
	run->len = 0;
	return rc;
}

/* A page that the device could use otherwise (a buffer allocated, but never received into): its ticket
 * is the price of building packets in buffers that a refill would have got. */
static int take_away(struct moat_tenant *t, struct tenant_lcore *lc, uint64_t page, uint64_t n)
{
	int rc = unmap_pages(t, lc, page, n);

	if (rc != 0)
		return rc;
	lc->waits++;
	return moat_lane_drain(lc->lane);
}

int tenant_run_map(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run,
	enum moat_prot prot)
{
	uint64_t page = (uint64_t)(run->va - t->va) >> MOAT_PAGE_SHIFT;
	uint64_t left = run->len >> MOAT_PAGE_SHIFT, n;
	int rc = 0;

	for (; left != 0 && rc == 0; page += n, left -= n) {
		uint8_t now = t->page_prot[page];

		n = alike(&t->page_prot[page], left);
		if (unlikely(now == prot))
			continue; /* another reference to it is being sent */
		if (unlikely(now != 0))
			rc = take_away(t, lc, page, n);
		if (likely(rc == 0))
			rc = tenant_map(t, lc->lane, t->va + (page << MOAT_PAGE_SHIFT),
				n << MOAT_PAGE_SHIFT, prot);
		if (likely(rc == 0))
			memset(&t->page_prot[page], prot, n);
	}
	run->len = 0;
	return rc;
}
