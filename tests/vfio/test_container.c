/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Domains over containers, through lib/domain's lanes: only what is mapped is in the container,
 * unmaps are exact, and no error is ignored. With the fake kernel. */

#include <sys/mman.h>
#include <urcu-qsbr.h>

#include "fake_kernel.h"
#include "moat_domain.h"
#include "must.h"

#define HOME  UINT64_C(0x40000000)
#define PAGE  MOAT_PAGE_SIZE
#define PAGES 1024

static struct moat_unit *unit;
static struct moat_domain *red, *blue;
static struct moat_lane *lane; /* of red */
static char *memory;

static int up(void **state)
{
	fake_up();
	must(fake_unit(&unit));
	must(moat_domain_create(unit, &(struct moat_domain_conf){ .name = "red" }, &red));
	must(moat_domain_create(unit, &(struct moat_domain_conf){ .name = "blue" }, &blue));
	lane = moat_lane_open(red);
	assert_non_null(lane);
	return 0;
}

static int down(void **state)
{
	must(moat_lane_close(lane));
	must(moat_domain_destroy(red));
	must(moat_domain_destroy(blue));
	unit->ops->destroy(unit);
	fake_down();
	return 0;
}

static int map(unsigned int first, unsigned int n, enum moat_prot prot)
{
	return moat_lane_map(lane, HOME + first * PAGE, first * PAGE, memory + first * PAGE,
		n * PAGE, prot);
}

static int unmap(unsigned int first, unsigned int n)
{
	return moat_lane_unmap(lane, HOME + first * PAGE, n * PAGE);
}

static struct fake_container *container_with(int group)
{
	assert_true(fake.group[group].container >= 0);
	return fake_container(fake.group[group].container);
}

/** @return whether there is a map of exactly these pages */
static bool holds(const struct fake_container *c, unsigned int first, unsigned int n,
	uint32_t flags)
{
	for (unsigned int i = 0; i < c->n; i++)
		if (c->map[i].iova == HOME + first * PAGE && c->map[i].size == n * PAGE &&
			c->map[i].vaddr == (uintptr_t)memory + first * PAGE &&
			c->map[i].flags == flags)
			return true;
	return false;
}

#define R  VFIO_DMA_MAP_FLAG_READ
#define W  VFIO_DMA_MAP_FLAG_WRITE
#define RW (R | W)

static void what_is_mapped_before_the_group_comes_is_there_when_it_does(void **state)
{
	must(map(0, 16, MOAT_RW));
	must(map(16, 1, MOAT_R));
	must(map(17, 1, MOAT_W));
	must(map(500, 600, MOAT_RW)); /* across a border of 2 MiB */
	assert_int_equal(fake.maps, 0);
	must(moat_domain_attach(red, FAKE_RED));
	assert_int_equal(container_with(1)->n, 4);
	assert_true(holds(container_with(1), 0, 16, RW));
	assert_true(holds(container_with(1), 16, 1, R));
	assert_true(holds(container_with(1), 17, 1, W));
	assert_true(holds(container_with(1), 500, 600, RW));
	must(map(20, 1, MOAT_R)); /* a later map is in the container at once */
	assert_true(holds(container_with(1), 20, 1, R));
	must(unmap(0, 18));
	must(unmap(20, 1));
	must(unmap(500, 600));
	must(moat_lane_drain(lane));
	assert_int_equal(container_with(1)->n, 0);
}

static void a_container_holds_its_own_tenants_maps_only(void **state)
{
	must(moat_domain_attach(red, FAKE_RED));
	must(moat_domain_attach(blue, FAKE_BLUE));
	assert_ptr_not_equal(container_with(1), container_with(2));
	must(map(0, 4, MOAT_RW));
	assert_int_equal(container_with(1)->n, 1);
	assert_int_equal(container_with(2)->n, 0);
	must(unmap(0, 4));
	must(moat_lane_drain(lane));
}

