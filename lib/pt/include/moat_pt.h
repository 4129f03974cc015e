/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_PT_H
#define MOAT_PT_H

/**
 * @file
 * VT-d page tables, second stage or first stage, written by lcores, read by the unit and by
 * RCU readers.
 *
 * A table is a radix tree of 4 KiB pages with 512 entries of 8 bytes (VT-d specification, "DMA
 * Remapping"): 3, 4 or 5 levels for 39, 48 or 57 bits of IOVA, with leaves of 4 KiB, 2 MiB and 1
 * GiB. Its *format* (enum moat_pt_format) says which bits an entry has. The unit walks the tree
 * from the root. The processor seldom does so on the packet path: beside the tree stands an array
 * with one *granule* for each 2 MiB of IOVA, which says where the entries of that granule are and
 * what to add to an IOVA to get a virtual address. Finding an entry then takes one shift and one
 * load, for the writer that maps a page and for the reader that translates (lib/iotlb) alike. Most
 * of the array is reserved address space, which takes memory only where it is used.
 *
 * A table page is taken zeroed from a pool's stock, linked, filled, emptied, unlinked by the unmap
 * that covers all of it, and handed to the caller in a `struct moat_pt_freed`. The caller must keep
 * the page until the ticket of that unmap is done (no unit can reach it) and then retire it to the
 * pool, which waits for a grace period of liburcu's QSBR (no reader can reach it) before it hands
 * the page out again. Readers must therefore be registered with urcu-qsbr and pass quiescent
 * states.
 *
 * Several lcores may write at once if their ranges are disjoint. An unmap takes no lock of the
 * table; a map takes one where it links a table page, or where the virtual addresses of pages are
 * unrelated to their neighbours'.
 */

#include <rte_branch_prediction.h>

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* A second-stage entry, by the names of the VT-d specification ("Second-Stage Paging Entries"). */
#define MOAT_SS_R    (UINT64_C(1) << 0)
#define MOAT_SS_W    (UINT64_C(1) << 1)
#define MOAT_SS_PS   (UINT64_C(1) << 7)  /* this PD or PDP entry is a leaf */
#define MOAT_SS_SNP  (UINT64_C(1) << 11) /* leaves: snoop, whatever the request says (ECAP.SC) */
#define MOAT_SS_ADDR UINT64_C(0x000ffffffffff000)

/* A first-stage entry, by the names of the VT-d specification ("First-Stage Paging Entries"). PS
 * and the address have the same bits as in second stage. */
#define MOAT_FS_P    (UINT64_C(1) << 0) /* present: it can be read */
#define MOAT_FS_RW   (UINT64_C(1) << 1) /* it can be written, too */
#define MOAT_FS_US   (UINT64_C(1) << 2) /* requests without privilege may use it */
#define MOAT_FS_A    (UINT64_C(1) << 5) /* accessed */
#define MOAT_FS_D    (UINT64_C(1) << 6) /* dirty */
#define MOAT_FS_PS   (UINT64_C(1) << 7)
#define MOAT_FS_ADDR MOAT_SS_ADDR

/** The mark of a leaf whose virtual address is iova + the granule's delta. It is moat's own, in a
 * bit that both formats ignore (62:52 in first stage, 61:52 in second stage). An entry that points
 * to a table never has it, so a reader that finds it set can use the delta. */
#define MOAT_PT_LIN (UINT64_C(1) << 52)
#define MOAT_SS_LIN MOAT_PT_LIN /* older name */

/** The format of a table's entries. */
enum moat_pt_format {
	MOAT_PT_SECOND_STAGE, /**< 3 to 5 levels; read, write or both */
	/** 4 or 5 levels. A page cannot be write-only: MOAT_W is mapped as MOAT_RW. An IOVA must
	 * be canonical, so 47 or 56 bits are usable. Accessed and Dirty are set in advance; the
	 * PASID entry must not enable extended-accessed flags (EAFE). */
	MOAT_PT_FIRST_STAGE,
};

/* -------------------------------------------------------------------- the pool of table pages */

/** Where a pool gets memory that the unit can address. */
struct moat_pt_mem {
	/** Get a zeroed chunk of `len` bytes (always MOAT_2M_SIZE); `va` and `hpa` must be aligned
	 * to `len`. @return 0 or a negative errno. Called on the control path, and by a map that
	 * finds the stock empty; from any thread. */
	int (*alloc)(void *ctx, size_t len, void **va, uint64_t *hpa);
	/** Give a chunk back. Called from any thread. */
	void (*free)(void *ctx, void *va, size_t len);
	void *ctx;
};

/** Anonymous memory of this process, aligned; hpa = va. For a unit that lives in the process. */
extern const struct moat_pt_mem moat_pt_mem_anonymous;

