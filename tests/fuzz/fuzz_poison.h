/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FUZZ_POISON_H
#define FUZZ_POISON_H

/**
 * @file
 * Marks memory that is kept although it is free as poisoned, in builds with AddressSanitizer.
 */

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define FUZZ_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FUZZ_ASAN
#endif
#endif

#ifdef FUZZ_ASAN
#include <sanitizer/asan_interface.h>
#endif

static inline void fuzz_poison(const void *p, size_t size)
{
#ifdef FUZZ_ASAN
	__asan_poison_memory_region(p, size);
#endif
}

static inline void fuzz_unpoison(const void *p, size_t size)
{
#ifdef FUZZ_ASAN
	__asan_unpoison_memory_region(p, size);
#endif
}

#endif /* FUZZ_POISON_H */
