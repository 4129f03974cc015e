/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Mode copy: the buffers of the PMD's pool stay mapped, and the application receives none of them.
 * A received packet is copied into memory that no device reaches; a packet to be sent is copied
 * into a buffer of the PMD's pool. No packet costs a map or an invalidation, but each costs a copy.
 */

#include "copy.h"
#include "pool_impl.h"
#include "receive.h"

/* The pool into which packets of `mp` are copied. NULL: `mp` is not a pool of the tenant's */
static struct rte_mempool *private_of(const struct moat_tenant *t, const struct rte_mempool *mp)
{
	for (unsigned int i = 0; i < t->nr_pools; i++)
		if (t->pool_mp[i] == mp)
			return t->pools[i]->private;
	return NULL;
}

/* Copy a burst into the application's buffers, and free the originals. A packet for which there is
 * no buffer is dropped and counted. */
static uint16_t burst_copy(const struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkts[], uint16_t n)
{
	const struct rte_mempool *from = NULL;
	struct rte_mempool *to = NULL;
	uint16_t kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *copy;

		if (unlikely(pkts[i]->pool != from)) {
			from = pkts[i]->pool;
			to = private_of(t, from);
		}
		copy = likely(to != NULL) ? tenant_copy(to, NULL, pkts[i]) : NULL;
		if (likely(copy != NULL)) {
			moat_counter_add(&lc->copied, pkts[i]->pkt_len);
			rte_pktmbuf_free(pkts[i]);
			pkts[kept++] = copy;
		} else {
			moat_counter_add(&lc->overrun, 1);
			rte_pktmbuf_free(pkts[i]);
		}
	}
	return kept;
}

static uint16_t copy_rx(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc;

	if (n == 0 || unlikely(t == NULL)) /* NULL: the port is gone */
		return n;
	lc = tenant_lcore_use(t);
	n = burst_copy(t, lc, pkts, tenant_receive(t, lc, pkts, n));
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_COPY);
	tenant_lcore_unuse(t, lc);
	return n;
}

const struct tenant_mode tenant_mode_copy = {
	.name = "copy",
	.copies = true,
	.rx_prot = MOAT_RW,
	.tx_prot = MOAT_RW,
	.rx = copy_rx,
	.flush = tenant_mode_flush,
	.flush_put = tenant_mode_flush,
};
