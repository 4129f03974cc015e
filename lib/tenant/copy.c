/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Mode copy: the pool that the PMD knows is mapped for good, and no application ever sees a buffer of
 * it. A received packet is copied into memory that no device reaches; a packet to be sent is copied
 * out of it. Nothing is mapped or invalidated per packet: the copy is the price.
 */

#include <string.h>

#include "moat_mutant.h"
#include "tenant_impl.h"

/* What the PMD and the application have to say about a packet, beside its bytes. */
static void copy_about(struct rte_mbuf *to, const struct rte_mbuf *from)
{
	to->port = from->port;
	to->ol_flags = (to->ol_flags & RTE_MBUF_F_EXTERNAL) |
		(from->ol_flags & ~(RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT));
	to->packet_type = from->packet_type;
	to->vlan_tci = from->vlan_tci;
	to->vlan_tci_outer = from->vlan_tci_outer;
	to->hash = from->hash;
	to->tx_offload = from->tx_offload;
	memcpy(to->dynfield1, from->dynfield1, sizeof(to->dynfield1));
}

/* All of a packet's bytes into a chain from `pool`. NULL: no buffers, or more than 16 needed. */
static struct rte_mbuf *copy_packet(struct rte_mempool *pool, const struct rte_mbuf *from)
{
	struct rte_mbuf *first = rte_pktmbuf_alloc(pool), *last = first;
	uint32_t off = 0;

	if (first == NULL)
		return NULL;
	copy_about(first, from);
	while (off < from->pkt_len) {
		uint32_t len = RTE_MIN(from->pkt_len - off, (uint32_t)rte_pktmbuf_tailroom(last));
		char *to = rte_pktmbuf_mtod_offset(last, char *, last->data_len);
		const void *bytes = rte_pktmbuf_read(from, off, len, to);

		if (bytes != to)
			memcpy(to, bytes, len);
		last->data_len += len;
		first->pkt_len += len;
		off += len;
		if (off == from->pkt_len)
			break;
		last->next = rte_pktmbuf_alloc(pool);
		if (last->next == NULL || first->nb_segs == 16) {
			rte_pktmbuf_free(first);
			return NULL;
		}
		last = last->next;
		first->nb_segs++;
	}
	return first;
}

/* Copy a burst into `pool`, freeing the originals; what finds no buffer is dropped and counted. */
static uint16_t copy_burst(struct tenant_lcore *lc, struct rte_mempool *pool,
	struct rte_mbuf *pkts[], uint16_t n)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *copy;

		if (MOAT_MUTANT(COPY_NOT)) { /* hand on the shadow itself */
			pkts[kept++] = pkts[i];
			continue;
		}
		copy = copy_packet(pool, pkts[i]);
		if (likely(copy != NULL)) {
			lc->copied += pkts[i]->pkt_len;
			rte_pktmbuf_free(pkts[i]);
			pkts[kept++] = copy;
		} else {
			lc->overrun++;
			rte_pktmbuf_free(pkts[i]);
		}
	}
	return kept;
}

uint16_t tenant_rx_copy(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc;

	if (n == 0)
		return 0;
	lc = tenant_lcore(t);
	n = copy_burst(lc, t->private, pkts, tenant_receive(t, lc, pkts, n));
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_COPY);
	return n;
}

uint16_t tenant_tx_copy(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc = tenant_lcore(t);

	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
	n = copy_burst(lc, t->pools[0]->mp, pkts, n);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_COPY);
	return n;
}
