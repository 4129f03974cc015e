/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_WORDS_H
#define DOCTOR_WORDS_H

/**
 * @file
 * The meaning of the kernel's command line (Linux, kernel-parameters.txt, and the parsers of
 * intel_iommu=, iommu= and intremap=): words end at white space outside of quotes; names are
 * case-sensitive, but '-' equals '_'; "--" ends the kernel's words; a value is a list, of whose
 * members the kernel compares the first letters.
 */

#include "doctor.h"

enum doctor_switch { DOCTOR_UNSAID, DOCTOR_ON, DOCTOR_OFF };

struct doctor_words {
	enum doctor_switch intel;    /* intel_iommu=; the last one counts */
	enum doctor_switch amd;      /* amd_iommu= */
	enum doctor_switch intremap; /* intremap=, nointremap; the last one counts */
	bool no_iommu;               /* iommu=off: no IOMMU, in spite of the words above */
	bool nosid;                  /* intremap=nosid: interrupts' source-ids are not checked */
	bool relaxed;                /* iomem=relaxed */
	bool acs_override;           /* pcie_acs_override= */
	struct doctor_lines about;   /* all words about the IOMMU, as on the command line */
	struct doctor_lines turn_off, turn_off_amd; /* words that turn VT-d, AMD-Vi off */
	struct doctor_lines no_remap;               /* words that turn interrupt remapping off */
	struct doctor_lines odd; /* sentences about words without meaning, or deprecated ones */
};

/** Find the next word at *at, and move *at past it. @return the word without its quotes, the
 * caller's to free; NULL: there are no more */
char *doctor_word_next(const char **at);
/** Is the word about the IOMMU? */
bool doctor_word_is_about(const char *word);
void doctor_words_read(const char *cmdline, struct doctor_words *words);
void doctor_words_free(struct doctor_words *words);

#endif /* DOCTOR_WORDS_H */
