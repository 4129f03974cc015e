/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "doctor_words.h"

/* ------------------------------------------------------------------------------- words, members */

char *doctor_word_next(const char **at)
{
	bool quoted = false;
	const char *end;
	size_t len = 0;
	char *word;

	*at += strspn(*at, " \t\n");
	for (end = *at; *end != '\0' && (quoted || !isspace((unsigned char)*end)); end++)
		quoted ^= *end == '"';
	if (end == *at)
		return NULL;
	word = doctor_format("%.*s", (int)(end - *at), *at);
	for (const char *from = word; *from != '\0'; from++)
		if (*from != '"')
			word[len++] = *from;
	word[len] = '\0';
	*at = end;
	return word;
}

/** Is the word the name, with or without a value? In names '-' equals '_' for the kernel. */
static bool name_is(const char *word, const char *name, bool any_case)
{
	size_t i;

	for (i = 0; name[i] != '\0'; i++) {
		char a = word[i] == '-' ? '_' : word[i], b = name[i];

		if (a != b && !(any_case && tolower((unsigned char)a) == b))
			return false;
	}
	return word[i] == '\0' || word[i] == '=';
}

static const char *value_of(const char *word)
{
	const char *equals = strchr(word, '=');

	return equals != NULL ? equals + 1 : "";
}

/** The meaning of a member of a list. */
struct meaning {
	const char *begins; /* the kernel compares only these letters */
	void (*does)(struct doctor_words *w);
	const char *deprecated; /* what to write instead; NULL: not deprecated */
};

static void intel_on(struct doctor_words *w)
{
	w->intel = DOCTOR_ON;
}

static void intel_off(struct doctor_words *w)
{
	w->intel = DOCTOR_OFF;
}

static void amd_on(struct doctor_words *w)
{
	w->amd = DOCTOR_ON;
}

static void amd_off(struct doctor_words *w)
{
	w->amd = DOCTOR_OFF;
}

static void iommu_off(struct doctor_words *w)
{
	w->no_iommu = true;
}

static void intremap_on(struct doctor_words *w)
{
	w->intremap = DOCTOR_ON;
}

static void intremap_off(struct doctor_words *w)
{
	w->intremap = DOCTOR_OFF;
}

static void intremap_nosid(struct doctor_words *w)
{
	w->nosid = true;
}

static void iomem_relaxed(struct doctor_words *w)
{
	w->relaxed = true;
}

static void iomem_strict(struct doctor_words *w)
{
	w->relaxed = false;
}

static const struct meaning intel_means[] = {
	{ "on", intel_on, NULL },
	{ "off", intel_off, NULL },
	{ "igfx_off", NULL, NULL },
	{ "forcedac", NULL, "iommu.forcedac=1" },
	{ "strict", NULL, "iommu.strict=1" },
	{ "sp_off", NULL, NULL },
	{ "sm_on", NULL, NULL },
	{ "sm_off", NULL, NULL },
	{ "tboot_noforce", NULL, NULL },
	{ NULL, NULL, NULL },
};

static const struct meaning amd_means[] = {
	{ "on", amd_on, NULL },
	{ "off", amd_off, NULL },
	{ "fullflush", NULL, "iommu.strict=1" },
	{ "force_isolation", NULL, NULL },
	{ "force_enable", NULL, NULL },
	{ "pgtbl_v1", NULL, NULL },
	{ "pgtbl_v2", NULL, NULL },
	{ "irtcachedis", NULL, NULL },
	{ "nohugepages", NULL, NULL },
	{ "v2_pgsizes_only", NULL, NULL },
	{ NULL, NULL, NULL },
};

static const struct meaning iommu_means[] = {
	{ "off", iommu_off, NULL },
	{ "force", NULL, NULL },
	{ "noforce", NULL, NULL },
	{ "biomerge", NULL, NULL },
	{ "panic", NULL, NULL },
	{ "nopanic", NULL, NULL },
	{ "merge", NULL, NULL },
	{ "nomerge", NULL, NULL },
	{ "forcesac", NULL, NULL },
	{ "allowdac", NULL, NULL },
	{ "nodac", NULL, NULL },
	{ "usedac", NULL, NULL },
	{ "soft", NULL, NULL },
	{ "pt", NULL, NULL },
	{ "nopt", NULL, NULL },
	{ "memaper", NULL, NULL },
	{ "noagp", NULL, NULL },
	{ "noaperture", NULL, NULL },
	{ "calgary", NULL, NULL },
	{ NULL, NULL, NULL },
};

static const struct meaning intremap_means[] = {
	{ "on", intremap_on, NULL },
	{ "off", intremap_off, NULL },
	{ "nosid", intremap_nosid, NULL },
	{ "no_x2apic_optout", NULL, NULL },
	{ "nopost", NULL, NULL },
	{ "posted_msi", NULL, NULL },
	{ NULL, NULL, NULL },
};

static const struct meaning iomem_means[] = {
	{ "relaxed", iomem_relaxed, NULL },
	{ "strict", iomem_strict, NULL },
	{ NULL, NULL, NULL },
};

