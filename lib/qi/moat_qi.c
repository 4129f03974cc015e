/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#include "qi_impl.h"

/*
 * How many lcores submit without a lock.
 *
 * Everything is a *position*, a 64-bit count of descriptors whose low bits are the ring index:
 *
 *     completed <= bell <= reserved <= completed + ring size - 1
 *
 * 1. Reserve. A region for n descriptors and their wait begins at `reserved`. Its owner first
 *    writes the region's record (one compare-and-swap, at the ring index where it begins), then
 *    moves `reserved` behind it; whoever finds a record at `reserved` moves it for him. So a region
 *    has a known length from the moment it exists. It never covers descriptors that the unit may
 *    still have to read: those before `completed` are all it may reuse.
 * 2. Fill. The owner stores his descriptors, all but the last: that is the wait's.
 * 3. Ring. `bell` is a position and a busy bit; who sets the bit is the ringer. The ringer walks
 *    the regions published from `bell` on, stores each one's wait descriptor, which writes the
 *    region's end to the status word, tells the unit its new tail and moves `bell` there. If `bell`
 *    stands at his region, its owner rings at once; otherwise he publishes the region (RESERVED ->
 *    PUBLISHED in its record) and leaves it to whoever rings next. No wake-up is lost: he publishes
 *    and then looks at `bell`, the ringer gives `bell` back and then looks at the record behind it;
 *    both are sequentially consistent, so at least one sees the other. (And whoever polls rings
 *    too when it finds something to ring.)
 * 4. Complete. The status word is the low half of the last position that the unit is through with;
 *    `completed` is its monotonic extension to 64 bits, brought up to date by who looks for room: once
 *    a lap, so that those who only ask for completion read the unit's word and no other that anybody
 *    writes. A region's sequence number is its end.
 *
 * Nobody ever waits for a stalled owner. When `bell` has stood at a region that is not published
 * for STALL_CYCLES, any lcore that polls becomes the ringer and *steps over*: RESERVED -> ABANDONED
 * in the record, descriptors without effect into the region, on with the next. The owner, when he
 * comes back, fails to publish or to ring, and submits again elsewhere. What he still stores
 * meanwhile does no harm:
 *  - He stores only descriptors that someone asked for: an invalidation too many costs a walk,
 *    never correctness. Each store is whole (qi_store()), so the unit reads no mixture.
 *  - He never stores a wait. Only the ringer does, and only the end of the region he is passing, in
 *    order of positions. So the status word is written with growing positions, and never says that
 *    anything is done that is not in front of it in the queue.
 *  - He stores only into his region. Its indices are *quarantined* until he is back: on later laps
 *    no batch is put there; the region is padded around them (reserve_pad()). So he cannot
 *    overwrite a descriptor that somebody counts on. The marks are set before ABANDONED can be
 *    seen, are dropped by him alone after his last store, and a lcore that reserves looks at
 *    them after it has seen the earlier lap completed, which the stepping-over precedes.
 * A ringer who was stepping over or padding and stalls is the same case, but for one step: between
 * taking `bell` and giving it back there is no other way than to wait for him, because a tail
 * written late, behind a newer one, would send the unit around the whole ring. These are a few
 * stores; all others go on reserving, filling and polling meanwhile.
 */

/* About 20 us: some hundred times what filling takes, a small part of a scheduler's time slice. */
#ifndef STALL_CYCLES
#define STALL_CYCLES 50000
#endif

/* Of a thread's polls that find nothing, every so many'th looks for what others have left. */
#define HELP_EVERY 8

/* Where a test makes an owner or a ringer stall. */
#ifndef MOAT_QI_HOOK
#define MOAT_QI_HOOK(point, qi, pos) ((void)0)
#endif

static inline uint64_t make_record(const struct moat_qi *qi, uint64_t pos, uint32_t len,
	uint32_t state)
{
	return pos >> qi->shift << 20 | (uint64_t)len << 4 | state;
}

/* A hint: the line is about to be written. The function is inline, but the compiler's idea of whether the
 * processor has the instruction is not ours: every one with VT-d has. */
