/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * The oracle: which DMA is stale, since when, and by which unmap. The tests act as the driver,
 * which keeps its promises or breaks them.
 */
#include <pthread.h>

#include "rig.h"

#define SID   0x0310
#define DID   7
#define BASE  UINT64_C(0x40000000)
#define CAUSE UINT64_C(0xca05e00000001234)

static struct rig rig;
static uint64_t *table;
static struct moat_witness *w;

static void up(const struct moat_softvtd_conf *conf)
{
	rig_up(&rig, conf);
	table = rig_page(&rig);
	rig_attach(&rig, SID, DID, table, 4);
	w = moat_softvtd_witness(rig.sv);
	assert_non_null(w);
}

static int setup(void **state)
{
	up(NULL);
	return 0;
}

static int teardown(void **state)
{
	rig_no_misuse(&rig);
	rig_down(&rig);
	return 0;
}

static void map(uint64_t iova, unsigned int prot)
{
	w->mapped(w, DID, iova, 4096, prot); /* before a device can find the entry */
	rig_map(&rig, table, 4, iova, rig.root, prot & MOAT_RW); /* any memory will do */
}

static void unmap(uint64_t iova, uint64_t cause)
{
	rig_store(rig_entry(&rig, table, 4, iova, 1), 0);
	w->unmapped(w, DID, iova, 4096, cause);
}

static void invalidate(uint64_t iova)
{
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(iova, 0, 1));
}

static int reads(uint64_t iova)
{
	uint64_t word;

	return rig_read(&rig, SID, iova, &word);
}

static void one_stale(enum moat_softvtd_staleness why, enum moat_softvtd_server server,
	uint64_t iova, uint64_t cause)
{
	struct moat_softvtd_stats stats = rig_stats(&rig);
	struct moat_softvtd_stale stale;

	assert_int_equal(stats.stale_dma, 1);
	assert_int_equal(stats.stale[why], 1);
	assert_int_equal(moat_softvtd_stale(rig.sv, &stale, 1), 1);
	assert_int_equal(stale.why, why);
	assert_int_equal(stale.server, server);
	assert_true(stale.iova == iova);
	assert_true(stale.cause == cause);
	assert_int_equal(stale.sid, SID);
	assert_int_equal(stale.did, DID);
}

/* ----------------------------------------------------------------------------------- */

static void an_honest_life_is_never_stale(void **state)
{
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t iova = BASE + i % 8 * 4096;

		map(iova, MOAT_RW);
		assert_int_equal(reads(iova), 0);
		assert_int_equal(rig_write(&rig, SID, iova, 1), 0);
		unmap(iova, i);
		assert_int_equal(reads(iova), 0); /* still cached, and allowed: not released yet */
		invalidate(iova);
		w->released(w, DID, iova, 4096, i);
		assert_int_equal(reads(iova), 6);
	}
	assert_int_equal(rig_stats(&rig).stale_dma, 0);
	assert_int_equal(rig_stats(&rig).early_reuse, 0);
	assert_int_equal(rig_stats(&rig).witness_errors, 0);
	assert_int_equal(rig_stats(&rig).unreleased_dma, 100);
}

/* A page that is not handed on after all may be mapped and used as before, even before its ticket
 * is done. */
static void an_unmap_that_is_taken_back_is_no_reuse(void **state)
{
	map(BASE, MOAT_RW);
	unmap(BASE, 1);
	map(BASE, MOAT_RW | MOAT_TAKEN_BACK);
	w->released(w, DID, BASE, 4096, 1); /* released with the ticket of the first unmap */
	assert_int_equal(reads(BASE), 0);
	assert_int_equal(rig_stats(&rig).early_reuse, 0);
	unmap(BASE, 2);
	map(BASE, MOAT_RW);
	assert_int_equal(rig_stats(&rig).early_reuse, 1);
	assert_int_equal(rig_stats(&rig).witness_errors, 0);
	assert_int_equal(rig_stats(&rig).stale_dma, 0);
}

static void a_forgotten_invalidation_is_pinned_on_its_unmap(void **state)
{
	map(BASE, MOAT_RW);
	assert_int_equal(reads(BASE), 0);
	unmap(BASE, CAUSE);
	w->released(w, DID, BASE, 4096, CAUSE);
	assert_int_equal(reads(BASE + 8), 0);
	one_stale(MOAT_SOFTVTD_STALE_RELEASED, MOAT_SOFTVTD_BY_IOTLB, BASE, CAUSE);
}

