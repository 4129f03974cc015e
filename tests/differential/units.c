/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moat_qi.h"
#include "moat_vtd_regs.h"
#include "units.h"

#define RING_SIZE 4096u

struct moat_softvtd *units_soft;
struct shape units_shape;
static uint32_t qemu_frcd, soft_frcd, tail, sequence;

void units_write(uint32_t offset, unsigned int bytes, uint64_t value)
{
	qtest_write(QTEST_UNIT + offset, bytes, value);
	if (bytes == 8)
		moat_softvtd_write64(units_soft, offset, value);
	else
		moat_softvtd_write32(units_soft, offset, value);
}

static void command(uint32_t bit)
{
	uint32_t keep = moat_softvtd_read32(units_soft, VTD_GSTS) & VTD_GSTS_KEEP;
	unsigned int status;

	units_write(VTD_GCMD, 4, keep | bit);
	while (!(moat_softvtd_read32(units_soft, VTD_GSTS) & bit))
		;
	status = qtest_read(QTEST_UNIT + VTD_GSTS, 4);
	qtest_run();
	if (!(qtest_answer(status) & bit)) {
		fprintf(stderr, "differential: QEMU's GSTS does not show command 0x%x\n", bit);
		exit(2);
	}
}

/* ------------------------------------------------------------------------------------ queues */

/* @return the bytes of a descriptor */
static uint32_t slot(void)
{
	return units_shape.scalable ? 32 : 16;
}

static uint32_t last_slot(void)
{
	return (tail + RING_SIZE - slot()) % RING_SIZE;
}

void units_put_all(const struct descriptor *d)
{
	memcpy(at(RING_SOFT + tail), d->word, slot());
	memcpy(at(RING_QEMU + tail), d->word, slot());
	tail = (tail + slot()) % RING_SIZE;
}

void units_put(uint64_t lo, uint64_t hi)
{
	units_put_all(&(struct descriptor){ { lo, hi } });
}

void units_doorbell_only(void)
{
	units_write(VTD_IQT, 8, tail);
}

void units_doorbell(void)
{
	volatile uint32_t *status = at(STATUS);

	units_put(MOAT_QI_WAIT | 1 << 5 | (uint64_t)++sequence << 32, STATUS);
	((uint64_t *)at(RING_QEMU + last_slot()))[1] = STATUS + 8;
	units_doorbell_only();
	for (unsigned int i = 0; *status != sequence; i++) {
		moat_softvtd_poll(units_soft);
		if (i == 1000000) {
			fprintf(stderr,
				"differential: the software unit completes no wait: FSTS 0x%x, IQH "
				"0x%llx, IQT 0x%x\n",
				moat_softvtd_read32(units_soft, VTD_FSTS),
				(unsigned long long)moat_softvtd_read64(units_soft, VTD_IQH), tail);
			exit(2);
		}
	}
}

void units_mend_queue(void)
{
	const uint64_t wait = MOAT_QI_WAIT | 1 << 5;
	uint32_t slot_of_it = last_slot();

	/* Written by qtest, after the doorbell that is still gathered: QEMU's unit has not fetched
	 * the last descriptor yet. */
	qtest_write(RING_QEMU + slot_of_it, 8, wait);
	qtest_write(RING_QEMU + slot_of_it + 8, 8, BACK);
	if (units_shape.scalable) {
		qtest_write(RING_QEMU + slot_of_it + 16, 8, 0);
		qtest_write(RING_QEMU + slot_of_it + 24, 8, 0);
	}
	memset(at(RING_SOFT + slot_of_it), 0, slot());
	((uint64_t *)at(RING_SOFT + slot_of_it))[0] = wait;
	((uint64_t *)at(RING_SOFT + slot_of_it))[1] = BACK;
	units_write(VTD_FSTS, 4, VTD_FSTS_IQE);
	units_doorbell_only();
}

void units_flush(void)
{
	units_put(MOAT_QI_CONTEXT | MOAT_QI_GLOBAL << 4, 0);
	if (units_shape.scalable)
		units_put(MOAT_QI_PASID_CACHE | MOAT_QI_PASID_GLOBAL << 4, 0);
	units_put(MOAT_QI_IOTLB | MOAT_QI_GLOBAL << 4 | 0xc0, 0);
	units_doorbell();
}

/* ----------------------------------------------------------------------------------- records */

static struct record record_of(uint32_t fsts, uint64_t lo, uint64_t hi)
{
	return (struct record){
		.there = hi & VTD_FRCD_F,
		.pending = fsts & VTD_FSTS_PPF,
		.overflow = fsts & VTD_FSTS_PFO,
		.reason = hi >> VTD_FRCD_FR_SHIFT,
		.sid = hi & VTD_FRCD_SID,
		.read = hi & VTD_FRCD_T1,
		.page = lo & VTD_FRCD_FI,
	};
}

bool units_same_record(const struct record *a, const struct record *b)
{
	if (a->there != b->there || a->pending != b->pending || a->overflow != b->overflow)
		return false;
	return !a->there ||
		(a->reason == b->reason && a->sid == b->sid && a->read == b->read &&
			a->page == b->page);
}

struct record units_soft_record(void)
{
	struct record record = record_of(moat_softvtd_read32(units_soft, VTD_FSTS),
		moat_softvtd_read64(units_soft, soft_frcd),
		moat_softvtd_read64(units_soft, soft_frcd + 8));

	moat_softvtd_write64(units_soft, soft_frcd + 8, VTD_FRCD_F);
	moat_softvtd_write32(units_soft, VTD_FSTS, VTD_FSTS_PFO);
	return record;
}

