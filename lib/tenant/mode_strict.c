/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Mode strict: a burst is unmapped, and handed on when its ticket is done. The lcore waits. */

#include "moat_policy.h"
#include "receive.h"

static int strict_wait(struct tenant_lcore *lc)
{
	int rc;

	moat_lane_flush(lc->lane);
	moat_lane_send(lc->lane);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_SUBMIT);
	moat_counter_add(&lc->waits, 1);
	rc = moat_strict_wait(lc->lane);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_WAIT);
	return rc;
}

static uint16_t strict_rx(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc;
	int rc;

	if (n == 0 || unlikely(t == NULL)) /* NULL: the port is gone */
		return n;
	lc = tenant_lcore_use(t);
	n = tenant_receive(t, lc, pkts, n);
	rc = tenant_receive_unmap(t, lc, pkts, n, TENANT_APP);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_UNMAP);
	if (rc == 0)
		rc = strict_wait(lc);
	if (unlikely(rc != 0)) {
		tenant_receive_give_up(t, lc, pkts, n);
		n = 0;
	}
	tenant_lcore_unuse(t, lc);
	return n;
}

const struct tenant_mode tenant_mode_strict = {
	.name = "strict",
	.protects = true,
	.rx_prot = MOAT_W,
	.tx_prot = MOAT_R,
	.rx = strict_rx,
	.flush = tenant_mode_flush,
	.flush_put = tenant_mode_flush,
};
