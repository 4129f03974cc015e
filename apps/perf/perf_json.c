/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* --json: all results, for programs and for the report. The fields are an interface: doc/perf.md
 * lists them. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

#include <jansson.h>
#include <rte_cycles.h>
#include <rte_version.h>

#include "moat_softvtd.h"
#include "perf.h"

/* Make a number with six digits, which is more than measurements are good for. */
static json_t *real(double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6g", value);
	return json_real(strtod(text, NULL));
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* ------------------------------------------------------------------------------- the machine */

/* Find the first value of `key` in a file of "key : value" lines; "unknown" if there is none. */
static json_t *file_value(const char *path, const char *key)
{
	char line[512];
	FILE *f = fopen(path, "r");
	json_t *value = NULL;

	while (f != NULL && value == NULL && fgets(line, sizeof(line), f) != NULL) {
		char *colon = strchr(line, ':');

		if (strncmp(line, key, strlen(key)) != 0 || colon == NULL)
			continue;
		colon += 1 + strspn(colon + 1, " \t");
		colon[strcspn(colon, "\n")] = '\0';
		value = json_string(colon);
	}
	if (f != NULL)
		fclose(f);
	return value != NULL ? value : json_string("unknown");
}

static json_t *machine(const struct perf *perf)
{
	struct utsname uts = { .release = "" };
	char date[32] = "";
	time_t now = time(NULL);
	struct tm tm;

	uname(&uts);
	if (gmtime_r(&now, &tm) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &tm);
	return json_pack("{s:o, s:i, s:o, s:s, s:o, s:o, s:s, s:s, s:o}", "processor",
		file_value("/proc/cpuinfo", "model name"), "processors", get_nprocs(), "tsc_hz",
		number(rte_get_tsc_hz()), "kernel", uts.release, "memory",
		file_value("/proc/meminfo", "MemTotal"), "hugepages",
		file_value("/proc/meminfo", "HugePages_Total"), "dpdk", rte_version(), "date", date,
		"stopwatch_cycles", real(perf->stopwatch));
}

static json_t *model(void)
{
	json_t *links = json_array(), *geometries = json_array();
	const struct moat_softvtd_geometry *g;

	for (unsigned int i = 0; i < PERF_LINKS; i++)
		json_array_append_new(links, number(perf_links[i]));
	for (unsigned int i = 0; (g = moat_softvtd_geometry(i)) != NULL; i++)
		json_array_append_new(geometries,
			json_pack("{s:s, s:s, s:i, s:i, s:[iiii]}", "name", g->name, "source",
				g->source, "iotlb", (int)g->iotlb_entries, "ways",
				(int)g->iotlb_ways, "psc", (int)g->psc_entries[MOAT_SOFTVTD_PDE],
				(int)g->psc_entries[MOAT_SOFTVTD_PDPE],
				(int)g->psc_entries[MOAT_SOFTVTD_PML4E],
				(int)g->psc_entries[MOAT_SOFTVTD_PML5E]));
	return json_pack("{s:f, s:f, s:s, s:o, s:o}", "l0_ns", PERF_L0_NS, "lm_ns", PERF_LM_NS,
		"source", PERF_MODEL_SOURCE, "links", links, "geometries", geometries);
}

/* ----------------------------------------------------------------------------------- a case */

/* Make the command line that measures this case alone. */
static json_t *command(const struct perf_case *c)
{
	char size[24], more[24];
	const char *args = c->unit->args != NULL ? c->unit->args : "";
	const char *comma = args[0] != '\0' ? "," : "";
	json_t *j = NULL;

	app_size_text(c->working_set, size, sizeof(size));
	if (c->test == PERF_PACKETS)
		return json_sprintf(
			"moat-perf --test packets --unit %s%s%s --mode %s --frame %" PRIu64
			" --burst %" PRIu64 "%s --working-set %s --lcores %u --seconds %g",
			app_unit_kinds[c->unit->kind], comma, args, app_modes[c->mode], c->frame,
			c->burst, c->verify ? " --verify yes" : "", size, c->lcores, c->seconds);
	app_size_text(c->page, more, sizeof(more));
	j = json_sprintf("moat-perf --test map --unit %s%s%s --mode %s --page %s --granule %" PRIu64
			 " --batch %" PRIu64 " --layout %s --direction %s --working-set %s --dma "
			 "%" PRIu64 " --domain %s --lcores %u --seconds %g",
		app_unit_kinds[c->unit->kind], comma, args, app_modes[c->mode], more, c->granule,
		c->batch, perf_layouts[c->layout], perf_directions[c->direction], size, c->dma,
		perf_domains[c->domains], c->lcores, c->seconds);
	if (c->layout == PERF_SCATTERED) {
		json_t *all = json_sprintf("%s --space %s", json_string_value(j),
			app_size_text(c->space, more, sizeof(more)));

		json_decref(j);
		j = all;
	}
	if (c->device >= 0) {
		json_t *all = json_sprintf("%s --device " MOAT_SID_FMT, json_string_value(j),
			MOAT_SID_ARGS((moat_sid_t)c->device));

		json_decref(j);
		j = all;
	}
	return j;
}

static json_t *asked(const struct perf_case *c)
{
	json_t *j = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:s, s:i, s:o, s:o, s:s, s:o}",
		"sweep", c->sweep, "test", perf_tests[c->test], "unit", "name", c->unit->name,
		"kind", app_unit_kinds[c->unit->kind], "args",
		c->unit->args != NULL ? c->unit->args : "", "mode", app_modes[c->mode], "lcores",
		(int)c->lcores, "asked_seconds", real(c->seconds), "working_set",
		number(c->working_set), "touches", perf_mode_touches(c->mode), "command",
		command(c));

	if (c->test == PERF_MAP)
		json_object_update_new(j,
			json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "domain",
				perf_domains[c->domains], "layout", perf_layouts[c->layout],
				"direction", perf_directions[c->direction], "page", number(c->page),
				"granule", number(c->granule), "batch", number(c->batch), "space",
				number(c->layout == PERF_SCATTERED ? c->space : 0), "dma",
				number(c->dma)));
	else
		json_object_update_new(j,
			json_pack("{s:o, s:o, s:b}", "frame", number(c->frame), "burst",
				number(c->burst), "verify", (int)c->verify));
	if (c->unit->stage != NULL)
		json_object_set_new(j, "stage", json_string(c->unit->stage));
	return j;
}

