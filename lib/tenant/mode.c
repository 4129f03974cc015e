/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The modes by number and by name. */

#include <errno.h>
#include <string.h>

#include "mode.h"
#include "ticket.h"

const struct tenant_mode *const tenant_modes[MOAT_MODES] = {
	[MOAT_STATIC] = &tenant_mode_static,
	[MOAT_STRICT] = &tenant_mode_strict,
	[MOAT_PIPELINED] = &tenant_mode_pipelined,
	[MOAT_DEFERRED] = &tenant_mode_deferred,
	[MOAT_COPY] = &tenant_mode_copy,
};

moat_ticket_t tenant_mode_flush(struct moat_tenant *t, struct tenant_lcore *lc)
{
	return tenant_flush(lc->lane);
}

const char *moat_mode_name(enum moat_mode mode)
{
	return (unsigned int)mode < MOAT_MODES ? tenant_modes[mode]->name : "unknown";
}

int moat_mode_parse(const char *text, enum moat_mode *mode)
{
	char names[128] = "";

	for (unsigned int i = 0; i < MOAT_MODES; i++) {
		if (text != NULL && strcmp(text, tenant_modes[i]->name) == 0) {
			*mode = i;
			return 0;
		}
		strncat(names, i == 0 ? "" : ", ", sizeof(names) - strlen(names) - 1);
		strncat(names, tenant_modes[i]->name, sizeof(names) - strlen(names) - 1);
	}
	return moat_error(-EINVAL, "mode '%s' is unknown; the modes are %s",
		text != NULL ? text : "", names);
}
