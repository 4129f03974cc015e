/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The granules' memory and IOVAs. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "perf_work.h"

/* Permute [0, 2^bits): multiplication by an odd number and a shifted exclusive or are both
 * reversible. */
static uint64_t scramble(uint64_t x, unsigned int bits)
{
	uint64_t mask = bits < 64 ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;

	for (unsigned int i = 0; i < 3; i++) {
		x = x * UINT64_C(0x9e3779b97f4a7c15) & mask;
		x ^= x >> (bits / 2 + 1);
	}
	return x;
}

/* Scatter the granules over `space` bytes of the domain: from 1 * space on, or in a shared domain
 * from (index + 1) * space on. */
static int scatter(struct perf_place *place, const struct perf_work *work,
	const struct moat_domain *domain)
{
	const struct perf_case *c = work->c;
	uint64_t step = rte_align64pow2(place->granule);
	unsigned int bits = 63 - __builtin_clzll(c->space / step);
	uint64_t part = c->domains == PERF_SHARED ? work->index + 1 : 1;

	if ((part + 1) * c->space > UINT64_C(1) << domain->width)
		return moat_error(-ERANGE,
			"space = %" PRIu64 "G, %" PRIu64
			" times, does not fit into the %u bits of unit "
			"%s; lower it",
			c->space >> 30, part + 1, domain->width, work->unit->name);
	if (UINT64_C(1) << bits < place->n)
		return moat_error(-ERANGE,
			"space = %" PRIu64 "M has room for %" PRIu64 " of %u granules; raise it",
			c->space >> 20, UINT64_C(1) << bits, place->n);
	for (unsigned int i = 0; i < place->n; i++)
		place->slots[i].iova = part * c->space + scramble(i + 1, bits) * step;
	return 0;
}

static int line_up(struct perf_place *place, const struct perf_work *work,
	struct moat_domain *domain)
{
	uint64_t base;
	int rc = moat_iova_alloc(domain->iova, NULL, place->n * place->granule,
		RTE_MAX(work->c->page, MOAT_2M_SIZE), &base);

	for (unsigned int i = 0; rc == 0 && i < place->n; i++)
		place->slots[i].iova = base + i * place->granule;
	return rc;
}

/* Mode static: make the order in which a device visits the pages of 4 KiB: ascending, or random
 * with layout = scattered. */
static int make_order(struct perf_place *place, const struct perf_case *c)
{
	uint64_t pages = place->n * place->granule / MOAT_PAGE_SIZE;
	uint64_t random = 1;

	place->order = calloc(pages, sizeof(*place->order));
	if (place->order == NULL)
		return moat_error(-ENOMEM, "no memory for the order of %" PRIu64 " pages", pages);
	for (uint64_t i = 0; i < pages; i++)
		place->order[i] = (uint32_t)i;
	for (uint64_t i = pages - 1; c->layout == PERF_SCATTERED && i > 0; i--) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;

		uint64_t other = (random >> 33) % (i + 1);
		uint32_t page = place->order[i];

		place->order[i] = place->order[other];
		place->order[other] = page;
	}
	return 0;
}

/* Get the granules' memory. `*first` is the offset of the first granule: leaves of 1 GiB must be
 * aligned. */
static int get_memory(struct perf_place *place, const struct perf_work *work, uint64_t *first)
{
	const struct perf_case *c = work->c;
	uint64_t len = RTE_ALIGN_CEIL(place->n * place->granule, MOAT_2M_SIZE);
	uint64_t more = c->page == MOAT_1G_SIZE ? MOAT_1G_SIZE : 0;
	int rc = moat_memory_get(&place->memory, work->unit, len + more);

	if (rc != 0)
		return rc;
	if (more != 0 && !place->memory.hpa_linear)
		return moat_error(-ENOTSUP,
			"page = 1G: the memory is not in one piece, but in hugepages of 2M; use page = "
			"2M");
	*first = more != 0 ? -place->memory.hpa[0] & (MOAT_1G_SIZE - 1) : 0;
	return 0;
}

int perf_place_create(struct perf_place *place, const struct perf_work *work,
	struct moat_domain *domain, struct perf_guest *guest)
{
	const struct perf_case *c = work->c;
	uint64_t first = 0;
	int rc;

	place->granule = c->granule * c->page;
	place->n = (unsigned int)(c->working_set / (place->granule * c->batch) * c->batch);
	rc = get_memory(place, work, &first);
	if (rc == 0)
		rc = perf_guest_map(guest, domain->parent, &place->memory);
	if (rc != 0)
		return rc;
	place->slots = calloc(place->n, sizeof(*place->slots));
	if (place->slots == NULL)
		return moat_error(-ENOMEM, "no memory for %u granules", place->n);
	for (unsigned int i = 0; i < place->n; i++)
		place->slots[i].off = first + i * place->granule;
	if (c->layout == PERF_SCATTERED)
		rc = scatter(place, work, domain);
	else if (c->layout == PERF_CONTIGUOUS)
		rc = line_up(place, work, domain);
	return rc == 0 && c->mode == MOAT_STATIC && c->dma != 0 ? make_order(place, c) : rc;
}

void perf_place_destroy(struct perf_place *place)
{
	free(place->slots);
	free(place->order);
	moat_memory_put(&place->memory);
	*place = (struct perf_place){ .n = 0 };
}