static json_t *spread(const struct perf_spread *s)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "min", real(s->min), "median",
		real(s->median), "p99", real(s->p99), "max", real(s->max), "mean", real(s->mean));
}

static json_t *stages(const struct perf_result *r)
{
	json_t *j = json_object();

	for (enum moat_stage i = 0; i < MOAT_STAGES; i++)
		if (i != MOAT_STAGE_IDLE) /* turns without an operation */
			json_object_set_new(j, moat_stage_name(i), real(r->cycles[i]));
	json_object_set_new(j, "total", real(r->total));
	json_object_set_new(j, "reference", real(r->reference));
	return j;
}

/* Make the list of all rounds' stages, in the order of the rounds. */
static json_t *repeats(const struct perf *perf, unsigned int i)
{
	json_t *j = json_array();

	for (unsigned int k = 0; k < RTE_MAX(perf->nr_rounds, 1u); k++)
		if (perf_repeat(perf, i, k)->rc == 0)
			json_array_append_new(j, stages(perf_repeat(perf, i, k)));
	return j;
}

static json_t *runs(const struct perf_result *r)
{
	json_t *j = json_array();

	for (unsigned int i = 0; i < PERF_RUN_SIZES; i++)
		if (r->runs[i] != 0)
			json_array_append_new(j,
				json_pack("{s:o, s:o}", "pages", number(UINT64_C(1) << i), "count",
					number(r->runs[i])));
	return j;
}

/* Count exposed pages by the time for which they could be reached, in classes of microseconds. */
static json_t *windows(const struct perf_result *r)
{
	double us = (double)rte_get_tsc_hz() / 1e6;
	json_t *j = json_array();

	for (unsigned int i = 0; i < MOAT_LANE_WINDOWS; i++)
		if (r->windows[i] != 0)
			json_array_append_new(j,
				json_pack("{s:o, s:o}", "below_us",
					real((double)(UINT64_C(2) << i) / us), "pages",
					number(r->windows[i])));
	return j;
}

static json_t *prediction(const struct perf_prediction *p)
{
	json_t *holds = json_object();

	for (unsigned int i = 0; i < PERF_LINKS; i++) {
		char link[16];

		snprintf(link, sizeof(link), "%u", perf_links[i]);
		json_object_set_new(holds, link, json_boolean(perf_holds(p, i)));
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "dmas", number(p->dmas),
		"bytes", number(p->bytes), "iotlb_misses", real(p->iotlb_misses), "walks_from_root",
		real(p->walks_from_root), "memory_reads", real(p->reads), "ns", real(p->ns), "gbps",
		real(p->gbps), "holds", holds);
}

static json_t *came(const struct perf_case *c, const struct perf_result *r)
{
	json_t *j;

	if (r->rc != 0)
		return json_pack("{s:s}", "error", r->error);
	j = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o}}", "seconds",
		real(r->seconds), "operations", number(r->operations), "pages", number(r->pages),
		"operations_per_second", real(r->rate), "pages_per_second", real(r->page_rate),
		"driver_operations_per_second", real(r->driver_rate), "stages", stages(r), "cycles",
		"map", spread(&r->map), "unmap", spread(&r->unmap), "total", spread(&r->both));
	json_object_update_new(j,
		json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "descriptors_per_page",
			real(r->descriptors), "waits_per_page", real(r->waits),
			"doorbells_per_page", real(r->doorbells), "waited_per_operation",
			real(r->waited), "starved", number(r->starved), "runs", runs(r)));
	if (c->mode == MOAT_DEFERRED)
		json_object_set_new(j, "exposed",
			json_pack("{s:o, s:o, s:o, s:o}", "pages", number(r->exposed_pages),
				"mean_us", real(r->exposed_mean_us), "max_us",
				real(r->exposed_max_us), "windows", windows(r)));
	if (r->prediction.dmas != 0)
		json_object_set_new(j, "prediction", prediction(&r->prediction));
	return j;
}

int perf_json_write(const struct perf *perf, const char *path)
{
	json_t *cases = json_array(), *all;
	int rc;

	for (unsigned int i = 0; i < perf->nr_done; i++) {
		json_t *j = asked(&perf->cases[i]);

		json_object_update_new(j, came(&perf->cases[i], &perf->results[i]));
		json_object_set_new(j, "repeats", repeats(perf, i));
		json_array_append_new(cases, j);
	}
	all = json_pack("{s:s, s:s, s:b, s:o, s:o, s:o}", "moat-perf", MOAT_VERSION, "command",
		perf->command, "complete", (int)(perf->nr_done == perf->nr_cases), "machine",
		machine(perf), "model", model(), "cases", cases);
	if (all == NULL)
		return moat_error(-ENOMEM, "%s: no memory for the results", path);
	errno = 0;
	rc = json_dump_file(all, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	json_decref(all);
	return rc == 0 ? 0
		       : moat_error(errno != 0 ? -errno : -EIO, "%s cannot be written: %s", path,
				 strerror(errno != 0 ? errno : EIO));
}
