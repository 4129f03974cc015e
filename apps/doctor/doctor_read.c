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
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "doctor_read.h"

#define TEXT_MOST \
	(16 << 20) /* most bytes of an unpacked text: a kernel's configuration has 0.3 M */

/** A path below the root: `full` is the whole path, `full + below` the part after the root. */
struct path {
	char *full;
	size_t below;
};

#define PATH(path, root, fmt)                                 \
	do {                                                  \
		va_list path_ap;                              \
		char *path_below = NULL;                      \
                                                              \
		va_start(path_ap, fmt);                       \
		if (vasprintf(&path_below, fmt, path_ap) < 0) \
			path_below = NULL;                    \
		va_end(path_ap);                              \
		(path) = path_of(root, path_below);           \
	} while (0)

static struct path path_of(const char *root, char *below)
{
	struct path p = { doctor_format("%s/%s", root, below != NULL ? below : ""),
		strlen(root) + 1 };

	free(below);
	return p;
}

static const char *below(const struct path *p)
{
	return p->full + p->below;
}

/* ----------------------------------------------------------------------------------- the record */

static struct doctor_record *recording;
static struct doctor_lines forbidden; /* of doctor_read_forbid(): "NUMBER PATH" */

void doctor_record_begin(struct doctor_record *record)
{
	recording = record;
}

void doctor_read_forbid(const char *manifest)
{
	doctor_lines_free(&forbidden);
	for (const char *line = manifest; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "error ", 6) == 0)
			doctor_say(&forbidden, "%.*s", (int)strcspn(line + 6, "\n"), line + 6);
	}
}

/** @return the errno with which the archive's host failed to read the path; 0: none */
static int forbidden_error(const struct path *p)
{
	for (unsigned int i = 0; i < forbidden.n; i++) {
		const char *space = strchr(forbidden.at[i], ' ');

		if (space != NULL && strcmp(space + 1, below(p)) == 0)
			return atoi(forbidden.at[i]);
	}
	return 0;
}

/** @return the slot of a path, or the free slot for it */
static unsigned int *slot_of(const struct doctor_record *r, const char *path)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (const char *at = path; *at != '\0'; at++)
		hash = (hash ^ (uint8_t)*at) * 16777619u;
	while (r->slot[hash & (r->slots - 1)] != 0 &&
		strcmp(r->at[r->slot[hash & (r->slots - 1)] - 1].path, path) != 0)
		hash++;
	return &r->slot[hash & (r->slots - 1)];
}

/** Make enough slots for one more entry: at most half of them may be taken. */
static void make_slots(struct doctor_record *r)
{
	if (2 * (r->n + 1) <= r->slots)
		return;
	free(r->slot);
	r->slots = RTE_MAX(1024u, 2 * r->slots);
	r->slot = doctor_alloc(r->slots, sizeof(*r->slot));
	for (unsigned int i = 0; i < r->n; i++)
		*slot_of(r, r->at[i].path) = i + 1;
}

static struct doctor_record_entry *entry_of(const char *path)
{
	unsigned int *slot;

	make_slots(recording);
	slot = slot_of(recording, path);
	if (*slot != 0)
		return &recording->at[*slot - 1];
	if ((recording->n & (recording->n - 1)) == 0) { /* full at every power of two */
		struct doctor_record_entry *more =
			doctor_alloc(RTE_MAX(1u, 2 * recording->n), sizeof(*more));

		if (recording->n != 0)
			memcpy(more, recording->at, recording->n * sizeof(*more));
		free(recording->at);
		recording->at = more;
	}
	recording->at[recording->n] = (struct doctor_record_entry){
		.path = doctor_format("%s", path),
		.kind = DOCTOR_THERE,
	};
	*slot = ++recording->n;
	return &recording->at[*slot - 1];
}

static void keep(const char *path, enum doctor_record_kind kind, const void *bytes, size_t len,
	int error)
{
	struct doctor_record_entry *e;

	if (recording == NULL || error == ENOENT || error == ENOTDIR)
		return;
	e = entry_of(path);
	/* Keep the longest content that was read; mere existence replaces nothing. */
	if (kind == DOCTOR_THERE || (e->kind == kind && e->len >= len))
		return;
	free(e->bytes);
	e->kind = kind;
	e->error = error;
	e->len = len;
	e->bytes = doctor_alloc(len + 1, 1);
	if (len != 0)
		memcpy(e->bytes, bytes, len);
}

