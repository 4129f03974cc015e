/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Two units judge each other: the software unit and QEMU's walk the same random tables for the same
 * random accesses. They must reach the same bytes, or refuse with the same record. Where they may
 * differ is listed, with the section of the specification, in explained.c.
 *
 *	differential [--cases N] [--seed N] [--descriptors|--registers] [--qemu PROGRAM]
 *	             [--verbose] CONFIGURATION
 *
 * Between accesses tables change, and are invalidated in one of several ways: all, the domains, or
 * only the page that is accessed next. Now and then several faults meet the one fault recording
 * register.
 *
 * With --descriptors, cases are descriptors of any content for the invalidation queue: both units
 * must take them, or both must stop with IQE. With --registers they are writes of any content to
 * registers, and commands; after each all registers must read the same.
 *
 * A difference ends the program with status 1 and the seed of its world, with which it is seen
 * again:
 * --seed SEED --cases 64.
 */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "differential.h"
#include "moat_qi.h"
#include "moat_softvtd.h"
#include "moat_vtd_regs.h"

#define CASES   64 /* of a world */
#define LEN_MAX 64
#define FILL    0xa5

static const struct {
	const char *name, *iommu;
} configurations[] = {
	{ "48", ",aw-bits=48" }, { "39", ",aw-bits=39" },
	{ "48-caching-mode", ",aw-bits=48,caching-mode=on" },
	{ "48-device-tlb", ",aw-bits=48,device-iotlb=on" },
	{ "48-snoop-control", ",aw-bits=48,snoop-control=on" },
	{ "48-scalable", ",aw-bits=48,scalable-mode=on" },            /* QEMU 10: x-scalable-mode */
	{ "48-first-stage", ",aw-bits=48,scalable-mode=on,fsts=on" }, /* ..., x-flts */
};

static struct shape shape;
static struct moat_softvtd *soft;
static uint32_t qemu_frcd, soft_frcd, tail, sequence;
static bool verbose;
static uint64_t focus;          /* the page that was invalidated: the next access goes there */
static unsigned int focus_size; /* log2 of the pages around it that were */
static bool focused;            /* ... and all else is owed its invalidation */
static uint64_t nr_pages, nr_overflows;

/* ------------------------------------------------------------------------------- both units */

static void write_both(uint32_t offset, unsigned int bytes, uint64_t value)
{
	qtest_write(QTEST_UNIT + offset, bytes, value);
	if (bytes == 8)
		moat_softvtd_write64(soft, offset, value);
	else
		moat_softvtd_write32(soft, offset, value);
}

static void command(uint32_t bit)
{
	uint32_t keep = moat_softvtd_read32(soft, VTD_GSTS) & 0x96ffffff;
	unsigned int status;

	write_both(VTD_GCMD, 4, keep | bit);
	while (!(moat_softvtd_read32(soft, VTD_GSTS) & bit))
		;
	status = qtest_read(QTEST_UNIT + VTD_GSTS, 4);
	qtest_run();
	if (!(qtest_answer(status) & bit)) {
		fprintf(stderr, "differential: QEMU's GSTS does not show command 0x%x\n", bit);
		exit(2);
	}
}

/* Bytes of a descriptor. */
static uint32_t slot(void)
{
	return shape.scalable ? 32 : 16;
}

static void put(uint64_t lo, uint64_t hi)
{
	uint64_t *of_soft = at(RING_SOFT + tail), *of_qemu = at(RING_QEMU + tail);

	of_soft[0] = of_qemu[0] = lo;
	of_soft[1] = of_qemu[1] = hi;
	if (shape.scalable)
		of_soft[2] = of_soft[3] = of_qemu[2] = of_qemu[3] = 0;
	tail = (tail + slot()) % 4096;
}

/* Waits for the software unit; QEMU's works while it is written to. */
static void doorbell(void)
{
	volatile uint32_t *status = at(STATUS);

	put(MOAT_QI_WAIT | 1 << 5 | (uint64_t)++sequence << 32, STATUS);
	((uint64_t *)at(RING_QEMU + (tail + 4096 - slot()) % 4096))[1] = STATUS + 8;
	write_both(VTD_IQT, 8, tail);
	for (unsigned int i = 0; *status != sequence; i++) {
		moat_softvtd_poll(soft);
		if (i == 1000000) {
			fprintf(stderr, "differential: the software unit completes no wait\n");
			exit(2);
		}
	}
}

