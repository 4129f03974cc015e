/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The allocator compared with a plain model that has one byte for each page. Handed out runs are
 * free, aligned and within the space; a refusal means that there is no such run; the free space is
 * the model's.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include <rte_common.h>

#include "moat_iova.h"

#define PAGE   MOAT_PAGE_SIZE
#define PAGES  (6 * 512 + 77)
#define BASE   UINT64_C(3) /* in pages; neither end of the space is aligned to 2 MiB */
#define RANGES 4096

static uint64_t seed;

static uint64_t rnd(uint64_t n)
{
	seed ^= seed << 13; /* xorshift64 (Marsaglia 2003) */
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

struct model {
	struct moat_iova *space;
	uint8_t taken[PAGES];
	uint64_t nr_taken;
	struct moat_range range[RANGES];
	unsigned int n;
};

static bool is_free(const struct model *m, uint64_t page, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		if (m->taken[page + i])
			return false;
	return true;
}

static bool has_room(const struct model *m, uint64_t pages, uint64_t align)
{
	uint64_t first = (BASE + align - 1) / align * align - BASE;

	for (uint64_t p = first; p + pages <= PAGES; p += align)
		if (is_free(m, p, pages))
			return true;
	return false;
}

static void mark(struct model *m, uint64_t iova, uint64_t len, bool taken)
{
	uint64_t page = iova / PAGE - BASE;

	assert_true(iova / PAGE >= BASE && page + len / PAGE <= PAGES);
	for (uint64_t i = 0; i < len / PAGE; i++) {
		assert_int_equal(m->taken[page + i], !taken);
		m->taken[page + i] = taken;
	}
	m->nr_taken += taken ? len / PAGE : -(len / PAGE);
}

static void keep(struct model *m, uint64_t iova, uint64_t len)
{
	mark(m, iova, len, true);
	m->range[m->n++] = (struct moat_range){ iova, len };
}

static uint64_t natural(uint64_t pages)
{
	uint64_t align = 1;

	while (align < pages && align < 512)
		align *= 2;
	return align;
}

static uint64_t random_pages(void)
{
	switch (rnd(4)) {
	case 0:
		return UINT64_C(1) << rnd(7);
	case 1:
		return 1 + rnd(70);
	case 2:
		return 1 + rnd(700);
	}
	return 1;
}

static void do_alloc(struct model *m)
{
	uint64_t pages = random_pages(), align = rnd(3) ? 0 : UINT64_C(1) << rnd(10), iova = 0;
	int rc = moat_iova_alloc(m->space, NULL, pages * PAGE, align * PAGE, &iova);

	if (align == 0)
		align = natural(pages);
	if (rc == -ENOSPC) {
		assert_false(has_room(m, pages, align));
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(iova / PAGE % align, 0);
	keep(m, iova, pages * PAGE);
}

static void do_free(struct model *m)
{
	unsigned int i = (unsigned int)rnd(m->n);
	struct moat_range r = m->range[i];

	if (rnd(8) == 0) /* in other pieces than it was allocated */
		assert_int_equal(moat_iova_free(m->space, NULL, r.iova, r.len + PAGE), -EINVAL);
	assert_int_equal(moat_iova_free(m->space, NULL, r.iova, r.len), 0);
	if (rnd(8) == 0)
		assert_int_equal(moat_iova_free(m->space, NULL, r.iova, r.len), -EINVAL);
	mark(m, r.iova, r.len, false);
	m->range[i] = m->range[--m->n];
}

static void do_reserve(struct model *m)
{
	uint64_t pages = random_pages(), page = rnd(PAGES - pages + 1);
	int rc = moat_iova_reserve(m->space, (BASE + page) * PAGE, pages * PAGE);

	assert_int_equal(rc, is_free(m, page, pages) ? 0 : -EBUSY);
	if (rc == 0)
		keep(m, (BASE + page) * PAGE, pages * PAGE);
}

static void check_counts(struct model *m)
{
	struct moat_iova_stats stats;
	uint64_t longest = 0, run = 0;

	moat_iova_stats(m->space, &stats);
	assert_int_equal(stats.free_bytes / PAGE, PAGES - m->nr_taken);
	for (uint64_t i = 0; i < PAGES; i++) {
		run = m->taken[i] ? 0 : run + 1;
		longest = RTE_MAX(longest, run);
	}
	assert_true(stats.largest_run / PAGE <= longest);
}

static void random_calls_agree_with_a_plain_model(void **state)
{
	static struct model m;
	struct moat_iova_stats stats;

	for (unsigned int round = 0; round < 12; round++) {
		memset(&m, 0, sizeof(m));
		assert_int_equal(moat_iova_create(BASE * PAGE, (BASE + PAGES) * PAGE, &m.space), 0);
		for (unsigned int i = 0; i < 4000; i++) {
			/* sometimes the space fills up, sometimes it empties */
			uint64_t fill = i / 500 % 2 ? 35 : 60, dice = rnd(100);

			if (dice < fill && m.n < RANGES)
				do_alloc(&m);
			else if (dice < 97 && m.n != 0)
				do_free(&m);
			else if (m.n < RANGES)
				do_reserve(&m);
			if (i % 64 == 0)
				check_counts(&m);
		}
		while (m.n != 0)
			do_free(&m);
		/* nothing is lost: the free runs have merged into one */
		assert_int_equal(moat_iova_reserve(m.space, BASE * PAGE, PAGES * PAGE), 0);
		moat_iova_stats(m.space, &stats);
		assert_int_equal(stats.free_bytes, 0);
		moat_iova_destroy(m.space);
	}
}

/* Long-term fragmentation in miniature: runs of mixed sizes are allocated and freed at 75 %
 * occupancy. A run of 32 MiB must still be free. */
static void churn_leaves_large_runs(void **state)
{
	const uint64_t limit = UINT64_C(1) << 32;
	static struct moat_range range[200000];
	struct moat_iova *space;
	struct moat_iova_stats stats;
	uint64_t used = 0, iova;
	unsigned int n = 0;

	assert_int_equal(moat_iova_create(MOAT_2M_SIZE, limit, &space), 0);
	for (unsigned int i = 0; i < 400000; i++) {
		uint64_t pages = rnd(50) ? UINT64_C(1) << rnd(7) : 1 + rnd(1500);

		if (n < RTE_DIM(range) && (used < limit / 4 * 3)) {
			assert_int_equal(moat_iova_alloc(space, NULL, pages * PAGE, 0, &iova), 0);
			range[n++] = (struct moat_range){ iova, pages * PAGE };
			used += pages * PAGE;
		} else {
			unsigned int k = (unsigned int)rnd(n);

			assert_int_equal(moat_iova_free(space, NULL, range[k].iova, range[k].len),
				0);
			used -= range[k].len;
			range[k] = range[--n];
		}
	}
	moat_iova_stats(space, &stats);
	print_message("# %u ranges, %" PRIu64 " MiB used; free %" PRIu64 " MiB in %" PRIu64
		      " runs, the largest of %" PRIu64 " MiB\n",
		n, used >> 20, stats.free_bytes >> 20, stats.runs, stats.largest_run >> 20);
	assert_true(stats.largest_run >= 16 * MOAT_2M_SIZE);
	moat_iova_destroy(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_calls_agree_with_a_plain_model),
		cmocka_unit_test(churn_leaves_large_runs),
	};
	const char *given = getenv("MOAT_SEED");

	seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	seed |= seed == 0;
	printf("# MOAT_SEED=%" PRIu64 "\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
