/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Writers in disjoint ranges, and readers at the same time. There are more threads than cores, so
 * that each is preempted at inconvenient places.
 */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "pt_test.h"
#include "../../lib/pt/pt_internal.h"
#include "moat_iotlb.h"

#define WRITERS 4u
#define READERS 4u
#define HPA_OFF UINT64_C(0x2000000000) /* a page's HPA is always its IOVA + this */

static struct moat_pt *pt;
static atomic_bool stop;
static _Atomic uint64_t wrong, looked;

static int setup(void **state)
{
	urcu_qsbr_register_thread();
	atomic_store(&stop, false);
	atomic_store(&wrong, 0);
	atomic_store(&looked, 0);
	return moat_pt_pool_create(NULL, &pool);
}

static int teardown(void **state)
{
	moat_pt_destroy(pt);
	moat_pt_pool_destroy(pool);
	urcu_qsbr_unregister_thread();
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void expect(bool ok)
{
	if (!ok)
		atomic_fetch_add(&wrong, 1);
}

/* ---------------------------------------------------------------------- writers among writers */

#define GRANULES 8u

/* Thread t owns every page whose number is t modulo WRITERS, so that all writers share every table.
 * It also owns all of granule GRANULES + t, whose table it links and unlinks. */
static void *interleaved_writer(void *arg)
{
	uint64_t t = (uint64_t)(uintptr_t)arg, seed = rnd_state + t, whole = (GRANULES + t) * 512;
	static bool mapped[WRITERS][GRANULES * 512];

	memset(mapped[t], 0, sizeof(mapped[t]));
	for (unsigned int k = 0; k < 30000; k++) {
		uint64_t page = rnd_next(&seed) % (GRANULES * 512 / WRITERS) * WRITERS + t;
		struct moat_pt_freed freed = { 0 };
		int ret, other = mapped[t][page] ? 0 : -ENOENT;

		if (rnd_next(&seed) % 2) {
			ret = map(pt, page * P, page * P + HPA_OFF, P, MOAT_RW);
			expect(ret == (mapped[t][page] ? -EEXIST : 0));
			mapped[t][page] = true;
		} else {
			ret = moat_pt_unmap(pt, page * P, P, &freed, NULL);
			expect(ret == other && freed.n == 0);
			mapped[t][page] = false;
		}
		if (k % 64 == 0) {
			expect(map(pt, whole * P, whole * P, MOAT_2M_SIZE, MOAT_R) == 0);
			expect(moat_pt_unmap(pt, whole * P, MOAT_2M_SIZE, &freed, NULL) == 0);
			expect(freed.n == 1);
			pt_pool_recycle(pool, &freed);
		}
	}
	for (uint64_t page = t; page < GRANULES * 512; page += WRITERS) {
		struct moat_pt_leaf leaf;
		int ret = moat_pt_walk(pt, page * P, &leaf);

		expect(ret == (mapped[t][page] ? 0 : -ENOENT));
		expect(ret != 0 || leaf.hpa == page * P + HPA_OFF);
	}
	return NULL;
}

static void writers_in_disjoint_ranges_do_not_disturb_each_other(void **state)
{
	pthread_t thread[WRITERS];

	pt = table(4, 48, 0);
	for (uintptr_t t = 0; t < WRITERS; t++)
		pthread_create(&thread[t], NULL, interleaved_writer, (void *)t);
	for (unsigned int t = 0; t < WRITERS; t++)
		pthread_join(thread[t], NULL);
	assert_int_equal(wrong, 0);
}

/* -------------------------------------------------------------------- readers under reclaim */

/* A slow reader: between finding a table and reading its entries it lets other threads run, as a
 * preempted lcore does. The table must still be that of the granule. */
static void slow_reader(uint64_t iova)
{
	uint64_t g = iova >> MOAT_2M_SHIFT, entry, i = pt_index(iova, 1);
	/* acquire: as for every reader of a granule */
	uintptr_t e = atomic_load_explicit(&pt->granules[g].table, memory_order_acquire);

	if (e == 0)
		return;
	e &= MOAT_PT_TABLE;
	sched_yield();
	for (unsigned int k = 0; k < 16; k++, i = (i + 31) % 512) {
		entry = pt_load((uint64_t *)e + i);
		expect(entry == 0 || entry == MOAT_PT_POISON ||
			(entry & MOAT_SS_ADDR) == (g << MOAT_2M_SHIFT) + i * P + HPA_OFF);
	}
}

static void *reader(void *arg)
{
	uint64_t seed = rnd_state + 1000 + (uintptr_t)arg, n = 0;
	struct moat_iotlb tlb;

	urcu_qsbr_register_thread();
	moat_iotlb_init(&tlb, pt);
	/* relaxed: the thread that sets it joins this one, which orders the rest */
	for (; !atomic_load_explicit(&stop, memory_order_relaxed); n++) {
		uint64_t iova = rnd_next(&seed) % (16 * MOAT_2M_SIZE);
		struct moat_pt_leaf leaf;
		void *va = moat_iotlb_translate(&tlb, iova, 1, MOAT_R);

		expect(va == NULL || (uintptr_t)va == iova + VA_OFF);
		if (moat_pt_walk(pt, iova, &leaf) == 0)
			expect(leaf.hpa == iova + HPA_OFF);
		if (n % 8 == 0)
			slow_reader(iova);
		if (n % 32 == 0)
			urcu_qsbr_quiescent_state();
	}
	atomic_fetch_add(&looked, n);
	urcu_qsbr_unregister_thread();
	return NULL;
}

/* Fill a granule's pages, unmap them, and let the table be unlinked, again and again. */
static void *churner(void *arg)
{
	uint64_t t = (uintptr_t)arg, seed = rnd_state + t, end = now_ms() + 800;

	urcu_qsbr_register_thread();
	while (now_ms() < end) {
		uint64_t base = (rnd_next(&seed) % 8 * 2 + t) * MOAT_2M_SIZE;
		struct moat_pt_freed freed = { 0 };

		for (uint64_t i = 0; i < 512; i++)
			expect(map(pt, base + i * P, base + i * P + HPA_OFF, P, MOAT_R) == 0);
		expect(moat_pt_unmap(pt, base, MOAT_2M_SIZE, &freed, NULL) == 0);
		expect(freed.n == 1);
		moat_pt_pool_retire(pool, &freed);
		urcu_qsbr_quiescent_state();
	}
	urcu_qsbr_unregister_thread();
	return NULL;
}

static void torture(bool poison)
{
	pthread_t readers[READERS], writers[2];

	pt = table(4, 48, 0);
	pt_pool_poison(pool, poison);
	for (uintptr_t t = 0; t < READERS; t++)
		pthread_create(&readers[t], NULL, reader, (void *)t);
	for (uintptr_t t = 0; t < 2; t++)
		pthread_create(&writers[t], NULL, churner, (void *)t);
	urcu_qsbr_thread_offline();
	for (unsigned int t = 0; t < 2; t++)
		pthread_join(writers[t], NULL);
	atomic_store(&stop, true);
	for (unsigned int t = 0; t < READERS; t++)
		pthread_join(readers[t], NULL);
	urcu_qsbr_thread_online();
	assert_int_equal(wrong, 0);
	assert_true(looked > 1000);
}

static void a_reader_never_meets_a_table_that_was_handed_out_again(void **state)
{
	torture(false);
}

static void a_reader_never_uses_a_poisoned_page(void **state)
{
	torture(true);
}

/* ------------------------------------------------------------------ the window under writers */

#define GROWN 40 /* tables of the chunk that grows */

/* Link and unlink the leaf tables of this thread's granules, and leave every other one linked. */
static void *linker(void *arg)
{
	uint64_t t = (uintptr_t)arg;

	for (unsigned int k = 0; k < 201; k++) {
		uint64_t iova = ((k % 16) * 2 + t) * MOAT_2M_SIZE;
		struct moat_pt_freed freed = { 0 };

		if (k >= 16)
			expect(moat_pt_unmap(pt, iova, MOAT_2M_SIZE, &freed, NULL) == 0);
		pt_pool_recycle(pool, &freed); /* no reader exists */
		expect(map(pt, iova, iova + P, MOAT_2M_SIZE, MOAT_R) == 0);
	}
	return NULL;
}

static void a_window_that_grows_misses_no_store_of_writers(void **state)
{
	for (unsigned int k = 0; k < GROWN; k++) {
		pthread_t thread[2];

		pt = table(4, 48, 0);
		for (uintptr_t t = 0; t < 2; t++)
			pthread_create(&thread[t], NULL, linker, (void *)t);
		for (unsigned int i = 0; i < k % 8; i++)
			sched_yield();
		assert_int_equal(map(pt, 2 * MOAT_1G_SIZE, 0, P, MOAT_R), 0);
		assert_int_equal(map(pt, 128 * MOAT_1G_SIZE, 0, P, MOAT_R), 0);
		for (unsigned int t = 0; t < 2; t++)
			pthread_join(thread[t], NULL);
		for (const struct pt_window *w = pt_impl(pt)->window.newer; w != NULL; w = w->newer)
			assert_memory_equal(w->granules, pt_impl(pt)->window.granules,
				PT_WINDOW_SMALL * sizeof(struct moat_pt_granule));
		moat_pt_destroy(pt);
		pt = NULL;
	}
	assert_int_equal(wrong, 0);
}

/* ------------------------------------------------------- superpages and their virtual address */

/* Look up the same 2 MiB. They are at one virtual address, and at another after a quiescent state
 * of all readers. */
static void *super_reader(void *arg)
{
	const uint64_t iova[4] = { 1, MOAT_2M_SIZE - 1, 2, 3 };
	struct moat_iotlb tlb;
	uint64_t n = 0;

	urcu_qsbr_register_thread();
	moat_iotlb_init(&tlb, pt);
	/* relaxed: the thread that sets it joins this one, which orders the rest */
	for (; !atomic_load_explicit(&stop, memory_order_relaxed); n++) {
		void *many[4];
		uintptr_t va = (uintptr_t)moat_iotlb_translate(&tlb, 77, 1, MOAT_R);

		/* Read-only at 2 GiB, writable at 4 GiB, small pages at 6 GiB; never a mixture. */
		expect(va == 0 || va == 2 * MOAT_1G_SIZE + 77 || va == 4 * MOAT_1G_SIZE + 77 ||
			va == 6 * MOAT_1G_SIZE + 77);
		va = (uintptr_t)moat_iotlb_translate(&tlb, 99, 1, MOAT_W);
		expect(va == 0 || va == 4 * MOAT_1G_SIZE + 99);
		moat_iotlb_translate_bulk(&tlb, iova, 1, 4, MOAT_W, many);
		for (unsigned int i = 0; i < 4; i++)
			expect(many[i] == NULL || (uintptr_t)many[i] == 4 * MOAT_1G_SIZE + iova[i]);
		urcu_qsbr_quiescent_state();
	}
	atomic_fetch_add(&looked, n);
	urcu_qsbr_unregister_thread();
	return NULL;
}

static void a_superpage_is_found_at_its_own_address_while_it_moves(void **state)
{
	uint64_t end = now_ms() + 500;
	pthread_t readers[2];

	pt = table(4, 48, MOAT_2M_SIZE);
	for (uintptr_t t = 0; t < 2; t++)
		pthread_create(&readers[t], NULL, super_reader, (void *)t);
	for (unsigned int k = 0; now_ms() < end; k++) {
		uint64_t at = 2 * MOAT_1G_SIZE * (1 + k % 3);
		struct moat_pt_freed freed = { 0 };

		expect(moat_pt_map(pt, 0, k % 3 == 2 ? P : 0, (void *)at, MOAT_2M_SIZE,
			       k % 3 == 1 ? MOAT_RW : MOAT_R, NULL) == 0);
		expect(moat_pt_unmap(pt, 0, MOAT_2M_SIZE, &freed, NULL) == 0);
		urcu_qsbr_synchronize_rcu(); /* condition (b) of the invariant */
		pt_pool_recycle(pool, &freed);
	}
	atomic_store(&stop, true);
	urcu_qsbr_thread_offline();
	for (unsigned int t = 0; t < 2; t++)
		pthread_join(readers[t], NULL);
	urcu_qsbr_thread_online();
	assert_int_equal(wrong, 0);
	assert_true(looked > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		T(writers_in_disjoint_ranges_do_not_disturb_each_other),
		T(a_window_that_grows_misses_no_store_of_writers),
		T(a_reader_never_meets_a_table_that_was_handed_out_again),
		T(a_reader_never_uses_a_poisoned_page),
		T(a_superpage_is_found_at_its_own_address_while_it_moves),
	};

	rnd_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
