/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Completion implies drained: when a wait descriptor behind an invalidation completes, no DMA that
 * used the old translation is under way.
 */
#include <pthread.h>

#include "rig.h"

#define SID  0x0310
#define DID  7
#define BASE UINT64_C(0x40000000)

static struct rig rig;
static uint64_t *table;

static void up(const struct moat_softvtd_conf *conf)
{
	rig_up(&rig, conf);
	table = rig_page(&rig);
	rig_attach(&rig, SID, DID, table, 4);
	rig_map(&rig, table, 4, BASE, rig_page(&rig), MOAT_RW);
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

static void dma_begin(struct moat_softvtd_guard *guard, enum moat_prot prot)
{
	moat_softvtd_dma_begin(rig.sv, SID, 0, prot, guard);
	assert_non_null(moat_softvtd_dma_map(guard, BASE, 64, prot & MOAT_W ? MOAT_W : MOAT_R));
}

/* Queue an invalidation with these drain bits (0x80 DR, 0x40 DW). @return its wait */
static uint32_t invalidate(unsigned int drain)
{
	uint32_t wait;

	rig_queue(&rig, 2 | 3 << 4 | drain | DID << 16, RIG_PAGE(BASE, 0, 1));
	wait = rig_queue_wait(&rig);
	rig_doorbell(&rig);
	return wait;
}

/* ------------------------------------------------------------------------------- by hand */

static void dma_under_way_holds_the_wait_until_it_ends(void **state)
{
	for (unsigned int prot = MOAT_R; prot <= MOAT_RW; prot++) {
		struct moat_softvtd_guard guard;
		uint32_t wait;

		dma_begin(&guard, prot);
		wait = invalidate(0xc0);
		rig_turns(&rig, 1000);
		assert_false(rig_done(&rig, wait));
		moat_softvtd_dma_end(&guard);
		rig_wait(&rig, wait);
	}
}

static void dma_that_begins_later_does_not_hold_it(void **state)
{
	struct moat_softvtd_guard early, late[3];
	uint32_t wait;

	dma_begin(&early, MOAT_W);
	wait = invalidate(0xc0);
	rig_turns(&rig, 10);
	for (unsigned int i = 0; i < 3; i++)
		dma_begin(&late[i], MOAT_RW);
	rig_turns(&rig, 100);
	assert_false(rig_done(&rig, wait));
	moat_softvtd_dma_end(&early);
	rig_wait(&rig, wait);
	for (unsigned int i = 0; i < 3; i++)
		moat_softvtd_dma_end(&late[i]);
}

static void a_drain_asked_for_during_another_waits_for_its_own(void **state)
{
	struct moat_softvtd_guard first, second;
	uint32_t wait[2];

	dma_begin(&first, MOAT_W);
	wait[0] = invalidate(0xc0);
	rig_turns(&rig, 10);
	dma_begin(&second, MOAT_W);
	wait[1] = invalidate(0xc0);
	rig_turns(&rig, 10);
	moat_softvtd_dma_end(&first);
	rig_turns(&rig, 100);
	/* Whether both drains were requested before the unit reached the first wait is not known.
	 * So the first wait may depend on the first guard only; the second certainly waits. */
	assert_false(rig_done(&rig, wait[1]));
	moat_softvtd_dma_end(&second);
	rig_wait(&rig, wait[1]);
	assert_true(rig_done(&rig, wait[0]));
}

static void only_what_is_asked_for_is_drained_before_version_2(void **state)
{
	static const struct {
		unsigned int drain, prot;
		bool held;
	} cases[] = {
		{ 0x00, MOAT_R, false },
		{ 0x00, MOAT_W, false },
		{ 0x00, MOAT_RW, false },
		{ 0x80, MOAT_R, true },
		{ 0x80, MOAT_W, false },
		{ 0x80, MOAT_RW, true },
		{ 0x40, MOAT_R, false },
		{ 0x40, MOAT_W, true },
		{ 0x40, MOAT_RW, true },
		{ 0xc0, MOAT_R, true },
		{ 0xc0, MOAT_W, true },
		{ 0xc0, MOAT_RW, true },
	};

	for (unsigned int version = 1; version <= 2; version++) {
		struct moat_softvtd_conf conf;

		rig_down(&rig);
		rig_plain(&conf);
		conf.ver = version << 4;
		up(&conf);
		for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
			struct moat_softvtd_guard guard;
			uint32_t wait;

			dma_begin(&guard, cases[i].prot);
			wait = invalidate(cases[i].drain);
			rig_turns(&rig, 100);
			assert_int_equal(rig_done(&rig, wait), version < 2 && !cases[i].held);
			moat_softvtd_dma_end(&guard);
			rig_wait(&rig, wait);
		}
	}
}

