/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_check.h"
#include "doctor_read.h"

#define CAP_IPC_LOCK  14
#define CAP_SYS_RAWIO 17
#define CAP_SYS_ADMIN 21

/* -------------------------------------------------------------------------------- privileges */

void doctor_check_privileges(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	bool admin = doctor_may(h, CAP_SYS_ADMIN), rawio = doctor_may(h, CAP_SYS_RAWIO);

	if (!h->has_cap_eff) {
		doctor_find(f, DOCTOR_UNKNOWN, "/proc/self/status does not tell");
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
			"the firmware's tables and most of configuration space are root's to see: "
			"what is unknown below, root can tell");
	}
}

/* --------------------------------------------------------------------------------- processor */

static bool is_amd(const struct doctor_host *h)
{
	return strcmp(h->vendor, "AuthenticAMD") == 0 || strcmp(h->vendor, "HygonGenuine") == 0;
}

void doctor_check_processor(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	bool vtd = h->dmar_error != -ENOENT || doctor_driven(h, DOCTOR_INTEL) != 0;

	if (h->vendor[0] == '\0') {
		doctor_find(f, DOCTOR_UNKNOWN, "/proc/cpuinfo does not tell");
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
	} else if (doctor_driven(h, DOCTOR_AMD) != 0 && c->way == DOCTOR_VFIO) {
		doctor_find(f, DOCTOR_WARN, "AMD: no VT-d, but the kernel drives AMD-Vi");
		doctor_say(&f->remedy,
			"kind = vfio asks the kernel and may use it; what moat measures and "
			"promises was tried on VT-d only. kind = vtd needs VT-d");
	} else {
		doctor_find(f, DOCTOR_FAIL, "there is no VT-d: it is Intel's, and this is %s",
			is_amd(h) ? "an AMD processor" : h->vendor);
		doctor_say(&f->remedy,
			"none is needed to try moat: the software unit runs here. Hardware "
			"isolation takes a host with VT-d");
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
		is_amd(h) ? "IOMMU (AMD-Vi)"
			  : "VT-d (\"Intel Virtualization Technology for Directed I/O\")");
}

