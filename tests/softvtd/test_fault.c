/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Primary fault logging: the ring of fault recording registers, overflow, and fault events.
 */
#include "rig.h"

#define SID  0x0310
#define FSTS 0x34
#define F    (UINT64_C(1) << 63)
#define PFO  1
#define PPF  2

static struct rig rig;

static struct {
	unsigned int n;
	uint64_t address;
	uint32_t data;
} sent;

static void on_interrupt(void *ctx, uint64_t address, uint32_t data)
{
	sent.n++;
	sent.address = address;
	sent.data = data;
}

static void conf_of(struct moat_softvtd_conf *conf, unsigned int nfr)
{
	rig_plain(conf);
	conf->nfr = nfr;
	conf->interrupt = on_interrupt;
	sent.n = 0;
}

static int setup(void **state)
{
	struct moat_softvtd_conf conf;

	conf_of(&conf, 4);
	rig_up(&rig, &conf);
	rig_attach(&rig, SID, 7, rig_page(&rig), 4);
	rig_attach(&rig, SID + 1, 7, rig_page(&rig), 4);
	return 0;
}

static int teardown(void **state)
{
	rig_no_misuse(&rig);
	rig_down(&rig);
	return 0;
}

static void fault(uint16_t sid, uint64_t iova)
{
	assert_int_equal(rig_write(&rig, sid, iova, 1), 5);
}

static uint32_t fsts(void)
{
	return moat_softvtd_read32(rig.sv, FSTS);
}

static uint64_t frcd(unsigned int i, unsigned int half)
{
	return moat_softvtd_read64(rig.sv, rig.conf.fro + i * 16 + half * 8);
}

static void clear(unsigned int i)
{
	/* as drivers do it: by the register's last 32 bits */
	moat_softvtd_write32(rig.sv, rig.conf.fro + i * 16 + 12, 1u << 31);
}

/* ---------------------------------------------------------------------------------- */

static void faults_fill_the_registers_in_turn(void **state)
{
	for (unsigned int i = 0; i < 10; i++) {
		fault(SID, 0x1000 * i + 0x123);
		assert_int_equal(fsts(), PPF | i % 4 << 8);
		assert_int_equal(frcd(i % 4, 0), 0x1000 * i);
		assert_true(frcd(i % 4, 1) == (F | UINT64_C(5) << 32 | SID));
		clear(i % 4);
		assert_int_equal(fsts() & (PFO | PPF), 0);
		/* the record stays readable, only F is cleared */
		assert_true(frcd(i % 4, 1) == (UINT64_C(5) << 32 | SID));
	}
}

static void fri_names_the_first_fault_pending(void **state)
{
	fault(SID, 0);
	clear(0);
	fault(SID, 0x1000);
	fault(SID, 0x2000);
	assert_int_equal(fsts(), PPF | 1 << 8);
	clear(1);
	assert_int_equal(fsts() & PPF, PPF); /* the second fault is still recorded */
	clear(2);
	assert_int_equal(fsts() & PPF, 0);
}

static void a_full_log_overflows_and_records_nothing_until_pfo_is_cleared(void **state)
{
	for (unsigned int i = 0; i < 5; i++)
		fault(SID, 0x1000 * i);
	assert_int_equal(fsts() & (PFO | PPF), PFO | PPF);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(frcd(i, 0), 0x1000 * i);
		clear(i);
	}
	assert_int_equal(fsts() & (PFO | PPF), PFO);
	fault(SID, 0x9000);
	assert_int_equal(fsts() & PPF, 0); /* not recorded */
	moat_softvtd_write32(rig.sv, FSTS, PFO);
	assert_int_equal(fsts() & (PFO | PPF), 0);
	fault(SID, 0xa000);
	assert_int_equal(fsts() & (PFO | PPF), PPF);
	assert_int_equal(frcd(fsts() >> 8 & 0xff, 0), 0xa000);
	assert_int_equal(rig_stats(&rig).overflowed, 2);
	assert_int_equal(rig_stats(&rig).recorded, 5);
	assert_int_equal(rig_stats(&rig).faults[5], 7);
}

static void one_register_is_enough_to_go_on(void **state)
{
	struct moat_softvtd_conf conf;

	rig_down(&rig);
	conf_of(&conf, 1);
	rig_up(&rig, &conf);
	rig_attach(&rig, SID, 7, rig_page(&rig), 4);
	for (unsigned int i = 0; i < 3; i++) {
		fault(SID, 0x1000 * i);
		fault(SID, 0xff000);
		assert_int_equal(fsts(), PFO | PPF);
		assert_int_equal(frcd(0, 0), 0x1000 * i);
		clear(0);
		moat_softvtd_write32(rig.sv, FSTS, PFO);
		assert_int_equal(fsts(), 0);
	}
}

