/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_MEASURE_H
#define MOAT_TENANT_MEASURE_H

/**
 * @file
 * Measuring in your own program: a tenant's cost for each packet, and the DMA that was refused to
 * its devices. doc/measuring.md shows a loop.
 *
 * An lcore has one stopwatch for all tenants that it serves. The stopwatch is off until
 * moat_tenant_stopwatch(true). While it is off, each measuring point costs one branch. While it is
 * on, moat charges its own work to the stages of moat_cost.h, and the program charges the rest of
 * its turn with moat_tenant_charge().
 *
 * Cycles are TSC cycles. The TSC goes on while the kernel runs another program on the lcore's
 * processor. Such a time slice, several million cycles, is charged to the stage that it interrupts,
 * and distorts the means of struct moat_tenant_price. If an lcore shares its processor, use the
 * median of moat_tenant_bursts() instead.
 */

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Switch the calling lcore's stopwatch on or off, for all tenants that the lcore serves. Switching
 * it on while it is on restarts it: the cycles since the last charge are charged to no stage.
 * Restart it after a sleep, and after work that is not done for a tenant.
 *
 * @param on true: measure from now on; false: stop
 *
 * Each lcore for itself. Data path.
 */
void moat_tenant_stopwatch(bool on);

/**
 * Is the calling lcore's stopwatch on?
 *
 * @return true: the stopwatch is on
 *
 * Each lcore for itself. Data path.
 */
bool moat_tenant_stopwatch_on(void);

/**
 * Charge the cycles since the last charge to the program's own work for the tenant: to
 * MOAT_STAGE_APPLICATION, or to MOAT_STAGE_IDLE if the turn brought no packet. Call it after the
 * work on a tenant's packets, and once more after moat_tenant_poll().
 *
 * @param tenant the lcore must have entered it
 * @param packets number of packets that the lcore received for the tenant in this turn of its loop
 *
 * Each lcore for itself. Data path.
 */
void moat_tenant_charge(struct moat_tenant *tenant, unsigned int packets);

/** A tenant's cost, summed over its lcores: TSC cycles for each packet received, time slices of
 * other programs included. */
struct moat_tenant_price {
	double stage[MOAT_STAGES]; /* by enum moat_stage */
	/* the cost of protection: the sum of MOAT_STAGE_MAP, TRANSLATE (`verify`), UNMAP, SUBMIT,
	 * WAIT, RECLAIM and COPY */
	double mapping;
	double overhead; /* the stopwatch's share of all cycles but idle ones, 0 to 1 */
	/* All packets that the driver received, also those that were dropped afterwards (`lost`,
	 * `verify_failed`, `overrun` of struct moat_tenant_stats). While the stopwatch is off,
	 * packets are counted and cycles are not. So switch it on before the first packet;
	 * otherwise the price is too low. */
	uint64_t packets;
	uint64_t bursts; /* with at least one packet */
};

/**
 * The mean cost of a packet of the tenant since a snapshot, or since the tenant was created.
 *
 * @param tenant the tenant
 * @param[in,out] since NULL: since the tenant was created; else a snapshot, {0} before the first
 *   call. The call replaces the snapshot by a new one, for the next call.
 * @param[out] price all 0 if no packet came
 *
 * Any thread, while the tenant exists. Counters of running lcores are read without synchronization.
 * Control path.
 */
void moat_tenant_price(struct moat_tenant *tenant, struct moat_cost *since,
	struct moat_tenant_price *price);

/** A DMA that a unit refused. */
struct moat_tenant_fault {
	struct moat_fault fault;
	/* the tenant to which the requester is attached; NULL: it is attached to no tenant */
	struct moat_tenant *tenant;
};

/**
 * Get the refused DMA that a unit has recorded since the last call. When its fault recording
 * registers are full, further faults are lost until the next call. Each fault is counted in
 * `faults` of struct moat_tenant_stats of the tenant whose requester made it. The unit reports each
 * fault once, so the program must not call the unit's `faults` operation as well.
 *
 * @param unit the unit whose faults are read
 * @param faults receives up to `n` faults, the oldest first; the rest stays for the next call
 * @param n room in `faults`
 * @return number of faults; 0 also for a unit that cannot report them
 *
 * One thread at a time for a unit. No tenant may be destroyed while the caller still uses `faults`.
 * Control path: call this a few times a second. A polling lcore may call this between two turns:
 * the call does not wait for the unit, but it takes locks and reads the unit's registers, which
 * delays the lcore's packets.
 */
unsigned int moat_tenant_faults(struct moat_unit *unit, struct moat_tenant_fault faults[],
	unsigned int n);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_TENANT_MEASURE_H */
