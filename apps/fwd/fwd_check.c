/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Memory, IOVAs and lcores, and the order of all checks. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "fwd_check.h"
#include "moat_tenant_size.h"

/* ------------------------------------------------------------------------------------- sizes */

/* Bytes of a frame beyond its MTU, as ethdev's drivers count them: header, CRC and two VLAN
 * tags. */
#define OVERHEAD (RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN + 2 * RTE_VLAN_HLEN)

static struct moat_tenant_size size_of(const struct fwd_tenant *t)
{
	struct moat_tenant_size size = {
		.mode = (enum moat_mode)t->mode,
		.queues = t->nr_queues,
		.lcores = t->nr_groups,
		.data_room = (uint32_t)t->data_room,
		.deferred_pages = (uint32_t)t->deferred_pages,
		.latency = t->unit != NULL ? app_unit_latency(t->unit->unit) : 0,
		.contended = t->contended,
	};

	for (unsigned int i = 0; i < t->nr_queues; i++) {
		size.rx_descriptors += (uint32_t)t->queues[i].port->rx_descriptors;
		size.tx_descriptors += (uint32_t)t->queues[i].port->tx_descriptors;
	}
	return size;
}

/* @return how many buffers the tenant's queues need, not its key `buffers` */
static uint64_t buffers_needed(const struct fwd_tenant *t)
{
	struct moat_tenant_size size = size_of(t);

	return moat_tenant_pool_size(&size);
}

uint64_t fwd_tenant_buffers(const struct fwd_tenant *t)
{
	return t->buffers != 0 ? t->buffers : buffers_needed(t);
}

static uint64_t buffer_size(const struct fwd_tenant *t)
{
	return RTE_ALIGN_CEIL(t->data_room, MOAT_PAGE_SIZE); /* two owners never share a page */
}

uint64_t fwd_tenant_memory(const struct fwd_tenant *t)
{
	struct moat_tenant_size size = size_of(t);

	return moat_tenant_memory_size(&size, (unsigned int)fwd_tenant_buffers(t));
}

/* ------------------------------------------------------------------------------------ memory */

static void check_buffers(struct fwd_conf *conf, struct fwd_tenant *t)
{
	uint64_t rings = 0, room = buffer_size(t) - RTE_PKTMBUF_HEADROOM;
	char text[24];

	for (unsigned int i = 0; i < t->nr_queues; i++) {
		const struct fwd_port *port = t->queues[i].port;
		uint64_t frame = port->mtu + OVERHEAD;

		rings += port->rx_descriptors + port->tx_descriptors;
		if (frame <= room)
			continue;
		app_ini_error(&conf->ini, app_ini_line(t->section, "data_room"),
			"data_room = %s: a frame of port %s (mtu %ju and %u bytes of header, CRC and VLAN tags) "
			"does not fit into one buffer behind its headroom of %u; %s would do",
			app_size_text(t->data_room, text, sizeof(text)), port->name,
			(uintmax_t)port->mtu, OVERHEAD, RTE_PKTMBUF_HEADROOM,
			app_size_text(RTE_ALIGN_CEIL(frame + RTE_PKTMBUF_HEADROOM, 1024),
				(char[24]){ 0 }, 24));
		return;
	}
	if (t->buffers != 0 && t->buffers < rings + 64 * t->nr_queues)
		app_ini_error(&conf->ini, app_ini_line(t->section, "buffers"),
			"buffers = %ju are too few: tenant %s's rings hold %ju at once; %ju would do, or leave "
			"the key out",
			(uintmax_t)t->buffers, t->name, (uintmax_t)rings,
			(uintmax_t)buffers_needed(t));
}

static void check_width(struct fwd_conf *conf, struct fwd_tenant *t)
{
	const struct app_section *s = t->section;
	const struct moat_unit *unit = t->unit != NULL ? t->unit->unit : NULL;
	uint64_t base = t->iova_base != 0 ? t->iova_base : MOAT_2M_SIZE;
	uint64_t width = t->width;
	char text[24];

	if (base % MOAT_2M_SIZE != 0) {
		app_ini_error(&conf->ini, app_ini_line(s, "iova_base"),
			"iova_base = %s is not a multiple of 2M; 0x%" PRIx64 " is one",
			app_ini_entry(s, "iova_base")->value, RTE_ALIGN_CEIL(base, MOAT_2M_SIZE));
		return;
	}
	if (unit == NULL)
		return;
	if (width > unit->caps.mgaw) {
		app_ini_error(&conf->ini, app_ini_line(s, "width"),
			"width = %ju: unit %s has IOVAs of %u bits; write %u or fewer, or leave the key out",
			(uintmax_t)width, unit->name, unit->caps.mgaw, unit->caps.mgaw);
		return;
	}
	if (width == 0)
		width = unit->caps.mgaw;
	if (base + t->memory > UINT64_C(1) << width)
		app_ini_error(&conf->ini,
			app_ini_line(s, app_ini_entry(s, "iova_base") ? "iova_base" : "width"),
			"tenant %s's memory, %s at IOVA 0x%" PRIx64
			", does not fit into %ju bits; lower "
			"'iova_base' or 'memory', or raise 'width'",
			t->name, app_size_text(t->memory, text, sizeof(text)), base,
			(uintmax_t)width);
}

