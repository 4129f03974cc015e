/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_ARGS_H
#define MOAT_ARGS_H

/**
 * @file
 * Arguments in a line of text, "key=value,key=value", as DPDK's devices take them. A table gives
 * each key a structure member, for a number, or a function.
 */

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** One key. Either `set` takes its value, or the value is a number that goes into a member. */
struct moat_arg {
	const char *key;
	size_t offset; /* of the member, an unsigned integer or a bool */
	size_t size;   /* of the member */
	uint64_t min, max;
	/** @return 0, or what moat_error() returned; the text need not repeat key and value */
	int (*set)(void *object, const char *value);
};

/** A key whose value is a number: MOAT_ARG("queue", struct args, queue, 1, 7) names the key, the
 * structure and its member, the least value and the greatest. */
#define MOAT_ARG(name, type, member, least, most)                              \
	{                                                                      \
		.key = name, .offset = offsetof(type, member),                 \
		.size = sizeof(((type *)0)->member), .min = least, .max = most \
	}

/**
 * Parse a line of arguments into a structure.
 *
 * @param whose what the arguments belong to, for messages: "unit soft0"
 * @param text the line; NULL or "": nothing is set
 * @param known the valid keys
 * @param nr_known number of `known`
 * @param object the structure; members whose keys are absent keep their values
 * @return 0
 * @return -EINVAL: `text` is not a list of key=value, a key is unknown, or a value is out of range;
 *   moat_error_text() has the sentence. Keys before the faulty one have been set.
 *
 * Thread-safe. Control path.
 */
int moat_args_parse(const char *whose, const char *text, const struct moat_arg known[],
	unsigned int nr_known, void *object);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_ARGS_H */
