/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_string_fns.h>

#include "tenant_impl.h"

static const char *const mode_names[MOAT_MODES] = {
	[MOAT_STATIC] = "static",
	[MOAT_STRICT] = "strict",
	[MOAT_PIPELINED] = "pipelined",
	[MOAT_DEFERRED] = "deferred",
	[MOAT_COPY] = "copy",
};

const char *moat_mode_name(enum moat_mode mode)
{
	return mode < MOAT_MODES ? mode_names[mode] : "unknown";
}

int moat_mode_parse(const char *text, enum moat_mode *mode)
{
	for (unsigned int i = 0; i < MOAT_MODES; i++) {
		if (strcmp(text, mode_names[i]) == 0) {
			*mode = i;
			return 0;
		}
	}
	return moat_error(-EINVAL,
		"mode '%s' is unknown; it is one of static, strict, pipelined, deferred, copy",
		text);
}

/* --------------------------------------------------------------------------- lcores */

/* Who has not entered is not measured. */
static struct moat_cost_watch no_watch;

struct tenant_lcore *tenant_lcore_make(struct moat_tenant *t, unsigned int slot)
{
	struct tenant_lcore *lc = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*lc));

	if (lc == NULL)
		return NULL;
	memset(lc, 0, sizeof(*lc));
	lc->watch = &no_watch;
	lc->cost.per_burst = calloc(1, sizeof(*lc->cost.per_burst));
	lc->lane = lc->cost.per_burst != NULL ? moat_lane_open(t->domain) : NULL;
	if (lc->lane == NULL) {
		free(lc->cost.per_burst);
		free(lc);
		return NULL;
	}
	/* Release: a report on another thread that finds the pointer finds what it points to. */
	__atomic_store_n(&t->lcores[slot], lc, __ATOMIC_RELEASE);
	return lc;
}

int moat_tenant_lcore_enter(struct moat_tenant *t)
{
	struct tenant_lcore *lc;

	if (rte_lcore_id() >= RTE_MAX_LCORE)
		return moat_error(-EINVAL, "tenant '%s': only an EAL lcore can poll", t->name);
	lc = tenant_lcore(t);
	if (lc == NULL)
		return -ENOMEM;
	lc->watch = &RTE_PER_LCORE(moat_cost_watch);
	lc->entered = true;
	moat_lane_online(lc->lane);
	return 0;
}

int moat_tenant_lcore_leave(struct moat_tenant *t)
{
	struct tenant_lcore *lc = t->lcores[tenant_slot()];
	int rc;

	if (lc == NULL || !lc->entered)
		return moat_error(-EINVAL, "tenant '%s': this lcore has not entered", t->name);
	rc = moat_lane_drain(lc->lane);
	for (unsigned int i = 0; i < t->nr_pools; i++) {
		moat_pool_release(t->pools[i], lc->lane->done);
		moat_pool_leave(t->pools[i]);
	}
	lc->entered = false;
	lc->watch = &no_watch;
	moat_lane_offline(lc->lane);
	return rc;
}

void moat_tenant_poll(struct moat_tenant *t)
{
	struct tenant_lcore *lc = tenant_lcore(t);
	struct moat_lane *lane = lc->lane;
	moat_ticket_t before = lane->done;

	if (t->conf.mode == MOAT_DEFERRED)
		tenant_deferred_flush(t, lc, rte_rdtsc());
	else
		tenant_flush(lane); /* what a full queue refused earlier */
	if (moat_lane_poll(lane) != before)
		for (unsigned int i = 0; i < t->nr_pools; i++)
			moat_pool_release(t->pools[i], lane->done);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_RECLAIM);
}

struct moat_lane *moat_tenant_lane(struct moat_tenant *t)
{
	struct tenant_lcore *lc = t->lcores[tenant_slot()];

	return lc != NULL ? lc->lane : NULL;
}

struct moat_cost *moat_tenant_cost(struct moat_tenant *t)
{
	struct tenant_lcore *lc = tenant_lcore(t);

	return lc != NULL ? &lc->cost : NULL;
}

/* --------------------------------------------------------------------- creating, destroying */

/* Where buffers are not taken from the device one by one, it has them all, for good. */
static int map_for_good(struct moat_tenant *t)
{
	struct tenant_lcore *lc = tenant_lcore(t);
	uint64_t len = t->len - t->heap_len;
	int rc;

	if (lc == NULL)
		return -ENOMEM;
	if (tenant_protects(t))
		return 0;
	rc = tenant_map(t, lc->lane, t->va + t->heap_len, len, MOAT_RW);
	if (rc != 0)
		return moat_error(rc, "tenant '%s': mapping 0x%" PRIx64 " bytes failed: %s",
			t->name, len, strerror(-rc));
	memset(&t->page_prot[t->heap_len >> MOAT_PAGE_SHIFT], MOAT_RW, len >> MOAT_PAGE_SHIFT);
	return 0;
}

