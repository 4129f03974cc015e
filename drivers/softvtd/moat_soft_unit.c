/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moat_args.h"
#include "moat_soft_unit.h"
#include "moat_softvtd_intr.h"
#include "moat_vtd.h"

/* ------------------------------------------------------------------------- units by their names */

struct callback {
	void (*fn)(void *ctx);
	void *ctx;
};

struct soft_unit {
	struct soft_unit *next;
	char name[sizeof(((struct moat_unit *)0)->name)];
	struct moat_softvtd *sv;
	struct moat_unit_ops ops; /* the driver's, but interrupt_give() calls a function */
	/* The functions that interrupts call, by the IRTE's index. Set before the IRTE is present,
	 * and cleared when the unit has completed its invalidation. */
	struct callback call[1u << MOAT_VTD_IRT_ORDER];
};

static struct soft_unit *units;
static pthread_mutex_t units_lock = PTHREAD_MUTEX_INITIALIZER;

/** Find the link to a unit. Under units_lock. */
static struct soft_unit **find(const char *name)
{
	struct soft_unit **u = &units;

	while (*u != NULL && strcmp((*u)->name, name) != 0)
		u = &(*u)->next;
	return u;
}

struct moat_softvtd *moat_soft_unit_find(const char *name)
{
	struct moat_softvtd *sv;
	struct soft_unit *u;

	pthread_mutex_lock(&units_lock);
	u = *find(name);
	sv = u != NULL ? u->sv : NULL;
	pthread_mutex_unlock(&units_lock);
	return sv;
}

static int enter(struct soft_unit *u)
{
	struct soft_unit **at;
	int ret = 0;

	pthread_mutex_lock(&units_lock);
	at = find(u->name);
	if (*at == NULL)
		*at = u;
	else
		ret = moat_error(-EEXIST, "there is a software unit '%s' already", u->name);
	pthread_mutex_unlock(&units_lock);
	return ret;
}

/** Free the unit: the driver no longer uses its registers. */
static void leave(void *ctx)
{
	struct soft_unit *u = ctx, **at;

	pthread_mutex_lock(&units_lock);
	at = find(u->name);
	if (*at == u)
		*at = u->next;
	pthread_mutex_unlock(&units_lock);
	moat_softvtd_destroy(u->sv);
	free(u);
}

/* ---------------------------------------------------------------------------------- arguments */

struct args {
	struct moat_softvtd_conf sv;
	uint8_t aw;
	uint8_t queue;
	uint32_t deadline_ms; /* 0: the driver's default */
	enum moat_vtd_mode mode;
	enum moat_vtd_stage stage;
	uint32_t psc;
	int interrupts; /* enum moat_vtd_interrupts */
	bool share_interrupts;
};

/* adversary= and geometry= set several members; arguments after them may change these again. */

static int set_adversary(void *object, const char *text)
{
	struct args *args = object;

	if (strcmp(text, "0") != 0)
		return moat_error(-EINVAL, "it can only be 0");
	moat_softvtd_conf_plain(&args->sv);
	return 0;
}

static int set_geometry(void *object, const char *text)
{
	struct args *args = object;

	return moat_softvtd_conf_geometry(&args->sv, text);
}

static int set_interrupts(void *object, const char *text)
{
	struct args *args = object;

	if (strcmp(text, "block") == 0)
		args->interrupts = MOAT_VTD_INTERRUPTS_BLOCK;
	else if (strcmp(text, "compatible") == 0)
		args->interrupts = MOAT_VTD_INTERRUPTS_COMPATIBLE;
	else if (strcmp(text, "off") == 0)
		args->interrupts = MOAT_VTD_INTERRUPTS_LEAVE;
	else
		return moat_error(-EINVAL, "it can be block, compatible or off");
	return 0;
}

static int set_mode(void *object, const char *text)
{
	return moat_vtd_mode_parse(text, &((struct args *)object)->mode);
}

static int set_stage(void *object, const char *text)
{
	return moat_vtd_stage_parse(text, &((struct args *)object)->stage);
}

#define ARG(key, member, min, max) MOAT_ARG(key, struct args, member, min, max)

