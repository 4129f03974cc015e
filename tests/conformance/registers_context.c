/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Root and context entries: which requests pass, at which width, and which faults occur. */

#include <stdio.h>
#include <string.h>

#include "registers.h"

#define IOVA UINT64_C(0x40201000)
#define DID  7

/** Attach the device to a table with one page at IOVA. @return the page's HPA */
static uint64_t attached(void)
{
	unsigned int levels = raw_levels(&raw);
	uint64_t root = raw_page(&raw), page = raw_page(&raw);

	raw_map(&raw, root, levels, IOVA, page | MOAT_SS_R | MOAT_SS_W);
	raw_attach(&raw, root, levels, DID);
	raw_forget(&raw);
	return page;
}

static uint64_t word(uint64_t hpa)
{
	return *(volatile uint64_t *)raw_va(&raw, hpa);
}

static struct vtd_entry *context(void)
{
	return &raw.context[raw.sid & 0xff];
}

static void assert_works(uint64_t page)
{
	static unsigned int tag;

	tag = tag % (RAW_TAGS - 1) + 1;
	assert_int_equal(raw_write(&raw, IOVA, tag), 0);
	assert_int_equal(word(page), tag);
}

void the_capabilities_make_sense(void **state)
{
	char text[4096];

	moat_vtd_caps_text(&raw.caps, text, sizeof(text));
	print_message("# %s\n", rig_traits.unit);
	for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
		print_message("#   %.*s\n", (int)(end - line), line);
	assert_true(raw.caps.qi);
	assert_true(raw.caps.mgaw >= 30 && raw.caps.mgaw <= 57);
}

void a_source_without_root_entry_faults(void **state)
{
	uint64_t page = attached(), lo = raw.root[raw.sid >> 8].lo;

	assert_works(page);
	raw_store(&raw, &raw.root[raw.sid >> 8].lo, 0);
	raw_forget(&raw);
	conform("root entry absent, write", raw_write(&raw, IOVA, 1), VTD_FR_ROOT_P);
	conform("root entry absent, read", raw_read(&raw, IOVA), VTD_FR_ROOT_P);
	raw_store(&raw, &raw.root[raw.sid >> 8].lo, lo);
}

void a_source_without_context_entry_faults(void **state)
{
	uint64_t page = attached();

	assert_works(page);
	raw_context(&raw, 0, 0);
	raw_forget(&raw);
	conform("context entry absent, write", raw_write(&raw, IOVA, 1), VTD_FR_CONTEXT_P);
	conform("context entry absent, read", raw_read(&raw, IOVA), VTD_FR_CONTEXT_P);
}

void reserved_bits_of_a_root_entry_fault(void **state)
{
	struct vtd_entry *e = &raw.root[raw.sid >> 8];
	uint64_t page = attached(), lo = e->lo;

	raw_store(&raw, &e->lo, lo | 1 << 1);
	raw_forget(&raw);
	conform("root entry, bit 1", raw_write(&raw, IOVA, 1), VTD_FR_ROOT_RSVD);
	raw_store(&raw, &e->lo, lo | 1 << 11);
	raw_forget(&raw);
	conform("root entry, bit 11", raw_write(&raw, IOVA, 1), VTD_FR_ROOT_RSVD);
	raw_store(&raw, &e->lo, lo);
	raw_store(&raw, &e->hi, 1);
	raw_forget(&raw);
	conform("root entry, bit 64", raw_write(&raw, IOVA, 1), VTD_FR_ROOT_RSVD);
	raw_store(&raw, &e->hi, 0);
	raw_forget(&raw);
	assert_works(page);
}

void reserved_bits_of_a_context_entry_fault(void **state)
{
	static const unsigned int bits[] = { 4, 11, 64 + 7, 64 + 24, 64 + 63 };
	uint64_t page = attached(), lo = context()->lo, hi = context()->hi;

	for (unsigned int i = 0; i < RTE_DIM(bits); i++) {
		char what[64];

		snprintf(what, sizeof(what), "context entry, bit %u", bits[i]);
		if (bits[i] < 64)
			raw_context(&raw, lo | UINT64_C(1) << bits[i], hi);
		else
			raw_context(&raw, lo, hi | UINT64_C(1) << (bits[i] - 64));
		raw_forget(&raw);
		conform(what, raw_write(&raw, IOVA, 1), VTD_FR_CONTEXT_RSVD);
	}
	raw_context(&raw, lo, hi | 0x78); /* bits 70:67 are ignored */
	raw_forget(&raw);
	conform("context entry, ignored bits", raw_write(&raw, IOVA, 1), 0);
	raw_context(&raw, lo, hi);
	raw_forget(&raw);
	assert_works(page);
}

