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
 * the first unmap draws one, and a batch whose ticket is done goes back. So the batches that a
 * thread works with are few and stay in its cache, however many lanes it has.
 */

#include <pthread.h>
#include <sched.h>

#include <rte_pause.h>

#include "domain_impl.h"
#include "lane_coalesce.h"
#include "moat_patience.h"

/* A batch of unmaps from the first page gathered to the ticket done. What a burst of one run
 * touches is its first two lines. */
struct batch {
	struct batch *next; /* of the lane's list, or of the stock */
	int64_t seq;       /* on the domain's own unit; 0: nothing to wait for, < 0: submit again */
	uint64_t token;    /* of domain->readers; 0: no other reader */
	uint32_t nr_iovas; /* ranges to give back to the allocator */
	uint32_t exposed;  /* pages handed on before the ticket ... */
	uint64_t exposed_since;     /* ... from this TSC on; mode deferred */
	struct moat_pt_freed freed; /* table pages to retire */
	struct moat_gather gather;
	struct moat_range iovas[MOAT_GATHER_RUNS];
	int64_t others[DOMAIN_UNITS - 1]; /* as `seq`, of the domain's other units */
} __rte_cache_aligned;

/* What a burst touches is the first three lines. */
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
	/* the sequence number that the own unit was last found to have completed */
	int64_t completed;

	struct lane_coalesce coalesce;
	unsigned int reader;  /* thread id in domain->readers */
	bool online;          /* a reader: other lanes' tickets wait for its polls */
	_Atomic uint8_t left; /* enum lane_left */
	atomic_bool asked;    /* by any thread: moat_lane_ask() */
	bool early;           /* what is unmapped is handed on at once; for the witness */
	bool back;            /* what is mapped takes an unmap back; for the witness */
	struct moat_iova_cache *iovas;
	struct moat_lane_stats stats; /* of a burst, the first four */

	unsigned int parent_reader; /* of a nested domain: in domain->parent->readers */
	moat_ticket_t stuck;        /* the ticket that a drain waited for in vain; 0: none */
	struct lane_thread *thread; /* that has it online ... */
	struct lane *next, *prev;   /* ... in a ring with its others */
} __rte_cache_aligned;

/* of the path of a burst: lines of a lane, and of a domain */
#define LANE_LINES   3
#define DOMAIN_LINES 2 /* and that of the tags */

static inline struct lane *lane_of(const struct moat_lane *pub)
{
	return (struct lane *)(uintptr_t)pub;
}

/*
 * A lane whose thread went offline, or ended, before its tickets were done. From then on any thread
 * that waits for one of them polls the lane, one at a time: the lane is LEFT, HELPED while a thread
 * polls it, LEFT again, and KEPT once its thread uses it again (which waits for that one poll).
 * Every function of a lane's own thread comes to the lane by lane_own().
 *
 * L1: acquire, where a thread takes the lane, pairs with L2: release, where one lets go of it: what
 * the last one wrote to the lane is seen. `done` is D1's and D2's, as ever.
 */
enum lane_left { LANE_KEPT, LANE_LEFT, LANE_HELPED };

/* Nothing of it is touched by the calling thread any more. */
static inline void lane_leave(struct lane *lane)
{
	atomic_store_explicit(&lane->left, LANE_LEFT, memory_order_release); /* L2 */
}

/* @return false: it is not LEFT */
static inline bool lane_take(struct lane *lane, enum lane_left to)
{
	uint8_t left = LANE_LEFT;

	return atomic_compare_exchange_strong_explicit(&lane->left, &left, (uint8_t)to,
		memory_order_acquire, memory_order_relaxed); /* L1 */
}

void lane_take_back(struct lane *lane);

/* The lane, of the calling thread, or of none. */
static inline struct lane *lane_own(const struct moat_lane *pub)
{
	struct lane *lane = lane_of(pub);

	/* relaxed: only this thread leaves it, or the one that gave it to this thread */
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
	/* relaxed: a wish */
	return unlikely(atomic_load_explicit(&lane->asked, memory_order_relaxed));
}

/* How the witness names an unmap: the lane and its ticket. */
static inline uint64_t lane_cause(const struct lane *lane, moat_ticket_t ticket)
{
	return (uint64_t)lane->reader << 48 | ticket;
}

/* ------------------------------------------------------------ lane_thread.c: a thread's lanes */

struct lane_thread {
	pthread_mutex_t lock;
	struct lane *turn; /* a ring of its online lanes: the one to poll next; or NULL */
	uint32_t turns;    /* of waits */
	bool polling;      /* moat_lanes_quiescent() polls them, under the lock */
	_Atomic uint32_t
		online;      /* lanes in the ring; atomic because another thread may close one */
	bool registered;     /* with urcu-qsbr, by lane_thread.c */
	bool ends;           /* lane_thread_end() will run when the thread ends */
	struct batch *stock; /* batches ready, the last one put back first */
};
/* initial-exec: found without a call, on the path of every burst */
extern __thread struct lane_thread lane_thread __attribute__((tls_model("initial-exec")));

