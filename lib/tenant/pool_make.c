/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Making a tenant's pools of packet buffers, and freeing them. See moat_pool.h. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>

#include "run.h"
#include "stock.h"

/* The last reference to a buffer through a clone went: the header is a plain one again. */
static void buffer_free(void *addr __rte_unused, void *opaque)
{
	struct rte_mbuf *m = opaque;

	rte_mbuf_ext_refcnt_set(m->shinfo, 1);
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	rte_mbuf_raw_free(m);
}

/* A header over its buffer; the buffer stays pinned to it, as rte_pktmbuf_pool_create_extbuf()
 * does. Here because that call takes no ops of one's own. */
static void init_mbuf(struct rte_mempool *mp, void *opaque, void *obj, unsigned int i)
{
	struct moat_pool *pool = opaque;
	struct rte_mbuf *m = obj;
	struct rte_mbuf_ext_shared_info *shinfo = RTE_PTR_ADD(m, sizeof(*m));

	pool->obj[i] = m;
	memset(m, 0, sizeof(*m) + sizeof(*shinfo));
	m->priv_size = sizeof(*shinfo);
	m->buf_addr = pool->va + (uint64_t)i * pool->stride;
	rte_mbuf_iova_set(m, pool->iova + (uint64_t)i * pool->stride);
	m->buf_len = (uint16_t)RTE_MIN(pool->stride, (uint32_t)UINT16_MAX);
	m->data_off = RTE_MIN(RTE_PKTMBUF_HEADROOM, m->buf_len);
	m->pool = mp;
	m->nb_segs = 1;
	m->port = RTE_MBUF_PORT_INVALID;
	rte_mbuf_refcnt_set(m, 1);
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	m->shinfo = shinfo;
	shinfo->free_cb = buffer_free;
	shinfo->fcb_opaque = m;
	rte_mbuf_ext_refcnt_set(shinfo, 1);
}

static int fill_mempool(struct moat_pool *pool, const char *ops)
{
	struct rte_pktmbuf_pool_private priv = {
		.mbuf_data_room_size = (uint16_t)RTE_MIN(pool->stride, (uint32_t)UINT16_MAX),
		.mbuf_priv_size = sizeof(struct rte_mbuf_ext_shared_info),
		.flags = RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF,
	};
	int rc = rte_mempool_set_ops_byname(pool->mp, ops, pool);

	if (rc != 0)
		return moat_error(rc,
			"mempool ops '%s' are not there; load the plugin librte_mempool_moat.so with -d",
			ops);
	rte_pktmbuf_pool_init(pool->mp, &priv);
	rc = rte_mempool_populate_default(pool->mp);
	if (rc < 0)
		return moat_error(rc, "no memory for the %u mbuf headers of pool '%s'", pool->n,
			pool->mp->name);
	rte_mempool_obj_iter(pool->mp, init_mbuf, pool);
	pool->ready = true;
	return 0;
}

static int make_lcore(struct moat_pool *pool, struct moat_pool_lcore **out)
{
	struct moat_pool_lcore *pl = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*pl));
	uint32_t room = rte_align32pow2(pool->n + 1); /* if each run is of one buffer */

	if (pl == NULL)
		return -ENOMEM;
	memset(pl, 0, sizeof(*pl));
	*out = pl;
	pl->quarantine_mask = room - 1;
	pl->quarantine = calloc(room, sizeof(*pl->quarantine));
	pl->stock.words = (pool->n + 63) / 64;
	pl->stock.bits = calloc(pl->stock.words, sizeof(*pl->stock.bits));
	return pl->quarantine != NULL && pl->stock.bits != NULL ? 0 : -ENOMEM;
}

static int make_lcores(struct moat_pool *pool)
{
	int rc = 0;

	pool->obj = calloc(pool->n, sizeof(*pool->obj));
	if (pool->obj == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < RTE_MAX_LCORE && rc == 0; i++)
		if (rte_lcore_is_enabled(i))
			rc = make_lcore(pool, &pool->lcores[i]);
	return rc;
}

void tenant_pool_destroy(struct moat_pool *pool)
{
	pool->ready = false;
	rte_mempool_free(pool->mp);
	rte_ring_free(pool->stock);
	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++) {
		if (pool->lcores[i] == NULL)
			continue;
		free(pool->lcores[i]->quarantine);
		free(pool->lcores[i]->stock.bits);
		free(pool->lcores[i]);
	}
	free(pool->obj);
	free(pool);
}

