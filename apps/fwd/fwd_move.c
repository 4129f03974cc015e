/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * A queue moves to another tenant while packets flow (moat_tenant_move.h). The main thread changes
 * the steering rules and requests the move; the worker that polls the queue moves it between two
 * turns. The worker puts the queue into the first of its groups of the new tenant without a queue
 * of that port, or into a new group. The queue stays with its lcore. One queue moves at a time, so
 * groups have one writer.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rte_launch.h>

#include "fwd.h"
#include "moat_tenant_measure.h"
#include "moat_tenant_move.h"

/* ------------------------------------------------------------------------------------- groups */

/* @return index of the queue in the group's `at`, or -1 */
static int place_of(const struct fwd_group *g, uint16_t port, uint16_t queue)
{
	for (unsigned int i = 0; i < g->nr_ports; i++)
		if (g->at[i].port == port && g->at[i].queue == queue)
			return (int)i;
	return -1;
}

struct fwd_group *fwd_group_of(struct fwd_run *run, uint16_t port, uint16_t queue)
{
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++)
		for (unsigned int k = 0; k < run->tenants[i].nr_groups; k++)
			if (place_of(&run->tenants[i].groups[k], port, queue) >= 0)
				return &run->tenants[i].groups[k];
	return NULL;
}

static void group_take(struct fwd_group *g, unsigned int place)
{
	g->nr_ports--;
	memmove(&g->at[place], &g->at[place + 1], (g->nr_ports - place) * sizeof(g->at[0]));
}

/* Insert a queue, sorted by port: the order decides which ports are paired. */
static void group_put(struct fwd_group *g, uint16_t port, uint16_t queue)
{
	unsigned int i = 0;

	while (i < g->nr_ports && g->at[i].port < port)
		i++;
	memmove(&g->at[i + 1], &g->at[i], (g->nr_ports - i) * sizeof(g->at[0]));
	g->at[i].port = port;
	g->at[i].queue = queue;
	g->nr_ports++;
}

static bool group_has_port(const struct fwd_group *g, uint16_t port)
{
	for (unsigned int i = 0; i < g->nr_ports; i++)
		if (g->at[i].port == port)
			return true;
	return false;
}

/* Find the index for another group of the tenant, next to the worker's other groups of it. @return
 * 0: it has none */
static unsigned int place_behind(const struct fwd_worker *w, const struct fwd_run_tenant *t)
{
	unsigned int i = w->nr_groups;

	while (i != 0 && w->groups[i - 1]->tenant != t)
		i--;
	return i;
}

/* Find a group of the tenant without a queue of the port. @return NULL: a new group is needed */
static struct fwd_group *group_with_room(const struct fwd_worker *w, const struct fwd_run_tenant *t,
	uint16_t port)
{
	for (unsigned int i = 0; i < w->nr_groups; i++)
		if (w->groups[i]->tenant == t && !group_has_port(w->groups[i], port))
			return w->groups[i];
	return NULL;
}

static struct fwd_group *group_make(struct fwd_worker *w, struct fwd_run_tenant *t)
{
	unsigned int n = t->nr_groups, at = place_behind(w, t);
	struct fwd_group *g = &t->groups[n];

	if (at == 0)
		at = w->nr_groups;
	g->tenant = t;
	g->lcore = w->lcore;
	memmove(&w->groups[at + 1], &w->groups[at], (w->nr_groups - at) * sizeof(w->groups[0]));
	w->groups[at] = g;
	w->nr_groups++;
	t->nr_groups = n + 1;
	return g;
}

/* --------------------------------------------------------------------------- the worker's part */

struct last_packets {
	struct fwd_group *group;
	unsigned int from;
};

static void forward_last(struct rte_mbuf *pkts[], uint16_t n, void *arg)
{
	const struct last_packets *last = arg;

	fwd_loop_pass_on(last->group, last->from, pkts, n);
}

