/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_PROBE_H
#define MOAT_PROBE_H

/**
 * @file
 * Static probes (USDT) for perf, bpftrace and systemtap: each is a named point in the code with
 * values that a tracer can read. A probe that is not traced is one no-op instruction. The provider
 * is `moat`; doc/counters.md lists the probes and how to record them. Without <sys/sdt.h> at build
 * time there are no probes.
 */

#ifdef MOAT_HAVE_SDT
#include <sys/sdt.h>
#define MOAT_PROBE2(name, a, b)       DTRACE_PROBE2(moat, name, a, b)
#define MOAT_PROBE3(name, a, b, c)    DTRACE_PROBE3(moat, name, a, b, c)
#define MOAT_PROBE4(name, a, b, c, d) DTRACE_PROBE4(moat, name, a, b, c, d)
#else
#define MOAT_PROBE2(name, a, b) \
	do {                    \
	} while (0)
#define MOAT_PROBE3(name, a, b, c) \
	do {                       \
	} while (0)
#define MOAT_PROBE4(name, a, b, c, d) \
	do {                          \
	} while (0)
#endif

#endif /* MOAT_PROBE_H */
