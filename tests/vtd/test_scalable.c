/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The driver in scalable mode: what it writes and in which order it invalidates, descriptor by
 * descriptor, on a window that records (fake_unit.h); and PASIDs of one function in several
 * domains, on the software unit with its oracle. */

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <urcu-qsbr.h>

#include "fake_unit.h"
#include "moat_domain.h"
#include "moat_soft_unit.h"
#include "must.h"
#include "unit_args.h"

#define NIC   MOAT_SID(3, 0x12, 1) /* in the upper half of the root entry */
#define PASID 0x123

/* ------------------------------------------------------------------- on the recording window */

struct bench {
	struct fake_unit f;
	struct moat_vtd_conf conf;
	struct moat_unit *unit;
	struct moat_pt pt[2];
	struct moat_domain domain[2];
};

static struct bench *bench_up(enum moat_vtd_stage stage, uint64_t cap)
{
	struct bench *b = calloc(1, sizeof(*b));

	fake_init(&b->f);
	*fake_reg64(&b->f, VTD_CAP) |= cap;
	*fake_reg64(&b->f, VTD_ECAP) |= VTD_ECAP_SMTS | VTD_ECAP_SSTS | VTD_ECAP_FSTS |
		VTD_ECAP_SMPWCS | VTD_ECAP_PASID | VTD_ECAP_NEST |
		UINT64_C(19) << VTD_ECAP_PSS_SHIFT;
	b->conf = fake_conf(&b->f);
	b->conf.mode = MOAT_VTD_SCALABLE;
	b->conf.stage = stage;
	must(moat_vtd_create(&b->conf, &b->unit));
	for (unsigned int i = 0; i < 2; i++) {
		b->pt[i] = (struct moat_pt){ .root_hpa = 0xaa000 + i * 0x1000,
			.levels = 4,
			.format = b->unit->caps.format };
		b->domain[i] = (struct moat_domain){ .did = 5 + i, .pt = &b->pt[i] };
		b->domain[i].unit = b->unit;
		snprintf(b->domain[i].name, sizeof(b->domain[i].name), "d%u", i);
	}
	b->f.nr_descs = 0;
	return b;
}

static void bench_free(struct bench *b)
{
	b->unit->ops->destroy(b->unit);
	free(b);
}

static const uint64_t *at(uint64_t entry)
{
	return (const uint64_t *)(uintptr_t)(entry & VTD_ROOT_CTP);
}

/* @return the entry as the unit finds it, starting at RTADDR; NULL: an entry above it is absent */
static const uint64_t *context(struct bench *b, moat_sid_t sid)
{
	uint64_t half = at(*fake_reg64(&b->f, VTD_RTADDR))[sid >> 7];

	return half & VTD_ROOT_P ? at(half) + 4 * (sid & 0x7f) : NULL;
}

static const uint64_t *pasid(struct bench *b, moat_sid_t sid, uint32_t p)
{
	const uint64_t *c = context(b, sid);
	uint64_t dir;

	if (c == NULL || !(c[0] & VTD_SMC_P))
		return NULL;
	dir = at(c[0])[p >> 6];
	return dir & VTD_PDE_P ? at(dir) + 8 * (p & 63) : NULL;
}

/* @return the descriptors since the last call; a wait is shown as "then" */
static void expect_then(struct bench *b, unsigned int *i, struct moat_qi_desc want)
{
	assert_true(*i + 1 < b->f.nr_descs);
	assert_int_equal(b->f.desc[*i].lo, want.lo);
	assert_int_equal(b->f.desc[*i].hi, want.hi);
	assert_int_equal(b->f.desc[*i + 1].lo & 0xf, MOAT_QI_WAIT);
	*i += 2;
}

static void expect_end(struct bench *b, unsigned int i)
{
	assert_int_equal(b->f.nr_descs, i);
	b->f.nr_descs = 0;
}

static void bring_up_says_so_to_the_unit(void **state)
{
	struct bench *b = bench_up(MOAT_VTD_STAGE_ANY, 0);

	assert_int_equal(*fake_reg64(&b->f, VTD_RTADDR) >> VTD_RTADDR_TTM_SHIFT & 3, 1);
	assert_true(*fake_reg64(&b->f, VTD_IQA) & VTD_IQA_DW);
	assert_int_equal(*fake_reg64(&b->f, VTD_CCMD), 0); /* not by registers */
	/* context cache, then PASID cache, then IOTLB, before translation is on */
	assert_int_equal(b->f.desc[0].lo, moat_qi_context_global().lo);
	assert_int_equal(b->f.desc[2].lo, moat_qi_pasid_cache(MOAT_QI_PASID_GLOBAL, 0, 0).lo);
	assert_int_equal(b->f.desc[4].lo, moat_qi_iotlb_global().lo);
	assert_null(context(b, NIC));
	bench_free(b);
}

