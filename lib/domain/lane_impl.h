/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_LANE_IMPL_H
#define MOAT_LANE_IMPL_H

/*
 * A lane, as the files of lib/domain see it.
 *
 * A lane with nothing gathered and nothing in flight is a few cache lines and its stock of IOVAs.
 * Its batches are in a list, oldest first, and come from the calling thread's stock (lane_stock.c):
 * the first unmap takes one, and a batch whose ticket is done is put back. So a thread works with
 * few batches, which stay in its cache, however many lanes it has.
 */

#include <pthread.h>
#include <sched.h>

#include <rte_pause.h>

#include "domain_impl.h"
#include "lane_coalesce.h"
#include "moat_patience.h"

/* A batch of unmaps, from the first page gathered until its ticket is done. A burst of one run
 * touches its first two cache lines. */
struct batch {
	struct batch *next;     /* of the lane's list, or of the stock */
	int64_t seq;            /* sequence number on the own unit; 0: no wait; < 0: submit again */
	uint64_t token;         /* of domain->readers; 0: no other reader */
	uint32_t nr_iovas;      /* ranges to give back to the allocator */
	uint32_t exposed;       /* pages handed on before the ticket ... */
	uint64_t exposed_since; /* ... from this TSC on; mode deferred */
	struct moat_pt_freed freed; /* table pages to retire */
	struct moat_gather gather;
	struct moat_range iovas[MOAT_GATHER_RUNS];
	int64_t others[DOMAIN_UNITS - 1]; /* as `seq`, of the domain's other units */
} __rte_cache_aligned;

/* A burst touches the first three cache lines. */
struct lane {
	struct moat_lane pub;
	struct moat_domain *domain;

	_Atomic moat_ticket_t done; /* every ticket up to this one is done */
	moat_ticket_t sent;         /* every ticket up to this one has been submitted */
	moat_ticket_t flushed;      /* the last ticket given out */
	struct batch *gathering;    /* of ticket flushed + 1; NULL: nothing is gathered */
	struct batch *oldest; /* of ticket done + 1, and so on by `next`; NULL: done == flushed */
	struct batch *unsent; /* of ticket sent + 1; NULL: sent == flushed */
	struct batch *newest; /* of ticket flushed; only valid while `oldest` is set */
	/* the last sequence number that the domain's own unit is known to have completed */
	int64_t completed;

	struct lane_coalesce coalesce;
	unsigned int reader;  /* thread id in domain->readers */
	bool online;          /* a reader: other lanes' tickets wait for its polls */
	_Atomic uint8_t left; /* enum lane_left */
	atomic_bool asked;    /* by any thread: moat_lane_ask() */
	bool early;           /* unmapped pages are handed on at once; for the witness */
	bool back;            /* maps take unmaps back; for the witness */
	struct moat_iova_cache *iovas;
	struct moat_lane_stats stats; /* a burst changes the first four */

	unsigned int parent_reader; /* of a nested domain: thread id in domain->parent->readers */
	moat_ticket_t stuck;        /* the ticket that a drain waited for in vain; 0: none */
	struct lane_thread *thread; /* the thread that has the lane online ... */
	struct lane *next, *prev;   /* ... in the ring of its online lanes */
} __rte_cache_aligned;

/* cache lines that a burst touches in a lane, and in a domain */
#define LANE_LINES   3
#define DOMAIN_LINES 2 /* besides the one with the tags */

static inline struct lane *lane_of(const struct moat_lane *pub)
{
	return (struct lane *)(uintptr_t)pub;
}

/*
 * A lane may be left with tickets that are not done: its thread took it offline, or ended. From
 * then on threads that wait for one of the tickets poll the lane, one at a time: the lane is LEFT,
 * HELPED while a thread polls it, LEFT again, and KEPT once its own thread uses it again, which
 * first waits for the end of that poll. Every function for the lane's own thread gets the lane from
 * lane_own().
 *
 * L1: acquire, where a thread takes the lane, pairs with L2: release, where a thread lets go of the
 * lane: the former sees what the latter wrote to the lane. D1 and D2 order `done`, as for any lane.
 */
