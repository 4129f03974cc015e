/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_check.h"
#include "doctor_read.h"
#include "moat_vtd_obstacles.h"

#define OBSTACLES 32 /* the most that are listed for a unit */

/** Units by the result of their check. */
struct sum {
	char *blocking, *compatible, *unable; /* names of units, "dmar0, dmar3"; NULL: none */
};

/* Read the files that moat_vtd_obstacles() reads, so that they are kept for an archive. */
static void keep(const struct doctor_host *h)
{
	char text[16];

	for (unsigned int i = 0; i < h->pci->n; i++) {
		struct doctor_lines irqs = { 0 };
		const char *fn = h->fn[i].address;

		doctor_read(h->root, text, sizeof(text), "sys/bus/pci/devices/%s/irq", fn);
		doctor_read_folder(h->root, &irqs, "sys/bus/pci/devices/%s/msi_irqs", fn);
		for (unsigned int k = 0; k < irqs.n; k++)
			doctor_read(h->root, text, sizeof(text),
				"sys/bus/pci/devices/%s/msi_irqs/%s", fn, irqs.at[k]);
		doctor_lines_free(&irqs);
	}
}

static void name_add(char **names, const char *name)
{
	char *before = *names;

	*names = doctor_format("%s%s%s", before != NULL ? before : "", before != NULL ? ", " : "",
		name);
	free(before);
}

/* Find the functions behind a unit that could be tenants' and have no driver, or one that leaves
 * them to a process, so that the kernel takes no interrupts from them. @return how many functions
 * could be tenants', with those that have a kernel driver */
static unsigned int tenants_of(const struct doctor_host *h, unsigned int unit, moat_sid_t tenant[],
	unsigned int *n)
{
	unsigned int candidates = 0;

	*n = 0;
	for (unsigned int i = 0; i < h->pci->n; i++) {
		const struct moat_pci_fn *fn = &h->pci->fn[i];

		if (!doctor_candidate(&h->fn[i]) ||
			moat_dmar_unit_of(h->dmar, h->pci, fn->segment, fn->sid) != (int)unit)
			continue;
		candidates++;
		if (fn->driver[0] == '\0' || moat_pci_is_users(fn))
			tenant[(*n)++] = fn->sid;
	}
	return candidates;
}

static void say_once(struct doctor_lines *lines, const char *text)
{
	for (unsigned int i = 0; i < lines->n; i++)
		if (strcmp(lines->at[i], text) == 0)
			return;
	doctor_say(lines, "%s", text);
}

/* Find the unit by its index in the DMAR table. @return NULL: its registers were not read */
static const struct doctor_unit *unit_find(const struct doctor_host *h, unsigned int drhd)
{
	for (unsigned int i = 0; i < h->nr_units; i++)
		if (h->unit[i].drhd == (int)drhd && h->unit[i].from != NULL)
			return &h->unit[i];
	return NULL;
}

static void look_at_unit(const struct doctor_host *h, unsigned int unit, struct doctor_finding *f,
	struct sum *sum)
{
	moat_sid_t *tenant = doctor_alloc(h->pci->n, sizeof(*tenant));
	const struct doctor_unit *u = unit_find(h, unit);
	struct moat_vtd_obstacle list[OBSTACLES];
	char name[16], text[256];
	unsigned int tenants, n;

	snprintf(name, sizeof(name), "dmar%u", unit);
	if (tenants_of(h, unit, tenant, &tenants) == 0) {
		free(tenant);
		return;
	}
	n = moat_vtd_obstacles(h->root, h->dmar, h->pci, unit, tenant, tenants, list, OBSTACLES);
	free(tenant);
	if (u != NULL && !u->caps.ir) {
		name_add(&sum->unable, name);
		say_once(&f->remedy,
			"give tenants functions behind a unit that remaps interrupts "
			"(ECAP.IR), or use kind = vfio");
		return;
	}
	name_add(n != 0 ? &sum->compatible : &sum->blocking, name);
	for (unsigned int i = 0; i < RTE_MIN(n, (unsigned int)OBSTACLES); i++) {
		moat_vtd_obstacle_text(&list[i], text, sizeof(text));
		doctor_say(&f->evidence, "%s: %s", name, text);
		moat_vtd_obstacle_remedy(&list[i], text, sizeof(text));
		say_once(&f->remedy, text);
	}
	if (n > OBSTACLES)
		doctor_say(&f->evidence, "%s: and %u more", name, n - OBSTACLES);
}

void doctor_check_interrupts(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	struct sum sum = { 0 };

	if (h->pci != NULL)
		keep(h);
	for (unsigned int i = 0; h->pci != NULL && i < h->dmar->nr_units; i++)
		look_at_unit(h, i, f, &sum);
	if (sum.unable != NULL)
		doctor_find(f, DOCTOR_WARN,
			"a tenant's device behind %s can raise any interrupt: the unit cannot remap "
			"them",
			sum.unable);
	else if (sum.compatible != NULL)
		doctor_find(f, DOCTOR_WARN,
			"a tenant's device behind %s can raise any interrupt: what the kernel has "
			"there keeps moat from blocking them",
			sum.compatible);
	else if (sum.blocking != NULL)
		doctor_find(f, DOCTOR_OK,
			"tenants' devices raise only what they are given: the kernel gets no interrupts "
			"from behind %s",
			sum.blocking);
	else
		doctor_find(f, DOCTOR_UNKNOWN,
			"no function that could be a tenant's is behind a unit");
	free(sum.blocking);
	free(sum.compatible);
	free(sum.unable);
}
