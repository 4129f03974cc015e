/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TELEMETRY_H
#define MOAT_TELEMETRY_H

/**
 * @file
 * Seeing it from outside: commands of DPDK's telemetry socket, which dpdk-telemetry.py and
 * telegraf's inputs.dpdk read while the program runs. doc/telemetry.md lists what they answer.
 *
 *   /moat/units           what each unit has, was told, and refused
 *   /moat/tenants         names
 *   /moat/tenant,NAME     what a tenant's queues, pools and shadow IOTLBs counted
 *   /moat/cost,NAME       its cycles by stage
 *   /moat/faults          the last refused DMAs, newest first
 *
 * A program says which units and tenants it shows. Units must be taken away before they are
 * destroyed; tenants are taken away by moat_tenant_destroy(). The commands answer from the
 * telemetry library's own thread and see nothing else. Counters of running lcores are read as they
 * are: nothing here is on the data path, and no lcore waits.
 */

#include <rte_telemetry.h>

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define MOAT_TELEMETRY_FAULTS 16 /* kept */

/** More of a unit than lib/ knows, such as what only one kind counts: adds members to `dict`. */
typedef void (*moat_telemetry_more_t)(struct moat_unit *unit, struct rte_tel_data *dict);

/** A number of any size: the call's name differs between DPDK's releases. */
void moat_telemetry_number(struct rte_tel_data *dict, const char *name, uint64_t value);

/**
 * Show a unit. Registers the commands, the first time.
 * @param unit shown by its name
 * @param more adds what only this kind of unit counts; NULL: nothing
 * @return 0; -ENOSPC: too many are shown; -EEXIST: it is shown already; moat_error_text() has the
 *   sentence. Control path, any thread.
 */
int moat_telemetry_add_unit(struct moat_unit *unit, moat_telemetry_more_t more);
/**
 * Show a tenant, until moat_tenant_destroy() or moat_telemetry_remove_tenant(). Registers the
 * commands, the first time.
 * @return as moat_telemetry_add_unit(). Control path, any thread.
 */
int moat_telemetry_add_tenant(struct moat_tenant *tenant);
/**
 * Show a unit or a tenant no longer. One that is not shown is let be.
 * On return no command uses it any more. Control path, any thread.
 */
void moat_telemetry_remove_unit(struct moat_unit *unit);
void moat_telemetry_remove_tenant(struct moat_tenant *tenant);

/**
 * The thread that fetches a unit's faults hands each on here.
 * @param unit that refused it
 * @param tenant name of the tenant whose requester it was; NULL: no tenant's. Control path,
 *   any thread.
 * @param fault what was refused
 */
void moat_telemetry_fault(const struct moat_unit *unit, const char *tenant,
	const struct moat_fault *fault);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_TELEMETRY_H */
