/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The one invariant on the software unit: when a ticket is done, no device and no lcore can reach
 * the old mapping. The unit caches and prefetches everything that it may, and completes late.
 */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_pause.h>
#include <urcu-qsbr.h>

#include "moat_domain.h"
#include "moat_soft_unit.h"
#include "moat_softvtd.h"
#include "unit_args.h"

#define SID  MOAT_SID(0, 16, 0)
#define IOVA UINT64_C(0x40000000)

struct fixture {
	struct moat_unit *unit;
	struct moat_softvtd *hw;
	struct moat_domain *domain;
	struct moat_lane *lane;
	uint8_t *mem;
	size_t len;
};

static int set_up_with(void **state, const char *args)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct moat_domain_conf conf = { .name = "test", .leaf_sizes = UINT64_MAX };

	rcu_register_thread();
	if (moat_soft_unit_create("soft0", args, &f->unit) != 0 ||
		moat_domain_create(f->unit, &conf, &f->domain) != 0) {
		print_error("%s\n", moat_error_text());
		return -1;
	}
	f->hw = moat_soft_unit_find("soft0");
	f->lane = moat_lane_open(f->domain);
	moat_lane_online(f->lane);
	f->len = 4 * MOAT_2M_SIZE;
	f->mem = aligned_alloc(MOAT_2M_SIZE, f->len);
	memset(f->mem, 0x5a, f->len);
	*state = f;
	return moat_domain_attach(f->domain, SID);
}

static int set_up(void **state)
{
	return set_up_with(state, UNIT_ADVERSARY);
}

static uint64_t stale(struct fixture *f)
{
	struct moat_softvtd_stats stats;

	moat_softvtd_stats(f->hw, &stats);
	return stats.stale_dma + stats.early_reuse + stats.witness_errors;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int rc = moat_lane_close(f->lane);

	assert_int_equal(stale(f), 0);
	rc |= moat_domain_destroy(f->domain);
	f->unit->ops->destroy(f->unit);
	free(f->mem);
	free(f);
	rcu_unregister_thread();
	return rc;
}

static void map(struct fixture *f, uint64_t off, uint64_t len, enum moat_prot prot)
{
	assert_int_equal(moat_lane_map(f->lane, IOVA + off, (uintptr_t)f->mem + off, f->mem + off,
				 len, prot),
		0);
}

static bool device_writes(struct fixture *f, uint64_t off, uint8_t byte)
{
	return moat_softvtd_dma_write(f->hw, SID, IOVA + off, &byte, 1) == 0;
}

static bool device_reads(struct fixture *f, uint64_t off)
{
	uint8_t byte;

	return moat_softvtd_dma_read(f->hw, SID, IOVA + off, &byte, 1) == 0;
}

static void a_device_reaches_what_is_mapped_and_nothing_else(void **state)
{
	struct fixture *f = *state;

	map(f, 0, MOAT_PAGE_SIZE, MOAT_RW);
	assert_true(device_writes(f, 5, 0x77));
	assert_int_equal(f->mem[5], 0x77);
	assert_false(device_writes(f, MOAT_PAGE_SIZE, 0x77));
	assert_false(device_writes(f, MOAT_1G_SIZE, 0x77));
	assert_int_equal(f->mem[MOAT_PAGE_SIZE], 0x5a);
	assert_int_equal(moat_lane_unmap(f->lane, IOVA, MOAT_PAGE_SIZE), 0);
}

static void permissions_are_the_devices_and_the_shadows_alike(void **state)
{
	struct fixture *f = *state;

	map(f, 0, MOAT_PAGE_SIZE, MOAT_R);
	map(f, MOAT_PAGE_SIZE, MOAT_PAGE_SIZE, MOAT_W);
	assert_true(device_reads(f, 0));
	assert_false(device_writes(f, 0, 1));
	assert_true(device_writes(f, MOAT_PAGE_SIZE, 1));
	assert_false(device_reads(f, MOAT_PAGE_SIZE));
	assert_ptr_equal(moat_iotlb_translate(&f->lane->iotlb, IOVA + 8, 8, MOAT_R), f->mem + 8);
	assert_null(moat_iotlb_translate(&f->lane->iotlb, IOVA, 8, MOAT_W));
	assert_null(moat_iotlb_translate(&f->lane->iotlb, IOVA + MOAT_PAGE_SIZE, 8, MOAT_R));
	assert_int_equal(moat_lane_unmap(f->lane, IOVA, 2 * MOAT_PAGE_SIZE), 0);
}