static int make_pool(struct moat_pool *pool, const char *name)
{
	char ring[RTE_RING_NAMESIZE];
	bool protects = tenant_protects(pool->tenant);
	int rc = make_lcores(pool);

	if (rc != 0)
		return moat_error(rc, "no memory for pool '%s'", name);
	snprintf(ring, sizeof(ring), "%.20s_stock", name);
	pool->stock = rte_ring_create(ring, rte_align32pow2(pool->n + 1), SOCKET_ID_ANY, 0);
	if (pool->stock == NULL)
		return moat_error(-rte_errno, "no ring for pool '%s': %s", name,
			rte_strerror(rte_errno));
	/* DPDK's per-lcore cache would keep buffers mapped that nobody uses; ours does not. */
	pool->mp = rte_mempool_create_empty(name, pool->n,
		sizeof(struct rte_mbuf) + sizeof(struct rte_mbuf_ext_shared_info),
		protects ? 0 : RTE_MIN(pool->n / 4, 256u), sizeof(struct rte_pktmbuf_pool_private),
		SOCKET_ID_ANY, 0);
	if (pool->mp == NULL)
		return moat_error(-rte_errno, "no mempool '%s': %s", name, rte_strerror(rte_errno));
	return fill_mempool(pool, protects ? MOAT_MEMPOOL_OPS : RTE_MBUF_DEFAULT_MEMPOOL_OPS);
}

/* Mode copy: as many buffers again that no device reaches. */
static int make_private(struct moat_tenant *t, const char *name, unsigned int n, uint16_t data_room)
{
	char private[RTE_MEMPOOL_NAMESIZE];

	snprintf(private, sizeof(private), "%.16s_copy", name);
	t->private = rte_pktmbuf_pool_create(private, n, RTE_MIN(n / 4, 256u), 0, data_room,
		t->conf.numa);
	if (t->private == NULL)
		return moat_error(-rte_errno,
			"tenant '%s': no memory for %u buffers to copy into: %s", t->name, n,
			rte_strerror(rte_errno));
	return 0;
}

int moat_tenant_pool(struct moat_tenant *t, const char *name, unsigned int n, uint16_t data_room,
	struct rte_mempool **mp)
{
	uint64_t stride = RTE_ALIGN_CEIL((uint64_t)data_room, MOAT_PAGE_SIZE);
	uint64_t need = n * stride;
	struct moat_pool *pool;
	int rc;

	if (n == 0 || stride == 0)
		return moat_error(-EINVAL, "pool '%s': %u buffers of %u bytes make no pool", name,
			n, data_room);
	if (t->nr_pools == TENANT_POOLS)
		return moat_error(-ENOSPC, "tenant '%s' has %u pools, no more fit", t->name,
			TENANT_POOLS);
	if (need > t->len - t->used)
		return moat_error(-ENOMEM,
			"tenant '%s': pool '%s' needs %" PRIu64 " bytes for %u buffers and %" PRIu64
			" are left; a 'memory' of %" PRIu64 "M would do",
			t->name, name, need, n, t->len - t->used,
			(t->len + need - (t->len - t->used)) * 8 / 7 / 1048576 + 2);
	pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return moat_error(-ENOMEM, "no memory for pool '%s'", name);
	pool->tenant = t;
	pool->va = t->va + t->used;
	pool->iova = t->iova + t->used;
	pool->stride = (uint32_t)stride;
	/* A buffer a call where an unmap takes back only what was mapped by one call. */
	pool->run_max = t->conf.unit->caps.cut == MOAT_CUT_MAPS
		? 1
		: (uint32_t)RTE_MAX(TENANT_RUN_MAX / stride, UINT64_C(1));
	pool->n = n;
	rc = make_pool(pool, name);
	if (rc != 0) {
		tenant_pool_destroy(pool);
		return rc;
	}
	t->used += need;
	t->pools[t->nr_pools++] = pool;
	if (t->conf.mode == MOAT_COPY && t->private == NULL)
		rc = make_private(t, name, n, data_room);
	*mp = pool->mp;
	return rc;
}
