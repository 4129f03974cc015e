/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* What an application does with packets: clone, attach, chain, count references, trim, extend,
 * linearize, copy. */

#include <string.h>

#include "stress.h"

#define FRAME_MOST 1500u /* of packets made longer or chained: most ports can send them */

void op_check(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m = t == NULL ? NULL : pocket_see(a, t);

	if (m == NULL)
		return;
	packet_check(a, m, "a packet in a pocket");
	canary_check(a, m, "a packet in a pocket");
}

void op_clone(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m = t == NULL ? NULL : pocket_see(a, t), *clone;

	if (m == NULL)
		return;
	clone = rte_pktmbuf_clone(m, a->world->clones);
	if (clone == NULL)
		return;
	packet_check(a, clone, "a clone");
	pocket_put(a, t, clone);
}

/* Attach a header to a packet's buffer by hand, and detach it again or keep it. */
void op_attach(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m = t == NULL ? NULL : pocket_see(a, t), *header;

	if (m == NULL || m->nb_segs != 1)
		return;
	header = rte_pktmbuf_alloc(a->world->clones);
	if (header == NULL)
		return;
	rte_pktmbuf_attach(header, m);
	packet_check(a, header, "a header that was attached");
	if (dice_one_in(&a->dice, 2)) {
		pocket_put(a, t, header);
		return;
	}
	rte_pktmbuf_detach(header);
	rte_pktmbuf_free(header);
}

/* Append the second packet to the first. */
void op_chain(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *first, *second;
	uint32_t len;

	if (t == NULL || a->in[t->index].n < 2)
		return;
	first = pocket_take(a, t);
	second = pocket_take(a, t);
	len = first->pkt_len;
	if (packet_writable(first) && packet_writable(second) && first != second &&
		first->nb_segs + second->nb_segs <= 8 && len + second->pkt_len <= FRAME_MOST &&
		rte_pktmbuf_chain(first, second) == 0)
		packet_rewrite(first, len);
	else
		pocket_put(a, t, second);
	pocket_put(a, t, first);
}

/* Add a second owner: this actor, or another one through the ring. */
void op_refcnt(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m = t == NULL ? NULL : pocket_see(a, t);

	if (m == NULL || rte_mbuf_refcnt_read(m) > 8)
		return;
	rte_pktmbuf_refcnt_update(m, 1);
	if (dice_one_in(&a->dice, 2) && rte_ring_enqueue(t->ring, m) == 0)
		return;
	pocket_put(a, t, m);
}

/* @return a random packet of the pocket if this actor may write it, else NULL */
static struct rte_mbuf *writable_see(struct actor *a, struct tenant *t)
{
	struct rte_mbuf *m = t == NULL ? NULL : pocket_see(a, t);

	return m != NULL && packet_writable(m) ? m : NULL;
}

void op_adj_prepend(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m = writable_see(a, t);
	uint64_t number;
	uint16_t n;

	if (m == NULL)
		return;
	number = packet_number(m);
	n = 1 + dice_below(&a->dice, PACKET_HEADER);
	if (rte_pktmbuf_adj(m, n) == NULL || rte_pktmbuf_prepend(m, n) == NULL) {
		fault(a, "%u bytes do not come off packet %lu, or not back", n, number);
		return;
	}
	memset(rte_pktmbuf_mtod(m, void *), 0, n);
	packet_stamp(m, number, PACKET_HEADER);
}

/* @return how many bytes can be appended without overwriting the canary */
static uint32_t room_behind(struct rte_mbuf *m)
{
	uint32_t room = rte_pktmbuf_tailroom(rte_pktmbuf_lastseg(m));

	return room > PACKET_TAIL ? room - PACKET_TAIL : 0;
}

void op_append_trim(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m = writable_see(a, t);
	uint32_t len, n;

	if (m == NULL)
		return;
	len = m->pkt_len;
	n = 1 + dice_below(&a->dice, 200);
	if (dice_one_in(&a->dice, 2)) {
		if (len + n <= FRAME_MOST && n <= room_behind(m) &&
			rte_pktmbuf_append(m, n) != NULL)
			packet_rewrite(m, len);
	} else if (n < rte_pktmbuf_lastseg(m)->data_len && len - n >= PACKET_MIN &&
		(m->nb_segs > 1 || m->data_len - n >= PACKET_HEADER) &&
		rte_pktmbuf_trim(m, n) == 0) {
		packet_rewrite(m, m->pkt_len);
	}
}

void op_linearize(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m = writable_see(a, t);

	if (m == NULL || m->pkt_len - m->data_len + PACKET_TAIL > rte_pktmbuf_tailroom(m))
		return;
	if (rte_pktmbuf_linearize(m) != 0)
		fault(a, "packet %lu is not linearized", packet_number(m));
	packet_check(a, m, "a packet that was linearized");
}

static void copy_into(struct actor *a, struct tenant *t, struct rte_mempool *pool)
{
	struct rte_mbuf *m = t == NULL ? NULL : pocket_see(a, t), *copy;

	if (m == NULL)
		return;
	copy = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);
	if (copy == NULL)
		return;
	/* DPDK clears the flag, even if the buffer always stays external. */
	if (rte_pktmbuf_priv_flags(pool) & RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF)
		copy->ol_flags |= RTE_MBUF_F_EXTERNAL;
	canary_forget(copy);
	packet_check(a, copy, "a copy");
	pocket_put(a, t, copy);
}

void op_copy(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);

	if (t != NULL)
		copy_into(a, t, t->pool);
}

/* Copy a packet into DPDK's own memory, which no device of the tenant reaches. */
void op_copy_out(struct actor *a)
{
	copy_into(a, actor_tenant(a, false), a->world->plain);
}

/* The application may use the private area that a pool advertises. */
void op_private_area(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct rte_mbuf *m = writable_see(a, t);

	if (m != NULL)
		memset(rte_mbuf_to_priv(m), 0, rte_pktmbuf_priv_size(m->pool));
}

void packet_free(struct actor *a, struct rte_mbuf *m)
{
	canary_check(a, m, "a packet that is freed");
	rte_pktmbuf_free(m);
}
