/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef SOFTVTD_H
#define SOFTVTD_H

/**
 * @file
 * The software unit's internals.
 *
 * A *shard* is the part of the unit that serves some of the requesters: caches, the DMA under way,
 * counters, one lock. The *engine* is the rest: registers, global commands, the invalidation queue.
 * The *fault log* is FSTS and the fault recording registers.
 *
 * Lock order: engine -> shard -> fault log. DMA takes a shard's lock, and in it or after it the
 * fault log's. No lock is held while data is transferred, and none while a thread waits for the
 * queue.
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

/* xorshift64*: the adversary's random numbers */
static inline uint64_t sv_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* Only the holder of the counter's lock writes; any thread may read. */
#define SV_COUNT(counter, n) moat_counter_add(&(counter), (n))
#define SV_READ(counter)     moat_counter_get(&(counter))

/* ---------------------------------------------------------------------------------- draining */

/**
 * The DMA of one direction that is under way in a shard, counted in two phases. A drain flips the
 * phase and is complete when all DMA of the old phase has ended; DMA that begins meanwhile counts
 * in the new phase and does not delay the drain. One drain runs at a time; requests meanwhile are
 * served by the next drain.
 */
struct sv_drain {
	/* Incremented under the shard's lock; decremented without it, with release: a reader that
	 * acquires 0 sees that every access before dma_end has happened. */
	_Atomic uint32_t active[2];
	uint8_t phase;
	uint64_t started, completed, wanted; /* numbers of drains; started - completed is 0 or 1 */
};

/* ------------------------------------------------------------------------------------ caches */

enum { SV_4K = 1, SV_2M = 2, SV_1G = 3 }; /* level of a leaf = level of its table */

/**
 * An entry of the IOTLB or a paging-structure cache. Tag: page number (IOVA shifted by what the
 * entry spans) << 18 | domain-id << 2 | size. Data: the address, and in bits 11:0 the flags below.
 * The tag of an empty entry is 0; no size is 0.
 */
struct sv_entry {
	uint64_t tag;
	uint64_t data;
};
#define SV_ADDR      UINT64_C(0x000ffffffffff000)
#define SV_PS        (UINT64_C(1) << 7)  /* of a table entry, in either stage: a superpage */
#define SV_PROT      UINT64_C(3)         /* enum moat_prot */
#define SV_REASON(d) (((d) >> 2) & 0xff) /* CM: the cached fault reason; 0: see SV_PROT */
#define SV_FREED     (UINT64_C(1) << 10) /* the walk read a freed table page */
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

/** A set-associative cache. Sets that may have entries have their bit in `used` set, so that scans
 * skip the other sets. */
struct sv_cache {
	struct sv_entry *entries;
	uint64_t *used;      /* one bit per set */
	uint32_t sets, ways; /* powers of two; 0 sets: no cache */
	uint32_t filled[4];  /* entries by size (low two bits of the tag) */
	uint32_t victim;     /* counts evictions: selects the way */
};

/* Neighbouring pages lie in neighbouring sets; domains begin at different sets. */
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
	uint16_t did; /* 0 if the entry is absent or invalid (CM) */
	uint8_t state;
	uint8_t reason; /* the fault reason; 0: the entry translates */
	uint8_t tt;
	uint8_t levels;
	uint8_t width; /* bits of IOVA: the lesser of MGAW and what the levels allow */
	bool fpd;
};

#define SV_CONTEXT_WAYS 4
#define SV_LINES        1024 /* RWBF: table lines remembered per shard */
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

/** A device's request and the unit's answer. */
struct sv_request {
	uint64_t iova;
	moat_sid_t sid;
	uint32_t pasid; /* or MOAT_PASID_NONE */
	uint8_t prot;   /* MOAT_R or MOAT_W */
	uint8_t at;     /* enum moat_softvtd_at */
	bool zero_length;
	bool inner; /* second stage of a nested walk: its leaves are not cached in the IOTLB */
	/* Shared by the requests of a burst, while the shard is locked. NULL: not looked up yet. */
	const struct sv_context *context; /* in the context cache; its tables translate */
	const void *records;              /* the oracle's records of one GiB of a domain */
	uint64_t records_gib;             /* which domain and GiB these are */
	/* the answer */
	bool fpd; /* faults of this context entry are not recorded */
	bool context_cached;
	bool watched;   /* translated by tables, so that the oracle checks it */
	bool passed;    /* untranslated: hpa is iova */
	bool absent;    /* the walk met an entry that permits nothing */
	uint8_t server; /* enum moat_softvtd_server */
	uint8_t shift;  /* of the page translated */
	uint16_t did;
	uint64_t hpa;  /* of the byte at iova */
	uint64_t data; /* of the IOTLB entry */
};

