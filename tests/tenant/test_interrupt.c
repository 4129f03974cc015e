/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Interrupts of a tenant's devices: given, forged, replayed and posted. See rig.h. */

#include "moat_interrupt.h"
#include "moat_softvtd_intr.h"
#include "moat_vtd_irte.h"
#include "rig.h"

#define OTHER MOAT_SID(0, 17, 0)

static unsigned int calls;

static void count_call(void *ctx)
{
	calls += *(unsigned int *)ctx;
}

static struct rig *open_rig(void)
{
	struct moat_tenant_conf conf = rig_conf("red", MOAT_STATIC);

	calls = 0;
	return rig_open(&conf, UNIT_ADVERSARY, 512);
}

/* Close the rig. The unit must have seen no stale interrupt. */
static void close_rig(struct rig *r)
{
	struct moat_softvtd_intr_stats stats;

	moat_softvtd_intr_stats(r->hw, &stats);
	assert_int_equal(stats.stale_interrupts, 0);
	rig_close(r);
}

static int raise(struct rig *r, moat_sid_t sid, const struct moat_interrupt *interrupt)
{
	return moat_softvtd_interrupt(r->hw, sid, interrupt->address, interrupt->data);
}

static void an_interrupt_calls_its_function_until_it_ends(void **state)
{
	struct rig *r = open_rig();
	unsigned int one = 1;
	struct moat_interrupt interrupt;

	must(moat_tenant_interrupt(r->tenant, SID, count_call, &one, &interrupt));
	assert_int_equal(raise(r, SID, &interrupt), 0);
	assert_int_equal(raise(r, SID, &interrupt), 0);
	assert_int_equal(calls, 2);
	must(moat_tenant_interrupt_end(r->tenant, &interrupt));
	assert_int_equal(raise(r, SID, &interrupt), VTD_FR_IR_P); /* replayed */
	assert_int_equal(calls, 2);
	assert_int_equal(moat_tenant_interrupt_end(r->tenant, &interrupt), -ENOENT);
	close_rig(r);
}

static void a_device_raises_no_other_tenants_interrupt_and_none_of_the_hosts(void **state)
{
	struct moat_tenant_conf conf = { .name = "blue", .memory = 4 * 1048576 };
	struct rig *r = open_rig();
	unsigned int one = 1, ten = 10;
	struct moat_interrupt mine, its;
	struct moat_tenant *other;

	conf.unit = r->unit;
	must(moat_tenant_create(&conf, &other));
	must(moat_tenant_attach(other, OTHER));
	must(moat_tenant_interrupt(r->tenant, SID, count_call, &one, &mine));
	must(moat_tenant_interrupt(other, OTHER, count_call, &ten, &its));
	assert_int_equal(moat_tenant_interrupt(r->tenant, OTHER, count_call, &one, &mine), -ENOENT);
	assert_int_not_equal(mine.index, its.index);
	assert_int_equal(raise(r, SID, &its), VTD_FR_IR_SID);
	assert_int_equal(moat_softvtd_interrupt(r->hw, SID, 0xfee00000, 0x31), VTD_FR_IR_COMPAT);
	for (unsigned int i = 0; i < 2048; i++) { /* guess every entry that can exist */
		uint64_t address = VTD_MSI_BASE | VTD_MSI_REMAPPABLE | VTD_MSI_HANDLE(i);

		if (i != mine.index)
			assert_int_not_equal(moat_softvtd_interrupt(r->hw, SID, address, 0), 0);
	}
	assert_int_equal(calls, 0);
	assert_int_equal(raise(r, OTHER, &its), 0);
	assert_int_equal(calls, 10);
	must(moat_tenant_detach(other, OTHER));
	must(moat_tenant_destroy(other));
	close_rig(r);
}

static void detaching_a_requester_ends_its_interrupts(void **state)
{
	struct rig *r = open_rig();
	unsigned int one = 1;
	struct moat_interrupt interrupt, again;

	must(moat_tenant_attach(r->tenant, OTHER));
	must(moat_tenant_interrupt(r->tenant, OTHER, count_call, &one, &interrupt));
	assert_int_equal(raise(r, OTHER, &interrupt), 0);
	must(moat_tenant_detach(r->tenant, OTHER));
	assert_int_equal(raise(r, OTHER, &interrupt), VTD_FR_IR_P);
	must(moat_tenant_attach(r->tenant, OTHER)); /* for the entry this is another tenant */
	assert_int_equal(raise(r, OTHER, &interrupt), VTD_FR_IR_P);
	assert_int_equal(calls, 1);
	/* The requester has an interrupt again, and can raise only that one. */
	must(moat_tenant_interrupt(r->tenant, OTHER, count_call, &one, &again));
	assert_int_equal(raise(r, OTHER, &again), 0);
	assert_int_equal(calls, 2);
	must(moat_tenant_interrupt_end(r->tenant, &again));
	assert_int_equal(moat_tenant_interrupt_end(r->tenant, &interrupt), -ENOENT);
	must(moat_tenant_detach(r->tenant, OTHER));
	close_rig(r);
}

