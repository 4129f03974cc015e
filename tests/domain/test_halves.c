/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * All or nothing: whichever step of a call fails, the call leaves nothing behind. The k-th step is
 * made to fail, for k = 1, 2, ... until the call succeeds. A step is an allocation, a map into the
 * page table, a flush of the write buffer, or a submission. The linker replaces these functions by
 * the definitions in this file.
 */

#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_common.h>

#include "moat_domain.h"
#include "moat_memory.h"
#include "moat_slab.h"
#include "moat_soft_unit.h"
#include "moat_softvtd.h"
#include "must.h"
#include "unit_args.h"

#define IOVA UINT64_C(0x40000000)
#define SID  MOAT_SID(0, 16, 0)

/* ------------------------------------------------------------------------- what is made to fail */

static __thread unsigned int countdown; /* the step that fails, counted down; 0: none */
static __thread unsigned int taken;     /* steps so far */

static bool fails(void)
{
	taken++;
	return countdown != 0 && --countdown == 0;
}

int __real_moat_pt_map(struct moat_pt *pt, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot, uint64_t *bad);
int __wrap_moat_pt_map(struct moat_pt *pt, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot, uint64_t *bad);
int64_t __real_moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n);
int64_t __wrap_moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

int __wrap_moat_pt_map(struct moat_pt *pt, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot, uint64_t *bad)
{
	if (fails())
		return moat_error(-ENOMEM, "no memory for the page tables (injected)");
	return __real_moat_pt_map(pt, iova, hpa, va, len, prot, bad);
}

int64_t __wrap_moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n)
{
	if (fails())
		return moat_error(-EIO, "the unit's invalidation queue is dead (injected)");
	return __real_moat_qi_submit(qi, desc, n);
}

static bool watched; /* allocations count as steps */

void *__wrap_calloc(size_t n, size_t size)
{
	return watched && fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return watched && fails() ? NULL : __real_aligned_alloc(align, size);
}

void *__real_moat_slab_alloc(struct moat_slab *slab);
void *__wrap_moat_slab_alloc(struct moat_slab *slab);

void *__wrap_moat_slab_alloc(struct moat_slab *slab)
{
	return watched && fails() ? NULL : __real_moat_slab_alloc(slab);
}

/* Call `call` with each step failing in turn. `check` checks the state after a failed call. */
static unsigned int fail_each(int (*call)(void *arg), void (*check)(void *arg), void *arg)
{
	unsigned int k, rc;

	for (k = 1;; k++) {
		assert_in_range(k, 1, 10000);
		countdown = k;
		rc = (unsigned int)call(arg);
		if (countdown != 0)
			break; /* the call has no k-th step */
		if (rc != 0)
			check(arg);
	}
	countdown = 0;
	must((int)rc);
	return k - 1;
}

/* ------------------------------------------------------------------------------------- maps */

struct fixture {
	struct moat_unit *unit;
	const struct moat_unit_ops *own;
	struct moat_unit_ops ops;
	struct moat_domain *domain;
	struct moat_lane *lane;
	struct moat_memory memory;
	uint64_t len;
};

static struct moat_unit_ops real_ops;

static int flush_or_fail(struct moat_unit *unit)
{
	if (fails())
		return moat_error(-EIO, "the write buffer was not flushed (injected)");
	return real_ops.flush_write_buffer(unit);
}

/* Neighbouring blocks of 2 MiB in virtual memory are not neighbours in physical memory. */
static int swapped(struct moat_unit *unit, const void *va, uint64_t len, uint64_t *hpa)
{
	*hpa = (uintptr_t)va ^ MOAT_2M_SIZE;
	return 0;
}

static void set_up(struct fixture *f, const char *args)
{
	struct moat_domain_conf conf = { .name = "halves" };

	*f = (struct fixture){ .len = 4 * MOAT_2M_SIZE };
	must(moat_soft_unit_create("soft0", args, &f->unit));
	f->own = f->unit->ops;
	real_ops = *f->unit->ops;
	f->ops = real_ops;
	f->ops.hpa = swapped;
	if (f->unit->caps.rwbf)
		f->ops.flush_write_buffer = flush_or_fail;
	f->unit->ops = &f->ops;
	must(moat_domain_create(f->unit, &conf, &f->domain));
	must(moat_domain_attach(f->domain, SID));
	f->lane = moat_lane_open(f->domain);
	assert_non_null(f->lane);
	moat_lane_online(f->lane);
	must(moat_memory_get(&f->memory, f->unit, f->len + MOAT_2M_SIZE));
}

