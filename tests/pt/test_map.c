/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The effect of each map and unmap on the tables.
 */
#include "moat_iotlb.h"
#include "pt_internal.h"
#include "pt_test.h"

static int setup(void **state)
{
	urcu_qsbr_register_thread();
	return moat_pt_pool_create(NULL, &pool);
}

static int teardown(void **state)
{
	struct moat_pt_pool_stats stats;

	moat_pt_pool_stats(pool, &stats);
	moat_pt_pool_destroy(pool);
	urcu_qsbr_unregister_thread();
	return stats.in_use != 0; /* every test must free every table page */
}

static void one_page_is_found_where_it_was_mapped_and_nowhere_else(void **state)
{
	struct moat_pt *pt = table(4, 48, 0);

	assert_int_equal(map(pt, 5 * P, 0x1234000, P, MOAT_RW), 0);
	assert_leaf(pt, 5 * P + 17, 0x1234011, MOAT_PAGE_SIZE, MOAT_RW);
	assert_unmapped(pt, 4 * P);
	assert_unmapped(pt, 6 * P);
	assert_unmapped(pt, MOAT_2M_SIZE + 5 * P);
	assert_usage(pt, 1, 3 * 2 + 1);
	assert_int_equal(unmap(pt, 5 * P, P, 0), 0);
	assert_unmapped(pt, 5 * P);
	moat_pt_destroy(pt);
}

static void every_leaf_snoops_where_the_unit_has_snoop_control(void **state)
{
	for (unsigned int snoop = 0; snoop < 2; snoop++) {
		const struct moat_pt_conf conf = { .pool = pool,
			.levels = 4,
			.leaf_sizes = MOAT_2M_SIZE | MOAT_1G_SIZE,
			.snoop = snoop };
		/* a page by the slow path, one by the fast path, a run, a page without an address,
		 * superpages */
		const struct {
			uint64_t iova, len;
			bool va;
		} c[] = { { 0, P, true }, { P, P, true }, { 8 * P, 16 * P, true },
			{ 64 * P, 2 * P, false }, { 2 * MOAT_2M_SIZE, MOAT_2M_SIZE, true },
			{ 4 * MOAT_2M_SIZE, 2 * MOAT_2M_SIZE, true },
			{ 8 * MOAT_2M_SIZE, MOAT_2M_SIZE, false },
			{ MOAT_1G_SIZE, MOAT_1G_SIZE, true } };
		struct moat_pt_leaf leaf;
		struct moat_pt *pt;

		assert_int_equal(moat_pt_create(&conf, &pt), 0);
		for (unsigned int i = 0; i < RTE_DIM(c); i++) {
			assert_int_equal(moat_pt_map(pt, c[i].iova, c[i].iova,
						 c[i].va ? (char *)VA_OFF + c[i].iova : NULL,
						 c[i].len, MOAT_RW, NULL),
				0);
			for (uint64_t off = 0; off < c[i].len; off += leaf.size) {
				assert_int_equal(moat_pt_walk(pt, c[i].iova + off, &leaf), 0);
				assert_int_equal(leaf.entry & MOAT_SS_SNP, snoop ? MOAT_SS_SNP : 0);
				assert_int_equal(leaf.hpa, c[i].iova + off);
			}
		}
		moat_pt_destroy(pt);
	}
}

static void mapping_a_mapped_page_names_it_and_changes_nothing(void **state)
{
	struct moat_pt *pt = table(3, 0, 0);
	uint64_t bad = 0;

	assert_int_equal(map(pt, 7 * P, 0x70000, P, MOAT_R), 0);
	assert_int_equal(moat_pt_map(pt, 7 * P, 0x1000, (void *)(7 * P), P, MOAT_R, &bad), -EEXIST);
	assert_int_equal(bad, 7 * P);
	/* across tables, with the bad page in the middle, with and without a virtual address */
	assert_int_equal(moat_pt_map(pt, 0, 0, NULL, 2 * MOAT_2M_SIZE, MOAT_R, &bad), -EEXIST);
	assert_int_equal(bad, 7 * P);
	assert_int_equal(moat_pt_map(pt, 2 * P, 0, (void *)(2 * P), 10 * P, MOAT_R, &bad), -EEXIST);
	assert_int_equal(bad, 7 * P);
	assert_non_null(strstr(moat_error_text(), "0x7000"));
	assert_leaf(pt, 7 * P, 0x70000, P, MOAT_R);
	assert_usage(pt, 1, 2 * 2 + 1);
	moat_pt_destroy(pt);
}

