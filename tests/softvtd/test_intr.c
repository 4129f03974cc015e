/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Interrupt remapping of the software unit, with a table that the test makes.
 */
#include "moat_softvtd_intr.h"
#include "rig.h"

#define SID     0x0310
#define OTHER   0x0311
#define ENTRIES 256 /* S = 7 */

#define SIRTP (1u << 24)
#define IRE   (1u << 25)
#define CFI   (1u << 23)

static struct rig rig;
static uint64_t *irt; /* two words an entry */
static struct moat_softvtd_interrupt last;
static unsigned int delivered;

static void sink(void *ctx, const struct moat_softvtd_interrupt *interrupt)
{
	(void)ctx;
	last = *interrupt;
	delivered++;
}

/* Bring the unit up, with a table set in the specification's order, and remapping on. */
static void up(const struct moat_softvtd_conf *conf, uint64_t eime)
{
	rig_up(&rig, conf);
	irt = rig_page(&rig);
	delivered = 0;
	moat_softvtd_interrupt_sink(rig.sv, sink, NULL);
	moat_softvtd_write64(rig.sv, 0xb8, rig_hpa(irt) | eime | 7);
	rig_command(&rig, SIRTP, true);
	rig_do(&rig, 4, 0);
	rig_command(&rig, IRE, true);
}

static struct moat_softvtd_conf conf_ir(void)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.ir = conf.eim = conf.pi = true;
	return conf;
}

static int setup(void **state)
{
	struct moat_softvtd_conf conf = conf_ir();

	(void)state;
	up(&conf, 1 << 11);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_down(&rig);
	return 0;
}

/* Write a present entry for SID alone: fixed delivery of `vector` to APIC `dest` */
static void entry_set(unsigned int index, uint8_t vector, uint32_t dest)
{
	rig_store(&irt[2 * index + 1], SID | 1 << 18);
	rig_store(&irt[2 * index], (uint64_t)dest << 32 | (uint64_t)vector << 16 | 1);
}

static int ask(uint16_t sid, unsigned int index)
{
	return moat_softvtd_interrupt(rig.sv, sid,
		0xfee00010 | (index & 0x7fff) << 5 | (index >> 15) << 2, 0);
}

static struct moat_softvtd_intr_stats stats(void)
{
	struct moat_softvtd_intr_stats s;

	moat_softvtd_intr_stats(rig.sv, &s);
	return s;
}

/* Read the oldest fault record, and clear it. */
static void fault_is(uint16_t sid, uint8_t reason, uint16_t index)
{
	uint32_t fri = moat_softvtd_read32(rig.sv, 0x34) >> 8 & 0xff, at = 0x600 + 16 * fri;
	uint64_t hi = moat_softvtd_read64(rig.sv, at + 8);

	assert_true(hi >> 63);
	assert_int_equal(hi & 0xffff, sid);
	assert_int_equal(hi >> 32 & 0xff, reason);
	assert_false(hi >> 62 & 1); /* a write */
	assert_int_equal(moat_softvtd_read64(rig.sv, at) >> 12, (uint64_t)index << 36);
	moat_softvtd_write32(rig.sv, at + 12, 1u << 31);
}

static void an_entry_says_vector_and_destination_of_its_source(void **state)
{
	uint32_t data = 0;

	(void)state;
	entry_set(5, 0x42, 0x12345678);
	assert_int_equal(ask(SID, 5), 0);
	assert_int_equal(delivered, 1);
	assert_true(last.remapped);
	assert_int_equal(last.vector, 0x42);
	assert_int_equal(last.destination, 0x12345678);
	assert_int_equal(last.index, 5);
	assert_int_equal(last.sid, SID);
	assert_int_equal(last.delivery, 0);
	assert_false(last.logical || last.level || last.notification);
	/* a DMA write of four bytes is a request, too; one of eight is not */
	assert_int_equal(moat_softvtd_dma_write(rig.sv, SID, 0xfee000b0, &data, 4), 0);
	assert_int_equal(delivered, 2);
	assert_int_equal(rig_write(&rig, SID, 0xfee000b0, 0), MOAT_SOFTVTD_NO_MEMORY);
	assert_int_equal(delivered, 2);
	/* DM, TM, DLM: a level-triggered NMI to a logical destination */
	rig_store(&irt[2 * 6 + 1], SID | 1 << 18);
	rig_store(&irt[2 * 6], 4 << 5 | 1 << 4 | 1 << 2 | 1);
	assert_int_equal(ask(SID, 6), 0);
	assert_int_equal(last.delivery, 4);
	assert_true(last.logical && last.level);
	rig_no_misuse(&rig);
}

