/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Making a tenant's pools of packet buffers, and freeing them. See moat_pool.h. */

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_lcore.h>

#include "buffer.h"
#include "mode.h"
#include "pool_impl.h"
#include "sent.h"

/* DPDK calls this when a clone that had the last reference to a buffer is freed. Put the buffer's
 * own mbuf back into the pool, with one reference and no next segment, as DPDK requires. */
static void buffer_free(void *addr __rte_unused, void *opaque)
{
	struct rte_mbuf *m = opaque;

	/* acquire: pairs with the acq_rel decrements of the other references, on other lcores. DPDK
	 * uses a relaxed load to see whether one reference is left. With the fence, what the other
	 * lcores wrote to the mbuf comes before the stores below. */
	atomic_thread_fence(memory_order_acquire);
	rte_mbuf_ext_refcnt_set(m->shinfo, 1);
	rte_mbuf_refcnt_set(m, 1);
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	m->next = NULL;
	m->nb_segs = 1;
	rte_mbuf_raw_free(m);
}

/* Pin a buffer to its header, as rte_pktmbuf_pool_create_extbuf() does, which does not let the
 * caller choose mempool ops. DPDK's shared info lies in the tenant's table, by page, because the
 * mbuf's private area (of size 0) belongs to the application. */
void tenant_header_init(struct moat_pool *pool, uint32_t i)
{
	struct rte_mbuf *m = pool->obj[i];
	struct rte_mbuf_ext_shared_info *shinfo =
		&pool->tenant->shinfo[tenant_buffer_page(pool, i)];

	memset(m, 0, sizeof(*m));
	m->buf_addr = pool->va + (uint64_t)i * pool->stride;
	rte_mbuf_iova_set(m, pool->iova + (uint64_t)i * pool->stride);
	m->buf_len = (uint16_t)RTE_MIN(pool->stride, (uint32_t)UINT16_MAX);
	m->data_off = RTE_MIN(RTE_PKTMBUF_HEADROOM, m->buf_len);
	m->pool = pool->mp;
	m->nb_segs = 1;
	m->port = RTE_MBUF_PORT_INVALID;
	rte_mbuf_refcnt_set(m, 1);
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	m->shinfo = shinfo;
	shinfo->free_cb = buffer_free;
	shinfo->fcb_opaque = m;
	rte_mbuf_ext_refcnt_set(shinfo, 1);
}

static void mbuf_init(struct rte_mempool *mp __rte_unused, void *opaque, void *obj, unsigned int i)
{
	struct moat_pool *pool = opaque;

	pool->obj[i] = obj;
	tenant_header_init(pool, i);
}

static int mempool_fill(struct moat_pool *pool, const char *ops)
{
	struct rte_pktmbuf_pool_private priv = {
		.mbuf_data_room_size = (uint16_t)RTE_MIN(pool->stride, (uint32_t)UINT16_MAX),
		.flags = RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF,
	};
	int rc = rte_mempool_set_ops_byname(pool->mp, ops, pool);

	if (rc != 0)
		return moat_error(rc,
			"mempool ops '%s' are not registered; load the plugin librte_mempool_moat.so with "
			"-d, or link it with -Wl,--no-as-needed",
			ops);
	rte_pktmbuf_pool_init(pool->mp, &priv);
	rc = rte_mempool_populate_default(pool->mp);
	if (rc < 0)
		return moat_error(rc, "no memory for the %u mbuf headers of pool '%s'", pool->n,
			pool->mp->name);
	rte_mempool_obj_iter(pool->mp, mbuf_init, pool);
	if (pool->part[TENANT_PART_SHARED] != NULL)
		tenant_stock_add(&pool->part[TENANT_PART_SHARED]->stock, 0, pool->n);
	pool->ready = true;
	return 0;
}

/* The size of each lcore's DPDK cache. A cache keeps up to 1.5 times its size from other lcores; so
 * all caches together keep less than half of the pool. */
