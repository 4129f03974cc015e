/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * Bulk look-ups with each instruction set of this processor: their answers and counters are the
 * same as those of single look-ups.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "iotlb_test.h"
#include "../../lib/iotlb/iotlb_bulk.h"

static void with_each_variant(void (*test)(const struct iotlb_bulk *v))
{
	for (const struct iotlb_bulk *const *v = iotlb_bulk_variants; *v != NULL; v++) {
		if ((*v)->supported())
			test(*v);
		else
			print_message("# %s: this processor lacks it, not tested\n", (*v)->name);
	}
}

/* -------------------------------------------------------------------------- like one by one */

/* Fill 22 granules from `base`: 8 with scattered pages at related and unrelated addresses, 8 empty
 * ones, 4 superpages, 2 empty ones. */
#define MIXED (22 * MOAT_2M_SIZE)
static void map_mixed(struct moat_pt *pt, uint64_t base)
{
	for (unsigned int i = 0; i < 4096; i++)
		(void)moat_pt_map(pt, base + rnd(4096) * P, 0, (void *)((1 + rnd(4) * 4096) * P), P,
			(enum moat_prot)(1 + rnd(3)), NULL);
	(void)map(pt, base + 16 * MOAT_2M_SIZE, 0, 4 * MOAT_2M_SIZE, MOAT_RW);
}

/* Draw an IOVA among MIXED bytes from `base`. With `odd`, it is sometimes any address at all, and
 * not always the beginning of a page. */
static uint64_t any_iova(uint64_t base, unsigned int odd)
{
	if (odd != 0 && rnd(odd) == 0)
		return rnd(2) ? rnd(UINT64_MAX) : base - P + rnd(MIXED + 2 * P);
	return base + rnd(MIXED / P) * P + (odd ? rnd(P) : 0);
}

static void ask_both(const struct iotlb_bulk *v, struct moat_iotlb *one, struct moat_iotlb *all,
	uint64_t base)
{
	unsigned int n = rnd(65), odd = rnd(2) ? 0 : 1 + rnd(20); /* often no odd request */
	uint32_t len = rnd(3) == 0 ? rnd(3 * P) : rnd(64);
	enum moat_prot prot = (enum moat_prot)(1 + rnd(3));
	uint64_t iova[64] = { 0 }, got;
	void *va[64];

	for (unsigned int i = 0; i < n; i++)
		iova[i] = any_iova(base, odd);
	got = v->fn(all, iova, len, n, prot, va);
	for (unsigned int i = 0; i < n; i++) {
		void *expect = moat_iotlb_translate(one, iova[i], len, prot);

		assert_ptr_equal(va[i], expect);
		assert_int_equal(got >> i & 1, expect != NULL);
	}
	assert_true(n == 64 || got >> n == 0);
}

static void agrees_on(const struct iotlb_bulk *v, struct moat_pt *pt, uint64_t base)
{
	struct moat_iotlb one, all;

	map_mixed(pt, base);
	moat_iotlb_init(&one, pt);
	moat_iotlb_init(&all, pt);
	for (unsigned int round = 0; round < 3000; round++)
		ask_both(v, &one, &all, base);
	assert_int_equal(one.hits, all.hits);
	assert_int_equal(one.misses, all.misses);
	assert_int_equal(one.faults, all.faults);
	assert_true(one.faults > 1000 && one.hits + one.misses > 1000);
	moat_pt_destroy(pt);
}

static void agrees(const struct iotlb_bulk *v)
{
	uint64_t window = UINT64_C(1) << 48;

	agrees_on(v, table(4, 48, MOAT_2M_SIZE), MOAT_1G_SIZE);
	agrees_on(v, table(4, 48, MOAT_2M_SIZE), 0);
	agrees_on(v, table(3, 32, MOAT_2M_SIZE), 4 * MOAT_1G_SIZE - MIXED);
	agrees_on(v, table(5, 57, MOAT_2M_SIZE), window - MIXED / 2);
	agrees_on(v, table(5, 57, MOAT_2M_SIZE), window + MOAT_1G_SIZE);
}

