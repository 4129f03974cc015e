/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Each kind of invalidation. Before it, the unit may use cached entries; a rig with the trait
 * `remembers` must, or the test shows nothing. After it, the unit must not use them. */

#include <stdio.h>

#include "registers.h"

#define IOVA UINT64_C(0x40200000)
#define DID  7
#define RW   (MOAT_SS_R | MOAT_SS_W)

static uint64_t table, page[3];
static unsigned int levels;

static uint64_t word(unsigned int i)
{
	return *(volatile uint64_t *)raw_va(&raw, page[i]);
}

/** Attach the device, and map page[0] at IOVA so that the unit caches it. */
static void warm(void)
{
	levels = raw_levels(&raw);
	table = raw_page(&raw);
	for (unsigned int i = 0; i < RTE_DIM(page); i++)
		page[i] = raw_page(&raw);
	raw_map(&raw, table, levels, IOVA, page[0] | RW);
	raw_attach(&raw, table, levels, DID);
	raw_forget(&raw);
	assert_int_equal(raw_write(&raw, IOVA, 0xc0), 0);
	assert_int_equal(word(0), 0xc0);
}

/** @return the index of the page that a write to IOVA reaches; 99: none */
static unsigned int lands(void)
{
	static unsigned int tag;
	uint8_t reason;

	tag = tag % (RAW_TAGS - 1) + 1; /* not 0, which fresh pages contain */
	reason = raw_write(&raw, IOVA, tag);

	for (unsigned int i = 0; i < RTE_DIM(page); i++)
		if (word(i) == tag)
			return reason == 0 ? i : 98;
	return 99;
}

/** A change was made; the unit may still use the old state. */
static void assert_before(unsigned int old, unsigned int new)
{
	unsigned int at = lands();

	if (rig_traits.remembers)
		assert_int_equal(at, old);
	else
		assert_true(at == old || at == new);
}

static void invalidate(struct moat_qi_desc desc)
{
	assert_true(raw_sync(&raw, &desc, 1));
}

void page_selective_invalidation_reaches_its_pages(void **state)
{
	if (!raw.caps.psi)
		unit_lacks("CAP.PSI is clear");
	warm();
	raw_map(&raw, table, levels, IOVA, page[1] | RW);
	assert_before(0, 1);
	invalidate(moat_qi_iotlb_page(DID, IOVA, 0, true));
	conform("page-selective", lands(), 1);
	raw_map(&raw, table, levels, IOVA, 0);
	assert_before(1, 99);
	invalidate(moat_qi_iotlb_page(DID, IOVA, 0, true));
	conform("page-selective of an unmap", lands(), 99);
	raw_faults_clear(&raw);
}

void address_masks_reach_their_block(void **state)
{
	if (!raw.caps.psi)
		unit_lacks("CAP.PSI is clear");
	warm();
	for (unsigned int am = 1; am <= RTE_MIN(9u, raw.caps.mamv); am++) {
		char what[64];

		/* IOVA is aligned to 2 MiB, so it is the first page of every block. */
		raw_map(&raw, table, levels, IOVA, page[am & 1] | RW);
		assert_before(!(am & 1), am & 1);
		invalidate(moat_qi_iotlb_page(DID, IOVA, am, true));
		snprintf(what, sizeof(what), "address mask %u", am);
		conform(what, lands(), am & 1);
	}
}

void wider_invalidations_reach_the_page(void **state)
{
	warm();
	raw_map(&raw, table, levels, IOVA, page[1] | RW);
	assert_before(0, 1);
	invalidate(moat_qi_iotlb_domain(DID));
	conform("domain-selective", lands(), 1);
	raw_map(&raw, table, levels, IOVA, page[2] | RW);
	assert_before(1, 2);
	invalidate(moat_qi_iotlb_global());
	conform("global", lands(), 2);
}

void an_unlinked_table_is_forgotten_with_the_hint_clear(void **state)
{
	uint64_t other, *pde;

	warm();
	other = raw_page(&raw);
	pde = raw_entry(&raw, table, levels, IOVA, 2);
	raw_store(&raw, (uint64_t *)raw_va(&raw, other) + (IOVA >> 12 & 511), page[1] | RW);
	raw_store(&raw, pde, other | RW);
	assert_before(0, 1);
	invalidate(
		raw.caps.psi ? moat_qi_iotlb_page(DID, IOVA, 0, false) : moat_qi_iotlb_domain(DID));
	conform("hint clear, another page table", lands(), 1);
}

