/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef APP_OPTION_H
#define APP_OPTION_H

/**
 * @file
 * Errors in a program's options (unknown, value missing, value not allowed): one sentence on
 * standard error.
 */

#include <getopt.h>

/** The value that getopt_long() returns for a long option without a letter: above every character,
 * so it cannot be confused with the unknown letter in `optopt`. */
#define APP_LONG(letter) (256 + (letter))

/** A clause for `more` below, for programs on the EAL: where the EAL's options go. */
#define APP_OPTION_EAL "; options of DPDK's EAL go first, with '--' behind them"

/**
 * Report an unknown option, as in "moat-fwd: unknown option '--jsn'; did you mean '--json'?".
 *
 * @param program its name
 * @param option as on the command line, "--jsn", "--jsn=FILE" or "-x"
 * @param names the long options without dashes, NULL-terminated
 * @param more a clause to append where no known option is similar, or ""
 *
 * Control path.
 */
void app_option_unknown(const char *program, const char *option, const char *const names[],
	const char *more);

/**
 * Report what getopt_long() stopped at: an unknown option, one without the value that it needs, or
 * one with a value that it does not take.
 *
 * @param program its name
 * @param found what getopt_long() returned, '?' or ':'
 * @param argv getopt_long()'s
 * @param options getopt_long()'s
 * @param more as app_option_unknown()
 *
 * Must be called right after getopt_long(). Control path.
 */
void app_option_wrong(const char *program, int found, char *const argv[],
	const struct option options[], const char *more);

#endif /* APP_OPTION_H */
