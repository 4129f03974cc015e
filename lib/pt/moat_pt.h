/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_PT_H
#define MOAT_PT_H

/**
 * @file
 * VT-d second-stage page tables, written by lcores, read by the unit and by RCU readers.
 *
 * A table is a radix tree of 4 KiB pages with 512 entries of 8 bytes (VT-d specification 3.7,
 * "Second-Stage Translation"): 3, 4 or 5 levels for 39, 48 or 57 bits of IOVA, with leaves of 4 KiB,
 * 2 MiB and 1 GiB. The unit walks it from the root. The processor never does on the packet path:
 * beside the tree stands an array with one *granule* for each 2 MiB of IOVA, which says where the
 * entries of that granule are and what to add to an IOVA to get a virtual address. It is address
 * space reserved once and touched where it is used, so finding an entry is one shift and one load,
 * for the writer that maps a page and for the reader that translates (lib/iotlb) alike.
 *
 * The life of a table page: taken zeroed from a pool's stock, linked, filled, emptied, unlinked by
 * the unmap that covers all of it, handed to the caller in a `struct moat_pt_freed`; the caller
 * keeps it until the ticket of that unmap is done (no unit can reach it) and then retires it to the
 * pool, which waits for a grace period of liburcu's QSBR (no reader can reach it) before the page
 * is handed out again. Readers therefore register with urcu-qsbr and pass quiescent states.
 *
 * Writers: several lcores may write at once as long as their ranges are disjoint; they serialise
 * only where a table page is linked or unlinked.
 */

#include <rte_branch_prediction.h>

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Second-stage entry, by the specification's names ("Second-Stage Paging Entries"). */
#define MOAT_SS_R    (UINT64_C(1) << 0)
#define MOAT_SS_W    (UINT64_C(1) << 1)
#define MOAT_SS_PS   (UINT64_C(1) << 7) /* this PD or PDP entry is a leaf */
#define MOAT_SS_SNP  (UINT64_C(1) << 11) /* leaves: snoop, whatever the request says (ECAP.SC) */
#define MOAT_SS_ADDR UINT64_C(0x000ffffffffff000)
/** Ours, in a bit every unit ignores: a leaf whose virtual address is iova + the granule's delta.
 * An entry that points to a table never has it, so one test tells a reader all it must know. */
#define MOAT_SS_LIN  (UINT64_C(1) << 10)

/* -------------------------------------------------------------------- the pool of table pages */

/** Where a pool gets memory that the unit can address. */
struct moat_pt_mem {
	/** A chunk of `len` bytes (always MOAT_2M_SIZE), aligned to its length in both address spaces,
	 * zeroed. 0 or a negative errno. Control path, but also from a map that finds the stock empty. */
	int (*alloc)(void *ctx, size_t len, void **va, uint64_t *hpa);
	void (*free)(void *ctx, void *va, size_t len);
	void *ctx;
};

struct moat_pt_pool;

/** Counters of a pool, in pages. `stock` = ready, `retired` = waiting for their grace period. */
struct moat_pt_pool_stats {
	uint64_t allocated; /* handed out since the start */
	uint64_t freed;     /* retired since the start */
	uint64_t in_use;
	uint64_t stock;
	uint64_t retired;
};

/**
 * A pool of table pages, shared by the domains of one unit.
 * @param mem memory source; NULL: anonymous memory of this process, hpa = va (software unit)
 * @return 0, -ENOMEM. Control path.
 */
int moat_pt_pool_create(const struct moat_pt_mem *mem, struct moat_pt_pool **pool);
/** Every page table of the pool must be destroyed. Waits for grace periods (rcu_barrier). */
void moat_pt_pool_destroy(struct moat_pt_pool *pool);
/** Any thread; takes the pool's locks one by one, so the numbers may be of different moments. Control
 * path. */
void moat_pt_pool_stats(const struct moat_pt_pool *pool, struct moat_pt_pool_stats *stats);
/**
 * Debug switch: fill pages with MOAT_PT_POISON from the moment they are given back until they are
 * handed out again. A unit that still walks there meets entries with reserved bits set; a reader
 * finds nothing it would use. Off at the start. Set it before the first map.
 */
