/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * What the unit caches, and that each invalidation drops exactly what it must. Every test changes a
 * table without telling the unit, and checks whether a device sees the old or the new state.
 */
#include "rig.h"

#define SID   0x0310
#define DID   7
#define BASE  UINT64_C(0x40000000)
#define PAGES 32

static struct rig rig;
static uint64_t *table;
static uint64_t *old_page, *new_page; /* their first word is OLD or NEW */

enum { OLD = 0x01d, NEW = 0x4e3, FAULT = -1 };

static void up(const struct moat_softvtd_conf *conf)
{
	rig_up(&rig, conf);
	table = rig_page(&rig);
	old_page = rig_page(&rig);
	new_page = rig_page(&rig);
	old_page[0] = OLD;
	new_page[0] = NEW;
	rig_attach(&rig, SID, DID, table, 4);
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

static void again(const struct moat_softvtd_conf *conf)
{
	rig_down(&rig);
	up(conf);
}

static int sees(uint16_t sid, uint64_t iova)
{
	uint64_t word;

	return rig_read(&rig, sid, iova & ~UINT64_C(0xfff), &word) == 0 ? (int)word : FAULT;
}

static void map_old(uint64_t *tables, uint64_t iova)
{
	rig_map(&rig, tables, 4, iova, old_page, MOAT_RW);
}

static void map_new(uint64_t *tables, uint64_t iova)
{
	rig_map(&rig, tables, 4, iova, new_page, MOAT_RW);
}

/* Map PAGES pages that the unit has cached, and change the entries. */
static void stale_run(void)
{
	for (unsigned int i = 0; i < PAGES; i++)
		map_old(table, BASE + i * 4096);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_int_equal(sees(SID, BASE + i * 4096), OLD);
	for (unsigned int i = 0; i < PAGES; i++)
		map_new(table, BASE + i * 4096);
}

/* Assert that of the run exactly pages first to last are seen as they are now. */
static void fresh_are(int first, int last)
{
	for (int i = 0; i < PAGES; i++)
		assert_int_equal(sees(SID, BASE + i * 4096), i >= first && i <= last ? NEW : OLD);
}

/* ---------------------------------------------------------------------------- the IOTLB */

static void a_translation_stays_until_it_is_invalidated(void **state)
{
	struct moat_softvtd_stats stats;

	stale_run();
	fresh_are(1, 0);
	stats = rig_stats(&rig);
	assert_int_equal(stats.iotlb_hits, PAGES);
	assert_int_equal(stats.iotlb_misses, PAGES);
}

static void page_selective_takes_the_pages_under_its_mask_and_no_other(void **state)
{
	for (unsigned int am = 0; am <= 5; am++) {
		for (unsigned int ih = 0; ih < 2; ih++) {
			unsigned int first = 12 & ~((1u << am) - 1);

			again(NULL);
			stale_run();
			/* bits of the address under the mask are ignored */
			rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE + 12 * 4096, am, ih));
			fresh_are(first, RTE_MIN(first + (1u << am), (unsigned int)PAGES) - 1);
		}
	}
}

static void a_mask_larger_than_the_cache_takes_all_of_the_range(void **state)
{
	stale_run();
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE & ~((UINT64_C(1) << 30) - 1), 18, 1));
	fresh_are(0, PAGES - 1);
}

static void page_selective_spares_other_domains(void **state)
{
	stale_run();
	rig_do(&rig, RIG_IOTLB_PAGE(DID + 1), RIG_PAGE(BASE, 5, 0));
	fresh_are(1, 0);
}

static void domain_selective_takes_one_domain(void **state)
{
	uint64_t *other = rig_page(&rig);

	rig_attach(&rig, SID + 1, DID + 1, other, 4);
	map_old(other, BASE);
	assert_int_equal(sees(SID + 1, BASE), OLD);
	map_new(other, BASE);
	stale_run();
	rig_do(&rig, RIG_IOTLB_DOMAIN(DID), 0);
	fresh_are(0, PAGES - 1);
	assert_int_equal(sees(SID + 1, BASE), OLD);
	rig_do(&rig, RIG_IOTLB_DOMAIN(DID + 1), 0);
	assert_int_equal(sees(SID + 1, BASE), NEW);
}

