/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * The unit compared with a plain model of what the specification allows it to cache.
 *
 * Random tables, random invalidations, random DMA. For each page of IOVA the model holds the set of
 * answers that a device may get: what the tables say now, and everything that they said since the
 * last invalidation that covers the page. A unit that answers anything else has invalidated too
 * little, mixed up pages or domains, or read a table wrongly. The model also checks that the unit
 * does cache: some of the answers during the run must be old ones.
 * half: over the run, some of the answers must be old ones.
 */
#include "rig.h"

#define DOMAINS 3
#define REGIONS 4  /* of 2 MiB, each with a page table */
#define PAGES   16 /* of 4 KiB, in each region */
#define MEMORY  30 /* pages of memory to which entries may lead; a set of answers is a bit mask */
#define ABSENT  (UINT64_C(1) << 62)
#define BASE    UINT64_C(0x7fc0000000)
#define SID(d)  (0x0400 + (d))

static struct rig rig;
static uint64_t seed;

struct region {
	uint64_t *table;  /* the page table in use */
	bool links_stale; /* the link changed, and is not yet invalidated without hint */
	uint64_t allowed[PAGES];
	uint64_t now[PAGES];
};

static struct model {
	uint64_t *top;
	uint16_t did;
	struct region region[REGIONS];
} model[DOMAINS];

static uint64_t *memory[MEMORY];

static unsigned int dice(unsigned int n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (seed >> 33) % n;
}

static uint64_t iova_of(unsigned int region, unsigned int page)
{
	return BASE + ((uint64_t)region << 21) + ((uint64_t)page << 12);
}

/* --------------------------------------------------------------------- what software does */

static void say(struct region *r, unsigned int page, uint64_t answer)
{
	r->now[page] = answer;
	r->allowed[page] |= answer;
}

static void set_entry(struct model *m, unsigned int region, unsigned int page)
{
	struct region *r = &m->region[region];
	unsigned int k = dice(MEMORY + MEMORY / 2);

	if (k >= MEMORY) {
		rig_store(&r->table[page], 0);
		say(r, page, ABSENT);
	} else {
		rig_store(&r->table[page], rig_hpa(memory[k]) | 3);
		say(r, page, UINT64_C(1) << k);
	}
}

/* Replace a region's page table by another, as if the table page had been freed and made again. The
 * old table keeps its contents; until caches of the link are dropped, the unit may walk it. */
static void replace_table(struct model *m, unsigned int region)
{
	struct region *r = &m->region[region];
	uint64_t *fresh;

	if (rig.used + 4096 > RIG_ARENA)
		return;
	fresh = rig_page(&rig);
	r->links_stale = true;
	r->table = fresh;
	for (unsigned int page = 0; page < PAGES; page++)
		set_entry(m, region, page);
	rig_store(rig_entry(&rig, m->top, 4, iova_of(region, 0), 2), rig_hpa(fresh) | 3);
}

/* ------------------------------------------------------------ what invalidations promise */

static void forget(struct region *r, unsigned int first, unsigned int last)
{
	for (unsigned int page = first; page <= last && page < PAGES; page++)
		r->allowed[page] = r->now[page];
}

/* Note that pages [first, last] of IOVA were invalidated. */
static void promise(struct model *m, uint64_t first, uint64_t last, bool hint)
{
	for (unsigned int i = 0; i < REGIONS; i++) {
		struct region *r = &m->region[i];
		uint64_t begin = iova_of(i, 0), end = begin + (PAGES << 12) - 1;

		if (last < begin || first > begin + (2 << 20) - 1)
			continue;
		/* Without IH, an invalidation of any page of the region drops its links. */
		if (!hint)
			r->links_stale = false;
		if (r->links_stale || last < begin || first > end)
			continue;
		forget(r, first <= begin ? 0 : (first - begin) >> 12,
			last >= end ? PAGES - 1 : (last - begin) >> 12);
	}
}

static void invalidate_pages(struct model *m)
{
	unsigned int am = dice(12);
	bool hint = dice(2);
	uint64_t iova = iova_of(dice(REGIONS), dice(PAGES));
	uint64_t first = iova & ~((UINT64_C(4096) << am) - 1);

	rig_do(&rig, RIG_IOTLB_PAGE(m->did), RIG_PAGE(iova, am, hint));
	promise(m, first, first + (UINT64_C(4096) << am) - 1, hint);
}

static void invalidate(struct model *m)
{
	switch (dice(12)) {
	case 0:
		rig_do(&rig, RIG_IOTLB_DOMAIN(m->did), 0);
		promise(m, 0, UINT64_MAX, false);
		break;
	case 1:
		rig_do(&rig, RIG_IOTLB_GLOBAL, 0);
		for (unsigned int d = 0; d < DOMAINS; d++)
			promise(&model[d], 0, UINT64_MAX, false);
		break;
	default:
		invalidate_pages(m);
		break;
	}
}

/* ----------------------------------------------------------------------------- the device */

/* @return whether the answer was an old one */
static bool dma(struct model *m, unsigned int d)
{
	unsigned int region = dice(REGIONS), page = dice(PAGES);
	struct region *r = &m->region[region];
	uint64_t word, answer;
	int reason = rig_read(&rig, SID(d), iova_of(region, page), &word);

	assert_true(reason == 0 || reason == 6);
	answer = reason == 0 ? UINT64_C(1) << word : ABSENT;
	/* An old page table may have entries for a page that were never invalidated. */
	if (!(r->allowed[page] & answer))
		fail_msg("domain %u region %u page %u: %s%lx, allowed 0x%lx, now 0x%lx", m->did,
			region, page, reason ? "fault " : "", answer, r->allowed[page],
			r->now[page]);
	return answer != r->now[page];
}

