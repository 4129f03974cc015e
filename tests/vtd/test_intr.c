/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Whose interrupts the driver lets through: the order of its registers on a window that records,
 * and entries given, revoked, forged and replayed on the software unit under its oracle. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_unit.h"
#include "moat_soft_unit.h"
#include "moat_softvtd_intr.h"

#define NIC   MOAT_SID(3, 0, 1)
#define OTHER MOAT_SID(3, 0, 2)

/* ------------------------------------------------------------------------------- the order */

static struct moat_unit *fake_up(struct fake_unit *f, enum moat_vtd_interrupts interrupts,
	uint64_t ecap)
{
	struct moat_vtd_conf conf = fake_conf(f);
	struct moat_unit *unit = NULL;

	fake_init(f);
	*fake_reg64(f, VTD_ECAP) |= ecap;
	conf.interrupts = interrupts;
	if (moat_vtd_create(&conf, &unit) != 0)
		fail_msg("%s", moat_error_text());
	return unit;
}

static void the_table_comes_before_its_invalidation_and_remapping_last(void **state)
{
	struct fake_unit f;
	struct moat_unit *unit = fake_up(&f, MOAT_VTD_INTERRUPTS_BLOCK, VTD_ECAP_IR | VTD_ECAP_EIM);
	int irta = fake_find(&f, 0, VTD_IRTA, 0),
	    sirtp = fake_find(&f, 0, VTD_GCMD, VTD_GCMD_SIRTP),
	    ire = fake_find(&f, 0, VTD_GCMD, VTD_GCMD_IRE),
	    te = fake_find(&f, 0, VTD_GCMD, VTD_GCMD_TE);
	uint32_t done = f.event[ire].desc;

	(void)state;
	assert_true(0 <= irta && irta < sirtp && sirtp < ire && ire < te);
	/* all of the cache is invalidated in between, and that has completed */
	assert_true(f.event[sirtp].desc + 2 == done);
	assert_int_equal(f.desc[done - 2].lo, MOAT_QI_INT_ENTRY);
	assert_int_equal(f.desc[done - 1].lo & 0xf, MOAT_QI_WAIT);
	/* 1024 entries, x2APIC; compatibility format was off already */
	assert_int_equal(f.event[irta].value & 0xfff, 1 << 11 | 9);
	assert_int_equal(*fake_reg32(&f, VTD_GSTS) & VTD_GSTS_CFIS, 0);
	unit->ops->destroy(unit);
	assert_int_equal(*fake_reg32(&f, VTD_GSTS) & (VTD_GSTS_IRES | VTD_GSTS_TES), 0);
	assert_int_equal(*fake_reg64(&f, VTD_IRTA), 0);
}

static void compatible_lets_the_format_through_before_remapping_begins(void **state)
{
	struct fake_unit f;
	struct moat_unit *unit =
		fake_up(&f, MOAT_VTD_INTERRUPTS_COMPATIBLE, VTD_ECAP_IR | VTD_ECAP_EIM);
	int cfi = fake_find(&f, fake_find(&f, 0, VTD_GCMD, VTD_GCMD_SIRTP), VTD_GCMD, VTD_GCMD_CFI),
	    ire = fake_find(&f, 0, VTD_GCMD, VTD_GCMD_IRE);

	(void)state;
	assert_true(0 <= cfi && cfi < ire);
	/* with EIME the unit would block it all the same */
	assert_int_equal(*fake_reg64(&f, VTD_IRTA) & 1 << 11, 0);
	assert_false(moat_vtd_interrupts_eim(unit));
	unit->ops->destroy(unit);
	assert_int_equal(*fake_reg32(&f, VTD_GSTS) & (VTD_GSTS_IRES | VTD_GSTS_CFIS), 0);
}

static void interrupts_are_left_alone_unless_asked_for(void **state)
{
	struct fake_unit f;
	struct moat_unit *unit = fake_up(&f, MOAT_VTD_INTERRUPTS_LEAVE, VTD_ECAP_IR);
	struct moat_interrupt msi;

	(void)state;
	assert_int_equal(fake_find(&f, 0, VTD_IRTA, 0), -1);
	assert_int_equal(fake_find(&f, 0, VTD_GCMD, VTD_GCMD_IRE), -1);
	assert_int_equal(moat_vtd_interrupt_give(unit, NIC, &(struct moat_vtd_vector){ 0 }, &msi),
		-EOPNOTSUPP);
	assert_non_null(strstr(moat_error_text(), "interrupts = block"));
	unit->ops->destroy(unit);
}

