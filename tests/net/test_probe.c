/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Making ports: the exact texts of refusals, and that nothing is left behind. */

#include <stdlib.h>

#include <rte_bus_vdev.h>
#include <urcu-qsbr.h>

#include "harness.h"
#include "moat_soft_unit.h"

static struct wire wire, other;

static int set_up(void **state)
{
	wire_create(&wire, "w", 2, 64);
	wire_create(&other, "x", 1, 64);
	return 0;
}

static int tear_down(void **state)
{
	wire_destroy(&wire);
	wire_destroy(&other);
	return 0;
}

static void assert_refused(const char *name, const char *args, int error, const char *text)
{
	uint16_t ports = rte_eth_dev_count_total(), port;
	struct rte_eth_dev_owner owner;
	const char *log;

	log_begin();
	assert_int_equal(rte_vdev_init(name, args), error);
	log = log_end();
	if (strstr(log, text) == NULL)
		fail_msg("'%s' is answered:\n%s\nnot: %s", args, log, text);
	assert_int_equal(rte_eth_dev_count_total(), ports);
	assert_int_equal(rte_eth_dev_get_port_by_name(name, &port), -ENODEV);
	assert_int_equal(rte_eth_dev_owner_get(wire.port, &owner), 0);
	assert_int_equal(owner.id, RTE_ETH_DEV_NO_OWNER);
}

static void wrong_arguments_are_refused_and_leave_nothing(void **state)
{
	assert_refused("net_moat0", "port=net_nil0", -ENODEV,
		"net_moat: net_moat0: port=net_nil0: there is no such ethdev (there are: net_ring_w, "
		"net_ring_x); name its --vdev before this one\n");
	assert_refused("net_moat0", "port=net_moat0", -EINVAL,
		"net_moat: net_moat0: port=net_moat0 names the port itself\n");
	assert_refused("net_moat0", "port=net_ring_w,unit=soft7", -ENOENT,
		"net_moat: net_moat0: there is no software unit 'soft7' in this process; make the unit "
		"first (moat_soft_unit_create()), and then the port by rte_eal_hotplug_add(), not by "
		"--vdev; or, in a program without tenants, leave unit= out\n");
	assert_refused("net_moat0", "port=net_ring_w,unit_args=latancy:5", -EINVAL,
		"net_moat: unit net_moat0.unit: no such argument 'latancy'; did you mean 'latency'?\n");
	assert_refused("net_moat0", "port=net_ring_w,unit_args=aw:40", -EINVAL,
		"net_moat: unit net_moat0.unit: aw=40 is none of 39, 48, 57\n");
	assert_refused("net_moat0", "port=net_ring_w,steer=7/0,steer=7/0", -EINVAL,
		"net_moat: net_moat0: two steer= with the same match; leave one out\n");
	assert_refused("net_moat0", "port=net_ring_w,queues=many", -EINVAL,
		"net_moat: net_moat0: queues='many' is not a number of queues; give 1 to 64\n");
	assert_refused("net_moat_with_a_longer_name0", "port=net_ring_w", -ENAMETOOLONG,
		"net_moat: net_moat_with_a_longer_name0: the name is too long for the unit's name, which "
		"appends .unit; use up to 26 characters\n");
	nic_create("net_moat0", "port=net_ring_w"); /* and the right ones work after all that */
	nic_destroy("net_moat0");
}

static void arguments_reach_the_own_unit(void **state)
{
	struct rte_eth_dev_info info;
	uint16_t port;
	uint8_t *va;

#ifdef __SANITIZE_ADDRESS__
	print_message(
		"skip: AddressSanitizer's shadow lies where DPDK's memory would have IOVAs of 39 bits\n");
	skip();
#endif
	port = nic_create("net_moat0", "port=net_ring_w,unit_args=aw:39/shards:2");
	va = aligned_alloc(MOAT_PAGE_SIZE, MOAT_PAGE_SIZE);

	assert_int_equal(rte_eth_dev_info_get(port, &info), 0);
	assert_int_equal(rte_extmem_register(va, MOAT_PAGE_SIZE, NULL, 0, MOAT_PAGE_SIZE), 0);
	log_begin();
	assert_int_equal(rte_dev_dma_map(info.device, va, UINT64_C(1) << 39, MOAT_PAGE_SIZE),
		-ERANGE);
	log_end();
	assert_int_equal(rte_extmem_unregister(va, MOAT_PAGE_SIZE), 0);
	nic_destroy("net_moat0");
	free(va);
}

