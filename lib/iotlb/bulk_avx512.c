/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <cpuid.h>
#include <immintrin.h>

#include <rte_atomic.h>

#include "iotlb_bulk.h"

#define AVX512 __attribute__((target("avx512f,avx512dq,bmi,bmi2")))

/*
 * On Intel's processors since Sapphire Rapids, a gather is as fast as the loads that it replaces.
 * On earlier ones, microcode against gather data sampling ("Downfall") makes it far slower; AMD's
 * split it into several times as many operations. On both, avx2 with its scalar loads is faster.
 * Sapphire Rapids and later are recognised by AVX512-FP16, which is not used here.
 */
static bool has_fp16(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 23 & 1);
}

static bool has_avx512(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("bmi2") && has_fp16();
}

/* The gathers rely on this layout. */
_Static_assert(offsetof(struct moat_pt_granule, table) == 0 &&
		offsetof(struct moat_pt_granule, delta) == 8 &&
		sizeof(struct moat_pt_granule) == 16,
	"a granule is its table and its delta");

/* Values that are the same for all requests. */
struct common {
	const struct moat_pt_granule *granules;
	__m512i last; /* from a request's first byte to its last */
	__m512i end;  /* the first IOVA beyond the window */
	__m512i want; /* bits an entry must have */
};

/*
 * Translate up to eight requests, those in `exist`. Returns a bit for each that the index answers;
 * va[] is written for all in `exist`, and is meaningful only where the bit is set.
 *
 * Three gathers load the tables, deltas and entries, as moat_iotlb_index() does. Each element is 8
 * bytes, aligned, so it is read whole. The elements of one gather are read in any order, which does
 * not matter, because they belong to different requests. But a request's table must be read before
 * its delta, and the delta before the entry. x86 does not reorder loads, and gathers are not among
 * the exceptions ("memory ordering with other instructions follows the Intel-64 memory-ordering
 * model", Intel SDM volume 2, VPGATHERQQ); the barriers keep the compiler from reordering. Elements
 * that the mask leaves out are not read: no granule beyond the window, no entry without a table.
 */
AVX512 static inline __mmask8 eight(const struct common *c, const uint64_t iova[], __mmask8 exist,
	void *va[])
{
	const __m512i zero = _mm512_setzero_si512();
	const __m512i page = _mm512_set1_epi64((int64_t)MOAT_PT_TABLE);
	/* Computed as an integer: a test sets `granules` to NULL, and &NULL->delta is undefined. */
	const void *deltas =
		(const void *)((uintptr_t)c->granules + offsetof(struct moat_pt_granule, delta));
	__m512i v = _mm512_maskz_loadu_epi64(exist, iova), w = _mm512_add_epi64(v, c->last);
	__m512i granule, table, delta, entry, at;
	__mmask8 m;

	/* Plain: first and last byte differ in no bit above the page offset, and the last byte lies
	 * in the window. */
	m = _mm512_mask_testn_epi64_mask(exist, _mm512_xor_si512(v, w), page);
	m = _mm512_mask_cmplt_epu64_mask(m, w, c->end);
	/* (iova >> 21) * sizeof(struct moat_pt_granule) / 8 */
	granule = _mm512_and_si512(_mm512_srli_epi64(v, MOAT_2M_SHIFT - 1), _mm512_set1_epi64(~1));
	table = _mm512_mask_i64gather_epi64(zero, m, granule, c->granules, 8);
	rte_compiler_barrier(); /* table before delta */
	delta = _mm512_mask_i64gather_epi64(zero, m, granule, deltas, 8);
	rte_compiler_barrier(); /* delta before entry */
	_mm512_mask_storeu_epi64(va, exist, _mm512_add_epi64(v, delta));
	m = _mm512_mask_test_epi64_mask(m, table, table);
	/* The entry's index is the IOVA >> the shift in `table`; times 8, because the gather adds
	 * bytes. << 3 loses no bit, because IOVAs in the window have at most 48. */
	at = _mm512_srlv_epi64(_mm512_slli_epi64(v, 3),
		_mm512_and_si512(table, _mm512_set1_epi64((int64_t)MOAT_PT_SHIFT)));
	at = _mm512_and_si512(at, _mm512_set1_epi64(511 * 8));
	at = _mm512_or_si512(at, _mm512_and_si512(table, page));
	entry = _mm512_mask_i64gather_epi64(zero, m, at, NULL, 1);
	return _mm512_testn_epi64_mask(_mm512_andnot_si512(entry, c->want), c->want);
}

AVX512 static uint64_t bulk_avx512(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[])
{
	const struct common c = {
		.granules = tlb->granules,
		.last = _mm512_set1_epi64((int64_t)len - 1),
		.end = _mm512_set1_epi64((int64_t)(tlb->nr_granules << MOAT_2M_SHIFT)),
		.want = _mm512_set1_epi64((int64_t)((uint64_t)prot | MOAT_PT_LIN)),
	};
	/* acquire: deltas loaded below are no older than this count */
	uint64_t moves = atomic_load_explicit(&tlb->pt->moves, memory_order_acquire);
	uint64_t all = iotlb_bulk_all(n), hit = 0;
	unsigned int i = 0;

	for (; i + 8 <= n; i += 8)
		hit |= (uint64_t)eight(&c, &iova[i], UINT8_MAX, &va[i]) << i;
	if (i < n)
		hit |= (uint64_t)eight(&c, &iova[i], (__mmask8)((1u << (n - i)) - 1), &va[i]) << i;
	/* GCC emits no vzeroupper before a tail call (see bulk_avx2.c). */
	_mm256_zeroupper();
	rte_compiler_barrier(); /* the entries before `moves` again */
	/* relaxed: the barrier stops the compiler from reordering it, and x86 reorders no loads */
	if (unlikely(atomic_load_explicit(&tlb->pt->moves, memory_order_relaxed) != moves))
		return iotlb_bulk_scalar.fn(tlb, iova, len, n, prot, va);
	moat_counter_add(&tlb->hits, n);
	if (likely(hit == all))
		return all;
	return iotlb_bulk_rest(tlb, iova, len, n, prot, va, all & ~hit);
}

const struct iotlb_bulk iotlb_bulk_avx512 = { "avx512", has_avx512, bulk_avx512 };
