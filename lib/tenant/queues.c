/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A port's queues in a tenant: checks before a queue is added, its callbacks, adding and removing,
 * and the end of a queue whose port is closed. */

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_memzone.h>

#include "buffer.h"
#include "held.h"
#include "mode.h"
#include "pool_impl.h"
#include "send.h"

struct tenant_queue *tenant_queue_find(const struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	for (unsigned int i = 0; i < t->nr_queues; i++)
		if (t->queues[i]->port == port && t->queues[i]->queue == queue &&
			!t->queues[i]->gone)
			return t->queues[i];
	return NULL;
}

/* -------------------------------------------------------------------------- may it be added? */

struct ring_walk {
	const struct moat_tenant *t;
	char prefix[32];
	char outside
		[RTE_MEMZONE_NAMESIZE]; /* the first ring that the tenant's device does not reach */
};

static void walk_ring(const struct rte_memzone *zone, void *arg)
{
	struct ring_walk *w = arg;

	if (w->outside[0] == '\0' && strncmp(zone->name, w->prefix, strlen(w->prefix)) == 0 &&
		!tenant_in_heap(w->t, zone->addr))
		snprintf(w->outside, sizeof(w->outside), "%s", zone->name);
}

static int check_rings(const struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	struct ring_walk w = { .t = t };

	/* The name that rte_eth_dma_zone_reserve() gives. */
	snprintf(w.prefix, sizeof(w.prefix), "eth_p%u_q%u_", port, queue);
	rte_memzone_walk(walk_ring, &w);
	if (w.outside[0] == '\0')
		return 0;
	return moat_error(-EINVAL,
		"tenant '%s': ring '%s' of port %u, queue %u is not in the tenant's memory, so that its "
		"device cannot reach it; give moat_tenant_socket() to rte_eth_rx_queue_setup() and "
		"rte_eth_tx_queue_setup()",
		t->name, w.outside, port, queue);
}

bool tenant_has_pool(const struct moat_tenant *t, const struct rte_mempool *mp)
{
	for (unsigned int i = 0; i < t->nr_pools; i++)
		if (t->pools[i]->mp == mp)
			return true;
	return false;
}

static int check_pool(const struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	struct rte_eth_rxq_info info = { .mp = NULL };

	/* Nothing to compare if the driver does not tell, or has several pools (mp is NULL). */
	if (rte_eth_rx_queue_info_get(port, queue, &info) != 0 || info.mp == NULL ||
		tenant_has_pool(t, info.mp))
		return 0;
	return moat_error(-EINVAL,
		"tenant '%s': queue %u of port %u receives into pool '%s', which is not one of the "
		"tenant's; give rte_eth_rx_queue_setup() a pool that moat_tenant_pool() made",
		t->name, queue, port, info.mp->name);
}

static int check(const struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	struct rte_eth_dev_info info;
	int rc;

	if (!rte_eth_dev_is_valid_port(port))
		return moat_error(-ENODEV,
			"tenant '%s': port %u does not exist; probe its device first", t->name,
			port);
	rc = rte_eth_dev_info_get(port, &info);
	if (rc != 0)
		return moat_error(rc, "tenant '%s': rte_eth_dev_info_get() of port %u failed: %s",
			t->name, port, rte_strerror(-rc));
	if (queue >= info.nb_rx_queues || queue >= info.nb_tx_queues)
		return moat_error(-EINVAL,
			"tenant '%s': port %u has no queue %u (%u receive and %u transmit queues are "
			"configured); ask rte_eth_dev_configure() for it first",
			t->name, port, queue, info.nb_rx_queues, info.nb_tx_queues);
	rc = tenant_check_unit(t, port, queue);
	if (rc == 0)
		rc = check_rings(t, port, queue);
	return rc == 0 ? check_pool(t, port, queue) : rc;
}

struct start_walk {
	uint16_t port, queue;
	bool right; /* rings and pool belong to a tenant that has the queue */
	int rc;     /* 0, or the error of a tenant that has the queue */
};

