/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_SOFTVTD_H
#define MOAT_SOFTVTD_H

/**
 * @file
 * A VT-d unit in software: the specification's registers, tables, caches, invalidation queue and
 * faults, in the process that drives it. Legacy mode (root and context tables, second stage) and
 * scalable mode (PASID tables; first stage, second stage, nested and pass-through).
 *
 * It has two sides. The *driver's side* is a page of registers (moat_softvtd_read32() and so on, or
 * a struct moat_vtd_window): all that drivers/vtd ever sees. The *device's side* is DMA: a software
 * device opens a guard under its source-id, has IOVAs translated, touches the memory, and closes
 * the guard. Host physical addresses are virtual addresses of this process.
 *
 * The unit is an adversary. Whatever the specification lets hardware do and a careless driver would
 * be hurt by, it does:
 *  - it caches every translation, context entry and paging-structure entry it meets until it is
 *    told to drop it, neighbours that no device asked for included; with CAP.CM also what is not
 *    there;
 *  - a context entry that was invalidated still leads to the IOTLB entries it tagged, until those
 *    are invalidated, too ("Context-Cache Invalidation": software must follow up with the IOTLB's);
 *  - descriptors take effect as late as their completion, completion comes late and out of step,
 *    DMA that is under way is drained only where a descriptor asks for it (DR, DW; VER below 2);
 *  - a global command shows in GSTS only some reads later;
 *  - with CAP.RWBF it keeps seeing table lines as they were until the write buffer is flushed.
 * What software must not do ("hardware behaviour is undefined") it does not do, and counts: see
 * enum moat_softvtd_misuse.
 *
 * The *oracle* knows what the driver side promised (struct moat_witness) and checks each DMA
 * against it: a DMA to a page that was released and not mapped since is a stale DMA, counted and
 * pinned on the unmap that caused it.
 *
 * Threads: every call is thread-safe. DMA scales: source-ids are spread over shards, each with a
 * lock and caches of its own; a shard's lock is held for a look-up or a walk, never over a copy.
 * Unless `threaded`, the unit works only when a thread calls it: register accesses and
 * moat_softvtd_poll() give it turns.
 * All time spent here is device time (lib/cost), except in a turn that finds nothing to do yet:
 * a driver that asked too early is waiting, and that is the driver's time.
 */

#include "moat_unit.h"
#include "moat_vtd_window.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct moat_softvtd;

/** What a paging-structure cache may hold, by the level of the entry it saves reading. */
enum moat_softvtd_psc {
	MOAT_SOFTVTD_PDE,  /* leads to a page table */
	MOAT_SOFTVTD_PDPE, /* leads to a page directory */
	MOAT_SOFTVTD_PML4E,
	MOAT_SOFTVTD_PML5E,
	MOAT_SOFTVTD_PSCS,
};

/** Configuration of a unit. Call moat_softvtd_conf_init() first, then change what matters. */
struct moat_softvtd_conf {
	/* What VER, CAP and ECAP say. */
	uint8_t ver;     /* 0x10: 1.0. Major 2 and beyond always drain, DR and DW or not */
	uint8_t mgaw;    /* bits of IOVA */
	uint8_t sagaw;   /* bit 1: 39, bit 2: 48, bit 3: 57 */
	uint8_t haw;     /* host address width: bits beyond are reserved in every table */
	uint8_t nd_bits; /* domain-id width: 4, 6, ... 16 */
	uint8_t mamv;
	uint8_t sllps; /* bit 0: 2 MiB, bit 1: 1 GiB leaves */
	uint8_t nfr;   /* fault recording registers, 1 to 128 */
	/* offset of the fault recording registers; of IVA and IOTLB: bytes, 16 * n */
	uint16_t fro, iro;
	bool psi, coherent, cm, rwbf, zlr, drd, dwd, qi, pt, dt, sc, ir, eim, esrtps, dit;
	bool pi; /* CAP.PI: with `ir`, entries may be of the posted form */