static int carry_out(struct fwd_worker *w, struct fwd_group *g, unsigned int place,
	struct fwd_move *m)
{
	struct last_packets last = { g, place };
	struct moat_queue_move move = { .pool = m->to->pool,
		.deliver = forward_last,
		.arg = &last };
	struct fwd_group *next = group_with_room(w, m->to, m->port);
	bool enters = place_behind(w, m->to) == 0;
	int rc = 0;

	if (next == NULL && m->to->nr_groups == FWD_GROUPS)
		return moat_error(-ENOSPC,
			"tenant %s has %u groups of queues, the most it can have",
			m->to->conf->name, FWD_GROUPS);
	if (enters)
		rc = moat_tenant_lcore_enter(m->to->tenant);
	if (rc != 0)
		return rc;
	rc = moat_tenant_queue_move(g->tenant->tenant, m->to->tenant, m->port, m->queue, &move);
	m->gap = move.gap;
	m->delivered = move.delivered;
	if (rc != 0) {
		snprintf(m->why, sizeof(m->why), "%s", moat_error_text());
		if (enters)
			moat_tenant_lcore_leave(m->to->tenant);
		return moat_error(rc, "%s", m->why);
	}
	group_take(g, place);
	group_put(next != NULL ? next : group_make(w, m->to), m->port, m->queue);
	return 0;
}

void fwd_move_serve(struct fwd_worker *w)
{
	struct fwd_move *m = atomic_load_explicit(&w->move, memory_order_acquire);
	int place = -1;
	unsigned int i;

	for (i = 0; i < w->nr_groups && place < 0; i++)
		place = place_of(w->groups[i], m->port, m->queue);
	if (place < 0)
		m->rc = moat_error(-ENOENT, "lcore %u does not poll queue %u", w->lcore, m->queue);
	else
		m->rc = carry_out(w, w->groups[i - 1], (unsigned int)place, m);
	if (m->rc != 0)
		snprintf(m->why, sizeof(m->why), "%s", moat_error_text());
	moat_tenant_stopwatch(true); /* the move is charged to no stage */
	atomic_store_explicit(&w->move, NULL, memory_order_relaxed);
	/* Release: the main thread reads the answer and the groups after it. */
	atomic_store_explicit(&m->finished, true, memory_order_release);
}

/* ---------------------------------------------------------------------- the main thread's part */

static struct fwd_worker *worker_of(struct fwd_run *run, unsigned int lcore)
{
	unsigned int i = 0;

	while (run->workers[i].lcore != lcore)
		i++;
	return &run->workers[i];
}

static int keep_error(struct fwd_move *m, int rc)
{
	snprintf(m->why, sizeof(m->why), "%s", moat_error_text());
	return rc;
}

static void ask(struct fwd_worker *w, struct fwd_move *m)
{
	const struct timespec nap = { .tv_nsec = 20 * 1000 };

	/* Release: a worker that sees the request sees its members. */
	atomic_store_explicit(&w->move, m, memory_order_release);
	while (!atomic_load_explicit(&m->finished, memory_order_acquire)) {
		nanosleep(&nap, NULL);
		if (rte_eal_get_lcore_state(w->lcore) == RUNNING)
			continue;
		m->rc = moat_error(-ESRCH, "lcore %u does not poll any more", w->lcore);
		keep_error(m, m->rc);
		return;
	}
}

int fwd_move(struct fwd_run *run, struct fwd_run_port *port, struct fwd_move *m)
{
	const struct fwd_group *g = fwd_group_of(run, m->port, m->queue);
	struct fwd_targets before;
	int rc = fwd_steer_away(run, port, m->queue, g->tenant, m->to, &before);

	if (rc != 0)
		return keep_error(m, rc);
	ask(worker_of(run, g->lcore), m);
	if (m->rc != 0) {
		rc = fwd_steer_back(run, port, &before);
		return rc != 0 ? keep_error(m, rc) : m->rc;
	}
	rc = fwd_steer_to(run, port);
	return rc != 0 ? keep_error(m, rc) : 0;
}