static void a_unit_that_does_not_take_cfi_is_not_trusted_to_block(void **state)
{
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_unit *unit;

	(void)state;
	fake_init(&f);
	*fake_reg64(&f, VTD_ECAP) |= VTD_ECAP_IR | VTD_ECAP_EIM;
	f.deaf = VTD_GCMD_CFI;
	conf.interrupts = MOAT_VTD_INTERRUPTS_BLOCK;
	assert_int_equal(moat_vtd_create(&conf, &unit), -EOPNOTSUPP);
	assert_non_null(strstr(moat_error_text(), "does not take CFI"));
	conf.interrupts_optional = true;
	assert_int_equal(moat_vtd_create(&conf, &unit), 0);
	assert_int_equal(moat_vtd_interrupts(unit), MOAT_VTD_INTERRUPTS_LEAVE);
	assert_non_null(strstr(moat_vtd_interrupts_why(unit), "does not take CFI"));
	assert_int_equal(*fake_reg32(&f, VTD_GSTS) & VTD_GSTS_IRES, 0);
	unit->ops->destroy(unit);
	/* what passes anyway may pass */
	conf.interrupts_optional = false;
	conf.interrupts = MOAT_VTD_INTERRUPTS_COMPATIBLE;
	assert_int_equal(moat_vtd_create(&conf, &unit), 0);
	assert_int_equal(moat_vtd_interrupts(unit), MOAT_VTD_INTERRUPTS_LEAVE);
	unit->ops->destroy(unit);
}

static void a_unit_that_cannot_remap_says_so(void **state)
{
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_unit *unit;

	(void)state;
	fake_init(&f);
	conf.interrupts = MOAT_VTD_INTERRUPTS_BLOCK;
	assert_int_equal(moat_vtd_create(&conf, &unit), -EOPNOTSUPP);
	assert_non_null(strstr(moat_error_text(), "ECAP.IR"));
	assert_int_equal(f.nr_events, 0);
}

/* A moat that was killed has left its table; the kernel's has 65,536 entries. */
static void a_killed_moats_unit_is_taken_over_by_take_over_alone(void **state)
{
	struct fake_unit f;
	struct moat_vtd_conf conf = fake_conf(&f);
	struct moat_unit *killed = fake_up(&f, MOAT_VTD_INTERRUPTS_BLOCK, VTD_ECAP_IR), *unit;
	uint64_t irta = *fake_reg64(&f, VTD_IRTA);

	(void)state;
	assert_int_equal(moat_vtd_create(&conf, &unit), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "--take-over"));
	conf.take_over = true;
	*fake_reg64(&f, VTD_IRTA) = irta | 0xf;
	assert_int_equal(moat_vtd_create(&conf, &unit), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "intremap=off"));
	*fake_reg64(&f, VTD_IRTA) = irta;
	assert_int_equal(moat_vtd_create(&conf, &unit), 0);
	unit->ops->destroy(unit);
	killed->ops->destroy(killed);
}

/* ------------------------------------------------------------------------- on the software unit */

static struct moat_unit *unit;
static struct moat_softvtd *sv;
static struct moat_softvtd_interrupt last;
static unsigned int delivered;

static void sink(void *ctx, const struct moat_softvtd_interrupt *interrupt)
{
	(void)ctx;
	last = *interrupt;
	delivered++;
}

static void soft_up(const char *args)
{
	if (moat_soft_unit_create("soft0", args, &unit) != 0)
		fail_msg("%s", moat_error_text());
	sv = moat_soft_unit_find("soft0");
	moat_softvtd_interrupt_sink(sv, sink, NULL);
	delivered = 0;
}

static struct moat_softvtd_intr_stats stats(void)
{
	struct moat_softvtd_intr_stats s;

	moat_softvtd_intr_stats(sv, &s);
	return s;
}

static void soft_down(uint64_t stale)
{
	struct moat_softvtd_stats s;

	moat_softvtd_stats(sv, &s);
	for (unsigned int i = 0; i < MOAT_SOFTVTD_MISUSES; i++)
		if (s.misuse[i] != 0)
			fail_msg("%s", moat_softvtd_misuse_text(i));
	assert_int_equal(stats().stale_interrupts, stale);
	unit->ops->destroy(unit);
}

static struct moat_interrupt give(moat_sid_t sid, uint8_t vector)
{
	const struct moat_vtd_vector to = { .vector = vector, .destination = 9 };
	struct moat_interrupt msi;

	if (moat_vtd_interrupt_give(unit, sid, &to, &msi) != 0)
		fail_msg("%s", moat_error_text());
	return msi;
}

static int raise(moat_sid_t sid, const struct moat_interrupt *msi)
{
	return moat_softvtd_interrupt(sv, sid, msi->address, msi->data);
}

