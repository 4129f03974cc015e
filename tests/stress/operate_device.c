/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Devices and units that misbehave. */

#include "stress.h"
#include "moat_net.h"

#define JUNK UINT64_C(0x6a756e6b6a756e6b)

/* @return the IOVA of a buffer that was once received, or a random one */
static uint64_t iova_guess(struct actor *a, struct tenant *t)
{
	uint64_t iova = atomic_load_explicit(
		&t->remembered[dice_below(&a->dice, RTE_DIM(t->remembered))], memory_order_relaxed);

	if (iova == 0 || dice_one_in(&a->dice, 16))
		return dice_draw(&a->dice) % (UINT64_C(1) << 38) & ~MOAT_PAGE_MASK;
	return iova & ~MOAT_PAGE_MASK;
}

/*
 * A device of the tenant tries a page that it once had. The oracle decides whether it may have the
 * page now. The device writes only outside of packets, because while it may write a buffer, it may
 * change the packet in it. In mode deferred there is a time in which it may still reach the page,
 * so it does not try.
 */
void op_rogue(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	uint64_t iova, word = JUNK;

	if (t == NULL || t->mode == MOAT_DEFERRED)
		return;
	iova = iova_guess(a, t);
	if (dice_one_in(&a->dice, 2) || t->jumbo)
		moat_softvtd_dma_read(t->unit->hw, t->rogue, iova, &word, sizeof(word));
	else
		moat_softvtd_dma_write(t->unit->hw, t->rogue, iova + MOAT_PAGE_SIZE - PACKET_TAIL,
			&word, sizeof(word));
	atomic_fetch_add_explicit(&t->tried, 1, memory_order_relaxed);
}

/* Inject an error at some place of the queue. */
void op_unit_error(struct actor *a)
{
	struct unit *u = &a->world->unit[dice_below(&a->dice, UNITS)];

	enum moat_softvtd_inject what = dice_one_in(&a->dice, 2) ? MOAT_SOFTVTD_IQE
		: dice_one_in(&a->dice, 2)                       ? MOAT_SOFTVTD_ITE
								 : MOAT_SOFTVTD_ICE;

	moat_softvtd_inject(u->hw, what, dice_below(&a->dice, 512));
}

/* A compromised tenant writes an address without memory into its own ring. */
void op_nic_lies(struct actor *a)
{
	struct port *p = &a->world->port[dice_below(&a->dice, PORTS)];
	unsigned int q = dice_below(&a->dice, QUEUES);
	uint64_t nowhere = UINT64_C(1) << 37;
	bool tx = dice_one_in(&a->dice, 2);

	if (!queue_enter(p, q, NULL, tx))
		return;
	if ((tx ? moat_net_post_tx(p->id, q, nowhere, 64) : moat_net_post_rx(p->id, q, nowhere)) ==
		0)
		__atomic_fetch_add(&p->lies, 1, __ATOMIC_RELAXED); /* only a count */
	queue_leave(p, q, tx);
}
