/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Scalable mode: PASID entries, first stage, second stage, nested, and their faults. Requests have
 * no PASID, so they use RID_PASID of the context entry. */

#include <stdio.h>

#include "registers.h"

#define IOVA UINT64_C(0x40201000)
#define DID  7
#define LINK UINT64_C(0x27) /* P, R/W, U/S, A */
#define LEAF UINT64_C(0x67) /* and D */
#define RO   UINT64_C(0x65)
#define US   UINT64_C(4)
#define PS   UINT64_C(0x80)

/* HPAs: of a page, and of the first-stage and second-stage tables that map it at IOVA */
static uint64_t page, second, first;

static uint64_t word(uint64_t hpa)
{
	return *(volatile uint64_t *)raw_va(&raw, hpa);
}

static bool can(enum vtd_pgtt pgtt)
{
	return pgtt == VTD_PGTT_FIRST_STAGE     ? raw.caps.flts
		: pgtt == VTD_PGTT_SECOND_STAGE ? raw.caps.slts
		: pgtt == VTD_PGTT_NESTED       ? raw.caps.nest && raw.caps.flts && raw.caps.slts
						: raw.caps.pt;
}

/** Enter scalable mode with this PGTT in the device's PASID entry. Ends the test as skipped if the
 * unit lacks it. */
static void begin(enum vtd_pgtt pgtt)
{
	static const char *const lacks[] = { [VTD_PGTT_FIRST_STAGE] = "ECAP.FSTS is clear",
		[VTD_PGTT_SECOND_STAGE] = "ECAP.SSTS is clear",
		[VTD_PGTT_NESTED] = "ECAP.NEST, FSTS or SSTS is clear",
		[VTD_PGTT_PASS_THROUGH] = "ECAP.PT is clear" };

	if (!raw.caps.pt) /* without pass-through the machine's other devices would be cut off */
		unit_lacks("ECAP.PT is clear");
	if (!can(pgtt))
		unit_lacks(lacks[pgtt]);
	raw_scalable(&raw, true);
	page = raw_page(&raw);
	second = raw_page(&raw);
	first = raw_page(&raw);
	raw_map(&raw, second, 4, IOVA, page | MOAT_SS_R | MOAT_SS_W);
	raw_store(&raw, raw_first_entry(&raw, first, IOVA, 1), page | LEAF);
	raw_pasid(&raw, pgtt, DID, pgtt == VTD_PGTT_FIRST_STAGE ? 0 : second,
		pgtt == VTD_PGTT_FIRST_STAGE ? first : 0);
	raw_forget(&raw);
}

/** Start with any stage that the unit has, for tests of the tables in front of the stages. */
static void begin_any(void)
{
	begin(raw.caps.slts ? VTD_PGTT_SECOND_STAGE : VTD_PGTT_FIRST_STAGE);
}

static void assert_works(void)
{
	static unsigned int tag;

	tag = tag % (RAW_TAGS - 1) + 1;
	assert_int_equal(raw_write(&raw, IOVA, tag), 0);
	assert_int_equal(word(page), tag);
	assert_int_equal(raw_read(&raw, IOVA), 0);
}

/** Assert that the device is refused with `value` in an entry, and works again with the old
 * value. */
static void assert_faults(const char *what, uint64_t *entry, uint64_t value,
	enum vtd_fault_reason reason)
{
	uint64_t before = *entry;

	raw_store(&raw, entry, value);
	raw_forget(&raw);
	conform(what, raw_write(&raw, IOVA, 1), reason);
	raw_store(&raw, entry, before);
	raw_forget(&raw);
	assert_works();
}

/* ------------------------------------------------------------------------------------ stages */

void scalable_mode_passes_requests_through(void **state)
{
	begin(VTD_PGTT_PASS_THROUGH);
	conform("pass-through, write", raw_write(&raw, page + 8, 5), 0);
	assert_int_equal(word(page + 8), 5);
	conform("pass-through, read", raw_read(&raw, page + 8), 0);
}

void scalable_mode_translates_by_second_stage(void **state)
{
	begin(VTD_PGTT_SECOND_STAGE);
	assert_works();
}

void scalable_mode_translates_by_first_stage(void **state)
{
	begin(VTD_PGTT_FIRST_STAGE);
	assert_works();
}

