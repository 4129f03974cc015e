/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* What prevents blocking of interrupts at a unit, in a folder that stands for the machine. */

#include <errno.h>

#include "fake_machine.h"
#include "moat_vtd_obstacles.h"

#define NIC   MOAT_SID(3, 0, 0)
#define DISK  MOAT_SID(0, 4, 0)
#define OLD   MOAT_SID(0, 5, 0)
#define PORT  MOAT_SID(0, 3, 0)
#define OTHER MOAT_SID(7, 0, 0)

static struct moat_vtd_obstacle list[8];
static unsigned int room = 8; /* in `list`, for look() */

static void file(const char *path, const char *text)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "mkdir -p $(dirname %s/%s) && printf '%s\n' > %s/%s", root, path,
		text, root, path);
	assert_int_equal(system(cmd), 0);
}

static void driver(const char *function, const char *name)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd),
		"ln -s ../../../bus/pci/drivers/%s %s/sys/bus/pci/devices/%s/driver", name, root,
		function);
	assert_int_equal(system(cmd), 0);
}

/* Unit 0 has only bus 7. Unit 1 has the rest and, where asked for, an I/O APIC and an HPET. */
static unsigned int look(unsigned int unit, bool apics, const moat_sid_t tenant[], unsigned int n)
{
	struct moat_dmar *dmar;
	struct moat_pci *pci;
	struct table t;
	unsigned int ret;

	begin(&t);
	drhd(&t, 0, 0, 0xfed90000);
	scope(&t, MOAT_DMAR_ENDPOINT, 0, 7, 1, 0, 0);
	drhd(&t, 1, 0, 0xfed91000);
	if (apics) {
		scope(&t, MOAT_DMAR_IOAPIC, 2, 0xf0, 1, 0x1f, 0);
		scope(&t, MOAT_DMAR_HPET, 0, 0, 1, 0xf, 0);
	}
	finish(&t);
	assert_int_equal(moat_dmar_parse(t.b, t.len, &dmar), 0);
	assert_int_equal(moat_pci_scan(root, &pci), 0);
	ret = moat_vtd_obstacles(root, dmar, pci, unit, tenant, n, list, room);
	moat_pci_free(pci);
	moat_dmar_free(dmar);
	return ret;
}

