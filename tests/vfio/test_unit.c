/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Which functions can be used, and what a unit reports. With the fake kernel (fake_kernel.h). */

#include "fake_kernel.h"
#include "moat_domain.h"
#include "must.h"

static int up(void **state)
{
	fake_up();
	return 0;
}

static int down(void **state)
{
	fake_down();
	return 0;
}

static void refused(int rc, const char *const words[])
{
	struct moat_unit *unit;
	int got = fake_unit(&unit);

	print_message("# %s\n", moat_error_text());
	assert_int_equal(got, rc);
	for (unsigned int i = 0; words[i] != NULL; i++)
		if (strstr(moat_error_text(), words[i]) == NULL)
			fail_msg("'%s' is not in: %s", words[i], moat_error_text());
}
#define REFUSED(rc, ...) refused(rc, (const char *const[]){ __VA_ARGS__, NULL })

static void widths_and_reserved_regions_are_the_containers(void **state)
{
	struct moat_unit *unit;

	must(fake_unit(&unit));
	assert_int_equal(unit->caps.mgaw, 39);
	assert_int_equal(unit->caps.tables, MOAT_TABLES_UNITS);
	assert_int_equal(unit->caps.cut, MOAT_CUT_MAPS);
	assert_int_equal(unit->caps.nr_reserved, 1);
	assert_int_equal(unit->caps.reserved[0].iova, 0xfee00000);
	assert_int_equal(unit->caps.reserved[0].len, 0x100000);
	unit->ops->destroy(unit);
}

static void a_domain_has_no_iova_in_a_reserved_region(void **state)
{
	struct moat_unit *unit;
	struct moat_domain *domain;
	uint64_t iova;

	must(fake_unit(&unit));
	must(moat_domain_create(unit,
		&(struct moat_domain_conf){ .name = "red",
			.width = 32,
			.iova_base = UINT64_C(0xfec00000) },
		&domain));
	assert_int_equal(moat_iova_reserve(domain->iova, UINT64_C(0xfee00000), MOAT_PAGE_SIZE),
		-EBUSY);
	while (moat_iova_alloc(domain->iova, NULL, MOAT_2M_SIZE / 2, 0, &iova) == 0)
		assert_true(iova + MOAT_2M_SIZE / 2 <= 0xfee00000 || iova >= 0xfef00000);
	must(moat_domain_destroy(domain));
	assert_int_equal(moat_domain_create(unit,
				 &(struct moat_domain_conf){ .name = "wide", .width = 48 },
				 &domain),
		-EINVAL);
	assert_non_null(strstr(moat_error_text(), "39"));
	unit->ops->destroy(unit);
}

static void what_all_functions_can_is_what_the_unit_can(void **state)
{
	struct moat_unit *unit;

	fake.range[1][1] = UINT64_C(0xfffffffff);
	fake.range[2][0] = UINT64_C(0x2000000000);
	fake.range[2][1] = UINT64_C(0x3fffffffff);
	fake.nr_ranges = 3;
	must(fake_unit(&unit));
	assert_int_equal(unit->caps.mgaw, 38);
	assert_int_equal(unit->caps.nr_reserved, 2);
	assert_int_equal(unit->caps.reserved[1].iova, UINT64_C(0x1000000000));
	assert_int_equal(unit->caps.reserved[1].len, UINT64_C(0x1000000000));
	unit->ops->destroy(unit);
}

static void a_function_of_another_driver_is_refused_with_the_command(void **state)
{
	fake_bind("0000:01:10.2", "igb");
	REFUSED(-EBUSY, "0000:01:10.2", "igb", "dpdk-devbind.py --bind=vfio-pci 0000:01:10.2");
	fake_bind("0000:01:10.2", "");
	REFUSED(-EBUSY, "0000:01:10.2", "no driver");
	fake_bind("0000:01:10.2", "novfio-pci");
	REFUSED(-EBUSY, "0000:01:10.2", "novfio-pci");
}

