/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The pool of table pages.
 *
 * Single pages (most are leaf tables) go through stripes. A thread always uses the same stripe, and
 * shares the stripe's lock and cache lines only if there are more threads than stripes. A stripe
 * holds up to two magazines of pages; whole magazines move to and from the depot, whose lock is
 * then taken once in PT_MAGAZINE pages. New pages, and those whose grace period is over, move from
 * the depot one by one. Pairs (tables with a companion) are few and stay in the depot.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "moat_slab.h"
#include "moat_tsan.h"
#include "pt_hooks.h"
#include "pt_internal.h"
#include "pt_nest.h"

#define PT_STRIPES  64u
#define PT_MAGAZINE 32u

struct stripe {
	struct moat_spin lock;
	unsigned int n;             /* pages in `pages`, at most PT_MAGAZINE */
	struct moat_pt_page *pages; /* the magazine in use: alloc pops, free pushes */
	struct moat_pt_page *spare; /* a full magazine, or NULL */
	uint64_t allocated, freed;  /* pages since the start */
} __rte_cache_aligned;

struct moat_pt_pool {
	struct moat_pt_mem mem;
	struct moat_pt_watch watch; /* all NULL: none */
	struct pt_place place;      /* all NULL: chunks have their host physical addresses */
	bool poison;
	_Atomic uint64_t retired; /* pages that wait for their grace period */
	/* The owner, and each list that waits for its grace period; the last one frees the pool. */
	_Atomic uint32_t users;

	struct moat_spin lock;          /* the depot: all below */
	struct moat_pt_page *magazines; /* full ones, linked by `more` */
	struct moat_pt_page *loose;     /* single pages */
	struct moat_pt_page *pairs;
	struct pt_chunk *chunks; /* the first is being carved */
	uint64_t total;          /* pages in all chunks, metadata not counted */

	struct stripe stripes[PT_STRIPES];
};

/* ------------------------------------------------------------------------ memory, by default */

static int anonymous_alloc(void *ctx, size_t len, void **va, uint64_t *hpa)
{
	/* Ask for huge pages: a chunk then takes one entry of the processor's TLB. */
	void *m = moat_slab_map(len, true);

	if (m == NULL)
		return moat_error(-ENOMEM, "cannot map %zu bytes for page tables: %s", len,
			strerror(errno));
	*va = m;
	*hpa = (uintptr_t)m;
	return 0;
}

static void anonymous_free(void *ctx, void *va, size_t len)
{
	munmap(va, len);
}

const struct moat_pt_mem moat_pt_mem_anonymous = {
	.alloc = anonymous_alloc,
	.free = anonymous_free,
};

/* ------------------------------------------------------------------------- one page's state */

/* Fill or clear a page that is not in use. Not by memset(): ThreadSanitizer would report a race
 * with a reader that a ticket or a grace period keeps away. */
static void set_words(struct moat_pt_page *page, uint64_t value)
{
	pt_run->fill(pt_table_of(page), PT_ENTRIES, value, 0);
	if (page->pages == 2)
		pt_run->fill(pt_companion(pt_table_of(page)), PT_ENTRIES, 0, 0);
}

/* A page was given back: report it to the watch, and poison it if the pool does so. */
static void page_returned(const struct moat_pt_pool *pool, struct moat_pt_page *page)
{
	if (page->level == 0) /* an array of addresses, which no unit walks */
		return;
	if (unlikely(pool->watch.table_freed != NULL))
		pool->watch.table_freed(pool->watch.ctx, pt_host_of(pt_table_of(page)));
	if (unlikely(pool->poison)) {
		set_words(page, MOAT_PT_POISON);
		page->poisoned = true;
	}
}

/* Zero a page and reset its metadata before it is linked. */
static uint64_t *make_ready(struct moat_pt_page *page, unsigned int level)
{
	if (unlikely(page->dirty || page->poisoned))
		set_words(page, 0);
	page->dirty = false;
	page->poisoned = false;
	page->next = NULL;
	page->slot = NULL;
	page->level = level;
	/* relaxed: the page becomes visible to others only by the store that links it */
	__atomic_store_n(&page->delta, PT_DELTA_NONE, __ATOMIC_RELAXED);
	__atomic_store_n(&page->vas, NULL, __ATOMIC_RELAXED);
	return pt_table_of(page);
}

