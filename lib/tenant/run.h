/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_RUN_H
#define MOAT_TENANT_RUN_H

/*
 * Neighbouring buffers melt into one run, and a run is one call into the page table and one entry of
 * the gather. What the device may do with each page is looked at, and noted, once for a run: a buffer
 * that is in a burst twice is in two runs, and the second finds it done.
 */

#include "tenant_impl.h"

struct tenant_run {
	uint8_t *va;
	uint64_t len;
};

/* buf_len is whole pages, but for buffers of 64 KiB, whose length is one short of what fits. */
static inline uint64_t tenant_buffer_len(const struct rte_mbuf *m)
{
	return RTE_ALIGN_CEIL((uint64_t)m->buf_len, MOAT_PAGE_SIZE);
}

static inline bool tenant_owns(const struct moat_tenant *t, const void *va)
{
	return (uint64_t)((const uint8_t *)va - t->va) < t->len;
}

/* A page's byte is its buffer's owner's: plain loads and stores. */
static inline uint8_t *tenant_page_prot(const struct moat_tenant *t, const void *va)
{
	return &t->page_prot[((const uint8_t *)va - t->va) >> MOAT_PAGE_SHIFT];
}

/*
 * Take what the run holds away from the device, as far as it has it; or let the device do `prot` with
 * all of it (what it could do otherwise with a page is taken away first, and waited for). Empties the
 * run. @return 0 or a negative errno: what is noted of each page is then still right.
 */
int tenant_run_unmap(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run);
int tenant_run_map(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run,
	enum moat_prot prot);

/* A run never fills 2 MiB, so it is never mapped by a large leaf: each of its buffers must be able to
 * go alone. */
#define TENANT_RUN_MAX (MOAT_2M_SIZE / 2)

/* Does the buffer follow or lead the run? Then it is part of it now. */
static inline bool tenant_run_grow(struct tenant_run *run, uint8_t *va, uint64_t len)
{
	if (unlikely(run->len >= TENANT_RUN_MAX))
		return false;
	if (likely(run->va + run->len == va && run->len != 0)) {
		run->len += len;
		return true;
	}
	if (run->len != 0 && va + len == run->va) {
		run->va = va;
		run->len += len;
		return true;
	}
	return false;
}

#endif /* MOAT_TENANT_RUN_H */
