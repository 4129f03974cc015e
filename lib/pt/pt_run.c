/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <immintrin.h>

#include "pt_internal.h"

/* ---------------------------------------------------------------------------------- scalar */

static bool always(void)
{
	return true;
}

static unsigned int scalar_find_nonzero(const uint64_t *e, unsigned int n)
{
	unsigned int k = 0;

	while (k < n && pt_load(&e[k]) == 0)
		k++;
	return k;
}

static unsigned int scalar_find_zero(const uint64_t *e, unsigned int n)
{
	unsigned int k = 0;

	while (k < n && pt_load(&e[k]) != 0)
		k++;
	return k;
}

static unsigned int scalar_find_no_leaf(const uint64_t *e, unsigned int n)
{
	unsigned int k = 0;

	while (k < n && (pt_load(&e[k]) & MOAT_SS_PS))
		k++;
	return k;
}

static void scalar_fill(uint64_t *e, unsigned int n, uint64_t first, uint64_t stride)
{
	for (unsigned int k = 0; k < n; k++)
		pt_store(&e[k], first + k * stride);
}

static void scalar_zero(uint64_t *e, unsigned int n)
{
	for (unsigned int k = 0; k < n; k++)
		pt_store(&e[k], 0);
}

static bool scalar_granules(struct moat_pt_granule *g, unsigned int n, uintptr_t table,
	uintptr_t delta)
{
	bool moved = false;

	for (unsigned int k = 0; k < n; k++) {
		/* relaxed: only the writer of this range, the calling thread, stores here */
		uintptr_t t = atomic_load_explicit(&g[k].table, memory_order_relaxed);

		if (atomic_load_explicit(&g[k].delta, memory_order_relaxed) != delta) {
			moved |= t == table;
			/* release: the entries that had the old delta were cleared before */
			atomic_store_explicit(&g[k].delta, delta, memory_order_release);
		}
		if (t != table)
			/* release: after the delta; the leaf itself is stored after both */
			atomic_store_explicit(&g[k].table, table, memory_order_release);
	}
	return moved;
}

const struct pt_run_ops pt_run_scalar = {
	.name = "scalar",
	.supported = always,
	.find_nonzero = scalar_find_nonzero,
	.find_zero = scalar_find_zero,
	.find_no_leaf = scalar_find_no_leaf,
	.fill = scalar_fill,
	.zero = scalar_zero,
	.granules = scalar_granules,
};

/* ------------------------------------------------------------------------------------ AVX2 */

#if PT_RUN_VECTOR
/* tune: without it some compilers split unaligned loads of 32 bytes into two of 16 */
#define AVX2 __attribute__((target("avx2,tune=haswell")))

static bool has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2");
}

AVX2 static inline __m256i load(const uint64_t *e)
{
	return _mm256_loadu_si256((const __m256i *)e);
}

/*
 * Every function here calls this before it calls the scalar function that does the rest. All other
 * code is SSE code. When processors change from AVX to SSE code, they save or merge upper halves of
 * registers that are not zero: some 100 cycles each time on AMD's. GCC emits vzeroupper before a
 * return, but not before a tail call.
 */
AVX2 static inline void leave_avx(void)
{
	_mm256_zeroupper();
}

/* Each search tests 16 entries at a time; the scalar search then finds the entry among them. The
 * scalar functions cannot be inlined, because they are not compiled for AVX. Most runs begin and
 * end with whole vectors and need no call. */

AVX2 static unsigned int avx2_find_nonzero(const uint64_t *e, unsigned int n)
{
	unsigned int k = 0;

	for (; k + 16 <= n; k += 16) {
		__m256i a = _mm256_or_si256(load(e + k), load(e + k + 4));
		__m256i b = _mm256_or_si256(load(e + k + 8), load(e + k + 12));

		a = _mm256_or_si256(a, b);
		if (!_mm256_testz_si256(a, a))
			break;
	}
	leave_avx();
	return likely(k == n) ? n : k + scalar_find_nonzero(e + k, n - k);
}

AVX2 static unsigned int avx2_find_zero(const uint64_t *e, unsigned int n)
{
	const __m256i zero = _mm256_setzero_si256();
	unsigned int k = 0;

	for (; k + 16 <= n; k += 16) {
		__m256i a = _mm256_or_si256(_mm256_cmpeq_epi64(load(e + k), zero),
			_mm256_cmpeq_epi64(load(e + k + 4), zero));
		__m256i b = _mm256_or_si256(_mm256_cmpeq_epi64(load(e + k + 8), zero),
			_mm256_cmpeq_epi64(load(e + k + 12), zero));

		a = _mm256_or_si256(a, b);
		if (!_mm256_testz_si256(a, a))
			break;
	}
	leave_avx();
	return likely(k == n) ? n : k + scalar_find_zero(e + k, n - k);
}

