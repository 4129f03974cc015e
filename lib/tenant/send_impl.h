/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_SEND_IMPL_H
#define MOAT_TENANT_SEND_IMPL_H

/* What send.c and send_chunk.c share: finding out whose memory a packet is, and mapping a packet
 * that has the only references to its buffers. See send.h for the idea. */

#include <rte_ethdev.h>

#include "buffer.h"
#include "mode.h"
#include "pool_impl.h"

/* The driver gets a burst in pieces of at most this many packets. */
#define TENANT_CHUNK 64u

/* --------------------------------------------------------------------- whose memory a packet is */

enum tenant_kind {
	TENANT_KIND_OWN,     /* each segment is a buffer of the tenant's, with one reference */
	TENANT_KIND_SHARED,  /* as OWN, but some buffers have several references */
	TENANT_KIND_FOREIGN, /* not all segments are buffers of the tenant's */
};

/*
 * Repair the flags of an mbuf, where an assignment to ol_flags has cleared RTE_MBUF_F_EXTERNAL. A
 * clone that was made of such an mbuf has RTE_MBUF_F_INDIRECT: when it is freed, DPDK takes the
 * bytes in front of the buffer, which a device may write, for the mbuf that owns the buffer. Such a
 * clone is turned into one that holds a reference through the shared info, as other clones do.
 */
static inline void tenant_flags_mend(const struct moat_tenant *t, struct rte_mbuf *m)
{
	uint32_t number;
	const struct moat_pool *pool = tenant_buffer_pool(t, m->buf_addr, &number);

	if (pool == NULL)
		return;
	if (m == pool->obj[number]) {
		tenant_pin(m);
	} else if (m->ol_flags & RTE_MBUF_F_INDIRECT) {
		tenant_pin(pool->obj[number]);
		m->shinfo = &t->shinfo[tenant_buffer_page(pool, number)];
		rte_mbuf_ext_refcnt_update(m->shinfo, 1);
		m->ol_flags ^= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	}
}

static inline enum tenant_kind tenant_segment_kind(const struct moat_tenant *t, struct rte_mbuf *m)
{
	struct tenant_run buffer;

	if (unlikely(!(m->ol_flags & RTE_MBUF_F_EXTERNAL)) && tenant_owns(t, m->buf_addr))
		tenant_flags_mend(t, m);
	if (likely(tenant_is_sole(t, m)))
		return TENANT_KIND_OWN;
	return tenant_buffer_find(t, m, &buffer) ? TENANT_KIND_SHARED : TENANT_KIND_FOREIGN;
}

static inline enum tenant_kind tenant_packet_kind(const struct moat_tenant *t, struct rte_mbuf *pkt)
{
	enum tenant_kind kind = tenant_segment_kind(t, pkt);
	struct rte_mbuf *m = pkt;

	/* `next` lies in the mbuf's second cache line: read it only if there is one. */
	for (unsigned int k = pkt->nb_segs; unlikely(k > 1); k--) {
		m = m->next;
		kind = RTE_MAX(kind, tenant_segment_kind(t, m));
	}
	return kind;
}

/* The stage to which the preparation of a send is charged. Mode static maps nothing: it only looks
 * up whose memory a packet is. */
static inline enum moat_stage tenant_send_stage(const struct moat_tenant *t)
{
	return t->mode->protects ? MOAT_STAGE_MAP : MOAT_STAGE_TRANSLATE;
}

/* ------------------------------------------------------------- packets that are TENANT_KIND_OWN */

/* Add a buffer to a run to map. If the buffer is not a neighbour, the run is mapped, and the buffer
 * begins the next run. */
static inline int tenant_own_join(struct moat_tenant *t, struct tenant_lcore *lc,
	struct tenant_run *run, const struct rte_mbuf *m)
{
	uint32_t page = tenant_page(t, m->buf_addr), n = tenant_buffer_pages(m);
	int rc;

	if (likely(tenant_run_grow(run, page, n)))
		return 0;
	rc = tenant_run_map(t, lc, run, TENANT_TX);
	run->page = page;
	run->n = n;
	return rc;
}

/* Map a packet of TENANT_KIND_OWN for the device to read. The caller must map the last run. */
static inline int tenant_own_map(struct moat_tenant *t, struct tenant_lcore *lc,
	struct tenant_run *run, const struct rte_mbuf *pkt)
{
	const struct rte_mbuf *m = pkt;
	int rc = tenant_own_join(t, lc, run, m);

	for (unsigned int k = pkt->nb_segs; unlikely(k > 1) && rc == 0; k--)
		rc = tenant_own_join(t, lc, run, m = m->next);
	return rc;
}

/* Unmap packets of TENANT_KIND_OWN that the driver did not take or was not offered. */
static inline void tenant_own_take_back(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *const pkts[], uint16_t n)
{
	struct tenant_run run = { .max = TENANT_RUN_PAGES };

	if (!t->mode->protects)
		return;
	for (uint16_t i = 0; i < n; i++)
		for (const struct rte_mbuf *m = pkts[i]; m != NULL; m = m->next)
			tenant_run_unmap_join(t, lc, &run, m, TENANT_TICKET);
	tenant_run_unmap(t, lc, &run, TENANT_TICKET);
}

/* --------------------------------------------------------------------------------- send_chunk.c */

/* Send at most TENANT_CHUNK packets, of any kind. A packet that can never be sent is freed and
 * counted. @return how many packets from the front are sent or freed */
uint16_t tenant_chunk_send(struct tenant_queue *q, struct tenant_lcore *lc, eth_tx_burst_t driver,
	void *txq, struct rte_mbuf *pkts[], uint16_t n);

/* Note that a port was found started: its queues may have other offloads now. Any thread. */
void tenant_chunk_restart(uint16_t port);

#endif /* MOAT_TENANT_SEND_IMPL_H */