void doctor_record_file(const char *path, const char *text)
{
	keep(path, DOCTOR_FILE, text, strlen(text), 0);
}

void doctor_record_free(struct doctor_record *record)
{
	for (unsigned int i = 0; i < record->n; i++) {
		free(record->at[i].path);
		free(record->at[i].bytes);
	}
	free(record->at);
	free(record->slot);
	*record = (struct doctor_record){ 0 };
}

/* ---------------------------------------------------------------------------------------- files */

/** Read up to `most` bytes of a file, and put a NUL after them. */
static int slurp(const struct path *p, uint8_t **bytes, size_t *len, size_t most)
{
	int error = forbidden_error(p);
	FILE *f = error == 0 ? fopen(p->full, "rb") : NULL;
	size_t room = 4096, n;

	*bytes = NULL;
	*len = 0;
	if (f == NULL) {
		error = error != 0 ? error : errno;
		keep(below(p), DOCTOR_ERROR, NULL, 0, error);
		return -error;
	}
	do {
		uint8_t *more = doctor_alloc(room *= 2, 1);

		if (*len != 0)
			memcpy(more, *bytes, *len);
		free(*bytes);
		*bytes = more;
		errno = 0;
		n = fread(*bytes + *len, 1, RTE_MIN(room - 1, most) - *len, f);
		*len += n;
	} while (n != 0 && *len < most);
	error = ferror(f) ? (errno != 0 ? errno : EIO) : 0;
	fclose(f);
	if (error != 0)
		keep(below(p), DOCTOR_ERROR, NULL, 0, error);
	else
		keep(below(p), DOCTOR_FILE, *bytes, *len, 0);
	if (error == 0)
		return 0;
	free(*bytes);
	*bytes = NULL;
	*len = 0;
	return -error;
}

/** Replace characters that could control a terminal or break JSON (UTF-8) when they are printed. */
static void make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if (*text != '\n' && *text != '\t' && (*text < ' ' || *text > '~'))
			*text = '?';
}

/** Read a file as a string, and remove white space at its end. */
static int slurp_text(const struct path *p, char **text, size_t most)
{
	uint8_t *bytes;
	size_t len;
	int ret = slurp(p, &bytes, &len, most);

	*text = bytes != NULL ? (char *)bytes : doctor_format("%s", "");
	while (len != 0 && isspace((unsigned char)(*text)[len - 1]))
		(*text)[--len] = '\0';
	make_printable(*text);
	return ret;
}

int doctor_read(const char *root, char *text, size_t len, const char *fmt, ...)
{
	struct path p;
	char *all;
	int ret;

	PATH(p, root, fmt);
	ret = slurp_text(&p, &all, len - 1);
	snprintf(text, len, "%s", all);
	free(all);
	free(p.full);
	return ret;
}

int doctor_text(const char *root, char **text, const char *fmt, ...)
{
	struct path p;
	int ret;

	PATH(p, root, fmt);
	ret = slurp_text(&p, text, SIZE_MAX / 4);
	free(p.full);
	return ret;
}

int doctor_bytes(const char *root, uint8_t **bytes, size_t *len, const char *fmt, ...)
{
	struct path p;
	int ret;

	PATH(p, root, fmt);
	ret = slurp(&p, bytes, len, SIZE_MAX / 4);
	free(p.full);
	return ret;
}

int doctor_read_number(const char *root, int base, uint64_t *value, const char *fmt, ...)
{
	char *text, *end;
	uint64_t number;
	struct path p;
	int ret;

	PATH(p, root, fmt);
	ret = slurp_text(&p, &text, 64);
	free(p.full);
	errno = 0;
	number = strtoull(text, &end, base);
	if (ret == 0 && (end == text || *end != '\0' || errno != 0))
		ret = -EINVAL;
	if (ret == 0)
		*value = number;
	free(text);
	return ret;
}

/* ---------------------------------------------------------------------------- links and folders */

int doctor_read_link(const char *root, char *name, size_t len, const char *fmt, ...)
{
	char target[PATH_MAX], *last;
	struct path p;
	ssize_t n;
	int error;

	name[0] = '\0';
	PATH(p, root, fmt);
	error = forbidden_error(&p);
	errno = error;
	n = error == 0 ? readlink(p.full, target, sizeof(target) - 1) : -1;
	error = n < 0 ? errno : 0;
	target[n < 0 ? 0 : n] = '\0';
	/* EINVAL: not a link; the functions that read files and folders keep it */
	if (error != EINVAL)
		keep(below(&p), error != 0 ? DOCTOR_ERROR : DOCTOR_LINK, target, strlen(target),
			error);
	free(p.full);
	if (error != 0)
		return -error;
	last = strrchr(target, '/');
	snprintf(name, len, "%s", last != NULL ? last + 1 : target);
	make_printable(name);
	return 0;
}