static inline void prefetch_to_write(const volatile void *line)
{
	__asm__ volatile("prefetchw %0" : : "m"(*(const volatile char *)line));
}

/* --------------------------------------------------------------------------------- ringing */

static inline void count(_Atomic uint64_t *counter, uint64_t n)
{
	/* Only the ringer writes it; atomic so that moat_qi_stats() reads it whole. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

static inline bool published(uint64_t rec)
{
	return QI_STATE(rec) == QI_PUBLISHED;
}

static inline bool take_bell(struct moat_qi *qi, uint64_t pos)
{
	uint64_t bell = pos << 1;

	/* acquire: the last ringer's stores; the count he kept */
	return atomic_compare_exchange_strong_explicit(&qi->bell, &bell, bell | QI_BUSY,
		memory_order_acquire, memory_order_relaxed);
}

/* Store the waits of all regions published from `pos` on, the first of which is `rec`. */
static inline uint64_t pass_regions(struct moat_qi *qi, uint64_t pos, uint64_t rec)
{
	uint64_t regions = 0, descriptors = 0;

	do {
		uint32_t len = QI_LEN(rec);

		pos += len;
		qi_store(qi, pos - 1, moat_qi_wait_status(qi->status_hpa, (uint32_t)pos, false));
		descriptors += QI_IS_PAD(rec) ? 0 : len - 1;
		regions++;
		rec = qi_record(qi, pos);
	} while (published(rec));
	count(&qi->descriptors, descriptors);
	count(&qi->waits, regions);
	return pos;
}

/* The caller has the bell at `pos`, and the region there, `rec`, is full. */
static void ring(struct moat_qi *qi, uint64_t pos, uint64_t rec)
{
	/* A ringer works for others while they publish, but not for ever: after some rounds it is
	 * left to the next who polls. */
	for (int rounds = 0; rounds < 8; rounds++) {
		pos = pass_regions(qi, pos, rec);
		MOAT_QI_HOOK(RINGING, qi, pos);
		/* All stores of descriptors happen before it: the owners' by their release and our
		 * acquire, ours by program order. The doorbell releases them to the unit. */
		qi->doorbell(qi->ctx, (pos & qi->mask) * qi_desc_size(qi));
		count(&qi->doorbells, 1);
		/* Sequentially consistent: gives the bell back, then looks behind it; see 3. */
		atomic_exchange(&qi->bell, pos << 1);
		rec = atomic_load(&qi->record[pos & qi->mask]);
		if (likely(QI_LAP(rec) != pos >> qi->shift || !published(rec)) ||
			!take_bell(qi, pos))
			return;
	}
	/* the last round has taken the bell again, with a region published behind it */
	atomic_store_explicit(&qi->bell, pos << 1, memory_order_release);
}

/* Ring for what is published at the bell, if anything is and nobody does. */
static void ring_published(struct moat_qi *qi)
{
	uint64_t bell = atomic_load(&qi->bell); /* sequentially consistent; see 3. */
	uint64_t rec;

	if (bell & QI_BUSY)
		return; /* he will look behind himself */
	rec = qi_record(qi, bell >> 1);
	if (published(rec) && take_bell(qi, bell >> 1))
		ring(qi, bell >> 1, rec);
}

/* ---------------------------------------------------------------------------- stepping over */

/* Mark or unmark the indices that the owner of a region may store to: all but the wait's. */
static void quarantine(struct moat_qi *qi, uint64_t pos, uint32_t len, int by)
{
	/* Counted, as a pad around quarantined indices may itself be abandoned. */
	if (by > 0)
		atomic_fetch_add_explicit(&qi->quarantined, 1, memory_order_relaxed);
	for (uint32_t i = 0; i < len - 1; i++)
		/* release, with the acquire in quarantined_at(): when the mark is gone, so is the
		 * owner's last store. Marks are set before ABANDONED is, which releases. */
		atomic_fetch_add_explicit(&qi->quarantine[(pos + i) & qi->mask], (uint8_t)by,
			memory_order_release);
	if (by < 0)
		atomic_fetch_sub_explicit(&qi->quarantined, 1, memory_order_release);
}

