/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The entries that attach and detach write, and the invalidations after them, descriptor by
 * descriptor. On a window that records (fake_unit.h). */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_unit.h"
#include "moat_domain.h"

#define NIC MOAT_SID(3, 0, 1)

struct bench {
	struct fake_unit f;
	struct moat_vtd_conf conf;
	struct moat_unit *unit;
	struct moat_pt pt[2];
	struct moat_domain domain[2];
};

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));

	fake_init(&b->f);
	b->conf = fake_conf(&b->f);
	for (unsigned int i = 0; i < 2; i++) {
		b->pt[i] = (struct moat_pt){ .root_hpa = 0xaa000 + i * 0x1000, .levels = 4 - i };
		b->domain[i] = (struct moat_domain){ .did = 5 + i, .pt = &b->pt[i] };
		snprintf(b->domain[i].name, sizeof(b->domain[i].name), "d%u", i);
	}
	return b;
}

static void bench_up(struct bench *b)
{
	assert_int_equal(moat_vtd_create(&b->conf, &b->unit), 0);
	for (unsigned int i = 0; i < 2; i++)
		b->domain[i].unit = b->unit;
	b->f.nr_descs = 0;
	b->f.nr_events = 0;
}

static void bench_free(struct bench *b)
{
	b->unit->ops->destroy(b->unit);
	free(b);
}

/* @return the context entry as the unit finds it, starting at RTADDR */
static const struct vtd_entry *entry(struct bench *b, moat_sid_t sid)
{
	const struct vtd_entry *root =
		(void *)(uintptr_t)(*fake_reg64(&b->f, VTD_RTADDR) & VTD_RTADDR_RTA);
	const struct vtd_entry *r = &root[sid >> 8];

	assert_true(r->lo & VTD_ROOT_P);
	assert_int_equal(r->lo & VTD_ROOT_RSVD_LO, 0);
	assert_int_equal(r->hi, 0);
	return (const struct vtd_entry *)(uintptr_t)(r->lo & VTD_ROOT_CTP) + (sid & 0xff);
}

static void assert_desc(const struct bench *b, unsigned int i, struct moat_qi_desc want)
{
	assert_true(i < b->f.nr_descs);
	assert_int_equal(b->f.desc[i].lo, want.lo);
	assert_int_equal(b->f.desc[i].hi, want.hi);
}

static void assert_wait(const struct bench *b, unsigned int i)
{
	assert_true(i < b->f.nr_descs);
	assert_int_equal(b->f.desc[i].lo & 0xf, MOAT_QI_WAIT);
}

static int attach(struct bench *b, unsigned int i, moat_sid_t sid)
{
	return b->unit->ops->attach(b->unit, &b->domain[i], sid);
}

static int detach(struct bench *b, unsigned int i, moat_sid_t sid)
{
	return b->unit->ops->detach(b->unit, &b->domain[i], sid);
}

static void at_first_every_source_is_blocked(void **state)
{
	struct bench *b = bench_new();

	bench_up(b);
	for (unsigned int sid = 0; sid <= UINT16_MAX; sid++)
		assert_int_equal(entry(b, sid)->lo, 0);
	bench_free(b);
}

static void attach_writes_table_width_and_domain_id_and_invalidates_nothing(void **state)
{
	struct bench *b = bench_new();

	bench_up(b);
	assert_int_equal(attach(b, 0, NIC), 0);
	assert_int_equal(entry(b, NIC)->lo, 0xaa000 | VTD_CTX_P);
	assert_int_equal(entry(b, NIC)->hi, 2 | 5 << VTD_CTX_DID_SHIFT); /* AW 010b: 48 bits */
	assert_int_equal(attach(b, 1, NIC + 1), 0);
	assert_int_equal(entry(b, NIC + 1)->hi, 1 | 6 << VTD_CTX_DID_SHIFT); /* AW 001b: 39 bits */
	assert_int_equal(b->f.nr_descs, 0);
	bench_free(b);
}

