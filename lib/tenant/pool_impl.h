/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_POOL_IMPL_H
#define MOAT_TENANT_POOL_IMPL_H

/* What pool_make.c, pool_part.c, pool_get.c and pool_put.c share. See moat_pool.h for the idea. */

#include "buffer.h"
#include "stock.h"
#include "tenant_impl.h"

/* A run of neighbouring buffers that waits for its ticket. */
struct tenant_quarantined {
	uint32_t first, n;
	uint64_t ticket; /* see tenant_ticket() */
};

/* The ticket of a buffer that could not be unmapped: it is tried again. */
#define TENANT_NOT_UNMAPPED UINT64_MAX

/* One lcore's part of a pool: ready buffers, and quarantined runs in the order in which they came.
 * The part of threads that are not lcores, and of lcores that have not entered, is guarded by the
 * tenant's lock. */
struct tenant_part {
	struct tenant_stock stock;
	uint32_t head,
		tail; /* free-running; a ring of mask + 1, which holds every buffer of the pool */
	uint32_t mask;
	uint32_t quarantined; /* buffers; read by others as it is */
	struct tenant_quarantined *quarantine;
} __rte_cache_aligned;

#define TENANT_PART_SHARED RTE_MAX_LCORE

struct moat_pool {
	struct moat_tenant *tenant;
	struct rte_mempool *mp;
	struct rte_mempool *sent;    /* mbufs that stand for references while the driver has them */
	struct rte_mempool *private; /* mode copy: buffers that no device reaches */
	char name[RTE_MEMPOOL_NAMESIZE]; /* of `mp` */
	uint8_t *va;                     /* of buffer 0 */
	uint64_t iova;                   /* of buffer 0 */
	uint32_t stride;                 /* bytes from one buffer to the next: whole pages ... */
	uint32_t pages;                  /* ... so many of them */
	uint32_t page;                   /* of buffer 0 */
	uint32_t n;                      /* buffers */
	uint32_t run_max;                /* buffers that are mapped in one go at most */
	bool said_starved;
	bool ready; /* the mbufs are initialised: what is put back is a buffer */
	void **obj; /* headers by number of the buffer */
	/* By slot; made when an lcore enters, freed with the pool. */
	struct tenant_part *part[TENANT_PART_SHARED + 1];
	/* The parts that exist, in the order in which they were made. */
	uint16_t parts[TENANT_PART_SHARED + 1];
	uint16_t nr_parts; /* written with release behind the part */
};

/* The first page of a buffer, by its number in the pool. */
static inline uint32_t tenant_buffer_page(const struct moat_pool *pool, uint32_t number)
{
	return pool->page + number * pool->pages;
}

/* The number of the buffer that an mbuf leads to, which need not be one of the pool's. Where it is,
 * the buffer's header is obj[number], and the mbuf may be another reference to it. */
static inline uint32_t tenant_buffer_number(const struct moat_pool *pool, const void *obj)
{
	const struct rte_mbuf *m = obj;
	uint32_t page =
		(uint32_t)((uint64_t)((uint8_t *)m->buf_addr - pool->va) >> MOAT_PAGE_SHIFT);

	return likely(pool->pages == 1) ? page : page / pool->pages;
}

/* The calling lcore's part where it has entered, else NULL. */
static inline struct tenant_part *tenant_pool_part(const struct moat_pool *pool, unsigned int slot)
{
	const struct tenant_lcore *lc;

	if (unlikely(slot == TENANT_PART_SHARED))
		return NULL;
	lc = pool->tenant->lcores[slot];
	return likely(lc != NULL && lc->entered) ? pool->part[slot] : NULL;
}

/* Has the program freed the mempool, which is the tenant's to free? Then `mp` leads nowhere. */
bool tenant_pool_is_freed(const struct moat_pool *pool);

/* The header of a buffer as it is in the pool: over its buffer, one reference, alone. */
void tenant_header_init(struct moat_pool *pool, uint32_t number);

/* ---------------------------------------------------------------------------------------- parts */

/* Make the part of a slot. The tenant is locked. @return 0, -ENOMEM */
int tenant_part_make(struct moat_pool *pool, unsigned int slot);
void tenant_part_free(struct tenant_part *part); /* may be NULL */

/* Neighbours are ready. The part is the caller's, here and below. */
static inline void tenant_part_add_ready(struct moat_pool *pool, struct tenant_part *part,
	uint32_t first, uint32_t n)
{
	tenant_pages_set(pool->tenant, tenant_buffer_page(pool, first), n * pool->pages,
		TENANT_FREE);
	tenant_stock_add(&part->stock, first, n);
}

/* Neighbours wait for a ticket. Their states are the caller's to set. */
static inline void tenant_part_quarantine(struct tenant_part *part, uint32_t first, uint32_t n,
	uint64_t ticket)
{
	part->quarantine[part->head++ & part->mask] =
		(struct tenant_quarantined){ first, n, ticket };
	__atomic_store_n(&part->quarantined, part->quarantined + n, __ATOMIC_RELAXED);
}

/* Runs whose tickets are done are ready again, in the order in which they came. */
void tenant_part_release(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc);

/* As moat_pool_put(). */
void tenant_part_put(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	void *const objs[], unsigned int n);

/* ------------------------------------------------------------------------------------------ get */

/* Buffers that are ready go to APP, not to the device. As moat_pool_get(). */
int tenant_pool_get_unmapped(struct moat_pool *pool, void *objs[], unsigned int n);

#endif /* MOAT_TENANT_POOL_IMPL_H */