static void the_subhandle_adds_to_the_handle(void **state)
{
	(void)state;
	entry_set(9, 0x99, 1);
	assert_int_equal(moat_softvtd_interrupt(rig.sv, SID, 0xfee00018 | 5 << 5, 4), 0);
	assert_int_equal(last.vector, 0x99);
	assert_int_equal(moat_softvtd_interrupt(rig.sv, SID, 0xfee00018 | 5 << 5, 1 << 16 | 4),
		0x20);
	fault_is(SID, 0x20, 0);
	/* without SHV the data is ignored */
	assert_int_equal(moat_softvtd_interrupt(rig.sv, SID, 0xfee00010 | 9 << 5, 0xffff0004), 0);
}

static void an_index_beyond_the_table_is_refused(void **state)
{
	(void)state;
	assert_int_equal(ask(SID, ENTRIES), 0x21);
	fault_is(SID, 0x21, ENTRIES);
	assert_int_equal(ask(SID, 0x8001), 0x21);
	fault_is(SID, 0x21, 0x8001);
	assert_int_equal(moat_softvtd_interrupt(rig.sv, SID, 0xfee00018 | 255 << 5, 1), 0x21);
	fault_is(SID, 0x21, ENTRIES);
	assert_int_equal(delivered, 0);
	assert_int_equal(stats().blocked, 3);
}

static void an_absent_entry_is_refused_and_not_remembered(void **state)
{
	(void)state;
	assert_int_equal(ask(SID, 7), 0x22);
	fault_is(SID, 0x22, 7);
	entry_set(7, 0x77, 0);
	assert_int_equal(ask(SID, 7), 0);
	rig_store(&irt[2 * 8], 1 << 1); /* FPD: not recorded */
	assert_int_equal(ask(SID, 8), 0x22);
	assert_int_equal(moat_softvtd_read32(rig.sv, 0x34) & 2, 0);
}

static void a_table_out_of_reach_is_a_fault(void **state)
{
	struct moat_softvtd_conf conf = conf_ir();

	(void)state;
	rig_down(&rig);
	conf.memory_size = RIG_ARENA;
	up(&conf, 0);
	moat_softvtd_write64(rig.sv, 0xb8, (rig_hpa(irt) + RIG_ARENA) | 7);
	rig_command(&rig, SIRTP, true);
	rig_do(&rig, 4, 0);
	assert_int_equal(ask(SID, 3), 0x23);
	fault_is(SID, 0x23, 3);
}

static void reserved_bits_of_an_entry_are_refused(void **state)
{
	static const struct {
		uint64_t lo, hi;
	} wrong[] = {
		{ 1 << 12, 0 }, { UINT64_C(1) << 24, 0 }, { UINT64_C(1) << 31, 0 }, { 0, 1 << 20 },
		{ 0, UINT64_C(1) << 63 }, { 0, 3 << 18 },      /* SVT */
		{ 3 << 5, 0 },                                 /* DLM */
		{ 1 << 15 | 1 << 2, 0 }, { 1 << 15, 1 << 20 }, /* posted form */
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		rig_store(&irt[2 * i + 1], wrong[i].hi);
		rig_store(&irt[2 * i], wrong[i].lo | 1);
		assert_int_equal(ask(SID, i), 0x24);
		fault_is(SID, 0x24, i);
	}
	assert_int_equal(delivered, 0);
}

