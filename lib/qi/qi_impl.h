/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_QI_IMPL_H
#define MOAT_QI_IMPL_H

/* The queue's state, shared by moat_qi.c and qi_recover.c. The head of moat_qi.c explains it. */

#include <emmintrin.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>

#include "moat_counter.h"
#include "moat_qi.h"

#if defined(__SANITIZE_THREAD__)
#define QI_TSAN 1
#endif

/* A position counts descriptors since the queue was created; its ring index is its low bits. */

/* A record is the state of the region that begins at a position: lap << 20 | len << 4 | state */
enum qi_state {
	QI_NONE = 0,
	QI_RESERVED = 1,  /* its owner is filling it */
	QI_PUBLISHED = 2, /* filled: the doorbell may be rung for it */
	QI_ABANDONED = 3, /* stepped over, because its owner was too late */
	QI_PAD = 4,       /* ORed in: holds no descriptors of a batch */
};
#define QI_STATE(rec)  ((rec)&3)
#define QI_IS_PAD(rec) (((rec)&QI_PAD) != 0)
#define QI_LEN(rec)    ((uint32_t)((rec) >> 4) & 0xffff)
#define QI_LAP(rec)    ((rec) >> 20)

/* The doorbell's word: position << 1 | busy. */
#define QI_BUSY UINT64_C(1)

struct moat_qi {
	/* Never or seldom written, so that every lcore's cache keeps these lines. */
	struct moat_qi_desc *ring;
	_Atomic uint64_t *record; /* one for each descriptor of the ring */
	_Atomic uint32_t *status;
	uint64_t status_hpa;
	uint32_t mask; /* descriptors in the ring - 1 */
	uint8_t shift; /* log2 of descriptors in the ring */
	uint8_t wide;  /* log2 of the 16-byte slots that a descriptor takes: 0 or 1 */
	_Atomic bool dead;
	_Atomic uint32_t quarantined; /* abandoned regions whose owner has not resumed */
	_Atomic uint32_t failures;    /* batches that have failed since the start */
	void (*doorbell)(void *ctx, uint64_t tail);
	void *ctx;
	uint64_t number; /* unique among all queues of this process */
	int (*poll)(void *ctx);
	uint64_t (*head)(void *ctx);
	_Atomic uint64_t *failed;    /* by index of a batch's wait: the seq that failed last */
	_Atomic uint8_t *quarantine; /* by index: number of owners that may still write there */

	_Atomic uint64_t reserved __rte_cache_aligned; /* all positions before it are in regions */

	/* The doorbell's word, and counters, which only the thread that has set QI_BUSY writes. */
	_Atomic uint64_t bell __rte_cache_aligned;
	uint64_t descriptors, waits, doorbells;

	_Atomic uint64_t completed __rte_cache_aligned; /* the unit has completed all before it */

	/* Off the usual path. */
	_Atomic uint64_t stall_pos
		__rte_cache_aligned; /* region seen unpublished at the doorbell */
	_Atomic uint64_t stall_tsc;  /* TSC when that was first seen */
	_Atomic uint64_t full, helped;
};

/* The record of the region that begins at `pos`; 0: none begins there yet. The acquire pairs with
 * the release that published: a thread that sees PUBLISHED sees the descriptors. */
static inline uint64_t qi_record(struct moat_qi *qi, uint64_t pos)
{
	uint64_t rec = atomic_load_explicit(&qi->record[pos & qi->mask], memory_order_acquire);

	return QI_LAP(rec) == pos >> qi->shift ? rec : 0;
}

#ifdef __AVX__
#define QI_STORE16 "vmovdqa"
#else
#define QI_STORE16 "movdqa"
#endif

/* Bytes of the ring that a descriptor takes. */
static inline uint32_t qi_desc_size(const struct moat_qi *qi)
{
	return (uint32_t)sizeof(struct moat_qi_desc) << qi->wide;
}

static inline struct moat_qi_desc *qi_slot(struct moat_qi *qi, uint64_t pos)
{
	return &qi->ring[(pos & qi->mask) << qi->wide];
}

/*
 * Store one descriptor in the ring with one 16-byte store, so that a unit that fetches the slot
 * meanwhile sees the old or the new one, never a mixture. (Aligned 16-byte stores are atomic on
 * every processor with AVX, as Intel and AMD document.) Of a wide descriptor this is the lower
 * half; the upper half is always zero, so the unit sees no mixture either.
 */
static inline void qi_store(struct moat_qi *qi, uint64_t pos, struct moat_qi_desc desc)
{
	struct moat_qi_desc *slot = qi_slot(qi, pos);

#ifdef QI_TSAN
	/* ThreadSanitizer does not see vector stores. In its builds the halves of two descriptors
	 * may mix. */
	__atomic_store_n(&slot->lo, desc.lo, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->hi, desc.hi, __ATOMIC_RELAXED);
#else
	__m128i v = _mm_set_epi64x((long long)desc.hi, (long long)desc.lo);

	/* in assembly, so that the compiler neither splits the store nor merges two stores */
	__asm__ volatile(QI_STORE16 " %1, %0" : "=m"(*slot) : "x"(v));
#endif
}

/* Move `completed` to what the status word reports. @return `completed` */
static inline uint64_t qi_refresh(struct moat_qi *qi)
{
	/* acquire: pairs with the release below, so that this thread, too, sees all that the unit
	 * did before it completed this position */
	uint64_t done = atomic_load_explicit(&qi->completed, memory_order_acquire);
	/* acquire: pairs with the unit's status write; the ring's slots are reused after it */
	uint32_t raw = atomic_load_explicit(qi->status, memory_order_acquire);
	/* `raw` was loaded after `done`, so it is not older. If the unit completes 2^31 descriptors
	 * or more between the two loads, the result is too small, which is safe. */
	int32_t ahead = (int32_t)(raw - (uint32_t)done);
	uint64_t now = done + (uint64_t)ahead;

	if (ahead <= 0)
		return done;
	/* `completed` only grows. release: pairs with the acquire above in threads that load it. */
	while (done < now &&
		!atomic_compare_exchange_weak_explicit(&qi->completed, &done, now,
			memory_order_acq_rel, memory_order_acquire))
		;
	return RTE_MAX(done, now);
}

/* Read a slot for a message. The loads are not ordered, and may get halves of two descriptors. */
static inline struct moat_qi_desc qi_load(struct moat_qi *qi, uint64_t pos)
{
	struct moat_qi_desc *slot = qi_slot(qi, pos);

	return (struct moat_qi_desc){ __atomic_load_n(&slot->lo, __ATOMIC_RELAXED),
		__atomic_load_n(&slot->hi, __ATOMIC_RELAXED) };
}

/**
 * Encode a gather: page-selective descriptors for each run, made from the template `page` (one
 * page, IOVA 0), or the single descriptor `whole`. @return as moat_gather_encode()
 */
unsigned int qi_gather_encode(const struct moat_gather *g, const struct moat_qi_caps *caps,
	struct moat_qi_desc page, struct moat_qi_desc whole, struct moat_qi_desc desc[],
	unsigned int max);

#endif /* MOAT_QI_IMPL_H */
