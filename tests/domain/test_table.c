/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The life of a table page below a domain. The software unit is told about every page that lib/pt
 * links and frees, and counts each walk that reads a freed page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <urcu-qsbr.h>

#include "moat_domain.h"
#include "moat_soft_unit.h"
#include "moat_softvtd.h"
#include "unit_args.h"

#define SID  MOAT_SID(0, 16, 0)
#define IOVA UINT64_C(0x40000000)
#define HALF (MOAT_2M_SIZE / 2)
#define FAR  (100 * MOAT_PAGE_SIZE) /* too far from the first page to be prefetched with it */

static struct moat_unit *unit;
static struct moat_softvtd *hw;
static struct moat_domain *domain;
static struct moat_lane *lane;
static uint8_t *mem;

static int set_up(void **state)
{
	struct moat_domain_conf conf = { .name = "test", .leaf_sizes = MOAT_LEAF_4K_ONLY };

	rcu_register_thread();
	if (moat_soft_unit_create("soft0", UNIT_ADVERSARY, &unit) != 0 ||
		moat_domain_create(unit, &conf, &domain) != 0) {
		print_error("%s\n", moat_error_text());
		return -1;
	}
	hw = moat_soft_unit_find("soft0");
	lane = moat_lane_open(domain);
	moat_lane_online(lane);
	mem = aligned_alloc(MOAT_2M_SIZE, MOAT_2M_SIZE);
	memset(mem, 0, MOAT_2M_SIZE);
	return moat_domain_attach(domain, SID);
}

static int tear_down(void **state)
{
	int rc = moat_lane_close(lane);

	rc |= moat_domain_destroy(domain);
	unit->ops->destroy(unit);
	free(mem);
	rcu_unregister_thread();
	return rc;
}

static void map_all(void)
{
	assert_int_equal(moat_lane_map(lane, IOVA, (uintptr_t)mem, mem, MOAT_2M_SIZE, MOAT_RW), 0);
}

static bool device_reads(uint64_t off)
{
	uint8_t byte;

	return moat_softvtd_dma_read(hw, SID, IOVA + off, &byte, 1) == 0;
}

static uint64_t stale_tables(void)
{
	struct moat_softvtd_stats stats;

	moat_softvtd_stats(hw, &stats);
	assert_int_equal(stats.stale_dma, stats.stale[MOAT_SOFTVTD_STALE_TABLE]);
	return stats.stale[MOAT_SOFTVTD_STALE_TABLE];
}

static void a_table_is_given_back_only_when_its_ticket_is_done(void **state)
{
	for (unsigned int i = 0; i < 20; i++) {
		map_all();
		assert_true(
			device_reads(0)); /* the unit caches the entry that points to the table */
		assert_int_equal(moat_lane_unmap(lane, IOVA, MOAT_2M_SIZE), 0);
		/* Nothing is invalidated yet, so the unit walks the table that was unlinked. */
		assert_false(device_reads(FAR));
		assert_int_equal(stale_tables(), 0);
		assert_int_equal(moat_lane_drain(lane), 0);
		/* Now the unit has dropped the table, and the page may become another table. */
		assert_false(device_reads(FAR));
		assert_int_equal(stale_tables(), 0);
	}
}

/* Shows without a mutant what the mutant of the test above shows: lib/pt itself reports pages to
 * the unit. */
static void a_page_given_back_too_early_is_noticed(void **state)
{
	struct moat_pt_freed freed = { 0 };

	map_all();
	assert_true(device_reads(0));
	/* call lib/pt directly, so that nothing is invalidated before the page returns to the
	 * pool */
	assert_int_equal(moat_pt_unmap(domain->pt, IOVA, MOAT_2M_SIZE, &freed, NULL), 0);
	assert_int_equal(freed.n, 1);
	moat_pt_pool_retire(unit->pool, &freed);
	assert_false(device_reads(FAR));
	assert_int_equal(stale_tables(), 1);
	/* A page that is allocated again is a table again. */
	urcu_qsbr_barrier();
	map_all();
	assert_int_equal(moat_lane_unmap(lane, IOVA, MOAT_2M_SIZE), 0);
	assert_int_equal(moat_lane_drain(lane), 0);
	map_all();
	assert_true(device_reads(0));
	assert_int_equal(stale_tables(), 1);
	assert_int_equal(moat_lane_unmap(lane, IOVA, MOAT_2M_SIZE), 0);
}

/* A request to these addresses is an interrupt, so a map of them has no effect. */
static void the_window_of_interrupts_cannot_be_mapped(void **state)
{
	static const struct moat_range over[] = {
		{ MOAT_MSI_BASE, MOAT_PAGE_SIZE },
		{ MOAT_MSI_BASE - MOAT_PAGE_SIZE, 2 * MOAT_PAGE_SIZE },
		{ MOAT_MSI_BASE + MOAT_MSI_SIZE - MOAT_PAGE_SIZE, HALF },
		{ MOAT_MSI_BASE - MOAT_PAGE_SIZE, MOAT_2M_SIZE },
	};
	static const uint64_t beside[] = { MOAT_MSI_BASE - HALF, MOAT_MSI_BASE + MOAT_MSI_SIZE };
	uint64_t hpa = (uintptr_t)mem;

	for (unsigned int i = 0; i < RTE_DIM(over); i++) {
		assert_int_equal(moat_lane_map(lane, over[i].iova, hpa, mem, over[i].len, MOAT_RW),
			-EINVAL);
		assert_non_null(strstr(moat_error_text(), "0xfee00000 and 0xfeefffff"));
	}
	assert_int_equal(moat_lane_stats(lane)->pages_mapped, 0);
	for (unsigned int i = 0; i < RTE_DIM(beside); i++) {
		assert_int_equal(moat_lane_map(lane, beside[i], hpa, mem, HALF, MOAT_RW), 0);
		assert_int_equal(moat_lane_unmap(lane, beside[i], HALF), 0);
	}
	assert_int_equal(moat_lane_drain(lane), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
		T(a_table_is_given_back_only_when_its_ticket_is_done),
		T(a_page_given_back_too_early_is_noticed),
		T(the_window_of_interrupts_cannot_be_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
