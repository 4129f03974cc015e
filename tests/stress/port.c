/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Ports: which actor may use one and when, and the steps of its control path. */

#include <errno.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>

#include "stress.h"
#include "moat_net.h"

/* -------------------------------------------------------------------------------------- gates */

/*
 * Sequentially consistent on both sides: an operation counts itself in and then reads `closed`; the
 * control path sets `closed` and then reads the count. At least one of the two sees the other.
 */
bool gate_pass(struct gate *g)
{
	atomic_fetch_add(&g->inside, 1);
	if (!atomic_load(&g->closed))
		return true;
	atomic_fetch_sub(&g->inside, 1);
	return false;
}

void gate_leave(struct gate *g)
{
	atomic_fetch_sub(&g->inside, 1);
}

bool gate_close(struct actor *a, struct gate *g)
{
	if (atomic_exchange(&g->closed, true))
		return false;
	while (atomic_load(&g->inside) != 0)
		actor_wait(a);
	return true;
}

void gate_open(struct gate *g)
{
	atomic_store(&g->closed, false);
}

bool queue_enter(struct port *p, unsigned int q, const struct tenant *t, bool tx)
{
	atomic_bool *busy = tx ? &p->queue[q].tx_busy : &p->queue[q].rx_busy;

	if (!gate_pass(&p->gate))
		return false;
	if (p->started && p->queue[q].added && !atomic_exchange(busy, true)) {
		/* The owner does not change while either side is taken. */
		if (t == NULL || atomic_load(&p->queue[q].tenant) == t->index)
			return true;
		atomic_store(busy, false);
	}
	gate_leave(&p->gate);
	return false;
}

void queue_leave(struct port *p, unsigned int q, bool tx)
{
	atomic_store(tx ? &p->queue[q].tx_busy : &p->queue[q].rx_busy, false);
	gate_leave(&p->gate);
}

/* @return of two ports whose queues may have moved, one with a queue of the tenant at the moment,
 * if any */
struct port *port_of(struct actor *a, struct tenant *t, unsigned int *q)
{
	struct world *w = a->world;
	struct port *p;

	*q = dice_below(&a->dice, QUEUES);
	p = &w->port[w->requester_per_queue && *q == 1 ? t->index ^ 1 : t->index];
	return atomic_load(&p->queue[*q].tenant) == t->index ? p : &w->port[p->index ^ 1];
}

/* ------------------------------------------------------------------------------- control path */

static struct tenant *queue_tenant(struct actor *a, const struct port *p, unsigned int q)
{
	return &a->world->tenant[p->queue[q].tenant];
}

/* EAL's hot-plug calls are serialised, because its list of devices' arguments has no lock. */
static void hotplug_begin(struct actor *a)
{
	while (atomic_exchange(&a->world->plugging, true))
		actor_wait(a);
}

static void hotplug_end(struct actor *a)
{
	atomic_store(&a->world->plugging, false);
}

/* Draw the order in which a port's queues are visited. */
static unsigned int queue_pick(struct actor *a, unsigned int i)
{
	return dice_one_in(&a->dice, 2) ? i : QUEUES - 1 - i;
}

int port_set_up_queues(struct actor *a, struct port *p)
{
	int rc = 0;

	for (unsigned int q = 0; q < QUEUES && rc == 0; q++) {
		struct tenant *t = queue_tenant(a, p, q);
		int socket = moat_tenant_socket(t->tenant);

		rc = rte_eth_rx_queue_setup(p->id, q, 64 << dice_below(&a->dice, 3), socket, NULL,
			t->pool);
		if (rc == 0)
			rc = rte_eth_tx_queue_setup(p->id, q, 64 << dice_below(&a->dice, 4), socket,
				NULL);
	}
	return rc;
}

static void queue_add(struct actor *a, struct port *p, unsigned int q)
{
	struct tenant *t = queue_tenant(a, p, q);

	while (!tenant_control(a, t))
		actor_wait(a);
	must_short_of_memory(a, moat_tenant_queue_add(t->tenant, p->id, q));
	tenant_uncontrol(t);
	p->queue[q].added = true;
}

