/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The order of bring-up and take-down as the specification demands, and what happens to a unit that
 * is in use or does not answer. On a window that records (fake_unit.h). */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_unit.h"

static struct moat_unit *up(struct fake_unit *f)
{
	struct moat_vtd_conf conf = fake_conf(f);
	struct moat_unit *unit = NULL;

	assert_int_equal(moat_vtd_create(&conf, &unit), 0);
	return unit;
}

static void down(struct moat_unit *unit)
{
	unit->ops->destroy(unit);
}

/* Assert that each GCMD write changes one level bit, or sets one one-shot bit. */
static void assert_one_bit_at_a_time(const struct fake_unit *f, uint32_t before)
{
	uint32_t shot = VTD_GCMD_SRTP | VTD_GCMD_SFL | VTD_GCMD_WBF | VTD_GCMD_SIRTP;

	for (unsigned int i = 0; i < f->nr_events; i++) {
		uint32_t now = f->event[i].value;

		if (f->event[i].reg != VTD_GCMD)
			continue;
		assert_int_equal(__builtin_popcount((now & shot) | ((now ^ before) & ~shot)), 1);
		before = now & ~shot;
	}
}

static void the_unit_comes_up_in_the_specifications_order(void **state)
{
	struct fake_unit f;
	struct moat_unit *unit;
	int rtaddr, srtp, ccmd, iotlb, iqt, iqa, qie, te;

	fake_init(&f);
	unit = up(&f);
	rtaddr = fake_find(&f, 0, VTD_RTADDR, 0);
	srtp = fake_find(&f, 0, VTD_GCMD, VTD_GCMD_SRTP);
	ccmd = fake_find(&f, 0, VTD_CCMD, VTD_CCMD_ICC | VTD_CCMD_CIRG_GLOBAL);
	iotlb = fake_find(&f, 0, FAKE_IRO + VTD_IOTLB,
		VTD_IOTLB_IVT | VTD_IOTLB_IIRG_GLOBAL | VTD_IOTLB_DR | VTD_IOTLB_DW);
	iqt = fake_find(&f, 0, VTD_IQT, 0);
	iqa = fake_find(&f, 0, VTD_IQA, 0);
	qie = fake_find(&f, 0, VTD_GCMD, VTD_GCMD_QIE);
	te = fake_find(&f, 0, VTD_GCMD, VTD_GCMD_TE);
	assert_true(0 <= rtaddr && rtaddr < srtp && srtp < ccmd && ccmd < iotlb);
	assert_true(iotlb < iqt && iqt < iqa && iqa < qie && qie < te);
	/* Translation depends on the queue, so the queue must have worked before. */
	assert_int_equal(f.event[te].desc, 4);
	assert_int_equal(f.desc[0].lo & 0x3f, MOAT_QI_CONTEXT | MOAT_QI_GLOBAL << 4);
	assert_int_equal(f.desc[1].lo & 0xf, MOAT_QI_WAIT);
	assert_int_equal(f.desc[2].lo & 0x3f, MOAT_QI_IOTLB | MOAT_QI_GLOBAL << 4);
	assert_int_equal(f.desc[3].lo & 0xf, MOAT_QI_WAIT);
	assert_one_bit_at_a_time(&f, 0);
	assert_int_equal(*fake_reg32(&f, VTD_GSTS) & (VTD_GSTS_TES | VTD_GSTS_QIES),
		VTD_GSTS_TES | VTD_GSTS_QIES);
	assert_true(*fake_reg32(&f, VTD_FECTL) & VTD_FECTL_IM);
	down(unit);
}

static void a_unit_of_version_6_is_invalidated_through_the_queue_only(void **state)
{
	struct fake_unit f;
	struct moat_unit *unit;

	fake_init(&f);
	*fake_reg32(&f, VTD_VER) = 0x60;
	unit = up(&f);
	assert_int_equal(fake_find(&f, 0, VTD_CCMD, 0), -1);
	assert_int_equal(fake_find(&f, 0, FAKE_IRO + VTD_IOTLB, 0), -1);
	assert_int_equal(f.event[fake_find(&f, 0, VTD_GCMD, VTD_GCMD_TE)].desc, 4);
	down(unit);
}

static void advanced_fault_logging_is_off_while_the_driver_reads_the_records(void **state)
{
	struct fake_unit f;
	struct moat_unit *unit;

	fake_init(&f);
	*fake_reg32(&f, VTD_GSTS) = VTD_GSTS_AFLS;
	unit = up(&f);
	assert_int_equal(*fake_reg32(&f, VTD_GSTS) & VTD_GSTS_AFLS, 0);
	assert_one_bit_at_a_time(&f, VTD_GSTS_AFLS);
	down(unit);
	assert_true(*fake_reg32(&f, VTD_GSTS) & VTD_GSTS_AFLS);
}

