/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "moat_vtd_regs.h"
#include "tables.h"

#define PAGE      UINT64_C(4096)
#define PER_LEVEL 6    /* number of tables of each level */
#define ENTRIES   4    /* entries that are used in a table, from 0 on */
#define LAST      511u /* the entry of the way back */
#define ADDRESS   UINT64_C(0x000ffffffffff000)
#define PS        (UINT64_C(1) << 7)
#define SNP       (UINT64_C(1) << 11)

static uint64_t state;

void tables_seed(uint64_t seed)
{
	state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (unsigned int i = 0; i < 8; i++)
		tables_random();
}

uint64_t tables_random(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

/* @return true once in `n` calls, at random */
static bool seldom(unsigned int n)
{
	return tables_below(n) == 0;
}

static uint64_t bits(void)
{
	return tables_random() << 32 ^ tables_random();
}

static uint64_t table(unsigned int level, unsigned int i)
{
	return TABLES + ((level - 1) * PER_LEVEL + i) * PAGE;
}

/* @return the table of the way back at this level; there is one for each level */
static uint64_t back_table(unsigned int level)
{
	return TABLES + (5 * PER_LEVEL + level) * PAGE;
}

static bool scalable, first_stage;

uint64_t *tables_context(uint16_t sid)
{
	return at(CONTEXT + (scalable ? (sid & 0x7f) * UINT64_C(32) : (sid & 0xff) * UINT64_C(16)));
}

static uint64_t sm_table(uint16_t sid, unsigned int which)
{
	return SM_TABLES + (2 * ((sid >> 3) - (qtest_sid(0) >> 3)) + which) * PAGE;
}

uint64_t *tables_entry(uint16_t sid)
{
	return scalable ? at(sm_table(sid, 1)) : tables_context(sid);
}

struct stage tables_stage(uint16_t sid)
{
	const uint64_t *e = tables_entry(sid);
	unsigned int what = scalable ? VTD_FIELD(e[0], VTD_PE_PGTT) : VTD_FIELD(e[0], VTD_CTX_TT);
	unsigned int walked = !scalable ? VTD_TT_SECOND_STAGE
		: first_stage           ? VTD_PGTT_FIRST_STAGE
					: VTD_PGTT_SECOND_STAGE;

	return (struct stage){
		.table = e[first_stage ? 2 : 0] & ~UINT64_C(0xfff),
		.levels = first_stage ? 4
			: scalable    ? VTD_FIELD(e[0], VTD_PE_AW) + 2
				      : (e[1] & VTD_CTX_AW) + 2,
		.did = scalable ? e[1] & VTD_PE_DID : VTD_FIELD(e[1], VTD_CTX_DID),
		.pass_through = what == (scalable ? VTD_PGTT_PASS_THROUGH : VTD_TT_PASS_THROUGH),
		.walked = what == walked,
	};
}

static uint64_t target(unsigned int level)
{
	if (level == 1)
		return TARGETS + tables_below(NR_TARGETS) * PAGE;
	if (level == 2)
		return QTEST_RAM + (1 + tables_below(20)) * (UINT64_C(1) << 21);
	return 0;
}

#define FS_RW (UINT64_C(7)) /* P, R/W, U/S */
#define FS_AD (UINT64_C(0x60))

/* @return the bits of an entry that permits everything */
static uint64_t all_of_it(void)
{
	return first_stage ? FS_RW | FS_AD : 3;
}

static uint64_t permission(void)
{
	if (first_stage)
		return seldom(6) ? tables_below(8) | tables_below(4) << 5 : FS_RW | FS_AD;
	return seldom(6) ? tables_below(4) : 3;
}

/* Flip bits that are errors, and bits that do not matter. */
static uint64_t twist(const struct shape *shape, uint64_t entry)
{
	static const unsigned int some[] = { 2, 3, 5, 6, 7, 8, 9, 10, 11, 52, 58, 61, 62, 63 };

	switch (tables_below(40)) {
	case 0:
		return entry ^ UINT64_C(1) << some[tables_below(sizeof(some) / sizeof(some[0]))];
	case 1:
		return entry | UINT64_C(1) << (shape->haw + tables_below(52 - shape->haw + 1));
	case 2:
		return (entry & ~ADDRESS) | NOWHERE;
	case 3:
		return entry ^
			UINT64_C(1)
			<< (12 + tables_below(18)); /* astray, or a superpage's reserved bits */
	case 4:
		return entry | (bits() & UINT64_C(0xbff0000000000000)); /* ignored bits */
	case 5:
		return seldom(2) ? bits() & ~(ADDRESS & ~UINT64_C(0xffffff000)) : 0;
	default:
		return entry;
	}
}

/* Confine an entry's address to the mapped memory, or to a place without memory. It must not lead
 * to QEMU's devices, nor below the mapped memory, nor to pages that the units' queues change,
 * because these would be tables that are never invalidated. */
static uint64_t tame(uint64_t entry)
{
	uint64_t address = entry & ADDRESS & UINT64_C(0xffffffff);

	if ((entry & ADDRESS) >> 32 == 0 &&
		(address < QTEST_RAM || address >= QTEST_END ||
			(address >= RING_QEMU && address < TABLES)))
		return (entry & ~ADDRESS) | NOWHERE;
	return entry;
}

/* The same, but a leaf of 1 GiB may begin at 0. */
static uint64_t entry_tame(unsigned int level, uint64_t entry)
{
	return level == 3 && (entry & PS) && (entry & ADDRESS) == 0 ? entry : tame(entry);
}

static uint64_t entry_make(const struct shape *shape, unsigned int level)
{
	bool leaf = level == 1 || ((level == 2 || level == 3) && seldom(3));
	uint64_t entry = permission();

	if (leaf)
		entry |= target(level) | (level > 1 ? PS : 0) | (shape->sc && seldom(4) ? SNP : 0);
	else
		entry |= table(level - 1, tables_below(PER_LEVEL));
	return entry_tame(level, twist(shape, entry));
}

/* ------------------------------------------------------------------------------------- contexts */

/* A domain-id tags one set of tables. Flipping a bit of one never gives another source's
 * domain-id. */
uint16_t tables_did(uint16_t sid)
{
	return 0x11 << ((sid >> 3) - (qtest_sid(0) >> 3));
}

static void context_make(const struct shape *shape, uint16_t sid)
{
	unsigned int levels = 3 + tables_below(shape->levels - 2);
	uint64_t *entry = tables_context(sid);
	uint64_t lo = table(levels, tables_below(PER_LEVEL)) | 1;
	uint64_t hi = tables_did(sid) << 8 | (levels - 2);

	switch (tables_below(24)) {
	case 0:
		lo |= tables_below(16) & ~1u; /* FPD, TT */
		break;
	case 1:
		lo ^= UINT64_C(1) << tables_below(12);
		break;
	case 2:
		lo |= UINT64_C(1) << (shape->haw + tables_below(64 - shape->haw));
		break;
	case 3:
		hi ^= UINT64_C(1) << tables_below(64);
		break;
	case 4:
		hi = (hi & ~UINT64_C(7)) | tables_below(8);
		break;
	case 5:
		lo = (lo & ~ADDRESS) | NOWHERE;
		break;
	case 6:
		lo |= 2; /* FPD */
		break;
	case 7:
		lo = bits() & ~UINT64_C(1); /* absent */
		break;
	case 8:
		lo = (lo & ~VTD_CTX_TT) | VTD_TT_PASS_THROUGH << VTD_CTX_TT_SHIFT;
		if (seldom(2))
			lo |= UINT64_C(1) << (12 + tables_below(52));
		hi |= shape->levels - 2; /* the largest AW, if this source had no smaller one */
		break;
	default:
		break;
	}
	entry[1] = hi;
	entry[0] = lo;
}

/* Put an error into one of the tables between the root and the second stage. */
static void sm_twist(const struct shape *shape, uint64_t *context, uint64_t *dir, uint64_t *entry)
{
	switch (tables_below(36)) {
	case 0:
		context[0] ^= UINT64_C(1) << tables_below(12);
		break;
	case 1:
		/* RID_PASID is valid only with ECAP.RPS, and the units differ in that */
		context[1] |= UINT64_C(1) << (21 + tables_below(43));
		break;
	case 2:
		dir[0] ^= UINT64_C(1) << tables_below(12);
		break;
	case 3:
		entry[0] ^= UINT64_C(1) << tables_below(12);
		break;
	case 4:
		entry[0] |= UINT64_C(1) << (shape->haw + tables_below(64 - shape->haw));
		break;
	case 5:
		entry[1] ^= UINT64_C(1) << tables_below(64);
		break;
	case 6:
		entry[0] = (entry[0] & ~VTD_PE_AW) | tables_below(8) << VTD_PE_AW_SHIFT;
		break;
	case 7:
		entry[0] = (entry[0] & ~VTD_PE_PGTT) | tables_below(8) << VTD_PE_PGTT_SHIFT;
		break;
	case 8:
		entry[shape->first ? 2 : 0] = (entry[shape->first ? 2 : 0] & ~ADDRESS) | NOWHERE;
		break;
	case 9:
		context[0] = (context[0] & ~ADDRESS) | NOWHERE;
		break;
	case 11:
		if (shape->first)
			entry[2] = tame(entry[2] ^ UINT64_C(1) << tables_below(64));
		break;
	case 10:
		dir[0] = (dir[0] & ~ADDRESS) | NOWHERE;
		break;
	case 12:
		*(seldom(3) ? context : seldom(2) ? dir : entry) = bits() & ~UINT64_C(1);
		break;
	case 13:
		entry[0] = (entry[0] & ~VTD_PE_PGTT) |
			(uint64_t)VTD_PGTT_PASS_THROUGH << VTD_PE_PGTT_SHIFT;
		break;
	default:
		break;
	}
}

static void sm_context_make(const struct shape *shape, uint16_t sid)
{
	unsigned int levels = 3 + tables_below(shape->levels - 2);
	uint64_t *context = tables_context(sid), *entry = at(sm_table(sid, 1));
	uint64_t first[3] = { (uint64_t)VTD_PGTT_FIRST_STAGE << VTD_PE_PGTT_SHIFT |
			2 << VTD_PE_AW_SHIFT | VTD_PE_P,
		tables_did(sid), table(4, tables_below(PER_LEVEL)) };
	uint64_t second[3] = { table(levels, tables_below(PER_LEVEL)) |
			(uint64_t)VTD_PGTT_SECOND_STAGE << VTD_PE_PGTT_SHIFT |
			(levels - 2) << VTD_PE_AW_SHIFT | VTD_PE_P,
		tables_did(sid), 0 };
	uint64_t dir = sm_table(sid, 1) | VTD_PDE_P, words[2] = { sm_table(sid, 0) | VTD_SMC_P, 0 };

	uint64_t *made = shape->first ? first : second;

	sm_twist(shape, words, &dir, made);
	context[1] = words[1];
	context[0] = words[0];
	*(uint64_t *)at(sm_table(sid, 0)) = dir;
	entry[2] = made[2];
	entry[1] = made[1];
	entry[0] = made[0];
}

static void source_make(const struct shape *shape, uint16_t sid)
{
	if (shape->scalable)
		sm_context_make(shape, sid);
	else
		context_make(shape, sid);
}

static void root_make(const struct shape *shape)
{
	uint64_t *entry = at(ROOT);

	entry[0] = CONTEXT | 1;
	entry[1] = 0;
	if (!seldom(24))
		return;
	switch (tables_below(4)) {
	case 0:
		entry[0] ^= UINT64_C(1) << tables_below(12);
		break;
	case 1:
		entry[0] |= UINT64_C(1) << (shape->haw + tables_below(64 - shape->haw));
		break;
	case 2:
		entry[1] |= UINT64_C(1) << tables_below(64);
		break;
	default:
		entry[0] = NOWHERE | 1;
		break;
	}
}

/* --------------------------------------------------------------------------------------- worlds */

static void way_back_make(const struct shape *shape)
{
	for (unsigned int level = 3; level <= shape->levels; level++) {
		for (unsigned int i = 0; i < PER_LEVEL; i++)
			((uint64_t *)at(table(level, i)))[LAST] =
				back_table(level - 1) | all_of_it();
	}
	for (unsigned int level = 2; level < shape->levels; level++)
		*(uint64_t *)at(back_table(level)) = back_table(level - 1) | all_of_it();
	*(uint64_t *)at(back_table(1)) = BACK | all_of_it();
}

void tables_make(const struct shape *shape)
{
	scalable = shape->scalable;
	first_stage = shape->first;
	memset(at(ROOT), 0, 2 * PAGE);
	memset(at(SM_TABLES), 0, 2 * QTEST_DEVICES * PAGE);
	memset(at(TABLES), 0, (5 * PER_LEVEL + 5) * PAGE);
	for (unsigned int i = 0; i < NR_TARGETS; i++) /* stray writes may have changed them */
		memset(at(TARGETS + i * PAGE), i + 1, PAGE);
	way_back_make(shape);
	for (unsigned int level = 1; level <= shape->levels; level++)
		for (unsigned int i = 0; i < PER_LEVEL * ENTRIES; i++)
			((uint64_t *)at(table(level, i / ENTRIES)))[i % ENTRIES] =
				entry_make(shape, level);
	for (unsigned int i = 0; i < QTEST_DEVICES; i++)
		source_make(shape, qtest_sid(i));
	root_make(shape);
}

/* @return an entry that the walk uses, or NULL: it uses only entries that are never changed */
static uint64_t *entry_met(uint16_t sid, uint64_t iova, unsigned int *level)
{
	struct stage to = tables_stage(sid);
	uint64_t hpa = to.table & ADDRESS, *met = NULL;

	for (unsigned int l = to.levels; l >= 1 && to.walked; l--) {
		unsigned int index = iova >> (12 + 9 * (l - 1)) & 511;
		uint64_t *entry;

		if (hpa < TABLES || hpa >= back_table(0) || index >= ENTRIES)
			break;
		entry = (uint64_t *)at(hpa) + index;
		if (met == NULL || seldom(2)) {
			met = entry;
			*level = 1 + (hpa - TABLES) / PAGE / PER_LEVEL;
		}
		hpa = *entry & ADDRESS;
	}
	return met;
}

enum change tables_change(const struct shape *shape, const struct place *near, unsigned int *source)
{
	unsigned int level = 1 + tables_below(shape->levels);
	uint64_t *entry = NULL;

	if (seldom(3))
		return CHANGE_NONE;
	if (seldom(4)) {
		*source = tables_below(QTEST_DEVICES);
		source_make(shape, qtest_sid(*source));
		if (!seldom(4))
			return CHANGE_SOURCE;
		root_make(shape);
		return CHANGE_ROOT;
	}
	if (near->iova != 0 && !seldom(3))
		entry = entry_met(near->sid, near->iova, &level);
	if (entry == NULL)
		entry = (uint64_t *)at(table(level, tables_below(PER_LEVEL))) +
			tables_below(ENTRIES);
	if (seldom(3))
		*entry = entry_tame(level, *entry ^ 1 << tables_below(2));
	else
		*entry = entry_make(shape, level);
	return CHANGE_PAGING;
}

uint64_t tables_iova(const struct shape *shape)
{
	uint64_t iova = tables_below(4096);

	if (seldom(24))
		return bits() >> tables_below(40);
	for (unsigned int level = 1; level <= shape->levels; level++)
		iova |= (uint64_t)tables_below(ENTRIES) << (12 + 9 * (level - 1));
	/* Few levels have only these entries. */
	if (seldom(2))
		iova &= (UINT64_C(1) << 39) - 1;
	if (seldom(12)) /* an offset within 1 GiB at which there is memory */
		iova ^= QTEST_RAM + ((uint64_t)tables_below(24) << 21);
	if (seldom(24))
		iova |= UINT64_C(1) << (39 + tables_below(25));
	if (first_stage && seldom(16))
		iova |= ~((UINT64_C(1) << (46 + tables_below(3))) - 1); /* canonical, or nearly */
	return iova;
}

uint64_t tables_back(uint16_t sid)
{
	struct stage to = tables_stage(sid);

	if (to.levels < 3 || to.levels > 5 || !to.walked || to.table < table(to.levels, 0) ||
		to.table >= table(to.levels + 1, 0))
		return 0; /* or the table of another level */
	/* QEMU's unit takes AW for the width of first stage */
	if (first_stage && VTD_FIELD(tables_entry(sid)[0], VTD_PE_AW) != 2)
		return 0;
	return (uint64_t)LAST << (12 + 9 * (to.levels - 1)) |
		(first_stage ? UINT64_C(0xffff) << 48 : 0); /* canonical */
}

void tables_show(uint16_t sid, uint64_t iova)
{
	struct stage to = tables_stage(sid);
	uint64_t hpa = to.table & ADDRESS;

	for (unsigned int level = to.levels; level >= 1; level--) {
		uint64_t entry;

		if (hpa < QTEST_RAM || hpa >= QTEST_END)
			return;
		entry = ((uint64_t *)at(hpa))[iova >> (12 + 9 * (level - 1)) & 511];
		printf("  level %u: %016" PRIx64 "\n", level, entry);
		if (level <= 3 && (entry & PS))
			return;
		hpa = entry & ADDRESS;
	}
}
