/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

/**
 * @file
 * Shared by the fuzzers: libFuzzer's entry points, values taken from the input, and a check that
 * ends the program.
 *
 * A fuzzer is a program of one source: fuzz_NAME.c. With -Dfuzz=true libFuzzer has its main().
 * Otherwise replay.c has it, which runs files. seeds.py writes the first inputs.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Assert a promise of the code under test. Under libFuzzer a broken promise is a finding, like a
 * crash. */
#define fuzz_check(condition)                                                                     \
	do {                                                                                      \
		if (!(condition)) {                                                               \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                  \
		}                                                                                 \
	} while (0)

/** The rest of an input. Beyond its end all values are 0. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_input *in, size_t bytes)
{
	uint64_t value = 0;
	size_t n = RTE_MIN(bytes, in->left);

	if (n != 0)
		memcpy(&value, in->at, n);
	in->at += n;
	in->left -= n;
	return value;
}

static inline uint8_t fuzz_take8(struct fuzz_input *in)
{
	return fuzz_take(in, 1);
}

static inline uint16_t fuzz_take16(struct fuzz_input *in)
{
	return fuzz_take(in, 2);
}

static inline uint32_t fuzz_take32(struct fuzz_input *in)
{
	return fuzz_take(in, 4);
}

static inline uint64_t fuzz_take64(struct fuzz_input *in)
{
	return fuzz_take(in, 8);
}

/** Up to `max` bytes as a NUL-terminated string. @return its length without the NUL */
static inline size_t fuzz_take_text(struct fuzz_input *in, char *text, size_t max)
{
	size_t n = RTE_MIN(max, in->left);

	if (n != 0)
		memcpy(text, in->at, n);
	text[n] = '\0';
	in->at += n;
	in->left -= n;
	return n;
}

#endif /* FUZZ_INPUT_H */
