/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Owning the guest's unit as an application does, by moat_vtd_host_create(): the unit is found in
 * the DMAR table, the kernel's devices pass through, and tables are in files of hugetlbfs; the
 * owner is killed, and the next process takes the unit over. */

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <urcu-qsbr.h>

#include "machine.h"
#include "moat_domain.h"
#include "moat_vtd_host.h"
#include "must.h"

#define IOVA UINT64_C(0x40000000)

static struct edu edu;
static struct moat_vtd_host_conf conf = { .unit = -1, .tenant = &edu.sid, .nr_tenants = 1 };

/** @return the number of the unit's files in hugetlbfs, of this process or of all */
static unsigned int files(bool ours)
{
	DIR *d = opendir("/dev/hugepages");
	unsigned int n = 0;
	struct dirent *e;
	char prefix[64];

	assert_non_null(d);
	snprintf(prefix, sizeof(prefix), "moat-dmar0-%d-", getpid());
	while ((e = readdir(d)) != NULL)
		n += strncmp(e->d_name, ours ? prefix : "moat-", ours ? strlen(prefix) : 5) == 0;
	closedir(d);
	return n;
}

static uint64_t *hugepage(void)
{
	uint64_t *va = mmap(NULL, MOAT_2M_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);

	assert_true(va != MAP_FAILED);
	return va;
}

static uint64_t hpa_of(const void *va, uint64_t len)
{
	uint64_t hpa;

	must(moat_vtd_host_hpa(va, len, &hpa));
	return hpa;
}

/** @return whether a write of the device to `iova` arrives at `*at`; the device's own memory is not
 * 0 */
static bool arrives(uint64_t iova, volatile uint64_t *at)
{
	*at = 0;
	edu_write(&edu, iova, 8);
	return *at != 0;
}

static void addresses_are_the_pagemaps_and_of_hugepages_only(void **state)
{
	uint64_t *huge = hugepage(), hpa, expected;
	static char small[8192];

	must(machine_hpa(NULL, huge, 4096, &expected));
	assert_int_equal(hpa_of(huge, MOAT_2M_SIZE), expected);
	assert_int_equal(hpa_of((char *)huge + 5000, 100), expected + 5000);
	small[0] = small[4096] = 1;
	assert_int_equal(moat_vtd_host_hpa(small, sizeof(small), &hpa), -EFAULT);
	assert_int_equal(moat_vtd_host_hpa((char *)huge + MOAT_2M_SIZE - 8, 16, &hpa), -EFAULT);
	munmap(huge, MOAT_2M_SIZE);
	assert_int_equal(moat_vtd_host_hpa(huge, 8, &hpa), -EFAULT);
}

static void the_unit_is_found_owned_and_given_back(void **state)
{
	uint64_t *huge = hugepage();
	struct moat_domain_conf dconf = { .name = "red" };
	const moat_sid_t serial = MOAT_SID(0, 2, 0); /* the lab's, which carries this output */
	struct moat_domain *domain;
	struct moat_unit *unit;
	struct moat_lane *lane;
	struct moat_fault fault;
	uint64_t hpa;

	huge[0] = 0x600d;
	edu_read(&edu, hpa_of(huge, 8), 8); /* the data that the device then writes */
	assert_true(arrives(hpa_of(huge, 8), huge));
	must(moat_vtd_host_create(&conf, &unit));
	assert_string_equal(unit->name, "dmar0");
	assert_true(files(true) >= 1);
	assert_false(arrives(hpa_of(huge, 8), huge));
	assert_int_equal(unit->ops->faults(unit, &fault, 1), 1);
	assert_int_equal(fault.reason, VTD_FR_CONTEXT_P);
	must(moat_domain_create(unit, &dconf, &domain));
	assert_int_equal(moat_domain_attach(domain, serial), -EBUSY);
	assert_non_null(
		strstr(moat_error_text(), "0000:00:02.0 is the kernel's: its driver virtio-pci"));
	must(moat_domain_attach(domain, edu.sid));
	lane = moat_lane_open(domain);
	assert_non_null(lane);
	must(unit->ops->hpa(unit, huge, MOAT_2M_SIZE, &hpa));
	must(moat_lane_map(lane, IOVA, hpa, huge, MOAT_2M_SIZE, MOAT_RW));
	assert_true(arrives(IOVA + 8, huge + 1));
	assert_int_equal(unit->ops->faults(unit, &fault, 1), 0);
	must(moat_lane_unmap(lane, IOVA, MOAT_2M_SIZE));
	must(moat_lane_drain(lane));
	assert_false(arrives(IOVA + 8, huge + 1));
	must(moat_lane_close(lane));
	must(moat_domain_destroy(domain));
	unit->ops->destroy(unit);
	assert_int_equal(files(false), 0);
	assert_true(arrives(hpa_of(huge, 8), huge)); /* as it was found: translation is off */
	munmap(huge, MOAT_2M_SIZE);
}

