/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_RECEIVE_H
#define MOAT_TENANT_RECEIVE_H

/* What the Rx callbacks of all modes do with a burst. */

#include "buffer.h"
#include "mode.h"

/* Count a burst that the PMD has received and, with `verify`, drop packets that the device had no
 * right to write. @return number of packets left */
uint16_t tenant_receive(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n);

/* Unmap the burst's buffers, and set their state to `to`: APP (the caller keeps the burst's
 * ticket), or EARLY.
 * @return 0, or a negative errno: some are still mapped */
int tenant_receive_unmap(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n, enum tenant_state to);

/* Free a burst that cannot be handed on, because its unmap failed or was not done in time. Each
 * buffer is quarantined until its ticket is done. Counts the packets as lost, and logs why, once:
 * moat_error_text() must be that of the unmap or the wait. */
void tenant_receive_give_up(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *pkts[],
	uint16_t n);

#endif /* MOAT_TENANT_RECEIVE_H */
