/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Attachments and cache tags: a domain on two units, devices with TLBs, and what an unmap must
 * therefore invalidate before its ticket is done.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_common.h>

#include "moat_domain.h"
#include "moat_soft_unit.h"
#include "moat_softvtd.h"
#include "must.h"
#include "unit_args.h"

#define IOVA UINT64_C(0x40000000)
#define SID  MOAT_SID(0, 16, 0)

/* ------------------------------------------------------------------- two software units */

static void a_domain_on_two_units_is_left_by_both_before_the_ticket(void **state)
{
	struct moat_domain_conf conf = { .name = "span" };
	struct moat_attachment at[4];
	struct moat_softvtd_stats stats;
	struct moat_softvtd *hw[2];
	struct moat_unit *unit[2];
	struct moat_domain *domain;
	struct moat_lane *lane;
	uint8_t *mem = aligned_alloc(MOAT_2M_SIZE, MOAT_2M_SIZE), byte = 1;

	must(moat_soft_unit_create("soft0", UNIT_ADVERSARY, &unit[0]));
	/* its domain-ids differ: one is in use, and the unit caches absent entries */
	must(moat_soft_unit_create("soft1", UNIT_CACHING, &unit[1]));
	unit[1]->dids[0] |= 0xfe;
	must(moat_domain_create(unit[0], &conf, &domain));
	assert_int_equal(moat_domain_did(domain, unit[1]), 0);
	must(moat_domain_attach(domain, SID));
	must(moat_domain_attach_at(domain, unit[1], SID, MOAT_PASID_NONE));
	assert_int_equal(moat_domain_attach_at(domain, unit[1], SID, MOAT_PASID_NONE), -EBUSY);
	assert_int_equal(moat_domain_did(domain, unit[1]), 8);
	assert_int_equal(moat_domain_attachments(domain, at, RTE_DIM(at)), 2);
	assert_ptr_equal(at[1].unit, unit[1]);
	assert_int_equal(at[1].did, 8);
	hw[0] = moat_soft_unit_find("soft0");
	hw[1] = moat_soft_unit_find("soft1");
	lane = moat_lane_open(domain);
	moat_lane_online(lane);
	for (unsigned int i = 0; i < 300; i++) {
		uint64_t len = i % 3 == 0 ? MOAT_2M_SIZE : MOAT_PAGE_SIZE, off = 0;

		must(moat_lane_map(lane, IOVA, (uintptr_t)mem, mem, len, MOAT_RW));
		for (unsigned int u = 0; u < 2; u++)
			must(moat_softvtd_dma_write(hw[u], SID, IOVA + off, &byte, 1));
		must(moat_lane_unmap(lane, IOVA, len));
		must(moat_lane_drain(lane));
		for (unsigned int u = 0; u < 2; u++)
			assert_int_not_equal(
				moat_softvtd_dma_write(hw[u], SID, IOVA + off, &byte, 1), 0);
	}
	must(moat_domain_detach_at(domain, unit[1], SID, MOAT_PASID_NONE));
	assert_int_equal(moat_domain_detach_at(domain, unit[1], SID, MOAT_PASID_NONE), -ENOENT);
	must(moat_domain_attach_at(domain, unit[1], SID, MOAT_PASID_NONE));
	must(moat_lane_close(lane));
	must(moat_domain_destroy(domain));
	assert_int_equal(unit[1]->dids[0] & ~UINT64_C(1), 0xfe);
	for (unsigned int u = 0; u < 2; u++) {
		moat_softvtd_stats(hw[u], &stats);
		assert_int_equal(stats.stale_dma, 0);
		unit[u]->ops->destroy(unit[u]);
	}
	free(mem);
}

static void a_unit_that_cannot_walk_the_tables_is_refused(void **state)
{
	struct moat_domain_conf conf = { .name = "wide" };
	struct moat_unit *unit[2];
	struct moat_domain *domain;

	must(moat_soft_unit_create("soft0", UNIT_ADVERSARY, &unit[0]));
	must(moat_soft_unit_create("soft1", UNIT_NARROW, &unit[1]));
	must(moat_domain_create(unit[0], &conf, &domain));
	assert_int_equal(moat_domain_attach_at(domain, unit[1], SID, MOAT_PASID_NONE), -EOPNOTSUPP);
	assert_non_null(strstr(moat_error_text(), "soft1"));
	assert_int_equal(moat_domain_attach_at(domain, NULL, SID, 5), -EOPNOTSUPP);
	assert_int_equal(moat_domain_attach_at(domain, NULL, SID, 1 << 20), -EINVAL);
	must(moat_domain_destroy(domain));
	for (unsigned int u = 0; u < 2; u++)
		unit[u]->ops->destroy(unit[u]);
}

