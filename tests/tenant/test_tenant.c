/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Tenants in the modes static and strict: what the device may do with the pages at each step of a
 * buffer's life. The NIC is a net_ring port, so the PMD is a real one and passes mbufs through.
 * What the device reaches is checked with the software unit directly.
 */

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>

#include "moat_soft_unit.h"
#include "moat_softvtd.h"
#include "moat_tenant.h"
#include "unit_args.h"

#define SID     MOAT_SID(0, 16, 0)
#define BASE    UINT64_C(0x10000000)
#define MEMORY  (16 * 1048576)
#define BUFFERS (BASE + 2 * 1048576) /* behind the heap */

struct fixture {
	struct moat_unit *unit;
	struct moat_softvtd *hw;
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
	uint16_t port;
	struct rte_ring *wire;
};

static uint64_t stale(struct fixture *f)
{
	struct moat_softvtd_stats stats;

	moat_softvtd_stats(f->hw, &stats);
	return stats.stale_dma + stats.early_reuse;
}

/* One port for all tests: two queues, each a ring that returns what was sent. */
static uint16_t port;
static struct rte_ring *wires[2];

static int make_port(void **state)
{
	wires[0] = rte_ring_create("wire0", 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	wires[1] = rte_ring_create("wire1", 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	port = rte_eth_from_rings("net_ring_test", wires, 2, wires, 2, SOCKET_ID_ANY);
	return 0;
}

static void configure_port(struct fixture *f)
{
	struct rte_eth_conf conf = { 0 };

	f->port = port;
	f->wire = wires[0];
	assert_int_equal(rte_eth_dev_configure(port, 2, 2, &conf), 0);
	for (uint16_t q = 0; q < 2; q++) {
		assert_int_equal(rte_eth_rx_queue_setup(port, q, 512, SOCKET_ID_ANY, NULL, f->pool),
			0);
		assert_int_equal(rte_eth_tx_queue_setup(port, q, 512, SOCKET_ID_ANY, NULL), 0);
	}
}

static struct moat_tenant_conf tenant_conf(struct fixture *f, const char *name, enum moat_mode mode)
{
	return (struct moat_tenant_conf){
		.name = name,
		.unit = f->unit,
		.mode = mode,
		.memory = MEMORY,
		.iova_base = BASE,
		.leaf_sizes = UINT64_MAX,
		.numa = SOCKET_ID_ANY,
		.verify = true,
	};
}

static int set_up_mode(void **state, enum moat_mode mode)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct moat_tenant_conf conf;

	assert_int_equal(moat_soft_unit_create("soft0", UNIT_ADVERSARY, &f->unit), 0);
	f->hw = moat_soft_unit_find("soft0");
	conf = tenant_conf(f, "red", mode);
	if (moat_tenant_create(&conf, &f->tenant) != 0 ||
		moat_tenant_pool(f->tenant, "red", 1024, 2176, &f->pool) != 0 ||
		moat_tenant_attach(f->tenant, SID) != 0) {
		print_error("%s\n", moat_error_text());
		return -1;
	}
	configure_port(f);
	assert_int_equal(moat_tenant_lcore_enter(f->tenant), 0);
	assert_int_equal(moat_tenant_queue_add(f->tenant, f->port, 0), 0);
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	*state = f;
	return 0;
}

static int set_up_static(void **state)
{
	return set_up_mode(state, MOAT_STATIC);
}

static int set_up_strict(void **state)
{
	return set_up_mode(state, MOAT_STRICT);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	uint64_t bad = stale(f);
	int rc;

	rte_eth_dev_stop(f->port);
	assert_int_equal(moat_tenant_queue_remove(f->tenant, f->port, 0), 0);
	assert_int_equal(moat_tenant_lcore_leave(f->tenant), 0);
	rc = moat_tenant_destroy(f->tenant);
	if (rc != 0)
		print_error("%s\n", moat_error_text());
	f->unit->ops->destroy(f->unit);
	free(f);
	assert_int_equal(bad, 0);
	return rc;
}

static bool writes(struct fixture *f, uint64_t iova)
{
	uint8_t byte = 0x99;

	return moat_softvtd_dma_write(f->hw, SID, iova, &byte, 1) == 0;
}

static bool reads(struct fixture *f, uint64_t iova)
{
	uint8_t byte;

	return moat_softvtd_dma_read(f->hw, SID, iova, &byte, 1) == 0;
}

/* -------------------------------------------------------------------------------------- static */

static void the_device_reaches_all_buffers_of_its_tenant_and_nothing_else(void **state)
{
	struct fixture *f = *state;

	assert_true(writes(f, BUFFERS));
	assert_true(writes(f, BASE + MEMORY - 1));
	assert_false(writes(f, BUFFERS - 1));
	assert_false(writes(f, BASE));
	assert_false(writes(f, BASE - 1));
	assert_false(writes(f, BASE + MEMORY));
}

static void rings_are_the_devices_and_the_heaps_bookkeeping_is_not(void **state)
{
	struct fixture *f = *state;
	const struct rte_memzone *ring = rte_memzone_reserve_aligned("ring", 8192,
		moat_tenant_socket(f->tenant), RTE_MEMZONE_IOVA_CONTIG, 4096);
	uint64_t iova = ring->iova;

	assert_in_range(iova, BASE, BUFFERS - 8192);
	assert_true(writes(f, iova));
	assert_true(writes(f, iova + 8191));
	assert_int_equal(((uint8_t *)ring->addr)[8191], 0x99);
	for (uint64_t page = BASE; page < BUFFERS; page += 4096)
		assert_int_equal(writes(f, page), page == iova || page == iova + 4096);
	/* The device does not reach a ring that was freed. */
	assert_int_equal(rte_memzone_free(ring), 0);
	assert_false(writes(f, iova));
}

static void buffers_have_the_tenants_iovas(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *m = rte_pktmbuf_alloc(f->pool);

	assert_in_range(rte_mbuf_data_iova(m), BUFFERS, BASE + MEMORY - 1);
	assert_int_equal(m->buf_len, 4096);
	assert_true(writes(f, rte_mbuf_data_iova(m)));
	assert_int_equal(*rte_pktmbuf_mtod(m, uint8_t *), 0x99);
	rte_pktmbuf_free(m);
}

static void two_tenants_may_use_the_same_iovas(void **state)
{
	struct fixture *f = *state;
	struct moat_tenant_conf conf = tenant_conf(f, "blue", MOAT_STATIC);
	struct moat_tenant *blue;
	uint8_t red_byte = 1, blue_byte = 2, got;

	assert_int_equal(moat_tenant_create(&conf, &blue), 0);
	assert_int_equal(moat_tenant_attach(blue, SID + 1), 0);
	assert_int_equal(moat_softvtd_dma_write(f->hw, SID, BUFFERS + 64, &red_byte, 1), 0);
	assert_int_equal(moat_softvtd_dma_write(f->hw, SID + 1, BUFFERS + 64, &blue_byte, 1), 0);
	assert_int_equal(moat_softvtd_dma_read(f->hw, SID, BUFFERS + 64, &got, 1), 0);
	assert_int_equal(got, 1);
	assert_int_equal(moat_softvtd_dma_read(f->hw, SID + 1, BUFFERS + 64, &got, 1), 0);
	assert_int_equal(got, 2);
	assert_int_equal(moat_tenant_destroy(blue), 0);
	assert_int_not_equal(moat_softvtd_dma_read(f->hw, SID + 1, BUFFERS + 64, &got, 1), 0);
}

static int pool_in(struct moat_tenant_conf *conf, unsigned int mebibytes)
{
	struct rte_mempool *mp;
	struct moat_tenant *t;
	int rc;

	conf->memory = (uint64_t)mebibytes << 20;
	assert_int_equal(moat_tenant_create(conf, &t), 0);
	rc = moat_tenant_pool(t, "green", 5000, 2048, &mp);
	assert_int_equal(moat_tenant_destroy(t), 0);
	return rc;
}

static void the_memory_that_an_error_names_is_the_least_that_does(void **state)
{
	struct fixture *f = *state;
	struct moat_tenant_conf conf = tenant_conf(f, "green", MOAT_STATIC);
	const char *words;
	unsigned int named;

	assert_int_equal(pool_in(&conf, 8), -ENOMEM);
	words = strstr(moat_error_text(), "a 'memory' of ");
	assert_non_null(words);
	assert_int_equal(sscanf(words, "a 'memory' of %uM would do", &named), 1);
	assert_int_equal(pool_in(&conf, named), 0);
	assert_int_equal(pool_in(&conf, named - 2), -ENOMEM);
}

static void errors_name_value_and_remedy(void **state)
{
	struct fixture *f = *state;
	struct moat_tenant_conf conf = tenant_conf(f, "green", MOAT_STATIC);
	struct moat_tenant *t;
	struct rte_mempool *mp;
	enum moat_mode mode;

	conf.memory = 1;
	assert_int_equal(moat_tenant_create(&conf, &t), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "4 MiB is the least"));
	conf.memory = 16 * 1048576;
	conf.iova_base = 4096;
	assert_int_equal(moat_tenant_create(&conf, &t), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "not a multiple of 2 MiB"));
	conf.iova_base = 0;
	conf.width = 60;
	assert_int_equal(moat_tenant_create(&conf, &t), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "60 bits"));
	conf.width = 32;
	conf.iova_base = UINT64_C(0xfff00000) & ~(MOAT_2M_SIZE - 1);
	assert_true(moat_tenant_create(&conf, &t) < 0);
	assert_non_null(strstr(moat_error_text(), "does not fit into 32 bits"));
	assert_int_equal(moat_tenant_pool(f->tenant, "big", 100000, 2176, &mp), -ENOMEM);
	assert_non_null(strstr(moat_error_text(), "would do"));
	assert_int_equal(moat_mode_parse("strikt", &mode), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "static, strict"));
	assert_int_equal(moat_tenant_destroy(f->tenant), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "still has 1 queue"));
}

