/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See moat_interrupt.h. */

#include <errno.h>

#include "moat_interrupt.h"
#include "tenant_impl.h"

static int is_null(const char *call, const char *what)
{
	return moat_error(-EINVAL, "%s(): the %s is NULL", call, what);
}

static int gives_none(const struct moat_unit *unit)
{
	return moat_error(-EOPNOTSUPP,
		"unit %s (kind %s) gives no interrupts: the kernel owns them; ask the device's own "
		"driver, or poll its queues",
		unit->name, unit->kind);
}

/* Set the error text for the unit's -ENOENT. The unit itself checks what is attached to it, so it
 * gives no interrupt to a requester that another thread detaches meanwhile. */
static int given(const struct moat_tenant *t, moat_sid_t sid, int ret)
{
	if (ret != -ENOENT)
		return ret;
	return moat_error(ret,
		"tenant '%s': source " MOAT_SID_FMT
		" is not attached to the tenant on the tenant's own unit; call moat_tenant_attach() first",
		t->name, MOAT_SID_ARGS(sid));
}

int moat_tenant_interrupt(struct moat_tenant *t, moat_sid_t sid, void (*fn)(void *ctx), void *ctx,
	struct moat_interrupt *interrupt)
{
	struct moat_unit *unit;

	if (t == NULL || fn == NULL || interrupt == NULL)
		return is_null("moat_tenant_interrupt",
			t == NULL            ? "tenant"
				: fn == NULL ? "function"
					     : "interrupt");
	unit = t->domain->unit;
	if (unit->ops->interrupt_give == NULL)
		return gives_none(unit);
	return given(t, sid, unit->ops->interrupt_give(unit, t->domain, sid, fn, ctx, interrupt));
}

int moat_tenant_interrupt_post(struct moat_tenant *t, moat_sid_t sid, struct moat_posted *line,
	uint8_t vector, struct moat_interrupt *interrupt)
{
	struct moat_unit *unit;

	if (t == NULL || line == NULL || interrupt == NULL)
		return is_null("moat_tenant_interrupt_post",
			t == NULL              ? "tenant"
				: line == NULL ? "line"
					       : "interrupt");
	unit = t->domain->unit;
	if (unit->ops->interrupt_post == NULL)
		return gives_none(unit);
	return given(t, sid,
		unit->ops->interrupt_post(unit, t->domain, sid, line, vector, interrupt));
}

int moat_tenant_interrupt_end(struct moat_tenant *t, const struct moat_interrupt *interrupt)
{
	struct moat_unit *unit;

	if (t == NULL || interrupt == NULL)
		return is_null("moat_tenant_interrupt_end", t == NULL ? "tenant" : "interrupt");
	unit = t->domain->unit;
	if (unit->ops->interrupt_take == NULL)
		return gives_none(unit);
	return unit->ops->interrupt_take(unit, t->domain, interrupt);
}