/* The domain-id on the requester's unit counts, not the one on the domain's own unit. */
static void a_unit_of_few_ids_takes_a_domain_with_a_large_one_elsewhere(void **state)
{
	struct moat_domain_conf conf = { .name = "d" };
	struct moat_domain *domain[20];
	struct moat_unit *unit[2];

	must(moat_soft_unit_create("soft0", UNIT_ADVERSARY, &unit[0]));
	must(moat_soft_unit_create("soft1", UNIT_ADVERSARY ",nd=4", &unit[1]));
	for (unsigned int i = 0; i < RTE_DIM(domain); i++)
		must(moat_domain_create(unit[0], &conf, &domain[i]));
	assert_true(domain[19]->did > 16);
	must(moat_domain_attach_at(domain[19], unit[1], SID, MOAT_PASID_NONE));
	assert_in_range(moat_domain_did(domain[19], unit[1]), 1, 15);
	for (unsigned int i = 0; i < RTE_DIM(domain); i++)
		must(moat_domain_destroy(domain[i]));
	for (unsigned int u = 0; u < 2; u++)
		unit[u]->ops->destroy(unit[u]);
}

/* --------------------------------------------------------------- units that note their tags */

struct noting {
	struct moat_unit pub;
	int64_t submitted, done;
	moat_tag_t tags[16];
	unsigned int n;
	bool whole; /* the last submission invalidated everything */
	int refuse; /* number of submissions to answer with -EAGAIN */
	int fail;   /* number of submissions to refuse later */
	int64_t failed;
	struct moat_domain *joins; /* attach this domain to `other` with the next submission */
	struct noting *other;
};

static struct noting *noting(struct moat_unit *unit)
{
	return (struct noting *)unit;
}

static int note_submit_attach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	return 0;
}

static int note_pasid(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
	uint32_t pasid)
{
	return 0;
}

/* Devices from 01:00.0 on have TLBs. */
static void note_device_tlb(struct moat_unit *unit, moat_sid_t sid, struct moat_device_tlb *tlb)
{
	*tlb = (struct moat_device_tlb){ sid >= MOAT_SID(1, 0, 0), 31, 0x1234 };
}

static int64_t note_submit(struct moat_unit *unit, const moat_tag_t tags[], unsigned int n,
	const struct moat_gather *gather, struct moat_inval_report *report)
{
	struct noting *u = noting(unit);
	struct moat_domain *joins = u->joins;

	if (u->refuse != 0) {
		u->refuse--;
		return -EAGAIN;
	}
	u->n = n;
	memcpy(u->tags, tags, RTE_MIN(n, RTE_DIM(u->tags)) * sizeof(*tags));
	u->whole = gather == NULL;
	report->commands = n;
	u->submitted++;
	if (u->fail != 0) {
		u->fail--;
		u->failed = u->submitted;
	}
	u->joins = NULL;
	if (joins != NULL)
		must(moat_domain_attach_at(joins, &u->other->pub, SID, MOAT_PASID_NONE));
	return u->submitted;
}

static int note_done(struct moat_unit *unit, int64_t seq)
{
	if (seq > noting(unit)->done)
		return 0;
	return seq == noting(unit)->failed ? -EIO : 1;
}

static int note_wait(struct moat_unit *unit, int64_t seq, uint64_t timeout_us, void (*turn)(void))
{
	noting(unit)->done = noting(unit)->submitted;
	return 0;
}

static struct noting units[2];
static struct moat_domain *domain;
static struct moat_lane *lane;

static int set_up(void **state)
{
	static const struct moat_unit_ops ops = { .attach = note_submit_attach,
		.detach = note_submit_attach,
		.attach_pasid = note_pasid,
		.detach_pasid = note_pasid,
		.device_tlb = note_device_tlb,
		.inval_submit = note_submit,
		.inval_done = note_done,
		.inval_wait = note_wait };
	struct moat_domain_conf conf = { .name = "notes" };

	for (unsigned int i = 0; i < 2; i++) {
		units[i] = (struct noting){ .pub = { .ops = &ops, .kind = "notes" } };
		units[i].pub.name[0] = (char)('a' + i);
		units[i].pub.caps = (struct moat_unit_caps){ .sagaw = 1 << 2,
			.mgaw = 48,
			.leaf_sizes = MOAT_2M_SIZE,
			.nd = 256,
			.coherent = true };
		must(moat_pt_pool_create(NULL, &units[i].pub.pool));
	}
	must(moat_domain_create(&units[0].pub, &conf, &domain));
	lane = moat_lane_open(domain);
	assert_non_null(lane);
	return 0;
}