void moat_pt_pool_poison(struct moat_pt_pool *pool, bool on);
/** Readable and writable, every address bit set that no machine has, TM (bit 62) set. */
#define MOAT_PT_POISON UINT64_C(0x400fdead5aa5e003)

/** A list of unlinked table pages that the unit may still walk. Zero-initialise. */
struct moat_pt_freed {
	struct moat_pt_page *head;
	unsigned int n; /* pages in the list */
};

/**
 * The unit can no longer reach the pages (the ticket that covers their unlinking is done), readers
 * may: give the pages back. They are handed out again after a grace period of urcu-qsbr, with
 * which the calling thread must be registered. Thread-safe, data path (no wait; one call_rcu for
 * the list). Empties the list.
 */
void moat_pt_pool_retire(struct moat_pt_pool *pool, struct moat_pt_freed *freed);

/**
 * Neither the unit nor any reader can reach the pages: the ticket is done *and* whoever may read
 * this table is among the lcores whose quiescent states that ticket has counted. The pages are
 * ready at once, still warm. Thread-safe, data path. Empties the list.
 */
void moat_pt_pool_recycle(struct moat_pt_pool *pool, struct moat_pt_freed *freed);

/* ------------------------------------------------------------------------------- the table */

/**
 * 2 MiB of IOVA, as readers and writers find it.
 *
 * A reader loads `table`, `delta`, the entry, and `delta` again. If the entry allows the access and
 * has MOAT_SS_LIN, and `delta` has not changed, then iova + delta is the address:
 *  - `delta` of a leaf table is fixed while the table is linked, and a table that was unlinked is
 *    not linked again before every reader has passed a quiescent state; its entries are zero when
 *    another `delta` appears. A page at any other address than iova + delta lacks MOAT_SS_LIN.
 *  - a PD or PDP entry may become a leaf, a link to a table or nothing while the granule still
 *    points at it; only a leaf has MOAT_SS_LIN, and a new `delta` is stored before that leaf is, so
 *    whoever loaded the new leaf and the old delta finds on the second look that it has changed.
 *    It cannot have changed twice: an IOVA gets another virtual address only after the ticket of its
 *    unmap is done, for which that reader had to pass a quiescent state (the one invariant).
 * A reader of many may look at `moves` of struct moat_pt before and after instead of at each delta
 * again: it is counted up after a delta that a reader can have met is changed, and before a leaf
 * is stored that goes with the new one.
 * In every other case the reader walks (lib/iotlb's slow path), so a granule may lag behind.
 */
struct moat_pt_granule {
	/** The table that holds the entry, 4096-aligned, | by how much to shift an IOVA to find it: 12
	 * (leaf table), 21 (PD) or 30 (PDP): table[(iova >> shift) & 511]. 0: nothing. */
	MOAT_ATOMIC(uintptr_t) table;
	/** va - iova of the entries that have MOAT_SS_LIN: a multiple of the page size. */
	MOAT_ATOMIC(uintptr_t) delta;
};
#define MOAT_PT_SHIFT UINT64_C(63)                /* the shift in `table`: x86 shifts by as much */
#define MOAT_PT_TABLE (~(uint64_t)MOAT_PAGE_MASK) /* the address in it */

struct moat_pt {
	struct moat_pt_granule *granules; /* flat, indexed by iova >> 21 */
	uint64_t nr_granules;        /* a power of two; IOVAs beyond take the slow path (walk) */
	MOAT_ATOMIC(uint64_t) moves; /* deltas that have changed under readers' eyes */
	uint64_t limit;              /* first IOVA beyond the table's width */
	uint64_t root_hpa;           /* for the context entry */
	uint8_t levels;              /* 3, 4 or 5 */
	bool coherent;               /* the unit snoops table reads (ECAP.C): no line flushes */
	uint64_t leaf;               /* bits of a linear leaf beside address and permission */
				     /* lib/pt's own follows in struct pt_impl (pt_internal.h) */
};

struct moat_pt_conf {
	struct moat_pt_pool *pool;
	uint8_t levels; /* 3, 4, 5 (39, 48, 57 bits) */
	uint8_t width;  /* bits of IOVA, 0: all that `levels` allow. A 32-bit device: 32 */
	uint64_t
		leaf_sizes; /* allowed beyond 4 KiB: MOAT_2M_SIZE | MOAT_1G_SIZE as the unit's SLLPS */
	bool coherent;
	bool snoop; /* set SNP in leaves: only for a unit with ECAP.SC, else the bit is reserved */
};