static void global_takes_every_domain(void **state)
{
	uint64_t *other = rig_page(&rig);

	rig_attach(&rig, SID + 1, DID + 1, other, 4);
	map_old(other, BASE);
	assert_int_equal(sees(SID + 1, BASE), OLD);
	map_new(other, BASE);
	stale_run();
	rig_do(&rig, RIG_IOTLB_GLOBAL, 0);
	fresh_are(0, PAGES - 1);
	assert_int_equal(sees(SID + 1, BASE), NEW);
}

static void devices_of_a_domain_share_its_translations(void **state)
{
	rig_attach(&rig, SID + 1, DID, table, 4);
	map_old(table, BASE);
	assert_int_equal(sees(SID, BASE), OLD);
	map_new(table, BASE);
	assert_int_equal(sees(SID + 1, BASE), OLD);
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE, 0, 1));
	assert_int_equal(sees(SID + 1, BASE), NEW);
}

static void any_page_of_a_superpage_takes_all_of_it(void **state)
{
	for (unsigned int level = 2; level <= 3; level++) {
		uint64_t size = UINT64_C(1) << (12 + 9 * (level - 1));
		char *big = mmap(NULL, 3 * size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		uint64_t *a = (uint64_t *)(((uintptr_t)big + size - 1) & ~(size - 1));
		uint64_t *b = a + size / 8;

		again(NULL);
		for (uint64_t word = 0; word < size / 8; word += size / 8 / 8) {
			a[word] = OLD;
			b[word] = NEW;
		}
		uint64_t *entry = rig_entry(&rig, table, 4, BASE, level);

		rig_store(entry, rig_hpa(a) | 1 << 7 | 3);
		assert_int_equal(sees(SID, BASE), OLD);
		rig_store(entry, rig_hpa(b) | 1 << 7 | 3);
		assert_int_equal(sees(SID, BASE + size / 2), OLD); /* one entry for the leaf */
		rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE + size, 0, 0));
		rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE - 4096, 0, 0));
		assert_int_equal(sees(SID, BASE + size / 4), OLD);
		rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE + size - 4096, 0, 1));
		assert_int_equal(sees(SID, BASE), NEW);
		munmap(big, 3 * size);
	}
}

static void a_small_cache_forgets_but_is_never_wrong(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.iotlb_entries = 4;
	conf.iotlb_ways = 2;
	again(&conf);
	for (unsigned int i = 0; i < PAGES; i++) {
		uint64_t *own = rig_page(&rig);

		own[0] = 1000 + i;
		rig_map(&rig, table, 4, BASE + i * 4096, own, MOAT_R);
	}
	for (unsigned int i = 0; i < 4 * PAGES; i++)
		assert_int_equal(sees(SID, BASE + i % PAGES * 4096), 1000 + i % PAGES);
	assert_in_range(rig_stats(&rig).iotlb_hits, 0, PAGES); /* not 4 * PAGES */
}

static void without_caches_every_access_walks(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.iotlb_entries = 0;
	conf.context_entries = 0;
	memset(conf.psc_entries, 0, sizeof(conf.psc_entries));
	again(&conf);
	map_old(table, BASE);
	assert_int_equal(sees(SID, BASE), OLD);
	map_new(table, BASE);
	assert_int_equal(sees(SID, BASE), NEW);
	/* a root entry, a context entry and four paging entries each time */
	assert_int_equal(rig_stats(&rig).memory_reads, 12);
}

/* ------------------------------------------------------------- the paging-structure caches */

/* An entry at `level` (2: leads to a page table) is changed to lead to other tables. The old tables
 * still lead to OLD, the new ones to NEW. */