static void start_check(struct moat_tenant *t, void *arg)
{
	struct start_walk *w = arg;
	int rc;

	tenant_lock(t);
	if (w->right || tenant_queue_find(t, w->port, w->queue) == NULL) {
		tenant_unlock(t);
		return;
	}
	rc = check_rings(t, w->port, w->queue);
	if (rc == 0)
		rc = check_pool(t, w->port, w->queue);
	tenant_unlock(t);
	w->right = rc == 0;
	w->rc = rc;
}

int moat_device_check(uint16_t port, uint16_t queue)
{
	struct start_walk w = { .port = port, .queue = queue };

	tenant_each(start_check, &w);
	return w.rc;
}

/* ------------------------------------------------------------------------------ the port goes */

/*
 * Queues whose callbacks could not be removed when the port was closed, because the driver had
 * already released the port's queues. DPDK calls these callbacks for the port number's next user.
 * They find no tenant and pass packets on unchanged. A queue is freed by unstrand(), or never.
 */
static struct {
	pthread_mutex_t lock;
	TAILQ_HEAD(, tenant_queue) list;
} stranded = { .lock = PTHREAD_MUTEX_INITIALIZER, .list = TAILQ_HEAD_INITIALIZER(stranded.list) };

/* Memory of queues that have ended; see struct tenant_queue. */
static struct {
	pthread_mutex_t lock;
	TAILQ_HEAD(, tenant_queue) list;
} unused = { .lock = PTHREAD_MUTEX_INITIALIZER, .list = TAILQ_HEAD_INITIALIZER(unused.list) };

/* @return memory for a queue, zero except for `life`. NULL: out of memory */
static struct tenant_queue *queue_alloc(void)
{
	struct tenant_queue *q;

	pthread_mutex_lock(&unused.lock);
	q = TAILQ_FIRST(&unused.list);
	if (q != NULL)
		TAILQ_REMOVE(&unused.list, q, next);
	pthread_mutex_unlock(&unused.lock);
	if (q == NULL)
		return calloc(1, sizeof(*q));
	memset(RTE_PTR_ADD(q, sizeof(q->life)), 0, sizeof(*q) - sizeof(q->life));
	return q;
}

static void queue_release(struct tenant_queue *q)
{
	pthread_mutex_lock(&unused.lock);
	TAILQ_INSERT_TAIL(&unused.list, q, next);
	pthread_mutex_unlock(&unused.lock);
}

/* The offers of a queue that are still on some lcore's stack (send.c) are invalid from here on. */
static void offers_end(struct tenant_queue *q)
{
	__atomic_store_n(&q->life, q->life + 1, __ATOMIC_RELAXED); /* see `life` */
}

/* Remove a queue's callbacks, and free DPDK's records of them. No lcore may poll the queue. @return
 * false: one could not be removed */
static bool callbacks_remove(struct tenant_queue *q)
{
	bool rx = q->rx == NULL || rte_eth_remove_rx_callback(q->port, q->queue, q->rx) == 0;
	bool tx = q->tx == NULL || rte_eth_remove_tx_callback(q->port, q->queue, q->tx) == 0;

	if (rx) {
		rte_free((void *)(uintptr_t)q->rx);
		q->rx = NULL;
	}
	if (tx) {
		rte_free((void *)(uintptr_t)q->tx);
		q->tx = NULL;
	}
	return rx && tx;
}

static void port_goes(struct moat_tenant *t, void *arg)
{
	uint16_t port = *(const uint16_t *)arg;

	tenant_lock(t);
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		if (t->queues[i]->port != port || t->queues[i]->gone)
			continue;
		t->queues[i]->gone = true;
		offers_end(t->queues[i]);
		callbacks_remove(t->queues[i]);
	}
	tenant_unlock(t);
}

