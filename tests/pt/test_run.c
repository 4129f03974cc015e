/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Runs of entries: with every instruction set the results must be those of the scalar code.
 */
#include "pt_test.h"
#include "../../lib/pt/pt_internal.h"

#define N 512u

static const struct pt_run_ops *scalar(void)
{
	unsigned int i = 0;

	while (pt_run_variants[i + 1] != NULL)
		i++;
	assert_string_equal(pt_run_variants[i]->name, "scalar");
	return pt_run_variants[i];
}

/* Call `check` for each variant that this machine has. */
static void each(void (*check)(const struct pt_run_ops *))
{
	for (unsigned int i = 0; pt_run_variants[i] != NULL; i++) {
		if (pt_run_variants[i]->supported())
			check(pt_run_variants[i]);
		else
			print_message("# %s: this processor lacks it, not tested\n",
				pt_run_variants[i]->name);
	}
}

/* Places and lengths: all short lengths at every alignment, then a sample of all. */
static void places(void (*check)(const struct pt_run_ops *, unsigned int, unsigned int),
	const struct pt_run_ops *ops)
{
	for (unsigned int at = 0; at < 8; at++)
		for (unsigned int n = 0; n < 70; n++)
			check(ops, at, n);
	for (unsigned int k = 0; k < 500; k++) {
		unsigned int at = rnd(N);

		check(ops, at, rnd(N - at + 1));
	}
	check(ops, 0, N);
}

static void find_at(const struct pt_run_ops *ops, unsigned int at, unsigned int n)
{
	static uint64_t e[N] __rte_aligned(64);
	unsigned int odd = at + (n ? rnd(n) : 0);

	/* set only the bits that are searched, in one entry, and the entries beside the range */
	memset(e, 0, sizeof(e));
	assert_int_equal(ops->find_nonzero(e + at, n), n);
	e[(at + n) % N] = e[(at + N - 1) % N] = 1;
	assert_int_equal(ops->find_nonzero(e + at, n), scalar()->find_nonzero(e + at, n));
	e[odd] = UINT64_C(1) << rnd(64);
	assert_int_equal(ops->find_nonzero(e + at, n), scalar()->find_nonzero(e + at, n));

	for (unsigned int i = 0; i < N; i++)
		e[i] = UINT64_C(1) << rnd(64);
	assert_int_equal(ops->find_zero(e + at, n), n);
	e[odd] = 0;
	assert_int_equal(ops->find_zero(e + at, n), n ? odd - at : 0);
	e[at + (n ? rnd(n) : 0)] = 0;
	assert_int_equal(ops->find_zero(e + at, n), scalar()->find_zero(e + at, n));

	for (unsigned int i = 0; i < N; i++)
		e[i] = MOAT_SS_PS | rnd(UINT64_MAX);
	assert_int_equal(ops->find_no_leaf(e + at, n), n);
	e[odd] &= ~MOAT_SS_PS;
	assert_int_equal(ops->find_no_leaf(e + at, n), n ? odd - at : 0);
}

static void check_find(const struct pt_run_ops *ops)
{
	places(find_at, ops);
}

static void every_variant_finds_the_same_entry(void **state)
{
	each(check_find);
}

static void write_at(const struct pt_run_ops *ops, unsigned int at, unsigned int n)
{
	static uint64_t e[N] __rte_aligned(64), expect[N];
	uint64_t first = rnd(UINT64_MAX), stride = rnd(2) ? MOAT_PAGE_SIZE : rnd(UINT32_MAX);

	for (unsigned int i = 0; i < N; i++)
		expect[i] = e[i] = rnd(UINT64_MAX);
	for (unsigned int i = 0; i < n; i++)
		expect[at + i] = first + i * stride;
	ops->fill(e + at, n, first, stride);
	assert_memory_equal(e, expect, sizeof(e));
	memset(expect + at, 0, n * sizeof(*e));
	ops->zero(e + at, n);
	assert_memory_equal(e, expect, sizeof(e));
}

static void check_write(const struct pt_run_ops *ops)
{
	places(write_at, ops);
}

static void every_variant_writes_the_same_entries_and_no_others(void **state)
{
	each(check_write);
}

static void granules_at(const struct pt_run_ops *ops, unsigned int at, unsigned int n)
{
	static struct moat_pt_granule g[N] __rte_aligned(64), expect[N];
	uintptr_t word = rnd(UINT64_MAX) * P | MOAT_2M_SHIFT, delta = rnd(UINT64_MAX) * P;
	unsigned int other = 1 + rnd(50); /* one in so many entries differs */
	bool moved = false;

	for (unsigned int i = 0; i < N; i++) {
		g[i].table = rnd(other) ? word : rnd(UINT64_MAX);
		g[i].delta = rnd(other) ? delta : rnd(UINT64_MAX);
		expect[i] = g[i];
	}
	for (unsigned int i = at; i < at + n; i++) {
		moved |= g[i].table == word && g[i].delta != delta;
		expect[i].table = word;
		expect[i].delta = delta;
	}
	assert_int_equal(ops->granules(g + at, n, word, delta), moved);
	assert_memory_equal(g, expect, sizeof(g));
}

static void check_granules(const struct pt_run_ops *ops)
{
	places(granules_at, ops);
}

static void every_variant_points_granules_at_the_same_leaves(void **state)
{
	each(check_granules);
}

static void the_best_variant_of_the_machine_is_in_use(void **state)
{
	unsigned int i = 0;

	while (!pt_run_variants[i]->supported())
		i++;
	assert_ptr_equal(pt_run, pt_run_variants[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_variant_finds_the_same_entry),
		cmocka_unit_test(every_variant_writes_the_same_entries_and_no_others),
		cmocka_unit_test(every_variant_points_granules_at_the_same_leaves),
		cmocka_unit_test(the_best_variant_of_the_machine_is_in_use),
	};

	rnd_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
