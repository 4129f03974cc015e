/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_read.h"

#define PATH(path, root, fmt)                                                                \
	do {                                                                                 \
		va_list path_ap;                                                             \
		size_t path_len = snprintf(path, sizeof(path), "%s/", (root));               \
                                                                                             \
		va_start(path_ap, fmt);                                                      \
		if (path_len < sizeof(path))                                                 \
			vsnprintf((path) + path_len, sizeof(path) - path_len, fmt, path_ap); \
		va_end(path_ap);                                                             \
	} while (0)

static int slurp(const char *path, void *bytes, size_t len)
{
	FILE *f = fopen(path, "rb");
	size_t n;
	int ret;

	if (f == NULL)
		return -errno;
	errno = 0;
	n = fread(bytes, 1, len, f);
	ret = ferror(f) ? -(errno != 0 ? errno : EIO) : (int)n;
	fclose(f);
	return ret;
}

static int slurp_text(const char *path, char *text, size_t len)
{
	int n = slurp(path, text, len - 1);

	text[RTE_MAX(n, 0)] = '\0';
	for (int i = n; i > 0 && isspace((unsigned char)text[i - 1]); i--)
		text[i - 1] = '\0';
	return RTE_MIN(n, 0);
}

int doctor_read(const char *root, char *text, size_t len, const char *fmt, ...)
{
	char path[PATH_MAX];

	PATH(path, root, fmt);
	return slurp_text(path, text, len);
}

int doctor_read_number(const char *root, int base, uint64_t *value, const char *fmt, ...)
{
	char path[PATH_MAX], text[64], *end;
	uint64_t number;
	int ret;

	PATH(path, root, fmt);
	ret = slurp_text(path, text, sizeof(text));
	if (ret != 0)
		return ret;
	errno = 0;
	number = strtoull(text, &end, base);
	if (end == text || *end != '\0' || errno != 0)
		return -EINVAL;
	*value = number;
	return 0;
}

int doctor_read_link(const char *root, char *name, size_t len, const char *fmt, ...)
{
	char path[PATH_MAX], target[PATH_MAX], *last;
	ssize_t n;

	name[0] = '\0';
	PATH(path, root, fmt);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	last = strrchr(target, '/');
	snprintf(name, len, "%s", last != NULL ? last + 1 : target);
	return 0;
}

int doctor_read_bytes(const char *root, void *bytes, size_t len, const char *fmt, ...)
{
	char path[PATH_MAX];

	PATH(path, root, fmt);
	return slurp(path, bytes, len);
}

static int by_version(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

int doctor_read_folder(const char *root, struct doctor_lines *names, const char *fmt, ...)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d;

	PATH(path, root, fmt);
	d = opendir(path);
	if (d == NULL)
		return -errno;
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			doctor_say(names, "%s", e->d_name);
	closedir(d);
	if (names->n != 0)
		qsort(names->at, names->n, sizeof(*names->at), by_version);
	return 0;
}

int doctor_read_access(const char *root, int mode, const char *fmt, ...)
{
	char path[PATH_MAX];

	PATH(path, root, fmt);
	return access(path, mode) == 0 ? 0 : -errno;
}

void doctor_key(const char *text, const char *key, char *value, size_t len)
{
	size_t key_len = strlen(key);

	value[0] = '\0';
	for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
		size_t n;

		line += *line == '\n';
		if (strncmp(line, key, key_len) != 0)
			continue;
		line += key_len;
		if (*line != ':' && !isblank((unsigned char)*line))
			continue;
		line += strspn(line, " \t:");
		n = RTE_MIN(strcspn(line, "\n"), len - 1);
		memcpy(value, line, n);
		value[n] = '\0';
		return;
	}
}

void doctor_without_root(const char *root, const char *text, char *out, size_t len)
{
	const char *at = root[0] != '\0' ? strstr(text, root) : NULL;

	if (at == NULL)
		snprintf(out, len, "%s", text);
	else
		snprintf(out, len, "%.*s%s", (int)(at - text), text, at + strlen(root));
}
