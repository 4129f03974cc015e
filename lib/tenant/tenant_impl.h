/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_IMPL_H
#define MOAT_TENANT_IMPL_H

/* What the files of lib/tenant share, and drivers/mempool through moat_pool.h. */

#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_spinlock.h>

#include "moat_pool.h"
#include "moat_tenant.h"

#define TENANT_POOLS  8
#define TENANT_QUEUES 256
#define TENANT_SLOTS  (RTE_MAX_LCORE + 1) /* the last one is for threads that are no EAL lcore */

/* What one lcore holds of one tenant. Written by that lcore only. */
struct tenant_lcore {
	struct moat_lane *lane;
	struct moat_cost cost;
	bool entered;
	uint64_t verify_failed;
	uint64_t waits;
	uint64_t starved;
	uint64_t map_failed;
	uint64_t lost; /* buffers never handed on because the unit did not answer */
} __rte_cache_aligned;

struct tenant_queue {
	struct moat_tenant *tenant;
	uint16_t port;
	uint16_t queue;
	const struct rte_eth_rxtx_callback *rx;
	const struct rte_eth_rxtx_callback *tx;
};

struct moat_tenant {
	struct moat_tenant_conf conf;
	char name[32];
	struct moat_domain *domain;
	/* Memory: [va, va + len) at [iova, iova + len); the first heap_len bytes are the heap. */
	uint8_t *va;
	uint64_t iova;
	uint64_t len;
	uint64_t heap_len;
	uint64_t page_size;
	void *map;           /* what munmap() gets: [map, map + map_len) */
	size_t map_len;
	uint64_t *hpa;       /* of each 2 MiB */
	bool hpa_linear;     /* hpa[i] = hpa[0] + i * 2 MiB */
	uint64_t used;       /* bytes from va on given to the heap and to pools */
	/* What the device may do with each 4 KiB page of the memory now (enum moat_prot, 0: nothing).
	 * Kept for buffers in the modes that unmap. A page's byte belongs to whoever owns the
	 * buffer. */
	uint8_t *page_prot;
	int socket;
	bool heap;           /* the DPDK heap `name` exists */
	struct moat_pool *pools[TENANT_POOLS];
	unsigned int nr_pools;
	struct tenant_queue *queues[TENANT_QUEUES];
	unsigned int nr_queues;
	rte_spinlock_t lock; /* control path, and the slot of threads that are no EAL lcore */
	struct tenant_lcore *lcores[TENANT_SLOTS];
};

/* Does the device lose a buffer when the PMD gives it back? */
static inline bool tenant_protects(const struct moat_tenant *t)
{
	return t->conf.mode != MOAT_STATIC && t->conf.mode != MOAT_COPY;
}

static inline unsigned int tenant_slot(void)
{
	unsigned int lcore = rte_lcore_id();

	return lcore < RTE_MAX_LCORE ? lcore : RTE_MAX_LCORE;
}

/* The calling thread's part; made at its first use. NULL: out of memory or lanes. */
struct tenant_lcore *tenant_lcore_make(struct moat_tenant *t, unsigned int slot);
static inline struct tenant_lcore *tenant_lcore(struct moat_tenant *t)
{
	unsigned int slot = tenant_slot();
	struct tenant_lcore *lc = t->lcores[slot];

	return likely(lc != NULL) ? lc : tenant_lcore_make(t, slot);
}

/* memory.c */
int tenant_memory_create(struct moat_tenant *t);
void tenant_memory_destroy(struct moat_tenant *t);
/* Map or unmap a part of the memory, [va, va + len), all of it in or out. */
int tenant_map(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len,
	enum moat_prot prot);
int tenant_unmap(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len);

/* pool.c */
void tenant_pool_destroy(struct moat_pool *pool);

/* hooks.c */
uint16_t tenant_rx(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n, uint16_t max,
	void *arg);
uint16_t tenant_tx(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n, void *arg);

#endif /* MOAT_TENANT_IMPL_H */