AVX2 static unsigned int avx2_find_no_leaf(const uint64_t *e, unsigned int n)
{
	const __m256i ps = _mm256_set1_epi64x(MOAT_SS_PS);
	unsigned int k = 0;

	for (; k + 16 <= n; k += 16) {
		__m256i a = _mm256_and_si256(load(e + k), load(e + k + 4));
		__m256i b = _mm256_and_si256(load(e + k + 8), load(e + k + 12));

		if (!_mm256_testc_si256(_mm256_and_si256(a, b), ps))
			break;
	}
	leave_avx();
	return likely(k == n) ? n : k + scalar_find_no_leaf(e + k, n - k);
}

AVX2 static void avx2_fill(uint64_t *e, unsigned int n, uint64_t first, uint64_t stride)
{
	unsigned int k = pt_run_head(e, n, 32);
	uint64_t next = first + k * stride;
	__m256i v, w, step;

	if (unlikely(k != 0))
		scalar_fill(e, k, first, stride);
	v = _mm256_set_epi64x((int64_t)(next + 3 * stride), (int64_t)(next + 2 * stride),
		(int64_t)(next + stride), (int64_t)next);
	w = _mm256_add_epi64(v, _mm256_set1_epi64x((int64_t)(4 * stride)));
	step = _mm256_set1_epi64x((int64_t)(8 * stride));
	for (; k + 8 <= n; k += 8) {
		_mm256_store_si256((__m256i *)(e + k), v);
		_mm256_store_si256((__m256i *)(e + k + 4), w);
		v = _mm256_add_epi64(v, step);
		w = _mm256_add_epi64(w, step);
	}
	leave_avx();
	if (unlikely(k != n))
		scalar_fill(e + k, n - k, first + k * stride, stride);
}

AVX2 static void avx2_zero(uint64_t *e, unsigned int n)
{
	const __m256i zero = _mm256_setzero_si256();
	unsigned int k = pt_run_head(e, n, 32);

	if (unlikely(k != 0))
		scalar_zero(e, k);
	for (; k + 8 <= n; k += 8) {
		_mm256_store_si256((__m256i *)(e + k), zero);
		_mm256_store_si256((__m256i *)(e + k + 4), zero);
	}
	leave_avx();
	if (unlikely(k != n))
		scalar_zero(e + k, n - k);
}

AVX2 static bool avx2_granules(struct moat_pt_granule *g, unsigned int n, uintptr_t table,
	uintptr_t delta)
{
	const __m256i v =
		_mm256_set_epi64x((int64_t)delta, (int64_t)table, (int64_t)delta, (int64_t)table);
	unsigned int k = 0;
	bool moved = false;

	/* Usually all hold these values already: compare eight, write only where one differs. */
	for (; k + 8 <= n; k += 8) {
		const uint64_t *p = (const uint64_t *)(const void *)(g + k);
		__m256i a = _mm256_or_si256(_mm256_xor_si256(load(p), v),
			_mm256_xor_si256(load(p + 4), v));
		__m256i b = _mm256_or_si256(_mm256_xor_si256(load(p + 8), v),
			_mm256_xor_si256(load(p + 12), v));

		a = _mm256_or_si256(a, b);
		if (!_mm256_testz_si256(a, a))
			moved |= scalar_granules(g + k, 8, table, delta);
	}
	leave_avx();
	return scalar_granules(g + k, n - k, table, delta) || moved;
}

static const struct pt_run_ops avx2 = {
	.name = "avx2",
	.supported = has_avx2,
	.find_nonzero = avx2_find_nonzero,
	.find_zero = avx2_find_zero,
	.find_no_leaf = avx2_find_no_leaf,
	.fill = avx2_fill,
	.zero = avx2_zero,
	.granules = avx2_granules,
};
#endif

const struct pt_run_ops *const pt_run_variants[] = {
#if PT_RUN_VECTOR
	&pt_run_avx512,
	&avx2,
#endif
	&pt_run_scalar,
	NULL,
};
const struct pt_run_ops *pt_run = &pt_run_scalar;

__attribute__((constructor)) static void choose(void)
{
	for (unsigned int i = 0; pt_run_variants[i] != NULL; i++) {
		if (pt_run_variants[i]->supported()) {
			pt_run = pt_run_variants[i];
			return;
		}
	}
}

const char *moat_pt_isa(void)
{
	return pt_run->name;
}
