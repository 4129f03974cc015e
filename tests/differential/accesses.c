/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Accesses of devices: both units must reach the same bytes, or refuse with the same record.
 *
 * Between accesses tables change, and are invalidated in one of several ways: all, the source's
 * entries and their domains, the domains, or only the page that is accessed next. Sometimes several
 * faults compete for the one fault recording register, or an access goes on into the next page.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rte_common.h>

#include "differential.h"
#include "moat_qi.h"
#include "reference.h"

#define FILL 0xa5
#define PAGE UINT64_C(4096)

static uint64_t focus;          /* the page that was invalidated, which the next access uses */
static unsigned int focus_size; /* log2 of the pages around it that were invalidated */
static bool focused;            /* ... and all other pages still need an invalidation */
static uint64_t nr_pages, nr_sources, nr_overflows, nr_crossings, nr_interrupts;
/* The last accesses, whose pages may be cached. */
static struct place recent[8];
static unsigned int nr_recent;
static struct place changed; /* one of these: the last change may be in an entry that it used */
/* The data that a device last read, which its next write stores. */
static uint8_t held[QTEST_DEVICES][LEN_MAX];

/* Pages that QEMU's unit has translated since the last invalidation, and may have cached. */
static struct {
	uint16_t sid;      /* 0: none */
	uint64_t gigabyte; /* IOVA >> 30: all its pages count */
} translated[64];
static unsigned int nr_translated;

/* ------------------------------------------------------------------------------- invalidations */

/* The domain-ids of all sources' entries. */
struct dids {
	uint16_t of[QTEST_DEVICES];
};

static struct dids dids_now(void)
{
	struct dids dids;

	for (unsigned int i = 0; i < QTEST_DEVICES; i++)
		dids.of[i] = tables_stage(qtest_sid(i)).did;
	return dids;
}

/* @return whether registers of QEMU's devices are there, not memory: a write could change the
 * devices. */
static bool is_qemus(uint64_t iova)
{
	return iova >> 24 == 0xfe;
}

static const struct place *a_recent(void)
{
	return &recent[tables_below(RTE_DIM(recent))];
}

static void put_iotlb(unsigned int gran, uint16_t did, uint64_t pages)
{
	uint64_t type = units_shape.first ? MOAT_QI_PASID_IOTLB : MOAT_QI_IOTLB | 0xc0;

	units_put(type | gran << 4 | (uint64_t)did << 16, pages);
}

/* Invalidate a block of pages, `focus`: accesses to it must then see all changed paging entries. */
static void invalidate_pages(const struct dids *dids)
{
	focus_size = tables_below(6);
	focus = tables_below(4) != 0 ? changed.iova : tables_iova(&units_shape);
	focus &= ((UINT64_C(1) << units_shape.haw) - 1) & -(PAGE << focus_size);
	if (is_qemus(focus))
		focus ^= UINT64_C(1) << 31;
	for (unsigned int i = 0; i < QTEST_DEVICES; i++)
		put_iotlb(MOAT_QI_PAGE, dids->of[i], focus | focus_size);
	units_doorbell();
	focused = true;
	nr_pages++;
}

static void invalidate_domains(const struct dids *dids)
{
	for (unsigned int i = 0; i < QTEST_DEVICES; i++)
		put_iotlb(MOAT_QI_DOMAIN, dids->of[i], 0);
	units_doorbell();
}

/* Invalidate after entries that lead to a source's tables have changed. Cached translations have
 * the old domain-id. */
static void invalidate_source(uint16_t sid, uint16_t old)
{
	units_put(MOAT_QI_CONTEXT | MOAT_QI_DEVICE << 4 | (uint64_t)old << 16 | (uint64_t)sid << 32,
		0);
	if (units_shape.cm) /* absent and wrong entries are cached under domain-id 0 */
		units_put(MOAT_QI_CONTEXT | MOAT_QI_DEVICE << 4 | (uint64_t)sid << 32, 0);
	if (units_shape.scalable)
		units_put(MOAT_QI_PASID_CACHE |
				(tables_below(2) ? MOAT_QI_PASID_DOMAIN : MOAT_QI_PASID_ONE) << 4 |
				(uint64_t)old << 16,
			0);
	put_iotlb(MOAT_QI_DOMAIN, old, 0);
	/* pass-through may be cached, too, and PASID-based invalidations do not cover it */
	if (units_shape.first)
		units_put(MOAT_QI_IOTLB | 0xc0 | MOAT_QI_DOMAIN << 4 | (uint64_t)old << 16, 0);
	units_doorbell();
	nr_sources++;
}

