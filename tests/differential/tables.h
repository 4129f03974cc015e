/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef TABLES_H
#define TABLES_H

/**
 * @file
 * Random root, context and second-stage tables, in memory that both units have.
 *
 * A *world* is a set of tables. Every table of the top level has, at its last entry, a way to a
 * page of its own, so that what a device has read can be had back.
 */

#include <stdbool.h>
#include <stdint.h>

#include "qtest.h"

#define ROOT       (QTEST_RAM + 0x0000)
#define CONTEXT    (QTEST_RAM + 0x1000)
#define RING_QEMU  (QTEST_RAM + 0x2000)
#define RING_SOFT  (QTEST_RAM + 0x3000)
#define STATUS     (QTEST_RAM + 0x4000) /* two of them */
#define BACK       (QTEST_RAM + 0x5000) /* the page at the last entry */
#define SM_TABLES  (QTEST_RAM + 0x6000) /* of each device a PASID directory and a PASID table */
#define TABLES     (QTEST_RAM + 0x10000)
#define TARGETS    (QTEST_RAM + 0x100000) /* 4 KiB leaves lead here */
#define NR_TARGETS 32
#define TABLES_END TARGETS
#define NOWHERE    UINT64_C(0x08000000) /* no memory */

/** What the tables are made for. */
struct shape {
	unsigned int levels; /* at most: 3, 4 or 5 */
	unsigned int haw;    /* bits of host address */
	unsigned int sagaw;  /* CAP.SAGAW */
	bool cm;             /* CAP.CM */
	bool dt;             /* ECAP.DT */
	bool sc;             /* ECAP.SC: SNP means something */
	unsigned int sslps;  /* CAP.SSLPS */
	bool fs1gp;          /* CAP.FS1GP */
	bool pasid, prs, ir; /* ECAP.PASID, PRS, IR */
	bool scalable;       /* tables of scalable mode; a stage by PASID entries: */
	bool first;          /* first stage, of 4 levels; or second stage */
};

/** What a change makes necessary. */
enum change {
	CHANGE_NONE,
	CHANGE_PAGING,
	CHANGE_SOURCE, /* of a source, the entries between the root table and its paging entries */
	CHANGE_ROOT
};

/** xorshift64*. */
uint64_t tables_random(void);
/** @return a number below n */
static inline unsigned int tables_below(unsigned int n)
{
	return tables_random() % n;
}
void tables_seed(uint64_t seed);

/** Make a world. */
void tables_make(const struct shape *shape);
/** An access's. */
struct place {
	uint16_t sid;
	uint64_t iova; /* 0: none */
};

/**
 * Change something, or nothing.
 * @param near often it is an entry that this access met
 * @param source with CHANGE_SOURCE, whose: number of its device
 */
enum change tables_change(const struct shape *shape, const struct place *near,
	unsigned int *source);
/** An IOVA that the tables may know. */
uint64_t tables_iova(const struct shape *shape);
/** The domain-id of the source's entries. */
uint16_t tables_did(uint16_t sid);
/** The last page's IOVA for the source, 0: its context entry leads to no table. */
uint64_t tables_back(uint16_t sid);
/** Print the entries that the walk meets. */
void tables_show(uint16_t sid, uint64_t iova);
/** The context entry of the source. */
uint64_t *tables_context(uint16_t sid);
/** The entry that leads to the source's second stage: its context entry; in scalable mode PASID
 * 0's. */
uint64_t *tables_entry(uint16_t sid);
/** What that entry says, well or badly formed. */
struct stage {
	uint64_t table; /* SSPTPTR or FSPTPTR, all of its bits */
	unsigned int levels;
	uint16_t did;
	bool pass_through, walked;
};
struct stage tables_stage(uint16_t sid);

static inline void *at(uint64_t hpa)
{
	return (void *)(uintptr_t)hpa;
}

#endif /* TABLES_H */
