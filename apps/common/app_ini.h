/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef APP_INI_H
#define APP_INI_H

/**
 * @file
 * INI files whose errors are reported with their lines.
 *
 * DPDK's rte_cfgfile reads the file, but keeps no line numbers, truncates what is too long and
 * ignores lines that it does not understand. So an index beside it holds each section and entry
 * with its line. Every error, from a bad line to a queue that two tenants list, is one sentence
 *
 *	FILE[:LINE]: what is wrong, with the value[; what to do]
 *
 * that app_ini_error() writes and counts. Reading goes on after an error, so that one run shows as
 * many as possible; a caller whose next step depends on correct values must look at `errors` first.
 *
 * A section is `[kind name]` ("[tenant red]") or `[kind]`; comments begin with ';'.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_common.h>

/** One `key = value`. Strings live as long as the file. */
struct app_entry {
	char *key;
	char *value;
	unsigned int line;
};

struct app_section {
	char *kind; /* "tenant" of [tenant red] */
	char *name; /* "red"; "": none */
	unsigned int line;
	unsigned int nr_entries;
	struct app_entry *entries;
};

struct app_ini {
	const char *path;
	unsigned int errors; /* number so far */
	unsigned int nr_sections;
	struct app_section *sections;
};

/**
 * Read a file. `path` must outlive `ini`.
 * @return 0; -EINVAL: errors have been written (no such file, a line is neither section nor entry);
 *   -ENOMEM. Control path; needs no EAL.
 */
int app_ini_load(struct app_ini *ini, const char *path);
void app_ini_free(struct app_ini *ini);

/** Write "FILE:LINE: sentence" to stderr, or "FILE: sentence" if `line` is 0, and count the error.
 * @return -EINVAL */
int app_ini_error(struct app_ini *ini, unsigned int line, const char *fmt, ...)
	__rte_format_printf(3, 4);

/** Find the section's first entry `key`. @return NULL: there is none */
const struct app_entry *app_ini_entry(const struct app_section *section, const char *key);
/** Find the line for an error of `key`: the key's, or the section's if the key is absent. */
unsigned int app_ini_line(const struct app_section *section, const char *key);

/* ------------------------------------------------------------------------- keys and values */

/** The modes' names, by enum moat_mode; NULL-terminated. */
extern const char *app_modes[];

struct app_key;
/**
 * Convert an entry's value and store it in `field`. For an invalid value write an error with
 * app_ini_error() that names valid ones.
 */
typedef void (*app_read_t)(struct app_ini *ini, const struct app_entry *e,
	const struct app_key *key, void *field);

/** A key that a kind of section has, and where its value goes. */
struct app_key {
	const char *name;
	app_read_t read;
	size_t offset;            /* of the field in the caller's structure */
	uint64_t min, max;        /* app_read_number, app_read_size */
	const char *const *words; /* app_read_word: the values, NULL-terminated */
	bool required;
};

/**
 * Read a section's entries by `keys` (up to a `name` of NULL) into `object`. Writes errors for keys
 * that do not exist (with the key that may have been meant), keys given twice, and required keys
 * left out. Fields of absent keys are not written: fill in defaults before.
 */
void app_ini_read(struct app_ini *ini, const struct app_section *section,
	const struct app_key *keys, void *object);

/** char *: the text, which lives as long as `ini`. */
void app_read_text(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field);
/** uint64_t: a whole number, decimal or 0x..., within min and max. */
void app_read_number(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field);
/** uint64_t: bytes, with K, M or G (powers of 1024), within min and max. */
void app_read_size(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field);
/** bool: yes or no. */
void app_read_bool(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field);
/** int: index of the value in `words`. */
void app_read_word(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field);
/** int: a source-id, "bus:device.function" in hexadecimal. */
void app_read_sid(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field);
/** struct app_set: numbers and ranges, "1,3-5". */
void app_read_set(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field);

#define APP_SET_MAX 1024
/** A set of small numbers: lcores, CPUs. */
struct app_set {
	uint64_t bits[APP_SET_MAX / 64];
	unsigned int n;
};

static inline bool app_set_has(const struct app_set *set, unsigned int i)
{
	return i < APP_SET_MAX && (set->bits[i / 64] >> (i % 64) & 1);
}
void app_set_add(struct app_set *set, unsigned int i);
/** Write the set into `buf` as "1,3-5", truncated if it does not fit. @return buf */
const char *app_set_text(const struct app_set *set, char *buf, size_t size);

/** Write bytes into `buf` as app_read_size() reads them: "16M", "4K", "123". @return buf */
const char *app_size_text(uint64_t bytes, char *buf, size_t size);

#endif /* APP_INI_H */
