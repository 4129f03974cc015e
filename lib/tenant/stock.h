/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_STOCK_H
#define MOAT_TENANT_STOCK_H

/*
 * One lcore's ready buffers: a bit for each buffer of the pool. Buffers come back in whatever order the
 * traffic made of them, and go out in the pool's: that keeps neighbours together for good, which is what
 * makes a burst one run and its invalidation one descriptor. A cursor goes on when its word is used up, so
 * that a buffer rests until its neighbours have come back, too; where 64 of them have, they are the next to
 * go out, because their headers are the ones that are still in the processor's cache.
 */

#include <string.h>

#include "moat_pool.h"

struct tenant_stock {
	uint64_t *bits;
	uint32_t words;
	uint32_t cursor; /* word */
	uint32_t ready;  /* bits set; read by others as it is */
};

static inline void tenant_stock_add(struct tenant_stock *s, uint32_t first, uint32_t n)
{
	s->ready += n;
	while (n != 0) {
		uint32_t at = first % 64, k = RTE_MIN(n, 64 - at);

		s->bits[first / 64] |= (k == 64 ? UINT64_MAX : (UINT64_C(1) << k) - 1) << at;
		if (s->bits[first / 64] == UINT64_MAX)
			s->cursor = first / 64;
		first += k;
		n -= k;
	}
}

/* A run of ready buffers, at most `max` > 0 and within a word. There must be one.
 * @return its first buffer; *n: how many */
static inline uint32_t tenant_stock_take(struct tenant_stock *s, uint32_t max, uint32_t *n)
{
	uint64_t word, rest;
	uint32_t at;

	while ((word = s->bits[s->cursor]) == 0)
		s->cursor = s->cursor + 1 == s->words ? 0 : s->cursor + 1;
	at = (uint32_t)__builtin_ctzll(word);
	rest = ~(word >> at);
	*n = RTE_MIN(rest == 0 ? 64 : (uint32_t)__builtin_ctzll(rest), max);
	s->bits[s->cursor] = word & ~((*n == 64 ? UINT64_MAX : (UINT64_C(1) << *n) - 1) << at);
	s->ready -= *n;
	return s->cursor * 64 + at;
}

/* One lcore's buffers: ready ones, and quarantined runs in the order of their tickets. */
struct moat_pool_lcore {
	struct tenant_stock stock;
	uint32_t head, tail; /* free-running; a ring of quarantine_mask + 1 */
	uint32_t quarantine_mask;
	uint32_t quarantined; /* buffers; read by others as it is */
	struct moat_quarantined *quarantine;
} __rte_cache_aligned;

#endif /* MOAT_TENANT_STOCK_H */
