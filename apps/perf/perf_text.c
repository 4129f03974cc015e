/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Tables for people: keys that vary within a sweep are columns, the others are in the heading. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "perf.h"

const char *perf_mode_touches(enum moat_mode mode)
{
	static const char *const touches[MOAT_MODES] = {
		[MOAT_STATIC] = "all of its tenant's memory, at any time",
		[MOAT_STRICT] = "nothing that it no longer owns",
		[MOAT_PIPELINED] = "nothing that it no longer owns",
		[MOAT_DEFERRED] = "what it has handed over, for a bounded time",
		[MOAT_COPY] = "shadow buffers only",
	};

	return mode < MOAT_MODES ? touches[mode] : "";
}

/* ------------------------------------------------------------------------------ a case's keys */

enum { TEXT = 48 };

struct key {
	const char *name;
	int width;
	unsigned int tests; /* MAP, PACKETS: tests that have the key */
	void (*print)(const struct perf_case *c, char *text);
};

#define MAP     (1u << PERF_MAP)
#define PACKETS (1u << PERF_PACKETS)

static void key_unit(const struct perf_case *c, char *text)
{
	snprintf(text, TEXT, "%s", c->unit->name);
}

static void key_mode(const struct perf_case *c, char *text)
{
	snprintf(text, TEXT, "%s", app_modes[c->mode]);
}

static void key_lcores(const struct perf_case *c, char *text)
{
	snprintf(text, TEXT, "%u", c->lcores);
}

static void key_domain(const struct perf_case *c, char *text)
{
	snprintf(text, TEXT, "%s", perf_domains[c->domains]);
}

static void key_layout(const struct perf_case *c, char *text)
{
	snprintf(text, TEXT, "%s", perf_layouts[c->layout]);
}

static void key_direction(const struct perf_case *c, char *text)
{
	snprintf(text, TEXT, "%s", perf_directions[c->direction]);
}

static void key_page(const struct perf_case *c, char *text)
{
	app_size_text(c->page, text, TEXT);
}

static void key_granule(const struct perf_case *c, char *text)
{
	snprintf(text, TEXT, "%" PRIu64, c->granule);
}

static void key_batch(const struct perf_case *c, char *text)
{
	snprintf(text, TEXT, "%" PRIu64, c->batch);
}

static void key_working_set(const struct perf_case *c, char *text)
{
	app_size_text(c->working_set, text, TEXT);
}

static void key_dma(const struct perf_case *c, char *text)
{
	snprintf(text, TEXT, "%" PRIu64, c->dma);
}

static void key_frame(const struct perf_case *c, char *text)
{
	snprintf(text, TEXT, "%" PRIu64, c->frame);
}

static void key_burst(const struct perf_case *c, char *text)
{
	snprintf(text, TEXT, "%" PRIu64, c->burst);
}

static const struct key keys[] = {
	{ "unit", 10, MAP | PACKETS, key_unit },
	{ "lcores", 6, MAP | PACKETS, key_lcores },
	{ "domain", 6, MAP, key_domain },
	{ "working_set", 11, MAP | PACKETS, key_working_set },
	{ "direction", 11, MAP, key_direction },
	{ "dma", 5, MAP, key_dma },
	{ "frame", 5, PACKETS, key_frame },
	{ "burst", 5, PACKETS, key_burst },
	{ "page", 4, MAP, key_page },
	{ "layout", 10, MAP, key_layout },
	{ "granule", 7, MAP, key_granule },
	{ "batch", 5, MAP, key_batch },
	{ "mode", 9, MAP | PACKETS, key_mode },
};

static bool same_table(const struct perf_case *a, const struct perf_case *b)
{
	return a->test == b->test && strcmp(a->sweep, b->sweep) == 0;
}

/* Does the key vary within the table of case `i`? Also sets *width, of its column. */
static bool varies(const struct perf *perf, unsigned int i, const struct key *key, int *width)
{
	char first[TEXT], other[TEXT];
	bool differs = false;

	*width = RTE_MAX(key->width, (int)strlen(key->name));
	key->print(&perf->cases[i], first);
	for (unsigned int k = 0; k < perf->nr_cases; k++) {
		if (!same_table(&perf->cases[i], &perf->cases[k]))
			continue;
		key->print(&perf->cases[k], other);
		differs |= strcmp(first, other) != 0;
		*width = RTE_MAX(*width, (int)strlen(other));
	}
	return differs;
}

/* ------------------------------------------------------------------------------------- results */

static bool predicts(const struct perf_case *c)
{
	return c->test == PERF_MAP ? c->dma != 0 : c->unit->kind == APP_UNIT_SOFT;
}

