/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Can a queue's DMA reach the tenant's memory? moat can check this for drivers that declare their
 * requesters (moat_device_requesters()). */

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "tenant_impl.h"

/* By port. Relaxed: the driver sets this when it creates the port, before any thread can add the
 * port's queues. */
static _Atomic(moat_requester_fn) requesters[RTE_MAX_ETHPORTS];

void moat_device_requesters(uint16_t port, moat_requester_fn requester)
{
	if (port < RTE_MAX_ETHPORTS)
		atomic_store_explicit(&requesters[port], requester, memory_order_relaxed);
}

/* Get a queue's requester. @return false: the driver has not declared it */
static bool queue_requester(uint16_t port, uint16_t queue, struct moat_device_requester *requester)
{
	moat_requester_fn says = port < RTE_MAX_ETHPORTS
		? atomic_load_explicit(&requesters[port], memory_order_relaxed)
		: NULL;

	return says != NULL && says(port, queue, requester) == 0;
}

/* The attachments of a tenant's domain. */
struct attached {
	struct moat_attachment at[TENANT_QUEUES];
	unsigned int n;
};

static void attached_get(const struct moat_tenant *t, struct attached *a)
{
	a->n = RTE_MIN(moat_domain_attachments(t->domain, a->at, RTE_DIM(a->at)),
		(unsigned int)RTE_DIM(a->at));
}

int tenant_check_unit(const struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	struct moat_device_requester r;
	struct attached a;

	if (!queue_requester(port, queue, &r) || strcmp(r.unit, t->domain->unit->name) == 0)
		return 0;
	attached_get(t, &a);
	for (unsigned int i = 0; i < a.n; i++)
		if (strcmp(r.unit, a.at[i].unit->name) == 0)
			return 0;
	return moat_error(-EXDEV,
		"tenant '%s': port %u is behind unit %s, and the tenant is on unit %s, so that the port's "
		"device cannot reach the tenant's memory; give the port %s=%s",
		t->name, port, r.unit, t->domain->unit->name, r.unit_key, t->domain->unit->name);
}

static bool is_attached(const struct attached *a, const struct moat_device_requester *r)
{
	for (unsigned int i = 0; i < a->n; i++)
		if (a->at[i].sid == r->sid && a->at[i].pasid == r->pasid &&
			strcmp(a->at[i].unit->name, r->unit) == 0)
			return true;
	return false;
}

static void say_unattached(const struct moat_tenant *t, const struct tenant_queue *q,
	const struct moat_device_requester *r)
{
	char pasid[24] = "";

	if (r->pasid != MOAT_PASID_NONE)
		snprintf(pasid, sizeof(pasid), ", PASID %" PRIu32, r->pasid);
	TENANT_LOG(WARNING,
		"tenant '%s': the DMA of queue %u of port %u has source " MOAT_SID_FMT
		"%s, which is not attached to the tenant: the device reaches nothing; call "
		"moat_tenant_attach%s() with it",
		t->name, q->queue, q->port, MOAT_SID_ARGS(r->sid), pasid,
		r->pasid != MOAT_PASID_NONE ? "_pasid" : "");
}

void tenant_say_unattached(struct moat_tenant *t)
{
	struct moat_device_requester r;
	struct attached a;

	attached_get(t, &a);
	tenant_lock(t);
	for (unsigned int i = 0; i < t->nr_queues && !t->said_unattached; i++) {
		const struct tenant_queue *q = t->queues[i];
		bool known = !q->gone && queue_requester(q->port, q->queue, &r);

		if (q->gone || (known ? is_attached(&a, &r) : a.n != 0))
			continue;
		t->said_unattached = true;
		if (known)
			say_unattached(t, q, &r);
		else
			TENANT_LOG(WARNING,
				"tenant '%s' has queues and no requester: its devices reach nothing; call "
				"moat_tenant_attach()",
				t->name);
	}
	tenant_unlock(t);
}