static inline bool quarantined_at(struct moat_qi *qi, uint64_t pos)
{
	return atomic_load_explicit(&qi->quarantine[pos & qi->mask], memory_order_acquire) != 0;
}

/* The caller has the bell at `pos`, whose region `rec` was not published. */
static void step_over(struct moat_qi *qi, uint64_t pos, uint64_t rec)
{
	uint64_t now = rec;
	uint32_t len = QI_LEN(rec);

	quarantine(qi, pos, len, 1);
	MOAT_QI_HOOK(STEPPING, qi, pos);
	/* release: the owner who sees ABANDONED sees the marks that he will drop. acquire: if he
	 * published after all, his descriptors. */
	if (!atomic_compare_exchange_strong_explicit(&qi->record[pos & qi->mask], &now,
		    (rec & ~UINT64_C(3)) | QI_ABANDONED, memory_order_acq_rel,
		    memory_order_acquire)) {
		quarantine(qi, pos, len, -1);
		ring(qi, pos, now);
		return;
	}
	atomic_fetch_add_explicit(&qi->helped, 1, memory_order_relaxed); /* counter */
	for (uint32_t i = 0; i < len - 1; i++)
		qi_store(qi, pos + i, moat_qi_no_op());
	ring(qi, pos, rec | QI_PAD);
}

/* Nothing moves as far as the caller can see: ring what is left, step over who has stalled. */
static void help(struct moat_qi *qi)
{
	uint64_t bell = atomic_load_explicit(&qi->bell, memory_order_acquire);
	uint64_t pos = bell >> 1, rec, now;

	if (bell & QI_BUSY)
		return;
	rec = qi_record(qi, pos);
	if (published(rec)) {
		ring_published(qi);
		return;
	}
	if (QI_STATE(rec) != QI_RESERVED)
		return; /* nothing there */
	/* A guess at how long it has stood: a wrong one steps over too early or too late, and both
	 * are harmless; so these two need no order. */
	now = rte_rdtsc();
	if (atomic_load_explicit(&qi->stall_pos, memory_order_relaxed) != pos) {
		atomic_store_explicit(&qi->stall_tsc, now, memory_order_relaxed);
		atomic_store_explicit(&qi->stall_pos, pos, memory_order_relaxed);
	} else if (now - atomic_load_explicit(&qi->stall_tsc, memory_order_relaxed) >
			STALL_CYCLES &&
		take_bell(qi, pos)) {
		step_over(qi, pos, rec);
	}
}

/* ------------------------------------------------------------------------------- reserving */

static int reserve_pad(struct moat_qi *qi, uint64_t pos, uint32_t len);

/* Room for `len` descriptors at `pos`? One is always left free: head == tail means empty. */
static inline bool has_room(struct moat_qi *qi, uint64_t pos, uint32_t len)
{
	/* acquire: with the unit's work, through qi_refresh(): it has read what is overwritten now */
	return pos + len <= atomic_load_explicit(&qi->completed, memory_order_acquire) + qi->mask ||
		pos + len <= qi_refresh(qi) + qi->mask;
}

