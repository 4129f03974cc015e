/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_SEND_H
#define MOAT_TENANT_SEND_H

/*
 * What happens to packets between rte_eth_tx_burst() and the driver, in every mode.
 *
 * A packet whose memory is the tenant's is mapped (copied in mode copy, always mapped in static)
 * and given to the driver. A packet with a segment in other memory is copied in mode copy and with
 * copy_foreign, and else dropped: freed, counted, logged once, and reported to the caller as sent,
 * so that it is never retried.
 *
 * How many packets the driver takes is known only when the driver returns, and a Tx callback runs
 * before that. So the callback only notes the queue. In the port's entry of rte_eth_fp_ops, which
 * rte_eth_tx_burst() calls next, moat has put its own function in place of the driver's. This
 * function maps the packets, calls the driver, and unmaps packets that the driver did not take. The
 * caller's array is never written: pkts[sent] and what follows are the caller's own mbufs,
 * unchanged, and no device reaches their buffers once the ticket is done. DPDK rewrites the entry
 * when a port is started or stopped; the callback detects that and replaces the function again.
 */

#include "tenant_impl.h"

/* The Tx callback of every queue. */
uint16_t tenant_tx_offer(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	void *arg);

#endif /* MOAT_TENANT_SEND_H */
