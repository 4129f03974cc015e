/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Tenants over VFIO containers, with a fake kernel that refuses what the real one refuses: each
 * mode's maps and unmaps, and what happens to packets whose unmap the kernel did not do. */

#include "../vfio/fake_kernel.h"
#include "rig.h"

#define BUFFERS 1024
#define BURST   32

static struct rig rig;

static struct fake_container *container(void)
{
	assert_true(fake.group[1].container >= 0);
	return fake_container(fake.group[1].container);
}

static void open_tenant(enum moat_mode mode)
{
	struct moat_tenant_conf conf = rig_conf("red", mode);

	fake_up();
	rig = (struct rig){ .port = rig_port,
		.buffers = BUFFERS,
		.wire = { rig_wires[0], rig_wires[1] } };
	must(fake_unit(&rig.unit));
	conf.unit = rig.unit;
	conf.memory = rig_memory(BUFFERS);
	must(moat_tenant_create(&conf, &rig.tenant));
	must(moat_tenant_pool(rig.tenant, "red", BUFFERS, 2176, &rig.pool));
	must(moat_tenant_attach(rig.tenant, FAKE_RED));
	rig_start_port(&rig);
	must(moat_tenant_lcore_enter(rig.tenant));
}

static void close_tenant(void)
{
	rte_eth_dev_stop(rig.port);
	must(moat_tenant_lcore_leave(rig.tenant));
	must(moat_tenant_queue_remove(rig.tenant, rig.port, 0));
	must(moat_tenant_queue_remove(rig.tenant, rig.port, 1));
	must(moat_tenant_destroy(rig.tenant));
	rig.unit->ops->destroy(rig.unit);
	fake_down();
}

/** @return whether the byte that a device may write at `iova` is this one */
static bool device_writes(rte_iova_t iova, const void *va)
{
	const struct fake_container *c = container();

	for (unsigned int i = 0; i < c->n; i++)
		if (iova - c->map[i].iova < c->map[i].size)
			return (c->map[i].flags & VFIO_DMA_MAP_FLAG_WRITE) != 0 &&
				c->map[i].vaddr + (iova - c->map[i].iova) == (uintptr_t)va;
	return false;
}

/** Receive a burst and send it again, several times. In the modes that unmap, except deferred, no
 * packet may be handed on that the device can still write. */
static void forward(enum moat_mode mode, unsigned int bursts)
{
	uint64_t received = 0;
	struct rte_mbuf *m[BURST];

	for (unsigned int b = 0; b < bursts; b++) {
		uint16_t n;

		rig_refill(&rig, m, BURST);
		for (unsigned int i = 0; i < BURST; i++)
			assert_true(device_writes(rte_pktmbuf_iova(m[i]),
				rte_pktmbuf_mtod(m[i], void *)));
		for (unsigned int i = 0; i + 1 < BURST && b % 3 == 1; i += 2)
			RTE_SWAP(m[i], m[i + 1]); /* like a NIC with several queues */
		rig_arrive(&rig, 0, m, BURST);
		n = rte_eth_rx_burst(rig.port, 0, m, BURST);
		for (unsigned int i = 0; i < n; i++)
			if (mode == MOAT_STRICT || mode == MOAT_PIPELINED || mode == MOAT_COPY)
				assert_false(device_writes(rte_pktmbuf_iova(m[i]),
					rte_pktmbuf_mtod(m[i], void *)));
		received += n;
		assert_int_equal(rte_eth_tx_burst(rig.port, 1, m, n), n);
		rig_sent(&rig, 1);
		moat_tenant_poll(rig.tenant);
	}
	assert_true(received >= (uint64_t)(bursts - 2) * BURST);
}

static void in_mode(enum moat_mode mode)
{
	struct moat_tenant_stats stats;

	open_tenant(mode);
	forward(mode, 200);
	stats = rig_stats(&rig);
	assert_int_equal(stats.lost, 0);
	assert_int_equal(stats.map_failed, 0);
	assert_int_equal(stats.verify_failed, 0);
	print_message("# %s: %u maps, %u unmaps for %u packets\n", moat_mode_name(mode), fake.maps,
		fake.unmaps, 200 * BURST);
	close_tenant();
}

