/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The queue with one submitter, and a unit that runs only when it is told to.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <rte_common.h>

#include "moat_qi.h"
#include "sim_unit.h"

#define MAX_SEEN 70000
static struct {
	struct moat_qi_desc desc[MAX_SEEN];
	unsigned int n;
} seen;

static void see(struct sim_unit *sim, struct moat_qi_desc desc)
{
	if (seen.n < MAX_SEEN)
		seen.desc[seen.n++] = desc;
}

static struct moat_qi *open_unit(struct sim_unit *sim, uint8_t order)
{
	memset(sim, 0, sizeof(*sim));
	seen.n = 0;
	sim->execute = see;
	return sim_open(sim, order, NULL);
}

static struct moat_qi_desc nth(unsigned int i)
{
	return moat_qi_iotlb_page(1, (uint64_t)i << 12, 0, true);
}

static void a_batch_reaches_the_unit_in_order_with_a_wait_behind_it(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct moat_qi_desc d[3] = { nth(1), nth(2), nth(3) };
	struct moat_qi_stats stats;
	int64_t seq = moat_qi_submit(qi, d, 3);

	assert_true(seq > 0);
	assert_false(moat_qi_done(qi, seq));
	sim_run(&sim);
	assert_true(moat_qi_done(qi, seq));
	assert_int_equal(seen.n, 4);
	assert_memory_equal(seen.desc, d, sizeof(d));
	assert_int_equal(seen.desc[3].lo & 0xf, MOAT_QI_WAIT);
	assert_int_equal(seen.desc[3].hi, 0x1000);
	assert_int_equal(seen.desc[3].lo >> 32, seq);
	assert_false(moat_qi_failed(qi, seq));
	moat_qi_stats(qi, &stats);
	assert_int_equal(stats.descriptors, 3);
	assert_int_equal(stats.waits, 1);
	assert_int_equal(stats.doorbells, 1);
	sim_close(&sim, qi);
}

static void a_batch_is_not_done_before_its_own_wait(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct moat_qi_desc d[2] = { nth(1), nth(2) };
	int64_t first = moat_qi_submit(qi, d, 2), second = moat_qi_submit(qi, d, 2);

	assert_true(second > first);
	for (unsigned int i = 0; i < 6; i++) {
		assert_int_equal(moat_qi_done(qi, first), i >= 3);
		assert_false(moat_qi_done(qi, second));
		assert_true(sim_step(&sim, 1));
	}
	assert_true(moat_qi_done(qi, second));
	assert_true(moat_qi_done(qi, first));
	assert_false(moat_qi_done(qi, INT64_MAX));
	sim_close(&sim, qi);
}

static void a_full_queue_is_refused_and_works_again_when_the_unit_has_read(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct moat_qi_desc d = nth(7);
	struct moat_qi_stats stats;
	int64_t seq, last = 0;
	unsigned int n = 0;

	while ((seq = moat_qi_submit(qi, &d, 1)) > 0 && n < 1000) {
		last = seq;
		n++;
	}
	assert_int_equal(seq, -EAGAIN);
	assert_int_equal(n, 127); /* 256 descriptors, of which one always stays free */
	moat_qi_stats(qi, &stats);
	assert_int_equal(stats.full, 1);
	assert_true(sim_step(&sim, 1)); /* the first batch's descriptor, not its wait */
	assert_int_equal(moat_qi_submit(qi, &d, 1), -EAGAIN);
	assert_true(sim_step(&sim, 1));
	assert_true(moat_qi_submit(qi, &d, 1) > last);
	sim_run(&sim);
	assert_int_equal(seen.n, 256);
	assert_false(sim.stopped);
	sim_close(&sim, qi);
}

static void the_ring_wraps_for_any_length_of_batch(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 1);
	struct moat_qi_desc d[MOAT_QI_BATCH_MAX];
	unsigned int k = 0;

	for (unsigned int round = 0; round < 1000; round++) {
		unsigned int n = round % (MOAT_QI_BATCH_MAX + 1);
		int64_t seq;

		for (unsigned int i = 0; i < n; i++)
			d[i] = nth(k + i);
		seq = moat_qi_submit(qi, d, n);
		assert_true(seq > 0);
		sim_run(&sim);
		assert_true(moat_qi_done(qi, seq));
		assert_int_equal(seen.n, n + 1);
		assert_memory_equal(seen.desc, d, n * sizeof(d[0]));
		seen.n = 0;
		k += n;
	}
	assert_false(sim.stopped);
	assert_false(sim.status_backwards);
	sim_close(&sim, qi);
}

