/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Entries bit by bit, with the numbers of the specification. The tests do not use lib/pt's names
 * for the bits. A table is read from its root, as the unit reads it.
 */
#include "pt_test.h"
#include "moat_iotlb.h"

#define BIT(n) (UINT64_C(1) << (n))

/* "Second-Stage Paging Entries": R 0, W 1, PS 7, and bits 61:52 are ignored. "First-Stage Paging
 * Entries": P 0, R/W 1, U/S 2, A 5, D 6, PS 7, EA 10, and bits 62:52 are ignored. */
#define SS_IGNORED (BIT(62) - BIT(52))
#define FS_IGNORED (BIT(63) - BIT(52))

struct expected {
	enum moat_pt_format format;
	unsigned int prot;
	uint64_t leaf, link;
};

static const struct expected expected[] = {
	{ MOAT_PT_SECOND_STAGE, MOAT_R, BIT(0), BIT(0) | BIT(1) },
	{ MOAT_PT_SECOND_STAGE, MOAT_W, BIT(1), BIT(0) | BIT(1) },
	{ MOAT_PT_SECOND_STAGE, MOAT_RW, BIT(0) | BIT(1), BIT(0) | BIT(1) },
	{ MOAT_PT_FIRST_STAGE, MOAT_R, BIT(0) | BIT(2) | BIT(5),
		BIT(0) | BIT(1) | BIT(2) | BIT(5) },
	{ MOAT_PT_FIRST_STAGE, MOAT_W, BIT(0) | BIT(1) | BIT(2) | BIT(5) | BIT(6),
		BIT(0) | BIT(1) | BIT(2) | BIT(5) },
	{ MOAT_PT_FIRST_STAGE, MOAT_RW, BIT(0) | BIT(1) | BIT(2) | BIT(5) | BIT(6),
		BIT(0) | BIT(1) | BIT(2) | BIT(5) },
};

static int setup(void **state)
{
	urcu_qsbr_register_thread();
	return moat_pt_pool_create(NULL, &pool);
}

static int teardown(void **state)
{
	moat_pt_pool_destroy(pool);
	urcu_qsbr_unregister_thread();
	return 0;
}

static struct moat_pt *formatted(enum moat_pt_format format, unsigned int levels)
{
	struct moat_pt_conf conf = {
		.pool = pool,
		.levels = levels,
		.leaf_sizes = MOAT_2M_SIZE | MOAT_1G_SIZE,
		.coherent = true,
		.format = format,
	};
	struct moat_pt *pt;

	assert_int_equal(moat_pt_create(&conf, &pt), 0);
	return pt;
}

/* @return the leaf of `level` at `iova`; every entry above it must be `link` and an address */
static uint64_t leaf_entry(const struct moat_pt *pt, uint64_t iova, unsigned int level,
	uint64_t link)
{
	/* a pool without memory functions has hpa = va */
	const uint64_t *table = (const uint64_t *)(uintptr_t)pt->root_hpa;

	for (unsigned int l = pt->levels; l > level; l--) {
		uint64_t entry = table[iova >> (12 + 9 * (l - 1)) & 511];

		assert_int_equal(entry & ~(BIT(52) - BIT(12)), link);
		table = (const uint64_t *)(uintptr_t)(entry & (BIT(52) - BIT(12)));
	}
	return table[iova >> (12 + 9 * (level - 1)) & 511];
}

/* Map a page of every size, with a virtual address and without. */
static void check_entries(const struct expected *e, unsigned int levels)
{
	struct moat_pt *pt = formatted(e->format, levels);
	const uint64_t hpa = BIT(51) | BIT(40); /* aligned to every size */

	for (unsigned int level = 1; level <= 3; level++) {
		uint64_t size = BIT(12 + 9 * (level - 1)), iova = level * BIT(39);
		uint64_t leaf = e->leaf | (level > 1 ? BIT(7) : 0) | hpa;

		assert_int_equal(moat_pt_map(pt, iova, hpa, NULL, size, e->prot, NULL), 0);
		assert_int_equal(leaf_entry(pt, iova, level, e->link), leaf);
		iova += BIT(38);
		assert_int_equal(map(pt, iova, hpa, size, e->prot), 0);
		assert_int_equal(leaf_entry(pt, iova, level, e->link), leaf | MOAT_PT_LIN);
		/* again, now by the fast paths, because the tables exist */
		assert_int_equal(unmap(pt, iova, size, 0), 0);
		assert_int_equal(leaf_entry(pt, iova, level, e->link), 0);
		assert_int_equal(map(pt, iova, hpa, size, e->prot), 0);
		assert_int_equal(leaf_entry(pt, iova, level, e->link), leaf | MOAT_PT_LIN);
	}
	/* a run */
	assert_int_equal(map(pt, BIT(38), hpa, 32 * P, e->prot), 0);
	for (unsigned int i = 0; i < 32; i++)
		assert_int_equal(leaf_entry(pt, BIT(38) + i * P, 1, e->link),
			e->leaf | (hpa + i * P) | MOAT_PT_LIN);
	moat_pt_destroy(pt);
}