/* A tenant that has queues of a device by PASID keeps interrupts of the device as long as it has
 * one of these queues. */
static void detaching_the_last_pasid_ends_its_interrupts(void **state)
{
	struct moat_tenant_conf conf = rig_conf("red", MOAT_STATIC);
	struct rig *r = rig_open(&conf, UNIT_ADVERSARY ",scalable=1,mode=scalable", 512);
	unsigned int one = 1;
	struct moat_interrupt interrupt;

	calls = 0;
	must(moat_tenant_attach_pasid(r->tenant, OTHER, 5));
	must(moat_tenant_attach_pasid(r->tenant, OTHER, 6));
	must(moat_tenant_interrupt(r->tenant, OTHER, count_call, &one, &interrupt));
	must(moat_tenant_detach_pasid(r->tenant, OTHER, 5));
	assert_int_equal(raise(r, OTHER, &interrupt), 0);
	must(moat_tenant_detach_pasid(r->tenant, OTHER, 6));
	assert_int_equal(raise(r, OTHER, &interrupt), VTD_FR_IR_P);
	assert_int_equal(calls, 1);
	assert_int_equal(moat_tenant_interrupt(r->tenant, OTHER, count_call, &one, &interrupt),
		-ENOENT);
	close_rig(r);
}

static void only_what_is_attached_is_given_interrupts(void **state)
{
	struct rig *r = open_rig();
	struct moat_interrupt interrupt;
	struct moat_posted line;

	assert_int_equal(moat_tenant_interrupt(r->tenant, OTHER, count_call, NULL, &interrupt),
		-ENOENT);
	assert_non_null(strstr(moat_error_text(), "moat_tenant_attach()"));
	moat_posted_init(&line);
	assert_int_equal(moat_tenant_interrupt_post(r->tenant, OTHER, &line, 0, &interrupt),
		-ENOENT);
	close_rig(r);
}

static void a_unit_without_remapping_gives_none_and_says_why(void **state)
{
	struct moat_tenant_conf conf = rig_conf("red", MOAT_STATIC);
	struct rig *r = rig_open(&conf, "intremap=0", 512);
	struct moat_interrupt interrupt;

	assert_int_equal(moat_tenant_interrupt(r->tenant, SID, count_call, NULL, &interrupt),
		-EOPNOTSUPP);
	assert_non_null(strstr(moat_error_text(), "ECAP.IR is clear"));
	close_rig(r);
}

static void posted_interrupts_are_bits_that_a_poll_takes(void **state)
{
	static struct moat_posted line; /* aligned to 64 bytes */
	struct rig *r = open_rig();
	struct moat_interrupt first, last;

	moat_posted_init(&line);
	must(moat_tenant_interrupt_post(r->tenant, SID, &line, 0, &first));
	must(moat_tenant_interrupt_post(r->tenant, SID, &line, 255, &last));
	assert_int_equal(moat_posted_take(&line, 0), 0);
	assert_int_equal(raise(r, SID, &first), 0);
	assert_int_equal(raise(r, SID, &first), 0); /* the same bit */
	assert_int_equal(raise(r, SID, &last), 0);
	assert_int_equal(moat_posted_take(&line, 0), 1);
	assert_int_equal(moat_posted_take(&line, 0), 0);
	assert_int_equal(moat_posted_take(&line, 3), UINT64_C(1) << 63);
	assert_int_equal(line.control, MOAT_POSTED_SN); /* no processor was notified */
	must(moat_tenant_interrupt_end(r->tenant, &first));
	assert_int_equal(raise(r, SID, &first), VTD_FR_IR_P);
	assert_int_equal(moat_posted_take(&line, 0), 0);
	must(moat_tenant_interrupt_end(r->tenant, &last));
	close_rig(r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interrupt_calls_its_function_until_it_ends),
		cmocka_unit_test(a_device_raises_no_other_tenants_interrupt_and_none_of_the_hosts),
		cmocka_unit_test(detaching_a_requester_ends_its_interrupts),
		cmocka_unit_test(detaching_the_last_pasid_ends_its_interrupts),
		cmocka_unit_test(only_what_is_attached_is_given_interrupts),
		cmocka_unit_test(a_unit_without_remapping_gives_none_and_says_why),
		cmocka_unit_test(posted_interrupts_are_bits_that_a_poll_takes),
	};

	if (rig_eal(argv[0]) < 0)
		return 1;
	return cmocka_run_group_tests_name("interrupts", tests, rig_make_port, NULL);
}