/* Clear the record of what QEMU may have cached. An invalidation of a source leaves other sources'
 * entries cached. */
static void translated_forget(enum change change, unsigned int source)
{
	for (unsigned int i = 0; i < RTE_DIM(translated); i++)
		if (change != CHANGE_SOURCE || translated[i].sid == qtest_sid(source))
			translated[i].sid = 0;
}

/* Invalidate in one of the ways that suffice after a change. @param old the domain-ids before the
 * change */
static void invalidate(enum change change, unsigned int source, const struct dids *old)
{
	struct dids dids = dids_now();

	if (change == CHANGE_NONE && !focused)
		return;
	translated_forget(change, source);
	if (change == CHANGE_SOURCE && !focused && tables_below(3) != 0) {
		invalidate_source(qtest_sid(source), old->of[source]);
	} else if (change >= CHANGE_SOURCE || focused || tables_below(3) == 0) {
		focused = false;
		units_flush();
	} else if (tables_below(3) == 0) {
		invalidate_pages(&dids);
	} else if (tables_below(3) == 0) {
		units_put(MOAT_QI_IOTLB | MOAT_QI_GLOBAL << 4 | 0xc0, 0);
		units_doorbell();
	} else {
		invalidate_domains(&dids);
	}
}

static void change_tables(void)
{
	struct dids old = dids_now();
	unsigned int source;
	enum change change;

	changed = *a_recent();
	change = tables_change(&units_shape, &changed, &source);
	invalidate(change, source, &old);
}

/* ------------------------------------------------------------------------------------ an access */

/* Interrupt requests, and addresses that resemble them, are handled differently. Without the
 * accelerator qtest there is a processor, which they would wake. */
static bool interrupt_make(struct outcome *o)
{
	if (!qtest_gathers_dma() || tables_below(64) != 0)
		return false;
	o->iova = UINT64_C(0xfee00000) | tables_below(1 << 20);
	if (tables_below(4) != 0)
		o->iova &= ~UINT64_C(3);
	o->len = tables_below(4) != 0 ? 4 : 1 + tables_below(8);
	o->len = RTE_MIN(o->len, (unsigned int)(PAGE - (o->iova & (PAGE - 1))));
	nr_interrupts++;
	return true;
}

static unsigned int device_of(uint16_t sid)
{
	return (sid >> 3) - (qtest_sid(0) >> 3);
}

static void tables_new(void)
{
	tables_make(&units_shape);
	focused = false;
	translated_forget(CHANGE_ROOT, 0);
	units_flush();
}

/* Give an access the page and the device of an earlier one. */
static void access_again(struct outcome *o, const struct place *place)
{
	o->iova = (place->iova & ~(PAGE - 1)) | (o->iova & (PAGE - 1));
	o->device = place->sid == 0 ? o->device : device_of(place->sid);
}

/* Give an access one of the pages that were invalidated, often the page whose entries have
 * changed. */
static void access_focused(struct outcome *o)
{
	if (tables_below(2) == 0 && (changed.iova & -(PAGE << focus_size)) == focus)
		access_again(o, &changed);
	else
		o->iova = focus + ((uint64_t)tables_below(1 << focus_size) << 12) +
			(o->iova & (PAGE - 1));
}

static struct outcome access_make(void)
{
	struct outcome o = { 0 };

