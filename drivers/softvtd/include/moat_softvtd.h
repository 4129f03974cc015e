/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_SOFTVTD_H
#define MOAT_SOFTVTD_H

/**
 * @file
 * A VT-d unit in software: the specification's registers, tables, caches, invalidation queue and
 * faults, in the process that drives it. It has legacy mode (root and context tables, second stage)
 * and scalable mode (PASID tables; first stage, second stage, nested and pass-through).
 *
 * It has two sides. The *driver's side* is a page of registers (moat_softvtd_read32() and so on, or
 * a struct moat_vtd_window): all that drivers/vtd ever sees. The *device's side* is DMA: a software
 * device opens a guard under its source-id, has IOVAs translated, touches the memory, and closes
 * the guard. Host physical addresses are virtual addresses of this process.
 *
 * The unit is an adversary. It does whatever the specification permits that harms a careless
 * driver:
 *  - it caches every translation, context entry and paging-structure entry that it meets, and
 *    neighbours that no device asked for, until an invalidation drops them or the cache is full;
 *    with CAP.CM it caches absent entries, too;
 *  - a context entry that was invalidated still leads to the IOTLB entries it tagged, until those
 *    are invalidated, too ("Context-Cache Invalidation": software must follow up with the IOTLB's);
 *  - descriptors take effect late and out of order; DMA under way is drained only if a descriptor
 *    asks for it (DR, DW; always with VER 2.0 and later);
 *  - a global command shows in GSTS only some reads later;
 *  - with CAP.RWBF it keeps seeing table lines as they were until the write buffer is flushed.
 * Where the specification says "hardware behaviour is undefined", the unit counts a misuse, and
 * mostly does nothing else: see enum moat_softvtd_misuse.
 *
 * The *oracle* records what the driver side promises (struct moat_witness) and checks each DMA
 * against that. A DMA to a page that was released and not mapped since is a stale DMA: the oracle
 * counts it, and names the unmap that caused it.
 *
 * Threads: every call is thread-safe, except where its comment says otherwise. DMA scales:
 * requesters are spread over shards, each with a lock and caches of its own; a shard's lock is held
 * while addresses are translated, never while data is copied. Unless `threaded`, the unit works
 * only when it is called: each register read, moat_softvtd_poll() and moat_softvtd_dma_begin()
 * gives it a turn. Time spent here is device time (lib/cost), except a moat_softvtd_poll() that
 * finds nothing to do yet: the driver is waiting then, and that is the driver's time.
 */

#include "moat_unit.h"
#include "moat_vtd_window.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct moat_softvtd;

/** The paging-structure caches, by the level of the entries that they hold. */
enum moat_softvtd_psc {
	MOAT_SOFTVTD_PDE,  /* leads to a page table */
	MOAT_SOFTVTD_PDPE, /* leads to a page directory */
	MOAT_SOFTVTD_PML4E,
	MOAT_SOFTVTD_PML5E,
	MOAT_SOFTVTD_PSCS,
};

/** Configuration of a unit. Call moat_softvtd_conf_init() first, then change what matters. */
struct moat_softvtd_conf {
	/* The values of VER, CAP and ECAP. */
	uint8_t ver;     /* 0x10: 1.0; from 0x20 (2.0) on the unit drains even without DR and DW */
	uint8_t mgaw;    /* bits of IOVA */
	uint8_t sagaw;   /* bit 1: 39, bit 2: 48, bit 3: 57 */
	uint8_t haw;     /* host address width: bits beyond are reserved in every table */
	uint8_t nd_bits; /* domain-id width: 4, 6, ... 16 */
	uint8_t mamv;    /* largest address mask of a page-selective invalidation */
	uint8_t sllps;   /* bit 0: 2 MiB, bit 1: 1 GiB leaves */
	uint8_t nfr;     /* fault recording registers, 1 to 128 */
	/* offsets in bytes, multiples of 16: of the fault recording registers; of IVA and IOTLB */
	uint16_t fro, iro;
	bool psi, coherent, cm, rwbf, zlr, drd, dwd, qi, pt, dt, sc, ir, eim, esrtps, dit;
	bool pi; /* CAP.PI: with `ir`, IRTEs may be of the posted form */

