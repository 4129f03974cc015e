/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A PMD whose device does DMA while it is probed, as iavf's does for its admin queue. The PMD of
 * this test is for QEMU's "edu" device, and reserves its memory as those PMDs do. Runs in the lab's
 * guest, booted with intel_iommu=on, with the device bound to vfio-pci. */

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <bus_pci_driver.h>
#include <rte_dev.h>
#include <rte_memzone.h>

#include "moat_device.h"
#include "moat_vfio.h"
#include "must.h"
#include "node.h"

/* ----------------------------------------------------------------------------- the PMD */

#define HALF       1024
#define PATIENCE_S 60

static struct {
	rte_iova_t iova; /* of its memory */
	uint64_t len;
	int socket;
} reserved;
static const struct rte_memzone *admin;

/** The device reads the first half of the memory and writes it into the second. */
static int edu_probe(struct rte_pci_driver *driver, struct rte_pci_device *dev)
{
	const struct edu edu = { .bar = dev->mem_resource[0].addr };
	uint8_t *bytes;

	admin = rte_memzone_reserve_bounded("edu_admin_queue", 2 * HALF, SOCKET_ID_ANY,
		RTE_MEMZONE_IOVA_CONTIG, 64, RTE_PGSIZE_2M);
	if (admin == NULL)
		return -ENOMEM;
	reserved.iova = admin->iova;
	reserved.len = admin->len;
	reserved.socket = admin->socket_id;
	bytes = admin->addr;
	for (unsigned int i = 0; i < HALF; i++)
		bytes[i] = (uint8_t)(i * 7 + 3);
	memset(bytes + HALF, 0, HALF);
	edu_read(&edu, admin->iova, HALF);
	edu_write(&edu, admin->iova + HALF, HALF);
	if (memcmp(bytes, bytes + HALF, HALF) == 0)
		return 0;
	rte_memzone_free(admin);
	return -EIO; /* "admin queue command failed" */
}

static int edu_remove(struct rte_pci_device *dev)
{
	return rte_memzone_free(admin);
}

static const struct rte_pci_id edu_ids[] = { { RTE_PCI_DEVICE(0x1234, 0x11e8) },
	{ .vendor_id = 0 } };

static struct rte_pci_driver edu_driver = {
	.id_table = edu_ids,
	.drv_flags = RTE_PCI_DRV_NEED_MAPPING,
	.probe = edu_probe,
	.remove = edu_remove,
};
RTE_PMD_REGISTER_PCI(edu_double, edu_driver);

/* ----------------------------------------------------------------------------- the tests */

static struct moat_unit *unit;
static struct moat_tenant *tenant;
static const char *bdf;
static moat_sid_t sid;

#define MEMORY (4 * MOAT_2M_SIZE)

static int up(void **state)
{
	const struct moat_tenant_conf conf = {
		.name = "red",
		.unit = unit,
		.mode = MOAT_STATIC,
		.memory = MEMORY,
		.iova_base = NODE_HOME,
		.leaf_sizes = UINT64_MAX,
		.numa = SOCKET_ID_ANY,
	};

	must(moat_tenant_create(&conf, &tenant));
	must(moat_tenant_attach(tenant, sid));
	return 0;
}

static int down(void **state)
{
	must(moat_tenant_destroy(tenant));
	return 0;
}

static void a_pmd_that_does_dma_while_probing_is_served_from_its_tenants_memory(void **state)
{
	struct moat_vfio_info before, after;
	struct moat_fault fault;

	moat_vfio_info(moat_tenant_domain(tenant), &before);
	must(moat_tenant_probe(tenant, bdf));
	print_message("# its memory: 0x%" PRIx64 " bytes at IOVA 0x%" PRIx64 "\n", reserved.len,
		reserved.iova);
	assert_int_equal(reserved.socket, moat_tenant_socket(tenant));
	assert_in_range(reserved.iova, NODE_HOME, NODE_HOME + MEMORY - 1);
	assert_int_equal(reserved.iova % MOAT_PAGE_SIZE, 0);
	assert_int_equal(reserved.len, MOAT_PAGE_SIZE);
	moat_vfio_info(moat_tenant_domain(tenant), &after);
	assert_int_equal(after.bytes, before.bytes + MOAT_PAGE_SIZE); /* and nothing else with it */
	assert_int_equal(unit->ops->faults(unit, &fault, 1), 0);
	assert_int_equal(rte_eal_hotplug_remove("pci", bdf), 0);
}

static void from_dpdks_memory_it_is_refused(void **state)
{
	time_t end = time(NULL) + PATIENCE_S;
	struct moat_fault fault = { 0 };

	assert_int_not_equal(rte_dev_probe(bdf), 0); /* the device was not given to a tenant */
	assert_int_not_equal(reserved.socket, moat_tenant_socket(tenant));
	while (unit->ops->faults(unit, &fault, 1) == 0 && time(NULL) < end)
		usleep(100000);
	assert_int_equal(fault.sid, sid);
	assert_false(fault.write); /* its first access is a read */
}

static int unit_up(void **state)
{
	struct moat_vfio_conf vfio = { .name = "vfio0", .functions = &sid, .nr_functions = 1 };

	must(moat_vfio_create(&vfio, &unit));
	return 0;
}

static int unit_down(void **state)
{
	unit->ops->destroy(unit);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_pmd_that_does_dma_while_probing_is_served_from_its_tenants_memory, up,
			down),
		cmocka_unit_test_setup_teardown(from_dpdks_memory_it_is_refused, up, down),
	};

	bdf = machine_bdf("DEVICE0");
	sid = machine_sid(bdf);
	node_init(argv[0]);
	return cmocka_run_group_tests_name("DMA while probing", tests, unit_up, unit_down);
}
