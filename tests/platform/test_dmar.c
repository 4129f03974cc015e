/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Which unit serves which function, with DMAR tables built byte by byte and a PCI tree in a
 * folder. */

#include <errno.h>

#include "fake_machine.h"

/* --------------------------------------------------------------------------------- the table */

static void qemus_table_is_one_unit_for_everything(void **state)
{
	struct moat_dmar *d;
	struct table t;

	/* As QEMU's q35 has it: one DRHD with INCLUDE_PCI_ALL, and an IOAPIC in its scope. */
	begin(&t);
	drhd(&t, 1, 0, 0xfed90000);
	t.open = t.len - 16;
	put(&t, 3, 1);
	put(&t, 8, 1);
	put(&t, 0, 2);
	put(&t, 0, 1);
	put(&t, 0xff, 1);
	put(&t, 0, 2);
	close_structure(&t);
	finish(&t);
	assert_int_equal(moat_dmar_parse(t.b, t.len, &d), 0);
	assert_int_equal(d->haw, 39);
	assert_true(d->intr_remap);
	assert_int_equal(d->nr_units, 1);
	assert_int_equal(d->unit[0].base, 0xfed90000);
	assert_int_equal(d->unit[0].size, 4096);
	assert_true(d->unit[0].include_pci_all);
	assert_int_equal(d->unit[0].proximity, UINT32_MAX);
	assert_int_equal(d->unit[0].scopes.n, 1);
	assert_int_equal(d->unit[0].scopes.scope[0].type, MOAT_DMAR_IOAPIC);
	moat_dmar_free(d);
}

static struct moat_dmar *server(void)
{
	struct moat_dmar *d;
	struct table t;

	server_table(&t);
	if (moat_dmar_parse(t.b, t.len, &d) != 0)
		fail_msg("%s", moat_error_text());
	return d;
}

static void a_servers_table_is_taken_whole_and_the_future_is_skipped(void **state)
{
	struct moat_dmar *d = server();
	char text[2048];

	assert_int_equal(d->nr_units, 3);
	assert_int_equal(d->nr_rmrrs, 2);
	assert_int_equal(d->nr_atsrs, 1);
	assert_int_equal(d->nr_satcs, 1);
	assert_int_equal(d->nr_unknown, 1);
	assert_int_equal(d->unit[2].proximity, 1);
	assert_int_equal(d->unit[1].proximity, UINT32_MAX);
	assert_int_equal(d->rmrr[0].limit, 0x7b7fffff);
	assert_int_equal(d->andd[0].number, 7);
	assert_string_equal(d->andd[0].name, "DCBA");
	assert_true(d->satc[0].flag);
	assert_true(moat_dmar_text(d, text, sizeof(text)) < (int)sizeof(text));
	assert_non_null(strstr(text, "DRHD dmar2 segment 0000 at 0xd0000000 INCLUDE_PCI_ALL NUMA"));
	assert_non_null(strstr(text, "endpoint 00:1d.0/00.0/01.0"));
	moat_dmar_free(d);
}

static void assert_malformed(struct table *t, size_t offset, const char *why)
{
	struct moat_dmar *d;
	char at[32];

	assert_int_equal(moat_dmar_parse(t->b, t->len, &d), -EBADMSG);
	snprintf(at, sizeof(at), "offset 0x%zx:", offset);
	if (strstr(moat_error_text(), at) == NULL || strstr(moat_error_text(), why) == NULL)
		fail_msg("wanted '%s' and '%s' in: %s", at, why, moat_error_text());
}

static void what_cannot_be_told_apart_is_refused_with_its_offset(void **state)
{
	struct table t;

	begin(&t);
	finish(&t);
	assert_malformed(&t, 48, "no DRHD");
	drhd(&t, 1, 0, 0xfed90000);
	finish(&t);
	t.b[0] = 'X';
	assert_malformed(&t, 0, "XMAR");
	t.b[0] = 'D';
	finish(&t);
	t.len--;
	assert_malformed(&t, 4, "64 bytes");
	t.len = 20;
	assert_malformed(&t, 0, "20 bytes");

	begin(&t);
	drhd(&t, 1, 0, 0xfed90800);
	finish(&t);
	assert_malformed(&t, 48 + 8, "0xfed90800");

	begin(&t);
	drhd(&t, 1, 0, 0);
	drhd(&t, 1, 0, 0xfed90000);
	finish(&t);
	assert_malformed(&t, 48 + 8, "at 0x0");

	begin(&t);
	drhd(&t, 1, 0, 0xfed90000);
	t.b[50] = 17; /* beyond the table's end */
	finish(&t);
	assert_malformed(&t, 48, "structure of 17 bytes");

	begin(&t);
	drhd(&t, 1, 0, 0xfed90000);
	finish(&t);
	t.b[36] = 10; /* HAW: less than a page */
	assert_malformed(&t, 36, "11 bits");
}

/* Parse a table with one fault. The caller must free the result. */
static struct moat_dmar *parse_with_fault(struct table *t, size_t offset, const char *why)
{
	struct moat_dmar *d;
	char text[1024];

