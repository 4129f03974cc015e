/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "raw.h"

#define ARENA_ROOT       0
#define ARENA_OTHERS     1
#define ARENA_CONTEXT    2
#define ARENA_RING       3
#define ARENA_STATUS     4
#define ARENA_SM_ROOT    5
#define ARENA_SM_OTHERS  6 /* context table of the functions that pass through */
#define ARENA_SM_CONTEXT 7 /* of the device's half of a bus */
#define ARENA_SM_DIRS    8 /* PASID directory of the other functions */
#define ARENA_SM_PASS    9 /* a PASID table whose entry 0 passes through */
#define ARENA_SM_PASIDS  10
#define ARENA_FREE       11

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static bool patience(struct raw *r, double since)
{
	if (r->w.run != NULL)
		r->w.run(r->w.ctx);
	return now() - since < 1.0;
}

/* ------------------------------------------------------------------------------------ memory */

uint64_t raw_page(struct raw *r)
{
	uint64_t hpa = r->hpa + r->next++ * MOAT_PAGE_SIZE;

	assert_true(hpa < r->hpa + MOAT_2M_SIZE);
	memset(raw_va(r, hpa), 0, MOAT_PAGE_SIZE);
	for (unsigned int i = 0; i < MOAT_PAGE_SIZE; i += 64)
		__builtin_ia32_clflush((char *)raw_va(r, hpa) + i);
	return hpa;
}

void *raw_va(const struct raw *r, uint64_t hpa)
{
	assert_true(hpa >= r->hpa && hpa < r->hpa + MOAT_2M_SIZE);
	return r->va + (hpa - r->hpa);
}

void raw_store(struct raw *r, uint64_t *at, uint64_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELEASE); /* the unit may read it at any time */
	__builtin_ia32_clflush(at);
	__builtin_ia32_mfence();
}

uint64_t *raw_entry(struct raw *r, uint64_t root, unsigned int levels, uint64_t iova,
	unsigned int level)
{
	uint64_t table = root;

	for (unsigned int l = levels;; l--) {
		uint64_t *e = (uint64_t *)raw_va(r, table) + (iova >> (12 + 9 * (l - 1)) & 511);

		if (l == level)
			return e;
		if (*e == 0)
			raw_store(r, e, raw_page(r) | MOAT_SS_R | MOAT_SS_W);
		table = *e & MOAT_SS_ADDR;
	}
}

void raw_map(struct raw *r, uint64_t root, unsigned int levels, uint64_t iova, uint64_t entry)
{
	raw_store(r, raw_entry(r, root, levels, iova, 1), entry);
}

void raw_context(struct raw *r, uint64_t lo, uint64_t hi)
{
	struct vtd_entry *e = &r->context[r->sid & 0xff];

	raw_store(r, &e->hi, hi);
	raw_store(r, &e->lo, lo);
}

void raw_attach(struct raw *r, uint64_t root, unsigned int levels, uint16_t did)
{
	raw_context(r, root | VTD_CTX_P, (uint64_t)did << VTD_CTX_DID_SHIFT | (levels - 2));
}

unsigned int raw_levels(const struct raw *r)
{
	return r->caps.sagaw & 4 ? 4 : r->caps.sagaw & 2 ? 3 : 5;
}

uint64_t raw_pass_hi(const struct raw *r)
{
	uint64_t aw = r->caps.sagaw & 8 ? 3 : r->caps.sagaw & 4 ? 2 : 1;

	return 1 << VTD_CTX_DID_SHIFT | aw;
}

/* ------------------------------------------------------------------------------ scalable mode */

/* "Scalable-Mode Root Entry", "Scalable-Mode Context Entry", "Scalable-Mode PASID Directory Entry",
 * "Scalable-Mode PASID Table Entry" */
#define SM_CTX_WORDS 4
#define SM_FS_LINK   UINT64_C(0x27) /* P, R/W, U/S, A */
#define SM_PE_AW4    (UINT64_C(2) << VTD_PE_AW_SHIFT)

static uint64_t arena(const struct raw *r, unsigned int page)
{
	return r->hpa + page * MOAT_PAGE_SIZE;
}

/* Point all functions of a context table to the directory `dir`. Requests without a PASID use PASID
 * 0. */
static void fill_sm_context(struct raw *r, unsigned int page, uint64_t dir)
{
	uint64_t *e = raw_va(r, arena(r, page));

	for (unsigned int i = 0; i < MOAT_PAGE_SIZE / sizeof(*e); i += SM_CTX_WORDS)
		raw_store(r, &e[i], dir | VTD_PE_P);
}

