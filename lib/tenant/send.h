/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_SEND_H
#define MOAT_TENANT_SEND_H

/*
 * What happens to packets between rte_eth_tx_burst() and the driver, in every mode.
 *
 * A packet whose memory is the tenant's is mapped (or copied, or is mapped for good) and given to
 * the driver. A packet with a segment in other memory is copied where the tenant's configuration
 * says so, and else dropped: freed, counted, reported once, and sent as far as the caller can tell,
 * so that it is never retried.
 *
 * What the driver takes is known only when it returns, and a Tx callback runs before. So the
 * callback only notes the queue, and moat stands in the port's entry of rte_eth_fp_ops, which
 * rte_eth_tx_burst() calls next: it makes the packets ready, calls the driver, and puts right what
 * the driver did not take. The caller's array is never written: pkts[sent] and what follows are the
 * caller's own mbufs, with all that they had, and no device reaches their buffers when the ticket
 * is done. DPDK writes the entry anew when a port is started or stopped; the callback sees that and
 * puts moat there again.
 */

#include "tenant_impl.h"

/* The Tx callback of every queue. */
uint16_t tenant_tx_offer(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	void *arg);

#endif /* MOAT_TENANT_SEND_H */
