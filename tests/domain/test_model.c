/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Everything that a domain can do, at random, compared with a plain model: map, unmap, flush, poll,
 * attach, detach, translate, and DMA by devices that try every address. MOAT_SEED=<the number
 * printed> repeats a run; MOAT_STEPS makes it longer.
 */

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <urcu-qsbr.h>

#include "moat_domain.h"
#include "moat_soft_unit.h"
#include "moat_softvtd.h"
#include "unit_args.h"

#define DOMAINS 3
#define SOURCES 5
#define PAGES   2048                 /* 8 MiB of IOVA in each domain: four granules */
#define FRAMES  1024                 /* pages of memory, each with its number at its beginning */
#define IOVA    UINT64_C(0x7fc00000) /* crosses a border of 1 GiB */

/* A page of a domain in the model. */
struct page {
	enum moat_prot prot; /* 0: not mapped */
	uint32_t frame;
	moat_ticket_t ticket; /* if not mapped: reachable until this is done; 0: long done */
	enum moat_prot old_prot;
	uint32_t old_frame;
};

struct model_domain {
	struct moat_domain *domain;
	struct moat_lane *lane;
	struct page page[PAGES];
	uint32_t recent[16]; /* pages unmapped recently, which devices try more often */
};

struct model {
	uint64_t rng;
	struct moat_unit *unit;
	struct moat_softvtd *hw;
	struct model_domain domains[DOMAINS];
	int source[SOURCES]; /* the source's domain; -1: none */
	uint8_t *memory;
	uint64_t dmas, refused, windows;
};

static uint32_t random_below(struct model *m, uint32_t n)
{
	m->rng ^= m->rng << 13;
	m->rng ^= m->rng >> 7;
	m->rng ^= m->rng << 17;
	return (uint32_t)(m->rng >> 16) % n;
}

static uint8_t *frame(struct model *m, uint32_t n)
{
	return m->memory + (size_t)n * MOAT_PAGE_SIZE;
}

static bool reachable_until_ticket(const struct model_domain *d, const struct page *p)
{
	return p->prot == 0 && p->ticket != 0 && !moat_lane_done(d->lane, p->ticket);
}

/* ------------------------------------------------------------------------------- the actions */

static void do_map(struct model *m, struct model_domain *d)
{
	uint32_t at = random_below(m, PAGES);
	uint32_t n = 1 + random_below(m, random_below(m, 4) == 0 ? 600 : 8);
	uint32_t first = random_below(m, FRAMES);
	enum moat_prot prot = 1 + random_below(m, 3);
	uint32_t mapped = n;
	int rc;

	n = RTE_MIN(n, PAGES - at);
	n = RTE_MIN(n, FRAMES - first);
	for (uint32_t i = 0; i < n; i++) {
		/* The caller must not map before the ticket of the unmap there is done. */
		if (reachable_until_ticket(d, &d->page[at + i]))
			return;
		if (d->page[at + i].prot != 0 && mapped >= n)
			mapped = i;
	}
	rc = moat_lane_map(d->lane, IOVA + at * MOAT_PAGE_SIZE, (uintptr_t)frame(m, first),
		frame(m, first), n * MOAT_PAGE_SIZE, prot);
	if (mapped < n) {
		assert_int_equal(rc, -EEXIST);
		return;
	}
	assert_int_equal(rc, 0);
	for (uint32_t i = 0; i < n; i++)
		d->page[at + i] = (struct page){ .prot = prot, .frame = first + i };
}

static void do_unmap(struct model *m, struct model_domain *d)
{
	uint32_t at = random_below(m, PAGES);
	uint32_t n = 1 + random_below(m, random_below(m, 20) == 0 ? 600 : 8);
	bool whole = true;
	int rc;

	n = RTE_MIN(n, PAGES - at);
	for (uint32_t i = 0; i < n; i++)
		whole &= d->page[at + i].prot != 0;
	rc = moat_lane_unmap(d->lane, IOVA + at * MOAT_PAGE_SIZE, n * MOAT_PAGE_SIZE);
	if (rc == -EAGAIN || rc == -EINVAL) /* no room; or a part of a 2 MiB leaf */
		return;
	assert_int_equal(rc, whole ? 0 : -ENOENT);
	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		struct page *p = &d->page[at + i];

		d->recent[random_below(m, RTE_DIM(d->recent))] = at + i;
		*p = (struct page){ .ticket = moat_lane_next_ticket(d->lane),
			.old_prot = p->prot,
			.old_frame = p->frame };
	}
}

