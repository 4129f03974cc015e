/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * A real secondary process beside a primary process with a tenant. EAL refuses a secondary process
 * without hugepages, so the test takes a few of 2 MiB through a mount of its own. The test starts
 * its own program again as the secondary. test_ends.c checks the texts that need no second process.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "moat_soft_unit.h"
#include "moat_tenant.h"
#include "must.h"

#define PAGES   48 /* of 2 MiB; for EAL's heaps and the mbufs' headers */
#define BUFFERS 256

/* Both processes have EAL's memory at the same address. EAL would choose an address in
 * AddressSanitizer's shadow, and the address that the kernel gives instead may be in use in the
 * secondary. */
#ifdef __SANITIZE_ADDRESS__
#define BASE "--base-virtaddr=0x200000000000"
#else
#define BASE "--base-virtaddr=0x100000000"
#endif

static char folder[64], prefix[64];

static int eal_start(const char *type, const char *huge_dir, const char *file_prefix)
{
	static char dir[128], name[128], kind[64];
	char *args[] = { (char *)"test_tenant_secondary", kind, dir, name, (char *)"-m",
		(char *)"64", (char *)"--no-pci", (char *)"--no-telemetry", (char *)"--log-level=5",
		(char *)BASE, (char *)"--lcores", (char *)"0@0" };

	snprintf(kind, sizeof(kind), "--proc-type=%s", type);
	snprintf(dir, sizeof(dir), "--huge-dir=%s", huge_dir);
	snprintf(name, sizeof(name), "--file-prefix=%s", file_prefix);
	return rte_eal_init(RTE_DIM(args), args);
}

/* ---------------------------------------------------------------------------- in the secondary */

static int expect(bool good, const char *what)
{
	if (!good)
		fprintf(stderr, "secondary: %s; moat says: %s\n", what, moat_error_text());
	return good ? 0 : 1;
}

/* @return what main() returns: the number of failed expectations */
static int secondary(const char *huge_dir, const char *file_prefix)
{
	struct moat_tenant_conf conf = { .name = "blue", .memory = 8 << 20 };
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
	struct rte_mbuf *m[4];
	int wrong = 0;

	if (eal_start("secondary", huge_dir, file_prefix) < 0)
		return 77;
	if (moat_soft_unit_create("soft0", NULL, &conf.unit) != 0)
		return expect(false, "no unit of its own");
	wrong += expect(moat_tenant_create(&conf, &tenant) == -ENOTSUP &&
			strstr(moat_error_text(), "a secondary process cannot") != NULL,
		"a tenant is made, or refused without the sentence");
	conf.unit->ops->destroy(conf.unit);
	pool = rte_mempool_lookup("red");
	wrong += expect(pool != NULL, "the primary's pool is not found");
	if (pool == NULL)
		return wrong;
	wrong += expect(rte_pktmbuf_alloc(pool) == NULL, "a buffer is had from the primary's pool");
	wrong += expect(rte_pktmbuf_alloc_bulk(pool, m, RTE_DIM(m)) != 0, "and so are four");
	wrong += expect(rte_mempool_avail_count(pool) == 0, "the pool has buffers to be had");
	return wrong;
}

/* ------------------------------------------------------------------------------ in the primary */

static unsigned long pages_of(const char *file)
{
	char path[128];
	unsigned long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", file);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%lu", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

static void pages_set(unsigned long n)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "w");

	if (f == NULL)
		return;
	fprintf(f, "%lu\n", n);
	fclose(f);
}

/* Remove what EAL leaves in the folder of its run-time files, and the mount. */
static void clean_up(void)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf '/var/run/dpdk/%s'", prefix);
	if (system(command) != 0)
		fprintf(stderr, "/var/run/dpdk/%s stays\n", prefix);
	umount2(folder, MNT_DETACH);
	rmdir(folder);
}

static unsigned long had;

/* Lock until the process ends: on a machine, with all its roots, only one of these tests at a time
 * may change the number of hugepages. */
static void pages_lock(void)
{
	int fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		(void)flock(fd, LOCK_EX);
}

/* @return the reason if there are no hugepages; NULL: there are */
static const char *pages_get(void)
{
	pages_lock();
	had = pages_of("nr_hugepages");
	if (geteuid() != 0)
		return "a hugetlbfs mount of its own needs root";
	if (pages_of("free_hugepages") < PAGES)
		pages_set(had + PAGES);
	if (pages_of("free_hugepages") < PAGES) {
		pages_set(had);
		return "no 48 hugepages of 2 MiB are free, and none can be had; echo 48 "
		       ">/proc/sys/vm/nr_hugepages";
	}
	snprintf(folder, sizeof(folder), "/tmp/moat-huge-XXXXXX");
	snprintf(prefix, sizeof(prefix), "moat_secondary_%d", getpid());
	if (mkdtemp(folder) != NULL &&
		mount("none", folder, "hugetlbfs", 0, "pagesize=2M,size=96M") == 0)
		return NULL;
	rmdir(folder);
	pages_set(had);
	return "hugetlbfs cannot be mounted here";
}

static int secondary_run(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "test_tenant_secondary", "secondary", folder, prefix,
			(char *)NULL);
		_exit(78);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

static const char *skipped; /* the reason */

static void a_secondary_process_is_refused_and_nothing_breaks(void **state)
{
	struct moat_tenant_conf conf = { .name = "red", .mode = MOAT_STRICT, .memory = 8 << 20 };
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
	struct rte_mbuf *m;
	int status;

	if (skipped != NULL) {
		print_message("skip: %s\n", skipped);
		skip();
	}
	must(moat_soft_unit_create("soft0", NULL, &conf.unit));
	must(moat_tenant_create(&conf, &tenant));
	must(moat_tenant_pool(tenant, "red", BUFFERS, 2176, &pool));
	must(moat_tenant_lcore_enter(tenant));
	status = secondary_run();
	if (WIFSIGNALED(status))
		fail_msg("the secondary process ends by signal %d", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	m = rte_pktmbuf_alloc(pool);
	assert_non_null(m);
	rte_pktmbuf_free(m);
	must(moat_tenant_lcore_leave(tenant));
	must(moat_tenant_destroy(tenant));
	conf.unit->ops->destroy(conf.unit);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secondary_process_is_refused_and_nothing_breaks),
	};
	int rc;

	if (argc == 4 && strcmp(argv[1], "secondary") == 0)
		return secondary(argv[2], argv[3]);
	skipped = pages_get();
	if (skipped == NULL && eal_start("primary", folder, prefix) < 0) {
		clean_up();
		pages_set(had);
		skipped = "EAL does not start with these hugepages";
	}
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	if (skipped == NULL) {
		rte_eal_cleanup();
		clean_up();
		pages_set(had);
	}
	return rc;
}