static void replace_table(unsigned int level, uint64_t iova)
{
	uint64_t *link = rig_entry(&rig, table, 4, iova, level);
	uint64_t *fresh = rig_page(&rig);
	unsigned int below = level - 1;

	rig_store(rig_entry(&rig, fresh, below, iova, 1), rig_hpa(new_page) | 3);
	rig_store(link, rig_hpa(fresh) | 3);
}

static void a_hint_keeps_the_paging_structure_caches(void **state)
{
	for (unsigned int level = 2; level <= 4; level++) {
		again(NULL);
		map_old(table, BASE);
		assert_int_equal(sees(SID, BASE), OLD);
		replace_table(level, BASE);
		rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE, 0, 1));
		/* the walk begins at the cached PDE, which leads to the old page table */
		assert_int_equal(sees(SID, BASE), OLD);
		assert_int_equal(rig_stats(&rig).psc_hits[MOAT_SOFTVTD_PDE], 1);
		rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE, 0, 0));
		assert_int_equal(sees(SID, BASE), NEW);
	}
}

static void each_level_is_cached(void **state)
{
	/* what is walked at first, and then from the cached entry of each level on */
	static const uint64_t next[] = { 0x1000, 0x200000, UINT64_C(1) << 30, UINT64_C(1) << 39 };
	struct moat_softvtd_stats stats;
	uint64_t reads;

	map_old(table, BASE);
	sees(SID, BASE);
	reads = rig_stats(&rig).memory_reads;
	for (unsigned int i = 0; i < RTE_DIM(next); i++) {
		map_old(table, BASE + next[i]);
		assert_int_equal(sees(SID, BASE + next[i]), OLD);
		stats = rig_stats(&rig);
		assert_int_equal(stats.memory_reads - reads, i + 1);
		reads = stats.memory_reads;
		if (i < 3)
			assert_int_equal(stats.psc_hits[i], 1);
	}
	assert_int_equal(stats.psc_misses, 2);
}

static void paging_structures_of_other_ranges_are_spared(void **state)
{
	map_old(table, BASE);
	map_old(table, BASE + (2 << 20));
	assert_int_equal(sees(SID, BASE), OLD);
	assert_int_equal(sees(SID, BASE + (2 << 20)), OLD);
	replace_table(2, BASE);
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE, 0, 1));
	/* hint clear, but for the neighbouring 2 MiB */
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE + (2 << 20), 0, 0));
	assert_int_equal(sees(SID, BASE), OLD);
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE, 0, 1));
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE + 0x5000, 0, 0));
	assert_int_equal(sees(SID, BASE), NEW);
}

static void domain_and_global_take_paging_structures(void **state)
{
	for (unsigned int global = 0; global < 2; global++) {
		again(NULL);
		map_old(table, BASE);
		assert_int_equal(sees(SID, BASE), OLD);
		replace_table(3, BASE);
		rig_do(&rig, RIG_IOTLB_DOMAIN(DID + 1), 0);
		assert_int_equal(sees(SID, BASE), OLD);
		rig_do(&rig, global ? RIG_IOTLB_GLOBAL : RIG_IOTLB_DOMAIN(DID), 0);
		assert_int_equal(sees(SID, BASE), NEW);
	}
}

/* --------------------------------------------------------------------- the context cache */

/* A source that the unit has cached in the old domain, DID, and that is now in DID + 1. */
static uint64_t *moved_from, *moved_to;

static void moved(uint16_t sid)
{
	if (moved_to == NULL) {
		moved_from = rig_page(&rig);
		moved_to = rig_page(&rig);
		map_old(moved_from, BASE);
		map_new(moved_to, BASE);
	}
	rig_attach(&rig, sid, DID, moved_from, 4);
	assert_int_equal(sees(sid, BASE), OLD);
	rig_attach(&rig, sid, DID + 1, moved_to, 4);
	assert_int_equal(sees(sid, BASE), OLD);
}