static int by_version(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

static void keep_names(const struct path *p, const struct doctor_lines *names)
{
	keep(below(p), DOCTOR_FOLDER, NULL, 0, 0);
	for (unsigned int i = 0; recording != NULL && i < names->n; i++) {
		char *path = doctor_format("%s/%s", p->full, names->at[i]);
		unsigned int n = recording->n;
		struct doctor_record_entry *e = entry_of(path + p->below);
		struct stat st;

		if (recording->n != n && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			e->kind = DOCTOR_FOLDER;
		free(path);
	}
}

int doctor_read_folder(const char *root, struct doctor_lines *names, const char *fmt, ...)
{
	struct dirent *e;
	struct path p;
	int error;
	DIR *d;

	PATH(p, root, fmt);
	error = forbidden_error(&p);
	d = error == 0 ? opendir(p.full) : NULL;
	if (d == NULL) {
		error = error != 0 ? error : errno;
		keep(below(&p), DOCTOR_ERROR, NULL, 0, error);
		free(p.full);
		return -error;
	}
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			doctor_say(names, "%s", e->d_name);
	closedir(d);
	if (names->n != 0)
		qsort(names->at, names->n, sizeof(*names->at), by_version);
	keep_names(&p, names);
	for (unsigned int i = 0; i < names->n; i++)
		make_printable(names->at[i]);
	free(p.full);
	return 0;
}

int doctor_read_access(const char *root, int mode, const char *fmt, ...)
{
	struct path p;
	struct stat st;
	int error;

	PATH(p, root, fmt);
	error = forbidden_error(&p);
	if (error == 0 || (mode == F_OK && error == EACCES))
		error = access(p.full, mode) == 0 ? 0 : errno;
	if (error == 0 || error == EACCES) {
		keep(below(&p),
			stat(p.full, &st) == 0 && S_ISDIR(st.st_mode) ? DOCTOR_FOLDER : DOCTOR_FILE,
			NULL, 0, 0);
	}
	if (error != 0)
		keep(below(&p), DOCTOR_ERROR, NULL, 0, error);
	free(p.full);
	return -error;
}

/* ---------------------------------------------------------------------------------------- texts */

char *doctor_key(const char *text, const char *key)
{
	size_t key_len = strlen(key);

	for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, key_len) != 0)
			continue;
		line += key_len;
		if (*line != ':' && !isblank((unsigned char)*line))
			continue;
		line += strspn(line, " \t:");
		return doctor_format("%.*s", (int)strcspn(line, "\n"), line);
	}
	return doctor_format("%s", "");
}

char *doctor_inflate(const uint8_t *bytes, size_t len)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)bytes, .avail_in = len };
	size_t room = 1 << 16, done = 0;
	char *text = NULL;
	int ret;

	if (len < 2 || bytes[0] != 0x1f || bytes[1] != 0x8b)
		return len < TEXT_MOST && memchr(bytes, '\0', len) == NULL
			? doctor_format("%.*s", (int)len, (const char *)bytes)
			: NULL;
	ret = inflateInit2(&z, 16 + MAX_WBITS); /* gzip's header, the largest window */
	while (ret == Z_OK && room < TEXT_MOST) {
		char *longer = doctor_alloc(room *= 2, 1);

		if (done != 0)
			memcpy(longer, text, done);
		free(text);
		text = longer;
		z.next_out = (uint8_t *)text + done;
		z.avail_out = room - 1 - done;
		ret = inflate(&z, Z_NO_FLUSH);
		done = room - 1 - z.avail_out;
	}
	inflateEnd(&z);
	if (ret == Z_STREAM_END && text != NULL && memchr(text, '\0', done) == NULL)
		return text; /* doctor_alloc() has cleared the byte after it */
	free(text);
	return NULL;
}

char *doctor_without_root(const char *root, const char *text)
{
	const char *at = root[0] != '\0' ? strstr(text, root) : NULL;

	if (at == NULL)
		return doctor_format("%s", text);
	return doctor_format("%.*s%s", (int)(at - text), text, at + strlen(root));
}