static void flush(void)
{
	put(MOAT_QI_CONTEXT | MOAT_QI_GLOBAL << 4, 0);
	if (shape.scalable)
		put(MOAT_QI_PASID_CACHE | MOAT_QI_PASID_GLOBAL << 4, 0);
	put(MOAT_QI_IOTLB | MOAT_QI_GLOBAL << 4 | 0xc0, 0);
	doorbell();
}

static uint64_t did_of(unsigned int device)
{
	return tables_stage(qtest_sid(device)).did;
}

/* Enough for an access to one of these pages, whatever has changed in paging entries. */
static void invalidate_pages(void)
{
	focus_size = tables_below(6);
	focus = tables_iova(&shape) & ((UINT64_C(1) << shape.haw) - 1) &
		-(UINT64_C(4096) << focus_size);
	for (unsigned int i = 0; i < QTEST_DEVICES; i++)
		put((shape.first ? MOAT_QI_PASID_IOTLB : MOAT_QI_IOTLB | 0xc0) | MOAT_QI_PAGE << 4 |
				did_of(i) << 16,
			focus | focus_size);
	doorbell();
	focused = true;
	nr_pages++;
}

/* One of the ways that are enough after a change. */
static void invalidate(enum change change)
{
	if (change == CHANGE_NONE && !focused)
		return;
	if (change == CHANGE_CONTEXT || focused || tables_below(3) == 0) {
		focused = false;
		flush();
		return;
	}
	if (tables_below(3) == 0) {
		invalidate_pages();
		return;
	}
	if (tables_below(3) == 0) {
		put(MOAT_QI_IOTLB | MOAT_QI_GLOBAL << 4 | 0xc0, 0);
	} else {
		for (unsigned int i = 0; i < QTEST_DEVICES; i++)
			put((shape.first ? MOAT_QI_PASID_IOTLB : MOAT_QI_IOTLB | 0xc0) |
					MOAT_QI_DOMAIN << 4 | did_of(i) << 16,
				0);
	}
	doorbell();
}

/* ------------------------------------------------------------------------------------- a case */

static struct record record_of(uint64_t lo, uint64_t hi)
{
	return (struct record){
		.there = hi & VTD_FRCD_F,
		.reason = hi >> VTD_FRCD_FR_SHIFT,
		.sid = hi & VTD_FRCD_SID,
		.read = hi & VTD_FRCD_T1,
		.page = lo & VTD_FRCD_FI,
	};
}

static bool same_record(const struct record *a, const struct record *b)
{
	if (!a->there || !b->there)
		return a->there == b->there;
	return a->reason == b->reason && a->sid == b->sid && a->read == b->read &&
		a->page == b->page;
}

static void soft_clear(void)
{
	moat_softvtd_write64(soft, soft_frcd + 8, VTD_FRCD_F);
	moat_softvtd_write32(soft, VTD_FSTS, VTD_FSTS_PFO);
}

/* The access; its record stays. */
static void soft_dma(struct outcome *o)
{
	struct moat_softvtd_guard guard;
	void *va = NULL;

	moat_softvtd_dma_begin(soft, o->sid, 0, o->write ? MOAT_W : MOAT_R, &guard);
	o->reason = moat_softvtd_request(&guard, MOAT_SOFTVTD_UNTRANSLATED, o->iova,
		o->write ? MOAT_W : MOAT_R, false, &va);
	moat_softvtd_dma_end(&guard);
	o->hpa = o->reason == 0 ? (uintptr_t)va : 0;
}

static void ask_soft(struct outcome *o)
{
	soft_dma(o);
	o->soft = record_of(moat_softvtd_read64(soft, soft_frcd),
		moat_softvtd_read64(soft, soft_frcd + 8));
	soft_clear();
}

/* What QEMU's unit has recorded, which is cleared. */
static struct record qemu_record(uint32_t *status)
{
	unsigned int lo, hi, fsts = qtest_read(QTEST_UNIT + VTD_FSTS, 4);

	lo = qtest_read(QTEST_UNIT + qemu_frcd, 8);
	hi = qtest_read(QTEST_UNIT + qemu_frcd + 8, 8);
	qtest_write(QTEST_UNIT + qemu_frcd + 8, 8, VTD_FRCD_F);
	qtest_write(QTEST_UNIT + VTD_FSTS, 4, VTD_FSTS_PFO);
	qtest_run();
	*status = qtest_answer(fsts);
	return record_of(qtest_answer(lo), qtest_answer(hi));
}

