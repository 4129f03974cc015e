/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See moat_device.h. */

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_per_lcore.h>

#include "moat_device.h"
#include "tenant_impl.h"

static RTE_DEFINE_PER_LCORE(struct moat_tenant *, probing);

int moat_tenant_probe(struct moat_tenant *t, const char *device)
{
	int rc;

	if (t == NULL || device == NULL)
		return moat_error(-EINVAL, "moat_tenant_probe(): the %s is NULL",
			t == NULL ? "tenant" : "device's name");
	RTE_PER_LCORE(probing) = t;
	rc = rte_dev_probe(device);
	RTE_PER_LCORE(probing) = NULL;
	if (rc != 0)
		return moat_error(rc, "no driver of DPDK's takes device '%s': %s", device,
			rte_strerror(rc < 0 ? -rc : rc));
	return 0;
}

/* By port: does its driver refill by moat_pool_refill() only? Relaxed: the driver sets this when it
 * creates the port, before any thread can add the port's queues. */
static _Atomic(bool) tells[RTE_MAX_ETHPORTS];

void moat_device_tells(uint16_t port, bool does)
{
	if (port < RTE_MAX_ETHPORTS)
		atomic_store_explicit(&tells[port], does, memory_order_relaxed);
}

bool tenant_port_tells(uint16_t port)
{
	return port < RTE_MAX_ETHPORTS && atomic_load_explicit(&tells[port], memory_order_relaxed);
}

/* By port. Relaxed, as `tells`. */
static const struct moat_move_ops *_Atomic moves[RTE_MAX_ETHPORTS];

void moat_device_moves(uint16_t port, const struct moat_move_ops *ops)
{
	if (port < RTE_MAX_ETHPORTS)
		atomic_store_explicit(&moves[port], ops, memory_order_relaxed);
}

const struct moat_move_ops *tenant_port_moves(uint16_t port)
{
	return port < RTE_MAX_ETHPORTS ? atomic_load_explicit(&moves[port], memory_order_relaxed)
				       : NULL;
}

/* ------------------------------------------------------------ are DPDK's functions moat's here? */

/* Not a memzone's name: a reservation with this pointer as name only shows that
 * moat_device_reserve() is called. */
static const char trial[] = "moat_trial";
static RTE_DEFINE_PER_LCORE(bool, was_asked);

bool tenant_sees_memzones(void)
{
	/* Find the function as a PMD's call does: in the program and its libraries, in their
	 * global order. */
	const struct rte_memzone *(*reserve)(const char *, size_t, int, unsigned int,
		unsigned int) = (const struct rte_memzone *(*)(const char *, size_t, int,
		unsigned int, unsigned int))dlsym(RTLD_DEFAULT, "rte_memzone_reserve_aligned");
	const struct rte_memzone *zone;

	if (reserve == NULL)
		return false;
	RTE_PER_LCORE(was_asked) = false;
	zone = reserve(trial, MOAT_PAGE_SIZE, SOCKET_ID_ANY, 0, MOAT_PAGE_SIZE);
	if (zone != NULL)
		rte_memzone_free(zone);
	return RTE_PER_LCORE(was_asked);
}

/* ---------------------------------------------------------------------------- reserve and free */

const struct rte_memzone *moat_device_reserve(moat_reserve_t reserve, const char *name, size_t len,
	int socket, unsigned int flags, unsigned int align, unsigned int bound)
{
	struct moat_tenant *t = NULL;
	const struct rte_memzone *zone;
	int rc;

	if (unlikely(name == trial)) {
		RTE_PER_LCORE(was_asked) = true;
		return NULL;
	}
	if (flags & RTE_MEMZONE_IOVA_CONTIG)
		t = RTE_PER_LCORE(probing);
	if (t == NULL)
		t = tenant_of_socket(socket);
	if (t == NULL || name == NULL || !tenant_zone_is_for_device(name))
		return reserve(name, len, socket, flags, align, bound);
	/* Whole pages, so that none holds the heap's bookkeeping. A memzone that begins with a page
	 * meets any `bound` below a page. Locked, so that no other thread's moat_tenant_queue_add()
	 * finds the memzone in DPDK's list before tenant_ring_add() has made it a
	 * ring. */
	tenant_lock(t);
	zone = reserve(name, RTE_ALIGN_CEIL(len, MOAT_PAGE_SIZE), t->socket, flags,
		RTE_MAX(align, (unsigned int)MOAT_PAGE_SIZE), bound < MOAT_PAGE_SIZE ? 0 : bound);
	rc = zone != NULL ? tenant_ring_add(t, zone) : 0;
	tenant_unlock(t);
	if (rc != 0) {
		TENANT_LOG(ERR, "%s", moat_error_text());
		rte_memzone_free(zone);
		rte_errno = ENOMEM;
		return NULL;
	}
	return zone;
}

int moat_device_map(const struct rte_memzone *zone)
{
	struct moat_tenant *t = tenant_of_heap(zone->addr);

	return t != NULL ? tenant_ring_add(t, zone) : 0;
}

int moat_device_free(moat_free_t dpdks, const struct rte_memzone *zone)
{
	struct moat_tenant *t = zone != NULL ? tenant_of_heap(zone->addr) : NULL;
	int rc;

	if (t == NULL)
		return dpdks(zone);
	rc = tenant_ring_free(t, zone, dpdks);
	/* An lcore whose function has ended blocks each of a port's rings: log this once. */
	if (rc != 0 &&
		(rc != -ETIMEDOUT || tenant_ended_lcore(t) == RTE_MAX_LCORE ||
			!__atomic_exchange_n(&t->said_ended, true, __ATOMIC_RELAXED)))
		TENANT_LOG(ERR, "%s", moat_error_text());
	return rc;
}
