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
	int error; /* the first error, a negative errno; 0: none */
};

/** Create an archive. @param path if it ends with ".tar" the archive is not packed
 * @return 0 or a negative errno */
int doctor_tar_create(struct doctor_tar *tar, const char *path);
void doctor_tar_folder(struct doctor_tar *tar, const char *name);
void doctor_tar_file(struct doctor_tar *tar, const char *name, const void *bytes, size_t len);
void doctor_tar_link(struct doctor_tar *tar, const char *name, const char *target);
/** Write the end and close the archive. @return 0, or the first error since doctor_tar_create() */
int doctor_tar_close(struct doctor_tar *tar);

/**
 * Unpack an archive into an existing folder. Nothing is written outside of the folder, and nothing
 * outside can be read through unpacked links: names that lead out of the folder, and names below a
 * symbolic link, are refused; of a link's target that leads out only the last component is kept.
 * @return 0; -EBADMSG: not an archive, or a name leads out; -ENODATA: it is cut short or damaged;
 *   -EFBIG: larger than any archive that moat-doctor writes; or an error of reading or writing
 */
int doctor_tar_extract(const char *path, const char *folder);

#endif /* DOCTOR_TAR_H */
