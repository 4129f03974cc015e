/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>

#include "moat_args.h"
#include "moat_suggest.h"

static int unknown_key(const char *whose, const char *key, const struct moat_arg known[],
	unsigned int nr_known)
{
	const char *meant = moat_suggest_row(key, &known[0].key, sizeof(known[0]), nr_known);
	char keys[512] = "";
	int len = 0;

	if (strchr(key, ':') != NULL)
		return moat_error(-EINVAL,
			"%s: '%s' is not key=value: write %.*s=%s; only unit_args takes ':'", whose,
			key, (int)strcspn(key, ":"), key, strchr(key, ':') + 1);
	if (meant != NULL)
		return moat_error(-EINVAL, "%s: no such argument '%s'; did you mean '%s'?", whose,
			key, meant);
	for (unsigned int i = 0; i < nr_known && len < (int)sizeof(keys); i++)
		len += snprintf(keys + len, sizeof(keys) - len, " %s", known[i].key);
	return moat_error(-EINVAL, "%s: no such argument '%s'; there are:%s", whose, key, keys);
}

/* A member is an unsigned integer or a bool, so the value's low bytes suffice (little-endian). */
static int set_arg(const char *whose, const struct moat_arg *a, const char *text, void *object)
{
	char *end;
	uint64_t value;
	int ret;

	text = text != NULL ? text : "";
	if (a->set != NULL) {
		ret = a->set(object, text);
		if (ret == 0)
			return 0;
		return moat_error(ret, "%s: %s=%s: %s", whose, a->key, text, moat_error_text());
	}
	errno = 0;
	value = strtoull(text, &end, 0);
	/* Require a leading digit: strtoull() would parse " -1" as the largest number. */
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < a->min ||
		value > a->max)
		return moat_error(-EINVAL, "%s: %s=%s is not a number from %" PRIu64 " to %" PRIu64,
			whose, a->key, text, a->min, a->max);
	memcpy((char *)object + a->offset, &value, a->size);
	return 0;
}

int moat_args_parse(const char *whose, const char *text, const struct moat_arg known[],
	unsigned int nr_known, void *object)
{
	struct rte_kvargs *kv;
	int ret = 0;

	if (text == NULL || *text == '\0')
		return 0;
	kv = rte_kvargs_parse(text, NULL);
	if (kv == NULL)
		return moat_error(-EINVAL,
			"%s: '%s' is not a list of key=value separated by commas", whose, text);
	for (unsigned int i = 0; ret == 0 && i < kv->count; i++) {
		unsigned int k = 0;

		while (k < nr_known && strcmp(known[k].key, kv->pairs[i].key) != 0)
			k++;
		ret = k < nr_known ? set_arg(whose, &known[k], kv->pairs[i].value, object)
				   : unknown_key(whose, kv->pairs[i].key, known, nr_known);
	}
	rte_kvargs_free(kv);
	return ret;
}
