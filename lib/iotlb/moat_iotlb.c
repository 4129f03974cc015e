/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <immintrin.h>

#include "iotlb_bulk.h"

void moat_iotlb_init(struct moat_iotlb *tlb, const struct moat_pt *pt)
{
	*tlb = (struct moat_iotlb){
		.pt = pt,
		.granules = pt->granules,
		.nr_granules = pt->nr_granules,
	};
}

/* ------------------------------------------------------------------------------- slow path */

/* The virtual address at `iova`, and in `*left` how many bytes from there on the answer holds.
 * `*walked` is set where the index had none. */
static void *resolve(const struct moat_iotlb *tlb, uint64_t iova, enum moat_prot prot,
	uint64_t *left, bool *walked)
{
	struct moat_pt_leaf leaf;
	void *va;

	*left = MOAT_PAGE_SIZE - (iova & MOAT_PAGE_MASK);
	if (moat_iotlb_index(tlb, iova, prot, &va))
		return va;
	if (moat_pt_find(tlb->pt, iova, &leaf, &va, walked) != 0 ||
		(leaf.entry & prot) != (uint64_t)prot)
		return NULL;
	*left = leaf.size - (iova & (leaf.size - 1));
	return va;
}

void *moat_iotlb_translate_slow(struct moat_iotlb *tlb, uint64_t iova, uint32_t len,
	enum moat_prot prot)
{
	uint64_t left, done;
	bool walked = false;
	char *first = resolve(tlb, iova, prot, &left, &walked);

	/* A request ends where the address space does, and is contiguous in virtual memory. */
	if (first == NULL || (len > 0 && iova + len - 1 < iova))
		goto fault;
	for (done = left; done < len; done += left)
		if (resolve(tlb, iova + done, prot, &left, &walked) != first + done)
			goto fault;
	if (walked)
		tlb->misses++;
	else
		tlb->hits++;
	return first;
fault:
	tlb->faults++;
	return NULL;
}

/* ------------------------------------------------------------------------------------ bulk */

/* Requests one by one: also what the faster ways leave over. */
static uint64_t bulk_scalar(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[])
{
	uint64_t translated = 0;

	for (unsigned int i = 0; i < n; i++) {
		va[i] = moat_iotlb_translate(tlb, iova[i], len, prot);
		translated |= (uint64_t)(va[i] != NULL) << i;
	}
	return translated;
}

static bool always(void)
{
	return true;
}

/* tune: unaligned loads of 32 bytes whole, as every processor with AVX2 likes them */
#define AVX2 __attribute__((target("avx2,bmi,bmi2,tune=haswell")))

static bool has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

/* Does each request lie in the window and in one 4 KiB page? Then the index may be asked without
 * looking at either again. Two differences tell: a bit above the window in a last byte's IOVA, and a
 * bit above the page offset in which first and last byte differ. */
AVX2 static inline bool all_plain(const struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n)
{
	const __m256i last = _mm256_set1_epi64x((int64_t)len - 1);
	uint64_t beyond = ~((tlb->nr_granules << MOAT_2M_SHIFT) - 1);
	__m256i or_last = _mm256_setzero_si256(), or_cross = or_last;
	unsigned int i = 0;

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
	for (; i < n; i++)
		if (iova[i] >> MOAT_2M_SHIFT >= tlb->nr_granules ||
			(iova[i] & MOAT_PAGE_MASK) + len > MOAT_PAGE_SIZE)
			return false;
	return _mm256_testz_si256(or_last, _mm256_set1_epi64x((int64_t)beyond)) &&
		_mm256_testz_si256(or_cross, _mm256_set1_epi64x((int64_t)MOAT_PT_TABLE));
}

/* One request by the index; false where it has no answer. `shift` is 17 and `low` 4095: in registers,
 * so that the operations take three operands and no moves. */
AVX2 static inline bool index_one(const struct moat_pt_granule *granules, uint64_t iova,
	uint64_t shift, uint64_t low, uint64_t want, void **va)
{
	/* (iova >> 21) * sizeof(struct moat_pt_granule) */
	const struct moat_pt_granule *granule =
		(const struct moat_pt_granule *)((uintptr_t)granules +
			((iova >> shift) & ~UINT64_C(15)));
	/* acquire: before delta, as in moat_iotlb_index() */
	uintptr_t table = atomic_load_explicit(&granule->table, memory_order_acquire);
	uint64_t i = (iova >> (table & MOAT_PT_SHIFT)) & 511;

	/* iova += granule->delta. A load and an addition in one, which compilers do not make of an
	 * atomic load; behind the load before it and ahead of the one after it for the compiler by
	 * "memory", for the processor because x86 does not reorder loads. */
	__asm__ volatile("addq %1, %0" : "+r"(iova) : "m"(granule->delta) : "memory", "cc");
	*va = (void *)iova;
	if (unlikely(table == 0))
		return false;
	return likely(
		(want & ~__atomic_load_n((const uint64_t *)(table & ~low) + i, __ATOMIC_ACQUIRE)) ==
		0);
}

