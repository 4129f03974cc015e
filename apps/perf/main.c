/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* moat-perf: what mapping and unmapping costs. See perf.h. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_eal.h>

#include "app_eal.h"
#include "perf.h"

/* In this program's folder: the program that makes the HTML from the JSON. */
#define REPORT  "moat-perf-report"
/* In this program's folder: the program that compares two JSON files. */
#define COMPARE "moat-perf-compare"

static volatile int stop;

static void on_signal(int number)
{
	stop = number;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static int fail(const char *doing)
{
	fflush(stdout);
	fprintf(stderr, "moat-perf: %s: %s\n", doing, moat_error_text());
	return PERF_EXIT_FAILED;
}

/* -------------------------------------------------------------------------- before the EAL */

/* Check that a file can be written, before an hour of measuring rather than after it. */
static int writable(const char *path)
{
	bool there = path != NULL && access(path, F_OK) == 0;
	FILE *f = path != NULL ? fopen(path, "a") : NULL;

	if (path == NULL)
		return 0;
	if (f == NULL) {
		fprintf(stderr, "moat-perf: %s cannot be written: %s\n", path, strerror(errno));
		return PERF_EXIT_CONFIG;
	}
	fclose(f);
	if (!there)
		unlink(path);
	return 0;
}

static int check_files(const struct perf *perf)
{
	int rc = writable(perf->json);

	if (perf->baseline != NULL && access(perf->baseline, R_OK) != 0) {
		fprintf(stderr, "moat-perf: --baseline %s cannot be read: %s\n", perf->baseline,
			strerror(errno));
		return PERF_EXIT_CONFIG;
	}
	rc = rc == 0 ? writable(perf->csv) : rc;
	return rc == 0 ? writable(perf->report) : rc;
}

/* Choose as many lcores as the cases need, from the last CPU down; none if `user`, because the user
 * has chosen. */
static int choose_lcores(const struct perf *perf, struct app_set *workers, bool user)
{
	struct app_set cpus;

	*workers = (struct app_set){ .n = 0 };
	app_eal_cpus(&cpus);
	if (user)
		return 0;
	if (perf->nr_lcores > cpus.n) {
		fprintf(stderr,
			"moat-perf: lcores = %u, but this process may use %u processors; lower it\n",
			perf->nr_lcores, cpus.n);
		return PERF_EXIT_CONFIG;
	}
	for (unsigned int i = APP_SET_MAX; i-- != 0 && workers->n < perf->nr_lcores;)
		if (app_set_has(&cpus, i))
			app_set_add(workers, i);
	return 0;
}

/* ---------------------------------------------------------------------------- with the EAL */

/* Run a Python archive in this program's folder with two files. @return its exit status, or a
 * negative errno */
static int run_beside(const char *name, const char *first, const char *second)
{
	char self[4096], program[4200];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int status = -1;
	char *slash;
	pid_t pid;

	if (len < 0)
		return moat_error(-errno, "/proc/self/exe: %s", strerror(errno));
	self[len] = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	snprintf(program, sizeof(program), "%s/%s", self, name);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execlp("python3", "python3", program, first, second, (char *)NULL);
		fprintf(stderr, "moat-perf: python3 cannot be run: %s; install it\n",
			strerror(errno));
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return moat_error(-errno, "python3 cannot be run: %s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : moat_error(-EIO, "%s was killed", program);
}

/* Run a Python archive on the results and another file. It reads the results as JSON: the file of
 * --json, or a temporary one. */
static int run_on_json(const struct perf *perf, const char *name, const char *other,
	bool json_first)
{
	char made[] = "/tmp/moat-perf-XXXXXX";
	const char *json = perf->json != NULL ? perf->json : made;
	int rc = 0;

	if (json == made) {
		int fd = mkstemp(made);

		if (fd < 0)
			return moat_error(-errno, "%s: %s", made, strerror(errno));
		close(fd);
		rc = perf_json_write(perf, made);
	}
	if (rc == 0)
		rc = run_beside(name, json_first ? json : other, json_first ? other : json);
	if (json == made)
		unlink(made);
	return rc;
}

static int write_report(const struct perf *perf)
{
	int rc = run_on_json(perf, REPORT, perf->report, true);

	return rc <= 0 ? rc : moat_error(-EIO, "%s has failed for the reason above", REPORT);
}

static int write_files(const struct perf *perf)
{
	int code = 0;

	if (perf->nr_done == 0)
		return 0;
	if (perf->json != NULL && perf_json_write(perf, perf->json) != 0)
		code = fail("no JSON");
	if (perf->csv != NULL && perf_csv_write(perf, perf->csv) != 0)
		code = fail("no CSV");
	if (perf->report != NULL && code == 0 && write_report(perf) != 0)
		code = fail("no report");
	return code;
}

static int measure(struct perf *perf)
{
	struct app_set workers;
	unsigned int failed = 0;
	int rc, code;

	app_eal_workers(&workers);
	if (workers.n < perf->nr_lcores) {
		fprintf(stderr,
			"moat-perf: lcores = %u, but the EAL has %u beside its main lcore; give it more "
			"(-l), or leave -l out\n",
			perf->nr_lcores, workers.n);
		return PERF_EXIT_CONFIG;
	}
	perf->stopwatch = moat_cost_per_mark();
	rc = perf_run(perf, &stop);
	if (rc == -EINTR)
		fprintf(stderr, "moat-perf: stopped by signal %d after %u of %u cases\n", stop,
			perf->nr_done, perf->nr_cases);
	else if (rc != 0)
		return fail("cannot measure");
	if (perf->nr_done != 0)
		perf_text_end(perf);
	code = write_files(perf);
	for (unsigned int i = 0; i < perf->nr_done; i++)
		failed += perf->results[i].rc != 0;
	if (failed != 0)
		fprintf(stderr, "moat-perf: %u of %u cases failed: %s\n", failed, perf->nr_done,
			"see the table");
	if (code != 0 || failed != 0 || rc != 0)
		return PERF_EXIT_FAILED;
	if (perf->baseline == NULL)
		return 0;
	rc = run_on_json(perf, COMPARE, perf->baseline, false);
	return rc < 0                               ? fail("no comparison")
		: rc == 0 || rc == PERF_EXIT_SLOWER ? rc
						    : PERF_EXIT_FAILED;
}

static int run(struct perf *perf, int split, char *argv[], double seconds)
{
	struct app_set workers;
	struct app_eal_conf eal = { .name = "moat-perf", .workers = &workers };
	int rc;

	perf_conf_read(perf, seconds);
	if (perf->ini.errors != 0)
		return PERF_EXIT_CONFIG;
	rc = choose_lcores(perf, &workers, app_eal_chose_lcores(split, argv));
	if (rc == 0)
		rc = check_files(perf);
	if (rc != 0)
		return rc;
	if (perf->check) {
		printf("%s: configuration OK, %u cases, about %.0f s\n", perf->ini.path,
			perf->nr_cases, perf_remaining(perf, 0));
		return 0;
	}
	for (unsigned int i = 0; i < perf->nr_cases; i++)
		eal.pci |= perf->cases[i].device >= 0;
	catch_signals();
	if (app_eal_init(&eal, split, argv) != 0)
		return fail("cannot start");
	rc = measure(perf);
	rte_eal_cleanup();
	return rc;
}

int main(int argc, char *argv[])
{
	static struct perf perf;
	double seconds = 0;
	int split = app_eal_split(argc, argv), rc;

	argv[split] = argv[0];
	rc = perf_args(&perf, argc - split, &argv[split], &seconds);
	if (rc < 0)
		rc = run(&perf, split, argv, seconds);
	perf_conf_free(&perf);
	return rc;
}
