/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Two units judge each other: the software unit and QEMU's walk the same random tables for the same
 * random accesses. They must reach the same bytes, or refuse with the same record. Where they may
 * differ is listed, with the section of the specification, in explained.c.
 *
 *	differential [--cases N] [--seed N] [--descriptors] [--qemu PROGRAM] [--verbose] CONFIGURATION
 *
 * With --descriptors, cases are descriptors of any content for the invalidation queue: both units must take
 * them, or both must stop with IQE.
 *
 * A difference ends the program with status 1 and the seed of its world, with which it is seen again:
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
	{ "48", ",aw-bits=48" },
	{ "39", ",aw-bits=39" },
	{ "48-caching-mode", ",aw-bits=48,caching-mode=on" },
	{ "48-device-tlb", ",aw-bits=48,device-iotlb=on" },
	{ "48-snoop-control", ",aw-bits=48,snoop-control=on" },
};

static struct shape shape;
static struct moat_softvtd *soft;
static uint32_t qemu_frcd, soft_frcd, tail, sequence;
static bool verbose;

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

static void put(uint64_t lo, uint64_t hi)
{
	uint64_t *of_soft = at(RING_SOFT + tail), *of_qemu = at(RING_QEMU + tail);

	of_soft[0] = of_qemu[0] = lo;
	of_soft[1] = of_qemu[1] = hi;
	tail = (tail + 16) % 4096;
}

/* Waits for the software unit; QEMU's works while it is written to. */
static void doorbell(void)
{
	volatile uint32_t *status = at(STATUS);

	put(MOAT_QI_WAIT | 1 << 5 | (uint64_t)++sequence << 32, STATUS);
	((uint64_t *)at(RING_QEMU + (tail + 4096 - 16) % 4096))[1] = STATUS + 8;
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
	put(MOAT_QI_IOTLB | MOAT_QI_GLOBAL << 4 | 0xc0, 0);
	doorbell();
}