static void with_caching_mode_attach_forgets_the_absence(void **state)
{
	struct bench *b = bench_new();

	*fake_reg64(&b->f, VTD_CAP) |= VTD_CAP_CM;
	bench_up(b);
	assert_int_equal(attach(b, 0, NIC), 0);
	assert_desc(b, 0, moat_qi_context_device(0, NIC, 0));
	assert_wait(b, 1);
	assert_desc(b, 2, moat_qi_iotlb_domain(0));
	assert_desc(b, 3, moat_qi_iotlb_domain(5));
	assert_wait(b, 4);
	bench_free(b);
}

static void detach_forgets_the_source_then_when_that_is_done_the_domain(void **state)
{
	struct bench *b = bench_new();

	bench_up(b);
	assert_int_equal(attach(b, 0, NIC), 0);
	assert_int_equal(detach(b, 0, NIC), 0);
	assert_int_equal(entry(b, NIC)->lo, 0);
	assert_desc(b, 0, moat_qi_context_device(5, NIC, 0));
	assert_wait(b, 1);
	assert_desc(b, 2, moat_qi_iotlb_domain(5));
	assert_wait(b, 3);
	assert_int_equal(b->f.nr_descs, 4);
	bench_free(b);
}

static void a_source_is_in_one_domain_at_a_time(void **state)
{
	struct bench *b = bench_new();

	bench_up(b);
	assert_int_equal(attach(b, 0, NIC), 0);
	assert_int_equal(attach(b, 1, NIC), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "source 03:00.1 is in domain '"));
	assert_non_null(strstr(moat_error_text(), "detach it there first"));
	assert_int_equal(attach(b, 0, NIC), -EBUSY);
	assert_int_equal(detach(b, 1, NIC), -ENOENT);
	assert_int_equal(entry(b, NIC)->lo, 0xaa000 | VTD_CTX_P);
	assert_int_equal(detach(b, 0, NIC), 0);
	assert_int_equal(detach(b, 0, NIC), -ENOENT);
	assert_int_equal(attach(b, 1, NIC), 0);
	assert_int_equal(detach(b, 1, NIC), 0);
	bench_free(b);
}

static void a_source_whose_detach_the_unit_never_confirmed_stays_unusable(void **state)
{
	struct bench *b = bench_new();

	bench_up(b);
	assert_int_equal(attach(b, 0, NIC), 0);
	b->f.stuck_queue = true;
	assert_int_equal(detach(b, 0, NIC), -ETIMEDOUT);
	assert_non_null(
		strstr(moat_error_text(), "no answer for 50 ms: the unit has not completed"));
	assert_int_equal(entry(b, NIC)->lo, 0);
	assert_int_equal(attach(b, 1, NIC), -EBUSY);
	assert_int_equal(entry(b, NIC)->lo, 0);
	b->f.stuck_queue = false;
	fake_process(&b->f);
	bench_free(b);
}

static void tables_that_the_unit_cannot_walk_are_refused(void **state)
{
	struct bench *b = bench_new();

	bench_up(b);
	b->pt[0].levels = 5;
	assert_int_equal(attach(b, 0, NIC), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "SAGAW"));
	bench_free(b);
	b = bench_new();
	*fake_reg64(&b->f, VTD_CAP) &= ~VTD_CAP_ND; /* 16 domain-ids */
	bench_up(b);
	b->domain[0].did = 16;
	assert_int_equal(attach(b, 0, NIC), -EINVAL);
	b->domain[0].did = 15;
	assert_int_equal(attach(b, 0, NIC), 0);
	assert_int_equal(detach(b, 0, NIC), 0);
	bench_free(b);
}

/* ------------------------------------------------------------------------------ pass-through */

static void kernels_devices_pass_through_before_translation_is_on(void **state)
{
	static const moat_sid_t kernels[] = { MOAT_SID(0, 2, 0), MOAT_SID(0, 31, 2) };
	struct bench *b = bench_new();

	b->conf.pass_through = kernels;
	b->conf.nr_pass_through = RTE_DIM(kernels);
	bench_up(b);
	for (unsigned int i = 0; i < RTE_DIM(kernels); i++) {
		const struct vtd_entry *e = entry(b, kernels[i]);

		assert_int_equal(e->lo, VTD_CTX_P | VTD_TT_PASS_THROUGH << VTD_CTX_TT_SHIFT);
		/* AW: the largest supported, here 48 bits; a domain-id that no domain uses */
		assert_int_equal(VTD_FIELD(e->hi, VTD_CTX_AW), 2);
		assert_true(b->unit->dids[0] & 1u << VTD_FIELD(e->hi, VTD_CTX_DID));
		assert_int_equal(attach(b, 0, kernels[i]), -EBUSY);
	}
	bench_free(b);
}

