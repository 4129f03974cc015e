/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef PT_INTERNAL_H
#define PT_INTERNAL_H

/**
 * @file
 * What the files of lib/pt share: where a table page's own data lie, the lock, the flush, and runs
 * of entries.
 *
 * A *chunk* is 2 MiB of pool memory, aligned to its size in both address spaces. Its first pages
 * hold 64 bytes about each of its 512 pages, so a table's address gives its metadata and its HPA
 * by arithmetic, and back. A table above the leaf level is two pages: the 512 entries that the unit
 * reads, and behind them its *companion*, 512 words for the processor: for a link the child's
 * virtual address | PT_LINK, for a leaf beyond the granules' window its virtual address | PT_VA.
 */

#include <sched.h>

#include <urcu-qsbr.h>
#include <rte_pause.h>

#include "moat_pt.h"

#define PT_ENTRIES    512u
#define PT_META_PAGES 8u             /* 512 * sizeof(struct moat_pt_page) */
#define PT_DELTA_NONE ((uintptr_t)1) /* no page of this table is linear: no delta ends in 1 */
#define PT_LINK       UINT64_C(1)    /* companion word: this entry is a link */
#define PT_VA         UINT64_C(2)    /* companion word: the virtual address of a leaf */

/** About one page of a chunk, 64 bytes. Of an upper table: about both its pages. */
struct moat_pt_page {
	struct rcu_head rcu;       /* retire: of the first page of a list */
	struct moat_pt_page *next; /* in a freed list or the stock */
	struct moat_pt_page *more; /* in the depot: the next magazine */
	uint64_t *slot;            /* parent's entry that links this table; NULL for the root */
	uintptr_t delta;           /* leaf table: va - iova of its linear pages, or PT_DELTA_NONE */
	uint64_t *vas;             /* leaf table: virtual addresses of the other pages, or NULL */
	uint8_t pages;             /* 1, or 2 with a companion */
	bool dirty;                /* not all zero: clear before use */
	bool poisoned;
	uint8_t level; /* of the table, 1 for a leaf table; 0: an array of addresses */
};
_Static_assert(sizeof(struct moat_pt_page) == 64, "the metadata of 512 pages fill PT_META_PAGES");

/** Lies where the metadata of the chunk's first pages (themselves metadata) would. */
struct pt_chunk {
	struct pt_chunk *next;
	struct moat_pt_pool *pool;
	uint64_t hpa;
	unsigned int carved; /* pages handed out at least once */
};
_Static_assert(sizeof(struct pt_chunk) <= PT_META_PAGES * sizeof(struct moat_pt_page), "fits");

static inline struct pt_chunk *pt_chunk_of(const void *p)
{
	return (struct pt_chunk *)((uintptr_t)p & ~(MOAT_2M_SIZE - 1));
}

static inline struct moat_pt_page *pt_page_of(const void *table)
{
	uintptr_t i = ((uintptr_t)table >> MOAT_PAGE_SHIFT) & (PT_ENTRIES - 1);

	return (struct moat_pt_page *)pt_chunk_of(table) + i;
}

static inline uint64_t *pt_table_of(const struct moat_pt_page *page)
{
	uintptr_t i = (uintptr_t)(page - (struct moat_pt_page *)pt_chunk_of(page));

	return (uint64_t *)((uintptr_t)pt_chunk_of(page) + (i << MOAT_PAGE_SHIFT));
}

static inline uint64_t pt_hpa_of(const void *table)
{
	return pt_chunk_of(table)->hpa + ((uintptr_t)table & (MOAT_2M_SIZE - 1));
}

/** Entries and companions are read by the unit and by other threads while we write. A store is a
 * release: what it points at is complete for whoever sees it. A load is an acquire: the pair. Both
 * are plain moves on x86; what they forbid is the compiler's reordering and tearing. */
