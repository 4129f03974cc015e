/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Which interrupts pass: the driver's order of register writes on a window that records, and
 * entries given, revoked, forged and replayed on the software unit with its oracle. */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>
#include <urcu-qsbr.h>

#include "fake_unit.h"
#include "moat_domain.h"
#include "moat_soft_unit.h"
#include "moat_softvtd_intr.h"
#include "must.h"
#include "unit_args.h"

#define NIC      MOAT_SID(3, 0, 1)
#define NIC_TEXT "03:00.1"
#define OTHER    MOAT_SID(3, 0, 2)

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
	/* the whole cache is invalidated in between, and that has completed */
	assert_true(f.event[sirtp].desc + 2 == done);
	assert_int_equal(f.desc[done - 2].lo, MOAT_QI_INT_ENTRY);
	assert_int_equal(f.desc[done - 1].lo & 0xf, MOAT_QI_WAIT);
	/* 1024 entries, x2APIC mode; compatibility format was off already */
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
	/* with EIME the unit would block compatibility format all the same */
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
	assert_int_equal(
		moat_vtd_interrupt_give(unit, NULL, NIC, &(struct moat_vtd_vector){ 0 }, &msi),
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
	/* compatibility format passes anyway */
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

/* A moat that was killed has left its table behind; the kernel's table has 65,536 entries. */
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
	/* a table of the right size that is not next to moat's root table is not moat's */
	*fake_reg64(&f, VTD_IRTA) = irta ^ UINT64_C(1) << 30;
	assert_int_equal(moat_vtd_create(&conf, &unit), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "intremap=off"));
	*fake_reg64(&f, VTD_IRTA) = irta;
	assert_int_equal(moat_vtd_create(&conf, &unit), 0);
	unit->ops->destroy(unit);
	killed->ops->destroy(killed);
}

/* ------------------------------------------------------ attachments, on the recording window */

struct bench {
	struct fake_unit f;
	struct moat_unit *unit;
	struct moat_pt pt;
	struct moat_domain domain[2];
};

static struct bench *bench_up(uint64_t cap)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct moat_vtd_conf conf = fake_conf(&b->f);

	fake_init(&b->f);
	*fake_reg64(&b->f, VTD_CAP) |= cap;
	*fake_reg64(&b->f, VTD_ECAP) |= VTD_ECAP_IR;
	conf.interrupts = MOAT_VTD_INTERRUPTS_BLOCK;
	must(moat_vtd_create(&conf, &b->unit));
	b->pt = (struct moat_pt){ .root_hpa = 0xaa000, .levels = 4 };
	for (unsigned int i = 0; i < 2; i++) {
		b->domain[i] = (struct moat_domain){ .did = 5 + i, .pt = &b->pt };
		b->domain[i].unit = b->unit;
		snprintf(b->domain[i].name, sizeof(b->domain[i].name), "d%u", i);
	}
	return b;
}

static void bench_free(struct bench *b)
{
	b->unit->ops->destroy(b->unit);
	free(b);
}

static int bench_give(struct bench *b, unsigned int i, moat_sid_t sid, struct moat_interrupt *msi)
{
	const struct moat_vtd_vector to = { .vector = 0x41 };

	return moat_vtd_interrupt_give(b->unit, &b->domain[i], sid, &to, msi);
}

static const struct vtd_entry *irte(struct bench *b, unsigned int index)
{
	uint64_t irta = *fake_reg64(&b->f, VTD_IRTA) & VTD_IRTA_IRTA;

	return (const struct vtd_entry *)(uintptr_t)irta + index;
}

static void stuck(struct bench *b, bool is)
{
	b->f.stuck_queue = is;
	fake_process(&b->f);
}

