/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef SOFTVTD_H
#define SOFTVTD_H

/**
 * @file
 * The software unit's inside.
 *
 * A *shard* is a slice of the unit for some of the requesters: caches, the DMA under way, counters,
 * one lock. The *engine* is the rest: registers, global commands, the invalidation queue. The
 * *fault log* is FSTS and the fault recording registers.
 *
 * Lock order: engine -> shard -> fault log. DMA takes a shard's, lets it go, then the fault log's.
 * No lock is held while memory that is being transferred is touched, and none while anybody waits.
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include <rte_pause.h>

#include "moat_cost.h"
#include "moat_counter.h"
#include "moat_softvtd.h"
#include "moat_spin.h"

/* xorshift64*: the adversary's dice */
static inline uint64_t sv_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* The writer is the holder of the counter's lock; any thread reads. */
#define SV_COUNT(counter, n) moat_counter_add(&(counter), (n))
#define SV_READ(counter)     moat_counter_get(&(counter))

/* ---------------------------------------------------------------------------------- draining */

/**
 * The DMA of one direction that is under way in a shard, by two phases. A drain flips the phase and
 * is complete when everything that began in the old one has ended; DMA that begins meanwhile counts
 * in the new one and cannot hold it up. One drain at a time: a thread that asks meanwhile gets the
 * next one.
 */
struct sv_drain {
	/* Increments under the shard's lock; decrements anywhere, with release: the reader that
	 * acquires 0 knows that every access to memory before dma_end has happened. */
	_Atomic uint32_t active[2];
	uint8_t phase;
	uint64_t started, completed, wanted; /* numbers of drains; started - completed is 0 or 1 */
};

/* ------------------------------------------------------------------------------------ caches */

enum { SV_4K = 1, SV_2M = 2, SV_1G = 3 }; /* level of a leaf = level of its table */

/**
 * An entry of the IOTLB or a paging-structure cache. In the tag: page number (IOVA shifted by what
 * the entry spans) << 18 | domain-id << 2 | size. In the data: address, and below its bit 12 what
 * follows. An empty entry's tag is 0 (no size is 0).
 */
struct sv_entry {
	uint64_t tag;
	uint64_t data;
};
#define SV_ADDR      UINT64_C(0x000ffffffffff000)
#define SV_PS        (UINT64_C(1) << 7)  /* of a table entry, in either stage: a superpage */
#define SV_PROT      UINT64_C(3)         /* enum moat_prot */
#define SV_REASON(d) (((d) >> 2) & 0xff) /* CM: why it cannot be translated; 0: by SV_PROT */
#define SV_FREED     (UINT64_C(1) << 10) /* a table page that was given back led here */
#define SV_SNP       (UINT64_C(1) << 11) /* the leaf's SNP */

/** log2 of what an entry of a table of this level spans, in either stage. */
static inline unsigned int sv_level_shift(unsigned int level)
{
	return MOAT_PAGE_SHIFT + 9 * (level - 1);
}

/** Does a present entry of a table of this level map a page? */
static inline bool sv_is_leaf(unsigned int level, uint64_t entry)
{
	return level == 1 || (level <= 3 && (entry & SV_PS));
}

static inline uint64_t sv_tag(uint64_t iova, unsigned int shift, uint16_t did, unsigned int size)
{
	return (iova >> shift) << 18 | (uint64_t)did << 2 | size;
}
static inline uint16_t sv_tag_did(uint64_t tag)
{
	return tag >> 2;
}

/** A set-associative cache. Sets with an entry have their bit set, so that scans skip the rest. */
struct sv_cache {
	struct sv_entry *entries;
	uint64_t *used;      /* bit per set */
	uint32_t sets, ways; /* powers of two; 0 sets: no cache */
	uint32_t filled[4];  /* entries by size (low two bits of the tag) */
	uint32_t victim;     /* turns through the ways */
};

/* Neighbouring pages lie in neighbouring sets; domains begin at different ones. */
static inline uint32_t sv_cache_set(const struct sv_cache *cache, uint64_t tag)
{
	return ((tag >> 18) + sv_tag_did(tag) * 0x9e37u + (tag & 3) * 0x51u) & (cache->sets - 1);
}