static inline uint64_t pt_load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void pt_store(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------------------------ lock */

/** For linking tables and for the pool's lists: a few dozen cycles, never across a wait. */
struct pt_lock {
	_Atomic int taken;
};

static inline void pt_lock(struct pt_lock *l)
{
	unsigned int spins = 0;

	/* acquire: the holder before us released everything it wrote under the lock */
	while (atomic_exchange_explicit(&l->taken, 1, memory_order_acquire)) {
		while (atomic_load_explicit(&l->taken, memory_order_relaxed)) {
			rte_pause();
			if ((++spins & 1023) == 0)
				sched_yield(); /* the holder may be preempted on our core */
		}
	}
}

static inline void pt_unlock(struct pt_lock *l)
{
	/* release: pairs with the next holder's acquire */
	atomic_store_explicit(&l->taken, 0, memory_order_release);
}

/* ------------------------------------------------------------------------------------ pool */

/** A zeroed table of `pages` (1, or 2: with companion); NULL without memory. Thread-safe. */
uint64_t *pt_pool_take(struct moat_pt_pool *pool, unsigned int pages);
/** Straight back to the stock: nobody can reach the page. Thread-safe. */
void pt_pool_put(struct moat_pt_pool *pool, struct moat_pt_page *page);

static inline void pt_freed_add(struct moat_pt_freed *freed, struct moat_pt_page *page)
{
	page->next = freed->head;
	freed->head = page;
	freed->n += page->pages;
}

/* ----------------------------------------------------------------------------------- table */

struct pt_impl {
	struct moat_pt pub;
	struct moat_pt_pool *pool;
	uint64_t *root;
	uint64_t leaf_sizes;
	size_t reserved;     /* bytes of address space behind pub.granules */
	struct pt_lock link; /* taken to link a table or give one its array of addresses */
	_Atomic uint64_t flushed_lines;
};

static inline struct pt_impl *pt_impl(const struct moat_pt *pt)
{
	return (struct pt_impl *)(uintptr_t)pt;
}

static inline unsigned int pt_shift(unsigned int level)
{
	if (level - 1 > 4) /* a level is 1 to 5 */
		__builtin_unreachable();
	return MOAT_PAGE_SHIFT + 9 * (level - 1);
}

static inline unsigned int pt_index(uint64_t iova, unsigned int level)
{
	return (iova >> pt_shift(level)) & (PT_ENTRIES - 1);
}

static inline bool pt_is_link(uint64_t entry, unsigned int level)
{
	return level > 1 && entry != 0 && !(entry & MOAT_SS_PS);
}

static inline uint64_t *pt_companion(uint64_t *table)
{
	return table + PT_ENTRIES;
}

/** The table that slot `i` links; NULL where it links none. */
static inline uint64_t *pt_child(const uint64_t *table, unsigned int i)
{
	uint64_t child = pt_load(&table[PT_ENTRIES + i]);

	return child & PT_LINK ? (uint64_t *)(uintptr_t)(child - PT_LINK) : NULL;
}

/** Where the granule points: the entry for `iova`. */
static inline uint64_t *pt_granule_entry(uintptr_t table, uint64_t iova)
{
	return (uint64_t *)(table & MOAT_PT_TABLE) +
		((iova >> (table & MOAT_PT_SHIFT)) & (PT_ENTRIES - 1));
}

/** Leaf table: va - iova of its linear pages. */
static inline uintptr_t pt_delta(const uint64_t *table)
{
	/* relaxed: it was stored before the table was linked, and does not change until it is unlinked
	 * and every reader has gone */
	return __atomic_load_n(&pt_page_of(table)->delta, __ATOMIC_RELAXED);
}

/* The part of a range that lies in one table: first and one past the last index. */
struct pt_span {
	unsigned int i, end;
};

/** [iova, last] within the table of `level` that holds `iova`. */
static inline struct pt_span pt_span(uint64_t iova, uint64_t last, unsigned int level)
{
	unsigned int i = pt_index(iova, level);
	uint64_t n = (last >> pt_shift(level)) - (iova >> pt_shift(level)) + 1;

	return (struct pt_span){ i, n < PT_ENTRIES - i ? i + (unsigned int)n : PT_ENTRIES };
}

/** First IOVA of slot `i` of the table of `level` that holds `iova`. */
static inline uint64_t pt_slot_iova(uint64_t iova, unsigned int i, unsigned int level)
{
	uint64_t table = iova >> pt_shift(level) >> 9 << 9;

	return (table + i) << pt_shift(level);
}

/** What a map asks for, handed down the levels. All in bytes; `last` is the range's last byte. */
struct pt_map_req {
	struct pt_impl *impl;
	uint64_t iova, last;
	uint64_t hpa_off; /* hpa - iova */
	uintptr_t va_off; /* va - iova, or PT_DELTA_NONE */
	uint64_t prot;
};

/* pt_range.c: ranges of any shape, level by level */
int pt_range_map(const struct pt_map_req *req, uint64_t *bad);
int pt_range_unmap(struct pt_impl *impl, uint64_t iova, uint64_t last, struct moat_pt_freed *freed,
	uint64_t *bad);
void pt_range_prune(struct pt_impl *impl, uint64_t iova, uint64_t last,
	struct moat_pt_freed *freed);
/** Unlink a leaf table whose entries are all zero. Only the writer whose range covers all of its
 * 2 MiB may; so no lock. */
void pt_unlink_leaf(struct pt_impl *impl, uint64_t iova, uint64_t *table,
	struct moat_pt_freed *freed);

/* ----------------------------------------------------------------------------------- flush */

/** Tests see every line that is flushed. NULL otherwise. */
extern void (*pt_flush_hook)(const void *line);
/** Write the lines of [p, p + len) back to memory and wait: for units that do not snoop. */
void pt_flush_slow(struct pt_impl *impl, const void *p, size_t len);

static inline void pt_flush(struct pt_impl *impl, const void *p, size_t len)
{
	if (unlikely(!impl->pub.coherent))
		pt_flush_slow(impl, p, len);
}

/* ------------------------------------------------------------------------- runs of entries */

/**
 * Runs of entries, one implementation for each instruction set. All give the same answers.
 *
 * Vector accesses and tearing: an entry is 8 bytes, aligned, and never crosses a 16-byte boundary.
 * A processor with AVX performs an aligned 16-byte access as one (Intel SDM volume 3, "Guaranteed
 * Atomic Operations"; AMD APM volume 2 alike); a 32-byte store that is aligned to 32 is at worst
 * two of those. So stores are aligned to 32 first, and nobody ever sees a part of an entry.
 */
struct pt_run_ops {
	const char *name;
	bool (*supported)(void);
	/** Index of the first entry that is not 0; `n` without one. */
	unsigned int (*find_nonzero)(const uint64_t *e, unsigned int n);
	/** Index of the first entry that is 0; `n` without one. */
	unsigned int (*find_zero)(const uint64_t *e, unsigned int n);
	/** Index of the first entry that is no superpage leaf; `n` without one. */
	unsigned int (*find_no_leaf)(const uint64_t *e, unsigned int n);
	/** e[k] = first + k * stride; `stride`, a page's size, is below 2^32 */
	void (*fill)(uint64_t *e, unsigned int n, uint64_t first, uint64_t stride);
	void (*zero)(uint64_t *e, unsigned int n);
	/** Make `n` granules say `table` and `delta`; those that do already are not written.
	 * True: one of them had `table` and another delta (see `moves` of struct moat_pt). */
	bool (*granules)(struct moat_pt_granule *g, unsigned int n, uintptr_t table,
		uintptr_t delta);
};
/* ThreadSanitizer takes a vector access for a plain one, and the walkers' loads would race with it.
 * Its builds use the scalar variant, whose accesses are atomic for the compiler too. */
#if defined(__SANITIZE_THREAD__)
#define PT_RUN_VECTOR 0
#else
#define PT_RUN_VECTOR 1
extern const struct pt_run_ops pt_run_avx512; /* pt_run_avx512.c; the others are in pt_run.c */
#endif
extern const struct pt_run_ops pt_run_scalar;
extern const struct pt_run_ops *const pt_run_variants[]; /* best first, NULL at the end */
extern const struct pt_run_ops *pt_run;                  /* the best that this machine has */

/** Entries to write one by one until `e` is aligned to `align` for vector stores (at most `n`). */
static inline unsigned int pt_run_head(const void *e, unsigned int n, unsigned int align)
{
	unsigned int k = (-(uintptr_t)e & (align - 1)) / sizeof(uint64_t);

	return k < n ? k : n;
}

/** Granules [g, g + n) of superpage leaves that are about to be stored. */
static inline void pt_point_granules(struct moat_pt *pt, uint64_t g, uint64_t n, uintptr_t table,
	uintptr_t delta)
{
	if (unlikely(pt_run->granules(&pt->granules[g], n, table, delta)))
		/* release: behind the new deltas. A reader that meets a new leaf (stored after this) sees
		 * the count changed; one that saw it changed before it began sees the new deltas. */
		atomic_fetch_add_explicit(&pt->moves, 1, memory_order_release);
}

#endif /* PT_INTERNAL_H */
