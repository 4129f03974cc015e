/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* moat's own calls: entering and leaving, blocking, and programs that map, translate and unmap
 * memory of their own on a tenant's lane. A page is poisoned when the ticket of its unmap is done:
 * a reader that sees poison, through a translation or by DMA, has reached an unmapped page. */

#include <errno.h>
#include <unistd.h>

#include "stress.h"

#define MAP_PAGES 8u
#define GOOD      UINT64_C(0x600d600d600d600d)
#define POISON    UINT64_C(0xdeaddeaddeaddead)

_Static_assert(TENANTS *MAPS *MAP_PAGES *MOAT_PAGE_SIZE <= MOAT_2M_SIZE, "actor's memory");

/* -------------------------------------------------------------------------------- lanes' states */

void op_enter_leave(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);

	if (t == NULL)
		return;
	if (a->in[t->index].entered)
		actor_leave(a, t);
	else
		actor_enter(a, t);
}

/* Block like a program that sleeps until it has work. */
void op_block(struct actor *a)
{
	actor_offline(a);
	usleep(50 + dice_below(&a->dice, 500));
	actor_online(a);
}

/* --------------------------------------------------------------------------------- own memory */

static _Atomic uint64_t *map_word(struct actor *a, struct tenant *t, unsigned int i,
	unsigned int page)
{
	return (_Atomic uint64_t *)(a->memory +
		((t->index * MAPS + i) * MAP_PAGES + page) * MOAT_PAGE_SIZE);
}

static void map_fill(struct actor *a, struct tenant *t, unsigned int i, uint64_t value)
{
	for (uint32_t k = 0; k < a->in[t->index].map[i].pages; k++)
		atomic_store_explicit(map_word(a, t, i, k), value, memory_order_relaxed);
}

/* @return where other actors find the map */
static _Atomic uint64_t *map_shown(struct actor *a, struct tenant *t, unsigned int i)
{
	return &t->maps[a->index * MAPS + i];
}

/* Poison the maps whose ticket is done; then they can be mapped again. */
static void maps_settle(struct actor *a, struct tenant *t)
{
	struct moat_lane *lane = moat_tenant_lane(t->tenant);

	for (unsigned int i = 0; i < MAPS; i++) {
		struct map *map = &a->in[t->index].map[i];

		if (map->state == MAP_GOING && moat_lane_done(lane, map->ticket)) {
			map_fill(a, t, i, POISON);
			map->state = MAP_NONE;
		}
	}
}

void op_lane_map(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);
	unsigned int i = dice_below(&a->dice, MAPS);
	struct map *map;
	uint64_t len;

	if (t == NULL)
		return;
	maps_settle(a, t);
	map = &a->in[t->index].map[i];
	if (map->state != MAP_NONE)
		return;
	map->pages = 1 + dice_below(&a->dice, MAP_PAGES);
	len = map->pages * MOAT_PAGE_SIZE;
	if (moat_iova_alloc(moat_tenant_domain(t->tenant)->iova, NULL, len, 0, &map->iova) != 0)
		return;
	map_fill(a, t, i, GOOD);
	must_at_last(a,
		moat_lane_map(moat_tenant_lane(t->tenant), map->iova,
			(uintptr_t)map_word(a, t, i, 0), (void *)map_word(a, t, i, 0), len,
			MOAT_RW));
	map->state = MAP_LIVE;
	atomic_store(map_shown(a, t, i), map->iova);
}

static void map_end(struct actor *a, struct tenant *t, unsigned int i)
{
	struct moat_lane *lane = moat_tenant_lane(t->tenant);
	struct map *map = &a->in[t->index].map[i];
	int rc;

	atomic_store(map_shown(a, t, i), 0);
	while ((rc = moat_lane_unmap_free(lane, map->iova, map->pages * MOAT_PAGE_SIZE)) == -EAGAIN)
		actor_turn(a);
	must(a, rc);
	while ((map->ticket = moat_lane_flush(lane)) == 0)
		actor_turn(a);
	map->state = MAP_GOING;
}

void op_lane_unmap(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);
	unsigned int i = dice_below(&a->dice, MAPS);

	if (t != NULL && a->in[t->index].map[i].state == MAP_LIVE)
		map_end(a, t, i);
}

