/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_ARCHIVE_H
#define DOCTOR_ARCHIVE_H

/**
 * @file
 * A host in a file: all that moat-doctor reads of a host, without names of the host and its owner,
 * so that a user's report can be examined elsewhere, and become a test.
 */

#include "doctor_read.h"

/**
 * Write a record as an archive.
 * @param path the archive's; packed with gzip unless it ends with ".tar"
 * @param hostname the host's name, which is replaced; "": not known
 * @param replaced receives what was replaced and left out, as lines
 * @return 0 or a negative errno
 */
int doctor_archive_write(const char *path, const struct doctor_record *record, const char *hostname,
	struct doctor_lines *replaced);

/**
 * Find the root to read below. An archive is unpacked into a temporary folder.
 * @param arg a folder, an archive, or "": this host
 * @param root receives the root, for doctor_root_close()
 * @param error receives what is wrong with `arg`, the caller's to free
 * @return 0 or a negative errno
 */
int doctor_root_open(const char *arg, char **root, char **error);
void doctor_root_close(char *root);

#endif /* DOCTOR_ARCHIVE_H */
