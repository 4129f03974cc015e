/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app_unit.h"
#include "moat_args.h"
#include "moat_soft_unit.h"
#include "moat_softvtd_intr.h"
#include "moat_vfio.h"
#include "moat_vtd_host.h"
#include "moat_vtd_obstacles.h"

/* -------------------------------------------------------------------------------------- soft */

/* The unit's arguments, after those that other members of `conf` stand for: the later one of a key
 * overrides the earlier. */
static const char *soft_args(const struct app_unit_conf *conf, char *text, size_t len)
{
	static const char *const words[] = {
		[APP_INTERRUPTS_BLOCK] = "interrupts=block",
		[APP_INTERRUPTS_COMPATIBLE] = "interrupts=compatible",
	};
	bool choice = conf->interrupts != APP_INTERRUPTS_DEFAULT, share = conf->share_interrupts;
	bool more = conf->args != NULL && conf->args[0] != '\0';

	if (!choice && !share)
		return conf->args;
	snprintf(text, len, "%s%s%s%s%s", choice ? words[conf->interrupts] : "",
		choice && share ? "," : "", share ? "share_interrupts=1" : "", more ? "," : "",
		more ? conf->args : "");
	return text;
}

static int soft_check(const struct app_unit_conf *conf)
{
	char text[1024];

	return moat_soft_unit_check(conf->name, soft_args(conf, text, sizeof(text)));
}

static int soft_open(const struct app_unit_conf *conf, struct moat_unit **unit)
{
	char text[1024];

	return moat_soft_unit_create(conf->name, soft_args(conf, text, sizeof(text)), unit);
}

/* ------------------------------------------------------------------ all kinds of hardware */

struct host_args {
	int interrupts; /* enum app_interrupts */
};

static int set_interrupts(void *object, const char *text)
{
	static const char *const words[] = {
		[APP_INTERRUPTS_DEFAULT] = "default",
		[APP_INTERRUPTS_BLOCK] = "block",
		[APP_INTERRUPTS_COMPATIBLE] = "compatible",
	};

	for (unsigned int i = 0; i < RTE_DIM(words); i++) {
		if (strcmp(text, words[i]) != 0)
			continue;
		((struct host_args *)object)->interrupts = (int)i;
		return 0;
	}
	return moat_error(-EINVAL, "it can be default, block or compatible");
}

/* Parse `conf->args`, which override the members of `conf`. */
static int host_parse(const struct app_unit_conf *conf, const struct moat_arg known[],
	unsigned int nr_known, struct host_args *args)
{
	char whose[64];

	args->interrupts = conf->interrupts;
	snprintf(whose, sizeof(whose), "unit %s", conf->name);
	return moat_args_parse(whose, conf->args, known, nr_known, args);
}

/* --------------------------------------------------------------------------------------- vtd */

struct vtd_args {
	struct host_args host;
	/* which unit of the DMAR table; UINT32_MAX: the one that the tenants are behind */
	uint32_t dmar;
	uint8_t queue;
	uint32_t deadline;
	bool take_over_ir;
	bool share_interrupts;
	enum moat_vtd_mode mode;
	enum moat_vtd_stage stage;
};

static int set_mode(void *object, const char *text)
{
	return moat_vtd_mode_parse(text, &((struct vtd_args *)object)->mode);
}

static int set_stage(void *object, const char *text)
{
	return moat_vtd_stage_parse(text, &((struct vtd_args *)object)->stage);
}

#define ARG(key, member, min, max) MOAT_ARG(key, struct vtd_args, member, min, max)

static const struct moat_arg vtd_known[] = {
	ARG("dmar", dmar, 0, INT32_MAX),
	ARG("queue", queue, 1, MOAT_VTD_QI_ORDER_MAX),
	ARG("deadline", deadline, 1, 60000),
	{ .key = "mode", .set = set_mode },
	{ .key = "stage", .set = set_stage },
	{ .key = "interrupts", .set = set_interrupts },
	ARG("share_interrupts", share_interrupts, 0, 1),
	ARG("take_over_ir", take_over_ir, 0, 1),
};

