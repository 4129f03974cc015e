/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Set up a run from a checked configuration, up to the workers' groups, and take it down again. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>
#include <rte_malloc.h>

#include "fwd.h"

/* ---------------------------------------------------------------------------------- tenants */

static int make_tenant(struct fwd_run_tenant *t)
{
	const struct fwd_tenant *conf = t->conf;
	const struct moat_tenant_conf tenant = {
		.name = conf->name,
		.unit = conf->unit->unit,
		.mode = conf->mode,
		.memory = conf->memory,
		.iova_base = conf->iova_base,
		.width = (uint8_t)conf->width,
		.leaf_sizes = UINT64_MAX,
		.numa = SOCKET_ID_ANY,
		.verify = conf->verify ? 1 : MOAT_VERIFY_OFF,
		.copy_foreign = conf->copy_foreign,
		.deferred_pages = (uint32_t)conf->deferred_pages,
		.deferred_us = (uint32_t)conf->deferred_us,
	};
	int rc = moat_tenant_create(&tenant, &t->tenant);

	if (rc != 0)
		return rc;
	if (conf->forward == FWD_L2) {
		t->table = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*t->table));
		if (t->table == NULL)
			return moat_error(-ENOMEM, "no memory for tenant %s's bridge table",
				conf->name);
		fwd_l2_init(t->table);
	}
	return moat_tenant_pool(t->tenant, conf->name, (unsigned int)fwd_tenant_buffers(conf),
		(uint16_t)conf->data_room, &t->pool);
}

/* Attach each requester of the tenant's queues to its domain, once. Hardware is attached before its
 * device is probed; net_moat's requesters exist only after their device was made. */
