/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* moat-fwd: forwards the packets of tenants that cannot reach each other's memory. See fwd.h. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>

#include "app_option.h"
#include "app_version.h"
#include "fwd.h"
#include "fwd_check.h"

static const char usage[] =
	"usage: moat-fwd [EAL OPTION... --] CONFIG [OPTION...]\n"
	"Forward packets of tenants, each in a DMA protection domain of its own.\n"
	"\n"
	"  CONFIG            units, ports and tenants; doc/configuration.md says how to write one\n"
	"  --seconds N       end after N seconds; without it, at SIGINT, SIGTERM or SIGHUP\n"
	"  --json FILE       write the last summary there, for programs\n"
	"  --control PATH    take commands on a socket there: move PORT QUEUE TENANT, queues\n"
	"  --attack          let the first tenant's queue attack the second one's memory and interrupts\n"
	"  --take-over       own the machine's unit even if it is enabled already\n"
	"  --perf            report the processor's and the unit's performance counters, per packet and stage\n"
	"  --check           say whether CONFIG is right, and configure nothing\n"
	"  --root DIR        with --check: whether the host whose /sys and /proc are below DIR can give\n"
	"                    CONFIG's devices to tenants; / is this one\n"
	"  --help, --version\n"
	"\n"
	"Without EAL options it takes the lcores and the memory that the machine has: hugepages, or\n"
	"plain memory where there are none. Exit status: 0, 1 something failed, 2 the command line or\n"
	"CONFIG is wrong (nothing was configured), 3 with --attack: a DMA or an interrupt was not refused.\n";

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
	signalled = number;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN); /* clean up even if the reader of stdout has ended */
}

/* -------------------------------------------------------------------------- command line */

static bool parse_seconds(const char *text, uint64_t *seconds)
{
	char *end;

	errno = 0;
	*seconds = strtoull(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0';
}

static const struct option options[] = {
	{ "seconds", required_argument, NULL, APP_LONG('s') },
	{ "json", required_argument, NULL, APP_LONG('j') },
	{ "control", required_argument, NULL, APP_LONG('o') },
	{ "attack", no_argument, NULL, APP_LONG('a') },
	{ "take-over", no_argument, NULL, APP_LONG('t') },
	{ "perf", no_argument, NULL, APP_LONG('p') },
	{ "check", no_argument, NULL, APP_LONG('c') },
	{ "root", required_argument, NULL, APP_LONG('r') },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, APP_LONG('v') },
	{ NULL, 0, NULL, 0 },
};

