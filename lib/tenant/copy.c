/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See copy.h. */

#include <string.h>

#include "copy.h"
#include "pool_impl.h"

void tenant_copy_about(struct rte_mbuf *to, const struct rte_mbuf *from)
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

static struct rte_mbuf *buffer_alloc(struct rte_mempool *mp, struct moat_pool *unmapped)
{
	void *m;

	if (unmapped == NULL)
		return rte_pktmbuf_alloc(mp);
	if (tenant_pool_get_unmapped(unmapped, &m, 1) != 0)
		return NULL;
	rte_pktmbuf_reset(m);
	return m;
}

struct rte_mbuf *tenant_copy(struct rte_mempool *mp, struct moat_pool *unmapped,
	const struct rte_mbuf *from)
{
	struct rte_mbuf *first = buffer_alloc(mp, unmapped), *last = first;
	uint32_t off = 0;

	if (first == NULL)
		return NULL;
	tenant_copy_about(first, from);
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
		last->next = buffer_alloc(mp, unmapped);
		if (last->next == NULL || first->nb_segs == TENANT_COPY_SEGS) {
			rte_pktmbuf_free(first);
			return NULL;
		}
		last = last->next;
		first->nb_segs++;
	}
	return first;
}
