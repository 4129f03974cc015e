/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_READ_H
#define DOCTOR_READ_H

/**
 * @file
 * Files, links and folders below a root, by a path that is formatted. They return 0 or a negative
 * errno and are silent: what cannot be read is a fact like others, and the checks say what it means.
 */

#include "doctor.h"

/** The first `len` - 1 bytes, as a string, without white space at its end. "" on error. */
int doctor_read(const char *root, char *text, size_t len, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** A number as C writes them (0x...); -EINVAL where there is none. Untouched on error. */
int doctor_read_number(const char *root, int base, uint64_t *value, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** Where a symbolic link points, the last part only. "" on error. */
int doctor_read_link(const char *root, char *name, size_t len, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** The bytes of a file. @return how many, or a negative errno */
int doctor_read_bytes(const char *root, void *bytes, size_t len, const char *fmt, ...)
	__rte_format_printf(4, 5);
/** The names in a folder, sorted, numbers as numbers. */
int doctor_read_folder(const char *root, struct doctor_lines *names, const char *fmt, ...)
	__rte_format_printf(3, 4);
/** access(2): 0 if allowed. */
int doctor_read_access(const char *root, int mode, const char *fmt, ...) __rte_format_printf(3, 4);

/** A sentence as it would be without the root in front of its paths. */
void doctor_without_root(const char *root, const char *text, char *out, size_t len);

/** The value of "KEY  VALUE" or "KEY: VALUE" in a text of lines; "" without such a line. */
void doctor_key(const char *text, const char *key, char *value, size_t len);

#endif /* DOCTOR_READ_H */
