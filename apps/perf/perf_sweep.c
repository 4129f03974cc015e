/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A [sweep]: keys with lists of values; every combination of values is a case. */

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "perf_work.h"

#define LIST_MAX 64

/* Values of one key, in the file's order. */
struct list {
	unsigned int n;
	uint64_t v[LIST_MAX];
};

struct sweep {
	const char *name;
	const char *units; /* names; NULL: all */
	int test;
	double seconds;
	int device;
	bool verify;
	struct list mode, lcores, domains, page, granule, batch, working_set, direction, layout,
		space, dma, frame, burst;
};

/* ------------------------------------------------------------------------------------ reading */

/* Read a list of values. `read` reads one value, and stores `size` bytes. */
static void read_list(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field, app_read_t read, size_t size)
{
	struct list *list = field;
	char *copy = strdup(e->value), *rest = copy;
	unsigned int errors = ini->errors;

	list->n = 0;
	for (char *word; copy != NULL && (word = strsep(&rest, ", \t")) != NULL;) {
		const struct app_entry one = { e->key, word, e->line };
		uint64_t value = 0; /* an int is stored in its lower half (little-endian) */

		if (*word == '\0')
			continue;
		read(ini, &one, key, &value);
		if (ini->errors != errors)
			break;
		if (list->n == LIST_MAX) {
			app_ini_error(ini, e->line, "'%s' has more than %d values; split the sweep",
				e->key, LIST_MAX);
			break;
		}
		list->v[list->n++] = size == sizeof(int) ? (uint64_t)(int)value : value;
	}
	free(copy);
}

static void read_numbers(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	read_list(ini, e, key, field, app_read_number, sizeof(uint64_t));
}

static void read_sizes(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	read_list(ini, e, key, field, app_read_size, sizeof(uint64_t));
}

static void read_words(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	read_list(ini, e, key, field, app_read_word, sizeof(int));
}

static void read_seconds(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	char *end;
	double value = strtod(e->value, &end);

	if (*e->value < '0' || *e->value > '9' || *end != '\0' || !isfinite(value) ||
		value < 0.01 || value > 86400)
		app_ini_error(ini, e->line,
			"seconds = %s is not a time; write a number from 0.01 to 86400", e->value);
	else
		*(double *)field = value;
}

#define KEY(key, read, field, min, max, words)                                   \
	{                                                                        \
		key, read, offsetof(struct sweep, field), min, max, words, false \
	}
#define RANGE(key, read, field, min, max) KEY(key, read, field, min, max, NULL)
#define WORDS(key, read, field, words)    KEY(key, read, field, 0, 0, words)
#define PLAIN(key, read, field)           KEY(key, read, field, 0, 0, NULL)

static const struct app_key keys[] = {
	WORDS("test", app_read_word, test, perf_tests),
	PLAIN("unit", app_read_text, units),
	WORDS("mode", read_words, mode, app_modes),
	RANGE("lcores", read_numbers, lcores, 1, PERF_LCORES),
	PLAIN("seconds", read_seconds, seconds),
	RANGE("working_set", read_sizes, working_set, MOAT_PAGE_SIZE, UINT64_C(1) << 40),
	/* test map */
	WORDS("domain", read_words, domains, perf_domains),
	WORDS("layout", read_words, layout, perf_layouts),
	WORDS("direction", read_words, direction, perf_directions),
	RANGE("page", read_sizes, page, MOAT_PAGE_SIZE, MOAT_1G_SIZE),
	RANGE("granule", read_numbers, granule, 1, 65536),
	RANGE("batch", read_numbers, batch, 1, 4096),
	RANGE("space", read_sizes, space, MOAT_2M_SIZE, UINT64_C(1) << 46),
	RANGE("dma", read_sizes, dma, 0, MOAT_PAGE_SIZE),
	PLAIN("device", app_read_sid, device),
	/* test packets */
	RANGE("frame", read_numbers, frame, 64, 9000),
	RANGE("burst", read_numbers, burst, 1, 256),
	PLAIN("verify", app_read_bool, verify),
	{ .name = NULL },
};

const char *perf_sweep_key(unsigned int i)
{
	return i < RTE_DIM(keys) ? keys[i].name : NULL;
}

static const struct {
	const char *key;
	enum perf_test test;
} only[] = {
	{ "domain", PERF_MAP },
	{ "layout", PERF_MAP },
	{ "direction", PERF_MAP },
	{ "page", PERF_MAP },
	{ "granule", PERF_MAP },
	{ "batch", PERF_MAP },
	{ "space", PERF_MAP },
	{ "dma", PERF_MAP },
	{ "device", PERF_MAP },
	{ "frame", PERF_PACKETS },
	{ "burst", PERF_PACKETS },
	{ "verify", PERF_PACKETS },
};

