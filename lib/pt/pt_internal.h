/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef PT_INTERNAL_H
#define PT_INTERNAL_H

/**
 * @file
 * What the files of lib/pt share: the metadata of table pages, the table's private members, the
 * flush, and the stores to granules.
 *
 * A *chunk* is 2 MiB of pool memory; its virtual and its physical address are aligned to its size.
 * Its first pages hold 64 bytes of metadata for each of its 512 pages, so a table's metadata and
 * its HPA follow from its address by arithmetic, and its address from its metadata. A table above
 * the leaf level is two pages: the 512 entries that the unit reads, and behind them its
 * *companion*, 512 words for the processor: for a link the child's virtual address | PT_LINK, for a
 * leaf beyond the granules' window its virtual address | PT_VA. A *linear* page is one whose entry
 * has MOAT_PT_LIN.
 */

#include <pthread.h>
#include <stddef.h>

#include <urcu-qsbr.h>

#include "moat_flush.h"
#include "moat_spin.h"
#include "pt_format.h"
#include "pt_run.h"

#define PT_ENTRIES    512u
#define PT_META_PAGES 8u             /* 512 * sizeof(struct moat_pt_page) */
#define PT_DELTA_NONE ((uintptr_t)1) /* no page of the table is linear; a delta is never odd */
#define PT_LINK       UINT64_C(1)    /* companion word: this entry is a link */
#define PT_VA         UINT64_C(2)    /* companion word: the virtual address of a leaf */

/** Metadata of one page of a chunk, or of both pages of an upper table. */
struct moat_pt_page {
	struct rcu_head rcu;       /* in the first page of a retired list */
	struct moat_pt_page *next; /* in a freed list or the stock */
	struct moat_pt_page *more; /* in the depot: the next magazine */
	uint64_t *slot;            /* parent's entry that links this table; NULL for the root */
	uintptr_t delta;           /* leaf table: va - iova of its linear pages, or PT_DELTA_NONE */
	uint64_t *vas;             /* leaf table: virtual addresses of its other pages, or NULL */
	uint8_t pages;             /* 1, or 2 with a companion */
	bool dirty;                /* not all zero: clear before use */
	bool poisoned;             /* filled with MOAT_PT_POISON: likewise */
	uint8_t level;             /* of the table, 1 for a leaf table; 0: an array of addresses */
};
_Static_assert(sizeof(struct moat_pt_page) == 64, "the metadata of 512 pages fill PT_META_PAGES");

/** Head of a chunk. It takes the place of the metadata of the chunk's first pages, which hold
 * metadata and need none. */