static void fill_scalable(struct raw *r)
{
	uint64_t dirs = arena(r, ARENA_SM_DIRS), *others, *pass;
	unsigned int own = (r->sid >> 8) * 2 + (r->sid >> 7 & 1);

	for (unsigned int page = ARENA_SM_ROOT; page < ARENA_FREE; page++)
		for (unsigned int i = 0; i < MOAT_PAGE_SIZE / sizeof(uint64_t); i++)
			raw_store(r, (uint64_t *)raw_va(r, arena(r, page)) + i, 0);
	for (unsigned int i = 0; i < 512; i++)
		raw_store(r, &r->sm_root[i],
			arena(r, i == own ? ARENA_SM_CONTEXT : ARENA_SM_OTHERS) | VTD_PE_P);
	fill_sm_context(r, ARENA_SM_OTHERS, dirs);
	fill_sm_context(r, ARENA_SM_CONTEXT, dirs);
	others = raw_va(r, dirs);
	raw_store(r, others, arena(r, ARENA_SM_PASS) | VTD_PE_P);
	pass = raw_va(r, arena(r, ARENA_SM_PASS));
	raw_store(r, &pass[1], 1); /* domain-id */
	raw_store(r, &pass[0],
		(uint64_t)VTD_PGTT_PASS_THROUGH << VTD_PE_PGTT_SHIFT | SM_PE_AW4 | VTD_PE_P);
	/* The device's own directory takes a page, as each directory does. */
	r->next = ARENA_FREE;
	dirs = raw_page(r);
	r->sm_dir = raw_va(r, dirs);
	raw_store(r, r->sm_context, dirs | VTD_PE_P);
	raw_store(r, r->sm_dir, arena(r, ARENA_SM_PASIDS) | VTD_PE_P);
}

void raw_pasid(struct raw *r, unsigned int pgtt, uint16_t did, uint64_t second, uint64_t first)
{
	raw_store(r, &r->sm_pasid[2], first);
	raw_store(r, &r->sm_pasid[1], did);
	raw_store(r, &r->sm_pasid[0],
		second | (uint64_t)pgtt << VTD_PE_PGTT_SHIFT | SM_PE_AW4 | VTD_PE_P);
}

uint64_t *raw_first_entry(struct raw *r, uint64_t root, uint64_t iova, unsigned int level)
{
	uint64_t table = root;

	for (unsigned int l = 4;; l--) {
		uint64_t *e = (uint64_t *)raw_va(r, table) + (iova >> (12 + 9 * (l - 1)) & 511);

		if (l == level)
			return e;
		if (*e == 0)
			raw_store(r, e, raw_page(r) | SM_FS_LINK);
		table = *e & MOAT_SS_ADDR;
	}
}

/* ---------------------------------------------------------------------------------- registers */

static void await_gsts(struct raw *r, uint32_t bit, bool set)
{
	double since = now();

	while (!!(vtd_read32(&r->w, VTD_GSTS) & bit) != set)
		if (!patience(r, since))
			fail_msg("GSTS bit 0x%x never %s", bit, set ? "set" : "clear");
}

void raw_command(struct raw *r, uint32_t bit, bool set)
{
	uint32_t keep = vtd_read32(&r->w, VTD_GSTS) & VTD_GSTS_KEEP & ~bit;

	vtd_write32(&r->w, VTD_GCMD, set ? keep | bit : keep);
	await_gsts(r, bit, set);
}

static void invalidate_by_registers(struct raw *r)
{
	uint32_t iotlb = r->caps.iro + VTD_IOTLB;
	double since = now();

	vtd_write64(&r->w, VTD_CCMD, VTD_CCMD_ICC | VTD_CCMD_CIRG_GLOBAL);
	while (vtd_read64(&r->w, VTD_CCMD) & VTD_CCMD_ICC)
		assert_true(patience(r, since));
	vtd_write64(&r->w, iotlb,
		VTD_IOTLB_IVT | VTD_IOTLB_IIRG_GLOBAL | (r->caps.drd ? VTD_IOTLB_DR : 0) |
			(r->caps.dwd ? VTD_IOTLB_DW : 0));
	while (vtd_read64(&r->w, iotlb) & VTD_IOTLB_IVT)
		assert_true(patience(r, since));
}

/* -------------------------------------------------------------------------------- up and down */