static inline struct sv_entry *sv_cache_find(struct sv_cache *cache, uint64_t tag)
{
	struct sv_entry *set;

	if (cache->filled[tag & 3] == 0)
		return NULL;
	set = &cache->entries[(size_t)sv_cache_set(cache, tag) * cache->ways];
	for (uint32_t way = 0; way < cache->ways; way++) {
		if (set[way].tag == tag)
			return &set[way];
	}
	return NULL;
}

enum sv_context_state { SV_CONTEXT_NONE, SV_CONTEXT_VALID, SV_CONTEXT_LINGERING };

/** A context entry, decoded. */
struct sv_context {
	uint64_t ssptptr;
	moat_sid_t sid;
	uint16_t did; /* 0 where the entry is faulty (CM) */
	uint8_t state;
	uint8_t reason; /* of an entry that blocks; 0: it translates */
	uint8_t tt;
	uint8_t levels;
	uint8_t width; /* bits of IOVA: the least of MGAW and what the levels allow */
	bool fpd;
};

#define SV_CONTEXT_WAYS 4
#define SV_LINES        1024 /* RWBF: table lines remembered, a shard */
struct sv_line {
	uint64_t hpa; /* 0: empty */
	uint64_t word[8];
};

struct sv_shard {
	struct moat_spin lock;
	uint64_t random;
	struct sv_drain drain[2]; /* reads, writes */
	struct sv_cache iotlb;
	struct sv_cache psc[MOAT_SOFTVTD_PSCS];
	struct sv_context *contexts; /* sets of SV_CONTEXT_WAYS */
	uint32_t context_sets;
	uint32_t context_victim;
	struct sv_line *lines;
	struct sv_scalable *sm; /* NULL without scalable mode */
	struct {
		uint64_t dma[2]; /* reads, writes */
		uint64_t iotlb_hits, iotlb_misses, context_hits, context_misses;
		uint64_t pasid_hits, pasid_misses;
		uint64_t psc_hits[MOAT_SOFTVTD_PSCS], psc_misses;
		uint64_t memory_reads, prefetched, passed, interrupts, unsnooped;
	} stats;
} __rte_cache_aligned;

/* ---------------------------------------------------------------------------------- requests */

/** A request of a device, as it goes through the unit. */
struct sv_request {
	uint64_t iova;
	moat_sid_t sid;
	uint32_t pasid; /* or MOAT_PASID_NONE */
	uint8_t prot;   /* MOAT_R or MOAT_W */
	uint8_t at;     /* enum moat_softvtd_at */
	bool zero_length;
	bool inner; /* second stage of a nested walk: its leaves are not cached by themselves */
	/* What the requests of a burst share, while the shard is locked. NULL: to be looked up. */
	const struct sv_context *context; /* in the context cache; it translates */
	const void *records;              /* the oracle's records of one GiB of a domain */
	uint64_t records_gib;             /* which GiB that is */
	/* the answer */
	bool fpd; /* faults of this context entry are not recorded */
	bool context_cached;
	bool watched;   /* by the oracle: went through a second-stage table */
	bool passed;    /* untranslated: hpa is iova */
	bool absent;    /* an entry of the walk permits nothing */
	uint8_t server; /* enum moat_softvtd_server */
	uint8_t shift;  /* of the page translated */
	uint16_t did;
	uint64_t hpa;  /* of the byte at iova */
	uint64_t data; /* of the IOTLB entry */
};

/* ------------------------------------------------------------------------------------- queue */

enum { SV_WINDOW = 512 }; /* descriptors fetched and not yet complete */

struct sv_slot {
	uint64_t lo, hi;
	uint64_t due;      /* TSC: not before */
	uint64_t due_turn; /* turn of the unit: not before */
	uint32_t index;    /* in the ring */
	bool done;
};

#define SV_MHMV 0xf /* an invalidation of the interrupt-entry cache covers up to 2^15 entries */