/* Take away what is mapped, in runs. */
static int unmap_pages(struct moat_tenant *t, struct moat_lane *lane)
{
	uint64_t n = t->len >> MOAT_PAGE_SHIFT, run;
	int rc = 0;

	for (uint64_t i = 0; t->page_prot != NULL && i < n && rc == 0; i += run) {
		for (run = 1; i + run < n && t->page_prot[i + run] == t->page_prot[i]; run++)
			;
		if (t->page_prot[i] == 0)
			continue;
		do {
			rc = tenant_unmap(t, lane, t->va + (i << MOAT_PAGE_SHIFT),
				run << MOAT_PAGE_SHIFT);
			if (rc == -EAGAIN)
				rc = moat_lane_drain(lane) != 0 ? -EIO : -EAGAIN;
		} while (rc == -EAGAIN);
		if (rc == 0)
			memset(&t->page_prot[i], 0, run);
	}
	return rc;
}

/* Everything is idle: take the mappings away so that the domain is empty, close the lanes. */
static int unmap_all(struct moat_tenant *t)
{
	struct tenant_lcore *lc = tenant_lcore(t);
	int rc = lc != NULL ? unmap_pages(t, lc->lane) : -ENOMEM;

	for (unsigned int i = 0; i < TENANT_SLOTS && rc == 0; i++) {
		if (t->lcores[i] == NULL)
			continue;
		rc = moat_lane_close(t->lcores[i]->lane);
		if (rc == 0) {
			free(t->lcores[i]->cost.per_burst);
			free(t->lcores[i]);
			t->lcores[i] = NULL;
		}
	}
	return rc;
}

static int busy(struct moat_tenant *t)
{
	if (t->nr_queues != 0)
		return moat_error(-EBUSY, "tenant '%s' still has %u queues; remove them first",
			t->name, t->nr_queues);
	for (unsigned int i = 0; i < TENANT_SLOTS; i++)
		if (t->lcores[i] != NULL && t->lcores[i]->entered)
			return moat_error(-EBUSY, "tenant '%s': lcore %u is still polling", t->name,
				i);
	for (unsigned int i = 0; i < t->nr_pools; i++) {
		unsigned int in_use = rte_mempool_in_use_count(t->pools[i]->mp);

		if (in_use != 0)
			return moat_error(-EBUSY,
				"tenant '%s': %u buffers of pool '%s' have not come back", t->name,
				in_use, t->pools[i]->mp->name);
	}
	return 0;
}

static int tear_down(struct moat_tenant *t)
{
	int rc = 0;

	if (t->domain != NULL) {
		rc = unmap_all(t);
		if (rc == 0)
			rc = moat_domain_destroy(t->domain);
		if (rc != 0)
			return rc; /* what the unit might still reach is never freed */
	}
	rte_mempool_free(t->private);
	while (t->nr_pools != 0)
		tenant_pool_destroy(t->pools[--t->nr_pools]);
	tenant_memory_destroy(t);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return 0;
}

int moat_tenant_create(const struct moat_tenant_conf *conf, struct moat_tenant **tenant)
{
	struct moat_domain_conf domain = {
		.name = conf->name,
		.width = conf->width,
		.leaf_sizes = conf->leaf_sizes,
		.iova_base = MOAT_PAGE_SIZE,
	};
	struct moat_tenant *t = calloc(1, sizeof(*t));
	int rc;

	if (t == NULL)
		return moat_error(-ENOMEM, "no memory for tenant '%s'", conf->name);
	t->conf = *conf;
	rte_strscpy(t->name, conf->name, sizeof(t->name));
	t->conf.name = t->name;
	if (t->conf.deferred_pages == 0)
		t->conf.deferred_pages = 256;
	if (t->conf.deferred_us == 0)
		t->conf.deferred_us = 10000;
	pthread_mutex_init(&t->lock, NULL);
	rc = moat_domain_create(conf->unit, &domain, &t->domain);
	if (rc == 0)
		rc = tenant_memory_create(t);
	if (rc == 0)
		rc = map_for_good(t);
	if (rc != 0) {
		tear_down(t);
		return rc;
	}
	*tenant = t;
	return 0;
}

int moat_tenant_destroy(struct moat_tenant *t)
{
	int rc = busy(t);

	return rc != 0 ? rc : tear_down(t);
}

/* ------------------------------------------------------------------------------ queues */

static int find_queue(const struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	for (unsigned int i = 0; i < t->nr_queues; i++)
		if (t->queues[i]->port == port && t->queues[i]->queue == queue)
			return (int)i;
	return -1;
}

static void queue_free(struct tenant_queue *q)
{
	if (q->rx != NULL)
		rte_eth_remove_rx_callback(q->port, q->queue, q->rx);
	if (q->tx != NULL)
		rte_eth_remove_tx_callback(q->port, q->queue, q->tx);
	tenant_held_destroy(q->held);
	free(q);
}

