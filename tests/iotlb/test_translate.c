/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The answers and counters of single look-ups.
 */
#include "iotlb_test.h"
#include "moat_iotlb.h"

#define assert_counts(tlb, h, m, f)                \
	do {                                       \
		assert_int_equal((tlb).hits, h);   \
		assert_int_equal((tlb).misses, m); \
		assert_int_equal((tlb).faults, f); \
	} while (0)

static void a_mapped_page_translates_with_each_permission_it_has(void **state)
{
	struct moat_pt *pt = table(4, 48, MOAT_2M_SIZE | MOAT_1G_SIZE);
	struct moat_iotlb tlb;

	moat_iotlb_init(&tlb, pt);
	assert_int_equal(map(pt, 0, 0, P, MOAT_R), 0);
	assert_int_equal(map(pt, P, P, P, MOAT_W), 0);
	assert_int_equal(map(pt, 2 * P, 0, P, MOAT_RW), 0);
	assert_ptr_equal(moat_iotlb_translate(&tlb, 12, 4, MOAT_R), VA_OFF + 12);
	assert_ptr_equal(moat_iotlb_translate(&tlb, P, P, MOAT_W), VA_OFF + P);
	assert_ptr_equal(moat_iotlb_translate(&tlb, 2 * P, P, MOAT_RW), VA_OFF + 2 * P);
	assert_ptr_equal(moat_iotlb_translate(&tlb, 3 * P - 1, 1, MOAT_R), VA_OFF + 3 * P - 1);
	assert_counts(tlb, 4, 0, 0);
	assert_null(moat_iotlb_translate(&tlb, 0, 4, MOAT_W));
	assert_null(moat_iotlb_translate(&tlb, 0, 4, MOAT_RW));
	assert_null(moat_iotlb_translate(&tlb, P, 4, MOAT_R));
	assert_null(moat_iotlb_translate(&tlb, 3 * P, 4, MOAT_R));
	assert_null(moat_iotlb_translate(&tlb, UINT64_C(1) << 50, 4, MOAT_R));
	assert_null(moat_iotlb_translate(&tlb, UINT64_MAX - 5, 4, MOAT_R));
	assert_null(moat_iotlb_translate(&tlb, UINT64_MAX - 5, 64, MOAT_R));
	assert_counts(tlb, 4, 0, 7);
	moat_pt_destroy(pt);
}

static void superpages_translate_by_the_index(void **state)
{
	struct moat_pt *pt = table(4, 48, MOAT_2M_SIZE | MOAT_1G_SIZE);
	uint64_t g = MOAT_1G_SIZE, m = MOAT_2M_SIZE;
	struct moat_iotlb tlb;

	moat_iotlb_init(&tlb, pt);
	assert_int_equal(map(pt, g - m, g - m, m + g, MOAT_R), 0);
	assert_leaf(pt, g, g, g, MOAT_R);
	assert_leaf(pt, g - m, g - m, m, MOAT_R);
	for (uint64_t iova = g - m; iova < 2 * g; iova += m / 2 + P)
		assert_ptr_equal(moat_iotlb_translate(&tlb, iova + 3, 8, MOAT_R),
			iova + VA_OFF + 3);
	assert_int_equal(tlb.misses + tlb.faults, 0);
	assert_null(moat_iotlb_translate(&tlb, g, 8, MOAT_W));
	/* the same IOVAs at another address, then as small pages, then gone */
	assert_int_equal(unmap(pt, g - m, m, 0), 0);
	assert_null(moat_iotlb_translate(&tlb, g - m, 8, MOAT_R));
	assert_int_equal(moat_pt_map(pt, g - m, g - m, (void *)P, m, MOAT_R, NULL), 0);
	assert_ptr_equal(moat_iotlb_translate(&tlb, g - m + 9, 8, MOAT_R), P + 9);
	assert_int_equal(unmap(pt, g - m, m, 0), 0);
	assert_int_equal(moat_pt_map(pt, g - m, P, (void *)P, m, MOAT_R, NULL), 0);
	assert_leaf(pt, g - m, P, P, MOAT_R);
	assert_ptr_equal(moat_iotlb_translate(&tlb, g - 1, 1, MOAT_R), P + m - 1);
	assert_int_equal(unmap(pt, g - m, m + g, 1), 0);
	assert_null(moat_iotlb_translate(&tlb, g - m, 8, MOAT_R));
	assert_null(moat_iotlb_translate(&tlb, g + m, 8, MOAT_R));
	moat_pt_destroy(pt);
}

