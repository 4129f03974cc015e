/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * The registers as the specification defines them, with this file's own numbers, and their
 * protocols: global commands, register-based invalidation, and what software must not do.
 */
#include "rig.h"

#define GCMD   0x18
#define GSTS   0x1c
#define RTADDR 0x20
#define CCMD   0x28
#define TE     (1u << 31)
#define SRTP   (1u << 30)
#define WBF    (1u << 27)
#define QIE    (1u << 26)
#define IRE    (1u << 25)
#define SIRTP  (1u << 24)

static struct rig rig;

static int setup(void **state)
{
	rig_make(&rig, NULL);
	return 0;
}

static int teardown(void **state)
{
	rig_down(&rig);
	return 0;
}

static void again(const struct moat_softvtd_conf *conf)
{
	rig_down(&rig);
	rig_make(&rig, conf);
}

static uint64_t misuses(enum moat_softvtd_misuse m)
{
	return rig_stats(&rig).misuse[m];
}

static void write32(uint32_t offset, uint32_t value)
{
	moat_softvtd_write32(rig.sv, offset, value);
}

static void write64(uint32_t offset, uint64_t value)
{
	moat_softvtd_write64(rig.sv, offset, value);
}

static uint64_t read64(uint32_t offset)
{
	return moat_softvtd_read64(rig.sv, offset);
}

/* ---------------------------------------------------------------------------- capabilities */

static uint64_t field(uint64_t value, unsigned int high, unsigned int low)
{
	return value >> low & ((UINT64_C(1) << (high - low + 1)) - 1);
}

static void capabilities_say_what_was_configured(void **state)
{
	struct moat_softvtd_conf conf;
	uint64_t cap, ecap;

	rig_plain(&conf);
	conf.ver = 0x21;
	conf.nd_bits = 10;
	conf.sagaw = 0xc;
	conf.mgaw = 57;
	conf.fro = 0x220;
	conf.iro = 0x110;
	conf.sllps = 1;
	conf.nfr = 5;
	conf.mamv = 9;
	again(&conf);
	cap = read64(0x8);
	ecap = read64(0x10);
	assert_int_equal(moat_softvtd_read32(rig.sv, 0), 0x21);
	assert_int_equal(field(cap, 2, 0), 3);      /* ND: 4 + 2 * 3 bits */
	assert_int_equal(field(cap, 12, 8), 0xc);   /* SAGAW */
	assert_int_equal(field(cap, 21, 16), 56);   /* MGAW */
	assert_int_equal(field(cap, 33, 24), 0x22); /* FRO */
	assert_int_equal(field(cap, 37, 34), 1);    /* SSLPS */
	assert_int_equal(field(cap, 47, 40), 4);    /* NFR */
	assert_int_equal(field(cap, 53, 48), 9);    /* MAMV */
	assert_int_equal(field(ecap, 17, 8), 0x11); /* IRO */
	/* a 64-bit register by two 32-bit accesses */
	assert_int_equal(moat_softvtd_read32(rig.sv, 0x8), (uint32_t)cap);
	assert_int_equal(moat_softvtd_read32(rig.sv, 0xc), cap >> 32);
}

static void each_capability_is_its_bit(void **state)
{
	static const struct {
		size_t offset;
		bool ecap;
		unsigned int bit;
	} flags[] = {
		{ offsetof(struct moat_softvtd_conf, rwbf), false, 4 },
		{ offsetof(struct moat_softvtd_conf, cm), false, 7 },
		{ offsetof(struct moat_softvtd_conf, zlr), false, 22 },
		{ offsetof(struct moat_softvtd_conf, psi), false, 39 },
		{ offsetof(struct moat_softvtd_conf, dwd), false, 54 },
		{ offsetof(struct moat_softvtd_conf, drd), false, 55 },
		{ offsetof(struct moat_softvtd_conf, esrtps), false, 63 },
		{ offsetof(struct moat_softvtd_conf, coherent), true, 0 },
		{ offsetof(struct moat_softvtd_conf, qi), true, 1 },
		{ offsetof(struct moat_softvtd_conf, dt), true, 2 },
		{ offsetof(struct moat_softvtd_conf, pt), true, 6 },
		{ offsetof(struct moat_softvtd_conf, sc), true, 7 },
		{ offsetof(struct moat_softvtd_conf, dit), true, 41 },
	};

	for (unsigned int i = 0; i < RTE_DIM(flags); i++) {
		struct moat_softvtd_conf conf;
		uint64_t value[2];

		for (unsigned int on = 0; on < 2; on++) {
			rig_plain(&conf);
			*(bool *)((char *)&conf + flags[i].offset) = on;
			again(&conf);
			value[on] = read64(flags[i].ecap ? 0x10 : 0x8);
		}
		assert_true((value[0] ^ value[1]) == UINT64_C(1) << flags[i].bit);
		assert_true(value[1] & UINT64_C(1) << flags[i].bit);
	}
}

