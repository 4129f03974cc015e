/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_ARGS_H
#define MOAT_ARGS_H

/**
 * @file
 * Arguments in a line of text, "key=value,key=value" as DPDK's devices take them, whose values are
 * numbers, most of them; a table says which keys there are and where their values go.
 */

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct moat_arg {
	const char *key;
	size_t offset; /* of the member: an unsigned integer or a bool */
	size_t size;
	uint64_t min, max;
	/** Instead of a member: follow the value. @return 0 or moat_error()'s, without key and value */
	int (*set)(void *object, const char *value);
};

/** MOAT_ARG("queue", struct args, queue, 1, 7): the key, the structure and its member, the least value
 * and the most. */
#define MOAT_ARG(name, type, member, least, most)                              \
	{                                                                      \
		.key = name, .offset = offsetof(type, member),                 \
		.size = sizeof(((type *)0)->member), .min = least, .max = most \
	}

/**
 * @param whose for messages: "unit soft0"
 * @param text NULL or "": nothing is set
 * @param object members that are not given stay what they are
 * @return 0, -EINVAL: no list of key=value, an unknown key or an impossible value; moat_error_text()
 *   has the sentence. What stands before the mistake is set already. Thread-safe, control path.
 */
int moat_args_parse(const char *whose, const char *text, const struct moat_arg known[],
	unsigned int nr_known, void *object);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_ARGS_H */
