/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Which tenant gets which queue, and whether the unit can keep them apart. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fwd_check.h"
#include "moat_suggest.h"

/* --------------------------------------------------------------------------------- the list */

/* Find the tenant that has the queue. @return NULL: none */
static struct fwd_tenant *owner(struct fwd_conf *conf, const struct fwd_port *port,
	unsigned int queue)
{
	for (unsigned int i = 0; i < conf->nr_tenants; i++)
		for (unsigned int k = 0; k < conf->tenants[i].nr_queues; k++)
			if (conf->tenants[i].queues[k].port == port &&
				conf->tenants[i].queues[k].queue == queue)
				return &conf->tenants[i];
	return NULL;
}

/* Give the tenant one queue. @return false: ignore the rest of the word that names it */
static bool take_queue(struct fwd_conf *conf, struct fwd_tenant *t, struct fwd_port *port,
	unsigned int queue)
{
	unsigned int line = app_ini_line(t->section, "queues");
	struct fwd_tenant *has = owner(conf, port, queue);

	if (queue >= port->queues)
		app_ini_error(&conf->ini, line,
			"queues = %s: port %s has no queue %u, it has %ju; raise 'queues' of [port %s] or "
			"take a lower one",
			t->queue_list, port->name, queue, (uintmax_t)port->queues, port->name);
	else if (has == t)
		app_ini_error(&conf->ini, line,
			"queues = %s: queue %u of port %s is listed twice; keep one", t->queue_list,
			queue, port->name);
	else if (has != NULL)
		app_ini_error(&conf->ini, line,
			"queues = %s: queue %u of port %s is tenant %s's (line %u); a queue has one owner: "
			"take another",
			t->queue_list, queue, port->name, has->name,
			app_ini_line(has->section, "queues"));
	else if (t->nr_queues == FWD_QUEUES)
		app_ini_error(&conf->ini, line, "queues = %s: a tenant can have %u queues at most",
			t->queue_list, FWD_QUEUES);
	else
		t->queues[t->nr_queues++] =
			(struct fwd_queue){ .port = port, .queue = (uint16_t)queue };
	return queue < port->queues && has == NULL && t->nr_queues <= FWD_QUEUES;
}

static void unknown_port(struct fwd_conf *conf, struct fwd_tenant *t, const char *name)
{
	const char *meant = moat_suggest_row(name, &conf->ports[0].name, sizeof(conf->ports[0]),
		conf->nr_ports);

	if (meant != NULL)
		app_ini_error(&conf->ini, app_ini_line(t->section, "queues"),
			"queues = %s: there is no [port %s]; did you mean '%s'?", t->queue_list,
			name, meant);
	else
		app_ini_error(&conf->ini, app_ini_line(t->section, "queues"),
			"queues = %s: there is no [port %s]; add that section", t->queue_list,
			name);
}

/* Give the tenant the queues of "p0", "p0:1" or "p0:1-3". */
static void take_word(struct fwd_conf *conf, struct fwd_tenant *t, char *word)
{
	char *numbers = strchr(word, ':');
	unsigned int first = 0, last;
	struct fwd_port *port;
	int end = 0;

	if (numbers != NULL)
		*numbers++ = '\0';
	port = fwd_find_port(conf, word);
	if (port == NULL) {
		unknown_port(conf, t, word);
		return;
	}
	last = (unsigned int)port->queues - 1;
	if (numbers != NULL) {
		int n = sscanf(numbers, "%4u%n-%4u%n", &first, &end, &last, &end);

		if (n == 1)
			last = first;
		if (n < 1 || numbers[end] != '\0' || last < first) {
			app_ini_error(&conf->ini, app_ini_line(t->section, "queues"),
				"queues = %s: '%s' is not a queue number; write port, port:0 or port:0-3",
				t->queue_list, numbers);
			return;
		}
	}
	for (unsigned int q = first; q <= last; q++)
		if (!take_queue(conf, t, port, q))
			return;
}

/* ---------------------------------------------------------------------------------- groups */

