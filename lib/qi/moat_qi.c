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
 * How several lcores submit without a lock.
 *
 * The state is three *positions*, 64-bit counts of descriptors whose low bits are the ring index:
 *
 *     completed <= bell <= reserved <= completed + ring size - 1
 *
 * 1. Reserve. A region for n descriptors and their wait begins at `reserved`. Its owner first
 *    writes the region's record (one compare-and-swap, at the ring index where the region begins),
 *    then moves `reserved` behind the region. Any thread that finds a record at `reserved` moves
 *    `reserved` on the owner's behalf. So a region has a known length from the moment it exists. It
 *    never covers descriptors that the unit may still have to read: only those before `completed`
 *    are reused.
 * 2. Fill. The owner stores its descriptors. It does not store the last one, the wait.
 * 3. Ring. `bell` is a position and a busy bit; the thread that sets the bit is the ringer. The
 *    ringer walks the regions published from `bell` on, stores the wait descriptor of each (which
 *    writes the region's end to the status word), tells the unit its new tail and moves `bell`
 *    there. If `bell` stands at the owner's region, the owner becomes the ringer at once. Otherwise
 *    it publishes the region (RESERVED -> PUBLISHED in its record) and leaves it to the next
 *    ringer. No wake-up is lost: the owner publishes and then reads `bell` (R1), the ringer gives
 *    `bell` back and then reads the record behind it (R2). Both pairs are sequentially consistent,
 *    so at least one thread sees the other's store. A thread that polls also becomes the ringer if
 *    it finds a published region.
 * 4. Complete. The status word is the low half of the last position that the unit has completed.
 *    `completed` is its monotonic extension to 64 bits. A thread that looks for room updates it,
 *    about once a lap, so that a thread that only asks for completion reads the status word and a
 *    line that other threads seldom write. A region's sequence number is its end.
 *
 * No thread waits for a stalled owner. When `bell` has stood at an unpublished region for
 * STALL_CYCLES, any lcore that polls becomes the ringer and *steps over* the region: it changes
 * RESERVED -> ABANDONED in the record, stores descriptors without effect in the region, and goes on
 * with the next. When the owner resumes, it fails to publish or to ring, and submits again
 * elsewhere. What the owner still stores before that does no harm:
 *  - It stores only descriptors that a caller asked for: an invalidation too many costs a walk,
 *    never correctness. Each store is whole (qi_store()), so the unit reads no mixture.
 *  - It never stores a wait. Only the ringer does, at the end of each region that it passes, in
 *    order of positions. So the status word only grows, and reports only what is before the wait
 *    in the queue.
 *  - It stores only into its region. The region's indices are *quarantined* until the owner
 *    resumes: on later laps no batch is put there, and a region without effect, a *pad*, covers
 *    them (reserve_pad()). So the owner cannot overwrite a descriptor of another batch. The marks
 *    are set before ABANDONED can be seen, and only the owner drops them, after its last store. An
 *    lcore that reserves reads the marks after it has seen the earlier lap completed, and stepping
 *    over precedes that completion.
 * A thread that stalls while it pads is the same case. A ringer that stalls while it holds `bell`
 * is not: no other thread can ring until it goes on, because a tail written late, behind a newer
 * one, would send the unit around the whole ring. But a ringer only makes some stores, and the
 * other lcores go on reserving, filling and polling meanwhile.
 */

/* About 20 us: some hundred times what filling takes, a small part of a scheduler's time slice. */
#ifndef STALL_CYCLES
#define STALL_CYCLES 50000
#endif

/* One in so many polls of a thread that find nothing complete looks for published regions. */
#define HELP_EVERY 8

/* A test hook: tests/qi/test_threads.c compiles this file with a hook that makes an owner or a
 * ringer stall. In the library it is empty. */
#ifndef MOAT_QI_HOOK
#define MOAT_QI_HOOK(point, qi, pos) ((void)0)
#endif

static inline uint64_t make_record(const struct moat_qi *qi, uint64_t pos, uint32_t len,
	uint32_t state)
{
	return pos >> qi->shift << 20 | (uint64_t)len << 4 | state;
}

/* Prefetch a line that is about to be written. In assembly, because compilers use the instruction
 * only if they are told that the processor has it. Every processor with VT-d accepts it. */
static inline void prefetch_to_write(const volatile void *line)
{
	__asm__ volatile("prefetchw %0" : : "m"(*(const volatile char *)line));
}

/* --------------------------------------------------------------------------------- ringing */

static inline bool published(uint64_t rec)
{
	return QI_STATE(rec) == QI_PUBLISHED;
}

static inline bool take_bell(struct moat_qi *qi, uint64_t pos)
{
	uint64_t bell = pos << 1;

	/* acquire: this thread sees the last ringer's stores, its counters among them */
	return atomic_compare_exchange_strong_explicit(&qi->bell, &bell, bell | QI_BUSY,
		memory_order_acquire, memory_order_relaxed);
}

/* Store the waits of all regions published from `pos` on; `rec` is the first one's record. @return
 * the end of the last one */
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
	moat_counter_add(&qi->descriptors, descriptors); /* the ringer is the only writer */
	moat_counter_add(&qi->waits, regions);
	return pos;
}

