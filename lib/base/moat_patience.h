/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_PATIENCE_H
#define MOAT_PATIENCE_H

/*
 * The time, 1 s by default, that a thread waits for a unit, a reader or another lane before it
 * reports an error. A thread that is preempted for so long looks the same, so a test with more
 * threads than processors raises the value and checks progress itself. Not exported.
 */

#include <stdint.h>

extern uint64_t moat_patience_us;

#endif /* MOAT_PATIENCE_H */
