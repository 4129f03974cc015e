/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_boot.h"
#include "doctor_check.h"

#define CAP_IPC_LOCK  14
#define CAP_SYS_RAWIO 17
#define CAP_SYS_ADMIN 21

/* -------------------------------------------------------------------------------- privileges */

void doctor_check_privileges(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	bool admin = doctor_may(h, CAP_SYS_ADMIN), rawio = doctor_may(h, CAP_SYS_RAWIO);

	if (!h->has_cap_eff) {
		doctor_find(f, DOCTOR_UNKNOWN, "/proc/self/status does not say");
		return;
	}
	doctor_say(&f->evidence, "CapEff 0x%" PRIx64 ":%s%s%s%s", h->cap_eff,
		admin ? " CAP_SYS_ADMIN" : "", rawio ? " CAP_SYS_RAWIO" : "",
		doctor_may(h, CAP_IPC_LOCK) ? " CAP_IPC_LOCK" : "",
		admin || rawio ? "" : " neither CAP_SYS_ADMIN nor CAP_SYS_RAWIO");
	if (admin && rawio) {
		doctor_find(f, DOCTOR_OK, "all that is needed");
	} else if (c->way == DOCTOR_VTD) {
		doctor_find(f, DOCTOR_FAIL,
			"owning a unit takes root (CAP_SYS_ADMIN, CAP_SYS_RAWIO)");
		doctor_say(&f->remedy, "run as root");
	} else if (h->container != NULL) {
		doctor_find(f, DOCTOR_WARN, "in %s without privileges", h->container);
		doctor_say(&f->remedy,
			"prepare the host outside (run moat-doctor there, too), then hand in the "
			"device files, the memory limit and hugepages");
		doctor_say(&f->commands,
			"docker run --device /dev/vfio/vfio --device /dev/vfio/GROUP "
			"--ulimit memlock=-1 -v /dev/hugepages:/dev/hugepages ...");
	} else {
		doctor_find(f, DOCTOR_OK, "an ordinary user, which is enough for vfio");
		doctor_say(&f->evidence,
			"only root can read the firmware's tables and most of configuration space: "
			"run as root to find out what is unknown below");
	}
}

/* --------------------------------------------------------------------------------- processor */

/** Does the kernel drive an IOMMU that is neither Intel's nor AMD's (virtio-iommu, Arm's SMMU)? */
static bool has_other(const struct doctor_host *h)
{
	return doctor_driven(h, DOCTOR_OTHER) != 0;
}

void doctor_check_processor(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	bool vtd = h->dmar_error != -ENOENT || doctor_driven(h, DOCTOR_INTEL) != 0;

	if (h->vendor[0] == '\0') {
		doctor_find(f, DOCTOR_UNKNOWN, "/proc/cpuinfo does not say");
		return;
	}
	doctor_say(&f->evidence, "%s, %s%s", h->vendor,
		h->model[0] != '\0' ? h->model : "no model name",
		h->hypervisor ? ", a virtual machine" : "");
	if (h->phys_bits != 0)
		doctor_say(&f->evidence, "host addresses of %u bits", h->phys_bits);
	if (strcmp(h->vendor, "GenuineIntel") == 0) {
		doctor_find(f, DOCTOR_OK, "Intel");
	} else if (vtd) {
		doctor_find(f, DOCTOR_OK, "not Intel's, but VT-d is there");
	} else if (c->way == DOCTOR_VFIO &&
		(h->ivrs || has_other(h) || doctor_driven(h, DOCTOR_AMD) != 0)) {
		if (has_other(h))
			doctor_find(f, DOCTOR_WARN, "no VT-d, but the kernel drives another IOMMU");
		else
			doctor_find(f, DOCTOR_WARN, "AMD: no VT-d, but %s",
				doctor_driven(h, DOCTOR_AMD) != 0 ? "the kernel drives AMD-Vi"
								  : "there is AMD-Vi");
		doctor_say(&f->remedy,
			"kind = vfio may use it, through the kernel, but moat was tested on VT-d "
			"only. kind = vtd needs VT-d");
	} else {
		doctor_find(f, DOCTOR_FAIL, "there is no VT-d: it is Intel's, and this is %s",
			doctor_is_amd(h) ? "an AMD processor" : h->vendor);
		doctor_say(&f->remedy,
			"moat runs here with its software unit (kind = soft); hardware isolation takes a "
			"host with VT-d");
	}
}

