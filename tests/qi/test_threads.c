/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The queue with many submitters, some of which stall at the worst places, and a unit that fetches
 * ahead, is late, and stops at unknown descriptors. The queue's source is included, with hooks at
 * the places where a thread can be made to stall.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "moat_qi.h"

enum hook_point { RESERVED, FILLED, RINGING, STEPPING };
static void hook(enum hook_point point, struct moat_qi *qi, uint64_t pos);
#define MOAT_QI_HOOK(point, qi, pos) hook(point, qi, pos)
#define STALL_CYCLES                 20000
#include "../../lib/qi/moat_qi.c" /* NOLINT(bugprone-suspicious-include): for its hooks */

#include "sim_unit.h"

static __thread void (*on_hook)(enum hook_point point);

static void hook(enum hook_point point, struct moat_qi *qi, uint64_t pos)
{
	if (on_hook != NULL)
		on_hook(point);
}

static void sleep_us(long us)
{
	struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

	nanosleep(&t, NULL);
}

static uint64_t base_seed;

static uint64_t rnd(uint64_t *seed, uint64_t n)
{
	*seed ^= *seed << 13; /* xorshift64 (Marsaglia 2003) */
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed % n;
}

/* ------------------------------------------------------------------ one stalls, step by step */

struct stall {
	enum hook_point at;
	sem_t reached, go;
	pthread_t thread;
	struct moat_qi *qi;
	struct moat_qi_desc desc[10];
	unsigned int n;
	int64_t seq;
};

static __thread struct stall *stalling;

static void stall_once(enum hook_point point)
{
	if (point == stalling->at) {
		on_hook = NULL;
		sem_post(&stalling->reached);
		sem_wait(&stalling->go);
	}
}

static void *stalling_submitter(void *arg)
{
	stalling = arg;
	on_hook = stall_once;
	stalling->seq = moat_qi_submit(stalling->qi, stalling->desc, stalling->n);
	return NULL;
}

static struct moat_qi_desc nth(uint16_t did, uint64_t i)
{
	return moat_qi_iotlb_page(did, i << 12, 0, true);
}

/* Start a submission of 10 descriptors of domain 9 that stalls at `at`. The state is not on the
 * stack, because a failing test leaves the thread behind. */
static struct stall *start_stalled(struct moat_qi *qi, enum hook_point at)
{
	struct stall *s = calloc(1, sizeof(*s));

	s->at = at;
	s->qi = qi;
	s->n = 10;
	for (unsigned int i = 0; i < s->n; i++)
		s->desc[i] = nth(9, i);
	sem_init(&s->reached, 0, 0);
	sem_init(&s->go, 0, 0);
	assert_int_equal(pthread_create(&s->thread, NULL, stalling_submitter, s), 0);
	sem_wait(&s->reached);
	return s;
}

/* Let the stalled thread go on, and wait until it ends. @return its sequence number or error */
static int64_t let_go(struct stall *s)
{
	int64_t seq;

	sem_post(&s->go);
	pthread_join(s->thread, NULL);
	seq = s->seq;
	free(s);
	return seq;
}

static unsigned int executed[16][4096]; /* by domain-id and page */

static void execute(struct sim_unit *sim, struct moat_qi_desc d)
{
	if ((d.lo & 0x3f) == (MOAT_QI_IOTLB | MOAT_QI_PAGE << 4))
		executed[d.lo >> 16 & 15][d.hi >> 12 & 4095]++;
}

static struct moat_qi *open_unit(struct sim_unit *sim, uint8_t order)
{
	memset(sim, 0, sizeof(*sim));
	memset(executed, 0, sizeof(executed));
	sim->execute = execute;
	return sim_open(sim, order, NULL);
}

static void wait_done(struct sim_unit *sim, struct moat_qi *qi, int64_t seq)
{
	for (unsigned int i = 0; i < 2000; i++) {
		sim_run(sim);
		if (moat_qi_done(qi, seq))
			return;
		sleep_us(10);
	}
	fail_msg("batch %" PRId64 " is not done in 2000 polls", seq);
}

