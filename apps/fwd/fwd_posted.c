/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * idle = posted: an lcore polls a cache line in which the unit sets a bit for each group whose
 * queues have frames, and polls the rings of those groups only. A group's vector, and so its bit,
 * is its index among the worker's groups.
 *
 * While its line is quiet, a worker waits (fwd_wait.c).
 *
 * net_moat's device has no processor of its own: the worker calls moat_net_turn() for each of its
 * ports, which is charged as device time.
 */

#include <errno.h>
#include <stdlib.h>

#include "fwd.h"
#include "moat_interrupt.h"
#include "moat_net.h"

/** An interrupt that a queue was given; fwd_posted_end() takes it back. */
struct given {
	struct moat_tenant *tenant;
	struct moat_interrupt interrupt;
	uint16_t port, queue;
};

struct fwd_posted {
	struct moat_posted line; /* first: aligned to a cache line */
	uint64_t hot[4];         /* a bit for each group: its rings are polled */
	uint8_t quiet[256];      /* each group's turns without a packet */
	uint16_t ports[FWD_PORTS * FWD_TENANTS];
	unsigned int nr_ports;
	unsigned int nr_given;
	struct given given[];
};

static void port_add(struct fwd_posted *p, uint16_t port)
{
	for (unsigned int i = 0; i < p->nr_ports; i++)
		if (p->ports[i] == port)
			return;
	p->ports[p->nr_ports++] = port;
}

static int give(struct fwd_posted *p, const struct fwd_group *g, unsigned int at, uint8_t vector)
{
	struct given *given = &p->given[p->nr_given];
	moat_sid_t sid;
	int rc;

	*given = (struct given){ .tenant = g->tenant->tenant,
		.port = g->at[at].port,
		.queue = g->at[at].queue };
	rc = moat_net_queue_sid(given->port, given->queue, &sid);
	if (rc == -ENODEV)
		rc = moat_error(rc,
			"idle = posted is for ports with a backing (net_moat): a NIC's own "
			"driver would have to program its interrupts");
	if (rc == 0)
		rc = moat_tenant_interrupt_post(given->tenant, sid, &p->line, vector,
			&given->interrupt);
	if (rc != 0)
		return rc;
	p->nr_given++;
	port_add(p, given->port);
	return moat_net_msi(given->port, given->queue, given->interrupt.address,
		given->interrupt.data);
}

static int begin(struct fwd_worker *w)
{
	unsigned int n = 0;
	int rc = 0;

	if (w->nr_groups > 256)
		return moat_error(-EINVAL,
			"idle = posted: lcore %u would poll %u groups of queues, and a line has bits for "
			"256; name more lcores",
			w->lcore, w->nr_groups);
	for (unsigned int i = 0; i < w->nr_groups; i++)
		n += w->groups[i]->nr_ports;
	w->posted = aligned_alloc(RTE_CACHE_LINE_SIZE,
		RTE_ALIGN_CEIL(sizeof(*w->posted) + n * sizeof(struct given), RTE_CACHE_LINE_SIZE));
	if (w->posted == NULL)
		return moat_error(-ENOMEM, "no memory for the interrupts of lcore %u", w->lcore);
	memset(w->posted, 0, sizeof(*w->posted));
	moat_posted_init(&w->posted->line);
	for (unsigned int i = 0; i < w->nr_groups && rc == 0; i++)
		for (unsigned int at = 0; at < w->groups[i]->nr_ports && rc == 0; at++)
			rc = give(w->posted, w->groups[i], at, i);
	return rc;
}

int fwd_posted_begin(struct fwd_run *run)
{
	int rc = 0;

	fwd_wait_choose();
	for (unsigned int i = 0; i < run->nr_workers && rc == 0; i++)
		rc = begin(&run->workers[i]);
	if (rc == 0)
		fwd_report_line("idle = posted: an lcore whose line is quiet %s", fwd_wait_text());
	return rc;
}

int fwd_posted_end(struct fwd_run *run)
{
	int first = 0;

	for (unsigned int i = 0; i < run->nr_workers; i++) {
		struct fwd_posted *p = run->workers[i].posted;

		while (p != NULL && p->nr_given != 0) {
			const struct given *given = &p->given[--p->nr_given];
			int rc;

			moat_net_msi(given->port, given->queue, 0, 0);
			rc = moat_tenant_interrupt_end(given->tenant, &given->interrupt);
			first = first == 0 ? rc : first;
		}
		/* A unit that does not answer may still write the line: do not free it then. */
		if (first == 0)
			free(p);
		run->workers[i].posted = NULL;
	}
	return first;
}

void fwd_posted_turn(struct fwd_posted *p)
{
	for (unsigned int i = 0; i < p->nr_ports; i++)
		moat_net_turn(p->ports[i]);
	for (unsigned int word = 0; word < RTE_DIM(p->hot); word++)
		p->hot[word] |= moat_posted_take(&p->line, word);
}

bool fwd_posted_hot(const struct fwd_posted *p, unsigned int group)
{
	return p->hot[group / 64] >> group % 64 & 1;
}

void fwd_posted_polled(struct fwd_posted *p, unsigned int group, unsigned int packets)
{
	p->quiet[group] = packets != 0 ? 0 : p->quiet[group] + 1;
	if (p->quiet[group] < FWD_PATIENCE)
		return;
	p->quiet[group] = 0;
	p->hot[group / 64] &= ~(UINT64_C(1) << group % 64);
}

bool fwd_posted_rest(struct fwd_posted *p)
{
	if (!fwd_wait_can() || (p->hot[0] | p->hot[1] | p->hot[2] | p->hot[3]) != 0)
		return false;
	fwd_wait(&p->line);
	return true;
}
