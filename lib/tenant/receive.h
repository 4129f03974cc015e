/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_RECEIVE_H
#define MOAT_TENANT_RECEIVE_H

/* What the Rx callbacks of all modes do with a burst. */

#include "buffer.h"
#include "mode.h"

/* A burst has come from the PMD: count it and, with `verify`, drop packets that the device had no
 * right to write. @return packets left */
uint16_t tenant_receive(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n);

/* Take the burst's buffers away from the device: to APP, where the burst carries the ticket, or to
 * EARLY.
 * @return 0 or a negative errno: some are still mapped */
int tenant_receive_unmap(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n, enum tenant_state to);

/* The unit does not answer, and the burst cannot be handed on: free it. Each buffer is in the
 * quarantine until its ticket is done. Counts the packets as lost, and says once why: the thread's
 * error is the unmap's or the wait's. */
void tenant_receive_give_up(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n);

#endif /* MOAT_TENANT_RECEIVE_H */
