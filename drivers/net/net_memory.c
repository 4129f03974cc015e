/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <rte_errno.h>
#include <rte_log.h>
#include <rte_memory.h>
#include <urcu-qsbr.h>

#include "moat_domain.h"
#include "net_unit.h"

/* Memory that one call maps, and one call unmaps. */
struct extent {
	TAILQ_ENTRY(extent) next;
	uintptr_t va;
	uint64_t iova;
	size_t len;
};

struct net_memory {
	char name[40]; /* the unit's, and the callback's */
	struct moat_unit *unit;
	struct moat_domain *domain;
	struct moat_lane *lane;
	pthread_mutex_t lock; /* guards extents and lane: any thread may allocate memory */
	TAILQ_HEAD(extents, extent) extents;
	bool told; /* the callback is registered */
};

/* Register the thread with urcu-qsbr while it uses the lane: it may be any thread of any program.
 * @return true: it was not registered before */
static bool qsbr_enter(void)
{
	bool registered = URCU_TLS(urcu_qsbr_reader).registered;

	if (!registered)
		urcu_qsbr_register_thread();
	return !registered;
}

static void qsbr_leave(bool registered_here)
{
	if (registered_here)
		urcu_qsbr_unregister_thread();
}

/* ----------------------------------------------------------------------------------- extents */

/* Under the lock. The software unit's host physical addresses are virtual addresses. */
static int extent_map(struct net_memory *memory, uintptr_t va, uint64_t iova, size_t len)
{
	struct extent *extent = malloc(sizeof(*extent));
	int rc;

	if (extent == NULL)
		return moat_error(-ENOMEM, "%s: out of memory", memory->name);
	*extent = (struct extent){ .va = va, .iova = iova, .len = len };
	rc = moat_lane_map(memory->lane, iova, va, (void *)va, len, MOAT_RW);
	if (rc != 0) {
		free(extent);
		return rc;
	}
	TAILQ_INSERT_TAIL(&memory->extents, extent, next);
	return 0;
}

/* Under the lock. After success the device can no longer reach the extent. */
static int extent_unmap(struct net_memory *memory, struct extent *extent)
{
	int rc = moat_lane_unmap(memory->lane, extent->iova, extent->len);

	if (rc == 0)
		rc = moat_lane_drain(memory->lane);
	TAILQ_REMOVE(&memory->extents, extent, next);
	free(extent);
	return rc;
}

static int map(struct net_memory *memory, uintptr_t va, uint64_t iova, size_t len)
{
	bool entered = qsbr_enter();
	int rc;

	pthread_mutex_lock(&memory->lock);
	rc = extent_map(memory, va, iova, len);
	pthread_mutex_unlock(&memory->lock);
	qsbr_leave(entered);
	return rc;
}

/* ---------------------------------------------------------------------- following DPDK's memory */

/* A run of DPDK's pages that becomes one extent. */
struct run {
	struct net_memory *memory;
	const struct rte_memseg_list *msl;
	uintptr_t va;
	uint64_t iova;
	size_t len;
	int rc;
};

static void run_end(struct run *run)
{
	int rc = 0;

	if (run->len != 0)
		rc = map(run->memory, run->va, run->iova, run->len);
	/* -EEXIST: the callback and the walk overlap, so both may see memory that is new. */
	if (rc != 0 && rc != -EEXIST && run->rc == 0)
		run->rc = rc;
	run->len = 0;
}

/* Does the page continue the run? DPDK allocates and frees hugepages one by one, so each is an
 * extent. It adds and removes pages of an external heap, or without hugepages, all at once. */
static bool run_goes_on(const struct run *run, const struct rte_memseg_list *msl,
	const struct rte_memseg *ms)
{
	return run->len != 0 && run->msl == msl && run->va + run->len == ms->addr_64 &&
		run->iova + run->len == ms->iova &&
		(msl->external || ms->hugepage_sz < MOAT_2M_SIZE);
}

