/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_boot.h"
#include "doctor_check.h"
#include "doctor_ids.h"
#include "doctor_read.h"

/* ------------------------------------------------------------------------------------- units */

/** @return the bits of IOVA that a unit can translate: what its tables reach, limited by MGAW */
static unsigned int width(const struct moat_vtd_caps *caps)
{
	unsigned int tables = caps->sagaw & 8 ? 57
		: caps->sagaw & 4             ? 48
		: caps->sagaw & 2             ? 39
					      : 0;

	return RTE_MIN(tables, (unsigned int)caps->mgaw);
}

static void describe_unit(const struct doctor_unit *u, struct doctor_finding *f)
{
	const struct moat_vtd_caps *c = &u->caps;

	if (u->from == NULL) {
		doctor_say(&f->evidence, "%s%s", u->name,
			u->kind == DOCTOR_AMD             ? ": AMD-Vi"
				: u->kind == DOCTOR_OTHER ? ": not VT-d"
							  : ": capabilities cannot be read");
		if (u->kind == DOCTOR_INTEL)
			doctor_say(&f->evidence, "  %s", u->why);
		return;
	}
	doctor_say(&f->evidence,
		"%s at 0x%" PRIx64 ": VER %u.%u, IOVAs of %u bits, pages of 4K%s%s, ND %" PRIu32
		", MAMV %u,%s%s%s%s%s%s%s%s%s%s%s%s%s",
		u->name, u->base, c->ver_major, c->ver_minor, width(c), c->sllps & 1 ? " 2M" : "",
		c->sllps & 2 ? " 1G" : "", c->nd, c->mamv, c->c ? " C" : "", c->qi ? " QI" : "",
		c->psi ? " PSI" : "", c->ir ? " IR" : "", c->eim ? " EIM" : "", c->pt ? " PT" : "",
		c->sc ? " SC" : "", c->dt ? " DT" : "", c->cm ? " CM" : "", c->smts ? " SMTS" : "",
		c->pasid ? " PASID" : "", c->nest ? " NEST" : "", c->rwbf ? " RWBF" : "");
	if (u->domains != 0)
		doctor_say(&f->evidence, "  %" PRIu64 " of %" PRIu64 " domain-ids in use",
			u->domains_used, u->domains);
}

/** Add the values of mode= and stage= that this unit permits with kind = vtd, and its PASIDs. */
static void describe_modes(const struct doctor_unit *u, struct doctor_finding *f)
{
	const struct moat_vtd_caps *c = &u->caps;
	const char *stages = !c->flts ? "second"
		: !c->slts            ? "first"
		: !c->nest            ? "second or first"
				      : "second, first or nested";
	char pasids[32] = "no PASIDs";

	if (u->from == NULL)
		return;
	if (c->pasid)
		snprintf(pasids, sizeof(pasids), "PASIDs of %u bits", c->pss);
	if (!c->smts)
		doctor_say(&f->evidence, "  mode=legacy only: ECAP.SMTS is 0");
	else if (!c->slts && !c->flts)
		doctor_say(&f->evidence, "  mode=legacy only: ECAP.SSTS and ECAP.FSTS are 0");
	else
		doctor_say(&f->evidence, "  mode=legacy or scalable; stage=%s; %s", stages, pasids);
}

/** Is a function without translation, because the kernel leaves this unit off? Linux ignores units
 * whose scopes name no present function, and those for graphics alone (intel_iommu=igfx_off). */
static bool is_missed(const struct doctor_host *h, const struct doctor_unit *u)
{
	const struct moat_dmar_unit *d = &h->dmar->unit[u->drhd];

	for (unsigned int i = 0; i < d->scopes.n; i++) {
		const struct moat_dmar_scope *s = &d->scopes.scope[i];
		const struct moat_pci_fn *end =
			s->type == MOAT_DMAR_ENDPOINT || s->type == MOAT_DMAR_BRIDGE
			? moat_pci_follow(h->pci, d->segment, s->bus, s->path, s->nr_path)
			: NULL;
		const struct doctor_fn *fn =
			end != NULL ? doctor_fn_find(h, end->segment, end->sid) : NULL;

		if (fn != NULL && fn->class >> 16 != 0x03)
			return true;
	}
	return d->include_pci_all;
}

/** @return how many functions behind a unit can be tenants of their own */
static unsigned int tenants_of(const struct doctor_case *c, const struct doctor_unit *u)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->tenants.n; i++)
		n += c->tenants.at[i].place == DOCTOR_OWN &&
			strcmp(c->tenants.at[i].fn->unit, u->name) == 0;
	return n;
}

static void judge_domain_ids(const struct doctor_case *c, const struct doctor_unit *u,
	struct doctor_finding *f)
{
	uint64_t left = u->domains > u->domains_used ? u->domains - u->domains_used : 0;