	/* Scalable mode; without `scalable` the rest says nothing. */
	bool scalable;          /* ECAP.SMTS */
	bool ssts, fsts, nest;  /* second stage, first stage, both */
	bool fs1gp, fs5lp;      /* first stage: 1 GiB leaves, 5 levels */
	uint8_t pasid_bits;     /* ECAP.PSS + 1, up to 20; 0: no requests with PASID (ECAP.PASID) */
	uint32_t pasid_entries; /* of the PASID cache of a shard: 0 or a power of two */

	/* The host memory that there is, in bytes from `memory` on: what lies outside answers
	 * nothing. A size of 0 is all of the process, where a wild address in a table or descriptor
	 * ends the process. */
	uint64_t memory, memory_size;

	/* Cache geometry of one shard: entries (powers of two) and ways. 0 entries: no cache. */
	uint16_t shards; /* power of two, up to 64 */
	uint32_t iotlb_entries, iotlb_ways;
	uint32_t context_entries;
	uint32_t psc_entries[MOAT_SOFTVTD_PSCS];

	/* Time, in TSC cycles. */
	uint32_t latency; /* from doorbell to the completion of a wait descriptor */
	uint32_t per_descriptor;

	/* Adversary. */
	uint64_t seed;
	uint8_t prefetch; /* percent of walks that also cache what shares the entry's line */
	uint8_t jitter; /* descriptors wait for up to so many turns of the unit beyond their time */
	uint8_t gsts_late; /* a command shows after up to so many reads of GSTS (at least one) */
	bool linger;       /* invalidated context entries still lead to IOTLB entries they tagged */
	bool reorder;      /* execute IOTLB descriptors between two waits in any order */
	bool compress;     /* fault recording: no second record of a source-id with one pending */

	bool oracle;
	bool threaded; /* a thread of its own consumes the queue */

	/** Fault and invalidation events: the message that FECTL/IECTL let through. May be NULL.
	 * Called from whatever thread is in the unit, no lock held. */
	void (*interrupt)(void *ctx, uint64_t address, uint32_t data);
	void *ctx;
};

/**
 * An adversarial unit: 48 bits and 39, 16-bit domain-ids, MAMV 18, 2 MiB and 1 GiB leaves, QI,
 * pass-through, coherent, no caching mode, no latency; caches of 4096/64/512 entries a shard.
 *
 * @param conf receives the configuration
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_conf_init(struct moat_softvtd_conf *conf);

/**
 * Switch the adversary and the oracle off, for tests of other things and for measurements of speed.
 *
 * @param conf after moat_softvtd_conf_init()
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_conf_plain(struct moat_softvtd_conf *conf);

/** What a unit may keep, and whose it is. */
struct moat_softvtd_geometry {
	const char *name;
	const char *source; /* where the numbers come from, in words; says what is only assumed */
	uint32_t iotlb_entries, iotlb_ways;
	uint32_t context_entries;
	uint32_t psc_entries[MOAT_SOFTVTD_PSCS];
};

/**
 * The geometries of caches that are known, one by one.
 *
 * @param i from 0 on
 * @return the i-th, static; NULL: no more
 *
 * Thread-safe. Control path.
 */
const struct moat_softvtd_geometry *moat_softvtd_geometry(unsigned int i);

/**
 * Caches as in the geometry `name`, one shard, and moat_softvtd_conf_plain(): what is then counted
 * (iotlb_misses, psc_hits, memory_reads) is what such a unit would have to do for the same DMA.
 *
 * @param conf after moat_softvtd_conf_init()
 * @param name of a geometry
 * @return 0
 * @return -EINVAL: no such name; moat_error_text() lists them
 *
 * Thread-safe. Control path.
 */
int moat_softvtd_conf_geometry(struct moat_softvtd_conf *conf, const char *name);

/**
 * Can a unit be like this?
 *
 * @param conf the configuration
 * @return 0
 * @return -EINVAL: a value that no unit can have; moat_error_text() has the sentence
 *
 * Thread-safe. Control path.
 */
int moat_softvtd_check(const struct moat_softvtd_conf *conf);