void context_invalidations_of_every_kind_reach_the_source(void **state)
{
	const struct moat_qi_desc kinds[] = {
		moat_qi_context_device(DID, raw.sid, 0),
		moat_qi_context_domain(DID),
		moat_qi_context_global(),
	};
	static const char *const names[] = { "device-selective", "domain-selective", "global" };

	for (unsigned int i = 0; i < RTE_DIM(kinds); i++) {
		char what[64];

		raw_fresh(&raw);
		warm();
		raw_context(&raw, 0, 0);
		assert_before(0, 99);
		raw_faults_clear(&raw);
		invalidate(kinds[i]);
		invalidate(moat_qi_iotlb_domain(DID));
		snprintf(what, sizeof(what), "context cache, %s, detach", names[i]);
		conform(what, lands(), 99);
		raw_faults_clear(&raw);
	}
}

void a_domain_is_not_another(void **state)
{
	uint64_t blue;

	/* The same IOVA in two domains, between which the device moves. */
	warm();
	blue = raw_page(&raw);
	raw_map(&raw, blue, levels, IOVA, page[1] | RW);
	raw_context(&raw, 0, 0);
	invalidate(moat_qi_context_device(DID, raw.sid, 0));
	invalidate(moat_qi_iotlb_domain(DID));
	raw_attach(&raw, blue, levels, DID + 1);
	if (raw.caps.cm) {
		invalidate(moat_qi_context_device(0, raw.sid, 0));
		invalidate(moat_qi_iotlb_domain(0));
	}
	conform("the new domain's page", lands(), 1);
	/* Invalidating the old domain need not affect the new domain's translations, but may. */
	raw_map(&raw, blue, levels, IOVA, page[2] | RW);
	invalidate(moat_qi_iotlb_domain(DID + 1));
	conform("the new domain's next page", lands(), 2);
}

void absent_entries_that_become_present_are_seen(void **state)
{
	warm();
	raw_map(&raw, table, levels, IOVA, 0);
	invalidate(moat_qi_iotlb_domain(DID));
	assert_int_equal(lands(), 99); /* absence may be cached in caching mode */
	raw_faults_clear(&raw);
	raw_map(&raw, table, levels, IOVA, page[2] | RW);
	if (raw.caps.cm)
		invalidate(moat_qi_iotlb_domain(DID));
	conform("a page mapped after a fault", lands(), 2);
}

/* -------------------------------------------------------------------------- without the queue */

static void by_register(uint32_t reg, uint64_t value, uint64_t go)
{
	vtd_write64(&raw.w, reg, value | go);
	for (unsigned int i = 0; vtd_read64(&raw.w, reg) & go; i++)
		assert_true(i < 1000000);
}

void registers_invalidate_while_the_queue_is_off(void **state)
{
	uint32_t iotlb = raw.caps.iro + VTD_IOTLB;
	uint64_t drain = (raw.caps.drd ? VTD_IOTLB_DR : 0) | (raw.caps.dwd ? VTD_IOTLB_DW : 0);
	uint64_t did = (uint64_t)DID << VTD_IOTLB_DID_SHIFT;

	warm();
	raw_command(&raw, VTD_GCMD_QIE, false);
	raw_map(&raw, table, levels, IOVA, page[1] | RW);
	assert_before(0, 1);
	by_register(iotlb, VTD_IOTLB_IIRG_DOMAIN | did | drain, VTD_IOTLB_IVT);
	conform("IOTLB_REG, domain-selective", lands(), 1);
	assert_true(vtd_read64(&raw.w, iotlb) & VTD_IOTLB_IAIG); /* it did invalidate */
	raw_map(&raw, table, levels, IOVA, page[2] | RW);
	assert_before(1, 2);
	if (raw.caps.psi) {
		vtd_write64(&raw.w, raw.caps.iro + VTD_IVA, IOVA);
		by_register(iotlb, VTD_IOTLB_IIRG_PAGE | did | drain, VTD_IOTLB_IVT);
	} else {
		by_register(iotlb, VTD_IOTLB_IIRG_GLOBAL | drain, VTD_IOTLB_IVT);
	}
	conform("IOTLB_REG, page-selective", lands(), 2);
	raw_context(&raw, 0, 0);
	by_register(VTD_CCMD, VTD_CCMD_CIRG_DEVICE | (uint64_t)raw.sid << VTD_CCMD_SID_SHIFT | DID,
		VTD_CCMD_ICC);
	assert_true(vtd_read64(&raw.w, VTD_CCMD) & VTD_CCMD_CAIG);
	by_register(iotlb, VTD_IOTLB_IIRG_DOMAIN | did | drain, VTD_IOTLB_IVT);
	conform("CCMD, device-selective", lands(), 99);
	raw_faults_clear(&raw);
	/* restore the queue for the next test */
	raw.tail = 0;
	vtd_write64(&raw.w, VTD_IQT, 0);
	raw_command(&raw, VTD_GCMD_QIE, true);
}