/* A device's access to QEMU's unit, and what it has recorded. */
static struct record ask_qemu(unsigned int edu, uint64_t iova, unsigned int len, bool write)
{
	uint32_t status;

	qtest_dma(edu, iova, len, write);
	return qemu_record(&status);
}

/* Did the bytes that the device read come from where the software unit says? */
static bool read_the_same(const struct outcome *o, unsigned int edu)
{
	uint64_t back = tables_back(o->sid);

	if (back == 0)
		return true; /* cannot be told */
	memset(at(BACK), FILL, LEN_MAX);
	ask_qemu(edu, back, o->len, true);
	return memcmp(at(BACK), at(o->hpa), o->len) == 0;
}

/* What the device last wrote is its own page's number, so it is not FILL. */
static bool wrote_the_same(const struct outcome *o)
{
	const uint8_t *bytes = at(o->hpa);

	for (unsigned int i = 0; i < o->len; i++)
		if (bytes[i] == FILL)
			return false;
	return true;
}

static bool agree(struct outcome *o, unsigned int edu)
{
	uint8_t saved[LEN_MAX];
	bool same;

	if (o->reason != 0 || !o->write) {
		o->qemu = ask_qemu(edu, o->iova, o->len, o->write);
		same = same_record(&o->soft, &o->qemu);
		return same && (o->reason != 0 || (o->reached = read_the_same(o, edu)));
	}
	memcpy(saved, at(o->hpa), o->len);
	memset(at(o->hpa), FILL, o->len);
	o->qemu = ask_qemu(edu, o->iova, o->len, true);
	o->reached = wrote_the_same(o);
	memcpy(at(o->hpa), saved, o->len);
	return same_record(&o->soft, &o->qemu) && o->reached;
}

static void show(const struct outcome *o, uint64_t seed, unsigned int number, const char *why)
{
	printf("seed %" PRIu64 " case %u: source-id %02x %s iova 0x%" PRIx64 " len %u: %s\n", seed,
		number, o->sid, o->write ? "write" : "read", o->iova, o->len, why);
	printf("  software unit: reason 0x%x, hpa 0x%" PRIx64
	       ", record %d reason 0x%x page 0x%" PRIx64
	       "\n  QEMU: record %d reason 0x%x page 0x%" PRIx64 " source-id %02x, bytes %s\n",
		o->reason, o->hpa, o->soft.there, o->soft.reason, o->soft.page, o->qemu.there,
		o->qemu.reason, o->qemu.page, o->qemu.sid, o->reached ? "the same" : "not");
	printf("  root %016" PRIx64 " %016" PRIx64 ", context %016" PRIx64 " %016" PRIx64
	       ", entry %016" PRIx64 " %016" PRIx64 " %016" PRIx64 "\n",
		((uint64_t *)at(ROOT))[0], ((uint64_t *)at(ROOT))[1], tables_context(o->sid)[0],
		tables_context(o->sid)[1], tables_entry(o->sid)[0], tables_entry(o->sid)[1],
		tables_entry(o->sid)[2]);
	tables_show(o->sid, o->iova);
}

static struct outcome access_make(unsigned int *device)
{
	struct outcome o = { 0 };

	*device = tables_below(qtest_devices);
	o.sid = qtest_sid(*device);
	o.iova = tables_iova(&shape);
	if (focused)
		o.iova = focus + ((uint64_t)tables_below(1 << focus_size) << 12) + (o.iova & 0xff8);
	o.write = *device >= QTEST_EDUS || tables_below(2);
	o.len = 8 * (1 + tables_below(LEN_MAX / 8));
	if (o.iova >> 20 == 0xfee)
		o.iova ^= UINT64_C(1) << 31; /* interrupt requests have a road of their own */
	if ((o.iova & 4095) + o.len > 4096)
		o.len = 8;
	return o;
}

/* Does the access leave the same record in both, as often as it is tried? */
static bool faults_alike(struct outcome *o, unsigned int device)
{
	for (unsigned int i = 0; i < 2; i++) {
		ask_soft(o);
		if (o->reason == 0 || !o->soft.there)
			return false;
		o->qemu = ask_qemu(device, o->iova, o->len, o->write);
		if (!same_record(&o->soft, &o->qemu))
			return false; /* run_case() sees to these */
	}
	return true;
}

