/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef RAW_H
#define RAW_H

/**
 * @file
 * A unit at register level, without the driver: tables are written bit by bit, descriptors are put
 * into the ring one by one, and the rig's first device does single DMAs. The tests at register
 * level use this.
 */

#include <stdbool.h>
#include <stdint.h>

#include "moat_qi.h"
#include "moat_vtd_caps.h"
#include "moat_vtd_window.h"
#include "rig.h"

struct raw {
	moat_sid_t sid; /* the device's source-id: the rig's first device */
	struct moat_vtd_window w;
	struct moat_vtd_caps caps;
	char *va; /* the arena, 2 MiB */
	uint64_t hpa;
	uint32_t next; /* first free page of the arena */
	struct vtd_entry *root;
	struct vtd_entry *others;  /* context table of every other bus: pass-through */
	struct vtd_entry *context; /* context table of the device's bus */
	struct moat_qi_desc *ring; /* one page: 256 descriptors */
	volatile uint32_t *status;
	uint64_t status_hpa;
	uint32_t tail; /* index in the ring */
	uint32_t seq;
	bool scalable; /* scalable mode's tables are in use, and descriptors have 256 bits */
	uint64_t *sm_root;
	uint64_t *sm_context; /* the device's context entry */
	uint64_t *sm_dir;     /* the first entry of its PASID directory */
	uint64_t *sm_pasid;   /* the entry of PASID 0, which requests without a PASID use */
};

#define RAW_RING 256

/** Take the unit over: set the root table and the queue, and enable translation. All functions but
 * the device pass through. */
void raw_up(struct raw *r);
void raw_down(struct raw *r);
/** Start a test: drop all tables and pages, block the device, empty the caches, clear the
 * faults. */
void raw_fresh(struct raw *r);

/** Take a zeroed page of the arena. @return its HPA */
uint64_t raw_page(struct raw *r);
void *raw_va(const struct raw *r, uint64_t hpa);

/** Store an entry so that the unit sees it. */
void raw_store(struct raw *r, uint64_t *at, uint64_t value);
/** Find the entry of `level` (1: page table) for `iova` below `root`. Tables in between are made as
 * needed, readable and writable. */
uint64_t *raw_entry(struct raw *r, uint64_t root, unsigned int levels, uint64_t iova,
	unsigned int level);
/** Map one 4 KiB page. */
void raw_map(struct raw *r, uint64_t root, unsigned int levels, uint64_t iova, uint64_t entry);
/** Write both halves of the device's context entry; bit P of `lo` says whether it is present. */
void raw_context(struct raw *r, uint64_t lo, uint64_t hi);
/** Attach the device to second-stage tables of `levels` levels, under a domain-id. */
void raw_attach(struct raw *r, uint64_t root, unsigned int levels, uint16_t did);
/** @return the upper half of a pass-through entry: AW must be the largest that the unit supports */
uint64_t raw_pass_hi(const struct raw *r);
/** Enter scalable mode, with the device's PASID entry absent and all others in pass-through; or
 * leave it. */
void raw_scalable(struct raw *r, bool on);
/** Write the device's PASID entry with this PGTT, and tables of 4 levels. */
void raw_pasid(struct raw *r, unsigned int pgtt, uint16_t did, uint64_t second, uint64_t first);
/** As raw_entry(), for first-stage tables of 4 levels. */
uint64_t *raw_first_entry(struct raw *r, uint64_t root, uint64_t iova, unsigned int level);
/** @return the number of levels for tests that accept any */
unsigned int raw_levels(const struct raw *r);

/** Set or clear one GCMD bit, and wait until GSTS shows it. */
void raw_command(struct raw *r, uint32_t bit, bool set);
/** Put descriptors into the ring, and ring the doorbell. */
void raw_queue(struct raw *r, const struct moat_qi_desc desc[], unsigned int n);
/** The same with a wait descriptor behind. @return false: not completed within a second */
bool raw_sync(struct raw *r, const struct moat_qi_desc desc[], unsigned int n);
/** Wait until `*status` is `seq`. @return false: not within a second */
bool raw_await(struct raw *r, uint32_t seq);
/** Invalidate everything in the context cache and the IOTLB. */
void raw_forget(struct raw *r);

/** A recorded fault. */
struct raw_fault {
	uint8_t reason;
	uint64_t address;
	moat_sid_t sid;
	bool read;
};
/** Take the oldest recorded fault and clear it. @return false: there is none */
bool raw_fault(struct raw *r, struct raw_fault *fault);
/** Clear all recorded faults, and the overflow flag. @return how many faults there were */
unsigned int raw_faults_clear(struct raw *r);

/** The device's buffer holds words 1, 2, ... 511. The device writes from word `tag` on. A read of 8
 * bytes goes to the place of word 0. */
#define RAW_TAGS (RIG_BUFFER / 8)
void raw_dma(struct raw *r, bool write, uint64_t iova, unsigned int tag, uint32_t len);

/** Do a DMA of 8 bytes; a write writes the number `tag` (below RAW_TAGS). @return the recorded
 * fault reason; 0: none was recorded */
uint8_t raw_write(struct raw *r, uint64_t iova, unsigned int tag);
uint8_t raw_read(struct raw *r, uint64_t iova);

#endif /* RAW_H */
