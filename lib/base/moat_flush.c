/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <cpuid.h>
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_common.h>

#include "moat_flush.h"

__attribute__((target("clflushopt"))) static void lines_flush_opt(const char *p, const char *end)
{
	for (; p < end; p += RTE_CACHE_LINE_SIZE)
		_mm_clflushopt((void *)(uintptr_t)p);
}

static void lines_flush_plain(const char *p, const char *end)
{
	for (; p < end; p += RTE_CACHE_LINE_SIZE)
		_mm_clflush(p);
}

static bool has_clflushopt;

__attribute__((constructor)) static void clflushopt_detect(void)
{
	unsigned int a, b = 0, c, d;

	/* leaf 7, EBX bit 23 */
	has_clflushopt = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 23));
}

void moat_flush_lines(const void *p, size_t len)
{
	const char *line = RTE_PTR_ALIGN_FLOOR(p, RTE_CACHE_LINE_SIZE);
	const char *end = (const char *)p + len;

	if (has_clflushopt)
		lines_flush_opt(line, end);
	else
		lines_flush_plain(line, end);
	/* Only a fence orders clflushopt before the store that tells the unit of these lines. */
	_mm_sfence();
}
