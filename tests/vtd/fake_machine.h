/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The machine that tests/platform has, under the name by which the tests of this folder know it. */
#include "../platform/fake_machine.h"