struct moat_pt_pool;

/** Callbacks that report which table pages units may walk, for a unit that checks its walks
 * (drivers/softvtd's oracle). `hpa` is the host physical address of a page of 4096 bytes. Calls
 * come from any thread. */
struct moat_pt_watch {
	/** The page is about to be linked into a table. */
	void (*table_used)(void *ctx, uint64_t hpa);
	/** The page was given back: its owner guarantees that no unit can reach it any more. */
	void (*table_freed)(void *ctx, uint64_t hpa);
	void *ctx;
};

/** Counters of a pool, in pages. */
struct moat_pt_pool_stats {
	uint64_t allocated; /* handed out since the start */
	uint64_t freed;     /* given back since the start */
	uint64_t in_use;    /* allocated - freed */
	uint64_t stock;     /* ready to be handed out */
	uint64_t retired;   /* waiting for their grace period */
};

/**
 * Create a pool of table pages, shared by the domains of one unit.
 *
 * @param mem memory source, copied; NULL: moat_pt_mem_anonymous
 * @param pool receives the pool
 * @return 0
 * @return -ENOMEM: no memory for the pool itself
 *
 * Thread-safe. Control path.
 */
int moat_pt_pool_create(const struct moat_pt_mem *mem, struct moat_pt_pool **pool);

/**
 * Destroy a pool. Waits for grace periods (rcu_barrier).
 *
 * @param pool the pool; all its page tables must have been destroyed. NULL: nothing happens
 *
 * Control path. While the call waits, no other thread may wait for a quiescent state of the
 * caller.
 */
void moat_pt_pool_destroy(struct moat_pt_pool *pool);

/**
 * Read a pool's counters. Its locks are taken one by one, so the numbers may be of different
 * moments.
 *
 * @param pool the pool
 * @param stats receives the counters
 *
 * Thread-safe. Control path.
 */
void moat_pt_pool_stats(const struct moat_pt_pool *pool, struct moat_pt_pool_stats *stats);

/**
 * Report to `watch` each table page that the pool hands out and takes back.
 *
 * @param pool the pool
 * @param watch copied; both functions must be set
 *
 * Thread safety: no other thread may use the pool, which must have no table yet. Control path.
 */
void moat_pt_pool_watch(struct moat_pt_pool *pool, const struct moat_pt_watch *watch);

/** The word with which tests fill a table page that was given back (pt_hooks.h), so that a walk of
 * the page shows: as an entry it is readable and writable in both formats, with bit 62 set and
 * address bits that no machine has. */
#define MOAT_PT_POISON UINT64_C(0x400fdead5aa5e003)

/** A list of unlinked table pages that the unit may still walk. Zero-initialise. */
struct moat_pt_freed {
	struct moat_pt_page *head;
	unsigned int n; /* pages in the list */
};

/**
 * Give back pages that the unit can no longer reach but readers may. They are handed out again
 * after a grace period of urcu-qsbr.
 *
 * @param pool the pool
 * @param freed the pages, whose ticket must be done; the list is emptied
 *
 * The calling thread must be registered with urcu-qsbr. Thread-safe. Data path: one call_rcu for
 * the list, no wait for the grace period.
 */
void moat_pt_pool_retire(struct moat_pt_pool *pool, struct moat_pt_freed *freed);

/* ------------------------------------------------------------------------------- the table */

/**
 * One entry of the array in which readers and writers look up an IOVA: 2 MiB of IOVA.
 *
 * A reader loads `table`, `delta`, the entry, and `delta` again. If the entry allows the access and
 * has MOAT_PT_LIN, and `delta` has not changed, then iova + delta is the address:
 *  - `delta` of a leaf table is fixed while the table is linked, and a table that was unlinked is
 *    not linked again before every reader has passed a quiescent state; its entries are zero before
 *    the granule gets another `delta`. A page at any address but iova + delta lacks MOAT_PT_LIN.
 *  - a PD or PDP entry may become a leaf, a link to a table or empty while the granule still points
 *    at it. Only a leaf has MOAT_PT_LIN, and a new `delta` is stored before its leaf, so a reader
 *    that loaded the new leaf and the old delta finds at the second load that the delta has
 *    changed. The delta cannot have changed twice: an IOVA gets another virtual address only after
 *    the ticket of its unmap is done, for which that reader had to pass a quiescent state (the one
 *    invariant).
 * A reader of many IOVAs may compare `moves` of struct moat_pt before and after, instead of loading
 * each delta again: a writer that changes a delta that readers may have seen increments `moves`
 * after the change, and before it stores a leaf that belongs to the new delta. If a check fails,
 * the reader walks the tree (the slow path of lib/iotlb), so a granule may be out of date.
 */
