/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Queue errors: which batches fail, which do not, and what the driver writes. On a window that
 * records. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_unit.h"

#define DEVICE_TLB moat_qi_device_tlb(0x100, 0, 0x1000, false, 0x100)

struct bench {
	struct fake_unit f;
	struct moat_unit *unit;
};

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct moat_vtd_conf conf = fake_conf(&b->f);

	fake_init(&b->f);
	assert_int_equal(moat_vtd_create(&conf, &b->unit), 0);
	b->f.nr_events = 0;
	b->f.nr_descs = 0;
	return b;
}

static void bench_free(struct bench *b)
{
	b->unit->ops->destroy(b->unit);
	free(b);
}

static int64_t submit(struct bench *b, struct moat_qi_desc d)
{
	int64_t seq = moat_qi_submit(b->unit->qi, &d, 1);

	assert_true(seq > 0);
	return seq;
}

static void a_refused_descriptor_fails_its_batch_and_no_other(void **state)
{
	for (unsigned int lazy = 0; lazy < 2; lazy++) {
		struct bench *b = bench_new();
		struct moat_vtd_stats stats;
		int64_t seq[3];

		b->f.bad_type = MOAT_QI_DEVICE_TLB;
		b->f.lazy = lazy;
		seq[0] = submit(b, moat_qi_iotlb_domain(5));
		seq[1] = submit(b, DEVICE_TLB);
		seq[2] = submit(b, moat_qi_iotlb_domain(6));
		assert_true(*fake_reg32(&b->f, VTD_FSTS) & VTD_FSTS_IQE);
		assert_int_equal(moat_qi_wait(b->unit->qi, seq[2], 0), 0);
		assert_false(moat_qi_failed(b->unit->qi, seq[0]));
		assert_true(moat_qi_failed(b->unit->qi, seq[1]));
		assert_false(moat_qi_failed(b->unit->qi, seq[2]));
		assert_int_equal(*fake_reg32(&b->f, VTD_FSTS), 0);
		moat_vtd_stats(b->unit, &stats);
		assert_int_equal(stats.iqe, 1);
		/* The tail is written again, always with the last value. */
		assert_int_equal(*fake_reg64(&b->f, VTD_IQT), *fake_reg64(&b->f, VTD_IQH));
		bench_free(b);
	}
}

static void every_refused_batch_is_mended_in_its_turn(void **state)
{
	struct bench *b = bench_new();
	struct moat_vtd_stats stats;
	int64_t seq[40];

	b->f.bad_type = MOAT_QI_DEVICE_TLB;
	for (unsigned int i = 0; i < RTE_DIM(seq); i++)
		seq[i] = submit(b, i & 1 ? DEVICE_TLB : moat_qi_iotlb_domain(i));
	assert_int_equal(moat_qi_wait(b->unit->qi, seq[RTE_DIM(seq) - 1], 0), 0);
	for (unsigned int i = 0; i < RTE_DIM(seq); i++)
		assert_int_equal(moat_qi_failed(b->unit->qi, seq[i]), i & 1);
	moat_vtd_stats(b->unit, &stats);
	assert_int_equal(stats.iqe, RTE_DIM(seq) / 2);
	bench_free(b);
}

static void a_unit_that_refuses_everything_is_given_up_with_the_place(void **state)
{
	struct bench *b = bench_new();
	int64_t seq;

	b->f.stubborn = true;
	seq = submit(b, moat_qi_iotlb_domain(5));
	assert_int_equal(moat_qi_wait(b->unit->qi, seq, 0), -EIO);
	assert_int_equal(moat_vtd_pass_through(b->unit, 3), 0); /* nothing is invalidated */
	assert_int_equal(moat_vtd_block(b->unit, 3), -EIO);
	assert_non_null(strstr(moat_error_text(), "refuses every descriptor at index 4"));
	b->f.stubborn = false;
	*fake_reg32(&b->f, VTD_FSTS) = 0;
	fake_process(&b->f);
	bench_free(b);
}

static void an_answer_nobody_asked_for_is_counted_and_cleared(void **state)
{
	struct bench *b = bench_new();
	struct moat_vtd_stats stats;
	int64_t seq;

	*fake_reg32(&b->f, VTD_FSTS) = VTD_FSTS_ICE;
	b->f.stuck_queue = true;
	seq = submit(b, moat_qi_iotlb_domain(5));
	while (*fake_reg32(&b->f, VTD_FSTS) & VTD_FSTS_ICE)
		moat_qi_done(b->unit->qi, seq);
	b->f.stuck_queue = false;
	fake_process(&b->f);
	assert_int_equal(moat_qi_wait(b->unit->qi, seq, 0), 0);
	assert_false(moat_qi_failed(b->unit->qi, seq));
	moat_vtd_stats(b->unit, &stats);
	assert_int_equal(stats.ice, 1);
	bench_free(b);
}

static void a_device_that_does_not_answer_fails_the_batches_begun(void **state)
{
	struct bench *b = bench_new();
	struct moat_vtd_stats stats;
	int64_t seq[3];

	b->f.stuck_queue = true;
	for (unsigned int i = 0; i < 3; i++)
		seq[i] = submit(b, DEVICE_TLB);
	/* The unit has read two batches when the device times out; their waits are dropped. */
	*fake_reg64(&b->f, VTD_IQH) += 4 * 16;
	*fake_reg32(&b->f, VTD_FSTS) = VTD_FSTS_ITE;
	while (*fake_reg32(&b->f, VTD_FSTS) & VTD_FSTS_ITE)
		moat_qi_done(b->unit->qi, seq[2]);
	assert_true(moat_qi_done(b->unit->qi, seq[1]));
	assert_true(moat_qi_failed(b->unit->qi, seq[0]));
	assert_true(moat_qi_failed(b->unit->qi, seq[1]));
	b->f.stuck_queue = false;
	fake_process(&b->f);
	assert_int_equal(moat_qi_wait(b->unit->qi, seq[2], 0), 0);
	assert_false(moat_qi_failed(b->unit->qi, seq[2]));
	moat_vtd_stats(b->unit, &stats);
	assert_int_equal(stats.ite, 1);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refused_descriptor_fails_its_batch_and_no_other),
		cmocka_unit_test(every_refused_batch_is_mended_in_its_turn),
		cmocka_unit_test(a_unit_that_refuses_everything_is_given_up_with_the_place),
		cmocka_unit_test(an_answer_nobody_asked_for_is_counted_and_cleared),
		cmocka_unit_test(a_device_that_does_not_answer_fails_the_batches_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
