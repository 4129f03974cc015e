/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Scalable mode: PASIDs, what is cached for them and which invalidation drops it, descriptors of
 * 256 bits, and why a request with or without a PASID is refused. (test_stages.c tests walks.)
 */
#include <errno.h>

#include "rig_scalable.h"

#define SID   0x0390 /* 03:12.0: in the upper half of the root entry */
#define DID   7
#define PASID 0x123
#define IOVA  UINT64_C(0x12345000)
#define ABOVE UINT64_C(0x12346000)

static struct rig rig;
static uint64_t *second, *first; /* tables of 4 levels; both map IOVA and ABOVE */
static uint64_t *leaf_second, *leaf_first;
static char *page;

static void up(const struct moat_softvtd_conf *conf)
{
	rig_scalable_up(&rig, conf);
	second = rig_page(&rig);
	first = rig_page(&rig);
	page = rig_page(&rig);
	leaf_second = rig_map(&rig, second, 4, IOVA, page, MOAT_RW);
	rig_map(&rig, second, 4, ABOVE, page, MOAT_RW);
	leaf_first = rig_fs_entry(&rig, first, 4, IOVA, 1);
	rig_store(leaf_first, rig_hpa(page) | RIG_FS_LEAF);
	rig_store(rig_fs_entry(&rig, first, 4, ABOVE, 1), rig_hpa(page) | RIG_FS_LEAF);
}

static int setup(void **state)
{
	up(NULL);
	return 0;
}

static int setup_lingering(void **state)
{
	struct moat_softvtd_conf conf;

	rig_scalable_conf(&conf);
	conf.linger = true;
	up(&conf);
	return 0;
}

static int setup_caching(void **state)
{
	struct moat_softvtd_conf conf;

	rig_scalable_conf(&conf);
	conf.cm = true;
	up(&conf);
	return 0;
}

static int teardown(void **state)
{
	rig_no_misuse(&rig);
	rig_down(&rig);
	return 0;
}

static int dma(uint32_t pasid)
{
	return rig_write_pasid(&rig, SID, pasid, IOVA);
}

static void put_first(uint32_t pasid)
{
	rig_pasid_set(&rig, SID, pasid, RIG_FIRST, DID, NULL, rig_hpa(first));
}

/* ------------------------------------------------------------------------------- PASIDs */

static void each_pasid_has_a_table_of_its_own(void **state)
{
	put_first(PASID);
	rig_pasid_set(&rig, SID, PASID + 1, RIG_SECOND, DID + 1, second, 0);
	rig_pasid_set(&rig, SID, PASID + 2, RIG_PASS, 1, NULL, 0);
	rig_store(leaf_second, rig_hpa(page) | MOAT_R);
	assert_int_equal(dma(PASID), 0);
	assert_int_equal(dma(PASID + 1), 0x85);
	assert_int_equal(rig_read_pasid(&rig, SID, PASID + 1, IOVA), 0);
	assert_int_equal(rig_write_pasid(&rig, SID, PASID + 2, rig_hpa(page)), 0);
	assert_int_equal(dma(PASID + 3), 0x59);
	assert_int_equal(dma(PASID + 64), 0x51);
}

/* A root entry has two halves, for functions 0 to 127 of the bus and for 128 to 255. A function's
 * PASID entry is not used for another function. */