static void pass_through_is_given_and_taken_back_with_its_invalidations(void **state)
{
	struct bench *b = bench_new();
	uint16_t did;

	bench_up(b);
	assert_int_equal(moat_vtd_pass_through(b->unit, NIC), 0);
	did = VTD_FIELD(entry(b, NIC)->hi, VTD_CTX_DID);
	assert_int_equal(attach(b, 0, NIC), -EBUSY);
	assert_int_equal(moat_vtd_pass_through(b->unit, NIC), -EBUSY);
	assert_int_equal(b->f.nr_descs, 0);
	assert_int_equal(moat_vtd_block(b->unit, NIC), 0);
	assert_int_equal(entry(b, NIC)->lo, 0);
	assert_desc(b, 0, moat_qi_context_device(did, NIC, 0));
	assert_desc(b, 2, moat_qi_iotlb_domain(did));
	assert_int_equal(moat_vtd_block(b->unit, NIC), -ENOENT);
	assert_int_equal(attach(b, 0, NIC), 0);
	assert_int_equal(moat_vtd_pass_through(b->unit, NIC), -EBUSY);
	assert_int_equal(detach(b, 0, NIC), 0);
	bench_free(b);
}

/* ---------------------------------------------------------------------- scope and aliases */

static int admit_bus_3(void *ctx, moat_sid_t sid)
{
	return sid >> 8 == 3 ? 0 : moat_error(-ENODEV, "not here");
}

/* Functions of device 5 are behind a bridge that makes their requests as 03:00.0. */
static unsigned int behind_bridge(void *ctx, moat_sid_t sid, moat_sid_t alias[MOAT_VTD_ALIASES])
{
	alias[0] = sid;
	alias[1] = MOAT_SID(3, 0, 0);
	return (sid >> 3 & 0x1f) == 5 ? 2 : 1;
}

static void a_source_of_another_unit_is_refused(void **state)
{
	struct bench *b = bench_new();

	b->conf.scope.admit = admit_bus_3;
	bench_up(b);
	assert_int_equal(attach(b, 0, MOAT_SID(4, 0, 0)), -ENODEV);
	assert_int_equal(entry(b, MOAT_SID(4, 0, 0))->lo, 0);
	assert_int_equal(attach(b, 0, NIC), 0);
	assert_int_equal(detach(b, 0, NIC), 0);
	bench_free(b);
}

static void functions_behind_one_bridge_share_its_source_id_and_so_a_domain(void **state)
{
	const moat_sid_t a = MOAT_SID(3, 5, 0), c = MOAT_SID(3, 5, 1), bridge = MOAT_SID(3, 0, 0);
	struct bench *b = bench_new();

	b->conf.scope.aliases = behind_bridge;
	bench_up(b);
	assert_int_equal(attach(b, 0, a), 0);
	assert_int_equal(entry(b, bridge)->lo, entry(b, a)->lo);
	assert_int_equal(attach(b, 1, c), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "one domain"));
	assert_int_equal(entry(b, c)->lo, 0); /* all aliases or none */
	assert_int_equal(attach(b, 0, c), 0);
	assert_int_equal(attach(b, 1, bridge), -EBUSY);
	assert_int_equal(attach(b, 0, bridge), 0); /* its entry is not written twice */
	assert_int_equal(attach(b, 0, bridge), -EBUSY);
	assert_int_equal(detach(b, 0, bridge), 0);
	assert_int_equal(detach(b, 0, bridge), -ENOENT);
	assert_int_equal(detach(b, 0, a), 0);
	assert_int_equal(entry(b, a)->lo, 0);
	assert_true(entry(b, bridge)->lo & VTD_CTX_P); /* c still needs the entry */
	assert_int_equal(detach(b, 0, c), 0);
	assert_int_equal(entry(b, bridge)->lo, 0);
	assert_int_equal(attach(b, 1, c), 0);
	assert_int_equal(detach(b, 1, c), 0);
	bench_free(b);
}

