/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_TAR_H
#define DOCTOR_TAR_H

/**
 * @file
 * Tar archives, packed with gzip or not: files, folders and symbolic links (POSIX's ustar, and
 * GNU's entries for long names).
 */

#include <zlib.h>

#include "doctor.h"

struct doctor_tar {
	gzFile file;
	int error; /* the first negative errno */
};

/** @param path ends with ".tar": not packed. @return 0 or a negative errno */
int doctor_tar_create(struct doctor_tar *tar, const char *path);
void doctor_tar_folder(struct doctor_tar *tar, const char *name);
void doctor_tar_file(struct doctor_tar *tar, const char *name, const void *bytes, size_t len);
void doctor_tar_link(struct doctor_tar *tar, const char *name, const char *target);
/** @return 0, or the first error of all that was written */
int doctor_tar_close(struct doctor_tar *tar);

/**
 * Unpack into an existing folder. Nothing is written outside of it, and nothing can be read outside
 * of it through what was unpacked: names that lead out, and names below a symbolic link, are
 * refused, and of a link's target that leads out only the last part is kept.
 * @return 0; -EBADMSG: no such archive, or a name leads out; -ENODATA: it is cut short or damaged;
 *   -EFBIG: larger than any archive that moat-doctor writes; or the error of reading and writing
 */
int doctor_tar_extract(const char *path, const char *folder);

#endif /* DOCTOR_TAR_H */