/* Some faults, of which the one register has room for the first. @return false: a difference */
static bool run_overflow(uint64_t seed, unsigned int number)
{
	struct record of_soft, of_qemu;
	uint32_t soft_status, qemu_status;
	unsigned int devices[4], n = 0;
	struct outcome o[4];

	for (unsigned int i = 0; i < 4; i++) {
		o[n] = access_make(&devices[n]);
		n += faults_alike(&o[n], devices[n]);
	}
	for (unsigned int i = 0; i < n; i++) {
		soft_dma(&o[i]);
		qtest_dma(devices[i], o[i].iova, o[i].len, o[i].write);
	}
	soft_status = moat_softvtd_read32(soft, VTD_FSTS) & (VTD_FSTS_PFO | VTD_FSTS_PPF);
	of_soft = record_of(moat_softvtd_read64(soft, soft_frcd),
		moat_softvtd_read64(soft, soft_frcd + 8));
	of_qemu = qemu_record(&qemu_status);
	qemu_status &= VTD_FSTS_PFO | VTD_FSTS_PPF;
	soft_clear();
	nr_overflows += soft_status & VTD_FSTS_PFO;
	if (same_record(&of_soft, &of_qemu) && soft_status == qemu_status)
		return true;
	printf("seed %" PRIu64
	       " case %u: %u faults: software unit FSTS 0x%x reason 0x%x page 0x%" PRIx64
	       ", QEMU FSTS 0x%x reason 0x%x page 0x%" PRIx64 ": NOT EXPLAINED\n",
		seed, number, n, soft_status, of_soft.reason, of_soft.page, qemu_status,
		of_qemu.reason, of_qemu.page);
	return false;
}

/* @return false: an unexplained difference */
static bool run_case(uint64_t seed, unsigned int number, uint64_t reasons[256])
{
	unsigned int edu;
	struct outcome o = access_make(&edu);
	const char *why;

	ask_soft(&o);
	if (o.write && o.hpa >= QTEST_RAM && o.hpa < TABLES_END) {
		if (edu >= QTEST_EDUS)
			return true; /* the tables must stay what they are */
		o.write = false;
		ask_soft(&o);
	}
	reasons[o.reason]++;
	if (agree(&o, edu))
		return true;
	why = explained(&shape, &o);
	if (verbose || why == NULL)
		show(&o, seed, number, why != NULL ? why : "NOT EXPLAINED");
	return why != NULL;
}

/* -------------------------------------------------------------------------------- descriptors */

/* Mostly one that is in order, or nearly so. */
static struct vtd_entry descriptor_make(void)
{
	uint64_t did = tables_below(2) ? 0x11 : 0x22, gran = tables_below(4);
	struct vtd_entry d = { 1 + tables_below(8), 0 };

	if (d.lo == MOAT_QI_CONTEXT)
		d.lo |= gran << 4 | did << 16 | (uint64_t)qtest_sid(0) << 32;
	else if (d.lo == MOAT_QI_IOTLB)
		d = (struct vtd_entry){ d.lo | gran << 4 | tables_below(4) << 6 | did << 16,
			gran == MOAT_QI_PAGE ? tables_below(8) << 12 | tables_below(24) : 0 };
	else if (d.lo == MOAT_QI_DEVICE_TLB)
		d.lo |= (uint64_t)qtest_sid(0) << 32;
	else if (d.lo == MOAT_QI_WAIT)
		d = (struct vtd_entry){ d.lo | 1 << (4 + tables_below(2)) | UINT64_C(0x1234) << 32,
			BACK };
	if (tables_below(2) == 0)
		d.lo ^= UINT64_C(1) << tables_below(64);
	if (tables_below(3) == 0)
		d.hi ^= UINT64_C(1) << tables_below(64);
	if ((d.lo & 0xf) == MOAT_QI_WAIT) {
		/* A status goes to a page of its own. QEMU ends at a wait with SW and IF. */
		d.hi = (d.hi & 0xfff) | BACK;
		if (d.lo & 1 << 5)
			d.lo &= ~(UINT64_C(1) << 4);
	}
	return d;
}

static bool iqe_of_both(bool *of_qemu)
{
	unsigned int fsts = qtest_read(QTEST_UNIT + VTD_FSTS, 4);

	qtest_run();
	*of_qemu = qtest_answer(fsts) & VTD_FSTS_IQE;
	for (unsigned int i = 0; i < 64; i++)
		moat_softvtd_poll(soft);
	return moat_softvtd_read32(soft, VTD_FSTS) & VTD_FSTS_IQE;
}

