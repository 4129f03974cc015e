/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A round's world: units, tenants, and the ports between them, made at random and destroyed
 * again. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_eth_ring.h>

#include "stress.h"
#include "moat_soft_unit.h"
#include "unit_args.h"

static const char *const tenant_names[TENANTS] = { "red", "blue", "green", "amber" };

/* ------------------------------------------------------------------------------ once: the wires */

/* A wire is a ring for each queue; the peer's backing port receives what port p sends. */
static struct rte_ring *wires[PORTS][QUEUES];

static int wires_make(void)
{
	char name[RTE_RING_NAMESIZE];
	int port;

	for (unsigned int p = 0; p < PORTS; p++)
		for (unsigned int q = 0; q < QUEUES; q++) {
			snprintf(name, sizeof(name), "wire%u_%u", p, q);
			wires[p][q] = rte_ring_create(name, 512, SOCKET_ID_ANY, 0);
			if (wires[p][q] == NULL)
				return -ENOMEM;
		}
	for (unsigned int p = 0; p < PORTS; p++) {
		snprintf(name, sizeof(name), "end%u", p);
		port = rte_eth_from_rings(name, wires[p ^ 1], QUEUES, wires[p], QUEUES, 0);
		if (port < 0)
			return -ENODEV;
		visible_wire((uint16_t)port);
	}
	return 0;
}

/* Give frames that were not received back to the device that sent them. */
static void wires_empty(void)
{
	struct rte_mbuf *m;

	for (unsigned int p = 0; p < PORTS; p++)
		for (unsigned int q = 0; q < QUEUES; q++)
			while (rte_ring_dequeue(wires[p][q], (void **)&m) == 0)
				rte_pktmbuf_free(m);
}

static struct rte_mempool *clones, *plain;

int world_init(void)
{
	visible_pools();
	packet_init();
	clones = rte_pktmbuf_pool_create("clones", 4095, 32, 0, 0, SOCKET_ID_ANY);
	plain = rte_pktmbuf_pool_create("plain", 1023, 32, 0, 2176, SOCKET_ID_ANY);
	return clones == NULL || plain == NULL ? -ENOMEM : wires_make();
}

/* -------------------------------------------------------------------------------------- units */

#define SETTLING_US 90000

/* Units that are late, that have few masks, that cache absent entries, that need flushes. */
static const char *const unit_kinds[] = {
	UNIT_ADVERSARY,
	UNIT_ADVERSARY ",latency=20000,per_descriptor=200",
	UNIT_ADVERSARY ",threaded=1",
	UNIT_NARROW,
	UNIT_CACHING,
	UNIT_ADVERSARY ",queue=1,latency=200000",
	UNIT_ADVERSARY ",coherent=0,rwbf=1,latency=5000",
};

static void unit_open(struct world *w, unsigned int i)
{
	struct unit *u = &w->unit[i];
	uint64_t latency = 0;
	int rc;

	snprintf(u->name, sizeof(u->name), "soft%u", i);
	snprintf(u->args, sizeof(u->args), "%s,deadline=%u,seed=%u%s%s",
		unit_kinds[dice_below(&w->dice, RTE_DIM(unit_kinds))], PATIENCE_S * 1000,
		dice_below(&w->dice, 1000), w->request->unit != NULL ? "," : "",
		w->request->unit != NULL ? w->request->unit : "");
	rc = moat_soft_unit_create(u->name, u->args, &u->unit);
	if (rc != 0)
		rte_panic("unit %s: %s\n", u->args, moat_error_text());
	u->hw = moat_soft_unit_find(u->name);
	/* The time of a lane whose batches are all submitted to the unit, each of them twice. */
	for (const char *at = u->args; (at = strstr(at, ",latency=")) != NULL; at++)
		latency = strtoull(at + strlen(",latency="), NULL, 10);
	latency = 2 * MOAT_LANE_BATCHES * latency / (rte_get_tsc_hz() / 1000000);
	/* A unit that must be told about every map: the maps of a burst are told one after the
	 * other, and one thread at a time flushes the write buffer. */
	if (u->unit->caps.caching_mode || u->unit->caps.rwbf)
		latency += SETTLING_US;
	w->late_us = RTE_MAX(w->late_us, latency);
}

/* ------------------------------------------------------------------------------------ tenants */

static enum moat_mode mode_draw(const struct world *w, struct dice *d)
{
	enum moat_mode mode;

	do
		mode = dice_below(d, MOAT_MODES);
	while (w->request->modes != NULL &&
		strstr(w->request->modes, moat_mode_name(mode)) == NULL);
	return mode;
}

bool tenant_control(struct actor *a, struct tenant *t)
{
	return !atomic_exchange(&t->control, true);
}

void tenant_uncontrol(struct tenant *t)
{
	atomic_store(&t->control, false);
}