	if (u->domains == 0 || left >= tenants_of(c, u))
		return;
	doctor_find(f, DOCTOR_WARN,
		"%s has %" PRIu64 " domain-ids left, which is fewer than tenants", u->name, left);
	if (f->remedy.n == 0)
		doctor_say(&f->remedy, "each tenant takes one: plan for no more");
}

static void judge_kernels(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	const struct doctor_words *w = &h->words;
	unsigned int driven = doctor_driven(h, -1), idle = 0;

	if (doctor_read_access(h->root, F_OK, "sys/class/iommu") != 0) {
		doctor_find(f, DOCTOR_UNKNOWN, "/sys/class/iommu cannot be read");
		return;
	}
	if (driven == 0 &&
		(h->dmar_error == -EBADMSG ||
			(h->dmar_error != -ENOENT && (w->intel != DOCTOR_ON || w->no_iommu) &&
				doctor_built_with(h, "CONFIG_INTEL_IOMMU_DEFAULT_ON") != 1) ||
			w->no_iommu || w->intel == DOCTOR_OFF ||
			(doctor_is_amd(h) &&
				(w->amd == DOCTOR_OFF ||
					doctor_built_with(h, "CONFIG_AMD_IOMMU") == 0)))) {
		f->moot = true;
		doctor_find(f, DOCTOR_UNKNOWN, "they are off (see %s)",
			h->dmar_error == -EBADMSG ? "firmware" : "command-line");
		return;
	}
	if (driven == 0) {
		doctor_find(f, DOCTOR_FAIL,
			"the kernel drives no unit, though nothing tells it not to");
		doctor_say(&f->remedy, "its log says why");
		doctor_say(&f->commands, "dmesg | grep -i -e DMAR -e IOMMU");
		return;
	}
	doctor_find(f, DOCTOR_OK, "the kernel drives %u unit%s", driven, driven == 1 ? "" : "s");
	for (unsigned int i = 0; i < h->nr_units; i++) {
		const struct doctor_unit *u = &h->unit[i];

		idle += !u->driven && is_missed(h, u);
		judge_domain_ids(c, u, f);
	}
	if (idle != 0) {
		doctor_find(f, DOCTOR_WARN, "the kernel drives %u of the table's %u units", driven,
			driven + idle);
		doctor_say(&f->remedy,
			"functions behind the others are in no IOMMU group; the kernel's log says why");
		doctor_say(&f->commands, "dmesg | grep -i -e DMAR -e IOMMU");
	}
}

static void judge_ours(const struct doctor_host *h, struct doctor_finding *f)
{
	unsigned int usable = 0;

	for (unsigned int i = 0; i < h->nr_units; i++)
		usable += h->unit[i].from != NULL && !h->unit[i].driven && h->unit[i].caps.qi;
	if (doctor_driven(h, DOCTOR_INTEL) != 0) {
		doctor_find(f, DOCTOR_FAIL, "the kernel drives the units, see command-line");
	} else if (usable == 0) {
		doctor_find(f, DOCTOR_FAIL, "no unit that moat can use");
		if (h->lockdown[0] != '\0' && strcmp(h->lockdown, "none") != 0)
			doctor_say(&f->remedy,
				"the kernel is locked down (%s), which Secure Boot does: turn Secure "
				"Boot off, or use kind = vfio",
				h->lockdown);
		else
			doctor_say(&f->remedy,
				"to map the registers, run as root on a kernel with iomem=relaxed; a unit "
				"without queued invalidation (ECAP.QI) cannot be used");
	} else {
		doctor_find(f, DOCTOR_OK, "%u unit%s can be moat's", usable,
			usable == 1 ? "" : "s");
	}
}

void doctor_check_units(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;

	for (unsigned int i = 0; i < h->nr_units; i++) {
		describe_unit(&h->unit[i], f);
		if (c->way == DOCTOR_VTD)
			describe_modes(&h->unit[i], f);
	}
	if (c->way == DOCTOR_VTD)
		judge_ours(h, f);
	else
		judge_kernels(c, f);
}

/* ----------------------------------------------------------------------- interrupt remapping */

/** @return a unit that is known not to remap interrupts, or NULL */
static const struct doctor_unit *unit_without(const struct doctor_host *h)
{
	for (unsigned int i = 0; i < h->nr_units; i++)
		if (h->unit[i].from != NULL && !h->unit[i].caps.ir)
			return &h->unit[i];
	return NULL;
}

static const struct doctor_fn *broken_chipset(const struct doctor_host *h)
{
	for (unsigned int i = 0; i < h->pci->n; i++)
		if (doctor_remap_erratum(&h->fn[i]) != NULL)
			return &h->fn[i];
	return NULL;
}