/* Something good in the place of the last descriptor, and on. */
static void mend_queue(void)
{
	tail = (tail + 4096 - slot()) % 4096;
	put(MOAT_QI_WAIT | 1 << 5, BACK);
	write_both(VTD_FSTS, 4, VTD_FSTS_IQE);
	write_both(VTD_IQT, 8, tail);
}

static bool run_descriptor(uint64_t seed, unsigned int number, uint64_t reasons[256])
{
	struct vtd_entry d = descriptor_make();
	bool of_qemu, of_soft;
	const char *why;

	put(d.lo, d.hi);
	write_both(VTD_IQT, 8, tail);
	of_soft = iqe_of_both(&of_qemu);
	reasons[of_soft]++;
	if (of_soft || of_qemu)
		mend_queue();
	if (number == CASES - 1)
		flush(); /* and both go on */
	if (of_soft == of_qemu)
		return true;
	why = explained_descriptor(&shape, d, of_soft);
	if (verbose || why == NULL)
		printf("seed %" PRIu64 " case %u: descriptor %016" PRIx64 " %016" PRIx64
		       ": software unit %s, QEMU %s: %s\n",
			seed, number, d.lo, d.hi, of_soft ? "IQE" : "takes it",
			of_qemu ? "IQE" : "takes it", why != NULL ? why : "NOT EXPLAINED");
	return why != NULL;
}

/* ---------------------------------------------------------------------------------- registers */

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

static uint64_t soft_register(unsigned int i)
{
	return registers[i].bytes == 8 ? moat_softvtd_read64(soft, registers[i].offset)
				       : moat_softvtd_read32(soft, registers[i].offset);
}

/* A command, and time for the software unit to show its status. The queue begins at 0. */
static void command_make(void)
{
	static const uint32_t commands[] = { VTD_GCMD_TE, VTD_GCMD_SRTP, VTD_GCMD_QIE, VTD_GCMD_WBF,
		VTD_GCMD_SFL, VTD_GCMD_EAFL };
	uint32_t keep = moat_softvtd_read32(soft, VTD_GSTS) & VTD_GSTS_KEEP;
	uint32_t value = keep ^ commands[tables_below(RTE_DIM(commands))];

	if (value & ~keep & VTD_GCMD_QIE)
		write_both(VTD_IQT, 8, 0);
	write_both(VTD_GCMD, 4, value);
	for (unsigned int i = 0; i < 64; i++) {
		moat_softvtd_poll(soft);
		moat_softvtd_read32(soft, VTD_GSTS);
	}
}

/* The two have had rings of their own. */
static void registers_begin(void)
{
	uint32_t keep = moat_softvtd_read32(soft, VTD_GSTS) & VTD_GSTS_KEEP;

	write_both(VTD_GCMD, 4, keep & ~VTD_GCMD_QIE);
	while (moat_softvtd_read32(soft, VTD_GSTS) & VTD_GSTS_QIES)
		moat_softvtd_poll(soft);
	for (unsigned int i = 1; i < RTE_DIM(registers); i++)
		if (registers[i].offset != VTD_IQH)
			write_both(registers[i].offset, registers[i].bytes, 0);
}

/* GSTS and IQH cannot be written; IQT is the queue's, and IQA must not change while it is on. */
static void register_make(void)
{
	unsigned int i = 1 + tables_below(RTE_DIM(registers) - 1);
	uint64_t value = tables_random() << 32 ^ tables_random();
	bool queue = moat_softvtd_read32(soft, VTD_GSTS) & VTD_GSTS_QIES;

	if (registers[i].offset == VTD_IQH || registers[i].offset == VTD_IQT ||
		(registers[i].offset == VTD_IQA && queue))
		return;
	if (registers[i].offset == VTD_CCMD)
		value &= ~VTD_CCMD_ICC;
	write_both(registers[i].offset, registers[i].bytes, value);
}