	/* Scalable mode; the other members matter only with `scalable`. */
	bool scalable;          /* ECAP.SMTS */
	bool ssts, fsts, nest;  /* second stage, first stage, both */
	bool fs1gp, fs5lp;      /* first stage: 1 GiB leaves, 5 levels */
	uint8_t pasid_bits;     /* ECAP.PSS + 1, up to 20; 0: no requests with PASID (ECAP.PASID) */
	uint32_t pasid_entries; /* of the PASID cache of a shard: 0 or a power of two */

	/* Host memory: `memory_size` bytes from `memory` on; accesses outside are refused. Size 0:
	 * all of the process, where a wild address in a table or descriptor raises SIGSEGV. */
	uint64_t memory, memory_size;

	/* Cache geometry of one shard: entries (powers of two) and ways. 0 entries: no cache. */
	uint16_t shards; /* power of two, up to 64 */
	uint32_t iotlb_entries, iotlb_ways;
	uint32_t context_entries;
	uint32_t psc_entries[MOAT_SOFTVTD_PSCS];

	/* Time, in TSC cycles. */
	uint32_t latency;        /* from the doorbell to a descriptor's completion */
	uint32_t per_descriptor; /* to fetch one descriptor */

	/* Adversary. */
	uint64_t seed;
	uint8_t prefetch;  /* percent of table reads that also cache the rest of the cache line */
	uint8_t jitter;    /* a descriptor is late by up to so many turns of the unit */
	uint8_t gsts_late; /* a command shows after up to so many reads of GSTS (at least one) */
	bool linger;       /* invalidated context and PASID entries still lead to IOTLB entries */
	bool reorder;      /* execute IOTLB descriptors out of order, as far as fences permit */
	bool compress;     /* no second fault record for a source-id that has one pending */

	bool oracle;
	bool threaded; /* the unit has a thread that gives it turns */

	/** Called when FECTL or IECTL lets the message of a fault or invalidation event through, by
	 * the thread that is in the unit, with no lock held. May be NULL. */
	void (*interrupt)(void *ctx, uint64_t address, uint32_t data);
	void *ctx;
};

/**
 * Set the default, an adversarial unit: 39 and 48 bits of IOVA, 16-bit domain-ids, MAMV 18, 2 MiB
 * and 1 GiB leaves, queued invalidation, pass-through, coherent walks, no caching mode, no latency;
 * in each shard, an IOTLB of 4096 entries, a context cache of 64, and a PDE cache of 512.
 *
 * @param conf receives the configuration
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_conf_init(struct moat_softvtd_conf *conf);

/**
 * Switch the adversary (prefetch, jitter, linger, reorder) and the oracle off, for tests of other
 * things and for measurements of speed.
 *
 * @param conf after moat_softvtd_conf_init()
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_conf_plain(struct moat_softvtd_conf *conf);

/** The sizes of a unit's caches, and which unit has them. */
struct moat_softvtd_geometry {
	const char *name;
	const char *source; /* where the numbers come from, and which of them are assumed */
	uint32_t iotlb_entries, iotlb_ways;
	uint32_t context_entries;
	uint32_t psc_entries[MOAT_SOFTVTD_PSCS];
};

/**
 * Get the known cache geometries, one by one.
 *
 * @param i from 0 on
 * @return the i-th, static; NULL: no more
 *
 * Thread-safe. Control path.
 */
const struct moat_softvtd_geometry *moat_softvtd_geometry(unsigned int i);

/**
 * Set the caches of the geometry `name`, one shard, and moat_softvtd_conf_plain(). The counters
 * (iotlb_misses, psc_hits, memory_reads) then say what such a unit would have to do for the same
 * DMA.
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
 * Check a configuration.
 *
 * @param conf the configuration
 * @return 0
 * @return -EINVAL: a value that no unit can have; moat_error_text() has the sentence
 *
 * Thread-safe. Control path.
 */
int moat_softvtd_check(const struct moat_softvtd_conf *conf);

/**
 * Create a unit in its reset state.
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
 * Get the configuration that a unit was created with.
 *
 * @param sv the unit
 * @return the configuration; valid as long as the unit
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
 * Get the registers as a window for drivers/vtd; its `run` is moat_softvtd_poll(), or NULL if the
 * unit is threaded.
 *
 * @param sv the unit; must outlive the window
 * @param window receives the functions
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_window(struct moat_softvtd *sv, struct moat_vtd_window *window);

/**
 * Give the unit a turn: it fetches, executes and completes descriptors that are due. Returns at
 * once if another thread is at the registers, or nothing is queued.
 *
 * @param sv the unit
 *
 * Thread-safe. Data path.
 */
