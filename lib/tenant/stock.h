/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_STOCK_H
#define MOAT_TENANT_STOCK_H

/*
 * One lcore's ready buffers: a bit for each buffer of the pool. Buffers come back in any order, and
 * are handed out in the pool's order. This keeps neighbours together, so that a burst is one run
 * and its invalidation one descriptor. The cursor stays at a word until the word is empty, so most
 * buffers that come back wait until their neighbours have come back, too. But when a word becomes
 * full, the cursor moves to it: its 64 buffers go out next, because their headers are still in the
 * processor's cache.
 *
 * Only its lcore sets bits of the stock. Any thread may clear a bit, and then has the buffer: an
 * lcore that has too few buffers takes whole words of another's stock. So a buffer can be used by
 * any lcore, whichever freed it.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>

struct tenant_stock {
	/* S1: bits are set with release and cleared with acquire, so that the thread that clears
	 * a buffer's bit sees the buffer's state. */
	uint64_t *bits;
	uint32_t words;  /* of bits[] */
	uint32_t cursor; /* index of a word; only the lcore uses it */
	uint64_t ready;  /* buffers added minus buffers taken by the lcore; wraps */
	uint64_t stolen; /* buffers taken by other threads; wraps */
};

/* About how many buffers are ready. Any thread. */
static inline uint32_t tenant_stock_ready(const struct tenant_stock *s)
{
	int64_t n = (int64_t)(__atomic_load_n(&s->ready, __ATOMIC_RELAXED) -
		__atomic_load_n(&s->stolen, __ATOMIC_RELAXED));

	return n > 0 ? (uint32_t)n : 0;
}

/* How many buffers are ready, for reports. Any thread. Counts the bits, so it is exact except for
 * changes during the call. */
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

/* Only the stock's lcore: add `n` buffers from `first` on. */
static inline void tenant_stock_add(struct tenant_stock *s, uint32_t first, uint32_t n)
{
	__atomic_store_n(&s->ready, s->ready + n, __ATOMIC_RELAXED);
	while (n != 0) {
		uint32_t at = first % 64, k = RTE_MIN(n, 64 - at);
		uint64_t mask = tenant_stock_mask(at, k), *word = &s->bits[first / 64];
		uint64_t now = __atomic_load_n(word, __ATOMIC_RELAXED);

		/* Only the lcore sets bits, so an empty word stays empty, and a plain store fills
		 * it. Both stores are S1. The loop is written out because gcc 12.2 miscompiles
		 * __atomic_fetch_or() here: its retry also sets the bits that the first try had
		 * read, which are buffers that another lcore may have taken meanwhile. */
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

/* Only the stock's lcore: take a run of ready buffers, at most `max` > 0, within one word.
 * @return the run's first buffer; `n` is set to its length, 0: no buffer is ready */
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

/* Any thread: take all ready buffers of a word. @return their bits */
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