static int vtd_parse(const struct app_unit_conf *conf, struct vtd_args *args)
{
	*args = (struct vtd_args){ .dmar = UINT32_MAX, .share_interrupts = conf->share_interrupts };
	return host_parse(conf, vtd_known, RTE_DIM(vtd_known), &args->host);
}

static int vtd_check(const struct app_unit_conf *conf)
{
	struct vtd_args args;

	return vtd_parse(conf, &args);
}

static int vtd_open(const struct app_unit_conf *conf, struct moat_unit **unit)
{
	struct vtd_args args;
	int ret = vtd_parse(conf, &args);
	static const enum moat_vtd_interrupts interrupts[] = {
		[APP_INTERRUPTS_DEFAULT] = MOAT_VTD_INTERRUPTS_DEFAULT,
		[APP_INTERRUPTS_BLOCK] = MOAT_VTD_INTERRUPTS_BLOCK,
		[APP_INTERRUPTS_COMPATIBLE] = MOAT_VTD_INTERRUPTS_COMPATIBLE,
	};
	const struct moat_vtd_host_conf host = {
		.interrupts = interrupts[args.host.interrupts],
		.share_interrupts = args.share_interrupts,
		.unit = args.dmar == UINT32_MAX ? -1 : (int)args.dmar,
		.segment = conf->segment,
		.tenant = conf->tenants,
		.nr_tenants = conf->nr_tenants,
		.qi_order = args.queue,
		.deadline_ms = args.deadline,
		.take_over = conf->take_over,
		.take_over_ir = args.take_over_ir,
		.mode = args.mode,
		.stage = args.stage,
	};

	return ret == 0 ? moat_vtd_host_create(&host, unit) : ret;
}

/* -------------------------------------------------------------------------------------- vfio */

static const struct moat_arg vfio_known[] = {
	{ .key = "interrupts", .set = set_interrupts },
};

static int vfio_parse(const struct app_unit_conf *conf, struct host_args *args)
{
	int ret = host_parse(conf, vfio_known, RTE_DIM(vfio_known), args);

	if (ret == 0 && conf->share_interrupts)
		return moat_error(-EINVAL,
			"unit %s: share_interrupts is about functions that tenants share by PASID, and a "
			"unit of kind vfio has none; remove it",
			conf->name);
	return ret;
}

static int vfio_check(const struct app_unit_conf *conf)
{
	struct host_args args;

	return vfio_parse(conf, &args);
}

/* Check that the kernel remaps interrupts, or that the user accepts that it does not
 * (interrupts=compatible). Without remapping VFIO also requires allow_unsafe_interrupts. */
static int vfio_interrupts(const struct app_unit_conf *conf, int interrupts)
{
	int remapped;

	if (interrupts == APP_INTERRUPTS_COMPATIBLE)
		return 0;
	remapped = moat_vtd_kernel_remaps(NULL);
	if (remapped == 1)
		return 0;
	if (remapped < 0)
		return moat_error(remapped,
			"unit %s: /proc/interrupts cannot be read, so whether the kernel remaps "
			"interrupts is not known; give the unit interrupts=compatible to use it all the same",
			conf->name);
	return moat_error(-EPERM,
		"unit %s: the kernel does not remap interrupts (no IR- chip in /proc/interrupts), so a "
		"tenant's device could raise any interrupt of the host; boot with intremap=on, or give the "
		"unit interrupts=compatible where that is acceptable",
		conf->name);
}

static int vfio_open(const struct app_unit_conf *conf, struct moat_unit **unit)
{
	const struct moat_vfio_conf vfio = {
		.name = conf->name,
		.segment = conf->segment,
		.functions = conf->tenants,
		.nr_functions = conf->nr_tenants,
	};
	struct host_args args;
	int ret = vfio_parse(conf, &args);

	if (ret == 0)
		ret = vfio_interrupts(conf, args.interrupts);
	return ret != 0 ? ret : moat_vfio_create(&vfio, unit);
}