/* Ring. The caller holds the bell at `pos`; `rec` is the record of the region there, which is
 * filled. */
static void ring(struct moat_qi *qi, uint64_t pos, uint64_t rec)
{
	/* A ringer rings for others while they publish, but not for ever: after some rounds it
	 * leaves them to the next thread that polls. */
	for (int rounds = 0; rounds < 8; rounds++) {
		pos = pass_regions(qi, pos, rec);
		MOAT_QI_HOOK(RINGING, qi, pos);
		/* All descriptors are stored before the doorbell: the owners' by their release and
		 * our acquire, ours by program order. The doorbell releases them to the unit. */
		qi->doorbell(qi->ctx, (pos & qi->mask) * qi_desc_size(qi));
		moat_counter_add(&qi->doorbells, 1);
		/* R2. Sequentially consistent: give the bell back, then read the record behind it;
		 * pairs with R1. */
		atomic_exchange(&qi->bell, pos << 1);
		rec = atomic_load(&qi->record[pos & qi->mask]);
		if (likely(QI_LAP(rec) != pos >> qi->shift || !published(rec)) ||
			!take_bell(qi, pos))
			return;
	}
	/* take_bell() succeeded in the last round, too: give the bell back. A later poll rings for
	 * the rest. */
	atomic_store_explicit(&qi->bell, pos << 1, memory_order_release);
}

/* Ring for the regions published at the bell, unless another thread does. */
static void ring_published(struct moat_qi *qi)
{
	uint64_t bell = atomic_load(&qi->bell); /* R1. Sequentially consistent; pairs with R2 */
	uint64_t rec;

	if (bell & QI_BUSY)
		return; /* the ringer reads the record behind the bell (R2) */
	rec = qi_record(qi, bell >> 1);
	if (published(rec) && take_bell(qi, bell >> 1))
		ring(qi, bell >> 1, rec);
}

/* ---------------------------------------------------------------------------- stepping over */

/* Mark or unmark the indices that the owner of a region may store to: all but the wait's. */
static void quarantine(struct moat_qi *qi, uint64_t pos, uint32_t len, int by)
{
	/* A count and not a flag, because a pad around quarantined indices may itself be
	 * abandoned. */
	if (by > 0)
		atomic_fetch_add_explicit(&qi->quarantined, 1, memory_order_relaxed);
	for (uint32_t i = 0; i < len - 1; i++)
		/* release: pairs with the acquire in quarantined_at(), so that a thread that sees
		 * no mark sees the owner's last store. ABANDONED releases marks that are set. */
		atomic_fetch_add_explicit(&qi->quarantine[(pos + i) & qi->mask], (uint8_t)by,
			memory_order_release);
	if (by < 0)
		atomic_fetch_sub_explicit(&qi->quarantined, 1, memory_order_release);
}

