/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * What a device reaches of its tenant's heap: pages that hold nothing but a ring, until the ring is
 * freed. See lib/tenant/rings.c and rig.h. The rings are reserved as PMDs reserve them, through
 * DPDK's functions.
 */

#include <rte_log.h>
#include <rte_memzone.h>

#include "moat_device.h"
#include "rig.h"

#define CONTIG RTE_MEMZONE_IOVA_CONTIG

static int set_up(void **state)
{
	struct moat_tenant_conf conf = rig_conf("red", MOAT_STRICT);

	conf.memory = 128 * 1048576; /* 16 MiB of it for the heap */
	*state = rig_open(&conf, UNIT_ADVERSARY, 256);
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

static const struct rte_memzone *reserve(struct rig *r, const char *name, size_t len)
{
	const struct rte_memzone *zone =
		rte_memzone_reserve_aligned(name, len, moat_tenant_socket(r->tenant), CONTIG, 128);

	assert_non_null(zone);
	return zone;
}

/* @return the IOVA of memory in the tenant's heap */
static uint64_t iova_of(const struct rte_memzone *zone, const void *p)
{
	return zone->iova + ((uintptr_t)p - (uintptr_t)zone->addr);
}

static void a_ring_has_pages_of_its_own_and_is_mapped_before_its_owner_has_it(void **state)
{
	struct rig *r = *state;
	const struct rte_memzone *a = reserve(r, "ring_a", 4096 + 128);
	const struct rte_memzone *b = reserve(r, "ring_b", 4096 + 128);

	assert_true(rig_writes(r, a->iova));
	assert_true(rig_writes(r, a->iova + 4096 + 127));
	assert_true(rig_writes(r, b->iova));
	assert_false(rig_writes(r, a->iova - 1)); /* the heap's header */
	assert_false(rig_writes(r, b->iova - 1));
	assert_int_equal(rte_memzone_free(a), 0);
	assert_int_equal(rte_memzone_free(b), 0);
}

static void what_a_pmd_keeps_beside_its_ring_is_not_the_devices(void **state)
{
	struct rig *r = *state;
	int socket = moat_tenant_socket(r->tenant);
	void *queue = rte_zmalloc_socket("queue", 320, 64, socket);
	const struct rte_memzone *ring = reserve(r, "ring", (4096 + 32) * 16);
	void *mbufs = rte_zmalloc_socket("mbufs", 544 * 8, 64, socket);

	assert_false(rig_writes(r, iova_of(ring, queue)));
	assert_false(rig_writes(r, iova_of(ring, mbufs)));
	assert_false(rig_writes(r, iova_of(ring, RTE_PTR_ADD(mbufs, 543 * 8))));
	rte_free(queue);
	rte_free(mbufs);
	assert_int_equal(rte_memzone_free(ring), 0);
}

static void a_ring_that_is_freed_is_unmapped_before_the_heap_gives_its_memory_to_others(
	void **state)
{
	struct rig *r = *state;
	const struct rte_memzone *ring = reserve(r, "ring", 65536);
	uint64_t va_minus_iova = (uintptr_t)ring->addr - ring->iova;
	void *p[16];

	for (uint64_t at = 0; at < 65536; at += 4096) /* it is in every cache of the unit */
		assert_true(rig_writes(r, ring->iova + at));
	assert_int_equal(rte_memzone_free(ring), 0);
	for (int i = 0; i < 16; i++) {
		p[i] = rte_malloc_socket("secret", 3000, 64, moat_tenant_socket(r->tenant));
		assert_false(rig_writes(r, (uintptr_t)p[i] - va_minus_iova));
	}
	assert_int_equal(rig_unit_stats(r).stale_dma, 0);
	for (int i = 0; i < 16; i++)
		rte_free(p[i]);
}

/* As DPDK's function, when another thread has freed the memzone already. */
static int not_reserved(const struct rte_memzone *zone)
{
	return -EINVAL;
}

static void a_ring_that_dpdk_does_not_know_is_not_mapped_again(void **state)
{
	struct rig *r = *state;
	const struct rte_memzone *ring = reserve(r, "ring", 4096);

	assert_true(rig_writes(r, ring->iova));
	assert_int_equal(moat_device_free(not_reserved, ring), -EINVAL);
	assert_false(rig_writes(r, ring->iova));
	assert_int_equal(rte_memzone_free(ring), 0);
}

static void rings_that_fill_2_mib_come_and_go_one_by_one(void **state)
{
	struct rig *r = *state;
	const struct rte_memzone *ring[40];
	char name[32];

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "big%d", i);
		ring[i] = reserve(r, name, 256 * 1024 - 128);
		assert_true(rig_writes(r, ring[i]->iova + 256 * 1024 - 129));
	}
	for (int i = 10; i < 20; i++) {
		uint64_t iova = ring[i]->iova;

		assert_int_equal(rte_memzone_free(ring[i]), 0);
		assert_false(rig_writes(r, iova));
	}
	for (int i = 0; i < 40; i++) {
		if (i >= 10 && i < 20)
			continue;
		assert_true(rig_writes(r, ring[i]->iova));
		assert_int_equal(rte_memzone_free(ring[i]), 0);
	}
}

