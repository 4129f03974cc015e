/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* moat's VT-d driver on a unit, the software unit or QEMU's (rig.h): which DMA passes, which is
 * refused, and how a refusal is reported. Two devices, red and blue, do one DMA at a time. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "moat_domain.h"
#include "must.h"
#include "rig.h"

#define HOME       UINT64_C(0x40000000)  /* an IOVA in each domain */
#define PORT       (HOME + MOAT_2M_SIZE) /* at which a device's buffer is read back */
#define PATTERN(n) (0x5a000000u + (n)*0x01010101u)
#define WORDS      (MOAT_PAGE_SIZE / sizeof(uint32_t))

/** A device in a domain of its own. Its own memory is read back through a page at PORT. If the unit
 * nests, the domain has a parent, in which memory is at its physical address. */
struct party {
	unsigned int device;
	struct moat_domain *domain;
	struct moat_lane *lane;
	struct moat_domain *parent;
	struct moat_lane *parent_lane;
	uint32_t *port;
};

static struct moat_vtd_conf conf;
static struct moat_unit *unit;
static struct party red = { .device = 0 }, blue = { .device = 1 };

/* -------------------------------------------------------------------------------- helpers */

/** Get memory that is filled with pattern `n`. */
static uint32_t *memory_new(uint32_t n)
{
	uint64_t hpa;
	uint32_t *memory = rig_memory(&hpa);

	for (uint64_t i = 0; i < MOAT_2M_SIZE / sizeof(*memory); i++)
		memory[i] = PATTERN(n);
	return memory;
}

static uint32_t gsts(void)
{
	return vtd_read32(&conf.window, VTD_GSTS);
}

/** Works also before the unit exists. */
static int unit_hpa(const void *va, uint64_t *hpa)
{
	*hpa = (uintptr_t)va;
	return conf.hpa != NULL ? conf.hpa(conf.ctx, va, 1, hpa) : 0;
}

static uint64_t hpa_of(const void *va)
{
	uint64_t hpa;

	must(unit_hpa(va, &hpa));
	return hpa;
}

static bool is_all(const uint32_t *memory, uint64_t len, uint32_t n)
{
	for (uint64_t i = 0; i < len / sizeof(*memory); i++)
		if (memory[i] != PATTERN(n))
			return false;
	return true;
}

/** Map memory in the party's parent, if it has one. Pages that an earlier test mapped stay
 * mapped. */
static void parent_map(struct party *p, char *va, uint64_t len)
{
	for (uint64_t off = 0; p->parent != NULL && off < len; off += MOAT_PAGE_SIZE) {
		uint64_t hpa = hpa_of(va + off);
		int rc = moat_lane_map(p->parent_lane, hpa, hpa, va + off, MOAT_PAGE_SIZE, MOAT_RW);

		if (rc != -EEXIST)
			must(rc);
	}
}

static void map(struct party *p, uint64_t iova, void *va, uint64_t len, enum moat_prot prot)
{
	parent_map(p, va, len);
	must(moat_lane_map(p->lane, iova, hpa_of(va), va, len, prot));
}

static void unmap(struct party *p, uint64_t iova, uint64_t len)
{
	must(moat_lane_unmap(p->lane, iova, len));
	must(moat_lane_drain(p->lane));
}

/** Fill the device's own memory with a pattern. */
static void load(struct party *p, uint32_t n)
{
	for (unsigned int i = 0; i < WORDS; i++)
		p->port[i] = PATTERN(n);
	rig_read(p->device, PORT, MOAT_PAGE_SIZE);
}

/** @return whether the device's own memory holds the pattern */
static bool has(struct party *p, uint32_t n)
{
	memset(p->port, 0, MOAT_PAGE_SIZE);
	rig_write(p->device, PORT, MOAT_PAGE_SIZE);
	return is_all(p->port, MOAT_PAGE_SIZE, n);
}