/* @return false: an unexplained difference */
static bool run_register(uint64_t seed, unsigned int number, uint64_t reasons[256])
{
	unsigned int answer[RTE_DIM(registers)];
	bool all = true;

	if (tables_below(3) == 0)
		command_make();
	else
		register_make();
	for (unsigned int i = 0; i < RTE_DIM(registers); i++)
		answer[i] = qtest_read(QTEST_UNIT + registers[i].offset, registers[i].bytes);
	qtest_run();
	reasons[0]++;
	for (unsigned int i = 0; i < RTE_DIM(registers); i++) {
		uint64_t of_soft = soft_register(i), of_qemu = qtest_answer(answer[i]);
		const char *why;

		if (of_soft == of_qemu)
			continue;
		why = explained_register(registers[i].offset, of_soft, of_qemu);
		if (verbose || why == NULL)
			printf("seed %" PRIu64 " case %u: %s: software unit 0x%" PRIx64
			       ", QEMU 0x%" PRIx64 ": %s\n",
				seed, number, registers[i].name, of_soft, of_qemu,
				why != NULL ? why : "NOT EXPLAINED");
		all &= why != NULL;
	}
	return all;
}

/* --------------------------------------------------------------------------------------- set up */

static void start(const char *qemu, const char *iommu)
{
	struct moat_softvtd_conf conf;
	unsigned int read_cap, read_ecap;
	uint64_t cap, ecap;

	qtest_start(qemu, iommu);
	read_cap = qtest_read(QTEST_UNIT + VTD_CAP, 8);
	read_ecap = qtest_read(QTEST_UNIT + VTD_ECAP, 8);
	qtest_run();
	cap = qtest_answer(read_cap);
	ecap = qtest_answer(read_ecap);
	moat_softvtd_conf_init(&conf); /* the adversary included */
	conf.memory = QTEST_RAM;
	conf.memory_size = QTEST_END - QTEST_RAM;
	conf.mgaw = (cap >> VTD_CAP_MGAW_SHIFT & 0x3f) + 1;
	conf.haw = conf.mgaw; /* QEMU's aw-bits is both */
	conf.sagaw = cap >> VTD_CAP_SAGAW_SHIFT & 0x1f;
	conf.nd_bits = 4 + 2 * (cap & 7);
	conf.sllps = cap >> VTD_CAP_SSLPS_SHIFT & 3;
	conf.mamv = cap >> VTD_CAP_MAMV_SHIFT & 0x3f;
	conf.psi = cap & VTD_CAP_PSI;
	conf.cm = cap & VTD_CAP_CM;
	conf.zlr = cap & VTD_CAP_ZLR;
	conf.dt = ecap & VTD_ECAP_DT;
	conf.pt = ecap & VTD_ECAP_PT;
	conf.sc = ecap & VTD_ECAP_SC;
	conf.nfr = 1;
	conf.scalable = ecap & VTD_ECAP_SMTS;
	conf.ssts = ecap & VTD_ECAP_SSTS;
	conf.fsts = ecap & VTD_ECAP_FSTS;
	conf.nest = ecap & VTD_ECAP_NEST;
	conf.pasid_bits =
		ecap & VTD_ECAP_PASID ? ((ecap & VTD_ECAP_PSS) >> VTD_ECAP_PSS_SHIFT) + 1 : 0;
	conf.fs1gp = cap & VTD_CAP_FS1GP;
	conf.fs5lp = cap & VTD_CAP_FS5LP;
	conf.ir = ecap & VTD_ECAP_IR;
	conf.eim = ecap & VTD_ECAP_EIM;
	conf.compress = true; /* as QEMU does */
	conf.oracle = false;
	conf.shards = 1;
	if (moat_softvtd_create(&conf, &soft) != 0) {
		fprintf(stderr, "differential: %s\n", moat_error_text());
		exit(2);
	}
	shape = (struct shape){ .levels = conf.mgaw > 48 ? 5
			: conf.mgaw > 39                 ? 4
							 : 3,
		.haw = conf.haw,
		.sagaw = conf.sagaw,
		.dt = conf.dt,
		.sc = conf.sc,
		.scalable = conf.scalable,
		.first = conf.scalable && !conf.ssts };
	qemu_frcd = (cap >> VTD_CAP_FRO_SHIFT & 0x3ff) * 16;
	soft_frcd = conf.fro;
}