/* ------------------------------------------------------------------------------------- kinds */

const char *const app_unit_kinds[APP_UNIT_KINDS + 1] = {
	[APP_UNIT_SOFT] = "soft",
	[APP_UNIT_VTD] = "vtd",
	[APP_UNIT_VFIO] = "vfio",
};

static const struct kind {
	bool in_process;
	int (*check)(const struct app_unit_conf *conf);
	int (*open)(const struct app_unit_conf *conf, struct moat_unit **unit);
} kinds[APP_UNIT_KINDS] = {
	[APP_UNIT_SOFT] = { .in_process = true, .check = soft_check, .open = soft_open },
	[APP_UNIT_VTD] = { .check = vtd_check, .open = vtd_open },
	[APP_UNIT_VFIO] = { .check = vfio_check, .open = vfio_open },
};

bool app_unit_in_process(enum app_unit_kind kind)
{
	return kinds[kind].in_process;
}

int app_unit_check(enum app_unit_kind kind, const struct app_unit_conf *conf)
{
	return kinds[kind].check(conf);
}

int app_unit_open(enum app_unit_kind kind, const struct app_unit_conf *conf,
	struct moat_unit **unit)
{
	return kinds[kind].open(conf, unit);
}

void app_unit_close(struct moat_unit *unit)
{
	unit->ops->destroy(unit);
}

bool app_unit_interrupts(const struct moat_unit *unit, char *text, size_t len)
{
	enum moat_vtd_interrupts is = MOAT_VTD_INTERRUPTS_COMPATIBLE;
	const char *why = "";

	if (unit->qi != NULL) {
		is = moat_vtd_interrupts(unit);
		why = moat_vtd_interrupts_why(unit);
	} else if (moat_vtd_kernel_remaps(NULL) == 1) { /* the kernel drives the unit */
		is = MOAT_VTD_INTERRUPTS_BLOCK;
	}
	snprintf(text, len, "%s: %s%s%s", moat_vtd_interrupts_name(is),
		moat_vtd_interrupts_text(is), why[0] != '\0' ? "; block is not possible: " : "",
		why);
	return is != MOAT_VTD_INTERRUPTS_BLOCK;
}

bool app_unit_shares_interrupts(const struct moat_unit *unit)
{
	return unit->qi != NULL && moat_vtd_interrupts_shared(unit);
}

void app_unit_stats(struct moat_unit *unit, struct app_unit_stats *stats)
{
	struct moat_softvtd *sv = moat_soft_unit_find(unit->name);
	struct moat_softvtd_intr_stats intr;
	struct moat_softvtd_stats soft;
	struct moat_qi_stats qi = { 0 };
	struct moat_pt_pool_stats tables;

	if (unit->qi != NULL)
		moat_qi_stats(unit->qi, &qi);
	moat_pt_pool_stats(unit->pool, &tables);
	*stats = (struct app_unit_stats){ .descriptors = qi.descriptors,
		.waits = qi.waits,
		.doorbells = qi.doorbells,
		.tables_allocated = tables.allocated,
		.tables_freed = tables.freed };
	if (sv == NULL)
		return;
	moat_softvtd_stats(sv, &soft);
	stats->pages = soft.pages;
	stats->has_pages = true;
	moat_softvtd_intr_stats(sv, &intr);
	stats->stale_dma = soft.stale_dma;
	stats->stale_interrupts = intr.stale_interrupts;
	stats->has_oracle = moat_softvtd_witness(sv) != NULL;
	stats->iotlb_hits = soft.iotlb_hits;
	stats->iotlb_misses = soft.iotlb_misses;
}

uint32_t app_unit_latency(const struct moat_unit *unit)
{
	const struct moat_softvtd *sv = unit != NULL ? moat_soft_unit_find(unit->name) : NULL;

	return sv != NULL ? moat_softvtd_conf(sv)->latency : 0;
}