static void attach_writes_the_entries_of_second_stage(void **state)
{
	struct bench *b = bench_up(MOAT_VTD_STAGE_SECOND, 0);
	const uint64_t *e;

	must(b->unit->ops->attach(b->unit, &b->domain[0], NIC));
	assert_int_equal(context(b, NIC)[0] & 0xfff,
		VTD_SMC_P | VTD_SMC_PASIDE | 2 << VTD_SMC_PDTS_SHIFT);
	assert_int_equal(context(b, NIC)[1], 0); /* RID_PASID */
	e = pasid(b, NIC, 0);
	assert_int_equal(e[0],
		0xaa000 | 2 << VTD_PE_AW_SHIFT | VTD_PGTT_SECOND_STAGE << VTD_PE_PGTT_SHIFT |
			VTD_PE_P);
	assert_int_equal(e[1], 5 | VTD_PE_PWSNP);
	for (unsigned int i = 2; i < 8; i++)
		assert_int_equal(e[i], 0);
	assert_int_equal(b->f.nr_descs, 0); /* absent entries are not cached */
	bench_free(b);
}

static void attach_writes_the_entries_of_first_stage(void **state)
{
	struct bench *b = bench_up(MOAT_VTD_STAGE_FIRST, VTD_CAP_FS5LP);
	const uint64_t *e;

	b->pt[1].levels = 5;
	must(b->unit->ops->attach(b->unit, &b->domain[0], NIC));
	must(b->unit->ops->attach_pasid(b->unit, &b->domain[1], NIC, PASID));
	e = pasid(b, NIC, 0);
	/* AW, too, because QEMU's unit uses it as the width of first stage */
	assert_int_equal(e[0],
		2 << VTD_PE_AW_SHIFT | VTD_PGTT_FIRST_STAGE << VTD_PE_PGTT_SHIFT | VTD_PE_P);
	assert_int_equal(e[1], 5 | VTD_PE_PWSNP);
	assert_int_equal(e[2], 0xaa000);
	e = pasid(b, NIC, PASID);
	assert_int_equal(e[0],
		3 << VTD_PE_AW_SHIFT | VTD_PGTT_FIRST_STAGE << VTD_PE_PGTT_SHIFT | VTD_PE_P);
	assert_int_equal(e[1], 6 | VTD_PE_PWSNP);
	assert_int_equal(e[2], 0xab000 | 1 << VTD_PE_FSPM_SHIFT);
	bench_free(b);
}

static void attach_writes_the_entries_of_both_stages(void **state)
{
	struct bench *b = bench_up(MOAT_VTD_STAGE_NESTED, VTD_CAP_FS5LP);
	unsigned int i = 0;
	const uint64_t *e;

	assert_int_equal(b->unit->caps.format, MOAT_PT_SECOND_STAGE);
	assert_int_equal(b->unit->caps.nested.mgaw, 56);
	b->pt[1].levels = 5;
	b->pt[1].format = MOAT_PT_FIRST_STAGE;
	b->domain[0].nesting = MOAT_NEST_PARENT;
	b->domain[1].nesting = MOAT_NEST_CHILD;
	b->domain[1].parent = &b->domain[0];
	must(b->unit->ops->attach(b->unit, &b->domain[0], NIC));
	must(b->unit->ops->attach_pasid(b->unit, &b->domain[1], NIC, PASID));
	/* a device attached to the parent itself uses second stage only */
	e = pasid(b, NIC, 0);
	assert_int_equal(e[0],
		0xaa000 | 2 << VTD_PE_AW_SHIFT | VTD_PGTT_SECOND_STAGE << VTD_PE_PGTT_SHIFT |
			VTD_PE_P);
	assert_int_equal(e[2], 0);
	e = pasid(b, NIC, PASID);
	assert_int_equal(e[0],
		0xaa000 | 2 << VTD_PE_AW_SHIFT | VTD_PGTT_NESTED << VTD_PE_PGTT_SHIFT | VTD_PE_P);
	assert_int_equal(e[1], 6 | VTD_PE_PWSNP);
	assert_int_equal(e[2], 0xab000 | 1 << VTD_PE_FSPM_SHIFT);
	for (unsigned int w = 3; w < 8; w++)
		assert_int_equal(e[w], 0);
	/* nested translations are dropped by domain-id, as second-stage translations are */
	must(b->unit->ops->detach_pasid(b->unit, &b->domain[1], NIC, PASID));
	expect_then(b, &i, moat_qi_pasid_cache(MOAT_QI_PASID_ONE, 6, PASID));
	expect_then(b, &i, moat_qi_iotlb_domain(6));
	expect_end(b, i);
	/* 4 levels, but in second stage's format, which a child does not have */
	b->pt[1].format = MOAT_PT_SECOND_STAGE;
	assert_int_equal(b->unit->ops->attach_pasid(b->unit, &b->domain[1], NIC, PASID), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "walks first-stage tables"));
	bench_free(b);
}