static void step_over_at(enum hook_point at)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct stall *late = start_stalled(qi, at);
	struct moat_qi_desc d = nth(1, 1);
	struct moat_qi_stats stats;
	int64_t seq = moat_qi_submit(qi, &d, 1), late_seq;

	assert_true(seq > 0);
	assert_false(moat_qi_done(qi, seq));
	wait_done(&sim, qi, seq);
	assert_int_equal(executed[1][1], 1);
	moat_qi_stats(qi, &stats);
	assert_int_equal(stats.helped, 1);
	assert_int_equal(stats.descriptors, 1);
	late_seq = let_go(late);
	/* the owner got a valid number: a later one, which is not done */
	assert_true(late_seq > seq);
	assert_false(moat_qi_done(qi, late_seq));
	wait_done(&sim, qi, late_seq);
	for (unsigned int i = 0; i < 10; i++)
		assert_true(executed[9][i] > 0);
	assert_false(sim.stopped);
	assert_false(sim.status_backwards);
	sim_close(&sim, qi);
}

static void a_submitter_stalled_before_filling_is_stepped_over(void **state)
{
	step_over_at(RESERVED);
}

static void a_submitter_stalled_before_publishing_is_stepped_over(void **state)
{
	step_over_at(FILLED);
}

/* The late owner stores into its old region while batches of other threads are queued around it. */
static void what_a_late_owner_stores_overwrites_nobodys_descriptors(void **state)
{
	for (unsigned int length = 1; length <= 30; length++) {
		struct sim_unit sim;
		struct moat_qi *qi = open_unit(&sim, 0);
		struct stall *late;
		struct moat_qi_desc d[30];
		int64_t seq = moat_qi_submit(qi, NULL, 0), got, late_seq = 0;
		uint64_t page = 0;

		for (unsigned int i = 0; i < length * 7; i++) { /* at some place of the ring */
			wait_done(&sim, qi, seq);
			seq = moat_qi_submit(qi, NULL, 0);
		}
		wait_done(&sim, qi, seq);
		late = start_stalled(qi, RESERVED);
		seq = moat_qi_submit(qi, NULL, 0);
		wait_done(&sim, qi, seq);
		for (unsigned int lap = 0; lap < 3; lap++) {
			while (page < 4096) { /* fill the ring while the unit does not run */
				for (unsigned int i = 0; i < length; i++)
					d[i] = nth(2, page + i);
				got = moat_qi_submit(qi, d, length);
				if (got < 0)
					break;
				seq = got;
				page += length;
			}
			assert_int_equal(got, -EAGAIN);
			if (lap == 2)
				late_seq = let_go(late);
			wait_done(&sim, qi, seq);
		}
		assert_true(page > 300);
		for (uint64_t i = 0; i < page; i++)
			assert_int_equal(executed[2][i], 1);
		/* the owner found room, or was told to retry; and the ring works again */
		assert_true(late_seq > 0 || late_seq == -EAGAIN);
		if (late_seq > 0)
			wait_done(&sim, qi, late_seq);
		assert_int_equal(atomic_load(&qi->quarantined), 0);
		for (unsigned int i = 0; i <= qi->mask; i++)
			assert_int_equal(atomic_load(&qi->quarantine[i]), 0);
		assert_false(sim.stopped);
		assert_false(sim.status_backwards);
		sim_close(&sim, qi);
	}
}

static struct stall *padding; /* reserves a pad, then its own region after it */

static void stall_twice(enum hook_point point)
{
	if (point == RESERVED) {
		sem_post(&stalling->reached);
		sem_wait(&stalling->go);
	}
}

static void *padding_submitter(void *arg)
{
	stalling = arg;
	on_hook = stall_twice;
	stalling->seq = moat_qi_submit(stalling->qi, stalling->desc, stalling->n);
	return NULL;
}

/* The pad's owner resumes just before another thread steps over it: it fills and publishes the
 * pad. */
