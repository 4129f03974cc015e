/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <rte_common.h>

#include "moat_iova.h"

#define PAGE MOAT_PAGE_SIZE

static struct moat_iova *space_of(uint64_t base, uint64_t limit)
{
	struct moat_iova *space = NULL;

	assert_int_equal(moat_iova_create(base, limit, &space), 0);
	return space;
}

static uint64_t free_bytes(struct moat_iova *space)
{
	struct moat_iova_stats s;

	moat_iova_stats(space, &s);
	return s.free_bytes;
}

static void a_space_must_not_begin_at_zero_nor_be_empty(void **state)
{
	struct moat_iova *space;

	assert_int_equal(moat_iova_create(0, PAGE, &space), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "null descriptor"));
	assert_int_equal(moat_iova_create(PAGE, PAGE, &space), -EINVAL);
	assert_int_equal(moat_iova_create(PAGE + 1, 4 * PAGE, &space), -EINVAL);
	assert_int_equal(moat_iova_create(PAGE, UINT64_C(1) << 58, &space), -EINVAL);
}

static void runs_are_aligned_to_their_size_up_to_2_mib(void **state)
{
	static const uint64_t pages[] = { 1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 100, 512, 513, 1024 };
	struct moat_iova *space = space_of(PAGE, UINT64_C(1) << 39);

	for (unsigned int i = 0; i < RTE_DIM(pages); i++) {
		uint64_t iova, align = PAGE;

		while (align < pages[i] * PAGE && align < MOAT_2M_SIZE)
			align <<= 1;
		assert_int_equal(moat_iova_alloc(space, NULL, pages[i] * PAGE, 0, &iova), 0);
		assert_int_equal(iova % align, 0);
		assert_true(iova >= PAGE && iova + pages[i] * PAGE <= UINT64_C(1) << 39);
	}
	moat_iova_destroy(space);
}

static void alignment_beyond_the_natural_is_kept(void **state)
{
	struct moat_iova *space = space_of(PAGE, UINT64_C(1) << 32);
	struct moat_iova_cache *cache = moat_iova_cache_create(space);
	uint64_t iova;

	assert_int_equal(moat_iova_alloc(space, cache, PAGE, MOAT_1G_SIZE, &iova), 0);
	assert_int_equal(iova % MOAT_1G_SIZE, 0);
	assert_int_equal(moat_iova_alloc(space, cache, PAGE, 3 * PAGE, &iova), -EINVAL);
	assert_int_equal(moat_iova_alloc(space, cache, PAGE, 512, &iova), -EINVAL);
	assert_int_equal(moat_iova_alloc(space, cache, PAGE + 1, 0, &iova), -EINVAL);
	assert_int_equal(moat_iova_alloc(space, cache, 0, 0, &iova), -EINVAL);
	moat_iova_cache_destroy(cache);
	moat_iova_destroy(space);
}

static void a_32_bit_space_hands_out_nothing_beyond_4_gib(void **state)
{
	struct moat_iova *space = space_of(MOAT_2M_SIZE, UINT64_C(1) << 32);
	uint64_t iova, n = 0;

	while (moat_iova_alloc(space, NULL, 64 * MOAT_2M_SIZE, 0, &iova) == 0) {
		assert_true(iova >= MOAT_2M_SIZE && iova + 64 * MOAT_2M_SIZE <= UINT64_C(1) << 32);
		n++;
	}
	assert_int_equal(n, 31); /* the first 2 MiB of one of the 32 are not free */
	moat_iova_destroy(space);
}

static void exhaustion_says_what_is_free_and_the_largest_run(void **state)
{
	struct moat_iova *space = space_of(PAGE, 9 * PAGE);
	uint64_t a, b, c;

	assert_int_equal(moat_iova_reserve(space, 4 * PAGE, PAGE), 0);
	assert_int_equal(moat_iova_alloc(space, NULL, 5 * PAGE, PAGE, &a), -ENOSPC);
	assert_non_null(strstr(moat_error_text(),
		"0x7000 bytes are free in 2 runs, the largest of 0x4000"));
	assert_int_equal(moat_iova_alloc(space, NULL, 4 * PAGE, PAGE, &a), 0);
	assert_int_equal(a, 5 * PAGE);
	assert_int_equal(moat_iova_alloc(space, NULL, 2 * PAGE, 0, &b), 0);
	assert_int_equal(b, 2 * PAGE);
	assert_int_equal(moat_iova_alloc(space, NULL, PAGE, 0, &c), 0);
	assert_int_equal(c, PAGE);
	assert_int_equal(moat_iova_alloc(space, NULL, PAGE, 0, &c), -ENOSPC);
	moat_iova_destroy(space);
}

