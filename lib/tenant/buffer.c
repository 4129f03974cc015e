/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The transitions of a buffer's life. See buffer.h. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "mode.h"
#include "pool_impl.h"

/* --------------------------------------------------------------------------- pages of one state */

static inline void pages_note(struct moat_tenant *t, uint32_t page, uint32_t n, uint64_t ticket)
{
	for (uint32_t i = 0; i < n; i++)
		t->ticket[page + i] = ticket;
}

static inline uint8_t *page_va(const struct moat_tenant *t, uint32_t page)
{
	return t->va + ((uint64_t)page << MOAT_PAGE_SHIFT);
}

/* Clear the entries of these pages. The gathering batch has their invalidation. */
static int pages_unmap(struct moat_tenant *t, struct tenant_lcore *lc, uint32_t page, uint32_t n,
	enum tenant_state to)
{
	uint64_t iova = t->iova + ((uint64_t)page << MOAT_PAGE_SHIFT);
	uint64_t len = (uint64_t)n << MOAT_PAGE_SHIFT;
	int rc;

	while (unlikely(
		(rc = to == TENANT_EARLY ? moat_lane_unmap_early(lc->lane, iova, len)
					 : moat_lane_unmap(lc->lane, iova, len)) == -EAGAIN)) {
		/* Every batch of the lane is in flight: wait for completions, as long as
		 * moat_lane_drain() does. If that fails, a received packet (APP, EARLY) is lost.
		 * Any other buffer keeps its state, and is tried again. */
		moat_counter_add(&lc->waits, 1);
		rc = to == TENANT_APP || to == TENANT_EARLY ? moat_lane_drain(lc->lane)
							    : tenant_drain_once(t, lc);
		if (rc != 0)
			return rc;
	}
	return rc;
}

/* Wait for the last unmap of these pages, before they are mapped again. EARLY pages need no wait: a
 * cached old translation is valid again. But a unit that keeps the tables still has the old map
 * until the lane that unmapped it flushes (moat_lane_map() flushes the caller's). */
static int pages_await(struct moat_tenant *t, struct tenant_lcore *lc, uint32_t page, uint32_t n,
	enum tenant_state state)
{
	if (likely(state == TENANT_EARLY && !t->whole_maps))
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t ticket = t->ticket[page + i];
		int rc;

		if (state == TENANT_EARLY && ticket >> TENANT_TICKET_BITS == lc->slot)
			continue;
		rc = tenant_ticket_wait(t, lc, ticket);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int pages_map(struct moat_tenant *t, struct tenant_lcore *lc, uint32_t page, uint32_t n,
	enum tenant_state to)
{
	enum moat_prot prot = to == TENANT_RX ? t->mode->rx_prot : t->mode->tx_prot;
	uint64_t len = (uint64_t)n << MOAT_PAGE_SHIFT;
	int rc;

	while (unlikely((rc = tenant_map(t, lc->lane, page_va(t, page), len, prot)) == -EAGAIN)) {
		moat_counter_add(&lc->waits, 1);
		rc = moat_lane_drain(lc->lane);
		if (rc != 0)
			return rc;
	}
	return rc;
}

/* ---------------------------------------------------------------------- transitions of an owner */

int tenant_run_unmap(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run,
	enum tenant_state to)
{
	uint32_t page = run->page, left = run->n, n;
	int rc = 0;

	TENANT_ASSERT(to == TENANT_APP || to == TENANT_TICKET || to == TENANT_EARLY ||
		to == TENANT_QUARANTINED);
	for (; left != 0 && rc == 0; page += n, left -= n) {
		enum tenant_state state = t->state[page];

		n = tenant_run_alike(t, page, left);
		if (unlikely(state != TENANT_RX && state != TENANT_TX))
			continue;
		rc = pages_unmap(t, lc, page, n, to);
		if (unlikely(rc != 0))
			break;
		if (to == TENANT_TICKET || to == TENANT_EARLY)
			pages_note(t, page, n, tenant_ticket(lc, moat_lane_next_ticket(lc->lane)));
		if (to == TENANT_EARLY)
			moat_lane_expose(lc->lane, n, lc->early_since);
		tenant_pages_set(t, page, n, to);
	}
	run->n = 0;
	return rc;
}

int tenant_run_map(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run,
	enum tenant_state to)
{
	uint32_t page = run->page, left = run->n, n;
	int rc = 0;