static void unmapping_an_unmapped_page_names_it_and_changes_nothing(void **state)
{
	struct moat_pt *pt = table(4, 48, MOAT_2M_SIZE);
	struct moat_pt_freed freed = { 0 };
	uint64_t bad = 0;

	assert_int_equal(moat_pt_unmap(pt, 3 * P, P, &freed, &bad), -ENOENT);
	assert_int_equal(bad, 3 * P);
	assert_int_equal(map(pt, 0, 0x10000000, 9 * P, MOAT_RW), 0);
	assert_int_equal(moat_pt_unmap(pt, 4 * P, 20 * P, &freed, &bad), -ENOENT);
	assert_int_equal(bad, 9 * P);
	assert_int_equal(moat_pt_unmap(pt, 9 * P, P, &freed, &bad), -ENOENT);
	assert_int_equal(bad, 9 * P);
	assert_int_equal(map(pt, MOAT_2M_SIZE - P, 0x20000000, P, MOAT_RW), 0);
	assert_int_equal(moat_pt_unmap(pt, MOAT_2M_SIZE - P, 2 * P, &freed, &bad), -ENOENT);
	assert_int_equal(bad, MOAT_2M_SIZE);
	assert_int_equal(freed.n, 0);
	assert_usage(pt, 10, 3 * 2 + 1);
	moat_pt_destroy(pt);
}

static void what_is_malformed_is_refused_with_its_values(void **state)
{
	struct moat_pt *pt = table(4, 32, MOAT_2M_SIZE);
	struct moat_pt_freed freed = { 0 };
	uint64_t bad;

	assert_int_equal(map(pt, 0x123, 0, P, MOAT_R), -EINVAL);
	assert_int_equal(moat_pt_map(pt, 0, 0x10, NULL, P, MOAT_R, &bad), -EINVAL);
	assert_int_equal(moat_pt_map(pt, 0, 0, (void *)1, P, MOAT_R, &bad), -EINVAL);
	assert_int_equal(map(pt, 0, 0, 0, MOAT_R), -EINVAL);
	assert_int_equal(map(pt, 0, 0, P + 1, MOAT_R), -EINVAL);
	assert_int_equal(map(pt, 0, 0, P, 0), -EINVAL);
	assert_int_equal(map(pt, 0, 0, P, 4), -EINVAL);
	assert_int_equal(map(pt, 0, UINT64_C(1) << 52, P, MOAT_R), -EINVAL);
	assert_int_equal(map(pt, 0, (UINT64_C(1) << 52) - P, 2 * P, MOAT_R), -EINVAL);
	assert_int_equal(map(pt, UINT64_C(1) << 32, 0, P, MOAT_R), -ERANGE);
	assert_int_equal(map(pt, (UINT64_C(1) << 32) - P, 0, 2 * P, MOAT_R), -ERANGE);
	assert_int_equal(map(pt, (UINT64_C(1) << 32) - P, 0, -P, MOAT_R), -ERANGE);
	assert_non_null(strstr(moat_error_text(), "0xffffffff"));
	assert_int_equal(moat_pt_unmap(pt, UINT64_C(1) << 32, P, &freed, &bad), -ERANGE);
	assert_int_equal(moat_pt_unmap(pt, 0, 0, &freed, &bad), -EINVAL);
	assert_int_equal(moat_pt_unmap(pt, 5, P, &freed, &bad), -EINVAL);
	assert_int_equal(map(pt, (UINT64_C(1) << 32) - P, 0, P, MOAT_R), 0);
	assert_int_equal(map(pt, 0, (UINT64_C(1) << 52) - P, P, MOAT_R), 0);
	moat_pt_destroy(pt);
}

