/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* --csv: a line for each case, for spreadsheets. Columns that a test does not have are empty. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "perf.h"

/* Write a text as a field: in quotes, with quotes doubled. */
static void text(FILE *f, const char *value)
{
	fputc('"', f);
	for (; *value != '\0'; value++) {
		if (*value == '"')
			fputc('"', f);
		fputc(*value, f);
	}
	fputc('"', f);
}

static void header(FILE *f)
{
	fputs("sweep,test,unit,kind,args,stage,mode,lcores,working_set,domain,layout,direction,page,granule,"
	      "batch,dma,frame,burst,seconds,operations,pages,operations_per_second,pages_per_second",
		f);
	for (enum moat_stage i = 0; i < MOAT_STAGE_IDLE; i++)
		fprintf(f, ",%s", moat_stage_name(i));
	fputs(",total,map_min,map_median,map_p99,map_max,unmap_min,unmap_median,unmap_p99,unmap_max,"
	      "descriptors_per_page,waits_per_page,doorbells_per_page,memory_reads_per_dma,"
	      "predicted_gbps,error\n",
		f);
}

static void asked(FILE *f, const struct perf_case *c)
{
	text(f, c->sweep);
	fprintf(f, ",%s,", perf_tests[c->test]);
	text(f, c->unit->name);
	fprintf(f, ",%s,", app_unit_kinds[c->unit->kind]);
	text(f, c->unit->args != NULL ? c->unit->args : "");
	fprintf(f, ",%s,%s,%u,%" PRIu64 ",", c->unit->stage != NULL ? c->unit->stage : "",
		app_modes[c->mode], c->lcores, c->working_set);
	if (c->test == PERF_MAP)
		fprintf(f, "%s,%s,%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",,,",
			perf_domains[c->domains], perf_layouts[c->layout],
			perf_directions[c->direction], c->page, c->granule, c->batch, c->dma);
	else
		fprintf(f, ",,,,,,,%" PRIu64 ",%" PRIu64 ",", c->frame, c->burst);
}

static void came(FILE *f, const struct perf_result *r)
{
	fprintf(f, "%.6g,%" PRIu64 ",%" PRIu64 ",%.6g,%.6g,", r->seconds, r->operations, r->pages,
		r->rate, r->page_rate);
	for (enum moat_stage i = 0; i < MOAT_STAGE_IDLE; i++)
		fprintf(f, "%.6g,", r->cycles[i]);
	fprintf(f, "%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,", r->total,
		r->map.min, r->map.median, r->map.p99, r->map.max, r->unmap.min, r->unmap.median,
		r->unmap.p99, r->unmap.max, r->descriptors, r->waits, r->doorbells);
	if (r->prediction.dmas != 0)
		fprintf(f, "%.6g,%.6g,", r->prediction.reads, r->prediction.gbps);
	else
		fputs(",,", f);
	text(f, r->error);
	fputc('\n', f);
}

int perf_csv_write(const struct perf *perf, const char *path)
{
	FILE *f = fopen(path, "w");
	bool failed;

	if (f == NULL)
		return moat_error(-errno, "%s cannot be written: %s", path, strerror(errno));
	header(f);
	for (unsigned int i = 0; i < perf->nr_done; i++) {
		asked(f, &perf->cases[i]);
		came(f, &perf->results[i]);
	}
	failed = ferror(f) != 0;
	if (fclose(f) != 0 || failed)
		return moat_error(-EIO, "%s was not written to its end: %s", path, strerror(errno));
	return 0;
}