enum lane_left { LANE_KEPT, LANE_LEFT, LANE_HELPED };

/* Let go of the lane: the calling thread must not touch it any more. */
static inline void lane_leave(struct lane *lane)
{
	atomic_store_explicit(&lane->left, LANE_LEFT, memory_order_release); /* L2 */
}

/* Take a lane that is LEFT. @return false: it is not */
static inline bool lane_take(struct lane *lane, enum lane_left to)
{
	uint8_t left = LANE_LEFT;

	return atomic_compare_exchange_strong_explicit(&lane->left, &left, (uint8_t)to,
		memory_order_acquire, memory_order_relaxed); /* L1 */
}

void lane_take_back(struct lane *lane);

/* Get the lane for its own thread, and take it back if it was left. */
static inline struct lane *lane_own(const struct moat_lane *pub)
{
	struct lane *lane = lane_of(pub);

	/* relaxed: only this thread can have left the lane, or the thread that handed it over */
	if (unlikely(atomic_load_explicit(&lane->left, memory_order_relaxed) != LANE_KEPT))
		lane_take_back(lane);
	return lane;
}

/* The lane's own view of `done`: relaxed, only its own thread stores it. */
static inline moat_ticket_t lane_done(const struct lane *lane)
{
	return atomic_load_explicit(&lane->done, memory_order_relaxed);
}

static inline bool lane_is_full(const struct lane *lane)
{
	return unlikely(lane->flushed - lane_done(lane) >= MOAT_LANE_BATCHES);
}

static inline bool lane_is_asked(const struct lane *lane)
{
	/* relaxed: a request that orders nothing */
	return unlikely(atomic_load_explicit(&lane->asked, memory_order_relaxed));
}

/* The name of an unmap for the witness: the lane and the ticket. */
static inline uint64_t lane_cause(const struct lane *lane, moat_ticket_t ticket)
{
	return (uint64_t)lane->reader << 48 | ticket;
}

/* ------------------------------------------------------------ lane_thread.c: a thread's lanes */

struct lane_thread {
	pthread_mutex_t lock;
	struct lane *turn; /* the online lane to poll next, in a ring; NULL: none */
	uint32_t turns;    /* rounds of waits so far, for lane_yield() */
	bool polling;      /* moat_lanes_quiescent() polls the ring, under the lock */
	_Atomic uint32_t
		online;      /* lanes in the ring; atomic because another thread may close one */
	bool registered;     /* lane_thread.c has registered it with urcu-qsbr */
	bool ends;           /* thread_end() will run when the thread ends */
	struct batch *stock; /* batches ready, the last one put back first */
};
/* initial-exec: accessed in each burst, without a call */
extern __thread struct lane_thread lane_thread __attribute__((tls_model("initial-exec")));

/* Set a lane offline that another thread has online but no longer uses, so that waits of that
 * thread do not poll it. Does nothing if the lane is the calling thread's. */
void lane_disown(struct lane *lane);

/*
 * A lane of a nested domain is a reader of the parent, too, because its translations lead to the
 * parent's memory: an online lane always is, any other lane while it maps.
 */
void lane_parent_enter(const struct lane *lane);
void lane_parent_leave(const struct lane *lane);

/* Report a quiescent state to the lane's domain, and to the domain's parent. */
static inline void lane_quiescent(const struct lane *lane)
{
	const struct moat_domain *domain = lane->domain;

	rte_rcu_qsbr_quiescent(domain->readers, lane->reader);
	if (unlikely(domain->nesting == MOAT_NEST_CHILD))
		rte_rcu_qsbr_quiescent(domain->parent->readers, lane->parent_reader);
}

/* What lane_rcu_begin() did, for lane_rcu_end(). */
enum lane_rcu { LANE_RCU_NOTHING, LANE_RCU_REGISTERED, LANE_RCU_ONLINE };

/* Let the calling thread read tables: it is registered with liburcu and online until
 * lane_rcu_end(). */
enum lane_rcu lane_rcu_begin(void);
void lane_rcu_end(enum lane_rcu was);