/**
 * Create a unit, as it is after reset.
 *
 * @param conf copied
 * @param sv set on success
 * @return 0
 * @return -EINVAL: as moat_softvtd_check()
 * @return -ENOMEM
 * @return the error of pthread_create(), with `threaded`
 *
 * Thread-safe. Control path.
 */
int moat_softvtd_create(const struct moat_softvtd_conf *conf, struct moat_softvtd **sv);

/**
 * How a unit was created.
 *
 * @param sv the unit
 * @return what moat_softvtd_create() was given; valid as long as the unit
 *
 * Thread-safe. Control path.
 */
const struct moat_softvtd_conf *moat_softvtd_conf(const struct moat_softvtd *sv);

/**
 * Destroy a unit.
 *
 * @param sv no DMA and no call may be under way; NULL: nothing happens
 *
 * Thread safety: no other thread may use the unit. Control path.
 */
void moat_softvtd_destroy(struct moat_softvtd *sv);

/* ------------------------------------------------------------------------ the driver's side */

/**
 * Read a 32-bit register, or a half of a 64-bit one (the low half first).
 *
 * @param sv the unit
 * @param offset in the 4 KiB page of registers; a reserved one reads 0
 * @return the value
 *
 * Thread-safe. Data path.
 */
uint32_t moat_softvtd_read32(struct moat_softvtd *sv, uint32_t offset);

/**
 * Read a 64-bit register.
 *
 * @param sv the unit
 * @param offset in the page of registers
 * @return the value
 *
 * Thread-safe. Data path.
 */
uint64_t moat_softvtd_read64(struct moat_softvtd *sv, uint32_t offset);

/**
 * Write a 32-bit register, or a half of a 64-bit one (the low half first).
 *
 * @param sv the unit
 * @param offset in the page of registers
 * @param value what to write
 *
 * Thread-safe. Data path.
 */
void moat_softvtd_write32(struct moat_softvtd *sv, uint32_t offset, uint32_t value);

/**
 * Write a 64-bit register.
 *
 * @param sv the unit
 * @param offset in the page of registers
 * @param value what to write
 *
 * Thread-safe. Data path.
 */
void moat_softvtd_write64(struct moat_softvtd *sv, uint32_t offset, uint64_t value);

/**
 * The registers as drivers/vtd takes them; `run` is moat_softvtd_poll(), NULL when threaded.
 *
 * @param sv the unit; must outlive the window
 * @param window receives the functions
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_window(struct moat_softvtd *sv, struct moat_vtd_window *window);

/**
 * A turn for the unit: fetch, execute and complete descriptors whose time has come. Returns at once
 * if another thread is giving it one, or nothing is queued.
 *
 * @param sv the unit
 *
 * Thread-safe. Data path.
 */
void moat_softvtd_poll(struct moat_softvtd *sv);

/* ------------------------------------------------------------------------ the device's side */

/** DMA under way. On the caller's stack; members are the unit's. */
struct moat_softvtd_guard {
	struct moat_softvtd *sv;
	void *shard;
	moat_sid_t sid;
	uint32_t pasid;   /* of its requests; MOAT_PASID_NONE */
	uint8_t prot;     /* announced */
	uint8_t active;   /* directions counted (enum moat_prot) */
	uint8_t phase[2]; /* of the read drain and the write drain */
};

/**
 * Begin DMA: whatever is translated under the guard may be touched until it ends, because an
 * invalidation that drains completes only after that. A thread may hold several guards; one that
 * waits for the queue must hold none.
 *
 * @param sv the unit
 * @param sid the requester's source-id
 * @param agent which of the requester's engines it is (a queue number): engines with different
 *   numbers use different shards and do not contend
 * @param prot the kinds of access to come; another kind is counted from its first translation on
 * @param guard to be closed by moat_softvtd_dma_end()
 *
 * Thread-safe; a guard belongs to one thread. Data path: no allocation, no system call.
 */
void moat_softvtd_dma_begin(struct moat_softvtd *sv, moat_sid_t sid, unsigned int agent,
	enum moat_prot prot, struct moat_softvtd_guard *guard);

