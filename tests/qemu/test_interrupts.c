/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Interrupts of tenants' devices on QEMU's unit. There are two tenants, each with an edu, which
 * raises interrupts by its MSI capability: those that it was given, and others. Such a request
 * carries the device's source-id; on QEMU's unit a request by a DMA write carries none
 * (tests/conformance).
 *
 * QEMU's unit has no CFI and always lets compatibility format pass, so the driver would leave
 * interrupt remapping off. Here the driver sees registers in which CFI works; everything else is
 * QEMU's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <urcu-qsbr.h>

#include "moat_interrupt.h"
#include "moat_tenant_measure.h"
#include "moat_vtd.h"
#include "must.h"
#include "node.h"

#define MEMORY (8u << 20)

static struct moat_vtd_window registers;
static uint32_t cfis; /* GSTS.CFIS, as GCMD has set it */
static moat_sid_t kernels[64];
static struct moat_unit *unit;

struct party {
	const char *name;
	struct edu edu;
	struct moat_tenant *tenant;
	struct moat_interrupt interrupt;
};

static struct party red = { .name = "red" }, blue = { .name = "blue" };

/* ----------------------------------------------------------------- registers that take CFI */

static uint32_t read32(void *ctx, uint32_t offset)
{
	return vtd_read32(&registers, offset) | (offset == VTD_GSTS ? cfis : 0);
}

static uint64_t read64(void *ctx, uint32_t offset)
{
	return vtd_read64(&registers, offset);
}

static void write32(void *ctx, uint32_t offset, uint32_t value)
{
	if (offset == VTD_GCMD)
		cfis = value & VTD_GCMD_CFI ? VTD_GSTS_CFIS : 0;
	vtd_write32(&registers, offset, value);
}

static void write64(void *ctx, uint32_t offset, uint64_t value)
{
	vtd_write64(&registers, offset, value);
}

static struct moat_vtd_conf unit_conf(void)
{
	const moat_sid_t ours[] = { red.edu.sid, blue.edu.sid };

	return (struct moat_vtd_conf){
		.name = "dmar0",
		.window = registers,
		.mem = &machine_mem,
		.hpa = machine_hpa,
		.pass_through = kernels,
		.nr_pass_through =
			machine_functions(kernels, RTE_DIM(kernels), ours, RTE_DIM(ours)),
		.interrupts = MOAT_VTD_INTERRUPTS_COMPATIBLE,
	};
}

/* --------------------------------------------------------------------------------- parties */

static void party_come(struct party *p)
{
	const struct moat_tenant_conf conf = { .name = p->name,
		.unit = unit,
		.mode = MOAT_STATIC,
		.memory = MEMORY,
		.iova_base = NODE_HOME,
		.width = 32,
		.numa = SOCKET_ID_ANY };
	const struct moat_vtd_vector to = { .vector = MACHINE_VECTOR };

	must(moat_tenant_create(&conf, &p->tenant));
	must(moat_tenant_attach(p->tenant, p->edu.sid));
	must(moat_vtd_interrupt_give(unit, moat_tenant_domain(p->tenant), p->edu.sid, &to,
		&p->interrupt));
}

