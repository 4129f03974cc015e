/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Reads sections into units and sweeps; doc/perf.md lists their keys. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moat_suggest.h"
#include "perf.h"

const char *const perf_tests[] = { "map", "packets", NULL };
const char *const perf_layouts[] = { "contiguous", "scattered", "allocated", NULL };
const char *const perf_domains[] = { "own", "shared", NULL };
const char *const perf_directions[] = { "to-device", "from-device", "both", NULL };

static const struct app_key unit_keys[] = {
	{ "kind", app_read_word, offsetof(struct perf_unit, kind), 0, 0, app_unit_kinds, true },
	{ "args", app_read_text, offsetof(struct perf_unit, args), 0, 0, NULL, false },
	{ .name = NULL },
};

/* Arguments that the user's may override. The adversary would cost time. */
#define SOFT_ARGS "adversary=0"

void perf_unit_conf(const struct perf_unit *u, struct app_unit_conf *conf,
	char text[PERF_UNIT_TEXT])
{
	char *name = text, *args = text + 32;
	const char *given = u->args != NULL ? u->args : "";

	/* A unit of the command line is named "KIND,ARGS"; devargs take only "KIND" as a name. */
	snprintf(name, 32, "%.*s", (int)RTE_MIN(strcspn(u->name, ",= "), 31u), u->name);
	snprintf(args, PERF_UNIT_TEXT - 32, "%s%s%s", u->kind == APP_UNIT_SOFT ? SOFT_ARGS : "",
		u->kind == APP_UNIT_SOFT && given[0] != '\0' ? "," : "", given);
	*conf = (struct app_unit_conf){ .name = name, .args = args };
}

const char *perf_unit_stage(const struct moat_unit *unit)
{
	if (unit->caps.tables != MOAT_TABLES_OURS)
		return "kernel";
	if (unit->caps.nested.sagaw != 0)
		return "nested";
	return unit->caps.format == MOAT_PT_FIRST_STAGE ? "first" : "second";
}

/* Check a unit's arguments; a unit that is only memory of this process is opened for that. */
static void check_args(struct perf *perf, const struct app_section *s, const struct perf_unit *u)
{
	char text[PERF_UNIT_TEXT];
	struct app_unit_conf conf;
	struct moat_unit *unit;
	int rc;

	perf_unit_conf(u, &conf, text);
	if (app_unit_in_process(u->kind)) {
		rc = app_unit_open(u->kind, &conf, &unit);
		if (rc == 0)
			app_unit_close(unit);
	} else {
		rc = app_unit_check(u->kind, &conf);
	}
	if (rc != 0)
		app_ini_error(&perf->ini, app_ini_line(s, "args"), "%s", moat_error_text());
}

static void read_unit(struct perf *perf, const struct app_section *s)
{
	struct perf_unit *u = &perf->units[perf->nr_units];
	unsigned int errors = perf->ini.errors;

	if (perf->nr_units == PERF_UNITS) {
		app_ini_error(&perf->ini, s->line, "more than %d units; leave some out",
			PERF_UNITS);
		return;
	}
	if (s->name[0] == '\0')
		app_ini_error(&perf->ini, s->line, "[unit] has no name; write [unit NAME]");
	for (unsigned int i = 0; i < perf->nr_units; i++)
		if (strcmp(perf->units[i].name, s->name) == 0)
			app_ini_error(&perf->ini, s->line,
				"there is a [unit %s] already; give this one another name",
				s->name);
	*u = (struct perf_unit){ .name = s->name };
	app_ini_read(&perf->ini, s, unit_keys, u);
	perf->nr_units++;
	if (perf->ini.errors != errors)
		return;
	check_args(perf, s, u);
}

static void check_kind(struct perf *perf, const struct app_section *s)
{
	static const char *const kinds[] = { "unit", "sweep", NULL };
	const char *meant = moat_suggest(s->kind, kinds);

	if (meant != NULL && strcmp(meant, s->kind) == 0)
		return;
	if (meant != NULL)
		app_ini_error(&perf->ini, s->line, "[%s] is unknown; did you mean [%s]?", s->kind,
			meant);
	else
		app_ini_error(&perf->ini, s->line, "[%s] is unknown; there are [unit] and [sweep]",
			s->kind);
}

void perf_conf_read(struct perf *perf, double seconds)
{
	static const struct perf_unit soft = { .name = "soft", .kind = APP_UNIT_SOFT };
	struct app_ini *ini = &perf->ini;
	bool any = false;

	for (unsigned int i = 0; i < ini->nr_sections; i++) {
		check_kind(perf, &ini->sections[i]);
		if (strcmp(ini->sections[i].kind, "unit") == 0)
			read_unit(perf, &ini->sections[i]);
	}
	if (perf->nr_units == 0 && ini->errors == 0)
		perf->units[perf->nr_units++] = soft;
	for (unsigned int i = 0; i < ini->nr_sections; i++) {
		if (strcmp(ini->sections[i].kind, "sweep") != 0)
			continue;
		any = true;
		perf_sweep_read(perf, &ini->sections[i], seconds);
	}
	if (!any && ini->errors == 0)
		app_ini_error(ini, 0,
			"there is no [sweep], so there is nothing to measure; add one");
	for (unsigned int i = 0; i < perf->nr_cases; i++)
		perf->nr_lcores = RTE_MAX(perf->nr_lcores, perf->cases[i].lcores);
}

void perf_conf_free(struct perf *perf)
{
	free(perf->cases);
	free(perf->results);
	free(perf->repeats);
	app_ini_free(&perf->ini);
}
