/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The Rx and Tx callbacks: a packet's pages leave the device before the application sees it, and
 * go to the device, to be read only, before the PMD does. */

#include <errno.h>

#include <rte_ethdev.h>
#include <rte_pause.h>

#include "moat_mutant.h"
#include "run.h"

/* ------------------------------------------------------------------------------------ verify */

/* Could the device write where this burst's packets lie? Drops those where it could not. */
static uint16_t verify(struct tenant_lcore *lc, struct rte_mbuf *pkts[], uint16_t n)
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

			if (likely((ok >> i & 1) && va[i] == rte_pktmbuf_mtod(m, void *))) {
				pkts[kept++] = m;
			} else {
				lc->verify_failed++;
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
		n = verify(lc, pkts, n);
		moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_TRANSLATE);
	}
	return n;
}

/* --------------------------------------------------------------------------------- receiving */

/* A buffer joins the run, or the run is done with and a new one begins. */
static inline int unmap_buffer(struct moat_tenant *t, struct tenant_lcore *lc,
	struct tenant_run *run, const struct rte_mbuf *m)
{
	uint64_t len = tenant_buffer_len(m);
	int rc;

	if (likely(tenant_run_grow(run, m->buf_addr, len)))
		return 0;
	if (unlikely(!tenant_owns(t, m->buf_addr)))
		return 0;
	rc = tenant_run_unmap(t, lc, run);
	*run = (struct tenant_run){ m->buf_addr, len };
	return rc;
}

int tenant_unmap_burst(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n)
{
	struct tenant_run run = { t->va, 0 };
	int rc = 0;

	for (uint16_t i = 0; i < n && rc == 0; i++) {
		const struct rte_mbuf *m = pkts[i];

		rc = unmap_buffer(t, lc, &run, m);
		/* A packet's `next` lies in its header's second line: looked at only if need be. */
		for (unsigned int k = m->nb_segs; unlikely(k > 1) && rc == 0; k--)
			rc = unmap_buffer(t, lc, &run, m = m->next);
	}
	return rc == 0 ? tenant_run_unmap(t, lc, &run) : rc;
}

/* Strict's rule: wait until the ticket of all that was gathered is done. */
static int wait_for_ticket(struct tenant_lcore *lc)
{
	int rc;

	moat_lane_flush(lc->lane);
	moat_lane_send(lc->lane);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_SUBMIT);
	lc->waits++;
	rc = moat_lane_drain(lc->lane);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_WAIT);
	return rc;
}

static uint16_t rx_static(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;

	return n == 0 ? 0 : tenant_receive(t, tenant_lcore(t), pkts, n);
}

static uint16_t rx_strict(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc;
	int rc;

	if (n == 0)
		return 0;
	lc = tenant_lcore(t);
	n = tenant_receive(t, lc, pkts, n);
	rc = tenant_unmap_burst(t, lc, pkts, n);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
	if (MOAT_MUTANT(HAND_ON_EARLY))
		moat_lane_flush(lc->lane);
	else if (rc == 0)
		rc = wait_for_ticket(lc);
	if (unlikely(rc != 0)) {
		/* The unit does not answer: the device may still reach these pages. Nobody gets them. */
		lc->lost += n;
		return 0;
	}
	return n;
}

/* ------------------------------------------------------------------------------ transmitting */

/* Let the device read a packet's buffers. */
static int map_packet(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run,
	const struct rte_mbuf *m)
{
	bool whole = t->conf.unit->caps.cut == MOAT_CUT_MAPS;
	int rc = 0;

	for (unsigned int k = m->nb_segs;; m = m->next) {
		uint64_t len = tenant_buffer_len(m);

		if (unlikely(!tenant_owns(t, m->buf_addr)))
			return -EPERM; /* somebody else's memory: no device of this domain reaches it */
		/* Each buffer is a map of its own where an unmap takes back only whole ones. */
		if (unlikely(whole) || !tenant_run_grow(run, m->buf_addr, len)) {
			rc = tenant_run_map(t, lc, run, tenant_tx_prot(t));
			*run = (struct tenant_run){ m->buf_addr, len };
		}
		if (rc != 0 || --k == 0)
			return rc;
	}
}

/* After a run failed: is every buffer of the packet the device's to read? */
static bool is_mapped(const struct moat_tenant *t, const struct rte_mbuf *pkt)
{
	for (const struct rte_mbuf *m = pkt; m != NULL; m = m->next)
		if (!tenant_owns(t, m->buf_addr) ||
			*tenant_page_prot(t, m->buf_addr) != tenant_tx_prot(t))
			return false;
	return true;
}

/* What can be sent first, the rest behind it. rte_eth_tx_burst() then says that the rest was not sent,
 * and its caller frees it, as it does with what does not fit into a queue: freed here, it would be
 * freed twice. */
static uint16_t put_unmapped_last(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkts[], uint16_t n)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		if (is_mapped(t, m)) {
			pkts[i] = pkts[kept];
			pkts[kept++] = m;
		} else {
			lc->map_failed++;
		}
	}
	return kept;
}

static uint16_t tx_map(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc = tenant_lcore(t);
	struct tenant_run run = { t->va, 0 };
	bool failed = false;

	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_APPLICATION);
	for (uint16_t i = 0; i < n; i++)
		failed |= map_packet(t, lc, &run, pkts[i]) != 0;
	failed |= tenant_run_map(t, lc, &run, tenant_tx_prot(t)) != 0;
	if (unlikely(failed))
		n = put_unmapped_last(t, lc, pkts, n);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_MAP);
	return n;
}

/* --------------------------------------------------------------------------------- which one */

rte_rx_callback_fn tenant_rx_callback(const struct moat_tenant *t)
{
	switch (t->conf.mode) {
	case MOAT_STRICT:
		return rx_strict;
	case MOAT_PIPELINED:
		return tenant_rx_pipelined;
	case MOAT_DEFERRED:
		return tenant_rx_deferred;
	case MOAT_COPY:
		return tenant_rx_copy;
	default:
		return t->conf.verify ? rx_static : NULL;
	}
}

rte_tx_callback_fn tenant_tx_callback(const struct moat_tenant *t)
{
	if (t->conf.mode == MOAT_COPY)
		return tenant_tx_copy;
	return tenant_protects(t) ? tx_map : NULL;
}