/* --------------------------------------------------------------------------- stock and depot */

static struct stripe *my_stripe(struct moat_pt_pool *pool)
{
	static _Atomic unsigned int threads;
	static _Thread_local unsigned int mine; /* index + 1; 0: none yet */

	if (unlikely(mine == 0))
		/* relaxed: a counter, which orders nothing */
		mine = 1 +
			atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % PT_STRIPES;
	return &pool->stripes[mine - 1];
}

/* Get another chunk. The depot's lock is held. */
static bool add_chunk(struct moat_pt_pool *pool)
{
	struct pt_chunk *chunk;
	uint64_t host = 0, address;
	void *va = NULL;

	if (pool->mem.alloc(pool->mem.ctx, MOAT_2M_SIZE, &va, &host) != 0)
		return false;
	address = host;
	if (pool->place.enter != NULL &&
		pool->place.enter(pool->place.ctx, va, host, &address) != 0) {
		pool->mem.free(pool->mem.ctx, va, MOAT_2M_SIZE);
		return false;
	}
	chunk = va;
	chunk->pool = pool;
	chunk->hpa = address;
	chunk->host = host;
	chunk->carved = PT_META_PAGES;
	chunk->next = pool->chunks;
	pool->chunks = chunk;
	pool->total += PT_ENTRIES - PT_META_PAGES;
	return true;
}

/* Take one page, or a pair, that was never used. The depot's lock is held. */
static struct moat_pt_page *carve(struct moat_pt_pool *pool, unsigned int pages)
{
	struct pt_chunk *chunk = pool->chunks;
	struct moat_pt_page *page;

	if (chunk == NULL || chunk->carved + pages > PT_ENTRIES) {
		if (chunk != NULL && chunk->carved < PT_ENTRIES) { /* one page is left */
			page = (struct moat_pt_page *)chunk + chunk->carved++;
			page->pages = 1;
			page->next = pool->loose;
			pool->loose = page;
		}
		if (!add_chunk(pool))
			return NULL;
		chunk = pool->chunks;
	}
	page = (struct moat_pt_page *)chunk + chunk->carved;
	chunk->carved += pages;
	page->pages = pages;
	return page;
}

static struct moat_pt_page *pop(struct moat_pt_page **list)
{
	struct moat_pt_page *page = *list;

	if (page != NULL)
		*list = page->next;
	return page;
}

/* Take a page from another stripe, when there is no memory for a new one. */
static struct moat_pt_page *steal(struct moat_pt_pool *pool, const struct stripe *mine)
{
	struct moat_pt_page *page = NULL;

	for (unsigned int i = 0; i < PT_STRIPES && page == NULL; i++) {
		struct stripe *s = &pool->stripes[i];

		if (s == mine)
			continue;
		moat_spin_lock(&s->lock);
		if (s->n == 0 && s->spare != NULL) {
			s->pages = s->spare;
			s->spare = NULL;
			s->n = PT_MAGAZINE;
		}
		page = pop(&s->pages);
		s->n -= page != NULL;
		moat_spin_unlock(&s->lock);
	}
	return page;
}

/* Fill an empty stripe, whose lock is held. */
static void refill(struct moat_pt_pool *pool, struct stripe *s)
{
	struct moat_pt_page *page;

	if (s->spare != NULL) {
		s->pages = s->spare;
		s->spare = NULL;
		s->n = PT_MAGAZINE;
		return;
	}
	moat_spin_lock(&pool->lock);
	if (pool->magazines != NULL) {
		s->pages = pool->magazines;
		pool->magazines = s->pages->more;
		s->n = PT_MAGAZINE;
	} else {
		page = pop(&pool->loose);
		if (page == NULL)
			page = carve(pool, 1);
		if (page != NULL) {
			page->next = NULL;
			s->pages = page;
			s->n = 1;
		}
	}
	moat_spin_unlock(&pool->lock);
}

