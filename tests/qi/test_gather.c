/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * From runs to descriptors: the invalidated pages include the unmapped ones, and are not many more.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "moat_qi.h"

static uint64_t seed;

static uint64_t rnd(uint64_t n)
{
	seed ^= seed << 13; /* xorshift64 (Marsaglia 2003) */
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static const struct moat_qi_caps caps18 = { .psi = true, .mamv = 18 };

static unsigned int encode(const struct moat_gather *g, const struct moat_qi_caps *caps,
	struct moat_qi_desc desc[], unsigned int max)
{
	unsigned int n;

	memset(desc, 0xee, (max + 1) * sizeof(desc[0]));
	n = moat_gather_encode(g, caps, 9, desc, max);
	assert_true(n <= max);
	assert_int_equal(desc[max].lo, 0xeeeeeeeeeeeeeeee); /* nothing beyond */
	return n;
}

static uint64_t first_of(struct moat_qi_desc d)
{
	return d.hi >> 12;
}

static uint64_t pages_of(struct moat_qi_desc d)
{
	return UINT64_C(1) << (d.hi & 0x3f);
}

static bool is_domain(struct moat_qi_desc d)
{
	return d.lo == moat_qi_iotlb_domain(9).lo && d.hi == 0;
}

static void neighbouring_runs_melt_into_one(void **state)
{
	struct moat_gather g = { 0 };
	struct moat_qi_desc d[5];

	assert_true(moat_gather_empty(&g));
	assert_int_equal(encode(&g, &caps18, d, 4), 0);
	for (unsigned int i = 0; i < 32; i++)
		moat_gather_add(&g, 0x100000 + i * 0x1000, 0x1000);
	for (unsigned int i = 0; i < 32; i++) /* also downwards */
		moat_gather_add(&g, 0xff000 - i * 0x1000, 0x1000);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.pages, 64);
	assert_int_equal(encode(&g, &caps18, d, 4), 2);
	assert_int_equal(first_of(d[0]), 0xe0);
	assert_int_equal(pages_of(d[0]), 32);
	assert_int_equal(first_of(d[1]), 0x100);
	assert_int_equal(pages_of(d[1]), 32);
	moat_gather_reset(&g);
	assert_true(moat_gather_empty(&g));
}

static void sixty_four_aligned_pages_are_one_descriptor(void **state)
{
	struct moat_gather g = { 0 };
	struct moat_qi_desc d[5];

	for (unsigned int i = 0; i < 64; i++)
		moat_gather_add(&g, 0x40000 + i * 0x1000, 0x1000);
	assert_int_equal(encode(&g, &caps18, d, 4), 1);
	assert_int_equal(d[0].lo, moat_qi_iotlb_page(9, 0x40000, 6, true).lo);
	assert_int_equal(d[0].hi, moat_qi_iotlb_page(9, 0x40000, 6, true).hi);
}

static void the_hint_is_clear_when_tables_went(void **state)
{
	struct moat_gather g = { 0 };
	struct moat_qi_desc d[5];

	moat_gather_add(&g, 0x40000, 0x1000);
	assert_int_equal(encode(&g, &caps18, d, 4), 1);
	assert_int_equal(d[0].hi, 0x40040);
	g.tables = true;
	assert_int_equal(encode(&g, &caps18, d, 4), 1);
	assert_int_equal(d[0].hi, 0x40000);
}

static void tables_alone_take_the_whole_domain(void **state)
{
	struct moat_gather g = { .tables = true };
	struct moat_qi_desc d[5];

	assert_int_equal(encode(&g, &caps18, d, 4), 1);
	assert_true(is_domain(d[0]));
}

static void without_page_selective_invalidation_it_is_the_domain(void **state)
{
	const struct moat_qi_caps none = { .psi = false, .mamv = 18 };
	struct moat_gather g = { 0 };
	struct moat_qi_desc d[5];

	moat_gather_add(&g, 0x40000, 0x1000);
	assert_int_equal(encode(&g, &none, d, 4), 1);
	assert_true(is_domain(d[0]));
}

static void too_many_runs_or_descriptors_are_the_domain(void **state)
{
	struct moat_gather g = { 0 };
	struct moat_qi_desc d[129];

	for (unsigned int i = 0; i < MOAT_GATHER_RUNS; i++)
		moat_gather_add(&g, 0x40000 + i * 0x2000, 0x1000);
	assert_int_equal(encode(&g, &caps18, d, 128), MOAT_GATHER_RUNS);
	assert_int_equal(encode(&g, &caps18, d, MOAT_GATHER_RUNS), MOAT_GATHER_RUNS);
	assert_int_equal(encode(&g, &caps18, d, MOAT_GATHER_RUNS - 1), 1);
	assert_true(is_domain(d[0]));
	moat_gather_add(&g, 0x40000 + MOAT_GATHER_RUNS * 0x2000, 0x1000);
	assert_true(g.whole);
	assert_int_equal(encode(&g, &caps18, d, 128), 1);
	assert_true(is_domain(d[0]));
}