static int attach_requesters(struct fwd_run *run, struct fwd_run_tenant *t, bool hardware)
{
	for (unsigned int i = 0; i < t->conf->nr_queues; i++) {
		const struct fwd_queue *q = &t->conf->queues[i];
		moat_sid_t sid, before;
		uint32_t pasid, with;
		bool known = false;
		int rc;

		if ((q->port->device != NULL) != hardware)
			continue;
		rc = fwd_port_queue_sid(fwd_run_port(run, q->port), q->queue, &sid, &pasid);
		for (unsigned int k = 0; k < i && rc == 0 && !known; k++)
			known = t->conf->queues[k].port == q->port &&
				fwd_port_queue_sid(fwd_run_port(run, q->port),
					t->conf->queues[k].queue, &before, &with) == 0 &&
				before == sid && with == pasid;
		if (rc == 0 && !known)
			rc = moat_tenant_attach_pasid(t->tenant, sid, pasid);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int add_queues(struct fwd_run *run, struct fwd_run_tenant *t)
{
	for (unsigned int i = 0; i < t->conf->nr_queues; i++) {
		const struct fwd_queue *q = &t->conf->queues[i];
		int rc = moat_tenant_queue_add(t->tenant, fwd_run_port(run, q->port)->id, q->queue);

		if (rc != 0)
			return rc;
		t->queues_added++;
	}
	return 0;
}

/* ----------------------------------------------------------------------------------- groups */

static int make_groups(struct fwd_run *run, struct fwd_run_tenant *t)
{
	t->groups = aligned_alloc(RTE_CACHE_LINE_SIZE, FWD_GROUPS * sizeof(*t->groups));
	if (t->groups == NULL)
		return moat_error(-ENOMEM, "no memory for tenant %s's queues", t->conf->name);
	memset(t->groups, 0, FWD_GROUPS * sizeof(*t->groups));
	t->nr_groups = t->conf->nr_groups;
	for (unsigned int i = 0; i < t->conf->nr_queues; i++) {
		const struct fwd_queue *q = &t->conf->queues[i];
		struct fwd_group *g = &t->groups[q->group];

		g->tenant = t;
		g->at[g->nr_ports].port = fwd_run_port(run, q->port)->id;
		g->at[g->nr_ports++].queue = q->queue;
	}
	return 0;
}

static struct fwd_worker *worker(struct fwd_run *run, unsigned int lcore)
{
	for (unsigned int i = 0; i < run->nr_workers; i++)
		if (run->workers[i].lcore == lcore)
			return &run->workers[i];
	run->workers[run->nr_workers].lcore = lcore;
	return &run->workers[run->nr_workers++];
}

/* Find the n-th member of a set, modulo their number. */
static unsigned int nth(const struct app_set *set, unsigned int n)
{
	unsigned int i = 0;

	for (n %= set->n;; i++)
		if (app_set_has(set, i) && n-- == 0)
			return i;
}

/* Give a tenant's groups to its lcores in turn; without those to [fwd]'s, or to all workers. */
static int assign_lcores(struct fwd_run *run)
{
	unsigned int next = 0;
	struct app_set all;

	app_eal_workers(&all);
	if (all.n == 0)
		return moat_error(-EINVAL,
			"the EAL has only a main lcore; give it one more (-l), or leave -l out");
	run->workers = calloc(FWD_WORKERS, sizeof(*run->workers));
	if (run->workers == NULL)
		return moat_error(-ENOMEM, "no memory for %u lcores", all.n);
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		struct fwd_run_tenant *t = &run->tenants[i];
		const struct app_set *own = t->conf->lcores.n != 0 ? &t->conf->lcores
			: run->conf->lcores.n != 0                 ? &run->conf->lcores
								   : &all;

		for (unsigned int k = 0; k < t->conf->nr_groups; k++) {
			struct fwd_worker *w =
				worker(run, nth(own, own == &t->conf->lcores ? k : next++));

			t->groups[k].lcore = w->lcore;
			w->groups[w->nr_groups++] = &t->groups[k];
		}
	}
	return 0;
}

/* ------------------------------------------------------------------------------------ units */

static int open_unit(struct fwd_run *run, struct fwd_unit *unit)
{
	moat_sid_t tenants[FWD_PORTS];
	struct app_unit_conf how = { .name = unit->name,
		.args = unit->args,
		.interrupts = unit->interrupts,
		.share_interrupts = unit->share_interrupts,
		.tenants = tenants,
		.take_over = run->args->take_over };

	for (unsigned int i = 0; i < run->conf->nr_ports; i++) {
		const struct fwd_port *port = &run->conf->ports[i];

		if (port->unit != unit || port->device == NULL)
			continue;
		how.segment = port->segment;
		tenants[how.nr_tenants++] = (moat_sid_t)port->requester;
	}
	return app_unit_open(unit->kind, &how, &unit->unit);
}

/* Print what tenants can do to the host's interrupts, if they can raise more than their own. */
static void say_interrupts(const struct fwd_unit *unit)
{
	char text[1536];

	if (app_unit_interrupts(unit->unit, text, sizeof(text)))
		fwd_report_line("unit %s: interrupts: %s", unit->name, text);
}

/* Print which tenants can raise each other's interrupts, if any. */
static void say_shared(const struct fwd_run *run, struct fwd_run_port *port)
{
	char text[1536];

	fwd_shared_look(port);
	if (fwd_shared_text(run, port, text, sizeof(text))[0] != '\0')
		fwd_report_line("port %s: interrupts: %s", port->conf->name, text);
}

/* --------------------------------------------------------------------------------- all of it */

int fwd_setup(struct fwd_run *run)
{
	const struct fwd_conf *conf = run->conf;
	int rc = 0;

	for (unsigned int i = 0; i < conf->nr_units && rc == 0; i++)
		if (conf->units[i].unit == NULL)
			rc = open_unit(run, &run->conf->units[i]);
	for (unsigned int i = 0; i < conf->nr_units && rc == 0; i++)
		say_interrupts(&conf->units[i]);
	for (unsigned int i = 0; i < conf->nr_tenants && rc == 0; i++) {
		run->tenants[i].conf = &conf->tenants[i];
		rc = make_tenant(&run->tenants[i]);
	}
	for (unsigned int i = 0; i < conf->nr_ports; i++)
		run->ports[i].conf = &conf->ports[i];
	for (unsigned int i = 0; i < conf->nr_tenants && rc == 0; i++)
		rc = attach_requesters(run, &run->tenants[i], true);
	for (unsigned int i = 0; i < conf->nr_ports && rc == 0; i++)
		rc = fwd_port_attach(run, &run->ports[i]);
	for (unsigned int i = 0; i < conf->nr_tenants && rc == 0; i++)
		rc = attach_requesters(run, &run->tenants[i], false);
	for (unsigned int i = 0; i < conf->nr_ports && rc == 0; i++)
		rc = fwd_port_set_up(run, &run->ports[i]);
	for (unsigned int i = 0; i < conf->nr_tenants && rc == 0; i++) {
		rc = add_queues(run, &run->tenants[i]);
		if (rc == 0)
			rc = make_groups(run, &run->tenants[i]);
	}
	for (unsigned int i = 0; i < conf->nr_ports && rc == 0; i++)
		rc = fwd_port_start(run, &run->ports[i]);
	for (unsigned int i = 0; i < conf->nr_ports && rc == 0; i++)
		say_shared(run, &run->ports[i]);
	if (rc == 0)
		rc = assign_lcores(run);
	if (rc == 0 && conf->idle == FWD_IDLE_POSTED)
		rc = fwd_posted_begin(run);
	return rc == 0 ? fwd_telemetry_begin(run) : rc;
}

int fwd_ports_down(struct fwd_run *run)
{
	int first = fwd_posted_end(run);

	fwd_control_end();
	/* Stop ports first: one that runs must not have queues without callbacks. */
	for (unsigned int i = 0; i < run->conf->nr_ports; i++)
		fwd_port_stop(&run->ports[i]);
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		struct fwd_run_tenant *t = &run->tenants[i];

		while (t->queues_added != 0) {
			const struct fwd_queue *q = &t->conf->queues[--t->queues_added];
			uint16_t port = fwd_run_port(run, q->port)->id;
			const struct fwd_group *g = fwd_group_of(run, port, q->queue);
			/* The queue may have moved to another tenant. */
			struct moat_tenant *owner = g != NULL ? g->tenant->tenant : t->tenant;
			int rc = moat_tenant_queue_remove(owner, port, q->queue);

			if (first == 0)
				first = rc;
		}
	}
	for (unsigned int i = 0; i < run->conf->nr_ports; i++)
		fwd_port_detach(&run->ports[i]);
	return first;
}

int fwd_buffers_check(struct fwd_run *run)
{
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		struct fwd_snapshot s;

		fwd_snapshot(&run->tenants[i], &s);
		if (s.missing != 0)
			return moat_error(-EBUSY, "tenant %s: %u of %u buffers did not come back",
				run->tenants[i].conf->name, s.missing, s.buffers);
	}
	return 0;
}

int fwd_teardown(struct fwd_run *run)
{
	int first;

	fwd_telemetry_end(run);
	first = fwd_ports_down(run);
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		struct fwd_run_tenant *t = &run->tenants[i];
		int rc = t->tenant != NULL ? moat_tenant_destroy(t->tenant) : 0;

		if (first == 0)
			first = rc;
		free(t->groups);
		free(t->table);
	}
	free(run->workers);
	run->workers = NULL;
	return first;
}