static void run_add(struct run *run, const struct rte_memseg_list *msl, const struct rte_memseg *ms)
{
	if (ms->iova == RTE_BAD_IOVA)
		return;
	if (!run_goes_on(run, msl, ms)) {
		run_end(run);
		run->msl = msl;
		run->va = ms->addr_64;
		run->iova = ms->iova;
	}
	run->len += ms->len;
}

static int walk(const struct rte_memseg_list *msl, const struct rte_memseg *ms, void *opaque)
{
	/* External memory that is in no heap is mapped by rte_dev_dma_map(). */
	if (!msl->external || msl->heap)
		run_add(opaque, msl, ms);
	return 0;
}

static void memory_comes(struct net_memory *memory, const void *addr, size_t len)
{
	struct rte_memseg_list *msl = rte_mem_virt2memseg_list(addr);
	struct run run = { .memory = memory };
	size_t at = 0;

	while (msl != NULL && at < len) {
		struct rte_memseg *ms = rte_mem_virt2memseg(RTE_PTR_ADD(addr, at), msl);

		if (ms == NULL)
			break;
		run_add(&run, msl, ms);
		at += ms->len;
	}
	run_end(&run);
	if (run.rc != 0)
		rte_log(RTE_LOG_ERR, RTE_LOGTYPE_EAL,
			"%s: the device cannot reach %zu new bytes "
			"at %p: %s\n",
			memory->name, len, addr, moat_error_text());
}

static void memory_goes(struct net_memory *memory, uintptr_t va, size_t len)
{
	bool entered = qsbr_enter();
	struct extent *extent, *next;

	pthread_mutex_lock(&memory->lock);
	for (extent = TAILQ_FIRST(&memory->extents); extent != NULL; extent = next) {
		next = TAILQ_NEXT(extent, next);
		if (extent->va >= va && extent->va + extent->len <= va + len &&
			extent_unmap(memory, extent) != 0)
			rte_log(RTE_LOG_ERR, RTE_LOGTYPE_EAL, "%s: %s\n", memory->name,
				moat_error_text());
	}
	pthread_mutex_unlock(&memory->lock);
	qsbr_leave(entered);
}

static void memory_event(enum rte_mem_event event, const void *addr, size_t len, void *opaque)
{
	if (event == RTE_MEM_EVENT_ALLOC)
		memory_comes(opaque, addr, len);
	else
		memory_goes(opaque, (uintptr_t)addr, len);
}

static int follow_memory(struct net_memory *memory)
{
	struct run run = { .memory = memory };

	/* ENOTSUP: memory is fixed from the start (--no-huge, --legacy-mem), and the walk finds all
	 * of it. */
	if (rte_mem_event_callback_register(memory->name, memory_event, memory) == 0)
		memory->told = true;
	else if (rte_errno != ENOTSUP)
		return moat_error(-rte_errno, "%s: cannot follow DPDK's memory: %s", memory->name,
			rte_strerror(rte_errno));
	rte_memseg_walk(walk, &run);
	run_end(&run);
	return run.rc;
}

/* ---------------------------------------------------------------------------- unit and domain */

static int attach_all(struct net_memory *memory, moat_sid_t sid, uint16_t nr_sids,
	uint16_t nr_pasids)
{
	uint16_t n = nr_pasids != 0 ? nr_pasids : nr_sids;
	int rc = 0;

	for (uint16_t i = 0; i < n && rc == 0; i++)
		rc = nr_pasids != 0 ? moat_domain_attach_at(memory->domain, NULL, sid, NET_PASID(i))
				    : moat_domain_attach(memory->domain, sid + i);
	return rc;
}