static void bulk_answers_each_request_as_single_does(void **state)
{
	with_each_variant(agrees);
}

static void without_a_window_walks(const struct iotlb_bulk *v)
{
	struct moat_pt *pt = table(4, 48, 0);
	uint64_t iova[64] = { 0 };
	struct moat_iotlb tlb;
	void *va[64];

	assert_int_equal(map(pt, 0, 0, 64 * P, MOAT_R), 0);
	moat_iotlb_init(&tlb, pt);
	tlb.granules = NULL; /* the scalar walk is what is left */
	tlb.nr_granules = 0;
	for (unsigned int i = 0; i < 64; i++)
		iova[i] = i * P;
	assert_int_equal(v->fn(&tlb, iova, 64, 64, MOAT_R, va), UINT64_MAX);
	for (unsigned int i = 0; i < 64; i++)
		assert_ptr_equal(va[i], iova[i] + VA_OFF);
	assert_int_equal(tlb.hits, 64); /* moat_pt_find() counts its own */
	moat_pt_destroy(pt);
}

static void without_a_window_bulk_finds_all_the_same(void **state)
{
	with_each_variant(without_a_window_walks);
}

/* ------------------------------------------------------------------- no more than was asked for */

/* @return 64 words that end where a page begins that must not be accessed */
static uint64_t *words_before_a_wall(void)
{
	char *m = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(m, MAP_FAILED);
	assert_int_equal(mprotect(m + P, P, PROT_NONE), 0);
	return (uint64_t *)(void *)(m + P) - 64;
}

static void keeps_to_n(const struct iotlb_bulk *v)
{
	struct moat_pt *pt = table(4, 48, 0);
	uint64_t *iova = words_before_a_wall(), *va = words_before_a_wall();
	struct moat_iotlb tlb;

	assert_int_equal(map(pt, MOAT_1G_SIZE, 0, 64 * P, MOAT_W), 0);
	moat_iotlb_init(&tlb, pt);
	for (unsigned int i = 0; i < 64; i++)
		iova[i] = MOAT_1G_SIZE + i * P + i;
	for (unsigned int n = 0; n <= 64; n++) {
		uint64_t *first = &va[64 - n];

		for (unsigned int i = 0; i < 64; i++)
			va[i] = i;
		assert_int_equal(v->fn(&tlb, &iova[64 - n], 8, n, MOAT_W, (void **)first),
			iotlb_bulk_all(n));
		for (unsigned int i = 0; i < 64; i++)
			assert_int_equal(va[i], i < 64 - n ? i : iova[i] + VA_OFF);
	}
	assert_int_equal(tlb.hits, 64 * 65 / 2);
	munmap((void *)((uintptr_t)iova & ~(P - 1)), 2 * P);
	munmap((void *)((uintptr_t)va & ~(P - 1)), 2 * P);
	moat_pt_destroy(pt);
}

static void bulk_reads_and_writes_n_words_and_no_more(void **state)
{
	with_each_variant(keeps_to_n);
}

/* ------------------------------------------------------------- at each instruction, a change */

/*
 * A look-up runs step by step (the processor's trap flag). Before one of its instructions a granule
 * is mapped that was empty, or whose last mapping was gone before the look-up began. The look-up
 * must then answer that nothing is mapped, or what is mapped now; never a mixture with the old
 * mapping. This is repeated for each instruction, so every interleaving with another processor is
 * tried.
 */
#define WAS (UINT64_C(1) << 40) /* added to an IOVA to get its address, before and now */
#define NOW (UINT64_C(2) << 40)

enum leaves { NONE, SMALL, LARGE };

static struct step {
	struct moat_pt *pt;
	uint64_t base;      /* of the granule */
	enum leaves leaves; /* to be mapped */
	unsigned int n;     /* requests */
	unsigned int at;    /* map before this instruction, counted from 1 */
	unsigned int done;  /* instructions so far */
	uintptr_t end;      /* the look-up ends at this instruction; 0: at its own end */
	int failed;         /* what the map returned */
} step;