static unsigned int cache_size(unsigned int n)
{
	unsigned int lcores = rte_lcore_count() + 1; /* with one that is registered later */

	return RTE_MIN(n / (4 * lcores), 256u);
}

/* ---------------------------------------------------------------------------------------- parts */

/* Make the shared part, and the parts of lcores that have entered already. */
static int parts_make(struct moat_pool *pool)
{
	int rc = tenant_part_make(pool, TENANT_PART_SHARED);

	for (unsigned int i = 0; i < RTE_MAX_LCORE && rc == 0; i++) {
		const struct tenant_lcore *lc =
			__atomic_load_n(&pool->tenant->lcores[i], __ATOMIC_ACQUIRE);

		if (lc != NULL && tenant_lcore_entered(lc))
			rc = tenant_part_make(pool, i);
	}
	return rc;
}

/* ----------------------------------------------------------------------------- make and destroy */

bool tenant_pool_is_freed(const struct moat_pool *pool)
{
	return pool->mp != NULL && rte_mempool_lookup(pool->name) != pool->mp;
}

void tenant_pool_destroy(struct moat_pool *pool)
{
	struct moat_tenant *t = pool->tenant;

	pool->ready = false;
	rte_mempool_free(pool->sent);
	rte_mempool_free(pool->private);
	if (!tenant_pool_is_freed(pool))
		rte_mempool_free(pool->mp);
	else
		TENANT_LOG(ERR,
			"tenant '%s': the program has freed the tenant's pool '%s'; only "
			"moat_tenant_destroy() may free it",
			t->name, pool->name);
	for (unsigned int i = 0; i <= TENANT_PART_SHARED; i++)
		tenant_part_free(pool->part[i]);
	free(pool->obj);
	free(pool);
	if (t->nr_pools == 0)
		tenant_buffers_destroy(t);
}

/* Make a unique name for a mempool that belongs to a pool. The pool's own name with a suffix could
 * be too long, and if cut, be the same as another's. */
static void name_beside(char name[RTE_MEMPOOL_NAMESIZE], const char *what)
{
	static _Atomic unsigned int made;

	snprintf(name, RTE_MEMPOOL_NAMESIZE, "moat_%s_%u", what,
		atomic_fetch_add_explicit(&made, 1, memory_order_relaxed)); /* only unique */
}

/* Make the mbufs that the driver gets for shared buffers. See sent.h. */
static int sent_make(struct moat_pool *pool)
{
	char sent[RTE_MEMPOOL_NAMESIZE];

	name_beside(sent, "sent");
	pool->sent = rte_pktmbuf_pool_create(sent, pool->n, cache_size(pool->n) / 4,
		RTE_ALIGN_CEIL(sizeof(struct tenant_sent), RTE_MBUF_PRIV_ALIGN), 0, SOCKET_ID_ANY);
	if (pool->sent == NULL)
		return moat_error(-rte_errno,
			"no memory for the second %u mbufs of pool '%s', for shared buffers: %s",
			pool->n, pool->name, rte_strerror(rte_errno));
	return 0;
}

/* Mode copy: make as many buffers again that no device reaches, each with room for data behind its
 * headroom. A copy may have several segments. */
static int private_make(struct moat_pool *pool, uint16_t data_room)
{
	const struct moat_tenant *t = pool->tenant;
	char private[RTE_MEMPOOL_NAMESIZE];

	name_beside(private, "copy");
	pool->private = rte_pktmbuf_pool_create(private, pool->n, cache_size(pool->n), 0,
		RTE_MAX(data_room, (uint16_t)RTE_MBUF_DEFAULT_BUF_SIZE), t->conf.numa);
	if (pool->private == NULL)
		return moat_error(-rte_errno,
			"tenant '%s': no memory for %u buffers to copy into: %s", t->name, pool->n,
			rte_strerror(rte_errno));
	return 0;
}

