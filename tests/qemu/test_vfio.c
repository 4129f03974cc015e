/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Two tenants on two virtual functions of an igb, with a kernel that owns the unit: through
 * vfio-pci, with a container each. Runs in the lab's guest, booted with intel_iommu=on. With an
 * argument the program becomes that user first, and so shows that the groups' nodes and the right
 * to lock memory suffice. */

#include <err.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_cycles.h>
#include <rte_malloc.h>
#include <rte_memzone.h>

#include "moat_vfio.h"
#include "must.h"
#include "node.h"

#define SHOWN      510000 /* packets that each tenant receives */
#define BRIEFLY    2000   /* packets, in the modes that unmap, which need system calls for each */
#define BUFFERS    2048
#define MEMORY     (16 * MOAT_2M_SIZE)
#define VICTIM     UINT64_C(0xc0000000) /* an IOVA of blue's */
#define CANARY     0xa5
#define NARROW     (UINT64_C(1) << 38) /* tables translate these low bits of virtual addresses */
#define PATIENCE_S 60

static struct moat_unit *unit;
static struct node red = { .name = "red", .variable = "RED", .colour = 0x11 };
static struct node blue = { .name = "blue", .variable = "BLUE", .colour = 0x77 };

static struct node_conf conf = {
	.mode = MOAT_STATIC,
	.memory = MEMORY,
	.leaf_sizes = UINT64_MAX,
	.buffers = BUFFERS,
};

static struct moat_vfio_info info_of(const struct node *n)
{
	struct moat_vfio_info info;

	moat_vfio_info(moat_tenant_domain(n->tenant), &info);
	return info;
}

/* ------------------------------------------------------------------------------ forwarding */

static void exchange(uint64_t packets)
{
	uint64_t start = rte_rdtsc(), before = red.received + blue.received;
	double seconds;

	node_exchange(&red, &blue, packets);
	seconds = (double)(rte_rdtsc() - start) / rte_get_tsc_hz();
	print_message("# %s: red received %" PRIu64 " of %" PRIu64 ", blue %" PRIu64 " of %" PRIu64
		      ", %.3f Mpps\n",
		moat_mode_name(conf.mode), red.received, blue.sent, blue.received, red.sent,
		(red.received + blue.received - before) / seconds / 1e6);
	assert_int_equal(red.damaged, 0);
	assert_int_equal(blue.damaged, 0);
}

static void expect_no_fault(void)
{
	struct moat_fault fault;

	if (unit->ops->faults(unit, &fault, 1) != 0)
		fail_msg("fault: " MOAT_SID_FMT " iova 0x%" PRIx64 ": %s", MOAT_SID_ARGS(fault.sid),
			fault.iova, fault.reason_text);
}

static void two_tenants_exchange_half_a_million_packets_each_all_intact(void **state)
{
	node_start(&red, &conf);
	node_start(&blue, &conf);
	exchange(SHOWN);
	expect_no_fault();
}

/* ---------------------------------------------------------------------- what a container holds */

struct rings {
	const struct node *n;
	uint64_t maps;
	uint8_t page[MEMORY / MOAT_PAGE_SIZE]; /* memzones in each page of the tenant's */
};

/* A ring has whole pages of its own, and one map in each granule of 2 MiB that it touches. */
static void note_memzone(const struct rte_memzone *mz, void *arg)
{
	struct rings *r = arg;
	uint64_t from = mz->iova - NODE_HOME;

	if (mz->socket_id != moat_tenant_socket(r->n->tenant))
		return;
	assert_int_equal(from & MOAT_PAGE_MASK, 0);
	assert_int_equal(mz->len & MOAT_PAGE_MASK, 0);
	r->maps += (from + mz->len - 1) / MOAT_2M_SIZE - from / MOAT_2M_SIZE + 1;
	for (uint64_t at = from; at < from + mz->len; at += MOAT_PAGE_SIZE)
		r->page[at >> MOAT_PAGE_SHIFT]++;
}

