/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "vtd_impl.h"

#define CACHE_LINE 64

/* Memory of this process for a unit that lives in it: an HPA is a virtual address. */
static int anonymous_alloc(void *ctx, size_t len, void **va, uint64_t *hpa)
{
	char *raw = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at;

	if (raw == MAP_FAILED)
		return moat_error(-ENOMEM, "no %zu bytes for a unit's tables: %s", len,
			strerror(errno));
	at = RTE_PTR_ALIGN_CEIL(raw, len);
	if (at != raw)
		munmap(raw, at - raw);
	munmap(at + len, raw + len - at);
	*va = at;
	*hpa = (uintptr_t)at;
	return 0;
}

static void anonymous_free(void *ctx, void *va, size_t len)
{
	munmap(va, len);
}

const struct moat_pt_mem vtd_mem_anonymous = {
	.alloc = anonymous_alloc,
	.free = anonymous_free,
};

int vtd_pages_take(struct vtd *v, unsigned int n, struct vtd_pages *pages)
{
	struct vtd_chunk *c = v->nr_chunks != 0 ? &v->chunk[v->nr_chunks - 1] : NULL;

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
	const char *line = RTE_PTR_ALIGN_FLOOR(at, CACHE_LINE);

	if (v->caps.c)
		return;
	for (; line < (const char *)at + len; line += CACHE_LINE)
		__builtin_ia32_clflush(line);
	/* The lines are in memory before whatever tells the unit to look. */
	__builtin_ia32_mfence();
}

uint64_t vtd_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