static void each_function_has_tables_of_its_own(void **state)
{
	const uint16_t lower = SID & ~0x80, next = SID + 1;

	rig_pasid_set(&rig, SID, PASID, RIG_SECOND, DID, second, 0);
	assert_int_equal(dma(PASID), 0);
	assert_int_equal(rig_write_pasid(&rig, lower, PASID, IOVA), 0x39);
	assert_int_equal(rig_write_pasid(&rig, next, PASID, IOVA), 0x41);
	rig_pasid_set(&rig, lower, PASID, RIG_SECOND, DID + 1, rig_page(&rig), 0);
	rig_pasid_set(&rig, next, PASID, RIG_SECOND, DID + 2, rig_page(&rig), 0);
	assert_int_equal(dma(PASID), 0);
	assert_int_equal(rig_write_pasid(&rig, lower, PASID, IOVA), 0x79);
	assert_int_equal(rig_write_pasid(&rig, next, PASID, IOVA), 0x79);
	/* one function's context entry is dropped, the others' stay */
	rig_store(rig_sm_context(&rig, SID), 0);
	rig_do(&rig, RIG_CTX_DEVICE(0, SID, 0), 0);
	rig_do(&rig, RIG_PC_DOMAIN(DID), 0);
	assert_int_equal(dma(PASID), 0x41);
	assert_int_equal(rig_write_pasid(&rig, lower, PASID, IOVA), 0x79);
	assert_int_equal(rig_write_pasid(&rig, next, PASID, IOVA), 0x79);
}

static void a_request_without_pasid_goes_by_rid_pasid(void **state)
{
	put_first(PASID);
	assert_int_equal(dma(MOAT_PASID_NONE), 0x51); /* RID_PASID 0 */
	rig_sm_context(&rig, SID)[1] = PASID;
	rig_do(&rig, RIG_CTX_DEVICE(0, SID, 0), 0);
	assert_int_equal(dma(MOAT_PASID_NONE), 0);
	rig_sm_context(&rig, SID)[1] = 0x8000; /* PDTS 2: PASIDs up to 0x7fff */
	rig_do(&rig, RIG_CTX_DEVICE(0, SID, 0), 0);
	rig_do(&rig, RIG_PC_GLOBAL, 0);
	assert_int_equal(dma(MOAT_PASID_NONE), 0x48);
}

static void a_pasid_is_refused_where_none_is_served(void **state)
{
	put_first(PASID);
	assert_int_equal(dma(0x8000), 0x46);
	rig_sm_context(&rig, SID)[0] &= ~UINT64_C(8); /* PASIDE */
	rig_do(&rig, RIG_CTX_GLOBAL, 0);
	assert_int_equal(dma(PASID), 0x45);
	moat_softvtd_write64(rig.sv, 0x20, rig_hpa(rig.root)); /* legacy mode */
	rig_command(&rig, 1u << 30, true);
	assert_int_equal(dma(PASID), 0x31);
}

static void a_fault_names_the_pasid(void **state)
{
	uint64_t hi;

	put_first(PASID);
	assert_int_equal(rig_read_pasid(&rig, SID, PASID, UINT64_C(0x7f0000000000)), 0x71);
	hi = moat_softvtd_read64(rig.sv, rig.conf.fro + 8);
	assert_int_equal(hi >> 32 & 0xff, 0x71);
	assert_int_equal(hi >> 40 & 0xfffff, PASID);
	assert_int_equal(hi >> 31 & 1, 1);
	assert_int_equal(hi & 0xffff, SID);
	assert_int_equal(dma(MOAT_PASID_NONE), 0x51);
	hi = moat_softvtd_read64(rig.sv, rig.conf.fro + 16 + 8);
	assert_int_equal(hi >> 31 & 1, 0);
}

/* With a PASID, an address in the interrupt range is an ordinary address. */
static void the_interrupt_range_is_an_output_to_nobody(void **state)
{
	uint64_t *entry = rig_fs_entry(&rig, first, 4, 0xfee00000, 1);

	put_first(PASID);
	rig_store(entry, rig_hpa(page) | RIG_FS_LEAF);
	assert_int_equal(rig_write_pasid(&rig, SID, PASID, 0xfee00000), 0);
	rig_store(leaf_first, 0xfee00000 | RIG_FS_LEAF);
	assert_int_equal(dma(PASID), 0x87);
}

/* ------------------------------------------------------------------------ what stays cached */

