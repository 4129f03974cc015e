/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <string.h>

#include "doctor_check.h"

enum {
	VFIO = 1 << DOCTOR_VFIO,
	VTD = 1 << DOCTOR_VTD,
	BOTH = VFIO | VTD,
};

/** What a check needs; a check without it is moot. */
enum need {
	NOTHING,
	SYSFS,
	IOMMU, /* an IOMMU that is on or could be turned on */
	UNIT,  /* an IOMMU that is on; with vtd: one in the DMAR table */
};

static const struct check {
	const char *name;
	unsigned int ways;
	enum need need;
	void (*run)(const struct doctor_case *c, struct doctor_finding *f);
} checks[] = {
	{ "privileges", BOTH, IOMMU, doctor_check_privileges },
	{ "processor", BOTH, NOTHING, doctor_check_processor },
	{ "firmware", BOTH, NOTHING, doctor_check_firmware },
	{ "command-line", BOTH, IOMMU, doctor_check_command_line },
	{ "units", BOTH, IOMMU, doctor_check_units },
	{ "interrupt-remapping", VFIO, UNIT, doctor_check_interrupt_remapping },
	{ "interrupts", VTD, UNIT, doctor_check_interrupts },
	{ "iova-width", BOTH, IOMMU, doctor_check_iova_width },
	{ "groups", BOTH, UNIT, doctor_check_groups },
	{ "acs", BOTH, UNIT, doctor_check_acs },
	{ "rmrr", BOTH, IOMMU, doctor_check_rmrr },
	{ "errata", BOTH, IOMMU, doctor_check_errata },
	{ "sriov", BOTH, IOMMU, doctor_check_sriov },
	{ "drivers", BOTH, UNIT, doctor_check_drivers },
	{ "vfio", VFIO, IOMMU, doctor_check_vfio },
	{ "uio", VTD, IOMMU, doctor_check_uio },
	{ "no-iommu", VFIO, SYSFS, doctor_check_no_iommu },
	{ "dma-entry-limit", VFIO, IOMMU, doctor_check_dma_entry_limit },
	{ "memlock", VFIO, IOMMU, doctor_check_memlock },
	{ "hugepages", BOTH, SYSFS, doctor_check_hugepages },
	{ "kernel-dma", VFIO, UNIT, doctor_check_kernel_dma },
	{ "pmu", BOTH, UNIT, doctor_check_pmu },
};

enum doctor_way doctor_way_of(const struct doctor_host *h)
{
	/* An appliance: the kernel drives no unit, and the registers can be mapped. */
	if (h->words.intel == DOCTOR_OFF && doctor_driven(h, -1) == 0 && h->words.relaxed)
		return DOCTOR_VTD;
	return DOCTOR_VFIO;
}

static const char *lacking(const struct doctor_case *c, enum need need)
{
	bool on = c->way == DOCTOR_VTD ? c->host->dmar != NULL : doctor_driven(c->host, -1) != 0;

	if (need != NOTHING && !c->host->sysfs)
		return "there is no /sys here";
	if (need > SYSFS && doctor_lacks_iommu(c->host) != NULL)
		return doctor_lacks_iommu(c->host);
	if (need == UNIT && !on)
		return c->way == DOCTOR_VTD ? "no unit is known" : "no IOMMU is on";
	return NULL;
}

/* ------------------------------------------------------------------------------------ verdict */

static const struct doctor_finding *first(const struct doctor_report *r, enum doctor_state state)
{
	for (unsigned int i = 0; i < r->nr_findings; i++)
		if (!r->finding[i].moot && r->finding[i].state == state)
			return &r->finding[i];
	return NULL;
}