static const struct moat_arg known[] = {
	ARG("aw", aw, 39, 57),
	ARG("nd", sv.nd_bits, 4, 16),
	ARG("mamv", sv.mamv, 0, 52),
	ARG("sllps", sv.sllps, 0, 3),
	ARG("nfr", sv.nfr, 1, 128),
	ARG("psi", sv.psi, 0, 1),
	ARG("coherent", sv.coherent, 0, 1),
	ARG("cm", sv.cm, 0, 1),
	ARG("rwbf", sv.rwbf, 0, 1),
	ARG("zlr", sv.zlr, 0, 1),
	ARG("pt", sv.pt, 0, 1),
	ARG("dt", sv.dt, 0, 1),
	ARG("sc", sv.sc, 0, 1),
	ARG("intremap", sv.ir, 0, 1),
	ARG("eim", sv.eim, 0, 1),
	ARG("pi", sv.pi, 0, 1),
	{ .key = "interrupts", .set = set_interrupts },
	ARG("share_interrupts", share_interrupts, 0, 1),
	ARG("scalable", sv.scalable, 0, 1),
	ARG("ssts", sv.ssts, 0, 1),
	ARG("fsts", sv.fsts, 0, 1),
	ARG("nest", sv.nest, 0, 1),
	ARG("fs1gp", sv.fs1gp, 0, 1),
	ARG("fs5lp", sv.fs5lp, 0, 1),
	ARG("pasid_bits", sv.pasid_bits, 0, 20),
	ARG("shards", sv.shards, 1, 64),
	ARG("iotlb", sv.iotlb_entries, 0, 1 << 24),
	ARG("ways", sv.iotlb_ways, 1, 1 << 16),
	ARG("context", sv.context_entries, 0, 1 << 16),
	ARG("pasid_cache", sv.pasid_entries, 0, 1 << 16),
	ARG("psc", psc, 0, 1 << 20),
	ARG("latency", sv.latency, 0, UINT32_MAX),
	ARG("per_descriptor", sv.per_descriptor, 0, UINT32_MAX),
	{ .key = "adversary", .set = set_adversary },
	ARG("seed", sv.seed, 0, UINT64_MAX),
	ARG("prefetch", sv.prefetch, 0, 100),
	ARG("jitter", sv.jitter, 0, 255),
	ARG("gsts_late", sv.gsts_late, 1, 255),
	ARG("linger", sv.linger, 0, 1),
	ARG("reorder", sv.reorder, 0, 1),
	ARG("compress", sv.compress, 0, 1),
	ARG("oracle", sv.oracle, 0, 1),
	ARG("threaded", sv.threaded, 0, 1),
	{ .key = "mode", .set = set_mode },
	{ .key = "stage", .set = set_stage },
	ARG("queue", queue, 1, MOAT_VTD_QI_ORDER_MAX),
	ARG("deadline", deadline_ms, 1, 1000000),
	{ .key = "geometry", .set = set_geometry },
};

/** Apply arguments that stand for several members. */
static int set_groups(struct args *args, const char *unit)
{
	switch (args->aw) {
	case 39:
		args->sv.sagaw = 0x2;
		break;
	case 48:
		args->sv.sagaw = 0x6;
		break;
	case 57:
		args->sv.sagaw = 0xe;
		break;
	case 0: /* not given */
		break;
	default:
		return moat_error(-EINVAL, "unit %s: aw=%u is none of 39, 48, 57", unit, args->aw);
	}
	if (args->aw != 0)
		args->sv.mgaw = args->aw;
	if (args->interrupts < 0) /* default: no device of the kernel is behind the unit */
		args->interrupts =
			args->sv.ir ? MOAT_VTD_INTERRUPTS_BLOCK : MOAT_VTD_INTERRUPTS_LEAVE;
	if (args->psc != UINT32_MAX)
		for (unsigned int i = 0; i < MOAT_SOFTVTD_PSCS; i++)
			args->sv.psc_entries[i] = args->psc;
	return 0;
}

static int parse(struct args *args, const char *unit, const char *text)
{
	char whose[64];
	int ret;

	*args = (struct args){ .queue = MOAT_VTD_QI_ORDER, .psc = UINT32_MAX, .interrupts = -1 };
	moat_softvtd_conf_init(&args->sv);
	args->sv.ir = args->sv.eim = args->sv.pi = true;
	snprintf(whose, sizeof(whose), "unit %s", unit);
	ret = moat_args_parse(whose, text, known, RTE_DIM(known), args);
	return ret != 0 ? ret : set_groups(args, unit);
}

/* -------------------------------------------------------------------------------------- create */

static void table_used(void *ctx, uint64_t hpa)
{
	moat_softvtd_table_used(ctx, hpa);
}

static void table_freed(void *ctx, uint64_t hpa)
{
	moat_softvtd_table_freed(ctx, hpa);
}

