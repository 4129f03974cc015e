/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* What owning a machine's unit does to the bus: which devices are stopped, which pass through,
 * which may be separate tenants, and what is undone. The unit itself is simulated: this file
 * defines moat_vtd_create(), which can refuse, fail half-way or succeed. */

#include <errno.h>
#include <fcntl.h>

#include "moat_vtd.h"

static int unit_create(const struct moat_vtd_conf *conf, struct moat_unit **unit);

#define moat_vtd_create unit_create
#include "../../drivers/vtd/moat_vtd_host.c" /* NOLINT(bugprone-suspicious-include): a call is replaced */
#undef moat_vtd_create

#include "fake_machine.h"

#define BASE   UINT64_C(0x10000) /* dmar0's registers; dmar1's follow */
#define TENANT MOAT_SID(1, 0x10, 0)

/* The behaviour of the simulated unit, and what the driver passed to it. */
static struct {
	int refuse;      /* an error before anything was written */
	int fail;        /* an error afterwards */
	bool leaves_off; /* ... with translation switched off */
	struct moat_vtd_conf conf;
	moat_sid_t pass[64]; /* copies, because the originals are freed with the unit */
	bool unplug;         /* the last device is unplugged before devices are stopped */
	volatile uint32_t *gsts;
} unit;

static void unplug(moat_sid_t sid);

static int unit_create(const struct moat_vtd_conf *conf, struct moat_unit **out)
{
	static struct moat_unit up;
	int ret;

	unit.conf = *conf;
	assert_true(conf->nr_pass_through <= RTE_DIM(unit.pass));
	memcpy(unit.pass, conf->pass_through, conf->nr_pass_through * sizeof(moat_sid_t));
	if (unit.refuse != 0)
		return moat_error(unit.refuse, "refused");
	if (unit.unplug)
		unplug(MOAT_SID(2, 0x10, 0));
	ret = conf->before_writing(conf->ctx);
	if (ret != 0)
		return ret;
	if (unit.leaves_off)
		*unit.gsts = 0;
	if (unit.fail != 0)
		return moat_error(unit.fail, "failed");
	*out = &up;
	return 0;
}

static void unplug(moat_sid_t sid)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:" MOAT_SID_FMT "/config", root,
		MOAT_SID_ARGS(sid));
	assert_int_equal(unlink(path), 0);
}

static void destroy(void)
{
	unit.conf.release(unit.conf.ctx);
}

static bool passes(moat_sid_t sid)
{
	for (unsigned int i = 0; i < unit.conf.nr_pass_through; i++)
		if (unit.pass[i] == sid)
			return true;
	return false;
}

static bool is_master(moat_sid_t sid)
{
	return config16(sid, 4) & 4;
}

/*
 * dmar0: the root port 00:1c.0 and the functions below it; dmar1: all others. Behind dmar0 there
 * are a tenant's function and another function of processes; behind dmar1 there are functions of
 * other processes.
 */
static const moat_sid_t behind[] = { TENANT, MOAT_SID(2, 0x10, 0) };
static const moat_sid_t elsewhere[] = { MOAT_SID(6, 3, 0), MOAT_SID(4, 1, 0) };
static const moat_sid_t nic = MOAT_SID(1, 0, 0), port = MOAT_SID(0, 0x1c, 0);

static int machine(void **state)
{
	char path[128];
	struct table t;
	void *page;
	int fd;

	memset(&unit, 0, sizeof(unit));
	make_root();
	make_pci_tree();
	begin(&t);
	drhd(&t, 0, 0, BASE);
	scope(&t, MOAT_DMAR_BRIDGE, 0, 0, 1, 0x1c, 0);
	scope(&t, MOAT_DMAR_ACPI, 7, 0xf0, 1, 3, 1);
	scope(&t, MOAT_DMAR_ACPI, 8, 0, 2, 0x1c, 0, 5, 2); /* below the root port */
	scope(&t, MOAT_DMAR_IOAPIC, 9, 0xf1, 1, 0, 0);
	drhd(&t, 1, 0, BASE + 0x10000);
	scope(&t, MOAT_DMAR_ACPI, 9, 0xf0, 1, 4, 0);
	finish(&t);
	write_dmar(&t);
	for (unsigned int i = 0; i < 2; i++) {
		bind_driver(behind[i], "uio_pci_generic");
		bind_driver(elsewhere[i], "vfio-pci");
		set_command(behind[i], 0x0406);
		set_command(elsewhere[i], 0x0406);
	}
	bind_driver(nic, "igb");
	set_command(nic, 0x0406);
	snprintf(path, sizeof(path), "%s/dev", root);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/dev/mem", root);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, BASE + 0x20000), 0);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, BASE);
	assert_true(page != MAP_FAILED);
	close(fd);
	unit.gsts = (volatile uint32_t *)((char *)page + VTD_GSTS);
	*unit.gsts = VTD_GSTS_TES | VTD_GSTS_QIES;
	return 0;
}

static int no_machine(void **state)
{
	munmap((void *)((uintptr_t)unit.gsts & ~(uintptr_t)4095), 4096);
	remove_root();
	return 0;
}

