/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef RAW_H
#define RAW_H

/**
 * @file
 * A unit at register level, without the driver: tables written bit by bit, descriptors put into the
 * ring one by one, and the rig's first device, which does DMA where it is told to. The tests at
 * register level are made of this.
 */

#include <stdbool.h>
#include <stdint.h>

#include "moat_qi.h"
#include "moat_vtd_caps.h"
#include "moat_vtd_window.h"
#include "rig.h"

struct raw {
	moat_sid_t sid; /* of the device: the rig's first */
	struct moat_vtd_window w;
	struct moat_vtd_caps caps;
	char *va; /* the arena, 2 MiB */
	uint64_t hpa;
	uint32_t next; /* first free page of it */
	struct vtd_entry *root;
	struct vtd_entry *others;  /* context table of every bus but the device's: pass-through */
	struct vtd_entry *context; /* context table of the device's bus */
	struct moat_qi_desc *ring; /* one page: 256 descriptors */
	volatile uint32_t *status;
	uint64_t status_hpa;
	uint32_t tail; /* index */
	uint32_t seq;
	bool scalable; /* the unit walks the tables of scalable mode, descriptors have 256 bits */
	uint64_t *sm_root;
	uint64_t *sm_context; /* the device's entry */
	uint64_t *sm_dir;     /* its PASID directory's first entry */
	uint64_t *sm_pasid;   /* the entry of PASID 0, which requests without one have */
};

#define RAW_RING 256

/** Take the unit: root table, queue, translation on. Everything but the device passes through. */
void raw_up(struct raw *r);
void raw_down(struct raw *r);
/** Forget tables and pages, the device is blocked, caches are empty, no fault is recorded. */
void raw_fresh(struct raw *r);

/** A zeroed page of the arena; its HPA. */
uint64_t raw_page(struct raw *r);
void *raw_va(const struct raw *r, uint64_t hpa);

/** Store an entry where the unit sees it. */
void raw_store(struct raw *r, uint64_t *at, uint64_t value);
/** The entry of `level` (1: page table) for `iova` below `root`, tables in between made as needed,
 * readable and writable. */
uint64_t *raw_entry(struct raw *r, uint64_t root, unsigned int levels, uint64_t iova,
	unsigned int level);
/** Map one 4 KiB page. */
void raw_map(struct raw *r, uint64_t root, unsigned int levels, uint64_t iova, uint64_t entry);
/** The device's context entry, both halves; present or not as `lo` says. */
void raw_context(struct raw *r, uint64_t lo, uint64_t hi);
/** Second stage, `levels` deep, under a domain-id. */
void raw_attach(struct raw *r, uint64_t root, unsigned int levels, uint16_t did);
/** Upper half of a pass-through entry: AW has to be the largest that the unit supports. */
uint64_t raw_pass_hi(const struct raw *r);
/** Into scalable mode, where the device's PASID entry is absent and all others pass through; or out
 * of it. */
void raw_scalable(struct raw *r, bool on);
/** The device's PASID entry: what PGTT says, with a table of 4 levels. */
void raw_pasid(struct raw *r, unsigned int pgtt, uint16_t did, uint64_t second, uint64_t first);
/** The first-stage entry of `level` for `iova` below `root`, tables of 4 levels made as needed. */
uint64_t *raw_first_entry(struct raw *r, uint64_t root, uint64_t iova, unsigned int level);
/** The depth the tests use where it does not matter. */
unsigned int raw_levels(const struct raw *r);

/** One GCMD bit, set or cleared, awaited. */
void raw_command(struct raw *r, uint32_t bit, bool set);
/** Put descriptors into the ring and ring. */
void raw_queue(struct raw *r, const struct moat_qi_desc desc[], unsigned int n);
/** The same with a wait behind, awaited. False: not done within a second. */
bool raw_sync(struct raw *r, const struct moat_qi_desc desc[], unsigned int n);
/** Wait until `*status` is `seq`. */
bool raw_await(struct raw *r, uint32_t seq);
/** Context cache, IOTLB, all. */
void raw_forget(struct raw *r);

/** A recorded fault. */
struct raw_fault {
	uint8_t reason;
	uint64_t address;
	moat_sid_t sid;
	bool read;
};
/** Take the oldest recorded fault and clear it; false: there is none. */
bool raw_fault(struct raw *r, struct raw_fault *fault);
/** Number of recorded faults, all cleared, and overflow. */
unsigned int raw_faults_clear(struct raw *r);

/** The device's buffer holds words 1, 2, ... 511; it writes from word `tag` on. What it reads, 8
 * bytes, goes where word 0 would be. */
#define RAW_TAGS (RIG_BUFFER / 8)
void raw_dma(struct raw *r, bool write, uint64_t iova, unsigned int tag, uint32_t len);

/** A DMA of 8 bytes, which are the number `tag` (below RAW_TAGS) when they are written.
 * @return the fault reason recorded, 0: none was. */
uint8_t raw_write(struct raw *r, uint64_t iova, unsigned int tag);
uint8_t raw_read(struct raw *r, uint64_t iova);

#endif /* RAW_H */