/* -------------------------------------------------------------------------------------- strict */

static void a_buffer_is_the_devices_only_while_the_pmd_has_it(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *m = rte_pktmbuf_alloc(f->pool), *got[4];
	uint64_t iova = rte_mbuf_data_iova(m);

	/* Allocated (as a refill does): writable, not readable. */
	assert_true(writes(f, iova));
	assert_false(reads(f, iova));
	/* Arrives: the PMD hands it to the Rx callback. */
	assert_int_equal(rte_ring_enqueue(f->wire, m), 0);
	assert_int_equal(rte_eth_rx_burst(f->port, 0, got, 4), 1);
	assert_ptr_equal(got[0], m);
	assert_false(writes(f, iova));
	assert_false(reads(f, iova));
	/* Sent: readable, not writable. */
	assert_int_equal(rte_eth_tx_burst(f->port, 0, got, 1), 1);
	assert_true(reads(f, iova));
	assert_false(writes(f, iova));
	/* Freed by the PMD. */
	assert_int_equal(rte_ring_dequeue(f->wire, (void **)&m), 0);
	rte_pktmbuf_free(m);
	for (unsigned int i = 0; i < 100000 && reads(f, iova); i++)
		moat_tenant_poll(f->tenant);
	assert_false(reads(f, iova));
	assert_false(writes(f, iova));
}