static void too_large_a_batch_is_an_error(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct moat_qi_desc d[MOAT_QI_BATCH_MAX + 1] = { { 0 } };

	assert_int_equal(moat_qi_submit(qi, d, MOAT_QI_BATCH_MAX + 1), -E2BIG);
	sim_close(&sim, qi);
}

static int run_unit(void *ctx)
{
	sim_step(ctx, 1);
	return 0;
}

static void waiting_polls_the_unit(void **state)
{
	struct sim_unit sim = { 0 };
	struct moat_qi *qi = sim_open(&sim, 0, run_unit);
	struct moat_qi_desc d = nth(1);

	assert_int_equal(moat_qi_wait(qi, moat_qi_submit(qi, &d, 1), 0), 0);
	sim_close(&sim, qi);
}

static void a_unit_that_does_not_answer_is_diagnosed(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct moat_qi_desc d[2] = { nth(1), moat_qi_context_global() };
	int64_t seq = moat_qi_submit(qi, d, 2);

	assert_true(sim_step(&sim, 1));
	assert_int_equal(moat_qi_wait(qi, seq, 1000), -ETIMEDOUT);
	assert_non_null(strstr(moat_error_text(), "head 1, tail 3 of 256"));
	assert_non_null(strstr(moat_error_text(), "context cache global"));
	assert_null(strstr(moat_error_text(), "1000")); /* the last part is not the caller's wait */
	sim_close(&sim, qi);
}

static void a_unit_that_has_read_all_and_written_no_status_is_diagnosed(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct moat_qi_desc d = nth(1);
	int64_t seq = moat_qi_submit(qi, &d, 1);

	assert_true(sim_step(&sim, 1));
	atomic_store(&sim.head, 2); /* beyond the wait descriptor */
	assert_int_equal(moat_qi_wait(qi, seq, 1000), -ETIMEDOUT);
	assert_string_equal(moat_error_text(),
		"the unit has not completed batch 2 (it has completed all up to 0): head 2 of 256 "
		"is at the tail: all was read, so the status write is lost or late");
	sim_close(&sim, qi);
}

static int dead(void *ctx)
{
	return -EIO;
}

static void a_dead_unit_is_an_error_not_a_wait(void **state)
{
	struct sim_unit sim = { 0 };
	struct moat_qi *qi = sim_open(&sim, 0, dead);
	struct moat_qi_desc d = nth(1);
	int64_t seq = moat_qi_submit(qi, &d, 1);

	assert_int_equal(moat_qi_wait(qi, seq, 0), -EIO);
	assert_int_equal(moat_qi_submit(qi, &d, 1), -EIO);
	sim_close(&sim, qi);
}

static void a_refused_descriptor_fails_its_batch_and_no_other(void **state)
{
	for (unsigned int bad = 0; bad < 3; bad++) {
		struct sim_unit sim;
		struct moat_qi *qi = open_unit(&sim, 0);
		struct moat_qi_desc d[3] = { nth(1), nth(2), nth(3) };
		int64_t seq[3], later;

		for (unsigned int lap = 0; lap < 100; lap++) { /* at some place of a later lap */
			moat_qi_submit(qi, d, 3);
			sim_run(&sim);
		}
		seq[0] = moat_qi_submit(qi, d, 3);
		d[bad].lo = 0xf;
		seq[1] = moat_qi_submit(qi, d, 3);
		d[bad] = nth(1);
		seq[2] = moat_qi_submit(qi, d, 3);
		sim_run(&sim);
		assert_true(sim.stopped);
		assert_true(moat_qi_done(qi, seq[0]));
		assert_false(moat_qi_done(qi, seq[1]));
		later = moat_qi_submit(qi, d, 3); /* other batches follow */
		assert_true(later > 0);
		assert_int_equal(moat_qi_fail_at(qi, (sim.head + 128) % 256, -EIO), -ENOENT);
		assert_int_equal(moat_qi_fail_at(qi, sim.head, -EIO), 0);
		assert_non_null(strstr(moat_error_text(), "unknown type"));
		sim.stopped = false;
		sim_run(&sim);
		assert_true(moat_qi_done(qi, later));
		assert_false(moat_qi_failed(qi, seq[0]));
		assert_true(moat_qi_failed(qi, seq[1]));
		assert_false(moat_qi_failed(qi, seq[2]));
		assert_false(moat_qi_failed(qi, later));
		for (unsigned int i = 0; i < 1000; i++) { /* kept until another batch fails */
			seq[2] = moat_qi_submit(qi, d, 3);
			sim_run(&sim);
			assert_true(moat_qi_done(qi, seq[2]));
			assert_false(moat_qi_failed(qi, seq[2]));
		}
		assert_true(moat_qi_failed(qi, seq[1]));
		sim_close(&sim, qi);
	}
}