/* After the attach behind_bridge() gives another answer, because the bridge has been unplugged. */
static bool unplugged;

static unsigned int behind_a_bridge_until_it_goes(void *ctx, moat_sid_t sid,
	moat_sid_t alias[MOAT_VTD_ALIASES])
{
	return unplugged ? (alias[0] = sid, 1) : behind_bridge(ctx, sid, alias);
}

static void detach_undoes_what_attach_wrote_whatever_the_bus_looks_like_by_then(void **state)
{
	const moat_sid_t a = MOAT_SID(3, 5, 0), bridge = MOAT_SID(3, 0, 0);

	for (unsigned int attached = 0; attached < 2; attached++) {
		struct bench *b = bench_new();

		b->conf.scope.aliases = behind_a_bridge_until_it_goes;
		bench_up(b);
		unplugged = attached == 0; /* first removed, then added */
		assert_int_equal(attach(b, 0, a), 0);
		assert_int_equal(!!(entry(b, bridge)->lo & VTD_CTX_P), attached);
		unplugged = !unplugged;
		assert_int_equal(detach(b, 0, a), 0);
		assert_int_equal(entry(b, a)->lo, 0);
		assert_int_equal(entry(b, bridge)->lo, 0);
		assert_int_equal(attach(b, 1, bridge), 0); /* and the bridge is not attached */
		assert_int_equal(detach(b, 1, bridge), 0);
		bench_free(b);
	}
}

static unsigned int too_many(void *ctx, moat_sid_t sid, moat_sid_t alias[MOAT_VTD_ALIASES])
{
	for (unsigned int i = 0; i < MOAT_VTD_ALIASES; i++)
		alias[i] = sid + i;
	return MOAT_VTD_ALIASES + *(int *)ctx;
}

static void more_aliases_than_fit_are_refused_not_cut(void **state)
{
	struct bench *b = bench_new();
	int more = 1;

	b->conf.scope.aliases = too_many;
	b->conf.scope.ctx = &more;
	bench_up(b);
	assert_int_equal(attach(b, 0, NIC), -ENOSPC);
	assert_non_null(strstr(moat_error_text(), "may carry 5 source-ids"));
	for (unsigned int i = 0; i < MOAT_VTD_ALIASES; i++)
		assert_int_equal(entry(b, NIC + i)->lo, 0);
	more = 0;
	assert_int_equal(attach(b, 0, NIC), 0);
	for (unsigned int i = 0; i < MOAT_VTD_ALIASES; i++)
		assert_true(entry(b, NIC + i)->lo & VTD_CTX_P);
	assert_int_equal(detach(b, 0, NIC), 0);
	bench_free(b);
}

/* Functions of one device can reach each other without the unit. */
static int isolated_by_device(void *ctx, moat_sid_t sid, moat_sid_t other)
{
	return sid >> 3 != other >> 3 ? 0 : moat_error(-EPERM, "one device without ACS");
}

static void functions_that_reach_each_other_without_the_unit_are_in_one_domain(void **state)
{
	const moat_sid_t a = MOAT_SID(3, 5, 0), c = MOAT_SID(3, 5, 1);
	struct bench *b = bench_new();

	b->conf.scope.isolated = isolated_by_device;
	bench_up(b);
	assert_int_equal(attach(b, 0, a), 0);
	assert_int_equal(attach(b, 1, c), -EPERM);
	if (strstr(moat_error_text(),
		    "03:05.1 cannot be in domain 'd1' while 03:05.0 is in domain 'd0': one device "
		    "without ACS") == NULL)
		fail_msg("%s", moat_error_text());
	assert_int_equal(entry(b, c)->lo, 0);
	assert_int_equal(attach(b, 0, c), 0);
	assert_int_equal(attach(b, 1, MOAT_SID(3, 6, 0)), 0);
	assert_int_equal(detach(b, 0, a), 0);
	assert_int_equal(attach(b, 1, a), -EPERM); /* c is still attached */
	assert_int_equal(detach(b, 0, c), 0);
	assert_int_equal(attach(b, 1, a), 0);
	assert_int_equal(detach(b, 1, a), 0);
	assert_int_equal(detach(b, 1, MOAT_SID(3, 6, 0)), 0);
	bench_free(b);
}

