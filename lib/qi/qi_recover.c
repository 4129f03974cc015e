/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>

#include "qi_impl.h"

/*
 * Failures. A batch's failure is kept at the ring index of its wait: `failed[i]` is the sequence
 * number of the last batch ending at i that failed. A caller that asks about an earlier batch there
 * is told that this one failed, too: whether it did is no longer known, and to invalidate again is
 * always correct. The data path does not read `failed` before the queue's first failure.
 */

static void mark_failed(struct moat_qi *qi, uint64_t seq)
{
	/* relaxed: the unit has stopped, so the batch completes later, and a thread that finds the
	 * batch done (acquire, through the unit's status write) sees the mark. */
	atomic_store_explicit(&qi->failed[(seq - 1) & qi->mask], seq, memory_order_relaxed);
	atomic_fetch_add_explicit(&qi->failures, 1, memory_order_release);
}

bool moat_qi_failed(struct moat_qi *qi, int64_t seq)
{
	/* acquire: pairs with the release in mark_failed(), if no status write orders the two */
	if (likely(atomic_load_explicit(&qi->failures, memory_order_acquire) == 0))
		return false;
	return atomic_load_explicit(&qi->failed[((uint64_t)seq - 1) & qi->mask],
		       memory_order_relaxed) >= (uint64_t)seq;
}

/* Find the region in flight that covers `pos`: its first position and record. False: none does. */
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
 * Set `*to`, the upper bound on the unit's head. A ringer tells the unit its new tail before it
 * moves `bell`, so while a ringer holds `bell`, the head may be beyond `bell`. If it is, return
 * false: the caller retries later, and the error stays latched in the unit.
 *
 * acquire: this thread sees the regions that were rung. A head beyond `bell` means that the unit
 * got its tail after QI_BUSY was set. The caller learned the head from the unit, so `bell` is
 * loaded with that bit or a later value.
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
	/* Completion moves from region to region, so a region begins at `from`. */
	if (index > qi->mask || pos >= to || !find_region(qi, from, pos, &begin, &rec))
		return moat_error(-ENOENT,
			"the unit has stopped at index %" PRIu32 " (%s), where nothing "
			"is in flight",
			index, text);
	moat_error(err, "the unit refuses the descriptor at index %" PRIu32 ": %s", index, text);
	if (holds_batch(rec))
		mark_failed(qi, begin + QI_LEN(rec));
	/* The unit has stopped, so the slot can be written. A wait is stored again, which repairs
	 * it if it was overwritten. */
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
			break; /* cannot happen: regions follow one another */
		pos += QI_LEN(rec);
		if (pos <= head)
			dropped = pos; /* its wait was before the head, too */
		if (!holds_batch(rec))
			continue;
		mark_failed(qi, pos);
		failed++;
	}
	/* Write what the dropped waits would have written; to submit them again could need room.
	 * The unit has stopped, so only this thread writes the status word. release: after the
	 * marks. */
	if (dropped > qi_refresh(qi))
		atomic_store_explicit(qi->status, (uint32_t)dropped, memory_order_release);
	return failed;
}