static void detach_forgets_from_the_upper_caches_to_the_lower(void **state)
{
	struct bench *b = bench_up(MOAT_VTD_STAGE_SECOND, 0);
	unsigned int i = 0;

	must(b->unit->ops->attach(b->unit, &b->domain[0], NIC));
	must(b->unit->ops->attach_pasid(b->unit, &b->domain[1], NIC, PASID));
	must(b->unit->ops->detach_pasid(b->unit, &b->domain[1], NIC, PASID));
	assert_int_equal(pasid(b, NIC, PASID)[0], 0);
	expect_then(b, &i, moat_qi_pasid_cache(MOAT_QI_PASID_ONE, 6, PASID));
	expect_then(b, &i, moat_qi_iotlb_domain(6));
	expect_end(b, i);
	/* with the last PASID entry the context entry is cleared */
	must(b->unit->ops->detach(b->unit, &b->domain[0], NIC));
	assert_int_equal(context(b, NIC)[0], 0);
	i = 0;
	expect_then(b, &i, moat_qi_context_device(0, NIC, 0));
	expect_then(b, &i, moat_qi_pasid_cache(MOAT_QI_PASID_DOMAIN, 5, 0));
	expect_then(b, &i, moat_qi_iotlb_domain(5));
	expect_end(b, i);
	bench_free(b);
}

static void first_stage_is_forgotten_by_pasid(void **state)
{
	struct bench *b = bench_up(MOAT_VTD_STAGE_FIRST, 0);
	unsigned int i = 0;

	must(b->unit->ops->attach_pasid(b->unit, &b->domain[0], NIC, PASID));
	must(b->unit->ops->attach_pasid(b->unit, &b->domain[1], NIC, PASID + 1));
	must(b->unit->ops->detach_pasid(b->unit, &b->domain[0], NIC, PASID));
	expect_then(b, &i, moat_qi_pasid_cache(MOAT_QI_PASID_ONE, 5, PASID));
	expect_then(b, &i, moat_qi_pasid_iotlb(5, PASID, true, 0, 0, false));
	expect_end(b, i);
	bench_free(b);
}

static void with_caching_mode_attach_forgets_the_absence(void **state)
{
	struct bench *b = bench_up(MOAT_VTD_STAGE_FIRST, VTD_CAP_CM);

	must(b->unit->ops->attach_pasid(b->unit, &b->domain[0], NIC, PASID));
	assert_int_equal(b->f.desc[0].lo, moat_qi_context_global().lo);
	assert_int_equal(b->f.desc[2].lo, moat_qi_pasid_cache(MOAT_QI_PASID_ONE, 0, PASID).lo);
	assert_int_equal(b->f.desc[3].lo, moat_qi_pasid_cache(MOAT_QI_PASID_ONE, 5, PASID).lo);
	assert_int_equal(b->f.desc[4].lo & 0xf, MOAT_QI_WAIT);
	assert_int_equal(b->f.desc[5].lo, moat_qi_iotlb_domain(0).lo);
	bench_free(b);
}

static void a_directory_grows_and_keeps_what_it_has(void **state)
{
	struct bench *b = bench_up(MOAT_VTD_STAGE_SECOND, 0);
	const uint64_t *one;
	unsigned int i = 0;

	must(b->unit->ops->attach_pasid(b->unit, &b->domain[0], NIC, PASID));
	one = pasid(b, NIC, PASID);
	must(b->unit->ops->attach_pasid(b->unit, &b->domain[1], NIC, 0xfffff));
	assert_int_equal(context(b, NIC)[0] >> VTD_SMC_PDTS_SHIFT & 7, 7);
	assert_ptr_equal(pasid(b, NIC, PASID), one);
	assert_int_equal(pasid(b, NIC, 0xfffff)[1] & 0xffff, 6);
	expect_then(b, &i, moat_qi_context_device(0, NIC, 0)); /* the old directory may be cached */
	expect_end(b, i);
	bench_free(b);
}