	o.device = tables_below(qtest_devices);
	o.sid = qtest_sid(o.device);
	o.write = o.device >= QTEST_EDUS || tables_below(2);
	if (interrupt_make(&o))
		return o;
	o.iova = tables_iova(&units_shape);
	if (tables_below(3) == 0)
		access_again(&o, a_recent());
	if (focused)
		access_focused(&o);
	o.sid = qtest_sid(o.device);
	o.write = o.device >= QTEST_EDUS || tables_below(2);
	if (is_qemus(o.iova))
		o.iova ^= UINT64_C(1) << 31;
	o.len = 1 +
		tables_below(RTE_MIN((unsigned int)LEN_MAX,
			(unsigned int)(PAGE - (o.iova & (PAGE - 1)))));
	return o;
}

/* Let the software unit do the access. The fault record is not cleared. */
static void soft_dma(struct outcome *o)
{
	struct moat_softvtd_guard guard;
	enum moat_prot prot = o->write ? MOAT_W : MOAT_R;
	void *va = NULL;

	moat_softvtd_dma_begin(units_soft, o->sid, 0, prot, &guard);
	o->reason =
		moat_softvtd_request(&guard, MOAT_SOFTVTD_UNTRANSLATED, o->iova, prot, false, &va);
	moat_softvtd_dma_end(&guard);
	o->hpa = o->reason == 0 ? (uintptr_t)va : 0;
}

static void ask_soft(struct outcome *o)
{
	soft_dma(o);
	o->soft = units_soft_record();
}

/* Under each of the two units' readings of PASID entries. */
static bool leads_outside(const struct outcome *o)
{
	return reference_walk(&units_shape, 0, o->sid, o->iova, o->write).outside ||
		reference_walk(&units_shape, QUIRK_PASID_RESERVED, o->sid, o->iova, o->write)
			.outside;
}

/* Find an access that both units can do and that does not change the tables, and get the software
 * unit's answer. @return false: none was found */
static bool access_find(struct outcome *o)
{
	for (unsigned int tries = 0; tries < 8; tries++) {
		*o = access_make();
		ask_soft(o);
		if (leads_outside(o))
			continue;
		if (o->hpa + o->len <= QTEST_RAM || o->hpa >= TABLES_END || !o->write)
			return true;
	}
	return false;
}

/* An access that QEMU's device was asked to do, and the data to compare it. */
struct asked {
	struct outcome *o;
	bool right;    /* the software unit's answer is the reference walker's */
	uint64_t back; /* where the device writes back what it has read; 0: nowhere */
	unsigned int slot;
	struct question question;
	uint8_t saved[LEN_MAX];
};

/* Fill the target before QEMU's device writes there. */
static void fill(const struct outcome *o, uint8_t *saved)
{
	memcpy(saved, at(o->hpa), o->len);
	memset(at(o->hpa), FILL, o->len);
}

/* @return whether the device wrote all bytes: it writes what it has read, which is seldom FILL */
static bool wrote_all(const struct outcome *o, unsigned int from)
{
	const uint8_t *bytes = at(o->hpa);

	for (unsigned int i = 0; i < o->len; i++)
		if (bytes[i] == FILL && held[o->device][from + i] != FILL)
			return false;
	return true;
}

/* @return the IOVA at which the source can write back what it has read, if its tables are valid */
static uint64_t way_back(const struct outcome *o)
{
	return !o->write && o->hpa != 0 ? tables_back(o->sid) : 0;
}

/* Have the device write back what it has read to the page BACK, in which each of several accesses
 * has a slot. */
static void read_back(unsigned int device, uint64_t back, unsigned int slot, unsigned int len)
{
	memset(at(BACK + (uint64_t)slot * LEN_MAX), FILL, LEN_MAX);
	qtest_dma(device, back + (uint64_t)slot * LEN_MAX, len, true);
}

static bool read_all(const struct outcome *o, unsigned int slot, unsigned int from)
{
	if (memcmp(at(BACK + (uint64_t)slot * LEN_MAX + from), at(o->hpa), o->len) != 0)
		return false;
	memcpy(held[o->device] + from, at(o->hpa), o->len);
	return true;
}