static void heading(const struct perf *perf, unsigned int i)
{
	const struct perf_case *c = &perf->cases[i];
	char text[TEXT];
	int width;

	printf("%s%s%s%stest %s", i == 0 ? "" : "\n", c->sweep[0] != '\0' ? "[" : "", c->sweep,
		c->sweep[0] != '\0' ? "] " : "", perf_tests[c->test]);
	for (unsigned int k = 0; k < RTE_DIM(keys); k++) {
		if (!(keys[k].tests & 1u << c->test) || varies(perf, i, &keys[k], &width))
			continue;
		keys[k].print(c, text);
		printf(", %s %s", keys[k].name, text);
	}
	puts(c->test == PERF_MAP ? "; driver cycles to map and unmap a granule"
				 : "; driver cycles per packet");
	for (unsigned int k = 0; k < RTE_DIM(keys); k++)
		if ((keys[k].tests & 1u << c->test) && varies(perf, i, &keys[k], &width))
			printf("%*s ", width, keys[k].name);
	if (c->test == PERF_MAP)
		printf("%8s %8s %8s %8s %8s %8s %9s %9s", "map", "p99", "unmap", "p99", "total",
			"a page", "Mpages/s", "desc/page");
	else
		printf("%7s %7s %7s %7s %7s %7s %7s %7s %7s %7s %6s %8s", "map", "unmap", "submit",
			"wait", "reclaim", "copy", "total", "p99", "app", "device", "Mpps",
			"desc/pkt");
	if (predicts(c))
		printf(" %6s %9s", "M", "predicted");
	putchar('\n');
}

static void row_map(const struct perf_case *c, const struct perf_result *r)
{
	printf("%8.1f %8.1f %8.1f %8.1f %8.1f %8.2f %9.3f %9.4f", r->map.median, r->map.p99,
		r->unmap.median, r->unmap.p99, r->total, r->total / (double)c->granule,
		r->page_rate / 1e6, r->descriptors);
}

static void row_packets(const struct perf_result *r)
{
	const double *s = r->cycles;

	printf("%7.1f %7.1f %7.1f %7.1f %7.1f %7.1f %7.1f %7.1f %7.1f %7.1f %6.2f %8.4f",
		s[MOAT_STAGE_MAP] + s[MOAT_STAGE_TRANSLATE], s[MOAT_STAGE_UNMAP],
		s[MOAT_STAGE_SUBMIT], s[MOAT_STAGE_WAIT], s[MOAT_STAGE_RECLAIM], s[MOAT_STAGE_COPY],
		r->total, r->both.p99, s[MOAT_STAGE_APPLICATION], s[MOAT_STAGE_DEVICE],
		r->rate / 1e6,
		r->operations != 0 ? r->descriptors * (double)r->pages / (double)r->operations : 0);
}

void perf_text_row(const struct perf *perf, unsigned int i)
{
	const struct perf_case *c = &perf->cases[i];
	const struct perf_result *r = &perf->results[i];
	char text[TEXT];
	int width;

	if (i == 0 || !same_table(c, c - 1))
		heading(perf, i);
	for (unsigned int k = 0; k < RTE_DIM(keys); k++) {
		if (!(keys[k].tests & 1u << c->test) || !varies(perf, i, &keys[k], &width))
			continue;
		keys[k].print(c, text);
		printf("%*s ", width, text);
	}
	if (r->rc != 0) {
		printf("failed: %s\n", r->error);
		fflush(stdout);
		return;
	}
	if (c->test == PERF_MAP)
		row_map(c, r);
	else
		row_packets(r);
	if (predicts(c))
		printf(" %6.3f %4.0f Gb/s", r->prediction.reads, r->prediction.gbps);
	putchar('\n');
	fflush(stdout);
}

static const char *stage_text(const char *stage)
{
	static const char *const texts[][2] = {
		{ "second", "second stage" },
		{ "first", "first stage" },
		{ "nested", "nested, first stage over second stage" },
	};

	for (unsigned int i = 0; i < RTE_DIM(texts); i++)
		if (strcmp(texts[i][0], stage) == 0)
			return texts[i][1];
	return "the kernel's";
}

void perf_text_end(const struct perf *perf)
{
	bool predicted = false;

	putchar('\n');
	for (unsigned int i = 0; i < perf->nr_units; i++)
		if (perf->units[i].stage != NULL)
			printf("Tables of unit %s: %s\n", perf->units[i].name,
				stage_text(perf->units[i].stage));
	for (unsigned int i = 0; i < perf->nr_done; i++)
		predicted |= predicts(&perf->cases[i]) && perf->results[i].rc == 0;
	printf("Cycles include the stopwatch: %.0f per reading, one reading for each stage of a batch "
	       "or burst. Stages and\ntotals are means over the middle half of rounds of 16 batches.\n",
		perf->stopwatch);
	if (predicted)
		printf("M: memory reads of the unit per DMA with the unit's caches; predicted: a "
		       "device's rate with them,\np / (%.0f ns + M x %.0f ns) (Fast & Safe, SOSP "
		       "2024).\n",
			PERF_L0_NS, PERF_LM_NS);
}