static void fill_root(struct raw *r)
{
	uint64_t others = r->hpa + ARENA_OTHERS * MOAT_PAGE_SIZE;
	uint64_t context = r->hpa + ARENA_CONTEXT * MOAT_PAGE_SIZE;
	uint64_t pass = VTD_TT_PASS_THROUGH << VTD_CTX_TT_SHIFT | (r->caps.pt ? VTD_CTX_P : 0);
	uint64_t hi = raw_pass_hi(r);

	for (unsigned int i = 0; i < 256; i++) {
		bool own = i == r->sid >> 8;

		raw_store(r, &r->root[i].hi, 0);
		raw_store(r, &r->root[i].lo, (own ? context : others) | VTD_ROOT_P);
		raw_store(r, &r->others[i].hi, hi);
		raw_store(r, &r->others[i].lo, pass);
		own = i == (r->sid & 0xff);
		raw_store(r, &r->context[i].lo, own ? 0 : pass);
		raw_store(r, &r->context[i].hi, own ? 0 : hi);
	}
}

void raw_fresh(struct raw *r)
{
	raw_scalable(r, false);
	fill_root(r);
	r->next = ARENA_FREE;
	raw_forget(r);
	raw_faults_clear(r);
}

static void queue_on(struct raw *r)
{
	r->tail = 0;
	vtd_write64(&r->w, VTD_IQT, 0);
	vtd_write64(&r->w, VTD_IQA, arena(r, ARENA_RING) | (r->scalable ? VTD_IQA_DW : 0));
	raw_command(r, VTD_GCMD_QIE, true);
}

static void tables_on(struct raw *r)
{
	vtd_write64(&r->w, VTD_RTADDR,
		r->scalable ? arena(r, ARENA_SM_ROOT) | UINT64_C(1) << VTD_RTADDR_TTM_SHIFT
			    : arena(r, ARENA_ROOT));
	vtd_write32(&r->w, VTD_GCMD, VTD_GCMD_SRTP);
	await_gsts(r, VTD_GSTS_RTPS, true);
}

void raw_scalable(struct raw *r, bool on)
{
	if (r->scalable == on)
		return;
	raw_command(r, VTD_GCMD_TE, false);
	raw_command(r, VTD_GCMD_QIE, false);
	r->scalable = on;
	if (on)
		fill_scalable(r);
	tables_on(r);
	queue_on(r);
	raw_forget(r);
	raw_command(r, VTD_GCMD_TE, true);
}

/** While translation is off, let the device fetch the words that it will write. */
static void fill_device(void)
{
	uint64_t hpa, *word = rig_memory(&hpa);

	for (unsigned int i = 0; i < RAW_TAGS; i++)
		word[i] = i;
	rig_read(0, hpa, RIG_BUFFER);
	rig_memory_free(word);
}

void raw_up(struct raw *r)
{
	struct moat_vtd_conf conf;

	memset(r, 0, sizeof(*r));
	rig_conf(&conf);
	r->w = conf.window;
	r->sid = rig_sid(0);
	assert_int_equal(moat_vtd_caps_read(&r->w, &r->caps), 0);
	r->va = rig_memory(&r->hpa);
	r->root = (struct vtd_entry *)r->va;
	r->others = (struct vtd_entry *)(r->va + ARENA_OTHERS * MOAT_PAGE_SIZE);
	r->context = (struct vtd_entry *)(r->va + ARENA_CONTEXT * MOAT_PAGE_SIZE);
	r->ring = (struct moat_qi_desc *)(r->va + ARENA_RING * MOAT_PAGE_SIZE);
	r->status = (uint32_t *)(r->va + ARENA_STATUS * MOAT_PAGE_SIZE);
	r->status_hpa = r->hpa + ARENA_STATUS * MOAT_PAGE_SIZE;
	r->sm_root = raw_va(r, arena(r, ARENA_SM_ROOT));
	r->sm_context =
		(uint64_t *)raw_va(r, arena(r, ARENA_SM_CONTEXT)) + SM_CTX_WORDS * (r->sid & 0x7f);
	r->sm_pasid = raw_va(r, arena(r, ARENA_SM_PASIDS));
	*r->status = 0;
	if (vtd_read32(&r->w, VTD_GSTS) & (VTD_GSTS_TES | VTD_GSTS_QIES | VTD_GSTS_IRES))
		fail_msg("the unit is in use: boot with intel_iommu=off intremap=off");
	fill_device();
	vtd_write32(&r->w, VTD_FECTL, VTD_FECTL_IM);
	vtd_write32(&r->w, VTD_IECTL, VTD_IECTL_IM);
	fill_root(r);
	tables_on(r);
	invalidate_by_registers(r);
	queue_on(r);
	raw_command(r, VTD_GCMD_TE, true);
	r->next = ARENA_FREE;
}

void raw_down(struct raw *r)
{
	raw_scalable(r, false);
	raw_command(r, VTD_GCMD_TE, false);
	raw_command(r, VTD_GCMD_QIE, false);
	rig_memory_free(r->va);
}