/* One of the ways that are enough after a change. */
static void invalidate(enum change change)
{
	if (change == CHANGE_NONE)
		return;
	if (change == CHANGE_CONTEXT || tables_below(3) == 0) {
		flush();
		return;
	}
	if (tables_below(3) == 0) {
		put(MOAT_QI_IOTLB | MOAT_QI_GLOBAL << 4 | 0xc0, 0);
	} else {
		for (unsigned int i = 0; i < QTEST_EDUS; i++) {
			uint64_t did = tables_context(qtest_sid(i))[1] >> 8 & 0xffff;

			put(MOAT_QI_IOTLB | MOAT_QI_DOMAIN << 4 | 0xc0 | did << 16, 0);
		}
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

static void ask_soft(struct outcome *o)
{
	struct moat_softvtd_guard guard;
	void *va = NULL;

	moat_softvtd_dma_begin(soft, o->sid, 0, o->write ? MOAT_W : MOAT_R, &guard);
	o->reason = moat_softvtd_request(&guard, MOAT_SOFTVTD_UNTRANSLATED, o->iova,
		o->write ? MOAT_W : MOAT_R, false, &va);
	moat_softvtd_dma_end(&guard);
	o->hpa = o->reason == 0 ? (uintptr_t)va : 0;
	o->soft = record_of(moat_softvtd_read64(soft, soft_frcd),
		moat_softvtd_read64(soft, soft_frcd + 8));
	moat_softvtd_write64(soft, soft_frcd + 8, VTD_FRCD_F);
	moat_softvtd_write32(soft, VTD_FSTS, VTD_FSTS_PFO);
}

/* A device's access to QEMU's unit, and what it has recorded. */
static struct record ask_qemu(unsigned int edu, uint64_t iova, unsigned int len, bool write)
{
	unsigned int lo, hi;

	qtest_dma(edu, iova, len, write);
	lo = qtest_read(QTEST_UNIT + qemu_frcd, 8);
	hi = qtest_read(QTEST_UNIT + qemu_frcd + 8, 8);
	qtest_write(QTEST_UNIT + qemu_frcd + 8, 8, VTD_FRCD_F);
	qtest_write(QTEST_UNIT + VTD_FSTS, 4, VTD_FSTS_PFO);
	qtest_run();
	return record_of(qtest_answer(lo), qtest_answer(hi));
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
	printf("  root %016" PRIx64 " %016" PRIx64 ", context %016" PRIx64 " %016" PRIx64 "\n",
		((uint64_t *)at(ROOT))[0], ((uint64_t *)at(ROOT))[1], tables_context(o->sid)[0],
		tables_context(o->sid)[1]);
	tables_show(o->sid, o->iova);
}

/* @return false: an unexplained difference */
static bool run_case(uint64_t seed, unsigned int number, uint64_t reasons[256])
{
	unsigned int edu = tables_below(QTEST_EDUS);
	struct outcome o = {
		.sid = qtest_sid(edu),
		.iova = tables_iova(&shape),
		.write = tables_below(2),
		.len = 8 * (1 + tables_below(LEN_MAX / 8)),
	};
	const char *why;

	if (o.iova >> 20 == 0xfee)
		o.iova ^= UINT64_C(1) << 31; /* interrupt requests have a road of their own */
	if ((o.iova & 4095) + o.len > 4096)
		o.len = 8;
	ask_soft(&o);
	if (o.write && o.hpa >= QTEST_RAM && o.hpa < TABLES_END) {
		o.write = false; /* the tables must stay what they are */
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
	tail = (tail + 4096 - 16) % 4096;
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
		.sc = conf.sc };
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
	write_both(VTD_RTADDR, 8, ROOT);
	command(VTD_GCMD_SRTP);
	qtest_write(QTEST_UNIT + VTD_IQA, 8, RING_QEMU);
	moat_softvtd_write64(soft, VTD_IQA, RING_SOFT);
	command(VTD_GCMD_QIE);
	flush();
	command(VTD_GCMD_TE);
}

/* @return the exit status */
static int run(uint64_t cases, uint64_t seed, bool descriptors)
{
	uint64_t reasons[256] = { 0 }, done = 0;

	for (; done < cases; seed++) {
		tables_seed(seed);
		tables_make(&shape);
		flush();
		for (unsigned int i = 0; i < CASES && done < cases; i++, done++) {
			if (!(descriptors ? run_descriptor : run_case)(seed, i, reasons))
				return 1;
			if (!descriptors)
				invalidate(tables_change(&shape));
		}
	}
	printf("%" PRIu64 " cases, of them %" PRIu64 " %s, 0 unexplained differences\n", done,
		reasons[0], descriptors ? "taken" : "reached memory");
	for (unsigned int i = 1; i < 256; i++)
		if (reasons[i] != 0 && !descriptors)
			printf("  reason 0x%02x: %" PRIu64 "\n", i, reasons[i]);
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
		{ "descriptors", 0, NULL, 'd' }, { NULL, 0, NULL, 0 } };
	const char *qemu = "qemu-system-x86_64";
	uint64_t cases = 4000, seed = rte_rdtsc() & 0xffffffff;
	bool descriptors = false;
	int c, status;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'c')
			cases = strtoull(optarg, NULL, 0);
		else if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'q')
			qemu = optarg;
		else if (c == 'd')
			descriptors = true;
		else if (c == 'v')
			verbose = true;
		else
			return 2;
	}
	if (optind + 1 != argc) {
		fprintf(stderr,
			"usage: differential [--cases N] [--seed N] [--descriptors] [--qemu PROGRAM] "
			"[--verbose] CONFIGURATION\n");
		return 2;
	}
	printf("# --seed %" PRIu64 "\n", seed);
	start(qemu, iommu_of(argv[optind]));
	bring_up();
	status = run(cases, seed, descriptors);
	qtest_end();
	moat_softvtd_destroy(soft);
	return status;
}
