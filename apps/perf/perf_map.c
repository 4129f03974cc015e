/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Test map. An lcore maps a batch of granules, lets a device access them, unmaps them and submits;
 * it uses a granule again when the ticket of its last unmap is done. When the lcore waits depends
 * on the mode:
 *	strict     right after submitting
 *	pipelined  before it uses a batch again whose ticket is not done
 *	deferred   as pipelined, but it submits only by count or time
 *	static     never: all granules are mapped before, and only their addresses are handed on
 *	copy       never: granules are copied to or from permanently mapped ones
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#include "moat_policy.h"
#include "moat_soft_unit.h"
#include "perf_work.h"

#define PATIENCE_MS 2000 /* for a ticket */
#define DMA_BURST   32

struct map_work {
	struct moat_domain *domain; /* the lcore's own, or the first lcore's */
	struct moat_domain *parent; /* of the lcore's own domain; NULL: none */
	struct perf_guest guest;
	bool owns_domain;
	moat_sid_t sid;
	bool attached;
	struct moat_lane *lane;
	bool mapped; /* static, copy: all granules are mapped */
	struct perf_place place;
	uint8_t *private;              /* copy: memory that no device reaches */
	moat_ticket_t *tickets;        /* of each batch */
	struct moat_softvtd *sv;       /* the software device's unit; NULL: no DMA */
	struct moat_deferred deferred; /* deferred: when to submit */
	struct moat_lane_stats before;
};

#define STOPWATCH (&RTE_PER_LCORE(moat_cost_watch))

static enum moat_prot prot_of(const struct perf_case *c)
{
	static const enum moat_prot prots[] = {
		[PERF_TO_DEVICE] = MOAT_R,
		[PERF_FROM_DEVICE] = MOAT_W,
		[PERF_BOTH] = MOAT_RW,
	};

	return prots[c->direction];
}

/* ------------------------------------------------------------------------------------- waiting */

/* Submit the gathered runs, and count them by size. */
static moat_ticket_t flush(struct perf_work *w, struct map_work *m)
{
	struct moat_lane *lane = m->lane;
	struct moat_cost_watch *watch = STOPWATCH;
	moat_ticket_t ticket;

	moat_cost_mark(watch, &w->cost, MOAT_STAGE_UNMAP);
	for (unsigned int i = 0; i < moat_lane_runs(lane); i++) {
		unsigned int size =
			63 - __builtin_clzll(moat_lane_run(lane, i).len >> MOAT_PAGE_SHIFT);

		w->runs[size < PERF_RUN_SIZES ? size : PERF_RUN_SIZES - 1]++;
	}
	moat_cost_start(watch); /* charge the counting of runs to no stage */
	moat_deferred_submitted(&m->deferred);
	ticket = moat_lane_flush(lane);
	moat_cost_mark(watch, &w->cost, MOAT_STAGE_SUBMIT);
	return ticket;
}

/* Wait until the ticket is done, and charge the time to the stage WAIT. */
static int wait_for(struct perf_work *w, struct map_work *m, moat_ticket_t ticket)
{
	uint64_t patience = rte_get_tsc_hz() / 1000 * PATIENCE_MS;
	uint64_t deadline = rte_rdtsc() + patience;
	int rc = 0;

	if (moat_lane_done(m->lane, ticket))
		return 0;
	w->waits++;
	while (rc == 0 && !moat_lane_done(m->lane, ticket)) {
		if (ticket > moat_lane_last_ticket(m->lane))
			flush(w, m);
		moat_lane_poll(m->lane);
		rte_pause();
		if (unlikely(rte_rdtsc() > deadline)) /* for an error that says what is missing */
			rc = moat_lane_drain(m->lane);
	}
	moat_cost_mark(STOPWATCH, &w->cost, MOAT_STAGE_WAIT);
	return rc;
}

/* A call returned -EAGAIN: the oldest batch in flight must be completed first. */
static int make_room(struct perf_work *w, struct map_work *m)
{
	flush(w, m);
	return wait_for(w, m, moat_lane_last_done(m->lane) + 1);
}