static void a_detach_whose_interrupts_were_not_confirmed_can_be_repeated(void **state)
{
	struct bench *b = bench_up(0);
	const struct moat_unit_ops *ops = b->unit->ops;
	struct moat_interrupt msi, other;

	(void)state;
	must(ops->attach(b->unit, &b->domain[0], NIC));
	must(bench_give(b, 0, NIC, &msi));
	stuck(b, true);
	assert_int_equal(ops->detach(b->unit, &b->domain[0], NIC), -ETIMEDOUT);
	assert_int_equal(irte(b, msi.index)->lo, 0);
	assert_int_equal(bench_give(b, 0, NIC, &other), -ENOENT);
	/* also after the unit answers: the domain still has the function */
	stuck(b, false);
	assert_int_equal(ops->attach(b->unit, &b->domain[1], NIC), -EBUSY);
	b->f.nr_descs = 0;
	must(ops->detach(b->unit, &b->domain[0], NIC));
	assert_int_equal(b->f.desc[0].lo & 0xf, MOAT_QI_CONTEXT); /* confirmed late */
	assert_int_equal(ops->detach(b->unit, &b->domain[0], NIC), -ENOENT);
	must(ops->attach(b->unit, &b->domain[1], NIC));
	must(ops->detach(b->unit, &b->domain[1], NIC));
	bench_free(b);
}

/* With caching mode the unit must confirm that it has dropped the absent entry. */
static void an_entry_that_was_not_confirmed_is_given_to_no_other_function(void **state)
{
	struct bench *b = bench_up(VTD_CAP_CM);
	struct moat_interrupt msi;

	(void)state;
	must(b->unit->ops->attach(b->unit, &b->domain[0], NIC));
	must(b->unit->ops->attach(b->unit, &b->domain[1], OTHER));
	stuck(b, true);
	assert_int_equal(bench_give(b, 0, NIC, &msi), -ETIMEDOUT);
	assert_int_equal(irte(b, 0)->lo, 0);
	stuck(b, false);
	for (unsigned int i = 1; i < 1024; i++) {
		must(bench_give(b, 1, OTHER, &msi));
		assert_int_equal(msi.index, i);
	}
	assert_int_equal(bench_give(b, 1, OTHER, &msi), -ENOSPC);
	/* it ends with its function's detach, when the unit has dropped it */
	must(b->unit->ops->detach(b->unit, &b->domain[0], NIC));
	must(bench_give(b, 1, OTHER, &msi));
	assert_int_equal(msi.index, 0);
	must(b->unit->ops->detach(b->unit, &b->domain[1], OTHER));
	bench_free(b);
}

static void a_write_buffer_is_flushed_between_the_entry_and_its_invalidation(void **state)
{
	struct bench *b = bench_up(VTD_CAP_RWBF);
	struct moat_interrupt msi;
	int wbf;

	(void)state;
	must(b->unit->ops->attach(b->unit, &b->domain[0], NIC));
	must(bench_give(b, 0, NIC, &msi));
	b->f.watched = &irte(b, msi.index)->lo;
	b->f.nr_events = b->f.nr_descs = 0;
	assert_true(moat_vtd_interrupt_revoke(b->unit, msi.index) > 0);
	wbf = fake_find(&b->f, 0, VTD_GCMD, VTD_GCMD_WBF);
	assert_true(wbf >= 0 && wbf < fake_find(&b->f, 0, VTD_IQT, 0));
	assert_int_equal(b->f.event[wbf].seen, 0); /* the entry is absent already */
	must(b->unit->ops->detach(b->unit, &b->domain[0], NIC));
	/* the same if a detach takes it back */
	must(b->unit->ops->attach(b->unit, &b->domain[0], NIC));
	must(bench_give(b, 0, NIC, &msi));
	b->f.watched = &irte(b, msi.index)->lo;
	b->f.nr_events = b->f.nr_descs = 0;
	must(b->unit->ops->detach(b->unit, &b->domain[0], NIC));
	wbf = fake_find(&b->f, 0, VTD_GCMD, VTD_GCMD_WBF);
	assert_true(wbf >= 0 && wbf < fake_find(&b->f, 0, VTD_IQT, 0));
	assert_int_equal(b->f.event[wbf].seen, 0);
	assert_int_equal(b->f.desc[0].lo & 0xf, MOAT_QI_INT_ENTRY);
	bench_free(b);
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

	if (moat_vtd_interrupt_give(unit, NULL, sid, &to, &msi) != 0)
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
	/* forged: the device chooses the vector */
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
	assert_int_equal(raise(NIC, &msi), 0); /* still valid: the entry is cached */
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
	assert_int_equal(moat_vtd_interrupt_give(unit, NULL, NIC, &to, &msi), -ENOSPC);
	assert_true(moat_vtd_interrupt_revoke(unit, 77) > 0);
	assert_int_equal(moat_vtd_interrupt_give(unit, NULL, OTHER, &to, &msi), -ENOSPC);
	assert_int_equal(moat_vtd_interrupt_take_back(unit, 77), 0);
	assert_int_equal(moat_vtd_interrupt_give(unit, NULL, OTHER, &to, &msi), 0);
	assert_int_equal(msi.index, 77);
	assert_int_equal(raise(OTHER, &msi), 0);
	assert_int_equal(raise(NIC, &msi), VTD_FR_IR_SID);
	soft_down(0);
}