/* A device that is plugged in later, next to a tenant's device. */
static void what_reaches_a_tenants_function_without_the_unit_does_not_pass_through(void **state)
{
	const moat_sid_t tenants = MOAT_SID(3, 5, 0), late = MOAT_SID(3, 5, 1);
	struct bench *b = bench_new();

	b->conf.scope.isolated = isolated_by_device;
	bench_up(b);
	assert_int_equal(attach(b, 0, tenants), 0);
	assert_int_equal(moat_vtd_pass_through(b->unit, late), -EPERM);
	assert_non_null(strstr(moat_error_text(),
		"03:05.1 cannot pass through while 03:05.0 is in domain 'd0': one device without "
		"ACS"));
	assert_int_equal(entry(b, late)->lo, 0);
	assert_int_equal(moat_vtd_pass_through(b->unit, MOAT_SID(3, 6, 0)), 0);
	assert_int_equal(detach(b, 0, tenants), 0);
	assert_int_equal(moat_vtd_pass_through(b->unit, late), 0);
	bench_free(b);
}

/* --------------------------------------------------------------- a unit that does not confirm */

static void an_attach_that_the_unit_does_not_confirm_leaves_nothing_present(void **state)
{
	struct bench *b = bench_new();

	*fake_reg64(&b->f, VTD_CAP) |= VTD_CAP_CM;
	bench_up(b);
	b->f.stuck_queue = true;
	assert_int_equal(attach(b, 0, NIC), -ETIMEDOUT);
	assert_int_equal(entry(b, NIC)->lo, 0);
	assert_int_equal(moat_vtd_pass_through(b->unit, NIC + 1), -ETIMEDOUT);
	assert_int_equal(entry(b, NIC + 1)->lo, 0);
	assert_int_equal(detach(b, 0, NIC), -ENOENT);
	/* Until the unit has confirmed the invalidation, both are unusable; then they are free. */
	assert_int_equal(attach(b, 1, NIC), -EBUSY);
	b->f.stuck_queue = false;
	fake_process(&b->f);
	assert_int_equal(attach(b, 1, NIC), 0);
	assert_int_equal(attach(b, 1, NIC + 1), 0);
	assert_int_equal(detach(b, 1, NIC), 0);
	assert_int_equal(detach(b, 1, NIC + 1), 0);
	bench_free(b);
}

static void a_write_buffer_is_flushed_behind_a_new_entry_in_caching_mode_too(void **state)
{
	struct bench *b = bench_new();
	int wbf;

	*fake_reg64(&b->f, VTD_CAP) |= VTD_CAP_CM | VTD_CAP_RWBF;
	bench_up(b);
	assert_int_equal(attach(b, 0, NIC), 0);
	wbf = fake_find(&b->f, 0, VTD_GCMD, VTD_GCMD_WBF);
	assert_true(wbf >= 0 && wbf < fake_find(&b->f, 0, VTD_IQT, 0));
	b->f.deaf = 0;
	assert_int_equal(detach(b, 0, NIC), 0);
	bench_free(b);
}

static void a_detach_that_was_not_confirmed_can_be_repeated(void **state)
{
	struct bench *b = bench_new();

	bench_up(b);
	assert_int_equal(attach(b, 0, NIC), 0);
	b->f.stuck_queue = true;
	assert_int_equal(detach(b, 0, NIC), -ETIMEDOUT);
	assert_int_equal(detach(b, 1, NIC), -ENOENT);
	b->f.stuck_queue = false;
	fake_process(&b->f);
	/* until then the domain keeps it, or it could never be detached */
	assert_int_equal(attach(b, 1, NIC), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "detach it again"));
	b->f.nr_descs = 0;
	assert_int_equal(detach(b, 0, NIC), 0);
	assert_desc(b, 0, moat_qi_context_device(5, NIC, 0));
	assert_desc(b, 2, moat_qi_iotlb_domain(5));
	assert_int_equal(detach(b, 0, NIC), -ENOENT);
	assert_int_equal(attach(b, 1, NIC), 0);
	assert_int_equal(detach(b, 1, NIC), 0);
	bench_free(b);
}

/* ------------------------------------------------------------------------------------ faults */

