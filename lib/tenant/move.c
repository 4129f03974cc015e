/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See moat_tenant_move.h, which lists the steps in this order. After an error the steps that were
 * done are undone in reverse order. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include "held.h"
#include "moat_tenant_move.h"
#include "ticket.h"

#define BURST 32

/* A step is given up after 100 ms and this many turns without progress, because other queues of the
 * port may be waiting. Time alone would also count while the process does not run. */
#define PATIENCE_TURNS 10000

struct patience {
	uint64_t since;     /* TSC of the last progress */
	unsigned int turns; /* since then */
};

static void patience_begin(struct patience *p)
{
	*p = (struct patience){ .since = rte_rdtsc() };
}

/* Count one more turn without progress. @return true: give the step up */
static bool patience_ends(struct patience *p)
{
	return ++p->turns >= PATIENCE_TURNS && rte_rdtsc() - p->since > rte_get_tsc_hz() / 10;
}

struct move {
	struct moat_tenant *from, *to;
	uint16_t port, queue;
	struct moat_queue_move *asked;
	const struct moat_move_ops *ops;
	struct tenant_queue *old, *next;
	void *memory; /* the driver's rings and buffers that the queue does not use now */
	struct moat_unit *unit;
	moat_sid_t sid;
	uint32_t pasid;
};

/* ----------------------------------------------------------------------------- may it be moved? */

static int check_lcore(const struct moat_tenant *t)
{
	unsigned int slot = tenant_slot();
	const struct tenant_lcore *lc = t->lcores[slot];

	if (slot != RTE_MAX_LCORE && lc != NULL && lc->entered)
		return 0;
	return moat_error(-EINVAL,
		"tenant '%s': the thread that moves a queue must be the lcore that polls it, and must "
		"have entered both tenants; this one has not entered '%s': call "
		"moat_tenant_lcore_enter() first",
		t->name, t->name);
}

static int check_arguments(const struct move *m)
{
	int rc;

	if (m->from == NULL || m->to == NULL || m->asked == NULL || m->asked->pool == NULL ||
		m->asked->deliver == NULL)
		return moat_error(-EINVAL,
			"moat_tenant_queue_move(): a tenant, `move`, its pool or its `deliver` is NULL");
	if (m->from == m->to)
		return moat_error(-EINVAL, "queue %u of port %u belongs to tenant '%s' already",
			m->queue, m->port, m->to->name);
	rc = check_lcore(m->from);
	if (rc == 0)
		rc = check_lcore(m->to);
	if (rc != 0 || tenant_has_pool(m->to, m->asked->pool))
		return rc;
	return moat_error(-EINVAL,
		"pool '%s' does not belong to tenant '%s'; give one that moat_tenant_pool() made for it",
		m->asked->pool->name, m->to->name);
}

static int find_queue(struct move *m)
{
	tenant_lock(m->from);
	m->old = tenant_queue_find(m->from, m->port, m->queue);
	tenant_unlock(m->from);
	if (m->old == NULL)
		return moat_error(-ENOENT, "tenant '%s' has no queue %u of port %u", m->from->name,
			m->queue, m->port);
	m->ops = tenant_port_moves(m->port);
	if (m->ops == NULL)
		return moat_error(-ENOTSUP,
			"port %u: its driver cannot give a queue of a running port to another tenant; stop "
			"the port, set the queue up with the other tenant's pool and socket, and add it there",
			m->port);
	return m->ops->requester(m->port, m->queue, &m->sid, &m->pasid);
}

/* Find the unit on which the queue's requester is attached to `from`. */
static int find_unit(struct move *m)
{
	struct moat_attachment at[TENANT_QUEUES];
	unsigned int n = moat_domain_attachments(m->from->domain, at, RTE_DIM(at));

	n = RTE_MIN(n, (unsigned int)RTE_DIM(at));
	for (unsigned int i = 0; i < n && m->unit == NULL; i++)
		if (at[i].sid == m->sid && at[i].pasid == m->pasid)
			m->unit = at[i].unit;
	if (m->unit == NULL)
		return moat_error(-ENOENT,
			"queue %u of port %u: its requester, " MOAT_SID_FMT
			", is not attached to tenant '%s'; call moat_tenant_attach() or "
			"moat_tenant_attach_pasid() first",
			m->queue, m->port, MOAT_SID_ARGS(m->sid), m->from->name);
	if (moat_domain_did(m->to->domain, m->unit) == 0)
		return moat_error(-EXDEV,
			"queue %u of port %u is behind unit %s, and tenant '%s' is not on it (its unit is "
			"%s); only tenants of one unit can exchange queues",
			m->queue, m->port, m->unit->name, m->to->name, m->to->domain->unit->name);
	return 0;
}

/* -------------------------------------------------------------------------- before the gap */

static int prepare(struct move *m)
{
	int rc = tenant_queue_announce(m->to, m->port, m->queue, &m->next);

	if (rc != 0)
		return rc;
	rc = m->ops->prepare(m->port, m->queue, m->to->socket, m->asked->pool, &m->memory);
	if (rc != 0) {
		tenant_queue_withdraw(m->to, m->next);
		m->next = NULL;
	}
	return rc;
}

/* Free the rings that the queue does not use, and `q` of tenant `t`: after a move those that the
 * queue had before, after an error those that prepare() made. */
static void release(struct move *m, struct moat_tenant *t, struct tenant_queue *q)
{
	m->ops->discard(m->port, m->queue, m->memory);
	tenant_queue_withdraw(t, q);
}

/* ------------------------------------------------------------------------------- in the gap */