/* Whether the HPAs are aligned decides if the leaves are large or small. */
static int map_granule(enum leaves leaves, uint64_t delta)
{
	return moat_pt_map(step.pt, step.base, leaves == SMALL ? P : 0, (void *)(step.base + delta),
		MOAT_2M_SIZE, MOAT_RW, NULL);
}

#define TRAP_FLAG 0x100

static void on_trap(int sig, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	if (info->si_code != TRAP_TRACE) { /* int3: the look-up begins or ends */
		regs[REG_EFL] ^= step.done == 0 ? TRAP_FLAG : 0;
		return;
	}
	if (++step.done == step.at)
		step.failed = map_granule(step.leaves, NOW);
	if (step.done == step.at || (uintptr_t)regs[REG_RIP] == step.end)
		regs[REG_EFL] &= ~TRAP_FLAG;
}

static void look_up_stepping(const struct iotlb_bulk *v, struct moat_iotlb *tlb)
{
	uint64_t iova[5], got;
	void *va[5];

	for (unsigned int i = 0; i < 5; i++)
		iova[i] = step.base + i * 37 * P + i;
	step.done = 0;
	__asm__ volatile("int3" : : : "memory");
	got = v->fn(tlb, iova, 64, step.n, MOAT_W, va);
	__asm__ volatile("int3" : : : "memory");
	assert_int_equal(step.failed, 0);
	for (unsigned int i = 0; i < step.n; i++)
		assert_int_equal((uintptr_t)va[i], got >> i & 1 ? iova[i] + NOW : 0);
}

static void step_through(const struct iotlb_bulk *v, enum leaves was)
{
	struct moat_iotlb tlb;

	step.pt = table(4, 48, MOAT_2M_SIZE);
	step.base = step.at = 0;
	moat_iotlb_init(&tlb, step.pt);
	do { /* each time in a new granule */
		step.base += MOAT_2M_SIZE;
		step.at++;
		if (was != NONE) {
			assert_int_equal(map_granule(was, WAS), 0);
			assert_int_equal(unmap(step.pt, step.base, MOAT_2M_SIZE, was == SMALL), 0);
		}
		look_up_stepping(v, &tlb);
	} while (step.done == step.at);
	assert_true(step.at > 20);
	moat_pt_destroy(step.pt);
}

static void step_through_all(const struct iotlb_bulk *v)
{
	for (enum leaves was = NONE; was <= LARGE; was++) {
		for (step.leaves = SMALL; step.leaves <= LARGE; step.leaves++)
			step_through(v, was);
	}
}

/* One more than the scalar code takes at once, until the first request takes the slow path. */
static void step_through_bulk(const struct iotlb_bulk *v)
{
	step.n = 5;
	step.end = (uintptr_t)moat_iotlb_translate_slow;
	step_through_all(v);
}

static void a_change_at_any_instruction_is_met_whole_or_not_at_all(void **state)
{
	struct sigaction trap = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO }, before;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	print_message("skip: sanitizers delay signals, or take many times the instructions\n");
	skip();
#endif
	sigemptyset(&trap.sa_mask);
	assert_int_equal(sigaction(SIGTRAP, &trap, &before), 0);
	with_each_variant(step_through_bulk);
	step = (struct step){ .n = 1 }; /* also with the slow path, until it ends */
	step_through_all(&iotlb_bulk_scalar);
	assert_int_equal(sigaction(SIGTRAP, &before, NULL), 0);
}

/* ------------------------------------------------------------------------- while pages move */

/*
 * There are 8 granules. Another thread moves random ones, as a superpage or, every third time, as
 * small pages. Mapping number k of a granule lies at iova + k TiB, and k is announced before it is
 * mapped. So a look-up's answer must have a number no lower than the one announced when the reader
 * was last quiescent, and no higher than the one announced afterwards.
 */
#define MOVING 8u

static struct moving {
	struct moat_pt *pt;
	_Atomic uint64_t turn[MOVING];
	uint64_t seed;
	atomic_bool stop;
	_Atomic uint64_t maps, wrong;
} moving;

