/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Decoding of the capability registers: two pairs of registers from real machines, and impossible
 * ones. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_unit.h"

/* A 48-bit server unit (Skylake-SP's public boot messages) and QEMU's with default options. */
#define SERVER_CAP  UINT64_C(0x8d2078c106f0466)
#define SERVER_ECAP UINT64_C(0xf020df)
#define QEMU_CAP    UINT64_C(0xd2008c222f0686)
#define QEMU_ECAP   UINT64_C(0xf00f4a)

static void a_servers_capabilities_read_as_published(void **state)
{
	struct moat_vtd_caps c;
	struct moat_unit_caps u;

	moat_vtd_caps_decode(0x10, SERVER_CAP, SERVER_ECAP, &c);
	assert_int_equal(c.ver_major, 1);
	assert_int_equal(c.nd, 65536);
	assert_int_equal(c.sagaw, 4);
	assert_int_equal(c.mgaw, 48);
	assert_int_equal(c.sllps, 3);
	assert_int_equal(c.mamv, 18);
	assert_int_equal(c.nfr, 8);
	assert_int_equal(c.fro, 0x100);
	assert_true(
		c.psi && c.phmr && c.plmr && c.drd && c.dwd && c.c && c.qi && c.dt && c.ir && c.pt);
	assert_false(c.cm || c.rwbf);
	assert_int_equal(c.iro, 0x200);
	moat_vtd_caps_unit(&c, &u);
	assert_int_equal(u.leaf_sizes, MOAT_2M_SIZE | MOAT_1G_SIZE);
	assert_int_equal(u.sagaw, 4);
	assert_int_equal(u.nd, 65536);
	assert_true(u.coherent && u.qi.psi && u.qi.drd && u.qi.dwd);
	assert_int_equal(u.qi.mamv, 18);
	assert_int_equal(u.nr_reserved, 1);
	assert_int_equal(u.reserved[0].iova, 0xfee00000);
	assert_int_equal(u.reserved[0].len, 0x100000);
}

static void qemus_capabilities_read_as_its_source_has_them(void **state)
{
	struct moat_vtd_caps c;

	moat_vtd_caps_decode(0x10, QEMU_CAP, QEMU_ECAP, &c);
	assert_int_equal(c.nd, 65536);
	assert_int_equal(c.sagaw, 6);
	assert_int_equal(c.mgaw, 48);
	assert_int_equal(c.fro, 0x220);
	assert_int_equal(c.nfr, 1);
	assert_int_equal(c.mamv, 18);
	assert_int_equal(c.iro, 0xf0);
	assert_true(c.cm && c.psi && c.qi && c.pt);
	assert_false(c.c);
}

static void every_decoded_bit_comes_from_its_own_place(void **state)
{
	static struct moat_vtd_caps zero, one, c; /* static: their padding is 0 */
	unsigned int known = 0;

	moat_vtd_caps_decode(0, 0, 0, &zero);
	for (unsigned int bit = 0; bit < 64; bit++) {
		moat_vtd_caps_decode(0, UINT64_C(1) << bit, 0, &one);
		c = zero;
		c.cap = one.cap;
		/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
		known += memcmp(&c, &one, sizeof(c)) != 0;
	}
	/* ND 3, RWBF, PLMR, PHMR, CM, SAGAW 5, MGAW 6, ZLR, FRO 10, SSLPS 4, PSI, NFR 8, MAMV 6,
	 * DWD, DRD, FS1GP, PI, FS5LP, ESIRTPS, ESRTPS */
	assert_int_equal(known, 3 + 4 + 5 + 6 + 1 + 10 + 4 + 1 + 8 + 6 + 7);
}

static void a_window_with_nothing_behind_it_is_no_unit(void **state)
{
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_vtd_caps c;

	memset(&f, 0xff, sizeof(f));
	assert_int_equal(moat_vtd_caps_read(&conf.window, &c), -ENODEV);
	memset(&f, 0, sizeof(f));
	assert_int_equal(moat_vtd_caps_read(&conf.window, &c), -ENODEV);
}

static void registers_beyond_the_page_are_refused(void **state)
{
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_vtd_caps c;

	fake_init(&f);
	*fake_reg64(&f, VTD_CAP) |= VTD_CAP_FRO;
	assert_int_equal(moat_vtd_caps_read(&conf.window, &c), -EPROTO);
	assert_non_null(strstr(moat_error_text(), "fault records"));
	fake_init(&f);
	*fake_reg64(&f, VTD_ECAP) |= VTD_ECAP_IRO;
	assert_int_equal(moat_vtd_caps_read(&conf.window, &c), -EPROTO);
	fake_init(&f);
	*fake_reg64(&f, VTD_CAP) &= ~VTD_CAP_SAGAW;
	assert_int_equal(moat_vtd_caps_read(&conf.window, &c), -EPROTO);
	assert_non_null(strstr(moat_error_text(), "SAGAW"));
}

static void the_text_names_each_capability_and_is_cut_where_room_ends(void **state)
{
	struct moat_vtd_caps c;
	char text[4096], small[64];
	int len;

	moat_vtd_caps_decode(0x10, SERVER_CAP, SERVER_ECAP, &c);
	len = moat_vtd_caps_text(&c, text, sizeof(text));
	assert_int_equal(len, strlen(text));
	assert_non_null(strstr(text, "MAMV    18"));
	assert_non_null(strstr(text, "48-bit (4 levels)"));
	memset(small, 'x', sizeof(small));
	assert_int_equal(moat_vtd_caps_text(&c, small, 32), len);
	assert_int_equal(strlen(small), 31);
	assert_int_equal(small[32], 'x');
	assert_int_equal(moat_vtd_caps_text(&c, NULL, 0), len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_servers_capabilities_read_as_published),
		cmocka_unit_test(qemus_capabilities_read_as_its_source_has_them),
		cmocka_unit_test(every_decoded_bit_comes_from_its_own_place),
		cmocka_unit_test(a_window_with_nothing_behind_it_is_no_unit),
		cmocka_unit_test(registers_beyond_the_page_are_refused),
		cmocka_unit_test(the_text_names_each_capability_and_is_cut_where_room_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
