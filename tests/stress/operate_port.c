/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The control path of ports and tenants, while all other actors go on. */

#include <errno.h>

#include "stress.h"

/* Take a port for this actor alone. `offline`: the operation may take milliseconds. @return NULL:
 * another actor has it */
static struct port *port_take(struct actor *a, bool offline)
{
	struct port *p = &a->world->port[dice_below(&a->dice, PORTS)];

	if (!gate_close(a, &p->gate))
		return NULL;
	if (offline)
		actor_offline(a);
	return p;
}

static void port_give_back(struct actor *a, struct port *p)
{
	if (atomic_load(&a->sleeping))
		actor_online(a);
	gate_open(&p->gate);
}

void op_port_restart(struct actor *a)
{
	struct port *p = port_take(a, true);

	if (p == NULL)
		return;
	port_stop(a, p);
	port_start(a, p);
	port_give_back(a, p);
}

/* Set up queues of another size; in some cases remove the tenant's callbacks meanwhile. */
void op_port_resize(struct actor *a)
{
	struct port *p = port_take(a, true);
	int rc;

	if (p == NULL)
		return;
	port_stop(a, p);
	if (dice_one_in(&a->dice, 2))
		port_remove_queues(a, p);
	rc = port_set_up_queues(a, p);
	if (rc != 0)
		fault(a, "%s: setting its queues up with another size: %d: %s", p->name, rc,
			moat_error_text());
	port_add_queues(a, p);
	port_start(a, p);
	port_give_back(a, p);
}

void op_port_mtu(struct actor *a)
{
	struct port *p = port_take(a, true);
	uint16_t mtu;

	if (p == NULL)
		return;
	port_stop(a, p);
	mtu = (p->jumbo ? 8000 : 1000) + dice_below(&a->dice, p->jumbo ? 1000 : 500);
	must(a, rte_eth_dev_set_mtu(p->id, mtu));
	p->mtu = mtu;
	port_start(a, p);
	port_give_back(a, p);
}

void op_port_replug(struct actor *a)
{
	struct port *p = port_take(a, true);

	if (p == NULL)
		return;
	port_unplug(a, p);
	port_plug(a, p);
	port_give_back(a, p);
}

void op_queue_readd(struct actor *a)
{
	struct port *p = port_take(a, dice_one_in(&a->dice, 2));

	if (p == NULL)
		return;
	port_remove_queues(a, p);
	port_add_queues(a, p);
	port_give_back(a, p);
}

void op_promiscuous(struct actor *a)
{
	struct port *p = port_take(a, dice_one_in(&a->dice, 2));

	if (p == NULL)
		return;
	if (dice_one_in(&a->dice, 2))
		must(a, rte_eth_promiscuous_disable(p->id));
	must(a, rte_eth_promiscuous_enable(p->id));
	port_give_back(a, p);
}

/* -------------------------------------------------------------------------------------- rules */

static struct rte_flow *flow_make(struct actor *a, struct port *p, unsigned int i)
{
	struct rte_flow_attr attr = { .ingress = 1, .priority = dice_below(&a->dice, 8) };
	struct rte_flow_item_eth spec = { .hdr.dst_addr = { { 2, 0, 0, 0, 0, (uint8_t)i } } };
	struct rte_flow_item_eth mask = { .hdr.dst_addr = { { 255, 255, 255, 255, 255, 255 } } };
	struct rte_flow_item pattern[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &spec, .mask = &mask },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	struct rte_flow_action_queue queue = { .index = dice_below(&a->dice, QUEUES) };
	struct rte_flow_action actions[] = {
		{ .type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &queue },
		{ .type = RTE_FLOW_ACTION_TYPE_END },
	};
	struct rte_flow_error error;
	struct rte_flow *flow;

	if (dice_one_in(&a->dice, 8))
		actions[0] = (struct rte_flow_action){ .type = RTE_FLOW_ACTION_TYPE_DROP };
	flow = rte_flow_create(p->id, &attr, pattern, actions, &error);
	if (flow == NULL)
		fault(a, "%s: no rule: %s", p->name, error.message);
	return flow;
}

/* Change flow rules while the port runs; only the calls of rte_flow itself are serialised. */
void op_flow(struct actor *a)
{
	struct port *p = port_take(a, dice_one_in(&a->dice, 2));
	unsigned int i = dice_below(&a->dice, FLOWS);
	struct rte_flow_error error;

	if (p == NULL)
		return;
	if (dice_one_in(&a->dice, 16)) {
		must(a, rte_flow_flush(p->id, &error));
		for (i = 0; i < FLOWS; i++)
			p->flow[i] = NULL;
	} else if (p->flow[i] != NULL) {
		must(a, rte_flow_destroy(p->id, p->flow[i], &error));
		p->flow[i] = NULL;
	} else {
		p->flow[i] = flow_make(a, p, i);
	}
	port_give_back(a, p);
}

/* ------------------------------------------------------------------------------------- tenants */

/* @return the ports that have a queue of the tenant, as bits. While the tenant is closed and has no
 * members, no queue moves to it or away from it. */
static unsigned int ports_of(const struct world *w, const struct tenant *t)
{
	unsigned int ports = 0;

	for (unsigned int i = 0; i < PORTS; i++)
		for (unsigned int q = 0; q < QUEUES; q++)
			ports |= (unsigned int)(w->port[i].queue[q].tenant == t->index) << i;
	return ports;
}

static void gates_close(struct actor *a, unsigned int ports)
{
	for (unsigned int i = 0; i < PORTS; i++)
		while ((ports >> i & 1) && !gate_close(a, &a->world->port[i].gate))
			actor_wait(a);
}

static void gates_open(struct actor *a, unsigned int ports)
{
	for (unsigned int i = 0; i < PORTS; i++)
		if (ports >> i & 1)
			gate_open(&a->world->port[i].gate);
}

/* Packets of the tenant may be in transmit rings of other ports. */
static void others_flush(struct actor *a, unsigned int others)
{
	gates_close(a, others);
	for (unsigned int i = 0; i < PORTS; i++) {
		struct port *p = &a->world->port[i];

		if (!(others >> i & 1) || !p->started)
			continue;
		port_stop(a, p);
		port_start(a, p);
	}
	gates_open(a, others);
}

/* Destroy the tenant, with all of its ports' queues, and create it again in another mode. */
void op_tenant_renew(struct actor *a)
{
	struct world *w = a->world;
	struct tenant *t = &w->tenant[dice_below(&a->dice, TENANTS)];
	unsigned int ports;

	if (atomic_exchange(&w->renewing, true))
		return;
	atomic_store(&t->closed, true);
	actor_part(a, t);
	while (atomic_load(&t->members) != 0)
		actor_wait(a);
	actor_offline(a);
	ports = ports_of(w, t);
	gates_close(a, ports);
	for (unsigned int i = 0; i < PORTS; i++)
		if (ports >> i & 1)
			port_unplug(a, &w->port[i]);
	others_flush(a, ~ports);
	tenant_close(a, t);
	tenant_open(a, t); /* from here on queues of other ports may move to it */
	for (unsigned int i = 0; i < PORTS; i++)
		if (ports >> i & 1)
			port_plug(a, &w->port[i]);
	gates_open(a, ports);
	actor_online(a);
	atomic_store(&w->renewing, false);
}