/**
 * End DMA: nothing that was translated under the guard may be touched any more.
 *
 * @param guard the calling thread's
 *
 * Thread-safe. Data path.
 */
void moat_softvtd_dma_end(struct moat_softvtd_guard *guard);

/**
 * As moat_softvtd_dma_begin(), for requests that carry a PASID.
 *
 * @param sv as there
 * @param sid as there
 * @param pasid the PASID; MOAT_PASID_NONE: none
 * @param agent as there
 * @param prot as there
 * @param guard as there
 *
 * Thread-safe; a guard belongs to one thread. Data path.
 */
void moat_softvtd_dma_begin_pasid(struct moat_softvtd *sv, moat_sid_t sid, uint32_t pasid,
	unsigned int agent, enum moat_prot prot, struct moat_softvtd_guard *guard);

/** Not a fault reason: nothing answers. The address is in the interrupt range (0xfeexxxxx), which
 * is never translated and never memory (a write there is an interrupt request); or it leads,
 * translated or passed through, to where there is no memory. */
#define MOAT_SOFTVTD_NO_MEMORY 0xff

/** One access of a burst. */
struct moat_softvtd_dma {
	uint64_t iova;
	uint32_t len;
	uint8_t prot;   /* MOAT_R or MOAT_W */
	uint8_t reason; /* out: 0, or the fault reason that ended the run */
	uint32_t run;   /* out: contiguous bytes at `va`, up to `len` */
	void *va;       /* out: where the first `run` bytes are; NULL: refused */
};

/**
 * Translate a burst. Where memory is not contiguous or the rest is refused, `run` is less than
 * `len` and `reason` tells the two apart; call again for what lies behind. A read of length 0 is
 * the zero-length read of CAP.ZLR.
 *
 * @param guard the calling thread's
 * @param dma the accesses; their last members receive the answers
 * @param n how many
 * @return how many were translated in full
 *
 * Thread-safe. Data path.
 */
unsigned int moat_softvtd_dma_burst(struct moat_softvtd_guard *guard, struct moat_softvtd_dma dma[],
	unsigned int n);

/**
 * Translate one access, as one piece of memory.
 *
 * @param guard the calling thread's
 * @param iova first IOVA
 * @param len bytes
 * @param prot MOAT_R or MOAT_W
 * @return where the whole of [iova, iova + len) is, valid until the guard ends
 * @return NULL: it is refused (a fault is recorded), or not contiguous
 *
 * Thread-safe. Data path.
 */
void *moat_softvtd_dma_map(struct moat_softvtd_guard *guard, uint64_t iova, uint32_t len,
	enum moat_prot prot);

/**
 * Read as a device does, page by page.
 *
 * @param sv the unit
 * @param sid the requester's source-id
 * @param iova first IOVA
 * @param buf receives what was read
 * @param len bytes
 * @return 0
 * @return the fault reason (> 0) of the first page refused: the pages before it are done, as on a
 *   bus
 *
 * Thread-safe. Data path.
 */
int moat_softvtd_dma_read(struct moat_softvtd *sv, moat_sid_t sid, uint64_t iova, void *buf,
	size_t len);

/**
 * Write as a device does, page by page.
 *
 * @param sv the unit
 * @param sid the requester's source-id
 * @param iova first IOVA
 * @param buf what to write
 * @param len bytes
 * @return as moat_softvtd_dma_read()
 *
 * Thread-safe. Data path.
 */
int moat_softvtd_dma_write(struct moat_softvtd *sv, moat_sid_t sid, uint64_t iova, const void *buf,
	size_t len);

/**
 * As moat_softvtd_dma_read(), with a PASID.
 *
 * @param sv the unit
 * @param sid the requester's source-id
 * @param pasid the PASID; MOAT_PASID_NONE: none
 * @param iova first IOVA
 * @param buf receives what was read
 * @param len bytes
 * @return as moat_softvtd_dma_read()
 *
 * Thread-safe. Data path.
 */
int moat_softvtd_dma_read_pasid(struct moat_softvtd *sv, moat_sid_t sid, uint32_t pasid,
	uint64_t iova, void *buf, size_t len);

