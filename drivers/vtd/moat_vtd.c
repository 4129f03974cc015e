/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vtd_impl.h"

static int vtd_hpa(struct moat_unit *unit, const void *va, uint64_t len, uint64_t *hpa)
{
	struct vtd *v = vtd_of(unit);

	if (v->conf.hpa != NULL)
		return v->conf.hpa(v->conf.ctx, va, len, hpa);
	*hpa = (uintptr_t)va;
	return 0;
}

/** Free a unit's memory. A unit that is not quiet may still read it, so then nothing is freed. */
static void vtd_free(struct vtd *v, bool quiet)
{
	static _Atomic(struct vtd_kept *) kept;

	if (!quiet) {
		vtd_keep(&kept, &v->kept);
		return;
	}
	if (v->unit.qi != NULL)
		moat_qi_destroy(v->unit.qi);
	if (v->unit.pool != NULL)
		moat_pt_pool_destroy(v->unit.pool);
	vtd_pages_free(v);
	vtd_intr_free(v);
	vtd_scalable_free(v);
	pthread_mutex_destroy(&v->intr.lock);
	pthread_mutex_destroy(&v->fault_lock);
	pthread_mutex_destroy(&v->gcmd);
	pthread_mutex_destroy(&v->lock);
	pthread_mutex_destroy(&v->recovery);
	free(v);
}

static void vtd_destroy(struct moat_unit *unit)
{
	struct vtd *v = vtd_of(unit);
	void (*release)(void *) = v->conf.release;
	void *ctx = v->conf.ctx;
	bool quiet;

	if (moat_domain_unit_unused(unit) != 0)
		return;
	quiet = vtd_take_down(v) == 0;
	vtd_free(v, quiet);
	if (quiet && release != NULL)
		release(ctx);
}

static int vtd_memory_alloc(struct moat_unit *unit, uint64_t len, void **va)
{
	struct vtd *v = vtd_of(unit);

	return v->conf.memory_alloc != NULL ? v->conf.memory_alloc(v->conf.ctx, len, va)
					    : -EOPNOTSUPP;
}

static void vtd_memory_free(struct moat_unit *unit, void *va, uint64_t len)
{
	struct vtd *v = vtd_of(unit);

	v->conf.memory_free(v->conf.ctx, va, len);
}

static const struct moat_unit_ops vtd_ops = {
	.attach = vtd_attach,
	.detach = vtd_detach,
	.hpa = vtd_hpa,
	.memory_alloc = vtd_memory_alloc,
	.memory_free = vtd_memory_free,
	.flush_write_buffer = vtd_flush_write_buffer,
	.faults = vtd_faults,
	.destroy = vtd_destroy,
	.attach_pasid = vtd_attach_pasid,
	.detach_pasid = vtd_detach_pasid,
	MOAT_UNIT_QI_OPS,
	.interrupt_give = vtd_interrupt_give,
	.interrupt_post = vtd_interrupt_post,
	.interrupt_take = vtd_interrupt_take,
};

static int check(const struct vtd *v)
{
	if (v->conf.qi_order > MOAT_VTD_QI_ORDER_MAX)
		return moat_error(-EINVAL,
			"unit %s: a queue of 2^%u pages is too large; use at most 2^%u (IQA.QS)",
			v->unit.name, v->conf.qi_order, MOAT_VTD_QI_ORDER_MAX);
	if (!v->caps.qi)
		return moat_error(-EOPNOTSUPP,
			"unit %s has no queued invalidation (ECAP.QI is clear); "
			"moat cannot use it",
			v->unit.name);
	return 0;
}

static int create(struct vtd *v)
{
	int ret = moat_vtd_caps_read(&v->w, &v->caps);

	if (ret != 0)
		return ret;
	moat_vtd_caps_unit(&v->caps, &v->unit.caps);
	v->unit.dids[0] = 1u << VTD_DID_ABSENT | 1u << VTD_DID_PASS;
	ret = vtd_scalable_choose(v);
	if (ret == 0)
		ret = check(v);
	vtd_scalable_caps(v, &v->unit.caps);
	if (ret == 0)
		ret = vtd_may_own(v);
	if (ret == 0)
		ret = vtd_tables_create(v);
	if (ret == 0)
		ret = moat_pt_pool_create(v->conf.mem, &v->unit.pool);
	if (ret == 0)
		ret = vtd_queue_create(v);
	if (ret == 0)
		ret = vtd_intr_create(v);
	if (ret == 0)
		ret = vtd_pass_through_first(v);
	return ret;
}