/* Make thread_end() run when the calling thread ends, to free what the thread has. */
void lane_thread_watch(void);

/* A waiting thread yields its processor once in so many turns, which take some tens of
 * microseconds, because the thread that it waits for may need the same processor. */
#define LANE_TURNS_A_YIELD 256

static inline void lane_yield(struct lane_thread *thread)
{
	if (unlikely(++thread->turns % LANE_TURNS_A_YIELD == 0))
		sched_yield();
}

/* One turn of a wait for `lane`, which has just been polled: poll the thread's other lanes, or
 * yield. */
static inline void lane_wait_turn(const struct lane *lane)
{
	/* relaxed: the thread's own count */
	if (unlikely(!lane->online ||
		    atomic_load_explicit(&lane_thread.online, memory_order_relaxed) != 1))
		moat_lanes_quiescent();
	else
		lane_yield(&lane_thread);
	rte_pause();
}

/* -------------------------------------------------------------- lane_stock.c: ready batches */

/* Make batches until as many are ready as one lane can have in flight. @return 0, -ENOMEM. Control
 * path. */
int lane_stock_fill(void);
struct batch *lane_stock_grow(void);
void lane_stock_free(struct lane_thread *thread);

/* Get an empty batch. @return NULL: out of memory (moat_error_text()) */
static inline struct batch *lane_stock_get(void)
{
	struct batch *batch = lane_thread.stock;

	if (unlikely(batch == NULL))
		return lane_stock_grow();
	lane_thread.stock = batch->next;
	return batch;
}

/* Put back an empty batch: gather, `nr_iovas`, `exposed`, `seq` and `freed` are as in a new one. */
static inline void lane_stock_put(struct batch *batch)
{
	batch->next = lane_thread.stock;
	lane_thread.stock = batch;
}

/* ------------------------------------------------------------- lane_submit.c, lane_complete.c */

/* Close what is gathered. @return 0, or a negative errno: it could not be closed */
int lane_flush(struct lane *lane);
/* As moat_lane_send() and moat_lane_poll(), without lane_own(). */
void lane_send(struct lane *lane);
moat_ticket_t lane_poll(struct lane *lane);
/* Submit the closed batches, if lane_coalesce_is_time(). */
void lane_submit_if_time(struct lane *lane);
/* Invalidate everything of the domain on all of its units, for a batch that a unit has refused or
 * was not told of completely. If the submission fails, `seq` is negative, and a later poll calls
 * this again. */
void batch_submit_wide(struct lane *lane, struct batch *batch);

/* Have the units completed the oldest batch, so that its ticket waits for readers only? */
bool lane_awaits_readers(struct lane *lane);

/*
 * Take back a map that failed later: clear its entries and wait for their ticket, so that on return
 * no device and no lcore reaches the range.
 * @return 0; -ETIMEDOUT, -EIO, or the unit's error: the entries are cleared, but devices may still
 *   reach the range.
 */
int lane_undo_map(struct moat_lane *lane, uint64_t iova, uint64_t len);

/* Take back the first `len` bytes of a larger map that failed with `err`, as lane_undo_map() does.
 * @return `err`, or the error of lane_undo_map() */
int lane_undo_pieces(struct moat_lane *lane, uint64_t iova, uint64_t len, int err);

/* moat_lane.c. As moat_lane_map(), without its checks for interrupts and nesting. */
int lane_map_run(struct lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot);

/* ------------------------------------------------------------- lane_nest.c: nested translation */

/* moat_lane_map() for a parent or a child. */
int lane_nest_map(struct lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot);
/* After a child's entries were stored: check that the parent still has the same map. @return 0,
 * -EFAULT, -EACCES */
int lane_nest_check(const struct lane *lane, uint64_t address, const void *va, uint64_t len,
	enum moat_prot prot);
/* Check that a parent does not unmap its window. @return 0, -ERANGE */
int lane_nest_unmap(const struct lane *lane, uint64_t iova, uint64_t len);

#endif /* MOAT_LANE_IMPL_H */