#define SV_INJECTIONS 64
struct sv_injection {
	uint32_t index;
	int8_t what; /* enum moat_softvtd_inject, -1: empty */
};

struct sv_queue {
	uint64_t iqa;
	uint32_t head, tail; /* byte offsets; head is IQH */
	bool wide;           /* IQA.DW: descriptors of 256 bits */
	bool enabled;        /* QIES */
	uint32_t stopped;    /* FSTS.IQE, ITE: nothing is fetched until they are cleared */
	uint64_t ercd;       /* IQERCD */
	uint64_t next_fetch; /* TSC at which the next descriptor can be fetched */
	struct sv_slot window[SV_WINDOW];
	uint32_t first, last; /* window[first % N] .. window[last % N - 1], ever growing */
	uint32_t wait_event;  /* ICS.IWC */
	struct sv_injection injections[SV_INJECTIONS];
	unsigned int nr_injections;
};

/** An invalidation asked for through CCMD or IOTLB. */
struct sv_register_inv {
	uint64_t value; /* as software reads it; ICC or IVT set while pending */
	uint64_t due, due_turn;
	bool executed; /* only draining is left */
};

/* ------------------------------------------------------------------------------------ events */

/** FECTL and its three neighbours, or IECTL's: an interrupt message and what holds it back. */
struct sv_event {
	uint32_t data, address, upper;
	bool mask, pending;
	bool send; /* the message is on its way: delivered when no lock is held */
};

struct sv_frcd {
	uint64_t lo, hi;
};

struct sv_faults {
	struct moat_spin lock;
	uint32_t fsts; /* PFO, IQE, ICE, ITE, FRI; PPF is computed */
	uint32_t next; /* the fault recording register for the next fault */
	struct sv_frcd *frcd;
	struct sv_event event;
	uint64_t faults[256];
	uint64_t recorded, overflowed, compressed, suppressed;
};

struct sv_oracle;
struct sv_intr; /* intr.c */

struct moat_softvtd {
	struct moat_softvtd_conf conf;
	uint64_t cap, ecap;
	uint16_t did_mask;
	uint64_t haw_mask;            /* address bits within the host address width */
	uint64_t memory, memory_size; /* see struct moat_softvtd_conf; neither is 0 */

	/* What DMA needs of the engine. Written by the engine, which then takes and leaves each
	 * shard's lock before it reports the command done: DMA that began before is then seen by
	 * the drain, DMA that begins later sees the new value. */
	_Atomic uint64_t root;    /* latched by SRTP */
	_Atomic bool translating; /* TES */

	struct sv_oracle *oracle;
	struct sv_intr *intr;
	struct sv_shard *shards;

	/* Up to here what DMA reads and no thread writes; from here on lines that are written.
	 *
	 * Work for a turn: a hint that lets poll() return at once. Set by the engine's holder; a
	 * reader that misses it for a moment only comes later. */
	_Atomic bool work __rte_cache_aligned;
	_Atomic bool events; /* some sv_event.send is set */

	struct moat_spin engine __rte_cache_aligned;
	uint64_t random;
	uint64_t turn;
	/* registers */
	uint32_t gsts;
	uint32_t command;      /* the global command under way: its GCMD bit, 0: none */
	bool command_on;       /* its new value */
	bool command_started;  /* it has taken effect; draining is left */
	uint32_t command_late; /* reads of GSTS until it shows */
	uint64_t rtaddr, irta, iva;
	uint32_t iqt_low; /* half-written 64-bit registers */
	struct sv_register_inv ccmd, iotlb;
	struct sv_event inv_event;
	struct sv_queue queue;
	bool drains_wanted; /* some shard has a drain outstanding */
	/* mutation */
	uint32_t mutations, mutate_every, mutate_count;
	struct {
		uint64_t descriptors[16], granularity[3][4];
		uint64_t pages, waits, doorbells, iqe, ite, ice, aborted, undrained, dropped;
		uint64_t misuse[MOAT_SOFTVTD_MISUSES];
	} stats;

