/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The memory of a domain: everything that becomes resident, of any part (tables, index of the
 * shadow IOTLB, IOVA space, readers). There are so many domains or pages that one huge page more or
 * less, which the kernel may give, does not matter.
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <urcu-qsbr.h>

#include "moat_domain.h"
#include "moat_slab.h"
#include "moat_soft_unit.h"
#include "must.h"

#define DOMAINS 1000u
#define PAGES   (UINT64_C(1) << 20) /* 2,048 full leaf tables */
#define BASE    UINT64_C(0x100000000)

static struct moat_unit *unit;

static uint64_t resident(void)
{
	unsigned long all = 0, here = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &all, &here), 2);
	fclose(f);
	return (uint64_t)here * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int setup(void **state)
{
	return moat_soft_unit_create("soft0", "oracle=0", &unit);
}

static int teardown(void **state)
{
	unit->ops->destroy(unit);
	return 0;
}

static void skip_under_sanitizers(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	print_message("skip: a sanitizer's shadow memory is resident, too\n");
	skip();
#endif
}

static void a_domain_with_nothing_mapped_takes_64_kib_at_most(void **state)
{
	struct moat_domain *domain[DOMAINS];
	struct moat_domain_conf conf = { .name = "empty", .leaf_sizes = UINT64_MAX };
	uint64_t before, each;

	skip_under_sanitizers();
	before = resident();
	for (unsigned int i = 0; i < DOMAINS; i++)
		must(moat_domain_create(unit, &conf, &domain[i]));
	each = (resident() - before) / DOMAINS;
	print_message("# %" PRIu64 " bytes a domain\n", each);
	for (unsigned int i = 0; i < DOMAINS; i++)
		must(moat_domain_destroy(domain[i]));
	assert_in_range(each, 1, 64 << 10);
}

static void a_lane_with_nothing_in_flight_takes_8_kib_at_most(void **state)
{
	enum { SOME = 50, LANES = 100 };
	struct moat_domain_conf conf = { .name = "lanes" };
	static struct moat_lane *lane[SOME][LANES];
	struct moat_domain *domain[SOME];
	uint64_t before, each;

	skip_under_sanitizers();
	for (unsigned int i = 0; i < SOME; i++) {
		must(moat_domain_create(unit, &conf, &domain[i]));
		/* the first lane allocates what all lanes of a domain share */
		lane[i][0] = moat_lane_open(domain[i]);
	}
	before = resident();
	for (unsigned int i = 0; i < SOME; i++) {
		for (unsigned int k = 1; k < LANES; k++) {
			lane[i][k] = moat_lane_open(domain[i]);
			assert_non_null(lane[i][k]);
			must(moat_lane_map(lane[i][k], BASE, 0, NULL, MOAT_PAGE_SIZE, MOAT_RW));
			must(moat_lane_unmap(lane[i][k], BASE, MOAT_PAGE_SIZE));
			must(moat_lane_drain(lane[i][k]));
		}
	}
	each = (resident() - before) / (SOME * (LANES - 1));
	print_message("# %" PRIu64 " bytes a lane\n", each);
	for (unsigned int i = 0; i < SOME; i++) {
		for (unsigned int k = 0; k < LANES; k++)
			must(moat_lane_close(lane[i][k]));
		must(moat_domain_destroy(domain[i]));
	}
	assert_in_range(each, 1, 8 << 10);
}

static void a_slab_gives_back_what_is_freed(void **state)
{
	enum { OBJECTS = 1000, SIZE = 16 << 10 };
	static struct moat_slab slab = { .size = SIZE };
	static uint8_t *object[OBJECTS];
	uint64_t before = resident();

	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < OBJECTS; i++) {
			object[i] = moat_slab_alloc(&slab);
			assert_non_null(object[i]);
			assert_int_equal((uintptr_t)object[i] % RTE_CACHE_LINE_SIZE, 0);
			for (unsigned int b = 0; b < SIZE; b++)
				assert_true(object[i][b] == 0);
			memset(object[i], 0x5a, SIZE);
			if (i % 7 == 3) { /* others take the place of freed objects */
				moat_slab_free(&slab, object[i / 2]);
				object[i / 2] = moat_slab_alloc(&slab);
				assert_non_null(object[i / 2]);
			}
		}
		for (unsigned int i = 0; i < OBJECTS; i++)
			moat_slab_free(&slab, object[i * 7 % OBJECTS]);
	}
	moat_slab_free(&slab, NULL);
	skip_under_sanitizers();
	/* of 16 MB at most one chunk stays */
	assert_in_range(resident() - before + MOAT_2M_SIZE, 0, 3 * MOAT_2M_SIZE);
}

/* @param apart neighbours in IOVA are not neighbours in memory: each page's address is stored
 * @param limit bytes for each page; 2 more are allowed for upper tables and a huge page of the
 * kernel's */
static void map_all(bool apart, uint64_t limit)
{
	struct moat_domain_conf conf = { .name = "full", .leaf_sizes = MOAT_LEAF_4K_ONLY };
	struct moat_domain *domain;
	struct moat_lane *lane;
	uint64_t before, milli;

	skip_under_sanitizers();
	must(moat_domain_create(unit, &conf, &domain));
	lane = moat_lane_open(domain);
	assert_non_null(lane);
	before = resident();
	for (uint64_t i = 0; i < PAGES; i++) {
		uint64_t at = (apart ? i ^ 1 : i) * MOAT_PAGE_SIZE;

		/* any address will do, because the memory is not accessed */
		must(moat_lane_map(lane, BASE + i * MOAT_PAGE_SIZE, BASE + at,
			(void *)(uintptr_t)(BASE + at), MOAT_PAGE_SIZE, MOAT_RW));
	}
	milli = (resident() - before) * 1000 / PAGES;
	print_message("# %" PRIu64 ".%03" PRIu64 " bytes a page\n", milli / 1000, milli % 1000);
	for (uint64_t i = 0; i < PAGES; i += 512) {
		while (moat_lane_unmap(lane, BASE + i * MOAT_PAGE_SIZE, MOAT_2M_SIZE) == -EAGAIN)
			moat_lane_poll(lane);
	}
	must(moat_lane_close(lane));
	must(moat_domain_destroy(domain));
	assert_in_range(milli, 1, (limit + 2) * 1000);
}

static void a_page_takes_8_bytes_where_memory_is_contiguous(void **state)
{
	map_all(false, 8);
}

static void a_page_takes_16_bytes_where_it_is_not(void **state)
{
	map_all(true, 16);
}

static int in(void **state)
{
	urcu_qsbr_register_thread();
	return 0;
}

static int out(void **state)
{
	urcu_qsbr_unregister_thread();
	return 0;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_domain_with_nothing_mapped_takes_64_kib_at_most),
		T(a_lane_with_nothing_in_flight_takes_8_kib_at_most),
		T(a_slab_gives_back_what_is_freed),
		T(a_page_takes_8_bytes_where_memory_is_contiguous),
		T(a_page_takes_16_bytes_where_it_is_not),
	};

	return cmocka_run_group_tests(tests, in, out);
}
