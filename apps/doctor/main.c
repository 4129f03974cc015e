/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* moat-doctor: can this host run moat, and if not, what to do? See doctor.h. */

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "app_option.h"
#include "app_version.h"
#include "doctor_archive.h"
#include "doctor_print.h"

#define EXIT_USAGE 3 /* "unknown" to monitoring plugins */

static const char usage[] =
	"usage: moat-doctor [OPTION...]\n"
	"Can this host run moat, and if not, what must be done? Reads, and changes nothing.\n"
	"\n"
	"  --kind vfio|vtd   judge for this kind of unit, not for the one that the host is set up\n"
	"                    for. vfio: the kernel owns the IOMMU; vtd: moat owns the VT-d unit\n"
	"  --json            print JSON, for scripts\n"
	"  --verbose, -v     also print the DMAR table and every capability of each unit\n"
	"  --root DIR        read /sys, /proc, /dev and the rest below DIR, or from an archive\n"
	"  --host-archive FILE\n"
	"                    write what is read into an archive (FILE.tar.gz) that --root takes, without\n"
	"                    addresses, serial numbers and names, and say what was replaced\n"
	"  --help, --version\n"
	"\n"
	"Exit status, that of the worst check: 0 ok, 1 warn, 2 fail, 3 unknown. doc/doctor.md lists the\n"
	"checks. Where hardware cannot be used (2), moat runs with its software unit all the same.\n";

struct args {
	const char *root;
	const char *archive; /* file to write; NULL: none */
	bool json, verbose;
	int way; /* -1: doctor_way_of() */
};

static const struct option options[] = {
	{ "kind", required_argument, NULL, APP_LONG('k') },
	{ "json", no_argument, NULL, APP_LONG('j') },
	{ "verbose", no_argument, NULL, 'v' },
	{ "root", required_argument, NULL, APP_LONG('r') },
	{ "host-archive", required_argument, NULL, APP_LONG('a') },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, APP_LONG('V') },
	{ NULL, 0, NULL, 0 },
};

/** @return < 0: go on; otherwise the exit status */
static int parse_args(int argc, char *argv[], struct args *args)
{
	int o;

	*args = (struct args){ .root = "", .way = -1 };
	opterr = 0; /* app_option_wrong() prints the errors */
	while ((o = getopt_long(argc, argv, ":hv", options, NULL)) != -1) {
		switch (o) {
		case APP_LONG('k'):
			args->way = strcmp(optarg, "vfio") == 0 ? DOCTOR_VFIO
				: strcmp(optarg, "vtd") == 0    ? DOCTOR_VTD
								: -2;
			if (args->way >= 0)
				break;
			fprintf(stderr, "moat-doctor: --kind %s: the kinds are vfio and vtd\n",
				optarg);
			return EXIT_USAGE;
		case APP_LONG('j'):
			args->json = true;
			break;
		case 'v':
			args->verbose = true;
			break;
		case APP_LONG('r'):
			args->root = optarg;
			break;
		case APP_LONG('a'):
			args->archive = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case APP_LONG('V'):
			app_version("moat-doctor");
			return 0;
		default:
			app_option_wrong("moat-doctor", o, argv, options, "");
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "moat-doctor: '%s' is not an option; 'moat-doctor --help' lists them\n",
		argv[optind]);
	return EXIT_USAGE;
}

/* Run all checks for both kinds, and keep all that they read for the archive. */
static void read_everything(const char *root, struct doctor_record *record)
{
	static struct doctor_host host; /* large */
	static struct doctor_report report;

	doctor_record_begin(record);
	doctor_host_read(root, &host);
	for (enum doctor_way way = DOCTOR_VFIO; way <= DOCTOR_VTD; way++) {
		struct doctor_case c = { .host = &host, .way = way };

		doctor_tenants_find(&host, way, false, &c.tenants);
		doctor_judge(&c, &report);
		doctor_report_free(&report);
		doctor_tenants_free(&c.tenants);
	}
	doctor_record_begin(NULL);
	doctor_host_free(&host);
}

static int write_archive(const char *root, const char *path)
{
	struct doctor_lines replaced = { 0 };
	struct doctor_record record = { 0 };
	char hostname[256];
	int ret;

	doctor_read(root, hostname, sizeof(hostname), "proc/sys/kernel/hostname");
	read_everything(root, &record);
	ret = doctor_archive_write(path, &record, hostname, &replaced);
	if (ret != 0)
		fprintf(stderr, "moat-doctor: --host-archive %s: %s\n", path, strerror(-ret));
	else
		printf("%s has what moat-doctor reads of this host, %u files, folders and links.\n",
			path, record.n);
	for (unsigned int i = 0; i < replaced.n; i++)
		printf("  %s\n", replaced.at[i]);
	doctor_lines_free(&replaced);
	doctor_record_free(&record);
	return ret == 0 ? 0 : EXIT_USAGE;
}

static int judge(const char *root, const struct args *args)
{
	static struct doctor_host host; /* large */
	static struct doctor_report report;
	struct doctor_style style = doctor_style_of(stdout);
	struct doctor_case c = { .host = &host };
	int status;

	style.verbose = args->verbose;
	doctor_host_read(root, &host);
	c.way = args->way >= 0 ? (enum doctor_way)args->way : doctor_way_of(&host);
	doctor_tenants_find(&host, c.way, false, &c.tenants);
	doctor_judge(&c, &report);
	status = doctor_exit_status(report.state);
	if (!args->json)
		doctor_print_text(stdout, &c, &report, &style);
	else if (doctor_print_json(stdout, &c, &report) != 0)
		status = EXIT_USAGE;
	doctor_report_free(&report);
	doctor_tenants_free(&c.tenants);
	doctor_host_free(&host);
	return status;
}

int main(int argc, char *argv[])
{
	char *root, *error;
	struct args args;
	int status = parse_args(argc, argv, &args);

	if (status >= 0)
		return status;
	if (doctor_root_open(args.root, &root, &error) != 0) {
		fprintf(stderr, "moat-doctor: --root %s\n", error);
		free(error);
		return EXIT_USAGE;
	}
	status = args.archive != NULL ? write_archive(root, args.archive) : judge(root, &args);
	doctor_root_close(root);
	if (fflush(stdout) != 0) {
		perror("moat-doctor: standard output");
		status = EXIT_USAGE;
	}
	return status;
}
