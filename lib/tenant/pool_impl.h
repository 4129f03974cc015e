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

/* Stands for the ticket of a run that could not be unmapped. The unmap is tried again. */
#define TENANT_NOT_UNMAPPED UINT64_MAX

/* One lcore's part of a pool: ready buffers, and quarantined runs in the order in which they came.
 * The part of threads that are not lcores, and of lcores that have not entered, is guarded by the
 * tenant's lock. */
struct tenant_part {
	struct tenant_stock stock;
	uint32_t head, tail;  /* free-running indices of quarantine[] */
	uint32_t mask;        /* size of quarantine[] - 1; there is room for all of the pool */
	uint32_t quarantined; /* number of buffers; other threads read it without a lock */
	struct tenant_quarantined *quarantine; /* a ring */
} __rte_cache_aligned;

#define TENANT_PART_SHARED RTE_MAX_LCORE

struct moat_pool {
	struct moat_tenant *tenant;
	struct rte_mempool *mp;
	struct rte_mempool *sent;        /* mbufs that the driver gets for shared buffers: sent.h */
	struct rte_mempool *private;     /* mode copy: buffers that no device reaches */
	char name[RTE_MEMPOOL_NAMESIZE]; /* of `mp` */
	uint8_t *va;                     /* of buffer 0 */
	uint64_t iova;                   /* of buffer 0 */
	uint32_t stride;                 /* bytes from one buffer to the next, whole pages */
	uint32_t pages;                  /* `stride` in 4 KiB pages */
	uint32_t page;                   /* first page of buffer 0, in the tenant's memory */
	uint32_t n;                      /* number of buffers */
	uint32_t run_max;                /* most buffers in one map */
	bool said_starved;
	bool ready; /* the mbufs are initialised; false: puts are ignored, gets fail */
	void **obj; /* mbufs (headers) by number of their buffer */
	/* By slot; made when an lcore enters, freed with the pool. */
	struct tenant_part *part[TENANT_PART_SHARED + 1];
	/* Slots of the parts that exist, in the order in which these were made. */
	uint16_t parts[TENANT_PART_SHARED + 1];
	uint16_t nr_parts; /* stored with release, after the part and its slot */
};

/* The first page of a buffer, by its number in the pool. */
static inline uint32_t tenant_buffer_page(const struct moat_pool *pool, uint32_t number)
{
	return pool->page + number * pool->pages;
}

/* The number of the pool's buffer that an mbuf points to; meaningless if it points elsewhere. The
 * buffer's header is obj[number], which may be another mbuf than `obj`. */
static inline uint32_t tenant_buffer_number(const struct moat_pool *pool, const void *obj)
{
	const struct rte_mbuf *m = obj;
	uint32_t page =
		(uint32_t)((uint64_t)((uint8_t *)m->buf_addr - pool->va) >> MOAT_PAGE_SHIFT);

	return likely(pool->pages == 1) ? page : page / pool->pages;
}

/* The part of slot `slot`, the caller's, if its lcore has entered; else NULL. */
static inline struct tenant_part *tenant_pool_part(const struct moat_pool *pool, unsigned int slot)
{
	const struct tenant_lcore *lc;

	if (unlikely(slot == TENANT_PART_SHARED))
		return NULL;
	lc = pool->tenant->lcores[slot];
	return likely(lc != NULL && lc->entered) ? pool->part[slot] : NULL;
}

/* Has the program freed the mempool, which only moat may free? Then `mp` is a dangling pointer. */
bool tenant_pool_is_freed(const struct moat_pool *pool);

/* Initialise a buffer's header: it points to its buffer, has one reference and no next segment. */
void tenant_header_init(struct moat_pool *pool, uint32_t number);

/* ---------------------------------------------------------------------------------------- parts */

/* Make the part of a slot. The tenant is locked. @return 0, -ENOMEM */
int tenant_part_make(struct moat_pool *pool, unsigned int slot);
void tenant_part_free(struct tenant_part *part); /* may be NULL */

/* Make `n` neighbouring buffers ready. The part must be the caller's, here and below. */
static inline void tenant_part_add_ready(struct moat_pool *pool, struct tenant_part *part,
	uint32_t first, uint32_t n)
{
	tenant_pages_set(pool->tenant, tenant_buffer_page(pool, first), n * pool->pages,
		TENANT_FREE);
	tenant_stock_add(&part->stock, first, n);
}

/* Let `n` neighbouring buffers wait for a ticket. The caller must set their states. */
static inline void tenant_part_quarantine(struct tenant_part *part, uint32_t first, uint32_t n,
	uint64_t ticket)
{
	part->quarantine[part->head++ & part->mask] =
		(struct tenant_quarantined){ first, n, ticket };
	__atomic_store_n(&part->quarantined, part->quarantined + n, __ATOMIC_RELAXED);
}

/* Make quarantined runs ready whose tickets are done, in the order in which they came, up to the
 * first whose ticket is not. */
void tenant_part_release(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc);

/* As moat_pool_put(). */
void tenant_part_put(struct moat_pool *pool, struct tenant_part *part, struct tenant_lcore *lc,
	void *const objs[], unsigned int n);

/* ------------------------------------------------------------------------------------------ get */

/* As moat_pool_get(), but the buffers stay unmapped, in state APP. */
int tenant_pool_get_unmapped(struct moat_pool *pool, void *objs[], unsigned int n);

#endif /* MOAT_TENANT_POOL_IMPL_H */