/* ---------------------------------------------------------------------------------- firmware */

static void describe_table(const struct moat_dmar *d, struct doctor_finding *f)
{
	doctor_find(f, DOCTOR_OK, "VT-d is on: the DMAR table has %u unit%s and %u RMRR%s",
		d->nr_units, d->nr_units == 1 ? "" : "s", d->nr_rmrrs, d->nr_rmrrs == 1 ? "" : "s");
	for (unsigned int i = 0; i < d->nr_units; i++)
		doctor_say(&f->evidence, "DRHD dmar%u, segment %04x, registers at 0x%" PRIx64 "%s",
			i, d->unit[i].segment, d->unit[i].base,
			d->unit[i].include_pci_all ? ", INCLUDE_PCI_ALL" : "");
	doctor_say(&f->evidence, "HAW %u bits%s%s%s", d->haw, d->intr_remap ? ", INTR_REMAP" : "",
		d->x2apic_opt_out ? ", X2APIC_OPT_OUT" : "",
		d->dma_opt_in ? ", DMA_CTRL_PLATFORM_OPT_IN_FLAG" : "");
	if (d->nr_faults == 0)
		return;
	doctor_find(f, DOCTOR_WARN,
		"the DMAR table has %u fault%s; the rest of it is used: %u unit%s and %u RMRR%s",
		d->nr_faults, d->nr_faults == 1 ? "" : "s", d->nr_units,
		d->nr_units == 1 ? "" : "s", d->nr_rmrrs, d->nr_rmrrs == 1 ? "" : "s");
	for (unsigned int i = 0; i < d->nr_faults; i++)
		doctor_say(&f->evidence, "offset 0x%zx: %s", d->fault[i].offset, d->fault[i].text);
	doctor_say(&f->remedy, "Linux, too, uses such a table; update the firmware when you can");
}

static void switch_it_on(const struct doctor_host *h, struct doctor_finding *f)
{
	if (h->hypervisor) {
		doctor_say(&f->remedy,
			"in a virtual machine the hypervisor must offer one; QEMU: -machine "
			"q35,kernel-irqchip=split -device intel-iommu,intremap=on, before the "
			"other devices");
		return;
	}
	doctor_say(&f->remedy,
		"in the firmware's settings turn on %s, then look again; where there is no such "
		"setting, the board or the processor has none",
		doctor_is_amd(h) ? "IOMMU (AMD-Vi)"
				 : "VT-d (\"Intel Virtualization Technology for Directed I/O\")");
}

static void no_table(const struct doctor_host *h, struct doctor_finding *f)
{
	if (has_other(h)) {
		doctor_find(f, DOCTOR_WARN, "no VT-d, but the kernel drives %u other IOMMU%s",
			doctor_driven(h, DOCTOR_OTHER),
			doctor_driven(h, DOCTOR_OTHER) == 1 ? "" : "s");
		doctor_say(&f->evidence,
			"there is neither a DMAR nor an IVRS table: virtio-iommu, or Arm's SMMU");
		doctor_say(&f->remedy,
			"kind = vfio may use it, through the kernel, but moat was tested on VT-d "
			"only. kind = vtd needs VT-d");
	} else if (!h->tables_visible) {
		doctor_find(f, DOCTOR_UNKNOWN, "the firmware's tables are hidden here");
		doctor_say(&f->evidence, "no /sys/firmware/acpi/tables%s",
			h->container != NULL ? ": containers mask it" : "");
		doctor_say(&f->remedy, "run moat-doctor %s",
			h->container != NULL ? "on the host" : "where sysfs shows them");
	} else if (h->ivrs) {
		doctor_find(f, DOCTOR_OK, "AMD-Vi is on: there is an IVRS table");
	} else {
		doctor_find(f, DOCTOR_FAIL, "no IOMMU: there is neither a DMAR nor an IVRS table");
		doctor_say(&f->evidence,
			"/sys/firmware/acpi/tables has no DMAR (VT-d), no IVRS "
			"(AMD-Vi)");
		switch_it_on(h, f);
	}
}