/* Functions 0 to 127 of a bus and functions 128 to 255 have separate context tables. */
static void the_halves_of_a_bus_have_tables_of_their_own(void **state)
{
	const moat_sid_t lower = NIC & ~0x80;
	struct bench *b = bench_up(MOAT_VTD_STAGE_SECOND, 0);

	must(b->unit->ops->attach(b->unit, &b->domain[0], NIC));
	assert_null(context(b, lower));
	must(b->unit->ops->attach(b->unit, &b->domain[1], lower));
	assert_int_equal(pasid(b, NIC, 0)[1] & 0xffff, 5);
	assert_int_equal(pasid(b, lower, 0)[1] & 0xffff, 6);
	must(b->unit->ops->detach(b->unit, &b->domain[0], NIC));
	assert_int_equal(context(b, NIC)[0], 0);
	assert_int_equal(pasid(b, lower, 0)[1] & 0xffff, 6);
	bench_free(b);
}

static void stuck(struct bench *b, bool is)
{
	b->f.stuck_queue = is;
	fake_process(&b->f);
}

/* With caching mode an attach must be confirmed. */
static void an_attach_that_the_unit_does_not_confirm_leaves_nothing_present(void **state)
{
	struct bench *b = bench_up(MOAT_VTD_STAGE_SECOND, VTD_CAP_CM);
	const struct moat_unit_ops *ops = b->unit->ops;

	must(ops->attach_pasid(b->unit, &b->domain[1], NIC, PASID + 1));
	stuck(b, true);
	assert_int_equal(ops->attach_pasid(b->unit, &b->domain[0], NIC, PASID), -ETIMEDOUT);
	assert_int_equal(pasid(b, NIC, PASID)[0], 0);
	assert_true(pasid(b, NIC, PASID + 1)[0] & VTD_PE_P);
	assert_int_equal(ops->detach_pasid(b->unit, &b->domain[0], NIC, PASID), -ENOENT);
	assert_int_equal(ops->attach_pasid(b->unit, &b->domain[1], NIC, PASID), -EBUSY);
	stuck(b, false);
	/* the unit answers again: first the failed detach is completed, from the upper caches to
	 * the lower */
	b->f.nr_descs = 0;
	must(ops->attach_pasid(b->unit, &b->domain[1], NIC, PASID));
	assert_int_equal(b->f.desc[0].lo, moat_qi_pasid_cache(MOAT_QI_PASID_ONE, 5, PASID).lo);
	assert_int_equal(pasid(b, NIC, PASID)[1] & 0xffff, 6);
	must(ops->detach_pasid(b->unit, &b->domain[1], NIC, PASID));
	must(ops->detach_pasid(b->unit, &b->domain[1], NIC, PASID + 1));
	bench_free(b);
}

static void a_detach_that_was_not_confirmed_can_be_repeated(void **state)
{
	struct bench *b = bench_up(MOAT_VTD_STAGE_SECOND, 0);
	const struct moat_unit_ops *ops = b->unit->ops;
	unsigned int i = 0;

	must(ops->attach_pasid(b->unit, &b->domain[1], NIC, PASID + 1));
	must(ops->attach_pasid(b->unit, &b->domain[0], NIC, PASID));
	stuck(b, true);
	assert_int_equal(ops->detach_pasid(b->unit, &b->domain[0], NIC, PASID), -ETIMEDOUT);
	assert_int_equal(pasid(b, NIC, PASID)[0], 0);
	assert_int_equal(ops->detach_pasid(b->unit, &b->domain[1], NIC, PASID), -ENOENT);
	stuck(b, false);
	/* the domain keeps it until then */
	assert_int_equal(ops->attach_pasid(b->unit, &b->domain[1], NIC, PASID), -EBUSY);
	b->f.nr_descs = 0;
	must(ops->detach_pasid(b->unit, &b->domain[0], NIC, PASID));
	expect_then(b, &i, moat_qi_pasid_cache(MOAT_QI_PASID_ONE, 5, PASID));
	expect_then(b, &i, moat_qi_iotlb_domain(5));
	expect_end(b, i);
	assert_int_equal(ops->detach_pasid(b->unit, &b->domain[0], NIC, PASID), -ENOENT);
	must(ops->attach_pasid(b->unit, &b->domain[1], NIC, PASID));
	must(ops->detach_pasid(b->unit, &b->domain[1], NIC, PASID));
	must(ops->detach_pasid(b->unit, &b->domain[1], NIC, PASID + 1));
	bench_free(b);
}

/* ------------------------------------------------------------------------------- refusals */

