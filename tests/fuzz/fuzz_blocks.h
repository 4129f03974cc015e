/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FUZZ_BLOCKS_H
#define FUZZ_BLOCKS_H

/**
 * @file
 * Large blocks of memory, kept from one execution to the next.
 *
 * AddressSanitizer maps and unmaps every block above 128 KiB and its shadow, which takes longer
 * than the rest of an execution. Therefore the linker replaces malloc(), calloc() and free() by the
 * functions of this file (`--wrap`, only under libFuzzer), which take large blocks from a few that
 * stay allocated. The blocks lie between AddressSanitizer's red zones. A free block is poisoned (of
 * a large one only the beginning, which is faster), and at the end of an execution each block must
 * be free.
 */

#include <stdbool.h>

#include "fuzz_input.h"
#include "fuzz_poison.h"

#ifdef FUZZ_BLOCKS

#define BLOCK_SIZE_MIN (32 << 10)
#define BLOCK_POISONED (128 << 10)

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void __wrap_free(void *p);

static struct fuzz_block {
	void *memory;
	size_t size;
	bool used;
} blocks[16];
static unsigned int nr_blocks;
static bool blocks_wanted; /* the code under test runs, not libFuzzer */

static inline void *block_take(size_t size)
{
	struct fuzz_block *b;

	for (b = blocks; b < blocks + nr_blocks; b++) {
		if (!b->used && b->size == size)
			break;
	}
	if (b == blocks + nr_blocks) {
		fuzz_check(nr_blocks < RTE_DIM(blocks));
		b->memory = __real_malloc(size);
		b->size = size;
		fuzz_check(b->memory != NULL);
		nr_blocks++;
	}
	b->used = true;
	fuzz_unpoison(b->memory, RTE_MIN(size, (size_t)BLOCK_POISONED));
	return b->memory;
}

void *__wrap_malloc(size_t size)
{
	return blocks_wanted && size >= BLOCK_SIZE_MIN ? block_take(size) : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	size_t bytes;

	if (!blocks_wanted || __builtin_mul_overflow(n, size, &bytes) || bytes < BLOCK_SIZE_MIN)
		return __real_calloc(n, size);
	return memset(block_take(bytes), 0, bytes);
}

void __wrap_free(void *p)
{
	for (struct fuzz_block *b = blocks; b < blocks + nr_blocks; b++) {
		if (b->memory == p) {
			fuzz_check(b->used);
			b->used = false;
			fuzz_poison(p, RTE_MIN(b->size, (size_t)BLOCK_POISONED));
			return;
		}
	}
	__real_free(p);
}

static inline void blocks_begin(void)
{
	blocks_wanted = true;
}

/** Check that the code under test has freed everything that it allocated. */
static inline void blocks_end(void)
{
	blocks_wanted = false;
	for (const struct fuzz_block *b = blocks; b < blocks + nr_blocks; b++)
		fuzz_check(!b->used);
}

#else

static inline void blocks_begin(void)
{
}

static inline void blocks_end(void)
{
}

#endif
#endif /* FUZZ_BLOCKS_H */
