/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* What units refused, in words. A faulty device may fault at every packet: so few lines are printed
 * in a second, but all faults are counted. */

#include <inttypes.h>

#include "fwd.h"
#include "moat_telemetry.h"
#include "moat_tenant_measure.h"
#include "moat_vtd_regs.h"

#define LINES_PER_S 8

static fwd_fault_hook_t hook;
static void *hook_ctx;

void fwd_faults_hook(fwd_fault_hook_t function, void *ctx)
{
	hook = function;
	hook_ctx = ctx;
}

bool fwd_fault_is_interrupt(const struct moat_fault *f)
{
	return f->reason >= VTD_FR_IR_RSVD && f->reason <= VTD_FR_PI_RSVD;
}

static struct fwd_run_tenant *find_tenant(struct fwd_run *run, const struct moat_tenant *tenant)
{
	for (unsigned int i = 0; tenant != NULL && i < run->conf->nr_tenants; i++)
		if (run->tenants[i].tenant == tenant)
			return &run->tenants[i];
	return NULL;
}

/* May another line be printed in this second? Also prints how many the last second held back. */
static bool ration(void)
{
	static uint64_t second, lines, held;
	uint64_t now = (uint64_t)fwd_report_seconds();

	if (now != second) {
		if (held != 0)
			fwd_report_line("fault: %ju more, not shown", (uintmax_t)held);
		second = now;
		lines = held = 0;
	}
	if (lines++ < LINES_PER_S)
		return true;
	held++;
	return false;
}

static void print_fault(const struct fwd_unit *unit, const struct fwd_run_tenant *t,
	const struct moat_fault *f)
{
	char pasid[24] = "";

	if (!ration())
		return;
	if (f->pasid != MOAT_PASID_NONE)
		snprintf(pasid, sizeof(pasid), ", PASID %" PRIu32, f->pasid);
	if (fwd_fault_is_interrupt(f))
		fwd_report_line("fault: unit %s refused %s%s (source-id " MOAT_SID_FMT
				") an interrupt by entry %u: reason %u, %s",
			unit->name, t != NULL ? "tenant " : "an unattached device",
			t != NULL ? t->conf->name : "", MOAT_SID_ARGS(f->sid),
			(unsigned int)(f->iova >> VTD_FRCD_INDEX_SHIFT), f->reason, f->reason_text);
	else
		fwd_report_line("fault: unit %s refused %s%s (source-id " MOAT_SID_FMT
				"%s) a %s at IOVA 0x%" PRIx64 ": reason %u, %s",
			unit->name, t != NULL ? "tenant " : "an unattached device",
			t != NULL ? t->conf->name : "", MOAT_SID_ARGS(f->sid), pasid,
			f->write ? "write" : "read", f->iova, f->reason, f->reason_text);
}

void fwd_faults_poll(struct fwd_run *run)
{
	struct moat_tenant_fault faults[32];

	for (unsigned int i = 0; i < run->conf->nr_units; i++) {
		struct fwd_unit *unit = &run->conf->units[i];
		unsigned int n = moat_tenant_faults(unit->unit, faults, RTE_DIM(faults));

		run->unit_faults[i] += n;
		for (unsigned int k = 0; k < n; k++) {
			const struct moat_fault *f = &faults[k].fault;
			const struct fwd_run_tenant *t = find_tenant(run, faults[k].tenant);

			moat_telemetry_fault(unit->unit, t != NULL ? t->conf->name : NULL, f);
			if (hook == NULL || !hook(hook_ctx, f))
				print_fault(unit, t, f);
		}
	}
}