	if (moat_dmar_parse(t->b, t->len, &d) != 0)
		fail_msg("%s", moat_error_text());
	assert_int_equal(d->nr_faults, 1);
	assert_int_equal(d->fault[0].offset, offset);
	if (strstr(d->fault[0].text, why) == NULL)
		fail_msg("wanted '%s' in: %s", why, d->fault[0].text);
	moat_dmar_text(d, text, sizeof(text));
	assert_non_null(strstr(text, d->fault[0].text));
	assert_int_equal(d->unit[0].base, 0xfed90000);
	return d;
}

static void assert_tolerated(struct table *t, size_t offset, const char *why)
{
	moat_dmar_free(parse_with_fault(t, offset, why));
}

static void a_single_fault_is_noted_with_its_offset_and_the_rest_is_used(void **state)
{
	struct moat_dmar *d;
	struct table t;

	begin(&t);
	drhd(&t, 1, 0, 0xfed90000);
	finish(&t);
	t.b[9]++;
	assert_tolerated(&t, 9, "checksum is off by 0x01");
	t.b[9]--;
	put(&t, 0, 4);
	assert_tolerated(&t, 4, "4 bytes follow");
	finish(&t); /* the table's length now includes them */
	assert_tolerated(&t, 64, "4 bytes behind the last structure");
	t.len--;
	finish(&t);
	assert_tolerated(&t, 64, "3 bytes behind the last structure");
	t.len -= 3;
	finish(&t);
	t.b[36] = 200;
	t.b[9] -= 200 - 38;
	d = parse_with_fault(&t, 36, "201 bits");
	assert_int_equal(d->haw, 64);
	moat_dmar_free(d);

	begin(&t);
	drhd(&t, 1, 0, 0xfed90000);
	rmrr(&t, 0x2000, 0x1fff);
	finish(&t);
	d = parse_with_fault(&t, 64 + 8, "ends before it begins");
	assert_int_equal(d->nr_rmrrs, 1);
	moat_dmar_free(d);

	begin(&t);
	drhd(&t, 1, 0, 0xfed90000);
	rmrr(&t, 0x2000, 0x2ffe);
	finish(&t);
	assert_tolerated(&t, 64 + 8, "whole pages");

	begin(&t);
	drhd(&t, 1, 0, 0xfed90000);
	drhd(&t, 0, 0, 0xfed91800);
	finish(&t);
	d = parse_with_fault(&t, 64 + 8, "0xfed91800 is left out");
	assert_int_equal(d->nr_units, 1);
	moat_dmar_free(d);

	begin(&t);
	drhd(&t, 1, 0, 0xfed90000);
	structure(&t, 3); /* RHSA, too short */
	put(&t, 0, 8);
	close_structure(&t);
	structure(&t, 6); /* SIDP, after it */
	put(&t, 0, 2);
	put(&t, 1, 2);
	close_structure(&t);
	finish(&t);
	d = parse_with_fault(&t, 64 + 2, "RHSA has 12 bytes, fewer than 20");
	assert_int_equal(d->nr_unknown, 0);
	assert_int_equal(d->nr_sidps, 1);
	assert_int_equal(d->sidp[0].segment, 1);
	moat_dmar_free(d);

	begin(&t);
	drhd(&t, 1, 0, 0xfed90000);
	scope(&t, 1, 0, 0, 1, 2, 0);
	scope(&t, 1, 0, 0, 1, 3, 0);
	t.b[72 + 1] = 0; /* would cause an endless loop */
	finish(&t);
	d = parse_with_fault(&t, 72 + 1, "scope of 0 bytes");
	assert_int_equal(d->unit[0].scopes.n, 1);
	moat_dmar_free(d);
	t.b[72 + 1] = 9;
	finish(&t);
	assert_tolerated(&t, 72 + 1, "scope of 9 bytes");
	t.b[72 + 1] = 10;
	finish(&t);
	assert_tolerated(&t, 72 + 1, "scope of 10 bytes");

	begin(&t);
	drhd(&t, 1, 0, 0xfed90000);
	structure(&t, 4);
	put(&t, 0x4141414141414141, 8);
	close_structure(&t);
	finish(&t);
	d = parse_with_fault(&t, 64 + 8, "ANDD");
	assert_int_equal(d->nr_andds, 0);
	moat_dmar_free(d);
}

/* Cut the table at every byte, and change every byte. Any answer is right unless it crashes; builds
 * with sanitizers check that. */
static void no_table_however_broken_is_read_beyond_its_end(void **state)
{
	struct moat_dmar *d;
	struct table t;

	server_table(&t);
	for (size_t i = 0; i < t.len; i++) {
		for (unsigned int flip = 1; flip < 256; flip <<= 1) {
			uint8_t *copy = malloc(t.len);

			memcpy(copy, t.b, t.len);
			copy[i] ^= flip;
			copy[9] -= copy[i] - t.b[i]; /* keep the checksum right */
			if (moat_dmar_parse(copy, t.len, &d) == 0)
				moat_dmar_free(d);
			free(copy);
		}
	}
	for (size_t len = 0; len < t.len; len++) {
		uint8_t *copy = malloc(len + 1);

		memcpy(copy, t.b, len);
		assert_int_equal(moat_dmar_parse(copy, len, &d), -EBADMSG);
		free(copy);
	}
}