static int pool_make(struct moat_pool *pool, const char *name, uint16_t data_room)
{
	bool protects = pool->tenant->mode->protects;
	int rc = tenant_buffers_create(pool->tenant);

	pool->obj = calloc(pool->n, sizeof(*pool->obj));
	if (rc == 0)
		rc = parts_make(pool);
	if (rc != 0 || pool->obj == NULL)
		return moat_error(-ENOMEM, "no memory for pool '%s'", name);
	/* No DPDK cache in the modes that unmap: unused buffers in an lcore's cache would stay
	 * mapped. */
	pool->mp = rte_mempool_create_empty(name, pool->n, sizeof(struct rte_mbuf),
		protects ? 0 : cache_size(pool->n), sizeof(struct rte_pktmbuf_pool_private),
		SOCKET_ID_ANY, 0);
	if (pool->mp == NULL && rte_errno == EEXIST)
		return moat_error(-EEXIST,
			"a mempool '%s' exists already; mempool names are unique in the process, not only "
			"in the tenant; choose another",
			name);
	if (pool->mp == NULL)
		return moat_error(-rte_errno, "mempool '%s' cannot be created: %s", name,
			rte_strerror(rte_errno));
	rc = mempool_fill(pool, protects ? MOAT_MEMPOOL_OPS : RTE_MBUF_DEFAULT_MEMPOOL_OPS);
	if (rc == 0 && protects)
		rc = sent_make(pool);
	if (rc == 0 && pool->tenant->mode->copies)
		rc = private_make(pool, data_room);
	return rc;
}

int moat_tenant_pool(struct moat_tenant *t, const char *name, unsigned int n, uint16_t data_room,
	struct rte_mempool **mp)
{
	uint64_t stride = RTE_ALIGN_CEIL((uint64_t)data_room, MOAT_PAGE_SIZE);
	uint64_t need = n * stride;
	struct moat_pool *pool;
	int rc;

	if (t == NULL || name == NULL || mp == NULL)
		return moat_error(-EINVAL, "moat_tenant_pool(): %s",
			t == NULL              ? "the tenant is NULL"
				: name == NULL ? "the pool has no name"
					       : "no place to store the pool");
	if (n == 0 || stride == 0)
		return moat_error(-EINVAL,
			"pool '%s': n is %u and data_room is %u bytes; each must be at least 1",
			name, n, data_room);
	if (t->nr_pools == TENANT_POOLS)
		return moat_error(-ENOSPC, "tenant '%s' has %u pools already, the maximum", t->name,
			TENANT_POOLS);
	if (need > t->len - t->used)
		return moat_error(-ENOMEM,
			"tenant '%s': pool '%s' needs %" PRIu64
			" bytes for %u buffers, but %" PRIu64 " are left; a 'memory' of %" PRIu64
			"M would do",
			t->name, name, need, n, t->len - t->used,
			tenant_memory_for(t->len, 0, t->used - t->heap_len + need) >> 20);
	pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return moat_error(-ENOMEM, "no memory for pool '%s'", name);
	pool->tenant = t;
	snprintf(pool->name, sizeof(pool->name), "%s", name);
	pool->va = t->va + t->used;
	pool->iova = t->iova + t->used;
	pool->stride = (uint32_t)stride;
	pool->pages = (uint32_t)(stride >> MOAT_PAGE_SHIFT);
	pool->page = (uint32_t)(t->used >> MOAT_PAGE_SHIFT);
	/* One buffer in each map if the unit cannot unmap a part of one map. */
	pool->run_max = t->conf.unit->caps.cut == MOAT_CUT_MAPS
		? 1
		: RTE_MAX(TENANT_RUN_PAGES / pool->pages, 1u);
	pool->n = n;
	tenant_lock(t);
	rc = pool_make(pool, name, data_room);
	if (rc == 0) {
		t->used += need;
		t->pool_mp[t->nr_pools] = pool->mp;
		t->pools[t->nr_pools++] = pool;
		*mp = pool->mp;
	} else {
		tenant_pool_destroy(pool);
	}
	tenant_unlock(t);
	return rc;
}