static void the_age_is_the_time_since_the_release(void **state)
{
	struct moat_softvtd_stale stale;
	uint64_t begin, waited;

	map(BASE, MOAT_RW);
	assert_int_equal(reads(BASE), 0);
	unmap(BASE, CAUSE);
	begin = rte_rdtsc();
	w->released(w, DID, BASE, 4096, CAUSE);
	waited = rte_rdtsc();
	while (rte_rdtsc() - waited < 1000000)
		;
	assert_int_equal(reads(BASE), 0);
	assert_int_equal(moat_softvtd_stale(rig.sv, &stale, 1), 1);
	assert_true(stale.age >= 1000000 && stale.age <= rte_rdtsc() - begin);
	assert_true(rig_stats(&rig).stale_age_max == stale.age);
}

static void a_hint_set_wrongly_is_caught_through_the_cached_link(void **state)
{
	uint64_t *link = NULL, *recycled;

	map(BASE, MOAT_RW);
	map(BASE + 0x1000, MOAT_RW);
	assert_int_equal(reads(BASE), 0);
	unmap(BASE, CAUSE);
	unmap(BASE + 0x1000, CAUSE + 1);
	link = rig_entry(&rig, table, 4, BASE, 2);
	recycled = (uint64_t *)(uintptr_t)(*link & ~UINT64_C(0xfff));
	rig_store(link, 0);
	/* the page table is gone, but the hint says that only leaves changed */
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE, 1, 1));
	w->released(w, DID, BASE, 4096, CAUSE);
	w->released(w, DID, BASE + 0x1000, 4096, CAUSE + 1);
	/* its memory is used for something else */
	rig_store(&recycled[1], rig_hpa(rig.root) | 3);
	assert_int_equal(reads(BASE + 0x1000), 0);
	one_stale(MOAT_SOFTVTD_STALE_RELEASED, MOAT_SOFTVTD_BY_PDE, BASE + 0x1000, CAUSE + 1);
}

static void a_walk_through_a_table_given_back_is_stale(void **state)
{
	uint64_t *link;

	map(BASE, MOAT_RW);
	map(BASE + 0x1000, MOAT_RW);
	assert_int_equal(reads(BASE), 0);
	link = rig_entry(&rig, table, 4, BASE, 2);
	moat_softvtd_table_freed(rig.sv, *link & ~UINT64_C(0xfff));
	assert_int_equal(reads(BASE + 0x1000), 0);
	one_stale(MOAT_SOFTVTD_STALE_TABLE, MOAT_SOFTVTD_BY_PDE, BASE + 0x1000, 0);
	moat_softvtd_table_used(rig.sv, *link & ~UINT64_C(0xfff));
	rig_do(&rig, RIG_IOTLB_DOMAIN(DID), 0);
	assert_int_equal(reads(BASE + 0x1000), 0);
	assert_int_equal(rig_stats(&rig).stale_dma, 1);
}

static void a_walk_that_ends_in_a_table_given_back_is_stale(void **state)
{
	uint64_t *link;

	map(BASE, MOAT_RW);
	assert_int_equal(reads(BASE), 0);
	link = rig_entry(&rig, table, 4, BASE, 2);
	moat_softvtd_table_freed(rig.sv, *link & ~UINT64_C(0xfff));
	assert_int_not_equal(reads(BASE + 0x1000), 0); /* nothing is mapped there */
	one_stale(MOAT_SOFTVTD_STALE_TABLE, MOAT_SOFTVTD_BY_PDE, BASE + 0x1000, 0);
}

static void a_page_never_mapped_is_wild(void **state)
{
	map(BASE, MOAT_RW);
	rig_map(&rig, table, 4, BASE + 0x1000, rig.root, MOAT_RW);
	rig_map(&rig, table, 4, UINT64_C(0x7fffff000000), rig.root, MOAT_RW);
	assert_int_equal(reads(BASE + 0x1000), 0);
	one_stale(MOAT_SOFTVTD_STALE_WILD, MOAT_SOFTVTD_BY_WALK, BASE + 0x1000, 0);
	assert_int_equal(reads(UINT64_C(0x7fffff000000)), 0);
	assert_int_equal(rig_stats(&rig).stale[MOAT_SOFTVTD_STALE_WILD], 2);
}

