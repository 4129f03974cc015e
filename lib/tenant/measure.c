/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See moat_tenant_measure.h. */

#include <string.h>

#include "moat_tenant_measure.h"
#include "tenant_impl.h"

void moat_tenant_stopwatch(bool on)
{
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);

	watch->on = on;
	moat_cost_start(watch);
}

bool moat_tenant_stopwatch_on(void)
{
	return RTE_PER_LCORE(moat_cost_watch).on;
}

void moat_tenant_charge(struct moat_tenant *t, unsigned int packets)
{
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);
	struct tenant_lcore *lc;

	if (!watch->on)
		return;
	lc = t->lcores[tenant_slot()];
	if (unlikely(lc == NULL || !lc->entered))
		return;
	/* A turn without a packet is idle as a whole, with the software NIC's cycles in it: per
	 * packet these would only show how low the load was. */
	if (packets == 0)
		watch->device = RTE_PER_LCORE(moat_cost_device_cycles);
	moat_cost_mark(watch, &lc->cost, packets != 0 ? MOAT_STAGE_APPLICATION : MOAT_STAGE_IDLE);
}

/* now - before, for each member of struct moat_cost that is a number. */
static struct moat_cost cost_between(const struct moat_cost *before, const struct moat_cost *now)
{
	struct moat_cost d = { .packets = now->packets - before->packets,
		.bursts = now->bursts - before->bursts,
		.marks = now->marks - before->marks };

	for (unsigned int i = 0; i < MOAT_STAGES; i++)
		d.cycles[i] = now->cycles[i] - before->cycles[i];
	return d;
}

void moat_tenant_price(struct moat_tenant *t, struct moat_cost *since,
	struct moat_tenant_price *price)
{
	const struct moat_cost never = { 0 };
	struct moat_tenant_stats stats;
	struct moat_cost d;

	moat_tenant_stats(t, &stats);
	d = cost_between(since != NULL ? since : &never, &stats.cost);
	if (since != NULL)
		*since = stats.cost;
	memset(price, 0, sizeof(*price));
	price->packets = d.packets;
	price->bursts = d.bursts;
	if (d.packets == 0)
		return;
	for (unsigned int i = 0; i < MOAT_STAGES; i++)
		price->stage[i] = (double)d.cycles[i] / (double)d.packets;
	price->mapping = (double)moat_cost_mapping(&d) / (double)d.packets;
	price->overhead = moat_cost_overhead(&d, moat_cost_per_mark());
}

/* --------------------------------------------------------------------------------------- faults */

#define MANY 256 /* a domain has at most this many attachments */

struct search {
	const struct moat_unit *unit;
	const struct moat_fault *fault;
	struct moat_tenant *found;
};

static void is_it(struct moat_tenant *t, void *arg)
{
	struct search *s = arg;
	struct moat_attachment at[MANY];
	unsigned int n;

	if (s->found != NULL)
		return;
	n = RTE_MIN(moat_domain_attachments(t->domain, at, MANY), (unsigned int)MANY);
	for (unsigned int i = 0; i < n && s->found == NULL; i++)
		if (at[i].unit == s->unit && at[i].sid == s->fault->sid &&
			at[i].pasid == s->fault->pasid)
			s->found = t;
	if (s->found != NULL)
		__atomic_fetch_add(&t->faults, 1, __ATOMIC_RELAXED); /* only a counter */
}

unsigned int moat_tenant_faults(struct moat_unit *unit, struct moat_tenant_fault faults[],
	unsigned int n)
{
	struct moat_fault raw[32];
	unsigned int got = 0;

	while (unit->ops->faults != NULL && got < n) {
		unsigned int ask = RTE_MIN(n - got, (unsigned int)RTE_DIM(raw));
		unsigned int k = unit->ops->faults(unit, raw, ask);

		for (unsigned int i = 0; i < k; i++) {
			struct search s = { unit, &raw[i], NULL };

			tenant_each(is_it, &s);
			faults[got++] = (struct moat_tenant_fault){ raw[i], s.found };
		}
		if (k < ask)
			break;
	}
	return got;
}