/* A device of this domain tries an address. The model knows what the device must and must not
 * reach, except for pages whose ticket is not done: those may be reached by the old mapping
 * only. */
static void do_dma(struct model *m)
{
	uint32_t s = random_below(m, SOURCES);
	uint32_t at = random_below(m, PAGES);
	bool write = random_below(m, 2);
	enum moat_prot need = write ? MOAT_W : MOAT_R;
	struct model_domain *d = m->source[s] < 0 ? NULL : &m->domains[m->source[s]];
	struct page *p;
	uint64_t iova;
	uint32_t value = random_below(m, UINT32_MAX), got = UINT32_MAX;
	bool reached;

	if (d != NULL && random_below(m, 2) == 0)
		at = d->recent[random_below(m, RTE_DIM(d->recent))];
	p = d != NULL ? &d->page[at] : NULL;
	iova = IOVA + at * MOAT_PAGE_SIZE;
	if (write)
		reached = moat_softvtd_dma_write(m->hw, MOAT_SID(1, 0, s), iova + 16, &value,
				  sizeof(value)) == 0;
	else
		reached = moat_softvtd_dma_read(m->hw, MOAT_SID(1, 0, s), iova, &got,
				  sizeof(got)) == 0;
	m->dmas++;
	m->refused += !reached;
	if (p != NULL && reachable_until_ticket(d, p)) {
		m->windows += reached;
		if (reached) {
			assert_true(p->old_prot & need);
			if (!write)
				assert_int_equal(got, p->old_frame);
		}
		return;
	}
	assert_int_equal(reached, p != NULL && (p->prot & need) != 0);
	if (p == NULL || !reached)
		return;
	if (!write)
		assert_int_equal(got, p->frame);
	else
		assert_memory_equal(frame(m, p->frame) + 16, &value, sizeof(value));
}

static void do_translate(struct model *m, struct model_domain *d)
{
	uint64_t iova[64];
	void *va[64];
	enum moat_prot prot = 1 + random_below(m, 3);
	unsigned int n = 1 + random_below(m, 64);
	uint64_t ok;

	for (unsigned int i = 0; i < n; i++)
		iova[i] = IOVA + random_below(m, PAGES) * MOAT_PAGE_SIZE + random_below(m, 4000);
	ok = moat_iotlb_translate_bulk(&d->lane->iotlb, iova, 64, n, prot, va);
	for (unsigned int i = 0; i < n; i++) {
		const struct page *p = &d->page[(iova[i] - IOVA) / MOAT_PAGE_SIZE];
		void *want = (p->prot & prot) == prot
			? frame(m, p->frame) + (iova[i] & MOAT_PAGE_MASK)
			: NULL;

		assert_ptr_equal(va[i], want);
		assert_int_equal(ok >> i & 1, want != NULL);
		assert_ptr_equal(moat_iotlb_translate(&d->lane->iotlb, iova[i], 64, prot), want);
	}
}

static void do_move_source(struct model *m)
{
	uint32_t s = random_below(m, SOURCES);

	if (m->source[s] >= 0) {
		struct model_domain *d = &m->domains[m->source[s]];

		assert_int_equal(moat_domain_detach(d->domain, MOAT_SID(1, 0, s)), 0);
		m->source[s] = -1;
	} else {
		m->source[s] = (int)random_below(m, DOMAINS);
		assert_int_equal(
			moat_domain_attach(m->domains[m->source[s]].domain, MOAT_SID(1, 0, s)), 0);
	}
}

static void step(struct model *m)
{
	struct model_domain *d = &m->domains[random_below(m, DOMAINS)];
	uint32_t dice = random_below(m, 1000);

	if (dice < 250)
		do_map(m, d);
	else if (dice < 350)
		do_unmap(m, d);
	else if (dice < 390)
		moat_lane_flush(d->lane);
	else if (dice < 420)
		moat_lane_poll(d->lane);
	else if (dice < 423)
		do_move_source(m);
	else if (dice < 460)
		do_translate(m, d);
	else
		do_dma(m);
}