/** Find why interrupts are not remapped, and add the remedy. @return the reason, the caller's to
 * free; NULL: not known */
static char *find_reason(const struct doctor_host *h, struct doctor_finding *f)
{
	const struct doctor_unit *u = unit_without(h);
	const struct doctor_fn *chipset = broken_chipset(h);

	if (u != NULL)
		doctor_say(&f->evidence, "%s cannot: ECAP.IR is 0", u->name);
	if (h->dmar != NULL && !h->dmar->intr_remap)
		doctor_say(&f->evidence,
			"the DMAR table does not have INTR_REMAP: firmware does not "
			"offer it");
	if (h->words.intremap == DOCTOR_OFF) {
		doctor_boot_remedy(h, f, "", &h->words.no_remap, NULL);
		return doctor_format("%s turns that off", h->words.no_remap.at[0]);
	}
	if (doctor_built_with(h, "CONFIG_IRQ_REMAP") == 0) {
		doctor_say(&f->evidence, "%s: CONFIG_IRQ_REMAP is not set", h->config_from);
		doctor_say(&f->remedy, "boot a kernel with CONFIG_IRQ_REMAP=y");
		return doctor_format("this kernel was built without CONFIG_IRQ_REMAP");
	}
	if (chipset != NULL) {
		doctor_say(&f->evidence, "%s, %04x:%04x revision 0x%02x", chipset->address,
			chipset->vendor, chipset->device, chipset->revision);
		doctor_say(&f->remedy,
			"Linux leaves it off because of the erratum; no setting of the firmware helps, "
			"another host does");
		return doctor_format("this chipset's (%s) is broken by an erratum",
			doctor_remap_erratum(chipset));
	}
	if (h->hypervisor)
		doctor_say(&f->remedy,
			"QEMU: -machine q35,kernel-irqchip=split -device intel-iommu,intremap=on");
	else if (u == NULL)
		doctor_say(&f->remedy,
			"turn on x2APIC and interrupt remapping in the firmware's settings; the "
			"kernel's log says what is missing");
	return NULL;
}

static void unsafe_way(struct doctor_finding *f)
{
	doctor_say(&f->remedy,
		"or, where all tenants are trusted: vfio_iommu_type1.allow_unsafe_interrupts=1 lets "
		"devices be assigned that can raise any interrupt");
}

static void are_remapped(const struct doctor_host *h, struct doctor_finding *f)
{
	doctor_find(f, DOCTOR_OK, "interrupts are remapped");
	doctor_say(&f->evidence, "/proc/interrupts names IR- chips");
	if (!h->words.nosid)
		return;
	doctor_find(f, DOCTOR_WARN,
		"interrupts are remapped, but intremap=nosid: a tenant's device can raise others'");
	doctor_say(&f->remedy,
		"take nosid out of the kernel's command line: with it the unit does not check which "
		"device an interrupt comes from");
}