static int own(bool take_over)
{
	static const moat_sid_t tenant = TENANT;
	const struct moat_vtd_host_conf conf = { .root = root,
		.unit = -1,
		.tenant = &tenant,
		.nr_tenants = 1,
		.take_over = take_over };
	struct moat_unit *u = NULL;

	return moat_vtd_host_create(&conf, &u);
}

static void assert_masters(bool master)
{
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(is_master(behind[i]), master);
		assert_true(is_master(elsewhere[i]));
	}
	assert_true(is_master(nic)); /* the kernel's function */
}

/* -------------------------------------------------------------------------------- taking over */

static void taking_over_stops_the_processes_devices_behind_this_unit_and_no_others(void **state)
{
	assert_int_equal(own(true), 0);
	assert_masters(false);
	destroy();
	assert_masters(false); /* no driver has them */
}

static void without_taking_over_no_device_is_stopped(void **state)
{
	assert_int_equal(own(false), 0);
	assert_masters(true);
	destroy();
}

static void a_refusal_changes_nothing(void **state)
{
	unit.refuse = -EBUSY;
	assert_int_equal(own(true), -EBUSY);
	assert_masters(true);
}

static void a_device_that_cannot_be_stopped_is_a_refusal_and_the_others_go_on(void **state)
{
	unit.unplug = true;
	assert_int_equal(own(true), -EACCES);
	assert_non_null(strstr(moat_error_text(), "0000:02:10.0/config"));
	assert_true(is_master(behind[0]));
}

static void an_error_half_way_lets_devices_go_on_unless_the_unit_is_off_by_then(void **state)
{
	unit.fail = -ETIMEDOUT;
	*unit.gsts = 0; /* translation was off: the devices reach no more than before */
	assert_int_equal(own(true), -ETIMEDOUT);
	assert_masters(true);
	*unit.gsts = VTD_GSTS_TES; /* found on, and cannot be switched off: it still translates */
	assert_int_equal(own(true), -ETIMEDOUT);
	assert_masters(true);
	unit.leaves_off = true;
	assert_int_equal(own(true), -ETIMEDOUT);
	assert_masters(false);
}

/* ------------------------------------------------------------------------- whose interrupts */

static int own_interrupts(int dmar, moat_sid_t tenant, enum moat_vtd_interrupts interrupts)
{
	const struct moat_vtd_host_conf conf = { .root = root,
		.unit = dmar,
		.tenant = &tenant,
		.nr_tenants = 1,
		.interrupts = interrupts };
	struct moat_unit *u = NULL;

	return moat_vtd_host_create(&conf, &u);
}

/* ECAP of dmar0 or dmar1, in the file that stands for the machine's memory. */
static void remaps(unsigned int dmar, bool ir)
{
	uint64_t ecap = ir ? VTD_ECAP_IR : 0;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/dev/mem", root);
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, &ecap, 8, BASE + dmar * 0x10000 + VTD_ECAP), 8);
	close(fd);
}

static void interrupts_of_the_kernels_are_named_where_block_would_stop_them(void **state)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd),
		"cd %s/sys/bus/pci/devices/0000:01:00.0 && mkdir msi_irqs && echo msix > msi_irqs/30",
		root);
	assert_int_equal(system(cmd), 0);
	remaps(0, true);
	assert_int_equal(own_interrupts(0, TENANT, MOAT_VTD_INTERRUPTS_BLOCK), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "0000:01:00.0 (igb) has 1 MSI-X vector in use"));
	assert_non_null(strstr(moat_error_text(), "unbind it from igb"));
	assert_non_null(strstr(moat_error_text(), "I/O APIC 9"));
	assert_non_null(strstr(moat_error_text(), "interrupts = compatible"));
	assert_int_equal(unit.conf.interrupts, MOAT_VTD_INTERRUPTS_LEAVE); /* not asked to block */
	/* by default the devices work on, and the unit can report why */
	assert_int_equal(own_interrupts(0, TENANT, MOAT_VTD_INTERRUPTS_DEFAULT), 0);
	assert_int_equal(unit.conf.interrupts, MOAT_VTD_INTERRUPTS_COMPATIBLE);
	assert_non_null(strstr(unit.conf.interrupts_why, "igb"));
	destroy();
}

static void behind_another_unit_the_kernels_interrupts_are_in_no_way(void **state)
{
	const moat_sid_t tenant = MOAT_SID(6, 3, 0);

	remaps(1, true);
	assert_int_equal(own_interrupts(1, tenant, MOAT_VTD_INTERRUPTS_BLOCK), 0);
	assert_int_equal(unit.conf.interrupts, MOAT_VTD_INTERRUPTS_BLOCK);
	destroy();
	assert_int_equal(own_interrupts(1, tenant, MOAT_VTD_INTERRUPTS_DEFAULT), 0);
	assert_int_equal(unit.conf.interrupts, MOAT_VTD_INTERRUPTS_BLOCK);
	destroy();
}

