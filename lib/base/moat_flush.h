/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_FLUSH_H
#define MOAT_FLUSH_H

/**
 * @file
 * Writing cache lines back to memory, for a unit that does not snoop the processor's caches
 * (ECAP.C clear).
 */

#include <stddef.h>

#pragma GCC visibility push(default) /* for drivers/vtd, which is in another library */

/**
 * Write back to memory every cache line that [p, p + len) touches.
 *
 * The lines reach memory before anything that the calling thread stores after the call, including
 * stores to the unit's registers. Thread-safe. Data path; one line costs about 60 to 250 ns.
 *
 * @param p first byte
 * @param len bytes, at least 1
 */
void moat_flush_lines(const void *p, size_t len);

#pragma GCC visibility pop

#endif /* MOAT_FLUSH_H */