/* @return whether an interrupt has arrived since there were `before`; waits for a moment */
static bool arrives(uint64_t before)
{
	for (unsigned int ms = 0; ms < 1000; ms++) {
		if (machine_irq_work(0) != before)
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return false;
}

static bool raises(const struct party *p, const struct moat_interrupt *interrupt)
{
	uint64_t before = machine_irq_work(0);

	edu_msi(&p->edu, interrupt->address, interrupt->data);
	return arrives(before);
}

/* Assert that the party's tenant has one more fault, by this entry, with this reason text. */
static void expect_refused(const struct party *p, const struct moat_interrupt *interrupt,
	uint8_t reason, const char *words)
{
	uint64_t before = machine_irq_work(0);
	struct moat_tenant_stats was, is;
	struct moat_tenant_fault fault;

	moat_tenant_stats(p->tenant, &was);
	edu_msi(&p->edu, interrupt->address, interrupt->data);
	assert_int_equal(moat_tenant_faults(unit, &fault, 1), 1);
	print_message("# tenant %s, " MOAT_SID_FMT ", entry %u: reason 0x%x, %s\n",
		fault.tenant != NULL ? moat_tenant_name(fault.tenant) : "(none)",
		MOAT_SID_ARGS(fault.fault.sid),
		(unsigned int)(fault.fault.iova >> VTD_FRCD_INDEX_SHIFT), fault.fault.reason,
		fault.fault.reason_text);
	assert_ptr_equal(fault.tenant, p->tenant);
	assert_int_equal(fault.fault.sid, p->edu.sid);
	assert_int_equal(fault.fault.iova >> VTD_FRCD_INDEX_SHIFT, interrupt->index);
	assert_int_equal(fault.fault.reason, reason);
	assert_non_null(strstr(fault.fault.reason_text, words));
	moat_tenant_stats(p->tenant, &is);
	assert_int_equal(is.faults, was.faults + 1);
	assert_int_equal(machine_irq_work(0), before);
}

/* ----------------------------------------------------------------------------------- tests */

static void a_unit_without_cfi_is_left_alone_and_says_what_that_means(void **state)
{
	struct moat_vtd_conf conf = unit_conf();

	must(moat_vtd_create(&conf, &unit));
	assert_int_equal(moat_vtd_interrupts(unit), MOAT_VTD_INTERRUPTS_LEAVE);
	print_message("# %s; %s\n", moat_vtd_interrupts_text(moat_vtd_interrupts(unit)),
		moat_vtd_interrupts_why(unit));
	assert_string_equal(moat_vtd_interrupts_text(moat_vtd_interrupts(unit)),
		"a tenant's device can raise any interrupt of the host");
	assert_non_null(strstr(moat_vtd_interrupts_why(unit), "does not take CFI"));
	unit->ops->destroy(unit);
	conf.interrupts = MOAT_VTD_INTERRUPTS_BLOCK;
	assert_int_equal(moat_vtd_create(&conf, &unit), -EOPNOTSUPP);
	assert_non_null(strstr(moat_error_text(), "does not take CFI"));
}

static void tenants_are_given_interrupts(void **state)
{
	struct moat_vtd_conf conf = unit_conf();

	conf.window = (struct moat_vtd_window){ .read32 = read32,
		.read64 = read64,
		.write32 = write32,
		.write64 = write64 };
	must(moat_vtd_create(&conf, &unit));
	assert_int_equal(moat_vtd_interrupts(unit), MOAT_VTD_INTERRUPTS_COMPATIBLE);
	assert_true(vtd_read32(&registers, VTD_GSTS) & VTD_GSTS_IRES);
	party_come(&red);
	party_come(&blue);
	assert_int_not_equal(red.interrupt.index, blue.interrupt.index);
}

static void an_interrupt_arrives_by_the_entry_that_a_device_was_given(void **state)
{
	struct moat_tenant_fault fault;

	assert_true(raises(&red, &red.interrupt));
	assert_true(raises(&blue, &blue.interrupt));
	assert_int_equal(moat_tenant_faults(unit, &fault, 1), 0);
}

static void an_interrupt_by_another_tenants_entry_is_blocked_and_counted(void **state)
{
	expect_refused(&red, &blue.interrupt, VTD_FR_IR_SID, "belongs to another source");
	expect_refused(&blue, &red.interrupt, VTD_FR_IR_SID, "belongs to another source");
}

static void an_interrupt_by_an_entry_taken_back_is_blocked_and_counted(void **state)
{
	must(moat_tenant_interrupt_end(red.tenant, &red.interrupt));
	expect_refused(&red, &red.interrupt, VTD_FR_IR_P, "not present");
	assert_true(raises(&blue, &blue.interrupt));
}

static void an_interrupt_by_an_entry_of_a_tenant_that_left_is_blocked(void **state)
{
	struct moat_fault fault;
	uint64_t before;

	must(moat_tenant_destroy(blue.tenant));
	before = machine_irq_work(0);
	edu_msi(&blue.edu, blue.interrupt.address, blue.interrupt.data);
	assert_int_equal(unit->ops->faults(unit, &fault, 1), 1);
	assert_int_equal(fault.sid, blue.edu.sid);
	assert_int_equal(fault.reason, VTD_FR_IR_P);
	assert_int_equal(machine_irq_work(0), before);
}

/* The message's claim is true: the device can raise any interrupt. */
static void compatibility_format_arrives_where_it_is_let_through(void **state)
{
	const struct moat_interrupt forged = { .address = VTD_MSI_BASE, .data = MACHINE_VECTOR };

	assert_string_equal(moat_vtd_interrupts_text(moat_vtd_interrupts(unit)),
		"a tenant's device can raise any interrupt of the host");
	assert_true(raises(&red, &forged));
}

static void taken_down_the_unit_remaps_no_more(void **state)
{
	must(moat_tenant_destroy(red.tenant));
	unit->ops->destroy(unit);
	assert_int_equal(vtd_read32(&registers, VTD_GSTS) & (VTD_GSTS_IRES | VTD_GSTS_TES), 0);
}

int main(int argc, char **argv)
{
	/* The order matters: each test leaves the unit in the state that the next one needs. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unit_without_cfi_is_left_alone_and_says_what_that_means),
		cmocka_unit_test(tenants_are_given_interrupts),
		cmocka_unit_test(an_interrupt_arrives_by_the_entry_that_a_device_was_given),
		cmocka_unit_test(an_interrupt_by_another_tenants_entry_is_blocked_and_counted),
		cmocka_unit_test(an_interrupt_by_an_entry_taken_back_is_blocked_and_counted),
		cmocka_unit_test(an_interrupt_by_an_entry_of_a_tenant_that_left_is_blocked),
		cmocka_unit_test(compatibility_format_arrives_where_it_is_let_through),
		cmocka_unit_test(taken_down_the_unit_remaps_no_more),
	};

	(void)argc;
	urcu_qsbr_register_thread();
	node_init(argv[0]);
	machine_window(&registers);
	edu_open(&red.edu, "DEVICE0");
	edu_open(&blue.edu, "DEVICE1");
	return cmocka_run_group_tests_name("interrupts of tenants on QEMU's unit", tests, NULL,
		NULL);
}
