/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef SOFTVTD_RIG_H
#define SOFTVTD_RIG_H

/**
 * @file
 * A software unit with tables that the test makes. All tables and descriptors are written bit by
 * bit, from the specification; no code of lib/ or drivers/vtd is between a test and the unit.
 */

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <rte_cycles.h>

#include "moat_softvtd.h"

#define RIG_ARENA (16u << 20)
#define RIG_TURNS 100000

struct rig {
	struct moat_softvtd_conf conf;
	struct moat_softvtd *sv;
	char *arena;
	size_t used;
	uint64_t *root; /* 256 root entries */
	uint64_t *ring; /* the invalidation queue */
	uint32_t slots;
	bool wide;        /* descriptors of 256 bits */
	uint32_t tail;    /* next slot */
	uint32_t *status; /* where wait descriptors write their status */
	uint32_t sequence;
};

/** @return a zeroed 4 KiB page, aligned */
static inline void *rig_page(struct rig *r)
{
	void *p = r->arena + r->used;

	r->used += 4096;
	assert_true(r->used <= RIG_ARENA);
	return p;
}

static inline uint64_t rig_hpa(const void *va)
{
	return (uintptr_t)va;
}

/* Store entries as software must: a table's contents before the entry that leads to it. */
static inline void rig_store(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* ---------------------------------------------------------------------------- registers */

static inline uint32_t rig_gsts(struct rig *r)
{
	return moat_softvtd_read32(r->sv, 0x1c);
}

/** Give a global command as the specification says: change one bit, and wait until the status shows
 * it. */
static inline void rig_command(struct rig *r, uint32_t bit, bool on)
{
	uint32_t keep = rig_gsts(r) & 0x96ffffff;
	uint32_t want = on && bit != 1u << 27 ? bit : 0; /* WBF: done when the status is clear */

	moat_softvtd_write32(r->sv, 0x18, on ? keep | bit : keep & ~bit);
	for (unsigned int i = 0; i < RIG_TURNS; i++) {
		if ((rig_gsts(r) & bit) == want)
			return;
	}
	fail_msg("GSTS does not show command 0x%x", bit);
}

static inline void rig_turns(struct rig *r, unsigned int n)
{
	while (n-- > 0)
		moat_softvtd_poll(r->sv);
}

/* --------------------------------------------------------------------------- the queue */

static inline void rig_queue(struct rig *r, uint64_t lo, uint64_t hi)
{
	uint64_t *slot = &r->ring[(r->wide ? 4 : 2) * r->tail];

	__atomic_store_n(&slot[0], lo, __ATOMIC_RELAXED);
	__atomic_store_n(&slot[1], hi, __ATOMIC_RELAXED);
	r->tail = (r->tail + 1) % r->slots;
}

static inline void rig_doorbell(struct rig *r)
{
	moat_softvtd_write64(r->sv, 0x88, r->tail * (r->wide ? 32 : 16));
}

/** Queue a wait descriptor with a status write. @return the status that it will write */
static inline uint32_t rig_queue_wait(struct rig *r)
{
	r->sequence++;
	rig_queue(r, 5 | 1 << 5 | (uint64_t)r->sequence << 32, rig_hpa(r->status));
	return r->sequence;
}

static inline bool rig_done(struct rig *r, uint32_t sequence)
{
	return (int32_t)(__atomic_load_n(r->status, __ATOMIC_ACQUIRE) - sequence) >= 0;
}

static inline void rig_wait(struct rig *r, uint32_t sequence)
{
	for (unsigned int i = 0; i < 100 * RIG_TURNS; i++) {
		if (rig_done(r, sequence))
			return;
		moat_softvtd_poll(r->sv);
		if (r->conf.threaded || i % 64 == 63)
			/* a device in the middle of its DMA may need the processor */
			sched_yield();
	}
	fail_msg("wait %u does not complete; IQH 0x%lx IQT 0x%lx FSTS 0x%x", sequence,
		moat_softvtd_read64(r->sv, 0x80), moat_softvtd_read64(r->sv, 0x88),
		moat_softvtd_read32(r->sv, 0x34));
}

/** Submit one descriptor, and wait for it. */
static inline void rig_do(struct rig *r, uint64_t lo, uint64_t hi)
{
	uint32_t sequence;

	rig_queue(r, lo, hi);
	sequence = rig_queue_wait(r);
	rig_doorbell(r);
	rig_wait(r, sequence);
}

#define RIG_CTX_GLOBAL      (1 | 1 << 4)
#define RIG_CTX_DOMAIN(did) (1 | 2 << 4 | (uint64_t)(did) << 16)
#define RIG_CTX_DEVICE(did, sid, fm) \
	(1 | 3 << 4 | (uint64_t)(did) << 16 | (uint64_t)(sid) << 32 | (uint64_t)(fm) << 48)
#define RIG_DRAIN              (3 << 6)
#define RIG_IOTLB_GLOBAL       (2 | 1 << 4 | RIG_DRAIN)
#define RIG_IOTLB_DOMAIN(did)  (2 | 2 << 4 | RIG_DRAIN | (uint64_t)(did) << 16)
#define RIG_IOTLB_PAGE(did)    (2 | 3 << 4 | RIG_DRAIN | (uint64_t)(did) << 16)
#define RIG_PAGE(iova, am, ih) ((uint64_t)(iova) | (uint64_t)(ih) << 6 | (am))

/* --------------------------------------------------------------------------- the tables */

/** @return the place of a context entry; the bus's context table is made if there is none */
static inline uint64_t *rig_context(struct rig *r, uint16_t sid)
{
	uint64_t *root = &r->root[2 * (sid >> 8)];

	if (*root == 0)
		rig_store(root, rig_hpa(rig_page(r)) | 1);
	return (uint64_t *)(uintptr_t)(*root & ~UINT64_C(0xfff)) + 2 * (sid & 0xff);
}

/** Attach a source to a domain: second-stage tables of `levels` levels, with the root `table`. */
static inline void rig_attach(struct rig *r, uint16_t sid, uint16_t did, uint64_t *table,
	unsigned int levels)
{
	uint64_t *entry = rig_context(r, sid);

	rig_store(&entry[1], (uint64_t)did << 8 | (levels - 2));
	rig_store(&entry[0], rig_hpa(table) | 1);
}

/** @return the entry for an IOVA in the table of level `to`; missing tables above it are made */
static inline uint64_t *rig_entry(struct rig *r, uint64_t *table, unsigned int levels,
	uint64_t iova, unsigned int to)
{
	for (unsigned int level = levels;; level--) {
		uint64_t *entry = &table[iova >> (12 + 9 * (level - 1)) & 511];

		if (level == to)
			return entry;
		if (*entry == 0)
			rig_store(entry, rig_hpa(rig_page(r)) | 3);
		table = (uint64_t *)(uintptr_t)(*entry & UINT64_C(0x000ffffffffff000));
	}
}

static inline uint64_t *rig_map(struct rig *r, uint64_t *table, unsigned int levels, uint64_t iova,
	const void *va, unsigned int prot)
{
	uint64_t *entry = rig_entry(r, table, levels, iova, 1);

	rig_store(entry, rig_hpa(va) | prot);
	return entry;
}

/* ------------------------------------------------------------------------------ the rig */

/** Configure a unit without jitter, prefetching and lingering, so that a test sees exactly what it
 * asked for. */
static inline void rig_plain(struct moat_softvtd_conf *conf)
{
	moat_softvtd_conf_init(conf);
	conf->prefetch = 0;
	conf->jitter = 0;
	conf->linger = false;
	conf->reorder = false;
	conf->shards = 1;
}

/** Make a unit. `conf` NULL: rig_plain(). If `memory_size` is set, the arena is the memory. */
static inline void rig_make(struct rig *r, const struct moat_softvtd_conf *conf)
{
	memset(r, 0, sizeof(*r));
	if (conf != NULL)
		r->conf = *conf;
	else
		rig_plain(&r->conf);
	r->arena = mmap(NULL, RIG_ARENA + (2u << 20), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(r->arena, MAP_FAILED);
	if (r->conf.memory_size != 0)
		r->conf.memory = rig_hpa(r->arena);
	r->root = rig_page(r);
	r->ring = rig_page(r);
	r->slots = 256;
	r->status = rig_page(r);
	if (moat_softvtd_create(&r->conf, &r->sv) != 0)
		fail_msg("%s", moat_error_text());
}

/** As rig_make(), and enable the queue and translation; nothing is mapped. */
static inline void rig_up(struct rig *r, const struct moat_softvtd_conf *conf)
{
	rig_make(r, conf);
	moat_softvtd_write64(r->sv, 0x20, rig_hpa(r->root));
	rig_command(r, 1u << 30, true);
	moat_softvtd_write64(r->sv, 0x88, 0);
	moat_softvtd_write64(r->sv, 0x90, rig_hpa(r->ring));
	rig_command(r, 1u << 26, true);
	rig_do(r, RIG_CTX_GLOBAL, 0);
	rig_do(r, RIG_IOTLB_GLOBAL, 0);
	rig_command(r, 1u << 31, true);
}

static inline void rig_down(struct rig *r)
{
	moat_softvtd_destroy(r->sv);
	munmap(r->arena, RIG_ARENA + (2u << 20));
}

static inline struct moat_softvtd_stats rig_stats(struct rig *r)
{
	struct moat_softvtd_stats stats;

	moat_softvtd_stats(r->sv, &stats);
	return stats;
}

/** Fail the test if the unit has counted misuse by its driver. */
static inline void rig_no_misuse(struct rig *r)
{
	struct moat_softvtd_stats stats = rig_stats(r);

	for (unsigned int i = 0; i < MOAT_SOFTVTD_MISUSES; i++) {
		if (stats.misuse[i] != 0)
			fail_msg("misuse: %s", moat_softvtd_misuse_text(i));
	}
}

/** Let a device read a word at an IOVA. @return 0, or the fault reason */
static inline int rig_read(struct rig *r, uint16_t sid, uint64_t iova, uint64_t *word)
{
	return moat_softvtd_dma_read(r->sv, sid, iova, word, sizeof(*word));
}

static inline int rig_write(struct rig *r, uint16_t sid, uint64_t iova, uint64_t word)
{
	return moat_softvtd_dma_write(r->sv, sid, iova, &word, sizeof(word));
}

/** @return the seed for a randomised test: MOAT_SEED, or a new one, which is printed */
static inline uint64_t rig_seed(void)
{
	const char *text = getenv("MOAT_SEED");
	uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rte_rdtsc() | 1;

	print_message("# MOAT_SEED=%lu\n", seed);
	return seed;
}

#endif /* SOFTVTD_RIG_H */
