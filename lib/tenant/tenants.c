/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The list of all tenants of the process, and finding the tenant to which a memzone belongs. */

#include <sched.h>
#include <string.h>

#include "tenant_impl.h"

/*
 * Order of locks: the list's lock is taken last. It is held for a few instructions, which take no
 * other lock, wait for nothing and call no callback. So any thread may search the list, even while
 * it holds tenants' locks. If a thread held the list's lock while it locked each tenant, it could
 * deadlock with a thread that holds a tenant's lock and searches the list: DPDK's hooks do that
 * when a port's queues or a tenant's heap change.
 *
 * tenant_each(), which takes longer, keeps a tenant in the list by the tenant's `visits`, which are
 * counted under the list's lock. tenant_list_remove() waits until there are none. A tenant with
 * `leaves` set gets no new visits, so this wait ends. The tenant stays in the list until then, so
 * that a visitor finds the next tenant. A visitor may wait for the tenant's lock, so a thread that
 * removes the tenant must not hold this lock.
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
		moat_lanes_quiescent(); /* the visitor may wait for this thread's lanes */
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

/* End the visit of `t` (NULL: none), and begin that of the next tenant which does not leave.
 * @return that tenant; NULL: there is none */
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