static void a_variant_of_vfio_pci_is_a_vfio_driver(void **state)
{
	static const char *const drivers[] = { "mlx5_vfio_pci", "nvgrace-gpu-vfio-pci" };
	struct moat_unit *unit;

	for (unsigned int i = 0; i < RTE_DIM(drivers); i++) {
		fake_bind("0000:01:10.2", drivers[i]);
		must(fake_unit(&unit));
		unit->ops->destroy(unit);
	}
}

static void a_group_with_other_devices_is_refused_with_their_list(void **state)
{
	struct moat_unit *unit;

	fake_function("0000:01:11.0", 2, "igb", FAKE_NIC);
	fake_function("0000:01:11.1", 2, "snd_hda_intel", FAKE_NIC);
	REFUSED(-EBUSY, "0000:01:10.2", "group 2", "0000:01:11.0 (igb)",
		"0000:01:11.1 (snd_hda_intel)", "dpdk-devbind.py --unbind 0000:01:11");
	fake_bind("0000:01:11.0", "");
	fake_bind("0000:01:11.1",
		"uio_pci_generic"); /* not a VFIO driver: the group is not viable */
	REFUSED(-EBUSY, "0000:01:11.1 (uio_pci_generic)");
	fake_bind("0000:01:11.1", "");
	fake_function("0000:00:01.0", 2, "pcieport", FAKE_BRIDGE); /* makes no requests */
	must(fake_unit(&unit));
	unit->ops->destroy(unit);
	fake_function("0000:00:1f.0", 2, "lpc_ich", "0x060100"); /* an ISA bridge does */
	REFUSED(-EBUSY, "0000:00:1f.0 (lpc_ich)");
}

static void companions_may_be_with_vfio_or_pci_stub_as_the_kernel_has_it(void **state)
{
	static const char *const drivers[] = { "vfio-pci", "ice_vfio_pci", "pci-stub", "" };
	struct moat_unit *unit;

	fake_function("0000:01:11.0", 2, "igb", FAKE_NIC);
	for (unsigned int i = 0; i < RTE_DIM(drivers); i++) {
		fake_bind("0000:01:11.0", drivers[i]);
		must(fake_unit(&unit));
		unit->ops->destroy(unit);
	}
}

static void a_group_that_the_kernel_calls_not_viable_is_refused(void **state)
{
	fake.group[1].viable = false;
	REFUSED(-EBUSY, "0000:01:10.0", "group 1", "not viable");
}

static void no_function_no_iommu_and_no_vfio_are_told_apart(void **state)
{
	fake_run("rm %s/dev/vfio/2", fake.root);
	REFUSED(-ENODEV, "/dev/vfio/2", "modprobe vfio-pci");
	fake_run("rm %s/sys/bus/pci/devices/0000:01:10.2/iommu_group", fake.root);
	REFUSED(-ENODEV, "0000:01:10.2", "intel_iommu=on");
	fake_run("rm -r %s/sys/bus/pci/devices/0000:01:10.2", fake.root);
	REFUSED(-ENODEV, "0000:01:10.2", "sriov_numvfs");
	fake_run("echo vfio-noiommu >%s/sys/kernel/iommu_groups/1/name", fake.root);
	REFUSED(-EOPNOTSUPP, "no-IOMMU");
}

static void a_group_that_is_not_ours_to_open_is_refused_with_the_command(void **state)
{
	bool root = geteuid() == 0;

	fake_run("chmod 0 %s/dev/vfio/1", fake.root);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	REFUSED(-EACCES, "chown", "/dev/vfio/1");
	if (root)
		assert_int_equal(seteuid(0), 0);
}

