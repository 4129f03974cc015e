/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Second-stage paging entries: permissions, large leaves, reserved and ignored bits. */

#include <stdio.h>

#include "registers.h"

#define IOVA UINT64_C(0x40201000)
#define DID  7

static uint64_t table; /* root of the device's table */

static uint64_t *entry(unsigned int level)
{
	return raw_entry(&raw, table, raw_levels(&raw), IOVA, level);
}

/** Map a page at IOVA. @return its HPA */
static uint64_t mapped(void)
{
	uint64_t page;

	table = raw_page(&raw);
	page = raw_page(&raw);
	raw_store(&raw, entry(1), page | MOAT_SS_R | MOAT_SS_W);
	raw_attach(&raw, table, raw_levels(&raw), DID);
	raw_forget(&raw);
	return page;
}

static uint64_t word(uint64_t hpa)
{
	return *(volatile uint64_t *)raw_va(&raw, hpa);
}

void permission_is_what_every_level_grants(void **state)
{
	uint64_t page = mapped(), pde = *entry(2) & MOAT_SS_ADDR, expect = 0;
	char what[64];

	for (unsigned int upper = 0; upper < 4; upper++) {
		for (unsigned int lower = 0; lower < 4; lower++) {
			raw_store(&raw, entry(2), pde | upper);
			/* raw_entry(1) would make a table where the upper entry has none, so store
			 * by address */
			raw_store(&raw, (uint64_t *)raw_va(&raw, pde) + (IOVA >> 12 & 511),
				page | lower);
			raw_forget(&raw);
			snprintf(what, sizeof(what), "write, PDE %u PTE %u", upper, lower);
			conform(what, raw_write(&raw, IOVA, upper * 4 + lower),
				upper & lower & MOAT_SS_W ? 0 : VTD_FR_WRITE);
			expect = upper & lower & MOAT_SS_W ? upper * 4 + lower : expect;
			assert_int_equal(word(page), expect);
			raw_forget(&raw);
			snprintf(what, sizeof(what), "read, PDE %u PTE %u", upper, lower);
			conform(what, raw_read(&raw, IOVA),
				upper & lower & MOAT_SS_R ? 0 : VTD_FR_READ);
		}
	}
}

void a_cached_translation_grants_no_more_than_the_entries(void **state)
{
	uint64_t page = mapped();

	raw_store(&raw, entry(1), page | MOAT_SS_W);
	raw_forget(&raw);
	assert_int_equal(raw_write(&raw, IOVA, 21), 0);
	conform("read of a cached write-only page", raw_read(&raw, IOVA), VTD_FR_READ);
	raw_store(&raw, entry(1), page | MOAT_SS_R);
	raw_forget(&raw);
	assert_int_equal(raw_read(&raw, IOVA), 0);
	conform("write to a cached read-only page", raw_write(&raw, IOVA, 22), VTD_FR_WRITE);
	assert_int_equal(word(page), 21);
}

/** Reach the page at `hpa` through a leaf of `level`, at an offset within the leaf that is not
 * 0. */
static void through_leaf(unsigned int level)
{
	uint64_t size = MOAT_PAGE_SIZE << 9 * (level - 1), page = raw_page(&raw), iova;
	char what[64];

	iova = (IOVA & ~(size - 1)) | (page & (size - 1));
	raw_store(&raw, entry(level), (page & ~(size - 1)) | MOAT_SS_R | MOAT_SS_W | MOAT_SS_PS);
	raw_forget(&raw);
	snprintf(what, sizeof(what), "leaf of level %u", level);
	conform(what, raw_write(&raw, iova + 16, level * 0x33), 0);
	assert_int_equal(word(page + 16), level * 0x33);
}