/* The lab's serial device uses MSI-X behind the machine's only unit. */
static void block_is_refused_with_the_kernels_device_that_is_in_its_way(void **state)
{
	struct moat_vtd_host_conf block = conf;
	struct moat_unit *unit;

	block.interrupts = MOAT_VTD_INTERRUPTS_BLOCK;
	assert_int_equal(moat_vtd_host_create(&block, &unit), -EBUSY);
	print_message("# %s\n", moat_error_text());
	assert_non_null(strstr(moat_error_text(), "0000:00:02.0 (virtio-pci) has "));
	assert_non_null(strstr(moat_error_text(), "MSI-X vectors in use (unbind it"));
	assert_int_equal(files(false), 0);
}

/** A process owns the unit, attaches the device to a page of a shared hugepage, and is killed. */
static void killed_owner(uint64_t *shared)
{
	struct moat_domain_conf dconf = { .name = "red" };
	struct moat_domain *domain;
	struct moat_unit *unit;
	struct moat_lane *lane;
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		*(volatile uint64_t *)shared =
			0; /* a fork does not copy entries of shared memory */
		if (moat_vtd_host_create(&conf, &unit) != 0 ||
			moat_domain_create(unit, &dconf, &domain) != 0 ||
			moat_domain_attach(domain, edu.sid) != 0)
			_exit(1);
		lane = moat_lane_open(domain);
		if (lane == NULL ||
			moat_lane_map(lane, IOVA, hpa_of(shared, 8), shared, MOAT_2M_SIZE,
				MOAT_RW) != 0)
			_exit(2);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void a_killed_owners_unit_walks_its_tables_until_it_is_taken_over(void **state)
{
	uint64_t *shared = mmap(NULL, MOAT_2M_SIZE, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	struct moat_fault fault;
	struct moat_unit *unit;
	char *pages;

	assert_true(shared != MAP_FAILED);
	killed_owner(shared);
	assert_true(files(false) >= 1);
	assert_int_equal(files(true), 0);
	/* Hugepages that are allocated now are not those that the unit walks. */
	pages = mmap(NULL, 32 * MOAT_2M_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	assert_true(pages != MAP_FAILED);
	memset(pages, 0xff, 32 * MOAT_2M_SIZE);
	assert_true(arrives(IOVA, shared));
	munmap(pages, 32 * MOAT_2M_SIZE);

	assert_int_equal(moat_vtd_host_create(&conf, &unit), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "--take-over"));
	assert_true(arrives(IOVA, shared)); /* nothing was changed yet */
	assert_int_equal(files(true), 0);
	conf.take_over = true;
	must(moat_vtd_host_create(&conf, &unit));
	assert_int_equal(files(false), files(true)); /* the files of the killed owner are gone */
	assert_false(edu_is_master(&edu));           /* the device starts no DMA by itself */
	edu_open(&edu, "DEVICE0");
	assert_true(edu_is_master(&edu));
	assert_false(arrives(IOVA, shared));
	assert_int_equal(unit->ops->faults(unit, &fault, 1), 1);
	assert_int_equal(fault.reason, VTD_FR_CONTEXT_P);
	unit->ops->destroy(unit);
	assert_int_equal(files(false), 0);
	munmap(shared, MOAT_2M_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_the_pagemaps_and_of_hugepages_only),
		cmocka_unit_test(the_unit_is_found_owned_and_given_back),
		cmocka_unit_test(block_is_refused_with_the_kernels_device_that_is_in_its_way),
		cmocka_unit_test(a_killed_owners_unit_walks_its_tables_until_it_is_taken_over),
	};

	urcu_qsbr_register_thread();
	edu_open(&edu, "DEVICE0");
	conf.segment = 0;
	return cmocka_run_group_tests_name("owning the guest's unit", tests, NULL, NULL);
}
