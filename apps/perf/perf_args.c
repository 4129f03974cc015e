/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The command line: a sweep file, or the keys of one sweep as options. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app_option.h"
#include "app_version.h"
#include "perf.h"

static const char usage[] =
	"usage: moat-perf [EAL OPTION... --] [SWEEP.ini | --KEY VALUES...] [OPTION...]\n"
	"Measure what mapping and unmapping costs, on any unit and in any mode.\n"
	"\n"
	"  SWEEP.ini         units and sweeps; doc/perf.md says how to write one\n"
	"  --KEY VALUES      or one sweep by options: the keys of [sweep], each with one value or several\n"
	"                    (--mode strict,pipelined --batch 1,32,256 --page 4K,2M --seconds 0.5)\n"
	"  --unit KIND[,ARGS]  as in --unit soft,latency=2100; may be repeated; without it, soft\n"
	"  --json FILE       write everything there, for programs\n"
	"  --csv FILE        write a line for each case there, for spreadsheets\n"
	"  --report FILE     write an HTML page with charts there\n"
	"  --seconds S       measure each case for S seconds; overrides the file's\n"
	"  --repeat N        measure all cases N times, in turn; the table has the medians (default 1)\n"
	"  --baseline FILE   compare with another run's JSON: what is slower or faster beyond the noise\n"
	"                    (--repeat is 7 then, unless given)\n"
	"  --check           say whether the sweep is valid and how long it takes; measure nothing\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0, 1 a case failed, 2 the command line or the file is wrong (nothing was measured),\n"
	"3 a case is slower than the baseline.\n";

struct args {
	struct perf *perf;
	const char *file;
	const char *seconds;
};

/* Options become sections of perf->ini, the sweep first, as if they were read from a file. */

/* ------------------------------------------------------------------- sections from options */

static void add_entry(struct app_section *s, const char *key, const char *value)
{
	struct app_entry *e = realloc(s->entries, (s->nr_entries + 1) * sizeof(*e));

	if (e == NULL)
		abort(); /* a dozen bytes at the start of the program */
	s->entries = e;
	e[s->nr_entries++] = (struct app_entry){ strdup(key), strdup(value), 0 };
}

/* "soft,latency=5" -> [unit soft,latency=5] kind = soft, args = latency=5 */
static int add_unit(struct args *args, const char *value)
{
	struct app_ini *ini = &args->perf->ini;
	struct app_section *s = &ini->sections[ini->nr_sections];
	size_t kind = strcspn(value, ",");
	char *copy;

	if (ini->nr_sections == PERF_UNITS + 1)
		return app_ini_error(ini, 0, "more than %d units; use a file", PERF_UNITS);
	ini->nr_sections++;
	s->kind = strdup("unit");
	s->name = strdup(value);
	copy = strndup(value, kind);
	add_entry(s, "kind", copy);
	free(copy);
	if (value[kind] == ',')
		add_entry(s, "args", value + kind + 1);
	return 0;
}

/* The program's own options with a value. The keys of [sweep] are options with a value, too. */
static const char *const own[] = { "json", "csv", "report", "unit", "baseline", "repeat" };

static bool has_value(const char *name)
{
	for (unsigned int i = 0; i < RTE_DIM(own); i++)
		if (strcmp(own[i], name) == 0)
			return true;
	for (unsigned int i = 0; perf_sweep_key(i) != NULL; i++)
		if (strcmp(perf_sweep_key(i), name) == 0)
			return true;
	return false;
}

static int unknown(const char *option)
{
	const char *names[64] = { "check", "help", "version" };
	unsigned int n = 3;
	char keys[32][24];

	for (unsigned int i = 0; i < RTE_DIM(own); i++)
		names[n++] = own[i];
	for (unsigned int i = 0; perf_sweep_key(i) != NULL && i < RTE_DIM(keys); i++) {
		snprintf(keys[i], sizeof(keys[i]), "%s", perf_sweep_key(i));
		for (char *c = keys[i]; *c != '\0'; c++)
			*c = *c == '_' ? '-' : *c;
		names[n++] = keys[i];
	}
	app_option_unknown("moat-perf", option, names, APP_OPTION_EAL);
	return PERF_EXIT_CONFIG;
}

static int repeat(struct perf *perf, const char *value)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (value[0] < '0' || value[0] > '9' || *end != '\0' || n < 1 || n > 1000) {
		fprintf(stderr,
			"moat-perf: --repeat %s is not a number of times; write 1 to 1000\n",
			value);
		return PERF_EXIT_CONFIG;
	}
	perf->repeat = (unsigned int)n;
	return -1;
}