/* Refuse more memory than the machine has. Less can still fail, if too little is free. */
static void check_machine(struct fwd_conf *conf, const struct fwd_tenant *t, uint64_t need)
{
	uint64_t has = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	char text[24], would[24];

	if (t->memory <= has)
		return;
	app_ini_error(&conf->ini, app_ini_line(t->section, "memory"),
		"memory = %s: this machine has %s; lower it, or leave the key out (tenant %s needs %s)",
		app_ini_entry(t->section, "memory")->value,
		app_size_text(has >> 20 << 20, text, sizeof(text)), t->name,
		app_size_text(need, would, sizeof(would)));
}

/* Refuse keys that have no effect in the tenant's mode. */
static void check_window(struct fwd_conf *conf, const struct fwd_tenant *t)
{
	static const char *const keys[] = { "deferred_us", "deferred_pages" };

	for (unsigned int i = 0; i < RTE_DIM(keys) && t->mode != MOAT_DEFERRED; i++)
		if (app_ini_entry(t->section, keys[i]) != NULL)
			app_ini_error(&conf->ini, app_ini_line(t->section, keys[i]),
				"%s = %s: mode %s has no window that it could bound; remove the key, or "
				"write 'mode = deferred'",
				keys[i], app_ini_entry(t->section, keys[i])->value,
				moat_mode_name((enum moat_mode)t->mode));
}

void fwd_check_memory(struct fwd_conf *conf)
{
	for (unsigned int i = 0; i < conf->nr_tenants; i++) {
		struct fwd_tenant *t = &conf->tenants[i];
		uint64_t need;
		char text[24];

		t->contended = conf->nr_tenants > 1;
		need = fwd_tenant_memory(t);
		check_buffers(conf, t);
		check_window(conf, t);
		if (t->memory != 0)
			check_machine(conf, t, need);
		if (t->memory != 0 && t->memory < need)
			app_ini_error(&conf->ini, app_ini_line(t->section, "memory"),
				"memory = %s is too little for tenant %s's %u queue%s and %ju buffers; %s would "
				"do, or leave the key out",
				app_ini_entry(t->section, "memory")->value, t->name, t->nr_queues,
				t->nr_queues == 1 ? "" : "s", (uintmax_t)fwd_tenant_buffers(t),
				app_size_text(need, text, sizeof(text)));
		if (t->memory < need)
			t->memory = need;
		check_width(conf, t);
	}
}

/* ------------------------------------------------------------------------------------ lcores */

/* Check that every lcore in `want` is in `have`. */
static void check_set(struct fwd_conf *conf, const struct app_section *s,
	const struct app_set *want, const struct app_set *have)
{
	char text[256];

	for (unsigned int i = 0; i < APP_SET_MAX; i++) {
		if (!app_set_has(want, i) || app_set_has(have, i))
			continue;
		app_ini_error(&conf->ini, app_ini_line(s, "lcores"),
			"lcores = %s: lcore %u may not poll here; those that may: %s",
			app_ini_entry(s, "lcores")->value, i,
			app_set_text(have, text, sizeof(text)));
		return;
	}
}

void fwd_check_lcores(struct fwd_conf *conf, const struct app_set *lcores)
{
	for (unsigned int i = 0; i < conf->ini.nr_sections; i++)
		if (strcmp(conf->ini.sections[i].kind, "fwd") == 0)
			check_set(conf, &conf->ini.sections[i], &conf->lcores, lcores);
	for (unsigned int i = 0; i < conf->nr_tenants; i++) {
		struct fwd_tenant *t = &conf->tenants[i];

		check_set(conf, t->section, &t->lcores, lcores);
		if (t->lcores.n > t->nr_groups)
			app_ini_error(&conf->ini, app_ini_line(t->section, "lcores"),
				"lcores = %s: tenant %s can use %u, one for each queue of a port; list fewer "
				"lcores or more queues",
				app_ini_entry(t->section, "lcores")->value, t->name, t->nr_groups);
	}
}

/* --------------------------------------------------------------------------------------- all */

int fwd_conf_check(struct fwd_conf *conf, const struct app_set *cpus)
{
	static void (*const parts[])(struct fwd_conf *) = {
		fwd_check_units,
		fwd_check_ports,
		fwd_check_queues,
		fwd_check_sharing,
		fwd_check_memory,
	};

	for (unsigned int i = 0; i < RTE_DIM(parts); i++) {
		parts[i](conf);
		/* Each part relies on the ones before: wrong ports give queues wrong owners. */
		if (conf->ini.errors != 0 && i != 0)
			return -EINVAL;
	}
	if (cpus != NULL)
		fwd_check_lcores(conf, cpus);
	return conf->ini.errors != 0 ? -EINVAL : 0;
}