/* ----------------------------------------------------------------------------- map and unmap */

static int map_granule(struct perf_work *w, struct map_work *m, struct perf_slot *slot)
{
	if (w->c->layout == PERF_ALLOCATED) {
		int rc = moat_iova_alloc(m->domain->iova, moat_lane_iovas(m->lane),
			m->place.granule, 0, &slot->iova);

		if (unlikely(rc != 0))
			return rc;
	}
	return moat_memory_map(&m->place.memory, m->lane, slot->off, slot->iova, m->place.granule,
		prot_of(w->c));
}

static int unmap_granule(struct perf_work *w, struct map_work *m, const struct perf_slot *slot)
{
	struct moat_lane *lane = m->lane;
	int rc;

	/* The lane would flush by itself, but then its runs would not be counted. */
	if (unlikely(moat_lane_run_room(lane) == 0))
		flush(w, m);
	do {
		rc = w->c->layout == PERF_ALLOCATED
			? moat_lane_unmap_free(lane, slot->iova, m->place.granule)
			: moat_lane_unmap(lane, slot->iova, m->place.granule);
		if (likely(rc != -EAGAIN))
			return rc;
		rc = make_room(w, m);
	} while (rc == 0);
	return rc;
}

/* Submit after a batch of unmaps, if it is time. @return the batch's ticket, which may be that of a
 * later flush */
static moat_ticket_t submit(struct perf_work *w, struct map_work *m)
{
	const struct moat_lane *lane = m->lane;
	moat_ticket_t ticket = 0;

	if (w->c->mode != MOAT_DEFERRED ||
		moat_deferred_due(&m->deferred, moat_lane_gathered(lane), rte_rdtsc()))
		ticket = flush(w, m);
	moat_cost_mark(STOPWATCH, &w->cost, MOAT_STAGE_SUBMIT);
	return ticket != 0 ? ticket : moat_lane_next_ticket(lane);
}

/* -------------------------------------------------------------------------------- the device */

static int dma(struct perf_work *w, struct map_work *m, struct moat_softvtd_dma burst[],
	unsigned int n)
{
	struct moat_softvtd_guard guard;
	enum moat_prot prot = w->c->direction == PERF_TO_DEVICE ? MOAT_R : MOAT_W;
	unsigned int whole;

	moat_softvtd_dma_begin(m->sv, m->sid, w->index, prot, &guard);
	for (unsigned int i = 0; i < n; i++) {
		burst[i].len = (uint32_t)w->c->dma;
		burst[i].prot = prot;
	}
	whole = moat_softvtd_dma_burst(&guard, burst, n);
	moat_softvtd_dma_end(&guard);
	if (likely(whole == n))
		return 0;
	return moat_error(-EFAULT, "the unit refused DMA to a page that is mapped");
}

/* Let the device move c->dma bytes in each 4 KiB of a batch. */
static int device_visits(struct perf_work *w, struct map_work *m, const struct perf_slot slots[])
{
	struct moat_softvtd_dma burst[DMA_BURST];
	unsigned int n = 0;
	int rc = 0;

	for (unsigned int i = 0; i < w->c->batch && rc == 0; i++) {
		for (uint64_t off = 0; off < m->place.granule && rc == 0; off += MOAT_PAGE_SIZE) {
			burst[n++].iova = slots[i].iova + off;
			if (n == DMA_BURST) {
				rc = dma(w, m, burst, n);
				n = 0;
			}
		}
	}
	if (n != 0 && rc == 0)
		rc = dma(w, m, burst, n);
	moat_cost_mark(STOPWATCH, &w->cost, MOAT_STAGE_DEVICE);
	return rc;
}

/* Mode static: let the device visit as many pages as a batch has, in the cyclic order of
 * place.order; `*at` is the index of the next one. */