/* Note what QEMU's unit has translated for the device, and may have cached. */
static void translated_note(struct outcome *o)
{
	for (unsigned int i = 0; i < RTE_DIM(translated); i++)
		o->cached |= translated[i].sid == o->sid && translated[i].gigabyte == o->iova >> 30;
	if (o->qemu.there)
		return;
	translated[nr_translated % RTE_DIM(translated)].sid = o->sid;
	translated[nr_translated % RTE_DIM(translated)].gigabyte = o->iova >> 30;
	nr_translated++;
}

/* @return whether the software unit's answer is the one that the tables give */
static bool as_reference(const struct outcome *o)
{
	struct answer a = reference_walk(&units_shape, 0, o->sid, o->iova, o->write);

	if ((unsigned int)o->reason != a.reason || o->hpa != a.hpa || o->soft.there == a.silent)
		return false;
	return a.silent ||
		(o->soft.reason == a.reason && o->soft.sid == o->sid && o->soft.read == !o->write &&
			o->soft.page == (o->iova & ~(PAGE - 1)));
}

static void show(const struct run *run, const struct outcome *o, unsigned int number,
	const char *why)
{
	const uint64_t *root = at(ROOT), *context = tables_context(o->sid),
		       *entry = tables_entry(o->sid);

	printf("seed %" PRIu64 " case %u: source-id %02x %s iova 0x%" PRIx64 " len %u: %s\n",
		run->seed, number, o->sid, o->write ? "write" : "read", o->iova, o->len, why);
	printf("  software unit: reason 0x%x, hpa 0x%" PRIx64
	       ", record %d reason 0x%x page 0x%" PRIx64 "\n",
		o->reason, o->hpa, o->soft.there, o->soft.reason, o->soft.page);
	printf("  QEMU: record %d reason 0x%x page 0x%" PRIx64
	       " source-id %02x overflow %d, bytes %s\n",
		o->qemu.there, o->qemu.reason, o->qemu.page, o->qemu.sid, o->qemu.overflow,
		o->reached ? "the same" : "not");
	printf("  root %016" PRIx64 " %016" PRIx64 ", context %016" PRIx64 " %016" PRIx64
	       ", entry %016" PRIx64 " %016" PRIx64 " %016" PRIx64 "\n",
		root[0], root[1], context[0], context[1], entry[0], entry[1], entry[2]);
	tables_show(o->sid, o->iova);
}

/* Ask QEMU's unit and the device for the access. The caller must call qtest_run(). */
static void ask(struct asked *a, struct outcome *o, unsigned int slot)
{
	a->o = o;
	a->right = as_reference(o);
	a->back = way_back(o);
	a->slot = slot;
	if (o->write && o->hpa != 0)
		fill(o, a->saved);
	qtest_dma(o->device, o->iova, o->len, o->write);
	a->question = units_ask_record(o->soft.there);
	if (a->back != 0)
		read_back(o->device, a->back, slot, o->len);
}

static void restore(const struct asked *a)
{
	if (a->o->write && a->o->hpa != 0)
		memcpy(at(a->o->hpa), a->saved, a->o->len);
}

/* @return whether the two units agree */
static bool agree(struct asked *a)
{
	struct outcome *o = a->o;

	o->qemu = units_qemu_record(&a->question);
	translated_note(o);
	if (o->hpa == 0)
		return units_same_record(&o->soft, &o->qemu);
	o->reached = o->write ? wrote_all(o, 0) : a->back == 0 || read_all(o, a->slot, 0);
	restore(a);
	return o->reached && units_same_record(&o->soft, &o->qemu);
}

/* @return false: an unexplained difference */
static bool judge_answer(const struct run *run, struct asked *a, unsigned int number, bool *alike)
{
	struct outcome *o = a->o;
	const char *why;

	*alike = agree(a);
	if (*alike && a->right)
		return true;
	why = a->right ? explained(&units_shape, o) : NULL;
	if (run->verbose || why == NULL)
		show(run, o, number,
			why != NULL        ? why
				: a->right ? "NOT EXPLAINED"
					   : "the software unit is WRONG by the reference walker");
	return why != NULL;
}

/* QEMU's device may have written to a wrong place. @return whether the tables are unchanged */
static bool has_strayed(const struct outcome *o, bool alike)
{
	return !alike && o->write && !o->qemu.there;
}