	TENANT_ASSERT(to == TENANT_RX || to == TENANT_TX);
	for (; left != 0 && rc == 0; page += n, left -= n) {
		enum tenant_state state = t->state[page];

		n = tenant_run_alike(t, page, left);
		if (unlikely(state == to))
			continue;
		if (unlikely(state != TENANT_APP && state != TENANT_TAKEN)) {
			if (state == TENANT_TICKET || state == TENANT_EARLY)
				rc = pages_await(t, lc, page, n, state);
			else if (state == TENANT_RX)
				rc = -EBUSY;
			else if (state != TENANT_FREE || to != TENANT_RX)
				rc = -EINVAL;
		}
		if (likely(rc == 0))
			rc = pages_map(t, lc, page, n, to);
		if (likely(rc == 0))
			tenant_pages_set(t, page, n, to);
	}
	run->n = 0;
	return rc;
}

void tenant_burst_ticket(struct moat_tenant *t, struct rte_mbuf *const pkts[], uint16_t n,
	uint64_t ticket)
{
	for (uint16_t i = 0; i < n; i++) {
		for (const struct rte_mbuf *m = pkts[i]; m != NULL; m = m->next) {
			uint32_t page = tenant_page(t, m->buf_addr);

			if (!tenant_owns(t, m->buf_addr) || t->state[page] != TENANT_APP)
				continue;
			pages_note(t, page, tenant_buffer_pages(m), ticket);
			tenant_pages_set(t, page, tenant_buffer_pages(m), TENANT_TICKET);
		}
	}
}

/* ---------------------------------------------------------------------- buffers that are shared */

struct moat_pool *tenant_buffer_pool(const struct moat_tenant *t, const void *va, uint32_t *number)
{
	for (unsigned int i = 0; i < t->nr_pools; i++) {
		struct moat_pool *pool = t->pools[i];
		uint64_t off = (uint64_t)((const uint8_t *)va - pool->va);

		if (off >= (uint64_t)pool->n * pool->stride)
			continue;
		*number = (uint32_t)(off / pool->stride);
		return pool;
	}
	return NULL;
}

bool tenant_buffer_find(const struct moat_tenant *t, const struct rte_mbuf *m,
	struct tenant_run *buffer)
{
	uint64_t at = (uint64_t)((const uint8_t *)m->buf_addr - t->va), in;
	const struct moat_pool *pool;
	uint32_t number;