static void the_unit_goes_down_translation_first_and_registers_are_as_found(void **state)
{
	struct fake_unit f;
	struct moat_unit *unit;
	int te, qie;

	fake_init(&f);
	*fake_reg64(&f, VTD_RTADDR) = 0x123000;
	*fake_reg64(&f, VTD_IQA) = 0x456000;
	*fake_reg32(&f, VTD_FECTL) = 0;
	*fake_reg32(&f, VTD_IECTL) = VTD_IECTL_IM;
	unit = up(&f);
	f.nr_events = 0;
	down(unit);
	te = fake_find(&f, 0, VTD_GCMD, VTD_GCMD_QIE); /* TE clear, QIE still set */
	qie = fake_find(&f, te + 1, VTD_GCMD, 0);
	assert_true(te >= 0 && qie > te);
	assert_int_equal(f.event[te].value & VTD_GCMD_TE, 0);
	assert_int_equal(f.event[qie].value & (VTD_GCMD_TE | VTD_GCMD_QIE), 0);
	assert_int_equal(*fake_reg32(&f, VTD_GSTS) & (VTD_GSTS_TES | VTD_GSTS_QIES), 0);
	assert_int_equal(*fake_reg64(&f, VTD_RTADDR), 0x123000);
	assert_int_equal(*fake_reg64(&f, VTD_IQA), 0x456000);
	assert_int_equal(*fake_reg32(&f, VTD_FECTL), 0);
	assert_int_equal(*fake_reg32(&f, VTD_IECTL), VTD_IECTL_IM);
}

static void a_unit_in_use_is_refused_untouched_with_what_to_do(void **state)
{
	static const uint32_t in_use[] = { VTD_GSTS_TES, VTD_GSTS_QIES,
		VTD_GSTS_TES | VTD_GSTS_QIES };
	struct moat_unit *unit;

	for (unsigned int i = 0; i < RTE_DIM(in_use); i++) {
		struct fake_unit f;
		struct moat_vtd_conf conf = fake_conf(&f);

		fake_init(&f);
		*fake_reg32(&f, VTD_GSTS) = in_use[i];
		assert_int_equal(moat_vtd_create(&conf, &unit), -EBUSY);
		assert_non_null(strstr(moat_error_text(), "intel_iommu=off"));
		assert_non_null(strstr(moat_error_text(), "--take-over"));
		assert_int_equal(f.nr_events, 0);
	}
}

static struct fake_unit *asked_about;
static unsigned int asked;

static int may_not_be_written(void *ctx)
{
	assert_int_equal(asked_about->nr_events, 0);
	asked++;
	return ctx != NULL ? moat_error(-EACCES, "no") : 0;
}

static void the_last_question_comes_when_the_unit_may_be_owned_and_before_any_write(void **state)
{
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_unit *unit;

	fake_init(&f);
	asked_about = &f;
	asked = 0;
	conf.before_writing = may_not_be_written;
	*fake_reg32(&f, VTD_GSTS) = VTD_GSTS_TES;
	assert_int_equal(moat_vtd_create(&conf, &unit), -EBUSY);
	assert_int_equal(asked, 0);
	conf.take_over = true;
	conf.ctx = &f;
	assert_int_equal(moat_vtd_create(&conf, &unit), -EACCES);
	assert_int_equal(asked, 1);
	assert_int_equal(f.nr_events, 0);
	conf.ctx = NULL;
	assert_int_equal(moat_vtd_create(&conf, &unit), 0);
	assert_int_equal(asked, 2);
	down(unit);
}

static void iqa_is_left_alone_while_the_queue_cannot_be_switched_off(void **state)
{
	struct fake_unit f;
	struct moat_unit *unit;

	fake_init(&f);
	unit = up(&f);
	f.deaf = VTD_GCMD_QIE;
	f.nr_events = 0;
	down(unit);
	assert_int_equal(fake_find(&f, 0, VTD_IQA, 0), -1);
	assert_int_equal(*fake_reg32(&f, VTD_GSTS) & VTD_GSTS_TES, 0);
}