/* Another thread has the lane online, and uses it no more: its waits must not poll the lane any
 * longer. The lane is offline then. Does nothing to a lane of the calling thread's. */
void lane_disown(struct lane *lane);

/*
 * A lane of a nested domain is a reader of the parent, too: what it translates leads to the
 * parent's memory. Online lanes are; others are while they map.
 */
void lane_parent_enter(const struct lane *lane);
void lane_parent_leave(const struct lane *lane);

/* Report a quiescent state to whatever waits for the lane. */
static inline void lane_quiescent(const struct lane *lane)
{
	const struct moat_domain *domain = lane->domain;

	rte_rcu_qsbr_quiescent(domain->readers, lane->reader);
	if (unlikely(domain->nesting == MOAT_NEST_CHILD))
		rte_rcu_qsbr_quiescent(domain->parent->readers, lane->parent_reader);
}

/* What lane_rcu_begin() has done. */
enum lane_rcu { LANE_RCU_NOTHING, LANE_RCU_REGISTERED, LANE_RCU_ONLINE };

/* The calling thread reads tables: it is known to liburcu, and online, until lane_rcu_end(). */
enum lane_rcu lane_rcu_begin(void);
void lane_rcu_end(enum lane_rcu was);

/* See to it that what the thread has is given back when it ends. */
void lane_thread_watch(void);

/* Where lcores share processors, what a thread waits for may need this one: it is given up once in
 * so many turns, which take some tens of microseconds. */
#define LANE_TURNS_A_YIELD 256

static inline void lane_yield(struct lane_thread *thread)
{
	if (unlikely(++thread->turns % LANE_TURNS_A_YIELD == 0))
		sched_yield();
}

/* One turn of a wait for `lane`, which has just been polled: the thread's other duties. */
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

/* An empty batch. NULL: out of memory (moat_error_text()). */
static inline struct batch *lane_stock_get(void)
{
	struct batch *batch = lane_thread.stock;

	if (unlikely(batch == NULL))
		return lane_stock_grow();
	lane_thread.stock = batch->next;
	return batch;
}

/* The batch is empty: gather, `nr_iovas`, `exposed`, `seq` and `freed` are as in a new one. */
static inline void lane_stock_put(struct batch *batch)
{
	batch->next = lane_thread.stock;
	lane_thread.stock = batch;
}

/* ------------------------------------------------------------- lane_submit.c, lane_complete.c */

/* Close what is gathered. @return 0, or why it could not be closed */
int lane_flush(struct lane *lane);
/* What moat_lane_send() and moat_lane_poll() do. */
void lane_send(struct lane *lane);
moat_ticket_t lane_poll(struct lane *lane);
/* Submit what is closed, if lane_coalesce.h says that it is time. */
void lane_submit_if_time(struct lane *lane);
/* A unit has refused the batch, or was not told of all: everything of the domain, on all of its
 * units. Until that succeeds, `seq` is negative, and a later poll comes here again. */
void batch_submit_wide(struct lane *lane, struct batch *batch);

/* Have the units completed the oldest batch, so that readers are all that its ticket waits for? */
bool lane_awaits_readers(struct lane *lane);

/*
 * Take back a map whose later part failed: the entries go, and their ticket is waited for, so that
 * on return no device and no lcore reaches the range.
 * @return 0; -ETIMEDOUT, -EIO, or the unit's error: the entries are gone, but the unit may still
 *   reach the range.
 */
int lane_undo_map(struct moat_lane *lane, uint64_t iova, uint64_t len);

/* Pieces of a larger map that failed with `err`: as lane_undo_map() for the first `len` bytes.
 * @return `err`, or why they could not be taken back */
int lane_undo_pieces(struct moat_lane *lane, uint64_t iova, uint64_t len, int err);

/* moat_lane.c: moat_lane_map() of one run, whatever the domain is. */
int lane_map_run(struct lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot);

/* ------------------------------------------------------------- lane_nest.c: nested translation */

/* moat_lane_map() in a parent or a child. */
int lane_nest_map(struct lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot);
/* The entries of a child have been stored: does the parent still say so? @return 0, -EFAULT,
 * -EACCES */
int lane_nest_check(const struct lane *lane, uint64_t address, const void *va, uint64_t len,
	enum moat_prot prot);
/* May a parent or a child unmap it? @return 0, -ERANGE */
int lane_nest_unmap(const struct lane *lane, uint64_t iova, uint64_t len);

#endif /* MOAT_LANE_IMPL_H */
