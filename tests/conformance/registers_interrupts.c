/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Interrupt remapping: which requests are delivered, which faults occur, and what the unit caches.
 *
 * In QEMU's guest the kernel's own devices use compatibility format. So that format passes while a
 * test runs, except during the test of that format. */

#include <stdio.h>
#include <time.h>

#include "moat_vtd_irte.h"
#include "registers.h"

#define ENTRIES 256 /* S = 7: one page */
#define VECTOR  RIG_VECTOR
#define OTHER   (VECTOR - 0x80) /* a tag that differs from the vector */

static uint64_t table; /* HPA */

static uint64_t *entry(unsigned int index)
{
	return (uint64_t *)raw_va(&raw, table) + 2 * index;
}

static void entry_set(unsigned int index, uint64_t lo, uint64_t hi)
{
	raw_store(&raw, entry(index) + 1, hi);
	raw_store(&raw, entry(index), lo);
}

/* @return a present entry: VECTOR at the first processor, for `sid` alone */
static uint64_t present(void)
{
	return VTD_IRTE_P | (uint64_t)VECTOR << VTD_IRTE_VECTOR_SHIFT;
}

static uint64_t of_source(moat_sid_t sid)
{
	return sid | (uint64_t)VTD_SVT_SID << VTD_IRTE_SVT_SHIFT;
}

static void entry_give(unsigned int index, moat_sid_t sid)
{
	entry_set(index, present(), of_source(sid));
}

static void forget_entries(void)
{
	const struct moat_qi_desc all = moat_qi_int_entry(true, 0, 0);

	assert_true(raw_sync(&raw, &all, 1));
}

static void table_set(uint64_t hpa, uint64_t eime)
{
	table = hpa;
	vtd_write64(&raw.w, VTD_IRTA, hpa | eime | 7);
	raw_command(&raw, VTD_GCMD_SIRTP, true);
}

/* Set or clear CFI. @return whether GSTS shows it */
static void cfi(bool on)
{
	uint32_t keep = vtd_read32(&raw.w, VTD_GSTS) & VTD_GSTS_KEEP & ~VTD_GCMD_CFI;
	unsigned int i = 0;
	uint32_t is;

	vtd_write32(&raw.w, VTD_GCMD, on ? keep | VTD_GCMD_CFI : keep);
	while (!!((is = vtd_read32(&raw.w, VTD_GSTS)) & VTD_GSTS_CFIS) != on && i++ < 1000)
		;
	conform("CFI in GSTS", !!(is & VTD_GSTS_CFIS), on);
}

/* Ends the test as skipped on a unit without interrupt remapping. */
static void remapping_on(void)
{
	if (!raw.caps.ir)
		unit_lacks("ECAP.IR is clear");
	table_set(raw_page(&raw), 0);
	forget_entries();
	cfi(true);
	raw_command(&raw, VTD_GCMD_IRE, true);
}

static void remapping_off(void)
{
	raw_command(&raw, VTD_GCMD_IRE, false);
	cfi(false);
}

/* @return the result of a request: a fault reason, ARRIVED, or 0: neither */

/* How a device raises an interrupt: by a DMA write of the word `tag`, or by its MSI capability. */
enum way { BY_DMA, BY_MSI };