static struct moat_domain *domain_new(const char *name)
{
	struct moat_domain *d;

	must(moat_domain_create(unit, &(struct moat_domain_conf){ .name = name }, &d));
	return d;
}

static struct moat_interrupt give_in(const struct moat_domain *d, moat_sid_t sid)
{
	const struct moat_vtd_vector to = { .vector = 0x41 };
	struct moat_interrupt msi;

	must(moat_vtd_interrupt_give(unit, d, sid, &to, &msi));
	return msi;
}

/* Each of two domains could raise the interrupts that the other was given, so neither is given
 * any. */
static void a_function_of_several_domains_gets_no_interrupt(void **state)
{
	const struct moat_vtd_vector to = { .vector = 0x41 };
	struct moat_domain *red, *blue;
	struct moat_interrupt msi;

	(void)state;
	soft_up("scalable=1,mode=scalable");
	assert_false(moat_vtd_interrupts_shared(unit));
	red = domain_new("red");
	blue = domain_new("blue");
	must(moat_domain_attach_at(red, NULL, NIC, 1));
	must(moat_domain_attach_at(red, NULL, OTHER, 1));
	must(moat_domain_attach_at(blue, NULL, NIC, 2));
	assert_int_equal(moat_vtd_interrupt_give(unit, red, NIC, &to, &msi), -EPERM);
	assert_non_null(strstr(moat_error_text(),
		"'red' gets no interrupt of " NIC_TEXT ": 'blue' has PASID 2 of " NIC_TEXT));
	assert_non_null(strstr(moat_error_text(), "requesters = queue"));
	assert_non_null(strstr(moat_error_text(), "share_interrupts"));
	assert_int_equal(moat_vtd_interrupt_give(unit, blue, NIC, &to, &msi), -EPERM);
	assert_non_null(strstr(moat_error_text(), "'red' has PASID 1 of " NIC_TEXT));
	give_in(red, OTHER); /* another function, which only red has */
	for (unsigned int i = 0; i < 1u << MOAT_VTD_IRT_ORDER; i++) {
		msi.address = VTD_MSI_BASE | VTD_MSI_REMAPPABLE | VTD_MSI_HANDLE(i);
		assert_int_not_equal(raise(NIC, &msi), 0);
	}
	/* requests without a PASID count as a requester, too */
	must(moat_domain_detach_at(red, NULL, NIC, 1));
	give_in(blue, NIC);
	must(moat_domain_detach_at(blue, NULL, NIC, 2));
	must(moat_domain_attach(red, NIC));
	must(moat_domain_attach_at(blue, NULL, NIC, 2));
	assert_int_equal(moat_vtd_interrupt_give(unit, blue, NIC, &to, &msi), -EPERM);
	assert_non_null(strstr(moat_error_text(), "'red' has " NIC_TEXT ","));
	must(moat_domain_detach_at(blue, NULL, NIC, 2));
	must(moat_domain_detach(red, NIC));
	must(moat_domain_detach_at(red, NULL, OTHER, 1));
	must(moat_domain_destroy(red));
	must(moat_domain_destroy(blue));
	soft_down(0);
}