static void tear_down(struct fixture *f)
{
	struct moat_softvtd_stats stats;

	must(moat_lane_close(f->lane));
	must(moat_domain_destroy(f->domain));
	moat_memory_put(&f->memory);
	moat_softvtd_stats(moat_soft_unit_find("soft0"), &stats);
	assert_int_equal(stats.stale_dma + stats.early_reuse + stats.witness_errors, 0);
	f->unit->ops = f->own;
	f->unit->ops->destroy(f->unit);
}

static int map_in_pieces(void *arg)
{
	struct fixture *f = arg;

	return moat_memory_map(&f->memory, f->lane, MOAT_2M_SIZE / 2, IOVA, f->len, MOAT_RW);
}

static int map_at_once(void *arg)
{
	struct fixture *f = arg;

	return moat_lane_map(f->lane, IOVA, (uintptr_t)f->memory.va, f->memory.va, f->len, MOAT_RW);
}

/* Check that tables, device and lcore reach nothing. */
static void nothing_is_reached(void *arg)
{
	struct fixture *f = arg;
	uint64_t pages, tables;
	uint8_t byte;

	moat_pt_usage(f->domain->pt, &pages, &tables);
	assert_int_equal(pages, 0);
	assert_int_equal(moat_lane_gathered(f->lane), 0);
	for (uint64_t off = 0; off < f->len; off += MOAT_2M_SIZE / 4) {
		assert_null(moat_iotlb_translate(&f->lane->iotlb, IOVA + off, 1, MOAT_R));
		assert_int_not_equal(moat_softvtd_dma_read(moat_soft_unit_find("soft0"), SID,
					     IOVA + off, &byte, 1),
			0);
	}
}

/* The same, and no ticket is open. */
static void nothing_is_mapped(void *arg)
{
	nothing_is_reached(arg);
	assert_int_equal(moat_lane_room(((struct fixture *)arg)->lane), MOAT_LANE_BATCHES);
}

static void unmap_all(struct fixture *f)
{
	must(moat_lane_unmap(f->lane, IOVA, f->len));
	must(moat_lane_drain(f->lane));
}

static void map_or_nothing(const char *args, unsigned int pieces, unsigned int once)
{
	struct fixture f;

	set_up(&f, args);
	assert_in_range(fail_each(map_in_pieces, nothing_is_mapped, &f), pieces, 100);
	unmap_all(&f);
	assert_in_range(fail_each(map_at_once, nothing_is_mapped, &f), once, 100);
	unmap_all(&f);
	tear_down(&f);
}

static void a_map_of_memory_in_pieces_is_made_or_not(void **state)
{
	map_or_nothing(UNIT_ADVERSARY, 5, 1);
}

/* for each piece a map into the table, a flush of the write buffer, and an invalidation */
static void so_it_is_on_a_unit_that_caches_absence_and_has_a_write_buffer(void **state)
{
	map_or_nothing(UNIT_CACHING, 15, 3);
}

static void so_it_is_with_every_batch_in_flight(void **state)
{
	struct fixture f;

	set_up(&f, UNIT_ADVERSARY);
	for (uint64_t i = 0; i < MOAT_LANE_BATCHES; i++) {
		uint64_t iova = 2 * IOVA + i * MOAT_PAGE_SIZE;

		must(moat_lane_map(f.lane, iova, (uintptr_t)f.memory.va, f.memory.va,
			MOAT_PAGE_SIZE, MOAT_R));
		must(moat_lane_unmap(f.lane, iova, MOAT_PAGE_SIZE));
		assert_int_not_equal(moat_lane_flush(f.lane), 0);
	}
	fail_each(map_in_pieces, nothing_is_reached, &f);
	unmap_all(&f);
	tear_down(&f);
}

/* --------------------------------------------------------------- domains, lanes, sources */

static struct moat_unit *unit;
static struct moat_domain *domain;

static unsigned int ids(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < RTE_DIM(unit->dids); i++)
		n += (unsigned int)__builtin_popcountll(unit->dids[i]);
	return n;
}

static int create_domain(void *arg)
{
	struct moat_domain_conf conf = { .name = "halves" };
	int rc;

	watched = true;
	rc = moat_domain_create(unit, &conf, &domain);
	watched = false;
	return rc;
}

static void no_domain_id_is_taken(void *arg)
{
	assert_int_equal(ids(), *(unsigned int *)arg);
}

static int open_lane(void *arg)
{
	struct moat_lane **lane = arg;

	watched = true;
	*lane = moat_lane_open(domain);
	watched = false;
	return *lane != NULL ? 0 : -ENOMEM;
}

static void no_lane_is_open(void *arg)
{
	struct moat_domain *d = domain;

	/* the domain can be destroyed and created again */
	must(moat_domain_destroy(d));
	countdown = 0;
	must(create_domain(NULL));
}

/* A new range each time: an IOVA whose map the unit was not told about may stay unusable. */
static int attach(void *arg)
{
	return moat_domain_attach(domain, ++*(moat_sid_t *)arg);
}

