/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MUST_H
#define MUST_H

/** In a cmocka test: `call` must return 0, or the test fails with moat_error_text(). */
#define must(call)                                                                  \
	do {                                                                        \
		int must_ret = (call);                                              \
		if (must_ret != 0)                                                  \
			fail_msg("%s: %d: %s", #call, must_ret, moat_error_text()); \
	} while (0)

#endif /* MUST_H */