static unsigned int faults(struct bench *b, struct moat_fault fault[], unsigned int n)
{
	return b->unit->ops->faults(b->unit, fault, n);
}

static bool records_pending(struct bench *b)
{
	return *fake_reg32(&b->f, VTD_FSTS) & (VTD_FSTS_PPF | VTD_FSTS_PFO);
}

static void faults_are_read_from_the_oldest_on_and_cleared_one_by_one(void **state)
{
	struct bench *b = bench_new();
	struct moat_fault fault[8];

	bench_up(b);
	assert_int_equal(faults(b, fault, 8), 0);
	b->f.next_record = 3; /* of four registers: the oldest record is in the last one */
	fake_fault(&b->f, NIC, 0x1000, VTD_FR_WRITE, false);
	fake_fault(&b->f, NIC, 0x2000, VTD_FR_READ, true);
	fake_fault(&b->f, NIC + 1, 0x3000, VTD_FR_CONTEXT_P, true);
	assert_int_equal(faults(b, fault, 8), 3);
	assert_int_equal(fault[0].iova, 0x1000);
	assert_int_equal(fault[0].sid, NIC);
	assert_int_equal(fault[0].reason, VTD_FR_WRITE);
	assert_true(fault[0].write);
	assert_int_equal(fault[1].iova, 0x2000);
	assert_false(fault[1].write);
	assert_string_equal(fault[2].reason_text, "the source is attached to no domain");
	assert_false(records_pending(b));
	bench_free(b);
}

static void a_short_array_gets_every_fault_in_the_end_and_recording_goes_on(void **state)
{
	for (unsigned int room = 1; room <= 4; room++) {
		struct bench *b = bench_new();
		uint64_t told = 0, next = 0;
		struct moat_fault fault[4];

		bench_up(b);
		for (unsigned int round = 0; round < 40; round++) {
			unsigned int n;

			/* as many more as there is room for: none is lost */
			while (told - next < 4 && told < 60)
				fake_fault(&b->f, NIC, told++ << 12, VTD_FR_WRITE, false);
			n = faults(b, fault, room);
			for (unsigned int i = 0; i < n; i++)
				assert_int_equal(fault[i].iova, next++ << 12);
		}
		while (next < told) {
			assert_int_equal(faults(b, fault, 1), 1);
			assert_int_equal(fault[0].iova, next++ << 12);
		}
		assert_int_equal(faults(b, fault, 4), 0);
		assert_false(records_pending(b));
		bench_free(b);
	}
}

static void a_fault_overflow_is_cleared_when_no_record_is_left_and_counted(void **state)
{
	struct bench *b = bench_new();
	struct moat_vtd_stats stats;
	struct moat_fault fault[4];
	int pfo;

	bench_up(b);
	for (unsigned int i = 0; i < 6; i++)
		fake_fault(&b->f, NIC, i << 12, VTD_FR_WRITE, false);
	assert_true(*fake_reg32(&b->f, VTD_FSTS) & VTD_FSTS_PFO);
	*fake_reg32(&b->f, VTD_FSTS) |= VTD_FSTS_IQE;
	assert_int_equal(faults(b, fault, 2), 2);
	/* The specification's order: first clear F in every register, then PFO. */
	assert_int_equal(fake_find(&b->f, 0, VTD_FSTS, 0), -1);
	assert_int_equal(faults(b, fault, 2), 2);
	assert_int_equal(fault[1].iova, 3 << 12);
	pfo = fake_find(&b->f, 0, VTD_FSTS, VTD_FSTS_PFO);
	assert_true(pfo > fake_find(&b->f, 0, FAKE_FRO + 3 * 16 + 12, 0));
	assert_int_equal(b->f.event[pfo].value, VTD_FSTS_PFO); /* IQE is cleared by recovery only */
	moat_vtd_stats(b->unit, &stats);
	assert_int_equal(stats.faults, 4);
	assert_int_equal(stats.fault_overflows, 1);
	fake_fault(&b->f, NIC, 0x9000, VTD_FR_READ, true);
	assert_int_equal(faults(b, fault, 2), 1);
	assert_int_equal(fault[0].iova, 0x9000);
	*fake_reg32(&b->f, VTD_FSTS) = 0;
	bench_free(b);
}