static void begin_nested(void)
{
	begin(VTD_PGTT_NESTED);
	/* Second stage maps each page of the arena to itself. */
	for (uint64_t at = 0; at < MOAT_2M_SIZE; at += MOAT_PAGE_SIZE)
		raw_map(&raw, second, 4, raw.hpa + at, (raw.hpa + at) | MOAT_SS_R | MOAT_SS_W);
	raw_pasid(&raw, VTD_PGTT_NESTED, DID, second, first);
	raw_forget(&raw);
	assert_works();
}

void scalable_mode_nests_first_stage_in_second_stage(void **state)
{
	begin_nested();
	raw_store(&raw, raw_entry(&raw, second, 4, page, 1), page | MOAT_SS_R);
	raw_forget(&raw);
	conform("nested, write without second stage's W", raw_write(&raw, IOVA, 1),
		VTD_FR_SM_WRITE);
}

/* Nested translations are dropped by an invalidation of the PASID entry's domain-id and a
 * second-stage page, wherever that page is in the nested addresses; and by the PASID and a
 * first-stage page. */
void nested_translations_go_with_a_page_of_either_stage(void **state)
{
	struct moat_qi_desc desc;
	uint64_t *leaf;

	begin_nested();
	leaf = raw_entry(&raw, second, 4, page, 1);
	raw_store(&raw, leaf, 0);
	desc = moat_qi_iotlb_page(DID, page, 0, true);
	assert_true(raw_sync(&raw, &desc, 1));
	conform("nested, page absent in second stage", raw_write(&raw, IOVA, 1), VTD_FR_SS_P);
	raw_store(&raw, leaf, page | MOAT_SS_R | MOAT_SS_W);
	assert_works();
	raw_store(&raw, raw_first_entry(&raw, first, IOVA, 1), 0);
	desc = moat_qi_pasid_iotlb(DID, 0, false, IOVA, 0, true);
	assert_true(raw_sync(&raw, &desc, 1));
	conform("nested, page absent in first stage", raw_write(&raw, IOVA, 1), VTD_FR_FS_P);
}

/* The unit writes to a first-stage table only if Accessed or Dirty is clear. */
void nested_tables_may_be_read_only_where_accessed_and_dirty_are_set(void **state)
{
	uint64_t *leaf;

	begin_nested();
	leaf = raw_first_entry(&raw, first, IOVA, 1);
	for (uint64_t at = 0; at < MOAT_2M_SIZE; at += MOAT_PAGE_SIZE)
		if (raw.hpa + at != page)
			raw_store(&raw, raw_entry(&raw, second, 4, raw.hpa + at, 1),
				(raw.hpa + at) | MOAT_SS_R);
	raw_forget(&raw);
	assert_works();
	assert_faults("nested, D clear in a read-only table", leaf, *leaf & ~UINT64_C(0x40),
		VTD_FR_NEST_WRITE);
}

void first_stage_sets_accessed_and_dirty(void **state)
{
	uint64_t *leaf;

	begin(VTD_PGTT_FIRST_STAGE);
	leaf = raw_first_entry(&raw, first, IOVA, 1);
	raw_store(&raw, leaf, page | 7);
	raw_forget(&raw);
	assert_int_equal(raw_read(&raw, IOVA), 0);
	conform("read, A", *(volatile uint64_t *)leaf & 0x60, 0x20);
	assert_int_equal(raw_write(&raw, IOVA, 3), 0);
	conform("write, A and D", *(volatile uint64_t *)leaf & 0x60, 0x60);
}

void first_stage_leaves_of_2m_and_1g_translate(void **state)
{
	uint64_t inside;

	begin(VTD_PGTT_FIRST_STAGE);
	inside = page - raw.hpa;
	raw_store(&raw, raw_first_entry(&raw, first, IOVA, 2), raw.hpa | LEAF | PS);
	raw_forget(&raw);
	conform("first stage, 2 MiB", raw_write(&raw, (IOVA & ~(MOAT_2M_SIZE - 1)) + inside, 9), 0);
	assert_int_equal(word(page), 9);
	if (!raw.caps.fl1gp)
		return;
	raw_store(&raw, raw_first_entry(&raw, first, IOVA, 3),
		(raw.hpa & ~(MOAT_1G_SIZE - 1)) | LEAF | PS);
	raw_forget(&raw);
	conform("first stage, 1 GiB",
		raw_write(&raw, (IOVA & ~(MOAT_1G_SIZE - 1)) + (page & (MOAT_1G_SIZE - 1)), 10), 0);
	assert_int_equal(word(page), 10);
}