static inline bool quarantined_at(struct moat_qi *qi, uint64_t pos)
{
	return atomic_load_explicit(&qi->quarantine[pos & qi->mask], memory_order_acquire) != 0;
}

/* Step over a region. The caller holds the bell at `pos`; `rec` is the record of the region there,
 * which was not published. */
static void step_over(struct moat_qi *qi, uint64_t pos, uint64_t rec)
{
	uint64_t now = rec;
	uint32_t len = QI_LEN(rec);

	quarantine(qi, pos, len, 1);
	MOAT_QI_HOOK(STEPPING, qi, pos);
	/* release: an owner that sees ABANDONED sees the marks that it must drop. acquire: the
	 * owner's descriptors, if it published after all. */
	if (!atomic_compare_exchange_strong_explicit(&qi->record[pos & qi->mask], &now,
		    (rec & ~UINT64_C(3)) | QI_ABANDONED, memory_order_acq_rel,
		    memory_order_acquire)) {
		quarantine(qi, pos, len, -1);
		ring(qi, pos, now);
		return;
	}
	atomic_fetch_add_explicit(&qi->helped, 1, memory_order_relaxed); /* a counter */
	for (uint32_t i = 0; i < len - 1; i++)
		qi_store(qi, pos + i, moat_qi_no_op());
	ring(qi, pos, rec | QI_PAD);
}

/* No progress is visible: ring for published regions, or step over a stalled owner. */
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
		return; /* there is no region */
	/* Estimate how long the bell has stood here. A wrong estimate steps over too early or too
	 * late, which is harmless, so these two words need no order. */
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

/* Is there room for `len` descriptors at `pos`? One slot always stays free: head == tail means
 * empty. */
static inline bool has_room(struct moat_qi *qi, uint64_t pos, uint32_t len)
{
	/* acquire: pairs with the unit's status write, through qi_refresh(): the unit has read the
	 * descriptors that are overwritten now */
	return pos + len <= atomic_load_explicit(&qi->completed, memory_order_acquire) + qi->mask ||
		pos + len <= qi_refresh(qi) + qi->mask;
}

/* Reserve a region anywhere, or a pad (`pad`) at `*pos` only. @return 0: `*pos` is its position; 1:
 * the pad cannot be at `*pos` any more; -EAGAIN: no room */
static inline int reserve(struct moat_qi *qi, uint32_t len, uint32_t state, bool pad, uint64_t *pos)
{
	for (;;) {
		/* acquire: pairs with the release of the thread that moved `reserved`, so that the
		 * record of `p` is an older lap's only if the region is free */
		uint64_t p = atomic_load_explicit(&qi->reserved, memory_order_acquire);
		_Atomic uint64_t *record = &qi->record[p & qi->mask];
		uint64_t old;

		prefetch_to_write(record);
		old = atomic_load_explicit(record, memory_order_acquire);
		if (unlikely(old != 0 && QI_LAP(old) >= p >> qi->shift)) {
			/* The region has an owner already. If `reserved` still stands before it,
			 * move `reserved` on the owner's behalf. */
			if (QI_LAP(old) == p >> qi->shift)
				atomic_compare_exchange_strong_explicit(&qi->reserved, &p,
					p + QI_LEN(old), memory_order_acq_rel,
					memory_order_relaxed);
			continue;
		}
		if (unlikely(!has_room(qi, p, len)))
			return -EAGAIN;
		/* acquire: pairs with the release that lowers the count; an owner that has lowered
		 * it stores no more. The count must be read after has_room(). */
		if (unlikely(
			    !pad && atomic_load_explicit(&qi->quarantined, memory_order_acquire))) {
			int rc = reserve_pad(qi, p, len);

			if (rc < 0)
				return rc;
			if (rc > 0)
				continue;
		}
		/* Another thread has reserved at `*pos`, or has marked the index of the pad's wait
		 * since reserve_pad() looked. No more marks are set, as there is room now. */
		if (pad && (p != *pos || quarantined_at(qi, p + len - 1)))
			return 1;
		/* Take the region. acquire, release: a thread that loads this record also sees
		 * what the earlier lap's record released. A late CAS fails because `old` is
		 * stale. */
		if (unlikely(!atomic_compare_exchange_strong_explicit(record, &old,
			    make_record(qi, p, len, state), memory_order_acq_rel,
			    memory_order_relaxed)))
			continue;
		*pos = p;
		MOAT_QI_HOOK(RESERVED, qi, p);
		/* release: the thread that reserves next sees the record. The CAS fails if another
		 * thread has moved `reserved` on our behalf. */
		atomic_compare_exchange_strong_explicit(&qi->reserved, &p, p + len,
			memory_order_acq_rel, memory_order_relaxed);
		return 0;
	}
}

