/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * An lcore's part of a pool. It is made when the lcore enters, and freed with the pool. A run in
 * its quarantine is ready again when its ticket is done. Runs that still wait when the lcore leaves
 * go to the shared part. pool_put.c puts buffers into a part, pool_get.c takes them out.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mode.h"
#include "pool_impl.h"

/* -------------------------------------------------------------------------------- make and free */

void tenant_part_free(struct tenant_part *part)
{
	if (part == NULL)
		return;
	free(part->quarantine);
	free(part->stock.bits);
	free(part);
}

int tenant_part_make(struct moat_pool *pool, unsigned int slot)
{
	struct tenant_part *part;
	uint32_t room = rte_align32pow2(pool->n + 1); /* enough even if each run is one buffer */

	if (!pool->tenant->mode->protects || pool->part[slot] != NULL)
		return 0;
	part = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*part));
	if (part == NULL)
		return -ENOMEM;
	memset(part, 0, sizeof(*part));
	part->mask = room - 1;
	part->quarantine = calloc(room, sizeof(*part->quarantine));
	part->stock.words = (pool->n + 63) / 64;
	part->stock.bits = calloc(part->stock.words, sizeof(*part->stock.bits));
	if (part->quarantine == NULL || part->stock.bits == NULL) {
		tenant_part_free(part);
		return -ENOMEM;
	}
	pool->part[slot] = part;
	pool->parts[pool->nr_parts] = (uint16_t)slot;
	/* Release: a thread that reads nr_parts sees the part. */
	__atomic_store_n(&pool->nr_parts, pool->nr_parts + 1, __ATOMIC_RELEASE);
	return 0;
}

/* ----------------------------------------------------------------------------------- quarantine */

/* Try again to unmap a run, which failed when the run came back. @return whether it is unmapped */
static bool part_retry(struct moat_pool *pool, struct tenant_lcore *lc,
	struct tenant_quarantined *q)
{
	struct tenant_run run = {
		.page = tenant_buffer_page(pool, q->first),
		.n = q->n * pool->pages,
	};

	if (tenant_run_unmap(pool->tenant, lc, &run, TENANT_QUARANTINED) != 0)
		return false;
	q->ticket = tenant_ticket(lc, tenant_flush(lc->lane));
	return true;
}

void tenant_part_release(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc)
{
	while (part->tail != part->head) {
		struct tenant_quarantined *q = &part->quarantine[part->tail & part->mask];

		if (unlikely(q->ticket == TENANT_NOT_UNMAPPED) && !part_retry(pool, lc, q)) {
			lc->others_wait = true;
			break;
		}
		if (!tenant_ticket_find(pool->tenant, lc, q->ticket)) {
			lc->others_wait |= q->ticket >> TENANT_TICKET_BITS != lc->slot;
			break;
		}
		tenant_part_add_ready(pool, part, q->first, q->n);
		__atomic_store_n(&part->quarantined, part->quarantined - q->n, __ATOMIC_RELAXED);
		part->tail++;
	}
}

void tenant_pools_release(struct moat_tenant *t, struct tenant_lcore *lc)
{
	lc->others_wait = false;
	for (unsigned int i = 0; i < t->nr_pools; i++) {
		struct tenant_part *part = t->pools[i]->part[lc->slot];

		if (part != NULL)
			tenant_part_release(t->pools[i], part, lc);
	}
}

/* ------------------------------------------------------------------------------------- counting */

/* Relaxed: counters for reports; the lcores may change them meanwhile. */
unsigned int moat_pool_quarantined(const struct moat_pool *pool)
{
	unsigned int nr = __atomic_load_n(&pool->nr_parts, __ATOMIC_ACQUIRE), n = 0;

	for (unsigned int i = 0; i < nr; i++)
		n += __atomic_load_n(&pool->part[pool->parts[i]]->quarantined, __ATOMIC_RELAXED);
	return n;
}

unsigned int moat_pool_count(const struct moat_pool *pool)
{
	unsigned int nr = __atomic_load_n(&pool->nr_parts, __ATOMIC_ACQUIRE);
	unsigned int n = moat_pool_quarantined(pool);

	for (unsigned int i = 0; i < nr; i++)
		n += tenant_stock_count(&pool->part[pool->parts[i]]->stock);
	return n;
}

/* ------------------------------------------------------------------------------ enter and leave */

int tenant_pools_enter(struct moat_tenant *t, unsigned int slot)
{
	int rc = 0;

	for (unsigned int i = 0; i < t->nr_pools && rc == 0; i++)
		rc = tenant_part_make(t->pools[i], slot);
	return rc;
}

/* The lcore's ready buffers need not be moved: other lcores take them from this part. Runs that
 * still wait go to the shared part, where any thread finds their tickets done. */
void tenant_pools_leave(struct moat_tenant *t, struct tenant_lcore *lc)
{
	tenant_pools_release(t, lc);
	for (unsigned int i = 0; i < t->nr_pools; i++) {
		struct tenant_part *part = t->pools[i]->part[lc->slot], *to;

		if (part == NULL || part->head == part->tail || tenant_shared_lock(t) == NULL)
			continue;
		to = t->pools[i]->part[TENANT_PART_SHARED];
		for (; part->tail != part->head; part->tail++) {
			const struct tenant_quarantined *q =
				&part->quarantine[part->tail & part->mask];

			tenant_part_quarantine(to, q->first, q->n, q->ticket);
		}
		__atomic_store_n(&part->quarantined, 0, __ATOMIC_RELAXED);
		tenant_shared_unlock(t);
	}
}
