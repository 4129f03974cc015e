/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Sections, keys and values, each by itself. fwd_check*.c check them together. */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fwd_conf.h"
#include "moat_suggest.h"

/* ---------------------------------------------------------------------------------- values */

const char *const fwd_requesters_words[] = { "port", "queue", "pasid", NULL };
static const char *const forward_words[] = { "io", "macswap", "l2", NULL };
static const char *const idle_words[] = { "spin", "yield", "sleep", "posted", NULL };
static const char *const interrupts_words[] = { "default", "block", "compatible", NULL };

/* "mac 02:00:00:00:00:01" or "vlan 100" */
static void read_match(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	struct fwd_match *m = field;
	unsigned int vid;
	int end = 0;

	if (sscanf(e->value, "mac %2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &m->addr[0], &m->addr[1],
		    &m->addr[2], &m->addr[3], &m->addr[4], &m->addr[5], &end) == 6 &&
		e->value[end] == '\0' && !(m->addr[0] & 1))
		m->mac = true;
	else if (sscanf(e->value, "vlan %4u%n", &vid, &end) == 1 && e->value[end] == '\0' &&
		vid >= 1 && vid <= 4094)
		m->vlan = true, m->vid = (uint16_t)vid;
	else
		app_ini_error(ini, e->line,
			"match = %s steers nothing; write 'mac aa:bb:cc:dd:ee:ff' (a unicast address) or "
			"'vlan N' with N from 1 to 4094",
			e->value);
}

/* "14d63f20-8445-11ea-8900-1f9ce7d5650d" */
static void read_uuid(struct app_ini *ini, const struct app_entry *e, const struct app_key *key,
	void *field)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	size_t i = 0;

	while (form[i] != '\0' &&
		(form[i] == 'x' ? isxdigit((unsigned char)e->value[i]) != 0 : e->value[i] == '-'))
		i++;
	if (form[i] == '\0' && e->value[i] == '\0')
		*(const char **)field = e->value;
	else
		app_ini_error(ini, e->line,
			"%s = %s is not a UUID; write one as uuidgen does, as in "
			"14d63f20-8445-11ea-8900-1f9ce7d5650d",
			e->key, e->value);
}

/* A key, the function that reads it, the structure and the member that it fills; then other members
 * of struct app_key. */
#define KEY(key, function, structure, member, ...)                                           \
	{                                                                                    \
		.name = key, .read = function, .offset = offsetof(struct structure, member), \
		##__VA_ARGS__                                                                \
	}

static const struct app_key fwd_keys[] = {
	KEY("seconds", app_read_number, fwd_conf, seconds, .max = 1000000000),
	KEY("interval", app_read_number, fwd_conf, interval, .min = 1, .max = 3600),
	KEY("idle", app_read_word, fwd_conf, idle, .words = idle_words),
	KEY("lcores", app_read_set, fwd_conf, lcores),
	KEY("control", app_read_text, fwd_conf, control),
	KEY("vfio_vf_token", read_uuid, fwd_conf, vf_token),
	{ .name = NULL },
};

static const struct app_key unit_keys[] = {
	KEY("kind", app_read_word, fwd_unit, kind, .words = app_unit_kinds, .required = true),
	KEY("args", app_read_text, fwd_unit, args),
	KEY("interrupts", app_read_word, fwd_unit, interrupts, .words = interrupts_words),
	KEY("share_interrupts", app_read_bool, fwd_unit, share_interrupts),
	{ .name = NULL },
};

static const struct app_key port_keys[] = {
	KEY("backing", app_read_text, fwd_port, backing),
	KEY("device", app_read_text, fwd_port, device),
	KEY("unit", app_read_text, fwd_port, unit_name),
	KEY("queues", app_read_number, fwd_port, queues, .min = 1, .max = 64),
	KEY("requesters", app_read_word, fwd_port, requesters, .words = fwd_requesters_words),
	KEY("requester", app_read_sid, fwd_port, requester),
	KEY("rx_descriptors", app_read_number, fwd_port, rx_descriptors, .min = 64, .max = 4096),
	KEY("tx_descriptors", app_read_number, fwd_port, tx_descriptors, .min = 64, .max = 4096),
	KEY("mtu", app_read_number, fwd_port, mtu, .min = 68, .max = 9000),
	KEY("promiscuous", app_read_bool, fwd_port, promiscuous),
	{ .name = NULL },
};

static const struct app_key tenant_keys[] = {
	KEY("queues", app_read_text, fwd_tenant, queue_list, .required = true),
	KEY("mode", app_read_word, fwd_tenant, mode, .words = app_modes),
	KEY("unit", app_read_text, fwd_tenant, unit_name),
	KEY("forward", app_read_word, fwd_tenant, forward, .words = forward_words),
	KEY("memory", app_read_size, fwd_tenant, memory, .min = 4096, .max = UINT64_C(1) << 40),
	KEY("iova_base", app_read_size, fwd_tenant, iova_base, .max = (UINT64_C(1) << 57) - 1),
	KEY("width", app_read_number, fwd_tenant, width, .min = 22, .max = 57),
	KEY("buffers", app_read_number, fwd_tenant, buffers, .min = 64, .max = 1 << 24),
	KEY("data_room", app_read_size, fwd_tenant, data_room, .min = 512, .max = 65535),
	KEY("verify", app_read_bool, fwd_tenant, verify),
	KEY("copy_foreign", app_read_bool, fwd_tenant, copy_foreign),
	KEY("deferred_pages", app_read_number, fwd_tenant, deferred_pages, .min = 1, .max = 65536),
	KEY("deferred_us", app_read_number, fwd_tenant, deferred_us, .min = 1, .max = 10000000),
	KEY("match", read_match, fwd_tenant, match),
	KEY("lcores", app_read_set, fwd_tenant, lcores),
	{ .name = NULL },
};

