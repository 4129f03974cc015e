/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_STOCK_H
#define MOAT_TENANT_STOCK_H

/*
 * One lcore's ready buffers: a bit for each buffer of the pool. Buffers come back in whatever order
 * the traffic made of them, and go out in the pool's: that keeps neighbours together for good,
 * which is what makes a burst one run and its invalidation one descriptor. A cursor goes on when
 * its word is used up, so that a buffer rests until its neighbours have come back, too; where 64 of
 * them have, they are the next to go out, because their headers are the ones that are still in the
 * processor's cache.
 *
 * The stock is its lcore's, but a bit belongs to the thread that clears it: another lcore that
 * starves takes whole words. So no buffer is out of reach because of where it was freed.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>

struct tenant_stock {
	/* S1: set with release, cleared with acquire: the getter of a buffer sees its state */
	uint64_t *bits;
	uint32_t words;
	uint32_t cursor; /* word; the lcore's own */
	uint64_t ready;  /* buffers added less buffers taken by the lcore itself ... */
	uint64_t stolen; /* ... and by others; both wrap */
};

/* Ready buffers, about. Any thread; the lcore's own count is never too low by its own doing. */
static inline uint32_t tenant_stock_ready(const struct tenant_stock *s)
{
	int64_t n = (int64_t)(__atomic_load_n(&s->ready, __ATOMIC_RELAXED) -
		__atomic_load_n(&s->stolen, __ATOMIC_RELAXED));

	return n > 0 ? (uint32_t)n : 0;
}

/* Exactly, for reports: what other threads do meanwhile is in or out. */
static inline uint32_t tenant_stock_count(const struct tenant_stock *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->words; i++)
		n += (uint32_t)__builtin_popcountll(__atomic_load_n(&s->bits[i], __ATOMIC_RELAXED));
	return n;
}

static inline uint64_t tenant_stock_mask(uint32_t at, uint32_t n)
{
	return (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << at;
}

/* The lcore's own. */
static inline void tenant_stock_add(struct tenant_stock *s, uint32_t first, uint32_t n)
{
	__atomic_store_n(&s->ready, s->ready + n, __ATOMIC_RELAXED);
	while (n != 0) {
		uint32_t at = first % 64, k = RTE_MIN(n, 64 - at);
		uint64_t mask = tenant_stock_mask(at, k), *word = &s->bits[first / 64];
		uint64_t now = __atomic_load_n(word, __ATOMIC_RELAXED);

		/* Others clear bits, and only the lcore sets some: an empty word stays empty, and
		 * is filled without a locked instruction. S1, both. A loop, because gcc 12.2 makes
		 * of __atomic_fetch_or() here one that, tried again, sets the bits of its first
		 * try, too: buffers that another lcore has taken meanwhile. */
		if (likely(now == 0))
			__atomic_store_n(word, mask, __ATOMIC_RELEASE);
		else
			while (unlikely(!__atomic_compare_exchange_n(word, &now, now | mask, false,
				__ATOMIC_RELEASE, __ATOMIC_RELAXED)))
				;
		if ((now | mask) == UINT64_MAX)
			s->cursor = first / 64;
		first += k;
		n -= k;
	}
}

/* The lcore's own: a run of ready buffers, at most `max` > 0 and within a word.
 * @return its first buffer; *n: how many, 0: there is none */
static inline uint32_t tenant_stock_take(struct tenant_stock *s, uint32_t max, uint32_t *n)
{
	uint32_t empty = 0;

	while (empty <= s->words) {
		uint64_t *word = &s->bits[s->cursor];
		uint64_t now = __atomic_load_n(word, __ATOMIC_RELAXED), rest;
		uint32_t at;

		if (now == 0) {
			s->cursor = s->cursor + 1 == s->words ? 0 : s->cursor + 1;
			empty++;
			continue;
		}
		at = (uint32_t)__builtin_ctzll(now);
		rest = ~(now >> at);
		*n = RTE_MIN(rest == 0 ? 64 : (uint32_t)__builtin_ctzll(rest), max);
		if (likely(__atomic_compare_exchange_n(word, &now, now & ~tenant_stock_mask(at, *n),
			    false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))) {
			__atomic_store_n(&s->ready, s->ready - *n, __ATOMIC_RELAXED);
			return s->cursor * 64 + at;
		}
	}
	*n = 0;
	return 0;
}

/* Any thread: take all that is ready in a word. @return it as bits */
static inline uint64_t tenant_stock_steal(struct tenant_stock *s, uint32_t word)
{
	uint64_t bits = __atomic_load_n(&s->bits[word], __ATOMIC_RELAXED);

	if (bits == 0)
		return 0;
	bits = __atomic_exchange_n(&s->bits[word], 0, __ATOMIC_ACQUIRE);
	__atomic_fetch_add(&s->stolen, (uint64_t)__builtin_popcountll(bits), __ATOMIC_RELAXED);
	return bits;
}

/* Only the stock's lcore: add `bits`, taken from the same word of another stock. */
static inline void tenant_stock_join(struct tenant_stock *s, uint32_t word, uint64_t bits)
{
	__atomic_store_n(&s->ready, s->ready + (uint64_t)__builtin_popcountll(bits),
		__ATOMIC_RELAXED);
	__atomic_fetch_or(&s->bits[word], bits, __ATOMIC_RELEASE);
}

#endif /* MOAT_TENANT_STOCK_H */