/* Put the k-th queue of each port into group k. Every port must have the same number of queues. */
static void make_groups(struct fwd_conf *conf, struct fwd_tenant *t)
{
	unsigned int count[FWD_PORTS] = { 0 };
	unsigned int first;

	if (t->nr_queues == 0)
		return;
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		unsigned int *n = &count[t->queues[i].port - conf->ports];

		t->nr_ports += *n == 0;
		t->queues[i].group = (uint16_t)(*n)++;
	}
	first = (unsigned int)(t->queues[0].port - conf->ports);
	for (unsigned int i = 0; i < conf->nr_ports; i++)
		if (count[i] != 0 && count[i] != count[first])
			app_ini_error(&conf->ini, app_ini_line(t->section, "queues"),
				"queues = %s: %u of port %s and %u of port %s cannot be forwarded to one another; "
				"take as many of each",
				t->queue_list, count[first], conf->ports[first].name, count[i],
				conf->ports[i].name);
	t->nr_groups = count[first];
}

static void check_ports_units(struct fwd_conf *conf, struct fwd_tenant *t)
{
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		const struct fwd_port *port = t->queues[i].port;

		if (t->unit == NULL || port->unit == NULL || port->unit == t->unit)
			continue;
		app_ini_error(&conf->ini, app_ini_line(t->section, "queues"),
			"queues = %s: port %s is behind unit %s and tenant %s's domain is in unit %s; let "
			"both name one unit",
			t->queue_list, port->name, port->unit->name, t->name, t->unit->name);
		return;
	}
}

static void check_unpolled(struct fwd_conf *conf, const struct fwd_port *port)
{
	unsigned int used = 0;

	for (unsigned int q = 0; q < port->queues; q++)
		used += owner(conf, port, q) != NULL;
	for (unsigned int q = 0; q < port->queues; q++) {
		if (owner(conf, port, q) != NULL)
			continue;
		if (used == 0)
			app_ini_error(&conf->ini, port->section->line,
				"[port %s] is in no tenant's 'queues': no lcore would poll it; add it there or "
				"remove the section",
				port->name);
		else
			app_ini_error(&conf->ini, app_ini_line(port->section, "queues"),
				"queues = %ju: queue %u of port %s is in no tenant's 'queues': no lcore would "
				"poll it; add it there or lower this",
				(uintmax_t)port->queues, q, port->name);
		return;
	}
}

/* The file must name a tenant's mode, as modes differ in cost and protection. Behind a unit of kind
 * vfio the default is static, because mapping there is a system call. */
static void check_mode(struct fwd_conf *conf, struct fwd_tenant *t)
{
	if (t->mode < 0 && t->unit != NULL && t->unit->kind == APP_UNIT_VFIO)
		t->mode = MOAT_STATIC;
	if (t->mode < 0)
		app_ini_error(&conf->ini, t->section->line, "[tenant %s] has no 'mode'; add one",
			t->name);
}

void fwd_check_queues(struct fwd_conf *conf)
{
	unsigned int before = conf->ini.errors;

	if (conf->nr_tenants == 0)
		app_ini_error(&conf->ini, 0,
			"has no [tenant NAME] section; add one with 'queues' and "
			"'mode'");
	for (unsigned int i = 0; i < conf->nr_tenants; i++) {
		struct fwd_tenant *t = &conf->tenants[i];
		char *list = strdup(t->queue_list), *next = list, *word;

		while ((word = strsep(&next, ", \t")) != NULL)
			if (*word != '\0')
				take_word(conf, t, word);
		free(list);
		if (conf->nr_units != 0)
			t->unit = fwd_find_unit(conf, t->section, t->unit_name);
		check_mode(conf, t);
		check_ports_units(conf, t);
		if (conf->ini.errors == before)
			make_groups(conf, t);
	}
	for (unsigned int i = 0; i < conf->nr_ports && conf->ini.errors == before; i++)
		check_unpolled(conf, &conf->ports[i]);
}

/* --------------------------------------------------------------------------------- sharing */

static bool on_port(const struct fwd_tenant *t, const struct fwd_port *port)
{
	for (unsigned int i = 0; i < t->nr_queues; i++)
		if (t->queues[i].port == port)
			return true;
	return false;
}

/* The port's tenants, as "red, blue". @return how many there are */
static unsigned int tenants_of(const struct fwd_conf *conf, const struct fwd_port *port, char *text,
	size_t size)
{
	unsigned int n = 0;
	size_t at = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < conf->nr_tenants; i++)
		if (on_port(&conf->tenants[i], port) && ++n != 0 && at < size)
			at += (size_t)snprintf(text + at, size - at, "%s%s", n > 1 ? ", " : "",
				conf->tenants[i].name);
	return n;
}

