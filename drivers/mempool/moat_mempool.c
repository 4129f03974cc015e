/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Mempool ops "moat": a buffer is the device's from the moment the pool hands it out until the
 * moment it comes back, and nobody's until the ticket of its unmap is done. The work is lib/tenant's
 * (moat_pool.h); this is how DPDK finds it.
 */

#include <errno.h>

#include <rte_mempool.h>

#include "moat_pool.h"

static int pool_alloc(struct rte_mempool *mp)
{
	if (mp->pool_config == NULL)
		return -EINVAL; /* made by moat_tenant_pool() only: it says whose buffers they are */
	mp->pool_data = mp->pool_config;
	return 0;
}

static void pool_free(struct rte_mempool *mp)
{
	mp->pool_data = NULL; /* the pool is its tenant's */
}

static int pool_enqueue(struct rte_mempool *mp, void *const *objs, unsigned int n)
{
	return moat_pool_put(mp->pool_data, objs, n);
}

static int pool_dequeue(struct rte_mempool *mp, void **objs, unsigned int n)
{
	return moat_pool_get(mp->pool_data, objs, n);
}

static unsigned int pool_get_count(const struct rte_mempool *mp)
{
	return moat_pool_count(mp->pool_data);
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
