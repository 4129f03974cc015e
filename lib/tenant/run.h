/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_RUN_H
#define MOAT_TENANT_RUN_H

/*
 * Neighbouring buffers melt into one run, and a run is one call into the page table and one entry of
 * the gather. A buffer's new permission is noted when it joins the run, so that a second reference to
 * it in the same burst finds it done; if the run then fails, the note is taken back.
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

static inline uint8_t *tenant_page_prot(const struct moat_tenant *t, const void *va)
{
	return &t->page_prot[((const uint8_t *)va - t->va) >> MOAT_PAGE_SHIFT];
}

/* A page's byte is its buffer's owner's: plain stores. */
static inline void tenant_set_prot(struct moat_tenant *t, const void *va, uint64_t len,
	uint8_t prot)
{
	uint8_t *p = tenant_page_prot(t, va);

	p[0] = prot;
	for (uint64_t i = 1; i < len >> MOAT_PAGE_SHIFT; i++)
		p[i] = prot;
}

/* Unmap or map what the run holds, and empty it. 0 or a negative errno. */
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
	if (run->len != 0 && run->va + run->len == va) {
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

/* Take a buffer away from the device, if it has it. */
static inline int tenant_run_add_unmap(struct moat_tenant *t, struct tenant_lcore *lc,
	struct tenant_run *run, const struct rte_mbuf *m)
{
	uint64_t len = tenant_buffer_len(m);
	int rc = 0;

	if (unlikely(!tenant_owns(t, m->buf_addr)) || *tenant_page_prot(t, m->buf_addr) == 0)
		return 0;
	tenant_set_prot(t, m->buf_addr, len, 0);
	if (tenant_run_grow(run, m->buf_addr, len))
		return 0;
	rc = tenant_run_unmap(t, lc, run);
	*run = (struct tenant_run){ m->buf_addr, len };
	return rc;
}

/* Give a buffer that it does not have to the device. */
static inline int tenant_run_add_map(struct moat_tenant *t, struct tenant_lcore *lc,
	struct tenant_run *run, const struct rte_mbuf *m, enum moat_prot prot)
{
	uint64_t len = tenant_buffer_len(m);
	int rc = 0;

	tenant_set_prot(t, m->buf_addr, len, prot);
	/* A unit that owns its tables takes back only what was mapped by one call: a buffer a call. */
	if (likely(!t->conf.unit->caps.owns_tables) && tenant_run_grow(run, m->buf_addr, len))
		return 0;
	rc = tenant_run_map(t, lc, run, prot);
	*run = (struct tenant_run){ m->buf_addr, len };
	return rc;
}

#endif /* MOAT_TENANT_RUN_H */