void tenant_open(struct actor *a, struct tenant *t)
{
	struct world *w = a->world;
	struct dice *d = &a->dice;
	struct moat_tenant_conf conf = {
		.name = t->name,
		.unit = t->unit->unit,
		.mode = t->mode = mode_draw(w, d),
		.leaf_sizes = dice_one_in(d, 2) ? UINT64_MAX : 0,
		.numa = SOCKET_ID_ANY,
		.verify = !dice_one_in(d, 3),
		.deferred_pages = 1 + dice_below(d, 128),
		.deferred_us = 1 + dice_below(d, 1000),
	};

	t->jumbo = dice_one_in(d, 3);
	t->buffers = 2048 + dice_below(d, 1024);
	conf.memory = RTE_ALIGN_CEIL(t->buffers * MOAT_PAGE_SIZE * 5 / 4, MOAT_2M_SIZE) +
		2 * MOAT_2M_SIZE;
	conf.iova_base = dice_one_in(d, 2) ? 0 : UINT64_C(0x10000000);
	must_short_of_memory(a, moat_tenant_create(&conf, &t->tenant));
	must_short_of_memory(a, moat_tenant_pool(t->tenant, t->name, t->buffers, 2176, &t->pool));
	must_short_of_memory(a, moat_tenant_attach(t->tenant, t->rogue));
	memset(t->remembered, 0, sizeof(t->remembered));
	t->lives++;
	atomic_store(&t->closed, false);
}

/* Destroy a tenant. Every member must have left, and no port may have a queue of it. Packets that
 * are under way come back first. */
void tenant_close(struct actor *a, struct tenant *t)
{
	struct rte_mbuf *m;

	while (rte_ring_dequeue(t->ring, (void **)&m) == 0)
		rte_pktmbuf_free(m);
	judge_tenant(a, t);
	must_short_of_memory(a, moat_tenant_detach(t->tenant, t->rogue));
	must_short_of_memory(a, moat_tenant_destroy(t->tenant));
	t->tenant = NULL;
	t->pool = NULL;
}

/* -------------------------------------------------------------------------------------- rounds */

static void ports_lay_out(struct world *w)
{
	for (unsigned int p = 0; p < PORTS; p++) {
		struct port *port = &w->port[p];

		port->index = p;
		snprintf(port->name, sizeof(port->name), "net_moat%u", p);
		snprintf(port->backing, sizeof(port->backing), "net_ring_end%u", p);
		atomic_store(&port->gate.closed, true);
		for (unsigned int q = 0; q < QUEUES; q++)
			port->queue[q].tenant = w->requester_per_queue && q == 1 ? p ^ 1 : p;
	}
}

void world_open(struct world *w, const struct request *r, uint64_t round)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	const unsigned int most = 4; /* a sanitizer makes each of them slow */
#else
	const unsigned int most = ACTORS;
#endif
	struct actor *a = &w->actor[0]; /* the set-up draws with its dice */

	memset(w, 0, sizeof(*w));
	w->request = r;
	w->round = round;
	w->seed = r->seed + round * UINT64_C(0x2545f4914f6cdd1d);
	w->dice.state = w->seed;
	w->clones = clones;
	w->plain = plain;
	w->packets = (round + 1) << 32;
	w->nr_actors = r->actors != 0 ? r->actors : 2 + dice_below(&w->dice, most - 1);
	w->requester_per_queue = dice_one_in(&w->dice, 2);
	ports_lay_out(w);
	a->world = w;
	a->dice.state = dice_draw(&w->dice);
	for (unsigned int i = 0; i < UNITS; i++)
		unit_open(w, i);
	for (unsigned int i = 0; i < TENANTS; i++) {
		struct tenant *t = &w->tenant[i];
		char name[RTE_RING_NAMESIZE];

		t->index = i;
		snprintf(t->name, sizeof(t->name), "%s", tenant_names[i]);
		t->unit = &w->unit[i / 2];
		t->rogue = MOAT_SID(1, i, 0);
		snprintf(name, sizeof(name), "given_%s", t->name);
		t->ring = rte_ring_create(name, 256, SOCKET_ID_ANY, 0);
		if (t->ring == NULL)
			rte_panic("no ring\n");
		tenant_open(a, t);
	}
	for (unsigned int i = 0; i < PORTS; i++) {
		port_plug(a, &w->port[i]);
		gate_open(&w->port[i].gate);
	}
}

void world_close(struct world *w)
{
	struct actor *a = &w->actor[0];

	for (unsigned int i = 0; i < PORTS; i++) {
		atomic_store(&w->port[i].gate.closed, true);
		if (w->port[i].plugged)
			port_unplug(a, &w->port[i]);
	}
	wires_empty();
	for (unsigned int i = 0; i < TENANTS; i++) {
		if (w->tenant[i].tenant != NULL)
			tenant_close(a, &w->tenant[i]);
		rte_ring_free(w->tenant[i].ring);
	}
	judge_pool(a, w->clones);
	judge_pool(a, w->plain);
	for (unsigned int i = 0; i < UNITS; i++) {
		judge_unit(w, &w->unit[i]);
		if (faults_found() == 0) /* after a fault a domain may still exist */
			w->unit[i].unit->ops->destroy(w->unit[i].unit);
	}
	for (unsigned int i = 0; i < w->nr_actors; i++) {
		free(w->actor[i].memory);
		free(w->actor[i].tally);
	}
}
