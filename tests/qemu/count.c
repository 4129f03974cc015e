/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Makes moat give QEMU's unit work of all kinds, and prints moat's counters. test-trace compares
 * these with QEMU's trace. Runs in the lab's guest. */

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"
#include "moat_domain.h"
#include "moat_vtd.h"

#define HOME    UINT64_C(0x40000000)
#define PAGES   512
#define BATCHES 500

static struct moat_unit *unit;
static char *memory;
static uint64_t memory_hpa;
static uint64_t lane_descriptors, lane_pages;

static void must_be_0(int ret, const char *what)
{
	if (ret != 0)
		errx(1, "%s: %d: %s", what, ret, moat_error_text());
}
#define must_do(call) must_be_0(call, #call)

/** Map a run, and unmap it; it is gathered with other runs. */
static void map_and_unmap(struct moat_lane *lane, unsigned int first, unsigned int n)
{
	uint64_t at = first * MOAT_PAGE_SIZE;

	must_do(moat_lane_map(lane, HOME + at, memory_hpa + at, memory + at, n * MOAT_PAGE_SIZE,
		MOAT_RW));
	must_do(moat_lane_unmap(lane, HOME + at, n * MOAT_PAGE_SIZE));
}

/** Make batches of one to six runs of one to eight pages, some neighbouring, some apart. */
static void work(struct moat_lane *lane, unsigned int seed)
{
	srand(seed);
	for (unsigned int i = 0; i < BATCHES; i++) {
		unsigned int at = rand() % (PAGES / 2);

		for (unsigned int run = rand() % 6 + 1; run != 0; run--) {
			unsigned int n = rand() % 8 + 1;

			map_and_unmap(lane, at, n);
			at += n + rand() % 3;
		}
		if (moat_lane_flush(lane) == 0 || i % 16 == 0)
			must_do(moat_lane_drain(lane));
		moat_lane_poll(lane);
	}
	must_do(moat_lane_drain(lane));
}

static void visit(const char *variable, unsigned int seed)
{
	moat_sid_t sid = machine_sid(machine_bdf(variable));
	struct moat_domain *domain;
	struct moat_lane *lane;

	must_do(moat_domain_create(unit, &(struct moat_domain_conf){ .name = variable }, &domain));
	lane = moat_lane_open(domain);
	if (lane == NULL)
		errx(1, "lane: %s", moat_error_text());
	must_do(moat_domain_attach(domain, sid));
	work(lane, seed);
	must_do(moat_domain_detach(domain, sid));
	must_do(moat_domain_attach(domain, sid));
	work(lane, seed + 1);
	lane_descriptors += moat_lane_stats(lane)->descriptors;
	lane_pages += moat_lane_stats(lane)->pages_unmapped;
	must_do(moat_lane_close(lane));
	must_do(moat_domain_destroy(domain));
}

int main(void)
{
	struct moat_vtd_conf conf = { .name = "dmar0", .mem = &machine_mem, .hpa = machine_hpa };
	struct moat_vtd_stats vtd;
	struct moat_qi_stats qi;
	static moat_sid_t kernels[64];
	const moat_sid_t ours[] = { machine_sid(machine_bdf("DEVICE0")),
		machine_sid(machine_bdf("DEVICE1")) };

	conf.pass_through = kernels;
	conf.nr_pass_through = machine_functions(kernels, RTE_DIM(kernels), ours, RTE_DIM(ours));
	machine_window(&conf.window);
	must_do(machine_mem.alloc(NULL, MOAT_2M_SIZE, (void **)&memory, &memory_hpa));
	must_do(moat_vtd_create(&conf, &unit));
	visit("DEVICE0", 1);
	visit("DEVICE1", 3);
	moat_vtd_stats(unit, &vtd);
	moat_qi_stats(unit->qi, &qi);
	printf("descriptors=%" PRIu64 " waits=%" PRIu64 " doorbells=%" PRIu64 " lanes=%" PRIu64
	       " pages=%" PRIu64 " attaches=%" PRIu64 " detaches=%" PRIu64 "\n",
		qi.descriptors, qi.waits, qi.doorbells, lane_descriptors, lane_pages, vtd.attaches,
		vtd.detaches);
	unit->ops->destroy(unit);
	return 0;
}
