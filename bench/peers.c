/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Peers of the look-up: other ways to get from an IOVA to a virtual address. Each looks up the same
 * random IOVAs of 4 KiB pages as translate/single/4k; the argument is the number of mapped pages.
 */
#include <pthread.h>
#include <stdlib.h>

#include <glib.h>
#include <rte_common.h>
#include <rte_eal_memconfig.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>
#include <rte_memory.h>
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include "translate.h"

struct peer {
	struct rte_hash *hash;
	struct cds_lfht *lfht;
	struct node *nodes;
	GHashTable *ghash;
	pthread_mutex_t lock;
	void *heap;
	uint64_t iova[BENCH_KEYS];
};

static struct peer *peer_make(struct moat_bench_run *run)
{
	struct peer *p = calloc(1, sizeof(*p));

	bench_keys(p->iova, (uint64_t)run->arg, MOAT_PAGE_SIZE);
	run->ctx = p;
	return p;
}

#define EACH_KEY(run, n, p, i)                \
	for (uint64_t k_ = 0; k_ < (n); k_++) \
		for (unsigned int i = 0; i < BENCH_KEYS; i++)

/* ------------------------------------------------------------------- rte_hash, lock-free flag */

static int rte_hash_make(struct moat_bench_run *run)
{
	struct rte_hash_parameters params = {
		.name = "bench",
		.entries = (uint32_t)RTE_MAX(2 * run->arg, 64),
		.key_len = sizeof(uint64_t),
		.hash_func = rte_hash_crc,
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};
	struct peer *p;

	if (moat_bench_eal() != 0)
		return -1;
	moat_bench_pin(0); /* again, because the EAL has pinned its main lcore elsewhere */
	p = peer_make(run);
	p->hash = rte_hash_create(&params);
	if (p->hash == NULL)
		return moat_bench_skip("rte_hash_create failed");
	for (uint64_t i = 0; i < (uint64_t)run->arg; i++) {
		uint64_t key = (BENCH_BASE >> MOAT_PAGE_SHIFT) + i;

		rte_hash_add_key_data(p->hash, &key, (void *)(uintptr_t)(key << MOAT_PAGE_SHIFT));
	}
	return 0;
}

static void rte_hash_body(struct moat_bench_run *run, uint64_t n)
{
	struct peer *p = run->ctx;
	uint64_t sum = 0;

	EACH_KEY(run, n, p, i)
	{
		uint64_t key = p->iova[i] >> MOAT_PAGE_SHIFT;
		void *va;

		if (rte_hash_lookup_data(p->hash, &key, &va) < 0)
			abort();
		sum += (uintptr_t)va + (p->iova[i] & MOAT_PAGE_MASK);
	}
	moat_bench_use(sum);
}

static void rte_hash_bulk_body(struct moat_bench_run *run, uint64_t n)
{
	struct peer *p = run->ctx;

	for (uint64_t k = 0; k < n; k++) {
		for (unsigned int i = 0; i < BENCH_KEYS; i += 32) {
			const void *keys[32];
			uint64_t key[32], hits;
			void *va[32];

			for (unsigned int j = 0; j < 32; j++) {
				key[j] = p->iova[i + j] >> MOAT_PAGE_SHIFT;
				keys[j] = &key[j];
			}
			rte_hash_lookup_bulk_data(p->hash, keys, 32, &hits, va);
			if (hits != UINT32_MAX)
				abort();
			for (unsigned int j = 0; j < 32; j++)
				va[j] = (char *)va[j] + (p->iova[i + j] & MOAT_PAGE_MASK);
			moat_bench_use((uintptr_t)va);
		}
	}
}

static void rte_hash_drop(struct moat_bench_run *run)
{
	struct peer *p = run->ctx;

	rte_hash_free(p->hash);
	free(p);
}

/* ------------------------------------------------------------------------ liburcu's cds_lfht */

struct node {
	struct cds_lfht_node node;
	uint64_t key, va;
};

static int lfht_match(struct cds_lfht_node *node, const void *key)
{
	return caa_container_of(node, struct node, node)->key == *(const uint64_t *)key;
}

static int lfht_make(struct moat_bench_run *run)
{
	struct peer *p = peer_make(run);
	uint64_t pages = (uint64_t)run->arg, buckets = 64;

	while (buckets < 2 * pages)
		buckets *= 2;
	urcu_qsbr_register_thread();
	p->lfht = cds_lfht_new_flavor(buckets, buckets, 0, 0, &urcu_qsbr_flavor, NULL);
	p->nodes = calloc(pages, sizeof(*p->nodes));
	if (p->lfht == NULL || p->nodes == NULL)
		return moat_bench_skip("no memory for cds_lfht");
	for (uint64_t i = 0; i < pages; i++) {
		struct node *node = &p->nodes[i];

		node->key = (BENCH_BASE >> MOAT_PAGE_SHIFT) + i;
		node->va = node->key << MOAT_PAGE_SHIFT;
		cds_lfht_add(p->lfht, rte_hash_crc_8byte(node->key, 0), &node->node);
	}
	return 0;
}

static void lfht_body(struct moat_bench_run *run, uint64_t n)
{
	struct peer *p = run->ctx;
	uint64_t sum = 0;

	EACH_KEY(run, n, p, i)
	{
		uint64_t key = p->iova[i] >> MOAT_PAGE_SHIFT;
		struct cds_lfht_iter iter;

		cds_lfht_lookup(p->lfht, rte_hash_crc_8byte(key, 0), lfht_match, &key, &iter);
		if (iter.node == NULL)
			abort();
		sum += caa_container_of(iter.node, struct node, node)->va +
			(p->iova[i] & MOAT_PAGE_MASK);
	}
	moat_bench_use(sum);
}

