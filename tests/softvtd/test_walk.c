/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Root, context and second-stage tables: what translates, and every reason for a refusal.
 */
#include "rig.h"

#define SID  0x0310 /* 03:02.0 */
#define DID  7
#define IOVA UINT64_C(0x12345000)

static struct rig rig;
static uint64_t *table; /* of DID */
static char *page;      /* mapped at IOVA */

static void up(const struct moat_softvtd_conf *conf)
{
	rig_up(&rig, conf);
	table = rig_page(&rig);
	page = rig_page(&rig);
	rig_attach(&rig, SID, DID, table, 4);
	rig_map(&rig, table, 4, IOVA, page, MOAT_RW);
}

static int setup(void **state)
{
	up(NULL);
	return 0;
}

/* Only the arena of the rig is memory. */
static int setup_arena(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.memory_size = RIG_ARENA;
	up(&conf);
	return 0;
}

static int teardown(void **state)
{
	rig_no_misuse(&rig);
	rig_down(&rig);
	return 0;
}

static void flush_all(void)
{
	rig_do(&rig, RIG_CTX_GLOBAL, 0);
	rig_do(&rig, RIG_IOTLB_GLOBAL, 0);
}

/* Assert that the device's read and write end with these reasons with empty caches, and that the
 * fault recording registers have them. */
static void refused(uint64_t iova, unsigned int read_reason, unsigned int write_reason)
{
	uint64_t word;

	flush_all();
	for (unsigned int write = 0; write < 2; write++) {
		unsigned int reason = write ? write_reason : read_reason;
		int got = write ? rig_write(&rig, SID, iova, 1) : rig_read(&rig, SID, iova, &word);
		uint32_t fri = moat_softvtd_read32(rig.sv, 0x34) >> 8 & 0xff;
		uint64_t frcd = rig.conf.fro + fri * 16;
		uint64_t hi = moat_softvtd_read64(rig.sv, frcd + 8);

		assert_int_equal(got, reason);
		assert_true(moat_softvtd_read32(rig.sv, 0x34) & 2); /* PPF */
		assert_int_equal(hi >> 63, 1);                      /* F */
		assert_int_equal(hi >> 62 & 1, !write);             /* T1 */
		assert_int_equal(hi >> 32 & 0xff, reason);
		assert_int_equal(hi & 0xffff, SID);
		assert_int_equal(moat_softvtd_read64(rig.sv, frcd), iova & ~UINT64_C(0xfff));
		moat_softvtd_write64(rig.sv, frcd + 8, UINT64_C(1) << 63);
		assert_false(moat_softvtd_read32(rig.sv, 0x34) & 2);
	}
}

/* ------------------------------------------------------------------------ what translates */

static void mapped_pages_are_read_and_written(void **state)
{
	uint64_t word = 0;

	assert_int_equal(rig_write(&rig, SID, IOVA + 8, 0x1122334455667788), 0);
	assert_int_equal(*(uint64_t *)(page + 8), 0x1122334455667788);
	assert_int_equal(rig_read(&rig, SID, IOVA + 8, &word), 0);
	assert_int_equal(word, 0x1122334455667788);
	assert_int_equal(rig_stats(&rig).recorded, 0);
}