/* Blue would be able to raise red's interrupts, so blue's attach is refused until red has ended
 * them. */
static void a_function_with_interrupts_enters_no_second_domain(void **state)
{
	struct moat_domain *red, *blue;
	struct moat_interrupt r;

	(void)state;
	soft_up("scalable=1,mode=scalable");
	red = domain_new("red");
	blue = domain_new("blue");
	must(moat_domain_attach_at(red, NULL, NIC, 1));
	r = give_in(red, NIC);
	must(moat_domain_attach_at(red, NULL, NIC, 3)); /* red may attach more PASIDs */
	assert_int_equal(moat_domain_attach_at(blue, NULL, NIC, 2), -EBUSY);
	assert_non_null(strstr(moat_error_text(),
		"PASID 2 of " NIC_TEXT " cannot be in 'blue' while "
		"'red' has interrupts"));
	assert_non_null(strstr(moat_error_text(), "share_interrupts"));
	assert_int_equal(moat_domain_attach(blue, NIC), -EBUSY);
	assert_int_equal(raise(NIC, &r), 0);
	/* also while the unit may still deliver it */
	assert_true(moat_vtd_interrupt_revoke(unit, r.index) > 0);
	assert_int_equal(moat_domain_attach_at(blue, NULL, NIC, 2), -EBUSY);
	must(unit->ops->interrupt_take(unit, red, &r));
	must(moat_domain_attach_at(blue, NULL, NIC, 2));
	assert_int_equal(raise(NIC, &r), VTD_FR_IR_P);
	must(moat_domain_detach_at(blue, NULL, NIC, 2));
	must(moat_domain_detach_at(red, NULL, NIC, 3));
	must(moat_domain_detach_at(red, NULL, NIC, 1));
	must(moat_domain_destroy(red));
	must(moat_domain_destroy(blue));
	soft_down(0);
}

/* On one function, PASIDs 1 and 3 are red's, 2 is blue's, and requests without one are green's. */
static void what_a_domain_was_given_ends_with_its_last_pasid_and_with_no_other(void **state)
{
	struct moat_domain *red, *blue, *green;
	struct moat_interrupt r, b, g;

	(void)state;
	soft_up("scalable=1,mode=scalable,share_interrupts=1");
	assert_true(moat_vtd_interrupts_shared(unit));
	red = domain_new("red");
	blue = domain_new("blue");
	green = domain_new("green");
	must(moat_domain_attach_at(red, NULL, NIC, 1));
	must(moat_domain_attach_at(red, NULL, NIC, 3));
	r = give_in(red, NIC);
	must(moat_domain_attach_at(blue, NULL, NIC, 2));
	must(moat_domain_attach(green, NIC));
	b = give_in(blue, NIC);
	g = give_in(green, NIC);
	must(moat_domain_detach_at(red, NULL, NIC, 1));
	assert_int_equal(raise(NIC, &r), 0); /* PASID 3 is still attached */
	must(moat_domain_detach_at(red, NULL, NIC, 3));
	assert_int_equal(raise(NIC, &r), VTD_FR_IR_P);
	assert_int_equal(raise(NIC, &b), 0);
	assert_int_equal(raise(NIC, &g), 0);
	must(moat_domain_detach(green, NIC));
	assert_int_equal(raise(NIC, &g), VTD_FR_IR_P);
	assert_int_equal(raise(NIC, &b), 0);
	must(moat_domain_detach_at(blue, NULL, NIC, 2));
	assert_int_equal(raise(NIC, &b), VTD_FR_IR_P);
	must(moat_domain_destroy(red));
	must(moat_domain_destroy(blue));
	must(moat_domain_destroy(green));
	soft_down(0);
}