void moat_softvtd_poll(struct moat_softvtd *sv);

/* ------------------------------------------------------------------------ the device's side */

/** DMA under way. The caller provides the memory; only the unit uses the members. */
struct moat_softvtd_guard {
	struct moat_softvtd *sv;
	void *shard;
	moat_sid_t sid;
	uint32_t pasid;   /* of the requests, or MOAT_PASID_NONE */
	uint8_t prot;     /* announced to moat_softvtd_dma_begin() */
	uint8_t active;   /* directions that drains wait for (enum moat_prot) */
	uint8_t phase[2]; /* drain phases of the reads and of the writes */
};

/**
 * Begin DMA: what is translated under the guard may be accessed until the guard ends, because an
 * invalidation that drains completes only then. A thread may hold several guards; a thread that
 * waits for the invalidation queue must hold none.
 *
 * @param sv the unit
 * @param sid the requester's source-id
 * @param agent number of the requester's engine, such as a queue number: neighbouring numbers use
 *   different shards and do not contend
 * @param prot the kinds of access to come, for which drains wait from the first translation on; for
 *   another kind they wait from its own first translation on
 * @param guard receives the DMA's state; end it with moat_softvtd_dma_end()
 *
 * Thread-safe; a guard belongs to one thread. Data path: no allocation, no system call.
 */
void moat_softvtd_dma_begin(struct moat_softvtd *sv, moat_sid_t sid, unsigned int agent,
	enum moat_prot prot, struct moat_softvtd_guard *guard);

/**
 * End DMA: nothing that was translated under the guard may be accessed any more.
 *
 * @param guard the calling thread's
 *
 * Thread-safe. Data path.
 */
void moat_softvtd_dma_end(struct moat_softvtd_guard *guard);

/**
 * As moat_softvtd_dma_begin(), for requests that carry a PASID.
 *
 * @param sv the unit
 * @param sid the requester's source-id
 * @param pasid the PASID; MOAT_PASID_NONE: none
 * @param agent as in moat_softvtd_dma_begin()
 * @param prot as in moat_softvtd_dma_begin()
 * @param guard as in moat_softvtd_dma_begin()
 *
 * Thread-safe; a guard belongs to one thread. Data path.
 */
void moat_softvtd_dma_begin_pasid(struct moat_softvtd *sv, moat_sid_t sid, uint32_t pasid,
	unsigned int agent, enum moat_prot prot, struct moat_softvtd_guard *guard);

/** Instead of a fault reason: no memory answers. Either the address is in the interrupt range
 * (0xfeexxxxx), which is never translated and never memory (a write there is an interrupt request),
 * or it leads, translated or passed through, to no memory. */
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
 * Translate a burst. If an access is not contiguous in memory, or a part of it is refused, its
 * `run` is less than `len`, and `reason` tells which; call again for the rest. A read of length 0
 * is the zero-length read of CAP.ZLR.
 *
 * @param guard the calling thread's
 * @param dma the accesses; their members marked "out" receive the answers
 * @param n how many
 * @return how many were translated in full
 *
 * Thread-safe. Data path.
 */
unsigned int moat_softvtd_dma_burst(struct moat_softvtd_guard *guard, struct moat_softvtd_dma dma[],
	unsigned int n);

/**
 * Translate one access to contiguous memory.
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
 * @return the fault reason (> 0) of the first page refused; the pages before it are transferred, as
 *   on a bus
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
 * Translate the address of one request, of any address type.
 *
 * @param guard the calling thread's
 * @param at the request's address type
 * @param iova any IOVA
 * @param prot MOAT_R or MOAT_W
 * @param zero_length a zero-length read (CAP.ZLR)
 * @param va where the byte is; set if 0 is returned
 * @return 0
 * @return the fault reason (> 0), which is recorded
 *
 * Thread-safe. Data path.
 */
int moat_softvtd_request(struct moat_softvtd_guard *guard, enum moat_softvtd_at at, uint64_t iova,
	enum moat_prot prot, bool zero_length, void **va);