static void queue_remove(struct actor *a, struct port *p, unsigned int q)
{
	struct tenant *t = queue_tenant(a, p, q);
	unsigned int tries = 0;
	int rc;

	while (!tenant_control(a, t))
		actor_wait(a);
	do
		rc = moat_tenant_queue_remove(t->tenant, p->id, q);
	while (rc == -EIO && tries++ < 16);
	/* -ENOENT is right in two cases: an attempt that failed with -EIO has removed the queue; or
	 * the port is unplugged, and another actor's queue_add made the tenant drop its queues. */
	if (rc != 0 && (rc != -ENOENT || (p->plugged && tries == 0)))
		fault(a, "%s: removing queue %u: %d: %s", p->name, q, rc, moat_error_text());
	tenant_uncontrol(t);
	p->queue[q].added = false;
}

void port_add_queues(struct actor *a, struct port *p)
{
	unsigned int turn = queue_pick(a, 0);

	for (unsigned int i = 0; i < QUEUES; i++)
		if (!p->queue[i ^ turn].added)
			queue_add(a, p, i ^ turn);
}

void port_remove_queues(struct actor *a, struct port *p)
{
	unsigned int turn = queue_pick(a, 0);

	for (unsigned int i = 0; i < QUEUES; i++)
		if (p->queue[i ^ turn].added)
			queue_remove(a, p, i ^ turn);
}

/* Start a port. If all buffers of its pools are in use elsewhere, it is started later. */
void port_start(struct actor *a, struct port *p)
{
	int rc = rte_eth_dev_start(p->id);

	p->started = rc == 0;
	if (rc != 0 && rc != -ENOMEM)
		fault(a, "%s does not start: %d: %s", p->name, rc, moat_error_text());
	if (rc == 0 && rte_eth_promiscuous_get(p->id) != 1)
		must(a, rte_eth_promiscuous_enable(p->id));
}

void port_stop(struct actor *a, struct port *p)
{
	if (p->started)
		must(a, rte_eth_dev_stop(p->id));
	p->started = false;
}

void port_plug(struct actor *a, struct port *p)
{
	struct rte_eth_conf conf = {
		.rxmode.offloads = RTE_ETH_RX_OFFLOAD_SCATTER,
		.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS,
	};
	moat_sid_t sid = MOAT_SID(0, 16 + p->index, 0);
	char args[256];

	snprintf(args, sizeof(args),
		"port=%s,queues=%u,unit=%s,sid=00:%02x.0,mac=02:00:00:00:02:%02x%s", p->backing,
		QUEUES, queue_tenant(a, p, 0)->unit->name, 16 + p->index, p->index,
		a->world->requester_per_queue ? ",requesters=queue" : "");
	hotplug_begin(a);
	must(a, rte_eal_hotplug_add("vdev", p->name, args));
	hotplug_end(a);
	must(a, rte_eth_dev_get_port_by_name(p->name, &p->id));
	p->plugged = true;
	p->jumbo = queue_tenant(a, p, 0)->jumbo && queue_tenant(a, p, 1)->jumbo;
	p->mtu = p->jumbo ? 9000 : 1500;
	conf.rxmode.mtu = p->mtu;
	for (unsigned int q = 0; q < (a->world->requester_per_queue ? QUEUES : 1u); q++)
		must_at_last(a, moat_tenant_attach(queue_tenant(a, p, q)->tenant, sid + q));
	must(a, rte_eth_dev_configure(p->id, QUEUES, QUEUES, &conf));
	must(a, port_set_up_queues(a, p));
	port_add_queues(a, p);
	port_start(a, p);
}

/* Unplug a port, with its steps in any order: unplugging removes the callbacks, and stops the port
 * if necessary. */
void port_unplug(struct actor *a, struct port *p)
{
	moat_sid_t sid = MOAT_SID(0, 16 + p->index, 0);
	unsigned int order = dice_below(&a->dice, 4);

	judge_port(a->world, p);
	if (order == 0 || order == 1)
		port_stop(a, p);
	if (order == 0 || order == 2)
		port_remove_queues(a, p);
	memset(p->flow, 0, sizeof(p->flow));
	hotplug_begin(a);
	must(a, rte_eal_hotplug_remove("vdev", p->name));
	hotplug_end(a);
	p->plugged = p->started = false;
	port_remove_queues(a, p);
	for (unsigned int q = 0; q < (a->world->requester_per_queue ? QUEUES : 1u); q++)
		must_at_last(a, moat_tenant_detach(queue_tenant(a, p, q)->tenant, sid + q));
}
