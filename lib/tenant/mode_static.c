/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Mode static: all of the tenant's buffers are mapped for good. */

#include "receive.h"
#include "ticket.h"

static uint16_t static_rx(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc;

	if (n == 0 || unlikely(t == NULL) || (lc = tenant_lcore_use(t)) == NULL)
		return n;
	n = tenant_receive(t, lc, pkts, n);
	tenant_lcore_unuse(t, lc);
	return n;
}

const struct tenant_mode tenant_mode_static = {
	.name = "static",
	.rx_prot = MOAT_RW,
	.tx_prot = MOAT_RW,
	.rx = static_rx,
	.flush = tenant_mode_flush,
};