static int bring_up(struct net_memory *memory, const char *unit, const char *unit_args,
	moat_sid_t sid, uint16_t nr_sids, uint16_t nr_pasids)
{
	struct moat_domain_conf conf = { .name = unit, .leaf_sizes = UINT64_MAX };
	char args[512];
	int rc;

	/* Switch the oracle and the adversary off: they are for tests of moat. The user's arguments
	 * come last and override these. */
	snprintf(args, sizeof(args), "oracle=0,prefetch=0,jitter=0,linger=0%s%s",
		unit_args[0] != '\0' ? "," : "", unit_args);
	rc = moat_soft_unit_create(unit, args, &memory->unit);

	if (rc == 0)
		rc = moat_domain_create(memory->unit, &conf, &memory->domain);
	if (rc != 0)
		return rc;
	memory->lane = moat_lane_open(memory->domain);
	if (memory->lane == NULL)
		return -ENOMEM;
	rc = follow_memory(memory);
	return rc != 0 ? rc : attach_all(memory, sid, nr_sids, nr_pasids);
}

int net_memory_create(const char *unit, const char *unit_args, moat_sid_t sid, uint16_t nr_sids,
	uint16_t nr_pasids, struct net_memory **out)
{
	struct net_memory *memory = calloc(1, sizeof(*memory));
	bool entered;
	int rc;

	if (memory == NULL)
		return moat_error(-ENOMEM, "unit %s: out of memory", unit);
	snprintf(memory->name, sizeof(memory->name), "%s", unit);
	pthread_mutex_init(&memory->lock, NULL);
	TAILQ_INIT(&memory->extents);
	entered = qsbr_enter();
	rc = bring_up(memory, unit, unit_args, sid, nr_sids, nr_pasids);
	qsbr_leave(entered);
	if (rc != 0) {
		net_memory_destroy(memory);
		return rc;
	}
	*out = memory;
	return 0;
}

void net_memory_destroy(struct net_memory *memory)
{
	bool entered = qsbr_enter();
	struct extent *extent;
	int rc = 0;

	if (memory->told)
		rte_mem_event_callback_unregister(memory->name, memory);
	while ((extent = TAILQ_FIRST(&memory->extents)) != NULL) {
		TAILQ_REMOVE(&memory->extents, extent, next);
		free(extent); /* destroying the domain unmaps it */
	}
	if (memory->lane != NULL)
		rc = moat_lane_close(memory->lane);
	if (rc == 0 && memory->domain != NULL)
		rc = moat_domain_destroy(memory->domain);
	if (rc == 0 && memory->unit != NULL)
		memory->unit->ops->destroy(memory->unit);
	qsbr_leave(entered);
	if (rc != 0) /* memory that a unit might still use is never freed */
		rte_log(RTE_LOG_ERR, RTE_LOGTYPE_EAL, "%s: %s\n", memory->name, moat_error_text());
	else
		free(memory);
}

/* ----------------------------------------------------------------- memory DPDK does not know of */

int net_memory_map(struct net_memory *memory, void *va, uint64_t iova, size_t len)
{
	if (memory == NULL)
		return moat_error(-ENOTSUP,
			"the port's unit is not its own: map memory in the "
			"domain that its source-id is attached to");
	return map(memory, (uintptr_t)va, iova, len);
}

int net_memory_unmap(struct net_memory *memory, void *va, uint64_t iova, size_t len)
{
	bool entered;
	struct extent *extent;
	int rc;

	if (memory == NULL)
		return moat_error(-ENOTSUP,
			"the port's unit is not its own: unmap memory in the "
			"domain that its source-id is attached to");
	entered = qsbr_enter();
	pthread_mutex_lock(&memory->lock);
	TAILQ_FOREACH (extent, &memory->extents, next)
		if (extent->iova == iova && extent->len == len)
			break;
	rc = extent != NULL ? extent_unmap(memory, extent)
			    : moat_error(-ENOENT,
				      "%p, IOVA 0x%" PRIx64 ", %zu bytes was not mapped "
				      "by one call; unmap what one call mapped",
				      va, iova, len);
	pthread_mutex_unlock(&memory->lock);
	qsbr_leave(entered);
	return rc;
}