static void in_xapic_mode_the_destination_has_eight_bits(void **state)
{
	struct moat_softvtd_conf conf = conf_ir();

	(void)state;
	rig_down(&rig);
	conf.pi = false;
	up(&conf, 0);
	entry_set(1, 0x31, 0x1200);
	assert_int_equal(ask(SID, 1), 0);
	assert_int_equal(last.destination, 0x12);
	entry_set(2, 0x32, 0x12);
	assert_int_equal(ask(SID, 2), 0x24);
	/* without CAP.PI there is no posted form */
	rig_store(&irt[2 * 3], 1 << 15 | 1);
	assert_int_equal(ask(SID, 3), 0x24);
}

static void the_source_is_verified(void **state)
{
	(void)state;
	entry_set(1, 0x31, 0);
	assert_int_equal(ask(OTHER, 1), 0x26);
	fault_is(OTHER, 0x26, 1);
	/* the source is also checked for a cached entry */
	assert_int_equal(ask(SID, 1), 0);
	assert_int_equal(ask(OTHER, 1), 0x26);
	fault_is(OTHER, 0x26, 1);
	/* SQ 3: any function of the device */
	rig_store(&irt[2 * 2 + 1], SID | 3 << 16 | 1 << 18);
	rig_store(&irt[2 * 2], 1);
	assert_int_equal(ask(OTHER, 2), 0);
	assert_int_equal(ask(SID + 8, 2), 0x26);
	fault_is(SID + 8, 0x26, 2);
	/* SQ 1: bit 2 is ignored */
	rig_store(&irt[2 * 3 + 1], SID | 1 << 16 | 1 << 18);
	rig_store(&irt[2 * 3], 1);
	assert_int_equal(ask(SID + 4, 3), 0);
	assert_int_equal(ask(SID + 2, 3), 0x26);
	fault_is(SID + 2, 0x26, 3);
	/* SQ 2: bits 2:1 are ignored */
	rig_store(&irt[2 * 6 + 1], SID | 2 << 16 | 1 << 18);
	rig_store(&irt[2 * 6], 1);
	assert_int_equal(ask(SID + 6, 6), 0);
	assert_int_equal(ask(SID + 1, 6), 0x26);
	fault_is(SID + 1, 0x26, 6);
	/* buses 2 to 3 */
	rig_store(&irt[2 * 4 + 1], 0x0203 | 2 << 18);
	rig_store(&irt[2 * 4], 1);
	assert_int_equal(ask(0x02ff, 4), 0);
	assert_int_equal(ask(SID, 4), 0);
	assert_int_equal(ask(0x0400, 4), 0x26);
	assert_int_equal(ask(0x01ff, 4), 0x26);
	/* SVT 0: any source */
	rig_store(&irt[2 * 5 + 1], SID);
	rig_store(&irt[2 * 5], 1);
	assert_int_equal(ask(0x0400, 5), 0);
}

static void compatibility_format_passes_by_cfi_alone(void **state)
{
	struct moat_softvtd_conf conf = conf_ir();

	(void)state;
	/* EIME: blocked, whatever CFI says */
	assert_int_equal(moat_softvtd_interrupt(rig.sv, SID, 0xfee07000, 0x4055), 0x25);
	fault_is(SID, 0x25, 0);
	rig_command(&rig, CFI, true);
	assert_int_equal(moat_softvtd_interrupt(rig.sv, SID, 0xfee07000, 0x4055), 0x25);
	assert_int_equal(delivered, 0);
	rig_down(&rig);
	up(&conf, 0);
	assert_int_equal(moat_softvtd_interrupt(rig.sv, SID, 0xfee07000, 0x4055), 0x25);
	rig_command(&rig, CFI, true);
	assert_int_equal(moat_softvtd_interrupt(rig.sv, SID, 0xfee07004, 0x455), 0);
	assert_int_equal(delivered, 1);
	assert_false(last.remapped);
	assert_int_equal(last.vector, 0x55);
	assert_int_equal(last.delivery, 4); /* an NMI that any device could forge */
	assert_int_equal(last.destination, 7);
	assert_true(last.logical);
	rig_command(&rig, CFI, false);
	assert_int_equal(moat_softvtd_interrupt(rig.sv, SID, 0xfee07000, 0x4055), 0x25);
	assert_int_equal(stats().compatible, 1);
	rig_no_misuse(&rig);
}

