/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The fake machine of tests/platform, under the name that the tests of this folder include. */
#include "../platform/fake_machine.h"
