/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_string_fns.h>

#include "net_unit.h"

/* The first source-id of ports without `sid=`: 00:10.0. Each gets devices (8 functions) of its
 * own. */
#define FIRST_SID MOAT_SID(0, 0x10, 0)

static struct net_unit *units;
static pthread_mutex_t units_lock = PTHREAD_MUTEX_INITIALIZER;

/* Find a port that uses one of these source-ids behind the unit. Under the lock. */
static const struct net_unit *find_user(const struct moat_softvtd *sv, unsigned int sid,
	unsigned int n)
{
	for (const struct net_unit *u = units; u != NULL; u = u->next)
		if (u->sv == sv && sid < u->sid + (unsigned int)u->nr_sids && u->sid < sid + n)
			return u;
	return NULL;
}

/* Choose source-ids that no other port of the process has, behind any unit, so that a source-id in
 * a report names one port. */
static int choose_sid(struct net_unit *unit, const char *name)
{
	for (unsigned int sid = FIRST_SID; sid + unit->nr_sids <= 0x10000; sid += 8) {
		const struct net_unit *u = units;

		while (u != NULL &&
			!(sid < u->sid + (unsigned int)u->nr_sids && u->sid < sid + unit->nr_sids))
			u = u->next;
		if (u == NULL) {
			unit->sid = sid;
			return 0;
		}
	}
	return moat_error(-ENOSPC, "%s: no source-ids left; choose with sid=", name);
}

/* Choose the port's source-ids and enter it into the list. */
static int enter(struct net_unit *unit, const char *name, const struct net_args *args)
{
	char last[24] = "";
	int rc = 0;

	pthread_mutex_lock(&units_lock);
	unit->sid = args->sid;
	if (unit->nr_sids > 1)
		snprintf(last, sizeof(last), " to " MOAT_SID_FMT,
			MOAT_SID_ARGS(unit->sid + unit->nr_sids - 1));
	if (!args->has_sid)
		rc = choose_sid(unit, name);
	else if (unit->sv != NULL && find_user(unit->sv, unit->sid, unit->nr_sids) != NULL)
		rc = moat_error(-EBUSY,
			"%s: source-id " MOAT_SID_FMT
			"%s of unit %s belongs to another port; choose "
			"another with sid=, or leave it out",
			name, MOAT_SID_ARGS(unit->sid), last, unit->name);
	if (rc == 0) {
		unit->next = units;
		units = unit;
	}
	pthread_mutex_unlock(&units_lock);
	return rc;
}

static void leave(struct net_unit *unit)
{
	struct net_unit **at = &units;

	pthread_mutex_lock(&units_lock);
	while (*at != unit)
		at = &(*at)->next;
	*at = unit->next;
	pthread_mutex_unlock(&units_lock);
}

static int find_named(struct net_unit *unit, const char *name, const struct net_args *args)
{
	rte_strscpy(unit->name, args->unit, sizeof(unit->name));
	unit->sv = moat_soft_unit_find(args->unit);
	if (unit->sv == NULL)
		return moat_error(-ENOENT,
			"%s: there is no software unit '%s' in this process; make the unit first "
			"(moat_soft_unit_create()), and then the port by rte_eal_hotplug_add(), not by --vdev; "
			"or, in a program without tenants, leave unit= out",
			name, args->unit);
	return 0;
}

static int make_own(struct net_unit *unit, const char *name, const struct net_args *args)
{
	int rc;

	if (snprintf(unit->name, sizeof(unit->name), "%s.unit", name) >= (int)sizeof(unit->name))
		return moat_error(-ENAMETOOLONG,
			"%s: the name is too long for the unit's name, which appends .unit; "
			"use up to %zu characters",
			name, sizeof(unit->name) - 6);
	rc = net_memory_create(unit->name, args->unit_args, unit->sid, unit->nr_sids,
		args->pasid_per_queue ? args->queues : 0, &unit->memory);
	if (rc == 0)
		unit->sv = moat_soft_unit_find(unit->name);
	return rc;
}

int net_unit_open(const char *name, const struct net_args *args, struct net_unit **out)
{
	struct net_unit *unit = calloc(1, sizeof(*unit));
	bool own = args->unit[0] == '\0';
	int rc;

	if (unit == NULL)
		return moat_error(-ENOMEM, "%s: out of memory", name);
	unit->nr_sids = args->requester_per_queue ? args->queues : 1;
	rc = own ? 0 : find_named(unit, name, args);
	if (rc == 0)
		rc = enter(unit, name, args);
	if (rc == 0 && own) {
		rc = make_own(unit, name, args);
		if (rc != 0)
			leave(unit);
	}
	if (rc != 0) {
		free(unit);
		return rc;
	}
	*out = unit;
	return 0;
}

void net_unit_close(struct net_unit *unit)
{
	leave(unit);
	if (unit->memory != NULL)
		net_memory_destroy(unit->memory);
	free(unit);
}