void doctor_check_interrupt_remapping(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	char unsafe[8], *reason;

	doctor_read(h->root, unsafe, sizeof(unsafe),
		"sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
	if (!h->has_interrupts) {
		doctor_find(f, DOCTOR_UNKNOWN, "/proc/interrupts cannot be read");
		return;
	}
	if (h->interrupts_remapped) {
		are_remapped(h, f);
		return;
	}
	doctor_say(&f->evidence, "no IR- chip in /proc/interrupts");
	if (doctor_driven(h, DOCTOR_OTHER) != 0 && h->vendor[0] == '\0') {
		doctor_find(f, DOCTOR_UNKNOWN,
			"not known for this IOMMU: whether the interrupt controller keeps devices' "
			"interrupts apart cannot be seen");
		doctor_say(&f->remedy, "VFIO refuses to assign devices (EPERM) if it does not");
		return;
	}
	reason = find_reason(h, f);
	unsafe_way(f);
	if (unsafe[0] == 'Y')
		doctor_find(f, DOCTOR_WARN,
			"interrupts are not remapped, and allow_unsafe_interrupts=Y: a tenant's "
			"device can raise any%s%s",
			reason != NULL ? "; " : "", reason != NULL ? reason : "");
	else
		doctor_find(f, DOCTOR_FAIL,
			"interrupts are not remapped: VFIO refuses to assign devices (EPERM)%s%s",
			reason != NULL ? "; " : "", reason != NULL ? reason : "");
	free(reason);
}

/* -------------------------------------------------------------------------------- IOVA width */

#define DPDK_VA_BITS 47 /* DPDK's PCI bus requires this width of a unit for IOVA=VA */

void doctor_check_iova_width(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	const struct doctor_unit *least = NULL;

	for (unsigned int i = 0; i < h->nr_units; i++) {
		const struct doctor_unit *u = &h->unit[i];

		/* With vfio no tenant is behind a unit that the kernel does not drive. */
		if (u->from == NULL || (c->way == DOCTOR_VFIO && !u->driven))
			continue;
		doctor_say(&f->evidence, "%s: %u bits (MGAW %u, SAGAW 0x%x)", u->name,
			width(&u->caps), u->caps.mgaw, u->caps.sagaw);
		if (least == NULL || width(&u->caps) < width(&least->caps))
			least = u;
	}
	if (least == NULL) {
		f->moot = doctor_driven(h, DOCTOR_INTEL) == 0;
		doctor_find(f, DOCTOR_UNKNOWN, "no VT-d unit's capabilities can be read");
	} else if (width(&least->caps) >= DPDK_VA_BITS) {
		doctor_find(f, DOCTOR_OK, "%u bits: tenants' IOVAs fit, and DPDK's addresses too",
			width(&least->caps));
	} else {
		doctor_find(f, DOCTOR_WARN, "%s has %u bits: DPDK's virtual addresses take %u",
			least->name, width(&least->caps), DPDK_VA_BITS);
		doctor_say(&f->remedy,
			"moat's tenants fit, because they have IOVAs of their own from 2M on: up to "
			"%" PRIu64 " GiB each. Other DPDK programs on this host take "
			"--iova-mode=pa, as root",
			(UINT64_C(1) << width(&least->caps)) >> 30);
	}
}

/* --------------------------------------------------------------------------- the kernel's DMA */

void doctor_check_kernel_dma(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	unsigned int strict = 0, lazy = 0, identity = 0, untold = 0;

	for (unsigned int i = 0; i < h->nr_groups; i++) {
		const char *type = h->group[i].type;

		strict += strcmp(type, "DMA") == 0;
		lazy += strcmp(type, "DMA-FQ") == 0;
		identity += strcmp(type, "identity") == 0;
		untold += type[0] == '\0';
	}
	doctor_say(&f->evidence, "groups: %u strict (DMA), %u lazy (DMA-FQ), %u identity", strict,
		lazy, identity);
	if (untold != 0) /* tenants run all the same */
		doctor_find(f, DOCTOR_OK, "the type of %u group%s is unknown", untold,
			untold == 1 ? "" : "s");
	else if (identity != 0)
		doctor_find(f, DOCTOR_OK, "passed through (iommu=pt) for %u of %u groups", identity,
			h->nr_groups);
	else if (lazy != 0)
		doctor_find(f, DOCTOR_OK, "lazy for %u of %u groups", lazy, h->nr_groups);
	else
		doctor_find(f, DOCTOR_OK, "strict");
	if (identity != 0)
		doctor_say(&f->evidence,
			"devices that the kernel keeps reach all memory, tenants' "
			"too; iommu.passthrough=0 ends that, at a price");
	else if (lazy != 0)
		doctor_say(&f->evidence,
			"devices that the kernel keeps reach unmapped memory for up "
			"to 10 ms; iommu.strict=1 ends that, at a price");
	if (identity + lazy != 0)
		doctor_say(&f->evidence,
			"tenants are not concerned: VFIO's unmaps wait for the unit");
}

/* --------------------------------------------------------------------------------------- PMU */

void doctor_check_pmu(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	struct doctor_lines names = { 0 }, events = { 0 };
	unsigned int units = 0, able = 0;

	for (unsigned int i = 0; i < h->nr_units; i++)
		able += h->unit[i].from != NULL && h->unit[i].caps.pms;
	doctor_read_folder(h->root, &names, "sys/bus/event_source/devices");
	for (unsigned int i = 0; i < names.n; i++) {
		if (strncmp(names.at[i], "dmar", 4) != 0)
			continue;
		if (units++ == 0)
			doctor_read_folder(h->root, &events,
				"sys/bus/event_source/devices/%s/events", names.at[i]);
	}
	if (units != 0) {
		doctor_find(f, DOCTOR_OK, "%u unit%s count%s %u kinds of events", units,
			units == 1 ? "" : "s", units == 1 ? "s" : "", events.n);
		doctor_say(&f->evidence, "perf stat -e dmar0/iotlb_lookup/,dmar0/iotlb_hit/ -a");
	} else if (able != 0) {
		doctor_find(f, DOCTOR_WARN, "the units can count (ECAP.PMS), the kernel does not");
		doctor_say(&f->remedy,
			"use Linux 6.3 or newer with CONFIG_INTEL_IOMMU_PERF_EVENTS; until then moat-fwd "
			"--perf reports no events of the units");
	} else {
		doctor_find(f, DOCTOR_OK, "none: moat-fwd --perf reports no events of the units");
	}
	doctor_lines_free(&names);
	doctor_lines_free(&events);
}