struct pt_chunk {
	struct pt_chunk *next;
	struct moat_pt_pool *pool;
	uint64_t hpa;        /* its address in entries */
	uint64_t host;       /* its host physical address: not `hpa` under a second stage */
	unsigned int carved; /* pages of metadata, and those handed out at least once */
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

/** Host physical address of a table, by which the pool's watch identifies it. */
static inline uint64_t pt_host_of(const void *table)
{
	return pt_chunk_of(table)->host + ((uintptr_t)table & (MOAT_2M_SIZE - 1));
}

/** The unit and other threads read entries and companions while a writer stores them. A store is a
 * release: a reader that sees a link sees the table behind it complete. A load is the acquire that
 * pairs with it. On x86 both are plain moves; they forbid the compiler to reorder or tear. */
static inline uint64_t pt_load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void pt_store(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------------------------ pool */

/** Take a zeroed table of `level`, with a companion above the lowest level; level 0: an array of
 * virtual addresses. @return NULL: no memory. Thread-safe. */
uint64_t *pt_pool_take(struct moat_pt_pool *pool, unsigned int level);
/** Put a page that no unit and no reader can reach back into the stock at once. Thread-safe. */
void pt_pool_put(struct moat_pt_pool *pool, struct moat_pt_page *page);

static inline void pt_freed_add(struct moat_pt_freed *freed, struct moat_pt_page *page)
{
	page->next = freed->head;
	freed->head = page;
	freed->n += page->pages;
}

/* ----------------------------------------------------------------------------------- table */

/** A window of granules (struct moat_pt), in a list from the first and smallest to the newest. A
 * writer stores a granule in every window that holds it, in this order: see pt_window.c. */
struct pt_window {
	struct moat_pt_granule *granules;
	uint64_t nr;
	struct pt_window *_Atomic newer;
	size_t reserved; /* bytes of address space; 0: it is part of the table's object */
};

#define PT_WINDOW_SMALL PT_ENTRIES          /* granules: 1 GiB of IOVA; 8 KiB */
#define PT_WINDOW_HALF  (UINT64_C(1) << 15) /* 64 GiB; 512 KiB of address space */

/* `linear` and those members of `pub` that every map and unmap reads share a cache line. */
struct pt_impl {
	uint64_t linear[4]; /* format.leaf | MOAT_PT_LIN, so that a usual map takes one load */
	struct moat_pt pub;
	struct pt_window window;  /* the first one */
	struct pt_window *newest; /* under `growing` */
	uint64_t most_granules;   /* limit of a window; under `growing` */
	pthread_mutex_t growing;  /* held while the window grows */
	struct pt_format format;  /* a copy, near the lines that a map reads anyway */
	struct moat_pt_pool *pool;
	uint64_t *root;
	uint64_t leaf_sizes;
	struct moat_spin link; /* taken to link a table or give one its array of addresses */
} __rte_cache_aligned;

/** Cache lines of a table's object: struct pt_impl, and behind it the first window. */
#define PT_OBJECT_LINES                                                               \
	((sizeof(struct pt_impl) + PT_WINDOW_SMALL * sizeof(struct moat_pt_granule) + \
		 RTE_CACHE_LINE_SIZE - 1) /                                           \
		RTE_CACHE_LINE_SIZE)

static inline struct pt_impl *pt_impl(const struct moat_pt *pt)
{
	return (struct pt_impl *)((uintptr_t)pt - offsetof(struct pt_impl, pub));
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
	return level > 1 && entry != 0 && !(entry & MOAT_SS_PS); /* the same bit in both formats */
}

static inline uint64_t *pt_companion(uint64_t *table)
{
	return table + PT_ENTRIES;
}

/** The table that slot `i` links; NULL: none. */
static inline uint64_t *pt_child(const uint64_t *table, unsigned int i)
{
	uint64_t child = pt_load(&table[PT_ENTRIES + i]);

	return child & PT_LINK ? (uint64_t *)(uintptr_t)(child - PT_LINK) : NULL;
}

/** The entry for `iova`, by `table` of its granule. */
static inline uint64_t *pt_granule_entry(uintptr_t table, uint64_t iova)
{
	return (uint64_t *)(table & MOAT_PT_TABLE) +
		((iova >> (table & MOAT_PT_SHIFT)) & (PT_ENTRIES - 1));
}

/** Leaf table: va - iova of its linear pages. */
static inline uintptr_t pt_delta(const uint64_t *table)
{
	/* relaxed: the delta was stored before the table was linked, and does not change until the
	 * table is unlinked and every reader has passed a quiescent state */
	return __atomic_load_n(&pt_page_of(table)->delta, __ATOMIC_RELAXED);
}

/* The part of a range that lies in one table: first and one past the last index. */
struct pt_span {
	unsigned int i, end;
};

/** The part of [iova, last] in the table of `level` that holds `iova`. */
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

/** A map request, passed down the levels. */
struct pt_map_req {
	struct pt_impl *impl;
	uint64_t iova, last; /* first and last byte of the range */
	uint64_t hpa_off;    /* hpa - iova */
	uintptr_t va_off;    /* va - iova, or PT_DELTA_NONE */
	uint64_t leaf;       /* the format's bits of a leaf with this permission */
};

/* pt_range.c: ranges of any shape, level by level */
int pt_range_map(const struct pt_map_req *req, uint64_t *bad);
int pt_range_unmap(struct pt_impl *impl, uint64_t iova, uint64_t last, struct moat_pt_freed *freed,
	uint64_t *bad);
/** Unlink a leaf table whose entries are all zero. Takes no lock: only a writer whose range covers
 * all of the table's 2 MiB may call it. */
void pt_unlink_leaf(struct pt_impl *impl, uint64_t iova, uint64_t *table,
	struct moat_pt_freed *freed);

/* ----------------------------------------------------------------------------------- flush */

/** Write the cache lines of [p, p + len) back to memory if the unit's walks do not snoop. */
static inline void pt_flush(struct pt_impl *impl, const void *p, size_t len)
{
	if (unlikely(!impl->pub.coherent))
		moat_flush_lines(p, len);
}

/* --------------------------------------------------------------------------------- window */

/** pt_window.c: set up the first window, and free all windows. */
void pt_window_open(struct pt_impl *impl, unsigned int width);
void pt_window_close(struct pt_impl *impl);
/** pt_window.c: let the window grow so that it holds granule `last`, if possible. */
void pt_window_grow(struct pt_impl *impl, uint64_t last);

/** Let the window grow unless it holds granule `last` already. @return granules in the window */
static inline uint64_t pt_window_reach(struct pt_impl *impl, uint64_t last)
{
	/* relaxed: if another thread has grown the window, pt_window_grow() sees that under its
	 * lock */
	if (unlikely(last >= atomic_load_explicit(&impl->pub.nr_granules, memory_order_relaxed)))
		pt_window_grow(impl, last);
	return atomic_load_explicit(&impl->pub.nr_granules, memory_order_relaxed);
}

/** The window to store to after `window`; NULL after the newest. W2: see pt_window.c. */
static inline struct pt_window *pt_window_next(struct pt_window *window)
{
	/* The fence stops only the compiler; W1 makes it a barrier of the processor. acquire: the
	 * new window is initialised. */
	atomic_signal_fence(memory_order_seq_cst);
	return atomic_load_explicit(&window->newer, memory_order_acquire);
}

/** Store the granule of a leaf table that was linked. The lock `link` is held. */
static inline void pt_granule_set(struct pt_impl *impl, uint64_t g, uintptr_t table,
	uintptr_t delta)
{
	for (struct pt_window *w = &impl->window; w != NULL; w = pt_window_next(w)) {
		if (g >= w->nr)
			continue;
		/* release: a reader that sees the delta or the address sees the table zeroed. A
		 * reader with the old `table` finds 0 or a link in the entry there. */
		atomic_store_explicit(&w->granules[g].delta, delta, memory_order_release);
		atomic_store_explicit(&w->granules[g].table, table, memory_order_release);
	}
}

/** Clear granules [g, g + n), all of one GiB. Their entries have been cleared. */
static inline void pt_granules_clear(struct pt_impl *impl, uint64_t g, unsigned int n)
{
	for (struct pt_window *w = &impl->window; w != NULL; w = pt_window_next(w))
		for (unsigned int k = 0; k < n && g < w->nr; k++)
			/* release: the granule's entries were cleared before */
			atomic_store_explicit(&w->granules[g + k].table, 0, memory_order_release);
}

/** Store granules [g, g + n), which the window holds, of superpage leaves that are stored next. */
static inline void pt_point_granules(struct moat_pt *pt, uint64_t g, uint64_t n, uintptr_t table,
	uintptr_t delta)
{
	bool moved = false;

	for (struct pt_window *w = &pt_impl(pt)->window; w != NULL; w = pt_window_next(w))
		if (g < w->nr)
			moved |= pt_run->granules(&w->granules[g], RTE_MIN(n, w->nr - g), table,
				delta);
	if (unlikely(moved))
		/* release: after the new deltas. A reader that meets a new leaf (stored after
		 * this) sees the new count; a reader that began with the new count sees the new
		 * deltas. */
		atomic_fetch_add_explicit(&pt->moves, 1, memory_order_release);
}

#endif /* PT_INTERNAL_H */
