/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The path of requests: source-ids that bridges substitute, peers that reach each other, and paths.
 * In a folder that stands for the machine. */

#include <errno.h>

#include "fake_machine.h"

static void bridges_speak_for_conventional_functions(void **state)
{
	struct moat_pci *pci = pci_tree();
	moat_sid_t a[4];

	assert_int_equal(moat_pci_aliases(pci, 0, MOAT_SID(1, 0, 0), a, 4), 1);
	assert_int_equal(a[0], MOAT_SID(1, 0, 0));
	/* A PCI Express to PCI bridge uses its secondary bus and device 0. */
	assert_int_equal(moat_pci_aliases(pci, 0, MOAT_SID(4, 1, 0), a, 4), 2);
	assert_int_equal(a[1], MOAT_SID(4, 0, 0));
	/* A conventional bridge uses its own source-id; further up the other bridge adds its
	 * own. */
	assert_int_equal(moat_pci_aliases(pci, 0, MOAT_SID(5, 0, 0), a, 4), 3);
	assert_int_equal(a[1], MOAT_SID(4, 2, 0));
	assert_int_equal(a[2], MOAT_SID(4, 0, 0));
	a[2] = 0xffff;
	assert_int_equal(moat_pci_aliases(pci, 0, MOAT_SID(5, 0, 0), a, 2), 3); /* room for two */
	assert_int_equal(a[2], 0xffff);
	assert_int_equal(moat_pci_aliases(pci, 0, MOAT_SID(6, 3, 0), a, 4), 2);
	assert_int_equal(a[1], MOAT_SID(0, 0x1e, 0));
	moat_pci_free(pci);
}

/* Root ports 00:03.0 and 00:04.0. Below the first there is switch 07:00.0 with two ports: one has a
 * two-port NIC, the other a single function. Below the second there is a single function. */
static void make_switch(void)
{
	function(0, MOAT_SID(0, 3, 0), MOAT_PCI_ROOT_PORT, 7, 10);
	function(0, MOAT_SID(7, 0, 0), MOAT_PCI_UPSTREAM, 8, 10);
	function(0, MOAT_SID(8, 0, 0), MOAT_PCI_DOWNSTREAM, 9, 9);
	function(0, MOAT_SID(8, 1, 0), MOAT_PCI_DOWNSTREAM, 10, 10);
	function(0, MOAT_SID(9, 0, 0), MOAT_PCI_ENDPOINT, 0, 0);
	function(0, MOAT_SID(9, 0, 1), MOAT_PCI_ENDPOINT, 0, 0);
	function(0, MOAT_SID(10, 0, 0), MOAT_PCI_ENDPOINT, 0, 0);
	function(0, MOAT_SID(0, 4, 0), MOAT_PCI_ROOT_PORT, 11, 11);
	function(0, MOAT_SID(11, 0, 0), MOAT_PCI_ENDPOINT, 0, 0);
}

static int isolated(moat_sid_t a, moat_sid_t b)
{
	struct moat_pci *pci;
	int ret;

	assert_int_equal(moat_pci_scan(root, &pci), 0);
	ret = moat_pci_isolated(pci, 0, b, a);
	assert_int_equal(moat_pci_isolated(pci, 0, a, b), ret); /* in both orders */
	moat_pci_free(pci);
	return ret;
}

