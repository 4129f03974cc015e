/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The data path of ports: receive and check packets; send new, shared, cloned and foreign ones. */

#include <string.h>

#include "stress.h"

#define BURST 64u

/* ---------------------------------------------------------------------------------- receiving */

/* Check that a frame comes from its sender's wire, complete and once, and that no other actor has
 * the buffer. */
static void packet_arrives(struct actor *a, struct tenant *t, struct port *p, struct rte_mbuf *m)
{
	uint64_t number = packet_check(a, m, "a received packet"), slot;

	if (number == 0)
		return;
	if (!ledger_receive(number, p->index ^ 1))
		fault(a,
			"tenant %s: packet %lu comes out of %s, where it was not sent, or a second time",
			t->name, number, p->name);
	if (m->port != p->id || !packet_writable(m))
		fault(a, "tenant %s: a received packet is of port %u, not %u, or it is shared",
			t->name, m->port, p->id);
	canary_forget(m);
	if (t->mode == MOAT_STRICT || t->mode == MOAT_PIPELINED)
		canary_put(m);
	slot = dice_below(&a->dice, RTE_DIM(t->remembered));
	atomic_store_explicit(&t->remembered[slot], m->buf_iova, memory_order_relaxed);
	pocket_put(a, t, m);
}

void burst_arrives(struct actor *a, struct tenant *t, struct port *p, struct rte_mbuf *m[],
	uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		packet_arrives(a, t, p, m[i]);
	atomic_fetch_add_explicit(&p->received, n, memory_order_relaxed);
}

void op_rx(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);
	struct rte_mbuf *m[BURST];
	struct port *p;
	unsigned int q;

	if (t == NULL)
		return;
	p = port_of(a, t, &q);
	if (!queue_enter(p, q, t, false))
		return;
	if (dice_one_in(&a->dice, 32))
		inject(dice_one_in(&a->dice, 2) ? INJECT_SUBMIT : INJECT_MAP,
			dice_below(&a->dice, 3), 1 + dice_below(&a->dice, 3));
	burst_arrives(a, t, p, m, rte_eth_rx_burst(p->id, q, m, 1 + dice_below(&a->dice, BURST)));
	inject_end();
	queue_leave(p, q, false);
}

/* Take what mode pipelined still holds, as an lcore does before it stops polling the queue. */
void op_held(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);
	struct rte_mbuf *m[BURST];
	struct port *p;
	unsigned int q;

	if (t == NULL)
		return;
	p = port_of(a, t, &q);
	if (!queue_enter(p, q, t, false))
		return;
	burst_arrives(a, t, p, m, moat_tenant_held(t->tenant, p->id, q, m, BURST));
	queue_leave(p, q, false);
}

/* ------------------------------------------------------------------------------------- sending */

static bool frame_fits(const struct port *p, const struct rte_mbuf *m)
{
	return m->pkt_len <= p->mtu + (uint32_t)RTE_ETHER_HDR_LEN && m->nb_segs <= 16;
}

/* Send a packet that was entered in the ledger. If the queue does not take it, keep or free it. */
static void burst_sends(struct actor *a, struct tenant *t, struct port *p, unsigned int q,
	struct rte_mbuf *m[], uint16_t n)
{
	uint16_t k = 0, sent;

	for (uint16_t i = 0; i < n; i++)
		if (frame_fits(p, m[i]) && ledger_send(packet_number(m[i]), p->index))
			m[k++] = m[i];
		else
			packet_free(a, m[i]);
	if (dice_one_in(&a->dice, 32))
		inject(dice_one_in(&a->dice, 2) ? INJECT_SUBMIT : INJECT_MAP,
			dice_below(&a->dice, 4), 1 + dice_below(&a->dice, 3));
	sent = rte_eth_tx_burst(p->id, q, m, k);
	inject_end();
	atomic_fetch_add_explicit(&p->sent, sent, memory_order_relaxed);
	for (uint16_t i = sent; i < k; i++) {
		ledger_unsend(packet_number(m[i]), p->index);
		if (dice_one_in(&a->dice, 2))
			pocket_put(a, t, m[i]);
		else
			packet_free(a, m[i]);
	}
}