static void without_remapping_whatever_is_asked_for_arrives(void **state)
{
	(void)state;
	rig_command(&rig, IRE, false);
	assert_int_equal(moat_softvtd_interrupt(rig.sv, SID, 0xfee01000, 0x66), 0);
	assert_int_equal(last.vector, 0x66);
	assert_int_equal(last.destination, 1);
	assert_int_equal(stats().unremapped, 1);
}

static void an_entry_is_kept_until_it_is_invalidated(void **state)
{
	(void)state;
	entry_set(6, 0x60, 0);
	entry_set(7, 0x70, 0);
	assert_int_equal(ask(SID, 6), 0);
	assert_int_equal(ask(SID, 7), 0);
	rig_store(&irt[2 * 6], 0);
	rig_store(&irt[2 * 7], 0);
	assert_int_equal(ask(SID, 6), 0);
	rig_do(&rig, 4 | 1 << 4 | UINT64_C(7) << 32, 0); /* index-selective: entry 7 only */
	assert_int_equal(ask(SID, 7), 0x22);
	assert_int_equal(ask(SID, 6), 0);
	entry_set(7, 0x70, 0);
	entry_set(8, 0x80, 0);
	assert_int_equal(ask(SID, 7), 0);
	assert_int_equal(ask(SID, 8), 0);
	rig_store(&irt[2 * 7], 0);
	rig_store(&irt[2 * 8], 0);
	rig_do(&rig, 4 | 1 << 4 | 1 << 27 | UINT64_C(6) << 32, 0); /* entries 6 and 7 */
	assert_int_equal(ask(SID, 6), 0x22);
	assert_int_equal(ask(SID, 7), 0x22);
	assert_int_equal(ask(SID, 8), 0);
	entry_set(6, 0x61, 0);
	assert_int_equal(ask(SID, 6), 0);
	rig_store(&irt[2 * 6], 0);
	rig_do(&rig, 4, 0); /* global */
	assert_int_equal(ask(SID, 6), 0x22);
}

static void a_new_table_counts_from_its_global_invalidation_on(void **state)
{
	uint64_t *next = rig_page(&rig);

	(void)state;
	entry_set(2, 0x20, 0);
	assert_int_equal(ask(SID, 2), 0);
	next[2 * 2 + 1] = SID | 1 << 18;
	next[2 * 2] = 0x21 << 16 | 1;
	next[2 * 3 + 1] = SID | 1 << 18;
	next[2 * 3] = 0x33 << 16 | 1;
	moat_softvtd_write64(rig.sv, 0xb8, rig_hpa(next) | 1 << 11 | 7);
	assert_int_equal(ask(SID, 3), 0x22); /* not before SIRTP */
	rig_command(&rig, SIRTP, true);
	assert_int_equal(ask(SID, 3), 0);
	assert_int_equal(ask(SID, 2), 0);
	assert_int_equal(last.vector, 0x20); /* from the cache */
	rig_do(&rig, 4, 0);
	assert_int_equal(ask(SID, 2), 0);
	assert_int_equal(last.vector, 0x21);
}

static void with_caching_mode_absence_is_remembered(void **state)
{
	struct moat_softvtd_conf conf = conf_ir();

	(void)state;
	rig_down(&rig);
	conf.cm = true;
	up(&conf, 0);
	assert_int_equal(ask(SID, 7), 0x22);
	entry_set(7, 0x77, 0);
	assert_int_equal(ask(SID, 7), 0x22);
	rig_do(&rig, 4 | 1 << 4 | UINT64_C(7) << 32, 0);
	assert_int_equal(ask(SID, 7), 0);
}

static void a_mask_beyond_mhmv_is_a_queue_error(void **state)
{
	(void)state;
	rig_do(&rig, 4 | 1 << 4 | UINT64_C(15) << 27, 0);
	assert_false(moat_softvtd_read32(rig.sv, 0x34) & 1 << 4);
	rig_queue(&rig, 4 | 1 << 4 | UINT64_C(16) << 27, 0);
	rig_doorbell(&rig);
	rig_turns(&rig, 100);
	assert_true(moat_softvtd_read32(rig.sv, 0x34) & 1 << 4);
}