static void a_guard_that_has_translated_nothing_holds_nothing(void **state)
{
	struct moat_softvtd_guard guard;

	moat_softvtd_dma_begin(rig.sv, SID, 0, MOAT_RW, &guard);
	rig_wait(&rig, invalidate(0xc0));
	assert_non_null(moat_softvtd_dma_map(&guard, BASE, 64, MOAT_R));
	moat_softvtd_dma_end(&guard);
}

static void every_engine_of_every_source_is_drained(void **state)
{
	struct moat_softvtd_conf conf;
	struct moat_softvtd_guard guard[16];
	uint32_t wait;

	rig_down(&rig);
	moat_softvtd_conf_init(&conf);
	conf.seed = rig_seed();
	up(&conf);
	for (unsigned int i = 0; i < 16; i++) {
		rig_attach(&rig, SID + i / 4, DID, table, 4);
		rig_do(&rig, RIG_CTX_GLOBAL, 0);
		moat_softvtd_dma_begin(rig.sv, SID + i / 4, i % 4, MOAT_W, &guard[i]);
		assert_non_null(moat_softvtd_dma_map(&guard[i], BASE, 64, MOAT_W));
	}
	wait = invalidate(0xc0);
	for (unsigned int i = 0; i < 16; i++) {
		rig_turns(&rig, 100);
		assert_false(rig_done(&rig, wait));
		moat_softvtd_dma_end(&guard[i * 7 % 16]);
	}
	rig_wait(&rig, wait);
}

static void disabling_translation_shows_when_dma_has_drained(void **state)
{
	struct moat_softvtd_guard guard;

	dma_begin(&guard, MOAT_W);
	moat_softvtd_write32(rig.sv, 0x18, rig_gsts(&rig) & 0x96ffffff & ~(1u << 31));
	for (unsigned int i = 0; i < 1000; i++)
		assert_true(rig_gsts(&rig) & 1u << 31);
	moat_softvtd_dma_end(&guard);
	while (rig_gsts(&rig) & 1u << 31)
		;
}

static void not_draining_is_a_mutation(void **state)
{
	struct moat_softvtd_guard guard;

	moat_softvtd_mutate(rig.sv, MOAT_SOFTVTD_NO_DRAIN, 0);
	dma_begin(&guard, MOAT_W);
	rig_wait(&rig, invalidate(0xc0));
	moat_softvtd_dma_end(&guard);
}

/* -------------------------------------------------------------------------------- stress */

/*
 * Devices write through an entry that software changes from buffer to buffer. The first word of
 * each buffer says whether it belongs to devices. Software takes a buffer back when the
 * invalidation after the change has completed. A device that then still writes finds the word
 * changed, or leaves its mark in a buffer that software owns.
 */
#define BUFFERS 4
#define DEVICES 2

struct buffer {
	_Atomic uint64_t devices_own;
	_Atomic uint64_t mark[DEVICES];
};

static struct {
	struct buffer *buffer[BUFFERS];
	_Atomic bool stop;
	_Atomic uint64_t late, writes;
} stress;

static void *device(void *arg)
{
	unsigned int self = (uintptr_t)arg;
	uint64_t n = 0;

	while (!stress.stop) {
		struct moat_softvtd_guard guard;
		struct buffer *b;

		moat_softvtd_dma_begin(rig.sv, SID + self, self, MOAT_W, &guard);
		b = moat_softvtd_dma_map(&guard, BASE, sizeof(*b), MOAT_W);
		if (b == NULL) {
			moat_softvtd_dma_end(&guard);
			break;
		}
		for (unsigned int i = 0; i < 20; i++) {
			if (!atomic_load_explicit(&b->devices_own, memory_order_relaxed))
				stress.late++;
			atomic_store_explicit(&b->mark[self], ++n, memory_order_relaxed);
			if (i == 10 && n % 64 < 20)
				sched_yield(); /* in the middle of the DMA */
		}
		moat_softvtd_dma_end(&guard);
		stress.writes += 20;
	}
	return NULL;
}

