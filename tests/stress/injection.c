/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Injected faults: the linker redirects calls between moat's layers to the functions here (--wrap
 * in meson.build). A fault affects one thread, for one operation.
 */

#include <errno.h>

#include "stress.h"

static __thread struct {
	enum injection what;
	unsigned int nth, n, failed;
} armed;

void inject(enum injection what, unsigned int nth, unsigned int n)
{
	static const char *const names[] = {
		[INJECT_MAP] = "inject_map",
		[INJECT_UNMAP] = "inject_unmap",
		[INJECT_SUBMIT] = "inject_submit",
		[INJECT_MEMORY] = "inject_memory",
	};

	armed.what = INJECT_NOTHING;
	if (what != INJECT_NOTHING && operation_is_on(names[what]))
		armed.what = what;
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

static bool fault_strikes(enum injection what)
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

int __real_moat_lane_map(struct moat_lane *lane, uint64_t iova, uint64_t hpa, void *va,
	uint64_t len, enum moat_prot prot);
int __wrap_moat_lane_map(struct moat_lane *lane, uint64_t iova, uint64_t hpa, void *va,
	uint64_t len, enum moat_prot prot);
int __wrap_moat_lane_map(struct moat_lane *lane, uint64_t iova, uint64_t hpa, void *va,
	uint64_t len, enum moat_prot prot)
{
	if (fault_strikes(INJECT_MAP))
		return moat_error(-ENOMEM, "no memory for a table page (injected)");
	return __real_moat_lane_map(lane, iova, hpa, va, len, prot);
}

int __real_moat_lane_unmap(struct moat_lane *lane, uint64_t iova, uint64_t len);
int __wrap_moat_lane_unmap(struct moat_lane *lane, uint64_t iova, uint64_t len);
int __wrap_moat_lane_unmap(struct moat_lane *lane, uint64_t iova, uint64_t len)
{
	if (fault_strikes(INJECT_UNMAP))
		return moat_error(-ENOMEM, "no memory for a batch of unmaps (injected)");
	return __real_moat_lane_unmap(lane, iova, len);
}

int64_t __real_moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n);
int64_t __wrap_moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n);
int64_t __wrap_moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n)
{
	if (fault_strikes(INJECT_SUBMIT))
		return -EAGAIN;
	return __real_moat_qi_submit(qi, desc, n);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
	return fault_strikes(INJECT_MEMORY) ? NULL : __real_calloc(n, size);
}

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return fault_strikes(INJECT_MEMORY) ? NULL : __real_aligned_alloc(alignment, size);
}