static void expect_no_fault(void)
{
	struct moat_fault fault;

	if (unit->ops->faults(unit, &fault, 1) != 0)
		fail_msg("fault: " MOAT_SID_FMT " iova 0x%lx: %s", MOAT_SID_ARGS(fault.sid),
			(unsigned long)fault.iova, fault.reason_text);
}

/** @return whether `reason` is legacy mode's reason, or one of those into which scalable mode
 * divides it: by the absent entry, by whether the page or a permission is missing, and by the
 * stage, which is known here */
static bool is_reason(uint8_t reason, uint8_t legacy)
{
	bool first = unit->caps.format == MOAT_PT_FIRST_STAGE || red.parent != NULL;
	uint8_t absent = first ? VTD_FR_FS_P : VTD_FR_SS_P;

	if (conf.mode == MOAT_VTD_LEGACY)
		return reason == legacy;
	switch (legacy) {
	case VTD_FR_CONTEXT_P:
		return reason == VTD_FR_SM_ROOT_P || reason == VTD_FR_SM_CONTEXT_P;
	case VTD_FR_WRITE:
		return reason == VTD_FR_SM_WRITE || reason == absent;
	case VTD_FR_READ:
		return reason == VTD_FR_SM_READ || reason == absent;
	case VTD_FR_BEYOND_AW:
		return reason == (first ? VTD_FR_SM_CANONICAL : VTD_FR_SM_BEYOND_AW);
	default:
		return false;
	}
}

/** @return whether the reason is as specified. On a unit with `legacy_reasons` it may be legacy
 * mode's; then that is printed, for doc/specification.md. */
static void expect_reason(uint8_t reason, uint8_t legacy)
{
	static const struct {
		uint8_t legacy, does;
		const char *what;
	} known[] = {
		{ VTD_FR_CONTEXT_P, VTD_FR_ROOT_P,
			"no function of the bus in a domain: 0x1, specified 0x39" },
		{ VTD_FR_CONTEXT_P, VTD_FR_CONTEXT_P,
			"a function in no domain: 0x2, specified 0x41" },
		{ VTD_FR_BEYOND_AW, VTD_FR_BEYOND_AW,
			"an IOVA beyond the width: 0x4, specified 0x84" },
		{ VTD_FR_WRITE, VTD_FR_WRITE, "a write refused: 0x5, specified 0x79 or 0x85" },
		{ VTD_FR_READ, VTD_FR_READ, "a read refused: 0x6, specified 0x79 or 0x86" },
	};
	unsigned int i = 0;

	if (is_reason(reason, legacy))
		return;
	while (i < RTE_DIM(known) && (known[i].legacy != legacy || known[i].does != reason))
		i++;
	if (!rig_traits.legacy_reasons || conf.mode == MOAT_VTD_LEGACY || i == RTE_DIM(known))
		fail_msg("reason 0x%x, and not what is 0x%x in legacy mode", reason, legacy);
	print_message(
		"# %s deviates: driver in scalable mode, %s (the specification: \"Fault Reason "
		"Encodings\", scalable mode has reasons of its own)\n",
		rig_traits.unit, known[i].what);
}

/** Assert that the oldest fault is this one. Later faults of the same DMA are dropped. */
static void expect_fault(const struct party *p, uint64_t iova, uint8_t reason, bool write)
{
	struct moat_fault fault;

	assert_int_equal(unit->ops->faults(unit, &fault, 1), 1);
	print_message("# " MOAT_SID_FMT " %s 0x%lx: fault 0x%x, %s\n", MOAT_SID_ARGS(fault.sid),
		fault.write ? "wrote" : "read", (unsigned long)fault.iova, fault.reason,
		fault.reason_text);
	assert_int_equal(fault.sid, rig_sid(p->device));
	expect_reason(fault.reason, reason);
	assert_int_equal(fault.iova, iova & ~MOAT_PAGE_MASK);
	assert_int_equal(fault.write, write);
	while (unit->ops->faults(unit, &fault, 1) != 0)
		assert_int_equal(fault.sid, rig_sid(p->device));
}