/** Check that buffers are in one map, and each ring is in a map of its own. @return bytes */
static uint64_t expect_its_own(const struct node *n)
{
	static struct rings r;
	struct moat_vfio_info info = info_of(n);
	uint64_t buffers = MEMORY - MEMORY / 8, pages = 0;

	memset(&r, 0, sizeof(r));
	r.n = n;
	rte_memzone_walk(note_memzone, &r);
	for (unsigned int i = 0; i < RTE_DIM(r.page); i++) {
		assert_true(r.page[i] <= 1);
		pages += r.page[i];
	}
	print_message("# %s: %" PRIu64 " maps, %" PRIu64 " KiB: buffers, and %" PRIu64
		      " rings of %" PRIu64 " pages; the kernel says %" PRIu64 " of %" PRIu64
		      " left\n",
		n->name, info.maps, info.bytes / 1024, r.maps, pages, info.dma_avail,
		info.dma_limit);
	assert_true(r.maps >= 2); /* an rx ring and a tx ring */
	assert_int_equal(info.maps, r.maps + 1);
	assert_int_equal(info.bytes, buffers + pages * MOAT_PAGE_SIZE);
	assert_int_equal(info.dma_limit - info.dma_avail, info.maps);
	assert_int_equal(info.groups, 1);
	return info.bytes;
}

/** @return the memory that VFIO has pinned for this process, as the kernel counts it */
static uint64_t locked_bytes(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	uint64_t kib = UINT64_MAX;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmLck: %" SCNu64 " kB", &kib) == 1)
			break;
	fclose(f);
	return kib * 1024;
}

static void each_container_holds_exactly_its_tenants_maps(void **state)
{
	uint64_t bytes = expect_its_own(&red) + expect_its_own(&blue);

	/* DPDK's default container and all others are empty. */
	assert_int_equal(locked_bytes(), bytes);
}

/* ------------------------------------------------------------------------------- isolation */