/* Publish a region that its owner has filled. False: too late, the region was abandoned. */
static inline bool publish(struct moat_qi *qi, uint64_t pos, uint32_t len, uint32_t state)
{
	uint64_t rec = make_record(qi, pos, len, state);

	/* If the bell stands here, ring. Only a thread that holds the bell can abandon the region,
	 * and none has held it here before; otherwise the bell would stand further on. */
	if (likely(take_bell(qi, pos))) {
		ring(qi, pos, rec);
		return true;
	}
	/* Sequentially consistent: publish, then read the bell (R1, in ring_published()). */
	if (atomic_compare_exchange_strong(&qi->record[pos & qi->mask], &rec,
		    rec + (QI_PUBLISHED - QI_RESERVED))) {
		ring_published(qi);
		return true;
	}
	quarantine(qi, pos, len, -1);
	return false;
}

/*
 * If one of the `len` indices from `pos` on is quarantined, put a pad at `pos`: up to that index;
 * or, if it is at `pos`, over the quarantined run and the index behind, which takes the wait.
 * @return 0: none is quarantined; 1: look again, after a pad was put there, or another thread
 * reserved first; -EAGAIN: no room
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
	/* Store to all indices, marked or not, because the unit must not read again what an earlier
	 * lap left, least of all its waits. Where an older owner stores, too, either store may
	 * stand. The marks may even be this pad's own: a thread that is about to step over the pad
	 * sets them, and may then find it published. */
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

/* This thread's last submission: where it ended, and whether other threads had submitted between it
 * and the one before. initial-exec: found without a call, on the path of every burst. */
static __thread struct {
	uint64_t queue; /* the queue's number: its address may have been reused */
	uint64_t end;   /* position */
	bool contended;
} mine __attribute__((tls_model("initial-exec")));

bool moat_qi_crowded(void)
{
	return mine.contended;
}

int64_t moat_qi_submit(struct moat_qi *qi, const struct moat_qi_desc desc[], unsigned int n)
{
	uint64_t pos;
	int rc;

	if (unlikely(n > MOAT_QI_BATCH_MAX))
		return moat_error(-E2BIG, "a batch of %u descriptors: at most %u, split it", n,
			MOAT_QI_BATCH_MAX);
	/* Both lines will be written, and another lcore's cache may hold them: fetch them at the
	 * same time, and for writing. */
	prefetch_to_write(&qi->reserved);
	prefetch_to_write(&qi->bell);
	for (;;) {
		/* relaxed: a flag, it orders nothing */
		if (unlikely(atomic_load_explicit(&qi->dead, memory_order_relaxed)))
			return moat_error(-EIO,
				"the unit's invalidation queue has failed and cannot be recovered; "
				"destroy the unit");
		rc = reserve(qi, n + 1, QI_RESERVED, false, &pos);
		if (unlikely(rc != 0))
			break;
		fill(qi, pos, desc, n);
		MOAT_QI_HOOK(FILLED, qi, pos);
		if (likely(publish(qi, pos, n + 1, QI_RESERVED))) {
			mine.contended = mine.queue == qi->number && mine.end != pos;
			mine.queue = qi->number;
			mine.end = pos + n + 1;
			return (int64_t)mine.end;
		}
	}
	atomic_fetch_add_explicit(&qi->full, 1, memory_order_relaxed); /* a counter */
	help(qi);
	return rc;
}

