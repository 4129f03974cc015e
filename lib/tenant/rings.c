/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Rings lie in the tenant's DPDK heap, and so does the heap's own bookkeeping, in front of each
 * piece that the heap hands out. A device that could write the bookkeeping could take over the
 * process. So the device reaches only whole pages that hold nothing but a memzone
 * (rte_eth_dma_zone_reserve() gives PMDs memzones for their rings).
 *
 * A memzone that moat saw being reserved (drivers/memzone, moat_device_map()) is whole pages: it
 * becomes a tenant_ring. It is mapped before its owner gets it; but a memzone with the name of a
 * queue's ring is mapped when the queue is added, because a queue without callbacks must not
 * receive. It is unmapped, and the ticket done, before DPDK's heap gets the memory back.
 *
 * Of a memzone that moat did not see being reserved, moat_tenant_queue_add() maps the pages that
 * lie wholly in it. The first moat_tenant_queue_add() or _remove() after the memzone is freed
 * unmaps them.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>
#include <rte_memzone.h>

#include "ticket.h"

/* A memzone of whole pages in the heap, which is or will be mapped for the device. */
struct tenant_ring {
	TAILQ_ENTRY(tenant_ring) next;
	const struct rte_memzone *zone;
	uint8_t *va;
	uint64_t len;         /* bytes, whole pages */
	uint16_t port, queue; /* valid with of_queue */
	bool of_queue;        /* its name is that of a queue's ring */
	bool mapped;
	bool going; /* unmapped; DPDK is freeing it */
	bool said;  /* logged that its queue was not added */
	bool left;  /* its free failed: the device may still reach it */
};

/* ------------------------------------------------------------------------------- which memzones */

bool tenant_zone_is_for_device(const char *name)
{
	/* Mempools and rings of mbufs are the process's own, wherever they lie. */
	return strncmp(name, "MP_", 3) != 0 && strncmp(name, "RG_", 3) != 0;
}

/* Is `zone` a name that rte_eth_dma_zone_reserve() gives to a queue's ring? */
static bool queue_of(const char *zone, uint16_t *port, uint16_t *queue)
{
	return sscanf(zone, "eth_p%" SCNu16 "_q%" SCNu16 "_", port, queue) == 2;
}

static struct tenant_ring *ring_find(const struct moat_tenant *t, const struct rte_memzone *zone)
{
	struct tenant_ring *r;

	TAILQ_FOREACH (r, &t->rings, next)
		if (r->zone == zone && !r->going)
			return r;
	return NULL;
}

/* -------------------------------------------------------------------------------- map and unmap */

static int pages_unmap(struct moat_tenant *t, struct tenant_lcore *lc, uint8_t *va, uint64_t len)
{
	int rc = len != 0 ? tenant_unmap_wait(t, lc, va, len) : 0;

	if (rc == 0)
		memset(&t->page_prot[(va - t->va) >> MOAT_PAGE_SHIFT], 0, len >> MOAT_PAGE_SHIFT);
	return rc != 0 ? rc : tenant_drain_once(t, lc);
}

/* Map [va, va + len) in maps that end at multiples of `step`, each of which can be unmapped alone.
 * All or nothing. */
static int pages_map(struct moat_tenant *t, struct tenant_lcore *lc, uint8_t *va, uint64_t len,
	uint64_t step)
{
	uint64_t at = 0, n;

	for (; at < len; at += n) {
		int rc;

		n = RTE_MIN(len - at, step - ((uintptr_t)(va + at) & (step - 1)));
		rc = tenant_map_wait(t, lc->lane, va + at, n, MOAT_RW);
		if (rc != 0) {
			pages_unmap(t, lc, va, at);
			return rc;
		}
		memset(&t->page_prot[(va + at - t->va) >> MOAT_PAGE_SHIFT], MOAT_RW,
			n >> MOAT_PAGE_SHIFT);
	}
	return 0;
}

