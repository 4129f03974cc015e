/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_BUFFER_H
#define MOAT_TENANT_BUFFER_H

/*
 * The states of a buffer, in the modes that unmap (doc/buffer.md). The pool, the callbacks and the
 * modes change a state only by the functions of this header.
 *
 * A buffer is whole pages. It has one state and one owner at a time. A state is a byte for each
 * page of the tenant's memory; all pages of a buffer have the same.
 *
 *	state        owner              entry      left by
 *	FREE         the pool           none       the pool's get: to RX, APP or TAKEN
 *	RX           the device         writable   the Rx callback: to APP or EARLY; a put; a send
 *	APP          the application    none       a send: to TX or SHARED; a put: to FREE
 *	TAKEN        see below          none       as APP; a queue is added: to RX
 *	TICKET       the application    none       as APP, but a put: to QUARANTINED
 *	EARLY        the application    none       as TICKET; handed on early (mode deferred)
 *	TX           the device         readable   a put; the driver does not take it: to TICKET
 *	SHARED       device and others  readable   the last of its sends comes back: to TICKET
 *	QUARANTINED  the pool           none       the ticket is done: to FREE
 *	BUSY         the thread that changes it    that thread, to any other
 *
 * A put of a mapped buffer (RX, TX) unmaps it: to QUARANTINED. A buffer whose last unmap may not be
 * done is TICKET, EARLY or QUARANTINED. Its ticket is kept with the slot of the lane that unmapped
 * it, so that any thread can ask that lane. The buffers of a burst that strict or pipelined holds
 * back are APP already; the ticket is kept with the burst, and the mode is the owner.
 *
 * TAKEN is a buffer that was taken from the pool while the tenant had no queue: by the application,
 * or by a driver that does not report its refills and fills its ring before the queue is added.
 * Until the first queue of such a driver is added, the device reaches none of these buffers. From
 * then on it reaches all, because moat cannot tell the driver's from the application's.
 *
 * One thread at a time changes a state. A buffer with one reference has one owner, so its state is
 * read and written without atomics. Only a buffer with several references (clones, refcnt above 1)
 * can be sent or come back on two threads at once. The state of such a buffer goes through BUSY. A
 * thread that finds BUSY reports quiescent states until the state is another one.
 */

#include <assert.h>
#include <emmintrin.h>
#include <string.h>

#include "ticket.h"

enum tenant_state {
	TENANT_FREE,
	TENANT_QUARANTINED,
	TENANT_APP,
	TENANT_TAKEN,
	TENANT_TICKET,
	TENANT_EARLY,
	TENANT_RX, /* in this and the following states the buffer has a page-table entry */
	TENANT_TX,
	TENANT_SHARED,
	TENANT_BUSY,
};

/* Check that a transition is one of the table's. Too expensive for a build without MOAT_DEBUG. */
#ifdef MOAT_DEBUG
#define TENANT_ASSERT(condition) assert(condition)
#else
#define TENANT_ASSERT(condition) ((void)sizeof(condition))
#endif

/* ------------------------------------------------------------------------------- pages and runs */

static inline uint32_t tenant_page(const struct moat_tenant *t, const void *va)
{
	return (uint32_t)((uint64_t)((const uint8_t *)va - t->va) >> MOAT_PAGE_SHIFT);
}

/* Does the address lie in the part of the tenant's memory that is for pools? */
static inline bool tenant_owns(const struct moat_tenant *t, const void *va)
{
	return (uint64_t)((const uint8_t *)va - t->va) - t->heap_len < t->len - t->heap_len;
}

/* buf_len is whole pages, but 65,535 for a buffer of 64 KiB: the member has 16 bits. */
static inline uint32_t tenant_buffer_pages(const struct rte_mbuf *m)
{
	return ((uint32_t)m->buf_len + MOAT_PAGE_MASK) >> MOAT_PAGE_SHIFT;
}

/* Is the header `m` the only reference to the buffer at `page`? Acquire: pairs with the release of
 * DPDK's decrements, so that the state which the last other owner wrote is seen. */
static inline bool tenant_has_one_reference(const struct moat_tenant *t, const struct rte_mbuf *m,
	uint32_t page)
{
	return __atomic_load_n(&m->refcnt, __ATOMIC_ACQUIRE) == 1 &&
		__atomic_load_n(&t->shinfo[page].refcnt, __ATOMIC_ACQUIRE) == 1;
}

/* Is the mbuf the only reference to a buffer of the tenant's? */
static inline bool tenant_is_sole(const struct moat_tenant *t, const struct rte_mbuf *m)
{
	unsigned int i = 0;

	while (unlikely(m->pool != t->pool_mp[i]))
		if (++i >= t->nr_pools)
			return false;
	return likely(tenant_owns(t, m->buf_addr)) &&
		tenant_has_one_reference(t, m, tenant_page(t, m->buf_addr));
}