/**
 * As moat_softvtd_dma_write(), with a PASID.
 *
 * @param sv the unit
 * @param sid the requester's source-id
 * @param pasid the PASID; MOAT_PASID_NONE: none
 * @param iova first IOVA
 * @param buf what to write
 * @param len bytes
 * @return as moat_softvtd_dma_read()
 *
 * Thread-safe. Data path.
 */
int moat_softvtd_dma_write_pasid(struct moat_softvtd *sv, moat_sid_t sid, uint32_t pasid,
	uint64_t iova, const void *buf, size_t len);

/** A request's address type, as on the bus. The calls above make untranslated requests. */
enum moat_softvtd_at {
	MOAT_SOFTVTD_UNTRANSLATED = 0,
	MOAT_SOFTVTD_TRANSLATION = 1, /* ATS: a device fills its device TLB */
	MOAT_SOFTVTD_TRANSLATED = 2,  /* ATS: the address is a host physical one */
};

/**
 * Translate one page's worth, of any address type.
 *
 * @param guard the calling thread's
 * @param at the request's address type
 * @param iova any IOVA
 * @param prot MOAT_R or MOAT_W
 * @param zero_length a zero-length read (CAP.ZLR)
 * @param va set on 0: where the byte is
 * @return 0
 * @return the fault reason (> 0), which is recorded
 *
 * Thread-safe. Data path.
 */
int moat_softvtd_request(struct moat_softvtd_guard *guard, enum moat_softvtd_at at, uint64_t iova,
	enum moat_prot prot, bool zero_length, void **va);

/* ---------------------------------------------------------------------------- the oracle */

/**
 * The oracle's ear, for struct moat_unit's `witness`.
 *
 * @param sv the unit
 * @return the witness; NULL: the unit has no oracle
 *
 * Thread-safe. Control path.
 */
struct moat_witness *moat_softvtd_witness(struct moat_softvtd *sv);

/**
 * Tell the oracle that a table page was given back: a walk that reads it from now on is a stale
 * DMA, too.
 *
 * @param sv the unit; without an oracle nothing happens
 * @param hpa the page
 *
 * Thread-safe. Data path.
 */
void moat_softvtd_table_freed(struct moat_softvtd *sv, uint64_t hpa);

/**
 * Tell the oracle that a page is a table, perhaps again.
 *
 * @param sv the unit; without an oracle nothing happens
 * @param hpa the page
 *
 * Thread-safe. Data path.
 */
void moat_softvtd_table_used(struct moat_softvtd *sv, uint64_t hpa);

/** What served a translation. */
enum moat_softvtd_server {
	MOAT_SOFTVTD_BY_IOTLB,
	MOAT_SOFTVTD_BY_PDE, /* a walk that began at this cached entry, ... */
	MOAT_SOFTVTD_BY_PDPE,
	MOAT_SOFTVTD_BY_PML4E,
	MOAT_SOFTVTD_BY_PML5E,
	MOAT_SOFTVTD_BY_WALK, /* ... or at the root of the table */
};

/**
 * What served a translation, in words.
 *
 * @param server one of enum moat_softvtd_server
 * @return a static text
 *
 * Thread-safe. Control path.
 */
const char *moat_softvtd_server_name(enum moat_softvtd_server server);

/** Why a DMA should not have got through. */
enum moat_softvtd_staleness {
	MOAT_SOFTVTD_STALE_RELEASED, /* the page was released and not mapped since */
	MOAT_SOFTVTD_STALE_WILD,     /* the page was never mapped */
	MOAT_SOFTVTD_STALE_PROT,     /* it is mapped, but not for this access */
	MOAT_SOFTVTD_STALE_TABLE,    /* the walk read a table page that was given back */
	MOAT_SOFTVTD_STALES,
};

/**
 * Why a DMA was stale, in words.
 *
 * @param why one of enum moat_softvtd_staleness
 * @return a static text
 *
 * Thread-safe. Control path.
 */
const char *moat_softvtd_staleness_name(enum moat_softvtd_staleness why);

