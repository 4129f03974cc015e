/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>

#include "app_unit.h"
#include "moat_soft_unit.h"

const char *const app_unit_kinds[APP_UNIT_KINDS + 1] = { "soft", NULL };

bool app_unit_in_process(enum app_unit_kind kind)
{
	return kind == APP_UNIT_SOFT;
}

int app_unit_open(enum app_unit_kind kind, const char *name, const char *args,
	struct moat_unit **unit)
{
	switch (kind) {
	case APP_UNIT_SOFT:
		return moat_soft_unit_create(name, args, unit);
	default:
		return moat_error(-EINVAL, "unit %s: its kind is unknown", name);
	}
}

void app_unit_close(struct moat_unit *unit)
{
	unit->ops->destroy(unit);
}

void app_unit_stats(struct moat_unit *unit, struct app_unit_stats *stats)
{
	struct moat_softvtd *sv = moat_soft_unit_find(unit->name);
	struct moat_softvtd_stats soft;
	struct moat_qi_stats qi = { 0 };

	if (unit->qi != NULL)
		moat_qi_stats(unit->qi, &qi);
	*stats = (struct app_unit_stats){ .descriptors = qi.descriptors, .waits = qi.waits };
	if (sv == NULL)
		return;
	moat_softvtd_stats(sv, &soft);
	stats->pages = soft.pages;
	stats->stale_dma = soft.stale_dma;
	stats->has_oracle = moat_softvtd_witness(sv) != NULL;
	stats->iotlb_hits = soft.iotlb_hits;
	stats->iotlb_misses = soft.iotlb_misses;
}
