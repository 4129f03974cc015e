/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef APP_OPTION_H
#define APP_OPTION_H

#include <getopt.h>

/**
 * The option that a misspelt one was probably meant to be.
 * @param text as on the command line, "--jsn" or "--jsn=FILE"
 * @param options getopt_long()'s
 * @return its name without dashes, or NULL where none is near
 */
const char *app_option_meant(const char *text, const struct option options[]);

#endif /* APP_OPTION_H */
