/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Every mode, with DPDK's unmodified PMD on QEMU's NICs and QEMU's unit: packets arrive complete,
 * the device is refused nothing that it may do, and everything comes back at the end. Runs in the
 * lab's guest; the environment has two functions that see each other's frames.
 *
 * Arguments: how many packets each tenant receives in each mode, and the stage of scalable mode,
 * "second" or "first"; without it the unit is in legacy mode. The last line has moat's counters,
 * for test-trace. */

#include <err.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rte_cycles.h>

#include "moat_vtd.h"
#include "must.h"
#include "node.h"

#define MEMORY  (32 * MOAT_2M_SIZE)
#define BUFFERS 4096

static uint64_t packets = 100000; /* that each receives; argv[1]: some NICs are slow in QEMU */
static enum moat_vtd_stage stage; /* of scalable mode; ANY: legacy mode */
static struct moat_unit *unit;
static struct node red = { .name = "red", .variable = "RED", .colour = 0x11 };
static struct node blue = { .name = "blue", .variable = "BLUE", .colour = 0x77 };

static void print_stats(const struct node *n, double seconds)
{
	struct moat_tenant_stats stats;

	moat_tenant_stats(n->tenant, &stats);
	print_message("# %s: %" PRIu64 " received, %.2f Mpps; %" PRIu64 " pages unmapped, %" PRIu64
		      " descriptors, %" PRIu64 " tickets, %" PRIu64 " waits, %" PRIu64 " starved\n",
		n->name, n->received, n->received / seconds / 1e6, stats.lane.pages_unmapped,
		stats.lane.descriptors, stats.lane.flushes, stats.waits, stats.starved);
	assert_int_equal(stats.map_failed, 0);
	assert_int_equal(stats.verify_failed, 0);
}

static void print_counted(void)
{
	struct moat_vtd_stats vtd;
	struct moat_qi_stats qi;

	moat_vtd_stats(unit, &vtd);
	moat_qi_stats(unit->qi, &qi);
	print_message("# counted: descriptors=%" PRIu64 " waits=%" PRIu64 " doorbells=%" PRIu64
		      " detaches=%" PRIu64 "\n",
		qi.descriptors, qi.waits, qi.doorbells, vtd.detaches);
}

static void expect_no_fault(void)
{
	struct moat_fault fault;

	if (unit->ops->faults(unit, &fault, 1) != 0)
		fail_msg("fault: " MOAT_SID_FMT " iova 0x%" PRIx64 ": %s", MOAT_SID_ARGS(fault.sid),
			fault.iova, fault.reason_text);
}

static void exchange_in(enum moat_mode mode)
{
	const struct node_conf conf = {
		.unit = unit,
		.mode = mode,
		.memory = MEMORY,
		.leaf_sizes = UINT64_MAX,
		.buffers = BUFFERS,
	};
	uint64_t start;
	double seconds;

	node_start(&red, &conf);
	node_start(&blue, &conf);
	start = rte_rdtsc();
	node_exchange(&red, &blue, packets);
	seconds = (double)(rte_rdtsc() - start) / rte_get_tsc_hz();
	print_stats(&red, seconds);
	print_stats(&blue, seconds);
	assert_int_equal(red.damaged, 0);
	assert_int_equal(blue.damaged, 0);
	expect_no_fault();
	node_stop(&red);
	node_stop(&blue);
	expect_no_fault();
}

static void mode_static_exchanges_intact_packets(void **state)
{
	exchange_in(MOAT_STATIC);
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

static int unit_up(void **state)
{
	static moat_sid_t kernels[64];
	const moat_sid_t ours[] = { machine_sid(machine_bdf(red.variable)),
		machine_sid(machine_bdf(blue.variable)) };
	struct moat_vtd_conf conf = {
		.name = "dmar0",
		.mem = &machine_mem,
		.hpa = machine_hpa,
		.pass_through = kernels,
		.nr_pass_through =
			machine_functions(kernels, RTE_DIM(kernels), ours, RTE_DIM(ours)),
		.mode = stage == MOAT_VTD_STAGE_ANY ? MOAT_VTD_LEGACY : MOAT_VTD_SCALABLE,
		.stage = stage,
	};

	machine_window(&conf.window);
	must(moat_vtd_create(&conf, &unit));
	return 0;
}

static int unit_down(void **state)
{
	print_counted();
	unit->ops->destroy(unit);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mode_static_exchanges_intact_packets),
		cmocka_unit_test(mode_strict_exchanges_intact_packets),
		cmocka_unit_test(mode_pipelined_exchanges_intact_packets),
		cmocka_unit_test(mode_deferred_exchanges_intact_packets),
		cmocka_unit_test(mode_copy_exchanges_intact_packets),
	};

	if (argc > 1)
		packets = strtoul(argv[1], NULL, 0);
	if (argc > 2 && moat_vtd_stage_parse(argv[2], &stage) != 0)
		errx(2, "%s: %s", argv[2], moat_error_text());
	node_init(argv[0]);
	return cmocka_run_group_tests_name("modes on real NICs", tests, unit_up, unit_down);
}