static int ring_map(struct moat_tenant *t, struct tenant_ring *r)
{
	struct tenant_lcore *lc = tenant_lcore_control(t);
	int rc = lc == NULL ? -ENOMEM : pages_map(t, lc, r->va, r->len, MOAT_2M_SIZE);

	if (rc != 0)
		return moat_error(rc, "tenant '%s': mapping ring '%s' of %zu bytes failed: %s",
			t->name, r->zone->name, r->zone->len, strerror(-rc));
	r->mapped = true;
	return 0;
}

/* Unmap a ring, so that on return no device reaches it. After an error the ring is mapped again, if
 * possible. */
static int ring_unmap(struct moat_tenant *t, struct tenant_ring *r)
{
	struct tenant_lcore *lc = tenant_lcore_control(t);
	char why[384];
	int rc;

	if (!r->mapped)
		return 0;
	rc = lc == NULL ? -ENOMEM : pages_unmap(t, lc, r->va, r->len);
	if (rc == 0) {
		r->mapped = false;
		return 0;
	}
	if (rc == -ETIMEDOUT)
		rte_strscpy(why, tenant_who_holds(t, moat_error_text()), sizeof(why));
	else
		snprintf(why, sizeof(why), "%s%s", moat_error_text(), tenant_who_is_in(t));
	/* The ring's memory must not be used for anything else while the device may reach it. So it
	 * stays the ring's: if its entries are cleared already, map it again. */
	if (lc != NULL && t->page_prot[(r->va - t->va) >> MOAT_PAGE_SHIFT] == 0) {
		moat_lane_take_back(lc->lane, true);
		r->mapped = pages_map(t, lc, r->va, r->len, MOAT_2M_SIZE) == 0;
		moat_lane_take_back(lc->lane, false);
	}
	return moat_error(rc, "tenant '%s': ring '%s' cannot be freed: %s", t->name, r->zone->name,
		why);
}

/* ------------------------------------------------------------------------ a ring comes and goes */

static bool queue_is_added(const struct moat_tenant *t, const struct tenant_ring *r)
{
	return tenant_queue_find(t, r->port, r->queue) != NULL;
}

int tenant_ring_add(struct moat_tenant *t, const struct rte_memzone *zone)
{
	struct tenant_ring *r;
	int rc = 0;

	tenant_lock(t);
	r = ring_find(t, zone);
	if (r == NULL && (((uintptr_t)zone->addr | zone->len) & MOAT_PAGE_MASK) != 0) {
		rc = moat_error(-EINVAL,
			"tenant '%s': memzone '%s' of %zu bytes at %p is not whole pages", t->name,
			zone->name, zone->len, zone->addr);
	} else if (r == NULL) {
		r = calloc(1, sizeof(*r));
		if (r == NULL) {
			rc = moat_error(-ENOMEM, "tenant '%s': out of memory", t->name);
		} else {
			*r = (struct tenant_ring){ .zone = zone,
				.va = zone->addr,
				.len = zone->len };
			r->of_queue = queue_of(zone->name, &r->port, &r->queue);
			TAILQ_INSERT_TAIL(&t->rings, r, next);
		}
	}
	if (rc == 0 && r != NULL) {
		r->left = false;
		if (!r->mapped && (!r->of_queue || queue_is_added(t, r)))
			rc = ring_map(t, r);
		if (rc != 0) {
			TAILQ_REMOVE(&t->rings, r, next);
			free(r);
		}
	}
	tenant_unlock(t);
	return rc;
}

int tenant_ring_free(struct moat_tenant *t, const struct rte_memzone *zone, moat_free_t dpdks)
{
	struct tenant_ring *r;
	int rc = 0;

	tenant_lock(t);
	r = ring_find(t, zone);
	if (r != NULL)
		rc = ring_unmap(t, r);
	if (r != NULL) {
		r->left = rc != 0;
		r->going = rc == 0;
	}
	tenant_unlock(t);
	if (rc != 0)
		return rc;
	/* If this fails, the zone is not reserved any more, and its memory may be in use for
	 * something else. So the ring is not mapped again. */
	rc = dpdks(zone);
	if (r != NULL) {
		tenant_lock(t);
		TAILQ_REMOVE(&t->rings, r, next);
		tenant_unlock(t);
		free(r);
	}
	return rc;
}