/** Assert that a write is refused: `memory` (pattern 1) is unchanged. */
static void expect_write_refused(struct party *p, uint64_t iova, uint8_t reason, uint32_t *memory)
{
	load(p, 9);
	rig_write(p->device, iova, MOAT_PAGE_SIZE);
	expect_fault(p, iova, reason, true);
	assert_true(is_all(memory, MOAT_2M_SIZE, 1));
}

/** Assert that a read is refused: it must not return the `memory` (pattern 1) behind the IOVA. */
static void expect_read_refused(struct party *p, uint64_t iova, uint8_t reason)
{
	load(p, 9);
	rig_read(p->device, iova, MOAT_PAGE_SIZE);
	expect_fault(p, iova, reason, false);
	assert_false(has(p, 1));
}

/* ---------------------------------------------------------------------------------- tests */

static void a_device_reads_and_writes_what_is_mapped_for_it(void **state)
{
	uint32_t *memory = memory_new(1);

	map(&red, HOME, memory, 2 * MOAT_PAGE_SIZE, MOAT_RW);
	rig_read(red.device, HOME, MOAT_PAGE_SIZE);
	assert_true(has(&red, 1));
	load(&red, 2);
	rig_write(red.device, HOME + MOAT_PAGE_SIZE, MOAT_PAGE_SIZE);
	assert_true(is_all(memory, MOAT_PAGE_SIZE, 1));
	assert_true(is_all(memory + WORDS, MOAT_PAGE_SIZE, 2));
	assert_true(is_all(memory + 2 * WORDS, MOAT_2M_SIZE - 2 * MOAT_PAGE_SIZE, 1));
	expect_no_fault();
	unmap(&red, HOME, 2 * MOAT_PAGE_SIZE);
	rig_memory_free(memory);
}

static void the_same_iova_in_two_domains_is_two_memories(void **state)
{
	uint32_t *reds = memory_new(1), *blues = memory_new(2);

	map(&red, HOME, reds, MOAT_PAGE_SIZE, MOAT_RW);
	map(&blue, HOME, blues, MOAT_PAGE_SIZE, MOAT_RW);
	rig_read(red.device, HOME, MOAT_PAGE_SIZE);
	rig_read(blue.device, HOME, MOAT_PAGE_SIZE);
	assert_true(has(&red, 1));
	assert_true(has(&blue, 2));
	load(&red, 3);
	rig_write(red.device, HOME, MOAT_PAGE_SIZE);
	assert_true(is_all(reds, MOAT_PAGE_SIZE, 3));
	assert_true(is_all(blues, MOAT_2M_SIZE, 2));
	expect_no_fault();
	unmap(&red, HOME, MOAT_PAGE_SIZE);
	unmap(&blue, HOME, MOAT_PAGE_SIZE);
	rig_memory_free(reds);
	rig_memory_free(blues);
}

static void a_neighbours_iova_and_a_physical_address_are_refused(void **state)
{
	uint32_t *blues = memory_new(1);
	uint64_t elsewhere = HOME + 16 * MOAT_2M_SIZE;
	uint64_t hpa = hpa_of(blues);
	bool in_width = hpa < red.domain->pt->limit; /* software HPAs may be beyond it */

	map(&blue, elsewhere, blues, MOAT_2M_SIZE, MOAT_RW);
	expect_write_refused(&red, elsewhere, VTD_FR_WRITE, blues);
	expect_read_refused(&red, elsewhere, VTD_FR_READ);
	expect_write_refused(&red, hpa, in_width ? VTD_FR_WRITE : VTD_FR_BEYOND_AW, blues);
	expect_read_refused(&red, hpa, in_width ? VTD_FR_READ : VTD_FR_BEYOND_AW);
	rig_read(blue.device, elsewhere, MOAT_PAGE_SIZE);
	assert_true(has(&blue, 1));
	expect_no_fault();
	unmap(&blue, elsewhere, MOAT_2M_SIZE);
	rig_memory_free(blues);
}