static void a_reserved_range_is_taken_and_can_be_given_back(void **state)
{
	struct moat_iova *space = space_of(PAGE, 1024 * MOAT_2M_SIZE);
	uint64_t all = free_bytes(space);

	assert_int_equal(moat_iova_reserve(space, 0x10000000, 0x5000), 0);
	assert_int_equal(moat_iova_reserve(space, 0x10004000, 0x1000), -EBUSY);
	assert_int_equal(moat_iova_reserve(space, 0x0ffff000, 0x2000), -EBUSY);
	assert_int_equal(moat_iova_reserve(space, 0x0fff0000, 0x100000), -EBUSY);
	assert_int_equal(moat_iova_reserve(space, 0, 0x1000), -EINVAL);
	assert_int_equal(moat_iova_reserve(space, 1024 * MOAT_2M_SIZE - PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(free_bytes(space), all - 0x5000);
	assert_int_equal(moat_iova_free(space, NULL, 0x10000000, 0x5000), 0);
	assert_int_equal(free_bytes(space), all);
	moat_iova_destroy(space);
}

/* Small runs come from chunks. Pages that are free in a chunk can still be reserved, one by one. */
static void every_page_that_nobody_has_can_be_reserved(void **state)
{
	struct moat_iova *space = space_of(PAGE, 3 * MOAT_2M_SIZE);
	uint64_t a, b, got;
	unsigned int busy = 0;

	assert_int_equal(moat_iova_alloc(space, NULL, PAGE, 0, &a), 0);
	assert_int_equal(moat_iova_alloc(space, NULL, 4 * PAGE, 0, &b), 0);
	for (uint64_t iova = PAGE; iova < 3 * MOAT_2M_SIZE; iova += PAGE) {
		int rc = moat_iova_reserve(space, iova, PAGE);
		bool taken = iova == a || (iova >= b && iova < b + 4 * PAGE);

		assert_int_equal(rc, taken ? -EBUSY : 0);
		busy += rc != 0;
	}
	assert_int_equal(busy, 5);
	assert_int_equal(free_bytes(space), 0);
	assert_int_equal(moat_iova_alloc(space, NULL, PAGE, 0, &got), -ENOSPC);
	assert_int_equal(moat_iova_free(space, NULL, b, 4 * PAGE), 0);
	assert_int_equal(moat_iova_free(space, NULL, a, PAGE), 0);
	moat_iova_destroy(space);
}

static void what_was_not_given_is_not_taken_back(void **state)
{
	struct moat_iova *space = space_of(PAGE, UINT64_C(1) << 39);
	struct moat_iova_stats stats;
	uint64_t big, small, all = free_bytes(space);

	assert_int_equal(moat_iova_alloc(space, NULL, 100 * PAGE, 0, &big), 0);
	assert_int_equal(moat_iova_alloc(space, NULL, 4 * PAGE, 0, &small), 0);
	assert_int_equal(moat_iova_free(space, NULL, big, 99 * PAGE), -EINVAL);
	assert_int_equal(moat_iova_free(space, NULL, big + PAGE, 99 * PAGE), -EINVAL);
	assert_int_equal(moat_iova_free(space, NULL, small, 2 * PAGE), -EINVAL);
	assert_int_equal(moat_iova_free(space, NULL, small, 8 * PAGE), -EINVAL);
	assert_int_equal(moat_iova_free(space, NULL, small + 2 * PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(moat_iova_free(space, NULL, small + 1, 4 * PAGE), -EINVAL);
	assert_int_equal(moat_iova_free(space, NULL, UINT64_C(1) << 40, PAGE), -EINVAL);
	assert_int_equal(moat_iova_free(space, NULL, big, 100 * PAGE), 0);
	assert_int_equal(moat_iova_free(space, NULL, big, 100 * PAGE), -EINVAL);
	assert_int_equal(moat_iova_free(space, NULL, small, 4 * PAGE), 0);
	assert_int_equal(moat_iova_free(space, NULL, small, 4 * PAGE), -EINVAL);
	assert_int_equal(free_bytes(space), all);
	moat_iova_stats(space, &stats);
	assert_int_equal(stats.bad_frees, 9);
	moat_iova_destroy(space);
}

/* If a run is freed twice into a stock, the error is found when the stock returns it to the
 * space. */
static void a_double_free_into_stock_is_counted_and_left_out(void **state)
{
	struct moat_iova *space = space_of(PAGE, UINT64_C(1) << 39);
	struct moat_iova_cache *cache = moat_iova_cache_create(space);
	uint64_t iova, all = free_bytes(space);
	struct moat_iova_stats stats;

	assert_int_equal(moat_iova_alloc(space, cache, PAGE, 0, &iova), 0);
	assert_int_equal(moat_iova_free(space, cache, iova, PAGE), 0);
	moat_iova_free(space, cache, iova, PAGE);
	moat_iova_cache_destroy(cache);
	moat_iova_stats(space, &stats);
	assert_int_equal(stats.bad_frees, 1);
	assert_int_equal(stats.free_bytes, all);
	moat_iova_destroy(space);
}

static void consecutive_small_runs_of_an_lcore_are_neighbours(void **state)
{
	struct moat_iova *space = space_of(PAGE, UINT64_C(1) << 39);
	struct moat_iova_cache *cache = moat_iova_cache_create(space);
	uint64_t last, iova;
	unsigned int neighbours = 0;

	assert_int_equal(moat_iova_alloc(space, cache, PAGE, 0, &last), 0);
	for (unsigned int i = 1; i < 256; i++) {
		assert_int_equal(moat_iova_alloc(space, cache, PAGE, 0, &iova), 0);
		neighbours += iova == last + PAGE;
		last = iova;
	}
	assert_int_equal(neighbours, 255);
	moat_iova_cache_destroy(cache);
	moat_iova_destroy(space);
}

/* Before an lcore is refused, it returns its own stock to the space. */
static void stock_is_given_up_before_exhaustion_is_reported(void **state)
{
	struct moat_iova *space = space_of(MOAT_2M_SIZE, 2 * MOAT_2M_SIZE);
	struct moat_iova_cache *cache = moat_iova_cache_create(space);
	uint64_t iova, big;

	assert_int_equal(moat_iova_alloc(space, cache, PAGE, 0, &iova), 0);
	assert_int_equal(moat_iova_alloc(space, cache, 300 * PAGE, PAGE, &big), 0);
	assert_int_equal(moat_iova_free(space, cache, big, 300 * PAGE), 0);
	assert_int_equal(moat_iova_free(space, cache, iova, PAGE), 0);
	assert_int_equal(moat_iova_alloc(space, cache, MOAT_2M_SIZE, 0, &big), 0);
	assert_int_equal(big, MOAT_2M_SIZE);
	moat_iova_cache_destroy(cache);
	moat_iova_destroy(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_space_must_not_begin_at_zero_nor_be_empty),
		cmocka_unit_test(runs_are_aligned_to_their_size_up_to_2_mib),
		cmocka_unit_test(alignment_beyond_the_natural_is_kept),
		cmocka_unit_test(a_32_bit_space_hands_out_nothing_beyond_4_gib),
		cmocka_unit_test(exhaustion_says_what_is_free_and_the_largest_run),
		cmocka_unit_test(a_reserved_range_is_taken_and_can_be_given_back),
		cmocka_unit_test(every_page_that_nobody_has_can_be_reserved),
		cmocka_unit_test(what_was_not_given_is_not_taken_back),
		cmocka_unit_test(a_double_free_into_stock_is_counted_and_left_out),
		cmocka_unit_test(consecutive_small_runs_of_an_lcore_are_neighbours),
		cmocka_unit_test(stock_is_given_up_before_exhaustion_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
