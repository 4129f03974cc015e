/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Compares two units: the software unit and QEMU's walk the same random tables for the same random
 * accesses. They must reach the same bytes, or refuse with the same record. explained.c lists where
 * they may differ, with the section of the specification.
 *
 *	differential [--cases N] [--seed N] [--descriptors|--registers] [--qemu PROGRAM]
 *	             [--verbose] CONFIGURATION
 *
 * With --descriptors, cases are descriptors of any content for the invalidation queue: both units
 * must take each, or both must stop with IQE. With --registers, cases are writes of any content to
 * registers, and commands; after each, all registers must read the same.
 *
 * A difference ends the program with status 1, and prints the seed of its world. To repeat the
 * difference, use --seed SEED --cases 64.
 */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "differential.h"

#define CASES 64 /* cases of each world */

enum kind { ACCESSES, DESCRIPTORS, REGISTERS };

static const struct {
	const char *name, *iommu;
} configurations[] = {
	{ "48", ",aw-bits=48" },
	{ "39", ",aw-bits=39" },
	{ "48-caching-mode", ",aw-bits=48,caching-mode=on" },
	{ "48-device-tlb", ",aw-bits=48,device-iotlb=on" },
	{ "48-snoop-control", ",aw-bits=48,snoop-control=on" },
	{ "48-scalable", ",aw-bits=48,scalable-mode=on" },            /* QEMU 10: x-scalable-mode */
	{ "48-first-stage", ",aw-bits=48,scalable-mode=on,fsts=on" }, /* ..., x-flts */
	{ "48-pasid", ",aw-bits=48,scalable-mode=on,fsts=on,device-iotlb=on,pasid-bits=20" },
};

typedef bool (*cases_run)(const struct run *run, unsigned int number, uint64_t reasons[256],
	unsigned int *done);
static const cases_run cases_of[] = { [ACCESSES] = accesses_cases,
	[DESCRIPTORS] = descriptors_cases,
	[REGISTERS] = registers_cases };

static void print(enum kind kind, uint64_t done, const uint64_t reasons[256])
{
	static const char *const what[] = { "reached memory", "taken", "writes and commands" };

	printf("%" PRIu64 " cases, of them %" PRIu64 " %s, 0 unexplained differences\n", done,
		reasons[0], what[kind]);
	for (unsigned int i = 1; i < 256; i++)
		if (reasons[i] != 0 && kind == ACCESSES)
			printf("  reason 0x%02x: %" PRIu64 "\n", i, reasons[i]);
	if (kind == ACCESSES)
		accesses_print();
	explained_print();
}

/* @return the exit status */
static int run_cases(struct run *run, enum kind kind, uint64_t cases)
{
	uint64_t reasons[256] = { 0 }, done = 0;

	for (; done < cases; run->seed++) {
		tables_seed(run->seed);
		if (kind == ACCESSES)
			accesses_begin();
		for (unsigned int i = 0, n; i < CASES && done < cases; i += n, done += n)
			if (!cases_of[kind](run, i, reasons, &n))
				return 1;
	}
	print(kind, done, reasons);
	return 0;
}

static const char *iommu_of(const char *name)
{
	for (unsigned int i = 0; i < RTE_DIM(configurations); i++)
		if (strcmp(configurations[i].name, name) == 0)
			return configurations[i].iommu;
	fprintf(stderr, "differential: no configuration '%s'; there are:", name);
	for (unsigned int i = 0; i < RTE_DIM(configurations); i++)
		fprintf(stderr, " %s", configurations[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "cases", 1, NULL, 'c' },
		{ "seed", 1, NULL, 's' }, { "qemu", 1, NULL, 'q' }, { "verbose", 0, NULL, 'v' },
		{ "descriptors", 0, NULL, 'd' }, { "registers", 0, NULL, 'r' },
		{ NULL, 0, NULL, 0 } };
	const char *qemu = "qemu-system-x86_64";
	struct run run = { .seed = rte_rdtsc() & 0xffffffff };
	uint64_t cases = 4000;
	enum kind kind = ACCESSES;
	int c, status;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'c')
			cases = strtoull(optarg, NULL, 0);
		else if (c == 's')
			run.seed = strtoull(optarg, NULL, 0);
		else if (c == 'q')
			qemu = optarg;
		else if (c == 'd')
			kind = DESCRIPTORS;
		else if (c == 'r')
			kind = REGISTERS;
		else if (c == 'v')
			run.verbose = true;
		else
			return 2;
	}
	if (optind + 1 != argc) {
		fprintf(stderr,
			"usage: differential [--cases N] [--seed N] [--descriptors|--registers] "
			"[--qemu PROGRAM] [--verbose] CONFIGURATION\n");
		return 2;
	}
	printf("# --seed %" PRIu64 "\n", run.seed);
	units_start(qemu, iommu_of(argv[optind]));
	if (kind == REGISTERS)
		registers_begin();
	status = run_cases(&run, kind, cases);
	units_end();
	return status;
}