static void no_table(const struct doctor_host *h, struct doctor_finding *f)
{
	if (!h->tables_visible) {
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

void doctor_check_firmware(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	unsigned int driven = doctor_driven(h, DOCTOR_INTEL);

	if (h->dmar != NULL) {
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

/** Words that say something about the IOMMU, and whether there are any. */
static void quote_words(const struct doctor_host *h, struct doctor_finding *f)
{
	static const char *const about[] = { "intel_iommu", "amd_iommu", "iommu", "intremap",
		"iomem", "vfio", "pcie_acs_override", "lockdown", "tboot" };
	char line[sizeof(h->cmdline)], said[1024] = "";
	size_t len = 0;

	snprintf(line, sizeof(line), "%s", h->cmdline);
	for (char *save, *word = strtok_r(line, " \t\n", &save); word != NULL;
		word = strtok_r(NULL, " \t\n", &save))
		for (unsigned int i = 0; i < RTE_DIM(about) && len < sizeof(said); i++)
			if (strncmp(word, about[i], strlen(about[i])) == 0) {
				len += snprintf(said + len, sizeof(said) - len, "%s%s",
					len != 0 ? " " : "", word);
				break;
			}
	if (len != 0)
		doctor_say(&f->evidence, "it says: %s", said);
	else
		doctor_say(&f->evidence, "it says nothing about the IOMMU");
}

static void how_to_set(struct doctor_finding *f, const char *set, const char *remove)
{
	if (remove != NULL)
		doctor_say(&f->remedy, "replace %s by %s in the kernel's command line and reboot",
			remove, set);
	else
		doctor_say(&f->remedy, "add %s to the kernel's command line and reboot", set);
	doctor_say(&f->remedy,
		"Debian, Ubuntu: GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub; "
		"Fedora, RHEL: grubby --update-kernel=ALL --args=\"%s\"%s%s%s",
		set, remove != NULL ? " --remove-args=\"" : "", remove != NULL ? remove : "",
		remove != NULL ? "\"" : "");
}

/** The kernel was built with or without; its configuration may be there to tell. */
static bool built_without(const struct doctor_host *h)
{
	size_t len = 1 << 20;
	char *text = doctor_alloc(1, len);
	bool without;

	without = doctor_read(h->root, text, len, "boot/config-%s", h->release) == 0 &&
		strstr(text, "\n# CONFIG_INTEL_IOMMU is not set") != NULL;
	free(text);
	return without;
}

static void judge_for_vfio(const struct doctor_host *h, struct doctor_finding *f)
{
	const char *intel = doctor_option_last(h, "intel_iommu", "on", "off");
	const char *iommu = doctor_option_last(h, "iommu", "off", "force");

	if (doctor_driven(h, -1) != 0) {
		doctor_find(f, DOCTOR_OK,
			intel != NULL ? "intel_iommu=%s"
				      : "nothing turns the IOMMU off, and this kernel turns it on",
			intel);
	} else if (intel != NULL && strcmp(intel, "off") == 0) {
		doctor_find(f, DOCTOR_FAIL, "intel_iommu=off: the kernel leaves VT-d off");
		how_to_set(f, "intel_iommu=on", "intel_iommu=off");
	} else if (iommu != NULL && strcmp(iommu, "off") == 0) {
		doctor_find(f, DOCTOR_FAIL, "iommu=off: the kernel leaves every IOMMU off");
		how_to_set(f, "intel_iommu=on", "iommu=off");
	} else if (intel != NULL) {
		doctor_find(f, DOCTOR_OK, "intel_iommu=on");
	} else if (h->dmar_error == -ENOENT && h->ivrs) {
		doctor_find(f, DOCTOR_OK, "nothing turns the IOMMU off");
	} else if (built_without(h)) {
		doctor_find(f, DOCTOR_FAIL, "this kernel was built without VT-d");
		doctor_say(&f->evidence, "/boot/config-%s: CONFIG_INTEL_IOMMU is not set",
			h->release);
		doctor_say(&f->remedy, "boot a kernel with CONFIG_INTEL_IOMMU=y");
	} else {
		doctor_find(f, DOCTOR_FAIL,
			"no intel_iommu=on, and by itself this kernel leaves VT-d off");
		how_to_set(f, "intel_iommu=on", NULL);
	}
}

static void judge_for_vtd(const struct doctor_host *h, struct doctor_finding *f)
{
	const char *intel = doctor_option_last(h, "intel_iommu", "on", "off");
	const char *intremap = doctor_option_last(h, "intremap", "on", "off");
	bool off = intel != NULL && strcmp(intel, "off") == 0;
	bool ir_off = intremap != NULL && strcmp(intremap, "off") == 0;
	bool relaxed = doctor_option_last(h, "iomem", "relaxed", "strict") != NULL;
	char set[128];

	snprintf(set, sizeof(set), "%s%s%s", off ? "" : "intel_iommu=off ",
		ir_off ? "" : "intremap=off ", relaxed ? "" : "iomem=relaxed ");
	if (set[0] == '\0') {
		doctor_find(f, DOCTOR_OK, "the kernel keeps off the units and lets them be mapped");
		return;
	}
	set[strlen(set) - 1] = '\0';
	doctor_find(f, DOCTOR_FAIL, "moat can own a unit only with %s", set);
	how_to_set(f, set, intel != NULL && !off ? "intel_iommu=on" : NULL);
}

void doctor_check_command_line(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;

	if (h->cmdline[0] == '\0') {
		doctor_find(f, DOCTOR_UNKNOWN, "/proc/cmdline cannot be read");
		return;
	}
	quote_words(h, f);
	if (c->way == DOCTOR_VTD) {
		judge_for_vtd(h, f);
		return;
	}
	judge_for_vfio(h, f);
	if (f->state == DOCTOR_FAIL && doctor_option(h, "intremap", NULL, 0))
		doctor_say(&f->remedy,
			"take intremap=off out, too: VFIO needs interrupts remapped");
}