static int64_t fail_one(struct sim_unit *sim, struct moat_qi *qi)
{
	struct moat_qi_desc d = { 0xf, 0 };
	int64_t seq = moat_qi_submit(qi, &d, 1);

	sim_run(sim);
	assert_true(sim->stopped);
	assert_int_equal(moat_qi_fail_at(qi, sim->head, -EIO), 0);
	sim->stopped = false;
	sim_run(sim);
	assert_true(moat_qi_done(qi, seq));
	return seq;
}

/* A caller that asks so late that another batch's failure has replaced its own must still be told
 * that its batch failed. */
static void a_failure_is_never_missed_however_late_the_question(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct moat_qi_desc d = nth(1);
	int64_t failed = fail_one(&sim, qi), sound[127];

	for (unsigned int i = 0; i < 127; i++) {
		sound[i] = moat_qi_submit(qi, &d, 1);
		sim_run(&sim);
	}
	assert_int_equal(fail_one(&sim, qi), failed + 256);
	assert_true(moat_qi_failed(qi, failed));
	assert_true(moat_qi_failed(qi, failed + 256));
	for (unsigned int i = 0; i < 127; i++)
		assert_false(moat_qi_failed(qi, sound[i]));
	sim_close(&sim, qi);
}

static void a_refused_wait_is_put_anew(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct moat_qi_desc d = nth(1);
	int64_t seq = moat_qi_submit(qi, &d, 1);

	sim.ring[1].lo = 0xf;
	sim_run(&sim);
	assert_true(sim.stopped);
	assert_int_equal(moat_qi_fail_at(qi, 1, -EIO), 0);
	sim.stopped = false;
	sim_run(&sim);
	assert_true(moat_qi_done(qi, seq));
	assert_true(moat_qi_failed(qi, seq));
	sim_close(&sim, qi);
}

/* ITE: the unit has dropped the pending waits. */
static void batches_whose_waits_were_dropped_become_done_and_failed(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct moat_qi_desc d = moat_qi_device_tlb(0x100, 0, 0x1000, false, 0x100);
	int64_t seq[4];

	for (unsigned int i = 0; i < 4; i++)
		seq[i] = moat_qi_submit(qi, &d, 1);
	sim_step(&sim, 1);
	sim_step(&sim, 1);
	sim.head = sim.fetched = 5; /* read into the third batch; the second's wait is lost */
	assert_int_equal(moat_qi_fail_before(qi, 5), 2);
	assert_true(moat_qi_done(qi, seq[1]));
	assert_false(moat_qi_done(qi, seq[2])); /* its wait will still be read */
	sim_run(&sim);
	assert_true(moat_qi_done(qi, seq[3]));
	assert_false(moat_qi_failed(qi, seq[0]));
	assert_true(moat_qi_failed(qi, seq[1]));
	assert_true(moat_qi_failed(qi, seq[2]));
	assert_false(moat_qi_failed(qi, seq[3]));
	sim_close(&sim, qi);
}

