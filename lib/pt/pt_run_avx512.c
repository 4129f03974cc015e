/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <immintrin.h>

#include "pt_internal.h"

#if PT_RUN_VECTOR

/*
 * Each instruction handles eight entries. Vector stores are aligned to 64 bytes, so a processor
 * splits them into four of 16 at worst (pt_run.h says why no entry is torn); the scalar variant
 * handles the entries before and behind. GCC emits vzeroupper before a return but not before a tail
 * call, so each function has an explicit one (pt_run.c).
 */

#define AVX512 __attribute__((target("avx512f,tune=icelake-server")))

/* Intel's processors before Ice Lake lower their clock for 512-bit instructions, which slows all
 * other work on the core. VBMI2, which is not used here, tells them apart: they lack it, and all
 * other processors with AVX-512 have it. */
static bool has_avx512(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vbmi2");
}

AVX512 static inline __m512i load(const uint64_t *e)
{
	return _mm512_loadu_si512(e);
}

AVX512 static unsigned int find_nonzero(const uint64_t *e, unsigned int n)
{
	unsigned int k = 0;

	for (; k + 16 <= n; k += 16) {
		__m512i a = _mm512_or_si512(load(e + k), load(e + k + 8));

		if (_mm512_test_epi64_mask(a, a) != 0)
			break;
	}
	_mm256_zeroupper();
	return k + pt_run_scalar.find_nonzero(e + k, n - k);
}

AVX512 static unsigned int find_zero(const uint64_t *e, unsigned int n)
{
	unsigned int k = 0;

	for (; k + 16 <= n; k += 16) {
		__m512i a = load(e + k), b = load(e + k + 8);

		if ((_mm512_testn_epi64_mask(a, a) | _mm512_testn_epi64_mask(b, b)) != 0)
			break;
	}
	_mm256_zeroupper();
	return k + pt_run_scalar.find_zero(e + k, n - k);
}

AVX512 static unsigned int find_no_leaf(const uint64_t *e, unsigned int n)
{
	const __m512i ps = _mm512_set1_epi64(MOAT_SS_PS);
	unsigned int k = 0;

	for (; k + 16 <= n; k += 16)
		if (_mm512_testn_epi64_mask(_mm512_and_si512(load(e + k), load(e + k + 8)), ps) !=
			0)
			break;
	_mm256_zeroupper();
	return k + pt_run_scalar.find_no_leaf(e + k, n - k);
}

AVX512 static void fill(uint64_t *e, unsigned int n, uint64_t first, uint64_t stride)
{
	const __m512i lanes = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
	unsigned int k = pt_run_head(e, n, 64);
	__m512i v, w, step;

	pt_run_scalar.fill(e, k, first, stride);
	v = _mm512_add_epi64(_mm512_set1_epi64((int64_t)(first + k * stride)),
		_mm512_mul_epu32(lanes, _mm512_set1_epi64((int64_t)stride)));
	w = _mm512_add_epi64(v, _mm512_set1_epi64((int64_t)(8 * stride)));
	step = _mm512_set1_epi64((int64_t)(16 * stride));
	for (; k + 16 <= n; k += 16) {
		_mm512_store_si512(e + k, v);
		_mm512_store_si512(e + k + 8, w);
		v = _mm512_add_epi64(v, step);
		w = _mm512_add_epi64(w, step);
	}
	if (k + 8 <= n) {
		_mm512_store_si512(e + k, v);
		k += 8;
	}
	_mm256_zeroupper();
	pt_run_scalar.fill(e + k, n - k, first + k * stride, stride);
}

AVX512 static void zero(uint64_t *e, unsigned int n)
{
	const __m512i zeros = _mm512_setzero_si512();
	unsigned int k = pt_run_head(e, n, 64);

	pt_run_scalar.zero(e, k);
	for (; k + 16 <= n; k += 16) {
		_mm512_store_si512(e + k, zeros);
		_mm512_store_si512(e + k + 8, zeros);
	}
	if (k + 8 <= n) {
		_mm512_store_si512(e + k, zeros);
		k += 8;
	}
	_mm256_zeroupper();
	pt_run_scalar.zero(e + k, n - k);
}

AVX512 static bool granules(struct moat_pt_granule *g, unsigned int n, uintptr_t table,
	uintptr_t delta)
{
	const __m512i v =
		_mm512_mask_set1_epi64(_mm512_set1_epi64((int64_t)delta), 0x55, (int64_t)table);
	unsigned int k = 0;
	bool moved = false;

	for (; k + 8 <= n; k += 8) {
		const uint64_t *p = (const uint64_t *)(const void *)(g + k);

		if ((_mm512_cmpneq_epi64_mask(load(p), v) |
			    _mm512_cmpneq_epi64_mask(load(p + 8), v)) != 0)
			moved |= pt_run_scalar.granules(g + k, 8, table, delta);
	}
	_mm256_zeroupper();
	return pt_run_scalar.granules(g + k, n - k, table, delta) || moved;
}

const struct pt_run_ops pt_run_avx512 = {
	.name = "avx512",
	.supported = has_avx512,
	.find_nonzero = find_nonzero,
	.find_zero = find_zero,
	.find_no_leaf = find_no_leaf,
	.fill = fill,
	.zero = zero,
	.granules = granules,
};

#endif /* PT_RUN_VECTOR */