struct moat_pt_granule {
	/** The address of the table that holds the entry (4096-aligned) | a shift: 12 (leaf table),
	 * 21 (PD) or 30 (PDP). The entry is number (iova >> shift) & 511. 0: no table. */
	MOAT_ATOMIC(uintptr_t) table;
	/** va - iova of the entries that have MOAT_PT_LIN: a multiple of 4096. */
	MOAT_ATOMIC(uintptr_t) delta;
};
#define MOAT_PT_SHIFT UINT64_C(63)                /* the shift: all bits that x86's shifts use */
#define MOAT_PT_TABLE (~(uint64_t)MOAT_PAGE_MASK) /* the address in `table` */

/**
 * The part of a table that readers may use.
 *
 * Its granules lie in a *window*, a flat array indexed by iova >> 21. The first window is small. A
 * map of higher IOVAs replaces it by a larger one, up to the table's width or 48 bits of IOVA; the
 * older ones stay valid, and are kept up to date, for as long as the table lives. So a reader may
 * keep a window that it has loaded: moat_pt_window().
 */
struct moat_pt {
	MOAT_ATOMIC(struct moat_pt_granule *) granules;
	/** A power of two; IOVAs beyond take the slow path (walk). */
	MOAT_ATOMIC(uint64_t) nr_granules;
	MOAT_ATOMIC(uint64_t) moves; /* changes of deltas that readers could see */
	uint8_t levels;              /* 3, 4 or 5 */
	bool coherent;               /* the unit's walks snoop (ECAP.C): no line flushes */
	enum moat_pt_format format;  /* of the entries */
	uint64_t limit;              /* first IOVA beyond the table's width */
	uint64_t root_hpa;           /* for the context or PASID entry */
				     /* private members: struct pt_impl (pt_internal.h) */
};

/**
 * Load the current window.
 *
 * @param pt the table
 * @param[out] nr granules in it
 * @return the granules; they stay valid until the table is destroyed
 *
 * Thread-safe. Data path.
 */
static inline struct moat_pt_granule *moat_pt_window(const struct moat_pt *pt, uint64_t *nr)
{
	/* acquire: the window loaded next has at least `*nr` granules. Pairs with the release in
	 * window_publish() (lib/pt/pt_window.c). */
	*nr = atomic_load_explicit(&pt->nr_granules, memory_order_acquire);
	return atomic_load_explicit(&pt->granules, memory_order_acquire);
}

/** The configuration of a table. */
struct moat_pt_conf {
	struct moat_pt_pool *pool;
	uint8_t levels; /* 3, 4, 5 (39, 48, 57 bits); first stage 4, 5 (47, 56 usable bits) */
	uint8_t width;  /* bits of IOVA, 0: all that `levels` allow. A 32-bit device: 32 */
	/** Leaf sizes allowed beyond 4 KiB, MOAT_2M_SIZE | MOAT_1G_SIZE: those of SSLPS for second
	 * stage; for first stage always 2 MiB, and 1 GiB with CAP.FS1GP. */
	uint64_t leaf_sizes;
	bool coherent; /* the unit's walks snoop (ECAP.C) */
	/** Set SNP in leaves: only for a unit with ECAP.SC, else the bit is reserved. A first-stage
	 * entry has no such bit; PGSNP of the PASID entry takes its place. */
	bool snoop;
	enum moat_pt_format format; /* 0: second stage */
};

/**
 * Create an empty table.
 *
 * @param conf the configuration, copied
 * @param pt receives the table
 * @return 0
 * @return -EINVAL: invalid format, levels, width or leaf sizes; moat_error_text() says which
 * @return -ENOMEM: no memory, or no page in the pool
 *
 * Thread-safe. Control path.
 */
int moat_pt_create(const struct moat_pt_conf *conf, struct moat_pt **pt);

/**
 * Destroy a table, with what is still mapped: its pages go back to the pool at once.
 *
 * @param pt the table; no context or PASID entry may point to its root, no unit may hold anything
 *   of it in a cache, and no reader may use it. NULL: nothing happens
 *
 * Thread safety: no other thread may use the table. Control path.
 */
void moat_pt_destroy(struct moat_pt *pt);

