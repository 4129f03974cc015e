/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_COST_H
#define MOAT_COST_H

/**
 * @file
 * Where the cycles of a packet go.
 *
 * Each lcore has one stopwatch. A mark charges the cycles since the last mark to a stage of a
 * tenant, so every cycle is counted exactly once. The software unit and the software NIC report the
 * cycles they spend *being hardware* on this lcore (moat_cost_device_enter() and _leave()), and the
 * next mark charges these to MOAT_STAGE_DEVICE instead of its own stage: device time is not mapping
 * cost.
 *
 * A stopwatch belongs to the calling thread. While it is off, a call costs one predictable branch.
 */

#include <rte_branch_prediction.h>
#include <rte_cycles.h>
#include <rte_per_lcore.h>

#include "moat_base.h"
#include "moat_counter.h"
#include "moat_hist.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** First the stages of mapping, whose sum is the mapping cost; then all other stages. */
enum moat_stage {
	MOAT_STAGE_MAP,       /* writing entries */
	MOAT_STAGE_TRANSLATE, /* look-ups in the shadow IOTLB */
	MOAT_STAGE_UNMAP,     /* clearing entries, gathering */
	MOAT_STAGE_SUBMIT,    /* encoding and queueing descriptors, doorbells */
	MOAT_STAGE_WAIT,      /* polling for tickets with nothing else to do */
	MOAT_STAGE_RECLAIM,   /* freeing what a done ticket releases */
	MOAT_STAGE_COPY,      /* mode copy */
	MOAT_STAGES_MAPPING,
	MOAT_STAGE_APPLICATION = MOAT_STAGES_MAPPING, /* forwarding, and the PMD's own code */
	/* acting as the unit or the NIC, in software */
	MOAT_STAGE_DEVICE,
	MOAT_STAGE_IDLE, /* polling without a packet */
	MOAT_STAGES,
};

/**
 * The name of a stage as reports print it: "map", "translate", ...
 *
 * @param stage a stage; "unknown" if it is not one
 * @return a static string
 *
 * Thread-safe. Control path.
 */
const char *moat_stage_name(enum moat_stage stage);

/**
 * Distributions over bursts: the cycles of each stage between the arrivals of two bursts. A burst
 * that spent no cycles in a stage is not counted there. The last histogram is of all mapping stages
 * together.
 */
struct moat_cost_bursts {
	uint64_t at[MOAT_STAGES_MAPPING]; /* cycles[] when the current burst began */
	struct moat_hist hist[MOAT_STAGES_MAPPING + 1];
};

/** The cost of one tenant on one lcore. Only that lcore writes it. Any thread may read it with
 * moat_cost_add() and the functions after that, which never see a torn number. */
struct moat_cost {
	uint64_t cycles[MOAT_STAGES];
	uint64_t packets;
	uint64_t bursts;                    /* those with at least one packet */
	uint64_t marks;                     /* readings of the stopwatch */
	struct moat_cost_bursts *per_burst; /* NULL: not kept */
} __rte_cache_aligned;

/** One lcore's stopwatch. */
struct moat_cost_watch {
	uint64_t last;   /* TSC of the last mark */
	uint64_t device; /* this lcore's moat_cost_device_cycles at the last mark */
	bool on;
	/* NULL, or called at each mark with the stage that ends, to count more than cycles */
	void (*counted)(void *ctx, enum moat_stage stage);
	void *counted_ctx;
};

/** The calling thread's stopwatch, one for all tenants that it serves:
 * RTE_PER_LCORE(moat_cost_watch). The asm label gives the symbol moat's prefix, which DPDK's macro
 * does not. */
RTE_DECLARE_PER_LCORE(struct moat_cost_watch, moat_cost_watch) __asm__("moat_cost_watch_lcore");

/** Cycles that this thread has spent being hardware; drivers/softvtd and drivers/net add to it. */
RTE_DECLARE_PER_LCORE(uint64_t, moat_cost_device_cycles) __asm__("moat_cost_device_cycles_lcore");

/** The state when device work began, for moat_cost_device_leave(). */
struct moat_cost_device {
	uint64_t tsc, cycles;
};