/* Tenants may share a port only if its queues are different requesters to the unit. */
static void check_apart(struct fwd_conf *conf, const struct fwd_port *port)
{
	char text[FWD_TENANTS * 20];
	unsigned int n;
	moat_sid_t sid = fwd_port_sid(port, &n);

	if (port->requesters != FWD_REQUESTER_PORT ||
		tenants_of(conf, port, text, sizeof(text)) < 2)
		return;
	app_ini_error(&conf->ini, app_ini_line(port->section, "requesters"),
		"all queues of port %s make their requests as " MOAT_SID_FMT
		", so the unit cannot keep its tenants (%s) apart; use a VF or a PASID for each tenant%s",
		port->name, MOAT_SID_ARGS(sid), text,
		port->backing != NULL ? ", or 'requesters = queue' (or pasid) of net_moat"
				      : ", or net_moat ('backing') with 'requesters = queue'");
}

/* An interrupt carries no PASID. So without share_interrupts tenants that share a function by PASID
 * are given none, and idle = posted cannot work. */
static void check_posted(struct fwd_conf *conf, const struct fwd_tenant *a,
	const struct fwd_tenant *b, const struct fwd_port *port)
{
	unsigned int n, line = 0;
	moat_sid_t sid = fwd_port_sid(port, &n);

	if (conf->idle != FWD_IDLE_POSTED || port->requesters != FWD_REQUESTER_PASID ||
		port->unit->unit == NULL || app_unit_shares_interrupts(port->unit->unit))
		return;
	for (const struct app_section *s = conf->ini.sections; line == 0; s++)
		if (strcmp(s->kind, "fwd") == 0)
			line = app_ini_line(s, "idle");
	app_ini_error(&conf->ini, line,
		"idle = posted: tenants %s and %s share " MOAT_SID_FMT
		", the function of port %s, by PASID; an interrupt carries no PASID, so each could "
		"raise the other's, and neither is given any; write another 'idle', or 'requesters = "
		"queue', or, to accept that, 'share_interrupts = yes' in [unit %s]",
		a->name, b->name, MOAT_SID_ARGS(sid), port->name, port->unit->name);
}

/* Frames that match nothing go to the one tenant without a match; without it they are dropped
 * (fwd_steer.c). */
static void check_match(struct fwd_conf *conf, const struct fwd_tenant *a,
	const struct fwd_tenant *b, const struct fwd_port *port)
{
	bool a_matches = a->match.mac || a->match.vlan;
	bool b_matches = b->match.mac || b->match.vlan;

	if (!a_matches && !b_matches)
		app_ini_error(&conf->ini, b->section->line,
			"[tenant %s] shares port %s with tenant %s and neither has a 'match', so nothing tells "
			"their packets apart; give one 'match = mac ...' or 'match = vlan ...', and the other "
			"gets the rest",
			b->name, port->name, a->name);
	else if (memcmp(&a->match, &b->match, sizeof(a->match)) == 0)
		app_ini_error(&conf->ini, app_ini_line(b->section, "match"),
			"match = %s is tenant %s's already, on the same port %s; steer by something else",
			app_ini_entry(b->section, "match")->value, a->name, port->name);
}

static void check_pair(struct fwd_conf *conf, const struct fwd_tenant *a,
	const struct fwd_tenant *b)
{
	for (unsigned int i = 0; i < conf->nr_ports; i++) {
		const struct fwd_port *port = &conf->ports[i];
		unsigned int before = conf->ini.errors;

		if (!on_port(a, port) || !on_port(b, port) ||
			port->requesters == FWD_REQUESTER_PORT)
			continue;
		check_posted(conf, a, b, port);
		if (conf->ini.errors == before)
			check_match(conf, a, b, port);
		if (conf->ini.errors != before)
			return; /* one error is enough for two tenants */
	}
}

void fwd_check_sharing(struct fwd_conf *conf)
{
	for (unsigned int i = 0; i < conf->nr_ports; i++)
		check_apart(conf, &conf->ports[i]);
	for (unsigned int i = 0; i < conf->nr_tenants; i++) {
		struct fwd_tenant *t = &conf->tenants[i];

		if ((t->match.mac || t->match.vlan) && t->nr_groups > 1)
			app_ini_error(&conf->ini, app_ini_line(t->section, "match"),
				"match = %s steers to one queue a port, and tenant %s has %u; list one",
				app_ini_entry(t->section, "match")->value, t->name, t->nr_groups);
		for (unsigned int k = 0; k < i; k++)
			check_pair(conf, &conf->tenants[k], t);
	}
}