/* ------------------------------------------------------------------------------------ running */

static void make(struct model *m, const char *args)
{
	memset(m, 0, sizeof(*m));
	assert_int_equal(moat_soft_unit_create("soft0", args, &m->unit), 0);
	m->hw = moat_soft_unit_find("soft0");
	m->memory = aligned_alloc(MOAT_2M_SIZE, FRAMES * MOAT_PAGE_SIZE);
	for (uint32_t i = 0; i < FRAMES; i++)
		memcpy(frame(m, i), &i, sizeof(i));
	for (unsigned int i = 0; i < DOMAINS; i++) {
		struct moat_domain_conf conf = { .name = "model", .leaf_sizes = UINT64_MAX };

		assert_int_equal(moat_domain_create(m->unit, &conf, &m->domains[i].domain), 0);
		m->domains[i].lane = moat_lane_open(m->domains[i].domain);
		moat_lane_online(m->domains[i].lane);
	}
	for (unsigned int s = 0; s < SOURCES; s++)
		m->source[s] = -1;
}

static void unmake(struct model *m)
{
	for (unsigned int i = 0; i < DOMAINS; i++) {
		assert_int_equal(moat_lane_close(m->domains[i].lane), 0);
		assert_int_equal(moat_domain_destroy(m->domains[i].domain), 0);
	}
	m->unit->ops->destroy(m->unit);
	free(m->memory);
}

static void report_stale(struct moat_softvtd *hw)
{
	struct moat_softvtd_stale list[4];
	unsigned int n = moat_softvtd_stale(hw, list, RTE_DIM(list));

	for (unsigned int i = 0; i < n; i++)
		print_message("# stale DMA of " MOAT_SID_FMT " to 0x%" PRIx64
			      " (%s, served by %s%s), "
			      "unmap %" PRIx64 ", %" PRIu64 " cycles late\n",
			MOAT_SID_ARGS(list[i].sid), list[i].iova,
			moat_softvtd_staleness_name(list[i].why),
			moat_softvtd_server_name(list[i].server),
			list[i].context ? ", context" : "", list[i].cause, list[i].age);
}

static void run(const char *args)
{
	const char *seed = getenv("MOAT_SEED");
	const char *steps = getenv("MOAT_STEPS");
	uint64_t n = steps != NULL ? strtoull(steps, NULL, 0) : 200000;
	static struct model m;
	struct moat_softvtd_stats stats;
	uint64_t rng =
		seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) * 2654435761u | 1;

	print_message("# MOAT_SEED=%" PRIu64 " unit %s\n", rng, args);
	make(&m, args);
	m.rng = rng;
	for (uint64_t i = 0; i < n; i++)
		step(&m);
	moat_softvtd_stats(m.hw, &stats);
	print_message("# %" PRIu64 " DMAs, %" PRIu64 " refused, %" PRIu64 " inside a window\n",
		m.dmas, m.refused, m.windows);
	report_stale(m.hw);
	assert_int_equal(stats.stale_dma, 0);
	assert_int_equal(stats.early_reuse, 0);
	/* Check that the run was useful: accesses were allowed and refused, and windows were
	 * hit. */
	assert_true(m.refused > n / 100 && m.dmas - m.refused > n / 100 && m.windows > 0);
	unmake(&m);
}

static void a_random_life_agrees_with_the_model(void **state)
{
	run(UNIT_ADVERSARY);
}

static void and_on_a_unit_with_three_levels_and_no_snooping(void **state)
{
	run(UNIT_NARROW);
}

static void and_on_a_unit_that_caches_absence(void **state)
{
	run(UNIT_CACHING);
}

static int register_thread(void **state)
{
	rcu_register_thread();
	return 0;
}

static int unregister_thread(void **state)
{
	rcu_unregister_thread();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_random_life_agrees_with_the_model),
		cmocka_unit_test(and_on_a_unit_with_three_levels_and_no_snooping),
		cmocka_unit_test(and_on_a_unit_that_caches_absence),
	};

	return cmocka_run_group_tests(tests, register_thread, unregister_thread);
}