static void under_xen(const struct doctor_host *h, struct doctor_finding *f)
{
	doctor_find(f, DOCTOR_FAIL, "Xen, the hypervisor, owns VT-d: %s",
		h->dom0 ? "this is its control domain" : "this is one of its guests");
	doctor_say(&f->evidence, "/sys/hypervisor/type: xen");
	doctor_say(&f->remedy,
		h->dom0 ? "boot this Linux without Xen; no setting here gives VT-d to it"
			: "run moat on a host of its own, without Xen");
}

static void dead_unit(const struct doctor_unit *u, struct doctor_finding *f)
{
	doctor_find(f, DOCTOR_FAIL,
		"the firmware has a DMAR table but has switched VT-d off: %s's registers read as "
		"ones",
		u->name);
	doctor_say(&f->evidence, "%s at 0x%" PRIx64 "; Linux then uses no unit of the table",
		u->name, u->base);
	doctor_say(&f->remedy,
		"in the firmware's settings turn VT-d on; where it is on or there is no such "
		"setting, only another firmware helps: update it, and report it to the maker");
}

void doctor_check_firmware(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	unsigned int driven = doctor_driven(h, DOCTOR_INTEL);
	const struct doctor_unit *dead = doctor_dead_unit(h);

	if (h->xen) {
		under_xen(h, f);
	} else if (dead != NULL && driven == 0) {
		dead_unit(dead, f);
	} else if (h->dmar != NULL) {
		describe_table(h->dmar, f);
	} else if (h->dmar_error == -EBADMSG) {
		doctor_find(f, driven != 0 && c->way == DOCTOR_VFIO ? DOCTOR_WARN : DOCTOR_FAIL,
			"the DMAR table is malformed");
		doctor_say(&f->evidence, "%s", h->dmar_text);
		doctor_say(&f->remedy,
			"update the firmware; what the kernel makes of the table is in its log");
		doctor_say(&f->commands, "dmesg | grep -i -e DMAR -e IOMMU");
	} else if (driven != 0) {
		doctor_find(f, DOCTOR_OK, "VT-d is on: the kernel drives %u unit%s", driven,
			driven == 1 ? "" : "s");
		doctor_say(&f->evidence, "the DMAR table itself cannot be read here: %s",
			strerror(-h->dmar_error));
	} else if (h->dmar_error == -ENOENT) {
		no_table(h, f);
	} else {
		doctor_find(f, DOCTOR_UNKNOWN, "there is a DMAR table, which cannot be read here");
		doctor_say(&f->evidence, "%s", h->dmar_text);
		doctor_say(&f->remedy, "run moat-doctor as root");
	}
}

/* ------------------------------------------------------------------------------ command line */

/** Add the words that are about the IOMMU to the evidence, and what is odd about them. */
static void quote_words(const struct doctor_words *w, struct doctor_finding *f)
{
	char *said = doctor_format("%s", "");

	for (unsigned int i = 0; i < w->about.n; i++) {
		char *more = doctor_format("%s%s%s", said, i != 0 ? " " : "", w->about.at[i]);

		free(said);
		said = more;
	}
	if (w->about.n != 0)
		doctor_say(&f->evidence, "it says: %s", said);
	else
		doctor_say(&f->evidence, "it says nothing about the IOMMU");
	for (unsigned int i = 0; i < w->odd.n; i++)
		doctor_say(&f->evidence, "%s", w->odd.at[i]);
	free(said);
}

static void built_without(const struct doctor_host *h, const char *what, const char *option,
	struct doctor_finding *f)
{
	doctor_find(f, DOCTOR_FAIL, "this kernel was built without %s", what);
	doctor_say(&f->evidence, "%s: %s is not set", h->config_from, option);
	doctor_say(&f->remedy, "boot a kernel with %s=y", option);
}

