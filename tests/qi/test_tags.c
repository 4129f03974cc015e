/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Encoding a gather for cache tags: IOTLB descriptors precede device-TLB descriptors, and the
 * descriptors of each tag cover every run. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <rte_common.h>

#include "moat_qi.h"

#define P MOAT_PAGE_SIZE

static const struct moat_qi_caps caps = { .psi = true, .mamv = 18 };
static const struct moat_device_tlb ats = { true, 5, 0xabc };

/* The pages [first, end) that a device-TLB descriptor invalidates. */
static void device_pages(const struct moat_qi_desc *d, uint64_t *first, uint64_t *end)
{
	uint64_t page = d->hi >> MOAT_PAGE_SHIFT;
	unsigned int order = 0;

	if (d->hi & 1) /* S: the lowest clear bit gives the size */
		order = (unsigned int)__builtin_ctzll(~page) + 1;
	*first = page >> order << order;
	*end = *first + (UINT64_C(1) << order);
}

static void tags_keep_what_they_are_made_of(void **state)
{
	moat_tag_t t = moat_tag_device_tlb(7, 0xfedc, 0xfffff, &ats);

	assert_int_equal(MOAT_TAG_KIND(t), MOAT_TAG_DEVICE_TLB);
	assert_int_equal(MOAT_TAG_UNIT(t), 7);
	assert_int_equal(MOAT_TAG_ID(t), 0xfedc);
	assert_true(MOAT_TAG_HAS_PASID(t));
	assert_int_equal(MOAT_TAG_PASID(t), 0xfffff);
	assert_int_equal(MOAT_TAG_MAX_PENDING(t), 5);
	assert_int_equal(MOAT_TAG_PFSID(t), 0xabc);
	t = moat_tag_iotlb(3, 0xffff, MOAT_PASID_NONE);
	assert_int_equal(MOAT_TAG_KIND(t), MOAT_TAG_IOTLB);
	assert_int_equal(MOAT_TAG_UNIT(t), 3);
	assert_int_equal(MOAT_TAG_ID(t), 0xffff);
	assert_false(MOAT_TAG_HAS_PASID(t));
}

static void iotlbs_come_before_device_tlbs(void **state)
{
	moat_tag_t tags[] = { moat_tag_device_tlb(0, 8, MOAT_PASID_NONE, &ats),
		moat_tag_iotlb(0, 5, MOAT_PASID_NONE), moat_tag_iotlb(0, 6, 77) };
	struct moat_gather g = { 0 };
	struct moat_qi_desc desc[8];

	moat_gather_add(&g, 4 * P, P);
	assert_int_equal(moat_tags_encode(tags, 3, &g, &caps, desc, RTE_DIM(desc)), 3);
	assert_int_equal(desc[0].lo & 0xf, MOAT_QI_IOTLB);
	assert_int_equal(desc[1].lo & 0xf, MOAT_QI_PASID_IOTLB);
	assert_int_equal(desc[2].lo & 0xf, MOAT_QI_DEVICE_TLB);
	assert_int_equal(desc[2].hi, 4 * P);
}

static void a_device_is_told_of_every_page(void **state)
{
	moat_tag_t tag = moat_tag_device_tlb(0, 8, MOAT_PASID_NONE, &ats);

	for (uint64_t a = 1; a < 40; a++) {
		for (uint64_t b = a + 1; b < 80; b++) {
			struct moat_gather g = { 0 };
			struct moat_qi_desc desc[4];
			uint64_t first, end;

			moat_gather_add(&g, a * P, (b - a) * P);
			assert_int_equal(moat_tags_encode(&tag, 1, &g, &caps, desc, 4), 1);
			device_pages(desc, &first, &end);
			assert_true(first <= a && b <= end);
			assert_true(end - first <= 128);
		}
	}
}

