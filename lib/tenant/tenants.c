/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* All tenants of the process, and which of them a memzone belongs to. */

#include <sched.h>
#include <string.h>

#include "tenant_impl.h"

static struct {
	/* of the list; a tenant is locked while it is held, never the other way round */
	pthread_mutex_t lock;
	TAILQ_HEAD(, moat_tenant) list;
} tenants = { .lock = PTHREAD_MUTEX_INITIALIZER, .list = TAILQ_HEAD_INITIALIZER(tenants.list) };

/* As tenant_lock(). */
static void list_lock(void)
{
	while (pthread_mutex_trylock(&tenants.lock) != 0) {
		moat_lanes_quiescent();
		sched_yield();
	}
}

void tenant_list_add(struct moat_tenant *t)
{
	list_lock();
	TAILQ_INSERT_TAIL(&tenants.list, t, next);
	t->listed = true;
	pthread_mutex_unlock(&tenants.lock);
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
	if (t->listed)
		TAILQ_REMOVE(&tenants.list, t, next);
	t->listed = false;
	pthread_mutex_unlock(&tenants.lock);
}

bool tenant_list_has(const char *name)
{
	struct moat_tenant *t;

	list_lock();
	TAILQ_FOREACH (t, &tenants.list, next)
		if (strcmp(t->name, name) == 0)
			break;
	pthread_mutex_unlock(&tenants.lock);
	return t != NULL;
}

void tenant_each(void (*call)(struct moat_tenant *t, void *arg), void *arg)
{
	struct moat_tenant *t;

	list_lock();
	TAILQ_FOREACH (t, &tenants.list, next)
		call(t, arg);
	pthread_mutex_unlock(&tenants.lock);
}

struct moat_tenant *tenant_of_socket(int socket)
{
	struct moat_tenant *t;

	list_lock();
	TAILQ_FOREACH (t, &tenants.list, next)
		if (t->socket == socket)
			break;
	pthread_mutex_unlock(&tenants.lock);
	return t;
}

struct moat_tenant *tenant_of_heap(const void *va)
{
	struct moat_tenant *t;

	list_lock();
	TAILQ_FOREACH (t, &tenants.list, next)
		if (tenant_in_heap(t, va))
			break;
	pthread_mutex_unlock(&tenants.lock);
	return t;
}