static void pools_and_rings_of_mbufs_on_the_tenants_socket_are_never_the_devices(void **state)
{
	struct rig *r = *state;
	int socket = moat_tenant_socket(r->tenant);
	const struct rte_memzone *zone = reserve(r, "zone", 4096);
	struct rte_ring *mbufs = rte_ring_create("on_socket", 1024, socket, 0);
	struct rte_mempool *pool =
		rte_mempool_create("on_socket", 63, 256, 0, 0, NULL, NULL, NULL, NULL, socket, 0);

	assert_non_null(mbufs);
	assert_non_null(pool);
	for (uint64_t at = 0; at < 16 * 1048576; at += 4096)
		assert_int_equal(rig_writes(r, BASE + at), BASE + at == zone->iova);
	rte_mempool_free(pool);
	rte_ring_free(mbufs);
	assert_int_equal(rte_memzone_free(zone), 0);
}

/* @return what is logged when the lcore leaves and enters again */
static const char *said_when_entering(struct rig *r)
{
	static char text[512];
	FILE *f = fmemopen(memset(text, 0, sizeof(text)), sizeof(text), "w");

	assert_non_null(f);
	must(moat_tenant_lcore_leave(r->tenant));
	rte_log_set_global_level(RTE_LOG_ERR);
	rte_openlog_stream(f);
	must(moat_tenant_lcore_enter(r->tenant));
	rte_openlog_stream(NULL);
	fclose(f);
	return text;
}

static void a_ring_of_a_queue_is_the_devices_once_the_queue_is_added(void **state)
{
	struct rig *r = *state;
	const struct rte_memzone *ring;
	char name[32];

	must(moat_tenant_queue_remove(r->tenant, r->port, 1));
	snprintf(name, sizeof(name), "eth_p%u_q1_rx_ring", r->port);
	ring = reserve(r, name, 8192);
	assert_false(rig_writes(r, ring->iova));
	/* Entering logs it once. */
	assert_string_equal(said_when_entering(r),
		"moat: tenant 'red': ring 'eth_p0_q1_rx_ring' lies in its memory, but queue 1 of port 0 was not "
		"added: the device cannot reach the ring; call moat_tenant_queue_add() for the queue\n");
	assert_string_equal(said_when_entering(r), "");
	must(moat_tenant_queue_add(r->tenant, r->port, 1));
	assert_true(rig_writes(r, ring->iova + 8191));
	/* Set up again with another size, while the queue belongs to the tenant. */
	assert_int_equal(rte_memzone_free(ring), 0);
	ring = reserve(r, name, 65536);
	assert_true(rig_writes(r, ring->iova + 65535));
	assert_int_equal(rte_memzone_free(ring), 0);
}

/* ------------------------------------------------------------------------------ who holds it up */

static void freeing_a_ring_says_within_a_second_which_lcores_may_hold_it_up(void **state)
{
	struct rig *r = *state;
	struct rig_sleeper s;
	const struct rte_memzone *ring = reserve(r, "ring", 4096);
	uint64_t iova = ring->iova, begin;

	rig_sleeper_start(&s, r);
	begin = rte_rdtsc();
	assert_int_equal(rte_memzone_free(ring), -ETIMEDOUT);
	assert_true(rte_rdtsc() - begin < 3 * rte_get_tsc_hz());
	assert_non_null(strstr(moat_error_text(), "ring 'ring' cannot be freed"));
	assert_non_null(strstr(moat_error_text(), "; lcores that have entered: "));
	/* Nothing has changed. moat_tenant_destroy() frees what a failed free left. */
	assert_true(rig_writes(r, iova));
	assert_int_equal(rig_unit_stats(r).early_reuse, 0);
	rig_sleeper_end(&s);
	assert_non_null(rte_memzone_lookup("ring"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_ring_has_pages_of_its_own_and_is_mapped_before_its_owner_has_it),
		T(what_a_pmd_keeps_beside_its_ring_is_not_the_devices),
		T(a_ring_that_is_freed_is_unmapped_before_the_heap_gives_its_memory_to_others),
		T(a_ring_that_dpdk_does_not_know_is_not_mapped_again),
		T(rings_that_fill_2_mib_come_and_go_one_by_one),
		T(pools_and_rings_of_mbufs_on_the_tenants_socket_are_never_the_devices),
		T(a_ring_of_a_queue_is_the_devices_once_the_queue_is_added),
		T(freeing_a_ring_says_within_a_second_which_lcores_may_hold_it_up),
	};

	if (rig_eal("test_rings") < 0)
		return 1;
	return cmocka_run_group_tests(tests, rig_make_port, NULL);
}
