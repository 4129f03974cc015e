/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_REDACT_H
#define DOCTOR_REDACT_H

/**
 * @file
 * Taking out of what was read what names a host or its owner, so that the findings stay the same.
 */

#include "doctor_read.h"

struct doctor_redaction {
	const char *hostname;     /* "": not known */
	struct doctor_lines macs; /* those met, each once: the n-th becomes 02:00:00:00:nn:nn */
	unsigned int hostnames, serials, addresses, values, uuids, lines;
};

/** A file's content, to free, *len bytes of it. */
uint8_t *doctor_redact_file(struct doctor_redaction *r, const char *path, const uint8_t *bytes,
	size_t *len);
/** A path, to free: interfaces may be named by their MAC address, or by the host. */
char *doctor_redact_path(struct doctor_redaction *r, const char *path);
/** The target of the link `path`, to free. */
char *doctor_redact_target(struct doctor_redaction *r, const char *path, const char *target);
/** What was replaced and left out, a line each. */
void doctor_redact_tell(const struct doctor_redaction *r, struct doctor_lines *lines);
void doctor_redact_free(struct doctor_redaction *r);

#endif /* DOCTOR_REDACT_H */