static char *verdict(const struct doctor_case *c, const struct doctor_report *r)
{
	const char *way = doctor_way_names[c->way];
	unsigned int own = c->tenants.count[DOCTOR_OWN], warnings = r->count[DOCTOR_WARN];

	switch (r->state) {
	case DOCTOR_OK:
		return doctor_format("Yes: this host is ready for kind = %s, and %u function%s can "
				     "be a tenant's of its own.",
			way, own, own == 1 ? "" : "s");
	case DOCTOR_WARN:
		if (c->tenants.ready != 0)
			return doctor_format("Yes, with kind = %s; %u thing%s to look at first.",
				way, warnings, warnings == 1 ? "" : "s");
		return doctor_format(
			"Not yet: with kind = %s no function is ready to be a tenant's; "
			"%u thing%s to do first.",
			way, warnings, warnings == 1 ? "" : "s");
	case DOCTOR_UNKNOWN:
		return doctor_format(
			"Perhaps: nothing seen stands in the way of kind = %s, but not "
			"all can be seen from here.",
			way);
	default:
		return doctor_format(
			"Not with hardware isolation: %s. The software unit will be used "
			"(kind = soft): it runs here as it is, and isolates what goes "
			"through net_moat.",
			first(r, DOCTOR_FAIL)->summary);
	}
}

/** List the checks with a remedy, failures first. */
static void make_list(struct doctor_report *r)
{
	static const enum doctor_state order[] = { DOCTOR_FAIL, DOCTOR_UNKNOWN, DOCTOR_WARN };

	for (unsigned int o = 0; o < RTE_DIM(order); o++)
		for (unsigned int i = 0; i < r->nr_findings; i++)
			if (!r->finding[i].moot && r->finding[i].state == order[o] &&
				r->finding[i].remedy.n != 0)
				doctor_say(&r->next, "%s", r->finding[i].name);
}

void doctor_judge(const struct doctor_case *c, struct doctor_report *r)
{
	RTE_BUILD_BUG_ON(RTE_DIM(checks) > DOCTOR_CHECKS_MAX);
	*r = (struct doctor_report){ .way = c->way, .state = DOCTOR_OK };
	for (unsigned int i = 0; i < RTE_DIM(checks); i++) {
		struct doctor_finding *f = &r->finding[r->nr_findings];
		const char *lack = lacking(c, checks[i].need);

		if (!(checks[i].ways & 1 << c->way))
			continue;
		r->nr_findings++;
		f->name = checks[i].name;
		f->moot = lack != NULL;
		if (lack != NULL)
			doctor_find(f, DOCTOR_UNKNOWN, "%s", lack);
		else
			checks[i].run(c, f);
		if (f->moot)
			continue;
		r->count[f->state]++;
		r->state = RTE_MAX(r->state, f->state);
	}
	r->run = r->state == DOCTOR_FAIL ? DOCTOR_SOFT : c->way;
	r->verdict = verdict(c, r);
	make_list(r);
}

/** @return a finding's remedy: its first command or, without one, its first words; NULL: none */
static char *help_of(const struct doctor_finding *f)
{
	if (f->commands.n != 0)
		return doctor_format("%s", f->commands.at[0]);
	return f->remedy.n != 0 ? doctor_format("%s", f->remedy.at[0]) : NULL;
}

static const struct doctor_tenant *tenant_of(const struct doctor_case *c, uint16_t segment,
	moat_sid_t sid)
{
	for (unsigned int i = 0; i < c->tenants.n; i++)
		if (c->tenants.at[i].fn->pci->segment == segment &&
			c->tenants.at[i].fn->pci->sid == sid)
			return &c->tenants.at[i];
	return NULL;
}

char *doctor_refusal(const struct doctor_case *c, const struct doctor_report *r, uint16_t segment,
	moat_sid_t sid, char **help)
{
	const struct doctor_tenant *t = tenant_of(c, segment, sid);

	*help = NULL;
	if (t != NULL && (t->place == DOCTOR_NEVER || t->place == DOCTOR_KERNELS))
		return doctor_format("%s", t->why);
	if (t != NULL && t->blocked != NULL) {
		if (doctor_may_bind(t)) /* never a command that takes the host's uplink */
			*help = doctor_format("dpdk-devbind.py --bind=%s %s",
				doctor_driver_for(c->way), t->fn->address);
		return doctor_format("%s", t->blocked);
	}
	/* Failures that prevent all tenants; not "drivers", as this function is ready. */
	for (unsigned int i = 0; i < r->nr_findings; i++) {
		const struct doctor_finding *f = &r->finding[i];

		if (f->state != DOCTOR_FAIL || f->moot || strcmp(f->name, "drivers") == 0)
			continue;
		*help = help_of(f);
		return doctor_format("%s", f->summary);
	}
	return NULL;
}
