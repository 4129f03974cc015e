/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Two tenants on two virtual functions of an igb, and then on two igbs, through tables that moat
 * wrote for QEMU's unit: packets from one tenant to the other, attempts of red's device on memory
 * that is not red's, and buffers that are unmapped while the device writes at full rate. Runs in
 * the lab's guest. */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "moat_vtd.h"
#include "must.h"
#include "node.h"

#define SHOWN  510000 /* packets that each tenant receives */
#define PLENTY 2048   /* buffers */
#define MEMORY (16 * MOAT_2M_SIZE)
#define VICTIM UINT64_C(0xc0000000) /* an IOVA of blue's */
#define CANARY 0xa5

static struct moat_unit *unit;
static struct node red = { .name = "red", .variable = "RED", .colour = 0x11 };
static struct node blue = { .name = "blue", .variable = "BLUE", .colour = 0x77 };

/* -------------------------------------------------------------------------------- helpers */

/** @param leaf_sizes, buffers for red; blue has superpages and PLENTY */
static void start_both(uint64_t leaf_sizes, unsigned int buffers)
{
	struct node_conf conf = {
		.unit = unit,
		.mode = MOAT_STATIC,
		.memory = MEMORY,
		.leaf_sizes = UINT64_MAX,
		.buffers = PLENTY,
	};

	red.excuse = blue.excuse = NULL;
	node_start(&blue, &conf);
	conf.leaf_sizes = leaf_sizes;
	conf.buffers = buffers;
	node_start(&red, &conf);
}

static void stop_both(void)
{
	node_stop(&red);
	node_stop(&blue);
}

static uint64_t hpa_of(const void *va)
{
	uint64_t hpa;

	must(machine_hpa(NULL, va, 1, &hpa));
	return hpa;
}

static void expect_no_fault(void)
{
	struct moat_fault fault;

	if (unit->ops->faults(unit, &fault, 1) != 0)
		fail_msg("fault: " MOAT_SID_FMT " iova 0x%" PRIx64 ": %s", MOAT_SID_ARGS(fault.sid),
			fault.iova, fault.reason_text);
}

/** Assert that the oldest fault is red's, for this page and kind of access. All others are red's,
 * too. */
static void expect_reds_fault(uint64_t iova, uint8_t reason, bool write)
{
	struct moat_fault fault;

	assert_int_equal(unit->ops->faults(unit, &fault, 1), 1);
	print_message("# " MOAT_SID_FMT " %s 0x%" PRIx64 ": fault 0x%x, %s\n",
		MOAT_SID_ARGS(fault.sid), fault.write ? "wrote" : "read", fault.iova, fault.reason,
		fault.reason_text);
	assert_int_equal(fault.sid, red.sid);
	assert_int_equal(fault.iova, iova & ~MOAT_PAGE_MASK);
	assert_int_equal(fault.reason, reason);
	assert_int_equal(fault.write, write);
	while (unit->ops->faults(unit, &fault, 1) != 0)
		assert_int_equal(fault.sid, red.sid);
}

