/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * A domain over a parent: devices are translated by both, look-ups give the composed answer, and an
 * unmap on either level takes effect on both. On software units with an oracle, which is told about
 * both levels.
 */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_common.h>
#include <urcu-qsbr.h>

#include "moat_domain.h"
#include "moat_patience.h"
#include "moat_soft_unit.h"
#include "moat_softvtd.h"
#include "must.h"
#include "unit_args.h"

#define NESTED ",scalable=1,mode=scalable,stage=nested"
#define NIC    MOAT_SID(3, 0x12, 1)
#define PASID  7
#define IOVA   UINT64_C(0x40000000)
#define GUEST  UINT64_C(0x10000000)
#define PAGES  64u
#define PAGE   MOAT_PAGE_SIZE

/* A parent, and a child to which one PASID of a device is attached. The parent maps `memory` from
 * GUEST on; groups of four pages are in another order, so that a run of the parent's addresses is
 * several runs of memory. */
struct rig {
	struct moat_unit *unit;
	struct moat_softvtd *hw;
	struct moat_domain *parent, *child;
	struct moat_lane *below, *lane;
	uint8_t *memory;
};

static struct rig rig;

/* For a device with a TLB: its tags are taken out of submissions, because the software unit has no
 * device TLBs. */
static struct moat_unit_ops ops;
static moat_tag_t submitted[16]; /* device-TLB tags of the last submission */
static unsigned int nr_submitted;

static int64_t submit_noting(struct moat_unit *unit, const moat_tag_t tags[], unsigned int n,
	const struct moat_gather *gather, struct moat_inval_report *report)
{
	moat_tag_t iotlb[16];
	unsigned int nr_iotlb = 0;

	nr_submitted = 0;
	for (unsigned int i = 0; i < n; i++) {
		if (MOAT_TAG_KIND(tags[i]) == MOAT_TAG_DEVICE_TLB)
			submitted[nr_submitted++] = tags[i];
		else
			iotlb[nr_iotlb++] = tags[i];
	}
	return moat_unit_qi_submit(unit, iotlb, nr_iotlb, gather, report);
}

static void has_device_tlb(struct moat_unit *unit, moat_sid_t sid, struct moat_device_tlb *tlb)
{
	*tlb = (struct moat_device_tlb){ .present = true, .max_pending = 3, .pfsid = sid };
}

static void note_device_tlbs(struct moat_unit *unit)
{
	ops = *unit->ops;
	ops.device_tlb = has_device_tlb;
	ops.inval_submit = submit_noting;
	unit->ops = &ops;
}

static uint8_t *page_of(unsigned int i)
{
	return rig.memory + (i / 4 * 5 % 16 * 4 + i % 4) * PAGE;
}

static uint64_t guest(unsigned int i)
{
	return GUEST + i * PAGE;
}

static void parent_map(unsigned int i, enum moat_prot prot)
{
	must(moat_lane_map(rig.below, guest(i), (uintptr_t)page_of(i), page_of(i), PAGE, prot));
}

static struct moat_domain *child_new(const char *name)
{
	struct moat_domain_conf conf = { .name = name, .parent = rig.parent };
	struct moat_domain *child;

	must(moat_domain_create(rig.unit, &conf, &child));
	return child;
}

/* Create a parent and a child, each with a lane. */
static void rig_domains(void)
{
	struct moat_domain_conf conf = { .name = "guest", .nest_parent = true };

	must(moat_domain_create(rig.unit, &conf, &rig.parent));
	rig.child = child_new("red");
	rig.below = moat_lane_open(rig.parent);
	rig.lane = moat_lane_open(rig.child);
	assert_non_null(rig.below);
	assert_non_null(rig.lane);
}

static void rig_up_with(const char *args, void (*change)(struct moat_unit *unit))
{
	rcu_register_thread();
	must(moat_soft_unit_create("soft0", args, &rig.unit));
	if (change != NULL)
		change(rig.unit);
	rig.hw = moat_soft_unit_find("soft0");
	rig_domains();
	moat_lane_online(rig.lane);
	rig.memory = aligned_alloc(MOAT_2M_SIZE, MOAT_2M_SIZE);
	memset(rig.memory, 0, MOAT_2M_SIZE);
	must(moat_domain_attach_at(rig.child, NULL, NIC, PASID));
	for (unsigned int i = 0; i < PAGES; i++)
		parent_map(i, MOAT_RW);
}

static void rig_up(const char *args)
{
	rig_up_with(args, NULL);
}