/** A stale DMA. */
struct moat_softvtd_stale {
	uint64_t iova;  /* of the page */
	uint64_t cause; /* the unmap's, as told to the witness; 0 where there was none */
	uint64_t age;   /* TSC cycles since the release */
	uint64_t tsc;
	moat_sid_t sid;
	uint16_t did;
	uint32_t pasid; /* or MOAT_PASID_NONE */
	uint8_t prot;
	uint8_t why;    /* enum moat_softvtd_staleness */
	uint8_t server; /* enum moat_softvtd_server */
	bool context;   /* the context entry came from the context cache (or lingered) */
};

/**
 * The latest stale DMAs, newest first.
 *
 * @param sv the unit
 * @param list receives up to `n` of the 64 that are kept
 * @param n room in `list`
 * @return how many were copied
 *
 * Thread-safe. Control path.
 */
unsigned int moat_softvtd_stale(struct moat_softvtd *sv, struct moat_softvtd_stale list[],
	unsigned int n);

/* ---------------------------------------------------------------- breaking it on purpose */

enum moat_softvtd_inject {
	MOAT_SOFTVTD_IQE, /* the descriptor cannot be fetched (IQERCD.IQEI 2) */
	MOAT_SOFTVTD_ITE, /* the device does not answer a device-TLB invalidation in time */
	MOAT_SOFTVTD_ICE, /* an unexpected device-TLB invalidation completion arrives */
};

/**
 * Let an error strike once: when the descriptor in ring slot `index` is next fetched (IQE) or
 * executed (ITE, ICE), whatever it is.
 *
 * @param sv the unit
 * @param what the error
 * @param index ring slot
 * @return 0
 * @return -ENOSPC: 64 are pending
 *
 * Thread-safe. Control path.
 */
int moat_softvtd_inject(struct moat_softvtd *sv, enum moat_softvtd_inject what, uint32_t index);

/** Hardware bugs, bits: tests use them to see whether they are noticed. */
enum moat_softvtd_mutation {
	MOAT_SOFTVTD_DROP_PAGE = 1 << 0,   /* page-selective IOTLB invalidations do nothing */
	MOAT_SOFTVTD_DROP_DOMAIN = 1 << 1, /* domain-selective ones */
	MOAT_SOFTVTD_DROP_GLOBAL = 1 << 2,
	MOAT_SOFTVTD_DROP_CONTEXT = 1 << 3,     /* context-cache invalidations */
	MOAT_SOFTVTD_HINT_ALWAYS = 1 << 4,      /* IH is taken as set */
	MOAT_SOFTVTD_NO_DRAIN = 1 << 5,         /* complete while DMA is under way */
	MOAT_SOFTVTD_EARLY_WAIT = 1 << 6,       /* wait descriptors complete when fetched */
	MOAT_SOFTVTD_SHORT_MASK = 1 << 7,       /* AM is taken as one less */
	MOAT_SOFTVTD_DROP_PASID_CACHE = 1 << 8, /* PASID-cache invalidations do nothing */
	MOAT_SOFTVTD_DROP_PASID_IOTLB = 1 << 9, /* PASID-based IOTLB invalidations */
	MOAT_SOFTVTD_DROP_INT_ENTRY = 1 << 16,  /* those of the interrupt-entry cache do nothing */
};

/**
 * Break the unit from now on.
 *
 * @param sv the unit
 * @param mutations bits of enum moat_softvtd_mutation; 0: none
 * @param every only one in so many of the invalidations concerned is broken; 0 and 1: all
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_mutate(struct moat_softvtd *sv, uint32_t mutations, uint32_t every);

/* ------------------------------------------------------------------------------ counters */