static void an_overflow_without_a_record_does_not_stop_recording(void **state)
{
	struct bench *b = bench_new();
	struct moat_fault fault[2];

	bench_up(b);
	*fake_reg32(&b->f, VTD_FSTS) = VTD_FSTS_PFO;
	assert_int_equal(faults(b, fault, 2), 0);
	assert_false(records_pending(b));
	bench_free(b);
}

static void a_record_is_found_wherever_the_unit_has_put_it(void **state)
{
	struct bench *b = bench_new();
	struct moat_fault fault[2];

	bench_up(b);
	fake_fault(&b->f, NIC, 0x1000, VTD_FR_WRITE, false);
	fake_fault(&b->f, NIC, 0x2000, VTD_FR_WRITE, false);
	assert_int_equal(faults(b, fault, 1), 1);
	assert_int_equal(faults(b, fault, 1), 1);
	b->f.next_record = 1; /* neither where the driver looks first nor at FRI */
	fake_fault(&b->f, NIC, 0x3000, VTD_FR_WRITE, false);
	*fake_reg32(&b->f, VTD_FSTS) = VTD_FSTS_PPF | 3 << VTD_FSTS_FRI_SHIFT;
	assert_int_equal(faults(b, fault, 2), 1);
	assert_int_equal(fault[0].iova, 0x3000);
	assert_false(records_pending(b));
	bench_free(b);
}

static void every_reason_has_words(void **state)
{
	for (unsigned int r = 0; r < 256; r++)
		assert_true(strlen(moat_vtd_fault_text(r)) > 8);
	for (unsigned int r = VTD_FR_ROOT_P; r <= VTD_FR_OUTPUT_INTERRUPT; r++)
		assert_string_not_equal(moat_vtd_fault_text(r),
			moat_vtd_fault_text(0)); /* reserved */
	assert_string_not_equal(moat_vtd_fault_text(VTD_FR_READ),
		moat_vtd_fault_text(VTD_FR_WRITE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_first_every_source_is_blocked),
		cmocka_unit_test(attach_writes_table_width_and_domain_id_and_invalidates_nothing),
		cmocka_unit_test(with_caching_mode_attach_forgets_the_absence),
		cmocka_unit_test(detach_forgets_the_source_then_when_that_is_done_the_domain),
		cmocka_unit_test(a_source_is_in_one_domain_at_a_time),
		cmocka_unit_test(a_source_whose_detach_the_unit_never_confirmed_stays_unusable),
		cmocka_unit_test(tables_that_the_unit_cannot_walk_are_refused),
		cmocka_unit_test(kernels_devices_pass_through_before_translation_is_on),
		cmocka_unit_test(pass_through_is_given_and_taken_back_with_its_invalidations),
		cmocka_unit_test(a_source_of_another_unit_is_refused),
		cmocka_unit_test(functions_behind_one_bridge_share_its_source_id_and_so_a_domain),
		cmocka_unit_test(
			detach_undoes_what_attach_wrote_whatever_the_bus_looks_like_by_then),
		cmocka_unit_test(more_aliases_than_fit_are_refused_not_cut),
		cmocka_unit_test(
			functions_that_reach_each_other_without_the_unit_are_in_one_domain),
		cmocka_unit_test(
			what_reaches_a_tenants_function_without_the_unit_does_not_pass_through),
		cmocka_unit_test(an_attach_that_the_unit_does_not_confirm_leaves_nothing_present),
		cmocka_unit_test(a_write_buffer_is_flushed_behind_a_new_entry_in_caching_mode_too),
		cmocka_unit_test(a_detach_that_was_not_confirmed_can_be_repeated),
		cmocka_unit_test(faults_are_read_from_the_oldest_on_and_cleared_one_by_one),
		cmocka_unit_test(a_short_array_gets_every_fault_in_the_end_and_recording_goes_on),
		cmocka_unit_test(a_fault_overflow_is_cleared_when_no_record_is_left_and_counted),
		cmocka_unit_test(an_overflow_without_a_record_does_not_stop_recording),
		cmocka_unit_test(a_record_is_found_wherever_the_unit_has_put_it),
		cmocka_unit_test(every_reason_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
