/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <rte_version.h>

#include "moat_device.h"
#include "moat_telemetry.h"

#define UNITS   16
#define TENANTS 64
#define KEY     48 /* bytes: a unit's name and a number */

struct shown_unit {
	struct moat_unit *unit; /* NULL: free */
	moat_telemetry_more_t more;
	uint64_t faults;
};

struct shown_fault {
	char unit[32], tenant[32];
	struct moat_fault fault;
};

static struct {
	pthread_mutex_t lock; /* guards all members; a command holds it while it answers */
	bool registered;
	struct shown_unit unit[UNITS];
	struct moat_tenant *tenant[TENANTS];
	uint64_t faults; /* number so far; fault i is fault[i % MOAT_TELEMETRY_FAULTS] */
	struct shown_fault fault[MOAT_TELEMETRY_FAULTS];
} shown = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Report quiescent states while waiting for the lock: its holder may wait for a tenant's lock,
 * whose holder may wait for a ticket, which may wait for the calling lcore. */
static void shown_lock(void)
{
	while (pthread_mutex_trylock(&shown.lock) != 0) {
		moat_lanes_quiescent();
		sched_yield();
	}
}

static void shown_unlock(void)
{
	pthread_mutex_unlock(&shown.lock);
}

/* ----------------------------------------------------------------------------------- answers */

void moat_telemetry_number(struct rte_tel_data *dict, const char *name, uint64_t value)
{
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
	rte_tel_data_add_dict_uint(dict, name, value);
#else
	rte_tel_data_add_dict_u64(dict, name, value);
#endif
}

#define number moat_telemetry_number

/** Add a member that is a dictionary itself, and is freed with its parent. @return NULL: out of
 * memory, the member is left out */
static struct rte_tel_data *nested(struct rte_tel_data *dict, const char *name)
{
	struct rte_tel_data *inner = rte_tel_data_alloc();

	if (inner == NULL)
		return NULL;
	rte_tel_data_start_dict(inner);
	if (rte_tel_data_add_dict_container(dict, name, inner, 0) == 0)
		return inner;
	rte_tel_data_free(inner);
	return NULL;
}