static void levels_width_and_leaf_sizes_are_checked_at_creation(void **state)
{
	static const struct moat_pt_conf wrong[] = {
		{ .levels = 2 },
		{ .levels = 6 },
		{ .levels = 3, .width = 40 },
		{ .levels = 4, .width = 49 },
		{ .levels = 5, .width = 58 },
		{ .levels = 4, .width = 29 },
		{ .levels = 4, .leaf_sizes = P },
		{ .levels = 4, .format = (enum moat_pt_format)2 },
		{ .levels = 3, .format = MOAT_PT_FIRST_STAGE },
		{ .levels = 4, .width = 48, .format = MOAT_PT_FIRST_STAGE }, /* 47 at most */
		{ .levels = 5, .width = 57, .format = MOAT_PT_FIRST_STAGE },
	};

	for (unsigned int i = 0; i < RTE_DIM(wrong); i++) {
		struct moat_pt_conf conf = wrong[i];
		struct moat_pt *pt;

		conf.pool = pool;
		assert_int_equal(moat_pt_create(&conf, &pt), -EINVAL);
	}
}

static void leaves_are_as_large_as_addresses_length_and_unit_allow(void **state)
{
	struct moat_pt *pt = table(4, 48, MOAT_2M_SIZE | MOAT_1G_SIZE);
	uint64_t g = MOAT_1G_SIZE;

	/* 4K up to a 2M boundary, 2M up to a 1G boundary, 1G, and down again */
	assert_int_equal(map(pt, 2 * g - MOAT_2M_SIZE - P, 6 * g - MOAT_2M_SIZE - P,
				 P + MOAT_2M_SIZE + g + MOAT_2M_SIZE + P, MOAT_RW),
		0);
	assert_leaf(pt, 2 * g - MOAT_2M_SIZE - 1, 6 * g - MOAT_2M_SIZE - 1, P, MOAT_RW);
	assert_leaf(pt, 2 * g - 5, 6 * g - 5, MOAT_2M_SIZE, MOAT_RW);
	assert_leaf(pt, 2 * g + 77777, 6 * g + 77777, g, MOAT_RW);
	assert_leaf(pt, 3 * g + 7, 7 * g + 7, MOAT_2M_SIZE, MOAT_RW);
	assert_leaf(pt, 3 * g + MOAT_2M_SIZE, 7 * g + MOAT_2M_SIZE, P, MOAT_RW);
	assert_unmapped(pt, 3 * g + MOAT_2M_SIZE + P);
	/* with an address that is off by a page, or on a unit without the size: smaller ones */
	assert_int_equal(map(pt, 8 * g, 8 * g + P, MOAT_2M_SIZE, MOAT_R), 0);
	assert_leaf(pt, 8 * g, 8 * g + P, P, MOAT_R);
	moat_pt_destroy(pt);
	pt = table(4, 48, MOAT_2M_SIZE);
	assert_int_equal(map(pt, 0, 0, g, MOAT_R), 0);
	assert_leaf(pt, 0, 0, MOAT_2M_SIZE, MOAT_R);
	moat_pt_destroy(pt);
	pt = table(4, 48, MOAT_1G_SIZE);
	assert_int_equal(map(pt, 0, 0, MOAT_2M_SIZE, MOAT_R), 0);
	assert_leaf(pt, 0, 0, P, MOAT_R);
	moat_pt_destroy(pt);
}

static void an_empty_table_is_never_replaced_by_a_large_leaf(void **state)
{
	struct moat_pt *pt = table(3, 39, MOAT_2M_SIZE | MOAT_1G_SIZE);

	assert_int_equal(map(pt, 0, 0, P, MOAT_R), 0);
	assert_int_equal(unmap(pt, 0, P, 0), 0);
	assert_int_equal(map(pt, 0, 0, MOAT_1G_SIZE, MOAT_R), 0);
	assert_leaf(pt, 0, 0, P, MOAT_R);
	assert_leaf(pt, MOAT_2M_SIZE, MOAT_2M_SIZE, MOAT_2M_SIZE, MOAT_R);
	assert_int_equal(unmap(pt, 0, MOAT_1G_SIZE, 1 + 2), 0);
	/* after the page in the way is unmapped */
	assert_int_equal(map(pt, 0, 0, MOAT_1G_SIZE, MOAT_R), 0);
	assert_leaf(pt, 0, 0, MOAT_1G_SIZE, MOAT_R);
	moat_pt_destroy(pt);
}

