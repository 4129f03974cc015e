/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The keys of a section, and the conversion of their values. */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moat_suggest.h"
#include "moat_tenant.h"
#include "app_ini.h"

const char *app_modes[MOAT_MODES + 1];

__attribute__((constructor)) static void modes_name(void)
{
	for (unsigned int i = 0; i < MOAT_MODES; i++)
		app_modes[i] = moat_mode_name(i);
}

#define WORD_MAX 32

/* "a, b or c" */
static const char *list_words(const char *const words[], char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; words[i] != NULL && at < size; i++) {
		const char *gap = words[i + 1] == NULL ? " or " : ", ";

		at += snprintf(buf + at, size - at, "%s%s", i == 0 ? "" : gap, words[i]);
	}
	return buf;
}

/* -------------------------------------------------------------------------------- sections */

static const struct app_key *find_key(const struct app_key *keys, const char *name)
{
	for (; keys->name != NULL; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

static void unknown_key(struct app_ini *ini, const struct app_section *s, const struct app_entry *e,
	const struct app_key *keys)
{
	const char *meant = moat_suggest_row(e->key, &keys[0].name, sizeof(keys[0]), UINT_MAX);
	const char *names[WORD_MAX + 1] = { NULL };
	char buf[512];

	for (unsigned int i = 0; i < WORD_MAX && keys[i].name != NULL; i++)
		names[i] = keys[i].name;
	if (meant != NULL)
		app_ini_error(ini, e->line, "[%s] has no key '%s'; did you mean '%s'?", s->kind,
			e->key, meant);
	else
		app_ini_error(ini, e->line, "[%s] has no key '%s'; it has %s", s->kind, e->key,
			list_words(names, buf, sizeof(buf)));
}

void app_ini_read(struct app_ini *ini, const struct app_section *s, const struct app_key *keys,
	void *object)
{
	for (unsigned int i = 0; i < s->nr_entries; i++) {
		const struct app_entry *e = &s->entries[i];
		const struct app_entry *first = app_ini_entry(s, e->key);
		const struct app_key *key = find_key(keys, e->key);

		if (key == NULL)
			unknown_key(ini, s, e, keys);
		else if (first != e)
			app_ini_error(ini, e->line,
				"'%s' is given again; line %u has it already: keep one", e->key,
				first->line);
		else if (e->value[0] == '\0')
			app_ini_error(ini, e->line,
				"'%s' has no value; give it one or remove the line", e->key);
		else
			key->read(ini, e, key, (char *)object + key->offset);
	}
	for (; keys->name != NULL; keys++)
		if (keys->required && app_ini_entry(s, keys->name) == NULL)
			app_ini_error(ini, s->line, "[%s%s%s] has no '%s'; add one", s->kind,
				s->name[0] ? " " : "", s->name, keys->name);
}

/* ---------------------------------------------------------------------------------- values */

void app_read_text(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	*(const char **)field = e->value;
}

/* Parse a whole number. strtoull() alone would also accept "-1" and " 1". */
static bool parse_number(const char *text, uint64_t *value, const char **rest)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*value = strtoull(text, &end, 0);
	*rest = end;
	return errno == 0;
}

void app_read_number(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	const char *rest;
	uint64_t value;

	if (!parse_number(e->value, &value, &rest) || *rest != '\0')
		app_ini_error(ini, e->line,
			"%s = %s is not a number; write one from %" PRIu64 " to %" PRIu64, e->key,
			e->value, key->min, key->max);
	else if (value < key->min || value > key->max)
		app_ini_error(ini, e->line,
			"%s = %s is out of range; it goes from %" PRIu64 " to %" PRIu64, e->key,
			e->value, key->min, key->max);
	else
		*(uint64_t *)field = value;
}

const char *app_size_text(uint64_t bytes, char *buf, size_t size)
{
	static const char units[] = "\0KMGT";
	unsigned int i = 0;

	while (i < 4 && bytes != 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	snprintf(buf, size, "%" PRIu64 "%.1s", bytes, &units[i]);
	return buf;
}

void app_read_size(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	static const char units[] = "KMG";
	const char *rest, *unit = NULL;
	char min[24], max[24];
	uint64_t value;
	unsigned int shift = 0;

	if (!parse_number(e->value, &value, &rest) ||
		(*rest != '\0' &&
			((unit = strchr(units, toupper(*rest))) == NULL || rest[1] != '\0'))) {
		app_ini_error(ini, e->line,
			"%s = %s is not a size; write bytes, or a number with K, M or G", e->key,
			e->value);
		return;
	}
	if (unit != NULL)
		shift = 10 * (unsigned int)(unit - units + 1);
	if (value > UINT64_MAX >> shift || value << shift < key->min || value << shift > key->max)
		app_ini_error(ini, e->line, "%s = %s is out of range; it goes from %s to %s",
			e->key, e->value, app_size_text(key->min, min, sizeof(min)),
			app_size_text(key->max, max, sizeof(max)));
	else
		*(uint64_t *)field = value << shift;
}

void app_read_bool(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	bool yes = strcmp(e->value, "yes") == 0;

	if (yes || strcmp(e->value, "no") == 0)
		*(bool *)field = yes;
	else
		app_ini_error(ini, e->line, "%s = %s is neither yes nor no", e->key, e->value);
}

void app_read_word(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	const char *meant;
	char buf[256];

	for (int i = 0; key->words[i] != NULL; i++) {
		if (strcmp(e->value, key->words[i]) == 0) {
			*(int *)field = i;
			return;
		}
	}
	meant = moat_suggest(e->value, key->words);
	list_words(key->words, buf, sizeof(buf));
	if (meant != NULL)
		app_ini_error(ini, e->line, "%s = %s is unknown; did you mean '%s'? It can be %s",
			e->key, e->value, meant, buf);
	else
		app_ini_error(ini, e->line, "%s = %s is unknown; it can be %s", e->key, e->value,
			buf);
}

void app_read_sid(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	unsigned int bus, dev, fn;
	int end = 0;

	if (sscanf(e->value, "%2x:%2x.%1x%n", &bus, &dev, &fn, &end) != 3 ||
		e->value[end] != '\0' || dev > 31 || fn > 7)
		app_ini_error(ini, e->line,
			"%s = %s is not a source-id; write bus:device.function in hexadecimal, as in 00:10.0",
			e->key, e->value);
	else
		*(int *)field = MOAT_SID(bus, dev, fn);
}

/* ------------------------------------------------------------------------------------ sets */

void app_set_add(struct app_set *set, unsigned int i)
{
	if (i < APP_SET_MAX && !app_set_has(set, i)) {
		set->bits[i / 64] |= UINT64_C(1) << (i % 64);
		set->n++;
	}
}

const char *app_set_text(const struct app_set *set, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < APP_SET_MAX && at < size; i++) {
		unsigned int last = i;

		if (!app_set_has(set, i))
			continue;
		while (app_set_has(set, last + 1))
			last++;
		at += snprintf(buf + at, size - at,
			last == i               ? "%s%u"
				: last == i + 1 ? "%s%u,%u"
						: "%s%u-%u",
			at == 0 ? "" : ",", i, last);
		i = last;
	}
	return buf;
}

/* Parse "3" or "3-5", and move *text past it. */
static bool parse_range(const char **text, struct app_set *set)
{
	uint64_t first, last;

	if (!parse_number(*text, &first, text))
		return false;
	last = first;
	if (**text == '-' && (++*text, !parse_number(*text, &last, text)))
		return false;
	if (last < first || last >= APP_SET_MAX)
		return false;
	for (uint64_t i = first; i <= last; i++)
		app_set_add(set, i);
	return true;
}

void app_read_set(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	struct app_set set = { .n = 0 };
	const char *at = e->value;

	while (parse_range(&at, &set)) {
		size_t gap = strspn(at, ", ");

		if (*at == '\0') {
			*(struct app_set *)field = set;
			return;
		}
		if (gap == 0)
			break;
		at += gap;
	}
	app_ini_error(ini, e->line, "%s = %s is not a list of numbers; write them as in 1,3-5",
		e->key, e->value);
}
