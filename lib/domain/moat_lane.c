/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_prefetch.h>
#include <rte_string_fns.h>

#include "domain_nest.h"
#include "lane_impl.h"
#include "moat_counter.h"
#include "moat_probe.h"
#include "moat_slab.h"
#include "pt_nest.h"

/* Lanes: open, map, unmap, close. lane_submit.c and lane_complete.c do the rest of an unmap. */

/* ------------------------------------------------------------------------- opening, closing */

static struct moat_slab lanes = MOAT_SLAB(struct lane);

static int reader_alloc(struct domain_impl *impl, unsigned int *id)
{
	int rc = -ENOSPC;

	pthread_mutex_lock(&impl->lock);
	for (unsigned int i = 0; i < MOAT_DOMAIN_LANES && rc != 0; i++) {
		if (impl->lanes[i / 64] & (UINT64_C(1) << (i % 64)))
			continue;
		impl->lanes[i / 64] |= UINT64_C(1) << (i % 64);
		impl->nr_lanes++;
		*id = i;
		rc = 0;
	}
	pthread_mutex_unlock(&impl->lock);
	return rc;
}

static void reader_free(struct domain_impl *impl, unsigned int id)
{
	pthread_mutex_lock(&impl->lock);
	impl->lanes[id / 64] &= ~(UINT64_C(1) << (id % 64));
	impl->nr_lanes--;
	pthread_mutex_unlock(&impl->lock);
}

/* Allocate the lane's reader ids, in its domain and in the parent, if any. @return 0, -ENOSPC */
static int readers_alloc(struct lane *lane)
{
	struct moat_domain *domain = lane->domain, *full = domain;
	int rc = reader_alloc(domain_impl(domain), &lane->reader);

	if (rc == 0 && domain->nesting == MOAT_NEST_CHILD) {
		full = domain->parent;
		rc = reader_alloc(domain_impl(full), &lane->parent_reader);
		if (rc != 0)
			reader_free(domain_impl(domain), lane->reader);
	}
	return rc == 0
		? 0
		: moat_error(rc, "domain '%s' has %u lanes already%s; use fewer lcores", full->name,
			  MOAT_DOMAIN_LANES, full != domain ? ", with those of its children" : "");
}

static void readers_free(const struct lane *lane)
{
	if (lane->domain->nesting == MOAT_NEST_CHILD)
		reader_free(domain_impl(lane->domain->parent), lane->parent_reader);
	reader_free(domain_impl(lane->domain), lane->reader);
}

struct moat_lane *moat_lane_open(struct moat_domain *domain)
{
	struct lane *lane;

	if (domain == NULL) {
		moat_error(-EINVAL, "moat_lane_open(): the domain is NULL");
		return NULL;
	}
	lane = moat_slab_alloc(&lanes);
	if (lane == NULL || lane_stock_fill() != 0) {
		moat_error(-ENOMEM, "no memory for a lane of domain '%s'", domain->name);
		moat_slab_free(&lanes, lane);
		return NULL;
	}
	lane->domain = domain;
	atomic_init(&lane->done, 1); /* so that 0 is never a ticket */
	lane->sent = 1;
	lane->flushed = 1;
	moat_iotlb_init(&lane->pub.iotlb, domain->pt);
	lane->pub.iotlb.offline = true;
	if (readers_alloc(lane) != 0) {
		moat_slab_free(&lanes, lane);
		return NULL;
	}
	lane->iovas = moat_iova_cache_create(domain->iova);
	if (lane->iovas == NULL) {
		readers_free(lane);
		moat_slab_free(&lanes, lane);
		return NULL;
	}
	rte_rcu_qsbr_thread_register(domain->readers, lane->reader);
	if (domain->nesting == MOAT_NEST_CHILD)
		rte_rcu_qsbr_thread_register(domain->parent->readers, lane->parent_reader);
	return &lane->pub;
}

int moat_lane_close(struct moat_lane *pub)
{
	struct moat_domain *domain;
	struct lane *lane;
	int rc;

	if (pub == NULL)
		return moat_error(-EINVAL, "moat_lane_close(): the lane is NULL");
	lane = lane_own(pub);
	domain = lane->domain;
	lane_disown(lane);
	rc = moat_lane_drain(pub);
	if (rc != 0)
		return rc;
	moat_lane_offline(pub);
	rte_rcu_qsbr_thread_unregister(domain->readers, lane->reader);
	if (domain->nesting == MOAT_NEST_CHILD)
		rte_rcu_qsbr_thread_unregister(domain->parent->readers, lane->parent_reader);
	moat_iova_cache_destroy(lane->iovas);
	readers_free(lane);
	free(lane->gathering); /* empty, or it would have been flushed */
	moat_slab_free(&lanes, lane);
	return 0;
}