static void a_pasid_entry_stays_until_its_cache_is_invalidated(void **state)
{
	uint64_t *entry;

	put_first(PASID);
	entry = rig_pasid(&rig, SID, PASID);
	assert_int_equal(dma(PASID), 0);
	rig_store(entry, 0);
	rig_do(&rig, RIG_PIOTLB_ALL(DID, PASID), 0); /* the wrong kind of invalidation */
	assert_int_equal(dma(PASID), 0);
	rig_do(&rig, RIG_PC_ONE(DID, PASID + 1), 0);
	rig_do(&rig, RIG_PC_ONE(DID + 1, PASID), 0);
	rig_do(&rig, RIG_PC_DOMAIN(DID + 1), 0);
	rig_do(&rig, RIG_CTX_GLOBAL, 0);
	assert_int_equal(dma(PASID), 0);
	rig_do(&rig, RIG_PC_ONE(DID, PASID), 0);
	assert_int_equal(dma(PASID), 0x59);
}

static void a_domains_pasid_entries_go_together(void **state)
{
	put_first(PASID);
	put_first(PASID + 64);
	rig_pasid_set(&rig, SID, PASID + 1, RIG_SECOND, DID + 1, second, 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(dma(PASID), 0);
		assert_int_equal(dma(PASID + 64), 0);
		assert_int_equal(dma(PASID + 1), 0);
		rig_store(rig_pasid(&rig, SID, PASID), 0);
		rig_store(rig_pasid(&rig, SID, PASID + 64), 0);
		rig_store(rig_pasid(&rig, SID, PASID + 1), 0);
	}
	rig_do(&rig, RIG_PC_DOMAIN(DID), 0);
	assert_int_equal(dma(PASID), 0x59);
	assert_int_equal(dma(PASID + 64), 0x59);
	assert_int_equal(dma(PASID + 1), 0);
	rig_do(&rig, RIG_PC_GLOBAL, 0);
	assert_int_equal(dma(PASID + 1), 0x59);
}

static void first_stage_is_cached_by_domain_and_pasid(void **state)
{
	put_first(PASID);
	put_first(PASID + 1);
	assert_int_equal(dma(PASID), 0);
	assert_int_equal(dma(PASID + 1), 0);
	assert_int_equal(rig_write_pasid(&rig, SID, PASID, ABOVE), 0);
	rig_store(leaf_first, 0);
	rig_store(rig_fs_entry(&rig, first, 4, ABOVE, 1), 0);
	/* the pages of second stage have other addresses */
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(IOVA, 0, 0));
	assert_int_equal(dma(PASID), 0);
	rig_do(&rig, RIG_PIOTLB_PAGE(DID, PASID), RIG_PAGE(IOVA, 0, 1));
	assert_int_equal(dma(PASID), 0x71);
	assert_int_equal(dma(PASID + 1), 0);
	assert_int_equal(rig_write_pasid(&rig, SID, PASID, ABOVE), 0);
	rig_do(&rig, RIG_PIOTLB_ALL(DID, PASID), 0);
	assert_int_equal(rig_write_pasid(&rig, SID, PASID, ABOVE), 0x71);
	assert_int_equal(dma(PASID + 1), 0);
	rig_do(&rig, RIG_IOTLB_DOMAIN(DID), 0);
	assert_int_equal(dma(PASID + 1), 0x71);
}

static void second_stage_is_cached_by_domain(void **state)
{
	rig_pasid_set(&rig, SID, PASID, RIG_SECOND, DID, second, 0);
	assert_int_equal(dma(PASID), 0);
	rig_store(leaf_second, 0);
	rig_do(&rig, RIG_PIOTLB_ALL(DID, PASID), 0); /* the kind for first stage */
	rig_do(&rig, RIG_IOTLB_PAGE(DID + 1), RIG_PAGE(IOVA, 0, 1));
	rig_do(&rig, RIG_IOTLB_DOMAIN(DID + 1), 0);
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(ABOVE, 0, 1));
	assert_int_equal(dma(PASID), 0);
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(IOVA, 0, 1));
	assert_int_equal(dma(PASID), 0x79);
}