static void assert_honest(void)
{
	struct moat_softvtd_stale last;
	struct moat_softvtd_stats s;

	moat_softvtd_stats(rig.hw, &s);
	if (s.stale_dma != 0 && moat_softvtd_stale(rig.hw, &last, 1) == 1)
		print_error("stale DMA at 0x%" PRIx64
			    ", domain-id %u, kind %d, by %d, unmap %" PRIx64 "\n",
			last.iova, last.did, last.why, last.server, last.cause);
	assert_int_equal(s.stale_dma, 0);
	assert_int_equal(s.early_reuse, 0);
	assert_int_equal(s.witness_errors, 0);
	for (unsigned int i = 0; i < MOAT_SOFTVTD_MISUSES; i++)
		if (s.misuse[i] != 0)
			fail_msg("%s", moat_softvtd_misuse_text(i));
}

static void rig_down(void)
{
	must(moat_lane_close(rig.lane));
	must(moat_lane_close(rig.below));
	must(moat_domain_destroy(rig.child));
	must(moat_domain_destroy(rig.parent));
	assert_honest();
	rig.unit->ops->destroy(rig.unit);
	free(rig.memory);
	rcu_unregister_thread();
}

static const char *const units[] = { UNIT_ADVERSARY NESTED, UNIT_CACHING NESTED,
	UNIT_NARROW NESTED };

#define ON_EACH_UNIT                                                                \
	for (unsigned int u_ = 0; u_ < RTE_DIM(units) && (rig_up(units[u_]), true); \
		rig_down(), u_++)

static int device_writes(uint64_t iova, uint64_t value)
{
	return moat_softvtd_dma_write_pasid(rig.hw, NIC, PASID, iova, &value, sizeof(value));
}

static uint64_t word(unsigned int i)
{
	return *(volatile uint64_t *)(void *)page_of(i);
}

static void *look_up(uint64_t iova, enum moat_prot prot)
{
	return moat_iotlb_translate(&rig.lane->iotlb, iova, 8, prot);
}

static void child_map(uint64_t iova, unsigned int i, unsigned int n, enum moat_prot prot)
{
	must(moat_lane_map(rig.lane, iova, guest(i), NULL, n * PAGE, prot));
}

static void child_unmap(uint64_t iova, unsigned int n)
{
	must(moat_lane_unmap(rig.lane, iova, n * PAGE));
	must(moat_lane_drain(rig.lane));
}

/* ------------------------------------------------------------------------------ both stages */

static void a_device_goes_through_both_stages(void **state)
{
	ON_EACH_UNIT
	{
		child_map(IOVA, 8, 40, MOAT_RW);
		for (unsigned int i = 0; i < 40; i++) {
			assert_int_equal(device_writes(IOVA + i * PAGE, 1000 + i), 0);
			assert_int_equal(word(8 + i), 1000 + i);
			assert_ptr_equal(look_up(IOVA + i * PAGE, MOAT_RW), page_of(8 + i));
		}
		assert_int_not_equal(device_writes(IOVA + 40 * PAGE, 1), 0);
		assert_null(look_up(IOVA + 40 * PAGE, MOAT_R));
		assert_int_not_equal(device_writes(guest(8), 1), 0);
		child_unmap(IOVA, 40);
		assert_int_not_equal(device_writes(IOVA, 1), 0);
	}
}

static void a_look_up_takes_the_index_alone(void **state)
{
	const struct moat_iotlb *tlb;

	rig_up(UNIT_ADVERSARY NESTED);
	tlb = &rig.lane->iotlb;
	child_map(IOVA, 3, 1, MOAT_R);
	assert_ptr_equal(look_up(IOVA + 16, MOAT_R), page_of(3) + 16);
	assert_null(look_up(IOVA, MOAT_W));
	assert_int_equal(tlb->hits, 1);
	assert_int_equal(tlb->misses, 0);
	child_unmap(IOVA, 1);
	rig_down();
}

/* The parent maps 2 MiB by one leaf, so the child can use one, too. */
static void superpages_lead_to_superpages(void **state)
{
	uint8_t *big = aligned_alloc(MOAT_2M_SIZE, MOAT_2M_SIZE);

	rig_up(UNIT_ADVERSARY NESTED);
	must(moat_lane_map(rig.below, MOAT_1G_SIZE, (uintptr_t)big, big, MOAT_2M_SIZE, MOAT_RW));
	must(moat_lane_map(rig.lane, IOVA, MOAT_1G_SIZE, big, MOAT_2M_SIZE, MOAT_RW));
	for (uint64_t off = 0; off < MOAT_2M_SIZE; off += 61 * PAGE) {
		assert_int_equal(device_writes(IOVA + off, off), 0);
		assert_int_equal(*(uint64_t *)(void *)(big + off), off);
		assert_ptr_equal(look_up(IOVA + off, MOAT_R), big + off);
	}
	must(moat_lane_unmap(rig.below, MOAT_1G_SIZE, MOAT_2M_SIZE));
	assert_null(look_up(IOVA, MOAT_R));
	moat_lane_poll(rig.lane);
	must(moat_lane_drain(rig.below));
	assert_int_not_equal(device_writes(IOVA, 1), 0);
	must(moat_lane_unmap(rig.lane, IOVA, MOAT_2M_SIZE));
	must(moat_lane_drain(rig.lane));
	rig_down();
	free(big);
}