/* @return DMA found under way when none may be */
static uint64_t run_stress(bool threaded, uint32_t mutation, unsigned int turns)
{
	struct moat_softvtd_conf conf;
	pthread_t thread[DEVICES];

	rig_down(&rig);
	moat_softvtd_conf_init(&conf);
	conf.seed = rig_seed();
	conf.threaded = threaded;
	conf.oracle = false;
	up(&conf);
	stress.stop = false;
	stress.late = stress.writes = 0;
	for (unsigned int i = 0; i < BUFFERS; i++)
		stress.buffer[i] = rig_page(&rig);
	stress.buffer[0]->devices_own = 1;
	rig_map(&rig, table, 4, BASE, stress.buffer[0], MOAT_RW);
	rig_attach(&rig, SID + 1, DID, table, 4);
	rig_do(&rig, RIG_CTX_GLOBAL, 0);
	rig_do(&rig, RIG_IOTLB_GLOBAL, 0);
	moat_softvtd_mutate(rig.sv, mutation, 0);
	for (uintptr_t i = 0; i < DEVICES; i++)
		pthread_create(&thread[i], NULL, device, (void *)i);
	while (stress.writes == 0)
		sched_yield(); /* until a device runs */
	for (unsigned int turn = 0; turn < turns; turn++) {
		struct buffer *taken = stress.buffer[turn % BUFFERS];
		struct buffer *given = stress.buffer[(turn + 1) % BUFFERS];
		uint64_t mark[DEVICES];

		given->devices_own = 1;
		rig_map(&rig, table, 4, BASE, given, MOAT_RW);
		rig_wait(&rig, invalidate(0xc0));
		taken->devices_own = 0;
		for (unsigned int i = 0; i < DEVICES; i++)
			mark[i] = taken->mark[i];
		sched_yield();
		for (unsigned int i = 0; i < DEVICES; i++)
			stress.late += taken->mark[i] != mark[i];
	}
	stress.stop = true;
	for (unsigned int i = 0; i < DEVICES; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(rig_stats(&rig).recorded, 0);
	return stress.late;
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define TURNS 300
#else
#define TURNS 2000
#endif

static void no_dma_is_under_way_when_its_invalidation_completes(void **state)
{
	assert_int_equal(run_stress(false, 0, TURNS), 0);
}

static void nor_where_the_unit_works_by_itself(void **state)
{
	assert_int_equal(run_stress(true, 0, TURNS), 0);
}

static void the_stress_notices_a_unit_that_does_not_drain(void **state)
{
	uint64_t late = 0;

	/* it may take some tries until a device is in the middle of a DMA */
	for (unsigned int i = 0; i < 20 && late == 0; i++)
		late = run_stress(false, MOAT_SOFTVTD_NO_DRAIN, TURNS);
	assert_true(late > 0);
}

static void the_stress_notices_a_unit_that_forgets_an_invalidation(void **state)
{
	uint64_t found = 0;

	/* Whether a device uses the page at the moment is chance, but in thirty tries one must. */
	for (unsigned int i = 0; i < 30 && found == 0; i++)
		found = run_stress(false, MOAT_SOFTVTD_DROP_PAGE, 100);
	assert_true(found > 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(dma_under_way_holds_the_wait_until_it_ends),
		T(dma_that_begins_later_does_not_hold_it),
		T(a_drain_asked_for_during_another_waits_for_its_own),
		T(only_what_is_asked_for_is_drained_before_version_2),
		T(a_guard_that_has_translated_nothing_holds_nothing),
		T(every_engine_of_every_source_is_drained),
		T(disabling_translation_shows_when_dma_has_drained),
		T(not_draining_is_a_mutation),
		T(no_dma_is_under_way_when_its_invalidation_completes),
		T(nor_where_the_unit_works_by_itself),
		T(the_stress_notices_a_unit_that_does_not_drain),
		T(the_stress_notices_a_unit_that_forgets_an_invalidation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