static void links_of_first_stage_stay_with_the_hint(void **state)
{
	uint64_t *link = rig_fs_entry(&rig, first, 4, IOVA, 2);

	put_first(PASID);
	assert_int_equal(dma(PASID), 0);
	rig_store(link, 0);
	rig_do(&rig, RIG_PIOTLB_PAGE(DID, PASID), RIG_PAGE(IOVA, 0, 1));
	assert_int_equal(dma(PASID), 0);
	rig_do(&rig, RIG_PIOTLB_PAGE(DID, PASID), RIG_PAGE(IOVA, 0, 0));
	assert_int_equal(dma(PASID), 0x71);
}

/* The invalidated page of second stage may be anywhere in the nested addresses. */
static void nested_goes_with_any_page_of_its_second_stage(void **state)
{
	uint64_t gpa = UINT64_C(0x5000), *under = rig_page(&rig), *leaf;

	/* the tables stay, and IOVA's page is at `gpa` */
	for (size_t at = 0; at < rig.used; at += 4096)
		rig_map(&rig, under, 4, rig_hpa(rig.arena + at), rig.arena + at, MOAT_RW);
	leaf = rig_map(&rig, under, 4, gpa, page, MOAT_RW);
	rig_store(leaf_first, gpa | RIG_FS_LEAF);
	rig_pasid_set(&rig, SID, PASID, RIG_NESTED, DID, under, rig_hpa(first));
	assert_int_equal(dma(PASID), 0);
	rig_store(leaf, 0);
	assert_int_equal(dma(PASID), 0);
	rig_do(&rig, RIG_IOTLB_PAGE(DID + 1), RIG_PAGE(gpa, 0, 1));
	assert_int_equal(dma(PASID), 0);
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(gpa, 0, 1));
	assert_int_equal(dma(PASID), 0x79);
	rig_store(leaf, rig_hpa(page) | MOAT_RW);
	assert_int_equal(dma(PASID), 0);
	rig_store(leaf_first, 0);
	rig_do(&rig, RIG_PIOTLB_PAGE(DID, PASID), RIG_PAGE(IOVA, 0, 1));
	assert_int_equal(dma(PASID), 0x71);
}

static void an_invalidated_pasid_entry_lingers_until_the_iotlb_is_invalidated(void **state)
{
	put_first(PASID);
	assert_int_equal(dma(PASID), 0);
	rig_store(rig_pasid(&rig, SID, PASID), 0);
	rig_do(&rig, RIG_PC_ONE(DID, PASID), 0);
	assert_int_equal(dma(PASID), 0);
	rig_do(&rig, RIG_PIOTLB_ALL(DID, PASID), 0);
	assert_int_equal(dma(PASID), 0x59);
	/* translations of a second-stage entry: dropped by domain-id, not by PASID */
	rig_pasid_set(&rig, SID, PASID, RIG_SECOND, DID, second, 0);
	assert_int_equal(dma(PASID), 0);
	rig_store(rig_pasid(&rig, SID, PASID), 0);
	rig_do(&rig, RIG_PC_ONE(DID, PASID), 0);
	rig_do(&rig, RIG_PIOTLB_ALL(DID, PASID), 0);
	assert_int_equal(dma(PASID), 0);
	rig_do(&rig, RIG_IOTLB_DOMAIN(DID), 0);
	assert_int_equal(dma(PASID), 0x59);
}

static void an_invalidated_context_entry_lingers_too(void **state)
{
	rig_pasid_set(&rig, SID, 0, RIG_SECOND, DID, second, 0);
	assert_int_equal(dma(MOAT_PASID_NONE), 0);
	rig_store(rig_sm_context(&rig, SID), 0);
	rig_do(&rig, RIG_CTX_DEVICE(0, SID, 0), 0);
	assert_int_equal(dma(MOAT_PASID_NONE), 0);
	rig_do(&rig, RIG_PC_DOMAIN(DID), 0);
	assert_int_equal(dma(MOAT_PASID_NONE), 0);
	rig_do(&rig, RIG_IOTLB_DOMAIN(DID), 0);
	assert_int_equal(dma(MOAT_PASID_NONE), 0x41);
}