/* Does the mbuf lack both flags that tell DPDK that the buffer does not follow the mbuf? */
static inline bool tenant_is_bare(const struct rte_mbuf *m)
{
	return !(m->ol_flags & (RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT));
}

/* Set RTE_MBUF_F_EXTERNAL again in an mbuf that is the header of a tenant's buffer. Most PMDs
 * overwrite the flags of mbufs that they receive, and rte_pktmbuf_copy() of DPDK 22.11 the copy's.
 * Without the flag, when a clone is freed, DPDK would take the bytes in front of the buffer for the
 * mbuf that owns the buffer. */
static inline void tenant_pin(struct rte_mbuf *m)
{
	if (unlikely(tenant_is_bare(m)))
		m->ol_flags |= RTE_MBUF_F_EXTERNAL;
}

/*
 * Neighbouring pages form one run. A run takes one call into the page table, and is one entry of
 * the gather. A run never fills 2 MiB, so it is never mapped by a large leaf: each of its buffers
 * can be unmapped alone. If the unit cannot unmap a part of one map, a run to map is one buffer.
 */
struct tenant_run {
	uint32_t page, n; /* first page, and number of pages */
	uint32_t max;     /* at this many pages the run stops growing; 0: it never grows */
};

#define TENANT_RUN_PAGES (uint32_t)(MOAT_2M_SIZE / MOAT_PAGE_SIZE / 2)

/* Add `n` pages from `page` on, if they lie directly behind or before the run. @return true: they
 * were added */
static inline bool tenant_run_grow(struct tenant_run *run, uint32_t page, uint32_t n)
{
	if (unlikely(run->n >= run->max || run->n == 0))
		return false;
	if (likely(run->page + run->n == page)) {
		run->n += n;
		return true;
	}
	if (page + n == run->page) {
		run->page = page;
		run->n += n;
		return true;
	}
	return false;
}

/* Is the packet one buffer, at `va`, of the same length as `like`'s? */
static inline bool tenant_run_is_next(const struct rte_mbuf *m, const uint8_t *va,
	const struct rte_mbuf *like)
{
	return likely(m->buf_addr == va && m->nb_segs == 1 && m->buf_len == like->buf_len);
}

/* How many of `n` buffers of `pages` pages each may join the run at its end: as many as `max` and
 * the end of the tenant's memory permit. One call serves the whole burst. */
static inline uint16_t tenant_run_room(const struct moat_tenant *t, const struct tenant_run *run,
	uint32_t pages, uint16_t n)
{
	uint32_t max = RTE_MIN(run->max, (uint32_t)(t->len >> MOAT_PAGE_SHIFT) - run->page);

	if (likely(run->n + n * pages <= max))
		return n;
	return run->n < max ? (uint16_t)((max - run->n) / pages) : 0;
}

static inline const uint8_t *tenant_run_end(const struct moat_tenant *t,
	const struct tenant_run *run)
{
	return t->va + ((uint64_t)(run->page + run->n) << MOAT_PAGE_SHIFT);
}

/* Add packets from the front of `pkts` to the run, while each is one buffer, of the first packet's
 * length, directly behind the one before. Mostly all are. The run's first buffer must be the
 * tenant's. @return how many have joined */
static inline uint16_t tenant_run_join(const struct moat_tenant *t, struct tenant_run *run,
	struct rte_mbuf *const pkts[], uint16_t n)
{
	const struct rte_mbuf *like = pkts[0];
	const uint8_t *next = tenant_run_end(t, run);
	uint32_t pages = tenant_buffer_pages(like);
	uint64_t len = (uint64_t)pages << MOAT_PAGE_SHIFT;
	uint16_t i = 0;

	n = tenant_run_room(t, run, pages, n);
	for (; i + 4 <= n && tenant_run_is_next(pkts[i], next, like) &&
		tenant_run_is_next(pkts[i + 1], next + len, like) &&
		tenant_run_is_next(pkts[i + 2], next + 2 * len, like) &&
		tenant_run_is_next(pkts[i + 3], next + 3 * len, like);
		i += 4)
		next += 4 * len;
	for (; i < n && tenant_run_is_next(pkts[i], next, like); i++)
		next += len;
	run->n += i * pages;
	return i;
}

/* @return how many of `n` > 0 pages, from the front, have the first page's state */
#if defined(__SANITIZE_THREAD__)
/* ThreadSanitizer does not see B3, which is a fence: here each load is an acquire. */
static inline uint32_t tenant_run_alike(const struct moat_tenant *t, uint32_t page, uint32_t n)
{
	uint8_t first = __atomic_load_n(&t->state[page], __ATOMIC_ACQUIRE);
	uint32_t i = 0;

	while (i < n && __atomic_load_n(&t->state[page + i], __ATOMIC_ACQUIRE) == first)
		i++;
	return i;
}
#else
static inline uint32_t tenant_run_alike(const struct moat_tenant *t, uint32_t page, uint32_t n)
{
	const uint8_t *state = &t->state[page];
	const __m128i first = _mm_set1_epi8((char)state[0]);
	uint32_t i = 0;

	for (; i + 16 <= n; i += 16) {
		__m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)&state[i]), first);
		uint32_t other = (uint32_t)_mm_movemask_epi8(same) ^ 0xffff;

		if (unlikely(other != 0))
			return i + (uint32_t)__builtin_ctz(other);
	}
	while (i < n && state[i] == state[0])
		i++;
	return i;
}
#endif

