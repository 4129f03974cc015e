/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_ARCHIVE_H
#define DOCTOR_ARCHIVE_H

/**
 * @file
 * A host in a file: what moat-doctor reads of it, without what names it or its owner, so that a
 * user's report can be looked at elsewhere, and become a test.
 */

#include "doctor_read.h"

/**
 * Write what was read.
 * @param path of the archive; packed with gzip unless it ends with ".tar"
 * @param hostname of the host, to be replaced; "": not known
 * @param replaced what was replaced and left out, a line each
 * @return 0 or a negative errno
 */
int doctor_archive_write(const char *path, const struct doctor_record *record, const char *hostname,
	struct doctor_lines *replaced);

/**
 * The folder to read below, for a folder or an archive, which is unpacked into a folder of its own.
 * @param root to give to doctor_root_close()
 * @return 0 or a negative errno; *error then says what is wrong with `arg`, to free
 */
int doctor_root_open(const char *arg, char **root, char **error);
void doctor_root_close(char *root);

#endif /* DOCTOR_ARCHIVE_H */