/* --------------------------------------------------------------------------- map and unmap */

/* After a map: flush write buffers (CAP.RWBF), and invalidate if a unit may have cached the absence
 * of its entries (CAP.CM). */
static int settle_map(struct lane *lane, uint64_t iova, uint64_t len)
{
	struct domain_impl *impl = domain_impl(lane->domain);
	struct moat_gather gather = { 0 };
	bool absent = false;
	int rc = domain_flush_writes(lane->domain);

	if (rc == 0 && lane->domain->nesting == MOAT_NEST_CHILD)
		rc = nest_window_settle(lane->domain->parent, &lane->stats.descriptors);
	/* acquire: pairs with the release in domain_join() */
	for (uint32_t i = atomic_load_explicit(&impl->nr_units, memory_order_acquire); i-- != 0;)
		absent |= impl->units[i].unit->caps.caching_mode;
	if (rc != 0 || !absent)
		return rc;
	moat_gather_add(&gather, iova, len);
	gather.tables = true; /* a table page may be new; absent upper entries are cached, too */
	return domain_invalidate_sync(lane->domain, &gather, &lane->stats.descriptors);
}

/* Tell the witness before the entries are stored, because the device may use them at once, and only
 * if they can be stored. @return true: it was told */
static bool tell_mapped(struct lane *lane, uint64_t iova, uint64_t len, enum moat_prot prot)
{
	struct moat_domain *domain = lane->domain;
	struct moat_pt_leaf leaf;

	for (uint64_t off = 0; off < len; off += MOAT_PAGE_SIZE)
		if (moat_pt_walk(domain->pt, iova + off, &leaf) != -ENOENT ||
			pt_is_revoked(domain->pt, iova + off))
			return false;
	if (lane->back)
		prot |= MOAT_TAKEN_BACK;
	domain->unit->witness->mapped(domain->unit->witness, domain->did, iova, len, prot);
	return true;
}

/* Tell the witness that the map has failed: no entry was ever stored. */
static void tell_not_mapped(struct lane *lane, uint64_t iova, uint64_t len)
{
	struct moat_witness *witness = lane->domain->unit->witness;
	uint64_t cause = lane_cause(lane, lane->flushed + 1);

	witness->unmapped(witness, lane->domain->did, iova, len, cause);
	witness->released(witness, lane->domain->did, iova, len, cause);
}

/* Does the range touch what this lane has gathered and not unmapped yet? */
static bool is_gathered(struct lane *lane, uint64_t iova, uint64_t len)
{
	const struct moat_gather *g = lane->gathering != NULL ? &lane->gathering->gather : NULL;

	for (uint32_t i = 0; g != NULL && i < g->n; i++)
		if (iova < g->run[i].iova + g->run[i].len && g->run[i].iova < iova + len)
			return true;
	return false;
}

/* Map in a unit that keeps the tables. Gathered pages are still mapped there. So if a page is
 * mapped again before its batch is flushed (mode deferred), flush first: the later unmap would
 * remove the new mapping. */
static int map_call(struct lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot)
{
	struct moat_domain *domain = lane->domain;
	struct moat_pt_freed freed = { 0 };
	uint64_t bad = iova;
	int rc;

	if (is_gathered(lane, iova, len) && moat_lane_flush(&lane->pub) == 0)
		return -EAGAIN;
	rc = moat_pt_map(domain->pt, iova, hpa, va, len, prot, &bad);
	if (rc != 0)
		return rc;
	rc = domain->unit->ops->map(domain->unit, domain->priv, iova, va, len, prot);
	if (rc != 0) {
		moat_pt_unmap(domain->pt, iova, len, &freed, &bad);
		moat_pt_pool_retire(domain->unit->pool, &freed);
		return rc;
	}
	moat_counter_add(&lane->stats.pages_mapped, len >> MOAT_PAGE_SHIFT);
	MOAT_PROBE4(map, domain->did, iova, len, prot);
	return 0;
}

/* Map in tables that lib/pt writes, and settle the map on units that need that. On an error the
 * entries are removed again. */