static void a_backing_port_serves_one_port_only(void **state)
{
	nic_create("net_moat0", "port=net_ring_w");
	log_begin();
	assert_int_equal(rte_vdev_init("net_moat1", "port=net_ring_w"), -EPERM);
	assert_non_null(strstr(log_end(),
		"net_moat: net_moat1: port=net_ring_w belongs to 'net_moat0'; "
		"a backing port serves one net_moat only\n"));
	nic_destroy("net_moat0");
	nic_create("net_moat1", "port=net_ring_w");
	nic_destroy("net_moat1");
}

static void source_ids_are_distinct_or_refused(void **state)
{
	struct moat_unit *unit;
	moat_sid_t sid;
	uint16_t port;

	assert_int_equal(moat_soft_unit_create("soft0", NULL, &unit), 0);
	port = nic_create("net_moat0", "port=net_ring_w,queues=2,requesters=queue,unit=soft0");
	assert_int_equal(moat_net_queue_sid(port, 1, &sid), 0);
	assert_int_equal(sid, MOAT_SID(0, 0x10, 1));
	assert_int_equal(moat_net_queue_sid(port, 2, &sid), -EINVAL);
	log_begin();
	assert_int_equal(rte_vdev_init("net_moat1", "port=net_ring_x,unit=soft0,sid=00:10.1"),
		-EBUSY);
	assert_non_null(strstr(log_end(),
		"net_moat: net_moat1: source-id 00:10.1 of unit soft0 belongs to another port; "
		"choose another with sid=, or leave it out\n"));
	port = nic_create("net_moat1", "port=net_ring_x,unit=soft0");
	assert_int_equal(moat_net_queue_sid(port, 0, &sid), 0);
	assert_int_equal(sid, MOAT_SID(0, 0x11, 0));
	nic_destroy("net_moat1");
	nic_create("net_moat1", "port=net_ring_x,unit=soft0,sid=00:10.2");
	nic_destroy("net_moat1");
	nic_destroy("net_moat0");
	unit->ops->destroy(unit);
}

/* The backing port is removed below a running port, which must then go down without a crash. */
static void a_backing_port_may_be_removed_first(void **state)
{
	struct rte_mempool *pool = make_pool("app", 511, RTE_MBUF_DEFAULT_BUF_SIZE);
	uint16_t port = nic_create("net_moat0", "port=net_ring_w");

	nic_start(port, 1, 64, pool, SOCKET_ID_ANY, NULL);
	assert_int_equal(rte_eth_dev_stop(wire.port), 0);
	assert_int_equal(rte_vdev_uninit(wire.name), 0);
	log_begin();
	rte_eth_dev_stop(port);
	nic_destroy("net_moat0");
	log_end();
	assert_pool_full(pool);
	rte_mempool_free(pool);
}

/* A running port whose backing port was removed is silent. It must not use the port that gets the
 * same number next. */