/* 0 and the region's position; -EAGAIN. */
static inline int reserve(struct moat_qi *qi, uint32_t len, uint32_t state, bool pad, uint64_t *pos)
{
	for (;;) {
		/* acquire: with him who moved it, so that the record of `p` is this lap's or older
		 * only if nobody has it */
		uint64_t p = atomic_load_explicit(&qi->reserved, memory_order_acquire);
		_Atomic uint64_t *record = &qi->record[p & qi->mask];
		uint64_t old;

		prefetch_to_write(record);
		old = atomic_load_explicit(record, memory_order_acquire);
		if (unlikely(old != 0 && QI_LAP(old) >= p >> qi->shift)) {
			/* somebody's already; if `reserved` still says otherwise, move it for him */
			if (QI_LAP(old) == p >> qi->shift)
				atomic_compare_exchange_strong_explicit(&qi->reserved, &p,
					p + QI_LEN(old), memory_order_acq_rel,
					memory_order_relaxed);
			continue;
		}
		if (unlikely(!has_room(qi, p, len)))
			return -EAGAIN;
		/* acquire: whoever has left quarantine has made his last store. After has_room(). */
		if (unlikely(
			    !pad && atomic_load_explicit(&qi->quarantined, memory_order_acquire))) {
			int rc = reserve_pad(qi, p, len);

			if (rc < 0)
				return rc;
			if (rc > 0)
				continue;
		}
		/* Somebody else has been here; or his marks, which were being set when the pad was
		 * measured, reach its wait. None is set any more, now that there is room. */
		if (pad && (p != *pos || quarantined_at(qi, p + len - 1)))
			return 1;
		/* Mine. release: he who finds the record finds it whole; acquire: the owner of an
		 * earlier lap is through. A late comer fails: `old` is from before. */
		if (unlikely(!atomic_compare_exchange_strong_explicit(record, &old,
			    make_record(qi, p, len, state), memory_order_acq_rel,
			    memory_order_relaxed)))
			continue;
		*pos = p;
		MOAT_QI_HOOK(RESERVED, qi, p);
		/* release: he who reserves next sees the record. When it fails, it was moved for us. */
		atomic_compare_exchange_strong_explicit(&qi->reserved, &p, p + len,
			memory_order_acq_rel, memory_order_relaxed);
		return 0;
	}
}

/* The owner has filled his region. False: he was too late, and the region is not his any more. */
static inline bool publish(struct moat_qi *qi, uint64_t pos, uint32_t len, uint32_t state)
{
	uint64_t rec = make_record(qi, pos, len, state);

	/* The bell stands here: ring. Nobody can abandon the region without the bell, and nobody
	 * had it at this position before, or it would stand further on. */
	if (likely(take_bell(qi, pos))) {
		ring(qi, pos, rec);
		return true;
	}
	/* Sequentially consistent: published, then a look at the bell; see 3. */
	if (atomic_compare_exchange_strong(&qi->record[pos & qi->mask], &rec,
		    rec + (QI_PUBLISHED - QI_RESERVED))) {
		ring_published(qi);
		return true;
	}
	quarantine(qi, pos, len, -1);
	return false;
}

/*
 * Are there quarantined indices in the `len` from `pos` on? Then put a region without effect there:
 * up to the first of them, or over a run of them and the one behind, which takes the wait.
 * @return 0: none; 1: one has been put, look again; -EAGAIN: no room
 */
static int reserve_pad(struct moat_qi *qi, uint64_t pos, uint32_t len)
{
	uint32_t n = 0;
	int rc;

	while (n < len && !quarantined_at(qi, pos + n))
		n++;
	if (n == len)
		return 0;
	if (n == 0) {
		while (n < qi->mask && quarantined_at(qi, pos + n))
			n++;
		n++;
	}
	rc = reserve(qi, n, QI_RESERVED | QI_PAD, true, &pos);
	if (rc != 0)
		return rc;
	/* All of it, whoever's marks are there: an older owner's store or ours, either may stand. And
	 * they may be ours: who is about to step over this pad has marked it, but may find it
	 * published, and what an earlier lap has left must not be read again, its waits least. */
	for (uint32_t i = 0; i < n - 1; i++)
		qi_store(qi, pos + i, moat_qi_no_op());
	publish(qi, pos, n, QI_RESERVED | QI_PAD);
	return 1;
}

static inline void fill(struct moat_qi *qi, uint64_t pos, const struct moat_qi_desc desc[],
	unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		qi_store(qi, pos + i, desc[i]);
}

/* What this thread submitted last: where it ended, and whether others had come before it. */
static __thread struct {
	uint64_t queue; /* its number: an address may be another queue's by now */
	uint64_t end;
	bool crowded;
} mine;

bool moat_qi_crowded(void)
{
	return mine.crowded;
}

