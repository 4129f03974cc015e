/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_SENT_H
#define MOAT_TENANT_SENT_H

/*
 * A packet whose buffers have other references (a clone, refcnt above 1) may come back from the
 * driver while the application still has it, and nothing in DPDK tells. So the driver is given an
 * mbuf of moat's own for each segment, over the same bytes, and DPDK calls back when the driver
 * frees that. The reference that was sent is kept until then.
 */

#include "buffer.h"

/* The private area of such an mbuf. */
struct tenant_sent {
	struct rte_mbuf_ext_shared_info shinfo;
	struct moat_tenant *tenant;
	struct rte_mbuf *segment; /* the reference that was sent; NULL: none is kept */
	struct tenant_run buffer;
};

/* Let the device read all segments of `pkt`, and make the chain to give to the driver. All or
 * nothing.
 * @return NULL: no mbuf, or a segment could not be mapped */
struct rte_mbuf *tenant_sent_make(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkt);
/* Undo tenant_sent_make(), for a chain that the driver did not accept. */
void tenant_sent_undo(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *sent);

#endif /* MOAT_TENANT_SENT_H */