static int device_wanders(struct perf_work *w, struct map_work *m, uint64_t *at)
{
	uint64_t in_granule = m->place.granule / MOAT_PAGE_SIZE;
	uint64_t pages = m->place.n * in_granule, left = w->c->batch * in_granule;
	struct moat_softvtd_dma burst[DMA_BURST];
	int rc = 0;

	while (left != 0 && rc == 0) {
		unsigned int n = (unsigned int)RTE_MIN(left, (uint64_t)DMA_BURST);

		for (unsigned int i = 0; i < n; i++) {
			uint32_t page = m->place.order[*at];

			burst[i].iova = m->place.slots[page / in_granule].iova +
				page % in_granule * MOAT_PAGE_SIZE;
			*at = *at + 1 == pages ? 0 : *at + 1;
		}
		rc = dma(w, m, burst, n);
		left -= n;
	}
	moat_cost_mark(STOPWATCH, &w->cost, MOAT_STAGE_DEVICE);
	return rc;
}

/* --------------------------------------------------------------------------------- a batch */

static int turn_unmapping(struct perf_work *w, struct map_work *m, unsigned int batch)
{
	struct perf_slot *slots = &m->place.slots[batch * w->c->batch];
	unsigned int n = (unsigned int)w->c->batch;
	struct moat_cost_watch *watch = STOPWATCH;
	int rc = wait_for(w, m, m->tickets[batch]);

	for (unsigned int i = 0; i < n && rc == 0; i++)
		rc = map_granule(w, m, &slots[i]);
	moat_cost_mark(watch, &w->cost, MOAT_STAGE_MAP);
	if (rc == 0 && m->sv != NULL)
		rc = device_visits(w, m, slots);
	if (rc == 0 && w->c->mode == MOAT_DEFERRED)
		moat_lane_expose(m->lane, (uint32_t)(n * m->place.granule >> MOAT_PAGE_SHIFT),
			rte_rdtsc());
	for (unsigned int i = 0; i < n && rc == 0; i++)
		rc = unmap_granule(w, m, &slots[i]);
	moat_cost_mark(watch, &w->cost, MOAT_STAGE_UNMAP);
	if (rc != 0)
		return rc;
	m->tickets[batch] = submit(w, m);
	if (w->c->mode == MOAT_STRICT)
		rc = wait_for(w, m, m->tickets[batch]);
	else
		moat_lane_poll(m->lane);
	moat_cost_mark(watch, &w->cost, MOAT_STAGE_RECLAIM);
	return rc;
}

static int turn_static(struct perf_work *w, struct map_work *m, unsigned int batch, uint64_t *at)
{
	const struct perf_slot *slots = &m->place.slots[batch * w->c->batch];
	uint64_t sum = 0;

	/* A driver hands a buffer to its device by writing the address into a descriptor. */
	for (unsigned int i = 0; i < w->c->batch; i++)
		sum += slots[i].iova;
	__asm__ volatile("" ::"r"(sum));
	moat_cost_mark(STOPWATCH, &w->cost, MOAT_STAGE_MAP);
	return m->sv != NULL ? device_wanders(w, m, at) : 0;
}

static int turn_copy(struct perf_work *w, struct map_work *m, unsigned int batch)
{
	const struct perf_slot *slots = &m->place.slots[batch * w->c->batch];
	uint64_t len = m->place.granule;
	uint8_t *shadow = m->place.memory.va;
	int rc = 0;

	for (unsigned int i = 0; i < w->c->batch && w->c->direction != PERF_FROM_DEVICE; i++)
		memcpy(shadow + slots[i].off, m->private + slots[i].off, len);
	moat_cost_mark(STOPWATCH, &w->cost, MOAT_STAGE_COPY);
	if (m->sv != NULL)
		rc = device_visits(w, m, slots);
	for (unsigned int i = 0; i < w->c->batch && w->c->direction != PERF_TO_DEVICE; i++)
		memcpy(m->private + slots[i].off, shadow + slots[i].off, len);
	moat_cost_mark(STOPWATCH, &w->cost, MOAT_STAGE_COPY);
	return rc;
}

