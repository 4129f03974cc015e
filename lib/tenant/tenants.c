/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* All tenants of the process, and which of them a memzone belongs to. */

#include <sched.h>
#include <string.h>

#include "tenant_impl.h"

/*
 * The order of locks: the list's is the last one. It is held for a few instructions that take no
 * other lock, wait for nothing and call no function of a caller's; so any thread may ask the list,
 * whichever tenant's lock it holds. The other way round, a thread that held the list's lock while
 * it locked one tenant after the other would wait for a thread that holds one of these and asks the
 * list: DPDK's hooks do that wherever a port's queues or a tenant's heap change.
 *
 * What takes longer holds a tenant in the list by its `visits`, which are counted under the list's
 * lock: tenant_list_remove() waits until there are none. A tenant that `leaves` has no new ones, so
 * that this comes to an end, and stays in the list meanwhile, so that a visitor finds the next one.
 * A visitor may wait for the tenant's lock; a thread that removes the tenant must not hold it.
 */
static struct {
	pthread_mutex_t lock;
	TAILQ_HEAD(, moat_tenant) list;
} tenants = { .lock = PTHREAD_MUTEX_INITIALIZER, .list = TAILQ_HEAD_INITIALIZER(tenants.list) };

static void list_lock(void)
{
	pthread_mutex_lock(&tenants.lock);
}

static void list_unlock(void)
{
	pthread_mutex_unlock(&tenants.lock);
}

void tenant_list_add(struct moat_tenant *t)
{
	list_lock();
	TAILQ_INSERT_TAIL(&tenants.list, t, next);
	t->listed = true;
	list_unlock();
}

static void (*_Atomic at_destroy)(struct moat_tenant *t);

void moat_tenant_at_destroy(void (*gone)(struct moat_tenant *t))
{
	at_destroy = gone;
}

void tenant_say_gone(struct moat_tenant *t)
{
	void (*gone)(struct moat_tenant *) = at_destroy;

	if (gone != NULL)
		gone(t);
}

void tenant_list_remove(struct moat_tenant *t)
{
	list_lock();
	t->leaves = true;
	while (t->visits != 0) {
		list_unlock();
		moat_lanes_quiescent(); /* the visitor may wait for a ticket of this thread's */
		sched_yield();
		list_lock();
	}
	if (t->listed)
		TAILQ_REMOVE(&tenants.list, t, next);
	t->listed = false;
	t->leaves = false;
	list_unlock();
}

bool tenant_list_has(const char *name)
{
	struct moat_tenant *t;

	list_lock();
	TAILQ_FOREACH (t, &tenants.list, next)
		if (strcmp(t->name, name) == 0)
			break;
	list_unlock();
	return t != NULL;
}

/* The one behind `t`, or the first one (NULL), that does not leave: its visit begins, that of `t`
 * ends. */
static struct moat_tenant *visit_next(struct moat_tenant *t)
{
	struct moat_tenant *next;

	list_lock();
	next = t != NULL ? TAILQ_NEXT(t, next) : TAILQ_FIRST(&tenants.list);
	while (next != NULL && next->leaves)
		next = TAILQ_NEXT(next, next);
	if (next != NULL)
		next->visits++;
	if (t != NULL)
		t->visits--;
	list_unlock();
	return next;
}

void tenant_each(void (*call)(struct moat_tenant *t, void *arg), void *arg)
{
	for (struct moat_tenant *t = visit_next(NULL); t != NULL; t = visit_next(t))
		call(t, arg);
}

struct moat_tenant *tenant_of_socket(int socket)
{
	struct moat_tenant *t;

	list_lock();
	TAILQ_FOREACH (t, &tenants.list, next)
		if (t->socket == socket)
			break;
	list_unlock();
	return t;
}

struct moat_tenant *tenant_of_heap(const void *va)
{
	struct moat_tenant *t;

	list_lock();
	TAILQ_FOREACH (t, &tenants.list, next)
		if (tenant_in_heap(t, va))
			break;
	list_unlock();
	return t;
}