void leaves_of_2m_and_1g_translate(void **state)
{
	for (unsigned int level = 2; level <= 3; level++) {
		raw_fresh(&raw);
		mapped();
		if (raw.caps.sllps & 1 << (level - 2)) {
			through_leaf(level);
			continue;
		}
		raw_store(&raw, entry(level), raw.hpa | MOAT_SS_R | MOAT_SS_W | MOAT_SS_PS);
		raw_forget(&raw);
		conform(level == 2 ? "2 MiB leaf without SSLPS" : "1 GiB leaf without SSLPS",
			raw_write(&raw, IOVA, 1), VTD_FR_PAGING_RSVD);
	}
}

static void assert_reserved(const char *what, unsigned int level, uint64_t bad)
{
	uint64_t *e = entry(level), good = *e;

	raw_store(&raw, e, bad);
	raw_forget(&raw);
	conform(what, raw_write(&raw, IOVA, 1), VTD_FR_PAGING_RSVD);
	raw_store(&raw, e, good);
	raw_forget(&raw);
}

void reserved_bits_of_paging_entries_fault(void **state)
{
	uint64_t page = mapped(), rw = MOAT_SS_R | MOAT_SS_W, good = *entry(1);

	if (rig_traits.haw < 52) {
		assert_reserved("leaf beyond HAW", 1, good | UINT64_C(1) << rig_traits.haw);
		assert_reserved("leaf, bit 51", 1, good | UINT64_C(1) << 51);
		assert_reserved("PDE beyond HAW", 2, *entry(2) | UINT64_C(1) << rig_traits.haw);
	}
	if (!raw.caps.sc)
		assert_reserved("SNP without SC", 1, good | 1 << 11);
	if (raw.caps.sllps & 1)
		assert_reserved("2 MiB leaf, bit 12", 2,
			(page & ~(MOAT_2M_SIZE - 1)) | 1 << 12 | rw | MOAT_SS_PS);
	if (raw.caps.sllps & 2)
		assert_reserved("1 GiB leaf, bit 21", 3,
			(page & ~(MOAT_1G_SIZE - 1)) | 1 << 21 | rw | MOAT_SS_PS);
	if (raw_levels(&raw) >= 4)
		assert_reserved("PS in a PML4E", 4, *entry(4) | MOAT_SS_PS);
	assert_int_equal(raw_write(&raw, IOVA, 0x33), 0);
	assert_int_equal(word(page), 0x33);
	/* Neither R nor W: not present, so nothing is reserved. */
	raw_store(&raw, entry(1), UINT64_C(1) << 51 | 1 << 11);
	raw_forget(&raw);
	conform("reserved bits of an absent leaf, write", raw_write(&raw, IOVA, 1), VTD_FR_WRITE);
	conform("reserved bits of an absent leaf, read", raw_read(&raw, IOVA), VTD_FR_READ);
}

void ignored_bits_of_paging_entries_are_ignored(void **state)
{
	static const uint64_t ignored = UINT64_C(0x3ff) << 52 | 1 << 10; /* 61:52 and 10 */
	uint64_t page = mapped();

	raw_store(&raw, entry(1), *entry(1) | ignored);
	raw_forget(&raw);
	conform("leaf, ignored bits", raw_write(&raw, IOVA, 0x44), 0);
	assert_int_equal(word(page), 0x44);
	raw_store(&raw, entry(2), *entry(2) | ignored);
	raw_forget(&raw);
	conform("PDE, ignored bits", raw_write(&raw, IOVA, 0x45), 0);
	assert_int_equal(word(page), 0x45);
}

void an_access_over_two_pages_stops_at_the_one_that_is_refused(void **state)
{
	uint64_t page = mapped();
	struct raw_fault f;

	raw_dma(&raw, true, IOVA + MOAT_PAGE_SIZE - 32, 100, 64);
	assert_true(raw_fault(&raw, &f));
	conform("second page, reason", f.reason, VTD_FR_WRITE);
	conform("second page, address", f.address & MOAT_SS_ADDR, IOVA + MOAT_PAGE_SIZE);
	assert_int_equal(word(page + MOAT_PAGE_SIZE - 8), 103);
}