/* Is the character kept in a key? (DPDK permits these, '_' and '/'.) */
static bool is_keys(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void key_make(unsigned int i, char key[KEY])
{
	snprintf(key, KEY, "%s", shown.unit[i].unit->name);
	for (char *c = key; *c != '\0'; c++)
		if (!is_keys(*c))
			*c = '_';
}

/* Make a unit's key: its name, with '_' for characters that are not kept, and the unit's number
 * appended if an earlier unit has the same key. */
static void unit_key(unsigned int i, char key[KEY])
{
	char other[KEY];
	size_t len;

	key_make(i, key);
	len = strlen(key);
	for (unsigned int k = 0; k < i; k++) {
		if (shown.unit[k].unit == NULL)
			continue;
		key_make(k, other);
		if (strncmp(other, key, len) == 0 && other[len] == '\0')
			snprintf(key + len, KEY - len, "_%u", i);
	}
}

static void say_unit(const struct shown_unit *s, struct rte_tel_data *dict)
{
	struct moat_unit *unit = s->unit;
	struct moat_qi_stats qi = { 0 };
	unsigned int domains = 0;

	for (unsigned int i = 0; i < TENANTS; i++)
		domains += shown.tenant[i] != NULL &&
			moat_tenant_domain(shown.tenant[i])->unit == unit;
	rte_tel_data_add_dict_string(dict, "name", unit->name);
	rte_tel_data_add_dict_string(dict, "kind", unit->kind);
	rte_tel_data_add_dict_int(dict, "width", unit->caps.mgaw);
	number(dict, "tenants", domains);
	number(dict, "faults", s->faults);
	if (unit->qi != NULL) {
		moat_qi_stats(unit->qi, &qi);
		number(dict, "descriptors", qi.descriptors);
		number(dict, "waits", qi.waits);
		number(dict, "doorbells", qi.doorbells);
		number(dict, "queue_full", qi.full);
		number(dict, "helped", qi.helped);
	}
	if (s->more != NULL)
		s->more(unit, dict);
}

static int units(const char *cmd, const char *params, struct rte_tel_data *d)
{
	rte_tel_data_start_dict(d);
	shown_lock();
	for (unsigned int i = 0; i < UNITS; i++) {
		struct rte_tel_data *dict;
		char key[KEY];

		if (shown.unit[i].unit == NULL)
			continue;
		unit_key(i, key);
		dict = nested(d, key);
		if (dict != NULL)
			say_unit(&shown.unit[i], dict);
	}
	shown_unlock();
	return 0;
}

static int tenants(const char *cmd, const char *params, struct rte_tel_data *d)
{
	rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
	shown_lock();
	for (unsigned int i = 0; i < TENANTS; i++)
		if (shown.tenant[i] != NULL)
			rte_tel_data_add_array_string(d, moat_tenant_name(shown.tenant[i]));
	shown_unlock();
	return 0;
}

static void say_tenant(struct moat_tenant *t, struct rte_tel_data *d)
{
	struct moat_tenant_stats s;

	moat_tenant_stats(t, &s);
	rte_tel_data_add_dict_string(d, "name", moat_tenant_name(t));
	rte_tel_data_add_dict_string(d, "mode", moat_mode_name(moat_tenant_mode(t)));
	rte_tel_data_add_dict_string(d, "unit", moat_tenant_domain(t)->unit->name);
	number(d, "page_size", moat_tenant_page_size(t));
	number(d, "packets", s.cost.packets);
	number(d, "bursts", s.cost.bursts);
	number(d, "pages_mapped", s.lane.pages_mapped);
	number(d, "pages_unmapped", s.lane.pages_unmapped);
	number(d, "descriptors", s.lane.descriptors);
	number(d, "flushes", s.lane.flushes);
	number(d, "retried", s.lane.retried);
	number(d, "waits", s.waits);
	number(d, "iotlb_hits", s.iotlb_hits);
	number(d, "iotlb_misses", s.iotlb_misses);
	number(d, "iotlb_faults", s.iotlb_faults);
	number(d, "verify_failed", s.verify_failed);
	number(d, "quarantined", s.quarantined);
	number(d, "held", s.held);
	number(d, "starved", s.starved);
	number(d, "faults", s.faults);
	number(d, "map_failed", s.map_failed);
	number(d, "overrun", s.overrun);
	number(d, "lost", s.lost);
	number(d, "foreign", s.foreign);
	number(d, "copied_bytes", s.copied);
	number(d, "delay_max_cycles", s.delay_max);
	number(d, "exposed_pages", s.lane.exposed_pages);
	number(d, "exposed_max_cycles", s.lane.exposed_max);
}

/** Report cycles by stage, their sum over the mapping stages, and the TSC frequency, which turns
 * cycles into time. */
static void say_cost(struct moat_tenant *t, struct rte_tel_data *d)
{
	struct moat_tenant_stats s;

	moat_tenant_stats(t, &s);
	rte_tel_data_add_dict_string(d, "name", moat_tenant_name(t));
	number(d, "tsc_hz", rte_get_tsc_hz());
	number(d, "packets", s.cost.packets);
	number(d, "bursts", s.cost.bursts);
	for (enum moat_stage i = 0; i < MOAT_STAGES; i++)
		number(d, moat_stage_name(i), s.cost.cycles[i]);
	number(d, "mapping", moat_cost_mapping(&s.cost));
}

/** Call `say` for the tenant of this name. @return 0; -EINVAL: no such tenant (answered as null) */
static int one_tenant(const char *name, struct rte_tel_data *d,
	void (*say)(struct moat_tenant *t, struct rte_tel_data *d))
{
	int ret = -EINVAL;

	if (name == NULL)
		return ret;
	rte_tel_data_start_dict(d);
	shown_lock();
	for (unsigned int i = 0; i < TENANTS && ret != 0; i++)
		if (shown.tenant[i] != NULL &&
			strcmp(moat_tenant_name(shown.tenant[i]), name) == 0) {
			say(shown.tenant[i], d);
			ret = 0;
		}
	shown_unlock();
	return ret;
}

static int tenant(const char *cmd, const char *params, struct rte_tel_data *d)
{
	return one_tenant(params, d, say_tenant);
}

static int cost(const char *cmd, const char *params, struct rte_tel_data *d)
{
	return one_tenant(params, d, say_cost);
}

static void say_fault(const struct shown_fault *f, struct rte_tel_data *d)
{
	char text[32];

	rte_tel_data_add_dict_string(d, "unit", f->unit);
	rte_tel_data_add_dict_string(d, "tenant", f->tenant);
	snprintf(text, sizeof(text), MOAT_SID_FMT, MOAT_SID_ARGS(f->fault.sid));
	rte_tel_data_add_dict_string(d, "source_id", text);
	snprintf(text, sizeof(text), "0x%" PRIx64, f->fault.iova);
	rte_tel_data_add_dict_string(d, "iova", text);
	rte_tel_data_add_dict_string(d, "access", f->fault.write ? "write" : "read");
	rte_tel_data_add_dict_int(d, "reason", f->fault.reason);
	rte_tel_data_add_dict_string(d, "text", f->fault.reason_text);
}

static int faults(const char *cmd, const char *params, struct rte_tel_data *d)
{
	rte_tel_data_start_dict(d);
	shown_lock();
	number(d, "total", shown.faults);
	for (uint64_t i = 0; i < RTE_MIN(shown.faults, (uint64_t)MOAT_TELEMETRY_FAULTS); i++) {
		struct rte_tel_data *dict;
		char key[32];

		snprintf(key, sizeof(key), "last_%" PRIu64, i);
		dict = nested(d, key);
		if (dict != NULL)
			say_fault(&shown.fault[(shown.faults - 1 - i) % MOAT_TELEMETRY_FAULTS],
				dict);
	}
	shown_unlock();
	return 0;
}

/* --------------------------------------------------------------------------- what is shown */

/** Register the commands, once, because DPDK cannot unregister them. The lock is held. */
static void register_commands(void)
{
	if (shown.registered)
		return;
	shown.registered = true;
	moat_tenant_at_destroy(moat_telemetry_remove_tenant);
	rte_telemetry_register_cmd("/moat/units", units,
		"Units and their counters. Takes no parameters");
	rte_telemetry_register_cmd("/moat/tenants", tenants,
		"Names of the tenants. Takes no parameters");
	rte_telemetry_register_cmd("/moat/tenant", tenant, "A tenant's counters. Parameters: name");
	rte_telemetry_register_cmd("/moat/cost", cost,
		"A tenant's cycles by stage. Parameters: name");
	rte_telemetry_register_cmd("/moat/faults", faults,
		"The last refused DMAs, newest first. Takes no parameters");
}

int moat_telemetry_add_unit(struct moat_unit *unit, moat_telemetry_more_t more)
{
	struct shown_unit *room = NULL;
	int ret = 0;

	if (unit == NULL)
		return moat_error(-EINVAL, "moat_telemetry_add_unit(): the unit is NULL");
	shown_lock();
	register_commands();
	for (unsigned int i = 0; i < UNITS; i++) {
		if (shown.unit[i].unit == unit)
			ret = moat_error(-EEXIST, "unit %s was added to telemetry already",
				unit->name);
		else if (shown.unit[i].unit == NULL && room == NULL)
			room = &shown.unit[i];
	}
	if (ret == 0 && room == NULL)
		ret = moat_error(-ENOSPC,
			"telemetry shows %d units already, its maximum; %s does not fit", UNITS,
			unit->name);
	if (ret == 0)
		*room = (struct shown_unit){ .unit = unit, .more = more };
	shown_unlock();
	return ret;
}

int moat_telemetry_add_tenant(struct moat_tenant *t)
{
	struct moat_tenant **room = NULL;
	int ret = 0;

	if (t == NULL)
		return moat_error(-EINVAL, "moat_telemetry_add_tenant(): the tenant is NULL");
	shown_lock();
	register_commands();
	for (unsigned int i = 0; i < TENANTS; i++) {
		if (shown.tenant[i] == t)
			ret = moat_error(-EEXIST, "tenant %s was added to telemetry already",
				moat_tenant_name(t));
		else if (shown.tenant[i] == NULL && room == NULL)
			room = &shown.tenant[i];
	}
	if (ret == 0 && room == NULL)
		ret = moat_error(-ENOSPC,
			"telemetry shows %d tenants already, its maximum; %s does not fit", TENANTS,
			moat_tenant_name(t));
	if (ret == 0)
		*room = t;
	shown_unlock();
	return ret;
}

void moat_telemetry_remove_unit(struct moat_unit *unit)
{
	shown_lock();
	for (unsigned int i = 0; i < UNITS; i++)
		if (shown.unit[i].unit == unit)
			shown.unit[i].unit = NULL;
	shown_unlock();
}

void moat_telemetry_remove_tenant(struct moat_tenant *t)
{
	shown_lock();
	for (unsigned int i = 0; i < TENANTS; i++)
		if (shown.tenant[i] == t)
			shown.tenant[i] = NULL;
	shown_unlock();
}

void moat_telemetry_fault(const struct moat_unit *unit, const char *tenant_name,
	const struct moat_fault *fault)
{
	struct shown_fault *f;

	shown_lock();
	f = &shown.fault[shown.faults++ % MOAT_TELEMETRY_FAULTS];
	f->fault = *fault;
	snprintf(f->unit, sizeof(f->unit), "%s", unit->name);
	snprintf(f->tenant, sizeof(f->tenant), "%s", tenant_name != NULL ? tenant_name : "");
	for (unsigned int i = 0; i < UNITS; i++)
		shown.unit[i].faults += shown.unit[i].unit == unit;
	shown_unlock();
}