static void a_part_of_a_large_leaf_cannot_be_unmapped(void **state)
{
	struct moat_pt *pt = table(4, 48, MOAT_2M_SIZE | MOAT_1G_SIZE);
	struct moat_pt_freed freed = { 0 };
	uint64_t bad = 0, m = MOAT_2M_SIZE;

	assert_int_equal(map(pt, m, m, 4 * m, MOAT_RW), 0);
	assert_int_equal(moat_pt_unmap(pt, 2 * m + P, P, &freed, &bad), -EINVAL);
	assert_int_equal(bad, 2 * m);
	assert_int_equal(moat_pt_unmap(pt, m, 2 * m + P, &freed, &bad), -EINVAL);
	assert_int_equal(bad, 3 * m);
	assert_int_equal(moat_pt_unmap(pt, m + P, 2 * m - P, &freed, &bad), -EINVAL);
	assert_int_equal(bad, m);
	assert_int_equal(map(pt, MOAT_1G_SIZE, 0, MOAT_1G_SIZE, MOAT_R), 0);
	assert_int_equal(moat_pt_unmap(pt, MOAT_1G_SIZE + m, m, &freed, &bad), -EINVAL);
	assert_int_equal(bad, MOAT_1G_SIZE);
	assert_usage(pt, 4 * 512 + 512 * 512, 3 * 2);
	assert_int_equal(unmap(pt, m, 4 * m, 0), 0);
	assert_int_equal(unmap(pt, MOAT_1G_SIZE, MOAT_1G_SIZE, 0), 0);
	assert_usage(pt, 0, 3 * 2);
	moat_pt_destroy(pt);
}

static void an_unmap_that_covers_a_table_hands_it_over(void **state)
{
	struct moat_pt *pt = table(5, 57, 0);

	assert_int_equal(map(pt, 0, 0, MOAT_2M_SIZE, MOAT_RW), 0);
	assert_usage(pt, 512, 4 * 2 + 1);
	assert_int_equal(unmap(pt, 0, MOAT_2M_SIZE, 1), 0);
	assert_usage(pt, 0, 4 * 2);
	/* three tables; the range covers all of the second and third */
	assert_int_equal(map(pt, 0, 0, 3 * MOAT_2M_SIZE, MOAT_RW), 0);
	assert_int_equal(unmap(pt, P, 3 * MOAT_2M_SIZE - P, 2), 0);
	assert_leaf(pt, 0, 0, P, MOAT_RW);
	/* a whole GiB: 511 new tables, the one that stayed, and the directory, which takes two
	 * pages */
	assert_int_equal(unmap(pt, 0, P, 0), 0);
	assert_int_equal(map(pt, 0, 0, MOAT_1G_SIZE, MOAT_RW), 0);
	assert_int_equal(unmap(pt, 0, MOAT_1G_SIZE, 512 + 2), 0);
	assert_usage(pt, 0, 3 * 2);
	moat_pt_destroy(pt);
}

/* Allocate chunks until *ctx of them are in use, at HPAs that differ from their virtual
 * addresses. */
static int few_chunks(void *ctx, size_t len, void **va, uint64_t *hpa)
{
	unsigned int *left = ctx;
	void *p;

	if ((*left)-- == 0) {
		*left = 0;
		return -ENOMEM;
	}
	p = aligned_alloc(len, len);
	memset(p, 0, len);
	*va = p;
	*hpa = (uintptr_t)p + (UINT64_C(1) << 50); /* differs from the virtual address */
	return 0;
}

static void free_chunk(void *ctx, void *va, size_t len)
{
	free(va);
}

static void without_memory_for_tables_nothing_is_mapped(void **state)
{
	unsigned int chunks = 1;
	struct moat_pt_mem mem = { few_chunks, free_chunk, &chunks };
	struct moat_pt_pool *small;
	struct moat_pt_conf conf = { .levels = 4, .coherent = true };
	struct moat_pt_leaf leaf;
	uint64_t mapped, pages;
	struct moat_pt *pt;

	assert_int_equal(moat_pt_pool_create(&mem, &small), 0);
	conf.pool = small;
	assert_int_equal(moat_pt_create(&conf, &pt), 0);
	assert_int_equal(moat_pt_map(pt, 0, 0, NULL, 2 * MOAT_1G_SIZE, MOAT_R, NULL), -ENOMEM);
	moat_pt_usage(pt, &mapped, &pages);
	assert_int_equal(mapped, 0);
	assert_int_equal(moat_pt_map(pt, 0, 0, NULL, MOAT_1G_SIZE / 2, MOAT_R, NULL), 0);
	assert_int_equal(moat_pt_walk(pt, MOAT_1G_SIZE / 2 - 1, &leaf), 0);
	assert_int_equal(leaf.hpa, MOAT_1G_SIZE / 2 - 1);
	assert_true(pt->root_hpa > UINT64_C(1) << 50);
	moat_pt_destroy(pt);
	moat_pt_pool_destroy(small);
}