static int setup(void **state)
{
	(void)state;
	make_root();
	function(0, NIC, MOAT_PCI_ENDPOINT, 0, 0);
	function(0, DISK, MOAT_PCI_ENDPOINT, 0, 0);
	function(0, OLD, MOAT_PCI_CONVENTIONAL, 0, 0);
	function(0, PORT, MOAT_PCI_ROOT_PORT, 3, 3);
	function(0, OTHER, MOAT_PCI_ENDPOINT, 0, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_root();
	return 0;
}

#define OTHER_UNIT "use functions behind another unit for tenants"
#define FIRMWARES  OTHER_UNIT ": firmware decides what is behind this one"

static void says(const struct moat_vtd_obstacle *o, const char *what, const char *remedy)
{
	char text[256];

	moat_vtd_obstacle_text(o, text, sizeof(text));
	assert_string_equal(text, what);
	moat_vtd_obstacle_remedy(o, text, sizeof(text));
	assert_string_equal(text, remedy);
}

static void a_unit_with_nothing_of_the_kernels_has_none(void **state)
{
	(void)state;
	driver("0000:00:05.0", "uhci_hcd"); /* has a line, but no handler */
	file("sys/bus/pci/devices/0000:00:05.0/irq", "16");
	assert_int_equal(look(1, false, NULL, 0), 0);
	assert_int_equal(look(0, true, NULL, 0), 0);
	file("proc/interrupts",
		"     CPU0\n   1:  16  IO-APIC  1-edge  i8042\n 160:  16  PCI-MSI  16-edge  16:");
	assert_int_equal(look(1, false, NULL, 0), 0);
}

/* vfio-pci's handler of the line is for the tenant. */
static void a_line_of_a_driver_that_serves_users_is_not_the_kernels(void **state)
{
	(void)state;
	driver("0000:00:05.0", "vfio-pci");
	file("sys/bus/pci/devices/0000:00:05.0/irq", "16");
	file("proc/interrupts", "     CPU0\n  16:  5  IO-APIC  16-fasteoi  vfio-intx");
	assert_int_equal(look(1, false, NULL, 0), 0);
}

static void those_that_there_is_no_room_for_are_counted(void **state)
{
	(void)state;
	file("sys/bus/pci/devices/0000:00:04.0/msi_irqs/30", "msi");
	file("sys/bus/pci/devices/0000:03:00.0/msi_irqs/31", "msi");
	memset(list, 0, sizeof(list));
	room = 1;
	assert_int_equal(look(1, false, NULL, 0), 2);
	room = 8;
	assert_int_equal(list[0].sid, DISK);
	assert_int_equal(list[1].sid, 0);
}

/* The kernel may remove the files of vectors while they are read. */
static void vectors_that_cannot_be_read_leave_the_kind_of_the_others(void **state)
{
	(void)state;
	file("sys/bus/pci/devices/0000:00:04.0/msi_irqs/30", "msix");
	for (unsigned int vector = 41; vector <= 49; vector++) {
		char path[64];

		snprintf(path, sizeof(path), "sys/bus/pci/devices/0000:00:04.0/msi_irqs/%u",
			vector);
		file(path, "");
	}
	assert_int_equal(look(1, false, NULL, 0), 1);
	assert_int_equal(list[0].kind, MOAT_VTD_OBSTACLE_MSIX);
	assert_int_equal(list[0].vectors, 10);
}

static void functions_that_interrupt_are_named_with_what_to_do(void **state)
{
	(void)state;
	driver("0000:00:04.0", "nvme");
	file("sys/bus/pci/devices/0000:00:04.0/msi_irqs/30", "msix");
	file("sys/bus/pci/devices/0000:00:04.0/msi_irqs/31", "msix");
	driver("0000:00:03.0", "pcieport");
	file("sys/bus/pci/devices/0000:00:03.0/msi_irqs/29", "msi");
	driver("0000:00:05.0", "uhci_hcd");
	file("sys/bus/pci/devices/0000:00:05.0/irq", "16");
	file("proc/interrupts", "     CPU0\n  16:  5  IO-APIC  16-fasteoi  uhci_hcd:usb1");
	assert_int_equal(look(1, false, NULL, 0), 3);
	says(&list[0], "0000:00:03.0 (pcieport) has 1 MSI vector in use",
		"boot with pcie_ports=compat: the kernel then uses neither the port's MSI nor its hot "
		"plug and error reports");
	says(&list[1], "0000:00:04.0 (nvme) has 2 MSI-X vectors in use",
		"unbind it from nvme, or " OTHER_UNIT);
	says(&list[2], "0000:00:05.0 (uhci_hcd) has legacy line 16 in use",
		"unbind it from uhci_hcd, or " OTHER_UNIT);
	assert_int_equal(look(0, false, NULL, 0), 0); /* behind another unit they prevent nothing */
}

/* A line of /proc/interrupts has a count for each processor: 5.6 KB for 512 processors. */
static void interrupts_of_many_processors_are_read_to_their_chip(void **state)
{
	char path[128];
	FILE *f;

	(void)state;
	driver("0000:00:05.0", "uhci_hcd");
	file("sys/bus/pci/devices/0000:00:05.0/irq", "17");
	file("proc/interrupts", "");
	snprintf(path, sizeof(path), "%s/proc/interrupts", root);
	for (unsigned int remapped = 0; remapped < 2; remapped++) {
		f = fopen(path, "w");
		assert_non_null(f);
		fprintf(f, "  16:");
		for (unsigned int cpu = 0; cpu < 512; cpu++)
			fprintf(f, "%11d", 17);
		fprintf(f, "  %sIO-APIC  17:fasteoi  IR-remote\n", remapped ? "IR-" : "");
		fclose(f);
		assert_int_equal(moat_vtd_kernel_remaps(root), remapped);
		assert_int_equal(look(1, false, NULL, 0), 0); /* 16 is not 17 */
	}
}

static void tenants_are_no_obstacles(void **state)
{
	const moat_sid_t nic = NIC;

	(void)state;
	file("sys/bus/pci/devices/0000:03:00.0/msi_irqs/30", "msix");
	assert_int_equal(look(1, false, NULL, 0), 1);
	says(&list[0], "0000:03:00.0 (no driver) has 1 MSI-X vector in use",
		"unbind it from its user, or " OTHER_UNIT);
	assert_int_equal(look(1, false, &nic, 1), 0);
}

static void io_apics_and_hpets_of_the_scope_are_named(void **state)
{
	(void)state;
	assert_int_equal(look(1, true, NULL, 0), 2);
	assert_int_equal(list[0].sid, MOAT_SID(0xf0, 0x1f, 0));
	says(&list[0], "I/O APIC 2 is in the unit's scope", FIRMWARES);
	says(&list[1], "HPET 0 is in the unit's scope", FIRMWARES);
}

static void an_ir_chip_shows_that_the_kernel_remaps(void **state)
{
	(void)state;
	assert_int_equal(moat_vtd_kernel_remaps(root), -ENOENT);
	file("proc/interrupts", "     CPU0\n  24:  5  PCI-MSIX-0000:03:00.0  0-edge  IR-eth0");
	assert_int_equal(moat_vtd_kernel_remaps(root), 0);
	file("proc/interrupts", "     CPU0\n  24:  5  IR-PCI-MSIX-0000:03:00.0  0-edge  eth0");
	assert_int_equal(moat_vtd_kernel_remaps(root), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_unit_with_nothing_of_the_kernels_has_none, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_line_of_a_driver_that_serves_users_is_not_the_kernels, setup, teardown),
		cmocka_unit_test_setup_teardown(those_that_there_is_no_room_for_are_counted, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			vectors_that_cannot_be_read_leave_the_kind_of_the_others, setup, teardown),
		cmocka_unit_test_setup_teardown(functions_that_interrupt_are_named_with_what_to_do,
			setup, teardown),
		cmocka_unit_test_setup_teardown(
			interrupts_of_many_processors_are_read_to_their_chip, setup, teardown),
		cmocka_unit_test_setup_teardown(tenants_are_no_obstacles, setup, teardown),
		cmocka_unit_test_setup_teardown(io_apics_and_hpets_of_the_scope_are_named, setup,
			teardown),
		cmocka_unit_test_setup_teardown(an_ir_chip_shows_that_the_kernel_remaps, setup,
			teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
