/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Descriptors of any content for the invalidation queue: both units must take a descriptor, or both
 * must stop with IQE.
 */

#include <inttypes.h>
#include <stdio.h>

#include "differential.h"
#include "moat_qi.h"
#include "moat_vtd_regs.h"

static uint64_t bit_or_none(unsigned int one_in)
{
	return tables_below(one_in) == 0 ? UINT64_C(1) << tables_below(64) : 0;
}

/* Draw a valid descriptor. */
static struct descriptor proper(void)
{
	uint64_t did = tables_below(2) ? 0x11 : 0x22, gran = tables_below(4);
	uint64_t sid = qtest_sid(0), type = 1 + tables_below(9);
	uint64_t page = tables_below(8) << 12 | tables_below(24);

	switch (type) {
	case MOAT_QI_CONTEXT:
		return (struct descriptor){ { type | gran << 4 | did << 16 | sid << 32 } };
	case MOAT_QI_IOTLB:
		return (struct descriptor){ { type | gran << 4 | tables_below(4) << 6 | did << 16,
			gran == MOAT_QI_PAGE ? page : 0 } };
	case MOAT_QI_DEVICE_TLB:
	case MOAT_QI_PASID_DEVICE_TLB:
		return (struct descriptor){ { type |
			sid << (type == MOAT_QI_DEVICE_TLB ? 32 : 16) } };
	case MOAT_QI_WAIT:
		return (struct descriptor){
			{ type | 1 << (4 + tables_below(2)) | UINT64_C(0x1234) << 32, BACK }
		};
	case MOAT_QI_PASID_IOTLB:
		return (struct descriptor){ { type | (2 + (gran & 1)) << 4 | did << 16,
			gran & 1 ? page : 0 } };
	case MOAT_QI_PASID_CACHE:
		return (struct descriptor){ { type | gran << 4 | did << 16 } };
	default:
		return (struct descriptor){ { type } };
	}
}

/* Draw a descriptor that is mostly valid, or nearly so. */
static struct descriptor descriptor_make(void)
{
	struct descriptor d = proper();

	d.word[0] ^= bit_or_none(2);
	d.word[1] ^= bit_or_none(3);
	if (units_shape.scalable)
		d.word[2 + tables_below(2)] ^= bit_or_none(8);
	if ((d.word[0] & 0xf) == MOAT_QI_WAIT) {
		/* A status is written to a page of its own. QEMU exits at a wait with SW and IF. */
		d.word[1] = (d.word[1] & 0xfff) | BACK;
		if (d.word[0] & 1 << 5)
			d.word[0] &= ~(UINT64_C(1) << 4);
	}
	return d;
}

/* Poll the software unit until it has fetched all descriptors, or has stopped. */
static bool soft_refuses(void)
{
	while (!(moat_softvtd_read32(units_soft, VTD_FSTS) & VTD_FSTS_IQE)) {
		if (moat_softvtd_read64(units_soft, VTD_IQH) ==
			moat_softvtd_read64(units_soft, VTD_IQT))
			return false;
		moat_softvtd_poll(units_soft);
	}
	return true;
}

/* A descriptor that both queues got, and the results. */
struct put {
	struct descriptor d;
	bool soft_refuses;
	unsigned int fsts; /* QEMU's, as qtest_read() returns it */
};

static struct put put_one(void)
{
	struct put put = { .d = descriptor_make() };

	units_put_all(&put.d);
	units_doorbell_only();
	put.soft_refuses = soft_refuses();
	put.fsts = qtest_read(QTEST_UNIT + VTD_FSTS, 4);
	units_mend_queue();
	return put;
}

static bool judge(const struct run *run, const struct put *put, unsigned int number)
{
	bool of_qemu = qtest_answer(put->fsts) & VTD_FSTS_IQE, of_soft = put->soft_refuses;
	const uint64_t *word = put->d.word;
	const char *why;

	if (of_soft == of_qemu)
		return true;
	why = explained_descriptor(&units_shape, &put->d, of_soft);
	if (run->verbose || why == NULL)
		printf("seed %" PRIu64 " case %u: descriptor %016" PRIx64 " %016" PRIx64
		       " %016" PRIx64 " %016" PRIx64 ": software unit %s, QEMU %s: %s\n",
			run->seed, number, word[0], word[1], word[2], word[3],
			of_soft ? "IQE" : "takes it", of_qemu ? "IQE" : "takes it",
			why != NULL ? why : "NOT EXPLAINED");
	return why != NULL;
}

#define BATCH 16

bool descriptors_cases(const struct run *run, unsigned int number, uint64_t reasons[256],
	unsigned int *done)
{
	struct put put[BATCH];

	for (unsigned int i = 0; i < BATCH; i++)
		put[i] = put_one();
	units_flush(); /* both units go on */
	qtest_run();
	for (unsigned int i = 0; i < BATCH; i++) {
		reasons[put[i].soft_refuses]++;
		if (!judge(run, &put[i], number + i))
			return false;
	}
	*done = BATCH;
	return true;
}