static struct moat_pt_page *take_single(struct moat_pt_pool *pool)
{
	struct stripe *s = my_stripe(pool);
	struct moat_pt_page *page;

	moat_spin_lock(&s->lock);
	if (unlikely(s->n == 0))
		refill(pool, s);
	page = pop(&s->pages);
	s->n -= page != NULL;
	s->allocated += page != NULL;
	moat_spin_unlock(&s->lock);
	if (likely(page != NULL))
		return page;
	page = steal(pool, s);
	moat_spin_lock(&s->lock);
	s->allocated += page != NULL;
	moat_spin_unlock(&s->lock);
	return page;
}

static struct moat_pt_page *take_pair(struct moat_pt_pool *pool)
{
	struct stripe *s = my_stripe(pool);
	struct moat_pt_page *page;

	moat_spin_lock(&pool->lock);
	page = pop(&pool->pairs);
	if (page == NULL)
		page = carve(pool, 2);
	moat_spin_unlock(&pool->lock);
	moat_spin_lock(&s->lock);
	s->allocated += page != NULL ? 2 : 0;
	moat_spin_unlock(&s->lock);
	return page;
}

uint64_t *pt_pool_take(struct moat_pt_pool *pool, unsigned int level)
{
	struct moat_pt_page *page = likely(level < 2) ? take_single(pool) : take_pair(pool);

	if (unlikely(page == NULL))
		return NULL;
	if (unlikely(pool->watch.table_used != NULL && level != 0))
		pool->watch.table_used(pool->watch.ctx, pt_host_of(pt_table_of(page)));
	return make_ready(page, level);
}

/* Put a page or pair into the depot, whose lock is held. */
static void put_depot(struct moat_pt_pool *pool, struct moat_pt_page *page)
{
	struct moat_pt_page **list = page->pages == 2 ? &pool->pairs : &pool->loose;

	page->next = *list;
	*list = page;
}

static void put_single(struct moat_pt_pool *pool, struct stripe *s, struct moat_pt_page *page)
{
	moat_spin_lock(&s->lock);
	s->freed++;
	if (unlikely(s->n == PT_MAGAZINE)) {
		if (s->spare != NULL) {
			moat_spin_lock(&pool->lock);
			s->spare->more = pool->magazines;
			pool->magazines = s->spare;
			moat_spin_unlock(&pool->lock);
		}
		s->spare = s->pages;
		s->pages = NULL;
		s->n = 0;
	}
	page->next = s->pages;
	s->pages = page;
	s->n++;
	moat_spin_unlock(&s->lock);
}

void pt_pool_put(struct moat_pt_pool *pool, struct moat_pt_page *page)
{
	struct stripe *s = my_stripe(pool);

	page_returned(pool, page);
	if (likely(page->pages == 1)) {
		put_single(pool, s, page);
		return;
	}
	moat_spin_lock(&pool->lock);
	put_depot(pool, page);
	moat_spin_unlock(&pool->lock);
	moat_spin_lock(&s->lock);
	s->freed += 2;
	moat_spin_unlock(&s->lock);
}

void pt_pool_recycle(struct moat_pt_pool *pool, struct moat_pt_freed *freed)
{
	struct moat_pt_page *page = freed->head;

	freed->head = NULL;
	freed->n = 0;
	while (page != NULL) {
		struct moat_pt_page *next = page->next;

		pt_pool_put(pool, page);
		page = next;
	}
}

/* ------------------------------------------------------------------------------ grace period */

static void pool_release(struct moat_pt_pool *pool)
{
	/* acq_rel: what every user has done to the pool is seen by the last one, which frees it */
	if (atomic_fetch_sub_explicit(&pool->users, 1, memory_order_acq_rel) != 1)
		return;
	while (pool->chunks != NULL) {
		struct pt_chunk *chunk = pool->chunks;

		pool->chunks = chunk->next;
		pool->mem.free(pool->mem.ctx, chunk, MOAT_2M_SIZE);
	}
	free(pool);
}