static const struct option {
	const char *name;
	const struct meaning *means;
	const char *instead; /* advice for members that have no meaning */
} options[] = {
	{ "intel_iommu", intel_means, "pass-through is iommu=pt" },
	{ "amd_iommu", amd_means, "pass-through is iommu=pt" },
	{ "iommu", iommu_means, "VT-d is turned on by intel_iommu=on" },
	{ "intremap", intremap_means, "interrupts are remapped unless intremap=off" },
	{ "iomem", iomem_means, "there are relaxed and strict" },
};

/* ------------------------------------------------------------------------------------ one word */

static void member_read(struct doctor_words *w, const struct option *o, const char *member,
	size_t len)
{
	const struct meaning *m = o->means;

	while (m->begins != NULL && strncmp(member, m->begins, strlen(m->begins)) != 0)
		m++;
	if (m->begins == NULL) {
		doctor_say(&w->odd, "%s=%.*s means nothing to the kernel: %s", o->name, (int)len,
			member, o->instead);
		return;
	}
	if (m->deprecated != NULL)
		doctor_say(&w->odd, "%s=%s is deprecated: %s", o->name, m->begins, m->deprecated);
	if (m->does != NULL)
		m->does(w);
}

static void list_read(struct doctor_words *w, const struct option *o, const char *word)
{
	const struct doctor_words before = *w;

	w->intel = w->amd = w->intremap = DOCTOR_UNSAID;
	w->no_iommu = false;
	for (const char *at = value_of(word); *at != '\0'; at += *at == ',') {
		size_t len = strcspn(at, ",");

		if (len != 0)
			member_read(w, o, at, len);
		at += len;
	}
	if (w->intel == DOCTOR_OFF || w->no_iommu)
		doctor_say(&w->turn_off, "%s", word);
	if (w->amd == DOCTOR_OFF || w->no_iommu)
		doctor_say(&w->turn_off_amd, "%s", word);
	if (w->intremap == DOCTOR_OFF)
		doctor_say(&w->no_remap, "%s", word);
	w->intel = w->intel == DOCTOR_UNSAID ? before.intel : w->intel;
	w->amd = w->amd == DOCTOR_UNSAID ? before.amd : w->amd;
	w->intremap = w->intremap == DOCTOR_UNSAID ? before.intremap : w->intremap;
	w->no_iommu |= before.no_iommu;
}

static void word_read(struct doctor_words *w, const char *word)
{
	for (unsigned int i = 0; i < RTE_DIM(options); i++) {
		if (name_is(word, options[i].name, false))
			list_read(w, &options[i], word);
		else if (name_is(word, options[i].name, true))
			doctor_say(&w->odd,
				"%s means nothing to the kernel: it is %s, in small letters", word,
				options[i].name);
	}
	if (name_is(word, "nointremap", false)) {
		w->intremap = DOCTOR_OFF;
		doctor_say(&w->no_remap, "%s", word);
		doctor_say(&w->odd, "%s is deprecated: it is intremap=off", word);
	}
	if (name_is(word, "nox2apic", false))
		doctor_say(&w->odd, "nox2apic: interrupts are remapped for xAPIC only");
	w->acs_override |= name_is(word, "pcie_acs_override", false);
}

bool doctor_word_is_about(const char *word)
{
	static const char *const about[] = { "intel_iommu", "amd_iommu", "iommu", "intremap",
		"nointremap", "nox2apic", "noapic", "iomem", "vfio", "pcie_acs_override",
		"lockdown", "tboot" };

	for (unsigned int i = 0; i < RTE_DIM(about); i++) {
		size_t at = 0;

		while (about[i][at] != '\0' &&
			tolower((unsigned char)(word[at] == '-' ? '_' : word[at])) == about[i][at])
			at++;
		if (about[i][at] == '\0')
			return true;
	}
	return false;
}

void doctor_words_read(const char *cmdline, struct doctor_words *w)
{
	char *word;

	*w = (struct doctor_words){ 0 };
	while ((word = doctor_word_next(&cmdline)) != NULL) {
		bool end = strcmp(word, "--") == 0; /* words after it are for init */

		if (doctor_word_is_about(word))
			doctor_say(&w->about, "%s", word);
		word_read(w, word);
		free(word);
		if (end)
			break;
	}
	if (w->intel == DOCTOR_ON && !w->no_iommu)
		doctor_lines_free(&w->turn_off); /* a later word turns VT-d on again */
	if (w->amd == DOCTOR_ON && !w->no_iommu)
		doctor_lines_free(&w->turn_off_amd);
	if (w->intremap == DOCTOR_ON)
		doctor_lines_free(&w->no_remap);
}

void doctor_words_free(struct doctor_words *w)
{
	doctor_lines_free(&w->about);
	doctor_lines_free(&w->turn_off);
	doctor_lines_free(&w->turn_off_amd);
	doctor_lines_free(&w->no_remap);
	doctor_lines_free(&w->odd);
}