static void judge_for_vfio(const struct doctor_host *h, struct doctor_finding *f)
{
	const struct doctor_words *w = &h->words;
	bool intel = h->dmar_error != -ENOENT || !h->ivrs;

	if (doctor_driven(h, -1) != 0) {
		doctor_find(f, DOCTOR_OK,
			w->intel == DOCTOR_ON
				? "intel_iommu=on"
				: "nothing turns the IOMMU off, and this kernel turns it on");
		return;
	}
	if (w->no_iommu)
		doctor_find(f, DOCTOR_FAIL, "iommu=off: the kernel leaves every IOMMU off%s",
			w->intel == DOCTOR_ON ? ", in spite of intel_iommu=on" : "");
	else if (intel && w->intel == DOCTOR_OFF)
		doctor_find(f, DOCTOR_FAIL, "intel_iommu=off: the kernel leaves VT-d off");
	else if (intel && doctor_built_with(h, "CONFIG_INTEL_IOMMU") == 0)
		built_without(h, "VT-d", "CONFIG_INTEL_IOMMU", f);
	else if (!intel && w->amd == DOCTOR_OFF)
		doctor_find(f, DOCTOR_FAIL, "amd_iommu=off: the kernel leaves AMD-Vi off");
	else if (!intel && doctor_built_with(h, "CONFIG_AMD_IOMMU") == 0)
		built_without(h, "AMD-Vi", "CONFIG_AMD_IOMMU", f);
	else if (intel && w->intel == DOCTOR_ON)
		doctor_find(f, DOCTOR_OK, "intel_iommu=on");
	else if (!intel || doctor_built_with(h, "CONFIG_INTEL_IOMMU_DEFAULT_ON") == 1)
		doctor_find(f, DOCTOR_OK, "nothing turns the IOMMU off");
	else
		doctor_find(f, DOCTOR_FAIL,
			"no intel_iommu=on, and by itself this kernel leaves VT-d off");
	if (f->state != DOCTOR_FAIL || f->remedy.n != 0)
		return;
	doctor_boot_remedy(h, f, w->intel == DOCTOR_ON || !intel ? "" : "intel_iommu=on",
		intel ? &w->turn_off : &w->turn_off_amd, &w->no_remap);
	if (w->intremap == DOCTOR_OFF)
		doctor_say(&f->remedy, "take %s out, too: VFIO needs interrupts remapped",
			w->no_remap.at[0]);
}

static void judge_for_vtd(const struct doctor_host *h, struct doctor_finding *f)
{
	static const struct doctor_lines none;
	const struct doctor_words *w = &h->words;
	bool off = w->intel == DOCTOR_OFF || w->no_iommu;
	struct doctor_lines on = { 0 };
	char set[128];

	snprintf(set, sizeof(set), "%s%s%s", off ? "" : "intel_iommu=off ",
		w->intremap == DOCTOR_OFF ? "" : "intremap=off ",
		w->relaxed ? "" : "iomem=relaxed ");
	if (set[0] == '\0') {
		doctor_find(f, DOCTOR_OK,
			"the kernel leaves the units to moat and lets their registers be mapped");
		return;
	}
	set[strlen(set) - 1] = '\0';
	doctor_find(f, DOCTOR_FAIL, "moat can own a unit only with %s", set);
	for (unsigned int i = 0; i < w->about.n; i++)
		if (!off && strncmp(w->about.at[i], "intel_iommu=", 12) == 0)
			doctor_say(&on, "%s", w->about.at[i]);
	doctor_boot_remedy(h, f, set, on.n != 0 ? &on : &none, NULL);
	doctor_lines_free(&on);
}

void doctor_check_command_line(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;

	if (h->cmdline[0] == '\0') {
		doctor_find(f, DOCTOR_UNKNOWN, "/proc/cmdline cannot be read");
		return;
	}
	quote_words(&h->words, f);
	if (c->way == DOCTOR_VTD)
		judge_for_vtd(h, f);
	else
		judge_for_vfio(h, f);
}