static void a_domain_gets_and_ends_interrupts_of_its_own_functions_only(void **state)
{
	const struct moat_vtd_vector to = { .vector = 0x41 };
	struct moat_domain *red, *blue;
	struct moat_interrupt r, msi;

	(void)state;
	soft_up(NULL);
	red = domain_new("red");
	blue = domain_new("blue");
	must(moat_domain_attach(red, NIC));
	must(moat_domain_attach(blue, OTHER));
	r = give_in(red, NIC);
	assert_int_equal(moat_vtd_interrupt_give(unit, blue, NIC, &to, &msi), -ENOENT);
	assert_non_null(strstr(moat_error_text(), "not attached to domain 'blue'"));
	assert_int_equal(unit->ops->interrupt_take(unit, blue, &r), -ENOENT);
	assert_int_equal(raise(NIC, &r), 0);
	must(unit->ops->interrupt_take(unit, red, &r));
	assert_int_equal(raise(NIC, &r), VTD_FR_IR_P);
	must(moat_domain_detach(red, NIC));
	assert_int_equal(moat_vtd_interrupt_give(unit, red, NIC, &to, &msi), -ENOENT);
	must(moat_domain_detach(blue, OTHER));
	must(moat_domain_destroy(red));
	must(moat_domain_destroy(blue));
	soft_down(0);
}

/* The entries need more descriptors than the queue holds, so the detach waits for room. */
static void a_detach_takes_back_more_entries_than_the_queue_holds(void **state)
{
	struct moat_domain *red;
	struct moat_interrupt msi[1024];

	(void)state;
	soft_up("latency=100000,queue=1");
	red = domain_new("red");
	must(moat_domain_attach(red, NIC));
	for (unsigned int i = 0; i < RTE_DIM(msi); i++) {
		msi[i] = give_in(red, NIC);
		assert_int_equal(raise(NIC, &msi[i]), 0);
	}
	must(moat_domain_detach(red, NIC));
	for (unsigned int i = 0; i < RTE_DIM(msi); i++)
		assert_int_equal(raise(NIC, &msi[i]), VTD_FR_IR_P);
	must(moat_domain_destroy(red));
	soft_down(0);
}

/* A thread that gives and takes back entries while another attaches and detaches the function. */
struct giver {
	struct moat_domain *domain;
	_Atomic bool stop;
	_Atomic unsigned int given, refused;
};

static void *give_and_take(void *arg)
{
	const struct moat_vtd_vector to = { .vector = 0x41 };
	struct giver *g = arg;

	urcu_qsbr_register_thread();
	/* relaxed: a flag */
	for (unsigned int i = 0; !atomic_load_explicit(&g->stop, memory_order_relaxed); i++) {
		struct moat_interrupt msi;
		int ret = moat_vtd_interrupt_give(unit, g->domain, NIC, &to, &msi);

		if (ret != 0 && ret != -ENOENT && ret != -ENOSPC)
			must(ret);
		atomic_fetch_add_explicit(ret == 0 ? &g->given : &g->refused, 1,
			memory_order_relaxed);
		if (ret == 0 && i % 2 == 0) /* every other entry is left for the detach */
			(void)unit->ops->interrupt_take(unit, g->domain, &msi);
	}
	urcu_qsbr_unregister_thread();
	return NULL;
}