static int on_destroy(uint16_t port, enum rte_eth_event_type event, void *arg, void *ret)
{
	tenant_each(port_goes, &port);
	return 0;
}

/* Register on_destroy(), once and for the rest of the process. */
static void watch_ports(void)
{
	static atomic_flag registered = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&registered))
		rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_DESTROY, on_destroy, NULL);
}

/* ------------------------------------------------------------------------------ add and remove */

/* Free a queue, with packets that mode pipelined still holds back. If there can be any, the tenant
 * must not be locked. */
static void queue_free(struct tenant_queue *q)
{
	tenant_held_destroy(q->tenant, q->held);
	q->held = NULL;
	offers_end(q);
	if (q->gone ? q->rx == NULL && q->tx == NULL : callbacks_remove(q)) {
		queue_release(q);
		return;
	}
	q->tenant = NULL; /* the callbacks check this first */
	pthread_mutex_lock(&stranded.lock);
	TAILQ_INSERT_TAIL(&stranded.list, q, next);
	pthread_mutex_unlock(&stranded.lock);
}

/* Remove callbacks that are left from an earlier user of the port's number, now that the queue is
 * set up again, and free their queues. */
static void unstrand(uint16_t port, uint16_t queue)
{
	struct tenant_queue *q, *next;

	pthread_mutex_lock(&stranded.lock);
	for (q = TAILQ_FIRST(&stranded.list); q != NULL; q = next) {
		next = TAILQ_NEXT(q, next);
		if (q->port != port || q->queue != queue || !callbacks_remove(q))
			continue;
		TAILQ_REMOVE(&stranded.list, q, next);
		queue_release(q);
	}
	pthread_mutex_unlock(&stranded.lock);
}

/* Set get_state after a change of the tenant's queues. The tenant is locked. Relaxed: a get that
 * sees the old value at worst maps a buffer needlessly, because queues of a driver that does not
 * declare moat_device_tells() are added before their port is started. buffers_give() maps what such
 * a driver took while there was no queue. */
static void drivers_ask(struct moat_tenant *t)
{
	unsigned int here = 0, tell = 0;

	for (unsigned int i = 0; i < t->nr_queues; i++) {
		here += !t->queues[i]->gone;
		tell += !t->queues[i]->gone && tenant_port_tells(t->queues[i]->port);
	}
	__atomic_store_n(&t->get_state,
		here == 0              ? TENANT_TAKEN
			: tell == here ? TENANT_APP
				       : TENANT_RX,
		__ATOMIC_RELAXED);
}

/*
 * When a queue of a driver that does not declare moat_device_tells() is added, map the buffers in
 * state TAKEN: some such drivers fill their rings in rte_eth_rx_queue_setup(), before the tenant
 * has the queue. If another lcore has entered, the buffers stay unmapped, and the device's writes
 * to them are faults: that lcore may free or send such a buffer at any time, and only one thread
 * may change a buffer's state.
 */
static int buffers_give(struct moat_tenant *t)
{
	struct tenant_lcore *lc = tenant_lcore_control(t);

	if (lc == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++)
		if (i != lc->slot && t->lcores[i] != NULL && tenant_lcore_entered(t->lcores[i]))
			return 0;
	return tenant_buffers_give(t, lc);
}

/* Remove the first queue for which `is_it` is true from the tenant's list. NULL: there is none */
static struct tenant_queue *queue_take(struct moat_tenant *t,
	bool (*is_it)(const struct tenant_queue *q, uint16_t port, uint16_t queue), uint16_t port,
	uint16_t queue)
{
	struct tenant_queue *q = NULL;

	for (unsigned int i = 0; i < t->nr_queues && q == NULL; i++) {
		if (!is_it(t->queues[i], port, queue))
			continue;
		q = t->queues[i];
		t->queues[i] = t->queues[--t->nr_queues];
	}
	drivers_ask(t);
	return q;
}

static bool is_here(const struct tenant_queue *q, uint16_t port, uint16_t queue)
{
	return !q->gone && q->port == port && q->queue == queue;
}