static void a_unit_that_remaps_interrupts_is_not_taken_without_a_word(void **state)
{
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_unit *unit;

	fake_init(&f);
	conf.take_over = true;
	*fake_reg32(&f, VTD_GSTS) = VTD_GSTS_IRES | VTD_GSTS_QIES;
	assert_int_equal(moat_vtd_create(&conf, &unit), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "intremap=off"));
	assert_int_equal(f.nr_events, 0);
	conf.take_over_ir = true;
	assert_int_equal(moat_vtd_create(&conf, &unit), 0);
	assert_int_equal(*fake_reg32(&f, VTD_GSTS) & VTD_GSTS_IRES, 0);
	down(unit);
}

static void taking_over_switches_off_translation_then_the_queue_then_starts_anew(void **state)
{
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_unit *unit;
	int srtp;

	fake_init(&f);
	conf.take_over = true;
	*fake_reg32(&f, VTD_GSTS) = VTD_GSTS_TES | VTD_GSTS_QIES | VTD_GSTS_RTPS;
	*fake_reg64(&f, VTD_IQH) = *fake_reg64(&f, VTD_IQT) = 0x340;
	*fake_reg32(&f, VTD_FSTS) = VTD_FSTS_IQE | VTD_FSTS_PFO;
	assert_int_equal(moat_vtd_create(&conf, &unit), 0);
	assert_int_equal(f.event[0].reg, VTD_GCMD);
	assert_int_equal(f.event[0].value, VTD_GCMD_QIE);
	assert_int_equal(f.event[1].reg, VTD_GCMD);
	assert_int_equal(f.event[1].value, 0);
	srtp = fake_find(&f, 0, VTD_GCMD, VTD_GCMD_SRTP);
	assert_true(srtp > 1);
	/* One-shot bits are never written with others, although RTPS reads as set. */
	assert_one_bit_at_a_time(&f, VTD_GCMD_TE | VTD_GCMD_QIE);
	assert_int_equal(*fake_reg32(&f, VTD_FSTS), 0);
	down(unit);
	assert_int_equal(*fake_reg32(&f, VTD_GSTS) & (VTD_GSTS_TES | VTD_GSTS_QIES), 0);
}

static void a_queue_that_lags_is_drained_before_it_is_switched_off(void **state)
{
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_unit *unit;

	/* Head never reaches tail: the deadline ends the wait, and the unit is taken over all the
	 * same. */
	fake_init(&f);
	conf.take_over = true;
	*fake_reg32(&f, VTD_GSTS) = VTD_GSTS_QIES;
	*fake_reg64(&f, VTD_IQH) = 0x100;
	*fake_reg64(&f, VTD_IQT) = 0x340;
	assert_int_equal(moat_vtd_create(&conf, &unit), 0);
	down(unit);
}

static void a_bit_that_never_comes_is_an_error_with_the_status_and_leaves_the_unit_off(void **state)
{
	static const struct {
		uint32_t deaf;
		const char *says;
	} c[] = {
		{ VTD_GCMD_SRTP, "SRTP" },
		{ VTD_GCMD_QIE, "QIE" },
		{ VTD_GCMD_TE, "TE" },
	};
	struct moat_unit *unit;

	for (unsigned int i = 0; i < RTE_DIM(c); i++) {
		struct fake_unit f;
		struct moat_vtd_conf conf = fake_conf(&f);

		fake_init(&f);
		*fake_reg64(&f, VTD_RTADDR) = 0x77000;
		f.deaf = c[i].deaf;
		assert_int_equal(moat_vtd_create(&conf, &unit), -ETIMEDOUT);
		assert_non_null(strstr(moat_error_text(), c[i].says));
		assert_non_null(strstr(moat_error_text(), "GSTS 0x"));
		assert_int_equal(*fake_reg32(&f, VTD_GSTS) & (VTD_GSTS_TES | VTD_GSTS_QIES), 0);
		assert_int_equal(*fake_reg64(&f, VTD_RTADDR), 0x77000);
	}
}

static void a_context_invalidation_that_never_ends_is_an_error(void **state)
{
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_unit *unit;

	fake_init(&f);
	f.stuck_ccmd = true;
	assert_int_equal(moat_vtd_create(&conf, &unit), -ETIMEDOUT);
	assert_non_null(strstr(moat_error_text(), "CCMD"));
}

static void a_queue_that_does_nothing_is_noticed_before_translation_is_on(void **state)
{
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_unit *unit;

	fake_init(&f);
	f.stuck_queue = true;
	assert_int_equal(moat_vtd_create(&conf, &unit), -ETIMEDOUT);
	assert_int_equal(fake_find(&f, 0, VTD_GCMD, VTD_GCMD_TE), -1);
	assert_int_equal(*fake_reg32(&f, VTD_GSTS) & VTD_GSTS_QIES, 0);
}