static struct vtd *vtd_new(const struct moat_vtd_conf *conf)
{
	struct vtd *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->conf = *conf;
	v->w = conf->window;
	v->mem = conf->mem != NULL ? *conf->mem : moat_pt_mem_anonymous;
	if (v->conf.qi_order == 0)
		v->conf.qi_order = MOAT_VTD_QI_ORDER;
	if (v->conf.deadline_ms == 0)
		v->conf.deadline_ms = MOAT_VTD_DEADLINE_MS;
	v->unit.ops = &vtd_ops;
	v->unit.kind = conf->kind != NULL ? conf->kind : "vtd";
	snprintf(v->unit.name, sizeof(v->unit.name), "%s", conf->name);
	pthread_mutex_init(&v->fault_lock, NULL);
	pthread_mutex_init(&v->intr.lock, NULL);
	pthread_mutex_init(&v->gcmd, NULL);
	pthread_mutex_init(&v->lock, NULL);
	pthread_mutex_init(&v->recovery, NULL);
	return v;
}

static bool has_window(const struct moat_vtd_window *w)
{
	return w->page != NULL ||
		(w->read32 != NULL && w->read64 != NULL && w->write32 != NULL &&
			w->write64 != NULL);
}

/* Check the arguments, before anything is created. */
static int check_conf(const struct moat_vtd_conf *conf, struct moat_unit **unit)
{
	if (conf == NULL || conf->name == NULL || unit == NULL)
		return moat_error(-EINVAL, "moat_vtd_create(): no %s",
			conf == NULL           ? "configuration"
				: unit == NULL ? "place to store the unit"
					       : "name");
	if (!has_window(&conf->window))
		return moat_error(-EINVAL,
			"unit %s: the window has neither a page nor all four functions",
			conf->name);
	if ((unsigned int)conf->mode > MOAT_VTD_SCALABLE ||
		(unsigned int)conf->stage > MOAT_VTD_STAGE_NESTED ||
		(unsigned int)conf->interrupts > MOAT_VTD_INTERRUPTS_BLOCK)
		return moat_error(-EINVAL,
			"unit %s: mode %d, stage %d, interrupts %d: a value that does not exist",
			conf->name, (int)conf->mode, (int)conf->stage, (int)conf->interrupts);
	if (conf->nr_pass_through != 0 && conf->pass_through == NULL)
		return moat_error(-EINVAL,
			"unit %s: nr_pass_through is %u, but pass_through is NULL", conf->name,
			conf->nr_pass_through);
	return 0;
}

int moat_vtd_create(const struct moat_vtd_conf *conf, struct moat_unit **unit)
{
	int ret = check_conf(conf, unit);
	struct vtd *v;

	if (ret != 0)
		return ret;
	v = vtd_new(conf);
	if (v == NULL)
		return moat_error(-ENOMEM, "unit %s: out of memory", conf->name);
	ret = create(v);
	if (ret != 0) {
		vtd_free(v, true); /* no register of the unit has been written yet */
		return ret;
	}
	ret = vtd_bring_up(v);
	if (ret != 0) {
		char why[512]; /* of the first error: take-down may set another text */

		snprintf(why, sizeof(why), "%s", moat_error_text());
		vtd_free(v, !v->touched || vtd_take_down(v) == 0);
		return moat_error(ret, "%s", why);
	}
	*unit = &v->unit;
	return 0;
}

int moat_vtd_mode_parse(const char *text, enum moat_vtd_mode *mode)
{
	if (text == NULL || (strcmp(text, "legacy") != 0 && strcmp(text, "scalable") != 0))
		return moat_error(-EINVAL, "'%s' is not a mode; use legacy or scalable",
			text != NULL ? text : "");
	*mode = strcmp(text, "legacy") == 0 ? MOAT_VTD_LEGACY : MOAT_VTD_SCALABLE;
	return 0;
}

int moat_vtd_stage_parse(const char *text, enum moat_vtd_stage *stage)
{
	static const char *const name[] = { [MOAT_VTD_STAGE_SECOND] = "second",
		[MOAT_VTD_STAGE_FIRST] = "first",
		[MOAT_VTD_STAGE_NESTED] = "nested" };

	for (unsigned int i = MOAT_VTD_STAGE_SECOND; text != NULL && i < RTE_DIM(name); i++) {
		if (strcmp(text, name[i]) == 0) {
			*stage = i;
			return 0;
		}
	}
	return moat_error(-EINVAL, "'%s' is not a stage; use first, second or nested",
		text != NULL ? text : "");
}

const struct moat_vtd_caps *moat_vtd_unit_caps(const struct moat_unit *unit)
{
	return &vtd_of(unit)->caps;
}

void moat_vtd_stats(const struct moat_unit *unit, struct moat_vtd_stats *stats)
{
	struct vtd *v = vtd_of(unit);

	/* relaxed: counters, with no order among them */
	*stats = (struct moat_vtd_stats){
		.faults = atomic_load_explicit(&v->faults, memory_order_relaxed),
		.fault_overflows = atomic_load_explicit(&v->fault_overflows, memory_order_relaxed),
		.iqe = atomic_load_explicit(&v->iqe, memory_order_relaxed),
		.ite = atomic_load_explicit(&v->ite, memory_order_relaxed),
		.ice = atomic_load_explicit(&v->ice, memory_order_relaxed),
		.attaches = atomic_load_explicit(&v->attaches, memory_order_relaxed),
		.detaches = atomic_load_explicit(&v->detaches, memory_order_relaxed),
	};
}