static void domains_that_nobody_reports_on_are_left_alone(void **state)
{
	rig_map(&rig, table, 4, BASE, rig.root, MOAT_RW);
	assert_int_equal(reads(BASE), 0);
	assert_int_equal(rig_stats(&rig).stale_dma, 0);
}

static void permission_taken_away_is_watched_too(void **state)
{
	map(BASE, MOAT_RW);
	assert_int_equal(rig_write(&rig, SID, BASE, 1), 0);
	unmap(BASE, CAUSE);
	w->released(w, DID, BASE, 4096, CAUSE); /* without an invalidation */
	map(BASE, MOAT_R);
	assert_int_equal(reads(BASE), 0); /* allows no more than the new mapping */
	assert_int_equal(rig_stats(&rig).stale_dma, 0);
	assert_int_equal(rig_write(&rig, SID, BASE, 1), 0);
	one_stale(MOAT_SOFTVTD_STALE_PROT, MOAT_SOFTVTD_BY_IOTLB, BASE, CAUSE);
}

static void mapping_before_the_release_is_early_reuse(void **state)
{
	map(BASE, MOAT_RW);
	unmap(BASE, CAUSE);
	map(BASE, MOAT_RW);
	assert_int_equal(rig_stats(&rig).early_reuse, 1);
	/* the release of the first unmap does not concern the second mapping */
	w->released(w, DID, BASE, 4096, CAUSE);
	assert_int_equal(reads(BASE), 0);
	unmap(BASE, CAUSE + 1);
	w->released(w, DID, BASE, 4096, CAUSE);
	assert_int_equal(reads(BASE), 0);
	assert_int_equal(rig_stats(&rig).stale_dma, 0);
	w->released(w, DID, BASE, 4096, CAUSE + 1);
	assert_int_equal(reads(BASE), 0);
	assert_int_equal(rig_stats(&rig).stale_dma, 1);
}

/* A nested domain's page leads to GUEST of its parent. The unit of this test has no nesting: the
 * oracle goes by the promises only. */
#define PARENT 9
#define GUEST  UINT64_C(0x1234000)

static void lead_to_parent(void)
{
	w->mapped(w, PARENT, GUEST, 4096, MOAT_RW);
	map(BASE, MOAT_RW);
	assert_int_equal(reads(BASE), 0);
	w->unmapped(w, PARENT, GUEST, 4096, CAUSE);
	w->parent_unmapped(w, DID, BASE, 4096, PARENT, GUEST);
	assert_int_equal(reads(BASE), 0); /* the parent's ticket is not done */
	assert_int_equal(rig_stats(&rig).unreleased_dma, 1);
	assert_int_equal(rig_stats(&rig).stale_dma, 0);
}

static void what_the_parent_has_released_is_stale_through_a_child(void **state)
{
	lead_to_parent();
	w->released(w, PARENT, GUEST, 4096, CAUSE);
	assert_int_equal(reads(BASE), 0);
	one_stale(MOAT_SOFTVTD_STALE_RELEASED, MOAT_SOFTVTD_BY_IOTLB, BASE, CAUSE);
	/* mapped again for the parent, but not for the child */
	w->mapped(w, PARENT, GUEST, 4096, MOAT_RW);
	assert_int_equal(reads(BASE), 0);
	assert_int_equal(rig_stats(&rig).stale_dma, 2);
	/* the child's own unmap is a full promise, too */
	unmap(BASE, 3);
	assert_int_equal(reads(BASE), 0);
	assert_int_equal(rig_stats(&rig).stale_dma, 3);
	w->released(w, DID, BASE, 4096, 3);
	map(BASE, MOAT_RW);
	assert_int_equal(reads(BASE), 0);
	assert_int_equal(rig_stats(&rig).stale_dma, 3);
	assert_int_equal(rig_stats(&rig).early_reuse + rig_stats(&rig).witness_errors, 0);
}