struct question units_ask_record(bool expected)
{
	struct question q = { .fsts = qtest_read(QTEST_UNIT + VTD_FSTS, 4),
		.record = qtest_read_two(QTEST_UNIT + qemu_frcd),
		.expected = expected };

	if (expected)
		qtest_write(QTEST_UNIT + qemu_frcd + 8, 8, VTD_FRCD_F);
	return q;
}

struct record units_qemu_record(const struct question *q)
{
	struct record record = record_of(qtest_answer(q->fsts), qtest_answer(q->record),
		qtest_answer(q->record + 1));

	if (record.there && !q->expected)
		qtest_write(QTEST_UNIT + qemu_frcd + 8, 8, VTD_FRCD_F);
	/* later accesses may have met the record that was not expected */
	if (record.overflow || (record.there && !q->expected))
		qtest_write(QTEST_UNIT + VTD_FSTS, 4, VTD_FSTS_PFO);
	return record;
}

/* ------------------------------------------------------------------------------------ set up */

static void capabilities(struct moat_softvtd_conf *conf, uint64_t cap, uint64_t ecap)
{
	conf->mgaw = (cap >> VTD_CAP_MGAW_SHIFT & 0x3f) + 1;
	conf->haw = conf->mgaw; /* QEMU's aw-bits sets both */
	conf->sagaw = cap >> VTD_CAP_SAGAW_SHIFT & 0x1f;
	conf->nd_bits = 4 + 2 * (cap & 7);
	conf->sllps = cap >> VTD_CAP_SSLPS_SHIFT & 3;
	conf->mamv = cap >> VTD_CAP_MAMV_SHIFT & 0x3f;
	conf->psi = cap & VTD_CAP_PSI;
	conf->cm = cap & VTD_CAP_CM;
	conf->zlr = cap & VTD_CAP_ZLR;
	conf->dt = ecap & VTD_ECAP_DT;
	conf->pt = ecap & VTD_ECAP_PT;
	conf->sc = ecap & VTD_ECAP_SC;
	conf->scalable = ecap & VTD_ECAP_SMTS;
	conf->ssts = ecap & VTD_ECAP_SSTS;
	conf->fsts = ecap & VTD_ECAP_FSTS;
	conf->nest = ecap & VTD_ECAP_NEST;
	conf->pasid_bits =
		ecap & VTD_ECAP_PASID ? ((ecap & VTD_ECAP_PSS) >> VTD_ECAP_PSS_SHIFT) + 1 : 0;
	conf->fs1gp = cap & VTD_CAP_FS1GP;
	conf->fs5lp = cap & VTD_CAP_FS5LP;
	conf->ir = ecap & VTD_ECAP_IR;
	conf->eim = ecap & VTD_ECAP_EIM;
}

static void soft_create(uint64_t cap, uint64_t ecap)
{
	struct moat_softvtd_conf conf;

	moat_softvtd_conf_init(&conf); /* with the adversary */
	capabilities(&conf, cap, ecap);
	conf.memory = QTEST_RAM;
	conf.memory_size = QTEST_END - QTEST_RAM;
	conf.nfr = 1;
	conf.compress = true; /* as QEMU does */
	conf.oracle = false;
	conf.shards = 1;
	if (moat_softvtd_create(&conf, &units_soft) != 0) {
		fprintf(stderr, "differential: %s\n", moat_error_text());
		exit(2);
	}
	units_shape = (struct shape){ .levels = conf.mgaw > 48 ? 5
			: conf.mgaw > 39                       ? 4
							       : 3,
		.haw = conf.haw,
		.sagaw = conf.sagaw,
		.cm = conf.cm,
		.dt = conf.dt,
		.sc = conf.sc,
		.sslps = conf.sllps,
		.fs1gp = conf.fs1gp,
		.pasid = conf.pasid_bits != 0,
		.prs = ecap & VTD_ECAP_PRS,
		.ir = conf.ir,
		.scalable = conf.scalable,
		.first = conf.scalable && !conf.ssts };
	soft_frcd = conf.fro;
}

static void bring_up(void)
{
	uint64_t wide = units_shape.scalable ? VTD_IQA_DW : 0;

	tables_make(&units_shape);
	for (uint64_t hpa = QTEST_RAM + (2 << 20); hpa < QTEST_END; hpa += 4096)
		memset(at(hpa), (hpa >> 12 ^ hpa >> 21) % 100 + 40, 4096);
	for (unsigned int i = 0; i < QTEST_EDUS; i++) /* while translation is off */
		qtest_dma(i, TARGETS, 4096, false);
	units_write(VTD_RTADDR, 8,
		ROOT | (units_shape.scalable ? VTD_TTM_SCALABLE << VTD_RTADDR_TTM_SHIFT : 0));
	command(VTD_GCMD_SRTP);
	qtest_write(QTEST_UNIT + VTD_IQA, 8, RING_QEMU | wide);
	moat_softvtd_write64(units_soft, VTD_IQA, RING_SOFT | wide);
	command(VTD_GCMD_QIE);
	units_flush();
	command(VTD_GCMD_TE);
}

void units_start(const char *qemu, const char *iommu)
{
	unsigned int cap, ecap;

	qtest_start(qemu, iommu);
	cap = qtest_read(QTEST_UNIT + VTD_CAP, 8);
	ecap = qtest_read(QTEST_UNIT + VTD_ECAP, 8);
	qtest_run();
	soft_create(qtest_answer(cap), qtest_answer(ecap));
	qemu_frcd = (qtest_answer(cap) >> VTD_CAP_FRO_SHIFT & 0x3ff) * 16;
	bring_up();
}

void units_end(void)
{
	qtest_end();
	moat_softvtd_destroy(units_soft);
}
