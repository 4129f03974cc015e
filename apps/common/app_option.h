/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef APP_OPTION_H
#define APP_OPTION_H

/**
 * @file
 * Options that a program does not have: one sentence each, on standard error.
 */

#include <getopt.h>

/** What getopt_long() returns for a long option that has no letter of its own: never what it leaves
 * in `optopt` for an unknown letter. */
#define APP_LONG(letter) (256 + (letter))

/** Behind an unknown option of a program on the EAL: where the EAL's belong. */
#define APP_OPTION_EAL "; options of DPDK's EAL go first, with '--' behind them"

/**
 * "moat-fwd: unknown option '--jsn'; did you mean '--json'?"
 *
 * @param program its name
 * @param option as on the command line, "--jsn", "--jsn=FILE" or "-x"
 * @param names the long options without dashes, NULL-terminated
 * @param more follows where no name is near: a further clause, or ""
 *
 * Control path.
 */
void app_option_unknown(const char *program, const char *option, const char *const names[],
	const char *more);

/**
 * What getopt_long() stopped at: an unknown option, one without the value that it needs, or one
 * with a value that it does not take.
 *
 * @param program its name
 * @param found what getopt_long() returned, '?' or ':'
 * @param argv getopt_long()'s
 * @param options getopt_long()'s
 * @param more as app_option_unknown()
 *
 * Right after getopt_long(). Control path.
 */
void app_option_wrong(const char *program, int found, char *const argv[],
	const struct option options[], const char *more);

#endif /* APP_OPTION_H */
