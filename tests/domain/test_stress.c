/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * All lcores at once, more of them than processors. Each maps and unmaps its own part of one shared
 * domain, translates addresses of all parts, and acts as a device that tries addresses of all
 * parts, with random stalls. A frame is poisoned when the ticket of its unmap is done, and restored
 * before it is mapped again. An lcore that reads poison, through a translation that it still holds
 * or by DMA, has reached an unmapped frame. One run of each lcore fills a table page, which is
 * allocated and unlinked with that run. The pool poisons freed table pages, so a walk of one is
 * found, too. MOAT_SECONDS sets the length (default 3).
 */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <rte_cycles.h>
#include <urcu-qsbr.h>

#include "moat_domain.h"
#include "moat_soft_unit.h"
#include "moat_softvtd.h"
#include "pt_hooks.h"
#include "unit_args.h"

#define THREADS 5
#define RUNS    64 /* runs of a thread's part, of up to 8 pages; some are a granule apart */
#define RUN     8
#define STRIDE  (MOAT_2M_SIZE / 16)
#define BIG     512                    /* pages of the last run, which fills a table */
#define PAGES   (RUNS * RUN + 1 + BIG) /* of a thread's memory; BIG is not aligned to 2 MiB */
#define GOOD    UINT64_C(0x600d600d600d600d)
#define POISON  UINT64_C(0xdeaddeaddeaddead)
#define IOVA    UINT64_C(0x80000000)

struct run {
	uint32_t pages;       /* mapped now; 0: none */
	uint32_t was;         /* pages of the last unmap that are not poisoned yet */
	moat_ticket_t ticket; /* of that unmap */
};

struct shared {
	struct moat_unit *unit;
	struct moat_softvtd *hw;
	struct moat_domain *domain;
	uint8_t *memory;
	_Atomic bool stop;
	_Atomic uint64_t unmaps, translations, dmas, breaches;
};

struct worker {
	struct shared *s;
	unsigned int me;
	uint64_t rng;
	struct moat_lane *lane;
	struct run run[RUNS + 1];
};

static uint32_t random_below(struct worker *w, uint32_t n)
{
	w->rng ^= w->rng << 13;
	w->rng ^= w->rng >> 7;
	w->rng ^= w->rng << 17;
	return (uint32_t)(w->rng >> 16) % n;
}

static uint64_t run_iova(unsigned int who, unsigned int run)
{
	if (run == RUNS)
		return IOVA + THREADS * RUNS * STRIDE + who * MOAT_2M_SIZE;
	return IOVA + (who * RUNS + run) * STRIDE;
}

static unsigned int run_room(unsigned int run)
{
	return run == RUNS ? BIG : RUN;
}

static _Atomic uint64_t *word(struct shared *s, unsigned int who, unsigned int run,
	unsigned int page)
{
	size_t first = (size_t)who * PAGES + run * RUN + (run == RUNS ? 1 : 0);

	return (_Atomic uint64_t *)(s->memory + (first + page) * MOAT_PAGE_SIZE);
}

static void fill(struct worker *w, unsigned int run, unsigned int pages, uint64_t value)
{
	for (unsigned int i = 0; i < pages; i++)
		atomic_store_explicit(word(w->s, w->me, run, i), value, memory_order_relaxed);
}

static void stall(struct worker *w)
{
	uint32_t dice = random_below(w, 1000);

	if (dice == 0)
		sched_yield();
	else if (dice < 20)
		rte_delay_us_block(random_below(w, 20));
}

/* Poison a run whose ticket is done; only then may it be mapped again. */
static bool settle(struct worker *w, unsigned int run)
{
	struct run *r = &w->run[run];

	if (r->was != 0 && moat_lane_done(w->lane, r->ticket)) {
		fill(w, run, r->was, POISON);
		r->was = 0;
	}
	return r->was == 0;
}

static void map_or_unmap(struct worker *w)
{
	unsigned int i = random_below(w, RUNS + 1);
	struct run *r = &w->run[i];

	if (r->pages == 0) {
		uint32_t pages = i == RUNS ? BIG : 1 + random_below(w, RUN);

		if (!settle(w, i))
			return;
		fill(w, i, pages, GOOD);
		assert_int_equal(moat_lane_map(w->lane, run_iova(w->me, i),
					 (uintptr_t)word(w->s, w->me, i, 0),
					 (void *)word(w->s, w->me, i, 0), pages * MOAT_PAGE_SIZE,
					 MOAT_RW),
			0);
		r->pages = pages;
		return;
	}
	switch (moat_lane_unmap(w->lane, run_iova(w->me, i), r->pages * MOAT_PAGE_SIZE)) {
	case 0:
		r->ticket = moat_lane_next_ticket(w->lane);
		r->was = r->pages;
		r->pages = 0;
		w->s->unmaps++;
		break;
	case -EAGAIN:
		break;
	default:
		w->s->breaches++;
	}
}

