/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Owning a machine's unit, up to the moment of taking it over: which functions may be tenants, and
 * the texts for those that may not. In a folder that stands for the machine; tests/qemu/test_host.c
 * continues in a guest. */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "fake_machine.h"
#include "moat_vtd_host.h"

static int machine(void **state)
{
	struct table t;

	make_root();
	make_pci_tree();
	server_table(&t);
	write_dmar(&t);
	return 0;
}

static int no_machine(void **state)
{
	remove_root();
	return 0;
}

static void assert_refused(int unit, moat_sid_t tenant, int err, const char *says)
{
	const struct moat_vtd_host_conf conf = { .root = root,
		.unit = unit,
		.tenant = &tenant,
		.nr_tenants = 1 };
	struct moat_unit *u;

	assert_int_equal(moat_vtd_host_create(&conf, &u), err);
	if (strstr(moat_error_text(), says) == NULL)
		fail_msg("'%s' not in: %s", says, moat_error_text());
}

/* Makes /dev/mem, a sparse file, with 64 bytes at the registers of the unit that serves the NIC. */
static void make_dev_mem(const void *registers)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/dev", root);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/dev/mem", root);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 0xc8001000), 0);
	assert_int_equal(pwrite(fd, registers, 64, 0xc8000000), 64);
	close(fd);
}

static void a_tenant_with_reserved_memory_is_refused_with_the_range(void **state)
{
	assert_refused(-1, MOAT_SID(0, 2, 0), -EPERM, "RMRR");
	assert_refused(-1, MOAT_SID(4, 1, 0), -EPERM, "0x7c000000 to 0x7c000fff");
}

static void a_tenant_of_another_unit_is_refused_with_its_unit(void **state)
{
	assert_refused(2, MOAT_SID(1, 0, 0), -ENODEV,
		"0000:01:00.0 is behind unit dmar1, not dmar2");
	assert_refused(3, MOAT_SID(1, 0, 0), -ENODEV, "no unit dmar3: the DMAR table has 3");
}

static void a_tenant_with_a_driver_of_the_kernels_is_refused_with_what_to_do(void **state)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:01:00.0/driver", root);
	assert_int_equal(symlink("../../../../bus/pci/drivers/igb", path), 0);
	assert_refused(-1, MOAT_SID(1, 0, 0), -EBUSY,
		"0000:01:00.0 is the kernel's: its driver igb would");
	assert_non_null(strstr(moat_error_text(), "--bind=uio_pci_generic 0000:01:00.0"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("../../../../bus/pci/drivers/uio_pci_generic", path), 0);
	assert_refused(-1, MOAT_SID(1, 0, 0), -EACCES, "/dev/mem"); /* /dev/mem was not the cause */
}

/** @return a function's command register; `value` >= 0 is written first */
static uint16_t command_of(const char *bdf, int value)
{
	uint16_t command = (uint16_t)value;
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/config", root, bdf);
	f = fopen(path, "r+b");
	assert_non_null(f);
	assert_int_equal(fseek(f, 4, SEEK_SET), 0);
	if (value >= 0)
		assert_int_equal(fwrite(&command, 2, 1, f), 1);
	assert_int_equal(fseek(f, 4, SEEK_SET), 0);
	assert_int_equal(fread(&command, 2, 1, f), 1);
	fclose(f);
	return command;
}

static void a_function_is_told_to_start_no_more_dma(void **state)
{
	const struct moat_pci_fn *fn;
	struct moat_pci *pci;
	char path[256];

	assert_int_equal(command_of("0000:01:00.0", 0x0406), 0x0406);
	assert_int_equal(moat_pci_scan(root, &pci), 0);
	fn = moat_pci_find(pci, 0, MOAT_SID(1, 0, 0));
	assert_non_null(fn);
	assert_int_equal(moat_pci_quiet(root, fn), 0);
	assert_int_equal(command_of("0000:01:00.0", -1), 0x0402);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:01:00.0/config", root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(moat_pci_quiet(root, fn), -EACCES);
	assert_non_null(strstr(moat_error_text(), path));
	moat_pci_free(pci);
}

static void registers_that_cannot_be_mapped_are_explained(void **state)
{
	assert_refused(-1, MOAT_SID(1, 0, 0), -EACCES, "/dev/mem");
}

static void an_address_with_no_unit_is_told(void **state)
{
	static const uint8_t zero[64];

	make_dev_mem(zero);
	assert_refused(-1, MOAT_SID(1, 0, 0), -ENODEV, "VER reads 0x0");
	assert_refused(1, MOAT_SID(1, 0x10, 0), -ENODEV, "VER reads 0x0");
}

static void registers_are_read_where_the_table_says(void **state)
{
	uint32_t registers[16] = { 0x10 };
	struct moat_dmar_unit unit = { .base = 0xc8000000, .size = 4096 };
	struct moat_vtd_window window;

	make_dev_mem(registers);
	assert_int_equal(moat_vtd_host_map(root, &unit, &window), 0);
	assert_int_equal(vtd_read32(&window, VTD_VER), 0x10);
	moat_vtd_host_unmap(&unit, &window);
}

static void memory_that_may_move_has_no_address(void **state)
{
	static _Alignas(4096) char memory[8192] = { 1 };
	uint64_t hpa;
	int ret = moat_vtd_host_hpa(memory, sizeof(memory), &hpa);

	/* -EPERM: physical addresses are hidden from this user, and the message says so */
	assert_true(ret == -EFAULT || ret == -EPERM);
	assert_non_null(strstr(moat_error_text(), ret == -EPERM ? "root" : "va 0x"));
	assert_true(moat_vtd_host_hpa(memory, 0, &hpa) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_tenant_with_reserved_memory_is_refused_with_the_range, machine,
			no_machine),
		cmocka_unit_test_setup_teardown(a_tenant_of_another_unit_is_refused_with_its_unit,
			machine, no_machine),
		cmocka_unit_test_setup_teardown(
			a_tenant_with_a_driver_of_the_kernels_is_refused_with_what_to_do, machine,
			no_machine),
		cmocka_unit_test_setup_teardown(a_function_is_told_to_start_no_more_dma, machine,
			no_machine),
		cmocka_unit_test_setup_teardown(registers_that_cannot_be_mapped_are_explained,
			machine, no_machine),
		cmocka_unit_test_setup_teardown(an_address_with_no_unit_is_told, machine,
			no_machine),
		cmocka_unit_test_setup_teardown(registers_are_read_where_the_table_says, machine,
			no_machine),
		cmocka_unit_test(memory_that_may_move_has_no_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