static void functions_are_isolated_if_acs_sends_all_their_requests_to_the_unit(void **state)
{
	const moat_sid_t nic = MOAT_SID(9, 0, 0), nic2 = MOAT_SID(9, 0, 1),
			 peer = MOAT_SID(10, 0, 0);
	const moat_sid_t far = MOAT_SID(11, 0, 0);

	make_root();
	make_switch();
	assert_int_equal(isolated(nic, far), 0); /* the root complex separates two root ports */
	assert_int_equal(isolated(nic, peer), -EPERM);
	acs(MOAT_SID(0, 3, 0), 0x1f, 0x1d);
	/* the switch itself routes peer-to-peer requests */
	assert_int_equal(isolated(nic, peer), -EPERM);
	assert_non_null(strstr(moat_error_text(), "bridge 0000:08:00.0"));
	acs(MOAT_SID(8, 0, 0), 0x1f, 0x1d);
	assert_int_equal(isolated(nic, peer), -EPERM); /* the other may still send */
	assert_non_null(strstr(moat_error_text(), "bridge 0000:08:01.0"));
	acs(MOAT_SID(8, 1, 0), 0x1f, 0x1d);
	assert_int_equal(isolated(nic, peer), 0);
	acs(MOAT_SID(0, 3, 0), 0x1f, 0x0d); /* UF: redirected requests must go upstream */
	assert_int_equal(isolated(nic, peer), -EPERM);
	assert_non_null(strstr(moat_error_text(), "bridge 0000:00:03.0"));
	assert_int_equal(isolated(nic, far), 0);
	acs(MOAT_SID(0, 3, 0), 0x1f, 0x1d);
	assert_int_equal(isolated(nic, nic2), -EPERM);
	assert_non_null(strstr(moat_error_text(), "0000:09:00.0 is one of several functions"));
	acs(nic, 0x0c, 0x0c); /* functions have no SV and UF */
	assert_int_equal(isolated(nic, nic2), -EPERM);
	assert_non_null(strstr(moat_error_text(), "0000:09:00.1 is one of several functions"));
	acs(nic2, 0x0c, 0x04);
	assert_int_equal(isolated(nic, nic2), -EPERM);
	acs(nic2, 0x0c, 0x0c);
	assert_int_equal(isolated(nic, nic2), 0);
	assert_int_equal(isolated(nic, nic), 0);
	/* A second function in the slot of a root port: the ports are functions of one device,
	 * too. */
	function(0, MOAT_SID(0, 4, 1), MOAT_PCI_ROOT_PORT, 12, 12);
	function(0, MOAT_SID(12, 0, 0), MOAT_PCI_ENDPOINT, 0, 0);
	acs(MOAT_SID(0, 4, 0), 0x1f, 0x1d);
	assert_int_equal(isolated(far, MOAT_SID(12, 0, 0)), -EPERM);
	assert_non_null(strstr(moat_error_text(), "0000:00:04.1 is one of several functions"));
	acs(MOAT_SID(0, 4, 1), 0x1f, 0x1d);
	assert_int_equal(isolated(far, MOAT_SID(12, 0, 0)), 0);
	remove_root();
}

/* Below a port there is only one device: with ARI its ninth function has the number of device 1. */
static void functions_of_one_ari_device_are_siblings_whatever_their_numbers(void **state)
{
	const moat_sid_t first = MOAT_SID(0x30, 0, 0), ninth = MOAT_SID(0x30, 1, 0);

	make_root();
	function(0, MOAT_SID(0, 5, 0), MOAT_PCI_ROOT_PORT, 0x30, 0x30);
	function(0, first, MOAT_PCI_ENDPOINT, 0, 0);
	function(0, ninth, MOAT_PCI_ENDPOINT, 0, 0);
	acs(MOAT_SID(0, 5, 0), 0x1f, 0x1d);
	assert_int_equal(isolated(first, ninth), -EPERM);
	assert_non_null(strstr(moat_error_text(), "is one of several functions"));
	acs(first, 0x0c, 0x0c);
	assert_int_equal(isolated(first, ninth), -EPERM);
	acs(ninth, 0x0c, 0x0c);
	assert_int_equal(isolated(first, ninth), 0);
	/* In the root complex, another number is another device. */
	function(0, MOAT_SID(0, 6, 0), MOAT_PCI_ENDPOINT, 0, 0);
	function(0, MOAT_SID(0, 7, 0), MOAT_PCI_ENDPOINT, 0, 0);
	assert_int_equal(isolated(MOAT_SID(0, 6, 0), MOAT_SID(0, 7, 0)), 0);
	remove_root();
}