static void move(uint64_t g)
{
	uint64_t turn = atomic_load(&moving.turn[g]) + 1, iova = g * MOAT_2M_SIZE;
	/* whether the HPAs are aligned decides if the leaves are large or small */
	uint64_t hpa = turn % 3 == 0 ? P : 0;
	struct moat_pt_freed freed = { 0 };

	if (turn > 1) {
		if (moat_pt_unmap(moving.pt, iova, MOAT_2M_SIZE, &freed, NULL) != 0)
			atomic_fetch_add(&moving.wrong, 1);
		urcu_qsbr_synchronize_rcu(); /* condition (b) of the invariant */
		pt_pool_recycle(pool, &freed);
	}
	atomic_store(&moving.turn[g], turn);
	if (moat_pt_map(moving.pt, iova, hpa, (void *)(iova + (turn << 40)), MOAT_2M_SIZE, MOAT_RW,
		    NULL) != 0)
		atomic_fetch_add(&moving.wrong, 1);
	atomic_fetch_add(&moving.maps, 1);
}

static void *mover(void *arg)
{
	urcu_qsbr_register_thread();
	/* relaxed: the thread that sets it joins this one, which orders the rest */
	while (!atomic_load_explicit(&moving.stop, memory_order_relaxed))
		move(rnd_next(&moving.seed) % MOVING);
	urcu_qsbr_unregister_thread();
	return NULL;
}

/* Do one bulk look-up between two quiescent states. @return how many requests it translated */
static unsigned int look(const struct iotlb_bulk *v, struct moat_iotlb *tlb)
{
	uint64_t iova[64] = { 0 }, before[MOVING], got;
	unsigned int n = 1 + rnd(64);
	void *va[64];

	for (unsigned int i = 0; i < n; i++)
		iova[i] = rnd(MOVING) * MOAT_2M_SIZE + rnd(MOAT_2M_SIZE - P) / P * P;
	for (unsigned int g = 0; g < MOVING; g++)
		before[g] = atomic_load(&moving.turn[g]);
	got = v->fn(tlb, iova, 64, n, MOAT_W, va);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t g = iova[i] >> MOAT_2M_SHIFT, delta = (uintptr_t)va[i] - iova[i];

		if (!(got >> i & 1)) {
			assert_null(va[i]);
			continue;
		}
		assert_int_equal(delta & ((UINT64_C(1) << 40) - 1), 0);
		assert_in_range(delta >> 40, before[g], atomic_load(&moving.turn[g]));
	}
	urcu_qsbr_quiescent_state();
	return (unsigned int)__builtin_popcountll(got);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void follows(const struct iotlb_bulk *v)
{
	uint64_t end = now_ms() + 300, translated = 0;
	struct moat_iotlb tlb;
	pthread_t thread;

	memset(&moving, 0, sizeof(moving));
	moving.pt = table(4, 48, MOAT_2M_SIZE);
	moving.seed = rnd(UINT64_MAX);
	moat_iotlb_init(&tlb, moving.pt);
	assert_int_equal(pthread_create(&thread, NULL, mover, NULL), 0);
	while (now_ms() < end || atomic_load(&moving.maps) < 1000)
		translated += look(v, &tlb);
	atomic_store(&moving.stop, true);
	urcu_qsbr_thread_offline();
	pthread_join(thread, NULL);
	urcu_qsbr_thread_online();
	assert_int_equal(moving.wrong, 0);
	assert_true(translated > 1000);
	assert_true(tlb.misses + tlb.faults + tlb.hits >= translated);
	moat_pt_destroy(moving.pt);
}

static void bulk_finds_pages_at_their_own_address_while_they_move(void **state)
{
	with_each_variant(follows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		T(bulk_answers_each_request_as_single_does),
		T(without_a_window_bulk_finds_all_the_same),
		T(bulk_reads_and_writes_n_words_and_no_more),
		T(a_change_at_any_instruction_is_met_whole_or_not_at_all),
		T(bulk_finds_pages_at_their_own_address_while_they_move),
	};

	rnd_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