/* ------------------------------------------------------------------------------------- queue */

enum { SV_WINDOW = 512 }; /* at most so many descriptors are fetched and not complete */

struct sv_slot {
	uint64_t lo, hi;
	uint64_t due;      /* earliest TSC of execution */
	uint64_t due_turn; /* earliest turn of the unit */
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
	uint32_t stopped;    /* FSTS.IQE, ITE: nothing is fetched until software clears them */
	uint64_t ercd;       /* IQERCD */
	uint64_t next_fetch; /* TSC at which the next descriptor can be fetched */
	struct sv_slot window[SV_WINDOW];
	uint32_t first, last; /* the window is [first, last), modulo SV_WINDOW; both only grow */
	uint32_t wait_event;  /* ICS.IWC */
	struct sv_injection injections[SV_INJECTIONS];
	unsigned int nr_injections;
};

/** An invalidation requested through CCMD or IOTLB. */
struct sv_register_inv {
	uint64_t value; /* as software reads it; ICC or IVT is set while pending */
	uint64_t due, due_turn;
	bool executed; /* only draining is left */
};

/* ------------------------------------------------------------------------------------ events */

/** FECTL or IECTL, and the three registers after it: an interrupt message, and whether it may be
 * sent. */
struct sv_event {
	uint32_t data, address, upper;
	bool mask, pending;
	bool send; /* the message is to be delivered once no lock is held */
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

	/* What DMA reads of the engine's state. The engine writes it, then takes and releases each
	 * shard's lock before GSTS shows the command: the drain then sees DMA that began before,
	 * and DMA that begins later sees the new value. */
	_Atomic uint64_t root;    /* latched by SRTP */
	_Atomic bool translating; /* TES */

	struct sv_oracle *oracle;
	struct sv_intr *intr;
	struct sv_shard *shards;