static bool is_all(const uint8_t *bytes, uint64_t len, uint8_t value)
{
	return bytes[0] == value && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* ------------------------------------------------------------------------------ forwarding */

static void exchange_half_a_million(void)
{
	uint64_t start = rte_rdtsc();
	double seconds;

	node_exchange(&red, &blue, SHOWN);
	seconds = (double)(rte_rdtsc() - start) / rte_get_tsc_hz();
	print_message("# red received %" PRIu64 " of %" PRIu64 ", blue %" PRIu64 " of %" PRIu64
		      ", %.2f Mpps\n",
		red.received, blue.sent, blue.received, red.sent,
		(red.received + blue.received) / seconds / 1e6);
	assert_int_equal(red.damaged, 0);
	assert_int_equal(blue.damaged, 0);
	expect_no_fault();
}

static void two_tenants_exchange_half_a_million_packets_each_all_intact(void **state)
{
	exchange_half_a_million();
}

static void two_tenants_on_physical_functions_do_the_same(void **state)
{
	red.variable = "RED_PF";
	blue.variable = "BLUE_PF";
	start_both(UINT64_MAX, PLENTY);
	exchange_half_a_million();
	stop_both();
}

/* ------------------------------------------------------------------------------- isolation */

static void red_is_well_again(void)
{
	struct moat_fault fault;

	node_renew_ring(&red, &blue);
	while (unit->ops->faults(unit, &fault, 1) != 0)
		assert_int_equal(fault.sid, red.sid);
	node_exchange(&red, &blue, 10000);
	assert_int_equal(red.damaged, 0);
	assert_int_equal(blue.damaged, 0);
	expect_no_fault();
}

static void red_reaches_neither_blues_memory_nor_what_nobody_has(void **state)
{
	struct moat_lane *lane = moat_tenant_lane(blue.tenant);
	uint8_t *victim;
	uint64_t hpa;

	must(machine_mem.alloc(NULL, MOAT_2M_SIZE, (void **)&victim, &hpa));
	memset(victim, CANARY, MOAT_2M_SIZE);
	must(moat_lane_map(lane, VICTIM, hpa, victim, MOAT_2M_SIZE, MOAT_RW));
	const uint64_t targets[] = { VICTIM, hpa, VICTIM + MOAT_2M_SIZE };

	for (unsigned int i = 0; i < RTE_DIM(targets); i++) {
		node_send_from(&red, &blue, targets[i]);
		expect_reds_fault(targets[i], VTD_FR_READ, false);
		node_receive_into(&red, &blue, targets[i]);
		expect_reds_fault(targets[i], VTD_FR_WRITE, true);
		assert_true(is_all(victim, MOAT_2M_SIZE, CANARY));
		red_is_well_again();
	}
	must(moat_lane_unmap(lane, VICTIM, MOAT_2M_SIZE));
	must(moat_lane_drain(lane));
	machine_mem.free(NULL, victim, MOAT_2M_SIZE);
}

static void red_writes_no_page_that_it_may_only_read(void **state)
{
	struct moat_lane *lane = moat_tenant_lane(red.tenant);
	uint8_t *page;
	uint64_t hpa;

	must(machine_mem.alloc(NULL, MOAT_2M_SIZE, (void **)&page, &hpa));
	memset(page, CANARY, MOAT_2M_SIZE);
	must(moat_lane_map(lane, VICTIM, hpa, page, MOAT_PAGE_SIZE, MOAT_R));
	node_receive_into(&red, &blue, VICTIM);
	expect_reds_fault(VICTIM, VTD_FR_WRITE, true);
	assert_true(is_all(page, MOAT_2M_SIZE, CANARY));
	red_is_well_again();
	must(moat_lane_unmap(lane, VICTIM, MOAT_PAGE_SIZE));
	must(moat_lane_drain(lane));
	machine_mem.free(NULL, page, MOAT_2M_SIZE);
}

static void paint_buffer(struct rte_mempool *mp, void *opaque, void *obj, unsigned int i)
{
	memset(((struct rte_mbuf *)obj)->buf_addr, CANARY, ((struct rte_mbuf *)obj)->buf_len);
}

static void look_at_buffer(struct rte_mempool *mp, void *opaque, void *obj, unsigned int i)
{
	const struct rte_mbuf *m = obj;

	if (!is_all(m->buf_addr, m->buf_len, CANARY))
		++*(unsigned int *)opaque;
}

static void after_detach_reds_device_reaches_nothing(void **state)
{
	unsigned int written = 0;
	struct rte_mbuf *m;

	must(moat_tenant_detach(red.tenant, red.sid));
	rte_mempool_obj_iter(red.pool, paint_buffer, NULL);
	for (unsigned int i = 0; i < 100; i++)
		node_send(&blue, &red, NODE_BURST);
	m = node_frame(&red, &blue);
	assert_non_null(m);
	memset(rte_pktmbuf_mtod(m, void *), CANARY, NODE_FRAME);
	rte_eth_tx_burst(red.port, 0, &m, 1);
	rte_mempool_obj_iter(red.pool, look_at_buffer, &written);
	assert_int_equal(written, 0);
	struct moat_fault fault;

	assert_int_equal(unit->ops->faults(unit, &fault, 1), 1);
	assert_int_equal(fault.sid, red.sid);
	assert_int_equal(fault.reason, VTD_FR_CONTEXT_P);
	while (unit->ops->faults(unit, &fault, 1) != 0)
		assert_int_equal(fault.sid, red.sid);
	must(moat_tenant_attach(red.tenant, red.sid));
}

/* ------------------------------------------------------------------------------ under fire */

#define SALVO  64 /* pages that share a ticket */
#define UNMAPS 100000
#define STOCK  (NODE_RING + 4 * NODE_BURST) /* buffers, nearly all of which are in the ring */

static struct rte_mbuf *buffers[STOCK];

static void note_buffer(struct rte_mempool *mp, void *opaque, void *obj, unsigned int i)
{
	buffers[i] = obj;
}

static bool is_painted(const struct rte_mbuf *m)
{
	return is_all(m->buf_addr, 2048, CANARY);
}

static uint64_t page_of(const struct rte_mbuf *m)
{
	return rte_mbuf_iova_get(m);
}

/** Unmap some of red's buffers, wherever they are. Once the ticket is done, nothing may write
 * there. */
static unsigned int salvo(struct moat_lane *lane, uint64_t *random)
{
	unsigned int first, struck = 0;

	*random = *random * UINT64_C(6364136223846793005) + 1442695040888963407;
	first = (*random >> 33) % (STOCK - SALVO);
	for (unsigned int i = first; i < first + SALVO; i++)
		must(moat_lane_unmap(lane, page_of(buffers[i]), MOAT_PAGE_SIZE));
	must(moat_lane_drain(lane));
	for (unsigned int i = first; i < first + SALVO; i++)
		memset(buffers[i]->buf_addr, CANARY, 2048);
	node_send(&blue, &red, NODE_BURST);
	node_send(&blue, &red, NODE_BURST);
	for (unsigned int i = first; i < first + SALVO; i++)
		struck += !is_painted(buffers[i]);
	for (unsigned int i = first; i < first + SALVO; i++)
		must(moat_lane_map(lane, page_of(buffers[i]), hpa_of(buffers[i]->buf_addr),
			buffers[i]->buf_addr, MOAT_PAGE_SIZE, MOAT_RW));
	return struck;
}

static void no_write_lands_in_a_buffer_after_its_unmaps_ticket(void **state)
{
	struct moat_lane *lane = moat_tenant_lane(red.tenant);
	uint64_t random = 1, unmaps = 0, faults = 0;
	unsigned int struck = 0;
	struct moat_fault fault;

	rte_mempool_obj_iter(red.pool, note_buffer, NULL);
	red.excuse = is_painted;
	while (unmaps < UNMAPS) {
		struck += salvo(lane, &random);
		unmaps += SALVO;
		while (node_receive(&red, &blue) != 0)
			;
		while (unit->ops->faults(unit, &fault, 1) != 0) {
			assert_int_equal(fault.sid, red.sid);
			assert_int_equal(fault.reason, VTD_FR_WRITE);
			faults++;
		}
	}
	print_message("# %" PRIu64 " unmaps under %" PRIu64 " packets: %" PRIu64
		      " refused (%" PRIu64 " faults recorded), %" PRIu64 " intact\n",
		unmaps, blue.sent, red.excused, faults, red.received);
	assert_int_equal(struck, 0);
	assert_int_equal(red.damaged, 0);
	assert_true(red.excused > UNMAPS / 100); /* else too few buffers were in use */
	assert_true(red.received > UNMAPS / 100);
	red.excuse = NULL;
}

/* ------------------------------------------------------------------------------- the group */

static int unit_up(void **state)
{
	static moat_sid_t kernels[64];
	const moat_sid_t ours[] = { machine_sid(machine_bdf(red.variable)),
		machine_sid(machine_bdf(blue.variable)), machine_sid(machine_bdf("RED_PF")),
		machine_sid(machine_bdf("BLUE_PF")) };
	struct moat_vtd_conf conf = {
		.name = "dmar0",
		.mem = &machine_mem,
		.hpa = machine_hpa,
		.pass_through = kernels,
		.nr_pass_through =
			machine_functions(kernels, RTE_DIM(kernels), ours, RTE_DIM(ours)),
	};

	machine_window(&conf.window);
	must(moat_vtd_create(&conf, &unit));
	return 0;
}

static int unit_down(void **state)
{
	unit->ops->destroy(unit);
	return 0;
}

static void with_superpages(void **state)
{
	start_both(UINT64_MAX, PLENTY);
}

static void with_small_pages_and_few_buffers(void **state)
{
	stop_both();
	start_both(MOAT_LEAF_4K_ONLY, STOCK);
}

static void both_leave(void **state)
{
	stop_both();
}

int main(int argc, char **argv)
{
	/* The order matters: each test leaves the nodes as the next one needs them. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_superpages),
		cmocka_unit_test(two_tenants_exchange_half_a_million_packets_each_all_intact),
		cmocka_unit_test(red_reaches_neither_blues_memory_nor_what_nobody_has),
		cmocka_unit_test(red_writes_no_page_that_it_may_only_read),
		cmocka_unit_test(after_detach_reds_device_reaches_nothing),
		cmocka_unit_test(with_small_pages_and_few_buffers),
		cmocka_unit_test(no_write_lands_in_a_buffer_after_its_unmaps_ticket),
		cmocka_unit_test(both_leave),
		cmocka_unit_test(two_tenants_on_physical_functions_do_the_same),
	};

	node_init(argv[0]);
	return cmocka_run_group_tests_name("two tenants on igbs", tests, unit_up, unit_down);
}