/**
 * Begin device work: `t = moat_cost_device_enter(); ...; moat_cost_device_leave(t);`
 *
 * @return what moat_cost_device_leave() needs
 *
 * Pairs may nest: the cycles of an inner pair are counted once. Thread-safe: each thread counts its
 * own. Data path.
 */
static inline struct moat_cost_device moat_cost_device_enter(void)
{
	return (struct moat_cost_device){ rte_rdtsc(), RTE_PER_LCORE(moat_cost_device_cycles) };
}

/**
 * End device work.
 *
 * @param d from the moat_cost_device_enter() of the same thread
 *
 * Data path.
 */
static inline void moat_cost_device_leave(struct moat_cost_device d)
{
	RTE_PER_LCORE(moat_cost_device_cycles) = d.cycles + (rte_rdtsc() - d.tsc);
}

/**
 * Start the stopwatch, if it is on: cycles until now are charged to no stage.
 *
 * @param watch the calling thread's
 *
 * Data path.
 */
static inline void moat_cost_start(struct moat_cost_watch *watch)
{
	if (watch->on) {
		watch->last = rte_rdtsc();
		watch->device = RTE_PER_LCORE(moat_cost_device_cycles);
	}
}

/**
 * Charge the cycles since the last mark to a stage.
 *
 * @param watch the calling thread's
 * @param cost the tenant's on this lcore
 * @param stage the stage that ends here
 *
 * Data path.
 */
static inline void moat_cost_mark(struct moat_cost_watch *watch, struct moat_cost *cost,
	enum moat_stage stage)
{
	if (watch->on) {
		uint64_t now = rte_rdtsc();
		uint64_t device = RTE_PER_LCORE(moat_cost_device_cycles) - watch->device;

		moat_counter_add(&cost->cycles[stage], now - watch->last - device);
		moat_counter_add(&cost->cycles[MOAT_STAGE_DEVICE], device);
		moat_counter_add(&cost->marks, 1);
		watch->last = now;
		watch->device += device;
		if (unlikely(watch->counted != NULL))
			watch->counted(watch->counted_ctx, stage);
	}
}

/**
 * End the current burst and add its cycles to the histograms. Called by moat_cost_burst().
 *
 * @param cost the tenant's on this lcore; `per_burst` must not be NULL
 *
 * Data path.
 */
void moat_cost_burst_end(struct moat_cost *cost);

/**
 * A burst has arrived: end the one before it and count this one.
 *
 * @param watch the calling thread's
 * @param cost the tenant's on this lcore
 * @param packets number of packets in the burst
 *
 * Data path.
 */
static inline void moat_cost_burst(const struct moat_cost_watch *watch, struct moat_cost *cost,
	uint64_t packets)
{
	if (watch->on && cost->per_burst != NULL)
		moat_cost_burst_end(cost);
	moat_counter_add(&cost->packets, packets);
	moat_counter_add(&cost->bursts, 1);
}

/**
 * Add `cost` to `sum`, for reports over lcores. Histograms are not added.
 *
 * @param sum the calling thread's
 * @param cost may be written meanwhile
 *
 * Thread-safe. Control path.
 */
void moat_cost_add(struct moat_cost *sum, const struct moat_cost *cost);

/**
 * The mapping cost: cycles of the stages before MOAT_STAGES_MAPPING.
 *
 * @param cost may be written meanwhile
 * @return TSC cycles
 *
 * Thread-safe. Control path.
 */
uint64_t moat_cost_mapping(const struct moat_cost *cost);

/**
 * Cycles of all stages but MOAT_STAGE_IDLE.
 *
 * @param cost may be written meanwhile
 * @return TSC cycles
 *
 * Thread-safe. Control path.
 */
uint64_t moat_cost_busy(const struct moat_cost *cost);

/**
 * Measure what one mark costs on this processor. The cycles of the stages include that cost.
 *
 * @return TSC cycles, the median of several series
 *
 * Thread-safe. Control path: about 50 us.
 */
double moat_cost_per_mark(void);

/**
 * The part of moat_cost_busy() that the marks took.
 *
 * @param cost may be written meanwhile
 * @param per_mark from moat_cost_per_mark()
 * @return 0 to 1
 *
 * Thread-safe. Control path.
 */
double moat_cost_overhead(const struct moat_cost *cost, double per_mark);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_COST_H */