static void maps_outlive_a_detach_and_an_attach(void **state)
{
	must(moat_domain_attach(red, FAKE_RED));
	must(map(0, 2, MOAT_R));
	must(map(2, 2, MOAT_RW));
	must(moat_domain_detach(red, FAKE_RED));
	assert_int_equal(fake.group[1].container, -1);
	must(unmap(2, 2)); /* needs no call */
	must(moat_lane_drain(lane));
	must(moat_domain_attach(red, FAKE_RED));
	assert_int_equal(container_with(1)->n, 1);
	assert_true(holds(container_with(1), 0, 2, R));
	must(unmap(0, 2));
	must(moat_lane_drain(lane));
}

static void neighbours_gathered_in_any_order_go_in_one_call(void **state)
{
	static const unsigned int order[] = { 5, 3, 4, 0, 2, 1, 7, 6 };

	must(moat_domain_attach(red, FAKE_RED));
	for (unsigned int i = 0; i < 10; i++)
		must(map(i, 1, MOAT_W));
	fake.unmaps = 0;
	for (unsigned int i = 0; i < 8; i++)
		must(unmap(order[i], 1));
	must(unmap(9, 1));
	must(moat_lane_drain(lane));
	assert_int_equal(fake.unmaps, 2); /* 0 to 7, and 9 */
	assert_int_equal(moat_lane_stats(lane)->descriptors, 2);
	assert_int_equal(container_with(1)->n, 1);
	assert_true(holds(container_with(1), 8, 1, W));
	must(unmap(8, 1));
	must(moat_lane_drain(lane));
}

static void a_ticket_is_done_when_the_call_has_returned(void **state)
{
	moat_ticket_t ticket;

	must(moat_domain_attach(red, FAKE_RED));
	must(map(0, 1, MOAT_RW));
	must(unmap(0, 1));
	assert_int_equal(container_with(1)->n, 1); /* only gathered: the device still reaches it */
	ticket = moat_lane_flush(lane);
	assert_int_equal(container_with(1)->n, 0);
	assert_true(moat_lane_poll(lane) >= ticket);
	must(map(0, 1, MOAT_RW)); /* the IOVA is free again */
	must(unmap(0, 1));
	must(moat_lane_drain(lane));
}

static void a_part_of_a_map_is_not_unmapped_and_nothing_has_changed(void **state)
{
	must(moat_domain_attach(red, FAKE_RED));
	must(map(0, 4, MOAT_RW));
	must(map(4, 4, MOAT_RW));
	fake.unmaps = 0;
	assert_int_equal(unmap(0, 2), -EINVAL);
	assert_int_equal(unmap(2, 2), -EINVAL);
	assert_int_equal(unmap(2, 4), -EINVAL);
	assert_int_equal(unmap(1, 7), -EINVAL);
	assert_int_equal(unmap(0, 6), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "not whole maps"));
	must(moat_lane_drain(lane));
	assert_int_equal(fake.unmaps, 0);
	assert_int_equal(container_with(1)->n, 2);
	must(unmap(0, 8));
	must(moat_lane_drain(lane));
	assert_int_equal(container_with(1)->n, 0);
}

static void a_page_that_comes_back_before_the_flush_keeps_its_new_mapping(void **state)
{
	must(moat_domain_attach(red, FAKE_RED));
	must(map(0, 1, MOAT_RW));
	must(map(1, 1, MOAT_RW));
	must(unmap(0, 1));
	must(unmap(1, 1));
	must(map(1, 1, MOAT_RW)); /* as mode deferred does */
	must(moat_lane_drain(lane));
	assert_int_equal(container_with(1)->n, 1);
	assert_true(holds(container_with(1), 1, 1, RW));
	must(unmap(1, 1));
	must(moat_lane_drain(lane));
}

