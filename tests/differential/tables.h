/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef TABLES_H
#define TABLES_H

/**
 * @file
 * Random root, context and paging tables, in memory that both units have.
 *
 * A *world* is a set of tables. The last entry of every top-level table is a way back: it leads to
 * a page of its own, through which a device writes back what it has read.
 */

#include <stdbool.h>
#include <stdint.h>

#include "qtest.h"

#define ROOT       (QTEST_RAM + 0x0000)
#define CONTEXT    (QTEST_RAM + 0x1000)
#define RING_QEMU  (QTEST_RAM + 0x2000)
#define RING_SOFT  (QTEST_RAM + 0x3000)
#define STATUS     (QTEST_RAM + 0x4000) /* two of them */
#define BACK       (QTEST_RAM + 0x5000) /* the page to which the way back leads */
#define SM_TABLES  (QTEST_RAM + 0x6000) /* for each device, a PASID directory and a PASID table */
#define TABLES     (QTEST_RAM + 0x10000)
#define TARGETS    (QTEST_RAM + 0x100000) /* leaves of 4 KiB lead here */
#define NR_TARGETS 32
#define TABLES_END TARGETS
#define NOWHERE    UINT64_C(0x08000000) /* an address without memory */

/** The properties of the units for which the tables are made. */
struct shape {
	unsigned int levels; /* the most levels: 3, 4 or 5 */
	unsigned int haw;    /* bits of host address */
	unsigned int sagaw;  /* CAP.SAGAW */
	bool cm;             /* CAP.CM */
	bool dt;             /* ECAP.DT */
	bool sc;             /* ECAP.SC: SNP is not reserved */
	unsigned int sslps;  /* CAP.SSLPS */
	bool fs1gp;          /* CAP.FS1GP */
	bool pasid, prs, ir; /* ECAP.PASID, PRS, IR */
	bool scalable;       /* use scalable mode's tables, with one stage in all PASID entries: */
	bool first;          /* first stage of 4 levels, or second stage */
};

/** The invalidation that a change needs. */
enum change {
	CHANGE_NONE,
	CHANGE_PAGING,
	CHANGE_SOURCE, /* entries of a source between the root table and its paging entries */
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

/** Make a new world. */
void tables_make(const struct shape *shape);
/** The place of an access. */
struct place {
	uint16_t sid;
	uint64_t iova; /* 0: none */
};

/**
 * Change something, or nothing.
 * @param near often changes an entry that this access used
 * @param source with CHANGE_SOURCE, set to the number of the source's device
 */
enum change tables_change(const struct shape *shape, const struct place *near,
	unsigned int *source);
/** @return an IOVA that the tables probably map */
uint64_t tables_iova(const struct shape *shape);
/** @return the domain-id in the source's entries */
uint16_t tables_did(uint16_t sid);
/** @return the last page's IOVA for the source; 0: its context entry leads to no table */
uint64_t tables_back(uint16_t sid);
/** Print the entries that the walk uses. */
void tables_show(uint16_t sid, uint64_t iova);
/** @return the context entry of the source */
uint64_t *tables_context(uint16_t sid);
/** @return the entry that leads to the source's second stage: its context entry, or in scalable
 * mode the entry of PASID 0 */
uint64_t *tables_entry(uint16_t sid);
/** The contents of that entry, whether or not it is valid. */
struct stage {
	uint64_t table; /* SSPTPTR or FSPTPTR, with all of its bits */
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
