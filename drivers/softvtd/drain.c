/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Draining: when has DMA that used an old translation completed? ("Draining of Requests to Memory":
 * writes are globally observable, reads have fetched their data.)
 */
#include "softvtd.h"

/* Get the number of DMAs that began in `phase` and have not ended. acquire: see struct sv_drain. */
static uint32_t under_way(struct sv_drain *drain, unsigned int phase)
{
	return atomic_load_explicit(&drain->active[phase], memory_order_acquire);
}

/* Flip the phase. DMA that is active now stays in the old phase, which no other DMA joins. */
static void drain_begin(struct sv_drain *drain)
{
	drain->phase ^= 1;
	drain->started++;
}

/* Between drains only the current phase has DMA, as a drain ends when the old phase has none. */
static void drain_want(struct sv_drain *drain)
{
	if (drain->started != drain->completed) {
		drain->wanted = drain->started + 1;
	} else if (under_way(drain, drain->phase) != 0) {
		drain_begin(drain);
		drain->wanted = drain->started;
	}
}

/* @return whether every wanted drain is complete */
static bool drain_advance(struct sv_drain *drain)
{
	while (drain->started != drain->completed && under_way(drain, drain->phase ^ 1) == 0) {
		drain->completed = drain->started;
		if (drain->wanted > drain->completed)
			drain_begin(drain);
	}
	return drain->completed >= drain->wanted;
}

void sv_drain_shard(struct moat_softvtd *sv, struct sv_shard *shard, unsigned int directions)
{
	if (sv->mutations & MOAT_SOFTVTD_NO_DRAIN)
		return;
	for (unsigned int d = 0; d < 2; d++) {
		if (directions >> d & 1) {
			drain_want(&shard->drain[d]);
			sv->drains_wanted |= !drain_advance(&shard->drain[d]);
		}
	}
}

void sv_drain_start(struct moat_softvtd *sv, unsigned int directions)
{
	for (unsigned int i = 0; i < sv->conf.shards; i++) {
		struct sv_shard *shard = &sv->shards[i];

		moat_spin_lock(&shard->lock);
		sv_drain_shard(sv, shard, directions);
		moat_spin_unlock(&shard->lock);
	}
}

bool sv_drained(struct moat_softvtd *sv)
{
	bool all = true;

	if (!sv->drains_wanted)
		return true;
	for (unsigned int i = 0; i < sv->conf.shards; i++) {
		struct sv_shard *shard = &sv->shards[i];

		moat_spin_lock(&shard->lock);
		all &= drain_advance(&shard->drain[0]);
		all &= drain_advance(&shard->drain[1]);
		moat_spin_unlock(&shard->lock);
	}
	sv->drains_wanted = !all;
	return all;
}
