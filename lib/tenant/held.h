/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_HELD_H
#define MOAT_TENANT_HELD_H

/* The packets that mode pipelined holds back on a queue. */

#include "tenant_impl.h"

struct tenant_held *tenant_held_create(void);
/* @return number of packets held back; 0 for NULL. Any thread; read without synchronization. */
uint32_t tenant_held_count(const struct tenant_held *held);
/* Free `held` and its packets, whose buffers are quarantined until their tickets are done. No
 * thread may poll the queue. */
void tenant_held_destroy(struct moat_tenant *t, struct tenant_held *held);
/* See moat_tenant_held(). */
uint16_t tenant_held_get(struct tenant_queue *q, struct rte_mbuf *pkts[], uint16_t max);

#endif /* MOAT_TENANT_HELD_H */