/* The whole life of an entry, watched by the oracle. */
static void given_revoked_and_released(void)
{
	moat_softvtd_irte_given(rig.sv, 4, SID);
	entry_set(4, 0x44, 0);
	assert_int_equal(ask(SID, 4), 0);
	rig_store(&irt[2 * 4], 0);
	moat_softvtd_irte_revoked(rig.sv, 4, 77);
	assert_int_equal(ask(SID, 4), 0); /* cached: the driver has not invalidated it yet */
	assert_int_equal(stats().unreleased, 1);
	rig_do(&rig, 4 | 1 << 4 | UINT64_C(4) << 32, 0);
	moat_softvtd_irte_released(rig.sv, 4, 77);
}

static void an_honest_revocation_leaves_nothing_stale(void **state)
{
	(void)state;
	given_revoked_and_released();
	assert_int_equal(ask(SID, 4), 0x22);
	assert_int_equal(stats().stale_interrupts, 0);
}

static void a_stale_interrupt_is_pinned_on_its_revocation(void **state)
{
	struct moat_softvtd_stale_interrupt stale;

	(void)state;
	moat_softvtd_mutate(rig.sv, MOAT_SOFTVTD_DROP_INT_ENTRY, 1);
	given_revoked_and_released();
	assert_int_equal(ask(SID, 4), 0);
	assert_int_equal(stats().stale[MOAT_SOFTVTD_INTR_RELEASED], 1);
	assert_int_equal(moat_softvtd_stale_interrupts(rig.sv, &stale, 1), 1);
	assert_int_equal(stale.cause, 77);
	assert_int_equal(stale.index, 4);
	assert_int_equal(stale.sid, SID);
	assert_true(stale.cached);
	assert_string_equal(moat_softvtd_intr_why_name(stale.why), "released entry");
	/* Given to another source, which the old cached entry serves: the cause is still that
	 * revocation. */
	moat_softvtd_irte_given(rig.sv, 4, OTHER);
	assert_int_equal(ask(SID, 4), 0);
	assert_int_equal(moat_softvtd_stale_interrupts(rig.sv, &stale, 1), 1);
	assert_int_equal(stale.why, MOAT_SOFTVTD_INTR_FOREIGN);
	assert_int_equal(stale.cause, 77);
	entry_set(9, 0x44, 0); /* never given */
	assert_int_equal(ask(SID, 9), 0);
	assert_int_equal(stats().stale[MOAT_SOFTVTD_INTR_WILD], 1);
}

static uint32_t waiting; /* a wait descriptor that must not complete while the sink runs */

static void sink_that_revokes(void *ctx, const struct moat_softvtd_interrupt *interrupt)
{
	(void)ctx;
	(void)interrupt;
	rig_store(&irt[2 * 4], 0);
	rig_queue(&rig, 4 | 1 << 4 | UINT64_C(4) << 32, 0);
	waiting = rig_queue_wait(&rig);
	rig_doorbell(&rig);
	rig_turns(&rig, 100);
	assert_false(rig_done(&rig, waiting));
}

static void an_invalidation_waits_for_the_interrupt_under_way(void **state)
{
	(void)state;
	entry_set(4, 0x44, 0);
	moat_softvtd_interrupt_sink(rig.sv, sink_that_revokes, NULL);
	assert_int_equal(ask(SID, 4), 0);
	rig_wait(&rig, waiting);
	assert_int_equal(ask(SID, 4), 0x22);
}

static void entry_post(unsigned int index, uint8_t vector, const uint64_t *pi, uint64_t urgent)
{
	rig_store(&irt[2 * index + 1], (rig_hpa(pi) >> 32) << 32 | SID | 1 << 18);
	rig_store(&irt[2 * index],
		(rig_hpa(pi) & 0xffffffc0) << 32 | (uint64_t)vector << 16 | 1 << 15 | urgent | 1);
}