static void let_padding_publish(enum hook_point point)
{
	if (point == STEPPING) {
		on_hook = NULL;
		sem_post(&padding->go);
		sem_wait(&padding->reached);
	}
}

/* Otherwise the unit would read the contents of an earlier lap, including old waits. */
static void a_pad_is_filled_although_its_owner_is_about_to_be_stepped_over(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct stall *late = NULL;
	int64_t seq = 0;

	for (unsigned int i = 0; i < 256; i++) { /* a lap of wait descriptors, then 12 */
		if (i == 20)
			late = start_stalled(qi, RESERVED);
		seq = moat_qi_submit(qi, NULL, 0);
		wait_done(&sim, qi, seq);
	}
	while (seq % 256 != 12) {
		seq = moat_qi_submit(qi, NULL, 0);
		wait_done(&sim, qi, seq);
	}
	padding = calloc(1, sizeof(*padding));
	padding->qi = qi;
	padding->n = 10;
	for (unsigned int i = 0; i < padding->n; i++)
		padding->desc[i] = nth(8, i);
	sem_init(&padding->reached, 0, 0);
	sem_init(&padding->go, 0, 0);
	assert_int_equal(pthread_create(&padding->thread, NULL, padding_submitter, padding), 0);
	sem_wait(&padding->reached); /* it reserved a pad of 8, up to the late owner's region */
	on_hook = let_padding_publish;
	for (unsigned int i = 0; i < 2000 && on_hook != NULL; i++) {
		assert_false(moat_qi_done(qi, seq + 8));
		sleep_us(10);
	}
	assert_null(on_hook);
	wait_done(&sim, qi, seq + 8);
	assert_false(sim.status_backwards);
	sem_post(&padding->go); /* the next pad, over the late owner's region */
	sem_wait(&padding->reached);
	seq = let_go(padding);
	assert_true(seq > 0);
	wait_done(&sim, qi, seq);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(executed[8][i], 1);
	seq = let_go(late);
	assert_true(seq > 0);
	wait_done(&sim, qi, seq);
	assert_false(sim.status_backwards);
	assert_false(sim.stopped);
	sim_close(&sim, qi);
}

/* No thread polls here, so the thread that rings must read the record after the bell. */
static void what_is_published_while_another_rings_is_rung_by_him(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct stall *late = start_stalled(qi, RINGING);
	struct moat_qi_desc d = nth(1, 1);
	int64_t seq = 0;

	for (unsigned int i = 0; i < 5; i++)
		seq = moat_qi_submit(qi, &d, 1); /* returns, although the doorbell is held */
	assert_true(seq > 0);
	sim_run(&sim);
	assert_int_equal(executed[1][1], 0);
	assert_true(let_go(late) > 0);
	sim_run(&sim);
	assert_int_equal(executed[1][1], 5);
	assert_int_equal(sim.doorbells, 2); /* one for the late owner's batch, one for all five */
	assert_true(moat_qi_done(qi, seq));
	sim_close(&sim, qi);
}

/* ---------------------------------------------------------------------------- many at once */

#define SUBMITTERS 8
#define FLIGHT     8
#define HISTORY    (1u << 16)

static struct {
	struct sim_unit sim;
	struct moat_qi *qi;
	_Atomic bool stop; /* ends the unit's thread */
	_Atomic bool over; /* ends the submitters */
	pthread_mutex_t recovering;
	_Atomic uint64_t refused;
	_Atomic uint32_t executed[SUBMITTERS][HISTORY]; /* number of the slot's last descriptor */
} many;

struct submitter {
	pthread_t thread;
	unsigned int id;
	uint64_t seed, batches, failed, stalls;
	uint32_t next; /* number of the submitter's next descriptor */
	bool stalling;
	char error[160];
};

static __thread struct submitter *self;

static void stall_sometimes(enum hook_point point)
{
	if (rnd(&self->seed, point == RINGING ? 5000 : 1000) == 0) {
		self->stalls++;
		sleep_us((long)rnd(&self->seed, 3000));
	} else if (rnd(&self->seed, 50) == 0) {
		sched_yield();
	}
}