static void a_page_gives_what_it_is_mapped_for_and_no_more(void **state)
{
	uint32_t *memory = memory_new(1);
	uint64_t write_only = HOME + MOAT_PAGE_SIZE;
	/* a zero-length read would fault otherwise; and first stage has no write-only pages */
	bool readable = unit->caps.no_zlr || red.parent != NULL;

	map(&red, HOME, memory, MOAT_PAGE_SIZE, MOAT_R);
	map(&red, write_only, memory + WORDS, MOAT_PAGE_SIZE, MOAT_W);
	expect_write_refused(&red, HOME, VTD_FR_WRITE, memory);
	if (!readable)
		expect_read_refused(&red, write_only, VTD_FR_READ);
	rig_read(red.device, HOME, MOAT_PAGE_SIZE);
	assert_true(has(&red, 1));
	load(&red, 2);
	rig_write(red.device, write_only, MOAT_PAGE_SIZE);
	assert_true(is_all(memory + WORDS, MOAT_PAGE_SIZE, 2));
	expect_no_fault();
	/* Again, with both pages in the IOTLB. */
	rig_write(red.device, HOME, MOAT_PAGE_SIZE);
	assert_true(is_all(memory, MOAT_PAGE_SIZE, 1));
	if (rig_traits.cached_refusal_faults)
		expect_fault(&red, HOME, VTD_FR_WRITE, true);
	load(&red, 9);
	rig_read(red.device, write_only, MOAT_PAGE_SIZE);
	if (!readable && rig_traits.cached_refusal_faults)
		expect_fault(&red, write_only, VTD_FR_READ, false);
	assert_int_equal(has(&red, 2), readable);
	unmap(&red, HOME, 2 * MOAT_PAGE_SIZE);
	rig_memory_free(memory);
}

static void a_superpage_is_reached_to_its_last_byte_and_gone_as_a_whole(void **state)
{
	uint32_t *memory = memory_new(1);
	uint64_t home = HOME - MOAT_2M_SIZE; /* an IOVA without tables so far */
	uint64_t last = home + MOAT_2M_SIZE - MOAT_PAGE_SIZE;
	struct moat_pt_leaf leaf;

	map(&red, home, memory, MOAT_2M_SIZE, MOAT_RW);
	must(moat_pt_walk(red.domain->pt, home, &leaf));
	assert_int_equal(leaf.size,
		unit->caps.leaf_sizes & MOAT_2M_SIZE ? MOAT_2M_SIZE : MOAT_PAGE_SIZE);
	rig_read(red.device, last, MOAT_PAGE_SIZE);
	assert_true(has(&red, 1));
	rig_read(red.device, home, MOAT_PAGE_SIZE);
	assert_true(has(&red, 1));
	expect_no_fault();
	unmap(&red, home, MOAT_2M_SIZE);
	expect_write_refused(&red, home, VTD_FR_WRITE, memory);
	expect_write_refused(&red, last, VTD_FR_WRITE, memory);
	rig_memory_free(memory);
}

static void an_unmapped_page_is_out_of_reach_once_its_ticket_is_done(void **state)
{
	uint32_t *memory = memory_new(1);

	map(&red, HOME, memory, MOAT_PAGE_SIZE, MOAT_RW);
	rig_read(red.device, HOME, MOAT_PAGE_SIZE);
	assert_true(has(&red, 1));
	/* The entry is cleared but not invalidated, and QEMU's unit still has it in its IOTLB. This
	 * must be so, or the test proves nothing. */
	must(moat_lane_unmap(red.lane, HOME, MOAT_PAGE_SIZE));
	load(&red, 2);
	rig_write(red.device, HOME, MOAT_PAGE_SIZE);
	assert_true(is_all(memory, MOAT_PAGE_SIZE, 2));
	expect_no_fault();
	for (unsigned int i = 0; i < WORDS; i++)
		memory[i] = PATTERN(1);
	must(moat_lane_drain(red.lane));
	expect_write_refused(&red, HOME, VTD_FR_WRITE, memory);
	expect_read_refused(&red, HOME, VTD_FR_READ);
	rig_memory_free(memory);
}