/* Condition (b): the target of a translation stays valid until this lane polls. */
static void translate(struct worker *w)
{
	unsigned int who = random_below(w, THREADS), i = random_below(w, RUNS + 1);
	uint64_t iova = run_iova(who, i) + random_below(w, run_room(i)) * MOAT_PAGE_SIZE;
	_Atomic uint64_t *p = moat_iotlb_translate(&w->lane->iotlb, iova, 8, MOAT_R);

	w->s->translations++;
	if (p == NULL)
		return;
	for (unsigned int k = 0; k < 3; k++) {
		if (atomic_load_explicit(p, memory_order_relaxed) != GOOD)
			w->s->breaches++;
		stall(w);
	}
}

/* Condition (a): no device reads poison. */
static void dma(struct worker *w)
{
	unsigned int who = random_below(w, THREADS), i = random_below(w, RUNS + 1);
	uint64_t iova = run_iova(who, i) + random_below(w, run_room(i)) * MOAT_PAGE_SIZE;
	uint64_t got;

	w->s->dmas++;
	if (moat_softvtd_dma_read(w->s->hw, MOAT_SID(2, 0, w->me), iova, &got, sizeof(got)) == 0 &&
		got != GOOD)
		w->s->breaches++;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	rcu_register_thread();
	w->lane = moat_lane_open(w->s->domain);
	moat_lane_online(w->lane);
	while (!w->s->stop) {
		uint32_t dice = random_below(w, 100);

		if (dice < 40)
			map_or_unmap(w);
		else if (dice < 55)
			translate(w);
		else if (dice < 75)
			dma(w);
		else if (dice < 85)
			moat_lane_flush(w->lane);
		else
			moat_lane_poll(w->lane);
		stall(w);
	}
	if (moat_lane_close(w->lane) != 0) {
		print_error("%s\n", moat_error_text());
		w->s->breaches++;
	}
	rcu_unregister_thread();
	return NULL;
}

static void stress(const char *args)
{
	const char *seed = getenv("MOAT_SEED"), *seconds = getenv("MOAT_SECONDS");
	uint64_t rng =
		seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) * 2654435761u | 1;
	struct moat_domain_conf conf = { .name = "shared", .leaf_sizes = UINT64_MAX };
	static struct worker workers[THREADS];
	struct moat_softvtd_stats stats;
	pthread_t threads[THREADS];
	struct shared s = { 0 };

	print_message("# MOAT_SEED=%" PRIu64 " unit %s\n", rng, args);
	memset(workers, 0, sizeof(workers));
	assert_int_equal(moat_soft_unit_create("soft0", args, &s.unit), 0);
	s.hw = moat_soft_unit_find("soft0");
	assert_int_equal(moat_domain_create(s.unit, &conf, &s.domain), 0);
	s.memory = aligned_alloc(MOAT_2M_SIZE,
		RTE_ALIGN_CEIL(THREADS * PAGES * MOAT_PAGE_SIZE, MOAT_2M_SIZE));
	memset(s.memory, 0, THREADS * PAGES * MOAT_PAGE_SIZE);
	pt_pool_poison(s.unit->pool, true);
	for (unsigned int i = 0; i < THREADS; i++) {
		assert_int_equal(moat_domain_attach(s.domain, MOAT_SID(2, 0, i)), 0);
		workers[i] = (struct worker){ .s = &s, .me = i, .rng = rng + i * 7919 };
		pthread_create(&threads[i], NULL, work, &workers[i]);
	}
	rte_delay_us_sleep((seconds != NULL ? strtoul(seconds, NULL, 0) : 3) * 1000000);
	s.stop = true;
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	moat_softvtd_stats(s.hw, &stats);
	print_message("# %" PRIu64 " unmaps, %" PRIu64 " translations, %" PRIu64 " DMAs\n",
		s.unmaps, s.translations, s.dmas);
	assert_int_equal(s.breaches, 0);
	assert_int_equal(stats.stale_dma, 0);
	assert_int_equal(stats.early_reuse, 0);
	assert_true(s.unmaps > 100 && s.translations > 100 && s.dmas > 100);
	assert_int_equal(moat_domain_destroy(s.domain), 0);
	s.unit->ops->destroy(s.unit);
	free(s.memory);
}

static void nobody_reaches_what_a_done_ticket_released(void **state)
{
	stress(UNIT_ADVERSARY);
}

static void nor_with_a_unit_that_works_on_its_own(void **state)
{
	stress(UNIT_ADVERSARY ",threaded=1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_reaches_what_a_done_ticket_released),
		cmocka_unit_test(nor_with_a_unit_that_works_on_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