static void nothing_is_given_behind_a_detach(void **state)
{
	struct giver g = { .given = 0 };
	pthread_t thread;
	unsigned int rounds = 0;

	(void)state;
	soft_up(UNIT_ADVERSARY);
	g.domain = domain_new("red");
	assert_int_equal(pthread_create(&thread, NULL, give_and_take, &g), 0);
	/* relaxed: counters. Both results must occur, however busy the machine is. */
	while (rounds < 200 || atomic_load_explicit(&g.given, memory_order_relaxed) == 0 ||
		atomic_load_explicit(&g.refused, memory_order_relaxed) == 0) {
		must(moat_domain_attach(g.domain, NIC));
		sched_yield();
		must(moat_domain_detach(g.domain, NIC));
		rounds++;
		for (unsigned int i = 0; i < 1024; i++)
			assert_int_not_equal(
				moat_softvtd_interrupt(sv, NIC,
					VTD_MSI_BASE | VTD_MSI_REMAPPABLE | VTD_MSI_HANDLE(i), 0),
				0);
	}
	/* relaxed: a flag */
	atomic_store_explicit(&g.stop, true, memory_order_relaxed);
	pthread_join(thread, NULL);
	must(moat_domain_destroy(g.domain));
	soft_down(0);
}

static void with_caching_mode_a_given_entry_is_seen_at_once(void **state)
{
	struct moat_interrupt msi;

	(void)state;
	soft_up("cm=1");
	for (unsigned int i = 0; i < 8; i++) /* absent entries are cached, also neighbouring ones */
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
	assert_int_equal(moat_vtd_interrupt_give(unit, NULL, NIC, &to, &msi), 0);
	assert_int_equal(raise(NIC, &msi), 0);
	assert_int_equal(pi.pir[2], UINT64_C(1) << 16);
	assert_int_equal(delivered, 0);
	to.post += 8;
	assert_int_equal(moat_vtd_interrupt_give(unit, NULL, NIC, &to, &msi), -EINVAL);
	soft_down(0);
	soft_up("pi=0");
	to.post -= 8;
	assert_int_equal(moat_vtd_interrupt_give(unit, NULL, NIC, &to, &msi), -EOPNOTSUPP);
	soft_down(0);
	soft_up("eim=0");
	to = (struct moat_vtd_vector){ .destination = 0x100 };
	assert_int_equal(moat_vtd_interrupt_give(unit, NULL, NIC, &to, &msi), -EINVAL);
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

static int thread_up(void **state)
{
	(void)state;
	urcu_qsbr_register_thread();
	return 0;
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
		cmocka_unit_test(a_detach_whose_interrupts_were_not_confirmed_can_be_repeated),
		cmocka_unit_test(an_entry_that_was_not_confirmed_is_given_to_no_other_function),
		cmocka_unit_test(a_write_buffer_is_flushed_between_the_entry_and_its_invalidation),
		cmocka_unit_test(a_device_reaches_the_entry_that_it_was_given_and_no_other),
		cmocka_unit_test(compatible_lets_a_forged_interrupt_arrive),
		cmocka_unit_test(a_revoked_entry_is_dead_when_its_ticket_is_done),
		cmocka_unit_test(a_unit_that_forgets_an_invalidation_is_pinned_on_the_revocation),
		cmocka_unit_test(entries_run_out_and_come_back_only_when_confirmed),
		cmocka_unit_test(a_function_of_several_domains_gets_no_interrupt),
		cmocka_unit_test(a_function_with_interrupts_enters_no_second_domain),
		cmocka_unit_test(
			what_a_domain_was_given_ends_with_its_last_pasid_and_with_no_other),
		cmocka_unit_test(a_domain_gets_and_ends_interrupts_of_its_own_functions_only),
		cmocka_unit_test(a_detach_takes_back_more_entries_than_the_queue_holds),
		cmocka_unit_test(nothing_is_given_behind_a_detach),
		cmocka_unit_test(with_caching_mode_a_given_entry_is_seen_at_once),
		cmocka_unit_test(a_refused_invalidation_is_submitted_again),
		cmocka_unit_test(an_entry_posts_to_a_descriptor),
		cmocka_unit_test(a_unit_without_remapping_is_made_on_request),
	};

	return cmocka_run_group_tests(tests, thread_up, NULL);
}