static void a_page_mapped_again_elsewhere_is_found_there(void **state)
{
	uint32_t *memory = memory_new(1);

	for (unsigned int i = 0; i < 4; i++) {
		uint32_t *page = memory + i * 7 * WORDS;

		map(&red, HOME, page, MOAT_PAGE_SIZE, MOAT_RW);
		load(&red, 3 + i);
		rig_write(red.device, HOME, MOAT_PAGE_SIZE);
		assert_true(is_all(page, MOAT_PAGE_SIZE, 3 + i));
		unmap(&red, HOME, MOAT_PAGE_SIZE);
	}
	expect_no_fault();
	rig_memory_free(memory);
}

static void an_iova_beyond_the_width_is_refused(void **state)
{
	uint32_t *memory = memory_new(1);
	uint64_t beyond = red.domain->pt->limit;

	if (beyond == UINT64_C(1) << 57)
		skip();
	parent_map(&red, (char *)memory, MOAT_PAGE_SIZE);
	assert_int_equal(
		moat_lane_map(red.lane, beyond, hpa_of(memory), memory, MOAT_PAGE_SIZE, MOAT_RW),
		-ERANGE);
	expect_write_refused(&red, beyond, VTD_FR_BEYOND_AW, memory);
	rig_memory_free(memory);
}

static void a_detached_device_reaches_nothing_and_attached_again_all(void **state)
{
	uint32_t *memory = memory_new(1);

	map(&red, HOME, memory, MOAT_PAGE_SIZE, MOAT_RW);
	load(&red, 2);
	must(moat_domain_detach(red.domain, rig_sid(red.device)));
	rig_write(red.device, HOME, MOAT_PAGE_SIZE);
	expect_fault(&red, HOME, VTD_FR_CONTEXT_P, true);
	rig_write(red.device, hpa_of(memory), MOAT_PAGE_SIZE);
	expect_fault(&red, hpa_of(memory), VTD_FR_CONTEXT_P, true);
	assert_true(is_all(memory, MOAT_2M_SIZE, 1));
	must(moat_domain_attach(red.domain, rig_sid(red.device)));
	load(&red, 3);
	rig_write(red.device, HOME, MOAT_PAGE_SIZE);
	assert_true(is_all(memory, MOAT_PAGE_SIZE, 3));
	expect_no_fault();
	unmap(&red, HOME, MOAT_PAGE_SIZE);
	rig_memory_free(memory);
}

static void a_device_that_moves_sees_only_its_new_domain(void **state)
{
	uint32_t *reds = memory_new(1), *blues = memory_new(2);

	map(&red, HOME, reds, MOAT_PAGE_SIZE, MOAT_RW);
	map(&blue, HOME, blues, MOAT_PAGE_SIZE, MOAT_R);
	rig_read(red.device, HOME, MOAT_PAGE_SIZE);
	must(moat_domain_detach(red.domain, rig_sid(red.device)));
	must(moat_domain_attach(blue.domain, rig_sid(red.device)));
	memset(red.port, 0, MOAT_PAGE_SIZE);
	memset(blue.port, 0, MOAT_PAGE_SIZE);
	rig_read(red.device, HOME, MOAT_PAGE_SIZE);
	rig_write(red.device, PORT, MOAT_PAGE_SIZE); /* PORT now belongs to blue's page */
	assert_true(is_all(blue.port, MOAT_PAGE_SIZE, 2));
	for (unsigned int i = 0; i < WORDS; i++)
		assert_int_equal(red.port[i], 0);
	must(moat_domain_detach(blue.domain, rig_sid(red.device)));
	must(moat_domain_attach(red.domain, rig_sid(red.device)));
	expect_no_fault();
	unmap(&red, HOME, MOAT_PAGE_SIZE);
	unmap(&blue, HOME, MOAT_PAGE_SIZE);
	rig_memory_free(reds);
	rig_memory_free(blues);
}

