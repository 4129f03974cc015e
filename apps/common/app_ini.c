/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Reads a file's lines, sections and entries. See app_ini.h. */

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cfgfile.h>

#include "app_ini.h"

#define COMMENT CFG_DEFAULT_COMMENT_CHARACTER

int app_ini_error(struct app_ini *ini, unsigned int line, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	if (line != 0)
		fprintf(stderr, "%s:%u: ", ini->path, line);
	else
		fprintf(stderr, "%s: ", ini->path);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	ini->errors++;
	return -EINVAL;
}

/* ------------------------------------------------------------------------------ the line index */

/* Remove the comment, and white space around the rest. As in rte_cfgfile a comment character ends
 * the line unless a backslash stands before it. */
static char *strip(char *line)
{
	char *end = strchr(line, COMMENT);

	if (end != NULL && (end == line || end[-1] != '\\'))
		*end = '\0';
	while (isspace((unsigned char)*line))
		line++;
	end = line + strlen(line);
	while (end > line && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return line;
}

/* Append a section, or an entry of the last section, that stands at `line`. */
static int index_section(struct app_ini *ini, unsigned int line)
{
	struct app_section *s =
		realloc(ini->sections, (ini->nr_sections + 1) * sizeof(*ini->sections));

	if (s == NULL)
		return -ENOMEM;
	ini->sections = s;
	s[ini->nr_sections++] = (struct app_section){ .line = line };
	return 0;
}

static int index_entry(struct app_ini *ini, unsigned int line)
{
	struct app_section *s = &ini->sections[ini->nr_sections - 1];
	struct app_entry *e = realloc(s->entries, (s->nr_entries + 1) * sizeof(*e));

	if (e == NULL)
		return -ENOMEM;
	s->entries = e;
	e[s->nr_entries++] = (struct app_entry){ .line = line };
	return 0;
}

/* Check what rte_cfgfile reports without a line number, or does not check. */
static int index_line(struct app_ini *ini, unsigned int no, char *raw)
{
	char *line = strip(raw);
	char *value = strchr(line, '=');

	if (*line == '\0')
		return 0;
	if (*line == '[') {
		char *end = strchr(line, ']');

		if (end == NULL)
			return app_ini_error(ini, no, "'%s' has no ']'; a section is [kind name]",
				line);
		if (end[1] != '\0')
			return app_ini_error(ini, no,
				"'%s' after the section's ']'; begin a new line", end + 1);
		if (end - line >= CFG_NAME_LEN)
			return app_ini_error(ini, no,
				"%s is longer than %d characters; shorten the name", line,
				CFG_NAME_LEN - 1);
		return index_section(ini, no);
	}
	if (*line == '#')
		return app_ini_error(ini, no, "'%.24s' is not an entry; comments begin with '%c'",
			line, COMMENT);
	if (value == NULL)
		return app_ini_error(ini, no, "'%.60s' is neither [section] nor key = value", line);
	if (ini->nr_sections == 0)
		return app_ini_error(ini, no,
			"'%.60s' stands before the first [section]; move it into one", line);
	if (value == line)
		return app_ini_error(ini, no, "'%.60s' has no key before the '='", line);
	if (value - line >= CFG_NAME_LEN || strlen(value + 1) >= CFG_VALUE_LEN)
		return app_ini_error(ini, no,
			"'%.20s...' is too long; a key has at most %d characters, "
			"a value %d",
			line, CFG_NAME_LEN - 1, CFG_VALUE_LEN - 1);
	return index_entry(ini, no);
}

static int index_file(struct app_ini *ini, FILE *f)
{
	char *raw = NULL;
	size_t size = 0;
	unsigned int no = 0;
	int rc = 0;

	while (rc != -ENOMEM && getline(&raw, &size, f) >= 0) {
		no++;
		if (strlen(raw) > CFG_NAME_LEN + CFG_VALUE_LEN)
			app_ini_error(ini, no, "the line has %zu characters; %d are the most",
				strlen(raw) - 1, CFG_NAME_LEN + CFG_VALUE_LEN - 1);
		else
			rc = index_line(ini, no, raw);
	}
	free(raw);
	if (rc == -ENOMEM)
		return rc;
	return ini->errors != 0 ? -EINVAL : 0;
}

/* --------------------------------------------------------------------------------- contents */

/* "tenant red" -> "tenant", "red" */
static int name_section(struct app_section *s, const char *title)
{
	size_t kind = strcspn(title, " \t");

	s->kind = strndup(title, kind);
	s->name = strdup(title + kind + strspn(title + kind, " \t"));
	return s->kind != NULL && s->name != NULL ? 0 : -ENOMEM;
}

static int read_section(struct app_section *s, struct rte_cfgfile *cfg, unsigned int i)
{
	struct rte_cfgfile_entry *entries = calloc(s->nr_entries + 1, sizeof(*entries));
	char title[CFG_NAME_LEN];
	int rc;

	if (entries == NULL)
		return -ENOMEM;
	rc = rte_cfgfile_section_entries_by_index(cfg, i, title, entries, s->nr_entries + 1);
	if (rc != (int)s->nr_entries) {
		free(entries);
		return -EPROTO; /* the index and rte_cfgfile have read different files */
	}
	rc = name_section(s, title);
	for (unsigned int k = 0; k < s->nr_entries && rc == 0; k++) {
		s->entries[k].key = strdup(entries[k].name);
		s->entries[k].value = strdup(entries[k].value);
		if (s->entries[k].key == NULL || s->entries[k].value == NULL)
			rc = -ENOMEM;
	}
	free(entries);
	return rc;
}

static int read_contents(struct app_ini *ini)
{
	struct rte_cfgfile *cfg = rte_cfgfile_load(ini->path, CFG_FLAG_EMPTY_VALUES);
	int rc = 0;

	if (cfg == NULL)
		return -EPROTO;
	if (rte_cfgfile_num_sections(cfg, NULL, 0) != (int)ini->nr_sections)
		rc = -EPROTO;
	for (unsigned int i = 0; i < ini->nr_sections && rc == 0; i++)
		rc = read_section(&ini->sections[i], cfg, i);
	rte_cfgfile_close(cfg);
	return rc;
}

int app_ini_load(struct app_ini *ini, const char *path)
{
	FILE *f = fopen(path, "r");
	int rc;

	*ini = (struct app_ini){ .path = path };
	if (f == NULL)
		return app_ini_error(ini, 0, "cannot be read: %s", strerror(errno));
	rc = index_file(ini, f);
	fclose(f);
	if (rc == 0)
		rc = read_contents(ini);
	if (rc == -ENOMEM)
		app_ini_error(ini, 0, "out of memory");
	else if (rc == -EPROTO)
		app_ini_error(ini, 0, "is not a text file, or changed while it was read");
	if (rc != 0)
		app_ini_free(ini);
	return rc == -EPROTO ? -EINVAL : rc;
}

void app_ini_free(struct app_ini *ini)
{
	for (unsigned int i = 0; i < ini->nr_sections; i++) {
		struct app_section *s = &ini->sections[i];

		for (unsigned int k = 0; k < s->nr_entries; k++) {
			free(s->entries[k].key);
			free(s->entries[k].value);
		}
		free(s->entries);
		free(s->kind);
		free(s->name);
	}
	free(ini->sections);
	ini->sections = NULL;
	ini->nr_sections = 0;
}

const struct app_entry *app_ini_entry(const struct app_section *section, const char *key)
{
	for (unsigned int i = 0; i < section->nr_entries; i++)
		if (strcmp(section->entries[i].key, key) == 0)
			return &section->entries[i];
	return NULL;
}

unsigned int app_ini_line(const struct app_section *section, const char *key)
{
	const struct app_entry *e = app_ini_entry(section, key);

	return e != NULL ? e->line : section->line;
}