static int map_entries(struct lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot)
{
	struct moat_domain *domain = lane->domain;
	uint64_t bad = iova;
	char why[256];
	int rc;

	rc = moat_pt_map(domain->pt, iova, hpa, va, len, prot, &bad);
	if (unlikely(rc != 0))
		return rc;
	moat_counter_add(&lane->stats.pages_mapped, len >> MOAT_PAGE_SHIFT);
	MOAT_PROBE4(map, domain->did, iova, len, prot);
	if (unlikely(domain->nesting == MOAT_NEST_CHILD))
		rc = lane_nest_check(lane, hpa, va, len, prot);
	/* relaxed: set before the unit can have cached anything of this domain */
	if (rc == 0 &&
		unlikely(atomic_load_explicit(&domain_impl(domain)->settles, memory_order_relaxed)))
		rc = settle_map(lane, iova, len);
	if (likely(rc == 0))
		return 0;
	rte_strscpy(why, moat_error_text(), sizeof(why));
	lane_undo_map(&lane->pub, iova, len);
	return moat_error(rc, "%s", why);
}

static inline int map_range(struct lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot)
{
	if (unlikely(!domain_tables_ours(lane->domain)))
		return map_call(lane, iova, hpa, va, len, prot);
	return map_entries(lane, iova, hpa, va, len, prot);
}

static __rte_noinline int map_watched(struct lane *lane, uint64_t iova, uint64_t hpa, void *va,
	uint64_t len, enum moat_prot prot)
{
	uint64_t mapped = lane->stats.pages_mapped;
	bool told = tell_mapped(lane, iova, len, prot);
	int rc = map_range(lane, iova, hpa, va, len, prot);

	/* if entries were stored for a while, their unmap was told */
	if (rc != 0 && told && lane->stats.pages_mapped == mapped)
		tell_not_mapped(lane, iova, len);
	return rc;
}

static inline int map_run(struct lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot)
{
	/* A device may flush its writes to a page by a zero-length read of it. */
	if (unlikely(lane->domain->unit->caps.no_zlr) && (prot & MOAT_W))
		prot = MOAT_RW;
	if (unlikely(lane->domain->unit->witness != NULL))
		return map_watched(lane, iova, hpa, va, len, prot);
	return map_range(lane, iova, hpa, va, len, prot);
}

int lane_map_run(struct lane *lane, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot)
{
	return map_run(lane, iova, hpa, va, len, prot);
}

static __rte_cold int msi_error(uint64_t iova, uint64_t len)
{
	return moat_error(-EINVAL,
		"iova 0x%" PRIx64 ", length 0x%" PRIx64 ": a device's writes between 0x%" PRIx64
		" and 0x%" PRIx64 " are interrupt requests and reach no memory; map around them",
		iova, len, MOAT_MSI_BASE, MOAT_MSI_BASE + MOAT_MSI_SIZE - 1);
}

int moat_lane_map(struct moat_lane *pub, uint64_t iova, uint64_t hpa, void *va, uint64_t len,
	enum moat_prot prot)
{
	struct lane *lane = lane_own(pub);

	if (unlikely(iova < MOAT_MSI_BASE + MOAT_MSI_SIZE && iova + len > MOAT_MSI_BASE))
		return msi_error(iova, len);
	if (unlikely(lane->domain->nesting != MOAT_NEST_NONE))
		return lane_nest_map(lane, iova, hpa, va, len, prot);
	return map_run(lane, iova, hpa, va, len, prot);
}

/* Find the batch for the next run: the gathering one, or a new one if that is full. @return 0;
 * -EAGAIN: every batch is in flight, or the full one could not be flushed; -ENOMEM */
static inline int batch_with_room(struct lane *lane, struct batch **batch)
{
	struct batch *gathering = lane->gathering;

	if (unlikely(gathering != NULL &&
		    (gathering->gather.n == MOAT_GATHER_RUNS ||
			    gathering->nr_iovas == MOAT_GATHER_RUNS))) {
		if (moat_lane_flush(&lane->pub) == 0)
			return -EAGAIN;
		gathering = lane->gathering;
	}
	if (lane_is_full(lane))
		return -EAGAIN;
	if (likely(gathering == NULL))
		gathering = lane->gathering = lane_stock_get();
	*batch = gathering;
	return likely(gathering != NULL) ? 0 : -ENOMEM;
}

static void tell_unmapped(struct lane *lane, uint64_t iova, uint64_t len, bool early)
{
	struct moat_witness *witness = lane->domain->unit->witness;
	uint64_t cause = lane_cause(lane, lane->flushed + 1);

	witness->unmapped(witness, lane->domain->did, iova, len, cause);
	if (early || lane->early)
		witness->released_early(witness, lane->domain->did, iova, len, cause);
}