static void after_the_ticket_the_device_reaches_nothing(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 2000; i++) {
		uint64_t off = (i % 64) * MOAT_PAGE_SIZE;
		moat_ticket_t ticket;

		map(f, off, MOAT_PAGE_SIZE, MOAT_RW);
		assert_true(device_writes(f, off, (uint8_t)i));
		assert_int_equal(moat_lane_unmap(f->lane, IOVA + off, MOAT_PAGE_SIZE), 0);
		ticket = moat_lane_flush(f->lane);
		assert_true(ticket > 1);
		while (!moat_lane_done(f->lane, ticket))
			moat_lane_poll(f->lane);
		f->mem[off] = 0xee;
		assert_false(device_writes(f, off, 1));
		assert_int_equal(f->mem[off], 0xee);
	}
	assert_int_equal(stale(f), 0);
}

static void freed_tables_and_superpages_leave_the_units_caches(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 50; i++) {
		/* One leaf of 2 MiB, then 512 of 4 KiB through a table of their own, at the same
		 * IOVA. */
		map(f, 0, MOAT_2M_SIZE, MOAT_RW);
		assert_true(device_writes(f, MOAT_2M_SIZE - 1, 1));
		assert_int_equal(moat_lane_unmap(f->lane, IOVA, MOAT_2M_SIZE), 0);
		assert_int_equal(moat_lane_drain(f->lane), 0);
		assert_false(device_writes(f, 0, 1));
		for (unsigned int k = 0; k < 512; k++)
			map(f, k * MOAT_PAGE_SIZE, MOAT_PAGE_SIZE, MOAT_RW);
		assert_true(device_writes(f, 100 * MOAT_PAGE_SIZE, 1));
		assert_int_equal(moat_lane_unmap(f->lane, IOVA, MOAT_2M_SIZE), 0);
		assert_int_equal(moat_lane_drain(f->lane), 0);
		assert_false(device_writes(f, 100 * MOAT_PAGE_SIZE, 1));
	}
	assert_int_equal(stale(f), 0);
}

static void a_range_that_is_freed_is_not_handed_out_before_its_ticket(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 500; i++) {
		uint64_t first, second;

		assert_int_equal(moat_iova_alloc(f->domain->iova, moat_lane_iovas(f->lane),
					 MOAT_PAGE_SIZE, 0, &first),
			0);
		assert_int_equal(moat_lane_map(f->lane, first, (uintptr_t)f->mem, f->mem,
					 MOAT_PAGE_SIZE, MOAT_RW),
			0);
		assert_int_equal(moat_lane_unmap_free(f->lane, first, MOAT_PAGE_SIZE), 0);
		assert_int_equal(moat_iova_alloc(f->domain->iova, moat_lane_iovas(f->lane),
					 MOAT_PAGE_SIZE, 0, &second),
			0);
		assert_true(first != second);
		assert_int_equal(moat_iova_free(f->domain->iova, moat_lane_iovas(f->lane), second,
					 MOAT_PAGE_SIZE),
			0);
		assert_int_equal(moat_lane_drain(f->lane), 0);
	}
}

static void detached_sources_reach_nothing(void **state)
{
	struct fixture *f = *state;

	map(f, 0, MOAT_2M_SIZE, MOAT_RW);
	assert_true(device_writes(f, 0, 1));
	assert_int_equal(moat_domain_detach(f->domain, SID), 0);
	assert_false(device_writes(f, 0, 2));
	assert_int_equal(moat_domain_attach(f->domain, SID), 0);
	assert_true(device_writes(f, 0, 3));
	assert_int_equal(moat_lane_unmap(f->lane, IOVA, MOAT_2M_SIZE), 0);
}

static void errors_name_what_is_wrong(void **state)
{
	struct fixture *f = *state;
	struct moat_domain_conf wide = { .name = "wide", .width = 57 };
	struct moat_domain *domain;

	assert_int_equal(moat_domain_create(f->unit, &wide, &domain), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "57 bits"));
	assert_int_equal(moat_domain_attach(f->domain, SID), -EBUSY);
	assert_int_equal(moat_domain_detach(f->domain, SID + 1), -ENOENT);
	assert_int_equal(moat_lane_unmap(f->lane, IOVA, MOAT_PAGE_SIZE), -ENOENT);
	assert_int_equal(moat_domain_destroy(f->domain), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "1 open lanes"));
}