static void impossible_units_are_refused_in_words(void **state)
{
#define BAD(member, value, text)                                                     \
	{                                                                            \
		offsetof(struct moat_softvtd_conf, member),                          \
			sizeof(((struct moat_softvtd_conf *)0)->member), value, text \
	}
	static const struct {
		size_t offset, size;
		uint64_t value;
		const char *text;
	} bad[] = {
		BAD(sagaw, 0, "sagaw"),
		BAD(sagaw, 1, "sagaw"),
		BAD(mgaw, 58, "mgaw"),
		BAD(mgaw, 20, "mgaw"),
		BAD(haw, 53, "haw"),
		BAD(haw, 35, "haw"),
		BAD(nd_bits, 5, "nd_bits"),
		BAD(nd_bits, 18, "nd_bits"),
		BAD(mamv, 53, "mamv"),
		BAD(sllps, 4, "sllps"),
		BAD(prefetch, 101, "prefetch"),
		BAD(nfr, 0, "nfr"),
		BAD(nfr, 129, "nfr"),
		BAD(fro, 0x608, "fro"),
		BAD(fro, 0xff0, "fro"),
		BAD(fro, 0xf0, "fro"),
		BAD(iro, 0x508, "iro"),
		BAD(iro, 0x610, "iro"),
		BAD(iro, 0x1000, "iro"),
		BAD(memory_size, 0x1800, "memory 0x0, 0x1800 bytes: must be whole pages"),
		BAD(memory_size, UINT64_C(1) << 49, "memory 0x0, 0x2000000000000 bytes"),
		BAD(shards, 3, "shards"),
		BAD(shards, 128, "shards"),
		BAD(iotlb_entries, 100, "iotlb"),
		BAD(iotlb_ways, 3, "iotlb"),
		BAD(context_entries, 6, "context_entries"),
		BAD(psc_entries[1], 3, "psc_entries[1]"),
	};

	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		struct moat_softvtd_conf conf;
		struct moat_softvtd *sv = NULL;

		moat_softvtd_conf_init(&conf);
		memcpy((char *)&conf + bad[i].offset, &bad[i].value, bad[i].size);
		assert_int_equal(moat_softvtd_create(&conf, &sv), -22);
		if (strstr(moat_error_text(), bad[i].text) != moat_error_text())
			fail_msg("'%s' does not begin with %s", moat_error_text(), bad[i].text);
	}
}

/* -------------------------------------------------------------------------- global commands */

static void a_command_shows_late(void **state)
{
	struct moat_softvtd_conf conf;
	unsigned int late[10] = { 0 };

	rig_plain(&conf);
	conf.gsts_late = 8;
	conf.seed = rig_seed();
	again(&conf);
	for (unsigned int i = 0; i < 200; i++) {
		unsigned int reads = 0;

		write32(GCMD, SRTP);
		while (!(moat_softvtd_read32(rig.sv, GSTS) & SRTP))
			reads++;
		assert_true(reads < 8);
		late[reads]++;
	}
	assert_true(late[7] > 0 && late[1] > 0);
}

static void one_shot_bits_need_not_be_cleared(void **state)
{
	rig_command(&rig, SRTP, true);
	rig_command(&rig, TE, true);
	assert_int_equal(rig_gsts(&rig), TE | SRTP);
	rig_command(&rig, SRTP, true);
	assert_int_equal(rig_gsts(&rig), TE | SRTP);
	rig_command(&rig, TE, false);
	assert_int_equal(rig_gsts(&rig), SRTP);
	rig_no_misuse(&rig);
}