static void what_the_kernel_refuses_is_said_and_undone(void **state)
{
	fake.fail_request = VFIO_SET_IOMMU;
	fake.fail_with = -EPERM;
	REFUSED(-EPERM, "VFIO_SET_IOMMU", "RMRR");
	fake.fail_request = VFIO_GROUP_SET_CONTAINER;
	fake.fail_with = -EBUSY;
	REFUSED(-EBUSY, "VFIO_GROUP_SET_CONTAINER", "another process");
	fake.fail_request = VFIO_IOMMU_GET_INFO;
	fake.fail_with = -EFAULT;
	REFUSED(-EFAULT, "VFIO_IOMMU_GET_INFO");
	fake.group[2].bound = true;
	REFUSED(-EBUSY, "0000:01:10.2", "another process");
	fake.group[2].bound = false;
	fake.page_sizes = 0x10000;
	REFUSED(-EOPNOTSUPP, "0x10000");
}

static void the_64th_container_is_refused_with_dpdks_limit(void **state)
{
	struct moat_domain *domain[RTE_MAX_VFIO_CONTAINERS];
	struct moat_unit *unit;
	unsigned int n = 0;
	int rc;

	must(fake_unit(&unit));
	fake.fail_container = true;
	assert_int_equal(
		moat_domain_create(unit, &(struct moat_domain_conf){ .name = "d" }, domain),
		-ENODEV);
	assert_non_null(strstr(moat_error_text(), "vfio_iommu_type1"));
	fake.fail_container = false;
	while ((rc = moat_domain_create(unit, &(struct moat_domain_conf){ .name = "d" },
			&domain[n])) == 0)
		assert_true(++n < RTE_MAX_VFIO_CONTAINERS);
	print_message("# %s\n", moat_error_text());
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(n, RTE_MAX_VFIO_CONTAINERS - 1);
	assert_non_null(strstr(moat_error_text(), "RTE_MAX_VFIO_CONTAINERS"));
	while (n-- != 0)
		must(moat_domain_destroy(domain[n]));
	unit->ops->destroy(unit);
}

static void the_kernels_line_about_a_refused_dma_is_understood(void **state)
{
	static const char line[] =
		"4,412,5123,-;DMAR: [DMA Write NO_PASID] Request device [01:10.2] "
		"fault addr 0x41003000 [fault reason 0x05] PTE Write access is not set";
	struct moat_fault fault;

	assert_true(moat_vfio_parse_fault(line, &fault));
	assert_int_equal(fault.sid, MOAT_SID(1, 0x10, 2));
	assert_int_equal(fault.iova, 0x41003000);
	assert_int_equal(fault.reason, 5);
	assert_true(fault.write);
	assert_true(moat_vfio_parse_fault(
		"DMAR: [DMA Read NO_PASID] Request device [01:10.0] fault addr "
		"0xfff [fault reason 0x06] PTE Read access is not set",
		&fault));
	assert_false(fault.write);
	assert_int_equal(fault.iova, 0);
	assert_false(moat_vfio_parse_fault("DMAR: DRHD: handling fault status reg 2", &fault));
	assert_false(moat_vfio_parse_fault("DMAR: [DMA Read] Request device [zz", &fault));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)
	const struct CMUnitTest tests[] = {
		TEST(widths_and_reserved_regions_are_the_containers),
		TEST(a_domain_has_no_iova_in_a_reserved_region),
		TEST(what_all_functions_can_is_what_the_unit_can),
		TEST(a_function_of_another_driver_is_refused_with_the_command),
		TEST(a_variant_of_vfio_pci_is_a_vfio_driver),
		TEST(companions_may_be_with_vfio_or_pci_stub_as_the_kernel_has_it),
		TEST(a_group_with_other_devices_is_refused_with_their_list),
		TEST(a_group_that_the_kernel_calls_not_viable_is_refused),
		TEST(no_function_no_iommu_and_no_vfio_are_told_apart),
		TEST(a_group_that_is_not_ours_to_open_is_refused_with_the_command),
		TEST(what_the_kernel_refuses_is_said_and_undone),
		TEST(the_64th_container_is_refused_with_dpdks_limit),
		TEST(the_kernels_line_about_a_refused_dma_is_understood),
	};

	return cmocka_run_group_tests_name("vfio unit", tests, NULL, NULL);
}
