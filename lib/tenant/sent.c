/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See sent.h. */

#include "sent.h"

#include "copy.h"
#include "pool_impl.h"

static inline struct tenant_sent *sent_of(struct rte_mbuf *m)
{
	return rte_mbuf_to_priv(m);
}

/* tenant_buffer_unshare() by the calling thread's lane; by the shared lane, if the thread has not
 * entered. */
static void sent_unshare(struct moat_tenant *t, const struct tenant_run *buffer)
{
	struct tenant_lcore *lc = t->lcores[tenant_slot()];

	if (likely(lc != NULL && lc->entered)) {
		tenant_buffer_unshare(t, lc, buffer);
		return;
	}
	lc = tenant_shared_lock(t);
	if (lc == NULL)
		return; /* the buffer stays mapped until it is put */
	tenant_buffer_unshare(t, lc, buffer);
	tenant_shared_unlock(t);
}

/* DPDK calls this when the driver has freed moat's mbuf. The reference is freed last: until then
 * the buffer cannot return to its pool. */
static void sent_back(void *addr __rte_unused, void *opaque)
{
	struct tenant_sent *sent = opaque;

	if (sent->segment == NULL)
		return;
	sent_unshare(sent->tenant, &sent->buffer);
	rte_pktmbuf_free_seg(sent->segment);
}

/* Get an mbuf from any pool's `sent`: those of one pool may be fewer than the rings hold. */
static struct rte_mbuf *sent_alloc(const struct moat_tenant *t)
{
	struct rte_mbuf *m = NULL;

	for (unsigned int i = 0; i < t->nr_pools && m == NULL; i++)
		m = rte_pktmbuf_alloc(t->pools[i]->sent);
	return m;
}

/* Make an mbuf for one segment, and map the buffer for the device to read. NULL: as
 * tenant_sent_make() */
static struct rte_mbuf *segment_make(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *segment)
{
	struct tenant_run buffer;
	struct tenant_sent *sent;
	struct rte_mbuf *m;

	if (!tenant_buffer_find(t, segment, &buffer))
		return NULL;
	m = sent_alloc(t);
	if (m == NULL)
		return NULL;
	if (tenant_buffer_share(t, lc, &buffer) != 0) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	sent = sent_of(m);
	sent->tenant = t;
	sent->segment = segment;
	sent->buffer = buffer;
	sent->shinfo.free_cb = sent_back;
	sent->shinfo.fcb_opaque = sent;
	rte_mbuf_ext_refcnt_set(&sent->shinfo, 1);
	rte_pktmbuf_attach_extbuf(m, segment->buf_addr, rte_mbuf_iova_get(segment),
		segment->buf_len, &sent->shinfo);
	tenant_copy_about(m, segment);
	m->data_off = segment->data_off;
	m->data_len = segment->data_len;
	return m;
}

struct rte_mbuf *tenant_sent_make(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkt)
{
	struct rte_mbuf *first = NULL, **last = &first, *m = pkt;

	do {
		*last = segment_make(t, lc, m);
		if (*last == NULL) {
			tenant_sent_undo(t, lc, first);
			return NULL;
		}
		last = &(*last)->next;
		m = m->next;
	} while (m != NULL);
	first->nb_segs = pkt->nb_segs;
	first->pkt_len = pkt->pkt_len;
	return first;
}

void tenant_sent_undo(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *sent)
{
	for (struct rte_mbuf *m = sent, *next; m != NULL; m = next) {
		next = m->next;
		tenant_buffer_unshare(t, lc, &sent_of(m)->buffer);
		sent_of(m)->segment = NULL;
		rte_pktmbuf_free_seg(m);
	}
}
