/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The histogram compared with a sorted list of the same values. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "moat_hist.h"

#define VALUES 10000

static struct moat_hist hist, other;

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int empty(void **state)
{
	memset(&hist, 0, sizeof(hist));
	memset(&other, 0, sizeof(other));
	return 0;
}

static void an_empty_one_answers_zero(void **state)
{
	assert_true(moat_hist_quantile(&hist, 0.5) == 0);
}

static void one_value_is_every_quantile(void **state)
{
	moat_hist_add(&hist, 123456);
	assert_true(moat_hist_quantile(&hist, 0) == 123456);
	assert_true(moat_hist_quantile(&hist, 0.5) == 123456);
	assert_true(moat_hist_quantile(&hist, 1) == 123456);
}

static void small_values_are_exact(void **state)
{
	for (unsigned int i = 0; i < 100; i++)
		moat_hist_add(&hist, i);
	assert_true(moat_hist_quantile(&hist, 0.01) == 0);
	assert_true(moat_hist_quantile(&hist, 0.5) == 49);
	assert_true(moat_hist_quantile(&hist, 0.99) == 98);
	assert_true(moat_hist_quantile(&hist, 1) == 99);
	assert_int_equal(hist.sum, 4950);
}

static void every_value_has_a_bucket_and_buckets_are_in_order(void **state)
{
	unsigned int last = 0;

	for (uint64_t v = 1; v < UINT64_C(1) << 44; v += 1 + v / 500) {
		unsigned int b = moat_hist_bucket(v);

		assert_true(b == last || b == last + 1);
		last = b;
	}
	assert_in_range(moat_hist_bucket(UINT64_MAX), last, MOAT_HIST_BUCKETS - 1);
}

static void quantiles_are_within_a_hundredth(void **state)
{
	static uint64_t values[VALUES];
	static const double q[] = { 0.001, 0.1, 0.5, 0.9, 0.99, 0.999 };

	/* from 1 to 2^32, evenly distributed on a logarithmic scale */
	for (unsigned int i = 0; i < VALUES; i++) {
		values[i] = (uint64_t)exp2(32.0 * rand() / RAND_MAX);
		moat_hist_add(i % 2 ? &hist : &other, values[i]);
	}
	moat_hist_merge(&hist, &other);
	qsort(values, VALUES, sizeof(values[0]), by_value);
	assert_int_equal(hist.n, VALUES);
	assert_int_equal(hist.min, values[0]);
	assert_int_equal(hist.max, values[VALUES - 1]);
	for (unsigned int i = 0; i < RTE_DIM(q); i++) {
		double right = (double)values[(unsigned int)ceil(q[i] * VALUES) - 1];

		if (fabs(moat_hist_quantile(&hist, q[i]) - right) > 0.01 * right)
			fail_msg("quantile %g is %g instead of %g", q[i],
				moat_hist_quantile(&hist, q[i]), right);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_empty_one_answers_zero, empty),
		cmocka_unit_test_setup(one_value_is_every_quantile, empty),
		cmocka_unit_test_setup(small_values_are_exact, empty),
		cmocka_unit_test_setup(every_value_has_a_bucket_and_buckets_are_in_order, empty),
		cmocka_unit_test_setup(quantiles_are_within_a_hundredth, empty),
	};

	return cmocka_run_group_tests_name("distributions", tests, NULL, NULL);
}