static int tear_down(void **state)
{
	for (unsigned int i = 0; i < 2; i++)
		units[i].done = INT64_MAX - 1;
	must(moat_lane_close(lane));
	must(moat_domain_destroy(domain));
	for (unsigned int i = 0; i < 2; i++)
		moat_pt_pool_destroy(units[i].pub.pool);
	return 0;
}

static moat_ticket_t unmap_one(void)
{
	moat_ticket_t ticket;

	must(moat_lane_map(lane, IOVA, 0, NULL, MOAT_PAGE_SIZE, MOAT_RW));
	must(moat_lane_unmap(lane, IOVA, MOAT_PAGE_SIZE));
	ticket = moat_lane_flush(lane);
	moat_lane_send(lane);
	return ticket;
}

static void complete(struct noting *u)
{
	u->done = u->submitted;
	moat_lane_poll(lane);
}

static void tags_are_those_of_the_attachments_each_once(void **state)
{
	moat_sid_t ats = MOAT_SID(1, 2, 3);

	must(moat_domain_attach(domain, SID));
	must(moat_domain_attach(domain, SID + 1));
	must(moat_domain_attach_at(domain, NULL, SID, 7)); /* second stage, so no tag by PASID */
	unmap_one();
	assert_int_equal(units[0].n, 1);
	assert_int_equal(units[0].tags[0], moat_tag_iotlb(0, domain->did, MOAT_PASID_NONE));
	complete(&units[0]);

	must(moat_domain_attach(domain, ats));
	must(moat_domain_attach_at(domain, NULL, ats, 9));
	unmap_one();
	assert_int_equal(units[0].n, 3);
	assert_int_equal(MOAT_TAG_KIND(units[0].tags[1]), MOAT_TAG_DEVICE_TLB);
	assert_int_equal(MOAT_TAG_ID(units[0].tags[1]), ats);
	assert_false(MOAT_TAG_HAS_PASID(units[0].tags[1]));
	assert_int_equal(MOAT_TAG_PASID(units[0].tags[2]), 9);
	assert_int_equal(MOAT_TAG_MAX_PENDING(units[0].tags[2]), 31);
	assert_int_equal(MOAT_TAG_PFSID(units[0].tags[2]), 0x1234);
	complete(&units[0]);

	must(moat_domain_detach(domain, ats));
	unmap_one();
	assert_int_equal(units[0].n, 2);
	must(moat_domain_detach_at(domain, NULL, ats, 9));
	complete(&units[0]);
	unmap_one();
	assert_int_equal(units[0].n, 1);
}

static void a_ticket_waits_for_each_unit(void **state)
{
	moat_ticket_t ticket;

	must(moat_domain_attach_at(domain, &units[1].pub, SID, MOAT_PASID_NONE));
	ticket = unmap_one();
	complete(&units[0]);
	assert_false(moat_lane_done(lane, ticket));
	complete(&units[1]);
	assert_true(moat_lane_done(lane, ticket));

	/* a submission for which a unit has no room, or that it refuses, is repeated for
	 * everything */
	units[1].refuse = 1;
	ticket = unmap_one();
	complete(&units[0]);
	assert_false(moat_lane_done(lane, ticket));
	assert_true(units[1].whole);
	units[1].fail = 1;
	complete(&units[0]);
	complete(&units[1]);
	assert_true(moat_lane_done(lane, ticket));
	ticket = unmap_one();
	complete(&units[0]);
	complete(&units[1]);
	assert_false(moat_lane_done(lane, ticket));
	complete(&units[0]);
	complete(&units[1]);
	assert_true(moat_lane_done(lane, ticket));
}

static void a_device_that_comes_while_a_batch_is_submitted_is_invalidated_too(void **state)
{
	moat_ticket_t ticket;

	units[0].joins = domain;
	units[0].other = &units[1];
	ticket = unmap_one();
	assert_int_equal(units[1].submitted, 0);
	complete(&units[0]);
	assert_false(moat_lane_done(lane, ticket));
	assert_int_equal(units[1].submitted, 1);
	complete(&units[0]);
	complete(&units[1]);
	assert_true(moat_lane_done(lane, ticket));
}

/* -------------------------------------------------------- IOVAs that a unit does not translate */

