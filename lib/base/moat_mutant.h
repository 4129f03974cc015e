/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_MUTANT_H
#define MOAT_MUTANT_H

/**
 * @file
 * Rules that a test build can break on purpose, to see that the tests notice.
 *
 * `if (MOAT_MUTANT(NAME)) { ... what is wrong ... }`. In a build with -Dmutants=true the
 * environment variable MOAT_MUTANT=NAME switches that one on; in every other build the condition is
 * a constant false and leaves no code. tests/mutants lists the names and the tests that must then
 * fail.
 */

#include <stdbool.h>

#ifdef MOAT_MUTANTS
/** Is this the one? Asked once for each place. */
__attribute__((visibility("default"))) bool moat_mutant_is(const char *name);
#define MOAT_MUTANT(name)                                \
	__extension__({                                  \
		static int mutant_ = -1;                 \
		if (mutant_ < 0)                         \
			mutant_ = moat_mutant_is(#name); \
		mutant_ > 0;                             \
	})
#else
#define MOAT_MUTANT(name) false
#endif

#endif /* MOAT_MUTANT_H */
