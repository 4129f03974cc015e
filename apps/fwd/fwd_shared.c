/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Tenants that share a function by PASID and yet get interrupts from the unit
 * (share_interrupts). A unit verifies the source-id of an interrupt and nothing else, so the queues
 * of each of these tenants can raise the others' interrupts, too.
 */

#include <stdio.h>

#include "fwd.h"

static bool has_queue(const struct fwd_run_tenant *t, uint16_t port)
{
	unsigned int n = atomic_load_explicit(&t->nr_groups, memory_order_acquire);

	for (unsigned int i = 0; i < n; i++)
		for (unsigned int at = 0; at < t->groups[i].nr_ports; at++)
			if (t->groups[i].at[at].port == port)
				return true;
	return false;
}

void fwd_shared_look(struct fwd_run_port *port)
{
	uint32_t pasid = MOAT_PASID_NONE;

	port->by_pasid =
		fwd_port_queue_sid(port, 0, &port->sid, &pasid) == 0 && pasid != MOAT_PASID_NONE;
}

const char *fwd_shared_text(const struct fwd_run *run, const struct fwd_run_port *port, char text[],
	size_t len)
{
	unsigned int n = 0;
	size_t at = 0;

	text[0] = '\0';
	if (!port->by_pasid || !app_unit_shares_interrupts(port->conf->unit->unit))
		return text;
	for (unsigned int i = 0; i < run->conf->nr_tenants && at < len; i++)
		if (has_queue(&run->tenants[i], port->id))
			at += snprintf(text + at, len - at, "%s%s", n++ != 0 ? ", " : "",
				run->tenants[i].conf->name);
	if (n < 2)
		text[0] = '\0';
	else if (at < len)
		snprintf(text + at, len - at,
			" share function " MOAT_SID_FMT
			" by PASID, and an interrupt carries no PASID: each can raise the others' (share_interrupts)",
			MOAT_SID_ARGS(port->sid));
	return text;
}