/**
 * Map `len` bytes at `iova` to `hpa`, with leaves as large as the alignment of iova and hpa, `len`,
 * the unit and the tables already there allow. A leaf never replaces a table, even an empty one,
 * because the unit's paging-structure caches may still point to the table. A reader or a unit sees
 * each page either unmapped or complete.
 *
 * @param pt the table
 * @param iova first IOVA, a multiple of 4096
 * @param hpa host physical address, a multiple of 4096 below 2^52
 * @param va virtual address of the same memory, a multiple of 4096; NULL: lib/iotlb cannot
 *   translate the range
 * @param len bytes, a multiple of 4096, not 0
 * @param prot MOAT_R, MOAT_W or MOAT_RW; MOAT_PT_FIRST_STAGE maps MOAT_W as MOAT_RW
 * @param bad may be NULL; receives the IOVA that -EEXIST is about
 * @return 0
 * @return -EEXIST: a page is mapped already, `*bad` is the first; nothing has changed
 * @return -ERANGE: beyond the table's width
 * @return -EINVAL: invalid alignment, permission or length
 * @return -ENOMEM: no memory for tables; nothing is mapped, but empty tables may stay linked
 *
 * Thread-safe for disjoint ranges. Data path: pages of one linked leaf table, at its delta, take no
 * allocation, lock or system call.
 */
int moat_pt_map(struct moat_pt *pt, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot, uint64_t *bad);

/**
 * Unmap exactly [iova, iova + len).
 *
 * @param pt the table
 * @param iova first IOVA, a multiple of 4096
 * @param len bytes, a multiple of 4096, not 0
 * @param freed receives the table pages that only this range used; must not be NULL. If it is not
 *   empty afterwards, the invalidation must drop paging-structure caches too (hint clear), and the
 *   pages must go to moat_pt_pool_retire() when the ticket of the unmap is done.
 * @param bad may be NULL; receives the IOVA that -ENOENT and -EINVAL are about
 * @return 0
 * @return -ENOENT: a page is not mapped, `*bad` is the first; nothing has changed
 * @return -EINVAL: invalid alignment or length, or the range covers only a part of a 2 MiB or 1 GiB
 *   leaf that begins at `*bad`; nothing has changed
 * @return -ERANGE: beyond the table's width
 *
 * Thread-safe for disjoint ranges. Data path.
 */
int moat_pt_unmap(struct moat_pt *pt, uint64_t iova, uint64_t len, struct moat_pt_freed *freed,
	uint64_t *bad);

/** A leaf as the radix walk finds it. `size` stands between `entry` and `hpa` on purpose: if they
 * are adjacent, compilers join them in a vector register, which takes longer than two stores. */
struct moat_pt_leaf {
	uint64_t entry; /* the raw entry */
	uint64_t size;  /* bytes: 4 KiB, 2 MiB or 1 GiB */
	uint64_t hpa;   /* host physical address of the byte at the IOVA */
};

/**
 * Walk the radix tree from the root, as the unit does.
 *
 * @param pt the table
 * @param iova any IOVA
 * @param leaf receives the leaf; valid until the caller's next quiescent state
 * @return 0
 * @return -ENOENT: not mapped
 * @return -ERANGE: beyond the table's width
 *
 * The caller must be registered with urcu-qsbr. Thread-safe. Data path.
 */
int moat_pt_walk(const struct moat_pt *pt, uint64_t iova, struct moat_pt_leaf *leaf);

/**
 * Walk as moat_pt_walk() does, and find the virtual address. For the slow path of lib/iotlb.
 *
 * @param pt the table
 * @param iova any IOVA
 * @param leaf receives the leaf; valid until the caller's next quiescent state
 * @param va receives the virtual address of the byte at `iova`; NULL if the page was mapped without
 *   a virtual address
 * @return as moat_pt_walk()
 *
 * The caller must be registered with urcu-qsbr. Thread-safe. Data path.
 */
int moat_pt_walk_va(const struct moat_pt *pt, uint64_t iova, struct moat_pt_leaf *leaf, void **va);

/**
 * As moat_pt_walk_va(), but begin at the granule if it points to a leaf table. For what the
 * index does not answer.
 *
 * @param pt the table
 * @param iova any IOVA
 * @param leaf as in moat_pt_walk_va()
 * @param va as in moat_pt_walk_va()
 * @param walked set to true if the walk from the root was needed; otherwise left alone
 * @return as moat_pt_walk()
 *
 * The caller must be registered with urcu-qsbr. Thread-safe. Data path.
 */
int moat_pt_find(const struct moat_pt *pt, uint64_t iova, struct moat_pt_leaf *leaf, void **va,
	bool *walked);

/**
 * Count mapped pages and table pages, by a walk over the whole table.
 *
 * @param pt the table
 * @param mapped receives the pages of 4 KiB that are mapped
 * @param table_pages receives the table pages in use
 *
 * The caller must be registered with urcu-qsbr. Thread-safe. Control path.
 */
void moat_pt_usage(const struct moat_pt *pt, uint64_t *mapped, uint64_t *table_pages);

/**
 * The instruction set that searches and stores runs of entries, the fastest on this processor.
 *
 * @return "scalar", "avx2" or "avx512"; static. Any thread, control path.
 */
const char *moat_pt_isa(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_PT_H */
