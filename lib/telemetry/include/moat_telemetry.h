/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TELEMETRY_H
#define MOAT_TELEMETRY_H

/**
 * @file
 * Telemetry of units and tenants: commands of DPDK's telemetry socket, which dpdk-telemetry.py and
 * telegraf's inputs.dpdk read while the program runs. doc/telemetry.md lists what they answer.
 *
 *   /moat/units           each unit's counts: tenants, submitted descriptors, refused DMAs
 *   /moat/tenants         the tenants' names
 *   /moat/tenant,NAME     counters of a tenant's queues, pools and shadow IOTLBs
 *   /moat/cost,NAME       a tenant's cycles by stage
 *   /moat/faults          the last refused DMAs, newest first
 *
 * A program adds the units and tenants that the commands are to show. It must remove a unit before
 * it destroys it; moat_tenant_destroy() removes a tenant. The commands run on the telemetry
 * library's own threads, and read the counters of running lcores without stopping them.
 */

#include <rte_telemetry.h>

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define MOAT_TELEMETRY_FAULTS 16 /* number of refused DMAs that are kept */

/** Add to `dict` what only one kind of unit has, such as counters. */
typedef void (*moat_telemetry_more_t)(struct moat_unit *unit, struct rte_tel_data *dict);

/**
 * Add a 64-bit number to a dictionary. (The name of DPDK's call differs between its releases.)
 *
 * @param dict the dictionary
 * @param name of the member
 * @param value its value
 *
 * Thread-safe for different dictionaries. Control path.
 */
void moat_telemetry_number(struct rte_tel_data *dict, const char *name, uint64_t value);

/**
 * Add a unit. The first unit or tenant that is added registers the commands.
 *
 * @param unit the unit
 * @param more adds members that only this kind of unit has; NULL: nothing
 * @return 0
 * @return -EINVAL: `unit` is NULL
 * @return -ENOSPC: there is no room for more units
 * @return -EEXIST: the unit was added already
 *
 * moat_error_text() has the sentence. Thread-safe. Control path.
 */
int moat_telemetry_add_unit(struct moat_unit *unit, moat_telemetry_more_t more);

/**
 * Add a tenant. It is shown until moat_tenant_destroy() or moat_telemetry_remove_tenant(). The
 * first unit or tenant that is added registers the commands.
 *
 * @param tenant the tenant
 * @return as moat_telemetry_add_unit()
 *
 * Thread-safe. Control path.
 */
int moat_telemetry_add_tenant(struct moat_tenant *tenant);

/**
 * Remove a unit. On return no command uses it any more.
 *
 * @param unit the unit; if it was not added, nothing happens
 *
 * Thread-safe. Control path.
 */
void moat_telemetry_remove_unit(struct moat_unit *unit);

/**
 * Remove a tenant. On return no command uses it any more.
 *
 * @param tenant the tenant; if it was not added, nothing happens
 *
 * Thread-safe. Control path.
 */
void moat_telemetry_remove_tenant(struct moat_tenant *tenant);

/**
 * Record a refused DMA, for /moat/faults. The thread that fetches a unit's faults calls it for each
 * of them.
 *
 * @param unit the unit
 * @param tenant name of the requester's tenant; NULL: the requester belongs to no tenant
 * @param fault the fault, copied
 *
 * Thread-safe. Control path.
 */
void moat_telemetry_fault(const struct moat_unit *unit, const char *tenant,
	const struct moat_fault *fault);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_TELEMETRY_H */