/* -------------------------------------------------------------------------------------- queue */

void raw_queue(struct raw *r, const struct moat_qi_desc desc[], unsigned int n)
{
	unsigned int each = r->scalable ? 2 : 1; /* slots of 128 bits in a descriptor */

	for (unsigned int i = 0; i < n; i++) {
		r->ring[r->tail] = desc[i];
		if (r->scalable)
			r->ring[r->tail + 1] = (struct moat_qi_desc){ 0, 0 };
		r->tail = (r->tail + each) % RAW_RING;
	}
	vtd_write64(&r->w, VTD_IQT, r->tail * sizeof(*r->ring));
}

bool raw_await(struct raw *r, uint32_t seq)
{
	double since = now();

	while (__atomic_load_n(r->status, __ATOMIC_ACQUIRE) != seq)
		if (!patience(r, since))
			return false;
	return true;
}

bool raw_sync(struct raw *r, const struct moat_qi_desc desc[], unsigned int n)
{
	struct moat_qi_desc wait = moat_qi_wait_status(r->status_hpa, ++r->seq, false);

	raw_queue(r, desc, n);
	raw_queue(r, &wait, 1);
	return raw_await(r, r->seq);
}

void raw_forget(struct raw *r)
{
	const struct moat_qi_desc context = moat_qi_context_global(),
				  iotlb = moat_qi_iotlb_global(),
				  pasids = moat_qi_pasid_cache(MOAT_QI_PASID_GLOBAL, 0, 0);

	assert_true(raw_sync(r, &context, 1));
	if (r->scalable)
		assert_true(raw_sync(r, &pasids, 1));
	assert_true(raw_sync(r, &iotlb, 1));
}

/* ------------------------------------------------------------------------------------- faults */

bool raw_fault(struct raw *r, struct raw_fault *fault)
{
	uint32_t fsts = vtd_read32(&r->w, VTD_FSTS), first = VTD_FIELD(fsts, VTD_FSTS_FRI);

	if (!(fsts & VTD_FSTS_PPF))
		return false;
	/* FRI is the index of the oldest fault when PPF was set; FRI stays when that fault is
	 * cleared. */
	for (unsigned int i = 0; i < r->caps.nfr; i++) {
		uint32_t reg = r->caps.fro + (first + i) % r->caps.nfr * VTD_FRCD_SIZE;
		uint64_t hi = vtd_read64(&r->w, reg + 8);

		if (!(hi & VTD_FRCD_F))
			continue;
		*fault = (struct raw_fault){
			.reason = VTD_FIELD(hi, VTD_FRCD_FR),
			.address = vtd_read64(&r->w, reg),
			.sid = hi & VTD_FRCD_SID,
			.read = hi & VTD_FRCD_T1,
		};
		vtd_write32(&r->w, reg + 12, VTD_FRCD_F >> 32);
		return true;
	}
	return false;
}

unsigned int raw_faults_clear(struct raw *r)
{
	unsigned int n = 0;

	/* FRI names only the first of the pending faults. */
	for (unsigned int i = 0; i < r->caps.nfr; i++) {
		uint32_t reg = r->caps.fro + i * VTD_FRCD_SIZE;

		n += (vtd_read64(&r->w, reg + 8) & VTD_FRCD_F) != 0;
		vtd_write32(&r->w, reg + 12, VTD_FRCD_F >> 32);
	}
	vtd_write32(&r->w, VTD_FSTS, VTD_FSTS_PFO);
	return n;
}

/* ---------------------------------------------------------------------------------------- DMA */

void raw_dma(struct raw *r, bool write, uint64_t iova, unsigned int tag, uint32_t len)
{
	if (write)
		rig_write_from(0, tag * sizeof(uint64_t), iova, len);
	else
		rig_read(0, iova, len);
}

static uint8_t dma(struct raw *r, bool write, uint64_t iova, unsigned int tag)
{
	struct raw_fault f = { 0 };

	assert_true(tag < RAW_TAGS);
	raw_dma(r, write, iova, tag, sizeof(uint64_t));
	if (!raw_fault(r, &f))
		return 0;
	assert_int_equal(f.sid, r->sid);
	assert_int_equal(f.address & MOAT_SS_ADDR, iova & MOAT_SS_ADDR);
	assert_int_equal(f.read, !write);
	return f.reason;
}

uint8_t raw_write(struct raw *r, uint64_t iova, unsigned int tag)
{
	return dma(r, true, iova, tag);
}

uint8_t raw_read(struct raw *r, uint64_t iova)
{
	return dma(r, false, iova, 0);
}
