/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The invalidation queue, and the fault registers. */

#include <stdio.h>
#include <time.h>

#include "registers.h"

#define IOVA UINT64_C(0x40200000)
#define DID  7

/* ------------------------------------------------------------------------------------- faults */

void a_fault_is_recorded_with_its_particulars(void **state)
{
	uint64_t root = raw_page(&raw);
	struct raw_fault f;

	raw_attach(&raw, root, raw_levels(&raw), DID);
	raw_forget(&raw);
	/* FRI is valid only if PPF is set */
	conform("no fault, FSTS", vtd_read32(&raw.w, VTD_FSTS) & ~VTD_FSTS_FRI, 0);
	raw_dma(&raw, true, IOVA + 0x123, 1, 8);
	conform("a fault, PPF", vtd_read32(&raw.w, VTD_FSTS) & VTD_FSTS_PPF, VTD_FSTS_PPF);
	assert_true(raw_fault(&raw, &f));
	conform("fault, reason", f.reason, VTD_FR_WRITE);
	conform("fault, source-id", f.sid, raw.sid);
	conform("fault, address", f.address, IOVA);
	conform("fault, type", f.read, false);
	conform("F cleared, PPF", vtd_read32(&raw.w, VTD_FSTS) & VTD_FSTS_PPF, 0);
	raw_dma(&raw, false, IOVA + 0x5000, 1, 8);
	assert_true(raw_fault(&raw, &f));
	conform("fault of a read, type", f.read, true);
	conform("fault of a read, address", f.address, IOVA + 0x5000);
	assert_false(raw_fault(&raw, &f));
}

void faults_beyond_the_registers_overflow(void **state)
{
	uint64_t root = raw_page(&raw);
	unsigned int faults = RTE_MIN(raw.caps.nfr, 16) + 1;
	uint32_t fsts;

	if (raw.caps.nfr > 16) {
		print_message("skip: %u fault recording registers\n", raw.caps.nfr);
		skip();
	}
	raw_attach(&raw, root, raw_levels(&raw), DID);
	raw_forget(&raw);
	for (unsigned int i = 0; i < faults; i++)
		raw_dma(&raw, true, IOVA + i * MOAT_PAGE_SIZE, 1, 8);
	fsts = vtd_read32(&raw.w, VTD_FSTS);
	assert_true(fsts & VTD_FSTS_PPF);
	/* A unit need not record further faults of a source that has a recorded one ("Primary Fault
	 * Logging"), so overflow is optional. Once set, it stays until it is cleared. */
	print_message("# %s: %u faults in %u registers, FSTS 0x%x\n", rig_traits.unit, faults,
		raw.caps.nfr, fsts);
	assert_true(raw_faults_clear(&raw) >= 1);
	conform("cleared, PFO", vtd_read32(&raw.w, VTD_FSTS) & VTD_FSTS_PFO, 0);
}

/* -------------------------------------------------------------------------------------- queue */

void the_queue_goes_round(void **state)
{
	const struct moat_qi_desc d[] = {
		moat_qi_iotlb_domain(DID),
		moat_qi_iotlb_domain(DID + 1),
		moat_qi_context_domain(DID),
	};

	for (unsigned int i = 0; i < 3 * RAW_RING / 4; i++)
		assert_true(raw_sync(&raw, d, 1 + i % RTE_DIM(d)));
	conform("IQH meets IQT", vtd_read64(&raw.w, VTD_IQH), vtd_read64(&raw.w, VTD_IQT));
	conform("IQT", vtd_read64(&raw.w, VTD_IQT), raw.tail * 16);
}

void switching_the_queue_on_begins_at_slot_0(void **state)
{
	const struct moat_qi_desc d = moat_qi_iotlb_global();

	assert_true(raw_sync(&raw, &d, 1));
	raw_command(&raw, VTD_GCMD_QIE, false);
	raw.tail = 0;
	vtd_write64(&raw.w, VTD_IQT, 0);
	raw_command(&raw, VTD_GCMD_QIE, true);
	conform("IQH after QIE", vtd_read64(&raw.w, VTD_IQH), 0);
	assert_true(raw_sync(&raw, &d, 1));
	conform("IQH after two", vtd_read64(&raw.w, VTD_IQH), 32);
}

void every_descriptor_kind_is_taken(void **state)
{
	const struct moat_qi_desc d[] = {
		moat_qi_context_global(),
		moat_qi_context_domain(DID),
		moat_qi_context_device(DID, raw.sid, 0),
		moat_qi_context_device(DID, raw.sid, 3),
		moat_qi_iotlb_global(),
		moat_qi_iotlb_domain(DID),
		moat_qi_wait_status(raw.status_hpa + 8, 0x1234, true),
		moat_qi_iotlb_page(DID, IOVA, 0, false),
		moat_qi_iotlb_page(DID, 0, raw.caps.mamv, true),
	};

	assert_true(raw_sync(&raw, d, raw.caps.psi ? RTE_DIM(d) : RTE_DIM(d) - 2));
	conform("FSTS", vtd_read32(&raw.w, VTD_FSTS) & VTD_FSTS_IQE, 0);
	conform("status of the fenced wait", raw.status[2], 0x1234);
}