/* --------------------------------------------------------------------------------- polling */

/* Does `completed`, which lags by at most a lap, or the status word show that `seq` is done? The
 * low 32 bits tell for a `seq` less than 2^31 beyond `completed`; qi_refresh() does the rest. */
static inline bool known_done(struct moat_qi *qi, uint64_t seq)
{
	/* acquire, both: the unit completed `seq` before the caller reuses memory. The first also
	 * keeps the status word from being older than `completed`. */
	uint64_t done = atomic_load_explicit(&qi->completed, memory_order_acquire);
	uint32_t raw = atomic_load_explicit(qi->status, memory_order_acquire);

	return seq <= done || (seq - done <= INT32_MAX && (int32_t)(raw - (uint32_t)seq) >= 0);
}

static __rte_noinline bool done_slow(struct moat_qi *qi, uint64_t seq)
{
	static __thread unsigned int polls;

	/* relaxed: a flag, it orders nothing */
	if (qi->poll != NULL && !atomic_load_explicit(&qi->dead, memory_order_relaxed) &&
		qi->poll(qi->ctx) != 0)
		atomic_store_explicit(&qi->dead, true, memory_order_relaxed);
	if (known_done(qi, seq))
		return true;
	/* Most polls write nothing and do not touch the doorbell's line, which other threads
	 * write. */
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

/* The text does not say how long the caller has waited: this call may be the last part of its
 * wait. */
static int timed_out(struct moat_qi *qi, int64_t seq)
{
	uint64_t done = qi_refresh(qi);
	uint32_t tail = (uint32_t)((atomic_load(&qi->bell) >> 1) & qi->mask);
	uint32_t head = qi->head != NULL
		? (uint32_t)(qi->head(qi->ctx) / qi_desc_size(qi)) & qi->mask
		: (uint32_t)(done & qi->mask);
	struct moat_qi_desc desc = qi_load(qi, head);
	char text[160];

	moat_qi_describe(&desc, text, sizeof(text));
	if (head == tail)
		return moat_error(-ETIMEDOUT,
			"the unit has not completed batch %" PRId64
			" (it has completed all up to %" PRIu64 "): head %" PRIu32 " of %" PRIu32
			" is at the tail: all was read, so the status write is lost or late",
			seq, done, head, qi->mask + 1);
	return moat_error(-ETIMEDOUT,
		"the unit has not completed batch %" PRId64 " (it has completed all up to %" PRIu64
		"): head %" PRIu32 ", tail %" PRIu32 " of %" PRIu32
		", at the head: %s; check whether the unit reports a queue error (FSTS.IQE, ITE)",
		seq, done, head, tail, qi->mask + 1, text);
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
			return moat_error(-EIO,
				"the unit's invalidation queue has failed and cannot be recovered; "
				"destroy the unit");
		if (polls % 16 == 15 && moat_now_us() > deadline)
			return timed_out(qi, seq);
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
		return moat_error(-EINVAL, "invalidation queue order %u: must be %u to 7 (IQA.QS)",
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
	/* relaxed: the number must only be unique; 0 is no queue's */
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
		(struct moat_qi *)(uintptr_t)cqi; /* C11's atomic loads take no const */

	/* relaxed: counters, not a snapshot */
	stats->descriptors = moat_counter_get(&qi->descriptors);
	stats->waits = moat_counter_get(&qi->waits);
	stats->doorbells = moat_counter_get(&qi->doorbells);
	stats->full = atomic_load_explicit(&qi->full, memory_order_relaxed);
	stats->helped = atomic_load_explicit(&qi->helped, memory_order_relaxed);
}