static void context_invalidations_take_what_they_name(void **state)
{
	const struct {
		uint64_t lo;
		uint16_t sid;
		bool taken;
	} cases[] = {
		{ RIG_CTX_GLOBAL, SID, true },
		{ RIG_CTX_DOMAIN(DID), SID, true },
		{ RIG_CTX_DOMAIN(DID + 1), SID, false }, /* the cached domain-id counts */
		{ RIG_CTX_DEVICE(DID, SID, 0), SID, true },
		{ RIG_CTX_DEVICE(DID + 1, SID, 0), SID, false },
		{ RIG_CTX_DEVICE(DID, SID, 0), SID + 1, false },
		{ RIG_CTX_DEVICE(DID, SID, 1), SID + 4, true }, /* FM: bit 2 of the function */
		{ RIG_CTX_DEVICE(DID, SID, 1), SID + 2, false },
		{ RIG_CTX_DEVICE(DID, SID, 2), SID + 6, true }, /* FM: bits 2:1 */
		{ RIG_CTX_DEVICE(DID, SID, 2), SID + 1, false },
		{ RIG_CTX_DEVICE(DID, SID, 3), SID + 7, true },  /* FM: bits 2:0 */
		{ RIG_CTX_DEVICE(DID, SID, 3), SID + 8, false }, /* another device */
		{ RIG_IOTLB_GLOBAL, SID, false },
	};

	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		moved_to = NULL;
		again(NULL);
		moved(cases[i].sid);
		rig_do(&rig, cases[i].lo, 0);
		assert_int_equal(sees(cases[i].sid, BASE), cases[i].taken ? NEW : OLD);
	}
}

static void an_invalidated_context_entry_lingers_until_the_iotlb_follows(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.linger = true;
	for (unsigned int global = 0; global < 2; global++) {
		again(&conf);
		map_old(table, BASE);
		map_old(table, BASE + 0x1000);
		assert_int_equal(sees(SID, BASE), OLD);
		rig_store(rig_context(&rig, SID), 0);
		rig_do(&rig, RIG_CTX_DEVICE(DID, SID, 0), 0);
		assert_int_equal(sees(SID, BASE), OLD);            /* cached in the IOTLB */
		assert_int_equal(sees(SID, BASE + 0x1000), FAULT); /* not cached */
		rig_do(&rig, RIG_IOTLB_DOMAIN(DID + 1), 0);
		assert_int_equal(sees(SID, BASE), OLD);
		rig_do(&rig, global ? RIG_IOTLB_GLOBAL : RIG_IOTLB_DOMAIN(DID), 0);
		assert_int_equal(sees(SID, BASE), FAULT);
	}
}

static void domain_ids_beyond_the_width_are_refused_not_cut(void **state)
{
	struct moat_softvtd_conf conf;
	uint64_t *other;

	rig_plain(&conf);
	conf.nd_bits = 4;
	again(&conf);
	other = rig_page(&rig);
	map_old(table, BASE);
	assert_int_equal(sees(SID, BASE), OLD);
	rig_attach(&rig, SID + 1, DID | 0x10, other,
		4); /* with only four bits these would be one domain */
	assert_int_equal(sees(SID + 1, BASE), FAULT);
	assert_int_equal(rig_stats(&rig).faults[0xb], 1);
	assert_int_equal(rig_stats(&rig).misuse[MOAT_SOFTVTD_MISUSE_DID], 1);
	again(NULL);
}

/* ------------------------------------------------------------------------- absent entries */