/* Set the state of `n` pages. 16 to 32 pages, as a burst often has, take two stores that may
 * overlap, which is faster than a call of memset(). */
static inline void tenant_pages_set(struct moat_tenant *t, uint32_t page, uint32_t n,
	enum tenant_state state)
{
	uint8_t *at = &t->state[page];

	if (likely(n - 16 <= 16)) {
		__m128i v = _mm_set1_epi8((char)state);

		_mm_storeu_si128((__m128i *)at, v);
		_mm_storeu_si128((__m128i *)(at + n - 16), v);
	} else {
		memset(at, state, n);
	}
}

/* ---------------------------------------------------------------------- transitions of an owner */

/*
 * Unmap the pages of the run that the device alone owns (RX, TX), and set their state to `to` (APP,
 * TICKET, EARLY, QUARANTINED). With TICKET and EARLY each page's ticket is noted. Empties the run.
 * @return 0, or a negative errno: the state of each page is valid then, too.
 */
int tenant_run_unmap(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run,
	enum tenant_state to);

/* Add a buffer to a run to unmap. If the buffer is not a neighbour, the run is unmapped, and the
 * buffer begins the next run. @return as tenant_run_unmap() */
static inline int tenant_run_unmap_join(struct moat_tenant *t, struct tenant_lcore *lc,
	struct tenant_run *run, const struct rte_mbuf *m, enum tenant_state to)
{
	uint32_t page = tenant_page(t, m->buf_addr), n = tenant_buffer_pages(m);
	int rc;

	if (likely(tenant_run_grow(run, page, n)))
		return 0;
	rc = tenant_run_unmap(t, lc, run, to);
	run->page = page;
	run->n = n;
	return rc;
}

/*
 * Let the device write (`to` RX) or read (TX) all of the run. Empties the run.
 * @return 0; -EBUSY: `to` is TX and a page is RX. The caller must first unmap such pages
 *   (tenant_run_unmap() to TICKET), for a whole burst before it maps the first page, so that one
 *   wait serves all; -EINVAL: a page of the run is not the caller's; else a negative errno. After
 *   an error the state of each page is valid.
 */
int tenant_run_map(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run,
	enum tenant_state to);

/* For an owner that drops a burst before its ticket is done: set the burst's pages from APP to
 * TICKET. Pages that are not the tenant's are skipped. */
void tenant_burst_ticket(struct moat_tenant *t, struct rte_mbuf *const pkts[], uint16_t n,
	uint64_t ticket);

/* ---------------------------------------------------------------------- buffers that are shared */

/* Find the tenant's pool that holds the address, and the number of the buffer in the pool. NULL: no
 * pool holds it */
struct moat_pool *tenant_buffer_pool(const struct moat_tenant *t, const void *va, uint32_t *number);

/* Find the pages of the buffer that `m` refers to, whatever kind of mbuf `m` is. @return false: the
 * data of `m` does not lie in one buffer of the tenant's, or has another IOVA */
bool tenant_buffer_find(const struct moat_tenant *t, const struct rte_mbuf *m,
	struct tenant_run *buffer);

/*
 * Note that a reference to the buffer is sent (share), or has come back from the driver (unshare).
 * The caller must hold a reference during the call. Sends are counted: the buffer is mapped for the
 * device to read until the last has come back.
 * @return 0; -EINVAL: the buffer is in the pool, or is TX; -EAGAIN, -ENOMEM, ...: it could not be
 *   mapped
 */
int tenant_buffer_share(struct moat_tenant *t, struct tenant_lcore *lc,
	const struct tenant_run *buffer);
void tenant_buffer_unshare(struct moat_tenant *t, struct tenant_lcore *lc,
	const struct tenant_run *buffer);

/* ------------------------------------------------------------------------------- begin and end */

/* Allocate the states of all pages, unless they are there already. @return 0, -ENOMEM */
int tenant_buffers_create(struct moat_tenant *t);
void tenant_buffers_destroy(struct moat_tenant *t);
/* Map all buffers in state TAKEN for the device to write. The tenant is locked, and no lcore except
 * the caller's has entered. @return 0, or the unit's error: some may be mapped */
int tenant_buffers_give(struct moat_tenant *t, struct tenant_lcore *lc);
/* At the tenant's end: unmap buffers that are still mapped, because an unmap failed before. */
int tenant_buffers_unmap(struct moat_tenant *t, struct tenant_lcore *lc);

#endif /* MOAT_TENANT_BUFFER_H */