static void bursts_go_round_and_no_dma_is_ever_stale(void **state)
{
	struct fixture *f = *state;
	struct moat_tenant_stats stats;
	struct rte_mbuf *m[32];

	for (unsigned int i = 0; i < 3000; i++) {
		uint64_t iova[32];
		uint16_t n;

		assert_int_equal(rte_pktmbuf_alloc_bulk(f->pool, m, 32), 0);
		for (unsigned int k = 0; k < 32; k++) {
			iova[k] = rte_mbuf_data_iova(m[k]);
			assert_true(writes(f, iova[k]));
		}
		assert_int_equal(rte_ring_enqueue_bulk(f->wire, (void **)m, 32, NULL), 32);
		n = rte_eth_rx_burst(f->port, 0, m, 32);
		assert_int_equal(n, 32);
		for (unsigned int k = 0; k < 32; k++)
			assert_false(writes(f, iova[k]));
		assert_int_equal(rte_eth_tx_burst(f->port, 0, m, n), n);
		for (unsigned int k = 0; k < 32; k++)
			assert_true(reads(f, iova[k]));
		assert_int_equal(rte_ring_dequeue_bulk(f->wire, (void **)m, 32, NULL), 32);
		rte_pktmbuf_free_bulk(m, 32);
		moat_tenant_poll(f->tenant);
		/* A device that still holds descriptors of the last round tries them all. */
		for (unsigned int k = 0; k < 32; k++)
			reads(f, iova[k]);
	}
	moat_tenant_stats(f->tenant, &stats);
	assert_int_equal(stats.waits, 3000);
	assert_int_equal(stats.lane.pages_unmapped, 2 * 32 * 3000);
	assert_int_equal(stats.verify_failed, 0);
}

