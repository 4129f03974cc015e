/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_WORDS_H
#define DOCTOR_WORDS_H

/**
 * @file
 * The kernel's command line, each word by its meaning (Linux, kernel-parameters.txt, and what the
 * parsers of intel_iommu=, iommu= and intremap= do): words end at white space outside of quotes,
 * '-' and '_' in a name are one, capitals are others, "--" ends it, a value is a list whose members
 * the kernel takes by how they begin.
 */

#include "doctor.h"

enum doctor_switch { DOCTOR_UNSAID, DOCTOR_ON, DOCTOR_OFF };

struct doctor_words {
	enum doctor_switch intel;    /* intel_iommu=; the last counts */
	enum doctor_switch amd;      /* amd_iommu= */
	enum doctor_switch intremap; /* intremap=, nointremap; the last counts */
	bool no_iommu;               /* iommu=off: no IOMMU, whatever the others say */
	bool nosid;                  /* intremap=nosid: interrupts' source-ids are not checked */
	bool relaxed;                /* iomem=relaxed */
	bool acs_override;           /* pcie_acs_override= */
	struct doctor_lines about;   /* the words that are about all this, as they stand there */
	struct doctor_lines turn_off, turn_off_amd; /* those that turn VT-d, AMD-Vi off */
	struct doctor_lines no_remap;               /* those that turn interrupt remapping off */
	struct doctor_lines odd; /* sentences: words that mean nothing, or are deprecated */
};

/** The next word at *at, without its quotes, to free; NULL: no more. *at moves behind it. */
char *doctor_word_next(const char **at);
/** Is a word one of those that bear on the IOMMU? */
bool doctor_word_is_about(const char *word);
void doctor_words_read(const char *cmdline, struct doctor_words *words);
void doctor_words_free(struct doctor_words *words);

#endif /* DOCTOR_WORDS_H */