/* --------------------------------------------------------------------------- another reader */

struct reader {
	struct fixture *f;
	_Atomic int stage;
};

/* Translates, holds the pointer while the other lcore unmaps, then polls. */
static void *hold_a_translation(void *arg)
{
	struct reader *r = arg;
	struct moat_lane *lane = moat_lane_open(r->f->domain);

	rcu_register_thread();
	moat_lane_online(lane);
	assert_non_null(moat_iotlb_translate(&lane->iotlb, IOVA, 1, MOAT_W));
	r->stage = 1;
	while (r->stage < 2)
		rte_pause();
	moat_lane_poll(lane);
	while (r->stage != 3)
		moat_lane_poll(lane);
	moat_lane_close(lane);
	rcu_unregister_thread();
	return NULL;
}

static void wait_for_the_other_reader(struct fixture *f)
{
	struct reader r = { .f = f };
	moat_ticket_t ticket;
	pthread_t thread;
	bool early = false;

	map(f, 0, MOAT_PAGE_SIZE, MOAT_RW);
	pthread_create(&thread, NULL, hold_a_translation, &r);
	while (r.stage != 1)
		rte_pause();
	assert_int_equal(moat_lane_unmap(f->lane, IOVA, MOAT_PAGE_SIZE), 0);
	ticket = moat_lane_flush(f->lane);
	for (unsigned int i = 0; i < 200000; i++)
		early |= moat_lane_poll(f->lane) >= ticket;
	r.stage = 2; /* whatever the result, or the thread would never end */
	while (!moat_lane_done(f->lane, ticket))
		moat_lane_poll(f->lane);
	r.stage = 3;
	pthread_join(thread, NULL);
	assert_false(early);
}

static void a_ticket_waits_for_every_lcore_that_may_hold_a_translation(void **state)
{
	wait_for_the_other_reader(*state);
}

/* The lane of a control thread, which unmaps and never translates. */
static void so_does_the_ticket_of_a_lane_that_reads_nothing_itself(void **state)
{
	struct fixture *f = *state;

	moat_lane_offline(f->lane);
	wait_for_the_other_reader(f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void a_prefetch_changes_nothing(void **state)
{
	struct fixture *f = *state;
	const uint64_t iova[] = { 0, IOVA, IOVA + MOAT_2M_SIZE, UINT64_C(1) << 45, UINT64_MAX };
	struct moat_lane_stats before, after;
	struct moat_iotlb tlb;

	assert_int_equal(
		moat_lane_map(f->lane, IOVA, (uintptr_t)f->mem, f->mem, MOAT_PAGE_SIZE, MOAT_RW),
		0);
	before = *moat_lane_stats(f->lane);
	tlb = f->lane->iotlb;
	for (unsigned int online = 0; online < 2; online++) {
		for (unsigned int i = 0; i < RTE_DIM(iova); i++)
			for (unsigned int turns = 4; turns-- != 0;)
				moat_lane_prefetch(f->lane, iova[i], turns);
		moat_lane_offline(f->lane);
	}
	moat_lane_online(f->lane);
	after = *moat_lane_stats(f->lane);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_memory_equal(&tlb, &f->lane->iotlb, sizeof(tlb));
	assert_ptr_equal(moat_iotlb_entries(&tlb, UINT64_MAX), NULL);
	assert_int_equal(moat_lane_unmap(f->lane, IOVA, MOAT_PAGE_SIZE), 0);
	assert_int_equal(moat_lane_drain(f->lane), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_device_reaches_what_is_mapped_and_nothing_else),
		T(permissions_are_the_devices_and_the_shadows_alike),
		T(after_the_ticket_the_device_reaches_nothing),
		T(a_prefetch_changes_nothing),
		T(freed_tables_and_superpages_leave_the_units_caches),
		T(a_range_that_is_freed_is_not_handed_out_before_its_ticket),
		T(detached_sources_reach_nothing),
		T(errors_name_what_is_wrong),
		T(a_ticket_waits_for_every_lcore_that_may_hold_a_translation),
		T(so_does_the_ticket_of_a_lane_that_reads_nothing_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
