/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * --attack: the first tenant's device raises interrupts that it may not: one of the host by a
 * vector of its choice, one of the second tenant by that tenant's entry, and one of its own by an
 * entry that was taken back. Each must lead to a fault of the device's source-id. Tenants that
 * share a function by PASID are given no entries; then every possible entry is tried.
 */

#include <errno.h>
#include <inttypes.h>

#include "fwd.h"
#include "moat_interrupt.h"
#include "moat_net.h"
#include "moat_vtd_intr.h"
#include "moat_vtd_irte.h"

#define FORGED_ADDRESS UINT64_C(0xfee00000) /* the first processor, in compatibility format */
#define FORGED_VECTOR  0x31

struct attempt {
	moat_sid_t sid;
	const struct moat_fault *fault; /* of `sid`; NULL: none came */
	struct moat_fault last;
};

static bool on_fault(void *ctx, const struct moat_fault *f)
{
	struct attempt *a = ctx;

	if (f->sid != a->sid || !fwd_fault_is_interrupt(f))
		return false;
	a->last = *f;
	a->fault = &a->last;
	return true;
}

static void count_call(void *ctx)
{
	__atomic_fetch_add((unsigned int *)ctx, 1, __ATOMIC_RELAXED); /* a counter */
}

/* @return true: it was refused, and the fault is in `a` */
static bool refused(struct fwd_run *run, const struct fwd_intr_attack *at, uint64_t address,
	uint32_t data, struct attempt *a, int *rc)
{
	*a = (struct attempt){ .sid = at->sid };
	fwd_faults_hook(on_fault, a);
	*rc = moat_net_interrupt(at->port, at->queue, address, data);
	fwd_faults_poll(run);
	fwd_faults_hook(NULL, NULL);
	return *rc > 0 && a->fault != NULL;
}

/* @return true: it was refused, and the fault was recorded */
static bool try_one(struct fwd_run *run, const struct fwd_intr_attack *at, const char *text,
	uint64_t address, uint32_t data)
{
	struct attempt a;
	int rc;

	if (refused(run, at, address, data, &a, &rc))
		fwd_report_line("attack: %s tries to %s: refused, source-id " MOAT_SID_FMT
				", reason %u: %s",
			at->red->conf->name, text, MOAT_SID_ARGS(at->sid), a.last.reason,
			a.last.reason_text);
	else if (rc > 0)
		fwd_report_line(
			"attack: %s tries to %s: refused (reason %d), but no fault was recorded",
			at->red->conf->name, text, rc);
	else
		fwd_report_line("attack: %s tries to %s: NOT REFUSED%s", at->red->conf->name, text,
			rc < 0 ? ", because the device could not try it" : "");
	return rc > 0 && a.fault != NULL;
}

/* Try every entry, as no tenant has one: the first tenant may reach none of them. @return true: all
 * were refused */
static bool try_all_entries(struct fwd_run *run, const struct fwd_intr_attack *at)
{
	const unsigned int n = 1u << MOAT_VTD_IRT_ORDER;
	unsigned int ok = 0;
	struct attempt a;
	int rc;

	for (unsigned int i = 0; i < n; i++)
		ok += refused(run, at, VTD_MSI_BASE | VTD_MSI_REMAPPABLE | VTD_MSI_HANDLE(i), 0, &a,
			&rc);
	if (ok == n)
		fwd_report_line("attack: %s tries to raise an interrupt of %s's, by each of %u "
				"entries: refused, source-id " MOAT_SID_FMT ", reason %u: %s",
			at->red->conf->name, at->blue->conf->name, n, MOAT_SID_ARGS(at->sid),
			a.last.reason, a.last.reason_text);
	else
		fwd_report_line("attack: %s tries to raise an interrupt of %s's, by each of %u "
				"entries: NOT REFUSED, %u times",
			at->red->conf->name, at->blue->conf->name, n, n - ok);
	return ok == n;
}

/* Try the second tenant's entry, and one of the first tenant's that was taken back. @return 1: both
 * were refused and called no handler; 0: not so; or a negative errno */
static int try_entries(struct fwd_run *run, const struct fwd_intr_attack *at)
{
	struct moat_tenant *red = at->red->tenant, *blue = at->blue->tenant;
	unsigned int calls[2] = { 0, 0 };
	struct moat_interrupt its, mine;
	char text[64];
	bool all;
	int rc = moat_tenant_interrupt(blue, at->blue_sid, count_call, &calls[1], &its);

	if (rc == -EPERM) {
		fwd_report_line("attack: %s", moat_error_text());
		return try_all_entries(run, at);
	}
	if (rc != 0)
		return rc;
	rc = moat_tenant_interrupt(red, at->sid, count_call, &calls[0], &mine);
	if (rc != 0) {
		moat_tenant_interrupt_end(blue, &its);
		return rc;
	}
	snprintf(text, sizeof(text), "raise an interrupt of %s's", at->blue->conf->name);
	all = try_one(run, at, text, its.address, its.data);
	rc = moat_net_interrupt(at->port, at->queue, mine.address,
		mine.data); /* its own, which must arrive */
	if (rc == 0)
		rc = moat_tenant_interrupt_end(red, &mine);
	if (rc == 0)
		all &= try_one(run, at, "raise an interrupt that was taken back", mine.address,
			mine.data);
	if (!all && at->sid == at->blue_sid)
		fwd_report_line(
			"attack: %s and %s share source-id " MOAT_SID_FMT
			", and an interrupt carries no PASID: the unit cannot tell theirs apart",
			at->red->conf->name, at->blue->conf->name, MOAT_SID_ARGS(at->sid));
	if (rc != 0 || calls[0] != 1 || calls[1] != 0)
		fwd_report_line("attack: %s's handler was called %u times (1 is right), %s's %u "
				"times (0 is right)",
			at->red->conf->name, calls[0], at->blue->conf->name, calls[1]);
	all &= rc == 0 && calls[0] == 1 && calls[1] == 0;
	rc = moat_tenant_interrupt_end(blue, &its);
	return rc != 0 ? rc : all;
}

int fwd_attack_interrupts(struct fwd_run *run, const struct fwd_intr_attack *at)
{
	const struct moat_unit *unit = at->red->conf->unit->unit;
	bool host;
	int rc;

	if (moat_vtd_interrupts(unit) != MOAT_VTD_INTERRUPTS_BLOCK) {
		fwd_report_line("attack: interrupts are not tried: unit %s does not block them",
			unit->name);
		return 1;
	}
	host = try_one(run, at, "raise an interrupt of the host's", FORGED_ADDRESS, FORGED_VECTOR);
	rc = try_entries(run, at);
	if (rc < 0)
		fwd_report_line("attack: interrupts of tenants are not tried: %s",
			moat_error_text());
	return rc < 0 ? rc : host && rc == 1;
}
