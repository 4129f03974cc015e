/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See moat_interrupt.h. */

#include <errno.h>
#include <stdlib.h>

#include "moat_attach.h"
#include "moat_interrupt.h"
#include "tenant_impl.h"

/* @return the tenant's own unit, if `sid` is attached to it there; NULL: it has not
 *   (moat_error_text()) */
static struct moat_unit *unit_of(struct moat_tenant *t, moat_sid_t sid)
{
	unsigned int n = moat_domain_attachments(t->domain, NULL, 0);
	struct moat_attachment *at = calloc(n + 1, sizeof(*at));
	struct moat_unit *unit = NULL;
	unsigned int most = n + 1;

	n = at != NULL ? moat_domain_attachments(t->domain, at, most) : 0;
	for (unsigned int i = 0; i < RTE_MIN(n, most) && unit == NULL; i++)
		if (at[i].sid == sid && at[i].unit == t->domain->unit)
			unit = at[i].unit;
	free(at);
	if (unit == NULL)
		moat_error(-ENOENT,
			"tenant '%s': source " MOAT_SID_FMT
			" is not attached to it on its own unit; moat_tenant_attach() must come first",
			t->name, MOAT_SID_ARGS(sid));
	return unit;
}

static int gives_none(const struct moat_unit *unit)
{
	return moat_error(-EOPNOTSUPP,
		"unit %s (kind %s) gives no interrupts: the kernel owns them; ask the device's own "
		"driver, or poll its queues",
		unit->name, unit->kind);
}

int moat_tenant_interrupt(struct moat_tenant *t, moat_sid_t sid, void (*fn)(void *ctx), void *ctx,
	struct moat_interrupt *interrupt)
{
	struct moat_unit *unit = unit_of(t, sid);

	if (unit == NULL)
		return -ENOENT;
	if (unit->ops->interrupt_give == NULL)
		return gives_none(unit);
	return unit->ops->interrupt_give(unit, sid, fn, ctx, interrupt);
}

int moat_tenant_interrupt_post(struct moat_tenant *t, moat_sid_t sid, struct moat_posted *line,
	uint8_t vector, struct moat_interrupt *interrupt)
{
	struct moat_unit *unit = unit_of(t, sid);

	if (unit == NULL)
		return -ENOENT;
	if (unit->ops->interrupt_post == NULL)
		return gives_none(unit);
	return unit->ops->interrupt_post(unit, sid, line, vector, interrupt);
}

int moat_tenant_interrupt_end(struct moat_tenant *t, const struct moat_interrupt *interrupt)
{
	struct moat_unit *unit = t->domain->unit;

	if (unit->ops->interrupt_take == NULL)
		return gives_none(unit);
	return unit->ops->interrupt_take(unit, interrupt);
}