/* ---------------------------------------------------------------------------- the oracle */

/**
 * Get the witness that tells the oracle of maps and unmaps, for struct moat_unit's `witness`.
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
 * Get the name of what served a translation.
 *
 * @param server one of enum moat_softvtd_server
 * @return a static text
 *
 * Thread-safe. Control path.
 */
const char *moat_softvtd_server_name(enum moat_softvtd_server server);

/** Why a DMA is stale. */
enum moat_softvtd_staleness {
	MOAT_SOFTVTD_STALE_RELEASED, /* the page was released and not mapped since */
	MOAT_SOFTVTD_STALE_WILD,     /* the page was never mapped */
	MOAT_SOFTVTD_STALE_PROT,     /* the page is mapped, but not for this access */
	MOAT_SOFTVTD_STALE_TABLE,    /* the walk read a table page that was given back */
	MOAT_SOFTVTD_STALES,
};

/**
 * Get the text for why a DMA was stale.
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
	uint64_t cause; /* of the unmap, as the witness was told; 0: there was none */
	uint64_t age;   /* TSC cycles since the page was released or mapped; 0: not known */
	uint64_t tsc;
	moat_sid_t sid;
	uint16_t did;
	uint32_t pasid; /* of the request, or MOAT_PASID_NONE */
	uint8_t prot;
	uint8_t why;    /* enum moat_softvtd_staleness */
	uint8_t server; /* enum moat_softvtd_server */
	bool context;   /* the context or PASID entry came from a cache (or lingered) */
};

/**
 * Get the latest stale DMAs, newest first.
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
 * Inject an error once: when the descriptor in ring slot `index` is next fetched (IQE) or executed
 * (ITE, ICE), whatever its type.
 *
 * @param sv the unit
 * @param what the error
 * @param index ring slot
 * @return 0
 * @return -ENOSPC: 64 errors are pending
 *
 * Thread-safe. Control path.
 */
int moat_softvtd_inject(struct moat_softvtd *sv, enum moat_softvtd_inject what, uint32_t index);

/** Bits for hardware bugs, with which tests check that bugs are detected. */
enum moat_softvtd_mutation {
	MOAT_SOFTVTD_DROP_PAGE = 1 << 0,        /* page-selective IOTLB invalidations do nothing */
	MOAT_SOFTVTD_DROP_DOMAIN = 1 << 1,      /* domain-selective ones do nothing */
	MOAT_SOFTVTD_DROP_GLOBAL = 1 << 2,      /* global ones do nothing */
	MOAT_SOFTVTD_DROP_CONTEXT = 1 << 3,     /* context-cache invalidations do nothing */
	MOAT_SOFTVTD_HINT_ALWAYS = 1 << 4,      /* IH is taken as set */
	MOAT_SOFTVTD_NO_DRAIN = 1 << 5,         /* invalidations complete while DMA is under way */
	MOAT_SOFTVTD_EARLY_WAIT = 1 << 6,       /* wait descriptors complete when fetched */
	MOAT_SOFTVTD_SHORT_MASK = 1 << 7,       /* AM is taken as one less */
	MOAT_SOFTVTD_DROP_PASID_CACHE = 1 << 8, /* PASID-cache invalidations do nothing */
	MOAT_SOFTVTD_DROP_PASID_IOTLB = 1 << 9, /* PASID-based IOTLB invalidations do nothing */
	MOAT_SOFTVTD_DROP_INT_ENTRY = 1 << 16,  /* interrupt-entry-cache invalidations do nothing */
};

/**
 * Break the unit from now on.
 *
 * @param sv the unit
 * @param mutations bits of enum moat_softvtd_mutation; 0: none
 * @param every break one in `every` of the invalidations concerned; 0 and 1: all
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_mutate(struct moat_softvtd *sv, uint32_t mutations, uint32_t every);

/* ------------------------------------------------------------------------------ counters */

