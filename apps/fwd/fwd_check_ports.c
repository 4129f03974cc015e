/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Units and ports. */

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_devargs.h>
#include <rte_log.h>

#include "fwd_check.h"
#include "moat_suggest.h"

struct fwd_port *fwd_find_port(struct fwd_conf *conf, const char *name)
{
	for (unsigned int i = 0; i < conf->nr_ports; i++)
		if (strcmp(conf->ports[i].name, name) == 0)
			return &conf->ports[i];
	return NULL;
}

struct fwd_unit *fwd_find_unit(struct fwd_conf *conf, const struct app_section *s, const char *name)
{
	const char *meant;

	if (name == NULL && conf->nr_units == 1)
		return &conf->units[0];
	if (name == NULL) {
		app_ini_error(&conf->ini, s->line,
			"[%s %s] names no unit and there are %u; add a line such as 'unit = %s'",
			s->kind, s->name, conf->nr_units, conf->units[0].name);
		return NULL;
	}
	for (unsigned int i = 0; i < conf->nr_units; i++)
		if (strcmp(conf->units[i].name, name) == 0)
			return &conf->units[i];
	meant = moat_suggest_row(name, &conf->units[0].name, sizeof(conf->units[0]),
		conf->nr_units);
	if (meant != NULL)
		app_ini_error(&conf->ini, app_ini_line(s, "unit"),
			"unit = %s: there is no [unit %s]; did you mean '%s'?", name, name, meant);
	else
		app_ini_error(&conf->ini, app_ini_line(s, "unit"),
			"unit = %s: there is no [unit %s]; add that section", name, name);
	return NULL;
}

void fwd_check_units(struct fwd_conf *conf)
{
	if (conf->nr_units == 0)
		app_ini_error(&conf->ini, 0,
			"has no [unit NAME] section; domains live in a unit: add one "
			"with 'kind = soft'");
	for (unsigned int i = 0; i < conf->nr_units; i++) {
		struct fwd_unit *u = &conf->units[i];
		const struct app_unit_conf how = { .name = u->name,
			.args = u->args,
			.interrupts = u->interrupts,
			.share_interrupts = u->share_interrupts };
		int rc = app_unit_in_process(u->kind) ? app_unit_open(u->kind, &how, &u->unit)
						      : app_unit_check(u->kind, &how);

		if (rc != 0)
			app_ini_error(&conf->ini, app_ini_line(u->section, "args"), "%s",
				moat_error_text());
	}
}

/* ----------------------------------------------------------------------------------- ports */

/* "0000:03:00.0" or "03:00.0" -> its source-id; -1: not a PCI address */
static int pci_sid(const char *text, uint16_t *segment)
{
	unsigned int domain = 0, bus, dev, fn;
	int end = 0, n = sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &dev, &fn, &end);

	if (n != 4) {
		domain = 0;
		n = sscanf(text, "%2x:%2x.%1x%n", &bus, &dev, &fn, &end) + 1;
	}
	if (n != 4 || text[end] != '\0' || dev > 31 || fn > 7)
		return -1;
	*segment = (uint16_t)domain;
	return MOAT_SID(bus, dev, fn);
}

moat_sid_t fwd_port_sid(const struct fwd_port *port, unsigned int *n)
{
	*n = port->requesters == FWD_REQUESTER_QUEUE ? (unsigned int)port->queues : 1;
	return (moat_sid_t)port->requester;
}

static void check_backing(struct fwd_conf *conf, const struct fwd_port *port)
{
	if (port->unit != NULL && !app_unit_in_process(port->unit->kind))
		app_ini_error(&conf->ini, app_ini_line(port->section, "backing"),
			"backing = %s is software and unit %s is hardware: it does not see this port's "
			"DMA; use 'device', or a unit with 'kind = soft'",
			port->backing, port->unit->name);
	fwd_check_backing(conf, port);
}

void fwd_check_drivers(struct fwd_conf *conf)
{
	int level = rte_log_get_level(RTE_LOGTYPE_EAL);

	rte_log_set_level(RTE_LOGTYPE_EAL, RTE_LOG_CRIT); /* app_ini_error() reports it instead */
	for (unsigned int i = 0; i < conf->nr_ports; i++) {
		const struct fwd_port *port = &conf->ports[i];
		struct rte_devargs args = { .type = 0 };

		if (port->backing == NULL)
			continue;
		if (rte_devargs_parse(&args, port->backing) != 0)
			app_ini_error(&conf->ini, app_ini_line(port->section, "backing"),
				"backing = %s: DPDK has no driver of that name here; net_af_packet, net_pcap, "
				"net_ring and net_null are some it may have",
				port->backing);
		free(args.data);
	}
	rte_log_set_level(RTE_LOGTYPE_EAL, (uint32_t)level);
}

bool fwd_load_drivers(void)
{
	static const char folder[] = RTE_EAL_PMD_PATH;
	DIR *dir = folder[0] != '\0' ? opendir(folder) : NULL;
	const struct dirent *entry;
	char path[PATH_MAX];

	if (dir == NULL)
		return folder[0] == '\0'; /* all drivers are linked into DPDK's libraries */
	while ((entry = readdir(dir)) != NULL) {
		const char *name = entry->d_name;
		size_t len = strlen(name);

		if (strncmp(name, "librte_net_", 11) != 0 || strcmp(&name[len - 3], ".so") != 0 ||
			strcmp(name, "librte_net_moat.so") == 0) /* moat-fwd is linked with it */
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, name);
		dlopen(path, RTLD_NOW); /* the EAL cannot load a driver that fails here, either */
	}
	closedir(dir);
	return true;
}