static void tables_that_were_given_back_are_used_again(void **state)
{
	struct moat_pt *pt = table(4, 48, 0);
	struct moat_pt_pool_stats before = { 0 }, after;

	for (unsigned int i = 0; i < 2000; i++) {
		assert_int_equal(map(pt, 0, 0, 16 * MOAT_2M_SIZE, MOAT_R), 0);
		assert_int_equal(unmap(pt, 0, 16 * MOAT_2M_SIZE, 16), 0);
		if (i == 0)
			moat_pt_pool_stats(pool, &before);
	}
	moat_pt_pool_stats(pool, &after);
	assert_int_equal(after.stock + after.in_use, before.stock + before.in_use);
	assert_int_equal(after.in_use, 3 * 2);
	assert_int_equal(after.retired, 0);
	moat_pt_destroy(pt);
}

static void an_empty_table_costs_little(void **state)
{
	struct moat_pt *pt[100];
	struct moat_pt_pool_stats stats;

	for (unsigned int i = 0; i < RTE_DIM(pt); i++)
		pt[i] = table(4, 48, 0);
	moat_pt_pool_stats(pool, &stats);
	assert_int_equal(stats.in_use, 2 * RTE_DIM(pt));
	for (unsigned int i = 0; i < RTE_DIM(pt); i++)
		moat_pt_destroy(pt[i]);
}

/* A cache line of the processor's page-table entries maps 32 KiB, a page of them has 64 lines. See
 * window_spread(). */
static void windows_of_tables_do_not_share_few_lines_of_the_processors_tables(void **state)
{
	const uint8_t widths[] = { 48, 39 };

	for (unsigned int w = 0; w < RTE_DIM(widths); w++) {
		struct moat_pt *pt[64];
		uint64_t lines = 0; /* a bit for each line that has the first entry of a window */

		for (unsigned int i = 0; i < RTE_DIM(pt); i++) {
			pt[i] = table(4, widths[w], 0);
			assert_int_equal(map(pt[i], 256 * MOAT_1G_SIZE, 0, P, MOAT_R), 0);
			lines |= UINT64_C(1) << ((uintptr_t)pt[i]->granules >> 15 & 63);
		}
		assert_in_range(__builtin_popcountll(lines), 16, 64);
		for (unsigned int i = 0; i < RTE_DIM(pt); i++)
			moat_pt_destroy(pt[i]);
	}
}

static void a_window_is_small_and_grows_with_what_is_mapped(void **state)
{
	static const struct {
		uint64_t iova, nr;
	} step[] = { { 0, 512 }, { MOAT_1G_SIZE - P, 512 }, { MOAT_1G_SIZE, 1 << 15 },
		{ 63 * MOAT_1G_SIZE, 1 << 15 }, { 64 * MOAT_1G_SIZE, 1 << 27 },
		{ (UINT64_C(1) << 48) - P, 1 << 27 } };
	struct moat_pt *pt = table(4, 48, MOAT_2M_SIZE);

	if (pt->nr_granules != 512) { /* membarrier(2) is missing here */
		moat_pt_destroy(pt);
		skip();
	}
	for (unsigned int i = 0; i < RTE_DIM(step); i++) {
		assert_int_equal(map(pt, step[i].iova, 0, P, MOAT_R), 0);
		assert_int_equal(pt->nr_granules, step[i].nr);
	}
	for (unsigned int i = 0; i < RTE_DIM(step); i++)
		assert_int_equal(unmap(pt, step[i].iova, P, 0), 0);
	moat_pt_destroy(pt);
	/* limited by the width */
	pt = table(3, 33, 0);
	assert_int_equal(map(pt, 7 * MOAT_1G_SIZE, 0, P, MOAT_R), 0);
	assert_int_equal(pt->nr_granules, 4096);
	moat_pt_destroy(pt);
}

