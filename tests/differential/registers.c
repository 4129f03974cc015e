/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Writes of any content to registers, and commands. After each of them all registers must read the
 * same in both units.
 */

#include <inttypes.h>
#include <stdio.h>

#include <rte_common.h>

#include "differential.h"
#include "moat_vtd_regs.h"

static const struct {
	const char *name;
	uint32_t offset;
	unsigned int bytes;
} registers[] = {
	{ "GSTS", VTD_GSTS, 4 },
	{ "RTADDR", VTD_RTADDR, 8 },
	{ "CCMD", VTD_CCMD, 8 },
	{ "FSTS", VTD_FSTS, 4 },
	{ "FECTL", VTD_FECTL, 4 },
	{ "FEDATA", VTD_FEDATA, 4 },
	{ "FEADDR", VTD_FEADDR, 4 },
	{ "FEUADDR", VTD_FEUADDR, 4 },
	{ "IQH", VTD_IQH, 8 },
	{ "IQT", VTD_IQT, 8 },
	{ "IQA", VTD_IQA, 8 },
	{ "ICS", VTD_ICS, 4 },
	{ "IECTL", VTD_IECTL, 4 },
	{ "IEDATA", VTD_IEDATA, 4 },
	{ "IEADDR", VTD_IEADDR, 4 },
	{ "IEUADDR", VTD_IEUADDR, 4 },
};

/* The queue's position when it was last switched on, and DW as last written. */
static uint64_t queue, wide;

static uint64_t soft_register(unsigned int i)
{
	return registers[i].bytes == 8 ? moat_softvtd_read64(units_soft, registers[i].offset)
				       : moat_softvtd_read32(units_soft, registers[i].offset);
}

/* Give a random command, and let the software unit show its status. The queue begins at 0. */
static void command_make(void)
{
	static const uint32_t commands[] = { VTD_GCMD_TE, VTD_GCMD_SRTP, VTD_GCMD_QIE, VTD_GCMD_WBF,
		VTD_GCMD_SFL, VTD_GCMD_EAFL };
	uint32_t keep = moat_softvtd_read32(units_soft, VTD_GSTS) & VTD_GSTS_KEEP;
	uint32_t value = keep ^ commands[tables_below(RTE_DIM(commands))];

	if (value & ~keep & VTD_GCMD_QIE) {
		units_write(VTD_IQT, 8, 0);
		queue = moat_softvtd_read64(units_soft, VTD_IQA) & VTD_IQA_IQA;
		queue &= (UINT64_C(1) << units_shape.haw) - 1;
	}
	units_write(VTD_GCMD, 4, value);
	for (unsigned int i = 0; i < 64; i++) {
		moat_softvtd_poll(units_soft);
		moat_softvtd_read32(units_soft, VTD_GSTS);
	}
}

/* Point both units to one ring (each had its own), and clear all registers that can be written. */
void registers_begin(void)
{
	uint32_t keep = moat_softvtd_read32(units_soft, VTD_GSTS) & VTD_GSTS_KEEP;

	queue = RING_QEMU;
	units_write(VTD_GCMD, 4, keep & ~VTD_GCMD_QIE);
	while (moat_softvtd_read32(units_soft, VTD_GSTS) & VTD_GSTS_QIES)
		moat_softvtd_poll(units_soft);
	for (unsigned int i = 1; i < RTE_DIM(registers); i++)
		if (registers[i].offset != VTD_IQH)
			units_write(registers[i].offset, registers[i].bytes, 0);
}

/* GSTS and IQH cannot be written. IQT is changed by the queue only, and IQA must not change while
 * the queue is on. */
static void register_make(void)
{
	unsigned int i = 1 + tables_below(RTE_DIM(registers) - 1);
	uint64_t value = tables_random() << 32 ^ tables_random();
	bool queued = moat_softvtd_read32(units_soft, VTD_GSTS) & VTD_GSTS_QIES;

	if (registers[i].offset == VTD_IQH || registers[i].offset == VTD_IQT ||
		(registers[i].offset == VTD_IQA && queued))
		return;
	if (registers[i].offset == VTD_CCMD)
		value &= ~VTD_CCMD_ICC;
	if (registers[i].offset == VTD_IQA)
		wide = value & VTD_IQA_DW;
	units_write(registers[i].offset, registers[i].bytes, value);
}

/* The values of all registers after a write or a command. */
struct reading {
	uint64_t soft[RTE_DIM(registers)];
	unsigned int qemu[RTE_DIM(registers)]; /* as qtest_read() returns them */
	uint64_t queue;                        /* for explained_register() */
};

static void read_all(struct reading *reading)
{
	for (unsigned int i = 0; i < RTE_DIM(registers); i++) {
		reading->qemu[i] = qtest_read(QTEST_UNIT + registers[i].offset, registers[i].bytes);
		reading->soft[i] = soft_register(i);
	}
	reading->queue = queue | wide;
}

static bool judge(const struct run *run, const struct reading *reading, unsigned int number)
{
	bool all = true;

	for (unsigned int i = 0; i < RTE_DIM(registers); i++) {
		uint64_t of_soft = reading->soft[i], of_qemu = qtest_answer(reading->qemu[i]);
		const char *why;

		if (of_soft == of_qemu)
			continue;
		why = explained_register(registers[i].offset, of_soft, of_qemu, reading->queue);
		if (run->verbose || why == NULL)
			printf("seed %" PRIu64 " case %u: %s: software unit 0x%" PRIx64
			       ", QEMU 0x%" PRIx64 ": %s\n",
				run->seed, number, registers[i].name, of_soft, of_qemu,
				why != NULL ? why : "NOT EXPLAINED");
		all &= why != NULL;
	}
	return all;
}

#define BATCH 16

bool registers_cases(const struct run *run, unsigned int number, uint64_t reasons[256],
	unsigned int *done)
{
	struct reading reading[BATCH];

	for (unsigned int i = 0; i < BATCH; i++) {
		if (tables_below(3) == 0)
			command_make();
		else
			register_make();
		read_all(&reading[i]);
	}
	qtest_run();
	*done = BATCH;
	reasons[0] += BATCH;
	for (unsigned int i = 0; i < BATCH; i++)
		if (!judge(run, &reading[i], number + i))
			return false;
	return true;
}