int tenant_rings_free_left(struct moat_tenant *t)
{
	struct tenant_ring *r, *next;
	int rc = 0;

	for (r = TAILQ_FIRST(&t->rings); r != NULL && rc == 0; r = next) {
		next = TAILQ_NEXT(r, next);
		if (r->left && !r->going)
			rc = moat_device_free(rte_memzone_free, r->zone);
	}
	return rc;
}

/* ----------------------------------------------------------------------------- adding a queue */

struct heap_walk {
	struct moat_tenant *t;
	uint16_t port;
	uint8_t *want; /* by page of the heap: the permission to set (enum moat_prot) */
	int rc;
};

/* Note in `want` the whole pages of a memzone that moat did not see being reserved. */
static void walk_unseen(struct heap_walk *w, const struct rte_memzone *zone)
{
	const uint8_t *from = RTE_PTR_ALIGN_CEIL(zone->addr, MOAT_PAGE_SIZE);
	const uint8_t *end =
		RTE_PTR_ALIGN_FLOOR(RTE_PTR_ADD(zone->addr, zone->len), MOAT_PAGE_SIZE);
	bool whole = from == zone->addr && end == RTE_PTR_ADD(zone->addr, zone->len);
	uint16_t port, queue;

	if (!whole && queue_of(zone->name, &port, &queue) && port == w->port) {
		w->rc = moat_error(-EINVAL,
			"tenant '%s': ring '%s' of %zu bytes shares pages with DPDK's bookkeeping, which a "
			"device must not reach; link the program as `pkg-config --libs moat` says "
			"(moat_device.h), so that rings get pages of their own",
			w->t->name, zone->name, zone->len);
		return;
	}
	if (!whole && !w->t->said_partial) {
		w->t->said_partial = true;
		TENANT_LOG(WARNING,
			"tenant '%s': the device reaches only those pages of memzone '%s' that lie wholly in "
			"it, because moat did not see the memzone being reserved (moat_device.h)",
			w->t->name, zone->name);
	}
	for (; from < end; from += MOAT_PAGE_SIZE)
		w->want[(from - w->t->va) >> MOAT_PAGE_SHIFT] = MOAT_RW;
}

static void walk_zone(const struct rte_memzone *zone, void *arg)
{
	struct heap_walk *w = arg;
	const struct tenant_ring *r;

	if (w->rc != 0 || !tenant_in_heap(w->t, zone->addr) ||
		!tenant_zone_is_for_device(zone->name))
		return;
	TAILQ_FOREACH (r, &w->t->rings, next)
		if (r->zone == zone)
			return;
	walk_unseen(w, zone);
}

/* Map and unmap as `want` says, page by page, because a unit may not unmap a part of one map. */
static int pages_follow(struct moat_tenant *t, const uint8_t *want)
{
	struct tenant_lcore *lc = tenant_lcore_control(t);
	int rc = 0, drained;

	if (lc == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < t->heap_len >> MOAT_PAGE_SHIFT && rc == 0; i++) {
		uint8_t *va = t->va + (i << MOAT_PAGE_SHIFT);

		if (t->page_prot[i] == want[i])
			continue;
		if (want[i] != 0) {
			rc = pages_map(t, lc, va, MOAT_PAGE_SIZE, MOAT_PAGE_SIZE);
			continue;
		}
		rc = tenant_unmap_wait(t, lc, va, MOAT_PAGE_SIZE);
		if (rc == 0)
			t->page_prot[i] = 0;
	}
	drained = tenant_drain_once(t, lc);
	return rc != 0 ? rc : drained;
}

