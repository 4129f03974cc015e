/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Where a tenant's memory comes from on a host with hugepages of only one size. The test replaces
 * the kernel: it answers mmap() with MAP_HUGETLB from plain memory, aligned like a hugepage.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_eal.h>
#include <rte_malloc.h>

#include "moat_memory.h"
#include "moat_soft_unit.h"
#include "moat_tenant.h"
#include "moat_vtd_hugepages.h"
#include "must.h"

#define HUGE_SIZE(flags) (UINT64_C(1) << ((flags) >> MAP_HUGE_SHIFT & MAP_HUGE_MASK))

static uint64_t there; /* the size of the host's hugepages; 0: the real kernel answers */
static unsigned int asked_2m, asked_1g;

static void *plain(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, off);
}

/* Replaces the C library's function. */
void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	uint64_t size = HUGE_SIZE(flags);
	uint8_t *p;

	if (there == 0 || !(flags & MAP_HUGETLB))
		return plain(at, len, prot, flags, fd, off);
	asked_2m += size == MOAT_2M_SIZE;
	asked_1g += size == MOAT_1G_SIZE;
	errno = ENOMEM;
	if (size != there)
		return MAP_FAILED;
	assert_int_equal(len % size, 0); /* munmap() takes only whole hugepages */
	p = plain(NULL, len + size, prot, (flags & MAP_TYPE) | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		0);
	return p == MAP_FAILED ? p : RTE_PTR_ALIGN_CEIL(p, size);
}

static struct moat_unit *unit;

static int setup(void **state)
{
	asked_2m = asked_1g = 0;
	there = 0;
	return moat_soft_unit_create("soft0", "", &unit);
}

static int teardown(void **state)
{
	there = 0;
	unit->ops->destroy(unit);
	return 0;
}

static void pages_of_2_mib_are_asked_for_first_and_fit(void **state)
{
	struct moat_memory m;

	there = MOAT_2M_SIZE;
	must(moat_memory_get(&m, unit, 3 * MOAT_2M_SIZE));
	assert_int_equal(m.page_size, MOAT_2M_SIZE);
	assert_int_equal(m.map_len, 3 * MOAT_2M_SIZE);
	assert_int_equal(asked_1g, 0);
	moat_memory_put(&m);
}

static void pages_of_1_gib_serve_where_there_are_no_others(void **state)
{
	struct moat_memory m;

	there = MOAT_1G_SIZE;
	must(moat_memory_get(&m, unit, 3 * MOAT_2M_SIZE));
	assert_int_equal(m.page_size, MOAT_1G_SIZE);
	assert_int_equal(m.map_len, MOAT_1G_SIZE);
	assert_int_equal(m.len, 3 * MOAT_2M_SIZE);
	assert_int_equal((uintptr_t)m.va % MOAT_1G_SIZE, 0);
	assert_int_equal(asked_2m, 1);
	m.va[0] = m.va[m.len - 1] = 1;
	moat_memory_put(&m);
}

static void a_tenant_lives_in_a_page_of_1_gib(void **state)
{
	const struct moat_tenant_conf conf = {
		.name = "red",
		.unit = unit,
		.mode = MOAT_STRICT,
		.memory = 8 * MOAT_2M_SIZE,
		.leaf_sizes = UINT64_MAX,
		.numa = SOCKET_ID_ANY,
	};
	struct moat_tenant *t;
	void *ring;

	there = MOAT_1G_SIZE;
	must(moat_tenant_create(&conf, &t));
	there = 0;
	assert_int_equal(moat_tenant_page_size(t), MOAT_1G_SIZE);
	ring = rte_malloc_socket(NULL, MOAT_PAGE_SIZE, MOAT_PAGE_SIZE,
		rte_malloc_heap_get_socket("red"));
	assert_non_null(ring);
	assert_int_equal(rte_malloc_virt2iova(ring) % MOAT_PAGE_SIZE, 0);
	assert_true(rte_malloc_virt2iova(ring) < UINT64_C(1) << 32); /* an IOVA, no address */
	rte_free(ring);
	must(moat_tenant_destroy(t));
}

/* After a fork, the child's write must reach the parent's page frame. With copy-on-write, one of
 * the two would have a frame to which the unit does not translate. */
static void forks_leave_in_place(volatile uint8_t *va)
{
	pid_t child;
	int status;

	*va = 1;
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		*va = 2;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(*va, 2);
}

static void a_fork_leaves_a_tenants_hugepages_in_place(void **state)
{
	const uint64_t sizes[] = { MOAT_2M_SIZE, MOAT_1G_SIZE };
	struct moat_memory m;

	for (unsigned int i = 0; i < RTE_DIM(sizes); i++) {
		there = sizes[i];
		must(moat_memory_get(&m, unit, MOAT_2M_SIZE));
		assert_int_equal(m.page_size, sizes[i]);
		forks_leave_in_place(m.va);
		moat_memory_put(&m);
	}
}

/* The unit's own hugepages, for its tables and queues. (With a hugetlbfs they are files.) */
static void a_fork_leaves_a_units_hugepages_in_place(void **state)
{
	struct moat_vtd_hugepages *pages;
	struct moat_pt_mem mem;
	void *va;

	there = MOAT_2M_SIZE;
	must(moat_vtd_hugepages_open("test", &pages, &mem));
	must(moat_vtd_hugepages_map(pages, MOAT_2M_SIZE, &va));
	forks_leave_in_place(va);
	moat_vtd_hugepages_unmap(pages, va, MOAT_2M_SIZE);
	moat_vtd_hugepages_close(pages);
}

static int start(void **state)
{
	char *args[] = { (char *)"test_hugepages", (char *)"--no-huge", (char *)"-m64",
		(char *)"--no-pci", (char *)"--no-shconf", (char *)"--no-telemetry",
		(char *)"--log-level=error" };

	return rte_eal_init(RTE_DIM(args), args) < 0 ? -1 : 0;
}

static int stop(void **state)
{
	return rte_eal_cleanup();
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(pages_of_2_mib_are_asked_for_first_and_fit),
		T(pages_of_1_gib_serve_where_there_are_no_others),
		T(a_tenant_lives_in_a_page_of_1_gib),
		T(a_fork_leaves_a_tenants_hugepages_in_place),
		T(a_fork_leaves_a_units_hugepages_in_place),
	};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	puts("1..0 # SKIP a sanitizer has an mmap() of its own");
	return 0;
#endif
	return cmocka_run_group_tests(tests, start, stop);
}