/* Alternately map pages of a leaf table and a superpage, each time at other addresses. */
static void one_view_is_enough(struct moat_pt *pt, struct moat_iotlb *tlb, uint64_t k)
{
	uint64_t iova = k % 8 * MOAT_2M_SIZE + MOAT_1G_SIZE / 2 * (k % 3 == 2), bad;
	void *va = (void *)(uintptr_t)((k + 1) * 1024 * MOAT_1G_SIZE + iova);
	struct moat_pt_freed freed = { 0 };

	assert_int_equal(moat_pt_map(pt, iova, k % 2 ? P : 0, va, MOAT_2M_SIZE, MOAT_R, &bad), 0);
	assert_ptr_equal(moat_iotlb_translate(tlb, iova + 5 * P + 1, 1, MOAT_R),
		(char *)va + 5 * P + 1);
	assert_int_equal(moat_pt_unmap(pt, iova, MOAT_2M_SIZE, &freed, &bad), 0);
	pt_pool_recycle(pool, &freed);
	assert_null(moat_iotlb_translate(tlb, iova + 5 * P + 1, 1, MOAT_R));
}

static void views_of_every_window_translate_alike(void **state)
{
	struct moat_pt *pt = table(4, 48, MOAT_2M_SIZE);
	struct moat_iotlb tlb[4];

	moat_iotlb_init(&tlb[0], pt);
	moat_iotlb_init(&tlb[3], pt); /* does not see the window grow before the last round */
	for (unsigned int i = 0; i < 3; i++) {
		for (unsigned int k = 0; k < 48; k++)
			for (unsigned int v = 0; v <= i; v++)
				one_view_is_enough(pt, &tlb[v], 5 * k + v);
		assert_int_equal(map(pt, MOAT_1G_SIZE << 4 * i, 0, P, MOAT_R), 0);
		if (i < 2)
			moat_iotlb_init(&tlb[i + 1], pt);
	}
	for (unsigned int k = 0; k < 48; k++)
		one_view_is_enough(pt, &tlb[3], k);
	moat_pt_destroy(pt);
}

static void a_leaf_table_is_unlinked_in_every_window(void **state)
{
	struct moat_pt *pt = table(4, 48, MOAT_2M_SIZE);
	const struct pt_window *w = &pt_impl(pt)->window;

	assert_int_equal(map(pt, 0, P, MOAT_2M_SIZE, MOAT_R), 0);
	assert_int_equal(map(pt, MOAT_2M_SIZE, P, MOAT_2M_SIZE, MOAT_R), 0);
	assert_int_equal(map(pt, 2 * MOAT_1G_SIZE, P, P, MOAT_R), 0);
	assert_int_equal(map(pt, 128 * MOAT_1G_SIZE, P, P, MOAT_R), 0);
	assert_int_equal(unmap(pt, 0, MOAT_2M_SIZE, 1), 0);
	for (; w != NULL; w = w->newer) {
		assert_int_equal(w->granules[0].table, 0);
		assert_int_not_equal(w->granules[1].table, 0);
		assert_int_equal(w->granules[1].delta, VA_OFF);
	}
	moat_pt_destroy(pt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		T(one_page_is_found_where_it_was_mapped_and_nowhere_else),
		T(every_leaf_snoops_where_the_unit_has_snoop_control),
		T(mapping_a_mapped_page_names_it_and_changes_nothing),
		T(unmapping_an_unmapped_page_names_it_and_changes_nothing),
		T(what_is_malformed_is_refused_with_its_values),
		T(levels_width_and_leaf_sizes_are_checked_at_creation),
		T(leaves_are_as_large_as_addresses_length_and_unit_allow),
		T(an_empty_table_is_never_replaced_by_a_large_leaf),
		T(a_part_of_a_large_leaf_cannot_be_unmapped),
		T(an_unmap_that_covers_a_table_hands_it_over),
		T(without_memory_for_tables_nothing_is_mapped),
		T(tables_that_were_given_back_are_used_again),
		T(an_empty_table_costs_little),
		T(windows_of_tables_do_not_share_few_lines_of_the_processors_tables),
		T(a_window_is_small_and_grows_with_what_is_mapped),
		T(views_of_every_window_translate_alike),
		T(a_leaf_table_is_unlinked_in_every_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