/** What software must not do; none of it takes effect unless said so. */
enum moat_softvtd_misuse {
	MOAT_SOFTVTD_MISUSE_TWO_COMMANDS, /* a GCMD write that changes two bits at once */
	MOAT_SOFTVTD_MISUSE_COMMAND_BUSY, /* a GCMD write before GSTS showed the last command */
	MOAT_SOFTVTD_MISUSE_TE_NO_ROOT,   /* TE without SRTP ever (it is enabled, and faults) */
	MOAT_SOFTVTD_MISUSE_IRE_NO_TABLE,
	MOAT_SOFTVTD_MISUSE_QIE_BUSY,     /* QIE cleared with descriptors pending (they are lost) */
	MOAT_SOFTVTD_MISUSE_IQA_ENABLED,  /* IQA written while QIES is set */
	MOAT_SOFTVTD_MISUSE_UNSUPPORTED,  /* a command that CAP or ECAP does not offer */
	MOAT_SOFTVTD_MISUSE_RESERVED,     /* a reserved bit written as 1 */
	MOAT_SOFTVTD_MISUSE_READ_ONLY,    /* a write to a read-only register */
	MOAT_SOFTVTD_MISUSE_ACCESS,       /* an unaligned or unknown offset */
	MOAT_SOFTVTD_MISUSE_REGISTER_INV, /* CCMD or IOTLB used while QIES is set */
	MOAT_SOFTVTD_MISUSE_INV_BUSY,     /* CCMD or IOTLB written while ICC or IVT is set */
	MOAT_SOFTVTD_MISUSE_INV_WRONG,    /* an impossible request; CAIG, IAIG read 0 */
	MOAT_SOFTVTD_MISUSE_DID, /* a domain-id beyond CAP.ND: reserved bits, fault reason 0xb */
	MOAT_SOFTVTD_MISUSES,
};

/**
 * What software did wrong, in words.
 *
 * @param misuse one of enum moat_softvtd_misuse
 * @return a static text
 *
 * Thread-safe. Control path.
 */
const char *moat_softvtd_misuse_text(enum moat_softvtd_misuse misuse);

struct moat_softvtd_stats {
	/* device's side */
	uint64_t dma_reads, dma_writes; /* pages' worth of requests */
	uint64_t iotlb_hits, iotlb_misses;
	uint64_t context_hits, context_misses;
	uint64_t pasid_hits, pasid_misses;    /* PASID cache */
	uint64_t psc_hits[MOAT_SOFTVTD_PSCS]; /* deepest entry only */
	uint64_t psc_misses;                  /* walks from the root of the table */
	uint64_t memory_reads;                /* table entries read for DMA (not for prefetching) */
	uint64_t prefetched;                  /* entries cached unasked */
	uint64_t passed;                      /* pass-through, or translation disabled */
	/** With ECAP.SC: requests whose translation has no SNP, so that they may bypass the
	 * caches. */
	uint64_t unsnooped;
	/* writes to 0xfeexxxxx: never translated, never memory (moat_softvtd_intr.h) */
	uint64_t interrupts;
	uint64_t faults[256];                                  /* by reason, recorded or not */
	uint64_t recorded, overflowed, compressed, suppressed; /* faults; suppressed: FPD */
	/* queue */
	uint64_t descriptors[16];   /* executed, by type */
	uint64_t granularity[3][4]; /* context, IOTLB: [0][g], [1][g]; [2][]: by register */
	uint64_t pages;             /* covered by page-selective invalidations */
	uint64_t waits, doorbells;
	uint64_t iqe, ite, ice, aborted; /* aborted: wait descriptors, by ITE */
	uint64_t undrained; /* IOTLB invalidations that asked for less than CAP drains */
	uint64_t dropped;   /* by mutation */
	uint64_t misuse[MOAT_SOFTVTD_MISUSES];
	/* oracle */
	uint64_t stale_dma; /* the sum of stale[] */
	uint64_t stale[MOAT_SOFTVTD_STALES];
	uint64_t stale_age_max;  /* TSC cycles from release to the DMA */
	uint64_t early_reuse;    /* pages mapped again before their release */
	uint64_t unreleased_dma; /* DMA to a page unmapped, not yet released: legitimate */
	uint64_t witness_errors; /* unmapped what was not mapped, and the like */
};

/**
 * A snapshot of the counters. Each is torn-free; together they may be of different moments.
 *
 * @param sv the unit
 * @param stats receives the counters
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_stats(const struct moat_softvtd *sv, struct moat_softvtd_stats *stats);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_SOFTVTD_H */