static void a_machine_without_a_table_is_told_so(void **state)
{
	struct moat_dmar *d;
	struct table t;

	make_root();
	assert_int_equal(moat_dmar_load(root, &d), -ENOENT);
	assert_non_null(strstr(moat_error_text(), "no VT-d"));
	server_table(&t);
	write_dmar(&t);
	assert_int_equal(moat_dmar_load(root, &d), 0);
	assert_int_equal(d->nr_units, 3);
	moat_dmar_free(d);
	remove_root();
}

/* -------------------------------------------------------------------- which unit is above it */

static void each_function_finds_its_unit(void **state)
{
	static const struct {
		moat_sid_t sid;
		int unit;
	} c[] = {
		{ MOAT_SID(0, 2, 0), 0 },    /* named by the table */
		{ MOAT_SID(0, 0x1c, 0), 1 }, /* the bridge that the table names */
		{ MOAT_SID(1, 0, 0), 1 },    /* below that bridge */
		{ MOAT_SID(1, 0x10, 0), 1 }, /* virtual functions have their physical one's unit, */
		{ MOAT_SID(2, 0x10, 0), 1 }, /* on other buses, too */
		{ MOAT_SID(4, 1, 0), 2 },    /* not named by any unit */
		{ MOAT_SID(0x77, 0, 0), 2 }, /* does not exist yet */
	};
	struct moat_pci *pci = pci_tree();
	struct moat_dmar *d = server();

	for (unsigned int i = 0; i < RTE_DIM(c); i++)
		assert_int_equal(moat_dmar_unit_of(d, pci, 0, c[i].sid), c[i].unit);
	assert_int_equal(moat_dmar_unit_of(d, pci, 1, MOAT_SID(0, 0, 0)), -ENODEV);
	assert_non_null(strstr(moat_error_text(), "0001:00:00.0"));
	moat_dmar_free(d);
	moat_pci_free(pci);
}

static void reserved_memory_names_its_device_through_two_bridges(void **state)
{
	struct moat_pci *pci = pci_tree();
	struct moat_dmar *d = server();

	assert_ptr_equal(moat_dmar_rmrr_of(d, pci, 0, MOAT_SID(0, 2, 0)), &d->rmrr[0]);
	assert_ptr_equal(moat_dmar_rmrr_of(d, pci, 0, MOAT_SID(4, 1, 0)), &d->rmrr[1]);
	assert_null(moat_dmar_rmrr_of(d, pci, 0, MOAT_SID(1, 0, 0)));
	/* This RMRR names the physical function and does not apply to its virtual functions. */
	d->rmrr[0].scopes.scope[0].bus = 1;
	d->rmrr[0].scopes.scope[0].path = (const uint8_t[]){ 0, 0 };
	assert_ptr_equal(moat_dmar_rmrr_of(d, pci, 0, MOAT_SID(1, 0, 0)), &d->rmrr[0]);
	assert_null(moat_dmar_rmrr_of(d, pci, 0, MOAT_SID(1, 0x10, 0)));
	assert_null(moat_dmar_rmrr_of(d, pci, 1, MOAT_SID(0, 2, 0)));
	moat_dmar_free(d);
	moat_pci_free(pci);
}

static void ats_is_allowed_below_the_ports_of_atsr_and_for_integrated_devices_of_satc(void **state)
{
	struct moat_pci *pci = pci_tree();
	struct moat_dmar *d = server();

	assert_true(moat_dmar_allows_ats(d, pci, 0, MOAT_SID(1, 0, 0)));
	assert_true(moat_dmar_allows_ats(d, pci, 0, MOAT_SID(2, 0x10, 0)));
	assert_true(moat_dmar_allows_ats(d, pci, 0, MOAT_SID(0, 2, 0)));
	assert_false(moat_dmar_allows_ats(d, pci, 0, MOAT_SID(4, 1, 0)));
	d->atsr[0].flag = true; /* ALL_PORTS, but there is a conventional bridge in between */
	assert_false(moat_dmar_allows_ats(d, pci, 0, MOAT_SID(4, 1, 0)));
	moat_dmar_free(d);
	moat_pci_free(pci);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qemus_table_is_one_unit_for_everything),
		cmocka_unit_test(a_servers_table_is_taken_whole_and_the_future_is_skipped),
		cmocka_unit_test(what_cannot_be_told_apart_is_refused_with_its_offset),
		cmocka_unit_test(a_single_fault_is_noted_with_its_offset_and_the_rest_is_used),
		cmocka_unit_test(no_table_however_broken_is_read_beyond_its_end),
		cmocka_unit_test(a_machine_without_a_table_is_told_so),
		cmocka_unit_test(each_function_finds_its_unit),
		cmocka_unit_test(reserved_memory_names_its_device_through_two_bridges),
		cmocka_unit_test(
			ats_is_allowed_below_the_ports_of_atsr_and_for_integrated_devices_of_satc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