static void execute_many(struct sim_unit *sim, struct moat_qi_desc d)
{
	if ((d.lo & 0x3f) == (MOAT_QI_IOTLB | MOAT_QI_PAGE << 4)) {
		uint32_t number = (uint32_t)(d.hi >> 12);
		unsigned int id = (unsigned int)(d.lo >> 16 & 0xff) - 1;

		/* relaxed: the status write after it releases */
		atomic_store_explicit(&many.executed[id][number % HISTORY], number,
			memory_order_relaxed);
	}
}

static int recover(void *ctx)
{
	struct sim_unit *sim = ctx;

	if (!atomic_load(&sim->stopped) || pthread_mutex_trylock(&many.recovering) != 0)
		return 0;
	if (atomic_load(&sim->stopped)) {
		int rc = moat_qi_fail_at(many.qi, atomic_load(&sim->head), -EIO);

		if (rc == 0)
			atomic_fetch_add(&many.refused, 1);
		atomic_store(&sim->stopped, rc != 0);
	}
	pthread_mutex_unlock(&many.recovering);
	return 0;
}

static void *unit_main(void *arg)
{
	uint64_t seed = base_seed ^ 0x9e3779b97f4a7c15;

	while (!atomic_load(&many.stop)) {
		uint64_t steps = rnd(&seed, 300);
		uint32_t ahead = 1 + (uint32_t)rnd(&seed, SIM_PREFETCH);

		while (steps-- > 0 && sim_step(&many.sim, ahead))
			;
		if (rnd(&seed, 200) == 0)
			sleep_us((long)rnd(&seed, 500)); /* late */
		else
			sched_yield();
	}
	return NULL;
}

struct flight {
	int64_t seq;
	uint32_t first, n;
	bool bad;
};

/* A batch is done if each of its descriptors has been executed, or it is reported as failed. */
static bool check_batch(struct submitter *s, const struct flight *f)
{
	bool failed = moat_qi_failed(many.qi, f->seq);

	s->failed += failed;
	/* failed[] has one slot for each ring index, so a failure one lap later may make this batch
	 * look failed. The opposite, a missed failure, must not happen. */
	if (failed && !f->bad &&
		atomic_load(&many.qi->failed[(f->seq - 1) & many.qi->mask]) > (uint64_t)f->seq)
		failed = false;
	if (failed != f->bad) {
		snprintf(s->error, sizeof(s->error), "batch %" PRId64 ": failed is %d", f->seq,
			failed);
		return false;
	}
	for (uint32_t i = f->first; !failed && i != f->first + f->n; i++) {
		uint32_t got = atomic_load_explicit(&many.executed[s->id][i % HISTORY],
			memory_order_relaxed);

		if (got != i) {
			snprintf(s->error, sizeof(s->error),
				"batch %" PRId64
				" is done, but of descriptors %u to %u, %u was not executed (%u)",
				f->seq, f->first, f->first + f->n - 1, i, got);
			return false;
		}
	}
	return true;
}

/* Submit one more batch, with numbers that count up. */
static void submit_one(struct submitter *s, struct flight *f)
{
	struct moat_qi_desc d[MOAT_QI_BATCH_MAX];

	f->n = (uint32_t)rnd(&s->seed, rnd(&s->seed, 4) == 0 ? MOAT_QI_BATCH_MAX + 1 : 4);
	f->first = s->next;
	f->bad = f->n > 0 && rnd(&s->seed, 500) == 0;
	for (uint32_t i = 0; i < f->n; i++)
		d[i] = nth((uint16_t)(s->id + 1), f->first + i);
	if (f->bad)
		d[rnd(&s->seed, f->n)].lo |= 0xf;
	f->seq = moat_qi_submit(many.qi, d, f->n);
	if (f->seq > 0) {
		s->next += f->n;
		s->batches++;
	}
}