/* ------------------------------------------------------------------------------------- checks */

static void wrong_keys(struct app_ini *ini, const struct app_section *s, const struct sweep *sweep)
{
	for (unsigned int i = 0; i < RTE_DIM(only); i++) {
		const struct app_entry *e = app_ini_entry(s, only[i].key);

		if (e != NULL && (int)only[i].test != sweep->test)
			app_ini_error(ini, e->line,
				"'%s' is for test = %s and this is test = %s; remove one of them",
				e->key, perf_tests[only[i].test], perf_tests[sweep->test]);
	}
}

static void wrong_pages(struct app_ini *ini, const struct app_section *s, const struct sweep *sweep)
{
	for (unsigned int i = 0; i < sweep->page.n; i++) {
		uint64_t page = sweep->page.v[i];
		char text[24];

		if (page != MOAT_PAGE_SIZE && page != MOAT_2M_SIZE && page != MOAT_1G_SIZE)
			app_ini_error(ini, app_ini_line(s, "page"),
				"page = %s is not a page size; it can be 4K, 2M or 1G",
				app_size_text(page, text, sizeof(text)));
	}
}

/* Check that there are twice the buffers that the rings hold: as many again are under way. */
static void wrong_buffers(struct app_ini *ini, const struct app_section *s,
	const struct perf_case *c)
{
	uint64_t room = perf_room(c), least = 4 * PERF_DESCRIPTORS * room;
	char have[24], need[24], each[24];

	if (c->working_set < least)
		app_ini_error(ini, app_ini_line(s, "working_set"),
			"working_set = %s holds %" PRIu64
			" buffers of %s, but the rings alone hold %d; %s is the "
			"least",
			app_size_text(c->working_set, have, sizeof(have)), c->working_set / room,
			app_size_text(room, each, sizeof(each)), 2 * PERF_DESCRIPTORS,
			app_size_text(least, need, sizeof(need)));
}

/* Check that the values of a case are compatible. */
static void wrong_case(struct app_ini *ini, const struct app_section *s, const struct perf_case *c)
{
	char have[24], need[24];
	uint64_t batch = c->page * c->granule * c->batch;

	if (c->test == PERF_PACKETS && c->unit->kind != APP_UNIT_SOFT)
		app_ini_error(ini, app_ini_line(s, "unit"),
			"unit = %s: test = packets needs a software unit, because net_moat's DMA goes "
			"through one; use test = map, or moat-fwd with a NIC behind it",
			c->unit->name);
	if (c->test == PERF_PACKETS) {
		wrong_buffers(ini, s, c);
		return;
	}
	if (batch > c->working_set)
		app_ini_error(ini, app_ini_line(s, "working_set"),
			"working_set = %s is less than one batch: %" PRIu64 " granules of %" PRIu64
			" pages are %s; raise it, or lower batch or granule",
			app_size_text(c->working_set, have, sizeof(have)), c->batch, c->granule,
			app_size_text(batch, need, sizeof(need)));
	if (c->dma != 0 && c->unit->kind != APP_UNIT_SOFT)
		app_ini_error(ini, app_ini_line(s, "dma"),
			"dma: unit %s is not a software unit, so there is no software device; remove the "
			"key or choose another unit",
			c->unit->name);
	if (c->layout == PERF_SCATTERED && c->space < 2 * c->working_set)
		app_ini_error(ini, app_ini_line(s, "space"),
			"space = %s is too little to scatter a working set of %s in; make it twice as "
			"much at least",
			app_size_text(c->space, have, sizeof(have)),
			app_size_text(c->working_set, need, sizeof(need)));
	if (c->layout == PERF_ALLOCATED && (c->mode == MOAT_STATIC || c->mode == MOAT_COPY))
		app_ini_error(ini, app_ini_line(s, "layout"),
			"layout = allocated: mode %s maps once and allocates nothing; leave one of the two "
			"out",
			app_modes[c->mode]);
}

/* ------------------------------------------------------------------------------- combinations */