static void bring_up(void)
{
	for (unsigned int i = 0; i < NR_TARGETS; i++)
		memset(at(TARGETS + i * UINT64_C(4096)), i + 1, 4096);
	for (uint64_t hpa = QTEST_RAM + (2 << 20); hpa < QTEST_END; hpa += 4096)
		memset(at(hpa), (hpa >> 12 ^ hpa >> 21) % 100 + 40, 4096);
	for (unsigned int i = 0; i < QTEST_EDUS; i++) /* translation is off */
		qtest_dma(i, TARGETS, LEN_MAX, false);
	qtest_run();
	tables_make(&shape);
	write_both(VTD_RTADDR, 8,
		shape.scalable ? ROOT | VTD_TTM_SCALABLE << VTD_RTADDR_TTM_SHIFT : ROOT);
	command(VTD_GCMD_SRTP);
	qtest_write(QTEST_UNIT + VTD_IQA, 8, RING_QEMU | (shape.scalable ? VTD_IQA_DW : 0));
	moat_softvtd_write64(soft, VTD_IQA, RING_SOFT | (shape.scalable ? VTD_IQA_DW : 0));
	command(VTD_GCMD_QIE);
	flush();
	command(VTD_GCMD_TE);
}

enum kind { ACCESSES, DESCRIPTORS, REGISTERS };

static bool run_one(enum kind kind, uint64_t seed, unsigned int number, uint64_t reasons[256])
{
	if (kind == DESCRIPTORS)
		return run_descriptor(seed, number, reasons);
	if (kind == REGISTERS)
		return run_register(seed, number, reasons);
	if (!run_case(seed, number, reasons))
		return false;
	if (tables_below(16) == 0 && !focused && !run_overflow(seed, number))
		return false;
	invalidate(tables_change(&shape));
	return true;
}

/* @return the exit status */
static int run(uint64_t cases, uint64_t seed, enum kind kind)
{
	static const char *const what[] = { "reached memory", "taken", "writes and commands" };
	uint64_t reasons[256] = { 0 }, done = 0;

	for (; done < cases; seed++) {
		tables_seed(seed);
		tables_make(&shape);
		focused = false;
		if (kind != REGISTERS)
			flush();
		for (unsigned int i = 0; i < CASES && done < cases; i++, done++)
			if (!run_one(kind, seed, i, reasons))
				return 1;
	}
	printf("%" PRIu64 " cases, of them %" PRIu64 " %s, 0 unexplained differences\n", done,
		reasons[0], what[kind]);
	for (unsigned int i = 1; i < 256; i++)
		if (reasons[i] != 0 && kind == ACCESSES)
			printf("  reason 0x%02x: %" PRIu64 "\n", i, reasons[i]);
	if (kind == ACCESSES)
		printf("  %" PRIu64 " invalidations by pages, %" PRIu64 " overflows\n", nr_pages,
			nr_overflows);
	explained_print();
	return 0;
}

static const char *iommu_of(const char *name)
{
	for (unsigned int i = 0; i < RTE_DIM(configurations); i++)
		if (strcmp(configurations[i].name, name) == 0)
			return configurations[i].iommu;
	fprintf(stderr, "differential: no configuration '%s'; there are:", name);
	for (unsigned int i = 0; i < RTE_DIM(configurations); i++)
		fprintf(stderr, " %s", configurations[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "cases", 1, NULL, 'c' },
		{ "seed", 1, NULL, 's' }, { "qemu", 1, NULL, 'q' }, { "verbose", 0, NULL, 'v' },
		{ "descriptors", 0, NULL, 'd' }, { "registers", 0, NULL, 'r' },
		{ NULL, 0, NULL, 0 } };
	const char *qemu = "qemu-system-x86_64";
	uint64_t cases = 4000, seed = rte_rdtsc() & 0xffffffff;
	enum kind kind = ACCESSES;
	int c, status;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'c')
			cases = strtoull(optarg, NULL, 0);
		else if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'q')
			qemu = optarg;
		else if (c == 'd')
			kind = DESCRIPTORS;
		else if (c == 'r')
			kind = REGISTERS;
		else if (c == 'v')
			verbose = true;
		else
			return 2;
	}
	if (optind + 1 != argc) {
		fprintf(stderr,
			"usage: differential [--cases N] [--seed N] [--descriptors|--registers] "
			"[--qemu PROGRAM] [--verbose] CONFIGURATION\n");
		return 2;
	}
	printf("# --seed %" PRIu64 "\n", seed);
	start(qemu, iommu_of(argv[optind]));
	bring_up();
	if (kind == REGISTERS)
		registers_begin();
	status = run(cases, seed, kind);
	qtest_end();
	moat_softvtd_destroy(soft);
	return status;
}