static void with_caching_mode_absence_is_cached(void **state)
{
	rig_pasid(&rig, SID, PASID); /* makes the tables that lead to it */
	assert_int_equal(dma(PASID), 0x59);
	put_first(PASID);
	assert_int_equal(dma(PASID), 0x59);
	rig_do(&rig, RIG_PC_ONE(0, PASID), 0);
	assert_int_equal(dma(PASID), 0);
	/* but an absent first-stage entry is never cached */
	assert_int_equal(rig_write_pasid(&rig, SID, PASID, ABOVE + 0x1000), 0x71);
	rig_store(rig_fs_entry(&rig, first, 4, ABOVE + 0x1000, 1), rig_hpa(page) | RIG_FS_LEAF);
	assert_int_equal(rig_write_pasid(&rig, SID, PASID, ABOVE + 0x1000), 0);
}

/* With more domains and PASIDs than the unit has numbers for, it drops entries and stays
 * correct. */
static void many_pasids(void **state)
{
	for (uint32_t pasid = 0; pasid < 1000; pasid++)
		rig_pasid_set(&rig, SID, pasid, RIG_FIRST, DID + pasid % 3, NULL, rig_hpa(first));
	for (unsigned int turn = 0; turn < 3; turn++)
		for (uint32_t pasid = 0; pasid < 1000; pasid++)
			assert_int_equal(dma(pasid), 0);
	rig_store(leaf_first, 0);
	for (unsigned int i = 0; i < 3; i++)
		rig_do(&rig, RIG_IOTLB_DOMAIN(DID + i), 0);
	for (uint32_t pasid = 0; pasid < 1000; pasid++)
		assert_int_equal(dma(pasid), 0x71);
}

/* ------------------------------------------------------------------------------- the queue */

/* Assert that the unit stops at the descriptor for this reason (IQERCD.IQEI), and then goes on. */
static void stops(uint64_t lo, uint64_t hi, unsigned int iqei)
{
	uint32_t slot = rig.tail;

	rig_queue(&rig, lo, hi);
	rig_doorbell(&rig);
	rig_turns(&rig, 100);
	assert_int_equal(moat_softvtd_read64(rig.sv, 0xb0) & 0xf, iqei);
	assert_int_equal(moat_softvtd_read64(rig.sv, 0x80), slot * 32);
	rig.tail = slot;
	rig_queue(&rig, RIG_IOTLB_DOMAIN(0), 0);
	rig.ring[4 * slot + 2] = 0;
	moat_softvtd_write32(rig.sv, 0x34, 1 << 4);
	rig_do(&rig, RIG_IOTLB_DOMAIN(0), 0);
}

static void descriptors_with_reserved_bits_are_refused(void **state)
{
	stops(7 | 2 << 4, 0, 4);
	stops(RIG_PC_GLOBAL | 1 << 6, 0, 4);
	stops(RIG_PC_GLOBAL, 1, 4);
	stops(RIG_PIOTLB_ALL(DID, PASID) | 1 << 12, 0, 4);
	stops(6 | 1 << 4, 0, 4);
	stops(RIG_PIOTLB_PAGE(DID, PASID), RIG_PAGE(IOVA, 19, 0), 4); /* MAMV 18 */
	stops(RIG_PIOTLB_PAGE(DID, PASID), RIG_PAGE(IOVA, 0, 0) | 1 << 7, 4);
	stops(9, 0, 3);
	rig.ring[4 * rig.tail + 2] = 1; /* the upper half */
	stops(RIG_PC_GLOBAL, 0, 4);
}