static bool is_all(const uint8_t *bytes, uint64_t len, uint8_t value)
{
	return bytes[0] == value && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/** Has the kernel logged a fault of red's at this page? It must log none of blue's. */
static bool logged(uint64_t iova, bool write)
{
	struct moat_fault fault;
	bool found = false;

	while (unit->ops->faults(unit, &fault, 1) != 0) {
		assert_int_equal(fault.sid, red.sid);
		if (fault.iova != (iova & ~MOAT_PAGE_MASK) || fault.write != write || found)
			continue;
		print_message("# " MOAT_SID_FMT " %s 0x%" PRIx64 ": fault 0x%x, %s\n",
			MOAT_SID_ARGS(fault.sid), write ? "wrote" : "read", fault.iova,
			fault.reason, fault.reason_text);
		found = true;
	}
	return found;
}

/** Let red's device access `iova`. The kernel logs at most ten faults in five seconds, so the
 * access is repeated until one is logged. */
static void red_is_refused(uint64_t iova, bool write)
{
	time_t end = time(NULL) + PATIENCE_S;

	do {
		if (time(NULL) > end)
			fail_msg("no fault of red's at 0x%" PRIx64 " in %d s", iova, PATIENCE_S);
		if (write)
			node_receive_into(&red, &blue, iova);
		else
			node_send_from(&red, &blue, iova);
		for (unsigned int i = 0; i < 5; i++) {
			usleep(100000);
			if (logged(iova, write))
				return;
		}
	} while (true);
}

static void reds_device_reaches_neither_blues_memory_nor_what_nobody_has(void **state)
{
	struct moat_lane *lane = moat_tenant_lane(blue.tenant);
	uint8_t *victim;
	uint64_t hpa;

	must(machine_mem.alloc(NULL, MOAT_2M_SIZE, (void **)&victim, &hpa));
	memset(victim, CANARY, MOAT_2M_SIZE);
	must(moat_lane_map(lane, VICTIM, (uintptr_t)victim, victim, MOAT_2M_SIZE, MOAT_RW));
	red_is_refused(VICTIM, false);
	red_is_refused(VICTIM, true);
	red_is_refused(hpa, false);
	red_is_refused((uintptr_t)victim & (NARROW - 1), false);
	red_is_refused(VICTIM + MOAT_2M_SIZE, true);
	assert_true(is_all(victim, MOAT_2M_SIZE, CANARY));
	must(moat_lane_unmap(lane, VICTIM, MOAT_2M_SIZE));
	must(moat_lane_drain(lane));
	machine_mem.free(NULL, victim, MOAT_2M_SIZE);
}

static void reds_device_reaches_no_memory_of_dpdks_nor_its_heaps_bookkeeping(void **state)
{
	void *dpdks = rte_malloc(NULL, MOAT_PAGE_SIZE, MOAT_PAGE_SIZE);

	assert_non_null(dpdks);
	red_is_refused((uintptr_t)dpdks & (NARROW - 1), false);
	red_is_refused(NODE_HOME, false); /* the header of the heap's first element is there */
	rte_free(dpdks);
}

static void red_writes_no_page_that_it_may_only_read(void **state)
{
	struct moat_lane *lane = moat_tenant_lane(red.tenant);
	uint8_t *page;
	uint64_t hpa;

	must(machine_mem.alloc(NULL, MOAT_2M_SIZE, (void **)&page, &hpa));
	memset(page, CANARY, MOAT_2M_SIZE);
	must(moat_lane_map(lane, VICTIM, (uintptr_t)page, page, MOAT_PAGE_SIZE, MOAT_R));
	red_is_refused(VICTIM, true);
	assert_true(is_all(page, MOAT_2M_SIZE, CANARY));
	must(moat_lane_unmap(lane, VICTIM, MOAT_PAGE_SIZE));
	must(moat_lane_drain(lane));
	red_is_refused(VICTIM, false); /* nothing is there once the ticket of its unmap is done */
	machine_mem.free(NULL, page, MOAT_2M_SIZE);
}

static void no_domain_has_the_window_of_interrupts(void **state)
{
	struct moat_domain *domain = moat_tenant_domain(red.tenant);

	assert_true(unit->caps.nr_reserved >= 1);
	assert_int_equal(moat_iova_reserve(domain->iova, UINT64_C(0xfee00000), MOAT_PAGE_SIZE),
		-EBUSY);
}

static void both_still_exchange_packets_and_leave(void **state)
{
	struct moat_fault fault;

	while (unit->ops->faults(unit, &fault, 1) != 0)
		assert_int_equal(fault.sid, red.sid);
	exchange(BRIEFLY);
	expect_no_fault();
	node_stop(&red);
	node_stop(&blue);
	assert_int_equal(locked_bytes(), 0);
}

/* ---------------------------------------------------------------------------- other modes */

static void exchange_in(enum moat_mode mode)
{
	struct moat_vfio_info before, after;

	conf.mode = mode;
	node_start(&red, &conf);
	node_start(&blue, &conf);
	before = info_of(&red);
	exchange(BRIEFLY);
	after = info_of(&red);
	print_message("# %s: a packet received and one sent take %.2f maps and %.2f unmaps\n",
		moat_mode_name(mode), (double)(after.map_calls - before.map_calls) / red.received,
		(double)(after.unmap_calls - before.unmap_calls) / red.received);
	expect_no_fault();
	node_stop(&red);
	node_stop(&blue);
	assert_int_equal(locked_bytes(), 0);
}

static void mode_strict_exchanges_intact_packets(void **state)
{
	exchange_in(MOAT_STRICT);
}

static void mode_pipelined_exchanges_intact_packets(void **state)
{
	exchange_in(MOAT_PIPELINED);
}

static void mode_deferred_exchanges_intact_packets(void **state)
{
	exchange_in(MOAT_DEFERRED);
}

static void mode_copy_exchanges_intact_packets(void **state)
{
	exchange_in(MOAT_COPY);
}

/* ------------------------------------------------------------------------ as anybody else */

static void an_ordinary_user_runs_two_tenants(void **state)
{
	assert_int_not_equal(geteuid(), 0);
	node_start(&red, &conf);
	node_start(&blue, &conf);
	exchange(BRIEFLY);
	assert_int_equal(locked_bytes(), expect_its_own(&red) + expect_its_own(&blue));
	node_stop(&red);
	node_stop(&blue);
}

static void too_little_memory_to_lock_is_said_with_the_remedy(void **state)
{
	const struct rlimit little = { .rlim_cur = 8 << 20, .rlim_max = 8 << 20 };
	struct moat_tenant_conf tenant = {
		.name = "red",
		.unit = unit,
		.mode = MOAT_STATIC,
		.memory = MEMORY,
		.leaf_sizes = UINT64_MAX,
		.numa = SOCKET_ID_ANY,
	};
	struct moat_tenant *t;

	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &little), 0);
	must(moat_tenant_create(&tenant, &t));
	assert_int_equal(moat_tenant_attach(t, machine_sid(machine_bdf(red.variable))), -ENOMEM);
	print_message("# %s\n", moat_error_text());
	assert_non_null(strstr(moat_error_text(), "8192 KiB"));
	assert_non_null(strstr(moat_error_text(), "ulimit -l"));
	must(moat_tenant_destroy(t));
	assert_int_equal(locked_bytes(), 0);
}