static void with_no_room_for_each_run_all_is_invalidated(void **state)
{
	moat_tag_t tags[] = { moat_tag_iotlb(0, 5, MOAT_PASID_NONE),
		moat_tag_device_tlb(0, 8, MOAT_PASID_NONE, &ats) };
	struct moat_gather g = { 0 };
	struct moat_qi_desc desc[6];
	uint64_t first, end;
	unsigned int n;

	for (uint64_t i = 0; i < 10; i++)
		moat_gather_add(&g, (1 + 2 * i) * P, P);
	n = moat_tags_encode(tags, 2, &g, &caps, desc, RTE_DIM(desc));
	assert_int_equal(n, 2);
	assert_int_equal(desc[0].lo >> 4 & 3, MOAT_QI_DOMAIN);
	device_pages(&desc[1], &first, &end);
	assert_int_equal(first, 0);
	assert_int_equal(end, UINT64_C(1) << 52);
	assert_int_equal(moat_tags_encode(tags, 2, NULL, &caps, desc, 2), 2);
	assert_int_equal(desc[0].lo >> 4 & 3, MOAT_QI_DOMAIN);
}

/* The device of a nested domain, when the parent unmaps. */
static void a_whole_tag_takes_all_of_a_device(void **state)
{
	moat_tag_t tag = MOAT_TAG_WHOLE | moat_tag_device_tlb(7, 0xfedc, 0xfffff, &ats);
	struct moat_gather g = { 0 };
	struct moat_qi_desc desc[4];
	uint64_t first, end;

	assert_int_equal(MOAT_TAG_PFSID(tag), 0xabc);
	assert_int_equal(MOAT_TAG_PASID(tag), 0xfffff);
	tag = MOAT_TAG_WHOLE | moat_tag_device_tlb(0, 8, MOAT_PASID_NONE, &ats);
	moat_gather_add(&g, 4 * P, P);
	assert_int_equal(moat_tags_encode(&tag, 1, &g, &caps, desc, 4), 1);
	device_pages(desc, &first, &end);
	assert_int_equal(first, 0);
	assert_int_equal(end, UINT64_C(1) << 52);
}

/* First stage is cached by PASID: exactly the same runs, for that PASID. */
static void pages_of_a_pasid_are_invalidated_within_it(void **state)
{
	moat_tag_t tag = moat_tag_iotlb(0, 5, 77);
	struct moat_gather g = { 0 };
	struct moat_qi_desc desc[4];

	moat_gather_add(&g, 4 * P, P);
	moat_gather_add(&g, 16 * P, 8 * P);
	assert_int_equal(moat_tags_encode(&tag, 1, &g, &caps, desc, 4), 2);
	assert_int_equal(desc[0].lo, moat_qi_pasid_iotlb(5, 77, false, 0, 0, true).lo);
	assert_int_equal(desc[0].hi, 4 * P | 1 << 6); /* IH */
	assert_int_equal(desc[1].lo, desc[0].lo);
	assert_int_equal(desc[1].hi, 16 * P | 1 << 6 | 3);
	g.tables = true;
	assert_int_equal(moat_tags_encode(&tag, 1, &g, &caps, desc, 4), 2);
	assert_int_equal(desc[1].hi, 16 * P | 3);
	/* too many runs, or everything: the whole PASID */
	assert_int_equal(moat_tags_encode(&tag, 1, &g, &caps, desc, 1), 1);
	assert_int_equal(desc[0].lo, moat_qi_pasid_iotlb(5, 77, true, 0, 0, false).lo);
	assert_int_equal(moat_tags_encode(&tag, 1, NULL, &caps, desc, 4), 1);
	assert_int_equal(desc[0].lo, moat_qi_pasid_iotlb(5, 77, true, 0, 0, false).lo);
	assert_int_equal(desc[0].hi, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_keep_what_they_are_made_of),
		cmocka_unit_test(iotlbs_come_before_device_tlbs),
		cmocka_unit_test(a_device_is_told_of_every_page),
		cmocka_unit_test(with_no_room_for_each_run_all_is_invalidated),
		cmocka_unit_test(a_whole_tag_takes_all_of_a_device),
		cmocka_unit_test(pages_of_a_pasid_are_invalidated_within_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
