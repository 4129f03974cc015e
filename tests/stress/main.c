/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The stress of the tenant API (stress.h): rounds until the time is up, each in a new world.
 *
 *	test_stress_tenant --seconds 60
 *	test_stress_tenant --seed 7 --rounds 1 --operations 100000 --actors 4 \
 *	                   --off rogue,tenant_renew
 */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "stress.h"
#include "moat_patience.h"

#define ROUND_S 4

static const struct option options[] = {
	{ "seed", required_argument, NULL, 's' },
	{ "seconds", required_argument, NULL, 't' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "operations", required_argument, NULL, 'n' },
	{ "actors", required_argument, NULL, 'a' },
	{ "unit", required_argument, NULL, 'u' },
	{ "modes", required_argument, NULL, 'm' },
	{ "off", required_argument, NULL, 'o' },
	{ "only", required_argument, NULL, 'O' },
	{ "bound", required_argument, NULL, 'b' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void usage(const char *program)
{
	printf("usage: %s [--seed N] [--seconds N] [--rounds N] [--operations N] [--actors 2..8]\n"
	       "	[--unit ARGUMENTS] [--modes MODE,...] [--off OPERATION,...] [--only OPERATION,...]\n"
	       "	[--bound US] [--verbose]\n\n"
	       "Random calls of the tenant API by several threads; exit status 1 if a judge finds a\n"
	       "fault. The seed is printed; with --operations (of each actor in a round) the same seed\n"
	       "makes the same choices. Operations:\n",
		program);
	for (unsigned int i = 0; i < nr_operations; i++)
		printf("	%s%s%s\n", operations[i].name,
			operations[i].off != NULL ? "	off: " : "",
			operations[i].off != NULL ? operations[i].off : "");
}

static void switch_list(char *names, bool on)
{
	for (char *save, *name = strtok_r(names, ",", &save); name != NULL;
		name = strtok_r(NULL, ",", &save))
		if (!operation_switch(name, on)) {
			fprintf(stderr, "operation '%s' is unknown; --help lists them\n", name);
			exit(2);
		}
}

static void parse(int argc, char **argv, struct request *r)
{
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			r->seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			r->seconds = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			r->rounds = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			r->operations = strtoull(optarg, NULL, 0);
			break;
		case 'a':
			r->actors = RTE_MIN(strtoul(optarg, NULL, 0), (unsigned long)ACTORS);
			break;
		case 'u':
			r->unit = optarg;
			break;
		case 'm':
			r->modes = optarg;
			break;
		case 'o':
			switch_list(optarg, false);
			break;
		case 'O':
			for (unsigned int i = 0; i < nr_operations; i++)
				operation_switch(operations[i].name, false);
			switch_list(optarg, true);
			break;
		case 'b':
			r->bound_us = strtoull(optarg, NULL, 0);
			break;
		case 'v':
			r->verbose = true;
			break;
		case 'h':
			usage(argv[0]);
			exit(0);
		default:
			exit(2);
		}
	}
}

/* One lcore more than actors, because the main lcore only waits. All share the processors. */
static int start_eal(char *program)
{
	static char lcores[256];
	char *eal[] = { program, (char *)"--no-huge", (char *)"--no-shconf", (char *)"--no-pci",
		(char *)"-m", (char *)"1024", (char *)"--no-telemetry", (char *)"--log-level=3",
		(char *)"--main-lcore", (char *)"15", (char *)"--lcores", lcores };
	cpu_set_t set;
	unsigned int cpus[2] = { 0, 0 }, n = 0;

	sched_getaffinity(0, sizeof(set), &set);
	for (unsigned int i = 0; i < CPU_SETSIZE && n < RTE_DIM(cpus); i++)
		if (CPU_ISSET(i, &set))
			cpus[n++] = i;
	if (n == 1)
		cpus[1] = cpus[0];
	snprintf(lcores, sizeof(lcores), "15@%u", cpus[0]);
	for (unsigned int i = 0; i < ACTORS; i++)
		snprintf(lcores + strlen(lcores), sizeof(lcores) - strlen(lcores), ",%u@%u", i,
			cpus[i % 2]);
	return rte_eal_init(RTE_DIM(eal), eal);
}

static void round_run(const struct request *r, uint64_t round, uint64_t end)
{
	static struct world w;
	uint64_t most = rte_rdtsc() + ROUND_S * rte_get_tsc_hz();

	world_open(&w, r, round);
	w.deadline = RTE_MIN(most, end);
	if (r->verbose)
		printf("# round %" PRIu64 ": %u actors, units %s | %s%s\n", round, w.nr_actors,
			w.unit[0].args, w.unit[1].args,
			w.requester_per_queue ? ", a requester a queue" : "");
	actors_start(&w);
	progress_start(&w);
	actors_join(&w);
	progress_stop();
	report_add(&w);
	world_close(&w);
}

int main(int argc, char **argv)
{
	struct request r = { .seconds = 10, .bound_us = 10000 };
	uint64_t end, round = 0;

	r.seed = rte_rdtsc() * UINT64_C(2654435761) >> 16;
	if (getenv("MOAT_SEED") != NULL)
		r.seed = strtoull(getenv("MOAT_SEED"), NULL, 0);
	if (getenv("MOAT_SECONDS") != NULL)
		r.seconds = strtoull(getenv("MOAT_SECONDS"), NULL, 0);
	parse(argc, argv, &r);
	moat_patience_us = PATIENCE_S * UINT64_C(1000000);
	printf("1..1\n# --seed %" PRIu64 "\n", r.seed);
	fflush(stdout);
	if (start_eal(argv[0]) < 0 || world_init() != 0) {
		printf("Bail out! EAL, or the wires: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	end = r.operations != 0 ? UINT64_MAX : rte_rdtsc() + r.seconds * rte_get_tsc_hz();
	do
		round_run(&r, round++, end);
	while (faults_found() == 0 && (r.rounds != 0 ? round < r.rounds : rte_rdtsc() < end));
	report_print();
	printf("%s 1 - random_calls_of_the_tenant_api_break_no_promise\n",
		faults_found() == 0 ? "ok" : "not ok");
	return faults_found() == 0 ? 0 : 1;
}