static bool was_here(const struct tenant_queue *q, uint16_t port, uint16_t queue)
{
	return q->gone && q->port == port && q->queue == queue;
}

static bool is_gone(const struct tenant_queue *q, uint16_t port, uint16_t queue)
{
	return q->gone;
}

void tenant_queues_forget_gone(struct moat_tenant *t)
{
	struct tenant_queue *q;

	do {
		tenant_lock(t);
		q = queue_take(t, is_gone, 0, 0);
		tenant_unlock(t);
		if (q != NULL)
			queue_free(q);
	} while (q != NULL);
}

/* Make a queue without callbacks. NULL: out of memory */
static struct tenant_queue *queue_make(struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	struct tenant_queue *q = queue_alloc();

	if (q != NULL) {
		q->tenant = t;
		q->port = port;
		q->queue = queue;
		if (t->mode->holds)
			q->held = tenant_held_create();
		if (q->held != NULL || !t->mode->holds)
			return q;
		queue_release(q);
	}
	moat_error(-ENOMEM, "tenant '%s': no memory for queue %u of port %u", t->name, queue, port);
	return NULL;
}

/* The Rx callback goes before those that the program has added, or adds later, by
 * rte_eth_add_rx_callback(): these get packets as the mode hands them on. */
int tenant_queue_engage(struct tenant_queue *q)
{
	const struct moat_tenant *t = q->tenant;
	/* A driver that declares moat_device_tells() also keeps RTE_MBUF_F_EXTERNAL set. */
	bool look = t->conf.mode != MOAT_STATIC || t->conf.verify || !tenant_port_tells(q->port);
	rte_rx_callback_fn rx = look ? t->mode->rx : NULL;
	bool ok = true;

	rte_errno = ENOMEM;
	if (rx != NULL)
		ok = (q->rx = rte_eth_add_first_rx_callback(q->port, q->queue, rx, q)) != NULL;
	if (ok)
		ok = (q->tx = rte_eth_add_tx_callback(q->port, q->queue, tenant_tx_offer, q)) !=
			NULL;
	if (ok)
		return 0;
	return moat_error(-rte_errno, "queue %u of port %u: cannot add a callback: %s", q->queue,
		q->port, rte_strerror(rte_errno));
}

/* May the tenant have one more queue, this one? The tenant is locked. */
static int check_room(const struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	if (tenant_queue_find(t, port, queue) != NULL)
		return moat_error(-EEXIST, "tenant '%s' has queue %u of port %u already", t->name,
			queue, port);
	if (t->nr_queues == TENANT_QUEUES)
		return moat_error(-ENOSPC, "tenant '%s' has %u queues already, the maximum",
			t->name, TENANT_QUEUES);
	return 0;
}

int tenant_queue_announce(struct moat_tenant *t, uint16_t port, uint16_t queue,
	struct tenant_queue **out)
{
	int rc;

	tenant_lock(t);
	rc = check_room(t, port, queue);
	if (rc == 0 && (*out = queue_make(t, port, queue)) == NULL)
		rc = -ENOMEM;
	if (rc == 0) {
		t->queues[t->nr_queues++] = *out;
		drivers_ask(t);
	}
	tenant_unlock(t);
	return rc;
}

void tenant_queue_withdraw(struct moat_tenant *t, struct tenant_queue *q)
{
	tenant_lock(t);
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		if (t->queues[i] != q)
			continue;
		t->queues[i] = t->queues[--t->nr_queues];
		break;
	}
	drivers_ask(t);
	tenant_unlock(t);
	queue_free(q);
}

/* A queue must not get the callbacks of two tenants. So only one thread at a time checks who has a
 * queue, and adds it. The thread holds this lock while it waits for tenants' locks. So threads that
 * wait for this lock report quiescent states, as for a tenant's. */
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;

