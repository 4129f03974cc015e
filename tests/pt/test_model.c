/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Random maps and unmaps compared with a plain array of pages, for every shape and both formats.
 */
#include "pt_test.h"
#include "moat_iotlb.h"

/* A window of 2 GiB, which each shape puts at a special place. */
#define WINDOW (2 * MOAT_1G_SIZE)
#define PAGES  (WINDOW / P)

struct model_page {
	uint64_t hpa, va;
	uint32_t size_shift; /* of the leaf; 0: not mapped */
	uint32_t prot;
};

struct shape {
	unsigned int levels, width;
	uint64_t leaf_sizes, base;
	bool coherent;
	enum moat_pt_format format;
};

static struct model_page *model;
static struct moat_pt *pt;
static uint64_t base;

/* @return what a page mapped with `prot` permits: first stage has no write-only pages */
static uint32_t permits(uint32_t prot)
{
	return pt->format == MOAT_PT_FIRST_STAGE && prot == MOAT_W ? MOAT_RW : prot;
}

static int setup(void **state)
{
	urcu_qsbr_register_thread();
	model = calloc(PAGES, sizeof(*model));
	return moat_pt_pool_create(NULL, &pool);
}

static int teardown(void **state)
{
	moat_pt_pool_destroy(pool);
	free(model);
	urcu_qsbr_unregister_thread();
	return 0;
}

/* Draw lengths and places that overlap each other and cross boundaries. */
static void pick(uint64_t *first, uint64_t *n)
{
	static const uint64_t grain[] = { 1, 8, 512, 512, 512 * 512 };
	uint64_t g = grain[rnd(5)];

	*first = rnd(PAGES / g) * g;
	*n = rnd(3) == 0 ? g : (1 + rnd(g == 1 ? 40 : 5)) * g;
	if (rnd(6) == 0)
		*first += rnd(3);
	if (*first + *n > PAGES)
		*n = PAGES - *first;
}

static void model_map(void)
{
	uint64_t first, n, k, bad = 0, hpa, va, expect_bad = UINT64_MAX;
	uint32_t prot = 1 + rnd(3);
	int ret;

	pick(&first, &n);
	hpa = rnd(3) == 0 ? rnd(1 << 20) * P : rnd(1 << 10) * MOAT_1G_SIZE + first * P;
	va = rnd(4) == 0 ? (1 + rnd(1 << 20)) * P : rnd(8) == 0 ? 0 : base + first * P + VA_OFF;
	for (k = 0; k < n && expect_bad == UINT64_MAX; k++)
		if (model[first + k].size_shift)
			expect_bad = base + (first + k) * P;
	ret = moat_pt_map(pt, base + first * P, hpa, (void *)va, n * P, prot, &bad);
	if (expect_bad != UINT64_MAX) {
		assert_int_equal(ret, -EEXIST);
		assert_int_equal(bad, expect_bad);
		return;
	}
	assert_int_equal(ret, 0);
	for (k = 0; k < n; k++) {
		struct moat_pt_leaf leaf;

		/* Leaf sizes are tested elsewhere: accept the size that was chosen. */
		assert_int_equal(moat_pt_walk(pt, base + (first + k) * P, &leaf), 0);
		assert_true(leaf.size <= n * P);
		model[first + k] = (struct model_page){ hpa + k * P, va ? va + k * P : 0,
			__builtin_ctzll(leaf.size), permits(prot) };
	}
}

static void model_unmap(void)
{
	uint64_t first, n, k, bad = 0, expect_bad = 0;
	struct moat_pt_freed freed = { 0 };
	int ret, expect = 0;

	pick(&first, &n);
	if (rnd(4) != 0 && model[first].size_shift) { /* search for a range whose unmap succeeds */
		for (; first > 0 && model[first - 1].size_shift && rnd(600); first--)
			;
		for (n = 1; first + n < PAGES && model[first + n].size_shift && rnd(2000); n++)
			;
	}
	for (k = 0; k < n && expect == 0;) {
		uint64_t iova = base + (first + k) * P, size, leaf;

		if (!model[first + k].size_shift) {
			expect = -ENOENT;
			expect_bad = iova;
			break;
		}
		size = UINT64_C(1) << model[first + k].size_shift;
		leaf = iova & ~(size - 1);
		if (leaf != iova || leaf + size > base + (first + n) * P) {
			expect = -EINVAL;
			expect_bad = leaf;
		}
		k += size / P;
	}
	ret = moat_pt_unmap(pt, base + first * P, n * P, &freed, &bad);
	assert_int_equal(ret, expect);
	if (ret != 0) {
		assert_int_equal(bad, expect_bad);
		assert_int_equal(freed.n, 0);
		return;
	}
	memset(&model[first], 0, n * sizeof(*model));
	if (rnd(2))
		moat_pt_pool_retire(pool, &freed);
	else
		pt_pool_recycle(pool, &freed);
}