	struct sv_faults faults __rte_cache_aligned;

	pthread_t thread;
	_Atomic bool stop;
};

/* Relaxed: only a counter; the engine and any shard count here. */
static inline void sv_misuse(struct moat_softvtd *sv, enum moat_softvtd_misuse misuse)
{
	__atomic_fetch_add(&sv->stats.misuse[misuse], 1, __ATOMIC_RELAXED);
}

/* Does the adversary read what was not asked for, this time? Under the shard's lock. */
static inline bool sv_prefetches(const struct moat_softvtd *sv, struct sv_shard *shard)
{
	return sv->conf.prefetch != 0 && sv_random(&shard->random) % 100 < sv->conf.prefetch;
}

/* Are two source-ids the same but for bits of the function number? `code`, as SQ and FM have it:
 * none, bit 2, bits 2:1, bits 2:0 are ignored. */
static inline bool sv_same_function(moat_sid_t a, moat_sid_t b, unsigned int code)
{
	static const uint8_t ignored[4] = { 0, 4, 6, 7 };

	return ((a ^ b) & ~ignored[code] & 0xffff) == 0;
}

/* Is there memory at this address, or at what is aligned and holds it? */
static inline bool sv_reachable(const struct moat_softvtd *sv, uint64_t hpa)
{
	return hpa - sv->memory < sv->memory_size;
}

static inline bool sv_interrupt_range(uint64_t address)
{
	return address >> 20 == 0xfee;
}

/* cache.c: all under the shard's lock, except sv_invalidate_*(), which take each shard's in turn */
int sv_caches_create(struct moat_softvtd *sv, struct sv_shard *shard);
void sv_caches_destroy(struct sv_shard *shard);
void sv_cache_fill(struct sv_cache *cache, uint64_t tag, uint64_t data);
struct sv_context *sv_context_find(struct sv_shard *shard, moat_sid_t sid);
void sv_context_fill(struct sv_shard *shard, const struct sv_context *context);

/** Granularities as descriptors encode them (enum moat_qi_gran). `drain`: bit 0 reads, 1 writes. */
void sv_invalidate_context(struct moat_softvtd *sv, unsigned int gran, uint16_t did, moat_sid_t sid,
	unsigned int fm);
void sv_invalidate_iotlb(struct moat_softvtd *sv, unsigned int gran, uint16_t did, uint64_t iova,
	unsigned int am, bool ih, unsigned int drain);
void sv_flush_lines(struct moat_softvtd *sv);

/* drain.c: under the engine's lock; sv_drain_shard() under the shard's, too */
void sv_drain_shard(struct moat_softvtd *sv, struct sv_shard *shard, unsigned int directions);
void sv_drain_start(struct moat_softvtd *sv, unsigned int directions);
bool sv_drained(struct moat_softvtd *sv);

/* scalable_cache.c, scalable.c, first_stage.c: see scalable.h */
int sv_scalable_create(struct moat_softvtd *sv, struct sv_shard *shard);
void sv_scalable_destroy(struct sv_shard *shard);
/** A request while RTADDR.TTM is scalable mode. @return as sv_translate() */
uint8_t sv_scalable_translate(struct moat_softvtd *sv, struct sv_shard *shard,
	struct sv_request *rq);
/** `gran`: enum moat_qi_pasid_gran */
void sv_invalidate_pasid_cache(struct moat_softvtd *sv, unsigned int gran, uint16_t did,
	uint32_t pasid);
/** `gran`: 2 all of the PASID, 3 pages of it; always drains */
void sv_invalidate_pasid_iotlb(struct moat_softvtd *sv, unsigned int gran, uint16_t did,
	uint32_t pasid, uint64_t iova, unsigned int am, bool ih);