static void a_partial_unmap_is_an_error_and_its_ticket_is_never_done(void **state)
{
	moat_ticket_t before;
	uint64_t iova;

	must(moat_domain_attach(red, FAKE_RED));
	must(moat_iova_alloc(red->iova, NULL, 4 * PAGE, 0, &iova));
	for (unsigned int i = 0; i < 4; i++)
		must(moat_lane_map(lane, iova + i * PAGE, 0, memory + i * PAGE, PAGE, MOAT_RW));
	before = moat_lane_last_done(lane);
	fake.short_by = PAGE;
	must(moat_lane_unmap_free(lane, iova, 4 * PAGE));
	assert_int_equal(moat_lane_flush(lane), 0);
	print_message("# %s\n", moat_error_text());
	assert_non_null(strstr(moat_error_text(), "0x4000"));
	assert_non_null(strstr(moat_error_text(), "0x3000"));
	assert_int_equal(moat_lane_poll(lane), before);
	assert_int_equal(moat_lane_drain(lane), -EIO);
	assert_int_equal(moat_lane_close(lane), -EIO);
	assert_int_equal(moat_domain_destroy(red), -EBUSY);                 /* it stays */
	assert_int_equal(moat_iova_reserve(red->iova, iova, PAGE), -EBUSY); /* the IOVA, too */
	assert_int_equal(container_with(1)->n, 1);
	/* After the whole container has been emptied, nothing can reach it. */
	must(moat_domain_detach(red, FAKE_RED));
	fake.short_by = 0;
	must(moat_lane_drain(lane));
	assert_true(moat_lane_last_done(lane) > before);
}

static void a_failed_unmap_is_an_error_and_goes_on_when_it_can(void **state)
{
	must(moat_domain_attach(red, FAKE_RED));
	must(map(0, 1, MOAT_RW));
	must(map(2, 1, MOAT_RW));
	must(unmap(0, 1));
	must(unmap(2, 1));
	fake.fail_request = VFIO_IOMMU_UNMAP_DMA;
	fake.fail_with = -EFAULT;
	fake.fail_after = 1; /* one of the two runs is unmapped */
	assert_int_equal(moat_lane_drain(lane), -EFAULT);
	assert_non_null(strstr(moat_error_text(), "VFIO_IOMMU_UNMAP_DMA"));
	assert_int_equal(container_with(1)->n, 1);
	must(map(3, 1, MOAT_RW));
	must(unmap(3, 1));
	must(moat_lane_drain(lane));
	assert_int_equal(container_with(1)->n, 0);
}

static void failed_map(int with, int rc, const char *words)
{
	struct moat_pt_leaf leaf;

	fake.fail_request = VFIO_IOMMU_MAP_DMA;
	fake.fail_with = with;
	assert_int_equal(map(7, 1, MOAT_RW), rc);
	print_message("# %s\n", moat_error_text());
	assert_non_null(strstr(moat_error_text(), words));
	assert_int_equal(moat_pt_walk(red->pt, HOME + 7 * PAGE, &leaf), -ENOENT);
	must(map(7, 1, MOAT_RW)); /* nothing of it was left mapped */
	must(unmap(7, 1));
	must(moat_lane_drain(lane));
}

static void a_map_that_fails_says_why_and_leaves_nothing(void **state)
{
	must(moat_domain_attach(red, FAKE_RED));
	failed_map(-ENOMEM, -ENOMEM, "ulimit -l");
	failed_map(-ENOSPC, -ENOSPC, "dma_entry_limit");
	failed_map(-EINVAL, -EINVAL, "0x40007000");
	failed_map(-EEXIST, -EEXIST, "VFIO_IOMMU_MAP_DMA");
	assert_int_equal(moat_lane_stats(lane)->pages_mapped, 4);
	assert_int_equal(moat_lane_map(lane, UINT64_C(0xfee00000), 0, memory, PAGE, MOAT_RW),
		-EINVAL);
}

static void the_kernels_limit_of_maps_is_said_before_it_is_met(void **state)
{
	struct moat_vfio_info info;
	unsigned int n = 0;
	int rc;

	fake.limit = 100;
	must(moat_domain_attach(red, FAKE_RED));
	while ((rc = map(2 * n, 1, MOAT_RW)) == 0)
		n++;
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(n, 100);
	assert_int_equal(fake.maps, 100); /* the 101st map was not attempted */
	moat_vfio_info(red, &info);
	assert_int_equal(info.dma_avail, 0);
	assert_int_equal(info.dma_limit, 100);
	assert_int_equal(info.maps, 100);
	assert_int_equal(info.bytes, 100 * PAGE);
	while (n-- != 0) {
		must(unmap(2 * n, 1));
		must(moat_lane_drain(lane));
	}
	moat_vfio_info(red, &info);
	assert_int_equal(info.dma_avail, 100);
	assert_int_equal(info.maps, 0);
}

