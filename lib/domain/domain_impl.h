/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_DOMAIN_IMPL_H
#define MOAT_DOMAIN_IMPL_H

/* What the files of lib/domain share and nobody else needs. */

#include <pthread.h>

#include <rte_pause.h>

#include "moat_domain.h"

#define DOMAIN_SOURCES     256
#define DOMAIN_PATIENCE_US 1000000 /* how long a thread waits for a unit or a reader to move */

/* A source counts as in the domain from the end of its attach to the end of its detach. */
enum domain_source_state {
	DOMAIN_SOURCE_ATTACHING, /* the unit is being told; the entry keeps others from doing so */
	DOMAIN_SOURCE_ATTACHED,
	DOMAIN_SOURCE_DETACHING,
};

struct domain_source {
	moat_sid_t sid;
	enum domain_source_state state;
};

struct domain_impl {
	struct moat_domain pub;
	pthread_mutex_t lock; /* control path: sources, lanes; never held while waiting */
	struct domain_source sources[DOMAIN_SOURCES];
	uint32_t nr_sources;
	uint32_t nr_lanes;
	uint64_t lanes[MOAT_DOMAIN_LANES / 64]; /* thread ids of `readers` in use */
};

static inline struct domain_impl *domain_impl(struct moat_domain *domain)
{
	return (struct domain_impl *)domain;
}

/* Does the domain's unit walk the tables that lib/pt writes? */
static inline bool domain_has_queue(const struct moat_domain *domain)
{
	return !domain->unit->caps.owns_tables;
}

/* The batch being gathered. */
static inline struct moat_batch *lane_gathering(struct moat_lane *lane)
{
	return &lane->batch[lane->flushed % MOAT_LANE_BATCHES];
}

/* How the witness names an unmap: the lane and its ticket. */
static inline uint64_t lane_cause(const struct moat_lane *lane, moat_ticket_t ticket)
{
	return (uint64_t)lane->reader << 48 | ticket;
}

/* ------------------------------------------------------------ lane_thread.c: a thread's lanes */

struct lane_thread {
	pthread_mutex_t lock;
	struct moat_lane *turn;   /* a ring of its online lanes: the one to report next; or NULL */
	_Atomic uint32_t online;  /* lanes in the ring; atomic because another thread may close one */
	bool registered;          /* with urcu-qsbr, by lane_thread.c */
};
extern __thread struct lane_thread lane_thread;

/* One turn of a wait for `lane`, which has just been polled: the thread's other duties. */
static inline void lane_wait_turn(const struct moat_lane *lane)
{
	/* relaxed: the thread's own count */
	if (unlikely(!lane->online ||
		    atomic_load_explicit(&lane_thread.online, memory_order_relaxed) != 1))
		moat_lanes_quiescent();
	rte_pause();
}

/* The lane's own view of `done`: relaxed, only its own thread stores it. */
static inline moat_ticket_t lane_done(const struct moat_lane *lane)
{
	return atomic_load_explicit(&lane->done, memory_order_relaxed);
}

/*
 * Take back a map whose later part failed: the entries go, and their ticket is waited for, so that on
 * return no device and no lcore reaches the range.
 * @return 0; -ETIMEDOUT, -EIO, or the unit's error: the entries are gone, but the unit may still
 *   reach the range.
 */
int lane_undo_map(struct moat_lane *lane, uint64_t iova, uint64_t len);

/* Submit descriptors and wait for them; control path. */
int domain_invalidate_sync(struct moat_domain *domain, const struct moat_qi_desc desc[],
	unsigned int n);

#endif /* MOAT_DOMAIN_IMPL_H */
