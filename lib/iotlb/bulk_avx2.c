/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <immintrin.h>

#include "iotlb_plain.h"

/* tune: without it some compilers split unaligned loads of 32 bytes into two of 16 */
#define AVX2 __attribute__((target("avx2,bmi,bmi2,tune=haswell")))

static bool has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

/* Are all requests plain? A request is not plain if the IOVA of its last byte has a bit above the
 * window set, or if its first and last byte differ in a bit above the page offset. */
AVX2 static inline bool all_plain(const struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n)
{
	const __m256i last = _mm256_set1_epi64x((int64_t)len - 1);
	uint64_t beyond = ~((tlb->nr_granules << MOAT_2M_SHIFT) - 1);
	__m256i or_last = _mm256_setzero_si256(), or_cross = or_last;
	unsigned int i = 0;
	bool plain;

	if (unlikely(len - 1 >= MOAT_PAGE_SIZE || tlb->nr_granules == 0))
		return false;
	for (; i + 8 <= n; i += 8) {
		__m256i v = _mm256_loadu_si256((const __m256i *)&iova[i]);
		__m256i v2 = _mm256_loadu_si256((const __m256i *)&iova[i + 4]);
		__m256i w = _mm256_add_epi64(v, last), w2 = _mm256_add_epi64(v2, last);

		or_last = _mm256_or_si256(or_last, _mm256_or_si256(w, w2));
		or_cross = _mm256_or_si256(or_cross,
			_mm256_or_si256(_mm256_xor_si256(v, w), _mm256_xor_si256(v2, w2)));
	}
	plain = _mm256_testz_si256(or_last, _mm256_set1_epi64x((int64_t)beyond)) &&
		_mm256_testz_si256(or_cross, _mm256_set1_epi64x((int64_t)MOAT_PT_TABLE));
	/* All that follows is scalar or SSE code, which would take some 100 cycles longer if upper
	 * halves of registers were not zero. GCC emits no vzeroupper before a tail call. */
	_mm256_zeroupper();
	for (; i < n; i++)
		if (!iotlb_is_plain(tlb, iova[i], len))
			return false;
	return plain;
}

/*
 * The loads are scalar: a gather of four costs more than four loads on the processors that have
 * AVX2 but not AVX-512.
 */
AVX2 static uint64_t bulk_avx2(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[])
{
	uint64_t shift = IOTLB_GRANULE_SHIFT, low = MOAT_PAGE_MASK;

	if (unlikely(!all_plain(tlb, iova, len, n)))
		return iotlb_bulk_scalar.fn(tlb, iova, len, n, prot, va);
	/* With both values in registers the compiler uses three-operand instructions, which save
	 * moves. The asm hides the values; otherwise the compiler would use immediates. */
	__asm__("" : "+r"(shift), "+r"(low));
	return iotlb_plain(tlb, iova, len, shift, low, n, prot, va);
}

const struct iotlb_bulk iotlb_bulk_avx2 = { "avx2", has_avx2, bulk_avx2 };
