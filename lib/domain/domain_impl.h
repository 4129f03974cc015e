/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_DOMAIN_IMPL_H
#define MOAT_DOMAIN_IMPL_H

/* What the files of lib/domain share and nobody else needs. */

#include <pthread.h>

#include "moat_domain.h"

#define DOMAIN_SOURCES     256
#define DOMAIN_PATIENCE_US 1000000 /* how long anybody waits for a unit or a reader to move */

struct domain_impl {
	struct moat_domain pub;
	pthread_mutex_t lock; /* control path: sources, lanes */
	moat_sid_t sources[DOMAIN_SOURCES];
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

/* Submit descriptors and wait for them; control path. */
int domain_invalidate_sync(struct moat_domain *domain, const struct moat_qi_desc desc[],
	unsigned int n);

#endif /* MOAT_DOMAIN_IMPL_H */