static bool await_iqe(void)
{
	time_t end = time(NULL) + 2;

	while (!(vtd_read32(&raw.w, VTD_FSTS) & VTD_FSTS_IQE)) {
		if (raw.w.run != NULL)
			raw.w.run(raw.w.ctx);
		if (time(NULL) > end)
			return false;
	}
	return true;
}

/** Put a descriptor that the unit must refuse between two waits; then replace it by a valid one. */
static void assert_refused(const char *what, struct moat_qi_desc bad)
{
	uint32_t first = raw.seq + 1, second = raw.seq + 2, at = (raw.tail + 1) % RAW_RING;
	const struct moat_qi_desc d[] = {
		moat_qi_wait_status(raw.status_hpa, first, false),
		bad,
		moat_qi_wait_status(raw.status_hpa, second, false),
	};
	char text[96];

	raw.seq = second;
	raw_queue(&raw, d, RTE_DIM(d));
	if (!await_iqe()) {
		conform(what, 0, 1);
		assert_true(raw_await(&raw, second)); /* taken: a listed deviation */
		return;
	}
	snprintf(text, sizeof(text), "%s: IQH", what);
	conform(text, vtd_read64(&raw.w, VTD_IQH), at * 16);
	/* The unit may have fetched more descriptors than it has completed. */
	snprintf(text, sizeof(text), "%s: the wait before", what);
	conform(text, raw_await(&raw, first), true);
	raw.ring[at] = moat_qi_iotlb_global();
	vtd_write32(&raw.w, VTD_FSTS, VTD_FSTS_IQE);
	vtd_write64(&raw.w, VTD_IQT, raw.tail * 16);
	snprintf(text, sizeof(text), "%s: mended", what);
	conform(text, raw_await(&raw, second), true);
	conform("IQE cleared", vtd_read32(&raw.w, VTD_FSTS) & VTD_FSTS_IQE, 0);
}

void a_descriptor_that_is_none_stops_the_queue_until_it_is_mended(void **state)
{
	assert_refused("type 0", (struct moat_qi_desc){ 0x0, 0 });
	assert_refused("type 14", (struct moat_qi_desc){ 0xe, 0 });
	assert_refused("IOTLB, granularity 0", (struct moat_qi_desc){ MOAT_QI_IOTLB, 0 });
	assert_refused("context cache, granularity 0", (struct moat_qi_desc){ MOAT_QI_CONTEXT, 0 });
	if (raw.caps.psi && raw.caps.mamv < 52)
		assert_refused("address mask beyond MAMV",
			moat_qi_iotlb_page(DID, 0, raw.caps.mamv + 1, false));
}

void reserved_bits_of_descriptors_stop_the_queue(void **state)
{
	struct moat_qi_desc d;

	d = moat_qi_context_global();
	d.hi |= 1;
	assert_refused("context cache, bit 64", d);
	d = moat_qi_context_domain(DID);
	d.lo |= UINT64_C(1) << 63;
	assert_refused("context cache, bit 63", d);
	d = moat_qi_iotlb_domain(DID);
	d.lo |= UINT64_C(1) << 32;
	assert_refused("IOTLB, bit 32", d);
	d = moat_qi_wait_status(raw.status_hpa + 8, 1, false);
	d.lo |= 1 << 8;
	assert_refused("wait, bit 8", d);
	d = moat_qi_wait_status(raw.status_hpa + 8, 1, false);
	d.hi |= 1;
	assert_refused("wait, bit 64", d);
}

void a_wait_may_ask_for_an_interrupt(void **state)
{
	struct moat_qi_desc d = moat_qi_wait_status(raw.status_hpa + 8, 1, false);

	vtd_write32(&raw.w, VTD_ICS, 1);
	conform("ICS before", vtd_read32(&raw.w, VTD_ICS), 0);
	d.lo = (d.lo & ~(UINT64_C(1) << 5)) | 1 << 4; /* IF instead of SW */
	assert_true(raw_sync(&raw, &d, 1));
	conform("IWC", vtd_read32(&raw.w, VTD_ICS), 1);
	vtd_write32(&raw.w, VTD_ICS, 1);
	conform("IWC cleared", vtd_read32(&raw.w, VTD_ICS), 0);
}

void translation_can_be_switched_off_and_on(void **state)
{
	uint64_t page = raw_page(&raw), root = raw_page(&raw);

	raw_map(&raw, root, raw_levels(&raw), IOVA, page | MOAT_SS_R | MOAT_SS_W);
	raw_attach(&raw, root, raw_levels(&raw), DID);
	raw_forget(&raw);
	assert_int_equal(raw_write(&raw, IOVA, 1), 0);
	raw_command(&raw, VTD_GCMD_TE, false);
	conform("off", raw_write(&raw, page + 8, 2), 0);
	assert_int_equal(((volatile uint64_t *)raw_va(&raw, page))[1], 2);
	raw_command(&raw, VTD_GCMD_TE, true);
	conform("on again", raw_write(&raw, IOVA, 3), 0);
	assert_int_equal(((volatile uint64_t *)raw_va(&raw, page))[0], 3);
	conform("a physical address", raw_write(&raw, page + 8, 4),
		page >> (12 + 9 * raw_levels(&raw)) != 0 ? VTD_FR_BEYOND_AW : VTD_FR_WRITE);
}