static void a_quarantined_buffer_is_not_handed_out(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *m[1024];
	struct moat_tenant_stats stats;

	assert_int_equal(rte_pktmbuf_alloc_bulk(f->pool, m, 1024), 0);
	rte_pktmbuf_free_bulk(m, 512);
	assert_int_equal(rte_mempool_avail_count(f->pool), 512);
	/* None of the freed buffers is ready before a poll. */
	assert_int_equal(rte_pktmbuf_alloc_bulk(f->pool, m, 512), -ENOBUFS);
	moat_tenant_stats(f->tenant, &stats);
	assert_int_equal(stats.quarantined, 512);
	assert_int_equal(stats.starved, 1);
	for (unsigned int i = 0; i < 100000 && stats.quarantined != 0; i++) {
		moat_tenant_poll(f->tenant);
		moat_tenant_stats(f->tenant, &stats);
	}
	assert_int_equal(stats.quarantined, 0);
	assert_int_equal(rte_pktmbuf_alloc_bulk(f->pool, m, 512), 0);
	rte_pktmbuf_free_bulk(m, 1024);
}

/* The caller is told that they were sent, so it neither frees them nor tries them again. */
static void packets_in_foreign_memory_are_dropped_and_counted(void **state)
{
	struct fixture *f = *state;
	struct rte_mempool *other = rte_pktmbuf_pool_create("other", 63, 0, 0, 2176, SOCKET_ID_ANY);
	struct rte_mbuf *m[3] = { rte_pktmbuf_alloc(f->pool), rte_pktmbuf_alloc(other),
		rte_pktmbuf_alloc(f->pool) };
	struct rte_mbuf *sent[4];
	struct moat_tenant_stats stats;

	assert_int_equal(rte_eth_tx_burst(f->port, 0, m, 3), 3);
	moat_tenant_stats(f->tenant, &stats);
	assert_int_equal(stats.foreign, 1);
	assert_int_equal(stats.map_failed, 0);
	assert_int_equal(rte_mempool_avail_count(other), 63);
	/* Packets that belong to the tenant are sent, in order. */
	assert_int_equal(rte_ring_dequeue_burst(f->wire, (void **)sent, 4, NULL), 2);
	assert_ptr_equal(sent[0], m[0]);
	assert_ptr_equal(sent[1], m[2]);
	rte_pktmbuf_free_bulk(sent, 2);
	rte_mempool_free(other);
}

static void a_buffer_the_device_had_no_right_to_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *m = rte_pktmbuf_alloc(f->pool), *got[4];
	struct moat_tenant_stats stats;

	assert_int_equal(rte_ring_enqueue(f->wire, m), 0);
	assert_int_equal(rte_eth_rx_burst(f->port, 0, got, 4), 1);
	/* The device returns the same buffer again, which is no longer its own. */
	assert_int_equal(rte_ring_enqueue(f->wire, m), 0);
	assert_int_equal(rte_eth_rx_burst(f->port, 0, got, 4), 0);
	moat_tenant_stats(f->tenant, &stats);
	assert_int_equal(stats.verify_failed, 1);
}

#define STATIC(name) cmocka_unit_test_setup_teardown(name, set_up_static, tear_down)
#define STRICT(name) cmocka_unit_test_setup_teardown(name, set_up_strict, tear_down)

int main(void)
{
	static char *eal[] = { (char *)"test_tenant", (char *)"--no-huge", (char *)"--no-shconf",
		(char *)"--no-pci", (char *)"-m", (char *)"128", (char *)"--log-level=3",
		(char *)"--no-telemetry" };
	const struct CMUnitTest tests[] = {
		STATIC(the_device_reaches_all_buffers_of_its_tenant_and_nothing_else),
		STATIC(rings_are_the_devices_and_the_heaps_bookkeeping_is_not),
		STATIC(buffers_have_the_tenants_iovas),
		STATIC(two_tenants_may_use_the_same_iovas),
		STATIC(the_memory_that_an_error_names_is_the_least_that_does),
		STATIC(errors_name_value_and_remedy),
		STRICT(a_buffer_is_the_devices_only_while_the_pmd_has_it),
		STRICT(bursts_go_round_and_no_dma_is_ever_stale),
		STRICT(a_quarantined_buffer_is_not_handed_out),
		STATIC(packets_in_foreign_memory_are_dropped_and_counted),
		STRICT(packets_in_foreign_memory_are_dropped_and_counted),
		STRICT(a_buffer_the_device_had_no_right_to_is_dropped),
	};

	if (rte_eal_init(RTE_DIM(eal), eal) < 0)
		return 1;
	return cmocka_run_group_tests(tests, make_port, NULL);
}