/* walk.c: under the shard's lock. @return 0 or the fault reason */
/** A word of a table, as the chipset shows it. */
uint64_t sv_word_read(struct sv_shard *shard, uint64_t hpa);
/** An entry of two words, at once. */
struct vtd_entry sv_entry_read(struct sv_shard *shard, uint64_t hpa);
/** A hit of second stage that answers the request: rq->data, rq->shift; *reason with CM. */
bool sv_iotlb_find(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	uint16_t did, uint8_t *reason);
/** Second stage by what `c` says of tables and domain-id; reasons are legacy mode's. */
uint8_t sv_second_stage(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct sv_context *c);
/** rq->data and rq->shift to rq->hpa. */
uint8_t sv_finish(const struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq);
uint8_t sv_pass(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq);
uint8_t sv_translate(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq);

/* dma.c: under the shard's lock */
void sv_guard_join(struct moat_softvtd_guard *guard, unsigned int directions);

/* intr.c; all but the first two under the engine's lock */
int sv_intr_create(struct moat_softvtd *sv);
void sv_intr_destroy(struct moat_softvtd *sv);
void sv_intr_set_table(struct moat_softvtd *sv, uint64_t irta);
void sv_intr_set(struct moat_softvtd *sv, bool remapping, bool compatible);
/** 2^mask entries at `index`, or all. */
void sv_intr_invalidate(struct moat_softvtd *sv, bool global, uint16_t index, unsigned int mask);

/* faults.c */
void sv_fault_record(struct moat_softvtd *sv, const struct sv_request *rq, uint8_t reason);
void sv_fault_status(struct moat_softvtd *sv, uint32_t fsts_bit);
uint32_t sv_fsts_read(struct moat_softvtd *sv);
uint32_t sv_fsts_write(struct moat_softvtd *sv, uint32_t value); /* @return bits cleared */
uint64_t sv_frcd_read(struct moat_softvtd *sv, uint32_t offset);
void sv_frcd_write(struct moat_softvtd *sv, uint32_t offset, uint64_t value);
uint32_t sv_event_control_read(const struct sv_event *event);
void sv_event_control_write(struct moat_softvtd *sv, struct sv_event *event, uint32_t value);
void sv_event_raise(struct moat_softvtd *sv, struct sv_event *event);
void sv_deliver(struct moat_softvtd *sv); /* no lock held */

/* queue.c: under the engine's lock */
/** Does a mutation strike this invalidation, which is then dropped, and counted? */
bool sv_mutation_drops(struct moat_softvtd *sv, uint32_t mutation);
void sv_queue_enable(struct moat_softvtd *sv, bool on);
void sv_queue_tail(struct moat_softvtd *sv, uint64_t tail);
void sv_queue_fetch(struct moat_softvtd *sv, uint64_t now);
void sv_queue_execute(struct moat_softvtd *sv, uint64_t now);
/** `hi` as the second half of a descriptor, or IVA: address, IH, AM. */
void sv_execute_iotlb(struct moat_softvtd *sv, unsigned int gran, uint16_t did, uint64_t hi,
	unsigned int drain);
bool sv_queue_idle(const struct moat_softvtd *sv);

/* command.c: under the engine's lock */
void sv_command_write(struct moat_softvtd *sv, uint32_t gcmd);
void sv_command_advance(struct moat_softvtd *sv);
void sv_ccmd_write(struct moat_softvtd *sv, uint64_t value);
void sv_iotlb_write(struct moat_softvtd *sv, uint64_t value);
void sv_register_inv_advance(struct moat_softvtd *sv, uint64_t now);
/* @return descriptors were fetched or executed */
bool sv_turn(struct moat_softvtd *sv);

/* oracle.c */
int sv_oracle_create(struct moat_softvtd *sv);
void sv_oracle_destroy(struct sv_oracle *oracle);
void sv_oracle_check(struct sv_oracle *oracle, struct sv_request *rq);
bool sv_oracle_table_freed(const struct sv_oracle *oracle, uint64_t hpa);
/** A walk that ended in a fault read a table page that was given back; a walk that ended in a
 * translation is reported by sv_oracle_check(). */
void sv_oracle_walked_freed(struct sv_oracle *oracle, struct sv_request *rq);
void sv_oracle_stats(const struct sv_oracle *oracle, struct moat_softvtd_stats *stats);

#endif /* SOFTVTD_H */