/* The grace period of a retired list is over. Runs in liburcu's thread. */
static void grace_over(struct rcu_head *head)
{
	struct moat_pt_page *page = caa_container_of(head, struct moat_pt_page, rcu);
	struct moat_pt_pool *pool = pt_chunk_of(page)->pool;
	uint64_t pages = 0;

	TAKEN_OVER(head);
	moat_spin_lock(&pool->lock);
	while (page != NULL) {
		struct moat_pt_page *next = page->next;

		pages += page->pages;
		put_depot(pool, page);
		page = next;
	}
	moat_spin_unlock(&pool->lock);
	/* relaxed: a counter; the lists are ordered by the lock */
	atomic_fetch_sub_explicit(&pool->retired, pages, memory_order_relaxed);
	pool_release(pool);
}

void moat_pt_pool_retire(struct moat_pt_pool *pool, struct moat_pt_freed *freed)
{
	struct stripe *s = my_stripe(pool);
	struct moat_pt_page *head = freed->head;
	unsigned int n = freed->n;

	if (head == NULL)
		return;
	freed->head = NULL;
	freed->n = 0;
	for (struct moat_pt_page *page = head; page != NULL; page = page->next)
		page_returned(pool, page);
	moat_spin_lock(&s->lock);
	s->freed += n;
	moat_spin_unlock(&s->lock);
	/* relaxed, both: a counter, and one more user while the owner still is one */
	atomic_fetch_add_explicit(&pool->retired, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&pool->users, 1, memory_order_relaxed);
	HANDED_OVER(&head->rcu); /* liburcu's own queue is written in assembly */
	urcu_qsbr_call_rcu(&head->rcu, grace_over);
}

/* ------------------------------------------------------------------------------ control path */

int moat_pt_pool_create(const struct moat_pt_mem *mem, struct moat_pt_pool **out)
{
	struct moat_pt_pool *pool = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*pool));

	if (pool == NULL)
		return moat_error(-ENOMEM, "no memory for a pool of page tables");
	memset(pool, 0, sizeof(*pool));
	pool->mem = mem != NULL ? *mem : moat_pt_mem_anonymous;
	pool->users = 1;
	*out = pool;
	return 0;
}

int pt_pool_create_over(const struct moat_pt_pool *below, const struct pt_place *place,
	struct moat_pt_pool **out)
{
	int ret = moat_pt_pool_create(&below->mem, out);

	if (ret != 0)
		return ret;
	(*out)->watch = below->watch;
	(*out)->place = *place;
	(*out)->poison = below->poison;
	return 0;
}

void moat_pt_pool_destroy(struct moat_pt_pool *pool)
{
	if (pool == NULL)
		return;
	urcu_qsbr_barrier(); /* grace_over() has run for all retired lists */
	pool_release(pool);
}

void pt_pool_leave(struct moat_pt_pool *pool)
{
	if (pool != NULL)
		pool_release(pool);
}

void pt_pool_poison(struct moat_pt_pool *pool, bool on)
{
	pool->poison = on;
}

void moat_pt_pool_watch(struct moat_pt_pool *pool, const struct moat_pt_watch *watch)
{
	pool->watch = *watch;
}

void moat_pt_pool_stats(const struct moat_pt_pool *cpool, struct moat_pt_pool_stats *stats)
{
	struct moat_pt_pool *pool = (struct moat_pt_pool *)(uintptr_t)cpool;

	*stats = (struct moat_pt_pool_stats){ 0 };
	for (unsigned int i = 0; i < PT_STRIPES; i++) {
		struct stripe *s = &pool->stripes[i];

		moat_spin_lock(&s->lock);
		stats->allocated += s->allocated;
		stats->freed += s->freed;
		moat_spin_unlock(&s->lock);
	}
	/* relaxed: a counter */
	stats->retired = atomic_load_explicit(&pool->retired, memory_order_relaxed);
	stats->in_use = stats->allocated - stats->freed;
	moat_spin_lock(&pool->lock);
	stats->stock = pool->total - stats->in_use - stats->retired;
	moat_spin_unlock(&pool->lock);
}
