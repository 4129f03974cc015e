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

/* ------------------------------------------------------------------------------ command line */

/** The next "name=value" word at or after `at`; NULL: none. Its value has `*len` bytes. */
static const char *next_option(const char *at, const char *name, size_t *len)
{
	size_t n = strlen(name);

	while (*at != '\0') {
		size_t word;

		at += strspn(at, " \t\n");
		word = strcspn(at, " \t\n");
		if (word >= n && memcmp(at, name, n) == 0 && (word == n || at[n] == '=')) {
			*len = word == n ? 0 : word - n - 1;
			return at + (word == n ? n : n + 1);
		}
		at += word;
	}
	return NULL;
}

bool doctor_option(const struct doctor_host *host, const char *name, char *value, size_t len)
{
	const char *at = host->cmdline;
	bool found = false;
	size_t n;

	while ((at = next_option(at, name, &n)) != NULL) {
		if (value != NULL)
			snprintf(value, len, "%.*s", (int)n, at);
		found = true;
		at += n;
	}
	return found;
}

static bool is(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(text, word, len) == 0;
}

const char *doctor_option_last(const struct doctor_host *host, const char *name, const char *a,
	const char *b)
{
	const char *at = host->cmdline, *last = NULL;
	size_t left;

	while ((at = next_option(at, name, &left)) != NULL)
		while (left != 0) {
			size_t n = strcspn(at, ", \t\n");

			if (is(at, n, a))
				last = a;
			else if (is(at, n, b))
				last = b;
			at += n;
			left -= n;
			if (left != 0) {
				at++;
				left--;
			}
		}
	return last;
}

/* --------------------------------------------------------------------- processor and process */

static void read_processor(struct doctor_host *h)
{
	char text[8192], value[4096];

	doctor_read(h->root, text, sizeof(text), "proc/cpuinfo");
	doctor_key(text, "vendor_id", h->vendor, sizeof(h->vendor));
	doctor_key(text, "model name", h->model, sizeof(h->model));
	doctor_key(text, "flags", value, sizeof(value));
	h->hypervisor = strstr(value, " hypervisor") != NULL;
	h->vmx = strstr(value, " vmx") != NULL;
	doctor_key(text, "address sizes", value, sizeof(value));
	h->phys_bits = strtoul(value, NULL, 10);
}

static void read_process(struct doctor_host *h)
{
	char text[8192], value[128];

	doctor_read(h->root, text, sizeof(text), "proc/self/status");
	doctor_key(text, "CapEff", value, sizeof(value));
	h->has_cap_eff = value[0] != '\0';
	h->cap_eff = strtoull(value, NULL, 16);
	doctor_read(h->root, text, sizeof(text), "proc/self/limits");
	doctor_key(text, "Max locked memory", value, sizeof(value)); /* soft, hard, unit */
	h->has_memlock = value[0] != '\0';
	h->memlock = strncmp(value, "unlimited", 9) == 0 ? UINT64_MAX : strtoull(value, NULL, 10);
}

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

/** "none [integrity] confidentiality" */
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

/** With interrupt remapping on, the kernel's interrupt chips are named IR-... */
static void read_interrupts(struct doctor_host *h)
{
	size_t len = 1 << 20;
	char *text = malloc(len);

	if (text == NULL)
		return;
	h->has_interrupts = doctor_read(h->root, text, len, "proc/interrupts") == 0;
	h->interrupts_remapped = strstr(text, " IR-") != NULL;
	free(text);
}

/* ------------------------------------------------------------------------------------ memory */

static void read_node(const struct doctor_host *h, const char *folder, struct doctor_node *node)
{
	doctor_read_number(h->root, 10, &node->total_2m,
		"sys/devices/system/node/%s/hugepages/hugepages-2048kB/nr_hugepages", folder);
	doctor_read_number(h->root, 10, &node->free_2m,
		"sys/devices/system/node/%s/hugepages/hugepages-2048kB/free_hugepages", folder);
	doctor_read_number(h->root, 10, &node->total_1g,
		"sys/devices/system/node/%s/hugepages/hugepages-1048576kB/nr_hugepages", folder);
	doctor_read_number(h->root, 10, &node->free_1g,
		"sys/devices/system/node/%s/hugepages/hugepages-1048576kB/free_hugepages", folder);
}

static void read_nodes(struct doctor_host *h)
{
	struct doctor_lines names = { 0 };

	doctor_read_folder(h->root, &names, "sys/devices/system/node");
	for (unsigned int i = 0; i < names.n && h->nr_nodes < DOCTOR_NODES_MAX; i++) {
		struct doctor_node *node = &h->node[h->nr_nodes];

		if (strncmp(names.at[i], "node", 4) != 0 || !isdigit((unsigned char)names.at[i][4]))
			continue;
		node->id = strtoul(names.at[i] + 4, NULL, 10);
		read_node(h, names.at[i], node);
		h->nr_nodes++;
	}
	doctor_lines_free(&names);
}

/* --------------------------------------------------------------------------------------- all */

void doctor_host_read(const char *root, struct doctor_host *h)
{
	memset(h, 0, sizeof(*h));
	h->root = root;
	doctor_read(root, h->release, sizeof(h->release), "proc/sys/kernel/osrelease");
	doctor_read(root, h->cmdline, sizeof(h->cmdline), "proc/cmdline");
	read_processor(h);
	read_process(h);
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
	free(h->fn);
	moat_pci_free(h->pci);
	moat_dmar_free(h->dmar);
}

unsigned int doctor_driven(const struct doctor_host *h, int kind)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < h->nr_units; i++)
		n += h->unit[i].driven && (kind < 0 || (int)h->unit[i].kind == kind);
	return n;
}

bool doctor_has_iommu(const struct doctor_host *h)
{
	return doctor_driven(h, -1) != 0 || h->dmar_error != -ENOENT || h->ivrs ||
		!h->tables_visible;
}

bool doctor_may(const struct doctor_host *h, unsigned int capability)
{
	return h->has_cap_eff && (h->cap_eff >> capability & 1);
}