void maps_end(struct actor *a, struct tenant *t)
{
	struct moat_lane *lane = moat_tenant_lane(t->tenant);

	for (unsigned int i = 0; i < MAPS; i++)
		if (a->in[t->index].map[i].state == MAP_LIVE)
			map_end(a, t, i);
	must(a, moat_lane_drain(lane));
	maps_settle(a, t);
	for (unsigned int i = 0; i < MAPS; i++)
		if (a->in[t->index].map[i].state != MAP_NONE)
			fault(a, "tenant %s: after a drain a ticket is not done", t->name);
}

void op_lane_flush(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);

	if (t == NULL)
		return;
	moat_lane_flush(moat_tenant_lane(t->tenant));
	if (dice_one_in(&a->dice, 4))
		moat_lane_send(moat_tenant_lane(t->tenant));
}

void op_lane_drain(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);

	if (t != NULL)
		must(a, moat_lane_drain(moat_tenant_lane(t->tenant)));
}

/* @return the IOVA of a random actor's map, which may be gone by now; 0: none */
static uint64_t map_pick(struct actor *a, struct tenant *t)
{
	uint64_t iova = atomic_load(&t->maps[dice_below(&a->dice, RTE_DIM(t->maps))]);

	return iova == 0 ? 0 : iova + dice_below(&a->dice, 2) * MOAT_PAGE_SIZE;
}

/* The target of a translation stays valid until this lcore polls. */
void op_lane_translate(struct actor *a)
{
	struct tenant *t = actor_tenant(a, true);
	_Atomic uint64_t *p;
	uint64_t iova;

	if (t == NULL || (iova = map_pick(a, t)) == 0)
		return;
	p = moat_iotlb_translate(&moat_tenant_lane(t->tenant)->iotlb, iova, 8, MOAT_R);
	for (unsigned int k = 0; p != NULL && k < 3; k++) {
		uint64_t found = atomic_load_explicit(p, memory_order_relaxed);

		if (found != GOOD)
			fault(a, "tenant %s: a translation of 0x%lx leads to %lx", t->name, iova,
				found);
		rte_delay_us_block(dice_below(&a->dice, 3));
	}
}

void op_lane_dma(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	uint64_t iova, found;

	if (t == NULL || (iova = map_pick(a, t)) == 0)
		return;
	if (moat_softvtd_dma_read(t->unit->hw, t->rogue, iova, &found, sizeof(found)) == 0 &&
		found != GOOD && t->mode != MOAT_DEFERRED)
		fault(a, "tenant %s: a device reads %lx at 0x%lx", t->name, found, iova);
}

/* ------------------------------------------------------------------------------- control path */

/* As must_at_last(). -EBUSY: the unit has not confirmed the detach of the requester yet. */
static int attach_at_last(struct tenant *t, moat_sid_t sid)
{
	int rc = -EIO;

	for (unsigned int i = 0; i < 16 && (rc == -EIO || rc == -EBUSY); i++)
		rc = moat_tenant_attach(t->tenant, sid);
	return rc;
}

/* A requester of this actor's own is attached and detached while other actors do the same. If the
 * unit refuses an invalidation half-way (op_unit_error()), the attach fails, and the next one
 * succeeds. */
void op_attach_detach(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	moat_sid_t sid;
	uint8_t byte;
	int rc;

	if (t == NULL)
		return;
	sid = MOAT_SID(2 + t->index, a->index, 0);
	actor_offline(a);
	rc = attach_at_last(t, sid);
	if (rc == 0)
		must_at_last(a, moat_tenant_detach(t->tenant, sid));
	else
		fault(a, "tenant %s: attaching: %d: %s", t->name, rc, moat_error_text());
	actor_online(a);
	if (moat_softvtd_dma_read(t->unit->hw, sid, MOAT_2M_SIZE, &byte, 1) == 0)
		fault(a, "tenant %s: a requester that was detached still reads", t->name);
}

void op_stats(struct actor *a)
{
	struct tenant *t = actor_tenant(a, false);
	struct moat_tenant_stats stats;
	struct moat_hist hist;

	if (t == NULL)
		return;
	moat_tenant_stats(t->tenant, &stats);
	if (stats.lost != 0)
		fault(a, "tenant %s: %lu packets are lost, but the unit answers", t->name,
			stats.lost);
	moat_tenant_bursts(t->tenant, MOAT_STAGES_MAPPING, &hist);
}