static void the_tail_counts_in_wide_descriptors(void **state)
{
	moat_softvtd_write64(rig.sv, 0x88, rig.tail * 32 + 16);
	rig_turns(&rig, 100);
	assert_int_equal(moat_softvtd_read64(rig.sv, 0xb0) & 0xf, 1);
}

static void scalable_mode_refuses_narrow_descriptors(void **state)
{
	rig_command(&rig, 1u << 26, false);
	moat_softvtd_write64(rig.sv, 0x88, 0);
	moat_softvtd_write64(rig.sv, 0x90, rig_hpa(rig.ring));
	rig_command(&rig, 1u << 26, true);
	moat_softvtd_write64(rig.sv, 0x88, 16);
	rig_turns(&rig, 100);
	assert_int_equal(moat_softvtd_read64(rig.sv, 0xb0) & 0xf, 5);
	moat_softvtd_write64(rig.sv, 0x88, 0);
}

static void a_unit_without_it_has_none_of_it(void **state)
{
	struct moat_softvtd_conf conf;
	struct moat_softvtd_stats stats;

	rig_plain(&conf);
	rig_up(&rig, &conf);
	assert_int_equal(moat_softvtd_read64(rig.sv, 0x10) >> 43 & 1, 0);
	rig_queue(&rig, RIG_PC_GLOBAL, 0);
	rig_doorbell(&rig);
	rig_turns(&rig, 100);
	assert_int_equal(moat_softvtd_read64(rig.sv, 0xb0) & 0xf, 3);
	moat_softvtd_write64(rig.sv, 0x20, rig_hpa(rig.root) | 1 << 10);
	rig_command(&rig, 1u << 30, true);
	assert_int_equal(dma(MOAT_PASID_NONE), 0x30);
	stats = rig_stats(&rig);
	assert_int_equal(stats.misuse[MOAT_SOFTVTD_MISUSE_RESERVED], 1);
	rig_down(&rig);
}

static void impossible_units_are_refused(void **state)
{
	struct moat_softvtd_conf conf;

	rig_scalable_conf(&conf);
	conf.ssts = false;
	assert_int_equal(moat_softvtd_check(&conf), -EINVAL); /* nesting without second stage */
	conf.nest = false;
	assert_int_equal(moat_softvtd_check(&conf), 0);
	conf.fsts = false;
	assert_int_equal(moat_softvtd_check(&conf), -EINVAL);
	conf.fsts = true;
	conf.pasid_bits = 21;
	assert_int_equal(moat_softvtd_check(&conf), -EINVAL);
}

#define IN(test)           cmocka_unit_test_setup_teardown(test, setup, teardown)
#define IN_LINGERING(test) cmocka_unit_test_setup_teardown(test, setup_lingering, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN(each_pasid_has_a_table_of_its_own),
		IN(each_function_has_tables_of_its_own),
		IN(a_request_without_pasid_goes_by_rid_pasid),
		IN(a_pasid_is_refused_where_none_is_served),
		IN(a_fault_names_the_pasid),
		IN(the_interrupt_range_is_an_output_to_nobody),
		IN(a_pasid_entry_stays_until_its_cache_is_invalidated),
		IN(a_domains_pasid_entries_go_together),
		IN(first_stage_is_cached_by_domain_and_pasid),
		IN(second_stage_is_cached_by_domain),
		IN(links_of_first_stage_stay_with_the_hint),
		IN(nested_goes_with_any_page_of_its_second_stage),
		IN_LINGERING(an_invalidated_pasid_entry_lingers_until_the_iotlb_is_invalidated),
		IN_LINGERING(an_invalidated_context_entry_lingers_too),
		cmocka_unit_test_setup_teardown(with_caching_mode_absence_is_cached, setup_caching,
			teardown),
		IN(many_pasids),
		IN(descriptors_with_reserved_bits_are_refused),
		IN(the_tail_counts_in_wide_descriptors),
		IN(scalable_mode_refuses_narrow_descriptors),
		cmocka_unit_test(a_unit_without_it_has_none_of_it),
		cmocka_unit_test(impossible_units_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