/* ----------------------------------------------------------------------------------- refusals */

void absent_scalable_entries_fault(void **state)
{
	uint64_t *root;

	begin_any();
	root = &raw.sm_root[(raw.sid >> 8) * 2 + (raw.sid >> 7 & 1)];
	assert_works();
	assert_faults("scalable root entry absent", root, 0, VTD_FR_SM_ROOT_P);
	assert_faults("scalable context entry absent", raw.sm_context, 0, VTD_FR_SM_CONTEXT_P);
	assert_faults("PASID directory entry absent", raw.sm_dir, 0, VTD_FR_PASID_DIR_P);
	assert_faults("PASID entry absent", raw.sm_pasid, *raw.sm_pasid & ~UINT64_C(1),
		VTD_FR_PASID_P);
	assert_faults("PASID entry all zero", raw.sm_pasid, 0, VTD_FR_PASID_P);
}

void reserved_bits_of_scalable_entries_fault(void **state)
{
	uint64_t *root;

	begin_any();
	root = &raw.sm_root[(raw.sid >> 8) * 2 + (raw.sid >> 7 & 1)];
	assert_faults("scalable root entry, bit 1", root, *root | 1 << 1, VTD_FR_SM_ROOT_RSVD);
	assert_faults("scalable context entry, bit 5", raw.sm_context, *raw.sm_context | 1 << 5,
		VTD_FR_SM_CONTEXT_RSVD);
	assert_faults("scalable context entry, bit 85", &raw.sm_context[1], UINT64_C(1) << 21,
		VTD_FR_SM_CONTEXT_RSVD);
	assert_faults("PASID directory entry, bit 2", raw.sm_dir, *raw.sm_dir | 1 << 2,
		VTD_FR_PASID_DIR_RSVD);
	assert_faults("PASID entry, bit 5", raw.sm_pasid, *raw.sm_pasid | 1 << 5,
		VTD_FR_PASID_RSVD);
	assert_faults("PASID entry, bit 80", &raw.sm_pasid[1], raw.sm_pasid[1] | 1 << 16,
		VTD_FR_PASID_RSVD);
}

void a_pasid_entry_that_is_wrong_faults(void **state)
{
	uint64_t e;

	begin_any();
	e = *raw.sm_pasid;
	assert_faults("PASID entry, PGTT 0", raw.sm_pasid, e & ~UINT64_C(0x1c0), VTD_FR_PASID_INV);
	assert_faults("PASID entry, PGTT 5", raw.sm_pasid, (e & ~UINT64_C(0x1c0)) | 5 << 6,
		VTD_FR_PASID_INV);
	if (raw.caps.slts)
		assert_faults("PASID entry, AW 5", raw.sm_pasid, (e & ~UINT64_C(0x1c)) | 5 << 2,
			VTD_FR_PASID_INV);
	else
		assert_faults("PASID entry, FSPM 2", &raw.sm_pasid[2], raw.sm_pasid[2] | 2 << 2,
			VTD_FR_PASID_INV);
}

void second_stage_of_scalable_mode_refuses_with_its_own_reasons(void **state)
{
	uint64_t *leaf;

	begin(VTD_PGTT_SECOND_STAGE);
	leaf = raw_entry(&raw, second, 4, IOVA, 1);
	assert_faults("scalable second stage, W clear", leaf, page | MOAT_SS_R, VTD_FR_SM_WRITE);
	assert_faults("scalable second stage, absent", leaf, 0, VTD_FR_SS_P);
	assert_faults("scalable second stage, reserved bit", raw_entry(&raw, second, 4, IOVA, 4),
		*raw_entry(&raw, second, 4, IOVA, 4) | PS, VTD_FR_SS_RSVD);
	raw_store(&raw, leaf, page | MOAT_SS_W);
	raw_forget(&raw);
	conform("scalable second stage, R clear", raw_read(&raw, IOVA), VTD_FR_SM_READ);
	conform("scalable second stage, beyond AW", raw_write(&raw, UINT64_C(1) << 48 | IOVA, 1),
		VTD_FR_SM_BEYOND_AW);
}