static void a_unit_that_cannot_remap_is_left_alone_unless_it_must_block(void **state)
{
	const moat_sid_t tenant = MOAT_SID(6, 3, 0);

	assert_int_equal(own_interrupts(1, tenant, MOAT_VTD_INTERRUPTS_DEFAULT), 0);
	assert_int_equal(unit.conf.interrupts, MOAT_VTD_INTERRUPTS_LEAVE);
	assert_non_null(strstr(unit.conf.interrupts_why, "ECAP.IR"));
	destroy();
	assert_int_equal(own_interrupts(1, tenant, MOAT_VTD_INTERRUPTS_BLOCK), 0);
	assert_int_equal(unit.conf.interrupts, MOAT_VTD_INTERRUPTS_BLOCK); /* the unit refuses it */
	destroy();
}

/* ----------------------------------------------------------------------- what passes through */

static void devices_that_only_acpi_names_pass_through_their_unit(void **state)
{
	assert_int_equal(own(false), 0);
	assert_true(passes(nic));
	assert_true(passes(MOAT_SID(0xf0, 3, 1)));
	assert_true(passes(MOAT_SID(1, 5, 2)));     /* its path leads through the root port */
	assert_false(passes(MOAT_SID(0xf0, 4, 0))); /* behind the other unit */
	assert_false(passes(MOAT_SID(0xf1, 0, 0))); /* an IOAPIC sends interrupts only */
	assert_false(passes(TENANT));
	destroy();
}

static void an_acpi_device_behind_a_missing_bridge_is_a_refusal_with_its_name(void **state)
{
	struct table t;

	begin(&t);
	drhd(&t, 1, 0, BASE);
	scope(&t, MOAT_DMAR_ACPI, 7, 0, 2, 0x15, 0, 5, 2);
	structure(&t, 4); /* ANDD */
	put(&t, 0, 3);
	put(&t, 7, 1);
	put(&t, 0x41424344, 4);
	put(&t, 0, 1);
	close_structure(&t);
	finish(&t);
	write_dmar(&t);
	assert_int_equal(own(false), -ENODEV);
	assert_non_null(strstr(moat_error_text(), "ACPI device 7 DCBA"));
}

/* ------------------------------------------------------------------------------------ tenants */

static int admit(moat_sid_t sid)
{
	return unit.conf.scope.admit(unit.conf.scope.ctx, sid);
}

static int isolated(moat_sid_t a, moat_sid_t b)
{
	return unit.conf.scope.isolated(unit.conf.scope.ctx, a, b);
}

static void peers_below_a_port_without_acs_are_not_isolated(void **state)
{
	assert_int_equal(own(false), 0);
	assert_int_equal(admit(TENANT), 0);
	assert_int_equal(admit(behind[1]), 0);
	assert_int_equal(isolated(TENANT, behind[1]), -EPERM);
	assert_non_null(strstr(moat_error_text(), "bridge 0000:00:1c.0"));
	destroy();
}

static void acs_is_switched_on_for_tenants_and_restored_in_the_end(void **state)
{
	acs(port, 0x5f, 0x01);
	acs(nic, 0x1d, 0x02); /* it does not belong to a tenant */
	assert_int_equal(own(false), 0);
	assert_int_equal(acs_control(port), 0x01); /* not before a tenant's function is attached */
	assert_int_equal(admit(TENANT), 0);
	assert_int_equal(acs_control(port), 0x1d);
	assert_int_equal(acs_control(nic), 0x02);
	assert_int_equal(admit(behind[1]), 0);
	assert_int_equal(isolated(TENANT, behind[1]), 0);
	destroy();
	assert_int_equal(acs_control(port), 0x01);
}

static void a_register_that_another_program_has_changed_since_is_left_alone(void **state)
{
	acs(port, 0x1f, 0);
	assert_int_equal(own(false), 0);
	assert_int_equal(admit(TENANT), 0);
	acs(port, 0x1f, 0x1f);
	destroy();
	assert_int_equal(acs_control(port), 0x1f);
}

#define T(test) cmocka_unit_test_setup_teardown(test, machine, no_machine)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(taking_over_stops_the_processes_devices_behind_this_unit_and_no_others),
		T(without_taking_over_no_device_is_stopped),
		T(a_refusal_changes_nothing),
		T(a_device_that_cannot_be_stopped_is_a_refusal_and_the_others_go_on),
		T(an_error_half_way_lets_devices_go_on_unless_the_unit_is_off_by_then),
		T(interrupts_of_the_kernels_are_named_where_block_would_stop_them),
		T(behind_another_unit_the_kernels_interrupts_are_in_no_way),
		T(a_unit_that_cannot_remap_is_left_alone_unless_it_must_block),
		T(devices_that_only_acpi_names_pass_through_their_unit),
		T(an_acpi_device_behind_a_missing_bridge_is_a_refusal_with_its_name),
		T(peers_below_a_port_without_acs_are_not_isolated),
		T(acs_is_switched_on_for_tenants_and_restored_in_the_end),
		T(a_register_that_another_program_has_changed_since_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
