/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The tables that the software unit walks: root, context and page tables of any content at every
 * level, changed between accesses, with and without the necessary invalidations.
 *
 * Page 0 of the arena is the root table, page 1 the context table of bus 0, page 2 the invalidation
 * queue. The other pages are those to which entries lead. The input is a unit (fuzz_unit.h) and a
 * series of operations.
 */

#include "fuzz_unit.h"
#include "moat_qi.h"

#define ROOT    PAGE(0)
#define CONTEXT PAGE(1)
#define RING    PAGE(2)
#define STATUS  PAGE(3)

static uint32_t tail, sequence;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	arena_make();
	return 0;
}

static void command(struct moat_softvtd *sv, uint32_t bit)
{
	uint32_t keep = moat_softvtd_read32(sv, VTD_GSTS) & 0x96ffffff;

	give_command(sv, keep | bit);
}

static void put(uint64_t lo, uint64_t hi)
{
	uint64_t *slot = at(RING + tail);

	slot[0] = lo;
	slot[1] = hi;
	tail = (tail + 16) % MOAT_PAGE_SIZE;
}

/* Submit a valid invalidation and a wait. They must complete, because nothing is wrong with the
 * queue. */
static void invalidate(struct moat_softvtd *sv, struct fuzz_input *in)
{
	uint8_t how = fuzz_take8(in);
	uint64_t did = fuzz_take16(in) & 0xf, gran = 1 + how % 2;
	volatile uint32_t *status = at(STATUS);

	if (how & 2)
		put(MOAT_QI_CONTEXT | gran << 4 | did << 16, 0);
	put(MOAT_QI_IOTLB | gran << 4 | 0xc0 | did << 16, 0);
	put(MOAT_QI_WAIT | 1 << 5 | (uint64_t)++sequence << 32, STATUS);
	moat_softvtd_write64(sv, VTD_IQT, tail);
	for (unsigned int i = 0; i < 100 && *status != sequence; i++)
		moat_softvtd_poll(sv);
	fuzz_check(*status == sequence);
}

/* @return a page of the arena that only tables use */
static uint64_t take_table(struct fuzz_input *in)
{
	unsigned int page = fuzz_take8(in) % ARENA_PAGES;

	return PAGE(page == 2 || page == 3 ? 4 : page);
}

static void order(struct moat_softvtd *sv, struct fuzz_input *in)
{
	uint64_t *table;
	unsigned int i;

	switch (fuzz_take8(in) % 6) {
	case 0:
	case 1:
		table = at(take_table(in));
		i = fuzz_take16(in);
		table[(i & 0x8000 ? i : i & 7) & 511] = take_value(in);
		break;
	case 2: /* an entry of the context table that is often valid */
		table = at(CONTEXT + (fuzz_take8(in) & 3) * sizeof(struct vtd_entry));
		table[0] = take_table(in) | (fuzz_take8(in) & 0xf);
		table[1] = fuzz_take32(in) & 0xfff07;
		break;
	case 3:
		if (moat_softvtd_read32(sv, VTD_GSTS) & VTD_GSTS_QIES)
			invalidate(sv, in);
		break;
	default:
		take_dma(in, sv);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct moat_softvtd *sv = take_unit(&in);
	uint64_t *root = at(ROOT);

	tail = 0;
	sequence = 0;
	root[0] = CONTEXT | VTD_ROOT_P;
	moat_softvtd_write64(sv, VTD_RTADDR, ROOT);
	command(sv, VTD_GCMD_SRTP);
	moat_softvtd_write64(sv, VTD_IQA, RING);
	command(sv, VTD_GCMD_QIE);
	command(sv, VTD_GCMD_TE);
	while (in.left != 0)
		order(sv, &in);
	give_unit(sv);
	return 0;
}