/* -------------------------------------------------------------------------------- sections */

/* Check a section's name, which becomes part of device names: letters, digits, '-' and '_'. */
static bool good_name(struct app_ini *ini, const struct app_section *s)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	const unsigned int most = 15;

	if (s->name[0] == '\0')
		app_ini_error(ini, s->line, "[%s] has no name; write [%s NAME]", s->kind, s->kind);
	else if (strspn(s->name, letters) != strlen(s->name))
		app_ini_error(ini, s->line, "[%s %s]: a name has letters, digits, '-' and '_' only",
			s->kind, s->name);
	else if (strlen(s->name) > most)
		app_ini_error(ini, s->line,
			"[%s %s]: the name is too long; %u characters are the most", s->kind,
			s->name, most);
	else
		return true;
	return false;
}

/* Is this the first section of its kind and name, and is there room for it? */
static bool good_section(struct app_ini *ini, const struct app_section *s, unsigned int have,
	unsigned int most)
{
	if (!good_name(ini, s))
		return false;
	for (const struct app_section *o = ini->sections; o != s; o++) {
		if (strcmp(o->kind, s->kind) == 0 && strcmp(o->name, s->name) == 0) {
			app_ini_error(ini, s->line,
				"[%s %s] is there already, in line %u; rename one", s->kind,
				s->name, o->line);
			return false;
		}
	}
	if (have == most)
		app_ini_error(ini, s->line, "[%s %s] is one too many; there can be %u", s->kind,
			s->name, most);
	return have < most;
}

static void read_unit(struct fwd_conf *conf, const struct app_section *s)
{
	struct fwd_unit *unit = &conf->units[conf->nr_units];

	if (!good_section(&conf->ini, s, conf->nr_units, FWD_UNITS))
		return;
	*unit = (struct fwd_unit){ .section = s, .name = s->name };
	app_ini_read(&conf->ini, s, unit_keys, unit);
	conf->nr_units++;
}

static void read_port(struct fwd_conf *conf, const struct app_section *s)
{
	struct fwd_port *port = &conf->ports[conf->nr_ports];

	if (!good_section(&conf->ini, s, conf->nr_ports, FWD_PORTS))
		return;
	*port = (struct fwd_port){
		.section = s,
		.name = s->name,
		.queues = 1,
		.requester = -1,
		.rx_descriptors = 512,
		.tx_descriptors = 512,
		.mtu = 1500,
		.promiscuous = true,
	};
	app_ini_read(&conf->ini, s, port_keys, port);
	conf->nr_ports++;
}

static void read_tenant(struct fwd_conf *conf, const struct app_section *s)
{
	struct fwd_tenant *tenant = &conf->tenants[conf->nr_tenants];

	if (!good_section(&conf->ini, s, conf->nr_tenants, FWD_TENANTS))
		return;
	*tenant = (struct fwd_tenant){
		.section = s,
		.name = s->name,
		.mode = -1,
		.data_room = 2048,
		.verify = true,
		.deferred_pages = 256,
		.deferred_us = 10000,
	};
	app_ini_read(&conf->ini, s, tenant_keys, tenant);
	conf->nr_tenants++;
}

static void read_fwd(struct fwd_conf *conf, const struct app_section *s)
{
	if (s->name[0] != '\0') {
		app_ini_error(&conf->ini, s->line, "[fwd %s]: [fwd] has no name; remove it",
			s->name);
		return;
	}
	for (const struct app_section *o = conf->ini.sections; o != s; o++) {
		if (strcmp(o->kind, "fwd") == 0) {
			app_ini_error(&conf->ini, s->line,
				"[fwd] is there already, in line %u; join the two", o->line);
			return;
		}
	}
	app_ini_read(&conf->ini, s, fwd_keys, conf);
}

static void read_section(struct fwd_conf *conf, const struct app_section *s)
{
	static const char *const kinds[] = { "fwd", "unit", "port", "tenant", NULL };
	static void (*const readers[])(struct fwd_conf *, const struct app_section *) = {
		read_fwd,
		read_unit,
		read_port,
		read_tenant,
	};
	const char *meant = moat_suggest(s->kind, kinds);

	for (unsigned int i = 0; kinds[i] != NULL; i++) {
		if (strcmp(s->kind, kinds[i]) == 0) {
			readers[i](conf, s);
			return;
		}
	}
	if (meant != NULL)
		app_ini_error(&conf->ini, s->line,
			"there are no [%s] sections; did you mean [%s%s%s]?", s->kind, meant,
			s->name[0] ? " " : "", s->name);
	else
		app_ini_error(&conf->ini, s->line,
			"there are no [%s] sections; there are [fwd], [unit NAME], [port NAME] and "
			"[tenant NAME]",
			s->kind);
}

int fwd_conf_read(struct fwd_conf *conf, const char *path)
{
	int rc;

	*conf = (struct fwd_conf){ .interval = 1, .idle = FWD_IDLE_YIELD };
	rc = app_ini_load(&conf->ini, path);
	if (rc != 0)
		return rc;
	for (unsigned int i = 0; i < conf->ini.nr_sections; i++)
		read_section(conf, &conf->ini.sections[i]);
	return conf->ini.errors != 0 ? -EINVAL : 0;
}

void fwd_conf_free(struct fwd_conf *conf)
{
	for (unsigned int i = 0; i < conf->nr_units; i++)
		if (conf->units[i].unit != NULL)
			app_unit_close(conf->units[i].unit);
	app_ini_free(&conf->ini);
	conf->nr_units = conf->nr_ports = conf->nr_tenants = 0;
}