static void without_caching_mode_nothing_absent_is_cached(void **state)
{
	rig_store(rig_context(&rig, SID), 0);
	assert_int_equal(sees(SID, BASE), FAULT);
	rig_attach(&rig, SID, DID, table, 4);
	assert_int_equal(sees(SID, BASE), FAULT);
	map_old(table, BASE);
	assert_int_equal(sees(SID, BASE), OLD);
	/* more permissions: only the tables in memory can refuse */
	rig_map(&rig, table, 4, BASE + 0x1000, old_page, MOAT_R);
	assert_int_equal(sees(SID, BASE + 0x1000), OLD);
	rig_map(&rig, table, 4, BASE + 0x1000, old_page, MOAT_RW);
	assert_int_equal(rig_write(&rig, SID, BASE + 0x1000, OLD), 0);
}

static void with_caching_mode_mapping_needs_invalidation(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.cm = true;
	again(&conf);
	assert_int_equal(sees(SID, BASE), FAULT);
	map_old(table, BASE);
	assert_int_equal(sees(SID, BASE), FAULT);
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE + 0x1000, 0, 0));
	assert_int_equal(sees(SID, BASE), FAULT);
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE, 0, 0));
	assert_int_equal(sees(SID, BASE), OLD);
}

static void with_caching_mode_absent_context_entries_have_domain_id_0(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.cm = true;
	again(&conf);
	map_old(table, BASE);
	assert_int_equal(sees(SID + 1, BASE), FAULT);
	rig_attach(&rig, SID + 1, DID, table, 4);
	rig_do(&rig, RIG_CTX_DEVICE(DID, SID + 1, 0), 0);
	assert_int_equal(sees(SID + 1, BASE), FAULT);
	rig_do(&rig, RIG_CTX_DEVICE(0, SID + 1, 0), 0);
	assert_int_equal(sees(SID + 1, BASE), OLD);
}

/* ----------------------------------------------------------------- what was not asked for */

static void neighbours_are_cached_unasked(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.prefetch = 100;
	again(&conf);
	for (unsigned int i = 0; i < 16; i++)
		map_old(table, BASE + i * 4096);
	rig_entry(&rig, table, 4, BASE + 2 * 4096, 1)[0] |= 1 << 11; /* reserved: not cached */
	rig_entry(&rig, table, 4, BASE + 3 * 4096, 1)[0] = 0;        /* absent: not cached */
	assert_int_equal(sees(SID, BASE), OLD);
	for (unsigned int i = 0; i < 16; i++)
		map_new(table, BASE + i * 4096);
	for (unsigned int i = 1; i < 8; i++) {
		/* these walks must not refresh what is cached */
		if (i == 2 || i == 3)
			assert_int_equal(sees(SID, BASE + i * 4096), NEW);
	}
	for (unsigned int i = 0; i < 8; i++) /* the rest of the line of eight entries */
		assert_int_equal(sees(SID, BASE + i * 4096), i == 2 || i == 3 ? NEW : OLD);
	assert_int_equal(sees(SID, BASE + 8 * 4096), NEW); /* in the next line */
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE, 3, 1));
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(sees(SID, BASE + i * 4096), NEW);
}

static void neighbouring_functions_are_cached_unasked(void **state)
{
	struct moat_softvtd_conf conf;
	uint64_t *other;

	rig_plain(&conf);
	conf.prefetch = 100;
	again(&conf);
	other = rig_page(&rig);
	map_old(table, BASE);
	map_new(other, BASE);
	rig_attach(&rig, SID + 1, DID, table, 4);
	assert_int_equal(sees(SID, BASE), OLD);
	rig_attach(&rig, SID + 1, DID + 1, other, 4);
	assert_int_equal(sees(SID + 1, BASE), OLD);
	rig_do(&rig, RIG_CTX_DEVICE(DID, SID + 1, 0), 0);
	assert_int_equal(sees(SID + 1, BASE), NEW);
}

static void a_write_buffer_shows_lines_as_they_were_until_flushed(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.rwbf = true;
	for (unsigned int by_command = 0; by_command < 2; by_command++) {
		again(&conf);
		map_old(table, BASE);
		assert_int_equal(sees(SID, BASE), OLD);
		map_old(table, BASE + 0x1000); /* in the same line of entries */
		assert_int_equal(sees(SID, BASE + 0x1000), FAULT);
		if (by_command)
			rig_command(&rig, 1u << 27, true); /* WBF */
		else
			rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE + 0x9000, 0, 1));
		assert_int_equal(sees(SID, BASE + 0x1000), OLD);
	}
}