static void a_replay_that_fails_leaves_the_group_out(void **state)
{
	must(map(0, 1, MOAT_RW));
	must(map(2, 1, MOAT_RW));
	fake.fail_request = VFIO_IOMMU_MAP_DMA;
	fake.fail_with = -ENOMEM;
	fake.fail_after = 1;
	assert_int_equal(moat_domain_attach(red, FAKE_RED), -ENOMEM);
	assert_non_null(strstr(moat_error_text(), "ulimit -l"));
	assert_int_equal(fake.group[1].container, -1);
	assert_false(fake.group[1].bound);
	must(moat_domain_attach(red, FAKE_RED));
	assert_int_equal(container_with(1)->n, 2);
	must(unmap(0, 1));
	must(unmap(2, 1));
	must(moat_lane_drain(lane));
}

static void a_group_that_a_pmd_still_has_does_not_leave(void **state)
{
	must(moat_domain_attach(red, FAKE_RED));
	fake.group[1].device_open = true;
	assert_int_equal(moat_domain_detach(red, FAKE_RED), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "rte_eal_hotplug_remove"));
	assert_int_equal(moat_domain_attach(blue, FAKE_RED), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "'red'"));
	fake.group[1].device_open = false;
	must(moat_domain_detach(red, FAKE_RED));
	must(moat_domain_attach(blue, FAKE_RED));
}

static void a_function_that_was_not_named_is_not_attached(void **state)
{
	assert_int_equal(moat_domain_attach(red, MOAT_SID(9, 0, 0)), -ENODEV);
	assert_non_null(strstr(moat_error_text(), "0000:09:00.0"));
}

static void two_functions_of_one_group_go_to_one_domain(void **state)
{
	static const moat_sid_t functions[] = { FAKE_RED, MOAT_SID(1, 0x10, 1) };
	const struct moat_vfio_conf conf = { "vfio1", fake.root, 0, functions, 2, &fake_calls };
	struct moat_domain *first, *second;
	struct moat_unit *pair;

	fake_function("0000:01:10.1", 1, "vfio-pci", FAKE_NIC);
	must(moat_vfio_create(&conf, &pair));
	must(moat_domain_create(pair, &(struct moat_domain_conf){ .name = "first" }, &first));
	must(moat_domain_create(pair, &(struct moat_domain_conf){ .name = "second" }, &second));
	must(moat_domain_attach(first, functions[0]));
	assert_int_equal(moat_domain_attach(second, functions[1]), -EBUSY);
	print_message("# %s\n", moat_error_text());
	assert_non_null(strstr(moat_error_text(), "share IOMMU group 1"));
	must(moat_domain_attach(first, functions[1]));
	must(moat_domain_detach(first, functions[0]));
	assert_true(fake.group[1].container >= 0); /* the other function keeps the group in it */
	must(moat_domain_detach(first, functions[1]));
	assert_int_equal(fake.group[1].container, -1);
	must(moat_domain_destroy(first));
	must(moat_domain_destroy(second));
	pair->ops->destroy(pair);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_mapped_before_the_group_comes_is_there_when_it_does),
		TEST(a_container_holds_its_own_tenants_maps_only),
		TEST(maps_outlive_a_detach_and_an_attach),
		TEST(neighbours_gathered_in_any_order_go_in_one_call),
		TEST(a_ticket_is_done_when_the_call_has_returned),
		TEST(a_part_of_a_map_is_not_unmapped_and_nothing_has_changed),
		TEST(a_page_that_comes_back_before_the_flush_keeps_its_new_mapping),
		TEST(a_partial_unmap_is_an_error_and_its_ticket_is_never_done),
		TEST(a_failed_unmap_is_an_error_and_goes_on_when_it_can),
		TEST(a_map_that_fails_says_why_and_leaves_nothing),
		TEST(the_kernels_limit_of_maps_is_said_before_it_is_met),
		TEST(a_replay_that_fails_leaves_the_group_out),
		TEST(a_group_that_a_pmd_still_has_does_not_leave),
		TEST(a_function_that_was_not_named_is_not_attached),
		TEST(two_functions_of_one_group_go_to_one_domain),
	};

	memory = mmap(NULL, PAGES * 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	rcu_register_thread();
	return cmocka_run_group_tests_name("vfio containers", tests, NULL, NULL);
}