static void every_depth_and_leaf_size_translates(void **state)
{
	static const struct {
		unsigned int sagaw, mgaw, levels;
	} width[] = {
		{ 2, 39, 3 },
		{ 4, 48, 4 },
		{ 8, 57, 5 },
	};
	char *big = mmap(NULL, 2u << 30, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *gib = (char *)(((uintptr_t)big + (1u << 30) - 1) & ~((UINT64_C(1) << 30) - 1));

	rig_down(&rig);
	for (unsigned int w = 0; w < 3; w++) {
		struct moat_softvtd_conf conf;
		uint64_t top = (UINT64_C(1) << width[w].mgaw) - (UINT64_C(1) << 30);

		rig_plain(&conf);
		conf.sagaw = width[w].sagaw;
		conf.mgaw = width[w].mgaw;
		rig_up(&rig, &conf);
		table = rig_page(&rig);
		rig_attach(&rig, SID, DID, table, width[w].levels);
		for (unsigned int level = 1; level <= 3; level++) {
			uint64_t iova = top - level * (UINT64_C(1) << 30);
			uint64_t size = UINT64_C(1) << (12 + 9 * (level - 1));
			uint64_t value = w * 10 + level;

			rig_store(rig_entry(&rig, table, width[w].levels, iova, level),
				rig_hpa(gib) | (level > 1 ? 1 << 7 : 0) | 3);
			assert_int_equal(rig_write(&rig, SID, iova + size - 8, value), 0);
			assert_int_equal(*(uint64_t *)(gib + size - 8), value);
		}
		rig_no_misuse(&rig);
		if (w < 2)
			rig_down(&rig);
	}
	munmap(big, 2u << 30);
}

static void a_burst_crosses_pages_and_tells_where_memory_breaks(void **state)
{
	struct moat_softvtd_guard guard;
	struct moat_softvtd_dma dma[3] = {
		{ .iova = IOVA + 0x800, .len = 0x1000, .prot = MOAT_W },  /* contiguous pages */
		{ .iova = IOVA + 0x1800, .len = 0x1000, .prot = MOAT_W }, /* then elsewhere */
		{ .iova = IOVA + 0x2800, .len = 0x1000, .prot = MOAT_W }, /* then nothing */
	};
	char *second = rig_page(&rig);
	char *third = rig_page(&rig); /* pages made one after the other are neighbours */
	char *gap = rig_page(&rig);
	char *fourth = rig_page(&rig);

	rig_map(&rig, table, 4, IOVA, second, MOAT_RW);
	rig_map(&rig, table, 4, IOVA + 0x1000, third, MOAT_RW);
	rig_map(&rig, table, 4, IOVA + 0x2000, fourth, MOAT_RW);
	assert_ptr_equal(gap, third + 4096);
	moat_softvtd_dma_begin(rig.sv, SID, 0, MOAT_W, &guard);
	assert_int_equal(moat_softvtd_dma_burst(&guard, dma, 3), 1);
	moat_softvtd_dma_end(&guard);
	assert_ptr_equal(dma[0].va, second + 0x800);
	assert_int_equal(dma[0].run, 0x1000);
	assert_ptr_equal(dma[1].va, third + 0x800);
	assert_int_equal(dma[1].run, 0x800);
	assert_int_equal(dma[1].reason, 0);
	assert_ptr_equal(dma[2].va, fourth + 0x800);
	assert_int_equal(dma[2].run, 0x800);
	assert_int_equal(dma[2].reason, 5);
}

static void pass_through_and_disabled_translation_leave_addresses_alone(void **state)
{
	uint64_t *context = rig_context(&rig, SID + 8);
	uint64_t word;

	rig_store(&context[1], DID << 8 | 2); /* AW: the largest supported */
	rig_store(&context[0], 2 << 2 | 1);
	assert_int_equal(rig_write(&rig, SID + 8, rig_hpa(page) + 16, 0xabc), 0);
	assert_int_equal(*(uint64_t *)(page + 16), 0xabc);
	rig_command(&rig, 1u << 31, false);
	assert_int_equal(rig_write(&rig, SID, rig_hpa(page) + 16, 0xdef), 0);
	assert_int_equal(*(uint64_t *)(page + 16), 0xdef);
	/* no memory answers; on a real bus this would not be a fault of the unit either */
	assert_int_equal(rig_read(&rig, SID, 0x5000, &word), MOAT_SOFTVTD_NO_MEMORY);
	assert_int_equal(rig_write(&rig, SID, 0x5000, 1), MOAT_SOFTVTD_NO_MEMORY);
	/* nor does memory answer beyond the host's width: with TE clear nothing is remapped */
	assert_int_equal(rig_write(&rig, SID, UINT64_C(1) << 50, 1), MOAT_SOFTVTD_NO_MEMORY);
	assert_int_equal(rig_stats(&rig).recorded, 0);
	assert_int_equal(rig_stats(&rig).passed, 4);
}

static void the_interrupt_range_is_no_memory(void **state)
{
	uint64_t word;

	rig_map(&rig, table, 4, 0xfee00000, page, MOAT_RW);
	memset(page, 0x5a, 4096);
	assert_int_equal(rig_write(&rig, SID, 0xfee00010, 1), MOAT_SOFTVTD_NO_MEMORY);
	assert_int_equal(rig_read(&rig, SID, 0xfee00010, &word), MOAT_SOFTVTD_NO_MEMORY);
	assert_int_equal(page[16], 0x5a);
	assert_int_equal(rig_stats(&rig).interrupts, 1);
	assert_int_equal(rig_stats(&rig).recorded, 0);
}

/* ------------------------------------------------------------------ root and context entries */

static void reason_1_root_entry_not_present(void **state)
{
	rig_store(&rig.root[2 * (SID >> 8)], 0);
	refused(IOVA, 1, 1);
}

static void reason_2_context_entry_not_present(void **state)
{
	rig_store(rig_context(&rig, SID), 0);
	refused(IOVA, 2, 2);
}

static void reason_3_context_entry_programmed_wrongly(void **state)
{
	uint64_t *context = rig_context(&rig, SID);
	uint64_t lo = context[0], did = DID << 8;

	/* widths that the unit lacks: 0 (reserved), 57 bits, and the encodings beyond */
	static const unsigned int aw[] = { 0, 3, 4, 5, 6, 7 };
	for (unsigned int i = 0; i < RTE_DIM(aw); i++) {
		rig_store(&context[1], did | aw[i]);
		refused(IOVA, 3, 3);
	}
	rig_store(&context[1], did | 2);
	rig_store(&context[0], lo | 1 << 2); /* device TLB: ECAP.DT is 0 */
	refused(IOVA, 3, 3);
	rig_store(&context[0], lo | 3 << 2); /* reserved */
	refused(IOVA, 3, 3);
	rig_store(&context[1], did | 1); /* pass-through, but not the largest width */
	rig_store(&context[0], 2 << 2 | 1);
	refused(IOVA, 3, 3);
	rig_store(&context[1], did | 2); /* SSPTPTR leads to no memory */
	rig_store(&context[0], 1);
	refused(IOVA, 3, 3);
}

static void pass_through_needs_the_capability(void **state)
{
	struct moat_softvtd_conf conf;

	rig_down(&rig);
	rig_plain(&conf);
	conf.pt = false;
	up(&conf);
	rig_store(&rig_context(&rig, SID)[0], 2 << 2 | 1);
	refused(IOVA, 3, 3);
}

static void reason_4_address_beyond_the_width(void **state)
{
	uint64_t *small = rig_page(&rig);

	refused(UINT64_C(1) << 48, 4, 4); /* MGAW */
	rig_attach(&rig, SID, DID, small, 3);
	rig_map(&rig, small, 3, IOVA, page, MOAT_RW);
	flush_all();
	assert_int_equal(rig_write(&rig, SID, IOVA, 1), 0);
	refused(UINT64_C(1) << 39, 4, 4); /* AW */
}

static void reason_8_root_table_unreachable(void **state)
{
	moat_softvtd_write64(rig.sv, 0x20, 0);
	rig_command(&rig, 1u << 30, true);
	refused(IOVA, 8, 8);
}

static void reason_9_context_table_unreachable(void **state)
{
	rig_store(&rig.root[2 * (SID >> 8)], 0x1000 | 1);
	refused(IOVA, 9, 9);
}

static void reason_a_reserved_bits_in_a_root_entry(void **state)
{
	uint64_t *root = &rig.root[2 * (SID >> 8)];
	uint64_t lo = root[0];

	for (unsigned int bit = 1; bit < 12; bit++) {
		rig_store(&root[0], lo | UINT64_C(1) << bit);
		refused(IOVA, 0xa, 0xa);
	}
	rig_store(&root[0], lo | UINT64_C(1) << 50); /* beyond HAW */
	refused(IOVA, 0xa, 0xa);
	rig_store(&root[0], lo);
	for (unsigned int bit = 0; bit < 64; bit += 9) {
		/* cppcheck-suppress objectIndex ; a pointer to two words */
		rig_store(&root[1], UINT64_C(1) << bit);
		refused(IOVA, 0xa, 0xa);
	}
}

static void reason_b_reserved_bits_in_a_context_entry(void **state)
{
	uint64_t *context = rig_context(&rig, SID);
	uint64_t lo = context[0], hi = context[1];

	for (unsigned int bit = 4; bit < 12; bit++) {
		rig_store(&context[0], lo | UINT64_C(1) << bit);
		refused(IOVA, 0xb, 0xb);
	}
	rig_store(&context[0], lo | UINT64_C(1) << 51); /* beyond HAW */
	refused(IOVA, 0xb, 0xb);
	rig_store(&context[0], lo);
	for (unsigned int bit = 24; bit < 64; bit += 3) {
		rig_store(&context[1], hi | UINT64_C(1) << bit);
		refused(IOVA, 0xb, 0xb);
	}
	rig_store(&context[1], hi | 1 << 7);
	refused(IOVA, 0xb, 0xb);
	/* bits 6:3 are ignored */
	rig_store(&context[1], hi | 0x78);
	flush_all();
	assert_int_equal(rig_write(&rig, SID, IOVA, 1), 0);
}

static void reason_30_a_translation_table_mode_that_the_unit_has_not(void **state)
{
	struct moat_softvtd_conf conf;

	for (unsigned int ttm = 1; ttm < 4; ttm++) {
		moat_softvtd_write64(rig.sv, 0x20, rig_hpa(rig.root) | ttm << 10);
		assert_true(moat_softvtd_read64(rig.sv, 0x20) == (rig_hpa(rig.root) | ttm << 10));
		rig_command(&rig, 1u << 30, true); /* SRTP */
		refused(IOVA, 0x30, 0x30);
	}
	moat_softvtd_write64(rig.sv, 0x20, rig_hpa(rig.root));
	rig_command(&rig, 1u << 30, true);
	flush_all();
	assert_int_equal(rig_write(&rig, SID, IOVA, 1), 0);
	assert_int_equal(rig_stats(&rig).misuse[MOAT_SOFTVTD_MISUSE_RESERVED], 3);
	rig_down(&rig); /* so that the teardown sees another unit, without misuses */
	rig_plain(&conf);
	up(&conf);
}

static void reason_c_bit_62_of_a_leaf_with_device_tlbs_too(void **state)
{
	struct moat_softvtd_conf conf;
	uint64_t *entry;

	rig_down(&rig);
	rig_plain(&conf);
	conf.dt = true;
	up(&conf);
	entry = rig_entry(&rig, table, 4, IOVA, 1);
	rig_store(entry, *entry | UINT64_C(1) << 62);
	refused(IOVA, 0xc, 0xc);
}

static void reason_d_translated_requests_where_tt_allows_none(void **state)
{
	struct moat_softvtd_guard guard;
	void *va;

	moat_softvtd_dma_begin(rig.sv, SID, 0, MOAT_RW, &guard);
	assert_int_equal(
		moat_softvtd_request(&guard, MOAT_SOFTVTD_TRANSLATED, IOVA, MOAT_R, false, &va),
		0xd);
	assert_int_equal(
		moat_softvtd_request(&guard, MOAT_SOFTVTD_TRANSLATION, IOVA, MOAT_R, false, &va),
		0xd);
	assert_int_equal(
		moat_softvtd_request(&guard, MOAT_SOFTVTD_UNTRANSLATED, IOVA, MOAT_R, false, &va),
		0);
	moat_softvtd_dma_end(&guard);
	assert_int_equal(moat_softvtd_read64(rig.sv, rig.conf.fro + 8) >> 60 & 3, 2); /* AT */
	assert_int_equal(moat_softvtd_read64(rig.sv, rig.conf.fro + 24) >> 60 & 3, 1);
}

/* Make the unit again, with device TLBs, and let SID have one. */
static void up_with_device_tlb(void)
{
	struct moat_softvtd_conf conf;

	rig_down(&rig);
	rig_plain(&conf);
	conf.dt = true;
	up(&conf);
	rig_store(&rig_context(&rig, SID)[0], rig_hpa(table) | 1 << 2 | 1);
}

static void device_tlbs_get_translations_where_tt_allows_them(void **state)
{
	struct moat_softvtd_guard guard;
	void *va;

	up_with_device_tlb();
	moat_softvtd_dma_begin(rig.sv, SID, 0, MOAT_RW, &guard);
	assert_int_equal(
		moat_softvtd_request(&guard, MOAT_SOFTVTD_TRANSLATION, IOVA, MOAT_R, false, &va),
		0);
	assert_ptr_equal(va, page);
	assert_int_equal(moat_softvtd_request(&guard, MOAT_SOFTVTD_TRANSLATED, rig_hpa(page),
				 MOAT_R, false, &va),
		0);
	assert_ptr_equal(va, page);
	moat_softvtd_dma_end(&guard);
}

static void no_device_tlb_gets_a_page_of_the_interrupt_range(void **state)
{
	static const enum moat_softvtd_at order[] = { MOAT_SOFTVTD_UNTRANSLATED,
		MOAT_SOFTVTD_TRANSLATION, MOAT_SOFTVTD_TRANSLATION, MOAT_SOFTVTD_UNTRANSLATED,
		MOAT_SOFTVTD_TRANSLATED, MOAT_SOFTVTD_UNTRANSLATED };
	const uint64_t iova = 0xfee00000;
	struct moat_softvtd_guard guard;
	uint64_t *entry;
	void *va;

	up_with_device_tlb();
	entry = rig_entry(&rig, table, 4, iova, 1);
	rig_store(entry, rig_hpa(page) | 3);
	moat_softvtd_dma_begin(rig.sv, SID, 0, MOAT_RW, &guard);
	assert_int_equal(
		moat_softvtd_request(&guard, MOAT_SOFTVTD_UNTRANSLATED, IOVA, MOAT_R, false, &va),
		0);
	for (unsigned int i = 0; i < RTE_DIM(order); i++)
		assert_int_equal(moat_softvtd_request(&guard, order[i], iova, MOAT_W, false, &va),
			MOAT_SOFTVTD_NO_MEMORY);
	moat_softvtd_dma_end(&guard);
	assert_int_equal(rig_stats(&rig).interrupts, 3);
}

static void fpd_silences_what_the_context_entry_qualifies(void **state)
{
	uint64_t *context = rig_context(&rig, SID);
	uint64_t lo = context[0], word;

	rig_store(&context[0], lo | 2);
	assert_int_equal(rig_read(&rig, SID, IOVA + 0x1000, &word), 6);
	rig_store(&context[0], 2); /* FPD counts whether or not P is set */
	flush_all();
	assert_int_equal(rig_read(&rig, SID, IOVA, &word), 2);
	assert_int_equal(rig_stats(&rig).suppressed, 2);
	assert_int_equal(rig_stats(&rig).recorded, 0);
	rig_store(&rig.root[2 * (SID >> 8)], 0); /* without a root entry there is no FPD */
	refused(IOVA, 1, 1);
}

/* ----------------------------------------------------------------------------- paging entries */

static void reasons_5_and_6_follow_the_permission_of_the_whole_walk(void **state)
{
	for (unsigned int level = 1; level <= 4; level++) {
		uint64_t *entry = rig_entry(&rig, table, 4, IOVA, level);
		uint64_t whole = *entry;

		for (unsigned int prot = 0; prot < 4; prot++) {
			uint64_t word;

			rig_store(entry, (whole & ~UINT64_C(3)) | prot);
			flush_all();
			assert_int_equal(rig_read(&rig, SID, IOVA, &word), prot & 1 ? 0 : 6);
			flush_all();
			assert_int_equal(rig_write(&rig, SID, IOVA, 1), prot & 2 ? 0 : 5);
		}
		rig_store(entry, whole);
	}
}

static void reason_7_table_unreachable(void **state)
{
	for (unsigned int level = 2; level <= 4; level++) {
		uint64_t *entry = rig_entry(&rig, table, 4, IOVA, level);
		uint64_t whole = *entry;

		rig_store(entry, 0x2000 | 3);
		refused(IOVA, 7, 7);
		rig_store(entry, whole);
	}
}

static void what_lies_outside_the_host_memory_answers_nothing(void **state)
{
	const uint64_t outside = rig.conf.memory + rig.conf.memory_size;
	uint64_t *context = rig_context(&rig, SID), *leaf = rig_entry(&rig, table, 4, IOVA, 1);
	uint64_t word, whole = *leaf;

	rig_store(leaf, outside | 3);
	flush_all();
	assert_int_equal(rig_read(&rig, SID, IOVA, &word), MOAT_SOFTVTD_NO_MEMORY);
	assert_int_equal(rig_write(&rig, SID, IOVA, 1), MOAT_SOFTVTD_NO_MEMORY);
	assert_int_equal(rig_stats(&rig).recorded, 0);
	rig_store(leaf, whole);
	for (unsigned int level = 2; level <= 4; level++) {
		uint64_t *entry = rig_entry(&rig, table, 4, IOVA, level);

		whole = *entry;
		rig_store(entry, outside | 3);
		refused(IOVA, 7, 7);
		rig_store(entry, whole);
	}
	rig_store(&context[0], outside | 1);
	refused(IOVA, 3, 3);
	rig_store(&rig.root[2 * (SID >> 8)], outside | 1);
	refused(IOVA, 9, 9);
	/* The status of a wait descriptor cannot be written there, and a descriptor there cannot be
	 * fetched. */
	rig_queue(&rig, 5 | 1 << 5, outside);
	rig_doorbell(&rig);
	rig_turns(&rig, 100);
	assert_int_equal(moat_softvtd_read64(rig.sv, 0x80), rig.tail * 16);
	rig_command(&rig, 1u << 26, false);
	moat_softvtd_write64(rig.sv, 0x88, 0);
	moat_softvtd_write64(rig.sv, 0x90, outside);
	rig_command(&rig, 1u << 26, true);
	moat_softvtd_write64(rig.sv, 0x88, 16);
	rig_turns(&rig, 100);
	assert_true(moat_softvtd_read32(rig.sv, 0x34) & 0x10); /* IQE */
}

static void reason_c_reserved_bits_in_paging_entries(void **state)
{
	for (unsigned int level = 1; level <= 4; level++) {
		uint64_t *entry = rig_entry(&rig, table, 4, IOVA, level);
		uint64_t whole = *entry;
		uint64_t bits = UINT64_C(1) << 62 | UINT64_C(0x000f000000000000) | 1 << 11;

		if (level == 4)
			bits |= 1 << 7; /* PS */
		for (unsigned int bit = 2; bit < 64; bit++) {
			/* the address, and PS where it has a meaning, are not reserved bits */
			if ((bit >= 12 && bit < 48) || (bit == 7 && (level == 2 || level == 3)))
				continue;
			rig_store(entry, whole | UINT64_C(1) << bit);
			if (bits >> bit & 1) {
				refused(IOVA, 0xc, 0xc);
			} else {
				flush_all();
				assert_int_equal(rig_write(&rig, SID, IOVA, 1), 0);
			}
		}
		rig_store(entry, whole);
	}
}

static void reason_c_address_bits_inside_a_superpage(void **state)
{
	for (unsigned int level = 2; level <= 3; level++) {
		unsigned int shift = 12 + 9 * (level - 1);
		uint64_t *entry = rig_entry(&rig, table, 4, IOVA, level);

		for (unsigned int bit = 12; bit < shift; bit++) {
			rig_store(entry, UINT64_C(1) << 40 | UINT64_C(1) << bit | 1 << 7 | 3);
			refused(IOVA, 0xc, 0xc);
		}
	}
}

static void superpages_need_the_capability(void **state)
{
	for (unsigned int sllps = 0; sllps < 4; sllps++) {
		struct moat_softvtd_conf conf;

		rig_down(&rig);
		rig_plain(&conf);
		conf.sllps = sllps;
		up(&conf);
		for (unsigned int level = 2; level <= 3; level++) {
			struct moat_softvtd_guard guard;
			void *va;

			rig_store(rig_entry(&rig, table, 4, IOVA, level),
				UINT64_C(1) << 40 | 1 << 7 | 3);
			flush_all();
			moat_softvtd_dma_begin(rig.sv, SID, 0, MOAT_R, &guard);
			assert_int_equal(moat_softvtd_request(&guard, MOAT_SOFTVTD_UNTRANSLATED,
						 IOVA, MOAT_R, false, &va),
				sllps >> (level - 2) & 1 ? 0 : 0xc);
			moat_softvtd_dma_end(&guard);
		}
	}
}

static void reason_e_translation_into_the_interrupt_range(void **state)
{
	rig_map(&rig, table, 4, IOVA, (void *)(uintptr_t)0xfee01000, MOAT_RW);
	refused(IOVA, 0xe, 0xe);
}

static void zero_length_reads_of_write_only_pages_are_zlr(void **state)
{
	for (unsigned int zlr = 0; zlr < 2; zlr++) {
		struct moat_softvtd_conf conf;

		rig_down(&rig);
		rig_plain(&conf);
		conf.zlr = zlr;
		up(&conf);
		rig_map(&rig, table, 4, IOVA, page, MOAT_W);
		assert_int_equal(moat_softvtd_dma_read(rig.sv, SID, IOVA, NULL, 0), zlr ? 0 : 6);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(mapped_pages_are_read_and_written),
		T(every_depth_and_leaf_size_translates),
		T(a_burst_crosses_pages_and_tells_where_memory_breaks),
		T(pass_through_and_disabled_translation_leave_addresses_alone),
		T(the_interrupt_range_is_no_memory),
		T(reason_1_root_entry_not_present),
		T(reason_2_context_entry_not_present),
		T(reason_3_context_entry_programmed_wrongly),
		T(pass_through_needs_the_capability),
		T(reason_4_address_beyond_the_width),
		T(reason_8_root_table_unreachable),
		T(reason_9_context_table_unreachable),
		T(reason_a_reserved_bits_in_a_root_entry),
		T(reason_b_reserved_bits_in_a_context_entry),
		T(reason_d_translated_requests_where_tt_allows_none),
		T(device_tlbs_get_translations_where_tt_allows_them),
		T(no_device_tlb_gets_a_page_of_the_interrupt_range),
		T(fpd_silences_what_the_context_entry_qualifies),
		T(reasons_5_and_6_follow_the_permission_of_the_whole_walk),
		T(reason_7_table_unreachable),
		T(reason_30_a_translation_table_mode_that_the_unit_has_not),
		T(reason_c_bit_62_of_a_leaf_with_device_tlbs_too),
		cmocka_unit_test_setup_teardown(what_lies_outside_the_host_memory_answers_nothing,
			setup_arena, teardown),
		T(reason_c_reserved_bits_in_paging_entries),
		T(reason_c_address_bits_inside_a_superpage),
		T(superpages_need_the_capability),
		T(reason_e_translation_into_the_interrupt_range),
		T(zero_length_reads_of_write_only_pages_are_zlr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