static void a_child_may_unmap_before_the_parents_ticket(void **state)
{
	lead_to_parent();
	unmap(BASE, 3);
	assert_int_equal(reads(BASE), 0);
	w->released(w, DID, BASE, 4096, 3);
	assert_int_equal(rig_stats(&rig).stale_dma, 0);
	assert_int_equal(reads(BASE), 0); /* nor has the unit been told about it */
	one_stale(MOAT_SOFTVTD_STALE_RELEASED, MOAT_SOFTVTD_BY_IOTLB, BASE, 3);
	w->released(w, PARENT, GUEST, 4096, CAUSE);
	assert_int_equal(rig_stats(&rig).early_reuse + rig_stats(&rig).witness_errors, 0);
}

static void a_dishonest_witness_is_noticed(void **state)
{
	w->unmapped(w, DID, BASE, 4096, 1); /* never mapped */
	w->released(w, DID, BASE, 4096, 1);
	w->released(w, DID, BASE, 4096, 2); /* by an unmap that did not happen */
	map(BASE, MOAT_R);
	map(BASE, MOAT_R);                                  /* twice */
	w->mapped(w, DID, UINT64_C(1) << 60, 4096, MOAT_R); /* beyond the address width */
	assert_int_equal(rig_stats(&rig).witness_errors, 4);
}

/* Lane 1 hands a page on before its ticket is done. Lane 2 maps, unmaps and releases the page
 * before lane 1 finds the ticket done. */
static void a_release_may_come_after_a_whole_turn_of_a_page_handed_on_early(void **state)
{
	map(BASE, MOAT_RW);
	unmap(BASE, 1);
	w->released_early(w, DID, BASE, 4096, 1);
	map(BASE, MOAT_RW);
	unmap(BASE, 2);
	w->released(w, DID, BASE, 4096, 2);
	w->released(w, DID, BASE, 4096, 1);
	assert_int_equal(rig_stats(&rig).witness_errors, 0);
	w->released(w, DID, BASE + 4096, 4096, 1); /* its neighbour has never been mapped */
	assert_int_equal(rig_stats(&rig).witness_errors, 1);
}

static void ranges_span_large_regions(void **state)
{
	const uint64_t from = (UINT64_C(1) << 39) - (2 << 20), len = 4 << 20;

	w->mapped(w, DID, from, len, MOAT_RW);
	w->unmapped(w, DID, from, len, CAUSE);
	w->released(w, DID, from, len, CAUSE);
	rig_map(&rig, table, 4, from, rig.root, MOAT_RW);
	rig_map(&rig, table, 4, from + len - 4096, rig.root, MOAT_RW);
	rig_map(&rig, table, 4, from + len, rig.root, MOAT_RW);
	assert_int_equal(rig_stats(&rig).witness_errors, 0);
	assert_int_equal(reads(from), 0);
	assert_int_equal(reads(from + len - 4096), 0);
	assert_int_equal(rig_stats(&rig).stale[MOAT_SOFTVTD_STALE_RELEASED], 2);
	assert_int_equal(reads(from + len), 0);
	assert_int_equal(rig_stats(&rig).stale[MOAT_SOFTVTD_STALE_WILD], 1);
}

static void the_latest_are_kept_newest_first(void **state)
{
	struct moat_softvtd_stale list[100];

	w->mapped(w, DID, 0, 4096, MOAT_RW);
	for (unsigned int i = 0; i < 100; i++) {
		rig_map(&rig, table, 4, BASE + i * 4096, rig.root, MOAT_RW);
		assert_int_equal(reads(BASE + i * 4096), 0);
	}
	assert_int_equal(moat_softvtd_stale(rig.sv, list, 100), 64);
	for (unsigned int i = 0; i < 64; i++)
		assert_true(list[i].iova == BASE + (99 - i) * 4096);
	assert_int_equal(moat_softvtd_stale(rig.sv, list, 3), 3);
}

static void without_an_oracle_there_is_no_witness(void **state)
{
	struct moat_softvtd_conf conf;
	struct moat_softvtd_stale stale;

	rig_down(&rig);
	rig_plain(&conf);
	conf.oracle = false;
	rig_up(&rig, &conf);
	assert_null(moat_softvtd_witness(rig.sv));
	moat_softvtd_table_freed(rig.sv, 0x1000);
	moat_softvtd_table_used(rig.sv, 0x1000);
	/* DMA to pages that the oracle was not told about is not checked */
	table = rig_page(&rig);
	rig_attach(&rig, SID, DID, table, 4);
	rig_map(&rig, table, 4, BASE, rig.root, MOAT_RW);
	assert_int_equal(reads(BASE), 0);
	assert_int_equal(rig_stats(&rig).stale_dma, 0);
	assert_int_equal(moat_softvtd_stale(rig.sv, &stale, 1), 0);
}