	/* DMA reads the members above, which are rarely written; the cache lines from here on are
	 * written often.
	 *
	 * There is work for a turn: a hint that lets poll() return at once. Written under the
	 * engine's lock; a thread that misses a change works at its next poll. */
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
	struct sv_register_inv ccmd, iotlb;
	struct sv_event inv_event;
	struct sv_queue queue;
	bool drains_wanted; /* some shard may have a drain outstanding */
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

/* Does the adversary prefetch this time? Under the shard's lock. */
static inline bool sv_prefetches(const struct moat_softvtd *sv, struct sv_shard *shard)
{
	return sv->conf.prefetch != 0 && sv_random(&shard->random) % 100 < sv->conf.prefetch;
}

/* Do two source-ids differ only in ignored bits of the function number? `code` is encoded as SQ and
 * FM are: 0 ignores none, 1 bit 2, 2 bits 2:1, 3 bits 2:0. */
static inline bool sv_same_function(moat_sid_t a, moat_sid_t b, unsigned int code)
{
	static const uint8_t ignored[4] = { 0, 4, 6, 7 };

	return ((a ^ b) & ~ignored[code] & 0xffff) == 0;
}

/* Is there memory at this address? Memory is whole pages, so the answer covers any aligned
 * entry. */
static inline bool sv_reachable(const struct moat_softvtd *sv, uint64_t hpa)
{
	return hpa - sv->memory < sv->memory_size;
}

static inline bool sv_interrupt_range(uint64_t address)
{
	return address >> 20 == 0xfee;
}

/* cache.c: under the shard's lock, except sv_invalidate_*() and sv_flush_lines(), which take each
 * shard's in turn, and sv_caches_*() */
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

/* drain.c: under the engine's lock; sv_drain_shard() also under the shard's */
void sv_drain_shard(struct moat_softvtd *sv, struct sv_shard *shard, unsigned int directions);
void sv_drain_start(struct moat_softvtd *sv, unsigned int directions);
bool sv_drained(struct moat_softvtd *sv);

/* scalable_cache.c, scalable.c, first_stage.c: see scalable.h */
int sv_scalable_create(struct moat_softvtd *sv, struct sv_shard *shard);
void sv_scalable_destroy(struct sv_shard *shard);
/** Translate a request while RTADDR.TTM is scalable mode. @return as sv_translate() */
uint8_t sv_scalable_translate(struct moat_softvtd *sv, struct sv_shard *shard,
	struct sv_request *rq);
/** `gran`: enum moat_qi_pasid_gran */
void sv_invalidate_pasid_cache(struct moat_softvtd *sv, unsigned int gran, uint16_t did,
	uint32_t pasid);
/** `gran`: 2 the whole PASID, 3 pages of it. Always drains */
void sv_invalidate_pasid_iotlb(struct moat_softvtd *sv, unsigned int gran, uint16_t did,
	uint32_t pasid, uint64_t iova, unsigned int am, bool ih);

/* walk.c: under the shard's lock. @return 0 or the fault reason */
/** Read a word of a table as the chipset shows it. */
uint64_t sv_word_read(struct sv_shard *shard, uint64_t hpa);
/** Read an entry of two words atomically. */
struct vtd_entry sv_entry_read(struct sv_shard *shard, uint64_t hpa);
/** Find a second-stage IOTLB entry that answers the request. Sets rq->data, rq->shift and *reason;
 * without CM *reason is 0. */
bool sv_iotlb_find(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	uint16_t did, uint8_t *reason);
/** Walk the second-stage tables of `c` with its domain-id. Fault reasons are legacy mode's. */
uint8_t sv_second_stage(struct moat_softvtd *sv, struct sv_shard *shard, struct sv_request *rq,
	const struct sv_context *c);
/** Compute rq->hpa from rq->data and rq->shift. */
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
/** Invalidate the 2^mask entries at `index`, or all. */
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
/** Does the mutation drop this invalidation? If so, it is counted. */
bool sv_mutation_drops(struct moat_softvtd *sv, uint32_t mutation);
void sv_queue_enable(struct moat_softvtd *sv, bool on);
void sv_queue_tail(struct moat_softvtd *sv, uint64_t tail);
void sv_queue_fetch(struct moat_softvtd *sv, uint64_t now);
void sv_queue_execute(struct moat_softvtd *sv, uint64_t now);
/** @param hi the second half of a descriptor, or IVA: address, IH, AM */
void sv_execute_iotlb(struct moat_softvtd *sv, unsigned int gran, uint16_t did, uint64_t hi,
	unsigned int drain);
bool sv_queue_idle(const struct moat_softvtd *sv);

/* command.c: under the engine's lock */
void sv_command_write(struct moat_softvtd *sv, uint32_t gcmd);
void sv_command_advance(struct moat_softvtd *sv);
void sv_ccmd_write(struct moat_softvtd *sv, uint64_t value);
void sv_iotlb_write(struct moat_softvtd *sv, uint64_t value);
void sv_register_inv_advance(struct moat_softvtd *sv, uint64_t now);
/* @return whether descriptors were fetched or executed */
bool sv_turn(struct moat_softvtd *sv);

/* oracle.c */
int sv_oracle_create(struct moat_softvtd *sv);
void sv_oracle_destroy(struct sv_oracle *oracle);
void sv_oracle_check(struct sv_oracle *oracle, struct sv_request *rq);
bool sv_oracle_table_freed(const struct sv_oracle *oracle, uint64_t hpa);
/** Report a walk that read a freed table page and ended in a fault. sv_oracle_check() reports one
 * that ended in a translation. */
void sv_oracle_walked_freed(struct sv_oracle *oracle, struct sv_request *rq);
void sv_oracle_stats(const struct sv_oracle *oracle, struct moat_softvtd_stats *stats);

#endif /* SOFTVTD_H */
