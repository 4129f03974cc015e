/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_BOOT_H
#define DOCTOR_BOOT_H

/**
 * @file
 * How the kernel's command line is changed where a given boot loader is at work.
 */

#include "doctor_host.h"

/**
 * Add to a finding's remedy: first what to change in words, then where the host's boot loader has
 * it.
 * @param set words to add, "a b"; "": none
 * @param remove words to take out, as they stand there
 * @param also further words that commands take out; what is said of them is the caller's; NULL:
 *   none
 */
void doctor_boot_remedy(const struct doctor_host *host, struct doctor_finding *finding,
	const char *set, const struct doctor_lines *remove, const struct doctor_lines *also);

#endif /* DOCTOR_BOOT_H */
