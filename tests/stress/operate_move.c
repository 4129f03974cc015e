/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Queues of running ports move to the other tenant of their unit, while other actors poll the
 * port's other queue and both tenants' other ports. */

#include <errno.h>

#include "stress.h"
#include "moat_tenant_move.h"

#define BURST 32u

struct moving {
	struct actor *a;
	struct tenant *from;
	struct port *p;
};

static void last_arrive(struct rte_mbuf *m[], uint16_t n, void *arg)
{
	struct moving *on = arg;

	burst_arrives(on->a, on->from, on->p, m, n);
}

/* The unit refused half-way (op_unit_error()): the queue stays, but its requester may be cut off.
 * Meanwhile the device does nothing for this queue, which only this actor has. */
static void requester_renew(struct actor *a, struct tenant *t, moat_sid_t sid)
{
	int rc = -EIO;

	for (unsigned int i = 0; i < 16 && (rc == -EIO || rc == -EBUSY); i++)
		rc = moat_tenant_detach(t->tenant, sid);
	if (rc != 0 && rc != -ENOENT)
		fault(a, "tenant %s: detaching: %d: %s", t->name, rc, moat_error_text());
	must_at_last(a, moat_tenant_attach(t->tenant, sid));
}

static void queue_judge(struct actor *a, struct moving *on, struct tenant *to, unsigned int q,
	int rc)
{
	struct port *p = on->p;

	switch (rc) {
	case 0:
		atomic_store(&p->queue[q].tenant, to->index);
		break;
	case -ENOMEM:    /* no buffers left in the other tenant's pool, or injected */
	case -ETIMEDOUT: /* none in this tenant's pool, or the wire is not emptied */
		break;
	case -EIO:
	case -EBUSY:
		requester_renew(a, on->from, MOAT_SID(0, 16 + p->index, 0) + (moat_sid_t)q);
		break;
	default:
		fault(a, "%s: queue %u does not move from tenant %s to %s: %d: %s", p->name, q,
			on->from->name, to->name, rc, moat_error_text());
	}
}

/* This actor has both sides. The port remembers this lcore as the last one that polled each
 * side. */
static void queue_move(struct actor *a, struct tenant *from, struct tenant *to, struct port *p,
	unsigned int q)
{
	struct moving on = { a, from, p };
	struct moat_queue_move move = { .pool = to->pool, .deliver = last_arrive, .arg = &on };
	struct rte_mbuf *m[BURST];
	int rc;

	burst_arrives(a, from, p, m, rte_eth_rx_burst(p->id, q, m, BURST));
	rte_eth_tx_burst(p->id, q, m, 0);
	if (dice_one_in(&a->dice, 4))
		inject(dice_one_in(&a->dice, 2) ? INJECT_MEMORY : INJECT_MAP,
			dice_below(&a->dice, 12), 1);
	atomic_store(&a->control, true);
	rc = moat_tenant_queue_move(from->tenant, to->tenant, p->id, q, &move);
	atomic_store(&a->control, false);
	inject_end();
	queue_judge(a, &on, to, q, rc);
}

/* Only if queues have requesters of their own. A tenant whose frames are shorter than the port's
 * does not get the queue. */
void op_queue_move(struct actor *a)
{
	struct tenant *from = actor_tenant(a, true), *to;
	struct port *p;
	unsigned int q;

	if (from == NULL || !a->world->requester_per_queue)
		return;
	to = &a->world->tenant[from->index ^ 1];
	if (!actor_join(a, to) || !actor_enter(a, to))
		return;
	p = port_of(a, from, &q);
	if (!queue_enter(p, q, from, false))
		return;
	if (queue_enter(p, q, from, true)) {
		if (!p->jumbo || to->jumbo)
			queue_move(a, from, to, p, q);
		queue_leave(p, q, true);
	}
	queue_leave(p, q, false);
}
