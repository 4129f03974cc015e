/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_SEND_IMPL_H
#define MOAT_TENANT_SEND_IMPL_H

/* What send.c and send_chunk.c share: whose memory a packet is, and how one that has the tenant's
 * buffers to itself becomes the device's to read. See send.h for the idea. */

#include <rte_ethdev.h>

#include "buffer.h"
#include "mode.h"
#include "pool_impl.h"

/* The driver gets a burst in pieces of so many packets. */
#define TENANT_CHUNK 64u

/* --------------------------------------------------------------------- whose memory a packet is */

enum tenant_kind {
	TENANT_KIND_OWN,     /* each segment is a buffer of the tenant's, with one reference */
	TENANT_KIND_SHARED,  /* all are the tenant's, and some have several */
	TENANT_KIND_FOREIGN, /* not all are the tenant's */
};

/*
 * Flags that were assigned, so that RTE_MBUF_F_EXTERNAL is gone. A clone that was made then has
 * RTE_MBUF_F_INDIRECT: when it is freed, DPDK takes the bytes in front of the buffer, which a
 * device may write, for the mbuf that owns the buffer. It becomes a reference as other clones are.
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

	/* A packet's `next` lies in its header's second line: looked at only if need be. */
	for (unsigned int k = pkt->nb_segs; unlikely(k > 1); k--) {
		m = m->next;
		kind = RTE_MAX(kind, tenant_segment_kind(t, m));
	}
	return kind;
}

/* Mode static maps nothing: it looks up whose memory a packet is. */
static inline enum moat_stage tenant_send_stage(const struct moat_tenant *t)
{
	return t->mode->protects ? MOAT_STAGE_MAP : MOAT_STAGE_TRANSLATE;
}

/* ------------------------------------------------------------- packets that are TENANT_KIND_OWN */

/* A buffer joins the run; where it is no neighbour, the run is mapped and another one begins. */
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

/* Make a packet of TENANT_KIND_OWN the device's to read. The last run is left to the caller. */
static inline int tenant_own_map(struct moat_tenant *t, struct tenant_lcore *lc,
	struct tenant_run *run, const struct rte_mbuf *pkt)
{
	const struct rte_mbuf *m = pkt;
	int rc = tenant_own_join(t, lc, run, m);

	for (unsigned int k = pkt->nb_segs; unlikely(k > 1) && rc == 0; k--)
		rc = tenant_own_join(t, lc, run, m = m->next);
	return rc;
}

/* The driver did not take these, or they were not offered to it. */
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

/* Send at most TENANT_CHUNK packets, of any kind. One that can never be sent is freed and counted.
 * @return how many from the front are no longer the caller's */
uint16_t tenant_chunk_send(struct tenant_queue *q, struct tenant_lcore *lc, eth_tx_burst_t driver,
	void *txq, struct rte_mbuf *pkts[], uint16_t n);

/* The port was found started: its queues may have other offloads now. Any thread. */
void tenant_chunk_restart(uint16_t port);

#endif /* MOAT_TENANT_SEND_IMPL_H */
