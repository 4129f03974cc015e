/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <string.h>

#include "moat_flush.h"
#include "vtd_impl.h"

/** Take pages that were given back, and zero them. @return false: no spare has `n` pages */
static bool spare_take(struct vtd *v, unsigned int n, struct vtd_pages *pages)
{
	for (unsigned int i = 0; i < VTD_SPARES; i++) {
		struct vtd_spare *s = &v->spare[i];

		if (s->n != n)
			continue;
		*pages = s->pages;
		s->n = 0;
		memset(pages->va, 0, n * MOAT_PAGE_SIZE);
		vtd_flush_lines(v, pages->va, n * MOAT_PAGE_SIZE);
		return true;
	}
	return false;
}

void vtd_pages_give(struct vtd *v, unsigned int n, const struct vtd_pages *pages)
{
	for (unsigned int i = 0; i < VTD_SPARES; i++) {
		if (v->spare[i].n != 0)
			continue;
		v->spare[i] = (struct vtd_spare){ *pages, n };
		return;
	}
	/* All slots are taken: the pages stay unused until the unit ends. */
}

int vtd_pages_take(struct vtd *v, unsigned int n, struct vtd_pages *pages)
{
	struct vtd_chunk *c = v->nr_chunks != 0 ? &v->chunk[v->nr_chunks - 1] : NULL;

	if (spare_take(v, n, pages))
		return 0;
	if (c == NULL || n > VTD_CHUNK_PAGES - c->used) {
		int ret = v->nr_chunks < RTE_DIM(v->chunk)
			? 0
			: moat_error(-ENOMEM, "unit %s: no room for %u pages of tables",
				  v->unit.name, n);

		c = &v->chunk[v->nr_chunks];
		if (ret == 0)
			ret = v->mem.alloc(v->mem.ctx, MOAT_2M_SIZE, (void **)&c->va, &c->hpa);
		if (ret != 0)
			return ret;
		c->used = 0;
		v->nr_chunks++;
	}
	pages->va = c->va + c->used * MOAT_PAGE_SIZE;
	pages->hpa = c->hpa + c->used * MOAT_PAGE_SIZE;
	c->used += n;
	return 0;
}

void vtd_pages_free(struct vtd *v)
{
	while (v->nr_chunks != 0)
		v->mem.free(v->mem.ctx, v->chunk[--v->nr_chunks].va, MOAT_2M_SIZE);
}

void vtd_flush_lines(const struct vtd *v, const void *at, size_t len)
{
	/* In scalable mode walks snoop if SMPWCS is set. */
	if (!v->caps.c || (v->sm.on && !v->caps.smpwcs))
		moat_flush_lines(at, len);
}

uint64_t vtd_now_ms(void)
{
	return moat_now_us() / 1000;
}