static void a_request_across_pages_needs_all_of_them_contiguous(void **state)
{
	struct moat_pt *pt = table(3, 39, MOAT_2M_SIZE);
	struct moat_iotlb tlb;

	moat_iotlb_init(&tlb, pt);
	assert_int_equal(map(pt, 0, 0x100000, 4 * P, MOAT_RW), 0);
	assert_int_equal(map(pt, 4 * P, 0, P, MOAT_R), 0);
	assert_ptr_equal(moat_iotlb_translate(&tlb, P - 1, 2, MOAT_RW), VA_OFF + P - 1);
	assert_ptr_equal(moat_iotlb_translate(&tlb, 1, 4 * P - 1, MOAT_RW), VA_OFF + 1);
	assert_ptr_equal(moat_iotlb_translate(&tlb, 0, 5 * P, MOAT_R), VA_OFF);
	assert_counts(tlb, 3, 0, 0);
	assert_null(
		moat_iotlb_translate(&tlb, 3 * P, P + 1, MOAT_W)); /* the last page is read-only */
	assert_null(moat_iotlb_translate(&tlb, 4 * P, P + 1, MOAT_R)); /* ends beyond the pages */
	/* contiguous IOVAs at unrelated virtual addresses */
	assert_int_equal(moat_pt_map(pt, 5 * P, 0, (void *)0x7000000, P, MOAT_R, NULL), 0);
	assert_ptr_equal(moat_iotlb_translate(&tlb, 5 * P + 9, 9, MOAT_R), 0x7000009);
	assert_null(moat_iotlb_translate(&tlb, 5 * P - 1, 2, MOAT_R));
	/* the top of the address width */
	assert_int_equal(map(pt, (UINT64_C(1) << 39) - P, 0, P, MOAT_R), 0);
	assert_non_null(moat_iotlb_translate(&tlb, (UINT64_C(1) << 39) - 8, 8, MOAT_R));
	assert_null(moat_iotlb_translate(&tlb, (UINT64_C(1) << 39) - 8, 9, MOAT_R));
	/* from a superpage into another, and into a small page */
	assert_int_equal(map(pt, MOAT_1G_SIZE, 0, 2 * MOAT_2M_SIZE + P, MOAT_R), 0);
	assert_ptr_equal(
		moat_iotlb_translate(&tlb, MOAT_1G_SIZE + 5, 2 * MOAT_2M_SIZE + P - 5, MOAT_R),
		MOAT_1G_SIZE + VA_OFF + 5);
	assert_null(moat_iotlb_translate(&tlb, MOAT_1G_SIZE + 5, 2 * MOAT_2M_SIZE + P - 4, MOAT_R));
	moat_pt_destroy(pt);
}

static void pages_at_unrelated_addresses_need_no_walk_either(void **state)
{
	struct moat_pt *pt = table(4, 48, 0);
	struct moat_iotlb tlb;

	moat_iotlb_init(&tlb, pt);
	for (uint64_t i = 0; i < 512; i++)
		assert_int_equal(moat_pt_map(pt, i * P, 0,
					 (void *)((i * 7919 % 512 + 1) * 1024 * P), P, MOAT_R,
					 NULL),
			0);
	for (uint64_t i = 0; i < 512; i++)
		assert_ptr_equal(moat_iotlb_translate(&tlb, i * P + 5, 8, MOAT_R),
			(i * 7919 % 512 + 1) * 1024 * P + 5);
	assert_counts(tlb, 512, 0, 0);
	assert_usage(pt, 512, 3 * 2 + 2);
	assert_int_equal(unmap(pt, 0, MOAT_2M_SIZE, 2), 0);
	assert_usage(pt, 0, 3 * 2);
	moat_pt_destroy(pt);
}

