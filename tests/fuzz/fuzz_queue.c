/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The software unit's registers and invalidation queue, as a driver may misuse them: any access to
 * any offset, any descriptor in the ring, at any time, with DMA in between.
 *
 * The input is a unit (fuzz_unit.h) and a sequence of commands: a byte that selects the command,
 * then its operands.
 */

#include "fuzz_unit.h"

#define RING PAGE(1)
#define ROOT PAGE(0)

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	arena_make();
	return 0;
}

static void command(struct moat_softvtd *sv, uint32_t bit, bool on)
{
	uint32_t keep = moat_softvtd_read32(sv, VTD_GSTS) & 0x96ffffff;

	give_command(sv, on ? keep | bit : keep & ~bit);
}

static void put_descriptor(struct fuzz_input *in)
{
	uint64_t *slot = at(RING + fuzz_take8(in) * UINT64_C(16));

	slot[0] = fuzz_take64(in);
	slot[1] = take_value(in);
}

static void order(struct moat_softvtd *sv, struct fuzz_input *in)
{
	uint16_t offset;

	switch (fuzz_take8(in) % 12) {
	case 0:
		offset = fuzz_take16(in);
		moat_softvtd_write32(sv, offset, fuzz_take32(in));
		break;
	case 1:
		offset = fuzz_take16(in);
		moat_softvtd_write64(sv, offset, take_value(in));
		break;
	case 2:
		offset = fuzz_take16(in);
		moat_softvtd_read32(sv, offset);
		moat_softvtd_read64(sv, offset);
		break;
	case 3:
	case 4:
		put_descriptor(in);
		break;
	case 5:
		moat_softvtd_write64(sv, VTD_IQT, fuzz_take8(in) * 16);
		break;
	case 6:
		for (unsigned int n = fuzz_take8(in) % 16; n > 0; n--)
			moat_softvtd_poll(sv);
		break;
	case 7:
		moat_softvtd_inject(sv, fuzz_take8(in) % 3, fuzz_take8(in));
		break;
	case 8:
		moat_softvtd_mutate(sv, fuzz_take8(in), fuzz_take8(in));
		break;
	case 9:
		moat_softvtd_write64(sv, VTD_IQA, RING | (fuzz_take8(in) & 7));
		command(sv, VTD_GCMD_QIE, true);
		break;
	case 10:
		command(sv, UINT32_C(1) << (fuzz_take8(in) & 31), fuzz_take8(in) & 1);
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
	struct moat_softvtd_stats stats;

	moat_softvtd_write64(sv, VTD_RTADDR, ROOT);
	command(sv, VTD_GCMD_SRTP, true);
	while (in.left != 0)
		order(sv, &in);
	for (unsigned int i = 0; i < 64; i++)
		moat_softvtd_poll(sv);
	if (size % 16 == 0) /* reads hundreds of counters */
		moat_softvtd_stats(sv, &stats);
	give_unit(sv);
	return 0;
}