	if (!tenant_owns(t, m->buf_addr) || rte_mbuf_iova_get(m) != t->iova + at)
		return false;
	pool = tenant_buffer_pool(t, m->buf_addr, &number);
	if (pool == NULL)
		return false;
	*buffer = (struct tenant_run){ tenant_buffer_page(pool, number), pool->pages, 0 };
	in = at - ((uint64_t)buffer->page << MOAT_PAGE_SHIFT);
	return in + m->data_off + m->data_len <= pool->stride;
}

/* Set the buffer's state to BUSY, from any other. @return the state that it had */
static enum tenant_state buffer_lock(struct moat_tenant *t, struct tenant_lcore *lc,
	const struct tenant_run *buffer)
{
	uint8_t *state = &t->state[buffer->page];

	for (;;) {
		uint8_t now = __atomic_load_n(state, __ATOMIC_RELAXED);

		/* B1: acquire, pairs with B2: this thread sees the last holder's changes of the
		 * buffer's entries, ticket and sends. */
		if (now != TENANT_BUSY &&
			__atomic_compare_exchange_n(state, &now, TENANT_BUSY, false,
				__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return now;
		/* The holder may wait for a ticket of this thread's lane. */
		t->mode->flush(t, lc);
		moat_lane_poll(lc->lane);
		tenant_wait_turn();
	}
}

static void buffer_unlock(struct moat_tenant *t, const struct tenant_run *buffer,
	enum tenant_state to)
{
	if (buffer->n > 1)
		tenant_pages_set(t, buffer->page + 1, buffer->n - 1, to);
	/* B2: release, pairs with B1, and, through the buffer's reference count, with B3. */
	__atomic_store_n(&t->state[buffer->page], (uint8_t)to, __ATOMIC_RELEASE);
}

/* Map the buffer for a send, or count one more send. @return the buffer's new state */
static enum tenant_state buffer_share_from(struct moat_tenant *t, struct tenant_lcore *lc,
	const struct tenant_run *b, enum tenant_state state, int *rc)
{
	*rc = 0;
	switch (state) {
	case TENANT_SHARED:
		t->sends[b->page]++;
		return TENANT_SHARED;
	case TENANT_RX:
		*rc = pages_unmap(t, lc, b->page, b->n, TENANT_QUARANTINED);
		if (*rc != 0)
			return TENANT_RX;
		pages_note(t, b->page, b->n, tenant_ticket(lc, tenant_gathering(lc->lane)));
		moat_counter_add(&lc->waits, 1);
		*rc = moat_lane_drain(lc->lane);
		state = TENANT_TICKET;
		break;
	case TENANT_TICKET:
	case TENANT_EARLY:
		*rc = pages_await(t, lc, b->page, b->n, state);
		break;
	case TENANT_APP:
	case TENANT_TAKEN:
		break;
	default:
		/* The pool owns it, or it was sent by an mbuf that is not one of its references. */
		*rc = -EINVAL;
	}
	if (*rc == 0)
		*rc = pages_map(t, lc, b->page, b->n, TENANT_TX);
	if (*rc != 0)
		return state;
	t->sends[b->page] = 1;
	return TENANT_SHARED;
}

int tenant_buffer_share(struct moat_tenant *t, struct tenant_lcore *lc,
	const struct tenant_run *buffer)
{
	enum tenant_state state = buffer_lock(t, lc, buffer);
	int rc;

	state = buffer_share_from(t, lc, buffer, state, &rc);
	buffer_unlock(t, buffer, state);
	return rc;
}

void tenant_buffer_unshare(struct moat_tenant *t, struct tenant_lcore *lc,
	const struct tenant_run *buffer)
{
	enum tenant_state state = buffer_lock(t, lc, buffer);

	TENANT_ASSERT(state == TENANT_SHARED && t->sends[buffer->page] != 0);
	if (--t->sends[buffer->page] == 0) {
		if (likely(pages_unmap(t, lc, buffer->page, buffer->n, TENANT_TICKET) == 0)) {
			pages_note(t, buffer->page, buffer->n,
				tenant_ticket(lc, tenant_gathering(lc->lane)));
			state = TENANT_TICKET;
		} else {
			state = TENANT_TX; /* the put tries again */
		}
	}
	buffer_unlock(t, buffer, state);
}

/* ------------------------------------------------------------------------------- begin and end */

int tenant_buffers_create(struct moat_tenant *t)
{
	uint64_t n = t->len >> MOAT_PAGE_SHIFT;

	if (t->state != NULL)
		return 0;
	t->whole_maps = t->conf.unit->caps.cut == MOAT_CUT_MAPS;
	t->state = calloc(n, sizeof(*t->state));
	t->ticket = calloc(n, sizeof(*t->ticket));
	t->sends = calloc(n, sizeof(*t->sends));
	t->shinfo = calloc(n, sizeof(*t->shinfo));
	if (t->state != NULL && t->ticket != NULL && t->sends != NULL && t->shinfo != NULL)
		return 0;
	tenant_buffers_destroy(t);
	return -ENOMEM;
}

void tenant_buffers_destroy(struct moat_tenant *t)
{
	free(t->state);
	free(t->ticket);
	free(t->sends);
	free(t->shinfo);
	t->state = NULL;
	t->ticket = NULL;
	t->sends = NULL;
	t->shinfo = NULL;
}

int tenant_buffers_give(struct moat_tenant *t, struct tenant_lcore *lc)
{
	int rc = 0;

	/* Map buffer by buffer, because each may be unmapped alone. In the modes that do not unmap,
	 * none is TAKEN. */
	for (unsigned int i = 0; i < t->nr_pools; i++) {
		const struct moat_pool *pool = t->pools[i];

		for (uint32_t k = 0; k < pool->n && rc == 0; k++) {
			struct tenant_run run = { tenant_buffer_page(pool, k), pool->pages, 0 };

			if (t->state[run.page] == TENANT_TAKEN)
				rc = tenant_run_map(t, lc, &run, TENANT_RX);
		}
	}
	return rc;
}

int tenant_buffers_unmap(struct moat_tenant *t, struct tenant_lcore *lc)
{
	uint32_t n = (uint32_t)(t->len >> MOAT_PAGE_SHIFT), step;
	int rc = 0;

	for (uint32_t i = 0; t->state != NULL && i < n && rc == 0; i += step) {
		struct tenant_run run = { .page = i };

		step = run.n = tenant_run_alike(t, i, n - i);
		if (t->mode->protects)
			rc = tenant_run_unmap(t, lc, &run, TENANT_APP);
	}
	return rc;
}