static void a_posted_vector_is_a_bit_and_notifies_once(void **state)
{
	uint64_t *pi = rig_page(&rig);

	(void)state;
	pi[4] = UINT64_C(3) << 32 | 0xf2 << 16;
	entry_post(1, 0x41, pi, 0);
	entry_post(2, 0xff, pi, 0);
	assert_int_equal(ask(SID, 1), 0);
	assert_int_equal(pi[1], 2);
	assert_int_equal(delivered, 1);
	assert_true(last.notification);
	assert_int_equal(last.vector, 0xf2);
	assert_int_equal(last.destination, 3);
	assert_true(pi[4] & 1); /* ON: no second notification */
	assert_int_equal(ask(SID, 2), 0);
	assert_int_equal(pi[3] >> 63, 1);
	assert_int_equal(delivered, 1);
	pi[4] = 2; /* SN: no notification at all, ... */
	assert_int_equal(ask(SID, 1), 0);
	assert_int_equal(delivered, 1);
	assert_int_equal(pi[4], 2);
	entry_post(3, 0x10, pi, 1 << 14); /* ... unless urgent */
	assert_int_equal(ask(SID, 3), 0);
	assert_int_equal(delivered, 2);
	assert_int_equal(pi[4], 3);
	assert_int_equal(stats().posted, 4);
	assert_int_equal(stats().notified, 2);
	assert_int_equal(ask(OTHER, 1), 0x26);
	fault_is(OTHER, 0x26, 1);
	pi[4] = 1 << 2;
	assert_int_equal(ask(SID, 1), 0x28);
	fault_is(SID, 0x28, 1);
}

static void a_posted_descriptor_out_of_reach_is_a_fault(void **state)
{
	struct moat_softvtd_conf conf = conf_ir();
	static uint64_t elsewhere[8] __attribute__((aligned(64)));

	(void)state;
	rig_down(&rig);
	conf.memory_size = RIG_ARENA;
	up(&conf, 0);
	entry_post(1, 0x41, elsewhere, 0);
	assert_int_equal(ask(SID, 1), 0x27);
	fault_is(SID, 0x27, 1);
	assert_int_equal(elsewhere[1], 0);
	assert_int_equal(stats().posted, 0);
}

static void prefetched_entries_are_kept_as_well(void **state)
{
	struct moat_softvtd_conf conf = conf_ir();

	(void)state;
	rig_down(&rig);
	conf.prefetch = 100;
	up(&conf, 0);
	for (unsigned int i = 4; i < 8; i++)
		entry_set(i, 0x40 + i, 0);
	assert_int_equal(ask(SID, 5), 0);
	rig_store(&irt[2 * 6], 0);
	assert_int_equal(ask(SID, 6), 0); /* not cached before */
	rig_do(&rig, 4 | 1 << 4 | UINT64_C(6) << 32, 0);
	assert_int_equal(ask(SID, 6), 0x22);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_entry_says_vector_and_destination_of_its_source),
		TEST(the_subhandle_adds_to_the_handle),
		TEST(an_index_beyond_the_table_is_refused),
		TEST(an_absent_entry_is_refused_and_not_remembered),
		TEST(a_table_out_of_reach_is_a_fault),
		TEST(reserved_bits_of_an_entry_are_refused),
		TEST(in_xapic_mode_the_destination_has_eight_bits),
		TEST(the_source_is_verified),
		TEST(compatibility_format_passes_by_cfi_alone),
		TEST(without_remapping_whatever_is_asked_for_arrives),
		TEST(an_entry_is_kept_until_it_is_invalidated),
		TEST(a_new_table_counts_from_its_global_invalidation_on),
		TEST(with_caching_mode_absence_is_remembered),
		TEST(a_mask_beyond_mhmv_is_a_queue_error),
		TEST(an_honest_revocation_leaves_nothing_stale),
		TEST(a_stale_interrupt_is_pinned_on_its_revocation),
		TEST(an_invalidation_waits_for_the_interrupt_under_way),
		TEST(a_posted_vector_is_a_bit_and_notifies_once),
		TEST(a_posted_descriptor_out_of_reach_is_a_fault),
		TEST(prefetched_entries_are_kept_as_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
