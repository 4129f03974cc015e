/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_COST_H
#define MOAT_COST_H

/**
 * @file
 * Where the cycles of a packet go.
 *
 * An lcore carries one stopwatch. Each mark charges the cycles since the last one to a stage of a
 * tenant, so every cycle lands in exactly one place. What the software unit and the software NIC
 * spend *being hardware* on this lcore they report themselves (moat_cost_device()), and the next
 * mark takes it out of the stage that called them: device time is not mapping cost.
 */

#include <rte_branch_prediction.h>
#include <rte_cycles.h>
#include <rte_per_lcore.h>

#include "moat_base.h"
#include "moat_hist.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The driver side's stages, then what is not mapping cost. */
enum moat_stage {
	MOAT_STAGE_MAP,       /* writing entries */
	MOAT_STAGE_TRANSLATE, /* shadow look-ups */
	MOAT_STAGE_UNMAP,     /* clearing entries, gathering */
	MOAT_STAGE_SUBMIT,    /* encoding and queueing descriptors, doorbells */
	MOAT_STAGE_WAIT,      /* polling for tickets with nothing else to do */
	MOAT_STAGE_RECLAIM,   /* giving back what a done ticket releases */
	MOAT_STAGE_COPY,      /* mode copy */
	MOAT_STAGES_MAPPING,
	MOAT_STAGE_APPLICATION = MOAT_STAGES_MAPPING, /* forwarding, PMD's driver side */
	MOAT_STAGE_DEVICE,                            /* being the unit or the NIC */
	MOAT_STAGE_IDLE,                              /* polling without a packet */
	MOAT_STAGES,
};

/** "map", "translate", ... as the reports print them; static. */
const char *moat_stage_name(enum moat_stage stage);

/**
 * Distributions over bursts: the cycles of each stage between one burst's arrival and the next one's.
 * A burst that spent nothing in a stage is not counted there. The last one is of all mapping stages.
 */
struct moat_cost_bursts {
	uint64_t at[MOAT_STAGES_MAPPING]; /* cycles[] when the burst that goes on began */
	struct moat_hist hist[MOAT_STAGES_MAPPING + 1];
};

/** What one tenant cost on one lcore. Written by that lcore only; read by anybody, torn-free. */
struct moat_cost {
	uint64_t cycles[MOAT_STAGES];
	uint64_t packets;
	uint64_t bursts;                    /* not empty */
	uint64_t marks;                     /* readings of the stopwatch */
	struct moat_cost_bursts *per_burst; /* NULL: not kept */
} __rte_cache_aligned;

/** One lcore's stopwatch. */
struct moat_cost_watch {
	uint64_t last;   /* TSC of the last mark */
	uint64_t device; /* this lcore's moat_cost_device_cycles at the last mark */
	bool on;
	/* Whoever counts more than cycles: called at each mark with the stage that ends. NULL: nobody. */
	void (*counted)(void *ctx, enum moat_stage stage);
	void *counted_ctx;
};

/** The calling thread's stopwatch, one for all tenants that it serves. */
RTE_DECLARE_PER_LCORE(struct moat_cost_watch, moat_cost_watch);

/** Cycles this thread has spent being hardware; drivers/softvtd and drivers/net add to it. */
RTE_DECLARE_PER_LCORE(uint64_t, moat_cost_device_cycles);

/** Around device work: `t = moat_cost_device_enter(); ...; moat_cost_device_leave(t);` Nested calls
 * are the outer one's: leave sets the counter, it does not add twice. */
struct moat_cost_device {
	uint64_t tsc, cycles;
};
static inline struct moat_cost_device moat_cost_device_enter(void)
{
	return (struct moat_cost_device){ rte_rdtsc(), RTE_PER_LCORE(moat_cost_device_cycles) };
}
static inline void moat_cost_device_leave(struct moat_cost_device d)
{
	RTE_PER_LCORE(moat_cost_device_cycles) = d.cycles + (rte_rdtsc() - d.tsc);
}

/** Time begins to run: what went before is charged to nobody. Off: one predictable branch. Data path,
 * like all that has a stopwatch; the calling thread's own only. */
static inline void moat_cost_start(struct moat_cost_watch *watch)
{
	if (watch->on) {
		watch->last = rte_rdtsc();
		watch->device = RTE_PER_LCORE(moat_cost_device_cycles);
	}
}

/** Charge the cycles since the last mark to `stage`. Off: one predictable branch. Data path. */
static inline void moat_cost_mark(struct moat_cost_watch *watch, struct moat_cost *cost,
	enum moat_stage stage)
{
	if (watch->on) {
		uint64_t now = rte_rdtsc();
		uint64_t device = RTE_PER_LCORE(moat_cost_device_cycles) - watch->device;

		cost->cycles[stage] += now - watch->last - device;
		cost->cycles[MOAT_STAGE_DEVICE] += device;
		cost->marks++;
		watch->last = now;
		watch->device += device;
		if (unlikely(watch->counted != NULL))
			watch->counted(watch->counted_ctx, stage);
	}
}

/** The burst that goes on has ended: its cycles go into the distributions. For moat_cost_burst();
 * `per_burst` is there. Data path. */
void moat_cost_burst_end(struct moat_cost *cost);

/** A burst of `packets` has come: the one before it ends. Off: one predictable branch. Data path. */
static inline void moat_cost_burst(const struct moat_cost_watch *watch, struct moat_cost *cost,
	uint64_t packets)
{
	if (watch->on && cost->per_burst != NULL)
		moat_cost_burst_end(cost);
	cost->packets += packets;
	cost->bursts++;
}

/** sum += cost, for reports over lcores, distributions left out. Any thread, also while `cost` is
 * being written. Control path. */
void moat_cost_add(struct moat_cost *sum, const struct moat_cost *cost);
/** Driver-side mapping cycles: the stages before MOAT_STAGES_MAPPING. Any thread. */
uint64_t moat_cost_mapping(const struct moat_cost *cost);
/** Cycles of all stages but MOAT_STAGE_IDLE. */
uint64_t moat_cost_busy(const struct moat_cost *cost);
/** What a mark itself takes on this processor, in TSC cycles: the median of some series. They are within
 * the stages, not beside them. Some 50 us; control path. */
double moat_cost_per_mark(void);
/** What part of moat_cost_busy() the marks took, 0 to 1, where one takes `per_mark` cycles. */
double moat_cost_overhead(const struct moat_cost *cost, double per_mark);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_COST_H */