static void a_removed_backing_ports_number_is_anothers(void **state)
{
	struct rte_mempool *pool = make_pool("app", 511, RTE_MBUF_DEFAULT_BUF_SIZE);
	uint16_t port, was, next;
	struct rte_eth_conf conf = { 0 };
	struct rte_mbuf *m[32];

	assert_int_equal(rte_vdev_init("net_null_gone", ""), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name("net_null_gone", &was), 0);
	port = nic_create("net_moat0", "port=net_null_gone");
	nic_start(port, 1, 64, pool, SOCKET_ID_ANY, NULL);
	assert_int_equal(rte_eth_promiscuous_enable(port), 0);
	assert_int_equal(rte_eth_rx_burst(port, 0, m, 32), 32);
	rte_pktmbuf_free_bulk(m, 32);
	log_begin();
	assert_int_equal(rte_vdev_uninit("net_null_gone"), 0);
	assert_non_null(strstr(log_end(), "'net_null_gone' is removed"));
	assert_int_equal(rte_vdev_init("net_null_next", ""), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name("net_null_next", &next), 0);
	assert_int_equal(next, was);
	assert_int_equal(rte_eth_dev_configure(next, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(next, 0, 64, SOCKET_ID_ANY, NULL, pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(next, 0, 64, SOCKET_ID_ANY, NULL), 0);
	assert_int_equal(rte_eth_dev_start(next), 0);
	for (unsigned int i = 0; i < 8; i++) {
		struct rte_mbuf *sent = rte_pktmbuf_alloc(pool);
		uint16_t n = rte_eth_rx_burst(port, 0, m, 32);

		rte_pktmbuf_free_bulk(m, n);
		assert_true(i < 2 || n == 0); /* what the device had taken before */
		rte_pktmbuf_append(sent, 60);
		assert_int_equal(rte_eth_tx_burst(port, 0, &sent, 1), 1);
	}
	assert_int_equal(rte_eth_dev_set_link_up(port), -ENODEV);
	{
		struct rte_eth_stats stats;

		assert_int_equal(rte_eth_stats_get(next, &stats), 0);
		assert_int_equal(stats.ipackets + stats.opackets, 0);
	}
	log_begin();
	rte_eth_dev_stop(port);
	nic_destroy("net_moat0");
	log_end();
	assert_int_equal(rte_eth_dev_stop(next), 0);
	assert_int_equal(rte_vdev_uninit("net_null_next"), 0);
	assert_pool_full(pool);
	rte_mempool_free(pool);
}

static void memory_is_mapped_and_unmapped_for_the_device_alone(void **state)
{
	uint8_t *va = aligned_alloc(MOAT_PAGE_SIZE, 2 * MOAT_PAGE_SIZE);
	struct rte_eth_dev_info info;
	struct moat_softvtd *sv;
	uint64_t iova = UINT64_C(0x7000000000);
	uint16_t port = nic_create("net_moat0", "port=net_ring_w");
	uint8_t byte = 7;

	assert_int_equal(rte_eth_dev_info_get(port, &info), 0);
	sv = moat_soft_unit_find("net_moat0.unit");
	assert_true(moat_softvtd_dma_write(sv, MOAT_SID(0, 0x10, 0), iova + 4097, &byte, 1) > 0);
	assert_int_equal(rte_extmem_register(va, 2 * MOAT_PAGE_SIZE, NULL, 0, MOAT_PAGE_SIZE), 0);
	assert_int_equal(rte_dev_dma_map(info.device, va, iova, 2 * MOAT_PAGE_SIZE), 0);
	assert_int_equal(moat_softvtd_dma_write(sv, MOAT_SID(0, 0x10, 0), iova + 4097, &byte, 1),
		0);
	assert_int_equal(va[4097], 7);
	log_begin();
	assert_int_equal(rte_dev_dma_map(info.device, va, iova, MOAT_PAGE_SIZE), -EEXIST);
	assert_int_equal(rte_dev_dma_unmap(info.device, va, iova, MOAT_PAGE_SIZE), -ENOENT);
	assert_non_null(
		strstr(log_end(), "was not mapped by one call; unmap what one call mapped\n"));
	assert_int_equal(rte_dev_dma_unmap(info.device, va, iova, 2 * MOAT_PAGE_SIZE), 0);
	assert_true(moat_softvtd_dma_write(sv, MOAT_SID(0, 0x10, 0), iova + 4097, &byte, 1) > 0);
	assert_int_equal(rte_extmem_unregister(va, 2 * MOAT_PAGE_SIZE), 0);
	nic_destroy("net_moat0");
	free(va);
}

static void many_ports_come_and_go(void **state)
{
	for (unsigned int i = 0; i < 50; i++) {
		nic_create("net_moat0", "port=net_ring_w,queues=8,requesters=queue");
		nic_create("net_moat1", "port=net_ring_x");
		nic_destroy(i % 2 != 0 ? "net_moat0" : "net_moat1");
		nic_destroy(i % 2 != 0 ? "net_moat1" : "net_moat0");
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wrong_arguments_are_refused_and_leave_nothing),
		TEST(arguments_reach_the_own_unit),
		TEST(a_backing_port_serves_one_port_only),
		TEST(source_ids_are_distinct_or_refused),
		TEST(a_backing_port_may_be_removed_first),
		TEST(a_removed_backing_ports_number_is_anothers),
		TEST(memory_is_mapped_and_unmapped_for_the_device_alone),
		TEST(many_ports_come_and_go),
	};
	int failed;

	if (start_eal("test_net_probe") != 0)
		return 1;
	urcu_qsbr_register_thread();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	urcu_qsbr_unregister_thread();
	return failed;
}