int moat_tenant_queue_add(struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	rte_rx_callback_fn rx = tenant_rx_callback(t);
	rte_tx_callback_fn tx = tenant_tx_callback(t);
	struct tenant_queue *q;
	bool ok = true;
	int rc;

	if (find_queue(t, port, queue) >= 0)
		return moat_error(-EEXIST, "tenant '%s' has queue %u of port %u already", t->name,
			queue, port);
	rc = tenant_rings_sync(t);
	if (rc != 0)
		return rc;
	q = t->nr_queues < TENANT_QUEUES ? calloc(1, sizeof(*q)) : NULL;
	if (q == NULL)
		return moat_error(-ENOMEM, "tenant '%s': no room for another queue", t->name);
	*q = (struct tenant_queue){ .tenant = t, .port = port, .queue = queue };
	if (t->conf.mode == MOAT_PIPELINED)
		ok = (q->held = tenant_held_create()) != NULL;
	if (ok && rx != NULL)
		ok = (q->rx = rte_eth_add_rx_callback(port, queue, rx, q)) != NULL;
	if (ok && tx != NULL)
		ok = (q->tx = rte_eth_add_tx_callback(port, queue, tx, q)) != NULL;
	if (!ok) {
		queue_free(q);
		return moat_error(-rte_errno, "queue %u of port %u takes no callbacks: %s", queue,
			port, rte_strerror(rte_errno));
	}
	t->queues[t->nr_queues++] = q;
	return 0;
}

/* What mode pipelined still holds is freed: after the lcore has left, its tickets are done. */
int moat_tenant_queue_remove(struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	int i = find_queue(t, port, queue);

	if (i < 0)
		return moat_error(-ENOENT, "tenant '%s' has no queue %u of port %u", t->name, queue,
			port);
	queue_free(t->queues[i]);
	t->queues[i] = t->queues[--t->nr_queues];
	return tenant_rings_sync(t);
}

uint16_t moat_tenant_held(struct moat_tenant *t, uint16_t port, uint16_t queue,
	struct rte_mbuf *pkts[], uint16_t max)
{
	int i = find_queue(t, port, queue);

	return i < 0 ? 0 : tenant_held_get(t->queues[i], pkts, max);
}

/* ----------------------------------------------------------------------------- asking */

const char *moat_tenant_name(const struct moat_tenant *t)
{
	return t->name;
}

enum moat_mode moat_tenant_mode(const struct moat_tenant *t)
{
	return t->conf.mode;
}

struct moat_domain *moat_tenant_domain(struct moat_tenant *t)
{
	return t->domain;
}

uint64_t moat_tenant_page_size(const struct moat_tenant *t)
{
	return t->memory.page_size;
}

int moat_tenant_attach(struct moat_tenant *t, moat_sid_t sid)
{
	return moat_domain_attach(t->domain, sid);
}

int moat_tenant_detach(struct moat_tenant *t, moat_sid_t sid)
{
	return moat_domain_detach(t->domain, sid);
}

int moat_tenant_socket(const struct moat_tenant *t)
{
	return t->socket;
}

void moat_tenant_bursts(struct moat_tenant *t, enum moat_stage stage, struct moat_hist *hist)
{
	memset(hist, 0, sizeof(*hist));
	for (unsigned int i = 0; i < TENANT_SLOTS; i++) {
		/* Acquire: as in moat_tenant_stats(). */
		const struct tenant_lcore *lc = __atomic_load_n(&t->lcores[i], __ATOMIC_ACQUIRE);

		if (lc != NULL)
			moat_hist_merge(hist, &lc->cost.per_burst->hist[stage]);
	}
}

void moat_tenant_stats(struct moat_tenant *t, struct moat_tenant_stats *stats)
{
	uint64_t longest = 0;

	memset(stats, 0, sizeof(*stats));
	for (unsigned int i = 0; i < TENANT_SLOTS; i++) {
		/* Acquire: pairs with tenant_lcore_make(). The counters are read as they are. */
		struct tenant_lcore *lc = __atomic_load_n(&t->lcores[i], __ATOMIC_ACQUIRE);
		const uint64_t *lane;

		if (lc == NULL)
			continue;
		moat_cost_add(&stats->cost, &lc->cost);
		lane = (const uint64_t *)&lc->lane->stats;
		for (unsigned int k = 0; k < sizeof(stats->lane) / sizeof(*lane); k++)
			((uint64_t *)&stats->lane)[k] +=
				__atomic_load_n(&lane[k], __ATOMIC_RELAXED);
		longest = RTE_MAX(longest, lc->lane->stats.exposed_max);
		stats->iotlb_hits += lc->lane->iotlb.hits;
		stats->iotlb_misses += lc->lane->iotlb.misses;
		stats->iotlb_faults += lc->lane->iotlb.faults;
		stats->verify_failed += lc->verify_failed;
		stats->waits += lc->waits;
		stats->starved += lc->starved;
		stats->map_failed += lc->map_failed;
		stats->overrun += lc->overrun;
		stats->lost += lc->lost;
		stats->copied += lc->copied;
		stats->delay_max = RTE_MAX(stats->delay_max, lc->delay_max);
	}
	for (unsigned int i = 0; i < t->nr_queues; i++)
		stats->held += tenant_held_count(t->queues[i]->held);
	for (unsigned int i = 0; i < t->nr_pools; i++)
		stats->quarantined += moat_pool_quarantined(t->pools[i]);
	stats->lane.exposed_max = longest;
}