static void *submitter_main(void *arg)
{
	struct flight flight[FLIGHT];
	unsigned int in = 0, out = 0;

	self = arg;
	if (self->stalling)
		on_hook = stall_sometimes;
	while ((!atomic_load(&many.over) || in != out) && self->error[0] == '\0') {
		bool moved = false;

		if (in - out < FLIGHT && !atomic_load(&many.over)) {
			submit_one(self, &flight[in % FLIGHT]);
			if (flight[in % FLIGHT].seq > 0) {
				in++;
				moved = true;
			}
		}
		if (in != out && moat_qi_done(many.qi, flight[out % FLIGHT].seq)) {
			if (!check_batch(self, &flight[out % FLIGHT]))
				break;
			out++;
			moved = true;
		}
		if (!moved)
			sched_yield();
	}
	return NULL;
}

static void run_many(uint8_t order, unsigned int submitters, unsigned int ms, bool with_stalls)
{
	struct submitter s[SUBMITTERS] = { 0 };
	struct moat_qi_stats stats;
	uint64_t batches = 0, stalls = 0, failed = 0;
	unsigned int patience = 60;
	pthread_t unit;

	memset(&many, 0, sizeof(many));
	pthread_mutex_init(&many.recovering, NULL);
	many.sim.execute = execute_many;
	many.qi = sim_open(&many.sim, order, recover);
	pthread_create(&unit, NULL, unit_main, NULL);
	for (unsigned int i = 0; i < submitters; i++) {
		s[i].id = i;
		s[i].seed = base_seed + i * 7919 + 1;
		s[i].next = 1;
		s[i].stalling = with_stalls;
		pthread_create(&s[i].thread, NULL, submitter_main, &s[i]);
	}
	/* longer if the machine was too busy to reach all cases */
	do {
		sleep_us(ms * 1000L);
		moat_qi_stats(many.qi, &stats);
	} while ((stats.waits < 1000 || (with_stalls && stats.helped == 0)) && --patience > 0);
	atomic_store(&many.over, true);
	for (unsigned int i = 0; i < submitters; i++) {
		pthread_join(s[i].thread, NULL);
		batches += s[i].batches;
		stalls += s[i].stalls;
		failed += s[i].failed;
	}
	atomic_store(&many.stop, true);
	pthread_join(unit, NULL);
	for (unsigned int i = 0; i < submitters; i++)
		assert_string_equal(s[i].error, "");
	moat_qi_stats(many.qi, &stats);
	print_message("# %" PRIu64 " batches, %" PRIu64 " descriptors, %" PRIu64
		      " doorbells, %" PRIu64 " failed; %" PRIu64 " stalls, %" PRIu64
		      " stepped over, full %" PRIu64 " times\n",
		batches, stats.descriptors, stats.doorbells, failed, stalls, stats.helped,
		stats.full);
	assert_true(batches > 100);
	assert_true(!with_stalls || stats.helped > 0);
	assert_false(many.sim.status_backwards);
	assert_false(many.sim.two_ringers);
	assert_int_equal(atomic_load(&many.qi->quarantined), 0);
	sim_close(&many.sim, many.qi);
}

static void done_means_executed_with_many_submitters(void **state)
{
	run_many(0, 2, 300, false);
	run_many(2, SUBMITTERS, 500, false);
}

static void done_means_executed_while_submitters_stall(void **state)
{
	run_many(0, SUBMITTERS, 1200, true);
	run_many(2, SUBMITTERS, 1200, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_submitter_stalled_before_filling_is_stepped_over),
		cmocka_unit_test(a_submitter_stalled_before_publishing_is_stepped_over),
		cmocka_unit_test(what_a_late_owner_stores_overwrites_nobodys_descriptors),
		cmocka_unit_test(a_pad_is_filled_although_its_owner_is_about_to_be_stepped_over),
		cmocka_unit_test(what_is_published_while_another_rings_is_rung_by_him),
		cmocka_unit_test(done_means_executed_with_many_submitters),
		cmocka_unit_test(done_means_executed_while_submitters_stall),
	};
	const char *given = getenv("MOAT_SEED");

	base_seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("# MOAT_SEED=%" PRIu64 "\n", base_seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