/* Set moat_error_text() to why pages_follow() failed with `rc`. */
static void say_unfollowed(const struct moat_tenant *t, int rc)
{
	unsigned int ended = tenant_ended_lcore(t);
	char why[256];

	snprintf(why, sizeof(why), "%s", moat_error_text());
	if (rc == -ETIMEDOUT && ended != RTE_MAX_LCORE)
		moat_error(rc,
			"tenant '%s': unmapping its rings is not done after 1 s: lcore %u has entered and does "
			"not poll (its function has ended); call moat_tenant_lcore_leave() there",
			t->name, ended);
	else if (rc == -ETIMEDOUT)
		moat_error(rc, "tenant '%s': unmapping its rings is not done after 1 s: %s%s",
			t->name, why, tenant_who_is_in(t));
	else
		moat_error(rc, "tenant '%s': its rings cannot be mapped or unmapped: %s", t->name,
			rc == -ENOMEM ? "out of memory" : why);
}

/* The tenant is locked. */
int tenant_rings_sync(struct moat_tenant *t, uint16_t port)
{
	struct heap_walk w = { .t = t, .port = port };
	struct tenant_ring *r;

	w.want = calloc(t->heap_len >> MOAT_PAGE_SHIFT, 1);
	if (w.want == NULL)
		return moat_error(-ENOMEM, "tenant '%s': out of memory", t->name);
	rte_memzone_walk(walk_zone, &w);
	TAILQ_FOREACH (r, &t->rings, next) {
		if (w.rc == 0 && !r->mapped && r->of_queue && !r->going && queue_is_added(t, r))
			w.rc = ring_map(t, r);
		if (r->mapped)
			memset(&w.want[(r->va - t->va) >> MOAT_PAGE_SHIFT], MOAT_RW,
				r->len >> MOAT_PAGE_SHIFT);
	}
	if (w.rc == 0) {
		w.rc = pages_follow(t, w.want);
		if (w.rc != 0)
			say_unfollowed(t, w.rc);
	}
	free(w.want);
	return w.rc;
}

/* ------------------------------------------------------------------------- what is in the heap */

void tenant_rings_say_unadded(struct moat_tenant *t)
{
	struct tenant_ring *r;

	tenant_lock(t);
	TAILQ_FOREACH (r, &t->rings, next) {
		if (!r->of_queue || r->mapped || r->said || queue_is_added(t, r))
			continue;
		r->said = true;
		TENANT_LOG(ERR,
			"tenant '%s': ring '%s' lies in its memory, but queue %u of port %u was not added: the "
			"device cannot reach the ring; call moat_tenant_queue_add() for the queue",
			t->name, r->zone->name, r->queue, r->port);
	}
	tenant_unlock(t);
}

struct first_zone {
	const struct moat_tenant *t;
	char name[RTE_MEMZONE_NAMESIZE];
};

static void walk_first(const struct rte_memzone *zone, void *arg)
{
	struct first_zone *first = arg;

	if (first->name[0] == '\0' && tenant_in_heap(first->t, zone->addr))
		snprintf(first->name, sizeof(first->name), "%s", zone->name);
}

int tenant_heap_busy(const struct moat_tenant *t)
{
	struct rte_malloc_socket_stats stats = { 0 };
	struct first_zone first = { .t = t };

	if (!t->heap || rte_malloc_get_socket_stats(t->socket, &stats) != 0 ||
		stats.alloc_count == 0)
		return 0;
	rte_memzone_walk(walk_first, &first);
	if (first.name[0] == '\0')
		return moat_error(-EBUSY,
			"tenant '%s': %u objects allocated by rte_malloc_socket() are still in its memory; free "
			"them first",
			t->name, stats.alloc_count);
	return moat_error(-EBUSY,
		"tenant '%s': memzone '%s' is still in its memory; close the port (or free the memzone) "
		"first",
		t->name, first.name);
}
