/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_READ_H
#define DOCTOR_READ_H

/**
 * @file
 * Reading files, links and folders below a root; the path is a format. The functions return 0 or a
 * negative errno and print nothing: that a path cannot be read is a fact, too, and the checks
 * interpret it.
 *
 * All that is read can be kept (struct doctor_record), to write an archive of the host, which has
 * nothing else. Below an archive's folder a path that could not be read on the host fails with the
 * same error again.
 */

#include "doctor.h"

#define DOCTOR_MANIFEST "moat-host-archive" /* a file at an archive's top; see doctor_archive.c */

/** Read the first `len` - 1 bytes of a file, as a string without white space at its end; "" on
 * error. For files of a known greatest length; doctor_text() reads files of any. */
int doctor_read(const char *root, char *text, size_t len, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** Read a whole file, as a string without white space at its end. *text is the caller's to free and
 * never NULL ("" on error). */
int doctor_text(const char *root, char **text, const char *fmt, ...) __rte_format_printf(3, 4);
/** Read a whole file. *bytes is the caller's to free; NULL on error. */
int doctor_bytes(const char *root, uint8_t **bytes, size_t *len, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** Read a number in `base`, as strtoull() does. *value is not changed on error; -EINVAL: the file
 * is not a number. */
int doctor_read_number(const char *root, int base, uint64_t *value, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** Read a symbolic link's target, of which `name` gets the last component; "" on error. */
int doctor_read_link(const char *root, char *name, size_t len, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** Append the names in a folder, sorted by strverscmp(), without those that begin with a dot. */
int doctor_read_folder(const char *root, struct doctor_lines *names, const char *fmt, ...)
	__rte_format_printf(3, 4);
/** Call access(2). @return 0: allowed */
int doctor_read_access(const char *root, int mode, const char *fmt, ...) __rte_format_printf(3, 4);

/** @return a sentence with the root removed from its first path; the caller's to free */
char *doctor_without_root(const char *root, const char *text);

/** @return the value of the first line "KEY  VALUE" or "KEY: VALUE", the caller's to free; "" if
 * there is no such line */
char *doctor_key(const char *text, const char *key);

/* ------------------------------------------------------------------------- keeping what is read */

enum doctor_record_kind {
	DOCTOR_FILE,   /* bytes, len */
	DOCTOR_LINK,   /* bytes: the whole target */
	DOCTOR_FOLDER, /* no bytes; the names in it have entries of kind DOCTOR_THERE */
	DOCTOR_THERE,  /* the path exists; its content was not read */
	DOCTOR_ERROR,  /* error: reading failed */
};

struct doctor_record_entry {
	char *path; /* below the root, without a leading '/' */
	enum doctor_record_kind kind;
	uint8_t *bytes;
	size_t len;
	int error; /* an errno */
};

struct doctor_record {
	unsigned int *slot; /* hash of the path: the entry's index + 1; 0: free */
	unsigned int slots; /* a power of two, or 0 */
	unsigned int n;
	struct doctor_record_entry *at;
};

/** Keep in `record` all that is read from now on; NULL: keep nothing. */
void doctor_record_begin(struct doctor_record *record);
/** Keep facts that were not read from a file, as a file that no host has. */
void doctor_record_file(const char *path, const char *text);
void doctor_record_free(struct doctor_record *record);

/** Let reading fail as on the archive's host, by the lines "error NUMBER PATH" of a manifest. */
void doctor_read_forbid(const char *manifest);

/** Unpack a text that may be packed with gzip. @return the text, the caller's to free; NULL: it is
 * not a text, or the text has 16 MiB or more */
char *doctor_inflate(const uint8_t *bytes, size_t len);

#endif /* DOCTOR_READ_H */