/** @return 0, -EINVAL (levels, width, leaf_sizes), -ENOMEM; moat_error_text() says which.
 * Control path. */
int moat_pt_create(const struct moat_pt_conf *conf, struct moat_pt **pt);
/**
 * Give back all of it. The caller's duty: no unit has this root in a context entry and no cache
 * holds it (domain teardown), no reader is inside. What is still mapped is simply forgotten.
 */
void moat_pt_destroy(struct moat_pt *pt);

/**
 * Map `len` bytes at `iova` to `hpa`, leaves as large as the alignment of iova and hpa, `len`, the
 * unit and the tables already there allow (a leaf never takes the place of a table, even an empty
 * one: the unit's paging-structure caches may hold it).
 *
 * @param va what the processor uses for the same memory, or NULL: then lib/iotlb cannot resolve it
 * @param prot MOAT_R, MOAT_W or both
 * @param bad may be NULL
 * @return 0; -EEXIST: a page is mapped already (`*bad` is the first, nothing has changed);
 *   -ERANGE: beyond the width; -EINVAL: alignment, prot, length 0; -ENOMEM (nothing is mapped,
 *   tables made meanwhile may stay, empty).
 * Thread-safe for disjoint ranges. Data path when tables exist: no allocation, lock or syscall.
 * A reader or a unit sees each page either unmapped or complete.
 */
int moat_pt_map(struct moat_pt *pt, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot, uint64_t *bad);

/**
 * Unmap exactly [iova, iova + len).
 *
 * @param freed receives the table pages that this range had to itself; never NULL. Not empty: the
 *   invalidation must drop paging-structure caches too (hint clear), see moat_pt_pool_retire().
 * @return 0; -ENOENT: a page is not mapped (`*bad` is the first, nothing has changed); -EINVAL:
 *   alignment, or the range covers only a part of a 2 MiB or 1 GiB leaf (`*bad` is its first IOVA).
 * Thread-safe for disjoint ranges. Data path.
 */
int moat_pt_unmap(struct moat_pt *pt, uint64_t iova, uint64_t len, struct moat_pt_freed *freed,
	uint64_t *bad);

/**
 * Unlink empty tables in the range (those a series of smaller unmaps left). Nobody may map in the
 * range meanwhile. Control path.
 */
void moat_pt_prune(struct moat_pt *pt, uint64_t iova, uint64_t len, struct moat_pt_freed *freed);

/** A leaf as the radix walk finds it. `size` keeps the two others apart: side by side, compilers
 * join them in a vector register before they store them, which takes longer than two stores. */
struct moat_pt_leaf {
	uint64_t entry; /* the raw second-stage entry */
	uint64_t size;  /* 4 KiB, 2 MiB, 1 GiB */
	uint64_t hpa;   /* of the byte asked for */
};

/**
 * Walk the radix tree from the root, as the unit does. RCU reader: the caller is registered with
 * urcu-qsbr and does not keep the answer across a quiescent state.
 * @return 0, -ENOENT (not mapped), -ERANGE (beyond the width). Thread-safe.
 */
int moat_pt_walk(const struct moat_pt *pt, uint64_t iova, struct moat_pt_leaf *leaf);

/**
 * The same walk, and what the processor uses for the byte asked for: `*va`, NULL when the page was
 * mapped without a virtual address. For lib/iotlb's slow path. Duties and answers as above.
 */
int moat_pt_walk_va(const struct moat_pt *pt, uint64_t iova, struct moat_pt_leaf *leaf, void **va);

/**
 * What moat_pt_walk_va() answers, found from the granule where that has a table: for pages whose
 * entry lacks MOAT_SS_LIN. `*walked` is set where it took the walk from the root after all.
 */
int moat_pt_find(const struct moat_pt *pt, uint64_t iova, struct moat_pt_leaf *leaf, void **va,
	bool *walked);

/** Pages (of 4 KiB) mapped now, and table pages (of 4 KiB) in use. Walks all; control path. */
void moat_pt_usage(const struct moat_pt *pt, uint64_t *mapped, uint64_t *table_pages);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_PT_H */
