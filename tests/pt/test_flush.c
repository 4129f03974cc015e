/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * A unit that does not snoop sees only flushed lines: exactly the written lines must be flushed.
 */
#include "pt_test.h"
#include "../../lib/pt/pt_internal.h"

/* The unit's view: the memory of table pages at the last flush of each line. */
#define MAX_LINES 65536
static uintptr_t lines[MAX_LINES];
static unsigned int nr_lines;

/* The linker redirects lib/pt's calls of moat_flush_lines() to this file (tests/meson.build,
 * --wrap). */
void __real_moat_flush_lines(const void *p, size_t len);
void __wrap_moat_flush_lines(const void *p, size_t len);

void __wrap_moat_flush_lines(const void *p, size_t len)
{
	uintptr_t line = (uintptr_t)p & ~UINT64_C(63);

	assert_true(len > 0);
	for (; line < (uintptr_t)p + len; line += 64) {
		assert_true(nr_lines < MAX_LINES);
		lines[nr_lines++] = line;
	}
	__real_moat_flush_lines(p, len);
}

static int setup(void **state)
{
	nr_lines = 0;
	return moat_pt_pool_create(NULL, &pool);
}

static int teardown(void **state)
{
	moat_pt_pool_destroy(pool);
	return 0;
}

static struct moat_pt *stubborn(uint64_t leaf_sizes)
{
	struct moat_pt_conf conf = {
		.pool = pool,
		.levels = 4,
		.width = 48,
		.leaf_sizes = leaf_sizes,
	};
	struct moat_pt *pt;

	assert_int_equal(moat_pt_create(&conf, &pt), 0);
	return pt;
}

/* Were the lines of [p, p + len) flushed since the last call, each once, and no others? */
static void flushed_exactly(const void *p, size_t len)
{
	uintptr_t first = (uintptr_t)p / 64, last = ((uintptr_t)p + len - 1) / 64;

	assert_int_equal(nr_lines, last - first + 1);
	for (unsigned int i = 0; i < nr_lines; i++)
		assert_int_equal(lines[i] / 64, first + i);
	nr_lines = 0;
}

static uint64_t *leaf_table(struct moat_pt *pt, uint64_t iova)
{
	return (uint64_t *)(pt->granules[iova >> MOAT_2M_SHIFT].table & MOAT_PT_TABLE);
}

static void a_new_table_is_flushed_whole_before_it_is_linked(void **state)
{
	struct moat_pt *pt = stubborn(0);
	uint64_t *root = pt_impl(pt)->root, *pdp, *pd, *leaf;
	uintptr_t expect[3 * (64 + 1) + 1];
	unsigned int n = 0;

	flushed_exactly(root, P);
	assert_int_equal(map(pt, 0, 0, P, MOAT_R), 0);
	pdp = pt_child(root, 0);
	pd = pt_child(pdp, 0);
	leaf = pt_child(pd, 0);
	for (uint64_t *t = pdp, *parent = root; t != NULL; parent = t,
		      t = t == pdp ? pd
			: t == pd  ? leaf
				   : NULL) {
		for (unsigned int i = 0; i < 64; i++)
			expect[n++] = (uintptr_t)(t + 8 * i);
		expect[n++] = (uintptr_t)parent;
	}
	expect[n++] = (uintptr_t)leaf; /* the entry itself */
	assert_int_equal(nr_lines, n);
	assert_memory_equal(lines, expect, n * sizeof(*lines));
	moat_pt_destroy(pt);
}

static void mapping_and_unmapping_flush_the_lines_of_their_entries(void **state)
{
	struct moat_pt *pt = stubborn(MOAT_2M_SIZE);
	uint64_t *leaf, *pd;

	assert_int_equal(map(pt, 0, 0, P, MOAT_R), 0);
	leaf = leaf_table(pt, 0);
	pd = pt_page_of(leaf)->slot;
	for (unsigned int k = 0; k < 200; k++) {
		uint64_t first = 1 + rnd(510), n = 1 + rnd(511 - first);

		nr_lines = 0;
		assert_int_equal(map(pt, first * P, first * P, n * P, MOAT_RW), 0);
		flushed_exactly(&leaf[first], n * 8);
		assert_int_equal(unmap(pt, first * P, n * P, 0), 0);
		flushed_exactly(&leaf[first], n * 8);
	}
	assert_int_equal(moat_pt_map(pt, 7 * P, 0, (void *)(3 * P), P, MOAT_R, NULL), 0);
	flushed_exactly(&leaf[7], 8); /* the unit does not read virtual addresses */
	assert_int_equal(map(pt, 3 * MOAT_2M_SIZE, 0, 20 * MOAT_2M_SIZE, MOAT_R), 0);
	flushed_exactly(&pd[3], 20 * 8);
	assert_int_equal(unmap(pt, 3 * MOAT_2M_SIZE, 20 * MOAT_2M_SIZE, 0), 0);
	flushed_exactly(&pd[3], 20 * 8);
	moat_pt_destroy(pt);
}

static void unlinking_a_table_flushes_the_link(void **state)
{
	struct moat_pt *pt = stubborn(0);
	uint64_t *pd;

	assert_int_equal(map(pt, 0, 0, 2 * MOAT_2M_SIZE, MOAT_R), 0);
	pd = pt_page_of(leaf_table(pt, MOAT_2M_SIZE))->slot;
	nr_lines = 0;
	assert_int_equal(unmap(pt, MOAT_2M_SIZE, MOAT_2M_SIZE, 1), 0);
	assert_int_equal(nr_lines, 64 + 1);
	assert_int_equal(lines[64] / 64, (uintptr_t)pd / 64);
	assert_int_equal(*pd, 0);
	moat_pt_destroy(pt);
}

static void a_refused_call_flushes_nothing(void **state)
{
	struct moat_pt *pt = stubborn(0);

	assert_int_equal(map(pt, 0, 0, 8 * P, MOAT_R), 0);
	nr_lines = 0;
	assert_int_equal(map(pt, 7 * P, 0, 8 * P, MOAT_R), -EEXIST);
	assert_int_equal(unmap(pt, 0, 9 * P, 0), -ENOENT);
	assert_int_equal(nr_lines, 0);
	moat_pt_destroy(pt);
}

static void a_unit_that_snoops_costs_no_flush(void **state)
{
	struct moat_pt *pt = table(4, 48, MOAT_2M_SIZE);

	assert_int_equal(map(pt, 0, 0, 3 * MOAT_2M_SIZE + P, MOAT_R), 0);
	assert_int_equal(unmap(pt, 0, 3 * MOAT_2M_SIZE + P, 0), 0);
	assert_int_equal(nr_lines, 0);
	moat_pt_destroy(pt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		T(a_new_table_is_flushed_whole_before_it_is_linked),
		T(mapping_and_unmapping_flush_the_lines_of_their_entries),
		T(unlinking_a_table_flushes_the_link),
		T(a_refused_call_flushes_nothing),
		T(a_unit_that_snoops_costs_no_flush),
	};

	rnd_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
