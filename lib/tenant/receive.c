/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See receive.h. */

#include <inttypes.h>

#include "receive.h"

/* ------------------------------------------------------------------------------------ verify */

/* Does the segment's data lie in its buffer, and could the device write all of it? `first_page`:
 * check the first page, too. */
static bool segment_verify(struct tenant_lcore *lc, const struct rte_mbuf *m, bool first_page)
{
	uint32_t len = RTE_MAX(m->data_len, 1u);
	uint64_t iova = rte_mbuf_data_iova(m), at = 0;
	const char *va = rte_pktmbuf_mtod(m, const char *);

	if (unlikely((uint32_t)m->data_off + m->data_len > m->buf_len))
		return false;
	if (likely(!first_page)) /* burst_verify() has checked it */
		at = MOAT_PAGE_SIZE - (iova & MOAT_PAGE_MASK);
	while (unlikely(at < len)) {
		uint64_t to_end = MOAT_PAGE_SIZE - ((iova + at) & MOAT_PAGE_MASK);

		if (moat_iotlb_translate(&lc->lane->iotlb, iova + at, 1, MOAT_W) != va + at)
			return false;
		at += to_end;
	}
	return true;
}

/* Verify the segments behind the first, and that all lengths add up to the packet's. */
static bool chain_verify(struct tenant_lcore *lc, const struct rte_mbuf *pkt)
{
	uint64_t sum = pkt->data_len;
	const struct rte_mbuf *m = pkt;

	for (unsigned int k = pkt->nb_segs; k > 1; k--) {
		m = m->next;
		if (m == NULL || !segment_verify(lc, m, true))
			return false;
		sum += m->data_len;
	}
	return sum == pkt->pkt_len;
}

/* Log the first packet that is dropped. */
static __rte_noinline void verify_say(struct moat_tenant *t, const struct rte_mbuf *m)
{
	if (__atomic_exchange_n(&t->said_verify, true, __ATOMIC_RELAXED))
		return;
	TENANT_LOG(WARNING,
		"tenant '%s': a packet received from port %u is dropped (counted as 'verify_failed'): the "
		"device had no right to write at IOVA 0x%" PRIx64 "%s",
		t->name, m->port, rte_mbuf_data_iova(m),
		tenant_owns(t, m->buf_addr)
			? ""
			: ", which is not in a pool of the tenant; an Rx callback of the program that runs "
			  "before moat's (rte_eth_add_first_rx_callback()) must not replace packets");
}

/* Drop packets of which the device could not write all of the data. @return number of packets left
 */
static uint16_t burst_verify(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkts[], uint16_t n)
{
	uint16_t kept = 0;

	for (uint16_t at = 0; at < n; at += 64) {
		uint16_t burst = RTE_MIN(n - at, 64);
		uint64_t iova[64];
		void *va[64];
		uint64_t ok;

		for (uint16_t i = 0; i < burst; i++)
			iova[i] = rte_mbuf_data_iova(pkts[at + i]);
		ok = moat_iotlb_translate_bulk(&lc->lane->iotlb, iova, 1, burst, MOAT_W, va);
		for (uint16_t i = 0; i < burst; i++) {
			struct rte_mbuf *m = pkts[at + i];
			bool right = (ok >> i & 1) && va[i] == rte_pktmbuf_mtod(m, void *);

			if (likely(right))
				right = segment_verify(lc, m, false) &&
					(likely(m->nb_segs == 1 && m->pkt_len == m->data_len) ||
						chain_verify(lc, m));
			if (likely(right)) {
				pkts[kept++] = m;
			} else {
				moat_counter_add(&lc->verify_failed, 1);
				verify_say(t, m);
				rte_pktmbuf_free(m);
			}
		}
	}
	return kept;
}

uint16_t tenant_receive(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n)
{
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
	moat_cost_burst(lc->watch, &lc->cost, n);
	if (t->conf.verify) {
		n = burst_verify(t, lc, pkts, n);
		moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_TRANSLATE);
	}
	return n;
}

/* -------------------------------------------------------------------------------------- unmap */

/* Add a buffer to the run to unmap. Skips one that is not the tenant's. */
static inline int buffer_join(struct moat_tenant *t, struct tenant_lcore *lc,
	struct tenant_run *run, struct rte_mbuf *m, enum tenant_state to)
{
	if (unlikely(!tenant_owns(t, m->buf_addr)))
		return 0;
	tenant_pin(m);
	return tenant_run_unmap_join(t, lc, run, m, to);
}

int tenant_receive_unmap(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n, enum tenant_state to)
{
	struct tenant_run run = { .max = TENANT_RUN_PAGES };
	int rc = 0;

	for (uint16_t i = 0; i < n && rc == 0; i++) {
		struct rte_mbuf *m = pkts[i];

		if (likely(run.n != 0)) {
			i += tenant_run_join(t, &run, &pkts[i], n - i);
			if (likely(i == n))
				break;
			m = pkts[i];
		}
		rc = buffer_join(t, lc, &run, m, to);
		/* `next` lies in the mbuf's second cache line: read it only if there is one. */
		for (unsigned int k = m->nb_segs; unlikely(k > 1) && rc == 0; k--)
			rc = buffer_join(t, lc, &run, m = m->next, to);
	}
	return rc == 0 ? tenant_run_unmap(t, lc, &run, to) : rc;
}

/* Log the first loss. The thread's error text says what was waited for. */
static void lost_say(struct moat_tenant *t, uint16_t n)
{
	if (__atomic_exchange_n(&t->said_lost, true, __ATOMIC_RELAXED))
		return;
	TENANT_LOG(WARNING,
		"tenant '%s': %u received packets are dropped (counted as 'lost'), because the unmap of "
		"their buffers is not done: %s. Check whether the unit answers, and whether each lcore "
		"that has entered polls and has a processor of its own (doc/measuring.md)",
		t->name, n, moat_error_text());
}

void tenant_receive_give_up(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n)
{
	lost_say(t, n);
	moat_counter_add(&lc->lost, n);
	tenant_burst_ticket(t, pkts, n, tenant_ticket(lc, tenant_gathering(lc->lane)));
	rte_pktmbuf_free_bulk(pkts, n);
}