static void is_not_attached(void *arg)
{
	assert_int_equal(moat_domain_detach(domain, *(moat_sid_t *)arg), -ENOENT);
}

static void a_domain_or_a_lane_is_made_or_not(void **state)
{
	struct moat_lane *lane;
	unsigned int before;

	must(moat_soft_unit_create("soft0", UNIT_ADVERSARY, &unit));
	before = ids();
	assert_in_range(fail_each(create_domain, no_domain_id_is_taken, &before), 4, 100);
	assert_in_range(fail_each(open_lane, no_lane_is_open, &lane), 2, 100);
	must(moat_lane_close(lane));
	must(moat_domain_destroy(domain));
	unit->ops->destroy(unit);
}

static void a_source_is_attached_or_not(void **state)
{
	moat_sid_t sid = SID;

	must(moat_soft_unit_create("soft0", UNIT_CACHING, &unit));
	must(create_domain(NULL));
	assert_in_range(fail_each(attach, is_not_attached, &sid), 1, 100);
	must(moat_domain_detach(domain, sid));
	must(moat_domain_destroy(domain));
	unit->ops->destroy(unit);
}

/* ------------------------------------------------------------------- errors where they are made */

static void wrong_arguments_are_errors(void **state)
{
	struct moat_domain_conf nameless = { 0 }, conf = { .name = "args" };
	struct moat_unit *u;
	struct moat_domain *d;
	struct moat_lane *lane;
	uint64_t iova;

	assert_int_equal(moat_domain_create(NULL, &conf, &d), -EINVAL);
	must(moat_soft_unit_create("soft0", UNIT_ADVERSARY, &u));
	assert_int_equal(moat_domain_create(u, &nameless, &d), -EINVAL);
	assert_int_equal(moat_domain_create(u, NULL, &d), -EINVAL);
	must(moat_domain_create(u, &conf, &d));
	lane = moat_lane_open(d);
	moat_lane_online(lane);
	/* leaf_sizes 0: all sizes that the unit has */
	must(moat_lane_map(lane, IOVA, MOAT_2M_SIZE, NULL, MOAT_2M_SIZE, MOAT_R));
	assert_int_equal(moat_lane_unmap(lane, IOVA, MOAT_PAGE_SIZE), -EINVAL);
	must(moat_lane_unmap(lane, IOVA, MOAT_2M_SIZE));
	/* a range that is freed in two parts */
	must(moat_iova_alloc(d->iova, moat_lane_iovas(lane), MOAT_2M_SIZE, 0, &iova));
	must(moat_lane_map(lane, iova, MOAT_2M_SIZE, NULL, MOAT_2M_SIZE, MOAT_R));
	assert_int_equal(moat_lane_unmap_free(lane, iova, MOAT_2M_SIZE / 2), -EINVAL);
	assert_int_equal(moat_lane_unmap_free(lane, iova, 0), -EINVAL);
	assert_int_equal(moat_lane_gathered(lane), MOAT_2M_SIZE / MOAT_PAGE_SIZE);
	must(moat_lane_unmap_free(lane, iova, MOAT_2M_SIZE));
	must(moat_lane_close(lane));
	must(moat_domain_destroy(d));
	u->ops->destroy(u);
}

static void a_bulk_of_more_than_64_is_refused(void **state)
{
	struct moat_domain_conf conf = { .name = "bulk" };
	uint64_t iova[65] = { 0 };
	struct moat_unit *u;
	struct moat_domain *d;
	struct moat_lane *lane;
	void *va[65];

	must(moat_soft_unit_create("soft0", UNIT_ADVERSARY, &u));
	must(moat_domain_create(u, &conf, &d));
	lane = moat_lane_open(d);
	moat_lane_online(lane);
	memset(va, 0xff, sizeof(va));
	assert_int_equal(moat_iotlb_translate_bulk(&lane->iotlb, iova, 1, 65, MOAT_R, va), 0);
	for (unsigned int i = 0; i < RTE_DIM(va); i++)
		assert_null(va[i]);
	assert_non_null(strstr(moat_error_text(), "65"));
	must(moat_lane_close(lane));
	must(moat_domain_destroy(d));
	u->ops->destroy(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_of_memory_in_pieces_is_made_or_not),
		cmocka_unit_test(so_it_is_on_a_unit_that_caches_absence_and_has_a_write_buffer),
		cmocka_unit_test(so_it_is_with_every_batch_in_flight),
		cmocka_unit_test(a_domain_or_a_lane_is_made_or_not),
		cmocka_unit_test(a_source_is_attached_or_not),
		cmocka_unit_test(wrong_arguments_are_errors),
		cmocka_unit_test(a_bulk_of_more_than_64_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
