/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Mode static: all of the tenant's buffers stay mapped until the tenant is destroyed. */

#include "receive.h"
#include "ticket.h"

/* Call tenant_pin() for each segment that is a buffer of the tenant's. */
static void burst_pin(const struct moat_tenant *t, struct rte_mbuf *const pkts[], uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		for (unsigned int k = m->nb_segs;; m = m->next) {
			if (likely(tenant_owns(t, m->buf_addr)))
				tenant_pin(m);
			if (likely(--k == 0))
				break;
		}
	}
}

static uint16_t static_rx(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	uint16_t max, void *arg)
{
	struct moat_tenant *t = ((struct tenant_queue *)arg)->tenant;
	struct tenant_lcore *lc;

	if (n == 0 || unlikely(t == NULL))
		return n;
	if (t->conf.verify) {
		lc = tenant_lcore_use(t);
		n = tenant_receive(t, lc, pkts, n);
		tenant_lcore_unuse(t, lc);
	}
	burst_pin(t, pkts, n);
	return n;
}

const struct tenant_mode tenant_mode_static = {
	.name = "static",
	.rx_prot = MOAT_RW,
	.tx_prot = MOAT_RW,
	.rx = static_rx,
	.flush = tenant_mode_flush,
	.flush_put = tenant_mode_flush,
};