static void a_device_reaches_the_entry_that_it_was_given_and_no_other(void **state)
{
	struct moat_interrupt mine, its;
	struct moat_fault fault[4];

	(void)state;
	soft_up(NULL);
	assert_int_equal(moat_vtd_interrupts(unit), MOAT_VTD_INTERRUPTS_BLOCK);
	assert_true(moat_vtd_interrupts_eim(unit));
	mine = give(NIC, 0x41);
	its = give(OTHER, 0x42);
	assert_int_equal(raise(NIC, &mine), 0);
	assert_int_equal(last.vector, 0x41);
	assert_int_equal(last.destination, 9);
	assert_int_equal(raise(NIC, &its), VTD_FR_IR_SID);
	/* forged: a vector of the device's own choice */
	assert_int_equal(moat_softvtd_interrupt(sv, NIC, 0xfee00000, 0x31), VTD_FR_IR_COMPAT);
	assert_int_equal(delivered, 1);
	assert_int_equal(unit->ops->faults(unit, fault, 4), 2);
	assert_int_equal(fault[0].sid, NIC);
	assert_int_equal(fault[0].iova >> VTD_FRCD_INDEX_SHIFT, its.index);
	assert_string_equal(fault[0].reason_text,
		"interrupt-remapping entry belongs to another source");
	assert_string_equal(fault[1].reason_text, "compatibility-format interrupt blocked");
	soft_down(0);
}

static void compatible_lets_a_forged_interrupt_arrive(void **state)
{
	(void)state;
	soft_up("interrupts=compatible");
	assert_int_equal(moat_softvtd_interrupt(sv, NIC, 0xfee00000, 0x31), 0);
	assert_int_equal(delivered, 1);
	assert_int_equal(stats().compatible, 1);
	soft_down(0);
}

static void a_revoked_entry_is_dead_when_its_ticket_is_done(void **state)
{
	struct moat_interrupt msi;
	int done;

	(void)state;
	soft_up("latency=100000");
	msi = give(NIC, 0x41);
	assert_int_equal(raise(NIC, &msi), 0);
	assert_int_equal(moat_vtd_interrupt_revoked(unit, msi.index), -EINVAL);
	assert_true(moat_vtd_interrupt_revoke(unit, msi.index) > 0);
	assert_int_equal(moat_vtd_interrupt_revoked(unit, msi.index), 0);
	assert_int_equal(raise(NIC, &msi), 0); /* legitimate still: the entry is cached */
	assert_int_equal(stats().unreleased, 1);
	while ((done = moat_vtd_interrupt_revoked(unit, msi.index)) == 0)
		;
	assert_int_equal(done, 1);
	assert_int_equal(raise(NIC, &msi), VTD_FR_IR_P); /* replayed */
	assert_int_equal(delivered, 2);
	assert_int_equal(moat_vtd_interrupt_revoke(unit, msi.index), -ENOENT);
	assert_int_equal(moat_vtd_interrupt_take_back(unit, 5000), -ENOENT);
	soft_down(0);
}

static void a_unit_that_forgets_an_invalidation_is_pinned_on_the_revocation(void **state)
{
	struct moat_softvtd_stale_interrupt stale;
	struct moat_interrupt first, msi;

	(void)state;
	soft_up(NULL);
	first = give(NIC, 0x40);
	assert_int_equal(moat_vtd_interrupt_take_back(unit, first.index), 0);
	msi = give(NIC, 0x41);
	assert_int_equal(raise(NIC, &msi), 0);
	moat_softvtd_mutate(sv, MOAT_SOFTVTD_DROP_INT_ENTRY, 1);
	assert_int_equal(moat_vtd_interrupt_take_back(unit, msi.index), 0);
	assert_int_equal(raise(NIC, &msi), 0);
	assert_int_equal(moat_softvtd_stale_interrupts(sv, &stale, 1), 1);
	assert_int_equal(stale.cause, 2); /* the second revocation */
	assert_int_equal(stale.index, msi.index);
	soft_down(1);
}

static void entries_run_out_and_come_back_only_when_confirmed(void **state)
{
	const struct moat_vtd_vector to = { .vector = 0x50 };
	struct moat_interrupt msi;

	(void)state;
	soft_up("latency=4000000");
	for (unsigned int i = 0; i < 1024; i++)
		give(NIC, i);
	assert_int_equal(moat_vtd_interrupt_give(unit, NIC, &to, &msi), -ENOSPC);
	assert_true(moat_vtd_interrupt_revoke(unit, 77) > 0);
	assert_int_equal(moat_vtd_interrupt_give(unit, OTHER, &to, &msi), -ENOSPC);
	assert_int_equal(moat_vtd_interrupt_take_back(unit, 77), 0);
	assert_int_equal(moat_vtd_interrupt_give(unit, OTHER, &to, &msi), 0);
	assert_int_equal(msi.index, 77);
	assert_int_equal(raise(OTHER, &msi), 0);
	assert_int_equal(raise(NIC, &msi), VTD_FR_IR_SID);
	soft_down(0);
}