int64_t moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n)
{
	uint64_t pos;
	int rc;

	if (unlikely(n > MOAT_QI_BATCH_MAX))
		return moat_error(-E2BIG, "a batch of %u descriptors; split it (%u at most)", n,
			MOAT_QI_BATCH_MAX);
	/* Both will be written, and another lcore may have them: they come together, and at once for
	 * writing. */
	prefetch_to_write(&qi->reserved);
	prefetch_to_write(&qi->bell);
	for (;;) {
		/* relaxed: a flag; nothing hangs on it */
		if (unlikely(atomic_load_explicit(&qi->dead, memory_order_relaxed)))
			return moat_error(-EIO, "the unit's invalidation queue is dead");
		rc = reserve(qi, n + 1, QI_RESERVED, false, &pos);
		if (unlikely(rc != 0))
			break;
		fill(qi, pos, desc, n);
		MOAT_QI_HOOK(FILLED, qi, pos);
		if (likely(publish(qi, pos, n + 1, QI_RESERVED))) {
			mine.crowded = mine.queue == qi->number && mine.end != pos;
			mine.queue = qi->number;
			mine.end = pos + n + 1;
			return (int64_t)mine.end;
		}
	}
	atomic_fetch_add_explicit(&qi->full, 1, memory_order_relaxed); /* counter */
	help(qi);
	return rc;
}

/* --------------------------------------------------------------------------------- polling */

/* Do `completed`, which lags by a lap at most, or the status word alone say that `seq` is done? The low 32
 * bits order what lies less than half of 2^32 beyond `completed`; the rest is for qi_refresh(). */
static inline bool known_done(struct moat_qi *qi, uint64_t seq)
{
	/* acquire, both: what the caller reuses now, the unit was through with before; and the first,
	 * so that the status word is not older */
	uint64_t done = atomic_load_explicit(&qi->completed, memory_order_acquire);
	uint32_t raw = atomic_load_explicit(qi->status, memory_order_acquire);

	return seq <= done || (seq - done <= INT32_MAX && (int32_t)(raw - (uint32_t)seq) >= 0);
}

static __rte_noinline bool done_slow(struct moat_qi *qi, uint64_t seq)
{
	static __thread unsigned int polls;

	/* relaxed: a flag; nothing hangs on it */
	if (qi->poll != NULL && !atomic_load_explicit(&qi->dead, memory_order_relaxed) &&
		qi->poll(qi->ctx) != 0)
		atomic_store_explicit(&qi->dead, true, memory_order_relaxed);
	if (known_done(qi, seq))
		return true;
	/* `completed` and the doorbell are lines that others write: left alone most of the time. */
	if (polls++ % HELP_EVERY != 0)
		return false;
	if (qi_refresh(qi) >= seq)
		return true;
	help(qi);
	return false;
}

bool moat_qi_done(struct moat_qi *qi, int64_t seq)
{
	return likely(known_done(qi, (uint64_t)seq)) || done_slow(qi, (uint64_t)seq);
}

static int timed_out(struct moat_qi *qi, int64_t seq, uint64_t timeout_us)
{
	uint64_t done = qi_refresh(qi);
	uint32_t tail = (uint32_t)((atomic_load(&qi->bell) >> 1) & qi->mask);
	uint32_t head = qi->head != NULL
		? (uint32_t)(qi->head(qi->ctx) / qi_desc_size(qi)) & qi->mask
		: (uint32_t)(done & qi->mask);
	struct moat_qi_desc desc = qi_load(qi, head);
	char text[160];

	moat_qi_describe(&desc, text, sizeof(text));
	return moat_error(-ETIMEDOUT,
		"the unit has not completed batch %" PRId64 " in %" PRIu64
		" us (it is through up to "
		"%" PRIu64 "): head %" PRIu32 ", tail %" PRIu32 " of %" PRIu32
		", at the head: %s; %s",
		seq, timeout_us, done, head, tail, qi->mask + 1, text,
		head == tail ? "it has read all, so its status write is lost or late"
			     : "see whether the unit reports an invalidation queue error (FSTS)");
}

static void no_duties(void)
{
}

int moat_qi_wait(struct moat_qi *qi, int64_t seq, uint64_t timeout_us)
{
	return moat_qi_wait_turns(qi, seq, timeout_us, no_duties);
}