static void a_unit_in_use_is_refused_and_one_left_by_the_killed_is_taken_over(void **state)
{
	struct moat_vtd_conf second = conf;
	struct moat_unit *other;

	assert_int_equal(moat_vtd_create(&second, &other), -EBUSY);
	unit->ops->destroy(unit);
	assert_false(gsts() & (VTD_GSTS_TES | VTD_GSTS_QIES));
	must(rig_abandon(&conf));
	assert_true(gsts() & VTD_GSTS_TES);
	assert_int_equal(moat_vtd_create(&second, &unit), -EBUSY);
	second.take_over = true;
	must(moat_vtd_create(&second, &unit));
}

/* ------------------------------------------------------------------------------ the group */

static void party_arrive(struct party *p, const char *name)
{
	struct moat_domain_conf guest = { .name = "guest", .nest_parent = true };

	if (unit->caps.nested.sagaw != 0) {
		must(moat_domain_create(unit, &guest, &p->parent));
		p->parent_lane = moat_lane_open(p->parent);
		assert_non_null(p->parent_lane);
	}
	must(moat_domain_create(unit,
		&(struct moat_domain_conf){ .name = name,
			.leaf_sizes = UINT64_MAX,
			.parent = p->parent },
		&p->domain));
	p->lane = moat_lane_open(p->domain);
	assert_non_null(p->lane);
	p->port = memory_new(0);
	map(p, PORT, p->port, MOAT_PAGE_SIZE, MOAT_RW);
}

static void party_leave(struct party *p)
{
	must(moat_lane_close(p->lane));
	must(moat_domain_destroy(p->domain));
	if (p->parent != NULL) {
		must(moat_lane_close(p->parent_lane));
		must(moat_domain_destroy(p->parent));
	}
	rig_memory_free(p->port);
}

/** The unit's register shows that the driver runs the mode that it was asked for. */
static void scalable_mode_is_used_where_the_unit_has_it(void **state)
{
	uint64_t ttm = VTD_FIELD(vtd_read64(&conf.window, VTD_RTADDR), VTD_RTADDR_TTM);
	struct moat_vtd_caps caps;

	assert_int_equal(ttm, conf.mode == MOAT_VTD_SCALABLE ? VTD_TTM_SCALABLE : VTD_TTM_LEGACY);
	must(moat_vtd_caps_read(&conf.window, &caps));
	if (!caps.smts) {
		print_message("# lacks: scalable mode: ECAP.SMTS is clear\n");
	} else if (ttm == VTD_TTM_LEGACY) {
		print_message("skip: the driver runs in legacy mode (RTADDR.TTM is 0)\n");
		skip();
	}
}

/** Before the first attach translation is on, and a device in no domain reaches nothing. */
static void an_unattached_device_reaches_nothing(void **state)
{
	uint32_t *memory = memory_new(1);

	rig_write(red.device, hpa_of(memory), MOAT_PAGE_SIZE);
	expect_fault(&red, hpa_of(memory), VTD_FR_CONTEXT_P, true);
	rig_read(red.device, hpa_of(memory), MOAT_PAGE_SIZE);
	expect_fault(&red, hpa_of(memory), VTD_FR_CONTEXT_P, false);
	assert_true(is_all(memory, MOAT_2M_SIZE, 1));
	rig_memory_free(memory);
}

static void before_translation_a_device_reaches_everything(void **state)
{
	uint32_t *memory = memory_new(1);

	rig_read(red.device, hpa_of(memory), MOAT_PAGE_SIZE);
	rig_write(red.device, hpa_of(memory) + MOAT_PAGE_SIZE * 3, 64);
	rig_read(red.device, hpa_of(memory), 64);
	assert_true(is_all(memory, MOAT_2M_SIZE, 1));
	memory[0] = 7;
	rig_read(red.device, hpa_of(memory), 64);
	rig_write(red.device, hpa_of(memory) + MOAT_PAGE_SIZE, 64);
	assert_int_equal(memory[WORDS], 7);
	rig_memory_free(memory);
}

