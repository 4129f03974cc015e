/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The Rx and Tx callbacks: a packet's pages leave the device before the application sees it, and
 * go to the device, to be read only, before the PMD does. */

#include <errno.h>

#include <rte_ethdev.h>
#include <rte_pause.h>

#include "moat_mutant.h"
#include "tenant_impl.h"

static inline bool ours(const struct moat_tenant *t, const void *va)
{
	return (uint64_t)((const uint8_t *)va - t->va) < t->len;
}

static inline uint8_t *page_prot(const struct moat_tenant *t, const void *va)
{
	return &t->page_prot[((const uint8_t *)va - t->va) >> MOAT_PAGE_SHIFT];
}

/* buf_len is the stride but for buffers of 64 KiB, whose length is one short of what fits. */
static inline uint64_t buffer_len(const struct rte_mbuf *m)
{
	return RTE_ALIGN_CEIL((uint64_t)m->buf_len, MOAT_PAGE_SIZE);
}

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
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);

	moat_cost_mark(watch, &lc->cost, MOAT_STAGE_APPLICATION);
	lc->cost.packets += n;
	lc->cost.bursts++;
	if (t->conf.verify) {
		n = verify(lc, pkts, n);
		moat_cost_mark(watch, &lc->cost, MOAT_STAGE_TRANSLATE);
	}
	return n;
}

/* --------------------------------------------------------------------------------- receiving */

/* Gather one buffer; neighbours melt into one run in the gather. */
static int unmap_segment(struct moat_tenant *t, struct moat_lane *lane, const struct rte_mbuf *m)
{
	uint64_t len = buffer_len(m);
	uint8_t *prot;
	int rc;

	if (unlikely(!ours(t, m->buf_addr)))
		return 0; /* never was the device's in this domain */
	prot = page_prot(t, m->buf_addr);
	if (*prot == 0)
		return 0;
	while (unlikely((rc = tenant_unmap(t, lane, m->buf_addr, len)) == -EAGAIN)) {
		rc = moat_lane_drain(lane);
		if (rc != 0)
			return rc;
	}
	for (uint64_t i = 0; rc == 0 && i < len >> MOAT_PAGE_SHIFT; i++)
		prot[i] = 0;
	return rc;
}

int tenant_unmap_burst(struct moat_tenant *t, struct moat_lane *lane, struct rte_mbuf *pkts[],
	uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		for (const struct rte_mbuf *m = pkts[i]; m != NULL; m = m->next) {
			int rc = unmap_segment(t, lane, m);

			if (unlikely(rc != 0))
				return rc;
		}
	}
	return 0;
}

/* Strict's rule: wait until the ticket of all that was gathered is done. */
static int wait_for_ticket(struct tenant_lcore *lc)
{
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);
	int rc;

	moat_lane_flush(lc->lane);
	moat_cost_mark(watch, &lc->cost, MOAT_STAGE_SUBMIT);
	lc->waits++;
	rc = moat_lane_drain(lc->lane);
	moat_cost_mark(watch, &lc->cost, MOAT_STAGE_WAIT);
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
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);
	struct tenant_lcore *lc;
	int rc;

	if (n == 0)
		return 0;
	lc = tenant_lcore(t);
	n = tenant_receive(t, lc, pkts, n);
	rc = tenant_unmap_burst(t, lc->lane, pkts, n);
	moat_cost_mark(watch, &lc->cost, MOAT_STAGE_UNMAP);
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

/* Let the device read a buffer. One that it could write (allocated, but never received into) is
 * taken away first: the ticket of that is the price of building packets in device memory. */
static int map_segment(struct moat_tenant *t, struct tenant_lcore *lc, const struct rte_mbuf *m)
{
	uint64_t len = buffer_len(m);
	uint8_t *prot;
	int rc;

	if (unlikely(!ours(t, m->buf_addr)))
		return -EPERM;
	prot = page_prot(t, m->buf_addr);
	if (*prot == tenant_tx_prot(t))
		return 0; /* another reference to it is being sent, or mode deferred */
	if (*prot != 0) {
		rc = unmap_segment(t, lc->lane, m);
		if (rc == 0)
			rc = wait_for_ticket(lc);
		if (rc != 0)
			return rc;
	}
	rc = tenant_map(t, lc->lane, m->buf_addr, len, tenant_tx_prot(t));
	for (uint64_t i = 0; rc == 0 && i < len >> MOAT_PAGE_SHIFT; i++)
		prot[i] = tenant_tx_prot(t);
	return rc;
}

/* A packet with a buffer of somebody else's memory, say: it cannot be sent from this domain. */
static bool map_packet(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *pkt)
{
	for (const struct rte_mbuf *m = pkt; m != NULL; m = m->next) {
		if (unlikely(map_segment(t, lc, m) != 0)) {
			lc->map_failed++;
			rte_pktmbuf_free(pkt);
			return false;
		}
	}
	return true;
}

static uint16_t tx_map(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n, void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc = tenant_lcore(t);
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);
	uint16_t kept = 0;

	moat_cost_mark(watch, &lc->cost, MOAT_STAGE_APPLICATION);
	for (uint16_t i = 0; i < n; i++)
		if (map_packet(t, lc, pkts[i]))
			pkts[kept++] = pkts[i];
	moat_cost_mark(watch, &lc->cost, MOAT_STAGE_MAP);
	return kept;
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