static void repeats_of_a_source_may_be_collapsed(void **state)
{
	struct moat_softvtd_conf conf;

	rig_down(&rig);
	conf_of(&conf, 4);
	conf.compress = true;
	rig_up(&rig, &conf);
	rig_attach(&rig, SID, 7, rig_page(&rig), 4);
	rig_attach(&rig, SID + 1, 7, rig_page(&rig), 4);
	for (unsigned int i = 0; i < 10; i++) {
		fault(SID, 0x1000 * i);
		fault(SID + 1, 0x1000 * i);
	}
	assert_int_equal(rig_stats(&rig).recorded, 2);
	assert_int_equal(rig_stats(&rig).compressed, 18);
	assert_int_equal(fsts(), PPF);
	clear(0);
	fault(SID, 0x77000);
	assert_int_equal(frcd(2, 0), 0x77000);
}

static void writing_anything_but_f_changes_no_record(void **state)
{
	fault(SID, 0x5000);
	moat_softvtd_write64(rig.sv, rig.conf.fro, UINT64_MAX);
	moat_softvtd_write64(rig.sv, rig.conf.fro + 8, ~F);
	assert_int_equal(frcd(0, 0), 0x5000);
	assert_true(frcd(0, 1) == (F | UINT64_C(5) << 32 | SID));
}

/* -------------------------------------------------------------------------------- events */

#define FECTL 0x38
#define IM    (1u << 31)
#define IP    (1u << 30)

static void a_fault_event_is_sent_once_until_served(void **state)
{
	moat_softvtd_write32(rig.sv, 0x3c, 0x4021);     /* FEDATA */
	moat_softvtd_write32(rig.sv, 0x40, 0xfee01000); /* FEADDR */
	moat_softvtd_write32(rig.sv, 0x44, 0x1);        /* FEUADDR */
	moat_softvtd_write32(rig.sv, FECTL, 0);
	fault(SID, 0);
	assert_int_equal(sent.n, 1);
	assert_true(sent.address == 0x1fee01000);
	assert_int_equal(sent.data, 0x4021);
	fault(SID, 0x1000); /* PPF is set already, so there is no new condition */
	assert_int_equal(sent.n, 1);
	clear(0);
	clear(1);
	fault(SID, 0x2000);
	assert_int_equal(sent.n, 2);
}

static void a_masked_event_is_pending(void **state)
{
	assert_int_equal(moat_softvtd_read32(rig.sv, FECTL), IM); /* as after reset */
	fault(SID, 0);
	assert_int_equal(moat_softvtd_read32(rig.sv, FECTL), IM | IP);
	assert_int_equal(sent.n, 0);
	moat_softvtd_write32(rig.sv, FECTL, 0);
	assert_int_equal(moat_softvtd_read32(rig.sv, FECTL), 0);
	assert_int_equal(sent.n, 1);
}

static void serving_everything_takes_the_pending_event_back(void **state)
{
	fault(SID, 0);
	clear(0);
	assert_int_equal(moat_softvtd_read32(rig.sv, FECTL), IM);
	moat_softvtd_write32(rig.sv, FECTL, 0);
	assert_int_equal(sent.n, 0);
}

static void queue_errors_are_fault_events(void **state)
{
	moat_softvtd_write32(rig.sv, FECTL, 0);
	rig_queue(&rig, 0, 0);
	rig_doorbell(&rig);
	rig_turns(&rig, 10);
	assert_int_equal(sent.n, 1);
}

static void a_wait_with_the_interrupt_flag_sends_an_event(void **state)
{
	moat_softvtd_write32(rig.sv, 0xa4, 0x77);       /* IEDATA */
	moat_softvtd_write32(rig.sv, 0xa8, 0xfee02000); /* IEADDR */
	moat_softvtd_write32(rig.sv, 0xa0, 0);          /* IECTL */
	rig_do(&rig, 5 | 1 << 4, 0);
	assert_int_equal(moat_softvtd_read32(rig.sv, 0x9c), 1); /* ICS.IWC */
	assert_int_equal(sent.n, 1);
	assert_int_equal(sent.data, 0x77);
	rig_do(&rig, 5 | 1 << 4, 0); /* IWC is set already */
	assert_int_equal(sent.n, 1);
	moat_softvtd_write32(rig.sv, 0x9c, 1);
	assert_int_equal(moat_softvtd_read32(rig.sv, 0x9c), 0);
	rig_do(&rig, 5 | 1 << 4, 0);
	assert_int_equal(sent.n, 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(faults_fill_the_registers_in_turn),
		T(fri_names_the_first_fault_pending),
		T(a_full_log_overflows_and_records_nothing_until_pfo_is_cleared),
		T(one_register_is_enough_to_go_on),
		T(repeats_of_a_source_may_be_collapsed),
		T(writing_anything_but_f_changes_no_record),
		T(a_fault_event_is_sent_once_until_served),
		T(a_masked_event_is_pending),
		T(serving_everything_takes_the_pending_event_back),
		T(queue_errors_are_fault_events),
		T(a_wait_with_the_interrupt_flag_sends_an_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