static void a_unit_that_was_refused_for_an_iova_in_use_joins_once_that_is_free(void **state)
{
	static const struct moat_range reserved[] = { { 0x40100000, 0x2000 },
		{ 0x40200000, 0x3000 } };
	struct moat_unit *unit = &units[1].pub;

	unit->caps.reserved = reserved;
	unit->caps.nr_reserved = RTE_DIM(reserved);
	must(moat_iova_reserve(domain->iova, 0x40202000, MOAT_PAGE_SIZE));
	assert_int_equal(moat_domain_attach_at(domain, unit, SID, MOAT_PASID_NONE), -EBUSY);
	/* the other range is not kept from the domain, as the unit has not joined */
	must(moat_iova_reserve(domain->iova, 0x40100000, 0x2000));
	must(moat_iova_free(domain->iova, NULL, 0x40100000, 0x2000));
	must(moat_iova_free(domain->iova, NULL, 0x40202000, MOAT_PAGE_SIZE));
	must(moat_domain_attach_at(domain, unit, SID, MOAT_PASID_NONE));
	for (unsigned int i = 0; i < RTE_DIM(reserved); i++)
		assert_int_equal(moat_iova_reserve(domain->iova, reserved[i].iova, MOAT_PAGE_SIZE),
			-EBUSY);
}

static void a_unit_that_was_refused_for_want_of_tags_leaves_its_iovas_to_the_domain(void **state)
{
	static const struct moat_range reserved = { 0x40100000, 0x2000 };
	struct moat_unit *unit = &units[1].pub;
	uint32_t pasid = 0;

	unit->caps.reserved = &reserved;
	unit->caps.nr_reserved = 1;
	while (moat_domain_attach_at(domain, NULL, MOAT_SID(1, 0, 0), pasid) == 0)
		pasid++;
	assert_non_null(strstr(moat_error_text(), "device TLBs"));
	assert_int_equal(moat_domain_attach_at(domain, unit, SID, MOAT_PASID_NONE), -ENOSPC);
	must(moat_iova_reserve(domain->iova, reserved.iova, reserved.len));
	must(moat_iova_free(domain->iova, NULL, reserved.iova, reserved.len));
	must(moat_domain_detach_at(domain, NULL, MOAT_SID(1, 0, 0), 0));
	must(moat_domain_attach_at(domain, unit, SID, MOAT_PASID_NONE));
	assert_int_equal(moat_iova_reserve(domain->iova, reserved.iova, reserved.len), -EBUSY);
}

static void units_whose_reserved_iovas_overlap_in_part_share_a_domain(void **state)
{
	static const struct moat_range own[] = { { 0x40100000, 0x2000 }, { 0x40104000, 0x1000 } };
	static const struct moat_range others[] = { { 0x40101000, 0x6000 },
		{ 0x40200000, 0x1000 } };
	struct moat_domain_conf conf = { .name = "overlap" };
	struct moat_domain *both;

	units[0].pub.caps.reserved = own;
	units[0].pub.caps.nr_reserved = RTE_DIM(own);
	units[1].pub.caps.reserved = others;
	units[1].pub.caps.nr_reserved = RTE_DIM(others);
	must(moat_domain_create(&units[0].pub, &conf, &both));
	must(moat_domain_attach_at(both, &units[1].pub, SID, MOAT_PASID_NONE));
	for (uint64_t iova = 0x40100000; iova < 0x40107000; iova += MOAT_PAGE_SIZE)
		assert_int_equal(moat_iova_reserve(both->iova, iova, MOAT_PAGE_SIZE), -EBUSY);
	assert_int_equal(moat_iova_reserve(both->iova, 0x40200000, MOAT_PAGE_SIZE), -EBUSY);
	must(moat_iova_reserve(both->iova, 0x400ff000, MOAT_PAGE_SIZE));
	must(moat_iova_reserve(both->iova, 0x40107000, MOAT_PAGE_SIZE));
	must(moat_domain_destroy(both));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_domain_on_two_units_is_left_by_both_before_the_ticket),
		cmocka_unit_test(a_unit_that_cannot_walk_the_tables_is_refused),
		cmocka_unit_test(a_unit_of_few_ids_takes_a_domain_with_a_large_one_elsewhere),
		T(tags_are_those_of_the_attachments_each_once),
		T(a_ticket_waits_for_each_unit),
		T(a_device_that_comes_while_a_batch_is_submitted_is_invalidated_too),
		T(a_unit_that_was_refused_for_an_iova_in_use_joins_once_that_is_free),
		T(a_unit_that_was_refused_for_want_of_tags_leaves_its_iovas_to_the_domain),
		T(units_whose_reserved_iovas_overlap_in_part_share_a_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