static void entries_have_exactly_the_bits_of_their_format(void **state)
{
	for (unsigned int i = 0; i < RTE_DIM(expected); i++)
		for (unsigned int levels = 4; levels <= 5; levels++)
			check_entries(&expected[i], levels);
}

static void only_second_stage_leaves_have_a_snoop_bit(void **state)
{
	for (unsigned int format = 0; format < 2; format++) {
		const struct moat_pt_conf conf = {
			.pool = pool,
			.levels = 4,
			.coherent = true,
			.snoop = true,
			.format = (enum moat_pt_format)format,
		};
		struct moat_pt *pt;

		assert_int_equal(moat_pt_create(&conf, &pt), 0);
		assert_int_equal(map(pt, 0, 0, P, MOAT_R), 0);
		if (format == MOAT_PT_SECOND_STAGE)
			assert_int_equal(leaf_entry(pt, 0, 1, 0x3), BIT(0) | BIT(11) | MOAT_PT_LIN);
		else
			assert_int_equal(leaf_entry(pt, 0, 1, 0x27),
				BIT(0) | BIT(2) | BIT(5) | MOAT_PT_LIN);
		moat_pt_destroy(pt);
	}
}

static void the_linear_mark_is_in_a_bit_that_both_formats_ignore(void **state)
{
	assert_int_equal(__builtin_popcountll(MOAT_PT_LIN), 1);
	assert_int_equal(MOAT_PT_LIN & SS_IGNORED & FS_IGNORED, MOAT_PT_LIN);
}

static void poison_is_reserved_in_both_formats(void **state)
{
	/* bits 51:48: an address that no machine has */
	assert_int_equal(MOAT_PT_POISON & (BIT(52) - BIT(48)), BIT(52) - BIT(48));
	assert_int_equal(MOAT_PT_POISON & 3, 3); /* present, so the unit reads the other bits */
	assert_int_equal(MOAT_PT_POISON & MOAT_PT_LIN, 0);
}

static void first_stage_has_only_canonical_iovas_of_the_lower_half(void **state)
{
	for (unsigned int levels = 4; levels <= 5; levels++) {
		struct moat_pt *pt = formatted(MOAT_PT_FIRST_STAGE, levels);
		uint64_t limit = BIT(levels == 4 ? 47 : 56);

		assert_int_equal(pt->limit, limit);
		assert_int_equal(map(pt, limit, 0, P, MOAT_R), -ERANGE);
		assert_int_equal(map(pt, limit - P, 0, 2 * P, MOAT_R), -ERANGE);
		assert_int_equal(map(pt, limit - P, 0, P, MOAT_R), 0);
		moat_pt_destroy(pt);
	}
}

/* The permission that the shadow IOTLB checks is the permission that the unit finds. */
static void the_shadow_permits_what_the_entry_does(void **state)
{
	for (unsigned int i = 0; i < RTE_DIM(expected); i++) {
		const struct expected *e = &expected[i];
		struct moat_pt *pt = formatted(e->format, 4);
		bool reads = e->leaf & BIT(0), writes = e->leaf & BIT(1);
		uint64_t iova[4];
		struct moat_iotlb tlb;
		void *va[4];

		moat_iotlb_init(&tlb, pt);
		assert_int_equal(map(pt, 0, 0, 4 * P, e->prot), 0);
		for (unsigned int k = 0; k < 4; k++)
			iova[k] = k * P;
		assert_int_equal(!!moat_iotlb_translate(&tlb, 5, 1, MOAT_R), reads);
		assert_int_equal(!!moat_iotlb_translate(&tlb, 5, 1, MOAT_W), writes);
		assert_int_equal(!!moat_iotlb_translate(&tlb, 5, 1, MOAT_RW), reads && writes);
		assert_int_equal(moat_iotlb_translate_bulk(&tlb, iova, 64, 4, MOAT_R, va),
			reads ? 15 : 0);
		assert_int_equal(moat_iotlb_translate_bulk(&tlb, iova, 64, 4, MOAT_W, va),
			writes ? 15 : 0);
		moat_pt_destroy(pt);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		T(entries_have_exactly_the_bits_of_their_format),
		T(only_second_stage_leaves_have_a_snoop_bit),
		T(the_linear_mark_is_in_a_bit_that_both_formats_ignore),
		T(poison_is_reserved_in_both_formats),
		T(first_stage_has_only_canonical_iovas_of_the_lower_half),
		T(the_shadow_permits_what_the_entry_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