static void start(const struct moat_softvtd_conf *conf)
{
	rig_up(&rig, conf);
	for (unsigned int i = 0; i < MEMORY; i++) {
		memory[i] = rig_page(&rig);
		memory[i][0] = i;
	}
	for (unsigned int d = 0; d < DOMAINS; d++) {
		struct model *m = &model[d];

		*m = (struct model){ .top = rig_page(&rig), .did = 10 + d };
		for (unsigned int i = 0; i < REGIONS; i++) {
			m->region[i].table = rig_page(&rig);
			rig_store(rig_entry(&rig, m->top, 4, iova_of(i, 0), 2),
				rig_hpa(m->region[i].table) | 3);
			for (unsigned int page = 0; page < PAGES; page++)
				set_entry(m, i, page);
			forget(&m->region[i], 0, PAGES - 1);
		}
		rig_attach(&rig, SID(d), m->did, m->top, 4);
	}
	rig_do(&rig, RIG_CTX_GLOBAL, 0);
	rig_do(&rig, RIG_IOTLB_GLOBAL, 0);
}

/* @return how many answers were old ones */
static unsigned int run(const struct moat_softvtd_conf *conf, unsigned int steps)
{
	unsigned int old = 0;

	start(conf);
	for (unsigned int i = 0; i < steps; i++) {
		unsigned int d = dice(DOMAINS);

		switch (dice(16)) {
		case 0:
			invalidate(&model[d]);
			break;
		case 1:
			if (dice(8) == 0)
				replace_table(&model[d], dice(REGIONS));
			break;
		case 2 ... 5:
			set_entry(&model[d], dice(REGIONS), dice(PAGES));
			break;
		default:
			old += dma(&model[d], d);
			break;
		}
		/* this test does not check faults */
		if (i % 64 == 0)
			for (unsigned int n = 0; n < rig.conf.nfr; n++)
				moat_softvtd_write32(rig.sv, rig.conf.fro + n * 16 + 12, 1u << 31);
	}
	rig_no_misuse(&rig);
	rig_down(&rig);
	return old;
}

static void answers_are_what_the_tables_say_or_said(void **state)
{
	struct moat_softvtd_conf conf;
	unsigned int old;

	moat_softvtd_conf_init(&conf);
	conf.seed = seed = rig_seed();
	conf.oracle = false;
	old = run(&conf, 200000);
	print_message("# %u answers were old ones\n", old);
	assert_true(old > 1000);
}

static void so_with_caches_of_any_size(void **state)
{
	static const struct {
		unsigned int iotlb, ways, psc, contexts, shards;
	} sizes[] = {
		{ 0, 1, 0, 0, 1 },
		{ 4, 1, 4, 4, 1 },
		{ 64, 4, 4, 4, 2 },
		{ 16, 16, 0, 16, 4 },
		{ 0, 1, 64, 4, 1 },
	};

	for (unsigned int i = 0; i < RTE_DIM(sizes); i++) {
		struct moat_softvtd_conf conf;

		moat_softvtd_conf_init(&conf);
		conf.seed = seed = rig_seed() + i;
		conf.oracle = false;
		conf.iotlb_entries = sizes[i].iotlb;
		conf.iotlb_ways = sizes[i].ways;
		for (unsigned int level = 0; level < MOAT_SOFTVTD_PSCS; level++)
			conf.psc_entries[level] = sizes[i].psc;
		conf.context_entries = sizes[i].contexts;
		conf.shards = sizes[i].shards;
		run(&conf, 50000);
	}
}

static void the_model_notices_each_kind_of_forgotten_invalidation(void **state)
{
	/* The model normally fails the test at an error; here it only reports it. */
	static const uint32_t mutations[] = { MOAT_SOFTVTD_DROP_PAGE, MOAT_SOFTVTD_DROP_DOMAIN,
		MOAT_SOFTVTD_DROP_GLOBAL, MOAT_SOFTVTD_HINT_ALWAYS, MOAT_SOFTVTD_SHORT_MASK };

	for (unsigned int i = 0; i < RTE_DIM(mutations); i++) {
		struct moat_softvtd_conf conf;
		bool noticed = false;

		moat_softvtd_conf_init(&conf);
		conf.seed = seed = rig_seed() + i;
		conf.oracle = false;
		start(&conf);
		moat_softvtd_mutate(rig.sv, mutations[i], 0);
		for (unsigned int step = 0; step < 500000 && !noticed; step++) {
			unsigned int d = dice(DOMAINS), region = dice(REGIONS), page = dice(PAGES);
			struct region *r = &model[d].region[region];
			uint64_t word, answer;

			if (dice(16) == 0)
				invalidate(&model[d]);
			else if (dice(64) == 0)
				replace_table(&model[d], region);
			else
				set_entry(&model[d], region, page);
			answer = rig_read(&rig, SID(d), iova_of(region, page ^ 1), &word) == 0
				? UINT64_C(1) << word
				: ABSENT;
			noticed = !(r->allowed[page ^ 1] & answer);
		}
		assert_true(noticed);
		rig_down(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_what_the_tables_say_or_said),
		cmocka_unit_test(so_with_caches_of_any_size),
		cmocka_unit_test(the_model_notices_each_kind_of_forgotten_invalidation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