/* --------------------------------------------------------------------------------- refusals */

static void refused(int rc, uint64_t address, void *va, uint64_t len, enum moat_prot prot,
	const char *why)
{
	assert_int_equal(moat_lane_map(rig.lane, IOVA, address, va, len, prot), rc);
	if (strstr(moat_error_text(), why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", moat_error_text(), why);
	assert_null(look_up(IOVA, MOAT_R));
	assert_int_not_equal(device_writes(IOVA, 1), 0);
	assert_int_equal(moat_lane_unmap(rig.lane, IOVA, PAGE), -ENOENT);
}

static void what_the_parent_lacks_is_refused(void **state)
{
	uint64_t top;

	ON_EACH_UNIT
	{
		top = UINT64_C(1) << rig.parent->width;
		must(moat_lane_unmap(rig.below, guest(20), PAGE));
		must(moat_lane_drain(rig.below));
		must(moat_lane_unmap(rig.below, guest(30), PAGE));
		must(moat_lane_drain(rig.below));
		parent_map(30, MOAT_R);
		refused(-EFAULT, guest(20), NULL, PAGE, MOAT_R, "0x10014000 is not mapped in its");
		/* pages mapped before the refused one are unmapped again */
		refused(-EFAULT, guest(10), NULL, 20 * PAGE, MOAT_R, "not mapped");
		refused(-EFAULT, top, NULL, PAGE, MOAT_R, "not mapped");
		refused(-EACCES, guest(30), NULL, PAGE, MOAT_W, "without permission to write");
		refused(-EACCES, guest(28), NULL, 8 * PAGE, MOAT_RW, "0x1001e000");
		refused(-EINVAL, guest(5), page_of(6), PAGE, MOAT_R, "maps 0x10005000 to");
		refused(-EFAULT, top - PAGE, NULL, PAGE, MOAT_R, "the tables of its children");
		refused(-EINVAL, guest(5) + 1, NULL, PAGE, MOAT_R, "");
		child_map(IOVA, 30, 1, MOAT_R);
		child_unmap(IOVA, 1);
		parent_map(20, MOAT_RW);
	}
}

static void the_window_of_tables_is_not_the_parents_to_map(void **state)
{
	uint64_t top;

	rig_up(UNIT_ADVERSARY NESTED);
	top = UINT64_C(1) << rig.parent->width;
	assert_int_equal(moat_lane_map(rig.below, top - 2 * PAGE, (uintptr_t)rig.memory, rig.memory,
				 PAGE, MOAT_R),
		-ERANGE);
	assert_int_equal(moat_lane_unmap(rig.below, top - MOAT_1G_SIZE, MOAT_2M_SIZE), -ERANGE);
	assert_non_null(strstr(moat_error_text(), "hold the tables of its children"));
	rig_down();
}

static void create_refused(const struct moat_domain_conf *conf, int rc, const char *why)
{
	struct moat_domain *none = NULL;

	assert_int_equal(moat_domain_create(rig.unit, conf, &none), rc);
	assert_null(none);
	if (strstr(moat_error_text(), why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", moat_error_text(), why);
}

static void what_cannot_nest_is_refused(void **state)
{
	struct moat_domain *plain;
	struct moat_unit *other;

	rig_up(UNIT_ADVERSARY NESTED);
	must(moat_domain_create(rig.unit, &(struct moat_domain_conf){ .name = "plain" }, &plain));
	create_refused(&(struct moat_domain_conf){ .name = "c", .parent = plain }, -EINVAL,
		"nest_parent");
	create_refused(&(struct moat_domain_conf){ .name = "c", .parent = rig.child }, -EINVAL,
		"nest_parent");
	create_refused(&(struct moat_domain_conf){ .name = "c",
			       .parent = rig.parent,
			       .nest_parent = true },
		-EINVAL, "two stages");
	must(moat_domain_destroy(plain));
	must(moat_soft_unit_create("soft1", "scalable=1,mode=scalable,stage=second", &other));
	assert_int_equal(moat_domain_create(other,
				 &(struct moat_domain_conf){ .name = "c", .nest_parent = true },
				 &plain),
		-EOPNOTSUPP);
	assert_non_null(strstr(moat_error_text(), "stage=nested"));
	assert_int_equal(moat_domain_attach_at(rig.child, other, NIC, 9), -EOPNOTSUPP);
	assert_non_null(strstr(moat_error_text(), "it does not nest"));
	other->ops->destroy(other);
	rig_down();
}

static void a_parent_outlives_its_children(void **state)
{
	rig_up(UNIT_ADVERSARY NESTED);
	struct moat_domain *second = child_new("blue");

	must(moat_lane_close(rig.below));
	assert_int_equal(moat_domain_destroy(rig.parent), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "2 nested domains"));
	must(moat_domain_destroy(second));
	assert_int_equal(moat_domain_destroy(rig.parent), -EBUSY);
	rig.below = moat_lane_open(rig.parent);
	rig_down();
}

/* Each child is a tag of the parent's, and the number of tags is limited. */
static void what_is_one_child_too_many_is_refused(void **state)
{
	struct moat_domain *children[128], *more = NULL;
	struct moat_domain_conf conf = { .name = "child" };
	unsigned int n = 0;

	rig_up(UNIT_ADVERSARY NESTED);
	conf.parent = rig.parent;
	while (n < RTE_DIM(children) && moat_domain_create(rig.unit, &conf, &children[n]) == 0)
		n++;
	assert_in_range(n, 64, RTE_DIM(children) - 1);
	assert_int_equal(moat_domain_create(rig.unit, &conf, &more), -ENOSPC);
	assert_null(more);
	assert_non_null(strstr(moat_error_text(), "domain 'guest'"));
	/* an unmap still invalidates for all of them */
	child_map(IOVA, 0, 1, MOAT_RW);
	assert_int_equal(device_writes(IOVA, 1), 0);
	must(moat_lane_unmap(rig.below, guest(0), PAGE));
	moat_lane_poll(rig.lane);
	must(moat_lane_drain(rig.below));
	assert_int_not_equal(device_writes(IOVA, 1), 0);
	child_unmap(IOVA, 1);
	while (n-- != 0)
		must(moat_domain_destroy(children[n]));
	must(moat_domain_create(rig.unit, &conf, &more));
	must(moat_domain_destroy(more));
	rig_down();
}

/* ----------------------------------------------------------------------- the parent unmaps */

int __real_moat_pt_map(struct moat_pt *pt, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot, uint64_t *bad);
int __wrap_moat_pt_map(struct moat_pt *pt, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot, uint64_t *bad);

static bool take_first; /* the parent unmaps a page that a child is about to map */

int __wrap_moat_pt_map(struct moat_pt *pt, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot, uint64_t *bad)
{
	if (take_first && pt == rig.child->pt) {
		take_first = false;
		must(moat_lane_unmap(rig.below, hpa, PAGE));
	}
	return __real_moat_pt_map(pt, iova, hpa, va, len, prot, bad);
}

static void a_child_asks_again_when_its_entries_are_stored(void **state)
{
	ON_EACH_UNIT
	{
		for (unsigned int i = 0; i < PAGES; i++) {
			take_first = true;
			refused(-EFAULT, guest(i), NULL, PAGE, MOAT_RW, "not mapped");
			assert_false(take_first);
			moat_lane_poll(rig.lane);
			must(moat_lane_drain(rig.below));
			assert_honest();
			parent_map(i, MOAT_RW);
		}
	}
}

static void the_parents_ticket_covers_the_children(void **state)
{
	ON_EACH_UNIT
	{
		for (unsigned int turn = 0; turn < 100; turn++) {
			unsigned int i = turn % PAGES;

			child_map(IOVA, i, 1, MOAT_RW);
			assert_int_equal(device_writes(IOVA, turn), 0);
			must(moat_lane_unmap(rig.below, guest(i), PAGE));
			assert_null(look_up(IOVA, MOAT_R)); /* at once */
			moat_lane_poll(rig.lane);
			must(moat_lane_drain(rig.below));
			assert_int_not_equal(device_writes(IOVA, 1), 0);
			assert_honest();
			/* After the parent has mapped the page again, the child still has no
			 * permission. */
			parent_map(i, MOAT_RW);
			assert_int_not_equal(device_writes(IOVA, 1), 0);
			assert_null(look_up(IOVA, MOAT_R));
			assert_int_equal(
				moat_lane_map(rig.lane, IOVA, guest(i), NULL, PAGE, MOAT_R),
				-EEXIST);
			child_unmap(IOVA, 1);
			child_map(IOVA, i, 1, MOAT_RW);
			assert_int_equal(device_writes(IOVA, turn), 0);
			child_unmap(IOVA, 1);
		}
	}
}

static uint64_t done_of(enum moat_qi_type type)
{
	struct moat_softvtd_stats s;

	moat_softvtd_stats(rig.hw, &s);
	return s.descriptors[type];
}

static void each_level_gives_the_unit_its_own_descriptors(void **state)
{
	uint64_t iotlb, by_pasid;

	rig_up(UNIT_ADVERSARY NESTED);
	child_map(IOVA, 0, 1, MOAT_RW);
	iotlb = done_of(MOAT_QI_IOTLB);
	by_pasid = done_of(MOAT_QI_PASID_IOTLB);
	child_unmap(IOVA, 1);
	assert_int_equal(done_of(MOAT_QI_IOTLB), iotlb);
	assert_int_equal(done_of(MOAT_QI_PASID_IOTLB), by_pasid + 1);
	/* by the parent's domain-id and by the child's */
	must(moat_lane_unmap(rig.below, guest(0), PAGE));
	must(moat_lane_drain(rig.below));
	assert_int_equal(done_of(MOAT_QI_IOTLB), iotlb + 2);
	assert_int_equal(done_of(MOAT_QI_PASID_IOTLB), by_pasid + 1);
	parent_map(0, MOAT_RW);
	rig_down();
}

static void a_leaf_that_reaches_into_it_goes_whole(void **state)
{
	uint8_t *big = aligned_alloc(MOAT_2M_SIZE, MOAT_2M_SIZE);
	const uint64_t at = MOAT_1G_SIZE;

	memset(big, 0, MOAT_2M_SIZE);
	rig_up(UNIT_ADVERSARY NESTED);
	for (uint64_t off = 0; off < MOAT_2M_SIZE; off += PAGE)
		must(moat_lane_map(rig.below, at + off, (uintptr_t)big + off, big + off, PAGE,
			MOAT_RW));
	must(moat_lane_map(rig.lane, IOVA, at, NULL, MOAT_2M_SIZE, MOAT_RW));
	assert_int_equal(device_writes(IOVA + 9 * PAGE, 1), 0);
	must(moat_lane_unmap(rig.below, at + 5 * PAGE, PAGE));
	assert_int_equal(device_writes(IOVA + 9 * PAGE, 1), 0); /* the parent still maps it */
	assert_null(look_up(IOVA + 9 * PAGE, MOAT_R));
	moat_lane_poll(rig.lane);
	must(moat_lane_drain(rig.below));
	assert_int_not_equal(device_writes(IOVA + 5 * PAGE, 1), 0);
	assert_int_not_equal(device_writes(IOVA + 9 * PAGE, 1), 0);
	must(moat_lane_unmap(rig.lane, IOVA, MOAT_2M_SIZE));
	must(moat_lane_drain(rig.lane));
	must(moat_lane_map(rig.below, at + 5 * PAGE, (uintptr_t)big, big, PAGE, MOAT_RW));
	must(moat_lane_unmap(rig.below, at, MOAT_2M_SIZE));
	must(moat_lane_drain(rig.below));
	rig_down();
	free(big);
}

/* A device caches translations by the child's IOVAs, so when the parent unmaps, the device is told
 * to invalidate everything. Another child of the parent cannot attach the same requester. */
static void device_tlbs_of_children_forget_all(void **state)
{
	struct moat_domain *blue;
	moat_tag_t own;

	rig_up_with(UNIT_ADVERSARY NESTED, note_device_tlbs);
	blue = child_new("blue");
	assert_int_equal(moat_domain_attach_at(blue, NULL, NIC, PASID), -EBUSY);
	child_map(IOVA, 0, 1, MOAT_RW);
	child_unmap(IOVA, 1);
	assert_int_equal(nr_submitted, 1);
	own = submitted[0];
	assert_int_equal(MOAT_TAG_PASID(own), PASID);
	assert_int_equal(own & MOAT_TAG_WHOLE, 0);
	must(moat_lane_unmap(rig.below, guest(0), PAGE));
	moat_lane_poll(rig.lane);
	must(moat_lane_drain(rig.below));
	assert_int_equal(nr_submitted, 1);
	assert_true(submitted[0] == (own | MOAT_TAG_WHOLE));
	must(moat_domain_detach_at(rig.child, NULL, NIC, PASID));
	parent_map(0, MOAT_RW);
	must(moat_lane_unmap(rig.below, guest(0), PAGE));
	must(moat_lane_drain(rig.below));
	assert_int_equal(nr_submitted, 0);
	must(moat_domain_destroy(blue));
	rig_down();
}

/* If a child is attached on another unit, the parent is attached there, too, and the parent's
 * unmaps are invalidated on both units. */
static void a_child_spans_units_with_its_parent(void **state)
{
	struct moat_softvtd *second;
	struct moat_unit *other;
	uint64_t value = 5;

	rig_up(UNIT_ADVERSARY NESTED);
	must(moat_soft_unit_create("soft1", UNIT_ADVERSARY NESTED, &other));
	second = moat_soft_unit_find("soft1");
	must(moat_domain_attach_at(rig.child, other, NIC, PASID));
	assert_int_not_equal(moat_domain_did(rig.parent, other), 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		child_map(IOVA, i, 1, MOAT_RW);
		assert_int_equal(device_writes(IOVA, i), 0);
		must(moat_softvtd_dma_write_pasid(second, NIC, PASID, IOVA, &value, sizeof(value)));
		must(moat_lane_unmap(rig.below, guest(i), PAGE));
		moat_lane_poll(rig.lane);
		must(moat_lane_drain(rig.below));
		assert_int_not_equal(device_writes(IOVA, i), 0);
		assert_int_not_equal(moat_softvtd_dma_write_pasid(second, NIC, PASID, IOVA, &value,
					     sizeof(value)),
			0);
		child_unmap(IOVA, 1);
		parent_map(i, MOAT_RW);
	}
	rig_down();
	other->ops->destroy(other);
}

/* ------------------------------------------------------------------------------- readers */

/* The unit completed long ago, but the child's lane may still hold a translation. */
static void the_parents_ticket_waits_for_the_childrens_lanes(void **state)
{
	moat_ticket_t ticket;

	rig_up(UNIT_ADVERSARY NESTED);
	child_map(IOVA, 0, 1, MOAT_RW);
	assert_non_null(look_up(IOVA, MOAT_R));
	must(moat_lane_unmap(rig.below, guest(0), PAGE));
	ticket = moat_lane_flush(rig.below);
	for (unsigned int i = 0; i < 10000; i++)
		moat_lane_poll(rig.below);
	assert_false(moat_lane_done(rig.below, ticket));
	moat_lane_poll(rig.lane);
	while (moat_lane_poll(rig.below) < ticket)
		;
	child_unmap(IOVA, 1);
	parent_map(0, MOAT_RW);
	rig_down();
}

static void siblings_do_not_wait_for_each_other(void **state)
{
	struct moat_domain *blue;
	struct moat_lane *lane;

	rig_up(UNIT_ADVERSARY NESTED);
	blue = child_new("blue");
	lane = moat_lane_open(blue);
	moat_lane_online(lane);
	child_map(IOVA, 0, 1, MOAT_RW);
	must(moat_lane_unmap(rig.lane, IOVA, PAGE));
	moat_lane_flush(rig.lane);
	while (moat_lane_poll(rig.lane) != moat_lane_last_ticket(rig.lane))
		; /* `lane` does not poll */
	must(moat_lane_close(lane));
	must(moat_domain_destroy(blue));
	rig_down();
}

/* A lane that is offline may map, too; during the call it is a reader of the parent. */
static void a_lane_that_is_offline_may_map(void **state)
{
	ON_EACH_UNIT
	{
		moat_lane_offline(rig.lane);
		child_map(IOVA, 0, PAGES, MOAT_RW);
		must(moat_lane_unmap(rig.below, guest(0), PAGE));
		must(moat_lane_drain(rig.below)); /* no lane reads */
		assert_int_not_equal(device_writes(IOVA, 1), 0);
		assert_int_equal(device_writes(IOVA + PAGE, 1), 0);
		child_unmap(IOVA, PAGES);
		parent_map(0, MOAT_RW);
		moat_lane_online(rig.lane);
	}
}

/* ---------------------------------------------------------------------------------- tables */

#define BLOCKS 600u

/* Each 2 MiB has a table of its own; so many tables need two chunks of the table area. */
static void tables_come_and_go_in_the_window(void **state)
{
	struct moat_softvtd_stats s;

	ON_EACH_UNIT
	{
		for (unsigned int turn = 0; turn < 2; turn++) {
			for (unsigned int i = 0; i < BLOCKS; i++)
				child_map(IOVA + i * MOAT_2M_SIZE, i % PAGES, 1, MOAT_RW);
			for (unsigned int i = 0; i < BLOCKS; i++) {
				assert_int_equal(device_writes(IOVA + i * MOAT_2M_SIZE, i), 0);
				assert_int_equal(word(i % PAGES), i);
			}
			for (unsigned int i = 0; i < BLOCKS; i++) {
				child_unmap(IOVA + i * MOAT_2M_SIZE, 1);
				assert_int_not_equal(device_writes(IOVA + i * MOAT_2M_SIZE, i), 0);
			}
			/* whole tables are unlinked, freed and used again */
			for (unsigned int i = 0; i < 16; i++) {
				for (unsigned int j = 0; j < 512; j += PAGES)
					child_map(IOVA + j * PAGE, 0, PAGES, MOAT_RW);
				assert_int_equal(device_writes(IOVA + i * PAGE, i), 0);
				must(moat_lane_unmap(rig.lane, IOVA, MOAT_2M_SIZE));
				assert_honest();
				must(moat_lane_drain(rig.lane));
				assert_int_not_equal(device_writes(IOVA + i * PAGE, i), 0);
			}
		}
		moat_softvtd_stats(rig.hw, &s);
		assert_int_equal(s.stale[MOAT_SOFTVTD_STALE_TABLE], 0);
	}
}

/* The unit does not write to tables: Accessed and Dirty are set already. */
static void tables_are_read_only_to_the_unit(void **state)
{
	struct moat_softvtd_stats s;
	struct moat_pt_leaf leaf;

	ON_EACH_UNIT
	{
		child_map(IOVA, 0, PAGES, MOAT_RW);
		must(moat_pt_walk(rig.parent->pt, rig.child->pt->root_hpa, &leaf));
		assert_int_equal(leaf.entry & MOAT_RW, MOAT_R);
		for (unsigned int i = 0; i < PAGES; i++)
			assert_int_equal(device_writes(IOVA + i * PAGE, i), 0);
		moat_softvtd_stats(rig.hw, &s);
		assert_int_equal(s.faults[0x77], 0);
		child_unmap(IOVA, PAGES);
	}
}

static _Atomic int reading; /* 1: the reader has started, 2: it may end */

static void *read_for_long(void *arg)
{
	rcu_register_thread();
	reading = 1;
	while (reading != 2)
		;
	rcu_unregister_thread();
	return NULL;
}

/* Tables of a child wait for a grace period when the parent is destroyed; the call does not. */
static void the_end_of_a_parent_waits_for_no_reader(void **state)
{
	pthread_t thread;

	rig_up(UNIT_ADVERSARY NESTED);
	reading = 0;
	must(pthread_create(&thread, NULL, read_for_long, NULL));
	while (reading != 1)
		;
	for (unsigned int j = 0; j < 512; j += PAGES)
		child_map(IOVA + j * PAGE, 0, PAGES, MOAT_RW);
	must(moat_lane_unmap(rig.lane, IOVA, MOAT_2M_SIZE));
	must(moat_lane_close(rig.lane));
	must(moat_lane_unmap(rig.below, GUEST, PAGES * PAGE));
	must(moat_lane_close(rig.below));
	must(moat_domain_destroy(rig.child));
	must(moat_domain_destroy(rig.parent));
	reading = 2;
	pthread_join(thread, NULL);
	/* new domains can be created */
	rig_domains();
	rig_down();
}

/* ------------------------------------------------------------------------------ under fire */

static unsigned int packets(void)
{
	const char *text = getenv("MOAT_PACKETS");

	return text != NULL ? (unsigned int)strtoul(text, NULL, 0) : 100000;
}

static uint32_t draw(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

#define SLOTS 128u

/* The pages to which the child's slots lead. */
struct model {
	int page[SLOTS];    /* number of the parent's page; -1: not mapped */
	bool gone[SLOTS];   /* the parent has unmapped it since */
	bool mapped[PAGES]; /* the parent maps it */
};

static uint64_t slot_iova(unsigned int slot)
{
	return IOVA + slot * 3 * PAGE;
}

static void toggle_slot(struct model *m, unsigned int slot, unsigned int i)
{
	if (m->page[slot] >= 0) {
		must(moat_lane_unmap(rig.lane, slot_iova(slot), PAGE));
		must(moat_lane_drain(rig.lane));
		m->page[slot] = -1;
		return;
	}
	assert_int_equal(moat_lane_map(rig.lane, slot_iova(slot), guest(i), NULL, PAGE, MOAT_RW),
		m->mapped[i] ? 0 : -EFAULT);
	m->page[slot] = m->mapped[i] ? (int)i : -1;
	m->gone[slot] = false;
}

static void toggle_page(struct model *m, unsigned int i)
{
	m->mapped[i] = !m->mapped[i];
	if (m->mapped[i]) {
		parent_map(i, MOAT_RW);
		return;
	}
	must(moat_lane_unmap(rig.below, guest(i), PAGE));
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		m->gone[slot] |= m->page[slot] == (int)i;
	moat_lane_poll(rig.lane);
	must(moat_lane_drain(rig.below));
}

static void packet(struct model *m, unsigned int slot, uint64_t value)
{
	bool reaches = m->page[slot] >= 0 && !m->gone[slot];

	assert_int_equal(device_writes(slot_iova(slot), value) == 0, reaches);
	assert_ptr_equal(look_up(slot_iova(slot), MOAT_RW),
		reaches ? page_of((unsigned int)m->page[slot]) : NULL);
	if (reaches)
		assert_int_equal(word((unsigned int)m->page[slot]), value);
}

/* Random maps and unmaps on both levels between packets. Each packet reaches what the model says,
 * and the oracle agrees. MOAT_PACKETS: number of packets on each unit. */
static void what_devices_reach_is_what_both_levels_map(void **state)
{
	uint32_t seed = 2463534242u;

	print_message("%u packets on each unit\n", packets());
	ON_EACH_UNIT
	{
		struct model m = { 0 };

		memset(m.page, 0xff, sizeof(m.page));
		memset(m.mapped, 1, sizeof(m.mapped));
		for (unsigned int n = 0; n < packets(); n++) {
			uint32_t r = draw(&seed);

			packet(&m, r % SLOTS, n);
			if ((r >> 8) % 8 == 0)
				toggle_slot(&m, (r >> 11) % SLOTS, (r >> 18) % PAGES);
			if ((r >> 24) == 0)
				toggle_page(&m, (r >> 11) % PAGES);
			if (n % 64 == 0)
				moat_lane_poll(rig.lane);
		}
		assert_honest();
		for (unsigned int slot = 0; slot < SLOTS; slot++)
			if (m.page[slot] >= 0)
				toggle_slot(&m, slot, 0);
	}
}

/* --------------------------------------------------------------------------------- threads */

static _Atomic bool stop;
static _Atomic unsigned int parent_turns;

/* The parent's thread unmaps pages and maps them again. */
static void *take_away(void *arg)
{
	uint32_t seed = 88675123;

	while (!stop) {
		unsigned int i = draw(&seed) % PAGES;

		if (moat_lane_unmap(rig.below, guest(i), PAGE) != 0 ||
			moat_lane_drain(rig.below) != 0)
			return "unmap";
		/* Nothing may reach the page now: a write after this is found below. */
		memset(page_of(i), 0xee, PAGE);
		for (unsigned int j = 0; j < PAGE / 8; j++)
			if (((volatile uint64_t *)(void *)page_of(i))[j] !=
				UINT64_C(0xeeeeeeeeeeeeeeee))
				return "written by a reader or a device after the ticket";
		if (moat_lane_map(rig.below, guest(i), (uintptr_t)page_of(i), page_of(i), PAGE,
			    MOAT_RW) != 0)
			return "map";
		parent_turns++;
	}
	return NULL;
}

static void maps_race_with_the_parents_unmaps(void **state)
{
	for (unsigned int u = 0; u < RTE_DIM(units); u++) {
		uint32_t seed = 521288629;
		unsigned int maps = 0, lost = 0;
		pthread_t thread;
		void *why;

		rig_up(units[u]);
		stop = false;
		must(pthread_create(&thread, NULL, take_away, NULL));
		for (unsigned int n = 0; n < 10000; n++) {
			unsigned int i = draw(&seed) % PAGES;
			uint64_t *at;
			int rc = moat_lane_map(rig.lane, IOVA, guest(i), NULL, PAGE, MOAT_RW);

			if (rc == -EFAULT) { /* not mapped at the moment, or unmapped meanwhile */
				lost++;
				moat_lane_poll(rig.lane);
				continue;
			}
			must(rc);
			maps++;
			at = look_up(IOVA, MOAT_RW);
			if (at != NULL)
				*(volatile uint64_t *)at = n;
			device_writes(IOVA + 8, n); /* may be refused, but must not be stale */
			must(moat_lane_unmap(rig.lane, IOVA, PAGE));
			must(moat_lane_drain(rig.lane));
		}
		stop = true;
		moat_lane_offline(rig.lane); /* the parent's ticket must not wait for it */
		pthread_join(thread, &why);
		moat_lane_online(rig.lane);
		if (why != NULL)
			fail_msg("the parent's owner: %s", (const char *)why);
		print_message("%u maps, %u refused, %u pages taken away\n", maps, lost,
			parent_turns);
		rig_down();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_goes_through_both_stages),
		cmocka_unit_test(a_look_up_takes_the_index_alone),
		cmocka_unit_test(superpages_lead_to_superpages),
		cmocka_unit_test(what_the_parent_lacks_is_refused),
		cmocka_unit_test(the_window_of_tables_is_not_the_parents_to_map),
		cmocka_unit_test(what_cannot_nest_is_refused),
		cmocka_unit_test(a_parent_outlives_its_children),
		cmocka_unit_test(what_is_one_child_too_many_is_refused),
		cmocka_unit_test(a_child_asks_again_when_its_entries_are_stored),
		cmocka_unit_test(the_parents_ticket_covers_the_children),
		cmocka_unit_test(each_level_gives_the_unit_its_own_descriptors),
		cmocka_unit_test(a_leaf_that_reaches_into_it_goes_whole),
		cmocka_unit_test(a_child_spans_units_with_its_parent),
		cmocka_unit_test(device_tlbs_of_children_forget_all),
		cmocka_unit_test(the_parents_ticket_waits_for_the_childrens_lanes),
		cmocka_unit_test(siblings_do_not_wait_for_each_other),
		cmocka_unit_test(a_lane_that_is_offline_may_map),
		cmocka_unit_test(tables_come_and_go_in_the_window),
		cmocka_unit_test(tables_are_read_only_to_the_unit),
		cmocka_unit_test(the_end_of_a_parent_waits_for_no_reader),
		cmocka_unit_test(what_devices_reach_is_what_both_levels_map),
		cmocka_unit_test(maps_race_with_the_parents_unmaps),
	};

	moat_patience_us = UINT64_C(10000000); /* the machine may be busy */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
