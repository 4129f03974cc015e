/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * For ThreadSanitizer, which sees nothing of what DPDK's shared libraries do, and so no order
 * between the thread that puts an mbuf into a ring there and the thread that takes it out. The two
 * users of such rings here, DPDK's mempool ops and net_ring, get functions that do the same and are
 * compiled with the program. ThreadSanitizer does not see the lock of DPDK's heap either, which
 * orders the last use of freed memory before the first use of memory that is allocated in its
 * place. So calls that allocate and free come here first, and take a lock that is seen.
 */

#include "stress.h"

#ifdef __SANITIZE_THREAD__

#include <dlfcn.h>
#include <string.h>

#include <ethdev_driver.h>
#include <rte_malloc.h>
#include <rte_memzone.h>

#include "moat_device.h"

static int pool_put(struct rte_mempool *mp, void *const objs[], unsigned int n)
{
	return rte_ring_mp_enqueue_bulk(mp->pool_data, objs, n, NULL) == 0 ? -ENOBUFS : 0;
}

static int pool_get(struct rte_mempool *mp, void **objs, unsigned int n)
{
	return rte_ring_mc_dequeue_bulk(mp->pool_data, objs, n, NULL) == 0 ? -ENOBUFS : 0;
}

void visible_pools(void)
{
	for (unsigned int i = 0; i < rte_mempool_ops_table.num_ops; i++) {
		struct rte_mempool_ops *ops = &rte_mempool_ops_table.ops[i];

		if (strcmp(ops->name, "ring_mp_mc") != 0)
			continue;
		ops->enqueue = pool_put;
		ops->dequeue = pool_get;
	}
}

/* net_ring's queue structure begins with a pointer to the ring. */
static uint16_t wire_receive(void *queue, struct rte_mbuf **m, uint16_t n)
{
	return (uint16_t)rte_ring_dequeue_burst(*(struct rte_ring **)queue, (void **)m, n, NULL);
}

static uint16_t wire_send(void *queue, struct rte_mbuf **m, uint16_t n)
{
	return (uint16_t)rte_ring_enqueue_burst(*(struct rte_ring **)queue, (void **)m, n, NULL);
}

void visible_wire(uint16_t port)
{
	rte_eth_devices[port].rx_pkt_burst = wire_receive;
	rte_eth_devices[port].tx_pkt_burst = wire_send;
}

/* ------------------------------------------------------------------------------- DPDK's heap */

/* Taken after all other locks: the functions called under it are DPDK's own, and call no function
 * of moat's except the functions here. */
static pthread_mutex_t heap = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/* DPDK's libraries call these functions, too, because the program's definitions precede theirs. */
void rte_free(void *p)
{
	static _Atomic(void (*)(void *)) next;

	if (next == NULL)
		next = (void (*)(void *))dlsym(RTLD_NEXT, "rte_free");
	pthread_mutex_lock(&heap);
	next(p);
	pthread_mutex_unlock(&heap);
}

typedef void *(*zmalloc_t)(const char *type, size_t size, unsigned int align, int socket);

void *rte_zmalloc_socket(const char *type, size_t size, unsigned int align, int socket)
{
	static _Atomic(zmalloc_t) next;
	void *p;

	if (next == NULL)
		next = (zmalloc_t)dlsym(RTLD_NEXT, "rte_zmalloc_socket");
	pthread_mutex_lock(&heap);
	p = next(type, size, align, socket);
	pthread_mutex_unlock(&heap);
	return p;
}

void *rte_zmalloc(const char *type, size_t size, unsigned int align)
{
	return rte_zmalloc_socket(type, size, align, SOCKET_ID_ANY);
}

/* All memzones are reserved and freed by moat_device_reserve() and _free() (drivers/memzone), which
 * get DPDK's functions as arguments: the lock is taken around these. */
static moat_reserve_t dpdks_reserve;
static moat_free_t dpdks_free;

static const struct rte_memzone *zone_reserve(const char *name, size_t len, int socket,
	unsigned int flags, unsigned int align, unsigned int bound)
{
	const struct rte_memzone *zone;

	pthread_mutex_lock(&heap);
	zone = __atomic_load_n(&dpdks_reserve, __ATOMIC_RELAXED)(name, len, socket, flags, align,
		bound);
	pthread_mutex_unlock(&heap);
	return zone;
}

static int zone_free(const struct rte_memzone *zone)
{
	int rc;

	pthread_mutex_lock(&heap);
	rc = __atomic_load_n(&dpdks_free, __ATOMIC_RELAXED)(zone);
	pthread_mutex_unlock(&heap);
	return rc;
}

const struct rte_memzone *__real_moat_device_reserve(moat_reserve_t reserve, const char *name,
	size_t len, int socket, unsigned int flags, unsigned int align, unsigned int bound);
const struct rte_memzone *__wrap_moat_device_reserve(moat_reserve_t reserve, const char *name,
	size_t len, int socket, unsigned int flags, unsigned int align, unsigned int bound);
const struct rte_memzone *__wrap_moat_device_reserve(moat_reserve_t reserve, const char *name,
	size_t len, int socket, unsigned int flags, unsigned int align, unsigned int bound)
{
	__atomic_store_n(&dpdks_reserve, reserve, __ATOMIC_RELAXED); /* always the same */
	return __real_moat_device_reserve(zone_reserve, name, len, socket, flags, align, bound);
}

int __real_moat_device_free(moat_free_t dpdks, const struct rte_memzone *zone);
int __wrap_moat_device_free(moat_free_t dpdks, const struct rte_memzone *zone);
int __wrap_moat_device_free(moat_free_t dpdks, const struct rte_memzone *zone)
{
	if (dpdks == rte_memzone_free) /* drivers/memzone's function, which calls this one again */
		return __real_moat_device_free(dpdks, zone);
	__atomic_store_n(&dpdks_free, dpdks, __ATOMIC_RELAXED); /* always the same */
	return __real_moat_device_free(zone_free, zone);
}

#else

void visible_pools(void)
{
}

void visible_wire(uint16_t port)
{
}

#endif
