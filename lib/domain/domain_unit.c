/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A unit's domain-ids, and the domains that have them. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <rte_log.h>

#include "domain_impl.h"
#include "moat_patience.h"

RTE_LOG_REGISTER(domain_logtype, lib.moat.domain, NOTICE);

/* The number of domains that a message names; the others are only counted. */
#define NAMED 4

/* One lock for the domain-ids and the lists of domains of all units. Control path. */
static pthread_mutex_t did_lock = PTHREAD_MUTEX_INITIALIZER;

/* Find the lowest free domain-id. @return 0: there is none. Domain-id 0 stays unused: with CAP.CM
 * the unit tags absent entries with it. */
static uint32_t did_find(const struct moat_unit *unit)
{
	for (uint32_t i = 1; i < unit->caps.nd; i++) {
		if (unit->dids[i / 64] == UINT64_MAX)
			i |= 63;
		else if (!(unit->dids[i / 64] & (UINT64_C(1) << (i % 64))))
			return i;
	}
	return 0;
}

int domain_did_alloc(struct domain_unit *u)
{
	struct moat_unit *unit = u->unit;
	uint32_t did;

	pthread_mutex_lock(&did_lock);
	did = did_find(unit);
	if (did != 0) {
		unit->dids[did / 64] |= UINT64_C(1) << (did % 64);
		u->did = (uint16_t)did;
		u->next = unit->domains;
		unit->domains = u;
	}
	pthread_mutex_unlock(&did_lock);
	if (did != 0)
		return 0;
	return moat_error(-ENOSPC,
		"unit %s has no domain-id left (CAP.ND allows %" PRIu32 "); "
		"use fewer tenants on this unit",
		unit->name, unit->caps.nd);
}

void domain_did_free(struct domain_unit *u)
{
	struct moat_unit *unit = u->unit;
	struct domain_unit **at = &unit->domains;

	pthread_mutex_lock(&did_lock);
	while (*at != u)
		at = &(*at)->next;
	*at = u->next;
	unit->dids[u->did / 64] &= ~(UINT64_C(1) << (u->did % 64));
	pthread_mutex_unlock(&did_lock);
}

int domain_unit_silent(const struct moat_unit *unit, int rc)
{
	if (rc != -ETIMEDOUT)
		return rc;
	return moat_error(rc, "unit %s: no answer for %" PRIu64 " ms: %s", unit->name,
		moat_patience_us / 1000, moat_error_text());
}

/* List the newest domains on the unit, as " 'red', 'blue'". @return the number of all */
static unsigned int domains_name(const struct moat_unit *unit, char *text, size_t size)
{
	unsigned int n = 0;
	size_t at = 0;

	text[0] = '\0';
	pthread_mutex_lock(&did_lock);
	for (const struct domain_unit *u = unit->domains; u != NULL; u = u->next) {
		if (n++ < NAMED)
			at += (size_t)snprintf(text + at, size - at, "%s '%s'", at != 0 ? "," : "",
				u->domain->name);
	}
	pthread_mutex_unlock(&did_lock);
	return n;
}

int moat_domain_unit_unused(const struct moat_unit *unit)
{
	char names[NAMED * (sizeof(((struct moat_domain *)0)->name) + 4)], more[32] = "";
	unsigned int n = domains_name(unit, names, sizeof(names));
	int rc;

	if (n == 0)
		return 0;
	if (n > NAMED)
		snprintf(more, sizeof(more), " and %u more", n - NAMED);
	rc = moat_error(-EBUSY,
		"unit %s is not destroyed, because %u domain%s still on it:%s%s; destroy the tenants "
		"(moat_tenant_destroy()) or domains (moat_domain_destroy()) first, and then the unit",
		unit->name, n, n == 1 ? " is" : "s are", names, more);
	rte_log(RTE_LOG_ERR, domain_logtype, "moat: %s\n", moat_error_text());
	return rc;
}
