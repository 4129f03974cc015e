/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TSAN_H
#define MOAT_TSAN_H

/*
 * These tell ThreadSanitizer of orders that it cannot see: fences, and what libraries do in
 * assembly. What a thread does before HANDED_OVER(p) happens before what another thread does after
 * TAKEN_OVER(p). In other builds both expand to nothing.
 */
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define HANDED_OVER(p) __tsan_release(p)
#define TAKEN_OVER(p)  __tsan_acquire(p)
#else
#define HANDED_OVER(p)
#define TAKEN_OVER(p)
#endif

#endif /* MOAT_TSAN_H */