static uint16_t pocket_burst(struct actor *a, struct tenant *t, struct rte_mbuf *m[])
{
	uint16_t most = 1 + dice_below(&a->dice, BURST), n = 0;

	while (n < most && (m[n] = pocket_take(a, t)) != NULL) {
		canary_check(a, m[n], "a packet that is sent");
		n++;
	}
	return n;
}

static void send_burst(struct actor *a, struct tenant *t, struct tenant *by, struct rte_mbuf *m[],
	uint16_t n)
{
	unsigned int q;
	struct port *p = port_of(a, by, &q);

	if (!queue_enter(p, q, by, true)) {
		for (uint16_t i = 0; i < n; i++)
			pocket_put(a, t, m[i]);
		return;
	}
	burst_sends(a, t, p, q, m, n);
	queue_leave(p, q, true);
}

void op_tx(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);
	struct rte_mbuf *m[BURST];

	if (t != NULL)
		send_burst(a, t, t, m, pocket_burst(a, t, m));
}

/* Send a tenant's packets on another tenant's queue: they arrive complete, or not at all. */
void op_tx_foreign(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false), *by = actor_tenant(a, true);
	struct rte_mbuf *m[BURST];

	if (t != NULL && by != NULL)
		send_burst(a, t, by, m, pocket_burst(a, t, m));
}

/* Send references to one packet on both queues of the tenant. */
void op_tx_multicast(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);
	struct rte_mbuf *m = t == NULL ? NULL : pocket_take(a, t);

	if (m == NULL)
		return;
	rte_pktmbuf_refcnt_update(m, 2);
	for (unsigned int i = 0; i < 2; i++) {
		struct rte_mbuf *one = m;

		send_burst(a, t, t, &one, 1);
	}
	pocket_put(a, t, m);
}

/* Send as DPDK's multicast example does: a new header in front of a clone of the rest. */
static struct rte_mbuf *with_own_header(struct actor *a, struct tenant *t, struct rte_mbuf *m)
{
	struct rte_mbuf *header, *rest;

	if (m->data_len <= PACKET_HEADER || m->nb_segs > 8)
		return NULL;
	header = rte_pktmbuf_alloc(t->pool);
	if (header == NULL)
		return NULL;
	canary_forget(header);
	rest = rte_pktmbuf_clone(m, a->world->clones);
	if (rest == NULL) {
		rte_pktmbuf_free(header);
		return NULL;
	}
	rte_pktmbuf_append(header, PACKET_HEADER);
	packet_copy_header(header, m);
	rte_pktmbuf_adj(rest, PACKET_HEADER);
	if (rte_pktmbuf_chain(header, rest) != 0) {
		fault(a, "a header and a clone of %u segments do not chain", m->nb_segs);
		return NULL;
	}
	return header;
}

void op_tx_clones(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);
	struct rte_mbuf *m = t == NULL ? NULL : pocket_take(a, t), *out[8];
	uint16_t most = 1 + dice_below(&a->dice, RTE_DIM(out)), n = 0;

	if (m == NULL)
		return;
	while (n < most && (out[n] = with_own_header(a, t, m)) != NULL)
		n++;
	send_burst(a, t, t, out, n);
	pocket_put(a, t, m);
}

/* ------------------------------------------------------------------------------------- the rest */

void op_tx_cleanup(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);
	struct port *p;
	unsigned int q;

	if (t == NULL)
		return;
	p = port_of(a, t, &q);
	if (!queue_enter(p, q, t, true))
		return;
	if (rte_eth_tx_done_cleanup(p->id, q, dice_below(&a->dice, 32)) < 0)
		fault(a, "%s: queue %u does not clean up", p->name, q);
	queue_leave(p, q, true);
}

void op_queue_look(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);
	struct rte_eth_stats stats;
	struct port *p;
	unsigned int q;
	bool tx = dice_one_in(&a->dice, 2);

	if (t == NULL)
		return;
	p = port_of(a, t, &q);
	if (!queue_enter(p, q, t, tx))
		return;
	if (tx)
		rte_eth_tx_descriptor_status(p->id, q, dice_below(&a->dice, 64));
	else if (dice_one_in(&a->dice, 2))
		rte_eth_rx_queue_count(p->id, q);
	else
		rte_eth_rx_descriptor_status(p->id, q, dice_below(&a->dice, 64));
	rte_eth_stats_get(p->id, &stats);
	queue_leave(p, q, tx);
}
