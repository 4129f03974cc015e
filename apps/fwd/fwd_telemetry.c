/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* What dpdk-telemetry.py sees of a run: units and tenants, from set-up to teardown. */

#include "fwd.h"
#include "moat_telemetry.h"

/* Add the counters that only the software unit has. */
static void more(struct moat_unit *unit, struct rte_tel_data *dict)
{
	struct app_unit_stats s;

	app_unit_stats(unit, &s);
	if (s.has_pages) {
		moat_telemetry_number(dict, "pages", s.pages);
		moat_telemetry_number(dict, "iotlb_hits", s.iotlb_hits);
		moat_telemetry_number(dict, "iotlb_misses", s.iotlb_misses);
	}
	if (s.has_oracle) {
		moat_telemetry_number(dict, "stale_dma", s.stale_dma);
		moat_telemetry_number(dict, "stale_interrupts", s.stale_interrupts);
	}
}

int fwd_telemetry_begin(struct fwd_run *run)
{
	int rc = 0;

	for (unsigned int i = 0; i < run->conf->nr_units && rc == 0; i++)
		rc = moat_telemetry_add_unit(run->conf->units[i].unit, more);
	for (unsigned int i = 0; i < run->conf->nr_tenants && rc == 0; i++)
		rc = moat_telemetry_add_tenant(run->tenants[i].tenant);
	return rc;
}

void fwd_telemetry_end(struct fwd_run *run)
{
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++)
		if (run->tenants[i].tenant != NULL)
			moat_telemetry_remove_tenant(run->tenants[i].tenant);
	for (unsigned int i = 0; i < run->conf->nr_units; i++)
		if (run->conf->units[i].unit != NULL)
			moat_telemetry_remove_unit(run->conf->units[i].unit);
}