void first_stage_refuses_with_its_own_reasons(void **state)
{
	uint64_t *leaf;

	begin(VTD_PGTT_FIRST_STAGE);
	leaf = raw_first_entry(&raw, first, IOVA, 1);
	assert_faults("first stage, P clear", leaf, 0, VTD_FR_FS_P);
	assert_faults("first stage, link absent", raw_first_entry(&raw, first, IOVA, 3), 0,
		VTD_FR_FS_P);
	assert_faults("first stage, R/W clear", leaf, page | RO, VTD_FR_SM_WRITE);
	assert_faults("first stage, U/S clear", leaf, page | (LEAF & ~US), VTD_FR_SM_USER);
	assert_faults("first stage, reserved bit", raw_first_entry(&raw, first, IOVA, 4),
		*raw_first_entry(&raw, first, IOVA, 4) | PS, VTD_FR_FS_RSVD);
	conform("first stage, not canonical", raw_write(&raw, UINT64_C(1) << 47 | IOVA, 1),
		VTD_FR_SM_CANONICAL);
}

void fault_processing_disable_is_heeded_in_scalable_mode(void **state)
{
	begin_any();
	raw_store(&raw, raw.sm_pasid, *raw.sm_pasid | 1 << 1);
	raw_forget(&raw);
	conform("FPD of a PASID entry", raw_write(&raw, IOVA + MOAT_PAGE_SIZE, 1), 0);
	raw_store(&raw, raw.sm_pasid, (*raw.sm_pasid & ~UINT64_C(2)));
	raw_store(&raw, raw.sm_context, *raw.sm_context | 1 << 1);
	raw_forget(&raw);
	conform("FPD of a scalable context entry", raw_write(&raw, IOVA + MOAT_PAGE_SIZE, 1), 0);
	raw_store(&raw, raw.sm_context, *raw.sm_context & ~UINT64_C(2));
	raw_forget(&raw);
	assert_works();
}

/* ------------------------------------------------------------------------------- invalidation */

void pasid_cache_invalidations_of_every_kind_reach_the_entry(void **state)
{
	const struct moat_qi_desc of_cache[] = { moat_qi_pasid_cache(MOAT_QI_PASID_DOMAIN, DID, 0),
		moat_qi_pasid_cache(MOAT_QI_PASID_ONE, DID, 0),
		moat_qi_pasid_cache(MOAT_QI_PASID_GLOBAL, 0, 0) };
	const struct moat_qi_desc iotlb = moat_qi_iotlb_domain(DID);

	begin_any();
	for (unsigned int i = 0; i < RTE_DIM(of_cache); i++) {
		uint64_t e = *raw.sm_pasid;
		char what[64];

		assert_works();
		raw_store(&raw, raw.sm_pasid, 0);
		assert_true(raw_sync(&raw, &of_cache[i], 1));
		assert_true(raw_sync(&raw, &iotlb, 1));
		snprintf(what, sizeof(what), "PASID-cache invalidation %u", i);
		conform(what, raw_write(&raw, IOVA, 1), VTD_FR_PASID_P);
		/* only P is cleared */
		raw_store(&raw, raw.sm_pasid, e);
		raw_forget(&raw);
		assert_works();
		raw_store(&raw, raw.sm_pasid, e & ~UINT64_C(1));
		assert_true(raw_sync(&raw, &of_cache[i], 1));
		assert_true(raw_sync(&raw, &iotlb, 1));
		snprintf(what, sizeof(what), "P cleared, PASID-cache invalidation %u", i);
		conform(what, raw_write(&raw, IOVA, 1), VTD_FR_PASID_P);
		raw_store(&raw, raw.sm_pasid, e);
		raw_forget(&raw);
	}
}

void pasid_iotlb_invalidations_reach_first_stage(void **state)
{
	const struct moat_qi_desc of_iotlb[] = { moat_qi_pasid_iotlb(DID, 0, true, 0, 0, false),
		moat_qi_pasid_iotlb(DID, 0, false, IOVA, 0, false) };

	begin(VTD_PGTT_FIRST_STAGE);
	for (unsigned int i = 0; i < RTE_DIM(of_iotlb); i++) {
		uint64_t *leaf = raw_first_entry(&raw, first, IOVA, 1);
		char what[64];

		assert_works();
		raw_store(&raw, leaf, 0);
		assert_true(raw_sync(&raw, &of_iotlb[i], 1));
		snprintf(what, sizeof(what), "PASID-based IOTLB invalidation %u", i);
		conform(what, raw_write(&raw, IOVA, 1), VTD_FR_FS_P);
		raw_store(&raw, leaf, page | LEAF);
		raw_forget(&raw);
	}
}