/* Take an option with a value. @return < 0: go on; otherwise the exit code */
static int option(struct args *args, const char *name, const char *value)
{
	struct perf *perf = args->perf;

	if (strcmp(name, "json") == 0)
		perf->json = value;
	else if (strcmp(name, "csv") == 0)
		perf->csv = value;
	else if (strcmp(name, "report") == 0)
		perf->report = value;
	else if (strcmp(name, "unit") == 0)
		return add_unit(args, value) == 0 ? -1 : PERF_EXIT_CONFIG;
	else if (strcmp(name, "seconds") == 0)
		args->seconds = value;
	else if (strcmp(name, "baseline") == 0)
		perf->baseline = value;
	else if (strcmp(name, "repeat") == 0)
		return repeat(perf, value);
	else
		add_entry(&perf->ini.sections[0], name, value);
	return -1;
}

/* Take an argument that does not begin with two dashes: the file. @return as option() */
static int file(struct args *args, const char *text)
{
	const char letter[] = { '-', text[1], '\0' };

	if (text[0] == '-' && text[1] != '\0')
		return unknown(letter);
	if (args->file != NULL) {
		fprintf(stderr, "moat-perf: give one SWEEP.ini, not %s and %s\n", args->file, text);
		return PERF_EXIT_CONFIG;
	}
	args->file = text;
	return -1;
}

/* Take argv[*i], and the argument after it if that is the option's value. @return as option() */
static int argument(struct args *args, int argc, char *argv[], int *i)
{
	char name[64] = "", *value;

	if (strncmp(argv[*i], "--", 2) != 0)
		return file(args, argv[*i]);
	snprintf(name, sizeof(name), "%s", argv[*i] + 2);
	if ((value = strchr(name, '=')) != NULL)
		*value = '\0';
	for (char *c = name; *c != '\0'; c++) /* --working-set is the key working_set */
		*c = *c == '-' ? '_' : *c;
	if (strcmp(name, "help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	if (strcmp(name, "version") == 0) {
		app_version("moat-perf");
		return 0;
	}
	if (strcmp(name, "check") == 0) {
		args->perf->check = true;
		return -1;
	}
	if (!has_value(name))
		return unknown(argv[*i]);
	if ((value = strchr(argv[*i], '=')) != NULL)
		return option(args, name, value + 1);
	if (*i + 1 == argc) {
		fprintf(stderr, "moat-perf: '%s' needs a value; 'moat-perf --help' says which\n",
			argv[*i]);
		return PERF_EXIT_CONFIG;
	}
	return option(args, name, argv[++*i]);
}

/* ----------------------------------------------------------------------------------- all of it */

/* Keep the command line, quoted for a shell, so that a report's results can be repeated. */
static void keep_command(struct perf *perf, int argc, char *argv[])
{
	size_t at = 0, size = sizeof(perf->command);

	for (int i = 0; i < argc && at < size; i++) {
		bool plain = strspn(argv[i],
				     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789-_=,./:@+") == strlen(argv[i]);

		at += snprintf(perf->command + at, size - at, "%s%s%s%s", i == 0 ? "" : " ",
			plain ? "" : "'", argv[i], plain ? "" : "'");
	}
}

/* Make the sections that app_ini_load() would read from a file with an empty [sweep]. */
static int begin_sections(struct app_ini *ini)
{
	ini->path = "command line";
	ini->sections = calloc(PERF_UNITS + 1, sizeof(*ini->sections));
	if (ini->sections == NULL)
		return PERF_EXIT_FAILED;
	ini->nr_sections = 1;
	ini->sections[0].kind = strdup("sweep");
	ini->sections[0].name = strdup("");
	return -1;
}

static int use_file(struct args *args)
{
	struct app_ini *ini = &args->perf->ini;
	const struct app_section *s = &ini->sections[0];

	if (s->nr_entries != 0 || ini->nr_sections != 1) {
		fprintf(stderr,
			"moat-perf: --%s cannot be given with the file %s; write it into the file, or "
			"leave the file out\n",
			s->nr_entries != 0 ? s->entries[0].key : "unit", args->file);
		return PERF_EXIT_CONFIG;
	}
	app_ini_free(ini);
	return app_ini_load(ini, args->file) == 0 ? -1 : PERF_EXIT_CONFIG;
}

int perf_args(struct perf *perf, int argc, char *argv[], double *seconds)
{
	struct args args = { .perf = perf };
	char *end;
	int rc = begin_sections(&perf->ini);

	for (int i = 1; i < argc && rc < 0; i++)
		rc = argument(&args, argc, argv, &i);
	if (rc >= 0)
		return rc;
	if (perf->repeat == 0)
		perf->repeat = perf->baseline != NULL ? 7 : 1;
	keep_command(perf, argc, argv);
	if (args.seconds != NULL) {
		*seconds = strtod(args.seconds, &end);
		if (*end != '\0' || !(*seconds >= 0.01 && *seconds <= 86400)) {
			fprintf(stderr,
				"moat-perf: --seconds %s is not a time; write a number from 0.01 to 86400\n",
				args.seconds);
			return PERF_EXIT_CONFIG;
		}
	}
	return args.file != NULL ? use_file(&args) : -1;
}