static int turns(struct perf_work *w, struct map_work *m)
{
	unsigned int batches = m->place.n / (unsigned int)w->c->batch;
	struct moat_cost_watch *watch = STOPWATCH;
	uint64_t at = 0;
	int rc = 0;

	watch->on = true;
	for (unsigned int b = 0; rc == 0 && perf_work_goes_on(w);
		b = b + 1 == batches ? 0 : b + 1) {
		struct moat_cost before = w->cost;

		moat_cost_start(watch);
		if (w->c->mode == MOAT_STATIC)
			rc = turn_static(w, m, b, &at);
		else if (w->c->mode == MOAT_COPY)
			rc = turn_copy(w, m, b);
		else
			rc = turn_unmapping(w, m, b);
		perf_work_sample(w, &before, &w->cost, (unsigned int)w->c->batch);
		if (b + 1 == batches) /* relaxed: see struct perf_work */
			atomic_store_explicit(&w->warm, true, memory_order_relaxed);
	}
	watch->on = false;
	return rc;
}

static int loop(struct perf_work *w)
{
	struct map_work *m = w->test;
	int rc, drained;

	moat_lane_hand_on_early(m->lane, w->c->mode == MOAT_DEFERRED);
	moat_lane_online(m->lane);
	rc = turns(w, m);
	drained = moat_lane_drain(m->lane);
	moat_lane_offline(m->lane);
	return rc != 0 ? rc : drained;
}

static void mark(struct perf_work *w, bool begin)
{
	struct map_work *m = w->test;

	if (begin) {
		m->before = *moat_lane_stats(m->lane);
		return;
	}
	w->lane = *moat_lane_stats(m->lane);
	perf_lane_difference(&w->lane, &m->before);
}

/* ---------------------------------------------------------------------- setting up, taking down */

static int make_domain(struct perf_work *w, struct map_work *m, struct map_work *first)
{
	const struct perf_case *c = w->c;
	struct moat_domain_conf conf = { .leaf_sizes = c->page };
	const struct moat_unit_caps *caps = &w->unit->caps;
	uint64_t leaves = caps->nested.sagaw != 0 ? caps->nested.leaf_sizes : caps->leaf_sizes;
	char name[32];
	int rc;

	if (c->page != MOAT_PAGE_SIZE && caps->tables == MOAT_TABLES_OURS && !(leaves & c->page))
		return moat_error(-ENOTSUP, "unit %s has no leaves of %s; use page = 4K",
			w->unit->name, c->page == MOAT_2M_SIZE ? "2M" : "1G");
	if (c->domains == PERF_SHARED && m != first) {
		m->domain = first->domain;
		return 0;
	}
	snprintf(name, sizeof(name), "perf%u", w->index);
	conf.name = name;
	rc = perf_guest_create(w, &m->parent);
	if (rc != 0)
		return rc;
	conf.parent = m->parent;
	m->owns_domain = true;
	return moat_domain_create(w->unit, &conf, &m->domain);
}

/* Must a device be attached? First-stage entries are cached by PASID: without a device there is
 * nothing to invalidate. */
static bool needs_device(const struct moat_unit_caps *caps)
{
	return caps->nested.sagaw != 0 ||
		(caps->tables == MOAT_TABLES_OURS && caps->format == MOAT_PT_FIRST_STAGE);
}

/* Attach a software device for the lcore, or the file's device. */
static int attach(struct perf_work *w, struct map_work *m)
{
	const struct perf_case *c = w->c;
	int rc;

	if (c->device < 0 && c->dma == 0 && !needs_device(&w->unit->caps))
		return 0;
	if (c->device < 0 && !app_unit_in_process(c->unit->kind))
		return moat_error(-EINVAL,
			"unit %s caches first stage by PASID: without a device in the domain nothing "
			"would be invalidated; name a device with 'device', or measure stage=second",
			w->unit->name);
	if (c->device >= 0 && !m->owns_domain)
		return 0;
	if (c->device >= 0 && w->index > 0)
		return moat_error(-EINVAL,
			"device " MOAT_SID_FMT
			" cannot be in the domains of %u lcores; use domain = "
			"shared, or one lcore",
			MOAT_SID_ARGS((moat_sid_t)c->device), c->lcores);
	m->sid = c->device >= 0 ? (moat_sid_t)c->device : (moat_sid_t)MOAT_SID(0x20, w->index, 0);
	rc = moat_domain_attach(m->domain, m->sid);
	m->attached = rc == 0;
	if (rc == 0 && c->dma != 0)
		m->sv = moat_soft_unit_find(w->unit->name);
	return rc;
}

