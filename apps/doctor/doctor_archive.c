/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor_archive.h"
#include "doctor_redact.h"
#include "doctor_tar.h"

/* An archive has a manifest at its top: the format's version, then a line for each path that could
 * not be read ("error NUMBER PATH"). */
#define MANIFEST_NAME  "moat-host-archive "
#define MANIFEST_FIRST MANIFEST_NAME "1\n"

/* -------------------------------------------------------------------------------------- writing */

static int by_path(const void *a, const void *b)
{
	const struct doctor_record_entry *const *x = a, *const *y = b;

	return strcmp((*x)->path, (*y)->path);
}

/** Sort all entries by path, so that a folder's contents follow the folder, if not at once. */
static const struct doctor_record_entry **sorted(const struct doctor_record *record)
{
	const struct doctor_record_entry **all = doctor_alloc(record->n, sizeof(*all));

	for (unsigned int i = 0; i < record->n; i++)
		all[i] = &record->at[i];
	if (record->n != 0)
		qsort(all, record->n, sizeof(*all), by_path);
	return all;
}

static bool has_children(const struct doctor_record_entry *const *all, unsigned int n,
	unsigned int i)
{
	size_t len = strlen(all[i]->path);

	for (unsigned int j = i + 1; j < n && strncmp(all[j]->path, all[i]->path, len) == 0; j++)
		if (all[j]->path[len] == '/' && all[j]->kind != DOCTOR_ERROR)
			return true;
	return false;
}

static void write_entry(struct doctor_tar *tar, struct doctor_redaction *r,
	const struct doctor_record_entry *e, bool folder)
{
	char *path = doctor_redact_path(r, e->path), *target;
	size_t len = e->len;
	uint8_t *bytes;

	if (e->kind == DOCTOR_LINK) {
		target = doctor_redact_target(r, e->path, (const char *)e->bytes);
		doctor_tar_link(tar, path, target);
		free(target);
	} else if (e->kind == DOCTOR_FOLDER || (e->kind == DOCTOR_THERE && folder)) {
		doctor_tar_folder(tar, path);
	} else if (e->kind == DOCTOR_FILE) {
		bytes = doctor_redact_file(r, e->path, e->bytes, &len);
		doctor_tar_file(tar, path, bytes, len);
		free(bytes);
	} else if (e->kind == DOCTOR_THERE || e->error == EACCES || e->error == EPERM) {
		doctor_tar_file(tar, path, "", 0); /* it exists, but has no content here */
	}
	free(path);
}

static void write_manifest(struct doctor_tar *tar, struct doctor_redaction *r,
	const struct doctor_record *record)
{
	char *text = doctor_format("%s", MANIFEST_FIRST);

	for (unsigned int i = 0; i < record->n; i++) {
		const struct doctor_record_entry *e = &record->at[i];
		char *path, *more;

		if (e->kind != DOCTOR_ERROR)
			continue;
		path = doctor_redact_path(r, e->path);
		more = doctor_format("%serror %d %s\n", text, e->error, path);
		free(text);
		free(path);
		text = more;
	}
	doctor_tar_file(tar, DOCTOR_MANIFEST, text, strlen(text));
	free(text);
}

int doctor_archive_write(const char *path, const struct doctor_record *record, const char *hostname,
	struct doctor_lines *replaced)
{
	const struct doctor_record_entry **all = sorted(record);
	struct doctor_redaction r = { .hostname = hostname };
	struct doctor_tar tar;
	int ret = doctor_tar_create(&tar, path);

	if (ret == 0) {
		write_manifest(&tar, &r, record);
		for (unsigned int i = 0; i < record->n; i++)
			write_entry(&tar, &r, all[i], has_children(all, record->n, i));
		ret = doctor_tar_close(&tar);
	}
	if (ret == 0)
		doctor_redact_tell(&r, replaced);
	doctor_redact_free(&r);
	free(all);
	return ret;
}

/* -------------------------------------------------------------------------------------- reading */

static char *unpacked; /* the folder that doctor_root_close() removes; NULL: none */

/** Read an archive's manifest; a folder may have none. @return 0; -ENOTSUP: unknown version */
static int load_manifest(const char *arg, const char *root, char **error)
{
	char *text;
	int ret = 0;

	doctor_read_forbid("");
	if (doctor_text(root, &text, DOCTOR_MANIFEST) != 0) {
		free(text);
		return 0;
	}
	if (strncmp(text, MANIFEST_FIRST, strlen(MANIFEST_FIRST) - 1) == 0 &&
		(text[strlen(MANIFEST_FIRST) - 1] == '\n' ||
			text[strlen(MANIFEST_FIRST) - 1] == '\0'))
		doctor_read_forbid(text);
	else
		ret = -ENOTSUP;
	if (ret != 0)
		*error =
			doctor_format("%s is an archive of a format that this moat-doctor does not "
				      "read ('%.40s' in its file %s): use the moat-doctor that "
				      "wrote it",
				arg, strtok(text, "\n") != NULL ? text : "", DOCTOR_MANIFEST);
	free(text);
	return ret;
}

static char *why_not(const char *arg, int ret)
{
	switch (ret) {
	case -EBADMSG:
		return doctor_format("%s is neither a folder nor an archive of --host-archive",
			arg);
	case -ENODATA:
		return doctor_format("%s is an archive that is cut short or damaged", arg);
	case -EFBIG:
		return doctor_format("%s is larger, unpacked, than any archive of --host-archive",
			arg);
	default:
		return doctor_format("%s: %s", arg, strerror(-ret));
	}
}

static int unpack(const char *arg, char **root, char **error)
{
	const char *tmp = getenv("TMPDIR");
	char *folder = doctor_format("%s/moat-host-XXXXXX", tmp != NULL ? tmp : "/tmp");
	int ret;

	if (mkdtemp(folder) == NULL) {
		ret = -errno;
		*error = doctor_format("%s: %s", folder, strerror(-ret));
		free(folder);
		return ret;
	}
	unpacked = folder;
	ret = doctor_tar_extract(arg, folder);
	if (ret == 0) {
		*root = doctor_format("%s", folder);
		return 0;
	}
	*error = why_not(arg, ret);
	doctor_root_close(NULL);
	return ret;
}

int doctor_root_open(const char *arg, char **root, char **error)
{
	struct stat st;
	int ret = 0;

	*root = *error = NULL;
	if (arg[0] == '\0') {
		*root = doctor_format("%s", "");
		return 0;
	}
	if (stat(arg, &st) != 0) {
		ret = -errno;
		*error = doctor_format("%s: %s", arg, strerror(-ret));
		return ret;
	}
	if (S_ISDIR(st.st_mode))
		*root = doctor_format("%s", strcmp(arg, "/") == 0 ? "" : arg);
	else
		ret = unpack(arg, root, error);
	if (ret == 0)
		ret = load_manifest(arg, *root, error);
	if (ret != 0 && *root != NULL) {
		doctor_root_close(*root);
		*root = NULL;
	}
	return ret;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	return remove(path);
}

void doctor_root_close(char *root)
{
	if (unpacked != NULL)
		nftw(unpacked, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(unpacked);
	unpacked = NULL;
	doctor_read_forbid("");
	free(root);
}