int moat_qi_wait_turns(struct moat_qi *qi, int64_t seq, uint64_t timeout_us, void (*turn)(void))
{
	uint64_t deadline;

	if (timeout_us == 0)
		timeout_us = 1000000;
	deadline = moat_now_us() + timeout_us;
	for (uint32_t polls = 0; !moat_qi_done(qi, seq); polls++) {
		if (atomic_load_explicit(&qi->dead, memory_order_relaxed)) /* a flag */
			return moat_error(-EIO, "the unit's invalidation queue is dead");
		if (polls % 16 == 15 && moat_now_us() > deadline)
			return timed_out(qi, seq, timeout_us);
		turn();
		rte_pause();
	}
	return 0;
}

/* ------------------------------------------------------------------------- creation, counts */

int moat_qi_create(const struct moat_qi_conf *conf, struct moat_qi **out)
{
	static _Atomic uint64_t queues;
	struct moat_qi *qi;
	size_t slots;

	if (conf->order > 7 || (conf->wide && conf->order == 0))
		return moat_error(-EINVAL, "an invalidation queue of order %u; %u to 7 (IQA.QS)",
			conf->order, conf->wide);
	if (conf->ring == NULL || (uintptr_t)conf->ring % MOAT_PAGE_SIZE != 0 ||
		conf->status == NULL || conf->status_hpa % 4 != 0 || conf->doorbell == NULL)
		return moat_error(-EINVAL,
			"an invalidation queue needs a ring aligned to 4 KiB, "
			"a status word aligned to 4 bytes, and a doorbell");
	slots = (size_t)256 << conf->order >> conf->wide;
	qi = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*qi));
	if (qi == NULL)
		return moat_error(-ENOMEM, "no memory for an invalidation queue");
	memset(qi, 0, sizeof(*qi));
	qi->record = calloc(slots, sizeof(*qi->record));
	qi->failed = calloc(slots, sizeof(*qi->failed));
	qi->quarantine = calloc(slots, sizeof(*qi->quarantine));
	if (qi->record == NULL || qi->failed == NULL || qi->quarantine == NULL) {
		moat_qi_destroy(qi);
		return moat_error(-ENOMEM, "no memory for an invalidation queue");
	}
	/* relaxed: a number that no other has; 0 is none */
	qi->number = atomic_fetch_add_explicit(&queues, 1, memory_order_relaxed) + 1;
	qi->ring = conf->ring;
	if (conf->wide) /* the upper halves; see qi_store() */
		memset(conf->ring, 0, MOAT_PAGE_SIZE << conf->order);
	qi->status = conf->status;
	qi->status_hpa = conf->status_hpa;
	qi->mask = (uint32_t)slots - 1;
	qi->shift = conf->order + 8 - conf->wide;
	qi->wide = conf->wide;
	qi->doorbell = conf->doorbell;
	qi->poll = conf->poll;
	qi->head = conf->head;
	qi->ctx = conf->ctx;
	atomic_store(&qi->stall_pos, UINT64_MAX);
	*out = qi;
	return 0;
}

void moat_qi_destroy(struct moat_qi *qi)
{
	if (qi == NULL)
		return;
	free((void *)qi->record);
	free((void *)qi->failed);
	free((void *)qi->quarantine);
	free(qi);
}

void moat_qi_stats(const struct moat_qi *cqi, struct moat_qi_stats *stats)
{
	struct moat_qi *qi =
		(struct moat_qi *)(uintptr_t)cqi; /* C11 loads atomics from non-const */

	/* relaxed: counters, not a snapshot */
	stats->descriptors = atomic_load_explicit(&qi->descriptors, memory_order_relaxed);
	stats->waits = atomic_load_explicit(&qi->waits, memory_order_relaxed);
	stats->doorbells = atomic_load_explicit(&qi->doorbells, memory_order_relaxed);
	stats->full = atomic_load_explicit(&qi->full, memory_order_relaxed);
	stats->helped = atomic_load_explicit(&qi->helped, memory_order_relaxed);
}