static void config16_is(moat_sid_t sid, long at, uint16_t value)
{
	FILE *f = config_of(0, sid);

	fseek(f, at, SEEK_SET);
	assert_int_equal(fwrite(&value, 2, 1, f), 1);
	fclose(f);
}

static void some_devices_borrow_the_number_of_another_function(void **state)
{
	const moat_sid_t disk = MOAT_SID(0x31, 0, 0), bridge = MOAT_SID(0x32, 0, 0),
			 old = MOAT_SID(0x33, 2, 0);
	struct moat_pci *pci;
	moat_sid_t a[4];

	make_root();
	function(0, MOAT_SID(0, 5, 0), MOAT_PCI_ROOT_PORT, 0x31, 0x31);
	function(0, disk, MOAT_PCI_ENDPOINT, 0, 0);
	config16_is(disk, 0, 0x1b4b);
	config16_is(disk, 2, 0x9230);
	/* Some PCI Express to PCI bridges lack the PCI Express capability. */
	function(0, MOAT_SID(0, 6, 0), MOAT_PCI_ROOT_PORT, 0x32, 0x33);
	function(0, bridge, MOAT_PCI_CONVENTIONAL, 0x33, 0x33);
	function(0, old, MOAT_PCI_CONVENTIONAL, 0, 0);
	config16_is(bridge, 0, 0x1b21);
	config16_is(bridge, 2, 0x1080);
	assert_int_equal(moat_pci_scan(root, &pci), 0);
	assert_int_equal(moat_pci_aliases(pci, 0, disk, a, 4), 2);
	assert_int_equal(a[0], disk);
	assert_int_equal(a[1], MOAT_SID(0x31, 0, 1));
	a[1] = 0xffff;
	assert_int_equal(moat_pci_aliases(pci, 0, disk, a, 1), 2);
	assert_int_equal(a[1], 0xffff);
	assert_int_equal(moat_pci_aliases(pci, 0, old, a, 4), 2);
	assert_int_equal(a[1], MOAT_SID(0x33, 0, 0));
	moat_pci_free(pci);
	remove_root();
}

/* Capability and control in 32 bits each: from 0x144 and 0x148 on. */
static void a_pchs_root_ports_have_their_acs_control_behind_32_bits_of_capability(void **state)
{
	const moat_sid_t port = MOAT_SID(0, 0x1c, 0), a = MOAT_SID(0x21, 0, 0),
			 b = MOAT_SID(0x22, 0, 0);
	struct moat_pci_acs_change change[4];
	struct moat_pci *pci;

	make_root();
	function(0, port, MOAT_PCI_ROOT_PORT, 0x20, 0x22);
	function(0, MOAT_SID(0x20, 0, 0), MOAT_PCI_DOWNSTREAM, 0x21, 0x21);
	function(0, MOAT_SID(0x20, 1, 0), MOAT_PCI_DOWNSTREAM, 0x22, 0x22);
	function(0, a, MOAT_PCI_ENDPOINT, 0, 0);
	function(0, b, MOAT_PCI_ENDPOINT, 0, 0);
	acs(MOAT_SID(0x20, 0, 0), 0x1f, 0x1d);
	acs(MOAT_SID(0x20, 1, 0), 0x1f, 0x1d);
	config16_is(port, 2, 0xa110); /* the device id */
	acs(port, 0x1f, 0x00);        /* 0x146 is the capability's upper half here */
	config16_is(port, 0x148, 0);
	assert_int_equal(isolated(a, b), -EPERM);

	assert_int_equal(moat_pci_scan(root, &pci), 0);
	assert_true(moat_pci_acs_is_wide(moat_pci_find(pci, 0, port)));
	assert_false(moat_pci_acs_is_wide(moat_pci_find(pci, 0, MOAT_SID(0x20, 0, 0))));
	assert_int_equal(moat_pci_acs_enable(root, pci, 0, a, change, 4), 1);
	assert_int_equal(config16(port, 0x146), 0);
	assert_int_equal(config16(port, 0x148), 0x1d);
	assert_int_equal(isolated(a, b), 0);
	moat_pci_acs_restore(root, 0, &change[0]);
	assert_int_equal(config16(port, 0x148), 0);
	moat_pci_free(pci);
	remove_root();
}

