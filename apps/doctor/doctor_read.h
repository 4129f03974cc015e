/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_READ_H
#define DOCTOR_READ_H

/**
 * @file
 * Files, links and folders below a root, by a path that is formatted. They return 0 or a negative
 * errno and are silent: what cannot be read is a fact like others, and the checks say what it
 * means.
 *
 * Every answer can be kept (struct doctor_record), which is how a host's archive comes about: it
 * has what was read and nothing else. Below the folder of an archive what could not be read on the
 * host cannot be read again, with the same error.
 */

#include "doctor.h"

#define DOCTOR_MANIFEST "moat-host-archive" /* a file at an archive's top; see doctor_archive.c */

/** The first `len` - 1 bytes, as a string, without white space at its end. "" on error. For what
 * has a known greatest length; doctor_text() takes files of any. */
int doctor_read(const char *root, char *text, size_t len, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** All of a file, as a string without white space at its end; *text is never NULL ("" on error) and
 * the caller's to free. */
int doctor_text(const char *root, char **text, const char *fmt, ...) __rte_format_printf(3, 4);
/** All of a file. *bytes is the caller's to free; NULL on error. */
int doctor_bytes(const char *root, uint8_t **bytes, size_t *len, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** A number as C writes them (0x...); -EINVAL where there is none. Untouched on error. */
int doctor_read_number(const char *root, int base, uint64_t *value, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** Where a symbolic link points, the last part only. "" on error. */
int doctor_read_link(const char *root, char *name, size_t len, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** The names in a folder, sorted, numbers as numbers. */
int doctor_read_folder(const char *root, struct doctor_lines *names, const char *fmt, ...)
	__rte_format_printf(3, 4);
/** access(2): 0 if allowed. */
int doctor_read_access(const char *root, int mode, const char *fmt, ...) __rte_format_printf(3, 4);

/** A sentence as it would be without the root in front of its paths; the caller's to free. */
char *doctor_without_root(const char *root, const char *text);

/** The value of "KEY  VALUE" or "KEY: VALUE" in a text of lines, the caller's to free; "" without
 * such a line. */
char *doctor_key(const char *text, const char *key);

/* ------------------------------------------------------------------------- keeping what is read */

enum doctor_record_kind {
	DOCTOR_FILE,   /* bytes, len */
	DOCTOR_LINK,   /* bytes: the whole target */
	DOCTOR_FOLDER, /* bytes: nothing; what it lists is noted as DOCTOR_THERE */
	DOCTOR_THERE,  /* it exists; its content was not read */
	DOCTOR_ERROR,  /* error */
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

/** From now on keep what is read in `record`; NULL: no more. */
void doctor_record_begin(struct doctor_record *record);
/** Keep a file that is no host's: facts that were not read from a file. */
void doctor_record_file(const char *path, const char *text);
void doctor_record_free(struct doctor_record *record);

/** What cannot be read below a root, out of an archive's manifest ("error NUMBER PATH" a line). */
void doctor_read_forbid(const char *manifest);

/** A text, packed with gzip or not; NULL: it is no text, or longer than any that is wanted. The
 * caller's to free. */
char *doctor_inflate(const uint8_t *bytes, size_t len);

#endif /* DOCTOR_READ_H */
