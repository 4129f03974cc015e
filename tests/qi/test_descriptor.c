/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The descriptors bit by bit, compared with numbers that were computed by hand from the
 * specification's layouts ("Invalidation Descriptors").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "moat_qi.h"

static void is(struct moat_qi_desc d, uint64_t hi, uint64_t lo)
{
	assert_int_equal(d.lo, lo);
	assert_int_equal(d.hi, hi);
}

static void context_cache_descriptors_are_laid_out_as_specified(void **state)
{
	is(moat_qi_context_global(), 0, 0x11);
	is(moat_qi_context_domain(0xabcd), 0, 0xabcd0021);
	is(moat_qi_context_device(0x0102, MOAT_SID(0x3a, 0x1f, 7), 3), 0, 0x00033aff01020031);
}

static void iotlb_descriptors_drain_and_are_laid_out_as_specified(void **state)
{
	is(moat_qi_iotlb_global(), 0, 0xd2);
	is(moat_qi_iotlb_domain(0xffff), 0, 0xffff00e2);
	is(moat_qi_iotlb_page(5, 0x123456789000, 3, true), 0x123456789043, 0x000500f2);
	is(moat_qi_iotlb_page(5, 0x200000, 9, false), 0x200009, 0x000500f2);
	is(moat_qi_iotlb_page(1, 0xfff, 0x3f, false), 0x3f, 0x000100f2); /* reserved bits stay 0 */
}

static void device_tlb_descriptors_are_laid_out_as_specified(void **state)
{
	is(moat_qi_device_tlb(MOAT_SID(3, 0, 1), 31, 0x7fffffffffff000, true, 0x1234),
		0x7fffffffffff001, 0x12300301001f4003);
	is(moat_qi_device_tlb(0xffff, 0, 0x1000, false, 0xffff), 0x1000, 0xfff0ffff0000f003);
	is(moat_qi_pasid_device_tlb(0x0301, 0x54321, true, 31, 0x5000, true, 0x1234), 0x5801,
		0x12354321030141f8);
	is(moat_qi_pasid_device_tlb(0x0301, 0xfffff, false, 0, 0x5000, false, 0), 0x5000,
		0x000fffff03010008);
}

static void interrupt_entry_descriptors_are_laid_out_as_specified(void **state)
{
	is(moat_qi_int_entry(true, 0xffff, 31), 0, 0x4);
	is(moat_qi_int_entry(false, 0x1234, 5), 0, 0x0000123428000014);
	is(moat_qi_int_entry(false, 0xffff, 31), 0, 0x0000fffff8000014);
}

static void pasid_descriptors_are_laid_out_as_specified(void **state)
{
	is(moat_qi_pasid_cache(MOAT_QI_PASID_DOMAIN, 7, 0x99), 0, 0x00070007);
	is(moat_qi_pasid_cache(MOAT_QI_PASID_ONE, 7, 0xfffff), 0, 0x000fffff00070017);
	is(moat_qi_pasid_cache(MOAT_QI_PASID_GLOBAL, 7, 0x99), 0, 0x37);
	is(moat_qi_pasid_iotlb(7, 0x12345, true, 0x5000, 3, true), 0, 0x0001234500070026);
	is(moat_qi_pasid_iotlb(7, 0x12345, false, 0x8000, 3, true), 0x8043, 0x0001234500070036);
}

static void wait_descriptors_write_their_data_and_do_not_interrupt(void **state)
{
	is(moat_qi_wait_status(0xfee1234567c, 0xdeadbeef, false), 0xfee1234567c,
		0xdeadbeef00000025);
	is(moat_qi_wait_status(0x1003, 1, true), 0x1000, 0x0000000100000065);
}

static void the_descriptor_without_effect_names_the_domain_that_nobody_has(void **state)
{
	is(moat_qi_no_op(), 0, 0x22);
}

static void each_kind_is_described_in_words(void **state)
{
	static const struct {
		uint64_t lo, hi;
		const char *text;
	} all[] = {
		{ 0x11, 0, "context cache global" },
		{ 0x00033aff01020031, 0, "device-selective, domain-id 258, source-id 3a:1f.7" },
		{ 0x000500f2, 0x123456789043,
			"IOTLB page-selective, domain-id 5, iova 0x123456789000, 2^3 pages, hint" },
		{ 0x12300301001f4003, 0x1000, "device TLB, source-id 03:00.1, iova 0x1000" },
		{ 0x0000123428000014, 0, "interrupt entry cache, index 4660" },
		{ 0xdeadbeef00000025, 0x1000, "wait, writes 3735928559 to 0x1000" },
		{ 0x0001234500070036, 0x8043, "PASID-based IOTLB page-selective, domain-id 7" },
		{ 0x000fffff00070017, 0, "PASID cache, domain-id 7, PASID 1048575" },
		{ 0x12354321030141f8, 0x5801, "PASID-based device TLB, source-id 03:00.1" },
		{ 0x0f, 1, "unknown type (0x0000000000000001 0x000000000000000f)" },
		{ 0x202, 0, "unknown type" },
	};
	char text[160];

	for (unsigned int i = 0; i < RTE_DIM(all); i++) {
		struct moat_qi_desc d = { all[i].lo, all[i].hi };

		moat_qi_describe(&d, text, sizeof(text));
		if (strstr(text, all[i].text) == NULL)
			fail_msg("'%s' lacks '%s'", text, all[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(context_cache_descriptors_are_laid_out_as_specified),
		cmocka_unit_test(iotlb_descriptors_drain_and_are_laid_out_as_specified),
		cmocka_unit_test(device_tlb_descriptors_are_laid_out_as_specified),
		cmocka_unit_test(interrupt_entry_descriptors_are_laid_out_as_specified),
		cmocka_unit_test(pasid_descriptors_are_laid_out_as_specified),
		cmocka_unit_test(wait_descriptors_write_their_data_and_do_not_interrupt),
		cmocka_unit_test(the_descriptor_without_effect_names_the_domain_that_nobody_has),
		cmocka_unit_test(each_kind_is_described_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
