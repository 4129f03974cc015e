/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>

#include "qi_impl.h"

/*
 * Failures. A batch's is kept at the ring index of its wait: `failed[i]` is the sequence number of
 * the last batch ending at i that failed. Whoever asks for an earlier one there, a lap or more
 * late, is told that it failed, too: whether it did is not known any more, and to invalidate again
 * is always right. Nobody reads this on the data path before the first failure of the queue's life.
 */

static void mark_failed(struct moat_qi *qi, uint64_t seq)
{
	/* relaxed: the unit stands still, so the batch completes later, and he who finds it done
	 * (acquire, through the doorbell, the unit and its status write) sees the mark. */
	atomic_store_explicit(&qi->failed[(seq - 1) & qi->mask], seq, memory_order_relaxed);
	atomic_fetch_add_explicit(&qi->failures, 1, memory_order_release);
}

bool moat_qi_failed(struct moat_qi *qi, int64_t seq)
{
	/* acquire: with mark_failed()'s release, should no unit stand between */
	if (likely(atomic_load_explicit(&qi->failures, memory_order_acquire) == 0))
		return false;
	return atomic_load_explicit(&qi->failed[((uint64_t)seq - 1) & qi->mask],
		       memory_order_relaxed) >= (uint64_t)seq;
}

/* The region in flight that covers `pos`: its begin and record. False: there is none. */
static bool find_region(struct moat_qi *qi, uint64_t from, uint64_t pos, uint64_t *begin,
	uint64_t *rec)
{
	for (uint64_t p = pos + 1; p-- > from;) {
		*rec = qi_record(qi, p);
		if (QI_STATE(*rec) != QI_NONE) {
			*begin = p;
			return p + QI_LEN(*rec) > pos;
		}
	}
	return false;
}

static bool holds_batch(uint64_t rec)
{
	return QI_STATE(rec) != QI_ABANDONED && !QI_IS_PAD(rec);
}

/*
 * Where the unit may stand: behind `*to`. A ringer tells the unit its new tail before he moves
 * `bell`, so while he has it the unit may stand beyond, among regions whose waits he knows and we do
 * not: false, ask again when he is through. (The unit stands still and remembers.) acquire: the
 * regions that were rung before. A unit beyond `bell` was told so after QI_BUSY was set, and we have
 * heard of it from the unit, so we see that bit or what came later.
 */
static bool bell_is_beyond(struct moat_qi *qi, uint64_t pos, uint64_t *to)
{
	uint64_t bell = atomic_load_explicit(&qi->bell, memory_order_acquire);

	*to = bell >> 1;
	return pos <= *to || !(bell & QI_BUSY);
}

int moat_qi_fail_at(struct moat_qi *qi, uint32_t index, int err)
{
	uint64_t from = qi_refresh(qi), to;
	uint64_t pos = from + ((index - from) & qi->mask), begin = 0, rec = 0;
	struct moat_qi_desc desc = qi_load(qi, index);
	char text[160];

	if (!bell_is_beyond(qi, pos + 1, &to))
		return -EAGAIN;
	moat_qi_describe(&desc, text, sizeof(text));
	/* Completion moves from region to region, so `from` is where one begins. */
	if (index > qi->mask || pos >= to || !find_region(qi, from, pos, &begin, &rec))
		return moat_error(-ENOENT,
			"the unit stands at index %" PRIu32 " (%s), where nothing "
			"is in flight",
			index, text);
	moat_error(err, "the unit refuses the descriptor at index %" PRIu32 ": %s", index, text);
	if (holds_batch(rec))
		mark_failed(qi, begin + QI_LEN(rec));
	/* The unit stands still, so the slot can be written. The wait is put anew: if it was
	 * overwritten, that mends it. */
	if (pos == begin + QI_LEN(rec) - 1)
		qi_store(qi, pos, moat_qi_wait_status(qi->status_hpa, (uint32_t)(pos + 1), false));
	else
		qi_store(qi, pos, moat_qi_no_op());
	return 0;
}

int moat_qi_fail_before(struct moat_qi *qi, uint32_t index)
{
	uint64_t pos = qi_refresh(qi), to;
	uint64_t head = pos + ((index - pos) & qi->mask), dropped = pos;
	int failed = 0;

	if (!bell_is_beyond(qi, head, &to))
		return -EAGAIN;
	while (pos < head && pos < to) {
		uint64_t rec = qi_record(qi, pos);

		if (QI_STATE(rec) == QI_NONE)
			break; /* cannot be: regions follow one another */
		pos += QI_LEN(rec);
		if (pos <= head)
			dropped = pos; /* its wait, too, was in front of the head */
		if (!holds_batch(rec))
			continue;
		mark_failed(qi, pos);
		failed++;
	}
	/* What the dropped waits would have written, so that nothing of this needs room in the queue.
	 * The unit stands still, nobody else writes here. release: the marks come before. */
	if (dropped > qi_refresh(qi))
		atomic_store_explicit(qi->status, (uint32_t)dropped, memory_order_release);
	return failed;
}