/** What software must not do. It has no effect except where a comment here says so. */
enum moat_softvtd_misuse {
	MOAT_SOFTVTD_MISUSE_TWO_COMMANDS, /* a GCMD write that changes more than one bit */
	MOAT_SOFTVTD_MISUSE_COMMAND_BUSY, /* a GCMD write before GSTS showed the last command */
	MOAT_SOFTVTD_MISUSE_TE_NO_ROOT,   /* TE before any SRTP (it is enabled, and faults) */
	MOAT_SOFTVTD_MISUSE_IRE_NO_TABLE, /* IRE before any SIRTP (it is enabled) */
	MOAT_SOFTVTD_MISUSE_QIE_BUSY,     /* QIE cleared with descriptors pending (they are lost) */
	MOAT_SOFTVTD_MISUSE_IQA_ENABLED,  /* IQA written while QIES is set */
	MOAT_SOFTVTD_MISUSE_UNSUPPORTED,  /* a command that CAP or ECAP does not offer */
	MOAT_SOFTVTD_MISUSE_RESERVED,     /* a reserved bit written as 1 (the rest takes effect) */
	MOAT_SOFTVTD_MISUSE_READ_ONLY,    /* a write to a read-only register */
	MOAT_SOFTVTD_MISUSE_ACCESS,       /* an unaligned or unknown offset */
	MOAT_SOFTVTD_MISUSE_REGISTER_INV, /* CCMD or IOTLB used while QIES is set */
	MOAT_SOFTVTD_MISUSE_INV_BUSY,     /* CCMD or IOTLB written while ICC or IVT is set */
	MOAT_SOFTVTD_MISUSE_INV_WRONG,    /* wrong granularity or address mask; CAIG, IAIG read 0 */
	MOAT_SOFTVTD_MISUSE_DID,          /* a domain-id beyond CAP.ND: reserved bits, so a fault */
	MOAT_SOFTVTD_MISUSES,
};

/**
 * Get the text of a misuse.
 *
 * @param misuse one of enum moat_softvtd_misuse
 * @return a static text
 *
 * Thread-safe. Control path.
 */
const char *moat_softvtd_misuse_text(enum moat_softvtd_misuse misuse);

struct moat_softvtd_stats {
	/* device's side */
	uint64_t dma_reads, dma_writes; /* requests, each within one page */
	uint64_t iotlb_hits, iotlb_misses;
	uint64_t context_hits, context_misses;
	uint64_t pasid_hits, pasid_misses;    /* PASID cache */
	uint64_t psc_hits[MOAT_SOFTVTD_PSCS]; /* walks that began at a cached entry */
	uint64_t psc_misses;                  /* walks from the root of the table */
	uint64_t memory_reads;                /* table entries read for DMA; of prefetches, PASID
					       * entries only */
	uint64_t prefetched;                  /* entries cached by prefetching */
	uint64_t passed;                      /* pass-through, or translation disabled */
	/** With ECAP.SC: requests whose translation has no SNP, so that they may bypass the
	 * processors' caches. */
	uint64_t unsnooped;
	/* writes to 0xfeexxxxx: never translated, never memory (moat_softvtd_intr.h) */
	uint64_t interrupts;
	uint64_t faults[256];                                  /* by reason, recorded or not */
	uint64_t recorded, overflowed, compressed, suppressed; /* faults; overflowed: lost, with PFO
								* set; suppressed: by FPD */
	/* queue */
	uint64_t descriptors[16];   /* executed, by type */
	uint64_t granularity[3][4]; /* [0][g] context, [1][g] IOTLB descriptors; [2][g] CCMD */
	uint64_t pages;             /* covered by page-selective invalidations */
	uint64_t waits, doorbells;
	uint64_t iqe, ite, ice, aborted; /* aborted: wait descriptors, because of ITE */
	uint64_t undrained; /* IOTLB invalidations whose DR and DW are not those of CAP */
	uint64_t dropped;   /* invalidations dropped by mutations */
	uint64_t misuse[MOAT_SOFTVTD_MISUSES];
	/* oracle */
	uint64_t stale_dma; /* the sum of stale[] */
	uint64_t stale[MOAT_SOFTVTD_STALES];
	uint64_t stale_age_max;  /* the greatest age of a stale DMA, in TSC cycles */
	uint64_t early_reuse;    /* pages mapped again before their release */
	uint64_t unreleased_dma; /* DMA to a page unmapped, but not yet released: legitimate */
	uint64_t witness_errors; /* witness calls that contradict earlier ones */
};

/**
 * Read the counters. Each is read atomically, but not all at the same moment.
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