static bool judge(const struct run *run, struct outcome *o, unsigned int number, bool *alike)
{
	struct asked a;
	bool ok;

	ask(&a, o, 0);
	qtest_run();
	ok = judge_answer(run, &a, number, alike);
	if (ok && has_strayed(o, *alike))
		tables_new();
	return ok;
}

/* ---------------------------------------------------------------------------- several accesses */

#define BATCH 4 /* at most so many accesses to one state of the tables, in one message */

static bool overlap(const struct outcome *a, const struct outcome *b)
{
	return a->hpa != 0 && b->hpa != 0 && (a->write || b->write) && a->hpa < b->hpa + b->len &&
		b->hpa < a->hpa + a->len;
}

/* The answers from the `i`th on are not valid, because an earlier access left a record that was not
 * expected, or wrote to a wrong place. QEMU's unit may have cached what it translated for them.
 * @return whether one of them is a write, which may have gone to a wrong place, too */
static bool batch_drop(struct asked asked[], unsigned int i, unsigned int n)
{
	bool wrote = false;

	for (; i < n; i++) {
		restore(&asked[i]);
		translated_note(asked[i].o);
		units_qemu_record(&asked[i].question); /* which clears the record */
		wrote = wrote || asked[i].o->write;
	}
	return wrote;
}

static unsigned int batch_ask(struct outcome o[], struct asked asked[])
{
	unsigned int wanted = 1 + tables_below(BATCH), n = 0;

	for (; n < wanted; n++) {
		if (!access_find(&o[n]))
			return n;
		for (unsigned int i = 0; i < n; i++)
			if (overlap(&o[i], &o[n]))
				return n;
		ask(&asked[n], &o[n], n);
		recent[nr_recent++ % RTE_DIM(recent)] = (struct place){ o[n].sid, o[n].iova };
	}
	return n;
}

/* @param done how many cases were compared */
static bool run_batch(const struct run *run, unsigned int number, uint64_t reasons[256],
	unsigned int *done)
{
	struct outcome o[BATCH];
	struct asked asked[BATCH];
	unsigned int n = batch_ask(o, asked);

	qtest_run();
	for (*done = 0; *done < n;) {
		unsigned int i = (*done)++;
		bool alike, strayed;

		reasons[o[i].reason]++;
		if (!judge_answer(run, &asked[i], number + i, &alike))
			return false;
		strayed = has_strayed(&o[i], alike);
		if (!strayed && (o[i].soft.there || !o[i].qemu.there))
			continue;
		if (batch_drop(asked, *done, n) || strayed)
			tables_new();
		break;
	}
	return true;
}

/* --------------------------------------------------------------------- more than one at a time */

/* Cause several faults in a row. The only fault recording register must keep the first. */
static bool run_overflow(const struct run *run, unsigned int number)
{
	struct record of_soft, of_qemu;
	struct question question;
	unsigned int n = 0;
	struct outcome o[4];

	while (n < RTE_DIM(o)) {
		bool alike;

		if (!access_find(&o[n]) || o[n].reason == 0 || !o[n].soft.there)
			break;
		if (!judge(run, &o[n], number, &alike))
			return false;
		if (!o[n].qemu.there)
			return true; /* the tables may be new ones */
		n++;
	}
	if (n == 0)
		return true;
	for (unsigned int i = 0; i < n; i++) {
		soft_dma(&o[i]);
		qtest_dma(o[i].device, o[i].iova, o[i].len, o[i].write);
	}
	of_soft = units_soft_record();
	question = units_ask_record(true);
	qtest_run();
	of_qemu = units_qemu_record(&question);
	nr_overflows += of_soft.overflow;
	o[0].soft.overflow = o[0].qemu.overflow = of_soft.overflow;
	if (units_same_record(&of_soft, &o[0].soft) && units_same_record(&of_qemu, &o[0].qemu))
		return true;
	printf("seed %" PRIu64 " case %u: %u faults: software unit reason 0x%x page 0x%" PRIx64
	       " overflow %d, QEMU reason 0x%x page 0x%" PRIx64 " overflow %d: NOT EXPLAINED\n",
		run->seed, number, n, of_soft.reason, of_soft.page, of_soft.overflow,
		of_qemu.reason, of_qemu.page, of_qemu.overflow);
	return false;
}