static void with_caching_mode_a_given_entry_is_seen_at_once(void **state)
{
	struct moat_interrupt msi;

	(void)state;
	soft_up("cm=1");
	for (unsigned int i = 0; i < 8; i++) /* absence is cached, neighbours' too */
		assert_int_equal(moat_softvtd_interrupt(sv, NIC, 0xfee00010 | i << 5, 0),
			VTD_FR_IR_P);
	msi = give(NIC, 0x41);
	assert_int_equal(raise(NIC, &msi), 0);
	soft_down(0);
}

static void a_refused_invalidation_is_submitted_again(void **state)
{
	struct moat_interrupt msi;

	(void)state;
	soft_up(NULL);
	msi = give(NIC, 0x41);
	assert_int_equal(raise(NIC, &msi), 0);
	assert_int_equal(moat_softvtd_inject(sv, MOAT_SOFTVTD_IQE,
				 moat_softvtd_read64(sv, VTD_IQT) / sizeof(struct moat_qi_desc)),
		0);
	assert_int_equal(moat_vtd_interrupt_take_back(unit, msi.index), 0);
	assert_int_equal(raise(NIC, &msi), VTD_FR_IR_P);
	soft_down(0);
}

static void an_entry_posts_to_a_descriptor(void **state)
{
	static struct vtd_pi_desc pi __attribute__((aligned(64)));
	struct moat_vtd_vector to = { .vector = 0x90, .post = (uintptr_t)&pi };
	struct moat_interrupt msi;

	(void)state;
	soft_up(NULL);
	pi.control = VTD_PI_SN;
	assert_int_equal(moat_vtd_interrupt_give(unit, NIC, &to, &msi), 0);
	assert_int_equal(raise(NIC, &msi), 0);
	assert_int_equal(pi.pir[2], UINT64_C(1) << 16);
	assert_int_equal(delivered, 0);
	to.post += 8;
	assert_int_equal(moat_vtd_interrupt_give(unit, NIC, &to, &msi), -EINVAL);
	soft_down(0);
	soft_up("pi=0");
	to.post -= 8;
	assert_int_equal(moat_vtd_interrupt_give(unit, NIC, &to, &msi), -EOPNOTSUPP);
	soft_down(0);
	soft_up("eim=0");
	to = (struct moat_vtd_vector){ .destination = 0x100 };
	assert_int_equal(moat_vtd_interrupt_give(unit, NIC, &to, &msi), -EINVAL);
	msi = give(NIC, 0x41);
	assert_int_equal(raise(NIC, &msi), 0);
	assert_int_equal(last.destination, 9);
	soft_down(0);
}

static void a_unit_without_remapping_is_made_on_request(void **state)
{
	(void)state;
	soft_up("intremap=0");
	assert_int_equal(moat_vtd_interrupts(unit), MOAT_VTD_INTERRUPTS_LEAVE);
	assert_int_equal(moat_softvtd_interrupt(sv, NIC, 0xfee00000, 0x31), 0);
	assert_int_equal(delivered, 1);
	soft_down(0);
	assert_int_equal(moat_soft_unit_check("soft0", "interrupts=maybe"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_comes_before_its_invalidation_and_remapping_last),
		cmocka_unit_test(compatible_lets_the_format_through_before_remapping_begins),
		cmocka_unit_test(interrupts_are_left_alone_unless_asked_for),
		cmocka_unit_test(a_unit_that_does_not_take_cfi_is_not_trusted_to_block),
		cmocka_unit_test(a_unit_that_cannot_remap_says_so),
		cmocka_unit_test(a_killed_moats_unit_is_taken_over_by_take_over_alone),
		cmocka_unit_test(a_device_reaches_the_entry_that_it_was_given_and_no_other),
		cmocka_unit_test(compatible_lets_a_forged_interrupt_arrive),
		cmocka_unit_test(a_revoked_entry_is_dead_when_its_ticket_is_done),
		cmocka_unit_test(a_unit_that_forgets_an_invalidation_is_pinned_on_the_revocation),
		cmocka_unit_test(entries_run_out_and_come_back_only_when_confirmed),
		cmocka_unit_test(with_caching_mode_a_given_entry_is_seen_at_once),
		cmocka_unit_test(a_refused_invalidation_is_submitted_again),
		cmocka_unit_test(an_entry_posts_to_a_descriptor),
		cmocka_unit_test(a_unit_without_remapping_is_made_on_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