static void a_page_without_a_virtual_address_is_refused_but_walked(void **state)
{
	struct moat_pt *pt = table(4, 48, MOAT_2M_SIZE);
	struct moat_pt_leaf leaf;
	struct moat_iotlb tlb;
	void *va;

	moat_iotlb_init(&tlb, pt);
	assert_int_equal(map(pt, 0, 0, P, MOAT_R), 0);
	assert_int_equal(moat_pt_map(pt, P, P, NULL, P, MOAT_R, NULL), 0);
	assert_int_equal(moat_pt_map(pt, MOAT_2M_SIZE, 0, NULL, MOAT_2M_SIZE, MOAT_R, NULL), 0);
	assert_null(moat_iotlb_translate(&tlb, P, 8, MOAT_R));
	assert_null(moat_iotlb_translate(&tlb, MOAT_2M_SIZE, 8, MOAT_R));
	assert_int_equal(tlb.faults, 2);
	assert_int_equal(moat_pt_walk_va(pt, P + 1, &leaf, &va), 0);
	assert_int_equal(leaf.hpa, P + 1);
	assert_null(va);
	/* a page whose array slot held an address before */
	assert_int_equal(moat_pt_map(pt, 2 * P, 0, (void *)(9 * P), P, MOAT_R, NULL), 0);
	assert_ptr_equal(moat_iotlb_translate(&tlb, 2 * P, 8, MOAT_R), 9 * P);
	assert_int_equal(unmap(pt, 2 * P, P, 0), 0);
	assert_int_equal(moat_pt_map(pt, 2 * P, 0, NULL, P, MOAT_R, NULL), 0);
	assert_null(moat_iotlb_translate(&tlb, 2 * P, 8, MOAT_R));
	moat_pt_destroy(pt);
}

static void iovas_beyond_the_window_take_the_walk(void **state)
{
	struct moat_pt *pt = table(5, 57, MOAT_2M_SIZE | MOAT_1G_SIZE);
	uint64_t high = UINT64_C(1) << 56, m = MOAT_2M_SIZE;
	struct moat_iotlb tlb;

	moat_iotlb_init(&tlb, pt);
	assert_int_equal(map(pt, high - m - P, (high - m - P) & MOAT_SS_ADDR, P + m, MOAT_R), 0);
	assert_ptr_equal(moat_iotlb_translate(&tlb, high - m - 5, 10, MOAT_R),
		high + VA_OFF - m - 5);
	assert_int_equal(moat_pt_map(pt, high, 0, (void *)P, 2 * m, MOAT_W, NULL), 0);
	assert_int_equal(moat_pt_map(pt, high + MOAT_1G_SIZE, 0, (void *)(5 * P), MOAT_1G_SIZE,
				 MOAT_W, NULL),
		0);
	assert_ptr_equal(moat_iotlb_translate(&tlb, high + 4, 8, MOAT_W), P + 4);
	assert_ptr_equal(moat_iotlb_translate(&tlb, high + m + 4, 8, MOAT_W), P + m + 4);
	assert_ptr_equal(moat_iotlb_translate(&tlb, high + MOAT_1G_SIZE + m, 8, MOAT_W), 5 * P + m);
	assert_counts(tlb, 0, 4, 0);
	assert_null(moat_iotlb_translate(&tlb, high + 4, 8, MOAT_R));
	assert_int_equal(unmap(pt, high, 2 * m, 0), 0);
	assert_null(moat_iotlb_translate(&tlb, high + 4, 8, MOAT_W));
	/* the same IOVAs as small pages: slots that held addresses of large leaves now link to
	 * tables */
	assert_int_equal(moat_pt_map(pt, high, P, (void *)P, 2 * m, MOAT_W, NULL), 0);
	assert_ptr_equal(moat_iotlb_translate(&tlb, high + m - 4, 8, MOAT_W), P + m - 4);
	moat_pt_destroy(pt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		T(a_mapped_page_translates_with_each_permission_it_has),
		T(superpages_translate_by_the_index),
		T(a_request_across_pages_needs_all_of_them_contiguous),
		T(pages_at_unrelated_addresses_need_no_walk_either),
		T(a_page_without_a_virtual_address_is_refused_but_walked),
		T(iovas_beyond_the_window_take_the_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