/* Make the part of an access that is in the next page. @return false: no such part can be tried */
static bool next_part(const struct outcome *o, struct outcome *next)
{
	*next = *o;
	next->iova = o->iova + o->len;
	if (o->len == LEN_MAX || (next->iova & (PAGE - 1)) != 0 || next->iova == 0 ||
		is_qemus(next->iova))
		return false;
	next->len = 1 + tables_below(LEN_MAX - o->len);
	ask_soft(next);
	return !next->write || next->hpa + next->len <= QTEST_RAM || next->hpa >= TABLES_END;
}

/* Try both parts as one access. @return whether the units agree */
static bool parts_agree(struct outcome o[2])
{
	uint8_t saved[2][LEN_MAX];
	uint64_t back = RTE_MAX(way_back(&o[0]), way_back(&o[1]));
	struct question question;
	bool same = true;

	for (unsigned int i = 0; i < 2; i++) {
		soft_dma(&o[i]);
		if (o[i].write && o[i].hpa != 0)
			fill(&o[i], saved[i]);
	}
	o[0].soft = units_soft_record();
	qtest_dma(o[0].device, o[0].iova, o[0].len + o[1].len, o[0].write);
	question = units_ask_record(o[0].soft.there);
	if (back != 0)
		read_back(o[0].device, back, 0, o[0].len + o[1].len);
	qtest_run();
	o[0].qemu = units_qemu_record(&question);
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int from = i == 0 ? 0 : o[0].len;

		if (o[i].hpa != 0 && o[i].write) {
			same = same && wrote_all(&o[i], from);
			memcpy(at(o[i].hpa), saved[i], o[i].len);
		} else if (o[i].hpa != 0 && back != 0) {
			same = same && read_all(&o[i], 0, from);
		}
	}
	return same && units_same_record(&o[0].soft, &o[0].qemu);
}

/* Try an access that goes on into the next page. The units have agreed on each page alone. */
static bool run_crossing(const struct run *run, unsigned int number)
{
	struct outcome o[2];
	bool alike;

	if (!access_find(&o[0]))
		return true;
	o[0].len = 1 + tables_below(LEN_MAX - 1);
	o[0].iova = (o[0].iova | (PAGE - 1)) + 1 - o[0].len;
	ask_soft(&o[0]);
	if (o[0].write && o[0].hpa + o[0].len > QTEST_RAM && o[0].hpa < TABLES_END)
		return true;
	if (!judge(run, &o[0], number, &alike))
		return false;
	if (!alike || !next_part(&o[0], &o[1]))
		return true;
	if (!judge(run, &o[1], number, &alike))
		return false;
	if (!alike)
		return true;
	nr_crossings++;
	if (parts_agree(o))
		return true;
	show(run, &o[0], number, "first part of an access over two pages: NOT EXPLAINED");
	show(run, &o[1], number, "its second part");
	return false;
}

/* ---------------------------------------------------------------------------------------- cases */

void accesses_begin(void)
{
	memset(recent, 0, sizeof(recent));
	changed = (struct place){ 0 };
	nr_recent = 0;
	tables_new();
}

bool accesses_cases(const struct run *run, unsigned int number, uint64_t reasons[256],
	unsigned int *done)
{
	if (!run_batch(run, number, reasons, done))
		return false;
	if (!focused && tables_below(8) == 0 && !run_overflow(run, number))
		return false;
	if (!focused && tables_below(8) == 0 && !run_crossing(run, number))
		return false;
	change_tables();
	return true;
}

void accesses_print(void)
{
	printf("  %" PRIu64 " invalidations by pages, %" PRIu64 " of one source's entries, %" PRIu64
	       " overflows, %" PRIu64 " accesses over two pages, %" PRIu64
	       " to interrupt addresses\n",
		nr_pages, nr_sources, nr_overflows, nr_crossings, nr_interrupts);
}
