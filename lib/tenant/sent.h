/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_SENT_H
#define MOAT_TENANT_SENT_H

/*
 * When the driver frees a packet whose buffers have other references (clones, refcnt above 1), DPDK
 * only decrements the count, and moat is not called. So for each segment of such a packet the
 * driver gets an mbuf of moat's own, over the same bytes, for which DPDK calls moat when the driver
 * frees it. moat keeps the reference that was sent until then.
 */

#include "buffer.h"

/* The private area of such an mbuf. */
struct tenant_sent {
	struct rte_mbuf_ext_shared_info shinfo;
	struct moat_tenant *tenant;
	struct rte_mbuf *segment; /* the reference that was sent; NULL: none is kept */
	struct tenant_run buffer;
};

/* Map all segments of `pkt` for the device to read, and make the chain to give to the driver. All
 * or nothing.
 * @return NULL: no free mbuf, or a segment could not be mapped */
struct rte_mbuf *tenant_sent_make(struct moat_tenant *t, struct tenant_lcore *lc,
	struct rte_mbuf *pkt);
/* Undo tenant_sent_make(), for a chain that the driver did not accept. */
void tenant_sent_undo(struct moat_tenant *t, struct tenant_lcore *lc, struct rte_mbuf *sent);

#endif /* MOAT_TENANT_SENT_H */