static void on_interrupt(void *ctx, const struct moat_softvtd_interrupt *interrupt)
{
	struct soft_unit *u = ctx;

	if (!interrupt->remapped || interrupt->notification || interrupt->index >= RTE_DIM(u->call))
		return; /* not by an entry given here */
	const struct callback *c = &u->call[interrupt->index];

	/* C1, acquire: pairs with C2, so that the argument comes with the function */
	void (*fn)(void *ctx) = __atomic_load_n(&c->fn, __ATOMIC_ACQUIRE);

	if (fn != NULL)
		fn(c->ctx);
}

/* For struct moat_unit_ops. The IRTE's vector does not matter: on_interrupt() looks at its
 * index. */
static int soft_interrupt_give(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
	void (*fn)(void *ctx), void *ctx, struct moat_interrupt *interrupt)
{
	const struct callback call = { fn, ctx };
	const struct moat_vtd_vector to = { .vector = 0x20, .receiver = &call };

	return moat_vtd_interrupt_give(unit, domain, sid, &to, interrupt);
}

static void intr_given(void *ctx, uint16_t index, moat_sid_t sid, const void *receiver)
{
	const struct callback *call = receiver;
	struct soft_unit *u = ctx;

	moat_softvtd_irte_given(u->sv, index, sid);
	if (call == NULL)
		return;
	u->call[index].ctx = call->ctx;
	/* C2, release: pairs with C1 */
	__atomic_store_n(&u->call[index].fn, call->fn, __ATOMIC_RELEASE);
}

static void intr_revoked(void *ctx, uint16_t index, uint64_t cause)
{
	const struct soft_unit *u = ctx;

	moat_softvtd_irte_revoked(u->sv, index, cause);
}

/* The unit has drained the interrupts under way: no thread is in `fn`, unless an entry is stale. */
static void intr_released(void *ctx, uint16_t index, uint64_t cause)
{
	struct soft_unit *u = ctx;

	moat_softvtd_irte_released(u->sv, index, cause);
	__atomic_store_n(&u->call[index].fn, NULL, __ATOMIC_RELEASE);
}

static int bring_up(struct soft_unit *u, const struct args *args, struct moat_unit **unit)
{
	struct moat_vtd_conf conf = {
		.name = u->name,
		.kind = "soft",
		.qi_order = args->queue,
		.deadline_ms = args->deadline_ms,
		.mode = args->mode,
		.stage = args->stage,
		.interrupts = args->interrupts,
		.share_interrupts = args->share_interrupts,
		.intr_watch = { intr_given, intr_revoked, intr_released, u },
		.release = leave,
		.ctx = u,
	};
	int ret;

	moat_softvtd_window(u->sv, &conf.window);
	ret = moat_vtd_create(&conf, unit);
	if (ret != 0)
		return ret;
	u->ops = *(*unit)->ops;
	u->ops.interrupt_give = soft_interrupt_give;
	(*unit)->ops = &u->ops;
	moat_softvtd_interrupt_sink(u->sv, on_interrupt, u);
	(*unit)->witness = moat_softvtd_witness(u->sv);
	if ((*unit)->witness != NULL) {
		const struct moat_pt_watch watch = { table_used, table_freed, u->sv };

		moat_pt_pool_watch((*unit)->pool, &watch);
	}
	return 0;
}

static int check(const char *name, const char *text, struct args *args)
{
	size_t most = sizeof(((struct soft_unit *)0)->name) - 1;
	int ret;

	if (name == NULL)
		return moat_error(-EINVAL, "a software unit needs a name of 1 to %zu characters",
			most);
	if (*name == '\0' || strlen(name) > most)
		return moat_error(-EINVAL, "'%s' is not a name for a unit: 1 to %zu characters",
			name, most);
	ret = parse(args, name, text);
	return ret != 0 ? ret : moat_softvtd_check(&args->sv);
}

int moat_soft_unit_check(const char *name, const char *text)
{
	struct args args;

	return check(name, text, &args);
}

int moat_soft_unit_create(const char *name, const char *text, struct moat_unit **unit)
{
	struct soft_unit *u;
	struct args args;
	int ret = check(name, text, &args);

	if (ret != 0)
		return ret;
	if (unit == NULL)
		return moat_error(-EINVAL, "unit %s: no place to store it", name);
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return moat_error(-ENOMEM, "unit %s: out of memory", name);
	snprintf(u->name, sizeof(u->name), "%s", name);
	ret = moat_softvtd_create(&args.sv, &u->sv);
	if (ret == 0)
		ret = enter(u);
	if (ret != 0) {
		if (u->sv != NULL)
			moat_softvtd_destroy(u->sv);
		free(u);
		return ret;
	}
	ret = bring_up(u, &args, unit);
	if (ret != 0)
		leave(u);
	return ret;
}
