/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moat_vtd_obstacles.h"

/** The input and the result of a search. */
struct scan {
	const char *root;
	const struct moat_dmar *dmar;
	const struct moat_pci *pci;
	unsigned int unit;
	struct moat_vtd_obstacle *list;
	unsigned int n, max;
};

static void add(struct scan *s, const struct moat_vtd_obstacle *o)
{
	if (s->n < s->max)
		s->list[s->n] = *o;
	s->n++;
}

/* Write the path <root>/sys/bus/pci/devices/<function>/<name>. */
static void path_of(const struct scan *s, const struct moat_pci_fn *fn, const char *name,
	char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/sys/bus/pci/devices/%04x:" MOAT_SID_FMT "/%s", s->root,
		fn->segment, MOAT_SID_ARGS(fn->sid), name);
}

/* Read the first word of a file. @return false: the file cannot be read, or is empty */
static bool word_read(const char *path, char word[16])
{
	FILE *f = fopen(path, "re");
	bool ok = f != NULL && fscanf(f, "%15s", word) == 1;

	if (f != NULL)
		fclose(f);
	return ok;
}

/* Count a function's MSI or MSI-X vectors in use. The kernel has a file for each, which contains
 * "msi" or "msix". @return how many */
static unsigned int vectors_in_use(const struct scan *s, const struct moat_pci_fn *fn, bool *msix)
{
	char folder[PATH_MAX], path[PATH_MAX + 32], kind[16];
	const struct dirent *e;
	unsigned int n = 0;
	DIR *dir;

	path_of(s, fn, "msi_irqs", folder);
	dir = opendir(folder);
	while (dir != NULL && (e = readdir(dir)) != NULL) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		n++;
		snprintf(path, sizeof(path), "%s/%.20s", folder, e->d_name);
		/* A file may be gone meanwhile. Functions have vectors of one kind at a time. */
		*msix |= word_read(path, kind) && strcmp(kind, "msix") == 0;
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}

/* Does a line of /proc/interrupts satisfy `is`? A line has a number for each processor, so its
 * length has no bound. @return 1, 0 or a negative errno */
static int interrupts_any(const char *root, bool (*is)(const char *line, unsigned int irq),
	unsigned int irq)
{
	char path[PATH_MAX], *line = NULL;
	size_t size = 0;
	int found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/interrupts", root);
	f = fopen(path, "re");
	if (f == NULL)
		return -errno;
	while (found == 0 && getline(&line, &size, f) >= 0)
		found = is(line, irq);
	free(line);
	fclose(f);
	return found;
}

static bool is_of_irq(const char *line, unsigned int irq)
{
	char *end;
	unsigned long n = strtoul(line, &end, 10);

	return end != line && *end == ':' && n == irq;
}

static void look_at_function(struct scan *s, const struct moat_pci_fn *fn)
{
	struct moat_vtd_obstacle o = { .segment = fn->segment, .sid = fn->sid };
	char path[PATH_MAX], irq[16];
	bool msix = false;

	memcpy(o.driver, fn->driver, sizeof(o.driver));
	o.vectors = vectors_in_use(s, fn, &msix);
	if (o.vectors != 0) {
		o.kind = msix ? MOAT_VTD_OBSTACLE_MSIX : MOAT_VTD_OBSTACLE_MSI;
		add(s, &o);
		return;
	}
	path_of(s, fn, "irq", path);
	if (fn->driver[0] == '\0' || moat_pci_is_users(fn) || !word_read(path, irq))
		return;
	o.kind = MOAT_VTD_OBSTACLE_INTX;
	o.vectors = strtoul(irq, NULL, 10);
	/* /proc/interrupts lists the lines that have a handler. */
	if (o.vectors != 0 && interrupts_any(s->root, is_of_irq, o.vectors) == 1)
		add(s, &o);
}

static bool is_one_of(moat_sid_t sid, const moat_sid_t list[], unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (list[i] == sid)
			return true;
	return false;
}