static void functions_on_a_conventional_bus_or_slot_are_never_isolated(void **state)
{
	make_root();
	make_pci_tree();
	function(0, MOAT_SID(0, 2, 1), MOAT_PCI_CONVENTIONAL, 0, 0);
	assert_int_equal(isolated(MOAT_SID(0, 2, 0), MOAT_SID(0, 2, 1)), -EPERM);
	assert_int_equal(isolated(MOAT_SID(4, 1, 0), MOAT_SID(5, 0, 0)), -EPERM);
	assert_int_equal(isolated(MOAT_SID(4, 1, 0), MOAT_SID(6, 3, 0)), 0);
	assert_int_equal(isolated(MOAT_SID(0, 2, 0), MOAT_SID(6, 3, 0)), 0);
	remove_root();
}

static void an_acs_list_that_is_a_circle_or_ends_early_ends(void **state)
{
	const uint8_t circle[4] = { 0x01, 0x00, 0x01, 0x10 };
	struct moat_pci *pci;
	FILE *f;

	make_root();
	function(0, MOAT_SID(1, 0, 0), MOAT_PCI_ENDPOINT, 0, 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(moat_pci_scan(root, &pci), 0);
		assert_int_equal(moat_pci_find(pci, 0, MOAT_SID(1, 0, 0))->acs, 0);
		moat_pci_free(pci);
		f = config_of(0, MOAT_SID(1, 0, 0));
		fseek(f, 0x100, SEEK_SET);
		assert_int_equal(fwrite(circle, 1, 4, f), 4);
		fclose(f);
	}
	remove_root();
}

static void a_path_ends_where_bridges_lead_or_nowhere(void **state)
{
	const uint8_t path[] = { 0x1d, 0, 0, 0, 1, 0 }, off[] = { 2, 0, 0, 0 },
		      wild[] = { 0x20, 0 };
	struct moat_pci *pci = pci_tree();

	assert_int_equal(moat_pci_follow(pci, 0, 0, path, 3)->sid, MOAT_SID(4, 1, 0));
	assert_int_equal(moat_pci_follow(pci, 0, 0, path, 2)->sid, MOAT_SID(3, 0, 0));
	assert_null(moat_pci_follow(pci, 0, 0, off, 2)); /* not through a bridge */
	assert_null(moat_pci_follow(pci, 0, 0, wild, 1));
	assert_null(moat_pci_follow(pci, 0, 9, path, 1));
	moat_pci_free(pci);
}

static void this_machines_functions_can_be_scanned(void **state)
{
	struct moat_pci *pci;

	if (access("/sys/bus/pci/devices", R_OK) != 0) {
		print_message("# skipped: no /sys/bus/pci/devices here\n");
		return;
	}
	assert_int_equal(moat_pci_scan(NULL, &pci), 0);
	for (unsigned int i = 0; i < pci->n; i++)
		assert_ptr_equal(moat_pci_find(pci, pci->fn[i].segment, pci->fn[i].sid),
			&pci->fn[i]);
	moat_pci_free(pci);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bridges_speak_for_conventional_functions),
		cmocka_unit_test(
			functions_are_isolated_if_acs_sends_all_their_requests_to_the_unit),
		cmocka_unit_test(
			a_pchs_root_ports_have_their_acs_control_behind_32_bits_of_capability),
		cmocka_unit_test(functions_of_one_ari_device_are_siblings_whatever_their_numbers),
		cmocka_unit_test(some_devices_borrow_the_number_of_another_function),
		cmocka_unit_test(functions_on_a_conventional_bus_or_slot_are_never_isolated),
		cmocka_unit_test(an_acs_list_that_is_a_circle_or_ends_early_ends),
		cmocka_unit_test(a_path_ends_where_bridges_lead_or_nowhere),
		cmocka_unit_test(this_machines_functions_can_be_scanned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