static void refused(struct fake_unit *f, enum moat_vtd_mode mode, enum moat_vtd_stage stage, int rc,
	const char *why)
{
	struct moat_vtd_conf conf = fake_conf(f);
	struct moat_unit *unit;

	conf.mode = mode;
	conf.stage = stage;
	assert_int_equal(moat_vtd_create(&conf, &unit), rc);
	if (strstr(moat_error_text(), why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", moat_error_text(), why);
	assert_int_equal(f->nr_events, 0);
}

static void what_the_unit_lacks_is_refused_with_the_reason(void **state)
{
	struct fake_unit *f = calloc(1, sizeof(*f));

	fake_init(f);
	refused(f, MOAT_VTD_SCALABLE, MOAT_VTD_STAGE_ANY, -EOPNOTSUPP, "ECAP.SMTS");
	refused(f, MOAT_VTD_LEGACY, MOAT_VTD_STAGE_FIRST, -EINVAL, "mode=scalable");
	*fake_reg64(f, VTD_ECAP) |= VTD_ECAP_SMTS | VTD_ECAP_SSTS;
	refused(f, MOAT_VTD_SCALABLE, MOAT_VTD_STAGE_FIRST, -EOPNOTSUPP, "ECAP.FSTS");
	refused(f, MOAT_VTD_SCALABLE, MOAT_VTD_STAGE_NESTED, -EOPNOTSUPP, "ECAP.NEST");
	refused(f, MOAT_VTD_LEGACY, MOAT_VTD_STAGE_NESTED, -EINVAL, "mode=scalable");
	*fake_reg64(f, VTD_ECAP) |= VTD_ECAP_NEST;
	refused(f, MOAT_VTD_SCALABLE, MOAT_VTD_STAGE_NESTED, -EOPNOTSUPP, "ECAP.FSTS");
	*fake_reg64(f, VTD_ECAP) ^= VTD_ECAP_FSTS | VTD_ECAP_SSTS;
	refused(f, MOAT_VTD_SCALABLE, MOAT_VTD_STAGE_SECOND, -EOPNOTSUPP, "ECAP.SSTS");
	refused(f, MOAT_VTD_SCALABLE, MOAT_VTD_STAGE_NESTED, -EOPNOTSUPP, "ECAP.SSTS");
	free(f);
}

static void pasids_that_cannot_be_are_refused(void **state)
{
	struct bench *b = bench_up(MOAT_VTD_STAGE_SECOND, 0);
	struct moat_unit *u = b->unit;

	assert_int_equal(u->ops->attach_pasid(u, &b->domain[0], NIC, 0), -EINVAL);
	assert_int_equal(u->ops->attach_pasid(u, &b->domain[0], NIC, 1u << 20), -EINVAL);
	must(u->ops->attach_pasid(u, &b->domain[0], NIC, PASID));
	assert_int_equal(u->ops->attach_pasid(u, &b->domain[1], NIC, PASID), -EBUSY);
	assert_int_equal(u->ops->detach_pasid(u, &b->domain[1], NIC, PASID), -ENOENT);
	assert_int_equal(moat_vtd_pass_through(u, NIC), -EBUSY);
	must(moat_vtd_pass_through(u, NIC + 1));
	assert_int_equal(u->ops->attach_pasid(u, &b->domain[0], NIC + 1, PASID), -EBUSY);
	b->pt[1].format = MOAT_PT_FIRST_STAGE;
	assert_int_equal(u->ops->attach_pasid(u, &b->domain[1], NIC, PASID + 1), -EINVAL);
	bench_free(b);
}

static void legacy_mode_knows_no_pasid(void **state)
{
	struct moat_unit *unit;
	struct moat_domain *d;

	must(moat_soft_unit_create("soft0", "scalable=1", &unit));
	must(moat_domain_create(unit, &(struct moat_domain_conf){ .name = "red" }, &d));
	assert_int_equal(moat_domain_attach_at(d, NULL, NIC, PASID), -EOPNOTSUPP);
	assert_non_null(strstr(moat_error_text(), "mode=scalable"));
	must(moat_domain_destroy(d));
	unit->ops->destroy(unit);
}

/* ------------------------------------------------------------------------- on the software unit */

#define QUEUES 4
#define IOVA   (UINT64_C(1) << 30)

static _Alignas(4096) char memory[QUEUES][16 * 4096];

/* The tenants' domains, one for each queue of one function; all use the same IOVAs. */
struct queues {
	struct moat_unit *unit;
	struct moat_softvtd *sv;
	struct moat_domain *domain[QUEUES];
	struct moat_lane *lane[QUEUES];
};

static void queues_up(struct queues *q, const char *args)
{
	if (moat_soft_unit_create("soft0", args, &q->unit) != 0)
		fail_msg("%s", moat_error_text());
	q->sv = moat_soft_unit_find("soft0");
	for (unsigned int i = 0; i < QUEUES; i++) {
		char name[8];

		snprintf(name, sizeof(name), "t%u", i);
		must(moat_domain_create(q->unit, &(struct moat_domain_conf){ .name = name },
			&q->domain[i]));
		must(moat_domain_attach_at(q->domain[i], NULL, NIC, 1 + i));
		q->lane[i] = moat_lane_open(q->domain[i]);
		assert_non_null(q->lane[i]);
	}
}

static void queues_down(struct queues *q)
{
	struct moat_softvtd_stats s;

	for (unsigned int i = 0; i < QUEUES; i++) {
		must(moat_lane_close(q->lane[i]));
		must(moat_domain_destroy(q->domain[i]));
	}
	moat_softvtd_stats(q->sv, &s);
	for (unsigned int i = 0; i < MOAT_SOFTVTD_MISUSES; i++)
		if (s.misuse[i] != 0)
			fail_msg("%s", moat_softvtd_misuse_text(i));
	assert_int_equal(s.stale_dma, 0);
	q->unit->ops->destroy(q->unit);
}

static int write_by(struct queues *q, uint32_t p, uint64_t iova)
{
	uint64_t value = p;

	return moat_softvtd_dma_write_pasid(q->sv, NIC, p, iova, &value, sizeof(value));
}

static void queues_are_apart(const char *args)
{
	struct queues q;
	struct moat_fault fault;

	queues_up(&q, args);
	for (unsigned int i = 0; i < QUEUES; i++)
		must(moat_lane_map(q.lane[i], IOVA, (uintptr_t)memory[i], memory[i],
			sizeof(memory[i]), MOAT_RW));
	for (unsigned int turn = 0; turn < 200; turn++) {
		for (unsigned int i = 0; i < QUEUES; i++) {
			assert_int_equal(write_by(&q, 1 + i, IOVA + turn % 16 * 4096), 0);
			assert_int_equal(*(uint64_t *)(void *)&memory[i][turn % 16 * 4096], 1 + i);
		}
		must(moat_lane_unmap(q.lane[turn % QUEUES], IOVA, sizeof(memory[0])));
		must(moat_lane_drain(q.lane[turn % QUEUES]));
		assert_int_not_equal(write_by(&q, 1 + turn % QUEUES, IOVA + turn % 16 * 4096), 0);
		assert_int_equal(q.unit->ops->faults(q.unit, &fault, 1), 1);
		assert_int_equal(fault.pasid, 1 + turn % QUEUES);
		assert_int_equal(fault.sid, NIC);
		must(moat_lane_map(q.lane[turn % QUEUES], IOVA, (uintptr_t)memory[turn % QUEUES],
			memory[turn % QUEUES], sizeof(memory[0]), MOAT_RW));
	}
	/* requests without a PASID, or with one that no queue has, reach nothing */
	assert_int_not_equal(write_by(&q, MOAT_PASID_NONE, IOVA), 0);
	assert_int_not_equal(write_by(&q, 77, IOVA), 0);
	for (unsigned int i = 0; i < QUEUES; i++) {
		must(moat_lane_unmap(q.lane[i], IOVA, sizeof(memory[0])));
		must(moat_lane_drain(q.lane[i]));
	}
	queues_down(&q);
}

static void queues_of_one_function_are_apart_in_second_stage(void **state)
{
	queues_are_apart(UNIT_ADVERSARY ",scalable=1,mode=scalable,stage=second");
	queues_are_apart(UNIT_CACHING ",scalable=1,mode=scalable,stage=second");
}

static void queues_of_one_function_are_apart_in_first_stage(void **state)
{
	queues_are_apart(UNIT_ADVERSARY ",scalable=1,mode=scalable,stage=first");
	queues_are_apart(UNIT_CACHING ",scalable=1,mode=scalable,stage=first");
}

/* Each queue in turn moves to the next tenant, while the unit has cached all that it may. */
static void queues_move(const char *args)
{
	struct queues q;

	queues_up(&q, args);
	for (unsigned int i = 0; i < QUEUES; i++)
		must(moat_lane_map(q.lane[i], IOVA, (uintptr_t)memory[i], memory[i],
			sizeof(memory[i]), MOAT_RW));
	for (unsigned int turn = 0; turn < 200; turn++) {
		uint32_t p = 1 + turn % QUEUES;
		unsigned int from = (turn / QUEUES + p - 1) % QUEUES, to = (from + 1) % QUEUES;

		assert_int_equal(write_by(&q, p, IOVA + 4096), 0);
		assert_int_equal(*(uint64_t *)(void *)&memory[from][4096], p);
		must(moat_domain_detach_at(q.domain[from], NULL, NIC, p));
		assert_int_not_equal(write_by(&q, p, IOVA + 4096), 0);
		must(moat_domain_attach_at(q.domain[to], NULL, NIC, p));
		memset(memory, 0, sizeof(memory));
		assert_int_equal(write_by(&q, p, IOVA + 4096), 0);
		assert_int_equal(*(uint64_t *)(void *)&memory[to][4096], p);
		assert_int_equal(*(uint64_t *)(void *)&memory[from][4096], 0);
	}
	for (unsigned int i = 0; i < QUEUES; i++) {
		must(moat_lane_unmap(q.lane[i], IOVA, sizeof(memory[0])));
		must(moat_lane_drain(q.lane[i]));
	}
	queues_down(&q);
}

static void a_queue_that_moves_takes_nothing_along(void **state)
{
	queues_move(UNIT_ADVERSARY ",scalable=1,mode=scalable,stage=second");
	queues_move(UNIT_ADVERSARY ",scalable=1,mode=scalable,stage=first");
	queues_move(UNIT_CACHING ",scalable=1,mode=scalable,stage=second");
	queues_move(UNIT_CACHING ",scalable=1,mode=scalable,stage=first");
}

/* Each queue in turn is detached; the others reach their own pages as before. */
static void pasids_leave_alone(const char *args)
{
	struct queues q;

	queues_up(&q, args);
	for (unsigned int i = 0; i < QUEUES; i++) {
		must(moat_lane_map(q.lane[i], IOVA, (uintptr_t)memory[i], memory[i],
			sizeof(memory[i]), MOAT_RW));
		assert_int_equal(write_by(&q, 1 + i, IOVA), 0);
	}
	for (unsigned int gone = 0; gone < QUEUES; gone++) {
		must(moat_domain_detach_at(q.domain[gone], NULL, NIC, 1 + gone));
		memset(memory, 0, sizeof(memory));
		for (unsigned int i = 0; i < QUEUES; i++)
			for (unsigned int page = 0; page < 16; page++) {
				int ret = write_by(&q, 1 + i, IOVA + page * 4096);

				assert_int_equal(ret != 0, i <= gone);
				assert_int_equal(*(uint64_t *)(void *)&memory[i][page * 4096],
					i <= gone ? 0 : 1 + i);
			}
	}
	for (unsigned int i = 0; i < QUEUES; i++) {
		must(moat_lane_unmap(q.lane[i], IOVA, sizeof(memory[0])));
		must(moat_lane_drain(q.lane[i]));
	}
	queues_down(&q);
}

static void a_pasid_that_is_detached_leaves_its_neighbours_alone(void **state)
{
	pasids_leave_alone(UNIT_ADVERSARY ",scalable=1,mode=scalable,stage=second");
	pasids_leave_alone(UNIT_ADVERSARY ",scalable=1,mode=scalable,stage=first");
	pasids_leave_alone(UNIT_CACHING ",scalable=1,mode=scalable,stage=second");
}

/* Two PASIDs are in one domain, one in another. After one unmap neither of the two reaches the
 * page. */
static void a_domain_of_several_pasids_is_invalidated_for_each(void **state)
{
	struct queues q;
	struct moat_softvtd_stats s;

	queues_up(&q, UNIT_ADVERSARY ",scalable=1,mode=scalable,stage=first");
	must(moat_domain_attach_at(q.domain[0], NULL, NIC, 0x7f));
	must(moat_domain_attach_at(q.domain[0], NULL, NIC + 1, 0x7f));
	must(moat_domain_attach(q.domain[0], NIC));
	must(moat_lane_map(q.lane[0], IOVA, (uintptr_t)memory[0], memory[0], 4096, MOAT_RW));
	assert_int_equal(write_by(&q, 1, IOVA), 0);
	assert_int_equal(write_by(&q, 0x7f, IOVA), 0);
	assert_int_equal(write_by(&q, MOAT_PASID_NONE, IOVA), 0);
	/* one of the two PASIDs that share a tag is detached; the other is still invalidated */
	must(moat_domain_detach_at(q.domain[0], NULL, NIC + 1, 0x7f));
	assert_int_equal(write_by(&q, 0x7f, IOVA), 0);
	must(moat_lane_unmap(q.lane[0], IOVA, 4096));
	must(moat_lane_drain(q.lane[0]));
	assert_int_equal(write_by(&q, 1, IOVA), 0x71);
	assert_int_equal(write_by(&q, 0x7f, IOVA), 0x71);
	assert_int_equal(write_by(&q, MOAT_PASID_NONE, IOVA), 0x71);
	moat_softvtd_stats(q.sv, &s);
	assert_int_equal(s.stale_dma, 0);
	queues_down(&q);
}

/* The oracle works: it finds a unit that ignores the invalidation. */
static void a_forgotten_invalidation_is_a_stale_dma(void **state)
{
	static const struct {
		const char *stage;
		uint32_t mutation;
	} c[] = {
		{ "first", MOAT_SOFTVTD_DROP_PASID_IOTLB },
		{ "second", MOAT_SOFTVTD_DROP_PAGE },
	};

	for (unsigned int i = 0; i < RTE_DIM(c); i++) {
		struct moat_softvtd_stats s;
		struct queues q;
		char args[256];

		snprintf(args, sizeof(args), UNIT_ADVERSARY ",scalable=1,mode=scalable,stage=%s",
			c[i].stage);
		queues_up(&q, args);
		must(moat_lane_map(q.lane[0], IOVA, (uintptr_t)memory[0], memory[0], 4096,
			MOAT_RW));
		assert_int_equal(write_by(&q, 1, IOVA), 0);
		moat_softvtd_mutate(q.sv, c[i].mutation, 1);
		must(moat_lane_unmap(q.lane[0], IOVA, 4096));
		must(moat_lane_drain(q.lane[0]));
		assert_int_equal(write_by(&q, 1, IOVA), 0);
		moat_softvtd_stats(q.sv, &s);
		assert_int_equal(s.stale[MOAT_SOFTVTD_STALE_RELEASED], 1);
		moat_softvtd_mutate(q.sv, 0, 1);
		for (unsigned int j = 0; j < QUEUES; j++) {
			must(moat_lane_close(q.lane[j]));
			must(moat_domain_destroy(q.domain[j]));
		}
		q.unit->ops->destroy(q.unit);
	}
}

/* A descriptor that the unit cannot fetch, at each place of a queue of 256-bit descriptors. */
static void a_wide_queue_recovers_from_errors_at_every_index(void **state)
{
	struct moat_vtd_stats stats;
	struct queues q;

	queues_up(&q, UNIT_ADVERSARY ",scalable=1,mode=scalable,stage=first,queue=1");
	for (uint32_t i = 0; i < 256; i++) {
		must(moat_softvtd_inject(q.sv, MOAT_SOFTVTD_IQE, i));
		for (unsigned int turn = 0; turn < 8; turn++) {
			must(moat_lane_map(q.lane[0], IOVA, (uintptr_t)memory[0], memory[0], 4096,
				MOAT_RW));
			assert_int_equal(write_by(&q, 1, IOVA), 0);
			must(moat_lane_unmap(q.lane[0], IOVA, 4096));
			must(moat_lane_drain(q.lane[0]));
			assert_int_equal(write_by(&q, 1, IOVA), 0x71);
		}
		if (i % 16 == 15)
			for (uint32_t lap = 0; lap < 64; lap++) { /* until errors hit all */
				must(moat_lane_map(q.lane[0], IOVA, (uintptr_t)memory[0], memory[0],
					4096, MOAT_RW));
				must(moat_lane_unmap(q.lane[0], IOVA, 4096));
				must(moat_lane_drain(q.lane[0]));
			}
	}
	moat_vtd_stats(q.unit, &stats);
	assert_in_range(stats.iqe, 128, 256);
	queues_down(&q);
}

static int thread_up(void **state)
{
	urcu_qsbr_register_thread();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bring_up_says_so_to_the_unit),
		cmocka_unit_test(attach_writes_the_entries_of_second_stage),
		cmocka_unit_test(attach_writes_the_entries_of_first_stage),
		cmocka_unit_test(attach_writes_the_entries_of_both_stages),
		cmocka_unit_test(detach_forgets_from_the_upper_caches_to_the_lower),
		cmocka_unit_test(first_stage_is_forgotten_by_pasid),
		cmocka_unit_test(with_caching_mode_attach_forgets_the_absence),
		cmocka_unit_test(a_directory_grows_and_keeps_what_it_has),
		cmocka_unit_test(the_halves_of_a_bus_have_tables_of_their_own),
		cmocka_unit_test(an_attach_that_the_unit_does_not_confirm_leaves_nothing_present),
		cmocka_unit_test(a_detach_that_was_not_confirmed_can_be_repeated),
		cmocka_unit_test(what_the_unit_lacks_is_refused_with_the_reason),
		cmocka_unit_test(pasids_that_cannot_be_are_refused),
		cmocka_unit_test(legacy_mode_knows_no_pasid),
		cmocka_unit_test(queues_of_one_function_are_apart_in_second_stage),
		cmocka_unit_test(queues_of_one_function_are_apart_in_first_stage),
		cmocka_unit_test(a_queue_that_moves_takes_nothing_along),
		cmocka_unit_test(a_pasid_that_is_detached_leaves_its_neighbours_alone),
		cmocka_unit_test(a_domain_of_several_pasids_is_invalidated_for_each),
		cmocka_unit_test(a_forgotten_invalidation_is_a_stale_dma),
		cmocka_unit_test(a_wide_queue_recovers_from_errors_at_every_index),
	};

	return cmocka_run_group_tests(tests, thread_up, NULL);
}