unsigned int moat_vtd_obstacles(const char *root, const struct moat_dmar *dmar,
	const struct moat_pci *pci, unsigned int unit, const moat_sid_t tenant[], unsigned int n,
	struct moat_vtd_obstacle list[], unsigned int max)
{
	struct scan s = { root != NULL ? root : "", dmar, pci, unit, list, 0, max };
	const struct moat_dmar_unit *u = &dmar->unit[unit];

	for (unsigned int i = 0; i < pci->n; i++) {
		const struct moat_pci_fn *fn = &pci->fn[i];

		if (fn->segment == u->segment && !is_one_of(fn->sid, tenant, n) &&
			moat_dmar_unit_of(dmar, pci, fn->segment, fn->sid) == (int)unit)
			look_at_function(&s, fn);
	}
	for (unsigned int i = 0; i < u->scopes.n; i++) {
		const struct moat_dmar_scope *scope = &u->scopes.scope[i];
		struct moat_vtd_obstacle o = { .segment = u->segment,
			.enumeration = scope->enumeration };

		if (scope->nr_path == 1) /* on the root bus: its source-id is in the table */
			o.sid = MOAT_SID(scope->bus, scope->path[0], scope->path[1]);
		o.kind = scope->type == MOAT_DMAR_IOAPIC ? MOAT_VTD_OBSTACLE_IOAPIC
							 : MOAT_VTD_OBSTACLE_HPET;
		if (scope->type == MOAT_DMAR_IOAPIC || scope->type == MOAT_DMAR_HPET)
			add(&s, &o);
	}
	return s.n;
}

/* "  24:   1233   0  IR-PCI-MSIX-0000:16:00.0  0-edge  ice-0": the chip comes after the counts. */
static bool chip_remaps(const char *line, unsigned int irq)
{
	const char *at = strchr(line, ':');

	(void)irq; /* any interrupt counts */
	if (at == NULL)
		return false;
	at++;
	at += strspn(at, " \t0123456789");
	return strncmp(at, "IR-", 3) == 0;
}

int moat_vtd_kernel_remaps(const char *root)
{
	return interrupts_any(root != NULL ? root : "", chip_remaps, 0);
}

/* -------------------------------------------------------------------------------- as text */

static const char *plural(unsigned int n)
{
	return n == 1 ? "" : "s";
}

int moat_vtd_obstacle_text(const struct moat_vtd_obstacle *o, char *text, size_t len)
{
	switch (o->kind) {
	case MOAT_VTD_OBSTACLE_IOAPIC:
		return snprintf(text, len, "I/O APIC %u is in the unit's scope", o->enumeration);
	case MOAT_VTD_OBSTACLE_HPET:
		return snprintf(text, len, "HPET %u is in the unit's scope", o->enumeration);
	case MOAT_VTD_OBSTACLE_INTX:
		return snprintf(text, len, "%04x:" MOAT_SID_FMT " (%s) has legacy line %u in use",
			o->segment, MOAT_SID_ARGS(o->sid), o->driver, o->vectors);
	default:
		return snprintf(text, len, "%04x:" MOAT_SID_FMT " (%s) has %u %s vector%s in use",
			o->segment, MOAT_SID_ARGS(o->sid),
			o->driver[0] != '\0' ? o->driver : "no driver", o->vectors,
			o->kind == MOAT_VTD_OBSTACLE_MSIX ? "MSI-X" : "MSI", plural(o->vectors));
	}
}

int moat_vtd_obstacle_remedy(const struct moat_vtd_obstacle *o, char *text, size_t len)
{
	if (o->kind == MOAT_VTD_OBSTACLE_IOAPIC || o->kind == MOAT_VTD_OBSTACLE_HPET)
		return snprintf(text, len,
			"use functions behind another unit for tenants: firmware decides what is "
			"behind this one");
	if (strcmp(o->driver, "pcieport") == 0)
		return snprintf(text, len,
			"boot with pcie_ports=compat: the kernel then uses neither the port's MSI "
			"nor its hot plug and error reports");
	return snprintf(text, len,
		"unbind it from %s, or use functions behind another unit for tenants",
		o->driver[0] != '\0' ? o->driver : "its user");
}