static void rtps_is_clear_while_the_root_table_is_being_set(void **state)
{
	struct moat_softvtd_conf conf;
	bool clear = false;

	rig_plain(&conf);
	conf.gsts_late = 100;
	again(&conf);
	rig_command(&rig, SRTP, true);
	for (unsigned int i = 0; i < 10; i++) {
		write32(GCMD, SRTP);
		while (!(rig_gsts(&rig) & SRTP))
			clear = true;
	}
	assert_true(clear);
	rig_no_misuse(&rig);
}

static void a_command_before_the_last_one_shows_is_lost(void **state)
{
	write32(GCMD, SRTP);
	write32(GCMD, QIE);
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_COMMAND_BUSY), 1);
	for (unsigned int i = 0; i < 20; i++)
		rig_gsts(&rig);
	assert_int_equal(rig_gsts(&rig), SRTP);
}

static void two_commands_at_once_do_nothing(void **state)
{
	write32(GCMD, SRTP | TE);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(rig_gsts(&rig), 0);
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_TWO_COMMANDS), 1);
	rig_command(&rig, SRTP, true);
	rig_command(&rig, TE, true);
	/* SRTP set and TE cleared are two changes, too */
	write32(GCMD, SRTP);
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_TWO_COMMANDS), 2);
	assert_int_equal(rig_gsts(&rig), TE | SRTP);
}

static void commands_without_their_capability_do_nothing(void **state)
{
	static const uint32_t bits[] = { 1u << 29, 1u << 28, WBF, IRE, SIRTP, 1u << 23 };

	for (unsigned int i = 0; i < RTE_DIM(bits); i++) {
		write32(GCMD, bits[i]);
		for (unsigned int j = 0; j < 20; j++)
			assert_int_equal(rig_gsts(&rig), 0);
		assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_UNSUPPORTED), i + 1);
	}
}

static void interrupt_remapping_has_its_own_table(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.ir = true;
	again(&conf);
	write64(0xb8, rig_hpa(rig_page(&rig)) | 7);
	rig_command(&rig, SIRTP, true);
	rig_command(&rig, IRE, true);
	rig_no_misuse(&rig);
	assert_int_equal(rig_gsts(&rig), IRE | SIRTP);
	again(&conf);
	rig_command(&rig, IRE, true);
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_IRE_NO_TABLE), 1);
}

static void a_write_buffer_flush_shows_while_it_lasts(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.rwbf = true;
	again(&conf);
	rig_command(&rig, SRTP, true);
	write32(GCMD, WBF);
	while (rig_gsts(&rig) & WBF)
		;
	assert_int_equal(rig_gsts(&rig), SRTP);
	rig_no_misuse(&rig);
}

static void translation_without_a_root_table_faults(void **state)
{
	uint64_t word;

	rig_command(&rig, TE, true);
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_TE_NO_ROOT), 1);
	assert_int_equal(rig_read(&rig, 0x310, 0x1000, &word), 8);
}

static void the_root_table_changes_with_srtp_and_not_before(void **state)
{
	uint64_t *root, word;

	rig_down(&rig);
	rig_up(&rig, NULL);
	root = rig_page(&rig);
	rig_command(&rig, QIE, false);
	write64(RTADDR, rig_hpa(root));
	assert_true(read64(RTADDR) == rig_hpa(root));
	assert_int_equal(rig_read(&rig, 0x310, 0x1000, &word), 1);
	rig.root = rig_page(&rig);
	rig_context(&rig, 0x310);
	write64(RTADDR, rig_hpa(rig.root));
	assert_int_equal(rig_read(&rig, 0x310, 0x1000, &word), 1);
	rig_command(&rig, SRTP, true);
	assert_int_equal(rig_read(&rig, 0x310, 0x1000, &word), 2);
}

/* ---------------------------------------------------------------- what must not be written */