static void a_new_root_table_needs_invalidation_unless_esrtps(void **state)
{
	for (unsigned int esrtps = 0; esrtps < 2; esrtps++) {
		struct moat_softvtd_conf conf;
		uint64_t *old_root;

		rig_plain(&conf);
		conf.esrtps = esrtps;
		again(&conf);
		map_old(table, BASE);
		assert_int_equal(sees(SID, BASE), OLD);
		old_root = rig.root;
		rig.root = rig_page(&rig); /* without entries */
		moat_softvtd_write64(rig.sv, 0x20, rig_hpa(rig.root));
		assert_int_equal(sees(SID, BASE), OLD); /* not before SRTP */
		rig_command(&rig, 1u << 30, true);
		assert_int_equal(sees(SID, BASE), esrtps ? FAULT : OLD);
		rig_do(&rig, RIG_CTX_GLOBAL, 0);
		rig_do(&rig, RIG_IOTLB_GLOBAL, 0);
		assert_int_equal(sees(SID, BASE), FAULT);
		rig.root = old_root;
	}
}

static void broken_hardware_forgets_what_it_is_told_to_forget(void **state)
{
	moat_softvtd_mutate(rig.sv, MOAT_SOFTVTD_DROP_PAGE, 2); /* every other one */
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t iova = BASE + i * 4096;

		map_old(table, iova);
		assert_int_equal(sees(SID, iova), OLD);
		map_new(table, iova);
		rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(iova, 0, 1));
		assert_int_equal(sees(SID, iova), i % 2 == 0 ? OLD : NEW);
	}
	assert_int_equal(rig_stats(&rig).dropped, 2);
	moat_softvtd_mutate(rig.sv, MOAT_SOFTVTD_SHORT_MASK, 0);
	rig_do(&rig, RIG_IOTLB_DOMAIN(DID), 0);
	stale_run();
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE, 4, 1));
	fresh_are(0, 7);
	moat_softvtd_mutate(rig.sv, 0, 0);
	rig_do(&rig, RIG_IOTLB_PAGE(DID), RIG_PAGE(BASE, 4, 1));
	fresh_are(0, 15);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_translation_stays_until_it_is_invalidated),
		T(page_selective_takes_the_pages_under_its_mask_and_no_other),
		T(a_mask_larger_than_the_cache_takes_all_of_the_range),
		T(page_selective_spares_other_domains),
		T(domain_selective_takes_one_domain),
		T(global_takes_every_domain),
		T(devices_of_a_domain_share_its_translations),
		T(any_page_of_a_superpage_takes_all_of_it),
		T(a_small_cache_forgets_but_is_never_wrong),
		T(without_caches_every_access_walks),
		T(a_hint_keeps_the_paging_structure_caches),
		T(each_level_is_cached),
		T(paging_structures_of_other_ranges_are_spared),
		T(domain_and_global_take_paging_structures),
		T(context_invalidations_take_what_they_name),
		T(an_invalidated_context_entry_lingers_until_the_iotlb_follows),
		T(domain_ids_beyond_the_width_are_refused_not_cut),
		T(without_caching_mode_nothing_absent_is_cached),
		T(with_caching_mode_mapping_needs_invalidation),
		T(with_caching_mode_absent_context_entries_have_domain_id_0),
		T(neighbours_are_cached_unasked),
		T(neighbouring_functions_are_cached_unasked),
		T(a_write_buffer_shows_lines_as_they_were_until_flushed),
		T(a_new_root_table_needs_invalidation_unless_esrtps),
		T(broken_hardware_forgets_what_it_is_told_to_forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