static void a_unit_with_a_tenant_is_not_destroyed(void **state)
{
	open_tenant(MOAT_STRICT);
	rig.unit->ops->destroy(rig.unit);
	assert_non_null(strstr(moat_error_text(),
		"is not destroyed, because 1 domain is still on it: 'red'; destroy the tenants"));
	forward(MOAT_STRICT, 3);
	close_tenant();
}

static void static_maps_once(void **state)
{
	in_mode(MOAT_STATIC);
}

static void strict_hands_on_what_no_device_reaches(void **state)
{
	in_mode(MOAT_STRICT);
}

static void pipelined_hands_on_what_no_device_reaches(void **state)
{
	in_mode(MOAT_PIPELINED);
}

static void deferred_maps_again_what_waits_to_be_unmapped(void **state)
{
	in_mode(MOAT_DEFERRED);
}

static void copy_maps_once(void **state)
{
	in_mode(MOAT_COPY);
}

static void packets_that_the_kernel_did_not_unmap_are_handed_to_nobody(void **state)
{
	struct rte_mbuf *m[BURST];

	open_tenant(MOAT_STRICT);
	forward(MOAT_STRICT, 3);
	rig_refill(&rig, m, BURST);
	rig_arrive(&rig, 0, m, BURST);
	fake.short_by = MOAT_PAGE_SIZE;
	assert_int_equal(rte_eth_rx_burst(rig.port, 0, m, BURST), 0);
	assert_int_equal(rig_stats(&rig).lost, BURST);
	assert_non_null(strstr(moat_error_text(), "the kernel unmapped"));
	rte_eth_dev_stop(rig.port);
	assert_int_equal(moat_tenant_lcore_leave(rig.tenant), -EIO);
	assert_int_not_equal(moat_tenant_destroy(rig.tenant), 0); /* nor is memory given back */
	fake_run("rm -rf %s", fake.root);
}

/* ------------------------------------------------------------------------------- placement */

static struct moat_tenant *tenant;

static int create(uint64_t base)
{
	struct moat_tenant_conf conf = rig_conf("blue", MOAT_STATIC);

	conf.unit = rig.unit;
	conf.memory = 4 * MOAT_2M_SIZE;
	conf.iova_base = base;
	return moat_tenant_create(&conf, &tenant);
}

static void memory_is_placed_behind_what_no_domain_may_use(void **state)
{
	fake_up();
	fake.range[0][0] = UINT64_C(0x40100000);
	must(fake_unit(&rig.unit));
	must(create(0));
	must(moat_tenant_attach(tenant, FAKE_RED));
	assert_int_equal(container()->n, 1); /* the buffers, above 2 MiB of heap */
	assert_int_equal(container()->map[0].iova, UINT64_C(0x40200000) + MOAT_2M_SIZE);
	must(moat_tenant_destroy(tenant));
	assert_int_equal(create(UINT64_C(0xfe800000)), -EBUSY);
	print_message("# %s\n", moat_error_text());
	assert_non_null(strstr(moat_error_text(), "'iova_base' to 0xff000000"));
	must(create(UINT64_C(0xff000000)));
	must(moat_tenant_destroy(tenant));
	assert_int_equal(create(UINT64_C(0x7fffe00000)), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "39 bits"));
	rig.unit->ops->destroy(rig.unit);
	fake_down();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_placed_behind_what_no_domain_may_use),
		cmocka_unit_test(a_unit_with_a_tenant_is_not_destroyed),
		cmocka_unit_test(static_maps_once),
		cmocka_unit_test(strict_hands_on_what_no_device_reaches),
		cmocka_unit_test(pipelined_hands_on_what_no_device_reaches),
		cmocka_unit_test(deferred_maps_again_what_waits_to_be_unmapped),
		cmocka_unit_test(copy_maps_once),
		cmocka_unit_test(packets_that_the_kernel_did_not_unmap_are_handed_to_nobody),
	};

	if (rig_eal(argv[0]) < 0)
		return 1;
	return cmocka_run_group_tests_name("tenants on vfio", tests, rig_make_port, NULL);
}