static void lfht_drop(struct moat_bench_run *run)
{
	struct peer *p = run->ctx;

	for (uint64_t i = 0; i < (uint64_t)run->arg; i++)
		cds_lfht_del(p->lfht, &p->nodes[i].node);
	urcu_qsbr_quiescent_state();
	cds_lfht_destroy(p->lfht, NULL);
	urcu_qsbr_unregister_thread();
	free(p->nodes);
	free(p);
}

/* ------------------------------------------------- GHashTable under a mutex, keys like QEMU's */

/* QEMU's VT-d IOTLB is keyed by frame, PASID, source-id and level, and probed once a level. */
struct gkey {
	uint64_t gfn;
	uint32_t pasid;
	uint16_t sid;
	uint8_t level;
};

static guint gkey_hash(gconstpointer v)
{
	const struct gkey *key = v;
	uint64_t h = key->gfn | (uint64_t)key->sid << 44 | (uint64_t)key->level << 60;

	return (guint)((h >> 32) + (h & UINT32_MAX) + key->pasid);
}

static gboolean gkey_equal(gconstpointer a, gconstpointer b)
{
	const struct gkey *x = a, *y = b;

	return x->gfn == y->gfn && x->sid == y->sid && x->level == y->level && x->pasid == y->pasid;
}

static int ghash_make(struct moat_bench_run *run)
{
	struct peer *p = peer_make(run);

	pthread_mutex_init(&p->lock, NULL);
	p->ghash = g_hash_table_new_full(gkey_hash, gkey_equal, g_free, NULL);
	for (uint64_t i = 0; i < (uint64_t)run->arg; i++) {
		struct gkey *key = g_new0(struct gkey, 1);

		key->gfn = (BENCH_BASE >> MOAT_PAGE_SHIFT) + i;
		key->sid = 0x0100;
		key->level = 1;
		g_hash_table_insert(p->ghash, key, (gpointer)(uintptr_t)(key->gfn << 12));
	}
	return 0;
}

static void ghash_body(struct moat_bench_run *run, uint64_t n)
{
	struct peer *p = run->ctx;
	uint64_t sum = 0;

	EACH_KEY(run, n, p, i)
	{
		struct gkey key = { .sid = 0x0100 };
		gpointer va = NULL;

		pthread_mutex_lock(&p->lock);
		for (key.level = 1; key.level <= 3 && va == NULL; key.level++) {
			key.gfn = p->iova[i] >> (12 + 9 * (key.level - 1));
			va = g_hash_table_lookup(p->ghash, &key);
		}
		pthread_mutex_unlock(&p->lock);
		if (va == NULL)
			abort();
		sum += (uintptr_t)va + (p->iova[i] & MOAT_PAGE_MASK);
	}
	moat_bench_use(sum);
}

static void ghash_drop(struct moat_bench_run *run)
{
	struct peer *p = run->ctx;

	g_hash_table_destroy(p->ghash);
	free(p);
}

/* ------------------------------------------------------- rte_mem_virt2memseg: addresses only */

static int memseg_make(struct moat_bench_run *run)
{
	struct peer *p;

	if (moat_bench_eal() != 0)
		return -1;
	moat_bench_pin(0);
	p = peer_make(run);
	p->heap = rte_malloc(NULL, (size_t)run->arg * MOAT_PAGE_SIZE, MOAT_PAGE_SIZE);
	if (p->heap == NULL)
		return moat_bench_skip("rte_malloc: not %d pages", (int)run->arg);
	return 0;
}

static void memseg_body(struct moat_bench_run *run, uint64_t n)
{
	struct peer *p = run->ctx;
	uint64_t sum = 0;

	EACH_KEY(run, n, p, i)
	{
		void *va = (char *)p->heap + (p->iova[i] - BENCH_BASE);
		const struct rte_memseg *ms = rte_mem_virt2memseg(va, NULL);

		if (ms == NULL)
			abort();
		sum += ms->iova + ((uintptr_t)va - ms->addr_64);
	}
	moat_bench_use(sum);
}

static void memseg_drop(struct moat_bench_run *run)
{
	struct peer *p = run->ctx;

	rte_free(p->heap);
	free(p);
}

#define PEER(id, name_, make_, body_, drop_, ...) \
	MOAT_BENCH(id) = { .name = name_,         \
		.setup = make_,                   \
		.body = body_,                    \
		.teardown = drop_,                \
		.items = BENCH_KEYS,              \
		.args = { __VA_ARGS__ } }

PEER(rte_hash_single, "peer/rte_hash", rte_hash_make, rte_hash_body, rte_hash_drop, 1, 64, 512,
	2048, 65536);
PEER(rte_hash_bulk, "peer/rte_hash_bulk32", rte_hash_make, rte_hash_bulk_body, rte_hash_drop, 512,
	2048, 65536);
PEER(cds_lfht, "peer/cds_lfht", lfht_make, lfht_body, lfht_drop, 1, 64, 512, 2048, 65536);
PEER(ghashtable, "peer/ghashtable", ghash_make, ghash_body, ghash_drop, 1, 64, 512, 2048, 65536);
PEER(virt2memseg, "peer/virt2memseg", memseg_make, memseg_body, memseg_drop, 512, 2048);