/* The rules for one run: it is covered; each block is aligned and within MAMV; it is exact where
 * one or two blocks suffice; less than twice the run is invalidated; at most two descriptors are
 * used where MAMV allows, and never more than two besides whole blocks of 2^MAMV. */
static void check_run(uint64_t a, uint64_t pages, uint8_t mamv)
{
	const struct moat_qi_caps caps = { .psi = true, .mamv = mamv };
	struct moat_gather g = { 0 };
	struct moat_qi_desc d[129];
	uint64_t total = 0, next = a;
	unsigned int n;

	moat_gather_add(&g, a << 12, pages << 12);
	n = encode(&g, &caps, d, 128);
	if (is_domain(d[0])) {
		assert_true(pages >> mamv >= 126);
		return;
	}
	assert_true(n <= 2 + (pages > UINT64_C(1) << mamv ? pages >> mamv : 0));
	for (unsigned int i = 0; i < n; i++) { /* they are in order and do not overlap */
		assert_int_equal(d[i].lo, moat_qi_iotlb_page(9, 0, 0, true).lo);
		assert_true((d[i].hi & 0x3f) <= mamv);
		assert_int_equal(first_of(d[i]) % pages_of(d[i]), 0);
		assert_true(first_of(d[i]) <= next);
		next = first_of(d[i]) + pages_of(d[i]);
		total += pages_of(d[i]);
	}
	assert_true(next >= a + pages);
	assert_true(total < 2 * pages || total == pages);
	if ((pages & (pages - 1)) == 0 && a % pages == 0 && pages <= UINT64_C(1) << mamv)
		assert_true(n == 1 && total == pages);
}

/* @return whether two blocks, the largest first, make up the run; then the result must be exact */
static bool two_blocks(uint64_t a, uint64_t pages)
{
	for (uint64_t x = 1; x < pages; x *= 2) {
		uint64_t y = pages - x;

		if ((y & (y - 1)) == 0 && a % x == 0 && (a + x) % y == 0)
			return true;
	}
	return false;
}

static void every_short_run_is_covered_by_at_most_two_and_exactly_where_possible(void **state)
{
	for (uint64_t a = 0; a < 130; a++) {
		for (uint64_t pages = 1; pages < 140; pages++) {
			struct moat_gather g = { 0 };
			struct moat_qi_desc d[9];
			unsigned int n;
			uint64_t total = 0;

			check_run(a, pages, 18);
			check_run(a, pages, 3);
			check_run(a, pages, 0);
			moat_gather_add(&g, a << 12, pages << 12);
			n = encode(&g, &caps18, d, 8);
			assert_true(n <= 2);
			for (unsigned int i = 0; i < n; i++)
				total += pages_of(d[i]);
			if (two_blocks(a, pages))
				assert_int_equal(total, pages);
		}
	}
}

static void random_runs_are_covered_and_widened_less_than_twice(void **state)
{
	for (unsigned int i = 0; i < 200000; i++) {
		uint64_t pages = 1 + rnd(UINT64_C(1) << rnd(28));
		uint64_t a = rnd(UINT64_C(1) << (1 + rnd(44)));

		check_run(a, pages, (uint8_t)rnd(33));
	}
}

/* Many runs, as a lane gathers them: some descriptor covers each page that was added. */
static void random_gathers_are_covered(void **state)
{
	for (unsigned int round = 0; round < 3000; round++) {
		struct moat_gather g = { 0 };
		struct moat_qi_desc d[129];
		uint64_t page[256] = { 0 }, nr = 1 + rnd(256), total = 0,
			 span = UINT64_C(1) << (4 + rnd(20));
		unsigned int n;

		for (uint64_t i = 0; i < nr; i++) {
			page[i] = i != 0 && rnd(2) ? page[i - 1] + 1 : rnd(span);
			moat_gather_add(&g, page[i] << 12, 0x1000);
		}
		assert_int_equal(g.pages, nr);
		n = encode(&g, &caps18, d, 128);
		if (is_domain(d[0]))
			continue;
		for (unsigned int k = 0; k < n; k++)
			total += pages_of(d[k]);
		assert_true(total <= 2 * nr);
		for (uint64_t i = 0; i < nr; i++) {
			bool covered = false;

			for (unsigned int k = 0; k < n; k++)
				covered |= page[i] - first_of(d[k]) < pages_of(d[k]);
			assert_true(covered);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbouring_runs_melt_into_one),
		cmocka_unit_test(sixty_four_aligned_pages_are_one_descriptor),
		cmocka_unit_test(the_hint_is_clear_when_tables_went),
		cmocka_unit_test(tables_alone_take_the_whole_domain),
		cmocka_unit_test(without_page_selective_invalidation_it_is_the_domain),
		cmocka_unit_test(too_many_runs_or_descriptors_are_the_domain),
		cmocka_unit_test(
			every_short_run_is_covered_by_at_most_two_and_exactly_where_possible),
		cmocka_unit_test(random_runs_are_covered_and_widened_less_than_twice),
		cmocka_unit_test(random_gathers_are_covered),
	};
	const char *given = getenv("MOAT_SEED");

	seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	seed |= seed == 0;
	printf("# MOAT_SEED=%" PRIu64 "\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
