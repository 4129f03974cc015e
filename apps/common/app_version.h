/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef APP_VERSION_H
#define APP_VERSION_H

/**
 * Print the versions of the program, of the running DPDK and of the liburcu that it was compiled
 * with, and the instruction sets chosen on this processor.
 */
void app_version(const char *program);

#endif /* APP_VERSION_H */