static void waits_dropped_from_a_full_queue_need_no_room_to_be_made_good(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct moat_qi_desc d = moat_qi_device_tlb(0x100, 0, 0x1000, false, 0x100);
	int64_t seq, last = 0;
	int n = 0;

	for (; n < 1000 && (seq = moat_qi_submit(qi, &d, 1)) > 0; n++)
		last = seq;
	assert_int_equal(seq, -EAGAIN);
	sim.head = sim.fetched = sim.tail; /* all descriptors read, none of their waits written */
	assert_int_equal(moat_qi_fail_before(qi, sim.head), n);
	assert_true(moat_qi_done(qi, last));
	assert_true(moat_qi_failed(qi, last));
	seq = moat_qi_submit(qi, &d, 1);
	assert_true(seq > 0);
	sim.last_status = sim.status;
	sim_run(&sim);
	assert_true(moat_qi_done(qi, seq));
	assert_false(moat_qi_failed(qi, seq));
	sim_close(&sim, qi);
}

/* The unit is faster than the thread that rings: it stops at an error in a region that `bell` does
 * not cover yet. */
static void try_to_recover(struct sim_unit *sim)
{
	struct moat_qi *qi = sim->ctx;

	sim_run(sim);
	assert_true(sim->stopped);
	assert_int_equal(moat_qi_fail_at(qi, sim->head, -EIO), -EAGAIN);
	assert_int_equal(moat_qi_fail_before(qi, sim->head), -EAGAIN);
}

static void recovery_waits_for_an_lcore_that_is_ringing(void **state)
{
	struct sim_unit sim;
	struct moat_qi *qi = open_unit(&sim, 0);
	struct moat_qi_desc d[3] = { nth(1), nth(2), nth(3) };
	int64_t seq, bad;

	seq = moat_qi_submit(qi, d, 3);
	sim.ctx = qi;
	sim.rung = try_to_recover;
	d[1].lo = 0xf;
	bad = moat_qi_submit(qi, d, 3);
	sim.rung = NULL;
	assert_int_equal(moat_qi_fail_at(qi, sim.head, -EIO), 0);
	sim.stopped = false;
	sim_run(&sim);
	assert_true(moat_qi_done(qi, bad));
	assert_true(moat_qi_failed(qi, bad));
	assert_false(moat_qi_failed(qi, seq));
	sim_close(&sim, qi);
}

static void a_queue_is_refused_with_a_reason(void **state)
{
	struct sim_unit sim = { 0 };
	struct moat_qi_conf conf = { .order = 8,
		.ring = (void *)4096,
		.status = &sim.status,
		.doorbell = sim_doorbell };
	struct moat_qi *qi;

	assert_int_equal(moat_qi_create(&conf, &qi), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "order 8"));
	conf.order = 0;
	conf.ring = (void *)4112;
	assert_int_equal(moat_qi_create(&conf, &qi), -EINVAL);
	conf.ring = (void *)4096;
	conf.status_hpa = 2;
	assert_int_equal(moat_qi_create(&conf, &qi), -EINVAL);
	conf.status_hpa = 4;
	conf.doorbell = NULL;
	assert_int_equal(moat_qi_create(&conf, &qi), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_reaches_the_unit_in_order_with_a_wait_behind_it),
		cmocka_unit_test(a_batch_is_not_done_before_its_own_wait),
		cmocka_unit_test(a_full_queue_is_refused_and_works_again_when_the_unit_has_read),
		cmocka_unit_test(the_ring_wraps_for_any_length_of_batch),
		cmocka_unit_test(too_large_a_batch_is_an_error),
		cmocka_unit_test(waiting_polls_the_unit),
		cmocka_unit_test(a_unit_that_does_not_answer_is_diagnosed),
		cmocka_unit_test(a_unit_that_has_read_all_and_written_no_status_is_diagnosed),
		cmocka_unit_test(a_dead_unit_is_an_error_not_a_wait),
		cmocka_unit_test(a_refused_descriptor_fails_its_batch_and_no_other),
		cmocka_unit_test(a_failure_is_never_missed_however_late_the_question),
		cmocka_unit_test(a_refused_wait_is_put_anew),
		cmocka_unit_test(batches_whose_waits_were_dropped_become_done_and_failed),
		cmocka_unit_test(waits_dropped_from_a_full_queue_need_no_room_to_be_made_good),
		cmocka_unit_test(recovery_waits_for_an_lcore_that_is_ringing),
		cmocka_unit_test(a_queue_is_refused_with_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
