/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <immintrin.h>

#include "iotlb_plain.h"

#define SSE42 __attribute__((target("sse4.2")))

static bool has_sse42(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("sse4.2");
}

/* Are all requests plain? As in bulk_avx2.c. */
SSE42 static inline bool all_plain(const struct moat_iotlb *tlb, const uint64_t iova[],
	uint32_t len, unsigned int n)
{
	const __m128i last = _mm_set1_epi64x((int64_t)len - 1);
	uint64_t beyond = ~((tlb->nr_granules << MOAT_2M_SHIFT) - 1);
	__m128i or_last = _mm_setzero_si128(), or_cross = or_last;
	unsigned int i = 0;

	if (unlikely(len - 1 >= MOAT_PAGE_SIZE || tlb->nr_granules == 0))
		return false;
	for (; i + 4 <= n; i += 4) {
		__m128i v = _mm_loadu_si128((const __m128i *)&iova[i]);
		__m128i v2 = _mm_loadu_si128((const __m128i *)&iova[i + 2]);
		__m128i w = _mm_add_epi64(v, last), w2 = _mm_add_epi64(v2, last);

		or_last = _mm_or_si128(or_last, _mm_or_si128(w, w2));
		or_cross = _mm_or_si128(or_cross,
			_mm_or_si128(_mm_xor_si128(v, w), _mm_xor_si128(v2, w2)));
	}
	for (; i < n; i++)
		if (!iotlb_is_plain(tlb, iova[i], len))
			return false;
	return _mm_testz_si128(or_last, _mm_set1_epi64x((int64_t)beyond)) &&
		_mm_testz_si128(or_cross, _mm_set1_epi64x((int64_t)MOAT_PT_TABLE));
}

SSE42 static uint64_t bulk_sse42(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[])
{
	if (unlikely(!all_plain(tlb, iova, len, n)))
		return iotlb_bulk_scalar.fn(tlb, iova, len, n, prot, va);
	return iotlb_plain(tlb, iova, len, IOTLB_GRANULE_SHIFT, MOAT_PAGE_MASK, n, prot, va);
}

const struct iotlb_bulk iotlb_bulk_sse42 = { "sse4.2", has_sse42, bulk_sse42 };
