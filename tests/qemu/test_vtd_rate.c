/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The cost of unmapping through the queue of QEMU's unit, by the number of pages that share a
 * ticket. No device is needed. The pages are apart (each needs a descriptor, up to the 64 that a
 * batch has room for; with more, the whole domain is invalidated) or side by side (one descriptor
 * for all). Cycles are the host's, because the guest's TSC runs with it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rte_cycles.h>

#include "machine.h"
#include "moat_domain.h"
#include "moat_vtd.h"
#include "must.h"

#define HOME   UINT64_C(0x40000000)
#define ROUNDS 64

struct point {
	unsigned int pages;
	double map, unmap;  /* cycles per page, lower quartiles */
	double descriptors; /* per page */
};

static const unsigned int batches[] = { 1, 8, 32, 64, 256 };
#define NR_BATCHES RTE_DIM(batches)

static struct moat_unit *unit;
static struct moat_domain *domain;
static struct moat_lane *lane;
static char *memory;
static uint64_t memory_hpa;

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* @return the lower quartile, which leaves out most of the delays of a host that shares its
 * processors */
static double quartile(uint64_t samples[ROUNDS])
{
	const uint64_t *quarter = &samples[ROUNDS / 4];

	qsort(samples, ROUNDS, sizeof(samples[0]), by_value);
	return (double)*quarter;
}

/** Map `pages` pages, each `stride` pages from the next, then unmap them under one ticket. */
static void one_round(unsigned int pages, unsigned int stride, uint64_t *map, uint64_t *unmap)
{
	uint64_t step = stride * MOAT_PAGE_SIZE;
	uint64_t start = rte_rdtsc_precise();
	uint64_t mapped;
	moat_ticket_t ticket;

	for (unsigned int i = 0; i < pages; i++)
		must(moat_lane_map(lane, HOME + i * step, memory_hpa + i * step, memory + i * step,
			MOAT_PAGE_SIZE, MOAT_RW));
	mapped = rte_rdtsc_precise();
	for (unsigned int i = 0; i < pages; i++)
		must(moat_lane_unmap(lane, HOME + i * step, MOAT_PAGE_SIZE));
	ticket = moat_lane_flush(lane);
	assert_int_not_equal(ticket, 0);
	while (moat_lane_poll(lane) < ticket)
		;
	*map = mapped - start;
	*unmap = rte_rdtsc_precise() - mapped;
}

static void measure(struct point *point, unsigned int stride)
{
	uint64_t map[ROUNDS], unmap[ROUNDS];
	uint64_t before = moat_lane_stats(lane)->descriptors;

	for (unsigned int i = 0; i < ROUNDS; i++)
		one_round(point->pages, stride, &map[i], &unmap[i]);
	point->descriptors =
		(double)(moat_lane_stats(lane)->descriptors - before) / ROUNDS / point->pages;
	point->map = quartile(map) / point->pages;
	point->unmap = quartile(unmap) / point->pages;
}

static void print_curve(const char *name, const struct point points[NR_BATCHES])
{
	print_message("# %s: cycles per page, and descriptors\n", name);
	print_message("#  batch       map     unmap  of 1   desc/page\n");
	for (unsigned int i = 0; i < NR_BATCHES; i++)
		print_message("# %6u %9.0f %9.0f  1/%-4.1f %6.3f\n", points[i].pages, points[i].map,
			points[i].unmap, points[0].unmap / points[i].unmap, points[i].descriptors);
}

static void curve(const char *name, unsigned int stride, struct point points[NR_BATCHES])
{
	uint64_t warm[2];

	one_round(batches[NR_BATCHES - 1], stride, &warm[0], &warm[1]);
	for (unsigned int i = 0; i < NR_BATCHES; i++) {
		points[i].pages = batches[i];
		measure(&points[i], stride);
	}
	print_curve(name, points);
}

static void pages_that_lie_apart_cost_a_quarter_in_a_batch_of_64(void **state)
{
	struct point points[NR_BATCHES];

	curve("pages that lie apart", 2, points);
	assert_true(points[0].descriptors == 1 && points[3].descriptors == 1);
	assert_true(points[3].unmap * 4 <= points[0].unmap);
}

static void pages_side_by_side_need_one_descriptor_for_all(void **state)
{
	struct point points[NR_BATCHES];

	curve("pages side by side", 1, points);
	for (unsigned int i = 0; i < NR_BATCHES; i++)
		assert_true(points[i].descriptors * points[i].pages == 1);
	assert_true(points[3].unmap * 4 <= points[0].unmap);
}

static int set_up(void **state)
{
	static moat_sid_t kernels[64];
	struct moat_vtd_conf conf = {
		.name = "dmar0",
		.mem = &machine_mem,
		.hpa = machine_hpa,
		.pass_through = kernels,
		.nr_pass_through = machine_functions(kernels, RTE_DIM(kernels), NULL, 0),
	};

	machine_window(&conf.window);
	must(machine_mem.alloc(NULL, MOAT_2M_SIZE, (void **)&memory, &memory_hpa));
	must(moat_vtd_create(&conf, &unit));
	must(moat_domain_create(unit, &(struct moat_domain_conf){ .name = "rate" }, &domain));
	lane = moat_lane_open(domain);
	assert_non_null(lane);
	return 0;
}

static int tear_down(void **state)
{
	must(moat_lane_close(lane));
	must(moat_domain_destroy(domain));
	unit->ops->destroy(unit);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_that_lie_apart_cost_a_quarter_in_a_batch_of_64),
		cmocka_unit_test(pages_side_by_side_need_one_descriptor_for_all),
	};

	return cmocka_run_group_tests_name("rates through QEMU's queue", tests, set_up, tear_down);
}
