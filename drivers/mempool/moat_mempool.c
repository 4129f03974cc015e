/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Mempool ops "moat": a buffer that comes back to the pool is quarantined until the ticket of its
 * unmap is done, and only then handed out again. lib/tenant does the work (moat_pool.h); the ops
 * let DPDK call it.
 *
 * moat_tenant_pool() passes the tenant's pool to the ops as their configuration. A pool without a
 * tenant (--mbuf-pool-ops-name=moat in a program that never called moat) lies in DPDK's own memory,
 * which the devices' drivers map as they see fit. The ops then use an ordinary ring, and log that.
 */

#include <errno.h>

#include <rte_errno.h>
#include <rte_log.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "moat_pool.h"

static inline bool has_tenant(const struct rte_mempool *mp)
{
	return mp->pool_config != NULL;
}

/* Has this process created a tenant's pool? Such a pool lives in this process's private memory: a
 * secondary process finds the mempool, but its pointers are not valid there. */
static bool tenants_here;

/* Relaxed: the flag never becomes false again, and a thread that has a pool has seen its
 * creation. */
static inline bool has_tenants_here(void)
{
	return __atomic_load_n(&tenants_here, __ATOMIC_RELAXED);
}

static int elsewhere(const struct rte_mempool *mp)
{
	static bool said;

	if (!__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		rte_log(RTE_LOG_ERR, RTE_LOGTYPE_MEMPOOL,
			"moat: pool '%s' belongs to a tenant and lies in the primary process's "
			"own memory: a secondary process can neither take buffers from it nor "
			"free them; run this program as primary\n",
			mp->name);
	return -ENOTSUP;
}

/* ----------------------------------------------------------------------------- without a tenant */

static int ring_alloc(struct rte_mempool *mp)
{
	char name[RTE_RING_NAMESIZE];
	int len = snprintf(name, sizeof(name), RTE_MEMPOOL_MZ_FORMAT, mp->name);

	if (len < 0 || len >= (int)sizeof(name))
		return -ENAMETOOLONG;
	mp->pool_data = rte_ring_create(name, rte_align32pow2(mp->size + 1), mp->socket_id, 0);
	if (mp->pool_data == NULL)
		return -rte_errno;
	rte_log(RTE_LOG_NOTICE, RTE_LOGTYPE_MEMPOOL,
		"moat: pool '%s' belongs to no tenant: its buffers are not unmapped when they are "
		"free; make pools with moat_tenant_pool() for that\n",
		mp->name);
	return 0;
}

/* -------------------------------------------------------------------------------------- the ops */

static int pool_alloc(struct rte_mempool *mp)
{
	if (!has_tenant(mp))
		return ring_alloc(mp);
	mp->pool_data = mp->pool_config;
	__atomic_store_n(&tenants_here, true, __ATOMIC_RELAXED);
	return 0;
}

static void pool_free(struct rte_mempool *mp)
{
	if (!has_tenant(mp))
		rte_ring_free(mp->pool_data);
	mp->pool_data = NULL; /* a tenant's pool is freed by its tenant */
}

static int pool_enqueue(struct rte_mempool *mp, void *const *objs, unsigned int n)
{
	if (likely(has_tenant(mp)))
		return likely(has_tenants_here()) ? moat_pool_put(mp->pool_data, objs, n)
						  : elsewhere(mp);
	return rte_ring_enqueue_bulk(mp->pool_data, objs, n, NULL) == n ? 0 : -ENOBUFS;
}

static int pool_dequeue(struct rte_mempool *mp, void **objs, unsigned int n)
{
	if (likely(has_tenant(mp)))
		return likely(has_tenants_here()) ? moat_pool_get(mp->pool_data, objs, n)
						  : elsewhere(mp);
	return rte_ring_dequeue_bulk(mp->pool_data, objs, n, NULL) == n ? 0 : -ENOBUFS;
}

static unsigned int pool_get_count(const struct rte_mempool *mp)
{
	if (!has_tenant(mp))
		return rte_ring_count(mp->pool_data);
	return has_tenants_here() ? moat_pool_count(mp->pool_data) : 0;
}

static const struct rte_mempool_ops moat_ops = {
	.name = MOAT_MEMPOOL_OPS,
	.alloc = pool_alloc,
	.free = pool_free,
	.enqueue = pool_enqueue,
	.dequeue = pool_dequeue,
	.get_count = pool_get_count,
};

RTE_MEMPOOL_REGISTER_OPS(moat_ops);