/* Modes static and copy: map all granules, once. */
static int map_for_good(struct perf_work *w, struct map_work *m)
{
	int rc = 0;

	if (w->c->mode != MOAT_STATIC && w->c->mode != MOAT_COPY)
		return 0;
	for (unsigned int i = 0; i < m->place.n && rc == 0; i++)
		rc = map_granule(w, m, &m->place.slots[i]);
	m->mapped = rc == 0;
	if (rc != 0 || w->c->mode == MOAT_STATIC)
		return rc;
	m->private = aligned_alloc(MOAT_PAGE_SIZE, m->place.memory.len);
	if (m->private == NULL)
		return moat_error(-ENOMEM, "no memory to copy into");
	memset(m->private, 1, m->place.memory.len);
	memset(m->place.memory.va, 2, m->place.memory.len);
	return 0;
}

static int create_one(struct perf_work *w, struct map_work *first)
{
	struct map_work *m = calloc(1, sizeof(*m));
	int rc;

	if (m == NULL)
		return moat_error(-ENOMEM, "no memory for an lcore's work");
	m->deferred = (struct moat_deferred){ .pages = MOAT_DEFERRED_PAGES,
		.cycles = rte_get_tsc_hz() / 1000000 * MOAT_DEFERRED_US };
	w->test = m;
	rc = make_domain(w, m, first != NULL ? first : m);
	if (rc == 0)
		rc = attach(w, m);
	if (rc == 0 && (m->lane = moat_lane_open(m->domain)) == NULL)
		rc = -ENOMEM;
	if (rc == 0)
		rc = perf_place_create(&m->place, w, m->domain, &m->guest);
	if (rc == 0 && (m->tickets = calloc(m->place.n, sizeof(*m->tickets))) == NULL)
		rc = moat_error(-ENOMEM, "no memory for the tickets of %u batches", m->place.n);
	return rc == 0 ? map_for_good(w, m) : rc;
}

static int create(struct perf_work works[], unsigned int n)
{
	int rc = 0;

	for (unsigned int i = 0; i < n && rc == 0; i++)
		rc = create_one(&works[i], i != 0 ? works[0].test : NULL);
	return rc;
}

static int unmap_place(struct perf_work *w, struct map_work *m)
{
	int rc = 0;

	for (unsigned int i = 0; m->mapped && i < m->place.n && rc == 0; i++)
		rc = unmap_granule(w, m, &m->place.slots[i]);
	return rc;
}

/* Begins with the last lcore: a shared domain is the first lcore's, and is destroyed last. */
static int destroy(struct perf_work works[], unsigned int n)
{
	int first = 0;

	while (n-- != 0) {
		struct map_work *m = works[n].test;
		int rc = 0;

		if (m == NULL)
			continue;
		if (m->lane != NULL) {
			rc = unmap_place(&works[n], m);
			rc = rc == 0 ? moat_lane_close(m->lane) : rc;
		}
		if (rc == 0 && m->attached)
			rc = moat_domain_detach(m->domain, m->sid);
		if (rc == 0)
			rc = perf_guest_unmap(&m->guest);
		if (rc == 0 && m->owns_domain && m->domain != NULL)
			rc = moat_domain_destroy(m->domain);
		if (rc == 0 && m->parent != NULL)
			rc = moat_domain_destroy(m->parent);
		if (rc == 0) /* memory that a unit might still reach is not freed */
			perf_place_destroy(&m->place);
		free(m->private);
		free(m->tickets);
		free(m);
		works[n].test = NULL;
		first = first != 0 ? first : rc;
	}
	return first;
}

const struct perf_ops perf_map_ops = { create, loop, destroy, mark };