static inline int lane_unmap(struct lane *lane, uint64_t iova, uint64_t len, bool free_iova,
	bool early)
{
	struct moat_domain *domain = lane->domain;
	struct batch *batch;
	uint64_t bad = iova;
	int rc = batch_with_room(lane, &batch);

	if (unlikely(domain->nesting != MOAT_NEST_NONE) && rc == 0)
		rc = lane_nest_unmap(lane, iova, len);
	if (unlikely(rc != 0))
		return rc;
	if (unlikely(domain->unit->caps.cut == MOAT_CUT_MAPS)) {
		rc = domain->unit->ops->whole(domain->unit, domain->priv, iova, len);
		if (rc != 0)
			return rc;
	}
	rc = moat_pt_unmap(domain->pt, iova, len, &batch->freed, &bad);
	if (unlikely(rc != 0))
		return rc;
	moat_gather_add(&batch->gather, iova, len);
	batch->gather.tables |= batch->freed.n != 0;
	if (free_iova)
		batch->iovas[batch->nr_iovas++] = (struct moat_range){ iova, len };
	moat_counter_add(&lane->stats.pages_unmapped, len >> MOAT_PAGE_SHIFT);
	MOAT_PROBE3(unmap, domain->did, iova, len);
	if (unlikely(domain->unit->witness != NULL))
		tell_unmapped(lane, iova, len, early);
	if (unlikely(domain->nesting == MOAT_NEST_PARENT))
		nest_revoke(domain, iova, len);
	return 0;
}

int moat_lane_unmap(struct moat_lane *pub, uint64_t iova, uint64_t len)
{
	return lane_unmap(lane_own(pub), iova, len, false, false);
}

int moat_lane_unmap_early(struct moat_lane *pub, uint64_t iova, uint64_t len)
{
	return lane_unmap(lane_own(pub), iova, len, false, true);
}

/* Only a range that the allocator handed out may go back to it. A large range is looked up under
 * the allocator's lock, which its free takes anyway. A small one is not looked up on the data
 * path. */
static inline int lane_check_range(const struct lane *lane, uint64_t iova, uint64_t len)
{
	if (unlikely(len == 0 || ((iova | len) & MOAT_PAGE_MASK) != 0))
		return moat_error(-EINVAL,
			"0x%" PRIx64 " bytes at IOVA 0x%" PRIx64 " are not whole pages", len, iova);
#ifndef MOAT_DEBUG
	if (likely(moat_iova_order(len) >= 0))
		return 0;
#endif
	return moat_iova_check(lane->domain->iova, iova, len);
}

int moat_lane_unmap_free(struct moat_lane *pub, uint64_t iova, uint64_t len)
{
	struct lane *lane = lane_own(pub);
	int rc = lane_check_range(lane, iova, len);

	return likely(rc == 0) ? lane_unmap(lane, iova, len, true, false) : rc;
}

int lane_undo_map(struct moat_lane *pub, uint64_t iova, uint64_t len)
{
	const struct moat_domain *domain = lane_of(pub)->domain;
	struct moat_pt_freed lost = { 0 };
	uint64_t bad = iova;
	int rc = moat_lane_unmap(pub, iova, len);

	if (rc == -EAGAIN) { /* every batch is in flight: completions make room */
		rc = moat_lane_drain(pub);
		if (rc == 0)
			rc = moat_lane_unmap(pub, iova, len);
	}
	if (rc == 0)
		return moat_lane_drain(pub);
	/* The unit completes nothing. Clear the entries all the same; table pages that the unit may
	 * still walk are never reused. */
	if (!domain_tables_ours(domain))
		domain->unit->ops->unmap(domain->unit, domain->priv, iova, len);
	moat_pt_unmap(domain->pt, iova, len, &lost, &bad);
	return rc;
}

/* -------------------------------------------------------------------------------- prefetch */

static inline void prefetch_lines(const void *first, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		rte_prefetch0((const char *)first + i * RTE_CACHE_LINE_SIZE);
}

void moat_lane_prefetch(const struct moat_lane *pub, uint64_t iova, unsigned int turns)
{
	const struct lane *lane = lane_of(pub);

	if (turns >= 3) {
		prefetch_lines(lane, LANE_LINES);
	} else if (turns == 2) {
		const struct domain_impl *impl = domain_impl(lane->domain);

		prefetch_lines(impl, DOMAIN_LINES);
		prefetch_lines(&impl->tags[0], 1);
		moat_iotlb_prefetch(&lane->pub.iotlb, iova);
	} else {
		if (lane->online) {
			const struct rte_rcu_qsbr *readers = lane->domain->readers;

			prefetch_lines(readers, 1);
			prefetch_lines(&readers->qsbr_cnt[lane->reader], 1);
		}
		prefetch_lines(moat_iotlb_entries(&lane->pub.iotlb, iova), 4);
	}
}
