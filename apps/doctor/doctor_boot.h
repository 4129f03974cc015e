/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_BOOT_H
#define DOCTOR_BOOT_H

/**
 * @file
 * How to change the kernel's command line with the host's boot loader.
 */

#include "doctor_host.h"

/**
 * Add a change of the kernel's command line to a finding's remedy: what to change, and where the
 * host's boot loader keeps it.
 * @param set words to add, "a b"; "": none
 * @param remove words to remove, spelled as on the command line
 * @param also more words that commands remove, but that the caller explains; NULL: none
 */
void doctor_boot_remedy(const struct doctor_host *host, struct doctor_finding *finding,
	const char *set, const struct doctor_lines *remove, const struct doctor_lines *also);

#endif /* DOCTOR_BOOT_H */