/* ------------------------------------------------------------------------------- the group */

static int unit_up(void **state)
{
	const moat_sid_t functions[] = { machine_sid(machine_bdf(red.variable)),
		machine_sid(machine_bdf(blue.variable)) };
	const struct moat_vfio_conf vfio = {
		.name = "vfio0",
		.functions = functions,
		.nr_functions = RTE_DIM(functions),
	};

	must(moat_vfio_create(&vfio, &unit));
	conf.unit = unit;
	print_message("# %u bits, %u reserved regions, from 0x%" PRIx64 "\n", unit->caps.mgaw,
		unit->caps.nr_reserved, unit->caps.reserved[0].iova);
	return 0;
}

static int unit_down(void **state)
{
	unit->ops->destroy(unit);
	return 0;
}

static void become(uid_t user)
{
	if (setgid(user) != 0 || setuid(user) != 0)
		err(1, "user %u", user);
}

int main(int argc, char **argv)
{
	/* The order matters: each test leaves the nodes as the next one needs them. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_tenants_exchange_half_a_million_packets_each_all_intact),
		cmocka_unit_test(each_container_holds_exactly_its_tenants_maps),
		cmocka_unit_test(reds_device_reaches_neither_blues_memory_nor_what_nobody_has),
		cmocka_unit_test(reds_device_reaches_no_memory_of_dpdks_nor_its_heaps_bookkeeping),
		cmocka_unit_test(red_writes_no_page_that_it_may_only_read),
		cmocka_unit_test(no_domain_has_the_window_of_interrupts),
		cmocka_unit_test(both_still_exchange_packets_and_leave),
		cmocka_unit_test(mode_strict_exchanges_intact_packets),
		cmocka_unit_test(mode_pipelined_exchanges_intact_packets),
		cmocka_unit_test(mode_deferred_exchanges_intact_packets),
		cmocka_unit_test(mode_copy_exchanges_intact_packets),
	};
	const struct CMUnitTest users[] = {
		cmocka_unit_test(an_ordinary_user_runs_two_tenants),
		cmocka_unit_test(too_little_memory_to_lock_is_said_with_the_remedy),
	};

	if (argc > 1)
		become((uid_t)atoi(argv[1]));
	node_init(argv[0]);
	if (argc > 1)
		return cmocka_run_group_tests_name("vfio as a user", users, unit_up, unit_down);
	return cmocka_run_group_tests_name("two containers on one igb", tests, unit_up, unit_down);
}