/* Up to four requests, some of which the index may not answer: a bit for each of those. */
AVX2 static __rte_noinline uint64_t index_some(const struct moat_pt_granule *granules,
	const uint64_t iova[], uint64_t want, void *va[], unsigned int n)
{
	uint64_t left = 0;

	for (unsigned int i = 0; i < n; i++)
		left |= (uint64_t)!index_one(granules, iova[i], 17, MOAT_PAGE_MASK, want, &va[i])
			<< i;
	return left;
}

/* All requests by the index: a bit for each that it does not answer. */
AVX2 static inline uint64_t index_all(const struct moat_pt_granule *granules, const uint64_t iova[],
	uint64_t want, void *va[], unsigned int n)
{
	uint64_t shift = 17, low = MOAT_PAGE_MASK, left = 0;
	unsigned int i = 0;

	__asm__("" : "+r"(shift), "+r"(low)); /* or they would become immediates again */
	for (; i + 4 <= n; i += 4) {
		const uint64_t *from = &iova[i];
		void **to = &va[i];

		if (unlikely(!(index_one(granules, from[0], shift, low, want, &to[0]) &&
			    index_one(granules, from[1], shift, low, want, &to[1]) &&
			    index_one(granules, from[2], shift, low, want, &to[2]) &&
			    index_one(granules, from[3], shift, low, want, &to[3]))))
			left |= index_some(granules, from, want, to, 4) << i;
	}
	if (i < n)
		left |= index_some(granules, &iova[i], want, &va[i], n - i) << i;
	return left;
}

/*
 * The checks of IOVA and length for all at once, then for each request the three loads of the
 * index, and `moves` instead of a second look at each delta. The loads are scalar: a gather of four
 * costs more than four loads on the processors that have AVX2 but not AVX-512.
 */
AVX2 static uint64_t bulk_avx2(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[])
{
	uint64_t left, moves;

	if (unlikely(!all_plain(tlb, iova, len, n)))
		return bulk_scalar(tlb, iova, len, n, prot, va);
	/* acquire: deltas loaded below are no older than this count */
	moves = atomic_load_explicit(&tlb->pt->moves, memory_order_acquire);
	left = index_all(tlb->granules, iova, (uint64_t)prot | MOAT_SS_LIN, va, n);
	/* relaxed: the acquires keep it behind the entries */
	if (unlikely(atomic_load_explicit(&tlb->pt->moves, memory_order_relaxed) != moves))
		return bulk_scalar(tlb, iova, len, n, prot, va);
	tlb->hits += n;
	if (likely(left == 0))
		return n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
	return iotlb_bulk_rest(tlb, iova, len, n, prot, va, left);
}

uint64_t iotlb_bulk_rest(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[], uint64_t left)
{
	uint64_t translated = n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;

	tlb->hits -= (unsigned int)__builtin_popcountll(left);
	for (; left != 0; left &= left - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(left);

		va[i] = moat_iotlb_translate_slow(tlb, iova[i], len, prot);
		if (va[i] == NULL)
			translated &= ~(UINT64_C(1) << i);
	}
	return translated;
}

const struct iotlb_bulk iotlb_bulk_variants[] = {
	{ "avx2", has_avx2, bulk_avx2 },
	{ "scalar", always, bulk_scalar },
	{ NULL, NULL, NULL },
};
static iotlb_bulk_fn *bulk = bulk_scalar;

__attribute__((constructor)) static void choose(void)
{
	const struct iotlb_bulk *v = iotlb_bulk_variants;

	while (!v->supported())
		v++;
	bulk = v->fn;
}

uint64_t moat_iotlb_translate_bulk(struct moat_iotlb *tlb, const uint64_t iova[], uint32_t len,
	unsigned int n, enum moat_prot prot, void *va[])
{
	return bulk(tlb, iova, len, n, prot, va);
}