/* @return < 0: go on; otherwise the exit code */
static int parse_args(int argc, char *argv[], struct fwd_args *args)
{
	int o;

	opterr = 0; /* app_option_wrong() prints the errors */
	while ((o = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (o) {
		case APP_LONG('s'):
			args->has_seconds = parse_seconds(optarg, &args->seconds);
			if (args->has_seconds)
				break;
			fprintf(stderr, "moat-fwd: --seconds %s is not a number of seconds\n",
				optarg);
			return FWD_EXIT_CONFIG;
		case APP_LONG('j'):
			args->json = optarg;
			break;
		case APP_LONG('o'):
			args->control = optarg;
			break;
		case APP_LONG('a'):
			args->attack = true;
			break;
		case APP_LONG('t'):
			args->take_over = true;
			break;
		case APP_LONG('p'):
			args->perf = true;
			break;
		case APP_LONG('c'):
			args->check = true;
			break;
		case APP_LONG('r'):
			args->root = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case APP_LONG('v'):
			app_version("moat-fwd");
			return 0;
		default:
			app_option_wrong("moat-fwd", o, argv, options,
				APP_OPTION_EAL ": moat-fwd -l 0,1 -- CONFIG");
			return FWD_EXIT_CONFIG;
		}
	}
	if (argc == optind) {
		fprintf(stderr, "moat-fwd: CONFIG is missing\n%s", usage);
		return FWD_EXIT_CONFIG;
	}
	if (argc - optind > 1) {
		fprintf(stderr, "moat-fwd: give one CONFIG, not %s and %s" APP_OPTION_EAL "\n",
			argv[optind], argv[optind + 1]);
		return FWD_EXIT_CONFIG;
	}
	if (args->root != NULL && !args->check) {
		fputs("moat-fwd: --root goes with --check: packets are forwarded on this machine only\n",
			stderr);
		return FWD_EXIT_CONFIG;
	}
	args->config = argv[optind];
	return -1;
}

/* -------------------------------------------------------------------------------- running */

static int fail(const char *doing)
{
	fflush(stdout);
	fprintf(stderr, "moat-fwd: %s: %s\n", doing, moat_error_text());
	return FWD_EXIT_FAILED;
}

/* The main thread's loop: read faults, take commands and steps of the attack, and print a table
 * every interval, until it is time to stop. */
static void watch(struct fwd_run *run, struct fwd_attack *attack)
{
	const struct timespec nap = { .tv_nsec = 5 * 1000 * 1000 };
	uint64_t seconds = run->args->has_seconds ? run->args->seconds : run->conf->seconds;
	double table = run->conf->interval, tick = FWD_L2_TICK_S;

	while (!signalled && (seconds == 0 || fwd_report_seconds() < (double)seconds)) {
		double now = fwd_report_seconds();

		nanosleep(&nap, NULL);
		fwd_faults_poll(run);
		fwd_control_poll(run);
		if (attack != NULL)
			fwd_attack_poll(attack);
		if (now >= table) {
			fwd_report_table(run);
			table += run->conf->interval;
		}
		while (now >= tick) {
			for (unsigned int i = 0; i < run->conf->nr_tenants; i++)
				if (run->tenants[i].table != NULL)
					fwd_l2_tick(run->tenants[i].table);
			tick += FWD_L2_TICK_S;
		}
	}
}

static void report_perf(const struct fwd_run *run, struct fwd_perf_units *units)
{
	uint64_t all = 0;

	for (unsigned int i = 0; i < run->nr_workers; i++) {
		const struct fwd_worker *w = &run->workers[i];
		uint64_t packets = 0;

		for (unsigned int k = 0; k < w->nr_groups; k++)
			packets += w->groups[k]->count.rx_packets;
		fwd_perf_report(&w->perf, w->lcore, packets);
		all += packets;
	}
	fwd_perf_units_report(units, all);
}

static int forward(struct fwd_run *run)
{
	const struct fwd_args *args = run->args;
	static struct fwd_perf_units units;
	struct fwd_attack *attack = NULL;
	int code = 0;

	if (run->args->attack && (attack = fwd_attack_create(run)) == NULL)
		return fail("no attack");
	if (args->perf)
		fwd_perf_units_open(&units);
	fwd_report_lcores(run);
	fwd_report_begin(run);
	if (fwd_loop_start(run) != 0)
		code = fail("cannot poll");
	else if (fwd_control_begin(run) != 0)
		code = fail("no control socket");
	else
		watch(run, attack);
	if (fwd_loop_stop(run) != 0)
		code = fail("polling ended in an error");
	fwd_faults_poll(run);
	if (attack != NULL) {
		int rc = fwd_attack_end(attack);

		code = code != 0 ? code : rc;
	}
	if (fwd_ports_down(run) != 0)
		code = fail("ports");
	fwd_report_summary(run);
	if (args->perf)
		report_perf(run, &units);
	if (run->args->json != NULL && fwd_json_write(run, run->args->json) != 0)
		code = fail("no summary");
	if (fwd_buffers_check(run) != 0)
		code = fail("buffers");
	return code;
}

static int run_all(struct fwd_conf *conf, const struct fwd_args *args)
{
	struct fwd_run *run = calloc(1, sizeof(*run));
	int code;

	if (run == NULL)
		return FWD_EXIT_FAILED;
	run->conf = conf;
	run->args = args;
	code = fwd_setup(run) != 0 ? fail("set-up") : forward(run);
	if (fwd_teardown(run) != 0)
		code = fail("clean-up");
	free(run);
	return code;
}

static bool control_right(struct fwd_conf *conf, const struct fwd_args *args)
{
	const char *path = args->control != NULL ? args->control : conf->control;
	unsigned int line = 0;

	if (path == NULL || fwd_control_check(path) == 0)
		return true;
	for (unsigned int i = 0; i < conf->ini.nr_sections; i++)
		if (strcmp(conf->ini.sections[i].kind, "fwd") == 0)
			line = app_ini_line(&conf->ini.sections[i], "control");
	if (args->control != NULL)
		fprintf(stderr, "moat-fwd: --control %s: %s\n", path, moat_error_text());
	else
		app_ini_error(&conf->ini, line, "control = %s: %s", path, moat_error_text());
	return false;
}

/* Are the arguments, the file and the host right? Nothing is configured before. */
static bool right(struct fwd_conf *conf, const struct fwd_args *args, bool our_lcores,
	bool our_drivers, bool has_token)
{
	const char *root = args->root != NULL ? args->root : "";
	struct app_set cpus;

	app_eal_cpus(&cpus);
	if (fwd_conf_read(conf, args->config) != 0 ||
		fwd_conf_check(conf, our_lcores ? &cpus : NULL) != 0 || !control_right(conf, args))
		return false;
	/* Without --check the EAL loads the drivers; plugins of -d are not known here. */
	if (args->check && our_drivers && fwd_load_drivers())
		fwd_check_drivers(conf);
	if (conf->ini.errors != 0)
		return false;
	/* Without --root, --check looks at no PCI device. */
	return (args->check && args->root == NULL) ||
		fwd_check_host(conf, root, has_token || conf->vf_token != NULL) == 0;
}

/* Run with the EAL started: drivers, and lcores that the user chose, are known only now. */
static int with_eal(struct fwd_conf *conf, const struct fwd_args *args, bool our_lcores)
{
	struct app_set workers;
	int code;

	app_eal_workers(&workers);
	fwd_check_drivers(conf);
	if (!our_lcores)
		fwd_check_lcores(conf, &workers);
	code = conf->ini.errors != 0 ? FWD_EXIT_CONFIG : run_all(conf, args);
	fwd_conf_free(conf);
	rte_eal_cleanup();
	return code;
}

int main(int argc, char *argv[])
{
	static struct fwd_conf conf;
	struct fwd_args args = { 0 };
	int split = app_eal_split(argc, argv);
	bool our_lcores = !app_eal_chose_lcores(split, argv);
	bool our_drivers = !app_eal_loads_plugins(split, argv);
	int rc;

	argv[split] = argv[0];
	rc = parse_args(argc - split, &argv[split], &args);
	if (rc >= 0)
		return rc;
	if (!right(&conf, &args, our_lcores, our_drivers, app_eal_has_vf_token(split, argv))) {
		fwd_conf_free(&conf);
		return FWD_EXIT_CONFIG;
	}
	if (args.check) {
		printf("%s is right: %u tenant%s on %u port%s\n", args.config, conf.nr_tenants,
			conf.nr_tenants == 1 ? "" : "s", conf.nr_ports,
			conf.nr_ports == 1 ? "" : "s");
		fwd_conf_free(&conf);
		return 0;
	}
	catch_signals();
	if (fwd_eal_init(&conf, split, argv) != 0) {
		rc = fail("cannot start");
		fwd_conf_free(&conf);
		return rc;
	}
	return with_eal(&conf, &args, our_lcores);
}