static void the_unit_comes_up_with_the_kernels_devices_passed_through(void **state)
{
	char text[4096];
	must(moat_vtd_create(&conf, &unit));
	assert_true(gsts() & VTD_GSTS_TES);
	moat_vtd_caps_text(moat_vtd_unit_caps(unit), text, sizeof(text));
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
		print_message("# %s\n", line);
}

static void devices_are_attached(void **state)
{
	party_arrive(&red, "red");
	party_arrive(&blue, "blue");
	must(moat_domain_attach(red.domain, rig_sid(red.device)));
	must(moat_domain_attach(blue.domain, rig_sid(blue.device)));
	assert_int_equal(moat_domain_attach(blue.domain, rig_sid(red.device)), -EBUSY);
}

static void domains_are_destroyed_and_their_devices_reach_nothing(void **state)
{
	uint32_t *memory = memory_new(1);

	party_leave(&red);
	party_leave(&blue);
	rig_write(red.device, HOME, MOAT_PAGE_SIZE);
	expect_fault(&red, HOME, VTD_FR_CONTEXT_P, true);
	rig_write(blue.device, hpa_of(memory), MOAT_PAGE_SIZE);
	expect_fault(&blue, hpa_of(memory), VTD_FR_CONTEXT_P, true);
	assert_true(is_all(memory, MOAT_2M_SIZE, 1));
	rig_memory_free(memory);
}

static void after_take_down_the_unit_is_as_it_was_found(void **state)
{
	unit->ops->destroy(unit);
	assert_int_equal(gsts() & (VTD_GSTS_TES | VTD_GSTS_QIES | VTD_GSTS_IRES), 0);
	before_translation_a_device_reaches_everything(state);
}

int main(int argc, char **argv)
{
	/* The order matters: each test leaves the unit in the state that the next one needs. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_translation_a_device_reaches_everything),
		cmocka_unit_test(the_unit_comes_up_with_the_kernels_devices_passed_through),
		cmocka_unit_test(scalable_mode_is_used_where_the_unit_has_it),
		cmocka_unit_test(an_unattached_device_reaches_nothing),
		cmocka_unit_test(devices_are_attached),
		cmocka_unit_test(a_device_reads_and_writes_what_is_mapped_for_it),
		cmocka_unit_test(the_same_iova_in_two_domains_is_two_memories),
		cmocka_unit_test(a_neighbours_iova_and_a_physical_address_are_refused),
		cmocka_unit_test(a_page_gives_what_it_is_mapped_for_and_no_more),
		cmocka_unit_test(a_superpage_is_reached_to_its_last_byte_and_gone_as_a_whole),
		cmocka_unit_test(an_unmapped_page_is_out_of_reach_once_its_ticket_is_done),
		cmocka_unit_test(a_page_mapped_again_elsewhere_is_found_there),
		cmocka_unit_test(an_iova_beyond_the_width_is_refused),
		cmocka_unit_test(a_detached_device_reaches_nothing_and_attached_again_all),
		cmocka_unit_test(a_device_that_moves_sees_only_its_new_domain),
		cmocka_unit_test(domains_are_destroyed_and_their_devices_reach_nothing),
		cmocka_unit_test(a_unit_in_use_is_refused_and_one_left_by_the_killed_is_taken_over),
		cmocka_unit_test(after_take_down_the_unit_is_as_it_was_found),
	};

	int failed;

	rig_open(argc > 1 ? argv[1] : NULL);
	rig_conf(&conf);
	failed = cmocka_run_group_tests_name(rig_traits.name, tests, NULL, NULL);
	rig_close();
	return failed;
}