static unsigned int request_by(enum way way, unsigned int device, uint64_t address,
	unsigned int tag)
{
	uint64_t before = rig_delivered();
	struct raw_fault fault;
	bool refused;

	raw_faults_clear(&raw);
	if (way == BY_DMA)
		rig_write_from(device, tag * sizeof(uint64_t), address, sizeof(uint32_t));
	else
		rig_msi(device, address, tag);
	refused = raw_fault(&raw, &fault);
	for (unsigned int i = 0; !refused && i < 100 && rig_delivered() == before; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	if (!refused)
		return rig_delivered() != before ? ARRIVED : 0;
	assert_int_equal(rig_delivered(), before);
	if (fault.reason != VTD_FR_IR_COMPAT && fault.reason != VTD_FR_IR_RSVD)
		conform("index of the fault record", fault.address >> VTD_FRCD_INDEX_SHIFT,
			VTD_MSI_INDEX(address));
	conform(way == BY_DMA ? "source-id of the fault record"
			      : "MSI: source-id of the fault record",
		fault.sid, rig_sid(device));
	return fault.reason;
}

static unsigned int request(unsigned int device, uint64_t address, unsigned int tag)
{
	return request_by(BY_DMA, device, address, tag);
}

static unsigned int ask_by(enum way way, unsigned int device, unsigned int index)
{
	return request_by(way, device, VTD_MSI_BASE | VTD_MSI_REMAPPABLE | VTD_MSI_HANDLE(index),
		OTHER);
}

static unsigned int ask(unsigned int device, unsigned int index)
{
	return ask_by(BY_DMA, device, index);
}

void an_interrupt_goes_where_its_entry_says(void **state)
{
	remapping_on();
	entry_give(5, rig_sid(0));
	forget_entries();
	conform("remapped interrupt", ask(0, 5), ARRIVED);
	/* With SHV the index is handle + data, and OTHER is above 5: use entry OTHER with handle
	 * 0. */
	entry_give(OTHER, rig_sid(0));
	forget_entries();
	conform("interrupt with subhandle",
		request(0, VTD_MSI_BASE | VTD_MSI_REMAPPABLE | VTD_MSI_SHV, OTHER), ARRIVED);
	remapping_off();
}

void an_interrupt_index_beyond_the_table_faults(void **state)
{
	remapping_on();
	conform("index beyond the table", ask(0, ENTRIES), VTD_FR_IR_INDEX);
	conform("index of 16 bits", ask(0, 0x8000), VTD_FR_IR_INDEX);
	remapping_off();
}

void an_absent_interrupt_entry_faults(void **state)
{
	remapping_on();
	conform("absent entry", ask(0, 7), VTD_FR_IR_P);
	entry_give(7, rig_sid(0));
	if (raw.caps.cm)
		forget_entries();
	conform("entry that became present", ask(0, 7), ARRIVED);
	remapping_off();
}

void reserved_bits_of_an_interrupt_entry_fault(void **state)
{
	static const struct {
		const char *what;
		uint64_t lo, hi;
	} wrong[] = {
		{ "IRTE bit 12", UINT64_C(1) << 12, 0 },
		{ "IRTE bit 31", UINT64_C(1) << 31, 0 },
		{ "IRTE bit 84", 0, UINT64_C(1) << 20 },
		{ "IRTE bit 127", 0, UINT64_C(1) << 63 },
		{ "IRTE DST beyond xAPIC", UINT64_C(1) << 32, 0 },
	};

	remapping_on();
	for (unsigned int i = 0; i < RTE_DIM(wrong); i++) {
		entry_set(i, present() | wrong[i].lo, of_source(rig_sid(0)) | wrong[i].hi);
		forget_entries();
		conform(wrong[i].what, ask(0, i), VTD_FR_IR_IRTE_RSVD);
	}
	remapping_off();
}

/* A destination is an APIC ID, of 8 bits in xAPIC mode and of 32 bits in x2APIC mode. */
static void destination(const char *what, unsigned int shift)
{
	uint64_t before;

	entry_set(1, present() | UINT64_C(1) << shift, of_source(rig_sid(0)));
	forget_entries();
	before = rig_delivered_at(1);
	conform(what, ask(0, 1), ARRIVED);
	assert_true(rig_delivered_at(1) > before);
}

void an_interrupt_reaches_the_processor_of_its_entry(void **state)
{
	remapping_on();
	destination("destination, xAPIC mode", VTD_IRTE_DST_SHIFT + 8);
	if (raw.caps.eim) {
		table_set(table, VTD_IRTA_EIME);
		forget_entries();
		destination("destination, x2APIC mode", VTD_IRTE_DST_SHIFT);
	} else {
		print_message("# without x2APIC mode: ECAP.EIM is clear\n");
	}
	remapping_off();
}

/* Entries of two sources, with each way of verification. */
static void entries_of_two_sources(void)
{
	uint64_t other = rig_sid(1);

	entry_give(1, rig_sid(0));
	entry_give(2, rig_sid(1));
	/* SQ 3 ignores the function number only */
	entry_set(3, present(), of_source(rig_sid(0) ^ 5) | VTD_IRTE_SQ);
	entry_set(4, present(), of_source(rig_sid(0) ^ 8) | VTD_IRTE_SQ);
	/* SVT 2: a range of buses */
	entry_set(5, present(),
		(other & 0xff00) | other >> 8 | (uint64_t)VTD_SVT_BUS << VTD_IRTE_SVT_SHIFT);
	entry_set(6, present(), 0); /* SVT 0: any source */
	forget_entries();
}

static void sources_are_verified(enum way way)
{
	static const struct {
		const char *what;
		unsigned int device, index, specified;
	} requests[] = {
		{ "own entry", 0, 1, ARRIVED },
		{ "another source's entry", 0, 2, VTD_FR_IR_SID },
		{ "another source's entry, cached", 1, 1, VTD_FR_IR_SID },
		{ "SQ, another function", 0, 3, ARRIVED },
		{ "SQ, another device", 0, 4, VTD_FR_IR_SID },
		{ "SVT by bus, the bus", 1, 5, ARRIVED },
		{ "SVT by bus, another bus", 0, 5, VTD_FR_IR_SID },
		{ "no verification", 0, 6, ARRIVED },
	};
	char what[64];

	remapping_on();
	entries_of_two_sources();
	for (unsigned int i = 0; i < RTE_DIM(requests); i++) {
		snprintf(what, sizeof(what), "%s%s", way == BY_MSI ? "MSI: " : "",
			requests[i].what);
		conform(what, ask_by(way, requests[i].device, requests[i].index),
			requests[i].specified);
	}
	remapping_off();
}

void an_interrupt_entry_is_its_sources_alone(void **state)
{
	sources_are_verified(BY_DMA);
}

/* An interrupt that a device raises by its MSI capability carries the device's source-id, also on
 * QEMU's unit. */
void an_msi_reaches_its_sources_entries_alone(void **state)
{
	const struct moat_qi_desc one = moat_qi_int_entry(false, 1, 0);

	sources_are_verified(BY_MSI);
	remapping_on();
	entry_give(1, rig_sid(0));
	forget_entries();
	conform("MSI: own entry", ask_by(BY_MSI, 0, 1), ARRIVED);
	entry_set(1, 0, 0);
	assert_true(raw_sync(&raw, &one, 1));
	conform("MSI: entry taken back", ask_by(BY_MSI, 0, 1), VTD_FR_IR_P);
	remapping_off();
}

void compatibility_format_passes_by_cfi(void **state)
{
	remapping_on();
	conform("compatibility format, CFI", request(0, VTD_MSI_BASE, VECTOR), ARRIVED);
	cfi(false);
	conform("compatibility format, no CFI", request(0, VTD_MSI_BASE, VECTOR), VTD_FR_IR_COMPAT);
	cfi(true);
	if (raw.caps.eim) {
		table_set(table, VTD_IRTA_EIME);
		forget_entries();
		conform("compatibility format, EIME", request(0, VTD_MSI_BASE, VECTOR),
			VTD_FR_IR_COMPAT);
	}
	remapping_off();
	conform("no remapping", request(0, VTD_MSI_BASE, VECTOR), ARRIVED);
}

void interrupt_entry_invalidations_reach_the_entry(void **state)
{
	const struct moat_qi_desc one = moat_qi_int_entry(false, 6, 0),
				  two = moat_qi_int_entry(false, 8, 1);

	remapping_on();
	for (unsigned int i = 6; i < 11; i++)
		entry_give(i, rig_sid(0));
	forget_entries();
	for (unsigned int i = 6; i < 11; i++)
		assert_int_equal(ask(0, i), ARRIVED);
	for (unsigned int i = 6; i < 11; i++)
		entry_set(i, 0, 0);
	assert_true(raw_sync(&raw, &one, 1));
	conform("entry invalidated by index", ask(0, 6), VTD_FR_IR_P);
	if (rig_traits.remembers)
		assert_int_equal(ask(0, 8), ARRIVED);
	assert_true(raw_sync(&raw, &two, 1));
	conform("entries invalidated by mask, first", ask(0, 8), VTD_FR_IR_P);
	conform("entries invalidated by mask, last", ask(0, 9), VTD_FR_IR_P);
	if (rig_traits.remembers)
		assert_int_equal(ask(0, 10), ARRIVED);
	forget_entries();
	conform("entry invalidated with all", ask(0, 10), VTD_FR_IR_P);
	remapping_off();
}

void a_new_interrupt_table_takes_over(void **state)
{
	uint64_t second;

	remapping_on();
	entry_give(3, rig_sid(0));
	forget_entries();
	assert_int_equal(ask(0, 3), ARRIVED);
	second = raw_page(&raw);
	table_set(second, 0);
	entry_give(4, rig_sid(0));
	forget_entries();
	conform("entry of the old table", ask(0, 3), VTD_FR_IR_P);
	conform("entry of the new table", ask(0, 4), ARRIVED);
	remapping_off();
}
