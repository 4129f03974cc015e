/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef APP_VERSION_H
#define APP_VERSION_H

/**
 * Print what --version asks for: the program's version, DPDK's as it runs, liburcu's as it was
 * compiled with, and the instruction sets chosen on this processor.
 */
void app_version(const char *program);

#endif /* APP_VERSION_H */