static void reserved_bits_of_the_invalidation_registers_read_as_zero(void **state)
{
	const uint32_t iotlb = rig.conf.iro + 8;

	write64(0x28, UINT64_C(0x7ffffff) << 32 | 0x310 << 16 | 7); /* CCMD without ICC */
	assert_true(read64(0x28) == (UINT64_C(3) << 32 | 0x310 << 16 | 7));
	write64(iotlb, UINT64_C(7) << 32 | 0xffff);
	assert_true(read64(iotlb) == UINT64_C(7) << 32);
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_RESERVED), 2);
}

static void reserved_bits_and_read_only_registers_are_noticed(void **state)
{
	write64(0x90, rig_hpa(rig.ring) | 1 << 11); /* IQA.DW without scalable mode */
	assert_true(read64(0x90) == rig_hpa(rig.ring));
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_RESERVED), 1);
	write64(0x88, 8); /* IQT: descriptors are 16 bytes */
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_RESERVED), 2);
	write64(RTADDR, rig_hpa(rig.root) | 1 << 10); /* TTM: scalable mode */
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_RESERVED), 3);
	write32(GCMD, 1);
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_RESERVED), 4);
	/* IRTA: EIME without ECAP.EIM, and a reserved bit */
	write64(0xb8, rig_hpa(rig.ring) | 1 << 11 | 1 << 4);
	assert_true(read64(0xb8) == rig_hpa(rig.ring));
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_RESERVED), 5);
	write64(0x8, 0);
	write64(0x10, 0);
	write64(0x80, 0);
	write32(GSTS, 0);
	write32(0, 0);
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_READ_ONLY), 5);
	write32(0x60, 1);
	moat_softvtd_read64(rig.sv, 0x4);
	moat_softvtd_read32(rig.sv, 0x1000);
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_ACCESS), 3);
	assert_int_equal(moat_softvtd_read32(rig.sv, 0x64), 0); /* PMEN: not offered */
}

static void the_queue_address_is_fixed_while_it_is_enabled(void **state)
{
	write64(0x90, rig_hpa(rig.ring));
	rig_command(&rig, QIE, true);
	write64(0x90, rig_hpa(rig.root));
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_IQA_ENABLED), 1);
	assert_true(read64(0x90) == rig_hpa(rig.ring));
}

/* ------------------------------------------------------------- register-based invalidation */

#define ICC (UINT64_C(1) << 63)
#define IVT (UINT64_C(1) << 63)

static uint64_t run_ccmd(uint64_t value)
{
	write64(CCMD, ICC | value);
	while ((value = read64(CCMD)) & ICC)
		;
	return value >> 59 & 3; /* CAIG */
}

static uint64_t run_iotlb(uint64_t value, uint64_t iva)
{
	write64(rig.conf.iro, iva);
	/* by two 32-bit accesses, as a 32-bit driver does */
	write32(rig.conf.iro + 8, (uint32_t)value);
	write32(rig.conf.iro + 12, (IVT | value) >> 32);
	while ((value = read64(rig.conf.iro + 8)) & IVT)
		;
	return value >> 57 & 3; /* IAIG */
}

static void invalidations_by_register_do_what_the_queue_does(void **state)
{
	const uint64_t did = 7, drain = UINT64_C(3) << 48;
	uint64_t *table = rig_page(&rig), *old_page = rig_page(&rig), *new_page = rig_page(&rig);

	old_page[0] = 1;
	new_page[0] = 2;
	write64(RTADDR, rig_hpa(rig.root));
	rig_command(&rig, SRTP, true);
	rig_command(&rig, TE, true);
	rig_attach(&rig, 0x310, did, table, 4);
	for (unsigned int gran = 1; gran <= 3; gran++) {
		uint64_t word;

		rig_map(&rig, table, 4, 0x5000, old_page, MOAT_RW);
		run_iotlb(UINT64_C(1) << 60, 0);
		assert_int_equal(rig_read(&rig, 0x310, 0x5000, &word), 0);
		assert_int_equal(word, 1);
		rig_map(&rig, table, 4, 0x5000, new_page, MOAT_RW);
		assert_int_equal(run_iotlb(UINT64_C(2) << 60 | (did + 1) << 32 | drain, 0), 2);
		assert_int_equal(run_iotlb(UINT64_C(3) << 60 | did << 32 | drain, 0x6000), 3);
		rig_read(&rig, 0x310, 0x5000, &word);
		assert_int_equal(word, 1);
		assert_int_equal(run_iotlb((uint64_t)gran << 60 | did << 32 | drain, 0x5000), gran);
		rig_read(&rig, 0x310, 0x5000, &word);
		assert_int_equal(word, 2);
	}
	for (unsigned int gran = 1; gran <= 3; gran++) {
		uint64_t word;

		rig_attach(&rig, 0x310, did, table, 4);
		assert_int_equal(run_ccmd(UINT64_C(1) << 61), 1);
		assert_int_equal(rig_read(&rig, 0x310, 0x5000, &word), 0);
		rig_store(rig_context(&rig, 0x310), 0);
		assert_int_equal(run_ccmd(UINT64_C(2) << 61 | (did + 1)), 2);
		assert_int_equal(run_ccmd(UINT64_C(3) << 61 | 0x311 << 16 | did), 3);
		assert_int_equal(rig_read(&rig, 0x310, 0x5000, &word), 0);
		assert_int_equal(run_ccmd((uint64_t)gran << 61 | 0x310 << 16 | did), gran);
		assert_int_equal(rig_read(&rig, 0x310, 0x5000, &word), 2);
	}
	rig_no_misuse(&rig);
}

