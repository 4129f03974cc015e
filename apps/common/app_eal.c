/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The EAL's arguments. See app_eal.h. */

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include "app_eal.h"
#include "moat_base.h"

#define OWN_MEMORY_MB 256u /* DPDK's own memory: mbuf headers, the devices' packets */

#define MAIN_LCORE (RTE_MAX_LCORE - 1)

struct args {
	int n;
	char *v[96];   /* for the EAL, which replaces its last option by the program's name */
	char *own[96]; /* the same, kept so that no string leaks */
};

static void add(struct args *args, const char *text)
{
	if (args->n == (int)RTE_DIM(args->v) - 1)
		return;
	args->own[args->n] = strdup(text);
	args->v[args->n] = args->own[args->n];
	args->n++;
}

/* Did the user give one of these options, "-l" or "--lcores" or "--lcores=..."? */
static bool given(int argc, char *argv[], const char *const options[])
{
	for (int i = 1; i < argc; i++) {
		for (unsigned int k = 0; options[k] != NULL; k++) {
			size_t len = strlen(options[k]);
			char end = strncmp(argv[i], options[k], len) == 0 ? argv[i][len] : 'x';

			if (end == '\0' || end == '=' || (options[k][1] != '-' && end != 'x'))
				return true;
		}
	}
	return false;
}

int app_eal_split(int argc, char *argv[])
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return i;
	return 0;
}

bool app_eal_chose_lcores(int argc, char *argv[])
{
	static const char *const options[] = { "-l", "-c", "-s", "-S", "--lcores", NULL };

	return given(argc, argv, options);
}

bool app_eal_loads_plugins(int argc, char *argv[])
{
	static const char *const options[] = { "-d", NULL };

	return given(argc, argv, options);
}

bool app_eal_has_vf_token(int argc, char *argv[])
{
	static const char *const options[] = { "--vfio-vf-token", NULL };

	return given(argc, argv, options);
}

void app_eal_cpus(struct app_set *cpus)
{
	cpu_set_t set;

	*cpus = (struct app_set){ .n = 0 };
	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		CPU_SET(0, &set);
	for (unsigned int i = 0; i < MAIN_LCORE; i++)
		if (CPU_ISSET(i, &set))
			app_set_add(cpus, i);
}

void app_eal_workers(struct app_set *lcores)
{
	*lcores = (struct app_set){ .n = 0 };
	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++)
		if (rte_lcore_is_enabled(i) && i != rte_get_main_lcore())
			app_set_add(lcores, i);
}

/* ---------------------------------------------------------------------------------- lcores */

static void add_lcores(struct args *args, const struct app_set *workers)
{
	struct app_set cpus;
	char text[512], option[1200];
	size_t at;

	app_eal_cpus(&cpus);
	at = snprintf(option, sizeof(option), "--lcores=%u@(%s)", MAIN_LCORE,
		app_set_text(&cpus, text, sizeof(text)));
	for (unsigned int i = 0; i < MAIN_LCORE && at < sizeof(option); i++)
		if (app_set_has(workers, i))
			at += snprintf(option + at, sizeof(option) - at, ",%u@%u", i, i);
	add(args, option);
	snprintf(option, sizeof(option), "--main-lcore=%u", MAIN_LCORE);
	add(args, option);
}

/* ---------------------------------------------------------------------------------- memory */

static unsigned long free_hugepages(void)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
	unsigned long n = 0;

	if (f != NULL) {
		if (fscanf(f, "%lu", &n) != 1)
			n = 0;
		fclose(f);
	}
	return n;
}

/* Are there enough hugepages of 2 MiB for DPDK's own memory, and may this process map them? */
static bool hugepages_usable(void)
{
	void *p;

	if (free_hugepages() < OWN_MEMORY_MB / 2)
		return false;
	p = mmap(NULL, MOAT_2M_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << MAP_HUGE_SHIFT), -1, 0);
	if (p == MAP_FAILED)
		return false;
	munmap(p, MOAT_2M_SIZE);
	return true;
}

/* Choose memory that leaves no files: unnamed hugepages, or ordinary pages if there are too few. */
static void add_memory(struct args *args, int argc, char *argv[])
{
	static const char *const options[] = { "-m", "--no-huge", "--in-memory", "--socket-mem",
		"--legacy-mem", "--huge-dir", "--single-file-segments", NULL };
	char text[32];

	if (given(argc, argv, options))
		return;
	if (hugepages_usable()) {
		add(args, "--in-memory");
	} else {
		add(args, "--no-huge");
		add(args, "--no-shconf");
		snprintf(text, sizeof(text), "-m%u", OWN_MEMORY_MB);
		add(args, text);
	}
}

/* ------------------------------------------------------------------------------------- all */

static void add_devices(struct args *args, const struct app_eal_conf *conf, int argc, char *argv[])
{
	static const char *const options[] = { "-a", "--allow", "-b", "--block", "--no-pci", NULL };

	if (given(argc, argv, options))
		return;
	if (conf->pci) { /* an allow-list that matches nothing */
		add(args, "-a");
		add(args, "ffff:ff:1f.7");
	} else {
		add(args, "--no-pci");
	}
}

int app_eal_init(const struct app_eal_conf *conf, int argc, char *argv[])
{
	static const char *const log[] = { "--log-level", NULL };
	static struct args args; /* the EAL keeps pointers to the strings */

	add(&args, argc > 0 ? argv[0] : conf->name);
	if (!given(argc, argv, log)) {
		add(&args, "--log-level=warning");
		add(&args, "--log-level=lib.telemetry:error"); /* telemetry is optional */
	}
	if (!app_eal_chose_lcores(argc, argv))
		add_lcores(&args, conf->workers);
	add_memory(&args, argc, argv);
	add_devices(&args, conf, argc, argv);
	if (conf->vf_token != NULL && !app_eal_has_vf_token(argc, argv)) {
		add(&args, "--vfio-vf-token");
		add(&args, conf->vf_token);
	}
	for (int i = 1; i < argc; i++)
		add(&args, argv[i]);

	if (rte_eal_init(args.n, args.v) < 0)
		return moat_error(-rte_errno, "the EAL does not start: %s",
			rte_strerror(rte_errno));
	return 0;
}
