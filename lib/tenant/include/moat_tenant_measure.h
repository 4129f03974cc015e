/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_MEASURE_H
#define MOAT_TENANT_MEASURE_H

/**
 * @file
 * Measuring in a program of one's own: what a tenant costs for each packet, and what its devices
 * were refused. doc/measuring.md shows it in a loop.
 *
 * An lcore has one stopwatch for all tenants that it serves. It is off until
 * moat_tenant_stopwatch(true); while it is off, a measurement costs a branch. While it is on, moat
 * charges its own work to the stages of moat_cost.h, and the program charges the rest of its turn
 * with moat_tenant_charge().
 *
 * Cycles are those of the TSC, which counts on while the kernel runs another program on the lcore's
 * processor: such a time slice, some million cycles, lands in whatever stage it interrupts, and in
 * the means of struct moat_tenant_price. Where lcores have no processors of their own, read the
 * median of moat_tenant_bursts() instead.
 */

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Switch the calling lcore's stopwatch on or off, for all tenants that the lcore serves. Switching
 * it on again restarts it: cycles until then are charged to no stage, as is right after a sleep.
 *
 * @param on whether the lcore measures from here on
 *
 * Each lcore for itself. Data path.
 */
void moat_tenant_stopwatch(bool on);

/**
 * Is the calling lcore's stopwatch on?
 *
 * @return true: it is
 *
 * Each lcore for itself. Data path.
 */
bool moat_tenant_stopwatch_on(void);

/**
 * Charge the cycles since the last charge to the program's own work for the tenant: to
 * MOAT_STAGE_APPLICATION, or, where the turn brought no packet, to MOAT_STAGE_IDLE. Call it behind
 * the work on a tenant's packets, and once more behind moat_tenant_poll().
 *
 * @param tenant the lcore must have entered it
 * @param packets that the lcore received for the tenant in this turn of its loop
 *
 * Each lcore for itself. Data path.
 */
void moat_tenant_charge(struct moat_tenant *tenant, unsigned int packets);

/** A tenant's cost, summed over its lcores: TSC cycles for each packet received, time slices of
 * other programs included. */
struct moat_tenant_price {
	double stage[MOAT_STAGES]; /* by enum moat_stage */
	/* of what protection costs together: MOAT_STAGE_MAP, TRANSLATE (`verify`), UNMAP, SUBMIT,
	 * WAIT, RECLAIM and COPY */
	double mapping;
	double overhead; /* share of all cycles but idle ones that measuring took, 0 to 1 */
	/* All that the driver received, dropped ones (`lost`, `verify_failed`, `overrun` of struct
	 * moat_tenant_stats) included, also while no stopwatch was on. Cycles count only while one
	 * is: switch it on before the first packet, or the price comes out too low. */
	uint64_t packets;
	uint64_t bursts; /* with at least one packet */
};

/**
 * What a packet of the tenant cost since a snapshot, or since the beginning.
 *
 * @param tenant the tenant
 * @param[in,out] since NULL: since the beginning; else a snapshot, {0} before the first call. It
 *   becomes the snapshot of now, so that the next call tells of what came between.
 * @param[out] price all 0 where no packet came
 *
 * Any thread, while the tenant exists. Counters of running lcores are read as they are. Control
 * path.
 */
void moat_tenant_price(struct moat_tenant *tenant, struct moat_cost *since,
	struct moat_tenant_price *price);

/** A DMA that a unit refused, and whose it was. */
struct moat_tenant_fault {
	struct moat_fault fault;
	struct moat_tenant
		*tenant; /* the requester is in its domain; NULL: in none that is a tenant's */
};

/**
 * Refused DMA since the last call. Each is counted in `faults` of struct moat_tenant_stats of the
 * tenant whose requester made it. Who calls this must not call the unit's `faults` operation beside
 * it: a fault is told once.
 *
 * @param unit whose faults are read
 * @param faults receives up to `n` of them, the oldest first
 * @param n room in `faults`
 * @return how many; 0 also for a unit that cannot tell
 *
 * One thread at a time for a unit, and no tenant may be destroyed before the caller has done with
 * `faults`. Control path: call it some times a second.
 */
unsigned int moat_tenant_faults(struct moat_unit *unit, struct moat_tenant_fault faults[],
	unsigned int n);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_TENANT_MEASURE_H */