static void impossible_requests_report_no_granularity(void **state)
{
	assert_int_equal(run_ccmd(0), 0);
	assert_int_equal(run_iotlb(0, 0), 0);
	assert_int_equal(run_iotlb(UINT64_C(3) << 60, 19), 0); /* AM beyond MAMV */
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_INV_WRONG), 3);
}

static void registers_do_not_invalidate_while_the_queue_does(void **state)
{
	write64(0x90, rig_hpa(rig.ring));
	rig_command(&rig, QIE, true);
	assert_int_equal(run_ccmd(UINT64_C(1) << 61), 0);
	assert_int_equal(run_iotlb(UINT64_C(1) << 60, 0), 0);
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_REGISTER_INV), 2);
}

static void a_second_request_waits_for_the_first(void **state)
{
	write64(CCMD, ICC | UINT64_C(1) << 61);
	write64(CCMD, ICC | UINT64_C(1) << 61);
	write64(rig.conf.iro + 8, IVT | UINT64_C(1) << 60);
	write64(rig.conf.iro + 8, IVT | UINT64_C(1) << 60);
	assert_int_equal(misuses(MOAT_SOFTVTD_MISUSE_INV_BUSY), 2);
}

static void the_window_is_the_same_page(void **state)
{
	struct moat_vtd_window w;

	moat_softvtd_window(rig.sv, &w);
	assert_true(vtd_read64(&w, VTD_CAP) == read64(0x8));
	assert_int_equal(vtd_read32(&w, VTD_VER), 0x10);
	vtd_write64(&w, VTD_RTADDR, 0x123000);
	assert_true(read64(RTADDR) == 0x123000);
	vtd_write32(&w, VTD_FEDATA, 5);
	assert_int_equal(moat_softvtd_read32(rig.sv, 0x3c), 5);
	assert_non_null(w.run);
	w.run(w.ctx);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(capabilities_say_what_was_configured),
		T(each_capability_is_its_bit),
		T(impossible_units_are_refused_in_words),
		T(a_command_shows_late),
		T(one_shot_bits_need_not_be_cleared),
		T(rtps_is_clear_while_the_root_table_is_being_set),
		T(a_command_before_the_last_one_shows_is_lost),
		T(two_commands_at_once_do_nothing),
		T(commands_without_their_capability_do_nothing),
		T(interrupt_remapping_has_its_own_table),
		T(a_write_buffer_flush_shows_while_it_lasts),
		T(translation_without_a_root_table_faults),
		T(the_root_table_changes_with_srtp_and_not_before),
		T(reserved_bits_of_the_invalidation_registers_read_as_zero),
		T(reserved_bits_and_read_only_registers_are_noticed),
		T(the_queue_address_is_fixed_while_it_is_enabled),
		T(invalidations_by_register_do_what_the_queue_does),
		T(impossible_requests_report_no_granularity),
		T(registers_do_not_invalidate_while_the_queue_does),
		T(a_second_request_waits_for_the_first),
		T(the_window_is_the_same_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