static void protected_memory_regions_go_when_translation_is_on_and_come_back(void **state)
{
	struct fake_unit f;
	struct moat_unit *unit;
	int te;

	fake_init(&f);
	*fake_reg64(&f, VTD_CAP) |= VTD_CAP_PLMR;
	*fake_reg32(&f, VTD_PMEN) = VTD_PMEN_EPM | VTD_PMEN_PRS;
	unit = up(&f);
	te = fake_find(&f, 0, VTD_GCMD, VTD_GCMD_TE);
	assert_true(te >= 0 && fake_find(&f, te, VTD_PMEN, 0) > te);
	assert_int_equal(fake_find(&f, 0, VTD_PMEN, 0), fake_find(&f, te, VTD_PMEN, 0));
	assert_int_equal(*fake_reg32(&f, VTD_PMEN), 0);
	f.nr_events = 0;
	down(unit);
	assert_true(*fake_reg32(&f, VTD_PMEN) & VTD_PMEN_EPM);
	assert_true(fake_find(&f, 0, VTD_PMEN, VTD_PMEN_EPM) < fake_find(&f, 0, VTD_GCMD, 0));
}

static void a_unit_with_a_write_buffer_has_it_flushed_before_translation(void **state)
{
	struct fake_unit f;
	struct moat_unit *unit;
	int wbf;

	fake_init(&f);
	*fake_reg64(&f, VTD_CAP) |= VTD_CAP_RWBF;
	unit = up(&f);
	wbf = fake_find(&f, 0, VTD_GCMD, VTD_GCMD_WBF);
	assert_true(wbf >= 0 && wbf < fake_find(&f, 0, VTD_GCMD, VTD_GCMD_TE));
	f.nr_events = 0;
	assert_int_equal(unit->ops->flush_write_buffer(unit), 0);
	assert_int_equal(f.nr_events, 1);
	assert_int_equal(f.event[0].value, VTD_GCMD_WBF | VTD_GCMD_TE | VTD_GCMD_QIE);
	down(unit);
}

static void what_the_unit_lacks_is_said(void **state)
{
	static const moat_sid_t kernels = MOAT_SID(0, 2, 0);
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_unit *unit;

	fake_init(&f);
	*fake_reg64(&f, VTD_ECAP) &= ~VTD_ECAP_QI;
	assert_int_equal(moat_vtd_create(&conf, &unit), -EOPNOTSUPP);
	assert_non_null(strstr(moat_error_text(), "ECAP.QI"));
	fake_init(&f);
	*fake_reg64(&f, VTD_ECAP) &= ~VTD_ECAP_PT;
	conf.pass_through = &kernels;
	conf.nr_pass_through = 1;
	assert_int_equal(moat_vtd_create(&conf, &unit), -EOPNOTSUPP);
	assert_non_null(strstr(moat_error_text(), "ECAP.PT"));
	fake_init(&f);
	*fake_reg32(&f, VTD_VER) = UINT32_MAX;
	conf.nr_pass_through = 0;
	assert_int_equal(moat_vtd_create(&conf, &unit), -ENODEV);
	assert_int_equal(f.nr_events, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_unit_comes_up_in_the_specifications_order),
		cmocka_unit_test(a_unit_of_version_6_is_invalidated_through_the_queue_only),
		cmocka_unit_test(advanced_fault_logging_is_off_while_the_driver_reads_the_records),
		cmocka_unit_test(
			the_last_question_comes_when_the_unit_may_be_owned_and_before_any_write),
		cmocka_unit_test(iqa_is_left_alone_while_the_queue_cannot_be_switched_off),
		cmocka_unit_test(the_unit_goes_down_translation_first_and_registers_are_as_found),
		cmocka_unit_test(a_unit_in_use_is_refused_untouched_with_what_to_do),
		cmocka_unit_test(a_unit_that_remaps_interrupts_is_not_taken_without_a_word),
		cmocka_unit_test(
			taking_over_switches_off_translation_then_the_queue_then_starts_anew),
		cmocka_unit_test(a_queue_that_lags_is_drained_before_it_is_switched_off),
		cmocka_unit_test(
			a_bit_that_never_comes_is_an_error_with_the_status_and_leaves_the_unit_off),
		cmocka_unit_test(a_context_invalidation_that_never_ends_is_an_error),
		cmocka_unit_test(a_queue_that_does_nothing_is_noticed_before_translation_is_on),
		cmocka_unit_test(protected_memory_regions_go_when_translation_is_on_and_come_back),
		cmocka_unit_test(a_unit_with_a_write_buffer_has_it_flushed_before_translation),
		cmocka_unit_test(what_the_unit_lacks_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