/* ------------------------------------------------------- under fire, honest and dishonest */

/*
 * One lcore maps, unmaps, invalidates and releases while a device reads all the time. With every
 * invalidation nothing is stale. If some are left out, some DMA is stale, and its cause is one of
 * the unmaps without invalidation.
 */
static struct {
	_Atomic bool stop;
	_Atomic uint64_t reads, hits;
} fire;

static void *reader(void *arg)
{
	uint64_t random = 0x1234567;

	while (!fire.stop) {
		random = random * UINT64_C(6364136223846793005) + 1;
		fire.hits += reads(BASE + (random >> 40) % 64 * 4096) == 0;
		fire.reads++;
	}
	return NULL;
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define ROUNDS 1000
#else
#define ROUNDS 10000
#endif

/* The reader reads one of 64 pages at random. With so many reads it almost certainly reads each of
 * them. */
static void let_it_read(void)
{
	uint64_t begin = fire.reads;

	while (fire.reads - begin < 512)
		sched_yield();
}

static void run_fire(uint32_t leave_out)
{
	struct moat_softvtd_conf conf;
	pthread_t thread;

	rig_down(&rig);
	moat_softvtd_conf_init(&conf);
	conf.seed = rig_seed();
	up(&conf);
	map(BASE + 63 * 4096, MOAT_RW); /* keeps the table linked */
	fire.stop = false;
	fire.hits = 0;
	pthread_create(&thread, NULL, reader, NULL);
	while (fire.hits == 0)
		sched_yield(); /* until the reader runs */
	for (unsigned int i = 1; i <= ROUNDS; i++) {
		uint64_t iova = BASE + i % 63 * 4096;
		bool left_out = leave_out != 0 && i % leave_out == 0;

		map(iova, MOAT_RW);
		if (left_out)
			let_it_read();
		if (i % 16 == 0)
			sched_yield();
		unmap(iova, i);
		if (!left_out)
			invalidate(iova);
		w->released(w, DID, iova, 4096, i);
		if (left_out)
			let_it_read();
		if (i % 16 == 8)
			sched_yield();
	}
	fire.stop = true;
	pthread_join(thread, NULL);
}

static void nothing_is_stale_under_fire(void **state)
{
	run_fire(0);
	assert_int_equal(rig_stats(&rig).stale_dma, 0);
	assert_int_equal(rig_stats(&rig).witness_errors, 0);
}

static void an_invalidation_left_out_under_fire_is_found(void **state)
{
	struct moat_softvtd_stale list[64];
	unsigned int right = 0;

	/* A reader that is delayed between its translation and the oracle's check may find that its
	 * page was mapped and unmapped once more, and names the later unmap. This is an
	 * exception. */
	for (unsigned int i = 0; i < 100 && right == 0; i++) {
		unsigned int n;

		run_fire(50);
		n = moat_softvtd_stale(rig.sv, list, 64);
		for (unsigned int k = 0; k < n; k++)
			right += list[k].cause % 50 == 0;
	}
	assert_true(right > 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(an_honest_life_is_never_stale),
		T(an_unmap_that_is_taken_back_is_no_reuse),
		T(a_forgotten_invalidation_is_pinned_on_its_unmap),
		T(the_age_is_the_time_since_the_release),
		T(a_hint_set_wrongly_is_caught_through_the_cached_link),
		T(a_walk_through_a_table_given_back_is_stale),
		T(a_walk_that_ends_in_a_table_given_back_is_stale),
		T(a_page_never_mapped_is_wild),
		T(domains_that_nobody_reports_on_are_left_alone),
		T(permission_taken_away_is_watched_too),
		T(mapping_before_the_release_is_early_reuse),
		T(what_the_parent_has_released_is_stale_through_a_child),
		T(a_child_may_unmap_before_the_parents_ticket),
		T(a_dishonest_witness_is_noticed),
		T(a_release_may_come_after_a_whole_turn_of_a_page_handed_on_early),
		T(ranges_span_large_regions),
		T(the_latest_are_kept_newest_first),
		T(without_an_oracle_there_is_no_witness),
		T(nothing_is_stale_under_fire),
		T(an_invalidation_left_out_under_fire_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