/* Check that the devices behind a unit are in one PCI segment, as a unit is. */
static void check_segment(struct fwd_conf *conf, const struct fwd_port *port)
{
	for (struct fwd_port *o = conf->ports; o != port; o++) {
		if (o->device == NULL || o->unit != port->unit || o->segment == port->segment)
			continue;
		app_ini_error(&conf->ini, app_ini_line(port->section, "device"),
			"device = %s and port %s's %s are in different PCI segments, and a unit serves "
			"only one; add a unit",
			port->device, o->name, o->device);
		return;
	}
}

static void check_device(struct fwd_conf *conf, struct fwd_port *port)
{
	const struct app_section *s = port->section;
	unsigned int line = app_ini_line(s, "device");

	port->requester = pci_sid(port->device, &port->segment);
	if (port->requester < 0)
		app_ini_error(&conf->ini, line,
			"device = %s is not a PCI address such as 0000:03:00.0; give a software device by "
			"'backing'",
			port->device);
	else if (port->unit != NULL && app_unit_in_process(port->unit->kind))
		app_ini_error(&conf->ini, line,
			"device = %s is hardware and unit %s is software: it does not translate that "
			"device's DMA; use 'backing', or a unit of hardware",
			port->device, port->unit->name);
	check_segment(conf, port);
	if (app_ini_entry(s, "requester") != NULL || port->requesters != FWD_REQUESTER_PORT)
		app_ini_error(&conf->ini,
			app_ini_line(s, app_ini_entry(s, "requester") ? "requester" : "requesters"),
			"device = %s has its PCI address as its source-id; remove 'requester' and "
			"'requesters', which are for 'backing'",
			port->device);
}

/* Give port n, if it has no source-id, that of bus 0x10 + n, device 0, function 0. */
static void default_requester(struct fwd_conf *conf, struct fwd_port *port)
{
	if (port->requester < 0)
		port->requester = MOAT_SID(0x10 + (unsigned int)(port - conf->ports), 0, 0);
}

/* Check that no other port of the unit uses the port's source-ids. */
static void check_requester(struct fwd_conf *conf, struct fwd_port *port)
{
	unsigned int n, m;
	moat_sid_t sid = fwd_port_sid(port, &n);

	if (sid + n > 0x10000) {
		app_ini_error(&conf->ini, app_ini_line(port->section, "requester"),
			"requester = " MOAT_SID_FMT
			" leaves no room for %u queues' source-ids; take a lower one",
			MOAT_SID_ARGS(sid), n);
		return;
	}
	for (struct fwd_port *o = conf->ports; o != port; o++) {
		moat_sid_t other = fwd_port_sid(o, &m);
		moat_sid_t both = RTE_MAX(sid, other);

		if (o->unit != port->unit || sid + n <= other || other + m <= sid)
			continue;
		app_ini_error(&conf->ini,
			app_ini_line(port->section, port->device != NULL ? "device" : "requester"),
			"requester " MOAT_SID_FMT
			" of port %s is port %s's already; give each port its own",
			MOAT_SID_ARGS(both), port->name, o->name);
		return;
	}
}

static void check_port(struct fwd_conf *conf, struct fwd_port *port)
{
	const struct app_section *s = port->section;

	if (port->backing != NULL && port->device != NULL)
		app_ini_error(&conf->ini, app_ini_line(s, "device"),
			"[port %s] has both 'backing' and 'device'; remove one", port->name);
	else if (port->backing == NULL && port->device == NULL)
		app_ini_error(&conf->ini, s->line,
			"[port %s] has neither 'backing' (software, as in net_af_packet,iface=eth1) nor "
			"'device' (a PCI address); add one",
			port->name);
	if (!rte_is_power_of_2(port->rx_descriptors) || !rte_is_power_of_2(port->tx_descriptors))
		app_ini_error(&conf->ini,
			app_ini_line(s,
				rte_is_power_of_2(port->rx_descriptors) ? "tx_descriptors"
									: "rx_descriptors"),
			"rings of %ju and %ju descriptors: a ring is a power of two long; %u and %u would do",
			(uintmax_t)port->rx_descriptors, (uintmax_t)port->tx_descriptors,
			rte_align32pow2(port->rx_descriptors),
			rte_align32pow2(port->tx_descriptors));
	if (conf->nr_units != 0)
		port->unit = fwd_find_unit(conf, s, port->unit_name);
	if (port->backing != NULL)
		check_backing(conf, port);
	else if (port->device != NULL)
		check_device(conf, port);
	default_requester(conf, port);
	if (port->unit != NULL)
		check_requester(conf, port);
}

void fwd_check_ports(struct fwd_conf *conf)
{
	for (unsigned int i = 0; i < conf->nr_ports; i++)
		check_port(conf, &conf->ports[i]);
}
