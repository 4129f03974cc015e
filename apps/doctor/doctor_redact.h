/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_REDACT_H
#define DOCTOR_REDACT_H

/**
 * @file
 * Removing the names of a host and its owner from what was read, without changing the findings.
 */

#include "doctor_read.h"

struct doctor_redaction {
	const char *hostname;     /* "": not known */
	struct doctor_lines macs; /* all distinct ones: the n-th becomes 02:00:00:00:nn:nn */
	/* how many of each were replaced or left out */
	unsigned int hostnames, serials, addresses, values, uuids, lines;
};

/** Redact a file's content. @param len in: bytes, out: bytes of the result
 * @return the result, the caller's to free */
uint8_t *doctor_redact_file(struct doctor_redaction *r, const char *path, const uint8_t *bytes,
	size_t *len);
/** Redact a path: interfaces may be named by their MAC address, or by the host. @return the result,
 * the caller's to free */
char *doctor_redact_path(struct doctor_redaction *r, const char *path);
/** Redact the target of the link `path`. @return the result, the caller's to free */
char *doctor_redact_target(struct doctor_redaction *r, const char *path, const char *target);
/** Append lines that say what was replaced and left out. */
void doctor_redact_tell(const struct doctor_redaction *r, struct doctor_lines *lines);
void doctor_redact_free(struct doctor_redaction *r);

#endif /* DOCTOR_REDACT_H */
