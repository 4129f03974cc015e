/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_PATIENCE_H
#define MOAT_PATIENCE_H

/*
 * How long a thread waits for a unit, a reader or another lane to move on before it reports an
 * error. A thread that is kept from its processor for as long looks the same, so a test that has
 * more threads than processors raises it and judges progress by itself. Not exported.
 */

#include <stdint.h>

extern uint64_t moat_patience_us;

#endif /* MOAT_PATIENCE_H */