void a_width_that_the_unit_lacks_faults(void **state)
{
	uint64_t page = attached(), lo = context()->lo, hi = context()->hi & ~VTD_CTX_AW;

	for (unsigned int aw = 0; aw < 8; aw++) {
		char what[64];

		if (aw < 4 && raw.caps.sagaw & 1 << aw)
			continue;
		snprintf(what, sizeof(what), "context entry, AW %u", aw);
		raw_context(&raw, lo, hi | aw);
		raw_forget(&raw);
		conform(what, raw_write(&raw, IOVA, 1), VTD_FR_CONTEXT_INV);
	}
	raw_context(&raw, lo, hi | (raw_levels(&raw) - 2));
	raw_forget(&raw);
	assert_works(page);
}

void a_translation_type_that_the_unit_lacks_faults(void **state)
{
	uint64_t page = attached(), lo = context()->lo, hi = context()->hi;

	raw_context(&raw, lo | 3 << VTD_CTX_TT_SHIFT, hi);
	raw_forget(&raw);
	conform("context entry, TT 11b", raw_write(&raw, IOVA, 1), VTD_FR_CONTEXT_INV);
	raw_context(&raw, lo | VTD_TT_DEVICE_TLB << VTD_CTX_TT_SHIFT, hi);
	raw_forget(&raw);
	conform("context entry, TT 01b", raw_write(&raw, IOVA, 1),
		raw.caps.dt ? 0 : VTD_FR_CONTEXT_INV);
	if (!raw.caps.pt) {
		raw_context(&raw, lo | VTD_TT_PASS_THROUGH << VTD_CTX_TT_SHIFT, hi);
		raw_forget(&raw);
		conform("context entry, TT 10b without PT", raw_write(&raw, IOVA, 1),
			VTD_FR_CONTEXT_INV);
	}
	raw_context(&raw, lo, hi);
	raw_forget(&raw);
	assert_works(page);
}

void each_supported_width_translates_and_ends_where_it_says(void **state)
{
	for (unsigned int levels = 3; levels <= 5; levels++) {
		unsigned int width = RTE_MIN(12 + 9 * levels, raw.caps.mgaw);
		uint64_t last = (UINT64_C(1) << width) - MOAT_PAGE_SIZE, root, page;
		char what[64];

		if (!(raw.caps.sagaw & 1 << (levels - 2)))
			continue;
		raw_fresh(&raw);
		root = raw_page(&raw);
		page = raw_page(&raw);
		raw_map(&raw, root, levels, last, page | MOAT_SS_R | MOAT_SS_W);
		raw_attach(&raw, root, levels, DID);
		raw_forget(&raw);
		assert_int_equal(raw_write(&raw, last, levels), 0);
		assert_int_equal(word(page), levels);
		snprintf(what, sizeof(what), "address beyond %u levels", levels);
		if (width < 64)
			conform(what, raw_write(&raw, last + MOAT_PAGE_SIZE, 1), VTD_FR_BEYOND_AW);
	}
}

void pass_through_leaves_addresses_alone(void **state)
{
	uint64_t page = raw_page(&raw);

	if (!raw.caps.pt)
		unit_lacks("ECAP.PT is clear");
	raw_context(&raw, VTD_CTX_P | VTD_TT_PASS_THROUGH << VTD_CTX_TT_SHIFT, raw_pass_hi(&raw));
	raw_forget(&raw);
	conform("pass-through", raw_write(&raw, page + 8, 0x155), 0);
	assert_int_equal(word(page + 8), 0x155);
}

void fault_processing_disable_blocks_in_silence(void **state)
{
	uint64_t page = attached(), lo = context()->lo, hi = context()->hi;

	raw_context(&raw, lo | VTD_CTX_FPD, hi);
	raw_forget(&raw);
	conform("FPD, a good address", raw_write(&raw, IOVA, 0x77), 0);
	assert_int_equal(word(page), 0x77);
	conform("FPD, not mapped", raw_write(&raw, IOVA + 0x200000, 1), 0);
	raw_context(&raw, VTD_CTX_FPD, hi);
	raw_forget(&raw);
	conform("FPD of an absent entry", raw_write(&raw, IOVA, 0x99), 0);
	assert_int_equal(word(page), 0x77); /* blocked all the same */
}
