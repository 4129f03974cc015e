/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_host.h"
#include "doctor_read.h"
#include "moat_vtd_obstacles.h"

/* --------------------------------------------------------------------- processor and process */

static void read_value(const char *text, const char *key, char *value, size_t len)
{
	char *all = doctor_key(text, key);

	snprintf(value, len, "%s", all);
	free(all);
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = strstr(text, word); at != NULL; at = strstr(at + len, word))
		if ((at == text || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

static void read_processor(struct doctor_host *h)
{
	char *text, *value;

	doctor_text(h->root, &text, "proc/cpuinfo");
	read_value(text, "vendor_id", h->vendor, sizeof(h->vendor));
	read_value(text, "model name", h->model, sizeof(h->model));
	value = doctor_key(text, "flags");
	h->hypervisor = has_word(value, "hypervisor");
	h->vmx = has_word(value, "vmx");
	free(value);
	value = doctor_key(text, "address sizes");
	h->phys_bits = strtoul(value, NULL, 10);
	free(value);
	free(text);
}

static void read_process(struct doctor_host *h)
{
	char *text, *value;

	doctor_text(h->root, &text, "proc/self/status");
	value = doctor_key(text, "CapEff");
	h->has_cap_eff = value[0] != '\0';
	h->cap_eff = strtoull(value, NULL, 16);
	free(value);
	free(text);
	doctor_text(h->root, &text, "proc/self/limits");
	value = doctor_key(text, "Max locked memory"); /* soft limit, hard limit, unit */
	h->has_memlock = value[0] != '\0';
	h->memlock = strncmp(value, "unlimited", 9) == 0 ? UINT64_MAX : strtoull(value, NULL, 10);
	free(value);
	free(text);
}

/** Find out whether Xen runs, which then owns VT-d, whatever Linux in its control domain shows. */
static void read_hypervisor(struct doctor_host *h)
{
	char text[64];

	doctor_read(h->root, text, sizeof(text), "sys/hypervisor/type");
	h->xen = strcmp(text, "xen") == 0;
	doctor_read(h->root, text, sizeof(text), "proc/xen/capabilities");
	/* Xen gives its control domain the DMAR table under another name; guests have neither. */
	h->dom0 = h->xen &&
		(strstr(text, "control_d") != NULL ||
			doctor_read_access(h->root, F_OK, "sys/firmware/acpi/tables/XMAR") == 0);
}

/* --------------------------------------------------------------------- how the kernel was built */

static void read_config(struct doctor_host *h)
{
	uint8_t *bytes;
	size_t len;

	h->config_from = "/boot/config-*";
	if (doctor_text(h->root, &h->config, "boot/config-%s", h->release) == 0)
		return;
	free(h->config);
	h->config_from = "/lib/modules/*/config";
	if (doctor_text(h->root, &h->config, "lib/modules/%s/config", h->release) == 0)
		return;
	free(h->config);
	h->config_from = "/proc/config.gz";
	h->config = NULL;
	if (doctor_bytes(h->root, &bytes, &len, "proc/config.gz") == 0)
		h->config = doctor_inflate(bytes, len);
	free(bytes);
	if (h->config == NULL)
		h->config = doctor_format("%s", "");
}

int doctor_built_with(const struct doctor_host *h, const char *option)
{
	size_t len = strlen(option);

	if (h->config[0] == '\0')
		return -1;
	for (const char *at = strstr(h->config, option); at != NULL; at = strstr(at + len, option))
		if ((at == h->config || at[-1] == '\n') && at[len] == '=' &&
			(at[len + 1] == 'y' || at[len + 1] == 'm'))
			return 1;
	return 0;
}

bool doctor_release_from(const struct doctor_host *h, unsigned int major, unsigned int minor)
{
	unsigned int is_major, is_minor;

	if (sscanf(h->release, "%u.%u", &is_major, &is_minor) != 2)
		return true;
	return is_major > major || (is_major == major && is_minor >= minor);
}

/* ------------------------------------------------------------------------------------ container */

static const char *find_container(const struct doctor_host *h)
{
	char text[256];

	if (doctor_read_access(h->root, F_OK, ".dockerenv") == 0 &&
		doctor_read(h->root, text, sizeof(text), "proc/1/comm") == 0 &&
		strcmp(text, "systemd") != 0 && strcmp(text, "init") != 0)
		return "a Docker container";
	if (doctor_read_access(h->root, F_OK, "run/.containerenv") == 0)
		return "a Podman container";
	if (doctor_read(h->root, text, sizeof(text), "run/systemd/container") == 0 &&
		text[0] != '\0')
		return "a container";
	if (doctor_read_access(h->root, F_OK, "var/run/secrets/kubernetes.io") == 0)
		return "a Kubernetes pod";
	return NULL;
}

/** Read the lockdown mode, which is in brackets: "none [integrity] confidentiality". */
static void read_lockdown(struct doctor_host *h)
{
	char text[128], *begin, *end;

	doctor_read(h->root, text, sizeof(text), "sys/kernel/security/lockdown");
	begin = strchr(text, '[');
	end = begin != NULL ? strchr(begin, ']') : NULL;
	if (end != NULL)
		snprintf(h->lockdown, sizeof(h->lockdown), "%.*s", (int)(end - begin - 1),
			begin + 1);
}

static void read_interrupts(struct doctor_host *h)
{
	char *text;

	h->has_interrupts =
		doctor_text(h->root, &text, "proc/interrupts") == 0; /* kept for an archive */
	h->interrupts_remapped = h->has_interrupts && moat_vtd_kernel_remaps(h->root) == 1;
	free(text);
}

/* ------------------------------------------------------------------------------------ memory */

/** @return whether the folder counts hugepages of some size */
static bool read_node(const struct doctor_host *h, const char *folder, struct doctor_node *node)
{
	int ret = doctor_read_number(h->root, 10, &node->total_2m,
		"%s/hugepages-2048kB/nr_hugepages", folder);

	doctor_read_number(h->root, 10, &node->free_2m, "%s/hugepages-2048kB/free_hugepages",
		folder);
	ret &= doctor_read_number(h->root, 10, &node->total_1g,
		"%s/hugepages-1048576kB/nr_hugepages", folder);
	doctor_read_number(h->root, 10, &node->free_1g, "%s/hugepages-1048576kB/free_hugepages",
		folder);
	return ret == 0;
}

/** Read the nodes' hugepages; without NUMA the whole machine's, as one node. */
static void read_nodes(struct doctor_host *h)
{
	struct doctor_lines names = { 0 };

	doctor_read_folder(h->root, &names, "sys/devices/system/node");
	h->node = doctor_alloc(names.n + 1, sizeof(*h->node));
	for (unsigned int i = 0; i < names.n; i++) {
		struct doctor_node *node = &h->node[h->nr_nodes];
		char *folder;

		if (strncmp(names.at[i], "node", 4) != 0 || !isdigit((unsigned char)names.at[i][4]))
			continue;
		node->id = atoi(names.at[i] + 4);
		folder = doctor_format("sys/devices/system/node/%s/hugepages", names.at[i]);
		read_node(h, folder, node);
		free(folder);
		h->nr_nodes++;
	}
	doctor_lines_free(&names);
	if (h->nr_nodes == 0 && read_node(h, "sys/kernel/mm/hugepages", &h->node[0]))
		h->node[h->nr_nodes++].id = -1;
}

/* --------------------------------------------------------------------------------------- all */

void doctor_host_read(const char *root, struct doctor_host *h)
{
	memset(h, 0, sizeof(*h));
	h->root = root;
	doctor_read(root, h->release, sizeof(h->release), "proc/sys/kernel/osrelease");
	doctor_text(root, &h->cmdline, "proc/cmdline");
	doctor_words_read(h->cmdline, &h->words);
	read_processor(h);
	read_process(h);
	read_hypervisor(h);
	read_config(h);
	h->container = find_container(h);
	read_lockdown(h);
	read_interrupts(h);
	read_nodes(h);
	doctor_units_read(h);
	doctor_pci_read(h);
}

void doctor_host_free(struct doctor_host *h)
{
	for (unsigned int i = 0; i < h->nr_groups; i++)
		free(h->group[i].fn);
	free(h->group);
	for (unsigned int i = 0; i < h->pci->n; i++) {
		doctor_lines_free(&h->fn[i].nets);
		free(h->fn[i].user);
	}
	free(h->fn);
	for (unsigned int i = 0; i < h->nr_units; i++)
		free(h->unit[i].why);
	free(h->unit);
	free(h->node);
	moat_pci_free(h->pci);
	moat_dmar_free(h->dmar);
	free(h->dmar_text);
	free(h->config);
	free(h->cmdline);
	doctor_words_free(&h->words);
}

bool doctor_is_amd(const struct doctor_host *h)
{
	return strcmp(h->vendor, "AuthenticAMD") == 0 || strcmp(h->vendor, "HygonGenuine") == 0;
}

unsigned int doctor_driven(const struct doctor_host *h, int kind)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < h->nr_units; i++)
		n += h->unit[i].driven && (kind < 0 || (int)h->unit[i].kind == kind);
	return n;
}

const struct doctor_unit *doctor_dead_unit(const struct doctor_host *h)
{
	for (unsigned int i = 0; i < h->nr_units; i++)
		if (h->unit[i].all_ones)
			return &h->unit[i];
	return NULL;
}

const char *doctor_lacks_iommu(const struct doctor_host *h)
{
	if (h->xen)
		return "Xen has it (see firmware)";
	if (doctor_dead_unit(h) != NULL && doctor_driven(h, -1) == 0)
		return "the firmware has switched it off (see firmware)";
	if (doctor_driven(h, -1) != 0 || h->dmar_error != -ENOENT || h->ivrs || !h->tables_visible)
		return NULL;
	return "there is no IOMMU";
}

bool doctor_may(const struct doctor_host *h, unsigned int capability)
{
	return h->has_cap_eff && (h->cap_eff >> capability & 1);
}