static void adding_lock(void)
{
	while (pthread_mutex_trylock(&adding) != 0) {
		moat_lanes_quiescent();
		sched_yield();
	}
}

struct owner_search {
	const struct moat_tenant *but; /* the tenant to skip */
	uint16_t port, queue;
	char name[32]; /* name of the tenant that has the queue; "": none */
};

static void is_owner(struct moat_tenant *t, void *arg)
{
	struct owner_search *s = arg;

	if (t == s->but || s->name[0] != '\0')
		return;
	tenant_lock(t);
	if (tenant_queue_find(t, s->port, s->queue) != NULL)
		snprintf(s->name, sizeof(s->name), "%s", t->name);
	tenant_unlock(t);
}

/* Does another tenant have the queue? The tenant is not locked. */
static int check_others(const struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	struct owner_search s = { .but = t, .port = port, .queue = queue };

	tenant_each(is_owner, &s);
	if (s.name[0] == '\0')
		return 0;
	return moat_error(-EBUSY,
		"tenant '%s': queue %u of port %u belongs to tenant '%s'; remove it there first "
		"(moat_tenant_queue_remove()), or move it (moat_tenant_queue_move())",
		t->name, queue, port, s.name);
}

static int queue_add(struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	struct tenant_queue *q;
	int rc = check_room(t, port, queue);

	if (rc == 0)
		rc = check(t, port, queue);
	if (rc != 0)
		return rc;
	unstrand(port, queue);
	q = queue_make(t, port, queue);
	if (q == NULL)
		return -ENOMEM;
	rc = tenant_queue_engage(q);
	if (rc != 0) {
		queue_free(q);
		return rc;
	}
	/* Callbacks first, so that no queue has mapped rings without them. */
	t->queues[t->nr_queues++] = q;
	rc = tenant_port_tells(port) ? 0 : buffers_give(t);
	if (rc == 0)
		rc = tenant_rings_sync(t, port);
	if (rc != 0) {
		t->nr_queues--;
		queue_free(q);
	}
	drivers_ask(t);
	return rc;
}

int moat_tenant_queue_add(struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	int rc;

	if (t == NULL)
		return moat_error(-EINVAL, "moat_tenant_queue_add(): the tenant is NULL");
	watch_ports();
	tenant_queues_forget_gone(t);
	adding_lock();
	rc = check_others(t, port, queue);
	if (rc == 0) {
		tenant_lock(t);
		rc = queue_add(t, port, queue);
		tenant_unlock(t);
	}
	pthread_mutex_unlock(&adding);
	return rc;
}

int moat_tenant_queue_remove(struct moat_tenant *t, uint16_t port, uint16_t queue)
{
	struct tenant_queue *q;
	int rc;

	if (t == NULL)
		return moat_error(-EINVAL, "moat_tenant_queue_remove(): the tenant is NULL");
	tenant_lock(t);
	q = queue_take(t, is_here, port, queue);
	if (q == NULL) /* its port was closed before */
		q = queue_take(t, was_here, port, queue);
	tenant_unlock(t);
	if (q == NULL)
		return moat_error(-ENOENT, "tenant '%s' has no queue %u of port %u", t->name, queue,
			port);
	queue_free(q); /* not locked: it puts buffers into their pool, which may lock */
	tenant_lock(t);
	rc = tenant_rings_sync(t, port);
	tenant_unlock(t);
	if (rc != 0)
		return moat_error(rc, "queue %u of port %u is removed, but %s", queue, port,
			moat_error_text());
	return 0;
}

uint16_t moat_tenant_held(struct moat_tenant *t, uint16_t port, uint16_t queue,
	struct rte_mbuf *pkts[], uint16_t max)
{
	struct tenant_queue *q;

	/* Locked, because another lcore may move a queue meanwhile. The caller's queue stays. */
	tenant_lock(t);
	q = tenant_queue_find(t, port, queue);
	tenant_unlock(t);
	return q == NULL ? 0 : tenant_held_get(q, pkts, max);
}