static void check_page(struct moat_iotlb *tlb, uint64_t i)
{
	uint64_t iova = base + i * P + rnd(P);
	const struct model_page *m = &model[i];
	uint32_t prot = 1 + rnd(3);
	struct moat_pt_leaf leaf;
	void *va, *got = moat_iotlb_translate(tlb, iova, 1, prot);

	if (!m->size_shift) {
		assert_int_equal(moat_pt_walk_va(pt, iova, &leaf, &va), -ENOENT);
		assert_null(got);
		return;
	}
	assert_int_equal(moat_pt_walk_va(pt, iova, &leaf, &va), 0);
	assert_int_equal(leaf.hpa, m->hpa + iova % P);
	assert_int_equal(leaf.entry & MOAT_RW, m->prot);
	assert_int_equal(leaf.size, UINT64_C(1) << m->size_shift);
	assert_ptr_equal(va, m->va ? m->va + iova % P : 0);
	assert_ptr_equal(got, m->va && (m->prot & prot) == prot ? va : NULL);
}

static void check_all(struct moat_iotlb *tlb)
{
	uint64_t mapped = 0, in_table, pages;

	for (uint64_t i = 0; i < PAGES; i++) {
		mapped += model[i].size_shift != 0;
		if (i % 512 == 0 || i % 512 == 511 || rnd(64) == 0)
			check_page(tlb, i);
	}
	moat_pt_usage(pt, &in_table, &pages);
	assert_int_equal(in_table, mapped);
}

static void agrees(const struct shape *s)
{
	struct moat_pt_conf conf = {
		.pool = pool,
		.levels = s->levels,
		.width = s->width,
		.leaf_sizes = s->leaf_sizes,
		.coherent = s->coherent,
		.format = s->format,
	};
	struct moat_pt_pool_stats stats;
	struct moat_iotlb tlb;

	memset(model, 0, PAGES * sizeof(*model));
	base = s->base;
	assert_int_equal(moat_pt_create(&conf, &pt), 0);
	moat_iotlb_init(&tlb, pt);
	for (unsigned int step = 0; step < 1500; step++) {
		unsigned int what = rnd(20);
		uint64_t pages, mapped;

		if (what < 10)
			model_map();
		else
			model_unmap();
		for (unsigned int k = 0; k < 20; k++)
			check_page(&tlb, rnd(PAGES));
		urcu_qsbr_quiescent_state();
		if (step % 500 != 499)
			continue;
		check_all(&tlb);
		urcu_qsbr_barrier();
		moat_pt_usage(pt, &mapped, &pages);
		moat_pt_pool_stats(pool, &stats);
		assert_int_equal(stats.in_use, pages);
		assert_int_equal(stats.retired, 0);
	}
	moat_pt_destroy(pt);
	moat_pt_pool_stats(pool, &stats);
	assert_int_equal(stats.in_use, 0);
}

static void tables_agree_with_a_plain_model(void **state)
{
	const uint64_t both = MOAT_2M_SIZE | MOAT_1G_SIZE;
	const enum moat_pt_format second = MOAT_PT_SECOND_STAGE, first = MOAT_PT_FIRST_STAGE;
	const struct shape shapes[] = {
		{ 3, 32, MOAT_2M_SIZE, 0, true, second },
		{ 3, 39, both, (UINT64_C(1) << 39) - WINDOW, true, second },
		{ 4, 48, 0, 7 * MOAT_1G_SIZE, true, second },
		{ 4, 48, both, 511 * MOAT_1G_SIZE, true, second }, /* across two PDPs */
		{ 4, 48, both, (UINT64_C(1) << 48) - WINDOW, false, second },
		/* across the end of the granules */
		{ 5, 57, both, (UINT64_C(1) << 48) - MOAT_1G_SIZE, true, second },
		{ 5, 57, MOAT_2M_SIZE, (UINT64_C(1) << 57) - WINDOW, true, second },
		{ 4, 32, 0, 0, true, first },
		{ 4, 47, both, 511 * MOAT_1G_SIZE, true, first },
		{ 4, 47, both, (UINT64_C(1) << 47) - WINDOW, false, first },
		{ 5, 56, both, (UINT64_C(1) << 48) - MOAT_1G_SIZE, true, first },
		{ 5, 56, MOAT_2M_SIZE, (UINT64_C(1) << 56) - WINDOW, true, first },
	};

	for (unsigned int i = 0; i < RTE_DIM(shapes); i++) {
		pt_pool_poison(pool, i % 2);
		agrees(&shapes[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tables_agree_with_a_plain_model, setup, teardown),
	};

	rnd_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