static void add_case(struct perf *perf, const struct app_section *s, const struct perf_case *c)
{
	unsigned int errors = perf->ini.errors;
	struct perf_case *more;

	wrong_case(&perf->ini, s, c);
	if (perf->ini.errors != errors)
		return;
	if (perf->nr_cases == PERF_CASES) {
		app_ini_error(&perf->ini, s->line, "more than %d cases; leave some values out",
			PERF_CASES);
		return;
	}
	more = realloc(perf->cases, (perf->nr_cases + 1) * sizeof(*more));
	if (more == NULL) {
		app_ini_error(&perf->ini, 0, "out of memory");
		return;
	}
	perf->cases = more;
	more[perf->nr_cases++] = *c;
}

/* The keys with lists, in the order in which they vary: the last one fastest. */
static const struct axis {
	size_t list, field;
	size_t size;
} axes[] = {
#define AXIS(list, field)                                                        \
	{                                                                        \
		offsetof(struct sweep, list), offsetof(struct perf_case, field), \
			sizeof(((struct perf_case *)0)->field)                   \
	}
	AXIS(lcores, lcores),
	AXIS(domains, domains),
	AXIS(working_set, working_set),
	AXIS(direction, direction),
	AXIS(dma, dma),
	AXIS(space, space),
	AXIS(frame, frame),
	AXIS(burst, burst),
	AXIS(page, page),
	AXIS(layout, layout),
	AXIS(granule, granule),
	AXIS(batch, batch),
	AXIS(mode, mode),
};

static void combine(struct perf *perf, const struct app_section *s, const struct sweep *sweep,
	struct perf_case *c, unsigned int axis)
{
	unsigned int errors = perf->ini.errors;
	const struct list *list;

	if (axis == RTE_DIM(axes)) {
		add_case(perf, s, c);
		return;
	}
	list = (const void *)((const char *)sweep + axes[axis].list);
	/* one error for a sweep is enough: other combinations would only repeat it */
	for (unsigned int i = 0; i < list->n && perf->ini.errors == errors; i++) {
		memcpy((char *)c + axes[axis].field, &list->v[i], axes[axis].size);
		combine(perf, s, sweep, c, axis + 1);
	}
}

static void combine_units(struct perf *perf, const struct app_section *s, const struct sweep *sweep)
{
	struct perf_case c = {
		.sweep = sweep->name,
		.test = sweep->test,
		.seconds = sweep->seconds,
		.device = sweep->device,
		.verify = sweep->verify,
	};
	const char *names[PERF_UNITS + 1] = { NULL };
	char *copy = sweep->units != NULL ? strdup(sweep->units) : NULL, *rest = copy;

	for (unsigned int i = 0; i < perf->nr_units; i++)
		names[i] = perf->units[i].name;
	for (unsigned int i = 0; copy == NULL && i < perf->nr_units; i++) {
		c.unit = &perf->units[i];
		combine(perf, s, sweep, &c, 0);
	}
	for (char *word; copy != NULL && (word = strsep(&rest, ", \t")) != NULL;) {
		const struct app_key key = { .words = names };
		const struct app_entry one = { (char *)(uintptr_t) "unit", word,
			app_ini_line(s, "unit") };
		int i = -1;

		if (*word == '\0')
			continue;
		app_read_word(&perf->ini, &one, &key, &i);
		if (i < 0)
			break;
		c.unit = &perf->units[i];
		combine(perf, s, sweep, &c, 0);
	}
	free(copy);
}

void perf_sweep_read(struct perf *perf, const struct app_section *s, double seconds)
{
#define ONE(value)            \
	{                     \
		1,            \
		{             \
			value \
		}             \
	}
	struct sweep sweep = {
		.name = s->name,
		.test = PERF_MAP,
		.seconds = 1,
		.device = -1,
		.mode = ONE(MOAT_PIPELINED),
		.lcores = ONE(1),
		.domains = ONE(PERF_OWN),
		.page = ONE(MOAT_PAGE_SIZE),
		.granule = ONE(1),
		.batch = ONE(32),
		.working_set = ONE(4 * MOAT_2M_SIZE),
		.direction = ONE(PERF_BOTH),
		.layout = ONE(PERF_CONTIGUOUS),
		.space = ONE(4 * MOAT_1G_SIZE),
		.dma = ONE(0),
		.frame = ONE(64),
		.burst = ONE(32),
	};
	unsigned int errors = perf->ini.errors;

	app_ini_read(&perf->ini, s, keys, &sweep);
	if (seconds != 0)
		sweep.seconds = seconds;
	wrong_keys(&perf->ini, s, &sweep);
	wrong_pages(&perf->ini, s, &sweep);
	if (perf->ini.errors == errors)
		combine_units(perf, s, &sweep);
}
