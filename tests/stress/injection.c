/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Faults at will: calls between moat's layers, and from moat to DPDK, go through the functions here,
 * because the program's own definitions come before those of shared libraries. A fault is one thread's, and
 * lasts for one operation.
 */

#include <dlfcn.h>
#include <errno.h>

#include "stress.h"

static __thread struct {
	enum injection what;
	unsigned int nth, n, failed;
} armed;

void inject(enum injection what, unsigned int nth, unsigned int n)
{
	const char *name = what == INJECT_MAP ? "inject_map" : "inject_submit";

	armed.what = operation_is_on(name) ? what : INJECT_NOTHING;
	armed.nth = nth;
	armed.n = n;
	armed.failed = 0;
}

unsigned int inject_end(void)
{
	unsigned int failed = armed.what != INJECT_NOTHING ? armed.failed : 0;

	armed.what = INJECT_NOTHING;
	return failed;
}

static bool strikes(enum injection what)
{
	if (likely(armed.what != what))
		return false;
	if (armed.nth != 0) {
		armed.nth--;
		return false;
	}
	if (armed.n == 0)
		return false;
	armed.n--;
	armed.failed++;
	return true;
}

static __typeof__(&moat_lane_map) lane_map;
static __typeof__(&moat_qi_submit) qi_submit;

static void *behind(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	if (f == NULL)
		rte_panic("%s is in no shared library; the stress needs moat as one\n", name);
	return f;
}

static __attribute__((constructor)) void find_real_ones(void)
{
	lane_map = behind("moat_lane_map");
	qi_submit = behind("moat_qi_submit");
}

int moat_lane_map(struct moat_lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot)
{
	if (strikes(INJECT_MAP))
		return moat_error(-ENOMEM, "no memory for a table page (injected)");
	return lane_map(lane, iova, hpa, va, len, prot);
}

int64_t moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n)
{
	if (strikes(INJECT_SUBMIT))
		return -EAGAIN;
	return qi_submit(qi, desc, n);
}