/* One turn of a wait: poll both tenants, so that buffers come back and tickets become done, and
 * report quiescent states to the other tenants that this lcore has entered. */
static void turn(struct move *m)
{
	moat_tenant_poll(m->from);
	moat_tenant_poll(m->to);
	tenant_wait_turn();
}

static void deliver(struct move *m, struct rte_mbuf *pkts[], uint16_t n)
{
	if (n == 0)
		return;
	m->asked->delivered += n;
	m->asked->deliver(pkts, n, m->asked->arg);
}

/* Receive and deliver the old tenant's remaining frames, and deliver packets that are held back. */
static int receive_rest(struct move *m)
{
	uint32_t left = m->ops->left(m->port, m->queue), now;
	struct rte_mbuf *pkts[BURST];
	struct patience patience;
	uint16_t n;

	patience_begin(&patience);
	do {
		n = rte_eth_rx_burst(m->port, m->queue, pkts, BURST);
		deliver(m, pkts, n);
		now = m->ops->left(m->port, m->queue);
		if (n != 0 || now < left)
			patience_begin(&patience);
		else if (now != 0 && patience_ends(&patience))
			return moat_error(-ETIMEDOUT,
				"queue %u of port %u: %u frame%s not received: tenant '%s' has no buffers to "
				"receive into, or the unit refuses its rings; the queue stays with it",
				m->queue, m->port, now, now == 1 ? " was" : "s were",
				m->from->name);
		left = now;
		turn(m);
	} while (n != 0 || left != 0);
	while ((n = tenant_held_get(m->old, pkts, BURST)) != 0)
		deliver(m, pkts, n);
	if (tenant_held_count(m->old->held) == 0)
		return 0;
	return moat_error(-ETIMEDOUT,
		"queue %u of port %u: tickets of packets that tenant '%s' holds back are not done; the "
		"queue stays with it%s",
		m->queue, m->port, m->from->name, tenant_who_is_in(m->from));
}

static int send_rest(struct move *m)
{
	struct patience patience;
	int rc;

	patience_begin(&patience);
	while ((rc = m->ops->stop(m->port, m->queue)) == -EAGAIN) {
		if (patience_ends(&patience))
			return moat_error(-ETIMEDOUT,
				"queue %u of port %u: the wire does not accept the packets that tenant '%s' has "
				"posted; the queue stays with it",
				m->queue, m->port, m->from->name);
		turn(m);
	}
	return rc;
}

/* Attach the requester to the old domain again, after it could not be attached to the new one.
 * @return `error` */
static int domain_back(const struct move *m, int error)
{
	char why[256];
	int rc;

	snprintf(why, sizeof(why), "%s", moat_error_text());
	rc = moat_domain_attach_at(m->from->domain, m->unit, m->sid, m->pasid);
	if (rc == -EBUSY) { /* the detach timed out: the domain has it attached, the unit has not */
		rc = moat_domain_detach_at(m->from->domain, m->unit, m->sid, m->pasid);
		if (rc == 0)
			rc = moat_domain_attach_at(m->from->domain, m->unit, m->sid, m->pasid);
	}
	if (rc == 0)
		return moat_error(error, "queue %u of port %u stays with tenant '%s': %s", m->queue,
			m->port, m->from->name, why);
	return moat_error(error,
		"queue %u of port %u stays with tenant '%s', but cannot reach its memory: %s; attaching "
		"it again failed (%d); detach and attach its requester when the unit answers",
		m->queue, m->port, m->from->name, why, rc);
}

static int domain_change(const struct move *m)
{
	int rc = moat_domain_detach_at(m->from->domain, m->unit, m->sid, m->pasid);

	if (rc == -ENOENT) /* another thread has detached it: nothing to undo */
		return rc;
	if (rc == 0)
		rc = moat_domain_attach_at(m->to->domain, m->unit, m->sid, m->pasid);
	return rc == 0 ? 0 : domain_back(m, rc);
}

/* The steps from the separation of old frames from new ones to the last step that can fail. */
static int cross(struct move *m)
{
	int rc = receive_rest(m);

	if (rc == 0)
		rc = send_rest(m);
	if (rc == 0)
		rc = tenant_queue_engage(m->next);
	return rc == 0 ? domain_change(m) : rc;
}

static int move(struct move *m)
{
	uint64_t since = rte_rdtsc();
	char why[512];
	int rc = m->ops->hold(m->port, m->queue);

	if (rc == 0) {
		rc = cross(m);
		if (rc == 0) {
			m->ops->exchange(m->port, m->queue, m->memory);
			m->old->tenant = NULL; /* the old callbacks pass on packets unchanged */
		}
		m->ops->resume(m->port, m->queue);
		m->asked->gap = rte_rdtsc() - since;
	}
	if (rc == 0) {
		release(m, m->from, m->old);
		return 0;
	}
	snprintf(why, sizeof(why), "%s", moat_error_text());
	release(m, m->to, m->next);
	return moat_error(rc, "%s", why);
}

int moat_tenant_queue_move(struct moat_tenant *from, struct moat_tenant *to, uint16_t port,
	uint16_t queue, struct moat_queue_move *asked)
{
	struct move m = { .from = from, .to = to, .port = port, .queue = queue, .asked = asked };
	int rc;

	if (asked != NULL) {
		asked->gap = 0;
		asked->delivered = 0;
	}
	rc = check_arguments(&m);
	if (rc == 0)
		rc = find_queue(&m);
	if (rc == 0)
		rc = find_unit(&m);
	if (rc == 0)
		rc = prepare(&m);
	if (rc != 0)
		return rc;
	return move(&m);
}
