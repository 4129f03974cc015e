/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Preloaded into a test program: of its tests only MOAT_ONE_TEST runs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void one_test(void)
{
	cmocka_set_test_filter(getenv("MOAT_ONE_TEST"));
}
